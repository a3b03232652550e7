"""Run `python -m local.vendors`. `make vendors` installs the servers first."""

from __future__ import annotations

import argparse
import sys

from local.time_limit import exit_by_exception
from local.vendors.cases import cases_of
from local.vendors.foreign_server import PROGRAMS, ForeignServer
from local.vendors.report import Report

MAX_SECONDS = 170


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.vendors", description=__doc__)
    names = [program.package for program in PROGRAMS]
    parser.add_argument("--server", choices=names, help="only this one")
    parser.add_argument("--case", default="", help="only the cases with this text in their name")
    options = parser.parse_args()
    chosen = [program for program in PROGRAMS if options.server in {None, program.package}]
    for program in chosen:
        if not program.is_installed:
            sys.exit(f"{program.package} is not installed: run `make vendors`, which does that")
    exit_by_exception(MAX_SECONDS)
    report = Report()
    for program in chosen:
        cases = [case for case in cases_of(program) if options.case in case.name]
        if cases:
            with ForeignServer(program) as server:
                report.play_all(cases, server)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
