"""What the documents of both secrets mean, and what a consumer finds in the token secret."""

import json
import math
import time
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import CredentialsError
from handler.ledger import Ledger
from handler.model import SEED, Client, Credentials, Extra, Token, utc

from .builders import (
    BOUNDED,
    DAY,
    FULL_LEDGER,
    MARGIN,
    NESTED_TOO_DEEPLY,
    NOW,
    PRIMARY,
    STANDBY,
    TOO_MANY_DIGITS,
    make_token,
    shortened,
)
from .strategies import json_values

PAIR = {"client_id": "client-primary", "client_secret": "canary-primary-secret"}
OTHER_PAIR = {"client_id": "client-standby", "client_secret": "canary-standby-secret"}
KEYS_OF_A_TOKEN = [
    "access_token",
    "token_type",
    "scope",
    "expires_at",
    "acquired_at",
    "client_id",
    "audience",
    "requested_scope",
    "requested_parameters",
    "token_url",
]


def read(text: str | None, now: float = NOW) -> Token | None:
    return Token.parse(text, now=now, max_lifetime_seconds=DAY, clock_margin_seconds=MARGIN)


def document_of(token: Token, **changes: Any) -> str:
    return json.dumps(json.loads(Ledger().to_json(token)) | changes)


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


# The token secret's document


def test_token_document_has_the_keys_that_consumers_rely_on() -> None:
    """The document has these keys with these types, and no other."""
    token = make_token(age=0)
    assert json.loads(FULL_LEDGER.to_json(token)) == {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "scope": "raas.all",
        "expires_at": NOW + DAY,
        "acquired_at": NOW,
        "client_id": "client-primary",
        "username": None,
        "audience": "https://api.tangocard.com/",
        "requested_scope": "raas.all",
        "requested_parameters": "",
        "token_url": "https://auth.example/oauth/token",
        "extra": {},
        "expires_at_utc": "2027-01-16T08:00:00Z",
        "schema": 1,
        "ledger": asdict(FULL_LEDGER),
    }


def test_token_document_reads_back_as_token_and_ledger() -> None:
    """One version holds both the token and the ledger that it was published with."""
    token = make_token(extra=Extra(instance_url="https://na1.example", seats=3, ratio=0.5, sandbox=True))
    assert json.loads(FULL_LEDGER.to_json(token))["extra"] == token.extra
    assert read(FULL_LEDGER.to_json(token)) == token
    assert Ledger.parse(FULL_LEDGER.to_json(token)) == FULL_LEDGER


def test_seed_is_not_a_token() -> None:
    """The first document says that no token has been issued yet."""
    assert json.loads(SEED) == {"access_token": None, "expires_at": 0, "schema": 1}
    assert read(SEED) is None


@pytest.mark.parametrize(
    ("stated", "believed"),
    [(DAY - 1, DAY - 1), (DAY, DAY), (DAY + 1, DAY), (10**30, DAY)],
)
def test_token_ends_a_maximum_lifetime_after_it_was_acquired(stated: int, believed: int) -> None:
    """An `expires_at` that is too far ahead is believed only as far as it can be true."""
    token = read(document_of(make_token(), expires_at=NOW - 3_600 + stated))
    assert token == replace(make_token(), expires_at=NOW - 3_600 + believed)


@pytest.mark.parametrize(
    ("ahead", "is_token"),
    [(0, True), (MARGIN, True), (MARGIN + 1, False), (10**30, False)],
)
def test_token_acquired_ahead_of_now_is_not_a_token(ahead: int, is_token: bool) -> None:
    """A token that was acquired more than a margin ahead of now would never be renewed."""
    found = read(document_of(make_token(age=0), acquired_at=NOW + ahead))
    assert (found is not None) is is_token


@pytest.mark.parametrize("key", KEYS_OF_A_TOKEN)
@pytest.mark.parametrize("value", [None, True, -1, 1.5, math.nan, math.inf, [], {}, ["text"]])
def test_document_with_a_key_of_another_type_is_not_a_token(key: str, value: Any) -> None:
    """A mistake in any key that the keeper reads means a missing token, not a crash."""
    assert read(document_of(make_token(), **{key: value})) is None


