"""The emulated Secrets Manager does what AWS documents, and what AWS was recorded to do.

A check that plain moto does not pass must fail on it.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from local.emulators.access import Access
from local.emulators.aws_rates import AwsRates
from local.emulators.clock import Clock
from local.emulators.secret_versions import attach
from local.emulators.secrets_manager import CUT, LOST_ANSWER, AwsFault, SecretsManager, Stored

NOW = 1_700_000_000
DAY = 86_400
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
LEDGER = "REFRESH_LEDGER"
PENDING = "REFRESH_PENDING"
NOT_FOUND = "ResourceNotFoundException"
INVALID_PARAMETER = "InvalidParameterException"
ACCESS_DENIED = "AccessDeniedException"
INVALID_REQUEST = "InvalidRequestException"
EXISTS = "ResourceExistsException"
VALIDATION = "ValidationException"
SOME_ID = "0" * 32
SIGNATURE = "AWS4-HMAC-SHA256 Credential=key/20250101/us-east-1/secretsmanager/aws4_request"
# A client that is quick to start; the server looks at no signature, and the hook reads the process id.
ONE_PUT = """
import http.client, json, os, sys
token = "0123456789abcdef0123456789abcdef"
body = {"SecretId": sys.argv[2], "SecretString": "two", "ClientRequestToken": token, "ProcessId": os.getpid()}
connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"))
signature = "AWS4-HMAC-SHA256 Credential=key/20250101/us-east-1/secretsmanager/aws4_request"
headers = {"X-Amz-Target": "secretsmanager.PutSecretValue", "Authorization": signature}
connection.request("POST", "/", json.dumps(body), headers)
connection.getresponse()
"""


@dataclass
class Aws:
    server: SecretsManager
    clock: Clock

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self.server.client(), operation)(**params)
        return answer

    def refusal(self, operation: str, **params: Any) -> tuple[str, str, int]:
        """Return code, message and HTTP status of the refusal; empty and 200 if the call is not refused."""
        try:
            self.call(operation, **params)
        except ClientError as error:
            refusal = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return refusal["Code"], refusal["Message"], status
        return "", "", 200

    def error(self, operation: str, **params: Any) -> str:
        return self.refusal(operation, **params)[0]

    def post(self, operation: str, **params: Any) -> tuple[int, dict[str, Any]]:
        """Send a call without an SDK, which would add and check members. Return the status and the answer."""
        with closing(http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=10)) as connection:
            headers = {"X-Amz-Target": f"secretsmanager.{operation}", "Authorization": SIGNATURE}
            connection.request("POST", "/", json.dumps(params), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def secret(self, *documents: str) -> str:
        """Create a secret with a new name, and put these documents one after another as AWSCURRENT."""
        name = f"test/{uuid.uuid4()}"
        self.call("create_secret", Name=name)
        for document in documents:
            self.put(name, document)
        return name

    def put(self, secret: str, document: str, *labels: str, token: str | None = None) -> str:
        version_id = token or str(uuid.uuid4())
        params: dict[str, Any] = {"SecretId": secret, "SecretString": document, "ClientRequestToken": version_id}
        if labels:
            params["VersionStages"] = [*labels]
        self.call("put_secret_value", **params)
        return version_id

    def move(self, secret: str, label: str, source: str | None, target: str | None) -> str:
        """Return the error code if the move is refused, otherwise an empty text."""
        params = {"SecretId": secret, "VersionStage": label}
        if source:
            params["RemoveFromVersionId"] = source
        if target:
            params["MoveToVersionId"] = target
        return self.error("update_secret_version_stage", **params)

    def read(self, secret: str, **which: str) -> str:
        return str(self.call("get_secret_value", SecretId=secret, **which)["SecretString"])

    def labels(self, secret: str) -> dict[str, list[str]]:
        """Return the labels of each version that has one, by the version's document, as DescribeSecret lists them."""
        listed = self.call("describe_secret", SecretId=secret).get("VersionIdsToStages", {})
        stored = self.server.versions(secret)
        return {stored[version_id].document: sorted(labels) for version_id, labels in listed.items()}

    def changed(self, secret: str) -> float:
        return float(self.call("describe_secret", SecretId=secret)["LastChangedDate"].timestamp())


def connect(server: SecretsManager, region: str = "us-east-1", **retries: Any) -> Any:
    session = boto3.Session("key", "secret", region_name=region)
    return session.client("secretsmanager", endpoint_url=server.url, config=Config(proxies={}, retries=retries))


Check = Callable[..., None]


def corrects(check: Check) -> Check:
    """Run the check on both servers. It must fail on plain moto, otherwise there is nothing to correct."""

    @functools.wraps(check)
    def test(aws: Aws, **case: Any) -> None:
        if aws.server.plain:
            with pytest.raises((AssertionError, ClientError, KeyError, ValueError)):
                check(aws, **case)
        else:
            check(aws, **case)

    return test


@pytest.fixture(scope="module", params=[False, True], ids=["corrected", "plain"])
def both(request: pytest.FixtureRequest) -> Iterator[SecretsManager]:
    with SecretsManager(Clock(start=NOW), plain=request.param) as server:
        yield server


@pytest.fixture
def aws(both: SecretsManager) -> Iterator[Aws]:
    yield Aws(both, both.clock)
    both.on_call = both.outage = both.rates = both.scanned_per_page = None
    both.read_lag_seconds = 0
    both.read_lags = {}
    both.access = Access()


# Moves of a label


@corrects
def test_an_attached_label_is_not_moved_without_its_version(aws: Aws) -> None:
    """A move that does not name the label's current version is refused, and changes nothing."""
    secret = aws.secret("one")
    first = aws.put(secret, "first", LEDGER)
    second = aws.put(secret, "second", PENDING)
    assert aws.move(secret, LEDGER, None, second) == INVALID_PARAMETER
    assert aws.move(secret, LEDGER, None, first) == INVALID_PARAMETER
    assert aws.labels(secret) == {"one": [CURRENT], "first": [LEDGER], "second": [PENDING]}


def test_a_stale_move_is_refused(aws: Aws) -> None:
    """A move that names another version than the label's current one is refused, and changes nothing."""
    secret = aws.secret("one")
    first = aws.put(secret, "first", LEDGER)
    second = aws.put(secret, "second", PENDING)
    assert aws.move(secret, LEDGER, second, first) == INVALID_PARAMETER
    assert aws.move(secret, "NOWHERE", second, first) == INVALID_PARAMETER
    assert aws.labels(secret) == {"one": [CURRENT], "first": [LEDGER], "second": [PENDING]}


@corrects
def test_the_refusal_names_the_version_that_has_the_label(aws: Aws) -> None:
    """The message is the same as AWS's, and says which version has the label."""
    secret = aws.secret("one")
    first = aws.put(secret, "first", LEDGER)
    second = aws.put(secret, "second", PENDING)
    move = {"SecretId": secret, "VersionStage": LEDGER, "MoveToVersionId": second}
    assert aws.refusal("update_secret_version_stage", **move)[1] == (
        f"The parameter RemoveFromVersionId can't be empty. Staging label {LEDGER} is currently attached to version "
        f"{first}, so you must explicitly reference that version in RemoveFromVersionId."
    )


