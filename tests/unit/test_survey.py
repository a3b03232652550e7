"""What a survey tells of connections that can't be kept."""

import pytest

from handler.connections import WarmProcess
from handler.errors import StoreError
from handler.survey import Problem, Survey, names_of

from .builders import make_settings


@pytest.mark.parametrize(
    ("text", "told"),
    [("x" * 500, "x" * 500), ("x" * 501, "x" * 500 + " ...")],
    ids=["500 characters", "501"],
)
def test_long_text_of_a_problem_is_cut(text: str, told: str) -> None:
    """A result tells of many connections, and Lambda's answer has an end."""
    process = WarmProcess(settings=make_settings(connections_prefix="tango/"), client=None)
    survey = Survey(process, remaining=lambda: 60.0)
    survey.add_problem("stores/017", StoreError(text))
    assert survey.problems == [Problem("stores/017", "StoreError", told)]


@pytest.mark.parametrize(
    ("names", "told"),
    [("a", "a"), ("abc", "a, b, c"), ("abcd", "a, b, c and 1 more"), ("abcdef", "a, b, c and 3 more")],
)
def test_three_names_are_told_and_how_many_more_there_are(names: str, told: str) -> None:
    """A text about many connections stays short."""
    assert names_of([*names]) == told
