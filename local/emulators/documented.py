"""The operations of Secrets Manager that this product leans on, as AWS documents them, on moto's own storage.

Every other operation is moto's. Nothing of moto is patched. Times are Unix seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from moto.secretsmanager.exceptions import OperationNotPermittedOnReplica, SecretsManagerClientError
from moto.secretsmanager.models import ReplicaSecret, SecretsManagerBackend

from local.emulators.access import Access
from local.emulators.read_lag import Present
from local.emulators.secret_list import ListedSecret, Page, find, is_taken, page_of
from local.emulators.secret_versions import (
    CURRENT,
    Json,
    attach,
    check_move,
    detach,
    end_rotation,
    holder_of,
    leave_only_current,
    make_room,
    refused,
)

DAY_SECONDS = 86_400
MAX_BYTES = 65_536
MAX_BATCH = 20  # secrets in a batch, also on one page
MAX_LIST = 100  # secrets on a page of a list
DEFAULT_KEY = "DefaultEncryptionKey"  # what lists call AWS's own key
# moto's names of a version's value, and AWS's.
_VALUES = {"secret_string": "SecretString", "secret_binary": "SecretBinary"}


class Documented:
    """Each method takes and returns the JSON of AWS's operation of that name.

    `view`: what reads see. `scanned_per_page`: how many secrets one page of a list is chosen from; None for no limit.
    """

    def __init__(
        self,
        store: SecretsManagerBackend,
        now: float,
        *,
        is_first_version_current: bool = True,
        keeps_labels: bool = True,
        access: Access | None = None,
        view: Present | None = None,
        scanned_per_page: int | None = None,
    ) -> None:
        self._store = store
        self._now = now
        self._is_first_version_current = is_first_version_current
        self._keeps_labels = keeps_labels
        self._access = access or Access()
        self._view = view or Present()
        self._scanned_per_page = scanned_per_page

    def create_secret(self, params: Json) -> Json:
        name = params["Name"]
        value = _value(params)
        is_known = is_taken(self._store, name)
        if not is_known:
            self._new_secret(params)
        secret = find(self._store, name)
        if secret.is_deleted():
            scheduled = "because a secret with this name is already scheduled for deletion."
            raise refused("InvalidRequestException", f"You can't create this secret {scheduled}")
        if is_known and params.get("ClientRequestToken") not in secret.versions:
            exists = f"The operation failed because the secret {name} already exists."
            raise refused("ResourceExistsException", exists)
        answer = _identity(secret)
        if value:
            answer["VersionId"] = self.put_secret_value({**params, "SecretId": name})["VersionId"]
        return answer

    def _new_secret(self, params: Json) -> None:
        secret: Any = ListedSecret(
            account_id=self._store.account_id,
            region_name=self._store.region_name,
            secret_id=params["Name"],
            secret_version={},
            version_id="",
            tags=params.get("Tags"),
        )
        secret.description = params.get("Description")
        secret.kms_key_id = params.get("KmsKeyId")
        secret.created_date = self._now
        secret.last_changed_date = self._now
        self._store.secrets[params["Name"]] = secret

    def update_secret(self, params: Json) -> Json:
        secret = self._changeable("UpdateSecret", params)
        answer = _identity(secret)
        if _value(params):
            answer["VersionId"] = self.put_secret_value(params)["VersionId"]
        if "Description" in params or "KmsKeyId" in params:
            secret.description = params.get("Description", secret.description)
            secret.kms_key_id = params.get("KmsKeyId", secret.kms_key_id)
            secret.last_changed_date = self._now
        return answer

    def tag_resource(self, params: Json) -> Json:
        secret = self._changeable("TagResource", params)
        tags = {tag["Key"]: tag for tag in [*(secret.tags or []), *params["Tags"]]}
        secret.tags = list(tags.values())
        secret.last_changed_date = self._now
        return {}

    def untag_resource(self, params: Json) -> Json:
        secret = self._changeable("UntagResource", params)
        if secret.tags is None:
            return {}
        secret.tags = [tag for tag in secret.tags if tag["Key"] not in params["TagKeys"]]
        secret.last_changed_date = self._now
        return {}

    def describe_secret(self, params: Json) -> Json:
        secret = self._find("DescribeSecret", params)
        answer = {**secret.to_dict(), "VersionIdsToStages": self._labels(secret)}
        answer.pop("SecretVersionsToStages", None)
        return _without_empty(answer)

    def list_secrets(self, params: Json) -> Json:
        page = self._page(params, MAX_LIST)
        listed = []
        for secret in page.secrets:
            entry = {**secret.to_dict(), "SecretVersionsToStages": self._labels(secret)}
            entry.pop("VersionIdsToStages", None)
            listed.append(_without_empty(entry))
        return _with_token({"SecretList": listed}, page)

    def list_secret_version_ids(self, params: Json) -> Json:
        secret = self._usable("ListSecretVersionIds", params)
        versions = [
            _listed(version)
            for version in self._view.versions(secret).values()
            if version["version_stages"] or params.get("IncludeDeprecated")
        ]
        return {**_identity(secret), "Versions": versions}

    def get_secret_value(self, params: Json) -> Json:
        secret = self._usable("GetSecretValue", params)
        versions = self._view.versions(secret)
        version_id = params.get("VersionId")
        label = params.get("VersionStage")
        version = versions.get(version_id or holder_of(versions, label or CURRENT) or "")
        if version is None:
            key = f"VersionId: {version_id}" if version_id else f"staging label: {label or CURRENT}"
            not_found = "Secrets Manager can't find the specified secret value for"
            raise refused("ResourceNotFoundException", f"{not_found} {key}")
        if label and label not in version["version_stages"]:
            mismatch = "You provided a VersionStage that is not associated to the provided VersionId."
            raise refused("InvalidRequestException", mismatch)
        self._note_access(secret, version["version_id"])
        value = {aws_name: version[name] for name, aws_name in _VALUES.items() if name in version}
        return {**_identity(secret), **_about(version), **value}

    def _note_access(self, secret: Any, version_id: str) -> None:
        """Note the day of a read: AWS tells no more of it."""
        today = self._now - self._now % DAY_SECONDS
        secret.last_accessed_date = today
        if version_id in secret.versions:  # a read that lags may see a version that is gone
            secret.versions[version_id]["last_accessed_date"] = today

    def batch_get_secret_value(self, params: Json) -> Json:
        _check_batch(params)
        if "SecretIdList" in params:
            return self._batch(params["SecretIdList"])
        page = self._page(params, MAX_BATCH)
        batch = self._batch([secret.arn for secret in page.secrets])
        return _with_token(batch, page)

    def _batch(self, secret_ids: list[str]) -> Json:
        values = []
        errors = []
        for secret_id in secret_ids:
            try:
                values.append(self.get_secret_value({"SecretId": secret_id}))
            except SecretsManagerClientError as error:
                errors.append(
                    {
                        "SecretId": secret_id,
                        "ErrorCode": error.error_type,
                        "Message": error.message,
                    }
                )
        return {"SecretValues": values, "Errors": errors}

    def put_secret_value(self, params: Json) -> Json:
        secret = self._changeable("PutSecretValue", params)
        value = _value(params)
        if not value:
            raise refused("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
        version_id = params.get("ClientRequestToken") or str(uuid.uuid4())
        version = secret.versions.get(version_id)
        if version is None:
            make_room(secret, self._now)
            labels = [*params.get("VersionStages", [CURRENT])]
            if not secret.versions and self._is_first_version_current:
                labels.append(CURRENT)
            version = {
                "version_id": version_id,
                "createdate": self._now,
                "version_stages": [],
                "kms_key_id": secret.kms_key_id,
                **value,
            }
            if CURRENT in labels:
                end_rotation(secret)
            if CURRENT in labels and not self._keeps_labels:
                leave_only_current(secret)
            secret.versions[version_id] = version
            for label in labels:
                attach(secret, label, version_id)
            secret.last_changed_date = self._now
        elif value != {name: version[name] for name in _VALUES if name in version}:
            used = f"because that value is already in use for a version of secret {secret.arn}."
            raise refused("ResourceExistsException", f"You can't use ClientRequestToken {version_id} {used}")
        return {**_identity(secret), "VersionId": version_id, **_stages(version)}

    def update_secret_version_stage(self, params: Json) -> Json:
        secret = self._changeable("UpdateSecretVersionStage", params)
        label = params["VersionStage"]
        source = params.get("RemoveFromVersionId")
        target = params.get("MoveToVersionId")
        if any(version_id and version_id not in secret.versions for version_id in (source, target)):
            raise refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret version.")
        holder = holder_of(secret.versions, label)
        check_move(label, holder, source, target)
        if target:
            attach(secret, label, target)
        else:
            detach(secret, label)
        if holder != target:  # else nothing moved
            secret.last_changed_date = self._now
        return _identity(secret)

    def _find(self, operation: str, params: Json) -> Any:
        secret = find(self._store, params["SecretId"])
        if secret is None:
            raise refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        self._access.check(operation, secret)
        return secret

    def _usable(self, operation: str, params: Json) -> Any:
        secret = self._find(operation, params)
        if secret.is_deleted():
            deleted = "You can't perform this operation on the secret because it was marked for deletion."
            raise refused("InvalidRequestException", deleted)
        return secret

    def _changeable(self, operation: str, params: Json) -> Any:
        secret = self._usable(operation, params)
        if isinstance(secret, ReplicaSecret):
            raise OperationNotPermittedOnReplica
        return secret

    def _page(self, params: Json, largest: int) -> Page:
        return page_of(self._store, params, self._view, largest=largest, scanned=self._scanned_per_page)

    def _labels(self, secret: Any) -> dict[str, list[str]]:
        """Return the labels of each version that has one."""
        return {
            version_id: version["version_stages"]
            for version_id, version in self._view.versions(secret).items()
            if version["version_stages"]
        }


# By AWS's names: `put_secret_value` is PutSecretValue.
CORRECTED: dict[str, Callable[[Documented, Json], Json]] = {
    name.title().replace("_", ""): method for name, method in vars(Documented).items() if not name.startswith("_")
}


def _check_batch(params: Json) -> None:
    """Raise AWS's error if the request does not choose its secrets in one of the two ways."""
    has_list = "SecretIdList" in params
    has_filters = "Filters" in params
    if has_list and has_filters:
        message = "Either 'SecretIdList' or 'Filters' must be provided, but not both."
        raise refused("InvalidParameterException", message)
    if not has_list and not has_filters:
        raise refused("InvalidParameterException", "Either 'SecretIdList' or 'Filters' must be provided.")
    if has_list and "MaxResults" in params:
        needed = "'Filters' must also be specified when 'MaxResults' is provided."
        raise refused("InvalidParameterException", f"'Filters' not specified. {needed}")


