"""The claim: compare-and-set of the ledger, before the vendor is asked, and what happens if another run is faster."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from handler.errors import Busy, ConfigurationError, StoreError, VendorError
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DOWN,
    GREEN,
    INTERVAL,
    LEDGER,
    MINUTE,
    NOT_SAVED,
    PENDING,
    PREVIOUS,
    PUBLISHED_LABELS,
    REFUSED,
    SEED,
    Json,
    acquire_token,
    another_runs_lock,
    another_runs_token,
    asked_slot,
    labels,
    ledger,
    now,
    outcome_and_reason,
    write,
    write_ledger,
)
from tests.integration.traffic import Traffic, do_at_calls, do_at_vendor, is_claim, once, record_traffic


def test_ledger_is_in_hand_if_the_token_carries_it(world: World) -> None:
    """After a publish one version is token and ledger. An ordinary refresh takes four AWS calls."""
    acquire_token(world, INTERVAL)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "expiring")
    assert traffic.operations == [
        "BatchGetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "PutSecretValue",
    ]


def test_ledger_is_read_only_when_a_refresh_is_due_and_before_the_secrets(world: World) -> None:
    """If the ledger is elsewhere, a due run reads it, then both secrets again: the claim covers all that it read."""
    acquire_token(world, INTERVAL)
    write_ledger(world)
    with record_traffic(world) as traffic:
        world.invoke()
    assert traffic.operations == [
        "BatchGetSecretValue",
        "GetSecretValue",
        "BatchGetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "PutSecretValue",
    ]
    assert traffic.aws[1].params["VersionStage"] == LEDGER


def test_claim_is_a_compare_and_set(world: World) -> None:
    """A claim is put under the pending label; then it takes the ledger's label from the version that was read."""
    before = acquire_token(world, INTERVAL)
    replaced = labels(world)[LEDGER]
    with record_traffic(world) as traffic:
        world.invoke()
    put, move, publish = (call.params for call in traffic.writes)
    assert put["VersionStages"] == [PENDING]
    carried = json.loads(put["SecretString"])
    assert carried | {"ledger": before["ledger"]} == before  # the current token is still the best one
    assert move == {
        "SecretId": TOKEN_SECRET,
        "VersionStage": LEDGER,
        "MoveToVersionId": put["ClientRequestToken"],
        "RemoveFromVersionId": replaced,
    }
    assert set(publish["VersionStages"]) == PUBLISHED_LABELS
    ids = {put["ClientRequestToken"], publish["ClientRequestToken"], replaced}
    assert len(ids) == 3
    assert labels(world)[PENDING] == put["ClientRequestToken"]


def test_first_claim_takes_the_label_from_nobody(world: World) -> None:
    """If there is no ledger yet, the move does not name a version that loses the label."""
    with record_traffic(world) as traffic:
        world.invoke()
    [move] = [call.params for call in traffic.writes if is_claim(call.op, call.params)]
    assert "RemoveFromVersionId" not in move


def test_lock_says_who_holds_it_for_whom_and_until_when(world: World) -> None:
    """While the vendor is asked, the ledger contains this run's lock with its keys and times."""
    locks: list[Json] = []

    def note_lock(moment: str) -> None:
        if moment == "received":
            locks.append(ledger(world)["lock"])

    world.vendor.on_request = note_lock
    acquire_token(world, INTERVAL)
    world.invoke()
    [first, second] = locks
    assert second == {
        "run_id": second["run_id"],
        "principal": BLUE,
        "claimed_at": now(world),
        "until": now(world) + 120 + 30 + 30,
    }
    assert isinstance(second["run_id"], str)
    assert first["run_id"] != second["run_id"] != "local"  # Lambda's retries repeat its own request id
    assert ledger(world)["lock"] is None


def test_lock_lasts_as_long_as_the_settings_say(world: World) -> None:
    """More time to acquire and to write makes the lock longer."""
    process = world.process(ACQUIRE_TIMEOUT_SECONDS="200", WRITE_RESERVE_SECONDS="50")
    with record_traffic(world) as traffic:
        world.invoke(process=process)
    assert traffic.claims[0]["lock"]["until"] == now(world) + 200 + 50 + 30


