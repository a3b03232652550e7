"""A server on loopback that passes HTTP on and counts it; it keeps connections open, as AWS does and moto does not."""

from __future__ import annotations

import http.client
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from local.emulators.loopback import Loopback, LoopbackServer

HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "server", "date"}


@dataclass
class Counts:
    """What has passed; bytes are those of HTTP, heads included, without TLS's and TCP's own."""

    connections: int = 0
    requests: int = 0
    bytes_out: int = 0
    bytes_in: int = 0


class Meter(Loopback):
    """Stands before the server at `url`; `counts` is from the side of who calls it."""

    def __init__(self, url: str) -> None:
        self.counts, self.target = Counts(), urlsplit(url).netloc
        server = _Server(("127.0.0.1", 0), _Handler)
        server.meter = self
        self.url = f"http://127.0.0.1:{server.server_port}"
        super().__init__(server)


class _Server(LoopbackServer):
    block_on_close = False  # a client may leave its connection open
    meter: Meter


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.meter.counts.connections += 1

    def log_message(self, *_: object) -> None:
        """Log nothing: requests carry secrets."""

    def _forward(self) -> None:
        meter, counts = self.server.meter, self.server.meter.counts
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        counts.requests += 1
        counts.bytes_out += len(self.requestline) + len("\r\n") + len(self.headers.as_bytes()) + len(body)
        with closing(http.client.HTTPConnection(meter.target, timeout=60)) as upstream:
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in headers)]
        whole = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content
        counts.bytes_in += len(whole)
        self.wfile.write(whole)

    do_GET = do_POST = _forward  # noqa: N815 - the library's names
