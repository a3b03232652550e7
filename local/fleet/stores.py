"""What the people of the stores do: join, make mistakes and put them right, and leave."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.model import Client
    from local.fleet.plan import PlannedMistake, PlannedStore
    from local.fleet.rated_secrets import RatedSecretsManager
    from local.fleet.vendor import Teams
    from local.simulate.engine import Engine

PREFIX = "tango/"


def credentials_secret(store: str) -> str:
    return f"{PREFIX}{store}/credentials"


def token_secret(store: str) -> str:
    return f"{PREFIX}{store}/token"


class Stores:
    """Does what is planned for the stores.

    It calls `on_join` with the store and its client when a store makes its secrets, and `on_leave` when it is over.
    """

    def __init__(
        self,
        engine: Engine,
        secrets_manager: RatedSecretsManager,
        teams: Teams,
        on_join: Callable[[PlannedStore, Client], None],
        on_leave: Callable[[PlannedStore], None],
    ) -> None:
        self._engine = engine
        self._secrets_manager = secrets_manager
        self._teams = teams
        self._on_join = on_join
        self._on_leave = on_leave

    def arrange(self, store: PlannedStore) -> None:
        self._engine.at(store.joins_at, partial(self._join, store))

    def _join(self, store: PlannedStore) -> None:
        client = self._register(store)
        self._on_join(store, client)
        self._secrets_manager.call("create_secret", Name=credentials_secret(store.name))
        if not _lacks_token_secret(store):
            self._make_token_secret(store)
        self._put(store, client)
        for mistake in store.mistakes:
            self._arrange_mistake(store, client, mistake)
        if store.leaves_at is not None:
            self._engine.at(store.leaves_at, partial(self._leave, store, client))

    def _register(self, store: PlannedStore) -> Client:
        if store.generation == "client":
            client_id = f"client-of-{store.name}"
            return self._teams.add_client(client_id, f"secret-of-{store.name}")
        return self._teams.add_account(store.name, f"password-of-{store.name}")

    def _arrange_mistake(self, store: PlannedStore, client: Client, mistake: PlannedMistake) -> None:
        at = self._engine.at
        if mistake.kind == "no token secret":
            at(mistake.end, partial(self._make_token_secret, store))
        elif mistake.kind == "denied key":
            at(mistake.begin, partial(self._secrets_manager.deny_key, token_secret(store.name)))
            at(mistake.end, partial(self._secrets_manager.allow_key, token_secret(store.name)))
        else:
            at(mistake.begin, partial(self._put_wrong, store, client, mistake))
            at(mistake.end, partial(self._put, store, client))

    def _make_token_secret(self, store: PlannedStore) -> None:
        self._secrets_manager.call("create_secret", Name=token_secret(store.name))

    def _put(self, store: PlannedStore, client: Client) -> None:
        self._write(store, _document(client))

    def _put_wrong(self, store: PlannedStore, client: Client, mistake: PlannedMistake) -> None:
        text = _document(client)
        if mistake.kind == "not JSON":
            self._write(store, text.rstrip("}"))
            return
        right = client.password or client.client_secret
        self._write(store, text.replace(right, "wrong"))

    def _write(self, store: PlannedStore, text: str) -> None:
        name = credentials_secret(store.name)
        self._secrets_manager.call("put_secret_value", SecretId=name, SecretString=text)

    def _leave(self, store: PlannedStore, client: Client) -> None:
        self._on_leave(store)
        self._secrets_manager.delete(credentials_secret(store.name))
        self._secrets_manager.delete(token_secret(store.name))
        self._teams.deactivate(client.principal)


def _lacks_token_secret(store: PlannedStore) -> bool:
    return any(mistake.kind == "no token secret" for mistake in store.mistakes)


def _document(client: Client) -> str:
    document = {"client_id": client.client_id, "client_secret": client.client_secret}
    if client.username is not None and client.password is not None:
        document["username"] = client.username
        document["password"] = client.password
    return json.dumps(document)
