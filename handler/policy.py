"""What to do next. Pure: no I/O, no clock. Times are Unix seconds.

The steps are explained in docs/PROTOCOL.md.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from handler.ledger import BACKING_OFF, CREDENTIALS_REFUSED, LIMIT_INTERVAL, Ledger, Slot, Terms
from handler.model import Client, Credentials, Token
from handler.settings import Settings

# A repeated event must not spend a second slot, and Lambda repeats an event within minutes.
FORCED_SATISFIED_SECONDS = 600
# For the same reason nobody is asked against a pause or a limit so soon after the last claim.
MIN_SECONDS_BETWEEN_FORCED_CLAIMS = 600
# The window is at most this part of a token's life, or a short-lived token would never be fresh.
WINDOW_PART_OF_LIFE = 3
# A token is short only if less than this part of its life remains.
SHORT_PART_OF_LIFE = 4

# If the vendor answers with the current token again, it must live longer than stored by more than this.
SAME_TOKEN_SECONDS = 60

# What the pace must hold before a claim. A claim that is due to an event (a forced refresh, or one against
# a closed slot) leaves enough for the next ordinary ones. A recovery brings back a token that was issued
# already.
LEVEL_TO_ACQUIRE = 1
LEVEL_TO_FORCE = 4
LEVEL_TO_RECOVER = -1

# Why a refresh is due.
MISSING = "missing"
CLIENT_CHANGED = "client_changed"
CONFIG_CHANGED = "config_changed"
REVOKED = "revoked"
EXPIRED = "expired"
EXPIRING = "expiring"
FORCED = "forced"
# Where a token at hand comes from.
UNSAVED = "unsaved"
PREVIOUS = "previous"
DISPLACED = "displaced"
# Why a run waits, apart from the reasons of a closed slot.
TOO_MANY_CLAIMS = "too_many_claims"

# `force` passes over these pauses of our own.
_PASSABLE_PAUSES = {BACKING_OFF, CREDENTIALS_REFUSED}


class Request(NamedTuple):
    """The options of the event that a decision depends on."""

    force: bool = False
    override_limit: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """The current token is fresh."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A refresh is due, but nobody may ask before `not_before`."""

    reason: str
    not_before: int


