"""Reads the secrets and the ledger, in the order that compare-and-set needs."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from handler import oauth2
from handler.ledger import Ledger
from handler.model import Credentials, Token
from handler.policy import State
from handler.secrets_manager import LEDGER, NO_VERSION, PREVIOUS, SecretStore, Version
from handler.settings import Settings


def _new_uuid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class UnsavedToken:
    """A token that could not be saved, and the run whose claim it was acquired or published under."""

    token: Token
    run_id: str


@dataclass(slots=True, kw_only=True)
class WarmProcess:
    """What outlives one run, because Lambda uses a process again.

    `unsaved` has at most one token per client id. `now` gives Unix seconds.
    """

    settings: Settings
    store: SecretStore
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    new_id: Callable[[], str] = _new_uuid
    unsaved: dict[str, UnsavedToken] = field(default_factory=dict, repr=False)

    def unsaved_tokens(self) -> tuple[Token, ...]:
        return tuple(held.token for held in self.unsaved.values())

    def forget_useless_tokens(self, current: Token | None, now: float) -> None:
        """Forget the unsaved tokens that have expired, or that the current token supersedes."""
        for client_id, held in list(self.unsaved.items()):
            if held.token.expires_at <= now or held.token.is_superseded_by(current):
                del self.unsaved[client_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The facts of one moment, and the versions that they were read from.

    An id is empty if no version has the label, or if that label was not read.
    """

    state: State
    token_version_id: str
    previous_version_id: str = ""
    ledger_version_id: str = ""


class Reader:
    """Reads for one run. `run_id` is None for a run that writes nothing.

    `seconds_remaining` belongs to the token that consumers have now, as far as the run knows.
    """

    def __init__(self, process: WarmProcess, *, run_id: str | None, may_probe: bool) -> None:
        self.seconds_remaining = 0
        self._process = process
        self._settings = process.settings
        self._store = process.store
        self._run_id = run_id
        self._may_probe = may_probe
        self._is_revoked_by_token: dict[str, bool] = {}  # the probe's answers in this run

    def read_secrets(self) -> Snapshot:
        """*Read*: read both secrets. The ledger counts as empty."""
        return self._read_secrets(NO_VERSION, may_read_previous=False)

    def read_ledger_and_secrets(self) -> Snapshot:
        """*Ledger*: read the ledger, then both secrets.

        In this order the claim's compare-and-set covers all that was read: if another run publishes
        in between, it moves the label REFRESH_LEDGER away from the version that was read here.
        """
        ledger_version = self._store.get_version(LEDGER)
        return self._read_secrets(ledger_version, may_read_previous=True)

    def parse_token(self, version: Version, now: float) -> Token | None:
        return Token.parse(
            version.text,
            now=now,
            max_lifetime_seconds=self._settings.max_lifetime_seconds,
            clock_margin_seconds=self._settings.clock_margin_seconds,
        )

    def _read_secrets(self, ledger_version: Version, *, may_read_previous: bool) -> Snapshot:
        credentials_version, token_version = self._store.get_both()
        now = self._process.now()
        current = self.parse_token(token_version, now)
        # This figure counts if the credentials can't be read.
        self.seconds_remaining = _seconds_until_end(current, now)
        credentials = Credentials.parse(credentials_version.text, credentials_version.version_id)
        own_runs = self._own_runs()
        self._process.forget_useless_tokens(current, now)
        ledger = Ledger.parse(ledger_version.text)
        state = State(
            now=now,
            current=current,
            unsaved=self._process.unsaved_tokens(),
            ledger=ledger.as_of(now, own_runs, credentials, self._settings),
            credentials=credentials,
            settings=self._settings,
        )
        previous_version = NO_VERSION
        if may_read_previous and not state.is_ours(current):
            previous_version = self._store.get_version(PREVIOUS)
            state = replace(state, previous=self.parse_token(previous_version, now))
        state = replace(state, is_revoked=self._is_revoked(state))
        self.seconds_remaining = state.seconds_remaining(current)
        return Snapshot(
            state=state,
            token_version_id=token_version.version_id,
            previous_version_id=previous_version.version_id,
            ledger_version_id=ledger_version.version_id,
        )

    def _own_runs(self) -> set[str]:
        """Return the runs whose locks are our own: this one, and those whose tokens the process holds."""
        runs = {held.run_id for held in self._process.unsaved.values()}
        if self._run_id is not None:
            runs.add(self._run_id)
        return runs

    def _is_revoked(self, state: State) -> bool:
        """Say what the probe says of the current token. Each token is probed once in a run."""
        token = state.current
        if token is None:
            return False
        is_known = token.access_token in self._is_revoked_by_token
        if not is_known and self._should_probe(state):
            answer = oauth2.is_revoked(token, self._settings.probe_url)
            self._is_revoked_by_token[token.access_token] = answer
        return self._is_revoked_by_token.get(token.access_token, False)

    def _should_probe(self, state: State) -> bool:
        """Only a token that is good as far as we know has a life to lose."""
        if not self._may_probe or not self._settings.probe_url:
            return False
        return state.seconds_remaining(state.current) > 0


def _seconds_until_end(token: Token | None, now: float) -> int:
    if token is None:
        return 0
    return max(0, int(token.expires_at - now))
