"""What happens to a fleet of stores, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from local.durations import DAY, HOUR, MINUTE
from local.simulate.plan import START
from local.simulate.rates import REALISTIC, Rates

if TYPE_CHECKING:
    from collections.abc import Iterator

PERIOD = HOUR  # from one sweep to the next
MAX_ROLLOUT_SECONDS = 18 * HOUR  # in which the first stores join: less than a token's life, so that they stay spread
LATE_PART = 0.05  # so many more stores join later
LEAVING_PART = 0.05
CLIENT_PART = 0.2  # so many stores are clients of the vendor's first generation
OUTAGE_SECONDS = 2 * HOUR
MISTAKE_SECONDS = (30 * MINUTE, 8 * HOUR)
MAX_DELAY_OF_SWEEP = MINUTE
FLEET_RATES = replace(REALISTIC, run_killed=2e-4)

# How a store asks the vendor: with a service account, or as a client of the first generation, which gets one token in
# 20 hours.
Generation = Literal["account", "client"]
# What people do wrong: when they write the credentials, with the policy of the token secret's key, or when they join.
MistakeKind = Literal["wrong password", "not JSON", "denied key", "no token secret"]
LATER_MISTAKES: tuple[MistakeKind, ...] = ("wrong password", "wrong password", "not JSON", "denied key")
FIRST_MISTAKES: tuple[MistakeKind, ...] = (*LATER_MISTAKES, "no token secret")
FIRST_MISTAKE_CHANCE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSetup:
    """What a fleet is played with."""

    connections: int = 1_000
    days: float = 2.0
    seed: int = 0
    is_due_at_once: bool = False  # all stores are there from the beginning, and nothing but AWS's rates troubles them
    rates: Rates = FLEET_RATES
    concurrency: int = 15  # as in template.yaml, with a prefix
    hand_over_seconds: float = 0.02  # that one hand-over takes
    hand_over_failures: float = 2e-4  # the part of the hand-overs that Lambda throttles
    unsaved_tokens: float = 2e-3  # the part of the tokens whose secret can't be written for some minutes
    mistakes_per_day: float = 0.03  # of one store, apart from those when it joins
    has_outage: bool = True  # of the vendor
    is_sweep_steady: bool = False  # each sweep takes the same time and meets no fault

    @property
    def end(self) -> float:
        return START + self.days * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMistake:
    kind: MistakeKind
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStore:
    """A store. `leaves_at` is None if it stays."""

    name: str
    generation: Generation
    joins_at: float
    leaves_at: float | None = None
    mistakes: tuple[PlannedMistake, ...] = ()  # one after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutage:
    """A time in which every request to the vendor meets the fault."""

    fault: str
    begin: float
    end: float


def plan_stores(setup: FleetSetup) -> list[PlannedStore]:
    """Return the stores. What is planned for one depends on its name, and not on the other stores."""
    late = round(setup.connections * LATE_PART)
    if setup.is_due_at_once:
        late = 0
    stores = [_plan_store(setup, number, is_late=False) for number in range(setup.connections)]
    stores += [_plan_store(setup, setup.connections + number, is_late=True) for number in range(late)]
    return stores


def _plan_store(setup: FleetSetup, number: int, *, is_late: bool) -> PlannedStore:
    name = f"stores/{number:05}"
    rng = random.Random(f"{setup.seed} plan of {name}")
    seconds = setup.end - START
    rollout_seconds = min(MAX_ROLLOUT_SECONDS, seconds / 2)
    joins_at = START + rng.uniform(0, rollout_seconds)
    if is_late:
        joins_at = rng.uniform(START + rollout_seconds, setup.end)
    is_client = rng.random() < CLIENT_PART
    store = PlannedStore(
        name=name,
        generation="client" if is_client else "account",
        joins_at=joins_at,
    )
    if setup.is_due_at_once:
        return replace(store, joins_at=START)
    if rng.random() < LEAVING_PART:
        return replace(store, leaves_at=rng.uniform(joins_at, setup.end))
    return replace(store, mistakes=tuple(_plan_mistakes(rng, store, setup)))


def _plan_mistakes(rng: random.Random, store: PlannedStore, setup: FleetSetup) -> Iterator[PlannedMistake]:
    at = store.joins_at
    if rng.random() < FIRST_MISTAKE_CHANCE:
        mistake = _plan_mistake(rng, FIRST_MISTAKES, at)
        at = mistake.end
        yield mistake
    while True:
        at += rng.expovariate(setup.mistakes_per_day / DAY)
        if at >= setup.end:
            return
        mistake = _plan_mistake(rng, LATER_MISTAKES, at)
        at = mistake.end
        yield mistake


def _plan_mistake(rng: random.Random, kinds: tuple[MistakeKind, ...], at: float) -> PlannedMistake:
    return PlannedMistake(kind=rng.choice(kinds), begin=at, end=at + rng.uniform(*MISTAKE_SECONDS))


def plan_outages(setup: FleetSetup) -> list[PlannedOutage]:
    """Return one outage in two halves: first the vendor answers with errors, and then it does not answer at all."""
    if setup.is_due_at_once or not setup.has_outage:
        return []
    begin = START + (setup.end - START) * 0.6
    middle = begin + OUTAGE_SECONDS / 2
    return [
        PlannedOutage(fault="vendor_5xx", begin=begin, end=middle),
        PlannedOutage(fault="vendor_silent", begin=middle, end=begin + OUTAGE_SECONDS),
    ]


def plan_sweeps(setup: FleetSetup) -> Iterator[float]:
    """Yield when the schedule invokes the function."""
    rng = random.Random(f"{setup.seed} schedule")
    at = START
    while at < setup.end:
        yield at + rng.uniform(0, MAX_DELAY_OF_SWEEP)
        at += PERIOD
