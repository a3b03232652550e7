"""What an answer without a token means."""

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import (
    CredentialsRefused,
    RateLimited,
    RefreshError,
    RequestRefused,
    VendorError,
)

from .builders import BOUNDED, LIMIT_TEXT, NOW, PRIMARY, make_error

TOKEN = "canary.opaque~token_0-9"
STATUSES = [status for status in range(100, 600) if not 200 <= status < 300]
CLIENT_ERRORS = [
    "invalid_client",
    "invalid_client_id",
    "unauthorized_client",
    "access_denied",
    "invalid_grant",
]
OTHER_CODES = ["invalid_request", "invalid_scope", "unsupported_grant_type", "x"]
NOT_CODES = [None, 5, ["invalid_client"], {"invalid_client": 1}, ""]
UNREADABLE_RETRY_AFTER = [
    "",
    "soon",
    "-5",
    "1.5e",
    "\u00b2",
    "9" * 5_000,
    "Wed, 99 Foo 2099 99:99:99 GMT",
    "None",
]


def as_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 499, 500, 503, 599])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(as_json(message=LIMIT_TEXT.decode()), id="message"),
        pytest.param(
            as_json(error="access_denied", error_description=LIMIT_TEXT.decode()),
            id="next to a code of refusal",
        ),
        pytest.param(as_json(error=LIMIT_TEXT.decode()), id="as the code"),
        pytest.param(as_json(errors=[{"message": LIMIT_TEXT.decode()}]), id="nested"),
        pytest.param(b"<html><body><h1>400</h1><p>" + LIMIT_TEXT + b".</p></body></html>", id="HTML"),
        pytest.param(LIMIT_TEXT, id="plain text"),
        pytest.param(LIMIT_TEXT.upper(), id="upper case"),
        pytest.param(b"Daily Rate Limit Exceeded", id="in other words"),
        pytest.param(b"\xff\xfe" + LIMIT_TEXT + b"\xe9", id="not all of it Unicode"),
        pytest.param(b'{"message": "' + LIMIT_TEXT, id="cut"),
    ],
)
def test_exceeded_daily_rate_limit_is_a_rate_limit(status: int, body: bytes) -> None:
    """The vendor says so with any 4xx or 5xx, in a body of any type."""
    error = make_error(status, body)
    assert type(error) is RateLimited
    assert (error.retryable, error.possibly_granted) == (False, False)
    assert error.retry_after is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(302, LIMIT_TEXT, id="a redirect"),
        pytest.param(404, b"<html>no such page</html>", id="404"),
        pytest.param(400, b"the daily rate limit is one token", id="a limit that is not exceeded"),
        pytest.param(400, b"the length was exceeded", id="something else exceeded"),
        pytest.param(403, b"rate limit exceeded", id="another limit"),
    ],
)
def test_other_answer_is_not_a_rate_limit(status: int, body: bytes) -> None:
    """No other status and no other text closes a slot for the limit."""
    error = make_error(status, body)
    assert type(error) is RequestRefused
    assert (error.retryable, error.possibly_granted) == (False, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *[(status, as_json(error=code)) for status in (400, 403) for code in CLIENT_ERRORS],
        (401, b""),
        (401, b"<html>Unauthorized</html>"),
        (401, as_json(error="something_else")),
        (400, b'{"error" : "invalid_client", "error_description": "the answer is cut'),
    ],
)
def test_refused_credentials(status: int, body: bytes) -> None:
    """401, or a 400 or 403 whose code is about the client, refuses the client's credentials."""
    error = make_error(status, body)
    assert type(error) is CredentialsRefused
    assert (error.retryable, error.possibly_granted) == (False, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (403, b"<html>Forbidden</html>"),
        (400, b"invalid_client"),
        *[(400, as_json(error=code)) for code in OTHER_CODES],
        *[(403, as_json(error=value)) for value in NOT_CODES],
        (400, as_json(message="invalid_client")),
        (400, as_json(details={"error": "invalid_client"})),
        (404, as_json(error="invalid_client")),
        (302, as_json(error="invalid_client")),
    ],
)
def test_other_refusals_are_not_about_the_credentials(status: int, body: bytes) -> None:
    """Only a code that is about the client speaks against its credentials."""
    assert type(make_error(status, body)) is RequestRefused


