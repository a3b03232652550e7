"""The vendor on loopback: its token endpoint and rate limit, one API call, and the ways to fail that we know of.

For people, `GET /_emulator` shows the state and `POST /_emulator` changes it (`Vendor.steer`). Neither secrets
nor tokens are shown or logged. Times are Unix seconds by the emulator's clock; a fault waits in real seconds.
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
from local.emulators.faults import NO_FAULT, Answer, Fault, encode, is_number, json_answer, refusal, require
from local.emulators.loopback import LoopbackServer

TOKEN_PATH, API_PATH, CONTROL_PATH = "/oauth/token", "/raas/v2/customers", "/_emulator"
ROUTES = {TOKEN_PATH: ("POST",), API_PATH: ("GET",), CONTROL_PATH: ("GET", "POST")}
STEERING = ("advance", "fault", "outage", "deactivate", "reset_limit")
MOST_ACTIVE_CLIENTS = 2
STOP_PATIENCE = 10.0  # real seconds; only an `on_request` hook that does not return takes longer
OMITTED = object()  # as a value of the success JSON: the key is left out


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One POST to the token endpoint. `status` is what was decided, 0 for a cut; `fault` names a constructor."""

    at: float
    client_id: str | None
    status: int
    issued: bool
    error: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was issued, whether or not anybody heard of it."""

    client_id: str
    token: str = field(repr=False)
    at: float
    expires_at: float


@dataclass(slots=True)
class _Client:
    client_id: str
    secret: str = field(repr=False)
    active: bool = True
    clears_at: float = -math.inf  # when the limit does


class Vendor:
    """The vendor and its records. `stop` keeps state and port, so that `start` can follow an outage."""

    url: str  # these three from the first start on
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
        token_format: Literal["jwt", "opaque"] = "jwt",  # noqa: S107 - no password
        client_name: str = "tango-client",
    ) -> None:
        self.clock, self.interval, self.lifetime = clock, interval, lifetime
        self.refusals_extend, self.token_format, self.client_name = refusals_extend, token_format, client_name
        self.report_expires_in: Any = lifetime
        self.outage: Fault | None = None
        self.on_request: Callable[[str], None] | None = None
        self.requests: list[TokenRequest] = []
        self.issued: list[Issued] = []
        self.api_calls: list[tuple[float, int]] = []
        self.most_in_flight = 0
        self.stopping = threading.Event()
        self._in_flight = 0
        self._script: deque[Fault] = deque()
        self._clients: dict[str, _Client] = {}
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
        self.token_url, self.api_url = self.url + TOKEN_PATH, self.url + API_PATH
        return self

    def stop(self) -> None:
        """Cut every connection, also in the middle of a fault's wait, and return when no thread is left."""
        self.stopping.set()
        server, self._server = self._server, None
        if server:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def script(self, *faults: Fault) -> None:
        """Let the next token requests meet these, one each, before any `outage`."""
        with self._lock:
            self._script.extend(faults)

    def add_client(self, client_id: str, client_secret: str) -> None:
        with self._lock:
            active = sum(client.active for client in self._clients.values())
            require(client_id not in self._clients, f"client {client_id!r} exists, or did")
            require(active < MOST_ACTIVE_CLIENTS, f"at most {MOST_ACTIVE_CLIENTS} clients can be active")
            self._clients[client_id] = _Client(client_id, client_secret)

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
        """Do what the vendor's support does on request."""
        with self._lock:
            self._client(client_id).clears_at = -math.inf

    def _client(self, client_id: object) -> _Client:
        require(isinstance(client_id, str) and client_id in self._clients, f"no client {client_id!r}")
        return self._clients[str(client_id)]

    def describe(self) -> dict[str, object]:
        with self._lock:
            now = self.clock.now()
            return {
                "clock": now,
                "clients": {
                    name: {
                        "active": client.active,
                        "limit_clears_at": client.clears_at if client.clears_at > now else None,
                    }
                    for name, client in self._clients.items()
                },
                "requests": len(self.requests),
                "issued": len(self.issued),
                "most_in_flight": self.most_in_flight,
                "script": [fault.name for fault in self._script],
                "outage": self.outage.name if self.outage else None,
            }

    def steer(self, document: object) -> None:
        """Do all that the keys of STEERING say, or raise ValueError."""
        if not isinstance(document, dict):
            raise ValueError("a JSON object is expected")  # noqa: TRY004 - the caller's input, like the others
        steps: list[Callable[[], None]] = []
        for key, value in document.items():
            if key == "advance":
                require(is_number(value, 1e9), "advance: seconds, a number from 0 to 1e9")
                steps.append(partial(self.clock.advance, value))
            elif key == "fault":
                steps.append(partial(self.script, Fault.parse(value)))
            elif key == "outage":
                steps.append(partial(setattr, self, "outage", None if value is None else Fault.parse(value)))
            elif key in ("deactivate", "reset_limit"):
                steps.append(partial(getattr(self, key), self._client(value).client_id))
            else:
                raise ValueError(f"unknown key {key!r}: {', '.join(STEERING)} are known")
        for step in steps:
            step()

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

    def token_request(self, headers: Message, body: bytes) -> tuple[Answer, Fault]:
        """Handle a request that was read in whole; return its answer and the fault that this meets on its way."""
        self._tell("received")
        is_form = headers.get_content_type() == "application/x-www-form-urlencoded"
        pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True) if is_form else []
        form, basic = dict(pairs), _basic(headers.get("Authorization", ""))
        client_id, secret = basic or (form.get("client_id"), form.get("client_secret"))
        with self._lock:
            now, fault = self.clock.now(), self._script.popleft() if self._script else self.outage or NO_FAULT
            if not fault.issues:
                verdict = Answer(0, b"")
            elif not is_form:
                verdict = refusal(415, "unsupported_media_type", "a form is expected")
            elif len(pairs) != len(form) or (basic and "client_secret" in form):
                verdict = refusal(400, "invalid_request", "a parameter is repeated")
            elif form.get("grant_type") != "client_credentials":
                verdict = refusal(400, "unsupported_grant_type", "only client_credentials is supported")
            else:
                verdict = self._grant(now, client_id, secret, form.get("scope") or "raas.all", fault)
            answer, issued = fault.instead or verdict, verdict.status == 200
            status = 0 if fault.ending else answer.status
            self.requests.append(TokenRequest(now, client_id, status, issued, verdict.error, fault.name or None))
        if issued:
            self._tell("issued")
        return answer, fault

    def _tell(self, moment: str) -> None:
        if self.on_request:
            self.on_request(moment)

    def _grant(self, now: float, client_id: str | None, secret: str | None, scope: str, fault: Fault) -> Answer:
        client = self._clients.get(client_id or "")
        if client is None or not client.active or client.secret != secret:
            challenge = {"WWW-Authenticate": "Basic"}
            return refusal(401, "invalid_client", "unknown client, or wrong secret", challenge)
        if now < client.clears_at:
            if self.refusals_extend:
                client.clears_at = now + self.interval
            message = f"Client {self.client_name} {client.client_id} has exceeded the daily rate limit"
            return replace(refusal(400, "access_denied", message), error="rate_limited")
        client.clears_at = now + self.interval
        token = self._new_token(client.client_id, int(now))
        self.issued.append(Issued(client.client_id, token, now, now + self.lifetime))
        document = {"access_token": token, "token_type": "Bearer", "expires_in": self.report_expires_in, "scope": scope}
        changed = fault.changes(document) if callable(fault.changes) else {**document, **fault.changes}
        if isinstance(changed, dict):
            changed = {key: value for key, value in changed.items() if value is not OMITTED}
        return json_answer(200, changed)

    def _new_token(self, client_id: str, now: int) -> str:
        if self.token_format == "opaque":
            return secrets.token_urlsafe(32)
        payload = {"sub": client_id, "iat": now, "exp": now + self.lifetime, "jti": secrets.token_urlsafe(16)}
        parts = [urlsafe_b64encode(encode(part)).decode().rstrip("=") for part in ({"alg": "RS256"}, payload)]
        return ".".join([*parts, secrets.token_urlsafe(32)])

    def api_call(self, headers: Message) -> Answer:
        scheme, _, presented = headers.get("Authorization", "").partition(" ")
        with self._lock:
            now = self.clock.now()
            good = scheme.lower() == "bearer" and any(
                token.token == presented.strip() and now < token.expires_at and self._clients[token.client_id].active
                for token in self.issued
            )
            if good:
                answer = json_answer(
                    200, [{"customerIdentifier": "sample", "displayName": "Sample", "status": "active"}]
                )
            else:
                challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
                answer = refusal(401, "invalid_token", "no token, or none that is good", challenge)
            self.api_calls.append((now, answer.status))
        return answer


