"""A good token at hand costs no slot: an unsaved, the previous or a displaced one."""

from typing import Any

import pytest

from handler.ledger import Ledger, Pace
from handler.model import Token
from handler.policy import Acquire, Keep, Publish, Wait

from .builders import (
    BACKING_OFF,
    BOTH,
    DAY,
    EXPIRING,
    FORCE,
    FORMER,
    FRESH,
    HOUR,
    INTERVAL,
    NOW,
    OTHER_AUDIENCE,
    OTHER_URL,
    OVERRIDE,
    PRIMARY,
    STANDBY,
    STANDBY_BELOW,
    STANDBY_TOKEN,
    WINDOW,
    decision_on,
    make_closed_ledger,
    make_slot,
    make_state,
    make_token,
)


def ledger_with_both_slots_closed(*, ahead: int) -> Ledger:
    slot = make_slot(ahead=ahead)
    return Ledger(slots={PRIMARY.principal: slot, STANDBY.principal: slot})


# The previous token


@pytest.mark.parametrize(
    "current",
    [
        pytest.param(None, id="a document that is not a token"),
        pytest.param(make_token(FORMER), id="of a client that is not configured"),
        pytest.param(make_token(token_url=OTHER_URL), id="from another token_url"),
        pytest.param(make_token(audience=OTHER_AUDIENCE), id="for another audience"),
        pytest.param(make_token(requested_scope="raas.none"), id="for another scope"),
    ],
)
@pytest.mark.parametrize(
    "previous",
    [make_token(age=2 * HOUR), make_token(age=DAY, remaining=1), STANDBY_TOKEN],
)
@pytest.mark.parametrize(
    "changes",
    [{}, {"ledger": BACKING_OFF}, {"ledger": make_closed_ledger()}, {"request": OVERRIDE}],
    ids=["open", "backing off", "closed", "override"],
)
def test_good_previous_token_is_brought_back(current: Token | None, previous: Token, changes: dict[str, Any]) -> None:
    """If the current token is not ours, a good previous one is published first. It costs no slot."""
    decision = decision_on(current=current, previous=previous, credentials=BOTH, **changes)
    assert decision == Publish("previous", previous)


@pytest.mark.parametrize("reason", ["unsaved", "previous", "displaced"])
def test_best_token_at_hand_is_published(reason: str) -> None:
    """Wherever it is: the primary's first, then the one that lives longest."""
    shorter = make_token(age=2 * HOUR)
    at_hand: dict[str, Any] = {"unsaved": (shorter,), "previous": shorter, "displaced": shorter}
    at_hand[reason] = (FRESH,) if reason == "unsaved" else FRESH
    assert decision_on(current=None, **at_hand) == Publish(reason, FRESH)


@pytest.mark.parametrize("reason", ["unsaved", "previous", "displaced"])
def test_primarys_token_at_hand_comes_first(reason: str) -> None:
    """The primary's token is what will stay, although the standby's lives longer."""
    primarys = make_token(age=20 * HOUR, remaining=60)
    at_hand: dict[str, Any] = {"unsaved": (STANDBY_TOKEN,), "previous": STANDBY_TOKEN, "displaced": STANDBY_TOKEN}
    at_hand[reason] = (primarys,) if reason == "unsaved" else primarys
    assert decision_on(current=None, credentials=BOTH, **at_hand) == Publish(reason, primarys)


@pytest.mark.parametrize(
    ("current", "previous"),
    [
        pytest.param(
            make_token(FORMER),
            make_token(age=DAY, remaining=0),
            id="the previous one has expired",
        ),
        pytest.param(
            make_token(FORMER),
            make_token(FORMER),
            id="the previous one is not ours either",
        ),
        pytest.param(make_token(FORMER), None, id="there is none"),
        pytest.param(
            EXPIRING,
            make_token(age=INTERVAL + 1),
            id="the current one is ours, and newer",
        ),
        pytest.param(
            make_token(age=INTERVAL, remaining=-1),
            make_token(age=DAY, remaining=-2),
            id="both have expired",
        ),
    ],
)
def test_previous_token_stays_where_it_is(current: Token, previous: Token | None) -> None:
    """A previous token is not brought back if it is not good, or not better than our own."""
    assert isinstance(decision_on(current=current, previous=previous), Acquire)


