"""What holds in every state, of the decision and of the ledger."""

import json
from collections.abc import Set as AbstractSet
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from handler.errors import RefreshError
from handler.ledger import Ledger
from handler.model import Client, Credentials, Token
from handler.policy import Acquire, Keep, Publish, Request, Restore, State, WaitForLock, decide
from handler.settings import Settings

from .builders import (
    AUDIENCE,
    BOUNDED,
    DAY,
    DEFAULT,
    NOW,
    PRIMARY,
    STANDBY,
    URL,
    WINDOW,
    make_lock,
    make_token,
)
from .strategies import (
    clients,
    credentials,
    errors,
    ledgers,
    requests,
    settings,
    states,
    tokens,
    tried_ids,
)

locked_ledgers = ledgers.map(lambda ledger: replace(ledger, lock=make_lock()))


def is_good(state: State, token: Token | None) -> bool:
    """Say whether a token is good, by a second wording of the rule."""
    return (
        token is not None
        and token.client_id in state.credentials.client_ids
        and (token.token_url, token.audience) == (URL, AUDIENCE)
        and token.expires_at > state.now
        and not (state.is_revoked and token is state.current)
    )


def interval_of(state: State) -> int:
    """Return the time from one token of a client to its next, by a second wording."""
    return state.settings.limit_interval_seconds + state.settings.limit_margin_seconds


# The decision


@BOUNDED
@given(states(locked_ledgers), requests, tried_ids)
def test_nothing_is_done_under_another_runs_lock(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """While another run's lock holds, a run keeps its token or waits, whatever was asked for."""
    assert isinstance(decide(state, request, tried), Keep | WaitForLock)


@BOUNDED
@given(states(), requests, tried_ids)
def test_no_client_is_asked_without_a_slot(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """Nobody is asked before `retry_at`, `not_before` and the current token's interval are over.

    An override counts for the first client that a run asks.
    """
    assume(tried or not request.override_limit)
    decision = decide(state, request, tried)
    if isinstance(decision, Acquire):
        client_id = decision.client.client_id
        assert state.ledger.retry_at <= state.now
        assert state.ledger.slot(client_id).not_before <= state.now
        if state.current and state.current.client_id == client_id:
            assert state.current.acquired_at + interval_of(state) <= state.now
        assert client_id not in tried


@BOUNDED
@given(states(), requests, tried_ids)
def test_only_a_good_token_of_the_primary_is_kept(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """A token that consumers can't use, or that is another client's, does not count as fresh."""
    if decide(state, request, tried) == Keep():
        assert state.current
        assert is_good(state, state.current)
        assert state.current.client_id == PRIMARY.client_id


@BOUNDED
@given(states(), tried_ids, st.integers(WINDOW + 2, DAY))
def test_fresh_token_is_always_kept(state: State, tried: AbstractSet[str], remaining: int) -> None:
    """If nothing is unsaved, neither the ledger nor a previous token makes a run act."""
    fresh = replace(
        state,
        current=make_token(remaining=remaining),
        unsaved=(),
        is_revoked=False,
    )
    assert decide(fresh, DEFAULT, tried) == Keep()


@BOUNDED
@given(states(), requests, tried_ids)
def test_only_a_good_previous_token_is_brought_back(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """The previous token is brought back only if it is good and the current one is not."""
    if decide(state, request, tried) == Restore():
        assert is_good(state, state.previous)
        assert not is_good(state, state.current)


@BOUNDED
@given(states(), requests, tried_ids)
def test_only_a_better_token_is_published(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """A published token is good, and ends later than what it replaces unless it is fresh."""
    decision = decide(state, request, tried)
    if not isinstance(decision, Publish):
        return
    token = decision.token
    current = state.current
    assert is_good(state, token)
    if current is None or not is_good(state, current):
        return
    if token.client_id == current.client_id:
        assert token.acquired_at > current.acquired_at
        return
    is_primary = token.client_id == PRIMARY.client_id
    is_fresh_primary = is_primary and token.expires_at - state.now > WINDOW
    assert is_fresh_primary or token.expires_at > current.expires_at


@BOUNDED
@given(states(), requests, tried_ids)
def test_the_standby_is_only_asked_in_need(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """The standby is asked if the current token is not good or nearly over, never by an override."""
    decision = decide(state, request, tried)
    if isinstance(decision, Acquire) and decision.client == STANDBY:
        assert tried or not request.override_limit
        remaining = 0.0
        if state.current and is_good(state, state.current):
            remaining = state.current.expires_at - state.now
        assert remaining < max(1, state.settings.standby_below_seconds)


# The ledger


@BOUNDED
@given(ledgers, credentials, settings)
def test_ledger_as_of_now_stays_the_same(ledger: Ledger, known: Credentials, settings: Settings) -> None:
    """Once a lapsed lock has counted, the ledger as of the same moment is the same ledger."""
    once = ledger.as_of(NOW, {"this-run"}, known, settings)
    twice = once.as_of(NOW, {"this-run"}, known, settings)
    assert twice.as_of(NOW, {"this-run"}, known, settings) == twice
    if ledger.lock is None or ledger.lock.until > NOW:
        assert twice == once


@BOUNDED
@given(states(), requests, tried_ids)
def test_ledger_as_of_now_decides_the_same(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """A run that reads the same ledger again at the same moment decides the same."""
    again = state.ledger.as_of(state.now, {"this-run"}, state.credentials, state.settings)
    decision = decide(state, request, tried)
    assert decide(replace(state, ledger=again), request, tried) == decision


@BOUNDED
@given(ledgers, credentials, settings)
def test_ledger_as_of_now_can_be_true(ledger: Ledger, known: Credentials, settings: Settings) -> None:
    """Whatever was written, nothing keeps this function out for longer than can be true."""
    after = ledger.as_of(NOW, {"this-run"}, known, settings)
    interval = settings.limit_interval_seconds + 2 * settings.limit_margin_seconds
    assert after.retry_at <= NOW + 3_600
    for slot in after.slots.values():
        assert slot.not_before <= NOW + max(7_200, interval)
    if after.lock is not None:
        assert NOW < after.lock.until <= NOW + 900
        assert after.lock.run_id == "another-run"
    assert after.failures >= ledger.failures


@BOUNDED
@given(states(), tokens, clients, errors, st.booleans())
def test_what_is_written_opens_no_slot_earlier(
    state: State, token: Token, client: Client, error: RefreshError, is_override: bool
) -> None:
    """No claim, no token and no other answer lowers a slot's `not_before` or forgets a slot."""
    claim_to_acquire = state.ledger.with_lock(
        run_id="this-run",
        client_id=client.client_id,
        claimed_at=state.now,
        settings=state.settings,
    )
    claim_to_publish = state.ledger.with_spent_slot(token, state.settings).with_lock(
        run_id="this-run",
        client_id=None,
        claimed_at=state.now,
        settings=state.settings,
    )
    for claim in (claim_to_acquire, claim_to_publish):
        published = claim.after_publish(token, state.settings)
        failed = claim.after_error(
            error,
            client_id=client.client_id,
            now=state.now,
            is_override=is_override,
            credentials_version=state.credentials.version_id,
            settings=state.settings,
        )
        for ledger in (claim, published, failed):
            for client_id, slot in state.ledger.slots.items():
                assert ledger.slot(client_id).not_before >= slot.not_before
            assert Ledger.parse(ledger.to_json()) == ledger
            assert json.loads(ledger.to_json())["schema"] == 1
        assert published.lock is None
        assert failed.lock is None
