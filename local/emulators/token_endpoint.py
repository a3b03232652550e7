"""The vendor on loopback: its token endpoint and rate limit, one API call, and the ways to fail that we know of.

For people, `GET /_emulator` shows the state, and `POST /_emulator` changes it (`Vendor.steer`). Neither secrets
nor tokens are shown or logged. Times are Unix seconds by the emulator's clock, but a fault waits in real seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import re
import secrets
import socket
import struct
import threading
from base64 import b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, unquote_plus

from local.emulators.clock import Clock
from local.emulators.faults import NO_FAULT, Fault, HttpAnswer, encode, is_number, json_answer, refusal, require
from local.emulators.loopback import POLL_SECONDS, LoopbackServer

TOKEN_PATH = "/oauth/token"
API_PATH = "/raas/v2/customers"
CONTROL_PATH = "/_emulator"
ROUTES = {TOKEN_PATH: ("POST",), API_PATH: ("GET",), CONTROL_PATH: ("GET", "POST")}
STEERING = ("advance", "fault", "clear_faults", "outage", "deactivate", "reset_limit")
MAX_ACTIVE_CLIENTS = 2
MAX_STOP_SECONDS = 10.0  # real ones; only an `on_request` hook that does not return takes longer
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


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was issued, whether or not anybody received it."""

    client_id: str
    token: str = field(repr=False)
    at: float
    expires_at: float


