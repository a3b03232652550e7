"""What happens in a simulated year, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from local.durations import DAY, HOUR, MINUTE
from local.simulate.network import OUTAGE_FAULTS
from local.simulate.rates import REALISTIC, Rates, arrivals
from local.simulate.runtime import Job, refresh

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z

# Who asks: a client alone, which the vendor limits, or a client with service accounts, which it does not.
AccountKind = Literal["client", "service"]
OutageKind = Literal["vendor", "aws", "kms", "writes", "schedule", "settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a year is played with."""

    rates: Rates = REALISTIC
    period: float = HOUR  # seconds from tick to tick
    standby: bool = True
    accounts: AccountKind = "client"
    probe: bool = False
    max_clock_offset: float = 5.0  # seconds between our clock and the vendor's
    max_skew: float = 0.5  # seconds between the true time and the clock of one process
    days: int = 365
    settings: dict[str, Any] = field(default_factory=dict)  # those that differ from the defaults
    job: Job = refresh  # what an invocation does
    forgets: bool = False  # the warm process forgets the tokens that it could not save


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutage:
    kind: OutageKind
    begin: float
    end: float
    vendor_fault: str  # for a vendor outage: what every request meets
    is_url_wrong: bool  # for mistyped settings: the token URL is wrong, else the audience


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRotation:
    at: float
    is_mistyped: bool
    is_rolled_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOverride:
    at: float
    is_reset: bool  # the vendor has reset the limit


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStorm:
    """Somebody invokes the function many times."""

    at: float
    delays: list[float]  # after `at`, one per invocation
    is_forced: bool
    overrides_limit: bool


HandWriteKind = Literal["placeholder", "backup", "label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHandWrite:
    """A person writes the token secret, or moves its label AWSCURRENT."""

    at: float
    kind: HandWriteKind
    choice: float  # of several documents, from 0 to 1
    repeated_after: float  # seconds until the same is done once more; 0 if it is done once


MAX_STORM_RUNS = 500
MIN_STORM_RUNS = 20
STORM_SECONDS = (0.0, 5.0, 10 * MINUTE, DAY)  # from the first to the last


class Plan:
    """All of it, from one seed.

    It is the same whatever the handler does, so that the product and its ablations are played in the same year. For
    one seed to stay the same year, keep the order of the draws.
    """

    def __init__(self, seed: int, setup: Setup) -> None:
        rates = setup.rates
        self._rates = rates
        self._period = setup.period
        self._rng = random.Random(f"plan {seed}")
        self.end = START + setup.days * DAY
        # The vendor's habits, which its guide leaves open.
        self.vendor_clock_offset = self._rng.uniform(-1, 1) * setup.max_clock_offset
        self.refusals_extend = self._rng.random() < 0.5
        self.token_format: Literal["jwt", "opaque"] = self._rng.choice(["jwt", "opaque"])
        self.reported_expires_in = self._rng.choice([86_400, 86_400, 2_592_000, 0])
        # What happens at times that nobody knows before.
        self.outages = list(self._outages())
        self.second_party_at = list(self._arrivals(rates.second_party))
        self.leaked_at = list(self._arrivals(rates.leaked))
        self.rotations = list(self._rotations())
        self.forced_at = list(self._arrivals(rates.forced))
        self.overrides = list(self._overrides())
        self.storms = list(self._storms())
        self.hand_writes = list(self._hand_writes())
        # AWS documents that it does. The handler must also work if it does not.
        self.labels_first_version = self._rng.random() < 0.8

    def tick(self, number: int) -> list[float]:
        """Return when the schedule's tick of this number invokes the function: usually once.

        Call it once for each number, in their order: it draws what the tick meets.
        """
        at = self.tick_at(number)
        missing_chance = self._rng.random()
        late_chance = self._rng.random()
        doubled_chance = self._rng.random()
        max_delay = 20 * MINUTE if late_chance < self._rates.tick_late else MINUTE
        invoked_at = at + self._rng.uniform(0, max_delay)
        invocations = []
        if missing_chance >= self._rates.tick_missing:
            invocations.append(invoked_at)
        if doubled_chance < self._rates.run_doubled:
            delays = [0.0, self._rng.uniform(0, 0.05), self._rng.uniform(0, 20)]
            invocations.append(invoked_at + self._rng.choice(delays))
        return invocations

    def tick_at(self, number: int) -> float:
        return START + number * self._period

    def _arrivals(self, per_year: float) -> Iterator[float]:
        return arrivals(self._rng, per_year, START, self.end)

    def _outages(self) -> Iterator[PlannedOutage]:
        rates = self._rates
        kinds: list[tuple[OutageKind, float, float, float]] = [  # each with its rate, shortest and longest time
            ("vendor", rates.vendor_down_minutes, 5 * MINUTE, 30 * MINUTE),
            ("vendor", rates.vendor_down_hours, HOUR, 6 * HOUR),
            ("vendor", rates.vendor_down_day, 20 * HOUR, 28 * HOUR),
            ("aws", rates.aws_down_minutes, 5 * MINUTE, 30 * MINUTE),
            ("aws", rates.aws_down_hours, 2 * HOUR, 8 * HOUR),
            ("kms", rates.kms_denied, HOUR, 2 * HOUR),
            ("writes", rates.writes_denied, HOUR, 2 * HOUR),
            ("schedule", rates.schedule_down, HOUR, 6 * HOUR),
            ("settings", rates.settings_mistyped, 10 * MINUTE, 4 * HOUR),
        ]
        for kind, per_year, shortest, longest in kinds:
            for at in list(self._arrivals(per_year)):
                yield PlannedOutage(
                    kind=kind,
                    begin=at,
                    end=at + self._rng.uniform(shortest, longest),
                    vendor_fault=self._rng.choice(OUTAGE_FAULTS),
                    is_url_wrong=self._rng.random() < 0.5,
                )

    def _rotations(self) -> Iterator[PlannedRotation]:
        for at in self._arrivals(self._rates.rotations):
            yield PlannedRotation(
                at=at,
                is_mistyped=self._rng.random() < self._rates.mistyped,
                is_rolled_back=self._rng.random() < self._rates.rolled_back,
            )

    def _overrides(self) -> Iterator[PlannedOverride]:
        for at in self._arrivals(self._rates.overridden):
            yield PlannedOverride(at=at, is_reset=self._rng.random() < 0.5)

    def _storms(self) -> Iterator[PlannedStorm]:
        for at in list(self._arrivals(self._rates.stormed)):
            runs = self._rng.randint(MIN_STORM_RUNS, MAX_STORM_RUNS)
            seconds = self._rng.choice(STORM_SECONDS)
            is_forced = self._rng.random() < 0.7
            yield PlannedStorm(
                at=at,
                delays=sorted(self._rng.uniform(0, seconds) for _ in range(runs)),
                is_forced=is_forced,
                overrides_limit=is_forced and self._rng.random() < 0.5,
            )

    def _hand_writes(self) -> Iterator[PlannedHandWrite]:
        kinds: list[tuple[HandWriteKind, float]] = [
            ("placeholder", self._rates.overwritten),
            ("backup", self._rates.restored),
            ("label", self._rates.label_moved),
        ]
        for kind, per_year in kinds:
            for at in list(self._arrivals(per_year)):
                is_repeated = kind == "placeholder" and self._rng.random() < 0.5
                yield PlannedHandWrite(
                    at=at,
                    kind=kind,
                    choice=self._rng.random(),
                    repeated_after=self._rng.uniform(1, 300) if is_repeated else 0.0,
                )
