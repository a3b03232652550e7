"""What must hold at every step of a simulated year, whatever befalls."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from handler.model import json_object
from handler.policy import CREDENTIALS_REFUSED
from handler.secrets_manager import CURRENT, LEDGER
from local.simulate.rates import DAY
from local.simulate.secrets import TOKEN

if TYPE_CHECKING:
    from local.simulate.runtime import Outcome, Process
    from local.simulate.secrets import Store

MOST_VERSIONS = 90
PUBLIC = {"access_token", "token_type", "scope", "expires_at", "acquired_at", "client_id", "audience", "token_url"}
NAMES = {
    "document": "AWSCURRENT is a token document or the seed",
    "older": "AWSCURRENT never goes back to an older token of the same client and configuration",
    "foreign": "AWSCURRENT never goes to a client or a configuration that is not ours",
    "claim": "no request to the vendor without a durable claim",
    "flight": "never two requests in flight",
    "early": "no request before the ledger's not_before or retry_at",
    "held": "an answer that arrived is published, or still held in the process",
    "idle": "no write when nothing is due",
    "versions": f"fewer than {MOST_VERSIONS} versions in any 24 h",
    "secret": "no secret in any output",
    "heals": "after the faults it heals within a schedule's period and a lock, unless the vendor has no slot for us",
}


class Invariants:
    """Counts what was broken, with the first example of each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._current: dict[str, Any] = {}
        self._put_at: deque[float] = deque()
        self.most_versions = 0

    def expect(self, name: str, now: float, *, fact: bool, example: str = "") -> None:
        if not fact:
            self.broken[name] += 1
            self.examples.setdefault(name, f"at {now:.1f}: {example}")

    def document(self, stage: str) -> dict[str, Any]:
        """Return what the token secret has under a label; empty where it has nothing."""
        for version in self._store.versions(TOKEN).values():
            if stage in version["version_stages"]:
                return json_object(version["secret_string"])
        return {}

    def ledger(self) -> dict[str, Any]:
        return self.document(LEDGER).get("ledger") or {}

    def written(self, now: float, operation: str, process: Process, clients: set[str]) -> dict[str, Any] | None:
        """Look at the token secret after a write; return AWSCURRENT's document where that is another one now.

        `clients`: those that the credentials secret named at some time in the run of the process.
        """
        if operation == "put_secret_value":
            self._put_at.append(now)
            while self._put_at[0] <= now - DAY:
                self._put_at.popleft()
            self.most_versions = max(self.most_versions, len(self._put_at))
            self.expect("versions", now, fact=len(self._put_at) < MOST_VERSIONS, example=str(len(self._put_at)))
        document, before = self.document(CURRENT), self._current
        if document == before:
            return None
        self._current = document
        is_seed = document.get("access_token", "") is None and document.get("expires_at") == 0
        self.expect("document", now, fact=is_seed or document.keys() >= PUBLIC, example=", ".join(document))
        if not is_seed:
            settings = process.keeper.settings
            is_ours = (document.get("token_url"), document.get("audience")) == (settings.token_url, settings.audience)
            self.expect("foreign", now, fact=is_ours and document.get("client_id") in clients, example=_about(document))
        if all(document.get(key) == before.get(key) for key in ("client_id", "audience", "token_url")):
            is_newer = document.get("acquired_at", 0) >= before.get("acquired_at", 0)
            self.expect("older", now, fact=is_newer, example=f"{_about(before)} -> {_about(document)}")
        return document

    def asked(self, now: float, process: Process, client_id: str, in_flight: int, credentials_version: str) -> None:
        """Look at the ledger as a request reaches the vendor."""
        ledger = self.ledger()
        lock = ledger.get("lock") or {}
        is_claimed = lock.get("client_id") == client_id and lock.get("until", 0) > now
        self.expect("claim", now, fact=is_claimed, example=json.dumps(lock))
        self.expect("flight", now, fact=not in_flight, example=str(in_flight))
        slot, ours = ledger.get("slots", {}).get(client_id) or {}, now + process.skew
        is_corrected = slot.get("reason") == CREDENTIALS_REFUSED and slot["credentials_version"] != credentials_version
        not_before = 0 if is_corrected else slot.get("not_before", 0)
        is_late_enough = max(not_before, ledger.get("retry_at", 0)) <= ours
        self.expect("early", now, fact=is_late_enough, example=json.dumps(ledger))

    def ended(self, now: float, process: Process, outcome: Outcome, published: set[str], secrets: set[str]) -> None:
        """Look at a run that ended. `secrets`: what its output must not hold."""
        if outcome.word != "Killed":
            held = {token.access_token for token, _ in process.keeper.unsaved.values()}
            lost = [token for token in process.delivered if token not in published and token not in held]
            self.expect("held", now, fact=not lost, example=f"{len(lost)} tokens, {outcome.word}")
        if (outcome.word, outcome.reason) == ("kept", "fresh") and process.is_alone:
            self.expect("idle", now, fact=not process.writes, example=f"{process.writes} writes")
        for secret in secrets:
            self.expect("secret", now, fact=secret not in outcome.text, example=outcome.word)


def _about(document: dict[str, Any]) -> str:
    return ", ".join(str(document.get(key)) for key in ("client_id", "audience", "token_url", "acquired_at"))
