"""What is known of locks and slots, and every transition of it. Pure. Times are Unix seconds.

The steps are explained in docs/PROTOCOL.md.
"""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from handler.errors import ERROR_CLASSES, CredentialsRefused, OutcomeUnknown, RateLimited, RefreshError
from handler.model import (
    MAX_PRINCIPAL_CHARACTERS,
    SCHEMA,
    Credentials,
    Token,
    as_object,
    json_object,
    read_fields,
)
from handler.settings import Settings

# Why a slot is closed. The first two are the vendor's limit, the others are the keeper's own pauses.
LIMIT_INTERVAL = "limit_interval"
RATE_LIMITED = "rate_limited"
CREDENTIALS_REFUSED = "credentials_refused"
BACKING_OFF = "backing_off"
SAME_TOKEN = "same_token"  # noqa: S105 - a reason, not a secret
LIMITS = {LIMIT_INTERVAL, RATE_LIMITED}
REASONS = LIMITS | {CREDENTIALS_REFUSED, BACKING_OFF, SAME_TOKEN}
# If the request is made with something else than before, these say nothing about it.
_REASONS_OF_THE_REQUEST = {CREDENTIALS_REFUSED, BACKING_OFF}

# From this failure in a row on there is a pause before the next request.
FAILURES_BEFORE_BACKING_OFF = 3
MAX_BACK_OFF_SECONDS = 2_700
# For tokens of less than 40 minutes, which are warned of, and published all the same.
MIN_BACK_OFF_SECONDS = 300
# The first pause is this part of a token's life, so that short-lived tokens are renewed in time.
BACK_OFF_PART_OF_LIFE = 8
# A refusal that nothing explains means that clocks differ, or that somebody else uses the client.
# Then the next request comes soon.
UNEXPLAINED_REFUSAL_SECONDS = 900
# Doubled each time that the same request is refused: an account is blocked after ten wrong passwords.
CREDENTIALS_REFUSED_SECONDS = 3_600
MAX_CREDENTIALS_REFUSED_SECONDS = 86_400
# How long a wait the vendor may ask for.
MAX_RATE_LIMITED_SECONDS = 86_400
MAX_VENDOR_DOWN_SECONDS = 3_600
# How far ahead the end of a lock can be true. A later time comes from a clock that jumped, or from a
# mistake of a person.
MAX_LOCK_SECONDS = 900
# Slots of principals that are no longer configured, the latest ones. Whoever writes a longer principal
# into the ledger by hand must not make the next publish too long for a secret.
MAX_FORMER_SLOTS = 4
MAX_FORMER_PRINCIPAL_CHARACTERS = 200
# What is longer, or more, was not written by a keeper, and could leave no room for the token.
MAX_ID_CHARACTERS = 100
MAX_COUNT = 1_000
# An answer with the token that consumers have already: ask again when half of its life is over.
MIN_SAME_TOKEN_SECONDS = 300

# AWS keeps about 100 versions of a secret and deletes none that is younger than 24 h. A claim and what
# follows it make two. With these figures 24 h see at most 46 claims: 8, 36 regained, and 2 recoveries.
PACE_MAX_LEVEL = 8
PACE_MIN_LEVEL = -2
PACE_SECONDS_PER_CLAIM = 2_400


