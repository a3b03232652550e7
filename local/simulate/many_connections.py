"""One function that keeps many connections, as a part of the study: `make fleet` plays the same, and prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.fleet.checks import checks_of, figures_of
from local.fleet.fleet import Fleet
from local.fleet.report import rows_of
from local.simulate.figures import digest_of

if TYPE_CHECKING:
    from local.fleet.checks import Check
    from local.fleet.plan import FleetSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDays:
    """What came of a fleet's days. `figures` are its lines, each with its name; `trace` is one hash over all stores."""

    setup: FleetSetup
    trace: str
    figures: list[tuple[str, str]]
    checks: list[Check]

    def describe_broken(self) -> list[str]:
        """Say what did not hold, and how to play it again."""
        setup = self.setup
        command = f".venv/bin/python -m local fleet --connections {setup.connections} --days {setup.days:g}"
        return [
            f"In the fleet this did not hold: {check.sentence} ({check.found}). This plays it again: {command}"
            for check in self.checks
            if not check.holds
        ]


def play_fleet(setup: FleetSetup) -> FleetDays:
    fleet = Fleet(setup)
    for _ in fleet.play():
        pass  # it tells the time after each hour
    return FleetDays(
        setup=setup,
        trace=_trace_of(fleet),
        figures=list(rows_of(fleet)),
        checks=checks_of(fleet, figures_of(fleet)),
    )


def _trace_of(fleet: Fleet) -> str:
    lines = [f"{name} {line}" for name, record in sorted(fleet.records.items()) for line in record.lines]
    return digest_of("\n".join(lines))
