"""The two worlds in which a tick finds itself: a fresh token, or one that is due; new ones each time, so all alike."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

FRESH, DUE = "no-op", "refresh"
SITUATIONS = (FRESH, DUE)
DUE_AFTER = 21 * 3_600  # seconds: three hours before the token's end, an hour inside the window


@contextmanager
def situation(name: str) -> Iterator[World]:
    """Have a world by the machine's own clock, as other processes have it, whose token is so."""
    with World(Clock()) as world:
        age(world, name)
        yield world


def age(world: World, name: str, **overrides: str) -> None:
    """Have the function, under these settings, get the token, so long ago that it is what the name says."""
    ago = DUE_AFTER if name == DUE else 0
    world.clock.advance(-ago)
    world.invoke(keeper=world.keeper(**overrides))
    world.clock.advance(ago)
    world.secrets.calls.clear()
    world.vendor.requests.clear()
