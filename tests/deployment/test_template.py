"""The template fits the handler: its permissions, its settings, its alarms and its dashboard."""

from __future__ import annotations

import json
import re
import tomllib
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from handler import __version__, aws
from handler.app import parse_event
from handler.errors import CredentialsError, CredentialsRefused, OutcomeUnknown, RefreshError, StoreError, VendorError
from handler.settings import CLOCK_DIFFERENCE_SECONDS, Settings, service_name
from local.aws_lambda import TIMEOUT_SECONDS
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.lambda_runtime import FUNCTION_NAME
from local.emulators.secrets_manager import LOST_ANSWER, AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World, environment
from tests.deployment.stack import ACCOUNT, NAME, REGION, ROOT, TEMPLATE, Json, Stack, arn, is_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MINUTE = 60
HOUR = 3_600
START = 1_790_000_000.0
DUE = 20 * HOUR + 10 * MINUTE  # after a token's beginning: in the window, and past the limit
NOT_SAVED = AwsFault("EncryptionFailure")  # nothing that boto3 repeats by itself, which would wait in real seconds
BUS = "default"

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
THEIR_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:tango/credentials-XyZ123"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/ours/boundary"
RUNBOOK = "https://wiki.example.com/on-call/tango-token-keeper"
THEIR_TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call"
EVERYTHING = {
    "Environment": "production",
    "AlarmTopicArn": THEIR_TOPIC,
    "ExistingCredentialsSecretArn": THEIR_SECRET,
    "KmsKeyArn": KEY,
    "ReplicaRegion1": "eu-west-1",
    "ReplicaRegion2": "ap-southeast-2",
    "EventBusName": BUS,
    "ReservedConcurrency": "2",
    "RunbookUrl": RUNBOOK,
    "Architecture": "x86_64",
    "PermissionsBoundaryArn": BOUNDARY,
}
PREFIX = "tango/"
# The stack does not make these for many connections.
OF_ONE_CONNECTION = {"ExistingCredentialsSecretArn", "ReplicaRegion1", "ReplicaRegion2"}
EVERYTHING_OF_MANY = {name: value for name, value in EVERYTHING.items() if name not in OF_ONE_CONNECTION}
EVERYTHING_OF_MANY["ConnectionsPrefix"] = PREFIX
PLAIN = Stack()
FULL = Stack(**EVERYTHING)
MANY = Stack(ConnectionsPrefix=PREFIX)
FULL_MANY = Stack(**EVERYTHING_OF_MANY)
IN_VPC = Stack(VpcSubnetIds="subnet-0abc,subnet-0def", VpcSecurityGroupIds="sg-0abc")
WITH_EVERYTHING = [FULL, FULL_MANY]
OF_MANY = [MANY, FULL_MANY]
KINDS_OF_ONE = [pytest.param(PLAIN, id="plain"), pytest.param(FULL, id="everything")]
KINDS_OF_MANY = [pytest.param(MANY, id="many"), pytest.param(FULL_MANY, id="many with everything")]
ONE_CONNECTION = pytest.mark.parametrize("stack", KINDS_OF_ONE)
MANY_CONNECTIONS = pytest.mark.parametrize("stack", KINDS_OF_MANY)
EVERY_KIND = pytest.mark.parametrize("stack", [*KINDS_OF_ONE, *KINDS_OF_MANY])
VIA_SECRETS_MANAGER = {"StringEquals": {"kms:ViaService": [f"secretsmanager.{REGION}.amazonaws.com"] * 2}}
# What AWS itself emits, and the dimension that tells this stack's from others.
AWS_METRICS = {
    "AWS/Lambda": ("FunctionName", "RefreshFunction", {"Duration", "Invocations", "Errors", "Throttles"}),
    "AWS/SQS": ("QueueName", "DeadLetterQueue.QueueName", {"ApproximateNumberOfMessagesVisible"}),
}


# What the real handler does


@dataclass
class Observed:
    """What the real handler asked AWS for, and what it reported."""

    grants: set[tuple[str, str]] = field(default_factory=set)  # an IAM action, and the secret, bus or function
    metrics: set[tuple[str, str, str]] = field(default_factory=set)  # namespace, name and dimension
    failures: defaultdict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))  # log lines by error

    def record_call(self, params: Mapping[str, Any], model: Any, **_: object) -> None:
        """Record a call of boto3 as the permissions that AWS requires for it."""
        action = f"{model.service_model.signing_name}:{model.name}"
        if "SecretIdList" in params:
            self.grants.add((action, "*"))
            for secret_id in params["SecretIdList"]:
                self.grants.add(("secretsmanager:GetSecretValue", secret_id))
        elif "Filters" in params:
            self.grants.add((action, "*"))
            self.grants.add(("secretsmanager:ListSecrets", "*"))
        elif "Entries" in params:
            for entry in params["Entries"]:
                self.grants.add((action, entry["EventBusName"]))
        elif "FunctionName" in params:
            self.grants.add(("lambda:InvokeFunction", params["FunctionName"]))
        else:
            self.grants.add((action, params["SecretId"]))

    def record_answer(self, parsed: Mapping[str, Any], **_: object) -> None:
        """Record which secrets a batch has read: a filter does not name them."""
        for secret in parsed.get("SecretValues", []):
            self.grants.add(("secretsmanager:GetSecretValue", secret["Name"]))

    def record_lines(self, lines: list[Json]) -> None:
        for line in lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Dimensions"] == [["service"]]
                assert line["service"] == service_name()
                for metric in directive["Metrics"]:
                    self.metrics.add((directive["Namespace"], metric["Name"], "service"))
            if line.get("level") == "ERROR":
                self.failures[line["error"]].append(line)


@contextmanager
def observation(world: World) -> Iterator[Observed]:
    """Observe what the handler does in the block. The world has made its own clients before."""
    observed = Observed()
    session = boto3.Session()
    session.events.register("before-parameter-build.*.*", observed.record_call)
    session.events.register("after-call.*.*", observed.record_answer)
    variables = world.environment(EVENT_BUS_NAME=BUS, AWS_ENDPOINT_URL_EVENTS=world.secrets.url)
    with environment(variables), pytest.MonkeyPatch.context() as patch:
        # The handler makes its clients with this session.
        patch.setattr(boto3, "DEFAULT_SESSION", session)
        patch.setattr(aws, "session", lambda: session._session)  # noqa: SLF001 - boto3 is around it
        yield observed


@pytest.fixture(scope="module")
def observed() -> Observed:
    with World(Clock(START)) as world, observation(world) as observed:
        run_every_kind(world, observed)
    return observed


@pytest.fixture(scope="module")
def observed_of_many() -> Observed:
    with World(Clock(START), prefix=PREFIX) as world, observation(world) as observed:
        sweep_and_refresh(world, observed)
    return observed


def sweep_and_refresh(world: World, observed: Observed) -> None:
    """Let a sweep find two stores and half a connection, and Lambda refresh the stores."""
    world.function_process = world.process(EVENT_BUS_NAME=BUS)
    world.functions.listeners.append(lambda _: observed.record_lines(world.lines))
    for name in ("017", "north/018"):
        world.add_store(name)
    world.secrets.do("CreateSecret", Name=world.token_secret("half"))
    world.clock.advance(HOUR)  # by then half a connection is a problem
    assert world.invoke()["outcome"] == "swept"
    observed.record_lines(world.lines)
    world.functions.run_queue()
    assert world.invoke({"action": "status"})["outcome"] == "swept"
    observed.record_lines(world.lines)
    assert world.invoke({"action": "status", "connection": "017"})["outcome"] == "kept"


def run_every_kind(world: World, observed: Observed) -> None:
    """Let everything happen once: every outcome, and every call that leads to it."""
    process = world.process(EVENT_BUS_NAME=BUS)

    def run(*expected: type[RefreshError], **event: object) -> str:
        try:
            outcome: str = world.invoke(event, process)["outcome"]
        except expected as error:
            outcome = type(error).__name__
        observed.record_lines(world.lines)
        return outcome

    world.vendor.report_expires_in = 0
    assert run() == "refreshed"  # from a secret without a value
    assert run() == "kept"
    assert run(action="status") == "kept"
    assert run(dry_run=True) == "kept"
    lose_a_write(world, run)
    restore(world, run)
    wait_for_a_lock(world, run)
    lose_a_token(world, run)
    be_refused(world, run)
    back_off(world, run)


