"""The token request (RFC 6749 section 4.4) and what its answer means; also the probe of a token.

`requests` is imported where it is used: a tick that finds a fresh token needs none of it.
"""

import base64
import io
import json
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

from handler.errors import CredentialsRefused, OutcomeUnknown, RateLimited, RefreshError, VendorError, VendorUnreachable
from handler.model import Client, Token, json_object
from handler.settings import Settings

# A secret holds 65,536 bytes (AWS's quota): these leave room for one another, and for the rest of the document.
MAX_ANSWER_BYTES, MAX_TOKEN_BYTES, MAX_METADATA_BYTES = 65_536, 56_000, 2_000
# A silent host must leave time for the other attempts to get the request out, which pause for these seconds.
CONNECT_TIMEOUT_SECONDS, RESEND_PAUSES_SECONDS = 10, (1, 2, 4)
# With less time than this left for its answer, or than a quarter of the budget, a request is better not sent.
SHORTEST_WAIT_SECONDS = 10
RETRY_AFTER_DEFAULT_SECONDS, PROBE_TIMEOUT_SECONDS = 900, 5
CLIENT_ERROR_CODES = ("access_denied", "invalid_client", "unauthorized_client")
# RFC 6749 section 5.2 and these. Only they are ever repeated: any other text may quote the request.
KNOWN_ERROR_CODES = (*CLIENT_ERROR_CODES, "invalid_grant", "invalid_request", "invalid_scope", "unsupported_grant_type")

Answer = tuple[int, bytes, str]  # HTTP status, body (cut where it is too large), Retry-After
Acquired = tuple[Token, list[str]]  # with what was odd about its metadata, in words


def acquire(
    client: Client, settings: Settings, budget: float, now: Callable[[], float], sleep: Callable[[float], None]
) -> Acquired:
    """Ask once for a token, over in `budget` seconds.

    Only a request that was never sent whole is sent again. Raises RateLimited, CredentialsRefused, VendorError,
    VendorUnreachable or OutcomeUnknown.
    """
    ends, least = now() + budget, min(SHORTEST_WAIT_SECONDS, budget / 4)
    for pause in (*RESEND_PAUSES_SECONDS, math.inf):
        sent_at = now()
        try:
            (status, body, retry_after), cause = _post(client, settings, ends - sent_at, least)
            break
        except VendorUnreachable:
            if now() + pause >= ends - least:
                raise
            sleep(pause)
    try:  # also of an answer that was cut: a token that is whole in it is a token
        if status // 100 == 2:
            return read_token(body, client, settings, sent_at, now())
    except VendorError:
        if not cause:
            raise
    if cause:
        raise OutcomeUnknown(f"the request was sent but no whole answer came ({cause}): a token may have been issued")
    raise meaning(status, body, retry_after, now())


