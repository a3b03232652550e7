"""A stack with all defaults in an outage of the vendor that lasts for hours: somebody is told, and stays told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.conftest import START
from tests.deployment.alarms import MINUTE, alarms_on
from tests.deployment.schedule import Schedule
from tests.deployment.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600
FIRST_ALARM_SECONDS = 10 * MINUTE
STACK = Stack()
OUTAGES = {
    "stopped": None,
    "failing": Fault.answer(503),
    "telling when": Fault.answer(503, headers={"Retry-After": "3600"}),
    "cutting": Fault.cut(issues=False),
    "refusing": Fault.answer(400, {"error": "invalid_scope"}),
}


@pytest.fixture
def schedule() -> Iterator[Schedule]:
    """Hourly ticks, until the token is due."""
    with World(Clock(START), standby=False) as world:
        schedule = Schedule(world, STACK, HOUR)
        for _ in range(21):
            assert schedule.tick() in {"refreshed", "kept"}
        yield schedule


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_alarm_is_on_from_the_first_tick_of_an_outage_until_its_end(schedule: Schedule, outage: str) -> None:
    """FailedAlarm comes first, and BackingOffAlarm stays on between two requests, also when the token has ended."""
    world = schedule.world
    fault = OUTAGES[outage]
    if fault is None:
        world.vendor.stop()
    world.vendor.outage = fault
    schedule.tick()
    begin = world.clock.now()
    for _ in range(7):
        schedule.tick()
    end = world.clock.now()
    assert end > world.token()["expires_at"]
    minutes = range(int(begin + FIRST_ALARM_SECONDS), int(end), MINUTE)
    on = [alarms_on(STACK, schedule.reports, now) for now in minutes]
    assert all({"FailedAlarm", "BackingOffAlarm"} & alarms for alarms in on)
    first = next(index for index, alarms in enumerate(on) if "BackingOffAlarm" in alarms)
    assert minutes[first] < begin + HOUR + FIRST_ALARM_SECONDS
    assert all("BackingOffAlarm" in alarms for alarms in on[first:])
