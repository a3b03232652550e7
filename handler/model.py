"""The documents that the refresh works with. A repr never shows a secret. Times are Unix seconds."""

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from handler.errors import CredentialsError

# The first document of the token secret: no token has been issued yet.
SEED = '{"access_token": null, "expires_at": 0, "schema": 1}'
SCHEMA = 1
# int() refuses a number of some more digits than this, and that must not cost the token next to it.
_MAX_INT_DIGITS = 4_000


def utc(unix_seconds: float) -> str:
    """Return ISO 8601 with `Z`, to the second, for people."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_object(text: str | bytes | None, *, ignore_trailing: bool = False) -> dict[str, Any]:
    """Return the JSON object in `text`. Returns {} if the text is not a JSON object, for any reason.

    `ignore_trailing`: anything may follow the object.
    """
    if text is None:
        return {}
    decoder = json.JSONDecoder(parse_int=_parse_int)
    try:
        if isinstance(text, bytes):
            text = text.decode()
        if ignore_trailing:
            value, _ = decoder.raw_decode(text.lstrip())
        else:
            value = decoder.decode(text)
    except (ValueError, RecursionError):  # not JSON, not Unicode, or nested too deeply
        return {}
    return as_object(value)


def as_object(value: Any) -> dict[str, Any]:
    """Return a JSON value if it is an object, else {}."""
    if isinstance(value, dict):
        return value
    return {}


def read_fields(cls: Any, value: Any) -> dict[str, Any] | None:
    """Return the fields of the dataclass from a JSON object. Returns None if one has another type."""
    document = as_object(value)
    found = {}
    for one in fields(cls):
        found[one.name] = document.get(one.name)
        if not has_type(found[one.name], one.type):
            return None
    return found


def has_type(value: Any, expected: Any) -> bool:
    """Say whether a JSON value has the type. A number is whole and not negative; `true` is not one."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int) and value < 0:
        return False
    return isinstance(value, expected)


def _parse_int(digits: str) -> int | float:
    if len(digits) < _MAX_INT_DIGITS:
        return int(digits)
    return float(digits)


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth 2.0 client (RFC 6749 section 2), which asks the vendor for a token."""

    client_id: str
    client_secret: str = field(repr=False)

    @classmethod
    def parse(cls, document: dict[str, Any], prefix: str = "") -> "Client":
        """Return the client in a JSON object.

        Raises CredentialsError, which names the field at fault and never repeats its value.
        """
        for name in ("client_id", "client_secret"):
            value = document.get(name)
            # A line break that was pasted along would cost an hour: the vendor refuses the secret.
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise CredentialsError(f"the credentials secret: {prefix}{name} is missing, empty or not plain text")
        return cls(document["client_id"], document["client_secret"])

    @property
    def principal(self) -> str:
        """Who asks, as the ledger names it."""
        return self.client_id


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials secret. Its version tells a corrected secret from the one that was refused."""

    primary: Client
    standby: Client | None
    version_id: str

    @classmethod
    def parse(cls, text: str | None, version_id: str) -> "Credentials":
        """Return the credentials in the secret's text. Raises CredentialsError, see Client.parse."""
        document = json_object(text)
        if not document:
            raise CredentialsError("the credentials secret is not a JSON object with client_id and client_secret")
        primary = Client.parse(document)
        standby = _parse_standby(document.get("standby"), primary)
        return cls(primary, standby, version_id)

    @property
    def principals(self) -> set[str]:
        if self.standby is None:
            return {self.primary.principal}
        return {self.primary.principal, self.standby.principal}


def _parse_standby(value: Any, primary: Client) -> Client | None:
    if value is None:
        return None
    document = as_object(value)
    if document.get("client_id") == primary.client_id:
        raise CredentialsError("the credentials secret: standby has the primary's client_id")
    return Client.parse(document, prefix="standby.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and where it comes from: the public part of the token secret's document."""

    access_token: str = field(repr=False)
    token_type: str
    scope: str
    expires_at: int
    acquired_at: int
    client_id: str
    audience: str
    requested_scope: str
    token_url: str

    @property
    def principal(self) -> str:
        """Whose token it is, as the ledger names it."""
        return self.client_id

    @property
    def life_seconds(self) -> int:
        """How long the token lives from its arrival to its end."""
        return max(0, self.expires_at - self.acquired_at)

    def document(self) -> dict[str, Any]:
        """Return the keys of the token secret's document that every consumer relies on."""
        return asdict(self) | {"expires_at_utc": utc(self.expires_at), "schema": SCHEMA}

    def is_superseded_by(self, current: "Token | None") -> bool:
        """Say whether the current token belongs to the same principal and is as new or newer."""
        if current is None or current.principal != self.principal:
            return False
        return current.acquired_at >= self.acquired_at

    @classmethod
    def parse(
        cls,
        text: str | None,
        *,
        now: float,
        max_lifetime_seconds: int,
        clock_margin_seconds: int,
    ) -> "Token | None":
        """Return the token in a document, or None if the document is not a token.

        The document is believed only as far as it can be true, so that no mistake of a person makes a
        token that is never renewed. A token ends `max_lifetime_seconds` after it was acquired, at the
        latest. A document that was acquired more than `clock_margin_seconds` ahead of `now` is not a
        token.
        """
        found = read_fields(cls, json_object(text))
        if found is None:
            return None
        if not found["access_token"].strip():
            return None
        if found["acquired_at"] > now + clock_margin_seconds:
            return None
        if not found["access_token"].isprintable() or not found["client_id"].isprintable():
            return None  # half a surrogate pair can neither be sent nor shown in a result
        latest_end = found["acquired_at"] + max_lifetime_seconds
        found["expires_at"] = min(found["expires_at"], latest_end)
        return cls(**found)
