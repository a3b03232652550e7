"""Documents, events and answers that somebody else wrote: a typed error or a token, nothing lost."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import boto3
import pytest
from botocore.config import Config

from handler.errors import CredentialsError, EventError, RefreshError, StoreError
from handler.secrets_manager import SecretStore
from local.emulators.faults import Fault
from local.emulators.secrets_manager import REGION
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    EMPTY_LEDGER,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    LEDGER,
    MINUTE,
    SEED,
    STATUS,
    Json,
    acquire_token,
    has_good_token,
    now,
    run,
    slot,
    write,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import logged, record_traffic

HALF_A_PAIR = "\ud800"
SECRET_BYTES = 65_536
BOGUS_BYTES = 65_068
SECRET = "canary-of-the-test"
EVENTS: list[Json] = [{}, STATUS, DRY_RUN, FORCE]


def put_credentials(world: World, content: str | bytes) -> None:
    client = world.secrets.client()
    if isinstance(content, bytes):
        client.put_secret_value(SecretId=CREDENTIALS_SECRET, SecretBinary=content)
    else:
        client.put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString=content)


def credentials(world: World, **changes: object) -> str:
    """Return the text of a credentials secret with these members too."""
    return json.dumps({"client_id": BLUE, "client_secret": world.client_secrets[BLUE]} | changes)


def assert_lambda_can_send(result: object) -> None:
    """Lambda's runtime encodes a result without escapes, and half a surrogate pair ends it."""
    assert json.dumps(result, ensure_ascii=False).encode()


# The credentials secret

PAIR = {"client_id": BLUE, "client_secret": SECRET}
STANDBY_PAIR = {"client_id": GREEN, "client_secret": SECRET}


def pair(**changes: object) -> str:
    """Return the text of a credentials secret with these members too."""
    return json.dumps(PAIR | changes)


FAULTY: dict[str, tuple[str | bytes, list[str]]] = {
    "binary": (b"\x00\xff", ["is binary"]),
    "binary, but JSON": (json.dumps(PAIR).encode(), ["is binary"]),
    "a byte order mark": ("\ufeff" + json.dumps(PAIR), ["byte order mark"]),
    "space after the secret": (pair(client_secret=SECRET + " "), ["client_secret", "white space"]),
    "space before the secret": (pair(client_secret=" " + SECRET), ["client_secret", "white space"]),
    "line break after the secret": (
        pair(client_secret=SECRET + "\n"),
        ["client_secret", "white space"],
    ),
    "tab before the secret": (pair(client_secret="\t" + SECRET), ["client_secret", "white space"]),
    "hard space after the secret": (
        pair(client_secret=SECRET + "\u00a0"),
        ["client_secret", "white space"],
    ),
    "space after the id": (pair(client_id=BLUE + " "), ["client_id", "white space"]),
    "space before the id": (pair(client_id=" " + BLUE), ["client_id", "white space"]),
    "space after the standby's secret": (
        pair(standby=STANDBY_PAIR | {"client_secret": SECRET + " "}),
        ["standby.client_secret", "white space"],
    ),
    "space after the standby's id": (
        pair(standby=STANDBY_PAIR | {"client_id": GREEN + " "}),
        ["standby.client_id", "white space"],
    ),
    "a list": (json.dumps([PAIR]), ["object"]),
    "a text": (json.dumps(json.dumps(PAIR)), ["object"]),
    "a number": ("5", ["object"]),
    "null": ("null", ["object"]),
    "half a surrogate pair": (pair(client_secret=SECRET + HALF_A_PAIR), ["client_secret"]),
}


@pytest.mark.parametrize(("content", "words"), FAULTY.values(), ids=FAULTY)
def test_fault_of_the_credentials_secret_is_named(world: World, content: str | bytes, words: list[str]) -> None:
    """A person sees at once what is wrong, and not the value; the vendor is not asked."""
    put_credentials(world, content)
    with record_traffic(world) as traffic, pytest.raises(CredentialsError) as caught:
        world.invoke()
    for word in words:
        assert word in str(caught.value)
    assert not caught.value.retryable
    assert traffic.vendor == []
    assert SECRET not in world.output


