"""The two questions, `status` and `dry_run`: they tell what a refresh would do, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from handler.errors import CredentialsRefused, RateLimited, RefreshError, VendorError
from local.emulators.faults import Fault
from local.emulators.world import TOKEN_SECRET, World
from tests.integration.arrangements import (
    backing_off,
    client_changed,
    config_changed,
    corrupt,
    displaced,
    expired,
    expiring,
    lapsed,
    limited,
    limited_with_a_token,
    locked,
    paced,
    previous,
    refused,
    spent,
)
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DOWN,
    DRY_RUN,
    EMPTY_LEDGER,
    FORCE,
    HOUR,
    INTERVAL,
    LIMITED,
    QUESTIONS,
    REFUSED,
    RESULT_TYPES,
    STATUS,
    Json,
    acquire_token,
    another_runs_lock,
    another_runs_token,
    ledger,
    now,
    outcome_and_reason,
    slot,
    write,
    write_ledger,
)
from tests.integration.traffic import leave_token_unsaved, record_traffic


@QUESTIONS
@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        (acquire_token, ("kept", "fresh")),
        (expired, ("due", "expired")),
        (expiring, ("due", "expiring")),
        (client_changed, ("due", "client_changed")),
        (config_changed, ("due", "config_changed")),
        (previous, ("due", "previous")),
        (displaced, ("due", "displaced")),
        (paced, ("waiting", "too_many_claims")),
        (corrupt, ("due", "missing")),
        (locked, ("waiting", "locked")),
        (lapsed, ("due", "missing")),
        (limited, ("waiting", "rate_limited")),
        (limited_with_a_token, ("waiting", "rate_limited")),
        (refused, ("waiting", "credentials_refused")),
        (backing_off, ("waiting", "backing_off")),
        (spent, ("waiting", "limit_interval")),
    ],
)
def test_questions_say_what_a_refresh_would_do_and_do_nothing(
    world: World, arrange: Callable[[World], object], expected: tuple[str, str], event: Json
) -> None:
    """`status` and `dry_run` answer in any state of the token; they write nothing and ask nobody."""
    arrange(world)
    before = world.secrets.versions(TOKEN_SECRET)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(event)) == expected
    assert traffic.writes == []
    assert traffic.vendor == []
    assert world.vendor.api_calls == []
    assert world.secrets.versions(TOKEN_SECRET) == before


@QUESTIONS
def test_questions_know_of_an_unsaved_token(world: World, event: Json) -> None:
    """The answer of a warm process that holds an unsaved token is that it would publish it."""
    process = world.process()
    leave_token_unsaved(world, process)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(event, process)) == ("due", "unsaved")
    assert traffic.writes == []
    assert traffic.vendor == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"force": True}, ("due", "forced")),
        ({"force": True, "override_limit": True}, ("due", "forced")),
        ({}, ("kept", "fresh")),
    ],
)
def test_dry_run_of_a_forced_refresh(world: World, options: Json, expected: tuple[str, str]) -> None:
    """A dry run of an event answers what that same event would do."""
    token = another_runs_token(world, acquired_at=now(world) - INTERVAL, expires_at=now(world) + 5 * HOUR)
    write(world, token, CURRENT)
    process = world.process(MAX_LIFETIME_SECONDS=str(2 * DAY))
    with record_traffic(world) as traffic:
        result = world.invoke(DRY_RUN | options, process)
    assert outcome_and_reason(result) == expected
    assert result["dry_run"] is True
    assert traffic.writes == []
    assert traffic.vendor == []


def test_dry_run_of_an_override_ignores_the_slot(world: World) -> None:
    """Without the override the dry run says what the refresh would wait for; with it the refresh is due."""
    acquire_token(world)
    assert outcome_and_reason(world.invoke(DRY_RUN | FORCE)) == ("waiting", "limit_interval")
    assert outcome_and_reason(world.invoke(DRY_RUN | FORCE | {"override_limit": True})) == ("due", "forced")


def test_status_adds_what_happens_next_and_the_ledger(world: World) -> None:
    """The answer has three more keys than a result, one of them the whole ledger."""
    token = acquire_token(world)
    result = world.invoke(STATUS)
    assert set(result) == set(RESULT_TYPES) | {"next_due_at", "ledger", "safe_to_deactivate"}
    assert result["ledger"] == token["ledger"] == ledger(world)
    assert result["next_due_at"] == token["acquired_at"] + INTERVAL
    assert result["safe_to_deactivate"] is None
    assert type(result["next_due_at"]) is int


def test_status_of_an_empty_secret_has_an_empty_ledger(world: World) -> None:
    """On an empty secret the first refresh is due now."""
    result = world.invoke(STATUS)
    assert result["ledger"] == EMPTY_LEDGER
    assert result["next_due_at"] == now(world)


def test_status_shows_another_runs_lock(world: World) -> None:
    """Under another run's lock the next acquire comes when the lock lapses, not earlier."""
    lock = another_runs_lock(world, remaining=100)
    write_ledger(world, lock=lock)
    result = world.invoke(STATUS)
    assert result["ledger"]["lock"] == lock
    assert result["next_due_at"] == now(world) + 100


def fail_with(*faults: Fault) -> Callable[[World], None]:
    """Return a function that runs once for each fault; each run meets its fault and fails."""

    def arrange(world: World) -> None:
        world.vendor.script(*faults)
        for _ in faults:
            with pytest.raises(RefreshError):
                world.invoke()

    return arrange


@pytest.mark.parametrize(
    "arrange",
    [
        lambda _: None,
        acquire_token,
        previous,
        fail_with(LIMITED),
        fail_with(REFUSED),
        fail_with(DOWN),
        fail_with(DOWN, DOWN, DOWN),
        fail_with(Fault.answer(429, headers={"Retry-After": "70"})),
        lambda world: world.invoke(process=world.process(MAX_LIFETIME_SECONDS="300")),
    ],
    ids=["empty", "fresh", "previous", "limited", "refused", "down", "down thrice", "429", "short life"],
)
def test_status_says_when_the_primary_is_asked_next(world: World, arrange: Callable[[World], object]) -> None:
    """The vendor's next request comes at `next_due_at`, to the second."""
    arrange(world)
    next_due_at = world.invoke(STATUS)["next_due_at"]
    requests_before = len(world.vendor.requests)
    if next_due_at > now(world):
        world.clock.advance(next_due_at - 1 - now(world))
        with suppress(RateLimited, CredentialsRefused, VendorError):
            world.invoke()
        assert len(world.vendor.requests) == requests_before
        world.clock.advance(1)
    assert world.invoke()["outcome"] == "refreshed"
    assert len(world.vendor.requests) == requests_before + 1


def test_status_says_when_the_primary_follows_the_standby(standby_world: World) -> None:
    """While the standby's token is current, the next acquire comes when the primary's slot opens."""
    opens_at = now(standby_world) + 2 * HOUR
    write_ledger(standby_world, slots={BLUE: slot(opens_at, "rate_limited")})
    standby_world.invoke()
    assert standby_world.invoke(STATUS)["next_due_at"] == opens_at
