"""What consumers get to see: for how long they hold a token that the API takes, and for how long not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.simulate.engine import Engine

CACHE_SECONDS = 3_600.0  # of the plain consumer
LEAST_OUTAGE_SECONDS = 1.0


@dataclass(slots=True)
class Outage:
    begin: float
    end: float
    cause: str

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(slots=True)
class Account:
    """One consumer's time with and without a good token, from the first token on, in seconds."""

    held: str = field(default="", repr=False)
    good: float = 0.0
    bad: float = 0.0
    outages: list[Outage] = field(default_factory=list)

    @property
    def availability(self) -> float:
        return self.good / (self.good + self.bad or 1)

    def settle(self, begin: float, end: float, good_until: float, cause: Callable[[], str]) -> None:
        """Account for a time in which it held the same token."""
        turn = min(max(good_until, begin), end)
        self.good += turn - begin
        self.bad += end - turn
        if end - turn < LEAST_OUTAGE_SECONDS:
            return
        if self.outages and self.outages[-1].end == turn:
            self.outages[-1].end = end
        else:
            self.outages.append(Outage(turn, end, cause()))


class Consumers:
    """Two of them, always calling: a careful one, which reads the secret again on a 401, and a plain one with a cache.

    `change` has to be called right before anything changes that they could notice.
    """

    def __init__(self, engine: Engine, good_until: Callable[[str], float], cause: Callable[[], str]) -> None:
        self._engine, self._good_until, self._cause = engine, good_until, cause
        self.careful, self.plain = Account(), Account()
        self._current, self._is_readable, self._since = "", True, 0.0

    def change(self) -> None:
        """Account for the time until now."""
        begin, self._since = self._since, self._engine.now
        if self.careful.held:
            for one in (self.careful, self.plain):
                one.settle(begin, self._since, self._good_until(one.held), self._cause)

    def publish(self, token: str) -> None:
        self.change()
        is_first, self._current = not self.careful.held, token
        if self._is_readable:
            self.careful.held = token
        if is_first and self.careful.held:
            self.plain.held = token
            self._engine.at(self._engine.now + CACHE_SECONDS, self._poll)

    def set_readable(self, *, is_readable: bool) -> None:
        self.change()
        self._is_readable = is_readable
        if is_readable:
            self.careful.held = self._current

    def _poll(self) -> None:
        if self._is_readable and self.plain.held != self._current:
            self.change()
            self.plain.held = self._current
        self._engine.at(self._engine.now + CACHE_SECONDS, self._poll)
