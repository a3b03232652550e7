"""What a survey tells of connections that can't be kept."""

import pytest

from handler.connections import WarmProcess
from handler.errors import StoreError
from handler.survey import Problem, Survey

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