@dataclass(frozen=True, slots=True)
class WaitForLock:
    """Another run is at work."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A good token is at hand, and better than the current one: publish it. Costs no slot."""

    reason: str
    token: Token


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask the vendor for a token with this client."""

    reason: str
    client: Client


Decision = Keep | Wait | WaitForLock | Publish | Acquire


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All facts that a decision depends on.

    `ledger` is the ledger as it counts now (see Ledger.as_of). `previous` is the token under
    AWSPREVIOUS; it is read only if `current` is short. `displaced` is the token under
    REFRESH_LEDGER, if AWSCURRENT is elsewhere. `unsaved` are tokens that this process could not save.
    `revoked` are tokens that the probe was refused with in this run.
    """

    now: float
    current: Token | None
    previous: Token | None = None
    displaced: Token | None = None
    unsaved: tuple[Token, ...] = ()
    revoked: tuple[Token, ...] = ()
    ledger: Ledger
    credentials: Credentials
    settings: Settings

    @property
    def terms(self) -> Terms:
        return Terms(
            credentials=self.credentials,
            settings=self.settings,
            token_life_seconds=token_life_seconds(self.current, self.settings),
        )

    def is_ours(self, token: Token | None) -> bool:
        """Say whether the token belongs to a configured principal and fits the configuration."""
        if token is None or token.principal not in self.credentials.principals:
            return False
        return self.fits_configuration(token)

    def repeats_current(self, token: Token) -> bool:
        """Say whether the vendor answered with the very token that consumers have, and nothing is new about it."""
        if self.current is None or token.access_token != self.current.access_token:
            return False
        if not self.is_ours(self.current) or token.principal != self.current.principal:
            return False  # it was granted for another request, and fits the present one
        is_revoked = any(token.access_token == revoked.access_token for revoked in self.revoked)
        lives_longer = token.expires_at > self.current.expires_at + SAME_TOKEN_SECONDS
        return is_revoked or not lives_longer

    def fits_configuration(self, token: Token) -> bool:
        if token.token_url != self.settings.token_url:
            return False
        if token.audience != self.settings.audience:
            return False
        if token.requested_parameters != self.settings.parameters_hash:
            return False
        return token.requested_scope == self.settings.scope

    def is_revoked(self, token: Token) -> bool:
        """Say whether the token, or a newer one of its principal, was refused by the probe."""
        return any(token.is_superseded_by(revoked) for revoked in self.revoked)

    def seconds_remaining(self, token: Token | None) -> int:
        """Return how long consumers can still use the token; 0 if it is not good."""
        if token is None or not self.is_ours(token) or self.is_revoked(token):
            return 0
        return max(0, int(token.expires_at - self.now))

    def is_current_short(self) -> bool:
        """Say whether consumers have no good token, or soon will have none."""
        remaining = self.seconds_remaining(self.current)
        if self.current is None or not remaining:
            return True
        if remaining >= self.settings.standby_below_seconds:
            return False
        return remaining < self.current.life_seconds / SHORT_PART_OF_LIFE

    def window_seconds(self, token: Token) -> float:
        """Return how long before its end this token is renewed."""
        longest = token.life_seconds / WINDOW_PART_OF_LIFE
        return min(self.settings.refresh_window_seconds, longest)

    def due_reason(self, token: Token | None, request: Request) -> str | None:
        """Return why a refresh is due if this token is the current one; None if it is not due."""
        if token is None:
            return MISSING
        if token.principal != self.credentials.primary.principal:
            return CLIENT_CHANGED
        if not self.fits_configuration(token):
            return CONFIG_CHANGED
        if self.is_revoked(token):
            return REVOKED
        remaining = self.seconds_remaining(token)
        if not remaining:
            return EXPIRED
        if remaining <= self.window_seconds(token):
            return EXPIRING
        if request.force and self.now - token.acquired_at >= FORCED_SATISFIED_SECONDS:
            return FORCED
        return None

    def slot(self, client: Client, token: Token | None) -> Slot:
        """Return the client's slot if this token is the current one.

        The ledger and the token itself each tell of a slot. The one that is closed for longer counts.
        """
        in_ledger = self.ledger.slot(client.principal)
        if token is None or token.principal != client.principal:
            return in_ledger
        spent = Slot.spent_by(token, self.settings)
        if spent.not_before >= in_ledger.not_before:
            return spent
        return in_ledger

    def primary_slot(self) -> Slot:
        return self.slot(self.credentials.primary, self.current)

    def primary_may_ask_at(self, token: Token | None) -> int:
        """Return when the primary may ask next if this token is the current one. Past or 0 means now."""
        return self.slot(self.credentials.primary, token).not_before

    def may_ask(self, client: Client, request: Request) -> bool:
        """Say whether the client's slot is open. `force` passes over our own pauses."""
        slot = self.slot(client, self.current)
        if slot.not_before <= self.now:
            return True
        is_passable = request.force and slot.reason in _PASSABLE_PAUSES
        return is_passable and self.may_be_forced(client)

    def may_be_forced(self, client: Client) -> bool:
        """Say whether the client's last claim is long enough ago to ask against a pause or a limit."""
        asked_at = self.ledger.slot(client.principal).asked_at
        return self.now - asked_at >= MIN_SECONDS_BETWEEN_FORCED_CLAIMS

    def best_at_hand(self, *, is_due: bool = True) -> Publish | None:
        """Return the best token at hand that is better than the current one.

        The primary's comes first, then the longest life. If no refresh is due, only the tokens that
        this process holds count: nobody reads the others then.
        """
        better = [found for found in self._at_hand() if self._is_better_than_current(found.token)]
        if not is_due:
            better = [found for found in better if found.reason == UNSAVED]
        return max(better, key=self._rank, default=None)

    def token_to_carry(self) -> Token | None:
        """Return the token that must not be lost: one at hand if it is better, or the current one.

        If none is good, it is the known token that lives longest: what makes it bad may be a mistake
        in the settings or in the credentials, which somebody puts right again.
        """
        at_hand = self.best_at_hand()
        if at_hand is not None:
            return at_hand.token
        if self.seconds_remaining(self.current):
            return self.current
        known = [found.token for found in self._at_hand()]
        if self.current is not None:
            known.append(self.current)
        unexpired = [token for token in known if token.expires_at > self.now]
        return max(unexpired, key=lambda token: token.expires_at, default=None)

    def _at_hand(self) -> list[Publish]:
        found = [Publish(UNSAVED, token) for token in self.unsaved]
        if self.previous is not None:
            found.append(Publish(PREVIOUS, self.previous))
        if self.displaced is not None:
            found.append(Publish(DISPLACED, self.displaced))
        return found

    def _rank(self, found: Publish) -> tuple[bool, int]:
        return self._is_primarys(found.token), self.seconds_remaining(found.token)

    def _is_primarys(self, token: Token) -> bool:
        return token.principal == self.credentials.primary.principal

    def _is_better_than_current(self, token: Token) -> bool:
        remaining = self.seconds_remaining(token)
        current_remaining = self.seconds_remaining(self.current)
        if not remaining:
            return False
        if self.current is None or not current_remaining:
            return True
        if token.principal == self.current.principal:
            return token.acquired_at > self.current.acquired_at
        if self._is_primarys(token) and remaining > self.window_seconds(token):
            return True
        return self.is_current_short() and remaining > current_remaining


