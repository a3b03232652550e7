"""A good token that somebody displaced comes back, without a request to the vendor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.emulators.clock import Clock
from local.emulators.world import TOKEN_SECRET, World
from tests.conftest import secrets_in
from tests.integration.helpers import (
    CURRENT,
    DAY,
    DOWN,
    HOUR,
    Json,
    acquire_token,
    labels,
    now,
    outcome_and_reason,
    public,
    run,
    write,
)
from tests.integration.traffic import do_at_calls, do_at_vendor, once, record_traffic

PLACEHOLDERS = [{"access_token": "CHANGE_ME", "note": note} for note in (0, 1)]


@pytest.fixture(params=[False, True], ids=["alone", "with a standby"])
def any_world(request: pytest.FixtureRequest, clock: Clock) -> Iterator[World]:
    """A world without a standby, and one with."""
    with World(clock, standby=request.param) as made:
        yield made
        assert not secrets_in(made.output, made)


def two_tokens(world: World, *, later: float) -> tuple[Json, Json]:
    """Have a first token at 0 h and a second one at 20.2 h; return both when `later` hours have passed."""
    first = acquire_token(world, 20.2 * HOUR)
    assert world.invoke()["outcome"] == "refreshed"
    second = world.token()
    world.clock.advance((later - 20.2) * HOUR)
    return first, second


def version_of(world: World, access_token: str) -> str:
    versions = world.secrets.versions(TOKEN_SECRET)
    return next(version_id for version_id, version in versions.items() if access_token in version.document)


def assert_comes_back(world: World, token: Json, reasons: set[str]) -> None:
    """Assert that one run brings the token back, and asks nobody."""
    with record_traffic(world) as traffic:
        outcome, reason = outcome_and_reason(world.invoke())
    assert outcome == "recovered"
    assert reason in reasons
    assert traffic.vendor == []
    assert public(world.token()) == public(token)
    assert world.consume() == 200


def test_token_that_was_written_over_twice_by_hand_comes_back(any_world: World) -> None:
    """No label but the ledger's is on it any more: two placeholders have taken the others."""
    _, second = two_tokens(any_world, later=21)
    for placeholder in PLACEHOLDERS:
        write(any_world, placeholder, CURRENT)
    assert_comes_back(any_world, second, {"displaced"})


def test_first_token_that_was_written_over_twice_by_hand_comes_back(any_world: World) -> None:
    """The same soon after the first deployment."""
    first = acquire_token(any_world)
    for placeholder in PLACEHOLDERS:
        write(any_world, placeholder, CURRENT)
    assert_comes_back(any_world, first, {"displaced"})


def test_older_document_that_was_put_back_does_not_hide_the_newer_token(any_world: World) -> None:
    """A restore from a backup puts back the first document, which has expired by then."""
    first, second = two_tokens(any_world, later=25.2)
    write(any_world, first, CURRENT)
    assert_comes_back(any_world, second, {"displaced", "previous"})


def test_older_document_that_was_put_back_twice_does_not_hide_the_newer_token(any_world: World) -> None:
    """The second restore takes the label AWSPREVIOUS from the newer token."""
    first, second = two_tokens(any_world, later=25.2)
    write(any_world, first, CURRENT)
    write(any_world, first | {"note": "again"}, CURRENT)
    assert_comes_back(any_world, second, {"displaced"})


def test_label_that_was_moved_back_does_not_hide_the_newer_token(any_world: World) -> None:
    """Somebody moves AWSCURRENT back to the first document's version."""
    first, second = two_tokens(any_world, later=25.2)
    move_current(any_world, version_of(any_world, first["access_token"]))
    assert_comes_back(any_world, second, {"displaced", "previous"})


def test_older_token_that_is_due_does_not_hide_the_newer_one(any_world: World) -> None:
    """The older document put back is still good, but in its window; the newer one has hours more."""
    first, second = two_tokens(any_world, later=21)
    write(any_world, first, CURRENT)
    assert_comes_back(any_world, second, {"displaced"})


def move_current(world: World, version_id: str) -> None:
    world.secrets.client().update_secret_version_stage(
        SecretId=TOKEN_SECRET,
        VersionStage=CURRENT,
        MoveToVersionId=version_id,
        RemoveFromVersionId=labels(world)[CURRENT],
    )


def test_two_batches_in_a_row_that_lag_do_not_spend_the_standbys_slot(standby_world: World) -> None:
    """Both reads of both secrets show the expired token, although another run has published a fresh one."""
    acquire_token(standby_world, DAY + HOUR)
    standby_world.invoke()
    fresh = standby_world.token()

    def is_batch(operation: str, _: Json) -> bool:
        return operation == "BatchGetSecretValue"

    def lag() -> None:
        standby_world.secrets.stale_reads = 1

    first, second = once(lag, at=1), once(lag, at=2)

    def lag_twice() -> None:
        first()
        second()

    do_at_calls(standby_world, is_batch, lag_twice)
    with record_traffic(standby_world) as traffic:
        assert run(standby_world) in {"kept", "recovered"}
        assert run(standby_world) == "kept"
    assert traffic.vendor == []
    assert public(standby_world.token()) == public(fresh)


# The ledger carries the best good token


def test_label_moved_to_an_expired_token_during_a_claim_loses_no_token(any_world: World) -> None:
    """A claim is in progress when somebody moves AWSCURRENT to an old token of ours; then the claim is released."""
    first, second = two_tokens(any_world, later=40.6)
    old_version = version_of(any_world, first["access_token"])
    do_at_vendor(any_world, "received", once(lambda: move_current(any_world, old_version)))
    any_world.vendor.script(DOWN)
    assert run(any_world) == "VendorError"
    any_world.vendor.on_request = None
    assert_comes_back(any_world, second, {"displaced", "previous"})


def test_old_document_put_during_a_claim_twice_loses_no_token(any_world: World) -> None:
    """The same by two writes: no label but the ledger's leads to the good token."""
    first, second = two_tokens(any_world, later=40.6)

    def put_back_twice() -> None:
        write(any_world, first, CURRENT)
        write(any_world, first | {"note": "again"}, CURRENT)

    do_at_vendor(any_world, "received", once(put_back_twice))
    any_world.vendor.script(DOWN)
    assert run(any_world) == "VendorError"
    any_world.vendor.on_request = None
    assert_comes_back(any_world, second, {"displaced"})


def test_two_values_by_hand_after_a_claim_lose_no_token(any_world: World) -> None:
    """After a claim and its release no label but the ledger's leads to the good token, if two values are written."""
    _, second = two_tokens(any_world, later=40.6)
    any_world.vendor.script(DOWN)
    assert run(any_world) == "VendorError"
    for placeholder in PLACEHOLDERS:
        write(any_world, placeholder, CURRENT)
    assert_comes_back(any_world, second, {"displaced"})


def test_two_values_by_hand_under_a_dead_runs_lock_lose_no_token(any_world: World) -> None:
    """A run dies between its claim and its publish: the claim carries the token that was current."""
    _, second = two_tokens(any_world, later=40.6)

    def die() -> None:
        raise SystemExit

    process = any_world.process()
    process.sleep = lambda _: die()  # the run stops at its first pause
    any_world.vendor.stop()
    with pytest.raises(SystemExit):
        any_world.invoke(process=process)
    any_world.vendor.start()
    for placeholder in PLACEHOLDERS:
        write(any_world, placeholder, CURRENT)
    any_world.clock.advance(HOUR)
    assert now(any_world) < second["expires_at"]
    assert_comes_back(any_world, second, {"displaced"})
