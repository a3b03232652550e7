"""A fleet of many connections in virtual time: what must hold does, and the checks notice if it does not."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.errors import StoreError
from handler.sweep import Sweep
from local import __main__ as command_line
from local.durations import HOUR
from local.fleet import isolation
from local.fleet.checks import checks_of, figures_of
from local.fleet.fleet import Fleet
from local.fleet.plan import FLEET_RATES, FleetSetup, plan_stores
from local.fleet.rated_secrets import PAGE, READ, WRITE
from local.fleet.records import HEALING_SECONDS, Span, StoreRecord
from local.simulate.plan import START
from local.simulate.rates import NONE

if TYPE_CHECKING:
    from pathlib import Path

TROUBLED = FleetSetup(
    connections=60,
    days=1.5,
    seed=2,
    rates=replace(FLEET_RATES, run_killed=2e-3),
    mistakes_per_day=0.3,
)
ENDS = {"refreshed", "CredentialsRefused", "CredentialsError", "StoreError", "VendorError", "OutcomeUnknown", "Killed"}
DUE_AT_ONCE = FleetSetup(
    connections=60,
    days=0.1,
    is_due_at_once=True,
    rates=NONE,
    hand_over_failures=0.0,
    unsaved_tokens=0.0,
)


def played(setup: FleetSetup) -> Fleet:
    fleet = Fleet(setup)
    for _ in fleet.play():
        pass
    return fleet


def broken(fleet: Fleet) -> list[str]:
    """Return what did not hold, and what was found instead."""
    checks = checks_of(fleet, figures_of(fleet))
    return [f"{check.sentence}: {check.found}" for check in checks if not check.holds]


def test_a_fleet_with_faults_keeps_what_must_hold() -> None:
    """No store lacks a token for a time that could be avoided, through mistakes, an outage and runs that are killed."""
    fleet = played(TROUBLED)
    assert broken(fleet) == []
    assert fleet.runs.keys() >= ENDS
    assert fleet.function.dead_letters
    assert {record.generation for record in fleet.records.values()} == {"account", "client"}
    assert any(record.left_at for record in fleet.records.values())


def test_connections_that_are_due_at_once_are_all_refreshed_within_the_rates() -> None:
    """At most 15 runs at once: each connection gets its token soon, with one request, and nothing is lost."""
    fleet = played(DUE_AT_ONCE)
    assert broken(fleet) == []
    figures = figures_of(fleet)
    assert figures.served == len(fleet.published) == fleet.network.requests == 60
    assert figures.longest_wait < HOUR / 4
    assert fleet.function.most_at_once == 15
    assert not fleet.function.dead_letters


def test_calls_above_the_rates_are_throttled_and_repeated() -> None:
    """With more runs at once than the rates allow, some calls are throttled, and all connections get their tokens."""
    fleet = played(replace(DUE_AT_ONCE, concurrency=60))
    assert fleet.secrets_manager.throttled > 0
    assert broken(fleet) == []
    assert len(fleet.published) == 60


def test_calls_grow_as_the_connections_do() -> None:
    """Twice as many connections take twice as many calls, of each kind."""
    one = played(replace(DUE_AT_ONCE, connections=20, days=0.5))
    two = played(replace(DUE_AT_ONCE, connections=40, days=0.5))
    for kind in (PAGE, READ, WRITE):
        calls = one.secrets_manager.calls_by_kind[kind]
        assert two.secrets_manager.calls_by_kind[kind] == pytest.approx(2 * calls, rel=0.02)
    assert two.network.requests == 2 * one.network.requests


def test_the_same_seed_is_the_same_fleet() -> None:
    """A fleet can be played again, to look into it; another seed is another fleet."""
    setup = replace(TROUBLED, connections=15)
    first, again, other = (played(one) for one in (setup, setup, replace(setup, seed=1)))
    assert first.records == again.records
    assert first.runs == again.runs
    assert first.records != other.records


def test_what_is_planned_for_a_store_does_not_depend_on_other_stores() -> None:
    """Otherwise a larger fleet would be another one, and a store could not be compared with itself."""
    few = plan_stores(replace(TROUBLED, connections=20))[:20]
    many = plan_stores(replace(TROUBLED, connections=40))[:20]
    assert few == many


def test_no_process_at_all_is_noticed() -> None:
    """The checks can fail: a fleet without a free process has avoidable hours, and loses what is handed over."""
    fleet = played(replace(DUE_AT_ONCE, connections=2, days=0.5, concurrency=0))
    assert any("a time that could be avoided" in one for one in broken(fleet))
    assert any("lost in Lambda's queue" in one for one in broken(fleet))
    assert fleet.function.dead_letters["too old"] > 0


def test_no_connection_changes_what_happens_to_another() -> None:
    """The same store, alone and among 50 others with faults: the same runs, calls and requests at the same moments."""
    compared = isolation.compare(others=50, days=3)
    assert compared.differences() == []
    assert compared.is_same
    assert compared.other_runs > 300
    assert len(compared.alone) > 30


def test_a_connection_that_ends_the_sweep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: here one failed hand-over ends the sweep, and others wait for the next one."""

    def hand_over_or_end(self: Sweep, name: str) -> None:
        self._hand_over(name)

    monkeypatch.setattr(Sweep, "_try_to_hand_over", hand_over_or_end)
    monkeypatch.setattr(isolation, "HAND_OVER_FAILURES", 0.5)
    assert not isolation.compare(others=20, days=2).is_same


