"""`override_limit`: one request for the primary client against its closed slot."""

from __future__ import annotations

import pytest

from handler.errors import Busy, CredentialsRefused, RateLimited
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    GREEN,
    HOUR,
    LIMITED,
    MINUTE,
    OVERRIDE,
    PREVIOUS,
    REFUSED,
    Json,
    acquire_token,
    another_runs_lock,
    asked_slot,
    asked_with,
    backing_off_slot,
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    write_ledger,
)
from tests.integration.traffic import do_at_calls, metrics, once, record_traffic


def test_override_asks_the_primary_against_its_slot(world: World) -> None:
    """If the vendor says that it has reset the limit, an operator can get a new token at once."""
    acquire_token(world)
    world.vendor.reset_limit(BLUE)
    assert outcome_and_reason(world.invoke(OVERRIDE)) == ("refreshed", "forced")
    assert world.token()["access_token"] == world.vendor.issued[1].token


def test_override_does_not_wait_for_a_pause(world: World) -> None:
    """The override also ignores the back-off."""
    write_ledger(world, slots={BLUE: backing_off_slot(world)})
    assert outcome_and_reason(world.invoke(OVERRIDE)) == ("refreshed", "missing")
    assert "BackingOff" not in metrics(world)


def test_override_that_is_refused_changes_nothing(world: World) -> None:
    """A refusal against a closed slot was to be expected: the slot stays as it was, except for who asked when.

    The claim counts for the pace.
    """
    acquire_token(world)
    closed = slot(now(world) + 19 * HOUR, "limit_interval", 1, failures=1)
    write_ledger(world, slots={BLUE: closed})
    with record_traffic(world) as traffic:
        assert world.invoke(OVERRIDE)["outcome"] == "waiting"
    assert len(traffic.vendor) == 1
    asked = {"asked_at": now(world), "asked_with": asked_with(world)}
    pace = {"level": 7, "at": now(world)}
    assert ledger(world) == {"lock": None, "slots": {BLUE: closed | asked}, "pace": pace}


def test_override_that_is_refused_against_an_open_slot_counts(world: World) -> None:
    """If the slot was open there was nothing to override, so the refusal counts as usual."""
    world.vendor.script(LIMITED)
    with pytest.raises(RateLimited):
        world.invoke(OVERRIDE)
    refused = {"failures": 1, "error": "RateLimited"}
    assert slot_of(world) == asked_slot(now(world) + 15 * MINUTE, "rate_limited", 1, **refused)


def test_override_that_is_refused_against_a_slot_that_opens_before_the_claim_counts(world: World) -> None:
    """The slot is judged at the time of the claim, not when the secrets were read."""
    write_ledger(world, slots={BLUE: slot(now(world) + 10, "rate_limited")})

    def reads_previous(operation: str, params: Json) -> bool:
        return operation == "GetSecretValue" and params["VersionStage"] == PREVIOUS

    do_at_calls(world, reads_previous, once(lambda: world.clock.advance(10)))
    world.vendor.script(LIMITED)
    with pytest.raises(RateLimited):
        world.invoke(OVERRIDE)
    refused = {"failures": 1, "error": "RateLimited"}
    assert slot_of(world) == asked_slot(now(world) + 15 * MINUTE, "rate_limited", 1, **refused)


def test_override_is_for_one_acquire_with_the_primary(standby_world: World) -> None:
    """The override allows neither a second request for the primary nor one against the standby's slot."""
    at = now(standby_world)
    closed = slot(at + HOUR, "rate_limited")
    write_ledger(standby_world, slots={BLUE: closed, GREEN: closed})
    standby_world.vendor.script(LIMITED, LIMITED)
    with record_traffic(standby_world) as traffic, pytest.raises(RateLimited):
        standby_world.invoke(OVERRIDE)
    assert [request.client_id for request in traffic.vendor] == [BLUE]


def test_override_waits_for_a_lock_all_the_same(world: World) -> None:
    """An override ignores the slot rules, but not another run's claim."""
    write_ledger(world, lock=another_runs_lock(world))
    with pytest.raises(Busy):
        world.invoke(OVERRIDE, timeout=100)
    assert world.vendor.requests == []


def test_override_opens_no_slot_earlier(world: World) -> None:
    """If an override's credentials are refused, a slot that is closed for longer stays closed for longer."""
    acquire_token(world)
    not_before = slot_of(world)["not_before"]
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke(OVERRIDE)
    assert slot_of(world)["not_before"] == not_before
