"""The environment as one frozen, validated value. Nothing else reads the environment."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import SplitResult, urlsplit

from handler.errors import ConfigurationError

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

_REQUIRED = ("credentials_secret_id", "token_secret_id", "token_url")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field per variable, in lower case. Durations are in seconds.

    An empty text switches a feature off, or leaves the field out of the token request.
    """

    credentials_secret_id: str = ""
    token_secret_id: str = ""
    token_url: str = ""
    audience: str = "https://api.tangocard.com/"
    scope: str = "raas.all"
    client_auth: str = "client_secret_post"
    probe_url: str = ""
    event_bus_name: str = ""
    refresh_window_seconds: int = 14_400
    limit_interval_seconds: int = 72_000
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
        for field in fields(cls):
            values[field.name] = _value_of(field.name, field.default, env)
        problems = "; ".join(_problems(values))
        if problems:
            raise ConfigurationError(f"environment: {problems}")
        return cls(**values)

    @property
    def slot_seconds(self) -> int:
        """How long a client's slot stays closed after a token: the vendor's interval and our margin."""
        return self.limit_interval_seconds + self.limit_margin_seconds

    @property
    def max_believed_closed_seconds(self) -> int:
        """How far ahead the end of a closed slot can be true, whichever machine's clock wrote it."""
        longest_spent = self.limit_interval_seconds + 2 * self.clock_margin_seconds
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


def service_name() -> str:
    """Return the `service` dimension of the metrics. Powertools reads the same variable."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME") or "token-refresh"


def _value_of(name: str, default: Any, env: Mapping[str, str]) -> str | int:
    text = env.get(name.upper(), str(default)).strip()
    if not text and name not in _MAY_BE_EMPTY:
        text = str(default)
    if not isinstance(default, int):
        return text
    if not re.fullmatch("[0-9]{1,9}", text):
        return _NOT_A_NUMBER
    return int(text)


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    for name in _REQUIRED:
        if not values[name]:
            yield f"{name.upper()} is not set"
    if values["credentials_secret_id"] and values["credentials_secret_id"] == values["token_secret_id"]:
        yield "TOKEN_SECRET_ID must name another secret than CREDENTIALS_SECRET_ID"
    for fault in _url_faults(values["token_url"], query_allowed=False):
        yield f"TOKEN_URL {fault}"
    for fault in _url_faults(values["probe_url"], query_allowed=True):
        yield f"PROBE_URL {fault}"
    for name, value in values.items():
        if isinstance(value, str) and len(value.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
            yield f"{name.upper()} may be {MAX_TEXT_BYTES} bytes at most"
    if values["client_auth"] not in {"client_secret_post", "client_secret_basic"}:
        yield "CLIENT_AUTH must be client_secret_post or client_secret_basic"
    yield from _number_faults(values)


def _number_faults(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if not isinstance(value, int):
            continue
        smallest = 0 if name in _MAY_BE_ZERO else 1
        if not smallest <= value <= MAX_SECONDS:
            yield f"{name.upper()} must be a whole number of seconds from {smallest} to {MAX_SECONDS}"
    together = values["acquire_timeout_seconds"] + values["write_reserve_seconds"]
    if together > MAX_ACQUIRE_AND_WRITE_SECONDS:
        yield (
            f"ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS may be {MAX_ACQUIRE_AND_WRITE_SECONDS} together at most"
        )


def _url_faults(url: str, *, query_allowed: bool) -> Iterator[str]:
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
    if parts.fragment or (parts.query and not query_allowed):
        yield "must not carry a query or a fragment"


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
