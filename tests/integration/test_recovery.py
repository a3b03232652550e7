"""A recovery is a publish under a claim: whatever happens between two calls, no newer token is covered."""

from __future__ import annotations

import pytest

from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    GREEN,
    INTERVAL,
    Json,
    acquire_token,
    labels,
    ledger,
    public,
    run,
    write,
    write_ledger,
)
from tests.integration.traffic import do_at_calls, once, record_traffic

# Up to the move of its claim: both secrets, the ledger, both secrets, the previous version, put, move.
CALLS_BEFORE_THE_CLAIM = [
    *[(number, moment) for number in range(1, 6) for moment in ("before", "after")],
    (6, "before"),
]


def do_at_call(world: World, number: int, moment: str, act: object) -> None:
    do_at_calls(world, lambda *_: True, once(act, at=number), moment=moment)  # type: ignore[arg-type]


def test_recovery_is_a_publish_under_a_claim(world: World) -> None:
    """The claim asks for nobody. The token goes out as a new version, and the ledger's label with it."""
    token = acquire_token(world)
    write(world, "oops", CURRENT)
    with record_traffic(world) as traffic:
        result = world.invoke()
    assert result["outcome"] == "recovered"
    assert [claim["lock"]["principal"] for claim in traffic.claims] == [None]
    assert [call.op for call in traffic.writes] == ["PutSecretValue", "UpdateSecretVersionStage", "PutSecretValue"]
    assert len(traffic.publishes) == 1
    assert labels(world)[CURRENT] == labels(world)["REFRESH_LEDGER"] == result["version_id"]
    assert ledger(world)["lock"] is None
    assert public(world.token()) == public(token)


def test_claim_of_a_recovery_notes_the_slot_that_the_token_has_spent(world: World) -> None:
    """The ledger was lost. If the run dies before it publishes, nobody asks for another token all the same."""
    token = acquire_token(world)
    write(world, "oops", CURRENT)
    write_ledger(world)
    with record_traffic(world) as traffic:
        assert run(world) == "recovered"
    [claim] = traffic.claims
    assert claim["slots"][BLUE]["not_before"] == token["acquired_at"] + INTERVAL


@pytest.mark.parametrize("times", [1, 2], ids=["previous", "displaced"])
@pytest.mark.parametrize(("number", "moment"), CALLS_BEFORE_THE_CLAIM)
def test_of_two_runs_that_find_a_foreign_token_the_second_asks_nobody(
    standby_world: World, times: int, number: int, moment: str
) -> None:
    """Another run brings the good token back between any two calls: this run must not ask the standby."""
    token = acquire_token(standby_world)
    for note in range(times):
        write(standby_world, {"access_token": "CHANGE_ME", "note": note}, CURRENT)
    do_at_call(standby_world, number, moment, standby_world.invoke)
    with record_traffic(standby_world) as traffic:
        assert run(standby_world) in {"kept", "recovered"}
    assert traffic.vendor == []
    assert public(standby_world.token()) == public(token)


@pytest.mark.parametrize("times", [1, 2], ids=["previous", "displaced"])
@pytest.mark.parametrize(("number", "moment"), CALLS_BEFORE_THE_CLAIM)
def test_rotation_between_the_reads_of_a_run_is_not_undone(world: World, times: int, number: int, moment: str) -> None:
    """A rotation and its new token between any two calls: this run does not put the former token back over it."""
    acquire_token(world)
    for note in range(times):
        write(world, {"access_token": "CHANGE_ME", "note": note}, CURRENT)

    def rotate() -> None:
        world.put_credentials(GREEN)
        world.invoke()

    do_at_call(world, number, moment, rotate)
    assert run(world) == "kept"
    assert world.token()["client_id"] == GREEN
    assert [request.client_id for request in world.vendor.requests] == [BLUE, GREEN]
    assert world.consume() == 200


@pytest.mark.parametrize(("number", "moment"), CALLS_BEFORE_THE_CLAIM)
def test_token_that_is_published_between_the_reads_is_not_covered(world: World, number: int, moment: str) -> None:
    """Another run acquires while this one recovers: the newer token stays."""
    old = acquire_token(world, 21 * 3_600)
    write(world, "oops", CURRENT)

    def acquire() -> None:
        write(world, old, CURRENT)
        assert world.invoke()["outcome"] == "refreshed"

    do_at_call(world, number, moment, acquire)
    assert run(world) == "kept"
    assert world.token()["access_token"] == world.vendor.issued[-1].token
    assert len(world.vendor.issued) == 2


def test_two_recoveries_at_once_make_one_winner(world: World) -> None:
    """The loser's claim is refused, and it finds the token."""
    token = acquire_token(world)
    write(world, "oops", CURRENT)

    def is_put(operation: str, _: Json) -> bool:
        return operation == "PutSecretValue"

    do_at_calls(world, is_put, once(world.invoke))
    with record_traffic(world) as traffic:
        assert run(world) == "kept"
    assert len(traffic.publishes) == 1
    assert public(world.token()) == public(token)
