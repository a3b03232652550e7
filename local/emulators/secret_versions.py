"""The versions of one secret in moto's storage: who has which label, how a label moves, and how many versions fit."""

from __future__ import annotations

from typing import Any

from moto.secretsmanager.exceptions import SecretsManagerClientError

Json = dict[str, Any]
Versions = dict[str, Json]  # by their ids, oldest first

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
ROTATION = "AWSPENDING"  # the label of AWS's own rotation
MAX_VERSIONS = 100  # AWS says "about"
MIN_REMOVABLE_AGE_SECONDS = 86_400.0  # AWS removes no younger version


def refused(code: str, message: str) -> SecretsManagerClientError:
    """Return the error with status 400, as AWS has it. Some of moto's own error classes have 404 instead."""
    return SecretsManagerClientError(code, message)


def holder_of(versions: Versions, label: str) -> str | None:
    """Return the id of the version that has the label."""
    for version_id, version in versions.items():
        if label in version["version_stages"]:
            return str(version_id)
    return None


def attach(secret: Any, label: str, version_id: str) -> None:
    """Move the label from wherever it is. The version that loses AWSCURRENT gets AWSPREVIOUS."""
    holder = holder_of(secret.versions, label)
    if holder == version_id:
        return
    detach(secret, label)
    version = secret.versions[version_id]
    version["version_stages"] = [*version["version_stages"], label]
    if label == CURRENT:
        secret.default_version_id = version_id  # where moto's own operations look
        if holder:
            attach(secret, PREVIOUS, holder)


def detach(secret: Any, label: str) -> None:
    """Take the label from the version that has it."""
    for version in secret.versions.values():
        version["version_stages"] = [one for one in version["version_stages"] if one != label]


def end_rotation(secret: Any) -> None:
    """Take AWSPENDING from the current version: AWS does that when a put is about to take AWSCURRENT from it."""
    current = holder_of(secret.versions, CURRENT)
    if current and current == holder_of(secret.versions, ROTATION):
        detach(secret, ROTATION)


def leave_only_current(secret: Any) -> None:
    """Take all other labels from the current version."""
    current = holder_of(secret.versions, CURRENT)
    if current:
        secret.versions[current]["version_stages"] = [CURRENT]


def check_move(label: str, holder: str | None, source: str | None, target: str | None) -> None:
    """Refuse what AWS refuses. A move to the version that has the label already moves nothing, and is accepted."""
    if holder and not source:
        attached = f"Staging label {label} is currently attached to version {holder}"
        message = (
            f"The parameter RemoveFromVersionId can't be empty. {attached}, "
            "so you must explicitly reference that version in RemoveFromVersionId."
        )
    elif source != holder:
        message = (
            f"When you move staging label {label}, if you specify RemoveFromVersionId, "
            f"it must be set to the version that currently has the staging label {label}."
        )
    elif not source and not target:
        message = "You must provide RemoveFromVersionId, MoveToVersionId or both."
    elif not target and label == CURRENT:
        message = "You can only move staging label AWSCURRENT to a different secret version. It can't be removed."
    else:
        return
    raise refused("InvalidParameterException", message)


def make_room(secret: Any, now: float) -> None:
    """Remove the oldest unlabelled versions until one more fits. Raises LimitExceededException if none may go."""
    removable_until = now - MIN_REMOVABLE_AGE_SECONDS
    while len(secret.versions) >= MAX_VERSIONS:
        removable = [
            version
            for version in secret.versions.values()
            if not version["version_stages"] and version["createdate"] <= removable_until
        ]
        if not removable:
            all_needed = f"All of {MAX_VERSIONS} versions have a label or are younger than"
            raise refused("LimitExceededException", f"{all_needed} {MIN_REMOVABLE_AGE_SECONDS:.0f} s.")
        oldest = min(removable, key=lambda version: version["createdate"])
        del secret.versions[oldest["version_id"]]
