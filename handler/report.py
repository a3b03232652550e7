"""A result as a person reads it at a terminal."""

import json
import textwrap
from typing import Any

from handler.model import principal_of
from handler.summary import date_of, span_of

WIDTH = 100
RED = "\033[31;1m"
YELLOW = "\033[33m"
PLAIN = "\033[0m"
# The names of the facts stand in a column of this width.
NAME_WIDTH = 20

Result = dict[str, Any]


def as_json(result: Result) -> str:
    return json.dumps(result, indent=2)


def for_people(result: Result, *, in_colour: bool) -> str:
    """Return the summary, then the facts below each other, then problems and warnings.

    `in_colour`: a summary with capitals is red, and problems are yellow.
    """
    summary = "\n".join(textwrap.wrap(result["summary"], WIDTH))
    if _is_alarming(result):
        summary = _painted(summary, RED, in_colour=in_colour)
    parts = [summary]
    if "worst" in result:
        parts += [_facts_of_many(result), _table_of_worst(result["worst"])]
    else:
        parts += [_facts_of_one(result)]
    problems = [_problem(problem) for problem in result.get("problems", [])]
    problems += [f"warning: {warning}" for warning in result["warnings"]]
    parts += [_painted(problem, YELLOW, in_colour=in_colour) for problem in problems]
    return "\n\n".join(part for part in parts if part)


def _is_alarming(result: Result) -> bool:
    """Say whether consumers have no token, or will have none."""
    return "CONSUMERS" in result["summary"] or "CAN'T" in result["summary"]


def _painted(text: str, colour: str, *, in_colour: bool) -> str:
    if not in_colour:
        return text
    return f"{colour}{text}{PLAIN}"


def _line(name: str, value: object) -> str:
    return f"{name:{NAME_WIDTH}}{value}"


def _facts_of_one(result: Result) -> str:
    facts = {
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
    return "\n".join(_line(name, value) for name, value in facts.items() if value is not None)


def _facts_of_many(result: Result) -> str:
    names = ("connections", "fresh", "due", "handed_over", "empty")
    facts = {name.replace("_", " "): result[name] for name in names}
    facts["problems"] = len(result["problems"])
    return "\n".join(_line(name, value) for name, value in facts.items())


def _table_of_worst(worst: list[Result]) -> str:
    """Return the connections with the least life, the worst first."""
    if not worst:
        return ""
    width = max(len("connection"), *(len(one["name"]) for one in worst)) + 2
    lines = [f"{'connection':{width}}{'left':>12}  {'ends':22}{'due because':16}last error"]
    for one in worst:
        left = "none"
        if one["seconds_remaining"]:
            left = span_of(one["seconds_remaining"])
        ends = _date_in(one, "expires_at") or "-"
        reason = one["reason"] or "-"
        error = one["error"] or "-"
        lines.append(f"{one['name']:{width}}{left:>12}  {ends:22}{reason:16}{error}")
    return "\n".join(lines)


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
    if "standby" not in result:
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
    return textwrap.fill(f"problem: {told}", WIDTH, subsequent_indent="    ")
