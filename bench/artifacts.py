"""The packages that are compared: each as its folder would be in Lambda, and as the zip that one uploads.

All packages have the same wheels with the same hashes, and the same Python makes their bytecode. What `sam build` makes
of a function is its wheels as they are, without bytecode.

A competent user does not upload boto3, because Lambda's runtime has one, and may take Powertools from its public layer.
So there is a folder for each of the two, which is not part of a zip. Both folders have bytecode. Whether AWS's have it
was not looked up: with it a function starts sooner, so we do not favour ours.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING

from scripts import ROOT
from scripts.bundle import bundle
from scripts.bytecode import compile_all, target_python
from scripts.package import fill, install

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

HERE = ROOT / "bench"
BUILT = ROOT / "build" / "bench"
OURS = "ours"
NAIVE = "naive"
COMPILED = "naive with .pyc"
RUNTIME_BOTO3 = "runtime's boto3"
LAYERED = "runtime's boto3, layer"
NOTHING = "nothing"
# Each library with all that it needs, spelled as the wheels spell themselves. Together they are all that is locked.
BOTO3 = {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
REQUESTS = {"certifi", "charset-normalizer", "idna", "requests", "urllib3"}
POWERTOOLS = {"aws_lambda_powertools", "jmespath", "typing_extensions"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A package and its handler, in the form that a template names it."""

    name: str
    folder: Path
    handler: str
    provided: tuple[Path, ...] = ()  # folders that Lambda adds to it, the first one first
    zip_bytes: int = 0
    unpacked_bytes: int = 0
    sha256: str = ""  # of the zip


def build(python: str) -> dict[str, Artifact]:
    """Build and zip all packages for this Python. Raises CalledProcessError if a wheel is missing."""
    shutil.rmtree(BUILT, ignore_errors=True)
    wheels = BUILT / "wheels"
    install(wheels)
    shutil.rmtree(wheels / "bin", ignore_errors=True)  # pip makes this folder, SAM does not
    runtime = provided("runtime", wheels, BOTO3, python)
    layer = provided("layer", wheels, POWERTOOLS, python)
    packages = [
        packed(OURS, our_package(python), handler="handler.app.lambda_handler"),
        packed(NAIVE, naive_package("naive", wheels, BOTO3 | REQUESTS | POWERTOOLS)),
        packed(COMPILED, compiled_package("naive-compiled", wheels, python)),
        packed(RUNTIME_BOTO3, naive_package("runtime-boto3", wheels, REQUESTS | POWERTOOLS), runtime),
        packed(LAYERED, naive_package("layered", wheels, REQUESTS), layer, runtime),
        packed(NOTHING, empty_package()),
    ]
    return {package.name: package for package in packages}


def our_package(python: str) -> Path:
    folder = BUILT / "ours"
    fill(folder)
    if target_python() is None:
        # The bench then runs on another Python, and ours needs the bytecode of that one.
        compile_all(folder, python)
    return folder


def naive_package(name: str, wheels: Path, names: Collection[str]) -> Path:
    """Return a folder with the naive function and these wheels."""
    folder = BUILT / name
    copy_wheels(wheels, folder, names)
    shutil.copy(HERE / "naive" / "app.py", folder)
    return folder


def compiled_package(name: str, wheels: Path, python: str) -> Path:
    folder = naive_package(name, wheels, BOTO3 | REQUESTS | POWERTOOLS)
    compile_all(folder, python)
    return folder


def empty_package() -> Path:
    folder = BUILT / "nothing"
    folder.mkdir()
    shutil.copy(HERE / "nothing" / "app.py", folder)
    return folder


def provided(name: str, wheels: Path, names: Collection[str], python: str) -> Path:
    """Return a folder with these wheels and their bytecode, in place of one that Lambda has."""
    folder = BUILT / name
    copy_wheels(wheels, folder, names)
    compile_all(folder, python)
    return folder


def copy_wheels(installed: Path, target: Path, names: Collection[str]) -> None:
    """Copy the files of these wheels. Raises ValueError if one is not installed there."""
    found = {wheel.name: wheel for wheel in distributions(path=[str(installed)])}
    missing = set(names) - found.keys()
    if missing:
        raise ValueError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    for name in names:
        for file in found[name].files or ():
            source = installed / file
            if source.is_file():  # a program in bin/ is not there
                copy = target / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)


def packed(name: str, folder: Path, *provided: Path, handler: str = "app.lambda_handler") -> Artifact:
    target = folder.with_name(f"{folder.name}.zip")
    bundle(folder, target)
    content = target.read_bytes()
    return Artifact(
        name=name,
        folder=folder,
        handler=handler,
        provided=provided,
        zip_bytes=len(content),
        unpacked_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        sha256=hashlib.sha256(content).hexdigest(),
    )
