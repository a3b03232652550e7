"""What `make run` shows: the table while it plays, the summary, and the plot."""

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
GOOD, BAD = "green", "red"


def show(ticks: Iterator[Tick], out: Path) -> int:
    """Print each tick as it happens where somebody watches, the whole table in any case; return the exit code."""
    console = Console(width=None if Console().is_terminal else 150, highlight=False)
    played: list[Tick] = []
    with console.status("starting the vendor and Secrets Manager on loopback") as status:
        for tick in ticks:
            played.append(tick)
            status.update(f"hour {len([one for one in played if not one.is_retry]) - 1} of {HOURS}: {tick.outcome}")
    table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold")
    for tick in played:
        if tick.is_retry and not tick.requests and tick.consumer != 200:
            continue  # Lambda repeats every failed run twice; where nothing came of it there is nothing to see
        table.add_row(*_cells(tick), style=None if tick.consumer == 200 else BAD)
    console.print(table)
    summary = Played(played)
    console.print("\nvendor requests:")
    for line in _summary(summary):
        console.print(line, soft_wrap=True)
    for path in draw(summary, out):
        console.print(f"plot: {path}")
    return 0


def _cells(tick: Tick) -> tuple[str, ...]:
    hours, minutes = divmod(tick.seconds_left // 60, 60)
    requests = ", ".join(f"{request.client_id}: {_answer(request.status)}" for request in tick.requests)
    consumer = {0: "no token"}.get(tick.consumer, f"HTTP {tick.consumer}")
    return _time(tick), tick.outcome, tick.reason, f"{hours:2}:{minutes:02}", requests, consumer, tick.note


def _time(tick: Tick) -> str:
    return f"{datetime.fromtimestamp(tick.at, UTC):%a %H:%M}" + (" retry" if tick.is_retry else "")


def _answer(status: int) -> str:
    return f"HTTP {status}" if status else "cut"


def _summary(played: Played) -> Iterator[str]:
    calls = played.calls
    requests = [(tick, *pair) for tick in played.ticks for pair in zip(tick.requests, tick.why, strict=True)]
    for tick, request, why in requests:
        yield f"  {_time(tick)}  {request.client_id}, {why}: {_answer(request.status)}"
    yield (
        f"availability as the consumer saw it, from the first token on: {100 * sum(calls) / len(calls):.1f} % "
        f"({sum(calls)} of {len(calls)} hourly calls); vendor requests: {len(requests)}; tokens lost: {played.lost}"
    )
