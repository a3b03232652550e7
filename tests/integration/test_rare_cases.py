"""Rare failures with a high cost: each of them once lost a token, or left consumers without one."""

from __future__ import annotations

import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from handler import aws as our_aws
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
from local.emulators.faults import Fault
from local.emulators.secrets_manager import REGION, AwsFault
from local.emulators.world import AWS, World
from tests.integration.helpers import (
    GREEN,
    HOUR,
    INTERVAL,
    LIMITED,
    MINUTE,
    REFUSED,
    acquire_token,
    another_runs_token,
    ledger,
    now,
    slot_of,
    write,
    write_ledger,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import do_at_vendor, logged, metrics, once

if TYPE_CHECKING:
    from local.emulators.clock import Clock

NAME = "tango/credentials"
OTHER_NAME = "tango/other"
ARN = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{NAME}-AbCdEf"
COMPLETE = {"access_token": "complete-although-the-answer-is-not", "token_type": "Bearer", "expires_in": 86_400}


def store_at(aws: Recorder, credentials_id: str = NAME) -> SecretStore:
    """Return the handler's store with a real client, whose server is the recorder instead of AWS."""
    client = boto3.Session("local", "local", region_name=REGION).client("secretsmanager", endpoint_url=aws.url)
    return SecretStore(client, credentials_id, OTHER_NAME)


def test_newest_token_in_the_wrong_place_is_brought_back_when_it_is_needed(world: World) -> None:
    """With clocks that differ, an older token may cover the newest. When it expires, the newest comes back."""
    acquire_token(world, 19 * HOUR)
    older = world.token()
    newest = another_runs_token(world)
    write(world, newest, "AWSCURRENT", "REFRESH_LEDGER")
    write(world, older, "AWSCURRENT")
    world.clock.advance(older["expires_at"] - now(world))
    slot = {"not_before": newest["acquired_at"] + INTERVAL, "reason": "limit_interval"}
    write(world, older | {"ledger": ledger(world) | {"slots": {world.primary: slot}}}, "REFRESH_LEDGER")
    assert world.invoke()["outcome"] in {"recovered", "refreshed"}
    assert world.token()["acquired_at"] >= newest["acquired_at"]


def test_complete_token_in_a_truncated_response_is_published(world: World) -> None:
    """Even a truncated response can contain a complete token: it is published."""
    world.vendor.script(Fault.answer(200, COMPLETE, headers={"Content-Length": "4096"}))
    assert world.invoke()["outcome"] == "refreshed"
    assert world.token()["access_token"] == COMPLETE["access_token"]


def test_answer_that_is_not_aws_s_saves_nothing(world: World) -> None:
    """A 200 that does not come from AWS does not count as saved: the publish is repeated until AWS has it."""
    world.secrets.fail("PutSecretValue", None, None, AwsFault("Stranger", 200))  # the seed, the claim, the publish
    assert world.invoke()["outcome"] == "refreshed"
    [line] = logged(world, "PublishFailed")
    assert line["error"] == "Secrets Manager, put_secret_value of tango/token: EmptyAnswer"
    assert world.consume() == 200


@pytest.mark.parametrize(
    ("code", "repeated"),
    [
        ("AccessDeniedException", "AccessDeniedException nobody may"),
        ("InvalidParameterException", "InvalidParameterException"),
    ],
)
def test_error_of_aws_is_told_by_its_code(code: str, repeated: str) -> None:
    """AWS's message is repeated only if access is denied: it says to what. Other messages may quote secrets."""
    with Recorder(400, {"__type": code, "Message": "nobody may"}) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).read_both().or_raise()
    assert str(caught.value) == f"Secrets Manager, batch_get_secret_value: {repeated}"
    assert caught.value.code == code


