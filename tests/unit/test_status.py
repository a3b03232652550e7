"""What `status` and a dry run answer: the outcome of a refresh now, and what comes next."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.ledger import Ledger, Pace
from handler.model import Token
from handler.outlook import may_fail_again, next_due_at, standby_due_at
from handler.policy import Acquire, Request, State, decide
from handler.reader import Snapshot
from handler.refresh import Outcome
from handler.result import result_of
from handler.secrets_manager import NO_VERSION, SecretDescription
from handler.status import result_now, safe_to_deactivate

from .builders import (
    BACKING_OFF,
    BOTH,
    BOUNDED,
    DAY,
    DEFAULT,
    EXPIRING,
    FORCE,
    FORMER,
    FRESH,
    HOUR,
    INTERVAL,
    NOW,
    PRIMARY,
    STANDBY,
    STANDBY_TOKEN,
    WINDOW,
    make_closed_ledger,
    make_credentials,
    make_lock,
    make_settings,
    make_state,
    make_token,
)
from .strategies import states, times, tokens


def snapshot_of(state: State, version_id: str = "version-of-the-token") -> Snapshot:
    return Snapshot(state=state, token_version_id=version_id, ledger_version=NO_VERSION)


@pytest.mark.parametrize(
    ("changes", "request_", "outcome", "reason"),
    [
        pytest.param({}, DEFAULT, "kept", "fresh", id="fresh"),
        pytest.param({"current": None}, DEFAULT, "due", "missing", id="missing"),
        pytest.param({"current": EXPIRING}, DEFAULT, "due", "expiring", id="expiring"),
        pytest.param({}, FORCE, "waiting", "limit_interval", id="forced"),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger()},
            DEFAULT,
            "waiting",
            "rate_limited",
            id="slot closed",
        ),
        pytest.param(
            {"current": None, "ledger": BACKING_OFF},
            DEFAULT,
            "waiting",
            "backing_off",
            id="backing off",
        ),
        pytest.param(
            {"current": None, "ledger": Ledger(lock=make_lock())},
            DEFAULT,
            "waiting",
            "locked",
            id="another run's lock",
        ),
        pytest.param(
            {"current": None, "ledger": Ledger(pace=Pace(level=0, at=NOW))},
            DEFAULT,
            "waiting",
            "too_many_claims",
            id="too many claims",
        ),
        pytest.param(
            {"current": EXPIRING, "displaced": FRESH},
            DEFAULT,
            "due",
            "displaced",
            id="a displaced token to bring back",
        ),
        pytest.param(
            {"current": make_token(FORMER), "previous": FRESH},
            DEFAULT,
            "due",
            "previous",
            id="a previous token to bring back",
        ),
        pytest.param(
            {"current": None, "unsaved": (FRESH,)},
            DEFAULT,
            "due",
            "unsaved",
            id="a token to publish",
        ),
    ],
)
def test_outcome_and_reason(changes: dict[str, Any], request_: Request, outcome: str, reason: str) -> None:
    """Each decision has its own words in the answer."""
    state = make_state(**changes)
    result = result_now(snapshot_of(state), request_)
    assert result["outcome"] == outcome
    assert result["reason"] == reason


def test_failure_before_the_current_token_says_nothing_of_the_next_request() -> None:
    """The vendor has granted since then."""
    state = make_state(ledger=make_closed_ledger(ahead=-60, reason="backing_off"))
    assert not may_fail_again(PRIMARY, state)
    assert may_fail_again(PRIMARY, replace(state, current=None))


def test_standby_is_asked_in_the_second_in_which_the_token_becomes_short() -> None:
    """With a whole quarter of its life left it is not short yet."""
    token = make_token(age=0, remaining=10_000)
    standby_at = standby_due_at(make_state(current=token, credentials=BOTH))
    assert standby_at == NOW + 7_501
    assert not make_state(current=token, now=standby_at - 1).is_current_short()
    assert make_state(current=token, now=standby_at).is_current_short()


@pytest.mark.parametrize(
    ("changes", "ahead"),
    [
        pytest.param({}, 7_501, id="short"),
        pytest.param({"ledger": Ledger(lock=make_lock(until=8_000))}, 8_000, id="another run"),
        pytest.param({"ledger": Ledger(pace=Pace(level=-2, at=NOW + 6_000))}, 13_200, id="too many claims"),
        pytest.param({"current": make_token(STANDBY, age=0, remaining=10_000)}, INTERVAL, id="its own token"),
    ],
)
def test_standby_is_asked_when_it_may_be(changes: dict[str, Any], ahead: int) -> None:
    """The token must be short, its slot open, and a claim possible."""
    state = make_state(**{"current": make_token(age=0, remaining=10_000), "credentials": BOTH, **changes})
    assert standby_due_at(state) == NOW + ahead


def test_token_that_nobody_looks_at_does_not_change_when_the_next_request_is_due() -> None:
    """While the current token is fresh, a newer one in another version stays where it is."""
    state = make_state(displaced=make_token(age=60))
    assert next_due_at(state, DEFAULT) == FRESH.acquired_at + INTERVAL


def test_result_with_a_token() -> None:
    """The result tells whose token it is, when it ends and when the primary may ask next."""
    snapshot = snapshot_of(make_state())
    result = result_of(Outcome("kept", "fresh", snapshot))
    assert result.pop("summary").startswith("The token of client-primary ends at 2027-01-16 07:00 UTC")
    assert result == {
        "outcome": "kept",
        "reason": "fresh",
        "connection": None,
        "expires_at": NOW - HOUR + DAY,
        "expires_at_utc": "2027-01-16T07:00:00Z",
        "seconds_remaining": DAY - HOUR,
        "client_id": "client-primary",
        "username": None,
        "not_before": NOW - HOUR + INTERVAL,
        "not_before_utc": "2027-01-16T03:05:00Z",
        "version_id": "version-of-the-token",
        "dry_run": False,
        "warnings": [],
    }


def test_result_without_a_token() -> None:
    """A fact that is not known is null, and nothing forbids to ask."""
    snapshot = snapshot_of(make_state(current=None), version_id="")
    result = result_of(Outcome("due", "missing", snapshot))
    assert result.pop("summary").startswith("CONSUMERS HAVE NO TOKEN")
    assert result == {
        "outcome": "due",
        "reason": "missing",
        "connection": None,
        "expires_at": None,
        "expires_at_utc": None,
        "seconds_remaining": 0,
        "client_id": None,
        "username": None,
        "not_before": None,
        "not_before_utc": None,
        "version_id": None,
        "dry_run": False,
        "warnings": [],
    }


def test_result_has_the_warnings_of_the_credentials() -> None:
    """A mistyped key is named in every result, as long as it stands there."""
    warnings = ("one", "two")
    credentials = replace(make_credentials(), warnings=warnings)
    snapshot = snapshot_of(make_state(credentials=credentials))
    assert result_of(Outcome("kept", "fresh", snapshot))["warnings"] == ["one", "two"]


@pytest.mark.parametrize(
    ("changes", "ahead"),
    [
        pytest.param(
            {},
            INTERVAL - HOUR,
            id="fresh: the limit clears a margin after the window opens",
        ),
        pytest.param(
            {"settings": make_settings(limit_interval_seconds=0)},
            DAY - HOUR - WINDOW,
            id="no limit: window",
        ),
        pytest.param(
            {"current": make_token(remaining=300)},
            INTERVAL - HOUR,
            id="short-lived: the limit",
        ),
        pytest.param({"current": EXPIRING}, 0, id="due"),
        pytest.param({"current": None}, 0, id="missing"),
        pytest.param(
            {"current": None, "ledger": make_closed_ledger(ahead=60)},
            60,
            id="slot closed",
        ),
        pytest.param({"current": EXPIRING, "ledger": BACKING_OFF}, 60, id="backing off"),
        pytest.param(
            {"current": EXPIRING, "ledger": Ledger(lock=make_lock(until=60))},
            60,
            id="locked",
        ),
        pytest.param(
            {"ledger": make_closed_ledger(ahead=INTERVAL)},
            INTERVAL,
            id="fresh, the ledger's slot is later",
        ),
        pytest.param(
            {"current": STANDBY_TOKEN, "credentials": BOTH},
            0,
            id="the standby's, the primary's slot open",
        ),
        pytest.param(
            {
                "current": STANDBY_TOKEN,
                "credentials": BOTH,
                "ledger": make_closed_ledger(ahead=60),
            },
            60,
            id="the standby's, the primary's slot closed",
        ),
        pytest.param(
            {"current": make_token(FORMER), "previous": make_token(age=7_200)},
            INTERVAL - 7_200,
            id="the previous one will be current",
        ),
        pytest.param(
            {"current": None, "unsaved": (FRESH,)},
            INTERVAL - HOUR,
            id="the unsaved one will be current",
        ),
        pytest.param(
            {"current": None, "unsaved": (FRESH,), "ledger": BACKING_OFF},
            INTERVAL - HOUR,
            id="the unsaved one will be current, whoever backs off",
        ),
        pytest.param(
            {"current": EXPIRING, "displaced": FRESH},
            INTERVAL - HOUR,
            id="the displaced one will be current",
        ),
        pytest.param(
            {"current": EXPIRING, "ledger": Ledger(pace=Pace(level=0.5, at=NOW))},
            1_200,
            id="too many claims",
        ),
        pytest.param(
            {
                "current": make_token(age=HOUR, remaining=3 * HOUR),
                "settings": make_settings(limit_interval_seconds=0),
            },
            3 * HOUR - 4 * HOUR // 3,
            id="short-lived: the last third of its life",
        ),
    ],
)
def test_next_due_at(changes: dict[str, Any], ahead: int) -> None:
    """The primary is asked next when token, slot and ledger all allow it."""
    assert next_due_at(make_state(**changes), DEFAULT) == NOW + ahead


LONG_AGO = NOW - 3_601  # longer ago than consumers keep a token in their cache


@pytest.mark.parametrize(
    ("changes", "previous", "changed_at", "expected"),
    [
        pytest.param(
            {"credentials": BOTH},
            None,
            LONG_AGO,
            STANDBY.principal,
            id="the standby's",
        ),
        pytest.param(
            {},
            make_token(FORMER),
            LONG_AGO,
            FORMER.principal,
            id="without a standby the previous one's",
        ),
        pytest.param(
            {"credentials": BOTH},
            make_token(FORMER),
            LONG_AGO,
            STANDBY.principal,
            id="the standby's first",
        ),
        pytest.param({}, make_token(age=DAY), LONG_AGO, None, id="never the primary's"),
        pytest.param(
            {"credentials": BOTH},
            make_token(age=3_601),
            NOW,
            STANDBY.principal,
            id="the previous one was the primary's for long enough, too",
        ),
        pytest.param(
            {"credentials": BOTH},
            make_token(age=3_600),
            LONG_AGO,
            None,
            id="the previous one was the primary's, but not for long enough",
        ),
        pytest.param({}, None, LONG_AGO, None, id="there is no other client"),
        pytest.param(
            {"credentials": BOTH},
            None,
            LONG_AGO + 1,
            None,
            id="changed just within the cache's time",
        ),
        pytest.param(
            {"credentials": BOTH, "current": make_token(age=3_600)},
            None,
            0,
            None,
            id="acquired within it",
        ),
        pytest.param(
            {"credentials": BOTH, "current": STANDBY_TOKEN},
            FRESH,
            0,
            None,
            id="the current one is not the primary's",
        ),
        pytest.param(
            {"credentials": BOTH, "current": make_token(STANDBY, age=3_601)},
            None,
            LONG_AGO,
            None,
            id="the current one is the standby's and old",
        ),
        pytest.param(
            {"credentials": BOTH, "current": make_token(age=DAY, remaining=0)},
            None,
            LONG_AGO,
            None,
            id="the current one has expired",
        ),
        pytest.param(
            {"credentials": BOTH, "current": None},
            None,
            0,
            None,
            id="no token",
        ),
        pytest.param(
            {"credentials": BOTH, "settings": make_settings(consumer_cache_seconds=60)},
            None,
            NOW - 61,
            STANDBY.principal,
            id="as long as is set",
        ),
    ],
)
def test_safe_to_deactivate(
    changes: dict[str, Any], previous: Token | None, changed_at: float, expected: str | None
) -> None:
    """A principal is named once no consumer's cache can hold a token of it any more.

    While a replica of the secret is behind, that can't be said.
    """
    state = make_state(**{"current": make_token(age=3_601)} | changes)
    description = SecretDescription(changed_at=changed_at, is_in_sync=True)
    assert safe_to_deactivate(state, previous, previous_created_at=0, description=description) == expected
    behind = SecretDescription(changed_at=changed_at, is_in_sync=False)
    assert safe_to_deactivate(state, previous, previous_created_at=0, description=behind) is None


# What always holds


@BOUNDED
@given(states())
def test_next_due_at_is_when_the_primary_is_asked(state: State) -> None:
    """With no token at hand and no other run, the primary is asked at that second and not before."""
    pace = state.ledger.pace
    alone = replace(
        state,
        now=NOW,
        previous=None,
        displaced=None,
        unsaved=(),
        credentials=make_credentials(),
        ledger=replace(state.ledger, lock=None, pace=replace(pace, at=min(pace.at, NOW))),
        revoked=(),
    )
    due_at = next_due_at(alone, DEFAULT)
    assert due_at >= NOW
    decision = decide(replace(alone, now=due_at), DEFAULT)
    assert isinstance(decision, Acquire)
    assert decision.client == PRIMARY
    if due_at > NOW:
        assert not isinstance(decide(alone, DEFAULT), Acquire)
        assert not isinstance(decide(replace(alone, now=due_at - 1), DEFAULT), Acquire)


@pytest.mark.parametrize("life", [DAY, 10_000, 9_999, 9_998, 9_997])
def test_standby_is_due_in_the_first_second_in_which_the_token_is_short(life: int) -> None:
    """A quarter of a life is not always a number of whole seconds."""
    token = make_token(age=0, remaining=life)
    state = make_state(current=token, credentials=BOTH, ledger=make_closed_ledger(ahead=DAY))
    due_at = standby_due_at(state)
    assert due_at is not None
    assert replace(state, now=due_at).is_current_short()
    assert not replace(state, now=due_at - 1).is_current_short()


@BOUNDED
@given(states(), st.none() | tokens, times)
def test_no_client_in_use_is_safe_to_deactivate(state: State, previous: Token | None, changed_at: int) -> None:
    """Neither the primary nor the client of the current token is ever named."""
    description = SecretDescription(changed_at=changed_at, is_in_sync=True)
    named = safe_to_deactivate(state, previous, previous_created_at=0, description=description)
    assert named != PRIMARY.principal
    if named is not None:
        assert state.current
        assert state.current.principal == PRIMARY.principal
