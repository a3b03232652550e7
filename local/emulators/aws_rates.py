"""How many calls a second AWS's Secrets Manager takes in one account and region. It throttles the others."""

from __future__ import annotations

from dataclasses import dataclass

from local.emulators.clock import Clock

# By AWS's page of quotas, in calls a second. Operations of one group are counted together.
_GROUPS = {
    "BatchGetSecretValue": "batches",
    "ListSecrets": "lists",
    "GetSecretValue": "values",
    "DescribeSecret": "descriptions",
    "PutSecretValue": "writes",
    "UpdateSecret": "writes",
    "UpdateSecretVersionStage": "writes",
    "CreateSecret": "creations",
    "DeleteSecret": "deletions",
    "RestoreSecret": "restorations",
}
_CALLS_PER_SECOND = {
    "batches": 100.0,
    "lists": 100.0,
    "values": 10_000.0,
    "descriptions": 40_000.0,
    "writes": 50.0,
    "creations": 50.0,
    "deletions": 50.0,
    "restorations": 50.0,
}


@dataclass(slots=True)
class _Bucket:
    """Has at most a second's calls in it, and regains them steadily."""

    per_second: float
    level: float
    at: float

    def take(self, now: float) -> bool:
        regained = (now - self.at) * self.per_second
        self.level = min(self.per_second, self.level + regained)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class AwsRates:
    """Counts calls by the emulator's clock. While that stands still, nothing is regained."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def allow(self, operation: str) -> bool:
        """Count a call. Returns False if AWS would throttle it."""
        group = _GROUPS.get(operation)
        if group is None:
            return True
        now = self._clock.now()
        if group not in self._buckets:
            per_second = _CALLS_PER_SECOND[group]
            self._buckets[group] = _Bucket(per_second, per_second, now)
        return self._buckets[group].take(now)
