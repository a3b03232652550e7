"""The lock: how a run waits for another run's lock, and what a lapsed lock means."""

from __future__ import annotations

import pytest

from handler.errors import Busy, OutcomeUnknown, VendorError
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DOWN,
    LEDGER,
    MINUTE,
    NOT_SAVED,
    STATUS,
    Json,
    acquire_token,
    another_runs_lock,
    another_runs_token,
    asked_slot,
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    write,
    write_ledger,
)
from tests.integration.traffic import do_at_calls, logged, once, record_traffic


def is_read_of_both_secrets(operation: str, _: Json) -> bool:
    return operation == "BatchGetSecretValue"


def test_locked_run_waits_and_finds_the_other_runs_token(world: World) -> None:
    """While another run holds the lock, this run looks every few seconds and usually finds its token."""
    write_ledger(world, lock=another_runs_lock(world, remaining=100))
    publish_by_the_other_run = once(lambda: write(world, another_runs_token(world), CURRENT, LEDGER), at=4)
    do_at_calls(world, is_read_of_both_secrets, publish_by_the_other_run)
    began = now(world)
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
    assert 0 < now(world) - began <= 20
    assert world.vendor.requests == []


def test_locked_run_goes_on_when_the_lock_is_released(world: World) -> None:
    """If the other run releases its lock without a token, this run acquires."""
    write_ledger(world, lock=another_runs_lock(world, remaining=100))
    release_by_the_other_run = once(lambda: write_ledger(world), at=4)
    do_at_calls(world, is_read_of_both_secrets, release_by_the_other_run)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert len(world.vendor.requests) == 1


def test_locked_run_waits_out_a_crashed_ones_lock(world: World) -> None:
    """The function's timeout is long enough to wait until a full lock lapses, and then to acquire."""
    write_ledger(world, lock=another_runs_lock(world, age=0, remaining=180))
    began = now(world)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert 180 <= now(world) - began <= 190


def test_locked_run_without_time_to_wait_is_busy(world: World) -> None:
    """A run that has only enough time to acquire and to write does not wait at all."""
    write_ledger(world, lock=another_runs_lock(world))
    began = now(world)
    with record_traffic(world) as traffic, pytest.raises(Busy) as caught:
        world.invoke(timeout=150)
    assert caught.value.retryable
    assert now(world) == began
    assert traffic.writes == []
    assert traffic.vendor == []


def test_locked_run_waits_no_longer_than_its_time_covers_an_acquire(world: World) -> None:
    """A run gives up while there is still enough time to acquire and to write."""
    write_ledger(world, lock=another_runs_lock(world, remaining=900))
    began = now(world)
    with pytest.raises(Busy):
        world.invoke(timeout=420)
    assert 420 - 150 - 10 <= now(world) - began <= 420 - 150


def test_locked_run_waits_once_more_if_its_time_just_covers_it(world: World) -> None:
    """The run waits if its time covers a pause, an acquire and a write to the second. The log shows each wait."""
    write_ledger(world, lock=another_runs_lock(world, remaining=900))
    began = now(world)
    with pytest.raises(Busy, match=r"^another run holds the lock"):
        world.invoke(timeout=153)
    assert now(world) - began == 3
    assert [line["message"] for line in world.lines if line.get("level") == "INFO"] == ["Locked"]


def test_locked_run_with_a_fresh_token_has_nothing_to_wait_for(world: World) -> None:
    """A run that finds a fresh token ignores another run's lock."""
    acquire_token(world)
    write_ledger(world, lock=another_runs_lock(world))
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")


@pytest.mark.parametrize(("principal", "times"), [(BLUE, 1), (None, 0)])
def test_lapsed_lock_is_a_failure_and_a_suspicion_of_its_principal(
    world: World, principal: str | None, times: int
) -> None:
    """A crashed run counts as both if it could ask. If it published a token at hand, it is neither."""
    lock = another_runs_lock(world, age=300, remaining=0, principal=principal)
    write_ledger(world, lock=lock, slots={BLUE: slot(failures=1, error="VendorError")})
    world.vendor.script(DOWN)
    with record_traffic(world) as traffic, pytest.raises(VendorError):
        world.invoke()
    error = "OutcomeUnknown" if times else "VendorError"
    claimed = asked_slot(suspicions=times, failures=1 + times, error=error)
    assert traffic.claims[0]["slots"] == {BLUE: claimed}
    assert slot_of(world)["failures"] == 2 + times
    assert slot_of(world)["suspicions"] == 1 + times


def test_lapsed_lock_backs_off_from_its_own_moment(world: World) -> None:
    """The back-off starts when the crashed run claimed, not when a later run noticed."""
    claimed_at = now(world) - 600
    lock = another_runs_lock(world, age=600, remaining=-1)
    write_ledger(world, lock=lock, slots={BLUE: slot(failures=2)})
    with record_traffic(world) as traffic, pytest.raises(OutcomeUnknown):
        world.invoke()
    assert traffic.writes == []
    assert traffic.vendor == []
    assert world.invoke(STATUS)["not_before"] == claimed_at + 45 * MINUTE
    world.clock.advance(45 * MINUTE - 601)
    with pytest.raises(OutcomeUnknown):
        world.invoke()
    world.clock.advance(1)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_failed_release_lets_the_lock_lapse_and_count(world: World) -> None:
    """If the ledger can't be written after a vendor's failure, the vendor's error is raised; the lock counts later."""
    world.vendor.script(DOWN, DOWN)
    world.vendor.on_request = lambda _: world.secrets.fail("PutSecretValue", NOT_SAVED)
    with pytest.raises(VendorError):
        world.invoke()
    assert ledger(world)["lock"]["principal"] == BLUE
    [line] = logged(world, "ReleaseFailed")
    assert "EncryptionFailure" in line["error"]
    world.vendor.on_request = None
    world.clock.advance(180)
    with pytest.raises(VendorError):
        world.invoke()
    assert ledger(world)["lock"] is None
    assert slot_of(world)["failures"] == 2
    assert slot_of(world)["suspicions"] == 2