def test_a_free_label_is_attached_moved_and_removed(aws: Aws) -> None:
    """A free label needs no RemoveFromVersionId. With the right one it moves, or is removed if there is no target."""
    secret = aws.secret("one")
    first = aws.put(secret, "first", PENDING)
    second = aws.put(secret, "second", PENDING)
    assert aws.move(secret, LEDGER, None, first) == ""
    assert aws.move(secret, LEDGER, first, second) == ""
    assert aws.read(secret, VersionStage=LEDGER) == "second"
    assert aws.move(secret, LEDGER, second, None) == ""
    assert aws.error("get_secret_value", SecretId=secret, VersionStage=LEDGER) == NOT_FOUND


@corrects
def test_a_move_between_unknown_versions_finds_nothing(aws: Aws) -> None:
    """A version id that the secret does not have gives a ResourceNotFoundException."""
    secret = aws.secret("one")
    ledger = aws.put(secret, "ledger", LEDGER)
    assert aws.move(secret, LEDGER, ledger, SOME_ID) == NOT_FOUND
    assert aws.move(secret, LEDGER, SOME_ID, ledger) == NOT_FOUND
    assert aws.read(secret, VersionStage=LEDGER) == "ledger"


@corrects
def test_a_move_needs_a_version(aws: Aws) -> None:
    """A move that names no version at all is refused."""
    assert aws.move(aws.secret("one"), LEDGER, None, None) == INVALID_PARAMETER


@corrects
def test_a_move_to_where_the_label_is_changes_nothing(aws: Aws) -> None:
    """No label is listed twice, AWSPREVIOUS stays, and so does LastChangedDate."""
    secret = aws.secret("one", "two")
    current = aws.call("get_secret_value", SecretId=secret)["VersionId"]
    before = aws.changed(secret)
    aws.clock.advance(60)
    assert aws.move(secret, CURRENT, current, current) == ""
    assert aws.labels(secret) == {"one": [PREVIOUS], "two": [CURRENT]}
    assert aws.changed(secret) == before


@corrects
def test_awscurrent_is_never_removed(aws: Aws) -> None:
    """AWSCURRENT can only be moved to another version."""
    secret = aws.secret("one")
    current = aws.call("get_secret_value", SecretId=secret)["VersionId"]
    assert aws.move(secret, CURRENT, current, None) == INVALID_PARAMETER
    assert aws.read(secret) == "one"


def test_awsprevious_follows_a_move_of_awscurrent(aws: Aws) -> None:
    """The version that loses AWSCURRENT gets AWSPREVIOUS, and the former AWSPREVIOUS loses it; other labels stay."""
    secret = aws.secret("one", "two", "three")
    versions = {stored.document: version_id for version_id, stored in aws.server.versions(secret).items()}
    assert aws.move(secret, LEDGER, None, versions["three"]) == ""
    assert aws.move(secret, CURRENT, versions["three"], versions["one"]) == ""
    assert aws.labels(secret).get("three") == sorted([PREVIOUS, LEDGER])
    assert aws.labels(secret).get("one") == [CURRENT]
    assert not aws.labels(secret).get("two")


@corrects
def test_one_of_two_simultaneous_moves_wins(aws: Aws) -> None:
    """If two writers have read the same state, exactly one moves the label, in each of many rounds."""
    secret = aws.secret("one")
    holder = None
    barrier = threading.Barrier(2)

    def race(target: str, source: str | None) -> str:
        barrier.wait(timeout=10)
        return aws.move(secret, LEDGER, source, target)

    with ThreadPoolExecutor(2) as threads:
        for turn in range(20):
            targets = [aws.put(secret, f"{turn}{writer}", PENDING) for writer in "ab"]
            refusals = list(threads.map(race, targets, [holder, holder]))
            assert sorted(refusals) == ["", INVALID_PARAMETER]
            holder = targets[refusals.index("")]
            assert [key for key, stored in aws.server.versions(secret).items() if LEDGER in stored.labels] == [holder]


@corrects
def test_a_move_is_checked_and_made_in_one_step(aws: Aws) -> None:
    """No second move comes between the check of a first move and its effect, however long that takes."""
    secret = aws.secret("one")
    targets = [aws.put(secret, writer, PENDING) for writer in "ab"]
    both_inside = threading.Barrier(2)

    def attach_slowly(*arguments: Any) -> None:
        with suppress(threading.BrokenBarrierError):
            both_inside.wait(timeout=0.1)
        attach(*arguments)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as threads:
        patch.setattr("local.emulators.documented.attach", attach_slowly)
        refusals = list(threads.map(lambda target: aws.move(secret, LEDGER, None, target), targets))
    assert sorted(refusals) == ["", INVALID_PARAMETER]


# Reads


@corrects
def test_a_current_version_that_came_back_is_read(aws: Aws) -> None:
    """After AWSCURRENT was moved back, a plain read and a batch answer with the version that has it."""
    secret = aws.secret("one", "two")
    one, two = aws.server.versions(secret)
    assert aws.move(secret, CURRENT, two, one) == ""
    batch = aws.call("batch_get_secret_value", SecretIdList=[secret])["SecretValues"]
    for answer in (aws.call("get_secret_value", SecretId=secret), *batch):
        assert answer["SecretString"] == "one"
        assert answer["VersionId"] == one
        assert answer["VersionStages"] == [CURRENT]


def test_a_version_is_read_by_its_label_and_by_its_id(aws: Aws) -> None:
    """VersionStage and VersionId each find their version. If they name different versions the read is refused."""
    secret = aws.secret("one", "two")
    one, two = aws.server.versions(secret)
    previous = aws.call("get_secret_value", SecretId=secret, VersionStage=PREVIOUS)
    assert previous["SecretString"] == "one"
    assert previous["VersionId"] == one
    assert previous["VersionStages"] == [PREVIOUS]
    assert aws.read(secret, VersionId=one) == "one"
    assert aws.read(secret, VersionId=two, VersionStage=CURRENT) == "two"
    assert aws.error("get_secret_value", SecretId=secret, VersionId=one, VersionStage=CURRENT) == INVALID_REQUEST
    assert aws.error("get_secret_value", SecretId=secret, VersionId=SOME_ID) == NOT_FOUND


@corrects
def test_a_batch_answers_for_the_others_too(aws: Aws) -> None:
    """Errors lists secrets that are missing, empty or being deleted; the other secrets are answered."""
    good = aws.secret("one")
    empty = aws.secret()
    going = aws.secret("two")
    missing = "test/missing"
    aws.call("delete_secret", SecretId=going)
    answer = aws.call("batch_get_secret_value", SecretIdList=[missing, empty, good, going])
    assert [(value["Name"], value["SecretString"]) for value in answer["SecretValues"]] == [(good, "one")]
    codes = {error["SecretId"]: error["ErrorCode"] for error in answer["Errors"]}
    assert codes == {missing: NOT_FOUND, empty: NOT_FOUND, going: INVALID_REQUEST}
    assert all(error["Message"] for error in answer["Errors"])


@corrects
def test_unlabelled_versions_are_not_described(aws: Aws) -> None:
    """DescribeSecret shows only versions with a label; ListSecretVersionIds shows the others too if asked."""
    secret = aws.secret("one", "two", "three")
    one, two, three = aws.server.versions(secret)
    assert aws.labels(secret) == {"two": [PREVIOUS], "three": [CURRENT]}
    listed = aws.call("list_secret_version_ids", SecretId=secret)
    assert [version["VersionId"] for version in listed["Versions"]] == [two, three]
    listed = aws.call("list_secret_version_ids", SecretId=secret, IncludeDeprecated=True)
    assert [version["VersionId"] for version in listed["Versions"]] == [one, two, three]


