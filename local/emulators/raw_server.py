"""A server on loopback that answers with raw bytes, also with what no HTTP library would send."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterable

from local.emulators.loopback import Loopback, LoopbackServer

# From the bytes of a request to the pieces of its answer. An answer may have no end.
Answer = Callable[[bytes], Iterable[bytes]]

MAX_SECONDS = 30.0  # for one answer; an answer without an end stops by itself


class RawServer(Loopback):
    """Sends the pieces of `answer`, `pause_seconds` apart, until the client leaves or the server stops.

    `requests` has the bytes of each request, and `bytes_sent` counts what the clients' machine has taken.
    """

    def __init__(self, answer: Answer, *, pause_seconds: float = 0.0, max_seconds: float = MAX_SECONDS) -> None:
        self.answer = answer
        self.pause_seconds = pause_seconds
        self.max_seconds = max_seconds
        self.requests: list[bytes] = []
        self.bytes_sent = 0
        self.stopping = threading.Event()
        server = _Server(("127.0.0.1", 0), _Handler)
        server.raw = self
        self.url = f"http://127.0.0.1:{server.server_port}"
        super().__init__(server)

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        super().__exit__(*exception)


def always(answer: bytes) -> Answer:
    """Return an answer that is the same for every request."""
    return lambda _: [answer]


class _Server(LoopbackServer):
    raw: RawServer


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        raw = self.server.raw
        with contextlib.suppress(OSError):  # the client may leave at any moment
            request = self._read_request()
            raw.requests.append(request)
            self._send(raw.answer(request))

    def _read_request(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                raise ConnectionError
            head += line
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        if length is None:
            return head
        return head + self.rfile.read(int(length[1]))

    def _send(self, pieces: Iterable[bytes]) -> None:
        raw = self.server.raw
        ends_at = time.monotonic() + raw.max_seconds
        for piece in pieces:
            if raw.stopping.is_set() or time.monotonic() > ends_at:
                return
            self.connection.sendall(piece)
            raw.bytes_sent += len(piece)
            if raw.pause_seconds and raw.stopping.wait(raw.pause_seconds):
                return