def lose_a_write(world: World, run: Callable[..., str]) -> None:
    world.clock.advance(DUE)
    world.secrets.fail("UpdateSecretVersionStage", LOST_ANSWER)  # the claim's move: boto3 repeats it, AWS refuses
    world.vendor.on_request = lambda _moment: setattr(world.secrets, "outage", NOT_SAVED)
    assert run(StoreError) == "StoreError"
    world.vendor.on_request = world.secrets.outage = None
    assert run() == "recovered"


def restore(world: World, run: Callable[..., str]) -> None:
    world.put_credentials("client-green")
    assert run() == "refreshed"
    world.put_credentials("client-blue")
    assert run() == "recovered"
    world.put_credentials("client-blue", "client-green")


def wait_for_a_lock(world: World, run: Callable[..., str]) -> None:
    world.clock.advance(DUE)
    now = int(world.clock.now())
    lock = {"run_id": "another-run", "principal": "client-blue", "claimed_at": now, "until": now + MINUTE}
    ledger = {"schema": 1, "ledger": {"lock": lock, "slots": {}, "pace": {"level": 8, "at": 0}}}
    world.secrets.client().put_secret_value(
        SecretId=TOKEN_SECRET, SecretString=json.dumps(ledger), VersionStages=["REFRESH_LEDGER"]
    )
    assert run() == "refreshed"


def lose_a_token(world: World, run: Callable[..., str]) -> None:
    world.clock.advance(DUE)
    world.vendor.script(Fault.cut(issues=True))
    assert run(OutcomeUnknown) == "OutcomeUnknown"
    assert run() == "waiting"  # the vendor refuses, for its limit
    world.clock.advance(2 * HOUR)
    assert run() == "refreshed"  # with the standby


def be_refused(world: World, run: Callable[..., str]) -> None:
    world.clock.advance(DUE)
    world.vendor.script(Fault.answer(401, {"error": "invalid_client"}))
    assert run(CredentialsRefused) == "CredentialsRefused"
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString="{}")
    assert run(CredentialsError) == "CredentialsError"


def back_off(world: World, run: Callable[..., str]) -> None:
    world.put_credentials("client-blue")
    world.clock.advance(DUE)
    world.vendor.outage = Fault.answer(503)
    for _ in range(4):  # the last one waits
        assert run(VendorError) == "VendorError"
    world.vendor.outage = None


# The secrets


@ONE_CONNECTION
def test_the_token_secret_has_no_value_and_outlives_the_stack(stack: Stack) -> None:
    """An update of the stack can't overwrite a token, and deleting the stack does not delete it.

    Only a deployment that fails deletes the secrets that it has made itself.
    """
    secrets = [resource for resource in stack.resources.values() if resource["Type"] == "AWS::SecretsManager::Secret"]
    for secret in secrets:
        assert not {"SecretString", "GenerateSecretString"} & secret["Properties"].keys()
        assert secret["DeletionPolicy"] == "RetainExceptOnCreate"
        assert secret["UpdateReplacePolicy"] == "Retain"
    assert "TokenSecret" in stack.resources
    assert ("CredentialsSecret" in stack.resources) == (stack is PLAIN)


@MANY_CONNECTIONS
def test_the_stack_makes_no_secret_of_many_connections(stack: Stack) -> None:
    """Each service makes and deletes its own, so no change of the stack can touch a token."""
    assert stack.of_type("AWS::SecretsManager::Secret") == {}


@pytest.mark.parametrize(("service", "begins_with"), [("", NAME), ("tango-eu", "tango-eu")])
def test_the_console_shows_whose_secret_it_is(service: str, begins_with: str) -> None:
    """The names of secrets look alike, but each description begins with the stack's name, or the service's."""
    secrets = Stack(ServiceName=service).of_type("AWS::SecretsManager::Secret")
    assert len(secrets) == 2
    for secret in secrets.values():
        assert secret["Description"].startswith(f"{begins_with}: the ")


def test_keys_and_replicas_are_a_choice() -> None:
    """The stack has a key and replicas only if somebody chose them."""
    assert PLAIN.properties("TokenSecret").keys() == {"Description"}
    secret = FULL.properties("TokenSecret")
    assert secret["KmsKeyId"] == KEY
    assert secret["ReplicaRegions"] == [{"Region": "eu-west-1"}, {"Region": "ap-southeast-2"}]
    assert Stack(ReplicaRegion2="eu-west-1").properties("TokenSecret")["ReplicaRegions"] == [{"Region": "eu-west-1"}]


# Permissions