def test_space_inside_of_a_secret_is_part_of_it(world: World) -> None:
    """Only white space at an end comes from a paste."""
    client = {"client_id": "client-of-the-test", "client_secret": "a secret with spaces"}
    world.vendor.deactivate(GREEN)
    world.vendor.add_client(client["client_id"], client["client_secret"])
    put_credentials(world, json.dumps(client))
    assert world.invoke()["outcome"] == "refreshed"


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_unknown_key_of_the_credentials_secret_is_a_warning(world: World, event: Json) -> None:
    """A mistyped `Standby` would otherwise stay unnoticed until it is needed."""
    text = credentials(world, Standby={"client_id": SECRET}, owner=SECRET, standby=None)
    put_credentials(world, text)
    warnings = world.invoke(event)["warnings"]
    assert len(warnings) == 2
    for key in ("Standby", "owner"):
        assert sum(key in warning for warning in warnings) == 1
    assert SECRET not in world.output


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_credentials_secret_without_unknown_keys_gives_no_warning(standby_world: World, event: Json) -> None:
    """The key is always there, so that a monitor need not ask for it."""
    assert standby_world.invoke(event)["warnings"] == []


def test_warning_lasts_while_the_token_is_fresh(world: World) -> None:
    """It is in the result of every run, long before the standby is needed."""
    put_credentials(world, credentials(world, Standby={}))
    acquire_token(world)
    result = world.invoke()
    assert result["outcome"] == "kept"
    [warning] = result["warnings"]
    assert "Standby" in warning


@pytest.mark.parametrize(
    "key",
    [HALF_A_PAIR, "a\nb", "", "x" * 50_000, "\u202e", "\x00"],
    ids=lambda key: ascii(key)[:12],
)
def test_warning_of_any_key_can_be_sent_and_read(world: World, key: str) -> None:
    """A strange key neither ends Lambda's runtime nor fills the log."""
    put_credentials(world, credentials(world, **{key: SECRET}))
    for event in ({}, STATUS):
        result = world.invoke(event)
        assert_lambda_can_send(result)
        [warning] = result["warnings"]
        assert warning.isprintable()
        assert len(warning) < 1_000
    assert SECRET not in world.output


# Events


BAD_REASONS: dict[str, str] = {
    "half a surrogate pair": HALF_A_PAIR,
    "a line break": "a\nb",
    "an escape": "\x1b[31m",
    "201 characters": "x" * 201,
    "five megabytes": "x" * 5_000_000,
}


@pytest.mark.parametrize("reason", BAD_REASONS.values(), ids=BAD_REASONS)
def test_reason_that_would_spoil_the_log_is_refused(world: World, reason: str) -> None:
    """Nothing is read, and what is told of it is short."""
    with record_traffic(world) as traffic, pytest.raises(EventError, match="reason") as caught:
        world.invoke({"reason": reason})
    assert not caught.value.retryable
    assert traffic.operations == []
    assert len(str(caught.value)) < 1_000
    assert len(json.dumps(world.lines)) < 20_000


@pytest.mark.parametrize("reason", ["x" * 200, "Grüße, 東京 🙂", ""])
def test_reason_that_people_write_is_in_the_log(world: World, reason: str) -> None:
    """Up to 200 characters of any language."""
    world.invoke({"reason": reason})
    [line] = logged(world, "refreshed")
    assert line["asked"]["reason"] == reason


@pytest.mark.parametrize(
    "event",
    [
        {"x" * 5_000_000: 1},
        {HALF_A_PAIR: 1},
        {"action": "x" * 5_000_000},
        {"action": HALF_A_PAIR},
        {"force": "x" * 5_000_000},
    ],
    ids=["a long key", "half a pair in a key", "a long action", "half a pair in the action", "a long force"],
)
def test_event_that_is_refused_does_not_fill_the_log(world: World, event: Json) -> None:
    """A refusal quotes what was sent only as far as a person reads it, and is always in the log."""
    with pytest.raises(EventError) as caught:
        world.invoke(event)
    assert len(str(caught.value)) < 1_000
    assert_lambda_can_send(str(caught.value))
    assert len(world.lines) == 2  # the error, and the metrics
    assert len(json.dumps(world.lines)) < 20_000


