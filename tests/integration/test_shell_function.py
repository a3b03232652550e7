"""`python -m handler --function NAME`: what the named function answers may be anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handler.errors import CredentialsError, RefreshError
from handler.remote import invoke
from handler.result import empty_result
from local.emulators.clock import Clock
from local.emulators.lambda_runtime import FUNCTION_NAME
from local.emulators.lambda_service import LambdaService
from tests.integration.recorder import Recorder
from tests.integration.shells import aws_variables, in_a_process, in_this_process

ASK = ["--function", FUNCTION_NAME, "status"]
NOT_OURS = f"RefreshError: the function {FUNCTION_NAME} did not answer as this product does: "
WHAT_TO_CHECK = "check its name, and which version of the product is deployed"
# It is in each foreign answer of these tests, with what clears a terminal. Nobody may see it.
CANARY = "canary\x1b[2J"
RESULT = empty_result("kept") | {"summary": "The token of client-blue ends at 2026-09-22 20:00 UTC, in 20.0 hours."}
PROBLEM = {"name": "stores/001", "error": "CredentialsError", "text": "client_id is missing"}
WORST = {"name": "stores/001", "seconds_remaining": 60, "expires_at": None, "reason": None, "error": None}
SWEPT = RESULT | {"connections": 1, "fresh": 0, "due": 0, "handed_over": 0, "empty": 0}
SWEPT |= {"problems": [PROBLEM], "worst": [WORST]}


def without(result: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != name}


def ask(answer: Any, *options: str) -> Any:
    """Ask a deployed function that answers this."""
    with LambdaService(Clock(), lambda *_: answer) as service:
        return in_this_process([*ASK, *options], aws_variables(service.url))


def ask_failed(document: Any) -> Any:
    """Ask a deployed function whose run failed, and left this document."""
    with Recorder(body=document, headers={"X-Amz-Function-Error": "Unhandled"}) as aws:
        return in_this_process(ASK, aws_variables(aws.url))


def assert_not_ours(done: Any) -> None:
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(NOT_OURS)
    assert "canary" not in line


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["for_people", "json"])
def test_answer_of_another_function_is_one_line_that_shows_nothing_of_it(options: list[str]) -> None:
    """A mistyped name asks some other function. Its answer is neither a traceback nor taken for a success."""
    assert_not_ours(ask({"statusCode": 200, "body": CANARY}, *options))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="null"),
        pytest.param([CANARY], id="a_list"),
        pytest.param(CANARY, id="a_text"),
        pytest.param({}, id="empty"),
        pytest.param({CANARY: CANARY}, id="unknown_keys"),
        pytest.param(without(RESULT, "summary"), id="no_summary"),
        pytest.param(without(RESULT, "warnings"), id="no_warnings"),
        pytest.param(RESULT | {"summary": [CANARY]}, id="a_list_for_a_summary"),
        pytest.param(RESULT | {"warnings": CANARY}, id="a_text_for_warnings"),
    ],
)
def test_answer_of_another_form_is_refused_before_anybody_prints_it(
    monkeypatch: pytest.MonkeyPatch,
    answer: Any,
) -> None:
    """What every result has is there."""
    with LambdaService(Clock(), lambda *_: answer) as service:
        for name, value in aws_variables(service.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RefreshError) as caught:
            invoke(FUNCTION_NAME, {})
    assert str(caught.value).startswith(f"the function {FUNCTION_NAME} did not answer as this product does: ")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(
            RESULT | {"standby": None, "problems": [], "next_due_at": None, "version": "1.0.0"}, id="a_status"
        ),
        pytest.param(SWEPT, id="a_sweep"),
        pytest.param(RESULT | {"of_a_later_version": CANARY}, id="a_later_version"),
    ],
)
def test_answer_of_this_product_is_shown(result: dict[str, Any]) -> None:
    """A key that this version does not know is no fault: the deployed function may be newer."""
    done = ask(result)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "The token of client-blue ends at " in done.stdout


@pytest.mark.parametrize(
    "document",
    [
        pytest.param([CANARY], id="a_list"),
        pytest.param({"errorType": None, "errorMessage": {"text": CANARY}}, id="no_text"),
    ],
)
def test_failure_that_does_not_say_why_is_told_as_such(document: Any) -> None:
    """Lambda always says why a run failed. What does not is not a run of this product."""
    assert_not_ours(ask_failed(document))


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"errorMessage": "Task timed out after 420.00 seconds"}, "Task timed out after 420.00 seconds"),
        ({"errorType": "Runtime.ExitError"}, "Runtime.ExitError"),
        (
            {"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named\n 'x'\x1b[2J\u202e"},
            "Runtime.ImportModuleError: No module named 'x'\\x1b[2J\\u202e",
        ),
        ({"errorType": "E", "errorMessage": 5_000 * "x"}, f"E: {997 * 'x'} ..."),
    ],
    ids=["only_a_message", "only_a_type", "control_characters", "long"],
)
def test_crash_of_the_function_is_told_in_one_line_of_plain_text(document: dict[str, str], told: str) -> None:
    """Nothing in a foreign text can steer the terminal, and a trace of megabytes does not fill it."""
    done = ask_failed(document)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"RefreshError: the function {FUNCTION_NAME} failed: {told}\n"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"errorMessage": "Task timed out"}, f"the function {FUNCTION_NAME} failed: Task timed out"),
        ({"errorType": "Runtime.ExitError"}, f"the function {FUNCTION_NAME} failed: Runtime.ExitError"),
        ({"errorType": "Busy"}, f"the function {FUNCTION_NAME} failed: Busy"),
        ({"errorType": "E", "errorMessage": "text"}, f"the function {FUNCTION_NAME} failed: E: text"),
        ({"errorMessage": 1_000 * "x"}, f"the function {FUNCTION_NAME} failed: {1_000 * 'x'}"),
        ({"errorMessage": 1_001 * "x"}, f"the function {FUNCTION_NAME} failed: {1_000 * 'x'} ..."),
        ({"errorType": 1, "errorMessage": "text"}, f"the function {FUNCTION_NAME} failed: text"),
        ({"errorType": 1, "errorMessage": [CANARY]}, NOT_OURS.removeprefix("RefreshError: ") + WHAT_TO_CHECK),
    ],
    ids=["a message", "a type", "our type alone", "both", "1,000 characters", "1,001", "odd type", "nothing"],
)
def test_failure_of_the_function_raises_an_error_that_says_why(
    monkeypatch: pytest.MonkeyPatch,
    document: dict[str, Any],
    told: str,
) -> None:
    """It shows 1,000 characters of a foreign text at most."""
    with Recorder(body=document, headers={"X-Amz-Function-Error": "Unhandled"}) as aws:
        for name, value in aws_variables(aws.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RefreshError) as caught:
            invoke(FUNCTION_NAME, {})
    assert type(caught.value) is RefreshError
    assert str(caught.value) == told


def test_error_of_this_product_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its class and its text, as if it had happened here."""
    document = {"errorType": "CredentialsError", "errorMessage": "client_id is missing"}
    with Recorder(body=document, headers={"X-Amz-Function-Error": "Unhandled"}) as aws:
        for name, value in aws_variables(aws.url).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(CredentialsError, match=r"^client_id is missing$"):
            invoke(FUNCTION_NAME, {})


