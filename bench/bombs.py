"""Memory and threads of a run whose vendor sends a bomb: `python -m bench.bombs` prints a table.

Each row is a new process that runs one refresh. The exit code is 1 if a bomb takes more memory than allowed above an
ordinary refresh, or if anything of a run goes on one second after it. The bombs stop by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, repeat
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

from bench.drive import peak_kilobytes
from scripts import ROOT

if TYPE_CHECKING:
    from local.emulators.raw_server import Answer
    from local.emulators.world import World

MAX_EXTRA_MEGABYTES = 40.0
ACQUIRE_TIMEOUT_SECONDS = 3
SETTINGS = {
    "ACQUIRE_TIMEOUT_SECONDS": str(ACQUIRE_TIMEOUT_SECONDS),
    "WRITE_RESERVE_SECONDS": "5",
}
SECONDS_UNTIL_THREADS_MUST_HAVE_ENDED = 1.0
POLL_SECONDS = 0.01
# A bomb goes on for longer than a run and the second after it.
MAX_BOMB_SECONDS = ACQUIRE_TIMEOUT_SECONDS + 5.0
MAX_PROCESS_SECONDS = 60.0

MEGABYTE = 1_048_576
# What a bomb unpacks to at once. It is enough to be seen, and every machine has it.
DECODED_MEGABYTES = 256
PIECE_BYTES = 65_536
ZEROS = bytes(PIECE_BYTES)

REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n"
SUCCESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
TWICE_GZIP = b"Content-Encoding: gzip, gzip\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END_OF_HEAD = b"\r\n"
GZIP_WINDOW_BITS = 31  # zlib's number for a gzip header and the largest window


class Measured(NamedTuple):
    """What one run took. `outcome` is the result's, or the name of the error."""

    outcome: str
    kilobytes: int
    threads: int
    seconds: float


# The bombs


@cache
def compressed_zeros() -> bytes:
    """Return the start of a gzip body that unpacks to DECODED_MEGABYTES, and has no end."""
    return b"".join(_gzip(repeat(bytes(MEGABYTE), DECODED_MEGABYTES), is_complete=False))


@cache
def twice_compressed_zeros() -> bytes:
    """Return a gzip body of about a kilobyte that unpacks to a gzip body, which unpacks to DECODED_MEGABYTES."""
    once = b"".join(_gzip(repeat(bytes(MEGABYTE), DECODED_MEGABYTES), is_complete=True))
    return b"".join(_gzip([once], is_complete=True))


def _gzip(pieces: Iterable[bytes], *, is_complete: bool) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=GZIP_WINDOW_BITS)
    for piece in pieces:
        yield packer.compress(piece)
    if is_complete:
        yield packer.flush()
    else:
        yield packer.flush(zlib.Z_FULL_FLUSH)


def whole(head: bytes, body: bytes) -> Answer:
    """Return an answer with this body and its length."""
    length = f"Content-Length: {len(body)}\r\n".encode()
    return lambda _: [head + length + END_OF_HEAD + body]


def endless(start: bytes, piece: bytes) -> Answer:
    """Return an answer without an end."""
    return lambda _: chain([start], repeat(piece))


def endless_gzip(head: bytes) -> Answer:
    """Return an answer whose gzip body goes on for ever, slowly after the first DECODED_MEGABYTES."""

    def answer(_: bytes) -> Iterator[bytes]:
        yield head + GZIP + END_OF_HEAD + compressed_zeros()
        while True:
            time.sleep(0.1)
            yield b"\0\0\0\xff\xff"  # an empty block, as in a flush

    return answer


def bombs() -> dict[str, Answer]:
    """Return the answers by their names."""
    return {
        "redirect, gzip in gzip": whole(REDIRECT + TWICE_GZIP, twice_compressed_zeros()),
        "redirect, endless gzip body": endless_gzip(REDIRECT),
        "redirect, endless body": endless(REDIRECT + END_OF_HEAD, ZEROS),
        "redirect, endless chunk size": endless(REDIRECT + CHUNKED + END_OF_HEAD, b"1" * PIECE_BYTES),
        "gzip": whole(SUCCESS + GZIP, compressed_zeros()),
        "gzip in gzip": whole(SUCCESS + TWICE_GZIP, twice_compressed_zeros()),
        "endless body": endless(SUCCESS + END_OF_HEAD, ZEROS),
        "endless gzip body": endless_gzip(SUCCESS),
        "endless chunk size": endless(SUCCESS + CHUNKED + END_OF_HEAD, b"1" * PIECE_BYTES),
        "endless trailers": endless(SUCCESS + CHUNKED + END_OF_HEAD + b"0\r\n", b"A: b\r\n" * 10_000),
        "endless status line": endless(b"HTTP/1.1 200 ", b"K" * PIECE_BYTES),
        "endless header line": endless(SUCCESS + b"A: ", b"b" * PIECE_BYTES),
        "endless header lines": endless(SUCCESS, b"A: b\r\n" * 10_000),
        "endless 100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000),
    }


