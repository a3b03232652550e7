"""An HTTP server on 127.0.0.1, for the length of a block."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

POLL_SECONDS = 0.005  # how long a server may take to notice that it must stop; nearly every test stops two
MAX_STOP_SECONDS = 10.0  # real ones; only a request whose handling does not end takes longer


class LoopbackServer(ThreadingHTTPServer):
    """Serves in threads of its own from `start` to `stop`: one that accepts, and one for each connection."""

    request_queue_size = 128  # with the default of 5 a crowd of clients has to repeat its SYNs

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        self._connections: list[tuple[threading.Thread, socket.socket]] = []
        self._accepting = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for this machine's name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name = "127.0.0.1"
        self.server_port = self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        # The library does not join its daemon threads. `stop` wakes and joins these.
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        self._connections = [pair for pair in self._connections if pair[0].is_alive()]
        self._connections.append((thread, request))
        thread.start()

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        """End all connections, and wait for their threads. Raises RuntimeError if one does not end.

        A request may stop the server that handles it. Its own thread is not waited for.
        """
        self.shutdown()
        self._accepting.join()
        self.server_close()
        for _, connection in self._connections:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        threads = [thread for thread, _ in self._connections if thread is not threading.current_thread()]
        for thread in threads:
            thread.join(MAX_STOP_SECONDS)
        if any(thread.is_alive() for thread in threads):
            raise RuntimeError("a request is still being handled: does a hook of the server not return?")


class LoopbackHandler(BaseHTTPRequestHandler):
    """Takes many requests over one connection, as AWS does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # what is sent in parts does not wait until the part before was acknowledged

    def log_message(self, *_: object) -> None:
        """Log nothing, since requests carry secrets. What is raised still goes to stderr."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # clients may leave at any moment
            super().handle()


class Loopback:
    """Serves from `__enter__` to `__exit__`."""

    def __init__(self, server: LoopbackServer) -> None:
        self._server = server

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
