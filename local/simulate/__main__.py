"""`python -m local.simulate`: the study. With `--seed`: one year, its trace and its figures."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

from local.simulate import results_file, study, study_plots, study_report
from local.simulate.ablations import ABLATIONS
from local.simulate.figures import describe, describe_broken
from local.simulate.plan import AccountKind
from local.simulate.year import Year

MINIMA = {"scale": 0, "workers": 1, "period": 60, "days": 1}


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    for name, minimum in MINIMA.items():
        value = getattr(options, name)
        if value is not None and not value >= minimum:
            parser.error(f"--{name} is at least {minimum}")
    if options.plots_only:
        return _draw_plots(options)
    if options.seed is not None:
        return _play_one_year(options)
    return _play_study(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.simulate", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="which part of the study's years is played")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the report and its plots go")
    parser.add_argument(
        "--plots-only",
        action="store_true",
        help=f"play nothing: draw the plots again from {results_file.RESULTS_FILE} in the same place",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=study.default_workers(),
        help="how many processes play; the figures are the same",
    )
    parser.add_argument("--seed", type=int, help="play the one year of this seed")
    parser.add_argument(
        "--rates",
        choices=study.SETUPS,
        default="realistic",
        help="of the one year; compared: those of the page's comparisons; those with a hyphen: the realistic ones "
        "with one thing changed",
    )
    parser.add_argument("--standby", choices=("yes", "no"), default="yes", help="of the one year")
    parser.add_argument(
        "--accounts",
        choices=get_args(AccountKind),
        default=study.REAL.accounts,
        help="of the one year: who asks, a client alone or the service accounts of one",
    )
    parser.add_argument("--probe", choices=("yes", "no"), default="no", help="of the one year")
    parser.add_argument(
        "--period", type=float, default=study.REAL.period, help="of the one year: seconds from tick to tick"
    )
    parser.add_argument("--days", type=int, help="how many days of the one year are played")
    parser.add_argument(
        "--setting",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=SECONDS",
        help="of the one year: a setting of the handler, by its name in lower case",
    )
    parser.add_argument(
        "--without",
        choices=ABLATIONS,
        metavar="MECHANISM",
        help="what the one year lacks: " + ", ".join(ABLATIONS),
    )
    return parser


def _setting(text: str) -> tuple[str, int]:
    name, _, seconds = text.partition("=")
    if name not in study.SETTINGS:
        raise argparse.ArgumentTypeError(f"one of {', '.join(study.SETTINGS)}")
    return name, int(seconds)


def _play_study(options: argparse.Namespace) -> int:
    played = study.play_study(options.scale, options.workers)
    path = study_report.write(played, options.out, scale=options.scale)
    print(path.read_text())
    print(f"written: {path} and its plots; trace of all that was played: {played.trace}")
    broken = played.describe_broken()
    if not broken:
        return 0
    print("\n".join(broken), file=sys.stderr)
    return 1


def _draw_plots(options: argparse.Namespace) -> int:
    results = results_file.load(options.out / results_file.RESULTS_FILE)
    study_plots.draw_all(results, options.out)
    print(f"drawn in {options.out}: the plots of the run with the trace {results.trace}")
    return 0


def _play_one_year(options: argparse.Namespace) -> int:
    setup = study.SETUPS[options.rates]
    setup = replace(
        setup,
        standby=options.standby == "yes",
        accounts=options.accounts,
        probe=options.probe == "yes",
        period=options.period,
        days=options.days or setup.days,
        settings=dict(options.setting),
    )
    if options.without:
        figures = ABLATIONS[options.without].play_year(options.seed, setup)
    else:
        year = Year(options.seed, setup, keeps_lines=True)
        figures = year.play()
        print("\n".join(year.trace.lines))
    print(describe(figures))
    if not figures.broken:
        print("No invariant was broken.")
        return 0
    print(describe_broken(figures, study.replay_command(options.seed, setup, options.without or "")))
    return 1


if __name__ == "__main__":
    sys.exit(main())
