"""A good previous token is brought back; this costs no request to the vendor."""

from __future__ import annotations

from typing import Any

import pytest

from local.clock import Clock
from local.secrets_manager import LOST_ANSWER
from local.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    GREEN,
    HOUR,
    INTERVAL,
    MINUTE,
    PREVIOUS,
    acquire_token,
    labels,
    other_name,
    outcome_and_reason,
    world_with_vendor,
    write,
)
from tests.integration.traffic import (
    record_traffic,
)


@pytest.fixture
def hourly(clock: Clock) -> Any:
    """Have a vendor that grants a token an hour, and the settings that go with it."""
    with world_with_vendor(clock, interval=HOUR) as world:
        yield world


HOURLY = {"LIMIT_INTERVAL_SECONDS": str(HOUR)}


@pytest.mark.parametrize("name", ["AUDIENCE", "TOKEN_URL"])
def test_setting_put_right_again_brings_the_previous_token_back(hourly: World, name: str) -> None:
    """A mistyped setting costs the token that was acquired with it, and nothing more."""
    first = acquire_token(hourly, 2 * HOUR, **HOURLY)
    mistyped = {"AUDIENCE": "https://api.tangocrad.com/", "TOKEN_URL": other_name(hourly)}[name]
    assert outcome_and_reason(hourly.invoke(keeper=hourly.keeper(**HOURLY, **{name: mistyped}))) == (
        "refreshed",
        "config_changed",
    )
    wrong = labels(hourly)[CURRENT]
    assert outcome_and_reason(hourly.invoke(DRY_RUN, hourly.keeper(**HOURLY))) == ("due", "previous")
    with record_traffic(hourly) as traffic:
        result = hourly.invoke(keeper=hourly.keeper(**HOURLY))
    assert outcome_and_reason(result) == ("recovered", "previous")
    assert (result["seconds_remaining"], result["version_id"]) == (22 * HOUR, labels(hourly)[CURRENT])
    assert (traffic.vendor, [call.op for call in traffic.writes]) == ([], ["UpdateSecretVersionStage"])
    assert (hourly.token(), labels(hourly)[PREVIOUS]) == (first, wrong)
    assert outcome_and_reason(hourly.invoke(keeper=hourly.keeper(**HOURLY))) == ("kept", "fresh")


def test_token_that_was_brought_back_may_have_to_wait(world: World) -> None:
    """Where the previous token is in its window already and its client has no slot, it is recovered all the same."""
    first = acquire_token(world, INTERVAL)
    world.invoke(keeper=world.keeper(AUDIENCE="https://api.tangocrad.com/"))
    with record_traffic(world) as traffic:
        result = world.invoke()
    assert (outcome_and_reason(result), traffic.vendor) == (("recovered", "previous"), [])
    assert result["seconds_remaining"] == DAY - INTERVAL
    assert world.token() == first
    assert outcome_and_reason(world.invoke()) == ("waiting", "limit_interval")


def test_token_that_was_brought_back_is_replaced_where_its_client_may_ask(hourly: World) -> None:
    """A previous token that is due itself is renewed by the same run."""
    acquire_token(hourly, 21 * HOUR, **HOURLY)
    hourly.invoke(keeper=hourly.keeper(**HOURLY, AUDIENCE="https://api.tangocrad.com/"))
    hourly.clock.advance(HOUR + 5 * MINUTE)
    assert outcome_and_reason(hourly.invoke(keeper=hourly.keeper(**HOURLY))) == ("refreshed", "expiring")


def test_token_that_was_overwritten_by_hand_comes_back(world: World) -> None:
    """A slip of the hand over a good token is put right without the vendor."""
    first = acquire_token(world)
    slip = write(world, "oops", CURRENT)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert (traffic.vendor, world.token(), labels(world)[PREVIOUS]) == ([], first, slip)


def test_credential_put_right_again_brings_the_previous_token_back(world: World) -> None:
    """An operator who takes a rotation back gets the former client's token back."""
    first = acquire_token(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.put_credentials(BLUE)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert (traffic.vendor, world.token()) == ([], first)


def test_expired_previous_token_is_not_brought_back(world: World) -> None:
    """Only a good token is worth bringing back."""
    acquire_token(world, INTERVAL)
    world.invoke(keeper=world.keeper(AUDIENCE="https://api.tangocrad.com/"))
    world.clock.advance(INTERVAL)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "config_changed")


def test_previous_token_of_another_client_is_not_brought_back(world: World) -> None:
    """A token is good only where its client is configured."""
    acquire_token(world)
    write(world, "oops", CURRENT)
    world.put_credentials(GREEN)
    result = world.invoke()
    assert (outcome_and_reason(result), result["client_id"]) == (("refreshed", "missing"), GREEN)


def test_answer_of_the_move_back_may_be_lost(world: World) -> None:
    """The label is where it should be, whether or not the first answer arrived."""
    first = acquire_token(world)
    write(world, "oops", CURRENT)
    world.secrets.fail("UpdateSecretVersionStage", LOST_ANSWER)
    assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert world.token() == first
