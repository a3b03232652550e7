"""What is decided in every situation, and what each event leaves in the ledger."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from handler.errors import CredentialsRefused, OutcomeUnknown, RateLimited, RefreshError, VendorError, VendorUnreachable
from handler.model import Client, Credentials, Ledger, Lock, Slot, Token
from handler.oauth2 import meaning, read_token
from handler.policy import Action, Decision, Request, Situation, settle

from .builders import (
    AUDIENCE,
    BOUNDED,
    DAY,
    FORMER,
    HOUR,
    INTERVAL,
    NOW,
    OTHER_AUDIENCE,
    OTHER_URL,
    PRIMARY,
    STANDBY,
    STANDBY_BELOW,
    URL,
    WINDOW,
    make_credentials,
    make_lock,
    make_settings,
    make_situation,
    make_token,
)

BOTH = make_credentials(STANDBY)
FORCE, OVERRIDE = Request(force=True), Request(force=True, override_limit=True)
FRESH = make_token()
EXPIRING = make_token(age=INTERVAL, left=WINDOW)  # in the second in which its client may ask again
TOO_EARLY = make_token(age=INTERVAL - 1, left=WINDOW)
STANDBY_TOKEN = make_token(STANDBY)
KEEP, LOCKED, ACQUIRE = (Action.KEEP, "fresh", None), (Action.LOCKED, "locked", None), Action.ACQUIRE
LIMITED, BACKING_OFF = (Action.WAIT, "limit_interval", None), (Action.WAIT, "backing_off", None)


def closed(client: Client = PRIMARY, *, ahead: int = HOUR, reason: str | None = "rate_limited", **more: Any) -> Ledger:
    """Return a ledger in which this client's slot is closed until `ahead` seconds from now."""
    return Ledger(slots={client.client_id: Slot(NOW + ahead, reason, **more)})


def decided(seen: Situation) -> tuple[Action, str, Client | Token | None]:
    decision = seen.decide()
    assert decision.client is None or decision.token is None
    return decision.action, decision.reason, decision.client or decision.token


def settled(ledger: Ledger, *own_runs: str, credentials: Credentials | None = None, **settings: Any) -> Ledger:
    return settle(ledger, NOW, own_runs, credentials or make_credentials(), make_settings(**settings))


# Step 2: is a refresh due, and why?


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        pytest.param(make_situation(current=None), "missing", id="the seed, or no token"),
        pytest.param(make_situation(current=STANDBY_TOKEN, credentials=BOTH), "client_changed", id="the standby's"),
        pytest.param(make_situation(current=make_token(FORMER)), "client_changed", id="of a client not configured"),
        pytest.param(
            make_situation(current=make_token(FORMER, token_url=OTHER_URL)), "client_changed", id="client, then config"
        ),
        pytest.param(
            make_situation(current=replace(EXPIRING, token_url=OTHER_URL)), "config_changed", id="another token_url"
        ),
        pytest.param(
            make_situation(current=replace(EXPIRING, audience=OTHER_AUDIENCE)), "config_changed", id="another audience"
        ),
        pytest.param(
            make_situation(current=replace(EXPIRING, audience=""), is_revoked=True),
            "config_changed",
            id="config, then revoked",
        ),
        pytest.param(
            make_situation(current=make_token(age=INTERVAL, left=DAY), is_revoked=True), "revoked", id="revoked"
        ),
        pytest.param(
            make_situation(current=make_token(age=DAY, left=-1), is_revoked=True), "revoked", id="revoked, then expired"
        ),
        pytest.param(make_situation(current=make_token(age=DAY, left=0)), "expired", id="expired in this second"),
        pytest.param(make_situation(current=make_token(age=2 * DAY)), "expired", id="expired a day ago"),
        pytest.param(make_situation(current=make_token(age=DAY, left=1)), "expiring", id="a second left"),
        pytest.param(make_situation(current=EXPIRING), "expiring", id="the window opens"),
        pytest.param(make_situation(current=EXPIRING, request=FORCE), "expiring", id="expiring, then forced"),
        pytest.param(
            make_situation(current=make_token(age=INTERVAL, left=WINDOW + 1), request=FORCE), "forced", id="forced"
        ),
    ],
)
def test_refresh_is_due(seen: Situation, reason: str) -> None:
    """Each reason for a refresh is told, the first of them where there are several."""
    assert decided(seen) == (ACQUIRE, reason, PRIMARY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="fresh"),
        pytest.param({"current": make_token(left=WINDOW + 1)}, id="a second before the window"),
        pytest.param({"credentials": BOTH}, id="with a standby"),
        pytest.param({"ledger": Ledger(make_lock())}, id="under another run's lock"),
        pytest.param({"ledger": Ledger(failures=9, retry_at=NOW + 60)}, id="while the others back off"),
        pytest.param({"ledger": closed()}, id="with a closed slot"),
        pytest.param({"previous": make_token(age=DAY, left=WINDOW)}, id="with a good previous token"),
        pytest.param({"settings": make_settings(refresh_window_seconds=60), "current": make_token(left=61)}, id="set"),
    ],
)
def test_fresh_token_is_kept(changes: dict[str, Any]) -> None:
    """A fresh token of the primary with none unsaved is kept, whatever the ledger says."""
    assert decided(make_situation(**changes)) == KEEP


@pytest.mark.parametrize("request_", [FORCE, OVERRIDE])
@pytest.mark.parametrize(
    ("age", "is_satisfied"), [(-60, True), (0, True), (599, True), (600, False), (INTERVAL, False)]
)
def test_forced_is_satisfied_within_ten_minutes(request_: Request, age: int, is_satisfied: bool) -> None:
    """A repeated event can't spend a second slot, not even one that overrides the limit."""
    seen = make_situation(current=make_token(age=age, left=DAY), request=request_)
    assert (decided(seen) == KEEP) is is_satisfied


def test_forced_still_keeps_the_slot_rules() -> None:
    """Force opens the window, not the slot."""
    assert decided(make_situation(request=FORCE)) == LIMITED


# Step 4: the lock


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"current": None}, id="missing"),
        pytest.param({"current": EXPIRING}, id="expiring"),
        pytest.param({"unsaved": (make_token(age=0),)}, id="a better token unsaved"),
        pytest.param({"current": make_token(FORMER), "previous": FRESH}, id="a previous one to bring back"),
        pytest.param({"current": EXPIRING, "request": OVERRIDE}, id="the limit overridden"),
        pytest.param({"current": None, "credentials": BOTH}, id="with a standby"),
    ],
)
def test_another_run_that_holds_the_lock_is_waited_for(changes: dict[str, Any]) -> None:
    """Nothing is claimed, moved or asked for while another run is at it."""
    assert decided(make_situation(ledger=Ledger(make_lock()), **changes)) == LOCKED


