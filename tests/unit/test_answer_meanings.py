"""What an answer means beyond its status: errors with a 2xx, further members of a token's answer, odd metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from handler.errors import CredentialsRefused, RateLimited, RefreshError, RequestRefused, VendorError
from handler.model import Token
from handler.token_response import TokenResponse, parse_token

from .builders import (
    BOUNDED,
    DAY,
    HOUR,
    INTERVAL,
    LIMIT_TEXT,
    MARGIN,
    NOW,
    PRIMARY,
    make_error,
    make_settings,
    make_token,
)
from .strategies import json_values

TOKEN = "canary.opaque~token_0-9"
LIMIT = INTERVAL - MARGIN
MAX_EXTRA_BYTES = 2_000
KNOWN_MEMBERS = ["access_token", "token_type", "scope", "expires_in", "refresh_token", "id_token"]


def as_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def answer(**more: object) -> bytes:
    """Return a successful answer with these members too."""
    return as_json(**{"access_token": TOKEN, "token_type": "Bearer", "expires_in": DAY} | more)


def read(body: bytes, **settings: Any) -> TokenResponse:
    return parse_token(
        body,
        PRIMARY,
        make_settings(**settings),
        sent_at=NOW,
        arrived_at=NOW,
    )


def extra_of(body: bytes) -> dict[str, Any]:
    """Return what the token secret's document has under `extra`."""
    extra: dict[str, Any] = read(body).token.document()["extra"]
    return extra


def facts(error: RefreshError) -> tuple[type[RefreshError], bool, bool, int | None]:
    return type(error), error.retryable, error.possibly_granted, error.retry_after


# A success without a token, but with an error


@pytest.mark.parametrize("status", [200, 201, 203])
@pytest.mark.parametrize(
    ("body", "error_class"),
    [
        pytest.param(as_json(error="invalid_client"), CredentialsRefused, id="invalid_client"),
        pytest.param(as_json(error="invalid_grant"), CredentialsRefused, id="invalid_grant"),
        pytest.param(as_json(ok=False, error="invalid_client_id"), CredentialsRefused, id="next to other members"),
        pytest.param(as_json(access_token=None, error="invalid_client"), CredentialsRefused, id="no access_token"),
        pytest.param(as_json(error="invalid_scope"), RequestRefused, id="invalid_scope"),
        pytest.param(as_json(error="something_else"), RequestRefused, id="an unknown code"),
        pytest.param(
            as_json(error="access_denied", error_description=LIMIT_TEXT.decode()),
            RateLimited,
            id="the limit",
        ),
    ],
)
def test_success_with_an_error_means_what_the_error_means(
    status: int, body: bytes, error_class: type[RefreshError]
) -> None:
    """Some vendors answer 200 to a refusal: nothing was issued, and a person must do something."""
    error = make_error(status, body)
    assert type(error) is error_class
    assert facts(error) == facts(make_error(400, body))
    assert error.possibly_granted is False
    assert f"HTTP {status}" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<html>error: invalid_client</html>",
        b'["error"]',
        as_json(message="invalid_client"),
        as_json(error=None),
        as_json(error=""),
        LIMIT_TEXT,
    ],
)
def test_success_without_a_token_and_without_an_error_may_be_a_token(body: bytes) -> None:
    """The vendor believes that it issued a token, so the slot is under suspicion."""
    error = make_error(200, body)
    assert type(error) is VendorError
    assert error.possibly_granted is True


def test_token_next_to_an_error_is_a_token() -> None:
    """An issued token is never thrown away for what stands next to it."""
    assert read(answer(error="invalid_client")).token.access_token == TOKEN


# What an error says


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("invalid_target", id="RFC 8707"),
        pytest.param("temporarily_unavailable", id="RFC 6749, 4.1.2.1"),
        pytest.param("server_error", id="RFC 6749, 4.1.2.1 too"),
    ],
)
@pytest.mark.parametrize("status", [400, 503])
def test_code_of_a_standard_is_repeated(status: int, code: str) -> None:
    """The vendor's code tells a person what to do: a wrong `resource`, or to wait."""
    assert code in str(make_error(status, as_json(error=code, error_description="canary")))


