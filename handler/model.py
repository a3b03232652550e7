"""The values that the refresh works with, and their JSON; a repr never shows a secret. Times are Unix seconds."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from handler.errors import CredentialsError

SEED = '{"access_token": null, "expires_at": 0, "schema": 1}'  # before any token was issued


def utc(unix_seconds: float) -> str:
    """ISO 8601 with `Z`, to the second, for people."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_object(text: str | bytes | None, *, is_lenient: bool = False) -> dict[str, Any]:
    """Return the JSON object in `text`; an empty one where it is none, however it manages not to be one.

    `is_lenient`: whatever stands behind the object does not matter.
    """
    # int() raises at thousands of digits, which must not cost the token that stands beside the number.
    decoder = json.JSONDecoder(parse_int=lambda digits: (int if len(digits) < 4_000 else float)(digits))
    try:
        decoded = text.decode() if isinstance(text, bytes) else text or ""
        return _object(decoder.raw_decode(decoded.lstrip())[0] if is_lenient else decoder.decode(decoded))
    except (ValueError, RecursionError):  # not JSON, not Unicode; nested too deeply
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fits(value: Any, kind: Any) -> bool:
    """Say whether a JSON value is of the kind; a number must be whole, from 0, and no `true`."""
    return isinstance(value, kind) and not isinstance(value, bool) and not (isinstance(value, int) and value < 0)


def _fields(cls: Any, value: Any) -> dict[str, Any] | None:
    """Return the dataclass's fields as a JSON object has them; None where one is of another kind."""
    found = {one.name: _object(value).get(one.name) for one in fields(cls)}
    return found if all(_fits(found[one.name], one.type) for one in fields(cls)) else None


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth 2.0 client (RFC 6749 section 2): who asks the vendor for a token."""

    client_id: str
    client_secret: str = field(repr=False)

    @classmethod
    def parse(cls, document: dict[str, Any], prefix: str = "") -> "Client":
        """Raise CredentialsError that names the field at fault, and never repeats what it holds."""
        for value, name in ((document.get(name), name) for name in ("client_id", "client_secret")):
            # A pasted line break would cost an hour's refusal.
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise CredentialsError(f"the credentials secret: {prefix}{name} is missing, empty or not plain text")
        return cls(document["client_id"], document["client_secret"])


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials secret; its version tells a secret that was corrected from the one that was refused."""

    primary: Client
    standby: Client | None
    version_id: str

    @classmethod
    def parse(cls, text: str | None, version_id: str) -> "Credentials":
        """Raise CredentialsError, see Client.parse."""
        document = json_object(text)
        if not document:
            raise CredentialsError("the credentials secret is not a JSON object with client_id and client_secret")
        primary, standby = Client.parse(document), document.get("standby")
        if standby is None:
            return cls(primary, None, version_id)
        if _object(standby).get("client_id") == primary.client_id:
            raise CredentialsError("the credentials secret: standby has the primary's client_id")
        return cls(primary, Client.parse(_object(standby), "standby."), version_id)

    @property
    def client_ids(self) -> set[str]:
        return {client.client_id for client in (self.primary, self.standby) if client}


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and where it came from."""

    access_token: str = field(repr=False)
    token_type: str
    scope: str
    expires_at: int
    acquired_at: int
    client_id: str
    audience: str
    token_url: str

    def to_json(self, ledger: "Ledger") -> str:
        """Return the token secret's document, whose keys every consumer relies on."""
        more = {"expires_at_utc": utc(self.expires_at), "schema": 1, "ledger": asdict(ledger)}
        return json.dumps(asdict(self) | more)

    def is_superseded(self, current: "Token | None") -> bool:
        """Say whether the current token is of the same client, and as new or newer."""
        return current is not None and current.client_id == self.client_id and current.acquired_at >= self.acquired_at

    @classmethod
    def parse(cls, text: str | None, now: float, max_lifetime: int, margin: int) -> "Token | None":
        """Return what the document says as far as it can be true; None where it is no token.

        It ends `max_lifetime` seconds after it was acquired at the latest, and one acquired more than `margin`
        seconds ahead of `now` is no token: no slip of a hand makes a token that is never renewed.
        """
        found = _fields(cls, json_object(text))
        if not found or not found["access_token"].strip() or found["acquired_at"] > now + margin:
            return None
        if not (found["access_token"] + found["client_id"]).isprintable():
            return None  # half a surrogate pair can neither be sent nor told of in a result
        return cls(**found | {"expires_at": min(found["expires_at"], found["acquired_at"] + max_lifetime)})


@dataclass(frozen=True, slots=True)
class Lock:
    """One run's claim. Without a client it publishes a token that is at hand already."""

    run_id: str
    client_id: str | None
    claimed_at: int
    until: int


@dataclass(frozen=True, slots=True)
class Slot:
    """When one client may ask next, and why not before."""

    not_before: int = 0
    reason: str | None = None
    suspicions: int = 0
    credentials_version: str | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known of locks and slots; `retry_at` is 0 where nobody backs off."""

    lock: Lock | None = None
    failures: int = 0
    retry_at: int = 0
    slots: dict[str, Slot] = field(default_factory=dict)

    def slot(self, client_id: str) -> Slot:
        return self.slots.get(client_id, Slot())

    def with_slot(self, client_id: str, slot: Slot) -> "Ledger":
        return replace(self, slots=self.slots | {client_id: slot})

    def suspected(self, client_id: str) -> "Ledger":
        slot = self.slot(client_id)
        return self.with_slot(client_id, replace(slot, suspicions=slot.suspicions + 1))

    def closed(self, client_id: str, closed: Slot) -> "Ledger":
        """Close the slot; no answer opens one earlier than it was, so the later of the two stands."""
        slot = self.slot(client_id)
        later = closed if closed.not_before >= slot.not_before else slot
        return self.with_slot(client_id, replace(later, suspicions=slot.suspicions))

    def to_json(self) -> str:
        """Return the document of a claim; it holds no token, so it must never become AWSCURRENT."""
        return json.dumps({"schema": 1, "ledger": asdict(self)})

    @classmethod
    def parse(cls, text: str | None) -> "Ledger":
        """Return what the document says; a lock or a slot that makes no sense is absent, and so is a whole ledger."""
        document = _object(json_object(text).get("ledger"))
        lock = _fields(Lock, document.get("lock"))
        slots = {client_id: _fields(Slot, slot) for client_id, slot in _object(document.get("slots")).items()}
        known = {client_id: Slot(**slot) for client_id, slot in slots.items() if slot}
        if not all(_fits(document.get(name), int) for name in ("failures", "retry_at")):
            return cls()
        return cls(Lock(**lock) if lock else None, document["failures"], document["retry_at"], known)
