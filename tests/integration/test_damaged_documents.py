"""A damaged ledger, document or answer of AWS never ends in a foreign error, nor in a lock-out without an end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handler.errors import RefreshError
from local.emulators.world import TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    EMPTY_LEDGER,
    GREEN,
    HOUR,
    LEDGER,
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

FAR = 4_102_444_800  # in the year 2100
HUGE = 10**30
LOCK = {"run_id": "another-run", "principal": BLUE, "claimed_at": 0, "until": FAR}


def closed(not_before: int, reason: object = "rate_limited", **changes: Any) -> Json:
    return slot(not_before, **changes) | {"reason": reason}


def with_slots(*slots: Json) -> Json:
    """Return a ledger whose first slots, of the primary and the standby, are these."""
    return EMPTY_LEDGER | {"slots": dict(zip((BLUE, GREEN), slots, strict=False))}


LEDGERS: dict[str, object] = {
    "null": None,
    "text": "ledger",
    "list": [EMPTY_LEDGER],
    "empty": {},
    "lock is a list": EMPTY_LEDGER | {"lock": []},
    "lock without keys": EMPTY_LEDGER | {"lock": {}},
    "lock until 2100": EMPTY_LEDGER | {"lock": LOCK},
    "lock until a huge number": EMPTY_LEDGER | {"lock": LOCK | {"until": HUGE}},
    "lock claimed at a huge number": EMPTY_LEDGER | {"lock": LOCK | {"claimed_at": HUGE, "until": 1}},
    "lock of half a surrogate pair": EMPTY_LEDGER | {"lock": LOCK | {"run_id": "\ud800", "until": 1}},
    "lock of a principal with a line break": EMPTY_LEDGER | {"lock": LOCK | {"principal": "a\nb", "until": 1}},
    "slots is a list": EMPTY_LEDGER | {"slots": [1]},
    "slots are numbers": EMPTY_LEDGER | {"slots": {BLUE: 5}},
    "slot until 2100": with_slots(closed(FAR), closed(FAR)),
    "slot until a huge number": with_slots(closed(HUGE), closed(HUGE)),
    "slot with an unknown reason": with_slots(closed(FAR, "because"), closed(FAR, "because")),
    "slot with a negative time": with_slots(closed(-5)),
    "slot with a float": with_slots(slot() | {"not_before": 1.5}),
    "huge counts": with_slots(slot(suspicions=HUGE, failures=HUGE, asked_at=HUGE)),
    "half a surrogate pair in a slot": with_slots(slot(asked_with="\ud800", error="\ud800")),
    "an error that is not one": with_slots(slot(failures=3, error="KeyboardInterrupt")),
    "key that is not printable": EMPTY_LEDGER | {"slots": {"\ud800": closed(5)}},
    "thousands of slots": EMPTY_LEDGER | {"slots": {f"former-{number}": closed(FAR) for number in range(300)}},
    "pace is a number": EMPTY_LEDGER | {"pace": 5},
    "pace of 2100": EMPTY_LEDGER | {"pace": {"level": -2, "at": FAR}},
    "pace of a huge number": EMPTY_LEDGER | {"pace": {"level": -2, "at": HUGE}},
    "pace at the lowest level": EMPTY_LEDGER | {"pace": {"level": -2, "at": 1_790_000_000}},
    "pace far below": EMPTY_LEDGER | {"pace": {"level": -HUGE, "at": 0}},
    "pace that is not a number": EMPTY_LEDGER | {"pace": {"level": float("nan"), "at": 0}},
}


@pytest.mark.parametrize("damaged", LEDGERS.values(), ids=LEDGERS)
def test_damaged_ledger_keeps_no_token_out(world: World, damaged: object) -> None:
    """Hourly runs have a good token within the bounds of the design, two hours at most for these."""
    write(world, SEED, CURRENT)
    write(world, {"schema": 1, "ledger": damaged}, LEDGER)
    outcomes = hourly_runs(world, hours=3)
    assert "refreshed" in outcomes
    assert has_good_token(world)
    assert len(world.vendor.issued) == 1


@pytest.mark.parametrize("damaged", LEDGERS.values(), ids=LEDGERS)
def test_damaged_ledger_loses_no_good_token(world: World, damaged: object) -> None:
    """The token is the current one, and is refreshed in its window."""
    acquire_token(world, 20.5 * HOUR)
    write(world, {"schema": 1, "ledger": damaged}, LEDGER)
    for outcome in hourly_runs(world, hours=4):
        assert outcome in {"kept", "refreshed", "waiting", "Busy"}
        assert has_good_token(world)
    assert len(world.vendor.issued) == 2


def test_questions_answer_with_a_damaged_ledger(world: World) -> None:
    """The answer can be written as JSON in UTF-8, which is what Lambda does with it."""
    write(world, SEED, CURRENT)
    for damaged in LEDGERS.values():
        write(world, {"schema": 1, "ledger": damaged}, LEDGER)
        for event in (DRY_RUN, STATUS):
            assert json.dumps(world.invoke(event), ensure_ascii=False).encode()


DOCUMENTS: dict[str, Json] = {
    "huge times": {"expires_at": HUGE, "acquired_at": HUGE},
    "negative times": {"expires_at": -1, "acquired_at": -1},
    "floats": {"expires_at": 1.5e300},
    "half a surrogate pair": {"access_token": "\ud800"},
    "client id that is not printable": {"client_id": "\ud800"},
    "token is an object": {"access_token": {"a": 1}},
    "token is empty": {"access_token": ""},
    "no requested scope": {"requested_scope": None},
    "a ledger of a wrong type": {"ledger": 5},
}


@pytest.mark.parametrize("label", [CURRENT, LEDGER])
@pytest.mark.parametrize("changes", DOCUMENTS.values(), ids=DOCUMENTS)
def test_damaged_document_loses_no_good_token(world: World, label: str, changes: Json) -> None:
    """Whether it is current or under the ledger's label, the good token stays or comes back, without a request."""
    token = acquire_token(world)
    write(world, token | changes, label)
    for _ in range(2):
        assert run(world) in {"kept", "recovered"}
    assert world.token()["access_token"] == token["access_token"]
    assert len(world.vendor.requests) == 1
    assert world.consume() == 200