def policy(stack: Stack, name: str) -> list[Json]:
    policies = stack.properties("RefreshFunctionRole")["Policies"]
    [document] = [policy["PolicyDocument"] for policy in policies if policy["PolicyName"] == name]
    statements: list[Json] = document["Statement"]
    return statements


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def granted(statements: list[Json]) -> set[tuple[str, str]]:
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return {
        (action, resource)
        for statement in statements
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def for_the_key(statements: list[Json]) -> list[Json]:
    """Return the statements about KMS, which Secrets Manager calls in the caller's name."""
    return [statement for statement in statements if "kms:Decrypt" in listed(statement["Action"])]


@ONE_CONNECTION
def test_the_function_may_do_what_it_does_and_no_more(stack: Stack, observed: Observed) -> None:
    """Its policy is exactly the set of calls that the real handler makes."""
    resources = {
        "*": "*",
        TOKEN_SECRET: arn("TokenSecret"),
        CREDENTIALS_SECRET: THEIR_SECRET if stack is FULL else arn("CredentialsSecret"),
        BUS: f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{BUS}",
    }
    needed = {(action, resources[name]) for action, name in observed.grants if stack is FULL or name != BUS}
    statements = policy(stack, "what-the-handler-calls")
    others = [statement for statement in statements if statement not in for_the_key(statements)]
    assert needed - granted(others) == set(), "missing"
    assert granted(others) - needed == set(), "extra"
    assert not any("Condition" in statement for statement in others)
    assert "HandOverPolicy" not in stack.resources


def connection_secret(name: str, region: str = REGION) -> str:
    """Return the ARN of a secret with this name, which people make. AWS appends six characters."""
    return f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:{name}-AbCdEf"


def covers(pattern: str, resource: str) -> bool:
    """Say whether IAM finds that the resource of a policy covers this one."""
    wildcards = {"*": ".*", "?": "."}
    expression = "".join(wildcards.get(character, re.escape(character)) for character in pattern)
    return bool(re.fullmatch(expression, resource))


def is_granted(statements: list[Json], action: str, resource: str) -> bool:
    return any(action == allowed and covers(pattern, resource) for allowed, pattern in granted(statements))


def policy_of_many(stack: Stack) -> list[Json]:
    """Return what the role of a function with many connections allows the handler, without KMS."""
    hand_over = stack.properties("HandOverPolicy")
    assert hand_over["Roles"] == [stack.properties("RefreshFunction")["Role"].removesuffix(".Arn")]
    statements: list[Json] = [
        *policy(stack, "what-the-handler-calls"),
        *hand_over["PolicyDocument"]["Statement"],
    ]
    return [statement for statement in statements if statement not in for_the_key(statements)]


@MANY_CONNECTIONS
def test_the_function_may_read_under_the_prefix_and_write_tokens_there_alone(stack: Stack) -> None:
    """It reads every secret under the prefix, writes only tokens, and invokes only itself."""
    under_prefix = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{PREFIX}*"
    tokens = f"{under_prefix}/token-??????"
    expected = {
        ("secretsmanager:BatchGetSecretValue", "*"),
        ("secretsmanager:ListSecrets", "*"),
        ("secretsmanager:GetSecretValue", under_prefix),
        ("secretsmanager:DescribeSecret", tokens),
        ("secretsmanager:PutSecretValue", tokens),
        ("secretsmanager:UpdateSecretVersionStage", tokens),
        ("lambda:InvokeFunction", "RefreshFunction.Arn"),
    }
    if stack is FULL_MANY:
        expected.add(("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{BUS}"))
    statements = policy_of_many(stack)
    assert granted(statements) == expected
    assert not any("Condition" in statement for statement in statements)


@MANY_CONNECTIONS
def test_a_sweep_and_its_runs_may_do_what_they_do_and_no_more(stack: Stack, observed_of_many: Observed) -> None:
    """The policy allows each call that the real handler makes, and nothing that no call needs."""
    needed = {
        (action, aws_resource(name)) for action, name in observed_of_many.grants if stack is FULL_MANY or name != BUS
    }
    statements = policy_of_many(stack)
    missing = {grant for grant in needed if not is_granted(statements, *grant)}
    assert missing == set()
    unused = {
        (action, pattern)
        for action, pattern in granted(statements)
        if not any(action == one and covers(pattern, resource) for one, resource in needed)
    }
    assert unused == set()


def aws_resource(name: str) -> str:
    """Return how a policy names what the handler names so."""
    if name == "*":
        return "*"
    if name == BUS:
        return f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{BUS}"
    if name == FUNCTION_NAME:
        return "RefreshFunction.Arn"
    assert name.startswith(PREFIX)
    return connection_secret(name)


@pytest.mark.parametrize(
    ("secret", "may_read", "may_write"),
    [
        pytest.param(connection_secret("tango/stores/017/token"), True, True, id="a token"),
        pytest.param(connection_secret("tango/stores/017/credentials"), True, False, id="credentials"),
        pytest.param(connection_secret("tango/a/token-abcdef/credentials"), True, False, id="an odd name"),
        pytest.param(connection_secret("tango/token"), True, False, id="a token without a connection"),
        pytest.param(connection_secret("tango/017/token-of-somebody"), True, False, id="another secret under it"),
        pytest.param(connection_secret("tango-old/017/token"), False, False, id="another prefix"),
        pytest.param(connection_secret("other/tango/017/token"), False, False, id="the prefix in the middle"),
        pytest.param(connection_secret("tango/017/token", "eu-west-1"), False, False, id="another region"),
    ],
)
def test_the_function_can_not_write_credentials(secret: str, may_read: bool, may_write: bool) -> None:
    """Of the secrets under the prefix it writes those called token, and of others it can't even read one."""
    statements = policy_of_many(MANY)
    assert is_granted(statements, "secretsmanager:GetSecretValue", secret) is may_read
    for action in ("DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage"):
        assert is_granted(statements, f"secretsmanager:{action}", secret) is may_write


@EVERY_KIND
def test_the_function_uses_the_key_through_secrets_manager_alone(stack: Stack) -> None:
    """The handler itself does not call KMS."""
    statements = for_the_key(policy(stack, "what-the-handler-calls"))
    key_grants = {("kms:Decrypt", KEY), ("kms:GenerateDataKey", KEY)} if stack in WITH_EVERYTHING else set()
    assert granted(statements) == key_grants
    assert all(statement["Condition"] == VIA_SECRETS_MANAGER for statement in statements)


@EVERY_KIND
def test_lambda_may_only_log_and_put_failures_aside_for_it(stack: Stack) -> None:
    """The role has the handler's policy and these permissions, and nothing else, also no managed policy."""
    role = stack.properties("RefreshFunctionRole")
    assert role.keys() - {"PermissionsBoundary"} == {"AssumeRolePolicyDocument", "Policies"}
    assert len(role["Policies"]) == 2
    assert granted(policy(stack, "what-lambda-does-for-it")) == {
        ("logs:CreateLogStream", "LogGroup.Arn"),
        ("logs:PutLogEvents", "LogGroup.Arn"),
        ("sqs:SendMessage", "DeadLetterQueue.Arn"),
    }
    assert stack.properties("RefreshFunction")["Role"] == "RefreshFunctionRole.Arn"


@EVERY_KIND
def test_both_roles_have_the_boundary_that_people_chose(stack: Stack) -> None:
    """A role of the stack without the boundary could not be made in an account that requires it."""
    boundary = BOUNDARY if stack in WITH_EVERYTHING else None
    assert stack.properties("RefreshFunctionRole").get("PermissionsBoundary") == boundary
    schedule = stack.properties("RefreshFunction")["Events"]["Schedule"]["Properties"]
    assert schedule.get("PermissionsBoundary") == boundary
    assert list(stack.of_type("AWS::IAM::Role")) == ["RefreshFunctionRole"]  # SAM makes that of the schedule


def test_in_a_vpc_lambda_may_connect_the_function_and_its_code_may_not() -> None:
    """Lambda gets the actions of AWS's own policy for this, and they are denied to requests of the function's code."""
    assert IN_VPC.properties("RefreshFunction")["VpcConfig"] == {
        "SubnetIds": ["subnet-0abc", "subnet-0def"],
        "SecurityGroupIds": ["sg-0abc"],
    }
    allowed, denied = policy(IN_VPC, "what-lambda-does-for-it-in-a-vpc")
    assert granted([allowed]) == {
        (f"ec2:{action}", "*")
        for action in (
            "AssignPrivateIpAddresses",
            "CreateNetworkInterface",
            "DeleteNetworkInterface",
            "DescribeNetworkInterfaces",
            "DescribeSubnets",
            "UnassignPrivateIpAddresses",
        )
    }
    assert denied["Effect"] == "Deny"
    assert (denied["Action"], denied["Resource"]) == ("ec2:*", "*")
    assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}


def test_without_subnets_the_function_is_in_no_vpc() -> None:
    """By default the function reaches the vendor without a NAT gateway, and its role has no permission on networks."""
    assert "VpcConfig" not in PLAIN.properties("RefreshFunction")
    policies = PLAIN.properties("RefreshFunctionRole")["Policies"]
    assert "ec2:" not in json.dumps(policies)


def test_the_processor_is_a_choice() -> None:
    """It is arm64 unless people choose otherwise."""
    assert PLAIN.properties("RefreshFunction")["Architectures"] == ["arm64"]
    assert FULL.properties("RefreshFunction")["Architectures"] == ["x86_64"]


def consumer_policy(stack: Stack, name: str = "ConsumerPolicy") -> list[Json]:
    statements: list[Json] = stack.properties(name)["PolicyDocument"]["Statement"]
    return statements


