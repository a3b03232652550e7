"""Lambda: processes that stay warm for a while, and asynchronous invocations with their retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from handler.connections import Connection
from handler.errors import RefreshError
from handler.policy import Request
from handler.refresh import Refresh
from handler.result import Result, result_of
from handler.secrets_manager import SecretStore
from local.aws_lambda import MAX_EVENT_AGE_SECONDS, RETRY_PAUSES_SECONDS
from local.simulate.aws_secrets import CREDENTIALS_SECRET, TOKEN_SECRET
from local.simulate.host import KILLED, Host, Killed, RunEnd

if TYPE_CHECKING:
    import random

    from handler.model import Token
    from handler.settings import Settings
    from local.simulate.engine import Engine

Job = Callable[[Connection, Refresh], Result]  # what one invocation does; returns its result


def refresh(_: Connection, run: Refresh) -> Result:
    """Do what this product does."""
    return result_of(run.run())


class Process(Host):
    """One process of the function, which keeps one connection."""

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
        super().__init__(engine, rng, kill_chance, skew=rng.uniform(-1, 1) * max_skew)
        self._job = job
        store = SecretStore(make_client(self), CREDENTIALS_SECRET, TOKEN_SECRET)
        self._connection = Connection(
            settings=settings,
            store=store,
            now=self.now,
            sleep=self.wait,
            new_id=self.new_id,
        )
        self.delivered: list[str] = []  # tokens whose answer arrived, until they are published or of no use any more
        # Of the current run:
        self.is_alone = True
        self.only_looks = False
        self.may_override = False  # the limit, with the next request
        self.is_forced = False
        self.has_lagged = False  # a read showed something else than what was stored
        self.issued: list[str] = []  # tokens that the vendor issued, whether their answer arrived or not
        self.is_overriding = False  # the limit, with the request that was sent last
        self.limited: dict[str, float] = {}  # whom an answer has refused for the limit, and when it arrived
        self.writes = 0

    def run(self, request: Request, inspection: Job | None = None) -> RunEnd:
        """Invoke the function. With an `inspection` it does that instead of its job, and only looks."""
        self.only_looks = inspection is not None
        self.may_override = request.override_limit
        self.is_forced = request.force
        self.has_lagged = False
        self.issued = []
        self.limited = {}
        self.writes = 0
        self.begin_run()
        end = self._run(request, inspection or self._job)
        self.end_run()
        return end

    def _run(self, request: Request, job: Job) -> RunEnd:
        end = RunEnd("")

        def observe(happening: str, **facts: object) -> None:
            end.output += f"{happening} {facts}\n"

        try:
            run = Refresh(self._connection, request, remaining=self.remaining, observe=observe)
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
