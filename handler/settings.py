"""The environment as one frozen, validated value. Nothing else reads the environment."""

import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import SplitResult, urlsplit

from handler.errors import ConfigurationError, CredentialsError

# Ten years. A larger number is a mistake (milliseconds, say), and a date can hold ten years easily.
MAX_SECONDS = 315_360_000
# Lambda ends a run after 900 s. One minute is left for the reads before and after.
MAX_ACQUIRE_AND_WRITE_SECONDS = 840
# The clocks of two machines may differ by this much.
CLOCK_DIFFERENCE_SECONDS = 30
# Every pause ends within this time.
MAX_OWN_PAUSE_SECONDS = 86_400
# The token's document repeats some of these texts, and must fit into a secret. (Lambda's whole environment holds 4 KB.)
MAX_TEXT_BYTES = 2_000
# A request with less time than this for its answer is not worth a slot.
MIN_ACQUIRE_SECONDS = 10

# Of a key that nobody knows, so much is shown.
MAX_KEY_CHARACTERS = 40
# So many faults of a credentials secret are named at once.
MAX_FAULTS = 10
# Between the client id and the username of a service account, as the ledger names who asks.
PRINCIPAL_SEPARATOR = "#"
# The vendor grants a client alone one token in this time, and a service account as many as it likes.
DEFAULT_LIMIT_INTERVAL_SECONDS = 72_000

