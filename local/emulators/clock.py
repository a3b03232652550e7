"""A clock that can be moved. The emulated world and the handler in it read this one, not the machine's."""

from __future__ import annotations

import threading
import time


class Clock:
    """Unix time in seconds: the machine's plus an offset or, with `start`, a time that stands still until moved."""

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
        """Let `seconds` pass: in real time if the clock runs, at once if it stands still."""
        if self._start is None:
            time.sleep(seconds)
        else:
            self.advance(seconds)
