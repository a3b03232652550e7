"""The token of a successful answer, and how long it lives."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import VendorError
from handler.ledger import Ledger
from handler.model import MAX_TOKEN_BYTES, Extra, Token
from handler.token_response import TokenResponse, parse_token

from .builders import AUDIENCE, BOUNDED, DAY, MARGIN, NOW, PRIMARY, URL, make_settings
from .strategies import json_values

TOKEN = "canary.opaque~token_0-9"
SENT_AT = NOW + 0.25
ARRIVED_AT = NOW + 2.75
SECRET_BYTES = 65_536  # AWS's quota for the value of a secret


def read(body: bytes, **settings: Any) -> TokenResponse:
    return parse_token(
        body,
        PRIMARY,
        make_settings(**settings),
        sent_at=SENT_AT,
        arrived_at=ARRIVED_AT,
    )


def read_back(token: Token) -> Token | None:
    """Return the token that the next run reads in the token secret."""
    return Token.parse(
        Ledger().to_json(token),
        now=ARRIVED_AT,
        max_lifetime_seconds=DAY,
        clock_margin_seconds=MARGIN,
    )


def usual_token(*, expires_at: int) -> Token:
    return Token(
        access_token=TOKEN,
        token_type="Bearer",
        scope="raas.all",
        expires_at=expires_at,
        acquired_at=NOW + 2,
        client_id=PRIMARY.client_id,
        username=None,
        audience=AUDIENCE,
        requested_scope="raas.all",
        requested_parameters="",
        token_url=URL,
    )


def oddity(name: str) -> str:
    return f"{name} is unusable, past or above the maximum"


def not_supported(life: int) -> str:
    return f"the token lives {life} s: less than 3600 s is not supported"


def ends_before_the_next(life: int, *, interval: int = 72_000) -> str:
    return (
        f"the token lives {life} s, not longer than LIMIT_INTERVAL_SECONDS ({interval} s): "
        "it ends before the next one may be asked for"
    )


def answer(access_token: str = TOKEN, **more: str) -> bytes:
    """Return a successful answer. `more` is JSON as the vendor wrote it."""
    fields = {"access_token": json.dumps(access_token), "token_type": '"Bearer"', **more}
    members = [f'"{name}": {text}' for name, text in fields.items()]
    return ("{" + ", ".join(members) + "}").encode()


def base64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def jwt(payload: str) -> str:
    header = base64url('{"alg":"none"}')
    return f"{header}.{base64url(payload)}.c2lnbmF0dXJl"


def as_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_token_of_a_usual_answer() -> None:
    """The token knows when it was acquired, when it ends, whose it is and where it came from."""
    response = read(answer(expires_in="86400", scope='"raas.all"'))
    assert response == TokenResponse(usual_token(expires_at=NOW + DAY), [])


ODD_EXPIRES_IN = [oddity("expires_in")]
LIFETIMES: list[tuple[str | None, float, list[str]]] = [
    (None, DAY, []),
    ("86400", DAY, []),
    ("72001", 72_001, []),
    ("72000", 72_000, [ends_before_the_next(72_000)]),
    ("3600", 3_600, [ends_before_the_next(3_600)]),
    ("3600.5", 3_600.5, [ends_before_the_next(3_600)]),
    ("3569", 3_569, [not_supported(3_569), ends_before_the_next(3_569)]),
    ("3570", 3_570, [ends_before_the_next(3_570)]),
    ('"86400"', DAY, []),
    ('"3600"', 3_600, [ends_before_the_next(3_600)]),
    ('"3600.5"', 3_600.5, [ends_before_the_next(3_600)]),
    ("1", 1, [not_supported(1), ends_before_the_next(1)]),
    ("86401", DAY, ODD_EXPIRES_IN),
    ("2592000", DAY, ODD_EXPIRES_IN),
    ('"2592000"', DAY, ODD_EXPIRES_IN),
    ("0", DAY, ODD_EXPIRES_IN),
    ('"0"', DAY, ODD_EXPIRES_IN),
    ("-1", DAY, ODD_EXPIRES_IN),
    ("-86400.5", DAY, ODD_EXPIRES_IN),
    ('"-5"', DAY, ODD_EXPIRES_IN),
    ('"abc"', DAY, ODD_EXPIRES_IN),
    ('""', DAY, ODD_EXPIRES_IN),
    ('"NaN"', DAY, ODD_EXPIRES_IN),
    ('"Infinity"', DAY, ODD_EXPIRES_IN),
    ("true", DAY, ODD_EXPIRES_IN),
    ("false", DAY, ODD_EXPIRES_IN),
    ("null", DAY, ODD_EXPIRES_IN),
    ("[3600]", DAY, ODD_EXPIRES_IN),
    ('{"seconds": 3600}', DAY, ODD_EXPIRES_IN),
    ("1e400", DAY, ODD_EXPIRES_IN),
    ("-1e400", DAY, ODD_EXPIRES_IN),
    ('"1e400"', DAY, ODD_EXPIRES_IN),
    ("NaN", DAY, ODD_EXPIRES_IN),
    ("Infinity", DAY, ODD_EXPIRES_IN),
    ("9" * 400, DAY, ODD_EXPIRES_IN),
    ("9" * 5_000, DAY, ODD_EXPIRES_IN),  # more digits than Python reads into an int
]


@pytest.mark.parametrize(
    ("expires_in", "lifetime", "oddities"),
    LIFETIMES,
    ids=[str(expires_in)[:12] for expires_in, _, _ in LIFETIMES],
)
def test_lifetime_by_expires_in(expires_in: str | None, lifetime: float, oddities: list[str]) -> None:
    """A usable lifetime shortens the maximum. An odd one is told, and costs no token."""
    body = answer()
    if expires_in is not None:
        body = answer(expires_in=expires_in)
    response = read(body)
    assert response.token.access_token == TOKEN
    assert response.token.expires_at == int(SENT_AT + lifetime)
    assert response.oddities == oddities


def test_lifetime_counts_from_before_the_request_was_sent() -> None:
    """A slow answer makes the token end no later."""
    response = parse_token(
        answer(expires_in="3600"),
        PRIMARY,
        make_settings(),
        sent_at=NOW,
        arrived_at=NOW + 100,
    )
    assert response.token.acquired_at == NOW + 100
    assert response.token.expires_at == NOW + 3_600


def test_maximum_lifetime_is_a_setting() -> None:
    """A lifetime above the maximum that is set is odd, and one below it is not."""
    maximum = {"max_lifetime_seconds": 4_000, "limit_interval_seconds": 60}
    day = read(answer(expires_in="86400"), **maximum)
    assert day.token.expires_at == NOW + 4_000
    assert day.oddities == [oddity("expires_in")]
    second_too_long = read(answer(expires_in="4001"), **maximum)
    assert second_too_long.oddities == [oddity("expires_in")]
    assert read(answer(expires_in="4000"), **maximum).oddities == []
    month = read(answer(expires_in="2592000"), max_lifetime_seconds=2_592_000)
    assert month == TokenResponse(usual_token(expires_at=NOW + 2_592_000), [])


@pytest.mark.parametrize(
    ("exp", "lifetime", "is_odd"),
    [
        pytest.param(str(NOW + 3_601), 3_601, False, id="shorter"),
        pytest.param(f"{NOW + 3_601}.5", 3_601.5, False, id="shorter, a float"),
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
    """The claim `exp` only ever shortens a token's life, and only if it is not past."""
    response = read(answer(jwt(f'{{"exp": {exp}}}'), expires_in="86400"), limit_interval_seconds=60)
    expected_end = NOW + lifetime
    if lifetime == DAY:
        expected_end = SENT_AT + DAY
    assert abs(response.token.expires_at - expected_end) <= 1
    oddities = []
    if is_odd:
        oddities = [oddity("the JWT's exp")]
    assert response.oddities == oddities


