"""The two secrets as one immutable value, with the semantics that AWS documents."""

from __future__ import annotations

from typing import NamedTuple

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
LEDGER = "REFRESH_LEDGER"


class Refusal(Exception):
    """AWS does not do what was asked for. `code` is AWS's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Version(NamedTuple):
    """One version of a secret; `stages` are its labels, sorted."""

    version_id: str
    text: str
    stages: tuple[str, ...]


class Secrets(NamedTuple):
    """The credentials secret's current version, and all versions of the token secret."""

    credentials: Version
    versions: tuple[Version, ...] = ()

    def at(self, stage: str) -> Version | None:
        for version in self.versions:
            if stage in version.stages:
                return version
        return None

    def reachable(self) -> list[Version]:
        """Return the versions that a run looks at."""
        looked_at = {CURRENT, PREVIOUS, LEDGER}
        return [version for version in self.versions if looked_at & set(version.stages)]

    def put(self, version_id: str, text: str, stages: tuple[str, ...], *, labels_first: bool = True) -> Secrets:
        """Return the secrets after PutSecretValue. Raises Refusal.

        A repeat with the same id and text changes nothing. `labels_first`: AWS gives AWSCURRENT to
        the first version of a secret, whatever labels it is put with.
        """
        for version in self.versions:
            if version.version_id == version_id:
                if version.text != text:
                    raise Refusal("ResourceExistsException")
                return self
        if not self.versions and labels_first:
            stages = (*stages, CURRENT)
        after = self
        for stage in stages:
            after = after.without(stage)
        if CURRENT in stages:
            after = after.with_previous(self.at(CURRENT))
        new = Version(version_id, text, tuple(sorted(set(stages))))
        return after._replace(versions=(*after.versions, new))

    def move(self, stage: str, to_version_id: str, from_version_id: str) -> Secrets:
        """Return the secrets after UpdateSecretVersionStage. Raises Refusal."""
        holder = self.at(stage)
        if all(version.version_id != to_version_id for version in self.versions):
            raise Refusal("ResourceNotFoundException")
        if holder is None and from_version_id:
            raise Refusal("InvalidParameterException")
        if holder is not None and holder.version_id != from_version_id:
            raise Refusal("InvalidParameterException")
        after = self.without(stage)
        if stage == CURRENT:
            after = after.with_previous(holder)
        return after.with_stage(stage, to_version_id)

    def without(self, stage: str) -> Secrets:
        versions = tuple(
            version._replace(stages=tuple(one for one in version.stages if one != stage)) for version in self.versions
        )
        return self._replace(versions=versions)

    def with_stage(self, stage: str, version_id: str) -> Secrets:
        versions = tuple(
            version._replace(stages=tuple(sorted({*version.stages, stage})))
            if version.version_id == version_id
            else version
            for version in self.versions
        )
        return self._replace(versions=versions)

    def with_previous(self, holder: Version | None) -> Secrets:
        if holder is None:
            return self
        return self.without(PREVIOUS).with_stage(PREVIOUS, holder.version_id)
