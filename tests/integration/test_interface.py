"""The Lambda's interface: events, results, errors, the environment, telemetry, and the same function from a shell."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from handler.errors import (
    Busy,
    ConfigurationError,
    CredentialsError,
    CredentialsRefused,
    EventError,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    StoreError,
    VendorError,
    VendorUnreachable,
)
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import CUT, AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World, environment
from tests.conftest import secrets_in
from tests.integration.helpers import (
    CURRENT,
    DAY,
    DOWN,
    HOUR,
    INTERVAL,
    LEDGER,
    LIMITED,
    MINUTE,
    REFUSED,
    SEED,
    Json,
    Recorder,
    credentials_version,
    fail_publishes,
    fresh,
    labels,
    ledger,
    lock,
    logged,
    metrics,
    now,
    slot,
    token_of,
    traffic,
    unsaved,
    write,
    write_ledger,
)

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "events"
BLUE, GREEN = "client-blue", "client-green"
STATUS = {"action": "status"}
DRY_RUN = {"action": "refresh", "dry_run": True}
FORCE = {"action": "refresh", "force": True}
QUESTIONS = pytest.mark.parametrize("event", [DRY_RUN, STATUS], ids=["dry_run", "status"])
RESULT = {
    "outcome": str,
    "reason": str,
    "expires_at": int,
    "expires_at_utc": str,
    "seconds_remaining": int,
    "client_id": str,
    "not_before": int,
    "version_id": str,
    "dry_run": bool,
}
EMPTY_LEDGER: Json = {"lock": None, "failures": 0, "retry_at": 0, "slots": {}}


def saw(result: Json) -> tuple[str, str]:
    return result["outcome"], result["reason"]


# Events


@pytest.mark.parametrize(
    ("name", "saying"),
    [
        ("refresh.json", ("kept", "fresh")),
        ("scheduled.json", ("kept", "fresh")),
        ("scheduled-rule.json", ("kept", "fresh")),
        ("status.json", ("kept", "fresh")),
        ("dry-run.json", ("kept", "fresh")),
        ("force.json", ("waiting", "limit_interval")),
        ("override-limit.json", ("refreshed", "forced")),
    ],
)
def test_sample_event_does_what_it_says(world: World, name: str, saying: tuple[str, str]) -> None:
    """Each file in events/ is an event that is known; an hour after a token only two of them want another."""
    fresh(world)
    world.vendor.reset_limit(BLUE)
    result = world.invoke(json.loads((EVENTS / name).read_text()))
    assert (saw(result), result["dry_run"]) == (saying, name == "dry-run.json")
    assert ("next_due_at" in result) == (name == "status.json")


def test_sample_events_are_all_tested() -> None:
    """A file in events/ that no test sends would be an untested promise."""
    names = {path.name for path in EVENTS.iterdir()}
    assert names == {
        "refresh.json",
        "scheduled.json",
        "scheduled-rule.json",
        "status.json",
        "dry-run.json",
        "force.json",
        "override-limit.json",
    }


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"action": "refresh"},
        {"force": False, "override_limit": False, "dry_run": False, "reason": ""},
        {"reason": "somebody asked"},
        {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"action": "status", "force": True}},
        {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{no JSON"},
        {"source": "ours", "detail-type": "Credentials Changed", "detail": None, "action": "nonsense"},
    ],
)
def test_refresh_if_due_is_what_most_events_mean(world: World, event: Json) -> None:
    """The empty event, a schedule's and a plain refresh keep a fresh token and replace an old one."""
    fresh(world)
    assert saw(world.invoke(event)) == ("kept", "fresh")
    world.clock.advance(INTERVAL - HOUR)
    assert saw(world.invoke(event)) == ("refreshed", "expiring")


@pytest.mark.parametrize(
    ("event", "word"),
    [
        ([], "object"),
        ("refresh", "object"),
        (5, "object"),
        (True, "object"),
        ({"action": "stop"}, "action"),
        ({"action": "Refresh"}, "action"),
        ({"action": None}, "action"),
        ({"action": ["refresh"]}, "action"),
        ({"actoin": "status"}, "actoin"),
        ({"action": "refresh", "Force": True}, "Force"),
        ({"force": "true"}, "force"),
        ({"force": 1}, "force"),
        ({"force": None}, "force"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 0}, "dry_run"),
        ({"reason": 5}, "reason"),
        ({"reason": None}, "reason"),
        ({"force": True, "override_limit": "no"}, "override_limit"),
        ({"override_limit": True}, "force"),
        ({"force": False, "override_limit": True}, "force"),
        ({"action": "status", "force": True}, "status"),
        ({"action": "status", "dry_run": True}, "status"),
        ({"source": "aws.events"}, "source"),
        ({"detail-type": "Scheduled Event"}, "detail-type"),
    ],
)
def test_anything_else_is_refused_before_anything_is_read(world: World, event: object, word: str) -> None:
    """A mistyped event is an EventError that names what is wrong; neither AWS nor the vendor hears of it."""
    with traffic(world) as seen, pytest.raises(EventError, match=word) as caught:
        world.invoke(event)
    assert not caught.value.retryable
    assert (seen.operations, seen.vendor) == ([], [])
    assert set(metrics(world)) == {"TokenSecondsRemaining", "Failed"}