@pytest.mark.parametrize(("expires_in", "exp"), [(4_000, 5_000), (5_000, 4_000)])
def test_shortest_lifetime_counts(expires_in: int, exp: int) -> None:
    """If both lifetimes are usable, the shorter one counts."""
    body = answer(jwt(f'{{"exp": {NOW + exp}}}'), expires_in=str(expires_in))
    response = read(body, limit_interval_seconds=60)
    assert response.token.expires_at == NOW + 4_000
    assert response.oddities == []


def test_each_odd_lifetime_is_told() -> None:
    """Both lifetimes can be odd at once."""
    response = read(answer(jwt('{"exp": 5}'), expires_in="0"))
    assert response.token.expires_at == NOW + DAY
    assert response.oddities == [oddity("expires_in"), oddity("the JWT's exp")]


@pytest.mark.parametrize(
    ("exp", "expires_in", "odd"),
    [(5, 4_000, "the JWT's exp"), (NOW + 4_000, 0, "expires_in")],
)
def test_usable_lifetime_counts_next_to_an_odd_one(exp: int, expires_in: int, odd: str) -> None:
    """An odd lifetime does not hide the other one."""
    body = answer(jwt(f'{{"exp": {exp}}}'), expires_in=str(expires_in))
    response = read(body, limit_interval_seconds=60)
    assert response.token.expires_at == NOW + 4_000
    assert response.oddities == [oddity(odd)]


