"""Lambda: its asynchronous queue, reserved concurrency, retries and dead letters. The runs are the real handler's."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handler.connections import WarmProcess
from handler.errors import RefreshError
from handler.policy import Request
from handler.refresh import Refresh
from handler.status import result_of
from handler.sweep import Sweep
from local.aws_lambda import MAX_EVENT_AGE_OF_MANY_SECONDS, RETRY_PAUSES_SECONDS
from local.durations import MINUTE
from local.simulate.host import KILLED, Host, Killed, RunEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.settings import Settings
    from handler.status import Result
    from local.simulate.engine import Engine

QUEUE_SECONDS = 0.05  # from an event's arrival to its first attempt
# An event that finds no free process is tried again after a pause that doubles from one second to five minutes.
MAX_QUEUE_PAUSE_SECONDS = 5 * MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An asynchronous invocation: of a sweep if `connection` is empty, else of one connection's refresh."""

    connection: str
    handed_over_at: float
    attempt: int = 0  # so many runs of it have failed
    turned_away: int = 0  # how often in a row there was no free process


class Process(Host):
    """One process of the function.

    `rng` belongs to what the process is doing: each connection has random numbers of its own.
    """

    def __init__(self, engine: Engine, settings: Settings, world: World) -> None:
        super().__init__(engine, random.Random(), world.kill_chance, skew=0.0)
        self.connection = ""  # that the current run refreshes; empty in a sweep
        self.delivered: list[str] = []  # tokens that the network has brought
        self.issued: list[str] = []
        self._world = world
        self._warm_process = WarmProcess(
            settings=settings,
            client=world.make_client(self),
            now=self.now,
            sleep=self.wait,
            new_id=self.new_id,
        )

    def unsaved(self) -> set[str]:
        """Return the tokens that it keeps in memory because it could not save them."""
        return {held.token.access_token for held in self._warm_process.unsaved.values()}

    def run(self, event: Event) -> RunEnd:
        self.connection = event.connection
        self.rng = self._world.random_of(event.connection)
        self.issued = []
        self.begin_run()
        end = self._run(event)
        self.end_run()
        return end

    def _run(self, event: Event) -> RunEnd:
        try:
            result = self._refresh() if event.connection else self._sweep()
        except RefreshError as error:
            return RunEnd(type(error).__name__, getattr(error, "code", ""))
        except Killed:
            return RunEnd(KILLED)
        return RunEnd(result["outcome"], result["reason"] or "", result)

    def _refresh(self) -> Result:
        connection = self._warm_process.connection(self.connection)
        run = Refresh(connection, Request(), remaining=self.remaining, observe=_ignore)
        return result_of(run.run())

    def _sweep(self) -> Result:
        sweep = Sweep(
            self._warm_process,
            remaining=self.remaining,
            observe=_ignore,
            hand_over=self._hand_over,
        )
        return sweep.run()

    def _hand_over(self, name: str) -> None:
        self.wait(self._world.hand_over_seconds)
        self._world.hand_over(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a process needs of the fleet around it."""

    make_client: Callable[[Process], Any]  # of Secrets Manager
    random_of: Callable[[str], random.Random]  # of a connection; of the sweeps if the name is empty
    kill_chance: Callable[[], float]
    hand_over: Callable[[str], None]
    hand_over_seconds: float


def _ignore(happening: str, **facts: object) -> None:
    """Nobody reads the log of these runs."""


class Function:
    """Takes the events out of the queue, and repeats those whose run failed."""

    def __init__(
        self,
        engine: Engine,
        rng: random.Random,
        concurrency: int,
        new_process: Callable[[], Process],
        on_end: Callable[[Process, Event, RunEnd], None],
    ) -> None:
        self._engine = engine
        self._rng = rng
        self._concurrency = concurrency
        self._new_process = new_process
        self._on_end = on_end
        self.processes: list[Process] = []
        self.waiting: Counter[str] = Counter()  # events in the queue, by connection
        self.dead_letters: Counter[str] = Counter()  # by the last run's end
        self.too_old = 0  # dead letters that were never run to their end
        self.most_at_once = 0
        self.longest_wait = 0.0  # seconds from the hand-over to the beginning of a run

    def invoke(self, connection: str = "") -> None:
        """Put an event into the queue: of a sweep if no connection is named."""
        event = Event(connection=connection, handed_over_at=self._engine.now)
        self._enqueue(event, QUEUE_SECONDS)

    def _enqueue(self, event: Event, pause: float) -> None:
        self.waiting[event.connection] += 1
        self._engine.at(self._engine.now + pause, lambda: self._dequeue(event))

    def _dequeue(self, event: Event) -> None:
        self.waiting[event.connection] -= 1
        if self._engine.now - event.handed_over_at > MAX_EVENT_AGE_OF_MANY_SECONDS:
            self.dead_letters["too old"] += 1
            self.too_old += 1
            return
        busy = sum(process.is_busy for process in self.processes)
        if busy >= self._concurrency:
            self._turn_away(event)
            return
        self.most_at_once = max(self.most_at_once, busy + 1)
        process = self._idle_process()
        self._engine.work(process, lambda: self._run(process, event))

    def _turn_away(self, event: Event) -> None:
        longest = min(2.0**event.turned_away, MAX_QUEUE_PAUSE_SECONDS)
        again = replace(event, turned_away=event.turned_away + 1)
        self._enqueue(again, self._rng.uniform(0, longest))

    def _idle_process(self) -> Process:
        self.processes = [process for process in self.processes if process.is_busy or process.is_warm]
        for process in self.processes:
            if not process.is_busy:
                return process
        process = self._new_process()
        self.processes.append(process)
        return process

    def _run(self, process: Process, event: Event) -> None:
        self.longest_wait = max(self.longest_wait, self._engine.now - event.handed_over_at)
        end = process.run(event)
        self._on_end(process, event, end)
        if end.result:
            return
        if event.attempt == len(RETRY_PAUSES_SECONDS):
            self.dead_letters[end.outcome] += 1
            return
        again = replace(event, attempt=event.attempt + 1, turned_away=0)
        self._enqueue(again, RETRY_PAUSES_SECONDS[event.attempt])
