"""The whole world on loopback: the vendor, Secrets Manager, the two secrets, and the real handler inside it."""

from __future__ import annotations

import io
import json
import logging
import os
import traceback
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import requests

from handler import app, aws
from handler.connections import WarmProcess
from handler.settings import Settings, service_name
from local.aws_lambda import TIMEOUT_SECONDS
from local.emulators.secrets_manager import SecretsManager
from local.emulators.token_endpoint import PRINCIPAL_SEPARATOR, Vendor

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


Accounts = Literal["none", "service"]


@dataclass
class Context:
    """What Lambda passes to the handler, by a clock that can be moved."""

    clock: Clock
    deadline: float
    function_name: str = "token-refresh"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:token-refresh"
    aws_request_id: str = "local"

    def get_remaining_time_in_millis(self) -> int:
        return int((self.deadline - self.clock.now()) * 1_000)


class World:
    """Starts both servers and creates both secrets. The token secret has no value yet, as after a deployment.

    The vendor has two clients that ask alone, and one with two service accounts. `accounts` says which of them
    are in the credentials secret at first, as `primary` and `standby`. These are written as the keeper writes
    principals: CLIENT_ID or CLIENT_ID#USERNAME.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        standby: bool = True,
        accounts: Accounts = "none",
        ports: tuple[int, int] = (0, 0),
        vendor: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = clock
        vendor_port, secrets_port = ports
        self.vendor = Vendor(clock, CLIENTS, port=vendor_port, **(vendor or {}))
        self.secrets = SecretsManager(clock, port=secrets_port)
        self.client_secrets = CLIENTS | SERVICE_CLIENT
        self.passwords: dict[str, str] = {}  # by principal, of service accounts
        self.primary, self.standby = SERVICE_ACCOUNTS if accounts == "service" else CLIENTS
        for client_id, client_secret in SERVICE_CLIENT.items():
            self.vendor.add_client(client_id, client_secret, with_accounts=True)
        for principal, password in SERVICE_ACCOUNTS.items():
            self.add_account(principal, password)
        self._with_standby = standby
        self.output = ""  # of all runs: results, errors, log and metrics
        self.lines: list[dict[str, Any]] = []  # of the last run: log and metrics, parsed
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.vendor)
            stack.enter_context(self.secrets)
            self._stack = stack.pop_all()
        client = self.secrets.client()
        client.create_secret(Name=CREDENTIALS_SECRET)
        client.create_secret(Name=TOKEN_SECRET)
        if self._with_standby:
            self.put_credentials(self.primary, self.standby)
        else:
            self.put_credentials(self.primary)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def environment(self, **overrides: str) -> dict[str, str]:
        """Return the handler's whole environment, including AWS's part."""
        return AWS | {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.secrets.url,
            "CREDENTIALS_SECRET_ID": CREDENTIALS_SECRET,
            "TOKEN_SECRET_ID": TOKEN_SECRET,
            "TOKEN_URL": self.vendor.token_url,
            **overrides,
        }

    def process(self, **overrides: str) -> WarmProcess:
        """Return what a new process of the function would have, by this world's clock."""
        with environment(self.environment(**overrides)) as env:
            settings = Settings.from_env(env)
            client = aws.make_client("secretsmanager")
        return WarmProcess(settings=settings, client=client, now=self.clock.now, sleep=self.clock.sleep)

    def invoke(
        self, event: object = None, process: WarmProcess | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """Invoke the function as Lambda would, in a new process unless a `process` is given."""
        used = process or self.process()
        event = {} if event is None else event
        context = Context(self.clock, self.clock.now() + timeout)
        with captured() as output:
            try:
                result = app.handle(event, context, lambda: used)
                self.output += json.dumps(result)
            except Exception as error:
                self.output += "".join(traceback.format_exception(error)) + repr(error)
                raise
            else:
                return result
            finally:
                self.output += output.getvalue()
                self.lines = [json.loads(line) for line in output.getvalue().splitlines()]

    def add_account(self, principal: str, password: str) -> None:
        """Make a service account at the vendor, as an operator would, and note its password."""
        client_id, _, username = principal.partition(PRINCIPAL_SEPARATOR)
        self.vendor.add_account(client_id, username, password)
        self.passwords[principal] = password

    def put_credentials(self, primary: str, standby: str | None = None) -> None:
        """Write the credentials secret as an operator would, from `client_secrets` and `passwords`."""
        document: dict[str, Any] = self._credential(primary)
        if standby:
            document["standby"] = self._standby_credential(primary, standby)
        self.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString=json.dumps(document))

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

    def token(self) -> dict[str, Any]:
        """Return the token document that consumers read."""
        answer = self.secrets.client().get_secret_value(SecretId=TOKEN_SECRET)
        document: dict[str, Any] = json.loads(answer["SecretString"])
        return document

    def consume(self) -> int:
        """Read the secret and call the API, as a consumer does. Return the HTTP status, or 0 if there is no token."""
        access_token = self.token()["access_token"]
        if access_token is None:
            return 0
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(self.vendor.api_url, headers=headers, timeout=10).status_code


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


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Catch what the handler writes, log and metrics, which otherwise goes to standard output."""
    output = io.StringIO()
    log = logging.getLogger(service_name()).handlers[0]
    assert isinstance(log, logging.StreamHandler)  # noqa: S101 - Powertools made it when handler.app was imported
    before = log.setStream(output)
    try:
        with redirect_stdout(output):
            yield output
    finally:
        log.setStream(before)
