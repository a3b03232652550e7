"""Who may be asked: the primary, the standby, or nobody yet."""

from dataclasses import replace
from typing import Any

import pytest

from handler.ledger import Ledger, Pace
from handler.model import Token
from handler.policy import Acquire, Decision, Request, Wait

from .builders import (
    ASKED_WITH,
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
    STANDBY_BELOW,
    WINDOW,
    decision_on,
    make_backing_off_ledger,
    make_closed_ledger,
    make_credentials,
    make_settings,
    make_slot,
    make_terms,
    make_token,
)

TOO_EARLY = make_token(age=INTERVAL - 1, remaining=WINDOW)  # a second before its client may ask

SHORT_INTERVAL = make_settings(limit_interval_seconds=4 * HOUR)
FORCIBLE = make_token(age=INTERVAL, remaining=WINDOW + 1)  # is not due by itself

# Open and closed slots


@pytest.mark.parametrize(
    "reason",
    ["limit_interval", "rate_limited", "credentials_refused", "backing_off", "same_token"],
)
def test_closed_slot_is_waited_for(reason: str) -> None:
    """A slot is closed until its `not_before`, for the reason that it names. Then it is open."""
    still_closed = make_closed_ledger(ahead=1, reason=reason)
    assert decision_on(current=EXPIRING, ledger=still_closed) == Wait(reason, NOW + 1)
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
        pytest.param({"revoked": (FRESH,)}, id="revoked"),
    ],
)
def test_current_token_closes_its_clients_slot(changes: dict[str, Any]) -> None:
    """The client of the current token is not asked before the interval and the margin are over."""
    current = changes.get("current", FRESH)
    assert decision_on(**changes) == Wait("limit_interval", current.acquired_at + INTERVAL)


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
        current=make_token(age=0, remaining=0),
        settings=make_settings(limit_interval_seconds=0, limit_margin_seconds=0),
    )
    assert isinstance(decision, Acquire)


@pytest.mark.parametrize(
    ("ahead", "reason", "opens"),
    [
        (INTERVAL - HOUR - 1, "limit_interval", INTERVAL - HOUR),
        (INTERVAL - HOUR, "limit_interval", INTERVAL - HOUR),
        (INTERVAL - HOUR + 1, "credentials_refused", INTERVAL - HOUR + 1),
    ],
)
def test_later_of_ledger_and_current_token_closes_the_slot(ahead: int, reason: str, opens: int) -> None:
    """Both rules hold. The reason that is told is the one that holds for longer."""
    ledger = make_closed_ledger(ahead=ahead, reason="credentials_refused")
    assert decision_on(revoked=(FRESH,), ledger=ledger) == Wait(reason, NOW + opens)


def test_token_of_another_client_does_not_close_the_slot() -> None:
    """If the current token is the standby's, however new, the primary may ask at once."""
    decision = decision_on(current=make_token(STANDBY, age=0), credentials=BOTH)
    assert decision == Acquire("client_changed", PRIMARY)


def test_closed_slot_of_another_client_does_not_close_the_slot() -> None:
    """Each client has a slot of its own."""
    ledger = make_closed_ledger(STANDBY)
    decision = decision_on(current=EXPIRING, credentials=BOTH, ledger=ledger)
    assert decision == Acquire("expiring", PRIMARY)


@pytest.mark.parametrize("reason", ["credentials_refused", "backing_off"])
@pytest.mark.parametrize(
    ("version_id", "is_open"),
    [("version-1", False), ("version-2", True)],
)
def test_corrected_credentials_open_the_slot(reason: str, version_id: str, is_open: bool) -> None:
    """A pause of our own counts only for the request that failed."""
    credentials = make_credentials(version_id=version_id)
    paused = make_closed_ledger(reason=reason, asked_with=ASKED_WITH)
    ledger = paused.as_of(NOW, (), make_terms(credentials))
    decision = decision_on(current=EXPIRING, credentials=credentials, ledger=ledger)
    if is_open:
        assert decision == Acquire("expiring", PRIMARY)
    else:
        assert decision == Wait(reason, NOW + HOUR)


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited"])
def test_corrected_credentials_open_no_slot_that_is_closed_for_the_limit(reason: str) -> None:
    """Only our own pauses depend on what is asked."""
    credentials = make_credentials(version_id="version-2")
    limited = make_closed_ledger(reason=reason, asked_with=ASKED_WITH)
    ledger = limited.as_of(NOW, (), make_terms(credentials))
    assert decision_on(current=EXPIRING, ledger=ledger) == Wait(reason, NOW + HOUR)


