"""Time that can be moved: what the emulated world and the handler read instead of the machine's clock."""

from __future__ import annotations

import threading
import time


class Clock:
    """Unix time in seconds, either the machine's plus an offset or, with `start`, standing still until moved."""

    def __init__(self, start: float | None = None) -> None:
        self._start = start
        self._offset = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        base = time.time() if self._start is None else self._start
        return base + self._offset

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._offset += seconds

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass: really where the clock runs, at once where it stands still."""
        if self._start is None:
            time.sleep(seconds)
        else:
            self.advance(seconds)