def _basic(authorization: str) -> tuple[str | None, str | None] | None:
    """Read HTTP Basic as in RFC 6749 section 2.3.1: two None where it is malformed, None where it is absent."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None, None
    # Without a colon the whole may be a secret, and the records show client ids.
    return (unquote_plus(user), unquote_plus(password)) if colon else (None, None)


class _Server(LoopbackServer):
    request_queue_size = 128  # with the default of 5 a crowd of test clients waits for repeated SYNs

    def __init__(self, vendor: Vendor, port: int) -> None:
        self.vendor = vendor
        self._connections: list[tuple[threading.Thread, socket.socket]] = []
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        # The library forgets its daemon threads; `stop` wakes and joins ours.
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
            thread.join(STOP_PATIENCE)
        if any(thread.is_alive() for thread in threads):
            raise RuntimeError("a request is still being handled: does an on_request hook not return?")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a byte of a slow answer leaves when it is due
    server: _Server

    def log_message(self, *_: object) -> None:
        """Log nothing: requests carry secrets."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients may leave at any moment
            super().handle()

    def _route(self) -> None:
        path = self.path.partition("?")[0]
        allowed = ROUTES.get(path, ())
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,6}", length):
            self.close_connection = True  # what stays unread would pass for the next request
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
            self._send(self._control(body))

    # A method that is not allowed is answered by path, with 404 or 405; the library itself would say 501.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _route  # noqa: N815 - its names

    def _control(self, body: bytes) -> Answer:
        if self.command == "POST":
            try:
                self.server.vendor.steer(json.loads(body))
            except (ValueError, RecursionError) as error:
                return refusal(400, "invalid_request", str(error))
        return json_answer(200, self.server.vendor.describe())

    def _token(self, body: bytes) -> None:
        vendor = self.server.vendor
        with contextlib.ExitStack() as handling:
            handling.enter_context(vendor.in_flight())
            answer, fault = vendor.token_request(self.headers, body)
            self.close_connection = self.close_connection or fault is not NO_FAULT
            self._send(answer, fault, handling.close)

    def _send(self, answer: Answer, fault: Fault = NO_FAULT, done: Callable[[], None] = lambda: None) -> None:
        """Call `done` before the last byte: who has that may send the next request, and it would not overlap."""
        stopping = self.server.vendor.stopping
        if fault.delay and stopping.wait(fault.delay):
            return
        if fault.ending:
            done()
            if fault.ending == "reset":
                # A close that lingers for zero seconds sends a RST; the library's own would send a FIN first.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()
                self.connection.close()
            return
        length, connection = str(len(answer.body)), "close" if self.close_connection else "keep-alive"
        headers = {"Content-Length": length, "Connection": connection, **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} {http.client.responses.get(answer.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode(errors="replace")
        body = b"" if self.command == "HEAD" else answer.body[: int(len(answer.body) * fault.keep)]
        whole, at_once = head + body, len(head) + len(body)
        if fault.pause:
            at_once = 1 if fault.slow_headers else len(head)
        *pieces, last = [whole[:at_once], *(whole[at : at + 1] for at in range(at_once, len(whole)))]
        for piece in pieces:
            self.wfile.write(piece)
            if stopping.wait(fault.pause):
                return
        done()
        self.wfile.write(last)
