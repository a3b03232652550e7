"""What was asked of Secrets Manager, what it answered, and what that means for the function."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What an answer means for the function."""

    AS_EXPECTED = "as expected"
    COPES = "different, and the function gets on"
    BREAKS = "DIFFERENT: the function needs it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row of the table."""

    question: str
    expected: str
    answer: str
    verdict: Verdict


def judged(question: str, *, expected: str, answer: str, copes: bool = False) -> Answer:
    """Judge an answer. `copes`: if it is not the expected one, the function works all the same."""
    verdict = Verdict.BREAKS
    if answer == expected:
        verdict = Verdict.AS_EXPECTED
    elif copes:
        verdict = Verdict.COPES
    return Answer(question=question, expected=expected, answer=answer, verdict=verdict)


def yes_or_no(fact: bool) -> str:
    return "yes" if fact else "no"
