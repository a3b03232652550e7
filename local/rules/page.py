"""The page: docs/RULES.md, the same for the same code."""

from __future__ import annotations

import hashlib
import statistics
from typing import TYPE_CHECKING

from local.intervals import half_interval
from local.markdown import table
from local.rules.measures import (
    BUSY_PLAYS,
    HARSH_DAYS,
    SEARCHES,
    TORTURE_DAYS,
    Measured,
    Played,
    Whole,
    changes_a_trace,
)
from local.rules.registry import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from local.rules.rule import Rule

SAME = "same"
OTHER_STATES = "other states"
ANOTHER_TRACE = "another trace"
CHANCE = "chance"
HEAD = ("rule", "explorer", "simulator", "figure", "what would happen without it")

INTRODUCTION = """# The rules, and what each is for

`handler/policy.py` decides what a run does next, and `handler/ledger.py` keeps what is known of locks and slots. Both
are made of small rules. This page takes one rule at a time out of the real code, and tells what changes.

- *explorer*: {searches} short searches of the [explorer](PROTOCOL.md#what-always-holds), each through every order of
  faults within its bounds. A name in the cell is an invariant that breaks without the rule. *Other states* means that
  the searches reach another number of states, and nothing breaks.
- *simulator*: {torture} plays of six or forty days of torture (faults far beyond the harsh rates) in the
  [simulator](RELIABILITY.md): with and without a standby, with a probe, with service accounts, and with tokens of two
  hours. In {busy} of them people do something by hand far more often still: a rotation, a mistyped setting, `force` and
  a write over the token each come every day or two, and not every week as in the torture of RELIABILITY.md. So a
  difference in this column does not say that the rule is needed often. A name is an invariant that breaks. *Another
  trace* means that something else happens, and nothing breaks. The plays of forty days are only played if the rule
  changes nothing in the others.
- *figure*: {harsh} plays of two months with a standby, at harsh rates without outages of a whole day. The first number
  is how much more or less of the time consumers have a good token, in percentage points. The second is how many more or
  fewer requests a day the vendor gets. Each has its 95 % interval. *Chance* means that both intervals contain 0: these
  days show no difference. A rule that changes nothing in the days of torture is taken to change nothing here.
- *what would happen without it*: to consumers, to the people who run the function, or to the vendor. *Contract* means
  that people outside this code rely on the rule as [PROTOCOL.md](PROTOCOL.md) has it. If neither the explorer nor the
  simulator finds the rule, a test is named that fails without it.
- *{same}* means that nothing changes there.

The names of the invariants are explained in [PROTOCOL.md](PROTOCOL.md#what-always-holds) and, those of the simulator,
in [RELIABILITY.md](RELIABILITY.md#what-holds-at-every-step).

`make rules` plays all of it and writes this page. `.venv/bin/python -m local.rules --rule NAME` does it for one rule.
"""


def write(whole: Whole, found: Mapping[str, Measured], folder: Path) -> Path:
    """Write the page of all rules into the folder. Returns its path."""
    introduction = INTRODUCTION.format(
        searches=len(SEARCHES),
        torture=len(TORTURE_DAYS),
        busy=len(BUSY_PLAYS),
        harsh=len(HARSH_DAYS),
        same=SAME,
    )
    rows = {name: cells(rule, whole, found[name]) for name, rule in RULES.items()}
    sections = [introduction, summary(rows.values())]
    for file in ("handler/policy.py", "handler/ledger.py"):
        of_file = [rows[name] for name, rule in RULES.items() if rule.file == file]
        sections.append(f"\n## {file}\n\n{table(HEAD, of_file)}")
    sections.append(f"\nTrace of all that was played: `{trace_of(whole, found)}`.")
    path = folder / "RULES.md"
    path.write_text("\n".join(sections) + "\n")
    return path


def cells(rule: Rule, whole: Whole, without: Measured) -> tuple[str, ...]:
    """Return the row of a rule."""
    return (
        title_of(rule),
        _explorer(whole, without),
        _simulator(whole, without),
        _figure(whole.harsh, without.harsh),
        reason_of(rule),
    )


