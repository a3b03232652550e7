"""The same function from a shell: `python -m handler [events/FILE.json]`.

Only the result goes to standard output.
"""

import argparse
import json
import logging
import sys
import time
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from handler.errors import EventError, RefreshError
from handler.settings import function_name

TIMEOUT_SECONDS = 420  # the function's, as in template.yaml


def main(*arguments: str) -> int:
    """Return the exit code: 0 and the result as JSON, or 1 and one clear line on standard error."""
    context = _context(deadline=time.monotonic() + TIMEOUT_SECONDS)
    parser = argparse.ArgumentParser(prog="python -m handler", description=__doc__)
    parser.add_argument(
        "event",
        nargs="?",
        type=Path,
        help="a file of events/; without one: refresh if due",
    )
    file = parser.parse_args(arguments).event
    logging.disable()
    try:
        result = _invoke(_read_event(file), context)
        # `| head` may have read enough. The closed output is not flushed again.
        with suppress(BrokenPipeError), sys.stdout:
            print(json.dumps(result, indent=2))
    except (RefreshError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _context(deadline: float) -> Any:
    """Return what Lambda would hand to the handler. `deadline` goes by time.monotonic()."""
    return SimpleNamespace(
        function_name=function_name(),
        memory_limit_in_mb="shell",
        invoked_function_arn="shell",
        aws_request_id="shell",
        get_remaining_time_in_millis=lambda: (deadline - time.monotonic()) * 1_000,
    )


def _read_event(file: Path | None) -> Any:
    if file is None:
        return {}
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise EventError(f"{file} can't be read ({error.strerror}): events/ has a sample of each event") from None
    except (ValueError, RecursionError):  # not JSON, not Unicode, or nested too deeply
        raise EventError(f"{file} is not JSON") from None


def _invoke(event: Any, context: Any) -> dict[str, Any]:
    with redirect_stdout(None):  # Powertools writes the metrics there
        from handler.app import lambda_handler

        result: dict[str, Any] = lambda_handler(event, context)
    return result


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
