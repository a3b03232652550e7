"""What holds in every state, of the decision and of the ledger."""

import json
from collections.abc import Set as AbstractSet
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from handler.errors import RefreshError
from handler.ledger import Ledger, Terms
from handler.model import Client, Token
from handler.policy import Acquire, Keep, Publish, Request, State, Wait, WaitForLock, decide

from .builders import (
    ACCOUNT,
    AUDIENCE,
    BOUNDED,
    DAY,
    DEFAULT,
    NOW,
    PRIMARY,
    URL,
    WINDOW,
    make_lock,
    make_token,
)
from .strategies import (
    all_terms,
    clients,
    errors,
    ledgers,
    requests,
    states,
    tokens,
    tried_principals,
)

locked_ledgers = ledgers.map(lambda ledger: replace(ledger, lock=make_lock()))


def is_good(state: State, token: Token | None) -> bool:
    """Say whether a token is good, by a second wording of the rule."""
    return (
        token is not None
        and token.principal in state.credentials.principals
        and (token.token_url, token.audience, token.requested_scope) == (URL, AUDIENCE, "raas.all")
        and token.requested_parameters == ""
        and token.expires_at > state.now
        and not any(
            revoked.principal == token.principal and revoked.acquired_at >= token.acquired_at
            for revoked in state.revoked
        )
    )


def interval_of(state: State, principal: str) -> int:
    """Return the time from one token of a principal to its next, by a second wording."""
    interval = state.settings.limit_interval_seconds
    if interval is None:
        interval = {ACCOUNT.principal: 0}.get(principal, 72_000)
    return interval + state.settings.limit_margin_seconds


# The decision


