"""The runbook's tables, row by row: the situation is made, status is asked, and the row's advice is followed."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from handler.connections import WarmProcess
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.conftest import secrets_in
from tests.documents import ROOT, Row, first_table, section
from tests.integration.arrangements import displaced, expired, expiring, previous
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DOWN,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    LEDGER,
    LIMITED,
    MINUTE,
    OVERRIDE,
    STATUS,
    Json,
    acquire_token,
    another_runs_lock,
    has_good_token,
    labels,
    ledger,
    now,
    outcome_and_reason,
    run,
    run_as_lambda,
    write,
    write_ledger,
)
from tests.integration.traffic import leave_token_unsaved

RUNBOOK = "docs/RUNBOOK.md"
OTHER_AUDIENCE = {"AUDIENCE": "https://other.example/"}

# The process that is asked; None is a new one.
Arranged = WarmProcess | None


class Case(NamedTuple):
    """A situation of the first table, and what its row says that helps.

    `standby` is none or yes. `arrange` makes the situation. `advice` is a part of the row's last cell, and `follow`
    does what that says. `comes` is what the last run ends as then.
    """

    outcome: str
    reason: str
    standby: str
    arrange: Callable[[World], Arranged]
    advice: str
    follow: Callable[[World, Arranged], str]
    comes: str


@pytest.fixture
def make_world(clock: Clock) -> Iterator[Callable[[str], World]]:
    """Make a world with or without a standby; like the other fixtures, it must not show a secret."""
    made: list[World] = []

    def make(standby: str) -> World:
        world = World(clock, standby=standby == "yes").__enter__()
        made.append(world)
        return world

    yield make
    for world in made:
        world.__exit__(None, None, None)
        assert not secrets_in(world.output, world)


# Situations


def nothing(_: World) -> None:
    """Leave the world as it is after a deployment."""


def deactivated(world: World) -> None:
    acquire_token(world)
    world.vendor.deactivate(BLUE)


def other_primary(world: World) -> None:
    acquire_token(world)
    world.put_credentials(GREEN, BLUE)


def other_audience(world: World) -> WarmProcess:
    acquire_token(world, INTERVAL)
    return world.process(**OTHER_AUDIENCE)


def other_audience_too_early(world: World) -> WarmProcess:
    acquire_token(world)
    return world.process(**OTHER_AUDIENCE)


def unsaved(world: World) -> WarmProcess:
    process = world.process()
    leave_token_unsaved(world, process)
    return process


def locked(world: World) -> None:
    acquire_token(world, INTERVAL)
    write_ledger(world, slots=ledger(world)["slots"], lock=another_runs_lock(world, remaining=120))


def too_many_claims(world: World) -> None:
    acquire_token(world, INTERVAL)
    write_ledger(world, slots=ledger(world)["slots"], pace={"level": 0, "at": now(world)})


def same_token(world: World) -> None:
    token = acquire_token(world, INTERVAL)
    answer = {"access_token": token["access_token"], "token_type": "Bearer", "expires_in": HOUR}
    world.vendor.script(Fault.answer(200, answer))
    world.invoke()


def back_to_the_first_primary(world: World) -> None:
    """A rotation that was taken back: the second client's token is current, and is the standby's now."""
    acquire_token(world)
    world.put_credentials(GREEN, BLUE)
    world.invoke()
    world.put_credentials(BLUE, GREEN)


def refused_for_the_limit(world: World) -> None:
    """Somebody else has asked with the client, so the vendor refuses it for hours."""
    acquire_token(world, INTERVAL)
    world.vendor.client_outages[BLUE] = LIMITED
    world.invoke()


def answer_lost(world: World) -> None:
    acquire_token(world, INTERVAL)
    world.vendor.script(Fault.cut(issues=True))
    assert run_as_lambda(world) == ["OutcomeUnknown", "waiting"]


def mistyped_secret(world: World) -> None:
    acquire_token(world, INTERVAL)
    right = world.client_secrets[BLUE]
    world.client_secrets[BLUE] = "mistyped"
    world.put_credentials(BLUE, standby_of(world))
    assert run(world) == "CredentialsRefused"
    world.client_secrets[BLUE] = right


def vendor_down(world: World) -> None:
    acquire_token(world, INTERVAL)
    world.vendor.client_outages[BLUE] = DOWN
    assert run_as_lambda(world) == ["VendorError"] * 3


def credentials_deleted(world: World) -> None:
    acquire_token(world)
    world.secrets.client().delete_secret(SecretId=CREDENTIALS_SECRET)


def standby_of(world: World) -> str | None:
    """Return the standby if the world has one."""
    credentials = json.loads(world.secrets.client().get_secret_value(SecretId=CREDENTIALS_SECRET)["SecretString"])
    return GREEN if "standby" in credentials else None


# Advice


def refresh(world: World, process: Arranged) -> str:
    return run(world, process=process)


def replace_the_credential(world: World, _: Arranged) -> str:
    world.put_credentials(GREEN)
    return run(world)


def refresh_after_three_minutes(world: World, _: Arranged) -> str:
    world.clock.advance(3 * MINUTE)
    return run(world)


def wait(world: World, process: Arranged) -> str:
    """Let the schedule run every hour, and once at `not_before`. Consumers have a token all the time."""
    not_before = world.invoke(STATUS, process)["not_before"]
    while now(world) + HOUR < not_before:
        assert has_good_token(world)
        run(world, process=process)
        world.clock.advance(HOUR)
    assert has_good_token(world)
    world.clock.advance(not_before - now(world))
    return run(world, process=process)


def put_a_standby_in(world: World, process: Arranged) -> str:
    """The standby is asked when less than 2.5 hours are left, or at once without a good token."""
    world.put_credentials(BLUE, GREEN)
    if process is not None:
        return run(world, process=process)
    return let_the_standby_step_in(world, process)


def let_the_standby_step_in(world: World, _: Arranged) -> str:
    """Nobody does anything, and the standby's token is there before the old one ends."""
    ended = "waiting"
    while ended != "refreshed":
        assert has_good_token(world)
        world.clock.advance(HOUR)
        ended = run_as_lambda(world)[-1]
    assert world.token()["client_id"] == GREEN
    return ended


