"""Lambda's Invoke interface on loopback, for one function that runs in this process.

`POST /2015-03-31/functions/NAME/invocations` is AWS's own. For people, `GET /_emulator` shows the queue, and
`GET /_emulator/dead-letters` what Lambda gave up. The function's log and metrics are global in its process, so one
run is made at a time.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import uuid
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from local.aws_lambda import MAX_EVENT_AGE_SECONDS, TIMEOUT_SECONDS
from local.emulators.caller import REFUSAL, is_of_this_machine
from local.emulators.clock import Clock
from local.emulators.faults import HttpAnswer, encode
from local.emulators.lambda_queue import DeadLetter, LambdaQueue
from local.emulators.lambda_runtime import FUNCTION_ARN, FUNCTION_NAME, Context, Handle, Run, run
from local.emulators.loopback import Loopback, LoopbackHandler, LoopbackServer
from local.emulators.secrets_manager import AwsFault

CONTROL_PATH = "/_emulator"
DEAD_LETTERS_PATH = "/_emulator/dead-letters"
MAX_PAYLOAD_BYTES = {"RequestResponse": 6_291_456, "Event": 1_048_576, "DryRun": 6_291_456}
MAX_LOG_BYTES = 4_096  # of a log, its end
_INVOCATIONS = re.compile("/2015-03-31/functions/([^/]+)/invocations")
# A name, an ARN, or an ARN without its beginning; with a version or without. There is one version, $LATEST.
_FUNCTION = re.compile(
    r"(?:arn:aws:lambda:)?(?:us-east-1:)?(?:123456789012:)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<version>[$a-zA-Z0-9-_]+))?"
)
_LATEST = "$LATEST"


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of Invoke that arrived, even if it was refused. Its event may hold anything, so repr omits it."""

    at: float
    function: str
    kind: str
    body: bytes = field(repr=False)

    @property
    def event(self) -> Any:
        return _event_in(self.body)


class LambdaService:
    """Has one function. `handle` is called as Lambda calls it: with an event and a context.

    `listeners` hear of each run that has ended. `outage`: while it is set, every call of Invoke meets it.
    """

    def __init__(
        self,
        clock: Clock,
        handle: Handle,
        *,
        port: int = 0,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_event_age_seconds: float = MAX_EVENT_AGE_SECONDS,
    ) -> None:
        self.clock = clock
        self.url = ""
        self.timeout_seconds = timeout_seconds
        self.invocations: list[Invocation] = []
        self.outage: AwsFault | None = None
        self.connections = 0  # that clients have opened
        self.listeners: list[Callable[[Run], None]] = []
        self.queue = LambdaQueue(clock, self._run, max_event_age_seconds)
        self._handle = handle
        self._port = port
        self._script: deque[AwsFault | None] = deque()
        self._one_run = threading.Lock()
        self._stack = contextlib.ExitStack()

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """What Lambda gave up, the oldest first."""
        return self.queue.dead_letters

    def __enter__(self) -> Self:
        server = _Server(self, self._port)
        self.url = f"http://127.0.0.1:{server.server_port}"
        self._stack.enter_context(Loopback(server))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_queue(self) -> None:
        """Run asynchronous invocations in a thread, until the service stops."""
        thread = threading.Thread(target=self.queue.work, daemon=True)
        thread.start()
        self._stack.callback(self.queue.stop)

    def run_queue(self, *, move_clock: bool = False) -> list[Run]:
        """Run the asynchronous invocations that are due, or all with `move_clock`. Returns the runs."""
        return self.queue.run_due(move_clock=move_clock)

    def fail(self, *faults: AwsFault | None) -> None:
        """Let the next calls of Invoke meet these in turn, after what is scripted already. None: no fault."""
        self._script.extend(faults)

    def describe(self) -> dict[str, Any]:
        return {
            "clock": self.clock.now(),
            "function": FUNCTION_ARN,
            "invocations": len(self.invocations),
            "queue": [queued.describe() for queued in self.queue.waiting()],
            "dead_letters": len(self.dead_letters),
        }

    def get(self, path: str) -> HttpAnswer:
        """Answer a person who looks."""
        if path == CONTROL_PATH:
            return _json(200, self.describe(), for_people=True)
        if path == DEAD_LETTERS_PATH:
            letters = [letter.describe() for letter in self.dead_letters]
            return _json(200, letters, for_people=True)
        return _refusal(404, "ResourceNotFoundException", f"no such path: {CONTROL_PATH} and {DEAD_LETTERS_PATH} exist")

    def post(self, url: str, headers: Message, body: bytes) -> HttpAnswer | None:
        """Answer a call of Invoke. Returns None if the connection is to be cut."""
        parts = urlsplit(url)
        match = _INVOCATIONS.fullmatch(parts.path)
        if match is None:
            return _refusal(404, "UnknownOperationException", "this emulator has only Invoke")
        qualifier = parse_qs(parts.query).get("Qualifier", [""])[0]
        kind = headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        function = unquote(match[1])
        self.invocations.append(Invocation(self.clock.now(), function, kind, body))
        fault = self._next_fault()
        answer = None
        if fault is None or fault.processed:
            wants_log = headers.get("X-Amz-Log-Type") == "Tail"
            refusal = _refusal_of(function, qualifier, kind, body)
            answer = refusal or self._invoke(kind, _event_in(body), wants_log=wants_log)
        if fault is None:
            return answer
        if fault.code:
            return _refusal(fault.status, fault.code, fault.message)
        return None

    def _next_fault(self) -> AwsFault | None:
        if self.outage:
            return self.outage
        if self._script:
            return self._script.popleft()
        return None

    def _invoke(self, kind: str, event: Any, *, wants_log: bool) -> HttpAnswer:
        if kind == "DryRun":
            return HttpAnswer(status=204, body=b"")
        if kind == "Event":
            request_id = self.queue.put(event)
            return HttpAnswer(status=202, body=b"", headers={"x-amzn-RequestId": request_id})
        ended = self._run(event, str(uuid.uuid4()))
        headers = {"x-amzn-RequestId": ended.request_id, "X-Amz-Executed-Version": _LATEST}
        if ended.error:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if wants_log:
            headers["X-Amz-Log-Result"] = b64encode(ended.log.encode()[-MAX_LOG_BYTES:]).decode()
        return _json(200, ended.payload, headers)

    def _run(self, event: Any, request_id: str) -> Run:
        with self._one_run:
            deadline = self.clock.now() + self.timeout_seconds
            ended = run(self._handle, event, Context(self.clock, deadline, aws_request_id=request_id))
            for listener in self.listeners:
                listener(ended)
        return ended


