"""Where a foreign server itself does not do what RFC 6749 says. docs/LOCAL.md says what to do then."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deviation:
    """`outcome` is what comes in place of the case's expected outcome."""

    package: str
    case: str
    outcome: str
    why: str


DEVIATIONS: tuple[Deviation, ...] = ()


def deviation_of(package: str, case: str) -> Deviation | None:
    for deviation in DEVIATIONS:
        if (deviation.package, deviation.case) == (package, case):
            return deviation
    return None
