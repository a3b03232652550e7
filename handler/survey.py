"""A look at all connections, page by page. Nothing is written, and the vendor is not asked."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from handler import aws
from handler.connections import CREDENTIALS_SUFFIX, TOKEN_SUFFIX, WarmProcess
from handler.errors import CredentialsError, RefreshError, StoreError
from handler.ledger import Ledger
from handler.model import SEED
from handler.policy import Request, State
from handler.reader import seconds_until_end, state_of
from handler.secrets_manager import LEDGER, NO_VERSION, Both, Page, Version, as_credentials_error, read_page
from handler.settings import is_connection_name

# AWS allows 100 batches a second. The other half is for the runs that read one connection each.
MIN_SECONDS_BETWEEN_PAGES = 0.02
# The survey stops so long before the run's end: the last call may take 20 s, and what it found must be told.
RESERVE_SECONDS = 30
# A list may not show a new secret at once. Until then nobody is told that the other half is missing.
MIN_HALF_AGE_SECONDS = 900
# So long a connection without a token is new: the sweep that finds it and the next one have passed by then.
MAX_NEW_SECONDS = 7_200
# So many other connections a problem names.
MAX_NAMED = 3
MAX_PROBLEM_CHARACTERS = 500
# Of a name that no connection can have, so much is shown.
MAX_NAME_CHARACTERS = 100

# The current version of a secret, or why AWS does not show it.
Half = Version | StoreError


class Problem(NamedTuple):
    """Why a connection can't be kept, and what to do. `error` is the name of an error class."""

    name: str
    error: str
    text: str


class Slot(NamedTuple):
    """Of whom the vendor grants one token in an interval."""

    principal: str
    token_url: str


class Surveyed(NamedTuple):
    """What the survey knows of one connection.

    `error` is the name of the error because of which the connection can't be read; None if it can.
    `expires_at` is None if there is no token, or if it is not good. `reason` is why a refresh is due; None if it
    is not due, or if that is not known. `principal` is the primary's; empty if that is not known. `is_new` says
    that it has not had a token yet, and that its credentials were put a short time ago. `needs_probe`: the
    survey does not probe, so a run of its own must. `is_known`: the token secret was read; otherwise nobody
    knows what consumers have.
    """

    name: str
    principal: str = ""
    seconds_remaining: int = 0
    expires_at: int | None = None
    reason: str | None = None
    error: str | None = None
    needs_run: bool = False
    needs_probe: bool = False
    slots: tuple[Slot, ...] = ()
    is_new: bool = False
    is_known: bool = True