def test_version_of_bytes_loses_no_good_token(world: World) -> None:
    """Somebody writes bytes over the token, twice."""
    token = acquire_token(world)
    for value in (b"\xff", b"\x00"):
        world.secrets.client().put_secret_value(SecretId=TOKEN_SECRET, SecretBinary=value)
    assert run(world) == "recovered"
    assert world.token()["access_token"] == token["access_token"]


AWS_ANSWERS: dict[str, object] = {
    "empty": {},
    "a list": [],
    "a text": "text",
    "null values": {"SecretValues": None, "Errors": None},
    "values of another type": {"SecretValues": [5], "Errors": []},
    "errors of another type": {"SecretValues": [], "Errors": [5]},
    "errors of another kind": {"SecretValues": [], "Errors": [{"SecretId": "elsewhere", "ErrorCode": "Strange"}]},
    "stages of another type": {"SecretValues": [{"Name": "tango/credentials", "VersionStages": 5}]},
    "no names": {"SecretValues": [{"SecretString": "{}"}, {"SecretString": "{}"}]},
}


@pytest.mark.parametrize("answer", AWS_ANSWERS.values(), ids=AWS_ANSWERS)
def test_damaged_answer_of_aws_is_an_error_of_ours(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    """Something between us and AWS answers 200 with a body of its own."""
    monkeypatch.setenv("NO_PROXY", "*")
    with Recorder(body=answer) as aws:
        process = world.process(AWS_ENDPOINT_URL_SECRETS_MANAGER=aws.url)
        with pytest.raises(RefreshError):
            world.invoke(process=process)
    assert world.vendor.requests == []


@pytest.mark.parametrize("error", [{}, {"SecretId": "tango/credentials"}, {"ErrorCode": "Strange"}])
def test_error_of_a_batch_that_lacks_a_key_is_an_error_of_ours(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Json
) -> None:
    """AWS names the secret and the code of each error; something else may not."""
    monkeypatch.setenv("NO_PROXY", "*")
    with Recorder(body={"SecretValues": [], "Errors": [error]}) as aws:
        process = world.process(AWS_ENDPOINT_URL_SECRETS_MANAGER=aws.url)
        with pytest.raises(RefreshError):
            world.invoke(process=process)


def hourly_runs(world: World, *, hours: int) -> list[str]:
    """Run every hour, and once more for a run that is busy. Any error that is not ours ends the test."""
    outcomes = []
    began = now(world)
    for hour in range(hours):
        world.clock.advance(max(0, began + hour * HOUR - now(world)))
        outcomes.append(run(world))
    assert now(world) - began < DAY
    return outcomes
