"""What is tried with each foreign server, and what the handler should make of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import requests

from local.vendors.foreign_server import ForeignServer, Program
from local.vendors.registration import (
    ACCOUNT,
    AUTH_METHODS,
    BASIC,
    HOUR,
    JWT,
    LIFETIMES_SECONDS,
    NON_ASCII,
    OPAQUE,
    ORDINARY,
    OTHER_SCOPE,
    PATHS,
    POST,
    RESERVED,
    RESOURCE,
    RegisteredClient,
    ServiceAccount,
    account_with_odd_texts,
    client_with_lifetime,
    client_with_odd_id,
    client_with_odd_secret,
)
from local.vendors.trial import Trial, new_trial

REFRESHED_THEN_KEPT = "refreshed, kept"
# The handler's default, and the longest part of a token's life that can be its refresh window.
REFRESH_WINDOW_SECONDS = 4 * HOUR
MAX_WINDOW_PART = 3
# A token's life counts from before the request, and a JWT's end is a whole second.
MAX_LIFETIME_ERROR_SECONDS = 5
KILL_AFTER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """`play` uses the server and returns the outcome, which should be `expected`."""

    name: str
    expected: str
    play: Callable[[Trial], str]


@dataclass(frozen=True, slots=True)
class Played:
    """How a case ended. `refusals`: the HTTP status and, if it is a known one, the error code of each refusal."""

    outcome: str
    refusals: tuple[str, ...]


def play(case: Case, server: ForeignServer) -> Played:
    """Play the case with secrets that nobody has used yet. A surprise is an outcome, too."""
    with new_trial(server) as trial:
        try:
            outcome = case.play(trial)
        except Exception as error:  # noqa: BLE001 - any surprise fails the case, and the others go on
            outcome = f"surprise: {type(error).__name__}"
        if trial.shows_a_secret:
            outcome = f"A SECRET IS SHOWN; {outcome}"
        return Played(outcome, tuple(trial.refusals))


def cases_of(program: Program) -> list[Case]:
    return [
        *_client_cases(program),
        *_refusal_cases(),
        *_service_account_cases(program),
        *_odd_text_cases(program),
        *_lifetime_cases(program),
        *_transport_cases(),
        *_outage_cases(),
    ]


# Clients


def _client_cases(program: Program) -> Iterator[Case]:
    for auth_method in AUTH_METHODS:
        yield Case(auth_method, REFRESHED_THEN_KEPT, partial(_refresh_twice, ORDINARY[auth_method]))
    if program.checks_auth_method:
        for auth_method in AUTH_METHODS:
            other_method = replace(ORDINARY[_other(auth_method)], auth_method=auth_method)
            name = f"{auth_method}, registered for {_other(auth_method)}"
            yield Case(name, "CredentialsRefused", partial(_refresh, other_method))
    if program.has_resources:
        yield Case("PARAMETERS with a resource", f"{REFRESHED_THEN_KEPT}, a JWT for the resource", _with_a_resource)


def _with_a_resource(trial: Trial) -> str:
    """The client's tokens are opaque, except for this resource."""
    trial.use(ORDINARY[POST], PARAMETERS=json.dumps({"resource": RESOURCE}))
    outcomes = trial.runs(2)
    if not is_jwt(trial.token()["access_token"]):
        return f"{outcomes}, no JWT"
    return f"{outcomes}, a JWT for the resource"


def _other(auth_method: str) -> str:
    return POST if auth_method == BASIC else BASIC


def _refresh(client: RegisteredClient, trial: Trial, account: ServiceAccount | None = None) -> str:
    trial.use(client, account)
    return trial.run()


def _refresh_twice(client: RegisteredClient, trial: Trial, account: ServiceAccount | None = None) -> str:
    trial.use(client, account)
    return trial.runs(2)


def _refusal_cases() -> Iterator[Case]:
    for auth_method in AUTH_METHODS:
        client = ORDINARY[auth_method]
        wrong_secret = replace(client, client_secret="not-the-secret")
        unknown = replace(client, client_id="nobody")
        yield Case(f"wrong secret, {auth_method}", "CredentialsRefused", partial(_refresh, wrong_secret))
        yield Case(f"unknown client, {auth_method}", "CredentialsRefused", partial(_refresh, unknown))
    yield Case("wrong secret, then the right one", "CredentialsRefused, refreshed", _wrong_then_right)
    yield Case("unknown scope", "RequestRefused", partial(_refresh_with_scope, "no-such-scope"))
    yield Case("scope that the client may not have", "RequestRefused", partial(_refresh_with_scope, OTHER_SCOPE))
    yield Case("the same, then the right scope", "RequestRefused, refreshed", _wrong_scope_then_right)
    yield Case("wrong path", "RequestRefused", _wrong_path)


