"""The fleet over time, as PNG and SVG: the remaining lives of the tokens, and what each sweep hands over."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from local.durations import HOUR
from local.fleet.plan import plan_outages
from local.pictures import save
from local.simulate.plan import START

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from local.fleet.fleet import Fleet
    from local.fleet.records import SweepRecord

LIFE_HOURS = 24
WINDOW_HOURS = 4
LIFE_COLOR = "#1f5fa8"
LEAST_COLOR = "#c0392b"
WINDOW_COLOR = "#f3c969"
HANDED_OVER_COLOR = "#2e8b57"
PROBLEM_COLOR = "#c0392b"
OUTAGE_COLOR = "#f8d7d3"
OUTAGE_WORDS = {"vendor_5xx": "vendor answers 503", "vendor_silent": "vendor does not answer"}


def draw(fleet: Fleet, folder: Path) -> list[Path]:
    """Write `fleet.png` and `.svg` into the folder; return their paths."""
    figure, (lives, sweeps) = plt.subplots(2, 1, figsize=(10, 6.4), sharex=True, layout="constrained")
    whole = [sweep for sweep in fleet.sweeps if sweep.outcome == "swept"]  # the others were killed, or failed
    _draw_lives(lives, whole)
    _draw_sweeps(sweeps, whole)
    for axes in (lives, sweeps):
        _draw_outages(axes, fleet)
        axes.spines[["top", "right"]].set_visible(False)
    hours = (fleet.setup.end - START) / HOUR
    sweeps.set(xlabel="hours since the first sweep", xlim=(0, hours))
    figure.legend(loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return save(figure, folder, "fleet")


def _hours(sweeps: list[SweepRecord]) -> list[float]:
    return [(sweep.at - START) / HOUR for sweep in sweeps]


def _draw_lives(axes: Axes, sweeps: list[SweepRecord]) -> None:
    with_lives = [sweep for sweep in sweeps if sweep.lives]
    hours = _hours(with_lives)
    medians = [statistics.median(sweep.lives) / HOUR for sweep in with_lives]
    tenths = [sweep.lives[len(sweep.lives) // 10] / HOUR for sweep in with_lives]
    least = [sweep.lives[0] / HOUR for sweep in with_lives]
    axes.axhspan(0, WINDOW_HOURS, color=WINDOW_COLOR, alpha=0.35, lw=0, label="refresh window (last 4 h)")
    axes.plot(hours, medians, color=LIFE_COLOR, lw=1.8, label="remaining life, median of the stores")
    axes.plot(hours, tenths, color=LIFE_COLOR, lw=1, ls="--", label="the same, of the tenth with the least")
    axes.plot(hours, least, color=LEAST_COLOR, lw=1, label="the same, of the store with the least")
    axes.set(ylabel="hours left", ylim=(0, LIFE_HOURS + 0.5))
    axes.set_yticks(range(0, LIFE_HOURS + 1, 4))


def _draw_sweeps(axes: Axes, sweeps: list[SweepRecord]) -> None:
    hours = _hours(sweeps)
    axes.bar(hours, [sweep.handed_over for sweep in sweeps], 0.7, color=HANDED_OVER_COLOR, label="handed over")
    axes.step(hours, [sweep.problems for sweep in sweeps], color=PROBLEM_COLOR, lw=1, where="mid", label="problems")
    axes.set(ylabel="connections of a sweep", ylim=(0, None))


def _draw_outages(axes: Axes, fleet: Fleet) -> None:
    for outage in plan_outages(fleet.setup):
        begin = (outage.begin - START) / HOUR
        end = (outage.end - START) / HOUR
        axes.axvspan(begin, end, color=OUTAGE_COLOR, lw=0, zorder=0)
        _, top = axes.get_ylim()
        axes.text(begin + 0.1, top, OUTAGE_WORDS[outage.fault], rotation=90, fontsize=6.5, color="#555", va="top")
