# ruff: noqa: T201 - a command line program prints
"""Make one zip of what `sam build` has built, with the same bytes each time, and print its size and its hash.

`sam deploy` makes a zip of its own from the same folder; its entries may be in another order.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

from scripts import ROOT
from scripts.bytecode import NO_BYTECODE, VERSION, full_version, target_python
from scripts.package import FILE_MODE

BUILT = ROOT / ".aws-sam" / "build" / "RefreshFunction"
BUNDLE = ROOT / "build" / "token-refresh.zip"
ENTRY_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
UNIX = 3
COMPRESSION_LEVEL = 9


def bundle(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(path.relative_to(folder).as_posix() for path in files_in(folder))
    with zipfile.ZipFile(target, "w") as zip_file:
        for name in names:
            entry = zipfile.ZipInfo(name, ENTRY_TIME)
            entry.create_system = UNIX
            entry.external_attr = FILE_MODE << 16
            content = (folder / name).read_bytes()
            zip_file.writestr(entry, content, zipfile.ZIP_DEFLATED, COMPRESSION_LEVEL)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def about_bytecode(files: list[Path]) -> str:
    """Return what the package's own build has printed too: `sam build` does not show it."""
    compiled = sum(file.suffix == ".pyc" for file in files)
    if not compiled:
        return NO_BYTECODE
    python = target_python()
    version = full_version(python) if python else VERSION
    return f"bytecode of Python {version} for {compiled} files"


def main() -> None:
    if not BUILT.is_dir():
        sys.exit("nothing is built yet: run `make build`")
    bundle(BUILT, BUNDLE)
    content = BUNDLE.read_bytes()
    files = files_in(BUILT)
    unpacked = sum(file.stat().st_size for file in files)
    name = BUNDLE.relative_to(ROOT)
    print(f"{name}: {len(content):,} bytes, {len(files):,} files, {unpacked:,} bytes unpacked")
    print(about_bytecode(files))
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
