"""Measure one cold start of a package from outside: in a bare process, or in Lambda's runtime behind the RIE.

The targets compare the CPU time of the whole process, its own and the kernel's for it. Other processes on the machine
change it far less than they change the time on the clock.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.artifacts import HERE
from scripts import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.artifacts import Artifact
    from local.emulators.world import World

REFRESH = {"action": "refresh"}
INVOKE = "/2015-03-31/functions/function/invocations"
MAX_SECONDS = 60.0  # everything here takes much less
POLL_SECONDS = 0.001
WARM_RUNS = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process took. Times are in milliseconds."""

    cpu: float  # of the process, from its start to its first answer; to its last one, if it has many events
    wall: float  # on the clock, from its start to its first answer; to its last one, if it has many events
    peak: int  # of memory, in kilobytes
    outcome: str
    # Only behind the RIE:
    warm: float = 0.0  # CPU of a further run, on average
    # Only of bare processes:
    imports: float = 0.0  # CPU
    runs: list[float] = field(default_factory=list)  # CPU of each run
    first_answer: float = 0.0  # from the first event to its answer, without the imports
    log_bytes: int = 0  # of all runs


def environment(artifact: Artifact, world: World, *folders: str, **overrides: str) -> dict[str, str]:
    """Return all variables of the process. As in Lambda, whose code folder is read-only, it writes no bytecode."""
    in_order = [artifact.folder, *artifact.provided]
    return python_environment(*map(str, in_order), *folders) | world.environment(**overrides)


def python_environment(*folders: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "PYTHONPATH": ":".join(folders),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def bare(
    python: str,
    artifact: Artifact,
    world: World,
    events: Sequence[dict[str, str]] = (REFRESH,),
    /,
    **overrides: str,
) -> Sample:
    """Run the events in a new process. Raises RuntimeError if it fails."""
    module, _, function = artifact.handler.rpartition(".")
    # -S hides what this Python has installed: all libraries must come from the package.
    command = [python, "-S", "-P", str(HERE / "drive.py"), module, function, json.dumps(events)]
    variables = environment(artifact, world, **overrides)
    with tempfile.TemporaryFile() as log:
        started_at = time.perf_counter()
        with subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr  # noqa: S101 - it is a pipe
            line = process.stderr.readline()
            wall = time.perf_counter() - started_at
            rest = process.stderr.read()
            cpu = cpu_seconds_at_the_end(process)
        if process.returncode:
            raise RuntimeError(f"{artifact.name} failed: {line}{rest}")
        log_bytes = log.seek(0, os.SEEK_END)
    measured = json.loads(line)
    return Sample(
        cpu=1_000 * cpu,
        wall=1_000 * wall,
        peak=measured["peak"],
        outcome=measured["outcomes"][0],
        imports=1_000 * measured["imports"],
        runs=[1_000 * seconds for seconds in measured["runs"]],
        first_answer=1_000 * measured["seconds"][0],
        log_bytes=log_bytes,
    )


def cpu_seconds_at_the_end(process: subprocess.Popen[str]) -> float:
    """Wait for the process, and return the CPU time that it has taken, with that of the kernel."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def trust(python: str, artifact: Artifact) -> tuple[float, float]:
    """Return seconds of CPU to read one library's trusted certificates, and the megabytes of both libraries'."""
    command = [python, "-S", "-P", str(HERE / "trust.py")]
    variables = python_environment(str(artifact.folder), str(ROOT))
    done = subprocess.run(command, env=variables, check=True, capture_output=True)
    measured = json.loads(done.stdout)
    return measured["seconds"], measured["kilobytes"] / 1_024


def emulated(
    python: str, tools: tuple[Path, Path], artifact: Artifact, world: World, warm_runs: int = WARM_RUNS
) -> Sample:
    """Invoke the function through the RIE, which starts the runtime at the first event: that one is the cold start."""
    rie, client = tools
    api, address = free_addresses()
    addresses = ["--runtime-api-address", api, "--runtime-interface-emulator-address", address]
    command = [str(rie), *addresses, python, "-S", "-m", "awslambdaric", artifact.handler]
    variables = environment(artifact, world, str(client))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)
        runtimes: list[int] = []
        try:
            with closing(connect(address)) as connection:
                wall, outcome = invoke(connection)
                runtimes = children(process.pid)
                runtime = runtimes[0]
                cold = cpu_seconds_until_now(runtime)
                peak = peak_kilobytes(runtime)
                for _ in range(warm_runs):
                    invoke(connection)
                warm = cpu_seconds_until_now(runtime) - cold
        finally:
            process.terminate()
            process.wait(MAX_SECONDS)
            # The RIE has ended them, unless it crashed.
            for pid in runtimes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    return Sample(
        cpu=1_000 * cold,
        wall=wall,
        peak=peak,
        outcome=outcome,
        warm=1_000 * warm / warm_runs,
    )


def cpu_seconds_until_now(pid: int) -> float:
    """Return the CPU time that a running process has taken, with that of the kernel. Only Linux tells."""
    # How Linux's clock_getcpuclockid names the clock of another process. /proc/PID/stat counts in steps of 10 ms.
    clock = (~pid << 3) | 2
    return time.clock_gettime(clock)


def invoke(connection: http.client.HTTPConnection) -> tuple[float, str]:
    """Return the milliseconds until the answer, and the outcome in it."""
    started_at = time.perf_counter()
    connection.request("POST", INVOKE, json.dumps(REFRESH))
    answer = json.loads(connection.getresponse().read())
    milliseconds = 1_000 * (time.perf_counter() - started_at)
    return milliseconds, str(answer.get("outcome", answer))


def connect(address: str) -> http.client.HTTPConnection:
    host, port = address.split(":")
    ends_at = time.monotonic() + MAX_SECONDS
    connection = http.client.HTTPConnection(host, int(port), timeout=MAX_SECONDS)
    while True:
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return connection


def children(parent: int) -> list[int]:
    """Return the ids of the processes that this one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # A process that ends in the meantime is not a child of ours.
        with suppress(FileNotFoundError, ProcessLookupError):
            # The file has "id (name) state parent …", and a name may contain anything.
            _, _, after_name = stat.read_text().rpartition(")")
            if int(after_name.split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def peak_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def free_addresses() -> tuple[str, str]:
    """Return two addresses on loopback on which no process listens."""
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        first_port = first.getsockname()[1]
        second_port = second.getsockname()[1]
    return f"127.0.0.1:{first_port}", f"127.0.0.1:{second_port}"