# Half a surrogate pair


def lapsing_lock(world: World, **changes: object) -> Json:
    times = {"claimed_at": now(world), "until": now(world) + 2 * MINUTE}
    return {"run_id": "another-run", "principal": BLUE} | times | changes


HALF_PAIRS: dict[str, Callable[[World], Json]] = {
    "key": lambda world: {"slots": {HALF_A_PAIR: slot(now(world) + HOUR, "rate_limited")}},
    "key next to the primary's": lambda world: {
        "slots": {
            BLUE: slot(now(world) + HOUR, "rate_limited"),
            BLUE + HALF_A_PAIR: slot(now(world) + HOUR, "rate_limited"),
        }
    },
    "reason": lambda world: {"slots": {BLUE: slot(now(world) + 19 * HOUR, HALF_A_PAIR)}},
    "error": lambda world: {"slots": {BLUE: slot(now(world) + HOUR, "backing_off", error=HALF_A_PAIR)}},
    "asked_with": lambda world: {"slots": {BLUE: slot(now(world) + HOUR, "rate_limited", asked_with=HALF_A_PAIR)}},
    "run_id": lambda world: {"lock": lapsing_lock(world, run_id=HALF_A_PAIR)},
    "principal": lambda world: {"lock": lapsing_lock(world, principal=HALF_A_PAIR)},
    "another key": lambda _: {HALF_A_PAIR: HALF_A_PAIR},
}


def hourly_results(world: World, *, hours: int) -> list[str]:
    """Run and ask every hour. Each result must be one that Lambda can send."""
    outcomes = []
    began = now(world)
    for hour in range(hours):
        world.clock.advance(max(0, began + hour * HOUR - now(world)))
        for event in (STATUS, DRY_RUN):
            assert_lambda_can_send(world.invoke(event))
        try:
            result = world.invoke()
        except RefreshError as error:
            outcomes.append(type(error).__name__)
            assert_lambda_can_send(str(error))
        else:
            outcomes.append(result["outcome"])
            assert_lambda_can_send(result)
    return outcomes


@pytest.mark.parametrize("changes_of", HALF_PAIRS.values(), ids=HALF_PAIRS)
def test_half_a_surrogate_pair_in_the_ledger_ends_no_run(world: World, changes_of: Callable[[World], Json]) -> None:
    """Every tick and every question gives a result, and a token comes within three hours."""
    write(world, SEED, CURRENT)
    write(world, {"schema": 1, "ledger": EMPTY_LEDGER | changes_of(world)}, LEDGER)
    assert "refreshed" in hourly_results(world, hours=3)
    assert has_good_token(world)


KEYS_OF_A_TOKEN = [
    "token_type",
    "scope",
    "audience",
    "requested_scope",
    "token_url",
    "expires_at_utc",
    "username",
    "extra",
    "schema",
    "other",
]


@pytest.mark.parametrize("key", KEYS_OF_A_TOKEN)
@pytest.mark.parametrize("label", [CURRENT, LEDGER])
def test_half_a_surrogate_pair_in_a_token_document_ends_no_run(world: World, label: str, key: str) -> None:
    """In whatever key it is, each result can be sent, and no further token is asked for."""
    token = acquire_token(world)
    value: object = HALF_A_PAIR
    if key == "extra":
        value = {HALF_A_PAIR: HALF_A_PAIR}
    write(world, token | {key: value}, label)
    outcomes = hourly_results(world, hours=2)
    assert set(outcomes) <= {"kept", "recovered"}
    assert has_good_token(world)
    assert len(world.vendor.issued) == 1


# A ledger that leaves no room for a token


def believed(world: World, **changes: Any) -> Json:
    return slot(now(world) + 19 * HOUR, "rate_limited", **changes)


