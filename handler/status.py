"""What a run answers, and what is known and comes next. Nothing in this file can write."""

import math
from dataclasses import asdict
from typing import Any

from handler.connections import Connection
from handler.ledger import Ledger
from handler.model import Token, utc
from handler.policy import (
    LEVEL_TO_ACQUIRE,
    Acquire,
    Decision,
    Keep,
    Publish,
    Request,
    State,
    Wait,
    WaitForLock,
    decide,
)
from handler.reader import Observe, Reader, Snapshot, parse_token
from handler.refresh import Outcome
from handler.secrets_manager import PREVIOUS, SecretDescription

Result = dict[str, Any]


def empty_result(outcome: str) -> Result:
    """Return a result that has every key, and says nothing but the outcome."""
    return {
        "outcome": outcome,
        "reason": None,
        "connection": None,
        "expires_at": None,
        "expires_at_utc": None,
        "seconds_remaining": None,
        "client_id": None,
        "username": None,
        "not_before": None,
        "version_id": None,
        "dry_run": False,
        "warnings": [],
    }


def result_of(outcome: Outcome, connection_name: str = "") -> Result:
    """Return the result, with the keys that docs/REFERENCE.md lists. It never shows a secret.

    The name is empty in a deployment that keeps one connection.
    """
    state = outcome.snapshot.state
    not_before = outcome.not_before
    if not_before is None:
        not_before = state.primary_may_ask_at(state.current)
    result = empty_result(outcome.name) | {
        "reason": outcome.reason,
        "connection": connection_name or None,
        "seconds_remaining": state.seconds_remaining(state.current),
        "not_before": not_before or None,
        "version_id": outcome.snapshot.token_version_id or None,
        "warnings": list(state.credentials.warnings),
    }
    if state.current is not None:
        result["expires_at"] = state.current.expires_at
        result["expires_at_utc"] = utc(state.current.expires_at)
        result["client_id"] = state.current.client_id
        result["username"] = state.current.username
    return result


class Inspection:
    """One run that only looks: it writes nothing, does not probe, and does not ask the vendor."""

    def __init__(self, connection: Connection, request: Request, observe: Observe) -> None:
        self._name = connection.name
        self._store = connection.store
        self._request = request
        self.reader = Reader(connection, run_id=None, may_probe=False, observe=observe)

    def dry_run(self) -> Result:
        """Say what a refresh would do, except for what a probe would tell it."""
        snapshot = self.reader.read_ledger_and_secrets()
        return result_now(snapshot, self._request, self._name) | {"dry_run": True}

    def status(self) -> Result:
        """Say what a refresh would do, what is known, and what comes next."""
        snapshot = self.reader.read_ledger_and_secrets()
        previous_version = self._store.get_version(PREVIOUS)
        description = self._store.describe()
        state = snapshot.state
        previous = parse_token(previous_version, state.now, state.settings)
        return result_now(snapshot, self._request, self._name) | {
            "next_due_at": next_due_at(state, self._request),
            # The ledger is shown as it was written: a lapsed lock is still in it.
            "ledger": asdict(Ledger.parse(snapshot.ledger_version.text)),
            "safe_to_deactivate": safe_to_deactivate(
                state,
                previous,
                previous_created_at=previous_version.created_at,
                description=description,
            ),
        }


def result_now(snapshot: Snapshot, request: Request, connection_name: str = "") -> Result:
    """Return what a refresh would answer now; `due` if it would publish or acquire a token."""
    decision = decide(snapshot.state, request)
    return result_of(_outcome(decision, snapshot), connection_name)


def next_due_at(state: State, request: Request) -> int:
    """Return when the primary will be asked next if all goes well.

    A token that is at hand counts as the current one: it will have been published by then.
    """
    token = state.current
    is_due = state.due_reason(token, request) is not None
    at_hand = state.best_at_hand(is_due=is_due)
    if at_hand is not None:
        token = at_hand.token
    due_at = int(state.now)
    if token is not None and state.due_reason(token, request) is None:
        due_at = math.ceil(token.expires_at - state.window_seconds(token))
    lock_until = 0
    if state.ledger.lock is not None:
        lock_until = state.ledger.lock.until
    pace_at = state.ledger.pace.suffices_at(LEVEL_TO_ACQUIRE, state.now)
    return max(due_at, state.primary_may_ask_at(token), lock_until, pace_at)


def safe_to_deactivate(
    state: State,
    previous: Token | None,
    *,
    previous_created_at: float,
    description: SecretDescription,
) -> str | None:
    """Return the principal whose tokens no consumer holds any more; None if there is none yet.

    `previous` is the token under AWSPREVIOUS, and `previous_created_at` is when its version was put.
    """
    primary = state.credentials.primary
    current = state.current
    left_behind = state.credentials.standby or previous
    if current is None or left_behind is None or not state.seconds_remaining(current):
        return None
    if current.principal != primary.principal or left_behind.principal == primary.principal:
        return None
    if left_behind.username is None and left_behind.client_id == primary.client_id:
        return None  # whoever deactivates the client ends the tokens of its service accounts, too
    # Since then consumers read the primary's token.
    published_at = max(current.acquired_at, description.changed_at)
    if previous is not None and previous.principal == primary.principal:
        # A token that was brought back was put long after it was acquired.
        published_at = max(previous.acquired_at, previous_created_at)
    if state.now - published_at <= state.settings.consumer_cache_seconds:
        return None
    if not description.is_in_sync:
        return None
    return left_behind.principal


def _outcome(decision: Decision, snapshot: Snapshot) -> Outcome:
    """Return how a refresh would end now, without asking or writing."""
    match decision:
        case Keep():
            return Outcome("kept", "fresh", snapshot)
        case Wait(reason, not_before):
            return Outcome("waiting", reason, snapshot, not_before=not_before)
        case WaitForLock():
            return Outcome("waiting", "locked", snapshot)
        case Publish(reason):
            return Outcome("due", reason, snapshot)
        case Acquire(reason):
            return Outcome("due", reason, snapshot)