@pytest.mark.parametrize(
    ("lock", "own_runs", "expected"),
    [
        pytest.param(make_lock(until=1), (), LOCKED, id="ahead"),
        pytest.param(make_lock(until=900), (), LOCKED, id="15 min ahead"),
        pytest.param(make_lock(until=901), (), (ACQUIRE, "expiring", PRIMARY), id="too far ahead to be true"),
        pytest.param(make_lock(until=0), (), (ACQUIRE, "expiring", PRIMARY), id="lapsed in this second"),
        pytest.param(make_lock(until=-DAY), (), (ACQUIRE, "expiring", PRIMARY), id="lapsed a day ago"),
        pytest.param(make_lock(until=60), ("another-run",), (ACQUIRE, "expiring", PRIMARY), id="its own"),
        pytest.param(make_lock(until=60), ("a-third-run",), LOCKED, id="not its own"),
    ],
)
def test_lock_keeps_others_out_while_it_holds(lock: Lock, own_runs: tuple[str, ...], expected: Any) -> None:
    """A lock locks from its claim until it lapses, and never the process that holds it."""
    ledger = settled(Ledger(lock), *own_runs)
    assert decided(make_situation(current=EXPIRING, ledger=ledger)) == expected


# Step 5: a good token at hand


@pytest.mark.parametrize(
    "current",
    [
        pytest.param(None, id="a document that is no token"),
        pytest.param(make_token(FORMER), id="of a client not configured"),
        pytest.param(make_token(token_url=OTHER_URL), id="from another token_url"),
        pytest.param(make_token(audience=OTHER_AUDIENCE), id="for another audience"),
    ],
)
@pytest.mark.parametrize("previous", [make_token(age=2 * HOUR), make_token(age=DAY, left=1), STANDBY_TOKEN])
@pytest.mark.parametrize(
    "changes",
    [{}, {"ledger": Ledger(failures=3, retry_at=NOW + 60)}, {"ledger": closed()}, {"request": OVERRIDE}],
    ids=["open", "backing off", "closed", "override"],
)
def test_good_previous_token_is_brought_back(current: Token | None, previous: Token, changes: dict[str, Any]) -> None:
    """Where the current one is not ours, a good previous one comes back first: it costs no slot and no claim."""
    seen = make_situation(current=current, previous=previous, credentials=BOTH, **changes)
    assert decided(seen) == (Action.RESTORE, "previous", previous)


def test_previous_token_comes_before_an_unsaved_one() -> None:
    """Bringing back the previous token is the first thing that is tried; the unsaved one is for the next look."""
    seen = make_situation(current=None, previous=make_token(age=DAY, left=60), unsaved=(FRESH,))
    assert decided(seen)[0] is Action.RESTORE


@pytest.mark.parametrize(
    ("current", "previous"),
    [
        pytest.param(make_token(FORMER), make_token(age=DAY, left=0), id="the previous one has expired"),
        pytest.param(make_token(FORMER), make_token(FORMER), id="the previous one is not ours either"),
        pytest.param(make_token(FORMER), None, id="there is none"),
        pytest.param(make_token(age=INTERVAL, left=-1), make_token(), id="the current one is ours, expired"),
        pytest.param(EXPIRING, make_token(), id="the current one is ours, expiring"),
    ],
)
def test_previous_token_stays_where_it_is(current: Token, previous: Token | None) -> None:
    """A previous token that is not good, or that ours has replaced, is not brought back."""
    assert decided(make_situation(current=current, previous=previous))[0] is ACQUIRE


def test_dead_token_of_ours_waits_although_the_previous_one_is_good() -> None:
    """What ours has replaced is not brought back: AWSPREVIOUS is for settings or credentials that were mistyped."""
    shut = Ledger(slots={client.client_id: Slot(NOW + HOUR, "rate_limited") for client in (PRIMARY, STANDBY)})
    seen = make_situation(current=make_token(age=DAY + 60, left=0), previous=STANDBY_TOKEN, credentials=BOTH)
    assert decided(replace(seen, ledger=shut))[0] is Action.WAIT


@pytest.mark.parametrize(
    ("current", "unsaved"),
    [
        pytest.param(None, FRESH, id="current missing"),
        pytest.param(None, make_token(age=DAY, left=1), id="current missing, a second left"),
        pytest.param(make_token(age=DAY, left=0), FRESH, id="current expired"),
        pytest.param(make_token(age=DAY, left=0), STANDBY_TOKEN, id="current expired, the standby's"),
        pytest.param(make_token(FORMER), STANDBY_TOKEN, id="current not ours, the standby's"),
        pytest.param(make_token(token_url=OTHER_URL), make_token(age=DAY, left=60), id="current of another config"),
        pytest.param(make_token(age=601), make_token(age=600), id="the same client's and older"),
        pytest.param(make_token(STANDBY), make_token(STANDBY, age=0), id="the standby's own and older"),
        pytest.param(STANDBY_TOKEN, make_token(left=WINDOW + 1), id="ours is the primary's"),
        pytest.param(make_token(STANDBY, left=5), make_token(age=DAY, left=6), id="the primary's, lives a bit longer"),
        pytest.param(make_token(left=STANDBY_BELOW - 1), STANDBY_TOKEN, id="the primary's is nearly over"),
        pytest.param(
            make_token(age=INTERVAL, left=5), make_token(STANDBY, age=DAY, left=6), id="the primary's, over sooner"
        ),
    ],
)
def test_better_unsaved_token_is_published(current: Token | None, unsaved: Token) -> None:
    """What the warm process could not save goes out where the current one is not good, older, or another's."""
    seen = make_situation(current=current, unsaved=(unsaved,), credentials=BOTH)
    assert decided(seen) == (Action.PUBLISH, "unsaved", unsaved)


@pytest.mark.parametrize("unsaved", [make_token(age=2 * HOUR), STANDBY_TOKEN])
def test_revoked_token_is_replaced_by_any_unsaved_one(unsaved: Token) -> None:
    """A revoked token is not good, so even an older one of the same client is better."""
    seen = make_situation(unsaved=(unsaved,), credentials=BOTH, is_revoked=True)
    assert decided(seen) == (Action.PUBLISH, "unsaved", unsaved)


@pytest.mark.parametrize(
    "unsaved",
    [
        pytest.param(make_token(age=HOUR), id="acquired in the same second"),
        pytest.param(make_token(age=HOUR + 1, left=DAY), id="older, though it lives longer"),
        pytest.param(make_token(STANDBY, age=0), id="the standby's"),
        pytest.param(make_token(age=0, token_url=OTHER_URL), id="from another token_url"),
        pytest.param(make_token(age=0, audience=OTHER_AUDIENCE), id="for another audience"),
        pytest.param(make_token(FORMER, age=0), id="of a client not configured"),
        pytest.param(make_token(age=0, left=0), id="expired"),
    ],
)
def test_fresh_token_is_kept_where_the_unsaved_one_is_not_better(unsaved: Token) -> None:
    """An unsaved token that is not good, or no better, is no reason to write."""
    assert decided(make_situation(unsaved=(unsaved,), credentials=BOTH)) == KEEP


