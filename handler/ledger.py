"""What is known of locks and slots, and every transition of it. Pure. Times are Unix seconds.

The steps are explained in docs/PROTOCOL.md.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from handler.errors import CredentialsRefused, RateLimited, RefreshError
from handler.model import SCHEMA, Credentials, Token, as_object, has_type, json_object, read_fields
from handler.settings import Settings

# Why a slot is closed.
LIMIT_INTERVAL = "limit_interval"
RATE_LIMITED = "rate_limited"
CREDENTIALS_REFUSED = "credentials_refused"

# AWS keeps about 100 versions of a secret and deletes none that is younger than a day. So after some
# failures in a row there is a pause between two claims.
FAILURES_BEFORE_BACKING_OFF = 3
BACK_OFF_SECONDS = 2_700
# A refusal that nothing explains means that clocks differ, or that somebody else uses the client.
# Then the next request comes soon.
UNEXPLAINED_REFUSAL_SECONDS = 900
# Twice as long if the same credentials are refused again: each refusal costs two versions.
CREDENTIALS_REFUSED_SECONDS = 3_600
# How far ahead the times of a ledger can be true. A later time comes from a clock that jumped, or from
# a mistake of a person.
MAX_RETRY_AFTER_SECONDS = 3_600
MAX_LOCK_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The claim of one run. `client_id` is None if the run publishes a token that it has at hand."""

    run_id: str
    client_id: str | None
    claimed_at: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """When one client may ask next, and why not before.

    `suspicions` counts what speaks for a spent slot since the client's last token.
    `credentials_version` is the version of the credentials secret that the vendor refused.
    """

    not_before: int = 0
    reason: str | None = None
    suspicions: int = 0
    credentials_version: str | None = None

    @classmethod
    def spent_by(cls, token: Token, settings: Settings) -> "Slot":
        """Return the slot of a client that has had this token."""
        return cls(not_before=token.acquired_at + settings.slot_seconds, reason=LIMIT_INTERVAL)

    def as_of(self, now: float, credentials_version: str, settings: Settings) -> "Slot":
        """Return the slot as it counts now: open if it can't be true, or if its reason is gone."""
        is_corrected = self.reason == CREDENTIALS_REFUSED and self.credentials_version != credentials_version
        is_believed = self.not_before <= now + settings.max_believed_closed_seconds
        if is_corrected or not is_believed:
            return Slot(suspicions=self.suspicions)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The lock and the slots. Nobody asks before `retry_at`; 0 if there is no such pause."""

    lock: Lock | None = None
    failures: int = 0
    retry_at: int = 0
    slots: dict[str, Slot] = field(default_factory=dict)

    def slot(self, client_id: str) -> Slot:
        return self.slots.get(client_id, Slot())

    def as_of(
        self,
        now: float,
        own_runs: Collection[str],
        credentials: Credentials,
        settings: Settings,
    ) -> "Ledger":
        """Return the ledger as it counts now.

        What can't be true is left out. A lapsed lock has become a failure, and a suspicion. A
        remaining lock belongs to another run and is still valid: the lock of one of `own_runs` does
        not lock this process out.
        """
        released = replace(
            self,
            lock=None,
            retry_at=self._retry_at_as_of(now),
            slots=self._slots_as_of(now, credentials, settings),
        )
        if self.lock is None or self.lock.until > now + MAX_LOCK_SECONDS:
            return released
        if self.lock.until <= now:
            return released.after_lapsed_lock(self.lock, now)
        if self.lock.run_id in own_runs:
            return released
        return replace(released, lock=self.lock)

    def with_lock(
        self,
        *,
        run_id: str,
        client_id: str | None,
        claimed_at: float,
        settings: Settings,
    ) -> "Ledger":
        """*Claim*: return the ledger with the lock of this run."""
        lock = Lock(
            run_id=run_id,
            client_id=client_id,
            claimed_at=int(claimed_at),
            until=int(claimed_at) + settings.lock_seconds,
        )
        return replace(self, lock=lock)

    def with_spent_slot(self, token: Token, settings: Settings) -> "Ledger":
        """Close the slot that the token has spent. A claim does so too, since its token can be lost yet."""
        return self.with_closed_slot(token.client_id, Slot.spent_by(token, settings))

    def after_publish(self, token: Token, settings: Settings) -> "Ledger":
        """*Publish*: return the ledger that goes out with the token."""
        ledger = self.with_spent_slot(token, settings)
        slot = replace(ledger.slot(token.client_id), suspicions=0)
        ledger = ledger.with_slot(token.client_id, slot)
        return replace(ledger, lock=None, failures=0, retry_at=0)

    def after_error(
        self,
        error: RefreshError,
        *,
        client_id: str,
        now: float,
        is_override: bool,
        credentials_version: str,
        settings: Settings,
    ) -> "Ledger":
        """*Refusal*: return the ledger after an acquire that brought no token.

        `is_override`: the vendor was asked although the slot was closed. A refusal then tells nothing
        new.
        """
        released = replace(self, lock=None)
        if is_override and isinstance(error, RateLimited | CredentialsRefused):
            return released
        if isinstance(error, RateLimited):
            return released.after_rate_limit(client_id, now, settings)
        if isinstance(error, CredentialsRefused):
            return released.after_refused_credentials(client_id, now, credentials_version)
        retry_at = 0
        if error.retry_after is not None:
            retry_at = int(now) + min(error.retry_after, MAX_RETRY_AFTER_SECONDS)
        failed = released.after_failure(now, retry_at=retry_at)
        if error.possibly_granted:
            return failed.with_suspicion(client_id)
        return failed

    def after_failure(self, failed_at: float, *, retry_at: int = 0) -> "Ledger":
        """Return the ledger without its lock, and with one failure more."""
        failures = self.failures + 1
        back_off_until = 0
        if failures >= FAILURES_BEFORE_BACKING_OFF:
            back_off_until = int(failed_at) + BACK_OFF_SECONDS
        latest = max(self.retry_at, retry_at, back_off_until)
        return replace(self, lock=None, failures=failures, retry_at=latest)

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
        """Return the ledger of a version's document.

        A lock or a slot that makes no sense is left out. If the numbers make no sense, the whole
        ledger counts as empty.
        """
        document = as_object(json_object(text).get("ledger"))
        failures: Any = document.get("failures")
        retry_at: Any = document.get("retry_at")
        if not has_type(failures, int) or not has_type(retry_at, int):
            return cls()
        return cls(
            lock=_parse_lock(document.get("lock")),
            failures=failures,
            retry_at=retry_at,
            slots=_parse_slots(document.get("slots")),
        )

    def _retry_at_as_of(self, now: float) -> int:
        if now < self.retry_at <= now + MAX_RETRY_AFTER_SECONDS:
            return self.retry_at
        return 0

    def _slots_as_of(self, now: float, credentials: Credentials, settings: Settings) -> dict[str, Slot]:
        """Return the slots as they count now, without open ones of clients that are not configured."""
        slots = {}
        for client_id, slot in self.slots.items():
            counted = slot.as_of(now, credentials.version_id, settings)
            if client_id in credentials.client_ids or counted.not_before > now:
                slots[client_id] = counted
        return slots

    def after_lapsed_lock(self, lock: Lock, now: float) -> "Ledger":
        """Count a run that died: a failure, and a token that may have been issued if it could ask."""
        failed = self.after_failure(min(lock.claimed_at, now))
        if lock.client_id:
            return failed.with_suspicion(lock.client_id)
        return failed

    def after_rate_limit(self, client_id: str, now: float, settings: Settings) -> "Ledger":
        """Close the slot for an interval if it is suspected to be spent, else for a short while."""
        pause = UNEXPLAINED_REFUSAL_SECONDS
        if self.slot(client_id).suspicions:
            pause = settings.slot_seconds
        closed = Slot(not_before=int(now) + pause, reason=RATE_LIMITED)
        ledger = self.with_closed_slot(client_id, closed).with_suspicion(client_id)
        return replace(ledger, failures=0)

    def after_refused_credentials(self, client_id: str, now: float, credentials_version: str) -> "Ledger":
        """Close the slot for these credentials: for an hour, or two if they were refused before."""
        slot = self.slot(client_id)
        pause = CREDENTIALS_REFUSED_SECONDS
        is_repeated = slot.reason == CREDENTIALS_REFUSED
        if is_repeated and slot.credentials_version == credentials_version:
            pause = 2 * CREDENTIALS_REFUSED_SECONDS
        closed = Slot(
            not_before=int(now) + pause,
            reason=CREDENTIALS_REFUSED,
            credentials_version=credentials_version,
        )
        return self.with_closed_slot(client_id, closed)

    def with_closed_slot(self, client_id: str, closed: Slot) -> "Ledger":
        """Close the slot. No answer opens a slot earlier than it was: the later time counts."""
        known = self.slot(client_id)
        later = known
        if closed.not_before >= known.not_before:
            later = closed
        return self.with_slot(client_id, replace(later, suspicions=known.suspicions))

    def with_suspicion(self, client_id: str) -> "Ledger":
        slot = self.slot(client_id)
        return self.with_slot(client_id, replace(slot, suspicions=slot.suspicions + 1))

    def with_slot(self, client_id: str, slot: Slot) -> "Ledger":
        return replace(self, slots=self.slots | {client_id: slot})


def _parse_lock(value: Any) -> Lock | None:
    found = read_fields(Lock, value)
    if found is None:
        return None
    return Lock(**found)


def _parse_slots(value: Any) -> dict[str, Slot]:
    slots = {}
    for client_id, document in as_object(value).items():
        found = read_fields(Slot, document)
        if found is not None:
            slots[client_id] = Slot(**found)
    return slots