class Terms(NamedTuple):
    """What the transitions depend on, apart from the time: who asks, with what, for which tokens.

    `token_life_seconds` is the life of the last token.
    """

    credentials: Credentials
    settings: Settings
    token_life_seconds: int

    @property
    def asked_with(self) -> str:
        """A short hash of all that shapes the token request. If it differs, it is another request."""
        settings = self.settings
        shape = [
            self.credentials.version_id,
            settings.token_url,
            settings.audience,
            settings.scope,
            settings.client_auth,
            settings.parameters,
        ]
        return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]

    def back_off_seconds(self, principal: str, failures: int) -> int:
        """Return how long the principal pauses after so many failures in a row; 0 if not at all."""
        doublings = failures - FAILURES_BEFORE_BACKING_OFF
        if doublings < 0:
            return 0
        first = max(MIN_BACK_OFF_SECONDS, self.token_life_seconds // BACK_OFF_PART_OF_LIFE)
        pause = min(first, MAX_BACK_OFF_SECONDS)
        for _ in range(doublings):
            if pause >= MAX_BACK_OFF_SECONDS:
                break
            pause = min(2 * pause, MAX_BACK_OFF_SECONDS)
        if principal != self.credentials.primary.principal:
            return 2 * pause  # the standby is kept for when it helps
        return pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The claim of one run. `principal` is None if the run publishes a token that is at hand."""

    run_id: str
    principal: str | None
    claimed_at: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When one principal may ask next, and why not before.

    `suspicions` counts what speaks for a spent slot since the principal's last token, and `failures`
    its failed acquires in a row. `error` names the class of the last failure. `asked_at` is the time
    of its last claim, and `asked_with` what that claim asked with (see Terms).
    """

    not_before: int = 0
    suspicions: int = 0
    failures: int = 0
    asked_at: int = 0
    asked_with: str | None = None
    error: str | None = None
    reason: str | None = None

    @classmethod
    def spent_by(cls, token: Token, settings: Settings) -> "Slot":
        """Return the slot of a principal that has had this token."""
        not_before = token.acquired_at + settings.slot_seconds(token.principal)
        return cls(not_before=not_before, reason=LIMIT_INTERVAL)

    def as_of(self, now: float, terms: Terms) -> "Slot":
        """Return the slot as it counts now: open if it can't be true, or if its reason is gone."""
        slot = replace(self, asked_at=min(self.asked_at, int(now)))
        if slot.not_before > now + terms.settings.max_believed_closed_seconds:
            slot = replace(slot, not_before=0, reason=None)
        # If a slot does not say what was asked with, no request counts as another one.
        is_other_request = slot.asked_with not in {None, terms.asked_with}
        if is_other_request and slot.reason in _REASONS_OF_THE_REQUEST:
            slot = replace(slot, not_before=0, reason=None, failures=0)
        return slot

    @property
    def refused_seconds(self) -> int:
        """How long the slot was closed for refused credentials.

        In whole hours, because the refusal came some seconds after its claim.
        """
        hours = (self.not_before - self.asked_at) // CREDENTIALS_REFUSED_SECONDS
        return max(1, hours) * CREDENTIALS_REFUSED_SECONDS

    def closed_until(self, not_before: int, reason: str, now: float) -> "Slot":
        """Close the slot. No answer opens a slot earlier than it was: the later time counts.

        A limit that still stands stays the reason, since a pause of our own can be passed over.
        """
        if not_before < self.not_before:
            return self
        if self.reason in LIMITS and reason not in LIMITS and self.not_before > now:
            return replace(self, not_before=not_before)
        return replace(self, not_before=not_before, reason=reason)


@dataclass(frozen=True, slots=True)
class Pace:
    """How many claims may still be made: a token bucket. `level` was true at the time `at`."""

    level: float = PACE_MAX_LEVEL
    at: int = 0

    def as_of(self, now: float, clock_margin_seconds: int) -> "Pace":
        """Return a full bucket if this one can't be true: nobody would ever claim again."""
        if self.at > now + clock_margin_seconds:
            return Pace()
        return self

    def level_at(self, now: float) -> float:
        elapsed = max(0.0, now - self.at)  # a time that is ahead counts as now
        return min(PACE_MAX_LEVEL, self.level + elapsed / PACE_SECONDS_PER_CLAIM)

    def suffices_at(self, level: float, now: float) -> int:
        """Return when the bucket holds this level; `now` or earlier if it does already."""
        missing = level - self.level_at(now)
        if missing <= 0:
            return int(now)
        return math.ceil(max(now, self.at) + missing * PACE_SECONDS_PER_CLAIM)

    def after_claim(self, now: float) -> "Pace":
        # A lower level makes no sense to `parse`, and the next run would begin with a full bucket.
        level = max(PACE_MIN_LEVEL, self.level_at(now) - 1)
        return Pace(level=round(level, 4), at=int(now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The lock, the slots by principal, and the pace of claims."""

    lock: Lock | None = None
    slots: dict[str, Slot] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    def slot(self, principal: str) -> Slot:
        return self.slots.get(principal, Slot())

    def as_of(self, now: float, own_runs: Collection[str], terms: Terms) -> "Ledger":
        """Return the ledger as it counts now.

        What can't be true is left out. A lapsed lock has become a failure, and a suspicion. A
        remaining lock belongs to another run and is still valid: the lock of one of `own_runs` does
        not lock this process out.
        """
        if self.lock is not None and self.lock.until <= now:
            return self.after_lapsed_lock(self.lock, now, terms).as_of(now, own_runs, terms)
        counted = replace(
            self,
            lock=None,
            slots=self._slots_as_of(now, terms),
            pace=self.pace.as_of(now, terms.settings.clock_margin_seconds),
        )
        if self._is_locked(now, own_runs):
            return replace(counted, lock=self.lock)
        return counted

    def _is_locked(self, now: float, own_runs: Collection[str]) -> bool:
        if self.lock is None or self.lock.run_id in own_runs:
            return False
        return self.lock.until <= now + MAX_LOCK_SECONDS

    def with_claim(
        self,
        *,
        run_id: str,
        principal: str | None,
        claimed_at: float,
        terms: Terms,
    ) -> "Ledger":
        """*Claim*: return the ledger with this run's lock. `principal` is None if nobody will be asked."""
        lock = Lock(
            run_id=run_id,
            principal=principal,
            claimed_at=int(claimed_at),
            until=int(claimed_at) + terms.settings.lock_seconds,
        )
        claimed = replace(self, lock=lock, pace=self.pace.after_claim(claimed_at))
        if principal is None:
            return claimed
        slot = claimed.slot(principal)
        asked = replace(slot, asked_at=int(claimed_at), asked_with=terms.asked_with)
        return claimed.with_slot(principal, asked)

    def with_spent_slot(self, token: Token, settings: Settings, now: float) -> "Ledger":
        """Close the slot that the token has spent. A claim does so too, since its token can be lost yet."""
        spent = Slot.spent_by(token, settings)
        slot = self.slot(token.principal).closed_until(spent.not_before, LIMIT_INTERVAL, now)
        return self.with_slot(token.principal, slot)

    def after_publish(self, token: Token, settings: Settings, now: float) -> "Ledger":
        """*Publish*: return the ledger that goes out with the token.

        If the token is what the principal's last request brought, nothing else is known of the slot any
        more: a pause from before is over. A token from before that request only closes the slot.
        """
        released = replace(self, lock=None)
        slot = self.slot(token.principal)
        if token.acquired_at < slot.asked_at:
            return released.with_spent_slot(token, settings, now)
        spent = Slot.spent_by(token, settings)
        asked = replace(spent, asked_at=slot.asked_at, asked_with=slot.asked_with)
        return released.with_slot(token.principal, asked)

    def after_error(
        self,
        error: RefreshError,
        *,
        principal: str,
        slot_before: Slot,
        is_override: bool,
        now: float,
        terms: Terms,
    ) -> "Ledger":
        """*Refusal*: return the ledger after an acquire that brought no token.

        `slot_before` is the slot before the claim. `is_override`: the vendor was asked although the
        slot was closed; a refusal then tells nothing new.
        """
        released = replace(self, lock=None)
        is_limit = isinstance(error, RateLimited) and error.retry_after is None
        if is_override and (is_limit or isinstance(error, CredentialsRefused)):
            return released
        if isinstance(error, CredentialsRefused):
            return released.after_refused_credentials(principal, slot_before, now)
        if isinstance(error, RateLimited):
            return released.after_rate_limit(error, principal, now, terms)
        failed = released.after_failure(type(error).__name__, principal, now, terms)
        failed = failed.with_refusal_kept(principal, slot_before, now)
        if error.retry_after is not None:
            pause = min(error.retry_after, MAX_VENDOR_DOWN_SECONDS)
            failed = failed.with_closed_slot(principal, int(now) + pause, BACKING_OFF, now)
        if error.possibly_granted:
            failed = failed.with_suspicion(principal)
        return failed

    def after_failure(self, error_name: str, principal: str, failed_at: float, terms: Terms) -> "Ledger":
        """Return the ledger without its lock, with one failure more and the pause that follows it."""
        failed = replace(self, lock=None).with_failure(error_name, principal)
        pause = terms.back_off_seconds(principal, failed.slot(principal).failures)
        if not pause:
            return failed
        return failed.with_closed_slot(principal, int(failed_at) + pause, BACKING_OFF, failed_at)

    def after_same_token(self, principal: str, seconds_remaining: int, now: float) -> "Ledger":
        """Return the ledger after an answer with the token that consumers have. This is not a failure."""
        released = replace(self, lock=None)
        pause = max(MIN_SAME_TOKEN_SECONDS, seconds_remaining // 2)
        return released.with_closed_slot(principal, int(now) + pause, SAME_TOKEN, now)

    def after_lapsed_lock(self, lock: Lock, now: float, terms: Terms) -> "Ledger":
        """Count a run that died. If it could ask, a token may have been issued."""
        if lock.principal is None:
            return replace(self, lock=None)
        died_at = min(lock.claimed_at, now)  # a time ahead of now can't be true
        failed = self.after_failure(OutcomeUnknown.__name__, lock.principal, died_at, terms)
        failed = failed.with_refusal_kept(lock.principal, self.slot(lock.principal), died_at)
        return failed.with_suspicion(lock.principal)

    def after_rate_limit(self, error: RateLimited, principal: str, now: float, terms: Terms) -> "Ledger":
        failed = self.with_failure(type(error).__name__, principal)
        slot = failed.slot(principal)
        if error.retry_after is not None:
            pause = min(error.retry_after, MAX_RATE_LIMITED_SECONDS)
        elif slot.suspicions:
            # A service account has no interval, and the margin alone would be a short pause.
            pause = max(UNEXPLAINED_REFUSAL_SECONDS, terms.settings.slot_seconds(principal))
        else:
            pause = UNEXPLAINED_REFUSAL_SECONDS
        pause = max(pause, terms.back_off_seconds(principal, slot.failures))
        closed = failed.with_closed_slot(principal, int(now) + pause, RATE_LIMITED, now)
        if error.retry_after is None:
            return closed.with_suspicion(principal)
        return closed

    def after_refused_credentials(self, principal: str, slot_before: Slot, now: float) -> "Ledger":
        pause = CREDENTIALS_REFUSED_SECONDS
        if slot_before.reason == CREDENTIALS_REFUSED:
            pause = min(2 * slot_before.refused_seconds, MAX_CREDENTIALS_REFUSED_SECONDS)
        failed = self.with_failure(CredentialsRefused.__name__, principal)
        return failed.with_closed_slot(principal, int(now) + pause, CREDENTIALS_REFUSED, now)

    def with_refusal_kept(self, principal: str, slot_before: Slot, now: float) -> "Ledger":
        """Go on with the pause of refused credentials after a failure that says nothing about them.

        Otherwise the pauses would start again, and a vendor may block an account after ten wrong passwords.
        """
        if slot_before.reason != CREDENTIALS_REFUSED:
            return self
        return self.with_closed_slot(principal, int(now) + slot_before.refused_seconds, CREDENTIALS_REFUSED, now)

    def with_closed_slot(self, principal: str, not_before: int, reason: str, now: float) -> "Ledger":
        slot = self.slot(principal).closed_until(not_before, reason, now)
        return self.with_slot(principal, slot)

    def with_failure(self, error_name: str, principal: str) -> "Ledger":
        slot = self.slot(principal)
        failed = replace(slot, failures=_counted_up(slot.failures), error=error_name)
        return self.with_slot(principal, failed)

    def with_suspicion(self, principal: str) -> "Ledger":
        slot = self.slot(principal)
        return self.with_slot(principal, replace(slot, suspicions=_counted_up(slot.suspicions)))

    def with_slot(self, principal: str, slot: Slot) -> "Ledger":
        return replace(self, slots=self.slots | {principal: slot})

    def to_json(self, token: Token | None = None) -> str:
        """Return the document of one version: the ledger, together with the token if there is one.

        A document without a token must never become AWSCURRENT.
        """
        document: dict[str, Any] = {"schema": SCHEMA}
        if token is not None:
            document = token.document()
        document["ledger"] = asdict(self)
        return json.dumps(document)

    @classmethod
    def parse(cls, text: str | None) -> "Ledger":
        """Return the ledger of a version's document. What makes no sense in it is left out."""
        document = as_object(json_object(text).get("ledger"))
        return cls(
            lock=_parse_lock(document.get("lock")),
            slots=_parse_slots(document.get("slots")),
            pace=_parse_pace(document.get("pace")),
        )

    def _slots_as_of(self, now: float, terms: Terms) -> dict[str, Slot]:
        """Return the slots as they count now, and of former principals the latest closed ones."""
        counted = {principal: slot.as_of(now, terms) for principal, slot in self.slots.items()}
        configured = terms.credentials.principals
        former = {
            principal: slot.not_before
            for principal, slot in counted.items()
            if _is_former(principal, configured) and slot.not_before > now
        }
        latest = sorted(former, key=lambda principal: former[principal])[-MAX_FORMER_SLOTS:]
        kept = configured | set(latest)
        return {principal: slot for principal, slot in counted.items() if principal in kept}


def _counted_up(count: int) -> int:
    """Return one more, or the largest count that `parse` believes: a vendor may fail for months."""
    return min(count + 1, MAX_COUNT)


def _is_former(principal: str, configured: set[str]) -> bool:
    return principal not in configured and len(principal) <= MAX_FORMER_PRINCIPAL_CHARACTERS


def _parse_lock(value: Any) -> Lock | None:
    found = read_fields(Lock, value)
    if found is None or not _is_id(found["run_id"]) or not _is_principal(found["principal"]):
        return None
    return Lock(**found)


def _parse_slots(value: Any) -> dict[str, Slot]:
    slots = {}
    for principal, document in as_object(value).items():
        found = read_fields(Slot, document)
        if found is not None and _is_principal(principal) and _makes_sense(found):
            slots[principal] = Slot(**found)
    return slots


def _makes_sense(slot: dict[str, Any]) -> bool:
    if slot["reason"] not in {None, *REASONS} or slot["error"] not in {None, *ERROR_CLASSES}:
        return False
    if slot["suspicions"] > MAX_COUNT or slot["failures"] > MAX_COUNT:
        return False
    return _is_id(slot["asked_with"])


def _parse_pace(value: Any) -> Pace:
    document = as_object(value)
    level = document.get("level")
    at = document.get("at")
    if isinstance(level, bool) or not isinstance(level, int | float):
        return Pace()
    if isinstance(at, bool) or not isinstance(at, int) or at < 0:
        return Pace()
    if not PACE_MIN_LEVEL <= level <= PACE_MAX_LEVEL:
        return Pace()
    return Pace(level, at)


def _is_id(text: str | None) -> bool:
    """Say whether a keeper can have written it. Half a surrogate pair would end Lambda's runtime."""
    return text is None or (text.isprintable() and len(text) <= MAX_ID_CHARACTERS)


def _is_principal(text: str | None) -> bool:
    return text is None or (text.isprintable() and len(text) <= MAX_PRINCIPAL_CHARACTERS)
