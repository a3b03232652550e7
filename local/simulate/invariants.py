"""What must hold at every step of a simulated year, whatever happens."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from handler.ledger import BACKING_OFF, CREDENTIALS_REFUSED, LIMITS
from handler.model import principal_of
from handler.secrets_manager import CURRENT, LEDGER, PREVIOUS
from local.durations import DAY
from local.simulate.aws_secrets import MAX_LAG_SECONDS, TOKEN_SECRET
from local.simulate.host import KILLED
from local.simulate.once import json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.simulate.aws_secrets import SimulatedSecretsManager
    from local.simulate.host import RunEnd
    from local.simulate.runtime import Process

MAX_VERSIONS = 96  # in any 24 hours; AWS keeps about 100
# Between two claims of a principal if the later one passes over a pause or the limit. The handler
# counts 600 s from before a claim, which takes up to a minute; and clocks differ.
MIN_SECONDS_BETWEEN_FORCED = 500.0
# For so long at least a client is not asked again after a refusal for the limit: 15 minutes, less what clocks differ.
MIN_SECONDS_AFTER_LIMIT = 840.0
# After failures the vendor is left in peace for so long at most, and for what clocks differ.
MAX_PAUSE_SECONDS = 7_260.0
# A stored end may be so much later than the true one: clocks differ.
MAX_SECONDS_AFTER_END = 60.0
# If a request is made with something else than before, these say nothing about it. `force` passes
# over them too.
OWN_PAUSES = {BACKING_OFF, CREDENTIALS_REFUSED}
# A token is short if it lives for less than the setting says and for less than this part of its life.
SHORT_PART_OF_LIFE = 4
PUBLIC_KEYS = {
    "access_token",
    "token_type",
    "scope",
    "expires_at",
    "acquired_at",
    "client_id",
    "username",
    "audience",
    "token_url",
}
# Each invariant in a sentence, as the report and a failing check show it.
INVARIANTS = {
    "document": "AWSCURRENT is a token document, or the empty one that the keeper puts into a new secret",
    "older": "the keeper never publishes an older token of the same client and configuration",
    "foreign": "the keeper never publishes a token of a client or a configuration that is not ours",
    "claim": "each request to the vendor has a durable claim: the run's own, for this client, long enough, used once",
    "flight": "two requests are never in flight at once",
    "early": "no request is sent while the ledger closes the slot, nor within the interval of a published token, nor "
    "soon after a refusal for the limit. Three "
    "may pass: a request that differs from the one before, and `force`, pass over our own pauses; a run that overrides "
    "the limit passes over everything, with the primary. `force` and an override do not pass within ten minutes of "
    "the client's last claim",
    "needed": "no request is sent while the primary's own token is current and good, and is not in its refresh window, "
    "unless somebody forces it, or a person wrote the token secret during the run",
    "standby": "no standby is asked if a good token of ours that is not short is in a labelled version or in the "
    "process when the claim is made, unless a person wrote the token secret during the run",
    "lock": "the keeper puts AWSCURRENT only under its run's own lock, and never moves it",
    "publish": "a token is published in one version that releases the lock and closes the slot",
    "end": "no document that the keeper publishes says that its token lives on after its end",
    "pause": "a pause after failures, which the vendor has not asked for, lasts two hours at most",
    "held": "a token whose answer arrived is published, or its process keeps it for as long as it is of use",
    "idle": "nothing is written if nothing is due, nor in a dry run or for a status",
    "versions": f"the keeper puts at most {MAX_VERSIONS} versions in any 24 h, whoever invokes it: 92 by the pace of "
    "its claims, and some by runs that are killed before their claim counts",
    "secret": "no secret is in what a run returns, raises or reports",
    "heals": "when the faults are over, consumers have a good token again within one period of the schedule and one "
    "lock. This counts from the end of the ledger's pause for the faults, at most two hours. It is not expected if the "
    "vendor has no slot for us, or refused us one at most an interval ago",
}
_Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LedgerState:
    """The version under the ledger's label, as one write left it, and what it replaced.

    `claimed_before` is when its principal's claim before this one was made.
    """

    version_id: str = ""
    writer: Process | None = None
    document: _Json = field(default_factory=dict)
    replaced: _Json = field(default_factory=dict)
    claimed_before: float = 0.0

    @property
    def ledger(self) -> _Json:
        return self.document.get("ledger") or {}

    @property
    def lock(self) -> _Json:
        return self.ledger.get("lock") or {}

    @property
    def replaced_ledger(self) -> _Json:
        return self.replaced.get("ledger") or {}


@dataclass(frozen=True, slots=True)
class _Stored:
    """The version under a label and its document; both empty if no version has the label."""

    version_id: str = ""
    document: _Json = field(default_factory=dict)


class Invariants:
    """Checks them, and counts how often each was broken, with the first example.

    `is_accepted` says whether the vendor's API takes a token now, and `ends_at` when the life of a token ends that the
    vendor has issued.
    """

    def __init__(
        self,
        secrets_manager: SimulatedSecretsManager,
        is_accepted: Callable[[str], bool],
        ends_at: Callable[[str], float],
    ) -> None:
        self._secrets_manager = secrets_manager
        self._is_accepted = is_accepted
        self._ends_at = ends_at
        self.broken: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._current = _Stored()
        self._ledger_state = _LedgerState()
        self._used_claims: set[str] = set()  # the versions under which a request was sent
        # When the newest published token of a principal and configuration was acquired.
        self._newest: dict[tuple[str, ...], int] = {}
        # By principal: until when the vendor's limit closes its slot, as the ledger has ever said or as a refusal says,
        # and when its last claim was made.
        self._limit_until: dict[str, float] = {}
        self._claimed_at: dict[str, float] = {}
        self._hand_wrote_at = 0.0
        self._known_versions: set[str] = set()
        self._put_at: deque[float] = deque()  # in the last 24 hours
        self.max_versions_per_day = 0

    def expect(self, name: str, now: float, *, holds: bool, example: str = "") -> None:
        if not holds:
            self.broken[name] += 1
            self.examples.setdefault(name, f"at {now:.1f}: {example}")

    def ledger(self) -> _Json:
        """Return the ledger as it is now; empty if there is none."""
        return self._read(LEDGER).document.get("ledger") or {}

    @property
    def current_token(self) -> str:
        return self._current.document.get("access_token") or ""

    def newest(self, principal: str) -> int:
        """Return when the newest published token of a principal was acquired; 0 if none was published."""
        return max((at for (owner, *_), at in self._newest.items() if owner == principal), default=0)

    def note_hand_write(self, now: float) -> _Json:
        """Note that a person wrote the token secret. Return the document that is current now."""
        self._hand_wrote_at = now
        self._known_versions = set(self._secrets_manager.versions(TOKEN_SECRET))
        self._current = self._read(CURRENT)
        return self._current.document

    def check_write(
        self,
        now: float,
        operation: str,
        process: Process,
        principal_lists: list[list[str]],
    ) -> _Json | None:
        """Check the token secret after a write. Return AWSCURRENT's document if that has changed.

        `principal_lists`: those that the credentials secret had at some time during the run, each with
        the primary first.
        """
        self._count_versions(now)
        before = self._ledger_state
        current_before = self._current
        self._current = self._read(CURRENT)
        self._read_ledger_state(now, process)
        if self._ledger_state.version_id != before.version_id:
            self._check_who_is_asked(now, process, principal_lists, current_before)
        if self._current.version_id == current_before.version_id:
            return None
        document = self._current.document
        token = document.get("access_token", "")
        is_seed = token is None and document.get("expires_at") == 0 and not self._newest
        self.expect("document", now, holds=is_seed or _is_token(document), example=", ".join(document))
        if not is_seed:
            self._check_lock(now, operation, process, before)
        if _is_token(document):
            self._check_owner(now, process, document, principal_lists)
            self._check_age(now, document)
            is_true = document["expires_at"] <= self._ends_at(document["access_token"]) + MAX_SECONDS_AFTER_END
            self.expect("end", now, holds=is_true, example=_about(document))
            if operation == "put_secret_value":
                self._check_publish(now, process, before)
        return document

    def _count_versions(self, now: float) -> None:
        """Count the versions that a write has added: a repeated put adds none."""
        versions = self._secrets_manager.versions(TOKEN_SECRET).keys()
        self._put_at.extend([now] * len(versions - self._known_versions))
        self._known_versions = set(versions)
        while self._put_at and self._put_at[0] <= now - DAY:
            self._put_at.popleft()
        number = len(self._put_at)
        self.max_versions_per_day = max(self.max_versions_per_day, number)
        self.expect("versions", now, holds=number <= MAX_VERSIONS, example=str(number))

    def _read_ledger_state(self, now: float, writer: Process) -> None:
        stored = self._read(LEDGER)
        before = self._ledger_state
        if stored.version_id == before.version_id:
            return
        state = _LedgerState(
            version_id=stored.version_id,
            writer=writer,
            document=stored.document,
            replaced=before.document,
        )
        principal = state.lock.get("principal")
        if principal:
            state = replace(state, claimed_before=self._claimed_at.get(principal, 0.0))
            self._claimed_at[principal] = now
        self._ledger_state = state
        for owner, slot in (state.ledger.get("slots") or {}).items():
            self._read_slot(now, writer, owner, slot)
        if not state.lock:
            for owner, refused_at in writer.limited.items():
                self._close(owner, refused_at + MIN_SECONDS_AFTER_LIMIT)

    def _read_slot(self, now: float, writer: Process, owner: str, slot: _Json) -> None:
        if slot["reason"] in LIMITS:
            self._close(owner, slot["not_before"])
        if slot["reason"] == BACKING_OFF:
            pause = slot["not_before"] - now - writer.skew
            self.expect("pause", now, holds=pause <= MAX_PAUSE_SECONDS, example=f"{owner} {pause:.0f} s")

    def _close(self, owner: str, until: float) -> None:
        self._limit_until[owner] = max(self._limit_until.get(owner, 0), until)

    def _check_who_is_asked(
        self,
        now: float,
        process: Process,
        principal_lists: list[list[str]],
        current_before: _Stored,
    ) -> None:
        """Check a claim of whoever will be asked. `current_before`: what was current when it was made."""
        principal = self._ledger_state.lock.get("principal")
        was_disturbed = self._hand_wrote_at >= process.began_at - MAX_LAG_SECONDS
        if not principal or was_disturbed:
            return
        if not any(principals[0] == principal for principals in principal_lists):
            at_hand = [
                document
                for document in self._documents_at_hand(process, current_before)
                if self._would_do(now, process, document, principal_lists)
            ]
            self.expect("standby", now, holds=not at_hand, example=", ".join(map(_about, at_hand)))
        if not process.is_forced and not process.has_lagged:
            is_fresh = self._is_fresh(now, process, current_before.document, principal_lists)
            self.expect("needed", now, holds=not is_fresh, example=_about(current_before.document))

    def _documents_at_hand(self, process: Process, current_before: _Stored) -> Iterator[_Json]:
        yield current_before.document
        yield self._read(PREVIOUS).document
        yield self._ledger_state.replaced
        for token in process.unsaved_tokens:
            yield token.document()

    def _would_do(
        self,
        now: float,
        process: Process,
        document: _Json,
        principal_lists: list[list[str]],
    ) -> bool:
        """Say whether it is a token of ours that the API takes, and that is not short."""
        settings = process.settings
        if not self._is_good(process, document):
            return False
        if not all(_owner(document) in principals for principals in principal_lists):
            return False
        remaining = int(_seconds_remaining(now, process, document))  # the handler counts whole seconds
        if remaining <= 0:
            return False
        life = document["expires_at"] - document["acquired_at"]
        return bool(remaining >= settings.standby_below_seconds or remaining >= life / SHORT_PART_OF_LIFE)

    def _is_fresh(
        self,
        now: float,
        process: Process,
        document: _Json,
        principal_lists: list[list[str]],
    ) -> bool:
        """Say whether it is a token of the primary that the API takes, and that is not in the refresh window."""
        if not self._is_good(process, document):
            return False
        if not all(_owner(document) == principals[0] for principals in principal_lists):
            return False
        # The handler counts whole seconds.
        return _seconds_remaining(now, process, document) > process.settings.refresh_window_seconds + 1

    def _is_good(self, process: Process, document: _Json) -> bool:
        """Say whether it is a token of the run's configuration that the API takes."""
        settings = process.settings
        if not _is_token(document) or _configuration(document) != (settings.token_url, settings.audience):
            return False
        return self._is_accepted(document["access_token"])

    def _check_lock(self, now: float, operation: str, process: Process, before: _LedgerState) -> None:
        holds = (
            operation == "put_secret_value"
            and before.writer is process
            and before.lock.get("until", 0) > now + process.skew
        )
        self.expect("lock", now, holds=holds, example=f"{operation} {json.dumps(before.ledger)}")

    def _check_owner(
        self,
        now: float,
        process: Process,
        document: _Json,
        principal_lists: list[list[str]],
    ) -> None:
        settings = process.settings
        is_our_configuration = _configuration(document) == (settings.token_url, settings.audience)
        is_our_principal = any(_owner(document) in principals for principals in principal_lists)
        self.expect("foreign", now, holds=is_our_configuration and is_our_principal, example=_about(document))

    def _check_age(self, now: float, document: _Json) -> None:
        key = _owner(document), *_configuration(document)
        acquired_at = document["acquired_at"]
        newest = self._newest.get(key, 0)
        self.expect("older", now, holds=acquired_at >= newest, example=_about(document))
        self._newest[key] = max(acquired_at, newest)

    def _check_publish(self, now: float, process: Process, before: _LedgerState) -> None:
        after = self._ledger_state
        document = self._current.document
        owner = _owner(document)
        slot = _slot(after.ledger, owner)
        closed_until = document["acquired_at"] + process.settings.slot_seconds(owner)
        is_for_principal = before.lock.get("principal") in {None, owner}
        is_released = after.version_id == self._current.version_id and not after.lock
        is_closed = slot.get("not_before", 0) >= closed_until
        # A token from before the last request says nothing of that request.
        is_older = document["acquired_at"] < slot.get("asked_at", 0)
        is_trusted = is_older or not slot.get("suspicions")
        self.expect(
            "publish",
            now,
            holds=is_for_principal and is_released and is_closed and is_trusted,
            example=json.dumps([before.ledger, after.ledger]),
        )

    def check_request(
        self,
        now: float,
        process: Process,
        principal: str,
        *,
        in_flight: int,
        may_override: bool,
    ) -> None:
        """Check the ledger when a request is sent. `in_flight`: how many others are under way."""
        self._check_claim(now, process, principal)
        self.expect("flight", now, holds=not in_flight, example=str(in_flight))
        is_late_enough = self._is_late_enough(now, process, principal, may_override=may_override)
        state = self._ledger_state
        example = json.dumps([state.replaced_ledger, state.ledger])
        self.expect("early", now, holds=is_late_enough, example=example)

    def _check_claim(self, now: float, process: Process, principal: str) -> None:
        state = self._ledger_state
        is_new = state.version_id not in self._used_claims
        self._used_claims.add(state.version_id)
        is_own_claim = state.writer is process and state.lock.get("principal") == principal
        holds = is_own_claim and is_new and _is_long_enough(state.lock, now, process)
        self.expect("claim", now, holds=holds, example=json.dumps(state.lock))

    def _is_late_enough(self, now: float, process: Process, principal: str, *, may_override: bool) -> bool:
        state = self._ledger_state
        interval_ends_at = self.newest(principal) + process.settings.slot_seconds(principal)
        limit_until = max(interval_ends_at, self._limit_until.get(principal, 0))
        before = _slot(state.replaced_ledger, principal)
        # What a lapsed lock adds is in the claim alone.
        claimed = _slot(state.ledger, principal)
        latest = now + process.skew
        if limit_until <= latest and not _is_paused(before, claimed, latest):
            return True
        if now - state.claimed_before < MIN_SECONDS_BETWEEN_FORCED:
            return False
        is_passable = claimed.get("not_before", 0) <= latest or claimed.get("reason") in OWN_PAUSES
        return may_override or (process.is_forced and limit_until <= latest and is_passable)

    def check_end(self, now: float, process: Process, end: RunEnd, *, owed: set[str], secrets: set[str]) -> None:
        """Check a run that ended.

        `owed`: tokens that the process received, and that are still of use; `secrets`: what the run must not show.
        """
        if end.outcome != KILLED:
            lost = owed - process.unsaved
            self.expect("held", now, holds=not lost, example=f"{len(lost)} tokens, {end.outcome}")
        is_undisturbed = process.is_alone and not process.has_lagged
        is_fresh = end.outcome == "kept" and end.reason == "fresh" and is_undisturbed
        if is_fresh or process.only_looks:
            self.expect("idle", now, holds=not process.writes, example=f"{process.writes} writes")
        for secret in secrets:
            if secret in end.output:
                self.expect("secret", now, holds=False, example=end.outcome)

    def _read(self, stage: str) -> _Stored:
        versions = self._secrets_manager.versions(TOKEN_SECRET)
        for version_id in reversed(versions):  # mostly it is one of the newest
            version = versions[version_id]
            if stage in version["version_stages"]:
                return _Stored(version_id, json_object(version["secret_string"]))
        return _Stored()