def put_the_credentials_right(world: World, _: Arranged) -> str:
    world.put_credentials(BLUE, standby_of(world))
    return run(world)


def wait_for_the_vendor(world: World, process: Arranged) -> str:
    world.vendor.client_outages.clear()
    return wait(world, process)


def restore_the_credentials(world: World, _: Arranged) -> str:
    world.secrets.client().restore_secret(SecretId=CREDENTIALS_SECRET)
    return run(world)


CASES = [
    Case("kept", "fresh", "none", deactivated, "#a-credential-was-deactivated", replace_the_credential, "refreshed"),
    Case("due", "missing", "none", nothing, "run refresh", refresh, "refreshed"),
    Case("due", "expiring", "none", expiring, "run refresh", refresh, "refreshed"),
    Case("due", "expired", "none", expired, "run refresh", refresh, "refreshed"),
    Case("due", "client_changed", "yes", other_primary, "run refresh", refresh, "refreshed"),
    Case("due", "config_changed", "none", other_audience, "run refresh", refresh, "refreshed"),
    Case("due", "unsaved", "none", unsaved, "run refresh", refresh, "recovered"),
    Case("due", "previous", "none", previous, "run refresh", refresh, "recovered"),
    Case("due", "displaced", "none", displaced, "run refresh", refresh, "recovered"),
    Case("waiting", "locked", "none", locked, "run refresh", refresh_after_three_minutes, "refreshed"),
    Case("waiting", "too_many_claims", "none", too_many_claims, "#too-many-claims", wait, "refreshed"),
    Case("waiting", "same_token", "none", same_token, "Nothing", wait, "refreshed"),
    Case(
        "waiting",
        "limit_interval",
        "none",
        other_audience_too_early,
        "#put-a-standby-in",
        put_a_standby_in,
        "refreshed",
    ),
    Case("waiting", "limit_interval", "yes", back_to_the_first_primary, "Nothing", wait, "refreshed"),
    Case("waiting", "rate_limited", "none", refused_for_the_limit, "#put-a-standby-in", put_a_standby_in, "refreshed"),
    Case("waiting", "rate_limited", "none", answer_lost, "#put-a-standby-in", put_a_standby_in, "refreshed"),
    Case("waiting", "rate_limited", "yes", answer_lost, "Nothing", let_the_standby_step_in, "refreshed"),
    Case(
        "waiting",
        "credentials_refused",
        "none",
        mistyped_secret,
        "#put-credentials-right",
        put_the_credentials_right,
        "refreshed",
    ),
    Case("waiting", "credentials_refused", "yes", mistyped_secret, "morning", let_the_standby_step_in, "refreshed"),
    Case("waiting", "backing_off", "none", vendor_down, "#the-vendor-fails", wait_for_the_vendor, "refreshed"),
    Case("waiting", "backing_off", "none", vendor_down, "#put-a-standby-in", put_a_standby_in, "refreshed"),
    Case("waiting", "backing_off", "yes", vendor_down, "#the-vendor-fails", let_the_standby_step_in, "refreshed"),
    Case("waiting", "unreadable", "none", credentials_deleted, "#what-cant-be-read", restore_the_credentials, "kept"),
]