def test_error_of_the_function_is_told_as_here() -> None:
    """An error of this product has its name, as if it had happened in this shell."""

    def fail(*_: object) -> None:
        raise CredentialsError("the credentials secret: client_id is missing")

    with LambdaService(Clock(), fail) as service:
        done = in_a_process(ASK, aws_variables(service.url))
    assert done.returncode == 1
    assert done.stderr == "CredentialsError: the credentials secret: client_id is missing\n"


def test_missing_function_is_named() -> None:
    """With several shells open, the name shows which variable was wrong."""
    with LambdaService(Clock(), lambda *_: RESULT) as service:
        done = in_this_process(["--function", "nobody", "status"], aws_variables(service.url))
    assert done.returncode == 1
    assert done.stderr == (
        "StoreError: Lambda, invoke: ResourceNotFoundException: "
        "there is no function nobody in this account and region\n"
    )


def test_no_text_of_a_result_can_steer_the_terminal() -> None:
    """A client id comes from a secret, and may hold anything. For people and as JSON it is shown in plain text."""
    odd = "blue\x1b]0;title\x07\u202e\ud800"
    result = RESULT | {"client_id": odd, "summary": f"The token of {odd} ends soon.", "warnings": [odd]}
    for options in ([], ["--json"]):
        done = ask(result, *options)
        assert done.returncode == 0
        assert not set(done.stdout) & {"\x1b", "\x07", "\u202e"}
        assert "blue\\" in done.stdout
    assert json.loads(done.stdout)["client_id"] == odd
