"""The study: which years are played, by how many processes, and what they add up to."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import statistics
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from local.durations import HOUR, MINUTE
from local.simulate.ablations import ABLATIONS, Ablation
from local.simulate.rates import HARSH, REALISTIC, TORTURE
from local.simulate.year import Figures, Setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WHOLE = Ablation("everything is there")
PERIODS = {"15 min": 15 * MINUTE, "30 min": 30 * MINUTE, "1 h": HOUR, "2 h": 2 * HOUR, "3 h": 3 * HOUR, "4 h": 4 * HOUR}
REAL = Setup(rates=REALISTIC)
HARD = Setup(rates=HARSH, clocks_apart=300.0, skew=14.0)
# No token outlives a day, so that a day's outage costs every variant the same, and hides what they differ in.
COMPARED = Setup(rates=HARSH.without("vendor_down_day"), clocks_apart=300.0, skew=14.0)
TORTURED = Setup(rates=TORTURE, clocks_apart=300.0, skew=14.0, days=60)
# The defaults, and what lies beside them.
SETTINGS = {
    "standby_below_seconds": (0, 3_600, 9_000, 14_400),
    "acquire_timeout_seconds": (10, 30, 60, 120, 240),
    "limit_margin_seconds": (0, 60, 300, 900),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Some years that are played alike; `table` and `name` say where they stand in the report."""

    table: str
    name: str
    setup: Setup
    years: int
    ablation: str = ""

    def play(self, seed: int) -> Figures:
        return ABLATIONS.get(self.ablation, WHOLE).play(seed, self.setup)


@dataclass(slots=True)
class Row:
    """What the years of a case add up to; times in seconds."""

    case: Case
    figures: list[Figures] = field(default_factory=list)

    def total(self, name: str) -> Any:
        return sum((getattr(one, name) for one in self.figures), type(getattr(self.figures[0], name))())

    @property
    def availabilities(self) -> list[float]:
        return sorted(one.careful for one in self.figures)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.availabilities)

    @property
    def interval(self) -> tuple[float, float]:
        """The mean's 95 % interval, by resampling the years a thousand times."""
        rng, years = random.Random(self.case.name), self.availabilities
        means = sorted(statistics.fmean(rng.choices(years, k=len(years))) for _ in range(1_000))
        return means[25], means[-26]

    @property
    def worst(self) -> Figures:
        return min(self.figures, key=lambda one: (one.careful, one.seed))

    @property
    def longest_outage(self) -> float:
        return max((outage.seconds for one in self.figures for outage in one.outages), default=0.0)

    @property
    def hours_by_cause(self) -> Counter[str]:
        hours: Counter[str] = Counter()
        for one in self.figures:
            for outage in one.outages:
                hours[outage.cause] += outage.seconds / HOUR  # type: ignore[assignment]
        return hours

    @property
    def broken(self) -> Counter[str]:
        broken: Counter[str] = self.total("broken")
        return broken


def cases(scale: float) -> Iterator[Case]:
    """Yield what is played; `scale` is the part of the whole study's years."""

    def years(number: int) -> int:
        return max(2, round(number * scale))

    yield Case("headline", "with a standby", REAL, years(1_000))
    yield Case("headline", "without a standby", replace(REAL, standby=False), years(100))
    yield Case("headline", "harsh rates, with a standby", HARD, years(20))
    yield Case("headline", "harsh rates, without a standby", replace(HARD, standby=False), years(20))
    for name, period in PERIODS.items():
        for with_standby in (True, False):
            setup = replace(COMPARED, period=period, standby=with_standby)
            yield Case("schedules", f"{name}{'' if with_standby else ', no standby'}", setup, years(8))
    yield Case("ablations", "the product", COMPARED, years(8))
    for name, ablation in ABLATIONS.items():
        if ablation.is_studied:
            yield Case("ablations", name, COMPARED, years(8), name)
    for setting, values in SETTINGS.items():
        for value in values:
            setup = replace(COMPARED, settings={setting: value})
            yield Case("settings", f"{setting} = {value}", setup, years(8))
    yield Case("settings", "with a probe", replace(COMPARED, probe=True), years(8))
    for standby, probe in itertools.product((True, False), (True, False)):
        yield Case("invariants", "the product", replace(TORTURED, standby=standby, probe=probe), years(10))
    for name in ABLATIONS:
        yield Case("invariants", name, TORTURED, years(3), name)


def play(planned: Iterable[Case], workers: int) -> list[Row]:
    """Play all years, showing how far it is on standard error; the result does not depend on `workers`."""
    rows = [Row(case) for case in planned]
    jobs = [(number, seed) for number, row in enumerate(rows) for seed in range(row.case.years)]
    with ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(rows[number].case.play, seed): number for number, seed in jobs}
        for done, future in enumerate(as_completed(waiting), 1):
            rows[waiting[future]].figures.append(future.result())
            _progress(done, len(jobs))
    for row in rows:
        row.figures.sort(key=lambda one: one.seed)
    return rows


def trace(rows: Iterable[Row]) -> str:
    """Return one hash over the traces of all years: the same seeds, the same hash."""
    return hashlib.sha256("".join(one.trace for row in rows for one in row.figures).encode()).hexdigest()[:16]


def workers() -> int:
    return os.cpu_count() or 1


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (40 * done // of)
        print(f"\r[{bar:<40}] {done} of {of} years", end="\n" if done == of else "", file=sys.stderr, flush=True)
    elif done == of or done % max(1, of // 20) == 0:
        print(f"{done} of {of} years", file=sys.stderr, flush=True)
