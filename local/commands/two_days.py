"""Two days of the hourly schedule in seconds: the real handler, a vendor that fails now and then, and a consumer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import dropwhile
from typing import TYPE_CHECKING

from handler.errors import RefreshError
from local.aws_lambda import RETRY_PAUSES_SECONDS
from local.commands.stories import StoryOfAccounts, StoryOfClients
from local.durations import HOUR
from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.connections import WarmProcess
    from local.emulators.token_endpoint import TokenRequest
    from local.emulators.world import Accounts

HOURS = 48
START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One invocation, and what a consumer met right after it. Times in Unix seconds."""

    at: float
    outcome: str  # the result's, or the error's name
    reason: str
    seconds_remaining: int
    requests: tuple[TokenRequest, ...]
    why: tuple[str, ...]  # the reason of each request
    consumer: int  # the API's HTTP status, 0 if there was no token to call with
    note: str

    @property
    def is_retry(self) -> bool:
        return (self.at - START) % HOUR != 0


@dataclass(frozen=True)
class Played:
    """All ticks, and what they add up to."""

    ticks: list[Tick]

    @property
    def calls(self) -> list[bool]:
        """Whether the consumer's call of each hour was successful, from the first token on."""
        statuses = [tick.consumer for tick in self.ticks if not tick.is_retry]
        from_first_token = dropwhile(lambda status: status == 0, statuses)
        return [status == 200 for status in from_first_token]

    @property
    def hours_without_token(self) -> int:
        """How many hourly calls of the consumer failed, from the first token on."""
        return self.calls.count(False)

    @property
    def lost(self) -> int:
        """How many tokens the vendor issued that nobody received."""
        requests = [request for tick in self.ticks for request in tick.requests]
        return len([request for request in requests if request.issued and request.status == 0])


def play_two_days(*, standby: bool, accounts: Accounts = "none") -> Iterator[Tick]:
    """Yield each tick as it happens. The same things happen with and without a standby credential."""
    clock = Clock(START)
    story_type = StoryOfAccounts if accounts == "service" else StoryOfClients
    with World(clock, standby=standby, accounts=accounts) as world:
        process = world.process()
        story = story_type(world, standby=standby).hours()
        for hour in range(HOURS + 1):
            note = story[hour]() if hour in story else ""
            yield from _invocations(world, process, note)
            next_hour_at = START + (hour + 1) * HOUR
            clock.advance(next_hour_at - clock.now())


def _invocations(world: World, process: WarmProcess, note: str) -> Iterator[Tick]:
    """Invoke the function, and repeat it as Lambda does if it fails."""
    tick = _tick(world, process, note)
    yield tick
    for pause in RETRY_PAUSES_SECONDS:
        if tick.outcome not in _error_names():
            return
        world.clock.advance(pause)
        tick = _tick(world, process, note="")
        yield tick


def _tick(world: World, process: WarmProcess, note: str) -> Tick:
    at = world.clock.now()
    requests_before = len(world.vendor.requests)
    try:
        result = world.invoke({"action": "refresh"}, process)
    except RefreshError as error:
        outcome = type(error).__name__
        reason = ""
        seconds_remaining = _seconds_remaining(world)
    else:
        outcome = result["outcome"]
        reason = result["reason"]
        seconds_remaining = result["seconds_remaining"]
    why = _request_reasons(world)
    if not reason and why:
        reason = why[0]
    return Tick(
        at=at,
        outcome=outcome,
        reason=reason,
        seconds_remaining=seconds_remaining,
        requests=tuple(world.vendor.requests[requests_before:]),
        why=why,
        consumer=world.consume(),
        note=note,
    )


def _request_reasons(world: World) -> tuple[str, ...]:
    """Return the reasons that the last run's log gives for its claims to acquire."""
    claims = [line for line in world.lines if line.get("message") == "Claimed"]
    return tuple(line["reason"] for line in claims if line["principal"])


def _seconds_remaining(world: World) -> int:
    return max(0, int(world.token()["expires_at"] - world.clock.now()))


def _error_names() -> set[str]:
    return {error.__name__ for error in RefreshError.__subclasses__()}