@EVERY_KIND
def test_a_consumer_reads_a_token_by_its_stage_alone(stack: Stack) -> None:
    """It reads current and previous; no ledger, no version by its id, and it has no KMS of its own."""
    statements = consumer_policy(stack)
    reads = statements[:2]
    decrypts = statements[2:]
    assert {action for action, _ in granted(reads)} == {"secretsmanager:GetSecretValue"}
    assert reads[0]["Resource"] == reads[1]["Resource"]
    assert [statement["Condition"] for statement in reads] == [
        {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": ["AWSCURRENT", "AWSPREVIOUS"]}},
        {"Null": {"secretsmanager:VersionStage": "true", "secretsmanager:VersionId": "true"}},
    ]
    key_grants = {("kms:Decrypt", KEY)} if stack in WITH_EVERYTHING else set()
    assert granted(decrypts) == key_grants
    assert all(statement["Condition"] == VIA_SECRETS_MANAGER for statement in decrypts)


@EVERY_KIND
def test_a_helper_of_aws_may_also_ask_which_version_is_current(stack: Stack) -> None:
    """It reads and describes what a consumer reads, decrypts in the same way, and has no other right."""
    helper = consumer_policy(stack, "CachingConsumerPolicy")
    consumer = consumer_policy(stack)
    read = helper[0]
    assert {action for action, _ in granted([read])} == {
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
    }
    assert read["Resource"] == consumer[0]["Resource"]
    assert helper[1:] == consumer[2:]


@ONE_CONNECTION
def test_a_consumer_reads_the_token_secret_and_no_other(stack: Stack) -> None:
    """It reads the token also from a replica, if there are any."""
    replicas = f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:TokenSecret-AbCdEf"
    tokens = [arn("TokenSecret"), replicas] if stack is FULL else [arn("TokenSecret")]
    assert consumer_policy(stack)[0]["Resource"] == tokens


@pytest.mark.parametrize(
    ("tag", "secret", "may_read"),
    [
        pytest.param("017", connection_secret("tango/017/token"), True, id="its token"),
        pytest.param("stores/017", connection_secret("tango/stores/017/token"), True, id="a name with a slash"),
        pytest.param("017", connection_secret("tango/018/token"), False, id="another connection's"),
        pytest.param("017", connection_secret("tango/stores/017/token"), False, id="a longer name"),
        pytest.param("stores", connection_secret("tango/stores/017/token"), False, id="a shorter name"),
        pytest.param("017", connection_secret("tango/017/credentials"), False, id="the credentials"),
        pytest.param("017", connection_secret("tango/017/token/other"), False, id="a secret below it"),
        pytest.param("017", connection_secret("other/017/token"), False, id="another prefix"),
        pytest.param("017", connection_secret("tango/017/token", "eu-west-1"), False, id="another region"),
        pytest.param("", connection_secret("tango/017/token"), False, id="an empty tag"),
        pytest.param(None, connection_secret("tango/017/token"), False, id="no tag"),
    ],
)
def test_of_many_connections_a_consumer_reads_the_one_that_its_tag_names(
    tag: str | None, secret: str, may_read: bool
) -> None:
    """One policy serves all consumers: with it a role reads the token of its own connection, and no other secret."""
    [resource] = {statement["Resource"] for statement in consumer_policy(MANY)}
    assert resource.count("*") == 0
    assert is_covered_for(tag, resource, secret) is may_read


def is_covered_for(tag: str | None, pattern: str, resource: str) -> bool:
    """Say whether the pattern covers the resource for a role with this tag `token-connection`, or without it."""
    variable = "${aws:PrincipalTag/token-connection}"
    assert variable in pattern
    if tag is None:  # IAM ignores a resource with a variable that has no value
        return False
    return covers(pattern.replace(variable, tag), resource)


# The function's settings


@pytest.mark.parametrize(
    ("parameters", "token_url"),
    [
        pytest.param({}, "https://sandbox-auth.tangocard.com/oauth/token", id="sandbox"),
        pytest.param({"Environment": "production"}, "https://auth.tangocard.com/oauth/token", id="production"),
        pytest.param(EVERYTHING, "https://auth.tangocard.com/oauth/token", id="everything"),
        pytest.param({"TokenUrl": "http://127.0.0.1:8080/token"}, "http://127.0.0.1:8080/token", id="other"),
    ],
)
def test_the_environment_is_one_that_settings_accept(parameters: dict[str, str], token_url: str) -> None:
    """The handler reads every variable, and by default each has the handler's own default."""
    variables = Stack(**parameters).properties("RefreshFunction")["Environment"]["Variables"]
    known = {one.name.upper() for one in fields(Settings)} | {"POWERTOOLS_SERVICE_NAME"}
    assert variables.keys() <= known
    settings = Settings.from_env(variables)
    assert settings == Settings(
        credentials_secret_id=parameters.get("ExistingCredentialsSecretArn", arn("CredentialsSecret")),
        token_secret_id=arn("TokenSecret"),
        token_url=token_url,
        event_bus_name=parameters.get("EventBusName", ""),
    )


def test_a_function_with_many_connections_gets_their_prefix_instead_of_two_secrets() -> None:
    """It gets the token endpoint, too, for the connections that do not name another."""
    variables = MANY.properties("RefreshFunction")["Environment"]["Variables"]
    assert not {"CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID"} & variables.keys()
    assert Settings.from_env(variables) == Settings(
        connections_prefix=PREFIX,
        token_url="https://sandbox-auth.tangocard.com/oauth/token",
    )


def test_the_parameters_reach_the_function() -> None:
    """Each setting that has a parameter gets its value, also if this means that a field is left out of the request."""
    chosen = {
        "TokenUrl": "https://auth.example.com/token?tenant=1",
        "Audience": "",
        "Scope": "orders:read orders:write",
        "Parameters": '{"resource": "https://api.example.com"}',
        "ClientAuth": "client_secret_basic",
        "RefreshWindowSeconds": "600",
        "LimitIntervalSeconds": "0",
        "LimitMarginSeconds": "1",
        "MaxLifetimeSeconds": "7200",
        "StandbyBelowSeconds": "0",
        "ProbeUrl": "https://api.example.com/me?fields=id",
        "EventBusName": BUS,
    }
    assert all(is_allowed(name, value) for name, value in chosen.items())
    settings = Settings.from_env(Stack(**chosen).properties("RefreshFunction")["Environment"]["Variables"])
    assert settings == Settings(
        credentials_secret_id=arn("CredentialsSecret"),
        token_secret_id=arn("TokenSecret"),
        token_url="https://auth.example.com/token?tenant=1",
        audience="",
        scope="orders:read orders:write",
        parameters='{"resource": "https://api.example.com"}',
        client_auth="client_secret_basic",
        refresh_window_seconds=600,
        limit_interval_seconds=0,
        limit_margin_seconds=1,
        max_lifetime_seconds=7_200,
        standby_below_seconds=0,
        probe_url="https://api.example.com/me?fields=id",
        event_bus_name=BUS,
    )


@EVERY_KIND
def test_the_times_fit_one_another(stack: Stack) -> None:
    """A run can wait for a crashed run's lock and then acquire; all its attempts fit into an event's maximum age."""
    function = stack.properties("RefreshFunction")
    settings = Settings()
    work = settings.acquire_timeout_seconds + settings.write_reserve_seconds
    lock = work + CLOCK_DIFFERENCE_SECONDS
    assert function["Timeout"] >= lock + work
    assert function["Timeout"] == TIMEOUT_SECONDS  # what the tests of the handler count with
    asynchronous = function["EventInvokeConfig"]
    assert asynchronous["MaximumRetryAttempts"] == 2
    assert asynchronous["MaximumEventAgeInSeconds"] >= 3 * function["Timeout"] + 3 * MINUTE
    assert asynchronous["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": "DeadLetterQueue.Arn"}


def test_many_connections_have_the_room_that_they_need() -> None:
    """They get more memory for the sweep, and the longest time that Lambda allows an event to wait for its turn."""
    one = PLAIN.properties("RefreshFunction")
    many = MANY.properties("RefreshFunction")
    assert (one["MemorySize"], many["MemorySize"]) == (256, 1_024)
    ages = [function["EventInvokeConfig"]["MaximumEventAgeInSeconds"] for function in (one, many)]
    assert ages == [30 * MINUTE, 6 * HOUR]


@pytest.mark.parametrize(
    ("asked_for", "of_one", "of_many"),
    [("", None, 15), ("none", None, None), ("2", "2", "2"), ("40", "40", "40")],
)
def test_many_connections_reserve_as_many_runs_as_aws_allows_writes(
    asked_for: str, of_one: str | None, of_many: int | str | None
) -> None:
    """Unless people choose otherwise, runs stay below AWS's rate for writes; small accounts can choose "none"."""
    one = Stack(ReservedConcurrency=asked_for)
    many = Stack(ReservedConcurrency=asked_for, ConnectionsPrefix=PREFIX)
    reserved = [stack.properties("RefreshFunction").get("ReservedConcurrentExecutions") for stack in (one, many)]
    assert reserved == [of_one, of_many]
    assert one.broken_rules() == many.broken_rules() == []


@EVERY_KIND
def test_the_schedule_asks_for_a_refresh_and_loses_no_tick_silently(stack: Stack) -> None:
    """Its input is events/refresh.json, and an event that can't be delivered becomes a dead letter."""
    schedule = stack.properties("RefreshFunction")["Events"]["Schedule"]
    assert schedule["Type"] == "ScheduleV2"
    assert json.loads(schedule["Properties"]["Input"]) == json.loads((ROOT / "events" / "refresh.json").read_text())
    assert schedule["Properties"]["DeadLetterConfig"] == {"Arn": "DeadLetterQueue.Arn"}
    assert schedule["Properties"]["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert schedule["Properties"]["ScheduleExpression"] == "rate(1 hour)"
    assert schedule["Properties"]["State"] == "ENABLED"


@EVERY_KIND
def test_two_stacks_fit_into_one_account(stack: Stack) -> None:
    """No resource has a fixed name that a second stack would need too, not even SAM's schedule."""
    names = re.compile("(Function|Role|Queue|Topic|Alarm|LogGroup|ManagedPolicy|Filter|)Name")
    for logical_id, resource in stack.resources.items():
        fixed = {key for key in resource["Properties"] if names.fullmatch(key)}
        if resource["Type"] == "AWS::Logs::MetricFilter":
            fixed -= {"LogGroupName"}  # refers to the log group, and is not a name of its own
        assert not fixed, logical_id
    assert stack.properties("RefreshFunction")["Events"]["Schedule"]["Properties"]["OmitName"] is True
    assert stack.properties("Dashboard")["DashboardName"] == f"{NAME}-{REGION}"


# Parameters


def test_every_parameter_is_explained_and_its_default_allowed() -> None:
    """Whoever presses Enter at each question of `sam deploy --guided` gets a good deployment."""
    for name, definition in TEMPLATE["Parameters"].items():
        assert definition["Type"] == "String"
        assert definition["Description"]
        assert is_allowed(name, definition["Default"]), name
        has_values = "AllowedValues" in definition
        has_explained_pattern = {"AllowedPattern", "ConstraintDescription"} <= definition.keys()
        assert has_values or has_explained_pattern, name
    everything = [*EVERYTHING.items(), *EVERYTHING_OF_MANY.items()]
    assert all(is_allowed(name, value) for name, value in everything)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Environment", "staging"),
        ("AlarmEmail", "on-call"),
        ("RunbookUrl", ""),
        ("RunbookUrl", "our wiki"),
        ("RunbookUrl", 'https://wiki.example.com/"'),
        ("RunbookUrl", "https://wiki.example.com/" + 200 * "x"),
        ("ServiceName", "token refresh"),
        ("DashboardState", "no"),
        ("Architecture", "arm"),
        ("PermissionsBoundaryArn", "boundary"),
        ("VpcSubnetIds", "subnet-0abc, subnet-0def"),
        ("VpcSubnetIds", "vpc-0abc"),
        ("VpcSecurityGroupIds", "subnet-0abc"),
        ("AlarmTopicArn", "on-call"),
        ("ScheduleExpression", "rate(2 hours)"),
        ("ScheduleExpression", "rate(61 minutes)"),
        ("ScheduleExpression", "rate(1 minutes)"),
        ("ScheduleExpression", "cron(0 * * * *)"),
        ("ScheduleExpression", "at(2026-11-25T06:00:00)"),
        ("Audience", " https://api.tangocard.com/"),
        ("Scope", "raas.all "),
        ("Parameters", "resource=https://api.example.com"),
        ("Parameters", '{"resource": "' + 2_000 * "x" + '"}'),
        ("ClientAuth", "private_key_jwt"),
        ("RefreshWindowSeconds", "0"),
        ("RefreshWindowSeconds", "4h"),
        ("LimitIntervalSeconds", "-1"),
        ("LimitMarginSeconds", "1.5"),
        ("MaxLifetimeSeconds", "0"),
        ("StandbyBelowSeconds", ""),
        ("ProbeUrl", "http://api.example.com/me"),
        ("ProbeUrl", "https://user:password@api.example.com/me"),
        ("ProbeUrl", "https://api.example.com/me#id"),
        ("ExistingCredentialsSecretArn", "tango/credentials"),
        ("ExistingCredentialsSecretArn", THEIR_SECRET.rpartition("-")[0]),
        ("KmsKeyArn", "alias/mine"),
        ("AlarmBelowSeconds", "3599"),
        ("AlarmBelowSeconds", "4499"),
        ("AlarmPeriodSeconds", "300"),
        ("ReplicaRegion1", "Ireland"),
        ("ReservedConcurrency", "0"),
        ("ReservedConcurrency", "None"),
        ("ConnectionsPrefix", "tango"),
        ("ConnectionsPrefix", "tango/*/"),
        ("ConnectionsPrefix", "tango/?/"),
        ("ConnectionsPrefix", "our tango/"),
        ("ConnectionsPrefix", "${aws:PrincipalTag/team}/"),
        ("ConnectionsPrefix", 200 * "x" + "/"),
        ("TokenUrl", "http://auth.tangocard.com/oauth/token"),
        ("TokenUrl", "https://user:password@auth.tangocard.com/oauth/token"),
        ("TokenUrl", "https://auth.tangocard.com/oauth/token#x"),
        ("TokenUrl", "https://user@auth.tangocard.com"),
    ],
)
def test_a_slip_of_the_hand_is_refused_before_anything_is_deployed(parameter: str, value: str) -> None:
    """Refused are values that the handler would reject at its first run, or that would blind an alarm."""
    assert not is_allowed(parameter, value)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"AlarmBelowSeconds": "3600"}, id="a_low_alarm"),
        pytest.param({"AlarmPeriodSeconds": "960"}, id="an_hour"),
        pytest.param({"AlarmPeriodSeconds": "960", "ScheduleExpression": "rate(11 minutes)"}, id="11_minutes"),
        pytest.param({"AlarmPeriodSeconds": "660", "ScheduleExpression": "rate(6 minutes)"}, id="6_minutes"),
        pytest.param({"AlarmPeriodSeconds": "660", "ScheduleExpression": "cron(0 * * * ? *)"}, id="a_cron"),
        pytest.param({"ReplicaRegion1": "eu-west-1", "ReplicaRegion2": "eu-west-1"}, id="one_replica_twice"),
        pytest.param(
            {"ConnectionsPrefix": PREFIX, "ExistingCredentialsSecretArn": THEIR_SECRET},
            id="many_and_a_credentials_secret",
        ),
        pytest.param({"ConnectionsPrefix": PREFIX, "ReplicaRegion1": "eu-west-1"}, id="many_and_a_replica"),
        pytest.param({"ConnectionsPrefix": PREFIX, "ReplicaRegion2": "eu-west-1"}, id="many_and_a_second_replica"),
        pytest.param({"VpcSubnetIds": "subnet-0abc"}, id="subnets_without_security_groups"),
        pytest.param({"VpcSecurityGroupIds": "sg-0abc"}, id="security_groups_without_subnets"),
    ],
)
def test_values_that_do_not_fit_one_another_are_refused_before_anything_is_deployed(parameters: dict[str, str]) -> None:
    """Each value is allowed by itself; one of the template's rules refuses them together, and says why."""
    assert all(is_allowed(name, value) for name, value in parameters.items())
    assert len(Stack(**parameters).broken_rules()) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({}, id="defaults"),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param({"ConnectionsPrefix": PREFIX}, id="many"),
        pytest.param(EVERYTHING_OF_MANY, id="many_with_everything"),
        pytest.param({"VpcSubnetIds": "subnet-0abc", "VpcSecurityGroupIds": "sg-0abc"}, id="a_vpc"),
        pytest.param({"ScheduleExpression": "rate(1 minute)"}, id="a_fast_schedule"),
        pytest.param({"ScheduleExpression": "cron(0/20 * * * ? *)"}, id="a_cron"),
        pytest.param({"AlarmPeriodSeconds": "660", "ScheduleExpression": "rate(5 minutes)"}, id="5_minutes"),
        pytest.param({"AlarmPeriodSeconds": "960", "ScheduleExpression": "rate(5 minutes)"}, id="faster_than_needed"),
        pytest.param({"AlarmPeriodSeconds": "960", "ScheduleExpression": "rate(10 minutes)"}, id="10_minutes"),
    ],
)
def test_values_that_fit_one_another_are_not_refused(parameters: dict[str, str]) -> None:
    """The rules stand in nobody's way."""
    assert Stack(**parameters).broken_rules() == []