@pytest.mark.parametrize("secret_id", [NAME, OTHER_NAME])
def test_error_about_one_of_both_secrets_names_it(secret_id: str) -> None:
    """If the role may read only one of the two secrets, the error names the other one."""
    errors = [{"SecretId": secret_id, "ErrorCode": "AccessDeniedException", "Message": "nobody may"}]
    values = [{"Name": name, "ARN": name, "VersionId": "v"} for name in (NAME, OTHER_NAME) if name != secret_id]
    answer = {"SecretValues": values, "Errors": errors}
    with Recorder(body=answer) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).read_both().or_raise()
    assert (
        str(caught.value) == f"Secrets Manager, batch_get_secret_value of {secret_id}: AccessDeniedException nobody may"
    )


def test_aws_that_is_away_is_told_by_the_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the three attempts that a run has time for, the error names the failure of the connection."""
    with Recorder(500) as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        for name, value in AWS.items():
            monkeypatch.setenv(name, value)
        client = our_aws.make_client("secretsmanager")
        store = SecretStore(client, NAME, OTHER_NAME)
        times = client.meta.config  # a server that hangs would cost seconds
        assert times.connect_timeout == 2
        assert times.read_timeout == 4
        with pytest.raises(StoreError):
            store.read_both().or_raise()
        assert len(aws.received) == 3
    with pytest.raises(StoreError) as caught:
        store.read_both().or_raise()
    assert str(caught.value) == "Secrets Manager, batch_get_secret_value: EndpointConnectionError"
    assert caught.value.retryable


def test_machine_without_a_region_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """If botocore can't make a client, the error names the cause and what to check."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigurationError) as caught:
        our_aws.make_client("secretsmanager")
    assert str(caught.value) == (
        "environment: no AWS client can be made (NoRegionError): check AWS_DEFAULT_REGION and other AWS_ variables"
    )


def test_secret_that_aws_says_nothing_of_is_not_taken_for_a_missing_one() -> None:
    """If AWS's answer does not mention a secret, this is an error of its own, not a missing secret."""
    with Recorder(body={"SecretValues": [], "Errors": []}) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).read_both().or_raise()
    assert str(caught.value) == "Secrets Manager, batch_get_secret_value of tango/credentials: NoAnswer"
    assert caught.value.retryable


def test_version_that_aws_did_not_name_is_not_saved() -> None:
    """An answer that names another version does not prove that this one is saved."""
    with Recorder(body={"VersionId": "another"}) as aws, pytest.raises(StoreError) as caught:
        store_at(aws).put_version(str(uuid.uuid4()), "{}", stages=["AWSCURRENT"])
    assert str(caught.value) == "Secrets Manager, put_secret_value of tango/other: OtherAnswer"
    assert caught.value.code == "OtherAnswer"
    assert caught.value.retryable is True


def test_same_credentials_refused_again_are_left_alone_for_longer(world: World) -> None:
    """An account is blocked after ten wrong passwords: each refusal closes for twice as long, up to a day."""
    for hours in (1, 2, 4, 8, 16, 24, 24):
        world.vendor.script(REFUSED)
        with pytest.raises(CredentialsRefused):
            world.invoke()
        assert slot_of(world)["not_before"] == now(world) + hours * HOUR
        world.clock.advance(hours * HOUR)


def test_override_refused_for_its_credentials_forgets_no_limit(world: World) -> None:
    """An override that is refused for its credentials does not change the slot that the limit has closed."""
    acquire_token(world, 20.5 * HOUR)
    world.vendor.script(LIMITED)
    assert world.invoke()["outcome"] == "waiting"
    closed = slot_of(world)
    world.clock.advance(10 * MINUTE)  # an override is not heard sooner after a claim
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke({"force": True, "override_limit": True})
    assert slot_of(world) == closed | {"asked_at": now(world)}


def test_run_without_time_for_the_standby_says_what_the_primary_was_refused_for(clock: Clock) -> None:
    """If a slow refusal leaves no time for the standby, the run is `waiting`; the timeout is not to blame."""
    with World(clock) as world:
        acquire_token(world, 22 * HOUR)
        world.vendor.script(LIMITED)
        world.vendor.on_request = lambda _: clock.advance(110)
        result = world.invoke(timeout=145)
        assert result["outcome"] == "waiting"
        assert result["reason"] == "rate_limited"


