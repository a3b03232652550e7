"""Puts other values in the place of a module's or a class's own for the length of a block."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

Change = tuple[Any, str, Any]  # a module or a class, a name in it, and the value to have there


@contextmanager
def stand_in(*changes: Change) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(patch.object(owner, name, value))
        yield
