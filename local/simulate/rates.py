"""How often each fault happens in a simulated year, and why we think so."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from local.durations import YEAR

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


def _rate(value: float, per: str, why: str) -> Any:
    return field(default=value, metadata={"per": per, "why": why})


@dataclass(frozen=True, slots=True)
class Rates:
    """Chances per event, or expected numbers per year. The defaults are the realistic ones."""

    # One token request meets at most one of these.
    vendor_dns: float = _rate(5e-4, "request", "the resolver fails for one look-up in 2,000")
    vendor_connect: float = _rate(
        1e-3, "request", "refused, or no answer for 10 s; what a service level of 99.9 % allows"
    )
    vendor_tls: float = _rate(2e-4, "request", "the TLS handshake fails")
    vendor_reset_before: float = _rate(
        5e-4,
        "request",
        "a load balancer resets it before the vendor sees the request",
    )
    vendor_reset_after: float = _rate(
        5e-4,
        "request",
        "one answer in 2,000 is lost after the token was issued",
    )
    vendor_truncated: float = _rate(1e-4, "request", "the connection ends inside the body")
    vendor_slow: float = _rate(
        5e-3,
        "request",
        "takes 5 to 60 s: a cold start or a failover behind the endpoint",
    )
    vendor_very_slow: float = _rate(
        2e-4,
        "request",
        "takes 100 to 300 s, mostly longer than anybody waits",
    )
    vendor_html: float = _rate(
        1e-4,
        "request",
        "a page of a load balancer or a firewall, with status 200",
    )
    vendor_5xx: float = _rate(
        2e-3,
        "request",
        "twice what a service level of 99.9 % allows; no slot is spent",
    )
    vendor_5xx_spent: float = _rate(1e-4, "request", "the token is issued, then a proxy gives up")
    vendor_429: float = _rate(5e-4, "request", "a rate limiter in front of the vendor")
    vendor_redirect: float = _rate(2e-5, "request", "a moved or hijacked endpoint")
    # Outages, during which every token request meets the same fault.
    vendor_down_minutes: float = _rate(
        12,
        "year",
        "5 to 30 minutes; together with the next one about 99.9 %",
    )
    vendor_down_hours: float = _rate(1.5, "year", "1 to 6 hours")
    vendor_down_day: float = _rate(
        0, "year", "20 to 28 hours: hardly any token lives that long, so only the harsh rates have it"
    )
    second_party: float = _rate(0.5, "year", "somebody runs a script with our client")
    probe_failed: float = _rate(
        2e-3,
        "probe",
        "an error of the API that says nothing about the token; also during outages",
    )
    # One call of Secrets Manager; each repetition by botocore is a call of its own.
    aws_throttled: float = _rate(3e-4, "call", "the account shares its quota with everybody in it")
    aws_5xx: float = _rate(1e-4, "call", "AWS promises 99.9 % and does better in practice")
    aws_cut: float = _rate(5e-5, "call", "the connection ends before the call takes effect")
    aws_lost_answer: float = _rate(
        5e-5,
        "call",
        "the connection ends after the call took effect; puts and moves too",
    )
    aws_lag: float = _rate(
        2e-4,
        "call",
        "a read shows the secrets as they were up to 5 s ago, and every tenth time up to 15 s ago",
    )
    aws_burst: float = _rate(
        1e-5,
        "call",
        "from this call on all calls fail, for 20 s to 5 minutes",
    )
    aws_down_minutes: float = _rate(2, "year", "5 to 30 minutes")
    aws_down_hours: float = _rate(
        0.2,
        "year",
        "2 to 8 hours, as in a region's large event every few years",
    )
    kms_denied: float = _rate(
        0.1,
        "year",
        "someone edits the key's policy; corrected within an hour or two",
    )
    writes_denied: float = _rate(
        0.1, "year", "someone edits the function's policy: reads work, writes fail; corrected as fast"
    )
    # Lambda and its schedule.
    run_killed: float = _rate(1e-5, "step", "the host fails between two steps of a run")
    run_doubled: float = _rate(
        1e-3, "tick", "invoked twice, at once or some seconds apart: Lambda promises at least once"
    )
    tick_missing: float = _rate(2e-4, "tick", "the scheduler drops it")
    schedule_down: float = _rate(
        0.2,
        "year",
        "the schedule is off, or its permission is gone, for 1 to 6 hours",
    )
    tick_late: float = _rate(5e-3, "tick", "up to 20 minutes late")
    # People.
    rotations: float = _rate(
        4,
        "year",
        "every quarter; the old client is deactivated once the status says that it may be",
    )
    mistyped: float = _rate(
        0.05, "rotation", "the new secret is wrong at first, or the document is not JSON; corrected within three hours"
    )
    rolled_back: float = _rate(0.05, "rotation", "the old pair is put back an hour later")
    leaked: float = _rate(
        0.05,
        "year",
        "the client is deactivated at once, and replaced within half an hour",
    )
    settings_mistyped: float = _rate(
        0.2, "year", "a deployment has a wrong audience or token URL; corrected within four hours"
    )
    forced: float = _rate(4, "year", "someone forces a refresh to be sure, after a dry run")
    overridden: float = _rate(
        0.2,
        "year",
        "someone overrides the limit; half of the times the vendor has not reset it",
    )
    stormed: float = _rate(
        0.05,
        "year",
        "a script in a loop invokes it 20 to 500 times: at once, within minutes, or in a day",
    )
    overwritten: float = _rate(
        0.05,
        "year",
        "someone tries out the console: a placeholder as the token, half of the times twice in a row",
    )
    restored: float = _rate(0.05, "year", "someone puts the document of an older token back, from a backup")
    label_moved: float = _rate(0.05, "year", "someone moves AWSCURRENT back to the version before, to undo a change")

    def scaled(self, factor: float) -> Rates:
        """Multiply all of them by the factor; no chance gets above one half."""
        return replace(self, **{rate.name: self._scale(rate, factor) for rate in fields(self)})

    def _scale(self, rate: Any, factor: float) -> float:
        value: float = getattr(self, rate.name) * factor
        if rate.metadata["per"] == "year":
            return value
        return min(value, 0.5)

    def without(self, *names: str) -> Rates:
        return replace(self, **dict.fromkeys(names, 0.0))

    def table(self) -> Iterator[tuple[str, float, str, str]]:
        """Yield each rate's name, its value, what it counts per, and why it is that high."""
        for rate in fields(self):
            yield rate.name, getattr(self, rate.name), rate.metadata["per"], rate.metadata["why"]


