"""What a run did (its calls, log lines and metrics), and how a test fails a call or acts in the middle of a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from handler.connections import WarmProcess
from handler.errors import StoreError
from local.emulators.secrets_manager import AwsFault, Call
from local.emulators.token_endpoint import TokenRequest
from local.emulators.world import World
from tests.integration.helpers import CURRENT, LEDGER, NOT_SAVED, PENDING, Json

# What a run did


@dataclass
class Traffic:
    """The requests that arrived at both servers."""

    aws: list[Call] = field(default_factory=list)
    vendor: list[TokenRequest] = field(default_factory=list)

    @property
    def operations(self) -> list[str]:
        return [call.op for call in self.aws]

    @property
    def writes(self) -> list[Call]:
        return [call for call in self.aws if call.op in {"PutSecretValue", "UpdateSecretVersionStage"}]

    @property
    def publishes(self) -> list[Call]:
        return [call for call in self.aws if is_publish(call.op, call.params)]

    @property
    def claims(self) -> list[Json]:
        """The ledgers that were put on their own, without a token."""
        puts = [call.params for call in self.aws if call.op == "PutSecretValue"]
        documents = [json.loads(params["SecretString"]) for params in puts if params["VersionStages"] == [PENDING]]
        return [document["ledger"] for document in documents if "ledger" in document]


@contextmanager
def record_traffic(world: World) -> Iterator[Traffic]:
    """Record what arrives during the block; the lists are filled when the block ends."""
    traffic = Traffic()
    calls_before = len(world.secrets.requests)
    requests_before = len(world.vendor.requests)
    try:
        yield traffic
    finally:
        traffic.aws += world.secrets.requests[calls_before:]
        traffic.vendor += world.vendor.requests[requests_before:]


def metrics(world: World) -> dict[str, float]:
    """Return the values in the last run's one EMF line."""
    [line] = [line for line in world.lines if "_aws" in line]
    names = [metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    return {name: line[name][0] for name in names}


def logged(world: World, message: str) -> list[Json]:
    """Return the last run's log lines with this message."""
    return [line for line in world.lines if line.get("message") == message]


# What goes wrong, or happens in the middle of a run


def is_publish(operation: str, params: Mapping[str, Any]) -> bool:
    return operation == "PutSecretValue" and CURRENT in params.get("VersionStages", [])


def is_claim(operation: str, params: Mapping[str, Any]) -> bool:
    """Say whether this call moves the ledger's label to another version."""
    return operation == "UpdateSecretVersionStage" and params["VersionStage"] == LEDGER


def do_at_calls(
    world: World, matches: Callable[[str, Json], bool], act: Callable[[], object], *, moment: str = "before"
) -> None:
    """Do `act` at this moment of every call that matches; the calls that `act` itself makes do not count."""
    acting = threading.Lock()

    def hook(operation: str, when: str, params: Json) -> None:
        if when == moment and matches(operation, params) and acting.acquire(blocking=False):
            try:
                act()
            finally:
                acting.release()

    world.secrets.on_call = hook


def do_at_vendor(world: World, moment: str, act: Callable[[], object]) -> None:
    """Do `act` each time the vendor has "received" a request, or "issued" a token and not yet answered."""

    def hook(when: str) -> None:
        if when == moment:
            act()

    world.vendor.on_request = hook


def once(act: Callable[[], object], *, at: int = 1) -> Callable[[], None]:
    """Return a function that does `act` at its call number `at`, and nothing at its other calls."""
    call_numbers = count(1)

    def act_at_its_call() -> None:
        if next(call_numbers) == at:
            act()

    return act_at_its_call


def fail_publishes(world: World, times: int = 1_000, fault: AwsFault = NOT_SAVED) -> None:
    """Let the next `times` writes that would publish a token meet this fault, until `on_call` is reset."""
    remaining = iter(range(times))

    def act() -> None:
        if next(remaining, None) is not None:
            world.secrets.fail("PutSecretValue", fault)

    do_at_calls(world, is_publish, act)


def leave_token_unsaved(world: World, process: WarmProcess, event: object = None) -> str:
    """Have a run that acquires a token and can't publish it; return the token, which its process now holds."""
    fail_publishes(world)
    with pytest.raises(StoreError) as caught:
        world.invoke(event, process)
    assert caught.value.retryable
    world.secrets.on_call = None
    return world.vendor.issued[-1].token