@pytest.mark.parametrize("body", [b"", as_json(error="invalid_client"), as_json(error="access_denied")])
def test_refused_credentials_name_what_else_may_be_wrong(body: bytes) -> None:
    """Vendors answer 401 to a wrong way to authenticate, audience or endpoint too."""
    message = str(make_error(401, body))
    for name in ("CLIENT_AUTH", "AUDIENCE", "TOKEN_URL"):
        assert name in message


def test_refused_request_names_the_settings_that_shape_it() -> None:
    """A person looks at these variables first."""
    message = str(make_error(404))
    for name in ("TOKEN_URL", "AUDIENCE", "SCOPE", "CLIENT_AUTH"):
        assert name in message


# What is odd about a token


@pytest.mark.parametrize(
    ("members", "settings", "is_odd"),
    [
        pytest.param({}, {}, False, id="a day"),
        pytest.param({"expires_in": LIMIT + 1}, {}, False, id="a second longer than the limit"),
        pytest.param({"expires_in": LIMIT}, {}, True, id="as long as the limit"),
        pytest.param({"expires_in": HOUR}, {}, True, id="an hour under a limit of 20 h"),
        pytest.param({"expires_in": HOUR}, {"limit_interval_seconds": 0}, False, id="an hour without a limit"),
        pytest.param({"expires_in": HOUR - 1}, {"limit_interval_seconds": 0}, False, id="an hour, as Entra ID counts"),
        pytest.param({"expires_in": HOUR - 31}, {"limit_interval_seconds": 0}, True, id="less than an hour"),
        pytest.param({"expires_in": 300}, {"limit_interval_seconds": 0}, True, id="five minutes"),
        pytest.param({}, {"max_lifetime_seconds": LIMIT}, True, id="a maximum as long as the limit"),
        pytest.param({"token_type": "bearer"}, {}, False, id="bearer"),
        pytest.param({"token_type": "BEARER"}, {}, False, id="BEARER"),
        pytest.param({"token_type": None}, {}, False, id="no type"),
        pytest.param({"token_type": "mac"}, {}, True, id="mac"),
        pytest.param({"token_type": "DPoP"}, {}, True, id="DPoP"),
    ],
)
def test_token_that_will_not_serve_as_usual_is_odd(
    members: dict[str, object], settings: dict[str, int], is_odd: bool
) -> None:
    """The token is used all the same, and a person is warned on its arrival."""
    response = read(answer(**members), **settings)
    assert response.token.access_token == TOKEN
    assert bool(response.oddities) is is_odd


def test_type_that_is_odd_is_named_but_not_repeated() -> None:
    """The value may quote the request."""
    [oddity] = read(answer(token_type="canary")).oddities
    assert "token_type" in oddity
    assert "canary" not in oddity


# What else the vendor answers


@pytest.mark.parametrize("value", ["https://eu1.example/", "", 5, 0, 1.5, -1, True, False])
def test_further_members_are_kept(value: object) -> None:
    """Consumers need some vendors' further members: an address of the API, say."""
    assert extra_of(answer(instance_url=value)) == {"instance_url": value}


def test_usual_answer_has_no_further_members() -> None:
    """What has a place of its own is not repeated."""
    assert extra_of(answer()) == {}


@pytest.mark.parametrize("name", KNOWN_MEMBERS)
def test_member_with_a_place_of_its_own_is_not_kept(name: str) -> None:
    """Neither the token nor a second secret is stored next to it."""
    values = dict.fromkeys(KNOWN_MEMBERS, "canary")
    assert name not in extra_of(as_json(**values, instance_url="x"))
    assert extra_of(as_json(**values, instance_url="x")) == {"instance_url": "x"}


@pytest.mark.parametrize("value", [None, [], ["a"], {}, {"a": 1}])
def test_member_that_is_not_a_plain_value_is_left_out(value: object) -> None:
    """Only strings, numbers and booleans are kept."""
    assert extra_of(answer(other=value, instance_url="x")) == {"instance_url": "x"}