@pytest.mark.parametrize(
    ("current", "unsaved"),
    [
        pytest.param(make_token(left=STANDBY_BELOW), STANDBY_TOKEN, id="the primary's has long enough"),
        pytest.param(make_token(left=600), make_token(STANDBY, left=600), id="the standby's ends as soon"),
        pytest.param(STANDBY_TOKEN, make_token(age=DAY, left=WINDOW), id="the primary's is in its window"),
        pytest.param(make_token(STANDBY, left=600), make_token(age=DAY, left=599), id="the primary's ends sooner"),
        pytest.param(None, make_token(token_url=OTHER_URL), id="it is of another config"),
        pytest.param(None, make_token(FORMER), id="its client is not configured"),
        pytest.param(None, make_token(age=DAY, left=0), id="it has expired"),
    ],
)
def test_unsaved_token_that_is_not_better_costs_no_write(current: Token | None, unsaved: Token) -> None:
    """A due refresh goes on to the slots where publishing would shorten what consumers have, or not help them."""
    ledger = Ledger(slots={client.client_id: Slot(NOW + 60, "rate_limited") for client in (PRIMARY, STANDBY)})
    seen = make_situation(current=current, unsaved=(unsaved,), credentials=BOTH, ledger=ledger)
    assert decided(seen)[0] is Action.WAIT


def test_better_one_of_two_unsaved_tokens_is_published() -> None:
    """The process keeps a token per client; one that is no use does not hide the one that is."""
    for unsaved in ((make_token(FORMER), FRESH), (FRESH, make_token(STANDBY, left=0))):
        seen = make_situation(current=None, unsaved=unsaved, credentials=BOTH)
        assert decided(seen) == (Action.PUBLISH, "unsaved", FRESH)


def test_unsaved_token_satisfies_a_forced_refresh() -> None:
    """A token at hand costs no slot, so it is published before another is asked for."""
    unsaved = make_token(age=HOUR)
    seen = make_situation(current=make_token(age=2 * HOUR), unsaved=(unsaved,), request=FORCE)
    assert decided(seen) == (Action.PUBLISH, "unsaved", unsaved)


def test_nobody_publishes_while_backing_off() -> None:
    """`retry_at` holds for every claim: the unsaved token waits, and a fresh current one is simply kept."""
    backs_off = Ledger(failures=3, retry_at=NOW + 1)
    assert decided(make_situation(current=None, unsaved=(FRESH,), ledger=backs_off)) == BACKING_OFF
    assert decided(make_situation(unsaved=(make_token(age=0),), ledger=backs_off)) == KEEP


# Step 6: slots


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited", "credentials_refused"])
def test_closed_slot_is_waited_for(reason: str) -> None:
    """A slot is closed until its `not_before`, for the reason that it names, and open in that second."""
    seen = make_situation(current=EXPIRING)
    assert decided(replace(seen, ledger=closed(ahead=1, reason=reason))) == (Action.WAIT, reason, None)
    assert decided(replace(seen, ledger=closed(ahead=0, reason=reason))) == (ACQUIRE, "expiring", PRIMARY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"current": TOO_EARLY}, id="expiring"),
        pytest.param({"current": replace(TOO_EARLY, token_url=OTHER_URL)}, id="from another token_url"),
        pytest.param({"current": replace(TOO_EARLY, audience=OTHER_AUDIENCE)}, id="for another audience"),
        pytest.param({"current": make_token(age=60, left=0)}, id="expired early"),
        pytest.param({"is_revoked": True}, id="revoked"),
    ],
)
def test_current_token_closes_its_clients_slot(changes: dict[str, Any]) -> None:
    """A client that has had the current token is not asked before the interval and the margin are over."""
    assert decided(make_situation(**changes)) == LIMITED


def test_interval_and_margin_are_settings() -> None:
    """A vendor without a limit is asked again as soon as the window opens."""
    seen = make_situation(current=make_token(left=60), settings=make_settings(limit_interval_seconds=60))
    assert decided(seen) == (ACQUIRE, "expiring", PRIMARY)
    unlimited = make_settings(limit_interval_seconds=0, limit_margin_seconds=0)
    assert decided(make_situation(current=make_token(age=0, left=60), settings=unlimited))[0] is ACQUIRE


@pytest.mark.parametrize(
    ("ahead", "reason"), [(INTERVAL - HOUR - 1, "limit_interval"), (INTERVAL - HOUR + 1, "credentials_refused")]
)
def test_later_of_ledger_and_current_token_closes_the_slot(ahead: int, reason: str) -> None:
    """Both rules hold; the one that holds for longer is the reason that is told."""
    seen = make_situation(is_revoked=True, ledger=closed(ahead=ahead, reason="credentials_refused"))
    assert decided(seen) == (Action.WAIT, reason, None)


def test_other_clients_token_does_not_close_a_slot() -> None:
    """The primary may ask at once when the current token is the standby's, however new that is."""
    seen = make_situation(current=make_token(STANDBY, age=0), credentials=BOTH)
    assert decided(seen) == (ACQUIRE, "client_changed", PRIMARY)
    other = closed(STANDBY)
    assert decided(make_situation(current=EXPIRING, credentials=BOTH, ledger=other)) == (ACQUIRE, "expiring", PRIMARY)


@pytest.mark.parametrize(
    ("version_id", "expected"),
    [("version-1", (Action.WAIT, "credentials_refused", None)), ("version-2", (ACQUIRE, "expiring", PRIMARY))],
)
def test_corrected_credentials_open_the_slot(version_id: str, expected: Any) -> None:
    """A refusal stands for the version of the secret that was refused, and for no other."""
    credentials = make_credentials(version_id=version_id)
    ledger = settled(closed(reason="credentials_refused", credentials_version="version-1"), credentials=credentials)
    assert decided(make_situation(current=EXPIRING, credentials=credentials, ledger=ledger)) == expected


