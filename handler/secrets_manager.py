"""The two secrets and the ledger in AWS Secrets Manager, as text and version ids; maps AWS's errors to ours.

The client is boto3's, made by botocore: boto3's own imports would be a fifth of a cold start.
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

CURRENT, PREVIOUS, LEDGER, PENDING = "AWSCURRENT", "AWSPREVIOUS", "REFRESH_LEDGER", "REFRESH_PENDING"
# Three tries end within about 20 s, inside the 30 s by which a write ends before its lock does.
CLIENT_CONFIG = {"connect_timeout": 2, "read_timeout": 4, "retries": {"mode": "standard", "total_max_attempts": 3}}
_MISSING, _DELETED, _MOVE_REFUSED = "ResourceNotFoundException", "InvalidRequestException", "InvalidParameterException"
_DENIED = ("AccessDeniedException", "AccessDenied")
_SUFFIX = len("-AbCdEf")  # what AWS appends to a secret's name in its ARN

logging.getLogger("botocore").setLevel(logging.WARNING)  # at DEBUG it would log all that is read and written


@cache
def session() -> Any:
    """Return the one session of this process: to read AWS's models takes longer than to make a client of them."""
    return botocore.session.get_session()


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a secret, or with an empty id the lack of one; `text` is None where it holds bytes."""

    version_id: str = ""
    text: str | None = field(default=None, repr=False)


class SecretStore:
    """Reads both secrets, writes the token secret. Every method raises StoreError where AWS fails or refuses."""

    def __init__(self, client: Any, credentials_secret_id: str, token_secret_id: str) -> None:
        self._client, self._credentials_id, self._token_id = client, credentials_secret_id, token_secret_id

    @classmethod
    def connect(cls, credentials_secret_id: str, token_secret_id: str) -> "SecretStore":
        """Raises ConfigurationError where boto3 finds no region, or cannot use what the environment tells it."""
        try:
            client = session().create_client("secretsmanager", config=Config(**CLIENT_CONFIG))
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"environment: boto3 makes no client of it ({type(error).__name__})") from None
        return cls(client, credentials_secret_id, token_secret_id)

    def read(self) -> tuple[Version, Version]:
        """Return both secrets by one call. Raises CredentialsError where the credentials secret has no value."""
        answer = self._call("batch_get_secret_value", SecretIdList=[self._credentials_id, self._token_id])
        (secret, refusal), (token, code) = _entry(answer, self._credentials_id), _entry(answer, self._token_id)
        if refusal in {_MISSING, _DELETED}:
            raise CredentialsError(f"the credentials secret is missing or has no value ({refusal})")
        if refusal or code not in {"", _MISSING}:
            which = self._credentials_id if refusal else self._token_id
            raise _store_error(f"batch_get_secret_value of {which}", refusal or code)
        if secret == token:
            raise ConfigurationError("environment: TOKEN_SECRET_ID and CREDENTIALS_SECRET_ID name the same secret")
        return secret, token

    def last_changed(self) -> float:
        """Return the Unix time at which the token secret was last written, labels included."""
        answer = self._call("describe_secret", SecretId=self._token_id)
        changed: datetime = answer.get("LastChangedDate") or answer["CreatedDate"]
        return changed.timestamp()

    def put_seed(self) -> str:
        """Give the secret its first version. Late or repeated it covers nothing: its id is always the same."""
        version_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"token-refresh:seed:{_name(self._token_id)}"))
        self.put(version_id, SEED, PENDING)
        return version_id

    def write_ledger(self, document: str, version_id: str, replaces: str) -> bool:
        """Compare and set: put the ledger, then move the label to it; False where it is no longer on `replaces`."""
        self.put(version_id, document, PENDING)
        return self.move(LEDGER, version_id, replaces)

    def put(self, version_id: str, text: str, *stages: str) -> None:
        """Put a version under these labels; safe to repeat with the same arguments."""
        secret = {"SecretId": self._token_id, "SecretString": text}
        answer = self._call("put_secret_value", ClientRequestToken=version_id, VersionStages=[*stages], **secret)
        if answer.get("VersionId") != version_id:  # somebody between us and AWS answered
            raise _store_error("put_secret_value", "OtherAnswer")

    def move(self, stage: str, to: str, replaces: str) -> bool:
        """Move the label to the version `to`; False where it is no longer on `replaces` (empty: on no version)."""
        move = {"SecretId": self._token_id, "VersionStage": stage, "MoveToVersionId": to}
        try:
            self._call("update_secret_version_stage", **move, **({"RemoveFromVersionId": replaces} if replaces else {}))
        except StoreError as error:
            if error.code != _MOVE_REFUSED:
                raise
            # A move whose answer was lost is refused when botocore repeats it: then the label is where we want it.
            return self.read_stage(stage).version_id == to
        return True

    def read_stage(self, stage: str) -> Version:
        """Return the token secret's version under this label."""
        try:
            answer = self._call("get_secret_value", SecretId=self._token_id, VersionStage=stage)
        except StoreError as error:
            if error.code == _MISSING:
                return Version()
            raise
        return Version(answer.get("VersionId", ""), answer.get("SecretString"))

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**parameters)
        except ClientError as error:
            code, message = (str(error.response.get("Error", {}).get(key)) for key in ("Code", "Message"))
            # Only a denial is quoted, for the permission that it names: another text may repeat what was sent.
            raise _store_error(operation, code, message if code in _DENIED else "") from None
        except Exception as error:  # noqa: BLE001 - botocore's own, or what it stumbles over in an answer not AWS's
            raise _store_error(operation, type(error).__name__) from None
        if not answer.keys() - {"ResponseMetadata"}:
            raise _store_error(operation, "EmptyAnswer")
        return answer


def put_event(bus: str, detail_type: str, detail: str) -> str:
    """Put one event on the bus; return why it failed, empty where it did not: it must never fail a refresh."""
    import boto3

    entry = {"Source": "token.refresh", "DetailType": detail_type, "Detail": detail, "EventBusName": bus}
    once = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
    try:
        return str(boto3.client("events", config=once).put_events(Entries=[entry])["Entries"][0].get("ErrorCode", ""))
    except Exception as error:  # noqa: BLE001 - whatever the bus does: the token is out already
        return type(error).__name__


def _store_error(what: str, code: str, message: str = "") -> StoreError:
    is_retryable = code not in (_MISSING, _DELETED, *_DENIED)
    return StoreError(f"Secrets Manager, {what}: {code} {message}".rstrip(), code=code, retryable=is_retryable)


def _entry(answer: dict[str, Any], secret_id: str) -> tuple[Version, str]:
    """Return a batch's version of a secret, or else the error's code, whether AWS names it by name or by ARN."""
    for value in answer.get("SecretValues", []):
        if secret_id in {value.get("Name"), arn := value.get("ARN", ""), arn[:-_SUFFIX]}:
            return Version(value.get("VersionId", ""), value.get("SecretString")), ""
    for error in answer.get("Errors", []):
        if _name(secret_id) in {_name(error["SecretId"]), _name(error["SecretId"])[:-_SUFFIX]}:
            return Version(), error["ErrorCode"]
    return Version(), "NoAnswer"


def _name(secret_id: str) -> str:
    """Return the part of an ARN that is the name, with its suffix; a name as it is."""
    return secret_id.rpartition(":secret:")[2]
