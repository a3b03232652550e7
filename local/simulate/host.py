"""Where one process of the function lives: it has one run at a time, and may be killed in the middle of it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.aws_lambda import MAX_WARM_SECONDS, MIN_WARM_SECONDS, TIMEOUT_SECONDS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from local.simulate.engine import Engine

KILLED = "Killed"


class Killed(BaseException):
    """The process has ended, in the middle of whatever it did."""


class SimulatorFailed(BaseException):
    """The simulator itself failed. Not an Exception: the handler would take it for an error of AWS or of the vendor."""


class _ThreadKilled(Exception):
    """The same in the thread that talks to the vendor; its run notices when it next looks at the clock."""


@dataclass(slots=True)
class RunEnd:
    """How a run ended. `outcome` is the result's, or an error's name, or KILLED."""

    outcome: str
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    output: str = field(default="", repr=False)  # all that the run returned, raised and reported


class Host:
    """A process with a clock of its own, which stays warm for a while after each run."""

    def __init__(self, engine: Engine, rng: random.Random, kill_chance: Callable[[], float], *, skew: float) -> None:
        """`kill_chance`: of one step. `skew`: seconds by which the clock is wrong."""
        self.rng = rng
        self.skew = skew
        self.warm_until = 0.0
        self.is_busy = False
        self.is_retired = False
        self.began_at = 0.0  # the current run
        self._engine = engine
        self._kill_chance = kill_chance
        self._is_dead = False
        self._deadline = 0.0
        self._thread = 0

    @property
    def is_warm(self) -> bool:
        """Whether it can take another invocation now."""
        is_usable = not (self.is_busy or self.is_retired or self._is_dead)
        return is_usable and self._engine.now < self.warm_until

    def begin_run(self) -> None:
        self.is_busy = True
        self.began_at = self._engine.now
        self._deadline = self._engine.now + TIMEOUT_SECONDS
        self._thread = threading.get_ident()

    def end_run(self) -> None:
        self.is_busy = False
        self.warm_until = self._engine.now + self.rng.uniform(MIN_WARM_SECONDS, MAX_WARM_SECONDS)

    def wait(self, seconds: float) -> None:
        """Let time pass. The host may fail meanwhile, and Lambda ends a run that takes too long."""
        self._check_alive()
        until = self._engine.now + max(0.0, seconds)
        self._engine.wait(min(until, self._deadline))
        self._is_dead = self._is_dead or until >= self._deadline or self.rng.random() < self._kill_chance()
        self._check_alive()

    def now(self) -> float:
        self._check_alive()
        return self._engine.now + self.skew

    def remaining(self) -> float:
        return self._deadline - self._engine.now

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def _check_alive(self) -> None:
        if not self._is_dead:
            return
        if threading.get_ident() == self._thread:
            raise Killed
        raise _ThreadKilled
