"""The two secrets in AWS Secrets Manager: read, put, compare and set. Maps AWS's errors to ours.

The client comes from botocore, because boto3's own imports would take a fifth of a cold start.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from handler.errors import ConfigurationError, CredentialsError, StoreError
from handler.model import SEED

_BOTOCORE_LOGGER = logging.getLogger("botocore")

# Stage labels of the token secret's versions: AWS's own, and ours.
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
LEDGER = "REFRESH_LEDGER"
PENDING = "REFRESH_PENDING"

# Three attempts end within about 20 s. The last write of a run starts 30 s before its lock ends at the
# latest.
CLIENT_CONFIG = {
    "connect_timeout": 2,
    "read_timeout": 4,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
_MISSING = "ResourceNotFoundException"
_DELETED = "InvalidRequestException"
_NO_ANSWER = "NoAnswer"  # a batch says nothing of a secret
_MALFORMED = "MalformedAnswer"  # a member of the answer has another type than AWS documents
_ALREADY_EXISTS = "ResourceExistsException"
# How AWS asks for a pause. It answers with a 4xx, as for a refusal.
_THROTTLING = {"ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded"}
_DENIED = {"AccessDeniedException", "AccessDenied"}
# What AWS says of these names the missing permission, or what is wrong with the key. Other messages may
# repeat what was sent.
_QUOTED = _DENIED | {"DecryptionFailure", "EncryptionFailure"}
_NOT_RETRYABLE = {_MISSING, _DELETED} | _DENIED
# A batch that fails as a whole with one of these is about a single secret in it.
_OF_ONE_SECRET = {_MISSING, _DELETED}
# AWS appends this many characters to a secret's name in its ARN.
_ARN_SUFFIX_LENGTH = len("-AbCdEf")


@cache
def session() -> Any:
    """Return the one session of this process. AWS's service models take long to read, so read once.

    The built-in handlers are special cases of other services. To register them takes part of a cold start.
    """
    return botocore.session.Session(include_builtin_handlers=False)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a secret. `version_id` is empty if there is no such version.

    `text` is None if the version holds bytes. `stages` are its stage labels. `created_at` is when it was
    put, in Unix seconds; 0 if AWS does not say.
    """

    version_id: str = ""
    text: str | None = field(default=None, repr=False)
    stages: tuple[str, ...] = ()
    created_at: float = 0.0


NO_VERSION = Version()


class SecretDescription(NamedTuple):
    """`changed_at` is when the secret, labels included, was last written, in Unix seconds.

    `is_in_sync`: each replica of the secret has what the secret has.
    """

    changed_at: float
    is_in_sync: bool


