"""What people do: rotate the credentials, mistype and correct them, roll back, and deactivate a client."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from handler.policy import Request
from handler.secrets_manager import CURRENT, PREVIOUS
from handler.status import Inspection
from local.durations import DAY, HOUR, MINUTE
from local.simulate.aws_secrets import CREDENTIALS_SECRET, TOKEN_SECRET, AwsError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from handler.reader import WarmProcess
    from handler.refresh import Refresh
    from handler.status import Result
    from local.simulate.aws_secrets import SimulatedSecretsManager
    from local.simulate.engine import Engine
    from local.simulate.network import Network
    from local.simulate.runtime import Lambda, RunEnd


# How many documents of older tokens a backup has.
MAX_BACKUPS = 3


def _ignore(happening: str, **facts: object) -> None:
    """Nobody reads the log of a run that only looks."""


def _status(process: WarmProcess, _: Refresh) -> Result:
    return Inspection(process, Request(), _ignore).status()


def _dry_run(process: WarmProcess, _: Refresh) -> Result:
    return Inspection(process, Request(force=True), _ignore).dry_run()


class TokenWriter:
    """Writes the token secret by hand, which only the function should do.

    It calls `on_write` after each change.
    """

    def __init__(self, secrets_manager: SimulatedSecretsManager, on_write: Callable[[], None]) -> None:
        self._secrets_manager = secrets_manager
        self._on_write = on_write
        self._backups: list[str] = []  # the documents that were current, the latest last
        self._notes = 0

    def back_up(self, document: str) -> None:
        self._backups = [*self._backups[-MAX_BACKUPS:], document]

    def put_placeholder(self) -> bool:
        """Put something that is not a token. Return False if AWS refuses it."""
        document = {"access_token": "CHANGE_ME", "note": self._notes}
        self._notes += 1
        return self._put(json.dumps(document))

    def restore(self, choice: float) -> bool:
        """Put the document of an older token back. Return False if there is none, or if AWS refuses it."""
        older = self._backups[:-1]
        if not older:
            return False
        return self._put(older[int(choice * len(older))])

    def move_label_back(self) -> bool:
        """Move AWSCURRENT to the version before. Return False if there is none."""
        holders = {
            label: version_id
            for version_id, version in self._secrets_manager.versions(TOKEN_SECRET).items()
            for label in version["version_stages"]
        }
        if not holders.keys() >= {CURRENT, PREVIOUS}:
            return False
        self._secrets_manager.call(
            "update_secret_version_stage",
            SecretId=TOKEN_SECRET,
            VersionStage=CURRENT,
            MoveToVersionId=holders[PREVIOUS],
            RemoveFromVersionId=holders[CURRENT],
        )
        self._on_write()
        return True

    def _put(self, document: str) -> bool:
        try:
            self._secrets_manager.call(
                "put_secret_value",
                SecretId=TOKEN_SECRET,
                SecretString=document,
                VersionStages=[CURRENT],
            )
        except AwsError:  # there are too many versions
            return False
        self._on_write()
        return True


class Operator:
    """Follows the runbook, more or less, and does one thing at a time."""

    def __init__(
        self,
        engine: Engine,
        rng: random.Random,
        secrets_manager: SimulatedSecretsManager,
        network: Network,
        function: Lambda,
        *,
        with_standby: bool,
    ) -> None:
        self._engine = engine
        self._rng = rng
        self._secrets_manager = secrets_manager
        self._network = network
        self._function = function
        self._with_standby = with_standby
        self._client_secrets: dict[str, str] = {}  # by client id, of every client that ever was
        self.is_busy = False
        self.clients: list[str] = []  # primary first, as in the credentials secret
        self.former_clients: list[str] = []  # those that the credentials secret named before `changed_at`
        self.changed_at = 0.0
        self.version_id = ""  # of the credentials secret
        self._is_mistyped = False  # what was put last
        self.on_deactivate: Callable[[], None] = lambda: None  # called before a client is deactivated

    @property
    def client_secrets(self) -> set[str]:
        return set(self._client_secrets.values())

    def begin(self) -> None:
        """Put the first credentials."""
        clients = [self._new_client()]
        if self._with_standby:
            clients.append(self._new_client())
        self._put(clients)

    def rotate(self, *, is_mistyped: bool, is_rolled_back: bool) -> bool:
        """Put a new primary in front of the old one. Return False if something else is still being done."""
        if self.is_busy:
            return False
        self.is_busy = True
        old = self.clients[0]
        new = self.clients[1] if self._with_standby else self._new_client()
        later = self._engine.now + self._rng.uniform(0.2, 3) * HOUR
        self._put([new, old], is_mistyped=is_mistyped)
        self._refresh()
        if is_mistyped:
            self._engine.at(later, lambda: self._correct(new, old))
        if is_rolled_back:
            self._engine.at(self._engine.now + HOUR, lambda: self._roll_back(old, new))
        else:
            self._engine.at(later + HOUR, lambda: self._retire(old))
        return True

    def deactivate_leaked(self) -> bool:
        """Deactivate the primary at once, and replace it within half an hour.

        Return False if something else is still being done.
        """
        if self.is_busy:
            return False
        self.is_busy = True
        self._deactivate(self.clients[0])
        later = self._engine.now + self._rng.uniform(5, 30) * MINUTE
        self._engine.at(later, self._replace_primary)
        return True

    def force(self) -> None:
        """Make a dry run, and force a refresh a minute later."""
        request = Request(force=True)
        self._function.invoke_by_hand(request, _dry_run)
        self._engine.at(self._engine.now + MINUTE, lambda: self._function.invoke_by_hand(request))

    def override_limit(self, *, is_reset: bool) -> None:
        """Make it ask against the limit, whether or not the vendor has reset that."""
        if is_reset:
            self._network.vendor.reset_limit(self.clients[0])
        self._function.invoke_by_hand(Request(force=True, override_limit=True))

    def use_elsewhere(self) -> None:
        """Let somebody else ask for a token with the primary, and keep it."""
        client_id, client_secret = self.primary_pair()
        self._network.use_as_second_party(client_id, client_secret)

    def client_lists_since(self, moment: float) -> list[list[str]]:
        """Return the client lists that the credentials secret had at some time since then."""
        if self.former_clients and self.changed_at > moment:
            return [self.clients, self.former_clients]
        return [self.clients]

    def correct_now(self) -> None:
        """Correct at once what is mistyped."""
        if self._is_mistyped:
            self._put(self.clients)

    def primary_pair(self) -> tuple[str, str]:
        """Return the primary's id and secret."""
        primary = self.clients[0]
        return primary, self._client_secrets[primary]

    def _correct(self, new: str, old: str) -> None:
        is_unchanged = self.clients == [new, old]  # else it was rolled back in the meantime
        if self._is_mistyped and is_unchanged:
            self._put([new, old])
            self._refresh()

    def _roll_back(self, old: str, new: str) -> None:
        self._put([old, new])
        self._refresh()
        if self._with_standby:
            self.is_busy = False
            return
        self._engine.at(self._engine.now + DAY, lambda: self._retire(new))
        self.is_busy = True

    def _replace_primary(self) -> None:
        remaining = self.clients[1:]
        self._put([*remaining, self._new_client()])
        self._refresh()
        self.is_busy = False

    def _retire(self, client_id: str) -> None:
        """Look whether the status says that the client may be deactivated."""
        self._function.invoke_by_hand(Request(), _status, partial(self._retire_or_wait, client_id))

    def _retire_or_wait(self, client_id: str, status: RunEnd) -> None:
        if status.result.get("safe_to_deactivate") != client_id:
            self._engine.at(self._engine.now + HOUR, lambda: self._retire(client_id))
            return
        self._deactivate(client_id)
        clients = [client for client in self.clients if client != client_id]
        if self._with_standby:
            clients.append(self._new_client())
        self._put(clients)
        self.is_busy = False

    def _refresh(self) -> None:
        self._function.invoke_by_hand(Request())

    def _new_client(self) -> str:
        client_id = f"client-{len(self._client_secrets) + 1}"
        client_secret = f"{self._rng.getrandbits(128):032x}"
        self._client_secrets[client_id] = client_secret
        self._network.vendor.add_client(client_id, client_secret)
        return client_id

    def _deactivate(self, client_id: str) -> None:
        self.on_deactivate()
        self._network.vendor.deactivate(client_id)

    def _put(self, client_ids: list[str], *, is_mistyped: bool = False) -> None:
        """Write the credentials secret: the primary, and a standby if there are two clients."""
        pairs = [{"client_id": one, "client_secret": self._client_secrets[one]} for one in client_ids]
        document: dict[str, object] = {**pairs[0]}
        if len(pairs) > 1:
            document["standby"] = pairs[1]
        text = json.dumps(document)
        if is_mistyped:
            secret = pairs[0]["client_secret"]
            wrong_secret = text.replace(secret, secret + "x")
            not_json = text.rstrip("}")
            text = self._rng.choice([wrong_secret, not_json])
        self.former_clients = self.clients
        self.changed_at = self._engine.now
        self.clients = client_ids
        self._is_mistyped = is_mistyped
        answer = self._secrets_manager.call("put_secret_value", SecretId=CREDENTIALS_SECRET, SecretString=text)
        self.version_id = answer["VersionId"]
