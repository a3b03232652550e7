"""What is known, in one to three sentences for a person at night. Pure."""

from datetime import UTC, datetime

from handler.aws import DELETED, MISSING
from handler.errors import KEY_FAILURES, RefreshError, StoreError
from handler.ledger import (
    BACKING_OFF,
    CREDENTIALS_REFUSED,
    LIMIT_INTERVAL,
    RATE_LIMITED,
    SAME_TOKEN,
)
from handler.model import Client, Token
from handler.outlook import hopeful_due_at, may_fail_again, next_due_at, standby_due_at, without_lock
from handler.policy import DISPLACED, FORCED, PREVIOUS, TOO_MANY_CLAIMS, UNSAVED, Request, State

_MINUTE = 60
_HOUR = 3_600
# A shorter time is told in minutes.
MIN_SECONDS_IN_HOURS = 2 * _HOUR

_WHY_IT_WAITS = {
    LIMIT_INTERVAL: "the vendor grants one token in an interval",
    RATE_LIMITED: ("the vendor refused the last request because of its limit, and may refuse the next one, too"),
    CREDENTIALS_REFUSED: (
        "the vendor does not accept the credentials; once you correct them, the next run asks at once"
    ),
    BACKING_OFF: "the last requests brought no token",
    SAME_TOKEN: "the vendor has no newer token yet",
    TOO_MANY_CLAIMS: "the function was invoked too often",
}
# What consumers meet, by the code of the error with which AWS answers.
_WITHOUT_TOKEN_SECRET = {
    MISSING: "CONSUMERS HAVE NO TOKEN: the token secret does not exist.",
    DELETED: "CONSUMERS CAN'T READ THE TOKEN: its secret is marked for deletion.",
}
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
    minutes = round(seconds / _MINUTE)
    if minutes == 0:
        return "less than a minute"
    if minutes == 1:
        return "1 minute"
    return f"{minutes} minutes"


def summary_of(*, outcome: str, reason: str, state: State, not_before: int) -> str:
    """Say whose token it is, when it ends, what comes next, and whether there is a standby.

    What consumers have to expect is in capitals if they have no token, or will have none.
    """
    return " ".join(
        [
            _token_sentence(state),
            _next_sentence(outcome, reason, state, not_before),
            _standby_sentence(outcome, reason, state),
        ]
    )


def summary_without_state(
    token: Token | None,
    now: float,
    *,
    token_error: StoreError | None,
    problems: list[RefreshError],
) -> str:
    """Say what consumers hold if something can't be read, so that nobody knows what comes next.

    `token_error` says why the token secret can't be read. `problems` are all that was met, one at least.
    """
    held = "CONSUMERS HAVE NO TOKEN."
    if token_error is not None:
        held = _WITHOUT_TOKEN_SECRET.get(token_error.code, "It is not known what token consumers have.")
    elif token is not None and token.expires_at > now:
        held = f"The token of {token.principal} ends at {_at(token.expires_at, now)}."
    for problem in problems:
        if _needs_a_person(problem):
            return f"{held} IT CAN'T BE RENEWED: {problem}."
    return f"{held} AWS fails now, and the next run tries again: {problems[0]}."


def summary_of_unknown_connection(name: str) -> str:
    return f"There is no connection {name}: neither of its two secrets exists."


def _needs_a_person(problem: RefreshError) -> bool:
    return not problem.retryable or problem.code in KEY_FAILURES


def _at(unix_seconds: float, now: float) -> str:
    if unix_seconds <= now:
        return date_of(unix_seconds)
    return f"{date_of(unix_seconds)}, in {span_of(unix_seconds - now)}"


def _token_sentence(state: State) -> str:
    token = state.current
    if token is None and state.best_at_hand() is not None:
        held = "CONSUMERS HAVE NO TOKEN: the token secret holds something else"
    elif token is None:
        held = "CONSUMERS HAVE NO TOKEN: none has been issued yet, or the token secret holds something else"
    elif state.seconds_remaining(token):
        held = f"The token of {token.principal} ends at {_at(token.expires_at, state.now)}"
    else:
        held = _why_not_good(token, state)
    return f"{held}{_warning(state)}."


def _warning(state: State) -> str:
    """Say in capitals from when on consumers will have no token.

    It is empty if all goes well, or if they have none now.
    """
    token = _token_that_consumers_will_use(state)
    if token is None:
        return ""
    when = "THEN"
    if token is not state.current:
        when = date_of(token.expires_at)
    next_at = next_due_at(without_lock(state), Request())
    if next_at > token.expires_at:
        return f", and CONSUMERS WILL HAVE NO TOKEN FROM {when} UNTIL {date_of(next_at)} AT LEAST"
    if state.due_reason(token, Request()) is None:
        return ""  # the function asks long before the end, and then there is time to say more
    hopeful_at = hopeful_due_at(state)
    if hopeful_at is None or hopeful_at > token.expires_at:
        return f", and CONSUMERS WILL HAVE NO TOKEN FROM {when} ON IF THE NEXT REQUESTS BRING NO NEW ONE"
    return ""


