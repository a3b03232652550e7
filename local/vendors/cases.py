"""What is tried with each foreign server, and what the handler should make of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import requests

from local.no_proxy import DIRECTLY
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
    SCOPE,
    RegisteredClient,
    ServiceAccount,
    account_with_odd_texts,
    client_with_lifetime,
    client_with_odd_id,
    client_with_odd_secret,
)
from local.vendors.trial import Trial, new_trial

UNKNOWN_SCOPE = "no-such-scope"
REFRESHED_THEN_KEPT = "refreshed, kept"
# The handler's default, and the longest part of a token's life that can be its refresh window.
REFRESH_WINDOW_SECONDS = 4 * HOUR
MAX_WINDOW_PART = 3
# A token's life counts from before the request, and a JWT's end is a whole second.
MAX_LIFETIME_ERROR_SECONDS = 5
KILL_AFTER_SECONDS = 0.5
WRONG_PASSWORD = replace(ACCOUNT, password="not-the-password")
UNKNOWN_ACCOUNT = replace(ACCOUNT, username="no-such-store")


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
        client = ORDINARY[auth_method]
        yield Case(auth_method, REFRESHED_THEN_KEPT, partial(_refresh_twice, client))
    if program.checks_auth_method:
        yield _case_of_the_other_method(registered=POST, used=BASIC)
        yield _case_of_the_other_method(registered=BASIC, used=POST)
    if program.has_resources:
        yield Case(
            name="PARAMETERS with a resource",
            expected="refreshed, kept, for the resource",
            play=_refresh_for_a_resource,
        )


def _case_of_the_other_method(*, registered: str, used: str) -> Case:
    client = replace(ORDINARY[registered], auth_method=used)
    name = f"{used}, registered for {registered}"
    return Case(name, "CredentialsRefused", partial(_refresh, client))


def _refresh_for_a_resource(trial: Trial) -> str:
    """The client's tokens are opaque, except for this resource, so a JWT shows that it was asked for."""
    trial.use(ORDINARY[POST], PARAMETERS=json.dumps({"resource": RESOURCE}))
    outcomes = trial.runs(2)
    if is_jwt(trial.token()["access_token"]):
        return f"{outcomes}, for the resource"
    return outcomes


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
        for name, refused in (("wrong secret", wrong_secret), ("unknown client", unknown)):
            yield Case(f"{name}, {auth_method}", "CredentialsRefused", partial(_refresh, refused))
    yield Case(
        name="wrong secret, then the right one",
        expected="CredentialsRefused, refreshed",
        play=_wrong_then_right,
    )
    for name, scope in (("unknown scope", UNKNOWN_SCOPE), ("scope of another client", OTHER_SCOPE)):
        yield Case(name, "RequestRefused", partial(_refresh_with_scope, scope))
    yield Case(
        name="scope of another client, then its own",
        expected="RequestRefused, refreshed",
        play=_wrong_scope_then_right,
    )
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
        without_grant = partial(_refresh, ORDINARY[POST], account=ACCOUNT)
        yield Case("service account, no password grant", "RequestRefused", without_grant)
        return
    for auth_method in AUTH_METHODS:
        accepted = partial(_refresh_twice, ORDINARY[auth_method], account=ACCOUNT)
        yield Case(f"service account, {auth_method}", REFRESHED_THEN_KEPT, accepted)
    for name, account in (("wrong password", WRONG_PASSWORD), ("unknown username", UNKNOWN_ACCOUNT)):
        refused = partial(_refresh, ORDINARY[POST], account=account)
        yield Case(name, "CredentialsRefused", refused)
    yield Case(
        name="wrong password, then the right one",
        expected="CredentialsRefused, refreshed",
        play=_wrong_password_then_right,
    )
    yield Case(
        name="service account, the answer has a refresh_token",
        expected="refreshed, none is stored",
        play=_refresh_token,
    )


def _wrong_password_then_right(trial: Trial) -> str:
    first = _refresh(ORDINARY[POST], trial, WRONG_PASSWORD)
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
        "scope": SCOPE,
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "username": ACCOUNT.username,
        "password": ACCOUNT.password,
    }
    answer = requests.post(f"{trial.server.url}/token", data=form, proxies=DIRECTLY, timeout=10)
    return "refresh_token" in answer.json()


# Odd characters


def _odd_text_cases(program: Program) -> Iterator[Case]:
    for kind, texts in (("reserved characters", RESERVED), ("non-ASCII", NON_ASCII)):
        for auth_method in AUTH_METHODS:
            with_ids = {text: client_with_odd_id(text, auth_method) for text in texts}
            with_secrets = {text: client_with_odd_secret(text, auth_method) for text in texts}
            for part, clients in (("client id", with_ids), ("secret", with_secrets)):
                each = partial(_refresh_each, clients, {})
                yield Case(f"{kind} in the {part}, {auth_method}", "refreshed", each)
        if program.has_password_grant:
            same_client = dict.fromkeys(texts, ORDINARY[POST])
            accounts = {text: account_with_odd_texts(text) for text in texts}
            each = partial(_refresh_each, same_client, accounts)
            yield Case(f"{kind} in username and password", "refreshed", each)


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
    formats = [OPAQUE]
    if program.has_jwt:
        formats.append(JWT)
    for token_format in formats:
        for lifetime_seconds in LIFETIMES_SECONDS:
            client = client_with_lifetime(lifetime_seconds, token_format)
            expected = "refreshed, kept, refreshed"
            if lifetime_seconds < HOUR:
                expected = "refreshed with a warning, kept, refreshed"
            name = f"{token_format} token of {lifetime_seconds} s"
            yield Case(name, expected, partial(_live_through, client))


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
    yield Case(
        name="killed before it answers, and started again",
        expected="refreshed, OutcomeUnknown, refreshed",
        play=_killed_before_it_answers,
    )


def _killed(trial: Trial) -> str:
    return _run_through(trial, begin=trial.server.kill, end=trial.server.start)


def _suspended(trial: Trial) -> str:
    return _run_through(trial, begin=trial.server.suspend, end=trial.server.resume)


def _killed_before_it_answers(trial: Trial) -> str:
    killer = threading.Timer(KILL_AFTER_SECONDS, trial.server.kill)

    def begin() -> None:
        trial.server.suspend()
        killer.start()

    def end() -> None:
        killer.join()
        trial.server.start()

    return _run_through(trial, begin=begin, end=end)


def _run_through(trial: Trial, *, begin: Callable[[], None], end: Callable[[], None]) -> str:
    """Run before the outage, in it and after it. The token is due each time."""
    before = _refresh(ORDINARY[POST], trial)
    trial.clock.advance(HOUR)
    begin()
    try:
        during = trial.run()
    finally:
        end()
    after = trial.run()
    return f"{before}, {during}, {after}"
