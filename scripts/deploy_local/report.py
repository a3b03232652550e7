# ruff: noqa: T201 - a command line program prints
"""Each check as a line as soon as it is known, and what they add up to."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

DENIED = {"AccessDenied", "AccessDeniedException"}
POLL_SECONDS = 0.25


class Report:
    """Counts and prints. No line may hold a secret: callers hand in results, error codes and AWS's messages only."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._good, self._bad = 0, 0

    def check(self, what: str, fact: object, seen: object = "") -> None:
        """Print whether it holds; `seen` says what was there instead."""
        self._good += bool(fact)
        self._bad += not fact
        detail = "" if fact or seen == "" else f" (saw: {seen})"
        print(f"{'ok' if fact else 'FAILED':8}{what}{detail}", flush=True)

    def equal(self, what: str, found: object, expected: object) -> None:
        self.check(what, found == expected, found)

    def denied(self, what: str, call: Callable[[], object]) -> None:
        """Check that AWS refuses the call for want of a permission, and for nothing else."""
        try:
            call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            self.check(what, code in DENIED, code)
        else:
            self.check(what, fact=False, seen="it was allowed")

    def note(self, text: str) -> None:
        print(f"{'':8}{text}", flush=True)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Turn whatever ends the section early into one failed check, so that the ones after it are still run."""
        print(f"\n{title}", flush=True)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - any surprise is a failed check
            self.check(f"the rest of this part could not be run: {type(error).__name__}: {error}", fact=False)

    def finish(self) -> int:
        """Print the summary; return the exit code."""
        seconds = time.monotonic() - self._started
        print(f"\n{self._good + self._bad} checks, {self._bad} failed, {seconds:.0f} s")
        return 1 if self._bad else 0


def wait_for(what: str, seconds: float, probe: Callable[[], Any]) -> Any:
    """Return the first true answer of the probe; raise TimeoutError where none comes in time."""
    ends = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > ends:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
    return answer
