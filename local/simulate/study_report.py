"""The study in print: `docs/RELIABILITY.md` and its plots, the same for the same seeds."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from local.durations import HOUR, MINUTE
from local.fleet.records import HEALING_SECONDS
from local.intervals import half_interval
from local.markdown import table
from local.simulate import study_words as words
from local.simulate.ablations import ABLATIONS
from local.simulate.availability import YEAR_HOURS
from local.simulate.causes import CAUSES, OTHERWISE
from local.simulate.invariants import INVARIANTS
from local.simulate.plan import Plan
from local.simulate.rates import HARSH, REALISTIC, TORTURE
from local.simulate.results_file import RESULTS_FILE, results_of, save
from local.simulate.study import (
    DEFAULTS,
    REAL,
    SETTINGS,
    WITH_STANDBY,
    WITHOUT_STANDBY,
    WRITES_BY_HAND,
    Row,
)
from local.simulate.study_plots import draw_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from local.simulate.availability import Availability
    from local.simulate.figures import Figures
    from local.simulate.many_connections import FleetDays
    from local.simulate.results_file import Results
    from local.simulate.study import Study

YEAR_DAYS = 365
COMPARISON_HEADS = (
    "availability",
    "its 95 % interval",
    "h a year without",
    "more hours",
    "longest",
    "lost",
    "refused",
    "requests a day",
    "most versions",
)


def _percent(part: float) -> str:
    return f"{100 * part:.4f} %"


def _hours(seconds: float) -> str:
    return f"{seconds / HOUR:.1f} h"


def _worst_year(row: Row) -> str:
    return f"{_percent(row.worst.careful)} (seed {row.worst.seed})"


def write(study: Study, folder: Path, *, scale: float) -> Path:
    """Write the report, its plots and the results that they are drawn from into the folder; return the report's path.

    The report names the run that it comes from by the `scale` that was played.
    """
    tables: dict[str, list[Row]] = {}
    for row in study.rows:
        tables.setdefault(row.case.table, []).append(row)
    folder.mkdir(parents=True, exist_ok=True)
    results = results_of(study, scale)
    save(results, folder / RESULTS_FILE)
    draw_all(results, folder)
    path = folder / "RELIABILITY.md"
    path.write_text("\n\n".join([*_sections(tables, study.fleet), _closing(results)]) + "\n")
    return path


def _closing(results: Results) -> str:
    return (
        f"This page was written by `.venv/bin/python -m local.simulate --scale {results.scale:g}`. "
        f"Trace of all that it played: `{results.trace}`.\n"
        f"The plots are drawn from [{RESULTS_FILE}]({RESULTS_FILE}); {words.DRAWN_AGAIN}"
    )


def _sections(tables: dict[str, list[Row]], fleet: FleetDays) -> Iterator[str]:
    """Yield the page's paragraphs."""
    headline = tables["headline"]
    product = tables["ablations"][0]
    yield words.INTRODUCTION
    yield _short_answer(headline)
    yield "## The figures"
    yield words.HEADLINE
    yield _headline(headline)
    yield "![Years by their hours without a token](reliability-years.svg)"
    yield words.CAUSES
    yield _causes(headline)
    yield words.LOST
    yield _lost(headline)
    yield "## The simulated vendor"
    yield words.VENDOR
    yield _by_habit(headline)
    yield "## How to read the comparisons"
    yield words.COMPARISONS
    yield "## The same years, with one thing changed"
    yield from _changes(headline, tables["changes"])
    yield "## Many connections"
    yield from _many_connections(fleet)
    yield "## How often to look"
    yield f"{words.COMPARED} {words.SCHEDULES} {_plays(product)}"
    hourly = [row for row in tables["schedules"] if row.case.setup.period == REAL.period]
    yield from _comparison("one run every", tables["schedules"], products=_by_standby(hourly))
    yield "![Hours without a token by schedule](reliability-schedules.svg)"
    yield "## What each mechanism is for"
    yield f"{words.COMPARED} {_plays(product)} {words.ABLATIONS}"
    yield from _comparison("without", tables["ablations"], products={True: product})
    yield "![Hours without a token, by what is taken out](reliability-ablations.svg)"
    yield _ablations(is_studied=True)
    yield "## Settings"
    yield f"{words.COMPARED} {words.SETTINGS} {_plays(product)}"
    defaults = Row(replace(product.case, name=_names_of_defaults()), product.figures)
    yield from _comparison("setting", [defaults, *tables["settings"]], products={True: defaults})
    yield "## What holds at every step"
    yield from _invariants(tables["invariants"])
    yield "## The rates"
    yield words.RATES
    yield _rates()


