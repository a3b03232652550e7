"""The probe: a run can show the current token to the API, and replaces it if the API refuses it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from handler.errors import RateLimited
from local.emulators.clock import Clock
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    GREEN,
    HOUR,
    INTERVAL,
    LEDGER,
    MINUTE,
    NO_LIMIT,
    STATUS,
    Json,
    acquire_token,
    another_runs_token,
    now,
    outcome_and_reason,
    run,
    slot,
    world_with_vendor,
    write,
    write_ledger,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import logged, metrics, record_traffic


def test_revoked_token_is_replaced_at_once(standby_world: World) -> None:
    """The API refuses the token of a deactivated client, and the standby's token replaces it."""
    acquire_token(standby_world)
    standby_world.vendor.deactivate(BLUE)
    process = standby_world.process(PROBE_URL=standby_world.vendor.api_url)
    result = standby_world.invoke(process=process)
    assert outcome_and_reason(result) == ("refreshed", "revoked")
    assert result["client_id"] == GREEN
    assert result["seconds_remaining"] == DAY
    assert metrics(standby_world)["TokenSecondsRemaining"] == DAY
    assert standby_world.consume() == 200


@pytest.mark.parametrize(
    ("closed_for", "counted"),
    [(HOUR, {}), (INTERVAL, {"RateLimited": 1})],
    ids=["until before its own interval is over", "until after its own interval is over"],
)
def test_revoked_token_has_no_seconds_left(world: World, closed_for: int, counted: dict[str, float]) -> None:
    """If no slot is open, a revoked token is an error, and the metric of the remaining life is 0.

    A run that waits for the interval of its own token does not blame the vendor.
    """
    acquire_token(world)
    write_ledger(world, slots={BLUE: slot(now(world) + closed_for, "rate_limited")})
    world.vendor.deactivate(BLUE)
    with pytest.raises(RateLimited):
        world.invoke(process=world.process(PROBE_URL=world.vendor.api_url))
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1} | counted


@pytest.mark.parametrize(("status", "reason"), [(401, "revoked"), (403, "revoked")])
def test_probe_that_refuses_means_revoked(clock: Clock, status: int, reason: str) -> None:
    """If the API answers 401 or 403, the token is revoked."""
    with Recorder(status) as api, world_with_vendor(clock, interval=0) as world:
        acquire_token(world, HOUR, **NO_LIMIT)
        result = world.invoke(process=world.process(PROBE_URL=api.url, **NO_LIMIT))
        assert outcome_and_reason(result) == ("refreshed", reason)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404, 429, 500, 503])
def test_probe_that_says_anything_else_means_nothing(world: World, status: int) -> None:
    """With any other answer of the API the token is kept."""
    acquire_token(world)
    with Recorder(status) as api:
        result = world.invoke(process=world.process(PROBE_URL=api.url))
        assert outcome_and_reason(result) == ("kept", "fresh")
        assert len(api.received) == 1


def test_probe_that_is_down_means_nothing(world: World) -> None:
    """If the API can't be reached, the token is kept."""
    acquire_token(world)
    with Recorder() as gone:
        pass
    result = world.invoke(process=world.process(PROBE_URL=gone.url))
    assert outcome_and_reason(result) == ("kept", "fresh")


def test_probe_shows_the_current_token_at_every_tick(world: World) -> None:
    """Each run asks the API once, with the token that consumers have."""
    issued = acquire_token(world)["access_token"]
    with Recorder() as api:
        for _ in range(2):
            with record_traffic(world) as traffic:
                world.invoke(process=world.process(PROBE_URL=api.url + "/customers"))
            assert traffic.operations == ["BatchGetSecretValue"]
    assert [(request.method, request.target) for request in api.received] == [("GET", "/customers")] * 2
    assert all(request.headers["Authorization"] == f"Bearer {issued}" for request in api.received)


def test_token_that_is_due_is_probed_once_in_a_run(world: World) -> None:
    """A run that reads the secrets twice still asks the API only once."""
    acquire_token(world, 20 * HOUR)
    with Recorder() as api:
        result = world.invoke(process=world.process(PROBE_URL=api.url))
        assert outcome_and_reason(result) == ("waiting", "limit_interval")
        assert len(api.received) == 1


@pytest.mark.parametrize("remaining", [0, 1])
def test_only_a_token_that_is_alive_is_probed(world: World, remaining: int) -> None:
    """Of one that has ended nobody needs to know whether the API takes it."""
    write(world, another_runs_token(world, expires_at=now(world) + remaining), CURRENT)
    with Recorder() as api:
        world.invoke(process=world.process(PROBE_URL=api.url, **NO_LIMIT))
        assert len(api.received) == remaining


def test_run_knows_of_each_token_that_the_api_refuses(standby_world: World) -> None:
    """First the current one, then the one at hand: neither counts as good any more."""
    world = standby_world
    write(world, another_runs_token(world, GREEN, acquired_at=now(world) - 3 * HOUR), CURRENT)
    write(world, another_runs_token(world, BLUE, acquired_at=now(world) - 2 * HOUR), CURRENT)
    write_ledger(world, slots={GREEN: slot(now(world) + HOUR, "limit_interval")})
    with Recorder(401) as api:
        with pytest.raises(RateLimited):
            world.invoke(process=world.process(PROBE_URL=api.url))
        assert len(api.received) == 2
    assert metrics(world)["TokenSecondsRemaining"] == 0


