"""The vendor on loopback: its token endpoint and limits, one API call, and the ways to fail that we know of.

A client is of one of two generations. One of the first asks alone, and gets one token per interval. One of the second
has service accounts, which ask with it and without such a limit.

For people, `GET /_emulator` shows the state, and `POST /_emulator` changes it (`Vendor.steer`). Neither secrets
nor tokens are shown or logged. Times are Unix seconds by the emulator's clock, but a fault waits in real seconds.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import partial
from typing import Any, Literal, Self

from local.emulators.clock import Clock
from local.emulators.faults import NO_FAULT, Fault, HttpAnswer, encode, is_number, json_answer, refusal, require
from local.emulators.service_accounts import (
    GRANT_TYPE,
    RequestRate,
    ServiceAccount,
    empty_refusal,
    refusal_of_form,
    wrong_username_or_password,
)
from local.emulators.token_request import ParsedRequest
from local.emulators.token_server import API_PATH, TOKEN_PATH, TokenServer

STEERING = (
    "advance",
    "fault",
    "clear_faults",
    "outage",
    "deactivate",
    "reset_limit",
    "add_service_account",
    "unblock",
)
MAX_ACTIVE_CLIENTS = 2  # of each generation
PRINCIPAL_SEPARATOR = "#"
OMITTED = object()  # as a value in the JSON of a success: the key is left out


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One POST to the token endpoint. `status`: 0 if the connection was cut; `fault`: the name of its constructor."""

    at: float
    client_id: str | None
    status: int
    issued: bool
    error: str | None
    fault: str | None
    username: str | None = None

    @property
    def principal(self) -> str:
        """Who asked, as the keeper writes it."""
        return principal_of(self.client_id or "", self.username)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was issued, whether or not anybody received it."""

    client_id: str
    token: str = field(repr=False)
    at: float
    expires_at: float
    username: str | None = None

    @property
    def principal(self) -> str:
        return principal_of(self.client_id, self.username)


@dataclass(slots=True)
class _RegisteredClient:
    """A client. `accounts`: its service accounts by username; None if it is of the first generation."""

    client_id: str
    secret: str = field(repr=False)
    accounts: dict[str, ServiceAccount] | None = None
    active: bool = True
    clears_at: float = -math.inf  # when the limit of the first generation ends

    @property
    def has_accounts(self) -> bool:
        return self.accounts is not None


def principal_of(client_id: str, username: str | None) -> str:
    """Return a client as the keeper writes it, with its service account if there is one."""
    if username is None:
        return client_id
    return f"{client_id}{PRINCIPAL_SEPARATOR}{username}"


class Vendor:
    """The vendor and its records. `stop` keeps the state and the port, so that `start` can end an outage."""

    url: str  # this and the next two are set by the first start
    token_url: str
    api_url: str

    def __init__(
        self,
        clock: Clock,
        clients: Mapping[str, str],
        *,
        port: int = 0,
        interval: int = 72_000,
        lifetime: int = 86_400,
        refusals_extend: bool = False,
        token_format: Literal["jwt", "opaque"] = "jwt",  # noqa: S107 - not a password
        client_name: str = "tango-client",
    ) -> None:
        self.clock = clock
        self.interval = interval
        self.lifetime = lifetime
        self.refusals_extend = refusals_extend
        self.token_format = token_format
        self.client_name = client_name
        self.report_expires_in: Any = lifetime
        self.outage: Fault | None = None
        self.client_outages: dict[str, Fault] = {}  # by principal or client id: what its requests meet
        self.on_request: Callable[[str], None] | None = None
        self.requests: list[TokenRequest] = []
        self.issued: list[Issued] = []
        self._issued_by_hash: dict[int, Issued] = {}  # not by the token itself, which no repr may show
        self.api_calls: list[tuple[float, int]] = []
        self.most_in_flight = 0
        self.stopping = threading.Event()
        self._in_flight = 0
        self._script: deque[Fault] = deque()
        self._clients: dict[str, _RegisteredClient] = {}
        self._request_rate = RequestRate()
        self._lock = threading.RLock()
        self._port = port
        self._server: TokenServer | None = None
        for client_id, secret in clients.items():
            self.add_client(client_id, secret)

    def start(self) -> Self:
        if self._server:
            return self
        self.stopping.clear()
        self._server = TokenServer(self, self._port)
        self._server.start()
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        self.token_url = self.url + TOKEN_PATH
        self.api_url = self.url + API_PATH
        return self

    def stop(self) -> None:
        """Cut every connection, even in the middle of a fault's wait, and return when all threads have ended."""
        self.stopping.set()
        server = self._server
        self._server = None
        if server:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def script(self, *faults: Fault) -> None:
        """Let the next token requests meet these faults, one each. They go before any `outage`."""
        with self._lock:
            self._script.extend(faults)

    def clear_faults(self) -> None:
        """Forget the faults that no token request has met yet. An `outage` goes on."""
        with self._lock:
            self._script.clear()

    def add_client(self, client_id: str, client_secret: str, *, with_accounts: bool = False) -> None:
        """Add a client, of the second generation if it is to have service accounts."""
        client = _RegisteredClient(client_id, client_secret, {} if with_accounts else None)
        with self._lock:
            require(PRINCIPAL_SEPARATOR not in client_id, f"a client id has no {PRINCIPAL_SEPARATOR}")
            require(client_id not in self._clients, f"client {client_id!r} exists, or did")
            peers = [one for one in self._clients.values() if one.active and one.has_accounts == with_accounts]
            require(len(peers) < MAX_ACTIVE_CLIENTS, f"at most {MAX_ACTIVE_CLIENTS} clients can be active")
            self._clients[client_id] = client

    def add_account(self, client_id: str, username: str, password: str) -> None:
        """Make a service account of a client of the second generation. There can be any number."""
        with self._lock:
            self._accounts_without(client_id, username)[username] = ServiceAccount(username, password)

    def deactivate(self, principal: str) -> None:
        """End a client or one of its service accounts, and all tokens of it, for good."""
        with self._lock:
            self._holder(principal).active = False

    def unblock(self, principal: str) -> None:
        """Let a service account ask again after too many wrong passwords, as the vendor's support does."""
        with self._lock:
            self._account(principal).wrong_passwords = 0

    def is_active(self, principal: str) -> bool:
        """Say whether the tokens of this client, or of this service account, still work."""
        with self._lock:
            client_id, _, _ = principal.partition(PRINCIPAL_SEPARATOR)
            return self._client(client_id).active and self._holder(principal).active

    def is_limited(self, client_id: str) -> bool:
        """Say whether the limit would refuse the client now."""
        with self._lock:
            return self._client(client_id).clears_at > self.clock.now()

    def reset_limit(self, client_id: str) -> None:
        """Let the client ask again at once, as the vendor's support does on request."""
        with self._lock:
            self._client(client_id).clears_at = -math.inf

    def _client(self, client_id: object) -> _RegisteredClient:
        require(isinstance(client_id, str) and client_id in self._clients, f"no client {client_id!r}")
        return self._clients[str(client_id)]

    def _account(self, principal: object) -> ServiceAccount:
        """Return the service account that is written CLIENT_ID#USERNAME."""
        client_id, _, username = str(principal).partition(PRINCIPAL_SEPARATOR)
        client = self._clients.get(client_id)
        account = client.accounts.get(username) if client and client.accounts else None
        if account is None:
            raise ValueError(f"no service account {principal!r}")
        return account

    def _holder(self, principal: object) -> _RegisteredClient | ServiceAccount:
        if isinstance(principal, str) and PRINCIPAL_SEPARATOR in principal:
            return self._account(principal)
        return self._client(principal)

    def _accounts_without(self, client_id: object, username: object) -> dict[str, ServiceAccount]:
        """Return the service accounts of a client. Raises ValueError if there can't be a new one of this name."""
        accounts = self._client(client_id).accounts
        if accounts is None:
            raise ValueError(f"client {client_id!r} asks alone: it has no service accounts")
        require(username not in accounts, f"service account {username!r} exists, or did")
        return accounts

    def describe(self) -> dict[str, object]:
        with self._lock:
            now = self.clock.now()
            return {
                "clock": now,
                "clients": {name: self._describe_client(client, now) for name, client in self._clients.items()},
                "requests": len(self.requests),
                "issued": len(self.issued),
                "most_in_flight": self.most_in_flight,
                "script": [fault.name for fault in self._script],
                "outage": self.outage.name if self.outage else None,
            }

    def _describe_client(self, client: _RegisteredClient, now: float) -> dict[str, object]:
        if client.accounts is not None:
            accounts = {username: account.describe() for username, account in client.accounts.items()}
            return {"active": client.active, "service_accounts": accounts}
        is_limited = client.clears_at > now
        return {"active": client.active, "limit_clears_at": client.clears_at if is_limited else None}

    def steer(self, document: object) -> None:
        """Do all that the keys say (STEERING lists them). Raises ValueError, and then does nothing."""
        if not isinstance(document, dict):
            raise ValueError("a JSON object is expected")  # noqa: TRY004 - the caller's input, like the others
        steps = [self._steering_step(key, value) for key, value in document.items()]
        for step in steps:
            step()

    def _steering_step(self, key: str, value: Any) -> Callable[[], None]:
        """Check the value and return what is to be done."""
        if key == "advance":
            require(is_number(value, 1e9), "advance: seconds, a number from 0 to 1e9")
            return partial(self.clock.advance, value)
        if key == "fault":
            return partial(self.script, Fault.parse(value))
        if key == "clear_faults":
            require(value is True, "clear_faults: true")
            return self.clear_faults
        if key == "outage":
            outage = None if value is None else Fault.parse(value)
            return partial(setattr, self, "outage", outage)
        if key == "deactivate":
            self._holder(value)
            return partial(self.deactivate, value)
        if key == "reset_limit":
            return partial(self.reset_limit, self._client(value).client_id)
        if key == "unblock":
            self._account(value)
            return partial(self.unblock, value)
        if key == "add_service_account":
            return partial(self.add_account, **self._new_account(value))
        raise ValueError(f"unknown key {key!r}: {', '.join(STEERING)} are known")

    def _new_account(self, document: object) -> dict[str, str]:
        """Check what a person wants a new service account to be, and return it."""
        keys = ["client_id", "username", "password"]
        is_whole = isinstance(document, dict) and sorted(document) == sorted(keys)
        values = document.values() if isinstance(document, dict) else []
        are_texts = all(isinstance(value, str) and value for value in values)
        require(is_whole and are_texts, f"add_service_account: an object of three texts, {', '.join(keys)}")
        new: dict[str, str] = document  # type: ignore[assignment] # checked right above
        self._accounts_without(new["client_id"], new["username"])
        return new

    @contextlib.contextmanager
    def in_flight(self) -> Iterator[None]:
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def token_request(self, headers: Message, body: bytes) -> tuple[HttpAnswer, Fault]:
        """Handle a request that was read completely. Return its answer, and the fault that the answer meets."""
        self._tell("received")
        request = ParsedRequest.parse(headers, body)
        with self._lock:
            now = self.clock.now()
            fault = self._next_fault(request)
            verdict = self._verdict(now, request, fault)
            answer = fault.instead or verdict
            is_issued = verdict.status == 200
            record = TokenRequest(
                at=now,
                client_id=request.client_id,
                status=0 if fault.ending else answer.status,
                issued=is_issued,
                error=verdict.error,
                fault=fault.name or None,
                username=request.username,
            )
            self.requests.append(record)
        if is_issued:
            self._tell("issued")
        return answer, fault

    def _next_fault(self, request: ParsedRequest) -> Fault:
        if self._script:
            return self._script.popleft()
        client_id = request.client_id or ""
        for one in (principal_of(client_id, request.username), client_id):
            if one in self.client_outages:
                return self.client_outages[one]
        return self.outage or NO_FAULT

    def _verdict(self, now: float, request: ParsedRequest, fault: Fault) -> HttpAnswer:
        """Return what the vendor answers by its own rules; status 0 if the request does not reach it."""
        if not fault.issues:
            return HttpAnswer(status=0, body=b"")
        if not request.is_form:
            return refusal(415, "unsupported_media_type", "a form is expected")
        client = self._clients.get(request.client_id or "")
        if _is_of_second_generation(client, request):
            refused = self._refusal_for_account(now, client, request)
            return refused or self._issue(now, request, fault)
        if request.is_ambiguous:
            return refusal(400, "invalid_request", "a parameter is repeated")
        if request.form.get("grant_type") != "client_credentials":
            return refusal(400, "unsupported_grant_type", "only client_credentials is supported")
        return self._grant(now, request, fault)

    def _tell(self, moment: str) -> None:
        if self.on_request:
            self.on_request(moment)

    def _refusal_for_account(
        self, now: float, client: _RegisteredClient | None, request: ParsedRequest
    ) -> HttpAnswer | None:
        """Return the refusal of the second generation; None if the service account gets a token."""
        too_fast = self._request_rate.refusal_of_one_more(now)
        if too_fast:
            return too_fast
        if request.is_ambiguous:
            return empty_refusal(400, "invalid_request")
        if client is None or not _is_authentic(client, request):
            return empty_refusal(401, "invalid_client")
        bad_form = refusal_of_form(request.form)
        if bad_form:
            return bad_form
        account = (client.accounts or {}).get(request.form["username"])
        if account is None:
            return wrong_username_or_password()
        return account.refusal_of(request.form["password"])

    def _grant(self, now: float, request: ParsedRequest, fault: Fault) -> HttpAnswer:
        """Answer a client of the first generation."""
        client = self._clients.get(request.client_id or "")
        if client is None or not _is_authentic(client, request):
            challenge = {"WWW-Authenticate": "Basic"}
            return refusal(401, "invalid_client", "unknown client, or wrong secret", challenge)
        if now < client.clears_at:
            return self._refuse_for_limit(now, client)
        client.clears_at = now + self.interval
        return self._issue(now, request, fault)

    def _issue(self, now: float, request: ParsedRequest, fault: Fault) -> HttpAnswer:
        issued = Issued(
            client_id=request.client_id or "",
            token=self._new_token(request, int(now)),
            at=now,
            expires_at=now + self.lifetime,
            username=request.username,
        )
        self.issued.append(issued)
        self._issued_by_hash[hash(issued.token)] = issued
        document = {
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": self.report_expires_in,
            "scope": request.form.get("scope") or "raas.all",
        }
        return json_answer(200, _edited(document, fault))

    def _refuse_for_limit(self, now: float, client: _RegisteredClient) -> HttpAnswer:
        if self.refusals_extend:
            client.clears_at = now + self.interval
        message = f"Client {self.client_name} {client.client_id} has exceeded the daily rate limit"
        # The vendor's code for this is access_denied; the records have a clearer word.
        return replace(refusal(400, "access_denied", message), error="rate_limited")

    def _new_token(self, request: ParsedRequest, now: int) -> str:
        if self.token_format == "opaque":
            return secrets.token_urlsafe(32)
        header = {"alg": "RS256"}
        payload = {
            "sub": request.username or request.client_id,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": secrets.token_urlsafe(16),
        }
        signature = secrets.token_urlsafe(32)
        return f"{_jwt_part(header)}.{_jwt_part(payload)}.{signature}"

    def api_call(self, headers: Message) -> HttpAnswer:
        scheme, _, presented = headers.get("Authorization", "").partition(" ")
        with self._lock:
            now = self.clock.now()
            if scheme.lower() == "bearer" and self._is_good(presented.strip(), now):
                customer = {"customerIdentifier": "sample", "displayName": "Sample", "status": "active"}
                answer = json_answer(200, [customer])
            else:
                challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
                answer = refusal(401, "invalid_token", "no token, or none that is good", challenge)
            self.api_calls.append((now, answer.status))
        return answer

    def _is_good(self, token: str, now: float) -> bool:
        issued = self._issued_by_hash.get(hash(token))
        if issued is None or issued.token != token:
            return False
        return now < issued.expires_at and self.is_active(issued.principal)


def _is_of_second_generation(client: _RegisteredClient | None, request: ParsedRequest) -> bool:
    """Say whose rules hold. Of an unknown client the grant type decides."""
    if client is None:
        return request.form.get("grant_type") == GRANT_TYPE
    return client.has_accounts


def _is_authentic(client: _RegisteredClient, request: ParsedRequest) -> bool:
    return client.active and client.secret == request.client_secret


def _jwt_part(part: object) -> str:
    return urlsafe_b64encode(encode(part)).decode().rstrip("=")


def _edited(document: dict[str, Any], fault: Fault) -> object:
    """Return the JSON of a success as the fault changes it."""
    changed = fault.changes(document) if callable(fault.changes) else {**document, **fault.changes}
    if not isinstance(changed, dict):
        return changed
    return {key: value for key, value in changed.items() if value is not OMITTED}
