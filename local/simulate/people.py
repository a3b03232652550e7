"""What people do: rotate the credentials, mistype and correct them, roll back, deactivate and unblock."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from handler.model import Client
from handler.policy import Request
from handler.secrets_manager import CURRENT, PREVIOUS
from handler.status import Inspection
from local.durations import DAY, HOUR, MINUTE
from local.simulate.aws_secrets import CREDENTIALS_SECRET, TOKEN_SECRET, AwsError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from handler.connections import Connection
    from handler.refresh import Refresh
    from handler.result import Result
    from local.emulators.token_endpoint import Vendor
    from local.simulate.aws_secrets import SimulatedSecretsManager
    from local.simulate.engine import Engine
    from local.simulate.host import RunEnd
    from local.simulate.network import Network
    from local.simulate.runtime import Lambda


# How many documents of older tokens a backup has.
MAX_BACKUPS = 3
# The vendor's support has unblocked an account so long after people corrected its password.
UNBLOCKED_AFTER_SECONDS = 30 * MINUTE


def _ignore(happening: str, **facts: object) -> None:
    """Nobody reads the log of a run that only looks."""


def _status(process: Connection, _: Refresh) -> Result:
    return Inspection(process, Request(), _ignore).status()


def _dry_run(process: Connection, _: Refresh) -> Result:
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
        self._puts = 0

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
        self._puts += 1
        # AWS would draw an id of its own, and the same seed would not be the same year.
        version_id = uuid.uuid5(uuid.NAMESPACE_OID, f"put by hand {self._puts}")
        try:
            self._secrets_manager.call(
                "put_secret_value",
                SecretId=TOKEN_SECRET,
                SecretString=document,
                ClientRequestToken=str(version_id),
                VersionStages=[CURRENT],
            )
        except AwsError:  # there are too many versions
            return False
        self._on_write()
        return True


class Portal:
    """The vendor's portal, where people make clients, or the service accounts of one client."""

    def __init__(self, rng: random.Random, vendor: Vendor, *, with_accounts: bool) -> None:
        self._rng = rng
        self._vendor = vendor
        self._with_accounts = with_accounts
        self._client: Client | None = None  # the one that all service accounts belong to
        self._made: dict[str, Client] = {}  # by principal
        self.secrets: set[str] = set()  # the client secrets and passwords of all that was ever made

    def find(self, principal: str) -> Client:
        return self._made[principal]

    def make(self) -> str:
        """Make a client or a service account. Return its principal."""
        number = len(self._made) + 1
        if not self._with_accounts:
            client = self._make_client(f"client-{number}")
        else:
            client = self._make_account(f"account-{number}")
        self._made[client.principal] = client
        return client.principal

    def _make_account(self, username: str) -> Client:
        if self._client is None:
            self._client = self._make_client("client-1")
        password = self._new_secret()
        self._vendor.add_account(self._client.client_id, username, password)
        return replace(self._client, username=username, password=password)

    def _make_client(self, client_id: str) -> Client:
        client_secret = self._new_secret()
        self._vendor.add_client(client_id, client_secret, with_accounts=self._with_accounts)
        return Client(client_id, client_secret)

    def _new_secret(self) -> str:
        secret = f"{self._rng.getrandbits(128):032x}"
        self.secrets.add(secret)
        return secret


def _credentials_document(primary: Client, standby: Client | None) -> str:
    """Return the credentials secret's text as the runbook has it."""
    document: dict[str, object] = {"client_id": primary.client_id, "client_secret": primary.client_secret}
    if primary.username is not None:
        document |= {"username": primary.username, "password": primary.password}
    if standby is None:
        return json.dumps(document)
    if standby.username is not None:
        # Without client id and secret the standby has the primary's.
        document["standby"] = {"username": standby.username, "password": standby.password}
    else:
        document["standby"] = {"client_id": standby.client_id, "client_secret": standby.client_secret}
    return json.dumps(document)


