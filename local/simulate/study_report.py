"""The study in print: `docs/RELIABILITY.md` and its plots, the same for the same seeds."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from local.durations import HOUR
from local.intervals import half_interval
from local.markdown import table
from local.simulate.ablations import ABLATIONS
from local.simulate.availability import YEAR_HOURS
from local.simulate.causes import CAUSES, OTHERWISE
from local.simulate.invariants import INVARIANTS
from local.simulate.rates import HARSH, REALISTIC
from local.simulate.results_file import RESULTS_FILE, results_of, save
from local.simulate.study import REAL, WITH_STANDBY, WITHOUT_STANDBY, WRITES_BY_HAND, Row
from local.simulate.study_plots import draw_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from local.simulate.availability import Availability
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
NOISE = (
    "*More hours* is how many more hours of a year there is no token than with the product, or with nothing changed, "
    "and with or without a standby like the line itself. It compares years of the same seed. After the ± is its 95 % "
    "interval: if that includes 0, then these years show no difference."
)
DRAWN_AGAIN = "`.venv/bin/python -m local.simulate --plots-only` draws them from it again."
PLOT_WORDS = (
    "Each dot is a mean, and the bar through it is its 95 % interval; a bar that is narrower than its dot is hidden. "
    "The band is the interval of the product itself. If a bar reaches into the band, then these years show no "
    "difference from the product."
)
HEADLINE_WORDS = (
    "The first line says how many years are played, each with its own seed from 0 on. The worst year is the worst of "
    "those, and the interval says how sure the mean of so many years is."
)
CHANGE_WORDS = (
    "A write by hand puts a placeholder or an older document into the token secret, or moves its label back. A read "
    "that lags shows what was stored some seconds before. Service accounts are the vendor's newer generation, without "
    "a limit of one token in 20 hours."
)
FLEET_WORDS = (
    "Stores come and go, people mistype credentials and policies, processes are killed, and the vendor is down for two "
    "hours. Hours without a token are *avoidable* if no fault, and no pause after one, explains them. `make fleet` "
    "plays these days alone."
)
ABLATION_WORDS = (
    "Some mechanisms cost no hour if they are missing, or none in so few years: they prevent what may not happen at "
    "all. [What holds at every step](#what-holds-at-every-step) names what breaks without them."
)
COMPARED = "Harsh rates, so that differences show, but without outages of a whole day, which no variant can bridge."

INTRODUCTION = """# Reliability: how often consumers hold a good token

Every table and plot here comes from one run of the study: `make study` plays the whole of it, and the end of the page
names the run. The same seeds give the same figures. It plays years of the real handler: its code decides, claims, asks
and publishes. Clock, schedule, Lambda, vendor, Secrets Manager, people and consumers are simulated, and all that
happens in a year comes from its one seed. Stand-ins take the place of the AWS client and the HTTP exchange; a test
shows that a year leaves the very same trace with botocore and requests themselves.

*Availability* is the part of the time, from the first token on, in which a consumer has a token that the vendor's API
takes, if it reads the secret again on a 401. A *plain* consumer caches the secret for an hour, whatever happens.
These are simulated figures under stated rates, not a promise: a vendor with other habits gives other figures.

