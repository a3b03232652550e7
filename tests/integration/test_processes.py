"""Real processes: killed at any step, or all at once. The claim is what makes the difference in every test here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import OutcomeUnknown
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import CUT
from local.emulators.world import World
from tests.conftest import secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR = 3_600
PATIENCE = 60  # real seconds within which any process here is long over


@pytest.fixture
def due() -> Iterator[World]:
    """A world by the machine's own clock, as other processes have it, whose token has three hours left."""
    clock = Clock()
    clock.advance(-21 * HOUR)
    with World(clock) as world:
        world.put_credentials(world.primary)
        world.invoke()
        clock.advance(21 * HOUR)
        world.secrets.calls.clear()
        world.vendor.requests.clear()
        yield world


def start(world: World, **overrides: str) -> subprocess.Popen[str]:
    """Start the function in a process of its own."""
    environment = {"PATH": os.environ["PATH"], **world.environment(**overrides)}
    command = [sys.executable, "-m", "handler"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(world: World, process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the result of a process, or its error in a result's place; neither may show a secret."""
    out, err = process.communicate(timeout=PATIENCE)
    assert not secrets_in(out + err, world)
    result: dict[str, Any] = json.loads(out) if process.returncode == 0 else {"outcome": err.strip()}
    return result


def kill_at_call(world: World, operation: str, moment: str, number: int = 1) -> None:
    """Run a process that dies at the operation's n-th call: `before` it takes effect, or `after`, unanswered."""
    seen = 0
    process = start(world)

    def hook(called: str, when: str, _: dict[str, Any]) -> None:
        nonlocal seen
        if (called, when) == (operation, "before"):
            seen += 1
            if seen == number and moment == "before":
                world.secrets.fail(operation, CUT)
        if (called, when) == (operation, moment) and seen == number:
            process.kill()
            process.wait(PATIENCE)

    run_until_killed(world, process, hook)


def run_until_killed(world: World, process: subprocess.Popen[str], hook: Callable[..., None] | None = None) -> None:
    world.secrets.on_call = hook
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        world.secrets.on_call = None
    assert process.returncode == -9, out + err


def run_again(world: World) -> dict[str, Any]:
    """Run the function once more, in a process that sleeps by moving the clock."""
    return world.invoke(keeper=replace(world.keeper(), sleep=world.clock.advance))


def run_by_the_clock(world: World) -> dict[str, Any]:
    """Run it again; return all but the seconds left, which are held to the clock, since that goes on meanwhile."""
    before = world.clock.now()
    result = run_again(world)
    left = result.pop("seconds_remaining")
    assert int(result["expires_at"] - world.clock.now()) <= left <= result["expires_at"] - before
    return result


def ledger(world: World) -> dict[str, Any]:
    stored = world.secrets.versions("tango/token").values()
    document = next(one.document for one in stored if "REFRESH_LEDGER" in one.labels)
    found: dict[str, Any] = json.loads(document)["ledger"]
    return found


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_the_put_of_its_claim_it_locks_nobody_out(due: World, moment: str) -> None:
    """A run that dies before its claim's label has moved is as if it had never been: the next one refreshes."""
    kill_at_call(due, "PutSecretValue", moment)
    assert due.vendor.requests == []
    before = due.clock.now()
    assert run_again(due)["outcome"] == "refreshed"
    assert due.clock.now() - before < 3  # it did not wait for a lock
    assert [request.status for request in due.vendor.requests] == [200]


def test_killed_after_its_claim_the_lock_holds_until_it_lapses(due: World) -> None:
    """A run that dies with the lock keeps the others out for as long as it might still have acquired."""
    kill_at_call(due, "UpdateSecretVersionStage", "after")
    lock = ledger(due)["lock"]
    assert due.vendor.requests == []
    assert lock["client_id"] == due.primary
    assert run_again(due)["outcome"] == "refreshed"
    assert due.vendor.requests[0].at >= lock["until"]
    assert ledger(due)["lock"] is None


def test_killed_before_the_vendor_issues_the_slot_is_still_there(due: World) -> None:
    """A run that dies while acquiring, and in fact got nothing, costs one lock's length and no token."""
    due.vendor.script(Fault.cut(issues=False))
    process = start(due)
    due.vendor.on_request = lambda moment: process.kill() if moment == "received" else None
    run_until_killed(due, process)
    due.vendor.on_request = None
    assert run_again(due)["outcome"] == "refreshed"
    assert [request.issued for request in due.vendor.requests] == [False, True]


def test_killed_while_the_vendor_issues_the_next_run_suspects_it(due: World) -> None:
    """A token that was issued to a dead run is lost; the next run asks once, is refused, and then waits it out."""
    process = start(due)
    due.vendor.on_request = lambda moment: process.kill() if moment == "issued" else None
    run_until_killed(due, process)
    due.vendor.on_request = None
    assert_lost_and_waited_out(due)


def test_killed_after_the_answer_the_next_run_suspects_it(due: World) -> None:
    """A token that was answered and not yet saved is lost: the next run asks once, is refused, and waits it out."""
    kill_at_call(due, "PutSecretValue", "before", number=2)
    assert_lost_and_waited_out(due)


def assert_lost_and_waited_out(world: World) -> None:
    lock = ledger(world)["lock"]
    assert lock["client_id"] == world.primary
    first, then = run_by_the_clock(world), run_by_the_clock(world)
    assert first | {"outcome": "waiting", "reason": "rate_limited"} == then
    assert [request.status for request in world.vendor.requests][-1] == 400
    assert len(world.vendor.requests) == 2
    assert world.vendor.requests[1].at >= lock["until"]
    slot = ledger(world)["slots"][world.primary]
    assert slot["not_before"] >= world.vendor.requests[1].at + 20 * HOUR
    assert world.consume() == 200  # the old token still has hours


def test_killed_after_the_answer_the_standby_keeps_consumers_going(due: World) -> None:
    """Where a standby is configured, the token that a dead run lost is replaced before the old one ends."""
    due.put_credentials(due.primary, due.standby)
    kill_at_call(due, "PutSecretValue", "before", number=2)
    due.clock.advance(HOUR)
    result = run_again(due)
    assert (result["outcome"], result["client_id"]) == ("refreshed", due.standby)
    assert due.consume() == 200


def test_killed_after_the_publish_nothing_is_lost(due: World) -> None:
    """A run that dies after its publish has done its work: the next one finds a fresh token and asks nobody."""
    kill_at_call(due, "PutSecretValue", "after", number=2)
    assert run_again(due)["outcome"] == "kept"
    assert [request.status for request in due.vendor.requests] == [200]
    assert due.consume() == 200


def test_of_many_processes_at_once_one_asks_and_the_others_find_its_token(due: World) -> None:
    """Ten runs that all see a due token make one vendor request; the nine others wait and end with `kept`."""
    count = 10
    together = threading.Barrier(count, timeout=PATIENCE)
    reads = iter(range(count))

    def hook(operation: str, moment: str, _: dict[str, Any]) -> None:
        if (operation, moment) == ("BatchGetSecretValue", "before") and next(reads, None) is not None:
            together.wait()

    due.secrets.on_call = hook
    due.vendor.script(Fault.late(1.0))
    processes = [start(due) for _ in range(count)]
    outcomes = sorted(finish(due, process)["outcome"] for process in processes)
    assert outcomes == ["kept"] * (count - 1) + ["refreshed"]
    assert [request.status for request in due.vendor.requests] == [200]
    assert due.vendor.most_in_flight == 1
    assert due.consume() == 200


def test_many_processes_at_once_on_an_empty_secret_make_one_request() -> None:
    """At the very first deployment as well: one seed, one request, one token."""
    count = 10
    with World(Clock(), standby=False) as world:
        world.vendor.script(Fault.late(1.0))
        outcomes = sorted(finish(world, process)["outcome"] for process in [start(world) for _ in range(count)])
        assert outcomes == ["kept"] * (count - 1) + ["refreshed"]
        assert len(world.vendor.requests) == 1
        assert world.consume() == 200


def test_a_lost_answer_in_another_process_is_suspected_here(due: World) -> None:
    """What one process does not know for sure, the ledger tells all others."""
    due.vendor.script(Fault.cut(issues=True))
    assert finish(due, start(due))["outcome"].startswith(OutcomeUnknown.__name__)
    slot = ledger(due)["slots"][due.primary]
    assert (slot["suspicions"], ledger(due)["lock"]) == (1, None)