def test_another_version_opens_no_slot_closed_for_the_limit() -> None:
    """Only a refusal of credentials is about the credentials."""
    for reason in ("limit_interval", "rate_limited"):
        ledger = settled(closed(reason=reason), credentials=make_credentials(version_id="version-2"))
        assert decided(make_situation(current=EXPIRING, ledger=ledger)) == (Action.WAIT, reason, None)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"current": make_token(left=STANDBY_BELOW - 1), "reason": "expiring"}, id="nearly over"),
        pytest.param({"current": None, "ledger": closed(), "reason": "missing"}, id="missing"),
        pytest.param({"current": make_token(left=0), "reason": "expired"}, id="expired"),
        pytest.param({"is_revoked": True, "reason": "revoked"}, id="revoked"),
        pytest.param({"current": make_token(FORMER), "ledger": closed(), "reason": "client_changed"}, id="not ours"),
        pytest.param({"current": make_token(token_url=OTHER_URL), "reason": "config_changed"}, id="another config"),
        pytest.param(
            {"current": None, "request": Request(asked=frozenset({PRIMARY.client_id})), "reason": "missing"},
            id="after the primary's refusal in this run",
        ),
        pytest.param(
            {"is_revoked": True, "settings": make_settings(standby_below_seconds=0), "reason": "revoked"},
            id="not good, though no token is ever too short",
        ),
    ],
)
def test_standby_is_asked_when_the_primary_has_no_slot(changes: dict[str, Any]) -> None:
    """The standby steps in where consumers would soon be without a token."""
    others = {name: value for name, value in changes.items() if name != "reason"}
    assert decided(make_situation(credentials=BOTH, **others)) == (ACQUIRE, changes["reason"], STANDBY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"current": make_token(left=STANDBY_BELOW)}, id="the current token has long enough"),
        pytest.param({"current": make_token(left=600), "ledger": closed(STANDBY)}, id="its slot is closed"),
        pytest.param({"current": make_token(STANDBY, left=600), "ledger": closed()}, id="it has had the current one"),
        pytest.param({"is_revoked": True, "ledger": closed(STANDBY)}, id="its slot is closed, the token revoked"),
        pytest.param(
            {"current": make_token(left=1), "settings": make_settings(standby_below_seconds=0)}, id="never while good"
        ),
        pytest.param(
            {"current": None, "ledger": closed(), "request": Request(asked=frozenset({STANDBY.client_id}))},
            id="it was asked in this run",
        ),
        pytest.param(
            {"current": None, "request": Request(asked=frozenset(BOTH.client_ids))}, id="both were asked in this run"
        ),
        pytest.param({"request": FORCE}, id="forced, while the current token is good"),
    ],
)
def test_standby_is_left_alone(changes: dict[str, Any]) -> None:
    """The standby's slot is for need, and no client is asked twice in a run."""
    assert decided(make_situation(credentials=BOTH, **changes))[0] is Action.WAIT


def test_primary_with_a_slot_comes_before_the_standby() -> None:
    """However little is left, the primary is asked first."""
    seen = make_situation(current=make_token(age=INTERVAL, left=60), credentials=BOTH)
    assert decided(seen) == (ACQUIRE, "expiring", PRIMARY)


def test_waiting_tells_the_primarys_reason() -> None:
    """Where neither client has a slot, what is waited for is the primary's."""
    ledger = closed(reason="credentials_refused").with_slot(STANDBY.client_id, Slot(NOW + 60, "rate_limited"))
    seen = make_situation(current=None, credentials=BOTH, ledger=ledger)
    assert decided(seen) == (Action.WAIT, "credentials_refused", None)


@pytest.mark.parametrize("current", [None, EXPIRING, make_token(age=INTERVAL, left=0), make_token(FORMER)])
def test_nobody_claims_before_retry_at(current: Token | None) -> None:
    """Backing off holds for both clients; in the second in which it ends, the primary is asked."""
    seen = make_situation(current=current, credentials=BOTH)
    assert decided(replace(seen, ledger=Ledger(failures=3, retry_at=NOW + 1))) == BACKING_OFF
    assert decided(replace(seen, ledger=Ledger(failures=3, retry_at=NOW)))[::2] == (ACQUIRE, PRIMARY)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ledger": closed()}, id="closed slot"),
        pytest.param({"ledger": closed(reason="credentials_refused")}, id="refused credentials"),
        pytest.param({"ledger": Ledger(failures=3, retry_at=NOW + 60)}, id="backing off"),
        pytest.param({"current": make_token(age=600)}, id="the current token's slot"),
        pytest.param({"current": None, "ledger": closed()}, id="no token, with a standby"),
    ],
)
def test_override_ignores_the_slot_rules(changes: dict[str, Any]) -> None:
    """When the vendor says that it has reset the limit, the primary is asked at once."""
    action, _, client = decided(make_situation(credentials=BOTH, request=OVERRIDE, **changes))
    assert (action, client) == (ACQUIRE, PRIMARY)


# Step 3 and 4: what the ledger that was read counts for


@pytest.mark.parametrize("ahead", [7_200, 72_600])
@pytest.mark.parametrize(("more", "is_believed"), [(0, True), (1, False)])
def test_slot_closed_for_too_long_is_not_believed(ahead: int, more: int, is_believed: bool) -> None:
    """Beyond 2 h, or the interval and two margins where that is more, a `not_before` counts as absent."""
    interval = ahead - 600 if ahead > 7_200 else 60
    ledger = settled(closed(ahead=ahead + more, suspicions=2), limit_interval_seconds=interval)
    expected = Slot(NOW + ahead, "rate_limited", 2) if is_believed else Slot(suspicions=2)
    assert ledger.slot(PRIMARY.client_id) == expected


@pytest.mark.parametrize(("ahead", "believed"), [(-1, 0), (0, 0), (1, 1), (3_600, 3_600), (3_601, 0), (10**12, 0)])
def test_retry_at_too_far_ahead_is_not_believed(ahead: int, believed: int) -> None:
    """Backing off for more than 1 h counts as not backing off."""
    ledger = settled(Ledger(failures=3, retry_at=NOW + ahead))
    assert ledger == Ledger(failures=3, retry_at=NOW + believed if believed else 0)


@pytest.mark.parametrize("until", [901, 10**12])
def test_lock_too_far_ahead_is_absent(until: int) -> None:
    """A lock that can't be true is no lock, no failure and no suspicion."""
    assert settled(Ledger(make_lock(until=until))) == Ledger()


@pytest.mark.parametrize("until", [0, -1, -DAY])
def test_lapsed_lock_is_a_failure_and_a_suspicion(until: int) -> None:
    """Whoever claimed and vanished has failed, and may have spent its client's slot unheard."""
    before = Ledger(make_lock(until=until), 1, 0, {PRIMARY.client_id: Slot(NOW + 60, "rate_limited", 1)})
    assert settled(before) == Ledger(None, 2, 0, {PRIMARY.client_id: Slot(NOW + 60, "rate_limited", 2)})


def test_lapsed_lock_of_an_unknown_slot_is_a_suspicion() -> None:
    """The suspicion is noted for a client that had no slot yet."""
    assert settled(Ledger(make_lock(until=0))).slot(PRIMARY.client_id).suspicions == 1


def test_lapsed_lock_without_a_client_is_a_failure_alone() -> None:
    """A claim to publish a token at hand asked nobody, so no slot can have been spent."""
    assert settled(Ledger(make_lock(client=None, until=0))) == Ledger(failures=1)


def test_own_lapsed_lock_counts_like_any_other() -> None:
    """A process that could not even release its lock has failed as well."""
    assert settled(Ledger(make_lock(until=0)), "another-run").failures == 1


@pytest.mark.parametrize("age", [600, 60])
def test_third_failure_by_a_lapsed_lock_backs_off_from_its_claim(age: int) -> None:
    """The failure is dated back to the claim, so the wait for the lock is part of the 45 min."""
    ledger = settled(Ledger(make_lock(age=age, until=0), failures=2))
    assert (ledger.failures, ledger.retry_at) == (3, NOW - age + 2_700)


