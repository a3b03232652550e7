"""The study in print: `docs/RELIABILITY.md` and its plots, the same for the same seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from local.durations import HOUR
from local.markdown import table
from local.simulate.ablations import ABLATIONS
from local.simulate.causes import CAUSES, OTHERWISE
from local.simulate.invariants import INVARIANTS
from local.simulate.rates import HARSH, REALISTIC
from local.simulate.study import trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from local.simulate.study import Row

YEAR_HOURS = 365 * 24
NOISE = "Few years a line: what lies within the intervals of two lines is no difference."
COMPARED = "Harsh rates, so that differences show, but for whole days without the vendor, which nobody bridges."
KEEPER, OTHER, ABLATED = "#1f5fa8", "#c0392b", "#8a8f98"
ALTERNATIVES = {"refreshes at every run", "refreshes when expiring", "each service its own"}

INTRODUCTION = """# Reliability: how often consumers hold a good token

Every table and plot here comes from `make study`; the same seeds give the same figures. It plays years of the real
handler: its code decides, claims, asks and publishes. Clock, schedule, Lambda, vendor, Secrets Manager, people and
consumers are simulated, and all that befalls them comes from one seed a year. The AWS client and the HTTP exchange
are stood in for; a test holds that a year leaves the very same trace with botocore and requests in their place.

*Availability* is the part of the time, from the first token on, in which a consumer that reads the secret again on a
401 holds a token that the vendor's API takes. A *plain* consumer caches the secret for an hour, whatever happens.
These are simulated figures under stated rates, no promise: a vendor of other habits gives others. To look into a year:
`.venv/bin/python -m local.simulate --seed 7`, which prints all that happened in it; `--help` names the other years.
"""


def write(rows: Sequence[Row], folder: Path) -> Path:
    """Write the report and its plots into the folder; return the report's path."""
    tables = {table: [row for row in rows if row.case.table == table] for table in {row.case.table for row in rows}}
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "reliability"
    _plot_years(tables["headline"], folder / "reliability-years.svg")
    _plot_bars(tables["schedules"], folder / "reliability-schedules.svg")
    _plot_bars(tables["ablations"], folder / "reliability-ablations.svg")
    path = folder / "RELIABILITY.md"
    closing = f"\nTrace of all years: `{trace_of(rows)}`."
    path.write_text("\n".join([INTRODUCTION, *_sections(tables), closing]) + "\n")
    return path


def _sections(tables: dict[str, list[Row]]) -> Iterable[str]:
    headline = tables["headline"]
    yield "## The figures\n"
    yield _headline(headline)
    yield "\n![Years by their hours without a token](reliability-years.svg)\n"
    yield "Hours without a token in 100 years, by cause: the first in this order that befell since the last token.\n"
    yield _causes(headline)
    yield "\nTokens that were issued and lost, per 1,000 refreshes; `vendor_…` is what the answer met.\n"
    yield _lost(headline)
    yield "\n## How often to look\n"
    yield f"{COMPARED} A check of a fresh token is one call.\n"
    yield _comparison(tables["schedules"], "schedule")
    yield "\n![Hours without a token by schedule](reliability-schedules.svg)\n"
    yield "## What each mechanism is for\n"
    yield f"{COMPARED} The first line is the product.\n"
    yield _comparison(tables["ablations"], "without")
    yield "\n![Hours without a token, by what is taken out](reliability-ablations.svg)\n"
    yield "\n".join(f"- *{name}*: {ablation.words}." for name, ablation in ABLATIONS.items() if ablation.is_studied)
    yield "\n## Settings\n"
    yield f"{COMPARED}\n"
    yield _comparison(tables["settings"], "setting")
    yield "\n## What holds at every step\n"
    yield _invariants(tables["invariants"])
    yield "\n## The rates\n"
    yield "The realistic ones with their reasons. With the harsh ones clocks are up to five minutes apart.\n"
    yield _rates()


def _percent(part: float) -> str:
    return f"{100 * part:.4f} %"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:.1f} h"


def _headline(rows: Sequence[Row]) -> str:
    heads = ["", *(row.case.name for row in rows)]
    lines = [
        ("years", [str(len(row.figures)) for row in rows]),
        ("availability, mean", [_percent(row.mean) for row in rows]),
        ("its 95 % interval", [" to ".join(map(_percent, row.interval)) for row in rows]),
        ("years without any outage", [f"{sum(not one.outages for one in row.figures)}" for row in rows]),
        ("worst year", [f"{_percent(row.worst.careful)} (seed {row.worst.seed})" for row in rows]),
        ("longest outage", [_hours(row.longest_outage) for row in rows]),
        ("a plain consumer, mean", [_percent(_mean(one.plain for one in row.figures)) for row in rows]),
        ("tokens published", [f"{row.total('published'):,}" for row in rows]),
        ("tokens lost", [str(row.total("lost").total()) for row in rows]),
        ("refused by the limit", [str(row.total("refusals")) for row in rows]),
        ("requests to the vendor a day", [f"{row.total('requests') / len(row.figures) / 365:.2f}" for row in rows]),
        ("AWS calls a day", [f"{row.total('calls') / len(row.figures) / 365:.1f}" for row in rows]),
        ("most versions in 24 h", [str(max(one.most_versions for one in row.figures)) for row in rows]),
        ("invariants broken", [str(row.broken.total()) for row in rows]),
    ]
    return table(heads, [[name, *cells] for name, cells in lines])