The *realistic* rates are at the end of the page with their reasons. The *harsh* ones are mostly twenty times as high,
and those of *torture* are far beyond them. A *tick* is a run of the schedule. A *second party* is somebody else who
asks for a token with our client. A *probe* is a call of the vendor's API by which the function may check its token.
`.venv/bin/python -m local.simulate --seed 7` prints all that happened in one year; `--help` says how to choose others.
"""


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
    path.write_text("\n".join([INTRODUCTION, *_sections(tables, study.fleet), _closing(results)]) + "\n")
    return path


def _closing(results: Results) -> str:
    return (
        f"\nThis page was written by `.venv/bin/python -m local.simulate --scale {results.scale:g}`. "
        f"Trace of all that it played: `{results.trace}`.\n"
        f"The plots are drawn from [{RESULTS_FILE}]({RESULTS_FILE}); {DRAWN_AGAIN}"
    )


def _sections(tables: dict[str, list[Row]], fleet: FleetDays) -> Iterable[str]:
    headline = tables["headline"]
    yield "## The figures\n"
    yield f"{HEADLINE_WORDS}\n"
    yield _headline(headline)
    yield "\n![Years by their hours without a token](reliability-years.svg)\n"
    yield (
        "Hours without a token in 100 years, by cause. "
        "An outage counts for the first cause in this order that happened since the last token was acquired. "
        "An outage counts for the first line only while what a person wrote has the label AWSCURRENT.\n"
    )
    yield _causes(headline)
    yield "\nTokens that were issued and lost, per 1,000 refreshes; `vendor_…` is the fault that the answer met.\n"
    yield _lost(headline)
    yield "\n## The same years, with one thing changed\n"
    yield _changes(headline, tables["changes"])
    yield "\n## Many connections\n"
    yield _many_connections(fleet)
    yield "\n## How often to look\n"
    yield f"{COMPARED} A check of a fresh token is one call.\n"
    hourly = [row for row in tables["schedules"] if row.case.setup.period == REAL.period]
    yield _comparison("schedule", tables["schedules"], products=hourly)
    yield "\n![Hours without a token by schedule](reliability-schedules.svg)\n"
    yield f"{PLOT_WORDS}\n"
    yield "## What each mechanism is for\n"
    yield f"{COMPARED} The first line is the product. {ABLATION_WORDS}\n"
    products = tables["ablations"][:1]
    yield _comparison("without", tables["ablations"], products=products)
    yield "\n![Hours without a token, by what is taken out](reliability-ablations.svg)\n"
    yield f"{PLOT_WORDS}\n"
    yield _ablations(is_studied=True)
    yield "\n## Settings\n"
    yield f"{COMPARED}\n"
    yield _comparison("setting", tables["settings"], products=products)
    yield "\n## What holds at every step\n"
    yield _invariants(tables["invariants"])
    yield "\n## The rates\n"
    yield "The realistic rates with their reasons. With the harsh ones clocks are up to five minutes apart.\n"
    yield _rates()


def _headline(rows: Sequence[Row]) -> str:
    cells: dict[str, Callable[[Row], str]] = {
        "years": lambda row: str(len(row.figures)),
        "availability, mean": lambda row: _percent(row.availability.mean),
        "its 95 % interval": lambda row: " to ".join(map(_percent, row.availability.interval)),
        "years without any outage": lambda row: str(sum(not year.outages for year in row.figures)),
        "worst year": _worst_year,
        "longest outage": lambda row: _hours(row.longest_outage),
        "a plain consumer, mean": lambda row: _percent(statistics.fmean(year.plain for year in row.figures)),
        "tokens published": lambda row: f"{row.total('published'):,}",
        "tokens lost": lambda row: str(row.total("lost").total()),
        "refused by the limit": lambda row: str(row.total("refusals")),
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
    causes = [cause for cause in (*CAUSES, OTHERWISE) if any(row.hours_by_cause[cause] for row in rows)]

    def hours_in_100_years(row: Row, cause: str) -> str:
        return f"{row.hours_by_cause[cause] * 100 / len(row.figures):.1f}"

    return _by_cause(rows, causes, hours_in_100_years)


def _lost(rows: Sequence[Row]) -> str:
    causes = sorted({cause for row in rows for cause in row.total("lost")})

    def lost_in_1000(row: Row, cause: str) -> str:
        return f"{row.total('lost')[cause] * 1_000 / row.total('published'):.3f}"

    return _by_cause(rows, causes, lost_in_1000)


def _by_cause(rows: Sequence[Row], causes: Iterable[str], cell: Callable[[Row, str], str]) -> str:
    heads = ["cause", *(row.case.name for row in rows)]
    return table(heads, [[cause, *(cell(row, cause) for row in rows)] for cause in causes])


def _changes(headline: Sequence[Row], changed: Sequence[Row]) -> str:
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
        "more hours": lambda row: _more_hours(row, unchanged_by_standby[row.case.setup.standby]),
        "worst year": _worst_year,
        "longest outage": lambda row: _hours(row.longest_outage),
        "lost": lambda row: f"{row.total('lost').total() / years:.2f}",
        "refused": lambda row: f"{row.total('refusals') / years:.2f}",
        "most versions": _max_versions,
        "invariants broken": lambda row: str(row.broken.total()),
    }
    lines = [[row.case.name, *(cell(row) for cell in cells.values())] for row in [*unchanged, *changed]]
    written = sum(getattr(REALISTIC, name) for name in WRITES_BY_HAND)
    introduction = (
        f"The first {years} seeds of the realistic rates, with a standby if the line does not say otherwise. "
        f"Usually somebody writes the token secret by hand {written:g} times a year, and one read in "
        f"{1 / REALISTIC.aws_lag:,.0f} lags. {CHANGE_WORDS}"
    )
    return f"{introduction}\n\n{table(['', *cells], lines)}\n\n{_notes(changed)}"


def _many_connections(fleet: FleetDays) -> str:
    setup = fleet.setup
    checks = [[check.sentence, check.found, "yes" if check.holds else "**no**"] for check in fleet.checks]
    return "\n\n".join(
        [
            f"One function keeps {setup.connections:,} connections for {setup.days:g} days. {FLEET_WORDS}",
            table(["", "found"], fleet.figures),
            table(["what must hold", "found", "holds"], checks),
        ]
    )


def _comparison(head: str, rows: Sequence[Row], products: Sequence[Row]) -> str:
    """Compare each line with the one of the products that has a standby, or has none, as the line itself."""
    product_of = _by_standby(products)
    lines = [_comparison_cells(row, product_of[row.case.setup.standby]) for row in rows]
    return f"{table((head, *COMPARISON_HEADS), lines)}\n\n{_notes(rows)}"


def _by_standby(rows: Sequence[Row]) -> dict[bool, Row]:
    return {row.case.setup.standby: row for row in rows}


def _notes(rows: Sequence[Row]) -> str:
    years = max(len(row.figures) for row in rows)
    return f"Lost and refused are per year. Each line has {years} years. {NOISE}"


def _comparison_cells(row: Row, product: Row) -> list[str]:
    years = sum(year.days for year in row.figures) / YEAR_DAYS
    return [
        *availability_cells(row.availability),
        _more_hours(row, product),
        _hours(row.longest_outage),
        f"{row.total('lost').total() / years:.1f}",
        f"{row.total('refusals') / years:.1f}",
        f"{row.total('requests') / years / YEAR_DAYS:.2f}",
        _max_versions(row),
    ]


def _more_hours(row: Row, product: Row) -> str:
    """Return how many more hours of a year there is no token than with the product, and that mean's interval."""
    if row is product:
        return ""
    differences = [
        YEAR_HOURS * (whole.careful - changed.careful)
        for whole, changed in zip(product.figures, row.figures, strict=True)
    ]
    return f"{statistics.fmean(differences):+.1f} ± {half_interval(differences):.1f}"


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


