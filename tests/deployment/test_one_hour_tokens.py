"""A stack for a vendor of one-hour tokens, by parameters alone: two days without a gap, and alarms in time."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from handler.errors import RefreshError
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.conftest import START, secrets_in
from tests.deployment.alarms import MINUTE, Reports, first_alarms
from tests.deployment.recipes import recipe
from tests.deployment.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.connections import WarmProcess

HOUR = 3_600
TWO_DAYS = 48 * HOUR
TICK = 10 * MINUTE
LATEST_TICK = 50  # seconds after its time
TICKS_BETWEEN_FAULTS = 36
RETRY_PAUSES = (MINUTE, 2 * MINUTE)  # Lambda's, after a run that failed
OWN_SECRETS = {"CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID", "TOKEN_URL"}  # of the emulated world, not of the stack

STACK = Stack(**recipe("A vendor whose tokens live for one hour").parameters)


class Schedule:
    """Ticks every ten minutes, each a little late, with Lambda's retries; consumers call the API around each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reports = Reports()
        self.api_statuses: list[int] = []
        self._lateness = Random(0)  # noqa: S311 - the same in each run
        self._process = self._new_process()
        self._next_tick = world.clock.now()

    def _new_process(self) -> WarmProcess:
        variables = STACK.properties("RefreshFunction")["Environment"]["Variables"]
        settings = {name: value for name, value in variables.items() if name not in OWN_SECRETS}
        return self.world.process(**settings)

    def tick(self) -> str:
        """Wait for the next tick, and run with Lambda's retries. Returns the last outcome or error."""
        self._advance_to(self._next_tick + self._lateness.uniform(0, LATEST_TICK))
        self._next_tick += TICK
        outcome = self._run()
        for pause in RETRY_PAUSES:
            if outcome in {"refreshed", "kept", "waiting"}:
                break
            self.world.clock.advance(pause)
            outcome = self._run()
        return outcome

    def _run(self) -> str:
        try:
            outcome: str = self.world.invoke(process=self._process)["outcome"]
        except RefreshError as error:
            outcome = type(error).__name__
        self.reports.record(self.world.clock.now(), self.world.lines)
        return outcome

    def consume(self) -> None:
        """Call the API at the last moment before the next tick."""
        self._advance_to(self._next_tick - 1)
        self.api_statuses.append(self.world.consume())

    def _advance_to(self, moment: float) -> None:
        self.world.clock.advance(max(0.0, moment - self.world.clock.now()))


@pytest.fixture
def schedule() -> Iterator[Schedule]:
    with World(Clock(START), standby=False, vendor={"interval": 0, "lifetime": HOUR}) as world:
        yield Schedule(world)
        assert not secrets_in(world.output, world)


@pytest.mark.parametrize("fails", [pytest.param(False, id="no_faults"), pytest.param(True, id="single_faults")])
def test_two_days_pass_without_a_gap_and_without_an_alarm(schedule: Schedule, fails: bool) -> None:
    """Every call of the API succeeds, also if a request fails every six hours: Lambda's retry is in time."""
    world = schedule.world
    first_tick = world.clock.now()
    outcomes = []
    for number in range(TWO_DAYS // TICK):
        if fails and number % TICKS_BETWEEN_FAULTS == 0:
            world.vendor.script(Fault.answer(503))
        outcomes.append(schedule.tick())
        schedule.consume()
    assert set(outcomes) == {"refreshed", "kept"}
    assert set(schedule.api_statuses) == {200}
    assert first_alarms(STACK, schedule.reports, first_tick + 6 * MINUTE, world.clock.now()) == {}
    # A token is renewed in the last third of its life: after 40 to 50 minutes.
    issued = len(world.vendor.issued)
    assert TWO_DAYS // (50 * MINUTE) <= issued <= TWO_DAYS // (40 * MINUTE) + 1


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
