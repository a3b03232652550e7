"""Read the access token from its secret: cached, for any number of threads, and through an outage of Secrets Manager.

This file works alone too: a service can copy it. `for_requests` and `for_httpx` beside it send the token.
"""

import asyncio
import copy
import json
import logging
import os
import re
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
ARN = re.compile(r"arn:[^:]+:secretsmanager:([^:]+):\d{12}:secret:.+")
# What to do about an error of AWS or botocore.
ADVICE = {
    "NoRegionError": "give the secret's ARN, or set AWS_DEFAULT_REGION",
    "InvalidRegionError": "check AWS_DEFAULT_REGION, or the region in the ARN",
    "NoCredentialsError": "give the process AWS credentials: a role, AWS_PROFILE, or the variables AWS_ACCESS_KEY_ID …",
    "ProfileNotFound": "this machine has no such profile: check AWS_PROFILE",
    "UnauthorizedSSOTokenError": "log in again: aws sso login",
    "ExpiredTokenException": "the AWS credentials have expired: renew them",
    "UnrecognizedClientException": "AWS does not know the credentials: check them",
    "AccessDeniedException": "attach the stack's ConsumerPolicyArn to the role; a key of your own: kms:Decrypt too",
    "EndpointConnectionError": "there is no way to Secrets Manager: check the network, and the region",
    "ConnectTimeoutError": "there is no way to Secrets Manager: check the network, and its VPC endpoint",
}


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
    refused. It needs `secretsmanager:GetSecretValue`, by the stage AWSCURRENT. ValueError: an id is none.
    """

    def __init__(
        self,
        *secret_ids: str,
        token_url: str | None = None,
        ttl: float = TTL_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not secret_ids or not all(secret_ids):
            raise ValueError("name the token secret")
        for secret_id in secret_ids:
            if secret_id.startswith("arn:") and not ARN.fullmatch(secret_id):
                raise ValueError(f"{secret_id} is no arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME")
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
            why = self._failure or "there is no newer one; ask the keeper's operators"
            raise TokenExpired(f"the token in {' or '.join(self._secret_ids)} ended at {_utc(held.ends)}: {why}")
        raise copy.copy(self._failure) if self._failure else NoToken("no token has been read yet")

    def _read(self) -> None:
        """Read the secret into the cache; a read that fails leaves there what still lives, for a while unread."""
        self.reads += 1
        held, failures = self._held, list[TokenError]()
        for number, secret_id in enumerate(self._secret_ids):
            try:
                text, ends = self._parse(secret_id, self._fetch(secret_id))
            except TokenError as error:
                failures.append(error)
            else:
                # A replica that is behind must not bring an older token back, unless the API refused the newer one.
                is_behind = number and ends < held.ends and held.text != self._refused
                if is_behind:
                    text, ends = held.text, held.ends
                self._held, failures = _Held(text, self._now() + self._ttl, ends), []
                break
        # Made anew: a traceback would keep the token's frames.
        self._failure = type(failures[0])("; ".join(map(str, failures))) if failures else None
        now = self._now()
        if failures and now < held.ends:
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
                check = "check the id, the region and the account, or the keeper has not run yet"
                where = client.meta.region_name
                raise NoToken(f"{secret_id} is missing in {where}, or has no value yet: {check}") from None
            raise _unreadable(secret_id, code) from None
        except Exception as error:  # noqa: BLE001 - botocore's own, of the network and of credentials
            raise _unreadable(secret_id, type(error).__name__) from None
        return text

    def _parse(self, secret_id: str, text: str) -> tuple[str, float]:
        document: Any = None
        with suppress(ValueError, RecursionError):
            document = json.loads(text)
        if not isinstance(document, dict) or "access_token" not in document:
            raise SecretUnreadable(f"{secret_id} is no token document: is it the stack's TokenSecretArn?")
        token, ends = document["access_token"], document.get("expires_at")
        if token is None:
            raise NoToken(f"no token has been issued yet: {secret_id} holds the seed; ask the keeper's operators")
        is_sendable = isinstance(token, str) and token.isascii() and token.isprintable() and token.strip()
        if not is_sendable or not isinstance(ends, int | float) or not 0 <= ends < LATEST:
            raise SecretUnreadable(f"{secret_id} is no token document: is it the stack's TokenSecretArn?")
        if self._token_url and document.get("token_url") != self._token_url:
            came_from = document.get("token_url")
            raise WrongEnvironment(f"{secret_id}: its token comes from {came_from}, expected is {self._token_url}")
        return token, ends


def require_https(scheme: str, host: str | None) -> None:
    """Raise ValueError where the token would go in clear to anybody but this machine."""
    if scheme != "https" and host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("the token is sent over https only")


def _unreadable(secret_id: str, code: str) -> SecretUnreadable:
    advice = f": {ADVICE[code]}" if code in ADVICE else ""
    return SecretUnreadable(f"{secret_id} can't be read: {code}{advice}")


def _connect(secret_id: str) -> Any:
    """Return a client for the region of an ARN, or for the usual one."""
    import boto3
    from botocore.config import Config

    # At DEBUG botocore logs what it reads, token and all. This holds for the whole process, and for good: a level of
    # its own is not undone where the root logger is set to DEBUG later.
    log = logging.getLogger("botocore")
    if log.level < logging.INFO:
        log.setLevel(max(logging.INFO, log.getEffectiveLevel()))
    arn = ARN.fullmatch(secret_id)
    region = arn[1] if arn else None
    return boto3.client("secretsmanager", region_name=region, config=Config(**CLIENT_CONFIG))


def _utc(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_readers: "weakref.WeakSet[TokenReader]" = weakref.WeakSet()


def _begin_anew() -> None:
    for reader in _readers:
        reader.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
