"""What goes wrong seldom and hurts most: each of these once cost a token, or consumers theirs."""

from __future__ import annotations

import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from handler import oauth2
from handler.errors import (
    ConfigurationError,
    CredentialsError,
    CredentialsRefused,
    RateLimited,
    StoreError,
    VendorUnreachable,
)
from handler.model import Client
from handler.secrets_manager import SecretStore
from local.faults import Fault
from local.secrets_manager import REGION, AwsFault
from local.world import AWS, World
from tests.integration.helpers import (
    HOUR,
    INTERVAL,
    LIMITED,
    REFUSED,
    acquire_token,
    another_runs_token,
    ledger,
    now,
    slot_of,
    write,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import logged, metrics

if TYPE_CHECKING:
    from local.clock import Clock

NAME, OTHER_NAME = "tango/credentials", "tango/other"
ARN = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{NAME}-AbCdEf"
WHOLE = {"access_token": "whole-although-the-answer-is-not", "token_type": "Bearer", "expires_in": 86_400}


def store_at(aws: Recorder, credentials_id: str = NAME) -> SecretStore:
    """Return the handler's store over a real client, with a server in AWS's place that says what it is told to."""
    client = boto3.Session("local", "local", region_name=REGION).client("secretsmanager", endpoint_url=aws.url)
    return SecretStore(client, credentials_id, OTHER_NAME)


def test_newest_token_in_the_wrong_place_is_brought_back_when_it_is_needed(world: World) -> None:
    """Where clocks that were apart have put an older token over the newest, its end is not the consumers' end."""
    acquire_token(world, 19 * HOUR)
    older, newest = world.token(), another_runs_token(world)
    write(world, newest, "AWSCURRENT", "REFRESH_LEDGER")
    write(world, older, "AWSCURRENT")
    world.clock.advance(older["expires_at"] - now(world))
    slot = {"not_before": newest["acquired_at"] + INTERVAL, "reason": "limit_interval"}
    write(world, older | {"ledger": ledger(world) | {"slots": {world.primary: slot}}}, "REFRESH_LEDGER")
    assert world.invoke()["outcome"] in {"recovered", "refreshed"}
    assert world.token()["acquired_at"] >= newest["acquired_at"]


def test_token_that_is_whole_in_a_cut_answer_is_a_token(world: World) -> None:
    """The connection ends too early, and yet nothing of the token is missing: it is published."""
    world.vendor.script(Fault.answer(200, WHOLE, headers={"Content-Length": "4096"}))
    assert world.invoke()["outcome"] == "refreshed"
    assert world.token()["access_token"] == WHOLE["access_token"]


def test_answer_that_is_not_aws_s_saves_nothing(world: World) -> None:
    """A 200 of somebody between us and AWS does not count as saved: the publish is repeated until AWS has it."""
    world.secrets.fail("PutSecretValue", None, None, AwsFault("Stranger", 200))  # the seed, the claim, the publish
    assert world.invoke()["outcome"] == "refreshed"
    [line] = logged(world, "PublishFailed")
    assert line["error"] == "Secrets Manager, put_secret_value: EmptyAnswer"
    assert world.consume() == 200


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("AccessDeniedException", "AccessDeniedException nobody may"),
        ("InvalidRequestException", "InvalidRequestException"),
    ],
)
def test_error_of_aws_is_told_by_its_code(code: str, told: str) -> None:
    """Who is denied something needs AWS's words, which name it; other words of AWS may repeat what was sent."""
    with Recorder(400, {"__type": code, "Message": "nobody may"}) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).read()
    assert (str(caught.value), caught.value.code) == (f"Secrets Manager, batch_get_secret_value: {told}", code)


@pytest.mark.parametrize("secret_id", [NAME, OTHER_NAME])
def test_error_about_one_of_both_secrets_names_it(secret_id: str) -> None:
    """A role that may read only one of them is told which one it may not."""
    errors = [{"SecretId": secret_id, "ErrorCode": "AccessDeniedException"}]
    values = [{"Name": name, "ARN": name, "VersionId": "v"} for name in (NAME, OTHER_NAME) if name != secret_id]
    answer = {"SecretValues": values, "Errors": errors}
    with Recorder(body=answer) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).read()
    assert str(caught.value) == f"Secrets Manager, batch_get_secret_value of {secret_id}: AccessDeniedException"


