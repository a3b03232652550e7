"""What an error of AWS means for a run: whether the call had no effect, and whether it can succeed later."""

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from handler import aws
from handler.errors import StoreError

BAD_REQUEST = 400
OF_THE_TOKEN = {"SecretId": "the-token"}


def client_that_gets(answer: Any, status: int) -> Any:
    """Return boto3's client, which takes this for AWS's answer and sends nothing. An exception is raised.

    A call that is sent and fails is repeated, which takes seconds.
    """
    client = boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )

    def answer_instead(**_: Any) -> tuple[Any, Any]:
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(status_code=status), answer

    client.meta.events.register("before-call", answer_instead)
    return client


def error_after(
    answer: Any,
    *,
    status: int = BAD_REQUEST,
    parameters: dict[str, str] | None = None,
) -> StoreError:
    """Return the error of a call that ends so: `describe_secret` of a secret, or `list_secrets`."""
    operation = "describe_secret" if parameters else "list_secrets"
    with pytest.raises(StoreError) as caught:
        aws.call(client_that_gets(answer, status), operation, **(parameters or {}))
    return caught.value


def refused(code: str = "Strange", status: int = BAD_REQUEST, message: object = "text") -> dict[str, Any]:
    return {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }


@pytest.mark.parametrize(
    ("status", "is_refusal"),
    [(399, False), (400, True), (499, True), (500, False)],
)
def test_answer_that_is_about_the_request_is_a_refusal(status: int, *, is_refusal: bool) -> None:
    """The call had no effect then. After any other error it may have had one."""
    assert error_after(refused(status=status), status=status).is_refusal is is_refusal


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
    error = error_after(response)
    assert (str(error), error.is_refusal, error.retryable) == ("Secrets Manager, list_secrets: None", False, True)


@pytest.mark.parametrize(
    ("code", "message", "parameters", "told"),
    [
        ("Strange", "canary", {}, "list_secrets: Strange"),
        ("AccessDenied", "nobody may", {}, "list_secrets: AccessDenied nobody may"),
        ("AccessDenied", "", {}, "list_secrets: AccessDenied"),
        ("AccessDenied", 5, {}, "list_secrets: AccessDenied"),
        ("Strange", "canary", OF_THE_TOKEN, "describe_secret of the-token: Strange"),
        (
            "ResourceNotFoundException",
            "canary",
            OF_THE_TOKEN,
            "describe_secret of the-token: ResourceNotFoundException: the secret is missing, so create it",
        ),
        (
            "InvalidRequestException",
            "canary",
            OF_THE_TOKEN,
            "describe_secret of the-token: InvalidRequestException: the secret is marked for deletion, so restore it",
        ),
        ("ResourceNotFoundException", "canary", {}, "list_secrets: ResourceNotFoundException"),
    ],
)
def test_error_tells_what_failed_and_what_to_do(
    code: str, message: object, parameters: dict[str, str], told: str
) -> None:
    """AWS's own text is repeated only if it is about access or a key: another one may quote a secret."""
    assert str(error_after(refused(code, message=message), parameters=parameters)) == f"Secrets Manager, {told}"


@pytest.mark.parametrize(
    ("answer", "code"),
    [({}, "EmptyAnswer"), ({"ResponseMetadata": {}}, "EmptyAnswer"), (KeyError("canary"), "KeyError")],
)
def test_call_without_an_answer_may_have_had_an_effect(answer: Any, code: str) -> None:
    """What botocore met in the answer is told by its name alone."""
    error = error_after(answer, status=200, parameters=OF_THE_TOKEN)
    assert str(error) == f"Secrets Manager, describe_secret of the-token: {code}"
    assert (error.code, error.is_refusal, error.retryable) == (code, False, True)


def test_answer_with_anything_in_it_is_returned() -> None:
    """What it must hold is the caller's business."""
    client = client_that_gets({"VersionId": "1"}, 200)
    assert aws.call(client, "describe_secret", **OF_THE_TOKEN) == {"VersionId": "1"}
