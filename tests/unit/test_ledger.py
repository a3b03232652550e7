"""What a ledger that was read counts for now."""

from dataclasses import replace
from typing import Any

import pytest

from handler.ledger import Ledger, Pace, Slot
from handler.model import Credentials

from .builders import (
    ASKED_WITH,
    ASKED_WITH_BEFORE,
    BOTH,
    DAY,
    FORMER,
    HOUR,
    NOW,
    PRIMARY,
    STANDBY,
    make_closed_ledger,
    make_lock,
    make_slot,
    make_terms,
)


def as_of_now(
    ledger: Ledger,
    *own_runs: str,
    credentials: Credentials | None = None,
    **settings: Any,
) -> Ledger:
    return ledger.as_of(NOW, own_runs, make_terms(credentials, **settings))


# What can't be true


@pytest.mark.parametrize(
    ("interval", "margin", "longest"),
    [
        pytest.param(60, 300, DAY, id="a short interval"),
        pytest.param(72_000, 300, DAY, id="an interval and two margins below a day"),
        pytest.param(86_000, 300, 86_600, id="an interval and two margins above a day"),
        pytest.param(86_400, 0, 86_460, id="a margin is at least 30 s"),
    ],
)
@pytest.mark.parametrize(("more", "is_believed"), [(0, True), (1, False)])
def test_slot_closed_for_too_long_is_not_believed(
    interval: int, margin: int, longest: int, more: int, is_believed: bool
) -> None:
    """A `not_before` beyond 24 h, or beyond the interval and two margins, counts as absent."""
    ledger = as_of_now(
        make_closed_ledger(ahead=longest + more, suspicions=2, failures=1, reason="same_token"),
        limit_interval_seconds=interval,
        limit_margin_seconds=margin,
    )
    expected = Slot(suspicions=2, failures=1)
    if is_believed:
        expected = Slot(not_before=NOW + longest, reason="same_token", suspicions=2, failures=1)
    assert ledger.slot(PRIMARY.principal) == expected


@pytest.mark.parametrize("reason", ["backing_off", "credentials_refused"])
def test_own_pause_too_far_ahead_is_not_believed(reason: str) -> None:
    """A pause of our own ends within 24 h."""
    ledger = as_of_now(make_closed_ledger(ahead=DAY + 1, reason=reason))
    assert ledger.slot(PRIMARY.principal) == Slot()


@pytest.mark.parametrize("ahead", [1, 10**12])
def test_claim_ahead_of_now_counts_as_now(ahead: int) -> None:
    """A clock that jumped does not keep `force` from being heard for longer than 10 min."""
    before = Ledger(slots={PRIMARY.principal: Slot(asked_at=NOW + ahead)})
    assert as_of_now(before).slot(PRIMARY.principal).asked_at == NOW


@pytest.mark.parametrize("until", [901, 10**12])
def test_lock_too_far_ahead_is_absent(until: int) -> None:
    """A lock that can't be true locks nobody out, and is neither a failure nor a suspicion."""
    assert as_of_now(Ledger(lock=make_lock(until=until))) == Ledger()


# Locks


@pytest.mark.parametrize("until", [0, -1, -DAY])
def test_lapsed_lock_is_a_failure_and_a_suspicion(until: int) -> None:
    """A run that claimed and vanished has failed, and may have spent its principal's slot."""
    before = Ledger(
        lock=make_lock(until=until),
        slots={PRIMARY.principal: make_slot(suspicions=1, failures=1, error="VendorError")},
    )
    assert as_of_now(before) == Ledger(
        slots={PRIMARY.principal: make_slot(suspicions=2, failures=2, error="OutcomeUnknown")},
    )


def test_lapsed_lock_of_an_unknown_slot_is_a_suspicion() -> None:
    """The suspicion is noted for a principal that had no slot yet."""
    ledger = as_of_now(Ledger(lock=make_lock(until=0)))
    assert ledger.slots == {PRIMARY.principal: Slot(suspicions=1, failures=1, error="OutcomeUnknown")}


