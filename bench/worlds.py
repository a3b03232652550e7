"""The worlds in which packages are measured: two kinds of ticks of one connection, and sweeps of many connections.

Each measurement gets a new world, so that all of them find the same.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

# The kinds of ticks: one finds a fresh token, the other one a token that is due.
FRESH = "no-op"
DUE = "refresh"
SITUATIONS = (FRESH, DUE)
DUE_AFTER_SECONDS = 21 * 3_600  # three hours before the token ends, and an hour inside the refresh window
PREFIX = "tango/"
SAMPLE = "sample"
# The emulated vendor's tokens are shorter than those that other vendors sign.
ACCESS_TOKEN_CHARACTERS = 1_000


# One connection


@contextmanager
def situation(kind: str) -> Iterator[World]:
    """Yield a world for a tick of this kind. It has the machine's own clock, as the measured processes have."""
    with World(Clock()) as world:
        acquire_token_for(kind, world)
        yield world


def acquire_token_for(kind: str, world: World, **settings: str) -> None:
    """Let our function, with these settings, acquire the token long enough ago for a tick of this kind."""
    age = DUE_AFTER_SECONDS if kind == DUE else 0
    world.clock.advance(-age)
    world.invoke(process=world.process(**settings))
    world.clock.advance(age)
    world.secrets.calls.clear()
    world.vendor.requests.clear()


# Many connections


@contextmanager
def fleet(connections: int, due: int) -> Iterator[World]:
    """Yield a world with so many connections, the last `due` of them with a token that is due.

    All token secrets are made before all credentials secrets, and the emulator lists secrets in the order of their
    creation. So a survey has all token documents in its memory before it finds the first pair: no order needs more.
    """
    with _world() as world:
        sample = _token_of_a_run(world)
        documents = {}
        for number in range(connections):
            is_due = number >= connections - due
            name = store(number)
            documents[name] = _token_like(sample, name, age=DUE_AFTER_SECONDS if is_due else 0)
        for name, document in documents.items():
            _create(world, world.token_secret(name), document)
        for name in documents:
            _create(world, world.credentials_secret(name), _credentials_of(name))
        yield world


@contextmanager
def due_stores(number: int) -> Iterator[World]:
    """Yield a world with so many connections whose tokens a run has acquired, and that are due."""
    with _world() as world:
        names = [store(one) for one in range(number)]
        world.clock.advance(-DUE_AFTER_SECONDS)
        for name in names:
            world.add_store(name)
            world.invoke(refresh_of(name))
        world.clock.advance(DUE_AFTER_SECONDS)
        world.secrets.calls.clear()
        world.vendor.requests.clear()
        yield world


def store(number: int) -> str:
    return f"stores/{number:05}"


def refresh_of(name: str) -> dict[str, str]:
    """Return the event with which a sweep hands a connection over."""
    return {"action": "refresh", "connection": name}


def _world() -> World:
    return World(Clock(), prefix=PREFIX, accounts="service")


def _token_of_a_run(world: World) -> dict[str, Any]:
    """Return a token document as the handler writes it. Its connection is gone afterwards."""
    world.add_store(SAMPLE)
    world.invoke(refresh_of(SAMPLE))
    document = world.token(SAMPLE)
    for secret in (world.credentials_secret(SAMPLE), world.token_secret(SAMPLE)):
        world.secrets.client().delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    return document


def _token_like(sample: dict[str, Any], name: str, *, age: int) -> str:
    changes = {
        "access_token": name.ljust(ACCESS_TOKEN_CHARACTERS, "x"),
        "username": name,
        "acquired_at": sample["acquired_at"] - age,
        "expires_at": sample["expires_at"] - age,
    }
    return json.dumps(sample | changes)


def _credentials_of(name: str) -> str:
    document = {
        "client_id": "client-violet",
        "client_secret": "secret-of-the-bench",
        "username": name,
        "password": "password-of-the-bench",
    }
    return json.dumps(document)


def _create(world: World, name: str, document: str) -> None:
    """Create a secret with a value, without HTTP: thousands of them are needed. Raises RuntimeError if it fails."""
    status, answer = world.secrets.call("CreateSecret", {"Name": name, "SecretString": document})
    if status != 200:
        raise RuntimeError(f"{name} was not created: {answer}")
