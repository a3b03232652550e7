"""A new stack has a token secret of its own: whoever copies the old token's document into it loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.emulators.world import TOKEN_SECRET
from tests.integration.helpers import CURRENT, HOUR, acquire_token, has_good_token, run, write

if TYPE_CHECKING:
    from local.emulators.world import World


def make_secret_anew(world: World) -> None:
    client = world.secrets.client()
    client.delete_secret(SecretId=TOKEN_SECRET, ForceDeleteWithoutRecovery=True)
    client.create_secret(Name=TOKEN_SECRET)


def test_copied_token_is_kept_and_renewed_in_time(world: World) -> None:
    """Consumers have a good token at every hour, and the vendor refuses nothing."""
    token = acquire_token(world, 10 * HOUR)
    make_secret_anew(world)
    write(world, token, CURRENT)
    outcomes = []
    for _ in range(24):
        outcomes.append(run(world))
        assert has_good_token(world)
        world.clock.advance(HOUR)
    assert outcomes[0] == "kept"
    assert "refreshed" in outcomes
    assert {request.status for request in world.vendor.requests} == {200}


def test_without_the_copy_there_is_no_token_until_the_limit_allows_one(world: World) -> None:
    """That is why the runbook has the document copied before the first run."""
    acquire_token(world, 10 * HOUR)
    make_secret_anew(world)
    assert run(world) == "RateLimited"
    assert not has_good_token(world)
