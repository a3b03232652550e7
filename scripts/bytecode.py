"""Compile the package in advance. Lambda's code folder is read-only: without bytecode each cold start compiles again.

Bytecode belongs to one Python version, so only a Python of the function's version can make it: the one that the
variable PYTHON313 names, otherwise `python3.13` on the PATH, otherwise pyenv's. Every 3.13.x runs the bytecode of any
other 3.13.x, but its bytes may differ, and with them the hash of the package. The sources stay in the package: for
tracebacks, and for every other Python version.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts import TARGET

VERSION_OPTION = "--python-version="
(VERSION,) = (option.removeprefix(VERSION_OPTION) for option in TARGET if option.startswith(VERSION_OPTION))
VARIABLE = f"PYTHON{VERSION.replace('.', '')}"
# Lambda unpacks the package into this folder. If the bytecode names another path, Python rewrites it at each start.
TASK_ROOT = "/var/task"
# No times or sizes in the bytecode, and no look at the source: the bytes are the same each time, and a start checks
# nothing.
INVALIDATION_MODE = "unchecked-hash"
NO_BYTECODE = (
    f"no bytecode: this machine has no Python {VERSION} ({VARIABLE}=... names one), "
    "so every cold start will compile all that it imports, and take about twice as long"
)


def target_python() -> str | None:
    """Return a Python of the function's version that runs, or None if this machine has none."""
    for candidate in _candidates():
        if _is_of_the_version(candidate):
            return candidate
    return None


def full_version(python: str) -> str:
    """Return the version of this Python with its patch level, such as 3.13.0."""
    command = [python, "-I", "-c", "import platform; print(platform.python_version())"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return done.stdout.strip()


def compile_all(folder: Path, python: str) -> None:
    """Put bytecode next to every source. Raises CalledProcessError if a source does not compile."""
    paths = ["-s", str(folder), "-p", TASK_ROOT]
    options = ["-q", "-f", "--invalidation-mode", INVALIDATION_MODE, *paths]
    command = [python, "-I", "-S", "-m", "compileall", *options, str(folder)]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


def _is_of_the_version(python: str) -> bool:
    major, minor = map(int, VERSION.split("."))
    expected = (major, minor, "cpython", "final")  # a pre-release has bytecode of another kind
    actual = "(*sys.version_info[:2], sys.implementation.name, sys.version_info.releaselevel)"
    command = [python, "-I", "-c", f"import sys; sys.exit({actual} != {expected})"]
    try:
        done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - ours
    except OSError:
        return False
    return done.returncode == 0


def _candidates() -> Iterator[str]:
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    yield sys.executable
    yield f"python{VERSION}"
    pyenv = shutil.which("pyenv")
    if pyenv:
        command = [pyenv, "root"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - ours
        root = Path(done.stdout.strip())
        for path in sorted(root.glob(f"versions/{VERSION}.*/bin/python"), reverse=True):
            yield str(path)