def test_reason_of_an_event_goes_to_the_log(world: World) -> None:
    """Who forces a refresh can leave a word why, where people look for it."""
    fresh(world)
    world.invoke(FORCE | {"reason": "the vendor asked for it"})
    assert "the vendor asked for it" in world.output


# Results


def kept(world: World) -> Json:
    fresh(world)
    return world.invoke()


def recovered(world: World) -> Json:
    fresh(world)
    write(world, "oops", CURRENT)
    return world.invoke()


def waiting(world: World) -> Json:
    fresh(world)
    return world.invoke(FORCE)


def due(world: World) -> Json:
    fresh(world, INTERVAL)
    return world.invoke(DRY_RUN)


def status(world: World) -> Json:
    fresh(world)
    return {key: value for key, value in world.invoke(STATUS).items() if key in RESULT}


@pytest.mark.parametrize(
    ("outcome", "run"),
    [
        ("kept", kept),
        ("refreshed", World.invoke),
        ("recovered", recovered),
        ("waiting", waiting),
        ("due", due),
        ("kept", status),
    ],
)
def test_result_has_its_keys_and_their_types(world: World, outcome: str, run: Callable[[World], Json]) -> None:
    """Every outcome answers with the same keys, and every value that there is has its type."""
    result = run(world)
    assert {key: type(value) for key, value in result.items()} == RESULT
    assert result["outcome"] == outcome
    assert (result["expires_at"], result["client_id"]) == (world.token()["expires_at"], BLUE)
    assert result["expires_at_utc"] == world.token()["expires_at_utc"]
    assert result["seconds_remaining"] == result["expires_at"] - now(world)
    assert result["version_id"] == labels(world)[CURRENT]
    assert result["not_before"] == world.token()["acquired_at"] + INTERVAL
    assert result["dry_run"] == (run is due)


@QUESTIONS
def test_result_is_null_where_there_is_nothing(world: World, event: Json) -> None:
    """Before the first run there is no token, no version and no moment to wait for."""
    result = world.invoke(event)
    assert {key: result[key] for key in RESULT} == {
        "outcome": "due",
        "reason": "missing",
        "expires_at": None,
        "expires_at_utc": None,
        "seconds_remaining": 0,
        "client_id": None,
        "not_before": None,
        "version_id": None,
        "dry_run": event is DRY_RUN,
    }
    assert world.secrets.versions(TOKEN_SECRET) == {}


@QUESTIONS
def test_seed_has_a_version_and_nothing_else(world: World, event: Json) -> None:
    """The seed is a version, and no token."""
    seed = write(world, SEED, CURRENT)
    result = world.invoke(event)
    assert (saw(result), result["version_id"]) == (("due", "missing"), seed)
    assert [result[key] for key in ("expires_at", "expires_at_utc", "client_id", "not_before")] == [None] * 4


def test_token_that_is_not_good_has_no_seconds_remaining(world: World) -> None:
    """Another client's token is named with its expiry, and counts for nothing."""
    token = fresh(world)
    world.put_credentials(GREEN)
    result = world.invoke(DRY_RUN)
    assert saw(result) == ("due", "client_changed")
    assert (result["client_id"], result["expires_at"]) == (BLUE, token["expires_at"])
    assert result["seconds_remaining"] == 0
    assert metrics(world)["TokenSecondsRemaining"] == 0


# The two questions, `status` and `dry_run`


def expired(world: World) -> None:
    fresh(world, DAY)


def expiring(world: World) -> None:
    fresh(world, INTERVAL)


def client_changed(world: World) -> None:
    fresh(world)
    world.put_credentials(GREEN)


def config_changed(world: World) -> None:
    write(world, token_of(world, audience="https://other.example/", acquired_at=now(world) - INTERVAL), CURRENT)


def previous(world: World) -> None:
    fresh(world)
    write(world, "oops", CURRENT)


def corrupt(world: World) -> None:
    write(world, "{", CURRENT)
    write(world, "}", LEDGER)