def row_of(case: Case) -> Row:
    """Return the row of the runbook that a person finds for this answer."""
    table = first_table(section(RUNBOOK, "## What status says, and what to do"))
    [row] = [row for row in table if row[:2] == [case.outcome, case.reason] and row[2] in {"any", case.standby}]
    return row


def name_of(case: Case) -> str:
    return f"{case.reason}-{case.standby}-{case.follow.__name__}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_each_row_of_what_status_says_is_true(make_world: Callable[[str], World], case: Case) -> None:
    """In the row's situation status has the row's words, and who follows the row's advice has a token that works."""
    world = make_world(case.standby)
    process = case.arrange(world)
    if not isinstance(process, WarmProcess):
        process = None
    result = world.invoke(STATUS, process)
    assert outcome_and_reason(result) == (case.outcome, case.reason)
    assert case.advice in row_of(case)[-1]
    assert case.follow(world, process) == case.comes
    assert world.consume() == 200


def test_each_key_of_status_is_in_the_reference(world: World) -> None:
    """A new key of a result, or of a status, shows there."""
    documented = {key for row in first_table(reference_of_keys()) for key in row[0].split(", ")}
    assert documented == set(world.invoke(STATUS))


def reference_of_keys() -> str:
    """Return the part of the reference that has the table of keys."""
    return section("docs/REFERENCE.md", "## Results").partition("| key |")[2]


def test_each_row_of_what_status_says_is_played() -> None:
    """A row that nobody has tried is not in the table. A sweep has tests of its own."""
    table = first_table(section(RUNBOOK, "## What status says, and what to do"))
    played = [row_of(case) for case in CASES]
    assert [row[:3] for row in table if row not in played] == [["swept", "null", "any"]]


def test_who_waits_for_our_guess_may_be_refused_again(world: World) -> None:
    """After a first refusal `not_before` is 15 minutes later. Refused then, it is 20 hours later."""
    refused_for_the_limit(world)
    assert world.invoke(STATUS)["not_before"] == now(world) + 15 * MINUTE
    world.clock.advance(15 * MINUTE)
    assert run(world) == "waiting"
    result = world.invoke(STATUS)
    assert result["not_before"] == now(world) + INTERVAL
    assert result["not_before"] - result["expires_at"] > 16 * HOUR
    assert "CONSUMERS WILL HAVE NO TOKEN" in result["summary"]


def test_standby_helps_also_after_the_token_has_ended(world: World) -> None:
    """Put in during the hours without a token, it brings one with the next run."""
    answer_lost(world)
    world.clock.advance(5 * HOUR)
    assert run(world) == "RateLimited"
    world.put_credentials(BLUE, GREEN)
    assert run(world) == "refreshed"
    assert world.consume() == 200


def test_standby_put_in_takes_the_capitals_away(world: World) -> None:
    """Whoever has put it in sees it in status, before it was ever asked."""
    answer_lost(world)
    assert "CONSUMERS WILL HAVE NO TOKEN" in world.invoke(STATUS)["summary"]
    world.put_credentials(BLUE, GREEN)
    result = world.invoke(STATUS)
    assert "CONSUMERS" not in result["summary"]
    assert result["standby"]["client_id"] == GREEN


def test_override_after_the_vendor_has_reset_the_limit(world: World) -> None:
    """It asks once, but not within 10 minutes of the last request."""
    answer_lost(world)
    world.vendor.reset_limit(BLUE)
    assert run(world, OVERRIDE) == "waiting"
    world.clock.advance(10 * MINUTE)
    assert run(world, OVERRIDE) == "refreshed"