@pytest.mark.parametrize("members", [{"other": "\ud800"}, {"\ud800": "x"}, {"other": "a\udfffb"}])
def test_half_a_surrogate_pair_is_left_out(members: dict[str, object]) -> None:
    """It can't be written as UTF-8, and consumers do so."""
    assert extra_of(answer(**members, instance_url="x")) == {"instance_url": "x"}


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000],
    ids=lambda text: text[:9],
)
def test_number_that_json_can_not_hold_does_not_spoil_the_document(text: str) -> None:
    """Python writes words that other languages refuse in JSON."""
    body = f'{{"access_token": "{TOKEN}", "expires_in": 86400, "other": {text}}}'.encode()
    document = read(body).token.document()
    json.dumps(document, allow_nan=False)
    assert "extra" in document


@pytest.mark.parametrize(
    "members",
    [
        {"other": "x" * 3_000},
        {f"other-{number}": "x" * 100 for number in range(100)},
        {"x" * 3_000: 1},
        {"other": "\u20ac" * 700},
        {f"n{number}": 1 for number in range(2_000)},
    ],
    ids=["a long text", "many", "a long name", "not ASCII", "many numbers"],
)
def test_further_members_are_bounded_as_a_whole(members: dict[str, object]) -> None:
    """A secret has no room for more, and the token is worth more than they are."""
    assert len(json.dumps(extra_of(answer(**members)))) <= MAX_EXTRA_BYTES


def test_further_members_up_to_the_bound_are_kept() -> None:
    """The bound is for the JSON of all of them."""
    text = "x" * (MAX_EXTRA_BYTES - len('{"a": ""}'))
    assert extra_of(answer(a=text)) == {"a": text}


def read_back(document: dict[str, Any]) -> Token | None:
    return Token.parse(
        json.dumps(document),
        now=NOW,
        max_lifetime_seconds=DAY,
        clock_margin_seconds=MARGIN,
    )


def test_further_members_are_read_back() -> None:
    """A token that is carried and published again keeps them."""
    token = read(answer(instance_url="https://eu1.example/", count=5, on=True)).token
    assert token.document()["extra"] == {"instance_url": "https://eu1.example/", "count": 5, "on": True}
    assert read_back(token.document()) == token


@pytest.mark.parametrize("extra", [None, 5, "text", [], [1], True])
def test_token_whose_further_members_make_no_sense_is_a_token(extra: object) -> None:
    """A good token is never lost for them."""
    token = read_back(make_token().document() | {"extra": extra})
    assert token is not None
    assert token.document()["extra"] == {}


def test_token_without_further_members_is_a_token() -> None:
    """Another program may have written the document without them."""
    document = make_token().document()
    document.pop("extra", None)
    token = read_back(document)
    assert token is not None
    assert token.document()["extra"] == {}


@pytest.mark.parametrize(
    "extra",
    [
        {"a": [1]},
        {"a": None},
        {"a": "\ud800"},
        {"\ud800": "a"},
        {"a": "x" * 60_000},
        {"refresh_token": "canary"},
    ],
    ids=lambda extra: repr(extra)[:20],
)
def test_further_members_that_somebody_else_wrote_are_bounded_too(extra: dict[str, Any]) -> None:
    """The next publish writes them again, so they follow the same rules."""
    token = read_back(make_token().document() | {"extra": extra | {"instance_url": "x"}})
    assert token is not None
    written = token.document()["extra"]
    text = json.dumps(written, ensure_ascii=False, allow_nan=False)
    assert len(text.encode()) <= MAX_EXTRA_BYTES
    assert "refresh_token" not in written


@BOUNDED
@given(json_values)
def test_any_further_member_leaves_a_document_that_can_be_written(value: object) -> None:
    """Whatever the vendor adds, the token is stored, in JSON that every language reads."""
    document = read(answer(other=value)).token.document()
    assert document["access_token"] == TOKEN
    text = json.dumps(document["extra"], ensure_ascii=False, allow_nan=False)
    assert len(text.encode()) <= MAX_EXTRA_BYTES