@pytest.mark.parametrize("previous", [FRESH, STANDBY_TOKEN])
def test_expired_token_of_ours_gives_way_to_a_good_previous_one(previous: Token) -> None:
    """Somebody moved the label back to a token that has expired by now."""
    decision = decision_on(
        current=make_token(age=DAY + 60, remaining=0),
        previous=previous,
        credentials=BOTH,
        ledger=ledger_with_both_slots_closed(ahead=HOUR),
    )
    assert decision == Publish("previous", previous)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param({"current": FRESH}, FRESH, id="the current one"),
        pytest.param({"current": EXPIRING, "displaced": FRESH}, FRESH, id="a better one at hand"),
        pytest.param({"current": FRESH, "displaced": make_token(age=2 * HOUR)}, FRESH, id="a worse one at hand"),
        pytest.param(
            {"current": FRESH, "displaced": make_token(age=0, audience=OTHER_AUDIENCE)},
            FRESH,
            id="a longer one of another config at hand",
        ),
        pytest.param({"current": None, "unsaved": (FRESH,)}, FRESH, id="an unsaved one"),
        pytest.param({"current": make_token(age=DAY, remaining=0)}, None, id="expired"),
        pytest.param({"current": None}, None, id="none"),
        pytest.param(
            {"current": make_token(audience=OTHER_AUDIENCE)},
            make_token(audience=OTHER_AUDIENCE),
            id="of another config, for when that is put right",
        ),
        pytest.param(
            {"current": make_token(FORMER, remaining=60), "displaced": make_token(FORMER)},
            make_token(FORMER),
            id="of a client that is not configured, the longer life",
        ),
        pytest.param(
            {"current": make_token(FORMER), "previous": make_token(age=DAY, remaining=60)},
            make_token(age=DAY, remaining=60),
            id="a good one first",
        ),
    ],
)
def test_token_that_a_claim_carries(state: dict[str, Any], expected: Token | None) -> None:
    """The best good token that is known, or the unexpired one that lives longest."""
    assert make_state(**state).token_to_carry() == expected


# A displaced token


@pytest.mark.parametrize(
    ("current", "displaced"),
    [
        pytest.param(None, FRESH, id="written over by hand"),
        pytest.param(make_token(FORMER), FRESH, id="another client's put there"),
        pytest.param(make_token(age=DAY, remaining=0), FRESH, id="an old one put back, expired"),
        pytest.param(EXPIRING, FRESH, id="an old one put back, still good"),
        pytest.param(EXPIRING, make_token(remaining=600), id="an old one put back, lives longer"),
        pytest.param(STANDBY_TOKEN, FRESH, id="the standby's put back"),
    ],
)
@pytest.mark.parametrize(
    "ledger",
    [Ledger(), BACKING_OFF, make_closed_ledger()],
    ids=["open", "backing off", "closed"],
)
def test_displaced_token_comes_back(current: Token | None, displaced: Token, ledger: Ledger) -> None:
    """A good token under REFRESH_LEDGER that is better than the current one is published."""
    decision = decision_on(
        current=current,
        displaced=displaced,
        credentials=BOTH,
        ledger=ledger,
    )
    assert decision == Publish("displaced", displaced)


@pytest.mark.parametrize("reason", ["previous", "displaced"])
def test_token_in_a_version_is_not_looked_at_while_the_current_one_is_fresh(reason: str) -> None:
    """An older token that is fresh is kept: a run that has nothing to do reads no other version."""
    state: dict[str, Any] = {reason: FRESH}
    assert decision_on(current=make_token(age=2 * HOUR), **state) == Keep()


