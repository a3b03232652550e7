"""`python -m scripts.verify_aws` asks Secrets Manager what this product assumes, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.emulators.clock import Clock
from local.emulators.secrets_manager import AwsFault, SecretsManager
from local.emulators.world import AWS, environment
from local.no_proxy import no_proxy_for_loopback
from scripts import ROOT
from scripts.deploy_local.emulator import PROGRAM as MINISTACK
from scripts.verify_aws.__main__ import main
from scripts.verify_aws.answers import Verdict
from scripts.verify_aws.questions import Questions
from scripts.verify_aws.throw_away import PREFIX, ThrowAwaySecrets

OTHER = "somebody/elses"
DENIED = AwsFault("AccessDeniedException", message="not allowed")
NOT_FOUND = AwsFault("ResourceNotFoundException", message="not found")
QUESTIONS = 12


@pytest.fixture(params=[False])
def aws(request: pytest.FixtureRequest) -> Iterator[SecretsManager]:
    """The emulator, or plain moto, with a secret that is not the command's, and that is still there at the end."""
    server = SecretsManager(Clock(start=1_700_000_000), plain=request.param)
    with environment(AWS | no_proxy_for_loopback(os.environ)), server:
        server.client().create_secret(Name=OTHER, SecretString="one")
        yield server
        server.on_call = None
        assert server.client().get_secret_value(SecretId=OTHER)["VersionStages"] == ["AWSCURRENT"]


def secrets_left(server: SecretsManager) -> list[str]:
    listed = server.client().list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return [secret["Name"] for secret in listed if secret["Name"] != OTHER]


def verify(server: SecretsManager) -> int:
    return main(["--endpoint-url", server.url], sleep=server.clock.sleep)


def row(output: str, question: str) -> list[str]:
    """Return the cells of the one row whose question has these words."""
    [line] = [line for line in output.splitlines() if line.startswith("| ") and question in line]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_emulator_answers_as_expected(aws: SecretsManager, capsys: pytest.CaptureFixture[str]) -> None:
    """All questions have the expected answer, in about 35 calls, and the exit code is 0."""
    before = len(aws.calls)
    assert verify(aws) == 0
    output = capsys.readouterr().out
    assert f"{QUESTIONS} of {QUESTIONS} answers are as expected." in output
    assert output.index(aws.url) < output.index("| question |")
    assert "us-east-1" in output
    assert "Account" not in output  # only AWS itself is asked for it
    assert len(aws.calls) - before <= 36
    assert secrets_left(aws) == []


def test_no_other_secret_is_named_in_a_call(aws: SecretsManager) -> None:
    """Each call is about the two secrets with the command's own prefix."""
    before = len(aws.requests)
    assert verify(aws) == 0
    named: set[str] = set()
    for call in aws.requests[before:]:
        named |= {call.params[key] for key in ("Name", "SecretId") if key in call.params}
        named |= set(call.params.get("SecretIdList", []))
    assert len(named) == 2
    assert all(name.startswith(PREFIX) for name in named)


