"""Prints a row for each case as soon as it is over, and the known deviations at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from local.vendors.cases import Case, Played, play
from local.vendors.deviations import Deviation, deviation_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.vendors.foreign_server import ForeignServer

WIDTHS = (10, 26, 58, 42, 42, 0)
HEAD = ("", "server", "case", "expected", "outcome", "refused with")


class Report:
    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._played = 0
        self._failed = 0
        self._deviations: list[Deviation] = []
        _print_row(*HEAD)

    def play_all(self, cases: Iterable[Case], server: ForeignServer) -> None:
        for case in cases:
            self._add(server.program.package, case, play(case, server))

    def _add(self, package: str, case: Case, played: Played) -> None:
        self._played += 1
        verdict = self._verdict(package, case, played)
        _print_row(verdict, package, case.name, case.expected, played.outcome, "; ".join(played.answers))

    def _verdict(self, package: str, case: Case, played: Played) -> str:
        deviation = deviation_of(package, case.name)
        expected = deviation.outcome if deviation else case.expected
        if played.outcome != expected:
            self._failed += 1
            return "FAILED"
        if deviation:
            self._deviations.append(deviation)
            return "deviates"
        return "ok"

    def finish(self) -> int:
        """Print the deviations and the summary. Return the exit code."""
        if self._deviations:
            print("\nWhere a server deviates, and why:")
        for deviation in self._deviations:
            print(f"- {deviation.package}, {deviation.case}: {deviation.why}")
        seconds = time.monotonic() - self._started_at
        known = len(self._deviations)
        print(f"\n{self._played} cases, {known} known deviations of a server, {self._failed} failed, {seconds:.0f} s")
        return 1 if self._failed else 0


def _print_row(*cells: str) -> None:
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)]
    print("".join(padded).rstrip(), flush=True)
