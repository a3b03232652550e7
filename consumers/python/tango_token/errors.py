"""Why there is no token to return. No message contains a token."""


class TokenError(Exception):
    """There is no token to return. The message says why, and never contains a token."""


class NoToken(TokenError):
    """No token has been issued yet: the secret is missing, has no value, or holds the keeper's first document."""


class TokenExpired(TokenError):
    """The secret holds an expired token. The keeper's alarms say why it has not been renewed."""


class TokenTooShort(TokenError):
    """The best token lasts less than `min_remaining`, only `remaining` seconds. `token()` still returns it."""

    def __init__(self, message: str, remaining: float) -> None:
        super().__init__(message, remaining)
        self.remaining = remaining

    def __str__(self) -> str:
        return str(self.args[0])


class WrongEnvironment(TokenError):
    """The token came from another `token_url` than the one that this service expects."""


class SecretUnreadable(TokenError):
    """Secrets Manager did not answer or refused, or the secret is not a token document; and no token was cached."""
