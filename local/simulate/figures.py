"""What came of a simulated year."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.simulate.invariants import INVARIANTS
from local.simulate.network import TOKEN_LOSING_FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.simulate.consumers import Outage
    from local.simulate.network import Grant

DIGEST_CHARACTERS = 16


@dataclass(slots=True)
class Figures:
    """The figures of one year; times in seconds. `careful` and `plain` are the consumers' availabilities."""

    seed: int
    days: int
    trace: str = ""
    careful: float = 0.0
    plain: float = 0.0
    outages: list[Outage] = field(default_factory=list)
    published: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    requests: int = 0
    max_wrong_passwords: int = 0  # in a row, with one service account
    unblocked: int = 0  # how often people had a service account unblocked
    calls: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    max_versions_per_day: int = 0
    # Which invariants were broken how often, and the first time of each. `describe_broken` has them in words.
    broken: Counter[str] = field(default_factory=Counter, repr=False)
    examples: dict[str, str] = field(default_factory=dict, repr=False)


def describe(figures: Figures) -> str:
    """Return the figures of a year, one per line."""
    longest = max((outage.seconds for outage in figures.outages), default=0)
    lines = [
        f"seed {figures.seed}, {figures.days} days, trace {figures.trace}",
        f"consumers had a good token: {100 * figures.careful:.4f} % of the time",
        f"the same, if they read the secret only once an hour: {100 * figures.plain:.4f} %",
        f"outages: {len(figures.outages)}, the longest {longest / 3_600:.1f} h",
        f"tokens published: {figures.published}",
        f"tokens lost: {figures.lost.total()}{_in_brackets(figures.lost)}",
        f"requests to the vendor: {figures.requests}, refused {figures.refusals}",
        f"wrong passwords in a row: {figures.max_wrong_passwords} at most; accounts unblocked: {figures.unblocked}",
        f"runs: {figures.runs.total()}{_in_brackets(figures.runs)}",
        f"calls of AWS: {figures.calls}; versions in a day: {figures.max_versions_per_day} at most",
    ]
    return "\n".join(lines)


def _in_brackets(counted: Counter[str]) -> str:
    words = ", ".join(f"{name} {count}" for name, count in counted.most_common())
    return f" ({words})" if words else ""


def describe_broken(figures: Figures, command: str) -> str:
    """Say which invariants were broken, in which year, and which command plays it again; empty if none was."""
    if not figures.broken:
        return ""
    lines = [f"In the year of seed {figures.seed} this did not hold:"]
    for name, times in figures.broken.items():
        lines.append(f"- {INVARIANTS[name]} (times broken: {times}; first {figures.examples[name]})")
    lines.append(f"This plays it again: {command}")
    return "\n".join(lines)


def digest_of(text: str) -> str:
    """Return a short hash, by which two plays of the same are known to be alike."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


class Trace:
    """All that happens in a year as lines of text, and one hash over them: the same year has the same hash."""

    def __init__(self, *, keeps_lines: bool) -> None:
        self._hash = hashlib.sha256()
        self._keeps_lines = keeps_lines
        self.lines: list[str] = []

    def note(self, now: float, text: str) -> None:
        line = f"{now:.3f} {text}"
        self._hash.update(line.encode())
        if self._keeps_lines:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:DIGEST_CHARACTERS]


class TokenRecords:
    """What became of the tokens that the vendor issued."""

    def __init__(self) -> None:
        self.published: set[str] = set()
        self.killed: set[str] = set()  # tokens that were in a run when that was killed
        self.last_issued = deque[str](maxlen=3)

    def lost(self, grants: Mapping[str, Grant], unsaved: Iterable[str]) -> Counter[str]:
        """Count the tokens that were neither published nor are in a process, by how they were lost."""
        known = self.published.union(unsaved)
        return Counter(self._how_lost(grant) for grant in grants.values() if grant.token not in known)

    def _how_lost(self, grant: Grant) -> str:
        if grant.fault in TOKEN_LOSING_FAULTS:
            return grant.fault
        if grant.token in self.killed:
            return "process killed"
        return "its process ended before it was saved"
