"""Wait for something that another process does."""

import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.25


def wait_for(description: str, seconds: float, probe: Callable[[], Any]) -> Any:
    """Return the first true result of the probe. Raises TimeoutError if none comes in time."""
    ends_at = time.monotonic() + seconds
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{description}: not within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
