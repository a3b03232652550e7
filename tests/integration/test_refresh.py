"""The steps of the refresh, with the real handler between the vendor's emulator and Secrets Manager."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from handler.errors import (
    Busy,
    ConfigurationError,
    CredentialsError,
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    StoreError,
    VendorError,
    VendorUnreachable,
)
from handler.model import utc
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import CUT, LOST_ANSWER, AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
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
    NOT_SAVED,
    PENDING,
    PREVIOUS,
    REFUSED,
    SEED,
    Json,
    Recorder,
    credentials_version,
    document,
    fail_publishes,
    fresh,
    is_claim,
    labels,
    ledger,
    lock,
    logged,
    metrics,
    now,
    on,
    once,
    slot,
    slot_of,
    token_of,
    traffic,
    unsaved,
    world_of,
    write,
    write_ledger,
)

FORCE = {"action": "refresh", "force": True}
OVERRIDE = FORCE | {"override_limit": True}
DRY_RUN = {"action": "refresh", "dry_run": True}
STATUS = {"action": "status"}
NO_LIMIT = {"LIMIT_INTERVAL_SECONDS": "0", "LIMIT_MARGIN_SECONDS": "0"}
BLUE, GREEN = "client-blue", "client-green"
PUBLISHED_LABELS = {CURRENT, LEDGER}


def saw(result: Json) -> tuple[str, str]:
    return result["outcome"], result["reason"]


def other_name(world: World) -> str:
    """Return the same token endpoint by another URL."""
    return world.vendor.token_url.replace("127.0.0.1", "localhost")


# Step 1: a fresh token


def test_fresh_token_costs_one_aws_call_and_no_word_to_the_vendor(world: World) -> None:
    """A tick that finds a fresh token reads both secrets by one call, writes nothing and asks nobody."""
    fresh(world)
    before = world.secrets.versions(TOKEN_SECRET)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("kept", "fresh")
    assert (seen.operations, seen.vendor, world.vendor.api_calls) == (["BatchGetSecretValue"], [], [])
    assert seen.aws[0].params["SecretIdList"] == [CREDENTIALS_SECRET, TOKEN_SECRET]
    assert world.secrets.versions(TOKEN_SECRET) == before


def test_fresh_token_stays_one_aws_call_in_a_warm_process(world: World) -> None:
    """A process that has saved its token remembers nothing of it: its next tick reads by one call too."""
    keeper = world.keeper()
    world.invoke(keeper=keeper)
    with traffic(world) as seen:
        assert saw(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert seen.operations == ["BatchGetSecretValue"]


def test_credentials_are_parsed_at_every_tick(world: World) -> None:
    """A mistake in the credentials secret is reported while the token is still fresh."""
    fresh(world)
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString='{"client_id": "client-blue"}')
    with pytest.raises(CredentialsError, match="client_secret"):
        world.invoke()


# The cost of a refresh, and the bootstrap


def test_ordinary_refresh_takes_at_most_six_aws_calls_and_one_acquire(world: World) -> None:
    """Look, read the ledger, look again, claim by two calls, publish by one."""
    fresh(world, INTERVAL)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("refreshed", "expiring")
    assert len(seen.operations) <= 6
    assert [request.issued for request in seen.vendor] == [True]


def test_bootstrap_takes_at_most_six_aws_calls_and_one_acquire(world: World) -> None:
    """The first run on an empty secret is no dearer, although it puts the seed as well."""
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("refreshed", "missing")
    assert len(seen.operations) <= 6
    assert [request.issued for request in seen.vendor] == [True]


def test_bootstrap_puts_the_seed_first(world: World) -> None:
    """The first version is the seed, under the pending label alone: AWS makes it current for want of another."""
    with traffic(world) as seen:
        world.invoke()
    first = seen.writes[0].params
    assert (json.loads(first["SecretString"]), first["VersionStages"]) == (SEED, [PENDING])
    versions = world.secrets.versions(TOKEN_SECRET)
    assert next(iter(versions)) == first["ClientRequestToken"]
    assert document(world, PREVIOUS) == SEED


def test_seed_has_a_fixed_id_made_from_the_secrets_name() -> None:
    """Two deployments of the same names put the seed under one id, and the name is what makes it."""
    ids = []
    for name in (TOKEN_SECRET, TOKEN_SECRET, "tango/other"):
        with World(Clock(1_790_000_000), standby=False) as world:
            world.secrets.client().create_secret(Name="tango/other")
            world.invoke(keeper=world.keeper(TOKEN_SECRET_ID=name))
            ids.append(next(iter(world.secrets.versions(name))))
    assert ids[0] == ids[1] != ids[2]


def test_document_has_each_key_that_consumers_rely_on(world: World) -> None:
    """What consumers read has exactly the documented keys, with whole seconds as JSON integers."""
    version_id = world.invoke()["version_id"]
    at = now(world)
    found = world.token()
    assert found == {
        "access_token": world.vendor.issued[0].token,
        "token_type": "Bearer",
        "scope": "raas.all",
        "expires_at": at + DAY,
        "acquired_at": at,
        "client_id": BLUE,
        "audience": "https://api.tangocard.com/",
        "token_url": world.vendor.token_url,
        "expires_at_utc": "2026-09-22T14:13:20Z",
        "schema": 1,
        "ledger": {
            "lock": None,
            "failures": 0,
            "retry_at": 0,
            "slots": {BLUE: slot(at + INTERVAL, "limit_interval")},
        },
    }
    assert {type(found[key]) for key in ("expires_at", "acquired_at", "schema")} == {int}
    assert {type(found["ledger"][key]) for key in ("failures", "retry_at")} == {int}
    assert type(slot_of(world)["not_before"]) is int
    assert world.secrets.versions(TOKEN_SECRET)[version_id].labels == PUBLISHED_LABELS
    assert world.consume() == 200


def test_replaced_token_is_the_previous_version(world: World) -> None:
    """AWSCURRENT moves from one whole token to the next in one step; the old one is AWSPREVIOUS."""
    old = fresh(world, INTERVAL)
    world.invoke()
    assert document(world, PREVIOUS) == old
    assert world.token()["access_token"] == world.vendor.issued[1].token


def test_late_seed_covers_no_token(world: World) -> None:
    """A seed that is put when there is a value already takes no label from it, and no token is lost by it."""
    on(world, lambda operation, _: operation == "PutSecretValue", once(lambda: write(world, token_of(world), CURRENT)))
    with traffic(world) as seen:
        assert saw(world.invoke())[0] in {"kept", "refreshed"}
    assert json.loads(seen.writes[0].params["SecretString"]) == SEED
    assert SEED not in (document(world), document(world, PREVIOUS))


def test_late_repeated_seed_covers_no_token_of_another_bootstrap(world: World) -> None:
    """Of two bootstraps at the same moment one acquires; the other finds its token."""
    on(world, lambda operation, _: operation == "PutSecretValue", once(world.invoke))
    assert saw(world.invoke()) == ("kept", "fresh")
    assert len(world.vendor.requests) == 1
    assert world.consume() == 200


# Step 2: due, and why


@pytest.mark.parametrize(
    ("age", "saying"),
    [
        (20 * HOUR - 1, ("kept", "fresh")),
        (20 * HOUR, ("waiting", "limit_interval")),
        (INTERVAL - 1, ("waiting", "limit_interval")),
        (INTERVAL, ("refreshed", "expiring")),
        (24 * HOUR - 1, ("refreshed", "expiring")),
        (24 * HOUR, ("refreshed", "expired")),
        (30 * HOUR, ("refreshed", "expired")),
    ],
)
def test_token_is_due_in_its_window_and_its_client_may_ask_after_the_margin(
    world: World, age: int, saying: tuple[str, str]
) -> None:
    """The window opens after 20 h, the slot five minutes later, and nothing is asked before."""
    fresh(world, age)
    assert saw(world.invoke()) == saying
    assert len(world.vendor.requests) == 1 + (saying[0] == "refreshed")


def test_missing_is_the_first_reason(world: World) -> None:
    """Without a token a forced run says what is wrong, not that it was forced."""
    assert saw(world.invoke(FORCE)) == ("refreshed", "missing")


def test_other_client_is_a_reason_before_all_others(world: World) -> None:
    """A token that is not the primary client's is replaced for that, expired and of other settings as it may be."""
    fresh(world, 25 * HOUR)
    world.put_credentials(GREEN)
    keeper = world.keeper(AUDIENCE="https://other.example/")
    assert saw(world.invoke(FORCE, keeper)) == ("refreshed", "client_changed")
    assert world.token()["client_id"] == GREEN


