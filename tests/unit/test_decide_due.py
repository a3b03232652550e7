"""Whether a refresh is due, and whether another run's lock keeps this run from it."""

from dataclasses import replace
from typing import Any

import pytest

from handler.ledger import Ledger, Lock, Pace
from handler.policy import Acquire, Decision, Keep, Request, Wait, WaitForLock

from .builders import (
    BACKING_OFF,
    BOTH,
    DAY,
    EXPIRING,
    FORCE,
    FORMER,
    FRESH,
    HOUR,
    INTERVAL,
    NOW,
    OTHER_AUDIENCE,
    OTHER_URL,
    OVERRIDE,
    PRIMARY,
    STANDBY,
    STANDBY_TOKEN,
    WINDOW,
    decision_on,
    make_closed_ledger,
    make_lock,
    make_settings,
    make_terms,
    make_token,
)

NO_LIMIT = make_settings(limit_interval_seconds=0)

# Why a refresh is due


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"current": None}, "missing", id="the seed, or not a token"),
        pytest.param(
            {"current": STANDBY_TOKEN, "credentials": BOTH},
            "client_changed",
            id="the standby's",
        ),
        pytest.param(
            {"current": make_token(FORMER)},
            "client_changed",
            id="of a client that is not configured",
        ),
        pytest.param(
            {"current": make_token(FORMER, token_url=OTHER_URL)},
            "client_changed",
            id="client, then config",
        ),
        pytest.param(
            {"current": replace(EXPIRING, token_url=OTHER_URL)},
            "config_changed",
            id="another token_url",
        ),
        pytest.param(
            {"current": replace(EXPIRING, audience=OTHER_AUDIENCE)},
            "config_changed",
            id="another audience",
        ),
        pytest.param(
            {"current": replace(EXPIRING, requested_scope="raas.none")},
            "config_changed",
            id="another scope was requested",
        ),
        pytest.param(
            {"current": make_token(age=INTERVAL, remaining=DAY), "revoked": (make_token(age=HOUR),)},
            "revoked",
            id="older than a revoked one of its principal",
        ),
        pytest.param(
            {"current": replace(EXPIRING, audience=""), "revoked": (replace(EXPIRING, audience=""),)},
            "config_changed",
            id="config, then revoked",
        ),
        pytest.param(
            {
                "current": make_token(age=INTERVAL, remaining=DAY),
                "revoked": (make_token(age=INTERVAL, remaining=DAY),),
            },
            "revoked",
            id="revoked",
        ),
        pytest.param(
            {
                "current": make_token(age=DAY, remaining=-1),
                "revoked": (make_token(age=DAY, remaining=-1),),
            },
            "revoked",
            id="revoked, then expired",
        ),
        pytest.param(
            {"current": make_token(age=DAY, remaining=0)},
            "expired",
            id="expired in this second",
        ),
        pytest.param({"current": make_token(age=2 * DAY)}, "expired", id="expired a day ago"),
        pytest.param(
            {"current": make_token(age=DAY, remaining=1)},
            "expiring",
            id="one second remains",
        ),
        pytest.param({"current": EXPIRING}, "expiring", id="the window opens"),
        pytest.param(
            {"current": EXPIRING, "request": FORCE},
            "expiring",
            id="expiring, then forced",
        ),
        pytest.param(
            {"current": make_token(age=INTERVAL, remaining=WINDOW + 1), "request": FORCE},
            "forced",
            id="forced",
        ),
        pytest.param(
            {
                "current": make_token(age=2 * HOUR, remaining=HOUR),
                "settings": NO_LIMIT,
            },
            "expiring",
            id="the last third of a short life",
        ),
    ],
)
def test_refresh_is_due(changes: dict[str, Any], reason: str) -> None:
    """Each reason for a refresh is told. If there are several, the first of them is told."""
    assert decision_on(**changes) == Acquire(reason, PRIMARY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="fresh"),
        pytest.param({"current": make_token(remaining=WINDOW + 1)}, id="a second before the window"),
        pytest.param({"credentials": BOTH}, id="with a standby"),
        pytest.param({"ledger": Ledger(lock=make_lock())}, id="under another run's lock"),
        pytest.param({"ledger": BACKING_OFF}, id="while backing off"),
        pytest.param({"ledger": Ledger(pace=Pace(level=-2, at=NOW))}, id="after too many claims"),
        pytest.param({"current": replace(FRESH, scope="raas.none")}, id="with another scope than requested"),
        pytest.param({"revoked": (make_token(STANDBY),)}, id="while another principal's is revoked"),
        pytest.param({"revoked": (make_token(age=HOUR + 1),)}, id="while an older one is revoked"),
        pytest.param(
            {"current": make_token(age=2 * HOUR, remaining=HOUR + 1)},
            id="a second before the last third of a short life",
        ),
        pytest.param({"ledger": make_closed_ledger()}, id="with a closed slot"),
        pytest.param(
            {"previous": make_token(age=DAY, remaining=WINDOW)},
            id="with a good previous token",
        ),
        pytest.param(
            {
                "settings": make_settings(refresh_window_seconds=60),
                "current": make_token(remaining=61),
            },
            id="a window that is set",
        ),
    ],
)
def test_fresh_token_is_kept(changes: dict[str, Any]) -> None:
    """A fresh token of the primary is kept, whatever the ledger says, if no token is unsaved."""
    assert decision_on(**changes) == Keep()