def _mean(values: Iterable[float]) -> float:
    listed = [*values]
    return sum(listed) / len(listed)


def _causes(rows: Sequence[Row]) -> str:
    causes = [cause for cause in (*CAUSES, OTHERWISE) if any(row.hours_by_cause[cause] for row in rows)]
    return _by_cause(rows, causes, lambda row, cause: f"{row.hours_by_cause[cause] * 100 / len(row.figures):.1f}")


def _lost(rows: Sequence[Row]) -> str:
    causes = sorted({cause for row in rows for cause in row.total("lost")})
    return _by_cause(
        rows, causes, lambda row, cause: f"{row.total('lost')[cause] * 1_000 / row.total('published'):.3f}"
    )


def _by_cause(rows: Sequence[Row], causes: Iterable[str], cell: Callable[[Row, str], str]) -> str:
    heads = ["cause", *(row.case.name for row in rows)]
    return table(heads, [[cause, *(cell(row, cause) for row in rows)] for cause in causes])


def _comparison(rows: Sequence[Row], head: str) -> str:
    heads = [head, "availability", "its 95 % interval", "h a year without", "longest"]
    heads += ["lost", "refused", "requests a day", "most versions"]
    lines = []
    for row in rows:
        years = sum(one.days for one in row.figures) / 365
        lines.append(
            [
                row.case.name,
                _percent(row.mean),
                " to ".join(f"{100 * part:.2f}" for part in row.interval),
                f"{(1 - row.mean) * YEAR_HOURS:.1f}",
                _hours(row.longest_outage),
                f"{row.total('lost').total() / years:.1f}",
                f"{row.total('refusals') / years:.1f}",
                f"{row.total('requests') / years / 365:.2f}",
                str(max(one.most_versions for one in row.figures)),
            ]
        )
    return table(heads, lines) + f"\n\nLost and refused are per year. {NOISE}"


def _invariants(rows: Sequence[Row]) -> str:
    whole, ablated = [row for row in rows if not row.case.ablation], [row for row in rows if row.case.ablation]
    days = sum(one.days for row in whole for one in row.figures)
    runs = sum(row.total("runs").total() for row in whole)
    broken = sum(row.broken.total() for row in whole)
    said = (
        f"Checked at every write, request and end of a run. In {days:,} days ({runs:,} runs) of rates far beyond the\n"
        f"harsh ones, with and without a standby and a probe, {broken} were broken. And this breaks each, so that\n"
        "each can fail:\n"
    )
    lines = []
    for name, words in INVARIANTS.items():
        by = [f"*{row.case.name}* ({row.broken[name]})" for row in ablated if row.broken[name]]
        lines.append([words, ", ".join(by) or "nothing here"])
    return said + "\n" + table(["what holds", "broken by (times)"], lines)


def _rates() -> str:
    harsh = {name: value for name, value, _, _ in HARSH.table()}
    lines = [[name, f"{value:g}", f"{harsh[name]:g}", per, why] for name, value, per, why in REALISTIC.table()]
    return table(["rate", "realistic", "harsh", "per", "why"], lines)


def _plot_years(rows: Sequence[Row], path: Path) -> None:
    """Draw how many years in a hundred are worse than so many hours without a token."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for row, color, style in zip(rows, (KEEPER, OTHER, KEEPER, OTHER), ("-", "-", ":", ":"), strict=True):
        hours = sorted((1 - part) * YEAR_HOURS for part in row.availabilities)
        share = [100 * (len(hours) - index) / len(hours) for index in range(len(hours))]
        axes.step([max(hour, 1e-2) for hour in hours], share, where="post", color=color, ls=style, label=row.case.name)
    axes.set(
        xscale="log", xlabel="hours of a year without a token", ylabel="years as bad or worse, %", xlim=(1e-2, None)
    )
    axes.axvline(YEAR_HOURS * 1e-4, color="#bbb", lw=0.8)
    axes.text(YEAR_HOURS * 1e-4, 101, "99.99 %", fontsize=8, color="#555", ha="center")
    _finish(figure, axes, path)


def _plot_bars(rows: Sequence[Row], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 0.7 + 0.27 * len(rows)), layout="constrained")
    names = [row.case.name for row in rows]
    hours = [max((1 - row.mean) * YEAR_HOURS, 1e-2) for row in rows]
    colors = [
        OTHER if name in ALTERNATIVES else ABLATED if name in ABLATIONS or name.endswith("no standby") else KEEPER
        for name in names
    ]
    axes.barh(names, hours, color=colors)
    axes.set(xscale="log", xlabel="hours of a year without a token (log scale)")
    axes.invert_yaxis()
    _finish(figure, axes, path, legend=False)


def _finish(figure: Figure, axes: Axes, path: Path, *, legend: bool = True) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
