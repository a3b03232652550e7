"""What each event asks for, and every file of events/."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.app import parse_event
from handler.errors import EventError

from .builders import BOUNDED
from .strategies import json_values

EVENTS = Path(__file__).parents[2] / "events"
REFRESH = {
    "action": "refresh",
    "force": False,
    "override_limit": False,
    "dry_run": False,
    "reason": "",
    "connection": "",
}
RULE = {
    "source": "aws.events",
    "detail-type": "Scheduled Event",
    "detail": {},
    "resources": ["arn:aws:events:x"],
}


@pytest.mark.parametrize(
    ("event", "options"),
    [
        pytest.param({}, {}, id="empty"),
        pytest.param({"action": "refresh"}, {}, id="refresh"),
        pytest.param(RULE, {}, id="a rule's"),
        pytest.param(RULE | {"detail": "{}"}, {}, id="Scheduler's"),
        pytest.param(RULE | {"detail": '{"action": "status"}'}, {}, id="Scheduler's, its detail is not read"),
        pytest.param(RULE | {"detail": {"action": "nonsense"}}, {}, id="a rule's, its detail is not read"),
        pytest.param({"source": "x", "detail-type": "y"}, {}, id="anything with source and detail-type"),
        pytest.param({"action": "refresh", "force": True}, {"force": True}, id="force"),
        pytest.param({"force": True}, {"force": True}, id="refresh is the default"),
        pytest.param(
            {"action": "refresh", "force": True, "reason": "the vendor asked"},
            {"force": True, "reason": "the vendor asked"},
            id="force with a reason",
        ),
        pytest.param(
            {"action": "refresh", "force": True, "override_limit": True, "reason": "reset"},
            {"force": True, "override_limit": True, "reason": "reset"},
            id="override",
        ),
        pytest.param({"force": False, "override_limit": False}, {}, id="neither force nor override"),
        pytest.param({"action": "refresh", "dry_run": True}, {"dry_run": True}, id="dry run"),
        pytest.param(
            {"action": "refresh", "dry_run": True, "force": True},
            {"dry_run": True, "force": True},
            id="dry, forced",
        ),
        pytest.param({"action": "status"}, {"action": "status"}, id="status"),
        pytest.param({"connection": "x" * 250}, {"connection": "x" * 250}, id="the longest name"),
        pytest.param({"reason": "x" * 200}, {"reason": "x" * 200}, id="the longest reason"),
    ],
)
def test_event_asks_for(event: dict[str, Any], options: dict[str, Any]) -> None:
    """The options of an event are complete: they include the defaults."""
    assert parse_event(event) == REFRESH | options


OPTIONS_OF_FILE: dict[str, dict[str, Any]] = {
    "dry-run.json": {"dry_run": True},
    "force.json": {"force": True, "reason": "the vendor asked for a new token"},
    "override-limit.json": {
        "force": True,
        "override_limit": True,
        "reason": "the vendor says it has reset the limit",
    },
    "refresh.json": {},
    "scheduled-rule.json": {},
    "scheduled.json": {},
    "status.json": {"action": "status"},
}


def test_every_file_of_events_is_listed_here() -> None:
    """An event that is added to events/ gets its row above."""
    assert {path.name for path in EVENTS.iterdir()} == {*OPTIONS_OF_FILE}


@pytest.mark.parametrize(("name", "options"), OPTIONS_OF_FILE.items())
def test_event_file_asks_for(name: str, options: dict[str, Any]) -> None:
    """Each sample event is accepted, and asks for what its name says."""
    event = json.loads((EVENTS / name).read_text())
    assert parse_event(event) == REFRESH | options


def test_scheduled_files_are_as_aws_sends_them() -> None:
    """A rule's `detail` is an object, Scheduler's is a string."""
    assert json.loads((EVENTS / "scheduled-rule.json").read_text())["detail"] == {}
    assert json.loads((EVENTS / "scheduled.json").read_text())["detail"] == "{}"


NOT_BOOLEANS: list[Any] = [None, 0, 1, "true", "", [], {}]
NOT_TEXTS: list[Any] = [None, 5, True, ["status"], {}]


@pytest.mark.parametrize("event", [None, [], [{"action": "refresh"}], "refresh", "", 5, True, 1.5])
def test_event_that_is_not_an_object_is_refused(event: object) -> None:
    """A Lambda can be invoked with any JSON value."""
    with pytest.raises(EventError, match="object") as caught:
        parse_event(event)
    assert caught.value.retryable is False


@pytest.mark.parametrize(
    ("event", "key"),
    [
        pytest.param({"action": "delete"}, "action", id="unknown action"),
        pytest.param({"action": "Refresh"}, "action", id="another case"),
        pytest.param({"action": ""}, "action", id="no action"),
        pytest.param({"forced": True}, "forced", id="unknown key"),
        pytest.param({"action": "refresh", "Force": True}, "Force", id="unknown key next to a known one"),
        pytest.param({"source": "aws.events"}, "source", id="source alone"),
        pytest.param({"detail-type": "Scheduled Event"}, "detail-type", id="detail-type alone"),
        pytest.param({"detail": {}}, "detail", id="detail alone"),
        *[
            pytest.param({key: value}, key, id=f"{key}: {value!r}")
            for key in ("force", "override_limit", "dry_run")
            for value in NOT_BOOLEANS
        ],
        *[pytest.param({"reason": value}, "reason", id=f"reason: {value!r}") for value in NOT_TEXTS],
        *[pytest.param({"action": value}, "action", id=f"action: {value!r}") for value in NOT_TEXTS],
        pytest.param({"override_limit": True}, "override_limit", id="override without force"),
        pytest.param(
            {"override_limit": True, "force": False},
            "override_limit",
            id="override, force false",
        ),
        pytest.param(
            {"override_limit": True, "dry_run": True},
            "override_limit",
            id="override, a dry run",
        ),
        pytest.param({"action": "status", "force": True}, "status", id="status with force"),
        pytest.param({"action": "status", "dry_run": True}, "status", id="status with dry_run"),
        pytest.param({"action": "status", "reason": "x"}, "status", id="status with a reason"),
    ],
)
def test_event_is_refused(event: dict[str, Any], key: str) -> None:
    """Any other event is refused, with a message that names the key at fault."""
    with pytest.raises(EventError, match=rf"\b{key}\b") as caught:
        parse_event(event)
    assert caught.value.retryable is False


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (5, "the event must be a JSON object"),
        (
            {"forced": True},
            (
                "the event has an unknown key 'forced'; "
                "known are action, force, override_limit, dry_run, reason, connection"
            ),
        ),
        (
            {"\ud800" + "k" * 99: True},
            (
                f"the event has an unknown key '\\ud800{'k' * 39}'; "
                "known are action, force, override_limit, dry_run, reason, connection"
            ),
        ),
        ({"reason": 5}, "the event's reason must be a text"),
        ({"reason": "x" * 201}, "the event's reason must be printable, and 200 characters at most"),
        ({"reason": "half a pair: \ud800"}, "the event's reason must be printable, and 200 characters at most"),
        ({"force": "yes"}, "the event's force must be true or false"),
        ({"action": "delete"}, "the event's action must be refresh or status"),
        ({"action": "status", "reason": ""}, "the event's action status goes with no other key than connection"),
        ({"override_limit": True}, "the event's override_limit goes with force"),
        *[
            (
                {"connection": name},
                "the event's connection can't be the name of one: it may have letters, digits and /_+=.@-",
            )
            for name in ("", "shop!1", "x" * 251)
        ],
    ],
)
def test_refusal_says_what_would_be_right(event: object, message: str) -> None:
    """The message is enough to correct the event."""
    with pytest.raises(EventError) as caught:
        parse_event(event)
    assert str(caught.value) == message


events_with_known_keys = st.dictionaries(
    st.sampled_from([*REFRESH]),
    json_values | st.sampled_from(["refresh", "status"]),
)


@BOUNDED
@given(json_values | events_with_known_keys)
def test_any_event_is_parsed_or_refused(event: object) -> None:
    """Any JSON value is refused, or gives complete options of the documented types."""
    try:
        options = parse_event(event)
    except EventError:
        return
    types = {key: type(value) for key, value in options.items()}
    assert types == {key: type(value) for key, value in REFRESH.items()}
    assert options["force"] or not options["override_limit"]