# The standby


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"current": make_token(age=18 * HOUR, remaining=STANDBY_BELOW - 1)},
            "expiring",
            id="nearly over",
        ),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger()},
            "missing",
            id="missing",
        ),
        pytest.param({"current": make_token(remaining=0)}, "expired", id="expired"),
        pytest.param({"revoked": (FRESH,)}, "revoked", id="revoked"),
        pytest.param(
            {"current": None, "ledger": BACKING_OFF},
            "missing",
            id="the primary backs off",
        ),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger(reason="credentials_refused")},
            "missing",
            id="the primary's credentials are refused",
        ),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger(reason="same_token")},
            "missing",
            id="the primary got its old token again",
        ),
        pytest.param(
            {"current": make_token(age=3 * HOUR, remaining=HOUR - 1), "settings": SHORT_INTERVAL},
            "expiring",
            id="less than a quarter of a short life remains",
        ),
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
            {"current": None, "tried": {PRIMARY.principal}},
            "missing",
            id="after the primary's refusal in this run",
        ),
        pytest.param(
            {"revoked": (FRESH,), "settings": make_settings(standby_below_seconds=0)},
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
            {"current": make_token(age=18 * HOUR, remaining=STANDBY_BELOW)},
            id="the current token lives long enough",
        ),
        pytest.param(
            {"current": make_token(age=3 * HOUR, remaining=HOUR), "settings": SHORT_INTERVAL},
            id="a quarter of a short life remains",
        ),
        pytest.param(
            {"current": None, "ledger": make_backing_off_ledger(PRIMARY, STANDBY)},
            id="both back off",
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
            {"revoked": (FRESH,), "ledger": make_closed_ledger(STANDBY)},
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
            {"current": None, "ledger": make_closed_ledger(), "tried": {STANDBY.principal}},
            id="it was asked in this run",
        ),
        pytest.param(
            {"current": None, "tried": BOTH.principals},
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
    ledger = primary_closed.with_slot(STANDBY.principal, make_slot())
    decision = decision_on(current=None, credentials=BOTH, ledger=ledger)
    assert decision == Wait("credentials_refused", NOW + HOUR)


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
def test_nobody_is_asked_while_all_back_off(current: Token | None, reason: str) -> None:
    """Each principal backs off for itself. In the second in which a pause ends, it is asked."""
    both = make_backing_off_ledger(PRIMARY, STANDBY, ahead=1)
    decision = decision_on(current=current, credentials=BOTH, ledger=both)
    assert decision == Wait("backing_off", NOW + 1)
    over = make_backing_off_ledger(PRIMARY, STANDBY, ahead=0)
    decision = decision_on(current=current, credentials=BOTH, ledger=over)
    assert decision == Acquire(reason, PRIMARY)


def test_standby_that_backs_off_does_not_keep_the_primary_out() -> None:
    """Failures are counted per principal."""
    ledger = make_backing_off_ledger(STANDBY)
    decision = decision_on(current=None, credentials=BOTH, ledger=ledger)
    assert decision == Acquire("missing", PRIMARY)


# A forced refresh

PAUSES = pytest.mark.parametrize("pause", ["backing_off", "credentials_refused"])


@PAUSES
@pytest.mark.parametrize(
    ("age", "is_passed_over"),
    [(0, False), (599, False), (600, True), (DAY, True)],
)
def test_force_passes_over_our_own_pauses(pause: str, age: int, is_passed_over: bool) -> None:
    """Not within 10 min of the principal's last claim, because Lambda repeats what fails."""
    ledger = make_closed_ledger(reason=pause, asked_at=NOW - age)
    decision = decision_on(current=None, ledger=ledger, request=FORCE)
    if is_passed_over:
        assert decision == Acquire("missing", PRIMARY)
    else:
        assert decision == Wait(pause, NOW + HOUR)


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited", "same_token"])
def test_force_does_not_pass_over_the_limit(reason: str) -> None:
    """The vendor's limit still holds."""
    ledger = make_closed_ledger(reason=reason)
    assert decision_on(current=None, ledger=ledger, request=FORCE) == Wait(reason, NOW + HOUR)


# The pace of claims


@pytest.mark.parametrize(
    ("level", "changes", "needed"),
    [
        pytest.param(1, {"current": None}, 1, id="missing"),
        pytest.param(1, {"current": EXPIRING}, 1, id="expiring"),
        pytest.param(1, {"current": EXPIRING, "request": FORCE}, 1, id="forced in the window"),
        pytest.param(4, {"current": FORCIBLE, "request": FORCE}, 4, id="forced outside the window"),
        pytest.param(4, {"current": FORCIBLE, "request": OVERRIDE}, 4, id="the limit overridden"),
        pytest.param(4, {"current": TOO_EARLY, "request": OVERRIDE}, 4, id="the limit overridden in the window"),
    ],
)
def test_claims_have_a_pace(level: float, changes: dict[str, Any], needed: int) -> None:
    """Below the level nobody is asked. What is told is when the level suffices."""
    enough = Ledger(pace=Pace(level=level, at=NOW))
    assert isinstance(decision_on(ledger=enough, **changes), Acquire)
    less = Ledger(pace=Pace(level=level - 0.5, at=NOW))
    assert decision_on(ledger=less, **changes) == Wait("too_many_claims", NOW + 1_200)
    assert needed == level


@pytest.mark.parametrize("level", [-2, 0, 0.99])
def test_standby_keeps_to_the_pace_too(level: float) -> None:
    """The versions of a secret are as scarce for the one as for the other."""
    ledger = replace(make_closed_ledger(), pace=Pace(level=level, at=NOW))
    decision = decision_on(current=None, credentials=BOTH, ledger=ledger)
    assert isinstance(decision, Wait)
    assert decision.reason == "too_many_claims"


@pytest.mark.parametrize("event", [FORCE, OVERRIDE], ids=["force", "override"])
def test_force_that_the_pace_does_not_allow_still_asks_the_standby(event: Request) -> None:
    """What may not be forced is done as at any other run."""
    ledger = replace(BACKING_OFF, pace=Pace(level=3, at=NOW))
    decision = decision_on(current=None, credentials=BOTH, ledger=ledger, request=event)
    assert decision == Acquire("missing", STANDBY)


def test_closed_slot_comes_before_the_pace() -> None:
    """If nobody may ask, the slot's reason is told."""
    ledger = replace(make_closed_ledger(), pace=Pace(level=-2, at=NOW))
    assert decision_on(current=None, ledger=ledger) == Wait("rate_limited", NOW + HOUR)


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
        pytest.param({}, Wait("rate_limited", NOW + HOUR), id="no standby"),
        pytest.param({"credentials": BOTH}, Acquire("missing", STANDBY), id="the standby is open"),
        pytest.param({"ledger": BACKING_OFF}, Wait("backing_off", NOW + 60), id="backing off"),
    ],
)
def test_override_counts_for_the_first_client_of_a_run(changes: dict[str, Any], expected: Decision) -> None:
    """Once a client was asked in this run, the slot rules hold again."""
    state = {"current": None, "ledger": make_closed_ledger()} | changes
    tried = {PRIMARY.principal}
    assert decision_on(request=OVERRIDE, tried=tried, **state) == expected


@pytest.mark.parametrize(("age", "is_heard"), [(599, False), (600, True)])
def test_override_is_not_heard_soon_after_a_claim(age: int, is_heard: bool) -> None:
    """Lambda repeats an override that fails, and each repetition would cost versions."""
    ledger = make_closed_ledger(asked_at=NOW - age)
    decision = decision_on(current=None, ledger=ledger, request=OVERRIDE)
    if is_heard:
        assert decision == Acquire("missing", PRIMARY)
    else:
        assert decision == Wait("rate_limited", NOW + HOUR)
