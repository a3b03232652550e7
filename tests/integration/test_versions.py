"""AWS keeps about 100 versions of a secret, and deletes none that is younger than a day: claims have a pace."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from handler.connections import WarmProcess
from handler.errors import RefreshError
from handler.policy import Request
from handler.refresh import Refresh
from local.emulators.faults import Fault
from local.emulators.world import TOKEN_SECRET, World
from tests.integration.helpers import (
    CURRENT,
    DAY,
    DOWN,
    FORCE,
    HOUR,
    INTERVAL,
    LIMITED,
    MINUTE,
    OVERRIDE,
    REFUSED,
    Json,
    acquire_token,
    has_good_token,
    now,
    run,
    run_as_lambda,
    write,
)

MAX_VERSIONS_IN_A_DAY = 96
MAX_VERSIONS_OF_A_STORM = 40


def count_versions(world: World) -> int:
    return len(world.secrets.versions(TOKEN_SECRET))


def put_times(world: World) -> dict[str, float]:
    """Return when each version of the token secret was first put, by its id."""
    times: dict[str, float] = {}
    for call in world.secrets.requests:
        if call.op == "PutSecretValue" and call.params["SecretId"] == TOKEN_SECRET:
            times.setdefault(call.params.get("ClientRequestToken", ""), call.at)
    return times


def most_versions_in_a_day(world: World) -> int:
    times = sorted(put_times(world).values())
    return max(sum(start <= at < start + DAY for at in times) for start in times)


def assert_no_hour_without_a_token(world: World, *, hours: int) -> None:
    """Run every hour as Lambda does; consumers have a good token after each of these runs."""
    for hour in range(hours):
        run_as_lambda(world)
        assert has_good_token(world), hour
        world.clock.advance(HOUR)


def test_49_refused_overrides_keep_no_refresh_out(world: World) -> None:
    """Events 30 s apart, each refused for the limit: few versions, and each refresh of the next day works."""
    acquire_token(world)
    for _ in range(49):
        run(world, OVERRIDE)
        world.clock.advance(30)
    assert count_versions(world) < MAX_VERSIONS_OF_A_STORM
    assert_no_hour_without_a_token(world, hours=24)


@pytest.mark.parametrize(
    ("pause", "number"), [(30, 200), (10 * MINUTE, 150)], ids=["200, 30 s apart", "150, 10 min apart"]
)
def test_hundreds_of_overrides_leave_few_versions(world: World, pause: int, number: int) -> None:
    """Whoever may invoke the function can't use up what the next ordinary refresh needs.

    Those that take longer than a day are counted by the day.
    """
    acquire_token(world, 20 * MINUTE)
    process = world.process()
    for _ in range(number):
        run(world, OVERRIDE, process=process)
        world.clock.advance(pause)
        if count_versions(world) > MAX_VERSIONS_IN_A_DAY:
            break
    if pause < 10 * MINUTE:
        assert count_versions(world) < MAX_VERSIONS_OF_A_STORM
    assert most_versions_in_a_day(world) <= MAX_VERSIONS_IN_A_DAY
    assert_no_hour_without_a_token(world, hours=6)


def test_override_without_a_token_leaves_few_versions_too(world: World) -> None:
    """Without a token an override need not wait for the higher level, but for 10 min after each claim."""
    world.vendor.outage = LIMITED
    process = world.process()
    for _ in range(80):
        run(world, OVERRIDE, process=process)
        world.clock.advance(100)
    assert count_versions(world) < 2 * MAX_VERSIONS_OF_A_STORM
    assert most_versions_in_a_day(world) <= MAX_VERSIONS_IN_A_DAY
    world.vendor.outage = None
    outcomes = [outcome for _ in range(25) for outcome in hourly(world)]
    assert "refreshed" in outcomes


def hourly(world: World) -> list[str]:
    outcomes = run_as_lambda(world)
    world.clock.advance(HOUR)
    return outcomes


def run_directly(process: WarmProcess) -> str:
    """Run the refresh without its log and metrics, which are for one run at a time in a process."""
    refresh = Refresh(process.connection(), Request(), remaining=lambda: 420.0, observe=lambda *_, **__: None)
    try:
        return refresh.run().name
    except RefreshError as error:
        return type(error).__name__


def loser_at(world: World, at: float) -> WarmProcess:
    """Return a process whose clock stands still, so that all of them act in the same moment."""
    return replace(world.process(), now=lambda: at, sleep=lambda _: None)


class DirectClient:
    """Stands in for boto3's client: calls the emulator without HTTP, because hundreds of runs make many calls."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, method: str) -> Callable[..., Json]:
        operation = method.title().replace("_", "")

        def call(**params: object) -> Json:
            status, answer = self._world.secrets.call(operation, params)
            if status == 200:
                return answer
            details = {"Code": answer["__type"], "Message": answer["Message"]}
            raise ClientError({"Error": details, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)

        return call


def test_hundreds_of_runs_in_the_same_moment_leave_few_versions(world: World) -> None:
    """All of them have read the state before the winner's claim. Each loses, and tries again up to four times."""
    acquire_token(world, INTERVAL)
    at = world.clock.now()
    assert run(world, process=loser_at(world, at)) == "refreshed"
    before = count_versions(world)
    world.secrets.read_lag_seconds = 1.0  # the clock stands still, so every read shows the state of before
    process = loser_at(world, at)
    process.client = DirectClient(world)
    outcomes = [run_directly(process) for _ in range(300)]
    assert set(outcomes) == {"Busy"}
    assert count_versions(world) - before <= 5
    world.secrets.read_lag_seconds = 0.0
    assert len(world.vendor.issued) == 2
    assert run(world) == "kept"
    assert_no_hour_without_a_token(world, hours=6)


def test_fifty_runs_at_once_leave_few_versions(live_world: World) -> None:
    """In threads, on the machine's clock: one asks, the others find its token or lose every race."""
    count = 50
    together = threading.Barrier(count, timeout=60)
    reads = iter(range(count))
    outcomes: list[str] = []

    def hook(operation: str, moment: str, _: Json) -> None:
        if (operation, moment) == ("BatchGetSecretValue", "before") and next(reads, None) is not None:
            together.wait()

    live_world.secrets.on_call = hook
    processes = [live_world.process() for _ in range(count)]

    def refresh(process: WarmProcess) -> None:
        outcomes.append(run_directly(process))

    threads = [threading.Thread(target=refresh, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    live_world.secrets.on_call = None
    assert outcomes.count("refreshed") == 1
    assert set(outcomes) <= {"refreshed", "kept", "Busy"}
    assert len(live_world.vendor.requests) == 1
    assert count_versions(live_world) <= MAX_VERSIONS_OF_A_STORM
    assert live_world.consume() == 200


@pytest.mark.parametrize("seed", range(1))
def test_any_day_of_any_invocations_leaves_at_most_96_versions(standby_world: World, seed: int) -> None:
    """30 hours of ticks, forced events, overrides and recoveries, while the vendor has all kinds of trouble."""
    dice = random.Random(seed)  # noqa: S311 - a test's choice
    world = standby_world
    faults = [DOWN, LIMITED, REFUSED, Fault.answer(404), Fault.answer(429, headers={"Retry-After": "0"}), None]
    process = world.process()
    by_hand = 0
    while now(world) < 1_790_000_000 + 30 * HOUR:
        world.vendor.outage = dice.choice(faults)
        if dice.random() < 0.02 and count_versions(world) and by_hand < 20:
            write(world, {"access_token": "CHANGE_ME", "note": by_hand}, CURRENT)
            by_hand += 1
        run(world, dice.choice([None, FORCE, OVERRIDE]), process=process)
        world.clock.advance(dice.choice([1, 30, 240, 600]))
    assert most_own_versions_in_a_day(world) <= MAX_VERSIONS_IN_A_DAY


def most_own_versions_in_a_day(world: World) -> int:
    """Count the versions that the function itself has put: those by hand are without a ledger."""
    times: dict[str, float] = {}
    for call in world.secrets.requests:
        if call.op != "PutSecretValue" or call.params["SecretId"] != TOKEN_SECRET:
            continue
        if "CHANGE_ME" not in json.dumps(call.params):
            times.setdefault(call.params["ClientRequestToken"], call.at)
    ordered = sorted(times.values())
    return max(sum(start <= at < start + DAY for at in ordered) for start in ordered)


def test_refresh_after_a_storm_is_an_ordinary_one(world: World) -> None:
    """100 runs while due, one after another and all refused: the next refresh still has versions to write."""
    acquire_token(world, 20.5 * HOUR)
    world.vendor.outage = DOWN
    process = world.process()
    for _ in range(100):
        run(world, process=process)
        world.clock.advance(1)
    assert count_versions(world) < MAX_VERSIONS_OF_A_STORM
    world.vendor.outage = None
    world.clock.advance(HOUR)
    assert run(world) == "refreshed"


def test_too_many_claims_is_waiting_and_says_when_it_ends(world: World) -> None:
    """Below the level a run waits; the result says until when. Without a good token it is a StoreError."""
    acquire_token(world, 20 * MINUTE)
    for _ in range(10):
        world.clock.advance(10 * MINUTE)
        result = world.invoke(OVERRIDE)
        if result["reason"] == "too_many_claims":
            break
    assert (result["outcome"], result["reason"]) == ("waiting", "too_many_claims")
    assert now(world) < result["not_before"] <= now(world) + 4 * 40 * MINUTE
    world.clock.advance(result["not_before"] - now(world))
    requests = len(world.vendor.requests)
    run(world, OVERRIDE)
    assert len(world.vendor.requests) == requests + 1
