"""What is known of a connection, and what comes next. Nothing in this file can write."""

from dataclasses import asdict

from handler import __version__, aws
from handler.connections import Connection
from handler.errors import RefreshError, StoreError
from handler.ledger import Ledger
from handler.model import Token
from handler.outlook import next_due_at
from handler.policy import (
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
from handler.result import UNREADABLE, Result, empty_result, facts_of, result_of, utc_or_none
from handler.secrets_manager import LEDGER, NO_VERSION, PREVIOUS, Both, SecretDescription, Version
from handler.summary import summary_of_unknown_connection, summary_without_state


class Inspection:
    """One run that only looks: it writes nothing, does not probe, and does not ask the vendor.

    It never fails for the state of the secrets. What can't be read is among the result's `problems`.
    """

    def __init__(self, connection: Connection, request: Request, observe: Observe) -> None:
        self._connection = connection
        self._store = connection.store
        self._request = request
        self._problems: list[RefreshError] = []
        self.reader = Reader(connection, run_id=None, may_probe=False, observe=observe)

    def dry_run(self) -> Result:
        """Say what a refresh would do, except for what a probe would tell it."""
        ledger_version = self._read_version(LEDGER)
        both = self._read_both()
        snapshot = self._snapshot_of(both, ledger_version)
        return self._result(both, snapshot, ledger_version) | {
            "dry_run": True,
            "problems": self._shown_problems(),
        }

    def status(self) -> Result:
        """Say what a refresh would do, what is known, and what comes next."""
        ledger_version = self._read_version(LEDGER)
        both = self._read_both()
        snapshot = self._snapshot_of(both, ledger_version)
        next_at = None
        ledger = None
        if ledger_version is not None:
            # The ledger is shown as it was written: a lapsed lock is still in it.
            ledger = asdict(Ledger.parse(ledger_version.text))
            if snapshot is not None:
                next_at = next_due_at(snapshot.state, self._request)
        return self._result(both, snapshot, ledger_version) | {
            "next_due_at": next_at,
            "next_due_at_utc": utc_or_none(next_at),
            "standby": _standby_in(snapshot),
            "ledger": ledger,
            "safe_to_deactivate": self._safe_to_deactivate(snapshot),
            "problems": self._shown_problems(),
            "version": __version__,
        }

    def _read_version(self, stage: str) -> Version | None:
        try:
            return self._store.get_version(stage)
        except StoreError as error:
            self._problems.append(error)
            return None

    def _read_both(self) -> Both:
        try:
            both = self._store.read_both()
        except StoreError as error:
            return Both(error, error)
        if both.token == NO_VERSION:
            both = both._replace(token=self._error_of_missing_secret() or NO_VERSION)
        if isinstance(both.credentials, RefreshError) and isinstance(both.token, StoreError):
            self._problems.append(both.token)  # the first one is told when the snapshot is made
        return both

    def _error_of_missing_secret(self) -> StoreError | None:
        """Tell a token secret that does not exist from one without a value: a read of both ends in the same way."""
        try:
            self._store.describe()
        except StoreError as error:
            if error.code == aws.MISSING:
                return error
        return None

    def _snapshot_of(self, both: Both, ledger_version: Version | None) -> Snapshot | None:
        try:
            return self.reader.snapshot_of(both, ledger_version=ledger_version)
        except RefreshError as error:
            self._problems.append(error)
            return None

    def _result(self, both: Both, snapshot: Snapshot | None, ledger_version: Version | None) -> Result:
        if snapshot is None:
            return self._result_without_state(both)
        result = result_now(snapshot, self._request, self._connection.name)
        if ledger_version is None and result["outcome"] != "kept":
            return self._result_without_state(both)
        return result

    def _result_without_state(self, both: Both) -> Result:
        """Say what consumers hold. What a refresh would do is not known."""
        token = None
        version_id = ""
        if isinstance(both.token, Version):
            token = parse_token(both.token, self._connection.now(), self._connection.settings)
            version_id = both.token.version_id
        return (
            empty_result("waiting")
            | {
                "reason": UNREADABLE,
                "connection": self._connection.name or None,
                "seconds_remaining": self.reader.seconds_remaining,
                "version_id": version_id or None,
                "summary": self._summary_without_state(both, token),
            }
            | facts_of(token)
        )

    def _summary_without_state(self, both: Both, token: Token | None) -> str:
        if self._connection.name and _is_missing(both.credentials) and _is_missing(both.token):
            return summary_of_unknown_connection(self._connection.name)
        token_error = None
        if isinstance(both.token, StoreError):
            token_error = both.token
        return summary_without_state(
            token,
            self._connection.now(),
            token_error=token_error,
            problems=self._problems,
        )

    def _safe_to_deactivate(self, snapshot: Snapshot | None) -> str | None:
        if snapshot is None:
            return None
        previous_version = self._read_version(PREVIOUS)
        try:
            description = self._store.describe()
        except StoreError as error:
            self._problems.append(error)
            return None
        if previous_version is None:
            return None
        return safe_to_deactivate(
            snapshot.state,
            parse_token(previous_version, snapshot.state.now, snapshot.state.settings),
            previous_created_at=previous_version.created_at,
            description=description,
        )

    def _shown_problems(self) -> list[Result]:
        return [{"error": type(problem).__name__, "text": str(problem)} for problem in self._problems]


def _is_missing(secret: Version | RefreshError) -> bool:
    """Say whether AWS finds no such secret, or no value in it."""
    return isinstance(secret, RefreshError) and secret.code == aws.MISSING


def _standby_in(snapshot: Snapshot | None) -> Result | None:
    """Return who the standby is, and when it may ask."""
    if snapshot is None or snapshot.state.credentials.standby is None:
        return None
    standby = snapshot.state.credentials.standby
    not_before = snapshot.state.slot(standby, snapshot.state.current).not_before
    return {
        "client_id": standby.client_id,
        "username": standby.username,
        "not_before": not_before or None,
        "not_before_utc": utc_or_none(not_before),
    }


def result_now(snapshot: Snapshot, request: Request, connection_name: str = "") -> Result:
    """Return what a refresh would answer now; `due` if it would publish or acquire a token."""
    decision = decide(snapshot.state, request)
    return result_of(_outcome(decision, snapshot), connection_name)


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
