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
def test_standby_steps_in_when_life_is_short(pair: World, left: int, expected: tuple[str, str]) -> None:
    """The standby is kept for when the primary has no slot and less than STANDBY_BELOW_SECONDS are left."""
    acquire_token(pair, DAY - left)
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    result = pair.invoke()
    assert outcome_and_reason(result) == expected
    stepped_in = expected[0] == "refreshed"
    assert result["client_id"] == (GREEN if stepped_in else BLUE)
    assert ("StandbyUsed" in metrics(pair)) == stepped_in
    assert [line["client_id"] for line in logged(pair, "StandbyUsed")] == [GREEN] * stepped_in


def test_standby_steps_in_where_there_is_no_good_token(pair: World) -> None:
    """Without a good token the standby does not wait for the primary's slot."""
    write_ledger(pair, slots={BLUE: slot(now(pair) + HOUR, "rate_limited")})
    result = pair.invoke()
    assert (outcome_and_reason(result), result["client_id"]) == (("refreshed", "missing"), GREEN)
    assert [request.client_id for request in pair.vendor.requests] == [GREEN]
    assert set(ledger(pair)["slots"]) == {BLUE, GREEN}


@pytest.mark.parametrize("refusal", [REFUSED, LIMITED])
def test_standby_steps_in_in_the_run_in_which_the_primary_is_refused(pair: World, refusal: Fault) -> None:
    """A refusal without a good token costs no further tick: the same run asks for the standby."""
    pair.vendor.script(refusal)
    with record_traffic(pair) as traffic:
        result = pair.invoke()
    assert (outcome_and_reason(result), result["client_id"]) == (("refreshed", "missing"), GREEN)
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]
    assert [claim["lock"] and claim["lock"]["client_id"] for claim in traffic.claims] == [BLUE, None, GREEN]
    refused = "CredentialsRefused" if refusal is REFUSED else "RateLimited"
    assert metrics(pair) == {"TokenSecondsRemaining": DAY, "Refreshed": 1, "StandbyUsed": 1, refused: 1}
    assert slot_of(pair)["reason"] in {"credentials_refused", "rate_limited"}


def test_standby_does_not_step_in_after_a_refusal_while_life_is_long(pair: World) -> None:
    """A refused primary with hours of life left waits for its own slot."""
    acquire_token(pair, INTERVAL)
    pair.vendor.script(LIMITED)
    with record_traffic(pair) as traffic:
        assert outcome_and_reason(pair.invoke()) == ("waiting", "rate_limited")
    assert [request.client_id for request in traffic.vendor] == [BLUE]


@pytest.mark.parametrize("failure", [DOWN, Fault.cut(issues=False)])
def test_standby_does_not_step_in_after_another_failure(pair: World, failure: Fault) -> None:
    """A vendor that is down is down for both clients: the run ends with its error."""
    pair.vendor.script(failure)
    with record_traffic(pair) as traffic, pytest.raises((VendorError, OutcomeUnknown)):
        pair.invoke()
    assert [request.client_id for request in traffic.vendor] == [BLUE]


@pytest.mark.parametrize("refusals", [(REFUSED, LIMITED), (LIMITED, REFUSED)])
def test_no_client_is_asked_twice_in_a_run(pair: World, refusals: tuple[Fault, Fault]) -> None:
    """When both are refused the run ends, with the refusal that a person has to look at."""
    pair.vendor.script(*refusals)
    with record_traffic(pair) as traffic, pytest.raises(CredentialsRefused):
        pair.invoke()
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]


def test_no_client_is_asked_twice_in_a_run_although_its_credentials_change(world: World) -> None:
    """Credentials that are corrected while they are being refused are for the next run."""
    world.vendor.script(REFUSED)
    world.vendor.on_request = lambda moment: world.put_credentials(BLUE) if moment == "received" else None
    with record_traffic(world) as traffic, pytest.raises(CredentialsRefused):
        world.invoke()
    assert len(traffic.vendor) == 1
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")


def test_standbys_token_is_replaced_when_the_primary_has_a_slot(pair: World) -> None:
    """A token of the standby stands in: it is due at every tick until the primary may ask again."""
    write_ledger(pair, slots={BLUE: slot(now(pair) + 2 * HOUR, "rate_limited")})
    pair.invoke()
    pair.clock.advance(HOUR)
    assert outcome_and_reason(pair.invoke()) == ("waiting", "rate_limited")
    pair.clock.advance(HOUR)
    result = pair.invoke()
    assert (outcome_and_reason(result), result["client_id"]) == (("refreshed", "client_changed"), BLUE)


def test_standby_keeps_to_its_own_slot(pair: World) -> None:
    """The standby is not asked either while its own interval runs."""
    at = now(pair)
    write_ledger(pair, slots={BLUE: slot(at + HOUR, "rate_limited"), GREEN: slot(at + HOUR, "rate_limited")})
    with record_traffic(pair) as traffic, pytest.raises(RateLimited):
        pair.invoke()
    assert traffic.vendor == []


def test_refusal_that_could_not_be_written_down_asks_nobody_else(pair: World) -> None:
    """The standby is asked only once the primary's refusal is in the ledger: else the next run would not know of it."""
    pair.vendor.script(REFUSED)
    pair.vendor.on_request = lambda _: pair.secrets.fail("PutSecretValue", NOT_SAVED)
    with pytest.raises(CredentialsRefused):
        pair.invoke()
    assert len(pair.vendor.requests) == 1
