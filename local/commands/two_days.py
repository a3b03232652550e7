"""Two days of the hourly schedule in seconds: the real handler, a vendor that fails now and then, and a consumer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from handler.errors import RefreshError
from local.aws_lambda import RETRY_PAUSES_SECONDS
from local.durations import HOUR
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handler.refresh import Keeper
    from local.emulators.token_endpoint import TokenRequest

HOURS = 48
START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
OUTAGE = Fault.answer(503, {"error": "temporarily_unavailable"})


@dataclass(frozen=True)
class Tick:
    """One invocation and what a consumer saw right after it; times in Unix seconds."""

    at: float
    outcome: str
    reason: str
    seconds_left: int
    requests: tuple[TokenRequest, ...]
    why: tuple[str, ...]  # the reason of each request
    consumer: int  # the API's HTTP status, 0 where there was no token to call with
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
        """Whether the consumer's call of each hour went through, from the first token on."""
        answers = [tick.consumer for tick in self.ticks if not tick.is_retry]
        first = next((index for index, status in enumerate(answers) if status), len(answers))
        return [status == 200 for status in answers[first:]]

    @property
    def lost(self) -> int:
        """How many tokens the vendor issued that nobody got to hold."""
        return sum(request.issued and not request.status for tick in self.ticks for request in tick.requests)


def play(*, standby: bool) -> Iterator[Tick]:
    """Yield each tick as it happens; the story is the same with and without a standby credential."""
    clock = Clock(START)
    with World(clock, standby=standby) as world:
        keeper = world.keeper()
        story = _story(world, standby=standby)
        for hour in range(HOURS + 1):
            note = story[hour]() if hour in story else ""
            for pause in (0, *RETRY_PAUSES_SECONDS):
                clock.advance(pause)
                tick = _tick(world, keeper, note)
                yield tick
                note = ""
                if tick.outcome not in _errors():
                    break
            clock.advance(START + (hour + 1) * HOUR - clock.now())


def _story(world: World, *, standby: bool) -> dict[int, Callable[[], str]]:
    """Return what befalls the world just before the tick of an hour, each as a function that says what it did."""

    def rotate() -> str:
        world.put_credentials("client-green", "client-blue" if standby else None)
        return "operator puts the new credential in"

    def retire() -> str:
        world.vendor.deactivate("client-blue")
        if not standby:
            return "operator deactivates the old one"
        world.client_secrets["client-red"] = "red-secret-of-the-emulator"
        world.vendor.add_client("client-red", world.client_secrets["client-red"])
        world.put_credentials("client-green", "client-red")
        return "operator deactivates the old one, and makes a new standby"

    def lose() -> str:
        world.vendor.script(Fault.cut(issues=True))
        return "the vendor issues a token, and its answer is lost"

    def fail() -> str:
        world.vendor.outage = OUTAGE
        return "the vendor is down"

    def mend() -> str:
        world.vendor.outage = None
        return "the vendor is back"

    return {3: rotate, 5: retire, 24: lose, 45: fail, 47: mend}


def _tick(world: World, keeper: Keeper, note: str) -> Tick:
    at, before = world.clock.now(), len(world.vendor.requests)
    try:
        result = world.invoke({"action": "refresh"}, keeper)
        outcome, reason, left = result["outcome"], result["reason"], result["seconds_remaining"]
    except RefreshError as error:
        outcome, reason, left = type(error).__name__, "", _seconds_left(world)
    why = tuple(line["reason"] for line in world.lines if line.get("message") == "Claimed" and line["client_id"])
    reason = reason or next(iter(why), "")
    return Tick(at, outcome, reason, left, tuple(world.vendor.requests[before:]), why, world.consume(), note)


def _seconds_left(world: World) -> int:
    return max(0, int(world.token()["expires_at"] - world.clock.now()))


def _errors() -> set[str]:
    return {error.__name__ for error in RefreshError.__subclasses__()}
