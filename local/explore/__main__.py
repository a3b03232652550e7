"""`python -m local.explore`: every interleaving of two or three runs, within the bounds that it prints."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from local.explore import plan
from local.explore.faults_of_ours import FAULTS_OF_OURS
from local.explore.plan import Search
from local.explore.search import Found
from local.explore.starts import starts


def main() -> int:
    """Return the exit code: 1 if an invariant was broken, or a search did not end in its time."""
    options = _parser().parse_args()
    searches = _searches(options)
    began_at = time.monotonic()
    found = []
    with ProcessPoolExecutor(options.workers) as pool:
        play = partial(Search.play, max_seconds=options.seconds)
        for search, one in zip(searches, pool.map(play, searches), strict=True):
            found.append(one)
            _tell(search, one)
    states = sum(one.states for one in found)
    steps = sum(one.steps for one in found)
    broken = sum(bool(one.violation) for one in found)
    unfinished = sum(not one.is_whole for one in found)
    seconds = time.monotonic() - began_at
    print(
        f"{len(searches)} searches, {states:,} states, {steps:,} steps in {seconds:.0f} s: "
        f"{broken} violations, {unfinished} searches ended by their time"
    )
    return 1 if broken or unfinished else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.explore", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the searches of the test suite")
    parser.add_argument("--seconds", type=float, default=60, help="of each search, at most")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--start", choices=[start.name for start in starts()], help="one search only, from this state")
    parser.add_argument("--runs", type=int, default=2, help="of the one search")
    parser.add_argument("--faults", type=int, default=0, help="of the one search, at most")
    parser.add_argument("--faulty-runs", type=int, help="of the one search: how many of its runs meet faults (all)")
    parser.add_argument("--switches", type=int, help="of the one search: how often a run is interrupted (any time)")
    parser.add_argument("--acts", default="", help=f"what people do by hand: of {', '.join(plan.ACTS)}")
    parser.add_argument("--standby", choices=("yes", "no"), default="yes", help="of the one search")
    parser.add_argument(
        "--refusals-extend", action="store_true", help="the vendor's interval begins again at each refusal"
    )
    parser.add_argument("--without", choices=FAULTS_OF_OURS, default="", help="put a fault back into the handler")
    return parser


def _searches(options: argparse.Namespace) -> list[Search]:
    if options.start:
        return [
            Search(
                options.start,
                runs=options.runs,
                faults=options.faults,
                faulty_runs=options.faulty_runs,
                switches=options.switches,
                acts=tuple(options.acts.split(",")) if options.acts else (),
                standby=options.standby == "yes",
                refusals_extend=options.refusals_extend,
                without=options.without,
            )
        ]
    if options.short:
        return plan.short()
    return plan.whole()


def _tell(search: Search, found: Found) -> None:
    bounds = f"{search.runs} runs, {search.faults} faults"
    if search.faulty_runs is not None:
        bounds += f" in {search.faulty_runs} of them"
    if search.switches is not None:
        bounds += f", {search.switches} interruptions"
    if search.acts:
        bounds += f", by hand: {', '.join(search.acts)}"
    if not search.standby:
        bounds += ", no standby"
    if search.refusals_extend:
        bounds += ", refusals extend the interval"
    end = "" if found.is_whole else " (ended by its time)"
    print(f"{search.start}; {bounds}: {found.states:,} states{end}", flush=True)
    if found.violation:
        print(f"  {found.violation}")
        for number, words in enumerate(found.trace, 1):
            print(f"  {number}. {words}")
        print(f"  {search.command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