# These may stand in the credentials secret, too, under `settings`.
_OF_A_CONNECTION = {
    "token_url",
    "audience",
    "scope",
    "parameters",
    "client_auth",
    "refresh_window_seconds",
    "limit_interval_seconds",
    "limit_margin_seconds",
    "max_lifetime_seconds",
    "standby_below_seconds",
    "consumer_cache_seconds",
    "probe_url",
}
# The fields of the token request that the function sends itself.
_OWN_FIELDS = {"grant_type", "client_id", "client_secret", "username", "password", "audience", "scope"}
_NUMBERS = {
    "refresh_window_seconds",
    "limit_interval_seconds",
    "limit_margin_seconds",
    "max_lifetime_seconds",
    "standby_below_seconds",
    "consumer_cache_seconds",
    "acquire_timeout_seconds",
    "write_reserve_seconds",
}
_MAY_BE_ZERO = {
    "limit_interval_seconds",
    "limit_margin_seconds",
    "standby_below_seconds",
    "consumer_cache_seconds",
}
# An empty value is a choice here: the field is left out of the token request.
_MAY_BE_EMPTY = {"audience", "scope"}
_NOT_A_NUMBER = -1  # stands for a text that is not a whole number; every range refuses it
_NOT_HTTPS = "must be an https URL (http is for a loopback host only)"
# AWS allows these characters in the name of a secret, and 512 of them.
_SECRET_NAME = re.compile("[A-Za-z0-9/_+=.@-]+")
MAX_PREFIX_CHARACTERS = 200
MAX_CONNECTION_CHARACTERS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field per variable, in lower case. Durations are in seconds.

    An empty text switches a feature off, or leaves the field out of the token request. `parameters` is a
    JSON object of further fields, with its keys in order; empty if there are none.
    `limit_interval_seconds` is None if it is left to the kind of the principal (see interval_of).
    `connections_prefix` is set in place of the two secrets if the deployment keeps many connections.
    """

    credentials_secret_id: str = ""
    token_secret_id: str = ""
    connections_prefix: str = ""
    token_url: str = ""
    audience: str = "https://api.tangocard.com/"
    scope: str = "raas.all"
    parameters: str = field(default="", repr=False)
    client_auth: str = "client_secret_post"
    probe_url: str = ""
    event_bus_name: str = ""
    refresh_window_seconds: int = 14_400
    limit_interval_seconds: int | None = None
    limit_margin_seconds: int = 300
    max_lifetime_seconds: int = 86_400
    standby_below_seconds: int = 9_000
    consumer_cache_seconds: int = 3_600
    acquire_timeout_seconds: int = 120
    write_reserve_seconds: int = 30

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read and check all variables.

        Raises ConfigurationError with all problems in one message. The message shows no values,
        because a URL can hold a password.
        """
        values: dict[str, Any] = {}
        for one in fields(cls):
            values[one.name] = _value_of(one.name, one.default, env)
        faults = [*_faults_of_the_environment(values), *_faults(values)]
        if faults:
            problems = "; ".join(f"{name.upper()} {fault}" for name, fault in faults)
            raise ConfigurationError(f"environment: {problems}")
        values["parameters"] = _in_order(values["parameters"])
        return cls(**values)

    def for_connection(self, overrides: Mapping[str, Any]) -> "Settings":
        """Return these settings with those of the credentials secret in their place.

        `overrides` is its object `settings`. Raises CredentialsError, which names each key at fault as it
        stands there, and never its value.
        """
        if not overrides and self.token_url:
            return self
        values = asdict(self)
        faults = []
        for name, value in overrides.items():
            if name not in _OF_A_CONNECTION:
                faults.append((ascii(name[:MAX_KEY_CHARACTERS]), "is not a setting of a connection"))
            elif not _has_type_of(name, value):
                faults.append((name, f"must be {_type_of(name)}"))
            elif isinstance(value, dict):
                values[name] = json.dumps(value)
            else:
                values[name] = value
        if not values["token_url"]:
            faults.append(("token_url", "is not set"))
        faults = faults or list(_faults(values))
        if faults:
            problems = "; ".join(f"settings.{name} {fault}" for name, fault in faults[:MAX_FAULTS])
            raise CredentialsError(f"the credentials secret: {problems}")
        values["parameters"] = _in_order(values["parameters"])
        return Settings(**values)

    @property
    def keeps_many(self) -> bool:
        """Say whether this deployment keeps many connections."""
        return bool(self.connections_prefix)

    @property
    def parameter_fields(self) -> dict[str, str]:
        """The further fields of the token request."""
        if not self.parameters:
            return {}
        fields_given: dict[str, str] = json.loads(self.parameters)
        return fields_given

    @property
    def parameters_hash(self) -> str:
        """A short hash of the further fields, for the token's document; empty if there are none."""
        if not self.parameters:
            return ""
        return hashlib.sha256(self.parameters.encode()).hexdigest()[:16]

    def interval_of(self, principal: str) -> int:
        """Return the time in which the vendor grants this principal one token."""
        if self.limit_interval_seconds is not None:
            return self.limit_interval_seconds
        if PRINCIPAL_SEPARATOR in principal:
            return 0
        return DEFAULT_LIMIT_INTERVAL_SECONDS

    def slot_seconds(self, principal: str) -> int:
        """Return how long a principal's slot stays closed after a token: its interval and our margin."""
        return self.interval_of(principal) + self.limit_margin_seconds

    @property
    def max_believed_closed_seconds(self) -> int:
        """How far ahead the end of a closed slot can be true, whichever machine's clock wrote it."""
        interval = self.limit_interval_seconds
        if interval is None:
            interval = DEFAULT_LIMIT_INTERVAL_SECONDS
        longest_spent = interval + 2 * self.clock_margin_seconds
        return max(MAX_OWN_PAUSE_SECONDS, longest_spent)

    @property
    def lock_seconds(self) -> int:
        """How long a claim locks other runs out: the time to acquire and to save, for any clock."""
        return self.acquire_timeout_seconds + self.write_reserve_seconds + CLOCK_DIFFERENCE_SECONDS

    @property
    def clock_margin_seconds(self) -> int:
        """How far a stored time may be ahead of the present because clocks differ."""
        return max(self.limit_margin_seconds, CLOCK_DIFFERENCE_SECONDS)

    @property
    def seconds_needed_to_claim(self) -> int:
        """How much time a run must have left before it may claim: a short acquire, and saving."""
        shortest_acquire = min(MIN_ACQUIRE_SECONDS, self.acquire_timeout_seconds)
        return shortest_acquire + self.write_reserve_seconds

    @property
    def seconds_needed_to_wait(self) -> int:
        """How much time a run must have left to wait for another run's lock: a whole acquire, and saving."""
        return self.acquire_timeout_seconds + self.write_reserve_seconds


def is_connection_name(name: str) -> bool:
    """Say whether a connection can have this name: it is a part of the names of its secrets."""
    return len(name) <= MAX_CONNECTION_CHARACTERS and _SECRET_NAME.fullmatch(name) is not None


