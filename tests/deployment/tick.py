"""Run the function for each event in turn, as a warm process does, and report what each run loaded and opened.

Usage: `python -S tick.py EVENT...` with the package on PYTHONPATH. The reports, one JSON line per event, go to
standard error, the handler's own lines to standard output.
"""

import json
import os
import sys
from types import SimpleNamespace

opened: list[str] = []
connected: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        opened.append(str(arguments[0]))
    elif event == "socket.connect":
        connected.append(str(arguments[1]))


def answer(event: object) -> dict[str, object]:
    from handler.app import lambda_handler

    names = ("invoked_function_arn", "memory_limit_in_mb", "aws_request_id")
    context = SimpleNamespace(
        **dict.fromkeys(names, "tick"),
        function_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "tick"),
        get_remaining_time_in_millis=lambda: 420_000,
    )
    try:
        return {"result": lambda_handler(event, context)}
    except Exception as error:  # noqa: BLE001 - as Lambda does
        return {"error": type(error).__name__, "code": error.__traceback__.tb_frame.f_code.co_filename}  # type: ignore[union-attr]


def main() -> None:
    sys.addaudithook(watch)
    for event in map(json.loads, sys.argv[1:]):
        report = answer(event) | {"modules": sorted(sys.modules), "opened": opened, "connected": connected}
        sys.stderr.write(json.dumps(report) + "\n")
        connected.clear()
        opened.clear()


if __name__ == "__main__":
    main()
