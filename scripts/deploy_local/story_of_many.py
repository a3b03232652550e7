"""What happens to a deployment of many connections, in this order, and what must be true after each step."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.emulators.token_endpoint import Vendor
from scripts.deploy_local import shortfalls
from scripts.deploy_local.check_list import CheckList, has_no_secret
from scripts.deploy_local.consumer import call_api
from scripts.deploy_local.emulator import Aws
from scripts.deploy_local.polling import wait_for
from scripts.deploy_local.stack import Json, Stack

PREFIX = "stores/"
STORES = ("017", "018", "north/019")  # a name may have a slash
MISTYPED = "020"
CLIENT = "client-violet"
CLIENT_SECRET = "violet-secret-of-the-emulator"  # noqa: S105 - the emulated vendor's own
WRONG_PASSWORD = "mistyped-password-of-the-emulator"  # noqa: S105 - the emulated vendor's own
# ministack looks at rate(1 minute) every ten seconds, and then starts a new process for the sweep and for each run.
SWEEP_SECONDS = 150


class StoryOfMany:
    """A deployment of many connections. Each part is a section of the list of checks.

    Each connection is a store with a service account of its own, all of one client.
    """

    def __init__(self, *, aws: Aws, vendor: Vendor, checks: CheckList, template: Path) -> None:
        self._aws = aws
        self._vendor = vendor
        self._checks = checks
        self._template = template
        self._secrets = aws.client("secretsmanager")
        self._stack = Stack(
            aws,
            "token-refresh-many",
            TokenUrl=vendor.token_url,
            ConnectionsPrefix=PREFIX,
            ScheduleExpression="rate(1 minute)",
        )
        self.is_deployed = False  # without a deployment the later parts make no sense

    def parts(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("many connections: deployment", self.deploy),
            ("many connections: a sweep by the schedule", self.sweep),
            ("many connections: status", self.ask_for_status),
            ("many connections: consumers", self.consume),
            ("many connections: the function's own role", self.overreach),
            ("many connections: the wrong password is put right", self.correct),
            ("many connections: secrets and metrics in the log", self.read_the_log),
            ("many connections: the end of the stack", self.delete),
        ]

    def deploy(self) -> None:
        checks = self._checks
        self._vendor.add_client(CLIENT, CLIENT_SECRET, with_accounts=True)
        for store in (*STORES, MISTYPED):
            self._vendor.add_account(CLIENT, store, password_of(store))
        checks.note(f"ConnectionsPrefix is {PREFIX}, and ScheduleExpression rate(1 minute)")
        status = self._stack.create(self._template)
        self.is_deployed = status == "CREATE_COMPLETE"
        problem = self._stack.failures() or status
        checks.check("the same template deploys with a prefix", self.is_deployed, instead=problem)
        types = self._stack.resource_types()
        checks.equal("it makes no secret", types.count("AWS::SecretsManager::Secret"), 0)
        checks.equal("it makes one function", types.count("AWS::Lambda::Function"), 1)
        checks.equal("it makes one schedule", types.count("AWS::Scheduler::Schedule"), 1)

    def sweep(self) -> None:
        checks = self._checks
        checks.note("two secrets are made for each of four stores, and nobody invokes the function")
        checks.note(f"the password of store {MISTYPED} is wrong")
        self._add_connection(MISTYPED, WRONG_PASSWORD)
        for store in STORES:
            self._add_connection(store, password_of(store))
        wait_for("the three others have tokens", SWEEP_SECONDS, lambda: all(map(self._token, STORES)))
        checks.check("a sweep by the schedule refreshes the three others", result=True)
        refused = (MISTYPED, "CredentialsRefused")
        wait_for("the vendor refuses the wrong password", SWEEP_SECONDS, lambda: refused in self._failures())
        checks.equal("no run fails, except for that one store", self._failures(), {refused})
        checks.equal("the vendor was asked once for each store", self._asked_for(), sorted([*STORES, MISTYPED]))

    def ask_for_status(self) -> None:
        checks = self._checks
        status = self._stack.invoke({"action": "status"})
        counts = {key: status.get(key) for key in ("outcome", "connections", "fresh", "problems")}
        expected = {"outcome": "swept", "connections": 4, "fresh": 3, "problems": []}
        checks.equal("status counts the connections", counts, expected)
        worst = status["worst"][0]
        without_token = (worst["name"], worst["seconds_remaining"], worst["reason"])
        checks.equal("it names the store that has no token", without_token, (MISTYPED, 0, "missing"))
        of_one = self._stack.invoke({"action": "status", "connection": MISTYPED})
        [slot] = of_one["ledger"]["slots"].values()
        checks.equal("that store's own status says why", slot["error"], "CredentialsRefused")
        of_another = self._stack.invoke({"action": "status", "connection": STORES[0]})
        with_token = (of_another.get("outcome"), of_another.get("username"))
        checks.equal("another store's own status tells of its token", with_token, ("kept", STORES[0]))

    def consume(self) -> None:
        checks = self._checks
        for store in STORES:
            consumer = self._consumer_of(store)
            status = call_api(consumer, token_of(store), self._vendor)
            checks.equal(f"a role with the tag {store} reads that token, and it works", status, 200)
        consumer = self._consumer_of(STORES[0], role="curious")
        untagged = self._aws.secrets_as(self._aws.make_role("untagged", self._stack.outputs["ConsumerPolicyArn"]))
        checks.denied(
            "it can't read another connection's token",
            lambda: consumer.get_secret_value(SecretId=token_of(STORES[1])),
        )
        checks.denied(
            "it can't read its own credentials",
            lambda: consumer.get_secret_value(SecretId=credentials_of(STORES[0])),
        )
        checks.denied(
            "it can't write its token",
            lambda: consumer.put_secret_value(SecretId=token_of(STORES[0]), SecretString="{}"),
        )
        checks.denied(
            "a role with the policy and without the tag can't read any token",
            lambda: untagged.get_secret_value(SecretId=token_of(STORES[0])),
        )

    def overreach(self) -> None:
        role = self._stack.function_role()
        secrets = self._aws.secrets_as(role)
        functions = self._aws.client("lambda", self._aws.assume(role))
        described = secrets.describe_secret(SecretId=token_of(STORES[0]))["Name"]
        self._checks.equal("it can describe a token secret", described, token_of(STORES[0]))
        other = self._secrets.create_secret(Name="other/017/token", SecretString="{}")["ARN"]
        denied = self._checks.denied
        denied(
            "it can't write credentials",
            lambda: secrets.put_secret_value(SecretId=credentials_of(STORES[0]), SecretString="{}"),
        )
        denied(
            "it can't delete a token secret",
            lambda: secrets.delete_secret(SecretId=token_of(STORES[0])),
        )
        denied(
            "it can't read a secret outside the prefix",
            lambda: secrets.get_secret_value(SecretId=other),
        )
        denied(
            "it can't write a secret outside the prefix",
            lambda: secrets.put_secret_value(SecretId=other, SecretString="{}"),
        )
        denied(
            "it can't invoke another function",
            lambda: functions.invoke(FunctionName="another", Payload=b"{}"),
        )

    def correct(self) -> None:
        self._put_credentials(MISTYPED, password_of(MISTYPED))
        result = self._stack.invoke({"action": "refresh", "connection": MISTYPED})
        self._checks.equal("a run of this connection alone refreshes it", result.get("outcome"), "refreshed")
        api_status = call_api(self._consumer_of(MISTYPED), token_of(MISTYPED), self._vendor)
        self._checks.equal("its consumer reads a token that works", api_status, 200)

    def read_the_log(self) -> None:
        checks = self._checks
        lines = self._stack.log_lines()
        passwords = [password_of(store) for store in (*STORES, MISTYPED)]
        tokens = [issued.token for issued in self._vendor.issued]
        secrets = [CLIENT_SECRET, WRONG_PASSWORD, *passwords, *tokens]
        checks.check("no line of the log shows a token or a secret", has_no_secret(lines, secrets))
        named = {line["connection"] for line in self._log() if "level" in line}
        checks.equal("each line says which connection it is about", named, {"", *STORES, MISTYPED})
        metrics = [json.loads(line) for line in lines if line.startswith('{"_aws"')]
        names = {metric["Name"] for line in metrics for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
        counted = {"TokenSecondsRemaining", "Connections", "HandedOver", "Refreshed", "CredentialsRefused"}
        checks.check("the metrics tell of sweeps and of runs", counted <= names, instead=sorted(names))
        dimensions = {line["service"] for line in metrics}
        expected = self._stack.alarm_dimensions()
        checks.equal("every metric has the dimension that the alarms look at", dimensions, expected)

    def delete(self) -> None:
        self._checks.equal("the stack is deleted", self._stack.delete(), "DELETE_COMPLETE")
        tokens = map(self._token, (*STORES, MISTYPED))
        self._checks.check("the connections' secrets are still there, with their values", all(tokens))

    # Helpers

    def _add_connection(self, store: str, password: str) -> None:
        self._secrets.create_secret(Name=token_of(store))
        shortfalls.remove_empty_version(self._secrets, token_of(store))
        self._secrets.create_secret(Name=credentials_of(store))
        self._put_credentials(store, password)

    def _put_credentials(self, store: str, password: str) -> None:
        document = {
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "username": store,
            "password": password,
        }
        self._secrets.put_secret_value(SecretId=credentials_of(store), SecretString=json.dumps(document))

    def _token(self, store: str) -> str | None:
        """Return the store's token, or None if it has none yet."""
        try:
            value = self._secrets.get_secret_value(SecretId=token_of(store))["SecretString"]
        except self._secrets.exceptions.ResourceNotFoundException:
            return None
        token: str | None = json.loads(value)["access_token"]
        return token

    def _asked_for(self) -> list[str]:
        """Return the accounts of all token requests, sorted."""
        return sorted(request.principal.removeprefix(f"{CLIENT}#") for request in self._vendor.requests)

    def _log(self) -> list[Json]:
        """Return the handler's own lines."""
        lines = (line for line in self._stack.log_lines() if line.startswith("{"))
        return [json.loads(line) for line in lines]

    def _failures(self) -> set[tuple[str, str]]:
        """Return the connection and the error of each run that failed.

        Busy is not counted: on a slow machine a run may still be under way at the next sweep.
        """
        failed = {(line["connection"], line["error"]) for line in self._log() if line.get("level") == "ERROR"}
        return {(connection, error) for connection, error in failed if error != "Busy"}

    def _consumer_of(self, store: str, role: str = "") -> Any:
        """Return the client of a role with the consumer policy and the tag that names the connection."""
        name = role or f"consumer-{store.replace('/', '-')}"
        arn = self._aws.make_role(name, tags={"token-connection": store})
        shortfalls.attach_policy_for_tags(self._aws.client("iam"), self._stack.outputs["ConsumerPolicyArn"], name)
        return self._aws.secrets_as(arn)


def credentials_of(store: str) -> str:
    return f"{PREFIX}{store}/credentials"


def token_of(store: str) -> str:
    return f"{PREFIX}{store}/token"


def password_of(store: str) -> str:
    return f"password-of-{store}-at-the-emulator"
