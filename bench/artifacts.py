"""The packages that are compared, each as its folder in Lambda would be, and zipped as one uploads it.

`naive` is what `sam build` makes of the naive function: the wheels as they are, without bytecode. All have the same
wheels by the same hashes, and one Python compiles what is compiled.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts import ROOT
from scripts.bundle import bundle
from scripts.bytecode import compile_all, target_python
from scripts.package import fill, install

if TYPE_CHECKING:
    from pathlib import Path

HERE = ROOT / "bench"
BUILT = ROOT / "build" / "bench"
OURS, NAIVE, COMPILED, NOTHING = "ours", "naive", "naive with .pyc", "nothing"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A package and its handler, named as in a template."""

    name: str
    folder: Path
    handler: str
    zip_bytes: int = 0
    unpacked_bytes: int = 0
    sha256: str = ""  # of the zip


def build(python: str) -> dict[str, Artifact]:
    """Build all of them anew, for this Python, and zip them; raises CalledProcessError where a wheel is missing."""
    folders = {name: BUILT / name.replace(" ", "-") for name in (OURS, NAIVE, COMPILED, NOTHING)}
    shutil.rmtree(BUILT, ignore_errors=True)
    fill(folders[OURS])
    if target_python() is None:  # the bench then runs on another Python, which must find bytecode of its own
        compile_all(folders[OURS], python)
    install(folders[NAIVE])
    shutil.rmtree(folders[NAIVE] / "bin", ignore_errors=True)  # pip makes it, SAM does not
    shutil.copy(HERE / "naive" / "app.py", folders[NAIVE])
    shutil.copytree(folders[NAIVE], folders[COMPILED])
    compile_all(folders[COMPILED], python)
    folders[NOTHING].mkdir(parents=True)
    shutil.copy(HERE / "nothing" / "app.py", folders[NOTHING])
    return {name: packed(name, folder) for name, folder in folders.items()}


def packed(name: str, folder: Path) -> Artifact:
    target = folder.with_name(f"{folder.name}.zip")
    bundle(folder, target)
    handler = "handler.app.lambda_handler" if name == OURS else "app.lambda_handler"
    unpacked = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    content = target.read_bytes()
    return Artifact(name, folder, handler, len(content), unpacked, hashlib.sha256(content).hexdigest())
