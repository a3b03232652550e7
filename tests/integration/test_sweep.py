"""The sweep of many connections: survey, hand over, tell. Each store has a service account of one client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handler import __version__, app
from handler.errors import Busy, ConfigurationError, CredentialsError, EventError, StoreError
from handler.reader import state_of
from local.emulators.aws_rates import AwsRates
from local.emulators.clock import Clock
from local.emulators.lambda_runtime import Context
from local.emulators.secrets_manager import CUT, AwsFault
from local.emulators.world import World, environment
from tests.conftest import secrets_in
from tests.integration.helpers import Json
from tests.integration.recorder import Recorder
from tests.integration.traffic import (
    do_at_calls,
    do_at_vendor,
    is_publish,
    leave_token_unsaved,
    logged,
    metrics,
    once,
    record_traffic,
)

STATUS = {"action": "status"}
PREFIX = "tango/"
GOOD = "good"
HOUR = 3_600
DAY = 24 * HOUR
OLD = 15 * 60  # from this age on, a secret without its other half is a problem


@pytest.fixture
def many(clock: Clock) -> Iterator[World]:
    """A deployment that keeps many connections; there are none yet."""
    with World(clock, prefix=PREFIX) as made:
        yield made
        assert not secrets_in(made.output, made)


def run_queue(world: World) -> list[Any]:
    """Run what was handed over, with Lambda's retries. Returns the results, or the errors' names."""
    runs = world.functions.queue.run_due(move_clock=True)
    return [type(run.error).__name__ if run.error else run.result["outcome"] for run in runs]


def sweep(world: World) -> Json:
    """Sweep, and run what was handed over. Returns the sweep's result."""
    result = world.invoke()
    run_queue(world)
    return result


def handed_over(world: World) -> list[str]:
    """Return the connections that wait in Lambda's queue."""
    return [queued.event["connection"] for queued in world.functions.queue.waiting()]


def problems(result: Json) -> dict[str, str]:
    """Return the errors by the connection's name."""
    return {problem["name"]: problem["error"] for problem in result["problems"]}


def put_text(world: World, name: str, text: str) -> None:
    world.secrets.do("PutSecretValue", SecretId=world.credentials_secret(name), SecretString=text)


# A sweep of stores that are well


def test_sweep_gets_each_store_its_token(many: World) -> None:
    """The first sweep hands each store over to a run of its own; each run asks the vendor once."""
    names = ["stores/001", "stores/002", "paris"]
    for name in names:
        many.add_store(name)
    result = many.invoke()
    assert result["outcome"] == "swept"
    assert (result["connections"], result["handed_over"], result["fresh"]) == (3, 3, 0)
    assert sorted(handed_over(many)) == sorted(names)
    assert run_queue(many) == ["refreshed"] * 3
    assert [many.consume(name) for name in names] == [200, 200, 200]
    assert len(many.vendor.requests) == 3


def test_sweep_of_fresh_tokens_reads_pages_of_twenty_and_writes_nothing(many: World) -> None:
    """Twelve stores have 24 secrets, so a sweep takes two AWS calls if nothing is due."""
    for number in range(12):
        many.add_store(f"store-{number}")
    sweep(many)
    many.clock.advance(HOUR)
    with record_traffic(many) as traffic:
        result = many.invoke()
    assert (result["connections"], result["fresh"], result["handed_over"]) == (12, 12, 0)
    assert traffic.operations == ["BatchGetSecretValue"] * 2
    assert traffic.vendor == []
    assert many.functions.queue.waiting() == []


def test_sweep_hands_over_only_what_is_due(many: World) -> None:
    """A store that came later is not asked for when the first one is due."""
    many.add_store("first")
    sweep(many)
    many.clock.advance(10 * HOUR)
    many.add_store("second")
    sweep(many)
    many.clock.advance(11 * HOUR)
    result = many.invoke()
    assert handed_over(many) == ["first"]
    assert (result["due"], result["fresh"], result["handed_over"]) == (1, 1, 1)


def test_result_of_a_sweep_names_the_ten_with_the_least_life(many: World) -> None:
    """Of eleven stores the one with the longest life is left out, and the rest come in order."""
    names = [f"store-{number:02}" for number in range(11, 0, -1)]
    for name in names:
        many.add_store(name)
        sweep(many)
        many.clock.advance(60)
    worst = many.invoke(STATUS)["worst"]
    assert [one["name"] for one in worst] == names[:10]
    first = worst[0]
    token = many.token("store-11")
    assert first.pop("seconds_remaining") == token["expires_at"] - int(many.clock.now()) - 1
    assert first == {
        "name": "store-11",
        "expires_at": token["expires_at"],
        "expires_at_utc": token["expires_at_utc"],
        "reason": None,
        "error": None,
    }


