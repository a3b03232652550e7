"""What a run answers, and what is known and comes next. Nothing in this file can write."""

from dataclasses import asdict
from typing import Any

from handler.ledger import Ledger
from handler.model import Token, utc
from handler.policy import (
    Acquire,
    Decision,
    Keep,
    Publish,
    Request,
    Restore,
    State,
    Wait,
    WaitForLock,
    decide,
)
from handler.reader import Reader, Snapshot, WarmProcess
from handler.refresh import Outcome
from handler.secrets_manager import LEDGER, PREVIOUS

Result = dict[str, Any]


def result_of(outcome: Outcome) -> Result:
    """Return the result, with the keys that docs/REFERENCE.md lists. It never shows a secret."""
    state = outcome.snapshot.state
    result: Result = {
        "outcome": outcome.name,
        "reason": outcome.reason,
        "expires_at": None,
        "expires_at_utc": None,
        "seconds_remaining": state.seconds_remaining(state.current),
        "client_id": None,
        "not_before": state.primary_may_ask_at(state.current) or None,
        "version_id": outcome.snapshot.token_version_id or None,
        "dry_run": False,
    }
    if state.current is not None:
        result["expires_at"] = state.current.expires_at
        result["expires_at_utc"] = utc(state.current.expires_at)
        result["client_id"] = state.current.client_id
    return result


class Inspection:
    """One run that only looks: it writes nothing, does not probe, and does not ask the vendor."""

    def __init__(self, process: WarmProcess, request: Request) -> None:
        self._settings = process.settings
        self._store = process.store
        self._request = request
        self.reader = Reader(process, run_id=None, may_probe=False)

    def dry_run(self) -> Result:
        """Say what a refresh would do, except for what a probe would tell it."""
        snapshot = self.reader.read_ledger_and_secrets()
        return result_now(snapshot, self._request) | {"dry_run": True}

    def status(self) -> Result:
        """Say what a refresh would do, what is known, and what comes next."""
        snapshot = self.reader.read_ledger_and_secrets()
        ledger_version = self._store.get_version(LEDGER)
        previous_version = self._store.get_version(PREVIOUS)
        changed_at = self._store.last_changed_at()
        state = snapshot.state
        previous = self.reader.parse_token(previous_version, state.now)
        return result_now(snapshot, self._request) | {
            "next_due_at": next_due_at(state, self._request),
            # The ledger is shown as it was written: a lapsed lock is still in it.
            "ledger": asdict(Ledger.parse(ledger_version.text)),
            "safe_to_deactivate": safe_to_deactivate(state, previous, changed_at),
        }


def result_now(snapshot: Snapshot, request: Request) -> Result:
    """Return what a refresh would answer now; `due` if it would publish or acquire a token."""
    decision = decide(snapshot.state, request)
    name, reason = _words(decision)
    return result_of(Outcome(name, reason, snapshot))


def next_due_at(state: State, request: Request) -> int:
    """Return when the primary will be asked next if all goes well.

    A token that is at hand counts as the current one: it will have been published by then.
    """
    token = _token_at_hand(state, request) or state.current
    due_at = int(state.now)
    if state.due_reason(token, request) is None:
        due_at = _window_opens_at(token, state)
    lock_until = 0
    if state.ledger.lock is not None:
        lock_until = state.ledger.lock.until
    return max(due_at, state.primary_may_ask_at(token), lock_until)


def _token_at_hand(state: State, request: Request) -> Token | None:
    match decide(state, request):
        case Restore():
            return state.previous
        case Publish(token):
            return token
        case _:
            return state.best_unsaved()


def safe_to_deactivate(state: State, previous: Token | None, changed_at: float) -> str | None:
    """Return the client whose tokens no consumer's cache holds any more; None if there is none yet.

    `changed_at` is when the token secret was last written, in Unix seconds.
    """
    primary = state.credentials.primary
    left_behind = state.credentials.standby or previous
    if state.current is None or left_behind is None:
        return None
    if state.current.client_id != primary.client_id or not state.seconds_remaining(state.current):
        return None
    if left_behind.client_id == primary.client_id:
        return None
    published_at = max(state.current.acquired_at, changed_at)
    if state.now - published_at <= state.settings.consumer_cache_seconds:
        return None
    return left_behind.client_id


def _window_opens_at(token: Token | None, state: State) -> int:
    if token is None:
        return 0
    return token.expires_at - state.settings.refresh_window_seconds


def _words(decision: Decision) -> tuple[str, str]:
    """Return the words `outcome` and `reason` for what a refresh would do now."""
    match decision:
        case Keep():
            return "kept", "fresh"
        case Wait(reason):
            return "waiting", reason
        case WaitForLock():
            return "waiting", "locked"
        case Restore():
            return "due", "previous"
        case Publish():
            return "due", "unsaved"
        case Acquire(reason):
            return "due", reason
