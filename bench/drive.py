"""One cold run of a function in a bare process: `python -S -P drive.py MODULE FUNCTION [NUMBER]`, NUMBER runs in all.

Standard error gets one JSON line: seconds of CPU for the imports and for each run, and the peak memory in kilobytes.
"""

import importlib
import itertools
import json
import sys
import time
from types import SimpleNamespace


def peak_kilobytes() -> int:
    """Return the peak of this process alone: what getrusage tells begins with the parent's."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib would be an import that is not the function's
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main(module: str, function: str, number: str = "1") -> None:
    began = time.process_time()
    handler = getattr(importlib.import_module(module), function)
    marks = [time.process_time()]
    names = ("function_name", "memory_limit_in_mb", "invoked_function_arn", "aws_request_id")
    context = SimpleNamespace(**dict.fromkeys(names, "bench"), get_remaining_time_in_millis=lambda: 420_000)
    outcomes = []
    for _ in range(int(number)):
        outcomes.append(handler({"action": "refresh"}, context)["outcome"])
        marks.append(time.process_time())
    sys.stdout.flush()
    runs = [after - before for before, after in itertools.pairwise(marks)]
    told = {"outcomes": outcomes, "imports": marks[0] - began, "runs": runs, "peak": peak_kilobytes()}
    sys.stderr.write(json.dumps(told) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
