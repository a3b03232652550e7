"""Values with defaults for the unit tests.

By default the current token is fresh and the primary's, and the ledger is empty.
"""

import os
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from handler.errors import RefreshError, VendorError
from handler.ledger import Ledger, Lock, Pace, Slot, Terms
from handler.model import Client, Credentials, Token
from handler.policy import Decision, Request, State, decide
from handler.settings import Settings
from handler.token_response import HttpResponse, error_of, parse_token

NOW = 1_800_000_000
LATER = NOW + 100  # when the vendor's answer arrives
HOUR = 3_600
DAY = 86_400
# From one token of a client to its next: the vendor's interval and our margin.
INTERVAL = Settings().slot_seconds("a client")
MARGIN = Settings().limit_margin_seconds
WINDOW = Settings().refresh_window_seconds
STANDBY_BELOW = Settings().standby_below_seconds
URL = "https://auth.example/oauth/token"
OTHER_URL = "https://sandbox-auth.example/oauth/token"
AUDIENCE = "https://api.tangocard.com/"
OTHER_AUDIENCE = "https://other.example/"
NESTED_TOO_DEEPLY = "[" * 100_000
TOO_MANY_DIGITS = "9" * 5_000  # more than Python reads into an int
LIMIT_TEXT = b"Client tango client-primary has exceeded the daily rate limit"

PRIMARY = Client("client-primary", "canary-primary-secret")
STANDBY = Client("client-standby", "canary-standby-secret")
FORMER = Client("client-former", "canary-former-secret")  # is no longer configured
# A service account of the primary's client: another principal.
ACCOUNT = Client("client-primary", "canary-primary-secret", "store-17", "canary-password")

# The suite tries the same two hundred examples each time. `make fuzz` tries many others, and
# `make mutation` a few.
FUZZED = int(os.environ.get("FUZZ_EXAMPLES", "0"))
BOUNDED = hypothesis_settings(
    max_examples=FUZZED or hypothesis_settings().max_examples,
    deadline=None,
    derandomize=not FUZZED,
    database=None,
    print_blob=bool(FUZZED),
)


def make_settings(**changes: Any) -> Settings:
    settings = Settings(
        credentials_secret_id="the-credentials",
        token_secret_id="the-token",
        token_url=URL,
    )
    return replace(settings, **changes)


def make_credentials(standby: Client | None = None, version_id: str = "version-1") -> Credentials:
    return Credentials(PRIMARY, standby, version_id)


def make_token(
    client: Client = PRIMARY,
    *,
    age: int = HOUR,
    remaining: int | None = None,
    **changes: Any,
) -> Token:
    """Return a token that was acquired `age` seconds ago and ends `remaining` seconds ahead.

    Without `remaining` the token ends a day after it was acquired.
    """
    expires_at = NOW - age + DAY
    if remaining is not None:
        expires_at = NOW + remaining
    token = Token(
        access_token=f"canary-token-of-{client.client_id}-{age}",
        token_type="Bearer",
        scope="raas.all",
        expires_at=expires_at,
        acquired_at=NOW - age,
        client_id=client.client_id,
        username=client.username,
        audience=AUDIENCE,
        requested_scope="raas.all",
        requested_parameters="",
        token_url=URL,
    )
    return replace(token, **changes)


def make_lock(*, client: Client | None = PRIMARY, age: int = 60, until: int = 60) -> Lock:
    """Return another run's lock: claimed `age` seconds ago, valid until `until` seconds ahead."""
    principal = None
    if client is not None:
        principal = client.principal
    return Lock(
        run_id="another-run",
        principal=principal,
        claimed_at=NOW - age,
        until=NOW + until,
    )


def make_slot(*, ahead: int = 60, reason: str | None = "rate_limited", **changes: Any) -> Slot:
    """Return a slot that is closed until `ahead` seconds from now."""
    slot = Slot(not_before=NOW + ahead, reason=reason)
    return replace(slot, **changes)


def make_closed_ledger(client: Client = PRIMARY, *, ahead: int = HOUR, **changes: Any) -> Ledger:
    """Return a ledger in which this client's slot is closed until `ahead` seconds from now."""
    return Ledger(slots={client.principal: make_slot(ahead=ahead, **changes)})


def make_backing_off_ledger(*clients: Client, ahead: int = 60) -> Ledger:
    """Return a ledger in which these clients back off until `ahead` seconds from now."""
    slot = make_slot(ahead=ahead, reason="backing_off", failures=3, error="VendorError")
    return Ledger(slots={client.principal: slot for client in clients})


def make_terms(
    credentials: Credentials | None = None,
    *,
    token_life: int = DAY,
    **settings: Any,
) -> Terms:
    return Terms(
        credentials=credentials or make_credentials(),
        settings=make_settings(**settings),
        token_life_seconds=token_life,
    )


BOTH = make_credentials(STANDBY)
FRESH = make_token()
# Its client may ask again from this second on.
EXPIRING = make_token(age=INTERVAL, remaining=WINDOW)
STANDBY_TOKEN = make_token(STANDBY)
ASKED_WITH = make_terms().asked_with
ASKED_WITH_BEFORE = make_terms(make_credentials(version_id="version-0")).asked_with
BACKING_OFF = make_backing_off_ledger(PRIMARY)
FULL_LEDGER = Ledger(
    lock=make_lock(),
    slots={
        PRIMARY.principal: make_slot(
            ahead=5,
            suspicions=1,
            failures=2,
            asked_at=NOW - 60,
            asked_with="0123456789abcdef",
            error="VendorError",
        ),
    },
    pace=Pace(level=3.5, at=NOW - 60),
)
DEFAULT = Request()
FORCE = Request(force=True)
OVERRIDE = Request(force=True, override_limit=True)


def make_state(**changes: Any) -> State:
    state = State(
        now=NOW,
        current=FRESH,
        ledger=Ledger(),
        credentials=make_credentials(),
        settings=make_settings(),
    )
    return replace(state, **changes)


def decision_on(
    *,
    request: Request = DEFAULT,
    tried: AbstractSet[str] = frozenset(),
    **changes: Any,
) -> Decision:
    """Return what is decided in a state with these changes."""
    return decide(make_state(**changes), request, tried)


def make_error(status: int, body: bytes = b"", retry_after: str = "", *, now: float = NOW) -> RefreshError:
    """Return what such an answer of the vendor means if it arrives at `now`."""
    return error_of(HttpResponse(status, body, retry_after), now)


def make_success_error(body: bytes) -> VendorError:
    """Return the error of a successful answer without a token that can be used."""
    with pytest.raises(VendorError) as caught:
        parse_token(body, PRIMARY, make_settings(), sent_at=NOW, arrived_at=LATER)
    return caught.value


def shortened(text: str | None) -> str:
    """Return a name for a case whose text can be long."""
    return repr(text)[:24]
