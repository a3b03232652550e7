"""One HTTP request and its answer, bounded in time and bytes.

`requests` is imported where it is used: a run that finds a fresh token does not need it.
"""

import io
import logging
import math
import queue
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from handler.settings import is_loopback
from handler.token_response import HttpResponse

MAX_ANSWER_BYTES = 65_536
READ_BYTES = 8_192
# A host that does not answer must leave time for the other attempts, which come after some pauses.
CONNECT_TIMEOUT_SECONDS = 10
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
# The checksum and the length, at the end of a gzip body.
_GZIP_TRAILER_BYTES = 8


class Exchanged(NamedTuple):
    """What came back on a request. `cut_by` names what ended the answer early, if anything."""

    response: HttpResponse
    cut_by: str = ""


class RequestBody(io.BytesIO):
    """A request's body, which knows whether any byte of it may have left.

    Before that, the vendor can't issue a token. The body can't be read after `send_before`
    (time.monotonic()), because then the answer would come too late.
    """

    def __init__(self, content: bytes = b"", *, send_before: float = math.inf) -> None:
        super().__init__(content)
        self.may_have_left = False
        self.is_withdrawn = False
        self.partial = HttpResponse(200, b"")  # as much of the answer as has arrived
        self._send_before = send_before
        self._socket: socket.socket | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        # This is noted before the body is handed over. So if the body is withdrawn and nothing has left by
        # then, nothing will.
        if time.monotonic() <= self._send_before:
            self.may_have_left = True
        if self.is_withdrawn or not self.may_have_left:
            raise TimeoutError
        return super().read(size)

    def connected(self, connection: socket.socket) -> None:
        """Note the connection that carries the body. Raises TimeoutError if the body is withdrawn already."""
        self._socket = connection
        if self.is_withdrawn:
            raise TimeoutError

    def withdraw(self) -> None:
        """Let nothing more be sent, and end the thread that reads the answer: it must not outlive the run."""
        self.is_withdrawn = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                self._socket.shutdown(socket.SHUT_RDWR)


def send(method: str, url: str, headers: dict[str, str], body: RequestBody, timeout: float) -> Exchanged:
    """Send one HTTP request. Ends within `timeout` seconds, and never raises.

    If the answer is cut, `body.may_have_left` says whether the request was sent.
    """

    def work() -> HttpResponse:
        return exchange(method, url, headers, body, timeout)

    answer = _bounded(work, timeout)
    if isinstance(answer, HttpResponse):
        return Exchanged(_decoded(answer))
    body.withdraw()
    # No more of the exception than its name: those of `requests` hold the form.
    return Exchanged(_decoded(body.partial), cut_by=type(answer).__name__)


def _bounded(work: Callable[[], HttpResponse], timeout: float) -> HttpResponse | Exception:
    """Return what `work` returns, or the exception that ends it, or TimeoutError after `timeout` s.

    The work has a thread of its own, because a socket's time-out bounds only the pause between two
    bytes, and does not bound the name look-up.
    """
    outcome: queue.SimpleQueue[HttpResponse | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(work())
        except Exception as error:  # noqa: BLE001 - the caller decides what it means
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.get(timeout=max(0.0, timeout))
    except queue.Empty:
        return TimeoutError()


def exchange(method: str, url: str, headers: dict[str, str], body: RequestBody, timeout: float) -> HttpResponse:
    """Send one HTTP request with `requests`. `body.partial` grows while the answer arrives.

    A redirect is neither followed nor read.
    """
    # urllib3 logs the rest of a head after a malformed line, and a vendor may repeat the form there.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    data = body if method == "POST" else None
    proxies = {}
    if is_loopback(urlsplit(url).hostname or ""):
        proxies["no_proxy"] = "*"  # the request would leave this machine in clear
    with (
        _make_session(headers, body) as session,
        session.request(
            method,
            url,
            data=data,
            timeout=(min(CONNECT_TIMEOUT_SECONDS, timeout), timeout),
            allow_redirects=False,
            proxies=proxies,
            stream=True,
        ) as response,
    ):
        partial = HttpResponse(
            status=response.status_code,
            body=b"",
            retry_after=response.headers.get("Retry-After", ""),
            content_encoding=response.headers.get("Content-Encoding", ""),
        )
        body.partial = partial
        if 300 <= partial.status < 400:
            return partial
        while len(partial.body) < MAX_ANSWER_BYTES and not body.is_withdrawn:
            chunk = response.raw.read1(READ_BYTES, decode_content=False)
            if not chunk:
                break
            partial = replace(partial, body=(partial.body + chunk)[:MAX_ANSWER_BYTES])
            body.partial = partial
        return partial


def _make_session(headers: dict[str, str], body: RequestBody) -> Any:
    """Return a session of `requests` that does not parse redirects, and that tells the body its connection."""
    import requests
    from requests.adapters import HTTPAdapter

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """Say that there is none. Otherwise `requests` reads the whole body of a redirect, decoded."""

    class Adapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*arguments, **options)
            pool.ConnectionCls = _telling(pool.ConnectionCls, body)
            return pool

    session = Session()
    session.headers.update({"Accept-Encoding": "identity", **headers})
    session.auth = lambda request: request  # with an auth, requests does not read .netrc
    session.mount("https://", Adapter())
    session.mount("http://", Adapter())
    return session


def _telling(connection_class: Any, body: RequestBody) -> Any:
    """Return a class of connections that tells the body its socket, and that passes over interim answers."""

    class Connection(connection_class):  # type: ignore[misc]
        response_class = _final_response_class()

        def _new_conn(self) -> Any:
            connection = super()._new_conn()
            body.connected(connection)  # a proxy may not answer to CONNECT
            return connection

        def connect(self) -> None:
            super().connect()
            body.connected(self.sock)  # TLS has put another one in its place

    return Connection


def _final_response_class() -> Any:
    """Return a class of responses that skips 102 and 103 (RFC 9110 section 15.2), as http.client skips 100."""
    import http.client

    class FinalResponse(http.client.HTTPResponse):
        def _read_status(self) -> tuple[str, int, str]:
            while True:
                version, status, reason = super()._read_status()  # type: ignore[misc]
                if not _SWITCHING_PROTOCOLS < status < _FIRST_FINAL_STATUS:
                    return version, status, reason
                http.client.parse_headers(self.fp)

    return FinalResponse


def _decoded(response: HttpResponse) -> HttpResponse:
    """Undo gzip, which some servers send although `identity` was asked for.

    A body that is not gzip, whatever its head says, stays as it is. A wrong checksum must not cost the
    token, so what was decoded until then is all that the body says.
    """
    if "gzip" not in response.content_encoding.lower() or not response.body.startswith(_GZIP_MAGIC):
        return response
    decompressor = zlib.decompressobj(wbits=_GZIP_FORMAT)
    decoded = b""
    with suppress(zlib.error):
        decoded = decompressor.decompress(response.body[:-_GZIP_TRAILER_BYTES], MAX_ANSWER_BYTES)
        trailer = decompressor.unconsumed_tail + response.body[-_GZIP_TRAILER_BYTES:]
        decoded += decompressor.decompress(trailer, MAX_ANSWER_BYTES)
    return replace(response, body=decoded[:MAX_ANSWER_BYTES])
