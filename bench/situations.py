"""The two kinds of ticks that are measured: one finds a fresh token, the other one that is due.

Each tick gets a new world, so that all of them find the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

FRESH = "no-op"
DUE = "refresh"
SITUATIONS = (FRESH, DUE)
DUE_AFTER_SECONDS = 21 * 3_600  # three hours before the token ends, and an hour inside the refresh window


@contextmanager
def situation(kind: str) -> Iterator[World]:
    """Yield a world for a tick of this kind. It has the machine's own clock, as the measured processes have."""
    with World(Clock()) as world:
        acquire_token_for(kind, world)
        yield world


def acquire_token_for(kind: str, world: World, **settings: str) -> None:
    """Let our function, with these settings, acquire the token long enough ago for a tick of this kind."""
    age = DUE_AFTER_SECONDS if kind == DUE else 0
    world.clock.advance(-age)
    world.invoke(process=world.process(**settings))
    world.clock.advance(age)
    world.secrets.calls.clear()
    world.vendor.requests.clear()
