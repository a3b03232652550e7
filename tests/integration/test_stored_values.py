"""What is read back from the token secret is believed only if it can be true."""

from __future__ import annotations

import json

import pytest

from handler.errors import Busy, RateLimited, StoreError
from local.emulators.clock import Clock
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    FORCE,
    HOUR,
    INTERVAL,
    LEDGER,
    MINUTE,
    PREVIOUS,
    SEED,
    acquire_token,
    another_runs_lock,
    another_runs_token,
    asked_slot,
    labels,
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    world_with_vendor,
    write,
    write_ledger,
)
from tests.integration.traffic import is_claim, record_traffic


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        '"text"',
        "[]",
        json.dumps({"database": "password"}),
        json.dumps({"access_token": 5, "expires_at": 9_999_999_999}),
        json.dumps(SEED | {"expires_at": 9_999_999_999}),
    ],
)
def test_document_that_is_not_a_token_counts_as_missing_and_stays_readable(world: World, content: str) -> None:
    """What somebody else wrote into the token secret is replaced, and can still be read as AWSPREVIOUS."""
    foreign = write(world, content, CURRENT)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert labels(world)[PREVIOUS] == foreign
    assert world.consume() == 200


def test_binary_token_secret_counts_as_missing_and_stays_readable(world: World) -> None:
    """A secret that contains bytes is not a token either."""
    client = world.secrets.client()
    foreign = client.put_secret_value(SecretId=TOKEN_SECRET, SecretBinary=b"\xff\x00")["VersionId"]
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert labels(world)[PREVIOUS] == foreign


def test_token_ends_after_the_longest_lifetime_whatever_it_says(world: World) -> None:
    """An expiry that is years ahead by mistake does not keep a dead token."""
    acquired_at = now(world)
    document = another_runs_token(world, acquired_at=acquired_at, expires_at=acquired_at + 365 * DAY)
    write(world, document, CURRENT)
    world.clock.advance(DAY)
    result = world.invoke()
    assert outcome_and_reason(result) == ("refreshed", "expired")


def test_longest_lifetime_is_also_what_the_result_says(world: World) -> None:
    """The result shows the expiry that is believed, not the one that is stored."""
    write(world, another_runs_token(world, expires_at=now(world) + 365 * DAY), CURRENT)
    result = world.invoke()
    assert outcome_and_reason(result) == ("kept", "fresh")
    assert result["expires_at"] == now(world) + DAY


@pytest.mark.parametrize(("ahead", "expected"), [(300, ("kept", "fresh")), (301, ("refreshed", "missing"))])
def test_token_acquired_in_the_future_is_not_a_token(world: World, ahead: int, expected: tuple[str, str]) -> None:
    """A document that was acquired more than a margin in the future is not a token."""
    write(world, another_runs_token(world, acquired_at=now(world) + ahead), CURRENT)
    assert outcome_and_reason(world.invoke()) == expected


@pytest.mark.parametrize(
    ("key", "ahead", "believed"),
    [
        ("lock", 15 * MINUTE, True),
        ("lock", 15 * MINUTE + 1, False),
        ("slots", DAY, True),
        ("slots", DAY + 1, False),
    ],
)
def test_ledger_is_believed_only_as_far_as_it_can_be_true(world: World, key: str, ahead: int, believed: bool) -> None:
    """Neither a jump of a clock nor a mistake by hand can lock the function out."""
    until = now(world) + ahead
    values = {
        "lock": another_runs_lock(world, remaining=ahead),
        "slots": {BLUE: slot(until, "rate_limited")},
    }
    write_ledger(world, **{key: values[key]})
    if believed:
        with pytest.raises((Busy, RateLimited)):
            world.invoke()
        assert world.vendor.requests == []
    else:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
        assert len(world.vendor.requests) == 1


@pytest.mark.parametrize(("ahead", "outcome"), [(DAY, "waiting"), (DAY + 1, "due")])
def test_slot_of_a_short_interval_is_believed_for_a_day(clock: Clock, ahead: int, outcome: str) -> None:
    """With a short interval a slot may be closed for a day, but not for longer."""
    with world_with_vendor(clock, interval=60) as world:
        write_ledger(world, slots={BLUE: slot(now(world) + ahead, "rate_limited")})
        result = world.invoke(DRY_RUN, world.process(LIMIT_INTERVAL_SECONDS="60"))
        assert result["outcome"] == outcome


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        '{"ledger": 5}',
        '{"ledger": {"lock": [], "slots": -1, "pace": "soon"}}',
    ],
)
def test_ledger_that_makes_no_sense_counts_as_empty(world: World, content: str) -> None:
    """A corrupt ledger stops no run; the claim takes over its label."""
    write(world, SEED, CURRENT)
    corrupt = write(world, content, LEDGER)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    claim = next(call for call in traffic.aws if is_claim(call.op, call.params))
    assert claim.params["RemoveFromVersionId"] == corrupt
    assert ledger(world)["slots"] == {BLUE: asked_slot(now(world) + INTERVAL, "limit_interval")}


def test_slot_of_the_current_token_is_known_without_a_ledger(world: World) -> None:
    """A lost ledger does not open a slot: the current token itself says when its client may be asked again."""
    acquire_token(world)
    write(world, "lost", LEDGER)
    result = world.invoke(FORCE)
    assert outcome_and_reason(result) == ("waiting", "limit_interval")
    assert result["not_before"] == now(world) - HOUR + INTERVAL


def test_ledger_that_can_not_be_read_is_a_store_error(world: World) -> None:
    """Without the ledger nothing is claimed, and nobody is asked."""
    acquire_token(world, 21 * HOUR)
    write_ledger(world)
    world.secrets.fail("GetSecretValue", AwsFault("DecryptionFailure"))
    with record_traffic(world) as traffic, pytest.raises(StoreError) as caught:
        world.invoke()
    assert caught.value.retryable
    assert traffic.writes == []
    assert traffic.vendor == []


def test_slots_of_former_clients_go_when_they_are_past(world: World) -> None:
    """The ledger drops a client that is no longer configured, but only after its slot has opened."""
    past = slot(now(world) - 1, "limit_interval")
    ahead = slot(now(world) + HOUR, "limit_interval")
    write_ledger(world, slots={"client-past": past, "client-ahead": ahead})
    world.invoke()
    assert set(ledger(world)["slots"]) == {BLUE, "client-ahead"}
    assert slot_of(world, "client-ahead") == ahead
