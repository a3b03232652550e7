"""An HTTP server on loopback that gives every request the same answer, and records what it received."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from local.emulators.loopback import Loopback, LoopbackServer


@dataclass(frozen=True)
class Received:
    method: str
    target: str  # as in the request line: a whole URL if the client takes the server for a proxy
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)


class Recorder(Loopback):
    """Answers with this status, body and headers; `received` has the requests in their order."""

    def __init__(
        self,
        status: int = 200,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.received: list[Received] = []
        self._status = status
        self._text = json.dumps({} if body is None else body)
        self._headers = {"Content-Length": str(len(self._text)), **(headers or {})}
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                body = self.rfile.read(length).decode()
                recorder.received.append(
                    Received(method=self.command, target=self.path, headers=dict(self.headers), body=body)
                )
                recorder.answer(self)

            do_GET = do_CONNECT = do_POST  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """Log nothing: requests carry secrets."""

        server = LoopbackServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        self.address = f"127.0.0.1:{server.server_port}"
        self.url = f"{scheme}://{self.address}"
        super().__init__(server)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(self._status)
        for name, value in self._headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(self._text.encode())
