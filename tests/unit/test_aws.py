"""What an error of AWS means for a run: whether the call had no effect, and whether it can succeed later."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from handler import aws
from handler.errors import StoreError


class Client:
    """A client whose only operation ends like this. A real one repeats some of these calls, which takes seconds."""

    def __init__(self, ending: Any) -> None:
        self._ending = ending

    def operate(self, **_: str) -> Any:
        if isinstance(self._ending, Exception):
            raise self._ending
        return self._ending


def error_after(ending: Any, **parameters: str) -> StoreError:
    with pytest.raises(StoreError) as caught:
        aws.call(Client(ending), "operate", **parameters)
    return caught.value


def refused(code: str = "Strange", status: int = 400, message: object = "text") -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "operate")


@pytest.mark.parametrize(
    ("status", "is_refusal"),
    [(399, False), (400, True), (499, True), (500, False)],
)
def test_answer_that_is_about_the_request_is_a_refusal(status: int, *, is_refusal: bool) -> None:
    """The call had no effect then. After any other error it may have had one."""
    assert error_after(refused(status=status)).is_refusal is is_refusal


@pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException", "LimitExceededException"])
def test_call_that_aws_asks_to_make_later_is_not_refused(code: str) -> None:
    """It has the status of a refusal all the same."""
    error = error_after(refused(code))
    assert not error.is_refusal
    assert error.retryable


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("ResourceNotFoundException", False),
        ("InvalidRequestException", False),
        ("AccessDeniedException", False),
        ("DecryptionFailure", True),
        ("Strange", True),
    ],
)
def test_only_what_a_person_must_put_right_is_not_retryable(code: str, *, retryable: bool) -> None:
    """A disabled key may be AWS's own trouble."""
    error = error_after(refused(code))
    assert (error.code, error.retryable) == (code, retryable)


@pytest.mark.parametrize("response", [{}, {"Error": {}}, {"ResponseMetadata": {}}], ids=str)
def test_error_that_says_nothing_may_pass(response: Any) -> None:
    """Something between us and AWS has answered."""
    error = error_after(ClientError(response, "operate"))
    assert (str(error), error.is_refusal, error.retryable) == ("Secrets Manager, operate: None", False, True)


@pytest.mark.parametrize(
    ("code", "message", "parameters", "told"),
    [
        ("Strange", "canary", {}, "operate: Strange"),
        ("AccessDenied", "nobody may", {}, "operate: AccessDenied nobody may"),
        ("AccessDenied", "", {}, "operate: AccessDenied"),
        ("AccessDenied", 5, {}, "operate: AccessDenied"),
        ("Strange", "canary", {"SecretId": "the-token"}, "operate of the-token: Strange"),
        (
            "ResourceNotFoundException",
            "canary",
            {"SecretId": "the-token"},
            "operate of the-token: ResourceNotFoundException: the secret is missing, so create it",
        ),
        (
            "InvalidRequestException",
            "canary",
            {"SecretId": "the-token"},
            "operate of the-token: InvalidRequestException: the secret is marked for deletion, so restore it",
        ),
        ("ResourceNotFoundException", "canary", {}, "operate: ResourceNotFoundException"),
    ],
)
def test_error_tells_what_failed_and_what_to_do(
    code: str, message: object, parameters: dict[str, str], told: str
) -> None:
    """AWS's own text is repeated only if it is about access or a key: another one may quote a secret."""
    assert str(error_after(refused(code, message=message), **parameters)) == f"Secrets Manager, {told}"


@pytest.mark.parametrize(
    ("ending", "code"),
    [({}, "EmptyAnswer"), ({"ResponseMetadata": {}}, "EmptyAnswer"), (KeyError("canary"), "KeyError")],
)
def test_call_without_an_answer_may_have_had_an_effect(ending: Any, code: str) -> None:
    """What botocore met in the answer is told by its name alone."""
    error = error_after(ending, SecretId="the-token")
    assert str(error) == f"Secrets Manager, operate of the-token: {code}"
    assert (error.code, error.is_refusal, error.retryable) == (code, False, True)


def test_answer_with_anything_in_it_is_returned() -> None:
    """What it must hold is the caller's business."""
    assert aws.call(Client({"VersionId": "1"}), "operate") == {"VersionId": "1"}
