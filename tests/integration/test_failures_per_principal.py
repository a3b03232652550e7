"""Failures are counted per principal: the standby also helps when the vendor fails rather than refuses."""

from __future__ import annotations

import pytest

from local.emulators.faults import Fault
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    DAY,
    DOWN,
    GREEN,
    HOUR,
    LIMITED,
    MINUTE,
    REFUSED,
    acquire_token,
    has_good_token,
    now,
    run,
    run_as_lambda,
    slot_of,
)
from tests.integration.traffic import record_traffic

RETRY_LATER = Fault.answer(429, headers={"Retry-After": "86400"})
SERVER_ERROR = Fault.answer(500)
NO_CODE = Fault.answer(403, "<html>Forbidden</html>", headers={"Content-Type": "text/html"})
INVALID_SCOPE = Fault.answer(400, {"error": "invalid_scope"})
INVALID_CLIENT_ID = Fault.answer(400, {"error": "invalid_client_id"})

# By the primary's answer: after how many minutes at the latest there is a token, and for how many hours it is
# watched. A refusal is known at once. Other failures back off from the third on, and Lambda's retries come 1 and
# 3 minutes after a tick.
TROUBLES = {
    "429 with Retry-After": (RETRY_LATER, 0, 26),
    "429 with a short Retry-After": (Fault.answer(429, headers={"Retry-After": "60"}), 0, 4),
    "500": (SERVER_ERROR, 64, 26),
    "503 with Retry-After": (Fault.answer(503, headers={"Retry-After": "3600"}), 1, 4),
    "403 without a code": (NO_CODE, 64, 4),
    "invalid_scope": (INVALID_SCOPE, 64, 4),
    "invalid_client_id": (INVALID_CLIENT_ID, 0, 4),
}


@pytest.mark.parametrize(("fault", "minutes", "hours"), TROUBLES.values(), ids=TROUBLES)
def test_standby_is_asked_as_soon_as_the_primary_backs_off(
    standby_world: World, fault: Fault, minutes: int, hours: int
) -> None:
    """Hours without a token of the primary, with Lambda's retries: the idle standby keeps consumers going."""
    standby_world.vendor.client_outages[BLUE] = fault
    began = now(standby_world)
    for hour in range(hours):
        standby_world.clock.advance(began + hour * HOUR - now(standby_world))
        run_as_lambda(standby_world)
        if hour * 60 >= minutes:
            assert has_good_token(standby_world), hour
            assert standby_world.consume() == 200
    first = standby_world.vendor.issued[0]
    assert first.client_id == GREEN
    assert first.at - began <= minutes * MINUTE


@pytest.mark.parametrize("fault", [SERVER_ERROR, NO_CODE, INVALID_SCOPE], ids=["500", "403", "invalid_scope"])
def test_standby_is_asked_in_the_next_run_after_the_third_failure(standby_world: World, fault: Fault) -> None:
    """Three failures in a row close the primary's slot. The next run finds it so, and asks the standby."""
    standby_world.vendor.client_outages[BLUE] = fault
    for _ in range(3):
        assert run(standby_world)[0].isupper()
    assert slot_of(standby_world)["reason"] == "backing_off"
    with record_traffic(standby_world) as traffic:
        result = standby_world.invoke()
    assert result["outcome"] == "refreshed"
    assert [request.client_id for request in traffic.vendor] == [GREEN]


def test_standby_is_asked_in_the_run_in_which_the_primary_is_told_to_wait(standby_world: World) -> None:
    """A 429 is a refusal like any other."""
    standby_world.vendor.client_outages[BLUE] = RETRY_LATER
    with record_traffic(standby_world) as traffic:
        assert run(standby_world) == "refreshed"
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]


@pytest.mark.parametrize("fault", [RETRY_LATER, DOWN, REFUSED, LIMITED], ids=["429", "503", "401", "limit"])
def test_standby_is_left_alone_while_the_current_token_lives_long_enough(standby_world: World, fault: Fault) -> None:
    """The primary backs off in its window, with hours left: the standby's slot is for need."""
    acquire_token(standby_world, 20.5 * HOUR)
    standby_world.vendor.client_outages[BLUE] = fault
    for _ in range(4):
        run(standby_world)
    assert {request.client_id for request in standby_world.vendor.requests} == {BLUE}


def test_failures_of_the_standby_are_not_the_primarys(standby_world: World) -> None:
    """Both fail; the primary, well again, is asked as soon as its own pause is over."""
    standby_world.vendor.outage = DOWN
    for _ in range(12):
        run_as_lambda(standby_world)
        standby_world.clock.advance(HOUR - 3 * MINUTE)
    opens_at = slot_of(standby_world, BLUE)["not_before"]
    assert opens_at - now(standby_world) < 45 * MINUTE
    standby_world.vendor.outage = None
    standby_world.clock.advance(max(0, opens_at - now(standby_world)))
    assert run(standby_world) == "refreshed"
    assert standby_world.token()["client_id"] == BLUE


def test_primary_is_asked_again_while_the_standbys_token_is_out(standby_world: World) -> None:
    """Once the vendor is well again, the primary's token replaces the standby's within an hour."""
    standby_world.vendor.client_outages[BLUE] = SERVER_ERROR
    for _ in range(3):
        run_as_lambda(standby_world)
        standby_world.clock.advance(HOUR)
    assert standby_world.token()["client_id"] == GREEN
    del standby_world.vendor.client_outages[BLUE]
    standby_world.clock.advance(HOUR)
    assert run(standby_world) == "refreshed"
    assert standby_world.token()["client_id"] == BLUE
    standby_world.clock.advance(DAY)


def test_vendor_that_is_well_again_is_asked_at_once_after_a_day_of_429(world: World) -> None:
    """A pace of claims, not a cap: 30 hours of refusals do not keep the first new token back."""
    world.vendor.outage = Fault.answer(429, headers={"Retry-After": "0"})
    for _ in range(30):
        run_as_lambda(world)
        world.clock.advance(HOUR - 3 * MINUTE)
    world.vendor.outage = None
    began = now(world)
    while "refreshed" not in run_as_lambda(world):
        world.clock.advance(HOUR - 3 * MINUTE)
    assert now(world) - began <= HOUR
