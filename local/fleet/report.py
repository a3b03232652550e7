"""What `python -m local fleet` shows: the progress, the table, what was checked, and the plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from local.durations import HOUR, MINUTE
from local.fleet.checks import checks_of, figures_of
from local.fleet.plot import draw
from local.simulate.plan import START

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from local.fleet.checks import Check
    from local.fleet.fleet import Fleet

PLAIN_TEXT_WIDTH = 150
BROKEN_STYLE = "red"


def show(fleet: Fleet, out: Path) -> int:
    """Play the fleet, and print what came of it. Return the exit code: 1 if something did not hold."""
    is_watched = Console().is_terminal
    console = Console(width=None if is_watched else PLAIN_TEXT_WIDTH, highlight=False)
    _play(fleet, console)
    figures = figures_of(fleet)
    console.print(_table(rows_of(fleet)))
    checks = checks_of(fleet, figures)
    console.print(_table_of_checks(checks))
    for path in draw(fleet, out):
        console.print(f"plot: {path}")
    return 0 if all(check.holds for check in checks) else 1


def _play(fleet: Fleet, console: Console) -> None:
    hours = (fleet.setup.end - START) / HOUR
    with console.status("the first hour") as status:
        for now in fleet.play():
            status.update(
                f"hour {(now - START) / HOUR:.0f} of {hours:.0f}: {len(fleet.present)} connections, "
                f"{fleet.runs.total()} runs, {fleet.network.requests} requests to the vendor"
            )


def rows_of(fleet: Fleet) -> Iterator[tuple[str, str]]:
    """Yield the figures, each with its name."""
    figures = figures_of(fleet)
    calls = fleet.secrets_manager.calls_by_kind
    yield "connections", f"{len(fleet.records)} in all, {len(fleet.present)} at the end"
    longest = max((sweep.seconds for sweep in fleet.sweeps), default=0)
    yield "sweeps", f"{len(fleet.sweeps)}, the longest {longest:.0f} s"
    yield "runs of connections", f"{fleet.runs.total()}{_in_brackets(fleet.runs)}"
    yield "runs at once", f"{fleet.function.most_at_once} at most, of {fleet.setup.concurrency}"
    yield "longest time in the queue", f"{fleet.function.longest_wait:.0f} s, retries included"
    yield "AWS calls", f"{calls.total()}{_in_brackets(calls)}; throttled {fleet.secrets_manager.throttled}"
    yield "vendor requests", f"{fleet.network.requests}{_in_brackets(fleet.network.endings)}"
    yield (
        "vendor requests per due connection",
        f"{figures.requests_per_due:.3f}, apart from faults ({figures.served} were due)",
    )
    yield "most versions of a secret", f"{figures.most_versions} in 24 h"
    yield "availability, mean", _percent(figures.mean_availability)
    yield "availability, worst store", f"{_percent(figures.worst.availability)} ({figures.worst.store})"
    yield "hours of waiting for the first token, all stores together", f"{figures.hours_of_waiting:.1f}"
    yield "hours without a token after the first one, all stores together", f"{figures.hours_without:.1f}"
    yield "avoidable hours, of the two lines above", f"{figures.avoidable_hours:.2f}"
    yield "longest time from due to a new token", f"{figures.longest_wait / MINUTE:.1f} minutes, apart from troubles"
    yield "tokens lost by faults", str(len(fleet.lost))
    letters = fleet.function.dead_letters
    yield "dead letters", f"{letters.total()}{_in_brackets(letters)}"


def _table(rows: Iterator[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in rows:
        table.add_row(name, value)
    return table


def _table_of_checks(checks: list[Check]) -> Table:
    table = Table("what must hold", "found", "", box=None, pad_edge=False, header_style="bold")
    for check in checks:
        word = "holds" if check.holds else "BROKEN"
        table.add_row(check.sentence, check.found, word, style=None if check.holds else BROKEN_STYLE)
    return table


def _percent(part: float) -> str:
    return f"{100 * part:.3f} %"


def _in_brackets(counted: Counter[str]) -> str:
    words = ", ".join(f"{name} {count}" for name, count in counted.most_common())
    return f" ({words})" if words else ""
