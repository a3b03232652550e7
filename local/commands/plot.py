"""The token's remaining life over the two days, as PNG and SVG."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from local.commands.two_days import HOURS, START
from local.durations import HOUR
from local.pictures import save

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from local.commands.two_days import Played, Tick

WINDOW_HOURS = 4
LIFE_HOURS = 24
TOKEN_COLOR = "#1f5fa8"
WINDOW_COLOR = "#f3c969"
REFRESH_COLOR = "#2e8b57"
FAULT_COLOR = "#c0392b"
GAP_COLOR = "#f8d7d3"


def draw(played: Played, folder: Path) -> list[Path]:
    """Write `remaining-life.png` and `.svg` into the folder; return their paths."""
    figure, axes = plt.subplots(figsize=(10, 4.6), layout="constrained")
    axes.axhspan(0, WINDOW_HOURS, color=WINDOW_COLOR, alpha=0.35, lw=0, label="refresh window (last 4 h)")
    ticks = played.ticks
    refreshed = [tick for tick in ticks if tick.outcome in {"refreshed", "recovered"}]
    faulty = [tick for tick in ticks if any(request.status != 200 for request in tick.requests)]
    _draw_gaps(axes, ticks)
    _draw_life(axes, ticks)
    _draw_marks(axes, refreshed, symbol="o", color=REFRESH_COLOR, label="refreshed")
    _draw_marks(axes, faulty, symbol="X", color=FAULT_COLOR, label="request that brought no token")
    _draw_notes(axes, ticks)
    _draw_counts(axes, faulty)
    axes.set(
        xlabel="hours since the first tick",
        ylabel="hours left",
        xlim=(0, HOURS),
        ylim=(0, LIFE_HOURS + 0.5),
    )
    axes.set_xticks(range(0, HOURS + 1, 4))
    axes.set_yticks(range(0, LIFE_HOURS + 1, 4))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    return save(figure, folder, "remaining-life")


def _hour(tick: Tick) -> float:
    return (tick.at - START) / HOUR


def _hours_remaining(tick: Tick) -> float:
    return tick.seconds_remaining / HOUR


def _draw_gaps(axes: Axes, ticks: list[Tick]) -> None:
    gaps = [(before, after) for before, after in pairwise(ticks) if before.consumer != 200]
    label: str | None = "consumer without a token"
    for before, after in gaps:
        axes.axvspan(_hour(before), _hour(after), color=GAP_COLOR, lw=0, label=label)
        label = None  # once in the legend


def _draw_life(axes: Axes, ticks: list[Tick]) -> None:
    xs = [_hour(ticks[0])]
    ys = [_hours_remaining(ticks[0])]
    for before, after in pairwise(ticks):
        # A life runs down until the very tick that renews it.
        passed = _hour(after) - _hour(before)
        xs += [_hour(after), _hour(after)]
        ys += [max(0.0, _hours_remaining(before) - passed), _hours_remaining(after)]
    axes.plot(xs, ys, color=TOKEN_COLOR, lw=1.8, label="remaining life of the token")


def _draw_marks(axes: Axes, ticks: list[Tick], *, symbol: str, color: str, label: str) -> None:
    axes.plot(
        [_hour(tick) for tick in ticks],
        [_hours_remaining(tick) for tick in ticks],
        symbol,
        color=color,
        ms=8,
        label=label,
        clip_on=False,
        zorder=3,
    )


def _draw_notes(axes: Axes, ticks: list[Tick]) -> None:
    for tick in ticks:
        if not tick.note:
            continue
        hour = _hour(tick)
        life = _hours_remaining(tick)
        top = life - 1 if life > LIFE_HOURS / 2 else LIFE_HOURS - 1  # below the curve, or else above it
        axes.axvline(hour, color="#bbb", lw=0.8, zorder=0)
        axes.text(hour + 0.15, top, tick.note, rotation=90, fontsize=6.5, color="#555", va="top")


def _draw_counts(axes: Axes, faulty: list[Tick]) -> None:
    """Say how many crosses there are in an hour, since that of a retry minutes later hides the one before it."""
    for _, group in groupby(faulty, lambda tick: int(_hour(tick))):
        ticks = list(group)
        if len(ticks) > 1:
            spot = _hour(ticks[0]), _hours_remaining(ticks[0])
            axes.annotate(
                f"x{len(ticks)}",
                spot,
                (2, 6),
                textcoords="offset points",
                color=FAULT_COLOR,
                fontsize=7,
            )