# The periods of the alarms, and the slowest schedule that each allows, in seconds.
PERIODS = {"660": 5 * MINUTE, "960": 10 * MINUTE, "4200": HOUR}


def test_every_alarm_on_the_function_looks_back_as_far_as_the_parameter_says() -> None:
    """CloudWatch takes multiples of 60 s. A failed run and both of its retries fit into each of the periods."""
    assert TEMPLATE["Parameters"]["AlarmPeriodSeconds"]["AllowedValues"] == list(PERIODS)
    for period in PERIODS:
        alarms = Stack(AlarmPeriodSeconds=period).of_type("AWS::CloudWatch::Alarm").values()
        assert {alarm["Period"] for alarm in alarms if alarm["Namespace"] == "TokenRefresh"} == {period}
        assert int(period) % MINUTE == 0


def test_every_rate_goes_with_the_periods_that_contain_it() -> None:
    """The rules know each of the rates that the parameter allows."""
    for number in range(1, 61):
        rate = "rate(1 minute)" if number == 1 else f"rate({number} minutes)"
        fitting = [period for period, slowest in PERIODS.items() if number * MINUTE <= slowest]
        stacks = {period: Stack(ScheduleExpression=rate, AlarmPeriodSeconds=period) for period in PERIODS}
        assert [period for period, stack in stacks.items() if not stack.broken_rules()] == fitting


