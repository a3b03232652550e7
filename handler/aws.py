"""How AWS is called: one session, bounded calls, and AWS's errors as ours.

The clients come from botocore. Nothing here needs what boto3 adds to it, and a cold start would wait for its imports.
"""

import json
import logging
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from handler.errors import KEY_FAILURES, ConfigurationError, StoreError

_BOTOCORE_LOGGER = logging.getLogger("botocore")

# Three attempts end within about 20 s. The last write of a run starts 30 s before its lock ends at the
# latest.
CLIENT_CONFIG = {
    "connect_timeout": 2,
    "read_timeout": 4,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
MISSING = "ResourceNotFoundException"
DELETED = "InvalidRequestException"
ALREADY_EXISTS = "ResourceExistsException"
NO_ANSWER = "NoAnswer"  # a batch says nothing of a secret
MALFORMED = "MalformedAnswer"  # a member of the answer has another type than AWS documents
DENIED = {"AccessDeniedException", "AccessDenied"}
# A call that fails as a whole with one of these is about a single secret in it.
OF_ONE_SECRET = {MISSING, DELETED}
# How AWS asks for a pause. It answers with a 4xx, as for a refusal.
_THROTTLING = {
    "ThrottlingException",
    "Throttling",
    "LimitExceededException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}
# What AWS says of these names the missing permission, or what is wrong with the key. Other messages may
# repeat what was sent.
_QUOTED = DENIED | KEY_FAILURES
_NOT_RETRYABLE = {MISSING, DELETED} | DENIED
# What to do about a secret.
_ADVICE = {
    MISSING: "the secret is missing, so create it",
    DELETED: "the secret is marked for deletion, so restore it",
}
# Whose operation it is, for messages, if it is not one of Secrets Manager.
_SERVICE_OF = {"invoke": "Lambda"}


@cache
def session() -> Any:
    """Return the one session of this process. AWS's service models take long to read, so read once.

    The built-in handlers are special cases of other services. To register them takes part of a cold start.
    """
    return botocore.session.Session(include_builtin_handlers=False)


def make_client(service: str, **config: Any) -> Any:
    """Return a client, such as for `secretsmanager`. `config` replaces members of CLIENT_CONFIG.

    Raises ConfigurationError if it finds no region, for example.
    """
    try:
        return session().create_client(service, config=Config(**(CLIENT_CONFIG | config)))
    except (BotoCoreError, ValueError) as error:
        name = type(error).__name__
        raise ConfigurationError(
            f"environment: no AWS client can be made ({name}): check AWS_DEFAULT_REGION and other AWS_ variables"
        ) from None


def call(client: Any, operation: str, /, **parameters: Any) -> dict[str, Any]:
    """Call AWS and return the answer. Raises StoreError if AWS fails, refuses or says nothing."""
    # At DEBUG it would log all that is read and written, so it is set again whoever has changed it.
    if _BOTOCORE_LOGGER.level != logging.WARNING:
        _BOTOCORE_LOGGER.setLevel(logging.WARNING)
    try:
        answer: dict[str, Any] = getattr(client, operation)(**parameters)
    except ClientError as error:
        raise _error_of_aws(_what(operation, parameters), error) from None
    except Exception as error:  # noqa: BLE001 - botocore's own, or what it meets in a foreign answer
        raise store_error(_what(operation, parameters), type(error).__name__) from None
    if not answer.keys() - {"ResponseMetadata"}:
        raise store_error(_what(operation, parameters), "EmptyAnswer")
    return answer


def _what(operation: str, parameters: dict[str, Any]) -> str:
    """Return how an error names a call: by its secret, too, if it is about a single one."""
    if "SecretId" in parameters:
        return f"{operation} of {parameters['SecretId']}"
    return operation


def invoke(client: Any, function: str, event: object, *, invocation_type: str) -> dict[str, Any]:
    """Invoke a Lambda function by its name or ARN. Its answer has the bytes of the payload. Raises StoreError."""
    try:
        answer = call(
            client,
            "invoke",
            FunctionName=function,
            InvocationType=invocation_type,
            Payload=json.dumps(event).encode(),
        )
    except StoreError as error:
        if error.code != MISSING:
            raise
        raise StoreError(
            f"{error}: there is no function {function} in this account and region",
            code=MISSING,
            retryable=False,
            is_refusal=error.is_refusal,
        ) from None
    try:
        # Also if nobody needs it: a connection with an answer that was not read is not used again.
        answer["Payload"] = answer["Payload"].read()
    except Exception as error:  # noqa: BLE001 - botocore's own, or what it meets in a foreign answer
        raise store_error("invoke", type(error).__name__) from None
    return answer


def _error_of_aws(what: str, error: ClientError) -> StoreError:
    details = error.response.get("Error", {})
    code = str(details.get("Code"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    is_client_error = status is not None and 400 <= status < 500
    is_refusal = is_client_error and code not in _THROTTLING
    return store_error(what, code, details.get("Message"), is_refusal=is_refusal)


def store_error(what: str, code: str, message: object = "", *, is_refusal: bool = False) -> StoreError:
    """Return the error of an AWS call. `what` names the operation, and `message` is AWS's own text."""
    service = _SERVICE_OF.get(what, "Secrets Manager")
    text = f"{service}, {what}: {code}"
    if code in _QUOTED and isinstance(message, str):
        text = f"{text} {message}".rstrip()
    if code in _ADVICE and " of " in what:
        text = f"{text}: {_ADVICE[code]}"
    return StoreError(
        text,
        code=code,
        retryable=code not in _NOT_RETRYABLE,
        is_refusal=is_refusal,
    )
