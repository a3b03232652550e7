"""The standby client: when it is asked, and when its token is replaced."""

from __future__ import annotations

import pytest

from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    VendorError,
)
from local.faults import Fault
from local.world import World
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
from tests.integration.traffic import (
    logged,
    metrics,
    record_traffic,
)


@pytest.mark.parametrize(
    ("left", "expected"), [(9_000, ("waiting", "rate_limited")), (8_999, ("refreshed", "expiring"))]
)
def test_standby_steps_in_when_life_is_short(world_with_standby: World, left: int, expected: tuple[str, str]) -> None:
    """The standby is asked if the primary has no slot and less than STANDBY_BELOW_SECONDS are left."""
    acquire_token(world_with_standby, DAY - left)
    write_ledger(world_with_standby, slots={BLUE: slot(now(world_with_standby) + HOUR, "rate_limited")})
    result = world_with_standby.invoke()
    assert outcome_and_reason(result) == expected
    stepped_in = expected[0] == "refreshed"
    assert result["client_id"] == (GREEN if stepped_in else BLUE)
    assert ("StandbyUsed" in metrics(world_with_standby)) == stepped_in
    assert [line["client_id"] for line in logged(world_with_standby, "StandbyUsed")] == [GREEN] * stepped_in


def test_standby_steps_in_if_there_is_no_good_token(world_with_standby: World) -> None:
    """Without a good token the standby is asked, and nobody waits for the primary's slot."""
    write_ledger(world_with_standby, slots={BLUE: slot(now(world_with_standby) + HOUR, "rate_limited")})
    result = world_with_standby.invoke()
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert result["client_id"] == GREEN
    assert [request.client_id for request in world_with_standby.vendor.requests] == [GREEN]
    assert set(ledger(world_with_standby)["slots"]) == {BLUE, GREEN}


@pytest.mark.parametrize("refusal", [REFUSED, LIMITED])
def test_standby_steps_in_in_the_run_in_which_the_primary_is_refused(world_with_standby: World, refusal: Fault) -> None:
    """If the primary is refused and there is no good token, the same run asks for the standby."""
    world_with_standby.vendor.script(refusal)
    with record_traffic(world_with_standby) as traffic:
        result = world_with_standby.invoke()
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert result["client_id"] == GREEN
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]
    assert [claim["lock"] and claim["lock"]["client_id"] for claim in traffic.claims] == [BLUE, None, GREEN]
    refused = "CredentialsRefused" if refusal is REFUSED else "RateLimited"
    assert metrics(world_with_standby) == {"TokenSecondsRemaining": DAY, "Refreshed": 1, "StandbyUsed": 1, refused: 1}
    assert slot_of(world_with_standby)["reason"] in {"credentials_refused", "rate_limited"}


def test_standby_does_not_step_in_after_a_refusal_while_life_is_long(world_with_standby: World) -> None:
    """If the token has hours left, a refused primary waits for its own slot."""
    acquire_token(world_with_standby, INTERVAL)
    world_with_standby.vendor.script(LIMITED)
    with record_traffic(world_with_standby) as traffic:
        assert outcome_and_reason(world_with_standby.invoke()) == ("waiting", "rate_limited")
    assert [request.client_id for request in traffic.vendor] == [BLUE]


@pytest.mark.parametrize("failure", [DOWN, Fault.cut(issues=False)])
def test_standby_does_not_step_in_after_another_failure(world_with_standby: World, failure: Fault) -> None:
    """A vendor that is down is down for both clients, so the run ends with its error."""
    world_with_standby.vendor.script(failure)
    with record_traffic(world_with_standby) as traffic, pytest.raises((VendorError, OutcomeUnknown)):
        world_with_standby.invoke()
    assert [request.client_id for request in traffic.vendor] == [BLUE]


@pytest.mark.parametrize("refusals", [(REFUSED, LIMITED), (LIMITED, REFUSED)])
def test_no_client_is_asked_twice_in_a_run(world_with_standby: World, refusals: tuple[Fault, Fault]) -> None:
    """If both clients are refused, the run fails with the refusal that a person has to look at."""
    world_with_standby.vendor.script(*refusals)
    with record_traffic(world_with_standby) as traffic, pytest.raises(CredentialsRefused):
        world_with_standby.invoke()
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]


def test_no_client_is_asked_twice_in_a_run_although_its_credentials_change(world: World) -> None:
    """If the credentials change during the request that is refused, only the next run uses them."""
    world.vendor.script(REFUSED)
    world.vendor.on_request = lambda moment: world.put_credentials(BLUE) if moment == "received" else None
    with record_traffic(world) as traffic, pytest.raises(CredentialsRefused):
        world.invoke()
    assert len(traffic.vendor) == 1
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_standbys_token_is_replaced_when_the_primary_has_a_slot(world_with_standby: World) -> None:
    """The standby's token is due at every run, and is replaced as soon as the primary has an open slot."""
    write_ledger(world_with_standby, slots={BLUE: slot(now(world_with_standby) + 2 * HOUR, "rate_limited")})
    world_with_standby.invoke()
    world_with_standby.clock.advance(HOUR)
    assert outcome_and_reason(world_with_standby.invoke()) == ("waiting", "rate_limited")
    world_with_standby.clock.advance(HOUR)
    result = world_with_standby.invoke()
    assert outcome_and_reason(result) == ("refreshed", "client_changed")
    assert result["client_id"] == BLUE


def test_standby_keeps_to_its_own_slot(world_with_standby: World) -> None:
    """The standby is not asked while its own slot is closed."""
    at = now(world_with_standby)
    write_ledger(
        world_with_standby, slots={BLUE: slot(at + HOUR, "rate_limited"), GREEN: slot(at + HOUR, "rate_limited")}
    )
    with record_traffic(world_with_standby) as traffic, pytest.raises(RateLimited):
        world_with_standby.invoke()
    assert traffic.vendor == []


def test_refusal_that_could_not_be_written_down_asks_nobody_else(world_with_standby: World) -> None:
    """The standby is asked only if the primary's refusal is in the ledger: the next run must know of it."""
    world_with_standby.vendor.script(REFUSED)
    world_with_standby.vendor.on_request = lambda _: world_with_standby.secrets.fail("PutSecretValue", NOT_SAVED)
    with pytest.raises(CredentialsRefused):
        world_with_standby.invoke()
    assert len(world_with_standby.vendor.requests) == 1
