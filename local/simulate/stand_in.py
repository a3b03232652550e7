"""Other values in the place of a module's or a class's own, for the time of a block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Change = tuple[Any, str, Any]  # a module or a class, a name in it, and the value to have there


@contextmanager
def stand_in(*changes: Change) -> Iterator[None]:
    before = [(place, name, vars(place)[name]) for place, name, _ in changes]
    for place, name, value in changes:
        setattr(place, name, value)
    try:
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
