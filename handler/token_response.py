"""What the vendor's answer means: a token (RFC 6749 section 5.1) or an error (section 5.2). Pure.

Only the error codes of a list are ever repeated: any other text may quote the request.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from handler.errors import (
    CredentialsRefused,
    RateLimited,
    RefreshError,
    RequestRefused,
    VendorError,
)
from handler.model import Client, Token, json_object
from handler.settings import Settings

# A secret holds 65,536 bytes (AWS's quota). The token and its metadata must leave room for each other
# and for the ledger.
MAX_TOKEN_BYTES = 56_000
MAX_METADATA_BYTES = 2_000
# If a 429 does not say how long to wait.
DEFAULT_RETRY_AFTER_SECONDS = 900
CLIENT_ERROR_CODES = {
    "access_denied",
    "invalid_client",
    "invalid_client_id",
    "invalid_grant",
    "unauthorized_client",
}
KNOWN_ERROR_CODES = CLIENT_ERROR_CODES | {
    "invalid_request",
    "invalid_scope",
    "unsupported_grant_type",
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response, its body bounded by oauth2.py. `retry_after` is the header's text."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class TokenResponse(NamedTuple):
    """A token and, in words, what was odd about the lifetime that the vendor stated."""

    token: Token
    oddities: list[str]


class _StatedLifetime(NamedTuple):
    """A lifetime that the answer states, and the longest one that is not odd. In seconds."""

    name: str
    seconds: float
    max_seconds: int

    @property
    def is_usable(self) -> bool:
        return self.seconds > 0

    @property
    def is_odd(self) -> bool:
        return not 0 < self.seconds <= self.max_seconds


def parse_token(
    body: bytes,
    client: Client,
    settings: Settings,
    *,
    sent_at: float,
    arrived_at: float,
) -> TokenResponse:
    """Return the token of a successful answer.

    `sent_at` is a moment before the request was sent, and `arrived_at` the moment when the answer had
    arrived, in Unix seconds. Raises VendorError if there is no token that can be used and saved.
    """
    # A byte that is not UTF-8, or something after the JSON object, must not cost the token.
    answer = json_object(body.decode("utf-8-sig", "replace"), ignore_trailing=True)
    access_token = _text(answer.get("access_token"), MAX_TOKEN_BYTES)
    # VSCHAR, RFC 6749 appendix A.12. A header carries nothing else.
    if not re.fullmatch("[\x20-\x7e]+", access_token) or not access_token.strip():
        raise VendorError(
            "the vendor's answer has no access_token that can be used and saved",
            possibly_granted=True,
        )
    stated = _stated_lifetimes(answer, access_token, sent_at, settings)
    usable = [one.seconds for one in stated if one.is_usable]
    lifetime = min([settings.max_lifetime_seconds, *usable])
    token = Token(
        access_token=access_token,
        token_type=_token_type(answer),
        scope=_text(answer.get("scope"), MAX_METADATA_BYTES) or settings.scope,
        expires_at=int(sent_at + lifetime),
        acquired_at=int(arrived_at),
        client_id=client.client_id,
        audience=settings.audience,
        requested_scope=settings.scope,
        token_url=settings.token_url,
    )
    oddities = [f"{one.name} is unusable, past or above the maximum" for one in stated if one.is_odd]
    return TokenResponse(token, oddities)


def error_of(response: HttpResponse, now: float) -> RefreshError:
    """Return what an answer without a token means.

    `now` (Unix seconds) is for a Retry-After that is a date.
    """
    error = _text(json_object(response.body).get("error"), MAX_METADATA_BYTES)
    text = response.body.decode("utf-8", "replace").lower()
    answered = f"the vendor answered HTTP {response.status}"
    if error in KNOWN_ERROR_CODES:
        answered = f"{answered}, {error}"

    is_limit_message = "daily rate limit" in text and "exceeded" in text
    if 400 <= response.status < 600 and is_limit_message:
        return RateLimited(f"{answered}: the client has had its token for this interval")

    retry_after = _retry_after_seconds(response.retry_after.strip(), now)
    if response.status == 429:
        return RateLimited(
            f"{answered}: too many requests",
            retry_after=DEFAULT_RETRY_AFTER_SECONDS if retry_after is None else retry_after,
        )

    is_client_error = response.status in {400, 403} and error in CLIENT_ERROR_CODES
    if response.status == 401 or is_client_error:
        return CredentialsRefused(f"{answered}: it does not accept the client's credentials")

    if 300 <= response.status < 500:
        return RequestRefused(f"{answered}: it does not accept what is asked for, or how")

    return VendorError(
        answered,
        retryable=500 <= response.status < 600,
        possibly_granted=True,
        retry_after=retry_after,
    )


def _text(value: object, max_bytes: int) -> str:
    """Return a text that takes at most `max_bytes` in a JSON document; empty if it is not one."""
    if not isinstance(value, str) or len(json.dumps(value)) > max_bytes:
        return ""
    return value


def _token_type(answer: Mapping[str, Any]) -> str:
    token_type = _text(answer.get("token_type"), MAX_METADATA_BYTES)
    if token_type.lower() in {"", "bearer"}:
        return "Bearer"
    return token_type


def _stated_lifetimes(
    answer: Mapping[str, Any], access_token: str, sent_at: float, settings: Settings
) -> list[_StatedLifetime]:
    stated = []
    if "expires_in" in answer:
        seconds = _number(answer["expires_in"])
        stated.append(_StatedLifetime("expires_in", seconds, settings.max_lifetime_seconds))
    claims = _jwt_claims(access_token)
    if "exp" in claims:
        # The vendor's clock may be ahead, and its answer takes a moment to arrive. So a little more than
        # the maximum is not odd.
        max_seconds = settings.max_lifetime_seconds + settings.limit_margin_seconds
        seconds = _number(claims["exp"]) - sent_at
        stated.append(_StatedLifetime("the JWT's exp", seconds, max_seconds))
    return stated


def _number(value: object) -> float:
    """Return 0, which is not a lifetime, if the value is not a number.

    The result can be infinite or not a number at all. Comparisons with it are false then.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    try:
        return float(value)
    except (ValueError, OverflowError):
        return 0.0


def _jwt_claims(access_token: str) -> dict[str, Any]:
    """Return the payload of a JWT, which is not verified; {} if the token is not a JWT."""
    parts = access_token.split(".")
    if len(parts) != 3:
        return {}
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "==")
    except ValueError:
        return {}
    return json_object(payload)


def _retry_after_seconds(value: str, now: float) -> int | None:
    """Return the seconds of a Retry-After header, from either form of RFC 9110 section 10.2.3.

    Returns None if there is no such header, or if it makes no sense.
    """
    try:
        if value.isdigit():
            return int(value)
        seconds = parsedate_to_datetime(value).timestamp() - now
        return max(0, math.ceil(seconds))
    except (ValueError, OverflowError, TypeError):
        return None