def test_lapsed_lock_does_not_shorten_the_backing_off() -> None:
    """A later `retry_at` that stands already is kept."""
    assert settled(Ledger(make_lock(until=0), 2, NOW + 3_600)).retry_at == NOW + 3_600


@pytest.mark.parametrize("own_runs", [(), ("another-run",)])
def test_lock_that_holds_counts_for_nothing_yet(own_runs: tuple[str, ...]) -> None:
    """A lock that is ahead is neither a failure nor a suspicion."""
    before = Ledger(make_lock(until=60), 1, NOW + 60, {PRIMARY.client_id: Slot(NOW + 60, "rate_limited", 1)})
    assert settled(before, *own_runs) == (replace(before, lock=None) if own_runs else before)


def test_slots_of_former_clients_go_once_they_are_past() -> None:
    """A client that is configured no longer is forgotten, but not before its slot opens."""
    slots = {FORMER.client_id: Slot(NOW + 1, "rate_limited", 1), PRIMARY.client_id: Slot(0, None, 1)}
    assert settled(Ledger(slots=slots)).slots == slots
    past = slots | {FORMER.client_id: Slot(NOW, "rate_limited", 1)}
    assert settled(Ledger(slots=past)).slots == {PRIMARY.client_id: Slot(0, None, 1)}


def test_slots_of_configured_clients_keep_their_suspicions() -> None:
    """A slot that has opened is open, and what speaks for its being spent still counts."""
    slots = {client.client_id: Slot(NOW - 1, "rate_limited", 2) for client in (PRIMARY, STANDBY)}
    found = settled(Ledger(slots=slots), credentials=BOTH).slots
    assert [(slot.not_before <= NOW, slot.suspicions) for slot in found.values()] == [(True, 2), (True, 2)]


# Steps 7, 9 and 10: what is written


@pytest.mark.parametrize(
    ("decision", "client_id"),
    [
        pytest.param(Decision(Action.ACQUIRE, "expiring", PRIMARY), PRIMARY.client_id, id="acquire"),
        pytest.param(Decision(Action.PUBLISH, "unsaved", token=FRESH), None, id="publish"),
    ],
)
def test_claim_locks_for_the_acquire_and_the_write(decision: Decision, client_id: str | None) -> None:
    """The lock holds for the time to acquire, the reserve for the write, and 30 s of clock difference."""
    before = Ledger(None, 2, NOW - 5, {STANDBY.client_id: Slot(NOW + 60, "rate_limited", 1)})
    settings = make_settings(acquire_timeout_seconds=100, write_reserve_seconds=20)
    claim = make_situation(ledger=before, settings=settings).claimed("this-run", decision)
    assert claim.lock == Lock("this-run", client_id, NOW, NOW + 150)
    assert (claim.failures, claim.retry_at, claim.slot(STANDBY.client_id)) == (
        2,
        NOW - 5,
        before.slots["client-standby"],
    )


def test_claim_for_a_token_at_hand_keeps_its_slot_closed() -> None:
    """Should the token be lost after all, nobody asks for another before the limit has cleared."""
    claim = make_situation(current=None).claimed("this-run", Decision(Action.PUBLISH, "unsaved", token=FRESH))
    assert claim.slot(PRIMARY.client_id) == Slot(NOW - HOUR + INTERVAL, "limit_interval")


def test_publishing_releases_the_lock_and_closes_the_slot() -> None:
    """All that the claim left behind is settled by the one write that puts the token out."""
    others = Slot(NOW + 60, "credentials_refused", 1, "version-1")
    claim = Ledger(make_lock(), 2, NOW + 60, {PRIMARY.client_id: Slot(0, None, 3), STANDBY.client_id: others})
    token = make_token(age=2)
    assert make_situation().published(claim, token) == Ledger(
        slots={PRIMARY.client_id: Slot(NOW - 2 + INTERVAL, "limit_interval", 0), STANDBY.client_id: others}
    )


def test_publishing_closes_the_slot_of_the_tokens_client() -> None:
    """The standby's token spends the standby's slot."""
    ledger = make_situation(credentials=BOTH).published(Ledger(make_lock()), make_token(STANDBY, age=0))
    assert ledger.slots == {STANDBY.client_id: Slot(NOW + INTERVAL, "limit_interval")}


def test_publishing_opens_no_slot_earlier() -> None:
    """A token that was kept in a warm process while its client was refused leaves the later time."""
    claim = closed(ahead=INTERVAL, suspicions=1)
    slot = make_situation().published(claim, FRESH).slot(PRIMARY.client_id)
    assert (slot.not_before, slot.suspicions) == (NOW + INTERVAL, 0)


LIMIT_TEXT = b"Client tango client-primary has exceeded the daily rate limit"
LIMIT = meaning(400, LIMIT_TEXT, "", NOW)
LATER = NOW + 100  # when the answer arrives
OPEN, SUSPECT = Slot(), Slot(suspicions=1)
REFUSED = Slot(LATER + HOUR, "credentials_refused", 0, "version-1")


def no_token(body: bytes) -> RefreshError:
    """Return what a success without a usable token means."""
    with pytest.raises(VendorError) as caught:
        read_token(body, PRIMARY, make_settings(), NOW, LATER)
    return caught.value


def answered(status: int, body: bytes = b"", retry_after: str = "") -> RefreshError:
    return meaning(status, body, retry_after, LATER)


