"""One run of the function in this process, as Lambda's runtime does it: context in, result or error and log out."""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from handler.telemetry import logger
from local.emulators.clock import Clock

FUNCTION_NAME = "token-refresh"
FUNCTION_ARN = f"arn:aws:lambda:us-east-1:123456789012:function:{FUNCTION_NAME}"

Handle = Callable[[Any, Any], Any]  # an event and a Context, to a result


@dataclass
class Context:
    """What Lambda passes to the handler, by a clock that can be moved."""

    clock: Clock
    deadline: float
    function_name: str = FUNCTION_NAME
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = FUNCTION_ARN
    aws_request_id: str = "local"

    def get_remaining_time_in_millis(self) -> int:
        return int((self.deadline - self.clock.now()) * 1_000)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended. `error`: what it raised, or None. `log`: what it wrote, metrics included."""

    event: Any
    request_id: str
    result: Any
    error: Exception | None
    log: str = field(repr=False)

    @property
    def payload(self) -> Any:
        """What Lambda answers: the result, or the error as a document."""
        if self.error is None:
            return self.result
        return {
            "errorMessage": str(self.error),
            "errorType": type(self.error).__name__,
            "requestId": self.request_id,
            "stackTrace": traceback.format_tb(self.error.__traceback__),
        }

    @property
    def output(self) -> str:
        """All that the run showed to anybody, as one text."""
        if self.error is None:
            return json.dumps(self.result) + self.log
        return "".join(traceback.format_exception(self.error)) + repr(self.error) + self.log


def run(handle: Handle, event: Any, context: Context) -> Run:
    """Run the function once. An exception of the function is in the answer, and is not raised."""
    result = None
    error = None
    with captured() as log:
        try:
            result = handle(event, context)
        except Exception as raised:  # noqa: BLE001 - Lambda takes whatever the function raises
            error = raised
    return Run(event, context.aws_request_id, result, error, log.getvalue())


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Catch what the handler writes, log and metrics, which otherwise goes to standard output."""
    output = io.StringIO()
    log = logger.registered_handler
    assert isinstance(log, logging.StreamHandler)  # noqa: S101 - Powertools made it
    before = log.setStream(output)
    try:
        with redirect_stdout(output):
            yield output
    finally:
        log.setStream(before)