@pytest.mark.parametrize(
    ("is_ledger_apart", "number", "moment"),
    [
        *[(False, number, moment) for number in (1, 2) for moment in ("before", "after")],
        (False, 3, "before"),
        *[(True, number, moment) for number in (1, 2, 3, 4) for moment in ("before", "after")],
        (True, 5, "before"),
    ],
)
def test_whenever_another_run_refreshes_one_token_is_acquired(
    world: World, is_ledger_apart: bool, number: int, moment: str
) -> None:
    """If another run refreshes between any two calls up to the claim, this run finds that token and does not ask."""
    acquire_token(world, INTERVAL)
    if is_ledger_apart:
        write_ledger(world)
    do_at_calls(world, lambda *_: True, once(world.invoke, at=number), moment=moment)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
    assert len(traffic.vendor) == 1
    assert world.token()["access_token"] == world.vendor.issued[-1].token


@pytest.mark.parametrize("moment", ["received", "issued"])
def test_run_that_comes_while_the_vendor_is_asked_does_not_ask(world: World, moment: str) -> None:
    """From the claim to the publication the lock keeps a second run from asking."""
    refused: list[type[BaseException]] = []

    def second_run(at: str) -> None:
        if at == moment:
            with pytest.raises(Busy) as caught:
                world.invoke(timeout=100)
            refused.append(caught.type)

    world.vendor.on_request = second_run
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert refused == [Busy]
    assert len(world.vendor.requests) == 1


def write_ledger_in_first_calls(world: World, times: int) -> Callable[[], None]:
    """Return a function that writes another ledger in its first `times` calls, so that a claim comes too late."""
    remaining = iter(range(times))

    def write_if_any_remain() -> None:
        if next(remaining, None) is not None:
            write_ledger(world)

    return write_if_any_remain


def is_put(operation: str, _: Json) -> bool:
    return operation == "PutSecretValue"


def test_lost_race_leaves_no_version(world: World) -> None:
    """Of two runs that replace the same ledger version in the same three minutes, one puts its claim."""
    acquire_token(world, INTERVAL)
    before = len(world.secrets.versions(TOKEN_SECRET))
    do_at_calls(world, is_put, once(world.invoke))
    assert world.invoke()["outcome"] == "kept"
    assert len(world.secrets.versions(TOKEN_SECRET)) == before + 2
    assert [request.client_id for request in world.vendor.requests] == [BLUE, BLUE]


def test_claim_of_another_run_with_the_same_id_is_not_won(world: World) -> None:
    """If the version under the label has the id of this run's claim and another run's lock, the race is lost."""
    acquire_token(world, INTERVAL)

    def claim_and_keep_the_lock() -> None:
        world.vendor.script(DOWN)
        its_claim, its_release = None, NOT_SAVED
        world.secrets.fail("PutSecretValue", its_claim, its_release)
        with pytest.raises(VendorError):
            world.invoke()

    do_at_calls(world, is_put, once(claim_and_keep_the_lock))
    with record_traffic(world) as traffic, pytest.raises(Busy, match=r"^another run holds the lock"):
        world.invoke(timeout=100)
    ours, theirs, _ = (call.params for call in traffic.writes if is_put(call.op, {}))
    assert ours["ClientRequestToken"] == theirs["ClientRequestToken"] == labels(world)[LEDGER]
    assert ours["SecretString"] != theirs["SecretString"]
    assert len(traffic.vendor) == 1


