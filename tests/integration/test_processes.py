"""Real processes: a process that is killed at any step, and many processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.errors import OutcomeUnknown
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import CUT
from local.emulators.world import World
from tests.conftest import secrets_in
from tests.integration.helpers import HOUR, Json, ledger, slot_of
from tests.integration.traffic import do_at_vendor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60  # real seconds; every process here ends much earlier


@pytest.fixture
def due_world() -> Iterator[World]:
    """A world by the machine's clock, which other processes share; its token has three hours left."""
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


def finish(world: World, process: subprocess.Popen[str]) -> Json:
    """Return the result of a process, or its error as the outcome; neither may show a secret."""
    out, err = process.communicate(timeout=PATIENCE)
    assert not secrets_in(out + err, world)
    if process.returncode != 0:
        return {"outcome": err.strip()}
    result: Json = json.loads(out)
    return result


def kill_at_call(world: World, operation: str, moment: str, number: int = 1) -> None:
    """Run a process and kill it at the operation's n-th call, `before` or `after` the call takes effect."""
    calls = 0
    process = start(world)

    def hook(called: str, when: str, _: Json) -> None:
        nonlocal calls
        if (called, when) == (operation, "before"):
            calls += 1
            if calls == number and moment == "before":
                world.secrets.fail(operation, CUT)
        if (called, when) == (operation, moment) and calls == number:
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


def run_again(world: World) -> Json:
    """Run the function once more, in a process that sleeps by moving the clock."""
    return world.invoke(process=replace(world.process(), sleep=world.clock.advance))


def run_by_the_clock(world: World) -> Json:
    """Run again; return all but the seconds left, which are checked against the clock, because it goes on."""
    before = world.clock.now()
    result = run_again(world)
    remaining = result.pop("seconds_remaining")
    assert int(result["expires_at"] - world.clock.now()) <= remaining <= result["expires_at"] - before
    return result


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_the_put_of_its_claim_it_locks_nobody_out(due_world: World, moment: str) -> None:
    """A run that dies before its claim's label has moved locks nobody out: the next run refreshes.

    If the version of the claim was put, its id is taken, and the next run gets another one at its third try.
    """
    kill_at_call(due_world, "PutSecretValue", moment)
    assert due_world.vendor.requests == []
    before = due_world.clock.now()
    assert run_again(due_world)["outcome"] == "refreshed"
    lost_races = {"before": 0, "after": 1 + 2}[moment]
    assert due_world.clock.now() - before < lost_races + 3  # it did not wait for a lock
    assert [request.status for request in due_world.vendor.requests] == [200]


def test_killed_after_its_claim_the_lock_holds_until_it_lapses(due_world: World) -> None:
    """The lock of a dead run keeps other runs waiting for as long as the dead run could have acquired."""
    kill_at_call(due_world, "UpdateSecretVersionStage", "after")
    lock = ledger(due_world)["lock"]
    assert due_world.vendor.requests == []
    assert lock["principal"] == due_world.primary
    assert run_again(due_world)["outcome"] == "refreshed"
    assert due_world.vendor.requests[0].at >= lock["until"]
    assert ledger(due_world)["lock"] is None


def test_killed_before_the_vendor_issues_the_slot_is_still_there(due_world: World) -> None:
    """A run that dies before the vendor issues costs the length of one lock, and no token."""
    due_world.vendor.script(Fault.cut(issues=False))
    process = start(due_world)
    do_at_vendor(due_world, "received", process.kill)
    run_until_killed(due_world, process)
    due_world.vendor.on_request = None
    assert run_again(due_world)["outcome"] == "refreshed"
    assert [request.issued for request in due_world.vendor.requests] == [False, True]


def test_killed_while_the_vendor_issues_the_next_run_suspects_it(due_world: World) -> None:
    """A token issued to a dead run is lost. The next run asks once, is refused, and waits for the interval."""
    process = start(due_world)
    do_at_vendor(due_world, "issued", process.kill)
    run_until_killed(due_world, process)
    due_world.vendor.on_request = None
    assert_lost_and_waited_out(due_world)


