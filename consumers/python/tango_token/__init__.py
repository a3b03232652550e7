"""Read the access token that tango-token-keeper keeps in AWS Secrets Manager.

The folder works alone: a service may copy it into a package of its own. `for_requests` and `for_httpx` send the token,
and `testing` has a double of the reader for a service's own tests.
"""

from .errors import NoToken, SecretUnreadable, TokenError, TokenExpired, TokenTooShort, WrongEnvironment
from .reader import TTL_SECONDS, TokenReader
from .sending import REFUSED_STATUSES, TokenSource, require_https

__version__ = "1.1.0"

__all__ = [
    "REFUSED_STATUSES",
    "TTL_SECONDS",
    "NoToken",
    "SecretUnreadable",
    "TokenError",
    "TokenExpired",
    "TokenReader",
    "TokenSource",
    "TokenTooShort",
    "WrongEnvironment",
    "__version__",
    "require_https",
]