@corrects
def test_a_version_without_a_label_has_no_list_of_labels(aws: Aws) -> None:
    """As recorded of AWS: the member VersionStages is missing, it is not empty."""
    secret = aws.secret("one", "two", "three")
    listed = aws.call("list_secret_version_ids", SecretId=secret, IncludeDeprecated=True)["Versions"]
    assert [version.get("VersionStages") for version in listed] == [None, [PREVIOUS], [CURRENT]]
    one = listed[0]["VersionId"]
    assert "VersionStages" not in aws.call("get_secret_value", SecretId=secret, VersionId=one)


@corrects
def test_a_list_of_versions_names_keys_and_the_day_of_the_last_read(aws: Aws) -> None:
    """As recorded of AWS. A version that nobody has read has no date, and a date has no time."""
    secret = aws.secret("one")
    aws.put(secret, "two")
    aws.read(secret, VersionStage=PREVIOUS)
    one, two = aws.call("list_secret_version_ids", SecretId=secret)["Versions"]
    assert one["LastAccessedDate"].timestamp() == aws.clock.now() // DAY * DAY
    assert "LastAccessedDate" not in two
    assert [version["KmsKeyIds"] for version in (one, two)] == [["DefaultEncryptionKey"]] * 2
    key = aws.call("create_secret", Name=f"test/{uuid.uuid4()}", SecretString="one", KmsKeyId="alias/own")["Name"]
    [version] = aws.call("list_secret_version_ids", SecretId=key)["Versions"]
    assert version["KmsKeyIds"] == ["alias/own"]


@corrects
def test_a_secret_has_the_day_of_its_last_read(aws: Aws) -> None:
    """As recorded of AWS: the description has no date before the first read. Reads in a batch count, too."""
    secret = aws.secret("one")
    assert "LastAccessedDate" not in aws.call("describe_secret", SecretId=secret)
    aws.call("batch_get_secret_value", SecretIdList=[secret])
    [listed] = aws.call("list_secrets", Filters=by_name(secret))["SecretList"]
    for answer in (aws.call("describe_secret", SecretId=secret), listed):
        assert answer["LastAccessedDate"].timestamp() == aws.clock.now() // DAY * DAY


# Requests that AWS refuses before it looks for a secret


@corrects
@pytest.mark.parametrize("operation", ["CreateSecret", "UpdateSecret", "PutSecretValue", "RotateSecret"])
def test_a_write_without_a_token_is_refused(aws: Aws, operation: str) -> None:
    """As recorded of AWS: SDKs add a ClientRequestToken, and whoever does without an SDK must, too."""
    secret = "Name" if operation == "CreateSecret" else "SecretId"
    status, answer = aws.post(operation, **{secret: "test/token", "SecretString": "one"})
    assert status == 400
    assert answer == {
        "__type": INVALID_REQUEST,
        "Message": "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
    }


BAD_PUTS: dict[str, dict[str, Any]] = {
    "a token of 31 characters": {"ClientRequestToken": "0" * 31},
    "a token of 65 characters": {"ClientRequestToken": "0" * 65},
    "21 labels": {"VersionStages": [f"LABEL{number}" for number in range(21)]},
    "no label": {"VersionStages": []},
    "an empty label": {"VersionStages": [""]},
    "an empty value": {"SecretString": ""},
    "no bytes": {"SecretBinary": ""},
    "an empty id of a secret": {"SecretId": ""},
}


@corrects
@pytest.mark.parametrize("params", BAD_PUTS.values(), ids=BAD_PUTS.keys())
def test_a_put_is_held_to_the_service_model(aws: Aws, params: dict[str, Any]) -> None:
    """Too long, too short, too many: ValidationException, and nothing is written."""
    secret = aws.secret("one")
    put = {"SecretId": secret, "SecretString": "two", "ClientRequestToken": str(uuid.uuid4())}
    if "SecretBinary" in params:
        del put["SecretString"]
    status, answer = aws.post("PutSecretValue", **(put | params))
    assert (status, answer["__type"]) == (400, VALIDATION)
    assert [stored.document for stored in aws.server.versions(secret).values()] == ["one"]


def test_a_put_at_the_limits_is_taken(aws: Aws) -> None:
    """Tokens of 32 and 64 characters, 20 labels, and a member that is null, which is as good as not there."""
    secret = aws.secret("one")
    labels = [f"LABEL{number}" for number in range(20)]
    put = {"SecretId": secret, "SecretString": "two", "SecretBinary": None, "VersionStages": labels}
    for token in ("0" * 32, "0" * 64):
        status, _ = aws.post("PutSecretValue", **put, ClientRequestToken=token)
        assert status == 200
    assert aws.labels(secret) == {"one": [CURRENT], "two": sorted(labels)}


@corrects
def test_a_batch_takes_one_to_twenty_secrets(aws: Aws) -> None:
    """Without an SDK, which would refuse an empty list by itself."""
    secret = aws.secret("one")
    answers = [aws.post("BatchGetSecretValue", SecretIdList=[secret] * count) for count in (0, 1, 20, 21)]
    assert [status for status, _ in answers] == [400, 200, 200, 400]
    assert [answers[0][1]["__type"], answers[3][1]["__type"]] == [VALIDATION, VALIDATION]


@corrects
def test_all_faults_of_a_request_are_named_and_no_value(aws: Aws) -> None:
    """The refusal says where each fault is, and what is allowed. What was sent is never in it."""
    params = {"SecretString": "canary" * 11_000, "ClientRequestToken": "canary", "VersionStages": ["x", ""]}
    status, answer = aws.post("PutSecretValue", **params)
    assert (status, answer["__type"]) == (400, VALIDATION)
    assert answer["Message"].startswith("4 validation errors detected: ")
    for place in ("'secretId'", "'secretString'", "'clientRequestToken'", "'versionStages.2.member'"):
        assert place in answer["Message"]
    assert "canary" not in answer["Message"]


@corrects
def test_a_value_of_another_type_is_refused(aws: Aws) -> None:
    """A number is not a text. boto3 would refuse it by itself."""
    status, answer = aws.post("GetSecretValue", SecretId=5)
    assert (status, answer["__type"]) == (400, "SerializationException")


@corrects
@pytest.mark.parametrize("name", ["in two words", "stern*", "käse", "a\\b", "x" * 513])
def test_a_name_has_known_characters_and_a_largest_length(aws: Aws, name: str) -> None:
    """As recorded of AWS: a name is refused when a secret is created, and when one is looked for, in each operation."""
    assert aws.error("create_secret", Name=name, SecretString="one") == VALIDATION
    if len(name) > 512:
        return  # an ARN is longer than a name, so an id may be
    message = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
    tags = [{"Key": "colour", "Value": "blue"}]
    calls: dict[str, dict[str, Any]] = {
        "get_secret_value": {},
        "describe_secret": {},
        "delete_secret": {"ForceDeleteWithoutRecovery": True},
        "put_secret_value": {"SecretString": "one"},
        "tag_resource": {"Tags": tags},
    }
    for operation, params in calls.items():
        assert aws.refusal(operation, SecretId=name, **params) == (VALIDATION, message, 400)