@pytest.mark.parametrize(
    "displaced",
    [
        pytest.param(make_token(age=2 * HOUR), id="older"),
        pytest.param(FRESH, id="the current one itself, carried by a claim"),
        pytest.param(STANDBY_TOKEN, id="the standby's"),
        pytest.param(make_token(age=0, remaining=0), id="expired"),
        pytest.param(make_token(FORMER, age=0), id="of a client that is not configured"),
        pytest.param(make_token(age=0, token_url=OTHER_URL), id="from another token_url"),
    ],
)
def test_displaced_token_that_is_not_better_stays_where_it_is(displaced: Token) -> None:
    """What the ledger carries is no reason to write if the current token is as good."""
    assert decision_on(displaced=displaced, credentials=BOTH) == Keep()


@pytest.mark.parametrize("reason", ["unsaved", "previous", "displaced"])
def test_revoked_token_does_not_come_back(reason: str) -> None:
    """A probe's verdict is about a token, wherever it lies, and about older ones of its principal."""
    for token in (FRESH, make_token(age=2 * HOUR)):
        at_hand: dict[str, Any] = {reason: token}
        if reason == "unsaved":
            at_hand = {"unsaved": (token,)}
        decision = decision_on(current=None, revoked=(FRESH,), **at_hand)
        assert decision == Acquire("missing", PRIMARY)


@pytest.mark.parametrize(
    "revoked",
    [make_token(age=2 * HOUR), make_token(STANDBY, age=0)],
    ids=["an older one", "another principal's"],
)
def test_verdict_on_another_token_does_not_count(revoked: Token) -> None:
    """A token that is newer than the revoked one, or another principal's, is good."""
    decision = decision_on(current=None, displaced=FRESH, credentials=BOTH, revoked=(revoked,))
    assert decision == Publish("displaced", FRESH)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (-1, Publish("displaced", FRESH)),
        (-1.5, Wait("too_many_claims", NOW + 1_200)),
        (-2, Wait("too_many_claims", NOW + 2_400)),
    ],
)
def test_recovery_needs_no_level_of_its_own(level: float, expected: object) -> None:
    """A recovery goes below what an acquire needs, but never below the lowest level."""
    ledger = Ledger(pace=Pace(level=level, at=NOW))
    assert decision_on(current=None, displaced=FRESH, ledger=ledger) == expected


# An unsaved token


@pytest.mark.parametrize(
    ("current", "unsaved"),
    [
        pytest.param(None, FRESH, id="current missing"),
        pytest.param(None, make_token(age=DAY, remaining=1), id="current missing, one second remains"),
        pytest.param(make_token(age=DAY, remaining=0), FRESH, id="current expired"),
        pytest.param(
            make_token(age=DAY, remaining=0),
            STANDBY_TOKEN,
            id="current expired, the standby's",
        ),
        pytest.param(make_token(FORMER), STANDBY_TOKEN, id="current not ours, the standby's"),
        pytest.param(
            make_token(token_url=OTHER_URL),
            make_token(age=DAY, remaining=60),
            id="current of another config",
        ),
        pytest.param(
            make_token(age=601),
            make_token(age=600),
            id="current of the same client and older",
        ),
        pytest.param(
            make_token(STANDBY),
            make_token(STANDBY, age=0),
            id="current of the standby as well and older",
        ),
        pytest.param(
            STANDBY_TOKEN,
            make_token(remaining=WINDOW + 1),
            id="the unsaved one is the primary's",
        ),
        pytest.param(
            make_token(STANDBY, remaining=5),
            make_token(age=DAY, remaining=6),
            id="the primary's, lives a bit longer",
        ),
        pytest.param(
            make_token(age=18 * HOUR, remaining=STANDBY_BELOW - 1),
            STANDBY_TOKEN,
            id="the primary's is nearly over",
        ),
        pytest.param(
            make_token(age=INTERVAL, remaining=5),
            make_token(STANDBY, age=DAY, remaining=6),
            id="the primary's ends sooner",
        ),
    ],
)
def test_better_unsaved_token_is_published(current: Token | None, unsaved: Token) -> None:
    """An unsaved token is published if the current one is not good, is older, or helps less."""
    decision = decision_on(current=current, unsaved=(unsaved,), credentials=BOTH)
    assert decision == Publish("unsaved", unsaved)