def test_an_answer_that_the_function_copes_with_is_told(
    aws: SecretsManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in the table, and the exit code is 0 all the same."""
    aws.is_first_version_current = False
    assert verify(aws) == 0
    output = capsys.readouterr().out
    assert row(output, "first version")[1:] == ["no", "yes", "different, and the function gets on"]
    assert f"{QUESTIONS - 1} of {QUESTIONS} answers are as expected." in output


def test_labels_that_a_put_takes_away_are_told(aws: SecretsManager, capsys: pytest.CaptureFixture[str]) -> None:
    """The function needs them for a token that people write over twice, so the exit code is 1."""
    aws.keeps_labels = False
    assert verify(aws) == 1
    output = capsys.readouterr().out
    assert row(output, "custom label stay")[1:] == ["no", "yes", "DIFFERENT: the function needs it"]
    assert f"{QUESTIONS - 1} of {QUESTIONS} answers are as expected." in output


@pytest.mark.parametrize("aws", [True], indirect=True, ids=["plain moto"])
def test_an_answer_that_the_function_can_not_live_with_is_told(
    aws: SecretsManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain moto moves a label from wherever it is, and takes labels from a version that loses AWSCURRENT."""
    assert verify(aws) == 1
    output = capsys.readouterr().out
    needed = "DIFFERENT: the function needs it"
    assert row(output, "does not name the version")[1:] == ["it is not refused", "InvalidParameterException", needed]
    assert row(output, "custom label stay")[1:] == ["no", "yes", needed]
    assert "2 are such that the function would not work right" in output
    assert secrets_left(aws) == []


def test_reads_that_lag_do_not_change_the_answers(aws: SecretsManager) -> None:
    """The command reads again before it believes an answer that is not the expected one."""
    aws.read_lag_seconds = 3
    assert verify(aws) == 0
    assert secrets_left(aws) == []


@pytest.mark.parametrize("operation", ["CreateSecret", "BatchGetSecretValue", "UpdateSecretVersionStage"])
def test_a_failure_leaves_nothing_behind(
    aws: SecretsManager, capsys: pytest.CaptureFixture[str], operation: str
) -> None:
    """AWS's error is shown, the secrets are deleted, and the exit code is 1."""
    aws.fail(operation, *[None] * (operation == "CreateSecret"), *[DENIED] * 5)
    assert verify(aws) == 1
    shown = capsys.readouterr()
    assert "AccessDeniedException" in shown.out + shown.err
    assert "Both secrets are deleted." in shown.out
    assert secrets_left(aws) == []


def test_a_secret_that_can_not_be_deleted_is_named(aws: SecretsManager, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that deletes it. The exit code is 1, although the answers are as expected."""
    aws.fail("DeleteSecret", None, *[DENIED] * 3)
    assert verify(aws) == 1
    shown = capsys.readouterr()
    [name] = secrets_left(aws)
    command = "aws secretsmanager delete-secret --region us-east-1 --force-delete-without-recovery --secret-id"
    assert f"{command} {name}" in shown.err
    assert "Both secrets are deleted." not in shown.out


def test_secret_that_aws_does_not_find_at_first_is_deleted(
    aws: SecretsManager, capsys: pytest.CaptureFixture[str]
) -> None:
    """AWS may not find a new secret at once, so "not found" is not yet a success."""
    aws.fail("DeleteSecret", None, NOT_FOUND, NOT_FOUND)
    assert verify(aws) == 0
    assert "Both secrets are deleted." in capsys.readouterr().out
    assert secrets_left(aws) == []


def test_answers_before_a_failure_are_shown(aws: SecretsManager, capsys: pytest.CaptureFixture[str]) -> None:
    """The last question can't be asked. The table has all others, and the exit code is 1."""
    aws.fail("DeleteSecret", DENIED)
    assert verify(aws) == 1
    shown = capsys.readouterr()
    assert f"{QUESTIONS - 1} of {QUESTIONS - 1} answers are as expected." in shown.out
    assert "Not all questions could be asked:" in shown.err
    assert secrets_left(aws) == []


class WithoutErrors:
    """A client of which a batch has no list of errors, which AWS's service model does not require."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_get_secret_value(self, **parameters: Any) -> Any:
        answer = self._client.batch_get_secret_value(**parameters)
        del answer["Errors"]
        return answer


def test_batch_without_a_list_of_errors_is_an_answer(aws: SecretsManager) -> None:
    """The table says that nothing was said, and the other questions are asked."""
    client = WithoutErrors(aws.client())
    with ThrowAwaySecrets(client, aws.clock.sleep) as secrets:
        answers = list(Questions(client, secrets, aws.clock.sleep).answers())
    assert len(answers) == QUESTIONS
    assert answers[0].answer == "nothing"
    assert answers[0].verdict is Verdict.BREAKS


@pytest.mark.skipif(not MINISTACK.exists(), reason="ministack is not installed")
def test_ministack_is_asked_too() -> None:
    """The command of docs/AWS.md prints what the page says of it."""
    command = [sys.executable, "-m", "scripts.verify_aws.ministack"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert completed.returncode == 1
    assert f"6 of {QUESTIONS} answers are as expected." in completed.stdout
    assert "3 are such that the function would not work right" in completed.stdout
    assert "Both secrets are deleted." in completed.stdout


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_behind(aws: SecretsManager, signum: signal.Signals) -> None:
    """Ctrl-C in the middle, and once more while the secrets are deleted."""
    command = [sys.executable, "-m", "scripts.verify_aws", "--endpoint-url", aws.url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def stop(operation: str, moment: str, _params: dict[str, Any]) -> None:
        if (operation, moment) in {("PutSecretValue", "before"), ("DeleteSecret", "before")}:
            process.send_signal(signum)

    aws.on_call = stop
    output, errors = process.communicate(timeout=60)
    aws.on_call = None
    assert process.returncode == 1
    assert f"stopped by {signum.name}" in errors
    assert "Both secrets are deleted." in output
    assert secrets_left(aws) == []


def test_the_account_is_told_first_if_it_is_aws_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moto stands in for AWS here, inside of boto3, so the endpoint is AWS's own and nothing leaves the machine."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        main(["--region", "eu-west-1"], sleep=lambda _: None)
        left = boto3.client("secretsmanager", region_name="eu-west-1").list_secrets()["SecretList"]
    output = capsys.readouterr().out
    assert "Endpoint: https://secretsmanager.eu-west-1.amazonaws.com, region: eu-west-1" in output
    assert output.index("Account: 123456789012") < output.index(PREFIX)
    assert left == []


def test_without_a_region_nothing_is_asked(aws: SecretsManager, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so."""
    before = len(aws.calls)
    with environment({}) as machine:
        del machine["AWS_DEFAULT_REGION"]  # type: ignore[attr-defined]
        assert verify(aws) == 1
    assert "Nothing was asked: You must specify a region." in capsys.readouterr().err
    assert len(aws.calls) == before
