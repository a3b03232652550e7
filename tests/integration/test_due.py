"""When a refresh is due, for which reason, and when the client may be asked."""

from __future__ import annotations

import pytest

from handler.errors import RateLimited
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.integration.helpers import (
    DRY_RUN,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    NO_LIMIT,
    acquire_token,
    now,
    other_name,
    outcome_and_reason,
    world_with_vendor,
)


@pytest.mark.parametrize(
    ("age", "expected", "requests"),
    [
        (20 * HOUR - 1, ("kept", "fresh"), 1),
        (20 * HOUR, ("waiting", "limit_interval"), 1),
        (INTERVAL - 1, ("waiting", "limit_interval"), 1),
        (INTERVAL, ("refreshed", "expiring"), 2),
        (24 * HOUR - 1, ("refreshed", "expiring"), 2),
        (24 * HOUR, ("refreshed", "expired"), 2),
        (30 * HOUR, ("refreshed", "expired"), 2),
    ],
)
def test_token_is_due_in_its_window_and_its_client_may_ask_after_the_margin(
    world: World, age: int, expected: tuple[str, str], requests: int
) -> None:
    """The window opens after 20 h, the slot five minutes later, and the vendor is not asked before that."""
    acquire_token(world, age)
    assert outcome_and_reason(world.invoke()) == expected
    assert len(world.vendor.requests) == requests


def test_missing_is_the_first_reason(world: World) -> None:
    """If there is no token, a forced run gives the reason `missing`, not `forced`."""
    assert outcome_and_reason(world.invoke(FORCE)) == ("refreshed", "missing")


def test_other_client_is_a_reason_before_all_others(world: World) -> None:
    """Another client's token is replaced for that reason, even if it has also expired or has other settings."""
    acquire_token(world, 25 * HOUR)
    world.put_credentials(GREEN)
    process = world.process(AUDIENCE="https://other.example/")
    assert outcome_and_reason(world.invoke(FORCE, process)) == ("refreshed", "client_changed")
    assert world.token()["client_id"] == GREEN


@pytest.mark.parametrize("name", ["AUDIENCE", "TOKEN_URL"])
def test_other_settings_are_a_reason_before_the_time(world: World, name: str) -> None:
    """A token of another audience or endpoint is replaced for that reason, even if it has also expired."""
    acquire_token(world, 25 * HOUR)
    value = {"AUDIENCE": "https://other.example/", "TOKEN_URL": other_name(world)}[name]
    result = world.invoke(FORCE, world.process(**{name: value}))
    assert outcome_and_reason(result) == ("refreshed", "config_changed")
    assert world.token()[name.lower()] == value


def test_other_settings_do_not_open_the_slot(world: World) -> None:
    """A changed audience makes the token useless, but its client must still wait for its interval."""
    acquire_token(world)
    with pytest.raises(RateLimited):
        world.invoke(process=world.process(AUDIENCE="https://other.example/"))
    assert len(world.vendor.requests) == 1


def test_other_granted_scope_is_not_a_reason(world: World) -> None:
    """The vendor may grant another scope than was asked for. What was asked for counts."""
    world.vendor.script(Fault.edited({"scope": "raas.read"}))
    acquire_token(world)
    assert world.token()["scope"] == "raas.read"
    assert world.token()["requested_scope"] == "raas.all"
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")


def test_other_requested_scope_is_a_reason(world: World) -> None:
    """A token that was asked for with another SCOPE is not the one that is wanted."""
    acquire_token(world)
    process = world.process(SCOPE="raas.read")
    assert outcome_and_reason(world.invoke(DRY_RUN, process)) == ("waiting", "limit_interval")
    with pytest.raises(RateLimited):
        world.invoke(process=process)
    world.clock.advance(INTERVAL)
    result = world.invoke(process=process)
    assert outcome_and_reason(result) == ("refreshed", "config_changed")


@pytest.mark.parametrize(("age", "reason"), [(21 * HOUR, "expiring"), (25 * HOUR, "expired")])
def test_forced_is_the_last_reason(world: World, age: int, reason: str) -> None:
    """If the token is due anyway, a forced run gives that reason."""
    acquire_token(world, age)
    assert outcome_and_reason(world.invoke(FORCE)) == ("refreshed", reason)


@pytest.mark.parametrize(
    ("age", "outcome", "requests"),
    [
        (0, "kept", 1),
        (599, "kept", 1),
        (600, "refreshed", 2),
        (HOUR, "refreshed", 2),
    ],
)
def test_forced_is_satisfied_for_ten_minutes(clock: Clock, age: int, outcome: str, requests: int) -> None:
    """A repeated event does not spend a second slot: a token that is less than ten minutes old satisfies it."""
    with world_with_vendor(clock, interval=0) as world:
        acquire_token(world, age, **NO_LIMIT)
        assert world.invoke(FORCE, world.process(**NO_LIMIT))["outcome"] == outcome
        assert len(world.vendor.requests) == requests


def test_forced_keeps_to_the_slot_rules(world: World) -> None:
    """A forced run waits for the limit interval like any other run."""
    acquire_token(world)
    result = world.invoke(FORCE)
    assert outcome_and_reason(result) == ("waiting", "limit_interval")
    assert result["not_before"] == now(world) - HOUR + INTERVAL
    assert len(world.vendor.requests) == 1