def test_earlier_claim_of_this_run_that_a_late_read_shows_is_not_the_new_one(standby_world: World) -> None:
    """The run asks with its standby only if the claim for it is under the label, not one that it has released."""
    world = standby_world
    world.vendor.script(REFUSED)
    do_at_vendor(world, "received", lambda: world.clock.advance(10))

    def another_run_claims_and_reads_lag() -> None:
        write_ledger(world, lock=another_runs_lock(world, principal=GREEN))
        world.secrets.read_lags["GetSecretValue"] = 5

    # The label moves to the primary's claim, to its release, and then to the standby's claim.
    do_at_calls(world, is_claim, once(another_run_claims_and_reads_lag, at=3))
    with record_traffic(world) as traffic, pytest.raises(Busy, match=r"^another run holds the lock"):
        world.invoke(timeout=100)
    assert [claim["lock"] and claim["lock"]["principal"] for claim in traffic.claims[:3]] == [BLUE, None, GREEN]
    assert [request.client_id for request in traffic.vendor] == [BLUE]


def test_run_that_loses_every_race_is_busy(world: World) -> None:
    """After five lost claims the run gives up. It never asks without a claim."""
    do_at_calls(world, is_claim, write_ledger_in_first_calls(world, 100))
    with record_traffic(world) as traffic, pytest.raises(Busy) as caught:
        world.invoke()
    assert str(caught.value) == "other runs were faster 5 times"
    assert caught.value.retryable
    assert len(traffic.claims) == 5
    assert traffic.vendor == []


def test_run_without_time_for_another_claim_is_busy(world: World) -> None:
    """It says so, rather than that the timeout is too short: another run is at work."""
    do_at_calls(world, is_claim, write_ledger_in_first_calls(world, 1))
    with pytest.raises(Busy, match=r"^another run was faster, and no time is left to try again"):
        world.invoke(timeout=40)


def test_run_claims_again_if_its_time_just_covers_it(world: World) -> None:
    """After the pause of a second there is as much time left as a claim needs."""
    do_at_calls(world, is_claim, write_ledger_in_first_calls(world, 1))
    assert outcome_and_reason(world.invoke(timeout=41)) == ("refreshed", "missing")


def test_run_that_loses_four_races_may_win_the_fifth(world: World) -> None:
    """After a lost claim the run reads everything again, and claims again."""
    do_at_calls(world, is_claim, write_ledger_in_first_calls(world, 4))
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert len(traffic.claims) == 5
    assert len(traffic.vendor) == 1
    assert len({claim["lock"]["run_id"] for claim in traffic.claims}) == 1


def test_lost_race_is_decided_again(world: World) -> None:
    """If the run that won the race then publishes, this run finds its token."""
    write(world, SEED, CURRENT)
    publish_by_another_run = once(lambda: write(world, another_runs_token(world), CURRENT, LEDGER))
    do_at_calls(world, is_claim, publish_by_another_run)
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
    assert world.vendor.requests == []


def test_slow_claim_is_released(world: World) -> None:
    """A claim that takes more than half of the time to acquire is released: its token might come too late to save."""
    do_at_calls(world, is_claim, once(lambda: world.clock.advance(61)), moment="after")
    with record_traffic(world) as traffic, pytest.raises(StoreError) as caught:
        world.invoke()
    assert str(caught.value) == "Secrets Manager took too long over the claim"
    assert caught.value.code == "SlowClaim"
    assert caught.value.retryable is True
    assert traffic.vendor == []
    assert ledger(world)["lock"] is None
    assert ledger(world)["slots"] == {BLUE: asked_slot(failures=1, error="StoreError")}


def test_slow_claim_for_a_token_at_hand_is_released(world: World) -> None:
    """Nobody was to be asked, so it is no failure, and the next run publishes the token."""
    token = acquire_token(world)
    write(world, "oops", CURRENT)
    do_at_calls(world, is_claim, once(lambda: world.clock.advance(61)), moment="after")
    with pytest.raises(StoreError, match="took too long"):
        world.invoke()
    assert ledger(world)["lock"] is None
    assert ledger(world)["slots"][BLUE]["failures"] == 0
    assert world.invoke()["outcome"] == "recovered"
    assert world.token()["access_token"] == token["access_token"]


def test_claim_that_takes_half_of_the_time_is_good(world: World) -> None:
    """The other half is enough to acquire."""
    do_at_calls(world, is_claim, once(lambda: world.clock.advance(60)), moment="after")
    assert world.invoke()["outcome"] == "refreshed"


