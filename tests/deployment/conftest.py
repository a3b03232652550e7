"""The package that ships, which several test files run or inspect."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from bench.tools import CACHE, cached, runtime_client
from scripts import LOCK, ROOT
from scripts.bytecode import full_version, target_python
from scripts.package import fill


@pytest.fixture(scope="session")
def shipped_package() -> Path:
    """The folder of the package that ships; it is built again if its content changes."""
    compiler = target_python()
    # The package contains its bytecode: another patch version of Python needs another package.
    made_by = full_version(compiler) if compiler else "none"
    sources = [LOCK, *sorted((ROOT / "scripts").glob("*.py")), *sorted((ROOT / "handler").rglob("*.py"))]
    content = b"".join(path.name.encode() + path.read_bytes() for path in sources)
    content_hash = hashlib.sha256(content).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "package.lock").open("w") as lock:
        # The other workers wait for the one that builds: a build takes several seconds of the processor.
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cached(f"package-{content_hash[:16]}-python-{made_by}", fill)
    for old in {*CACHE.glob("package-*")} - {folder}:
        shutil.rmtree(old, ignore_errors=True)
    return folder


@pytest.fixture(scope="session")
def python_path(shipped_package: Path) -> str:
    """The PYTHONPATH of the function: the package that ships, and the client that AWS adds to it."""
    return f"{shipped_package}:{runtime_client(sys.executable)}"
