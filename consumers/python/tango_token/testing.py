"""A double of the reader, for the tests of a service that calls the API. It needs no AWS and no boto3."""

from .errors import NoToken, TokenError, TokenTooShort
from .sending import TokenSource
from .settings import check_seconds

__all__ = ["FixedToken", "TokenSource"]


class FixedToken:
    """Returns the first of `tokens`, and the next one after the API has refused it. `refused` lists the refusals.

    `remaining` is how many seconds every token lasts: TokenTooShort is raised if more are asked for. If `error` is
    given, it is raised in place of a token. Without tokens NoToken is raised.

    It is a TokenSource, as a TokenReader is: a function that is to be tested takes a TokenSource.
    """

    def __init__(self, *tokens: str, remaining: float = 86_400.0, error: TokenError | None = None) -> None:
        self.refused: list[str] = []
        self.remaining = remaining
        self.error = error
        self._tokens = list(tokens)

    def __repr__(self) -> str:
        return f"FixedToken({len(self._tokens)} tokens)"

    def token(self, min_remaining: float = 0.0) -> str:
        check_seconds("min_remaining", min_remaining)
        if self.error:
            raise self.error
        if not self._tokens:
            raise NoToken("this FixedToken was given no token")
        if self.remaining <= min_remaining:
            message = f"the token has {self.remaining:.0f} s left, and there is no better one"
            raise TokenTooShort(message, self.remaining)
        return self._tokens[0]

    async def token_async(self, min_remaining: float = 0.0) -> str:
        return self.token(min_remaining)

    def replace(self, refused: str) -> str | None:
        self.refused.append(refused)
        has_next = len(self._tokens) > 1
        if has_next and self._tokens[0] == refused:
            del self._tokens[0]
        if not self._tokens or self._tokens[0] == refused:
            return None
        return self._tokens[0]

    async def replace_async(self, refused: str) -> str | None:
        return self.replace(refused)
