"""What a person reads at night: one to three sentences, with capitals if consumers have no token, or will have none."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from handler.errors import CredentialsError, RefreshError, StoreError
from handler.ledger import Ledger, Slot
from handler.model import Client, Token, utc
from handler.policy import Request
from handler.reader import Snapshot
from handler.refresh import Outcome
from handler.result import result_of
from handler.secrets_manager import NO_VERSION
from handler.status import result_now
from handler.summary import date_of, span_of, summary_without_state
from tests.unit.builders import (
    ACCOUNT,
    DAY,
    FORMER,
    HOUR,
    INTERVAL,
    NOW,
    OTHER_URL,
    PRIMARY,
    STANDBY,
    make_closed_ledger,
    make_credentials,
    make_lock,
    make_settings,
    make_slot,
    make_state,
    make_token,
)

BOTH = make_credentials(STANDBY)
EXPIRING = make_token(age=21 * HOUR)  # ends in 3 hours
NO_STANDBY = "There is no standby."


def summary_now(**changes: Any) -> str:
    """Return the summary of a status in this state."""
    snapshot = Snapshot(
        state=make_state(**changes),
        token_version_id="version-of-the-token",
        ledger_version=NO_VERSION,
    )
    return str(result_now(snapshot, Request())["summary"])


def closed(reason: str, *, ahead: int, suspicions: int = 0) -> Ledger:
    return make_closed_ledger(ahead=ahead, reason=reason, suspicions=suspicions)


def slots(*slots: tuple[Client, Slot]) -> Ledger:
    return Ledger(slots={client.principal: slot for client, slot in slots})


PRIMARY_SPENT = (PRIMARY, make_slot(ahead=20 * HOUR, reason="limit_interval"))
PRIMARY_FAILED = (PRIMARY, make_slot(ahead=2_700, reason="backing_off", failures=3, error="VendorError"))
PRIMARY_MAY_ASK_AGAIN = (PRIMARY, make_slot(ahead=-1, reason="backing_off", failures=5, error="VendorError"))
PRIMARY_FAILED_ONCE = (PRIMARY, make_slot(ahead=-1, reason=None, failures=1, error="VendorError"))
STANDBY_FAILED_FOR_LONG = (STANDBY, make_slot(ahead=4 * HOUR, reason="credentials_refused", error="CredentialsRefused"))
ASKS_AGAIN = "A refresh is due, and the function asks with client-primary again at"
LIMITED = "the vendor refused the last request because of its limit, and may refuse the next one, too."
NONE_YET = "CONSUMERS HAVE NO TOKEN: none has been issued yet, or the token secret holds something else."
FRESH_IS = "The token of client-primary ends at 2027-01-16 07:00 UTC, in 23.0 hours."
ENDS = "The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours"
MAY_FAIL = "and CONSUMERS WILL HAVE NO TOKEN FROM THEN ON IF THE NEXT REQUESTS BRING NO NEW ONE."
NEXT_RUN = "and the next run asks the vendor."
SUMMARIES = [
    pytest.param(
        {},
        f"{FRESH_IS} Nothing is due now, and the next request is due at 2027-01-16 03:05 UTC, in 19.1 hours. "
        f"{NO_STANDBY}",
        id="fresh",
    ),
    pytest.param(
        {"current": make_token(ACCOUNT), "credentials": replace(make_credentials(), primary=ACCOUNT)},
        "The token of client-primary#store-17 ends at 2027-01-16 07:00 UTC, in 23.0 hours. Nothing is due now, and "
        f"the next request is due at 2027-01-16 03:00 UTC, in 19.0 hours. {NO_STANDBY}",
        id="a service account",
    ),
    pytest.param(
        {"current": EXPIRING},
        f"{ENDS}. A refresh is due (expiring), {NEXT_RUN} {NO_STANDBY}",
        id="due",
    ),
    pytest.param(
        {"current": None},
        f"{NONE_YET} A refresh is due (missing), {NEXT_RUN} {NO_STANDBY}",
        id="no token yet",
    ),
    pytest.param(
        {"current": make_token(age=25 * HOUR)},
        "CONSUMERS HAVE NO GOOD TOKEN: the token of client-primary ended at 2027-01-15 07:00 UTC. A refresh is due "
        f"(expired), {NEXT_RUN} {NO_STANDBY}",
        id="expired",
    ),
    pytest.param(
        {"current": make_token(age=DAY)},
        "CONSUMERS HAVE NO GOOD TOKEN: the token of client-primary ended at 2027-01-15 08:00 UTC. A refresh is due "
        f"(expired), {NEXT_RUN} {NO_STANDBY}",
        id="expired in this second",
    ),
    pytest.param(
        {"current": make_token(FORMER)},
        "The stored token is of client-former, which is not in the credentials secret; if that is still active, the "
        f"API takes the token until 2027-01-16 07:00 UTC. A refresh is due (client_changed), {NEXT_RUN} {NO_STANDBY}",
        id="of a former client",
    ),
    pytest.param(
        {"current": make_token(token_url=OTHER_URL, age=21 * HOUR)},
        "The stored token was asked for with other settings; the API may take it until 2027-01-15 11:00 UTC. A "
        f"refresh is due (config_changed), {NEXT_RUN} {NO_STANDBY}",
        id="of other settings",
    ),
    pytest.param(
        {"current": EXPIRING, "revoked": (EXPIRING,)},
        "CONSUMERS HAVE NO GOOD TOKEN: the API refuses the token of client-primary. A refresh is due (revoked), "
        f"{NEXT_RUN} {NO_STANDBY}",
        id="revoked",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=900, suspicions=1)},
        f"{ENDS}, {MAY_FAIL} {ASKS_AGAIN} 2027-01-15 08:15 UTC, in 15 minutes: {LIMITED} {NO_STANDBY}",
        id="the vendor's limit, and our guess of its end",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=20 * HOUR, suspicions=2)},
        f"{ENDS}, and CONSUMERS WILL HAVE NO TOKEN FROM THEN UNTIL 2027-01-16 04:00 UTC AT LEAST. {ASKS_AGAIN} "
        f"2027-01-16 04:00 UTC, in 20.0 hours: {LIMITED} {NO_STANDBY}",
        id="the vendor's limit, for longer than the token lives",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=20 * HOUR, suspicions=2), "credentials": BOTH},
        f"{ENDS}. {ASKS_AGAIN} 2027-01-16 04:00 UTC, in 20.0 hours: {LIMITED} If there is no new token by then, the "
        "standby client-standby is asked at 2027-01-15 08:30 UTC, in 30 minutes.",
        id="the same with a standby, which asks in time",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=1_800)},
        f"{ENDS}, {MAY_FAIL} {ASKS_AGAIN} 2027-01-15 08:30 UTC, in 30 minutes: the vendor asked for a pause. "
        f"{NO_STANDBY}",
        id="a pause that the vendor asked for",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": make_closed_ledger(ahead=900, suspicions=1, error="RateLimited")},
        f"{ENDS}, {MAY_FAIL} {ASKS_AGAIN} 2027-01-15 08:15 UTC, in 15 minutes: {LIMITED} {NO_STANDBY}",
        id="the vendor's limit, which is the error",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("same_token", ahead=HOUR)},
        f"{ENDS}, {MAY_FAIL} {ASKS_AGAIN} 2027-01-15 09:00 UTC, in 60 minutes: the vendor has no newer token yet. "
        f"{NO_STANDBY}",
        id="the vendor repeats itself",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("credentials_refused", ahead=HOUR)},
        f"{ENDS}, {MAY_FAIL} {ASKS_AGAIN} 2027-01-15 09:00 UTC, in 60 minutes: the vendor does not accept the "
        f"credentials; once you correct them, the next run asks at once. {NO_STANDBY}",
        id="refused credentials",
    ),
    pytest.param(
        {"current": None, "ledger": make_closed_ledger(ahead=2_700, reason="backing_off", error="VendorError")},
        f"{NONE_YET} {ASKS_AGAIN} 2027-01-15 08:45 UTC, in 45 minutes: the last requests brought no token "
        f"(VendorError). {NO_STANDBY}",
        id="backing off without a token",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": Ledger(lock=make_lock(until=60))},
        f"{ENDS}. Another run is at work, and its lock ends at 2027-01-15 08:01 UTC, in 1 minute, at the latest. "
        f"{NO_STANDBY}",
        id="another run",
    ),
    pytest.param(
        {"current": make_token(STANDBY), "credentials": BOTH, "ledger": closed("limit_interval", ahead=5 * HOUR)},
        f"The token of client-standby ends at 2027-01-16 07:00 UTC, in 23.0 hours. {ASKS_AGAIN} 2027-01-15 13:00 UTC, "
        "in 5.0 hours: the vendor grants one token in an interval. This is the standby's token; if there is no new "
        "one by then, the standby is asked at 2027-01-16 04:30 UTC, in 20.5 hours.",
        id="the standby's token",
    ),
    pytest.param(
        {"credentials": BOTH, "ledger": make_closed_ledger(STANDBY, ahead=2 * HOUR)},
        f"{FRESH_IS} Nothing is due now, and the next request is due at 2027-01-16 03:05 UTC, in 19.1 hours. The "
        "standby client-standby may ask from 2027-01-15 10:00 UTC on; its last request failed (rate_limited).",
        id="a standby that may not ask yet",
    ),
    pytest.param(
        {"current": None, "unsaved": (make_token(),)},
        "CONSUMERS HAVE NO TOKEN: the token secret holds something else. A token that ends at 2027-01-16 07:00 UTC, "
        f"in 23.0 hours, is at hand (unsaved), and the next run publishes it without a request. {NO_STANDBY}",
        id="a token at hand",
    ),
    pytest.param(
        {"current": EXPIRING, "previous": make_token(age=HOUR)},
        f"{ENDS}. A token that ends at 2027-01-16 07:00 UTC, in 23.0 hours, is at hand (previous), and the next run "
        f"publishes it without a request. {NO_STANDBY}",
        id="a better token at hand",
    ),
    pytest.param(
        {"current": EXPIRING, "credentials": BOTH, "ledger": slots(PRIMARY_FAILED, STANDBY_FAILED_FOR_LONG)},
        f"{ENDS}, {MAY_FAIL} {ASKS_AGAIN} 2027-01-15 08:45 UTC, in 45 minutes: the last requests brought no token "
        "(VendorError). If there is no new token by then, the standby client-standby is asked at 2027-01-15 12:00 "
        "UTC, in 4.0 hours; its last request failed (CredentialsRefused).",
        id="a standby that failed, too",
    ),
    pytest.param(
        {"current": EXPIRING, "credentials": BOTH, "ledger": slots(PRIMARY_SPENT, STANDBY_FAILED_FOR_LONG)},
        f"{ENDS}, and CONSUMERS WILL HAVE NO TOKEN FROM THEN UNTIL 2027-01-15 12:00 UTC AT LEAST. {ASKS_AGAIN} "
        "2027-01-16 04:00 UTC, in 20.0 hours: the vendor grants one token in an interval. If there is no new token by "
        "then, the standby client-standby is asked at 2027-01-15 12:00 UTC, in 4.0 hours; its last request failed "
        "(CredentialsRefused).",
        id="a standby that may ask too late",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": slots(PRIMARY_MAY_ASK_AGAIN)},
        f"{ENDS}, {MAY_FAIL} A refresh is due (expiring), and the next run asks the vendor; the last 5 requests "
        f"failed (VendorError). {NO_STANDBY}",
        id="failed, and asks again at once",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": slots(PRIMARY_FAILED_ONCE)},
        f"{ENDS}. A refresh is due (expiring), and the next run asks the vendor; the last request failed "
        f"(VendorError). {NO_STANDBY}",
        id="failed once",
    ),
    pytest.param(
        {"current": make_token(FORMER, age=21 * HOUR), "ledger": slots(PRIMARY_SPENT)},
        "The stored token is of client-former, which is not in the credentials secret; if that is still active, the "
        "API takes the token until 2027-01-15 11:00 UTC, and CONSUMERS WILL HAVE NO TOKEN FROM THEN UNTIL "
        f"2027-01-16 04:00 UTC AT LEAST. {ASKS_AGAIN} 2027-01-16 04:00 UTC, in 20.0 hours: the vendor grants one token "
        f"in an interval. {NO_STANDBY}",
        id="of a former client, and the new one may not ask yet",
    ),
    pytest.param(
        {"current": make_token(age=DAY - 60), "ledger": Ledger(lock=make_lock(until=120))},
        "The token of client-primary ends at 2027-01-15 08:01 UTC, in 1 minute. Another run is at work, and its lock "
        f"ends at 2027-01-15 08:02 UTC, in 2 minutes, at the latest. {NO_STANDBY}",
        id="another run, which may bring a token before its lock ends",
    ),
    pytest.param(
        {"credentials": BOTH, "ledger": make_closed_ledger(STANDBY, ahead=0)},
        f"{FRESH_IS} Nothing is due now, and the next request is due at 2027-01-16 03:05 UTC, in 19.1 hours. The "
        "standby is client-standby; its last request failed (rate_limited).",
        id="a standby that may ask from this second on",
    ),
    pytest.param(
        {"current": EXPIRING, "credentials": BOTH, "ledger": Ledger(lock=make_lock(until=60))},
        f"{ENDS}. Another run is at work, and its lock ends at 2027-01-15 08:01 UTC, in 1 minute, at the latest. The "
        "standby is client-standby.",
        id="another run, and a standby",
    ),
    pytest.param(
        {"current": make_token(STANDBY), "credentials": BOTH},
        "The token of client-standby ends at 2027-01-16 07:00 UTC, in 23.0 hours. A refresh is due (client_changed), "
        f"{NEXT_RUN} This is the standby's token, and the primary is asked as soon as it may be.",
        id="the standby's token, and the primary may ask",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("limit_interval", ahead=3 * HOUR)},
        f"{ENDS}. {ASKS_AGAIN} 2027-01-15 11:00 UTC, in 3.0 hours: the vendor grants one token in an interval. "
        f"{NO_STANDBY}",
        id="may ask in the second in which the token ends",
    ),
    pytest.param(
        {"ledger": closed("credentials_refused", ahead=21 * HOUR)},
        f"{FRESH_IS} Nothing is due now, and the next request is due at 2027-01-16 05:00 UTC, in 21.0 hours. "
        f"{NO_STANDBY}",
        id="fresh, and the next request may fail",
    ),
    pytest.param(
        {"current": make_token(age=DAY), "ledger": closed("rate_limited", ahead=HOUR, suspicions=1)},
        "CONSUMERS HAVE NO GOOD TOKEN: the token of client-primary ended at 2027-01-15 08:00 UTC. "
        f"{ASKS_AGAIN} 2027-01-15 09:00 UTC, in 60 minutes: {LIMITED} {NO_STANDBY}",
        id="expired in this second, and nobody may ask",
    ),
]


@pytest.mark.parametrize(("changes", "expected"), SUMMARIES)
def test_summary_says_what_a_person_at_night_needs(changes: dict[str, Any], expected: str) -> None:
    """It names whose token it is, when it ends, what comes next and when, and the standby."""
    assert summary_now(**changes) == expected


@pytest.mark.parametrize(("changes", "expected"), SUMMARIES)
def test_summary_has_three_sentences_at_most(changes: dict[str, Any], expected: str) -> None:
    """A person reads it on a telephone."""
    assert summary_now(**changes).count(". ") <= 2, expected


def test_summary_of_a_forced_refresh() -> None:
    """It asks although nothing is due."""
    no_limit = make_settings(limit_interval_seconds=0, limit_margin_seconds=0)
    snapshot = Snapshot(
        state=make_state(settings=no_limit),
        token_version_id="version-of-the-token",
        ledger_version=NO_VERSION,
    )
    assert result_now(snapshot, Request(force=True))["summary"] == (
        f"{FRESH_IS} Nothing is due now, but a forced refresh asks the vendor. {NO_STANDBY}"
    )


def test_summary_of_a_recovered_token_that_is_due_already() -> None:
    """The next run may ask at once, so the moment has no length of time with it."""
    snapshot = Snapshot(
        state=make_state(current=make_token(STANDBY), credentials=BOTH),
        token_version_id="version-of-the-token",
        ledger_version=NO_VERSION,
    )
    summary = result_of(Outcome("recovered", "previous", snapshot))["summary"]
    assert "This run published it without a request, and the next request is due at 2027-01-15 08:00 UTC." in summary


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the machine's clock show another time than UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_dates_are_in_utc_wherever_the_machine_is() -> None:
    """They are compared with the dates of AWS's logs."""
    assert date_of(NOW) == "2027-01-15 08:00 UTC"
    assert utc(NOW) == "2027-01-15T08:00:00Z"


