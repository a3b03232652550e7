"""Rotation of the credentials: the next run acquires with the new client, and `status` says when the old one may go."""

from __future__ import annotations

import pytest

from local.emulators.world import World
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


@pytest.mark.parametrize("standby", [BLUE, None])
def test_rotation_has_no_gap_and_says_when_the_old_client_may_go(world: World, standby: str | None) -> None:
    """The next run acquires with the new client. After an hour no consumer uses the old client's token."""
    acquire_token(world)
    world.put_credentials(GREEN, standby)
    assert world.consume() == 200
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    result = world.invoke()
    assert outcome_and_reason(result) == ("refreshed", "client_changed")
    assert result["client_id"] == GREEN
    assert world.consume() == 200
    world.clock.advance(HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    world.clock.advance(1)
    assert world.invoke(STATUS)["safe_to_deactivate"] == BLUE
    world.vendor.deactivate(BLUE)
    assert world.consume() == 200
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")


def test_old_client_may_not_go_before_the_last_write_has_reached_every_cache(world: World) -> None:
    """Consumers may have read the token secret just before its last write, whatever was written."""
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
    """If consumers cache for longer, the old client must stay for longer."""
    acquire_token(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.clock.advance(2 * HOUR)
    assert world.invoke(STATUS, world.process(CONSUMER_CACHE_SECONDS="7200"))["safe_to_deactivate"] is None
    assert world.invoke(STATUS, world.process(CONSUMER_CACHE_SECONDS="7199"))["safe_to_deactivate"] == BLUE


def test_primary_is_never_named_as_safe_to_deactivate(world: World) -> None:
    """After ordinary refreshes the previous token is the primary's: `status` never names the primary."""
    acquire_token(world, 2 * HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    world.clock.advance(20 * HOUR)
    world.invoke()
    world.clock.advance(2 * HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None


def test_standby_may_go_only_when_the_current_token_is_the_primarys(standby_world: World) -> None:
    """Nobody may be deactivated while the standby's token is current, or while the token is not good."""
    write_ledger(standby_world, slots={BLUE: slot(now(standby_world) + 3 * HOUR, "rate_limited")})
    standby_world.invoke()
    standby_world.clock.advance(2 * HOUR)
    assert standby_world.invoke(STATUS)["safe_to_deactivate"] is None
    standby_world.clock.advance(HOUR)
    assert standby_world.invoke()["client_id"] == BLUE
    standby_world.clock.advance(2 * HOUR)
    assert standby_world.invoke(STATUS)["safe_to_deactivate"] == GREEN
    standby_world.clock.advance(DAY)
    assert standby_world.invoke(STATUS)["safe_to_deactivate"] is None