def test_aws_that_is_away_is_told_by_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error says what the connection met, after the three attempts that a run has time for."""
    with Recorder(500) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        for name, value in AWS.items():
            monkeypatch.setenv(name, value)
        store = SecretStore.connect(NAME, OTHER_NAME)
        times = vars(store)["_client"].meta.config  # a server that hangs would cost seconds
        assert (times.connect_timeout, times.read_timeout) == (2, 4)
        with pytest.raises(StoreError):
            store.read()
        assert len(aws.received) == 3
    with pytest.raises(StoreError) as caught:
        store.read()
    assert str(caught.value) == "Secrets Manager, batch_get_secret_value: EndpointConnectionError"
    assert caught.value.retryable


def test_machine_without_a_region_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 finds no client with is a mistake in the environment, by boto3's name for it."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigurationError) as caught:
        SecretStore.connect(NAME, OTHER_NAME)
    assert str(caught.value) == "environment: boto3 makes no client of it (NoRegionError)"


def test_secret_that_aws_says_nothing_of_is_not_taken_for_a_missing_one() -> None:
    """An answer without a word about a secret is an error of its own: nobody has to look for a secret that is there."""
    with Recorder(body={"SecretValues": [], "Errors": []}) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).read()
    assert str(caught.value) == "Secrets Manager, batch_get_secret_value of tango/credentials: NoAnswer"
    assert caught.value.retryable


def test_version_that_aws_did_not_name_is_not_saved() -> None:
    """An answer about another version is no sign that this one is kept."""
    with Recorder(body={"VersionId": "another"}) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).put(str(uuid.uuid4()), "{}", "AWSCURRENT")
    assert str(caught.value) == "Secrets Manager, put_secret_value: OtherAnswer"
    assert (caught.value.code, caught.value.retryable) == ("OtherAnswer", True)


def test_same_credentials_refused_again_are_left_alone_for_longer(world: World) -> None:
    """Each refusal costs versions of the secret, of which a day has about 100: the second closes for two hours."""
    for hours in (1, 2, 2):
        world.vendor.script(REFUSED)
        with pytest.raises(CredentialsRefused):
            world.invoke()
        assert slot_of(world)["not_before"] == now(world) + hours * HOUR
        world.clock.advance(hours * HOUR)


def test_override_refused_for_its_credentials_forgets_no_limit(world: World) -> None:
    """What closed the slot still does when the credentials are put right, and no earlier."""
    acquire_token(world, 20.5 * HOUR)
    world.vendor.script(LIMITED)
    assert world.invoke()["outcome"] == "waiting"
    closed = slot_of(world)
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke({"force": True, "override_limit": True})
    assert slot_of(world) == closed


def test_run_without_time_for_the_standby_says_what_the_primary_was_refused_for(clock: Clock) -> None:
    """A slow refusal that leaves no time to ask the standby is `waiting`, not a fault of the function's timeout."""
    with World(clock) as world:
        acquire_token(world, 22 * HOUR)
        world.vendor.script(LIMITED)
        world.vendor.on_request = lambda _: clock.advance(110)
        result = world.invoke(timeout=145)
        assert (result["outcome"], result["reason"]) == ("waiting", "rate_limited")


def test_request_is_not_sent_when_its_answer_would_come_too_late(world: World) -> None:
    """Connecting that took nearly all of the time ends there: no slot is spent on an answer that nobody waits for."""
    world.vendor.stop()
    keeper = world.keeper(ACQUIRE_TIMEOUT_SECONDS="8")

    def sleep(seconds: float) -> None:
        world.clock.advance(seconds)
        if world.clock.now() - begun >= 7:
            world.vendor.start()

    begun = world.clock.now()
    keeper.sleep = sleep
    with pytest.raises(VendorUnreachable):
        world.invoke(keeper=keeper)
    assert world.vendor.requests == []
    world.vendor.start()
    assert world.invoke()["outcome"] == "refreshed"


def test_request_that_a_slow_name_server_held_up_is_not_sent_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that stands in the last quarter of the time carries nothing: its token would come to nobody."""
    seconds, look_up = 0.4, socket.getaddrinfo

    def slow(*name: Any, **options: Any) -> Any:
        time.sleep(0.8 * seconds)
        return look_up(*name, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = Client(world.primary, world.client_secrets[world.primary])
    with pytest.raises(VendorUnreachable, match="ConnectionError"):
        oauth2.acquire(client, world.keeper().settings, seconds, world.clock.now, world.clock.advance)
    assert world.vendor.requests == []


@pytest.mark.parametrize(
    ("asked", "named"),
    [(ARN, ARN), (ARN[:-7], ARN), (NAME, ARN), (NAME, NAME)],
    ids=["ARN", "ARN without its suffix", "name, but AWS says the ARN", "name"],
)
def test_secret_that_aws_misses_is_the_one_that_was_asked_for(asked: str, named: str) -> None:
    """Name or ARN: AWS's error about a secret is found, whichever of them it names the secret by."""
    errors = [{"SecretId": OTHER_NAME, "ErrorCode": "AccessDeniedException"}]
    errors += [{"SecretId": named, "ErrorCode": "ResourceNotFoundException"}]
    answer = {"SecretValues": [], "Errors": errors}
    with Recorder(body=answer) as aws, pytest.raises(CredentialsError, match="ResourceNotFound"):
        store_at(aws, asked).read()


def test_refusal_of_both_clients_names_the_one_that_people_must_mend(clock: Clock) -> None:
    """Where the primary's credentials are refused and the standby has no slot, it is the credentials that count."""
    with World(clock) as world:
        world.vendor.script(REFUSED, LIMITED)
        with pytest.raises(CredentialsRefused):
            world.invoke()
        assert metrics(world).keys() == {"TokenSecondsRemaining", "Failed", "CredentialsRefused", "RateLimited"}
        world.vendor.script(LIMITED, LIMITED)
        world.clock.advance(HOUR)
        with pytest.raises(RateLimited):
            world.invoke()
