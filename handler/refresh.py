"""The refresh: read, decide, then claim, acquire, publish. The steps are explained in docs/PROTOCOL.md."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, assert_never

from handler import oauth2
from handler.connections import Connection
from handler.errors import (
    ERROR_CLASSES,
    Busy,
    ConfigurationError,
    CredentialsRefused,
    RateLimited,
    RefreshError,
    StoreError,
    VendorError,
)
from handler.ledger import (
    BACKING_OFF,
    CREDENTIALS_REFUSED,
    LIMIT_INTERVAL,
    RATE_LIMITED,
    SAME_TOKEN,
    Ledger,
)
from handler.model import Client, Token, utc
from handler.policy import (
    TOO_MANY_CLAIMS,
    Acquire,
    Decision,
    Keep,
    Publish,
    Request,
    State,
    Wait,
    WaitForLock,
    decide,
)
from handler.reader import Observe, Reader, Snapshot
from handler.secrets_manager import CURRENT, LEDGER, Version
from handler.settings import CLOCK_DIFFERENCE_SECONDS
from handler.token_response import TokenResponse

# How often a run looks whether another run's lock is gone.
POLL_SECONDS = 3
# A run reads again after each lost race, later each time: AWS calls its reads eventually consistent.
RACE_PAUSES_SECONDS = (1, 2, 3, 4)
# All claims on one ledger version within this time have one id, so that losers leave no version behind.
CLAIM_ID_SECONDS = 180
# From this try on a claim has another id, because the winner of that id may have died.
TRIES_WITH_SHARED_ID = 2
# Lambda kills a run at its end, so no write starts later than this before it.
RUN_END_SECONDS = 2
# Between two attempts to publish; doubled each time.
FIRST_PUBLISH_PAUSE_SECONDS = 0.5
MAX_PUBLISH_PAUSE_SECONDS = 8
# What happens, in the words of the metrics, if a run meets a slot that is closed for this reason.
_HAPPENING_OF_REASON = {
    RATE_LIMITED: "RateLimited",
    CREDENTIALS_REFUSED: "CredentialsRefused",
    BACKING_OFF: "BackingOff",
}

# What a run without a good token raises, if the slot does not name its last error.
_ERROR_OF_REASON: dict[str, type[RefreshError]] = {
    CREDENTIALS_REFUSED: CredentialsRefused,
    BACKING_OFF: VendorError,
}


class Outcome(NamedTuple):
    """How a run ended: the result's words `outcome` and `reason`, and what the run knows by then.

    `not_before` is when somebody may ask, in Unix seconds; None if it is the primary's slot that says so.
    """

    name: str
    reason: str
    snapshot: Snapshot
    not_before: int | None = None


class Claim(NamedTuple):
    """A claim that was written. All that follows counts from `claimed_at` (Unix seconds).

    `carried` is the token that must not be lost: the claim's version holds it, and so does the
    release's, whatever is done to the other labels by hand.
    """

    version_id: str
    ledger: Ledger
    claimed_at: float
    carried: Token | None


class Refresh:
    """One refresh.

    `remaining` gives the seconds until Lambda kills the run. `observe(happening, **facts)` is told
    what happens; it never gets a secret.
    """

    def __init__(
        self,
        connection: Connection,
        request: Request,
        *,
        remaining: Callable[[], float],
        observe: Observe,
    ) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._store = connection.store
        self._request = request
        self._remaining = remaining
        self._observe = observe
        self._run_id = connection.new_id()
        self._lost_races = 0
        self._is_seeded = False
        self._tried: frozenset[str] = frozenset()  # the principals that this run has asked
        self._refusal: RefreshError | None = None
        # The tries to claim on one version of the ledger.
        self._tries = 0
        self._tried_version_id: str | None = None
        self.reader = Reader(connection, run_id=self._run_id, may_probe=True, observe=observe)

    def run(self) -> Outcome:
        """Refresh if a refresh is due.

        Raises any RefreshError. A token that was acquired is published, or the process keeps it.
        """
        snapshot = self._read()
        while True:
            step = self._act(snapshot)
            if isinstance(step, Outcome):
                return step
            snapshot = step

    def _read(self) -> Snapshot:
        snapshot = self.reader.read(self._request)
        if snapshot.token_version_id:
            return snapshot
        if not self._is_seeded:
            self._store.put_seed()
            self._is_seeded = True
        # AWS gives the label AWSCURRENT to a first version, as far as its documentation says. The
        # refresh must also work if it does not.
        return self.reader.read_ledger_and_secrets()

    def _act(self, snapshot: Snapshot) -> Outcome | Snapshot:
        """Do what is decided. Returns the outcome, or what to decide on next."""
        decision = self._decide(snapshot.state)
        match decision:
            case Keep():
                return Outcome("kept", "fresh", snapshot)
            case Wait():
                return self._end_without_asking(decision, snapshot)
            case WaitForLock():
                self._wait_for_other_run()
                return self._read()
            case Publish(reason, token):
                if self.reader.is_refused(token, snapshot.state):
                    return replace(snapshot, state=self.reader.with_refused(snapshot.state))
                return self._publish_at_hand(reason, token, snapshot)
            case Acquire(reason, client):
                return self._acquire_and_publish(reason, client, snapshot)
            case _:
                assert_never(decision)

    def _decide(self, state: State) -> Decision:
        decision = decide(state, self._request, self._tried)
        is_at_end = isinstance(decision, Keep | Wait)
        if not is_at_end and self._refusal and self._remaining() < self._settings.seconds_needed_to_claim:
            # One principal was refused, and no time is left to claim for another one.
            slot = state.primary_slot()
            return Wait(slot.reason or LIMIT_INTERVAL, slot.not_before)
        return decision

    def _acquire_and_publish(self, reason: str, client: Client, snapshot: Snapshot) -> Outcome | Snapshot:
        if client is not snapshot.state.credentials.primary and not self._tried:
            self._observe_closed_slot(snapshot.state)
        claim = self._claim(snapshot, reason, principal=client.principal)
        if claim is None:
            return self._read()
        acquired = self._acquire(client, claim, snapshot)
        if not isinstance(acquired, Token):
            return acquired
        published = self._publish(acquired, claim, snapshot)
        return Outcome("refreshed", reason, published)

    def _publish_at_hand(self, reason: str, token: Token, snapshot: Snapshot) -> Outcome | Snapshot:
        """Publish a token that was issued before. Costs no slot."""
        claim = self._claim(snapshot, reason, at_hand=token)
        if claim is None:
            return self._read()
        self._hold(token)
        published = self._publish(token, claim, snapshot)
        return Outcome("recovered", reason, published)

    def _claim(
        self,
        snapshot: Snapshot,
        reason: str,
        *,
        principal: str | None = None,
        at_hand: Token | None = None,
    ) -> Claim | None:
        """*Claim*: write the ledger with a lock. Returns None if another run was faster, after a pause.

        The claim is for a principal that will be asked, or for a token that is at hand.
        Raises ConfigurationError, StoreError, or Busy after too many lost races.
        """
        claim = self._plan_claim(snapshot, principal, at_hand)
        needed = self._settings.seconds_needed_to_claim
        if self._remaining() < needed:
            raise ConfigurationError(
                f"it takes {needed} s to acquire and save, and less are left: raise the function's "
                "timeout, or lower ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS"
            )
        is_won = self._store.compare_and_set_ledger(
            claim.ledger.to_json(claim.carried),
            version_id=claim.version_id,
            expected_version_id=snapshot.ledger_version.version_id,
            is_ours=lambda version: self._is_won(version, claim),
        )
        if not is_won:
            self._pause_after_lost_race()
            return None
        if self._connection.now() - claim.claimed_at > self._settings.acquire_timeout_seconds / 2:
            self._give_up_slow_claim(claim, principal, snapshot.state)
        self._observe("Claimed", reason=reason, principal=principal)
        return claim

    def _plan_claim(self, snapshot: Snapshot, principal: str | None, at_hand: Token | None) -> Claim:
        state = snapshot.state
        claimed_at = self._connection.now()
        ledger = state.ledger
        if at_hand is not None:
            ledger = ledger.with_spent_slot(at_hand, state.settings, claimed_at)
        claimed = ledger.with_claim(
            run_id=self._run_id,
            principal=principal,
            claimed_at=claimed_at,
            terms=state.terms,
        )
        return Claim(
            version_id=self._claim_id(snapshot.ledger_version.version_id, claimed_at),
            ledger=claimed,
            claimed_at=claimed_at,
            carried=state.token_to_carry(),
        )

    def _claim_id(self, replaced_version_id: str, claimed_at: float) -> str:
        """Return the id of the claim's version: of many racers one can put it.

        The others are refused and leave no version behind.
        """
        if replaced_version_id != self._tried_version_id:
            self._tried_version_id = replaced_version_id
            self._tries = 0
        self._tries += 1
        generation = max(0, self._tries - TRIES_WITH_SHARED_ID)
        replaced = replaced_version_id or self._store.seed_id()
        period = int(claimed_at // CLAIM_ID_SECONDS)
        name = f"token-refresh:claim:{replaced}:{period}:{generation}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    def _is_won(self, version: Version, claim: Claim) -> bool:
        """Say whether the version under the label is this claim.

        Its id is not enough, because another run's claim may have it. The run is not enough either,
        because a read that lags may show an earlier claim of this run.
        """
        lock = Ledger.parse(version.text).lock
        is_of_this_run = lock is not None and lock.run_id == self._run_id
        return is_of_this_run and version.version_id == claim.version_id

    def _give_up_slow_claim(self, claim: Claim, principal: str | None, state: State) -> None:
        error = StoreError("Secrets Manager took too long over the claim", code="SlowClaim")
        ledger = replace(claim.ledger, lock=None)
        if principal is not None:
            name = type(error).__name__
            ledger = ledger.after_failure(name, principal, self._connection.now(), state.terms)
        self._release(ledger, claim)
        raise error

    def _acquire(self, client: Client, claim: Claim, snapshot: Snapshot) -> Token | Outcome | Snapshot:
        """*Acquire*: ask the vendor once.

        After a refusal of this principal it returns what to decide on next: the run may ask another one.
        If the vendor answers with the token that consumers have, it returns the outcome.
        """
        state = replace(snapshot.state, now=claim.claimed_at)
        is_override = not state.may_ask(client, self._request)
        self._tried |= {client.principal}
        try:
            answer = self._ask(client, claim, state)
        except RefreshError as error:
            self._observe(type(error).__name__, error=str(error), principal=client.principal)
            ledger = claim.ledger.after_error(
                error,
                principal=client.principal,
                slot_before=state.ledger.slot(client.principal),
                is_override=is_override,
                now=self._connection.now(),
                terms=state.terms,
            )
            released_id = self._release(ledger, claim)
            if not released_id or not isinstance(error, RateLimited | CredentialsRefused):
                raise
            self._note_refusal(error)
            return self._after_release(snapshot, ledger, released_id)
        if state.repeats_current(answer.token):
            return self._end_with_same_token(claim, client, snapshot)
        self._hold(answer.token)
        for oddity in answer.oddities:
            self._observe("OddLifetime", oddity=oddity)
        if client is not state.credentials.primary:
            self._observe("StandbyUsed", principal=client.principal)
        return answer.token

    def _ask(self, client: Client, claim: Claim, state: State) -> TokenResponse:
        """Raise a RefreshError if the vendor has no token for us, or only one that is not good any more."""
        answer = oauth2.acquire(
            client,
            state.settings,
            budget_seconds=self._acquire_budget_seconds(claim),
            now=self._connection.now,
            sleep=self._connection.sleep,
        )
        now_state = replace(state, now=self._connection.now())
        if state.repeats_current(answer.token) and not now_state.seconds_remaining(state.current):
            raise VendorError(
                "the vendor answered with the token that consumers have, which is not good any more",
                possibly_granted=True,
            )
        return answer

    def _end_with_same_token(self, claim: Claim, client: Client, snapshot: Snapshot) -> Outcome:
        """The token is still good, and the vendor has no newer one yet: ask again later."""
        now = self._connection.now()
        state = replace(snapshot.state, now=now)
        remaining = state.seconds_remaining(state.current)
        ledger = claim.ledger.after_same_token(client.principal, remaining, now)
        self._observe("SameToken", principal=client.principal)
        released_id = self._release(ledger, claim)
        after = self._after_release(snapshot, ledger, released_id)
        self.reader.seconds_remaining = remaining
        return Outcome("waiting", SAME_TOKEN, after, not_before=ledger.slot(client.principal).not_before)

    def _acquire_budget_seconds(self, claim: Claim) -> float:
        deadline = claim.claimed_at + self._settings.acquire_timeout_seconds
        return min(
            deadline - self._connection.now(),
            self._remaining() - self._settings.write_reserve_seconds,
        )

    def _note_refusal(self, error: RefreshError) -> None:
        """Keep the refusal that the run raises if nobody else helps. Wrong credentials come first."""
        if not isinstance(self._refusal, CredentialsRefused):
            self._refusal = error

    def _after_release(self, snapshot: Snapshot, ledger: Ledger, version_id: str) -> Snapshot:
        """Go on with what was just written: AWS may not show it to a read yet."""
        state = replace(snapshot.state, now=self._connection.now(), ledger=ledger)
        return replace(snapshot, state=state, ledger_version=Version(version_id))

    def _publish(self, token: Token, claim: Claim, snapshot: Snapshot) -> Snapshot:
        """*Publish*: put the token out, release the lock and note the slot, in one write.

        Returns what is known then. Raises StoreError if every attempt fails; the process keeps the
        token.
        """
        ledger = claim.ledger.after_publish(token, snapshot.state.settings, claim.claimed_at)
        version_id = self._put_while_time_remains(ledger.to_json(token), claim)
        now = self._connection.now()
        self._connection.forget_useless_tokens(token, now)
        state = replace(
            snapshot.state,
            now=now,
            current=token,
            ledger=ledger,
        )
        self.reader.seconds_remaining = state.seconds_remaining(token)
        return replace(snapshot, state=state, token_version_id=version_id)

    def _hold(self, token: Token) -> None:
        """Keep the token in the process until it is saved: nothing else in the process is as scarce."""
        self._connection.hold(token, self._run_id)

    def _put_while_time_remains(self, document: str, claim: Claim) -> str:
        """Return the version that is current now. Raises the last StoreError when no time remains."""
        version_id = self._connection.new_id()
        pause = 0.0
        error = StoreError("no time is left for it", code="TooLate")
        while self._may_still_write(claim, pause):
            self._connection.sleep(pause)
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
        if self._connection.now() + pause >= latest:
            return False
        return self._remaining() - pause > RUN_END_SECONDS

    def _release(self, ledger: Ledger, claim: Claim) -> str:
        """*Refusal*: write the ledger without the lock, and return its version.

        Returns an empty text if the write is refused or its fate is unknown: then the lock lapses, and
        counts when it does.
        """
        version_id = self._connection.new_id()
        try:
            is_released = self._store.compare_and_set_ledger(
                ledger.to_json(claim.carried),
                version_id=version_id,
                expected_version_id=claim.version_id,
                is_ours=lambda version: version.version_id == version_id,
            )
        except StoreError as error:
            self._observe("ReleaseFailed", error=str(error))
            return ""
        return version_id if is_released else ""

    def _wait_for_other_run(self) -> None:
        if self._settings.keeps_many:
            # Many runs that wait would keep other connections waiting. Lambda repeats this one.
            raise Busy("another run of this connection holds the lock")
        if self._remaining() - POLL_SECONDS < self._settings.seconds_needed_to_wait:
            raise Busy("another run holds the lock, and no time is left to wait for it and then acquire")
        self._observe("Locked")
        self._connection.sleep(POLL_SECONDS)

    def _pause_after_lost_race(self) -> None:
        if self._lost_races == len(RACE_PAUSES_SECONDS):
            raise Busy(f"other runs were faster {self._lost_races + 1} times")
        pause = RACE_PAUSES_SECONDS[self._lost_races]
        self._lost_races += 1
        if self._remaining() - pause < self._settings.seconds_needed_to_claim:
            raise Busy("another run was faster, and no time is left to try again")
        self._connection.sleep(pause)

    def _end_without_asking(self, wait: Wait, snapshot: Snapshot) -> Outcome:
        """Nobody may ask: `waiting` while the token is good, else the error of what is waited for."""
        self._observe_closed_slot(snapshot.state)
        is_refused = isinstance(self._refusal, CredentialsRefused)
        if self.reader.seconds_remaining and not is_refused:
            return Outcome("waiting", wait.reason, snapshot, not_before=wait.not_before)
        if self._refusal:
            raise self._refusal
        raise _error_of_wait(wait, snapshot.state.primary_slot().error)

    def _observe_closed_slot(self, state: State) -> None:
        """Tell why the primary may not ask, at every run that meets it: an alarm lasts as long as that."""
        slot = state.primary_slot()
        if slot.reason in _HAPPENING_OF_REASON and slot.not_before > state.now:
            self._observe(_HAPPENING_OF_REASON[slot.reason], not_before=slot.not_before)


def _error_of_wait(wait: Wait, last_error: str | None) -> RefreshError:
    """Return what a run without a good token raises if nobody may ask."""
    message = f"no good token, and none may be asked for before {utc(wait.not_before)} ({wait.reason})"
    if wait.reason == CREDENTIALS_REFUSED:
        message = f"{message}: correct the credentials or the settings, and the next run asks at once"
    if wait.reason == TOO_MANY_CLAIMS:
        return StoreError(message, code="TooManyClaims")
    default = _ERROR_OF_REASON.get(wait.reason, RateLimited)
    error_class = default
    if wait.reason != LIMIT_INTERVAL:
        error_class = ERROR_CLASSES.get(last_error or "", default)
    return error_class(message, retryable=wait.reason == BACKING_OFF)