class Survey:
    """One survey. What it has found so far is there also if it ends early.

    `remaining` gives the seconds until Lambda kills the run. `found` has the connections whose credentials
    secret has a value, and those that have had a token; `empty` counts the others. `is_complete` says whether
    all pages were read.
    """

    def __init__(self, process: WarmProcess, *, remaining: Callable[[], float]) -> None:
        self.found: list[Surveyed] = []
        self.problems: list[Problem] = []
        self.empty = 0
        self.is_complete = False
        self._process = process
        self._prefix = process.settings.connections_prefix
        self._remaining = remaining
        self._names: set[str] = set()
        # The secrets whose other half no page has shown yet, by the connection's name.
        self._credentials: dict[str, Half] = {}
        self._tokens: dict[str, Half] = {}

    def connections(self) -> Iterator[Surveyed]:
        """Yield each connection as soon as both its secrets were read.

        Raises StoreError if a page can't be read, or if no time is left.
        """
        for page in self._pages():
            self._sort(page)
            for name in sorted(self._credentials.keys() & self._tokens.keys()):
                surveyed = self._look_at(name, self._credentials.pop(name), self._tokens.pop(name))
                if surveyed is not None:
                    yield surveyed
        self._look_at_halves()
        self._find_shared_slots()
        self.is_complete = True

    @property
    def seconds_remaining(self) -> int | None:
        """The smallest remaining life of all connections. None if not all were read, or if there are none.

        A new one does not count: whoever adds a connection must not set off the alarm.
        """
        if not self.is_complete:
            return None
        lives = [one.seconds_remaining for one in self.found if not one.is_new]
        return min(lives, default=None)

    @property
    def number_of_connections(self) -> int:
        return len(self.found) + self.empty

    def last_error_of(self, surveyed: Surveyed) -> str | None:
        """Return the name of the error because of which it has no token.

        If it can be read, that is the error of its last request for a token, as its ledger has it.
        """
        if surveyed.error:
            return surveyed.error
        if not surveyed.principal or self._remaining() < RESERVE_SECONDS:
            return None
        try:
            version = self._process.connection(surveyed.name).store.get_version(LEDGER)
        except StoreError:
            return None
        return Ledger.parse(version.text).slot(surveyed.principal).error

    def add_problem(self, name: str, error: RefreshError) -> None:
        text = str(error)
        if len(text) > MAX_PROBLEM_CHARACTERS:
            text = f"{text[:MAX_PROBLEM_CHARACTERS]} ..."
        self.problems.append(Problem(name, type(error).__name__, text))

    def check_time(self) -> None:
        """Raise StoreError if no time is left for another call."""
        if self._remaining() >= RESERVE_SECONDS:
            return
        raise StoreError(
            f"no time is left after {len(self._names)} connections: raise the function's timeout or its memory",
            code="TooLate",
        )

    def _pages(self) -> Iterator[Page]:
        next_token = ""
        while True:
            self.check_time()
            asked_at = self._process.now()
            page = read_page(self._process.client, self._prefix, next_token)
            yield page
            if not page.next_token:
                return
            next_token = page.next_token
            pause = asked_at + MIN_SECONDS_BETWEEN_PAGES - self._process.now()
            if pause > 0:
                self._process.sleep(pause)

    def _sort(self, page: Page) -> None:
        """Note the halves of connections. Other secrets under the prefix are not ours."""
        for secret_name, half in page.secrets.items():
            stem = secret_name.removeprefix(self._prefix)
            if stem.endswith(CREDENTIALS_SUFFIX):
                self._note_half(self._credentials, stem.removesuffix(CREDENTIALS_SUFFIX), half)
            elif stem.endswith(TOKEN_SUFFIX):
                self._note_half(self._tokens, stem.removesuffix(TOKEN_SUFFIX), half)

    def _note_half(self, halves: dict[str, Half], name: str, half: Half) -> None:
        if name in self._names:
            return  # the list has moved on between two pages, and shows a secret twice
        halves[name] = half

    def _look_at(self, name: str, credentials: Half, token: Half) -> Surveyed | None:
        """Note and return what is known of a connection. Returns None if it is only being made."""
        self._names.add(name)
        if _has_no_value(credentials) and not _has_had_a_token(token):
            self.empty += 1
            return None
        try:
            surveyed = self._judge(name, credentials, token)
        except Exception as error:  # noqa: BLE001 - no connection's trouble may end the survey of the others
            # Its text may hold a secret.
            text = "an unexpected error; the log of the connection's own run tells where it comes from"
            self.problems.append(Problem(name, type(error).__name__, text))
            surveyed = Surveyed(name, error=type(error).__name__, needs_run=True)
        self.found.append(surveyed)
        return surveyed

    def _judge(self, name: str, credentials: Half, token: Half) -> Surveyed:
        if not is_connection_name(name):
            # No event can name it, so it has no run.
            shown = ascii(name[:MAX_NAME_CHARACTERS])
            self.add_problem(shown, CredentialsError("a connection can't have this name: create it with another one"))
            return Surveyed(shown)
        if isinstance(token, StoreError) and token.code == aws.MISSING:
            token = NO_VERSION
        if isinstance(token, StoreError):
            self.add_problem(name, token)
            return Surveyed(name, error=type(token).__name__, needs_run=True, is_known=False)
        now = self._process.now()
        connection = self._process.connection(name)
        is_new = _is_new(credentials, token, now)
        try:
            credentials_id = f"{self._prefix}{name}{CREDENTIALS_SUFFIX}"
            both = Both(as_credentials_error(credentials, credentials_id), token)
            credentials_version, token_version = both.or_raise()
            state = state_of(connection, credentials_version, token_version, now)
        except RefreshError as error:
            self.add_problem(name, error)
            return self._surveyed_without_state(name, token, error, is_new=is_new, needs_run=True)
        return _surveyed(name, state, is_new=is_new)

    def _surveyed_without_state(
        self,
        name: str,
        token_version: Version,
        error: RefreshError,
        *,
        is_new: bool,
        needs_run: bool,
    ) -> Surveyed:
        """Return what is known of a connection whose credentials can't be read: what consumers hold."""
        now = self._process.now()
        seconds_remaining = seconds_until_end(token_version, now, self._process.settings)
        expires_at = None
        if seconds_remaining:
            expires_at = int(now) + seconds_remaining
        return Surveyed(
            name=name,
            seconds_remaining=seconds_remaining,
            expires_at=expires_at,
            error=type(error).__name__,
            needs_run=needs_run,
            is_new=is_new,
        )

    def _look_at_halves(self) -> None:
        """Tell of secrets without their other half, except if they are new."""
        for name, half in self._credentials.items():
            if _has_no_value(half):
                self.empty += 1
            elif self._is_old(half, name):
                self.found.append(Surveyed(name))
                secret = f"{self._prefix}{name}{TOKEN_SUFFIX}"
                self.add_problem(
                    name,
                    StoreError(f"the secret {secret} is missing or marked for deletion: create or restore it"),
                )
        for name, half in self._tokens.items():
            secret = f"{self._prefix}{name}{CREDENTIALS_SUFFIX}"
            error = CredentialsError(
                f"the secret {secret} is missing or marked for deletion: create or restore it, or delete the "
                "token secret if nobody needs the token"
            )
            if isinstance(half, Version) and _has_had_a_token(half):
                self.found.append(self._surveyed_without_state(name, half, error, is_new=False, needs_run=False))
            if self._is_old(half, name):
                self.add_problem(name, error)

    def _is_old(self, half: Half, name: str) -> bool:
        """Say whether the other half should be in the list by now.

        That goes by the age of the current version, or if a token secret has no value yet, of the secret.
        """
        if isinstance(half, Version):
            return self._process.now() - half.created_at >= MIN_HALF_AGE_SECONDS
        if half.code != aws.MISSING:
            return True
        self.check_time()
        try:
            changed_at = self._process.connection(name).store.describe().changed_at
        except StoreError:
            return True
        return self._process.now() - changed_at >= MIN_HALF_AGE_SECONDS

    def _find_shared_slots(self) -> None:
        """Tell of connections that would refuse each other, because they ask as one principal."""
        connections_of: dict[Slot, list[str]] = {}
        for surveyed in self.found:
            for slot in surveyed.slots:
                connections_of.setdefault(slot, []).append(surveyed.name)
        for slot, names in connections_of.items():
            if len(names) > 1:
                error = _shared_slot_error(slot, names)
                for name in names:
                    self.add_problem(name, error)