@pytest.mark.parametrize("key", KEYS_OF_A_TOKEN)
def test_document_without_a_key_is_not_a_token(key: str) -> None:
    """A document that lacks a key that the keeper needs is not a token."""
    assert read(json.dumps(without(json.loads(document_of(make_token())), key))) is None


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="bytes instead of text"),
        pytest.param("", id="empty"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a list"),
        pytest.param('"text"', id="a text"),
        pytest.param("5", id="a number"),
        pytest.param("{", id="cut"),
        pytest.param("{}", id="an empty object"),
        pytest.param("ghp_0123456789", id="a bare token of something else"),
        pytest.param('{"username": "u", "password": "p"}', id="another secret's document"),
        pytest.param('{"access_token": "a", "expires_in": 86400}', id="the vendor's answer, pasted"),
        pytest.param(NESTED_TOO_DEEPLY, id="nested too deeply"),
        pytest.param('{"access_token": ' + '{"a":' * 100_000, id="objects nested too deeply"),
        pytest.param(f'{{"expires_at": {TOO_MANY_DIGITS}}}', id="a number too long to read"),
        pytest.param(document_of(make_token(), access_token=""), id="an empty token"),
        pytest.param(document_of(make_token(), access_token="  "), id="a blank token"),
        pytest.param(FULL_LEDGER.to_json(), id="a claim"),
        *[
            pytest.param(
                document_of(make_token(), added_later=value),
                id=f"{value} in another key, since that is not JSON",
            )
            for value in (math.nan, math.inf, -math.inf)
        ],
        pytest.param(document_of(make_token(), extra={"a": math.nan}), id="NaN in extra"),
        pytest.param(
            document_of(make_token(), access_token="half a pair: \ud800"),
            id="a token that can't be sent",
        ),
        pytest.param(document_of(make_token(), client_id="line\nbreak"), id="a client id that can't be shown"),
        pytest.param(
            document_of(make_token(), scope="two lines").replace("two lines", "two\nlines"),
            id="a line break in a text, which JSON does not allow",
        ),
    ],
)
def test_foreign_or_corrupt_document_is_not_a_token(text: str | None) -> None:
    """Any other text in the secret is not a token, and raises nothing."""
    assert read(text) is None


def test_token_document_may_have_other_keys() -> None:
    """A key that a later version adds does not make the token unreadable."""
    assert read(document_of(make_token(), added_later={"a": 1})) == make_token()


@pytest.mark.parametrize("value", [None, True, 5, "text", [], ["text"]])
def test_document_whose_extra_is_not_an_object_is_a_token_without(value: Any) -> None:
    """A token is never lost for what the vendor answered next to it."""
    assert read(document_of(make_token(), extra=value)) == make_token()


def test_document_without_extra_is_a_token() -> None:
    """A document that a person puts back need not have it."""
    assert read(json.dumps(without(json.loads(document_of(make_token())), "extra"))) == make_token()


@pytest.mark.parametrize(
    "value",
    [None, [], {}, ["text"], "half a pair: \ud800", "x" * 2_000],
    ids=shortened,
)
def test_member_of_extra_that_can_t_be_kept_is_left_out(value: Any) -> None:
    """What is read can be written again, and shown."""
    extra = {"before": 1, "member": value, "after": "text"}
    expected = make_token(extra=Extra(before=1, after="text"))
    assert read(document_of(make_token(), extra=extra)) == expected


def test_number_in_extra_that_is_too_large_is_left_out() -> None:
    """JSON has it, but written again it would be Infinity, which JSON does not have."""
    text = document_of(make_token(), extra={"before": 1, "member": "number"})
    assert read(text.replace('"number"', "1e999")) == make_token(extra=Extra(before=1))


@pytest.mark.parametrize("key", ["access_token", "token_type", "scope", "client_id", "audience", "token_url"])
def test_document_that_leaves_no_room_for_a_ledger_is_not_a_token(key: str) -> None:
    """Otherwise no claim could carry the token. The bytes are those of the JSON text."""
    room = 61_000 - len(json.dumps(make_token().document() | {key: ""}))
    longest: dict[str, Any] = {key: "x" * room}
    too_long: dict[str, Any] = {key: "x" * (room + 1)}
    assert read(document_of(make_token(), **longest)) == make_token(**longest)
    assert read(document_of(make_token(), **too_long)) is None


def test_repr_shows_no_secret() -> None:
    """A repr shows neither a token nor a client secret, nor what the vendor answered next to the token."""
    shown = repr([make_token(extra=Extra(note="canary")), Credentials(PRIMARY, STANDBY, "version-1"), PRIMARY])
    assert "canary" not in shown
    assert PRIMARY.client_id in shown


@BOUNDED
@given(st.text() | json_values.map(json.dumps))
def test_any_text_can_be_read(text: str) -> None:
    """No text at all makes reading the token secret fail."""
    assert read(text) is None


