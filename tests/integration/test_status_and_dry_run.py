"""The two questions, `status` and `dry_run`: they tell what a refresh would do, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from handler import __version__
from handler.errors import CredentialsRefused, RateLimited, RefreshError, VendorError
from handler.model import utc
from local.emulators.faults import Fault
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
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
    GREEN,
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
    labels,
    ledger,
    now,
    outcome_and_reason,
    run,
    slot,
    write,
    write_ledger,
)
from tests.integration.traffic import leave_token_unsaved, metrics, record_traffic


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
    """The answer has more keys than a result, one of them the whole ledger."""
    token = acquire_token(world)
    result = world.invoke(STATUS)
    assert set(result) == set(RESULT_TYPES) | {
        "next_due_at",
        "next_due_at_utc",
        "standby",
        "ledger",
        "safe_to_deactivate",
        "problems",
        "version",
    }
    assert result["ledger"] == token["ledger"] == ledger(world)
    assert result["next_due_at"] == token["acquired_at"] + INTERVAL
    assert result["next_due_at_utc"] == utc(result["next_due_at"])
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


# What can't be read


def delete_credentials(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=CREDENTIALS_SECRET)


def put_binary_credentials(world: World) -> None:
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretBinary=b"{}")


def put_bad_credentials(world: World) -> None:
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString="no JSON")


def deny_credentials(world: World) -> None:
    world.secrets.access.denied.add(CREDENTIALS_SECRET)


def deny_key_of_credentials(world: World) -> None:
    world.secrets.access.denied_keys.add(CREDENTIALS_SECRET)


UNREADABLE_CREDENTIALS = [
    (delete_credentials, "CredentialsError"),
    (put_binary_credentials, "CredentialsError"),
    (put_bad_credentials, "CredentialsError"),
    (deny_credentials, "StoreError"),
    (deny_key_of_credentials, "StoreError"),
]


@QUESTIONS
@pytest.mark.parametrize(("arrange", "error"), UNREADABLE_CREDENTIALS)
def test_credentials_that_can_not_be_read_hide_nothing_of_the_token(
    world: World, arrange: Callable[[World], None], error: str, event: Json
) -> None:
    """The answer says what consumers hold and what is wrong; the metric has the life of the token."""
    token = acquire_token(world)
    arrange(world)
    result = world.invoke(event)
    assert outcome_and_reason(result) == ("waiting", "unreadable")
    assert [problem["error"] for problem in result["problems"]] == [error]
    assert result["expires_at"] == token["expires_at"]
    assert result["client_id"] == BLUE
    assert result["version_id"] == labels(world)[CURRENT]
    assert result["connection"] is None
    assert result["seconds_remaining"] == DAY - HOUR
    assert result["summary"].startswith(f"The token of {BLUE} ends at ")
    assert result["summary"].endswith(f"IT CAN'T BE RENEWED: {result['problems'][0]['text']}.")
    assert metrics(world) == {"TokenSecondsRemaining": DAY - HOUR}


@pytest.mark.parametrize(("arrange", "error"), UNREADABLE_CREDENTIALS)
def test_run_without_readable_credentials_tells_the_life_of_the_token(
    world: World, arrange: Callable[[World], None], error: str
) -> None:
    """The run fails, and nobody is told that consumers will be refused soon: their token is good."""
    acquire_token(world)
    arrange(world)
    assert run(world) == error
    assert metrics(world)["TokenSecondsRemaining"] == DAY - HOUR


def test_status_still_shows_the_ledger_if_the_credentials_are_gone(world: World) -> None:
    """What needs the credentials is null, and the rest is there."""
    acquire_token(world)
    delete_credentials(world)
    result = world.invoke(STATUS)
    assert list(result["ledger"]["slots"]) == [BLUE]
    for key in ("next_due_at", "next_due_at_utc", "standby", "safe_to_deactivate", "not_before"):
        assert result[key] is None
    assert result["version"] == __version__


@QUESTIONS
def test_token_that_can_not_be_read_is_told(world: World, event: Json) -> None:
    """Nobody knows then what consumers have, and the answer says so."""
    acquire_token(world)
    world.secrets.access.denied.add(TOKEN_SECRET)
    result = world.invoke(event)
    assert outcome_and_reason(result) == ("waiting", "unreadable")
    assert {problem["error"] for problem in result["problems"]} == {"StoreError"}
    assert result["summary"].startswith("It is not known what token consumers have.")
    assert result["expires_at"] is None
    assert result["seconds_remaining"] == 0
    assert result["version_id"] is None


@QUESTIONS
@pytest.mark.parametrize(
    ("at_once", "expected"),
    [
        (False, "CONSUMERS CAN'T READ THE TOKEN: its secret is marked for deletion. IT CAN'T BE RENEWED: "),
        (True, "CONSUMERS HAVE NO TOKEN: the token secret does not exist. IT CAN'T BE RENEWED: "),
    ],
)
def test_token_secret_that_is_gone_is_told(world: World, event: Json, expected: str, *, at_once: bool) -> None:
    """No run can ask the vendor then, since it could not save the token."""
    acquire_token(world)
    how = {"ForceDeleteWithoutRecovery": True} if at_once else {}
    world.secrets.client().delete_secret(SecretId=TOKEN_SECRET, **how)
    result = world.invoke(event)
    assert outcome_and_reason(result) == ("waiting", "unreadable")
    assert result["summary"].startswith(expected)
    assert {problem["error"] for problem in result["problems"]} == {"StoreError"}
    assert run(world) == "StoreError"
    assert len(world.vendor.requests) == 1


@QUESTIONS
def test_secrets_manager_that_is_down_is_told(world: World, event: Json) -> None:
    """A status never fails for the state of the secrets, not even then."""
    acquire_token(world)
    world.secrets.outage = AwsFault("InternalServiceError", 500)
    result = world.invoke(event)
    assert outcome_and_reason(result) == ("waiting", "unreadable")
    assert result["problems"]


def test_run_that_could_read_nothing_tells_of_no_life(world: World) -> None:
    """If that lasts, somebody must look."""
    acquire_token(world)
    world.secrets.outage = AwsFault("InternalServiceError", 500)
    assert run(world) == "StoreError"
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_fresh_token_is_kept_though_the_ledger_can_not_be_read(world: World) -> None:
    """The ledger is not needed to say so; it is null, and among the problems."""
    acquire_token(world)
    world.secrets.fail("GetSecretValue", AwsFault("AccessDeniedException"))
    result = world.invoke(STATUS)
    assert outcome_and_reason(result) == ("kept", "fresh")
    assert result["ledger"] is None
    assert [problem["error"] for problem in result["problems"]] == ["StoreError"]


def test_due_token_needs_the_ledger(world: World) -> None:
    """Without it nobody knows who may ask."""
    acquire_token(world, 21 * HOUR)
    world.secrets.fail("GetSecretValue", AwsFault("AccessDeniedException"))
    assert outcome_and_reason(world.invoke(DRY_RUN)) == ("waiting", "unreadable")


@pytest.mark.parametrize("operation", ["DescribeSecret", "GetSecretValue"])
def test_problem_with_a_detail_of_status_costs_that_detail(world: World, operation: str) -> None:
    """Without the token before, or without the description, only `safe_to_deactivate` is not known."""
    acquire_token(world)
    calls_before = {"DescribeSecret": 0, "GetSecretValue": 1}[operation]  # the first reads the ledger
    world.secrets.fail(operation, *[None] * calls_before, AwsFault("AccessDeniedException"))
    result = world.invoke(STATUS)
    assert outcome_and_reason(result) == ("kept", "fresh")
    assert result["safe_to_deactivate"] is None
    assert len(result["problems"]) == 1


def test_status_names_the_standby_and_when_it_may_ask(standby_world: World) -> None:
    """It is null without a standby."""
    acquire_token(standby_world)
    assert standby_world.invoke(STATUS)["standby"] == {
        "client_id": GREEN,
        "username": None,
        "not_before": None,
        "not_before_utc": None,
    }
    standby_world.put_credentials(BLUE)
    assert standby_world.invoke(STATUS)["standby"] is None


def test_status_says_that_the_standby_s_slot_is_spent(standby_world: World) -> None:
    """Its token says so, also if the ledger was lost."""
    token = another_runs_token(standby_world, GREEN)
    write(standby_world, token, CURRENT)
    write_ledger(standby_world)
    standby = standby_world.invoke(STATUS)["standby"]
    assert standby["not_before"] == token["acquired_at"] + INTERVAL
    assert standby["not_before_utc"] == utc(standby["not_before"])
