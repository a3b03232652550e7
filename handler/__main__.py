"""The same function from a shell: `python -m handler [events/FILE.json]`; only the result goes to standard output."""

import json
import logging
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

from handler.errors import RefreshError


def main(*arguments: str) -> int:
    """Return the exit code: 0 with the result as JSON, or 1 with one clear line on standard error."""
    ends = time.monotonic() + 420  # seconds: the function's timeout in template.yaml
    identity = dict.fromkeys(("function_name", "memory_limit_in_mb", "invoked_function_arn", "aws_request_id"), "shell")
    context = SimpleNamespace(**identity, get_remaining_time_in_millis=lambda: (ends - time.monotonic()) * 1_000)
    logging.disable()
    try:
        event = json.loads(Path(arguments[0]).read_text()) if arguments else {}
        with redirect_stdout(None):  # Powertools writes the metrics there
            from handler.app import lambda_handler

            result = lambda_handler(event, context)
    except (RefreshError, OSError, ValueError, RecursionError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
