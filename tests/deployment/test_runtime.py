"""The package that ships, run by AWS's own Lambda Runtime Interface Emulator (RIE) and runtime client, on loopback.

The package is made for arm64 and Python 3.13. It also runs on x86-64 and on any Python from 3.11, because its
compiled modules have replacements in Python. The tools are fetched once, into build/, and not into the venv of the
tests: the RIE is one file in the wheel of aws-sam-cli, whose other requirements conflict with our pinned versions.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bench.processes import INVOKE, children, free_addresses
from bench.tools import RIE_RUNS_ON, SAM_CLI, cached, fetch_rie
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import TOKEN_SECRET, World
from tests.conftest import secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0  # real seconds; everything here ends much earlier
POLL_SECONDS = 0.01
HERE = sys.platform, platform.machine()
LEDGER = "REFRESH_LEDGER"
Json = dict[str, Any]

pytestmark = pytest.mark.skipif(HERE != RIE_RUNS_ON, reason=f"the RIE is fetched for x86-64 Linux, this is {HERE}")


@pytest.fixture(scope="session")
def rie() -> Path:
    return cached(SAM_CLI, fetch_rie)


class Function:
    """The function in its runtime. Lambda's `timeout`, in whole seconds, kills the process when it is over."""

    def __init__(self, world: World, rie: Path, python_path: str, log: Path, timeout: int, **overrides: str) -> None:
        self._world = world
        self._log = log
        api, self._address = free_addresses()
        # -S hides the venv's own packages: all that the function imports comes from the package that ships.
        runtime = [sys.executable, "-S", "-m", "awslambdaric", "handler.app.lambda_handler"]
        # Without both addresses it listens on every interface.
        addresses = ["--runtime-api-address", api, "--runtime-interface-emulator-address", self._address]
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": python_path,
            "PYTHONDONTWRITEBYTECODE": "1",  # nobody can write to the code's folder in Lambda, and others use this one
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout),
            **world.environment(**overrides),
        }
        with log.open("wb") as output:
            command = [str(rie), *addresses, *runtime]
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    def close(self) -> None:
        runtimes = self.runtimes()
        self._process.terminate()
        self._process.wait(PATIENCE)
        for pid in runtimes:  # usually the RIE has ended them already, but not if it crashed
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def invoke(self, event: object) -> Json:
        """Return the result, or the error as Lambda reports it; if Lambda answers with a line of text, that line."""
        self._wait_until_up()
        text = requests.post(f"http://{self._address}{INVOKE}", json=event, timeout=PATIENCE).text
        assert not secrets_in(text + self._log.read_text(), self._world)
        if not text.startswith("{"):
            return {"outcome": text}
        answer: Json = json.loads(text)
        return answer

    def lines(self) -> list[Json]:
        """Return what the function has logged so far, without the RIE's own lines, which are not JSON."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def runtimes(self) -> list[int]:
        """Return the ids of the processes in which the function runs: the RIE's children, at most one."""
        return children(self._process.pid)

    def _wait_until_up(self) -> None:
        host, port = self._address.split(":")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection((host, int(port)), PATIENCE).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, "the RIE does not listen"
                time.sleep(POLL_SECONDS)
            else:
                return


@pytest.fixture
def live_standby_world() -> Iterator[World]:
    """A world with a standby credential; it uses the machine's clock, as the function's process does."""
    with World(Clock()) as made:
        yield made


@pytest.fixture
def start(live_standby_world: World, rie: Path, python_path: str, tmp_path: Path) -> Iterator[Callable[..., Function]]:
    with ExitStack() as stack:

        def start(timeout: int = 420, **overrides: str) -> Function:
            log = tmp_path / f"function-{len(list(tmp_path.iterdir()))}.log"
            function = Function(live_standby_world, rie, python_path, log, timeout, **overrides)
            return stack.enter_context(closing(function))

        yield start


def ledger_document(world: World) -> Json:
    versions = world.secrets.versions(TOKEN_SECRET).values()
    [document] = [version.document for version in versions if LEDGER in version.labels]
    parsed: Json = json.loads(document)
    return parsed


def let_the_lock_lapse(world: World) -> None:
    """Make the lock in the ledger older by its length: the function reads the machine's clock, which can't be moved."""
    document = ledger_document(world)
    lock = document["ledger"]["lock"]
    length = lock["until"] - lock["claimed_at"]
    lock["until"] -= length
    lock["claimed_at"] -= length
    client = world.secrets.client()
    text = json.dumps(document)
    client.put_secret_value(SecretId=TOKEN_SECRET, SecretString=text, VersionStages=[LEDGER])