def ids_of_claims(traffic: Traffic) -> list[str]:
    """Return the ids under which runs have put their claims, the refused ones included."""
    puts = [call.params for call in traffic.aws if call.op == "PutSecretValue"]
    return [put["ClientRequestToken"] for put in puts if put["VersionStages"] == [PENDING]]


def test_claim_whose_id_is_taken_gets_another_one(world: World) -> None:
    """The winner of the shared id may have died, so from the third try on each has an id of its own."""
    write(world, SEED, CURRENT)
    world.secrets.fail("PutSecretValue", *3 * [AwsFault("ResourceExistsException")])
    with record_traffic(world) as traffic:
        assert world.invoke()["outcome"] == "refreshed"
    ids = ids_of_claims(traffic)
    assert len(ids) == 4
    assert ids[0] == ids[1]
    assert len({*ids}) == 3


def test_tries_are_counted_for_each_ledger_version_anew(world: World) -> None:
    """A run that has lost two races has the same id as another run in the third one: one of them puts its claim."""
    acquire_token(world, INTERVAL)
    write_ledger_twice = write_ledger_in_first_calls(world, 2)
    refresh_at_the_third = once(world.invoke, at=3)

    def be_faster() -> None:
        write_ledger_twice()
        refresh_at_the_third()

    do_at_calls(world, is_put, be_faster)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
    first, second, of_another_run, third = ids_of_claims(traffic)
    assert third == of_another_run
    assert len({first, second, third}) == 3


def test_claim_has_another_id_three_minutes_later(world: World) -> None:
    """A claim that was put and never got the label does not cost the next run its first try."""
    acquire_token(world, INTERVAL)
    world.secrets.fail("UpdateSecretVersionStage", AwsFault("AccessDeniedException"))
    with record_traffic(world) as traffic, pytest.raises(StoreError):
        world.invoke()
    world.clock.advance(3 * MINUTE)
    with record_traffic(world) as later_traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "expiring")
    assert len(ids_of_claims(later_traffic)) == 1
    assert ids_of_claims(later_traffic) != ids_of_claims(traffic)


def test_claim_counts_from_its_own_moment(world: World) -> None:
    """The lock and the time to acquire start when the claim is made, not when the reads started."""
    write(world, SEED, CURRENT)

    def reads_previous(operation: str, params: Json) -> bool:
        return operation == "GetSecretValue" and params["VersionStage"] == PREVIOUS

    do_at_calls(world, reads_previous, once(lambda: world.clock.advance(70)))
    began = now(world)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert traffic.claims[0]["lock"]["claimed_at"] == began + 70


@pytest.mark.parametrize(
    ("timeout", "settings"),
    [
        (39, {}),
        (34, {"ACQUIRE_TIMEOUT_SECONDS": "5"}),
        (69, {"WRITE_RESERVE_SECONDS": "60"}),
    ],
)
def test_run_that_is_too_short_claims_nothing(world: World, timeout: int, settings: dict[str, str]) -> None:
    """It is a configuration mistake if a run's time can't cover the reserve and a short acquire."""
    remedy = "raise the function's timeout, or lower ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS$"
    with record_traffic(world) as traffic, pytest.raises(ConfigurationError, match=remedy) as caught:
        world.invoke(process=world.process(**settings), timeout=timeout)
    assert not caught.value.retryable
    assert traffic.claims == []
    assert traffic.vendor == []


@pytest.mark.parametrize(
    ("timeout", "settings"),
    [
        (40, {}),
        (35, {"ACQUIRE_TIMEOUT_SECONDS": "5"}),
        (70, {"WRITE_RESERVE_SECONDS": "60"}),
    ],
)
def test_run_that_is_just_long_enough_refreshes(world: World, timeout: int, settings: dict[str, str]) -> None:
    """The reserve and ten seconds are enough, or the reserve and all of a shorter time to acquire."""
    result = world.invoke(process=world.process(**settings), timeout=timeout)
    assert outcome_and_reason(result) == ("refreshed", "missing")
