"""What the vendor's answer means: a token (RFC 6749 section 5.1) or an error (section 5.2). Pure.

Only the error codes of a list are ever repeated: any other text may quote the request.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from handler.errors import (
    CredentialsRefused,
    RateLimited,
    RefreshError,
    RequestRefused,
    VendorError,
)
from handler.model import MAX_METADATA_BYTES, MAX_TOKEN_BYTES, Client, Extra, Token, json_object
from handler.settings import CLOCK_DIFFERENCE_SECONDS, Settings

# If a 429 does not say how long to wait.
DEFAULT_RETRY_AFTER_SECONDS = 900
BEARER = "Bearer"
# Shorter tokens are not supported: AWS keeps too few versions of a secret for their claims.
MIN_LIFETIME_SECONDS = 3_600
CLIENT_ERROR_CODES = {
    "access_denied",
    "invalid_client",
    "invalid_client_id",
    "invalid_grant",
    "unauthorized_client",
}
# RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707 section 2, and those of common vendors.
KNOWN_ERROR_CODES = CLIENT_ERROR_CODES | {
    "invalid_audience",
    "invalid_request",
    "invalid_resource",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "too_many_attempts",
    "too_many_requests",
    "unsupported_grant_type",
}
# In an answer that was cut off, and so is not JSON.
_ERROR_MEMBER = re.compile(rb'"error"\s*:\s*"([a-z_]{1,40})"')


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response, its body bounded by http_exchange.py. The last two are texts of its headers."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str = ""
    content_encoding: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class TokenResponse(NamedTuple):
    """A token and, in words, what is odd about it."""

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
        username=client.username,
        audience=settings.audience,
        requested_scope=settings.scope,
        requested_parameters=settings.parameters_hash,
        token_url=settings.token_url,
        extra=Extra.of(_without_echoes(answer, client)),
    )
    if not token.fits_into_a_version:
        token = replace(token, extra=Extra())
    if not token.fits_into_a_version:
        raise VendorError("the vendor's token is too long to be saved", possibly_granted=True)
    oddities = [f"{one.name} is unusable, past or above the maximum" for one in stated if one.is_odd]
    oddities += _oddities(token, settings, lifetime)
    return TokenResponse(token, oddities)


def _without_echoes(answer: Mapping[str, Any], client: Client) -> dict[str, Any]:
    """Leave out what repeats the request's secrets: every consumer reads the document."""
    secrets = [secret for secret in (client.client_secret, client.password) if secret]
    return {
        name: value
        for name, value in answer.items()
        if not (isinstance(value, str) and any(secret in value for secret in secrets))
    }


def _oddities(token: Token, settings: Settings, lifetime: float) -> list[str]:
    oddities = []
    if token.token_type != BEARER:
        oddities.append("the token_type is not bearer: consumers send the token as a bearer token")
    # A JWT's `exp` is a whole second, and Microsoft Entra ID answers 3,599: these mean an hour.
    if lifetime + CLOCK_DIFFERENCE_SECONDS < MIN_LIFETIME_SECONDS:
        oddities.append(f"the token lives {int(lifetime)} s: less than {MIN_LIFETIME_SECONDS} s is not supported")
    interval = settings.interval_of(token.principal)
    if lifetime <= interval:
        oddities.append(
            f"the token lives {int(lifetime)} s, not longer than LIMIT_INTERVAL_SECONDS "
            f"({interval} s): it ends before the next one may be asked for"
        )
    return oddities


def error_of(response: HttpResponse, now: float) -> RefreshError:
    """Return what an answer without a token means.

    `now` (Unix seconds) is for a Retry-After that is a date. A success that names an error means what
    the same error means with 400.
    """
    error = _error_code(response.body)
    status = response.status
    if response.is_success and error:
        status = 400
    text = response.body.decode("utf-8", "replace").lower()
    answered = f"the vendor answered HTTP {response.status}"
    if error in KNOWN_ERROR_CODES:
        answered = f"{answered}, {error}"

    is_limit_message = "daily rate limit" in text and "exceeded" in text
    if 400 <= status < 600 and is_limit_message:
        return RateLimited(f"{answered}: the client has had its token for this interval")

    retry_after = _retry_after_seconds(response.retry_after.strip(), now)
    if status == 429:
        if retry_after is None:
            retry_after = DEFAULT_RETRY_AFTER_SECONDS
        return RateLimited(f"{answered}: too many requests", retry_after=retry_after)

    is_client_error = status in {400, 403} and error in CLIENT_ERROR_CODES
    if status == 401 or is_client_error:
        return CredentialsRefused(
            f"{answered}: it does not accept the credentials, or those of the service account. "
            "If they are right, CLIENT_AUTH, AUDIENCE or TOKEN_URL may be wrong"
        )

    if 300 <= status < 500:
        return RequestRefused(
            f"{answered}: it does not accept what is asked for, or how. Check TOKEN_URL, AUDIENCE, SCOPE, PARAMETERS "
            "and CLIENT_AUTH, and the password of a service account"
        )

    if response.is_success:
        answered = f"{answered} without an access_token that can be used and saved"
    return VendorError(
        answered,
        retryable=500 <= status < 600,
        possibly_granted=True,
        retry_after=retry_after,
    )


def _error_code(body: bytes) -> str:
    """Return the `error` member (RFC 6749 section 5.2), also of an answer that was cut after it."""
    document = json_object(body)
    if document:
        return _text(document.get("error"), MAX_METADATA_BYTES)
    found = _ERROR_MEMBER.search(body)
    if found is None:
        return ""
    return found[1].decode()


def _text(value: object, max_bytes: int) -> str:
    """Return a text that takes at most `max_bytes` in a JSON document; empty if it is not one."""
    if not isinstance(value, str) or len(json.dumps(value)) > max_bytes:
        return ""
    return value


def _token_type(answer: Mapping[str, Any]) -> str:
    token_type = _text(answer.get("token_type"), MAX_METADATA_BYTES)
    if token_type.lower() in {"", "bearer"}:
        return BEARER
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
        max_seconds = settings.max_lifetime_seconds + settings.clock_margin_seconds
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
