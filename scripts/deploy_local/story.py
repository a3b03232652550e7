"""What happens to a deployment of one connection, in this order, and what must be true after each step."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aws_secretsmanager_caching import SecretCache

from local.emulators.token_endpoint import Vendor
from local.emulators.world import CLIENTS
from scripts import ROOT
from scripts.deploy_local import shortfalls
from scripts.deploy_local.check_list import CheckList, has_no_secret
from scripts.deploy_local.consumer import call_api
from scripts.deploy_local.emulator import Aws
from scripts.deploy_local.polling import wait_for
from scripts.deploy_local.stack import Json, Stack

EVENTS = ROOT / "events"
BUS = "hears-of-tokens"
BLUE, GREEN = CLIENTS
HOUR = 3_600
QUEUE_SECONDS = 100  # a failed run is tried three times, each time in a new process
SCHEDULE_SECONDS = 120  # ministack looks at rate(1 minute) every ten seconds, and then starts a new process


class Story:
    """A deployment of one connection. Each part is a section of the list of checks."""

    def __init__(self, *, aws: Aws, vendor: Vendor, checks: CheckList, template: Path) -> None:
        self._aws = aws
        self._vendor = vendor
        self._checks = checks
        self._template = template
        self._secrets = aws.client("secretsmanager")
        self._queues = aws.client("sqs")
        self._stack = Stack(aws, "token-refresh-local", TokenUrl=vendor.token_url, EventBusName=BUS)
        self._sent_events: set[str] = set()
        self._bus_queue_url = ""
        self.is_deployed = False  # without a deployment the later parts make no sense

    def parts(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("deployment", self.deploy),
            ("first run", self.run_first),
            ("every event of events/", self.send_events),
            ("the event bus", self.read_the_bus),
            ("an event that fails", self.fail),
            ("a consumer", self.consume),
            ("a helper of AWS", self.consume_through_a_helper),
            ("the function's own role", self.overreach),
            ("an update of the stack", self.update),
            ("the schedule", self.wait_for_the_schedule),
            ("secrets and metrics in the log", self.read_the_log),
            ("the end of the stack", self.delete),
        ]

    # The deployment

    def deploy(self) -> None:
        checks = self._checks
        self._aws.client("events").create_event_bus(Name=BUS)
        self._bus_queue_url = self._make_bus_queue()
        checks.note("TOKEN_URL is the emulated vendor's, by the template's parameter TokenUrl")
        status = self._stack.create(self._template)
        self.is_deployed = status == "CREATE_COMPLETE"
        problem = self._stack.failures() or status
        checks.check("the raw template deploys", self.is_deployed, instead=problem)
        types = self._stack.resource_types()
        checks.equal("it makes two secrets", types.count("AWS::SecretsManager::Secret"), 2)
        checks.equal("it makes one function", types.count("AWS::Lambda::Function"), 1)
        checks.equal("it makes one schedule", types.count("AWS::Scheduler::Schedule"), 1)
        values = [self._value_of(secret) for secret in self._both_secrets()]
        checks.check("neither secret gets a value from the template", not any(values))
        for secret in self._both_secrets():
            shortfalls.remove_empty_version(self._secrets, secret)

    def run_first(self) -> None:
        checks = self._checks
        message = str(self._stack.invoke({"action": "refresh"}).get("errorMessage"))
        explains = "credentials secret is missing or has no value" in message
        checks.check("a run without credentials fails and says why", explains, instead=message)
        checks.equal("and does not ask the vendor", len(self._vendor.requests), 0)
        self._put_credentials(BLUE)

    # The events, in the order in which somebody would send them

    def send_events(self) -> None:
        equal = self._checks.equal
        equal("dry-run.json: a token would be acquired", self._send("dry-run"), ("due", "missing"))
        equal("status.json: the same", self._send("status"), ("due", "missing"))
        equal("neither of them has written anything", self._current_version(), None)
        equal("refresh.json: the first token", self._send("refresh"), ("refreshed", "missing"))
        self._move_ledger_label()
        token = self._document()["access_token"]
        is_the_vendors = token == self._vendor.issued[-1].token
        self._checks.check("the token secret holds the vendor's token", is_the_vendors)
        equal("scheduled.json: nothing to do", self._send("scheduled"), ("kept", "fresh"))
        equal("scheduled-rule.json: nothing to do", self._send("scheduled-rule"), ("kept", "fresh"))
        equal("force.json: the token is still too new", self._send("force"), ("kept", "fresh"))
        self._make_token_an_hour_older()
        limited = self._send("force")
        equal("force.json: not within the vendor's interval", limited, ("waiting", "limit_interval"))
        equal("the vendor was asked once so far", len(self._vendor.requests), 1)
        self._vendor.reset_limit(BLUE)
        overridden = self._send("override-limit")
        equal("override-limit.json: asks in spite of the interval", overridden, ("refreshed", "forced"))
        self._move_ledger_label()
        equal("status.json: all is well", self._send("status"), ("kept", "fresh"))
        names = {file.stem for file in EVENTS.glob("*.json")}
        equal("every file of events/ was sent", self._sent_events, names)

    def read_the_bus(self) -> None:
        # The first run failed, and two runs have refreshed the token since.
        receive = partial(self._receive, self._bus_queue_url)
        messages = [wait_for("the bus has a message", QUEUE_SECONDS, receive) for _ in range(3)]
        types = sorted(message["detail-type"] for message in messages)
        expected = ["Token Refresh Failed", "Token Refreshed", "Token Refreshed"]
        self._checks.equal("the event bus heard of each new token and of the failure", types, expected)
        texts = [json.dumps(message) for message in messages]
        self._checks.check("and of no secret", has_no_secret(texts, self._all_secrets()))

    def fail(self) -> None:
        event = {"action": "dance"}
        answer = self._stack.invoke(event)
        explains = "action must be refresh or status" in str(answer.get("errorMessage"))
        self._checks.check("an unknown action is refused with an explanation", explains, instead=answer)
        self._aws.client("lambda").invoke(
            FunctionName=self._stack.outputs["FunctionName"],
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )
        receive = partial(self._receive, self._stack.outputs["DeadLetterQueueUrl"])
        letter = wait_for("the failed run is in the queue", QUEUE_SECONDS, receive)
        failed_event = letter["requestPayload"]
        self._checks.equal("sent asynchronously, it ends in the dead letter queue", failed_event, event)

    # Who may do what

    def consume(self) -> None:
        credentials, token = self._both_secrets()
        consumer = self._aws.secrets_as(self._make_consumer_role("consumer"))
        stranger = self._aws.secrets_as(self._aws.make_role("stranger"))
        status = self._call_api(consumer)
        self._checks.equal("a role with the consumer policy reads a token that works", status, 200)
        move = {
            "SecretId": token,
            "VersionStage": shortfalls.LEDGER,
            "RemoveFromVersionId": self._current_version(),
        }
        denied = self._checks.denied
        denied(
            "a role without the policy can't read the token",
            lambda: stranger.get_secret_value(SecretId=token),
        )
        denied(
            "a consumer can't read the credentials",
            lambda: consumer.get_secret_value(SecretId=credentials),
        )
        denied(
            "a consumer can't write the token",
            lambda: consumer.put_secret_value(SecretId=token, SecretString="{}"),
        )
        denied(
            "a consumer can't move a label",
            lambda: consumer.update_secret_version_stage(**move),
        )
        denied(
            "a consumer can't ask which versions there are",
            lambda: consumer.describe_secret(SecretId=token),
        )

    def consume_through_a_helper(self) -> None:
        """Read as the caching libraries do: they ask which version is current, and read it by its id."""
        credentials, token = self._both_secrets()
        policy = self._stack.outputs["CachingConsumerPolicyArn"]
        helper = self._aws.secrets_as(self._aws.make_role("helper", policy))
        cache = SecretCache(client=helper)
        document = json.loads(cache.get_secret_string(token))
        self._checks.check("a role with its policy reads the token through a cache", document == self._document())
        denied = self._checks.denied
        denied(
            "it can't read the credentials",
            lambda: helper.get_secret_value(SecretId=credentials),
        )
        denied(
            "it can't describe the credentials",
            lambda: helper.describe_secret(SecretId=credentials),
        )
        denied(
            "it can't write the token",
            lambda: helper.put_secret_value(SecretId=token, SecretString="{}"),
        )
        denied(
            "it can't delete the token secret",
            lambda: helper.delete_secret(SecretId=token),
        )

    def overreach(self) -> None:
        credentials, token = self._both_secrets()
        function_client = self._aws.secrets_as(self._stack.function_role())
        described = function_client.describe_secret(SecretId=token)["ARN"]
        self._checks.equal("it can describe the token secret", described, token)
        other = self._secrets.create_secret(Name="somebody-else's", SecretString="{}")["ARN"]
        denied = self._checks.denied
        denied(
            "it can't write the credentials",
            lambda: function_client.put_secret_value(SecretId=credentials, SecretString="{}"),
        )
        denied(
            "it can't delete the token secret",
            lambda: function_client.delete_secret(SecretId=token),
        )
        denied(
            "it can't read any other secret",
            lambda: function_client.get_secret_value(SecretId=other),
        )

    # What comes later

    def update(self) -> None:
        checks = self._checks
        document = self._document()
        version = self._current_version()
        key = self._aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        checks.note("ScheduleExpression becomes rate(1 minute), and KmsKeyArn a new key for both secrets")
        status = self._stack.update(self._template, ScheduleExpression="rate(1 minute)", KmsKeyArn=key)
        problem = self._stack.failures() or status
        checks.check("the stack is updated", status == "UPDATE_COMPLETE", instead=problem)
        secret = self._secrets.describe_secret(SecretId=self._token)
        checks.equal("the update has reached the token secret", secret.get("KmsKeyId"), key)
        checks.check("the token is still there, unchanged", self._document() == document)
        checks.check("and is still the same version", self._current_version() == version)

    def wait_for_the_schedule(self) -> None:
        checks = self._checks
        checks.note("the credentials are rotated, and nobody invokes the function")
        self._put_credentials(GREEN, BLUE)
        wait_for("the schedule fires", SCHEDULE_SECONDS, lambda: self._document()["client_id"] == GREEN)
        self._move_ledger_label()
        checks.check("it fires, and the new client's token replaces the old client's", result=True)
        consumer = self._aws.secrets_as(self._make_consumer_role("later-consumer"))
        api_status = self._call_api(consumer)
        checks.equal("a consumer reads the new token, and the API accepts it", api_status, 200)
        answered = [(request.client_id, request.status) for request in self._vendor.requests]
        expected = [(BLUE, 200), (BLUE, 200), (GREEN, 200)]
        checks.equal("the vendor was asked three times in all", answered, expected)

    def read_the_log(self) -> None:
        lines = self._stack.log_lines()
        shows_no_secret = has_no_secret(lines, self._all_secrets())
        self._checks.check("no line of the log shows a token or a client secret", shows_no_secret)
        metrics = [json.loads(line) for line in lines if line.startswith('{"_aws"')]
        dimensions = {line["service"] for line in metrics}
        expected = self._stack.alarm_dimensions()
        self._checks.equal("every metric has the dimension that the alarms look at", dimensions, expected)

    def delete(self) -> None:
        self._checks.equal("the stack is deleted", self._stack.delete(), "DELETE_COMPLETE")
        values = [self._value_of(secret) for secret in self._both_secrets()]
        self._checks.check("both secrets are still there, with their values", all(values))

    # Helpers

    @property
    def _token(self) -> str:
        return self._stack.outputs["TokenSecretArn"]

    def _both_secrets(self) -> tuple[str, str]:
        return self._stack.outputs["CredentialsSecretArn"], self._token

    def _value_of(self, secret: str) -> str | None:
        value: str | None = self._secrets.get_secret_value(SecretId=secret).get("SecretString")
        return value

    def _send(self, name: str) -> tuple[str, str]:
        """Invoke with a file of events/. Return the outcome and its reason, or the error's class and message."""
        self._sent_events.add(name)
        result = self._stack.invoke(json.loads((EVENTS / f"{name}.json").read_text()))
        outcome = result.get("outcome", result.get("errorType"))
        reason = result.get("reason", result.get("errorMessage"))
        return str(outcome), str(reason)

    def _document(self) -> Json:
        value = self._secrets.get_secret_value(SecretId=self._token)["SecretString"]
        document: Json = json.loads(value)
        return document

    def _current_version(self) -> str | None:
        versions = self._secrets.describe_secret(SecretId=self._token)["VersionIdsToStages"]
        current = (version_id for version_id, labels in versions.items() if shortfalls.CURRENT in labels)
        return next(current, None)

    def _move_ledger_label(self) -> None:
        shortfalls.move_ledger_label(self._secrets, self._token)

    def _make_token_an_hour_older(self) -> None:
        self._checks.note("now the token is made an hour older by hand: the emulator's clock can't be moved")
        document = self._document()
        document["acquired_at"] -= HOUR
        document["expires_at"] -= HOUR
        for slot in document["ledger"]["slots"].values():
            slot["asked_at"] -= HOUR
            slot["not_before"] -= HOUR
        self._secrets.put_secret_value(SecretId=self._token, SecretString=json.dumps(document))
        # The ledger goes with it, or the next run would bring the newer token back.
        self._move_ledger_label()

    def _put_credentials(self, primary: str, standby: str | None = None) -> None:
        document: Json = {"client_id": primary, "client_secret": CLIENTS[primary]}
        if standby:
            document["standby"] = {"client_id": standby, "client_secret": CLIENTS[standby]}
        secret = self._stack.outputs["CredentialsSecretArn"]
        self._secrets.put_secret_value(SecretId=secret, SecretString=json.dumps(document))

    def _make_consumer_role(self, name: str) -> str:
        return self._aws.make_role(name, self._stack.outputs["ConsumerPolicyArn"])

    def _call_api(self, consumer: Any) -> int:
        return call_api(consumer, self._token, self._vendor)

    def _all_secrets(self) -> list[str]:
        tokens = [issued.token for issued in self._vendor.issued]
        return [*CLIENTS.values(), *tokens]

    def _make_bus_queue(self) -> str:
        """Return the URL of a queue that receives every event of the bus."""
        url: str = self._queues.create_queue(QueueName=BUS)["QueueUrl"]
        answer = self._queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        target = {"Id": BUS, "Arn": answer["Attributes"]["QueueArn"]}
        events = self._aws.client("events")
        events.put_rule(Name=BUS, EventBusName=BUS, EventPattern='{"source": ["token.refresh"]}')
        events.put_targets(Rule=BUS, EventBusName=BUS, Targets=[target])
        return url

    def _receive(self, queue_url: str) -> Json:
        """Return the body of a message in the queue, or {} if there is none."""
        messages = self._queues.receive_message(QueueUrl=queue_url).get("Messages", [])
        if not messages:
            return {}
        body: Json = json.loads(messages[0]["Body"])
        return body