def test_lapsed_lock_counts_for_its_own_principal_alone() -> None:
    """The standby's run that died is no failure of the primary."""
    before = Ledger(
        lock=make_lock(client=STANDBY, until=0),
        slots={PRIMARY.principal: Slot(failures=2)},
    )
    after = as_of_now(before, credentials=BOTH)
    assert after.slot(PRIMARY.principal) == Slot(failures=2)
    assert after.slot(STANDBY.principal) == Slot(suspicions=1, failures=1, error="OutcomeUnknown")


def test_lapsed_lock_without_a_principal_is_nothing() -> None:
    """A claim to publish a token at hand asked nobody: it is neither a failure nor a suspicion."""
    slots = {PRIMARY.principal: Slot(failures=2)}
    before = Ledger(lock=make_lock(client=None, until=0), slots=slots)
    assert as_of_now(before) == Ledger(slots=slots)


def test_own_lapsed_lock_counts_like_any_other() -> None:
    """A process that could not even release its lock has failed as well."""
    after = as_of_now(Ledger(lock=make_lock(until=0)), "another-run")
    assert after.slot(PRIMARY.principal).failures == 1


@pytest.mark.parametrize("age", [600, 60])
def test_third_failure_by_a_lapsed_lock_backs_off_from_its_claim(age: int) -> None:
    """The failure counts from the claim, so the wait for the lock is part of the 45 min."""
    before = Ledger(
        lock=make_lock(age=age, until=0),
        slots={PRIMARY.principal: Slot(failures=2)},
    )
    slot = as_of_now(before).slot(PRIMARY.principal)
    assert slot.failures == 3
    assert slot.not_before == NOW - age + 2_700
    assert slot.reason == "backing_off"


@pytest.mark.parametrize("failures", [1, 3])
def test_lapsed_lock_does_not_end_the_pauses_of_refused_credentials(failures: int) -> None:
    """A run that died says nothing of the password: the next request comes an hour after its claim, and not sooner."""
    claimed_at = NOW - 300
    refused = make_slot(
        ahead=-600,
        asked_at=claimed_at,
        failures=failures,
        reason="credentials_refused",
    )
    before = Ledger(lock=make_lock(age=300, until=0), slots={PRIMARY.principal: refused})
    slot = as_of_now(before).slot(PRIMARY.principal)
    assert slot.not_before >= claimed_at + HOUR
    assert slot.reason == "credentials_refused"


def test_lapsed_lock_ahead_of_now_counts_from_now() -> None:
    """A claim that says that it is yet to come can't close a slot for longer than one that is new."""
    before = Ledger(
        lock=make_lock(age=-10_000, until=0),
        slots={PRIMARY.principal: Slot(failures=2)},
    )
    assert as_of_now(before).slot(PRIMARY.principal).not_before == NOW + 2_700


def test_lapsed_lock_opens_no_slot_earlier() -> None:
    """A `not_before` that is already later stays, with its reason."""
    slot = make_slot(ahead=HOUR, reason="rate_limited", failures=2)
    before = Ledger(lock=make_lock(until=0), slots={PRIMARY.principal: slot})
    after = as_of_now(before).slot(PRIMARY.principal)
    assert after == replace(slot, failures=3, suspicions=1, error="OutcomeUnknown")


LOCKED = Ledger(
    lock=make_lock(until=60),
    slots={PRIMARY.principal: make_slot(suspicions=1, failures=1)},
    pace=Pace(level=2, at=NOW - 60),
)


@pytest.mark.parametrize(
    ("own_runs", "expected"),
    [((), LOCKED), (("another-run",), replace(LOCKED, lock=None))],
)
def test_lock_that_has_not_lapsed_is_no_failure(own_runs: tuple[str, ...], expected: Ledger) -> None:
    """A lock that still holds is neither a failure nor a suspicion. One's own lock is left out."""
    assert as_of_now(LOCKED, *own_runs) == expected


# Slots


def test_slot_of_a_former_principal_stays_until_it_opens() -> None:
    """A principal that is no longer configured is not forgotten before its slot opens."""
    slots = {
        FORMER.principal: make_slot(ahead=1, suspicions=1),
        PRIMARY.principal: Slot(suspicions=1),
    }
    assert as_of_now(Ledger(slots=slots)).slots == slots


