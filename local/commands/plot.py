"""The token's remaining life over the two days, as PNG and SVG."""

from __future__ import annotations

from itertools import compress, groupby, pairwise
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from local.commands.two_days import HOURS, START
from local.durations import HOUR

if TYPE_CHECKING:
    from pathlib import Path

    from local.commands.two_days import Played

WINDOW_HOURS, LIFE_HOURS = 4, 24
TOKEN, WINDOW, REFRESH, FAULT, GAP = "#1f5fa8", "#f3c969", "#2e8b57", "#c0392b", "#f8d7d3"


def draw(played: Played, folder: Path) -> list[Path]:
    """Write `remaining-life.png` and `.svg` into the folder; return their paths."""
    mpl.rcParams["svg.hashsalt"] = "remaining-life"  # the same picture is the same file
    figure, axes = plt.subplots(figsize=(10, 4.6), layout="constrained")
    axes.axhspan(0, WINDOW_HOURS, color=WINDOW, alpha=0.35, lw=0, label="refresh window (last 4 h)")
    hours = [(tick.at - START) / HOUR for tick in played.ticks]
    left = [tick.seconds_left / HOUR for tick in played.ticks]
    xs, ys = hours[:1], left[:1]
    for (before, was), (hour, now) in pairwise(zip(hours, left, strict=True)):
        xs += [hour, hour]  # a life runs down until the very tick that renews it
        ys += [max(0.0, was - (hour - before)), now]
    gaps = [pair for pair, tick in zip(pairwise(hours), played.ticks, strict=False) if tick.consumer != 200]
    for index, (begin, end) in enumerate(gaps):
        axes.axvspan(begin, end, color=GAP, lw=0, label="consumer without a token" if index == 0 else None)
    axes.plot(xs, ys, color=TOKEN, lw=1.8, label="remaining life of the token")
    refreshed = [tick.outcome in {"refreshed", "recovered"} for tick in played.ticks]
    faulty = [any(request.status != 200 for request in tick.requests) for tick in played.ticks]
    for marked, symbol, color, label in (
        (refreshed, "o", REFRESH, "refreshed"),
        (faulty, "X", FAULT, "request that brought no token"),
    ):
        axes.plot(
            [*compress(hours, marked)],
            [*compress(left, marked)],
            symbol,
            color=color,
            ms=8,
            label=label,
            clip_on=False,
            zorder=3,
        )
    for hour, life, tick in zip(hours, left, played.ticks, strict=True):
        if tick.note:
            axes.axvline(hour, color="#bbb", lw=0.8, zorder=0)
            top = life - 1 if life > LIFE_HOURS / 2 else LIFE_HOURS - 1  # below the curve, or else above it
            axes.text(hour + 0.15, top, tick.note, rotation=90, fontsize=6.5, color="#555", va="top")
    for _, group in groupby(compress(zip(hours, left, strict=True), faulty), lambda spot: int(spot[0])):
        spots = [*group]
        if len(spots) > 1:  # a retry minutes later hides the cross before it
            axes.annotate(f"x{len(spots)}", spots[0], (2, 6), textcoords="offset points", color=FAULT, fontsize=7)
    axes.set(xlabel="hours since the first tick", ylabel="hours left", xlim=(0, HOURS), ylim=(0, LIFE_HOURS + 0.5))
    axes.set_xticks(range(0, HOURS + 1, 4))
    axes.set_yticks(range(0, LIFE_HOURS + 1, 4))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"remaining-life.{kind}" for kind in ("png", "svg")]
    for path in paths:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    return paths
