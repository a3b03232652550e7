"""The two secrets in AWS Secrets Manager: read, put, compare and set. Maps AWS's errors to ours.

The client comes from botocore, because boto3's own imports would take a fifth of a cold start.
"""

import logging
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from handler.errors import ConfigurationError, CredentialsError, StoreError
from handler.model import SEED

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
_MOVE_REFUSED = "InvalidParameterException"
_DENIED = {"AccessDeniedException", "AccessDenied"}
_NOT_RETRYABLE = {_MISSING, _DELETED} | _DENIED
# AWS appends this many characters to a secret's name in its ARN.
_ARN_SUFFIX_LENGTH = len("-AbCdEf")

# At DEBUG it would log all that is read and written.
logging.getLogger("botocore").setLevel(logging.WARNING)


@cache
def session() -> Any:
    """Return the one session of this process. AWS's service models take long to read, so read once."""
    return botocore.session.get_session()


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a secret. `version_id` is empty if there is no such version.

    `text` is None if the version holds bytes.
    """

    version_id: str = ""
    text: str | None = field(default=None, repr=False)


NO_VERSION = Version()


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
            raise ConfigurationError(f"environment: boto3 makes no client of it ({type(error).__name__})") from None
        return cls(client, credentials_secret_id, token_secret_id)

    def get_both(self) -> tuple[Version, Version]:
        """Return the current versions of the credentials secret and the token secret, by one call.

        Raises CredentialsError if the credentials secret is missing or has no value. A token secret
        without a value is NO_VERSION.
        """
        answer = self._call(
            "batch_get_secret_value",
            SecretIdList=[self._credentials_id, self._token_id],
        )
        credentials, credentials_error = _batch_entry(answer, self._credentials_id)
        token, token_error = _batch_entry(answer, self._token_id)
        if credentials_error in {_MISSING, _DELETED}:
            raise CredentialsError(f"the credentials secret is missing or has no value ({credentials_error})")
        if credentials_error:
            raise _store_error(f"batch_get_secret_value of {self._credentials_id}", credentials_error)
        if token_error not in {"", _MISSING}:
            raise _store_error(f"batch_get_secret_value of {self._token_id}", token_error)
        if credentials == token:
            raise ConfigurationError("environment: TOKEN_SECRET_ID and CREDENTIALS_SECRET_ID name the same secret")
        return credentials, token

    def get_version(self, stage: str) -> Version:
        """Return the token secret's version under this stage label; NO_VERSION if there is none."""
        try:
            answer = self._call("get_secret_value", SecretId=self._token_id, VersionStage=stage)
        except StoreError as error:
            if error.code == _MISSING:
                return NO_VERSION
            raise
        return Version(answer.get("VersionId", ""), answer.get("SecretString"))

    def last_changed_at(self) -> float:
        """Return the Unix time at which the token secret, labels included, was last written."""
        answer = self._call("describe_secret", SecretId=self._token_id)
        changed: datetime = answer.get("LastChangedDate") or answer["CreatedDate"]
        return changed.timestamp()

    def put_seed(self) -> str:
        """Give the token secret its first version, and return the version's id.

        The id is always the same, so a late or repeated call writes over nothing.
        """
        name = f"token-refresh:seed:{_name_in_arn(self._token_id)}"
        version_id = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        self.put_version(version_id, SEED, stages=[PENDING])
        return version_id

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

    def compare_and_set_ledger(self, document: str, *, version_id: str, expected_version_id: str) -> bool:
        """Put the ledger under `version_id` and move the label REFRESH_LEDGER to it.

        Returns False if the label is no longer on `expected_version_id` (empty: on no version).
        """
        self.put_version(version_id, document, stages=[PENDING])
        return self.move_stage(
            LEDGER,
            to_version_id=version_id,
            expected_version_id=expected_version_id,
        )

    def move_stage(self, stage: str, *, to_version_id: str, expected_version_id: str) -> bool:
        """Move a stage label. Returns False if it is no longer on `expected_version_id`.

        An empty `expected_version_id` means that no version has the label.
        """
        move = {
            "SecretId": self._token_id,
            "VersionStage": stage,
            "MoveToVersionId": to_version_id,
        }
        if expected_version_id:
            move["RemoveFromVersionId"] = expected_version_id
        try:
            self._call("update_secret_version_stage", **move)
        except StoreError as error:
            if error.code != _MOVE_REFUSED:
                raise
            # If the answer to a move is lost, botocore repeats the move and AWS refuses it: then the
            # label is already where it should be.
            return self.get_version(stage).version_id == to_version_id
        return True

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
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
    if code in _DENIED:
        # A denial names the missing permission. Other messages may repeat what was sent.
        return _store_error(operation, code, str(details.get("Message")))
    return _store_error(operation, code)


def _store_error(what: str, code: str, message: str = "") -> StoreError:
    text = f"Secrets Manager, {what}: {code} {message}"
    return StoreError(text.rstrip(), code=code, retryable=code not in _NOT_RETRYABLE)


def _batch_entry(answer: dict[str, Any], secret_id: str) -> tuple[Version, str]:
    """Return a secret's version from a batch, or NO_VERSION and the error's code.

    AWS names a secret by its name or by its ARN.
    """
    for value in answer.get("SecretValues", []):
        arn = value.get("ARN", "")
        if secret_id in {value.get("Name"), arn, arn[:-_ARN_SUFFIX_LENGTH]}:
            return Version(value.get("VersionId", ""), value.get("SecretString")), ""
    for error in answer.get("Errors", []):
        name = _name_in_arn(error["SecretId"])
        if _name_in_arn(secret_id) in {name, name[:-_ARN_SUFFIX_LENGTH]}:
            return NO_VERSION, error["ErrorCode"]
    return NO_VERSION, "NoAnswer"


def _name_in_arn(secret_id: str) -> str:
    """Return the name in an ARN, with the suffix that AWS appends; a plain name as it is."""
    return secret_id.rpartition(":secret:")[2]
