"""Worlds in a certain state, and runs with a certain outcome, that several test files use.

Each function arranges what its name says. The first five also run the function and return its result.
"""

from __future__ import annotations

from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    DRY_RUN,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    LEDGER,
    MINUTE,
    RESULT_TYPES,
    STATUS,
    Json,
    acquire_token,
    another_runs_lock,
    another_runs_token,
    asked_with,
    backing_off_slot,
    now,
    slot,
    write,
    write_ledger,
)


def kept(world: World) -> Json:
    acquire_token(world)
    return world.invoke()


def recovered(world: World) -> Json:
    acquire_token(world)
    write(world, "oops", CURRENT)
    return world.invoke()


def waiting(world: World) -> Json:
    acquire_token(world)
    return world.invoke(FORCE)


def due(world: World) -> Json:
    acquire_token(world, INTERVAL)
    return world.invoke(DRY_RUN)


def status(world: World) -> Json:
    acquire_token(world)
    answer = world.invoke(STATUS)
    return {key: answer[key] for key in RESULT_TYPES}


def expired(world: World) -> None:
    acquire_token(world, DAY)


def expiring(world: World) -> None:
    acquire_token(world, INTERVAL)


def client_changed(world: World) -> None:
    acquire_token(world)
    world.put_credentials(GREEN)


def config_changed(world: World) -> None:
    acquired_at = now(world) - INTERVAL
    token = another_runs_token(world, audience="https://other.example/", acquired_at=acquired_at)
    write(world, token, CURRENT)


def previous(world: World) -> None:
    acquire_token(world)
    write(world, "oops", CURRENT)


def displaced(world: World) -> None:
    acquire_token(world)
    write(world, "oops", CURRENT)
    write(world, "oops again", CURRENT)


def paced(world: World) -> None:
    write_ledger(world, pace={"level": 0, "at": now(world)})


def corrupt(world: World) -> None:
    write(world, "{", CURRENT)
    write(world, "}", LEDGER)


def locked(world: World) -> None:
    write_ledger(world, lock=another_runs_lock(world))


def lapsed(world: World) -> None:
    write_ledger(world, lock=another_runs_lock(world, remaining=0))


def limited(world: World) -> None:
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "rate_limited")})


def limited_with_a_token(world: World) -> None:
    acquire_token(world, INTERVAL)
    limited(world)


def refused(world: World) -> None:
    closed = slot(
        not_before=now(world) + HOUR,
        reason="credentials_refused",
        failures=1,
        asked_with=asked_with(world),
        error="CredentialsRefused",
    )
    write_ledger(world, slots={BLUE: closed})


def backing_off(world: World) -> None:
    write_ledger(world, slots={BLUE: backing_off_slot(world, seconds=MINUTE)})


def spent(world: World) -> None:
    write(world, another_runs_token(world, expires_at=now(world) - 1), CURRENT)
