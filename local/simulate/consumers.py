"""What consumers see: for how long they have a token that the API takes, and for how long they have none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.simulate.engine import Engine

CACHE_SECONDS = 3_600.0  # for which the plain consumer does not read the secret again
MIN_OUTAGE_SECONDS = 1.0  # a shorter one is not listed


@dataclass(slots=True)
class Outage:
    """A time without a good token, in Unix seconds."""

    begin: float
    end: float
    cause: str

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(slots=True)
class Account:
    """One consumer's seconds with and without a good token, counted from its first token on."""

    token: str = field(default="", repr=False)
    good_seconds: float = 0.0
    bad_seconds: float = 0.0
    outages: list[Outage] = field(default_factory=list)

    @property
    def availability(self) -> float:
        return self.good_seconds / (self.good_seconds + self.bad_seconds or 1)

    def add(self, begin: float, end: float, good_until: float, cause: Callable[[], str]) -> None:
        """Add a time in which the consumer had one and the same token."""
        bad_from = min(max(good_until, begin), end)
        self.good_seconds += bad_from - begin
        self.bad_seconds += end - bad_from
        if end - bad_from < MIN_OUTAGE_SECONDS:
            return
        if self.outages and self.outages[-1].end == bad_from:
            self.outages[-1].end = end
        else:
            self.outages.append(Outage(bad_from, end, cause()))


class Consumers:
    """Two consumers that call the API all the time.

    The careful one reads the secret again on a 401. The plain one reads it once per CACHE_SECONDS. Call `update` right
    before anything changes that they could notice.
    """

    def __init__(self, engine: Engine, good_until: Callable[[str], float], cause: Callable[[], str]) -> None:
        """`good_until` says until when the API takes a token, `cause` why there is no good one now."""
        self._engine = engine
        self._good_until = good_until
        self._cause = cause
        self.careful = Account()
        self.plain = Account()
        self._published = ""
        self._is_readable = True
        self._updated_at = 0.0

    def update(self) -> None:
        """Account for the time until now."""
        begin = self._updated_at
        self._updated_at = self._engine.now
        if not self.careful.token:
            return
        for account in (self.careful, self.plain):
            account.add(begin, self._engine.now, self._good_until(account.token), self._cause)

    def publish(self, token: str) -> None:
        self.update()
        had_token = bool(self.careful.token)
        self._published = token
        if not self._is_readable:
            return
        self.careful.token = token
        if not had_token:
            self.plain.token = token
            self._engine.at(self._engine.now + CACHE_SECONDS, self._end_cache)

    def set_readable(self, *, is_readable: bool) -> None:
        self.update()
        self._is_readable = is_readable
        if is_readable:
            self.careful.token = self._published

    def _end_cache(self) -> None:
        """Let the plain consumer read the secret again."""
        if self._is_readable and self.plain.token != self._published:
            self.update()
            self.plain.token = self._published
        self._engine.at(self._engine.now + CACHE_SECONDS, self._end_cache)