class Operator:
    """Follows the runbook, more or less, and does one thing at a time.

    It rotates clients, or the service accounts of one client. Of clients two can be active at a time, so the standby
    becomes the primary. Of service accounts there can be any number, so a new one does.
    """

    def __init__(
        self,
        engine: Engine,
        rng: random.Random,
        secrets_manager: SimulatedSecretsManager,
        network: Network,
        function: Lambda,
        *,
        with_standby: bool,
        with_accounts: bool,
    ) -> None:
        self._engine = engine
        self._rng = rng
        self._secrets_manager = secrets_manager
        self._network = network
        self._function = function
        self._with_standby = with_standby
        self._with_accounts = with_accounts
        self._portal = Portal(rng, network.vendor, with_accounts=with_accounts)
        self._spare_account = ""  # the standby that a rotation of service accounts has left out
        self.is_busy = False
        self.principals: list[str] = []  # primary first, as in the credentials secret
        self.former_principals: list[str] = []  # those that the credentials secret named before `changed_at`
        self.changed_at = 0.0
        self.version_id = ""  # of the credentials secret
        self._is_mistyped = False  # what was put last
        self.on_deactivate: Callable[[], None] = lambda: None  # called before a principal is deactivated
        self.on_unblock: Callable[[str], None] = lambda _principal: None

    @property
    def secrets(self) -> set[str]:
        return self._portal.secrets

    @property
    def primary(self) -> Client:
        return self._portal.find(self.principals[0])

    def begin(self) -> None:
        """Put the first credentials."""
        principals = [self._portal.make()]
        if self._with_standby:
            principals.append(self._portal.make())
        self._put(principals)

    def rotate(self, *, is_mistyped: bool, is_rolled_back: bool) -> bool:
        """Put a new primary in front of the old one. Return False if something else is still being done."""
        if self.is_busy:
            return False
        self.is_busy = True
        old = self.principals[0]
        new = self._next_primary()
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
        self._deactivate(self.principals[0])
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
            self._network.vendor.reset_limit(self.primary.client_id)
        self._function.invoke_by_hand(Request(force=True, override_limit=True))

    def use_elsewhere(self) -> None:
        """Let somebody else ask for a token with the primary, and keep it."""
        self._network.use_as_second_party(self.primary)

    def principal_lists_since(self, moment: float) -> list[list[str]]:
        """Return the principals that the credentials secret had at some time since then, before and after a change."""
        if self.former_principals and self.changed_at > moment:
            return [self.principals, self.former_principals]
        return [self.principals]

    def correct_now(self) -> None:
        """Correct at once what is mistyped."""
        if self._is_mistyped:
            self._put(self.principals)
        self._unblock_accounts()

    @property
    def _promotes_standby(self) -> bool:
        return self._with_standby and not self._with_accounts

    def _next_primary(self) -> str:
        if self._promotes_standby:
            return self.principals[1]
        if self._with_standby:
            self._spare_account = self.principals[1]
        return self._portal.make()

    def _next_standby(self) -> str:
        """Return who becomes the standby when a rotation is over."""
        if not self._spare_account:
            return self._portal.make()
        standby = self._spare_account
        self._spare_account = ""
        return standby

    def _correct(self, new: str, old: str) -> None:
        is_unchanged = self.principals == [new, old]  # else it was rolled back in the meantime
        if self._is_mistyped and is_unchanged:
            self._put([new, old])
            self._refresh()
            self._have_accounts_unblocked()

    def _roll_back(self, old: str, new: str) -> None:
        self._put([old, new])
        self._refresh()
        self._have_accounts_unblocked()
        if self._promotes_standby:
            self.is_busy = False
            return
        self._engine.at(self._engine.now + DAY, lambda: self._retire(new))
        self.is_busy = True

    def _replace_primary(self) -> None:
        remaining = self.principals[1:]
        self._put([*remaining, self._portal.make()])
        self._refresh()
        self.is_busy = False

    def _retire(self, principal: str) -> None:
        """Look whether the status says that the principal may be deactivated."""
        self._function.invoke_by_hand(Request(), _status, partial(self._retire_or_wait, principal))

    def _retire_or_wait(self, principal: str, status: RunEnd) -> None:
        if status.result.get("safe_to_deactivate") != principal:
            self._engine.at(self._engine.now + HOUR, lambda: self._retire(principal))
            return
        self._deactivate(principal)
        principals = [one for one in self.principals if one != principal]
        if self._with_standby:
            principals.append(self._next_standby())
        self._put(principals)
        self.is_busy = False

    def _have_accounts_unblocked(self) -> None:
        """Ask the vendor's support for it, after a wrong password. Nothing comes of it if none is blocked."""
        if self._with_accounts:
            self._engine.at(self._engine.now + UNBLOCKED_AFTER_SECONDS, self._unblock_accounts)

    def _unblock_accounts(self) -> None:
        if not self._with_accounts:
            return
        for principal in self.principals:
            if self._network.is_blocked(principal):
                self._network.vendor.unblock(principal)
                self.on_unblock(principal)

    def _refresh(self) -> None:
        self._function.invoke_by_hand(Request())

    def _deactivate(self, principal: str) -> None:
        self.on_deactivate()
        self._network.vendor.deactivate(principal)

    def _put(self, principals: list[str], *, is_mistyped: bool = False) -> None:
        """Write the credentials secret: the primary, and a standby if there are two principals."""
        primary = self._portal.find(principals[0])
        standby = None
        if len(principals) > 1:
            standby = self._portal.find(principals[1])
        text = _credentials_document(primary, standby)
        if is_mistyped:
            secret = primary.password or primary.client_secret
            wrong_secret = text.replace(secret, secret + "x")
            not_json = text.rstrip("}")
            text = self._rng.choice([wrong_secret, not_json])
        self.former_principals = self.principals
        self.changed_at = self._engine.now
        self.principals = principals
        self._is_mistyped = is_mistyped
        answer = self._secrets_manager.call("put_secret_value", SecretId=CREDENTIALS_SECRET, SecretString=text)
        self.version_id = answer["VersionId"]