@pytest.mark.parametrize("name", ["AUDIENCE", "TOKEN_URL"])
def test_other_settings_are_a_reason_before_the_time(world: World, name: str) -> None:
    """A token of another audience or endpoint is replaced for that, expired as it may be."""
    fresh(world, 25 * HOUR)
    value = {"AUDIENCE": "https://other.example/", "TOKEN_URL": other_name(world)}[name]
    assert saw(world.invoke(FORCE, world.keeper(**{name: value}))) == ("refreshed", "config_changed")
    assert world.token()[name.lower()] == value


def test_other_settings_do_not_open_the_slot(world: World) -> None:
    """A changed audience makes the token useless, yet its client has had its token for this interval."""
    fresh(world)
    with pytest.raises(RateLimited):
        world.invoke(keeper=world.keeper(AUDIENCE="https://other.example/"))
    assert len(world.vendor.requests) == 1


def test_other_scope_is_no_reason(world: World) -> None:
    """Only client, endpoint and audience make a token another's: the vendor may grant a scope of its own."""
    fresh(world)
    assert saw(world.invoke(keeper=world.keeper(SCOPE="raas.read"))) == ("kept", "fresh")


@pytest.mark.parametrize(("age", "reason"), [(21 * HOUR, "expiring"), (25 * HOUR, "expired")])
def test_forced_is_the_last_reason(world: World, age: int, reason: str) -> None:
    """A forced run of a token that is due anyway names that reason."""
    fresh(world, age)
    assert saw(world.invoke(FORCE)) == ("refreshed", reason)


@pytest.mark.parametrize(("age", "outcome"), [(0, "kept"), (599, "kept"), (600, "refreshed"), (HOUR, "refreshed")])
def test_forced_is_satisfied_for_ten_minutes(clock: Clock, age: int, outcome: str) -> None:
    """A repeated event spends no second slot: a token of less than ten minutes ago is what it asked for."""
    with world_of(clock, interval=0) as world:
        fresh(world, age, **NO_LIMIT)
        assert world.invoke(FORCE, world.keeper(**NO_LIMIT))["outcome"] == outcome
        assert len(world.vendor.requests) == 1 + (outcome == "refreshed")


def test_forced_keeps_to_the_slot_rules(world: World) -> None:
    """A forced run waits for the limit interval like any other."""
    fresh(world)
    result = world.invoke(FORCE)
    assert (saw(result), result["not_before"]) == (("waiting", "limit_interval"), now(world) - HOUR + INTERVAL)
    assert len(world.vendor.requests) == 1


# The probe


def test_revoked_token_is_replaced_at_once(pair: World) -> None:
    """The API refuses a token whose client was deactivated; the standby steps in."""
    fresh(pair)
    pair.vendor.deactivate(BLUE)
    result = pair.invoke(keeper=pair.keeper(PROBE_URL=pair.vendor.api_url))
    assert (saw(result), result["client_id"]) == (("refreshed", "revoked"), GREEN)
    assert (result["seconds_remaining"], metrics(pair)["TokenSecondsRemaining"], pair.consume()) == (DAY, DAY, 200)


def test_revoked_token_has_no_seconds_left(world: World) -> None:
    """Without any slot a revoked token is an error, and the metric says 0."""
    fresh(world)
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "rate_limited")})
    world.vendor.deactivate(BLUE)
    with pytest.raises(RateLimited):
        world.invoke(keeper=world.keeper(PROBE_URL=world.vendor.api_url))
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "RateLimited": 1}


@pytest.mark.parametrize(("status", "reason"), [(401, "revoked"), (403, "revoked")])
def test_probe_that_refuses_means_revoked(clock: Clock, status: int, reason: str) -> None:
    """401 and 403 of the API mean that the token is revoked."""
    with Recorder(status) as api, world_of(clock, interval=0) as world:
        fresh(world, HOUR, **NO_LIMIT)
        assert saw(world.invoke(keeper=world.keeper(PROBE_URL=api.url, **NO_LIMIT))) == ("refreshed", reason)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 429, 500, 503])
def test_probe_that_says_anything_else_means_nothing(world: World, status: int) -> None:
    """Any other answer of the API leaves the token as it is."""
    fresh(world)
    with Recorder(status) as api:
        assert saw(world.invoke(keeper=world.keeper(PROBE_URL=api.url))) == ("kept", "fresh")
        assert len(api.received) == 1


def test_probe_that_is_down_means_nothing(world: World) -> None:
    """An API that can't be reached leaves the token as it is."""
    fresh(world)
    with Recorder() as gone:
        pass
    assert saw(world.invoke(keeper=world.keeper(PROBE_URL=gone.url))) == ("kept", "fresh")


def test_probe_shows_the_current_token_at_every_tick(world: World) -> None:
    """Each tick asks the API once, with the token that consumers have."""
    issued = fresh(world)["access_token"]
    with Recorder() as api:
        for _ in range(2):
            with traffic(world) as seen:
                world.invoke(keeper=world.keeper(PROBE_URL=api.url + "/customers"))
            assert seen.operations == ["BatchGetSecretValue"]
    assert [(one.method, one.target) for one in api.received] == [("GET", "/customers")] * 2
    assert all(one.headers["Authorization"] == f"Bearer {issued}" for one in api.received)


def test_token_that_is_due_is_probed_once_in_a_run(world: World) -> None:
    """A run that looks twice asks the API once."""
    fresh(world, 20 * HOUR)
    with Recorder() as api:
        assert saw(world.invoke(keeper=world.keeper(PROBE_URL=api.url))) == ("waiting", "limit_interval")
        assert len(api.received) == 1


def test_new_token_is_published_unprobed(world: World) -> None:
    """A scarce token is never thrown away for a suspicion: only the current one is shown to the API."""
    with Recorder(401) as api:
        assert saw(world.invoke(keeper=world.keeper(PROBE_URL=api.url))) == ("refreshed", "missing")
        assert api.received == []


@pytest.mark.parametrize("event", [DRY_RUN, STATUS])
def test_questions_do_not_probe(world: World, event: Json) -> None:
    """Neither `status` nor `dry_run` shows the token to anybody."""
    fresh(world)
    with Recorder(401) as api:
        assert saw(world.invoke(event, world.keeper(PROBE_URL=api.url))) == ("kept", "fresh")
        assert api.received == []


# What is read back is believed only as far as it can be true


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
def test_document_that_is_no_token_counts_as_missing_and_is_kept(world: World, content: str) -> None:
    """What somebody else wrote into the token secret is replaced, and stays readable as AWSPREVIOUS."""
    foreign = write(world, content, CURRENT)
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert labels(world)[PREVIOUS] == foreign
    assert world.consume() == 200


def test_binary_token_secret_counts_as_missing_and_is_kept(world: World) -> None:
    """A secret that holds bytes is no token either."""
    client = world.secrets.client()
    foreign = client.put_secret_value(SecretId=TOKEN_SECRET, SecretBinary=b"\xff\x00")["VersionId"]
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert labels(world)[PREVIOUS] == foreign


def test_token_ends_after_the_longest_lifetime_whatever_it_says(world: World) -> None:
    """An expiry that a slip of the hand put years ahead does not keep a dead token."""
    acquired_at = now(world)
    document = token_of(world, acquired_at=acquired_at, expires_at=acquired_at + 365 * DAY)
    write(world, document, CURRENT)
    world.clock.advance(DAY)
    result = world.invoke()
    assert saw(result) == ("refreshed", "expired")


def test_longest_lifetime_is_also_what_the_result_says(world: World) -> None:
    """The result shows the expiry that is believed."""
    write(world, token_of(world, expires_at=now(world) + 365 * DAY), CURRENT)
    result = world.invoke()
    assert (saw(result), result["expires_at"]) == (("kept", "fresh"), now(world) + DAY)


@pytest.mark.parametrize(("ahead", "saying"), [(300, ("kept", "fresh")), (301, ("refreshed", "missing"))])
def test_token_acquired_in_the_future_is_none(world: World, ahead: int, saying: tuple[str, str]) -> None:
    """A document acquired more than a margin ahead of now is no token."""
    write(world, token_of(world, acquired_at=now(world) + ahead), CURRENT)
    assert saw(world.invoke()) == saying


@pytest.mark.parametrize(
    ("changes", "ahead", "believed"),
    [
        ("retry_at", HOUR, True),
        ("retry_at", HOUR + 1, False),
        ("lock", 15 * MINUTE, True),
        ("lock", 15 * MINUTE + 1, False),
        ("slots", INTERVAL + 300, True),
        ("slots", INTERVAL + 301, False),
    ],
)
def test_ledger_is_believed_only_as_far_as_it_can_be_true(
    world: World, changes: str, ahead: int, believed: bool
) -> None:
    """No clock's jump and no slip of a hand locks the keeper out."""
    until = now(world) + ahead
    values = {"retry_at": until, "lock": lock(world, left=ahead), "slots": {BLUE: slot(until, "rate_limited")}}
    write_ledger(world, **{changes: values[changes]})
    if believed:
        with pytest.raises((VendorError, Busy, RateLimited)):
            world.invoke()
    else:
        assert saw(world.invoke()) == ("refreshed", "missing")
    assert len(world.vendor.requests) == (not believed)


