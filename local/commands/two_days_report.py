"""What `make run` shows: the table of all ticks, the summary, and the plot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from local.commands.plot import draw
from local.commands.two_days import HOURS, Played

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.commands.two_days import Tick

COLUMNS = ("time", "outcome", "reason", "time left", "vendor requests", "consumer", "what happens")
ALARM_STYLE = "red"
PLAIN_TEXT_WIDTH = 150


def show(ticks: Iterator[Tick], out: Path) -> int:
    """Print the progress if somebody watches, and then the whole table. Return the exit code."""
    is_watched = Console().is_terminal
    console = Console(width=None if is_watched else PLAIN_TEXT_WIDTH, highlight=False)
    played = Played(_collect(ticks, console))
    console.print(_table(played))
    console.print("\nvendor requests:")
    for line in _summary(played):
        console.print(line, soft_wrap=True)
    for path in draw(played, out):
        console.print(f"plot: {path}")
    return 0


def _collect(ticks: Iterator[Tick], console: Console) -> list[Tick]:
    collected: list[Tick] = []
    hour = -1
    with console.status("starting the vendor and Secrets Manager on loopback") as status:
        for tick in ticks:
            collected.append(tick)
            if not tick.is_retry:
                hour += 1
            status.update(f"hour {hour} of {HOURS}: {tick.outcome}")
    return collected


def _table(played: Played) -> Table:
    table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold")
    for tick in played.ticks:
        is_consumer_well = tick.consumer == 200
        if tick.is_retry and not tick.requests and not is_consumer_well:
            continue  # Lambda repeats every failed run twice; this one changed nothing
        table.add_row(*_cells(tick), style=None if is_consumer_well else ALARM_STYLE)
    return table


def _cells(tick: Tick) -> tuple[str, ...]:
    hours, minutes = divmod(tick.seconds_remaining // 60, 60)
    requests = ", ".join(f"{request.principal}: {_status(request.status, if_none='cut')}" for request in tick.requests)
    return (
        _time(tick),
        tick.outcome,
        tick.reason,
        f"{hours:2}:{minutes:02}",
        requests,
        _status(tick.consumer, if_none="no token"),
        tick.note,
    )


def _time(tick: Tick) -> str:
    time = f"{datetime.fromtimestamp(tick.at, UTC):%a %H:%M}"
    if tick.is_retry:
        return f"{time} retry"
    return time


def _status(status: int, *, if_none: str) -> str:
    if not status:
        return if_none
    return f"HTTP {status}"


def _summary(played: Played) -> Iterator[str]:
    number_of_requests = 0
    for tick in played.ticks:
        for request, why in zip(tick.requests, tick.why, strict=True):
            number_of_requests += 1
            yield f"  {_time(tick)}  {request.principal}, {why}: {_status(request.status, if_none='cut')}"
    calls = played.calls
    yield (
        f"availability as the consumer saw it, from the first token on: {100 * sum(calls) / len(calls):.1f} % "
        f"({sum(calls)} of {len(calls)} hourly calls); vendor requests: {number_of_requests}; "
        f"tokens lost: {played.lost}; hours without a token: {played.hours_without_token}"
    )
