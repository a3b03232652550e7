"""The whole world on loopback: the vendor, Secrets Manager, Lambda, the secrets, and the real handler inside it."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import requests

from handler import app, aws
from handler.connections import CREDENTIALS_SUFFIX, TOKEN_SUFFIX, WarmProcess
from handler.errors import StoreError
from handler.settings import Settings
from local.aws_lambda import MAX_EVENT_AGE_OF_MANY_SECONDS, MAX_EVENT_AGE_SECONDS, TIMEOUT_SECONDS
from local.emulators.lambda_runtime import FUNCTION_NAME, Context, Run, run
from local.emulators.lambda_service import LambdaService
from local.emulators.secrets_manager import SecretsManager
from local.emulators.token_endpoint import PRINCIPAL_SEPARATOR, Vendor
from local.no_proxy import DIRECTLY, no_proxy_for_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.emulators.clock import Clock

CREDENTIALS_SECRET = "tango/credentials"
TOKEN_SECRET = "tango/token"
CLIENTS = {"client-blue": "blue-secret-of-the-emulator", "client-green": "green-secret-of-the-emulator"}
# The client of the vendor's second generation, and the passwords of its service accounts.
SERVICE_CLIENT = {"client-violet": "violet-secret-of-the-emulator"}
SERVICE_ACCOUNTS = {
    "client-violet#keeper-1": "first-password-of-the-emulator",
    "client-violet#keeper-2": "second-password-of-the-emulator",
}
# boto3 needs credentials and a region; the emulator does not look at them.
AWS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}

Ports = tuple[int, int, int]  # the vendor's, Secrets Manager's and Lambda's; 0 is any free port
ANY_PORTS = (0, 0, 0)
Accounts = Literal["none", "service"]


class World:
    """Starts the servers and creates the secrets. A token secret has no value yet, as after a deployment.

    The vendor has two clients that ask alone, and one with service accounts. Without a `prefix` the world keeps one
    connection: `accounts` says who is in its credentials secret at first, as `primary` and `standby`. These are
    written as the keeper writes principals: CLIENT_ID or CLIENT_ID#USERNAME.

    With a `prefix` it keeps many, and has none at first: see `add_connection` and `add_store`. Then the environment
    of this process is the function's, because a sweep makes its client of Lambda in the middle of a run.

    Lambda's interface is there with a `prefix` or if `ports` are given. What is invoked through it runs in one warm
    process, `function_process`; None is a new one.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        standby: bool = True,
        accounts: Accounts = "none",
        prefix: str = "",
        ports: Ports | None = None,
        vendor: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = clock
        self.prefix = prefix
        vendor_port, secrets_port, functions_port = ports or ANY_PORTS
        self.vendor = Vendor(clock, CLIENTS, port=vendor_port, **(vendor or {}))
        self.secrets = SecretsManager(clock, port=secrets_port)
        max_event_age = MAX_EVENT_AGE_OF_MANY_SECONDS if prefix else MAX_EVENT_AGE_SECONDS
        self.functions = LambdaService(
            clock,
            self._handle_in_warm_process,
            port=functions_port,
            max_event_age_seconds=max_event_age,
        )
        self.functions.listeners.append(self._note)
        self.function_process: WarmProcess | None = None
        self.client_secrets = CLIENTS | SERVICE_CLIENT
        self.passwords: dict[str, str] = {}  # by principal, of service accounts
        self.primary, self.standby = SERVICE_ACCOUNTS if accounts == "service" else CLIENTS
        for client_id, client_secret in SERVICE_CLIENT.items():
            self.vendor.add_client(client_id, client_secret, with_accounts=True)
        for principal, password in SERVICE_ACCOUNTS.items():
            self.add_account(principal, password)
        self._with_standby = standby
        self._with_functions = bool(prefix) or ports is not None
        self.outputs: list[str] = []  # of each run: its result or error, its log and its metrics
        self.lines: list[dict[str, Any]] = []  # of the last run: log and metrics, parsed
        self._clients: dict[frozenset[tuple[str, str]], Any] = {}  # by the environment that they were made in
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.vendor)
            stack.enter_context(self.secrets)
            if self._with_functions:
                stack.enter_context(self.functions)
            if self.prefix:
                stack.enter_context(environment(self.environment()))
            self._stack = stack.pop_all()
        if not self.prefix:
            standby = self.standby if self._with_standby else None
            self.add_connection("", self.primary, standby)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def environment(self, **overrides: str) -> dict[str, str]:
        """Return the handler's whole environment: AWS's part, and what keeps its calls away from a proxy."""
        variables = AWS | no_proxy_for_loopback(os.environ)
        variables |= {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.secrets.url,
            "TOKEN_URL": self.vendor.token_url,
        }
        if self.prefix:
            variables["CONNECTIONS_PREFIX"] = self.prefix
        else:
            variables["CREDENTIALS_SECRET_ID"] = CREDENTIALS_SECRET
            variables["TOKEN_SECRET_ID"] = TOKEN_SECRET
        if self._with_functions:
            variables["AWS_ENDPOINT_URL_LAMBDA"] = self.functions.url
            variables["AWS_LAMBDA_FUNCTION_NAME"] = FUNCTION_NAME
        return variables | overrides

    def process(self, **overrides: str) -> WarmProcess:
        """Return what a new process of the function would have, by this world's clock.

        Its settings are this world's alone, whatever the shell exports.
        """
        variables = self.environment(**overrides)
        settings = Settings.from_env(variables)
        with environment(variables):
            client = self._client()
        return WarmProcess(settings=settings, client=client, now=self.clock.now, sleep=self.clock.sleep)

    def _client(self) -> Any:
        """Return a client for a new process, the same one if possible: to make one takes longer than most runs.

        All that it keeps from one run to the next is a connection, and how many calls it may yet repeat. A run that
        AWS fails may have used up some of these, so the next process has a new client.
        """
        made_in = frozenset(os.environ.items())
        if made_in not in self._clients:
            self._clients[made_in] = aws.make_client("secretsmanager")
        return self._clients[made_in]

    def invoke(
        self, event: object = None, process: WarmProcess | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """Invoke the function as Lambda would, in a new process unless a `process` is given."""
        used = process or self.process()
        event = {} if event is None else event
        context = Context(self.clock, self.clock.now() + timeout)
        ended = run(lambda event, context: app.handle(event, context, lambda: used), event, context)
        self._note(ended)
        if ended.error:
            raise ended.error
        result: dict[str, Any] = ended.result
        return result

    def _handle_in_warm_process(self, event: Any, context: Any) -> Any:
        if self.function_process is None:
            self.function_process = self.process()
        process = self.function_process
        return app.handle(event, context, lambda: process)

    @property
    def output(self) -> str:
        """What all runs have shown, as one text."""
        return "".join(self.outputs)

    def _note(self, ended: Run) -> None:
        self.outputs.append(ended.output)
        if isinstance(ended.error, StoreError):
            self._clients.clear()
        self.lines = [json.loads(line) for line in ended.log.splitlines()]

    def add_account(self, principal: str, password: str) -> None:
        """Make a service account at the vendor, as an operator would, and note its password."""
        client_id, _, username = principal.partition(PRINCIPAL_SEPARATOR)
        self.vendor.add_account(client_id, username, password)
        self.passwords[principal] = password

    def add_connection(
        self, name: str, primary: str, standby: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Make both secrets of a connection, and write its credentials secret. `settings` are the connection's own."""
        self.secrets.do("CreateSecret", Name=self.credentials_secret(name))
        self.secrets.do("CreateSecret", Name=self.token_secret(name))
        self.put_credentials(primary, standby, name=name, settings=settings)

    def add_store(self, name: str) -> None:
        """Make a service account at the vendor, and a connection that asks with it."""
        [client_id] = SERVICE_CLIENT
        principal = f"{client_id}{PRINCIPAL_SEPARATOR}{name}"
        self.add_account(principal, f"password-of-{name}-at-the-emulator")
        self.add_connection(name, principal)

    def credentials_secret(self, name: str = "") -> str:
        """Return the name of a connection's credentials secret."""
        if not self.prefix:
            return CREDENTIALS_SECRET
        return f"{self.prefix}{name}{CREDENTIALS_SUFFIX}"

    def token_secret(self, name: str = "") -> str:
        """Return the name of a connection's token secret."""
        if not self.prefix:
            return TOKEN_SECRET
        return f"{self.prefix}{name}{TOKEN_SUFFIX}"

    def put_credentials(
        self, primary: str, standby: str | None = None, *, name: str = "", settings: Mapping[str, Any] | None = None
    ) -> None:
        """Write a credentials secret as an operator would, from `client_secrets` and `passwords`."""
        document: dict[str, Any] = self._credential(primary)
        if standby:
            document["standby"] = self._standby_credential(primary, standby)
        if settings:
            document["settings"] = dict(settings)
        secret_id = self.credentials_secret(name)
        self.secrets.do("PutSecretValue", SecretId=secret_id, SecretString=json.dumps(document))

    def _credential(self, principal: str) -> dict[str, str]:
        client_id, _, username = principal.partition(PRINCIPAL_SEPARATOR)
        credential = {"client_id": client_id, "client_secret": self.client_secrets[client_id]}
        if username:
            credential |= {"username": username, "password": self.passwords[principal]}
        return credential

    def _standby_credential(self, primary: str, standby: str) -> dict[str, str]:
        """Leave out what the standby has from the primary: the client, if it is another service account of it."""
        credential = self._credential(standby)
        if credential["client_id"] == primary.partition(PRINCIPAL_SEPARATOR)[0]:
            return {key: credential[key] for key in ("username", "password")}
        return credential

    def token(self, name: str = "") -> dict[str, Any]:
        """Return the token document that a connection's consumers read."""
        answer = self.secrets.do("GetSecretValue", SecretId=self.token_secret(name))
        document: dict[str, Any] = json.loads(answer["SecretString"])
        return document

    def consume(self, name: str = "") -> int:
        """Read the secret and call the API, as a consumer does. Return the HTTP status, or 0 if there is no token."""
        access_token = self.token(name)["access_token"]
        if access_token is None:
            return 0
        headers = {"Authorization": f"Bearer {access_token}"}
        answer = requests.get(self.vendor.api_url, headers=headers, proxies=DIRECTLY, timeout=10)
        return answer.status_code


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Add these variables to the machine's own for the length of the block, since boto3 reads them there."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield os.environ
    finally:
        os.environ.clear()
        os.environ.update(before)