@pytest.mark.usefixtures("no_garbage_collection")
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
def test_token_that_is_not_a_jwt_is_opaque(access_token: str) -> None:
    """A token that only looks like a JWT is taken as it is, and nothing is odd."""
    response = read(answer(access_token, expires_in="3600"), limit_interval_seconds=60)
    assert response.token.access_token == access_token
    assert response.token.expires_at == NOW + 3_600
    assert response.oddities == []


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        pytest.param({}, "raas.all", id="not stated"),
        pytest.param({"scope": '"raas.read"'}, "raas.read", id="as granted"),
        pytest.param({"scope": "null"}, "raas.all", id="null"),
        pytest.param({"scope": "5"}, "raas.all", id="a number"),
        pytest.param({"scope": '["raas.read"]'}, "raas.all", id="a list"),
    ],
)
def test_scope_is_as_granted_or_else_as_requested(scope: dict[str, str], expected: str) -> None:
    """A vendor that grants the requested scope may leave it out (RFC 6749 section 5.1)."""
    assert read(answer(**scope)).token.scope == expected


@pytest.mark.parametrize("token_type", ['"Bearer"', '"bearer"', '"BEARER"', '""', "null", "5", "[]", "true"])
def test_token_type_is_bearer(token_type: str) -> None:
    """The type's case means nothing (RFC 6749 section 5.1)."""
    response = read(answer(token_type=token_type))
    assert response.token.token_type == "Bearer"
    assert response.oddities == []


def test_token_type_that_is_missing_is_bearer() -> None:
    """If the vendor does not state a type, it is Bearer."""
    response = read(as_json(access_token=TOKEN))
    assert response.token.token_type == "Bearer"
    assert response.oddities == []


@pytest.mark.parametrize("token_type", ["MAC", "DPoP", "bearer "])
def test_token_of_another_type_is_stored_and_told(token_type: str) -> None:
    """An issued token is never thrown away for its metadata. But consumers can't use it as they do."""
    response = read(as_json(access_token=TOKEN, token_type=token_type))
    assert response.token.token_type == token_type
    assert response.oddities == ["the token_type is not bearer: consumers send the token as a bearer token"]


def test_all_that_is_odd_is_told() -> None:
    """One answer can be odd in several ways. First comes what the vendor states of the life."""
    response = read(answer(token_type='"MAC"', expires_in="301"), max_lifetime_seconds=300)
    assert response.oddities == [
        oddity("expires_in"),
        "the token_type is not bearer: consumers send the token as a bearer token",
        not_supported(300),
        ends_before_the_next(300),
    ]