def meaning(status: int, body: bytes, retry_after: str, now: float) -> RefreshError:
    """Return what an answer that is no success means; `now` (Unix seconds) is for a Retry-After that is a date."""
    error, text = json_object(body).get("error"), body.decode("utf-8", "replace").lower()
    said = f"the vendor answered HTTP {status}" + (f", {error}" if error in KNOWN_ERROR_CODES else "")
    if status in {400, 403} and "daily rate limit" in text and "exceeded" in text:
        return RateLimited(f"{said}: the client has had its token for this interval")
    if status == 401 or (status in {400, 403} and error in CLIENT_ERROR_CODES):
        return CredentialsRefused(f"{said}: it does not accept the client's credentials")
    if status == 429:
        seconds = _retry_after(retry_after.strip(), now)
        return VendorError(said, retryable=True, retry_after=seconds)
    is_refusal = 300 <= status < 500
    return VendorError(said, retryable=status // 100 == 5, suspicious=not is_refusal)


def read_token(body: bytes, client: Client, settings: Settings, sent_at: float, arrived_at: float) -> Acquired:
    """Return the token of a successful answer, and its oddities; raises VendorError where there is none to use."""
    # An answer is read leniently: a byte that is no UTF-8, or something behind the object, must not cost the token.
    answer = json_object(body.decode("utf-8-sig", "replace"), is_lenient=True)
    access_token = _short(answer.get("access_token"), MAX_TOKEN_BYTES)
    # VSCHAR, RFC 6749 appendix A.12: no header carries anything else.
    if not re.fullmatch("[\x20-\x7e]+", access_token) or not access_token.strip():
        raise VendorError("the vendor's answer has no access_token that can be used and saved", suspicious=True)
    lifetime, oddities = _lifetime(answer, access_token, sent_at, settings)
    token_type, scope = (_short(answer.get(name), MAX_METADATA_BYTES) for name in ("token_type", "scope"))
    said = access_token, "Bearer" if token_type.lower() in {"", "bearer"} else token_type, scope or settings.scope
    times = int(sent_at + lifetime), int(arrived_at)
    return Token(*said, *times, client.client_id, settings.audience, settings.token_url), oddities


def _short(value: object, most: int) -> str:
    """Return a text that takes no more than `most` bytes in a JSON document; empty where it is none, or longer."""
    return value if isinstance(value, str) and len(json.dumps(value)) <= most else ""


def is_revoked(token: Token, probe_url: str) -> bool:
    """Say whether the API answers 401 or 403 to the token; a probe that fails says nothing, so False."""
    headers, timeout = {"Authorization": f"Bearer {token.access_token}"}, PROBE_TIMEOUT_SECONDS
    answer = _bounded(lambda: exchange("GET", probe_url, headers, _Form(), timeout), timeout)
    return not isinstance(answer, Exception) and answer[0] in {401, 403}


def _retry_after(value: str, now: float) -> int:
    """Return seconds, from either form of RFC 9110 section 10.2.3."""
    try:
        return int(value) if value.isdigit() else max(0, math.ceil(parsedate_to_datetime(value).timestamp() - now))
    except (ValueError, OverflowError, TypeError):
        return RETRY_AFTER_DEFAULT_SECONDS


def _lifetime(
    answer: Mapping[str, Any], access_token: str, sent_at: float, settings: Settings
) -> tuple[float, list[str]]:
    """Return the shortest usable lifetime in seconds, and what was odd about what the vendor said of it."""
    longest, claims, stated = settings.max_lifetime_seconds, _jwt_claims(access_token), {}
    if "expires_in" in answer:
        stated["expires_in"] = _number(answer["expires_in"]), longest
    if "exp" in claims:
        # The vendor's clock may be ahead, and its answer takes a moment: a little above the maximum is not odd.
        stated["the JWT's exp"] = _number(claims["exp"]) - sent_at, longest + settings.limit_margin_seconds
    usable = [seconds for seconds, _ in stated.values() if seconds > 0]
    odd = [name for name, (seconds, most) in stated.items() if not 0 < seconds <= most]
    return min([longest, *usable]), [f"{name} is unusable, past or above the maximum" for name in odd]


def _number(value: object) -> float:
    """Return 0, which is no lifetime, where it is no number; what is not finite fails the comparisons to come."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _jwt_claims(access_token: str) -> dict[str, Any]:
    """Return the payload of a JWT, unverified; empty where the token is none."""
    parts = access_token.split(".")
    try:
        return json_object(base64.urlsafe_b64decode(parts[1] + "==")) if len(parts) == 3 else {}
    except ValueError:
        return {}


class _Form(io.BytesIO):
    """The request's body, which knows whether anybody has begun to send it: before that, no token can be issued.

    It is not sent any more after `latest` (time.monotonic()), when the answer would come too late.
    """

    sent = withdrawn = False
    latest = math.inf
    answer: Answer = (200, b"", "")  # as much of it as has arrived

    def read(self, size: int | None = -1, /) -> bytes:
        self.sent = self.sent or time.monotonic() <= self.latest
        if self.withdrawn or not self.sent:  # after setting: who withdraws it and finds it unsent can rely on that
            raise TimeoutError
        return super().read(size)


def _post(client: Client, settings: Settings, timeout: float, least: float) -> tuple[Answer, str]:
    """Post once, over in `timeout` seconds; return the answer, and if it is not whole what cut it.

    Raises VendorUnreachable where the request was not sent, as it is not in the last `least` seconds.
    """
    fields = {"grant_type": "client_credentials", "audience": settings.audience, "scope": settings.scope}
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if settings.client_auth == "client_secret_basic":
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        fields |= {"client_id": client.client_id, "client_secret": client.client_secret}
    form = _Form(urlencode({name: value for name, value in fields.items() if value}).encode())
    form.latest = time.monotonic() + timeout - least
    answer = _bounded(lambda: exchange("POST", settings.token_url, headers, form, timeout), timeout)
    if not isinstance(answer, Exception):
        return answer, ""
    form.withdrawn = True
    cause = type(answer).__name__  # no more of it, and no chain: requests' exceptions hold the form
    if not form.sent:
        raise VendorUnreachable(f"the request could not be sent ({cause})")
    return form.answer, cause


def _bounded(work: Callable[[], Answer], timeout: float) -> Answer | Exception:
    """Return what `work` returns, or the exception that it ends with, or TimeoutError after `timeout` seconds.

    It has a thread of its own: a socket's time-out bounds only the pause between two bytes, and not the name look-up.
    """
    outcome: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(work())
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller tells what it means
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.get(timeout=max(0.0, timeout))
    except queue.Empty:
        return TimeoutError()


def exchange(method: str, url: str, headers: dict[str, str], form: _Form, timeout: float) -> Answer:
    import requests
    from urllib3.exceptions import DecodeError

    timeouts, body = (min(CONNECT_TIMEOUT_SECONDS, timeout), timeout), b""
    with requests.Session() as session:
        session.headers.update(headers)
        session.auth = lambda request: request  # where there is an auth, requests looks into no .netrc
        data = form if method == "POST" else None
        with session.request(method, url, data=data, timeout=timeouts, allow_redirects=False, stream=True) as response:
            retry_after = response.headers.get("Retry-After", "")
            with suppress(DecodeError):  # then it came whole, and says no more
                while len(body) < MAX_ANSWER_BYTES and (chunk := response.raw.read1(8_192, decode_content=True)):
                    body = (body + chunk)[:MAX_ANSWER_BYTES]
                    form.answer = (response.status_code, body, retry_after)
            return response.status_code, body, retry_after
