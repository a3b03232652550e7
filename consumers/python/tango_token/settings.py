"""Checks of what a service sets. A wrong setting fails when it is made, and not at the first call at night."""

import math
from collections.abc import Collection


def check_seconds(name: str, value: float) -> None:
    """Raise TypeError if this is not a number, and ValueError if it is NaN or less than 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not a {type(value).__name__}")
    if not value >= 0:  # NaN too
        raise ValueError(f"{name} must be a number of seconds, 0 or more")


def check_ttl(value: float) -> None:
    """Raise the same, and ValueError if the time has no end."""
    check_seconds("ttl", value)
    if math.isinf(value):
        raise ValueError("ttl must be a finite number of seconds: a new token would never be read")


def checked_statuses(statuses: Collection[int]) -> frozenset[int]:
    """Return the statuses of HTTP as a set. Raises TypeError if they are not a collection of numbers."""
    is_collection = isinstance(statuses, Collection) and not isinstance(statuses, str | bytes)
    if not is_collection or not all(map(_is_status, statuses)):
        raise TypeError("refused_statuses must be a collection of numbers, such as {401, 403}")
    return frozenset(statuses)


def _is_status(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
