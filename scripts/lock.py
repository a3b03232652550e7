# ruff: noqa: T201 - a command line program prints
"""Write `requirements.lock`: every wheel that the Lambda ships, by its hash, for the platform that it runs on.

`make lock`, after each change of requirements.txt; `python -m scripts.lock` with any Python from 3.11 does as well.
"""

import json
import subprocess
import sys
import tempfile

from scripts import LOCK, ROOT, TARGET

HEADER = """\
# Made by `python -m scripts.lock` from requirements.txt: what ships, for arm64 and Python 3.13. Not edited by hand.
# One wheel each, by its hash, so that whichever index it comes from, it is these bytes or none.
"""


def resolve() -> list[tuple[str, str, str]]:
    """Return name, version and SHA-256 of each wheel that pip would install on the target, sorted by name."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--quiet", "--dry-run", "--ignore-installed", "--report", "-", "--target", folder, *TARGET]
        command = [sys.executable, "-m", "pip", "install", *options, "-r", str(ROOT / "requirements.txt")]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603 - our own
    wheels = [(one["metadata"], one["download_info"]["archive_info"]["hashes"]) for one in report["install"]]
    return sorted((about["name"].lower().replace("_", "-"), about["version"], sums["sha256"]) for about, sums in wheels)


def main() -> None:
    wheels = resolve()
    LOCK.write_text(HEADER + "".join(f"{name}=={version} --hash=sha256:{sums}\n" for name, version, sums in wheels))
    print(f"{LOCK.name}: {len(wheels)} wheels")


if __name__ == "__main__":
    main()
