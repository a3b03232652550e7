"""What the vendor's answer means, and how long a token of it lives."""

import base64
import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import CredentialsRefused, RateLimited, RefreshError, VendorError
from handler.model import Ledger, Token
from handler.oauth2 import MAX_TOKEN_BYTES, meaning, read_token

from .builders import AUDIENCE, BOUNDED, DAY, NOW, PRIMARY, URL, make_settings

TOKEN = "canary.opaque~token_0-9"
SENT_AT, ARRIVED_AT = NOW + 0.25, NOW + 2.75
LIMIT_TEXT = "Client tango-name client-primary has exceeded the daily rate limit"
REFUSALS = ["invalid_client", "unauthorized_client", "access_denied"]
SECRET_BYTES = 65_536  # AWS's quota for the value of a secret


def said(status: int, body: bytes = b"", retry_after: str = "") -> RefreshError:
    return meaning(status, body, retry_after, NOW)


def read(body: bytes, **settings: Any) -> tuple[Token, list[str]]:
    return read_token(body, PRIMARY, make_settings(**settings), SENT_AT, ARRIVED_AT)


def answer(access_token: str = TOKEN, **more: str) -> bytes:
    """Return a successful answer; `more` is JSON as the vendor wrote it."""
    fields = {"access_token": json.dumps(access_token), "token_type": '"Bearer"', **more}
    return ("{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}").encode()


def jwt(payload: str) -> str:
    head, body = (base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") for text in ('{"alg":"none"}', payload))
    return f"{head}.{body}.c2lnbmF0dXJl"


def in_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


# What an answer without a token means


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(in_json(message=LIMIT_TEXT), id="message"),
        pytest.param(in_json(error="access_denied", error_description=LIMIT_TEXT), id="beside a code of refusal"),
        pytest.param(in_json(error=LIMIT_TEXT), id="as the code"),
        pytest.param(in_json(errors=[{"message": LIMIT_TEXT}]), id="nested"),
        pytest.param(f"<html><body><h1>400</h1><p>{LIMIT_TEXT}.</p></body></html>".encode(), id="HTML"),
        pytest.param(LIMIT_TEXT.encode(), id="plain text"),
        pytest.param(LIMIT_TEXT.upper().encode(), id="upper case"),
        pytest.param(b"Daily Rate Limit Exceeded", id="in other words"),
        pytest.param(b"\xff\xfe" + LIMIT_TEXT.encode() + b"\xe9", id="not all of it Unicode"),
        pytest.param(b'{"message": "' + LIMIT_TEXT.encode(), id="cut"),
    ],
)
def test_exceeded_daily_rate_limit_is_a_rate_limit(status: int, body: bytes) -> None:
    """400 or 403 says that the limit is exceeded in a body of any type."""
    error = said(status, body)
    assert type(error) is RateLimited
    assert (error.retryable, error.suspicious) == (False, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(429, LIMIT_TEXT.encode(), id="429"),
        pytest.param(404, LIMIT_TEXT.encode(), id="404"),
        pytest.param(503, LIMIT_TEXT.encode(), id="503"),
        pytest.param(302, LIMIT_TEXT.encode(), id="a redirect"),
        pytest.param(400, b"the daily rate limit is one token", id="a limit that is not exceeded"),
        pytest.param(400, b"the length was exceeded", id="something else exceeded"),
        pytest.param(403, b"rate limit exceeded", id="another limit"),
    ],
)
def test_anything_else_is_no_rate_limit(status: int, body: bytes) -> None:
    """No other status and no other text closes a slot for the limit."""
    assert type(said(status, body)) is VendorError


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *[(status, in_json(error=code)) for status in (400, 403) for code in REFUSALS],
        (401, b""),
        (401, b"<html>Unauthorized</html>"),
        (401, in_json(error="something_else")),
        (401, LIMIT_TEXT.encode()),
    ],
)
def test_refused_credentials(status: int, body: bytes) -> None:
    """401, or a 400 or 403 whose code is about the client, refuses the client's credentials."""
    error = said(status, body)
    assert type(error) is CredentialsRefused
    assert (error.retryable, error.suspicious) == (False, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (403, b"<html>Forbidden</html>"),
        (400, b"invalid_client"),
        *[(400, in_json(error=code)) for code in ("invalid_request", "invalid_scope", "unsupported_grant_type", "x")],
        *[(403, in_json(error=value)) for value in (None, 5, ["invalid_client"], {"invalid_client": 1}, "")],
        (400, in_json(message="invalid_client")),
        (404, in_json(error="invalid_client")),
        (500, in_json(error="invalid_client")),
        (429, in_json(error="access_denied")),
    ],
)
def test_other_refusals_are_not_about_the_credentials(status: int, body: bytes) -> None:
    """Without a code that is about the client, nothing is held against its credentials."""
    assert type(said(status, body)) is VendorError