def _wrong_then_right(trial: Trial) -> str:
    first = _refresh(replace(ORDINARY[POST], client_secret="not-the-secret"), trial)
    second = _refresh(ORDINARY[POST], trial)
    return f"{first}, {second}"


def _refresh_with_scope(scope: str, trial: Trial) -> str:
    trial.use(ORDINARY[POST])
    return trial.run(SCOPE=scope)


def _wrong_scope_then_right(trial: Trial) -> str:
    first = _refresh_with_scope(OTHER_SCOPE, trial)
    second = trial.run()
    return f"{first}, {second}"


def _wrong_path(trial: Trial) -> str:
    trial.use(ORDINARY[POST])
    return trial.run(TOKEN_URL=f"{trial.server.url}/no-such-path")


# Service accounts


def _service_account_cases(program: Program) -> Iterator[Case]:
    if not program.has_password_grant:
        yield Case("service account", "RequestRefused", partial(_refresh, ORDINARY[POST], account=ACCOUNT))
        return
    for auth_method in AUTH_METHODS:
        client = ORDINARY[auth_method]
        name = f"service account, {auth_method}"
        yield Case(name, REFRESHED_THEN_KEPT, partial(_refresh_twice, client, account=ACCOUNT))
    wrong_password = replace(ACCOUNT, password="not-the-password")
    unknown = replace(ACCOUNT, username="no-such-store")
    yield Case("wrong password", "CredentialsRefused", partial(_refresh, ORDINARY[POST], account=wrong_password))
    yield Case("unknown username", "CredentialsRefused", partial(_refresh, ORDINARY[POST], account=unknown))
    yield Case("wrong password, then the right one", "refused, refreshed", _wrong_password_then_right)
    yield Case("service account, the answer has a refresh_token", "refreshed, none is stored", _refresh_token)


def _wrong_password_then_right(trial: Trial) -> str:
    trial.use(ORDINARY[POST], replace(ACCOUNT, password="not-the-password"))
    first = "refused" if trial.run().endswith("Refused") else "not refused"
    second = _refresh(ORDINARY[POST], trial, ACCOUNT)
    return f"{first}, {second}"


def _refresh_token(trial: Trial) -> str:
    outcome = _refresh(ORDINARY[POST], trial, ACCOUNT)
    if "refresh_token" in json.dumps(trial.token()):
        return f"{outcome}, a refresh_token is stored"
    if not _issues_refresh_tokens(trial):
        return f"{outcome}, but the server sends no refresh_token"
    return f"{outcome}, none is stored"


def _issues_refresh_tokens(trial: Trial) -> bool:
    client = ORDINARY[POST]
    form = {
        "grant_type": "password",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "username": ACCOUNT.username,
        "password": ACCOUNT.password,
    }
    answer = requests.post(f"{trial.server.url}/token", data=form, timeout=10)
    return "refresh_token" in answer.json()


# Odd characters


def _odd_text_cases(program: Program) -> Iterator[Case]:
    for kind, texts in (("reserved characters", RESERVED), ("non-ASCII", NON_ASCII)):
        for auth_method in AUTH_METHODS:
            for part, make_client in (("client id", client_with_odd_id), ("secret", client_with_odd_secret)):
                name = f"{kind} in the {part}, {auth_method}"
                clients = {text: make_client(text, auth_method) for text in texts}
                yield Case(name, "refreshed", partial(_refresh_each, clients, {}))
        if program.has_password_grant:
            clients = dict.fromkeys(texts, ORDINARY[POST])
            accounts = {text: account_with_odd_texts(text) for text in texts}
            name = f"{kind} in username and password"
            yield Case(name, "refreshed", partial(_refresh_each, clients, accounts))


def _refresh_each(
    clients: dict[str, RegisteredClient],
    accounts: dict[str, ServiceAccount],
    trial: Trial,
) -> str:
    """Return the outcome if it is always the same. If not, return each outcome with the texts that led to it."""
    texts_by_outcome: dict[str, list[str]] = {}
    for text, client in clients.items():
        trial.begin()
        outcome = _refresh(client, trial, accounts.get(text))
        texts_by_outcome.setdefault(outcome, []).append(text.replace(" ", "space"))
    if len(texts_by_outcome) == 1:
        return outcome
    described = [f"{outcome}: {' '.join(texts)}" for outcome, texts in texts_by_outcome.items()]
    return "; ".join(described)