def test_slot_of_a_former_principal_goes_when_it_opens() -> None:
    """Afterwards that principal is forgotten, with what was suspected of it."""
    slots = {
        FORMER.principal: make_slot(ahead=0, suspicions=1),
        PRIMARY.principal: Slot(suspicions=1),
    }
    assert as_of_now(Ledger(slots=slots)).slots == {PRIMARY.principal: Slot(suspicions=1)}


def test_slots_of_at_most_four_former_principals_are_kept() -> None:
    """Of the closed slots the latest four stay, next to those of the configured principals."""
    slots = {f"former-{9 - ahead}": make_slot(ahead=ahead) for ahead in (3, 1, 5, 2, 4, 6)}
    slots[PRIMARY.principal] = Slot(suspicions=1)
    slots[STANDBY.principal] = make_slot(ahead=1)
    expected = {"former-6", "former-5", "former-4", "former-3", PRIMARY.principal, STANDBY.principal}
    assert set(as_of_now(Ledger(slots=slots), credentials=BOTH).slots) == expected


def test_slot_of_a_former_principal_with_a_long_name_is_not_kept() -> None:
    """Whoever writes it by hand must not make the next publish too long for a secret."""
    longest = "x" * 200
    slots = {longest: make_slot(ahead=1), longest + "x": make_slot(ahead=2)}
    assert set(as_of_now(Ledger(slots=slots)).slots) == {longest}


def test_slots_of_configured_principals_keep_their_suspicions() -> None:
    """A slot may be open again. What suggests that it was spent still counts."""
    slot = make_slot(ahead=-1, suspicions=2)
    before = Ledger(slots={PRIMARY.principal: slot, STANDBY.principal: slot})
    after = as_of_now(before, credentials=BOTH)
    assert len(after.slots) == 2
    for client in (PRIMARY, STANDBY):
        assert after.slot(client.principal).not_before <= NOW
        assert after.slot(client.principal).suspicions == 2


OWN_PAUSES = pytest.mark.parametrize("reason", ["credentials_refused", "backing_off"])


@OWN_PAUSES
@pytest.mark.parametrize("ahead", [-1, 60])
@pytest.mark.parametrize("asked_with", [ASKED_WITH, None])
def test_pause_is_remembered_for_the_same_request(reason: str, ahead: int, asked_with: str | None) -> None:
    """A pause counts while the request is the same. Its count of failures outlives it.

    A slot that does not say what was asked with differs from nothing.
    """
    paused = make_closed_ledger(ahead=ahead, reason=reason, failures=3, asked_with=asked_with)
    assert as_of_now(paused) == paused


@OWN_PAUSES
@pytest.mark.parametrize("ahead", [-1, 60])
@pytest.mark.parametrize(
    "changes",
    [
        {"credentials": replace(BOTH, version_id="version-2")},
        {"token_url": "https://auth.example/token"},
        {"audience": ""},
        {"scope": "raas.other"},
        {"client_auth": "client_secret_basic"},
    ],
    ids=["credentials", "TOKEN_URL", "AUDIENCE", "SCOPE", "CLIENT_AUTH"],
)
def test_pause_is_forgotten_for_another_request(reason: str, ahead: int, changes: dict[str, Any]) -> None:
    """Nothing is held against what the vendor has not been asked. The suspicions stay."""
    paused = make_closed_ledger(
        ahead=ahead,
        reason=reason,
        failures=3,
        suspicions=2,
        asked_with=make_terms(BOTH).asked_with,
    )
    after = as_of_now(paused, **changes).slot(PRIMARY.principal)
    assert after.not_before == 0
    assert after.reason is None
    assert after.failures == 0
    assert after.suspicions == 2


