"""Fill a folder with all that the Lambda ships, the same bytes each time: handler/ and the wheels of requirements.lock.

`sam build` runs this through `make build-RefreshFunction`; any Python from 3.11 with pip will do. Installed are wheels
for the function's platform, checked against their hashes, and nothing of them is run.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import LOCK, ROOT, TARGET

# Of a wheel's metadata: what a vulnerability scanner reads, and what licences ask for. The rest tells of the
# installation, and would differ from one machine to the next.
KEPT_METADATA = ("METADATA", "LICEN", "licen", "NOTICE", "COPYING", "AUTHORS")
NEVER_SHIPPED = ("bin", "examples", "tests", "__pycache__")
MODIFIED_AT = 315_619_200  # 1980-01-02, UTC: the first day that a zip can hold in every time zone
FILE_MODE, FOLDER_MODE = 0o644, 0o755  # whatever the umask: Lambda runs the code as another user


def fill(folder: Path) -> None:
    """Fill the folder; what was in it goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder)
    prune(folder)
    for source in sorted((ROOT / "handler").rglob("*.py")):
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    settle(folder)


def install(folder: Path) -> None:
    """Raise CalledProcessError where a wheel is missing, or has another hash; pip has said which."""
    options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", str(folder), *TARGET]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(LOCK)]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


def prune(folder: Path) -> None:
    for name in NEVER_SHIPPED:
        for found in [folder / name, *folder.glob(f"*/{name}")]:
            shutil.rmtree(found, ignore_errors=True)
    for file in folder.glob("*.dist-info/*"):
        if not file.name.startswith(KEPT_METADATA):
            file.unlink()


def settle(folder: Path) -> None:
    """Give every file and folder the same mode and time on every machine."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        os.utime(path, (MODIFIED_AT, MODIFIED_AT))


def main() -> None:
    if importlib.util.find_spec("pip") is None:
        sys.exit(f"{sys.executable} has no pip: name one that has by make's PYTHON=..., or use `make build`")
    try:
        fill(Path(sys.argv[1]))
    except subprocess.CalledProcessError:
        sys.exit("the package was not built: see pip's message above")


if __name__ == "__main__":
    main()
