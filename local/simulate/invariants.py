"""What must hold at every step of a simulated year, whatever befalls."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from handler.model import json_object
from handler.policy import CLOCK_DIFFERENCE_SECONDS, CREDENTIALS_REFUSED
from handler.secrets_manager import CURRENT, LEDGER
from local.durations import DAY
from local.simulate.aws_secrets import TOKEN

if TYPE_CHECKING:
    from handler.settings import Settings
    from local.simulate.aws_secrets import Store
    from local.simulate.runtime import Outcome, Process

MOST_VERSIONS = 90
PUBLIC = {"access_token", "token_type", "scope", "expires_at", "acquired_at", "client_id", "audience", "token_url"}
NAMES = {
    "document": "AWSCURRENT is a token document or the seed",
    "older": "AWSCURRENT never goes back to an older token of the same client and configuration",
    "foreign": "AWSCURRENT never goes to a client or a configuration that is not ours",
    "claim": "no request to the vendor without a durable claim: its own, for this client, long enough, used once",
    "flight": "never two requests in flight",
    "early": "no request before the ledger's not_before or retry_at, nor within the interval of a token that went out, "
    "but one with the primary that was told to",
    "publish": "a token goes out under its run's own lock, in one version that releases it and closes the slot",
    "held": "an answer that arrived is published, or held in its process for as long as it is of use",
    "idle": "no write when nothing is due, nor in a dry run or for a status",
    "versions": f"fewer than {MOST_VERSIONS} versions in any 24 h",
    "secret": "no secret in what a run returns, raises or reports",
    "heals": "after the faults, and the ledger's pause for them of two hours at most, it heals within a schedule's "
    "period and a lock, unless the vendor has no slot for us, or refused us one an interval ago or less",
}


class Invariants:
    """Counts what was broken, with the first example of each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._current: dict[str, Any] = {}
        # The ledger as the last write left it: its version, who wrote that, and what it says.
        self._ledger: tuple[str, Process | None, dict[str, Any]] = ("", None, {})
        self._claims: set[str] = set()  # versions under which a request was sent
        # When the newest token of a client and configuration was acquired.
        self._newest: dict[tuple[Any, ...], int] = {}
        self._put_at: deque[float] = deque()
        self.most_versions = 0

    def expect(self, name: str, now: float, *, fact: bool, example: str = "") -> None:
        if not fact:
            self.broken[name] += 1
            self.examples.setdefault(name, f"at {now:.1f}: {example}")

    def document(self, stage: str) -> dict[str, Any]:
        """Return what the token secret has under a label; empty where it has nothing."""
        return self._read(stage)[1]

    def _read(self, stage: str) -> tuple[str, dict[str, Any]]:
        """Return the version that has the label, and what it says; empty where there is none."""
        for name, version in self._store.versions(TOKEN).items():
            if stage in version["version_stages"]:
                return name, json_object(version["secret_string"])
        return "", {}

    def ledger(self) -> dict[str, Any]:
        return self.document(LEDGER).get("ledger") or {}

    @property
    def current_token(self) -> str:
        return self._current.get("access_token") or ""

    def newest(self, client_id: str) -> int:
        """Return when the newest token of a client that ever went out was acquired; 0 where none did."""
        return max((at for (owner, *_), at in self._newest.items() if owner == client_id), default=0)

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
        (current, document), (version, found) = self._read(CURRENT), self._read(LEDGER)
        (version_before, claimant, was), ledger = self._ledger, found.get("ledger") or {}
        self._ledger = version, claimant if version == version_before else process, ledger
        if document == self._current:
            return None
        self._current = document
        token = document.get("access_token", "")
        is_seed = token is None and document.get("expires_at") == 0 and not self._newest
        is_token = document.keys() >= PUBLIC and isinstance(token, str) and bool(token.strip())
        self.expect("document", now, fact=is_seed or is_token, example=", ".join(document))
        if is_token:
            settings = process.keeper.settings
            configuration = document["token_url"], document["audience"]
            is_ours = configuration == (settings.token_url, settings.audience) and document["client_id"] in clients
            self.expect("foreign", now, fact=is_ours, example=_about(document))
            key, at = (document["client_id"], *configuration), document["acquired_at"]
            self.expect("older", now, fact=at >= self._newest.get(key, 0), example=_about(document))
            self._newest[key] = max(at, self._newest.get(key, 0))
            if operation == "put_secret_value":
                lock, slot = was.get("lock") or {}, (ledger.get("slots") or {}).get(document["client_id"]) or {}
                is_its_own = claimant is process and lock.get("until", 0) > now + process.skew
                is_whole = version == current and ledger.get("lock") is None
                is_closed = slot.get("not_before", 0) >= at + _interval(settings) and not slot.get("suspicions")
                self.expect(
                    "publish", now, fact=is_its_own and is_whole and is_closed, example=json.dumps([was, ledger])
                )
        return document

    def asked(
        self,
        now: float,
        process: Process,
        client_id: str,
        in_flight: int,
        credentials_version: str,
        *,
        is_told: bool,
    ) -> None:
        """Look at the ledger as a request is sent. `is_told`: to ask against the limit."""
        (version, writer, ledger), ours, settings = self._ledger, now + process.skew, process.keeper.settings
        lock = ledger.get("lock") or {}
        least = settings.acquire_timeout_seconds + settings.write_reserve_seconds + CLOCK_DIFFERENCE_SECONDS
        is_claimed = lock.get("client_id") == client_id and lock["until"] >= max(ours, lock["claimed_at"] + least)
        is_its_own = writer is process and version not in self._claims
        self._claims.add(version)
        self.expect("claim", now, fact=is_claimed and is_its_own, example=json.dumps(lock))
        self.expect("flight", now, fact=not in_flight, example=str(in_flight))
        slot = ledger.get("slots", {}).get(client_id) or {}
        is_corrected = slot.get("reason") == CREDENTIALS_REFUSED and slot["credentials_version"] != credentials_version
        not_before = 0 if is_corrected else slot.get("not_before", 0)
        spent_until = self.newest(client_id) + _interval(settings)
        is_late_enough = max(not_before, ledger.get("retry_at", 0), spent_until) <= ours
        self.expect("early", now, fact=is_late_enough or is_told, example=json.dumps(ledger))

    def ended(self, now: float, process: Process, outcome: Outcome, owed: set[str], secrets: set[str]) -> None:
        """Look at a run that ended. `owed`: tokens of its process that are of use; `secrets`: what it must not show."""
        if outcome.word != "Killed":
            lost = owed - process.unsaved
            self.expect("held", now, fact=not lost, example=f"{len(lost)} tokens, {outcome.word}")
        is_fresh = (outcome.word, outcome.reason) == ("kept", "fresh") and process.is_alone
        if is_fresh or process.only_looks:
            self.expect("idle", now, fact=not process.writes, example=f"{process.writes} writes")
        for secret in secrets:
            self.expect("secret", now, fact=secret not in outcome.text, example=outcome.word)


def _interval(settings: Settings) -> int:
    return settings.limit_interval_seconds + settings.limit_margin_seconds


def _about(document: dict[str, Any]) -> str:
    return ", ".join(str(document.get(key)) for key in ("client_id", "audience", "token_url", "acquired_at"))
