"""Read the access token from its secret: cached, for any number of threads, and through an outage of Secrets Manager.

This file works alone too: a service can copy it. `for_requests` and `for_httpx` beside it send the token.
"""

import asyncio
import copy
import json
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

TTL_SECONDS = 300.0
# Once in this time at most is the secret read anew because a read failed, a token is short or the API refused one.
PAUSE_SECONDS = 1.0
# A token that lives is served unread for so long after a read that failed: each try may take many seconds.
OUTAGE_SECONDS = 30.0
LATEST = 253_402_300_800  # the year 10000, which no date can say any more
# For boto3: a read is over within about 12 s, and mostly within one.
CLIENT_CONFIG = {"connect_timeout": 2, "read_timeout": 4, "retries": {"mode": "standard", "total_max_attempts": 2}}


class _Held(NamedTuple):
    """A token as it was read; its repr masks it, since a traceback with its locals may be printed."""

    text: str = ""
    fresh_until: float = 0.0  # used unread until then
    ends: float = 0.0

    def __repr__(self) -> str:
        return f"_Held(fresh_until={self.fresh_until}, ends={self.ends})"


class TokenError(Exception):
    """There is no token to give; the message says why, and never what it is."""


class NoToken(TokenError):
    """None has been issued yet: the secret is missing, without a value, or holds the seed."""


class TokenExpired(TokenError):
    """The secret holds one that has ended; the keeper's alarms say why it has not been renewed."""


class TokenTooShort(TokenError):
    """The best token there is has less than `min_remaining`: `remaining` seconds. `token()` returns it all the same."""

    def __init__(self, message: str, remaining: float) -> None:
        super().__init__(message)
        self.remaining = remaining


class WrongEnvironment(TokenError):
    """The token came from another `token_url` than this service expects."""


class SecretUnreadable(TokenError):
    """Secrets Manager did not answer or refused, or the secret is no token document; there was no cached token."""


