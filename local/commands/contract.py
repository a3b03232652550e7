"""The servers that consumers/contract.json is played against, for a test in any language.

The first line of the output is JSON with their addresses. They run until SIGTERM or SIGINT, or until the standard
input ends: so nothing is left if the test that started them dies.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from local.emulators.contract_world import ContractWorld


def serve_contract() -> int:
    """Serve until told to stop. Returns the exit code."""
    stopped = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stopped.set())
    waiting = threading.Thread(target=_wait_for_end_of_input, args=(stopped,), daemon=True)
    with ContractWorld() as world:
        print(json.dumps(world.urls), flush=True)
        waiting.start()
        stopped.wait()
    return 0


def _wait_for_end_of_input(stopped: threading.Event) -> None:
    # Not sys.stdin: the interpreter waits for its lock at the end, if this thread still reads then.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stopped.set()