def test_a_name_may_have_these_characters(aws: Aws) -> None:
    """Letters, digits, and some more; 512 in all."""
    name = f"{uuid.uuid4()}/_+=.@!-".ljust(512, "x")
    aws.call("create_secret", Name=name, SecretString="one")
    assert aws.read(name) == "one"


@corrects
def test_an_error_has_a_message_and_status_400(aws: Aws) -> None:
    """As recorded of AWS: the body's member is `Message`. Also for operations that are moto's own."""
    for operation in ("GetSecretValue", "RestoreSecret", "GetResourcePolicy"):
        status, answer = aws.post(operation, SecretId="test/missing")
        assert status == 400
        assert answer == {
            "__type": NOT_FOUND,
            "Message": "Secrets Manager can't find the specified secret.",
        }


# Lists and filters


def under(aws: Aws, count: int) -> tuple[str, list[str]]:
    """Make so many secrets with a value under a prefix of their own. Return the prefix and their names."""
    prefix = f"list/{uuid.uuid4()}/"
    names = [f"{prefix}{number}" for number in range(count)]
    for name in names:
        aws.call("create_secret", Name=name, SecretString="one")
    return prefix, names


def by_name(prefix: str) -> list[dict[str, Any]]:
    return [{"Key": "name", "Values": [prefix]}]


def pages(aws: Aws, operation: str, prefix: str, **params: Any) -> list[list[str]]:
    """Return the names on each page of the list of all secrets under the prefix."""
    found: list[list[str]] = []
    request: dict[str, Any] = {"Filters": by_name(prefix), **params}
    while True:
        answer = aws.call(operation, **request)
        secrets = answer.get("SecretValues") or answer.get("SecretList") or []
        found.append([secret["Name"] for secret in secrets])
        if not answer.get("NextToken"):
            return found
        request["NextToken"] = answer["NextToken"]


@pytest.mark.parametrize("operation", ["batch_get_secret_value", "list_secrets"])
def test_a_filtered_list_has_every_secret_once(aws: Aws, operation: str) -> None:
    """Page by page, in the order of creation, with MaxResults on each but the last; the prefix is case sensitive."""
    prefix, names = under(aws, 7)
    assert pages(aws, operation, prefix, MaxResults=3) == [names[:3], names[3:6], names[6:]]
    assert pages(aws, operation, names[5]) == [[names[5]]]
    assert pages(aws, operation, prefix.upper()) == [[]]


@corrects
def test_a_batch_has_20_secrets_and_a_list_has_100(aws: Aws) -> None:
    """So many are on a page if the request does not say how many, and it can't ask for more."""
    prefix, names = under(aws, 21)
    assert pages(aws, "batch_get_secret_value", prefix) == [names[:20], names[20:]]
    assert pages(aws, "list_secrets", prefix) == [names]
    too_many = {"Filters": by_name(prefix), "MaxResults": 21}
    assert aws.error("batch_get_secret_value", **too_many) == "ValidationException"
    assert aws.error("list_secrets", **{**too_many, "MaxResults": 101}) == "ValidationException"
    assert aws.error("batch_get_secret_value", SecretIdList=names) == "ValidationException"


@corrects
def test_a_filtered_batch_tells_of_secrets_without_a_value(aws: Aws) -> None:
    """A secret without a value is in Errors, by its ARN; one that is marked for deletion is not there at all."""
    prefix, [good, going] = under(aws, 2)
    empty = aws.call("create_secret", Name=f"{prefix}empty")["ARN"]
    aws.call("delete_secret", SecretId=going)
    answer = aws.call("batch_get_secret_value", Filters=by_name(prefix))
    assert [value["Name"] for value in answer["SecretValues"]] == [good]
    assert [(error["SecretId"], error["ErrorCode"]) for error in answer["Errors"]] == [(empty, NOT_FOUND)]
    assert pages(aws, "list_secrets", prefix) == [[good, f"{prefix}empty"]]
    assert pages(aws, "list_secrets", prefix, IncludePlannedDeletion=True) == [[good, going, f"{prefix}empty"]]


@corrects
def test_no_secret_is_skipped_if_others_go_between_two_pages(aws: Aws) -> None:
    """A list goes on after the last secret of the page before, whatever was deleted or created since."""
    prefix, names = under(aws, 4)
    first = aws.call("batch_get_secret_value", Filters=by_name(prefix), MaxResults=2)
    aws.call("delete_secret", SecretId=names[0], ForceDeleteWithoutRecovery=True)
    aws.call("create_secret", Name=f"{prefix}new", SecretString="one")
    rest = pages(aws, "batch_get_secret_value", prefix, NextToken=first["NextToken"])
    assert rest == [[*names[2:], f"{prefix}new"]]


@corrects
def test_a_page_can_be_empty_although_there_is_a_next_one(aws: Aws) -> None:
    """AWS documents this for a filtered view of a long list. Only a page without NextToken is the last."""
    _, _ = under(aws, 3)
    prefix, names = under(aws, 2)
    aws.server.scanned_per_page = 2
    found = pages(aws, "batch_get_secret_value", prefix)
    assert [] in found[:-1]
    assert [name for page in found for name in page] == names


@corrects
def test_a_batch_chooses_its_secrets_in_one_way(aws: Aws) -> None:
    """A list of secrets and filters exclude each other, one of them is needed, and pages are for filters only."""
    secret = aws.secret("one")
    batch = "batch_get_secret_value"
    assert aws.error(batch, SecretIdList=[secret], Filters=by_name(secret)) == INVALID_PARAMETER
    assert aws.error(batch, SecretIdList=[secret], MaxResults=5) == INVALID_PARAMETER
    assert aws.error(batch) == INVALID_PARAMETER
    assert aws.error(batch, Filters=by_name(secret), NextToken="made up") == "InvalidNextTokenException"
    assert aws.error(batch, Filters=[{"Key": "colour", "Values": ["blue"]}]) == "ValidationException"


@corrects
def test_a_list_shows_labels_and_no_value(aws: Aws) -> None:
    """An entry of ListSecrets has the labels of versions that have one, the dates, and never a value."""
    secret = aws.secret("one", "two", "three")
    [entry] = aws.call("list_secrets", Filters=by_name(secret))["SecretList"]
    assert sorted(entry["SecretVersionsToStages"].values()) == [[CURRENT], [PREVIOUS]]
    assert entry["CreatedDate"].timestamp() == aws.clock.now()
    assert "three" not in repr(entry)


@corrects
def test_a_list_that_lags_does_not_show_the_newest_secrets(aws: Aws) -> None:
    """Lists show the secrets, and their values, as they were when the lag began."""
    prefix, names = under(aws, 1)
    aws.clock.advance(60)
    aws.put(names[0], "two")
    aws.call("create_secret", Name=f"{prefix}new", SecretString="one")
    aws.server.read_lag_seconds = 30
    late = aws.call("batch_get_secret_value", Filters=by_name(prefix))["SecretValues"]
    assert [(value["Name"], value["SecretString"]) for value in late] == [(names[0], "one")]
    assert pages(aws, "list_secrets", prefix) == [names]
    aws.server.read_lag_seconds = 0
    assert pages(aws, "list_secrets", prefix) == [[*names, f"{prefix}new"]]


