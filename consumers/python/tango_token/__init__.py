"""Read the access token from its secret: with a cache, for any number of threads, and through an outage of AWS.

This file works alone: a service may copy it. `for_requests` and `for_httpx`, next to it, send the token.
"""

import asyncio
import copy
import dataclasses
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
from typing import Any

TTL_SECONDS = 300.0
# A read that failed, a short token or a refused one leads to another read, but not more often than this.
PAUSE_SECONDS = 1.0
# After a failed read, a token that is still alive is used for this long without another read: each can take many
# seconds.
OUTAGE_SECONDS = 30.0
REFUSED_STATUSES = frozenset({401})  # what most APIs answer if they do not accept a token
YEAR_10000 = 253_402_300_800  # Unix time; a datetime can't be as late
# For boto3: a read ends within about 12 s, and usually within one.
CLIENT_CONFIG = {
    "connect_timeout": 2,
    "read_timeout": 4,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}
ARN = re.compile(r"arn:[^:]+:secretsmanager:([^:]+):\d{12}:secret:.+")
# What to do about an error of AWS or botocore.
ADVICE = {
    "NoRegionError": "give the secret's ARN, or set AWS_DEFAULT_REGION",
    "InvalidRegionError": "check AWS_DEFAULT_REGION, or the region in the ARN",
    "NoCredentialsError": (
        "give the process AWS credentials: a role, AWS_PROFILE, or the variables AWS_ACCESS_KEY_ID …"
    ),
    "ProfileNotFound": "this machine has no such profile: check AWS_PROFILE",
    "UnauthorizedSSOTokenError": "log in again: aws sso login",
    "ExpiredTokenException": "the AWS credentials have expired: renew them",
    "UnrecognizedClientException": "AWS does not know the credentials: check them",
    "AccessDeniedException": (
        "attach the stack's ConsumerPolicyArn to the role, and allow kms:Decrypt if the secret has a key of your own"
    ),
    "EndpointConnectionError": "Secrets Manager can't be reached: check the network and the region",
    "ConnectTimeoutError": "Secrets Manager can't be reached: check the network and its VPC endpoint",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _CachedToken:
    """A token and two moments in Unix time. The repr hides the token, since a traceback may show local variables."""

    text: str = dataclasses.field(default="", repr=False)  # empty before the first token
    fresh_until: float = 0.0  # until then the token is used without another read
    ends_at: float = 0.0


class TokenError(Exception):
    """There is no token to return. The message says why, and never contains a token."""


class NoToken(TokenError):
    """No token has been issued yet: the secret is missing, has no value, or holds the keeper's first document."""


class TokenExpired(TokenError):
    """The secret holds an expired token. The keeper's alarms say why it has not been renewed."""


class TokenTooShort(TokenError):
    """The best token lasts less than `min_remaining`, only `remaining` seconds. `token()` still returns it."""

    def __init__(self, message: str, remaining: float) -> None:
        super().__init__(message)
        self.remaining = remaining


class WrongEnvironment(TokenError):
    """The token came from another `token_url` than the one that this service expects."""


class SecretUnreadable(TokenError):
    """Secrets Manager did not answer or refused, or the secret is not a token document; and no token was cached."""


_readers: "weakref.WeakSet[TokenReader]" = weakref.WeakSet()


class TokenReader:
    """Returns the token from a cache, and reads the secret again after `ttl` seconds or if the token has expired.

    `secret_ids` are names or ARNs. The first is the token secret. The others, such as the ARN of a replica in another
    region, are tried in turn if the ones before can't be read. If `token_url` is given, the token must have come from
    there: this refuses a sandbox's token. The role needs `secretsmanager:GetSecretValue` by the stage AWSCURRENT.

    Raises ValueError if there is no id, or if an ARN is not one of a secret.
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
                form = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
                raise ValueError(f"{secret_id} is not of the form {form}")
        self._secret_ids = secret_ids
        self._token_url = token_url
        self._ttl = ttl
        self._now = now
        self._clients: dict[str, Any] = {}  # by secret id
        self._lock = threading.Lock()  # held while the secret is read
        self._cached = _CachedToken()
        self._error: TokenError | None = None  # why the latest read failed
        self._reads_paused_until = 0.0
        self._refused_token = ""  # the latest token for which the API's refusal led to a read
        self._refusals_paused_until = 0.0
        self.reads = 0  # how often the secret was read
        _readers.add(self)

    def __repr__(self) -> str:
        return f"TokenReader({', '.join(map(repr, self._secret_ids))})"

    def token(self, min_remaining: float = 0.0) -> str:
        """Return a token that lasts more than `min_remaining` seconds.

        Raises TokenTooShort if the best token does not last that long, and another TokenError if there is no token.
        """
        fresh = self._fresh_token(min_remaining)
        if fresh:
            return fresh
        cached = self._cached
        is_long_enough = self._now() + min_remaining < cached.ends_at
        # Only one thread reads at a time. The others wait for it only if the cached token is of no use to them.
        if self._lock.acquire(blocking=not is_long_enough):
            try:
                has_changed = self._cached is not cached  # another thread has read in the meantime
                if not has_changed and self._is_over(self._reads_paused_until):
                    self._read()
            finally:
                self._lock.release()
        return self._best_token(min_remaining)

    async def token_async(self, min_remaining: float = 0.0) -> str:
        """Return the same as `token`. If the secret has to be read, a thread does it, and the event loop goes on.

        Before the first token is cached, each waiting task occupies a thread of asyncio's default executor. So await
        one token at the start of the process, before there are many tasks.
        """
        fresh = self._fresh_token(min_remaining)
        if fresh:
            return fresh
        return await asyncio.to_thread(self.token, min_remaining)

    def replace(self, refused: str) -> str | None:
        """Return another token than the one that the API refused, or None if the secret holds no other.

        If many threads are refused at once, the secret is read only once, and then at most once a second.
        """
        with self._lock:
            has_no_other = self._cached.text in {refused, ""}
            if has_no_other and self._may_read_for(refused):
                self._refused_token = refused
                self._read()
                self._refusals_paused_until = self._now() + PAUSE_SECONDS
            cached = self._cached
            if cached.text in {refused, ""}:
                return None
            if self._now() >= cached.ends_at:
                return None
            return cached.text

    def reset_after_fork(self) -> None:
        """Drop what a forked child must not share: sockets, and a lock that a thread of its parent may hold."""
        self._lock = threading.Lock()
        self._clients = {}

    def _fresh_token(self, min_remaining: float) -> str:
        """Return the cached token if no read is needed, otherwise an empty string."""
        cached = self._cached
        now = self._now()
        # If it is fresh for longer than `ttl`, the clock was set back.
        is_fresh = now < cached.fresh_until <= now + self._ttl
        is_long_enough = now + min_remaining < cached.ends_at
        if is_fresh and is_long_enough:
            return cached.text
        return ""

    def _best_token(self, min_remaining: float) -> str:
        """Return the cached token, or raise the error that explains why it will not do."""
        cached = self._cached
        if not cached.text and self._error:
            raise copy.copy(self._error)  # the same object would collect the traceback of every caller
        if not cached.text:
            raise NoToken("no token has been read yet")
        remaining = cached.ends_at - self._now()
        if remaining > min_remaining:
            return cached.text
        if remaining > 0:
            message = f"the token has {remaining:.0f} s left, and there is no better one"
            raise TokenTooShort(message, remaining)
        secrets = " or ".join(self._secret_ids)
        reason = self._error or "there is no newer one; ask the keeper's operators"
        raise TokenExpired(f"the token in {secrets} ended at {_utc(cached.ends_at)}: {reason}")

    def _is_over(self, paused_until: float) -> bool:
        remaining = paused_until - self._now()
        was_set_back = remaining > PAUSE_SECONDS  # the clock: no pause is that long
        return remaining <= 0 or was_set_back

    def _may_read_for(self, refused: str) -> bool:
        return refused != self._refused_token or self._is_over(self._refusals_paused_until)

    def _read(self) -> None:
        """Read the secret into the cache. If that fails, a cached token that is still alive is used for a while."""
        self.reads += 1
        errors = self._try_each_secret()
        now = self._now()
        self._reads_paused_until = now + PAUSE_SECONDS
        self._error = _combined(errors)
        if errors and now < self._cached.ends_at:
            fresh_until = now + min(OUTAGE_SECONDS, self._ttl)
            self._cached = dataclasses.replace(self._cached, fresh_until=fresh_until)

    def _try_each_secret(self) -> list[TokenError]:
        """Cache the token of the first secret that can be read. Return one error per secret if none can be read."""
        errors: list[TokenError] = []
        for position, secret_id in enumerate(self._secret_ids):
            try:
                text, ends_at = self._parse(secret_id, self._fetch(secret_id))
            except TokenError as error:
                errors.append(error)
                continue
            cached = self._cached
            is_replica = position > 0
            is_older = ends_at < cached.ends_at
            was_refused = cached.text == self._refused_token
            # A replica that lags behind must not bring back an older token, unless the API refused the newer one.
            if is_replica and is_older and not was_refused:
                text = cached.text
                ends_at = cached.ends_at
            fresh_until = self._now() + self._ttl
            self._cached = _CachedToken(text=text, fresh_until=fresh_until, ends_at=ends_at)
            return []
        return errors

    def _fetch(self, secret_id: str) -> str:
        """Return the secret's text, which is empty if the secret is binary."""
        from botocore.exceptions import ClientError

        try:
            client = self._client_for(secret_id)
            response = client.get_secret_value(SecretId=secret_id, VersionStage="AWSCURRENT")
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code == "ResourceNotFoundException":
                region = client.meta.region_name
                problem = f"{secret_id} is missing in {region}, or has no value yet"
                advice = "check the id, the region and the account; or the keeper has not run yet"
                raise NoToken(f"{problem}: {advice}") from None
            raise _unreadable(secret_id, code) from None
        except Exception as error:  # noqa: BLE001 - botocore has many, for the network and for credentials
            raise _unreadable(secret_id, type(error).__name__) from None
        text: str = response.get("SecretString", "")
        return text

    def _client_for(self, secret_id: str) -> Any:
        if secret_id not in self._clients:
            self._clients[secret_id] = _connect(secret_id)
        return self._clients[secret_id]

    def _parse(self, secret_id: str, text: str) -> tuple[str, float]:
        """Return the token and when it ends, in Unix time."""
        document: Any = None
        with suppress(ValueError, RecursionError):
            document = json.loads(text)
        if not isinstance(document, dict) or "access_token" not in document:
            raise _not_a_token_document(secret_id)
        token = document["access_token"]
        if token is None:
            problem = f"no token has been issued yet: {secret_id} holds the seed"
            raise NoToken(f"{problem}; ask the keeper's operators")
        ends_at = document.get("expires_at")
        is_number = isinstance(ends_at, int | float) and not isinstance(ends_at, bool)
        if not is_number or not 0 <= ends_at < YEAR_10000:
            raise _not_a_token_document(secret_id)
        if not isinstance(token, str) or not _is_sendable(token):
            raise _not_a_token_document(secret_id)
        token_url = document.get("token_url")
        if self._token_url and token_url != self._token_url:
            problem = f"{secret_id}: its token comes from {token_url}"
            raise WrongEnvironment(f"{problem}, expected is {self._token_url}")
        return token, ends_at


def require_https(scheme: str, host: str | None) -> None:
    """Raise ValueError if the token would leave this machine unencrypted."""
    if scheme != "https" and host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("the token is sent over https only")


def _is_sendable(token: str) -> bool:
    """Return whether a header can hold the token. An HTTP client that can't send it would show it in its error."""
    return token.isascii() and token.isprintable() and bool(token.strip())


def _combined(errors: list[TokenError]) -> TokenError | None:
    """Return one new error with all messages: the tracebacks of the old ones lead to the token."""
    if not errors:
        return None
    message = "; ".join(str(error) for error in errors)
    return type(errors[0])(message)


def _unreadable(secret_id: str, code: str) -> SecretUnreadable:
    advice = f": {ADVICE[code]}" if code in ADVICE else ""
    return SecretUnreadable(f"{secret_id} can't be read: {code}{advice}")


def _not_a_token_document(secret_id: str) -> SecretUnreadable:
    return SecretUnreadable(f"{secret_id} is not a token document: is it the stack's TokenSecretArn?")


def _connect(secret_id: str) -> Any:
    """Return a client for the region of an ARN, or for the process's own region if the id is a name."""
    import boto3
    from botocore.config import Config

    # At DEBUG botocore logs what it reads, the token included. A level of its own stays in force if somebody sets the
    # root logger to DEBUG later. It applies to the whole process, and is never undone.
    log = logging.getLogger("botocore")
    if log.level < logging.INFO:
        log.setLevel(max(logging.INFO, log.getEffectiveLevel()))
    arn = ARN.fullmatch(secret_id)
    region = arn[1] if arn else None
    return boto3.client("secretsmanager", region_name=region, config=Config(**CLIENT_CONFIG))


def _utc(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reset_readers() -> None:
    for reader in _readers:
        reader.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_readers)
