"""The packages that are compared: each as its folder would be in Lambda, and as the zip that one uploads.

`naive` is what `sam build` makes of the naive function: the wheels as they are, without bytecode. All packages have the
same wheels with the same hashes, and the same Python makes their bytecode.
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
OURS = "ours"
NAIVE = "naive"
COMPILED = "naive with .pyc"
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A package and its handler, in the form that a template names it."""

    name: str
    folder: Path
    handler: str
    zip_bytes: int = 0
    unpacked_bytes: int = 0
    sha256: str = ""  # of the zip


def build(python: str) -> dict[str, Artifact]:
    """Build and zip all packages for this Python. Raises CalledProcessError if a wheel is missing."""
    folders = {name: BUILT / name.replace(" ", "-") for name in (OURS, NAIVE, COMPILED, NOTHING)}
    shutil.rmtree(BUILT, ignore_errors=True)
    fill(folders[OURS])
    if target_python() is None:
        # The bench then runs on another Python, and ours needs the bytecode of that one.
        compile_all(folders[OURS], python)
    install(folders[NAIVE])
    shutil.rmtree(folders[NAIVE] / "bin", ignore_errors=True)  # pip makes this folder, SAM does not
    shutil.copy(HERE / "naive" / "app.py", folders[NAIVE])
    shutil.copytree(folders[NAIVE], folders[COMPILED])
    compile_all(folders[COMPILED], python)
    folders[NOTHING].mkdir(parents=True)
    shutil.copy(HERE / "nothing" / "app.py", folders[NOTHING])
    return {name: packed(name, folder) for name, folder in folders.items()}


def packed(name: str, folder: Path) -> Artifact:
    target = folder.with_name(f"{folder.name}.zip")
    bundle(folder, target)
    content = target.read_bytes()
    module = "handler.app" if name == OURS else "app"
    return Artifact(
        name=name,
        folder=folder,
        handler=f"{module}.lambda_handler",
        zip_bytes=len(content),
        unpacked_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        sha256=hashlib.sha256(content).hexdigest(),
    )