def locked(world: World) -> None:
    write_ledger(world, lock=lock(world))


def lapsed(world: World) -> None:
    write_ledger(world, lock=lock(world, left=0))


def limited(world: World) -> None:
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "rate_limited")})


def limited_with_a_token(world: World) -> None:
    fresh(world, INTERVAL)
    limited(world)


def refused(world: World) -> None:
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "credentials_refused", 0, credentials_version(world))})


def backing_off(world: World) -> None:
    write_ledger(world, failures=3, retry_at=now(world) + MINUTE)


def spent(world: World) -> None:
    write(world, token_of(world, expires_at=now(world) - 1), CURRENT)


@QUESTIONS
@pytest.mark.parametrize(
    ("arrange", "saying"),
    [
        (fresh, ("kept", "fresh")),
        (expired, ("due", "expired")),
        (expiring, ("due", "expiring")),
        (client_changed, ("due", "client_changed")),
        (config_changed, ("due", "config_changed")),
        (previous, ("due", "previous")),
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
    world: World, arrange: Callable[[World], object], saying: tuple[str, str], event: Json
) -> None:
    """`status` and `dry_run` never raise for the state of the token, write nothing and ask nobody."""
    arrange(world)
    before = world.secrets.versions(TOKEN_SECRET)
    with traffic(world) as seen:
        assert saw(world.invoke(event)) == saying
    assert (seen.writes, seen.vendor, world.vendor.api_calls) == ([], [], [])
    assert world.secrets.versions(TOKEN_SECRET) == before


@QUESTIONS
def test_questions_know_of_an_unsaved_token(world: World, event: Json) -> None:
    """A warm process that holds a token would publish it."""
    keeper = world.keeper()
    fail_publishes(world)
    with pytest.raises(StoreError):
        world.invoke(keeper=keeper)
    world.secrets.on_call = None
    with traffic(world) as seen:
        assert saw(world.invoke(event, keeper)) == ("due", "unsaved")
    assert (seen.writes, seen.vendor) == ([], [])


@pytest.mark.parametrize(
    ("asked", "saying"),
    [
        ({"force": True}, ("due", "forced")),
        ({"force": True, "override_limit": True}, ("due", "forced")),
        ({}, ("kept", "fresh")),
    ],
)
def test_dry_run_of_a_forced_refresh(world: World, asked: Json, saying: tuple[str, str]) -> None:
    """A dry run answers for the very event that it stands for."""
    write(world, token_of(world, acquired_at=now(world) - INTERVAL, expires_at=now(world) + 5 * HOUR), CURRENT)
    keeper = world.keeper(MAX_LIFETIME_SECONDS=str(2 * DAY))
    with traffic(world) as seen:
        result = world.invoke(DRY_RUN | asked, keeper)
    assert (saw(result), result["dry_run"], seen.writes, seen.vendor) == (saying, True, [], [])


def test_dry_run_of_an_override_ignores_the_slot(world: World) -> None:
    """Without the override the same dry run says what the refresh would wait for."""
    fresh(world)
    assert saw(world.invoke(DRY_RUN | FORCE)) == ("waiting", "limit_interval")
    assert saw(world.invoke(DRY_RUN | FORCE | {"override_limit": True})) == ("due", "forced")


def test_status_adds_what_happens_next_and_the_ledger(world: World) -> None:
    """The answer has three keys more, and the ledger is all of it."""
    token = fresh(world)
    result = world.invoke(STATUS)
    assert set(result) == set(RESULT) | {"next_due_at", "ledger", "safe_to_deactivate"}
    assert result["ledger"] == token["ledger"] == ledger(world)
    assert (result["next_due_at"], result["safe_to_deactivate"]) == (token["acquired_at"] + INTERVAL, None)
    assert type(result["next_due_at"]) is int


def test_status_of_an_empty_secret_has_an_empty_ledger(world: World) -> None:
    """A first refresh is due now."""
    result = world.invoke(STATUS)
    assert (result["ledger"], result["next_due_at"]) == (EMPTY_LEDGER, now(world))


def test_status_shows_another_runs_lock(world: World) -> None:
    """Under a lock the next acquire is not before the lock lapses."""
    held = lock(world, left=100)
    write_ledger(world, lock=held)
    result = world.invoke(STATUS)
    assert (result["ledger"]["lock"], result["next_due_at"]) == (held, now(world) + 100)


def fails_with(world: World, *faults: Fault) -> None:
    world.vendor.script(*faults)
    for _ in faults:
        with pytest.raises(RefreshError):
            world.invoke()


@pytest.mark.parametrize(
    "arrange",
    [
        lambda _: None,
        fresh,
        previous,
        lambda world: fails_with(world, LIMITED),
        lambda world: fails_with(world, REFUSED),
        lambda world: fails_with(world, DOWN),
        lambda world: fails_with(world, DOWN, DOWN, DOWN),
        lambda world: fails_with(world, Fault.answer(429, headers={"Retry-After": "70"})),
        lambda world: world.invoke(keeper=world.keeper(MAX_LIFETIME_SECONDS="300")),
    ],
    ids=["empty", "fresh", "previous", "limited", "refused", "down", "down thrice", "429", "short life"],
)
def test_status_says_when_the_primary_is_asked_next(world: World, arrange: Callable[[World], object]) -> None:
    """The vendor's next request comes at `next_due_at`, to the second."""
    arrange(world)
    next_due_at = world.invoke(STATUS)["next_due_at"]
    before = len(world.vendor.requests)
    if next_due_at > now(world):
        world.clock.advance(next_due_at - 1 - now(world))
        with suppress(RateLimited, CredentialsRefused, VendorError):
            world.invoke()
        assert len(world.vendor.requests) == before
        world.clock.advance(1)
    assert world.invoke()["outcome"] == "refreshed"
    assert len(world.vendor.requests) == before + 1


def test_status_says_when_the_primary_follows_the_standby(pair: World) -> None:
    """While the standby's token stands in, the next acquire is the primary's when its slot opens."""
    opens_at = now(pair) + 2 * HOUR
    write_ledger(pair, slots={BLUE: slot(opens_at, "rate_limited")})
    pair.invoke()
    assert pair.invoke(STATUS)["next_due_at"] == opens_at


# Errors


def denied(operation: str) -> Callable[[World], None]:
    return lambda world: world.secrets.fail(operation, AwsFault("AccessDeniedException"))


def vendor_meets(fault: Fault) -> Callable[[World], None]:
    return lambda world: world.vendor.script(fault)


def without_credentials(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=CREDENTIALS_SECRET, ForceDeleteWithoutRecovery=True)


def without_token_secret(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=TOKEN_SECRET, ForceDeleteWithoutRecovery=True)


def failing(operation: str, *faults: AwsFault) -> Callable[[World], None]:
    return lambda world: world.secrets.fail(operation, *faults)


def other_race(world: World) -> None:
    write_ledger(world, lock=lock(world, left=900))


@pytest.mark.parametrize(
    ("arrange", "error", "retryable"),
    [
        (without_credentials, CredentialsError, False),
        (vendor_meets(REFUSED), CredentialsRefused, False),
        (vendor_meets(LIMITED), RateLimited, False),
        (limited, RateLimited, False),
        (refused, CredentialsRefused, False),
        (vendor_meets(DOWN), VendorError, True),
        (vendor_meets(Fault.answer(429)), VendorError, True),
        (vendor_meets(Fault.answer(404)), VendorError, False),
        (vendor_meets(Fault.answer(200)), VendorError, False),
        (lambda world: world.vendor.stop(), VendorUnreachable, True),
        (vendor_meets(Fault.cut(issues=True)), OutcomeUnknown, True),
        (denied("BatchGetSecretValue"), StoreError, False),
        (denied("PutSecretValue"), StoreError, False),
        (denied("UpdateSecretVersionStage"), StoreError, False),
        (without_token_secret, StoreError, False),
        (failing("BatchGetSecretValue", AwsFault("InternalServiceError", status=500)), None, None),
        (failing("BatchGetSecretValue", *[AwsFault("InternalServiceError", status=500)] * 3), StoreError, True),
        (failing("PutSecretValue", AwsFault("EncryptionFailure")), StoreError, True),
        (failing("BatchGetSecretValue", *[CUT] * 3), StoreError, True),
        (other_race, Busy, True),
    ],
)
def test_errors_say_whether_a_retry_can_help(
    world: World, arrange: Callable[[World], None], error: type[RefreshError] | None, retryable: bool | None
) -> None:
    """Every failure is one of the README's errors, under one root, and says whether it is `retryable`."""
    arrange(world)
    if error is None:
        assert world.invoke()["outcome"] == "refreshed"
        return
    with pytest.raises(RefreshError) as caught:
        world.invoke()
    assert (caught.type, caught.value.retryable) == (error, retryable)
    assert metrics(world)["Failed"] == 1
    [line] = [line for line in world.lines if line.get("level") == "ERROR"]
    assert (line["error"], line["retryable"]) == (error.__name__, retryable)


def test_result_is_in_the_log_with_what_was_asked(world: World) -> None:
    """One line of a run says what it was asked for, and what came of it."""
    result = world.invoke({"force": True, "reason": "to be sure"})
    [line] = logged(world, "refreshed")
    asked = {"action": "refresh", "force": True, "override_limit": False, "dry_run": False, "reason": "to be sure"}
    assert (line["level"], line["result"], line["asked"]) == ("INFO", result, asked)


def test_error_that_nobody_foresaw_is_in_the_log_by_its_name(world: World) -> None:
    """A defect of ours fails the run as what it is, is counted, and promises nothing of a retry."""
    keeper = world.keeper()
    keeper.now = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        world.invoke(keeper=keeper)
    [line] = logged(world, "unexpected error")
    assert (line["level"], line["error"], line["retryable"]) == ("ERROR", "ZeroDivisionError", False)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


@pytest.mark.parametrize("name", ["CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID"])
def test_secret_that_is_scheduled_for_deletion_is_as_good_as_missing(world: World, name: str) -> None:
    """Neither is written to, and the error is the one of a missing secret."""
    fresh(world)
    secret_id = {"CREDENTIALS_SECRET_ID": CREDENTIALS_SECRET, "TOKEN_SECRET_ID": TOKEN_SECRET}[name]
    world.secrets.client().delete_secret(SecretId=secret_id)
    with traffic(world) as seen, pytest.raises((CredentialsError, StoreError)) as caught:
        world.invoke()
    assert caught.type is (CredentialsError if name == "CREDENTIALS_SECRET_ID" else StoreError)
    assert (seen.writes, seen.vendor) == ([], [])


PAIR: Json = {"client_id": BLUE, "client_secret": "canary-of-the-test"}
NO_IDS: list[object] = ["", " ", None, 5, ["x"], "client\n"]
NO_SECRETS: list[object] = ["", "\t", None, True, {}, "canary\n"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("no JSON", "JSON"),
        ('{"client_id": "client-blue", "client_secret": "canary-of-the-test"', "JSON"),
        ("[" * 60_000, "JSON"),
        ('"text"', "JSON"),
        ([PAIR], "JSON"),
        ({}, "client_id"),
        ({"client_id": BLUE}, "client_secret"),
        ({"client_secret": "canary-of-the-test"}, "client_id"),
        *((PAIR | {"client_id": value}, "client_id") for value in NO_IDS),
        *((PAIR | {"client_secret": value}, "client_secret") for value in NO_SECRETS),
        (PAIR | {"standby": {"client_id": BLUE, "client_secret": "other-canary-of-the-test"}}, "standby"),
        (PAIR | {"standby": {"client_id": GREEN}}, "standby"),
        (PAIR | {"standby": {"client_id": "", "client_secret": "other-canary-of-the-test"}}, "standby"),
        (PAIR | {"standby": "client-green"}, "standby"),
    ],
    ids=lambda value: str(value)[:40].replace("canary-of-the-test", ""),
)
def test_credentials_that_can_not_be_used_are_named_by_their_field(world: World, content: object, word: str) -> None:
    """The error says which field is wrong, never what it holds, and nothing is written or asked."""
    text = content if isinstance(content, str) else json.dumps(content)
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString=text)
    with traffic(world) as seen, pytest.raises(CredentialsError, match=word) as caught:
        world.invoke()
    assert not caught.value.retryable
    assert (seen.operations, seen.vendor) == (["BatchGetSecretValue"], [])
    assert "canary" not in world.output