@pytest.mark.parametrize("request_", [FORCE, OVERRIDE])
@pytest.mark.parametrize(
    ("age", "is_satisfied"),
    [(-60, True), (0, True), (599, True), (600, False), (INTERVAL, False)],
)
def test_forced_is_satisfied_within_ten_minutes(request_: Request, age: int, is_satisfied: bool) -> None:
    """A repeated event can't spend a second slot, even if it overrides the limit."""
    decision = decision_on(current=make_token(age=age, remaining=DAY), request=request_)
    assert (decision == Keep()) is is_satisfied


def test_forced_still_keeps_the_slot_rules() -> None:
    """Force opens the window, but not the slot."""
    assert decision_on(request=FORCE) == Wait("limit_interval", NOW - HOUR + INTERVAL)


# The lock of another run


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"current": None}, id="missing"),
        pytest.param({"current": EXPIRING}, id="expiring"),
        pytest.param({"unsaved": (make_token(age=0),)}, id="a better token unsaved"),
        pytest.param(
            {"current": make_token(FORMER), "previous": FRESH},
            id="a previous token to bring back",
        ),
        pytest.param({"current": EXPIRING, "displaced": FRESH}, id="a displaced token to bring back"),
        pytest.param({"current": EXPIRING, "request": OVERRIDE}, id="the limit overridden"),
        pytest.param({"current": None, "credentials": BOTH}, id="with a standby"),
    ],
)
def test_another_run_that_holds_the_lock_is_waited_for(changes: dict[str, Any]) -> None:
    """Nothing is claimed, moved or asked for while another run holds the lock."""
    assert decision_on(ledger=Ledger(lock=make_lock()), **changes) == WaitForLock()


@pytest.mark.parametrize(
    ("lock", "own_runs", "expected"),
    [
        pytest.param(make_lock(until=1), (), WaitForLock(), id="ahead"),
        pytest.param(make_lock(until=900), (), WaitForLock(), id="15 min ahead"),
        pytest.param(
            make_lock(until=901),
            (),
            Acquire("expiring", PRIMARY),
            id="too far ahead to be true",
        ),
        pytest.param(
            make_lock(until=0),
            (),
            Acquire("expiring", PRIMARY),
            id="lapsed in this second",
        ),
        pytest.param(
            make_lock(until=-DAY),
            (),
            Acquire("expiring", PRIMARY),
            id="lapsed a day ago",
        ),
        pytest.param(
            make_lock(until=60),
            ("another-run",),
            Acquire("expiring", PRIMARY),
            id="its own",
        ),
        pytest.param(make_lock(until=60), ("a-third-run",), WaitForLock(), id="not its own"),
    ],
)
def test_lock_keeps_others_out_until_it_lapses(lock: Lock, own_runs: tuple[str, ...], expected: Decision) -> None:
    """A lock holds from its claim until it lapses. It never locks out the process that holds it."""
    ledger = Ledger(lock=lock).as_of(NOW, own_runs, make_terms())
    assert decision_on(current=EXPIRING, ledger=ledger) == expected
