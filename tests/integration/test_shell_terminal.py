"""`python -m handler` at every kind of terminal: narrow, without colours, closed, and with Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handler.report import for_people
from handler.result import empty_result
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.lambda_runtime import FUNCTION_NAME
from local.emulators.lambda_service import LambdaService
from tests.integration.helpers import REFUSED
from tests.integration.shells import (
    ROOT,
    TIMEOUT_SECONDS,
    aws_variables,
    in_a_process,
    in_this_process,
    machine,
    on_terminal,
    shell,
    shell_with,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulators.world import World

PYTHON_M_HANDLER = ["-m", "handler"]
STATUS_OF_THE_FUNCTION = ["status", "--function", FUNCTION_NAME]
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tango-production-credentials-with-a-long-name-AbCdEf"
LONG_NAME = "brands/acme/" + 30 * "north-" + "store-017"
CODES = re.compile(r"\x1b\[[0-9;]*m")
# As Python starts in a terminal. A shell without job control starts what is in the background with SIGINT ignored.
WITH_CTRL_C = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("handler", run_name="__main__", alter_sys=True)
"""
# Ctrl-C in the first line of a constructor. Python 3.13 prints it if the finalizer of what is half made fails.
WITH_CTRL_C_IN_A_CONSTRUCTOR = """
import http.client, runpy
def interrupt(self, *_, **__):
    raise KeyboardInterrupt
http.client.HTTPResponse.__init__ = interrupt
runpy.run_module("handler", run_name="__main__", alter_sys=True)
"""


def result(**changes: Any) -> dict[str, Any]:
    return empty_result("kept") | {"summary": "CONSUMERS HAVE NO TOKEN.", "reason": "fresh"} | changes


def swept(*names: str) -> dict[str, Any]:
    """Return the answer of a sweep, with connections of these names."""
    life = {"seconds_remaining": 43_200, "expires_at": 1_790_000_000}
    worst = [{"name": name, **life, "reason": "in_window", "error": "VendorUnreachable"} for name in names]
    counts = {"connections": len(names), "fresh": 0, "due": 1, "handed_over": 0, "empty": 0}
    return result(problems=[], worst=worst, **counts)


def shown(answer: Any, *, columns: int = 100) -> str:
    """Return what a terminal shows of this answer of the deployed function."""
    with LambdaService(Clock(), lambda *_: answer) as service:
        command = [*PYTHON_M_HANDLER, *STATUS_OF_THE_FUNCTION]
        return on_terminal(command, aws_variables(service.url), columns=columns)


def shown_here(answer: Any, variables: dict[str, str]) -> str:
    """Return the same without a process, with these variables in the environment."""
    with LambdaService(Clock(), lambda *_: answer) as service:
        done = in_this_process(STATUS_OF_THE_FUNCTION, aws_variables(service.url) | variables, is_terminal=True)
    assert done.returncode == 0
    return done.stdout


def printed(answer: Any, *, columns: int) -> str:
    """Return the same without a function that answers."""
    return for_people(answer, in_colour=False, width=columns)


# Ctrl-C


