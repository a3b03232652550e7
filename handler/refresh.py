"""The refresh, step by step as in the README: claim, acquire, publish. `policy` decides; this does it."""

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from handler import oauth2
from handler.errors import Busy, ConfigurationError, CredentialsRefused, RateLimited, RefreshError, StoreError
from handler.model import Client, Credentials, Ledger, Token, utc
from handler.policy import CLOCK_DIFFERENCE_SECONDS, ERRORS, Action, Decision, Request, Situation, failed, settle
from handler.secrets_manager import CURRENT, LEDGER, PREVIOUS, SecretStore, Version
from handler.settings import Settings

POLL_SECONDS, MOST_RACES = 3, 5
# An acquire with less time than this is not worth a slot; and Lambda kills a run at its end, so writes end before it.
SHORTEST_ACQUIRE_SECONDS, RUN_END_SECONDS = 10, 2
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 8
Result = dict[str, Any]


@dataclass(slots=True)
class Keeper:
    """What outlives one run of a warm process; `unsaved` has a token per client, with the run that last claimed it."""

    settings: Settings
    store: SecretStore
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    unsaved: dict[str, tuple[Token, str]] = field(default_factory=dict, repr=False)


class Run:
    """One invocation: `remaining` gives the seconds until it is killed; `observe` gets what happens, safe to log."""

    def __init__(
        self, keeper: Keeper, request: Request, remaining: Callable[[], float], observe: Callable[..., None]
    ) -> None:
        self._keeper, self._settings, self._store = keeper, keeper.settings, keeper.store
        self._request, self._remaining, self._observe = request, remaining, observe
        self._run_id, self._races, self._restored = keeper.new_id(), 0, False
        shortest = min(SHORTEST_ACQUIRE_SECONDS, self._settings.acquire_timeout_seconds)
        self._needed, self._probed = shortest + self._settings.write_reserve_seconds, dict[str, bool]()
        self._refusal: RefreshError | None = None
        self.seconds_remaining = 0  # of the token that consumers have, as far as this run knows

    def refresh(self) -> Result:
        """Refresh if due. Raises any RefreshError; a token that was acquired is published, or stays in the Keeper."""
        result = None
        while result is None:
            seen = self._look()
            decision = seen.decide()
            if decision.action is Action.KEEP:
                result = self._result("kept", decision.reason, seen)
            elif decision.action is Action.WAIT:
                result = self._do_without(decision.reason, seen)
            elif self._refusal and self._remaining() < self._needed:
                result = self._do_without(str(seen.slot(seen.credentials.primary, seen.current).reason), seen)
            elif decision.action is Action.LOCKED:
                self._wait_for_the_other_run()
            elif decision.action is Action.RESTORE:
                self._restored |= self._store.move(CURRENT, seen.previous_version_id, seen.version_id)
                self._count_race()
            else:
                result = self._claim_and_publish(decision, seen)
        return result

    def inspect(self, *, status: bool) -> Result:
        """Say what a refresh would do, and for `status` what comes next: no write, no probe, no word to the vendor."""
        seen = self._read(with_ledger=True, may_probe=False)
        decision = seen.decide()
        outcome = {Action.KEEP: "kept", Action.WAIT: "waiting", Action.LOCKED: "waiting"}.get(decision.action, "due")
        result = self._result(outcome, decision.reason, seen)
        if not status:
            return result | {"dry_run": True}
        ledger, previous = (self._store.read_stage(stage) for stage in (LEDGER, PREVIOUS))
        return result | {
            "next_due_at": seen.next_due_at(),
            "ledger": asdict(Ledger.parse(ledger.text)),  # as it was written, lapsed lock and all
            "safe_to_deactivate": seen.safe_to_deactivate(self._token(previous, seen.now), self._store.last_changed()),
        }

    def _look(self) -> Situation:
        seen = self._read(with_ledger=False)
        if not seen.version_id:
            # No version, hence no ledger: should another run write one from here on, our claim is refused.
            return replace(seen, version_id=self._store.put_seed())
        return self._read(with_ledger=True) if self._keeper.unsaved or seen.due(seen.current) else seen

    def _read(self, *, with_ledger: bool, may_probe: bool = True) -> Situation:
        """Read the ledger before the secrets: then a claim's compare-and-set covers all that was seen."""
        version = self._store.read_stage(LEDGER) if with_ledger else Version()
        secret, token = self._store.read()
        now, unsaved = self._keeper.now(), self._keeper.unsaved
        current = self._token(token, now)
        self.seconds_remaining = max(0, int(current.expires_at - now)) if current else 0  # should the next line raise
        credentials = Credentials.parse(secret.text, secret.version_id)
        own_runs = {self._run_id, *(run_id for _, run_id in unsaved.values())}
        for held in [held for held, _ in unsaved.values() if held.expires_at <= now or held.is_superseded(current)]:
            del unsaved[held.client_id]
        ledger = settle(Ledger.parse(version.text), now, own_runs, credentials, self._settings)
        tokens = current, None, tuple(held for held, _ in unsaved.values())
        seen = Situation(now, *tokens, ledger, credentials, self._settings, self._request)
        seen = replace(seen, version_id=token.version_id, ledger_version_id=version.version_id)
        if with_ledger and not seen.is_ours(current):
            previous = self._store.read_stage(PREVIOUS)
            seen = replace(seen, previous=self._token(previous, now), previous_version_id=previous.version_id)
        seen = replace(seen, is_revoked=may_probe and self._is_revoked(seen))
        self.seconds_remaining = seen.seconds_left(current)
        return seen

    def _token(self, version: Version, now: float) -> Token | None:
        margin = max(self._settings.limit_margin_seconds, CLOCK_DIFFERENCE_SECONDS)
        return Token.parse(version.text, now, self._settings.max_lifetime_seconds, margin)

    def _is_revoked(self, seen: Situation) -> bool:
        """Probe a token that is good as far as we know, once in a run; any other has no life to lose."""
        token, probe_url = seen.current, self._settings.probe_url
        if token and probe_url and seen.seconds_left(token) and token.access_token not in self._probed:
            self._probed[token.access_token] = oauth2.is_revoked(token, probe_url)
        return token is not None and self._probed.get(token.access_token, False)

    def _wait_for_the_other_run(self) -> None:
        settings, left = self._settings, self._remaining() - POLL_SECONDS
        if left < settings.acquire_timeout_seconds + settings.write_reserve_seconds:
            raise Busy("another run holds the lock, and no time is left to wait for it and then acquire")
        self._observe("Locked")
        self._keeper.sleep(POLL_SECONDS)

    def _count_race(self) -> None:
        self._races += 1
        if self._races >= MOST_RACES:
            raise Busy(f"other runs were faster {MOST_RACES} times")

    def _result(self, outcome: str, reason: str, seen: Situation) -> Result:
        """Return the result with the keys that the README lists; `not_before` is when the primary may next ask."""
        token, is_restored = seen.current, self._restored and outcome in {"kept", "waiting"}
        return {
            "outcome": "recovered" if is_restored else outcome,
            "reason": "previous" if is_restored else reason,
            "expires_at": token.expires_at if token else None,
            "expires_at_utc": utc(token.expires_at) if token else None,
            "seconds_remaining": seen.seconds_left(token),
            "client_id": token.client_id if token else None,
            "not_before": seen.opens_at(token) or None,
            "version_id": seen.version_id or None,
            "dry_run": False,
        }

    def _do_without(self, reason: str, seen: Situation) -> Result:
        """No slot: `waiting` while the token is good, else the error that says what is waited for."""
        slot = seen.slot(seen.credentials.primary, seen.current)
        if slot.reason in ERRORS and slot.not_before > seen.now:
            self._observe(ERRORS[slot.reason].__name__, not_before=slot.not_before)
        if self.seconds_remaining and not isinstance(self._refusal, CredentialsRefused):
            return self._result("waiting", reason, seen)
        message = f"no good token, and none may be asked for before {utc(seen.opens_at(seen.current))} ({reason})"
        raise self._refusal or ERRORS.get(reason, RateLimited)(message, retryable=reason == "backing_off")

    def _claim_and_publish(self, decision: Decision, seen: Situation) -> Result | None:
        """None where the race was lost or the client was refused: then the run looks again."""
        seen, claim_id, client = replace(seen, now=self._keeper.now()), self._keeper.new_id(), decision.client
        claim = seen.claimed(self._run_id, decision)
        if not self._claim(claim, claim_id, seen):
            return None
        self._observe("Claimed", reason=decision.reason, client_id=client.client_id if client else None)
        token = self._acquire(client, claim, claim_id, seen) if client else decision.token
        if token is None:
            return None
        # From here on the token is held, whatever happens: nothing else in this process is as scarce.
        self._keeper.unsaved[token.client_id] = (token, self._run_id)
        version_id = self._publish(token.to_json(seen.published(claim, token)), claim)
        del self._keeper.unsaved[token.client_id]
        seen = replace(seen, now=self._keeper.now(), current=token, is_revoked=False, version_id=version_id)
        self.seconds_remaining = seen.seconds_left(token)
        return self._result("refreshed" if client else "recovered", decision.reason, seen)

    def _claim(self, claim: Ledger, claim_id: str, seen: Situation) -> bool:
        """Step 7: False where another run was faster."""
        if self._remaining() < self._needed:
            remedy = "raise the function's timeout, or lower ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS"
            raise ConfigurationError(f"it takes {self._needed} s to acquire and save, and less are left: {remedy}")
        if not self._store.write_ledger(claim.to_json(), claim_id, seen.ledger_version_id):
            self._count_race()
            return False
        if self._keeper.now() - seen.now > self._settings.acquire_timeout_seconds / 2:
            self._release(failed(claim, self._keeper.now()), claim_id)
            raise StoreError("Secrets Manager took too long over the claim", code="SlowClaim")
        return True

    def _acquire(self, client: Client, claim: Ledger, claim_id: str, seen: Situation) -> Token | None:
        """Step 8, and 10 where no token comes; None after a refusal, when another client may be asked."""
        now, ends = self._keeper.now, seen.now + self._settings.acquire_timeout_seconds
        budget = min(ends - now(), self._remaining() - self._settings.write_reserve_seconds)
        overridden = self._request.override_limit and not seen.is_open(client)
        self._request = replace(self._request, override_limit=False, asked=self._request.asked | {client.client_id})
        try:
            token, oddities = oauth2.acquire(client, self._settings, budget, now, self._keeper.sleep)
        except RefreshError as error:
            self._observe(type(error).__name__, error=str(error), client_id=client.client_id)
            is_written = self._release(seen.refused(claim, error, client, now(), overridden=overridden), claim_id)
            if not is_written or not isinstance(error, RateLimited | CredentialsRefused):
                raise
            self._refusal = self._refusal if isinstance(self._refusal, CredentialsRefused) else error
            return None
        for oddity in oddities:
            self._observe("OddLifetime", oddity=oddity)
        if client is not seen.credentials.primary:
            self._observe("StandbyUsed", client_id=client.client_id)
        return token

    def _publish(self, document: str, claim: Ledger) -> str:
        """Step 9: return the version that is current now. A write never outlives its lock, nor the run."""
        version_id, pause, error = self._keeper.new_id(), 0.0, StoreError("no time is left for it", code="TooLate")
        ends = claim.lock.until - CLOCK_DIFFERENCE_SECONDS if claim.lock else 0
        while self._keeper.now() + pause < ends and self._remaining() - pause > RUN_END_SECONDS:
            self._keeper.sleep(pause)
            try:
                self._store.put(version_id, document, CURRENT, LEDGER)
            except StoreError as failure:
                self._observe("PublishFailed", error=str(failure))
                error, pause = failure, min(max(2 * pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            else:
                return version_id
        raise error

    def _release(self, ledger: Ledger, claim_id: str) -> bool:
        """Say whether the ledger was written, its lock released; if not, the lock lapses, and counts then."""
        try:
            return self._store.write_ledger(ledger.to_json(), self._keeper.new_id(), claim_id)
        except StoreError as error:
            self._observe("ReleaseFailed", error=str(error))
            return False
