"""What the plots are drawn from, as a file: whoever changes a plot need not play the years again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.simulate.availability import Availability

if TYPE_CHECKING:
    from pathlib import Path

    from local.simulate.study import Study

RESULTS_FILE = "reliability.json"
PLOTTED_TABLES = ("headline", "schedules", "ablations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The availabilities of a run of the study by the tables of its report. `scale` and `trace` name the run."""

    scale: float
    trace: str
    tables: dict[str, list[Availability]]


def results_of(study: Study, scale: float) -> Results:
    tables: dict[str, list[Availability]] = {name: [] for name in PLOTTED_TABLES}
    for row in study.rows:
        if row.case.table in tables:
            tables[row.case.table].append(row.availability)
    return Results(scale=scale, trace=study.trace, tables=tables)


def save(results: Results, path: Path) -> None:
    years_by_case = {
        table: {availability.name: availability.years for availability in availabilities}
        for table, availabilities in results.tables.items()
    }
    stored = {"scale": results.scale, "trace": results.trace, "availability of each year": years_by_case}
    path.write_text(json.dumps(stored, indent=1) + "\n")


def load(path: Path) -> Results:
    stored = json.loads(path.read_text())
    tables = {
        table: [Availability(name, years) for name, years in years_by_case.items()]
        for table, years_by_case in stored["availability of each year"].items()
    }
    return Results(scale=stored["scale"], trace=stored["trace"], tables=tables)