@pytest.mark.parametrize(("age", "left"), [(HOUR, DAY - HOUR), (DAY + HOUR, 0), (None, 0)])
def test_run_without_credentials_says_what_consumers_have(world: World, age: int | None, left: int) -> None:
    """Broken credentials do not hide for how long consumers are served: the alarms go by it."""
    if age is not None:
        fresh(world, age)
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString="no JSON")
    with pytest.raises(CredentialsError):
        world.invoke()
    assert metrics(world) == {"TokenSecondsRemaining": left, "Failed": 1}


def test_credentials_secret_without_a_value_is_a_credentials_error(world: World) -> None:
    """As after a first deployment, when nobody has put the credentials in yet."""
    world.secrets.client().create_secret(Name="tango/empty")
    with pytest.raises(CredentialsError):
        world.invoke(keeper=world.keeper(CREDENTIALS_SECRET_ID="tango/empty"))
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_credentials_secret_of_bytes_is_a_credentials_error(world: World) -> None:
    """A binary secret holds no JSON that anybody could read."""
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretBinary=b"\x00\xff")
    with pytest.raises(CredentialsError):
        world.invoke()


def test_further_keys_of_the_credentials_secret_are_ignored(world: World) -> None:
    """People may keep notes beside the credentials."""
    client_secret = world.client_secrets[BLUE]
    document = {"client_id": BLUE, "client_secret": client_secret, "owner": ["a", 5], "standby": None}
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString=json.dumps(document))
    assert world.invoke()["outcome"] == "refreshed"


