# ruff: noqa: T201 - a command line program prints
"""Print which file has the section for `make deploy ENV=NAME`: your own samconfig.local.toml comes first.

Git does not track that file, so that names and addresses of yours stay out of this repository.
"""

import sys
import tomllib
from pathlib import Path

from scripts import ROOT

FILES = (ROOT / "samconfig.local.toml", ROOT / "samconfig.toml")


def sections(file: Path) -> set[str]:
    """Return the names of the environments that this file can deploy. Raises TOMLDecodeError."""
    if not file.exists():
        return set()
    content = tomllib.loads(file.read_text())
    return {name for name, section in content.items() if has_stack(section)}


def has_stack(section: object) -> bool:
    if not isinstance(section, dict):
        return False
    parameters = section.get("deploy", {}).get("parameters", {})
    return bool(parameters.get("stack_name"))


def file_with(name: str, files: tuple[Path, ...] = FILES) -> Path:
    """Raises ValueError, which says what there is, if no file has the section."""
    found: set[str] = set()
    for file in files:
        names = sections(file)
        if name in names:
            return file
        found |= names
    raise ValueError(
        f"there is no [{name}.deploy.parameters] with a stack_name in {' or '.join(file.name for file in files)}: "
        f"there are {', '.join(sorted(found))}. docs/DEPLOY.md says how to add one."
    )


def main() -> None:
    try:
        print(file_with(sys.argv[1]))
    except ValueError as error:  # a TOMLDecodeError is one, too
        sys.exit(str(error))


if __name__ == "__main__":
    main()
