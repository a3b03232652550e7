"""The credentials secret: what it may contain, how it may be named, and the error if it can't be used."""

from __future__ import annotations

import json

import pytest

from handler.errors import ConfigurationError, CredentialsError, RefreshError, StoreError
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    DAY,
    GREEN,
    HOUR,
    Json,
    acquire_token,
    outcome_and_reason,
)
from tests.integration.traffic import metrics, record_traffic


def test_credentials_are_parsed_at_every_tick(world: World) -> None:
    """A mistake in the credentials secret is reported while the token is still fresh."""
    acquire_token(world)
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString='{"client_id": "client-blue"}')
    with pytest.raises(CredentialsError, match="client_secret"):
        world.invoke()


@pytest.mark.parametrize(
    ("secret_id", "error"),
    [(CREDENTIALS_SECRET, CredentialsError), (TOKEN_SECRET, StoreError)],
)
def test_secret_that_is_scheduled_for_deletion_is_as_good_as_missing(
    world: World, secret_id: str, error: type[RefreshError]
) -> None:
    """Neither secret is written to, and the error is that of a missing secret."""
    acquire_token(world)
    world.secrets.client().delete_secret(SecretId=secret_id)
    with record_traffic(world) as traffic, pytest.raises(RefreshError) as caught:
        world.invoke()
    assert caught.type is error
    assert traffic.writes == []
    assert traffic.vendor == []


@pytest.mark.parametrize(
    ("at_once", "expected"),
    [
        (False, "is marked for deletion (InvalidRequestException), so restore it"),
        (True, "is missing or has no value (ResourceNotFoundException)"),
    ],
    ids=["marked for deletion", "missing"],
)
def test_error_says_how_the_credentials_secret_is_gone(world: World, expected: str, *, at_once: bool) -> None:
    """One that is marked for deletion can be restored, and one that is missing has to be made anew."""
    how = {"ForceDeleteWithoutRecovery": True} if at_once else {}
    world.secrets.client().delete_secret(SecretId=CREDENTIALS_SECRET, **how)
    with pytest.raises(CredentialsError) as caught:
        world.invoke()
    assert str(caught.value) == f"the credentials secret {expected}: {CREDENTIALS_SECRET}"


CREDENTIALS: Json = {"client_id": BLUE, "client_secret": "canary-of-the-test"}
UNFIT_IDS: list[object] = ["", " ", None, 5, ["x"], "client\n"]
UNFIT_SECRETS: list[object] = ["", "\t", None, True, {}, "canary\n"]


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("no JSON", "JSON"),
        ('{"client_id": "client-blue", "client_secret": "canary-of-the-test"', "JSON"),
        ("[" * 60_000, "JSON"),
        ('"text"', "JSON"),
        ([CREDENTIALS], "JSON"),
        ({}, "client_id"),
        ({"client_id": BLUE}, "client_secret"),
        ({"client_secret": "canary-of-the-test"}, "client_id"),
        *((CREDENTIALS | {"client_id": value}, "client_id") for value in UNFIT_IDS),
        *((CREDENTIALS | {"client_secret": value}, "client_secret") for value in UNFIT_SECRETS),
        (CREDENTIALS | {"standby": {"client_id": BLUE, "client_secret": "other-canary-of-the-test"}}, "standby"),
        (CREDENTIALS | {"standby": {"client_id": GREEN}}, "standby"),
        (CREDENTIALS | {"standby": {"client_id": "", "client_secret": "other-canary-of-the-test"}}, "standby"),
        (CREDENTIALS | {"standby": "client-green"}, "standby"),
    ],
    ids=lambda value: str(value)[:40].replace("canary-of-the-test", ""),
)
def test_credentials_that_can_not_be_used_are_named_by_their_field(world: World, content: object, word: str) -> None:
    """The error names the wrong field, never its value; nothing is written, and nobody is asked."""
    text = content if isinstance(content, str) else json.dumps(content)
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString=text)
    with record_traffic(world) as traffic, pytest.raises(CredentialsError, match=word) as caught:
        world.invoke()
    assert not caught.value.retryable
    assert traffic.operations == ["BatchGetSecretValue"]
    assert traffic.vendor == []
    assert "canary" not in world.output


@pytest.mark.parametrize(
    ("age", "remaining"),
    [
        (HOUR, DAY - HOUR),
        (DAY + HOUR, 0),
        (None, 0),  # no token
    ],
)
def test_run_without_credentials_says_what_consumers_have(world: World, age: int | None, remaining: int) -> None:
    """With broken credentials the metric still tells how long the token lives: the alarms depend on it."""
    if age is not None:
        acquire_token(world, age)
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString="no JSON")
    with pytest.raises(CredentialsError):
        world.invoke()
    assert metrics(world) == {"TokenSecondsRemaining": remaining, "Failed": 1}


def test_credentials_secret_without_a_value_is_a_credentials_error(world: World) -> None:
    """This is the state after a first deployment, before anybody has put the credentials in."""
    world.secrets.do("CreateSecret", Name="tango/empty")
    with pytest.raises(CredentialsError):
        world.invoke(process=world.process(CREDENTIALS_SECRET_ID="tango/empty"))
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_credentials_secret_of_bytes_is_a_credentials_error(world: World) -> None:
    """A binary secret does not contain JSON that can be read."""
    world.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretBinary=b"\x00\xff")
    with pytest.raises(CredentialsError):
        world.invoke()


def test_further_keys_of_the_credentials_secret_are_ignored(world: World) -> None:
    """People may keep notes next to the credentials."""
    client_secret = world.client_secrets[BLUE]
    document = {"client_id": BLUE, "client_secret": client_secret, "owner": ["a", 5], "standby": None}
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString=json.dumps(document))
    assert world.invoke()["outcome"] == "refreshed"


@pytest.mark.parametrize("shorten", [False, True], ids=["whole ARN", "ARN without its suffix"])
def test_secrets_may_be_named_by_arn(world: World, shorten: bool) -> None:
    """Both secrets are found by name and by ARN, before and after the first token."""
    client = world.secrets.client()
    arns = [client.describe_secret(SecretId=name)["ARN"] for name in (CREDENTIALS_SECRET, TOKEN_SECRET)]
    if shorten:
        arns = [arn.rpartition("-")[0] for arn in arns]
    process = world.process(CREDENTIALS_SECRET_ID=arns[0], TOKEN_SECRET_ID=arns[1])
    assert outcome_and_reason(world.invoke(process=process)) == ("refreshed", "missing")
    assert outcome_and_reason(world.invoke(process=process)) == ("kept", "fresh")


def test_same_secret_by_name_and_by_arn_is_a_mistake(world: World) -> None:
    """The token must not be written over the credentials."""
    arn = world.secrets.client().describe_secret(SecretId=CREDENTIALS_SECRET)["ARN"]
    with record_traffic(world) as traffic, pytest.raises(ConfigurationError) as caught:
        world.invoke(process=world.process(TOKEN_SECRET_ID=arn))
    assert str(caught.value) == "environment: TOKEN_SECRET_ID and CREDENTIALS_SECRET_ID name the same secret"
    assert traffic.writes == []