@pytest.mark.parametrize(("ahead", "believed"), [(2 * HOUR, True), (2 * HOUR + 1, False)])
def test_slot_of_a_short_interval_is_believed_for_two_hours(clock: Clock, ahead: int, believed: bool) -> None:
    """Where the interval is short a slot may still be closed for two hours, and not for longer."""
    with world_of(clock, interval=60) as world:
        write_ledger(world, slots={BLUE: slot(now(world) + ahead, "rate_limited")})
        outcome = world.invoke(DRY_RUN, world.keeper(LIMIT_INTERVAL_SECONDS="60"))["outcome"]
        assert outcome == ("waiting" if believed else "due")


@pytest.mark.parametrize(
    "content", ["no JSON", "[]", '{"ledger": 5}', json.dumps({"ledger": {"failures": -1, "retry_at": "soon"}})]
)
def test_ledger_that_makes_no_sense_counts_as_empty(world: World, content: str) -> None:
    """A corrupt ledger stops nobody; the claim takes its label over."""
    write(world, SEED, CURRENT)
    corrupt = write(world, content, LEDGER)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("refreshed", "missing")
    assert next(call for call in seen.aws if is_claim(call.op, call.params)).params["RemoveFromVersionId"] == corrupt
    assert ledger(world)["slots"] == {BLUE: slot(now(world) + INTERVAL, "limit_interval")}


def test_slot_of_the_current_token_is_known_without_a_ledger(world: World) -> None:
    """A lost ledger opens no slot: the current token itself says when its client may ask again."""
    fresh(world)
    write(world, "lost", LEDGER)
    result = world.invoke(FORCE)
    assert (saw(result), result["not_before"]) == (("waiting", "limit_interval"), now(world) - HOUR + INTERVAL)


def test_ledger_that_can_not_be_read_is_a_store_error(world: World) -> None:
    """Without the ledger nothing is claimed and nobody is asked."""
    fresh(world, 21 * HOUR)
    world.secrets.fail("GetSecretValue", AwsFault("DecryptionFailure"))
    with traffic(world) as seen, pytest.raises(StoreError) as caught:
        world.invoke()
    assert caught.value.retryable
    assert (seen.writes, seen.vendor) == ([], [])


def test_slots_of_former_clients_go_when_they_are_past(world: World) -> None:
    """The ledger forgets a client that is configured no longer, but not before its slot has opened."""
    past, ahead = slot(now(world) - 1, "limit_interval"), slot(now(world) + HOUR, "limit_interval")
    write_ledger(world, slots={"client-past": past, "client-ahead": ahead})
    world.invoke()
    assert set(ledger(world)["slots"]) == {BLUE, "client-ahead"}
    assert slot_of(world, "client-ahead") == ahead


# Step 3: the ledger, read first and written by compare and set


def test_ledger_is_read_only_when_a_refresh_is_due_and_before_the_secrets(world: World) -> None:
    """A due run reads the ledger and then both secrets once more, so that its claim covers all that it saw."""
    fresh(world, INTERVAL)
    with traffic(world) as seen:
        world.invoke()
    assert seen.operations == [
        "BatchGetSecretValue",
        "GetSecretValue",
        "BatchGetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "PutSecretValue",
    ]
    assert seen.aws[1].params["VersionStage"] == LEDGER


def test_claim_is_a_compare_and_set(world: World) -> None:
    """A claim is put under the pending label, and then takes the ledger's label from the version that was read."""
    fresh(world, INTERVAL)
    replaced = labels(world)[LEDGER]
    with traffic(world) as seen:
        world.invoke()
    put, move, publish = (call.params for call in seen.writes)
    assert put["VersionStages"] == [PENDING]
    assert set(json.loads(put["SecretString"])) == {"schema", "ledger"}
    assert move == {
        "SecretId": TOKEN_SECRET,
        "VersionStage": LEDGER,
        "MoveToVersionId": put["ClientRequestToken"],
        "RemoveFromVersionId": replaced,
    }
    assert set(publish["VersionStages"]) == PUBLISHED_LABELS
    ids = {put["ClientRequestToken"], publish["ClientRequestToken"], replaced}
    assert len(ids) == 3
    assert labels(world)[PENDING] == put["ClientRequestToken"]


def test_first_claim_takes_the_label_from_nobody(world: World) -> None:
    """Where there is no ledger yet the move names no version to take it from."""
    with traffic(world) as seen:
        world.invoke()
    [move] = [call.params for call in seen.writes if is_claim(call.op, call.params)]
    assert "RemoveFromVersionId" not in move


def test_lock_says_who_holds_it_for_whom_and_until_when(world: World) -> None:
    """While the vendor is asked, the ledger has this run's lock with its keys and times."""
    held: list[Json] = []
    world.vendor.on_request = lambda moment: held.append(ledger(world)) if moment == "received" else None
    fresh(world, INTERVAL)
    world.invoke()
    first, second = (one["lock"] for one in held)
    assert second == {
        "run_id": second["run_id"],
        "client_id": BLUE,
        "claimed_at": now(world),
        "until": now(world) + 120 + 30 + 30,
    }
    assert isinstance(second["run_id"], str)
    assert first["run_id"] != second["run_id"] != "local"  # Lambda's retries repeat its own request id
    assert ledger(world)["lock"] is None


def test_lock_lasts_as_long_as_the_settings_say(world: World) -> None:
    """A longer time to acquire and to write holds the lock for longer."""
    keeper = world.keeper(ACQUIRE_TIMEOUT_SECONDS="200", WRITE_RESERVE_SECONDS="50")
    with traffic(world) as seen:
        world.invoke(keeper=keeper)
    assert seen.claims[0]["lock"]["until"] == now(world) + 200 + 50 + 30


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
def test_whenever_another_run_refreshes_one_token_is_acquired(world: World, number: int, moment: str) -> None:
    """A run that another one overtakes between any two of its calls finds that one's token, and asks nobody."""
    fresh(world, INTERVAL)
    on(world, lambda *_: True, once(world.invoke, at=number), moment=moment)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("kept", "fresh")
    assert len(seen.vendor) == 1
    assert world.token()["access_token"] == world.vendor.issued[-1].token


@pytest.mark.parametrize("moment", ["received", "issued"])
def test_run_that_comes_while_the_vendor_is_asked_does_not_ask(world: World, moment: str) -> None:
    """The lock keeps a second run out from the claim to the publication."""
    refused: list[type[BaseException]] = []

    def second_run(at: str) -> None:
        if at == moment:
            with pytest.raises(Busy) as caught:
                world.invoke(timeout=100)
            refused.append(caught.type)

    world.vendor.on_request = second_run
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert (refused, len(world.vendor.requests)) == ([Busy], 1)


# Step 4: another run's lock


def test_locked_run_waits_and_finds_the_other_runs_token(world: World) -> None:
    """While another run holds the lock this one looks every few seconds, and mostly finds its token."""
    write_ledger(world, lock=lock(world, left=100))
    published = once(lambda: write(world, token_of(world), CURRENT, LEDGER), at=4)
    on(world, lambda operation, _: operation == "BatchGetSecretValue", published)
    began = now(world)
    assert saw(world.invoke()) == ("kept", "fresh")
    assert 0 < now(world) - began <= 20
    assert world.vendor.requests == []


def test_locked_run_goes_on_when_the_lock_is_released(world: World) -> None:
    """Where the other run came back without a token this one acquires in its place."""
    write_ledger(world, lock=lock(world, left=100))
    on(world, lambda operation, _: operation == "BatchGetSecretValue", once(lambda: write_ledger(world), at=4))
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert len(world.vendor.requests) == 1


def test_locked_run_waits_out_a_crashed_ones_lock(world: World) -> None:
    """A function's run is long enough to wait until a full lock lapses, and still to acquire."""
    write_ledger(world, lock=lock(world, age=0, left=180))
    began = now(world)
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert 180 <= now(world) - began <= 190


def test_locked_run_without_time_to_wait_is_busy(world: World) -> None:
    """A run whose time covers no more than acquiring and writing does not wait at all."""
    write_ledger(world, lock=lock(world))
    began = now(world)
    with traffic(world) as seen, pytest.raises(Busy) as caught:
        world.invoke(timeout=150)
    assert caught.value.retryable
    assert (now(world), seen.writes, seen.vendor) == (began, [], [])