class TokenReader:
    """Gives the token, read again every `ttl` seconds and once it has ended.

    `secret_ids`: the token secret, by name or ARN; any further ones are tried in turn where that can't be read, such as
    the ARN of its replica in another region. `token_url`: where the token must have come from, so that a sandbox's is
    refused. It needs `secretsmanager:GetSecretValue`, by the stage AWSCURRENT.
    """

    def __init__(
        self,
        *secret_ids: str,
        token_url: str | None = None,
        ttl: float = TTL_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not secret_ids:
            raise ValueError("name the token secret")
        self._secret_ids, self._token_url, self._ttl, self._now = secret_ids, token_url, ttl, now
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._held = _Held()
        self._failure: TokenError | None = None
        self._paused_until = 0.0
        self._refused, self._refused_until = "", 0.0
        self.reads = 0  # how often the secret was read
        _readers.add(self)

    def __repr__(self) -> str:
        return f"TokenReader({', '.join(map(repr, self._secret_ids))})"

    def token(self, min_remaining: float = 0.0) -> str:
        """Return a token with at least `min_remaining` seconds of life, any life where it is 0.

        Raises TokenTooShort where there is none so long, and another TokenError where there is none at all.
        """
        if text := self._fresh(min_remaining):
            return text
        held = self._held
        is_usable = self._now() + min_remaining < held.ends
        # Only one thread reads; who has a token that still lives does not wait for it.
        if self._lock.acquire(blocking=not is_usable):
            try:
                if self._held is held and self._is_over(self._paused_until):
                    self._read()
            finally:
                self._lock.release()
        return self._best(min_remaining)

    async def token_async(self, min_remaining: float = 0.0) -> str:
        """Return the same, from a thread where the secret has to be read, so that the event loop goes on.

        Before there is a first token, each waiting task takes a thread of asyncio's default executor: await one at
        start, before there are many.
        """
        return self._fresh(min_remaining) or await asyncio.to_thread(self.token, min_remaining)

    def _fresh(self, min_remaining: float) -> str:
        """Return the cached token if it can be used unread, else an empty text."""
        text, fresh_until, ends = self._held
        now = self._now()
        return text if now < fresh_until <= now + self._ttl and now + min_remaining < ends else ""

    def replace(self, refused: str) -> str | None:
        """Return another token than the one that the API refused, None where the secret has no other.

        However many threads are refused, the secret is read once for it, and at most once a second after that.
        """
        with self._lock:
            is_due = refused != self._refused or self._is_over(self._refused_until)
            if self._held.text in {refused, ""} and is_due:
                self._refused = refused
                self._read()
                self._refused_until = self._now() + PAUSE_SECONDS
            text, _, ends = self._held
            return text if text not in {refused, ""} and self._now() < ends else None

    def _is_over(self, until: float) -> bool:
        """Say whether a pause is over; one that is longer than any comes from a clock that was set back."""
        return not 0 < until - self._now() <= PAUSE_SECONDS

    def _best(self, min_remaining: float) -> str:
        held = self._held
        remaining = held.ends - self._now()
        if held.text and remaining > min_remaining:
            return held.text
        if held.text and remaining > 0:
            raise TokenTooShort(f"the token has {remaining:.0f} s left, and there is none better", remaining)
        if held.text:
            raise TokenExpired(f"the token ended at {_utc(held.ends)}: {self._failure or 'there is no newer one'}")
        raise copy.copy(self._failure) if self._failure else NoToken("no token has been read yet")

    def _read(self) -> None:
        """Read the secret into the cache; a read that fails leaves there what still lives, for a while unread."""
        self.reads += 1
        held, failure = self._held, None
        for number, secret_id in enumerate(self._secret_ids):
            try:
                text, ends = self._parse(self._fetch(secret_id))
            except TokenError as error:
                failure = failure or error.with_traceback(None)  # which would keep the token's frames
            else:
                # A replica that is behind must not bring an older token back, unless the API refused the newer one.
                is_behind = number and ends < held.ends and held.text != self._refused
                if is_behind:
                    text, ends = held.text, held.ends
                self._held, failure = _Held(text, self._now() + self._ttl, ends), None
                break
        self._failure, now = failure, self._now()
        if failure and now < held.ends:
            self._held = held._replace(fresh_until=now + min(OUTAGE_SECONDS, self._ttl))
        self._paused_until = now + PAUSE_SECONDS

    def begin_anew(self) -> None:
        """Forget what a forked child must not share: a lock that a thread of its parent may hold, and sockets."""
        self._lock, self._clients = threading.Lock(), {}

    def _fetch(self, secret_id: str) -> str:
        from botocore.exceptions import ClientError

        try:
            client = self._clients.get(secret_id) or self._clients.setdefault(secret_id, _connect(secret_id))
            text: str = client.get_secret_value(SecretId=secret_id, VersionStage="AWSCURRENT").get("SecretString", "")
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code == "ResourceNotFoundException":
                raise NoToken(f"{secret_id} is missing, or has no value yet") from None
            raise SecretUnreadable(f"{secret_id} can't be read: {code}") from None
        except Exception as error:  # noqa: BLE001 - botocore's own, of the network and of credentials
            raise SecretUnreadable(f"{secret_id} can't be read: {type(error).__name__}") from None
        return text

    def _parse(self, text: str) -> tuple[str, float]:
        document: Any = None
        with suppress(ValueError, RecursionError):
            document = json.loads(text)
        if not isinstance(document, dict) or "access_token" not in document:
            raise SecretUnreadable("the secret is no token document")
        token, ends = document["access_token"], document.get("expires_at")
        if token is None:
            raise NoToken("no token has been issued yet: the secret holds the seed")
        is_sendable = isinstance(token, str) and token.isascii() and token.isprintable() and token.strip()
        if not is_sendable or not isinstance(ends, int | float) or not 0 <= ends < LATEST:
            raise SecretUnreadable("the secret is no token document")
        if self._token_url and document.get("token_url") != self._token_url:
            raise WrongEnvironment(f"the token comes from {document.get('token_url')}, expected is {self._token_url}")
        return token, ends


def require_https(scheme: str, host: str | None) -> None:
    """Raise ValueError where the token would go in clear to anybody but this machine."""
    if scheme != "https" and host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("the token is sent over https only")


def _connect(secret_id: str) -> Any:
    """Return a client for the region of an ARN, or for the usual one."""
    import boto3
    from botocore.config import Config

    region = secret_id.split(":")[3] if secret_id.startswith("arn:") else None
    return boto3.client("secretsmanager", region_name=region, config=Config(**CLIENT_CONFIG))


def _utc(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_readers: "weakref.WeakSet[TokenReader]" = weakref.WeakSet()


def _begin_anew() -> None:
    for reader in _readers:
        reader.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
