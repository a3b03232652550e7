"""The two secrets of a connection in AWS Secrets Manager: read, put, compare and set."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from handler import aws
from handler.errors import ConfigurationError, CredentialsError, RefreshError, StoreError
from handler.model import SEED

# Stage labels of the token secret's versions: AWS's own, and ours.
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
LEDGER = "REFRESH_LEDGER"
PENDING = "REFRESH_PENDING"

# AWS appends this many characters to a secret's name in its ARN.
_ARN_SUFFIX_LENGTH = len("-AbCdEf")
# AWS returns at most so many secrets of a list at once.
PAGE_SIZE = 20


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


class Both(NamedTuple):
    """The current versions of both secrets of a connection, or for each why it can't be read."""

    credentials: Version | RefreshError
    token: Version | StoreError

    def or_raise(self) -> tuple[Version, Version]:
        """Return both versions. Raises why one can't be read, the credentials first."""
        if isinstance(self.credentials, RefreshError):
            raise self.credentials
        if isinstance(self.token, StoreError):
            raise self.token
        return self.credentials, self.token


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

    def read_both(self) -> Both:
        """Read the current versions of the credentials secret and the token secret, by one call.

        Raises StoreError if the call fails as a whole. A token secret without a value is NO_VERSION.
        """
        try:
            answer = aws.call(
                self._client,
                "batch_get_secret_value",
                SecretIdList=[self._credentials_id, self._token_id],
            )
        except StoreError as error:
            if error.code not in aws.OF_ONE_SECRET:
                raise
            credentials = self._get_or_error(self._credentials_id)
            token = self._get_or_error(self._token_id)
        else:
            credentials = _batch_entry(answer, self._credentials_id)
            token = _batch_entry(answer, self._token_id)
        if isinstance(token, StoreError) and token.code == aws.MISSING:
            token = NO_VERSION
        if credentials == token:
            raise ConfigurationError("environment: TOKEN_SECRET_ID and CREDENTIALS_SECRET_ID name the same secret")
        return Both(as_credentials_error(credentials, self._credentials_id), token)

    def _get_or_error(self, secret_id: str) -> Version | StoreError:
        try:
            return self._get(secret_id, CURRENT)
        except StoreError as error:
            return error

    def get_version(self, stage: str) -> Version:
        """Return the token secret's version under this stage label; NO_VERSION if there is none."""
        try:
            return self._get(self._token_id, stage)
        except StoreError as error:
            if error.code == aws.MISSING:
                return NO_VERSION
            raise

    def _get(self, secret_id: str, stage: str) -> Version:
        answer = aws.call(self._client, "get_secret_value", SecretId=secret_id, VersionStage=stage)
        return _version(answer, f"get_secret_value of {secret_id}")

    def describe(self) -> SecretDescription:
        """Return what AWS knows of the token secret, without its value."""
        answer = aws.call(self._client, "describe_secret", SecretId=self._token_id)
        changed = answer.get("LastChangedDate") or answer.get("CreatedDate")
        replicas = answer.get("ReplicationStatus", [])
        if not isinstance(changed, datetime):
            raise aws.store_error(f"describe_secret of {self._token_id}", aws.MALFORMED)
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
        answer = aws.call(
            self._client,
            "put_secret_value",
            SecretId=self._token_id,
            ClientRequestToken=version_id,
            SecretString=document,
            VersionStages=stages,
        )
        if answer.get("VersionId") != version_id:  # something between us and AWS has answered
            raise aws.store_error(f"put_secret_value of {self._token_id}", "OtherAnswer")

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
            if error.code != aws.ALREADY_EXISTS:
                raise
            return is_ours(self.get_version(LEDGER))
        try:
            self.move_stage(
                LEDGER,
                to_version_id=version_id,
                expected_version_id=expected_version_id,
            )
        except StoreError as error:
            if error.code in aws.DENIED:
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
        aws.call(self._client, "update_secret_version_stage", **move)


class Page(NamedTuple):
    """A page of a list of secrets: by name, the current version of each, or why AWS does not show it.

    `next_token` is empty on the last page.
    """

    secrets: dict[str, Version | StoreError]
    next_token: str


