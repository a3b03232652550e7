"""What every test is held to: nothing that it prints, logs or fails with shows a secret of the emulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.clock import Clock
from local.world import CLIENTS, World

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

START = 1_790_000_000.0  # a moment in September 2026, at which the clock of a test stands until it is moved


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def world(clock: Clock) -> Iterator[World]:
    """A world without a standby credential, whose clock stands still until it is moved."""
    with World(clock, standby=False) as made:
        yield made
        assert not secrets_in(made.output, made)


@pytest.fixture
def standby_world(clock: Clock) -> Iterator[World]:
    """The same with a standby credential."""
    with World(clock) as made:
        yield made
        assert not secrets_in(made.output, made)


def secrets_in(text: str, world: World) -> list[str]:
    """Name the client secrets and tokens of the world that the text shows, by whose they are."""
    shown = [client_id for client_id, secret in world.client_secrets.items() if secret in text]
    return shown + [f"a token of {issued.client_id}" for issued in world.vendor.issued if issued.token in text]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose captured output shows a client secret, whatever else it asserts."""
    report = yield
    said = "".join(text for _, text in report.sections) + str(report.longrepr or "")
    if any(secret in said for secret in CLIENTS.values()):
        report.outcome, report.longrepr, report.sections = "failed", f"{item.nodeid}: its output shows a secret", []
    return report
