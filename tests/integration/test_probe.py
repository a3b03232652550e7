"""The probe: a run can show the current token to the API, and replaces it if the API refuses it."""

from __future__ import annotations

import pytest

from handler.errors import (
    RateLimited,
)
from local.clock import Clock
from local.world import World
from tests.integration.helpers import (
    BLUE,
    DAY,
    DRY_RUN,
    GREEN,
    HOUR,
    NO_LIMIT,
    STATUS,
    Json,
    acquire_token,
    now,
    outcome_and_reason,
    slot,
    world_with_vendor,
    write_ledger,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import (
    metrics,
    record_traffic,
)


def test_revoked_token_is_replaced_at_once(pair: World) -> None:
    """The API refuses a token whose client was deactivated; the standby steps in."""
    acquire_token(pair)
    pair.vendor.deactivate(BLUE)
    result = pair.invoke(keeper=pair.keeper(PROBE_URL=pair.vendor.api_url))
    assert (outcome_and_reason(result), result["client_id"]) == (("refreshed", "revoked"), GREEN)
    assert (result["seconds_remaining"], metrics(pair)["TokenSecondsRemaining"], pair.consume()) == (DAY, DAY, 200)


def test_revoked_token_has_no_seconds_left(world: World) -> None:
    """Without any slot a revoked token is an error, and the metric says 0."""
    acquire_token(world)
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "rate_limited")})
    world.vendor.deactivate(BLUE)
    with pytest.raises(RateLimited):
        world.invoke(keeper=world.keeper(PROBE_URL=world.vendor.api_url))
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "RateLimited": 1}


@pytest.mark.parametrize(("status", "reason"), [(401, "revoked"), (403, "revoked")])
def test_probe_that_refuses_means_revoked(clock: Clock, status: int, reason: str) -> None:
    """401 and 403 of the API mean that the token is revoked."""
    with Recorder(status) as api, world_with_vendor(clock, interval=0) as world:
        acquire_token(world, HOUR, **NO_LIMIT)
        assert outcome_and_reason(world.invoke(keeper=world.keeper(PROBE_URL=api.url, **NO_LIMIT))) == (
            "refreshed",
            reason,
        )


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 429, 500, 503])
def test_probe_that_says_anything_else_means_nothing(world: World, status: int) -> None:
    """Any other answer of the API leaves the token as it is."""
    acquire_token(world)
    with Recorder(status) as api:
        assert outcome_and_reason(world.invoke(keeper=world.keeper(PROBE_URL=api.url))) == ("kept", "fresh")
        assert len(api.received) == 1


def test_probe_that_is_down_means_nothing(world: World) -> None:
    """An API that can't be reached leaves the token as it is."""
    acquire_token(world)
    with Recorder() as gone:
        pass
    assert outcome_and_reason(world.invoke(keeper=world.keeper(PROBE_URL=gone.url))) == ("kept", "fresh")


def test_probe_shows_the_current_token_at_every_tick(world: World) -> None:
    """Each tick asks the API once, with the token that consumers have."""
    issued = acquire_token(world)["access_token"]
    with Recorder() as api:
        for _ in range(2):
            with record_traffic(world) as traffic:
                world.invoke(keeper=world.keeper(PROBE_URL=api.url + "/customers"))
            assert traffic.operations == ["BatchGetSecretValue"]
    assert [(one.method, one.target) for one in api.received] == [("GET", "/customers")] * 2
    assert all(one.headers["Authorization"] == f"Bearer {issued}" for one in api.received)


def test_token_that_is_due_is_probed_once_in_a_run(world: World) -> None:
    """A run that looks twice asks the API once."""
    acquire_token(world, 20 * HOUR)
    with Recorder() as api:
        assert outcome_and_reason(world.invoke(keeper=world.keeper(PROBE_URL=api.url))) == ("waiting", "limit_interval")
        assert len(api.received) == 1


def test_new_token_is_published_unprobed(world: World) -> None:
    """A scarce token is never thrown away for a suspicion: only the current one is shown to the API."""
    with Recorder(401) as api:
        assert outcome_and_reason(world.invoke(keeper=world.keeper(PROBE_URL=api.url))) == ("refreshed", "missing")
        assert api.received == []


@pytest.mark.parametrize("event", [DRY_RUN, STATUS])
def test_questions_do_not_probe(world: World, event: Json) -> None:
    """Neither `status` nor `dry_run` shows the token to anybody."""
    acquire_token(world)
    with Recorder(401) as api:
        assert outcome_and_reason(world.invoke(event, world.keeper(PROBE_URL=api.url))) == ("kept", "fresh")
        assert api.received == []
