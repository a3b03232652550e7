"""What a ledger that was read counts for now."""

from dataclasses import replace
from typing import Any

import pytest

from handler.ledger import Ledger, Slot
from handler.model import Credentials

from .builders import (
    BOTH,
    DAY,
    FORMER,
    NOW,
    PRIMARY,
    STANDBY,
    make_closed_ledger,
    make_credentials,
    make_lock,
    make_settings,
    make_slot,
)


def as_of_now(
    ledger: Ledger,
    *own_runs: str,
    credentials: Credentials | None = None,
    **settings: Any,
) -> Ledger:
    return ledger.as_of(
        NOW,
        own_runs,
        credentials or make_credentials(),
        make_settings(**settings),
    )


# What can't be true


@pytest.mark.parametrize(("interval", "longest"), [(60, 7_200), (72_000, 72_600)])
@pytest.mark.parametrize(("more", "is_believed"), [(0, True), (1, False)])
def test_slot_closed_for_too_long_is_not_believed(interval: int, longest: int, more: int, is_believed: bool) -> None:
    """A `not_before` beyond 2 h, or beyond the interval and two margins, counts as absent."""
    ledger = as_of_now(
        make_closed_ledger(ahead=longest + more, suspicions=2),
        limit_interval_seconds=interval,
    )
    expected = Slot(suspicions=2)
    if is_believed:
        expected = Slot(not_before=NOW + longest, reason="rate_limited", suspicions=2)
    assert ledger.slot(PRIMARY.client_id) == expected


@pytest.mark.parametrize(
    ("ahead", "retry_at"),
    [
        (-1, 0),
        (0, 0),
        (1, NOW + 1),
        (3_600, NOW + 3_600),
        (3_601, 0),
        (10**12, 0),
    ],
)
def test_retry_at_too_far_ahead_is_not_believed(ahead: int, retry_at: int) -> None:
    """Backing off for more than 1 h counts as not backing off."""
    ledger = as_of_now(Ledger(failures=3, retry_at=NOW + ahead))
    assert ledger == Ledger(failures=3, retry_at=retry_at)


@pytest.mark.parametrize("until", [901, 10**12])
def test_lock_too_far_ahead_is_absent(until: int) -> None:
    """A lock that can't be true locks nobody out, and is neither a failure nor a suspicion."""
    assert as_of_now(Ledger(lock=make_lock(until=until))) == Ledger()


# Locks


@pytest.mark.parametrize("until", [0, -1, -DAY])
def test_lapsed_lock_is_a_failure_and_a_suspicion(until: int) -> None:
    """A run that claimed and vanished has failed, and may have spent its client's slot."""
    before = Ledger(
        lock=make_lock(until=until),
        failures=1,
        slots={PRIMARY.client_id: make_slot(suspicions=1)},
    )
    assert as_of_now(before) == Ledger(
        failures=2,
        slots={PRIMARY.client_id: make_slot(suspicions=2)},
    )


def test_lapsed_lock_of_an_unknown_slot_is_a_suspicion() -> None:
    """The suspicion is noted for a client that had no slot yet."""
    ledger = as_of_now(Ledger(lock=make_lock(until=0)))
    assert ledger.slot(PRIMARY.client_id).suspicions == 1


def test_lapsed_lock_without_a_client_is_a_failure_alone() -> None:
    """A claim to publish a token at hand asked nobody, so it can't have spent a slot."""
    assert as_of_now(Ledger(lock=make_lock(client=None, until=0))) == Ledger(failures=1)


def test_own_lapsed_lock_counts_like_any_other() -> None:
    """A process that could not even release its lock has failed as well."""
    assert as_of_now(Ledger(lock=make_lock(until=0)), "another-run").failures == 1


@pytest.mark.parametrize("age", [600, 60])
def test_third_failure_by_a_lapsed_lock_backs_off_from_its_claim(age: int) -> None:
    """The failure counts from the claim, so the wait for the lock is part of the 45 min."""
    ledger = as_of_now(Ledger(lock=make_lock(age=age, until=0), failures=2))
    assert ledger.failures == 3
    assert ledger.retry_at == NOW - age + 2_700


def test_lapsed_lock_does_not_shorten_the_backing_off() -> None:
    """A `retry_at` that is already later stays."""
    before = Ledger(lock=make_lock(until=0), failures=2, retry_at=NOW + 3_600)
    assert as_of_now(before).retry_at == NOW + 3_600


LOCKED = Ledger(
    lock=make_lock(until=60),
    failures=1,
    retry_at=NOW + 60,
    slots={PRIMARY.client_id: make_slot(suspicions=1)},
)


@pytest.mark.parametrize(
    ("own_runs", "expected"),
    [((), LOCKED), (("another-run",), replace(LOCKED, lock=None))],
)
def test_lock_that_has_not_lapsed_is_no_failure(own_runs: tuple[str, ...], expected: Ledger) -> None:
    """A lock that still holds is neither a failure nor a suspicion. One's own lock is left out."""
    assert as_of_now(LOCKED, *own_runs) == expected


# Slots


def test_slot_of_a_former_client_stays_until_it_opens() -> None:
    """A client that is no longer configured is not forgotten before its slot opens."""
    slots = {
        FORMER.client_id: make_slot(ahead=1, suspicions=1),
        PRIMARY.client_id: Slot(suspicions=1),
    }
    assert as_of_now(Ledger(slots=slots)).slots == slots


def test_slot_of_a_former_client_goes_when_it_opens() -> None:
    """Afterwards that client is forgotten, with what was suspected of it."""
    slots = {
        FORMER.client_id: make_slot(ahead=0, suspicions=1),
        PRIMARY.client_id: Slot(suspicions=1),
    }
    assert as_of_now(Ledger(slots=slots)).slots == {PRIMARY.client_id: Slot(suspicions=1)}


def test_slots_of_configured_clients_keep_their_suspicions() -> None:
    """A slot may be open again. What suggests that it was spent still counts."""
    slot = make_slot(ahead=-1, suspicions=2)
    before = Ledger(slots={PRIMARY.client_id: slot, STANDBY.client_id: slot})
    after = as_of_now(before, credentials=BOTH)
    assert len(after.slots) == 2
    for client in (PRIMARY, STANDBY):
        assert after.slot(client.client_id).not_before <= NOW
        assert after.slot(client.client_id).suspicions == 2


def test_refusal_is_remembered_after_its_time() -> None:
    """A slot that has opened still says which credentials were refused."""
    past = make_closed_ledger(
        ahead=-1,
        reason="credentials_refused",
        credentials_version="version-1",
    )
    assert as_of_now(past) == past


def test_refusal_is_forgotten_with_another_version_of_the_secret() -> None:
    """Nothing is held against credentials that the vendor has not refused."""
    past = make_closed_ledger(
        ahead=-1,
        reason="credentials_refused",
        credentials_version="version-1",
    )
    credentials = make_credentials(version_id="version-2")
    after = as_of_now(past, credentials=credentials)
    assert after == Ledger(slots={PRIMARY.client_id: Slot()})