def test_new_token_is_published_unprobed(world: World) -> None:
    """Only the current token is shown to the API: a new token is too scarce to throw away for a suspicion."""
    with Recorder(401) as api:
        result = world.invoke(process=world.process(PROBE_URL=api.url))
        assert outcome_and_reason(result) == ("refreshed", "missing")
        assert api.received == []


@pytest.mark.parametrize("event", [DRY_RUN, STATUS])
def test_questions_do_not_probe(world: World, event: Json) -> None:
    """Neither `status` nor `dry_run` shows the token to anybody."""
    acquire_token(world)
    with Recorder(401) as api:
        result = world.invoke(event, world.process(PROBE_URL=api.url))
        assert outcome_and_reason(result) == ("kept", "fresh")
        assert api.received == []


def test_revoked_token_that_lies_elsewhere_does_not_come_back(standby_world: World) -> None:
    """A verdict is about a token, not a version: the ledger's version carries the same one, and an older one."""
    token = acquire_token(standby_world, 2 * HOUR)
    write(standby_world, token, LEDGER)
    standby_world.vendor.deactivate(BLUE)
    process = standby_world.process(PROBE_URL=standby_world.vendor.api_url)
    assert outcome_and_reason(standby_world.invoke(process=process)) == ("refreshed", "revoked")
    assert standby_world.token()["client_id"] == GREEN
    write(standby_world, token, CURRENT)  # somebody puts it back
    outcome, _ = outcome_and_reason(standby_world.invoke(process=process))
    assert outcome == "recovered"
    assert standby_world.token()["client_id"] == GREEN
    assert standby_world.consume() == 200


def test_older_token_of_a_revoked_principal_does_not_come_back(world: World) -> None:
    """What was refused for the newer token of a client is not better for its older one."""
    older = acquire_token(world, 20.5 * HOUR)
    assert world.invoke()["outcome"] == "refreshed"
    world.clock.advance(2 * HOUR)
    write(world, older, LEDGER)
    with Recorder(401) as api:
        process = world.process(PROBE_URL=api.url)
        for _ in range(2):
            with pytest.raises(RateLimited):
                world.invoke(process=process)
    assert world.token()["access_token"] == world.vendor.issued[1].token
    assert metrics(world)["TokenSecondsRemaining"] == 0


def test_revoked_token_does_not_come_back_over_a_placeholder(standby_world: World) -> None:
    """The token is refused, replaced, and then only a placeholder is current: it still does not come back for good."""
    acquire_token(standby_world, 2 * HOUR)
    standby_world.vendor.deactivate(BLUE)
    process = standby_world.process(PROBE_URL=standby_world.vendor.api_url)
    standby_world.invoke(process=process)
    write(standby_world, "oops", CURRENT)
    assert standby_world.invoke(process=process)["outcome"] == "recovered"
    assert standby_world.token()["client_id"] == GREEN


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(("age", "is_revoked"), [(0, False), (HOUR - 1, False), (HOUR, True)])
def test_probe_that_refuses_a_young_token_only_warns(clock: Clock, status: int, age: int, is_revoked: bool) -> None:
    """A new token may take a while to work everywhere, and an API answers 403 for other reasons too."""
    with Recorder(status) as api, world_with_vendor(clock, interval=0) as world:
        acquire_token(world, age, **NO_LIMIT)
        result = world.invoke(process=world.process(PROBE_URL=api.url, **NO_LIMIT))
        if is_revoked:
            assert outcome_and_reason(result) == ("refreshed", "revoked")
        else:
            assert outcome_and_reason(result) == ("kept", "fresh")
            assert metrics(world)["TokenSecondsRemaining"] == DAY - age
            [line] = logged(world, "ProbeRefused")
            assert line["acquired_at"] == now(world) - age


def test_probe_that_always_says_403_does_not_make_each_tick_ask(clock: Clock) -> None:
    """An account without a limit: a probe that is refused for another reason asks once an hour at most."""
    with Recorder(403) as api, world_with_vendor(clock, interval=0) as world:
        process = world.process(PROBE_URL=api.url, **NO_LIMIT)
        for _ in range(4 * 12):
            world.invoke(process=process)
            clock.advance(15 * MINUTE)
        asked_at = [request.at for request in world.vendor.requests]
    pauses = [later - earlier for earlier, later in pairwise(asked_at)]
    assert min(pauses) >= HOUR


def test_token_at_hand_that_the_api_refuses_does_not_come_back(standby_world: World) -> None:
    """A leaked client was deactivated: its token would live longer than the standby's, and is not published again."""
    standby_world.put_credentials(GREEN)
    probed = {"PROBE_URL": standby_world.vendor.api_url}
    assert run(standby_world, process=standby_world.process(**probed)) == "refreshed"
    standby_world.clock.advance(3 * HOUR)
    standby_world.put_credentials(BLUE, GREEN)
    assert run(standby_world, process=standby_world.process(**probed)) == "refreshed"
    standby_world.clock.advance(6.5 * HOUR)
    standby_world.vendor.deactivate(BLUE)
    outcomes = []
    for _ in range(17):
        standby_world.clock.advance(HOUR)
        outcomes.append(run(standby_world, process=standby_world.process(**probed)))
        assert standby_world.consume() == 200, outcomes
    assert outcomes[0] == "recovered"
    assert "refreshed" in outcomes
