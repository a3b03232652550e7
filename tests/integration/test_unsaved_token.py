"""A token that could not be saved stays in the warm process, and its next run publishes it."""

from __future__ import annotations

import pytest

from handler.errors import (
    RateLimited,
    StoreError,
    VendorError,
)
from local.clock import Clock
from local.faults import Fault
from local.secrets_manager import AwsFault
from local.world import World
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
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    world_with_vendor,
    write,
    write_ledger,
)
from tests.integration.traffic import (
    fail_publishes,
    leave_token_unsaved,
    metrics,
    record_traffic,
)


def test_token_that_could_not_be_saved_is_published_by_the_next_run(world: World) -> None:
    """The warm process keeps it; its next run publishes it at once, under a claim for no client, and asks nobody."""
    keeper = world.keeper()
    held = leave_token_unsaved(world, keeper)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
    assert outcome_and_reason(world.invoke(DRY_RUN, keeper)) == ("due", "unsaved")
    began = now(world)
    with record_traffic(world) as traffic:
        result = world.invoke(keeper=keeper)
    assert (outcome_and_reason(result), result["client_id"]) == (("recovered", "unsaved"), BLUE)
    assert (traffic.vendor, now(world), world.token()["access_token"]) == ([], began, held)
    assert [claim["lock"]["client_id"] for claim in traffic.claims] == [None]
    assert ledger(world)["slots"] == {BLUE: slot(world.token()["acquired_at"] + INTERVAL, "limit_interval")}
    assert (ledger(world)["lock"], ledger(world)["failures"]) == (None, 0)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]
    assert world.consume() == 200


def test_token_that_could_not_be_saved_is_lost_to_another_process(world: World) -> None:
    """A new process waits the lock out, asks and is refused; it takes the suspicion at its word."""
    leave_token_unsaved(world, world.keeper())
    with pytest.raises(RateLimited):
        world.invoke()
    assert [request.issued for request in world.vendor.requests] == [True, False]
    assert slot_of(world) == slot(now(world) + INTERVAL, "rate_limited", 2)