def _is_paused(before: _Json, claimed: _Json, now: float) -> bool:
    """Say whether the ledger closed the slot when the claim was made.

    `before` and `claimed` are the slot in the version that the claim replaced, and in the claim's own.
    """
    if claimed.get("not_before", 0) > now:
        return True
    is_other_request = before.get("asked_with") not in {None, claimed.get("asked_with")}
    if is_other_request and before.get("reason") in OWN_PAUSES:
        return False
    return bool(before.get("not_before", 0) > now)


def _is_token(document: _Json) -> bool:
    token = document.get("access_token")
    return document.keys() >= PUBLIC_KEYS and isinstance(token, str) and bool(token.strip())


def _seconds_remaining(now: float, process: Process, document: _Json) -> float:
    """Return how long the token lives by the clock of the process."""
    remaining: float = document["expires_at"] - now - process.skew
    return remaining


def _is_long_enough(lock: _Json, now: float, process: Process) -> bool:
    needed_until = max(now + process.skew, lock["claimed_at"] + process.settings.lock_seconds)
    return bool(lock["until"] >= needed_until)


def _slot(ledger: _Json, principal: str) -> _Json:
    slots = ledger.get("slots") or {}
    return slots.get(principal) or {}


def _owner(document: _Json) -> str:
    """Return the principal whose token it is."""
    return principal_of(document["client_id"], document["username"])


def _configuration(document: _Json) -> tuple[str, str]:
    return document["token_url"], document["audience"]


def _about(document: _Json) -> str:
    return ", ".join(
        str(document.get(key)) for key in ("client_id", "username", "audience", "token_url", "acquired_at")
    )
