"""The whole world on loopback: the vendor, Secrets Manager, the two secrets, and the real handler inside it."""

from __future__ import annotations

import io
import json
import logging
import os
import traceback
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import requests

from handler import app
from handler.refresh import Keeper
from handler.secrets_manager import SecretStore
from handler.settings import Settings, service_name
from local.aws_lambda import TIMEOUT_SECONDS
from local.emulators.secrets_manager import SecretsManager
from local.emulators.token_endpoint import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.emulators.clock import Clock

CREDENTIALS_SECRET, TOKEN_SECRET = "tango/credentials", "tango/token"
CLIENTS = {"client-blue": "blue-secret-of-the-emulator", "client-green": "green-secret-of-the-emulator"}
# boto3 needs some; the emulator looks at none of them.
AWS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Context:
    """What Lambda hands to the handler, by a clock that can be moved."""

    clock: Clock
    ends: float
    function_name: str = "token-refresh"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:token-refresh"
    aws_request_id: str = "local"

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends - self.clock.now()) * 1_000)


class World:
    """Starts both servers and creates both secrets; the token secret has no value yet, as after a deployment."""

    def __init__(
        self,
        clock: Clock,
        *,
        standby: bool = True,
        ports: tuple[int, int] = (0, 0),
        vendor: Mapping[str, Any] | None = None,
    ) -> None:
        self.clock = clock
        self.vendor = Vendor(clock, CLIENTS, port=ports[0], **(vendor or {}))
        self.secrets = SecretsManager(clock, port=ports[1])
        self.client_secrets = dict(CLIENTS)
        self.primary, self.standby = CLIENTS
        self._with_standby = standby
        self.output = ""  # all that the handler ever let out: results, errors, log, metrics
        self.lines: list[dict[str, Any]] = []  # the same of the last run, parsed
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.vendor)
            stack.enter_context(self.secrets)
            self._stack = stack.pop_all()
        client = self.secrets.client()
        client.create_secret(Name=CREDENTIALS_SECRET)
        client.create_secret(Name=TOKEN_SECRET)
        self.put_credentials(self.primary, self.standby if self._with_standby else None)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def environment(self, **overrides: str) -> dict[str, str]:
        """Return the handler's whole environment, AWS's part included."""
        return AWS | {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.secrets.url,
            "CREDENTIALS_SECRET_ID": CREDENTIALS_SECRET,
            "TOKEN_SECRET_ID": TOKEN_SECRET,
            "TOKEN_URL": self.vendor.token_url,
            **overrides,
        }

    def keeper(self, **overrides: str) -> Keeper:
        """Return what a new process of the function would hold, by this world's clock."""
        with environment(self.environment(**overrides)) as env:
            settings = Settings.from_env(env)
            store = SecretStore.connect(settings.credentials_secret_id, settings.token_secret_id)
        return Keeper(settings, store, now=self.clock.now, sleep=self.clock.sleep)

    def invoke(
        self, event: object = None, keeper: Keeper | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> dict[str, Any]:
        """Invoke the function as Lambda would, in a new process where no `keeper` is given."""
        kept = keeper or self.keeper()
        context = Context(self.clock, self.clock.now() + timeout)
        with captured() as output:
            try:
                result = app.handle({} if event is None else event, context, lambda: kept)
                self.output += json.dumps(result)
            except Exception as error:
                self.output += "".join(traceback.format_exception(error)) + repr(error)
                raise
            else:
                return result
            finally:
                self.output += output.getvalue()
                self.lines = [json.loads(line) for line in output.getvalue().splitlines()]

    def put_credentials(self, primary: str, standby: str | None = None) -> None:
        """Write the credentials secret as an operator would, with what `client_secrets` has for these clients."""
        pair = [{"client_id": one, "client_secret": self.client_secrets[one]} for one in (primary, standby) if one]
        document = pair[0] | ({"standby": pair[1]} if standby else {})
        self.secrets.client().put_secret_value(SecretId=CREDENTIALS_SECRET, SecretString=json.dumps(document))

    def token(self) -> dict[str, Any]:
        """Return the token document that consumers read."""
        answer = self.secrets.client().get_secret_value(SecretId=TOKEN_SECRET)
        document: dict[str, Any] = json.loads(answer["SecretString"])
        return document

    def consume(self) -> int:
        """Do as a consumer does: read the secret, call the API; return the HTTP status, 0 where there is no token."""
        access_token = self.token()["access_token"]
        if access_token is None:
            return 0
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(self.vendor.api_url, headers=headers, timeout=10).status_code


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Have exactly these variables beside the machine's own, for the time of the block: boto3 reads them there."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield os.environ
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """Have what the handler writes, log and metrics, instead of letting it go to standard output."""
    output = io.StringIO()
    log = logging.getLogger(service_name()).handlers[0]
    assert isinstance(log, logging.StreamHandler)  # noqa: S101 - Powertools', made when handler.app was imported
    before = log.setStream(output)
    try:
        with redirect_stdout(output):
            yield output
    finally:
        log.setStream(before)