def test_run_with_just_enough_time_asks_the_standby(clock: Clock) -> None:
    """After the refusal there is as much time left as a claim needs."""
    with World(clock) as world:
        acquire_token(world, 22 * HOUR)
        world.vendor.script(LIMITED)
        do_at_vendor(world, "received", once(lambda: clock.advance(110)))
        result = world.invoke(timeout=150)
        assert result["outcome"] == "refreshed"
        assert result["client_id"] == GREEN


def test_run_without_time_for_the_standby_says_that_there_were_too_many_claims(clock: Clock) -> None:
    """The standby could not have been asked with more time either, and the result says until when."""
    with World(clock) as world:
        acquire_token(world, 22 * HOUR)
        write_ledger(world, pace={"level": 1, "at": now(world)})
        claimed_at = now(world)
        world.vendor.script(LIMITED)
        do_at_vendor(world, "received", once(lambda: clock.advance(110)))
        result = world.invoke(timeout=145)
        assert (result["outcome"], result["reason"]) == ("waiting", "too_many_claims")
        assert result["not_before"] == claimed_at + 40 * MINUTE


def test_request_is_not_sent_when_its_answer_would_come_too_late(world: World) -> None:
    """If connecting takes nearly all of the time, nothing is sent: the answer would come too late for a token."""
    world.vendor.stop()
    process = world.process(ACQUIRE_TIMEOUT_SECONDS="8")

    def sleep(seconds: float) -> None:
        world.clock.advance(seconds)
        if world.clock.now() - begun >= 7:
            world.vendor.start()

    begun = world.clock.now()
    process.sleep = sleep
    with pytest.raises(VendorUnreachable):
        world.invoke(process=process)
    assert world.vendor.requests == []
    world.vendor.start()
    assert world.invoke()["outcome"] == "refreshed"


def test_request_that_a_slow_name_server_held_up_is_not_sent_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the last quarter of the time nothing is sent any more: nobody would wait for the token."""
    seconds = 0.4
    look_up = socket.getaddrinfo

    def slow(*name: Any, **options: Any) -> Any:
        time.sleep(0.8 * seconds)
        return look_up(*name, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = Client(world.primary, world.client_secrets[world.primary])
    with pytest.raises(VendorUnreachable, match="ConnectionError"):
        oauth2.acquire(
            client,
            world.process().settings,
            budget_seconds=seconds,
            now=world.clock.now,
            sleep=world.clock.advance,
        )
    assert world.vendor.requests == []


@pytest.mark.parametrize(
    ("requested", "named"),
    [(ARN, ARN), (ARN[:-7], ARN), (NAME, ARN), (NAME, NAME)],
    ids=["ARN", "ARN without its suffix", "name, but AWS says the ARN", "name"],
)
def test_secret_that_aws_misses_is_the_one_that_was_asked_for(requested: str, named: str) -> None:
    """AWS's error about a secret is found, whether the request or the error names it by name or by ARN."""
    errors = [{"SecretId": OTHER_NAME, "ErrorCode": "AccessDeniedException"}]
    errors += [{"SecretId": named, "ErrorCode": "ResourceNotFoundException"}]
    answer = {"SecretValues": [], "Errors": errors}
    with Recorder(body=answer) as aws, pytest.raises(CredentialsError, match="ResourceNotFound"):
        store_at(aws, requested).read_both().or_raise()


def test_refusal_of_both_clients_names_the_one_that_people_must_mend(clock: Clock) -> None:
    """If the primary's credentials are refused and the standby has no slot, the error is about the credentials."""
    with World(clock) as world:
        world.vendor.script(REFUSED, LIMITED)
        with pytest.raises(CredentialsRefused):
            world.invoke()
        assert metrics(world).keys() == {"TokenSecondsRemaining", "Failed", "CredentialsRefused", "RateLimited"}
        world.vendor.script(LIMITED, LIMITED)
        world.clock.advance(HOUR)
        with pytest.raises(RateLimited):
            world.invoke()
