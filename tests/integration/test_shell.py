"""The same function in processes of its own: `python -m handler` from a shell, and the deployed handler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from local.emulators.clock import Clock
from local.emulators.world import World
from tests.conftest import secrets_in
from tests.integration.helpers import REFUSED
from tests.integration.shells import ROOT, aws_variables, in_a_process, in_this_process, machine, shell

if TYPE_CHECKING:
    from pathlib import Path


def test_shell_prints_the_result(live_world: World) -> None:
    """`python -m handler`, with or without an event's file, prints the result as JSON and exits with 0."""
    output = ""
    for run, arguments, outcome in (
        (in_this_process, ["events/dry-run.json"], "due"),
        (in_a_process, [], "refreshed"),
        (in_this_process, ["events/status.json"], "kept"),
    ):
        done = run(arguments, machine(**live_world.environment()))
        assert done.returncode == 0
        assert done.stderr == ""
        assert json.loads(done.stdout)["outcome"] == outcome
        output += done.stdout
    assert live_world.consume() == 200
    assert not secrets_in(output, live_world)


def test_shell_says_what_failed_in_one_line(live_world: World) -> None:
    """An error of the README's table is one line on standard error, without a traceback or a secret."""
    live_world.vendor.script(REFUSED)
    done = in_a_process(["events/refresh.json"], machine(**live_world.environment()))
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("CredentialsRefused: ")
    assert "401" in line
    assert not secrets_in(line, live_world)


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "event.json"), ('{"action": "stop"}', "action"), ("null", "object"), ("{", "event.json is not JSON")],
    ids=["missing", "unknown", "null", "no JSON"],
)
def test_shell_refuses_an_unfit_event_file_in_one_line(tmp_path: Path, content: str | None, word: str) -> None:
    """A file that is missing, is not JSON or is not an event gives one line and exit code 1."""
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)
    done = in_this_process([str(path)], machine())
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert word in line


def test_shell_explains_itself() -> None:
    """`--help` prints the usage and exits with 0, without any settings."""
    done = in_a_process(["--help"], machine())
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("usage: python -m handler ")
    assert "status | refresh | force | dry-run | FILE" in done.stdout


def test_shell_prints_a_status_for_people(live_world: World) -> None:
    """A word in place of a file prints what a person reads: sentences first, then facts, and no JSON."""
    env = machine(**live_world.environment())
    refreshed = in_this_process(["refresh"], env)
    assert refreshed.stdout.startswith("The token of client-blue ends at ")
    assert "outcome             refreshed (missing)" in refreshed.stdout
    status = in_a_process(["status"], env)
    assert status.returncode == 0
    for line in ("token of            client-blue", "standby             none", "outcome             kept (fresh)"):
        assert line in status.stdout
    assert "\033" not in status.stdout  # colour is for a terminal
    dry = in_this_process(["dry-run", "--json"], env)
    assert json.loads(dry.stdout)["dry_run"] is True
    assert not secrets_in(refreshed.stdout + status.stdout + dry.stdout, live_world)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["status", "--reason", "x"], "action status goes with no other key"),
        (["status", "--connection", "a"], "this deployment keeps a single one"),
        (["refresh", "--override-limit"], "override_limit goes with force"),
        (["statsu"], "the commands are status, refresh, force, dry-run"),
    ],
)
def test_shell_refuses_what_does_not_go_together(live_world: World, arguments: list[str], error: str) -> None:
    """The same rules hold as for an event, and a mistyped word is told with the words that there are."""
    done = in_this_process(arguments, machine(**live_world.environment()))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert error in line


def test_shell_asks_the_deployed_function() -> None:
    """With --function nothing runs here: the function's own answer is shown, and its error as ours."""
    with World(Clock(), prefix="tango/") as world:
        world.add_store("stores/001")
        world.functions.start_queue()
        env = aws_variables(world.functions.url)
        ask = ["--function", "token-refresh"]
        refreshed = in_a_process([*ask, "refresh", "--connection", "stores/001"], env)
        assert "connection          stores/001" in refreshed.stdout
        table = in_this_process([*ask, "status"], env)
        assert table.stdout.startswith("Connections: 1, of which 0 are due for a refresh.")
        assert "stores/001" in table.stdout
        unknown = in_this_process([*ask, "refresh", "--connection", "nobody"], env)
        assert unknown.returncode == 1
        assert unknown.stderr.startswith("CredentialsError: ")
        assert not secrets_in(refreshed.stdout + table.stdout, world)


def test_shell_does_not_mind_a_reader_that_is_gone(live_world: World) -> None:
    """If the reader of a pipe stops early, as `head` does, there is no traceback, and the refresh is done."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "handler", "events/refresh.json"]
    env = machine(**live_world.environment())
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 0
    assert done.stderr == ""
    assert live_world.consume() == 200


def test_bad_environment_is_one_message_that_names_each_variable() -> None:
    """One message names all variables that are wrong, without their values."""
    bad = {
        "TOKEN_URL": "http://user:canary@vendor.example/oauth/token?x=canary",
        "CLIENT_AUTH": "canary",
        "PROBE_URL": "ftp://canary.example",
        "LIMIT_INTERVAL_SECONDS": "-canary",
        "REFRESH_WINDOW_SECONDS": "4h",
        "ACQUIRE_TIMEOUT_SECONDS": "800",
        "WRITE_RESERVE_SECONDS": "60",
    }
    done = in_this_process(["events/refresh.json"], machine(**bad))
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("ConfigurationError: ")
    assert [name for name in (*bad, "CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID") if name not in line] == []
    assert "canary" not in line


LAMBDA = """
import json
from types import SimpleNamespace
from handler.app import lambda_handler
context = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 420_000,
)
for _ in range(2):
    try:
        print(json.dumps(lambda_handler({}, context)))
    except Exception as error:
        print(json.dumps({"error": type(error).__name__}))
"""


@pytest.mark.parametrize(("is_fit", "printed"), [(True, "1\n"), (False, "0\n")])
def test_client_is_made_while_the_process_starts(live_world: World, is_fit: bool, printed: str) -> None:
    """Lambda gives a whole processor only during the start. Unfit settings do not fail the start, but the run."""
    code = "from handler.app import this_process; print(this_process.cache_info().currsize)"
    variables = live_world.environment() if is_fit else {}
    done = shell(["-c", code], machine(**variables))
    assert done.returncode == 0
    assert done.stdout == printed
    assert done.stderr == ""


def test_deployed_handler_keeps_its_process_and_its_service_name(live_world: World) -> None:
    """`handler.app.lambda_handler` reads the environment once, and uses Powertools' variable for the service name."""
    env = machine(**live_world.environment(), POWERTOOLS_SERVICE_NAME="another-service")
    done = shell(["-c", LAMBDA], env)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["outcome"] for line in lines if "outcome" in line] == ["refreshed", "kept"]
    assert {line["service"] for line in lines if "_aws" in line} == {"another-service"}
    assert done.returncode == 0
    assert done.stderr == ""
    assert not secrets_in(done.stdout, live_world)


def test_bad_environment_is_told_again_at_the_next_call_of_a_warm_process(live_world: World) -> None:
    """A failed configuration is not cached: each call fails with the error and its metric."""
    done = shell(["-c", LAMBDA], machine(**live_world.environment(TOKEN_URL="")))
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["error"] for line in lines if "error" in line and "level" not in line] == ["ConfigurationError"] * 2
    counted = [line for line in lines if "_aws" in line]
    assert [line["TokenSecondsRemaining"] for line in counted] == [[0.0], [0.0]]
    assert [line["Failed"] for line in counted] == [[1.0], [1.0]]