# Tokens


def _lifetime_cases(program: Program) -> Iterator[Case]:
    formats = [OPAQUE, JWT] if program.has_jwt else [OPAQUE]
    for token_format in formats:
        for lifetime_seconds in LIFETIMES_SECONDS:
            client = client_with_lifetime(lifetime_seconds, token_format)
            is_supported = lifetime_seconds >= HOUR
            expected = "refreshed, kept, refreshed" if is_supported else "refreshed with a warning, kept, refreshed"
            yield Case(f"{token_format} token of {lifetime_seconds} s", expected, partial(_live_through, client))


def _live_through(client: RegisteredClient, trial: Trial) -> str:
    """Refresh, keep, and refresh again in the window, for which the handler's clock moves on."""
    trial.use(client)
    first = trial.run()
    token = trial.token()
    if trial.has_odd_lifetime:
        first = f"{first} with a warning"
    if is_jwt(token["access_token"]) != (client.token_format == JWT):
        return f"{first}, but the token's format is another"
    shorter_by = client.lifetime_seconds - (token["expires_at"] - token["acquired_at"])
    if not 0 <= shorter_by <= MAX_LIFETIME_ERROR_SECONDS:
        return f"{first}, but the token's life is shorter by {shorter_by} s"
    second = trial.run()
    window = min(REFRESH_WINDOW_SECONDS, client.lifetime_seconds // MAX_WINDOW_PART)
    trial.clock.advance(client.lifetime_seconds - window)
    third = trial.run()
    return f"{first}, {second}, {third}"


def is_jwt(access_token: str) -> bool:
    return access_token.count(".") == 2


# The way to the server


def _transport_cases() -> Iterator[Case]:
    names = {"prefix": "a path prefix", "gzip": "gzip, although not asked for", "chunked": "a chunked answer"}
    for key, name in names.items():
        yield Case(name, REFRESHED_THEN_KEPT, partial(_below_path, PATHS[key]))
    yield Case("TLS, the CA unknown", "VendorUnreachable", _tls)
    yield Case("TLS, the CA trusted", "refreshed", _tls_with_trust)


def _below_path(path: str, trial: Trial) -> str:
    trial.use(ORDINARY[POST], TOKEN_URL=f"{trial.server.url}{path}/token")
    return trial.runs(2)


def _tls(trial: Trial) -> str:
    trial.use(ORDINARY[POST], TOKEN_URL=f"{trial.server.tls_url}/token")
    return trial.run()


def _tls_with_trust(trial: Trial) -> str:
    trial.use(ORDINARY[POST], TOKEN_URL=f"{trial.server.tls_url}/token")
    return trial.run(REQUESTS_CA_BUNDLE=str(trial.server.certificate))


# Outages


def _outage_cases() -> Iterator[Case]:
    yield Case("killed, and started again", "refreshed, VendorUnreachable, refreshed", _killed)
    yield Case("suspended, and resumed", "refreshed, OutcomeUnknown, refreshed", _suspended)
    yield Case("killed before it answers, and started again", "OutcomeUnknown, refreshed", _killed_before_it_answers)


def _killed(trial: Trial) -> str:
    outcomes = [_refresh(ORDINARY[POST], trial)]
    trial.clock.advance(HOUR)
    trial.server.kill()
    try:
        outcomes.append(trial.run())
    finally:
        trial.server.start()
    outcomes.append(trial.run())
    return ", ".join(outcomes)


def _suspended(trial: Trial) -> str:
    outcomes = [_refresh(ORDINARY[POST], trial)]
    trial.clock.advance(HOUR)
    trial.server.suspend()
    try:
        outcomes.append(trial.run())
    finally:
        trial.server.resume()
    outcomes.append(trial.run())
    return ", ".join(outcomes)


def _killed_before_it_answers(trial: Trial) -> str:
    trial.server.suspend()
    killer = threading.Timer(KILL_AFTER_SECONDS, trial.server.kill)
    killer.start()
    first = _refresh(ORDINARY[POST], trial)
    killer.join()
    trial.server.start()
    second = trial.run()
    return f"{first}, {second}"
