# ruff: noqa: T201 - a command line program prints
"""Write what can be deployed without this repository: one zip, one plain CloudFormation template, and their hashes.

`make package` runs this in the virtual environment of aws-sam-cli. The names have the product's version.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

from scripts import PUBLISHED_TEMPLATE, PUBLISHED_ZIP, ROOT, VERSIONED_NAME
from scripts.bundle import bundle
from scripts.package import fill
from scripts.translate import to_json, translate

CHECKSUMS = ROOT / "build" / f"{VERSIONED_NAME}.sha256"
# CloudFormation takes a longer template only from a bucket.
MAX_TEMPLATE_BYTES = 51_200


def make_zip() -> None:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "package"
        fill(folder)
        bundle(folder, PUBLISHED_ZIP)


def checksums() -> str:
    """Return a line for each file, as `sha256sum --check` reads it."""
    lines = []
    for file in (PUBLISHED_ZIP, PUBLISHED_TEMPLATE):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        lines.append(f"{digest}  {file.name}\n")
    return "".join(lines)


def main() -> None:
    text = to_json(translate())
    size = len(text.encode())
    if size > MAX_TEMPLATE_BYTES:
        sys.exit(f"the template has {size:,} bytes: without a bucket CloudFormation takes {MAX_TEMPLATE_BYTES:,}")
    make_zip()
    PUBLISHED_TEMPLATE.write_text(text)
    CHECKSUMS.write_text(checksums())
    for file in (PUBLISHED_ZIP, PUBLISHED_TEMPLATE, CHECKSUMS):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")
    print(CHECKSUMS.read_text(), end="")


if __name__ == "__main__":
    main()
