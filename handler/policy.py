"""What to do next, and what each event means for the ledger: pure, no I/O, no clock. All times are Unix seconds."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from handler.errors import CredentialsRefused, RateLimited, RefreshError, VendorError
from handler.model import Client, Credentials, Ledger, Lock, Slot, Token
from handler.settings import Settings

# Why a slot is closed, or nobody asks; and what a run raises that must wait for it without a token.
LIMIT_INTERVAL, RATE_LIMITED, CREDENTIALS_REFUSED = "limit_interval", "rate_limited", "credentials_refused"
ERRORS = {RATE_LIMITED: RateLimited, CREDENTIALS_REFUSED: CredentialsRefused, "backing_off": VendorError}

# A repeated event must not spend a second slot; Lambda repeats one within minutes.
FORCED_SATISFIED_SECONDS = 600
# AWS keeps about 100 versions and removes none younger than a day: from the third failure on we write seldom.
FAILURES_BEFORE_BACKING_OFF, BACK_OFF_SECONDS = 3, 2_700
# Without any suspicion a refusal means that clocks are apart, or that somebody else uses the client: look again soon.
UNEXPLAINED_REFUSAL_SECONDS = 900
# Twice that when the same credentials are refused again: each refusal costs two of those versions.
CREDENTIALS_REFUSED_SECONDS = 3_600
# How far ahead a ledger's times can be true; what lies beyond is a clock's jump or a slip of the hand.
LONGEST_RETRY_SECONDS, LONGEST_LOCK_SECONDS, LONGEST_CLOSED_SECONDS = 3_600, 900, 7_200
CLOCK_DIFFERENCE_SECONDS = 30  # by which the clocks of two machines may differ

Action = StrEnum("Action", ["KEEP", "RESTORE", "PUBLISH", "LOCKED", "WAIT", "ACQUIRE"])


@dataclass(frozen=True, slots=True)
class Request:
    """What the event asks for, and what the run did about it already: no client in `asked` is asked again."""

    force: bool = False
    override_limit: bool = False
    asked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, the result's word for why, and with whom or with which token at hand."""

    action: Action
    reason: str
    client: Client | None = None
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision looks at. `ledger` is a settled one; `previous` matters only where `current` is not ours."""

    now: float
    current: Token | None
    previous: Token | None
    unsaved: tuple[Token, ...]
    ledger: Ledger
    credentials: Credentials
    settings: Settings
    request: Request
    is_revoked: bool = False  # the current token, by the probe
    version_id: str = ""  # these are where the labels AWSCURRENT, AWSPREVIOUS and REFRESH_LEDGER are
    previous_version_id: str = ""
    ledger_version_id: str = ""

    def is_ours(self, token: Token | None) -> bool:
        if token is None or token.client_id not in self.credentials.client_ids:
            return False
        return (token.token_url, token.audience) == (self.settings.token_url, self.settings.audience)

    def seconds_left(self, token: Token | None) -> int:
        """Return how long consumers can still use it; 0 where it is not good."""
        if token is None or not self.is_ours(token) or (self.is_revoked and token is self.current):
            return 0
        return max(0, int(token.expires_at - self.now))

    def due(self, token: Token | None) -> str | None:
        """Step 2: why a refresh is due with this token as the current one; None where it is not."""
        if token is None:
            return "missing"
        if token.client_id != self.credentials.primary.client_id:
            return "client_changed"
        if not self.is_ours(token):
            return "config_changed"
        if self.is_revoked and token is self.current:
            return "revoked"
        left = self.seconds_left(token)
        if left <= self.settings.refresh_window_seconds:
            return "expiring" if left else "expired"
        is_forced = self.request.force and self.now - token.acquired_at >= FORCED_SATISFIED_SECONDS
        return "forced" if is_forced else None

    def slot(self, client: Client, token: Token | None) -> Slot:
        """Step 6: the client's slot by the ledger or by this current token, whichever is closed for longer."""
        slot = self.ledger.slot(client.client_id)
        if token is None or token.client_id != client.client_id:
            return slot
        return max(self.spent_slot(token), slot, key=lambda one: one.not_before)

    def spent_slot(self, token: Token) -> Slot:
        """Return the slot of a client that has had this token."""
        interval = self.settings.limit_interval_seconds + self.settings.limit_margin_seconds
        return Slot(token.acquired_at + interval, LIMIT_INTERVAL)

    def is_better(self, token: Token) -> bool:
        """Step 5: say whether a token of this warm process is good, and better than the current one."""
        mine, left, primary = self.seconds_left(token), self.seconds_left(self.current), self.credentials.primary
        if not mine or not left or self.current is None:
            return mine > 0
        if token.client_id == self.current.client_id:
            return token.acquired_at > self.current.acquired_at
        if token.client_id == primary.client_id and mine > self.settings.refresh_window_seconds:
            return True
        return left < self.settings.standby_below_seconds and mine > left

    def better(self) -> Token | None:
        return max(filter(self.is_better, self.unsaved), key=self.seconds_left, default=None)

    def decide(self) -> Decision:
        """Steps 2 to 6."""
        reason, better, primary = self.due(self.current), self.better(), self.credentials.primary
        if self.ledger.lock and (reason or better):
            return Decision(Action.LOCKED, "locked")
        if not self.is_ours(self.current) and self.seconds_left(self.previous):
            return Decision(Action.RESTORE, "previous", token=self.previous)
        backs_off = self.ledger.retry_at > self.now and not self.request.override_limit
        if better and not backs_off:
            return Decision(Action.PUBLISH, "unsaved", token=better)
        if reason is None:  # also where this process holds a better one, and must back off
            return Decision(Action.KEEP, "fresh")
        if backs_off:
            return Decision(Action.WAIT, "backing_off")
        if self.request.override_limit:
            return Decision(Action.ACQUIRE, reason, primary)
        is_short = self.seconds_left(self.current) < max(1, self.settings.standby_below_seconds)
        for client in (primary, self.credentials.standby if is_short else None):
            if client and client.client_id not in self.request.asked and self.is_open(client):
                return Decision(Action.ACQUIRE, reason, client)
        return Decision(Action.WAIT, self.slot(primary, self.current).reason or LIMIT_INTERVAL)

    def is_open(self, client: Client) -> bool:
        return self.slot(client, self.current).not_before <= self.now

    def opens_at(self, token: Token | None) -> int:
        """When the primary may next ask with this token as the current one; 0 or past where nothing forbids it."""
        return max(self.slot(self.credentials.primary, token).not_before, self.ledger.retry_at)

    def next_due_at(self) -> int:
        """When the primary will next be asked if all goes well: then a token at hand has become the current one."""
        token = self.decide().token or self.better() or self.current
        lock_until = self.ledger.lock.until if self.ledger.lock else 0
        window_opens_at = token.expires_at - self.settings.refresh_window_seconds if token else 0
        return max(int(self.now) if self.due(token) else window_opens_at, self.opens_at(token), lock_until)

    def safe_to_deactivate(self, previous: Token | None, changed_at: float) -> str | None:
        """Return the client that no consumer's cache holds a token of any more; None while there is none."""
        behind, primary, token = self.credentials.standby or previous, self.credentials.primary, self.current
        if token is None or behind is None or token.client_id != primary.client_id or not self.seconds_left(token):
            return None
        is_settled = self.now - max(token.acquired_at, changed_at) > self.settings.consumer_cache_seconds
        return behind.client_id if is_settled and behind.client_id != primary.client_id else None

    def claimed(self, run_id: str, decision: Decision) -> Ledger:
        """Step 7. A token at hand is noted as a spent slot, in case that it is lost after all."""
        held = self.settings.acquire_timeout_seconds + self.settings.write_reserve_seconds + CLOCK_DIFFERENCE_SECONDS
        client_id = decision.client.client_id if decision.client else None
        lock = Lock(run_id, client_id, int(self.now), int(self.now) + held)
        token, ledger = decision.token, replace(self.ledger, lock=lock)
        return ledger.closed(token.client_id, self.spent_slot(token)) if token else ledger

    def published(self, claim: Ledger, token: Token) -> Ledger:
        """Step 9: the ledger that goes out with the token."""
        slot = claim.closed(token.client_id, self.spent_slot(token)).slot(token.client_id)
        ledger = claim.with_slot(token.client_id, replace(slot, suspicions=0))
        return replace(ledger, lock=None, failures=0, retry_at=0)

    def refused(self, claim: Ledger, error: RefreshError, client: Client, now: float, *, overridden: bool) -> Ledger:
        """Step 10: the ledger after an acquire that gave no token; `overridden`: it was made against a closed slot."""
        ledger, client_id, version_id = replace(claim, lock=None), client.client_id, self.credentials.version_id
        slot = ledger.slot(client_id)
        if overridden and isinstance(error, RateLimited | CredentialsRefused):
            return ledger
        if isinstance(error, RateLimited):
            interval = self.settings.limit_interval_seconds + self.settings.limit_margin_seconds
            pause = interval if slot.suspicions else UNEXPLAINED_REFUSAL_SECONDS
            ledger = ledger.closed(client_id, Slot(int(now) + pause, RATE_LIMITED))
            return replace(ledger.suspected(client_id), failures=0)
        if isinstance(error, CredentialsRefused):
            is_repeated = (slot.reason, slot.credentials_version) == (CREDENTIALS_REFUSED, version_id)
            until = int(now) + CREDENTIALS_REFUSED_SECONDS * (2 if is_repeated else 1)
            return ledger.closed(client_id, Slot(until, CREDENTIALS_REFUSED, credentials_version=version_id))
        retry_at = 0 if error.retry_after is None else int(now) + min(error.retry_after, LONGEST_RETRY_SECONDS)
        ledger = failed(ledger, now, retry_at)
        return ledger.suspected(client_id) if error.suspicious else ledger


