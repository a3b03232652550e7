"""What runs the packages: a Python, AWS's Runtime Interface Emulator (RIE) and its runtime client, fetched once.

The RIE is one file of the wheel of aws-sam-cli, for x86-64 Linux; elsewhere there is none, and bare processes remain.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scripts import ROOT
from scripts.bytecode import full_version, target_python

if TYPE_CHECKING:
    from collections.abc import Callable

SAM_CLI, RUNTIME_CLIENT = "aws-sam-cli==1.170.0", "awslambdaric==4.2.2"
MEMBER = "samcli/local/rapid/aws-lambda-rie-x86_64"
RIE_RUNS_ON = ("linux", "x86_64")
CACHE = ROOT / "build" / "runtime"


def chosen_python() -> str:
    """Return a Python of the function's version, the one at hand where there is none."""
    return target_python() or sys.executable


def runtime(python: str) -> tuple[Path, Path] | None:
    """Return the RIE and the folder of the runtime client for this Python; None on a machine of another kind."""
    if (sys.platform, platform.machine()) != RIE_RUNS_ON:
        return None
    return cached(SAM_CLI, fetch_rie), runtime_client(python)


def runtime_client(python: str) -> Path:
    tag = "cpython-" + "".join(full_version(python).split(".")[:2])

    def fetch(target: Path) -> None:
        pip(python, "install", "--target", str(target), RUNTIME_CLIENT)

    return cached(f"{RUNTIME_CLIENT}-{tag}", fetch)


def fetch_rie(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip(sys.executable, "download", "--no-deps", "--dest", folder, SAM_CLI)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            target.write_bytes(opened.read(MEMBER))
    target.chmod(0o755)


def pip(python: str, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], check=True)


def cached(name: str, make: Callable[[Path], object]) -> Path:
    """Return a file or folder of the cache, made where it is missing; another process may do so just then."""
    target = CACHE / name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "made"
            make(made)
            with suppress(OSError):  # the other was faster
                made.rename(target)
    return target
