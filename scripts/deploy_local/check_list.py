# ruff: noqa: T201 - a command line program prints
"""Print each check as soon as its result is known, and a summary at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

DENIED = {"AccessDenied", "AccessDeniedException"}


def has_no_secret(lines: list[str], secrets: list[str]) -> bool:
    """Return whether no line contains a secret. False if there are no lines, since that would prove nothing."""
    return bool(lines) and not any(secret in line for secret in secrets for line in lines)


class CheckList:
    """Counts and prints checks. No line may show a secret: pass only results, error codes and AWS's messages."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._passed = 0
        self._failed = 0

    def check(self, what: str, result: object, instead: object = "") -> None:
        """Print whether the result is true. If it is not, `instead` says what was found."""
        if result:
            self._passed += 1
            print(f"{'ok':8}{what}", flush=True)
            return
        self._failed += 1
        detail = "" if instead == "" else f" (found: {instead})"
        print(f"{'FAILED':8}{what}{detail}", flush=True)

    def equal(self, what: str, found: object, expected: object) -> None:
        self.check(what, found == expected, instead=found)

    def denied(self, what: str, call: Callable[[], object]) -> None:
        """Check that AWS refuses the call because a permission is missing, and for no other reason."""
        try:
            call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            self.check(what, code in DENIED, instead=code)
        else:
            self.check(what, result=False, instead="it was allowed")

    def note(self, text: str) -> None:
        print(f"{'':8}{text}", flush=True)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Turn an exception into one failed check, so that the next sections still run."""
        print(f"\n{title}", flush=True)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - any surprise is a failed check
            problem = f"{type(error).__name__}: {error}"
            self.check(f"the rest of this part could not be run: {problem}", result=False)

    def finish(self) -> int:
        """Print the summary and return the exit code."""
        seconds = time.monotonic() - self._started_at
        total = self._passed + self._failed
        print(f"\n{total} checks, {self._failed} failed, {seconds:.0f} s")
        return 1 if self._failed else 0