def _value(params: Json) -> dict[str, str]:
    if len(params.get("SecretString", "").encode()) > MAX_BYTES:
        constraint = f"failed to satisfy constraint: Member must have length less than or equal to {MAX_BYTES}"
        raise refused("ValidationException", f"1 validation error detected: Value at 'secretString' {constraint}")
    return {name: params[aws_name] for name, aws_name in _VALUES.items() if aws_name in params}


def _identity(secret: Any) -> Json:
    return {"ARN": secret.arn, "Name": secret.name}


def _about(version: Json) -> Json:
    return {
        "VersionId": version["version_id"],
        "CreatedDate": version["createdate"],
        **_stages(version),
    }


def _listed(version: Json) -> Json:
    entry = _about(version)
    entry["KmsKeyIds"] = [version.get("kms_key_id") or DEFAULT_KEY]
    if "last_accessed_date" in version:
        entry["LastAccessedDate"] = version["last_accessed_date"]
    return entry


def _stages(version: Json) -> Json:
    """Return the member with the labels. A version that has no label has no such member."""
    if not version["version_stages"]:
        return {}
    return {"VersionStages": version["version_stages"]}


def _without_empty(answer: Json) -> Json:
    return {key: value for key, value in answer.items() if value not in (None, {})}


def _with_token(answer: Json, page: Page) -> Json:
    """Add the token of the next page if there is one."""
    if page.next_token is None:
        return answer
    return {**answer, "NextToken": page.next_token}