def test_killed_after_the_answer_the_next_run_suspects_it(due_world: World) -> None:
    """A token that arrived but was not saved is lost: the next run asks once, is refused, and waits."""
    kill_at_call(due_world, "PutSecretValue", "before", number=2)
    assert_lost_and_waited_out(due_world)


def assert_lost_and_waited_out(world: World) -> None:
    lock = ledger(world)["lock"]
    assert lock["principal"] == world.primary
    first_result = run_by_the_clock(world)
    second_result = run_by_the_clock(world)
    assert first_result | {"outcome": "waiting", "reason": "rate_limited"} == second_result
    assert [request.status for request in world.vendor.requests][-1] == 400
    assert len(world.vendor.requests) == 2
    assert world.vendor.requests[1].at >= lock["until"]
    assert slot_of(world)["not_before"] >= world.vendor.requests[1].at + 20 * HOUR
    assert world.consume() == 200  # the old token still has hours


def test_killed_after_the_answer_the_standby_keeps_consumers_going(due_world: World) -> None:
    """With a standby, the token that a dead run lost is replaced before the old token expires."""
    due_world.put_credentials(due_world.primary, due_world.standby)
    kill_at_call(due_world, "PutSecretValue", "before", number=2)
    due_world.clock.advance(HOUR)
    result = run_again(due_world)
    assert result["outcome"] == "refreshed"
    assert result["client_id"] == due_world.standby
    assert due_world.consume() == 200


def test_killed_after_the_publish_nothing_is_lost(due_world: World) -> None:
    """A run that dies after its publish has done its work: the next run finds a fresh token and asks nobody."""
    kill_at_call(due_world, "PutSecretValue", "after", number=2)
    assert run_again(due_world)["outcome"] == "kept"
    assert [request.status for request in due_world.vendor.requests] == [200]
    assert due_world.consume() == 200


def test_of_many_processes_at_once_one_asks_and_the_others_find_its_token(due_world: World) -> None:
    """Five runs find the same due token: one asks the vendor, the others wait and end with `kept`."""
    count = 5
    together = threading.Barrier(count, timeout=PATIENCE)
    reads = iter(range(count))

    def hook(operation: str, moment: str, _: Json) -> None:
        if (operation, moment) == ("BatchGetSecretValue", "before") and next(reads, None) is not None:
            together.wait()

    due_world.secrets.on_call = hook
    due_world.vendor.script(Fault.late(1.0))
    processes = [start(due_world) for _ in range(count)]
    outcomes = sorted(finish(due_world, process)["outcome"] for process in processes)
    assert outcomes == ["kept"] * (count - 1) + ["refreshed"]
    assert [request.status for request in due_world.vendor.requests] == [200]
    assert due_world.vendor.most_in_flight == 1
    assert due_world.consume() == 200


def test_many_processes_at_once_on_an_empty_secret_make_one_request() -> None:
    """The same at the very first deployment: one seed, one request, one token."""
    count = 5
    with World(Clock(), standby=False) as world:
        world.vendor.script(Fault.late(1.0))
        processes = [start(world) for _ in range(count)]
        outcomes = sorted(finish(world, process)["outcome"] for process in processes)
        assert outcomes == ["kept"] * (count - 1) + ["refreshed"]
        assert len(world.vendor.requests) == 1
        assert world.consume() == 200


def test_a_lost_answer_in_another_process_is_suspected_here(due_world: World) -> None:
    """The ledger tells all processes that one of them may have lost a token."""
    due_world.vendor.script(Fault.cut(issues=True))
    result = finish(due_world, start(due_world))
    assert result["outcome"].startswith(OutcomeUnknown.__name__)
    assert slot_of(due_world)["suspicions"] == 1
    assert ledger(due_world)["lock"] is None
