"""Lambda: processes that stay warm for a while, asynchronous invocations with their retries, and hosts that fail."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handler.errors import RefreshError
from handler.policy import Request
from handler.refresh import Keeper, Run
from handler.secrets_manager import SecretStore
from local.aws_lambda import (
    MAX_EVENT_AGE_SECONDS,
    MAX_WARM_SECONDS,
    MIN_WARM_SECONDS,
    RETRY_PAUSES_SECONDS,
    TIMEOUT_SECONDS,
)
from local.simulate.aws_secrets import CREDENTIALS, TOKEN

if TYPE_CHECKING:
    import random

    from handler.settings import Settings
    from local.simulate.engine import Engine

Act = Callable[[Keeper, Run], dict[str, Any]]


def refresh(_: Keeper, run: Run) -> dict[str, Any]:
    """What this product does."""
    return run.refresh()


class Killed(BaseException):
    """The process is gone, in the middle of whatever it did."""


class _Gone(Exception):
    """The same in the thread that talks to the vendor; its run finds out when it next looks at the clock."""


@dataclass(slots=True)
class Outcome:
    """How a run ended: the result's outcome, an error's name or `Killed`."""

    word: str
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    text: str = field(default="", repr=False)  # all that it let out


class Process:
    """One process of the function, with a clock of its own and one run at a time."""

    def __init__(
        self,
        engine: Engine,
        rng: random.Random,
        settings: Settings,
        *,
        connect: Callable[[Process], Any],
        kill_chance: Callable[[], float],
        act: Act,
        skew: float,
    ) -> None:
        """`skew`: seconds by which its clock may be wrong."""
        self._engine, self._rng, self._kill_chance, self._act = engine, rng, kill_chance, act
        self.skew = rng.uniform(-1, 1) * skew
        store = SecretStore(connect(self), CREDENTIALS, TOKEN)
        self.keeper = Keeper(settings, store, now=self._now, sleep=self.wait, new_id=self._new_id)
        self.warm_until = self._ends = 0.0
        self.is_busy = self.is_retired = self._is_dead = False
        self.is_alone = True  # in this run
        self.delivered: list[str] = []  # tokens whose answer arrived, until they are published or of no use any more
        self.issued: list[str] = []  # tokens that the vendor issued in this run, whether their answer arrived or not
        self.writes = 0
        self.may_override = False  # this run, with its next request
        self.only_looks = False  # this run
        self._thread = 0

    def run(self, request: Request, act: Act | None = None) -> Outcome:
        """Invoke the function, or have it look only, which is what `act` does in its place."""
        self._ends, self._thread = self._engine.now + TIMEOUT_SECONDS, threading.get_ident()
        self.is_busy, self.issued, self.writes = True, [], 0
        self.may_override, self.only_looks = request.override_limit, act is not None
        outcome = Outcome("")

        def observe(happening: str, **facts: object) -> None:
            outcome.text += f"{happening} {facts}\n"

        try:
            outcome.result = (act or self._act)(self.keeper, Run(self.keeper, request, self._remaining, observe))
            outcome.word, outcome.reason = outcome.result["outcome"], outcome.result["reason"]
            outcome.text += str(outcome.result)
        except RefreshError as error:
            outcome.word, outcome.reason = type(error).__name__, getattr(error, "code", "")
            outcome.text += repr(error)
        except Killed:
            outcome.word = "Killed"
        self.is_busy = False
        self.warm_until = self._engine.now + self._rng.uniform(MIN_WARM_SECONDS, MAX_WARM_SECONDS)
        return outcome

    @property
    def unsaved(self) -> set[str]:
        """The tokens that it holds since they could not be saved."""
        return {token.access_token for token, _ in self.keeper.unsaved.values()}

    @property
    def is_warm(self) -> bool:
        return not (self.is_busy or self.is_retired or self._is_dead) and self._engine.now < self.warm_until

    def wait(self, seconds: float) -> None:
        """Let time pass; the host may fail, and Lambda ends what takes too long."""
        self._check()
        until = self._engine.now + max(0.0, seconds)
        self._engine.wait(min(until, self._ends))
        self._is_dead = self._is_dead or until >= self._ends or self._rng.random() < self._kill_chance()
        self._check()

    def _check(self) -> None:
        if self._is_dead:
            raise Killed if threading.get_ident() == self._thread else _Gone

    def _now(self) -> float:
        self._check()
        return self._engine.now + self.skew

    def _remaining(self) -> float:
        return self._ends - self._engine.now

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


class Lambda:
    """Invokes the function: in a warm process where one is idle, again where an invocation failed."""

    def __init__(self, engine: Engine, new_process: Callable[[], Process], on_end: Callable[..., None]) -> None:
        self._engine, self._new_process, self._on_end = engine, new_process, on_end
        self.processes: list[Process] = []

    def invoke(self, request: Request, attempt: int = 0, since: float | None = None) -> None:
        process, born = self.process(), self._engine.now if since is None else since

        def work() -> None:
            outcome = self._run(process, request)
            if not outcome.result and attempt < len(RETRY_PAUSES_SECONDS):
                self._repeat(request, attempt, born)

        self._engine.work(process, work)

    def invoke_by_hand(
        self, request: Request, act: Act | None = None, then: Callable[[Outcome], None] = lambda _: None
    ) -> None:
        """Invoke it synchronously: whoever does that sees how it ends, and nothing repeats it."""
        process = self.process()
        self._engine.work(process, lambda: then(self._run(process, request, act)))

    def process(self) -> Process:
        self.processes = [one for one in self.processes if one.is_busy or one.is_warm]
        idle = [one for one in self.processes if not one.is_busy]
        if not idle:
            self.processes.append(self._new_process())
        return idle[-1] if idle else self.processes[-1]

    def deploy(self) -> None:
        """Use no process again: new settings make new ones."""
        for process in self.processes:
            process.is_retired = True

    def _run(self, process: Process, request: Request, act: Act | None = None) -> Outcome:
        began, others = self._engine.now, [one for one in self.processes if one.is_busy]
        process.is_alone = not others
        for other in others:
            other.is_alone = False
        outcome = process.run(request, act)
        self._on_end(process, outcome, began)
        return outcome

    def _repeat(self, request: Request, attempt: int, born: float) -> None:
        again = self._engine.now + RETRY_PAUSES_SECONDS[attempt]
        if again - born <= MAX_EVENT_AGE_SECONDS:
            self._engine.at(again, lambda: self.invoke(request, attempt + 1, born))