@pytest.mark.parametrize("shorten", [False, True], ids=["whole ARN", "ARN without its suffix"])
def test_secrets_may_be_named_by_arn(world: World, shorten: bool) -> None:
    """Name or ARN: the function's two secrets are found either way, before and after the first token."""
    client = world.secrets.client()
    arns = [client.describe_secret(SecretId=name)["ARN"] for name in (CREDENTIALS_SECRET, TOKEN_SECRET)]
    if shorten:
        arns = [arn.rpartition("-")[0] for arn in arns]
    keeper = world.keeper(CREDENTIALS_SECRET_ID=arns[0], TOKEN_SECRET_ID=arns[1])
    assert saw(world.invoke(keeper=keeper)) == ("refreshed", "missing")
    assert saw(world.invoke(keeper=keeper)) == ("kept", "fresh")


def test_same_secret_by_name_and_by_arn_is_a_mistake(world: World) -> None:
    """The token must not be written over the credentials."""
    arn = world.secrets.client().describe_secret(SecretId=CREDENTIALS_SECRET)["ARN"]
    with traffic(world) as seen, pytest.raises(ConfigurationError) as caught:
        world.invoke(keeper=world.keeper(TOKEN_SECRET_ID=arn))
    assert str(caught.value) == "environment: TOKEN_SECRET_ID and CREDENTIALS_SECRET_ID name the same secret"
    assert seen.writes == []


