"""`make bench`: build what is compared, run it round by round, print the tables, and put them into the page."""

from __future__ import annotations

import argparse
import subprocess
import sys

from bench import report
from bench.artifacts import NAIVE, OURS, build
from bench.processes import trust
from bench.rounds import count, play
from bench.situations import SITUATIONS
from bench.tools import chosen_python, runtime
from scripts import ROOT
from scripts.bytecode import full_version


def consumer_reads() -> str:
    """Return what the bench of consumers prints."""
    command = [sys.executable, "-m", "bench.consumer_reads"]
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-page", action="store_true", help="print the tables only")
    asked = parser.parse_args()
    python = chosen_python()
    tell(f"building, for CPython {full_version(python)}")
    artifacts, tools = build(python), runtime(python)
    if tools is None:
        tell("the RIE is for x86-64 Linux: only bare processes are run")
    samples = play(python, tools, artifacts, asked.rounds, tell)
    calls = {(name, where): count(python, artifacts[name], where) for where in SITUATIONS for name in (NAIVE, OURS)}
    tables = report.Report(artifacts, samples, calls, trust(python, artifacts[OURS]))
    text = tables.text(report.facts(full_version(python), asked.rounds, artifacts[OURS]), consumer_reads())
    print(text)
    if not asked.no_page:
        report.write(text)


if __name__ == "__main__":
    main()