@pytest.mark.parametrize("status", [status for status in range(100, 600) if status // 100 != 2])
def test_every_status_has_a_meaning(status: int) -> None:
    """429 and 5xx may pass; 5xx and an interim answer may hide a token; no other answer does either."""
    error = said(status)
    assert type(error) is (CredentialsRefused if status == 401 else VendorError)
    assert error.retryable is (status == 429 or status >= 500)
    assert error.suspicious is (status >= 500 or status < 200)
    assert (error.retry_after is None) is (status != 429)
    about = ": it does not accept the client's credentials" if status == 401 else ""
    assert str(error) == f"the vendor answered HTTP {status}{about}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param(" 120 ", 120, id="spaces around"),
        pytest.param("0", 0, id="at once"),
        pytest.param(formatdate(NOW + 600, usegmt=True), 600, id="a date"),
        pytest.param(formatdate(NOW - 600, usegmt=True), 0, id="a date that is past"),
        *[
            pytest.param(text, 900, id=text[:12] or "absent")
            for text in ("", "soon", "-5", "1.5e", "\u00b2", "9" * 5_000, "Wed, 99 Foo 2099 99:99:99 GMT", "None")
        ],
    ],
)
def test_retry_after(header: str, seconds: int) -> None:
    """Retry-After is seconds or a date; where there is none to read, it is 15 min."""
    assert said(429, b"", header).retry_after == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("code", ["canary_code", TOKEN, ["canary"], {"canary": 1}])
def test_unknown_code_is_not_repeated(status: int, code: object) -> None:
    """A text that is no code of the specification may quote the request."""
    assert "canary" not in str(said(status, in_json(error=code, error_description="canary")))


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("code", ["invalid_client", "invalid_scope"])
def test_known_code_is_repeated(status: int, code: str) -> None:
    """The vendor's `error` code helps whoever reads the log; its description stays out of it."""
    message = str(said(status, in_json(error=code, error_description="canary")))
    assert code in message
    assert "canary" not in message


