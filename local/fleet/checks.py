"""What must hold in a fleet, whatever happens, and the figures that show it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from local.durations import HOUR, MINUTE
from local.fleet.plan import PERIOD
from local.fleet.rated_secrets import PAGE, READ, WRITE
from local.fleet.vendor import LIMITED, OTHERWISE_REFUSED
from local.simulate.invariants import MAX_VERSIONS

if TYPE_CHECKING:
    from local.fleet.fleet import Fleet
    from local.fleet.records import StoreRecord

# One run with its repeated calls: read three times, and four puts and moves, of which botocore repeats one or two.
MAX_CALLS_OF_RUN = 12
# Surveys read some pages twice, because calls fail now and then.
MAX_REPEATED_PART = 0.05


class Check(NamedTuple):
    sentence: str
    found: str
    holds: bool


class Measured(NamedTuple):
    """A store's availability, as a part of 1."""

    availability: float
    store: str


NOT_MEASURED = Measured(0.0, "no store has had a token")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """Figures over all stores."""

    avoidable_hours: float
    hours_of_waiting: float  # for the first token
    hours_without: float  # after the first token
    most_versions: int
    mean_availability: float
    worst: Measured
    longest_wait: float  # seconds from the sweep that finds a connection due to its new token, if it has no trouble
    served: int  # how often a connection was due and got a token
    renewed_early: int
    foreign_tokens: int
    requests_per_due: float


def figures_of(fleet: Fleet) -> FleetFigures:
    end = fleet.setup.end
    records = list(fleet.records.values())
    measured = [Measured(record.availability(end), record.name) for record in records if record.covered]
    worst = min(measured, default=NOT_MEASURED)
    served = sum(len(record.served) for record in records)
    asked = len(fleet.published) + len(unexplained_losses(fleet))
    return FleetFigures(
        avoidable_hours=sum(avoidable_seconds(fleet, record) for record in records) / HOUR,
        hours_of_waiting=sum(record.seconds_of_waiting(end) for record in records) / HOUR,
        hours_without=sum(record.seconds_without(end) for record in records) / HOUR,
        most_versions=max((record.most_versions for record in records), default=0),
        mean_availability=statistics.fmean(one.availability for one in measured or [NOT_MEASURED]),
        worst=worst,
        longest_wait=_longest_wait(fleet),
        served=served,
        renewed_early=sum(record.renewed_early for record in records),
        foreign_tokens=sum(record.foreign_tokens for record in records),
        requests_per_due=asked / max(1, served),
    )


def checks_of(fleet: Fleet, figures: FleetFigures) -> list[Check]:
    return [
        Check(
            "no store is without a token for a time that could be avoided",
            f"{figures.avoidable_hours:.2f} h{_in_brackets(_stores_with_avoidable_time(fleet))}",
            figures.avoidable_hours == 0,
        ),
        Check(
            f"no secret gets more than {MAX_VERSIONS} versions in 24 h",
            str(figures.most_versions),
            figures.most_versions <= MAX_VERSIONS,
        ),
        Check(
            "each due connection takes one request to the vendor, apart from faults",
            f"{figures.requests_per_due:.3f}",
            figures.requests_per_due == 1,
        ),
        Check(
            "no store gets a token of another store",
            f"{figures.foreign_tokens} did",
            not figures.foreign_tokens,
        ),
        Check(
            "no token is renewed before its refresh window",
            f"{figures.renewed_early} were",
            not figures.renewed_early,
        ),
        Check(
            "what a sweep finds due has its token before the next sweep, apart from troubles",
            f"{figures.longest_wait / MINUTE:.1f} minutes at most",
            figures.longest_wait < PERIOD,
        ),
        _check_refusals(fleet),
        _check_losses(fleet),
        _check_queue(fleet),
        *_checks_of_calls(fleet),
    ]


def avoidable_seconds(fleet: Fleet, record: StoreRecord) -> float:
    return record.avoidable_seconds(fleet.setup.end, fleet.common_troubles)


def unexplained_losses(fleet: Fleet) -> list[str]:
    """Return who has lost a token without a fault."""
    return [grant.principal for grant in fleet.lost if not fleet.is_explained(grant)]


def _longest_wait(fleet: Fleet) -> float:
    common = fleet.common_troubles
    waits = [wait for record in fleet.records.values() for wait in record.untroubled_waits(common)]
    return max(waits, default=0.0)


def _stores_with_avoidable_time(fleet: Fleet) -> list[str]:
    return [record.name for record in fleet.records.values() if avoidable_seconds(fleet, record)]


def _check_refusals(fleet: Fleet) -> Check:
    """The vendor's limit refuses only a client whose last token did not reach its consumers."""
    early = [record.name for record in fleet.records.values() if record.refused_for_limit and not record.mislaid_tokens]
    limited = fleet.network.endings[LIMITED]
    otherwise = fleet.network.endings[OTHERWISE_REFUSED]
    return Check(
        "the vendor refuses no request for its limit or its rate, except if a fault has lost a token before",
        f"{limited} for the limit, {otherwise} for its rate or for another reason{_in_brackets(early)}",
        not early and not otherwise,
    )


def _check_losses(fleet: Fleet) -> Check:
    unexplained = unexplained_losses(fleet)
    return Check(
        "no token is lost, except by a fault",
        f"{len(fleet.lost)} lost, {len(unexplained)} without a fault{_in_brackets(unexplained)}",
        not unexplained,
    )


def _check_queue(fleet: Fleet) -> Check:
    waiting = fleet.function.waiting.total()
    too_old = fleet.function.too_old
    return Check(
        "no hand-over is lost in Lambda's queue",
        f"{too_old} became too old, {waiting} still wait",
        not too_old and not waiting,
    )


def _checks_of_calls(fleet: Fleet) -> list[Check]:
    calls = fleet.secrets_manager.calls_by_kind
    needed = fleet.pages_needed
    in_runs = calls[READ] + calls[WRITE]
    runs = fleet.runs.total()
    return [
        Check(
            f"the surveys read at most {100 * MAX_REPEATED_PART:.0f} % more pages than whole surveys have: "
            "their calls grow as the connections do",
            f"{calls[PAGE]} pages were read; whole surveys have {needed}",
            calls[PAGE] <= needed * (1 + MAX_REPEATED_PART),
        ),
        Check(
            f"a run makes {MAX_CALLS_OF_RUN} calls of AWS at most on average: calls grow as the due connections do",
            f"{in_runs / max(1, runs):.1f}",
            in_runs <= runs * MAX_CALLS_OF_RUN,
        ),
    ]


def _in_brackets(names: list[str]) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:5])})"
