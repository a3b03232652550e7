"""Who may be asked: the primary, the standby, or nobody yet."""

from dataclasses import replace
from typing import Any

import pytest

from handler.ledger import Ledger
from handler.model import Token
from handler.policy import Acquire, Decision, Wait

from .builders import (
    BACKING_OFF,
    BOTH,
    EXPIRING,
    FORCE,
    FORMER,
    HOUR,
    INTERVAL,
    NOW,
    OTHER_AUDIENCE,
    OTHER_URL,
    OVERRIDE,
    PRIMARY,
    STANDBY,
    STANDBY_BELOW,
    WINDOW,
    decision_on,
    make_closed_ledger,
    make_credentials,
    make_settings,
    make_slot,
    make_token,
)

TOO_EARLY = make_token(age=INTERVAL - 1, remaining=WINDOW)  # a second before its client may ask

# Open and closed slots


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited", "credentials_refused"])
def test_closed_slot_is_waited_for(reason: str) -> None:
    """A slot is closed until its `not_before`, for the reason that it names. Then it is open."""
    still_closed = make_closed_ledger(ahead=1, reason=reason)
    assert decision_on(current=EXPIRING, ledger=still_closed) == Wait(reason)
    open_again = make_closed_ledger(ahead=0, reason=reason)
    assert decision_on(current=EXPIRING, ledger=open_again) == Acquire("expiring", PRIMARY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"current": TOO_EARLY}, id="expiring"),
        pytest.param(
            {"current": replace(TOO_EARLY, token_url=OTHER_URL)},
            id="from another token_url",
        ),
        pytest.param(
            {"current": replace(TOO_EARLY, audience=OTHER_AUDIENCE)},
            id="for another audience",
        ),
        pytest.param({"current": make_token(age=60, remaining=0)}, id="expired early"),
        pytest.param({"is_revoked": True}, id="revoked"),
    ],
)
def test_current_token_closes_its_clients_slot(changes: dict[str, Any]) -> None:
    """The client of the current token is not asked before the interval and the margin are over."""
    assert decision_on(**changes) == Wait("limit_interval")


def test_interval_is_a_setting() -> None:
    """A client with a short interval is asked again as soon as the window opens."""
    decision = decision_on(
        current=make_token(remaining=60),
        settings=make_settings(limit_interval_seconds=60),
    )
    assert decision == Acquire("expiring", PRIMARY)


def test_interval_and_margin_can_be_zero() -> None:
    """A vendor without a limit is asked again in the same second."""
    decision = decision_on(
        current=make_token(age=0, remaining=60),
        settings=make_settings(limit_interval_seconds=0, limit_margin_seconds=0),
    )
    assert isinstance(decision, Acquire)


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [
        (INTERVAL - HOUR - 1, "limit_interval"),
        (INTERVAL - HOUR, "limit_interval"),
        (INTERVAL - HOUR + 1, "credentials_refused"),
    ],
)
def test_later_of_ledger_and_current_token_closes_the_slot(ahead: int, reason: str) -> None:
    """Both rules hold. The reason that is told is the one that holds for longer."""
    ledger = make_closed_ledger(ahead=ahead, reason="credentials_refused")
    assert decision_on(is_revoked=True, ledger=ledger) == Wait(reason)


def test_token_of_another_client_does_not_close_the_slot() -> None:
    """If the current token is the standby's, however new, the primary may ask at once."""
    decision = decision_on(current=make_token(STANDBY, age=0), credentials=BOTH)
    assert decision == Acquire("client_changed", PRIMARY)


def test_closed_slot_of_another_client_does_not_close_the_slot() -> None:
    """Each client has a slot of its own."""
    ledger = make_closed_ledger(STANDBY)
    decision = decision_on(current=EXPIRING, credentials=BOTH, ledger=ledger)
    assert decision == Acquire("expiring", PRIMARY)


@pytest.mark.parametrize(
    ("version_id", "expected"),
    [
        ("version-1", Wait("credentials_refused")),
        ("version-2", Acquire("expiring", PRIMARY)),
    ],
)
def test_corrected_credentials_open_the_slot(version_id: str, expected: Decision) -> None:
    """A refusal counts only for the version of the secret that was refused."""
    credentials = make_credentials(version_id=version_id)
    refused = make_closed_ledger(reason="credentials_refused", credentials_version="version-1")
    ledger = refused.as_of(NOW, (), credentials, make_settings())
    assert decision_on(current=EXPIRING, credentials=credentials, ledger=ledger) == expected


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited"])
def test_corrected_credentials_open_no_slot_that_is_closed_for_the_limit(reason: str) -> None:
    """Only a refusal of credentials depends on the credentials."""
    credentials = make_credentials(version_id="version-2")
    limited = make_closed_ledger(reason=reason)
    ledger = limited.as_of(NOW, (), credentials, make_settings())
    assert decision_on(current=EXPIRING, ledger=ledger) == Wait(reason)


