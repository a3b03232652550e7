"""The same function from a shell: run it here, or ask the deployed one.

Only the result goes to standard output.
"""

import argparse
import json
import logging
import shutil
import sys
import time
from contextlib import redirect_stdout, suppress
from io import TextIOWrapper
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from handler import report
from handler.errors import EventError, RefreshError
from handler.settings import allows_colour, function_name

TIMEOUT_SECONDS = 420  # the function's, as in template.yaml
EXIT_CODE_OF_AN_INTERRUPT = 130  # as shells have it: 128 and the number of SIGINT
INTERRUPTED = (
    "Interrupted. The run may have asked for a token already, and a deployed function runs on. "
    "The command status says what is known."
)

EVENT_OF_COMMAND: dict[str, dict[str, Any]] = {
    "status": {"action": "status"},
    "refresh": {"action": "refresh"},
    "force": {"action": "refresh", "force": True},
    "dry-run": {"action": "refresh", "dry_run": True},
}


def main(*arguments: str) -> int:
    """Return the exit code.

    0: the result is printed. 1: one clear line on standard error says what failed. 130: Ctrl-C was pressed.
    """
    try:
        options = _parser().parse_args(arguments)
        logging.disable()
        event = _event_of(options)
        result = _ask(event, options.function)
        _print_result(result, options)
    except (RefreshError, OSError) as error:
        _complain(f"{type(error).__name__}: {error}")
        return 1
    except KeyboardInterrupt:
        # Ctrl-C may have left an object of a library half made. Python would print what its finalizer then raises.
        sys.unraisablehook = _say_nothing
        _complain(INTERRUPTED)
        return EXIT_CODE_OF_AN_INTERRUPT
    return 0


def _print_result(result: dict[str, Any], options: argparse.Namespace) -> None:
    if sys.stdout is None:  # the shell has closed it
        return
    shown = report.as_json(result)
    if options.what in EVENT_OF_COMMAND and not options.json:
        in_colour = sys.stdout.isatty() and allows_colour()
        columns, _ = shutil.get_terminal_size(fallback=(report.WIDTH, 0))
        shown = report.for_people(result, in_colour=in_colour, width=columns)
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal may not have all characters of a name.
        sys.stdout.reconfigure(errors="backslashreplace")
    # `| head` may have read enough. The closed output is not flushed again.
    with suppress(BrokenPipeError), sys.stdout:
        print(shown)


def _say_nothing(_: object) -> None:
    """Stand in for Python's hook, which prints what a finalizer has raised."""


def _complain(text: str) -> None:
    """Print one line on standard error, if the shell has not closed it."""
    if sys.stderr is None:
        return
    with suppress(OSError):
        print(report.in_one_line(text), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m handler", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        type=_not_empty,
        metavar="status | refresh | force | dry-run | FILE",
        help="what to do, or a file of events/; without one: refresh if due, and print the result as JSON",
    )
    parser.add_argument("--connection", type=_not_empty, metavar="NAME", help="one of many connections")
    parser.add_argument("--reason", metavar="TEXT", help="of force: why; it goes to the log")
    parser.add_argument(
        "--override-limit",
        action="store_true",
        help="of force: also against the vendor's limit, for when the vendor says that it has reset it",
    )
    parser.add_argument(
        "--function",
        type=_not_empty,
        metavar="NAME",
        help="ask this deployed function, instead of running here",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _not_empty(text: str) -> str:
    """Refuse what a shell makes of a variable that is not set: "$FUNCTION" must not mean "run here"."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: perhaps a variable of your shell is not set")
    return text


def _event_of(options: argparse.Namespace) -> Any:
    """Return the event that the command line asks for. Raises EventError."""
    event: Any = {}
    if options.what in EVENT_OF_COMMAND:
        event = dict(EVENT_OF_COMMAND[options.what])
    elif options.what:
        event = _read_event(Path(options.what))
    additions = {
        "connection": options.connection,
        "reason": options.reason,
        "override_limit": options.override_limit or None,
    }
    given = {key: value for key, value in additions.items() if value is not None}
    if not given:
        return event
    if not isinstance(event, dict):
        raise EventError("the event must be a JSON object")
    return event | given


def _read_event(file: Path) -> Any:
    """Return the JSON in the file, which editors on Windows begin with a byte order mark. Raises EventError."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        known = ", ".join(EVENT_OF_COMMAND)
        raise EventError(
            f"{file} can't be read ({error.strerror}): events/ has a sample of each event, and the commands are {known}"
        ) from None
    except UnicodeDecodeError:
        raise EventError(
            f"{file} is not UTF-8 text (Windows PowerShell writes UTF-16, for example): save it as UTF-8"
        ) from None
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        raise EventError(f"{file} is not JSON") from None


def _ask(event: Any, function: str | None) -> dict[str, Any]:
    if function is not None:
        from handler.remote import invoke

        return invoke(function, event)
    return _run_here(event)


def _run_here(event: Any) -> dict[str, Any]:
    context = _context(deadline=time.monotonic() + TIMEOUT_SECONDS)
    with redirect_stdout(None):  # Powertools writes the metrics there
        from handler.app import lambda_handler

        result: dict[str, Any] = lambda_handler(event, context)
    return result


def _context(deadline: float) -> Any:
    """Return what Lambda would hand to the handler. `deadline` goes by time.monotonic()."""
    return SimpleNamespace(
        function_name=function_name(),
        memory_limit_in_mb="shell",
        invoked_function_arn="shell",
        aws_request_id="shell",
        get_remaining_time_in_millis=lambda: (deadline - time.monotonic()) * 1_000,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
