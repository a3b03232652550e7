# ruff: noqa: T201 - a command line program prints
"""Write `requirements.lock`: every wheel that the Lambda ships, with its hash, for the platform that it runs on.

Run `make lock` after each change of requirements.txt. `python -m scripts.lock` works with any Python from 3.11 on.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from scripts import LOCK, ROOT, TARGET

HEADER = """\
# Made by `python -m scripts.lock` from requirements.txt: the wheels that ship, for arm64 and Python 3.13.
# Do not edit it. Each line has the hash of one wheel, so that every package index must deliver the same bytes.
"""


@dataclass(frozen=True, order=True)
class Wheel:
    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def resolve() -> list[Wheel]:
    """Return each wheel that pip would install on the target, sorted by name."""
    requirements = str(ROOT / "requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--quiet", "--dry-run", "--ignore-installed", "--report", "-", "--target", folder]
        command = [sys.executable, "-m", "pip", "install", *options, *TARGET, "-r", requirements]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own command
    report = json.loads(done.stdout)
    return sorted(to_wheel(item) for item in report["install"])


def to_wheel(item: dict[str, Any]) -> Wheel:
    """Return one entry of pip's installation report as a wheel."""
    metadata = item["metadata"]
    hashes = item["download_info"]["archive_info"]["hashes"]
    name = metadata["name"].lower().replace("_", "-")
    return Wheel(name=name, version=metadata["version"], sha256=hashes["sha256"])


def main() -> None:
    wheels = resolve()
    lines = "".join(f"{wheel}\n" for wheel in wheels)
    LOCK.write_text(HEADER + lines)
    print(f"{LOCK.name}: {len(wheels)} wheels")


if __name__ == "__main__":
    main()
