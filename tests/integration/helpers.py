"""Shared helpers of the integration tests: constants, what the token secret contains, and what a run returns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import ANY

import pytest

import handler.ledger as ledger_module
from handler.errors import RefreshError
from handler.model import Credentials
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
NEW_PACE = {"level": 8, "at": 0}
EMPTY_LEDGER: Json = {"lock": None, "slots": {}, "pace": NEW_PACE}
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
    "connection": type(None),
    "expires_at": int,
    "expires_at_utc": str,
    "seconds_remaining": int,
    "client_id": str,
    "username": type(None),  # of a client alone
    "not_before": int,
    "not_before_utc": str,
    "version_id": str,
    "dry_run": bool,
    "warnings": list,
    "summary": str,
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


def public(token_document: Json) -> Json:
    """Return what consumers rely on: all but the ledger."""
    return {key: value for key, value in token_document.items() if key != "ledger"}


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
    answer = world.secrets.do("PutSecretValue", SecretId=TOKEN_SECRET, SecretString=text, VersionStages=[*stages])
    version_id: str = answer["VersionId"]
    return version_id


def write_ledger(world: World, **changes: object) -> str:
    """Write a ledger as another run would; if the secret is empty, write the seed first."""
    if not world.secrets.versions(TOKEN_SECRET):
        write(world, SEED, CURRENT)
    content = EMPTY_LEDGER | changes
    return write(world, {"schema": 1, "ledger": content}, LEDGER)


def slot(not_before: int = 0, reason: str | None = None, suspicions: int = 0, **changes: Any) -> Json:
    return {
        "not_before": not_before,
        "suspicions": suspicions,
        "failures": 0,
        "asked_at": 0,
        "asked_with": None,
        "error": None,
        "reason": reason,
    } | changes


def asked_slot(not_before: int = 0, reason: str | None = None, suspicions: int = 0, **changes: Any) -> Json:
    """Return an expected slot after a claim: when and with what it was asked may be anything."""
    asked = {"asked_at": ANY, "asked_with": ANY}
    return slot(not_before, reason, suspicions, **asked | changes)


def backing_off_slot(world: World, *, seconds: int = 10 * MINUTE, **changes: Any) -> Json:
    """Return the slot of a principal that has failed three times, and pauses for so long."""
    paused: Json = {"failures": 3, "error": "VendorError"}
    return slot(now(world) + seconds, "backing_off", **paused | changes)


def asked_with(world: World, **overrides: str) -> str:
    """Return what the ledger notes of a request with the present credentials and these settings."""
    process = world.process(**overrides)
    terms = ledger_module.Terms(
        credentials=Credentials.parse(*credentials_document(world)),
        settings=process.settings,
        token_life_seconds=DAY,
    )
    return terms.asked_with


def credentials_document(world: World) -> tuple[str, str]:
    """Return the text and the version of the credentials secret."""
    version_id = credentials_version(world)
    return world.secrets.versions(CREDENTIALS_SECRET)[version_id].document, version_id


def another_runs_lock(world: World, *, age: int = 60, remaining: int = 60, principal: str | None = BLUE) -> Json:
    """Return the lock of another run that claimed `age` seconds ago; it lapses in `remaining` seconds."""
    return {
        "run_id": "another-run",
        "principal": principal,
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
        "requested_scope": "raas.all",
        "requested_parameters": "",
        "token_url": world.vendor.token_url,
        "expires_at_utc": "",
        "schema": 1,
        "ledger": EMPTY_LEDGER | {"slots": {client_id: slot(at + INTERVAL)}},
    } | changes


def run(world: World, event: object = None, **options: Any) -> str:
    """Invoke the function; return the outcome, or the name of the error."""
    try:
        outcome: str = world.invoke(event, **options)["outcome"]
    except RefreshError as error:
        return type(error).__name__
    return outcome


def run_as_lambda(world: World, event: object = None) -> list[str]:
    """Invoke the function as Lambda does: twice more, after one and two minutes, if it fails. Returns what came."""
    began = now(world)
    outcomes = []
    for after in (0, MINUTE, 3 * MINUTE):
        world.clock.advance(max(0, began + after - now(world)))
        outcomes.append(run(world, event))
        if outcomes[-1][0].islower():  # an outcome; the names of errors begin with a capital letter
            break
    return outcomes


def has_good_token(world: World) -> bool:
    """Say whether consumers can use the current token, by its own document."""
    document = world.token()
    return document.get("access_token") is not None and document.get("expires_at", 0) > now(world)
