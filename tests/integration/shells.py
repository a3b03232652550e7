"""Runs `python -m handler` in a process of its own: with pipes, without some of its streams, or on a terminal.

`in_this_process` does without, which takes a fifth of the time. It is for what a process of its own would not change:
what is printed, and which exit code `main` returns.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, cast

from handler import app
from handler.__main__ import main
from handler.report import WIDTH
from handler.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60
OF_THE_TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "TERM")


def machine(**variables: str) -> dict[str, str]:
    """Return the machine's environment without its AWS settings and its terminal's, and with these variables."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", *OF_THE_TERMINAL))}
    return own | variables


def aws_variables(lambda_url: str) -> dict[str, str]:
    """Return an environment in which the deployed function is at this address, and nothing else is there."""
    return machine(
        AWS_ENDPOINT_URL_LAMBDA=lambda_url,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_DEFAULT_REGION="us-east-1",
        NO_PROXY="127.0.0.1",
    )


def in_a_process(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `python -m handler` with these arguments."""
    return shell(["-m", "handler", *arguments], env)


def shell(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return _finished([sys.executable, *arguments], env)


def shell_with(redirections: str, arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python with redirections as people type them, such as `>&-`, which closes standard output."""
    return _finished(["sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, *arguments], env)


def _finished(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def on_terminal(arguments: list[str], env: dict[str, str], *, columns: int = 100) -> str:
    """Run Python on a terminal of this width, and return what the terminal gets."""
    ours, its_own = pty.openpty()
    fcntl.ioctl(its_own, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=env, stdout=its_own, stderr=its_own) as process:
        os.close(its_own)
        output = _all_of(ours)
        process.wait(TIMEOUT_SECONDS)
    os.close(ours)
    return output.decode().replace("\r\n", "\n")


def _all_of(terminal: int) -> bytes:
    output = b""
    while select.select([terminal], [], [], TIMEOUT_SECONDS)[0]:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # this is how Linux says that nobody is left at the other end
            return output
        if not part:
            return output
        output += part
    raise TimeoutError


class _Kept(io.BytesIO):
    """Bytes that outlive a close: the command closes its standard output."""

    def close(self) -> None:
        """Keep the bytes."""


class _Output(io.TextIOWrapper):
    """Standard output or standard error, as Python opens them, except that it can call itself a terminal."""

    def __init__(self, errors: str, *, is_terminal: bool) -> None:
        self._bytes = _Kept()
        self._is_terminal = is_terminal
        super().__init__(self._bytes, encoding="utf-8", errors=errors, write_through=True)

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        return self._bytes.getvalue().decode()


def in_this_process(
    arguments: list[str],
    env: dict[str, str],
    *,
    is_terminal: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run what `python -m handler` runs. The width is that of a report, whatever terminal the tests run on."""
    output = _Output("strict", is_terminal=is_terminal)
    errors = _Output("backslashreplace", is_terminal=is_terminal)
    with _as_a_new_process({"COLUMNS": str(WIDTH)} | env), redirect_stdout(output), redirect_stderr(errors):
        try:
            exit_code = main(*arguments)
        except SystemExit as stop:
            exit_code = cast("int", stop.code)  # argparse's
    return subprocess.CompletedProcess(arguments, exit_code, output.text, errors.text)


@contextmanager
def _as_a_new_process(env: dict[str, str]) -> Iterator[None]:
    """Have this environment alone, and nothing that an earlier run has left. Afterwards all is as before."""
    before = dict(os.environ)
    disabled_before = logging.root.manager.disable
    keys_before = set(logger.get_current_keys())
    os.environ.clear()
    os.environ.update(env)
    app.this_process.cache_clear()
    try:
        with chdir(ROOT):
            yield
    finally:
        app.this_process.cache_clear()
        logger.remove_keys(logger.get_current_keys().keys() - keys_before)
        logging.disable(disabled_before)
        os.environ.clear()
        os.environ.update(before)