@pytest.mark.parametrize(
    ("error", "failures", "slot", "expected"),
    [
        pytest.param(
            LIMIT, 0, SUSPECT, (0, 0, Slot(LATER + INTERVAL, "rate_limited", 2)), id="rate limited, with a suspicion"
        ),
        pytest.param(
            LIMIT, 0, OPEN, (0, 0, Slot(LATER + 900, "rate_limited", 1)), id="rate limited, without a suspicion"
        ),
        pytest.param(
            answered(403, LIMIT_TEXT), 9, OPEN, (0, 0, Slot(LATER + 900, "rate_limited", 1)), id="rate limited, as 403"
        ),
        pytest.param(
            LIMIT, 2, Slot(NOW, "rate_limited", 5), (0, 0, Slot(LATER + INTERVAL, "rate_limited", 6)), id="once more"
        ),
        pytest.param(answered(401), 0, OPEN, (0, 0, REFUSED), id="401"),
        pytest.param(answered(401), 2, SUSPECT, (2, 0, replace(REFUSED, suspicions=1)), id="401 is no failure"),
        pytest.param(answered(400, b'{"error": "invalid_client"}'), 0, OPEN, (0, 0, REFUSED), id="invalid_client"),
        pytest.param(answered(403, b'{"error": "access_denied"}'), 0, OPEN, (0, 0, REFUSED), id="access_denied"),
        pytest.param(answered(429), 0, SUSPECT, (1, LATER + 900, SUSPECT), id="429 without Retry-After"),
        pytest.param(answered(429, b"", "soon"), 0, OPEN, (1, LATER + 900, OPEN), id="429, Retry-After unreadable"),
        pytest.param(answered(429, b"", "60"), 1, OPEN, (2, LATER + 60, OPEN), id="429, a minute"),
        pytest.param(answered(429, b"", "3600"), 0, OPEN, (1, LATER + 3_600, OPEN), id="429, an hour"),
        pytest.param(answered(429, b"", "3601"), 0, OPEN, (1, LATER + 3_600, OPEN), id="429, at most an hour"),
        pytest.param(answered(429, b"", "9" * 30), 0, OPEN, (1, LATER + 3_600, OPEN), id="429, for ages"),
        pytest.param(answered(429, b"", "60"), 2, OPEN, (3, LATER + 2_700, OPEN), id="429, the third failure"),
        pytest.param(answered(429, b"", "3600"), 2, OPEN, (3, LATER + 3_600, OPEN), id="429, third and an hour"),
        pytest.param(answered(404), 0, SUSPECT, (1, 0, SUSPECT), id="404"),
        pytest.param(answered(400, b'{"error": "invalid_scope"}'), 1, OPEN, (2, 0, OPEN), id="another 400"),
        pytest.param(answered(302), 2, OPEN, (3, LATER + 2_700, OPEN), id="a redirect, the third failure"),
        pytest.param(answered(500), 0, OPEN, (1, 0, SUSPECT), id="500"),
        pytest.param(answered(503), 2, SUSPECT, (3, LATER + 2_700, Slot(suspicions=2)), id="503, the third failure"),
        pytest.param(no_token(b"{}"), 0, OPEN, (1, 0, SUSPECT), id="2xx without a token"),
        pytest.param(no_token(b"<p>"), 3, OPEN, (4, LATER + 2_700, SUSPECT), id="2xx without JSON, the fourth failure"),
        pytest.param(OutcomeUnknown("cut"), 0, OPEN, (1, 0, SUSPECT), id="no whole answer"),
        pytest.param(
            OutcomeUnknown("cut"), 2, OPEN, (3, LATER + 2_700, SUSPECT), id="no whole answer, the third failure"
        ),
        pytest.param(VendorUnreachable("dns"), 0, OPEN, (1, 0, OPEN), id="never sent"),
        pytest.param(VendorUnreachable("dns"), 2, OPEN, (3, LATER + 2_700, OPEN), id="never sent, the third failure"),
    ],
)
def test_answer_without_a_token(
    error: RefreshError, failures: int, slot: Slot, expected: tuple[int, int, Slot]
) -> None:
    """Each answer that brings no token leaves its trace: failures, `retry_at` and the client's slot; no lock."""
    others = Slot(NOW + 60, "rate_limited", 1)
    claim = Ledger(make_lock(), failures, 0, {PRIMARY.client_id: slot, STANDBY.client_id: others})
    ledger = make_situation(credentials=BOTH).refused(claim, error, PRIMARY, LATER, overridden=False)
    assert (ledger.failures, ledger.retry_at, ledger.slot(PRIMARY.client_id)) == expected
    assert (ledger.lock, ledger.slot(STANDBY.client_id)) == (None, others)


def test_same_credentials_refused_again_close_the_slot_for_twice_as_long() -> None:
    """Each refusal costs versions of the secret, of which a day has about 100; other credentials begin anew."""
    seen, claim = make_situation(), Ledger(make_lock(), 0, 0, {PRIMARY.client_id: replace(REFUSED, not_before=NOW)})
    again = seen.refused(claim, answered(401), PRIMARY, LATER, overridden=False)
    assert again.slot(PRIMARY.client_id) == replace(REFUSED, not_before=LATER + 2 * HOUR)
    corrected = replace(seen, credentials=make_credentials(version_id="version-2"))
    slot = corrected.refused(claim, answered(401), PRIMARY, LATER, overridden=False).slot(PRIMARY.client_id)
    assert slot == replace(REFUSED, credentials_version="version-2")


def test_refusal_is_remembered_when_its_time_is_over() -> None:
    """A slot that has opened still says which credentials were refused, until the secret has another version."""
    past = closed(ahead=-1, reason="credentials_refused", credentials_version="version-1")
    assert settled(past) == past
    assert settled(past, credentials=make_credentials(version_id="version-2")) == Ledger(
        slots={PRIMARY.client_id: Slot()}
    )


def test_refusal_is_the_askers() -> None:
    """A refusal of the standby closes the standby's slot."""
    ledger = make_situation(credentials=BOTH).refused(Ledger(make_lock()), LIMIT, STANDBY, LATER, overridden=False)
    assert ledger.slots == {STANDBY.client_id: Slot(LATER + 900, "rate_limited", 1)}


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited"])
@pytest.mark.parametrize("error", [LIMIT, answered(401)], ids=["rate limited", "credentials refused"])
def test_override_refused_against_a_closed_slot_changes_nothing(reason: str, error: RefreshError) -> None:
    """The vendor had not reset the limit after all: what was known before still stands."""
    claim = replace(closed(reason=reason, suspicions=1), lock=make_lock(), failures=2, retry_at=NOW + 60)
    ledger = make_situation().refused(claim, error, PRIMARY, LATER, overridden=True)
    assert ledger == replace(claim, lock=None)


@pytest.mark.parametrize(
    "error", [answered(401), answered(403, b'{"error": "invalid_client"}'), answered(500), answered(429), LIMIT]
)
def test_no_answer_opens_a_slot_earlier(error: RefreshError) -> None:
    """An override against a slot that is closed for long leaves it closed for as long, and for the same reason."""
    claim = replace(closed(ahead=INTERVAL + 200, reason="limit_interval"), lock=make_lock())
    for overridden in (True, False):
        slot = make_situation().refused(claim, error, PRIMARY, LATER, overridden=overridden).slot(PRIMARY.client_id)
        assert (slot.not_before, slot.reason) == (NOW + INTERVAL + 200, "limit_interval")


def test_override_does_not_shorten_the_backing_off() -> None:
    """A later `retry_at` that stands already survives an override that fails."""
    claim = Ledger(make_lock(), 3, LATER + 3_600)
    for error in (answered(429, b"", "60"), answered(500), OutcomeUnknown("cut")):
        assert make_situation().refused(claim, error, PRIMARY, LATER, overridden=True).retry_at == LATER + 3_600


# `status`: what happens next, and when