@BOUNDED
@given(
    st.integers(100, 599).filter(lambda status: status // 100 != 2), st.binary() | st.text().map(str.encode), st.text()
)
def test_any_answer_has_a_meaning(status: int, body: bytes, retry_after: str) -> None:
    """Whatever comes, an error says what it means and repeats nothing of it."""
    canary = b"canary" + PRIMARY.client_secret.encode()
    for text in (body + canary, b'{"error": "' + canary + b'"}', in_json(error=repr(body) + "canary")):
        error = said(status, text, retry_after + "canary")
        assert "canary" not in f"{error} {error!r} {vars(error)}"
        assert error.__cause__ is error.__context__ is None
        assert error.retry_after is None or error.retry_after >= 0
    assert isinstance(said(status, body, retry_after), RefreshError)


# The token of a successful answer


def test_token_of_a_usual_answer() -> None:
    """It says when it was acquired, when it ends, whose it is and where it came from."""
    token, oddities = read(answer(expires_in="86400", scope='"raas.all"'))
    assert token == Token(TOKEN, "Bearer", "raas.all", NOW + DAY, NOW + 2, PRIMARY.client_id, AUDIENCE, URL)
    assert oddities == []


LIFETIMES: list[tuple[str | None, float, bool]] = [
    (None, DAY, False),
    ("86400", DAY, False),
    ("3600", 3_600, False),
    ("3600.5", 3_600.5, False),
    ('"86400"', DAY, False),
    ('"3600"', 3_600, False),
    ('"3600.5"', 3_600.5, False),
    ("1", 1, False),
    ("86401", DAY, True),
    ("2592000", DAY, True),
    ('"2592000"', DAY, True),
    ("0", DAY, True),
    ('"0"', DAY, True),
    ("-1", DAY, True),
    ("-86400.5", DAY, True),
    ('"-5"', DAY, True),
    ('"abc"', DAY, True),
    ('""', DAY, True),
    ('"NaN"', DAY, True),
    ('"Infinity"', DAY, True),
    ("true", DAY, True),
    ("false", DAY, True),
    ("null", DAY, True),
    ("[3600]", DAY, True),
    ('{"seconds": 3600}', DAY, True),
    ("1e400", DAY, True),
    ("-1e400", DAY, True),
    ('"1e400"', DAY, True),
    ("NaN", DAY, True),
    ("Infinity", DAY, True),
    ("9" * 400, DAY, True),
    ("9" * 5_000, DAY, True),  # more digits than Python reads into an int
]


@pytest.mark.parametrize(
    ("expires_in", "lifetime", "is_odd"), [pytest.param(*row, id=str(row[0])[:12]) for row in LIFETIMES]
)
def test_lifetime_by_expires_in(expires_in: str | None, lifetime: float, is_odd: bool) -> None:
    """A lifetime that is usable shortens the longest; an odd one is told, and no token is thrown away for it."""
    token, oddities = read(answer(**({} if expires_in is None else {"expires_in": expires_in})))
    assert token.access_token == TOKEN
    assert token.expires_at == int(SENT_AT + lifetime)
    assert len(oddities) == is_odd


def test_lifetime_counts_from_before_the_request_was_sent() -> None:
    """A slow answer makes the token end no later."""
    token, _ = read_token(answer(expires_in="3600"), PRIMARY, make_settings(), NOW, NOW + 100)
    assert (token.acquired_at, token.expires_at) == (NOW + 100, NOW + 3_600)


def test_longest_lifetime_is_a_setting() -> None:
    """What the vendor says above the maximum that is set is odd, and what it says below is not."""
    assert read(answer(expires_in="86400"), max_lifetime_seconds=300)[0].expires_at == NOW + 300
    assert len(read(answer(expires_in="301"), max_lifetime_seconds=300)[1]) == 1
    assert read(answer(expires_in="2592000"), max_lifetime_seconds=2_592_000) == (
        Token(TOKEN, "Bearer", "raas.all", NOW + 2_592_000, NOW + 2, PRIMARY.client_id, AUDIENCE, URL),
        [],
    )


@pytest.mark.parametrize(
    ("exp", "lifetime", "is_odd"),
    [
        pytest.param(str(NOW + 3_600), 3_600, False, id="shorter"),
        pytest.param(f"{NOW + 3_600}.5", 3_600.5, False, id="shorter, a float"),
        pytest.param(str(NOW + DAY), DAY, False, id="the longest"),
        pytest.param(str(NOW + DAY + 2), DAY, False, id="the longest, from when the vendor answered"),
        pytest.param(str(NOW + 30 * DAY), DAY, True, id="30 days ahead"),
        pytest.param(str(NOW), DAY, True, id="past in this second"),
        pytest.param(str(NOW - DAY), DAY, True, id="past"),
        pytest.param("0", DAY, True, id="zero"),
        pytest.param("-5", DAY, True, id="negative"),
        pytest.param('"soon"', DAY, True, id="text"),
        pytest.param("true", DAY, True, id="true"),
        pytest.param("null", DAY, True, id="null"),
        pytest.param("1e400", DAY, True, id="endless"),
        pytest.param("NaN", DAY, True, id="NaN"),
        pytest.param("[]", DAY, True, id="a list"),
    ],
)
def test_lifetime_by_the_exp_of_a_jwt(exp: str, lifetime: float, is_odd: bool) -> None:
    """The claim `exp` only ever shortens a token's life, and not where it is past."""
    token, oddities = read(answer(jwt(f'{{"exp": {exp}}}'), expires_in="86400"))
    ends = SENT_AT + DAY if lifetime == DAY else NOW + lifetime
    assert abs(token.expires_at - ends) <= 1
    assert len(oddities) == is_odd


@pytest.mark.parametrize(("expires_in", "exp"), [(600, 3_600), (3_600, 600)])
def test_shortest_lifetime_counts(expires_in: int, exp: int) -> None:
    """Where both are usable, the token ends when the first of them says so."""
    token, oddities = read(answer(jwt(f'{{"exp": {NOW + exp}}}'), expires_in=str(expires_in)))
    assert token.expires_at == NOW + 600
    assert oddities == []


def test_each_odd_lifetime_is_told() -> None:
    """Both sources of a lifetime can be odd at once, and a usable one still shortens beside an odd one."""
    token, oddities = read(answer(jwt('{"exp": 5}'), expires_in="0"))
    assert token.expires_at == NOW + DAY
    assert oddities == [f"{which} is unusable, past or above the maximum" for which in ("expires_in", "the JWT's exp")]
    token, oddities = read(answer(jwt('{"exp": 5}'), expires_in="60"))
    assert (token.expires_at, len(oddities)) == (NOW + 60, 1)
    token, oddities = read(answer(jwt(f'{{"exp": {NOW + 60}}}'), expires_in="0"))
    assert (token.expires_at, len(oddities)) == (NOW + 60, 1)


@pytest.mark.parametrize(
    "access_token",
    [
        "a.b.c",
        "a..c",
        "..",
        "...",
        "a.b",
        "a.!!!.c",
        "a.bm90IEpTT04.c",
        jwt("[]"),
        jwt('"exp"'),
        jwt("{}"),
        jwt('{"exp"'),
        jwt("[" * 30_000),
        jwt('{"exp": 1}') + ".five.parts",
    ],
    ids=lambda text: text[:16],
)
def test_token_that_is_no_jwt_is_opaque(access_token: str) -> None:
    """A token may look like a JWT and be none: nothing is read into it, and nothing is odd."""
    token, oddities = read(answer(access_token, expires_in="3600"))
    assert (token.access_token, token.expires_at, oddities) == (access_token, NOW + 3_600, [])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        pytest.param({}, "raas.all", id="not said"),
        pytest.param({"scope": '"raas.read"'}, "raas.read", id="as granted"),
        pytest.param({"scope": "null"}, "raas.all", id="null"),
        pytest.param({"scope": "5"}, "raas.all", id="a number"),
        pytest.param({"scope": '["raas.read"]'}, "raas.all", id="a list"),
    ],
)
def test_scope_is_as_granted_or_else_as_requested(scope: dict[str, str], expected: str) -> None:
    """RFC 6749 lets a vendor leave the scope out where it grants what was asked for."""
    assert read(answer(**scope))[0].scope == expected