def read_page(client: Any, prefix: str, next_token: str = "") -> Page:
    """Read the secrets whose names begin with the prefix, 20 at a time. Raises StoreError if AWS fails."""
    which: dict[str, Any] = {"Filters": [{"Key": "name", "Values": [prefix]}], "MaxResults": PAGE_SIZE}
    if next_token:
        which["NextToken"] = next_token
    answer = aws.call(client, "batch_get_secret_value", **which)
    secrets: dict[str, Version | StoreError] = {}
    for error in answer.get("Errors", []):
        name = _listed_name(_text(error, "SecretId"))
        secrets[name] = _error_in_batch(error, name)
    for value in answer.get("SecretValues", []):
        name = _text(value, "Name")
        try:
            secrets[name] = _version(value, _in_batch(name))
        except StoreError as error:
            secrets[name] = error
    return Page(secrets, _text(answer, "NextToken"))


def as_credentials_error(credentials: Version | StoreError, secret_id: str) -> Version | RefreshError:
    """Return a CredentialsError in place of AWS's error if the credentials secret or its value is not there."""
    if not isinstance(credentials, StoreError) or credentials.code not in aws.OF_ONE_SECRET:
        return credentials
    code = credentials.code
    text = f"the credentials secret is missing or has no value ({code}): {secret_id}"
    if code == aws.DELETED:
        text = f"the credentials secret is marked for deletion ({code}), so restore it: {secret_id}"
    return CredentialsError(text, code=code)


def _version(answer: dict[str, Any], what: str) -> Version:
    """Return the version in an answer. Raises StoreError if a member has another type than AWS documents."""
    version_id = answer.get("VersionId", "")
    text = answer.get("SecretString")
    stages = answer.get("VersionStages", [])
    is_text = text is None or isinstance(text, str)
    if not isinstance(version_id, str) or not version_id or not is_text or not isinstance(stages, list):
        raise aws.store_error(what, aws.MALFORMED)
    if not all(isinstance(stage, str) for stage in stages):
        raise aws.store_error(what, aws.MALFORMED)
    created = answer.get("CreatedDate")
    created_at = created.timestamp() if isinstance(created, datetime) else 0.0
    return Version(version_id, text, tuple(stages), created_at)


def _batch_entry(answer: dict[str, Any], secret_id: str) -> Version | StoreError:
    """Return a secret's version from a batch, or the error that the batch has for it.

    AWS names a secret by its name or by its ARN.
    """
    for value in answer.get("SecretValues", []):
        arn = _text(value, "ARN")
        if secret_id in {_text(value, "Name"), arn, arn[:-_ARN_SUFFIX_LENGTH]}:
            return _version(value, _in_batch(secret_id))
    for error in answer.get("Errors", []):
        name = _name_in_arn(_text(error, "SecretId"))
        if _name_in_arn(secret_id) in {name, name[:-_ARN_SUFFIX_LENGTH]}:
            return _error_in_batch(error, secret_id)
    return aws.store_error(_in_batch(secret_id), aws.NO_ANSWER)


def _in_batch(secret_id: str) -> str:
    return f"batch_get_secret_value of {secret_id}"


def _error_in_batch(error: dict[str, Any], secret_id: str) -> StoreError:
    code = _text(error, "ErrorCode") or aws.NO_ANSWER
    return aws.store_error(_in_batch(secret_id), code, error.get("Message"))


def _text(document: dict[str, Any], key: str) -> str:
    """Return a text of an answer; empty if it is missing or not a text."""
    value = document.get(key)
    if isinstance(value, str):
        return value
    return ""


def _name_in_arn(secret_id: str) -> str:
    """Return the name in an ARN, with the suffix that AWS appends; a plain name as it is."""
    return secret_id.rpartition(":secret:")[2]


def _listed_name(secret_id: str) -> str:
    """Return the name of a secret that a list names by its whole ARN, or by its name."""
    name = _name_in_arn(secret_id)
    if name == secret_id:
        return name
    return name[:-_ARN_SUFFIX_LENGTH]
