"""What reads see that lag behind the writes: each secret's versions as they were after an earlier change."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from local.emulators.secret_versions import Versions

READS = {"GetSecretValue", "BatchGetSecretValue", "DescribeSecret", "ListSecretVersionIds", "ListSecrets"}
MAX_LAG_SECONDS = 300.0  # AWS says that ListSecrets might not show the changes of the last five minutes


class Present:
    """Everything as it is."""

    def versions(self, secret: Any) -> Versions:
        versions: Versions = secret.versions
        return versions

    def lists(self, _secret: Any) -> bool:
        """Say whether a list has the secret."""
        return True


@dataclass(frozen=True, slots=True)
class State:
    """A secret's versions after a change at this time."""

    at: float
    versions: Versions


class Past(Present):
    """Everything as it was. `state_of` returns a secret's state by its ARN; None if the secret did not exist."""

    def __init__(self, state_of: Callable[[str], State | None]) -> None:
        self._state_of = state_of

    def versions(self, secret: Any) -> Versions:
        state = self._state_of(_primary_arn(secret))
        if state is None:
            return {}
        return state.versions

    def lists(self, secret: Any) -> bool:
        return self._state_of(_primary_arn(secret)) is not None


class History:
    """Notes each change of a secret, and forgets it once no read may lag so far behind."""

    def __init__(self) -> None:
        self._states: defaultdict[str, deque[State]] = defaultdict(deque)  # by ARN, oldest first
        self._changed_last = ""  # an ARN

    def clear(self) -> None:
        self._states.clear()

    def note(self, secret: Any, now: float) -> None:
        """Note a secret that has just been changed."""
        self._changed_last = secret.arn
        states = self._states[secret.arn]
        copied = {version_id: {**version} for version_id, version in secret.versions.items()}
        states.append(State(now, copied))
        while len(states) > 2 and states[1].at < now - MAX_LAG_SECONDS:
            states.popleft()

    def as_of(self, moment: float) -> Past:
        def state_of(arn: str) -> State | None:
            return _last(state for state in self._states[arn] if state.at <= moment)

        return Past(state_of)

    def before_the_last_change(self) -> Past:
        def state_of(arn: str) -> State | None:
            states = list(self._states[arn])
            if arn == self._changed_last:
                states.pop()
            return _last(states)

        return Past(state_of)


def _primary_arn(secret: Any) -> str:
    """Return the ARN of the secret that is written, also for a replica of it in another region."""
    primary = getattr(secret, "source", secret)
    arn: str = primary.arn
    return arn


def _last(states: Iterable[State]) -> State | None:
    last = None
    for state in states:
        last = state
    return last