CRON_FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day": (1, 31),
    "month": (1, 12),
    "weekday": (1, 7),
    "year": (1970, 2199),
}
CRON_NAMES = {
    "month": ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    "weekday": ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}


def schedule_fault(expression: str) -> str:
    """Return what EventBridge Scheduler would refuse, or an empty text."""
    kind, _, inside = expression.removesuffix(")").partition("(")
    if kind == "rate":
        return "" if rate_fits(inside) else "rate"
    values = inside.split(" ")
    if kind != "cron" or len(values) != len(CRON_FIELDS):
        return "neither a rate nor a cron of six fields"
    if [values[2], values[4]].count("?") != 1:
        return "one of day and weekday, and only one, is ?"
    for name, value in zip(CRON_FIELDS, values, strict=True):
        if not cron_fits(name, value):
            return name
    return ""


def rate_fits(text: str) -> bool:
    number, _, unit = text.partition(" ")
    if number == "1":
        return unit in {"minute", "hour", "day"}
    return number.isdigit() and int(number) > 0 and unit in {"minutes", "hours", "days"}


def cron_fits(name: str, text: str) -> bool:
    if text in {"*", "?"}:
        return text == "*" or name in {"day", "weekday"}
    if re.fullmatch(r"L|[0-9]*W|[1-7]L|[1-7]#[1-5]", text):
        return name in {"day", "weekday"}
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span != "*" and not all(cron_value_fits(name, value) for value in span.split("-")):
            return False
        if "/" in part and not (step.isdigit() and int(step)):
            return False
    return True


def cron_value_fits(name: str, text: str) -> bool:
    if text in CRON_NAMES.get(name, []):
        return True
    lowest, highest = CRON_FIELDS[name]
    return text.isdigit() and lowest <= int(text) <= highest


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        (TEMPLATE["Parameters"]["ScheduleExpression"]["Default"], ""),
        ("cron(0 * * * ? *)", ""),
        ("cron(0/20 0-23 ? * SUN-SAT *)", ""),
        ("cron(0 * * * * *)", "one of day and weekday, and only one, is ?"),
        ("cron(60 * * * ? *)", "minute"),
        ("rate(1 hours)", "rate"),
        ("every hour", "neither a rate nor a cron of six fields"),
    ],
)
def test_the_schedule_is_one_that_aws_takes(expression: str, fault: str) -> None:
    """The test has the grammar of EventBridge Scheduler, because no linter checks it."""
    assert schedule_fault(expression) == fault


def test_every_rate_that_the_parameter_allows_is_one_that_aws_takes() -> None:
    """None of these rates is slower than an hour, which the alarms rely on."""
    units = {"minute": MINUTE, "hour": HOUR, "day": 24 * HOUR}
    rates = {
        f"rate({number} {unit}{plural})": number * seconds
        for number in range(200)
        for unit, seconds in units.items()
        for plural in ("", "s")
    }
    allowed = {rate for rate in rates if is_allowed("ScheduleExpression", rate)}
    assert len(allowed) == 61
    assert not [rate for rate in allowed if schedule_fault(rate)]
    assert max(rates[rate] for rate in allowed) == HOUR


# Alarms and dashboard


Metrics = set[tuple[str, str, str]]


@pytest.fixture
def emitted(stack: Stack, observed: Observed, observed_of_many: Observed) -> Metrics:
    """What the handler emits in this kind of deployment. The runs of one connection do the same in both."""
    if stack not in OF_MANY:
        return observed.metrics
    return observed.metrics | observed_of_many.metrics


def metric_fault(emitted: Metrics, stack: Stack, namespace: str, name: str, dimension: tuple[str, str]) -> str:
    """Say why nobody emits this metric; an empty text if the handler, a filter of its log or AWS does."""
    if namespace in AWS_METRICS:
        key, value, names = AWS_METRICS[namespace]
        if dimension == (key, value) and name in names:
            return ""
        return f"AWS has no {name} {dimension}"
    variables = stack.properties("RefreshFunction")["Environment"]["Variables"]
    if dimension != ("service", variables["POWERTOOLS_SERVICE_NAME"]):
        return f"{dimension} is not the function's"
    filtered = {
        (metric["MetricNamespace"], metric["MetricName"], metric["Dimensions"][0]["Key"])
        for metric_filter in stack.of_type("AWS::Logs::MetricFilter").values()
        for metric in metric_filter["MetricTransformations"]
    }
    if (namespace, name, "service") in emitted | filtered:
        return ""
    return f"nobody emits {namespace} {name}"


@EVERY_KIND
def test_every_alarm_watches_a_metric_that_is_emitted(stack: Stack, emitted: Metrics) -> None:
    """The handler emits it with this stack's dimension, or a filter of its log or AWS does."""
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        ((dimension),) = alarm["Dimensions"]
        name_and_value = (dimension["Name"], dimension["Value"])
        assert metric_fault(emitted, stack, alarm["Namespace"], alarm["MetricName"], name_and_value) == "", name


def test_a_sweep_reports_on_the_life_of_all_tokens(observed_of_many: Observed) -> None:
    """So the alarm on it sees each sweep, and is silent about a single run."""
    assert ("TokenRefresh", "TokenSecondsRemaining", "service") in observed_of_many.metrics


def test_the_service_dimension_is_what_the_template_says() -> None:
    """Powertools and the handler read it from POWERTOOLS_SERVICE_NAME."""
    with environment(PLAIN.properties("RefreshFunction")["Environment"]["Variables"]):
        assert service_name() == NAME


@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["one", "many"])
def test_two_functions_in_one_stack_share_no_alarm(prefix: str) -> None:
    """With a service name of its own, each watches and shows only its own metrics, and has its own dashboard."""
    stack = Stack(ServiceName="tango-eu", ConnectionsPrefix=prefix)
    assert stack.properties("RefreshFunction")["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == "tango-eu"
    alarms = stack.of_type("AWS::CloudWatch::Alarm").values()
    watched = [alarm["Dimensions"][0]["Value"] for alarm in alarms if alarm["Namespace"] == "TokenRefresh"]
    assert set(watched) == {"tango-eu"}
    dashboard = stack.properties("Dashboard")
    assert dashboard["DashboardName"] == f"tango-eu-{REGION}"
    assert NAME not in dashboard["DashboardBody"]


@EVERY_KIND
def test_every_alarm_tells_somebody_what_it_means_and_what_to_do(stack: Stack) -> None:
    """On-call people read the description at night. It ends with the runbook's address."""
    topic = THEIR_TOPIC if stack in WITH_EVERYTHING else "AlarmTopic"
    runbook = RUNBOOK if stack in WITH_EVERYTHING else "docs/RUNBOOK.md"
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    watched = {
        "TokenSecondsRemaining",
        "Failed",
        "RateLimited",
        "OutcomeUnknown",
        "BackingOff",
        "CredentialsRefused",
        "CredentialsUnreadable",
        "ApproximateNumberOfMessagesVisible",
    }
    if stack in OF_MANY:
        watched.add("Problems")
    assert {alarm["MetricName"] for alarm in alarms.values()} == watched
    for alarm in alarms.values():
        assert " Do: " in alarm["AlarmDescription"]
        assert alarm["AlarmDescription"].endswith(f" Runbook: {runbook}")
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]
    breaching = [name for name, alarm in alarms.items() if alarm["TreatMissingData"] != "notBreaching"]
    assert breaching == ["TokenExpiresAlarm"]
    assert alarms["TokenExpiresAlarm"]["TreatMissingData"] == "breaching"
    assert ("AlarmTopic" in stack.resources) == (stack not in WITH_EVERYTHING)
    assert "AlarmSubscription" not in stack.resources
    assert Stack(AlarmEmail="on-call@example.com").properties("AlarmSubscription") == {
        "Protocol": "email",
        "TopicArn": "AlarmTopic",
        "Endpoint": "on-call@example.com",
    }