@dataclass(slots=True)
class _RegisteredClient:
    client_id: str
    secret: str = field(repr=False)
    active: bool = True
    clears_at: float = -math.inf  # when the limit ends


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
        self.client_outages: dict[str, Fault] = {}  # by client id: what every request of this client meets
        self.on_request: Callable[[str], None] | None = None
        self.requests: list[TokenRequest] = []
        self.issued: list[Issued] = []
        self.api_calls: list[tuple[float, int]] = []
        self.most_in_flight = 0
        self.stopping = threading.Event()
        self._in_flight = 0
        self._script: deque[Fault] = deque()
        self._clients: dict[str, _RegisteredClient] = {}
        self._lock = threading.RLock()
        self._port = port
        self._server: _Server | None = None
        for client_id, secret in clients.items():
            self.add_client(client_id, secret)

    def start(self) -> Self:
        if self._server:
            return self
        self.stopping.clear()
        self._server = _Server(self, self._port)
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

    def add_client(self, client_id: str, client_secret: str) -> None:
        with self._lock:
            active = sum(client.active for client in self._clients.values())
            require(client_id not in self._clients, f"client {client_id!r} exists, or did")
            require(active < MAX_ACTIVE_CLIENTS, f"at most {MAX_ACTIVE_CLIENTS} clients can be active")
            self._clients[client_id] = _RegisteredClient(client_id, client_secret)

    def deactivate(self, client_id: str) -> None:
        """End the client and all of its tokens, for good."""
        with self._lock:
            self._client(client_id).active = False

    def is_active(self, client_id: str) -> bool:
        with self._lock:
            return self._client(client_id).active

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
            return partial(self.deactivate, self._client(value).client_id)
        if key == "reset_limit":
            return partial(self.reset_limit, self._client(value).client_id)
        raise ValueError(f"unknown key {key!r}: {', '.join(STEERING)} are known")

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
        request = _ParsedRequest.parse(headers, body)
        with self._lock:
            now = self.clock.now()
            fault = self._next_fault(request.client_id)
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
            )
            self.requests.append(record)
        if is_issued:
            self._tell("issued")
        return answer, fault

    def _next_fault(self, client_id: str | None) -> Fault:
        if self._script:
            return self._script.popleft()
        if client_id in self.client_outages:
            return self.client_outages[client_id]
        return self.outage or NO_FAULT

    def _verdict(self, now: float, request: _ParsedRequest, fault: Fault) -> HttpAnswer:
        """Return what the vendor answers by its own rules; status 0 if the request does not reach it."""
        if not fault.issues:
            return HttpAnswer(status=0, body=b"")
        if not request.is_form:
            return refusal(415, "unsupported_media_type", "a form is expected")
        if request.is_ambiguous:
            return refusal(400, "invalid_request", "a parameter is repeated")
        if request.form.get("grant_type") != "client_credentials":
            return refusal(400, "unsupported_grant_type", "only client_credentials is supported")
        return self._grant(now, request, fault)

    def _tell(self, moment: str) -> None:
        if self.on_request:
            self.on_request(moment)

    def _grant(self, now: float, request: _ParsedRequest, fault: Fault) -> HttpAnswer:
        client = self._clients.get(request.client_id or "")
        if client is None or not client.active or client.secret != request.client_secret:
            challenge = {"WWW-Authenticate": "Basic"}
            return refusal(401, "invalid_client", "unknown client, or wrong secret", challenge)
        if now < client.clears_at:
            return self._refuse_for_limit(now, client)
        client.clears_at = now + self.interval
        issued = Issued(
            client_id=client.client_id,
            token=self._new_token(client.client_id, int(now)),
            at=now,
            expires_at=now + self.lifetime,
        )
        self.issued.append(issued)
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

    def _new_token(self, client_id: str, now: int) -> str:
        if self.token_format == "opaque":
            return secrets.token_urlsafe(32)
        header = {"alg": "RS256"}
        payload = {
            "sub": client_id,
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
        return any(
            issued.token == token and now < issued.expires_at and self._clients[issued.client_id].active
            for issued in self.issued
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParsedRequest:
    """What a token request says. `is_ambiguous`: a form field is repeated, or the secret is given in both ways."""

    is_form: bool
    is_ambiguous: bool
    form: Mapping[str, str] = field(repr=False)
    client_id: str | None
    client_secret: str | None = field(repr=False)

    @classmethod
    def parse(cls, headers: Message, body: bytes) -> _ParsedRequest:
        is_form = headers.get_content_type() == "application/x-www-form-urlencoded"
        text = body.decode(errors="replace") if is_form else ""
        pairs = parse_qsl(text, keep_blank_values=True)
        form = dict(pairs)
        basic = _basic_credentials(headers.get("Authorization", ""))
        client_id, client_secret = basic or (form.get("client_id"), form.get("client_secret"))
        has_two_secrets = basic is not None and "client_secret" in form
        return cls(
            is_form=is_form,
            is_ambiguous=len(pairs) != len(form) or has_two_secrets,
            form=form,
            client_id=client_id,
            client_secret=client_secret,
        )


def _basic_credentials(authorization: str) -> tuple[str | None, str | None] | None:
    """Read HTTP Basic as in RFC 6749 section 2.3.1. Return two None if it is malformed, and None if it is absent."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = b64decode(value.strip(), validate=True).decode()
    except ValueError:
        return None, None
    user, colon, password = decoded.partition(":")
    if not colon:  # the whole text may be a secret, and the records show client ids
        return None, None
    return unquote_plus(user), unquote_plus(password)


def _jwt_part(part: object) -> str:
    return urlsafe_b64encode(encode(part)).decode().rstrip("=")


def _edited(document: dict[str, Any], fault: Fault) -> object:
    """Return the JSON of a success as the fault changes it."""
    changed = fault.changes(document) if callable(fault.changes) else {**document, **fault.changes}
    if not isinstance(changed, dict):
        return changed
    return {key: value for key, value in changed.items() if value is not OMITTED}


class _Server(LoopbackServer):
    request_queue_size = 128  # with the default of 5 a crowd of test clients has to repeat its SYNs

    def __init__(self, vendor: Vendor, port: int) -> None:
        self.vendor = vendor
        self._connections: list[tuple[threading.Thread, socket.socket]] = []
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        # The library does not join its daemon threads. `stop` wakes and joins these.
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._connections = [pair for pair in self._connections if pair[0].is_alive()]
        self._connections.append((thread, request))
        thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        for _, connection in self._connections:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        # A hook may stop the vendor from one of these threads.
        threads = [thread for thread, _ in self._connections if thread is not threading.current_thread()]
        for thread in threads:
            thread.join(MAX_STOP_SECONDS)
        if any(thread.is_alive() for thread in threads):
            raise RuntimeError("a request is still being handled: does an on_request hook not return?")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each byte of a slow answer is sent when it is due
    server: _Server

    def log_message(self, *_: object) -> None:
        """Log nothing, since requests carry secrets."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients may leave at any moment
            super().handle()

    def _route(self) -> None:
        path = self.path.partition("?")[0]
        allowed = ROUTES.get(path, ())
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,6}", length):
            self.close_connection = True  # the unread rest would be taken for the next request
            self._send(refusal(400, "invalid_request", "a Content-Length below 1,000,000 is expected"))
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
        elif not allowed:
            self._send(refusal(404, "not_found", "no such path"))
        elif self.command not in allowed:
            self._send(refusal(405, "method_not_allowed", "see Allow", {"Allow": ", ".join(allowed)}))
        elif path == TOKEN_PATH:
            self._token(body)
        elif path == API_PATH:
            self._send(self.server.vendor.api_call(self.headers))
        else:
            answer = self._control(body)
            self._send(replace(answer, body=answer.body + b"\n"))  # people read it in a terminal

    # For a method that is not allowed the path decides: 404 or 405. The library itself would answer 501.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _route  # noqa: N815 - its names

    def _control(self, body: bytes) -> HttpAnswer:
        vendor = self.server.vendor
        if self.command == "GET":
            return json_answer(200, vendor.describe())
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):  # not JSON, not Unicode, or nested too deeply
            return refusal(400, "invalid_request", "the body is not JSON")
        try:
            vendor.steer(document)
        except (ValueError, RecursionError) as error:
            return refusal(400, "invalid_request", str(error))
        return json_answer(200, vendor.describe())

    def _token(self, body: bytes) -> None:
        vendor = self.server.vendor
        with contextlib.ExitStack() as handling:
            handling.enter_context(vendor.in_flight())
            answer, fault = vendor.token_request(self.headers, body)
            self.close_connection = self.close_connection or fault is not NO_FAULT
            self._send(answer, fault, handling.close)

    def _send(
        self,
        answer: HttpAnswer,
        fault: Fault = NO_FAULT,
        before_last_byte: Callable[[], None] = lambda: None,
    ) -> None:
        """Send the answer as the fault lets it.

        `before_last_byte` is called then, not later: a client that has the last byte may send its next request, and
        the two must not count as in flight at once.
        """
        if fault.delay and self.server.vendor.stopping.wait(fault.delay):
            return
        if fault.ending:
            before_last_byte()
            if fault.ending == "reset":
                self._reset_connection()
            return
        head = self._head(answer)
        sent_length = 0 if self.command == "HEAD" else int(len(answer.body) * fault.keep)
        whole = head + answer.body[:sent_length]
        at_once = len(whole)
        if fault.pause:
            at_once = 1 if fault.slow_headers else len(head)
        *pieces, last = [whole[:at_once], *(whole[at : at + 1] for at in range(at_once, len(whole)))]
        for piece in pieces:
            self.wfile.write(piece)
            if self.server.vendor.stopping.wait(fault.pause):
                return
        before_last_byte()
        self.wfile.write(last)

    def _reset_connection(self) -> None:
        # A close that lingers for zero seconds sends a RST. The library's own would send a FIN first.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    def _head(self, answer: HttpAnswer) -> bytes:
        phrase = http.client.responses.get(answer.status, "Unknown")
        headers = {
            "Content-Length": str(len(answer.body)),
            "Connection": "close" if self.close_connection else "keep-alive",
            **answer.headers,
        }
        lines = [f"HTTP/1.1 {answer.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode(errors="replace")