def title_of(rule: Rule) -> str:
    return f"**{rule.name}**: {rule.words} (`{rule.function}`)"


def reason_of(rule: Rule) -> str:
    """Return the last cell: what would happen without the rule, and what else speaks for it."""
    reasons = [rule.without_it]
    if rule.is_contract:
        reasons.append("Contract.")
    if rule.test:
        reasons.append(f"`{rule.test}`")
    return " ".join(reasons)


def summary(rows: Iterable[tuple[str, ...]]) -> str:
    """Say in how many rows something breaks, and in how many the explorer and the simulator see a difference."""
    pairs = [(explorer, simulator) for _, explorer, simulator, _, _ in rows]
    broken = [pair for pair in pairs if set(pair) - {SAME, OTHER_STATES, ANOTHER_TRACE}]
    unchanged = [pair for pair in pairs if set(pair) == {SAME}]
    changed = len(pairs) - len(broken) - len(unchanged)
    seen = [(explorer != SAME, simulator != SAME) for explorer, simulator in pairs]
    counted = [
        ("both", seen.count((True, True))),
        ("the simulator alone", seen.count((False, True))),
        ("the explorer alone", seen.count((True, False))),
        ("neither", seen.count((False, False))),
    ]
    words = ", ".join(f"{name} {count}" for name, count in counted)
    return (
        f"{len(pairs)} rules. Without {len(broken)} of them something breaks. Without {changed} others only a trace "
        f"or the number of states changes. The difference is seen by: {words}."
    )


def trace_of(whole: Whole, found: Mapping[str, Measured]) -> str:
    """Return one hash over all that was explored and played."""
    told = [repr(whole.explored), *[one.trace for one in whole.torture + whole.harsh]]
    for name, one in sorted(found.items()):
        traces = [played.trace for played in [*one.torture.values(), *one.harsh]]
        told.append(f"{name} {one.explored} {traces}")
    return hashlib.sha256("".join(told).encode()).hexdigest()[:16]


def _explorer(whole: Whole, without: Measured) -> str:
    explored = without.explored
    failures = {one.failure for one in explored.values()} - {""}
    broken = {one.broken for one in explored.values()} - {""}
    if failures or broken:
        return _named(failures, broken)
    if any(one.size != whole.explored[number].size for number, one in explored.items()):
        return OTHER_STATES
    return SAME


def _simulator(whole: Whole, without: Measured) -> str:
    played = [*without.torture.values(), *without.harsh]
    failures = {one.failure for one in played} - {""}
    broken = {name for one in played for name in one.broken}
    if failures or broken:
        return _named(failures, broken)
    if changes_a_trace(without.torture, whole):
        return ANOTHER_TRACE
    return SAME


def _named(failures: set[str], broken: set[str]) -> str:
    names = [f"fails with {name}" for name in sorted(failures)]
    names += [f"`{name}`" for name in sorted(broken)]
    return ", ".join(names)


def _figure(whole: Sequence[Played], without: Sequence[Played]) -> str:
    """Return the differences in availability, in percentage points, and in requests a day, with their intervals."""
    has_failed = any(one.failure for one in without)
    if not without or has_failed or [one.trace for one in without] == [one.trace for one in whole]:
        return SAME
    pairs = list(zip(whole, without, strict=True))
    points = [100 * (after.good_days - before.good_days) / before.days for before, after in pairs]
    requests = [(after.requests - before.requests) / before.days for before, after in pairs]
    if _is_chance(points) and _is_chance(requests):
        return CHANCE
    return f"{_with_interval(points)} points; {_with_interval(requests)} requests a day"


def _with_interval(differences: Sequence[float]) -> str:
    return f"{statistics.mean(differences):+.2f} ± {half_interval(differences):.2f}"


def _is_chance(differences: Sequence[float]) -> bool:
    return abs(statistics.mean(differences)) <= half_interval(differences)