@pytest.mark.parametrize("unsaved", [make_token(age=0), make_token(STANDBY, age=2 * HOUR)])
def test_revoked_token_is_replaced_by_any_good_unsaved_one(unsaved: Token) -> None:
    """A revoked token is not good, so one that lives for a shorter time is better."""
    decision = decision_on(unsaved=(unsaved,), credentials=BOTH, revoked=(FRESH,))
    assert decision == Publish("unsaved", unsaved)


@pytest.mark.parametrize(
    "unsaved",
    [
        pytest.param(make_token(age=HOUR), id="acquired in the same second"),
        pytest.param(make_token(age=HOUR + 1, remaining=DAY), id="older, though it lives longer"),
        pytest.param(make_token(STANDBY, age=0), id="the standby's"),
        pytest.param(make_token(age=0, token_url=OTHER_URL), id="from another token_url"),
        pytest.param(make_token(age=0, audience=OTHER_AUDIENCE), id="for another audience"),
        pytest.param(make_token(FORMER, age=0), id="of a client that is not configured"),
        pytest.param(make_token(age=0, remaining=0), id="expired"),
    ],
)
def test_fresh_token_is_kept_if_the_unsaved_one_is_not_better(unsaved: Token) -> None:
    """An unsaved token is no reason to write if it is not good, or not better."""
    assert decision_on(unsaved=(unsaved,), credentials=BOTH) == Keep()


@pytest.mark.parametrize(
    ("current", "unsaved"),
    [
        pytest.param(
            make_token(age=18 * HOUR, remaining=STANDBY_BELOW),
            STANDBY_TOKEN,
            id="the primary's lives long enough",
        ),
        pytest.param(
            make_token(remaining=600),
            make_token(STANDBY, remaining=600),
            id="the standby's ends as soon",
        ),
        pytest.param(
            STANDBY_TOKEN,
            make_token(age=DAY, remaining=WINDOW),
            id="the primary's is in its window",
        ),
        pytest.param(
            make_token(STANDBY, remaining=600),
            make_token(age=DAY, remaining=599),
            id="the primary's ends sooner",
        ),
        pytest.param(None, make_token(token_url=OTHER_URL), id="it is of another config"),
        pytest.param(None, make_token(FORMER), id="its client is not configured"),
        pytest.param(None, make_token(age=DAY, remaining=0), id="it has expired"),
    ],
)
def test_unsaved_token_that_is_not_better_costs_no_write(current: Token | None, unsaved: Token) -> None:
    """A token that would help consumers less than the current one is not published."""
    decision = decision_on(
        current=current,
        unsaved=(unsaved,),
        credentials=BOTH,
        ledger=ledger_with_both_slots_closed(ahead=60),
    )
    assert isinstance(decision, Wait)


@pytest.mark.parametrize(
    "unsaved",
    [
        pytest.param((make_token(FORMER), FRESH), id="one of a client that is not configured"),
        pytest.param((FRESH, make_token(STANDBY, remaining=0)), id="one that has expired"),
    ],
)
def test_better_one_of_two_unsaved_tokens_is_published(unsaved: tuple[Token, Token]) -> None:
    """The process keeps a token per client. A useless one does not hide a useful one."""
    assert decision_on(current=None, unsaved=unsaved, credentials=BOTH) == Publish("unsaved", FRESH)


def test_unsaved_token_satisfies_a_forced_refresh() -> None:
    """A token at hand costs no slot, so it is published before another is asked for."""
    unsaved = make_token(age=HOUR)
    decision = decision_on(
        current=make_token(age=2 * HOUR),
        unsaved=(unsaved,),
        request=FORCE,
    )
    assert decision == Publish("unsaved", unsaved)


def test_unsaved_token_is_published_while_its_principal_backs_off() -> None:
    """A publish asks nobody, so no pause of a principal holds it back."""
    decision = decision_on(current=None, unsaved=(FRESH,), ledger=BACKING_OFF)
    assert decision == Publish("unsaved", FRESH)
