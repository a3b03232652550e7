"""A token that could not be saved stays in the warm process, and its next run publishes it."""

from __future__ import annotations

import pytest

from handler.errors import RateLimited, StoreError
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    NO_LIMIT,
    REFUSED,
    acquire_token,
    another_runs_lock,
    another_runs_token,
    asked_slot,
    backing_off_slot,
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    world_with_vendor,
    write,
    write_ledger,
)
from tests.integration.traffic import fail_publishes, leave_token_unsaved, metrics, record_traffic


def test_token_that_could_not_be_saved_is_published_by_the_next_run(world: World) -> None:
    """The next run of the warm process publishes the token at once, under a claim for no client, and asks nobody."""
    process = world.process()
    unsaved_token = leave_token_unsaved(world, process)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
    assert outcome_and_reason(world.invoke(DRY_RUN, process)) == ("due", "unsaved")
    began = now(world)
    with record_traffic(world) as traffic:
        result = world.invoke(process=process)
    assert outcome_and_reason(result) == ("recovered", "unsaved")
    assert result["client_id"] == BLUE
    assert traffic.vendor == []
    assert now(world) == began
    assert world.token()["access_token"] == unsaved_token
    assert [claim["lock"]["principal"] for claim in traffic.claims] == [None]
    assert ledger(world)["slots"] == {BLUE: asked_slot(world.token()["acquired_at"] + INTERVAL, "limit_interval")}
    assert ledger(world)["lock"] is None
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(process=process)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]
    assert world.consume() == 200


def test_token_that_could_not_be_saved_is_lost_to_another_process(world: World) -> None:
    """A new process waits until the lock lapses, asks and is refused; the suspicion explains the refusal."""
    leave_token_unsaved(world, world.process())
    with pytest.raises(RateLimited):
        world.invoke()
    assert [request.issued for request in world.vendor.requests] == [True, False]
    refused = {"failures": 2, "error": "RateLimited"}  # the lapsed lock is the first failure
    assert slot_of(world) == asked_slot(now(world) + INTERVAL, "rate_limited", 2, **refused)


def test_unsaved_token_waits_for_its_process_through_further_failures(world: World) -> None:
    """The process keeps the token if a second run can't save it either."""
    process = world.process()
    unsaved_token = leave_token_unsaved(world, process)
    assert leave_token_unsaved(world, process) == unsaved_token
    assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == unsaved_token
    assert len(world.vendor.requests) == 1


def test_unsaved_token_replaces_an_older_one_of_its_client(world: World) -> None:
    """The unsaved token replaces the token in its window that it was acquired for."""
    acquire_token(world, INTERVAL)
    process = world.process()
    unsaved_token = leave_token_unsaved(world, process)
    assert 0 < metrics(world)["TokenSecondsRemaining"] <= DAY - INTERVAL
    assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == unsaved_token


def test_unsaved_token_is_dropped_for_a_newer_one_of_its_client(world: World) -> None:
    """A token that another process has published meanwhile is newer, and stays."""
    process = world.process()
    leave_token_unsaved(world, process)
    world.clock.advance(INTERVAL)
    world.invoke()
    newer = world.token()
    write_ledger(world)  # if the process still had a token, it would need to read this
    assert outcome_and_reason(world.invoke(process=process)) == ("kept", "fresh")
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(process=process)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]
    assert world.token() == newer


def test_unsaved_token_is_dropped_when_it_expires(world: World) -> None:
    """A day later the process acquires like any other process."""
    process = world.process()
    unsaved_token = leave_token_unsaved(world, process)
    world.clock.advance(DAY)
    assert outcome_and_reason(world.invoke(process=process)) == ("refreshed", "missing")
    assert world.token()["access_token"] != unsaved_token


def test_unsaved_token_that_expires_is_forgotten(standby_world: World) -> None:
    """An expired token in the process costs no further calls."""
    process = standby_world.process()
    standby_world.vendor.script(REFUSED)
    leave_token_unsaved(standby_world, process)
    standby_world.clock.advance(HOUR)
    standby_world.invoke()
    standby_world.clock.advance(INTERVAL)
    standby_world.invoke()
    standby_world.clock.advance(3 * HOUR)
    with record_traffic(standby_world) as traffic:
        assert outcome_and_reason(standby_world.invoke(process=process)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]


