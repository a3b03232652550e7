"""What happens to one deployment, in order, and what must be true at each step."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import requests

from local.emulators.token_endpoint import Vendor
from local.emulators.world import CLIENTS
from scripts import ROOT
from scripts.deploy_local import shortfalls
from scripts.deploy_local.emulator import Aws
from scripts.deploy_local.report import Report, wait_for
from scripts.deploy_local.stack import NAME, Stack

EVENTS = ROOT / "events"
BUS = "told-of-tokens"
BLUE, GREEN = CLIENTS
HOUR = 3_600
QUEUE_SECONDS = 100  # a failed run is tried three times, each time in a new process
SCHEDULE_SECONDS = 120  # rate(1 minute), looked at every ten seconds, and then a new process
Json = dict[str, Any]


class Story:
    """One deployment; each method is a part of the report."""

    def __init__(self, aws: Aws, vendor: Vendor, report: Report, template: Path) -> None:
        self._aws, self._vendor, self._report, self._template = aws, vendor, report, template
        self._secrets, self._queues = aws.client("secretsmanager"), aws.client("sqs")
        self._stack = Stack(aws, TokenUrl=vendor.token_url, EventBusName=BUS)
        self._invoked: set[str] = set()
        self._told = ""
        self.is_deployed = False  # nothing else makes sense before

    def parts(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("deployment", self.deploy),
            ("first run", self.run_first),
            ("every event of events/", self.send_events),
            ("an event that fails", self.fail),
            ("a consumer", self.consume),
            ("the function's own role", self.overreach),
            ("an update of the stack", self.update),
            ("the schedule", self.wait_for_the_schedule),
            ("what was let out", self.look_for_leaks),
            ("the end of the stack", self.delete),
        ]

    # The deployment

    def deploy(self) -> None:
        equal = self._report.equal
        self._aws.client("events").create_event_bus(Name=BUS)
        self._told = self._listen()
        self._stack.upload()
        self._report.note("TOKEN_URL is the emulated vendor's, by the template's parameter TokenUrl")
        status = self._stack.create(self._template)
        self.is_deployed = status == "CREATE_COMPLETE"
        self._report.check("the raw template deploys", self.is_deployed, self._stack.failures() or status)
        types = list(self._stack.resources().values())
        counts = [types.count(f"AWS::{kind}") for kind in ("SecretsManager::Secret", "Lambda::Function")]
        equal("it makes two secrets and one function", counts, [2, 1])
        equal("it makes one schedule", types.count("AWS::Scheduler::Schedule"), 1)
        values = [self._secrets.get_secret_value(SecretId=one).get("SecretString") for one in self._both_secrets()]
        self._report.check("neither secret gets a value from the template", not any(values))
        for secret in self._both_secrets():
            shortfalls.take_off_the_empty_version(self._secrets, secret)

    def run_first(self) -> None:
        answer = self._invoke({"action": "refresh"})
        message = str(answer.get("errorMessage"))
        said = "credentials secret is missing or has no value" in message
        self._report.check("before the credentials are put in, a run fails and says so", said, message)
        self._report.equal("and does not ask the vendor", len(self._vendor.requests), 0)
        self._put_credentials(BLUE)

    # The events, in the order in which somebody would send them

    def send_events(self) -> None:
        equal = self._report.equal
        equal("dry-run.json: a token would be acquired", self._send("dry-run"), ("due", "missing"))
        equal("status.json: the same", self._send("status"), ("due", "missing"))
        equal("nothing was written by these", self._current_version(), None)
        equal("refresh.json: the first token", self._send("refresh"), ("refreshed", "missing"))
        shortfalls.move_the_ledger_label(self._secrets, self._token)
        token = self._document()
        self._report.check(
            "the token secret holds the vendor's token", token["access_token"] == self._vendor.issued[-1].token
        )
        equal("scheduled.json: nothing to do", self._send("scheduled"), ("kept", "fresh"))
        equal("scheduled-rule.json: nothing to do", self._send("scheduled-rule"), ("kept", "fresh"))
        equal("force.json: the token of ten minutes ago will do", self._send("force"), ("kept", "fresh"))
        self._report.note("now the token is made an hour older by hand, since the emulator's clock can't be moved")
        older = {name: token[name] - HOUR for name in ("acquired_at", "expires_at")}
        self._secrets.put_secret_value(SecretId=self._token, SecretString=json.dumps(token | older))
        equal("force.json: not within the vendor's interval", self._send("force"), ("waiting", "limit_interval"))
        equal("the vendor was asked once so far", len(self._vendor.requests), 1)
        self._vendor.reset_limit(BLUE)
        equal("override-limit.json: asks all the same", self._send("override-limit"), ("refreshed", "forced"))
        shortfalls.move_the_ledger_label(self._secrets, self._token)
        equal("status.json: all is well", self._send("status"), ("kept", "fresh"))
        equal("every file of events/ was sent", self._invoked, {file.stem for file in EVENTS.glob("*.json")})
        # The first run failed, and two refreshed since.
        told = [wait_for("the bus is told", QUEUE_SECONDS, partial(self._receive, self._told)) for _ in range(3)]
        types = sorted(message["detail-type"] for message in told)
        equal("the event bus was told of each", types, ["Token Refresh Failed", *["Token Refreshed"] * 2])
        self._report.check("and of no secret", _shows_none(self._all_secrets(), [json.dumps(one) for one in told]))

    def fail(self) -> None:
        answer = self._invoke({"action": "dance"})
        said = "action must be refresh or status" in str(answer.get("errorMessage"))
        self._report.check("an event that asks for nothing is refused, and says why", said, answer)
        payload = json.dumps({"action": "dance"}).encode()
        function = self._stack.outputs["FunctionName"]
        self._aws.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=payload)
        queue = self._stack.outputs["DeadLetterQueueUrl"]
        letter = wait_for("the failed run is in the queue", QUEUE_SECONDS, partial(self._receive, queue))
        self._report.equal(
            "sent without waiting, it ends in the dead letter queue", letter["requestPayload"], {"action": "dance"}
        )

    # Who may do what

    def consume(self) -> None:
        credentials, token = self._both_secrets()
        reader = self._client_of(self._aws.make_role("consumer", self._stack.outputs["ConsumerPolicyArn"]))
        stranger = self._client_of(self._aws.make_role("stranger"))
        denied = self._report.denied
        self._report.equal(
            "a role with the consumer policy reads a token that the API takes", self._call_api(reader), 200
        )
        denied("a role without it can't read the token", lambda: stranger.get_secret_value(SecretId=token))
        denied("a consumer can't read the credentials", lambda: reader.get_secret_value(SecretId=credentials))
        denied("a consumer can't write the token", lambda: reader.put_secret_value(SecretId=token, SecretString="{}"))
        move = {"SecretId": token, "VersionStage": shortfalls.LEDGER, "RemoveFromVersionId": self._current_version()}
        denied("a consumer can't move a label", lambda: reader.update_secret_version_stage(**move))

    def overreach(self) -> None:
        credentials, token = self._both_secrets()
        function = self._stack.outputs["FunctionName"]
        role = self._aws.client("lambda").get_function_configuration(FunctionName=function)["Role"]
        denied = self._report.denied
        keeper = self._client_of(role)
        known = keeper.describe_secret(SecretId=token)["ARN"]
        self._report.equal("it can describe the token secret", known, token)
        denied(
            "it can't write the credentials", lambda: keeper.put_secret_value(SecretId=credentials, SecretString="{}")
        )
        denied("it can't delete the token secret", lambda: keeper.delete_secret(SecretId=token))
        other = self._secrets.create_secret(Name="somebody-else's", SecretString="{}")["ARN"]
        denied("it can't read any other secret", lambda: keeper.get_secret_value(SecretId=other))

    # What comes later

    def update(self) -> None:
        before, version = self._document(), self._current_version()
        key = self._aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        self._report.note(
            "ScheduleExpression becomes rate(1 minute), and KmsKeyArn, which both secrets have, a new key"
        )
        status = self._stack.update(self._template, ScheduleExpression="rate(1 minute)", KmsKeyArn=key)
        self._report.check("the stack is updated", status == "UPDATE_COMPLETE", self._stack.failures() or status)
        described = self._secrets.describe_secret(SecretId=self._token)
        self._report.equal("the update has reached the token secret", described.get("KmsKeyId"), key)
        self._report.check("the token is still there, unchanged", self._document() == before)
        self._report.check("and is still the same version", self._current_version() == version)

    def wait_for_the_schedule(self) -> None:
        self._report.note("the credentials are rotated, and nobody invokes anything")
        self._put_credentials(GREEN, BLUE)
        wait_for("the schedule fires", SCHEDULE_SECONDS, lambda: self._document()["client_id"] == GREEN)
        shortfalls.move_the_ledger_label(self._secrets, self._token)
        self._report.check("it fires, and the new client's token replaces the old one's", fact=True)
        reader = self._client_of(self._aws.make_role("later-consumer", self._stack.outputs["ConsumerPolicyArn"]))
        self._report.equal("a consumer reads it, and the API takes it", self._call_api(reader), 200)
        asked = [(request.client_id, request.status) for request in self._vendor.requests]
        self._report.equal("the vendor was asked three times in all", asked, [(BLUE, 200), (BLUE, 200), (GREEN, 200)])

    def look_for_leaks(self) -> None:
        logs, group = self._aws.client("logs"), self._stack.outputs["LogGroupName"]
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        lines = [event["message"] for page in pages for event in page["events"]]
        shows_none = _shows_none(self._all_secrets(), lines)
        self._report.check("no line of the log shows a token or a client secret", shows_none)
        emitted = [json.loads(line) for line in lines if line.startswith('{"_aws"')]
        self._report.equal(
            "the dimension of every metric is the one that the alarms have",
            {line["service"] for line in emitted},
            self._alarm_dimensions(),
        )

    def delete(self) -> None:
        self._report.equal("the stack is deleted", self._stack.delete(), "DELETE_COMPLETE")
        kept = [self._secrets.get_secret_value(SecretId=one).get("SecretString") for one in self._both_secrets()]
        self._report.check("both secrets outlive it, with what they hold", all(kept))

    # The words of the story

    @property
    def _token(self) -> str:
        return self._stack.outputs["TokenSecretArn"]

    def _both_secrets(self) -> tuple[str, str]:
        return self._stack.outputs["CredentialsSecretArn"], self._token

    def _invoke(self, event: object) -> Json:
        """Return the function's result, or the error in its place."""
        function, payload = self._stack.outputs["FunctionName"], json.dumps(event).encode()
        answer = self._aws.client("lambda").invoke(FunctionName=function, Payload=payload)
        result: Json = json.loads(answer["Payload"].read())
        return result

    def _send(self, name: str) -> tuple[str, str]:
        """Invoke with a file of events/; return the outcome and its reason."""
        self._invoked.add(name)
        result = self._invoke(json.loads((EVENTS / f"{name}.json").read_text()))
        return str(result.get("outcome", result.get("errorType"))), str(
            result.get("reason", result.get("errorMessage"))
        )

    def _document(self) -> Json:
        document: Json = json.loads(self._secrets.get_secret_value(SecretId=self._token)["SecretString"])
        return document

    def _current_version(self) -> str | None:
        versions = self._secrets.describe_secret(SecretId=self._token)["VersionIdsToStages"]
        return next((version_id for version_id, labels in versions.items() if shortfalls.CURRENT in labels), None)

    def _put_credentials(self, primary: str, standby: str | None = None) -> None:
        pairs = [{"client_id": one, "client_secret": CLIENTS[one]} for one in (primary, standby) if one]
        document = pairs[0] | ({"standby": pairs[1]} if standby else {})
        secret = self._stack.outputs["CredentialsSecretArn"]
        self._secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(document))

    def _client_of(self, role: str) -> Any:
        return self._aws.client("secretsmanager", self._aws.assume(role))

    def _call_api(self, reader: Any) -> int:
        """Do as a consumer does: read the secret, call the API; return the HTTP status."""
        document = json.loads(reader.get_secret_value(SecretId=self._token)["SecretString"])
        headers = {"Authorization": f"Bearer {document['access_token']}"}
        return requests.get(self._vendor.api_url, headers=headers, timeout=10).status_code

    def _all_secrets(self) -> list[str]:
        return [*CLIENTS.values(), *(issued.token for issued in self._vendor.issued)]

    def _listen(self) -> str:
        """Return the URL of a queue that gets all that the bus is told."""
        queue: str = self._queues.create_queue(QueueName=BUS)["QueueUrl"]
        attributes = self._queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        events = self._aws.client("events")
        events.put_rule(Name=BUS, EventBusName=BUS, EventPattern='{"source": ["token.refresh"]}')
        events.put_targets(Rule=BUS, EventBusName=BUS, Targets=[{"Id": BUS, "Arn": attributes["QueueArn"]}])
        return queue

    def _receive(self, queue: str) -> Json:
        """Return the body of a message that waits in the queue; empty while there is none."""
        messages = self._queues.receive_message(QueueUrl=queue).get("Messages", [])
        body: Json = json.loads(messages[0]["Body"]) if messages else {}
        return body

    def _alarm_dimensions(self) -> set[str]:
        alarms = self._aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
        ours = [alarm for alarm in alarms if alarm["Namespace"] == "TokenRefresh"]
        return {dimension["Value"] for alarm in ours for dimension in alarm["Dimensions"]} or {f"no alarm of {NAME}"}


def _shows_none(secrets: list[str], lines: list[str]) -> bool:
    return bool(lines) and not any(secret in line for secret in secrets for line in lines)
