"""What is known, in one to three sentences for a person at night. Pure."""

from datetime import UTC, datetime

from handler.ledger import BACKING_OFF, CREDENTIALS_REFUSED, LIMIT_INTERVAL, RATE_LIMITED, SAME_TOKEN
from handler.model import Token
from handler.outlook import next_due_at
from handler.policy import DISPLACED, PREVIOUS, TOO_MANY_CLAIMS, UNSAVED, Request, State

_MINUTE = 60
_HOUR = 3_600
# A shorter time is told in minutes.
MIN_SECONDS_IN_HOURS = 2 * _HOUR

_WHY_NOBODY_MAY_ASK = {
    LIMIT_INTERVAL: "the vendor grants one token in an interval",
    RATE_LIMITED: "the vendor refused the last request because of its limit, and may refuse the next one, too",
    CREDENTIALS_REFUSED: "the vendor does not accept the credentials; once you correct them, the next run asks at once",
    BACKING_OFF: "the last requests brought no token",
    SAME_TOKEN: "the vendor has no newer token yet",
    TOO_MANY_CLAIMS: "the function was invoked too often",
}
# For these reasons the next request may end like the last one.
_MAY_FAIL_AGAIN = {RATE_LIMITED, CREDENTIALS_REFUSED, BACKING_OFF}
AT_HAND = {UNSAVED, PREVIOUS, DISPLACED}
_WHAT_THE_RUN_DID = {
    "kept": "Nothing is due now",
    "refreshed": "This run acquired it",
    "recovered": "This run published it without a request",
}


def date_of(unix_seconds: float) -> str:
    """Return a date and time to the minute, such as `2026-11-27 14:00 UTC`."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def span_of(seconds: float) -> str:
    """Return a length of time, such as `12.3 hours` or `25 minutes`."""
    if seconds >= MIN_SECONDS_IN_HOURS:
        return f"{seconds / _HOUR:.1f} hours"
    return f"{seconds / _MINUTE:.0f} minutes"


def summary_of(*, outcome: str, reason: str, state: State, not_before: int) -> str:
    """Say whose token it is, when it ends, what comes next, and whether there is a standby.

    What consumers have to expect is in capitals if they have no token, or will have none.
    """
    return " ".join(
        [
            _token_sentence(outcome, reason, state),
            _next_sentence(outcome, reason, state, not_before),
            _standby_sentence(state),
        ]
    )


def summary_without_state(token: Token | None, now: float, *, is_known: bool, problem: str) -> str:
    """Say what consumers hold if something can't be read, so that nobody knows what comes next.

    `is_known` says whether the token secret was read.
    """
    held = "CONSUMERS HAVE NO TOKEN."
    if not is_known:
        held = "It is not known what token consumers have."
    elif token is not None and token.expires_at > now:
        held = f"The token of {token.principal} ends at {_at(token.expires_at, now)}."
    return f"{held} IT CAN'T BE RENEWED: {problem}."


def _at(unix_seconds: float, now: float) -> str:
    if unix_seconds <= now:
        return date_of(unix_seconds)
    return f"{date_of(unix_seconds)}, in {span_of(unix_seconds - now)}"


def _token_sentence(outcome: str, reason: str, state: State) -> str:
    token = state.current
    if token is None:
        return "CONSUMERS HAVE NO TOKEN: none has been issued yet, or the token secret holds something else."
    if not state.seconds_remaining(token):
        return f"CONSUMERS HAVE NO GOOD TOKEN: {_why_not_good(token, state)}."
    sentence = f"The token of {token.principal} ends at {_at(token.expires_at, state.now)}"
    next_at = next_due_at(state, Request())
    if next_at > token.expires_at:
        return f"{sentence}, and CONSUMERS WILL HAVE NO TOKEN FROM THEN UNTIL {date_of(next_at)} AT LEAST."
    may_fail_again = outcome == "waiting" and reason in _MAY_FAIL_AGAIN
    if may_fail_again and state.credentials.standby is None:
        return f"{sentence}, and CONSUMERS WILL HAVE NO TOKEN FROM THEN ON IF THE NEXT REQUESTS FAIL, TOO."
    return f"{sentence}."


def _why_not_good(token: Token, state: State) -> str:
    if state.is_revoked(token):
        return f"the API refuses the token of {token.principal}"
    if token.principal not in state.credentials.principals:
        return f"the stored one is of {token.principal}, which is not in the credentials secret"
    if not state.fits_configuration(token):
        return "the stored one was asked for with other settings"
    return f"the token of {token.principal} ended at {date_of(token.expires_at)}"


def _next_sentence(outcome: str, reason: str, state: State, not_before: int) -> str:
    if outcome == "waiting" and reason == "locked" and state.ledger.lock is not None:
        return f"Another run is at work, until {_at(state.ledger.lock.until, state.now)} at the latest."
    if outcome == "waiting":
        why = _WHY_NOBODY_MAY_ASK.get(reason, reason)
        return f"A refresh is due, and nobody may ask before {_at(not_before, state.now)}: {why}."
    if outcome == "due" and reason in AT_HAND:
        return f"A better token is at hand ({reason}), and the next run publishes it without a request."
    if outcome == "due":
        return f"A refresh is due ({reason}), and the next run asks the vendor."
    next_at = next_due_at(state, Request())
    return f"{_WHAT_THE_RUN_DID[outcome]}, and the next request is due at {_at(next_at, state.now)}."


def _standby_sentence(state: State) -> str:
    standby = state.credentials.standby
    if standby is None:
        return "There is no standby."
    if state.current is not None and state.current.principal == standby.principal:
        return "This is the standby's token, and the primary is asked as soon as it may be."
    may_ask_at = state.slot(standby, state.current).not_before
    if may_ask_at > state.now:
        return f"The standby {standby.principal} may ask from {date_of(may_ask_at)} on."
    return f"The standby is {standby.principal}."
