"""A server on loopback that forwards HTTP, keeps connections open as AWS does, and counts."""

from __future__ import annotations

import http.client
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from local.emulators.loopback import Loopback, LoopbackHandler, LoopbackServer

HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "server", "date"}


@dataclass
class Counts:
    """What was forwarded. Bytes are those of HTTP with its heads, but without TLS and TCP."""

    connections: int = 0
    requests: int = 0
    bytes_out: int = 0
    bytes_in: int = 0


class Meter(Loopback):
    """Stands in front of the server at `url`. `counts` has what its clients send (out) and receive (in)."""

    def __init__(self, url: str) -> None:
        self.counts = Counts()
        self.target = urlsplit(url).netloc
        server = _Server(("127.0.0.1", 0), _Handler)
        server.meter = self
        self.url = f"http://127.0.0.1:{server.server_port}"
        super().__init__(server)


class _Server(LoopbackServer):
    meter: Meter


class _Handler(LoopbackHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.meter.counts.connections += 1

    def _forward(self) -> None:
        meter = self.server.meter
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        head_bytes = len(self.requestline) + len("\r\n") + len(self.headers.as_bytes())
        meter.counts.requests += 1
        meter.counts.bytes_out += head_bytes + len(body)
        with closing(http.client.HTTPConnection(meter.target, timeout=60)) as upstream:
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                lines.append(f"{name}: {value}")
        lines += [f"Content-Length: {len(content)}", "", ""]
        response = "\r\n".join(lines).encode() + content
        meter.counts.bytes_in += len(response)
        self.wfile.write(response)

    do_GET = do_POST = _forward  # noqa: N815 - the library's names