def test_locked_run_waits_no_longer_than_its_time_covers_an_acquire(world: World) -> None:
    """A run gives up while it could still have acquired and written, never later."""
    write_ledger(world, lock=lock(world, left=900))
    began = now(world)
    with pytest.raises(Busy):
        world.invoke(timeout=420)
    assert 420 - 150 - 10 <= now(world) - began <= 420 - 150


def test_locked_run_waits_once_more_where_its_time_just_covers_it(world: World) -> None:
    """A pause and then a whole acquire and write, to the second, are time enough; each wait is in the log."""
    write_ledger(world, lock=lock(world, left=900))
    began = now(world)
    with pytest.raises(Busy, match="another run holds the lock"):
        world.invoke(timeout=153)
    assert now(world) - began == 3
    assert [line["message"] for line in world.lines if line.get("level") == "INFO"] == ["Locked"]


def test_locked_run_with_a_fresh_token_has_nothing_to_wait_for(world: World) -> None:
    """Another run's lock is of no interest to a tick that finds a fresh token."""
    fresh(world)
    write_ledger(world, lock=lock(world))
    assert saw(world.invoke()) == ("kept", "fresh")


@pytest.mark.parametrize(("client_id", "suspicions"), [(BLUE, 1), (None, 0)])
def test_lapsed_lock_is_a_failure_and_with_a_client_a_suspicion(
    world: World, client_id: str | None, suspicions: int
) -> None:
    """A crashed run counts: it failed, and where it was to ask for a client a token may have been granted."""
    write_ledger(world, failures=1, lock=lock(world, age=300, left=0, client_id=client_id))
    world.vendor.script(DOWN)
    with traffic(world) as seen, pytest.raises(VendorError):
        world.invoke()
    assert seen.claims[0]["failures"] == 2
    assert seen.claims[0]["slots"] == ({BLUE: slot(suspicions=1)} if suspicions else {})
    assert ledger(world)["failures"] == 3
    assert slot_of(world)["suspicions"] == suspicions + 1


def test_lapsed_lock_backs_off_from_its_own_moment(world: World) -> None:
    """The third failure counts from when the crashed run had claimed, not from when somebody noticed."""
    claimed_at = now(world) - 600
    write_ledger(world, failures=2, lock=lock(world, age=600, left=-1))
    with traffic(world) as seen, pytest.raises(VendorError):
        world.invoke()
    assert (seen.writes, seen.vendor) == ([], [])
    assert world.invoke(STATUS)["not_before"] == claimed_at + 45 * MINUTE
    world.clock.advance(45 * MINUTE - 601)
    with pytest.raises(VendorError):
        world.invoke()
    world.clock.advance(1)
    assert saw(world.invoke()) == ("refreshed", "missing")


# Step 5: a good token at hand costs no slot


@pytest.fixture
def hourly(clock: Clock) -> Any:
    """Have a vendor that grants a token an hour, and the settings that go with it."""
    with world_of(clock, interval=HOUR) as world:
        yield world


HOURLY = {"LIMIT_INTERVAL_SECONDS": str(HOUR)}


@pytest.mark.parametrize("name", ["AUDIENCE", "TOKEN_URL"])
def test_setting_put_right_again_brings_the_previous_token_back(hourly: World, name: str) -> None:
    """A mistyped setting costs the token that was acquired with it, and nothing more."""
    first = fresh(hourly, 2 * HOUR, **HOURLY)
    mistyped = {"AUDIENCE": "https://api.tangocrad.com/", "TOKEN_URL": other_name(hourly)}[name]
    assert saw(hourly.invoke(keeper=hourly.keeper(**HOURLY, **{name: mistyped}))) == ("refreshed", "config_changed")
    wrong = labels(hourly)[CURRENT]
    assert saw(hourly.invoke(DRY_RUN, hourly.keeper(**HOURLY))) == ("due", "previous")
    with traffic(hourly) as seen:
        result = hourly.invoke(keeper=hourly.keeper(**HOURLY))
    assert saw(result) == ("recovered", "previous")
    assert (result["seconds_remaining"], result["version_id"]) == (22 * HOUR, labels(hourly)[CURRENT])
    assert (seen.vendor, [call.op for call in seen.writes]) == ([], ["UpdateSecretVersionStage"])
    assert (hourly.token(), labels(hourly)[PREVIOUS]) == (first, wrong)
    assert saw(hourly.invoke(keeper=hourly.keeper(**HOURLY))) == ("kept", "fresh")


def test_token_that_was_brought_back_may_have_to_wait(world: World) -> None:
    """Where the previous token is in its window already and its client has no slot, it is recovered all the same."""
    first = fresh(world, INTERVAL)
    world.invoke(keeper=world.keeper(AUDIENCE="https://api.tangocrad.com/"))
    with traffic(world) as seen:
        result = world.invoke()
    assert (saw(result), seen.vendor) == (("recovered", "previous"), [])
    assert result["seconds_remaining"] == DAY - INTERVAL
    assert world.token() == first
    assert saw(world.invoke()) == ("waiting", "limit_interval")


def test_token_that_was_brought_back_is_replaced_where_its_client_may_ask(hourly: World) -> None:
    """A previous token that is due itself is renewed by the same run."""
    fresh(hourly, 21 * HOUR, **HOURLY)
    hourly.invoke(keeper=hourly.keeper(**HOURLY, AUDIENCE="https://api.tangocrad.com/"))
    hourly.clock.advance(HOUR + 5 * MINUTE)
    assert saw(hourly.invoke(keeper=hourly.keeper(**HOURLY))) == ("refreshed", "expiring")


def test_token_that_was_overwritten_by_hand_comes_back(world: World) -> None:
    """A slip of the hand over a good token is put right without the vendor."""
    first = fresh(world)
    slip = write(world, "oops", CURRENT)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("recovered", "previous")
    assert (seen.vendor, world.token(), labels(world)[PREVIOUS]) == ([], first, slip)


