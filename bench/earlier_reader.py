"""How the reader of version 1.0.0 returned a cached token: the baseline of `python -m bench.consumer_reads`.

That version computed at each call what the present one computes when it reads the token. It is kept here, because only
two readers that take turns in one run can be compared: a figure of another run is of another machine or another load.
"""

from __future__ import annotations

import dataclasses
import time

TTL_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _CachedToken:
    text: str = dataclasses.field(repr=False)
    fresh_until: float
    ends_at: float


class EarlierReader:
    """Has one token in its cache, from now on for five minutes. It can't read a secret."""

    def __init__(self, token: str, ends_at: float) -> None:
        self._ttl = TTL_SECONDS
        self._now = time.time
        self._cached = _CachedToken(text=token, fresh_until=time.time() + TTL_SECONDS, ends_at=ends_at)

    def token(self, min_remaining: float = 0.0) -> str:
        fresh = self._fresh_token(min_remaining)
        if fresh:
            return fresh
        raise RuntimeError("the token in this baseline is five minutes old")

    def _fresh_token(self, min_remaining: float) -> str:
        cached = self._cached
        now = self._now()
        is_fresh = now < cached.fresh_until <= now + self._ttl
        is_long_enough = now + min_remaining < cached.ends_at
        if is_fresh and is_long_enough:
            return cached.text
        return ""
