"""The token from a cache, for any number of threads, and through an outage of AWS."""

import asyncio
import contextvars
import copy
import dataclasses
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from . import secret
from .errors import NoToken, TokenError, TokenExpired, TokenTooShort
from .secret import ARN, Secrets, TokenDocument
from .settings import check_seconds, check_ttl

TTL_SECONDS = 300.0
# A read that failed, a short token or a refused one leads to another read, but not more often than this.
PAUSE_SECONDS = 1.0
# After a failed read, a token that is still alive is used for this long without another read: each can take many
# seconds.
OUTAGE_SECONDS = 30.0
log = logging.getLogger("tango_token")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _CachedToken:
    """A token and moments in Unix time. The repr hides the token, since a traceback may show local variables."""

    text: str = dataclasses.field(default="", repr=False)  # empty before the first token
    ends_at: float = 0.0
    # From one to the other the token is used without another read. `fresh_from` is in force if the clock is set back.
    fresh_from: float = 0.0
    fresh_until: float = 0.0  # at most `ends_at`


_readers: "weakref.WeakSet[TokenReader]" = weakref.WeakSet()


class TokenReader:
    """Returns the token from a cache, and reads the secret again after `ttl` seconds or if the token has expired.

    `secret_ids` are names or ARNs. The first is the token secret. The others, such as the ARN of a replica in another
    region, are tried in turn if the ones before can't be read. If `token_url` is given, the token must have come from
    there: this refuses a sandbox's token. The role needs `secretsmanager:GetSecretValue` by the stage AWSCURRENT.

    `session` is a boto3.Session, for another role or account than the process's own. The reader makes one client per
    region from it. Or `client` is a client for Secrets Manager, which reads all `secret_ids`; its timeouts are yours.
    A process that forks needs a session: the children would share the client's connections. `now` returns Unix time in
    seconds.

    Raises ValueError if there is no id, if an ARN is not one of a secret, if `ttl` is negative, infinite or NaN, or if
    both a session and a client are given; and TypeError if `ttl` is not a number.

    A reader can be pickled, for a process that is started by spawn or forkserver: its settings go there, and the
    process reads the secret itself. A reader with a client or session raises TypeError then, since these stay here.
    """

    def __init__(
        self,
        *secret_ids: str,
        token_url: str | None = None,
        ttl: float = TTL_SECONDS,
        now: Callable[[], float] = time.time,
        client: Any = None,
        session: Any = None,
    ) -> None:
        _check_ids(secret_ids)
        if client is not None and session is not None:
            raise ValueError("give a session or a client, not both")
        check_ttl(ttl)
        self._secret_ids = secret_ids
        self._token_url = token_url
        self._ttl = ttl
        self._now = now
        self._is_given_access = client is not None or session is not None
        self._secrets = Secrets(client=client, session=session)
        self._lock = threading.Lock()  # held while the secret is read
        self._start_helper()
        self._cached = _CachedToken()
        self._error: TokenError | None = None  # why the latest read failed
        self._reads_paused_until = 0.0
        self._refused_token = ""  # the latest token for which the API's refusal led to a read
        self._refusals_paused_until = 0.0
        self.reads = 0  # how often the secret was read
        _readers.add(self)

    def __repr__(self) -> str:
        return f"TokenReader({', '.join(map(repr, self._secret_ids))})"

    def __getstate__(self) -> dict[str, Any]:
        if self._is_given_access:
            advice = "make the reader, with its session, in the process that uses it"
            raise TypeError(f"a client or session of boto3 can't be sent to another process: {advice}")
        return {
            "secret_ids": self._secret_ids,
            "token_url": self._token_url,
            "ttl": self._ttl,
            "now": self._now,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        secret_ids = state.pop("secret_ids")
        self.__init__(*secret_ids, **state)  # type: ignore[misc]

    def token(self, min_remaining: float = 0.0) -> str:
        """Return a token that lasts more than `min_remaining` seconds.

        Raises TokenTooShort if the best token does not last that long, and another TokenError if there is no token.
        Raises ValueError if `min_remaining` is negative or NaN, and TypeError if it is not a number.
        """
        cached = self._cached
        # Every call of a service comes by here, so this is written to be fast.
        if min_remaining == 0.0 and cached.fresh_from <= self._now() < cached.fresh_until:
            return cached.text
        return self._token_with_life(min_remaining)

    async def token_async(self, min_remaining: float = 0.0) -> str:
        """Return the same as `token`. If the secret has to be read, a thread does it, and the event loop goes on.

        It is one thread of the reader's own, for any number of tasks and event loops.
        """
        check_seconds("min_remaining", min_remaining)
        cached = self._cached
        if self._is_fresh(cached, min_remaining):
            return cached.text
        if self._is_long_enough(cached, min_remaining) and self._is_being_read():
            return cached.text
        return await self._in_helper(self._token_with_life, min_remaining)

    def replace(self, refused: str) -> str | None:
        """Return another token than the one that the API refused, or None if the secret holds no other.

        If many threads are refused at once, the secret is read only once, and then at most once a second.
        """
        other = self._good_token_other_than(refused)
        if other:
            return other
        with self._lock:
            if not self._has_other_than(refused) and self._may_read_for(refused):
                self._read_for(refused)
        return self._good_token_other_than(refused)

    async def replace_async(self, refused: str) -> str | None:
        """Return the same as `replace`. If the secret has to be read, a thread does it, and the event loop goes on."""
        other = self._good_token_other_than(refused)
        if other:
            return other
        return await self._in_helper(self.replace, refused)

    def reset_after_fork(self) -> None:
        """Drop what a forked child must not share: sockets, threads, and a lock that may be held in its parent."""
        self._lock = threading.Lock()
        self._start_helper()
        self._secrets.drop_clients()

    def _start_helper(self) -> None:
        """Make the executor that waits for tasks. One thread is enough, since all of them wait for the same lock.

        asyncio's default executor must stay free: the process resolves names with it. The thread starts with the
        first job.
        """
        self._helper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tango_token")
        self._latest_job: Future[Any] | None = None

    async def _in_helper(self, act: Callable[[Any], T], argument: object) -> T:
        context = contextvars.copy_context()  # for the log, as asyncio.to_thread does
        job = self._helper.submit(context.run, act, argument)
        self._latest_job = job
        return await asyncio.wrap_future(job)

    def _is_being_read(self) -> bool:
        """Return whether a thread reads the secret, or the helper is about to."""
        # The lock alone would miss a job that has not begun. The latest job alone would miss one before it, if the
        # latest was cancelled.
        job = self._latest_job
        is_helper_busy = job is not None and not job.done()
        return is_helper_busy or self._lock.locked()

    def _token_with_life(self, min_remaining: float) -> str:
        check_seconds("min_remaining", min_remaining)
        cached = self._cached
        if self._is_fresh(cached, min_remaining):
            return cached.text
        is_long_enough = self._is_long_enough(cached, min_remaining)
        # Only one thread reads at a time. The others wait for it only if the cached token is of no use to them.
        if self._lock.acquire(blocking=not is_long_enough):
            try:
                has_changed = self._cached is not cached  # another thread has read in the meantime
                if not has_changed and self._is_over(self._reads_paused_until):
                    self._read()
            finally:
                self._lock.release()
        return self._best_token(min_remaining)

    def _is_fresh(self, cached: _CachedToken, min_remaining: float) -> bool:
        """Return whether this token is used without another read."""
        is_in_window = cached.fresh_from <= self._now() < cached.fresh_until
        return is_in_window and self._is_long_enough(cached, min_remaining)

    def _is_long_enough(self, cached: _CachedToken, min_remaining: float) -> bool:
        return self._now() + min_remaining < cached.ends_at

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
        raise TokenExpired(self._why_expired(cached))

    def _why_expired(self, cached: _CachedToken) -> str:
        secrets = " or ".join(self._secret_ids)
        reason = self._error or "there is no newer one; ask the keeper's operators"
        return f"the token in {secrets} ended at {_utc(cached.ends_at)}: {reason}"

    def _is_over(self, paused_until: float) -> bool:
        remaining = paused_until - self._now()
        was_set_back = remaining > PAUSE_SECONDS  # the clock: no pause is that long
        return remaining <= 0 or was_set_back

    def _has_other_than(self, refused: str) -> bool:
        return self._cached.text not in {refused, ""}

    def _good_token_other_than(self, refused: str) -> str | None:
        """Return the cached token if it is another one that has not ended. This needs no lock."""
        cached = self._cached
        if cached.text in {refused, ""} or self._now() >= cached.ends_at:
            return None
        return cached.text

    def _may_read_for(self, refused: str) -> bool:
        return refused != self._refused_token or self._is_over(self._refusals_paused_until)

    def _read_for(self, refused: str) -> None:
        """Read the secret because the API has refused the token."""
        self._refused_token = refused
        self._read()
        self._refusals_paused_until = self._now() + PAUSE_SECONDS
        if self._has_other_than(refused):
            log.info("the API refused the token; the secret has another, which is used from now on")
        elif not self._error:
            log.warning("the API refused the token, and the secret has no other; ask the keeper's operators")

    def _read(self) -> None:
        """Read the secret into the cache. If that fails, a cached token that is still alive is used for a while."""
        self.reads += 1
        errors = self._try_each_secret()
        now = self._now()
        self._reads_paused_until = now + PAUSE_SECONDS
        self._error = _combined(errors)
        cached = self._cached
        is_alive = now < cached.ends_at
        if errors and is_alive:
            window = min(OUTAGE_SECONDS, self._ttl)
            self._cached = self._fresh_for(window, cached.text, cached.ends_at)
            log.warning("the cached token is used on, until %s at the latest: %s", _utc(cached.ends_at), self._error)
        elif errors and cached.text:
            log.error("%s", self._why_expired(cached))
        elif errors:
            log.error("there is no token: %s", self._error)
        elif not is_alive:
            log.error("%s", self._why_expired(cached))

    def _try_each_secret(self) -> list[TokenError]:
        """Cache the token of the first secret that can be read. Return one error per secret if none can be read."""
        errors: list[TokenError] = []
        for secret_id in self._secret_ids:
            try:
                found = self._secrets.read(secret_id, self._token_url)
            except TokenError as error:
                errors.append(error)
                continue
            is_replica = bool(errors)
            if is_replica:
                log.warning("%s is read instead: %s", secret_id, _combined(errors))
            self._cache(found, is_replica=is_replica)
            return []
        return errors

    def _cache(self, found: TokenDocument, *, is_replica: bool) -> None:
        cached = self._cached
        is_older = found.ends_at < cached.ends_at
        was_refused = cached.text == self._refused_token
        # A replica that lags behind must not bring back an older token, unless the API refused the newer one.
        if is_replica and is_older and not was_refused:
            self._cached = self._fresh_for(self._ttl, cached.text, cached.ends_at)
        else:
            self._cached = self._fresh_for(self._ttl, found.token, found.ends_at)

    def _fresh_for(self, seconds: float, text: str, ends_at: float) -> _CachedToken:
        """Return a token that is used for so long without another read, but never beyond its end."""
        fresh_until = self._now() + seconds
        return _CachedToken(
            text=text,
            ends_at=ends_at,
            fresh_from=fresh_until - self._ttl,
            fresh_until=min(fresh_until, ends_at),
        )


def _check_ids(secret_ids: tuple[str, ...]) -> None:
    if not secret_ids or not all(secret_ids):
        raise ValueError("name the token secret")
    for secret_id in secret_ids:
        if secret_id.startswith("arn:") and not ARN.fullmatch(secret_id):
            form = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
            raise ValueError(f"{secret_id} is not of the form {form}")


def _combined(errors: list[TokenError]) -> TokenError | None:
    """Return one new error with all messages: the tracebacks of the old ones lead to the token."""
    if not errors:
        return None
    message = "; ".join(str(error) for error in errors)
    return type(errors[0])(message)


def _utc(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reset_after_fork() -> None:
    secret.reset_after_fork()
    for reader in _readers:
        reader.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