@corrects
def test_reads_of_one_operation_can_lag(aws: Aws) -> None:
    """A call that lags is next to one that does not, so a run can see new and old in turn."""
    secret = aws.secret("one")
    aws.clock.advance(60)
    aws.put(secret, "two")
    aws.server.read_lags = {"BatchGetSecretValue": 30}
    [late] = aws.call("batch_get_secret_value", SecretIdList=[secret])["SecretValues"]
    assert late["SecretString"] == "one"
    assert aws.read(secret) == "two"
    aws.clock.advance(31)
    [caught_up] = aws.call("batch_get_secret_value", SecretIdList=[secret])["SecretValues"]
    assert caught_up["SecretString"] == "two"


@corrects
def test_a_replica_can_lag(aws: Aws) -> None:
    """A secret is read in its own region at once, and in the region of its replica later. A replica takes no write."""
    secret = aws.secret("one")
    aws.call("replicate_secret_to_regions", SecretId=secret, AddReplicaRegions=[{"Region": "eu-west-1"}])
    aws.clock.advance(60)
    aws.put(secret, "two")
    aws.server.read_lags = {"eu-west-1": 30}
    with closing(connect(aws.server, region="eu-west-1")) as client:
        assert client.get_secret_value(SecretId=secret)["SecretString"] == "one"
        assert aws.read(secret) == "two"
        aws.clock.advance(31)
        assert client.get_secret_value(SecretId=secret)["SecretString"] == "two"
        with pytest.raises(ClientError, match="replica"):
            client.put_secret_value(SecretId=secret, SecretString="three")


def steer(aws: Aws, document: str | None, origin: str | None = None) -> tuple[int, dict[str, Any]]:
    """Send this to the emulator's own path; None: ask what is set. Return the status and the answer."""
    with closing(http.client.HTTPConnection(aws.server.url.removeprefix("http://"), timeout=10)) as connection:
        headers = {"Origin": origin} if origin else {}
        connection.request("POST" if document else "GET", "/_emulator", document, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("both", [False], indirect=True, ids=["corrected"])
def test_the_lag_is_set_over_http(aws: Aws) -> None:
    """What is set stays until it is set again; the answer shows all of it."""
    secret = aws.secret("one")
    aws.clock.advance(60)
    aws.put(secret, "two")
    assert steer(aws, '{"read_lag_seconds": 30}') == (200, {"read_lag_seconds": 30, "read_lags": {}})
    assert aws.read(secret) == "one"
    lags = {"ListSecrets": 60, "eu-west-1": 1.5}
    assert steer(aws, json.dumps({"read_lags": lags})) == (200, {"read_lag_seconds": 30, "read_lags": lags})
    assert steer(aws, '{"read_lag_seconds": 0}') == (200, {"read_lag_seconds": 0, "read_lags": lags})
    assert steer(aws, None) == (200, {"read_lag_seconds": 0, "read_lags": lags})
    assert aws.read(secret) == "two"


@pytest.mark.parametrize("both", [False], indirect=True, ids=["corrected"])
@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("no JSON", "Expecting value"),
        ("[]", "an object"),
        ('{"lag": 5}', "'lag'"),
        ('{"read_lag_seconds": -1}', "from 0 to 300"),
        ('{"read_lag_seconds": true}', "from 0 to 300"),
        ('{"read_lags": 5}', "read_lags: an object"),
        ('{"read_lags": {"PutSecretValue": 5}}', "'PutSecretValue'"),
        ('{"read_lags": {"eu-west-1": 301}}', "eu-west-1"),
    ],
)
def test_a_wrong_lag_is_refused_and_changes_nothing(aws: Aws, document: str, named: str) -> None:
    """The answer names what is wrong."""
    aws.server.read_lags = {"ListSecrets": 60}
    status, answer = steer(aws, document)
    assert status == 400
    assert named in answer["error"]
    assert steer(aws, None) == (200, {"read_lag_seconds": 0, "read_lags": {"ListSecrets": 60}})


@pytest.mark.parametrize("both", [False], indirect=True, ids=["corrected"])
def test_no_web_page_sets_the_lag(aws: Aws) -> None:
    """A request from a page of another site is refused."""
    status, _ = steer(aws, '{"read_lag_seconds": 30}', origin="https://example.com")
    assert status == 403
    assert aws.server.read_lag_seconds == 0


# Puts


@corrects
def test_a_put_moves_each_of_its_labels(aws: Aws) -> None:
    """The new version has all labels that the put names; the old current has AWSPREVIOUS and keeps its others."""
    secret = aws.secret("zero", "one")
    aws.put(secret, "two", CURRENT, "EXTRA", LEDGER)
    aws.put(secret, "three", CURRENT, LEDGER)
    assert aws.labels(secret) == {"two": sorted([PREVIOUS, "EXTRA"]), "three": sorted([CURRENT, LEDGER])}


@corrects
def test_a_put_that_takes_awscurrent_ends_a_rotation(aws: Aws) -> None:
    """As recorded of AWS: the version that loses AWSCURRENT by a put loses AWSPENDING, too. Other labels stay."""
    secret = aws.secret("one")
    one = aws.call("get_secret_value", SecretId=secret)["VersionId"]
    two = aws.put(secret, "two", "AWSPENDING", "EXTRA")
    assert aws.move(secret, CURRENT, one, two) == ""
    assert aws.labels(secret) == {"one": [PREVIOUS], "two": sorted([CURRENT, "AWSPENDING", "EXTRA"])}
    aws.put(secret, "three")
    assert aws.labels(secret) == {"two": sorted([PREVIOUS, "EXTRA"]), "three": [CURRENT]}


@corrects
def test_a_put_leaves_a_rotation_on_another_version(aws: Aws) -> None:
    """Only the version that loses AWSCURRENT loses AWSPENDING; a move of AWSCURRENT takes it from nobody."""
    secret = aws.secret("one")
    two = aws.put(secret, "two", "AWSPENDING")
    three = aws.put(secret, "three")
    assert aws.labels(secret) == {"one": [PREVIOUS], "two": ["AWSPENDING"], "three": [CURRENT]}
    assert aws.move(secret, CURRENT, three, two) == ""
    assert aws.move(secret, CURRENT, two, three) == ""
    assert aws.labels(secret) == {"two": sorted([PREVIOUS, "AWSPENDING"]), "three": [CURRENT]}


def test_a_put_without_labels_is_current(aws: Aws) -> None:
    """A put that names no label gets AWSCURRENT; a put that names others leaves AWSCURRENT where it is."""
    secret = aws.secret("one")
    aws.put(secret, "two")
    aws.put(secret, "claim", PENDING)
    assert aws.labels(secret) == {"one": [PREVIOUS], "two": [CURRENT], "claim": [PENDING]}


def test_a_first_version_is_always_current(aws: Aws) -> None:
    """The first version gets AWSCURRENT in addition to the labels that the put names; later versions do not."""
    secret = aws.secret()
    aws.put(secret, "seed", PENDING)
    assert aws.labels(secret) == {"seed": sorted([CURRENT, PENDING])}
    aws.put(secret, "claim", PENDING)
    assert aws.labels(secret) == {"seed": [CURRENT], "claim": [PENDING]}


@corrects
def test_moves_and_puts_change_the_date(aws: Aws) -> None:
    """LastChangedDate is the time of the last put, or of the last move or removal of a label."""
    secret = aws.secret("one")
    with pytest.MonkeyPatch.context() as patch:
        # So that plain moto has the same time, and fails for the moves alone.
        patch.setattr("moto.secretsmanager.models.time", SimpleNamespace(time=aws.clock.now))
        aws.clock.advance(100)
        first = aws.put(secret, "first", PENDING)
        second = aws.put(secret, "second", PENDING)
        assert aws.changed(secret) == aws.clock.now()
        for source, target in ((None, first), (first, second), (second, None)):
            aws.clock.advance(100)
            assert aws.move(secret, LEDGER, source, target) == ""
            assert aws.changed(secret) == aws.clock.now()


