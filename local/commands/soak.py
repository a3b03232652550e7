"""Many consumers call the API while tokens change, a client is deactivated and Secrets Manager is down.

They are threads with one Python reader and, if asked for, as many loops with one TypeScript reader.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from local.commands.soak_typescript import TypeScriptConsumers, typescript_consumers
from local.commands.two_days import START
from local.durations import HOUR, MINUTE
from local.emulators.clock import Clock
from local.emulators.secrets_manager import CUT
from local.emulators.world import TOKEN_SECRET, World, environment

if TYPE_CHECKING:
    from tango_token import TokenReader

PYTHON_HELPER = Path(__file__).parents[2] / "consumers" / "python"
CYCLE_HOURS = 54  # three changes of the token: the rotation, and two renewals 20 hours apart
ROTATION_HOUR = 6  # of each cycle
OUTAGE_HOURS = range(9, 12)  # of each cycle
# Before the outage each consumer learns that its token was refused, and in it each does without a read.
HOURS_IN_WHICH_ALL_CALL = {OUTAGE_HOURS[0] - 1, OUTAGE_HOURS[-1]}
STEP_SECONDS = 5 * MINUTE  # by which the emulated clock moves
CALL_PAUSE_SECONDS = 0.2  # real ones, between two calls of a thread
STEP_PAUSE_SECONDS = CALL_PAUSE_SECONDS / 40  # real ones, between two moves of the clock
POLL_SECONDS = 0.005  # real ones
CALLED_SECONDS = 60.0  # real ones, within which each consumer must have called


@dataclass
class Soaked:
    """What the consumers met.

    A call that failed was avoidable if the secret held a good token, and in this world it always does. It could always
    be read, too: each consumer has called at least once between a token's deactivation and the next outage, and once in
    the outage.
    """

    hours: int
    threads: int
    calls: int = 0  # of all consumers
    failures: Counter[str] = field(default_factory=Counter)
    tokens: int = 0  # that the secret had, one after the other
    reads: int = 0  # by the Python reader
    typescript: dict[str, Any] = field(default_factory=dict)  # what its process counted; empty if it was not asked for

    def __str__(self) -> str:
        kinds = f" {dict(self.failures)}" if self.failures else ""
        lines = (
            f"{self.threads} threads, {self.hours} hours, {self.tokens} tokens one after the other\n"
            f"API calls: {self.calls}; avoidable failures: {self.failures.total()}{kinds}\n"
            f"secret reads per hour per process: {self.reads / self.hours:.1f} ({self.reads} in all)"
        )
        if not self.typescript:
            return lines
        calls = self.typescript["calls"]
        reads = self.typescript["reads"]
        return (
            f"{lines}\n"
            f"of these in TypeScript: {self.typescript['loops']} loops, {calls} calls; "
            f"secret reads per hour per process: {reads / self.hours:.1f} ({reads} in all)"
        )


def token_reader() -> type[TokenReader]:
    """Return the class of consumers/python, which is not installed here."""
    sys.path.insert(0, str(PYTHON_HELPER))
    from tango_token import TokenReader

    return TokenReader


def soak(hours: int = CYCLE_HOURS, threads: int = 50, *, typescript: bool = False) -> Soaked:
    """Play the hours of the emulated clock as fast as they go; with `typescript`, in both languages together."""
    clock = Clock(START)
    soaked = Soaked(hours, threads)
    stop = threading.Event()
    with World(clock) as world, environment(world.environment()):
        reader = token_reader()(TOKEN_SECRET, token_url=world.vendor.token_url, now=clock.now)
        world.invoke()
        callers = [_Caller(world, reader, stop) for _ in range(threads)]
        with ExitStack() as stack:
            others: list[TypeScriptConsumers] = []
            if typescript:
                starting = typescript_consumers(world.environment(), world.vendor.api_url, threads, CALL_PAUSE_SECONDS)
                others.append(stack.enter_context(starting))
            for caller in callers:
                stack.callback(caller.join)
                caller.start()
            stack.callback(stop.set)
            for hour in range(hours):
                _play_hour(world, hour % CYCLE_HOURS, others)
                if hour % CYCLE_HOURS in HOURS_IN_WHICH_ALL_CALL:
                    _wait_until_all_have_called(callers, others)
        for caller in callers:
            soaked.failures.update(caller.failures)
        for other in others:
            soaked.typescript = other.played
            soaked.failures.update(other.played["failures"])
        soaked.calls = len(world.vendor.api_calls)
        soaked.reads = reader.reads
        soaked.tokens = len(world.vendor.issued)
    return soaked


def _play_hour(world: World, hour: int, others: list[TypeScriptConsumers]) -> None:
    is_outage = hour in OUTAGE_HOURS
    world.secrets.outage = CUT if is_outage else None
    for _ in range(HOUR // STEP_SECONDS):
        world.clock.advance(STEP_SECONDS)
        for other in others:
            other.tell(world.clock.now())
        threading.Event().wait(STEP_PAUSE_SECONDS)  # lets the callers call
    if is_outage:
        return  # the function's runs would fail, as the consumers' reads do
    if hour == ROTATION_HOUR:
        _rotate(world)
    world.invoke()


def _rotate(world: World) -> None:
    """Make the standby the primary, deactivate the old primary, and make a new standby."""
    old = world.primary
    world.primary = world.standby
    world.put_credentials(world.primary, old)
    world.invoke()
    world.vendor.deactivate(old)
    number = len(world.client_secrets)
    world.standby = f"client-{number}"
    world.client_secrets[world.standby] = f"secret-{number}-of-the-emulator"
    world.vendor.add_client(world.standby, world.client_secrets[world.standby])
    world.put_credentials(world.primary, world.standby)


def _wait_until_all_have_called(callers: list[_Caller], others: list[TypeScriptConsumers]) -> None:
    """Let each consumer make a whole call, however slowly or quickly the calls go on this machine.

    In an outage, a consumer that has not called since the deactivation could not read the new token.
    """
    # A call that is under way may have begun before.
    enough = [caller.calls + 2 for caller in callers]
    deadline = time.monotonic() + CALLED_SECONDS
    while any(caller.calls < calls for caller, calls in zip(callers, enough, strict=True)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"a consumer has not called the API for {CALLED_SECONDS:.0f} s")
        threading.Event().wait(POLL_SECONDS)
    for other in others:
        other.wait_until_all_have_called()


class _Caller(threading.Thread):
    """A consumer's thread: it calls the API until it is stopped."""

    def __init__(self, world: World, reader: TokenReader, stop: threading.Event) -> None:
        super().__init__()
        self.calls = 0
        self.failures: Counter[str] = Counter()
        self._url = world.vendor.api_url
        self._reader = reader
        self._stop_event = stop

    def run(self) -> None:
        from tango_token.for_requests import TangoAuth

        with requests.Session() as session:
            session.auth = TangoAuth(self._reader)
            while not self._stop_event.wait(CALL_PAUSE_SECONDS):
                failure = _failure_of_call(session, self._url)
                self.calls += 1
                if failure:
                    self.failures[failure] += 1


def _failure_of_call(session: requests.Session, url: str) -> str:
    """Call the API; return what went wrong, or an empty text."""
    try:
        answer = session.get(url, timeout=30)
    except Exception as error:  # noqa: BLE001 - whatever a call ends with is counted
        return type(error).__name__
    if answer.ok:
        return ""
    return f"HTTP {answer.status_code}"
