"""One store alone, and the same store among others that have faults of their own: the same must happen to it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console

from local.durations import DAY
from local.fleet.fleet import Fleet
from local.fleet.plan import FleetSetup, plan_stores
from local.simulate.plan import START
from local.simulate.rates import HARSH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.fleet.plan import PlannedStore

FIRST_PAGE = 10  # connections; a store on it is surveyed at the same time, however many others there are
WATCHED = 4  # the number of the store that is compared: others come before it and after it
MAX_SHOWN_LINES = 20
HAND_OVER_FAILURES = 0.01
MISTAKES_PER_DAY = 0.2
# All that happens to the region, and not to a store, is left out.
ISOLATION_RATES = replace(HARSH, aws_burst=0.0, run_killed=1e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What happened to the store, line by line: `alone`, and `among` the others."""

    alone: list[str]
    among: list[str]
    other_runs: int

    @property
    def is_same(self) -> bool:
        return self.alone == self.among

    def differences(self) -> list[str]:
        lines = difflib.unified_diff(self.alone, self.among, "alone", "among others", lineterm="", n=2)
        return list(lines)[:MAX_SHOWN_LINES]


def _ignore(_: str) -> None:
    """Nobody watches."""


def isolation_setup(others: int, days: float, seed: int) -> FleetSetup:
    """Return a setup in which no time depends on how many stores there are: what remains is what they do to each other.

    Sweeps take the same time, hand-overs none, and there is a free process for each store.
    """
    return FleetSetup(
        connections=others + 1,
        days=days,
        seed=seed,
        rates=ISOLATION_RATES,
        concurrency=2 * (others + 1),
        hand_over_seconds=0.0,
        unsaved_tokens=0.0,  # a sweep saves them first, and so begins its survey later
        hand_over_failures=HAND_OVER_FAILURES,
        mistakes_per_day=MISTAKES_PER_DAY,
        has_outage=False,
        is_sweep_steady=True,
    )


def compare(others: int, days: float, seed: int = 0, progress: Callable[[str], None] = _ignore) -> Compared:
    """Play the store among the others, and alone. `progress` is told how far it is."""
    setup = isolation_setup(others, days, seed)
    stores = list(_planned(setup))
    watched = stores[WATCHED]
    among = _play(setup, stores, progress)
    alone = _play(setup, [watched], progress)
    return Compared(
        alone=alone.records[watched.name].lines,
        among=among.records[watched.name].lines,
        other_runs=among.runs.total() - alone.runs.total(),
    )


def show(others: int, days: float, seed: int) -> int:
    """Compare and print. Return the exit code: 1 if something else happened."""
    console = Console(highlight=False)
    with console.status("the first day") as status:
        compared = compare(others, days, seed, status.update)
    verdict = "the same" if compared.is_same else "NOT the same"
    console.print(
        f"{days:g} days of one store, alone and among {others} others that had {compared.other_runs} runs: "
        f"{verdict} ({len(compared.alone)} lines)",
        soft_wrap=True,
    )
    for line in compared.differences():
        console.print(line, soft_wrap=True)
    return 0 if compared.is_same else 1


def _planned(setup: FleetSetup) -> Iterator[PlannedStore]:
    """Yield the stores. Those of the first page are there from the beginning, and the watched one stays."""
    for number, store in enumerate(plan_stores(setup)):
        if number >= FIRST_PAGE:
            yield store
        elif number == WATCHED:
            yield replace(store, joins_at=START, leaves_at=None)
        else:
            yield replace(store, joins_at=START)


def _play(setup: FleetSetup, stores: list[PlannedStore], progress: Callable[[str], None]) -> Fleet:
    fleet = Fleet(setup, stores)
    for now in fleet.play():
        progress(f"{(now - START) / DAY:.0f} of {setup.days:g} days, connections: {len(stores)}")
    return fleet
