"""Asks the deployed function, for somebody at a shell."""

from typing import Any

from handler import aws
from handler.errors import ERROR_CLASSES, RefreshError
from handler.model import json_object

# The function's timeout, as in template.yaml, and some seconds for AWS.
READ_TIMEOUT_SECONDS = 450
# So much is shown of an error that is not one of ours.
MAX_MESSAGE_CHARACTERS = 1_000
# The last second that a date can have, at the end of the year 9999.
_MAX_NUMBER = 253_402_300_799

# What a shell prints of a result. A kind is a type, None, a tuple of alternatives, a list with the kind of its
# members, or a dictionary with the kinds of an object's members.
_TEXT_OR_NULL = (str, None)
_NUMBER_OR_NULL = (int, None)
_STANDBY = {
    "client_id": str,
    "username": _TEXT_OR_NULL,
    "not_before": _NUMBER_OR_NULL,
}
_PROBLEM = {"error": str, "text": str}
_ONE_OF_THE_WORST = {
    "name": str,
    "seconds_remaining": int,
    "expires_at": _NUMBER_OR_NULL,
    "reason": _TEXT_OR_NULL,
    "error": _TEXT_OR_NULL,
}
_IN_EVERY_RESULT: dict[str, Any] = {
    "outcome": str,
    "reason": _TEXT_OR_NULL,
    "connection": _TEXT_OR_NULL,
    "expires_at": _NUMBER_OR_NULL,
    "seconds_remaining": _NUMBER_OR_NULL,
    "client_id": _TEXT_OR_NULL,
    "username": _TEXT_OR_NULL,
    "not_before": _NUMBER_OR_NULL,
    "dry_run": bool,
    "warnings": [str],
    "summary": str,
}
_IN_SOME_RESULTS: dict[str, Any] = {
    "next_due_at": _NUMBER_OR_NULL,
    "standby": (_STANDBY, None),
    "safe_to_deactivate": _TEXT_OR_NULL,
    "version": _TEXT_OR_NULL,
    "problems": [_PROBLEM],
}
_IN_RESULTS_OF_MANY: dict[str, Any] = {
    "connections": int,
    "fresh": int,
    "due": int,
    "handed_over": int,
    "empty": int,
    "problems": [_PROBLEM],
    "worst": [_ONE_OF_THE_WORST],
}


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
    fault = _fault_of(document)
    if fault:
        raise _foreign_answer(function, fault)
    return document


def _foreign_answer(function: str, fault: str) -> RefreshError:
    """Return an error that shows nothing of the answer, which may hold anything, secrets too."""
    return RefreshError(
        f"the function {function} did not answer as this product does: {fault}. "
        "Check its name, and which version is deployed"
    )


def _error_in(document: dict[str, Any], function: str) -> RefreshError:
    """Return the function's error. One that is not ours was a timeout or a crash, for example."""
    name = _text_in(document, "errorType")
    message = _text_in(document, "errorMessage")
    if not name and not message:
        return _foreign_answer(function, "it failed without an errorType and an errorMessage")
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


def _fault_of(document: dict[str, Any]) -> str:
    """Return why the document is not a result that can be printed; empty if it is one."""
    if not document:
        return "its answer is not a JSON object, or an empty one"
    expected = _IN_EVERY_RESULT
    if "worst" in document:
        expected = expected | _IN_RESULTS_OF_MANY
    missing = [name for name in expected if name not in document]
    if missing:
        return f"its answer has no {', '.join(missing)}"
    expected = expected | {name: kind for name, kind in _IN_SOME_RESULTS.items() if name in document}
    unfit = [name for name, kind in expected.items() if not _is(document[name], kind)]
    if unfit:
        return f"its answer has something else in {', '.join(unfit)}"
    return ""


def _is(value: Any, kind: Any) -> bool:
    """Say whether a JSON value is of a kind, as they are described above."""
    if kind is None:
        return value is None
    if kind is int:
        return type(value) is int and 0 <= value <= _MAX_NUMBER
    if isinstance(kind, tuple):
        return any(_is(value, one) for one in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(member, kind[0]) for member in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(_is(value.get(name), inner) for name, inner in kind.items())
    return isinstance(value, kind)