@BOUNDED
@given(states(locked_ledgers), requests, tried_principals)
def test_nothing_is_done_under_another_runs_lock(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """While another run's lock holds, a run keeps its token or waits, whatever was asked for."""
    assert isinstance(decide(state, request, tried), Keep | WaitForLock)


@BOUNDED
@given(states(), requests, tried_principals)
def test_nobody_is_asked_without_a_slot(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """Nobody is asked before `not_before` and the current token's interval are over.

    An override counts for the first principal that a run asks. `force` passes over our own pauses, 10 min
    after the last claim.
    """
    decision = decide(state, request, tried)
    if not isinstance(decision, Acquire):
        return
    principal = decision.client.principal
    assert principal not in tried
    slot = state.ledger.slot(principal)
    if request.force and state.now - slot.asked_at >= 600:
        if request.override_limit and not tried and principal == PRIMARY.principal:
            return
        is_own_pause = slot.reason in {"backing_off", "credentials_refused"}
        assert slot.not_before <= state.now or is_own_pause
    else:
        assert slot.not_before <= state.now
    if state.current and state.current.principal == principal and slot.not_before <= state.now:
        assert state.current.acquired_at + interval_of(state, principal) <= state.now


@BOUNDED
@given(states(), requests, tried_principals)
def test_nothing_is_claimed_below_the_pace(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """An acquire needs a level of 1, a recovery one of -1. So the level never falls below -2."""
    decision = decide(state, request, tried)
    level = state.ledger.pace.level_at(state.now)
    if isinstance(decision, Acquire):
        assert level >= 1
        assert decision.reason != "forced" or level >= 4
    if isinstance(decision, Publish):
        assert level >= -1


@BOUNDED
@given(states(), requests, tried_principals)
def test_waiting_ends(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """What a run waits for is ahead of now, and not for longer than can be true."""
    assume(not tried)
    decision = decide(state, request, tried)
    if isinstance(decision, Wait):
        assert decision.not_before > state.now
        assert decision.not_before <= state.now + 2 * DAY


@BOUNDED
@given(states(), requests, tried_principals)
def test_only_a_good_token_of_the_primary_is_kept(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """A token that consumers can't use, or that is another client's, does not count as fresh."""
    if decide(state, request, tried) == Keep():
        assert state.current
        assert is_good(state, state.current)
        assert state.current.principal == PRIMARY.principal


@BOUNDED
@given(states(), tried_principals, st.integers(WINDOW + 2, DAY))
def test_fresh_token_is_always_kept(state: State, tried: AbstractSet[str], remaining: int) -> None:
    """If no token is at hand, nothing in the ledger makes a run act."""
    fresh = replace(
        state,
        current=make_token(remaining=remaining),
        unsaved=(),
        displaced=None,
        previous=None,
        revoked=(),
    )
    assert decide(fresh, DEFAULT, tried) == Keep()


@BOUNDED
@given(states(), requests, tried_principals)
def test_no_one_is_asked_while_a_token_at_hand_would_do(
    state: State, request: Request, tried: AbstractSet[str]
) -> None:
    """If the current token is not good and another one is, that one is published or waited for."""
    at_hand = [*state.unsaved, state.displaced]
    later = replace(state, now=state.now + 1)  # the last part of a second does not count
    if not is_good(state, state.current) and any(is_good(later, token) for token in at_hand):
        assert not isinstance(decide(state, request, tried), Acquire | Keep)


@BOUNDED
@given(states(), requests, tried_principals)
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
    if token.principal == current.principal:
        assert token.acquired_at > current.acquired_at
        return
    is_primary = token.principal == PRIMARY.principal
    life = max(0, token.expires_at - token.acquired_at)
    is_fresh_primary = is_primary and token.expires_at - state.now > min(WINDOW, life / 3)
    assert is_fresh_primary or token.expires_at > current.expires_at


@BOUNDED
@given(states(), requests, tried_principals)
def test_the_standby_is_only_asked_in_need(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """The standby is asked if the current token is not good or nearly over.

    To override the limit asks it no earlier: the same event without that would ask it now, too.
    """
    decision = decide(state, request, tried)
    if isinstance(decision, Acquire) and decision.client != PRIMARY:
        if request.override_limit and not tried:
            assert decide(state, request._replace(override_limit=False), tried) == decision
        remaining = 0
        if state.current and is_good(state, state.current):
            remaining = int(state.current.expires_at - state.now)  # the handler counts whole seconds
        assert remaining < max(1, state.settings.standby_below_seconds)
        if remaining and state.current:
            assert remaining < (state.current.expires_at - state.current.acquired_at) / 4


# The ledger


@BOUNDED
@given(ledgers, all_terms)
def test_ledger_as_of_now_stays_the_same(ledger: Ledger, terms: Terms) -> None:
    """Once a lapsed lock has counted, the ledger as of the same moment is the same ledger."""
    once = ledger.as_of(NOW, {"this-run"}, terms)
    twice = once.as_of(NOW, {"this-run"}, terms)
    assert twice.as_of(NOW, {"this-run"}, terms) == twice
    if ledger.lock is None or ledger.lock.until > NOW:
        assert twice == once


@BOUNDED
@given(states(), requests, tried_principals)
def test_ledger_as_of_now_decides_the_same(state: State, request: Request, tried: AbstractSet[str]) -> None:
    """A run that reads the same ledger again at the same moment decides the same."""
    again = state.ledger.as_of(state.now, {"this-run"}, state.terms)
    decision = decide(state, request, tried)
    assert decide(replace(state, ledger=again), request, tried) == decision


@BOUNDED
@given(ledgers, all_terms)
def test_ledger_as_of_now_can_be_true(ledger: Ledger, terms: Terms) -> None:
    """Whatever was written, nothing keeps this function out for longer than can be true."""
    after = ledger.as_of(NOW, {"this-run"}, terms)
    settings = terms.settings
    interval = 2 * settings.limit_margin_seconds + (settings.limit_interval_seconds or 72_000)
    for slot in after.slots.values():
        assert slot.not_before <= NOW + max(DAY, interval)
        assert slot.asked_at <= NOW
    if after.lock is not None:
        assert NOW < after.lock.until <= NOW + 900
        assert after.lock.run_id == "another-run"
    former = set(after.slots) - terms.credentials.principals
    assert len(former) <= 4
    assert after.pace in {ledger.pace, Ledger().pace}
    assert after.pace.at <= NOW + max(30, settings.limit_margin_seconds)


@BOUNDED
@given(states(), tokens, clients, errors, st.booleans())
def test_what_is_written_opens_no_slot_earlier(
    state: State, token: Token, client: Client, error: RefreshError, is_override: bool
) -> None:
    """No claim and no answer lowers a slot's `not_before` or forgets a slot, except a token of the last request."""
    claim_to_acquire = state.ledger.with_claim(
        run_id="this-run",
        principal=client.principal,
        claimed_at=state.now,
        terms=state.terms,
    )
    claim_to_publish = state.ledger.with_spent_slot(token, state.settings, state.now).with_claim(
        run_id="this-run",
        principal=None,
        claimed_at=state.now,
        terms=state.terms,
    )
    for claim in (claim_to_acquire, claim_to_publish):
        published = claim.after_publish(token, state.settings, state.now)
        failed = claim.after_error(
            error,
            principal=client.principal,
            slot_before=state.ledger.slot(client.principal),
            is_override=is_override,
            now=state.now,
            terms=state.terms,
        )
        for ledger in (claim, published, failed):
            for principal, slot in state.ledger.slots.items():
                is_of_last_request = ledger is published and token.acquired_at >= claim.slot(principal).asked_at
                if principal == token.principal and is_of_last_request:
                    continue
                assert ledger.slot(principal).not_before >= slot.not_before
            assert Ledger.parse(ledger.to_json()) == ledger
            assert json.loads(ledger.to_json())["schema"] == 1
        assert published.lock is None
        assert failed.lock is None
        assert published.pace == failed.pace == claim.pace


@BOUNDED
@given(states(), clients, errors, st.booleans())
def test_a_failure_is_counted_and_is_at_most_one_suspicion(
    state: State, client: Client, error: RefreshError, is_override: bool
) -> None:
    """Each failed acquire counts once for its principal, and for no other. A refused override may not count."""
    claim = state.ledger.with_claim(
        run_id="this-run", principal=client.principal, claimed_at=state.now, terms=state.terms
    )
    failed = claim.after_error(
        error,
        principal=client.principal,
        slot_before=state.ledger.slot(client.principal),
        is_override=is_override,
        now=state.now,
        terms=state.terms,
    )
    before = claim.slot(client.principal)
    after = failed.slot(client.principal)
    if is_override and after.failures == before.failures:
        assert after == before
        return
    assert after.failures == before.failures + 1
    assert after.error == type(error).__name__
    assert before.suspicions <= after.suspicions <= before.suspicions + 1
    others = [principal for principal in claim.slots if principal != client.principal]
    assert [failed.slot(one) for one in others] == [claim.slot(one) for one in others]


@given(st.lists(st.tuples(st.integers(0, 7_200), st.sampled_from([1, 4, -1])), min_size=60, max_size=120))
@BOUNDED
def test_any_day_sees_at_most_46_claims(attempts: list[tuple[int, int]]) -> None:
    """Whoever invokes the function whenever: with two versions a claim, AWS's 100 are never used up."""
    pace = Ledger().pace
    now = NOW
    claims = []
    for pause, needed in attempts:
        now += pause
        if pace.level_at(now) >= needed:
            pace = pace.after_claim(now)
            claims.append(now)
    for first, one_too_many in zip(claims, claims[46:], strict=False):
        assert one_too_many - first >= DAY
