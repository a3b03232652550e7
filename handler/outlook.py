"""When somebody will be asked next for a token, if all goes well. Pure. Times are Unix seconds."""

import math
from dataclasses import replace

from handler.ledger import BACKING_OFF, CREDENTIALS_REFUSED, RATE_LIMITED, SAME_TOKEN
from handler.model import Client, Token
from handler.policy import LEVEL_TO_ACQUIRE, SHORT_PART_OF_LIFE, Request, State

# If a slot has one of these reasons, the next request may end like the last one.
_MAY_FAIL_AGAIN = {RATE_LIMITED, CREDENTIALS_REFUSED, BACKING_OFF, SAME_TOKEN}


def next_due_at(state: State, request: Request) -> int:
    """Return when the primary or the standby will be asked next."""
    primary_at = primary_due_at(state, request)
    standby_at = standby_due_at(state)
    if standby_at is None:
        return primary_at
    return min(primary_at, standby_at)


def primary_due_at(state: State, request: Request) -> int:
    """Return when the primary will be asked next."""
    token = _token_after_recovery(state)
    due_at = int(state.now)
    if token is not None and state.due_reason(token, request) is None:
        due_at = math.ceil(token.expires_at - state.window_seconds(token))
    return max(due_at, state.primary_may_ask_at(token), _claims_wait_until(state))


def standby_due_at(state: State) -> int | None:
    """Return when the standby will be asked if the primary brings no token until then; None without a standby."""
    standby = state.credentials.standby
    if standby is None:
        return None
    token = _token_after_recovery(state)
    short_at = int(state.now)
    if token is not None and state.seconds_remaining(token):
        short_for = min(state.settings.standby_below_seconds, math.ceil(token.life_seconds / SHORT_PART_OF_LIFE))
        # With exactly so much left a token is not short yet.
        short_at = max(short_at, token.expires_at - short_for + 1)
    return max(short_at, state.slot(standby, token).not_before, _claims_wait_until(state))


def hopeful_due_at(state: State) -> int | None:
    """Return when somebody will be asked next whose last requests did not fail; None if there is nobody.

    A run that is at work now may bring a token at any moment, so its lock does not count.
    """
    unlocked = without_lock(state)
    times = []
    if not may_fail_again(state.credentials.primary, state):
        times.append(primary_due_at(unlocked, Request()))
    standby = state.credentials.standby
    standby_at = standby_due_at(unlocked)
    if standby is not None and standby_at is not None and not may_fail_again(standby, state):
        times.append(standby_at)
    return min(times, default=None)


def may_fail_again(client: Client, state: State) -> bool:
    """Say whether the client's last requests failed, so that the next one may fail, too."""
    return state.slot(client, state.current).reason in _MAY_FAIL_AGAIN


def without_lock(state: State) -> State:
    """Return the state as if no other run were at work."""
    return replace(state, ledger=replace(state.ledger, lock=None))


def _token_after_recovery(state: State) -> Token | None:
    """A token that is at hand counts as the current one: it will have been published by then."""
    is_due = state.due_reason(state.current, Request()) is not None
    at_hand = state.best_at_hand(is_due=is_due)
    if at_hand is not None:
        return at_hand.token
    return state.current


def _claims_wait_until(state: State) -> int:
    lock_until = 0
    if state.ledger.lock is not None:
        lock_until = state.ledger.lock.until
    return max(lock_until, state.ledger.pace.suffices_at(LEVEL_TO_ACQUIRE, state.now))