@BOUNDED
@given(st.sampled_from(sorted(asdict(make_token()))), json_values)
def test_token_with_any_value_in_a_key_can_be_true_or_is_not_a_token(key: str, value: Any) -> None:
    """Whatever stands in a key, the token's life can be true or there is no token."""
    token = read(document_of(make_token(), **{key: value}))
    if token:
        assert token.acquired_at <= NOW + MARGIN
        assert token.expires_at <= token.acquired_at + DAY
        assert read(Ledger().to_json(token)) == token


# The credentials secret


def test_credentials_are_read_with_and_without_a_standby() -> None:
    """The standby is optional, and null means none."""
    alone = Credentials(Client(**PAIR), None, "v")
    both = Credentials(Client(**PAIR), Client(**OTHER_PAIR), "v")
    null = PAIR | {"standby": None}
    assert Credentials.parse(json.dumps(PAIR), "v") == alone
    assert Credentials.parse(json.dumps(null), "v") == alone
    assert Credentials.parse(json.dumps(PAIR | {"standby": OTHER_PAIR}), "v") == both


def test_unknown_keys_are_ignored_and_named() -> None:
    """A mistyped `Standby` does not stay unnoticed. Nothing of its value is repeated."""
    document = PAIR | {"Standby": {"client_secret": "canary"}, "standby": OTHER_PAIR | {"owner": "canary"}}
    assert Credentials.parse(json.dumps(document), "v") == Credentials(
        Client(**PAIR),
        Client(**OTHER_PAIR),
        "v",
        warnings=(
            "the credentials secret has an unknown key 'Standby': it is ignored",
            "the credentials secret has an unknown key 'standby.owner': it is ignored",
        ),
    )


def test_at_most_ten_unknown_keys_are_named_each_in_40_characters() -> None:
    """The warnings go to each result, so a foreign document must not fill the log or end Lambda's runtime."""
    keys = ["\ud800" + "k" * 50, *(f"key-{number}" for number in range(10))]
    names = ["'\\ud800" + "k" * 39 + "'", *(f"'key-{number}'" for number in range(9))]
    warnings = Credentials.parse(json.dumps(PAIR | dict.fromkeys(keys)), "v").warnings
    assert warnings == tuple(f"the credentials secret has an unknown key {name}: it is ignored" for name in names)


def test_principals_are_those_of_both_clients() -> None:
    """The configured clients are the primary and, if there is one, the standby."""
    assert Credentials(PRIMARY, None, "v").principals == {PRIMARY.principal}
    assert Credentials(PRIMARY, STANDBY, "v").principals == {PRIMARY.principal, STANDBY.principal}


BAD_TEXTS: list[Any] = [
    None,
    "",
    "  ",
    5,
    True,
    [],
    {"a": "canary"},
    "canary\n",
    "canary\x00",
    "\tcanary",
]


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize("value", BAD_TEXTS)
def test_bad_field_of_the_primary_is_named(name: str, value: Any) -> None:
    """A field that is empty or not plain text is named, and its value is not repeated."""
    with pytest.raises(CredentialsError, match=rf"\b(?<!standby\.){name}\b") as caught:
        Credentials.parse(json.dumps(PAIR | {name: value}), "v")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize("value", BAD_TEXTS)
def test_bad_field_of_the_standby_is_named(name: str, value: Any) -> None:
    """A mistake in the standby is told apart from the same mistake in the primary."""
    with pytest.raises(CredentialsError, match=rf"standby\W+{name}\b") as caught:
        Credentials.parse(json.dumps(PAIR | {"standby": OTHER_PAIR | {name: value}}), "v")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_missing_field_is_named(name: str) -> None:
    """A missing field is named, in the primary and in the standby."""
    with pytest.raises(CredentialsError, match=name):
        Credentials.parse(json.dumps(without(PAIR, name)), "v")
    with pytest.raises(CredentialsError, match=rf"standby\W+{name}"):
        Credentials.parse(json.dumps(PAIR | {"standby": without(OTHER_PAIR, name)}), "v")


@pytest.mark.parametrize("standby", [False, 0, "", "canary", 5, [], {}, [OTHER_PAIR]])
def test_standby_that_is_not_an_object_is_named(standby: Any) -> None:
    """A standby that is not an object is a mistake. Only null means that there is none."""
    with pytest.raises(CredentialsError, match="standby") as caught:
        Credentials.parse(json.dumps(PAIR | {"standby": standby}), "v")
    assert "canary" not in str(caught.value)


