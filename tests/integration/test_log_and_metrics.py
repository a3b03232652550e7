"""The log and the metrics of a run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest

from handler.errors import CredentialsRefused, StoreError, VendorError
from local.emulators.faults import Fault
from local.emulators.secrets_manager import AwsFault
from local.emulators.world import World
from tests.conftest import secrets_in
from tests.integration.arrangements import due, kept, recovered, status, waiting
from tests.integration.helpers import (
    BLUE,
    DAY,
    FORCE,
    HOUR,
    INTERVAL,
    MINUTE,
    REFUSED,
    Json,
    acquire_token,
)
from tests.integration.traffic import do_at_vendor, leave_token_unsaved, logged, metrics


def test_each_publish_that_fails_is_in_the_log(world: World) -> None:
    """The log shows each failed attempt with AWS's error code, before the run fails with the last one."""
    leave_token_unsaved(world, world.process())
    errors = [line["error"] for line in logged(world, "PublishFailed")]
    assert len(errors) > 5
    assert set(errors) == {"Secrets Manager, put_secret_value of tango/token: EncryptionFailure scripted"}


def test_debug_logs_of_the_libraries_show_no_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """At the log level DEBUG, which an operator may set, no library logs what it sends or reads."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="urllib3")
    assert world.invoke()["outcome"] == "refreshed"
    assert "urllib3" in packages_that_logged(caplog)  # of the calls to AWS, before the vendor was asked
    assert not [line for line in caplog.messages if "/oauth/token" in line]
    assert not secrets_in(caplog.text, world)
    caplog.clear()
    assert world.invoke()["outcome"] == "kept"
    assert "token-refresh" in packages_that_logged(caplog)
    assert not packages_that_logged(caplog) & {"urllib3", "requests", "botocore"}
    assert not secrets_in(caplog.text, world)


def packages_that_logged(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.name.partition(".")[0] for record in caplog.records}


def test_words_of_aws_are_not_repeated(world: World) -> None:
    """AWS may quote the request, which contains a token: the function repeats only AWS's error code."""
    world.secrets.fail("PutSecretValue", AwsFault("ValidationException", message="canary in SecretString"))
    with pytest.raises(StoreError, match="ValidationException"):
        world.invoke()
    assert "canary" not in world.output


def test_claim_is_in_the_log_with_its_reason_and_its_principal(world: World) -> None:
    """The log says why a token will be asked for and for which client; an unsaved token needs no client."""
    process = world.process()
    leave_token_unsaved(world, process)
    [line] = logged(world, "Claimed")
    assert line["reason"] == "missing"
    assert line["principal"] == BLUE
    world.invoke(process=process)
    [line] = logged(world, "Claimed")
    assert line["reason"] == "unsaved"
    assert line.get("principal") is None


def test_result_counts_from_the_end_of_a_slow_run(world: World) -> None:
    """The remaining life of the token is shorter by the time that the acquire took."""
    do_at_vendor(world, "received", lambda: world.clock.advance(MINUTE))
    result = world.invoke()
    assert result["seconds_remaining"] == DAY - MINUTE
    assert metrics(world)["TokenSecondsRemaining"] == DAY - MINUTE


def test_refusal_is_in_the_log_with_its_client(world: World) -> None:
    """The log says which client was refused, and what the vendor answered."""
    world.vendor.script(REFUSED)
    with pytest.raises(CredentialsRefused) as caught:
        world.invoke()
    line = logged(world, "CredentialsRefused")[0]
    assert line["principal"] == BLUE
    assert "HTTP 401, invalid_client" in line["error"]
    [line] = logged(world, str(caught.value))
    assert (line["level"], line["error"], line["retryable"]) == ("ERROR", "CredentialsRefused", False)
    assert "oauth2.py" in line["exception"]


def test_failure_in_the_log_says_that_a_retry_may_help(world: World) -> None:
    """Whoever reads the line of a vendor in trouble sees that Lambda's retry is worth waiting for."""
    world.vendor.script(Fault.answer(503))
    with pytest.raises(VendorError) as caught:
        world.invoke()
    [line] = logged(world, str(caught.value))
    assert (line["error"], line["retryable"]) == ("VendorError", True)


def test_reason_of_an_event_goes_to_the_log(world: World) -> None:
    """The reason that somebody gives in an event is in the log, where people look for it."""
    acquire_token(world)
    world.invoke(FORCE | {"reason": "the vendor asked for it"})
    assert "the vendor asked for it" in world.output


def test_result_is_in_the_log_with_what_was_asked(world: World) -> None:
    """One log line of a run has the request and the result."""
    result = world.invoke({"force": True, "reason": "to be sure"})
    [line] = logged(world, "refreshed")
    request = {
        "action": "refresh",
        "force": True,
        "override_limit": False,
        "dry_run": False,
        "reason": "to be sure",
        "connection": "",
    }
    assert line["level"] == "INFO"
    assert line["result"] == result
    assert line["asked"] == request


def test_error_that_nobody_foresaw_is_in_the_log_by_its_name(world: World) -> None:
    """An unexpected exception is raised unchanged and counted, and the log says that it is not retryable."""
    process = world.process()
    process.now = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        world.invoke(process=process)
    [line] = logged(world, "unexpected error")
    assert line["level"] == "ERROR"
    assert line["error"] == "ZeroDivisionError"
    assert line["retryable"] is False
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_text_of_an_error_that_nobody_foresaw_is_not_in_the_log(world: World) -> None:
    """The log says where a foreign exception comes from, but not its text, which may hold a secret."""

    def fail() -> float:
        raise ValueError(world.client_secrets[world.primary])

    process = world.process()
    process.now = fail
    with pytest.raises(ValueError, match="secret-of-the-emulator"):
        world.invoke(process=process)
    log = json.dumps(world.lines)
    assert world.client_secrets[world.primary] not in log
    [line] = logged(world, "unexpected error")
    assert "in fail" in line["frames"][-1]
    world.outputs[:] = [log]  # the error itself was to show the secret


def test_metrics_are_one_emf_line(world: World) -> None:
    """The metrics have the namespace and the one dimension that the alarms name."""
    world.invoke()
    [line] = [line for line in world.lines if "_aws" in line]
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "TokenRefresh"
    assert directive["Dimensions"] == [["service"]]
    assert line["service"] == "token-refresh"
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units == {"TokenSecondsRemaining": "Seconds", "Refreshed": "Count"}


@pytest.mark.parametrize(
    ("run", "counts"),
    [
        (kept, {"TokenSecondsRemaining": DAY - HOUR, "Kept": 1}),
        (World.invoke, {"TokenSecondsRemaining": DAY, "Refreshed": 1}),
        (recovered, {"TokenSecondsRemaining": DAY - HOUR, "Recovered": 1}),
        (waiting, {"TokenSecondsRemaining": DAY - HOUR, "Waiting": 1}),
        (due, {"TokenSecondsRemaining": DAY - INTERVAL}),
        (status, {"TokenSecondsRemaining": DAY - HOUR}),
    ],
)
def test_only_what_happened_is_counted(world: World, run: Callable[[World], Json], counts: dict[str, float]) -> None:
    """A run emits the remaining life and its outcome. A question has no outcome to count."""
    run(world)
    assert metrics(world) == counts
