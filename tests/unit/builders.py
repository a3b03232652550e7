"""Values with defaults for the unit tests: a fresh token of the primary, an empty ledger, the default settings."""

import os
from dataclasses import replace
from typing import Any

from hypothesis import settings as hypothesis_settings

from handler.model import Client, Credentials, Ledger, Lock, Token
from handler.policy import Request, Situation
from handler.settings import Settings

NOW = 1_800_000_000
HOUR, DAY = 3_600, 86_400
INTERVAL = 72_000 + 300  # from one token of a client to its next: the limit and the margin
WINDOW, STANDBY_BELOW = 14_400, 9_000
URL, OTHER_URL = "https://auth.example/oauth/token", "https://sandbox-auth.example/oauth/token"
AUDIENCE, OTHER_AUDIENCE = "https://api.tangocard.com/", "https://other.example/"

PRIMARY = Client("client-primary", "canary-primary-secret")
STANDBY = Client("client-standby", "canary-standby-secret")
FORMER = Client("client-former", "canary-former-secret")  # configured no longer

# In the suite the same two hundred each time; `make fuzz` has other ones, and many; `make mutation` a few.
FUZZED = int(os.environ.get("FUZZ_EXAMPLES", "0"))
BOUNDED = hypothesis_settings(
    max_examples=FUZZED or 2 * hypothesis_settings().max_examples,
    deadline=None,
    derandomize=not FUZZED,
    database=None,
    print_blob=bool(FUZZED),
)


def make_settings(**changes: Any) -> Settings:
    known = Settings(credentials_secret_id="the-credentials", token_secret_id="the-token", token_url=URL)
    return replace(known, **changes)


def make_credentials(standby: Client | None = None, version_id: str = "version-1") -> Credentials:
    return Credentials(PRIMARY, standby, version_id)


def make_token(client: Client = PRIMARY, *, age: int = HOUR, left: int | None = None, **changes: Any) -> Token:
    """Return a token acquired `age` seconds ago that ends `left` seconds ahead: by default a day after it began."""
    acquired_at = NOW - age
    expires_at = acquired_at + DAY if left is None else NOW + left
    text = f"canary-token-of-{client.client_id}-{age}"
    token = Token(text, "Bearer", "raas.all", expires_at, acquired_at, client.client_id, AUDIENCE, URL)
    return replace(token, **changes)


def make_lock(*, run_id: str = "another-run", client: Client | None = PRIMARY, age: int = 60, until: int = 60) -> Lock:
    """Return a lock that was claimed `age` seconds ago and holds until `until` seconds ahead."""
    return Lock(run_id, client.client_id if client else None, NOW - age, NOW + until)


def make_situation(**changes: Any) -> Situation:
    known = Situation(NOW, make_token(), None, (), Ledger(), make_credentials(), make_settings(), Request())
    return replace(known, **changes)