def test_store_with_a_probe_is_handed_over_at_every_sweep(many: World) -> None:
    """The survey does not probe, so the store's own run does."""
    many.add_connection(GOOD, "client-violet#keeper-1", settings={"probe_url": many.vendor.api_url})
    sweep(many)
    result = many.invoke()
    assert handed_over(many) == [GOOD]
    assert (result["fresh"], result["due"]) == (1, 0)
    assert run_queue(many) == ["kept"]


def test_token_that_the_process_could_not_save_is_saved_first(many: World) -> None:
    """Only this process has it, so it does not hand the store over: another process would ask again."""
    many.add_store(GOOD)
    process = many.process()
    token = leave_token_unsaved(many, process, {"connection": GOOD})
    many.clock.advance(300)
    result = many.invoke(process=process)
    assert many.token(GOOD)["access_token"] == token
    assert (result["handed_over"], result["fresh"], result["problems"]) == (0, 1, [])
    assert len(many.vendor.requests) == 1
    assert process.unsaved == {}
    [line] = logged(many, "Recovered")
    assert line["connection"] == GOOD


def hang_publishes(world: World) -> None:
    """Let each write that would publish a token take four seconds, and then fail."""

    def hang() -> None:
        world.clock.advance(4)
        world.secrets.fail("PutSecretValue", CUT)

    do_at_calls(world, is_publish, hang)


@pytest.mark.parametrize("event", [{}, {"connection": GOOD}])
def test_tokens_that_still_can_not_be_saved_hold_up_nobody(many: World, event: Json) -> None:
    """A minute is spent on them all together; the sweep, or the run of another store, is done as ever."""
    process = many.process()
    bad = ["bad-1", "bad-2", "bad-3"]
    for name in bad:
        many.add_store(name)
        leave_token_unsaved(many, process, {"connection": name})
    many.add_store(GOOD)
    many.invoke({"connection": GOOD})
    many.clock.advance(300)
    hang_publishes(many)
    began_at = many.clock.now()
    result = many.invoke(event, process)
    assert many.clock.now() - began_at <= 70
    assert result["outcome"] == ("kept" if event else "swept")
    [line] = logged(many, "SavingFailed")
    assert line["connection"] == "bad-1"
    assert line["error"].startswith("Secrets Manager, put_secret_value of tango/bad-1/token: ")
    many.secrets.on_call = None
    assert len(process.unsaved) == 3


