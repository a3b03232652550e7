"""What must hold at every step of a simulated year, whatever happens."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from handler.ledger import CREDENTIALS_REFUSED
from handler.model import json_object
from handler.secrets_manager import CURRENT, LEDGER
from local.durations import DAY
from local.simulate.aws_secrets import TOKEN_SECRET
from local.simulate.runtime import KILLED

if TYPE_CHECKING:
    from local.simulate.aws_secrets import SimulatedSecretsManager
    from local.simulate.runtime import Process, RunEnd

MAX_VERSIONS = 90  # in any 24 hours; AWS keeps about 100
PUBLIC_KEYS = {
    "access_token",
    "token_type",
    "scope",
    "expires_at",
    "acquired_at",
    "client_id",
    "audience",
    "token_url",
}
# Each invariant in a sentence, as the report and a failing check show it.
INVARIANTS = {
    "document": "AWSCURRENT is a token document or the seed",
    "older": "AWSCURRENT never goes back to an older token of the same client and configuration",
    "foreign": "AWSCURRENT never goes to a token of a client or a configuration that is not ours",
    "claim": "each request to the vendor has a durable claim: the run's own, for this client, long enough, used once",
    "flight": "two requests are never in flight at once",
    "early": "no request is sent before the ledger's not_before or retry_at, nor within the interval of a published "
    "token, except with the primary in a run that overrides the limit",
    "publish": "a token is published under its run's own lock, in one version that releases it and closes the slot",
    "held": "a token whose answer arrived is published, or its process keeps it for as long as it is of use",
    "idle": "nothing is written if nothing is due, nor in a dry run or for a status",
    "versions": f"fewer than {MAX_VERSIONS} versions are put in any 24 h",
    "secret": "no secret is in what a run returns, raises or reports",
    "heals": "after the faults, and the ledger's pause for them of at most two hours, it heals within one period of "
    "the schedule and one lock, unless the vendor has no slot for us or refused us one at most an interval ago",
}
_Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _LedgerState:
    """The ledger as one write left it."""

    version_id: str = ""
    writer: Process | None = None
    ledger: _Json = field(default_factory=dict)


class Invariants:
    """Checks them, and counts how often each was broken, with the first example."""

    def __init__(self, secrets_manager: SimulatedSecretsManager) -> None:
        self._secrets_manager = secrets_manager
        self.broken: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._current: _Json = {}
        self._ledger_state = _LedgerState()
        self._used_claims: set[str] = set()  # the versions under which a request was sent
        # When the newest published token of a client and configuration was acquired.
        self._newest: dict[tuple[str, ...], int] = {}
        self._put_at: deque[float] = deque()  # in the last 24 hours
        self.max_versions_per_day = 0

    def expect(self, name: str, now: float, *, holds: bool, example: str = "") -> None:
        if not holds:
            self.broken[name] += 1
            self.examples.setdefault(name, f"at {now:.1f}: {example}")

    def ledger(self) -> _Json:
        """Return the ledger as it is now; empty if there is none."""
        _, document = self._read(LEDGER)
        return document.get("ledger") or {}

    @property
    def current_token(self) -> str:
        return self._current.get("access_token") or ""

    def newest(self, client_id: str) -> int:
        """Return when the newest published token of a client was acquired; 0 if none was published."""
        return max((at for (owner, *_), at in self._newest.items() if owner == client_id), default=0)

    def check_write(self, now: float, operation: str, process: Process, clients: set[str]) -> _Json | None:
        """Check the token secret after a write. Return AWSCURRENT's document if that has changed.

        `clients`: those that the credentials secret named at some time during the run.
        """
        is_put = operation == "put_secret_value"
        if is_put:
            self._count_version(now)
        before = self._ledger_state
        current_version, document = self._read(CURRENT)
        self._ledger_state = self._read_ledger_state(process)
        if document == self._current:
            return None
        self._current = document
        token = document.get("access_token", "")
        is_seed = token is None and document.get("expires_at") == 0 and not self._newest
        is_token = document.keys() >= PUBLIC_KEYS and isinstance(token, str) and bool(token.strip())
        self.expect("document", now, holds=is_seed or is_token, example=", ".join(document))
        if is_token:
            self._check_owner(now, process, document, clients)
            self._check_age(now, document)
            if is_put:
                self._check_publish(now, process, document, current_version, before)
        return document

    def _count_version(self, now: float) -> None:
        self._put_at.append(now)
        while self._put_at[0] <= now - DAY:
            self._put_at.popleft()
        number = len(self._put_at)
        self.max_versions_per_day = max(self.max_versions_per_day, number)
        self.expect("versions", now, holds=number < MAX_VERSIONS, example=str(number))

    def _read_ledger_state(self, writer: Process) -> _LedgerState:
        version_id, document = self._read(LEDGER)
        ledger = document.get("ledger") or {}
        if version_id != self._ledger_state.version_id:
            return _LedgerState(version_id, writer, ledger)
        return replace(self._ledger_state, ledger=ledger)  # the label did not move, so its writer stays the same

    def _check_owner(self, now: float, process: Process, document: _Json, clients: set[str]) -> None:
        settings = process.settings
        is_our_configuration = _configuration(document) == (settings.token_url, settings.audience)
        is_our_client = document["client_id"] in clients
        self.expect("foreign", now, holds=is_our_configuration and is_our_client, example=_about(document))

    def _check_age(self, now: float, document: _Json) -> None:
        owner = document["client_id"], *_configuration(document)
        acquired_at = document["acquired_at"]
        newest = self._newest.get(owner, 0)
        self.expect("older", now, holds=acquired_at >= newest, example=_about(document))
        self._newest[owner] = max(acquired_at, newest)

    def _check_publish(
        self, now: float, process: Process, document: _Json, version_id: str, before: _LedgerState
    ) -> None:
        after = self._ledger_state
        lock = before.ledger.get("lock") or {}
        slot = _slot(after.ledger, document["client_id"])
        closed_until = document["acquired_at"] + process.settings.slot_seconds
        is_own_lock = before.writer is process and lock.get("until", 0) > now + process.skew
        is_released = after.version_id == version_id and after.ledger.get("lock") is None
        is_closed = slot.get("not_before", 0) >= closed_until and not slot.get("suspicions")
        self.expect(
            "publish",
            now,
            holds=is_own_lock and is_released and is_closed,
            example=json.dumps([before.ledger, after.ledger]),
        )

    def check_request(
        self,
        now: float,
        process: Process,
        client_id: str,
        *,
        in_flight: int,
        credentials_version: str,
        may_override: bool,
    ) -> None:
        """Check the ledger when a request is sent. `in_flight`: how many others are under way."""
        self._check_claim(now, process, client_id)
        self.expect("flight", now, holds=not in_flight, example=str(in_flight))
        is_late_enough = self._is_late_enough(now, process, client_id, credentials_version)
        ledger = self._ledger_state.ledger
        self.expect("early", now, holds=is_late_enough or may_override, example=json.dumps(ledger))

    def _check_claim(self, now: float, process: Process, client_id: str) -> None:
        state = self._ledger_state
        lock = state.ledger.get("lock") or {}
        is_new = state.version_id not in self._used_claims
        self._used_claims.add(state.version_id)
        is_own_claim = state.writer is process and lock.get("client_id") == client_id
        holds = is_own_claim and is_new and _is_long_enough(lock, now, process)
        self.expect("claim", now, holds=holds, example=json.dumps(lock))

    def _is_late_enough(self, now: float, process: Process, client_id: str, credentials_version: str) -> bool:
        ledger = self._ledger_state.ledger
        slot = _slot(ledger, client_id)
        was_refused = slot.get("reason") == CREDENTIALS_REFUSED
        is_corrected = was_refused and slot["credentials_version"] != credentials_version
        not_before = 0 if is_corrected else slot.get("not_before", 0)
        interval_ends_at = self.newest(client_id) + process.settings.slot_seconds
        earliest = max(not_before, ledger.get("retry_at", 0), interval_ends_at)
        return bool(earliest <= now + process.skew)

    def check_end(self, now: float, process: Process, end: RunEnd, *, owed: set[str], secrets: set[str]) -> None:
        """Check a run that ended.

        `owed`: tokens that the process received, and that are still of use; `secrets`: what the run must not show.
        """
        if end.outcome != KILLED:
            lost = owed - process.unsaved
            self.expect("held", now, holds=not lost, example=f"{len(lost)} tokens, {end.outcome}")
        is_fresh = end.outcome == "kept" and end.reason == "fresh" and process.is_alone
        if is_fresh or process.only_looks:
            self.expect("idle", now, holds=not process.writes, example=f"{process.writes} writes")
        for secret in secrets:
            self.expect("secret", now, holds=secret not in end.output, example=end.outcome)

    def _read(self, stage: str) -> tuple[str, _Json]:
        """Return the version of the token secret that has the label, and its document; both empty if none has it."""
        for version_id, version in self._secrets_manager.versions(TOKEN_SECRET).items():
            if stage in version["version_stages"]:
                return version_id, json_object(version["secret_string"])
        return "", {}


def _is_long_enough(lock: _Json, now: float, process: Process) -> bool:
    needed_until = max(now + process.skew, lock["claimed_at"] + process.settings.lock_seconds)
    return bool(lock["until"] >= needed_until)


def _slot(ledger: _Json, client_id: str) -> _Json:
    slots = ledger.get("slots") or {}
    return slots.get(client_id) or {}


def _configuration(document: _Json) -> tuple[str, str]:
    return document["token_url"], document["audience"]


def _about(document: _Json) -> str:
    return ", ".join(str(document.get(key)) for key in ("client_id", "audience", "token_url", "acquired_at"))
