"""The token request (RFC 6749 sections 4.3 and 4.4), and the probe of a token."""

import base64
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, urlencode

from handler import http_exchange
from handler.errors import OutcomeUnknown, VendorError, VendorUnreachable
from handler.http_exchange import Exchanged, RequestBody
from handler.model import Client, Token
from handler.settings import MIN_ACQUIRE_SECONDS, Settings
from handler.token_response import TokenResponse, error_of, parse_token

# After these pauses a request that could not be sent is sent again.
RESEND_PAUSES_SECONDS = (1, 2, 4)
PROBE_TIMEOUT_SECONDS = 5


def acquire(
    client: Client,
    settings: Settings,
    *,
    budget_seconds: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> TokenResponse:
    """Ask the vendor once for a token. Ends within `budget_seconds`.

    Only a request that was never sent is sent again. Raises RateLimited, CredentialsRefused,
    RequestRefused, VendorError, VendorUnreachable or OutcomeUnknown.
    """
    deadline = now() + budget_seconds
    # With less time than this for its answer a request is not sent.
    min_answer_seconds = min(MIN_ACQUIRE_SECONDS, budget_seconds / 4)
    for pause in RESEND_PAUSES_SECONDS:
        try:
            return _ask(client, settings, deadline, min_answer_seconds, now)
        except VendorUnreachable:
            if now() + pause >= deadline - min_answer_seconds:
                raise
        sleep(pause)
    return _ask(client, settings, deadline, min_answer_seconds, now)


def is_revoked(token: Token, probe_url: str) -> bool:
    """Say whether the API answers 401 or 403 to the token. A probe that fails says nothing: False."""
    headers = {"Authorization": f"Bearer {token.access_token}"}
    exchanged = http_exchange.send("GET", probe_url, headers, RequestBody(), PROBE_TIMEOUT_SECONDS)
    return not exchanged.cut_by and exchanged.response.status in {401, 403}


def _ask(
    client: Client,
    settings: Settings,
    deadline: float,
    min_answer_seconds: float,
    now: Callable[[], float],
) -> TokenResponse:
    sent_at = now()
    exchanged = _post(client, settings, deadline - sent_at, min_answer_seconds)
    response = exchanged.response
    if response.is_success:
        with suppress(VendorError):  # even if the answer was cut off: it can contain a complete token
            return parse_token(response.body, client, settings, sent_at=sent_at, arrived_at=now())
    # A refusal that was cut means what the whole one would mean, as far as it can be read.
    is_refusal = 300 <= response.status < 500
    if exchanged.cut_by and not is_refusal:
        raise OutcomeUnknown(
            f"the request was sent but no whole answer came ({exchanged.cut_by}): a token may have been issued"
        )
    raise error_of(response, now())


def _post(client: Client, settings: Settings, timeout: float, min_answer_seconds: float) -> Exchanged:
    """Post once. Ends within `timeout` seconds.

    Raises VendorUnreachable if the request was not sent. It is not sent in the last
    `min_answer_seconds`.
    """
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    if settings.client_auth == "client_secret_basic":
        headers["Authorization"] = _basic_authorization(client)
    send_before = time.monotonic() + timeout - min_answer_seconds
    body = RequestBody(_form(client, settings), send_before=send_before)
    exchanged = http_exchange.send("POST", settings.token_url, headers, body, timeout)
    if exchanged.cut_by and not body.may_have_left:
        raise VendorUnreachable(f"the request could not be sent ({exchanged.cut_by})")
    return exchanged


def _form(client: Client, settings: Settings) -> bytes:
    """Return the form of RFC 6749 section 4.4.2, or with a service account of section 4.3.2."""
    fields = {
        "grant_type": "client_credentials",
        "audience": settings.audience,
        "scope": settings.scope,
    }
    if client.username is not None and client.password is not None:
        fields["grant_type"] = "password"
        fields["username"] = client.username
        fields["password"] = client.password
    if settings.client_auth == "client_secret_post":
        fields["client_id"] = client.client_id
        fields["client_secret"] = client.client_secret
    given = {name: value for name, value in fields.items() if value}
    return urlencode(given | settings.parameter_fields).encode()


def _basic_authorization(client: Client) -> str:
    """Return the header of RFC 6749 section 2.3.1. A space is `%20`, which every vendor decodes."""
    client_id = quote(client.client_id, safe="")
    client_secret = quote(client.client_secret, safe="")
    pair = f"{client_id}:{client_secret}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
