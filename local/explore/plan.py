"""Which searches there are: the bounds of each, and how it is played and told."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from handler import refresh
from local.explore.faults_of_ours import put_back
from local.explore.replay import replaying
from local.explore.search import Found, explore, shortest
from local.explore.starts import forget_runs, starts
from local.simulate.stand_in import stand_in

# A run that waits for a lock reads again so seldom, so that there are not ninety states for one wait.
POLL_SECONDS = 60
# What a person may do by hand in the midst of the runs.
ACTS = ("overwrite", "restore", "move", "rotate")

# From here two runs have so many states that they are only in the whole exploration, and only without a
# standby.
_LARGEST = "expired, and the slot is spent"
# From these two runs with a fault and a standby have hundreds of thousands of states, or millions.
_LARGE_WITH_A_STANDBY = ("garbage", "expired", "no value, and the seed gets no AWSCURRENT")
_LARGE = {*_LARGE_WITH_A_STANDBY, _LARGEST, "no value"}
# Three runs have millions of interleavings, so that a run is interrupted only so often.
_SWITCHES_OF_THREE_RUNS = 2


@dataclass(frozen=True)
class Search:
    """The bounds of one search.

    `acts` is what people do, each at any moment. Only the first `faulty_runs` meet faults (None: all). If
    the runs begin alike, one is enough for a single fault: whatever the second one meets, the first one
    meets too, under the other's name. A run that could go on is interrupted by another one `switches`
    times at most (None: at each step).
    """

    start: str
    runs: int = 2
    faults: int = 0
    faulty_runs: int | None = None
    switches: int | None = None
    acts: tuple[str, ...] = ()
    standby: bool = True
    refusals_extend: bool = False
    without: str = ""

    @property
    def command(self) -> str:
        """What plays this search again."""
        words = ["python -m local.explore", f"--start {shlex.quote(self.start)}"]
        words += [f"--runs {self.runs}", f"--faults {self.faults}"]
        if self.faulty_runs is not None:
            words.append(f"--faulty-runs {self.faulty_runs}")
        if self.switches is not None:
            words.append(f"--switches {self.switches}")
        if self.acts:
            words.append(f"--acts {','.join(self.acts)}")
        words.append(f"--standby {'yes' if self.standby else 'no'}")
        if self.refusals_extend:
            words.append("--refusals-extend")
        if self.without:
            words.append(f"--without {shlex.quote(self.without)}")
        return " ".join(words)

    def play(self, max_seconds: float, *, shortens: bool = True) -> Found:
        """Go through all its states, and if something is broken, find the shortest way to it."""
        [start] = [one for one in starts() if one.name == self.start]
        forget_runs()
        deadline = time.monotonic() + max_seconds
        faulty_runs = self.runs
        if self.faulty_runs is not None:
            faulty_runs = self.faulty_runs
        poll = (refresh, "POLL_SECONDS", POLL_SECONDS)
        with put_back(self.without), stand_in(poll), replaying():
            world = start.world(
                runs=self.runs,
                faults=self.faults,
                faulty_runs=faulty_runs,
                switches=self.switches,
                acts=self.acts,
                standby=self.standby,
                refusals_extend=self.refusals_extend,
            )
            found = explore(world, deadline=deadline)
            if found.violation and shortens:
                name = found.violation.partition(":")[0]
                better = shortest(world, name=name, deadline=deadline)
                if better.trace:
                    found.violation = better.violation
                    found.trace = better.trace
        forget_runs()
        return found


# The standby becomes the primary, and the old primary, whose slot is closed, comes back.
_ROTATED_AND_BACK = Search("fresh", acts=("rotate", "rotate"))


def whole() -> list[Search]:
    """Return every search of `make explore`, the largest first."""
    searches = []
    for start in starts():
        name = start.name
        has_standby = name != _LARGEST
        searches += [
            Search(name, faults=1, standby=False),
            Search(name, faults=1, standby=False, refusals_extend=True),
            Search(name, runs=1, faults=2),
            Search(name, runs=1, faults=1, acts=("overwrite", "overwrite")),
        ]
        searches += [Search(name, acts=(act,), standby=has_standby) for act in ACTS]
        if name not in _LARGE:
            searches.append(Search(name, faults=1))
    searches += [Search(name, faults=1, faulty_runs=1) for name in _LARGE_WITH_A_STANDBY]
    searches += [Search(start.name, runs=3, standby=False, switches=_SWITCHES_OF_THREE_RUNS) for start in starts()]
    searches.append(_ROTATED_AND_BACK)
    return sorted(searches, key=_size, reverse=True)


def _size(search: Search) -> tuple[bool, int, bool]:
    return search.start in _LARGE, search.faults + search.runs, search.standby


def short() -> list[Search]:
    """Return the searches that are played in the test suite."""
    searches = []
    for start in starts():
        if start.name != _LARGEST:
            searches.append(Search(start.name))
        searches.append(Search(start.name, faults=1, runs=1))
        searches += [Search(start.name, runs=1, acts=(act,)) for act in ACTS]
    searches.append(_ROTATED_AND_BACK)
    return searches