def _token_that_consumers_will_use(state: State) -> Token | None:
    """Return the token at hand, which the next run publishes, or the current one.

    Returns None if the API takes neither.
    """
    at_hand = state.best_at_hand()
    if at_hand is not None:
        return at_hand.token
    token = state.current
    if token is None or token.expires_at <= state.now or state.is_revoked(token):
        return None
    return token


def _why_not_good(token: Token, state: State) -> str:
    end = date_of(token.expires_at)
    if token.expires_at <= state.now:
        return f"CONSUMERS HAVE NO GOOD TOKEN: the token of {token.principal} ended at {end}"
    if state.is_revoked(token):
        return f"CONSUMERS HAVE NO GOOD TOKEN: the API refuses the token of {token.principal}"
    # The API may still take it, so consumers need not have noticed anything.
    if token.principal not in state.credentials.principals:
        return (
            f"The stored token is of {token.principal}, which is not in the credentials secret; "
            f"if that is still active, the API takes the token until {end}"
        )
    return f"The stored token was asked for with other settings; the API may take it until {end}"


def _next_sentence(outcome: str, reason: str, state: State, not_before: int) -> str:
    if outcome == "waiting" and reason == "locked" and state.ledger.lock is not None:
        end = _at(state.ledger.lock.until, state.now)
        return f"Another run is at work, and its lock ends at {end}, at the latest."
    if outcome == "waiting":
        return _waiting_sentence(reason, state, not_before)
    if outcome == "due" and reason in AT_HAND:
        return _at_hand_sentence(reason, state)
    if outcome == "due" and reason == FORCED:
        return f"Nothing is due now, but a forced refresh asks the vendor{_last_failure(state)}."
    if outcome == "due":
        return f"A refresh is due ({reason}), and the next run asks the vendor{_last_failure(state)}."
    next_at = next_due_at(state, Request())
    done = _WHAT_THE_RUN_DID[outcome]
    return f"{done}, and the next request is due at {_at(next_at, state.now)}."


def _last_failure(state: State) -> str:
    """Say how the primary's last requests failed. Empty if they did not."""
    slot = state.ledger.slot(state.credentials.primary.principal)
    if not slot.failures:
        return ""
    if slot.failures == 1:
        return f"; the last request failed ({slot.error})"
    return f"; the last {slot.failures} requests failed ({slot.error})"


def _waiting_sentence(reason: str, state: State, not_before: int) -> str:
    why = _WHY_IT_WAITS.get(reason, reason)
    slot = state.primary_slot()
    if reason == BACKING_OFF and slot.error:
        why = f"{why} ({slot.error})"
    if reason == RATE_LIMITED and not slot.suspicions:
        why = "the vendor asked for a pause"  # a refusal for the limit would have left a suspicion
    at = _at(not_before, state.now)
    if state.due_reason(state.current, Request()) is None:
        return f"Nothing is due now, and a forced refresh may ask the vendor at {at}, at the earliest: {why}."
    primary = state.credentials.primary.principal
    return f"A refresh is due, and the function asks with {primary} again at {at}: {why}."


def _at_hand_sentence(reason: str, state: State) -> str:
    then = "and the next run publishes it without a request"
    at_hand = state.best_at_hand()
    if at_hand is None:
        return f"A better token is at hand ({reason}), {then}."
    end = _at(at_hand.token.expires_at, state.now)
    return f"A token that ends at {end}, is at hand ({reason}), {then}."


def _standby_sentence(outcome: str, reason: str, state: State) -> str:
    standby = state.credentials.standby
    if standby is None:
        return "There is no standby."
    is_standbys_token = state.current is not None and state.current.principal == standby.principal
    failure = _failure_of_standby(standby, state)
    if outcome == "waiting" and reason != "locked":
        asked_at = _at(standby_due_at(state) or 0, state.now)
        if is_standbys_token:
            return f"This is the standby's token; if there is no new one by then, the standby is asked at {asked_at}."
        return f"If there is no new token by then, the standby {standby.principal} is asked at {asked_at}{failure}."
    if is_standbys_token:
        return "This is the standby's token, and the primary is asked as soon as it may be."
    may_ask_at = state.slot(standby, state.current).not_before
    if may_ask_at > state.now:
        return f"The standby {standby.principal} may ask from {date_of(may_ask_at)} on{failure}."
    return f"The standby is {standby.principal}{failure}."


def _failure_of_standby(standby: Client, state: State) -> str:
    """Say how the standby's last request failed, if the next one may fail, too. Otherwise it is empty."""
    if not may_fail_again(standby, state):
        return ""
    slot = state.ledger.slot(standby.principal)
    return f"; its last request failed ({slot.error or slot.reason})"