@pytest.mark.parametrize("token_type", ['"Bearer"', '"bearer"', '"BEARER"', '""', "null", "5", "[]", "true"])
def test_token_type_is_bearer(token_type: str) -> None:
    """The type's case means nothing (RFC 6749, 5.1), and where the vendor does not say, it is Bearer."""
    assert read(answer(token_type=token_type))[0].token_type == "Bearer"
    assert read(in_json(access_token=TOKEN))[0].token_type == "Bearer"


@pytest.mark.parametrize("key", ["scope", "token_type"])
@pytest.mark.parametrize(
    ("length", "value"),
    [
        pytest.param(20_000, "x" * 45_300, id="long"),
        pytest.param(20_000, "\u00e9" * 15_000, id="longer when it is escaped"),
        pytest.param(50_000, "\U0001f511" * 1_900, id="twelve bytes a character"),
    ],
)
def test_no_metadata_makes_a_token_too_large_to_save(key: str, length: int, value: str) -> None:
    """An issued token is never thrown away for its metadata: the document still fits in a secret."""
    long_token = "x" * length
    token, _ = read(json.dumps({"access_token": long_token, key: value}, ensure_ascii=False).encode())
    assert token.access_token == long_token
    assert len(token.to_json(Ledger())) <= SECRET_BYTES


def test_longest_token_that_can_be_saved_is_taken() -> None:
    """The bound counts what the token takes in a document, its quotes included."""
    assert read(in_json(access_token="x" * (MAX_TOKEN_BYTES - 2)))[0].access_token
    with pytest.raises(VendorError):
        read(in_json(access_token="x" * (MAX_TOKEN_BYTES - 1)))


@pytest.mark.parametrize("said", ["raas.all\n", "raas.all\u00a0raas.read", "\x0c", "half a pair: \ud800", "\u200b"])
@pytest.mark.parametrize("key", ["scope", "token_type"])
def test_token_reads_back_whatever_its_metadata(key: str, said: str) -> None:
    """An issued token is never thrown away for its metadata: the next run finds what this one has published."""
    token, _ = read(in_json(access_token=TOKEN, **{key: said}))
    assert Token.parse(token.to_json(Ledger()), ARRIVED_AT, DAY, 300) == token


@pytest.mark.parametrize("key", ["scope", "audience"])
def test_token_reads_back_whatever_was_set(key: str) -> None:
    """A blank that was pasted into a setting does not make every token that is issued for it unreadable."""
    token, _ = read(answer(), **{key: "pasted\u00a0with a blank that is none"})
    assert Token.parse(token.to_json(Ledger()), ARRIVED_AT, DAY, 300) == token


