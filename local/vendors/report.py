"""Prints a row for each case as soon as it is over, and at the end why some servers do something else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from local.vendors.cases import Case, Played, play
from local.vendors.differences import Difference, difference_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.vendors.foreign_server import ForeignServer

HEAD = ("", "server", "case", "expected", "outcome", "refused with")
WIDTHS = (7, 25, 57, 41, 41, 0)


class Report:
    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._played = 0
        self._failed = 0
        self._different = 0
        self._differences: list[Difference] = []
        _print_row(HEAD)

    def play_all(self, cases: Iterable[Case], server: ForeignServer) -> None:
        for case in cases:
            played = play(case, server)
            self._played += 1
            package = server.program.package
            verdict = self._verdict(package, case, played)
            refusals = ", ".join(played.refusals)
            _print_row((verdict, package, case.name, case.expected, played.outcome, refusals))

    def _verdict(self, package: str, case: Case, played: Played) -> str:
        difference = difference_of(package, case.name)
        if difference and played.outcome == difference.outcomes[case.name]:
            self._different += 1
            if difference not in self._differences:
                self._differences.append(difference)
            return "differs"
        if difference or played.outcome != case.expected:
            self._failed += 1
            return "FAILED"
        return "ok"

    def finish(self) -> int:
        """Print why servers differ, and the summary. Return the exit code: 1 also if nothing was played."""
        for difference in self._differences:
            print(f"\n{difference.package} differs:\n{difference.why}")
            for case in difference.outcomes:
                print(f"- {case}")
        seconds = time.monotonic() - self._started_at
        differ = f"in {self._different} a server differs as known"
        print(f"\n{self._played} cases, {differ}, {self._failed} failed, {seconds:.0f} s")
        if self._failed or not self._played:
            return 1
        return 0


def _print_row(cells: Iterable[str]) -> None:
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)]
    print(" ".join(padded).rstrip(), flush=True)
