"""A crowd of consumers calls the API while tokens change, a client is deactivated and Secrets Manager is down."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from local.commands.two_days import START
from local.durations import HOUR, MINUTE
from local.emulators.clock import Clock
from local.emulators.secrets_manager import CUT
from local.emulators.world import TOKEN_SECRET, World, environment

if TYPE_CHECKING:
    from tango_token import TokenReader

PYTHON_HELPER = Path(__file__).parents[2] / "consumers" / "python"
ROTATION_HOUR, OUTAGE_HOURS = 6, range(9, 12)  # of each cycle
CYCLE_HOURS = 54  # three changes of the token: the rotation, and two renewals 20 hours apart
STEP_SECONDS = 5 * MINUTE  # by which the emulated clock moves
PACE_SECONDS = 0.2  # real ones, between two calls of a thread


@dataclass
class Soaked:
    """What the crowd met. Failures are avoidable where the secret held a good token, which it always does here."""

    hours: int
    threads: int
    calls: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    tokens: int = 0  # that the secret held, one after the other
    reads: int = 0

    def __str__(self) -> str:
        kinds = f" {dict(self.failures)}" if self.failures else ""
        return (
            f"{self.threads} threads, {self.hours} hours, {self.tokens} tokens one after the other\n"
            f"API calls: {self.calls}; avoidable failures: {self.failures.total()}{kinds}\n"
            f"secret reads per hour per process: {self.reads / self.hours:.1f} ({self.reads} in all)"
        )


def token_reader() -> type[TokenReader]:
    """Return the class of consumers/python, which is installed nowhere here."""
    sys.path.insert(0, str(PYTHON_HELPER))
    from tango_token import TokenReader

    return TokenReader


def soak(hours: int = CYCLE_HOURS, threads: int = 50) -> Soaked:
    """Play the hours as fast as they go; stops by itself."""
    clock, soaked, over = Clock(START), Soaked(hours, threads), threading.Event()
    with World(clock) as world, environment(world.environment()):
        reader = token_reader()(TOKEN_SECRET, token_url=world.vendor.token_url, now=clock.now)
        world.invoke()
        crowd = [threading.Thread(target=_call, args=(world, reader, soaked, over)) for _ in range(threads)]
        for one in crowd:
            one.start()
        try:
            for hour in range(hours):
                _play_hour(world, hour % CYCLE_HOURS)
        finally:
            over.set()
            for one in crowd:
                one.join()
        statuses = [status for _, status in world.vendor.api_calls]
        soaked.calls, soaked.reads = len(statuses), reader.reads
        soaked.tokens = len(world.vendor.issued)
    return soaked


def _play_hour(world: World, hour: int) -> None:
    world.secrets.outage = CUT if hour in OUTAGE_HOURS else None
    for _ in range(HOUR // STEP_SECONDS):
        world.clock.advance(STEP_SECONDS)
        threading.Event().wait(PACE_SECONDS / 40)  # real time for the crowd to call in
    if world.secrets.outage:
        return  # the keeper's runs fail meanwhile, as consumers' reads do
    if hour == ROTATION_HOUR:
        old = world.primary
        world.primary, world.standby = world.standby, world.primary
        world.put_credentials(world.primary, world.standby)
        world.invoke()
        world.vendor.deactivate(old)
        world.standby = f"client-{len(world.client_secrets)}"
        world.client_secrets[world.standby] = f"secret-{len(world.client_secrets)}-of-the-emulator"
        world.vendor.add_client(world.standby, world.client_secrets[world.standby])
        world.put_credentials(world.primary, world.standby)
    world.invoke()


def _call(world: World, reader: TokenReader, soaked: Soaked, over: threading.Event) -> None:
    from tango_token.for_requests import TangoAuth

    with requests.Session() as session:
        session.auth = TangoAuth(reader)
        while not over.wait(PACE_SECONDS):
            try:
                answer = session.get(world.vendor.api_url, timeout=30)
                failure = "" if answer.ok else f"HTTP {answer.status_code}"
            except Exception as error:  # noqa: BLE001 - whatever a call ends with is counted
                failure = type(error).__name__
            if failure:
                soaked.failures[failure] += 1