def test_run_in_which_the_primary_fails_is_followed_by_one_that_asks_the_standby(standby_world: World) -> None:
    """By hand a second refresh is needed; a run of the schedule is repeated by Lambda."""
    vendor_down(standby_world)
    standby_world.clock.advance(2 * HOUR)
    assert run(standby_world) == "VendorError"
    assert run(standby_world) == "refreshed"
    assert standby_world.token()["client_id"] == GREEN


def test_force_asks_before_a_pause_is_over(world: World) -> None:
    """At least 10 minutes after the last request: the section on a vendor that fails says so."""
    vendor_down(world)
    world.vendor.client_outages.clear()
    assert run(world, FORCE) == "waiting"
    world.clock.advance(10 * MINUTE)
    assert run(world, FORCE) == "refreshed"


def test_secret_that_was_just_changed_may_be_read_as_it_was(world: World) -> None:
    """Reads lag: `kept` right after new credentials means to run again a minute later."""
    acquire_token(world)
    world.secrets.read_lag_seconds = MINUTE
    world.clock.advance(HOUR)
    world.put_credentials(GREEN, BLUE)
    assert run(world) == "kept"
    world.clock.advance(MINUTE)
    assert run(world) == "refreshed"


def test_ledger_whose_label_is_gone_is_written_anew(world: World) -> None:
    """While the token is good nothing has to be done: the token says when its client may ask again."""
    acquire_token(world)
    take_the_label_off(world)
    result = world.invoke(STATUS)
    assert outcome_and_reason(result) == ("kept", "fresh")
    assert result["ledger"]["slots"] == {}
    assert run(world, FORCE) == "waiting"
    world.clock.advance(INTERVAL)
    assert run(world) == "refreshed"
    assert LEDGER in labels(world)


def test_label_that_is_given_back_brings_the_token_back(world: World) -> None:
    """Somebody wrote over the token twice and took the label off: with the label the version is found again."""
    acquire_token(world)
    version_id = labels(world)[CURRENT]
    take_the_label_off(world)
    write(world, "oops", CURRENT)
    write(world, "oops again", CURRENT)
    assert outcome_and_reason(world.invoke(STATUS)) == ("due", "missing")
    world.secrets.client().update_secret_version_stage(
        SecretId=TOKEN_SECRET, VersionStage=LEDGER, MoveToVersionId=version_id
    )
    assert outcome_and_reason(world.invoke(STATUS)) == ("due", "displaced")
    assert run(world) == "recovered"


def take_the_label_off(world: World) -> None:
    world.secrets.client().update_secret_version_stage(
        SecretId=TOKEN_SECRET, VersionStage=LEDGER, RemoveFromVersionId=labels(world)[LEDGER]
    )


# What can't be read


class Unreadable(NamedTuple):
    """What makes a secret unreadable, the row's first two cells, and what makes it readable again."""

    arrange: Callable[[World], object]
    error: str
    text: str
    mend: Callable[[World], object]


def delete(world: World, secret: str, *, at_once: bool = False) -> None:
    how = {"ForceDeleteWithoutRecovery": True} if at_once else {"RecoveryWindowInDays": 7}
    world.secrets.client().delete_secret(SecretId=secret, **how)


def restore(world: World, secret: str) -> None:
    world.secrets.client().restore_secret(SecretId=secret)


def create_credentials_anew(world: World) -> None:
    world.secrets.do("CreateSecret", Name=CREDENTIALS_SECRET)
    world.put_credentials(BLUE)


def put_no_json(world: World) -> None:
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString="no JSON")


def meet(code: str) -> Callable[[World], None]:
    """Return what makes every call meet this error."""

    def arrange(world: World) -> None:
        world.secrets.outage = AwsFault(code)

    return arrange


def end_outage(world: World) -> None:
    world.secrets.outage = None


def allow_everything(world: World) -> None:
    world.secrets.access.denied.clear()
    world.secrets.access.denied_keys.clear()


