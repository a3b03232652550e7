"""Ends a command that started other processes, so that it ends those, too."""

from __future__ import annotations

import signal
import sys


def exit_by_exception(max_seconds: int) -> None:
    """Make a signal, or too long a run, raise SystemExit, so that everything that was started here is ended."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: sys.exit("ended from outside"))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"FAILED  not over within {max_seconds} s"))
    signal.alarm(max_seconds)