@pytest.mark.parametrize(
    ("changes", "ahead"),
    [
        pytest.param({}, INTERVAL - HOUR, id="fresh: the limit clears a margin after the window opens"),
        pytest.param({"settings": make_settings(limit_interval_seconds=0)}, DAY - HOUR - WINDOW, id="no limit: window"),
        pytest.param({"current": make_token(left=300)}, INTERVAL - HOUR, id="short-lived: the limit"),
        pytest.param({"current": EXPIRING}, 0, id="due"),
        pytest.param({"current": None}, 0, id="missing"),
        pytest.param({"current": None, "ledger": closed(ahead=60)}, 60, id="slot closed"),
        pytest.param({"current": EXPIRING, "ledger": Ledger(failures=3, retry_at=NOW + 60)}, 60, id="backing off"),
        pytest.param({"current": EXPIRING, "ledger": Ledger(make_lock(until=60))}, 60, id="locked"),
        pytest.param({"ledger": closed(ahead=INTERVAL)}, INTERVAL, id="fresh, the ledger's slot is later"),
        pytest.param({"current": STANDBY_TOKEN, "credentials": BOTH}, 0, id="the standby's, the primary's slot open"),
        pytest.param(
            {"current": STANDBY_TOKEN, "credentials": BOTH, "ledger": closed(ahead=60)},
            60,
            id="the standby's, the primary's slot closed",
        ),
        pytest.param(
            {"current": make_token(FORMER), "previous": make_token(age=7_200)},
            INTERVAL - 7_200,
            id="the previous one will be current",
        ),
        pytest.param({"current": None, "unsaved": (FRESH,)}, INTERVAL - HOUR, id="the unsaved one will be current"),
        pytest.param(
            {"current": None, "unsaved": (FRESH,), "ledger": Ledger(failures=3, retry_at=NOW + 60)},
            INTERVAL - HOUR,
            id="the unsaved one will be current after backing off",
        ),
    ],
)
def test_next_due_at(changes: dict[str, Any], ahead: int) -> None:
    """The next acquire with the primary, if all goes well, is when token, slot and ledger all allow it."""
    assert make_situation(**changes).next_due_at() == NOW + ahead


SINCE = NOW - 3_601  # longer ago than consumers cache


@pytest.mark.parametrize(
    ("changes", "previous", "changed_at", "expected"),
    [
        pytest.param({"credentials": BOTH}, None, SINCE, STANDBY.client_id, id="the standby's"),
        pytest.param({}, make_token(FORMER), SINCE, FORMER.client_id, id="without a standby the previous one's"),
        pytest.param({"credentials": BOTH}, make_token(FORMER), SINCE, STANDBY.client_id, id="the standby's first"),
        pytest.param({}, make_token(age=DAY), SINCE, None, id="never the primary's"),
        pytest.param({}, None, SINCE, None, id="nobody left behind"),
        pytest.param({"credentials": BOTH}, None, SINCE + 1, None, id="changed just within the cache's time"),
        pytest.param({"credentials": BOTH, "current": make_token(age=3_600)}, None, 0, None, id="acquired within it"),
        pytest.param(
            {"credentials": BOTH, "current": STANDBY_TOKEN}, FRESH, 0, None, id="the current one is not the primary's"
        ),
        pytest.param({"credentials": BOTH, "current": None}, None, 0, None, id="no token"),
        pytest.param(
            {"credentials": BOTH, "settings": make_settings(consumer_cache_seconds=60)},
            None,
            NOW - 61,
            STANDBY.client_id,
            id="as long as is set",
        ),
    ],
)
def test_safe_to_deactivate(
    changes: dict[str, Any], previous: Token | None, changed_at: float, expected: str | None
) -> None:
    """A client is named once no consumer's cache can hold a token of it any more."""
    seen = make_situation(**{"current": make_token(age=3_601)} | changes)
    assert seen.safe_to_deactivate(previous, changed_at) == expected


# What holds in every situation

clients = st.sampled_from([PRIMARY, STANDBY, FORMER])
client_ids = clients.map(lambda client: client.client_id)
near = st.sampled_from([-DAY, -INTERVAL, -600, -60, -1, 0, 1, 60, 600, 900, 3_600, 7_200, WINDOW, INTERVAL, DAY])
times = (near | st.integers(-100_000, 100_000)).map(lambda ahead: NOW + ahead)
tokens = st.builds(
    Token,
    st.sampled_from(["one", "two"]),
    st.just("Bearer"),
    st.just("raas.all"),
    times,
    times,
    client_ids,
    st.sampled_from([AUDIENCE, AUDIENCE, OTHER_AUDIENCE]),
    st.sampled_from([URL, URL, OTHER_URL]),
)
reasons = st.sampled_from([None, "limit_interval", "rate_limited", "credentials_refused"])
versions = st.sampled_from([None, "version-1", "version-2"])
slots = st.builds(Slot, times, reasons, st.integers(0, 3), versions)
locks = st.builds(Lock, st.sampled_from(["another-run", "this-run"]), st.none() | client_ids, times, times)
slots_by_client = st.dictionaries(client_ids, slots, max_size=3)
written = st.builds(Ledger, st.none() | locks, st.integers(0, 5), st.just(0) | times, slots_by_client)
credentials = st.builds(Credentials, st.just(PRIMARY), st.none() | st.just(STANDBY), versions.filter(bool).map(str))
requests = st.builds(Request, force=st.booleans(), asked=st.frozensets(client_ids, max_size=2))
asked_for = requests | st.just(OVERRIDE)
standing = st.sampled_from([make_settings(), make_settings(limit_interval_seconds=60, standby_below_seconds=0)])
errors = st.one_of(
    st.builds(meaning, st.sampled_from([302, 400, 401, 403, 404, 429, 500]), st.just(b""), st.just("60"), times),
    st.sampled_from([LIMIT, CredentialsRefused("no"), OutcomeUnknown("cut"), VendorUnreachable("dns"), no_token(b"")]),
)


@st.composite
def situations(draw: st.DrawFn, ledgers: st.SearchStrategy[Ledger] = written) -> Situation:
    """Draw a situation as a run sees it: the ledger is settled, and an unsaved token is one per client."""
    now, known, settings = NOW + draw(st.just(0.0) | st.floats(0, 1)), draw(credentials), draw(standing)
    unsaved = draw(st.lists(tokens, max_size=2, unique_by=lambda token: token.client_id))
    ledger = settle(draw(ledgers), now, {"this-run"}, known, settings)
    current, previous = draw(st.none() | tokens), draw(st.none() | tokens)
    request, is_revoked = draw(asked_for), draw(st.booleans())
    return Situation(now, current, previous, tuple(unsaved), ledger, known, settings, request, is_revoked=is_revoked)


def is_good(seen: Situation, token: Token | None) -> bool:
    """Say whether a token is good, by a second wording of the rule."""
    return (
        token is not None
        and token.client_id in seen.credentials.client_ids
        and (token.token_url, token.audience) == (URL, AUDIENCE)
        and token.expires_at > seen.now
        and not (seen.is_revoked and token is seen.current)
    )


def interval_of(seen: Situation) -> int:
    return seen.settings.limit_interval_seconds + seen.settings.limit_margin_seconds


@BOUNDED
@given(situations(written.map(lambda ledger: replace(ledger, lock=make_lock()))))
def test_nothing_is_done_under_another_runs_lock(seen: Situation) -> None:
    """While another run's lock is ahead, a run keeps what it has or waits, whatever was asked."""
    assert seen.decide().action in {Action.KEEP, Action.LOCKED}


