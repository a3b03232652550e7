# ruff: noqa: T201 - a command line program prints
"""Print which file has the section for `make deploy ENV=NAME`: your own samconfig.local.toml comes first.

Git does not track that file, so that names and addresses of yours stay out of this repository.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

from scripts import ROOT

FILES = (ROOT / "samconfig.local.toml", ROOT / "samconfig.toml")
BYTE_ORDER_MARK = "\ufeff"
# SAM takes the parameters of `sam deploy` from both; those of the second one come first.
COMMANDS = ("global", "deploy")
HELP = "docs/DEPLOY.md has an example of a section"


def file_with(name: str, files: tuple[Path, ...] = FILES) -> Path:
    """Return the first of the files that has this section.

    Raises ValueError, which says what is wrong in which file, or which sections there are.
    """
    found: set[str] = set()
    for file in files:
        content = content_of(file)
        if name in content:
            fault = fault_of(name, content[name])
            if fault:
                raise ValueError(f"{file.name}: {fault}. {HELP}.")
            return file
        found |= {other for other, section in content.items() if not fault_of(other, section)}
    raise ValueError(
        f"there is no [{name}.deploy.parameters] in {' or '.join(file.name for file in files)}: "
        f"there are {', '.join(sorted(found))}. {HELP}."
    )


def content_of(file: Path) -> dict[str, Any]:
    """Return the sections of a file by their names; none if there is no such file.

    Raises ValueError, which names the file, if SAM could not read it.
    """
    # A link to a file that is gone is no choice to have none.
    if not file.exists() and not file.is_symlink():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{file.name} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file.name} is not UTF-8 text: save it as UTF-8") from None
    if text.startswith(BYTE_ORDER_MARK):
        raise ValueError(f"{file.name} begins with a byte order mark: save it as UTF-8 without one")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file.name} is not TOML: {error}") from None


def fault_of(name: str, section: Any) -> str:
    """Return why SAM can't deploy this section; empty if it can."""
    if not isinstance(section, dict):
        return f"{name} is not a section: write [{name}.deploy.parameters]"
    parameters: dict[str, Any] = {}
    for command in COMMANDS:
        for_command = section.get(command, {})
        if not isinstance(for_command, dict):
            return f"{command} in [{name}] is not a section: write [{name}.{command}.parameters]"
        values = for_command.get("parameters", {})
        if not isinstance(values, dict):
            return f"parameters in [{name}.{command}] is not a section: write [{name}.{command}.parameters]"
        parameters |= values
    stack_name = parameters.get("stack_name", "")
    if not isinstance(stack_name, str):
        return f"stack_name in [{name}.deploy.parameters] is not a text"
    if not stack_name.strip():
        return f"[{name}.deploy.parameters] has no stack_name"
    return ""


def main() -> None:
    try:
        print(file_with(sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
