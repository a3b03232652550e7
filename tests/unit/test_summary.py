"""What a person reads at night: one to three sentences, with capitals if consumers have no token, or will have none."""

from dataclasses import replace
from typing import Any

import pytest

from handler.ledger import Ledger
from handler.policy import Request
from handler.reader import Snapshot
from handler.secrets_manager import NO_VERSION
from handler.status import result_now
from handler.summary import span_of, summary_without_state
from tests.unit.builders import (
    ACCOUNT,
    DAY,
    FORMER,
    HOUR,
    NOW,
    OTHER_URL,
    STANDBY,
    make_closed_ledger,
    make_credentials,
    make_lock,
    make_state,
    make_token,
)

NOW_IS = "2027-01-15 08:00 UTC"
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


def closed(reason: str, *, ahead: int) -> Ledger:
    return make_closed_ledger(ahead=ahead, reason=reason)


WAITS = "A refresh is due, and nobody may ask before"
SUMMARIES = [
    pytest.param(
        {},
        "The token of client-primary ends at 2027-01-16 07:00 UTC, in 23.0 hours. Nothing is due now, and the next "
        f"request is due at 2027-01-16 03:05 UTC, in 19.1 hours. {NO_STANDBY}",
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
        "The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours. A refresh is due (expiring), and "
        f"the next run asks the vendor. {NO_STANDBY}",
        id="due",
    ),
    pytest.param(
        {"current": None},
        "CONSUMERS HAVE NO TOKEN: none has been issued yet, or the token secret holds something else. A refresh is "
        f"due (missing), and the next run asks the vendor. {NO_STANDBY}",
        id="no token yet",
    ),
    pytest.param(
        {"current": make_token(age=25 * HOUR)},
        "CONSUMERS HAVE NO GOOD TOKEN: the token of client-primary ended at 2027-01-15 07:00 UTC. A refresh is due "
        f"(expired), and the next run asks the vendor. {NO_STANDBY}",
        id="expired",
    ),
    pytest.param(
        {"current": make_token(FORMER)},
        "CONSUMERS HAVE NO GOOD TOKEN: the stored one is of client-former, which is not in the credentials secret. A "
        f"refresh is due (client_changed), and the next run asks the vendor. {NO_STANDBY}",
        id="of a former client",
    ),
    pytest.param(
        {"current": make_token(token_url=OTHER_URL, age=21 * HOUR)},
        "CONSUMERS HAVE NO GOOD TOKEN: the stored one was asked for with other settings. A refresh is due "
        f"(config_changed), and the next run asks the vendor. {NO_STANDBY}",
        id="of other settings",
    ),
    pytest.param(
        {"current": EXPIRING, "revoked": (EXPIRING,)},
        "CONSUMERS HAVE NO GOOD TOKEN: the API refuses the token of client-primary. A refresh is due (revoked), and "
        f"the next run asks the vendor. {NO_STANDBY}",
        id="revoked",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=900)},
        "The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours, and CONSUMERS WILL HAVE NO TOKEN "
        f"FROM THEN ON IF THE NEXT REQUESTS FAIL, TOO. {WAITS} 2027-01-15 08:15 UTC, in 15 minutes: the vendor "
        "refused the last request because of its limit, and may refuse the next one, too. There is no standby.",
        id="the vendor's limit, and our guess of its end",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=20 * HOUR)},
        "The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours, and CONSUMERS WILL HAVE NO TOKEN "
        f"FROM THEN UNTIL 2027-01-16 04:00 UTC AT LEAST. {WAITS} 2027-01-16 04:00 UTC, in 20.0 hours: the vendor "
        "refused the last request because of its limit, and may refuse the next one, too. There is no standby.",
        id="the vendor's limit, for longer than the token lives",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("rate_limited", ahead=20 * HOUR), "credentials": BOTH},
        f"The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours. {WAITS} 2027-01-16 04:00 UTC, in "
        "20.0 hours: the vendor refused the last request because of its limit, and may refuse the next one, too. The "
        "standby is client-standby.",
        id="the same with a standby, which asks in time",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": closed("credentials_refused", ahead=HOUR)},
        "The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours, and CONSUMERS WILL HAVE NO TOKEN "
        f"FROM THEN ON IF THE NEXT REQUESTS FAIL, TOO. {WAITS} 2027-01-15 09:00 UTC, in 60 minutes: the vendor does "
        f"not accept the credentials; once you correct them, the next run asks at once. {NO_STANDBY}",
        id="refused credentials",
    ),
    pytest.param(
        {"current": None, "ledger": closed("backing_off", ahead=2_700)},
        "CONSUMERS HAVE NO TOKEN: none has been issued yet, or the token secret holds something else. "
        f"{WAITS} 2027-01-15 08:45 UTC, in 45 minutes: the last requests brought no token. {NO_STANDBY}",
        id="backing off without a token",
    ),
    pytest.param(
        {"current": EXPIRING, "ledger": Ledger(lock=make_lock(until=120))},
        "The token of client-primary ends at 2027-01-15 11:00 UTC, in 3.0 hours. Another run is at work, until "
        f"2027-01-15 08:02 UTC, in 2 minutes at the latest. {NO_STANDBY}",
        id="another run",
    ),
    pytest.param(
        {"current": make_token(STANDBY), "credentials": BOTH, "ledger": closed("limit_interval", ahead=5 * HOUR)},
        f"The token of client-standby ends at 2027-01-16 07:00 UTC, in 23.0 hours. {WAITS} 2027-01-15 13:00 UTC, in "
        "5.0 hours: the vendor grants one token in an interval. This is the standby's token, and the primary is asked "
        "as soon as it may be.",
        id="the standby's token",
    ),
    pytest.param(
        {"credentials": BOTH, "ledger": make_closed_ledger(STANDBY, ahead=2 * HOUR)},
        "The token of client-primary ends at 2027-01-16 07:00 UTC, in 23.0 hours. Nothing is due now, and the next "
        "request is due at 2027-01-16 03:05 UTC, in 19.1 hours. The standby client-standby may ask from 2027-01-15 "
        "10:00 UTC on.",
        id="a standby that may not ask yet",
    ),
    pytest.param(
        {"current": None, "unsaved": (make_token(),)},
        "CONSUMERS HAVE NO TOKEN: none has been issued yet, or the token secret holds something else. A better token "
        f"is at hand (unsaved), and the next run publishes it without a request. {NO_STANDBY}",
        id="a token at hand",
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


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 minutes"),
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
    ("token", "is_known", "expected"),
    [
        (make_token(), True, "The token of client-primary ends at 2027-01-16 07:00 UTC, in 23.0 hours."),
        (make_token(age=DAY), True, "CONSUMERS HAVE NO TOKEN."),
        (None, True, "CONSUMERS HAVE NO TOKEN."),
        (None, False, "It is not known what token consumers have."),
    ],
)
def test_summary_of_what_can_not_be_read(token: Any, expected: str, *, is_known: bool) -> None:
    """What consumers hold comes first, then why it can't be renewed."""
    summary = summary_without_state(token, NOW, is_known=is_known, problem="the credentials secret is binary")
    assert summary == f"{expected} IT CAN'T BE RENEWED: the credentials secret is binary."