class SecretStore:
    """Reads both secrets and writes the token secret.

    Every method raises StoreError if AWS fails or refuses.
    """

    def __init__(self, client: Any, credentials_secret_id: str, token_secret_id: str) -> None:
        self._client = client
        self._credentials_id = credentials_secret_id
        self._token_id = token_secret_id

    @classmethod
    def connect(cls, credentials_secret_id: str, token_secret_id: str) -> "SecretStore":
        """Return a store. Raises ConfigurationError if the AWS client finds no region, for example."""
        try:
            client = session().create_client("secretsmanager", config=Config(**CLIENT_CONFIG))
        except (BotoCoreError, ValueError) as error:
            name = type(error).__name__
            raise ConfigurationError(
                f"environment: no AWS client can be made ({name}): check AWS_DEFAULT_REGION and other AWS_ variables"
            ) from None
        return cls(client, credentials_secret_id, token_secret_id)

    def get_both(self) -> tuple[Version, Version]:
        """Return the current versions of the credentials secret and the token secret, by one call.

        Raises CredentialsError if the credentials secret is missing or has no value. A token secret
        without a value is NO_VERSION.
        """
        try:
            answer = self._call(
                "batch_get_secret_value",
                SecretIdList=[self._credentials_id, self._token_id],
            )
        except StoreError as error:
            if error.code not in _OF_ONE_SECRET:
                raise
            return self._get_one_by_one()
        credentials = _batch_entry(answer, self._credentials_id)
        token = _batch_entry(answer, self._token_id)
        if isinstance(credentials, StoreError):
            if credentials.code in _OF_ONE_SECRET:
                raise _no_credentials(credentials.code)
            raise credentials
        if isinstance(token, StoreError):
            if token.code != _MISSING:
                raise token
            token = NO_VERSION
        _check_that_they_differ(credentials, token)
        return credentials, token

    def _get_one_by_one(self) -> tuple[Version, Version]:
        try:
            credentials = self._get(self._credentials_id, CURRENT)
        except StoreError as error:
            if error.code in _OF_ONE_SECRET:
                raise _no_credentials(error.code) from None
            raise
        token = self.get_version(CURRENT)
        _check_that_they_differ(credentials, token)
        return credentials, token

    def get_version(self, stage: str) -> Version:
        """Return the token secret's version under this stage label; NO_VERSION if there is none."""
        try:
            return self._get(self._token_id, stage)
        except StoreError as error:
            if error.code == _MISSING:
                return NO_VERSION
            raise

    def _get(self, secret_id: str, stage: str) -> Version:
        answer = self._call("get_secret_value", SecretId=secret_id, VersionStage=stage)
        return _version(answer, "get_secret_value")

    def describe(self) -> SecretDescription:
        """Return what AWS knows of the token secret, without its value."""
        answer = self._call("describe_secret", SecretId=self._token_id)
        changed = answer.get("LastChangedDate") or answer.get("CreatedDate")
        replicas = answer.get("ReplicationStatus", [])
        if not isinstance(changed, datetime):
            raise _store_error("describe_secret", _MALFORMED)
        return SecretDescription(
            changed_at=changed.timestamp(),
            is_in_sync=all(replica.get("Status") == "InSync" for replica in replicas),
        )

    def put_seed(self) -> str:
        """Give the token secret its first version, and return the version's id.

        The id is always the same, so a late or repeated call writes over nothing.
        """
        version_id = self.seed_id()
        self.put_version(version_id, SEED, stages=[PENDING])
        return version_id

    def seed_id(self) -> str:
        """Return the id of the token secret's first version, made from the secret's name."""
        name = f"token-refresh:seed:{_name_in_arn(self._token_id)}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    def put_version(self, version_id: str, document: str, *, stages: list[str]) -> None:
        """Put a version under these stage labels. It is safe to repeat with the same arguments."""
        answer = self._call(
            "put_secret_value",
            SecretId=self._token_id,
            ClientRequestToken=version_id,
            SecretString=document,
            VersionStages=stages,
        )
        if answer.get("VersionId") != version_id:  # something between us and AWS has answered
            raise _store_error("put_secret_value", "OtherAnswer")

    def compare_and_set_ledger(
        self,
        document: str,
        *,
        version_id: str,
        expected_version_id: str,
        is_ours: Callable[[Version], bool],
    ) -> bool:
        """Put the ledger under `version_id` and move the label REFRESH_LEDGER to it.

        Returns False if the label is no longer on `expected_version_id` (empty: on no version), or if
        somebody else has put the version. AWS does not document how it refuses the move, and answers
        get lost. So if a call does not succeed, the version under the label tells who won: `is_ours`
        says whether a version was written by this very call.
        """
        try:
            self.put_version(version_id, document, stages=[PENDING])
        except StoreError as error:
            if error.code != _ALREADY_EXISTS:
                raise
            return is_ours(self.get_version(LEDGER))
        try:
            self.move_stage(
                LEDGER,
                to_version_id=version_id,
                expected_version_id=expected_version_id,
            )
        except StoreError as error:
            if error.code in _DENIED:
                raise
            if is_ours(self.get_version(LEDGER)):
                return True
            if error.is_refusal:
                return False
            raise
        return True

    def move_stage(self, stage: str, *, to_version_id: str, expected_version_id: str) -> None:
        """Move a stage label. Raises StoreError if it is not on `expected_version_id`.

        An empty `expected_version_id` means that no version has the label.
        """
        move = {
            "SecretId": self._token_id,
            "VersionStage": stage,
            "MoveToVersionId": to_version_id,
        }
        if expected_version_id:
            move["RemoveFromVersionId"] = expected_version_id
        self._call("update_secret_version_stage", **move)

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        # At DEBUG it would log all that is read and written, so it is set again whoever has changed it.
        if _BOTOCORE_LOGGER.level != logging.WARNING:
            _BOTOCORE_LOGGER.setLevel(logging.WARNING)
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        except ClientError as error:
            raise _error_of_aws(operation, error) from None
        except Exception as error:  # noqa: BLE001 - botocore's own, or what it meets in a foreign answer
            raise _store_error(operation, type(error).__name__) from None
        if not answer.keys() - {"ResponseMetadata"}:
            raise _store_error(operation, "EmptyAnswer")
        return answer


