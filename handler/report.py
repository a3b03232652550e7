"""A result as a person reads it at a terminal."""

import json
import textwrap
from typing import Any

from handler.model import principal_of
from handler.result import UNREADABLE
from handler.summary import date_of, span_of

# No line is longer, so that people can read it; a narrower terminal has shorter ones.
WIDTH = 100
# Below this there would be a word on each line.
MIN_WIDTH = 20
RED = "\033[31;1m"
YELLOW = "\033[33m"
PLAIN = "\033[0m"
# The names of the facts stand in a column of this width.
NAME_WIDTH = 20
# A connection's name is not cut below this, also if the table is then wider than the terminal.
MIN_CONNECTION_WIDTH = 16
_INDENT = "    "
_HEADINGS = ["connection", "left", "ends", "due because", "last error"]
_LEFT = _HEADINGS.index("left")
_GAP = 2  # between two columns

Result = dict[str, Any]


def as_json(result: Result) -> str:
    return json.dumps(result, indent=2)


def for_people(result: Result, *, in_colour: bool, width: int = WIDTH) -> str:
    """Return the summary, then the facts below each other, then problems and warnings.

    `in_colour`: a summary with capitals is red, and problems are yellow.
    `width`: of the terminal, in characters.
    """
    result = _printable(result)
    width = min(max(width, MIN_WIDTH), WIDTH)
    summary = _wrapped(result["summary"], width)
    if _is_alarming(result):
        summary = _painted(summary, RED, in_colour=in_colour)
    parts = [summary]
    if "worst" in result:
        facts = _facts_of_many(result)
        parts += [_lines_of(facts, width), _table_of_worst(result["worst"], width)]
    else:
        parts += [_lines_of(_facts_of_one(result), width)]
    problems = [f"problem: {_problem(problem)}" for problem in result.get("problems", [])]
    problems += [f"warning: {warning}" for warning in result["warnings"]]
    for problem in problems:
        lines = _wrapped(problem, width, _INDENT)
        parts.append(_painted(lines, YELLOW, in_colour=in_colour))
    return "\n\n".join(part for part in parts if part)


def in_one_line(text: str) -> str:
    """Return the text as a terminal can show it. What would steer the terminal is shown as Python writes it.

    Texts of vendors, of secrets and of a deployed function may hold anything.
    """
    words = " ".join(text.split())
    return "".join(_shown(character) for character in words)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return ascii(character).strip("'")


def _printable(value: Any) -> Any:
    """Return a JSON value with all of its texts in one line each."""
    if isinstance(value, str):
        return in_one_line(value)
    if isinstance(value, list):
        return [_printable(member) for member in value]
    if isinstance(value, dict):
        return {name: _printable(member) for name, member in value.items()}
    return value


def _wrapped(text: str, width: int, indent: str = "") -> str:
    """Return the text in lines. `indent` is before each of them but the first."""
    return textwrap.fill(
        text,
        width,
        subsequent_indent=indent,
        # An ARN or an address stays whole, so that people can copy it.
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_alarming(result: Result) -> bool:
    """Say whether consumers have no token, or will have none."""
    return "CONSUMERS" in result["summary"] or "CAN'T" in result["summary"]


def _painted(text: str, colour: str, *, in_colour: bool) -> str:
    if not in_colour:
        return text
    return f"{colour}{text}{PLAIN}"


def _lines_of(facts: Result, width: int) -> str:
    """Return each fact that is known in a line, or in several lines below its value."""
    lines = [
        _wrapped(f"{name:{NAME_WIDTH}}{value}", width, indent=" " * NAME_WIDTH)
        for name, value in facts.items()
        if value is not None
    ]
    return "\n".join(lines)


def _facts_of_one(result: Result) -> Result:
    return {
        "connection": result["connection"],
        "token of": _principal(result),
        "ends": _end(result),
        "standby": _standby(result),
        "may ask from": _date_in(result, "not_before"),
        "next request": _date_in(result, "next_due_at"),
        "outcome": _outcome(result),
        "safe to deactivate": result.get("safe_to_deactivate"),
        "version": result.get("version"),
    }


def _facts_of_many(result: Result) -> Result:
    names = ("connections", "fresh", "due", "handed_over", "empty")
    facts = {name.replace("_", " "): result[name] for name in names}
    facts["problems"] = len(result["problems"])
    return facts


def _table_of_worst(worst: list[Result], width: int) -> str:
    """Return the connections with the least life, the worst first. Long names are shortened to fit the width."""
    if not worst:
        return ""
    rows = [_HEADINGS, *(_row_of(one) for one in worst)]
    width_of_others = sum(_GAP + _width_of_column(rows, number) for number in range(1, len(_HEADINGS)))
    width_of_names = max(width - width_of_others, MIN_CONNECTION_WIDTH)
    rows = [[_shortened(name, width_of_names), *others] for name, *others in rows]
    return "\n".join(_table_line(row, rows) for row in rows)


def _row_of(one: Result) -> list[str]:
    left = "none"
    if one["seconds_remaining"] is None:
        left = "not known"
    elif one["seconds_remaining"]:
        left = span_of(one["seconds_remaining"])
    ends = _date_in(one, "expires_at") or "-"
    return [one["name"], left, ends, one["reason"] or "-", one["error"] or "-"]


def _width_of_column(rows: list[list[str]], number: int) -> int:
    return max(len(row[number]) for row in rows)


def _shortened(name: str, width: int) -> str:
    """Return the name with an ellipsis in its middle if it is longer: the ends tell connections apart."""
    if len(name) <= width:
        return name
    kept = width - 1
    at_the_end = kept // 2
    return f"{name[: kept - at_the_end]}…{name[-at_the_end:]}"


def _table_line(row: list[str], rows: list[list[str]]) -> str:
    cells = [cell.ljust(_width_of_column(rows, number)) for number, cell in enumerate(row)]
    cells[_LEFT] = row[_LEFT].rjust(_width_of_column(rows, _LEFT))  # a number
    return (" " * _GAP).join(cells).rstrip()


def _outcome(result: Result) -> str:
    outcome: str = result["outcome"]
    if result["dry_run"]:
        outcome = f"{outcome}, nothing was done"
    if result["reason"]:
        outcome = f"{outcome} ({result['reason']})"
    return outcome


def _principal(result: Result) -> str | None:
    client_id: str | None = result["client_id"]
    if client_id is None or result["username"] is None:
        return client_id
    return principal_of(client_id, result["username"])


def _end(result: Result) -> str | None:
    date = _date_in(result, "expires_at")
    if date is None:
        return None
    if not result["seconds_remaining"]:
        return f"{date}, not good any more"
    return f"{date}, in {span_of(result['seconds_remaining'])}"


def _date_in(result: Result, name: str) -> str | None:
    unix_seconds = result.get(name)
    if unix_seconds is None:
        return None
    return date_of(unix_seconds)


def _standby(result: Result) -> str | None:
    if "standby" not in result or result["reason"] == UNREADABLE:
        return None
    standby = result["standby"]
    if standby is None:
        return "none"
    not_before = _date_in(standby, "not_before")
    if not_before is None:
        return f"{_principal(standby)}, may ask"
    return f"{_principal(standby)}, may ask from {not_before} on"


def _problem(problem: Result) -> str:
    """Return why something can't be read, or why a connection can't be kept."""
    told = f"{problem['error']}: {problem['text']}"
    if "name" in problem:
        told = f"{problem['name']}: {told}"
    return told