def test_mistake_of_ours_with_a_token_that_is_to_be_saved_does_not_end_the_sweep(
    many: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the error's class alone: its text may hold a secret."""
    process = many.process()
    many.add_store("bad")
    leave_token_unsaved(many, process, {"connection": "bad"})

    def stumble(*_: object) -> None:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr("handler.refresh.decide", stumble)
    assert many.invoke({}, process)["outcome"] == "swept"
    [line] = logged(many, "SavingFailed")
    assert (line["connection"], line["error"]) == ("bad", "ZeroDivisionError")
    assert "canary" not in many.output


def test_unsaved_token_that_has_ended_is_nobody_s_business(many: World) -> None:
    """The store has left meanwhile, and the process that has its token says nothing of it any more."""
    process = many.process()
    many.add_store("gone")
    leave_token_unsaved(many, process, {"connection": "gone"})
    client = many.secrets.client()
    for secret in (many.credentials_secret("gone"), many.token_secret("gone")):
        client.delete_secret(SecretId=secret)
    assert many.invoke({}, process)["problems"] == []
    many.clock.advance(DAY)
    many.invoke({}, process)
    assert logged(many, "SavingFailed") == []


def test_stores_that_are_due_are_handed_over_before_those_with_a_probe(many: World) -> None:
    """If the sweep has no time for all, those with a probe can wait, because their tokens are fresh."""
    for name in ("a", "b"):
        many.add_connection(name, "client-violet#keeper-1", settings={"probe_url": many.vendor.api_url})
    sweep(many)
    many.add_store("z")
    many.invoke()
    assert handed_over(many) == ["z", "a", "b"]


def test_sweep_keeps_below_the_rate_of_aws(many: World) -> None:
    """Pages follow each other at 50 a second at most, by the sweep's own pace."""
    for number in range(45):
        many.secrets.do("CreateSecret", Name=f"{PREFIX}other-{number}", SecretString="{}")
    began_at = many.clock.now()
    with record_traffic(many) as traffic:
        many.invoke()
    assert len(traffic.aws) == 3
    assert many.clock.now() - began_at == pytest.approx(2 * 0.02)


# What the metrics and the log say


def test_smallest_life_is_the_metric_of_a_sweep(many: World) -> None:
    """The run of one store tells nothing of the others, so only the sweep emits it."""
    many.add_store("older")
    sweep(many)
    assert "TokenSecondsRemaining" not in metrics(many)
    assert metrics(many)["Refreshed"] == 1
    many.clock.advance(HOUR)
    many.add_store("newer")
    sweep(many)
    result = many.invoke()
    assert metrics(many) == {"TokenSecondsRemaining": DAY - HOUR, "Connections": 2}
    assert result["seconds_remaining"] == DAY - HOUR


def test_new_connection_does_not_set_off_the_alarm(many: World) -> None:
    """It has no token for some moments. If that lasts for two hours, it counts like any other."""
    many.add_store("older")
    sweep(many)
    many.add_store("new")
    many.passwords["client-violet#new"] = "mistyped-password-of-the-emulator"
    many.put_credentials("client-violet#new", name="new")
    sweep(many)
    many.clock.advance(2 * HOUR - 600)
    assert many.invoke(STATUS)["seconds_remaining"] == many.token("older")["expires_at"] - int(many.clock.now())
    many.clock.advance(600)
    assert many.invoke(STATUS)["seconds_remaining"] == 0


def test_connection_is_new_for_two_hours(many: World) -> None:
    """The sweep that finds it and the next one have passed by then."""
    many.add_store("new")
    many.clock.advance(2 * HOUR - 1)
    assert many.invoke(STATUS)["seconds_remaining"] is None
    many.clock.advance(1)
    assert many.invoke(STATUS)["seconds_remaining"] == 0


def test_every_line_of_the_log_names_the_connection_and_the_version(many: World) -> None:
    """Somebody who reads a line at night knows which store it is about."""
    many.add_store("stores/001")
    sweep(many)
    lines = [line for line in many.lines if "message" in line]
    assert {line["connection"] for line in lines} == {"stores/001"}
    assert all(line["version"] for line in lines)
    many.invoke(STATUS)
    lines = [line for line in many.lines if "message" in line]
    assert {line["connection"] for line in lines} == {""}


def test_status_without_a_connection_only_looks(many: World) -> None:
    """It answers as a sweep does, and hands nothing over."""
    many.add_store(GOOD)
    with record_traffic(many) as traffic:
        result = many.invoke(STATUS)
    assert (result["outcome"], result["due"], result["handed_over"]) == ("swept", 1, 0)
    assert "HandedOver" not in metrics(many)
    assert many.functions.invocations == []
    assert traffic.writes == []


def test_status_says_why_a_store_has_no_token(many: World) -> None:
    """A wrong password is named by the error of the last request; the other store is well."""
    many.add_store(GOOD)
    many.add_store("bad")
    many.passwords["client-violet#bad"] = "mistyped-password-of-the-emulator"
    many.put_credentials("client-violet#bad", name="bad")
    sweep(many)
    worst = many.invoke(STATUS, timeout=30)["worst"]  # just enough for one more call
    assert [(one["name"], one["reason"], one["error"]) for one in worst] == [
        ("bad", "missing", "CredentialsRefused"),
        (GOOD, None, None),
    ]
    assert many.consume(GOOD) == 200


def test_summary_of_a_sweep_names_who_has_no_token(many: World) -> None:
    """Consumers of a store whose password is wrong have none after its token has ended; that is in capitals."""
    many.add_store(GOOD)
    many.add_store("bad")
    sweep(many)
    many.clock.advance(DAY)
    many.passwords["client-violet#bad"] = "mistyped-password-of-the-emulator"
    many.put_credentials("client-violet#bad", name="bad")
    sweep(many)
    summary = many.invoke(STATUS)["summary"]
    assert summary == "Connections: 2, of which 1 are due for a refresh. CONSUMERS HAVE NO TOKEN OF bad."
    many.put_credentials("client-blue", name="bad")
    put_text(many, GOOD, "no JSON")
    sweep(many)
    summary = many.invoke(STATUS)["summary"]
    assert summary.startswith("Connections: 2, of which 0 are due for a refresh. The next token to end is that of ")
    assert summary.endswith(". Problems: good.")


def test_summary_of_new_connections_alarms_nobody(many: World) -> None:
    """They have no token for some moments."""
    many.add_store("new")
    assert many.invoke(STATUS)["version"] == __version__
    assert many.invoke(STATUS)["summary"] == (
        "Connections: 1, of which 1 are due for a refresh. Without a token yet: new."
    )


# What can be wrong with one store


def binary(world: World) -> None:
    world.secrets.client().put_secret_value(SecretId=world.credentials_secret("bad"), SecretBinary=b"{}")


def not_json(world: World) -> None:
    put_text(world, "bad", "no JSON")


def bad_setting(world: World) -> None:
    world.put_credentials("client-violet#bad", name="bad", settings={"token_url": "ftp://nowhere"})


def credentials_denied(world: World) -> None:
    world.secrets.access.denied.add(world.credentials_secret("bad"))


def credentials_key_denied(world: World) -> None:
    world.secrets.access.denied_keys.add(world.credentials_secret("bad"))


def token_denied(world: World) -> None:
    world.secrets.access.denied.add(world.token_secret("bad"))


def token_key_denied(world: World) -> None:
    world.secrets.access.denied_keys.add(world.token_secret("bad"))


def credentials_deleted(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=world.credentials_secret("bad"))


def token_deleted(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=world.token_secret("bad"))


FAULTS: list[tuple[Callable[[World], None], str, bool]] = [
    (binary, "CredentialsError", True),
    (not_json, "CredentialsError", True),
    (bad_setting, "CredentialsError", True),
    (credentials_denied, "StoreError", True),
    (credentials_key_denied, "StoreError", True),
    (token_denied, "StoreError", True),
    (token_key_denied, "StoreError", True),
    (credentials_deleted, "CredentialsError", False),
    (token_deleted, "StoreError", False),
]


@pytest.mark.parametrize(("arrange", "error", "is_handed_over"), FAULTS)
def test_one_store_s_trouble_is_told_by_name_and_touches_no_other(
    many: World, arrange: Callable[[World], None], error: str, *, is_handed_over: bool
) -> None:
    """The sweep goes on. What can't be read is handed over, since its own run tells more."""
    many.add_store("bad")
    many.add_store(GOOD)
    arrange(many)
    many.clock.advance(OLD)
    result = many.invoke()
    assert problems(result) == {"bad": error}
    assert ("bad" in handed_over(many)) is is_handed_over
    assert metrics(many)["Problems"] == 1
    run_queue(many)
    assert many.consume(GOOD) == 200


def test_unreadable_credentials_hide_nothing_of_the_token(many: World) -> None:
    """Consumers have the token as long as it lives, whatever somebody wrote into the credentials."""
    many.add_store("bad")
    sweep(many)
    not_json(many)
    result = many.invoke()
    assert result["seconds_remaining"] == DAY
    assert problems(result) == {"bad": "CredentialsError"}


def test_status_of_a_connection_without_readable_credentials_is_its_own(many: World) -> None:
    """It names the connection, and says what consumers have."""
    many.add_store("bad")
    sweep(many)
    not_json(many)
    result = many.invoke({"action": "status", "connection": "bad"})
    assert (result["connection"], result["reason"]) == ("bad", "unreadable")
    assert result["summary"].startswith("The token of client-violet#bad ends at ")


def test_new_connection_with_bad_credentials_does_not_set_off_the_alarm(many: World) -> None:
    """Whoever adds it is told of the problem, and consumers have nothing to lose yet."""
    many.add_store(GOOD)
    sweep(many)
    many.add_store("bad")
    not_json(many)
    result = many.invoke()
    assert problems(result) == {"bad": "CredentialsError"}
    assert result["seconds_remaining"] == DAY


def without_a_value(world: World) -> None:
    """Delete the credentials for good, and make the secret again."""
    secrets = world.secrets.client()
    secrets.delete_secret(SecretId=world.credentials_secret("bad"), ForceDeleteWithoutRecovery=True)
    secrets.create_secret(Name=world.credentials_secret("bad"))


@pytest.mark.parametrize("arrange", [without_a_value, credentials_deleted])
def test_credentials_that_are_gone_hide_nothing_of_the_token(many: World, arrange: Callable[[World], None]) -> None:
    """The connection counts until its token secret goes, too: before its token ends and after that."""
    many.add_store("bad")
    sweep(many)
    many.clock.advance(HOUR)
    many.add_store(GOOD)
    sweep(many)
    arrange(many)
    many.clock.advance(20 * HOUR)
    many.invoke({"connection": GOOD})
    result = many.invoke()
    assert problems(result) == {"bad": "CredentialsError"}
    assert (result["connections"], result["empty"]) == (2, 0)
    assert metrics(many)["TokenSecondsRemaining"] == 3 * HOUR
    assert result["worst"][0] == {
        "name": "bad",
        "seconds_remaining": 3 * HOUR,
        "expires_at": many.token("bad")["expires_at"],
        "expires_at_utc": many.token("bad")["expires_at_utc"],
        "reason": None,
        "error": "CredentialsError",
    }
    assert "The next token to end is that of bad, in 3.0 hours." in result["summary"]
    many.clock.advance(3 * HOUR)
    result = many.invoke()
    assert "CONSUMERS HAVE NO TOKEN OF bad." in result["summary"]
    assert metrics(many)["TokenSecondsRemaining"] == 0


@pytest.mark.parametrize("arrange", [token_denied, token_key_denied])
def test_token_that_the_sweep_can_not_read_is_not_said_to_be_missing(
    many: World, arrange: Callable[[World], None]
) -> None:
    """Consumers may well have it. The metric is 0, because nobody can renew it either."""
    many.add_store("bad")
    sweep(many)
    arrange(many)
    result = many.invoke()
    assert result["summary"] == (
        "Connections: 1, of which 0 are due for a refresh. It is not known what token consumers have of bad. "
        "Problems: bad."
    )
    assert result["worst"][0]["seconds_remaining"] is None
    assert result["worst"][0]["error"] == "StoreError"
    assert result["worst"][0]["expires_at_utc"] is None
    assert metrics(many)["TokenSecondsRemaining"] == 0


def test_text_of_a_problem_stays_short(many: World) -> None:
    """A secret with thousands of mistakes fills neither the log nor the answer of Lambda."""
    many.add_store("bad")
    settings = {f"unknown-{number}": 1 for number in range(3_000)}
    many.put_credentials("client-violet#bad", name="bad", settings=settings)
    [problem] = many.invoke()["problems"]
    assert len(problem["text"]) <= 510
    with pytest.raises(CredentialsError) as caught:
        many.invoke({"connection": "bad"})
    assert len(str(caught.value)) < 1_500


def test_damaged_token_is_not_a_new_connection(many: World) -> None:
    """Its consumers have no token, however young the credentials are."""
    many.add_store("bad")
    sweep(many)
    many.secrets.do("PutSecretValue", SecretId=many.token_secret("bad"), SecretString="CHANGE_ME")
    many.put_credentials("client-violet#bad", name="bad")
    assert many.invoke(STATUS)["seconds_remaining"] == 0


def test_connection_without_a_value_is_counted_as_empty(many: World) -> None:
    """Somebody has made both secrets and fills them later: no problem, and no life to tell of."""
    many.add_store(GOOD)
    for name in ("new-1", "new-2"):
        for kind in ("credentials", "token"):
            many.secrets.do("CreateSecret", Name=f"{PREFIX}{name}/{kind}")
    many.secrets.do("CreateSecret", Name=f"{PREFIX}newer/credentials")
    sweep(many)
    many.clock.advance(OLD)
    result = many.invoke()
    assert (result["connections"], result["empty"], result["problems"]) == (4, 3, [])
    assert result["seconds_remaining"] == DAY - OLD


def half_denied(world: World) -> None:
    world.secrets.do("PutSecretValue", SecretId=f"{PREFIX}half/token", SecretString="{}")
    world.secrets.access.denied.add(f"{PREFIX}half/token")


def description_denied(world: World) -> None:
    world.secrets.fail("DescribeSecret", AwsFault("AccessDeniedException"))


@pytest.mark.parametrize(
    ("kind", "what_to_do"),
    [
        ("credentials", "create or restore it"),
        ("token", "create or restore it, or delete the token secret if nobody needs the token"),
    ],
)
def test_new_half_of_a_connection_is_not_a_problem_yet(many: World, kind: str, what_to_do: str) -> None:
    """Lists lag behind, and people make one secret after the other."""
    many.secrets.do("CreateSecret", Name=f"{PREFIX}half/{kind}", SecretString="{}")
    many.clock.advance(OLD - 1)
    result = many.invoke()
    assert (result["problems"], result["handed_over"]) == ([], 0)
    many.clock.advance(1)
    [problem] = many.invoke()["problems"]
    assert problem["name"] == "half"
    assert f"{PREFIX}half/" in problem["text"]
    assert problem["text"].endswith(f": {what_to_do}")


def test_half_of_a_connection_has_no_ledger(many: World) -> None:
    """A call for each of them would take time from those that have one."""
    many.secrets.do("CreateSecret", Name=f"{PREFIX}half/credentials", SecretString="{}")
    many.clock.advance(OLD)
    with record_traffic(many) as traffic:
        result = many.invoke(STATUS)
    assert result["worst"][0]["name"] == "half"
    assert result["worst"][0]["error"] is None
    assert traffic.operations == ["BatchGetSecretValue"]


@pytest.mark.parametrize("arrange", [half_denied, description_denied])
def test_half_whose_age_is_not_known_is_a_problem_at_once(many: World, arrange: Callable[[World], None]) -> None:
    """Its other half may have been missing for long."""
    many.secrets.do("CreateSecret", Name=f"{PREFIX}half/token")
    arrange(many)
    assert problems(many.invoke()) == {"half": "CredentialsError"}


def test_token_secret_without_a_value_is_as_old_as_the_secret(many: World) -> None:
    """It has no version that has an age, so the secret's own description tells."""
    many.secrets.do("CreateSecret", Name=f"{PREFIX}half/token")
    many.clock.advance(OLD - 1)
    assert many.invoke()["problems"] == []
    many.clock.advance(1)
    assert problems(many.invoke()) == {"half": "CredentialsError"}


def test_two_stores_with_one_client_and_an_interval_are_told(many: World) -> None:
    """The vendor grants a client alone one token in 20 hours, so they would refuse each other."""
    many.add_connection("a", "client-blue")
    many.add_connection("b", "client-blue")
    result = many.invoke()
    assert problems(result) == {"a": "CredentialsError", "b": "CredentialsError"}
    texts = {problem["name"]: problem["text"] for problem in result["problems"]}
    assert texts["a"].startswith("client-blue is a principal of a, b: ")
    assert texts["a"].endswith("so they refuse each other; give each connection a principal of its own")
    assert texts["b"] == texts["a"]


def test_two_stores_with_one_service_account_are_not_told(many: World) -> None:
    """A service account has no interval, so nobody is refused."""
    many.add_connection("a", "client-violet#keeper-1")
    many.add_connection("b", "client-violet#keeper-1")
    assert many.invoke()["problems"] == []


def test_many_stores_with_one_client_are_told_by_three_names(many: World) -> None:
    """The text stays short."""
    for name in "abcdef":
        many.add_connection(name, "client-blue")
    texts = {problem["name"]: problem["text"] for problem in many.invoke()["problems"]}
    assert {"of a, b, c and 3 more:" in text for text in texts.values()} == {True}


def test_other_secrets_under_the_prefix_are_left_alone(many: World) -> None:
    """Only the two names make a connection."""
    client = many.secrets.client()
    for name in ("credentials", "token", "a/other", "a/credentials/old", "tokens"):
        client.create_secret(Name=f"{PREFIX}{name}", SecretString="{}")
    client.create_secret(Name="elsewhere/a/credentials", SecretString="{}")
    many.clock.advance(OLD)
    result = many.invoke()
    assert (result["connections"], result["problems"]) == (0, [])
    assert result["seconds_remaining"] is None
    assert "TokenSecondsRemaining" not in metrics(many)


def test_names_of_all_characters_that_aws_allows_are_kept(many: World) -> None:
    """A name may have slashes and look like a secret's, and its connection is refreshed like any other."""
    names = ["a/token", "A.b+c=d@e-f_g", "x/credentials", "store-AbCdEf"]
    for name in names:
        many.add_store(name)
    sweep(many)
    assert [many.consume(name) for name in names] == [200] * 4


@pytest.mark.parametrize(("name", "shown"), [("shop!1", "'shop!1'"), ("x" * 251, f"'{'x' * 100}'")])
def test_name_that_no_event_can_have_is_told(many: World, name: str, shown: str) -> None:
    """AWS takes an exclamation mark, and longer names than an event has."""
    many.add_connection(name, "client-violet#keeper-1")
    result = many.invoke()
    [problem] = result["problems"]
    assert problem["name"] == shown
    assert problem["text"] == "a connection can't have this name: create it with another one"
    assert handed_over(many) == []


def test_store_that_nobody_foresaw_does_not_end_the_sweep(many: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a mistake of ours with one store's documents leaves the other stores alone, and shows no text of it."""
    many.add_store("bad")
    many.add_store(GOOD)

    def stumble(connection: Any, *documents: Any) -> Any:
        if connection.name == "bad":
            raise ZeroDivisionError("canary")
        return state_of(connection, *documents)

    monkeypatch.setattr("handler.survey.state_of", stumble)
    result = many.invoke()
    [problem] = result["problems"]
    assert problem == {
        "name": "bad",
        "error": "ZeroDivisionError",
        "text": "an unexpected error; the log of the connection's own run tells where it comes from",
    }
    assert result["worst"][0]["error"] == "ZeroDivisionError"
    assert "canary" not in json.dumps(result)
    assert sorted(handed_over(many)) == ["bad", GOOD]


# What can go wrong with a sweep


def test_page_that_fails_ends_the_survey_and_what_was_seen_is_handed_over(many: World) -> None:
    """Nobody knows the smallest life then, so no metric says so; the error says how far the survey came."""
    for number in range(12):
        many.add_store(f"store-{number:02}")
    many.secrets.fail("BatchGetSecretValue", None, AwsFault("AccessDeniedException"))
    with pytest.raises(StoreError, match="AccessDenied"):
        many.invoke()
    assert len(handed_over(many)) == 10
    assert "TokenSecondsRemaining" not in metrics(many)
    assert metrics(many)["HandedOver"] == 10


def test_sweep_that_does_not_know_the_function_is_told_what_to_do(many: World) -> None:
    """It has a name in Lambda. Somebody at a shell may have none."""
    many.add_store(GOOD)
    nameless = Context(many.clock, many.clock.now() + 60, function_name="")
    with pytest.raises(ConfigurationError) as caught:
        app.handle({}, nameless, many.process)
    assert str(caught.value) == (
        "a sweep invokes the deployed function for each connection: set AWS_LAMBDA_FUNCTION_NAME to its name, or "
        "name one connection"
    )


def test_sweep_without_time_stops_and_tells(many: World) -> None:
    """Lambda would kill it in the middle; the next sweep goes on."""
    many.add_store(GOOD)
    with pytest.raises(StoreError, match="no time is left after 0 connections") as caught:
        many.invoke(timeout=29)
    assert caught.value.code == "TooLate"
    assert "TokenSecondsRemaining" not in metrics(many)


def test_sweep_goes_on_while_there_is_time(many: World) -> None:
    """Half a minute is enough for one more call."""
    many.add_store(GOOD)
    assert many.invoke(timeout=30)["handed_over"] == 1


def test_unsaved_token_is_saved_while_there_is_time(many: World) -> None:
    """As much as a claim needs is enough."""
    many.add_store(GOOD)
    process = many.process()
    leave_token_unsaved(many, process, {"connection": GOOD})
    many.clock.advance(300)
    many.invoke({}, process, timeout=40)
    assert process.unsaved == {}


@pytest.mark.parametrize(
    "fault",
    [
        AwsFault("TooManyRequestsException", status=429),
        AwsFault("AccessDeniedException", status=403),
        AwsFault("ServiceException", status=500),
        AwsFault(),
    ],
)
def test_hand_over_that_fails_is_told_and_done_again(many: World, fault: AwsFault) -> None:
    """Each store is told by name, and the next sweep hands it over."""
    many.add_store(GOOD)
    many.functions.outage = fault
    result = many.invoke()
    assert problems(result) == {GOOD: "StoreError"}
    assert "Lambda, invoke: " in result["problems"][0]["text"]
    assert result["handed_over"] == 0
    many.functions.outage = None
    assert sweep(many)["handed_over"] == 1
    assert many.consume(GOOD) == 200


def test_hand_over_that_something_else_answers_is_told(many: World) -> None:
    """Only AWS's own answer to an asynchronous invocation says that the run is in the queue."""
    many.add_store(GOOD)
    with Recorder(200) as stranger, environment(many.environment(AWS_ENDPOINT_URL_LAMBDA=stranger.url)):
        result = many.invoke()
    [problem] = result["problems"]
    assert (problem["name"], problem["text"]) == (GOOD, "Lambda, invoke: OtherAnswer")
    assert result["handed_over"] == 0


def test_sweep_stays_below_the_rates_that_aws_enforces(many: World) -> None:
    """With AWS's rates enforced, no call is refused."""
    for number in range(12):
        many.add_store(f"store-{number}")
    many.secrets.rates = AwsRates(many.clock)
    assert many.invoke()["problems"] == []


# The run of one connection


def test_lock_of_another_run_ends_the_run_at_once(many: World) -> None:
    """Lambda repeats it when the lock has lapsed, so no run keeps other connections waiting."""
    many.add_store(GOOD)
    waited: list[float] = []

    def run_meanwhile() -> None:
        began_at = many.clock.now()
        with pytest.raises(Busy, match=r"^another run of this connection holds the lock"):
            many.invoke({"connection": GOOD})
        waited.append(many.clock.now() - began_at)

    do_at_vendor(many, "received", once(run_meanwhile))
    assert many.invoke({"connection": GOOD})["outcome"] == "refreshed"
    assert waited == [0]
    assert len(many.vendor.requests) == 1


def test_run_of_a_fresh_connection_takes_one_call(many: World) -> None:
    """It costs what the run of a deployment with one connection costs."""
    many.add_store(GOOD)
    sweep(many)
    with record_traffic(many) as traffic:
        result = many.invoke({"connection": GOOD})
    assert (result["outcome"], result["connection"]) == ("kept", GOOD)
    assert traffic.operations == ["BatchGetSecretValue"]


def test_connection_that_does_not_exist_is_told_by_its_name(many: World) -> None:
    """Somebody has mistyped it: a run's error names the secret that should be there, and status says so."""
    summary = many.invoke({"action": "status", "connection": "nobody"})["summary"]
    assert summary == "There is no connection nobody: neither of its two secrets exists."
    with pytest.raises(CredentialsError, match="tango/nobody/credentials"):
        many.invoke({"connection": "nobody"})
    assert many.invoke({"action": "status"})["connections"] == 0


def test_status_of_one_connection_is_as_ever(many: World) -> None:
    """It has the whole ledger, and names its connection."""
    many.add_store(GOOD)
    sweep(many)
    result = many.invoke({"action": "status", "connection": GOOD})
    assert (result["outcome"], result["connection"], result["username"]) == ("kept", GOOD, GOOD)
    assert list(result["ledger"]["slots"]) == ["client-violet#good"]


def test_connection_may_have_settings_of_its_own(clock: Clock) -> None:
    """One deployment serves several vendors: the environment needs no TOKEN_URL then."""
    with World(clock, prefix=PREFIX) as many:
        many.add_connection("a", "client-blue", settings={"token_url": many.vendor.token_url})
        many.add_connection("b", "client-green")
        process = many.process(TOKEN_URL="")
        assert many.invoke({"connection": "a"}, process)["outcome"] == "refreshed"
        with pytest.raises(CredentialsError, match=r"settings\.token_url is not set"):
            many.invoke({"connection": "b"}, process)


@pytest.mark.parametrize("option", [{"force": True}, {"force": True, "override_limit": True}, {"dry_run": True}])
def test_event_that_acts_on_one_connection_must_name_it(many: World, option: Json) -> None:
    """Nobody forces a thousand stores by mistake. Nothing is read."""
    message = "^the event's force, override_limit and dry_run need a connection: this deployment keeps many$"
    with record_traffic(many) as traffic, pytest.raises(EventError, match=message):
        many.invoke(option)
    assert traffic.aws == []
    assert metrics(many) == {"Failed": 1}


def test_deployment_of_one_connection_has_no_name_for_it(world: World) -> None:
    """The event is meant for another deployment. Nothing is read."""
    message = "^the event names a connection, and this deployment keeps a single one without a name$"
    with record_traffic(world) as traffic, pytest.raises(EventError, match=message):
        world.invoke({"connection": GOOD})
    assert traffic.aws == []


def test_unsaved_token_belongs_to_its_connection(many: World) -> None:
    """Two stores of one principal: what could not be saved for one is not taken for the other's.

    The next run in the process, whosever it is, saves it: no other process has it.
    """
    many.add_connection("a", "client-violet#keeper-1")
    many.add_connection("b", "client-violet#keeper-1")
    process = many.process()
    leave_token_unsaved(many, process, {"connection": "a"})
    many.clock.advance(300)
    assert many.invoke({"connection": "b"}, process)["outcome"] == "refreshed"
    assert many.invoke({"connection": "a"}, process)["outcome"] == "kept"
    assert many.token("a")["access_token"] == many.vendor.issued[0].token


def test_hand_overs_of_a_sweep_share_one_connection(many: World) -> None:
    """A TLS handshake for each of a thousand stores would take longer than the sweep."""
    for name in "abc":
        many.add_store(name)
    many.invoke()
    assert len(many.functions.invocations) == 3
    assert many.functions.connections == 1
