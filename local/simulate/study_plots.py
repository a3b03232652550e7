"""The plots of the study: means as dots with their intervals, and the product's own interval as a band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from local.simulate.availability import YEAR_HOURS, hours_without_token
from local.simulate.study import PRODUCT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from local.simulate.availability import Availability
    from local.simulate.results_file import Results

PRODUCT_PERIOD = "1 h"
WITHOUT_STANDBY = ", no standby"
ALTERNATIVES = {"refreshes at every run", "refreshes when expiring", "each service its own"}

PRODUCT_COLOR = "#1f5fa8"
MECHANISM_COLOR = "#5f6670"
OTHER_COLOR = "#c0392b"
GRID_COLOR = "#dddddd"
WIDTH_INCHES = 9
MARGIN_INCHES = 1.3  # the axis, its words and the legend
FOUR_NINES = 1e-4
LEAST_SHOWN_HOURS = 0.01  # half a minute: an axis that began at the shortest outage would be mostly empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Dots that look alike. `dots` has them by the name of the line on which they stand."""

    label: str
    color: str
    marker: str
    dots: dict[str, Availability]
    below: float = 0.0  # how far below the line they stand, so that two series do not hide each other


def draw_all(results: Results, folder: Path) -> None:
    """Write the three plots into the folder."""
    mpl.rcParams["svg.hashsalt"] = "reliability"  # the same plot is the same file
    _draw_years(results.tables["headline"], folder / "reliability-years.svg")
    _draw_schedules(results.tables["schedules"], folder / "reliability-schedules.svg")
    _draw_ablations(results.tables["ablations"], folder / "reliability-ablations.svg")


def _draw_schedules(cases: Sequence[Availability], path: Path) -> None:
    with_standby = {case.name: case for case in cases if not case.name.endswith(WITHOUT_STANDBY)}
    without = {case.name.removesuffix(WITHOUT_STANDBY): case for case in cases if case.name.endswith(WITHOUT_STANDBY)}
    series = [
        Series(label="with a standby", color=PRODUCT_COLOR, marker="o", dots=with_standby, below=-0.14),
        Series(label="without a standby", color=OTHER_COLOR, marker="D", dots=without, below=0.14),
    ]
    figure, axes = _comparison(series, lines=list(without), line_inches=0.4)
    axes.set_ylabel("one run every")
    _draw_band(axes, with_standby[PRODUCT_PERIOD], "95 % interval of the product (1 h, with a standby)")
    _finish(figure, axes, path)


def _draw_ablations(cases: Sequence[Availability], path: Path) -> None:
    product = {case.name: case for case in cases if case.name == PRODUCT}
    alternatives = {case.name: case for case in cases if case.name in ALTERNATIVES}
    mechanisms = {case.name: case for case in cases if case.name not in product | alternatives}
    series = [
        Series(label=PRODUCT, color=PRODUCT_COLOR, marker="o", dots=product),
        Series(label="the product without one mechanism", color=MECHANISM_COLOR, marker="o", dots=mechanisms),
        Series(label="what others would write", color=OTHER_COLOR, marker="D", dots=alternatives),
    ]
    figure, axes = _comparison(series, lines=[case.name for case in cases], line_inches=0.27)
    _draw_band(axes, product[PRODUCT], "95 % interval of the product")
    _finish(figure, axes, path)


def _comparison(series: Sequence[Series], *, lines: Sequence[str], line_inches: float) -> tuple[Figure, Axes]:
    """Draw the dots of each series. `lines` are the names at the side from top to bottom."""
    size = (WIDTH_INCHES, MARGIN_INCHES + line_inches * len(lines))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    for one in series:
        _draw_dots(axes, one, lines)
    axes.set_yticks(range(len(lines)), lines)
    axes.set_ylim(len(lines) - 0.4, -0.6)  # the first line is at the top
    every_dot = [dot for one in series for dot in one.dots.values()]
    years = max(len(dot.years) for dot in every_dot)
    axes.set_xlabel(f"hours of a year without a token: mean of {years} plays and its 95 % interval (log scale)")
    _set_hours_axis(axes, [hours for dot in every_dot for hours in dot.hours_interval])
    return figure, axes


def _draw_band(axes: Axes, product: Availability, label: str) -> None:
    fewest, most = product.hours_interval
    axes.axvspan(fewest, most, color=PRODUCT_COLOR, alpha=0.13, lw=0, zorder=0, label=label)


def _draw_dots(axes: Axes, series: Series, lines: Sequence[str]) -> None:
    label: str | None = series.label
    for line, dot in series.dots.items():
        height = lines.index(line) + series.below
        axes.plot(dot.hours_interval, [height, height], color=series.color, lw=1.4, marker="|", markersize=6)
        axes.plot(dot.hours_without_token, height, series.marker, color=series.color, markersize=5.5, label=label)
        label = None  # once in the legend


def _draw_years(cases: Sequence[Availability], path: Path) -> None:
    """Draw, for each number of hours, how many of the years were longer than that without a token."""
    figure, axes = plt.subplots(figsize=(WIDTH_INCHES, 4.2), layout="constrained")
    colors = (PRODUCT_COLOR, OTHER_COLOR, PRODUCT_COLOR, OTHER_COLOR)
    styles = ("-", "-", ":", ":")
    every_hours = [hours_without_token(year) for case in cases for year in case.years]
    _set_hours_axis(axes, every_hours)
    leftmost, _ = axes.get_xlim()
    for case, color, style in zip(cases, colors, styles, strict=True):
        hours = sorted(hours_without_token(year) for year in case.years)
        edges = [leftmost, *(hour for hour in hours if hour > leftmost)]
        worse = [100 * sum(hour > edge for hour in hours) / len(hours) for edge in edges]
        label = f"{case.name}: {len(hours)} years"
        axes.step(edges, worse, where="post", color=color, ls=style, lw=1.6, label=label)
    axes.set(
        xlabel="hours of a year without a token (log scale)",
        ylabel="years with more than that, %",
        ylim=(0, 104),
    )
    _mark_four_nines(axes)
    _finish(figure, axes, path, legend_columns=2)


def _mark_four_nines(axes: Axes) -> None:
    hours = YEAR_HOURS * FOUR_NINES
    axes.axvline(hours, color="#888888", lw=0.8)
    axes.text(hours, 70, " 99.99 % of the year\n with a token", fontsize=8, color="#444444")


def _set_hours_axis(axes: Axes, plotted: Sequence[float]) -> None:
    """Show whole decades, in plain figures. What lies further to the left, as zero always does, is cut off."""
    hours = [one for one in plotted if one > LEAST_SHOWN_HOURS] or [LEAST_SHOWN_HOURS]
    first_decade = math.floor(math.log10(min(hours)))
    last_decade = math.ceil(math.log10(max(hours)))
    axes.set_xlim(10**first_decade, 10 ** max(last_decade, first_decade + 1))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=GRID_COLOR, lw=0.8)
    axes.set_axisbelow(True)


def _finish(figure: Figure, axes: Axes, path: Path, *, legend_columns: int = 4) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=legend_columns, fontsize=9, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
