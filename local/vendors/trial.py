"""The real handler against one foreign server: real requests, and the emulated Secrets Manager."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from handler.errors import RefreshError
from local.emulators.clock import Clock
from local.emulators.world import World, environment
from local.vendors.registration import SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.vendors.foreign_server import ForeignServer
    from local.vendors.registration import RegisteredClient, ServiceAccount

ACQUIRE_TIMEOUT_SECONDS = 4
SETTINGS = {
    "AUDIENCE": "",
    "SCOPE": SCOPE,
    # None of these servers limits how often a client may ask.
    "LIMIT_INTERVAL_SECONDS": "0",
    "LIMIT_MARGIN_SECONDS": "0",
    "ACQUIRE_TIMEOUT_SECONDS": str(ACQUIRE_TIMEOUT_SECONDS),
}
_ANSWERED = re.compile(r"HTTP (\d{3})(?:, (\w+))?")


class Trial:
    """A connection that nobody has used yet. Every run is a new process of the function."""

    def __init__(self, server: ForeignServer, world: World) -> None:
        self.server = server
        self.clock = world.clock
        self.refusals: list[str] = []  # each different one: the HTTP status and, if it is a known one, the error code
        self._world = world
        self._settings = SETTINGS | {"TOKEN_URL": f"{server.url}/token"}
        self._connections = 0
        self._secrets: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Make new secrets, so that nothing is left of what was tried before."""
        self._connections += 1
        name = f"connection-{self._connections}"
        self._settings |= {"CREDENTIALS_SECRET_ID": f"{name}/credentials", "TOKEN_SECRET_ID": f"{name}/token"}
        for setting in ("CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID"):
            self._world.secrets.client().create_secret(Name=self._settings[setting])

    def use(self, client: RegisteredClient, account: ServiceAccount | None = None, **settings: str) -> None:
        """Write the credentials as an operator would, and set how the client authenticates."""
        document = {"client_id": client.client_id, "client_secret": client.client_secret}
        self._secrets.add(client.client_secret)
        if account:
            document |= {"username": account.username, "password": account.password}
            self._secrets.add(account.password)
        self._settings |= {"CLIENT_AUTH": client.auth_method} | settings
        secrets_manager = self._world.secrets.client()
        secrets_manager.put_secret_value(
            SecretId=self._settings["CREDENTIALS_SECRET_ID"],
            SecretString=json.dumps(document),
        )

    def run(self, **settings: str) -> str:
        """Invoke the function. Return the outcome, or the name of the error."""
        values = self._settings | settings
        process = self._world.process(**values)
        with environment(values):
            try:
                outcome: str = self._world.invoke(process=process)["outcome"]
            except RefreshError as error:
                self._note_refusal(str(error))
                return type(error).__name__
        self._secrets.add(self.token()["access_token"])
        return outcome

    def runs(self, count: int) -> str:
        return ", ".join(self.run() for _ in range(count))

    def token(self) -> dict[str, Any]:
        """Return the token document that consumers read."""
        answer = self._world.secrets.client().get_secret_value(SecretId=self._settings["TOKEN_SECRET_ID"])
        document: dict[str, Any] = json.loads(answer["SecretString"])
        return document

    @property
    def has_odd_lifetime(self) -> bool:
        """Say whether the last run warned of the token's lifetime."""
        return any("OddLifetime" in line for line in self._world.lines)

    def _note_refusal(self, message: str) -> None:
        found = _ANSWERED.search(message)
        if not found:
            return
        refusal = " ".join(part for part in found.groups() if part)
        if refusal not in self.refusals:
            self.refusals.append(refusal)

    @property
    def shows_a_secret(self) -> bool:
        """Say whether a result, an error, a log line or a metric has shown a client secret, a password or a token."""
        for secret in self._secrets:
            if secret in self._world.output or json.dumps(secret).strip('"') in self._world.output:
                return True
        return False


@contextmanager
def new_trial(server: ForeignServer) -> Iterator[Trial]:
    with World(Clock(), standby=False) as world:
        yield Trial(server, world)