def _error_of_aws(operation: str, error: ClientError) -> StoreError:
    details = error.response.get("Error", {})
    code = str(details.get("Code"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    is_client_error = status is not None and 400 <= status < 500
    is_refusal = is_client_error and code not in _THROTTLING
    return _store_error(operation, code, details.get("Message"), is_refusal=is_refusal)


def _store_error(what: str, code: str, message: object = "", *, is_refusal: bool = False) -> StoreError:
    text = f"Secrets Manager, {what}: {code}"
    if code in _QUOTED and isinstance(message, str):
        text = f"{text} {message}".rstrip()
    return StoreError(
        text,
        code=code,
        retryable=code not in _NOT_RETRYABLE,
        is_refusal=is_refusal,
    )


def _no_credentials(code: str) -> CredentialsError:
    return CredentialsError(f"the credentials secret is missing or has no value ({code})")


def _check_that_they_differ(credentials: Version, token: Version) -> None:
    if credentials == token:
        raise ConfigurationError("environment: TOKEN_SECRET_ID and CREDENTIALS_SECRET_ID name the same secret")


def _version(answer: dict[str, Any], what: str) -> Version:
    """Return the version in an answer. Raises StoreError if a member has another type than AWS documents."""
    version_id = answer.get("VersionId", "")
    text = answer.get("SecretString")
    stages = answer.get("VersionStages", [])
    is_text = text is None or isinstance(text, str)
    if not isinstance(version_id, str) or not version_id or not is_text or not isinstance(stages, list):
        raise _store_error(what, _MALFORMED)
    if not all(isinstance(stage, str) for stage in stages):
        raise _store_error(what, _MALFORMED)
    created = answer.get("CreatedDate")
    created_at = created.timestamp() if isinstance(created, datetime) else 0.0
    return Version(version_id, text, tuple(stages), created_at)


def _batch_entry(answer: dict[str, Any], secret_id: str) -> Version | StoreError:
    """Return a secret's version from a batch, or the error that the batch has for it.

    AWS names a secret by its name or by its ARN.
    """
    what = f"batch_get_secret_value of {secret_id}"
    for value in answer.get("SecretValues", []):
        arn = _text(value, "ARN")
        if secret_id in {_text(value, "Name"), arn, arn[:-_ARN_SUFFIX_LENGTH]}:
            return _version(value, what)
    for error in answer.get("Errors", []):
        name = _name_in_arn(_text(error, "SecretId"))
        if _name_in_arn(secret_id) in {name, name[:-_ARN_SUFFIX_LENGTH]}:
            return _store_error(what, _text(error, "ErrorCode") or _NO_ANSWER, error.get("Message"))
    return _store_error(what, _NO_ANSWER)


def _text(document: dict[str, Any], key: str) -> str:
    """Return a text of an answer; empty if it is missing or not a text."""
    value = document.get(key)
    if isinstance(value, str):
        return value
    return ""


def _name_in_arn(secret_id: str) -> str:
    """Return the name in an ARN, with the suffix that AWS appends; a plain name as it is."""
    return secret_id.rpartition(":secret:")[2]