@BOUNDED
@given(situations())
def test_no_client_is_asked_without_a_slot(seen: Situation) -> None:
    """Without an override nobody is asked before `retry_at`, `not_before` or the current token's interval."""
    assume(not seen.request.override_limit)
    decision = seen.decide()
    if decision.action is Action.ACQUIRE:
        assert decision.client
        client_id = decision.client.client_id
        assert max(seen.ledger.retry_at, seen.ledger.slot(client_id).not_before) <= seen.now
        if seen.current and seen.current.client_id == client_id:
            assert seen.current.acquired_at + interval_of(seen) <= seen.now
        assert client_id not in seen.request.asked


@BOUNDED
@given(situations())
def test_only_a_good_token_of_the_primary_is_kept(seen: Situation) -> None:
    """Nothing that consumers can't use, and nothing of another client, counts as fresh."""
    if seen.decide().action is Action.KEEP:
        assert seen.current
        assert is_good(seen, seen.current)
        assert seen.current.client_id == PRIMARY.client_id


@BOUNDED
@given(situations(), st.integers(WINDOW + 2, DAY))
def test_fresh_token_is_always_kept(seen: Situation, left: int) -> None:
    """With a fresh token of the primary and nothing unsaved, no ledger and no previous token brings a run to act."""
    request = replace(seen.request, force=False, override_limit=False)
    fresh = replace(seen, current=make_token(left=left), unsaved=(), request=request, is_revoked=False)
    assert fresh.decide() == Decision(Action.KEEP, "fresh")


@BOUNDED
@given(situations())
def test_only_good_tokens_go_out(seen: Situation) -> None:
    """What is published or brought back is good, and never ends before what it replaces, unless it is fresh."""
    decision = seen.decide()
    if decision.token is None:
        assert decision.action not in {Action.PUBLISH, Action.RESTORE}
        return
    assert is_good(seen, decision.token)
    if decision.action is Action.RESTORE:
        assert decision.token is seen.previous
        assert not is_good(seen, seen.current)
    if decision.action is Action.PUBLISH and seen.current and is_good(seen, seen.current):
        token, current = decision.token, seen.current
        if token.client_id == current.client_id:
            assert token.acquired_at > current.acquired_at
        else:
            is_fresh_primary = token.client_id == PRIMARY.client_id and token.expires_at - seen.now > WINDOW
            assert is_fresh_primary or token.expires_at > current.expires_at


@BOUNDED
@given(situations())
def test_the_standby_is_only_asked_in_need(seen: Situation) -> None:
    """The standby is asked where the current token is not good or nearly over, and never against an override."""
    decision = seen.decide()
    if decision.client == STANDBY:
        assert not seen.request.override_limit
        left = seen.current.expires_at - seen.now if seen.current and is_good(seen, seen.current) else 0
        assert left < max(1, seen.settings.standby_below_seconds)


@BOUNDED
@given(written, credentials, standing)
def test_settling_twice_changes_no_more(ledger: Ledger, known: Credentials, settings: Any) -> None:
    """Once the lock is settled, settling again at the same moment gives the same ledger."""
    once = settle(ledger, NOW, {"this-run"}, known, settings)
    twice = settle(once, NOW, {"this-run"}, known, settings)
    assert settle(twice, NOW, {"this-run"}, known, settings) == twice
    if ledger.lock is None or ledger.lock.until > NOW:
        assert twice == once


@BOUNDED
@given(situations())
def test_settling_twice_decides_the_same(seen: Situation) -> None:
    """Looking again at the same moment, at the ledger as it was settled, leads to the same decision."""
    again = settle(seen.ledger, seen.now, {"this-run"}, seen.credentials, seen.settings)
    assert replace(seen, ledger=again).decide() == seen.decide()


@BOUNDED
@given(written, credentials, standing)
def test_settled_ledger_can_be_true(ledger: Ledger, known: Credentials, settings: Any) -> None:
    """Whatever was written, nothing that is left keeps the keeper out for longer than it can be true."""
    found = settle(ledger, NOW, {"this-run"}, known, settings)
    interval = settings.limit_interval_seconds + 2 * settings.limit_margin_seconds
    assert found.retry_at <= NOW + 3_600
    assert all(slot.not_before <= NOW + max(7_200, interval) for slot in found.slots.values())
    assert found.lock is None or (NOW < found.lock.until <= NOW + 900 and found.lock.run_id == "another-run")
    assert found.failures >= ledger.failures


@BOUNDED
@given(situations(), tokens, clients, errors, st.booleans())
def test_what_is_written_opens_no_slot_earlier(
    seen: Situation, token: Token, client: Client, error: RefreshError, overridden: bool
) -> None:
    """Neither a claim, nor a token, nor an answer without one lowers any slot's `not_before` or forgets a slot."""
    for decision in (Decision(Action.ACQUIRE, "expired", client), Decision(Action.PUBLISH, "unsaved", token=token)):
        claim = seen.claimed("this-run", decision)
        after = seen.published(claim, token), seen.refused(claim, error, client, seen.now, overridden=overridden)
        for ledger in (claim, *after):
            assert all(
                ledger.slot(client_id).not_before >= slot.not_before for client_id, slot in seen.ledger.slots.items()
            )
            assert Ledger.parse(ledger.to_json()) == ledger
            assert json.loads(ledger.to_json())["schema"] == 1
        assert all(ledger.lock is None for ledger in after)


@BOUNDED
@given(situations())
def test_next_due_at_is_when_the_primary_is_asked(seen: Situation) -> None:
    """With nothing at hand and nobody else at it, the primary is asked at that second, and at none before it."""
    seen = replace(seen, previous=None, unsaved=(), request=Request(), credentials=make_credentials())
    seen = replace(seen, ledger=replace(seen.ledger, lock=None), is_revoked=False, now=NOW)
    due_at = seen.next_due_at()
    assert due_at >= NOW
    assert decided(replace(seen, now=due_at))[::2] == (ACQUIRE, PRIMARY)
    for before in (NOW, due_at - 1) if due_at > NOW else ():
        assert replace(seen, now=before).decide().action is not Action.ACQUIRE


@BOUNDED
@given(situations(), st.none() | tokens, times)
def test_no_client_in_use_is_safe_to_deactivate(seen: Situation, previous: Token | None, changed_at: int) -> None:
    """Neither the primary nor the client of a current token is ever named."""
    named = seen.safe_to_deactivate(previous, changed_at)
    assert named != PRIMARY.client_id
    assert named is None or (seen.current and seen.current.client_id == PRIMARY.client_id)


def test_refusals_of_the_table_are_of_their_kind() -> None:
    """The rows above rest on these errors: a refusal for the limit, and one for the credentials."""
    assert isinstance(LIMIT, RateLimited)
    assert isinstance(answered(401), CredentialsRefused)
