"""The environment as one frozen, validated value; nothing else reads it."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from handler.errors import ConfigurationError

# Ten years: beyond it a figure is a slip of the hand (milliseconds, say), and far below what a date can hold.
LONGEST_SECONDS = 315_360_000
# Lambda ends a run after 900 s; a minute is left for the reads around both.
LONGEST_ACQUIRE_AND_WRITE_SECONDS = 840
MAY_BE_ZERO = {"limit_interval_seconds", "limit_margin_seconds", "standby_below_seconds", "consumer_cache_seconds"}


@dataclass(frozen=True, slots=True)
class Settings:
    """One field a variable, named as it is in the environment but for the case; an empty text is off or left out."""

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
        """Raise ConfigurationError with all problems in one message, without values: a URL can hold a password."""
        values: dict[str, Any] = {}
        for name, default in ((one.name, one.default) for one in fields(cls)):
            text = env.get(name.upper(), str(default)).strip()
            if name not in {"audience", "scope"}:  # where empty is a choice: the field is left out of the request
                text = text or str(default)
            is_number = isinstance(default, int)
            values[name] = text if not is_number else int(text) if re.fullmatch("[0-9]{1,9}", text) else -1
        problems = "; ".join(_problems(values))
        if problems:
            raise ConfigurationError(f"environment: {problems}")
        return cls(**values)


def service_name() -> str:
    """Return the `service` dimension of the metrics; Powertools reads the same variable."""
    return os.environ.get("POWERTOOLS_SERVICE_NAME") or "token-refresh"


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    for name in ("credentials_secret_id", "token_secret_id", "token_url"):
        if not values[name]:
            yield f"{name.upper()} is not set"
    if values["credentials_secret_id"] == values["token_secret_id"] != "":
        yield "TOKEN_SECRET_ID must name another secret than CREDENTIALS_SECRET_ID"
    yield from (f"TOKEN_URL {fault}" for fault in _url_faults(values["token_url"], query_allowed=False))
    yield from (f"PROBE_URL {fault}" for fault in _url_faults(values["probe_url"], query_allowed=True))
    if values["client_auth"] not in {"client_secret_post", "client_secret_basic"}:
        yield "CLIENT_AUTH must be client_secret_post or client_secret_basic"
    for name, value in values.items():
        smallest = 0 if name in MAY_BE_ZERO else 1
        if isinstance(value, int) and not smallest <= value <= LONGEST_SECONDS:
            yield f"{name.upper()} must be a whole number of seconds from {smallest} to {LONGEST_SECONDS}"
    if values["acquire_timeout_seconds"] + values["write_reserve_seconds"] > LONGEST_ACQUIRE_AND_WRITE_SECONDS:
        most = LONGEST_ACQUIRE_AND_WRITE_SECONDS
        yield f"ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS may be {most} together at most"


def _url_faults(url: str, *, query_allowed: bool) -> Iterator[str]:
    if not url:
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port  # a port that is none raises only when it is asked for
        is_local = parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:  # also a host that is no address, which is all that http may name
        yield "must be an https URL (http is for a loopback host only)"
        return
    is_host = re.fullmatch("[A-Za-z0-9._-]+|[0-9a-fA-F:.]+", host)
    if not is_host or not (is_local or parts.scheme == "https") or not url.isprintable():
        yield "must be an https URL (http is for a loopback host only)"
    if "@" in parts.netloc:
        yield "must not carry user info"
    if parts.fragment or (parts.query and not query_allowed):
        yield "must not carry a query or a fragment"