# The standby


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"current": make_token(remaining=STANDBY_BELOW - 1)},
            "expiring",
            id="nearly over",
        ),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger()},
            "missing",
            id="missing",
        ),
        pytest.param({"current": make_token(remaining=0)}, "expired", id="expired"),
        pytest.param({"is_revoked": True}, "revoked", id="revoked"),
        pytest.param(
            {"current": make_token(FORMER), "ledger": make_closed_ledger()},
            "client_changed",
            id="not ours",
        ),
        pytest.param(
            {"current": make_token(token_url=OTHER_URL)},
            "config_changed",
            id="another config",
        ),
        pytest.param(
            {"current": None, "tried": {PRIMARY.client_id}},
            "missing",
            id="after the primary's refusal in this run",
        ),
        pytest.param(
            {"is_revoked": True, "settings": make_settings(standby_below_seconds=0)},
            "revoked",
            id="not good, though no token is ever too short",
        ),
    ],
)
def test_standby_is_asked_if_the_primary_has_no_slot(changes: dict[str, Any], reason: str) -> None:
    """The standby steps in if consumers would soon be without a token."""
    assert decision_on(credentials=BOTH, **changes) == Acquire(reason, STANDBY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            {"current": make_token(remaining=STANDBY_BELOW)},
            id="the current token lives long enough",
        ),
        pytest.param(
            {"current": make_token(remaining=600), "ledger": make_closed_ledger(STANDBY)},
            id="its slot is closed",
        ),
        pytest.param(
            {"current": make_token(STANDBY, remaining=600), "ledger": make_closed_ledger()},
            id="it has had the current token",
        ),
        pytest.param(
            {"is_revoked": True, "ledger": make_closed_ledger(STANDBY)},
            id="its slot is closed, the token revoked",
        ),
        pytest.param(
            {
                "current": make_token(remaining=1),
                "settings": make_settings(standby_below_seconds=0),
            },
            id="never while good",
        ),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger(), "tried": {STANDBY.client_id}},
            id="it was asked in this run",
        ),
        pytest.param(
            {"current": None, "tried": BOTH.client_ids},
            id="both were asked in this run",
        ),
        pytest.param({"request": FORCE}, id="forced, while the current token is good"),
    ],
)
def test_standby_is_left_alone(changes: dict[str, Any]) -> None:
    """The standby's slot is for need, and no client is asked twice in a run."""
    assert isinstance(decision_on(credentials=BOTH, **changes), Wait)


def test_primary_with_a_slot_comes_before_the_standby() -> None:
    """However little time remains, the primary is asked first."""
    decision = decision_on(current=make_token(age=INTERVAL, remaining=60), credentials=BOTH)
    assert decision == Acquire("expiring", PRIMARY)


def test_waiting_tells_the_primarys_reason() -> None:
    """If neither client has a slot, the reason of the primary's slot is told."""
    primary_closed = make_closed_ledger(reason="credentials_refused")
    ledger = primary_closed.with_slot(STANDBY.client_id, make_slot())
    decision = decision_on(current=None, credentials=BOTH, ledger=ledger)
    assert decision == Wait("credentials_refused")


# Backing off


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (None, "missing"),
        (EXPIRING, "expiring"),
        (make_token(age=INTERVAL, remaining=0), "expired"),
        (make_token(FORMER), "client_changed"),
    ],
)
def test_nobody_claims_before_retry_at(current: Token | None, reason: str) -> None:
    """Backing off holds for both clients. In the second in which it ends, the primary is asked."""
    ahead = Ledger(failures=3, retry_at=NOW + 1)
    assert decision_on(current=current, credentials=BOTH, ledger=ahead) == Wait("backing_off")
    over = Ledger(failures=3, retry_at=NOW)
    decision = decision_on(current=current, credentials=BOTH, ledger=over)
    assert decision == Acquire(reason, PRIMARY)


# An override of the limit


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"ledger": make_closed_ledger()}, "forced", id="closed slot"),
        pytest.param(
            {"ledger": make_closed_ledger(reason="credentials_refused")},
            "forced",
            id="refused credentials",
        ),
        pytest.param({"ledger": BACKING_OFF}, "forced", id="backing off"),
        pytest.param({"current": make_token(age=600)}, "forced", id="the current token's slot"),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger()},
            "missing",
            id="no token, with a standby",
        ),
    ],
)
def test_override_ignores_the_slot_rules(changes: dict[str, Any], reason: str) -> None:
    """If the vendor says that it has reset the limit, the primary is asked at once."""
    decision = decision_on(credentials=BOTH, request=OVERRIDE, **changes)
    assert decision == Acquire(reason, PRIMARY)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, Wait("rate_limited"), id="no standby"),
        pytest.param({"credentials": BOTH}, Acquire("missing", STANDBY), id="the standby is open"),
        pytest.param({"ledger": BACKING_OFF}, Wait("backing_off"), id="backing off"),
    ],
)
def test_override_counts_for_the_first_client_of_a_run(changes: dict[str, Any], expected: Decision) -> None:
    """Once a client was asked in this run, the slot rules hold again."""
    state = {"current": None, "ledger": make_closed_ledger()} | changes
    tried = {PRIMARY.client_id}
    assert decision_on(request=OVERRIDE, tried=tried, **state) == expected
