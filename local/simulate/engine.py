"""Virtual time: a clock that never waits for the machine's, and a queue of actions that are due at given times."""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Engine:
    """Unix seconds that pass only in `wait` and `run_until`.

    Work that starts while other work waits gets a thread of its own, so that either can overtake the other anywhere.
    Only one thread runs at a time, so the order depends on the virtual time alone: it is the same for the same seed.
    """

    def __init__(self, start: float) -> None:
        self.now = start
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.running_thread: _WorkThread | None = None  # None: the thread that called `run_until`
        self.current_worker: Any = None  # whose work is running, as `work` was told

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(when, self.now), next(self._count), action))

    def run_until(self, end: float) -> None:
        """Run every action that is due until then."""
        while self._due and self._due[0][0] <= end:
            self._run_next()
        self.now = max(self.now, end)

    def work(self, worker: object, action: Callable[[], None]) -> None:
        """Run an action that may `wait`. Return when it is done, or when it waits while other work is under way."""
        if self.current_worker:
            _WorkThread(self, worker, action).resume()
            return
        self.current_worker = worker
        try:
            action()
        finally:
            self.current_worker = None

    def wait(self, until: float) -> None:
        """Return at that time; whatever is due before it runs first."""
        if not self._due or self._due[0][0] > until:
            self.now = max(self.now, until)
            return
        if self.running_thread:
            self.running_thread.park(until)
            return
        is_reached = threading.Event()
        self.at(until, is_reached.set)
        while not is_reached.is_set():
            self._run_next()

    def _run_next(self) -> None:
        when, _, action = heapq.heappop(self._due)
        self.now = when
        action()


def _closed_gate() -> threading.Lock:
    """Return a lock that one thread releases when another one may pass. It takes a fraction of a semaphore's time."""
    gate = threading.Lock()
    gate.acquire()
    return gate


class _WorkThread:
    """A thread for one action. Either this thread runs, or the one that called `resume`; never both."""

    def __init__(self, engine: Engine, worker: object, action: Callable[[], None]) -> None:
        self._engine = engine
        self._worker = worker
        self._action = action
        self._may_run = _closed_gate()
        self._has_stopped = _closed_gate()
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def resume(self) -> None:
        """Let the action run until it parks or is done. Raises what it raised."""
        engine = self._engine
        thread_before = engine.running_thread
        worker_before = engine.current_worker
        engine.running_thread = self
        engine.current_worker = self._worker
        self._may_run.release()
        self._has_stopped.acquire()
        engine.running_thread = thread_before
        engine.current_worker = worker_before
        if self._failure:
            raise self._failure

    def park(self, until: float) -> None:
        self._engine.at(until, self.resume)
        self._has_stopped.release()
        self._may_run.acquire()

    def _run(self) -> None:
        self._may_run.acquire()
        try:
            self._action()
        except BaseException as failure:  # noqa: BLE001 - `resume` raises it again, in the thread that called it
            self._failure = failure
        self._has_stopped.release()
