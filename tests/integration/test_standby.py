"""The standby client: when it is asked, and when its token is replaced."""

from __future__ import annotations

import pytest

from handler.errors import CredentialsRefused, OutcomeUnknown, RateLimited, VendorError
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    DAY,
    DOWN,
    GREEN,
    HOUR,
    INTERVAL,
    LIMITED,
    NOT_SAVED,
    REFUSED,
    acquire_token,
    ledger,
    now,
    outcome_and_reason,
    slot,
    slot_of,
    write_ledger,
)
from tests.integration.traffic import do_at_vendor, logged, metrics, once, record_traffic


@pytest.mark.parametrize(
    ("remaining", "expected", "client_id", "used"),
    [
        (9_000, ("waiting", "rate_limited"), BLUE, []),
        (8_999, ("refreshed", "expiring"), GREEN, [GREEN]),
    ],
)
def test_standby_steps_in_when_life_is_short(
    standby_world: World, remaining: int, expected: tuple[str, str], client_id: str, used: list[str]
) -> None:
    """The standby is asked if the primary has no slot and less than STANDBY_BELOW_SECONDS are left."""
    acquire_token(standby_world, DAY - remaining)
    write_ledger(standby_world, slots={BLUE: slot(now(standby_world) + HOUR, "rate_limited")})
    result = standby_world.invoke()
    assert outcome_and_reason(result) == expected
    assert result["client_id"] == client_id
    assert ("StandbyUsed" in metrics(standby_world)) == (client_id == GREEN)
    assert [line["principal"] for line in logged(standby_world, "StandbyUsed")] == used


def test_standby_steps_in_if_there_is_no_good_token(standby_world: World) -> None:
    """Without a good token the standby is asked, and nobody waits for the primary's slot."""
    write_ledger(standby_world, slots={BLUE: slot(now(standby_world) + HOUR, "rate_limited")})
    result = standby_world.invoke()
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert result["client_id"] == GREEN
    assert [request.client_id for request in standby_world.vendor.requests] == [GREEN]
    assert set(ledger(standby_world)["slots"]) == {BLUE, GREEN}
    assert metrics(standby_world)["RateLimited"] == 1  # the primary's alarm stays on


@pytest.mark.parametrize(
    ("refusal", "counted"),
    [
        (REFUSED, "CredentialsRefused"),
        (LIMITED, "RateLimited"),
    ],
)
def test_standby_steps_in_in_the_run_in_which_the_primary_is_refused(
    standby_world: World, refusal: Fault, counted: str
) -> None:
    """If the primary is refused and there is no good token, the same run asks for the standby."""
    standby_world.vendor.script(refusal)
    with record_traffic(standby_world) as traffic:
        result = standby_world.invoke()
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert result["client_id"] == GREEN
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]
    [claim, release, second_claim] = traffic.claims
    assert claim["lock"]["principal"] == BLUE
    assert release["lock"] is None
    assert second_claim["lock"]["principal"] == GREEN
    assert metrics(standby_world) == {"TokenSecondsRemaining": DAY, "Refreshed": 1, "StandbyUsed": 1, counted: 1}
    assert slot_of(standby_world)["reason"] in {"credentials_refused", "rate_limited"}


def test_standby_does_not_step_in_after_a_refusal_while_life_is_long(standby_world: World) -> None:
    """If the token has hours left, a refused primary waits for its own slot."""
    acquire_token(standby_world, INTERVAL)
    standby_world.vendor.script(LIMITED)
    with record_traffic(standby_world) as traffic:
        assert outcome_and_reason(standby_world.invoke()) == ("waiting", "rate_limited")
    assert [request.client_id for request in traffic.vendor] == [BLUE]


@pytest.mark.parametrize("failure", [DOWN, Fault.cut(issues=False)])
def test_standby_does_not_step_in_after_another_failure(standby_world: World, failure: Fault) -> None:
    """A vendor that is down is down for both clients, so the run ends with its error."""
    standby_world.vendor.script(failure)
    with record_traffic(standby_world) as traffic, pytest.raises((VendorError, OutcomeUnknown)):
        standby_world.invoke()
    assert [request.client_id for request in traffic.vendor] == [BLUE]


@pytest.mark.parametrize("refusals", [(REFUSED, LIMITED), (LIMITED, REFUSED)])
def test_no_client_is_asked_twice_in_a_run(standby_world: World, refusals: tuple[Fault, Fault]) -> None:
    """If both clients are refused, the run fails with the refusal that a person has to look at."""
    standby_world.vendor.script(*refusals)
    with record_traffic(standby_world) as traffic, pytest.raises(CredentialsRefused):
        standby_world.invoke()
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]


def test_no_client_is_asked_twice_in_a_run_although_its_credentials_change(world: World) -> None:
    """If the credentials change during the request that is refused, only the next run uses them."""
    world.vendor.script(REFUSED)
    do_at_vendor(world, "received", lambda: world.put_credentials(BLUE))
    with record_traffic(world) as traffic, pytest.raises(CredentialsRefused):
        world.invoke()
    assert len(traffic.vendor) == 1
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_standbys_token_is_replaced_when_the_primary_has_a_slot(standby_world: World) -> None:
    """The standby's token is due at every run, and is replaced as soon as the primary has an open slot."""
    write_ledger(standby_world, slots={BLUE: slot(now(standby_world) + 2 * HOUR, "rate_limited")})
    standby_world.invoke()
    standby_world.clock.advance(HOUR)
    assert outcome_and_reason(standby_world.invoke()) == ("waiting", "rate_limited")
    standby_world.clock.advance(HOUR)
    result = standby_world.invoke()
    assert outcome_and_reason(result) == ("refreshed", "client_changed")
    assert result["client_id"] == BLUE


def test_standby_keeps_to_its_own_slot(standby_world: World) -> None:
    """The standby is not asked while its own slot is closed."""
    at = now(standby_world)
    closed = slot(at + HOUR, "rate_limited")
    write_ledger(standby_world, slots={BLUE: closed, GREEN: closed})
    with record_traffic(standby_world) as traffic, pytest.raises(RateLimited):
        standby_world.invoke()
    assert traffic.vendor == []


def test_standby_whose_slot_opens_while_the_primary_is_asked_steps_in(standby_world: World) -> None:
    """What counts is the time at which the primary was refused."""
    write_ledger(standby_world, slots={GREEN: slot(now(standby_world) + 30, "rate_limited")})
    standby_world.vendor.script(LIMITED)
    do_at_vendor(standby_world, "received", once(lambda: standby_world.clock.advance(30)))
    assert standby_world.invoke()["client_id"] == GREEN


def test_run_that_has_lost_its_lock_asks_nobody_else(standby_world: World) -> None:
    """Somebody has written another ledger meanwhile, so this run does not know what it says."""
    standby_world.vendor.script(LIMITED)
    do_at_vendor(standby_world, "received", once(lambda: write_ledger(standby_world)))
    with pytest.raises(RateLimited, match="the vendor answered HTTP 400"):
        standby_world.invoke()
    assert [request.client_id for request in standby_world.vendor.requests] == [BLUE]


def test_refusal_that_could_not_be_written_down_asks_nobody_else(standby_world: World) -> None:
    """The standby is asked only if the primary's refusal is in the ledger: the next run must know of it."""
    standby_world.vendor.script(REFUSED)
    standby_world.vendor.on_request = lambda _: standby_world.secrets.fail("PutSecretValue", NOT_SAVED)
    with pytest.raises(CredentialsRefused):
        standby_world.invoke()
    assert len(standby_world.vendor.requests) == 1
