"""The time that a run takes to acquire a token, and how it publishes the token in spite of failed writes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from handler.errors import Busy, RefreshError, StoreError, VendorUnreachable
from local.emulators.secrets_manager import CUT, LOST_ANSWER, AwsFault
from local.emulators.world import TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    INTERVAL,
    LEDGER,
    MINUTE,
    NOT_SAVED,
    acquire_token,
    asked_slot,
    labels,
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    write_ledger,
)
from tests.integration.traffic import (
    do_at_calls,
    do_at_vendor,
    fail_publishes,
    is_claim,
    metrics,
    once,
    record_traffic,
)


@pytest.mark.parametrize(
    ("settings", "timeout", "claim_takes", "attempts_take"),
    [
        ({}, 420, 0, 7),
        ({"ACQUIRE_TIMEOUT_SECONDS": "6"}, 420, 0, 3),
        ({"ACQUIRE_TIMEOUT_SECONDS": "12"}, 420, 6, 3),
        ({}, 45, 10, 3),
    ],
)
def test_acquire_keeps_to_its_time(
    world: World, settings: dict[str, str], timeout: int, claim_takes: int, attempts_take: int
) -> None:
    """The acquire ends ACQUIRE_TIMEOUT_SECONDS after the claim, and leaves the reserve of the run's own time."""
    world.vendor.stop()
    do_at_calls(world, is_claim, once(lambda: world.clock.advance(claim_takes)), moment="after")
    began = now(world)
    with pytest.raises(VendorUnreachable):
        world.invoke(process=world.process(**settings), timeout=timeout)
    assert now(world) - began == claim_takes + attempts_take


def test_expiry_counts_from_the_moment_before_the_request(world: World) -> None:
    """The expiry counts from before the request, the slot from the arrival of the answer."""
    do_at_vendor(world, "received", lambda: world.clock.advance(20))
    began = now(world)
    world.invoke()
    assert world.token()["expires_at"] == began + DAY
    assert world.token()["acquired_at"] == began + 20
    assert slot_of(world)["not_before"] == began + 20 + INTERVAL


def test_publication_is_repeated_under_the_same_id_and_bytes(world: World) -> None:
    """A failed write may have succeeded. A repeat under the same id and with the same bytes does no harm."""
    fail_publishes(world, times=3)
    began = now(world)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    puts = [call.params for call in traffic.publishes]
    assert len(puts) == 4
    assert len({(put["ClientRequestToken"], put["SecretString"]) for put in puts}) == 1
    pauses = [later.at - earlier.at for earlier, later in pairwise(traffic.publishes)]
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert now(world) - began < MINUTE


@pytest.mark.parametrize(
    ("timeout", "answer_takes", "max_seconds"),
    [(420, 0, 150), (420, 6.5, 150), (60, 0, 58), (60, 2.5, 58)],
)
def test_write_never_outlives_its_lock_nor_the_run(
    world: World, timeout: int, answer_takes: float, max_seconds: int
) -> None:
    """The last attempt is made half a minute before the lock lapses, or two seconds before the run ends.

    After these answers an attempt would be due at that very moment, and is not made.
    """
    do_at_vendor(world, "received", once(lambda: world.clock.advance(answer_takes)))
    fail_publishes(world)
    began = now(world)
    with record_traffic(world) as traffic, pytest.raises(StoreError):
        world.invoke(timeout=timeout)
    times = [call.at - began for call in traffic.publishes]
    assert max_seconds - 10 <= times[-1] < max_seconds
    assert len(times) < 30
    assert now(world) - began <= max_seconds


def test_publication_has_the_reserve_after_a_long_acquire(world: World) -> None:
    """However long the vendor took, the reserve is left to save the token."""
    do_at_vendor(world, "received", lambda: world.clock.advance(119))
    fail_publishes(world, times=5)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_publication_that_comes_too_late_is_not_made(world: World) -> None:
    """A token that arrives shortly before the lock lapses stays in the process, and its next run saves it."""
    process = world.process()
    do_at_vendor(world, "received", lambda: world.clock.advance(151))
    with record_traffic(world) as traffic, pytest.raises(StoreError, match=r"^no time is left for it") as caught:
        world.invoke(process=process)
    assert caught.value.code == "TooLate"
    assert traffic.publishes == []
    assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")


def test_publication_closes_the_slot_and_clears_failures(world: World) -> None:
    """A token ends every suspicion and every back-off."""
    write_ledger(world, slots={BLUE: slot(0, None, 3, failures=4, error="VendorError")})
    world.invoke()
    assert ledger(world) == {
        "lock": None,
        "slots": {BLUE: asked_slot(now(world) + INTERVAL, "limit_interval")},
        "pace": {"level": 7, "at": now(world)},
    }


@pytest.mark.parametrize("fault", [LOST_ANSWER, CUT], ids=["lost", "cut"])
@pytest.mark.parametrize(
    ("operation", "number"),
    [
        ("BatchGetSecretValue", 1),
        ("PutSecretValue", 1),  # the seed
        ("PutSecretValue", 2),  # the claim
        ("UpdateSecretVersionStage", 1),  # its move
        ("PutSecretValue", 3),  # the publication
    ],
)
def test_lost_answer_of_aws_changes_nothing(world: World, operation: str, number: int, fault: AwsFault) -> None:
    """One token is acquired and published, whether AWS processed the unanswered call or never received it."""
    calls_before = [None] * (number - 1)
    world.secrets.fail(operation, *calls_before, fault)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert [request.issued for request in world.vendor.requests] == [True]
    assert len(world.secrets.versions(TOKEN_SECRET)) == 3
    assert labels(world)[CURRENT] == labels(world)[LEDGER]
    assert world.consume() == 200


def test_publication_whose_answers_are_all_lost_is_found_to_have_succeeded(world: World) -> None:
    """If boto3 has given up too, the repeat finds that the version is already there."""
    fail_publishes(world, times=3, fault=LOST_ANSWER)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert len(world.secrets.versions(TOKEN_SECRET)) == 3


@pytest.mark.parametrize(
    ("operation", "error"),
    [("PutSecretValue", StoreError), ("UpdateSecretVersionStage", Busy)],
)
def test_store_that_can_not_be_written_costs_no_slot(world: World, operation: str, error: type[RefreshError]) -> None:
    """The claim proves that the store can be written before the vendor is asked.

    A refused move looks like a lost race, since AWS does not document how it refuses.
    """
    token = acquire_token(world, INTERVAL)
    world.secrets.fail(operation, *[NOT_SAVED] * 5)
    with record_traffic(world) as traffic, pytest.raises(error):
        world.invoke()
    assert traffic.vendor == []
    assert metrics(world) == {"TokenSecondsRemaining": token["expires_at"] - now(world), "Failed": 1}
