"""The short version of `make explore`: nothing is broken, and a fault that is put back is found."""

import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from local.explore import invariants, plan
from local.explore.faults_of_ours import FAULTS_OF_OURS
from local.explore.plan import Search
from local.explore.secrets import Refusal, Secrets, Version
from local.explore.starts import starts
from scripts import ROOT

MAX_SECONDS = 300  # a backstop: each of these searches is bounded by its states, and takes seconds
# Within which bounds each fault is found, and what it breaks there.
WHERE = {
    "recovery by a moved label": (
        Search("foreign, with a good previous one, and the ledger elsewhere"),
        "standby",
    ),
    "no compare": (Search("no value"), "closed"),
    "a claim is known by its run alone": (
        Search("expired, and the slot is spent", faults=1, faulty_runs=1, switches=1),
        "claim",
    ),
    "no lock": (Search("no value"), "publish"),
    "claims carry no token": (Search("displaced by hand", switches=1, acts=("overwrite",)), "reachable"),
    "no displaced token": (Search("displaced by an older one"), "reachable"),
    "a publish leaves the slot open": (Search("no value", runs=1), "publish"),
    "a slot is closed for eight hours too long": (Search("no value", runs=1), "publish"),
    "the standby's slot is dropped": (Search("fresh", acts=("rotate", "rotate")), "closed"),
    "a refusal for the limit is forgotten": (Search("expired, and the slot is spent", runs=1), "closed"),
    "the vendor is not asked for a day after failures": (
        Search("expiring, after nine failures", runs=1, faults=1),
        "heals",
    ),
    "the window is the whole life": (Search("fresh", runs=1), "needed"),
}
# Faults of the ledger, which a request shows, too. It comes later than the ledger's own violation.
ASKED_TOO_EARLY = ("the standby's slot is dropped", "a refusal for the limit is forgotten")
CREDENTIALS = Version("credentials", "{}", ("AWSCURRENT",))


@pytest.mark.parametrize("name", [start.name for start in starts()])
def test_nothing_is_broken_in_any_interleaving(name: str) -> None:
    """Every order of two runs' steps, and each fault or act of a person in one run, keeps every invariant."""
    for search in plan.short():
        if search.start != name:
            continue
        found = search.play(MAX_SECONDS)
        assert not found.violation, f"{found.violation}\n{found.trace}\n{search.command}"
        assert found.is_whole
        assert found.ends > 0


@pytest.mark.parametrize("name", FAULTS_OF_OURS)
def test_a_fault_that_is_put_back_is_found(name: str) -> None:
    """The explorer finds each of these faults by what it breaks, and shows the steps that lead to it."""
    bounds, invariant = WHERE[name]
    search = replace(bounds, without=name)
    found = search.play(MAX_SECONDS, shortens=False)
    assert found.violation.startswith(f"{invariant}:")
    assert found.trace


@pytest.mark.parametrize("name", ASKED_TOO_EARLY)
def test_a_request_that_comes_too_early_is_found_whatever_the_ledger_says(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tokens that are out and the refusals say when a principal may be asked, also if no ledger is checked."""
    monkeypatch.setattr(invariants, "_check_slots", lambda *_: None)
    bounds, _ = WHERE[name]
    search = replace(bounds, without=name)
    found = search.play(MAX_SECONDS, shortens=False)
    assert found.violation.startswith("early:")


def test_the_standby_is_asked_over_a_good_token_if_a_recovery_only_moves_a_label() -> None:
    """That is why a recovery is a publish under a claim."""
    bounds, _ = WHERE["recovery by a moved label"]
    search = Search(bounds.start, without="recovery by a moved label")
    found = search.play(MAX_SECONDS)
    assert found.violation.startswith("standby")
    assert "run2 asks as standby" in found.trace[-1]


def test_a_violation_is_told_with_its_steps_and_its_command() -> None:
    """The command that is printed plays the same search again, and ends with 1."""
    search = Search("displaced by an older one", without="no displaced token")
    arguments = search.command.partition("python -m local.explore")[2]
    done = subprocess.run(
        [sys.executable, "-m", "local.explore", *shlex.split(arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "reachable: no write of a run makes a good token unreachable" in done.stdout
    assert "  1. run1: batch get secret value" in done.stdout
    assert search.command in done.stdout


def test_the_same_search_finds_the_same_states() -> None:
    """A search does not depend on chance."""
    first = Search("displaced by hand").play(MAX_SECONDS)
    again = Search("displaced by hand").play(MAX_SECONDS)
    assert (first.states, first.steps, first.ends) == (again.states, again.steps, again.ends)


def test_put_and_move_are_as_aws_documents_them() -> None:
    """A first version gets AWSCURRENT, what loses it gets AWSPREVIOUS, and a move must know where the label is."""
    empty = Secrets(CREDENTIALS)
    first = empty.put("one", "1", ("REFRESH_PENDING",))
    assert (
        first.at("AWSCURRENT") == first.at("REFRESH_PENDING") == Version("one", "1", ("AWSCURRENT", "REFRESH_PENDING"))
    )
    assert empty.put("one", "1", ("REFRESH_PENDING",), labels_first=False).at("AWSCURRENT") is None
    second = first.put("two", "2", ("AWSCURRENT",))
    assert [version.stages for version in second.versions] == [("AWSPREVIOUS", "REFRESH_PENDING"), ("AWSCURRENT",)]
    assert second.put("two", "2", ("AWSPREVIOUS",)) == second
    with pytest.raises(Refusal, match="ResourceExistsException"):
        second.put("two", "other", ("AWSCURRENT",))
    with pytest.raises(Refusal, match="InvalidParameterException"):
        second.move("AWSCURRENT", "one", "one")
    with pytest.raises(Refusal, match="InvalidParameterException"):
        second.move("AWSCURRENT", "one", "")
    with pytest.raises(Refusal, match="ResourceNotFoundException"):
        second.move("AWSCURRENT", "three", "two")
    back = second.move("AWSCURRENT", "one", "two")
    assert [version.stages for version in back.versions] == [("AWSCURRENT", "REFRESH_PENDING"), ("AWSPREVIOUS",)]
