"""An HTTP server on 127.0.0.1, for the length of a block."""

from __future__ import annotations

import socketserver
import threading
from http.server import ThreadingHTTPServer
from typing import Self

POLL_SECONDS = 0.005  # how long a server may take to notice that it must stop; nearly every test stops two


class LoopbackServer(ThreadingHTTPServer):
    def server_bind(self) -> None:
        # HTTPServer asks the resolver for this machine's name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name = "127.0.0.1"
        self.server_port = self.socket.getsockname()[1]


class Loopback:
    """Serves in a thread of its own from `__enter__` to `__exit__`."""

    def __init__(self, server: LoopbackServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