def test_summary_of_a_forced_refresh_that_may_not_ask_yet() -> None:
    """The token is fresh, so nobody else asks then."""
    snapshot = Snapshot(
        state=make_state(current=make_token(age=INTERVAL - 1_800)),
        token_version_id="version-of-the-token",
        ledger_version=NO_VERSION,
    )
    assert result_now(snapshot, Request(force=True))["summary"] == (
        "The token of client-primary ends at 2027-01-15 12:25 UTC, in 4.4 hours. Nothing is due now, and a forced "
        "refresh may ask the vendor at 2027-01-15 08:30 UTC, in 30 minutes, at the earliest: the vendor grants one "
        f"token in an interval. {NO_STANDBY}"
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (29, "less than a minute"),
        (60, "1 minute"),
        (59 * 60, "59 minutes"),
        (2 * HOUR - 60, "119 minutes"),
        (2 * HOUR, "2.0 hours"),
        (DAY, "24.0 hours"),
    ],
)
def test_time_is_told_in_minutes_or_hours(seconds: int, expected: str) -> None:
    """Less than two hours are told in minutes."""
    assert span_of(seconds) == expected


@pytest.mark.parametrize(
    ("token", "code", "expected"),
    [
        (make_token(), "", "The token of client-primary ends at 2027-01-16 07:00 UTC, in 23.0 hours."),
        (make_token(age=DAY), "", "CONSUMERS HAVE NO TOKEN."),
        (None, "", "CONSUMERS HAVE NO TOKEN."),
        (None, "AccessDeniedException", "It is not known what token consumers have."),
        (None, "ResourceNotFoundException", "CONSUMERS HAVE NO TOKEN: the token secret does not exist."),
        (None, "InvalidRequestException", "CONSUMERS CAN'T READ THE TOKEN: its secret is marked for deletion."),
    ],
)
def test_summary_of_what_can_not_be_read(token: Token | None, code: str, expected: str) -> None:
    """What consumers hold comes first, then why it can't be renewed."""
    token_error = StoreError("why", code=code) if code else None
    problem = CredentialsError("the credentials secret is binary")
    summary = summary_without_state(token, NOW, token_error=token_error, problems=[problem])
    assert summary == f"{expected} IT CAN'T BE RENEWED: the credentials secret is binary."


def test_summary_of_what_passes_is_not_alarming() -> None:
    """If AWS is down, the next run tries again: nobody has to do anything."""
    problem = StoreError("InternalServiceError")
    summary = summary_without_state(make_token(), NOW, token_error=None, problems=[problem])
    assert summary.endswith(" AWS fails now, and the next run tries again: InternalServiceError.")


@pytest.mark.parametrize(
    "grave",
    [
        pytest.param(CredentialsError("the credentials secret is binary"), id="what no run can heal"),
        pytest.param(StoreError("the key is disabled", code="DecryptionFailure"), id="a key that can't be used"),
    ],
)
def test_summary_tells_the_gravest_problem(grave: RefreshError) -> None:
    """What needs a person comes before what passes by itself, in whichever order the run met them."""
    passes = StoreError("ThrottlingException")
    summary = summary_without_state(make_token(), NOW, token_error=None, problems=[passes, grave])
    assert summary.endswith(f" IT CAN'T BE RENEWED: {grave}.")