@pytest.mark.parametrize(
    ("status", "error_class"),
    [(500, VendorError), (503, VendorError), (429, RateLimited)],
)
@pytest.mark.parametrize("code", CLIENT_ERRORS)
def test_code_of_a_server_error_or_of_a_429_is_not_about_the_credentials(
    status: int, error_class: type[RefreshError], code: str
) -> None:
    """The status says that it may pass, whatever the body says."""
    assert type(make_error(status, as_json(error=code))) is error_class


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_meaning(status: int) -> None:
    """5xx may pass. 5xx and an interim answer may hide a token."""
    error = make_error(status)
    expected_class: type[RefreshError] = VendorError
    message = f"the vendor answered HTTP {status}"
    if status == 401:
        expected_class = CredentialsRefused
        message += (
            ": it does not accept the credentials, or those of the service account. "
            "If they are right, CLIENT_AUTH, AUDIENCE or TOKEN_URL may be wrong"
        )
    elif status == 429:
        expected_class = RateLimited
        message += ": too many requests"
    elif 300 <= status < 500:
        expected_class = RequestRefused
        message += (
            ": it does not accept what is asked for, or how. Check TOKEN_URL, AUDIENCE, SCOPE, PARAMETERS "
            "and CLIENT_AUTH, and the password of a service account"
        )
    assert type(error) is expected_class
    assert error.retryable is (status >= 500)
    assert error.possibly_granted is (status >= 500 or status < 200)
    assert (error.retry_after is None) is (status != 429)
    assert str(error) == message


@pytest.mark.parametrize("body", [b"", LIMIT_TEXT])
def test_status_beyond_those_of_http_may_hide_a_token(body: bytes) -> None:
    """Nobody knows what it means, so it is not the limit, and does not pass by itself."""
    error = make_error(600, body)
    assert type(error) is VendorError
    assert (error.retryable, error.possibly_granted) == (False, True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param(" 120 ", 120, id="spaces around"),
        pytest.param("0", 0, id="at once"),
        pytest.param(formatdate(NOW + 600, usegmt=True), 600, id="a date"),
        pytest.param(formatdate(NOW - 600, usegmt=True), 0, id="a date that is past"),
        *[pytest.param(text, 900, id=text[:12] or "absent") for text in UNREADABLE_RETRY_AFTER],
    ],
)
def test_retry_after(header: str, seconds: int) -> None:
    """Retry-After is seconds or a date. If it can't be read, 15 min count."""
    assert make_error(429, b"", header).retry_after == seconds


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param("0", 0, id="at once"),
        pytest.param(formatdate(NOW + 600, usegmt=True), 600, id="a date"),
        *[pytest.param(text, None, id=text[:12] or "absent") for text in UNREADABLE_RETRY_AFTER],
    ],
)
def test_retry_after_of_a_server_error(status: int, header: str, seconds: int | None) -> None:
    """A server error may say when to come back. If it does not, no time counts."""
    assert make_error(status, b"", header).retry_after == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("code", ["canary_code", TOKEN, ["canary"], {"canary": 1}])
def test_unknown_code_is_not_repeated(status: int, code: object) -> None:
    """A text that is not a known code may quote the request."""
    body = as_json(error=code, error_description="canary")
    assert "canary" not in str(make_error(status, body))


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("code", ["invalid_client", "invalid_client_id", "invalid_scope"])
def test_known_code_is_repeated(status: int, code: str) -> None:
    """The vendor's `error` code helps a reader of the log. Its description is left out."""
    body = as_json(error=code, error_description="canary")
    message = str(make_error(status, body))
    assert code in message
    assert "canary" not in message


@BOUNDED
@given(st.sampled_from(STATUSES), st.binary() | st.text().map(str.encode), st.text())
def test_any_answer_has_a_meaning(status: int, body: bytes, retry_after: str) -> None:
    """Any answer without a token becomes an error, which repeats nothing of it."""
    canary = b"canary" + PRIMARY.client_secret.encode()
    for text in (
        body + canary,
        b'{"error": "' + canary + b'"}',
        as_json(error=repr(body) + "canary"),
    ):
        error = make_error(status, text, retry_after + "canary")
        assert "canary" not in f"{error} {error!r} {vars(error)}"
        assert error.__cause__ is error.__context__ is None
        assert error.retry_after is None or error.retry_after >= 0
    assert isinstance(make_error(status, body, retry_after), RefreshError)