def test_unsaved_token_waits_for_its_process_through_further_failures(world: World) -> None:
    """A second run that can't save it either keeps it too."""
    keeper = world.keeper()
    held = leave_token_unsaved(world, keeper)
    assert leave_token_unsaved(world, keeper) == held
    assert outcome_and_reason(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert (world.token()["access_token"], len(world.vendor.requests)) == (held, 1)


def test_unsaved_token_replaces_an_older_one_of_its_client(world: World) -> None:
    """A token in its window is replaced by the one that was acquired for that."""
    acquire_token(world, INTERVAL)
    keeper = world.keeper()
    held = leave_token_unsaved(world, keeper)
    assert 0 < metrics(world)["TokenSecondsRemaining"] <= DAY - INTERVAL
    assert outcome_and_reason(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == held


def test_unsaved_token_is_dropped_for_a_newer_one_of_its_client(world: World) -> None:
    """What another process has published since is newer, and stays."""
    keeper = world.keeper()
    leave_token_unsaved(world, keeper)
    world.clock.advance(INTERVAL)
    world.invoke()
    newer = world.token()
    assert outcome_and_reason(world.invoke(keeper=keeper)) == ("kept", "fresh")
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert (traffic.operations, world.token()) == (["BatchGetSecretValue"], newer)


def test_unsaved_token_is_dropped_when_it_expires(world: World) -> None:
    """A day later the process acquires like any other."""
    keeper = world.keeper()
    held = leave_token_unsaved(world, keeper)
    world.clock.advance(DAY)
    assert outcome_and_reason(world.invoke(keeper=keeper)) == ("refreshed", "missing")
    assert world.token()["access_token"] != held


def test_unsaved_token_that_expires_is_forgotten(pair: World) -> None:
    """A reserve that is worth nothing any more costs no further calls."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED)
    leave_token_unsaved(pair, keeper)
    pair.clock.advance(HOUR)
    pair.invoke()
    pair.clock.advance(INTERVAL)
    pair.invoke()
    pair.clock.advance(3 * HOUR)
    with record_traffic(pair) as traffic:
        assert outcome_and_reason(pair.invoke(keeper=keeper)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]


def test_token_that_was_saved_unheard_is_not_saved_again(world: World) -> None:
    """Where every answer of the publication was an error and the token is out all the same, the next run sees it."""
    keeper = world.keeper()
    fail_publishes(world, fault=AwsFault("EncryptionFailure", processed=True))
    with pytest.raises(StoreError):
        world.invoke(keeper=keeper)
    world.secrets.on_call = None
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert (traffic.operations, world.consume()) == (["BatchGetSecretValue"], 200)


def test_unsaved_token_of_a_forced_refresh_is_published_although_none_is_due(clock: Clock) -> None:
    """What was acquired is not left behind because the older token is still fresh."""
    with world_with_vendor(clock, interval=0) as world:
        acquire_token(world, HOUR, **NO_LIMIT)
        keeper = world.keeper(**NO_LIMIT)
        fail_publishes(world)
        with pytest.raises(StoreError):
            world.invoke(FORCE, keeper)
        world.secrets.on_call = None
        assert outcome_and_reason(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
        assert world.token()["access_token"] == world.vendor.issued[1].token


def test_unsaved_token_of_the_primary_replaces_the_standbys(pair: World) -> None:
    """The standby stepped in meanwhile; the primary's token, with nearly all of its life left, is better."""
    keeper = pair.keeper()
    held = leave_token_unsaved(pair, keeper)
    assert pair.invoke()["client_id"] == GREEN
    with record_traffic(pair) as traffic:
        assert outcome_and_reason(pair.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert (pair.token()["access_token"], traffic.vendor) == (held, [])


def test_unsaved_token_of_the_standby_does_not_replace_the_primarys(pair: World) -> None:
    """The primary's token is good and has life enough; the standby's stays in reserve."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED)
    leave_token_unsaved(pair, keeper)
    pair.clock.advance(HOUR)
    assert pair.invoke()["client_id"] == BLUE
    primarys = pair.token()
    assert outcome_and_reason(pair.invoke(keeper=keeper)) == ("kept", "fresh")
    assert pair.token() == primarys


@pytest.mark.parametrize(("left", "outcome"), [(8_999, "recovered"), (9_001, "waiting")])
def test_unsaved_token_of_the_standby_replaces_a_short_lived_one(pair: World, left: int, outcome: str) -> None:
    """With less than STANDBY_BELOW_SECONDS left the primary's token gives way to the standby's with more."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED)
    held = leave_token_unsaved(pair, keeper)
    write(pair, another_runs_token(pair, expires_at=now(pair) + left), CURRENT)
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    assert pair.invoke(keeper=keeper)["outcome"] == outcome
    assert (pair.token()["access_token"] == held) == (outcome == "recovered")


def test_unsaved_token_that_is_worse_does_not_replace_a_short_lived_one(pair: World) -> None:
    """A token that replaces another client's short-lived one must have more life left than that one."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED, Fault.edited({"expires_in": 6_000}))
    leave_token_unsaved(pair, keeper)
    current = another_runs_token(pair, expires_at=now(pair) + 7_000)
    write(pair, current, CURRENT)
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    assert pair.invoke(keeper=keeper)["outcome"] == "waiting"
    assert pair.token() == current


def test_unsaved_token_waits_while_everybody_backs_off(world: World) -> None:
    """Nobody claims before `retry_at`, not even for a token at hand; afterwards it is published."""
    keeper = world.keeper()
    held = leave_token_unsaved(world, keeper)
    write_ledger(world, failures=3, retry_at=now(world) + 100)
    with record_traffic(world) as traffic, pytest.raises(VendorError):
        world.invoke(keeper=keeper)
    assert traffic.writes == []
    world.clock.advance(100)
    assert outcome_and_reason(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == held


def test_unsaved_token_waits_for_another_runs_lock(world: World) -> None:
    """A lock under which this process did not acquire its token is another's."""
    keeper = world.keeper()
    leave_token_unsaved(world, keeper)
    write_ledger(world, lock=another_runs_lock(world, remaining=30))
    began = now(world)
    assert outcome_and_reason(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert now(world) - began >= 30
