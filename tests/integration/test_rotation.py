"""Rotation of the credentials: the next run acquires with the new client, and `status` says when the old one may go."""

from __future__ import annotations

import pytest

from local.world import World
from tests.integration.helpers import (
    BLUE,
    DAY,
    GREEN,
    HOUR,
    STATUS,
    acquire_token,
    now,
    outcome_and_reason,
    slot,
    write_ledger,
)


@pytest.mark.parametrize("standby", [True, False])
def test_rotation_has_no_gap_and_says_when_the_old_client_may_go(world: World, standby: bool) -> None:
    """The next run acquires with the new client; an hour later consumers have left the old one behind."""
    acquire_token(world)
    world.put_credentials(GREEN, BLUE if standby else None)
    assert (world.consume(), world.invoke(STATUS)["safe_to_deactivate"]) == (200, None)
    result = world.invoke()
    assert (outcome_and_reason(result), result["client_id"], world.consume()) == (
        ("refreshed", "client_changed"),
        GREEN,
        200,
    )
    world.clock.advance(HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    world.clock.advance(1)
    assert world.invoke(STATUS)["safe_to_deactivate"] == BLUE
    world.vendor.deactivate(BLUE)
    assert (world.consume(), outcome_and_reason(world.invoke())) == (200, ("kept", "fresh"))


def test_old_client_may_not_go_before_the_last_write_has_reached_every_cache(world: World) -> None:
    """Whatever was written to the token secret last, consumers may have read just before it."""
    acquire_token(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.clock.advance(HOUR - 60)
    write_ledger(world)
    world.clock.advance(HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    world.clock.advance(1)
    assert world.invoke(STATUS)["safe_to_deactivate"] == BLUE


def test_cache_time_of_consumers_is_a_setting(world: World) -> None:
    """Consumers that cache for longer keep the old client for longer."""
    acquire_token(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.clock.advance(2 * HOUR)
    assert world.invoke(STATUS, world.keeper(CONSUMER_CACHE_SECONDS="7200"))["safe_to_deactivate"] is None
    assert world.invoke(STATUS, world.keeper(CONSUMER_CACHE_SECONDS="7199"))["safe_to_deactivate"] == BLUE


def test_no_client_may_go_where_none_was_left_behind(world: World) -> None:
    """After ordinary refreshes the previous token is the primary's, and it is never named."""
    acquire_token(world, 2 * HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    world.clock.advance(20 * HOUR)
    world.invoke()
    world.clock.advance(2 * HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None


def test_standby_may_go_only_when_the_current_token_is_the_primarys(pair: World) -> None:
    """While the standby's token stands in, nobody may be deactivated; nor where the token is not good."""
    write_ledger(pair, slots={BLUE: slot(now(pair) + 3 * HOUR, "rate_limited")})
    pair.invoke()
    pair.clock.advance(2 * HOUR)
    assert pair.invoke(STATUS)["safe_to_deactivate"] is None
    pair.clock.advance(HOUR)
    assert pair.invoke()["client_id"] == BLUE
    pair.clock.advance(2 * HOUR)
    assert pair.invoke(STATUS)["safe_to_deactivate"] == GREEN
    pair.clock.advance(DAY)
    assert pair.invoke(STATUS)["safe_to_deactivate"] is None