def _has_no_value(half: Half) -> bool:
    return isinstance(half, StoreError) and half.code == aws.MISSING


def _has_had_a_token(token: Half) -> bool:
    """Say whether the token secret holds more than the first document. A secret that can't be read may."""
    if isinstance(token, StoreError):
        return token.code != aws.MISSING
    return bool(token.version_id) and token.text != SEED


def _is_new(credentials: Half, token: Version, now: float) -> bool:
    """Say whether the connection has not had a token yet, and its credentials were put a short time ago."""
    if _has_had_a_token(token) or isinstance(credentials, StoreError):
        return False
    return now - credentials.created_at < MAX_NEW_SECONDS


def _surveyed(name: str, state: State, *, is_new: bool) -> Surveyed:
    """Return what a run of the connection would find, by the same code."""
    reason = state.due_reason(state.current, Request())
    seconds_remaining = state.seconds_remaining(state.current)
    expires_at = None
    if state.current is not None and seconds_remaining:
        expires_at = state.current.expires_at
    principals = sorted(state.credentials.principals)
    return Surveyed(
        name=name,
        principal=state.credentials.primary.principal,
        seconds_remaining=seconds_remaining,
        expires_at=expires_at,
        reason=reason,
        needs_run=reason is not None,
        needs_probe=bool(state.settings.probe_url),
        slots=tuple(
            Slot(principal, state.settings.token_url)
            for principal in principals
            if state.settings.interval_of(principal)
        ),
        is_new=is_new,
    )


def names_of(connections: list[str]) -> str:
    """Return some of the names, and how many more there are."""
    named = ", ".join(connections[:MAX_NAMED])
    left_out = len(connections) - MAX_NAMED
    if left_out > 0:
        named = f"{named} and {left_out} more"
    return named


def _shared_slot_error(slot: Slot, names: list[str]) -> CredentialsError:
    return CredentialsError(
        f"{slot.principal} is a principal of {names_of(names)}: the vendor grants it one token in an interval, so "
        "they refuse each other; give each connection a principal of its own"
    )
