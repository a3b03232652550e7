"""The part of each year in which consumers held a good token: its mean, and how sure that mean is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from local.intervals import half_interval

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
        """The mean's 95 % interval. It stays between 0 and 1, since a part of a year is neither less nor more."""
        half = half_interval(self.years)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)

    @property
    def hours_without_token(self) -> float:
        """The mean in other words: hours of a year."""
        return hours_without_token(self.mean)

    @property
    def hours_interval(self) -> tuple[float, float]:
        """The mean's 95 % interval in hours of a year, the fewer first."""
        worse, better = self.interval
        return hours_without_token(better), hours_without_token(worse)


def hours_without_token(availability: float) -> float:
    return (1 - availability) * YEAR_HOURS
