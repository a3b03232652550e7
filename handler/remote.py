"""Asks the deployed function, for somebody at a shell."""

from typing import Any

from handler import aws
from handler.errors import ERROR_CLASSES, RefreshError
from handler.model import json_object
from handler.result import empty_result

# The function's timeout, as in template.yaml, and some seconds for AWS.
READ_TIMEOUT_SECONDS = 450
# So much is shown of an error that is not one of ours.
MAX_MESSAGE_CHARACTERS = 1_000


def invoke(function: str, event: Any) -> dict[str, Any]:
    """Invoke the function and return its result. `function` is a name or an ARN.

    Raises the error that the function's run ended with, StoreError if AWS refuses the call, or RefreshError
    if the answer is not one of this product.
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
        raise _error_in(document, function)
    if not _is_result(document):
        raise _foreign_answer(function)
    return document


def _is_result(document: dict[str, Any]) -> bool:
    """Say whether the document has what every result has, with the types that matter when it is printed."""
    if not empty_result("").keys() <= document.keys():
        return False
    is_told = isinstance(document["outcome"], str) and isinstance(document["summary"], str)
    return is_told and isinstance(document["warnings"], list)


def _foreign_answer(function: str) -> RefreshError:
    """Return an error that shows nothing of the answer, which may hold anything, secrets too."""
    return RefreshError(
        f"the function {function} did not answer as this product does: "
        "check its name, and which version of the product is deployed"
    )


def _error_in(document: dict[str, Any], function: str) -> RefreshError:
    """Return the function's error. One that is not ours was a timeout or a crash, for example."""
    name = _text_in(document, "errorType")
    message = _text_in(document, "errorMessage")
    if not name and not message:
        return _foreign_answer(function)
    if name in ERROR_CLASSES and message:
        return ERROR_CLASSES[name](message)
    told = ": ".join(filter(None, [name, message]))
    if len(told) > MAX_MESSAGE_CHARACTERS:
        told = f"{told[:MAX_MESSAGE_CHARACTERS]} ..."
    return RefreshError(f"the function {function} failed: {told}")


def _text_in(document: dict[str, Any], name: str) -> str:
    """Return this member if it is a text, else an empty one."""
    value = document.get(name)
    if isinstance(value, str):
        return value
    return ""