def _short_answer(headline: Sequence[Row]) -> str:
    hours = {row.case.name: row.availability.hours_without_token for row in headline}
    return (
        f"In short: on average, consumers have no good token for {hours[WITH_STANDBY]:.1f} hours of a year if there is "
        f"a standby, and for {hours[WITHOUT_STANDBY]:.1f} hours if there is none. {words.ELSEWHERE}"
    )


def _headline(rows: Sequence[Row]) -> str:
    cells: dict[str, Callable[[Row], str]] = {
        "years": lambda row: str(len(row.figures)),
        "availability, mean": lambda row: _percent(row.availability.mean),
        "its 95 % interval": lambda row: " to ".join(map(_percent, row.availability.interval)),
        "years without any outage": lambda row: str(sum(not year.outages for year in row.figures)),
        "worst year": _worst_year,
        "longest outage": lambda row: _hours(row.longest_outage),
        "a plain consumer, mean": lambda row: _percent(statistics.fmean(year.plain for year in row.figures)),
        "tokens published a year": lambda row: f"{row.total('published') / len(row.figures):.1f}",
        "tokens lost a year": lambda row: f"{row.total('lost').total() / len(row.figures):.2f}",
        "refused by the limit a year": lambda row: f"{row.total('refusals') / len(row.figures):.2f}",
        "requests to the vendor a day": lambda row: f"{_per_day(row, 'requests'):.2f}",
        "AWS calls a day": lambda row: f"{_per_day(row, 'calls'):.1f}",
        "most versions in 24 h": _max_versions,
        "invariants broken": lambda row: str(row.broken.total()),
    }
    heads = ["", *(row.case.name for row in rows)]
    return table(heads, [[name, *map(cell, rows)] for name, cell in cells.items()])


def _per_day(row: Row, figure: str) -> float:
    """Return the figure's mean per day of whole years."""
    mean: float = row.total(figure) / len(row.figures) / YEAR_DAYS
    return mean


def _max_versions(row: Row) -> str:
    return str(max(year.max_versions_per_day for year in row.figures))


def _causes(rows: Sequence[Row]) -> str:
    def hours_in_100_years(row: Row, cause: str) -> str:
        return f"{row.hours_by_cause[cause] * 100 / len(row.figures):.1f}"

    return _by_cause(rows, (*CAUSES, OTHERWISE), hours_in_100_years)


def _lost(rows: Sequence[Row]) -> str:
    causes = sorted({cause for row in rows for cause in row.total("lost")})

    def lost_in_1000(row: Row, cause: str) -> str:
        return f"{row.total('lost')[cause] * 1_000 / row.total('published'):.3f}"

    return _by_cause(rows, causes, lost_in_1000)


def _by_cause(rows: Sequence[Row], causes: Iterable[str], cell: Callable[[Row, str], str]) -> str:
    heads = ["cause", *(row.case.name for row in rows)]
    return table(heads, [[cause, *(cell(row, cause) for row in rows)] for cause in causes])


def _by_habit(rows: Sequence[Row]) -> str:
    """Split the years by whether the vendor begins its interval again when it refuses a request."""
    lines = []
    for extends, habit in ((False, "the 20 hours go on after a refusal"), (True, "they begin again")):
        chosen = [[year for year in row.figures if _refusals_extend(row, year) == extends] for row in rows]
        lines.append([f"{habit}: years", *(str(len(years)) for years in chosen)])
        lines.append([f"{habit}: availability, mean", *map(_mean_availability, chosen)])
    return table(["", *(row.case.name for row in rows)], lines)


