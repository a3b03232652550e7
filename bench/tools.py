"""What runs the packages: a Python, AWS's Runtime Interface Emulator (RIE) and its runtime client, downloaded once.

The RIE is one file in the wheel of aws-sam-cli, for x86-64 Linux. Other machines run only bare processes.
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

SAM_CLI = "aws-sam-cli==1.170.0"
RUNTIME_CLIENT = "awslambdaric==4.2.2"
RIE_IN_WHEEL = "samcli/local/rapid/aws-lambda-rie-x86_64"
RIE_RUNS_ON = ("linux", "x86_64")
CACHE = ROOT / "build" / "runtime"


def chosen_python() -> str:
    """Return a Python of the function's version, or this one if the machine has none."""
    return target_python() or sys.executable


def runtime(python: str) -> tuple[Path, Path] | None:
    """Return the RIE and the folder of this Python's runtime client, or None if the machine can't run the RIE."""
    if (sys.platform, platform.machine()) != RIE_RUNS_ON:
        return None
    return cached(SAM_CLI, fetch_rie), runtime_client(python)


def runtime_client(python: str) -> Path:
    major, minor, _ = full_version(python).split(".", maxsplit=2)
    tag = f"cpython-{major}{minor}"

    def fetch(target: Path) -> None:
        pip(python, "install", "--target", str(target), RUNTIME_CLIENT)

    return cached(f"{RUNTIME_CLIENT}-{tag}", fetch)


def fetch_rie(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip(sys.executable, "download", "--no-deps", "--dest", folder, SAM_CLI)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            target.write_bytes(opened.read(RIE_IN_WHEEL))
    target.chmod(0o755)


def pip(python: str, *arguments: str) -> None:
    options = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", *arguments, *options], check=True)


def cached(name: str, make: Callable[[Path], object]) -> Path:
    """Return a file or folder of the cache, and make it if it is missing. Other processes may do so too."""
    target = CACHE / name
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "made"
            make(made)
            with suppress(OSError):  # another process was faster
                made.rename(target)
    return target
