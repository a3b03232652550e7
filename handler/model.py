"""The documents that the refresh works with. A repr never shows a secret. Times are Unix seconds."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from handler.errors import CredentialsError
from handler.settings import MAX_KEY_CHARACTERS, PRINCIPAL_SEPARATOR

# The first document of the token secret: no token has been issued yet.
SEED = '{"access_token": null, "expires_at": 0, "schema": 1}'
SCHEMA = 1
_KEYS_OF_CLIENT = {"client_id", "client_secret", "username", "password"}
_KEYS_OF_CREDENTIALS = _KEYS_OF_CLIENT | {"standby", "settings"}
_BYTE_ORDER_MARK = "\ufeff"
# int() refuses a number of some more digits than this, and that must not cost the token next to it.
_MAX_INT_DIGITS = 4_000
# A secret holds 65,536 bytes (AWS's quota). A token's document must leave room for the ledger.
MAX_DOCUMENT_BYTES = 61_000
MAX_TOKEN_BYTES = 56_000
MAX_METADATA_BYTES = 2_000
MAX_EXTRA_BYTES = 2_000
# The members of an answer that the token document has keys of its own for, or that must not be stored.
# As they are without underscores, in lower case.
_NOT_EXTRA = {
    "accesstoken",
    "clientsecret",
    "expiresin",
    "idtoken",
    "password",
    "refreshtoken",
    "scope",
    "tokentype",
}
# A principal is a key of the ledger.
MAX_PRINCIPAL_CHARACTERS = 1_000
# How many unknown keys of the credentials secret are named.
_MAX_WARNINGS = 10


def utc(unix_seconds: float) -> str:
    """Return ISO 8601 with `Z`, to the second, for people."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def json_object(
    text: str | bytes | None,
    *,
    ignore_trailing: bool = False,
    allow_nan: bool = True,
) -> dict[str, Any]:
    """Return the JSON object in `text`. Returns {} if the text is not a JSON object, for any reason.

    `ignore_trailing`: anything may follow the object, and its texts may have line breaks. `allow_nan`: it may have
    NaN and Infinity, which JSON itself does not have.
    """
    if text is None:
        return {}
    decoder = json.JSONDecoder(
        parse_int=_parse_int,
        parse_constant=float if allow_nan else _refuse_constant,
        strict=not ignore_trailing,
    )
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


def _refuse_constant(name: str) -> None:
    """Raise ValueError: the name is NaN, Infinity or -Infinity."""
    raise ValueError(f"{name} is not JSON")


def is_unicode(text: str) -> bool:
    """Say whether the text can be written as UTF-8. JSON can hold half a surrogate pair, which can't."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class Extra(dict[str, Any]):
    """What else the vendor answered, such as Salesforce's `instance_url`: texts, numbers and booleans."""

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> "Extra":
        """Return those members that can be kept, as long as they take MAX_EXTRA_BYTES of JSON at most."""
        extra = cls()
        for name, value in members.items():
            if not _can_be_kept(name, value):
                continue
            longer = cls(extra | {name: value})
            if len(json.dumps(longer)) <= MAX_EXTRA_BYTES:
                extra = longer
        return extra


