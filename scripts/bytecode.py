"""Compile the package as the function's own Python would at every cold start: it cannot write beside its code.

The bytecode is of one Python version, so it takes that one: PYTHON313 names it, else `python3.13` on the PATH, else
pyenv's. Each 3.13.x runs what any of them has compiled, but the bytes may differ from one to the next, and so may the
package's hash. Any other Python still runs the package, from the sources, which stay for that and for tracebacks.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts import TARGET

VERSION = next(option.partition("=")[2] for option in TARGET if option.startswith("--python-version="))
VARIABLE = f"PYTHON{VERSION.replace('.', '')}"
# Where Lambda unpacks it. Python compares the path in the bytecode with where it is, and rewrites it where they differ.
TASK_ROOT = "/var/task"
# No header of times or sizes, and no look at the source: the same bytes each time, and nothing to check at the start.
MODE = "unchecked-hash"
NONE_AT_HAND = (
    f"no bytecode: no Python {VERSION} is at hand ({VARIABLE}=... names one), so every cold start will compile all "
    "that it imports, and take about twice as long"
)


def target_python() -> str | None:
    """Return a Python of the function's version that really runs, None where there is none at hand."""
    # A pre-release has bytecode of another kind.
    wanted = (*map(int, VERSION.split(".")), "cpython", "final")
    found = "(*sys.version_info[:2], sys.implementation.name, sys.version_info.releaselevel)"
    probe = f"import sys; sys.exit({found} != {wanted})"
    for candidate in _candidates():
        try:
            done = subprocess.run([candidate, "-I", "-c", probe], check=False, capture_output=True)  # noqa: S603 - ours
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    return None


def full_version(python: str) -> str:
    """Return the version of this Python with its patch level, such as 3.13.0."""
    command = [python, "-I", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - ours


def compile_all(folder: Path, python: str) -> None:
    """Put the bytecode beside every source; raises CalledProcessError where one does not compile."""
    options = ["-q", "-f", "--invalidation-mode", MODE, "-s", str(folder), "-p", TASK_ROOT]
    command = [python, "-I", "-S", "-m", "compileall", *options, str(folder)]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


def _candidates() -> Iterator[str]:
    named = os.environ.get(VARIABLE)
    if named:
        yield named
        return
    yield sys.executable
    yield f"python{VERSION}"
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], check=False, capture_output=True, text=True).stdout.strip()  # noqa: S603
        yield from map(str, sorted(Path(root).glob(f"versions/{VERSION}.*/bin/python"), reverse=True))
