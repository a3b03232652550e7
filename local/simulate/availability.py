"""The part of each year in which consumers held a good token: its mean, and how sure that mean is."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

YEAR_HOURS = 365 * 24


@dataclass(frozen=True, slots=True)
class Availability:
    """The availabilities of a case's years, from 0 to 1, the worst year first."""

    name: str
    years: list[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.years)

    @property
    def interval(self) -> tuple[float, float]:
        """The mean's 95 % interval."""
        return interval_of_mean(self.years, self.name)

    @property
    def hours_without_token(self) -> float:
        """The mean in other words: hours of a year."""
        return hours_without_token(self.mean)

    @property
    def hours_interval(self) -> tuple[float, float]:
        """The mean's 95 % interval in hours of a year, the fewer first."""
        worse, better = self.interval
        return hours_without_token(better), hours_without_token(worse)


def interval_of_mean(values: Sequence[float], seed: str) -> tuple[float, float]:
    """Return the mean's 95 % interval, found by drawing as many of the values a thousand times (the bootstrap).

    The same values and seed give the same interval.
    """
    rng = random.Random(seed)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(1_000))
    return means[25], means[-26]


def hours_without_token(availability: float) -> float:
    return (1 - availability) * YEAR_HOURS