def _can_be_kept(name: str, value: Any) -> bool:
    if name.replace("_", "").lower() in _NOT_EXTRA or not is_unicode(name):
        return False
    if isinstance(value, str):
        return is_unicode(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int)


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth 2.0 client (RFC 6749 section 2), alone or with a service account, which asks for a token.

    `username` and `password` are those of the service account, or both None.
    """

    client_id: str
    client_secret: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, document: dict[str, Any], prefix: str = "") -> "Client":
        """Return the client in a JSON object.

        Raises CredentialsError, which names the field at fault and never repeats its value.
        """
        names = ["client_id", "client_secret"]
        if document.get("username") is not None or document.get("password") is not None:
            names += ["username", "password"]  # both or neither
        for name in names:
            fault = _fault_of(document.get(name))
            if fault:
                raise _credentials_error(f"{prefix}{name} {fault}")
        client = cls(**{name: document[name] for name in names})
        if PRINCIPAL_SEPARATOR in client.client_id:
            raise _credentials_error(f"{prefix}client_id has a {PRINCIPAL_SEPARATOR}, which is not supported")
        if len(json.dumps(client.principal)) > len('""') + MAX_PRINCIPAL_CHARACTERS:
            raise _credentials_error(
                f"{prefix}client_id and username are longer than {MAX_PRINCIPAL_CHARACTERS} characters"
            )
        return client

    @property
    def principal(self) -> str:
        """Who asks, as the ledger names it."""
        return principal_of(self.client_id, self.username)


def principal_of(client_id: str, username: str | None) -> str:
    if username is None:
        return client_id
    return f"{client_id}{PRINCIPAL_SEPARATOR}{username}"


def _credentials_error(fault: str) -> CredentialsError:
    return CredentialsError(f"the credentials secret: {fault}")


def _fault_of(value: Any) -> str:
    """Return what is wrong with a text of the credentials; empty if nothing is."""
    if not isinstance(value, str) or not value.strip():
        return "is missing, empty or not a text"
    # What was pasted along would cost an hour: the vendor refuses the secret.
    if value != value.strip():
        return "has white space at an end: remove it"
    if not value.isprintable():
        return "has a character that can't be printed: remove it"
    return ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials secret. Its version tells a corrected secret from the one that was refused.

    `settings` replace those of the environment (see Settings.for_connection); they are not checked yet.
    `warnings` name the keys that nobody reads: a mistyped `Standby` must not stay unnoticed.
    """

    primary: Client
    standby: Client | None
    version_id: str
    settings: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    warnings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | None, version_id: str) -> "Credentials":
        """Return the credentials in the secret's text. Raises CredentialsError, see Client.parse."""
        if text is None:
            raise CredentialsError("the credentials secret is binary: put its JSON as text")
        if text.startswith(_BYTE_ORDER_MARK):
            raise CredentialsError("the credentials secret begins with a byte order mark: save it without")
        document = json_object(text)
        if not document:
            raise CredentialsError("the credentials secret is not a JSON object with client_id and client_secret")
        primary = Client.parse(document)
        standby = _parse_standby(document.get("standby"), primary)
        settings = document.get("settings", {})
        if not isinstance(settings, dict):
            raise _credentials_error("settings is not an object")
        return cls(primary, standby, version_id, settings, _warnings_of(document))

    @property
    def principals(self) -> set[str]:
        if self.standby is None:
            return {self.primary.principal}
        return {self.primary.principal, self.standby.principal}


def _warnings_of(document: dict[str, Any]) -> tuple[str, ...]:
    unknown = [name for name in document if name not in _KEYS_OF_CREDENTIALS]
    unknown += [f"standby.{name}" for name in as_object(document.get("standby")) if name not in _KEYS_OF_CLIENT]
    shown = [ascii(name[:MAX_KEY_CHARACTERS]) for name in unknown[:_MAX_WARNINGS]]
    return tuple(f"the credentials secret has an unknown key {name}: it is ignored" for name in shown)


def _parse_standby(value: Any, primary: Client) -> Client | None:
    if value is None:
        return None
    document = as_object(value)
    has_account = bool(document.keys() & {"username", "password"})
    if has_account and not document.keys() & {"client_id", "client_secret"}:
        # A second service account of the same client.
        document = document | {"client_id": primary.client_id, "client_secret": primary.client_secret}
    standby = Client.parse(document, prefix="standby.")
    if standby.principal == primary.principal:
        raise _credentials_error("standby is the primary: its client_id, or its username, must differ")
    return standby


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and where it comes from: the public part of the token secret's document."""

    access_token: str = field(repr=False)
    token_type: str
    scope: str
    expires_at: int
    acquired_at: int
    client_id: str
    username: str | None
    audience: str
    requested_scope: str
    requested_parameters: str
    token_url: str
    extra: Extra = field(default_factory=Extra, repr=False, hash=False)

    @property
    def principal(self) -> str:
        """Whose token it is, as the ledger names it."""
        return principal_of(self.client_id, self.username)

    @property
    def life_seconds(self) -> int:
        """How long the token lives from its arrival to its end."""
        return max(0, self.expires_at - self.acquired_at)

    def document(self) -> dict[str, Any]:
        """Return the keys of the token secret's document that every consumer relies on."""
        return asdict(self) | {"expires_at_utc": utc(self.expires_at), "schema": SCHEMA}

    @property
    def fits_into_a_version(self) -> bool:
        """Say whether the document leaves room for a ledger. Otherwise no claim could carry the token."""
        return len(json.dumps(self.document())) <= MAX_DOCUMENT_BYTES

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
        # Consumers refuse a document with NaN, as JSON does, so such a token would be of no use to them.
        document = json_object(text, allow_nan=False)
        document["extra"] = Extra.of(as_object(document.get("extra")))
        found = read_fields(cls, document)
        if found is None:
            return None
        if not found["access_token"].strip():
            return None
        if found["acquired_at"] > now + clock_margin_seconds:
            return None
        shown = [found["access_token"], found["client_id"], found["username"] or ""]
        if not all(text.isprintable() for text in shown):
            return None  # half a surrogate pair can neither be sent nor shown in a result
        latest_end = found["acquired_at"] + max_lifetime_seconds
        found["expires_at"] = min(found["expires_at"], latest_end)
        token = cls(**found)
        if not token.fits_into_a_version:
            return None
        return token