def _mean_availability(years: Sequence[Figures]) -> str:
    if not years:
        return ""
    return _percent(statistics.fmean(year.careful for year in years))


def _refusals_extend(row: Row, year: Figures) -> bool:
    return Plan(year.seed, row.case.setup).refusals_extend


def _changes(headline: Sequence[Row], changed: Sequence[Row]) -> Iterator[str]:
    """Compare some years of the headline with the same seeds under one change each."""
    years = changed[0].case.years
    unchanged = [
        Row(replace(row.case, name=f"nothing is changed, {row.case.name}"), row.figures[:years])
        for row in headline
        if row.case.name in {WITH_STANDBY, WITHOUT_STANDBY}
    ]
    unchanged_by_standby = _by_standby(unchanged)
    cells: dict[str, Callable[[Row], str]] = {
        "availability, mean": lambda row: _percent(row.availability.mean),
        "its 95 % interval": lambda row: " to ".join(f"{100 * part:.4f}" for part in row.availability.interval),
        "more hours": lambda row: _more_hours(row, unchanged_by_standby),
        "worst year": _worst_year,
        "longest outage": lambda row: _hours(row.longest_outage),
        "lost": lambda row: f"{row.total('lost').total() / years:.2f}",
        "refused": lambda row: f"{row.total('refusals') / years:.2f}",
        "most versions": _max_versions,
        "invariants broken": lambda row: str(row.broken.total()),
    }
    rows = [*unchanged, *changed]
    written_every = 1 / sum(getattr(REALISTIC, name) for name in WRITES_BY_HAND)
    yield (
        f"The first {years} seeds of the realistic rates, with a standby if the line does not say otherwise. Each line "
        "is compared with one of the first two. Usually somebody writes the token secret by hand once in "
        f"{written_every:.0f} years, and one read in {1 / REALISTIC.aws_lag:,.0f} lags. {words.CHANGES}"
    )
    yield table(["", *cells], [[row.case.name, *(cell(row) for cell in cells.values())] for row in rows])
    yield _verdict(rows, unchanged_by_standby)


def _many_connections(fleet: FleetDays) -> Iterator[str]:
    setup = fleet.setup
    yield (
        f"One function keeps {setup.connections:,} connections for {setup.days:g} days. {words.FLEET} A time without a "
        f"token is *avoidable* if it is later than {HEALING_SECONDS / MINUTE:.0f} minutes after the end of what "
        "troubled the store: a fault, a mistake, or that it was new."
    )
    yield table(["", "found"], fleet.figures)
    checks = [[check.sentence, check.found, "yes" if check.holds else "**no**"] for check in fleet.checks]
    yield table(["what must hold", "found", "holds"], checks)


def _comparison(head: str, rows: Sequence[Row], products: Mapping[bool, Row]) -> Iterator[str]:
    """Compare each line with one of the products, which are by whether the line has a standby."""
    yield table((head, *COMPARISON_HEADS), [_comparison_cells(row, products) for row in rows])
    yield _verdict(rows, products)


def _by_standby(rows: Sequence[Row]) -> dict[bool, Row]:
    return {row.case.setup.standby: row for row in rows}


def _plays(row: Row) -> str:
    return f"Each line has {len(row.figures)} plays of {row.case.setup.days} days."


def _names_of_defaults() -> str:
    names = [f"{name} = {DEFAULTS[name]}" for name in SETTINGS]
    return f"{', '.join(names)}, no probe"


def _comparison_cells(row: Row, products: Mapping[bool, Row]) -> list[str]:
    years = sum(year.days for year in row.figures) / YEAR_DAYS
    return [
        *availability_cells(row.availability),
        _more_hours(row, products),
        _hours(row.longest_outage),
        f"{row.total('lost').total() / years:.1f}",
        f"{row.total('refusals') / years:.1f}",
        f"{row.total('requests') / years / YEAR_DAYS:.2f}",
        _max_versions(row),
    ]