def function_name() -> str:
    """Return the name of this function, which Lambda sets; empty if it does not run in Lambda."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")


def allows_colour(env: Mapping[str, str] = os.environ) -> bool:
    """Say whether the person at this terminal takes colours (https://no-color.org)."""
    if env.get("NO_COLOR"):
        return False
    return env.get("TERM") != "dumb"  # such a terminal shows the codes as text


def service_name() -> str:
    """Return the `service` dimension of the metrics. Powertools reads the same variable."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME") or "token-refresh"


def _value_of(name: str, default: Any, env: Mapping[str, str]) -> str | int | None:
    text = env.get(name.upper(), "").strip()
    if name.upper() not in env or (not text and name not in _MAY_BE_EMPTY):
        return default  # type: ignore[no-any-return]
    if name not in _NUMBERS:
        return text
    if not re.fullmatch("[0-9]{1,9}", text):
        return _NOT_A_NUMBER
    return int(text)


def _has_type_of(name: str, value: Any) -> bool:
    if name == "parameters":
        return isinstance(value, dict)
    if name in _NUMBERS:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)


def _type_of(name: str) -> str:
    if name == "parameters":
        return "an object"
    if name in _NUMBERS:
        return "a whole number"
    return "a text"


def _faults_of_the_environment(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _faults_of_the_secrets(values)
    if not values["token_url"] and not values["connections_prefix"]:
        yield "token_url", "is not set"
    together = values["acquire_timeout_seconds"] + values["write_reserve_seconds"]
    if together > MAX_ACQUIRE_AND_WRITE_SECONDS:
        yield (
            "acquire_timeout_seconds",
            f"and WRITE_RESERVE_SECONDS may be {MAX_ACQUIRE_AND_WRITE_SECONDS} together at most",
        )


def _faults_of_the_secrets(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the names: either both secrets of one connection, or the prefix of many."""
    prefix = values["connections_prefix"]
    credentials = values["credentials_secret_id"]
    token = values["token_secret_id"]
    if not prefix:
        if not credentials:
            yield "credentials_secret_id", "is not set"
        if not token:
            yield "token_secret_id", "is not set"
        if credentials and credentials == token:
            yield "token_secret_id", "must name another secret than CREDENTIALS_SECRET_ID"
        return
    if credentials or token:
        yield "connections_prefix", "does not go with CREDENTIALS_SECRET_ID or TOKEN_SECRET_ID: set one or the other"
    if not prefix.endswith("/"):
        yield "connections_prefix", "must end with a slash, such as tango/"
    if not _SECRET_NAME.fullmatch(prefix) or len(prefix) > MAX_PREFIX_CHARACTERS:
        yield "connections_prefix", f"may have {MAX_PREFIX_CHARACTERS} letters, digits and /_+=.@- at most"


def _faults(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each setting that can't be right, and why. Never a value: a URL can hold a password."""
    for name in ("token_url", "probe_url"):
        for fault in _url_faults(values[name]):
            yield name, fault
    for name, value in values.items():
        if isinstance(value, str) and name != "parameters":
            for fault in _text_faults(value):
                yield name, fault
    if values["client_auth"] not in {"client_secret_post", "client_secret_basic"}:
        yield "client_auth", "must be client_secret_post or client_secret_basic"
    for fault in _parameter_faults(values["parameters"]):
        yield "parameters", fault
    yield from _number_faults(values)


def _is_too_long(text: str) -> bool:
    return len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES


def _text_faults(text: str) -> Iterator[str]:
    if _is_too_long(text):
        yield f"may be {MAX_TEXT_BYTES} bytes at most"
    if text != text.strip():
        yield "has white space at an end"
    if not text.isprintable():
        yield "has a character that can't be printed"


def _number_faults(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if not isinstance(value, int):
            continue
        smallest = 0 if name in _MAY_BE_ZERO else 1
        if not smallest <= value <= MAX_SECONDS:
            yield name, f"must be a whole number of seconds from {smallest} to {MAX_SECONDS}"


def _parameter_faults(text: str) -> Iterator[str]:
    if not text:
        return
    if _is_too_long(text):
        yield f"may be {MAX_TEXT_BYTES} bytes at most"
    try:
        parameters = json.loads(text)
    except (ValueError, RecursionError):
        parameters = None
    if not isinstance(parameters, dict):
        yield "must be a JSON object of texts"
        return
    for name, value in parameters.items():
        shown = ascii(name[:MAX_KEY_CHARACTERS])
        if name in _OWN_FIELDS:
            yield f"must not have {shown}, which is sent already"
        if not isinstance(value, str) or not value.isprintable() or not name.isprintable():
            yield f"must have a printable text for {shown}"


def _in_order(parameters: str) -> str:
    """Return the same JSON object with its keys in order, so that their order is no other request."""
    if not parameters:
        return ""
    fields_given = json.loads(parameters)
    if not fields_given:
        return ""
    return json.dumps(fields_given, sort_keys=True)


def _url_faults(url: str) -> Iterator[str]:
    if not url:
        return
    try:
        parts = urlsplit(url)
        is_safe = _is_https_or_loopback(parts)
    except ValueError:  # a port that is not a number, or an IPv6 address that is not closed
        yield _NOT_HTTPS
        return
    if not is_safe or not url.isprintable():
        yield _NOT_HTTPS
    if "@" in parts.netloc:
        yield "must not carry user info"
    if parts.fragment:
        yield "must not carry a fragment"


def is_loopback(host: str) -> bool:
    """Say whether the host of a URL is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _is_https_or_loopback(parts: SplitResult) -> bool:
    """Raise ValueError if the port is not a number."""
    host = parts.hostname or ""
    _ = parts.port  # urlsplit checks the port only when it is read
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    is_host = re.fullmatch("[A-Za-z0-9._-]+|[0-9a-fA-F:.]+", host)
    return is_safe and is_host is not None