@pytest.mark.parametrize("more", [{"extra": '{"a": [1, null]}'}, {"refresh_token": '"r"'}, {"id_token": "5"}])
def test_unknown_keys_are_ignored(more: dict[str, str]) -> None:
    """RFC 6749, 5.1: what the client does not know it ignores."""
    assert read(answer(expires_in="86400", **more)) == read(answer(expires_in="86400"))


@pytest.mark.parametrize("access_token", ["a", "a b", "~" * 50_000, TOKEN], ids=["short", "a space", "long", "usual"])
def test_token_is_stored_as_it_came(access_token: str) -> None:
    """Any printable ASCII is a token, however short or long."""
    token, _ = read(answer(access_token))
    assert token.access_token == access_token
    assert len(token.to_json(Ledger())) <= SECRET_BYTES


BODIES = [
    pytest.param(b"", id="empty"),
    pytest.param(b"canary", id="text"),
    pytest.param(b"<html>canary</html>", id="HTML"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b'"canary"', id="a string"),
    pytest.param(b"{}", id="an empty object"),
    pytest.param(b"\xff\xfe\xfd", id="not Unicode"),
    pytest.param(answer()[:-1], id="cut"),
    pytest.param(b"[" * 60_000, id="nested too deeply"),
    pytest.param(b'{"access_token": ' + b'{"a":' * 10_000, id="a token nested too deeply"),
    pytest.param(in_json(data={"access_token": TOKEN}), id="the token in another object"),
    pytest.param(in_json(Access_Token=TOKEN), id="another case"),
    pytest.param(in_json(error="canary"), id="an error as a success"),
    *[
        pytest.param(in_json(access_token=value), id=f"token {value!r}"[:30])
        for value in (None, 5, True, [TOKEN], {"canary": 1}, "", " ", "\t")
    ],
    *[
        pytest.param(in_json(access_token=f"canary{text}canary"), id=f"with {text!a}")
        for text in ("\n", "\r\n", "\x00", "\t", "\x1f", "\x7f", "\x85", "\u2028", "\u00e9", "\ud800", "\U0001f511")
    ],
    pytest.param(in_json(access_token="canary\n"), id="with a line break at its end"),
    pytest.param(in_json(access_token="x" * 65_500), id="too long for a secret"),
]


@pytest.mark.parametrize("body", BODIES)
def test_success_without_a_usable_token(body: bytes) -> None:
    """It may have granted a token that nobody can use: a suspicion, no reason to ask again at once."""
    with pytest.raises(VendorError) as caught:
        read(body)
    assert (caught.value.retryable, caught.value.suspicious) == (False, True)
    assert "canary" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert caught.value.__context__ is None  # json's own error holds the body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["access_token", "expires_in", "scope", "token_type", "exp"])


@BOUNDED
@given(
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(keys, json_values).map(lambda fields: json.dumps({"access_token": TOKEN} | fields).encode())
    | json_values.map(lambda value: answer(jwt(json.dumps({"exp": value}))))
)
def test_any_body_is_a_token_that_can_be_true_or_a_vendor_error(body: bytes) -> None:
    """No bytes whatsoever raise anything else, nor make a token that outlives the maximum."""
    try:
        token, _ = read(body)
    except VendorError:
        return
    assert SENT_AT - 1 <= token.expires_at <= SENT_AT + DAY
    assert token.acquired_at == int(ARRIVED_AT)
    assert token.access_token.isascii()
    assert token.access_token.isprintable()
    assert Token.parse(token.to_json(Ledger()), ARRIVED_AT, DAY, 300) == token


@BOUNDED
@given(st.text(), st.dictionaries(keys, json_values))
def test_no_error_repeats_the_answer(text: str, fields: dict[str, Any]) -> None:
    """An error about an answer carries neither its token nor its text."""
    with pytest.raises(VendorError) as caught:
        read(in_json(**fields | {"access_token": f"{text}canary\n"}))
    assert "canary" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(answer() + b"\x00 // and more", id="more after it"),
        pytest.param(b"\xef\xbb\xbf \n" + answer(), id="a byte order mark before it"),
        pytest.param(answer(note='"caf?"').replace(b"caf?", b"caf\xe9"), id="another field that is no UTF-8"),
    ],
)
def test_what_surrounds_a_token_does_not_cost_it(body: bytes) -> None:
    """An issued token is never thrown away for what stands beside it."""
    token, _ = read(body)
    assert token.access_token == TOKEN
