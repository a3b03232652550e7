"""What people do to it: rotate, mistype and correct, roll back, deactivate; and somebody who uses our client."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from handler.policy import Request
from local.durations import HOUR, MINUTE
from local.simulate.aws_secrets import CREDENTIALS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from handler.refresh import Keeper, Result, Run
    from local.simulate.aws_secrets import Store
    from local.simulate.engine import Engine
    from local.simulate.network import Line
    from local.simulate.runtime import Lambda, Outcome


def _status(_: Keeper, run: Run) -> Result:
    return run.inspect(status=True)


def _dry_run(_: Keeper, run: Run) -> Result:
    return run.inspect(status=False)


class Operator:
    """Goes by the runbook, more or less, and does one thing at a time."""

    def __init__(
        self, engine: Engine, rng: random.Random, store: Store, line: Line, function: Lambda, *, with_standby: bool
    ) -> None:
        self._engine, self._rng, self._store, self._line, self._function = engine, rng, store, line, function
        self._with_standby = with_standby
        self._secrets: dict[str, str] = {}
        self._made = 0
        self.is_busy = False
        self.clients: list[str] = []  # primary first, as in the credentials secret
        self.former: list[str] = []  # what stood there until `changed_at`
        self.changed_at = 0.0
        self.version_id = ""
        self._is_wrong = False  # what was put last
        self.on_change: Callable[[], None] = lambda: None  # before a client is deactivated

    @property
    def secrets(self) -> set[str]:
        return set(self._secrets.values())

    def begin(self) -> None:
        self._put(*[self._new_client() for _ in range(1 + self._with_standby)])

    def rotate(self, *, is_mistyped: bool, is_rolled_back: bool) -> bool:
        """Put a new primary before the old one; say whether there was time for it."""
        if self.is_busy:
            return False
        self.is_busy = True
        old = self.clients[0]
        new = self.clients[1] if self._with_standby else self._new_client()
        later = self._engine.now + self._rng.uniform(0.2, 3) * HOUR
        self._put(new, old, is_wrong=is_mistyped)
        self._refresh()
        if is_mistyped:
            self._engine.at(later, lambda: self._correct(new, old))
        if is_rolled_back:
            self._engine.at(self._engine.now + HOUR, lambda: self._roll_back(old, new))
        else:
            self._engine.at(later + HOUR, lambda: self._retire(old))
        return True

    def leak(self) -> bool:
        """Deactivate the primary at once, and replace it within half an hour; say whether there was time for it."""
        if self.is_busy:
            return False
        self.is_busy = True
        self._deactivate(self.clients[0])
        later = self._engine.now + self._rng.uniform(5, 30) * MINUTE
        self._engine.at(later, self._replace)
        return True

    def force(self) -> None:
        """See what it would do, and a minute later have it do that."""
        request = Request(force=True)
        self._function.invoke_by_hand(request, _dry_run)
        self._engine.at(self._engine.now + MINUTE, lambda: self._function.invoke_by_hand(request))

    def override_limit(self, *, is_reset: bool) -> None:
        """Have it ask against the limit, with or without the vendor having reset that."""
        if is_reset:
            self._line.vendor.reset_limit(self.clients[0])
        self._function.invoke_by_hand(Request(force=True, override_limit=True))

    def use_elsewhere(self) -> None:
        """Somebody asks for a token with the primary, and keeps it to himself."""
        self._line.use(*self.pair())

    def clients_since(self, moment: float) -> list[list[str]]:
        """Return the clients that the credentials secret named at some time since then."""
        return [self.clients, self.former] if self.changed_at > moment else [self.clients]

    def put_right(self) -> None:
        """Correct at once what is mistyped."""
        if self._is_wrong:
            self._put(*self.clients)

    def pair(self) -> tuple[str, str]:
        """Return the primary's id and secret."""
        return self.clients[0], self._secrets[self.clients[0]]

    def _correct(self, new: str, old: str) -> None:
        if self._is_wrong and self.clients == [new, old]:  # else it was rolled back before
            self._put(new, old)
            self._refresh()

    def _roll_back(self, old: str, new: str) -> None:
        self._put(old, new)
        self._refresh()
        if not self._with_standby:
            self._engine.at(self._engine.now + 24 * HOUR, lambda: self._retire(new))
        self.is_busy = not self._with_standby

    def _replace(self) -> None:
        left = self.clients[1:]
        self._put(*left, self._new_client())
        self._refresh()
        self.is_busy = False

    def _retire(self, client_id: str) -> None:
        """Look whether the status says that the client may go."""
        self._function.invoke_by_hand(Request(), _status, partial(self._retire_or_wait, client_id))

    def _retire_or_wait(self, client_id: str, seen: Outcome) -> None:
        if seen.result.get("safe_to_deactivate") != client_id:
            self._engine.at(self._engine.now + HOUR, lambda: self._retire(client_id))
            return
        self._deactivate(client_id)
        kept = [one for one in self.clients if one != client_id]
        self._put(*kept, *([self._new_client()] if self._with_standby else []))
        self.is_busy = False

    def _refresh(self) -> None:
        self._function.invoke_by_hand(Request())

    def _new_client(self) -> str:
        self._made += 1
        client_id = f"client-{self._made}"
        self._secrets[client_id] = f"{self._rng.getrandbits(128):032x}"
        self._line.vendor.add_client(client_id, self._secrets[client_id])
        return client_id

    def _deactivate(self, client_id: str) -> None:
        self.on_change()
        self._line.vendor.deactivate(client_id)

    def _put(self, *client_ids: str, is_wrong: bool = False) -> None:
        pairs = [{"client_id": one, "client_secret": self._secrets[one]} for one in client_ids]
        document = pairs[0] | ({"standby": pairs[1]} if len(pairs) > 1 else {})
        self.former, self.changed_at, self.clients = self.clients, self._engine.now, [*client_ids]
        secret, self._is_wrong = self._secrets[client_ids[0]], is_wrong
        text = json.dumps(document)
        if is_wrong:
            text = self._rng.choice([text.replace(secret, secret + "x"), text.rstrip("}")])
        self.version_id = self._store.call("put_secret_value", SecretId=CREDENTIALS, SecretString=text)["VersionId"]
