"""The HTTP server of the emulated vendor. It sends each answer as the fault of the request lets it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from local.emulators.caller import REFUSAL, is_of_this_machine
from local.emulators.faults import NO_FAULT, Fault, HttpAnswer, json_answer, refusal
from local.emulators.loopback import LoopbackHandler, LoopbackServer

if TYPE_CHECKING:
    from local.emulators.token_endpoint import Vendor

TOKEN_PATH = "/oauth/token"
API_PATH = "/raas/v2/customers"
CONTROL_PATH = "/_emulator"
ROUTES = {TOKEN_PATH: ("POST",), API_PATH: ("GET",), CONTROL_PATH: ("GET", "POST")}


class TokenServer(LoopbackServer):
    def __init__(self, vendor: Vendor, port: int) -> None:
        self.vendor = vendor
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(LoopbackHandler):
    server: TokenServer

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
        elif not is_of_this_machine(self.headers):
            self._send(refusal(403, "access_denied", REFUSAL))
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
        head = answer.head(closes=self.close_connection)
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
