"""What AWS does not promise: a first version's label, codes of refusals, answers that arrive, reads that are new."""

from __future__ import annotations

import json

import pytest

from local.emulators.secrets_manager import CUT, LOST_ANSWER, AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    GREEN,
    HOUR,
    INTERVAL,
    LEDGER,
    LIMITED,
    PUBLISHED_LABELS,
    REFUSED,
    SEED,
    acquire_token,
    labels,
    ledger,
    now,
    outcome_and_reason,
    public,
    run,
    write,
)
from tests.integration.traffic import do_at_calls, is_claim, is_publish, once, record_traffic

# The first version


def test_seed_that_does_not_get_awscurrent_keeps_no_token_out(world: World) -> None:
    """AWS gives the label to a first version, as far as its documentation says. Without it the refresh works too."""
    world.secrets.is_first_version_current = False
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert set(labels(world)) >= PUBLISHED_LABELS
    assert len(world.vendor.requests) == 1
    assert run(world) == "kept"
    assert world.consume() == 200


def test_seed_without_awscurrent_after_a_failure_keeps_no_token_out(world: World) -> None:
    """The same if the first request fails: the next run finds the ledger, and no current version."""
    world.secrets.is_first_version_current = False
    world.vendor.script(REFUSED)
    assert run(world) == "CredentialsRefused"
    assert CURRENT not in labels(world)
    assert run(world) == "CredentialsRefused"
    assert len(world.vendor.requests) == 1
    world.clock.advance(HOUR)
    assert run(world) == "refreshed"


@pytest.mark.parametrize("event", ["status", "dry_run"])
def test_questions_work_without_a_current_version(world: World, event: str) -> None:
    """`status` and a dry run answer although no version has the label AWSCURRENT."""
    world.secrets.is_first_version_current = False
    write(world, SEED, "REFRESH_PENDING")
    question = {"action": "status"} if event == "status" else {"action": "refresh", "dry_run": True}
    assert outcome_and_reason(world.invoke(question)) == ("due", "missing")


# Labels that a put takes away


def test_refresh_works_if_a_put_takes_all_labels_from_the_version_before(world: World) -> None:
    """AWS does not say that custom labels stay. A publish names its own, so the function does without."""
    world.secrets.keeps_labels = False
    assert run(world) == "refreshed"
    world.clock.advance(INTERVAL)
    assert run(world) == "refreshed"
    assert set(labels(world)) >= PUBLISHED_LABELS
    assert world.consume() == 200


@pytest.mark.parametrize(("writes", "outcome"), [(1, "recovered"), (2, "RateLimited")])
def test_token_that_is_written_over_comes_back_once_if_a_put_takes_all_labels(
    world: World, writes: int, outcome: str
) -> None:
    """After one write it is under AWSPREVIOUS. After two no label leads to it, and the vendor's limit still holds."""
    acquire_token(world)
    world.secrets.keeps_labels = False
    for _ in range(writes):
        write(world, "oops", CURRENT)
    assert run(world) == outcome


# A batch that fails as a whole


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidRequestException"])
def test_batch_that_fails_as_a_whole_is_read_one_by_one(world: World, code: str) -> None:
    """For a secret without a value the whole batch may fail: two reads tell more."""
    fail_every_batch(world, code)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert len(traffic.vendor) == 1
    assert run(world) == "kept"
    world.clock.advance(INTERVAL)
    assert run(world) == "refreshed"
    assert world.consume() == 200


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidRequestException"])
def test_batch_that_fails_as_a_whole_costs_two_reads_of_a_fresh_token(world: World, code: str) -> None:
    """Both secrets are read on their own, in this order."""
    acquire_token(world)
    fail_every_batch(world, code)
    with record_traffic(world) as traffic:
        assert run(world) == "kept"
    assert traffic.operations == ["BatchGetSecretValue", "GetSecretValue", "GetSecretValue"]
    assert [call.params["SecretId"] for call in traffic.aws[1:]] == [CREDENTIALS_SECRET, TOKEN_SECRET]


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidRequestException"])
def test_batch_that_fails_for_the_credentials_is_a_credentials_error(world: World, code: str) -> None:
    """If the credentials secret is marked for deletion, the error says so."""
    acquire_token(world)
    world.secrets.client().delete_secret(SecretId=CREDENTIALS_SECRET)
    fail_every_batch(world, code)
    assert run(world) == "CredentialsError"


