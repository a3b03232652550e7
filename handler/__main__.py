"""The same function from a shell: `python -m handler [events/FILE.json]`; logs and metrics go to standard error."""

import contextlib
import json
import logging
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from handler.errors import RefreshError

ENDS = time.monotonic() + 420  # seconds: the function's timeout in template.yaml
CONTEXT = SimpleNamespace(
    function_name="shell",
    memory_limit_in_mb=0,
    invoked_function_arn="",
    aws_request_id="shell",
    get_remaining_time_in_millis=lambda: (ENDS - time.monotonic()) * 1_000,
)


def main(*arguments: str) -> int:
    """Return the exit code: 0 with the result as JSON on standard output, or 1 with one clear line."""
    try:
        event = json.loads(Path(arguments[0]).read_text()) if arguments else {}
        # Powertools writes to standard output, which here belongs to the result alone.
        with contextlib.redirect_stdout(None):
            logging.disable()
            from handler.app import lambda_handler

            result = lambda_handler(event, CONTEXT)
    except (RefreshError, OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