def settle(
    ledger: Ledger, now: float, own_runs: Collection[str], credentials: Credentials, settings: Settings
) -> Ledger:
    """Return the ledger as it counts now: what can't be true is absent, and a lapsed lock has become a failure.

    A lock that is left is another run's, and holds: one of `own_runs` does not lock this process out.
    """
    margins = 2 * max(settings.limit_margin_seconds, CLOCK_DIFFERENCE_SECONDS)
    longest = max(LONGEST_CLOSED_SECONDS, settings.limit_interval_seconds + margins)
    slots = {}
    for client_id, slot in ledger.slots.items():
        # A refusal of credentials stands only for the version of the secret that was refused.
        is_corrected = slot.reason == CREDENTIALS_REFUSED and slot.credentials_version != credentials.version_id
        is_void = is_corrected or slot.not_before > now + longest
        if client_id in credentials.client_ids or (slot.not_before > now and not is_void):
            slots[client_id] = Slot(suspicions=slot.suspicions) if is_void else slot
    retry_at = ledger.retry_at if now < ledger.retry_at <= now + LONGEST_RETRY_SECONDS else 0
    lock, ledger = ledger.lock, replace(ledger, lock=None, retry_at=retry_at, slots=slots)
    if lock is None or lock.until > now + LONGEST_LOCK_SECONDS:
        return ledger
    if lock.until > now:
        return ledger if lock.run_id in own_runs else replace(ledger, lock=lock)
    ledger = failed(ledger, min(lock.claimed_at, now))
    return ledger.suspected(lock.client_id) if lock.client_id else ledger


def failed(ledger: Ledger, at: float, retry_at: int = 0) -> Ledger:
    """Return the ledger with its lock released and one failure more."""
    failures = ledger.failures + 1
    backs_off_until = int(at) + BACK_OFF_SECONDS if failures >= FAILURES_BEFORE_BACKING_OFF else 0
    return replace(ledger, lock=None, failures=failures, retry_at=max(ledger.retry_at, retry_at, backs_off_until))
