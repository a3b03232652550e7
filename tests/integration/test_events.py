"""The events that the function takes, and those that it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handler.errors import EventError
from local.emulators.world import World
from tests.integration.helpers import BLUE, HOUR, INTERVAL, Json, acquire_token, outcome_and_reason
from tests.integration.traffic import metrics, record_traffic

ROOT = Path(__file__).parents[2]


EVENTS = ROOT / "events"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("refresh.json", ("kept", "fresh")),
        ("scheduled.json", ("kept", "fresh")),
        ("scheduled-rule.json", ("kept", "fresh")),
        ("status.json", ("kept", "fresh")),
        ("dry-run.json", ("kept", "fresh")),
        ("force.json", ("waiting", "limit_interval")),
        ("override-limit.json", ("refreshed", "forced")),
    ],
)
def test_sample_event_does_what_it_says(world: World, name: str, expected: tuple[str, str]) -> None:
    """Each file in events/ is a known event. An hour after a token only two of them want another token."""
    acquire_token(world)
    world.vendor.reset_limit(BLUE)
    result = world.invoke(json.loads((EVENTS / name).read_text()))
    assert outcome_and_reason(result) == expected
    assert result["dry_run"] == (name == "dry-run.json")
    assert ("next_due_at" in result) == (name == "status.json")


def test_sample_events_are_all_tested() -> None:
    """Each file in events/ is sent by the test above."""
    names = {path.name for path in EVENTS.iterdir()}
    assert names == {
        "refresh.json",
        "scheduled.json",
        "scheduled-rule.json",
        "status.json",
        "dry-run.json",
        "force.json",
        "override-limit.json",
    }


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"action": "refresh"},
        {"force": False, "override_limit": False, "dry_run": False, "reason": ""},
        {"reason": "somebody asked"},
        {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"action": "status", "force": True}},
        {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{no JSON"},
        {"source": "ours", "detail-type": "Credentials Changed", "detail": None, "action": "nonsense"},
    ],
)
def test_refresh_if_due_is_what_most_events_mean(world: World, event: Json) -> None:
    """Most events, also an empty one and a schedule's, keep a fresh token and replace an old one."""
    acquire_token(world)
    assert outcome_and_reason(world.invoke(event)) == ("kept", "fresh")
    world.clock.advance(INTERVAL - HOUR)
    assert outcome_and_reason(world.invoke(event)) == ("refreshed", "expiring")


@pytest.mark.parametrize(
    ("event", "word"),
    [
        ([], "object"),
        ("refresh", "object"),
        (5, "object"),
        (True, "object"),
        ({"action": "stop"}, "action"),
        ({"action": "Refresh"}, "action"),
        ({"action": None}, "action"),
        ({"action": ["refresh"]}, "action"),
        ({"actoin": "status"}, "actoin"),
        ({"action": "refresh", "Force": True}, "Force"),
        ({"force": "true"}, "force"),
        ({"force": 1}, "force"),
        ({"force": None}, "force"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 0}, "dry_run"),
        ({"reason": 5}, "reason"),
        ({"reason": None}, "reason"),
        ({"force": True, "override_limit": "no"}, "override_limit"),
        ({"override_limit": True}, "force"),
        ({"force": False, "override_limit": True}, "force"),
        ({"action": "status", "force": True}, "status"),
        ({"action": "status", "dry_run": True}, "status"),
        ({"source": "aws.events"}, "source"),
        ({"detail-type": "Scheduled Event"}, "detail-type"),
    ],
)
def test_anything_else_is_refused_before_anything_is_read(world: World, event: object, word: str) -> None:
    """A mistyped event is an EventError that names the mistake; neither AWS nor the vendor is asked."""
    with record_traffic(world) as traffic, pytest.raises(EventError, match=word) as caught:
        world.invoke(event)
    assert not caught.value.retryable
    assert traffic.operations == []
    assert traffic.vendor == []
    assert set(metrics(world)) == {"TokenSecondsRemaining", "Failed"}
