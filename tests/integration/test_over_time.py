"""Hourly runs over days."""

from __future__ import annotations

import pytest

from handler.errors import OutcomeUnknown, RefreshError
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.integration.helpers import HOUR, world_with_vendor, write_ledger


@pytest.mark.parametrize("extend", [False, True])
@pytest.mark.parametrize("before", ["nothing", "lost", "used"])
def test_both_readings_of_the_limit_converge(clock: Clock, extend: bool, before: str) -> None:
    """Hourly runs have a token again within a day, whether or not a refusal extends the vendor's interval."""
    with world_with_vendor(clock, refusals_extend=extend) as world:
        if before != "nothing":
            world.vendor.script(Fault.cut(issues=True))
        if before == "used":  # somebody else has acquired a token of this client: the ledger does not know of it
            with pytest.raises(OutcomeUnknown):
                world.invoke()
            write_ledger(world)
        outcomes = run_hourly(world, hours=48)
    assert "refreshed" in outcomes[:24]
    assert set(outcomes[outcomes.index("refreshed") :]) <= {"refreshed", "kept", "waiting"}
    assert len(world.vendor.requests) <= 8


def run_hourly(world: World, *, hours: int) -> list[str]:
    """Run every hour; return the outcomes, or the names of the errors."""
    outcomes = []
    for _ in range(hours):
        try:
            outcomes.append(world.invoke()["outcome"])
        except RefreshError as error:
            outcomes.append(type(error).__name__)
        world.clock.advance(HOUR)
    return outcomes


def test_days_of_hourly_ticks_never_leaves_consumers_without_a_token(world: World) -> None:
    """If the vendor keeps its rules, every hourly run finds or acquires a good token."""
    for hour in range(4 * 24):
        assert world.invoke()["outcome"] in {"refreshed", "kept", "waiting"}, hour
        world.clock.advance(HOUR - 1)
        assert world.token()["expires_at"] > world.clock.now()
        world.clock.advance(1)
    assert {request.status for request in world.vendor.requests} == {200}