def test_a_put_is_repeated_safely(aws: Aws) -> None:
    """A repeated put of the same token and bytes does nothing: labels that have moved stay, and so does the date."""
    secret = aws.secret("zero")
    one = aws.put(secret, "one", CURRENT, LEDGER)
    aws.put(secret, "two", CURRENT, LEDGER)
    before = aws.labels(secret)
    changed = aws.changed(secret)
    aws.clock.advance(60)
    answer = aws.call("put_secret_value", SecretId=secret, SecretString="one", ClientRequestToken=one)
    assert answer["VersionId"] == one
    assert answer["VersionStages"] == [PREVIOUS]
    assert aws.labels(secret) == before
    assert aws.changed(secret) == changed


def test_a_token_is_used_for_one_value(aws: Aws) -> None:
    """The same request token with another value is refused, and changes nothing."""
    secret = aws.secret("one")
    again = {"SecretId": secret, "ClientRequestToken": aws.put(secret, "first", LEDGER), "VersionStages": [PENDING]}
    assert aws.error("put_secret_value", **again, SecretString="second") == EXISTS
    assert aws.labels(secret) == {"one": [CURRENT], "first": [LEDGER]}


@corrects
def test_a_token_under_awspending_too(aws: Aws) -> None:
    """A version that has AWSPENDING, the label of AWS's own rotation, and a value is not overwritten either."""
    secret = aws.secret("one")
    token = aws.put(secret, "first", "AWSPENDING")
    assert aws.error("put_secret_value", SecretId=secret, SecretString="second", ClientRequestToken=token) == EXISTS
    assert aws.read(secret, VersionId=token) == "first"


@corrects
def test_a_secret_that_is_being_deleted_takes_no_write(aws: Aws) -> None:
    """A secret that is scheduled for deletion refuses puts and moves. Restored, it has its versions and labels."""
    secret = aws.secret("one")
    claim = aws.put(secret, "claim", PENDING)
    aws.call("delete_secret", SecretId=secret)
    assert aws.error("put_secret_value", SecretId=secret, SecretString="two") == INVALID_REQUEST
    assert aws.move(secret, LEDGER, None, claim) == INVALID_REQUEST
    aws.call("restore_secret", SecretId=secret)
    assert aws.labels(secret) == {"one": [CURRENT], "claim": [PENDING]}


def test_a_secret_that_is_being_deleted_is_not_read(aws: Aws) -> None:
    """A secret that is scheduled for deletion can't be read, and its name can't be used again."""
    secret = aws.secret("one")
    aws.call("delete_secret", SecretId=secret)
    assert aws.error("get_secret_value", SecretId=secret) == INVALID_REQUEST
    assert aws.error("create_secret", Name=secret) in {INVALID_REQUEST, EXISTS}


@corrects
def test_a_value_has_a_largest_size(aws: Aws) -> None:
    """65,536 bytes are accepted and one more is refused; bytes are counted, not characters."""
    secret = aws.secret("x" * 65_536)
    assert aws.error("put_secret_value", SecretId=secret, SecretString="x" * 65_537) == "ValidationException"
    assert aws.error("put_secret_value", SecretId=secret, SecretString="é" * 32_769) == "ValidationException"
    assert aws.read(secret) == "x" * 65_536


@corrects
def test_a_hundred_young_versions_are_the_limit(aws: Aws) -> None:
    """With 100 versions of the last 24 h a put is refused. A day later the oldest unlabelled version is dropped."""
    secret = aws.secret("labelled")
    for number in range(99):
        aws.put(secret, f"claim {number}", PENDING)
        aws.clock.advance(1)
    refused = {"SecretId": secret, "SecretString": "late", "VersionStages": [PENDING]}
    assert aws.error("put_secret_value", **refused) == "LimitExceededException"
    aws.clock.advance(DAY - 99)
    aws.put(secret, "next", PENDING)
    assert aws.error("put_secret_value", **refused) == "LimitExceededException"
    documents = [stored.document for stored in aws.server.versions(secret).values()]
    assert documents == ["labelled", *(f"claim {number}" for number in range(1, 99)), "next"]


# Secrets


def test_a_secret_without_a_value_has_no_version(aws: Aws) -> None:
    """CreateSecret without a value makes no version, and a read says that no version has the label."""
    secret = aws.secret()
    assert "VersionIdsToStages" not in aws.call("describe_secret", SecretId=secret)
    nowhere = "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT"
    assert aws.refusal("get_secret_value", SecretId=secret)[:2] == (NOT_FOUND, nowhere)


@corrects
def test_what_is_not_found_has_status_400(aws: Aws) -> None:
    """AWS does not use HTTP's 404: a missing secret and a missing value give 400."""
    for secret in ("test/missing", aws.secret()):
        assert aws.refusal("get_secret_value", SecretId=secret)[::2] == (NOT_FOUND, 400)


def test_a_secret_is_created_with_a_value(aws: Aws) -> None:
    """CreateSecret with a value makes the first version. The name is then taken; the same request succeeds again."""
    request = {"Name": f"test/{uuid.uuid4()}", "SecretString": "one", "ClientRequestToken": str(uuid.uuid4())}
    created = aws.call("create_secret", **request)
    assert created["VersionId"] == request["ClientRequestToken"]
    assert aws.call("create_secret", **request)["VersionId"] == created["VersionId"]
    assert aws.error("create_secret", Name=request["Name"], SecretString="two") == EXISTS
    assert aws.labels(request["Name"]) == {"one": [CURRENT]}


def test_a_secret_has_a_name_and_two_arns(aws: Aws) -> None:
    """Each operation takes the name, the ARN, and the ARN without its last six characters."""
    secret = aws.secret("zero")
    arn = aws.call("describe_secret", SecretId=secret)["ARN"]
    assert arn.endswith(secret + arn[-7:])
    for secret_id in (secret, arn, arn[:-7]):
        current = aws.put(secret_id, f"by {secret_id}", CURRENT)
        assert aws.move(secret_id, "MARK", None, current) == ""
        assert aws.move(secret_id, "MARK", current, None) == ""
        assert aws.read(secret_id) == f"by {secret_id}"
        batch = aws.call("batch_get_secret_value", SecretIdList=[secret_id])
        assert [(value["Name"], value["ARN"]) for value in batch["SecretValues"]] == [(secret, arn)]
        assert aws.call("describe_secret", SecretId=secret_id)["Name"] == secret


@corrects
def test_an_update_is_a_put(aws: Aws) -> None:
    """UpdateSecret, the other way to give a secret a value, moves the labels as a put does."""
    secret = aws.secret("one")
    aws.put(secret, "two", CURRENT, LEDGER)
    aws.call("update_secret", SecretId=secret, SecretString="three", Description="by hand")
    assert aws.labels(secret) == {"two": sorted([PREVIOUS, LEDGER]), "three": [CURRENT]}
    assert aws.call("describe_secret", SecretId=secret)["Description"] == "by hand"


