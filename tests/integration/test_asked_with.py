"""A pause of our own counts only for the same request: put right, it is asked at the next run."""

from __future__ import annotations

import pytest

from local.emulators.faults import Fault
from local.emulators.world import World
from tests.integration.helpers import (
    DAY,
    HOUR,
    INTERVAL,
    LIMITED,
    Json,
    acquire_token,
    ledger,
    now,
    other_name,
    run,
    slot_of,
)
from tests.integration.traffic import record_traffic

WRONG = {
    "CLIENT_AUTH": "client_secret_basic",
    "AUDIENCE": "https://api.tangocrad.com/",
    "SCOPE": "raas.none",
}
UNAUTHORIZED = Fault.answer(401, {"error": "invalid_client"})
FORBIDDEN = Fault.answer(403, {"error": "access_denied"})
INVALID_SCOPE = Fault.answer(400, {"error": "invalid_scope"})


def wrong(world: World, name: str) -> dict[str, str]:
    return {name: other_name(world) if name == "TOKEN_URL" else WRONG[name]}


@pytest.mark.parametrize("times", [1, 3], ids=["once", "thrice"])
@pytest.mark.parametrize("refusal", [UNAUTHORIZED, FORBIDDEN], ids=["401", "403"])
@pytest.mark.parametrize("name", ["CLIENT_AUTH", "AUDIENCE", "TOKEN_URL"])
def test_setting_that_was_refused_and_put_right_is_asked_at_the_next_run(
    world: World, name: str, refusal: Fault, times: int
) -> None:
    """The credentials were never wrong: the pause of an hour, doubled each time, is not theirs."""
    for _ in range(times):
        world.vendor.script(refusal)
        assert run(world, process=world.process(**wrong(world, name))) == "CredentialsRefused"
        closed = slot_of(world)
        assert closed["reason"] == "credentials_refused"
        world.clock.advance(closed["not_before"] - now(world))
    world.vendor.script(refusal)
    assert run(world, process=world.process(**wrong(world, name))) == "CredentialsRefused"
    with record_traffic(world) as traffic:
        assert run(world) == "refreshed"
    assert len(traffic.vendor) == 1


def test_scope_that_was_wrong_three_times_and_put_right_is_asked_at_the_next_run(world: World) -> None:
    """After three failures the slot is closed for 45 min, for that request alone."""
    process = world.process(SCOPE=WRONG["SCOPE"])
    for _ in range(3):
        world.vendor.script(INVALID_SCOPE)
        assert run(world, process=process) == "RequestRefused"
    assert slot_of(world)["reason"] == "backing_off"
    with record_traffic(world) as traffic:
        assert run(world, process=process) == "RequestRefused"
        assert run(world) == "refreshed"
    assert len(traffic.vendor) == 1


def test_setting_put_right_with_a_token_in_its_window_is_asked_at_the_next_run(world: World) -> None:
    """The same while consumers still have a good token."""
    acquire_token(world, INTERVAL)
    world.vendor.script(UNAUTHORIZED)
    process = world.process(CLIENT_AUTH=WRONG["CLIENT_AUTH"])
    assert run(world, process=process) == "CredentialsRefused"
    assert run(world) == "refreshed"


def test_failures_start_anew_with_another_request(world: World) -> None:
    """Put right, the first failure of the new request is the first."""
    process = world.process(SCOPE=WRONG["SCOPE"])
    for _ in range(3):
        world.vendor.script(INVALID_SCOPE)
        run(world, process=process)
    world.vendor.script(Fault.answer(500))
    assert run(world) == "VendorError"
    assert slot_of(world)["failures"] == 1
    assert run(world) == "refreshed"


@pytest.mark.parametrize("name", ["CLIENT_AUTH", "SCOPE"])
def test_limit_does_not_depend_on_the_request(world: World, name: str) -> None:
    """A slot that is closed for the vendor's limit stays closed, however it is asked."""
    world.vendor.script(LIMITED)
    assert run(world, process=world.process(**wrong(world, name))) == "RateLimited"
    with record_traffic(world) as traffic:
        assert run(world) == "RateLimited"
    assert traffic.vendor == []


def test_what_was_asked_with_is_a_short_hash(world: World) -> None:
    """It changes with the credentials and with each setting that shapes the request, and shows none of them."""
    found: list[Json] = []
    settings: list[dict[str, str]] = [{}, *(wrong(world, name) for name in (*WRONG, "TOKEN_URL")), {}]
    for number, overrides in enumerate(settings):
        if number == len(settings) - 1:
            world.put_credentials(world.primary)
        world.vendor.script(Fault.answer(500))
        run(world, process=world.process(**overrides))
        found.append(slot_of(world))
        world.clock.advance(HOUR)
    hashes = [slot["asked_with"] for slot in found]
    assert len({*hashes}) == len(settings)
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in hashes)
    assert [slot["asked_at"] for slot in found] == [now(world) - HOUR * back for back in range(len(settings), 0, -1)]
    assert ledger(world)["lock"] is None


def test_same_request_is_still_refused_for_longer_each_time(world: World) -> None:
    """An account is blocked after ten wrong passwords: ten refusals of one request take more than six days."""
    began = now(world)
    for _ in range(10):
        world.vendor.script(UNAUTHORIZED)
        assert run(world) == "CredentialsRefused"
        world.clock.advance(slot_of(world)["not_before"] - now(world))
    assert now(world) - began > 6 * DAY
