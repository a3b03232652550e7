"""What a line of the log holds of a result: Lambda cuts a line that is too long."""

import json

import pytest

from handler.telemetry import RunTelemetry
from local.emulators.lambda_runtime import captured


@pytest.mark.parametrize(("number", "logged"), [(0, 0), (100, 100), (101, 100)])
def test_log_has_a_hundred_problems_at_most(number: int, logged: int) -> None:
    """All else of the result is there, and the result itself stays as it is."""
    problems = [{"name": f"stores/{index}"} for index in range(number)]
    result = {"outcome": "swept", "problems": problems, "due": 3}
    with captured() as log:
        RunTelemetry().answered(result, {"action": "status"})
    line = json.loads(log.getvalue())
    assert line["message"] == "swept"
    assert line["asked"] == {"action": "status"}
    assert line["result"] == {"outcome": "swept", "problems": problems[:logged], "due": 3}
    assert len(problems) == number
