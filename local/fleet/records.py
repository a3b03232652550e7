"""What came of each store and of each sweep."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from local.durations import DAY, HOUR, MINUTE
from local.fleet.plan import MAX_DELAY_OF_SWEEP, PERIOD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.fleet.plan import Generation

# When a trouble is over there is a token after the next sweep, and the runs that this hands over.
HEALING_SECONDS = PERIOD + MAX_DELAY_OF_SWEEP + 15 * MINUTE

REFRESH_WINDOW_SECONDS = 4 * HOUR
# The keeper counts a token's life from before it sends the request, and the vendor from when it has it.
REQUEST_SECONDS = MINUTE


class Span(NamedTuple):
    """A time from `begin` until `end`, in Unix seconds."""

    begin: float
    end: float

    def overlaps(self, other: Span) -> bool:
        return self.begin <= other.end and other.begin <= self.end


@dataclass(slots=True, kw_only=True)
class StoreRecord:
    """One store. `covered` are the times in which consumers had a good token.

    `troubles` are the times in which nobody could get one for it. A trouble is never ours: the credentials are wrong,
    say, or a token was lost with a run that was killed.
    """

    name: str
    generation: Generation
    joined_at: float
    left_at: float | None = None
    covered: list[Span] = field(default_factory=list)
    troubles: list[Span] = field(default_factory=list)
    due_since: float | None = None  # when a sweep handed it over, and somebody may ask; None if it is not due
    served: list[Span] = field(default_factory=list)  # each time that it was due, until it got a token
    foreign_tokens: int = 0  # of other stores, that were published here
    renewed_early: int = 0  # tokens that replaced one before its refresh window
    refused_for_limit: int = 0
    mislaid_tokens: int = 0  # that a fault has kept from consumers, for a while or for good
    most_versions: int = 0  # that were put within 24 hours
    lines: list[str] = field(default_factory=list)  # all that happened to it
    _versions: set[str] = field(default_factory=set, repr=False)
    _put_at: deque[float] = field(default_factory=deque, repr=False)

    def note_put(self, version_id: str, now: float) -> None:
        """Note that a version of the token secret was put. A put may be repeated."""
        if version_id in self._versions:
            return
        self._versions.add(version_id)
        self._put_at.append(now)
        while self._put_at[0] <= now - DAY:
            self._put_at.popleft()
        self.most_versions = max(self.most_versions, len(self._put_at))

    def note_due(self, now: float) -> None:
        if self.due_since is None:
            self.due_since = now

    def note_published(self, now: float, expires_at: float) -> None:
        if self.seconds_remaining(now) > REFRESH_WINDOW_SECONDS + REQUEST_SECONDS:
            self.renewed_early += 1
        self.covered.append(Span(now, expires_at))
        if self.due_since is not None:
            self.served.append(Span(self.due_since, now))
        self.due_since = None

    def seconds_remaining(self, now: float) -> float:
        """Return how long the consumers' token still lives."""
        if not self.covered:
            return 0.0
        return max(0.0, self.covered[-1].end - now)

    def availability(self, end: float) -> float:
        """Return the part of the time in which consumers had a good token, from the first one on."""
        begin = self.covered[0].begin
        until = self._until(end)
        if until <= begin:
            return 1.0
        without = _uncovered_seconds(Span(begin, until), self.covered)
        return 1 - without / (until - begin)

    def seconds_of_waiting(self, end: float) -> float:
        """Return how long the store has waited for its first token, from when it joined."""
        until = self._until(end)
        first_at = self.covered[0].begin if self.covered else until
        return min(first_at, until) - self.joined_at

    def seconds_without(self, end: float) -> float:
        """Return for how long the store has had no good token since its first one."""
        without = sum(gap.end - gap.begin for gap in self._gaps(end))
        return without - self.seconds_of_waiting(end)

    def avoidable_seconds(self, end: float, common_troubles: Iterable[Span]) -> float:
        """Return for how long it had none although it had no trouble, and had had time to heal from the last one."""
        troubles = [Span(self.joined_at, self.joined_at), *self.troubles, *common_troubles]
        excused = [Span(trouble.begin, trouble.end + HEALING_SECONDS) for trouble in troubles]
        return sum(_uncovered_seconds(gap, excused) for gap in self._gaps(end))

    def untroubled_waits(self, common_troubles: Iterable[Span]) -> Iterator[float]:
        """Yield for how many seconds it was due each time, except if it had a trouble meanwhile."""
        troubles = [*self.troubles, *common_troubles]
        for span in self.served:
            if not any(span.overlaps(trouble) for trouble in troubles):
                yield span.end - span.begin

    def _until(self, end: float) -> float:
        if self.left_at is None:
            return end
        return min(end, self.left_at)

    def _gaps(self, end: float) -> list[Span]:
        return list(_uncovered(Span(self.joined_at, self._until(end)), self.covered))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRecord:
    """One sweep of the schedule, and the fleet as it was when the sweep had ended. Lives in seconds."""

    at: float
    seconds: float
    outcome: str
    connections: int
    handed_over: int
    problems: int
    lives: list[float] = field(repr=False)


def _uncovered_seconds(span: Span, covers: Iterable[Span]) -> float:
    return sum(gap.end - gap.begin for gap in _uncovered(span, covers))


def _uncovered(span: Span, covers: Iterable[Span]) -> Iterator[Span]:
    """Yield the parts of a span that no cover has."""
    reached = span.begin
    for cover in sorted(covers):
        if cover.begin >= span.end:
            break
        if cover.begin > reached:
            yield Span(reached, cover.begin)
        reached = max(reached, cover.end)
    if reached < span.end:
        yield Span(reached, span.end)