def test_life_is_compared_with_the_interval_that_is_set() -> None:
    """A token that ends with its interval leaves consumers without one."""
    too_long = read(answer(expires_in="4000"), limit_interval_seconds=4_000)
    assert too_long.oddities == [ends_before_the_next(4_000, interval=4_000)]
    assert read(answer(expires_in="4001"), limit_interval_seconds=4_000).oddities == []


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
    """An issued token is never thrown away for its metadata. The document still fits in a secret."""
    long_token = "x" * length
    fields = {"access_token": long_token, key: value}
    token = read(json.dumps(fields, ensure_ascii=False).encode()).token
    assert token.access_token == long_token
    assert len(Ledger().to_json(token)) <= SECRET_BYTES


def test_longest_token_that_can_be_saved_is_taken() -> None:
    """The maximum is for the token in a JSON document, with its quotes."""
    assert read(as_json(access_token="x" * (MAX_TOKEN_BYTES - 2))).token.access_token
    with pytest.raises(VendorError):
        read(as_json(access_token="x" * (MAX_TOKEN_BYTES - 1)))


@pytest.mark.parametrize(
    "value",
    ["raas.all\n", "raas.all\u00a0raas.read", "\x0c", "half a pair: \ud800", "\u200b"],
)
@pytest.mark.parametrize("key", ["scope", "token_type"])
def test_token_reads_back_whatever_its_metadata(key: str, value: str) -> None:
    """Whatever the vendor states, the next run finds the token that this one has published."""
    token = read(as_json(access_token=TOKEN, **{key: value})).token
    assert read_back(token) == token


@pytest.mark.parametrize("key", ["scope", "audience"])
def test_token_reads_back_whatever_was_set(key: str) -> None:
    """An odd blank in a setting does not make the tokens unreadable that are issued for it."""
    token = read(answer(), **{key: "pasted\u00a0with a blank that is not a space"}).token
    assert read_back(token) == token


@pytest.mark.parametrize(
    "more",
    [
        {"nested": '{"a": [1, null]}'},
        {"listed": '["text"]'},
        {"nothing": "null"},
        {"endless": "1e400"},
        {"refresh_token": '"r"'},
        {"id_token": "5"},
    ],
)
def test_other_keys_that_are_not_kept_are_ignored(more: dict[str, str]) -> None:
    """A client ignores the keys that it does not know (RFC 6749 section 5.1)."""
    response = read(answer(expires_in="86400", **more))
    assert response == read(answer(expires_in="86400"))
    assert response.token.extra == {}


def test_other_texts_numbers_and_booleans_are_kept() -> None:
    """What else the vendor answers, such as Salesforce's `instance_url`, goes out with the token."""
    body = answer(expires_in="86400", instance_url='"https://na1.example"', issued="1.5", seats="3", sandbox="false")
    response = read(body)
    extra = {"instance_url": "https://na1.example", "issued": 1.5, "seats": 3, "sandbox": False}
    assert response == TokenResponse(replace(usual_token(expires_at=NOW + DAY), extra=Extra(extra)), [])
    assert read_back(response.token) == response.token


def test_other_members_are_kept_up_to_2000_bytes() -> None:
    """A member that would make the rest too long is left out. A shorter one after it is kept."""
    fits = "x" * (2_000 - len('{"a": ""}'))
    assert read(as_json(access_token=TOKEN, a=fits)).token.extra == {"a": fits}
    assert read(as_json(access_token=TOKEN, a=fits + "x", b="y")).token.extra == {"b": "y"}


