"""All servers on fixed ports until Ctrl-C, and the `export` lines that point a shell at them."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from typing import TYPE_CHECKING

from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from local.emulators.lambda_runtime import Run
    from local.emulators.world import Accounts, Ports

VENDOR_PORT = 8701
SECRETS_PORT = 8702
FUNCTIONS_PORT = 8703
PREFIX = "tango/"


def serve(ports: Ports, accounts: Accounts, connections: int) -> int:
    """Serve one connection, or many if `connections` is not 0: so many stores are there at first.

    Returns the exit code. If a port is taken, one line says so, and how to choose another.
    """
    stopped = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stopped.set())
    prefix = PREFIX if connections else ""
    try:
        with World(Clock(), accounts=accounts, prefix=prefix, ports=ports) as world:
            for number in range(1, connections + 1):
                world.add_store(f"stores/{number:03}")
            world.functions.listeners.append(_tell)
            world.functions.start_queue()
            _print_exports(world)
            print("# All servers are up; Ctrl-C stops them.", file=sys.stderr, flush=True)
            stopped.wait()
    except OSError as error:
        print(
            f"cannot use one of the ports {_listed(ports)} of 127.0.0.1: {error}. Choose others: "
            ".venv/bin/python -m local serve --vendor-port PORT --secrets-port PORT --functions-port PORT",
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


def _tell(ended: Run) -> None:
    """Say what a run that was invoked through Lambda's interface came to."""
    about = ["# Lambda:"]
    if isinstance(ended.event, dict) and "connection" in ended.event:
        about.append(ascii(ended.event["connection"]))
    if ended.error:
        about.append(type(ended.error).__name__)
    else:
        about.append(ended.result["outcome"])
    print(*about, file=sys.stderr, flush=True)


def _listed(ports: Ports) -> str:
    return ", ".join(str(port) for port in ports)