def record(covered: list[Span], troubles: list[Span]) -> StoreRecord:
    return StoreRecord(name="one", generation="account", joined_at=START, covered=covered, troubles=troubles)


@pytest.mark.parametrize(
    ("covered", "troubles", "avoidable"),
    [
        ([Span(START, START + 9 * HOUR)], [], HOUR),
        ([Span(START, START + 10 * HOUR)], [], 0),
        ([Span(START + HEALING_SECONDS, START + 10 * HOUR)], [], 0),
        ([Span(START, START + 2 * HOUR), Span(START + 5 * HOUR, START + 10 * HOUR)], [], 3 * HOUR),
        (
            [Span(START, START + 2 * HOUR), Span(START + 5 * HOUR, START + 10 * HOUR)],
            [Span(START + HOUR, START + 3 * HOUR)],
            2 * HOUR - HEALING_SECONDS,
        ),
        ([], [Span(START, START + 10 * HOUR)], 0),
    ],
)
def test_time_without_a_token_is_avoidable_outside_of_troubles(
    covered: list[Span], troubles: list[Span], avoidable: float
) -> None:
    """A store has an hour and some minutes to heal after it has joined, and after each trouble."""
    assert record(covered, troubles).avoidable_seconds(START + 10 * HOUR, []) == pytest.approx(avoidable)


@pytest.mark.parametrize(
    ("covered", "left_at", "waiting", "without"),
    [
        ([Span(START + HOUR, START + 4 * HOUR), Span(START + 5 * HOUR, START + 10 * HOUR)], None, HOUR, HOUR),
        ([], None, 10 * HOUR, 0),
        ([], START + 2 * HOUR, 2 * HOUR, 0),
        # A run that was handed over before the store left has published after it.
        ([Span(START + 3 * HOUR, START + 9 * HOUR)], START + 2 * HOUR, 2 * HOUR, 0),
    ],
)
def test_time_before_the_first_token_is_told_apart(
    covered: list[Span], left_at: float | None, waiting: float, without: float
) -> None:
    """A store waits from when it joins until its first token or its end, and lacks a token only after that."""
    store = record(covered, [])
    store.left_at = left_at
    assert store.seconds_of_waiting(START + 10 * HOUR) == pytest.approx(waiting)
    assert store.seconds_without(START + 10 * HOUR) == pytest.approx(without)


def test_the_command_prints_the_table_and_draws_the_plot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The figures that people look for are there, and the exit code says that all held."""
    arguments = f"local --out {tmp_path} fleet --connections 12 --days 0.5 --due-at-once"
    monkeypatch.setattr(sys, "argv", shlex.split(arguments))
    assert command_line.main() == 0
    shown = capsys.readouterr().out
    for name in ("sweeps", "AWS calls", "vendor requests", "most versions of a secret", "availability, worst store"):
        assert name in shown
    assert "BROKEN" not in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.png", "fleet.svg"]


def test_the_command_ends_with_1_if_something_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """If no hand-over succeeds, no connection has a token: the table says so, and so does the exit code."""

    def fail(*_: object) -> None:
        raise StoreError("Lambda, invoke: AccessDeniedException", code="AccessDeniedException")

    monkeypatch.setattr(Fleet, "_hand_over", fail)
    monkeypatch.setattr(sys, "argv", shlex.split(f"local --out {tmp_path} fleet --connections 3 --days 0.3"))
    assert command_line.main() == 1
    assert "BROKEN" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--connections 0", "--days 0", "--days nan", "--connections many"])
def test_numbers_that_make_no_fleet_are_refused(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever mistypes an option is told at once."""
    monkeypatch.setattr(sys, "argv", shlex.split(f"local fleet {option}"))
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