def _invariants(rows: Sequence[Row]) -> str:
    whole = [row for row in rows if not row.case.ablation]
    ablated = [row for row in rows if row.case.ablation]
    days = sum(year.days for row in whole for year in row.figures)
    runs = sum(row.total("runs").total() for row in whole)
    broken = sum(row.broken.total() for row in whole)
    introduction = (
        f"Checked at every write, request and end of a run. In {days:,} days ({runs:,} runs) of rates far beyond the\n"
        f"harsh ones, with and without a standby and a probe, {broken} were broken. The last column names what\n"
        "breaks each, which shows that each can fail. Above is said what each of them leaves out or does, except for\n"
        "these:\n\n"
        f"{_ablations(is_studied=False)}\n"
    )
    lines = []
    for name, sentence in INVARIANTS.items():
        breakers = [f"*{row.case.name}* ({row.broken[name]})" for row in ablated if row.broken[name]]
        lines.append([f"`{name}`", sentence, ", ".join(breakers) or "nothing here"])
    return introduction + "\n" + table(["name", "what holds", "broken by (times)"], lines)


def _rates() -> str:
    harsh = {name: value for name, value, _, _ in HARSH.table()}
    lines = [[name, f"{value:g}", f"{harsh[name]:g}", per, why] for name, value, per, why in REALISTIC.table()]
    return table(["rate", "realistic", "harsh", "per", "why"], lines)
