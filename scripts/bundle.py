# ruff: noqa: T201 - a command line program prints
"""Make one zip of what `sam build` has built, the same bytes each time, and say how large it is and what its hash is.

`sam deploy` makes its own of the same folder, whose entries may stand in another order.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

from scripts import ROOT
from scripts.bytecode import NONE_AT_HAND, VERSION, full_version, target_python
from scripts.package import FILE_MODE

BUILT = ROOT / ".aws-sam" / "build" / "RefreshFunction"
BUNDLE = ROOT / "build" / "token-refresh.zip"
MADE_AT = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
UNIX = 3


def bundle(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name in names:
            entry = zipfile.ZipInfo(name, MADE_AT)
            entry.create_system, entry.external_attr = UNIX, FILE_MODE << 16
            made.writestr(entry, (folder / name).read_bytes(), zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    if not BUILT.is_dir():
        sys.exit("nothing is built yet: run `make build`")
    bundle(BUILT, BUNDLE)
    content, files = BUNDLE.read_bytes(), [path for path in BUILT.rglob("*") if path.is_file()]
    unpacked = sum(file.stat().st_size for file in files)
    print(f"{BUNDLE.relative_to(ROOT)}: {len(content):,} bytes, {len(files):,} files, {unpacked:,} bytes unpacked")
    # `sam build` keeps what the package's own build has said to itself.
    compiled = sum(file.suffix == ".pyc" for file in files)
    python = target_python()
    version = full_version(python) if python else VERSION
    print(f"bytecode of Python {version} for {compiled} files" if compiled else NONE_AT_HAND)
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
