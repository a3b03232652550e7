"""`make bench`: build the packages, run them in rounds, print the tables, and put them into docs/PERFORMANCE.md."""

from __future__ import annotations

import argparse
import subprocess
import sys

from bench import performance_page
from bench.artifacts import NAIVE, OURS, build
from bench.cost import Book
from bench.processes import trust
from bench.rounds import count, play
from bench.scale import due_share
from bench.sweeps import measure
from bench.tools import chosen_python, runtime
from bench.worlds import SITUATIONS
from scripts import ROOT
from scripts.bytecode import full_version


def consumer_reads() -> str:
    """Return what `python -m bench.consumer_reads` prints."""
    command = [sys.executable, "-m", "bench.consumer_reads"]
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def show_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--no-page", action="store_true", help="print the tables only")
    options = parser.parse_args()
    python = chosen_python()
    version = full_version(python)
    show_progress(f"building, for CPython {version}")
    artifacts = build(python)
    tools = runtime(python)
    if tools is None:
        show_progress("the RIE needs x86-64 Linux: only bare processes are run")
    samples = play(python, tools, artifacts, options.rounds, show_progress)
    calls = {
        (package, kind): count(python, artifacts[package], kind) for kind in SITUATIONS for package in (NAIVE, OURS)
    }
    tables = performance_page.Tables(artifacts, samples, calls, trust(python, artifacts[OURS]))
    facts = performance_page.facts(version, options.rounds, artifacts[OURS])
    scale = measure(python, artifacts[OURS], due_share(Book.read()), options.rounds, show_progress)
    text = tables.text(facts, consumer_reads(), scale)
    print(text)
    if not options.no_page:
        performance_page.write(text)


if __name__ == "__main__":
    main()
