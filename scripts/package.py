# ruff: noqa: T201 - a command line program prints
"""Fill a folder with all that the Lambda ships, the same bytes each time: handler/ and the wheels of requirements.lock.

`sam build` runs this through `make build-RefreshFunction`; any Python from 3.11 with pip will do. Installed are wheels
for the function's platform, checked against their hashes, and nothing of them is run. Where a Python of the function's
version is at hand its bytecode is in the package too: with it the bytes are others than without it, and another patch
version may give others again.
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
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder.absolute()} is no folder: name the folder itself")
    if folder.exists() and any(folder.iterdir()) and not is_earlier(folder):
        raise ValueError(f"{folder.resolve()} is neither empty nor an earlier package: nothing is deleted there")
    sources = modules(ROOT / "handler")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        make(folder, sources)
    except BaseException:  # half a package would not be an earlier one, and the next build would refuse it
        shutil.rmtree(folder, ignore_errors=True)
        raise


def make(folder: Path, sources: list[Path]) -> None:
    folder.mkdir(parents=True)
    install(folder)
    prune(folder)
    for source in sources:
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    python = target_python()
    if python:
        compile_all(folder, python)
    else:
        print(NONE_AT_HAND, file=sys.stderr)
    settle(folder)


def is_earlier(folder: Path) -> bool:
    """Say whether all in the folder is a package that `settle` has finished: whatever came later is somebody's own."""
    files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return (folder / "handler" / "app.py").is_file() and all(file.lstat().st_mtime == MODIFIED_AT for file in files)


def modules(folder: Path) -> list[Path]:
    """Return the sources that Python can import from the folder; raises ValueError for one that is no regular file.

    Names that are no identifiers are an editor's, or copies: `.#app.py`, `app (copy).py`, `.ipynb_checkpoints`.
    """
    names = ((path, path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.rglob("*.py")))
    found = [path for path, parts in names if all(map(str.isidentifier, parts))]
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path} is no regular file, and nothing else ships")
    return found


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
