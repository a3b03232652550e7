# ruff: noqa: T201 - a command line program prints
"""Fill a folder with all that the Lambda ships: handler/ and the wheels of requirements.lock. The bytes never vary.

`sam build` runs this by `make build-RefreshFunction`. Any Python from 3.11 on with pip can do it. pip installs the
wheels of the function's platform, checks their hashes, and runs nothing of them. If this machine has a Python of the
function's version, the package contains bytecode too. So the bytes differ with and without such a Python, and may
differ between its patch versions.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import LOCK, ROOT, TARGET
from scripts.bytecode import NO_BYTECODE, compile_all, target_python
from scripts.prune import prune

MODIFIED_AT = 315_619_200  # 1980-01-02, UTC: the first day that a zip can hold in every time zone
# The same modes with every umask: Lambda runs the code as another user.
FILE_MODE = 0o644
FOLDER_MODE = 0o755


def fill(folder: Path) -> None:
    """Fill the folder, in place of an earlier package. Raises ValueError if it holds anything else."""
    is_something_else = folder.exists() and not folder.is_dir()
    if folder.is_symlink() or is_something_else:
        raise ValueError(f"{folder.absolute()} is not a folder: name the folder itself")
    if folder.exists() and any(folder.iterdir()) and not is_earlier_package(folder):
        raise ValueError(f"{folder.resolve()} is neither empty nor an earlier package: nothing is deleted there")
    sources = modules(ROOT / "handler")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        make(folder, sources)
    except BaseException:
        # The next build would refuse half a package, since it is not an earlier one.
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
        print(NO_BYTECODE, file=sys.stderr)
    settle(folder)


def is_earlier_package(folder: Path) -> bool:
    """Return whether everything in the folder is as `settle` left it. Whatever is newer belongs to somebody."""
    if not (folder / "handler" / "app.py").is_file():
        return False
    files = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return all(file.lstat().st_mtime == MODIFIED_AT for file in files)


def modules(folder: Path) -> list[Path]:
    """Return the sources that Python can import from the folder. Raises ValueError if one is not a regular file.

    Other names belong to editors or are copies: `.#app.py`, `app (copy).py`, `.ipynb_checkpoints`.
    """
    found = [path for path in sorted(folder.rglob("*.py")) if is_importable(path.relative_to(folder))]
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path} is not a regular file, and nothing else ships")
    return found


def is_importable(path: Path) -> bool:
    return all(name.isidentifier() for name in path.with_suffix("").parts)


def install(folder: Path) -> None:
    """Raise CalledProcessError if a wheel is missing or has another hash. pip has printed which one."""
    options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--target", str(folder)]
    command = [sys.executable, "-m", "pip", "install", *options, *TARGET, "-r", str(LOCK)]
    subprocess.run(command, check=True)  # noqa: S603 - our own command


def settle(folder: Path) -> None:
    """Give every file and folder the same mode and time on every machine."""
    for path in [folder, *folder.rglob("*")]:
        mode = FOLDER_MODE if path.is_dir() else FILE_MODE
        path.chmod(mode)
        os.utime(path, (MODIFIED_AT, MODIFIED_AT))


def main() -> None:
    if importlib.util.find_spec("pip") is None:
        sys.exit(f"{sys.executable} has no pip: name a Python with pip by make PYTHON=..., or use `make build`")
    try:
        fill(Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError:
        sys.exit("the package was not built: see pip's message above")


if __name__ == "__main__":
    main()
