"""A run that finds a fresh token does next to nothing; the first run on an empty secret puts a seed, then a token."""

from __future__ import annotations

import json

import pytest

from local.emulators.clock import Clock
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    INTERVAL,
    PENDING,
    PREVIOUS,
    PUBLISHED_LABELS,
    SEED,
    Json,
    acquire_token,
    another_runs_token,
    asked_with,
    document,
    labels,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    write,
    write_ledger,
)
from tests.integration.traffic import do_at_calls, once, record_traffic


def test_fresh_token_costs_one_aws_call_and_no_request_to_the_vendor(world: World) -> None:
    """A run that finds a fresh token reads both secrets in one call, writes nothing and asks nobody."""
    acquire_token(world)
    before = world.secrets.versions(TOKEN_SECRET)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]
    assert traffic.vendor == []
    assert world.vendor.api_calls == []
    assert traffic.aws[0].params["SecretIdList"] == [CREDENTIALS_SECRET, TOKEN_SECRET]
    assert world.secrets.versions(TOKEN_SECRET) == before


def test_fresh_token_stays_one_aws_call_in_a_warm_process(world: World) -> None:
    """A process that has saved its token does not keep it: the next run also reads both secrets in one call."""
    process = world.process()
    world.invoke(process=process)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke(process=process)) == ("kept", "fresh")
    assert traffic.operations == ["BatchGetSecretValue"]


@pytest.mark.parametrize("is_ledger_apart", [False, True])
def test_ordinary_refresh_takes_four_aws_calls_and_one_acquire(world: World, is_ledger_apart: bool) -> None:
    """The four: read both secrets; claim in two calls; publish in one. Two more if the ledger is elsewhere."""
    acquire_token(world, INTERVAL)
    if is_ledger_apart:
        write_ledger(world)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "expiring")
    assert len(traffic.operations) == 4 + 2 * is_ledger_apart
    assert [request.issued for request in traffic.vendor] == [True]


def test_bootstrap_takes_eight_aws_calls_and_one_acquire(world: World) -> None:
    """The first run on an empty secret also puts the seed and reads again, as for any token that is missing."""
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert traffic.operations == [
        "BatchGetSecretValue",
        "PutSecretValue",
        "GetSecretValue",
        "BatchGetSecretValue",
        "GetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "PutSecretValue",
    ]
    assert [request.issued for request in traffic.vendor] == [True]


def test_bootstrap_puts_the_seed_first(world: World) -> None:
    """The seed is put under the pending label alone; AWS makes it current because there is no other version."""
    with record_traffic(world) as traffic:
        world.invoke()
    first = traffic.writes[0].params
    assert json.loads(first["SecretString"]) == SEED
    assert first["VersionStages"] == [PENDING]
    versions = world.secrets.versions(TOKEN_SECRET)
    assert next(iter(versions)) == first["ClientRequestToken"]
    assert document(world, PREVIOUS) == SEED


def test_seed_has_a_fixed_id_made_from_the_secrets_name() -> None:
    """Bootstraps of the same secret put the seed under the same id; another secret's name gives another id."""
    ids = []
    for name in (TOKEN_SECRET, TOKEN_SECRET, "tango/other"):
        with World(Clock(1_790_000_000), standby=False) as world:
            world.secrets.do("CreateSecret", Name="tango/other")
            world.invoke(process=world.process(TOKEN_SECRET_ID=name))
            ids.append(next(iter(world.secrets.versions(name))))
    assert ids[0] == ids[1] != ids[2]


def test_document_has_each_key_that_consumers_rely_on(world: World) -> None:
    """Consumers read exactly the documented keys; the times are JSON integers in whole seconds."""
    version_id = world.invoke()["version_id"]
    at = now(world)
    token_document = world.token()
    assert token_document == {
        "access_token": world.vendor.issued[0].token,
        "token_type": "Bearer",
        "scope": "raas.all",
        "expires_at": at + DAY,
        "acquired_at": at,
        "client_id": BLUE,
        "username": None,
        "audience": "https://api.tangocard.com/",
        "requested_scope": "raas.all",
        "requested_parameters": "",
        "token_url": world.vendor.token_url,
        "extra": {},
        "expires_at_utc": "2026-09-22T14:13:20Z",
        "schema": 1,
        "ledger": {
            "lock": None,
            "slots": {
                BLUE: slot(
                    at + INTERVAL,
                    "limit_interval",
                    asked_at=at,
                    asked_with=asked_with(world),
                )
            },
            "pace": {"level": 7, "at": at},
        },
    }
    assert {type(token_document[key]) for key in ("expires_at", "acquired_at", "schema")} == {int}
    counts = ("not_before", "suspicions", "failures", "asked_at")
    assert {type(slot_of(world)[key]) for key in counts} == {int}
    assert type(token_document["ledger"]["pace"]["at"]) is int
    assert world.secrets.versions(TOKEN_SECRET)[version_id].labels == PUBLISHED_LABELS
    assert world.consume() == 200


def test_replaced_token_is_the_previous_version(world: World) -> None:
    """AWSCURRENT moves from one whole token to the next in one step. The old token becomes AWSPREVIOUS."""
    old = acquire_token(world, INTERVAL)
    world.invoke()
    assert document(world, PREVIOUS) == old
    assert world.token()["access_token"] == world.vendor.issued[1].token


def is_put(operation: str, _: Json) -> bool:
    return operation == "PutSecretValue"


def test_late_seed_covers_no_token(world: World) -> None:
    """If there is already a value, a late seed does not take a label from it, and no token is lost."""
    publish_by_another_run = once(lambda: write(world, another_runs_token(world), CURRENT))
    do_at_calls(world, is_put, publish_by_another_run)
    with record_traffic(world) as traffic:
        assert world.invoke()["outcome"] in {"kept", "refreshed"}
    assert json.loads(traffic.writes[0].params["SecretString"]) == SEED
    labelled = {CURRENT, PREVIOUS} & set(labels(world))
    assert SEED not in [document(world, label) for label in labelled]


def test_late_repeated_seed_covers_no_token_of_another_bootstrap(world: World) -> None:
    """If two bootstraps run at the same moment, one acquires and the other finds its token."""
    do_at_calls(world, is_put, once(world.invoke))
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
    assert len(world.vendor.requests) == 1
    assert world.consume() == 200