@pytest.mark.parametrize("access_token", ["a", "a b", "~" * 50_000, TOKEN], ids=["short", "a space", "long", "usual"])
def test_token_is_stored_as_it_came(access_token: str) -> None:
    """Any printable ASCII is a token, however short or long."""
    token = read(answer(access_token)).token
    assert token.access_token == access_token
    assert len(Ledger().to_json(token)) <= SECRET_BYTES


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
    pytest.param(as_json(data={"access_token": TOKEN}), id="the token in another object"),
    pytest.param(as_json(Access_Token=TOKEN), id="another case"),
    pytest.param(as_json(error="canary"), id="an error as a success"),
    *[
        pytest.param(as_json(access_token=value), id=f"token {value!r}"[:30])
        for value in (None, 5, True, [TOKEN], {"canary": 1}, "", " ", "\t")
    ],
    *[
        pytest.param(as_json(access_token=f"canary{text}canary"), id=f"with {text!a}")
        for text in (
            "\n",
            "\r\n",
            "\x00",
            "\t",
            "\x1f",
            "\x7f",
            "\x85",
            "\u2028",
            "\u00e9",
            "\ud800",
            "\U0001f511",
        )
    ],
    pytest.param(as_json(access_token="canary\n"), id="with a line break at its end"),
    pytest.param(as_json(access_token="x" * 65_500), id="too long for a secret"),
]


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("body", BODIES)
def test_success_without_a_usable_token(body: bytes) -> None:
    """The vendor may have issued a token that nobody can use, so asking again at once is wrong."""
    with pytest.raises(VendorError) as caught:
        read(body)
    assert caught.value.retryable is False
    assert caught.value.possibly_granted is True
    assert str(caught.value) == "the vendor's answer has no access_token that can be used and saved"
    assert "canary" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert caught.value.__context__ is None  # json's own error holds the body


def test_further_members_that_leave_no_room_for_the_token_are_left_out() -> None:
    """The token is what consumers need."""
    members = {"instance_url": json.dumps("x" * 1_900), "scope": json.dumps("y" * 1_990)}
    token = read(answer("t" * 55_900, **members), audience="a" * 1_500).token
    assert token.extra == {}
    assert len(token.scope) == 1_990
    assert read_back(token) == token


def test_token_that_leaves_no_room_for_a_ledger_can_not_be_saved() -> None:
    """It was issued all the same. The settings and the vendor's scope take the room."""
    body = answer("t" * 55_990, scope=json.dumps("y" * 1_990))
    with pytest.raises(VendorError, match=r"^the vendor's token is too long to be saved") as caught:
        read(body, audience="a" * 2_000, scope="s" * 2_000)
    assert caught.value.possibly_granted is True


keys = st.sampled_from(["access_token", "expires_in", "scope", "token_type", "exp"])


def with_token(fields: dict[str, Any]) -> bytes:
    return as_json(**{"access_token": TOKEN} | fields)


def with_exp(value: object) -> bytes:
    return answer(jwt(json.dumps({"exp": value})))


bodies = st.one_of(
    st.binary(),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(keys, json_values).map(with_token),
    json_values.map(with_exp),
)


@BOUNDED
@given(bodies)
def test_any_body_is_a_token_that_can_be_true_or_a_vendor_error(body: bytes) -> None:
    """No bytes raise anything else, and no token outlives the maximum."""
    try:
        token = read(body).token
    except VendorError:
        return
    assert SENT_AT - 1 <= token.expires_at <= SENT_AT + DAY
    assert token.acquired_at == int(ARRIVED_AT)
    assert token.access_token.isascii()
    assert token.access_token.isprintable()
    assert read_back(token) == token


@BOUNDED
@given(st.text(), st.dictionaries(keys, json_values))
def test_no_error_repeats_the_answer(text: str, fields: dict[str, Any]) -> None:
    """The error of an answer shows neither its token nor its text."""
    with pytest.raises(VendorError) as caught:
        read(as_json(**fields | {"access_token": f"{text}canary\n"}))
    assert "canary" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(answer() + b"\x00 // and more", id="more after it"),
        pytest.param(b"\xef\xbb\xbf \n" + answer(), id="a byte order mark before it"),
        pytest.param(answer(note='"caf?"').replace(b"caf?", b"caf\xe9"), id="another field that is not UTF-8"),
        pytest.param(answer(note='"two\nlines"'), id="a line break in another field"),
    ],
)
def test_what_surrounds_a_token_does_not_cost_it(body: bytes) -> None:
    """An issued token is never thrown away for what stands next to it."""
    assert read(body).token.access_token == TOKEN