# Each takes the length of a filler.
TOO_LONG: dict[str, Callable[[World, int], Json]] = {
    "one long key": lambda world, length: {"slots": {"x" * length: believed(world)}},
    "four long keys": lambda world, length: {
        "slots": {
            "a" * (1 + length // 4): believed(world),
            "b" * (1 + length // 4): believed(world),
            "c" * (1 + length // 4): believed(world),
            "d" * (1 + length - 3 * (length // 4)): believed(world),
        }
    },
    "many slots and a long key": lambda world, length: {
        "slots": {
            **{f"former-{number:04}": believed(world) for number in range(200)},
            "x" * length: believed(world),
        }
    },
    "a long error": lambda _, length: {"slots": {BLUE: slot(error="x" * length)}},
    "a long error of a former principal": lambda world, length: {
        "slots": {"former": believed(world, error="x" * length)}
    },
    "a long asked_with": lambda _, length: {"slots": {BLUE: slot(asked_with="x" * length)}},
    "a long asked_with of a former principal": lambda world, length: {
        "slots": {"former": believed(world, asked_with="x" * length)}
    },
    "a long run_id": lambda world, length: {"lock": lapsing_lock(world, run_id="x" * length)},
    "a long principal of a lock": lambda world, length: {"lock": lapsing_lock(world, principal="x" * length)},
    "a long principal of a lapsed lock": lambda world, length: {
        "lock": lapsing_lock(world, principal="x" * length, until=now(world))
    },
    "huge numbers": lambda world, length: {
        "slots": {
            BLUE: slot(suspicions=10**3_900, failures=10**3_900),
            "x" * length: believed(world, suspicions=10**3_900),
        }
    },
    "another long key": lambda _, length: {"more": "x" * length},
}


def long_ledger(changes_of: Callable[[int], Json], size: int) -> Json:
    """Return a ledger whose changes take so many bytes."""
    length = size - len(json.dumps(changes_of(0)))
    changes = changes_of(length)
    return EMPTY_LEDGER | changes


def large_token(size: int) -> Fault:
    """Return the answer with a token of this size."""
    body = {"access_token": "x" * size, "token_type": "Bearer", "expires_in": DAY}
    return Fault.answer(200, body)


@pytest.mark.parametrize("changes_of", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize(
    ("ledger_bytes", "token_bytes"),
    [(BOGUS_BYTES, 0), (64_600, 900), (40_000, 32_000)],
    ids=["no room for a usual token", "no room for a longer one", "no room for a long one"],
)
def test_long_ledger_loses_no_token(
    world: World, changes_of: Callable[[World, int], Json], ledger_bytes: int, token_bytes: int
) -> None:
    """The publish has room: the first token that is issued is the one that consumers get."""
    write(world, SEED, CURRENT)
    ledger = long_ledger(partial(changes_of, world), ledger_bytes)
    text = json.dumps({"ledger": ledger})
    assert len(text) <= SECRET_BYTES
    write(world, text, LEDGER)
    if token_bytes:
        world.vendor.outage = large_token(token_bytes)
    outcomes = hourly_results(world, hours=3)
    assert "refreshed" in outcomes
    assert has_good_token(world)
    assert "StoreError" not in outcomes
    assert len(world.vendor.requests) == 1


def test_long_ledger_is_carried_by_no_claim_of_a_recovery(world: World) -> None:
    """A displaced token comes back, and the slot that it has spent is noted."""
    token = acquire_token(world)
    room = SECRET_BYTES - 200 - len(json.dumps(token))
    ledger = long_ledger(partial(TOO_LONG["four long keys"], world), room)
    write(world, token | {"ledger": ledger}, LEDGER)
    write(world, "oops", CURRENT)
    assert run(world) == "recovered"
    assert world.token()["access_token"] == token["access_token"]


def test_good_token_stays_next_to_a_long_ledger(world: World) -> None:
    """The refresh in its window goes through at its first try."""
    token = acquire_token(world, INTERVAL)
    ledger = long_ledger(partial(TOO_LONG["four long keys"], world), 65_000)
    write(world, {"ledger": ledger}, LEDGER)
    assert run(world) == "refreshed"
    assert world.token()["acquired_at"] > token["acquired_at"]


# Answers of AWS


NAME = CREDENTIALS_SECRET
OTHER_NAME = TOKEN_SECRET
VERSION = str(uuid.uuid4())
VERSIONS = {NAME: VERSION, OTHER_NAME: str(uuid.uuid4())}


@cache
def aws_session() -> Any:
    """Return one session for all tests, since AWS's service models take long to read."""
    return boto3.Session("local", "local", region_name=REGION)


def store_at(aws: Recorder) -> SecretStore:
    """Return the handler's store with a real client, whose server is the recorder instead of AWS."""
    once = Config(retries={"total_max_attempts": 1})
    client = aws_session().client("secretsmanager", endpoint_url=aws.url, config=once)
    return SecretStore(client, NAME, OTHER_NAME)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxy must not count."""
    monkeypatch.setenv("NO_PROXY", "*")


def entry(name: str, **changes: object) -> Json:
    return {
        "Name": name,
        "ARN": f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf",
        "VersionId": VERSIONS[name],
        "SecretString": "{}",
        "VersionStages": [CURRENT],
    } | changes


def batch(wrong_name: str = NAME, **changes: object) -> Json:
    """Return an answer with both secrets, one of them with these changes."""
    values = {NAME: entry(NAME), OTHER_NAME: entry(OTHER_NAME)}
    values[wrong_name] |= changes
    return {"SecretValues": [*values.values()], "Errors": []}


def error_in_batch(**error: object) -> Json:
    return {"SecretValues": [], "Errors": [error]}


WRONG: list[object] = [5, True, {"a": 1}, [1]]
WRONG_LISTS: list[object] = [5, "x", True, [5], [[]], ["x"]]
NOT_OBJECTS: list[object] = [5, "x", [], [1]]
WRONG_STAGES: list[object] = [5, True, [5], [None]]
WRONG_VALUES: list[Json] = [
    *[{"SecretString": value} for value in WRONG],
    *[{"VersionId": value} for value in [*WRONG, None]],
    *[{"ARN": value, "Name": None} for value in WRONG],
    *[{"ARN": None, "Name": value} for value in WRONG],
    *[{"VersionStages": value} for value in WRONG_STAGES],
    {"SecretBinary": 5, "SecretString": None},
]


@pytest.mark.parametrize("name", [NAME, OTHER_NAME])
@pytest.mark.parametrize("changes", WRONG_VALUES, ids=str)
def test_secret_of_a_wrong_shape_in_a_batch_is_a_store_error(world: World, changes: Json, name: str) -> None:
    """Something between us and AWS answers 200 with a body of its own: the error is ours."""
    assert_run_is_a_store_error(world, batch(name, **changes))


WRONG_BATCHES: list[object] = [
    *[{"SecretValues": value, "Errors": []} for value in WRONG_LISTS],
    *[{"SecretValues": [], "Errors": value} for value in [*WRONG_LISTS, [{}]]],
    *[error_in_batch(SecretId=value, ErrorCode="Strange") for value in WRONG],
    *[error_in_batch(SecretId=NAME, ErrorCode=value) for value in WRONG],
    error_in_batch(SecretId=NAME),
]


@pytest.mark.parametrize("answer", WRONG_BATCHES, ids=str)
def test_batch_of_a_wrong_shape_is_a_store_error(world: World, answer: object) -> None:
    """So is one whose lists are of a wrong shape."""
    assert_run_is_a_store_error(world, answer)


def assert_run_is_a_store_error(world: World, answer: object) -> None:
    with Recorder(body=answer) as aws:
        process = world.process(AWS_ENDPOINT_URL_SECRETS_MANAGER=aws.url)
        with pytest.raises(StoreError) as caught:
            world.invoke(process=process)
    assert caught.value.retryable
    assert world.vendor.requests == []


ONE_SECRET = entry(OTHER_NAME)
DESCRIBED = {"Name": OTHER_NAME, "LastChangedDate": 1_790_000_000.0, "CreatedDate": 1.0}


def get_version(store: SecretStore) -> object:
    return store.get_version(CURRENT)


def describe(store: SecretStore) -> object:
    return store.describe()


def put_version(store: SecretStore) -> object:
    store.put_version(VERSION, "{}", stages=[CURRENT])
    return None


def compare_and_set(store: SecretStore) -> object:
    return store.compare_and_set_ledger(
        "{}",
        version_id=VERSION,
        expected_version_id="",
        is_ours=lambda version: version.version_id == VERSION,
    )


WRONG_ANSWERS: dict[str, tuple[Callable[[SecretStore], object], object]] = {
    **{f"get, SecretString: {value}": (get_version, ONE_SECRET | {"SecretString": value}) for value in WRONG},
    **{f"get, VersionId: {value}": (get_version, ONE_SECRET | {"VersionId": value}) for value in WRONG},
    **{f"get, VersionStages: {value}": (get_version, ONE_SECRET | {"VersionStages": value}) for value in WRONG_STAGES},
    **{f"get, {value}": (get_version, value) for value in NOT_OBJECTS},
    **{
        f"describe, LastChangedDate: {value}": (describe, DESCRIBED | {"LastChangedDate": value})
        for value in ("yesterday", [1], {"a": 1}, 1e300)
    },
    "describe, no dates": (describe, {"Name": OTHER_NAME}),
    **{
        f"describe, ReplicationStatus: {value}": (describe, DESCRIBED | {"ReplicationStatus": value})
        for value in WRONG_LISTS
    },
    **{f"put, VersionId: {value}": (put_version, {"VersionId": value}) for value in WRONG},
    **{f"put, {value}": (put_version, value) for value in [*NOT_OBJECTS, {}]},
    **{f"claim, VersionId: {value}": (compare_and_set, {"VersionId": value}) for value in WRONG},
    **{f"claim, {value}": (compare_and_set, value) for value in [*NOT_OBJECTS, {}]},
}


@pytest.mark.parametrize(("call", "answer"), WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_answer_of_a_wrong_shape_is_a_store_error(call: Callable[[SecretStore], object], answer: object) -> None:
    """Whichever call it answers, the error is ours, and the same run can succeed later."""
    with Recorder(body=answer) as aws, pytest.raises(StoreError) as caught:
        call(store_at(aws))
    assert caught.value.retryable


CALLS = [get_version, describe, put_version, compare_and_set, SecretStore.read_both]
WRONG_ERRORS: list[object] = [
    {},
    [],
    5,
    "text",
    {"__type": 5},
    {"__type": None, "Message": 5},
    {"__type": ["ResourceNotFoundException"]},
    {"code": {"a": 1}, "message": ["x"]},
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("answer", WRONG_ERRORS, ids=str)
def test_error_of_a_wrong_shape_is_a_store_error(call: Callable[[SecretStore], object], answer: object) -> None:
    """An error of AWS names its code; one of something else may not."""
    with Recorder(400, answer) as aws, pytest.raises(StoreError):
        call(store_at(aws))


def test_answers_of_the_right_shape_are_read() -> None:
    """The answers that the tests above change are good before that."""
    with Recorder(body=batch()) as aws:
        assert [version.version_id for version in store_at(aws).read_both().or_raise()] == [*VERSIONS.values()]
    with Recorder(body=ONE_SECRET) as aws:
        assert store_at(aws).get_version(CURRENT).text == "{}"
    with Recorder(body=DESCRIBED) as aws:
        assert store_at(aws).describe().changed_at == 1_790_000_000
    with Recorder(body={"VersionId": VERSION}) as aws:
        store_at(aws).put_version(VERSION, "{}", stages=[CURRENT])


def test_secret_that_was_never_changed_is_as_old_as_it_is() -> None:
    """AWS need not send a date of the last change then."""
    with Recorder(body={"Name": OTHER_NAME, "CreatedDate": 1_790_000_000.0}) as aws:
        assert store_at(aws).describe().changed_at == 1_790_000_000


@pytest.mark.parametrize(
    ("statuses", "is_in_sync"),
    [([], True), (["InSync", "InSync"], True), (["InSync", "InProgress"], False), (["Failed"], False)],
    ids=["no replica", "all are in sync", "one is behind", "failed"],
)
def test_secret_is_in_sync_if_each_replica_is(statuses: list[str], *, is_in_sync: bool) -> None:
    """A consumer in another region may read an older token until then."""
    replicas = [{"Region": "eu-west-1", "Status": status} for status in statuses]
    with Recorder(body=DESCRIBED | {"ReplicationStatus": replicas}) as aws:
        assert store_at(aws).describe().is_in_sync is is_in_sync