UNREADABLE = [
    Unreadable(
        lambda world: delete(world, CREDENTIALS_SECRET),
        "CredentialsError",
        "InvalidRequestException",
        lambda world: restore(world, CREDENTIALS_SECRET),
    ),
    Unreadable(
        lambda world: delete(world, CREDENTIALS_SECRET, at_once=True),
        "CredentialsError",
        "ResourceNotFoundException",
        create_credentials_anew,
    ),
    Unreadable(put_no_json, "CredentialsError", "any other", lambda world: world.put_credentials(BLUE)),
    Unreadable(
        lambda world: delete(world, TOKEN_SECRET),
        "StoreError",
        "InvalidRequestException",
        lambda world: restore(world, TOKEN_SECRET),
    ),
    Unreadable(
        lambda world: delete(world, TOKEN_SECRET, at_once=True),
        "StoreError",
        "ResourceNotFoundException",
        lambda world: world.secrets.do("CreateSecret", Name=TOKEN_SECRET),
    ),
    Unreadable(
        lambda world: world.secrets.access.denied.add(TOKEN_SECRET),
        "StoreError",
        "is not authorized to perform",
        allow_everything,
    ),
    Unreadable(
        lambda world: world.secrets.access.denied_keys.add(CREDENTIALS_SECRET), "StoreError", "KMS", allow_everything
    ),
    Unreadable(meet("DecryptionFailure"), "StoreError", "DecryptionFailure, EncryptionFailure", end_outage),
    Unreadable(meet("InternalServiceError"), "StoreError", "any other", end_outage),
]


def first_row_that_fits(problem: Json) -> Row:
    for row in first_table(section(RUNBOOK, "## What can't be read")):
        words = row[1].split(", ")
        fits = row[1] == "any other" or any(word in problem["text"] for word in words)
        if row[0] == problem["error"] and fits:
            return row
    raise AssertionError(f"no row for {problem}")


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: f"{case.error}-{case.text}")
def test_each_row_of_what_can_not_be_read_is_true(world: World, case: Unreadable) -> None:
    """The problem that status names leads to its row, and once it is mended nothing is unreadable."""
    acquire_token(world)
    case.arrange(world)
    problems = world.invoke(STATUS)["problems"]
    assert [first_row_that_fits(problem)[:2] for problem in problems] == [[case.error, case.text]] * len(problems)
    assert problems
    case.mend(world)
    after = world.invoke(STATUS)
    assert after["problems"] == []
    assert after["reason"] != "unreadable"


def test_each_row_of_what_can_not_be_read_is_played() -> None:
    """A row that nobody has tried is not in the table."""
    table = first_table(section(RUNBOOK, "## What can't be read"))
    assert [row[:2] for row in table] == [[case.error, case.text] for case in UNREADABLE]


# The shell function of the page

# Stands for the AWS CLI: it sends what it is given to the emulated Lambda, and prints what the CLI prints.
AWS_CLI = """
import sys
import urllib.request
options = dict(zip(sys.argv[4::2], sys.argv[5::2]))
payload = open(options["--payload"].removeprefix("fileb://"), "rb").read()
url = sys.argv[1] + "/2015-03-31/functions/" + options["--function-name"] + "/invocations"
answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, payload)
open(sys.argv[-1], "wb").write(answer.read())
print({"StatusCode": answer.status})
"""


def test_shell_function_of_the_page_prints_the_answer_alone(tmp_path: Path) -> None:
    """It can be redirected: there is JSON, without what the AWS CLI says. With NAME it is of this connection."""
    page = (ROOT / RUNBOOK).read_text()
    [function] = re.findall(r"^run\(\) \{\n.*?^\}\n", page, re.MULTILINE | re.DOTALL)
    script = (
        f'aws() {{ {sys.executable} -c {shlex.quote(AWS_CLI)} "$URL" "$@"; }}\n{function}'
        "FUNCTION=token-refresh\n"
        "NAME=; run status > swept\n"
        "NAME=stores/001; run refresh > refreshed; run force > kept\n"
        "run stop\n"
    )
    with World(Clock(), prefix="tango/") as world:
        world.add_store("stores/001")
        world.functions.start_queue()
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=os.environ | {"URL": world.functions.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout == ""
    assert done.stderr == "run status | refresh | dry-run | force | override-limit\n"
    for outcome in ("swept", "refreshed", "kept"):
        assert json.loads((tmp_path / outcome).read_text())["outcome"] == outcome
