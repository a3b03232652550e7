"""A good token at hand costs no slot: the previous one, or one that this process could not save."""

from typing import Any

import pytest

from handler.ledger import Ledger
from handler.model import Token
from handler.policy import Acquire, Keep, Publish, Restore, Wait

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
    make_token,
)


def ledger_with_both_slots_closed(*, ahead: int) -> Ledger:
    slot = make_slot(ahead=ahead)
    return Ledger(slots={PRIMARY.client_id: slot, STANDBY.client_id: slot})


# The previous token


@pytest.mark.parametrize(
    "current",
    [
        pytest.param(None, id="a document that is not a token"),
        pytest.param(make_token(FORMER), id="of a client that is not configured"),
        pytest.param(make_token(token_url=OTHER_URL), id="from another token_url"),
        pytest.param(make_token(audience=OTHER_AUDIENCE), id="for another audience"),
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
    """If the current token is not ours, a good previous one comes back first, without a claim."""
    decision = decision_on(current=current, previous=previous, credentials=BOTH, **changes)
    assert decision == Restore()


def test_previous_token_comes_before_an_unsaved_one() -> None:
    """The previous token is brought back first. The unsaved one is for the next decision."""
    decision = decision_on(
        current=None,
        previous=make_token(age=DAY, remaining=60),
        unsaved=(FRESH,),
    )
    assert decision == Restore()


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
            make_token(age=INTERVAL, remaining=-1),
            make_token(),
            id="the current one is ours, expired",
        ),
        pytest.param(EXPIRING, make_token(), id="the current one is ours, expiring"),
    ],
)
def test_previous_token_stays_where_it_is(current: Token, previous: Token | None) -> None:
    """A previous token is not brought back if it is not good, or if our own token replaced it."""
    assert isinstance(decision_on(current=current, previous=previous), Acquire)


def test_expired_token_of_ours_waits_although_the_previous_one_is_good() -> None:
    """The previous token only helps against mistyped settings or credentials."""
    decision = decision_on(
        current=make_token(age=DAY + 60, remaining=0),
        previous=STANDBY_TOKEN,
        credentials=BOTH,
        ledger=ledger_with_both_slots_closed(ahead=HOUR),
    )
    assert isinstance(decision, Wait)


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
            make_token(remaining=STANDBY_BELOW - 1),
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
    assert decision == Publish(unsaved)


@pytest.mark.parametrize("unsaved", [make_token(age=2 * HOUR), STANDBY_TOKEN])
def test_revoked_token_is_replaced_by_any_unsaved_one(unsaved: Token) -> None:
    """A revoked token is not good, so even an older one of the same client is better."""
    decision = decision_on(unsaved=(unsaved,), credentials=BOTH, is_revoked=True)
    assert decision == Publish(unsaved)


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
            make_token(remaining=STANDBY_BELOW),
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
    assert decision_on(current=None, unsaved=unsaved, credentials=BOTH) == Publish(FRESH)


def test_unsaved_token_satisfies_a_forced_refresh() -> None:
    """A token at hand costs no slot, so it is published before another is asked for."""
    unsaved = make_token(age=HOUR)
    decision = decision_on(
        current=make_token(age=2 * HOUR),
        unsaved=(unsaved,),
        request=FORCE,
    )
    assert decision == Publish(unsaved)


def test_unsaved_token_waits_while_backing_off() -> None:
    """`retry_at` holds for every claim, so also for one that publishes a token at hand."""
    backs_off = Ledger(failures=3, retry_at=NOW + 1)
    assert decision_on(current=None, unsaved=(FRESH,), ledger=backs_off) == Wait("backing_off")


def test_fresh_token_is_kept_while_a_better_one_waits() -> None:
    """A run that must back off has no reason to fail while the current token is fresh."""
    backs_off = Ledger(failures=3, retry_at=NOW + 1)
    assert decision_on(unsaved=(make_token(age=0),), ledger=backs_off) == Keep()