# The longest names that AWS gives, or takes, for what the alarms' texts name. The stack's own name has 128 characters.
LONGEST_NAMES = {
    "RefreshFunction": 64 * "f",
    "LogGroup": f"{128 * 's'}-LogGroup-AbCdEfGhIjKl",
    "DeadLetterQueue": f"https://sqs.cn-northwest-1.amazonaws.com.cn/{ACCOUNT}/{80 * 'q'}",
    "TokenSecret": f"arn:aws-us-gov:secretsmanager:us-gov-west-1:{ACCOUNT}:secret:TokenSecret-AbCdEfGhIjKl-AbCdEf",
    "CredentialsSecret.Id": (
        f"arn:aws-us-gov:secretsmanager:us-gov-west-1:{ACCOUNT}:secret:CredentialsSecret-AbCdEfGhIjKl-AbCdEf"
    ),
}
# The longest values of the parameters that are in these texts.
LONGEST_VALUES = {
    "RunbookUrl": f"https://{92 * 'x'}",
    "AlarmBelowSeconds": "99999999",
    "AlarmPeriodSeconds": "4200",
}
LONGEST_PREFIX = f"{199 * 'x'}/"
LONGEST_SECRET = f"arn:aws-us-gov:secretsmanager:us-gov-west-1:{ACCOUNT}:secret:{512 * 'x'}-AbCdEf"
MAX_DESCRIPTION_CHARACTERS = 1_024  # CloudWatch refuses an alarm with more, and with it the whole deployment


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({}, id="one"),
        pytest.param({"ExistingCredentialsSecretArn": LONGEST_SECRET}, id="one_with_existing_credentials"),
        pytest.param({"ConnectionsPrefix": LONGEST_PREFIX}, id="many"),
    ],
)
def test_no_description_of_an_alarm_is_too_long_for_aws(parameters: dict[str, str]) -> None:
    """Whatever the template allows for its parameters, and whatever names AWS gives, the alarms can be made."""
    values = LONGEST_VALUES | parameters
    assert all(is_allowed(name, value) for name, value in values.items())
    stack = Stack(LONGEST_NAMES, **values)
    lengths = {name: len(alarm["AlarmDescription"]) for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()}
    assert {name: length for name, length in lengths.items() if length > MAX_DESCRIPTION_CHARACTERS} == {}


