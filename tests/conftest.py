"""Fixtures for all tests, and a check of each: no secret of the emulated world is in its output, log or failure."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest

from local.emulators.clock import Clock
from local.emulators.world import CLIENTS, SERVICE_ACCOUNTS, SERVICE_CLIENT, World
from local.no_proxy import no_proxy_for_loopback

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

ALL_SECRETS = [*CLIENTS.values(), *SERVICE_CLIENT.values(), *SERVICE_ACCOUNTS.values()]
START = 1_790_000_000.0  # in September 2026; a test's clock stands still there until the test moves it


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def world(clock: Clock) -> Iterator[World]:
    """A world without a standby credential; its clock stands still until it is moved."""
    with World(clock, standby=False) as made:
        yield made
        assert not secrets_in(made.output, made)


@pytest.fixture
def standby_world(clock: Clock) -> Iterator[World]:
    """A world with a standby credential; its clock stands still until it is moved."""
    with World(clock) as made:
        yield made
        assert not secrets_in(made.output, made)


@pytest.fixture
def live_world() -> Iterator[World]:
    """A world without a standby credential; it uses the machine's clock, as other processes do."""
    with World(Clock(), standby=False) as made:
        yield made
        assert not secrets_in(made.output, made)


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Collect no garbage while the test runs.

    It is for tests with a document that is nested too deeply. A collection at that depth calls finalizers that
    have no stack left, and pytest fails whatever test runs then.
    """
    gc.disable()
    yield
    gc.enable()


def pytest_configure() -> None:
    """Keep the requests of all tests, which go to loopback, away from the machine's proxy."""
    os.environ.update(no_proxy_for_loopback(os.environ))


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the thousands of tests again and again."""
    gc.collect()
    gc.freeze()


def secrets_in(text: str, world: World) -> list[str]:
    """Name the owner of each client secret, password and token of the world that the text shows."""
    secrets = world.client_secrets | world.passwords
    shown = [owner for owner, secret in secrets.items() if secret in text]
    return shown + [f"a token of {issued.principal}" for issued in world.vendor.issued if issued.token in text]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test if its captured output shows a client secret or a password, whatever it asserts."""
    report = yield
    output = "".join(text for _, text in report.sections) + str(report.longrepr or "")
    if any(secret in output for secret in ALL_SECRETS):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: its output shows a secret"
        report.sections = []
    return report