def test_credential_put_right_again_brings_the_previous_token_back(world: World) -> None:
    """An operator who takes a rotation back gets the former client's token back."""
    first = fresh(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.put_credentials(BLUE)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("recovered", "previous")
    assert (seen.vendor, world.token()) == ([], first)


def test_expired_previous_token_is_not_brought_back(world: World) -> None:
    """Only a good token is worth bringing back."""
    fresh(world, INTERVAL)
    world.invoke(keeper=world.keeper(AUDIENCE="https://api.tangocrad.com/"))
    world.clock.advance(INTERVAL)
    assert saw(world.invoke()) == ("refreshed", "config_changed")


def test_previous_token_of_another_client_is_not_brought_back(world: World) -> None:
    """A token is good only where its client is configured."""
    fresh(world)
    write(world, "oops", CURRENT)
    world.put_credentials(GREEN)
    result = world.invoke()
    assert (saw(result), result["client_id"]) == (("refreshed", "missing"), GREEN)


def test_answer_of_the_move_back_may_be_lost(world: World) -> None:
    """The label is where it should be, whether or not the first answer arrived."""
    first = fresh(world)
    write(world, "oops", CURRENT)
    world.secrets.fail("UpdateSecretVersionStage", LOST_ANSWER)
    assert saw(world.invoke()) == ("recovered", "previous")
    assert world.token() == first


def test_token_that_could_not_be_saved_is_published_by_the_next_run(world: World) -> None:
    """The warm process keeps it; its next run publishes it at once, under a claim for no client, and asks nobody."""
    keeper = world.keeper()
    held = unsaved(world, keeper)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
    assert saw(world.invoke(DRY_RUN, keeper)) == ("due", "unsaved")
    began = now(world)
    with traffic(world) as seen:
        result = world.invoke(keeper=keeper)
    assert (saw(result), result["client_id"]) == (("recovered", "unsaved"), BLUE)
    assert (seen.vendor, now(world), world.token()["access_token"]) == ([], began, held)
    assert [claim["lock"]["client_id"] for claim in seen.claims] == [None]
    assert ledger(world)["slots"] == {BLUE: slot(world.token()["acquired_at"] + INTERVAL, "limit_interval")}
    assert (ledger(world)["lock"], ledger(world)["failures"]) == (None, 0)
    with traffic(world) as seen:
        assert saw(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert seen.operations == ["BatchGetSecretValue"]
    assert world.consume() == 200


def test_token_that_could_not_be_saved_is_lost_to_another_process(world: World) -> None:
    """A new process waits the lock out, asks and is refused; it takes the suspicion at its word."""
    unsaved(world, world.keeper())
    with pytest.raises(RateLimited):
        world.invoke()
    assert [request.issued for request in world.vendor.requests] == [True, False]
    assert slot_of(world) == slot(now(world) + INTERVAL, "rate_limited", 2)


def test_each_publish_that_fails_is_in_the_log(world: World) -> None:
    """The log tells of each try, by AWS's code, before the run fails with the last one."""
    unsaved(world, world.keeper())
    told = [line["error"] for line in logged(world, "PublishFailed")]
    assert len(told) > 5
    assert {*told} == {"Secrets Manager, put_secret_value: EncryptionFailure"}


def test_unsaved_token_waits_for_its_process_through_further_failures(world: World) -> None:
    """A second run that can't save it either keeps it too."""
    keeper = world.keeper()
    held = unsaved(world, keeper)
    assert unsaved(world, keeper) == held
    assert saw(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert (world.token()["access_token"], len(world.vendor.requests)) == (held, 1)


def test_unsaved_token_replaces_an_older_one_of_its_client(world: World) -> None:
    """A token in its window is replaced by the one that was acquired for that."""
    fresh(world, INTERVAL)
    keeper = world.keeper()
    held = unsaved(world, keeper)
    assert 0 < metrics(world)["TokenSecondsRemaining"] <= DAY - INTERVAL
    assert saw(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == held


def test_unsaved_token_is_dropped_for_a_newer_one_of_its_client(world: World) -> None:
    """What another process has published since is newer, and stays."""
    keeper = world.keeper()
    unsaved(world, keeper)
    world.clock.advance(INTERVAL)
    world.invoke()
    newer = world.token()
    assert saw(world.invoke(keeper=keeper)) == ("kept", "fresh")
    with traffic(world) as seen:
        assert saw(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert (seen.operations, world.token()) == (["BatchGetSecretValue"], newer)


def test_unsaved_token_is_dropped_when_it_expires(world: World) -> None:
    """A day later the process acquires like any other."""
    keeper = world.keeper()
    held = unsaved(world, keeper)
    world.clock.advance(DAY)
    assert saw(world.invoke(keeper=keeper)) == ("refreshed", "missing")
    assert world.token()["access_token"] != held


def test_unsaved_token_that_expires_is_forgotten(pair: World) -> None:
    """A reserve that is worth nothing any more costs no further calls."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED)
    unsaved(pair, keeper)
    pair.clock.advance(HOUR)
    pair.invoke()
    pair.clock.advance(INTERVAL)
    pair.invoke()
    pair.clock.advance(3 * HOUR)
    with traffic(pair) as seen:
        assert saw(pair.invoke(keeper=keeper)) == ("kept", "fresh")
    assert seen.operations == ["BatchGetSecretValue"]


def test_token_that_was_saved_unheard_is_not_saved_again(world: World) -> None:
    """Where every answer of the publication was an error and the token is out all the same, the next run sees it."""
    keeper = world.keeper()
    fail_publishes(world, fault=AwsFault("EncryptionFailure", processed=True))
    with pytest.raises(StoreError):
        world.invoke(keeper=keeper)
    world.secrets.on_call = None
    with traffic(world) as seen:
        assert saw(world.invoke(keeper=keeper)) == ("kept", "fresh")
    assert (seen.operations, world.consume()) == (["BatchGetSecretValue"], 200)


def test_unsaved_token_of_a_forced_refresh_is_published_although_none_is_due(clock: Clock) -> None:
    """What was acquired is not left behind because the older token is still fresh."""
    with world_of(clock, interval=0) as world:
        fresh(world, HOUR, **NO_LIMIT)
        keeper = world.keeper(**NO_LIMIT)
        fail_publishes(world)
        with pytest.raises(StoreError):
            world.invoke(FORCE, keeper)
        world.secrets.on_call = None
        assert saw(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
        assert world.token()["access_token"] == world.vendor.issued[1].token


def test_unsaved_token_of_the_primary_replaces_the_standbys(pair: World) -> None:
    """The standby stepped in meanwhile; the primary's token, with nearly all of its life left, is better."""
    keeper = pair.keeper()
    held = unsaved(pair, keeper)
    assert pair.invoke()["client_id"] == GREEN
    with traffic(pair) as seen:
        assert saw(pair.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert (pair.token()["access_token"], seen.vendor) == (held, [])


def test_unsaved_token_of_the_standby_does_not_replace_the_primarys(pair: World) -> None:
    """The primary's token is good and has life enough; the standby's stays in reserve."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED)
    unsaved(pair, keeper)
    pair.clock.advance(HOUR)
    assert pair.invoke()["client_id"] == BLUE
    primarys = pair.token()
    assert saw(pair.invoke(keeper=keeper)) == ("kept", "fresh")
    assert pair.token() == primarys


@pytest.mark.parametrize(("left", "outcome"), [(8_999, "recovered"), (9_001, "waiting")])
def test_unsaved_token_of_the_standby_replaces_a_short_lived_one(pair: World, left: int, outcome: str) -> None:
    """With less than STANDBY_BELOW_SECONDS left the primary's token gives way to the standby's with more."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED)
    held = unsaved(pair, keeper)
    write(pair, token_of(pair, expires_at=now(pair) + left), CURRENT)
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    assert pair.invoke(keeper=keeper)["outcome"] == outcome
    assert (pair.token()["access_token"] == held) == (outcome == "recovered")


def test_unsaved_token_that_is_worse_does_not_replace_a_short_lived_one(pair: World) -> None:
    """A token that replaces another client's short-lived one must have more life left than that one."""
    keeper = pair.keeper()
    pair.vendor.script(REFUSED, Fault.edited({"expires_in": 6_000}))
    unsaved(pair, keeper)
    current = token_of(pair, expires_at=now(pair) + 7_000)
    write(pair, current, CURRENT)
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    assert pair.invoke(keeper=keeper)["outcome"] == "waiting"
    assert pair.token() == current


def test_unsaved_token_waits_while_everybody_backs_off(world: World) -> None:
    """Nobody claims before `retry_at`, not even for a token at hand; afterwards it is published."""
    keeper = world.keeper()
    held = unsaved(world, keeper)
    write_ledger(world, failures=3, retry_at=now(world) + 100)
    with traffic(world) as seen, pytest.raises(VendorError):
        world.invoke(keeper=keeper)
    assert seen.writes == []
    world.clock.advance(100)
    assert saw(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert world.token()["access_token"] == held


def test_unsaved_token_waits_for_another_runs_lock(world: World) -> None:
    """A lock under which this process did not acquire its token is another's."""
    keeper = world.keeper()
    unsaved(world, keeper)
    write_ledger(world, lock=lock(world, left=30))
    began = now(world)
    assert saw(world.invoke(keeper=keeper)) == ("recovered", "unsaved")
    assert now(world) - began >= 30


# Step 6: slots


def test_closed_slot_is_not_asked_and_says_when_it_opens(world: World) -> None:
    """Without a good token a closed slot is an error that names the moment; nothing is written or asked."""
    opens_at = now(world) + HOUR
    write_ledger(world, slots={BLUE: slot(opens_at, "rate_limited", 1)})
    with traffic(world) as seen, pytest.raises(RateLimited, match="2026-09-21T15:13:20Z"):
        world.invoke()
    assert (seen.writes, seen.vendor) == ([], [])
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "RateLimited": 1}
    world.clock.advance(HOUR)
    assert saw(world.invoke()) == ("refreshed", "missing")


@pytest.mark.parametrize(
    ("reason", "counted"),
    [("rate_limited", "RateLimited"), ("credentials_refused", "CredentialsRefused"), ("limit_interval", None)],
)
def test_closed_slot_is_waiting_while_the_token_is_good(world: World, reason: str, counted: str | None) -> None:
    """The run says what it waits for, and counts it, so that an alarm stays on."""
    fresh(world, INTERVAL)
    opens_at = now(world) + 30 * MINUTE
    write_ledger(world, slots={BLUE: slot(opens_at, reason, 1, credentials_version(world))})
    with traffic(world) as seen:
        result = world.invoke()
    assert (saw(result), result["not_before"], seen.vendor) == (("waiting", reason), opens_at, [])
    assert metrics(world) == {"TokenSecondsRemaining": DAY - INTERVAL, "Waiting": 1} | ({counted: 1} if counted else {})
    told = [(line["message"], line["not_before"]) for line in world.lines if "not_before" in line]
    assert told == ([(counted, opens_at)] if counted else [])


def test_refusal_that_is_over_before_the_interval_is_no_more_news(world: World) -> None:
    """What the run waits for is what keeps the slot closed for longest: here the token that consumers have."""
    fresh(world, 20 * HOUR + 2 * MINUTE)
    write_ledger(world, slots={BLUE: slot(now(world) + MINUTE, "rate_limited", 1)})
    assert saw(world.invoke()) == ("waiting", "limit_interval")
    assert "RateLimited" not in metrics(world)


def test_error_without_a_slot_says_when_the_token_that_is_out_lets_it_open(world: World) -> None:
    """A token that was revoked keeps its client's slot closed, and the error says until when."""
    token = fresh(world)
    write_ledger(world)
    with Recorder(401) as api, pytest.raises(RateLimited, match=utc(token["acquired_at"] + INTERVAL)):
        world.invoke(keeper=world.keeper(PROBE_URL=api.url))


def test_refused_credentials_are_not_shown_again_for_an_hour(world: World) -> None:
    """A wrong client secret is not tried at every tick: within the hour it is an error without a request."""
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke()
    world.clock.advance(HOUR - 1)
    with traffic(world) as seen, pytest.raises(CredentialsRefused):
        world.invoke()
    assert (seen.vendor, metrics(world)["CredentialsRefused"]) == ([], 1)
    world.clock.advance(1)
    assert saw(world.invoke()) == ("refreshed", "missing")


def test_corrected_credentials_are_tried_at_once(world: World) -> None:
    """Another version of the credentials secret opens the slot that its predecessor closed."""
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke()
    world.put_credentials(BLUE)
    assert saw(world.invoke()) == ("refreshed", "missing")


def test_corrected_credentials_do_not_open_a_rate_limited_slot(world: World) -> None:
    """A new version of the credentials secret says nothing about the vendor's limit."""
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "rate_limited", 1, credentials_version(world))})
    world.put_credentials(BLUE)
    with pytest.raises(RateLimited):
        world.invoke()
    assert world.vendor.requests == []


@pytest.mark.parametrize(("left", "saying"), [(9_000, ("waiting", "rate_limited")), (8_999, ("refreshed", "expiring"))])
def test_standby_steps_in_when_life_is_short(pair: World, left: int, saying: tuple[str, str]) -> None:
    """The standby is kept for when the primary has no slot and less than STANDBY_BELOW_SECONDS are left."""
    fresh(pair, DAY - left)
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    result = pair.invoke()
    assert saw(result) == saying
    stepped_in = saying[0] == "refreshed"
    assert result["client_id"] == (GREEN if stepped_in else BLUE)
    assert ("StandbyUsed" in metrics(pair)) == stepped_in
    assert [line["client_id"] for line in logged(pair, "StandbyUsed")] == [GREEN] * stepped_in


def test_standby_steps_in_where_there_is_no_good_token(pair: World) -> None:
    """Without a good token the standby does not wait for the primary's slot."""
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    result = pair.invoke()
    assert (saw(result), result["client_id"]) == (("refreshed", "missing"), GREEN)
    assert [request.client_id for request in pair.vendor.requests] == [GREEN]
    assert set(ledger(pair)["slots"]) == {BLUE, GREEN}


@pytest.mark.parametrize("refusal", [REFUSED, LIMITED])
def test_standby_steps_in_in_the_run_in_which_the_primary_is_refused(pair: World, refusal: Fault) -> None:
    """A refusal without a good token costs no further tick: the same run asks for the standby."""
    pair.vendor.script(refusal)
    with traffic(pair) as seen:
        result = pair.invoke()
    assert (saw(result), result["client_id"]) == (("refreshed", "missing"), GREEN)
    assert [request.client_id for request in seen.vendor] == [BLUE, GREEN]
    assert [claim["lock"] and claim["lock"]["client_id"] for claim in seen.claims] == [BLUE, None, GREEN]
    refused = "CredentialsRefused" if refusal is REFUSED else "RateLimited"
    assert metrics(pair) == {"TokenSecondsRemaining": DAY, "Refreshed": 1, "StandbyUsed": 1, refused: 1}
    assert slot_of(pair)["reason"] in {"credentials_refused", "rate_limited"}


def test_standby_does_not_step_in_after_a_refusal_while_life_is_long(pair: World) -> None:
    """A refused primary with hours of life left waits for its own slot."""
    fresh(pair, INTERVAL)
    pair.vendor.script(LIMITED)
    with traffic(pair) as seen:
        assert saw(pair.invoke()) == ("waiting", "rate_limited")
    assert [request.client_id for request in seen.vendor] == [BLUE]


@pytest.mark.parametrize("failure", [DOWN, Fault.cut(issues=False)])
def test_standby_does_not_step_in_after_another_failure(pair: World, failure: Fault) -> None:
    """A vendor that is down is down for both clients: the run ends with its error."""
    pair.vendor.script(failure)
    with traffic(pair) as seen, pytest.raises((VendorError, OutcomeUnknown)):
        pair.invoke()
    assert [request.client_id for request in seen.vendor] == [BLUE]


@pytest.mark.parametrize("refusals", [(REFUSED, LIMITED), (LIMITED, REFUSED)])
def test_no_client_is_asked_twice_in_a_run(pair: World, refusals: tuple[Fault, Fault]) -> None:
    """When both are refused the run ends, with the refusal that a person has to look at."""
    pair.vendor.script(*refusals)
    with traffic(pair) as seen, pytest.raises(CredentialsRefused):
        pair.invoke()
    assert [request.client_id for request in seen.vendor] == [BLUE, GREEN]


def test_no_client_is_asked_twice_in_a_run_although_its_credentials_change(world: World) -> None:
    """Credentials that are corrected while they are being refused are for the next run."""
    world.vendor.script(REFUSED)
    world.vendor.on_request = lambda moment: world.put_credentials(BLUE) if moment == "received" else None
    with traffic(world) as seen, pytest.raises(CredentialsRefused):
        world.invoke()
    assert len(seen.vendor) == 1
    assert saw(world.invoke()) == ("refreshed", "missing")


def test_standbys_token_is_replaced_when_the_primary_has_a_slot(pair: World) -> None:
    """A token of the standby stands in: it is due at every tick until the primary may ask again."""
    write_ledger(pair, slots={BLUE: slot(now(pair) + 2 * HOUR, "rate_limited")})
    pair.invoke()
    pair.clock.advance(HOUR)
    assert saw(pair.invoke()) == ("waiting", "rate_limited")
    pair.clock.advance(HOUR)
    result = pair.invoke()
    assert (saw(result), result["client_id"]) == (("refreshed", "client_changed"), BLUE)


def test_standby_keeps_to_its_own_slot(pair: World) -> None:
    """The standby is not asked either while its own interval runs."""
    at = now(pair)
    write_ledger(pair, slots={BLUE: slot(at + HOUR, "rate_limited"), GREEN: slot(at + HOUR, "rate_limited")})
    with traffic(pair) as seen, pytest.raises(RateLimited):
        pair.invoke()
    assert seen.vendor == []


@pytest.mark.parametrize("good", [True, False])
def test_nobody_claims_before_retry_at(pair: World, good: bool) -> None:
    """Backing off holds for every client and every claim; a good token makes it waiting instead of an error."""
    if good:
        fresh(pair, DAY - HOUR)
    retry_at = now(pair) + 10 * MINUTE
    write_ledger(pair, failures=3, retry_at=retry_at)
    with traffic(pair) as seen:
        if good:
            result = pair.invoke()
            assert (saw(result), result["not_before"]) == (("waiting", "backing_off"), retry_at)
        else:
            with pytest.raises(VendorError):
                pair.invoke()
    assert (seen.writes, seen.vendor) == ([], [])


def test_override_asks_the_primary_against_its_slot(world: World) -> None:
    """When the vendor says that it has reset the limit, an operator gets a new token at once."""
    fresh(world)
    world.vendor.reset_limit(BLUE)
    assert saw(world.invoke(OVERRIDE)) == ("refreshed", "forced")
    assert world.token()["access_token"] == world.vendor.issued[1].token


def test_override_does_not_wait_for_retry_at(world: World) -> None:
    """It ignores the back-off as well."""
    write_ledger(world, failures=3, retry_at=now(world) + 10 * MINUTE)
    assert saw(world.invoke(OVERRIDE)) == ("refreshed", "missing")


def test_override_that_is_refused_changes_nothing(world: World) -> None:
    """A refusal that was to be expected leaves slot, suspicions and failures as they were."""
    fresh(world)
    write_ledger(world, failures=1, slots={BLUE: slot(now(world) + 19 * HOUR, "limit_interval", 1)})
    before = ledger(world)
    with traffic(world) as seen:
        assert world.invoke(OVERRIDE)["outcome"] == "waiting"
    assert (len(seen.vendor), ledger(world)) == (1, before)


def test_override_that_is_refused_against_an_open_slot_counts(world: World) -> None:
    """Where the slot was open there was nothing to override: the refusal means what it always means."""
    world.vendor.script(LIMITED)
    with pytest.raises(RateLimited):
        world.invoke(OVERRIDE)
    assert slot_of(world) == slot(now(world) + 15 * MINUTE, "rate_limited", 1)


def test_override_is_for_one_acquire_with_the_primary(pair: World) -> None:
    """It opens neither a second request for the primary nor the standby's slot."""
    at = now(pair)
    write_ledger(pair, slots={one: slot(at + HOUR, "rate_limited") for one in (BLUE, GREEN)})
    pair.vendor.script(LIMITED, LIMITED)
    with traffic(pair) as seen, pytest.raises(RateLimited):
        pair.invoke(OVERRIDE)
    assert [request.client_id for request in seen.vendor] == [BLUE]


def test_override_waits_for_a_lock_all_the_same(world: World) -> None:
    """The slot rules can be overridden, another run's claim can't."""
    write_ledger(world, lock=lock(world))
    with pytest.raises(Busy):
        world.invoke(OVERRIDE, timeout=100)
    assert world.vendor.requests == []


def test_override_opens_no_slot_earlier(world: World) -> None:
    """An override whose credentials are refused leaves a slot that is closed for longer as it was."""
    fresh(world)
    closed = slot_of(world)["not_before"]
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke(OVERRIDE)
    assert slot_of(world)["not_before"] == closed


# Step 7: the claim


def overtaken(world: World, times: int) -> Callable[[], object]:
    """Return a function that moves the ledger's label, at its first so many calls."""
    left = iter(range(times))
    return lambda: next(left, None) is not None and write_ledger(world)


def test_run_that_loses_every_race_is_busy(world: World) -> None:
    """After five lost claims the run gives up; it never asks without a claim."""
    on(world, is_claim, overtaken(world, 100))
    with traffic(world) as seen, pytest.raises(Busy) as caught:
        world.invoke()
    assert caught.value.retryable
    assert len(seen.claims) == 5
    assert seen.vendor == []


def test_run_that_loses_four_races_may_win_the_fifth(world: World) -> None:
    """A lost claim is made again, from what is read then."""
    on(world, is_claim, overtaken(world, 4))
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("refreshed", "missing")
    assert (len(seen.claims), len(seen.vendor)) == (5, 1)
    assert len({claim["lock"]["run_id"] for claim in seen.claims}) == 1


def test_lost_race_is_decided_anew(world: World) -> None:
    """A run whose race was won by one that then published finds that token."""
    write(world, SEED, CURRENT)
    on(world, is_claim, once(lambda: write(world, token_of(world), CURRENT, LEDGER)))
    assert saw(world.invoke()) == ("kept", "fresh")
    assert world.vendor.requests == []


def test_slow_claim_is_released(world: World) -> None:
    """A claim that took more than half of the time to acquire is given back: no token may arrive too late to save."""
    on(world, is_claim, once(lambda: world.clock.advance(61)), moment="after")
    with traffic(world) as seen, pytest.raises(StoreError) as caught:
        world.invoke()
    assert str(caught.value) == "Secrets Manager took too long over the claim"
    assert (caught.value.code, caught.value.retryable) == ("SlowClaim", True)
    assert seen.vendor == []
    assert (ledger(world)["lock"], ledger(world)["failures"], ledger(world)["slots"]) == (None, 1, {})


def test_claim_counts_from_its_own_moment(world: World) -> None:
    """However long the reads took, the lock and the time to acquire begin when the claim is made."""
    write(world, SEED, CURRENT)
    reads_previous = once(lambda: world.clock.advance(70))
    on(
        world,
        lambda operation, params: operation == "GetSecretValue" and params["VersionStage"] == PREVIOUS,
        reads_previous,
    )
    began = now(world)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("refreshed", "missing")
    assert seen.claims[0]["lock"]["claimed_at"] == began + 70


def test_claim_that_took_half_of_the_time_goes_on(world: World) -> None:
    """Half of the time to acquire is still enough."""
    on(world, is_claim, once(lambda: world.clock.advance(60)), moment="after")
    assert saw(world.invoke()) == ("refreshed", "missing")


@pytest.mark.parametrize(
    ("timeout", "settings"), [(39, {}), (34, {"ACQUIRE_TIMEOUT_SECONDS": "5"}), (69, {"WRITE_RESERVE_SECONDS": "60"})]
)
def test_run_that_is_too_short_claims_nothing(world: World, timeout: int, settings: dict[str, str]) -> None:
    """A time that can't cover the reserve and a short acquire is a mistake in the configuration."""
    remedy = "raise the function's timeout, or lower ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS$"
    with traffic(world) as seen, pytest.raises(ConfigurationError, match=remedy) as caught:
        world.invoke(keeper=world.keeper(**settings), timeout=timeout)
    assert not caught.value.retryable
    assert (seen.claims, seen.vendor) == ([], [])


@pytest.mark.parametrize(
    ("timeout", "settings"), [(40, {}), (35, {"ACQUIRE_TIMEOUT_SECONDS": "5"}), (70, {"WRITE_RESERVE_SECONDS": "60"})]
)
def test_run_that_is_just_long_enough_refreshes(world: World, timeout: int, settings: dict[str, str]) -> None:
    """The reserve and ten seconds, or all of a shorter time to acquire, are enough."""
    assert saw(world.invoke(keeper=world.keeper(**settings), timeout=timeout)) == ("refreshed", "missing")


# Step 8: the acquire


@pytest.mark.parametrize(
    ("settings", "timeout", "claim_takes", "attempts_take"),
    [
        ({}, 420, 0, 7),
        ({"ACQUIRE_TIMEOUT_SECONDS": "6"}, 420, 0, 3),
        ({"ACQUIRE_TIMEOUT_SECONDS": "12"}, 420, 6, 3),
        ({}, 45, 10, 3),
    ],
)
def test_acquire_keeps_to_its_time(
    world: World, settings: dict[str, str], timeout: int, claim_takes: int, attempts_take: int
) -> None:
    """It ends ACQUIRE_TIMEOUT_SECONDS after the claim, and leaves the reserve of the run's own time alone."""
    world.vendor.stop()
    on(world, is_claim, once(lambda: world.clock.advance(claim_takes)), moment="after")
    began = now(world)
    with pytest.raises(VendorUnreachable):
        world.invoke(keeper=world.keeper(**settings), timeout=timeout)
    assert now(world) - began == claim_takes + attempts_take


def test_expiry_counts_from_the_moment_before_the_request(world: World) -> None:
    """A slow answer shortens the life that consumers see; the slot counts from when it had arrived."""
    world.vendor.on_request = lambda moment: world.clock.advance(20) if moment == "received" else None
    began = now(world)
    world.invoke()
    assert (world.token()["expires_at"], world.token()["acquired_at"]) == (began + DAY, began + 20)
    assert slot_of(world)["not_before"] == began + 20 + INTERVAL


# Step 9: the publication


def test_publication_is_repeated_under_the_same_id_and_bytes(world: World) -> None:
    """A write that failed may have succeeded: repeated like this it does no harm."""
    fail_publishes(world, times=3)
    began = now(world)
    with traffic(world) as seen:
        assert saw(world.invoke()) == ("refreshed", "missing")
    puts = [call.params for call in seen.publishes]
    assert len(puts) == 4
    assert len({(put["ClientRequestToken"], put["SecretString"]) for put in puts}) == 1
    pauses = [after.at - before.at for before, after in zip(seen.publishes, seen.publishes[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert now(world) - began < MINUTE


@pytest.mark.parametrize(("timeout", "longest"), [(420, 150), (60, 58)])
def test_write_never_outlives_its_lock_nor_the_run(world: World, timeout: int, longest: int) -> None:
    """The last attempt is made half a minute before the lock lapses, or two seconds before the run ends."""
    fail_publishes(world)
    began = now(world)
    with traffic(world) as seen, pytest.raises(StoreError):
        world.invoke(timeout=timeout)
    times = [call.at - began for call in seen.publishes]
    assert longest - 10 <= times[-1] <= longest
    assert len(times) < 30
    assert now(world) - began <= longest


def test_publication_has_the_reserve_after_a_long_acquire(world: World) -> None:
    """However long the vendor took, the reserve is left to save the token."""
    world.vendor.on_request = lambda moment: world.clock.advance(119) if moment == "received" else None
    fail_publishes(world, times=5)
    assert saw(world.invoke()) == ("refreshed", "missing")


def test_publication_that_comes_too_late_is_not_made(world: World) -> None:
    """A token that arrives when the lock is as good as lapsed stays in the process, and its next run saves it."""
    keeper = world.keeper()
    world.vendor.on_request = lambda moment: world.clock.advance(151) if moment == "received" else None
    with traffic(world) as seen, pytest.raises(StoreError):
        world.invoke(keeper=keeper)
    assert seen.publishes == []
    assert saw(world.invoke(keeper=keeper)) == ("recovered", "unsaved")


def test_publication_closes_the_slot_and_clears_failures(world: World) -> None:
    """A token ends every suspicion and every back-off."""
    write_ledger(world, failures=4, slots={BLUE: slot(0, None, 3)})
    world.invoke()
    assert ledger(world) == {
        "lock": None,
        "failures": 0,
        "retry_at": 0,
        "slots": {BLUE: slot(now(world) + INTERVAL, "limit_interval")},
    }


@pytest.mark.parametrize("fault", [LOST_ANSWER, CUT], ids=["lost", "cut"])
@pytest.mark.parametrize(
    ("operation", "number"),
    [
        ("BatchGetSecretValue", 1),
        ("PutSecretValue", 1),  # the seed
        ("PutSecretValue", 2),  # the claim
        ("UpdateSecretVersionStage", 1),  # its move
        ("PutSecretValue", 3),  # the publication
    ],
)
def test_lost_answer_of_aws_changes_nothing(world: World, operation: str, number: int, fault: AwsFault) -> None:
    """Whether a call was processed unheard or never arrived, one token is acquired and published."""
    world.secrets.fail(operation, *[None] * (number - 1), fault)
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert [request.issued for request in world.vendor.requests] == [True]
    assert len(world.secrets.versions(TOKEN_SECRET)) == 3
    assert labels(world)[CURRENT] == labels(world)[LEDGER]
    assert world.consume() == 200


def test_publication_whose_answers_are_all_lost_is_found_to_have_succeeded(world: World) -> None:
    """Also after boto3 has given up, the repeat finds the version that is there."""
    fail_publishes(world, times=3, fault=LOST_ANSWER)
    assert saw(world.invoke()) == ("refreshed", "missing")
    assert len(world.secrets.versions(TOKEN_SECRET)) == 3


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
def test_store_that_can_not_be_written_costs_no_slot(world: World, operation: str) -> None:
    """The claim proves that the store can be written before the vendor is asked."""
    fresh(world, INTERVAL)
    world.secrets.fail(operation, NOT_SAVED)
    with traffic(world) as seen, pytest.raises(StoreError):
        world.invoke()
    assert seen.vendor == []
    assert metrics(world) == {"TokenSecondsRemaining": DAY - INTERVAL, "Failed": 1}


def test_debug_logs_of_the_libraries_show_no_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """At the log level DEBUG, to which an operator may turn the function, no library logs what it sends or reads."""
    caplog.set_level(logging.DEBUG)
    assert world.invoke()["outcome"] == "refreshed"
    assert world.invoke()["outcome"] == "kept"
    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    assert not secrets_in(caplog.text, world)


def test_words_of_aws_are_not_repeated(world: World) -> None:
    """AWS may quote what was sent, and a token was: only the code of its error is told."""
    world.secrets.fail("PutSecretValue", AwsFault("ValidationException", message="canary in SecretString"))
    with pytest.raises(StoreError, match="ValidationException"):
        world.invoke()
    assert "canary" not in world.output


# Step 10: over time


@pytest.mark.parametrize("extend", [False, True])
@pytest.mark.parametrize("before", ["nothing", "lost", "used"])
def test_both_readings_of_the_limit_converge(clock: Clock, extend: bool, before: str) -> None:
    """Whether or not a refused request extends the interval, hourly ticks come back to a token within a day."""
    with world_of(clock, refusals_extend=extend) as world:
        if before != "nothing":
            world.vendor.script(Fault.cut(issues=True))
        if before == "used":  # somebody else has had the client's token, of which the ledger knows nothing
            with pytest.raises(OutcomeUnknown):
                world.invoke()
            write_ledger(world)
        outcomes = hours(world, 60)
    assert "refreshed" in outcomes[:24]
    assert set(outcomes[outcomes.index("refreshed") :]) <= {"refreshed", "kept", "waiting"}
    assert len(world.vendor.requests) <= 8


def hours(world: World, number: int) -> list[str]:
    """Tick every hour; return the outcomes, and the names of the errors."""
    seen = []
    for _ in range(number):
        try:
            seen.append(world.invoke()["outcome"])
        except RefreshError as error:
            seen.append(type(error).__name__)
        world.clock.advance(HOUR)
    return seen


def test_days_of_hourly_ticks_never_leaves_consumers_without_a_token(world: World) -> None:
    """With a vendor that keeps its rules every tick of the schedule finds or makes a good token."""
    for hour in range(4 * 24):
        assert world.invoke()["outcome"] in {"refreshed", "kept", "waiting"}, hour
        world.clock.advance(HOUR - 1)
        assert world.token()["expires_at"] > world.clock.now()
        world.clock.advance(1)
    assert {request.status for request in world.vendor.requests} == {200}


def test_claim_is_in_the_log_with_its_reason_and_its_client(world: World) -> None:
    """Who reads the log learns why a token is about to be asked for, and of which client; none for one at hand."""
    keeper = world.keeper()
    unsaved(world, keeper)
    [line] = logged(world, "Claimed")
    assert (line["reason"], line["client_id"]) == ("missing", BLUE)
    world.invoke(keeper=keeper)
    [line] = logged(world, "Claimed")
    assert (line["reason"], line.get("client_id")) == ("unsaved", None)


def test_result_counts_from_the_end_of_a_slow_run(world: World) -> None:
    """What is left of a token's life is less by the time that its acquire took."""
    world.vendor.on_request = lambda moment: world.clock.advance(MINUTE if moment == "received" else 0)
    result = world.invoke()
    assert result["seconds_remaining"] == DAY - MINUTE
    assert metrics(world)["TokenSecondsRemaining"] == DAY - MINUTE


def test_refusal_is_in_the_log_with_its_client(world: World) -> None:
    """Who reads the log learns which client was refused, and what the vendor said."""
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke()
    line = logged(world, "CredentialsRefused")[0]
    assert line["client_id"] == BLUE
    assert "HTTP 401, invalid_client" in line["error"]


def test_failed_release_lets_the_lock_lapse_and_count(world: World) -> None:
    """Where the ledger can't be written after a failure the error is still the vendor's, and the lock counts later."""
    world.vendor.script(DOWN, DOWN)
    world.vendor.on_request = lambda _: world.secrets.fail("PutSecretValue", NOT_SAVED)
    with pytest.raises(VendorError):
        world.invoke()
    assert ledger(world)["lock"]["client_id"] == BLUE
    [line] = logged(world, "ReleaseFailed")
    assert "EncryptionFailure" in line["error"]
    world.vendor.on_request = None
    world.clock.advance(180)
    with pytest.raises(VendorError):
        world.invoke()
    assert (ledger(world)["lock"], ledger(world)["failures"], slot_of(world)["suspicions"]) == (None, 2, 2)


def test_refusal_that_could_not_be_written_down_asks_nobody_else(pair: World) -> None:
    """The standby is asked only once the primary's refusal is in the ledger: else the next run would not know of it."""
    pair.vendor.script(REFUSED)
    pair.vendor.on_request = lambda _: pair.secrets.fail("PutSecretValue", NOT_SAVED)
    with pytest.raises(CredentialsRefused):
        pair.invoke()
    assert len(pair.vendor.requests) == 1


# Rotation


@pytest.mark.parametrize("standby", [True, False])
def test_rotation_has_no_gap_and_says_when_the_old_client_may_go(world: World, standby: bool) -> None:
    """The next run acquires with the new client; an hour later consumers have left the old one behind."""
    fresh(world)
    world.put_credentials(GREEN, BLUE if standby else None)
    assert (world.consume(), world.invoke(STATUS)["safe_to_deactivate"]) == (200, None)
    result = world.invoke()
    assert (saw(result), result["client_id"], world.consume()) == (("refreshed", "client_changed"), GREEN, 200)
    world.clock.advance(HOUR)
    assert world.invoke(STATUS)["safe_to_deactivate"] is None
    world.clock.advance(1)
    assert world.invoke(STATUS)["safe_to_deactivate"] == BLUE
    world.vendor.deactivate(BLUE)
    assert (world.consume(), saw(world.invoke())) == (200, ("kept", "fresh"))


def test_old_client_may_not_go_before_the_last_write_has_reached_every_cache(world: World) -> None:
    """Whatever was written to the token secret last, consumers may have read just before it."""
    fresh(world)
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
    fresh(world)
    world.put_credentials(GREEN)
    world.invoke()
    world.clock.advance(2 * HOUR)
    assert world.invoke(STATUS, world.keeper(CONSUMER_CACHE_SECONDS="7200"))["safe_to_deactivate"] is None
    assert world.invoke(STATUS, world.keeper(CONSUMER_CACHE_SECONDS="7199"))["safe_to_deactivate"] == BLUE


def test_no_client_may_go_where_none_was_left_behind(world: World) -> None:
    """After ordinary refreshes the previous token is the primary's, and it is never named."""
    fresh(world, 2 * HOUR)
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
