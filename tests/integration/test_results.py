"""The result of a run: its keys, their types, and null if there is no value."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local.emulators.world import TOKEN_SECRET, World
from tests.integration.arrangements import due, kept, recovered, status, waiting
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DRY_RUN,
    GREEN,
    INTERVAL,
    QUESTIONS,
    RESULT_TYPES,
    SEED,
    Json,
    acquire_token,
    labels,
    now,
    outcome_and_reason,
    write,
)
from tests.integration.traffic import metrics


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
    """Every outcome has the same keys, and every value that is not null has its type."""
    result = run(world)
    assert {key: type(value) for key, value in result.items()} == RESULT_TYPES
    assert result["outcome"] == outcome
    assert result["expires_at"] == world.token()["expires_at"]
    assert result["client_id"] == BLUE
    assert result["expires_at_utc"] == world.token()["expires_at_utc"]
    assert result["seconds_remaining"] == result["expires_at"] - now(world)
    assert result["version_id"] == labels(world)[CURRENT]
    assert result["not_before"] == world.token()["acquired_at"] + INTERVAL
    assert result["dry_run"] == (run is due)
    assert result["warnings"] == []


@QUESTIONS
def test_result_is_null_if_there_is_nothing(world: World, event: Json) -> None:
    """Before the first run there is no token, no version and no moment to wait for."""
    result = world.invoke(event)
    assert {key: result[key] for key in RESULT_TYPES} == {
        "outcome": "due",
        "reason": "missing",
        "connection": None,
        "expires_at": None,
        "expires_at_utc": None,
        "seconds_remaining": 0,
        "client_id": None,
        "username": None,
        "not_before": None,
        "version_id": None,
        "dry_run": event is DRY_RUN,
        "warnings": [],
    }
    assert world.secrets.versions(TOKEN_SECRET) == {}


@QUESTIONS
def test_seed_has_a_version_and_nothing_else(world: World, event: Json) -> None:
    """The seed is a version, but not a token."""
    seed = write(world, SEED, CURRENT)
    result = world.invoke(event)
    assert outcome_and_reason(result) == ("due", "missing")
    assert result["version_id"] == seed
    for key in ("expires_at", "expires_at_utc", "client_id", "username", "not_before"):
        assert result[key] is None


def test_token_that_is_not_good_has_no_seconds_remaining(world: World) -> None:
    """The result names another client's token with its expiry, but its remaining life counts as 0."""
    token = acquire_token(world)
    world.put_credentials(GREEN)
    result = world.invoke(DRY_RUN)
    assert outcome_and_reason(result) == ("due", "client_changed")
    assert result["client_id"] == BLUE
    assert result["expires_at"] == token["expires_at"]
    assert result["seconds_remaining"] == 0
    assert metrics(world)["TokenSecondsRemaining"] == 0
