"""The world of many connections: stores come and go, a sweep hands them over, and the emulated Lambda runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from local.durations import HOUR, MINUTE
from local.emulators.clock import Clock
from local.emulators.lambda_runtime import FUNCTION_NAME
from local.emulators.read_lag import READS
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import World
from tests.conftest import secrets_in

STORES = ["stores/001", "stores/002", "stores/003"]


@pytest.fixture
def stores(clock: Clock) -> Iterator[World]:
    """A world that keeps many connections, with three stores; its clock stands still until it is moved."""
    with World(clock, prefix="tango/") as made:
        for name in STORES:
            made.add_store(name)
        yield made
        assert not secrets_in(made.output, made)


def test_a_sweep_hands_each_store_over_to_the_emulated_lambda(stores: World) -> None:
    """The sweep writes nothing. The queue then runs the function once for each store, and each has its own token."""
    calls_before = len(stores.secrets.calls)
    assert stores.invoke()["handed_over"] == len(STORES)
    assert set(stores.secrets.calls[calls_before:]) <= READS
    runs = stores.functions.run_queue()
    assert [run.event["connection"] for run in runs] == STORES
    assert {run.result["outcome"] for run in runs} == {"refreshed"}
    assert [stores.token(name)["username"] for name in STORES] == STORES
    assert [stores.consume(name) for name in STORES] == [200, 200, 200]
    assert stores.invoke()["fresh"] == len(STORES)
    assert stores.functions.run_queue() == []


def test_a_store_whose_vendor_fails_is_a_dead_letter_and_harms_no_other(stores: World) -> None:
    """Lambda repeats its run twice, within three minutes; the others have their tokens at once."""
    stores.vendor.deactivate(f"client-violet#{STORES[0]}")
    stores.invoke()
    stores.functions.run_queue(move_clock=True)
    [letter] = stores.functions.dead_letters
    assert letter.event["connection"] == STORES[0]
    assert letter.last
    assert type(letter.last.error).__name__ == "CredentialsRefused"
    assert [stores.consume(name) for name in STORES[1:]] == [200, 200]


def test_an_event_waits_up_to_six_hours_in_a_world_of_many(stores: World) -> None:
    """The event age is that of a deployment of many connections, so that the last of many due ones still runs."""
    stores.invoke()
    stores.clock.advance(6 * HOUR - MINUTE)
    assert len(stores.functions.run_queue()) == len(STORES)
    assert stores.functions.dead_letters == []


def test_a_connection_has_its_own_settings_and_standby(stores: World) -> None:
    """A connection can ask with any principal of the vendor, and with settings of its own."""
    stores.add_connection("own", "client-blue", "client-green", settings={"scope": "other.scope"})
    result = stores.invoke({"action": "refresh", "connection": "own"})
    assert (result["outcome"], result["client_id"]) == ("refreshed", "client-blue")
    assert stores.token("own")["requested_scope"] == "other.scope"
    assert result["connection"] == "own"


def test_a_denied_store_is_named_by_the_survey(stores: World) -> None:
    """A credentials secret that may not be read is a problem of this store alone."""
    stores.secrets.access.denied.add(stores.credentials_secret(STORES[1]))
    [problem] = stores.invoke({"action": "status"})["problems"]
    assert problem["name"] == STORES[1]
    assert "is not authorized" in problem["text"]


def test_an_invoke_that_is_throttled_is_told_by_the_sweep(stores: World) -> None:
    """The other stores are handed over; the next sweep hands this one over, too."""
    stores.functions.fail(*[AwsFault("TooManyRequestsException", 429)] * 3)
    result = stores.invoke()
    assert result["handed_over"] == 2
    assert [problem["name"] for problem in result["problems"]] == STORES[:1]
    stores.functions.run_queue()
    assert stores.invoke()["handed_over"] == 1


def test_the_served_function_runs_through_lambda_too(stores: World) -> None:
    """A client of Lambda invokes the real handler, waits for its result, and reads its log."""
    with closing(lambda_client(stores)) as client:
        event = {"action": "refresh", "connection": STORES[2]}
        answer = client.invoke(FunctionName=FUNCTION_NAME, Payload=json.dumps(event).encode(), LogType="Tail")
    result = json.loads(answer["Payload"].read())
    assert (result["outcome"], result["connection"]) == ("refreshed", STORES[2])
    assert answer["LogResult"]
    assert stores.consume(STORES[2]) == 200


def lambda_client(world: World) -> Any:
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    return botocore.session.Session().create_client("lambda", endpoint_url=world.functions.url, config=config)