PROBED_BOMBS = ("redirect, gzip in gzip", "redirect, endless gzip body", "endless 100 Continue")


# A run in a process of its own


def measure_ordinary() -> Measured:
    """Measure a refresh whose vendor answers as usual."""
    from local.emulators.clock import Clock
    from local.emulators.world import World

    with World(Clock(), standby=False) as world:
        return measure(world)


def measure_bomb(answer: Answer, variable: str = "TOKEN_URL") -> Measured:
    """Measure a refresh whose token endpoint (with another `variable`: whose probed API) sends the bomb."""
    from local.emulators.clock import Clock
    from local.emulators.raw_server import RawServer
    from local.emulators.world import World

    with World(Clock(), standby=False) as world, RawServer(answer, max_seconds=MAX_BOMB_SECONDS) as server:
        if variable != "TOKEN_URL":
            world.invoke()  # only a token that is there is probed
        return measure(world, **{variable: server.url})


def measure(world: World, **settings: str) -> Measured:
    """Run one refresh in a new process, and wait for its end."""
    variables = {
        "PATH": os.defpath,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "127.0.0.1",
        **world.environment(**SETTINGS, **settings),
    }
    command = [sys.executable, "-m", "bench.bombs", "--run"]
    done = subprocess.run(
        command,
        check=True,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=MAX_PROCESS_SECONDS,
    )
    last_line = done.stderr.splitlines()[-1]
    return Measured(**json.loads(last_line))


def run() -> None:
    """Run one refresh in this process, wait for its threads, and write what was measured to standard error."""
    from handler.app import lambda_handler

    context = SimpleNamespace(
        function_name="bench",
        memory_limit_in_mb="bench",
        invoked_function_arn="bench",
        aws_request_id="bench",
        get_remaining_time_in_millis=lambda: 420_000,
    )
    threads_before = threading.active_count()
    started_at = time.perf_counter()
    try:
        outcome = lambda_handler({"action": "refresh"}, context)["outcome"]
    except Exception as error:  # noqa: BLE001 - how the run ends is what is measured
        outcome = type(error).__name__
    seconds = time.perf_counter() - started_at
    ends_at = time.monotonic() + SECONDS_UNTIL_THREADS_MUST_HAVE_ENDED
    while threading.active_count() > threads_before and time.monotonic() < ends_at:
        time.sleep(POLL_SECONDS)
    measured = Measured(
        outcome=outcome,
        kilobytes=peak_kilobytes(),
        threads=threading.active_count() - threads_before,
        seconds=seconds,
    )
    sys.stdout.flush()
    sys.stderr.write(json.dumps(measured._asdict()) + "\n")
    sys.stderr.flush()
    os._exit(0)  # a thread that is busy with a bomb must not hold up the end


# The table


def extra_megabytes(measured: Measured, ordinary: Measured) -> float:
    return (measured.kilobytes - ordinary.kilobytes) / 1_024


def is_within_limits(measured: Measured, ordinary: Measured) -> bool:
    """Say whether the memory is at most what is allowed, and nothing of the run goes on."""
    is_small = extra_megabytes(measured, ordinary) <= MAX_EXTRA_MEGABYTES
    return is_small and measured.threads <= 0


def row(name: str, measured: Measured, ordinary: Measured) -> str:
    verdict = "no"
    if is_within_limits(measured, ordinary):
        verdict = "yes"
    cells = (
        name,
        measured.outcome,
        f"{measured.seconds:.1f}",
        f"{measured.kilobytes / 1_024:.0f}",
        f"{extra_megabytes(measured, ordinary):+.0f}",
        str(measured.threads),
        verdict,
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table. Returns the exit code."""
    print("| answer | outcome | seconds | peak, MB | above ordinary, MB | threads 1 s later | within limits |")
    print("| --- | --- | ---: | ---: | ---: | ---: | --- |")
    ordinary = measure_ordinary()
    all_measured = [ordinary]
    print(row("ordinary refresh", ordinary, ordinary), flush=True)
    for name, answer in bombs().items():
        measured = measure_bomb(answer)
        all_measured.append(measured)
        print(row(name, measured, ordinary), flush=True)
    for name in PROBED_BOMBS:
        measured = measure_bomb(bombs()[name], "PROBE_URL")
        all_measured.append(measured)
        print(row(f"probe: {name}", measured, ordinary), flush=True)
    print(f"\nAllowed: {MAX_EXTRA_MEGABYTES:.0f} MB above an ordinary refresh, and no thread.")
    are_all_within = all(is_within_limits(measured, ordinary) for measured in all_measured)
    return 0 if are_all_within else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.bombs", description=__doc__)
    parser.add_argument("--run", action="store_true", help="run one refresh in this process, for the table")
    if parser.parse_args().run:
        run()
    sys.exit(main())