def test_standby_with_the_primary_id_is_refused() -> None:
    """Two clients with one id would share one slot without knowing it."""
    same_id = OTHER_PAIR | {"client_id": PAIR["client_id"]}
    with pytest.raises(CredentialsError, match=r"standby.*client_id") as caught:
        Credentials.parse(json.dumps(PAIR | {"standby": same_id}), "v")
    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "5",
        '"canary"',
        "canary",
        "{",
        '{"client_id": "canary',
        "{}",
        NESTED_TOO_DEEPLY,
        TOO_MANY_DIGITS,
    ],
    ids=shortened,
)
def test_credentials_that_are_not_an_object_are_refused(text: str) -> None:
    """A text that is not a JSON object is refused, by an error that repeats nothing of it."""
    with pytest.raises(CredentialsError, match=r"JSON.*client_id.*client_secret") as caught:
        Credentials.parse(text, "v")
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None  # json's own error holds the document


@BOUNDED
@given(st.none() | st.text() | json_values.map(json.dumps))
def test_any_text_is_credentials_or_a_credentials_error(text: str | None) -> None:
    """No text at all makes reading the credentials fail in another way."""
    with pytest.raises(CredentialsError):
        Credentials.parse(text, "v")


@BOUNDED
@given(st.sampled_from(["client_id", "client_secret", "standby"]), json_values)
def test_credentials_with_any_value_in_a_key_are_usable_or_refused(key: str, value: Any) -> None:
    """Whatever stands in a key, accepted credentials have usable ids and secrets."""
    try:
        found = Credentials.parse(json.dumps(PAIR | {key: value}), "v")
    except CredentialsError:
        return
    for client in filter(None, (found.primary, found.standby)):
        assert client.client_id.strip()
        assert client.client_secret.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json.dumps(PAIR) + " // and more",
            " is not a JSON object with client_id and client_secret",
        ),
        ("no JSON", " is not a JSON object with client_id and client_secret"),
        (None, " is binary: put its JSON as text"),
        ("\ufeff" + json.dumps(PAIR), " begins with a byte order mark: save it without"),
        ("\ufeff{}", " begins with a byte order mark: save it without"),
        (json.dumps(PAIR | {"client_id": ""}), ": client_id is missing, empty or not a text"),
        (json.dumps(PAIR | {"client_id": " \n"}), ": client_id is missing, empty or not a text"),
        (json.dumps(PAIR | {"client_secret": 5}), ": client_secret is missing, empty or not a text"),
        (json.dumps(PAIR | {"client_secret": " canary"}), ": client_secret has white space at an end: remove it"),
        (json.dumps(PAIR | {"client_secret": "canary\n"}), ": client_secret has white space at an end: remove it"),
        (
            json.dumps(PAIR | {"client_id": "can\x00ary"}),
            ": client_id has a character that can't be printed: remove it",
        ),
        (
            json.dumps(PAIR | {"client_secret": "can\ud800ary"}),
            ": client_secret has a character that can't be printed: remove it",
        ),
        (json.dumps(PAIR | {"client_id": "x" * 1_001}), ": client_id and username are longer than 1000 characters"),
        (
            json.dumps(PAIR | {"standby": OTHER_PAIR | {"client_id": "x" * 1_001}}),
            ": standby.client_id and username are longer than 1000 characters",
        ),
        (
            json.dumps(PAIR | {"standby": OTHER_PAIR | {"client_secret": "canary\u00a0"}}),
            ": standby.client_secret has white space at an end: remove it",
        ),
        (
            json.dumps(PAIR | {"standby": {}}),
            ": standby.client_id is missing, empty or not a text",
        ),
        (
            json.dumps(PAIR | {"standby": PAIR}),
            ": standby is the primary: its client_id, or its username, must differ",
        ),
    ],
    ids=[
        "more than JSON",
        "not JSON",
        "binary",
        "byte order mark",
        "byte order mark, empty",
        "empty id",
        "blank id",
        "a number",
        "a space before",
        "a line break after",
        "a control character",
        "half a surrogate pair",
        "long id",
        "long id of the standby",
        "a no-break space after",
        "empty standby",
        "standby with the same id",
    ],
)
def test_error_says_what_is_wrong_with_the_credentials(text: str | None, message: str) -> None:
    """The message is enough to correct the secret."""
    with pytest.raises(CredentialsError) as caught:
        Credentials.parse(text, "v")
    assert str(caught.value) == "the credentials secret" + message
    assert caught.value.__context__ is None  # json's own error holds the document


def test_credentials_may_have_white_space_inside_and_a_long_id() -> None:
    """Only what was pasted along at an end is a mistake."""
    document = PAIR | {"client_id": "x" * 1_000, "client_secret": "two words"}
    assert Credentials.parse(json.dumps(document), "v").primary == Client("x" * 1_000, "two words")


# Times as text


def test_time_as_text_is_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time in a result or an error does not depend on the machine's time zone."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        text = utc(NOW)
    time.tzset()
    assert text == "2027-01-15T08:00:00Z"