def test_a_cold_start_refreshes(live_standby_world: World, start: Callable[..., Function]) -> None:
    """The first invocation of a new process acquires the first token, and consumers can use it."""
    function = start()
    result = function.invoke({"action": "refresh"})
    assert result["outcome"] == "refreshed"
    assert result["reason"] == "missing"
    assert live_standby_world.consume() == 200
    logged = [line for line in function.lines() if line.get("message") == "refreshed"]
    assert [line["cold_start"] for line in logged] == [True]
    [metrics] = [line for line in function.lines() if "_aws" in line]
    assert metrics["Refreshed"] == [1.0]
    assert metrics["service"] == "token-refresh"


def test_a_warm_process_keeps_a_fresh_token_at_one_call(
    live_standby_world: World, start: Callable[..., Function]
) -> None:
    """The second invocation runs in the same process, makes one AWS call, and asks the vendor nothing."""
    function = start()
    function.invoke({"action": "refresh"})
    processes = function.runtimes()
    live_standby_world.secrets.calls.clear()
    assert function.invoke({"action": "refresh"})["outcome"] == "kept"
    assert function.runtimes() == processes
    assert live_standby_world.secrets.calls == ["BatchGetSecretValue"]
    assert len(live_standby_world.vendor.requests) == 1


def test_an_error_reaches_lambda_by_its_class_and_the_process_lives_on(
    live_standby_world: World, start: Callable[..., Function]
) -> None:
    """An unknown action is an EventError with one sentence, and the next event runs in the same process."""
    live_standby_world.secrets.calls.clear()
    function = start()
    error = function.invoke({"action": "dance"})
    assert error["errorType"] == "EventError"
    assert error["errorMessage"] == "the event's action must be refresh or status"
    processes = function.runtimes()
    assert live_standby_world.secrets.calls == []
    assert function.invoke({"action": "refresh"})["outcome"] == "refreshed"
    assert function.runtimes() == processes


def test_a_late_answer_is_an_error_of_ours_before_it_is_lambdas(
    live_standby_world: World, start: Callable[..., Function]
) -> None:
    """If the vendor is late, the run fails with its own error and releases its lock before Lambda kills it."""
    live_standby_world.vendor.script(Fault.late(PATIENCE))
    # A claim may take half of this time. Less would be too short on a busy machine: the run would release its claim.
    function = start(ACQUIRE_TIMEOUT_SECONDS="3")
    assert function.invoke({"action": "refresh"})["errorType"] == "OutcomeUnknown"
    ledger = ledger_document(live_standby_world)["ledger"]
    assert ledger["lock"] is None
    assert ledger["slots"][live_standby_world.primary]["suspicions"] == 1


def test_after_a_process_was_killed_while_it_acquired_the_next_ones_recover(
    live_standby_world: World, start: Callable[..., Function]
) -> None:
    """Lambda kills a run that hangs in its acquire. Its lock keeps the next run out; then the standby is asked."""
    function = start(timeout=6, ACQUIRE_TIMEOUT_SECONDS="3", WRITE_RESERVE_SECONDS="1")
    # The start of the process counts as time of its first invocation, so the refresh is the second one.
    assert function.invoke({"action": "status"})["outcome"] == "due"
    [process] = function.runtimes()

    def stop_the_process(moment: str) -> None:
        if moment == "issued":
            os.kill(process, signal.SIGSTOP)

    live_standby_world.vendor.on_request = stop_the_process
    assert function.invoke({"action": "refresh"}) == {"outcome": "Task timed out after 6.00 seconds"}
    live_standby_world.vendor.on_request = None
    assert function.invoke({"action": "refresh"})["errorType"] == "Busy"
    assert process not in function.runtimes()
    assert [request.issued for request in live_standby_world.vendor.requests] == [True]

    let_the_lock_lapse(live_standby_world)
    result = start().invoke({"action": "refresh"})
    assert (result.get("outcome"), result.get("client_id")) == ("refreshed", live_standby_world.standby), result
    primary = live_standby_world.primary
    standby = live_standby_world.standby
    answers = [(request.client_id, request.status) for request in live_standby_world.vendor.requests]
    assert answers == [(primary, 200), (primary, 400), (standby, 200)]
    assert live_standby_world.consume() == 200
