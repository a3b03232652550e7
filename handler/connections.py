"""Which connections there are, and what a warm process keeps of them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from handler.model import Token
from handler.secrets_manager import SecretStore
from handler.settings import Settings

# How the secrets of a connection are named: PREFIX, the connection's name, and one of these.
CREDENTIALS_SUFFIX = "/credentials"
TOKEN_SUFFIX = "/token"  # noqa: S105 - a part of a name, not a secret


class UnsavedToken(NamedTuple):
    """A token that could not be saved, and the run whose claim it was acquired or published under."""

    token: Token
    run_id: str


class UnsavedKey(NamedTuple):
    """Which of the unsaved tokens: a process keeps one for each connection and principal."""

    connection: str
    principal: str


def _new_uuid() -> str:
    return str(uuid.uuid4())


@dataclass(slots=True, kw_only=True)
class Connection:
    """One connection: how a process reaches its secrets, and the tokens that could not be saved.

    `name` is empty in a deployment that keeps one connection. `settings` are those of the environment.
    `unsaved` belongs to the process and has the tokens of all its connections. `now` gives Unix seconds.
    """

    name: str = ""
    settings: Settings
    store: SecretStore
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    new_id: Callable[[], str] = _new_uuid
    unsaved: dict[UnsavedKey, UnsavedToken] = field(default_factory=dict, repr=False)

    def unsaved_tokens(self) -> tuple[Token, ...]:
        return tuple(held.token for held in self._held().values())

    def unsaved_runs(self) -> set[str]:
        """Return the runs under whose claims the unsaved tokens were acquired or published."""
        return {held.run_id for held in self._held().values()}

    def hold(self, token: Token, run_id: str) -> None:
        """Keep the token, except if the process has a newer one of its principal."""
        key = UnsavedKey(self.name, token.principal)
        held = self.unsaved.get(key)
        if held is None or token.acquired_at >= held.token.acquired_at:
            self.unsaved[key] = UnsavedToken(token, run_id)

    def forget_useless_tokens(self, current: Token | None, now: float) -> None:
        """Forget the unsaved tokens that have expired, or that the current token supersedes."""
        for key, held in self._held().items():
            if held.token.expires_at <= now or held.token.is_superseded_by(current):
                del self.unsaved[key]

    def _held(self) -> dict[UnsavedKey, UnsavedToken]:
        return {key: held for key, held in self.unsaved.items() if key.connection == self.name}


@dataclass(slots=True, kw_only=True)
class WarmProcess:
    """What outlives one run, because Lambda uses a process again.

    `client` is the client of Secrets Manager. `now` gives Unix seconds.
    """

    settings: Settings
    client: Any
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    new_id: Callable[[], str] = _new_uuid
    unsaved: dict[UnsavedKey, UnsavedToken] = field(default_factory=dict, repr=False)

    def connection(self, name: str = "") -> Connection:
        """Return the connection of this name. The name is empty in a deployment that keeps one."""
        return Connection(
            name=name,
            settings=self.settings,
            store=self._store(name),
            now=self.now,
            sleep=self.sleep,
            new_id=self.new_id,
            unsaved=self.unsaved,
        )

    def _store(self, name: str) -> SecretStore:
        settings = self.settings
        if not name:
            return SecretStore(self.client, settings.credentials_secret_id, settings.token_secret_id)
        stem = f"{settings.connections_prefix}{name}"
        return SecretStore(self.client, stem + CREDENTIALS_SUFFIX, stem + TOKEN_SUFFIX)

    def connections_with_unsaved_tokens(self) -> list[str]:
        """Return the names of the connections that have a token which this process could not save."""
        now = self.now()
        return sorted({key.connection for key, held in self.unsaved.items() if held.token.expires_at > now})