def fail_every_batch(world: World, code: str) -> None:
    fault = AwsFault(code)
    do_at_calls(
        world,
        lambda operation, _: operation == "BatchGetSecretValue",
        lambda: world.secrets.fail("BatchGetSecretValue", fault),
    )


# Refusals and lost answers of the claim

CODES = [
    "InvalidParameterException",
    "InvalidRequestException",
    "ResourceExistsException",
    "ResourceNotFoundException",
    "LimitExceededException",
    "PreconditionNotMetException",
    "SomethingNew",
]


@pytest.mark.parametrize("code", CODES)
def test_move_that_is_refused_after_it_took_effect_is_a_claim(world: World, code: str) -> None:
    """AWS does not document the code of the refusal, and the answer of the first attempt was lost."""
    acquire_token(world, INTERVAL)
    world.secrets.fail("UpdateSecretVersionStage", AwsFault(code, processed=True))
    began = now(world)
    assert outcome_and_reason(world.invoke()) == ("refreshed", "expiring")
    assert now(world) - began < 30
    assert len(world.vendor.issued) == 2
    assert world.consume() == 200


@pytest.mark.parametrize("code", CODES)
def test_move_that_is_refused_because_another_run_was_faster_is_a_lost_race(world: World, code: str) -> None:
    """Whatever the code: this run finds the other run's token, and asks nobody."""
    acquire_token(world, INTERVAL)

    def other_run() -> None:
        world.invoke()
        world.secrets.fail("UpdateSecretVersionStage", AwsFault(code))

    do_at_calls(world, is_claim, once(other_run))
    assert run(world) in {"kept", "Busy"}
    assert len(world.vendor.issued) == 2


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("fault", [CUT, LOST_ANSWER, AwsFault("InternalServiceError", 500, processed=True)])
def test_lost_answers_of_a_claim_lock_no_run_out(world: World, operation: str, times: int, fault: AwsFault) -> None:
    """After three lost answers boto3 gives up. This run or the next one refreshes, and nobody waits for a lock."""
    acquire_token(world, INTERVAL)
    world.secrets.fail(operation, *[fault] * times)
    began = now(world)
    if run(world) != "refreshed":
        assert run(world) == "refreshed"
    assert now(world) - began < 60
    assert len(world.vendor.issued) == 2
    assert ledger(world)["lock"] is None


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
@pytest.mark.parametrize("fault", [LOST_ANSWER, AwsFault("SomethingNew", processed=True)])
def test_lost_answers_never_make_two_winners(world: World, operation: str, fault: AwsFault) -> None:
    """Two runs meet lost answers at the same step: the vendor is asked once."""
    acquire_token(world, INTERVAL)
    world.secrets.fail(operation, *[fault] * 4)
    do_at_calls(world, is_claim, once(lambda: run(world)))
    assert run(world) in {"kept", "refreshed", "StoreError", "Busy"}
    world.secrets.on_call = None
    outcomes = [run(world) for _ in range(6)]  # the faults that are left over come first
    assert outcomes[-1] == "kept"
    assert len(world.vendor.requests) == 2
    assert world.vendor.most_in_flight == 1
    assert [request.issued for request in world.vendor.requests] == [True, True]


@pytest.mark.parametrize("fault", [LOST_ANSWER, AwsFault("SomethingNew", processed=True)])
def test_release_whose_answer_is_lost_is_a_release(standby_world: World, fault: AwsFault) -> None:
    """The version under the label is the release: the run goes on and asks the standby."""
    standby_world.vendor.script(REFUSED)
    standby_world.secrets.fail("UpdateSecretVersionStage", None, fault)
    with record_traffic(standby_world) as traffic:
        assert run(standby_world) == "refreshed"
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]


def test_release_whose_fate_is_unknown_ends_the_run(standby_world: World) -> None:
    """Nobody else is asked before the refusal is known to be written. The lock lapses."""
    standby_world.vendor.script(REFUSED)
    standby_world.secrets.fail("PutSecretValue", None, None, CUT, CUT, CUT)
    with record_traffic(standby_world) as traffic:
        assert run(standby_world) == "CredentialsRefused"
    assert [request.client_id for request in traffic.vendor] == [BLUE]
    assert ledger(standby_world)["lock"] is not None


# Reads that lag

LAGS = [1, 3, 6, 10]


@pytest.mark.parametrize("lag", LAGS)
def test_refresh_with_reads_that_lag_goes_on(world: World, lag: int) -> None:
    """A run does not read again what it has just written."""
    acquire_token(world, INTERVAL)
    world.secrets.read_lag_seconds = lag
    assert run(world) == "refreshed"
    world.clock.advance(HOUR)
    assert run(world) == "kept"
    assert len(world.vendor.issued) == 2


