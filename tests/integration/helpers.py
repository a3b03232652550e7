"""Shared helpers of the integration tests: constants, what the token secret contains, and what a run returns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.conftest import secrets_in

Json = dict[str, Any]

MINUTE = 60
HOUR = 3_600
DAY = 86_400
INTERVAL = 72_000 + 300  # from one token of a client to its next: the limit and the margin

BLUE = "client-blue"
GREEN = "client-green"

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
LEDGER = "REFRESH_LEDGER"
PENDING = "REFRESH_PENDING"
PUBLISHED_LABELS = {CURRENT, LEDGER}
SEED = {"access_token": None, "expires_at": 0, "schema": 1}

FORCE = {"action": "refresh", "force": True}
OVERRIDE = FORCE | {"override_limit": True}
DRY_RUN = {"action": "refresh", "dry_run": True}
STATUS = {"action": "status"}
QUESTIONS = pytest.mark.parametrize("event", [DRY_RUN, STATUS], ids=["dry_run", "status"])
NO_LIMIT = {"LIMIT_INTERVAL_SECONDS": "0", "LIMIT_MARGIN_SECONDS": "0"}

RESULT_TYPES = {
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

LIMIT_MESSAGE = "Client tango-client client-blue has exceeded the daily rate limit"
REFUSED = Fault.answer(401, {"error": "invalid_client"})
LIMITED = Fault.answer(400, {"error": "access_denied", "error_description": LIMIT_MESSAGE})
DOWN = Fault.answer(503, {"error": "temporarily_unavailable"})
NOT_SAVED = AwsFault("EncryptionFailure")  # boto3 does not repeat this call by itself, which would take real seconds


def now(world: World) -> int:
    return int(world.clock.now())


def outcome_and_reason(result: Json) -> tuple[str, str]:
    return result["outcome"], result["reason"]


def acquire_token(world: World, age: float = HOUR, **overrides: str) -> Json:
    """Let a new process acquire the first token, then advance the clock by `age` seconds; return the document."""
    world.invoke(process=world.process(**overrides))
    token_document = world.token()
    world.clock.advance(age)
    return token_document


@contextmanager
def world_with_vendor(clock: Clock, **vendor: object) -> Iterator[World]:
    """Have a world without a standby, whose vendor has other rules; like the fixtures, it must not show a secret."""
    with World(clock, standby=False, vendor=vendor) as made:
        yield made
        assert not secrets_in(made.output, made)


def other_name(world: World) -> str:
    """Return the same token endpoint by another URL."""
    return world.vendor.token_url.replace("127.0.0.1", "localhost")


# What the secrets contain


def labels(world: World) -> dict[str, str]:
    """Return which version of the token secret has each label."""
    versions = world.secrets.versions(TOKEN_SECRET)
    return {label: version_id for version_id, version in versions.items() for label in version.labels}


def document(world: World, label: str = CURRENT) -> Json:
    version_id = labels(world)[label]
    parsed: Json = json.loads(world.secrets.versions(TOKEN_SECRET)[version_id].document)
    return parsed


def ledger(world: World) -> Json:
    content: Json = document(world, LEDGER)["ledger"]
    return content


def slot_of(world: World, client_id: str = BLUE) -> Json:
    content: Json = ledger(world)["slots"][client_id]
    return content


def credentials_version(world: World) -> str:
    versions = world.secrets.versions(CREDENTIALS_SECRET)
    return next(version_id for version_id, version in versions.items() if CURRENT in version.labels)


# What somebody else writes


def write(world: World, content: object, *stages: str) -> str:
    """Write a version of the token secret as somebody else would, a text unchanged; return the version's id."""
    text = content if isinstance(content, str) else json.dumps(content)
    client = world.secrets.client()
    answer = client.put_secret_value(SecretId=TOKEN_SECRET, SecretString=text, VersionStages=[*stages])
    version_id: str = answer["VersionId"]
    return version_id


def write_ledger(world: World, **changes: object) -> str:
    """Write a ledger as another run would; if the secret is empty, write the seed first."""
    if not world.secrets.versions(TOKEN_SECRET):
        write(world, SEED, CURRENT)
    content = {"lock": None, "failures": 0, "retry_at": 0, "slots": {}} | changes
    return write(world, {"schema": 1, "ledger": content}, LEDGER)


def slot(
    not_before: int = 0, reason: str | None = None, suspicions: int = 0, credentials_version: str | None = None
) -> Json:
    return {
        "not_before": not_before,
        "reason": reason,
        "suspicions": suspicions,
        "credentials_version": credentials_version,
    }


def another_runs_lock(world: World, *, age: int = 60, remaining: int = 60, client_id: str | None = BLUE) -> Json:
    """Return the lock of another run that claimed `age` seconds ago; it lapses in `remaining` seconds."""
    return {
        "run_id": "another-run",
        "client_id": client_id,
        "claimed_at": now(world) - age,
        "until": now(world) + remaining,
    }


def another_runs_token(world: World, client_id: str = BLUE, **changes: object) -> Json:
    """Return the document of a token that another run has just acquired."""
    at = now(world)
    return {
        "access_token": f"token-of-another-run-{client_id}",
        "token_type": "Bearer",
        "scope": "raas.all",
        "expires_at": at + DAY,
        "acquired_at": at,
        "client_id": client_id,
        "audience": "https://api.tangocard.com/",
        "token_url": world.vendor.token_url,
        "expires_at_utc": "",
        "schema": 1,
        "ledger": {"lock": None, "failures": 0, "retry_at": 0, "slots": {client_id: slot(at + INTERVAL)}},
    } | changes
