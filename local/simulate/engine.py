"""Virtual time. Whoever runs moves it on; what is due in between happens in between, in one order for one seed."""

from __future__ import annotations

import heapq
import itertools
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Engine:
    """Unix seconds that pass only in `wait` and `play`.

    Work that starts while other work waits gets a thread of its own, and so can be overtaken anywhere; only one
    thread ever runs, so the order is that of time alone.
    """

    def __init__(self, start: float) -> None:
        self.now = start
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.branch: _Branch | None = None  # whose thread runs; None: the one that plays
        self.current: Any = None  # whose work it is

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (max(when, self.now), next(self._count), action))

    def play(self, until: float) -> None:
        """Let all happen that is due until then."""
        while self._due and self._due[0][0] <= until:
            self._next()
        self.now = max(self.now, until)

    def work(self, who: object, action: Callable[[], None]) -> None:
        """Do what may `wait`; return when it is done, or waits while other work is under way."""
        if self.current:
            _Branch(self, who, action).resume()
            return
        self.current = who
        try:
            action()
        finally:
            self.current = None

    def wait(self, until: float) -> None:
        """Return at that time, having let the others go on."""
        if not self._due or self._due[0][0] > until:
            self.now = max(self.now, until)
        elif self.branch:
            self.branch.park(until)
        else:
            reached: list[None] = []
            self.at(until, lambda: reached.append(None))
            while not reached:
                self._next()

    def _next(self) -> None:
        self.now, _, action = heapq.heappop(self._due)
        action()


class _Branch:
    """Work in a thread of its own, which runs while `resume` waits for it, and the other way round."""

    def __init__(self, engine: Engine, who: object, action: Callable[[], None]) -> None:
        self._engine, self._who, self._action = engine, who, action
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def resume(self) -> None:
        engine = self._engine
        before = engine.branch, engine.current
        engine.branch, engine.current = self, self._who
        self._go.release()
        self._back.acquire()
        engine.branch, engine.current = before
        if self._failure:
            raise self._failure

    def park(self, until: float) -> None:
        self._engine.at(until, self.resume)
        self._back.release()
        self._go.acquire()

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._action()
        except BaseException as failure:  # noqa: BLE001 - whoever resumed this has to see it
            self._failure = failure
        self._back.release()
