"""A good previous token is brought back; this costs no request to the vendor."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from local.emulators.clock import Clock
from local.emulators.secrets_manager import LOST_ANSWER
from local.emulators.world import World
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
    public,
    world_with_vendor,
    write,
)
from tests.integration.traffic import record_traffic

HOURLY = {"LIMIT_INTERVAL_SECONDS": str(HOUR)}
MISTYPED_AUDIENCE = "https://api.tangocrad.com/"


@pytest.fixture
def hourly_world(clock: Clock) -> Iterator[World]:
    """A world whose vendor grants one token an hour; HOURLY has the matching setting."""
    with world_with_vendor(clock, interval=HOUR) as world:
        yield world


@pytest.mark.parametrize("name", ["AUDIENCE", "TOKEN_URL"])
def test_setting_put_right_again_brings_the_previous_token_back(hourly_world: World, name: str) -> None:
    """A mistyped setting costs the token that was acquired with it, and nothing else."""
    first = acquire_token(hourly_world, 2 * HOUR, **HOURLY)
    mistyped = {"AUDIENCE": MISTYPED_AUDIENCE, "TOKEN_URL": other_name(hourly_world)}[name]
    result = hourly_world.invoke(process=hourly_world.process(**HOURLY, **{name: mistyped}))
    assert outcome_and_reason(result) == ("refreshed", "config_changed")
    version_with_mistyped_setting = labels(hourly_world)[CURRENT]
    result = hourly_world.invoke(DRY_RUN, hourly_world.process(**HOURLY))
    assert outcome_and_reason(result) == ("due", "previous")
    with record_traffic(hourly_world) as traffic:
        result = hourly_world.invoke(process=hourly_world.process(**HOURLY))
    assert outcome_and_reason(result) == ("recovered", "previous")
    assert result["seconds_remaining"] == 22 * HOUR
    assert result["version_id"] == labels(hourly_world)[CURRENT]
    assert traffic.vendor == []
    assert [call.op for call in traffic.writes] == ["PutSecretValue", "UpdateSecretVersionStage", "PutSecretValue"]
    assert [claim["lock"]["principal"] for claim in traffic.claims] == [None]
    assert public(hourly_world.token()) == public(first)
    assert labels(hourly_world)[PREVIOUS] == version_with_mistyped_setting
    result = hourly_world.invoke(process=hourly_world.process(**HOURLY))
    assert outcome_and_reason(result) == ("kept", "fresh")


def test_token_that_was_brought_back_may_have_to_wait(world: World) -> None:
    """The previous token is recovered even if it is due itself and its client has no open slot."""
    first = acquire_token(world, INTERVAL)
    world.invoke(process=world.process(AUDIENCE=MISTYPED_AUDIENCE))
    with record_traffic(world) as traffic:
        result = world.invoke()
    assert outcome_and_reason(result) == ("recovered", "previous")
    assert traffic.vendor == []
    assert result["seconds_remaining"] == DAY - INTERVAL
    assert public(world.token()) == public(first)
    assert outcome_and_reason(world.invoke()) == ("waiting", "limit_interval")


def test_token_that_was_brought_back_is_replaced_if_its_client_may_ask(hourly_world: World) -> None:
    """If the previous token is due itself and its slot is open, the next run refreshes."""
    acquire_token(hourly_world, 21 * HOUR, **HOURLY)
    hourly_world.invoke(process=hourly_world.process(**HOURLY, AUDIENCE=MISTYPED_AUDIENCE))
    hourly_world.clock.advance(HOUR + 5 * MINUTE)
    result = hourly_world.invoke(process=hourly_world.process(**HOURLY))
    assert outcome_and_reason(result) == ("recovered", "previous")
    result = hourly_world.invoke(process=hourly_world.process(**HOURLY))
    assert outcome_and_reason(result) == ("refreshed", "expiring")


def test_token_that_was_overwritten_by_hand_comes_back(world: World) -> None:
    """If somebody overwrites a good token by mistake, it is brought back without the vendor."""
    first = acquire_token(world)
    overwritten_by = write(world, "oops", CURRENT)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert traffic.vendor == []
    assert public(world.token()) == public(first)
    assert labels(world)[PREVIOUS] == overwritten_by


def test_token_whose_document_was_edited_into_something_that_is_not_json_comes_back(world: World) -> None:
    """No consumer reads a document with NaN, although the token in it is good, so the document before is put back."""
    first = acquire_token(world)
    write(world, first | {"added_by_hand": math.nan}, CURRENT)
    assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert public(world.token()) == public(first)
    assert len(world.vendor.requests) == 1


def test_credential_put_right_again_brings_the_previous_token_back(world: World) -> None:
    """An operator who reverts a rotation gets the former client's token back."""
    first = acquire_token(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.put_credentials(BLUE)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert traffic.vendor == []
    assert public(world.token()) == public(first)


def test_expired_previous_token_is_not_brought_back(world: World) -> None:
    """Only a previous token that is still good is brought back."""
    acquire_token(world, INTERVAL)
    world.invoke(process=world.process(AUDIENCE=MISTYPED_AUDIENCE))
    world.clock.advance(INTERVAL)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "config_changed")


def test_previous_token_of_another_client_is_not_brought_back(world: World) -> None:
    """A previous token is good only if its client is configured."""
    acquire_token(world)
    write(world, "oops", CURRENT)
    world.put_credentials(GREEN)
    result = world.invoke()
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert result["client_id"] == GREEN


def test_answer_of_the_claim_that_brings_a_token_back_may_be_lost(world: World) -> None:
    """The token is brought back, even if the first answer is lost."""
    first = acquire_token(world)
    write(world, "oops", CURRENT)
    world.secrets.fail("UpdateSecretVersionStage", LOST_ANSWER)
    assert outcome_and_reason(world.invoke()) == ("recovered", "previous")
    assert public(world.token()) == public(first)
