"""`python -m local.simulate`: the study. With `--seed`: one year, its trace and its figures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from local.simulate import study, study_report
from local.simulate.ablations import ABLATIONS
from local.simulate.year import Year

SETUPS = {"realistic": study.REAL, "harsh": study.HARD, "compared": study.COMPARED, "torture": study.TORTURED}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.simulate", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="the part of the study's years that is played")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the report and its plots go")
    parser.add_argument("--workers", type=int, default=study.workers(), help="processes; the figures are the same")
    parser.add_argument("--seed", type=int, help="play the one year of this seed")
    parser.add_argument(
        "--rates",
        choices=SETUPS,
        default="realistic",
        help="those of the one year; compared: of the page's comparisons",
    )
    parser.add_argument("--standby", choices=("yes", "no"), default="yes", help="of the one year")
    parser.add_argument("--probe", choices=("yes", "no"), default="no", help="of the one year")
    parser.add_argument("--period", type=float, default=study.REAL.period, help="its seconds from tick to tick")
    parser.add_argument("--days", type=int, help="how many of it are played")
    parser.add_argument(
        "--without", choices=ABLATIONS, metavar="MECHANISM", help="what the one year lacks: " + ", ".join(ABLATIONS)
    )
    options = parser.parse_args()
    least = {"scale": 0, "workers": 1, "period": 60, "days": 1}
    for name, value in least.items():
        given = getattr(options, name)
        if given is not None and not given >= value:
            parser.error(f"--{name} is at least {value}")
    if options.seed is not None:
        return _one_year(options)
    rows = study.play(study.cases(options.scale), options.workers)
    path = study_report.write(rows, options.out)
    print(path.read_text())
    print(f"written: {path} and its plots; trace of all years: {study.trace(rows)}")
    return 1 if any(row.broken for row in rows if not row.case.ablation) else 0


def _one_year(options: argparse.Namespace) -> int:
    setup = SETUPS[options.rates]
    days = options.days or setup.days
    standby, probe = options.standby == "yes", options.probe == "yes"
    setup = replace(setup, standby=standby, probe=probe, period=options.period, days=days)
    if not options.without:
        year = Year(options.seed, setup, keeps_lines=True)
        figures = year.play()
        print("\n".join(year.lines))
    else:
        figures = ABLATIONS[options.without].play(options.seed, setup)
    print(figures)
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
