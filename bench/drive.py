"""Run a function cold in a bare process: `python -S -P drive.py MODULE FUNCTION EVENTS`, one run for each event.

EVENTS is a list in JSON. It writes one line of JSON to standard error: seconds of CPU for the imports and for each run,
seconds of each run, and the peak of memory in kilobytes. Then it ends at once, because Lambda would freeze the process:
what Python does at its end is not part of a cold start.
"""

import importlib
import json
import os
import sys
import time
from types import SimpleNamespace


def peak_kilobytes() -> int:
    """Return the peak of this process alone. getrusage would include the parent's memory at the fork."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - the function itself does not import pathlib
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main(module: str, function: str, events: str) -> None:
    started_at = time.process_time()
    handler = getattr(importlib.import_module(module), function)
    imports = time.process_time() - started_at
    context = SimpleNamespace(
        memory_limit_in_mb="bench",
        function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        invoked_function_arn="bench",
        aws_request_id="bench",
        get_remaining_time_in_millis=lambda: 420_000,
    )
    outcomes = []
    runs = []
    seconds = []
    for event in json.loads(events):
        began_at = time.perf_counter()
        started_at = time.process_time()
        result = handler(event, context)
        runs.append(time.process_time() - started_at)
        seconds.append(time.perf_counter() - began_at)
        outcomes.append(result["outcome"])
    sys.stdout.flush()
    measured = {
        "outcomes": outcomes,
        "imports": imports,
        "runs": runs,
        "seconds": seconds,
        "peak": peak_kilobytes(),
    }
    sys.stderr.write(json.dumps(measured) + "\n")
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