REALISTIC = Rates()
NONE = REALISTIC.scaled(0)
# Everything goes wrong twenty times as often, and now and then the vendor is down for a whole day.
HARSH = replace(
    REALISTIC.scaled(20),
    vendor_down_minutes=60,
    vendor_down_hours=12,
    vendor_down_day=2,
    aws_down_minutes=24,
    aws_down_hours=4,
    aws_burst=2e-3,
    kms_denied=4,
    writes_denied=4,
    schedule_down=6,
    second_party=12,
    rotations=12,
    leaked=1,
    settings_mistyped=6,
    forced=12,
    overridden=4,
    stormed=2,
    overwritten=4,
    restored=4,
    label_moved=4,
)
# For the invariants alone: so much goes wrong at once that availability means nothing.
TORTURE = replace(
    HARSH.scaled(5),
    run_doubled=0.5,
    run_killed=2e-3,
    aws_lag=0.15,
    aws_burst=0.01,
    vendor_slow=0.1,
    vendor_5xx=0.1,
    vendor_reset_after=0.05,
    second_party=50,
    rotations=50,
    leaked=10,
    settings_mistyped=50,
    mistyped=0.3,
    rolled_back=0.3,
    forced=50,
    overridden=50,
    stormed=20,
    overwritten=50,
    restored=50,
    label_moved=50,
)


class FaultSampler:
    """Draws the fault that one event meets.

    A draw always takes exactly one random number, so that a rate of 0 does not shift the draws that follow.
    """

    def __init__(self, rng: random.Random, rates: Rates, prefix: str, per: str) -> None:
        """Sample from the rates whose names begin with `prefix` and that count per such an event."""
        self._rng = rng
        names = [rate.name for rate in fields(rates) if rate.name.startswith(prefix) and rate.metadata["per"] == per]
        limits = itertools.accumulate(getattr(rates, name) for name in names)
        self._limits: list[tuple[str, float]] = list(zip(names, limits, strict=True))
        if self._total > 1:
            raise ValueError(f"the chances of {prefix}… add up to more than 1: the last fault would never happen")

    @property
    def _total(self) -> float:
        _, limit = self._limits[-1]
        return limit

    def stop(self) -> None:
        """Let no fault happen any more."""
        self._limits = [("", 0.0)]

    def draw(self) -> str:
        """Return the name of the fault, or an empty text if nothing happens."""
        drawn = self._rng.random()
        if drawn >= self._total:
            return ""
        return next(name for name, limit in self._limits if drawn < limit)


def arrivals(rng: random.Random, per_year: float, begin: float, end: float) -> Iterator[float]:
    """Yield the times of a Poisson process."""
    at = begin
    while per_year:
        at += -math.log(1 - rng.random()) * YEAR / per_year
        if at >= end:
            return
        yield at
