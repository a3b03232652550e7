"""Runs `python -m handler` in a process of its own: with pipes, without some of its streams, or on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

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
