"""The study: which years are played, by how many processes, and what they add up to."""

from __future__ import annotations

import functools
import itertools
import operator
import os
import sys
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from handler.settings import Settings
from local.durations import HOUR, MINUTE
from local.fleet.plan import FleetSetup
from local.simulate.ablations import ABLATIONS, Ablation
from local.simulate.availability import Availability
from local.simulate.figures import describe_broken, digest_of
from local.simulate.many_connections import FleetDays, play_fleet
from local.simulate.plan import Setup
from local.simulate.rates import HARSH, REALISTIC, TORTURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from local.simulate.figures import Figures

PRODUCT = "the product"
NOTHING_TAKEN_OUT = Ablation("everything is there")
PERIODS = {
    "15 min": 15 * MINUTE,
    "30 min": 30 * MINUTE,
    "1 h": HOUR,
    "2 h": 2 * HOUR,
    "3 h": 3 * HOUR,
    "4 h": 4 * HOUR,
}
WITH_STANDBY = "with a standby"
WITHOUT_STANDBY = "without a standby"
REAL = Setup(rates=REALISTIC)
HARD = Setup(rates=HARSH, max_clock_offset=300.0, max_skew=14.0)
# No token lives longer than a day, so an outage of a day costs each variant the same and hides their differences. Many
# short plays show a difference better than a few years of the same cost: a bad turn spoils one play only.
COMPARED = replace(HARD, rates=HARSH.without("vendor_down_day"), days=73)
COMPARED_PLAYS = 15  # three years
TORTURED = replace(HARD, rates=TORTURE, days=60)
WRITES_BY_HAND = ("overwritten", "restored", "label_moved")
NO_WRITES_BY_HAND = replace(REAL, rates=REALISTIC.without(*WRITES_BY_HAND))
MANY_WRITES_BY_HAND = replace(REAL, rates=replace(REALISTIC, **dict.fromkeys(WRITES_BY_HAND, 4.0)))
NO_LAG = replace(REAL, rates=REALISTIC.without("aws_lag"))
MUCH_LAG = replace(REAL, rates=replace(REALISTIC, aws_lag=0.1))
# By their names on the command line.
SETUPS = {
    "realistic": REAL,
    "harsh": HARD,
    "compared": COMPARED,
    "torture": TORTURED,
    "no-writes-by-hand": NO_WRITES_BY_HAND,
    "many-writes-by-hand": MANY_WRITES_BY_HAND,
    "no-lag": NO_LAG,
    "much-lag": MUCH_LAG,
}
DEFAULTS = {setting.name: setting.default for setting in fields(Settings)}
# Values next to the defaults.
SETTINGS = {
    "standby_below_seconds": (0, 3_600, 14_400),
    "acquire_timeout_seconds": (10, 30, 60, 240),
    "limit_margin_seconds": (0, 60, 900),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Some years that are played alike, each as long as the setup says.

    `table` and `name` say where they stand in the report.
    """

    table: str
    name: str
    setup: Setup
    years: int
    ablation: str = ""

    def play_year(self, seed: int) -> Figures:
        ablation = ABLATIONS.get(self.ablation, NOTHING_TAKEN_OUT)
        return ablation.play_year(seed, self.setup)


@dataclass(slots=True)
class Row:
    """What the years of a case add up to; times in seconds."""

    case: Case
    figures: list[Figures] = field(default_factory=list)

    def total(self, name: str) -> Any:
        """Add up one of the figures, a number or a Counter, over all years."""
        return functools.reduce(operator.add, [getattr(year, name) for year in self.figures])

    @property
    def availability(self) -> Availability:
        return Availability(self.case.name, sorted(year.careful for year in self.figures))

    @property
    def worst(self) -> Figures:
        return min(self.figures, key=lambda year: (year.careful, year.seed))

    @property
    def longest_outage(self) -> float:
        return max((outage.seconds for year in self.figures for outage in year.outages), default=0.0)

    @property
    def hours_by_cause(self) -> Counter[str]:
        hours: Counter[str] = Counter()
        for year in self.figures:
            for outage in year.outages:
                hours[outage.cause] += outage.seconds / HOUR  # type: ignore[assignment]
        return hours

    @property
    def broken(self) -> Counter[str]:
        broken: Counter[str] = self.total("broken")
        return broken

    def describe_broken(self) -> list[str]:
        """Say of each year which invariants it broke, and how to play it again."""
        case = self.case
        return [
            describe_broken(year, replay_command(year.seed, case.setup, case.ablation))
            for year in self.figures
            if year.broken
        ]


@dataclass(frozen=True, slots=True)
class Study:
    """All that was played."""

    rows: list[Row]
    fleet: FleetDays

    @property
    def trace(self) -> str:
        """One hash over all of it: the same seeds, the same hash."""
        return digest_of(trace_of(self.rows) + self.fleet.trace)

    def describe_broken(self) -> list[str]:
        """Say what did not hold, apart from what is taken out on purpose, and how to play it again."""
        broken = [text for row in self.rows if not row.case.ablation for text in row.describe_broken()]
        return broken + self.fleet.describe_broken()


def replay_command(seed: int, setup: Setup, ablation: str = "") -> str:
    """Return the command that plays one year of a setup again. The setup's rates have to be those of one of SETUPS."""
    name = next(name for name, known in SETUPS.items() if known.rates == setup.rates)
    words = [
        ".venv/bin/python -m local.simulate",
        f"--seed {seed}",
        f"--rates {name}",
        f"--standby {_yes_or_no(setup.standby)}",
        f"--accounts {setup.accounts}",
        f"--probe {_yes_or_no(setup.probe)}",
        f"--period {setup.period:g}",
        f"--days {setup.days}",
    ]
    words += [f"--setting {setting}={value}" for setting, value in setup.settings.items()]
    if ablation:
        words.append(f"--without '{ablation}'")
    return " ".join(words)


def _yes_or_no(is_yes: object) -> str:
    return "yes" if is_yes else "no"


def cases(scale: float) -> Iterator[Case]:
    """Yield what is played. `scale` is the part of the whole study's years."""
    yield from _headline_cases(scale)
    yield from _change_cases(scale)
    yield from _schedule_cases(scale)
    yield from _ablation_cases(scale)
    yield from _setting_cases(scale)
    yield from _invariant_cases(scale)


def _years(number: int, scale: float) -> int:
    return max(2, round(number * scale))


def _headline_cases(scale: float) -> Iterator[Case]:
    for name, setup, number in (
        (WITH_STANDBY, REAL, 200),
        (WITHOUT_STANDBY, replace(REAL, standby=False), 80),
        ("harsh rates, with a standby", HARD, 20),
        ("harsh rates, without a standby", replace(HARD, standby=False), 20),
    ):
        yield Case(table="headline", name=name, setup=setup, years=_years(number, scale))


def _change_cases(scale: float) -> Iterator[Case]:
    for name, setup in (
        ("nobody writes the token secret by hand", NO_WRITES_BY_HAND),
        ("somebody writes the token secret by hand 12 times a year", MANY_WRITES_BY_HAND),
        ("no read lags", NO_LAG),
        ("every tenth read lags", MUCH_LAG),
        ("service accounts", replace(REAL, accounts="service")),
        ("service accounts, without a standby", replace(REAL, accounts="service", standby=False)),
    ):
        yield Case(table="changes", name=name, setup=setup, years=_years(20, scale))


def _schedule_cases(scale: float) -> Iterator[Case]:
    years = _years(COMPARED_PLAYS, scale)
    for name, period in PERIODS.items():
        setup = replace(COMPARED, period=period)
        yield Case(table="schedules", name=name, setup=setup, years=years)
        alone = replace(setup, standby=False)
        yield Case(table="schedules", name=f"{name}, no standby", setup=alone, years=years)


def _ablation_cases(scale: float) -> Iterator[Case]:
    years = _years(COMPARED_PLAYS, scale)
    yield Case(table="ablations", name=PRODUCT, setup=COMPARED, years=years)
    for name, ablation in ABLATIONS.items():
        if ablation.is_studied:
            yield Case(table="ablations", name=name, setup=COMPARED, years=years, ablation=name)


def _setting_cases(scale: float) -> Iterator[Case]:
    years = _years(COMPARED_PLAYS, scale)
    for setting, values in SETTINGS.items():
        for value in values:
            setup = replace(COMPARED, settings={setting: value})
            yield Case(table="settings", name=f"{setting} = {value}", setup=setup, years=years)
    yield Case(table="settings", name="with a probe", setup=replace(COMPARED, probe=True), years=years)


def _invariant_cases(scale: float) -> Iterator[Case]:
    for standby, probe in itertools.product((True, False), (True, False)):
        setup = replace(TORTURED, standby=standby, probe=probe)
        yield Case(table="invariants", name=PRODUCT, setup=setup, years=_years(6, scale))
    for name in ABLATIONS:
        yield Case(table="invariants", name=name, setup=TORTURED, years=_years(2, scale), ablation=name)


def fleet_setup(scale: float) -> FleetSetup:
    return FleetSetup(connections=max(20, round(1_000 * scale)))


def play_study(scale: float, workers: int) -> Study:
    """Play it, and show the progress on standard error. `scale` is the part of the whole study that is played."""
    with ProcessPoolExecutor(workers) as pool:
        fleet = pool.submit(play_fleet, fleet_setup(scale))  # first, because it takes longer than any year
        rows = _play_years(cases(scale), pool, fleet)
        return Study(rows, fleet.result())


def play_all(planned: Iterable[Case], workers: int) -> list[Row]:
    """Play all years, and show the progress on standard error. The result does not depend on `workers`."""
    with ProcessPoolExecutor(workers) as pool:
        return _play_years(planned, pool)


def _play_years(
    planned: Iterable[Case],
    pool: ProcessPoolExecutor,
    fleet: Future[FleetDays] | None = None,
) -> list[Row]:
    """Play them. Raises at the next year's end if the fleet has failed, and at once if a year has."""
    rows = [Row(case) for case in planned]
    years = [(row, seed) for row in rows for seed in range(row.case.years)]
    row_of = {pool.submit(row.case.play_year, seed): row for row, seed in years}
    for number, future in enumerate(as_completed(row_of), 1):
        row_of[future].figures.append(future.result())
        if fleet is not None and fleet.done():
            fleet.result()
        _show_progress(number, len(years))
    for row in rows:
        row.figures.sort(key=lambda year: year.seed)
    return rows


def trace_of(rows: Iterable[Row]) -> str:
    """Return one hash over the traces of all years: the same seeds, the same hash."""
    return digest_of("".join(year.trace for row in rows for year in row.figures))


def default_workers() -> int:
    return os.cpu_count() or 1


def _show_progress(done: int, total: int) -> None:
    text = f"{done} of {total} years"
    if sys.stderr.isatty():
        bar = "#" * (40 * done // total)
        end = "\n" if done == total else ""
        print(f"\r[{bar:<40}] {text}", end=end, file=sys.stderr, flush=True)
        return
    reports_every = max(1, total // 20)
    if done == total or done % reports_every == 0:
        print(text, file=sys.stderr, flush=True)
