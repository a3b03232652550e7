"""One cold start of a package, timed from outside: in a bare process, or in Lambda's runtime behind the RIE."""

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
    from bench.artifacts import Artifact
    from local.emulators.world import World

INVOKE = "/2015-03-31/functions/function/invocations"
PATIENCE = 60.0  # seconds within which anything here is long over
POLL_SECONDS = 0.001
WARM_RUNS = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one process, in milliseconds and kilobytes: from its start to its first answer, and the answers after that.

    `imports` and `first` are milliseconds of CPU, of bare processes alone, as is what it wrote, in bytes.
    """

    cold: float
    peak: int
    outcome: str
    warm: list[float] = field(default_factory=list)
    imports: float = 0.0
    first: float = 0.0
    log_bytes: int = 0


def environment(artifact: Artifact, world: World, more: str = "", **overrides: str) -> dict[str, str]:
    """Return all that the process sees: no bytecode is written, as in Lambda, whose code folder nobody can write to."""
    path = f"{artifact.folder}:{more}" if more else str(artifact.folder)
    ours = {"PATH": os.defpath, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return ours | world.environment(**overrides)


def bare(python: str, artifact: Artifact, world: World, **overrides: str) -> Sample:
    """Run one event in a process of its own; the end of the process does not count, since Lambda freezes it."""
    module, _, function = artifact.handler.rpartition(".")
    # -S hides whatever that Python has installed: all comes from the package.
    command = [python, "-S", "-P", str(HERE / "drive.py"), module, function]
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment(artifact, world, **overrides), stdout=log, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr  # noqa: S101 - it is a pipe
        line = process.stderr.readline()
        cold = time.perf_counter() - began
        rest = process.communicate(timeout=PATIENCE)[1]
        if process.returncode:
            raise RuntimeError(f"{artifact.name} failed: {line}{rest}")
        log_bytes = log.seek(0, os.SEEK_END)
    told = json.loads(line)
    cpu = 1_000 * told["imports"], 1_000 * told["runs"][0]
    return Sample(1_000 * cold, told["peak"], told["outcomes"][0], [], *cpu, log_bytes)


def trust(python: str, artifact: Artifact) -> tuple[float, float]:
    """Return seconds of CPU for one library's trusted certificates, and megabytes for both libraries'."""
    ours = {"PATH": os.defpath, "PYTHONPATH": f"{artifact.folder}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-S", "-P", str(HERE / "trust.py")]
    told = json.loads(subprocess.run(command, env=ours, check=True, capture_output=True).stdout)
    return told["seconds"], told["kilobytes"] / 1_024


def emulated(
    python: str, tools: tuple[Path, Path], artifact: Artifact, world: World, warm_runs: int = WARM_RUNS
) -> Sample:
    """Invoke it through the RIE, which starts the runtime at the first event; that one is the cold start."""
    rie, client = tools
    api, address = free_addresses()
    addresses = ["--runtime-api-address", api, "--runtime-interface-emulator-address", address]
    command = [str(rie), *addresses, python, "-S", "-m", "awslambdaric", artifact.handler]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment(artifact, world, str(client)), stdout=log, stderr=subprocess.STDOUT
        )
        runtimes: list[int] = []
        try:
            with closing(connect(address)) as connection:
                cold, outcome = invoke(connection)
                runtimes = children(process.pid)
                peak = peak_kilobytes(runtimes[0])
                warm = [invoke(connection)[0] for _ in range(warm_runs)]
        finally:
            process.terminate()
            process.wait(PATIENCE)
            for pid in runtimes:  # the RIE has ended them; had it crashed, they would be left
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    return Sample(cold, peak, outcome, warm)


def invoke(connection: http.client.HTTPConnection) -> tuple[float, str]:
    """Return milliseconds, and what the function says of itself."""
    began = time.perf_counter()
    connection.request("POST", INVOKE, b'{"action": "refresh"}')
    answer = json.loads(connection.getresponse().read())
    return 1_000 * (time.perf_counter() - began), str(answer.get("outcome", answer))


def connect(address: str) -> http.client.HTTPConnection:
    host, port = address.split(":")
    ends = time.monotonic() + PATIENCE
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    while True:
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > ends:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return connection


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a process that ends meanwhile is none of ours
            # "id (name) state parent …", and a name may hold anything.
            found += [int(stat.parent.name)] if int(stat.read_text().rpartition(")")[2].split()[1]) == parent else []
    return found


def peak_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def free_addresses() -> tuple[str, str]:
    """Return two addresses on loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return f"127.0.0.1:{one.getsockname()[1]}", f"127.0.0.1:{other.getsockname()[1]}"
