"""A stack for a vendor of one-hour tokens, by parameters alone: a day without a gap, and alarms in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.conftest import START, secrets_in
from tests.deployment.alarms import MINUTE, first_alarms
from tests.deployment.recipes import recipe
from tests.deployment.schedule import Schedule
from tests.deployment.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600
A_DAY = 24 * HOUR
TICK = 10 * MINUTE
TICKS_BETWEEN_FAULTS = 36

STACK = Stack(**recipe("A vendor whose tokens live for one hour").parameters)


@pytest.fixture
def schedule() -> Iterator[Schedule]:
    with World(Clock(START), standby=False, vendor={"interval": 0, "lifetime": HOUR}) as world:
        yield Schedule(world, STACK, TICK)
        assert not secrets_in(world.output, world)


@pytest.mark.parametrize("fails", [pytest.param(False, id="no_faults"), pytest.param(True, id="single_faults")])
def test_a_day_passes_without_a_gap_and_without_an_alarm(schedule: Schedule, fails: bool) -> None:
    """Every call of the API succeeds, also if a request fails every six hours: Lambda's retry is in time."""
    world = schedule.world
    first_tick = world.clock.now()
    outcomes = []
    for number in range(A_DAY // TICK):
        if fails and number % TICKS_BETWEEN_FAULTS == 0:
            world.vendor.script(Fault.answer(503))
        outcomes.append(schedule.tick())
        schedule.consume()
    assert set(outcomes) == {"refreshed", "kept"}
    assert set(schedule.api_statuses) == {200}
    assert first_alarms(STACK, schedule.reports, first_tick + 6 * MINUTE, world.clock.now()) == {}
    # A token is renewed in the last third of its life: after 40 to 50 minutes.
    issued = len(world.vendor.issued)
    assert A_DAY // (50 * MINUTE) <= issued <= A_DAY // (40 * MINUTE) + 1


OUTAGES = {
    "stopped": None,
    "failing": Fault.answer(503),
    "cutting": Fault.cut(issues=False),
}


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("ticks_before", range(5), ids=lambda ticks: f"after_{ticks}_ticks")
def test_the_alarms_come_before_the_token_ends(schedule: Schedule, outage: str, ticks_before: int) -> None:
    """From any moment of a token's life on: the first alarm leaves five minutes, and the token's own 90 seconds."""
    world = schedule.world
    for _ in range(5 + ticks_before):
        assert schedule.tick() in {"refreshed", "kept"}
    begin = world.clock.now()
    fault = OUTAGES[outage]
    if fault is None:
        world.vendor.stop()
    world.vendor.outage = fault
    token_ends_at = world.token()["expires_at"]
    while world.clock.now() < token_ends_at:
        schedule.tick()
    found = first_alarms(STACK, schedule.reports, begin, token_ends_at)
    assert token_ends_at - found["TokenExpiresAlarm"] >= 90
    assert token_ends_at - min(found.values()) >= 5 * MINUTE
