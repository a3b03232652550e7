"""What befalls a simulated year, how often, and why we think so."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

from local.durations import YEAR


def _rate(value: float, per: str, why: str) -> Any:
    return field(default=value, metadata={"per": per, "why": why})


@dataclass(frozen=True, slots=True)
class Rates:
    """Chances per event, or expected numbers a year; the defaults are the realistic ones."""

    # One token request meets at most one of these.
    vendor_dns: float = _rate(5e-4, "request", "a resolver's hiccup; one look-up in 2,000")
    vendor_connect: float = _rate(
        1e-3, "request", "refused, or not there for 10 s; what is left of a 99.9 % service level"
    )
    vendor_tls: float = _rate(2e-4, "request", "a hand-shake that fails")
    vendor_reset_before: float = _rate(5e-4, "request", "reset by a balancer before the vendor has seen the request")
    vendor_reset_after: float = _rate(5e-4, "request", "one answer in 2,000 is lost after the token was issued")
    vendor_truncated: float = _rate(1e-4, "request", "a connection that ends inside the body")
    vendor_slow: float = _rate(5e-3, "request", "takes 5 to 60 s; a cold start or a failover behind the endpoint")
    vendor_very_slow: float = _rate(2e-4, "request", "takes 100 to 300 s, mostly longer than anybody waits")
    vendor_html: float = _rate(1e-4, "request", "a page of a balancer or a firewall, with status 200")
    vendor_5xx: float = _rate(2e-3, "request", "twice what a 99.9 % service level allows; no slot is spent")
    vendor_5xx_spent: float = _rate(1e-4, "request", "the token is issued, then a proxy gives up")
    vendor_429: float = _rate(5e-4, "request", "a rate limiter in front of the vendor")
    vendor_redirect: float = _rate(2e-5, "request", "a moved or hijacked endpoint")
    # Outages, during which every token request meets the same.
    vendor_down_minutes: float = _rate(12, "year", "5 to 30 minutes; with the next one about 99.9 %")
    vendor_down_hours: float = _rate(1.5, "year", "1 to 6 hours")
    vendor_down_day: float = _rate(
        0, "year", "20 to 28 hours: hardly a token outlives it, so it is in the harsh rates only"
    )
    second_party: float = _rate(0.5, "year", "somebody runs a script with our client")
    probe_failed: float = _rate(2e-3, "probe", "an error of the API, which says nothing of the token; also in outages")
    # One call of Secrets Manager, each repetition by botocore counted.
    aws_throttled: float = _rate(3e-4, "call", "the account shares its quota with everybody in it")
    aws_5xx: float = _rate(1e-4, "call", "AWS's service level is 99.9 %, and its practice better")
    aws_cut: float = _rate(5e-5, "call", "the connection ends before the call takes effect")
    aws_lost_answer: float = _rate(5e-5, "call", "the connection ends after it took effect, also of puts and moves")
    aws_stale: float = _rate(2e-4, "call", "a read of the token that does not yet see the last write, of the last 5 s")
    aws_burst: float = _rate(1e-5, "call", "it fails from this very call on, for 20 s to 5 minutes")
    aws_down_minutes: float = _rate(2, "year", "5 to 30 minutes")
    aws_down_hours: float = _rate(0.2, "year", "2 to 8 hours, as in a region's large event every few years")
    kms_denied: float = _rate(0.1, "year", "someone edits the key's policy; an hour or two until it is put right")
    writes_denied: float = _rate(
        0.1, "year", "someone edits the function's policy: reads go on, writes do not, as long"
    )
    # Lambda and its schedule.
    run_killed: float = _rate(1e-5, "step", "the host fails between two steps of a run")
    run_doubled: float = _rate(
        1e-3, "tick", "invoked twice, at once or some seconds apart: asynchronous is at least once"
    )
    tick_missing: float = _rate(2e-4, "tick", "one that the scheduler drops")
    schedule_down: float = _rate(0.2, "year", "the schedule is off, or its permission gone, for 1 to 6 hours")
    tick_late: float = _rate(5e-3, "tick", "by up to 20 minutes")
    # People.
    rotations: float = _rate(4, "year", "every quarter; the old client is deactivated when status says that it may be")
    mistyped: float = _rate(
        0.05, "rotation", "at first the new secret is wrong, or the document no JSON; corrected within three hours"
    )
    rolled_back: float = _rate(0.05, "rotation", "the old pair is put back, an hour later")
    leaked: float = _rate(0.05, "year", "the client is deactivated at once, and replaced within half an hour")
    settings_mistyped: float = _rate(
        0.2, "year", "a deployment with a wrong audience or token URL, right within four hours"
    )
    forced: float = _rate(4, "year", "someone invokes it with force, to be sure, after a dry run")
    overridden: float = _rate(0.2, "year", "someone overrides the limit; every other time the vendor has not reset it")

    def scaled(self, factor: float) -> Rates:
        """Return all chances times the factor, none above a half."""
        return replace(self, **{one.name: self._scale(one, factor) for one in fields(self)})

    def _scale(self, one: Any, factor: float) -> float:
        value: float = getattr(self, one.name) * factor
        return value if one.metadata["per"] == "year" else min(value, 0.5)

    def without(self, *names: str) -> Rates:
        return replace(self, **dict.fromkeys(names, 0.0))

    def table(self) -> Iterator[tuple[str, float, str, str]]:
        for one in fields(self):
            yield one.name, getattr(self, one.name), one.metadata["per"], one.metadata["why"]


REALISTIC = Rates()
NONE = REALISTIC.scaled(0)
# Everything goes wrong twenty times as often, and now and then for a whole day.
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
)
# For the invariants alone: so much at once that nobody counts availability.
TORTURE = replace(
    HARSH.scaled(5),
    run_doubled=0.5,
    run_killed=2e-3,
    aws_stale=0.05,
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
)


class Dice:
    """What one event meets of these; always one draw, so that a rate of 0 leaves the other draws where they were."""

    def __init__(self, rng: random.Random, rates: Rates, prefix: str, per: str) -> None:
        self._rng = rng
        names = [one.name for one in fields(rates) if one.name.startswith(prefix) and one.metadata["per"] == per]
        self._faces = list(zip(names, itertools.accumulate(getattr(rates, name) for name in names), strict=True))
        if self._faces[-1][1] > 1:
            raise ValueError(f"the chances of {prefix}… add up to more than 1, so that the last would never befall")

    def calm(self) -> None:
        """Let nothing befall any more."""
        self._faces = [("", 0.0)]

    def throw(self) -> str:
        """Return a rate's name, or an empty text where nothing happens."""
        drawn = self._rng.random()
        if drawn >= self._faces[-1][1]:
            return ""
        return next(name for name, limit in self._faces if drawn < limit)


def arrivals(rng: random.Random, per_year: float, begin: float, end: float) -> Iterator[float]:
    """Yield the times of a Poisson process."""
    at = begin
    while per_year:
        at += -math.log(1 - rng.random()) * YEAR / per_year
        if at >= end:
            return
        yield at
