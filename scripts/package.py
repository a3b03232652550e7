# ruff: noqa: T201 - a command line program prints
"""Fill a folder with all that the Lambda ships, the same bytes each time: handler/ and the wheels of requirements.lock.

`sam build` runs this through `make build-RefreshFunction`; any Python from 3.11 with pip will do. Installed are wheels
for the function's platform, checked against their hashes, and nothing of them is run. Where a Python of the function's
version is at hand its bytecode is in the package too: with it the bytes are others than without it.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import LOCK, ROOT, TARGET
from scripts.bytecode import NONE_AT_HAND, compile_all, target_python
from scripts.prune import prune

MODIFIED_AT = 315_619_200  # 1980-01-02, UTC: the first day that a zip can hold in every time zone
FILE_MODE, FOLDER_MODE = 0o644, 0o755  # whatever the umask: Lambda runs the code as another user


def fill(folder: Path) -> None:
    """Fill the folder; an earlier package in it goes. Raises ValueError for one that holds anything else."""
    is_earlier = (folder / "handler" / "app.py").is_file() and not (folder / "template.yaml").exists()
    if folder.exists() and any(folder.iterdir()) and not is_earlier:
        raise ValueError(f"{folder.resolve()} is neither empty nor an earlier package: nothing is deleted there")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder)
    prune(folder)
    for source in sorted((ROOT / "handler").rglob("*.py")):
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    python = target_python()
    if python:
        compile_all(folder, python)
    else:
        print(NONE_AT_HAND, file=sys.stderr)
    settle(folder)


def install(folder: Path) -> None:
    """Raise CalledProcessError where a wheel is missing, or has another hash; pip has said which."""
    options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", str(folder), *TARGET]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(LOCK)]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


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
    except ValueError as refusal:
        sys.exit(str(refusal))
    except subprocess.CalledProcessError:
        sys.exit("the package was not built: see pip's message above")


if __name__ == "__main__":
    main()
