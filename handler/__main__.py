"""The same function from a shell: `python -m handler [events/FILE.json]`; only the result goes to standard output."""

import argparse
import json
import logging
import sys
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace

from handler.errors import EventError, RefreshError


def main(*arguments: str) -> int:
    """Return the exit code: 0 with the result as JSON, or 1 with one clear line on standard error."""
    ends = time.monotonic() + 420  # seconds: the function's timeout in template.yaml
    identity = dict.fromkeys(("function_name", "memory_limit_in_mb", "invoked_function_arn", "aws_request_id"), "shell")
    context = SimpleNamespace(**identity, get_remaining_time_in_millis=lambda: (ends - time.monotonic()) * 1_000)
    parser = argparse.ArgumentParser(prog="python -m handler", description=__doc__)
    parser.add_argument("event", nargs="?", type=Path, help="a file of events/; without one: refresh if due")
    file = parser.parse_args(arguments).event
    logging.disable()
    try:
        try:
            event = json.loads(file.read_text()) if file else {}
        except (ValueError, RecursionError):  # not JSON, not Unicode; nested too deeply
            raise EventError(f"{file} is not JSON") from None
        with redirect_stdout(None):  # Powertools writes the metrics there
            from handler.app import lambda_handler

            result = lambda_handler(event, context)
        with suppress(BrokenPipeError), sys.stdout:  # `| head` may have read enough; closed, it is not flushed again
            print(json.dumps(result, indent=2))
    except (RefreshError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
