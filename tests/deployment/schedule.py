"""The schedule of a stack in an emulated world: ticks, Lambda's retries, and what the alarms get to see."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from handler.errors import RefreshError
from tests.deployment.alarms import MINUTE, Reports

if TYPE_CHECKING:
    from handler.connections import WarmProcess
    from local.emulators.world import World
    from tests.deployment.stack import Stack

LATEST_TICK = 50  # seconds after its time
RETRY_PAUSES = (MINUTE, 2 * MINUTE)  # Lambda's, after a run that failed
OWN_SECRETS = {"CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID", "TOKEN_URL"}  # of the emulated world, not of the stack


class Schedule:
    """A tick after each `period` seconds, a little late, with Lambda's retries; consumers call the API around each."""

    def __init__(self, world: World, stack: Stack, period: int) -> None:
        self.world = world
        self._stack = stack
        self._period = period
        self.reports = Reports()
        self.api_statuses: list[int] = []
        self._lateness = Random(0)  # noqa: S311 - the same in each run
        self._process = self._new_process()
        self._next_tick = world.clock.now()

    def _new_process(self) -> WarmProcess:
        variables = self._stack.properties("RefreshFunction")["Environment"]["Variables"]
        settings = {name: value for name, value in variables.items() if name not in OWN_SECRETS}
        return self.world.process(**settings)

    def tick(self) -> str:
        """Wait for the next tick, and run with Lambda's retries. Returns the last outcome or error."""
        self._advance_to(self._next_tick + self._lateness.uniform(0, LATEST_TICK))
        self._next_tick += self._period
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