class _MoreHours(NamedTuple):
    """How many more hours of a year there is no token than with the product, and the mean's 95 % interval."""

    mean: float
    half_interval: float

    @property
    def is_worse(self) -> bool:
        return self.mean > self.half_interval

    @property
    def is_better(self) -> bool:
        return -self.mean > self.half_interval


def _compared(row: Row, products: Mapping[bool, Row]) -> _MoreHours:
    product = products[row.case.setup.standby]
    differences = [
        YEAR_HOURS * (whole.careful - changed.careful)
        for whole, changed in zip(product.figures, row.figures, strict=True)
    ]
    return _MoreHours(statistics.fmean(differences), half_interval(differences))


def _more_hours(row: Row, products: Mapping[bool, Row]) -> str:
    if _is_unchanged(row, products):
        return ""
    more = _compared(row, products)
    mean = round(more.mean, 1) + 0.0  # not -0.0
    return f"{mean:+.1f} ± {more.half_interval:.1f}"


def _is_unchanged(row: Row, products: Mapping[bool, Row]) -> bool:
    """Say whether exactly the same happened as with the product."""
    product = products[row.case.setup.standby]
    return [year.trace for year in row.figures] == [year.trace for year in product.figures]


def _verdict(rows: Sequence[Row], products: Mapping[bool, Row]) -> str:
    """Say which lines differ from their product."""
    compared = {f"*{row.case.name}*": _compared(row, products) for row in rows if not _is_unchanged(row, products)}
    worse = [name for name, more in compared.items() if more.is_worse]
    better = [name for name, more in compared.items() if more.is_better]
    sentences = []
    if worse:
        sentences.append(f"These lines lack a token for longer: {', '.join(worse)}.")
    if better:
        sentences.append(f"These lines lack a token for less time: {', '.join(better)}.")
    sentences.append("For the other lines these plays show no difference that is larger than chance.")
    return " ".join(sentences)


def availability_cells(availability: Availability) -> list[str]:
    """Return the first cells of a comparison's line: what the plots show."""
    return [
        availability.name,
        _percent(availability.mean),
        " to ".join(f"{100 * part:.2f}" for part in availability.interval),
        f"{availability.hours_without_token:.1f}",
    ]


def _ablations(*, is_studied: bool) -> str:
    chosen = {name: ablation for name, ablation in ABLATIONS.items() if ablation.is_studied == is_studied}
    return "\n".join(f"- *{name}*: {ablation.words}." for name, ablation in chosen.items())


def _invariants(rows: Sequence[Row]) -> Iterator[str]:
    whole = [row for row in rows if not row.case.ablation]
    ablated = [row for row in rows if row.case.ablation]
    days = sum(year.days for row in whole for year in row.figures)
    runs = sum(row.total("runs").total() for row in whole)
    broken = sum(row.broken.total() for row in whole)
    yield (
        "The simulator checks each of these at every write, at every request and at the end of each run. It played "
        f"{days:,} days ({runs:,} runs) of the product with the rates of torture, with and without a standby and a "
        f"probe: {broken} were broken. {words.INVARIANTS}"
    )
    yield _ablations(is_studied=False)
    lines = []
    for name, sentence in INVARIANTS.items():
        breakers = [f"*{row.case.name}* ({row.broken[name]})" for row in ablated if row.broken[name]]
        lines.append([f"`{name}`", sentence, ", ".join(breakers) or "nothing here"])
    yield table(["name", "what holds", "broken by (times)"], lines)


def _rates() -> str:
    lines = [
        [name, f"{value:g}", f"{getattr(HARSH, name):g}", f"{getattr(TORTURE, name):g}", per, why]
        for name, value, per, why in REALISTIC.table()
    ]
    return table(["rate", "realistic", "harsh", "torture", "per", "why"], lines)