def _refusal_of(function: str, qualifier: str, kind: str, body: bytes) -> HttpAnswer | None:
    """Return how Lambda refuses the call; None if the function is to be invoked."""
    if kind not in MAX_PAYLOAD_BYTES:
        return _refusal(400, "InvalidParameterValueException", f"unknown invocation type {kind!r}")
    match = _FUNCTION.fullmatch(function)
    version = qualifier or (match and match["version"]) or _LATEST
    if match is None or match["name"] != FUNCTION_NAME or version != _LATEST:
        return _refusal(404, "ResourceNotFoundException", f"Function not found: {function}")
    if len(body) > MAX_PAYLOAD_BYTES[kind]:
        largest = f"Request must be smaller than {MAX_PAYLOAD_BYTES[kind]} bytes for the InvokeFunction operation"
        return _refusal(413, "RequestTooLargeException", largest)
    try:
        _event_in(body)
    except (ValueError, RecursionError):  # not JSON, not Unicode, or nested too deeply
        message = "Could not parse request body into json: Could not parse payload into json"
        return _refusal(400, "InvalidRequestContentException", message)
    return None


def _event_in(body: bytes) -> Any:
    """Return the event in a request. Without a payload Lambda invokes the function with an empty object."""
    if not body:
        return {}
    return json.loads(body, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON, though Python reads it")


def _json(status: int, value: Any, headers: Mapping[str, str] | None = None, *, for_people: bool = False) -> HttpAnswer:
    body = encode(json.dumps(value, indent=2) + "\n") if for_people else encode(json.dumps(value))
    return HttpAnswer(status, body, {"Content-Type": "application/json", **(headers or {})})


def _refusal(status: int, code: str, message: str) -> HttpAnswer:
    headers = {"x-amzn-ErrorType": code, "x-amzn-RequestId": str(uuid.uuid4())}
    return _json(status, {"Type": "User", "Message": message}, headers)


class _Server(LoopbackServer):
    def __init__(self, service: LambdaService, port: int) -> None:
        self.service = service
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(LoopbackHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.service.connections += 1

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        if self._is_allowed():
            self._send(self.server.service.get(self.path))

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._is_allowed():
            return
        answer = self.server.service.post(self.path, self.headers, body)
        if answer:
            self._send(answer)
        else:
            self.close_connection = True

    def _is_allowed(self) -> bool:
        """Refuse what a web page may have sent. Returns False if that was done."""
        if is_of_this_machine(self.headers):
            return True
        self._send(_refusal(403, "AccessDeniedException", REFUSAL))
        return False

    def _send(self, answer: HttpAnswer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