def test_every_name_in_a_description_of_an_alarm_has_a_longest_value() -> None:
    """Otherwise the test above would not see what a new parameter, or another resource, does to a description."""
    bounded = LONGEST_NAMES.keys() | LONGEST_VALUES.keys() | {"ConnectionsPrefix"}
    for name, resource in TEMPLATE["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            named = names_in(resource["Properties"]["AlarmDescription"])
            assert named <= bounded, name
    for name, value in (LONGEST_VALUES | {"ConnectionsPrefix": LONGEST_PREFIX}).items():
        assert not is_allowed(name, f"x{value}")
        assert not is_allowed(name, f"9{value}")


def names_in(value: Any) -> set[str]:
    """Return what a value of the template refers to: parameters and resources, with the attribute if there is one."""
    text = json.dumps(value)
    defined = TEMPLATE["Parameters"].keys() | TEMPLATE["Resources"].keys()
    referred = set(re.findall(r'"Ref": "([^"]+)"', text)) | set(re.findall(r"\$\{([^}!]+)}", text))
    referred |= {".".join(json.loads(names)) for names in re.findall(r'"Fn::GetAtt": (\[[^]]+])', text)}
    return {name for name in referred if name.partition(".")[0] in defined}


def test_no_alarm_blames_the_vendor_for_what_only_the_ledger_knows() -> None:
    """These alarms stay on while runs wait and ask nobody. Their texts say so."""
    for stack in (PLAIN, MANY):
        for name in ("RateLimitedAlarm", "CredentialsRefusedAlarm", "BackingOffAlarm"):
            text = stack.properties(name)["AlarmDescription"]
            assert "runs wait" in text or "asks it less often" in text


@EVERY_KIND
def test_every_alarm_has_its_row_in_the_runbook(stack: Stack) -> None:
    """Whoever gets an alarm finds it there by its name."""
    runbook = (ROOT / "docs" / "RUNBOOK.md").read_text()
    for name in stack.of_type("AWS::CloudWatch::Alarm"):
        assert re.search(rf"^\| `{name}`", runbook, re.MULTILINE), name


EVENT_IN_A_TEXT = re.compile(r"\{[^{}]*\"action\"[^{}]*}")


@EVERY_KIND
def test_every_event_in_an_alarm_s_text_is_one_that_the_function_takes(stack: Stack) -> None:
    """Of many connections the text also says where to find the name that belongs into the event."""
    texts = [alarm["AlarmDescription"] for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()]
    events = [json.loads(event) for text in texts for event in EVENT_IN_A_TEXT.findall(text)]
    assert all(parse_event(event) for event in events)
    named = [text for text in texts if "NAME" in text]
    if stack in OF_MANY:
        assert {"connection": "NAME", "action": "status"} in events
        assert all('"connection"' in text or '"worst" names' in text for text in named)
        assert all("connection" in event for event in events if event.get("force"))
    else:
        assert named == []
        assert not any("connection" in event for event in events)


def samples_with_failures(tick: int, good: int) -> list[tuple[int, int]]:
    """Return reports as (time, value): each second run starts a minute late, and its first two attempts report 0.

    Each failed attempt takes half a minute, and the third one, like every other run, reports `good`.
    """
    failing = 30
    first_pause = MINUTE + 30
    second_pause = 2 * MINUTE + 30
    samples = []
    for start in range(0, 40 * tick, 2 * tick):
        samples.append((start, good))
        first_attempt = start + tick + MINUTE
        second_attempt = first_attempt + first_pause
        third_attempt = second_attempt + second_pause
        samples.append((first_attempt + failing, 0))
        samples.append((second_attempt + failing, 0))
        samples.append((third_attempt + failing, good))
    return samples


@pytest.mark.parametrize(("period", "tick"), PERIODS.items(), ids=PERIODS)
def test_the_token_alarm_is_not_for_one_failed_run(period: str, tick: int) -> None:
    """One failed run and its retries do not trigger it, with the slowest schedule that the period allows."""
    alarm = Stack(AlarmPeriodSeconds=period).properties("TokenExpiresAlarm")
    assert alarm["Statistic"] == "Maximum"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    threshold = int(alarm["Threshold"])
    samples = samples_with_failures(tick, good=threshold)
    for now in range(2 * tick, 38 * tick, MINUTE):
        in_period = [value for at, value in samples if now - int(alarm["Period"]) <= at < now]
        assert max(in_period, default=0) >= threshold, f"a false alarm at {now} s"


def test_the_token_alarm_leaves_time_to_act() -> None:
    """With the defaults it still leaves 45 minutes to act, and with every value that the rules allow two minutes."""
    threshold = int(PLAIN.properties("TokenExpiresAlarm")["Threshold"])
    assert threshold == 2 * HOUR
    assert threshold < Settings().refresh_window_seconds
    # If nobody renews the token: the last report above the threshold may come right before it is reached.
    assert threshold - int(PLAIN.properties("TokenExpiresAlarm")["Period"]) - MINUTE >= 45 * MINUTE
    allowed = [str(seconds) for seconds in range(5_000) if is_allowed("AlarmBelowSeconds", str(seconds))]
    lowest = allowed[:6]
    assert lowest == ["1180", "1800", "2280", "3000", "3600", "4500"]
    for period, tick in PERIODS.items():
        rate = f"rate({tick // MINUTE} minutes)"
        stacks = [Stack(AlarmBelowSeconds=low, AlarmPeriodSeconds=period, ScheduleExpression=rate) for low in lowest]
        alarms = [stack.properties("TokenExpiresAlarm") for stack in stacks if not stack.broken_rules()]
        assert min(int(alarm["Threshold"]) for alarm in alarms) - int(period) - MINUTE >= 2 * MINUTE


def test_the_failure_alarm_waits_for_both_retries() -> None:
    """It stays silent if a retry of Lambda succeeds, and is triggered if both retries fail."""
    alarm = PLAIN.properties("FailedAlarm")
    assert alarm["Threshold"] == 1 + PLAIN.properties("RefreshFunction")["EventInvokeConfig"]["MaximumRetryAttempts"]
    assert alarm["Statistic"] == "Sum"


def test_the_failure_alarm_of_many_connections_takes_ten_that_fail() -> None:
    """Among a thousand connections some fail at first every day, and their retries succeed."""
    one = int(PLAIN.properties("FailedAlarm")["Threshold"])
    assert MANY.properties("FailedAlarm")["Threshold"] == 10 * one


def test_unreadable_credentials_are_distinguished_from_other_failures(observed: Observed) -> None:
    """The log's metric filter matches exactly the lines of that error, and finds the service in them."""
    [metric_filter] = PLAIN.of_type("AWS::Logs::MetricFilter").values()
    pattern = re.fullmatch(r'\{ \$\.(?P<key>\w+) = "(?P<value>\w+)" }', metric_filter["FilterPattern"])
    assert pattern
    assert metric_filter["LogGroupName"] == "LogGroup"
    assert PLAIN.properties("RefreshFunction")["LoggingConfig"]["LogGroup"] == "LogGroup"
    lines = list(chain.from_iterable(observed.failures.values()))
    matched = [line for line in lines if line.get(pattern["key"]) == pattern["value"]]
    assert matched == observed.failures["CredentialsError"]
    assert 0 < len(matched) < len(lines)
    [dimension] = metric_filter["MetricTransformations"][0]["Dimensions"]
    service_key = dimension["Value"].removeprefix("$.")
    assert {line[service_key] for line in matched} == {service_name()}


def shown(widget: Json) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Yield the metrics of a widget; a dot stands for the value in the row above."""
    above: list[str] = []
    for row in widget["properties"]["metrics"]:
        texts = [one for one in row if isinstance(one, str)]
        above = [above[index] if text == "." else text for index, text in enumerate(texts)]
        namespace, name, key, value = above
        yield namespace, name, (key, value)


@EVERY_KIND
def test_the_dashboard_shows_metrics_that_are_emitted(stack: Stack, emitted: Metrics) -> None:
    """Its body is JSON, each metric is emitted, each alarm exists, and no two widgets overlap."""
    widgets = json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    graphs = [widget for widget in widgets if widget["type"] == "metric"]
    shown_metrics = list(chain.from_iterable(map(shown, graphs)))
    for namespace, name, dimension in shown_metrics:
        assert metric_fault(emitted, stack, namespace, name, dimension) == ""
    emitted_names = {name for _, name, _ in emitted}
    shown_names = {name for _, name, _ in shown_metrics}
    assert emitted_names <= shown_names, "a metric that nobody would see"
    assert all(widget["properties"]["region"] == REGION for widget in graphs)
    (status,) = (widget for widget in widgets if widget["type"] == "alarm")
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    assert status["properties"]["alarms"] == [f"{name}.Arn" for name in alarms]
    places = [
        (x, y)
        for one in widgets
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


@pytest.mark.parametrize("prefix", ["", PREFIX], ids=["one", "many"])
def test_the_dashboard_begins_with_what_to_do_and_with_the_life_of_the_token(prefix: str) -> None:
    """The text has an event that the function takes. The line has this stack's refresh window and alarm."""
    stack = Stack(
        RefreshWindowSeconds="10800",
        AlarmBelowSeconds="3600",
        ConnectionsPrefix=prefix,
        RunbookUrl=RUNBOOK,
    )
    text, life, *_ = json.loads(stack.properties("Dashboard")["DashboardBody"])["widgets"]
    assert text["type"] == "text"
    assert text["properties"]["markdown"].startswith("## What to do first\n")
    assert RUNBOOK in text["properties"]["markdown"]
    [event] = EVENT_IN_A_TEXT.findall(text["properties"]["markdown"])
    assert parse_event(json.loads(event))["action"] == "status"
    assert [one[:2] for one in shown(life)] == [("TokenRefresh", "TokenSecondsRemaining")]
    lines = {one["label"]: one["value"] for one in life["properties"]["annotations"]["horizontal"]}
    assert lines == {"refresh window": 10_800, "alarm": 3_600}


def test_the_dashboard_is_a_choice() -> None:
    """An account with many stacks pays for each dashboard, so it can be left out, and its output too."""
    stack = Stack(DashboardState="DISABLED")
    assert stack.of_type("AWS::CloudWatch::Dashboard") == {}
    assert "DashboardName" not in stack.outputs


# What a platform engineer types


def test_outputs_name_what_operators_and_consumers_need() -> None:
    """They name the secrets, the function, the consumers' policy, and where to look after a failure."""
    values = {name: about["Value"] for name, about in FULL.outputs.items()}
    assert all(about["Description"] for about in FULL.outputs.values())
    assert values == {
        "CredentialsSecretArn": THEIR_SECRET,
        "TokenSecretArn": arn("TokenSecret"),
        "ConsumerPolicyArn": "ConsumerPolicy",
        "CachingConsumerPolicyArn": "CachingConsumerPolicy",
        "FunctionName": "RefreshFunction",
        "AlarmTopicArn": THEIR_TOPIC,
        "DeadLetterQueueUrl": "DeadLetterQueue",
        "LogGroupName": "LogGroup",
        "DashboardName": "Dashboard",
        "ScheduleName": "RefreshFunctionSchedule",
        "ProductVersion": __version__,
    }


def test_outputs_of_many_connections_name_their_prefix_instead_of_two_secrets() -> None:
    """All other outputs are the same, so that the runbook's commands work."""
    secrets = {"CredentialsSecretArn", "TokenSecretArn"}
    assert FULL_MANY.outputs.keys() == FULL.outputs.keys() - secrets | {"ConnectionsPrefix"}
    assert FULL_MANY.outputs["ConnectionsPrefix"]["Value"] == PREFIX


@pytest.mark.parametrize("name", ["sandbox", "production"])
def test_samconfig_deploys_each_environment_as_itself(name: str) -> None:
    """Each environment has its own stack and host, and only parameters that the template has."""
    deploy = tomllib.loads((ROOT / "samconfig.toml").read_text())[name]["deploy"]["parameters"]
    parameters = dict(one.split("=", 1) for one in deploy["parameter_overrides"])
    assert parameters["Environment"] == name
    assert Stack(**parameters)
    assert deploy["stack_name"] == f"token-refresh-{name}"
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert deploy["confirm_changeset"] is deploy["resolve_s3"] is True


@pytest.mark.parametrize("name", ["default", "sandbox", "production"])
def test_to_deploy_twice_is_not_an_error(name: str) -> None:
    """A pipeline that deploys without a change ends well, also after `sam deploy --guided`."""
    deploy = tomllib.loads((ROOT / "samconfig.toml").read_text())[name]["deploy"]["parameters"]
    assert deploy["fail_on_empty_changeset"] is False
