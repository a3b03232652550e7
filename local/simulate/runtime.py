"""Lambda: processes that stay warm for a while, asynchronous invocations with their retries, and hosts that fail."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handler.connections import Connection
from handler.errors import RefreshError
from handler.policy import Request
from handler.refresh import Refresh
from handler.secrets_manager import SecretStore
from handler.status import Result, result_of
from local.aws_lambda import (
    MAX_EVENT_AGE_SECONDS,
    MAX_WARM_SECONDS,
    MIN_WARM_SECONDS,
    RETRY_PAUSES_SECONDS,
    TIMEOUT_SECONDS,
)
from local.simulate.aws_secrets import CREDENTIALS_SECRET, TOKEN_SECRET

if TYPE_CHECKING:
    import random

    from handler.model import Token
    from handler.settings import Settings
    from local.simulate.engine import Engine

KILLED = "Killed"
Job = Callable[[Connection, Refresh], Result]  # what one invocation does; returns its result


def refresh(_: Connection, run: Refresh) -> Result:
    """Do what this product does."""
    return result_of(run.run())


class Killed(BaseException):
    """The process has ended, in the middle of whatever it did."""


class _ThreadKilled(Exception):
    """The same in the thread that talks to the vendor; its run notices when it next looks at the clock."""


@dataclass(slots=True)
class RunEnd:
    """How a run ended. `outcome` is the result's, or an error's name, or KILLED."""

    outcome: str
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    output: str = field(default="", repr=False)  # all that the run returned, raised and reported


class Process:
    """One process of the function, with a clock of its own and one run at a time."""

    def __init__(
        self,
        engine: Engine,
        rng: random.Random,
        settings: Settings,
        *,
        make_client: Callable[[Process], Any],
        kill_chance: Callable[[], float],
        job: Job,
        max_skew: float,
    ) -> None:
        """`max_skew`: seconds by which its clock may be wrong."""
        self._engine = engine
        self._rng = rng
        self._kill_chance = kill_chance
        self._job = job
        self.skew = rng.uniform(-1, 1) * max_skew
        store = SecretStore(make_client(self), CREDENTIALS_SECRET, TOKEN_SECRET)
        self._connection = Connection(
            settings=settings,
            store=store,
            now=self._now,
            sleep=self.wait,
            new_id=self._new_id,
        )
        self.warm_until = 0.0
        self.is_busy = False
        self.is_retired = False
        self._is_dead = False
        self.delivered: list[str] = []  # tokens whose answer arrived, until they are published or of no use any more
        # Of the current run:
        self.is_alone = True
        self.only_looks = False
        self.may_override = False  # the limit, with the next request
        self.is_forced = False
        self.began_at = 0.0
        self.has_lagged = False  # a read showed something else than what was stored
        self.issued: list[str] = []  # tokens that the vendor issued, whether their answer arrived or not
        self.writes = 0
        self._deadline = 0.0
        self._thread = 0

    def run(self, request: Request, inspection: Job | None = None) -> RunEnd:
        """Invoke the function. With an `inspection` it does that instead of its job, and only looks."""
        self.is_busy = True
        self.only_looks = inspection is not None
        self.may_override = request.override_limit
        self.is_forced = request.force
        self.began_at = self._engine.now
        self.has_lagged = False
        self.issued = []
        self.writes = 0
        self._deadline = self._engine.now + TIMEOUT_SECONDS
        self._thread = threading.get_ident()
        end = self._run(request, inspection or self._job)
        self.is_busy = False
        self.warm_until = self._engine.now + self._rng.uniform(MIN_WARM_SECONDS, MAX_WARM_SECONDS)
        return end

    def _run(self, request: Request, job: Job) -> RunEnd:
        end = RunEnd("")

        def observe(happening: str, **facts: object) -> None:
            end.output += f"{happening} {facts}\n"

        try:
            run = Refresh(self._connection, request, remaining=self._remaining, observe=observe)
            end.result = job(self._connection, run)
        except RefreshError as error:
            end.outcome = type(error).__name__
            end.reason = getattr(error, "code", "")
            end.output += repr(error)
        except Killed:
            end.outcome = KILLED
        else:
            end.outcome = end.result["outcome"]
            end.reason = end.result["reason"]
            end.output += str(end.result)
        return end

    @property
    def settings(self) -> Settings:
        return self._connection.settings

    @property
    def unsaved(self) -> set[str]:
        """The tokens that it keeps in memory because it could not save them."""
        return {token.access_token for token in self.unsaved_tokens}

    @property
    def unsaved_tokens(self) -> tuple[Token, ...]:
        return self._connection.unsaved_tokens()

    def forget_unsaved(self) -> None:
        self._connection.unsaved.clear()

    @property
    def is_warm(self) -> bool:
        """Whether it can take another invocation now."""
        is_usable = not (self.is_busy or self.is_retired or self._is_dead)
        return is_usable and self._engine.now < self.warm_until

    def wait(self, seconds: float) -> None:
        """Let time pass. The host may fail meanwhile, and Lambda ends a run that takes too long."""
        self._check_alive()
        until = self._engine.now + max(0.0, seconds)
        self._engine.wait(min(until, self._deadline))
        self._is_dead = self._is_dead or until >= self._deadline or self._rng.random() < self._kill_chance()
        self._check_alive()

    def _check_alive(self) -> None:
        if not self._is_dead:
            return
        if threading.get_ident() == self._thread:
            raise Killed
        raise _ThreadKilled

    def _now(self) -> float:
        self._check_alive()
        return self._engine.now + self.skew

    def _remaining(self) -> float:
        return self._deadline - self._engine.now

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


class Lambda:
    """Invokes the function in a warm process if one is idle, and repeats an invocation that failed."""

    def __init__(
        self,
        engine: Engine,
        new_process: Callable[[], Process],
        on_end: Callable[[Process, RunEnd, float], None],
    ) -> None:
        """`on_end` is called with each run's process, its end, and the time when it began."""
        self._engine = engine
        self._new_process = new_process
        self._on_end = on_end
        self.processes: list[Process] = []

    def invoke(self, request: Request, attempt: int = 0, first_at: float | None = None) -> None:
        """Invoke it asynchronously, as the schedule does. `first_at`: when the event was first handed over."""
        process = self._idle_process()
        event_at = self._engine.now if first_at is None else first_at

        def work() -> None:
            end = self._run(process, request)
            if not end.result and attempt < len(RETRY_PAUSES_SECONDS):
                self._repeat(request, attempt, event_at)

        self._engine.work(process, work)

    def invoke_by_hand(
        self,
        request: Request,
        inspection: Job | None = None,
        then: Callable[[RunEnd], None] = lambda _: None,
    ) -> None:
        """Invoke it synchronously: whoever does that sees how it ends, and nothing repeats it."""
        process = self._idle_process()
        self._engine.work(process, lambda: then(self._run(process, request, inspection)))

    def retire_processes(self) -> None:
        """Use no process again, as after a deployment: new settings make new processes."""
        for process in self.processes:
            process.is_retired = True

    def _idle_process(self) -> Process:
        self.processes = [process for process in self.processes if process.is_busy or process.is_warm]
        idle = [process for process in self.processes if not process.is_busy]
        if idle:
            return idle[-1]
        process = self._new_process()
        self.processes.append(process)
        return process

    def _run(self, process: Process, request: Request, inspection: Job | None = None) -> RunEnd:
        began_at = self._engine.now
        busy = [other for other in self.processes if other.is_busy]
        process.is_alone = not busy
        for other in busy:
            other.is_alone = False
        end = process.run(request, inspection)
        self._on_end(process, end, began_at)
        return end

    def _repeat(self, request: Request, attempt: int, event_at: float) -> None:
        retry_at = self._engine.now + RETRY_PAUSES_SECONDS[attempt]
        if retry_at - event_at <= MAX_EVENT_AGE_SECONDS:
            self._engine.at(retry_at, lambda: self.invoke(request, attempt + 1, event_at))
