"""Reads the recipes of docs/VENDORS.md: for each vendor its parameters, its answers, and how they are read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.deployment.stack import ROOT

if TYPE_CHECKING:
    from tests.deployment.stack import Json

DOCUMENT = ROOT / "docs" / "VENDORS.md"
SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)
ANSWER = re.compile(r"^```json\n(.+?)^```", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\| (.+) \|\n\| ---.+\n((?:\|.+\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Refusal:
    """An answer without a token. There are several `statuses` if the documentation does not say which."""

    statuses: list[int]
    error: str
    read_as: str
    meaning: str


@dataclass(frozen=True)
class Recipe:
    """One vendor's section. `answer` is the documented success."""

    name: str
    parameters: dict[str, str]
    answer: Json
    refusals: list[Refusal]


def recipes() -> list[Recipe]:
    """Return the sections that have a table of parameters, in the document's order."""
    _, *parts = SECTION.split(DOCUMENT.read_text())
    names_and_texts = zip(parts[::2], parts[1::2], strict=True)
    return [_recipe(name, text) for name, text in names_and_texts if "\n| parameter |" in text]


def recipe(name: str) -> Recipe:
    [found] = [one for one in recipes() if one.name == name]
    return found


def _recipe(name: str, text: str) -> Recipe:
    [answer] = ANSWER.findall(text)
    return Recipe(
        name=name,
        parameters={parameter: _value(value) for parameter, value in _rows(text, "parameter")},
        answer=json.loads(answer),
        refusals=[_refusal(row) for row in _rows(text, "status")],
    )


def _rows(text: str, first_column: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this name, without backquotes."""
    for head, body in TABLE.findall(text):
        if head.split(" | ")[0] == first_column:
            return [
                [cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in body.split("\n")[:-1]
            ]
    return []


def _value(text: str) -> str:
    if text == "empty":
        return ""
    return text


def _refusal(row: list[str]) -> Refusal:
    status, error, read_as, meaning = row
    return Refusal(
        statuses=[int(digits) for digits in re.findall("[1-5][0-9]{2}", status)],
        error=error.removeprefix("none"),
        read_as=read_as,
        meaning=meaning,
    )