def test_token_that_was_saved_unheard_is_not_saved_again(world: World) -> None:
    """If the publication succeeded although every answer was an error, the next run finds the token."""
    process = world.process()
    fail_publishes(world, fault=AwsFault("EncryptionFailure", processed=True))
    with pytest.raises(StoreError):
        world.invoke(process=process)
    world.secrets.on_call = None
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(process=process)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]
    assert world.consume() == 200


def test_unsaved_token_of_a_forced_refresh_is_published_although_none_is_due(clock: Clock) -> None:
    """The unsaved token is published even though the older token is still fresh."""
    with world_with_vendor(clock, interval=0) as world:
        acquire_token(world, HOUR, **NO_LIMIT)
        process = world.process(**NO_LIMIT)
        fail_publishes(world)
        with pytest.raises(StoreError):
            world.invoke(FORCE, process)
        world.secrets.on_call = None
        assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")
        assert world.token()["access_token"] == world.vendor.issued[1].token


def test_unsaved_token_of_the_primary_replaces_the_standbys(standby_world: World) -> None:
    """If the standby's token was published meanwhile, the primary's unsaved token replaces it."""
    process = standby_world.process()
    unsaved_token = leave_token_unsaved(standby_world, process)
    assert standby_world.invoke()["client_id"] == GREEN
    with record_traffic(standby_world) as traffic:
        assert outcome_and_reason(standby_world.invoke(process=process)) == ("recovered", "unsaved")
    assert standby_world.token()["access_token"] == unsaved_token
    assert traffic.vendor == []


def test_unsaved_token_of_the_standby_does_not_replace_the_primarys(standby_world: World) -> None:
    """If the primary's token is good and has enough life, the standby's token stays in the process."""
    process = standby_world.process()
    standby_world.vendor.script(REFUSED)
    leave_token_unsaved(standby_world, process)
    standby_world.clock.advance(HOUR)
    assert standby_world.invoke()["client_id"] == BLUE
    primarys_token = standby_world.token()
    assert outcome_and_reason(standby_world.invoke(process=process)) == ("kept", "fresh")
    assert standby_world.token() == primarys_token


@pytest.mark.parametrize(("remaining", "outcome"), [(8_999, "recovered"), (9_001, "waiting")])
def test_unsaved_token_of_the_standby_replaces_a_short_lived_one(
    standby_world: World, remaining: int, outcome: str
) -> None:
    """The standby's token replaces one that has less than STANDBY_BELOW_SECONDS left, and less than its own."""
    process = standby_world.process()
    standby_world.vendor.script(REFUSED)
    unsaved_token = leave_token_unsaved(standby_world, process)
    at = now(standby_world)
    short_lived = another_runs_token(standby_world, acquired_at=at - 20 * HOUR, expires_at=at + remaining)
    write(standby_world, short_lived, CURRENT)
    write_ledger(standby_world, slots={BLUE: slot(now(standby_world) + HOUR, "rate_limited")})
    assert standby_world.invoke(process=process)["outcome"] == outcome
    is_replaced = standby_world.token()["access_token"] == unsaved_token
    assert is_replaced == (outcome == "recovered")


def test_unsaved_token_that_is_worse_does_not_replace_a_short_lived_one(standby_world: World) -> None:
    """The standby's token does not replace a short-lived one that has more life left than it."""
    process = standby_world.process()
    standby_world.vendor.script(REFUSED, Fault.edited({"expires_in": 6_000}))
    leave_token_unsaved(standby_world, process)
    at = now(standby_world)
    current = another_runs_token(standby_world, acquired_at=at - 20 * HOUR, expires_at=at + 7_000)
    write(standby_world, current, CURRENT)
    write_ledger(standby_world, slots={BLUE: slot(now(standby_world) + HOUR, "rate_limited")})
    assert standby_world.invoke(process=process)["outcome"] == "waiting"
    assert standby_world.token() == current


def test_unsaved_token_is_published_while_its_client_backs_off(world: World) -> None:
    """A publish asks nobody, so no pause holds it back."""
    process = world.process()
    unsaved_token = leave_token_unsaved(world, process)
    write_ledger(world, slots={BLUE: backing_off_slot(world)})
    assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == unsaved_token


def test_unsaved_token_waits_for_another_runs_lock(world: World) -> None:
    """The process waits for a lock if it is not the one under which it acquired its token."""
    process = world.process()
    leave_token_unsaved(world, process)
    write_ledger(world, lock=another_runs_lock(world, remaining=30))
    began = now(world)
    assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")
    assert now(world) - began >= 30
