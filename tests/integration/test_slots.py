"""A client is asked only if its slot is open; without an open slot the run says when the slot opens."""

from __future__ import annotations

import pytest

from handler.errors import CredentialsRefused, RateLimited, StoreError, VendorError
from handler.model import utc
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    DAY,
    GREEN,
    HOUR,
    INTERVAL,
    MINUTE,
    REFUSED,
    Json,
    acquire_token,
    asked_with,
    backing_off_slot,
    now,
    outcome_and_reason,
    slot,
    write_ledger,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import metrics, record_traffic


def test_closed_slot_is_not_asked_and_says_when_it_opens(world: World) -> None:
    """Without a good token a closed slot is an error that says when it opens; nothing is written, nobody is asked."""
    opens_at = now(world) + HOUR
    write_ledger(world, slots={BLUE: slot(opens_at, "rate_limited", 1)})
    with record_traffic(world) as traffic, pytest.raises(RateLimited, match="2026-09-21T15:13:20Z") as caught:
        world.invoke()
    assert "correct the credentials" not in str(caught.value)
    assert traffic.writes == []
    assert traffic.vendor == []
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "RateLimited": 1}
    world.clock.advance(HOUR)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("rate_limited", ["RateLimited"]),
        ("credentials_refused", ["CredentialsRefused"]),
        ("backing_off", ["BackingOff"]),
        ("limit_interval", []),
        ("same_token", []),
    ],
)
def test_closed_slot_is_waiting_while_the_token_is_good(world: World, reason: str, counted: list[str]) -> None:
    """The result says what the run waits for; a refusal is counted each time, so that its alarm stays on."""
    acquire_token(world, INTERVAL)
    opens_at = now(world) + 30 * MINUTE
    closed = slot(
        not_before=opens_at,
        reason=reason,
        suspicions=1,
        asked_with=asked_with(world),
    )
    write_ledger(world, slots={BLUE: closed})
    with record_traffic(world) as traffic:
        result = world.invoke()
    assert outcome_and_reason(result) == ("waiting", reason)
    assert result["not_before"] == opens_at
    assert traffic.vendor == []
    counts = dict.fromkeys(["Waiting", *counted], 1)
    assert metrics(world) == {"TokenSecondsRemaining": DAY - INTERVAL} | counts
    log_lines = [(line["message"], line["not_before"]) for line in world.lines if "not_before" in line]
    assert log_lines == [(name, opens_at) for name in counted]


@pytest.mark.parametrize("event", [{}, {"action": "status"}], ids=["refresh", "status"])
def test_too_many_claims_are_waiting_until_there_may_be_another(world: World, event: Json) -> None:
    """The slot opens in this second, so its last reason is no news."""
    acquire_token(world, INTERVAL + MINUTE)
    write_ledger(world, slots={BLUE: slot(now(world), "rate_limited")}, pace={"level": 0, "at": now(world)})
    result = world.invoke(event)
    assert outcome_and_reason(result) == ("waiting", "too_many_claims")
    assert result["not_before"] == now(world) + 40 * MINUTE
    assert "RateLimited" not in metrics(world)


def test_too_many_claims_without_a_token_are_an_error(world: World) -> None:
    """Nobody else can help: it passes by itself."""
    write_ledger(world, pace={"level": 0, "at": now(world)})
    with pytest.raises(StoreError, match="too_many_claims") as caught:
        world.invoke()
    assert caught.value.code == "TooManyClaims"


def test_refusal_that_is_over_before_the_interval_is_no_more_news(world: World) -> None:
    """The reason is the one that keeps the slot closed for longest: here the current token, not the refusal."""
    acquire_token(world, 20 * HOUR + 2 * MINUTE)
    write_ledger(world, slots={BLUE: slot(now(world) + MINUTE, "rate_limited", 1)})
    assert outcome_and_reason(world.invoke()) == ("waiting", "limit_interval")
    assert "RateLimited" not in metrics(world)


def test_error_without_a_slot_says_when_the_published_token_lets_it_open(world: World) -> None:
    """A revoked token keeps its client's slot closed; the error says until when."""
    token = acquire_token(world)
    write_ledger(world)
    with Recorder(401) as api, pytest.raises(RateLimited, match=utc(token["acquired_at"] + INTERVAL)):
        world.invoke(process=world.process(PROBE_URL=api.url))


def test_refused_credentials_are_not_shown_again_for_an_hour(world: World) -> None:
    """A wrong client secret is not sent at every run: for an hour the run fails without a request."""
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke()
    world.clock.advance(HOUR - 1)
    with record_traffic(world) as traffic, pytest.raises(CredentialsRefused, match="correct the credentials"):
        world.invoke()
    assert traffic.vendor == []
    assert metrics(world)["CredentialsRefused"] == 1
    world.clock.advance(1)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_corrected_credentials_are_tried_at_once(world: World) -> None:
    """A new version of the credentials secret opens the slot that a refusal of the old version closed."""
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused):
        world.invoke()
    world.put_credentials(BLUE)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_corrected_credentials_do_not_open_a_rate_limited_slot(world: World) -> None:
    """A new version of the credentials secret does not change the vendor's limit."""
    closed = slot(
        not_before=now(world) + HOUR,
        reason="rate_limited",
        suspicions=1,
        asked_with=asked_with(world),
    )
    write_ledger(world, slots={BLUE: closed})
    world.put_credentials(BLUE)
    with pytest.raises(RateLimited):
        world.invoke()
    assert world.vendor.requests == []


@pytest.mark.parametrize("good", [True, False])
def test_nobody_claims_while_all_back_off(standby_world: World, good: bool) -> None:
    """Each principal backs off for itself. With a good token it is `waiting`, otherwise the last error."""
    if good:
        acquire_token(standby_world, DAY - HOUR)
    opens_at = now(standby_world) + 10 * MINUTE
    paused = backing_off_slot(standby_world)
    write_ledger(standby_world, slots={BLUE: paused, GREEN: paused})
    with record_traffic(standby_world) as traffic:
        if good:
            result = standby_world.invoke()
            assert outcome_and_reason(result) == ("waiting", "backing_off")
            assert result["not_before"] == opens_at
        else:
            with pytest.raises(VendorError):
                standby_world.invoke()
    assert traffic.writes == []
    assert traffic.vendor == []
