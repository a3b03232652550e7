"""Reads the secrets and the ledger, in the order that compare-and-set needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from handler import oauth2
from handler.connections import Connection
from handler.errors import RefreshError, StoreError
from handler.ledger import Ledger
from handler.model import Credentials, Token
from handler.policy import CLIENT_CHANGED, CONFIG_CHANGED, MISSING, Request, State
from handler.secrets_manager import LEDGER, NO_VERSION, PREVIOUS, Both, Version
from handler.settings import Settings

# A new token may take a while to work everywhere, and an API answers 403 for other reasons too. So the
# probe can only revoke a token that is older than this.
MIN_REVOKED_AGE_SECONDS = 3_600
# These may come of credentials or a token that were read too early, so all is read once more.
_REASONS_TO_READ_AGAIN = {MISSING, CLIENT_CHANGED, CONFIG_CHANGED}

Observe = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The facts of one moment, and the versions that they were read from.

    `token_version_id` is empty if no version has the label AWSCURRENT. `ledger_version` is the one
    under REFRESH_LEDGER, as it was written; NO_VERSION if there is none, or if it was not read.
    """

    state: State
    token_version_id: str
    ledger_version: Version


class Reader:
    """Reads for one run. `run_id` is None for a run that writes nothing.

    `seconds_remaining` belongs to the token that consumers have now, as far as the run knows.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        run_id: str | None,
        may_probe: bool,
        observe: Observe,
    ) -> None:
        self.seconds_remaining = 0
        self._connection = connection
        self._settings = connection.settings
        self._store = connection.store
        self._run_id = run_id
        self._may_probe = may_probe
        self._observe = observe
        self._probed: set[str] = set()  # the tokens that were probed in this run
        self._revoked: tuple[Token, ...] = ()

    def read(self, request: Request) -> Snapshot:
        """*Read*: read as much as a decision needs. Mostly the two secrets are enough.

        The ledger is needed only if a refresh is due, or if this process holds an unsaved token.
        After a publish one version is token and ledger: then the ledger is in hand already. The ledger
        is not read either if the token secret has no value.
        """
        both = self._store.read_both()
        snapshot = self.snapshot_of(both, ledger_version=None)
        _, token_version = both.or_raise()
        if not token_version.version_id:
            return snapshot
        reason = snapshot.state.due_reason(snapshot.state.current, request)
        if reason is None and not self._connection.unsaved_tokens():
            return snapshot
        if LEDGER in token_version.stages and reason not in _REASONS_TO_READ_AGAIN:
            return self.snapshot_of(both, ledger_version=token_version)
        return self.read_ledger_and_secrets()

    def read_ledger_and_secrets(self) -> Snapshot:
        """*Ledger*: read the ledger, then both secrets.

        In this order the claim's compare-and-set covers all that was read: if another run publishes
        in between, it moves the label REFRESH_LEDGER away from the version that was read here.
        """
        ledger_version = self._store.get_version(LEDGER)
        return self.snapshot_of(self._store.read_both(), ledger_version=ledger_version)

    def snapshot_of(self, both: Both, *, ledger_version: Version | None) -> Snapshot:
        """Return the facts in these versions. `ledger_version` is None if the ledger was not read.

        Raises CredentialsError, or why a secret can't be read.
        """
        now = self._connection.now()
        try:
            credentials_version, token_version = both.or_raise()
            state = state_of(self._connection, credentials_version, token_version, now)
        except RefreshError:
            # No fault of the credentials hides what consumers have.
            self.seconds_remaining = seconds_until_end(both.token, now, self._settings)
            raise
        own_runs = self._own_runs()
        self._connection.forget_useless_tokens(state.current, now)
        state = replace(state, unsaved=self._connection.unsaved_tokens())
        state = self._probe(state)
        if ledger_version is not None:
            state = self._with_ledger(state, ledger_version, token_version, own_runs)
        self.seconds_remaining = state.seconds_remaining(state.current)
        return Snapshot(
            state=state,
            token_version_id=token_version.version_id,
            ledger_version=ledger_version or NO_VERSION,
        )

    def _with_ledger(
        self,
        state: State,
        ledger_version: Version,
        token_version: Version,
        own_runs: set[str],
    ) -> State:
        """Add the ledger as it counts now, and the tokens at hand that other versions hold."""
        ledger = Ledger.parse(ledger_version.text).as_of(state.now, own_runs, state.terms)
        displaced = None
        if ledger_version.version_id != token_version.version_id:
            displaced = parse_token(ledger_version, state.now, state.settings)
        previous = None
        if state.is_current_short():
            previous = parse_token(self._store.get_version(PREVIOUS), state.now, state.settings)
        return replace(state, ledger=ledger, displaced=displaced, previous=previous)

    def _own_runs(self) -> set[str]:
        """Return the runs whose locks are our own: this one, and those whose tokens the process holds."""
        runs = self._connection.unsaved_runs()
        if self._run_id is not None:
            runs.add(self._run_id)
        return runs

    def _probe(self, state: State) -> State:
        """Add what the probe says of the current token."""
        state = self.with_refused(state)
        if state.current is not None and self.is_refused(state.current, state):
            state = self.with_refused(state)
        return state

    def with_refused(self, state: State) -> State:
        """Add the tokens that the probe was refused with in this run."""
        return replace(state, revoked=self._revoked)

    def is_refused(self, token: Token, state: State) -> bool:
        """Probe the token, if it was not probed in this run. Says whether it must not be used any more.

        A token at hand is probed, too: otherwise one that was found revoked in an earlier run would come back.
        """
        if not self._should_probe(token, state):
            return False
        self._probed.add(token.access_token)
        if not oauth2.is_revoked(token, state.settings.probe_url):
            return False
        if state.now - token.acquired_at < MIN_REVOKED_AGE_SECONDS:
            self._observe("ProbeRefused", acquired_at=token.acquired_at)
            return False
        self._revoked += (token,)
        return True

    def _should_probe(self, token: Token, state: State) -> bool:
        """Only a token that is good as far as we know has a life to lose."""
        if not self._may_probe or not state.settings.probe_url:
            return False
        if token.access_token in self._probed:
            return False
        return state.seconds_remaining(token) > 0


def state_of(connection: Connection, credentials_version: Version, token_version: Version, now: float) -> State:
    """Return what both secrets say, without the ledger. Raises CredentialsError."""
    credentials = Credentials.parse(credentials_version.text, credentials_version.version_id)
    settings = connection.settings.for_connection(credentials.settings)
    return State(
        now=now,
        current=parse_token(token_version, now, settings),
        ledger=Ledger(),
        credentials=credentials,
        settings=settings,
    )


def parse_token(version: Version, now: float, settings: Settings) -> Token | None:
    """Return the token in a version's document, as far as it can be true by these settings."""
    return Token.parse(
        version.text,
        now=now,
        max_lifetime_seconds=settings.max_lifetime_seconds,
        clock_margin_seconds=settings.clock_margin_seconds,
    )


def seconds_until_end(token_version: Version | StoreError, now: float, settings: Settings) -> int:
    """Return how long the token in a version's document lives, whosever it is; 0 if there is none."""
    if isinstance(token_version, StoreError):
        return 0
    token = parse_token(token_version, now, settings)
    if token is None:
        return 0
    return max(0, int(token.expires_at - now))
