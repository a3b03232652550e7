"""Fixtures for the tests of the Python reader. A file that needs another world has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tango_token import TokenReader

from local.emulators.clock import Clock
from local.emulators.world import TOKEN_SECRET, World, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_772_409_600.0


@pytest.fixture
def reader_world() -> Iterator[World]:
    """A world with a token, whose AWS settings are in this process's environment for the reader."""
    with World(Clock(START)) as world, environment(world.environment()):
        world.invoke()
        yield world


@pytest.fixture
def reader(reader_world: World) -> TokenReader:
    return TokenReader(TOKEN_SECRET, now=reader_world.clock.now)
