"""docs/DEPLOY.md: its policies allow what they should and nothing more, and its lists and sections are complete."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from tests.deployment.stack import ROOT, Stack, is_allowed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.stack import Json

TEXT = (ROOT / "docs" / "DEPLOY.md").read_text()
JSON_BLOCKS = re.compile(r"^```json\n(.+?)^```", re.MULTILINE | re.DOTALL)
SECRET_POLICY, KEY_STATEMENT, ROLE_POLICY = map(json.loads, JSON_BLOCKS.findall(TEXT))
ROLE = "arn:aws:iam::222222222222:role/orders"
TOKEN = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:TokenSecret-a1b2c3d4-AbCdEf"
CREDENTIALS = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:CredentialsSecret-e5f6a7b8-GhIjKl"
KEY = "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab"
STAGE = "secretsmanager:VersionStage"
VERSION = "secretsmanager:VersionId"
ACTION = re.compile(r"`([a-z0-9]+:[A-Z]\w+)`")


def section(heading: str) -> str:
    """Return the text under a heading."""
    _, _, rest = TEXT.partition(f"\n## {heading}\n")
    assert rest
    return rest.partition("\n## ")[0]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def condition_holds(condition: Json, context: dict[str, str]) -> bool:
    """Evaluate the operators of these policies as IAM does."""
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            if operator == "Null":
                holds = (key not in context) == (wanted == "true")
            else:
                assert operator in {"StringEquals", "ForAnyValue:StringEquals"}
                holds = context.get(key) in listed(wanted)
            if not holds:
                return False
    return True


def allows(statements: list[Json], action: str, resource: str, who: str, context: dict[str, str]) -> bool:
    """Say whether a statement allows the action. A policy of a role names no principal."""
    return any(
        action in listed(statement["Action"])
        and fnmatchcase(resource, statement["Resource"])
        and statement.get("Principal", {"AWS": who}) == {"AWS": who}
        and condition_holds(statement.get("Condition", {}), context)
        for statement in statements
    )


def can_read(secret: str, request: dict[str, str], who: str = ROLE) -> bool:
    """Say whether this role of another account can read a secret: all three policies must allow their part."""
    read = "secretsmanager:GetSecretValue"
    on_secret = secret == TOKEN and allows(SECRET_POLICY["Statement"], read, secret, who, request)
    in_own_account = allows(ROLE_POLICY["Statement"], read, secret, who, request)
    decryption = {
        "kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com",
        "kms:EncryptionContext:SecretARN": secret,
    }
    with_key = allows([KEY_STATEMENT], "kms:Decrypt", KEY, who, decryption)
    key_in_own_account = allows(ROLE_POLICY["Statement"], "kms:Decrypt", KEY, who, decryption)
    return on_secret and in_own_account and with_key and key_in_own_account


@pytest.mark.parametrize("request_keys", [{}, {STAGE: "AWSCURRENT"}, {STAGE: "AWSPREVIOUS"}])
def test_a_consumer_in_another_account_reads_the_token(request_keys: dict[str, str]) -> None:
    """It reads the current token and the one before, also without naming a stage."""
    assert can_read(TOKEN, request_keys)


def test_it_reads_nothing_else_and_nobody_else_does() -> None:
    """It can't read the ledger, a version by its id, or the credentials, and another role can't read the token."""
    assert not can_read(TOKEN, {STAGE: "REFRESH_LEDGER"})
    assert not can_read(TOKEN, {VERSION: "some-version"})
    assert not can_read(TOKEN, {VERSION: "some-version", STAGE: "REFRESH_LEDGER"})
    assert not can_read(CREDENTIALS, {})
    assert not can_read(TOKEN, {}, who="arn:aws:iam::222222222222:role/other")
    assert not can_read(TOKEN, {}, who="arn:aws:iam::333333333333:role/orders")


def test_the_key_decrypts_the_token_alone_and_only_through_secrets_manager() -> None:
    """The same key encrypts the credentials, and the role may not decrypt those, nor anything by a call of its own."""
    service = {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}
    token = {"kms:EncryptionContext:SecretARN": TOKEN}
    credentials = {"kms:EncryptionContext:SecretARN": CREDENTIALS}
    assert allows([KEY_STATEMENT], "kms:Decrypt", KEY, ROLE, service | token)
    assert not allows([KEY_STATEMENT], "kms:Decrypt", KEY, ROLE, service | credentials)
    assert not allows([KEY_STATEMENT], "kms:Decrypt", KEY, ROLE, token)
    assert not allows([KEY_STATEMENT], "kms:Encrypt", KEY, ROLE, service | token)


def test_the_list_for_a_boundary_has_each_action_of_the_roles() -> None:
    """Whoever writes a boundary from the list has a deployment that works, whatever parameters are set."""
    everything = {
        "KmsKeyArn": KEY,
        "EventBusName": "default",
        "VpcSubnetIds": "subnet-0abc",
        "VpcSecurityGroupIds": "sg-0abc",
    }
    needed = {"lambda:InvokeFunction", "sqs:SendMessage"}  # of the schedule's role, which SAM makes
    for stack in (Stack(**everything), Stack(ConnectionsPrefix="tango/", **everything)):
        documents = [one["PolicyDocument"] for one in stack.properties("RefreshFunctionRole")["Policies"]]
        documents += [one["PolicyDocument"] for one in stack.of_type("AWS::IAM::Policy").values()]
        statements = [statement for document in documents for statement in document["Statement"]]
        for statement in statements:
            if statement["Effect"] == "Allow":
                needed |= set(listed(statement["Action"]))
    assert set(ACTION.findall(section("A permissions boundary"))) == needed


SETTINGS_OF_THE_SHELL = re.compile(r"^```sh\n((?:export .+\n)+)```", re.MULTILINE)
WHAT_PROGRAMS_SEE = """
import os, botocore.session
session = botocore.session.Session()
print(session.profile, session.get_config_variable("region"), os.environ["AWS_REGION"])
"""


def test_the_shell_of_the_page_has_a_region_for_every_program(tmp_path: Path) -> None:
    """Boto3 reads another variable than AWS's other libraries. The page's lines give all of them one region."""
    config = tmp_path / "config"
    config.write_text("[profile my-profile]\n")
    [lines] = SETTINGS_OF_THE_SHELL.findall(TEXT)
    done = subprocess.run(
        ["sh", "-euc", f'{lines}exec "$0" -c "$1"', sys.executable, WHAT_PROGRAMS_SEE],
        env={"PATH": os.environ["PATH"], "AWS_CONFIG_FILE": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "my-profile eu-west-1 eu-west-1\n"


def test_the_section_of_a_brand_has_parameters_that_the_template_takes() -> None:
    """People copy it, and change its values."""
    [block] = re.findall(r"^```toml\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
    deploy = tomllib.loads(block)["acme-production"]["deploy"]["parameters"]
    overrides = dict(one.split("=", 1) for one in deploy["parameter_overrides"])
    assert all(is_allowed(name, value) for name, value in overrides.items())
    assert deploy["fail_on_empty_changeset"] is False
