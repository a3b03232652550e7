"""Reads the repository's documents: a section, and the rows of its table."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

Row = list[str]


def section(document: str, heading: str) -> str:
    """Return the text from this heading to the next one of any level."""
    text = (ROOT / document).read_text()
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"{document} has no heading {heading!r}"
    return re.split(r"^#{1,6} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_table(text: str) -> list[Row]:
    """Return the cells of the first table, without its head and without backquotes."""
    lines = re.split(r"^\| ?-", text, maxsplit=1, flags=re.MULTILINE)[1].splitlines()[1:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = line.strip().strip("|").split("|")
        rows.append([cell.strip().replace("`", "") for cell in cells])
    return rows
