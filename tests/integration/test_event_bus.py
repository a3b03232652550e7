"""The events that the function puts on an event bus, and an event bus that fails."""

from __future__ import annotations

import json
import socket

import pytest

from handler.errors import CredentialsRefused, EventError, VendorError
from local.emulators.world import World, environment
from tests.conftest import secrets_in
from tests.integration.helpers import DOWN, DRY_RUN, FORCE, REFUSED, STATUS, Json, acquire_token
from tests.integration.recorder import Recorder
from tests.integration.traffic import leave_token_unsaved, logged, metrics

ACCEPTED = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


def invoke_with_bus(world: World, url: str, event: object = None) -> Json:
    with environment(world.environment(AWS_ENDPOINT_URL_EVENTBRIDGE=url, EVENT_BUS_NAME="the-bus")):
        return world.invoke(event, world.process(EVENT_BUS_NAME="the-bus"))


def entries(bus: Recorder) -> list[Json]:
    return [entry for one in bus.received for entry in json.loads(one.body)["Entries"]]


def test_refresh_is_told_on_the_bus(world: World) -> None:
    """A refresh puts an event on the bus; its source is the one that rules name, its detail is the result."""
    with Recorder(body=ACCEPTED) as bus:
        result = invoke_with_bus(world, bus.url)
        [entry] = entries(bus)
    assert entry["Source"] == "token.refresh"
    assert entry["DetailType"] == "Token Refreshed"
    assert entry["EventBusName"] == "the-bus"
    assert json.loads(entry["Detail"]) == result
    assert not secrets_in(bus.received[0].body, world)
    assert "event not put" not in world.output


def test_token_that_was_recovered_is_told_on_the_bus(world: World) -> None:
    """A token that is saved by a later run is also an event: consumers have a new token."""
    process = world.process(EVENT_BUS_NAME="the-bus")
    with Recorder(body=ACCEPTED) as bus, environment(world.environment(AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)):
        leave_token_unsaved(world, process)
        assert world.invoke(process=process)["outcome"] == "recovered"
        assert [entry["DetailType"] for entry in entries(bus)] == ["Token Refresh Failed", "Token Refreshed"]


def test_failure_is_told_on_the_bus(world: World) -> None:
    """A failed refresh puts an event on the bus that names the error."""
    world.vendor.script(REFUSED)
    with Recorder(body=ACCEPTED) as bus:
        with pytest.raises(CredentialsRefused) as caught:
            invoke_with_bus(world, bus.url)
        [entry] = entries(bus)
    assert entry["Source"] == "token.refresh"
    assert entry["DetailType"] == "Token Refresh Failed"
    detail = {
        "error": "CredentialsRefused",
        "retryable": False,
        "connection": None,
        "message": str(caught.value),
    }
    assert json.loads(entry["Detail"]) == detail
    assert not secrets_in(bus.received[0].body, world)


@pytest.mark.parametrize("event", [{}, STATUS, DRY_RUN, FORCE])
def test_nothing_is_told_on_the_bus_where_nothing_changed(world: World, event: Json) -> None:
    """A kept token, a waiting run and a question put nothing on the bus."""
    acquire_token(world)
    with Recorder(body=ACCEPTED) as bus:
        invoke_with_bus(world, bus.url, event)
        assert bus.received == []


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (400, {"__type": "ResourceNotFoundException", "message": "no such bus"}, "ResourceNotFoundException"),
        (500, {}, "ClientError"),
        (200, {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}, "InternalFailure"),
        (200, {}, "KeyError"),
        (200, "no object", "AttributeError"),
    ],
)
def test_failing_bus_fails_no_refresh(world: World, status: int, body: object, word: str) -> None:
    """Whatever the bus answers, the run's result stays the same, and the log tells what happened."""
    with Recorder(status, body) as bus:
        assert invoke_with_bus(world, bus.url)["outcome"] == "refreshed"
        assert len(bus.received) == 1
    assert world.consume() == 200
    log_lines = [(line["level"], line["error"]) for line in logged(world, "event not put")]
    assert log_lines == [("WARNING", word)]


def test_bus_that_hangs_holds_no_run_for_long(world: World) -> None:
    """A bus that accepts the connection and never answers costs seconds, not boto3's default of a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address, port = silent.getsockname()
        assert invoke_with_bus(world, f"http://{address}:{port}")["outcome"] == "refreshed"
    assert [line["error"] for line in logged(world, "event not put")] == ["ReadTimeoutError"]


def test_bus_that_is_down_hides_no_error(world: World) -> None:
    """The run fails with the vendor's error, not with the bus's."""
    with Recorder() as gone:
        pass
    world.vendor.script(DOWN)
    with pytest.raises(VendorError):
        invoke_with_bus(world, gone.url)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_event_that_was_refused_is_told_on_no_bus(world: World) -> None:
    """No refresh was tried, and whoever sent the event gets the error."""
    with Recorder(body=ACCEPTED) as bus:
        with pytest.raises(EventError):
            invoke_with_bus(world, bus.url, {"action": "delete"})
        assert bus.received == []
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
    assert logged(world, "event not put") == []


def test_nothing_is_told_without_a_bus(world: World) -> None:
    """EVENT_BUS_NAME is empty by default: no events are put."""
    with Recorder(body=ACCEPTED) as bus, environment(world.environment(AWS_ENDPOINT_URL_EVENTBRIDGE=bus.url)):
        world.invoke()
        assert bus.received == []