# Metrics


def test_metrics_are_one_emf_line(world: World) -> None:
    """CloudWatch finds the metrics under the namespace and the one dimension that the alarms name."""
    world.invoke()
    [line] = [line for line in world.lines if "_aws" in line]
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("TokenRefresh", [["service"]])
    assert line["service"] == "token-refresh"
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {"TokenSecondsRemaining": "Seconds", "Refreshed": "Count"}


@pytest.mark.parametrize(
    ("run", "counts"),
    [
        (kept, {"TokenSecondsRemaining": DAY - HOUR, "Kept": 1}),
        (World.invoke, {"TokenSecondsRemaining": DAY, "Refreshed": 1}),
        (recovered, {"TokenSecondsRemaining": DAY - HOUR, "Recovered": 1}),
        (waiting, {"TokenSecondsRemaining": DAY - HOUR, "Waiting": 1}),
        (due, {"TokenSecondsRemaining": DAY - INTERVAL}),
        (status, {"TokenSecondsRemaining": DAY - HOUR}),
    ],
)
def test_only_what_happened_is_counted(world: World, run: Callable[[World], Json], counts: dict[str, float]) -> None:
    """A run emits the life that is left, and its outcome; a question has no outcome to count."""
    run(world)
    assert metrics(world) == counts


# Events on a bus

ACCEPTED = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


def invoke_with_bus(world: World, url: str, event: object = None) -> Json:
    with environment(world.environment(AWS_ENDPOINT_URL_EVENTBRIDGE=url, EVENT_BUS_NAME="the-bus")):
        return world.invoke(event, world.keeper(EVENT_BUS_NAME="the-bus"))


def entries(bus: Recorder) -> list[Json]:
    return [entry for one in bus.received for entry in json.loads(one.body)["Entries"]]


def test_refresh_is_told_on_the_bus(world: World) -> None:
    """A refreshed token is an event from the source that rules name, whose detail is the result."""
    with Recorder(body=ACCEPTED) as bus:
        result = invoke_with_bus(world, bus.url)
        [entry] = entries(bus)
    assert (entry["Source"], entry["DetailType"]) == ("token.refresh", "Token Refreshed")
    assert entry["EventBusName"] == "the-bus"
    assert json.loads(entry["Detail"]) == result
    assert not secrets_in(bus.received[0].body, world)
    assert "event not put" not in world.output


def test_token_that_was_recovered_is_told_on_the_bus(world: World) -> None:
    """A token that could be saved only later is news as any other: consumers have a new one."""
    keeper = world.keeper(EVENT_BUS_NAME="the-bus")
    with Recorder(body=ACCEPTED) as bus, environment(world.environment(AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)):
        unsaved(world, keeper)
        assert world.invoke(keeper=keeper)["outcome"] == "recovered"
        assert [entry["DetailType"] for entry in entries(bus)] == ["Token Refresh Failed", "Token Refreshed"]


