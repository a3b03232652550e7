# ruff: noqa: T201 - a command line program prints
"""Ask AWS what docs/AWS.md assumes of Secrets Manager, with two secrets that are deleted at the end.

Nothing is asked of you, and no other secret is touched. The exit code is 0 if the function gets on with every answer,
and 1 if it does not, or if the questions could not be asked.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.markdown import table
from scripts.verify_aws.answers import Answer, Verdict
from scripts.verify_aws.questions import Questions
from scripts.verify_aws.throw_away import Stopped, ThrowAwaySecrets

AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
COSTS = "It makes about 35 calls and two secrets for a minute, which costs less than one US cent."


def main(arguments: list[str] | None = None, sleep: Callable[[float], None] = time.sleep) -> int:
    options = _parser().parse_args(arguments)
    session = boto3.Session()
    try:
        client = session.client(
            "secretsmanager",
            region_name=options.region,
            endpoint_url=options.endpoint_url,
        )
        _introduce(session, client)
    except (BotoCoreError, ClientError, ValueError) as error:
        print(f"Nothing was asked: {error}", file=sys.stderr)
        return 1
    return _verify(client, sleep)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.verify_aws", description=__doc__, epilog=COSTS)
    parser.add_argument("--region", help="instead of the one that the AWS CLI would use")
    parser.add_argument("--endpoint-url", help="of an emulator, instead of AWS")
    return parser


def _introduce(session: Any, client: Any) -> None:
    """Say where the secrets will be. Only AWS itself is asked for the account."""
    endpoint = client.meta.endpoint_url
    region = client.meta.region_name
    print(f"Endpoint: {endpoint}, region: {region}")
    if (urlsplit(endpoint).hostname or "").endswith(AWS_DOMAINS):
        caller = session.client("sts", region_name=region).get_caller_identity()
        print(f"Account: {caller['Account']}, as {caller['Arn']}")
    print(COSTS, flush=True)


def _verify(client: Any, sleep: Callable[[float], None]) -> int:
    """Ask, print the table, and return the exit code."""
    secrets = ThrowAwaySecrets(client, sleep)
    answers: list[Answer] = []
    failure = ""
    try:
        with secrets:
            print(f"Secrets: {secrets.empty} and {secrets.full}\n", flush=True)
            for answer in Questions(client, secrets, sleep).answers():
                answers.append(answer)  # noqa: PERF402 - so that those before a failure are kept
    except Stopped as signal:
        failure = f"stopped by {signal}"
    except (BotoCoreError, ClientError) as error:
        failure = str(error)
    finally:
        _tell_of_deletion(client, secrets)
    if answers:
        _show(answers)
    if failure:
        print(f"Not all questions could be asked: {failure}", file=sys.stderr)
    is_fine = all(answer.verdict is not Verdict.BREAKS for answer in answers)
    return 0 if is_fine and not failure and not secrets.left else 1


def _show(answers: list[Answer]) -> None:
    rows = [(answer.question, answer.answer, answer.expected, answer.verdict) for answer in answers]
    print(table(("question", "answer", "expected", ""), rows))
    expected = [answer for answer in answers if answer.verdict is Verdict.AS_EXPECTED]
    broken = [answer for answer in answers if answer.verdict is Verdict.BREAKS]
    print(f"\n{len(expected)} of {len(answers)} answers are as expected.")
    if broken:
        print(f"{len(broken)} are such that the function would not work right: see docs/AWS.md, and please tell us.")


def _tell_of_deletion(client: Any, secrets: ThrowAwaySecrets) -> None:
    if not secrets.left:
        print("Both secrets are deleted.")
        return
    region = client.meta.region_name
    print("These secrets could not be deleted. Delete them like this:", file=sys.stderr)
    for name in secrets.left:
        command = f"aws secretsmanager delete-secret --region {region} --force-delete-without-recovery"
        print(f"{command} --secret-id {name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