@corrects
def test_an_update_with_a_used_token_is_held_to_its_value(aws: Aws) -> None:
    """The same value again is no write; another value is refused, with whatever else was to be changed."""
    secret = aws.secret("zero")
    token = aws.put(secret, "one")
    aws.put(secret, "two")
    update = {"SecretId": secret, "ClientRequestToken": token}
    before = aws.changed(secret)
    aws.clock.advance(60)
    assert aws.call("update_secret", **update, SecretString="one")["VersionId"] == token
    assert aws.error("update_secret", **update, SecretString="three", Description="refused") == EXISTS
    assert aws.labels(secret) == {"one": [PREVIOUS], "two": [CURRENT]}
    assert "Description" not in aws.call("describe_secret", SecretId=secret)
    assert aws.changed(secret) == before


@corrects
def test_a_secret_that_is_being_deleted_takes_no_tags(aws: Aws) -> None:
    """As recorded of AWS. Restored, it has the tags that it had."""
    secret = aws.secret("one")
    tag = {"Key": "colour", "Value": "blue"}
    aws.call("tag_resource", SecretId=secret, Tags=[tag])
    aws.call("delete_secret", SecretId=secret)
    assert aws.error("tag_resource", SecretId=secret, Tags=[{"Key": "size", "Value": "s"}]) == INVALID_REQUEST
    assert aws.error("untag_resource", SecretId=secret, TagKeys=["colour"]) == INVALID_REQUEST
    aws.call("restore_secret", SecretId=secret)
    assert aws.call("describe_secret", SecretId=secret)["Tags"] == [tag]


def test_tags_are_put_and_taken(aws: Aws) -> None:
    """A tag of the same key replaces the old one. As recorded of AWS: without its last tag a secret has none."""
    secret = aws.secret("one")
    for colour, size in (("blue", "s"), ("green", "m")):
        tags = [{"Key": "colour", "Value": colour}, {"Key": "size", "Value": size}]
        aws.call("tag_resource", SecretId=secret, Tags=tags)
    aws.call("untag_resource", SecretId=secret, TagKeys=["size", "unknown"])
    assert aws.call("describe_secret", SecretId=secret)["Tags"] == [{"Key": "colour", "Value": "green"}]
    aws.call("untag_resource", SecretId=secret, TagKeys=["colour"])
    assert aws.call("describe_secret", SecretId=secret)["Tags"] == []


@corrects
def test_every_date_is_the_clocks(aws: Aws) -> None:
    """CreatedDate and LastChangedDate follow the world's clock, not the machine's."""
    aws.clock.advance(1_000)
    created = aws.clock.now()
    secret = aws.secret()
    aws.clock.advance(1_000)
    aws.put(secret, "one")
    described = aws.call("describe_secret", SecretId=secret)
    assert described["CreatedDate"].timestamp() == created
    assert described["LastChangedDate"].timestamp() == aws.clock.now()
    assert aws.call("get_secret_value", SecretId=secret)["CreatedDate"].timestamp() == aws.clock.now()
    [version] = aws.call("list_secret_version_ids", SecretId=secret)["Versions"]
    assert version["CreatedDate"].timestamp() == aws.clock.now()


# Faults, records, hooks


def test_scripted_errors_are_met_in_turn(aws: Aws) -> None:
    """Each call takes the next fault of its script. None lets a call through; a faulted call is not processed."""
    secret = aws.secret("one")
    aws.server.fail("PutSecretValue", AwsFault("ThrottlingException"), None, AwsFault("InternalServiceError", 500))
    aws.server.fail("PutSecretValue", AwsFault("AccessDeniedException", message="not allowed"))
    answers = [aws.refusal("put_secret_value", SecretId=secret, SecretString=str(turn)) for turn in range(5)]
    assert answers == [
        ("ThrottlingException", "scripted", 400),
        ("", "", 200),
        ("InternalServiceError", "scripted", 500),
        ("AccessDeniedException", "not allowed", 400),
        ("", "", 200),
    ]
    assert [stored.document for stored in aws.server.versions(secret).values()] == ["one", "1", "4"]


def test_a_cut_call_is_not_processed_and_a_lost_answer_is(aws: Aws) -> None:
    """The client sees a closed connection both times; only the lost answer's call took effect."""
    secret = aws.secret("one")
    aws.server.fail("PutSecretValue", CUT, LOST_ANSWER)
    for document in ("cut", "lost"):
        with pytest.raises(ConnectionClosedError):
            aws.put(secret, document)
    assert aws.labels(secret) == {"one": [PREVIOUS], "lost": [CURRENT]}
    aws.server.fail("PutSecretValue", AwsFault("InternalServiceError", 500, processed=True))
    assert aws.error("put_secret_value", SecretId=secret, SecretString="unheard") == "InternalServiceError"
    assert aws.read(secret) == "unheard"


def test_boto3_repeats_a_call_whose_answer_was_lost(aws: Aws) -> None:
    """boto3 repeats a call with a lost answer under the same token: the server receives two calls."""
    secret = aws.secret("one")
    aws.server.fail("PutSecretValue", LOST_ANSWER)
    arrived = len(aws.server.calls)
    with closing(connect(aws.server, total_max_attempts=2, mode="standard")) as client:
        version_id = client.put_secret_value(SecretId=secret, SecretString="two")["VersionId"]
    assert aws.server.calls[arrived:] == ["PutSecretValue", "PutSecretValue"]
    assert aws.server.versions(secret)[version_id] == Stored(frozenset({CURRENT}), "two")


@corrects
def test_a_denied_secret_harms_no_other(aws: Aws) -> None:
    """A secret that may not be used is an entry of Errors in a batch, and an error of its own in other calls."""
    prefix, [good, denied] = under(aws, 2)
    aws.server.access.denied.add(denied)
    batch = aws.call("batch_get_secret_value", Filters=by_name(prefix))
    errors = [
        aws.error("get_secret_value", SecretId=denied),
        aws.error("describe_secret", SecretId=denied),
        aws.error("put_secret_value", SecretId=denied, SecretString="two"),
        aws.error("get_secret_value", SecretId=good),
    ]
    aws.server.access.denied.clear()
    assert [value["Name"] for value in batch["SecretValues"]] == [good]
    assert [error["ErrorCode"] for error in batch["Errors"]] == [ACCESS_DENIED]
    assert denied in batch["Errors"][0]["Message"]
    assert errors == [ACCESS_DENIED, ACCESS_DENIED, ACCESS_DENIED, ""]
    assert aws.read(denied) == "one"


@corrects
def test_a_denied_key_denies_values_alone(aws: Aws) -> None:
    """Without its key a secret can be described, and its labels move; its values can be neither read nor put."""
    secret = aws.secret("one")
    claim = aws.put(secret, "claim", PENDING)
    aws.server.access.denied_keys.add(secret)
    refusal = aws.refusal("get_secret_value", SecretId=secret)
    put = aws.error("put_secret_value", SecretId=secret, SecretString="two")
    batch = aws.call("batch_get_secret_value", SecretIdList=[secret])
    assert refusal == (ACCESS_DENIED, "Access to KMS is not allowed", 400)
    assert put == ACCESS_DENIED
    assert [error["ErrorCode"] for error in batch["Errors"]] == [ACCESS_DENIED]
    assert aws.move(secret, LEDGER, None, claim) == ""


