"""The refresh: read, decide, then claim, acquire, publish. The steps are explained in docs/PROTOCOL.md."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from handler import oauth2
from handler.errors import (
    Busy,
    ConfigurationError,
    CredentialsRefused,
    RateLimited,
    RefreshError,
    StoreError,
    VendorError,
)
from handler.ledger import CREDENTIALS_REFUSED, LIMIT_INTERVAL, RATE_LIMITED, Ledger
from handler.model import Client, Token, utc
from handler.policy import (
    BACKING_OFF,
    Acquire,
    Decision,
    Keep,
    Publish,
    Request,
    Restore,
    State,
    Wait,
    WaitForLock,
    decide,
)
from handler.reader import Reader, Snapshot, UnsavedToken, WarmProcess
from handler.secrets_manager import CURRENT, LEDGER
from handler.settings import CLOCK_DIFFERENCE_SECONDS

# How often a run looks whether another run's lock is gone.
POLL_SECONDS = 3
MAX_LOST_RACES = 5
# Lambda kills a run at its end, so no write starts later than this before it.
RUN_END_SECONDS = 2
# Between two attempts to publish; doubled each time.
FIRST_PUBLISH_PAUSE_SECONDS = 0.5
MAX_PUBLISH_PAUSE_SECONDS = 8
# What a run without a good token raises if it must wait for one of these reasons.
_ERROR_OF_REASON: dict[str, type[RefreshError]] = {
    RATE_LIMITED: RateLimited,
    CREDENTIALS_REFUSED: CredentialsRefused,
    BACKING_OFF: VendorError,
}

Observe = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the result's words `outcome` and `reason`, and what the run knows by then."""

    name: str
    reason: str
    snapshot: Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim that was written. All that follows counts from `claimed_at` (Unix seconds)."""

    version_id: str
    ledger: Ledger
    claimed_at: float


class Refresh:
    """One refresh.

    `remaining` gives the seconds until Lambda kills the run. `observe(happening, **facts)` is told
    what happens; it never gets a secret.
    """

    def __init__(
        self,
        process: WarmProcess,
        request: Request,
        *,
        remaining: Callable[[], float],
        observe: Observe,
    ) -> None:
        self._process = process
        self._settings = process.settings
        self._store = process.store
        self._request = request
        self._remaining = remaining
        self._observe = observe
        self._run_id = process.new_id()
        self._lost_races = 0
        self._is_restored = False
        self._tried: frozenset[str] = frozenset()  # the ids of the clients that this run has asked
        self._refusal: RefreshError | None = None
        self.reader = Reader(process, run_id=self._run_id, may_probe=True)

    def run(self) -> Outcome:
        """Refresh if a refresh is due.

        Raises any RefreshError. A token that was acquired is published, or the process keeps it.
        """
        while True:
            snapshot = self._read()
            outcome = self._act(snapshot)
            if outcome is not None:
                return outcome

    def _read(self) -> Snapshot:
        """Read as much as the decision needs: mostly the two secrets are enough."""
        snapshot = self.reader.read_secrets()
        if not snapshot.token_version_id:
            # Without a version there is no ledger. If another run writes one from here on, AWS refuses our
            # claim.
            return replace(snapshot, token_version_id=self._store.put_seed())
        is_due = snapshot.state.due_reason(snapshot.state.current, self._request)
        if is_due or self._process.unsaved:
            return self.reader.read_ledger_and_secrets()
        return snapshot

    def _act(self, snapshot: Snapshot) -> Outcome | None:
        """Do what is decided. Returns None if the run must read and decide again."""
        decision = self._decide(snapshot.state)
        match decision:
            case Keep():
                return self._outcome("kept", "fresh", snapshot)
            case Wait(reason):
                return self._end_without_asking(reason, snapshot)
            case WaitForLock():
                self._wait_for_other_run()
                return None
            case Restore():
                self._restore(snapshot)
                return None
            case Publish(token):
                return self._publish_at_hand(token, snapshot)
            case Acquire(reason, client):
                return self._acquire_and_publish(reason, client, snapshot)
            case _:
                assert_never(decision)

    def _decide(self, state: State) -> Decision:
        decision = decide(state, self._request, self._tried)
        is_at_end = isinstance(decision, Keep | Wait)
        if not is_at_end and self._refusal and self._remaining() < self._settings.seconds_needed_to_claim:
            # One client was refused, and no time is left to claim for another one.
            return Wait(state.primary_slot().reason or LIMIT_INTERVAL)
        return decision

    def _acquire_and_publish(self, reason: str, client: Client, snapshot: Snapshot) -> Outcome | None:
        claim = self._claim(snapshot, reason, client=client)
        if claim is None:
            return None
        token = self._acquire(client, claim, snapshot.state)
        if token is None:
            return None
        published = self._publish(token, claim, snapshot)
        return self._outcome("refreshed", reason, published)

    def _publish_at_hand(self, token: Token, snapshot: Snapshot) -> Outcome | None:
        """Publish a token that this process could not save before. Costs no slot."""
        reason = "unsaved"
        claim = self._claim(snapshot, reason, token_at_hand=token)
        if claim is None:
            return None
        self._hold(token)
        published = self._publish(token, claim, snapshot)
        return self._outcome("recovered", reason, published)

    def _claim(
        self,
        snapshot: Snapshot,
        reason: str,
        *,
        client: Client | None = None,
        token_at_hand: Token | None = None,
    ) -> Claim | None:
        """*Claim*: write the ledger with a lock. Returns None if another run was faster.

        Raises ConfigurationError, StoreError, or Busy after too many lost races.
        """
        claim = self._plan_claim(snapshot.state.ledger, client, token_at_hand)
        needed = self._settings.seconds_needed_to_claim
        if self._remaining() < needed:
            raise ConfigurationError(
                f"it takes {needed} s to acquire and save, and less are left: raise the function's "
                "timeout, or lower ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS"
            )
        is_won = self._store.compare_and_set_ledger(
            claim.ledger.to_json(),
            version_id=claim.version_id,
            expected_version_id=snapshot.ledger_version_id,
        )
        if not is_won:
            self._count_restart()
            return None
        if self._process.now() - claim.claimed_at > self._settings.acquire_timeout_seconds / 2:
            self._release(claim.ledger.after_failure(self._process.now()), claim)
            raise StoreError("Secrets Manager took too long over the claim", code="SlowClaim")
        self._observe("Claimed", reason=reason, client_id=client.client_id if client else None)
        return claim

    def _plan_claim(self, ledger: Ledger, client: Client | None, at_hand: Token | None) -> Claim:
        claimed_at = self._process.now()
        client_id = None
        if client is not None:
            client_id = client.client_id
        if at_hand is not None:
            ledger = ledger.with_spent_slot(at_hand, self._settings)
        locked = ledger.with_lock(
            run_id=self._run_id,
            client_id=client_id,
            claimed_at=claimed_at,
            settings=self._settings,
        )
        return Claim(version_id=self._process.new_id(), ledger=locked, claimed_at=claimed_at)

    def _acquire(self, client: Client, claim: Claim, state: State) -> Token | None:
        """*Acquire*: ask the vendor once.

        Returns None after a refusal of this client: the run decides again, and may ask another one.
        """
        is_override = self._is_override(client, claim, state)
        self._tried |= {client.client_id}
        deadline = claim.claimed_at + self._settings.acquire_timeout_seconds
        budget_seconds = min(
            deadline - self._process.now(),
            self._remaining() - self._settings.write_reserve_seconds,
        )
        try:
            answer = oauth2.acquire(
                client,
                self._settings,
                budget_seconds=budget_seconds,
                now=self._process.now,
                sleep=self._process.sleep,
            )
        except RefreshError as error:
            self._observe(type(error).__name__, error=str(error), client_id=client.client_id)
            ledger = claim.ledger.after_error(
                error,
                client_id=client.client_id,
                now=self._process.now(),
                is_override=is_override,
                credentials_version=state.credentials.version_id,
                settings=self._settings,
            )
            is_released = self._release(ledger, claim)
            if not is_released or not isinstance(error, RateLimited | CredentialsRefused):
                raise
            self._note_refusal(error)
            return None
        self._hold(answer.token)
        for oddity in answer.oddities:
            self._observe("OddLifetime", oddity=oddity)
        if client is not state.credentials.primary:
            self._observe("StandbyUsed", client_id=client.client_id)
        return answer.token

    def _is_override(self, client: Client, claim: Claim, state: State) -> bool:
        """Say whether the vendor is asked although the client's slot is closed."""
        if not self._request.override_limit or self._tried:
            return False
        return not replace(state, now=claim.claimed_at).may_ask(client)

    def _note_refusal(self, error: RefreshError) -> None:
        """Keep the refusal that the run raises if no other client helps. Wrong credentials come first."""
        if not isinstance(self._refusal, CredentialsRefused):
            self._refusal = error

    def _publish(self, token: Token, claim: Claim, snapshot: Snapshot) -> Snapshot:
        """*Publish*: put the token out, release the lock and note the slot, in one write.

        Returns what is known then. Raises StoreError if every attempt fails; the process keeps the
        token.
        """
        ledger = claim.ledger.after_publish(token, self._settings)
        version_id = self._put_while_time_remains(ledger.to_json(token), claim)
        del self._process.unsaved[token.client_id]
        state = replace(
            snapshot.state,
            now=self._process.now(),
            current=token,
            is_revoked=False,
        )
        self.reader.seconds_remaining = state.seconds_remaining(token)
        return replace(snapshot, state=state, token_version_id=version_id)

    def _hold(self, token: Token) -> None:
        """Keep the token in the process until it is saved: nothing else in the process is as scarce."""
        self._process.unsaved[token.client_id] = UnsavedToken(token, self._run_id)

    def _put_while_time_remains(self, document: str, claim: Claim) -> str:
        """Return the version that is current now. Raises the last StoreError when no time remains."""
        version_id = self._process.new_id()
        pause = 0.0
        error = StoreError("no time is left for it", code="TooLate")
        while self._may_still_write(claim, pause):
            self._process.sleep(pause)
            try:
                self._store.put_version(version_id, document, stages=[CURRENT, LEDGER])
            except StoreError as failure:
                self._observe("PublishFailed", error=str(failure))
                error = failure
                pause = min(max(2 * pause, FIRST_PUBLISH_PAUSE_SECONDS), MAX_PUBLISH_PAUSE_SECONDS)
            else:
                return version_id
        raise error

    def _may_still_write(self, claim: Claim, pause: float) -> bool:
        if claim.ledger.lock is None:
            return False
        latest = claim.ledger.lock.until - CLOCK_DIFFERENCE_SECONDS
        if self._process.now() + pause >= latest:
            return False
        return self._remaining() - pause > RUN_END_SECONDS

    def _release(self, ledger: Ledger, claim: Claim) -> bool:
        """*Refusal*: write the ledger without the lock.

        If this returns False, the lock lapses, and counts then.
        """
        try:
            return self._store.compare_and_set_ledger(
                ledger.to_json(),
                version_id=self._process.new_id(),
                expected_version_id=claim.version_id,
            )
        except StoreError as error:
            self._observe("ReleaseFailed", error=str(error))
            return False

    def _restore(self, snapshot: Snapshot) -> None:
        """Bring AWSPREVIOUS back. The next read shows whether this run or another one did it."""
        is_moved = self._store.move_stage(
            CURRENT,
            to_version_id=snapshot.previous_version_id,
            expected_version_id=snapshot.token_version_id,
        )
        if is_moved:
            self._is_restored = True
        self._count_restart()

    def _wait_for_other_run(self) -> None:
        if self._remaining() - POLL_SECONDS < self._settings.seconds_needed_to_wait:
            raise Busy("another run holds the lock, and no time is left to wait for it and then acquire")
        self._observe("Locked")
        self._process.sleep(POLL_SECONDS)

    def _count_restart(self) -> None:
        self._lost_races += 1
        if self._lost_races >= MAX_LOST_RACES:
            raise Busy(f"other runs were faster {MAX_LOST_RACES} times")

    def _end_without_asking(self, reason: str, snapshot: Snapshot) -> Outcome:
        """Nobody may ask: `waiting` while the token is good, else the error of what is waited for."""
        state = snapshot.state
        slot = state.primary_slot()
        if slot.reason in _ERROR_OF_REASON and slot.not_before > state.now:
            self._observe(_ERROR_OF_REASON[slot.reason].__name__, not_before=slot.not_before)
        is_refused = isinstance(self._refusal, CredentialsRefused)
        if self.reader.seconds_remaining and not is_refused:
            return self._outcome("waiting", reason, snapshot)
        if self._refusal:
            raise self._refusal
        may_ask_at = utc(state.primary_may_ask_at(state.current))
        error_class = _ERROR_OF_REASON.get(reason, RateLimited)
        raise error_class(
            f"no good token, and none may be asked for before {may_ask_at} ({reason})",
            retryable=reason == BACKING_OFF,
        )

    def _outcome(self, name: str, reason: str, snapshot: Snapshot) -> Outcome:
        if self._is_restored and name in {"kept", "waiting"}:
            return Outcome("recovered", "previous", snapshot)
        return Outcome(name, reason, snapshot)