def test_failure_is_told_on_the_bus(world: World) -> None:
    """A failed refresh is an event that names the error."""
    world.vendor.script(REFUSED)
    with Recorder(body=ACCEPTED) as bus:
        with pytest.raises(CredentialsRefused) as caught:
            invoke_with_bus(world, bus.url)
        [entry] = entries(bus)
    assert (entry["Source"], entry["DetailType"]) == ("token.refresh", "Token Refresh Failed")
    told = {"error": "CredentialsRefused", "retryable": False, "message": str(caught.value)}
    assert json.loads(entry["Detail"]) == told
    assert not secrets_in(bus.received[0].body, world)


@pytest.mark.parametrize("event", [{}, STATUS, DRY_RUN, FORCE])
def test_nothing_is_told_on_the_bus_where_nothing_changed(world: World, event: Json) -> None:
    """Neither a kept or waiting token nor a question is news."""
    fresh(world)
    with Recorder(body=ACCEPTED) as bus:
        invoke_with_bus(world, bus.url, event)
        assert bus.received == []


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (400, {"__type": "ResourceNotFoundException", "message": "no such bus"}, "ResourceNotFoundException"),
        (500, {}, "ClientError"),
        (200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}, "InternalFailure"),
        (200, {}, "KeyError"),
        (200, "no object", "AttributeError"),
    ],
)
def test_failing_bus_fails_no_refresh(world: World, status: int, body: object, word: str) -> None:
    """The token is what counts: whatever the bus answers, the run's result stays, and the log says what it was."""
    with Recorder(status, body) as bus:
        assert invoke_with_bus(world, bus.url)["outcome"] == "refreshed"
        assert len(bus.received) == 1
    assert world.consume() == 200
    said = [(line["level"], line["error"]) for line in logged(world, "event not put")]
    assert said == [("WARNING", word)]


def test_bus_that_hangs_holds_no_run_for_long(world: World) -> None:
    """A bus that takes the connection and never answers costs seconds, not the minute that boto3 would wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address, port = silent.getsockname()
        assert invoke_with_bus(world, f"http://{address}:{port}")["outcome"] == "refreshed"
    assert [line["error"] for line in logged(world, "event not put")] == ["ReadTimeoutError"]


def test_bus_that_is_down_hides_no_error(world: World) -> None:
    """The vendor's error is what the run fails with, not the bus's."""
    with Recorder() as gone:
        pass
    world.vendor.script(DOWN)
    with pytest.raises(VendorError):
        invoke_with_bus(world, gone.url)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_event_that_was_refused_is_told_on_no_bus(world: World) -> None:
    """No refresh was tried: whoever sent the event has its error."""
    with Recorder(body=ACCEPTED) as bus:
        with pytest.raises(EventError):
            invoke_with_bus(world, bus.url, {"action": "delete"})
        assert bus.received == []
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
    assert logged(world, "event not put") == []


def test_nothing_is_told_without_a_bus(world: World) -> None:
    """EVENT_BUS_NAME is empty by default: off."""
    with Recorder(body=ACCEPTED) as bus, environment(world.environment(AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)):
        world.invoke()
        assert bus.received == []


# The environment, and the same function from a shell


@pytest.fixture
def live() -> Iterator[World]:
    """A world by the machine's own clock, as another process has it."""
    with World(Clock(), standby=False) as made:
        yield made


def machine(**variables: str) -> dict[str, str]:
    """Return the machine's own environment with these, and without any AWS settings of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | variables


def shell(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_shell_prints_the_result(live: World) -> None:
    """`python -m handler` with an event's file, or with none, prints the result as JSON and ends with 0."""
    said = ""
    for arguments, outcome in (
        (["events/dry-run.json"], "due"),
        ([], "refreshed"),
        (["events/status.json"], "kept"),
    ):
        done = shell(["-m", "handler", *arguments], machine(**live.environment()))
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["outcome"] == outcome
        said += done.stdout
    assert live.consume() == 200
    assert not secrets_in(said, live)


def test_shell_says_what_failed_in_one_line(live: World) -> None:
    """An error of the README's table is one clear line on standard error, without a trace or a secret."""
    live.vendor.script(REFUSED)
    done = shell(["-m", "handler", "events/refresh.json"], machine(**live.environment()))
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("CredentialsRefused: ")
    assert "401" in line
    assert not secrets_in(line, live)


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "event.json"), ('{"action": "stop"}', "action"), ("null", "object"), ("{", "event.json is not JSON")],
    ids=["missing", "unknown", "null", "no JSON"],
)
def test_shell_refuses_an_unfit_event_file_in_one_line(tmp_path: Path, content: str | None, word: str) -> None:
    """A file that is missing, no JSON or no event is one clear line and exit code 1."""
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)
    done = shell(["-m", "handler", str(path)], machine())
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert word in line