def interrupt(arguments: list[str], env: dict[str, str], is_under_way: Callable[[], bool]) -> tuple[int, str, str]:
    """Press Ctrl-C as soon as the run is under way. Returns the exit code and both outputs."""
    command = [sys.executable, "-c", WITH_CTRL_C, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not is_under_way():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode, output, errors


def test_ctrl_c_here_is_one_line(live_world: World) -> None:
    """While the vendor lets the run wait, Ctrl-C ends it at once, and the line says what may have happened."""
    live_world.vendor.script(Fault.late(TIMEOUT_SECONDS))
    exit_code, output, errors = interrupt(
        ["refresh"],
        machine(**live_world.environment()),
        lambda: bool(live_world.vendor.requests),
    )
    assert exit_code == 130
    assert output == ""
    [line] = errors.splitlines()
    assert line.startswith("Interrupted. ")


def test_ctrl_c_while_the_function_runs_is_one_line() -> None:
    """The deployed function runs on, and the line says so."""
    is_over = threading.Event()
    with LambdaService(Clock(), lambda *_: is_over.wait(TIMEOUT_SECONDS)) as service:
        exit_code, output, errors = interrupt(
            ["refresh", "--function", FUNCTION_NAME],
            aws_variables(service.url),
            lambda: bool(service.invocations),
        )
        is_over.set()
    assert exit_code == 130
    assert output == ""
    [line] = errors.splitlines()
    assert "a deployed function runs on" in line


def test_ctrl_c_that_leaves_an_object_half_made_is_one_line() -> None:
    """Ctrl-C meets the run anywhere, also in a library that was not made for that."""
    with LambdaService(Clock(), lambda *_: {}) as service:
        arguments = ["-c", WITH_CTRL_C_IN_A_CONSTRUCTOR, "refresh", "--function", FUNCTION_NAME]
        done = shell(arguments, aws_variables(service.url))
    assert done.returncode == 130
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("Interrupted. ")


# Streams


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_do_not_stop_a_refresh(live_world: World, redirections: str) -> None:
    """Some schedulers start commands without standard output or standard error."""
    done = shell_with(redirections, [*PYTHON_M_HANDLER, "refresh"], machine(**live_world.environment()))
    assert done.returncode == 0
    assert done.stderr == ""
    assert live_world.consume() == 200
    assert done.stdout.startswith("The token of ") == (not redirections.startswith((">&-", "<&-")))


@pytest.mark.parametrize("redirections", [">&-", "2>&-", "2>/dev/full"])
def test_closed_streams_do_not_hide_a_failure(live_world: World, redirections: str) -> None:
    """The exit code says it, and the error does not go to standard output in place of a result."""
    live_world.vendor.script(REFUSED)
    done = shell_with(redirections, [*PYTHON_M_HANDLER, "refresh"], machine(**live_world.environment()))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == (redirections == ">&-")


def test_full_disk_is_one_line(live_world: World) -> None:
    """The result can't be written, and the exit code says so."""
    done = shell_with(">/dev/full", [*PYTHON_M_HANDLER, "status"], machine(**live_world.environment()))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "No space left on device" in line


def test_terminal_of_another_encoding_shows_what_it_has_no_character_for() -> None:
    """A name that a Latin-1 terminal can't show is no traceback."""
    with LambdaService(Clock(), lambda *_: result(client_id="\u65e5")) as service:
        done = in_a_process(STATUS_OF_THE_FUNCTION, aws_variables(service.url) | {"PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0
    assert "token of            \\u65e5" in done.stdout


# Colours


def test_terminal_shows_in_red_that_consumers_have_no_token() -> None:
    """And nothing else is coloured but problems and warnings."""
    assert CODES.findall(shown(result())) == ["\x1b[31;1m", "\x1b[0m"]
    assert CODES.findall(shown_here(result(warnings=["x"]), {})) == ["\x1b[31;1m", "\x1b[0m", "\x1b[33m", "\x1b[0m"]


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [
        ({"NO_COLOR": "0"}, False),
        ({"NO_COLOR": "", "TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
    ],
    ids=["NO_COLOR=0", "empty NO_COLOR", "dumb"],
)
def test_colours_are_for_those_who_take_them(variables: dict[str, str], is_coloured: bool) -> None:
    """NO_COLOR counts if it is set and not empty (https://no-color.org), and a dumb terminal shows codes as text."""
    assert ("\x1b" in shown_here(result(), variables)) == is_coloured


# Width


def longest_line(text: str) -> int:
    return max(len(line) for line in CODES.sub("", text).splitlines())


@pytest.mark.parametrize(("columns", "widest"), [(50, 50), (240, 100)])
def test_text_is_as_wide_as_the_terminal_and_no_wider_than_people_read(columns: int, widest: int) -> None:
    """Sentences, facts and warnings are wrapped between words."""
    words = " ".join(40 * ["word"])
    answer = result(summary=words, warnings=[words], safe_to_deactivate=words)
    width = longest_line(shown(answer, columns=columns))
    assert widest - len("word ") <= width <= widest


def test_an_arn_stays_whole() -> None:
    """People copy it into their next command, so it is never broken at a hyphen."""
    problem = {"error": "StoreError", "text": f"Secrets Manager, get_secret_value of {ARN}: AccessDeniedException"}
    text = printed(result(summary=f"IT CAN'T BE RENEWED: {ARN} is missing.", problems=[problem]), columns=60)
    assert text.count(ARN) == 2


@pytest.mark.parametrize("columns", [90, 100])
def test_long_name_is_shortened_in_the_table_alone(columns: int) -> None:
    """The table fits the terminal. The name's ends tell which one it is, and the problem has all of it."""
    problem = {"name": LONG_NAME, "error": "CredentialsError", "text": "client_id is missing"}
    answer = swept(LONG_NAME, "stores/017") | {"problems": [problem]}
    text = printed(answer, columns=columns)
    [row] = [line for line in text.splitlines() if "…" in line]
    assert len(row) <= columns
    assert re.match(r"brands/.+….+re-017  ", row)
    assert LONG_NAME in text
    assert "\nstores/017  " in text


def test_names_that_fit_are_not_shortened() -> None:
    """The columns stand below each other, and the table is as wide as it needs to be."""
    lines = printed(swept("stores/017", "stores/1"), columns=100).splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("connection  "))
    assert lines[head : head + 3] == [
        "connection        left  ends                  due because  last error",
        "stores/017  12.0 hours  2026-09-21 14:13 UTC  in_window    VendorUnreachable",
        "stores/1    12.0 hours  2026-09-21 14:13 UTC  in_window    VendorUnreachable",
    ]


# Arguments


@pytest.mark.parametrize(
    ("run", "arguments"),
    [
        (in_a_process, ["--function", ""]),
        (in_this_process, ["--function", " "]),
        (in_this_process, ["status", "--connection", ""]),
        (in_this_process, [""]),
    ],
    ids=["function", "space", "connection", "what"],
)
def test_variable_that_is_not_set_is_refused(live_world: World, run: Callable[..., Any], arguments: list[str]) -> None:
    """`--function "$FUNCTION"` must not run here if the variable is not set, nor `"$EVENT"` refresh."""
    done = run(arguments, machine(**live_world.environment()))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "it is empty: perhaps a variable of your shell is not set" in done.stderr
    assert live_world.vendor.requests == []


def event_file(tmp_path: Path, content: bytes) -> list[str]:
    path = tmp_path / "event.json"
    path.write_bytes(content)
    return [str(path)]


def test_event_file_may_begin_with_a_byte_order_mark(live_world: World, tmp_path: Path) -> None:
    """Editors on Windows write one."""
    content = b"\xef\xbb\xbf" + json.dumps({"action": "status"}).encode()
    done = in_this_process(event_file(tmp_path, content), machine(**live_world.environment()))
    assert done.returncode == 0
    assert json.loads(done.stdout)["outcome"] == "due"


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_event_file_of_another_encoding_is_told_what_is_wrong(tmp_path: Path, encoding: str) -> None:
    """PowerShell 5 writes UTF-16 by `>`, and "is not JSON" would send people to look at their JSON."""
    content = '{"action": "refresh", "reason": "für Ä"}'.encode(encoding)
    done = in_this_process(event_file(tmp_path, content), machine())
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "event.json is not UTF-8 text" in line
    assert line.endswith("save it as UTF-8")
