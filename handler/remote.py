"""Asks the deployed function, for somebody at a shell."""

from typing import Any

from handler import aws
from handler.errors import ERROR_CLASSES, RefreshError
from handler.model import json_object

# The function's timeout, as in template.yaml, and some seconds for AWS.
READ_TIMEOUT_SECONDS = 450


def invoke(function: str, event: Any) -> dict[str, Any]:
    """Invoke the function and return its result. `function` is a name or an ARN.

    Raises the error that the function's run ended with, or StoreError if AWS refuses the call.
    """
    # Once: the answer of a run that was lost must not start another one.
    client = aws.make_client(
        "lambda",
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
    )
    answer = aws.invoke(client, function, event, invocation_type="RequestResponse")
    document = json_object(answer["Payload"])
    if "FunctionError" in answer:
        raise _error_in(document)
    return document


def _error_in(document: dict[str, Any]) -> RefreshError:
    """Return the function's error. One that is not ours was a timeout or a crash, for example."""
    name = str(document.get("errorType", ""))
    message = str(document.get("errorMessage", "the function failed without a message"))
    if name in ERROR_CLASSES:
        return ERROR_CLASSES[name](message)
    return RefreshError(f"{name}: {message}")