def test_shell_explains_itself() -> None:
    """`--help` prints the usage and ends with 0, without any settings."""
    done = shell(["-m", "handler", "--help"], machine())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m handler [-h] [event]")


def test_shell_does_not_mind_a_reader_that_is_gone(live: World) -> None:
    """Where the reader of a pipe has read enough, as `head` has, there is no trace, and the refresh stands."""
    reader, writer = os.pipe()
    os.close(reader)
    command, env = [sys.executable, "-m", "handler", "events/refresh.json"], machine(**live.environment())
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert live.consume() == 200


def test_bad_environment_is_one_message_that_names_each_variable() -> None:
    """All problems are told at once, by the variables' names, and without their values."""
    bad = {
        "TOKEN_URL": "http://user:canary@vendor.example/oauth/token?x=canary",
        "CLIENT_AUTH": "canary",
        "PROBE_URL": "ftp://canary.example",
        "LIMIT_INTERVAL_SECONDS": "-canary",
        "REFRESH_WINDOW_SECONDS": "4h",
        "ACQUIRE_TIMEOUT_SECONDS": "800",
        "WRITE_RESERVE_SECONDS": "60",
    }
    done = shell(["-m", "handler", "events/refresh.json"], machine(**bad))
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("ConfigurationError: ")
    assert [name for name in (*bad, "CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID") if name not in line] == []
    assert "canary" not in line


@pytest.mark.parametrize(
    "bad",
    [
        {"TOKEN_SECRET_ID": CREDENTIALS_SECRET},
        {"TOKEN_URL": ""},
        {"TOKEN_URL": "http://vendor.example/oauth/token"},
        {"TOKEN_URL": "https://vendor.example/oauth/token?a=b"},
        {"TOKEN_URL": "https://user@vendor.example/oauth/token"},
        {"CLIENT_AUTH": "private_key_jwt"},
        {"MAX_LIFETIME_SECONDS": "0"},
        {"ACQUIRE_TIMEOUT_SECONDS": "811"},
    ],
    ids=str,
)
def test_bad_variable_is_a_configuration_error(world: World, bad: dict[str, str]) -> None:
    """Each is named, and it is not worth a retry."""
    with pytest.raises(ConfigurationError, match=next(iter(bad))) as caught:
        world.keeper(**bad)
    assert not caught.value.retryable


LAMBDA = """
import json
from types import SimpleNamespace
from handler.app import lambda_handler
context = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 420_000,
)
for _ in range(2):
    try:
        print(json.dumps(lambda_handler({}, context)))
    except Exception as error:
        print(json.dumps({"error": type(error).__name__}))
"""


@pytest.mark.parametrize(("is_fit", "made"), [(True, "1\n"), (False, "0\n")])
def test_client_is_made_while_the_process_starts(live: World, is_fit: bool, made: str) -> None:
    """Lambda gives a whole processor only until the module is loaded; unfit settings are for the run to tell."""
    code = "from handler.app import this_process; print(this_process.cache_info().currsize)"
    done = shell(["-c", code], machine(**(live.environment() if is_fit else {})))
    assert (done.returncode, done.stdout, done.stderr) == (0, made, "")


def test_deployed_handler_keeps_its_process_and_its_service_name(live: World) -> None:
    """`handler.app.lambda_handler` reads the environment once, and names the service as Powertools is told."""
    env = machine(**live.environment(), POWERTOOLS_SERVICE_NAME="another-service")
    done = shell(["-c", LAMBDA], env)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["outcome"] for line in lines if "outcome" in line] == ["refreshed", "kept"]
    assert {line["service"] for line in lines if "_aws" in line} == {"another-service"}
    assert (done.returncode, done.stderr) == (0, "")
    assert not secrets_in(done.stdout, live)


def test_bad_environment_is_told_again_at_the_next_call_of_a_warm_process(live: World) -> None:
    """A configuration that failed is not remembered: each call says so, with its metric."""
    done = shell(["-c", LAMBDA], machine(**live.environment(TOKEN_URL="")))
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["error"] for line in lines if "error" in line and "level" not in line] == ["ConfigurationError"] * 2
    counted = [line for line in lines if "_aws" in line]
    assert [(line["TokenSecondsRemaining"], line["Failed"]) for line in counted] == [([0.0], [1.0])] * 2