@pytest.mark.parametrize("lag", LAGS)
def test_run_that_reads_the_state_before_another_refresh_ends_in_kept(world: World, lag: int) -> None:
    """A repeated event comes at once, and its reads show the old token. It loses, waits and finds the new one."""
    acquire_token(world, INTERVAL)
    assert run(world) == "refreshed"
    world.secrets.read_lag_seconds = lag
    assert run(world) == "kept"
    assert len(world.vendor.requests) == 2


def test_run_whose_reads_lag_for_too_long_is_busy_and_its_retry_finds_the_token(world: World) -> None:
    """Beyond the 10 s of its pauses a run gives up without a second request."""
    acquire_token(world, INTERVAL)
    assert run(world) == "refreshed"
    world.secrets.read_lag_seconds = 30
    assert run(world) == "Busy"
    world.clock.advance(60)
    assert run(world) == "kept"
    assert len(world.vendor.requests) == 2


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("refusal", [REFUSED, LIMITED], ids=["401", "limit"])
def test_refused_primary_with_reads_that_lag_leaves_the_standby_to_be_asked(
    standby_world: World, lag: int, refusal: object
) -> None:
    """The run goes on with the release that it wrote: it does not find its own lock in an old read."""
    standby_world.invoke()
    standby_world.clock.advance(DAY + HOUR)
    standby_world.secrets.read_lag_seconds = lag
    standby_world.vendor.script(refusal)  # type: ignore[arg-type]
    with record_traffic(standby_world) as traffic:
        assert run(standby_world) == "refreshed"
    assert [request.client_id for request in traffic.vendor] == [BLUE, GREEN]


@pytest.mark.parametrize("lag", LAGS)
def test_recovery_with_reads_that_lag_ends_well(world: World, lag: int) -> None:
    """A token is brought back, and a second event at once after it ends in kept."""
    token = acquire_token(world)
    write(world, "oops", CURRENT)
    world.clock.advance(60)
    world.secrets.read_lag_seconds = lag
    with record_traffic(world) as traffic:
        assert run(world) == "recovered"
        assert run(world) in {"kept", "recovered"}
    assert traffic.vendor == []
    assert public(world.token())["access_token"] == token["access_token"]
    assert len([call for call in traffic.aws if is_publish(call.op, call.params)]) == 1


def test_recovery_with_reads_that_lag_for_long_is_busy(world: World) -> None:
    """The second event claims nothing twice; the retry is fine."""
    acquire_token(world)
    write(world, "oops", CURRENT)
    world.clock.advance(60)
    world.secrets.read_lag_seconds = 30
    with record_traffic(world) as traffic:
        assert run(world) == "recovered"
        assert run(world) == "Busy"
        world.clock.advance(60)
        assert run(world) == "kept"
    assert traffic.vendor == []


def test_first_deployment_with_reads_that_lag_ends_well(world: World) -> None:
    """The seed is not seen at once. In the end there is one token, and one request."""
    world.secrets.read_lag_seconds = 5
    outcomes = []
    for _ in range(3):
        outcomes.append(run(world))
        world.clock.advance(60)
    assert outcomes[-1] == "kept"
    assert len(world.vendor.requests) == 1
    assert json.loads(world.secrets.versions(TOKEN_SECRET)[labels(world)[LEDGER]].document)["access_token"]


# How many calls


def test_calls_of_each_kind_of_run(world: World) -> None:
    """A fresh token costs one call, an ordinary refresh four."""
    acquire_token(world)
    with record_traffic(world) as traffic:
        assert run(world) == "kept"
    assert traffic.operations == ["BatchGetSecretValue"]
    world.clock.advance(INTERVAL)
    with record_traffic(world) as traffic:
        assert run(world) == "refreshed"
    assert traffic.operations == [
        "BatchGetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "PutSecretValue",
    ]


def test_ledger_on_another_version_costs_two_calls_more(world: World) -> None:
    """After a failed refresh the ledger is apart from the token: it is read, and both secrets again."""
    acquire_token(world, INTERVAL)
    world.vendor.script(REFUSED)
    assert run(world) == "CredentialsRefused"
    world.clock.advance(HOUR)
    with record_traffic(world) as traffic:
        assert run(world) == "refreshed"
    assert traffic.operations == [
        "BatchGetSecretValue",
        "GetSecretValue",
        "BatchGetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "PutSecretValue",
    ]