@corrects
def test_calls_above_the_rate_are_throttled(aws: Aws) -> None:
    """Writes have one rate together, 50 a second; other calls have their own. What time regains can be used again."""
    secret = aws.secret("one")
    aws.server.rates = AwsRates(aws.clock)
    puts = [aws.refusal("put_secret_value", SecretId=secret, SecretString=str(turn)) for turn in range(49)]
    move = aws.move(secret, LEDGER, None, aws.call("get_secret_value", SecretId=secret)["VersionId"])
    refusal = aws.refusal("put_secret_value", SecretId=secret, SecretString="throttled")
    pages_left = len(pages(aws, "list_secrets", secret))
    reads = [aws.error(operation, SecretId=secret) for operation in 60 * ["describe_secret", "get_secret_value"]]
    aws.clock.advance(0.5)
    later = [aws.error("put_secret_value", SecretId=secret, SecretString=f"later {turn}") for turn in range(26)]
    aws.server.rates = None
    assert {code for code, _, _ in puts} == {""}
    assert move == ""
    assert refusal == ("ThrottlingException", "Rate exceeded", 400)
    assert pages_left == 1
    assert set(reads) == {""}
    assert later == [*[""] * 25, "ThrottlingException"]
    assert aws.read(secret) == "later 24"


def test_an_outage_meets_every_call(aws: Aws) -> None:
    """All calls meet the outage until it ends; scripted faults wait for that."""
    secret = aws.secret("one")
    aws.server.fail("GetSecretValue", AwsFault("ThrottlingException"))
    aws.server.outage = AwsFault("InternalServiceError", 500)
    assert aws.error("get_secret_value", SecretId=secret) == "InternalServiceError"
    assert aws.error("describe_secret", SecretId=secret) == "InternalServiceError"
    aws.server.outage = None
    assert aws.error("get_secret_value", SecretId=secret) == "ThrottlingException"
    assert aws.read(secret) == "one"


def test_calls_are_recorded_without_showing_a_secret(aws: Aws) -> None:
    """Every call is recorded in order, with its parameters and time, and its repr does not show what was put."""
    secret = aws.secret("one")
    arrived = len(aws.server.requests)
    aws.clock.advance(5)
    aws.server.fail("PutSecretValue", AwsFault("ThrottlingException"))
    assert aws.error("put_secret_value", SecretId=secret, SecretString="canary") == "ThrottlingException"
    assert aws.error("get_secret_value", SecretId="test/missing") == NOT_FOUND
    put, get = aws.server.requests[arrived:]
    assert put.op == "PutSecretValue"
    assert put.params["SecretString"] == "canary"
    assert put.at == aws.clock.now()
    assert get.op == "GetSecretValue"
    assert get.params == {"SecretId": "test/missing"}
    assert aws.server.calls[-2:] == [put.op, get.op]
    assert "canary" not in repr(put)


def test_a_hook_can_call_the_server(aws: Aws) -> None:
    """A read sees what a hook does before it, not what it does after it. The hook's own calls reach the hook too."""
    secret = aws.secret("zero")
    heard = []

    def hook(operation: str, moment: str, params: dict[str, Any]) -> None:
        heard.append((operation, moment, params["SecretId"]))
        if operation == "GetSecretValue":
            aws.put(secret, moment)

    aws.server.on_call = hook
    assert aws.read(secret) == "before"
    aws.server.on_call = None
    assert aws.read(secret) == "after"
    put = [("PutSecretValue", "before", secret), ("PutSecretValue", "after", secret)]
    read = [("GetSecretValue", "before", secret), ("GetSecretValue", "after", secret)]
    assert heard == [read[0], *put, read[1], *put]


def test_a_hook_hears_after_only_of_what_was_processed(aws: Aws) -> None:
    """A call that is cut or meets a fault has no "after"; a call with a lost answer has one."""
    secret = aws.secret("one")
    moments = []
    aws.server.on_call = lambda _operation, moment, _params: moments.append(moment)
    aws.server.fail("DescribeSecret", CUT, AwsFault("ThrottlingException"), LOST_ANSWER)
    for _ in range(3):
        with pytest.raises((ConnectionClosedError, ClientError)):
            aws.call("describe_secret", SecretId=secret)
    assert moments == ["before", "before", "before", "after"]


@pytest.mark.parametrize(("moment", "expected"), [("before", "one"), ("after", "two")])
def test_a_hook_kills_the_client_at_an_exact_point(aws: Aws, moment: str, expected: str) -> None:
    """The client is killed before its call is processed, or before the answer; the call takes effect both times."""
    secret = aws.secret("one")
    documents = []
    processed = threading.Event()

    def kill(operation: str, when: str, params: dict[str, Any]) -> None:
        if (operation, when) == ("PutSecretValue", moment):
            documents.append(aws.read(secret))
            os.kill(int(params["ProcessId"]), signal.SIGKILL)
        if (operation, when) == ("PutSecretValue", "after"):
            processed.set()

    aws.server.on_call = kill
    client = subprocess.run([sys.executable, "-c", ONE_PUT, aws.server.url, secret], check=False, timeout=10)
    assert client.returncode == -signal.SIGKILL
    assert processed.wait(timeout=10)
    assert documents == [expected]
    assert aws.read(secret) == "two"


# The server


def test_only_one_instance_runs_in_a_process(aws: Aws) -> None:
    """A second instance would share moto's storage. It is refused, and the first one goes on."""
    secret = aws.secret("one")
    with pytest.raises(RuntimeError, match="another SecretsManager runs"):
        SecretsManager(aws.clock).start()
    assert aws.read(secret) == "one"


def test_a_start_begins_with_nothing(aws: Aws) -> None:
    """A stop deletes all secrets, a second stop does no harm, and a taken port is an OSError."""
    secret = aws.secret("one")
    aws.server.stop()
    aws.server.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        SecretsManager(aws.clock, port=taken.getsockname()[1]).start()
    aws.server.start()
    assert aws.error("describe_secret", SecretId=secret) == NOT_FOUND
    assert aws.read(aws.secret("two")) == "two"


def test_a_connection_takes_many_calls_and_ends_with_the_server(aws: Aws) -> None:
    """A client keeps its connection from one call to the next, as at AWS, and learns at once that the server stops."""
    with closing(http.client.HTTPConnection(urlsplit(aws.server.url).netloc, timeout=10)) as connection:
        connection.connect()
        first = connection.sock
        for _ in range(2):
            connection.request("GET", "/_emulator")
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
        assert connection.sock is first
        aws.server.stop()
        assert first.recv(1) == b""
    aws.server.start()


def test_a_region_has_its_own_secrets(aws: Aws) -> None:
    """In every operation a secret belongs to the region for which the call was signed."""
    name = f"test/{uuid.uuid4()}"
    with closing(connect(aws.server, region="eu-west-1")) as client:
        assert ":eu-west-1:" in client.create_secret(Name=name, SecretString="one")["ARN"]
        assert client.get_secret_value(SecretId=name)["SecretString"] == "one"
        client.delete_secret(SecretId=name)
    assert aws.error("describe_secret", SecretId=name) == NOT_FOUND


def test_the_access_log_is_silent(aws: Aws, capfd: pytest.CaptureFixture[str]) -> None:
    """Calls, refusals and cut connections write nothing."""
    aws.server.fail("DescribeSecret", CUT)
    with pytest.raises(ConnectionClosedError):
        aws.call("describe_secret", SecretId=aws.secret("one"))
    assert aws.error("get_secret_value", SecretId="test/missing") == NOT_FOUND
    assert capfd.readouterr() == ("", "")
