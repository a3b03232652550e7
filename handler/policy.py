"""What to do next. Pure: no I/O, no clock. Times are Unix seconds.

The steps are explained in docs/PROTOCOL.md.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from handler.ledger import LIMIT_INTERVAL, Ledger, Slot
from handler.model import Client, Credentials, Token
from handler.settings import Settings

# A repeated event must not spend a second slot, and Lambda repeats an event within minutes.
FORCED_SATISFIED_SECONDS = 600

BACKING_OFF = "backing_off"


@dataclass(frozen=True, slots=True)
class Request:
    """The options of the event that a decision depends on."""

    force: bool = False
    override_limit: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """The current token is fresh."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A refresh is due, but nobody may ask yet."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitForLock:
    """Another run is at work."""


@dataclass(frozen=True, slots=True)
class Restore:
    """The token under AWSPREVIOUS is good, and the current one is not ours: bring it back."""


@dataclass(frozen=True, slots=True)
class Publish:
    """This warm process holds a better token than the current one: publish it."""

    token: Token


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask the vendor for a token with this client."""

    reason: str
    client: Client


Decision = Keep | Wait | WaitForLock | Restore | Publish | Acquire


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All facts that a decision depends on.

    `ledger` is the ledger as it counts now (see Ledger.as_of). `previous` is read only if `current`
    is not ours. `unsaved` are tokens that this process could not save. `is_revoked`: the probe says
    that the current token is revoked.
    """

    now: float
    current: Token | None
    previous: Token | None = None
    unsaved: tuple[Token, ...] = ()
    ledger: Ledger
    credentials: Credentials
    settings: Settings
    is_revoked: bool = False

    def is_ours(self, token: Token | None) -> bool:
        """Say whether the token belongs to a configured client and fits the configuration."""
        if token is None or token.client_id not in self.credentials.client_ids:
            return False
        if token.token_url != self.settings.token_url:
            return False
        return token.audience == self.settings.audience

    def seconds_remaining(self, token: Token | None) -> int:
        """Return how long consumers can still use the token; 0 if it is not good."""
        if token is None or not self.is_ours(token):
            return 0
        if self.is_revoked and token is self.current:
            return 0
        return max(0, int(token.expires_at - self.now))

    def due_reason(self, token: Token | None, request: Request) -> str | None:
        """Return why a refresh is due if this token is the current one; None if it is not due."""
        if token is None:
            return "missing"
        if token.client_id != self.credentials.primary.client_id:
            return "client_changed"
        if not self.is_ours(token):
            return "config_changed"
        if self.is_revoked and token is self.current:
            return "revoked"
        remaining = self.seconds_remaining(token)
        if not remaining:
            return "expired"
        if remaining <= self.settings.refresh_window_seconds:
            return "expiring"
        if request.force and self.now - token.acquired_at >= FORCED_SATISFIED_SECONDS:
            return "forced"
        return None

    def slot(self, client: Client, token: Token | None) -> Slot:
        """Return the client's slot if this token is the current one.

        The ledger and the token itself each tell of a slot. The one that is closed for longer counts.
        """
        in_ledger = self.ledger.slot(client.client_id)
        if token is None or token.client_id != client.client_id:
            return in_ledger
        spent = Slot.spent_by(token, self.settings)
        if spent.not_before >= in_ledger.not_before:
            return spent
        return in_ledger

    def primary_slot(self) -> Slot:
        return self.slot(self.credentials.primary, self.current)

    def may_ask(self, client: Client) -> bool:
        return self.slot(client, self.current).not_before <= self.now

    def primary_may_ask_at(self, token: Token | None) -> int:
        """Return when the primary may ask next if this token is the current one. Past or 0 means now."""
        slot = self.slot(self.credentials.primary, token)
        return max(slot.not_before, self.ledger.retry_at)

    def best_unsaved(self) -> Token | None:
        """Return the unsaved token with the longest life that is better than the current one."""
        better = [token for token in self.unsaved if self._is_better_than_current(token)]
        return max(better, key=self.seconds_remaining, default=None)

    def _is_better_than_current(self, token: Token) -> bool:
        remaining = self.seconds_remaining(token)
        current_remaining = self.seconds_remaining(self.current)
        if not remaining:
            return False
        if self.current is None or not current_remaining:
            return True
        if token.client_id == self.current.client_id:
            return token.acquired_at > self.current.acquired_at
        is_primary = token.client_id == self.credentials.primary.client_id
        if is_primary and remaining > self.settings.refresh_window_seconds:
            return True
        is_current_short = current_remaining < self.settings.standby_below_seconds
        return is_current_short and remaining > current_remaining


def decide(state: State, request: Request, tried: AbstractSet[str] = frozenset()) -> Decision:
    """Return what to do next: the steps *Due?*, *Locked*, *At hand* and *Slot*.

    `tried`: the ids of the clients that were asked in this run.
    """
    reason = state.due_reason(state.current, request)
    unsaved = state.best_unsaved()
    if state.ledger.lock and (reason or unsaved):
        return WaitForLock()
    if not state.is_ours(state.current) and state.seconds_remaining(state.previous):
        return Restore()

    is_override = request.override_limit and not tried
    backs_off = state.ledger.retry_at > state.now and not is_override
    if unsaved and not backs_off:
        return Publish(unsaved)
    if reason is None:
        return Keep()
    if backs_off:
        return Wait(BACKING_OFF)
    if is_override:
        return Acquire(reason, state.credentials.primary)
    for client in _candidates(state):
        if client.client_id not in tried and state.may_ask(client):
            return Acquire(reason, client)
    return Wait(state.primary_slot().reason or LIMIT_INTERVAL)


def _candidates(state: State) -> list[Client]:
    """Return who may be asked: the primary, then the standby if consumers soon have no token."""
    primary = state.credentials.primary
    standby = state.credentials.standby
    # If STANDBY_BELOW_SECONDS is 0, the standby is asked only if there is no good token at all.
    short_below = max(1, state.settings.standby_below_seconds)
    if standby is None or state.seconds_remaining(state.current) >= short_below:
        return [primary]
    return [primary, standby]
