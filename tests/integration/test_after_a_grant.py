"""What is known of a slot after a token: the latest request says more than any pause from before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.emulators.faults import Fault
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    LIMITED,
    MINUTE,
    NO_LIMIT,
    OVERRIDE,
    REFUSED,
    STATUS,
    acquire_token,
    another_runs_lock,
    has_good_token,
    now,
    run,
    slot_of,
    world_with_vendor,
    write,
    write_ledger,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.emulators.clock import Clock
    from local.emulators.world import World

ASK_AGAIN_TOMORROW = Fault.answer(429, headers={"Retry-After": str(DAY)})


@pytest.fixture
def short_world(clock: Clock) -> Iterator[World]:
    """Tokens of one hour, and no limit."""
    with world_with_vendor(clock, interval=0, lifetime=HOUR) as made:
        yield made


@pytest.mark.parametrize(
    ("refusal", "event"),
    [(REFUSED, FORCE), (ASK_AGAIN_TOMORROW, OVERRIDE)],
    ids=["refused credentials, and force", "429, and an override"],
)
def test_token_that_was_asked_for_over_a_pause_ends_the_pause(
    short_world: World, refusal: Fault, event: dict[str, object]
) -> None:
    """The vendor grants again, so the next refreshes go on in time."""
    process = short_world.process(**NO_LIMIT)
    short_world.vendor.outage = refusal
    assert run(short_world, process=process) in {"CredentialsRefused", "RateLimited"}
    short_world.vendor.outage = None
    short_world.clock.advance(20 * MINUTE)
    result = short_world.invoke(event, process)
    assert result["outcome"] == "refreshed"
    assert result["not_before"] == slot_of(short_world)["not_before"] <= now(short_world)
    for _ in range(6):
        short_world.clock.advance(50 * MINUTE)
        assert run(short_world, process=process) == "refreshed"
        assert has_good_token(short_world)


def test_older_token_that_comes_back_says_nothing_of_the_last_request(world: World) -> None:
    """An answer was lost, so the slot is under suspicion, and stays so: nobody asks in vain after 15 minutes."""
    acquire_token(world, INTERVAL)
    world.vendor.script(Fault.cut(issues=True))
    assert run(world) == "OutcomeUnknown"
    before = slot_of(world)
    write(world, "oops", CURRENT)
    assert run(world) == "recovered"
    after = slot_of(world)
    assert (after["suspicions"], after["failures"], after["error"]) == (1, 1, "OutcomeUnknown")
    assert after["not_before"] >= before["not_before"]
    world.vendor.outage = LIMITED
    assert run(world) == "waiting"
    assert slot_of(world)["not_before"] == now(world) + INTERVAL


def test_old_client_is_not_safe_to_deactivate_while_caches_may_hold_its_token(standby_world: World) -> None:
    """A token that came back was put long after it was acquired: consumers read the other one until then."""
    standby_world.put_credentials(GREEN)
    assert run(standby_world) == "refreshed"
    older = standby_world.token()
    standby_world.clock.advance(HOUR)
    standby_world.put_credentials(BLUE, GREEN)
    assert run(standby_world) == "refreshed"
    standby_world.clock.advance(19.4 * HOUR)
    write(standby_world, older, CURRENT)
    standby_world.clock.advance(HOUR / 2)
    assert run(standby_world) == "recovered"
    standby_world.clock.advance(HOUR / 5)
    assert run(standby_world) == "refreshed"
    assert standby_world.invoke(STATUS)["safe_to_deactivate"] is None
    standby_world.clock.advance(HOUR)
    assert standby_world.invoke(STATUS)["safe_to_deactivate"] == GREEN


def test_corrected_secret_counts_next_to_a_lapsed_lock(world: World) -> None:
    """Three failures, the last one a killed run: whoever corrects the secret is asked at once all the same."""
    world.vendor.script(Fault.cut(issues=False), Fault.cut(issues=False))
    assert run(world) == "OutcomeUnknown"
    assert run(world) == "OutcomeUnknown"
    lapsed = another_runs_lock(world, age=5 * MINUTE, remaining=-MINUTE)
    write_ledger(world, lock=lapsed, slots={BLUE: slot_of(world)})
    world.put_credentials(BLUE)
    assert run(world) == "refreshed"