@pytest.mark.parametrize(
    "changes",
    [{"probe_url": "https://api.example/"}, {"refresh_window_seconds": 60}, {"acquire_timeout_seconds": 60}],
)
def test_setting_that_does_not_shape_the_request_forgets_nothing(changes: dict[str, Any]) -> None:
    """If the request is the same as before, the vendor would answer the same."""
    paused = make_closed_ledger(reason="credentials_refused", asked_with=ASKED_WITH)
    assert as_of_now(paused, **changes) == paused


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited", "same_token"])
def test_another_request_opens_no_slot_that_is_closed_for_the_limit(reason: str) -> None:
    """The limit does not depend on how it is asked."""
    limited = make_closed_ledger(reason=reason, asked_with=ASKED_WITH_BEFORE)
    assert as_of_now(limited) == limited


# The pace of claims


@pytest.mark.parametrize(
    ("level", "age", "expected"),
    [
        pytest.param(0, 0, 0, id="at once"),
        pytest.param(0, 2_400, 1, id="one per 40 min"),
        pytest.param(-2, 4_800, 0, id="from the lowest level"),
        pytest.param(7.5, 2_400, 8, id="never more than 8"),
        pytest.param(0, 10 * DAY, 8, id="after a long time"),
        pytest.param(3, -60, 3, id="a time ahead of now counts as now"),
        pytest.param(3, -(10**9), 3, id="far ahead"),
    ],
)
def test_level_of_the_pace(level: float, age: int, expected: float) -> None:
    """A claim is regained every 40 min, up to 8."""
    assert Pace(level=level, at=NOW - age).level_at(NOW) == pytest.approx(expected)


def test_new_ledger_has_eight_claims() -> None:
    """The first day is no worse than any other."""
    assert Ledger().pace.level_at(NOW) == 8


@pytest.mark.parametrize(("level", "expected"), [(8, 7), (1, 0), (0.5, -0.5), (-1, -2), (-1.5, -2), (-2, -2)])
def test_each_claim_takes_one(level: float, expected: float) -> None:
    """A claim takes one from the level, down to -2."""
    assert Pace(level=level, at=NOW).after_claim(NOW + 0.75) == Pace(
        level=pytest.approx(expected, abs=0.001),  # type: ignore[arg-type]
        at=NOW,
    )


@pytest.mark.parametrize(
    ("level", "needed", "ahead"),
    [(1, 1, 0), (0, 1, 2_400), (0.5, 1, 1_200), (-2, 1, 7_200), (3, 4, 2_400), (-2, -1, 2_400)],
)
def test_pace_tells_when_it_suffices(level: float, needed: float, ahead: int) -> None:
    """At that second the level is enough, and a second before it is not."""
    pace = Pace(level=level, at=NOW)
    at = pace.suffices_at(needed, NOW)
    assert at == NOW + ahead
    assert pace.level_at(at) >= needed
    if ahead:
        assert pace.level_at(at - 1) < needed


@pytest.mark.parametrize("ahead", [1, 60, 300])
def test_pace_that_is_a_little_ahead_tells_when_it_suffices(ahead: int) -> None:
    """Clocks differ. At the second that was told the level is enough all the same."""
    pace = Pace(level=0, at=NOW + ahead)
    at = pace.suffices_at(1, NOW)
    assert pace.level_at(at) >= 1


def test_pace_that_is_ahead_and_suffices_does_so_now() -> None:
    """Whoever asks when to claim need not wait for a clock that is ahead."""
    assert Pace(level=1, at=NOW + 60).suffices_at(1, NOW + 0.5) == NOW


@pytest.mark.parametrize(("ahead", "level"), [(300, -2), (301, 8)])
def test_pace_is_believed_as_far_as_clocks_differ(ahead: int, level: float) -> None:
    """One that is further ahead than the margin counts as a new one."""
    before = Ledger(pace=Pace(level=-2, at=NOW + ahead))
    assert as_of_now(before, limit_margin_seconds=300).pace.level_at(NOW) == level


@pytest.mark.parametrize("ahead", [DAY, 10**9])
def test_pace_that_is_far_ahead_keeps_nobody_out(ahead: int) -> None:
    """A clock that jumped, or a mistake of a person, must not stop the refresh for longer than can be true."""
    before = Ledger(pace=Pace(level=-2, at=NOW + ahead))
    later = NOW + 2 * HOUR
    assert before.as_of(later, (), make_terms()).pace.level_at(later) >= 1
