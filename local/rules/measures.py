"""What changes if a rule is taken out: in short searches of the explorer, and in simulated days."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local.durations import MINUTE
from local.explore.plan import Search
from local.explore.starts import starts
from local.rules.registry import RULES
from local.rules.watch import watching
from local.simulate.plan import Setup
from local.simulate.rates import TORTURE
from local.simulate.study import COMPARED, TORTURED
from local.simulate.year import Year

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

# A backstop: each search takes seconds, except if a rule is missing that bounds it.
MAX_SECONDS_OF_A_SEARCH = 20
# Two runs at once from this state, since that is quick.
_PAIR = "displaced by an older one"
# One run with two faults from these states.
_TWO_FAULTS = ("expiring", "lapsed lock")

# Torture, and people who do something by hand every day or two.
_BUSY = replace(
    TORTURED,
    rates=replace(
        TORTURE,
        second_party=200,
        rotations=200,
        mistyped=0.5,
        leaked=40,
        settings_mistyped=200,
        forced=300,
        overridden=300,
        stormed=20,
        overwritten=150,
        restored=150,
        label_moved=150,
    ),
)
# A vendor of service accounts whose tokens live two hours.
_SHORT_LIVED = {"max_lifetime_seconds": 7_200}
_TORTURE_DAYS = 6
_LONG_TORTURE_DAYS = 40
_HARSH_DAYS = 60


def _searches() -> list[Search]:
    searches = [Search(start.name, runs=1, faults=1) for start in starts()]
    searches += [Search(start.name, runs=1, acts=(act,)) for start in starts() for act in ("overwrite", "rotate")]
    searches.append(Search(_PAIR))
    searches += [Search(name, runs=1, faults=2) for name in _TWO_FAULTS]
    return searches


def _tortured(setup: Setup, seed: int, days: int = _TORTURE_DAYS, **changes: object) -> tuple[int, Setup]:
    return seed, replace(setup, days=days, **changes)  # type: ignore[arg-type]


SEARCHES = _searches()
# Each with its seed. In these most rules matter, the rare ones too.
TORTURE_DAYS = [
    _tortured(TORTURED, 0),
    _tortured(TORTURED, 1, standby=False),
    _tortured(_BUSY, 11, probe=True),
    _tortured(_BUSY, 12, probe=True),
    _tortured(_BUSY, 11, probe=True, standby=False),
    _tortured(_BUSY, 10, accounts="service"),
    _tortured(_BUSY, 14, accounts="service"),
    _tortured(_BUSY, 12, accounts="service", settings=_SHORT_LIVED, period=20 * MINUTE),
    # These are played only if the rule has changed nothing before.
    _tortured(_BUSY, 20, _LONG_TORTURE_DAYS),
    _tortured(_BUSY, 22, _LONG_TORTURE_DAYS, accounts="service"),
]
BUSY_PLAYS = [setup for _, setup in TORTURE_DAYS if setup.rates == _BUSY.rates]
HARSH_DAYS = [(seed, replace(COMPARED, days=_HARSH_DAYS)) for seed in range(6)]


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search came to: its numbers of states, steps and ends, and the invariant that was broken, if one was.

    `failure` is the class of an exception that is not one of ours: without a rule the code may not work at all.
    """

    size: tuple[int, int, int] = (0, 0, 0)
    broken: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of some simulated days: their trace, the invariants that were broken, and two figures.

    `good_days` are the days in which consumers held a good token. `failure` is as in Explored.
    """

    trace: str = ""
    broken: frozenset[str] = frozenset()
    failure: str = ""
    days: int = 0
    good_days: float = 0.0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of the searches and of the days in which a rule matters, by their numbers in the lists above.

    `harsh` is empty if the rule changes no trace of the tortured days.
    """

    explored: dict[int, Explored]
    torture: dict[int, Played]
    harsh: list[Played]


@dataclass(frozen=True, slots=True)
class Whole:
    """What came of all of them with every rule, and the rules that matter in each of them."""

    explored: list[Explored]
    torture: list[Played]
    harsh: list[Played]
    matters_in_search: list[set[str]]
    matters_in_torture: list[set[str]]


def measure_all(names: Sequence[str], workers: int) -> tuple[Whole, dict[str, Measured]]:
    """Measure the handler with all rules, and without each of these. Shows the progress on standard error."""
    found = {}
    with ProcessPoolExecutor(workers) as pool:
        whole = _measure_whole(pool)
        name_of = {pool.submit(measure, name, whole): name for name in names}
        for number, future in enumerate(as_completed(name_of), 1):
            name = name_of[future]
            found[name] = future.result()
            _show_progress(f"{number} of {len(names)} rules: {name}")
    return whole, found


def measure(name: str, whole: Whole) -> Measured:
    """Take the rule out, and play all that it matters in."""
    searches = [number for number, matters in enumerate(whole.matters_in_search) if name in matters]
    with RULES[name].taken_out():
        explored = {number: explore(SEARCHES[number]) for number in searches}
        tortured = _torture(name, whole)
        harsh = []
        if changes_a_trace(tortured, whole):
            harsh = [play(*one) for one in HARSH_DAYS]
    return Measured(explored, tortured, harsh)


def changes_a_trace(tortured: dict[int, Played], whole: Whole) -> bool:
    """Say whether something else happened in these days than with all rules."""
    return any(one.trace != whole.torture[number].trace for number, one in tortured.items())


def _torture(name: str, whole: Whole) -> dict[int, Played]:
    tortured: dict[int, Played] = {}
    for number, (seed, setup) in enumerate(TORTURE_DAYS):
        is_long = setup.days == _LONG_TORTURE_DAYS
        if is_long and changes_a_trace(tortured, whole):
            break
        if name in whole.matters_in_torture[number]:
            tortured[number] = play(seed, setup)
    return tortured


def explore(search: Search) -> Explored:
    try:
        found = search.play(MAX_SECONDS_OF_A_SEARCH, shortens=False)
    except Exception as failure:  # noqa: BLE001 - without a rule the code may not work at all
        return Explored(failure=type(failure).__name__)
    size = found.states, found.steps, found.ends
    return Explored(size, found.violation.partition(":")[0])


def play(seed: int, setup: Setup) -> Played:
    try:
        figures = Year(seed, setup).play()
    except Exception as failure:  # noqa: BLE001 - without a rule the code may not work at all
        return Played(failure=type(failure).__name__)
    return Played(
        trace=figures.trace,
        broken=frozenset(figures.broken),
        days=figures.days,
        good_days=figures.careful * figures.days,
        requests=figures.requests,
    )


def _measure_whole(pool: Executor) -> Whole:
    explored = [pool.submit(explore, search) for search in SEARCHES]
    torture = [pool.submit(play, *one) for one in TORTURE_DAYS]
    harsh = [pool.submit(play, *one) for one in HARSH_DAYS]
    matters_in_search = [pool.submit(_what_matters, explore, search) for search in SEARCHES]
    matters_in_torture = [pool.submit(_what_matters, play, *one) for one in TORTURE_DAYS]
    whole = Whole(
        [one.result() for one in explored],
        [one.result() for one in torture],
        [one.result() for one in harsh],
        [one.result() for one in matters_in_search],
        [one.result() for one in matters_in_torture],
    )
    _show_progress("the handler with all rules")
    return whole


def _what_matters(play_it: Callable[..., object], *arguments: object) -> set[str]:
    """Return the names of the rules that make a difference in a search, or in some days."""
    with watching(RULES.values()) as matters:
        play_it(*arguments)
    return matters


def _show_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
