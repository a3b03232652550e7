"""The study's lines: each can be played again, and a fleet that breaks a promise fails the study."""

import shlex
import sys
from dataclasses import replace

import pytest

from local.fleet.plan import FleetSetup
from local.simulate import __main__ as command_line
from local.simulate import study
from local.simulate.causes import WRITTEN_BY_HAND
from local.simulate.many_connections import play_fleet
from local.simulate.rates import TORTURE
from local.simulate.real_clients import REAL_CLIENTS
from local.simulate.study import SETUPS, TORTURED, Case, Study, replay_command
from local.simulate.year import Year

CHANGES = [case for case in study.cases(1) if case.table == "changes"]
FEW = FleetSetup(connections=3, days=0.2)


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_a_year_of_each_changed_line_is_played_again_by_its_command(
    case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of a line whose rates are changed plays that very year."""
    setup = replace(case.setup, days=2)
    _, options = replay_command(3, setup).split(" local.simulate ")
    monkeypatch.setattr(sys, "argv", ["simulate", *shlex.split(options)])
    assert command_line.main() == 0
    assert Year(3, setup).play().trace in capsys.readouterr().out


@pytest.mark.parametrize("seed", [0, 2])
def test_what_is_worked_out_once_changes_nothing_that_happens(seed: int) -> None:
    """Reads that lag, and runs that are killed in their probe, go as over the real clients, without any of that."""
    rates = replace(TORTURE, aws_lag=0.4, run_killed=0.02)
    setup = replace(TORTURED, rates=rates, probe=True, days=3)
    assert Year(seed, setup, REAL_CLIENTS).play() == Year(seed, setup).play()


def test_each_setup_has_rates_of_its_own() -> None:
    """A command names a setup by its rates: two setups with the same ones could not be told apart."""
    rates = [setup.rates for setup in SETUPS.values()]
    assert all(rates.count(one) == 1 for one in rates)


def hours_by_hand(setup_name: str) -> float:
    """Return for how many hours of four months consumers lack a token because of what a person wrote."""
    case = Case(table="changes", name="", setup=replace(SETUPS[setup_name], days=120), years=1)
    [row] = study.play_all([case], workers=1)
    return row.hours_by_cause[WRITTEN_BY_HAND]


def test_the_lines_of_writes_by_hand_show_what_those_cost() -> None:
    """Each write by hand costs less than an hour without a token, and without any there is no such time."""
    assert hours_by_hand("no-writes-by-hand") == 0
    assert 0 < hours_by_hand("many-writes-by-hand") < 8


def test_the_same_fleet_leaves_the_same_trace() -> None:
    """The page's hash tells whether anything in the fleet's days has changed."""
    first = play_fleet(FEW)
    assert play_fleet(FEW) == first
    assert play_fleet(replace(FEW, seed=1)).trace != first.trace


def test_what_a_fleet_breaks_fails_the_study() -> None:
    """Whoever runs the study reads which promise was broken, and with which command the fleet is played again."""
    played = play_fleet(FEW)
    assert Study([], played).describe_broken() == []
    check = played.checks[0]._replace(holds=False)
    [told] = Study([], replace(played, checks=[check])).describe_broken()
    assert check.sentence in told
    assert ".venv/bin/python -m local fleet --connections 3 --days 0.2" in told


def test_the_study_s_trace_covers_the_fleet() -> None:
    """Two studies with the same years and other fleets are not the same."""
    fleets = [play_fleet(replace(FEW, seed=seed)) for seed in (0, 1)]
    traces = {Study([], fleet).trace for fleet in fleets}
    assert len(traces) == 2
