"""The token request (RFC 6749 section 4.4) and the probe of a token, each bounded in time and bytes.

`requests` is imported where it is used: a run that finds a fresh token does not need it.
"""

import base64
import io
import math
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

from handler.errors import OutcomeUnknown, VendorError, VendorUnreachable
from handler.model import Client, Token
from handler.settings import MIN_ACQUIRE_SECONDS, Settings
from handler.token_response import HttpResponse, TokenResponse, error_of, parse_token

MAX_ANSWER_BYTES = 65_536
READ_BYTES = 8_192
# A host that does not answer must leave time for the other attempts, which come after these pauses.
CONNECT_TIMEOUT_SECONDS = 10
RESEND_PAUSES_SECONDS = (1, 2, 4)
PROBE_TIMEOUT_SECONDS = 5


class _Sent(NamedTuple):
    """What came back on a request that was sent. `cut_by` names what ended it early, if anything."""

    response: HttpResponse
    cut_by: str = ""


class RequestBody(io.BytesIO):
    """A request's body, which knows whether any byte of it may have left.

    Before that, the vendor can't issue a token. The body can't be read after `send_before`
    (time.monotonic()), because then the answer would come too late.
    """

    def __init__(self, content: bytes = b"", *, send_before: float = math.inf) -> None:
        super().__init__(content)
        self.may_have_left = False
        self.is_withdrawn = False
        self.partial = HttpResponse(200, b"")  # as much of the answer as has arrived
        self._send_before = send_before

    def read(self, size: int | None = -1, /) -> bytes:
        # This is noted before the body is handed over. So if the body is withdrawn and nothing has left by
        # then, nothing will.
        if time.monotonic() <= self._send_before:
            self.may_have_left = True
        if self.is_withdrawn or not self.may_have_left:
            raise TimeoutError
        return super().read(size)


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
    VendorError, VendorUnreachable or OutcomeUnknown.
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

    def probe() -> HttpResponse:
        return exchange("GET", probe_url, headers, RequestBody(), PROBE_TIMEOUT_SECONDS)

    answer = _bounded(probe, PROBE_TIMEOUT_SECONDS)
    return isinstance(answer, HttpResponse) and answer.status in {401, 403}


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
        try:  # even if the answer was cut off: it can contain a complete token
            return parse_token(response.body, client, settings, sent_at=sent_at, arrived_at=now())
        except VendorError:
            if not exchanged.cut_by:
                raise
    if exchanged.cut_by:
        raise OutcomeUnknown(
            f"the request was sent but no whole answer came ({exchanged.cut_by}): a token may have been issued"
        )
    raise error_of(response, now())


def _post(client: Client, settings: Settings, timeout: float, min_answer_seconds: float) -> _Sent:
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

    def post() -> HttpResponse:
        return exchange("POST", settings.token_url, headers, body, timeout)

    answer = _bounded(post, timeout)
    if isinstance(answer, HttpResponse):
        return _Sent(answer)
    body.is_withdrawn = True
    cause = type(answer).__name__  # no more of it, and no chain: the exceptions of requests hold the form
    if not body.may_have_left:
        raise VendorUnreachable(f"the request could not be sent ({cause})")
    return _Sent(body.partial, cut_by=cause)


def _form(client: Client, settings: Settings) -> bytes:
    fields = {
        "grant_type": "client_credentials",
        "audience": settings.audience,
        "scope": settings.scope,
    }
    if settings.client_auth == "client_secret_post":
        fields["client_id"] = client.client_id
        fields["client_secret"] = client.client_secret
    given = {name: value for name, value in fields.items() if value}
    return urlencode(given).encode()


def _basic_authorization(client: Client) -> str:
    """Return the header of RFC 6749 section 2.3.1."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _bounded(work: Callable[[], HttpResponse], timeout: float) -> HttpResponse | Exception:
    """Return what `work` returns, or the exception that ends it, or TimeoutError after `timeout` s.

    The work has a thread of its own, because a socket's time-out bounds only the pause between two
    bytes, and does not bound the name look-up.
    """
    outcome: queue.SimpleQueue[HttpResponse | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(work())
        except Exception as error:  # noqa: BLE001 - the caller decides what it means
            outcome.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.get(timeout=max(0.0, timeout))
    except queue.Empty:
        return TimeoutError()


def exchange(method: str, url: str, headers: dict[str, str], body: RequestBody, timeout: float) -> HttpResponse:
    """Send one HTTP request. `body.partial` grows while the answer arrives."""
    import requests
    from urllib3.exceptions import DecodeError

    data = body if method == "POST" else None
    timeouts = (min(CONNECT_TIMEOUT_SECONDS, timeout), timeout)
    with requests.Session() as session:
        session.headers.update(headers)
        session.auth = lambda request: request  # with an auth, requests does not read .netrc
        with session.request(
            method,
            url,
            data=data,
            timeout=timeouts,
            allow_redirects=False,
            stream=True,
        ) as response:
            retry_after = response.headers.get("Retry-After", "")
            received = b""
            with suppress(DecodeError):  # what was decoded until then is all that the body says
                while len(received) < MAX_ANSWER_BYTES:
                    chunk = response.raw.read1(READ_BYTES, decode_content=True)
                    if not chunk:
                        break
                    received = (received + chunk)[:MAX_ANSWER_BYTES]
                    body.partial = HttpResponse(response.status_code, received, retry_after)
            return HttpResponse(response.status_code, received, retry_after)
