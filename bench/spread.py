"""Ratios of paired measurements with their quartiles, and whether they meet a target."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """The median and both quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of the values. A single value is its own quartiles."""
        if len(values) == 1:
            return cls(median=values[0], low=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4)
        return cls(median=median, low=low, high=high)

    def quartiles(self, digits: int = 0) -> str:
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Divide ours by theirs, pair by pair."""
    ratios = [our_value / their_value for our_value, their_value in zip(ours, theirs, strict=True)]
    return Spread.of(ratios)


def verdict(found: Spread, limit: float) -> str:
    """Say whether a target is met. If the limit is between the quartiles, another bench may say otherwise."""
    if found.high <= limit:
        return "met"
    if found.median <= limit:
        return "met, narrowly"
    if found.low <= limit:
        return "missed, narrowly"
    return "missed"
