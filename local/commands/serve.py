"""Both servers on fixed ports until Ctrl-C, and the `export` lines that point a shell at them."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING

from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from local.emulators.world import Accounts

VENDOR_PORT = 8701
SECRETS_PORT = 8702


def serve(vendor_port: int, secrets_port: int, accounts: Accounts) -> int:
    """Return the exit code. If a port is taken, one line says so, and how to choose another."""
    stopped = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stopped.set())
    try:
        with World(Clock(), accounts=accounts, ports=(vendor_port, secrets_port)) as world:
            _print_exports(world)
            print("# Both servers are up; Ctrl-C stops them.", file=sys.stderr, flush=True)
            stopped.wait()
    except OSError as error:
        print(
            f"cannot use port {vendor_port} or {secrets_port} of 127.0.0.1: {error}. Choose others: "
            ".venv/bin/python -m local serve --vendor-port PORT --secrets-port PORT",
            file=sys.stderr,
        )
        return 1
    print("# Stopped.", file=sys.stderr)
    return 0


def _print_exports(world: World) -> None:
    variables = world.environment() | {
        "API_URL": world.vendor.api_url,
        "TANGO_EMULATOR": world.vendor.url,
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