def decide(state: State, request: Request, tried: AbstractSet[str] = frozenset()) -> Decision:
    """Return what to do next: the steps *Due?*, *Locked*, *At hand* and *Slot*.

    `tried`: the principals that were asked in this run.
    """
    reason = state.due_reason(state.current, request)
    at_hand = state.best_at_hand(is_due=reason is not None)
    if reason is None and at_hand is None:
        return Keep()
    if state.ledger.lock is not None:
        return WaitForLock()
    if at_hand is not None:
        return _within_pace(at_hand, LEVEL_TO_RECOVER, state)
    if reason is None:
        return Keep()  # never: it was returned above, and the types can't say so
    decision = _ask(state, request, tried, reason)
    if isinstance(decision, Wait):
        # What may not be forced may still be done as at any other run.
        ordinary = _ask(state, Request(), tried, reason)
        if isinstance(ordinary, Acquire):
            return ordinary
    return decision


def token_life_seconds(token: Token | None, settings: Settings) -> int:
    """Return the life of the last token, as far as it is known."""
    if token is None:
        return settings.max_lifetime_seconds
    return token.life_seconds


def _ask(state: State, request: Request, tried: AbstractSet[str], reason: str) -> Decision:
    client = _who_may_ask(state, request, tried)
    if client is None:
        slot = state.primary_slot()
        return Wait(slot.reason or LIMIT_INTERVAL, slot.not_before)
    is_closed = state.slot(client, state.current).not_before > state.now
    level = LEVEL_TO_ACQUIRE
    if is_closed or reason == FORCED:
        level = LEVEL_TO_FORCE
    return _within_pace(Acquire(reason, client), level, state)


def _who_may_ask(state: State, request: Request, tried: AbstractSet[str]) -> Client | None:
    """Return the primary, or the standby if the primary may not ask and the current token is short."""
    primary = state.credentials.primary
    # A request may take longer than the time after which the next one may be forced.
    if request.override_limit and not tried and state.may_be_forced(primary):
        return primary
    if primary.principal not in tried and state.may_ask(primary, request):
        return primary
    standby = state.credentials.standby
    if standby is None or not state.is_current_short():
        return None
    if standby.principal not in tried and state.may_ask(standby, request):
        return standby
    return None


def _within_pace(decision: Publish | Acquire, level: float, state: State) -> Decision:
    pace = state.ledger.pace
    if pace.level_at(state.now) >= level:
        return decision
    return Wait(TOO_MANY_CLAIMS, pace.suffices_at(level, state.now))
