"""What `for_requests` and `for_httpx` share: where tokens come from, and where they may be sent."""

from typing import Protocol

REFUSED_STATUSES = frozenset({401})  # what most APIs answer if they do not accept a token


class TokenSource(Protocol):
    """Whatever has a token: a TokenReader, or in a service's own tests a `tango_token.testing.FixedToken`."""

    def token(self, min_remaining: float = 0.0) -> str:
        """Return a token that lasts more than `min_remaining` seconds, or raise TokenError."""

    async def token_async(self, min_remaining: float = 0.0) -> str:
        """Return the same as `token`, without blocking the event loop."""

    def replace(self, refused: str) -> str | None:
        """Return another token than the one that the API refused, or None if there is no other."""

    async def replace_async(self, refused: str) -> str | None:
        """Return the same as `replace`, without blocking the event loop."""


def require_https(scheme: str, host: str | None) -> None:
    """Raise ValueError if the token would leave this machine unencrypted."""
    if scheme != "https" and host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("the token is sent over https only")
