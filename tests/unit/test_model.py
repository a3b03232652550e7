"""What the documents of both secrets mean, as far as they can be true, and what a consumer finds in them."""

import json
import math
import time
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import CredentialsError
from handler.model import SEED, Client, Credentials, Ledger, Lock, Slot, Token, utc

from .builders import BOUNDED, DAY, FORMER, NOW, PRIMARY, STANDBY, make_lock, make_token

MARGIN = 300
LEDGER = Ledger(make_lock(), 2, NOW + 60, {PRIMARY.client_id: Slot(NOW + 5, "rate_limited", 1, "version-1")})
PAIR = {"client_id": "client-primary", "client_secret": "canary-primary-secret"}
OTHER_PAIR = {"client_id": "client-standby", "client_secret": "canary-standby-secret"}
DEEP = "[" * 100_000
HUGE = "9" * 5_000  # more digits than Python reads into an int
NO_TEXTS: list[Any] = [None, True, 5, [], {}]
NO_TIMES: list[Any] = [None, True, -1, 1.5, "5", [], {}, math.nan]
NONSENSE: list[Any] = [None, True, False, -1, 1.5, math.nan, math.inf, "", "text", [], {}, [1], {"a": 1}]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def read(text: str | None, now: float = NOW) -> Token | None:
    return Token.parse(text, now, DAY, MARGIN)


def document_of(token: Token, **changes: Any) -> str:
    return json.dumps(json.loads(token.to_json(Ledger())) | changes)


def shortened(text: str | None) -> str:
    return repr(text)[:24]


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


# The token secret's document


def test_token_document_has_the_keys_that_consumers_rely_on() -> None:
    """The document has these keys with these types, and no other."""
    token = make_token(age=0)
    assert json.loads(token.to_json(LEDGER)) == {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "scope": "raas.all",
        "expires_at": NOW + DAY,
        "acquired_at": NOW,
        "client_id": "client-primary",
        "audience": "https://api.tangocard.com/",
        "token_url": "https://auth.example/oauth/token",
        "expires_at_utc": "2027-01-16T08:00:00Z",
        "schema": 1,
        "ledger": asdict(LEDGER),
    }


def test_token_document_reads_back_as_token_and_ledger() -> None:
    """One version is both: the token and the ledger that it was published with."""
    token = make_token()
    assert read(token.to_json(LEDGER)) == token
    assert Ledger.parse(token.to_json(LEDGER)) == LEDGER


def test_seed_is_no_token() -> None:
    """The first document says that no token has been issued yet."""
    assert json.loads(SEED) == {"access_token": None, "expires_at": 0, "schema": 1}
    assert read(SEED) is None


@pytest.mark.parametrize(("stated", "believed"), [(DAY - 1, DAY - 1), (DAY, DAY), (DAY + 1, DAY), (10**30, DAY)])
def test_token_ends_a_longest_lifetime_after_it_was_acquired(stated: int, believed: int) -> None:
    """An `expires_at` that is too far ahead is believed only as far as it can be true."""
    token = read(document_of(make_token(), expires_at=NOW - 3_600 + stated))
    assert token == replace(make_token(), expires_at=NOW - 3_600 + believed)


@pytest.mark.parametrize(("ahead", "is_token"), [(0, True), (MARGIN, True), (MARGIN + 1, False), (10**30, False)])
def test_token_acquired_ahead_of_now_is_none(ahead: int, is_token: bool) -> None:
    """A document acquired more than a margin ahead of now is no token: it would never be renewed."""
    assert (read(document_of(make_token(age=0), acquired_at=NOW + ahead)) is not None) is is_token


@pytest.mark.parametrize(
    "key",
    ["access_token", "token_type", "scope", "expires_at", "acquired_at", "client_id", "audience", "token_url"],
)
@pytest.mark.parametrize("value", [None, True, -1, 1.5, math.nan, math.inf, [], {}, ["text"]])
def test_document_with_a_key_of_another_type_is_no_token(key: str, value: Any) -> None:
    """A slip of a hand in any key that the keeper reads makes a missing token, not a crash."""
    assert read(document_of(make_token(), **{key: value})) is None


@pytest.mark.parametrize("key", ["access_token", "expires_at", "acquired_at", "client_id", "audience", "token_url"])
def test_document_without_a_key_is_no_token(key: str) -> None:
    """A document that lacks what the keeper needs to know is no token."""
    assert read(json.dumps(without(json.loads(document_of(make_token())), key))) is None


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
        pytest.param("ghp_0123456789", id="somebody's bare token"),
        pytest.param('{"username": "u", "password": "p"}', id="another secret's document"),
        pytest.param('{"access_token": "a", "expires_in": 86400}', id="the vendor's answer, pasted"),
        pytest.param(DEEP, id="nested too deeply"),
        pytest.param('{"access_token": ' + '{"a":' * 100_000, id="objects nested too deeply"),
        pytest.param(f'{{"expires_at": {HUGE}}}', id="a number too long to read"),
        pytest.param(document_of(make_token(), access_token=""), id="an empty token"),
        pytest.param(document_of(make_token(), access_token="  "), id="a blank token"),
        pytest.param(LEDGER.to_json(), id="a claim"),
        pytest.param(document_of(make_token(), access_token="half a pair: \ud800"), id="a token nobody can send"),
        pytest.param(document_of(make_token(), client_id="line\nbreak"), id="a client nobody can tell of"),
    ],
)
def test_foreign_or_corrupt_document_is_no_token(text: str | None) -> None:
    """Whatever else stands in the secret counts as no token, and raises nothing."""
    assert read(text) is None


def test_token_document_may_have_other_keys() -> None:
    """A key that a later version adds does not make the token unreadable."""
    assert read(document_of(make_token(), added_later={"a": 1})) == make_token()


def test_repr_shows_no_secret() -> None:
    """Neither a token nor a client secret is shown by a repr, wherever it is printed."""
    shown = repr([make_token(), Credentials(PRIMARY, STANDBY, "version-1"), PRIMARY])
    assert "canary" not in shown
    assert PRIMARY.client_id in shown


@BOUNDED
@given(st.text() | json_values.map(json.dumps))
def test_any_text_is_a_token_or_none(text: str) -> None:
    """No text whatsoever makes reading the token secret fail."""
    assert read(text) is None


@BOUNDED
@given(st.sampled_from(sorted(asdict(make_token()))), json_values)
def test_any_slip_in_a_token_is_a_token_that_can_be_true_or_none(key: str, value: Any) -> None:
    """A token document with any value in any key gives a token whose life can be true, or none."""
    token = read(document_of(make_token(), **{key: value}))
    if token:
        assert token.acquired_at <= NOW + MARGIN
        assert token.expires_at <= token.acquired_at + DAY
        assert read(token.to_json(Ledger())) == token


# The credentials secret


def test_credentials_are_read_with_and_without_a_standby() -> None:
    """The standby is optional, null is none, and unknown keys are ignored."""
    primary, standby = Client(**PAIR), Client(**OTHER_PAIR)
    assert Credentials.parse(json.dumps(PAIR), "v") == Credentials(primary, None, "v")
    assert Credentials.parse(json.dumps(PAIR | {"standby": None, "owner": [1]}), "v") == Credentials(primary, None, "v")
    assert Credentials.parse(json.dumps(PAIR | {"standby": OTHER_PAIR}), "v") == Credentials(primary, standby, "v")


def test_client_ids_are_those_of_both_clients() -> None:
    """A token is of a configured client when it is the primary's or the standby's."""
    assert Credentials(PRIMARY, None, "v").client_ids == {PRIMARY.client_id}
    assert Credentials(PRIMARY, STANDBY, "v").client_ids == {PRIMARY.client_id, STANDBY.client_id}


BAD_TEXTS: list[Any] = [None, "", "  ", 5, True, [], {"a": "canary"}, "canary\n", "canary\x00", "\tcanary"]


@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize("value", BAD_TEXTS)
def test_bad_field_of_the_primary_is_named(name: str, value: Any) -> None:
    """A field that is empty or no plain text is named, and what it holds is not repeated."""
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
    """A field that is not there is named, in the primary and in the standby."""
    with pytest.raises(CredentialsError, match=name):
        Credentials.parse(json.dumps(without(PAIR, name)), "v")
    with pytest.raises(CredentialsError, match=rf"standby\W+{name}"):
        Credentials.parse(json.dumps(PAIR | {"standby": without(OTHER_PAIR, name)}), "v")


@pytest.mark.parametrize("standby", [False, 0, "", "canary", 5, [], {}, [OTHER_PAIR]])
def test_standby_that_is_no_object_is_named(standby: Any) -> None:
    """A standby that is something else than an object is a mistake, not the absence of one."""
    with pytest.raises(CredentialsError, match="standby") as caught:
        Credentials.parse(json.dumps(PAIR | {"standby": standby}), "v")
    assert "canary" not in str(caught.value)


def test_standby_with_the_primary_id_is_refused() -> None:
    """Two clients with one id would share one slot without knowing it."""
    with pytest.raises(CredentialsError, match=r"standby.*client_id") as caught:
        Credentials.parse(json.dumps(PAIR | {"standby": OTHER_PAIR | {"client_id": PAIR["client_id"]}}), "v")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [None, "", "null", "[]", "5", '"canary"', "canary", "{", '{"client_id": "canary', "{}", DEEP, HUGE, "\ufeff{}"],
    ids=shortened,
)
def test_credentials_that_are_no_object_are_refused(text: str | None) -> None:
    """What is no JSON object is refused in words, by an error that carries nothing of it."""
    with pytest.raises(CredentialsError, match=r"JSON.*client_id.*client_secret") as caught:
        Credentials.parse(text, "v")
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None  # json's own error holds the document


@BOUNDED
@given(st.none() | st.text() | json_values.map(json.dumps))
def test_any_text_is_credentials_or_a_credentials_error(text: str | None) -> None:
    """No text whatsoever makes reading the credentials fail in another way."""
    with pytest.raises(CredentialsError):
        Credentials.parse(text, "v")


@BOUNDED
@given(st.sampled_from(["client_id", "client_secret", "standby"]), json_values)
def test_any_slip_in_the_credentials_is_credentials_or_a_credentials_error(key: str, value: Any) -> None:
    """What is accepted has a usable id and secret, whatever stands in a field."""
    try:
        found = Credentials.parse(json.dumps(PAIR | {key: value}), "v")
    except CredentialsError:
        return
    for client in filter(None, (found.primary, found.standby)):
        assert client.client_id.strip()
        assert client.client_secret.strip()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(PAIR) + " // and more", " is not a JSON object with client_id and client_secret"),
        ("no JSON", " is not a JSON object with client_id and client_secret"),
        (json.dumps(PAIR | {"client_id": ""}), ": client_id is missing, empty or not plain text"),
        (json.dumps(PAIR | {"standby": {}}), ": standby.client_id is missing, empty or not plain text"),
        (json.dumps(PAIR | {"standby": PAIR}), ": standby has the primary's client_id"),
    ],
    ids=["more than JSON", "no JSON", "empty id", "empty standby", "standby with the same id"],
)
def test_error_says_what_is_wrong_with_the_credentials(text: str, words: str) -> None:
    """Whoever put the secret can mend it by the message alone."""
    with pytest.raises(CredentialsError) as caught:
        Credentials.parse(text, "v")
    assert str(caught.value) == "the credentials secret" + words


# The ledger


def test_slot_is_closed_for_what_was_said_last() -> None:
    """Of two reasons that close a slot until the same moment the newer one is told."""
    ledger, client_id = Ledger(), PRIMARY.client_id
    for reason in ("limit_interval", "rate_limited"):
        ledger = ledger.closed(client_id, Slot(NOW + 5, reason))
    assert ledger.slot(client_id).reason == "rate_limited"


def test_ledger_document_of_a_claim_holds_no_token() -> None:
    """A claim holds `schema` and `ledger` alone, with the ledger's keys as they are written down."""
    assert json.loads(LEDGER.to_json()) == {
        "schema": 1,
        "ledger": {
            "lock": {
                "run_id": "another-run",
                "client_id": "client-primary",
                "claimed_at": NOW - 60,
                "until": NOW + 60,
            },
            "failures": 2,
            "retry_at": NOW + 60,
            "slots": {
                "client-primary": {
                    "not_before": NOW + 5,
                    "reason": "rate_limited",
                    "suspicions": 1,
                    "credentials_version": "version-1",
                }
            },
        },
    }


def test_empty_ledger_reads_back() -> None:
    """The ledger in which nothing is known is written out whole."""
    assert json.loads(Ledger().to_json())["ledger"] == {"lock": None, "failures": 0, "retry_at": 0, "slots": {}}
    assert Ledger.parse(Ledger().to_json()) == Ledger()


@pytest.mark.parametrize(
    "text",
    [None, "", "null", "[]", "{", "text", DEEP, HUGE, "{}", SEED, '{"ledger": null}', '{"ledger": []}'],
    ids=shortened,
)
def test_document_without_a_ledger_is_an_empty_ledger(text: str | None) -> None:
    """A document that holds no ledger tells of no locks and no slots."""
    assert Ledger.parse(text) == Ledger()


def ledger_with(**changes: Any) -> Ledger:
    return Ledger.parse(json.dumps({"schema": 1, "ledger": asdict(LEDGER) | changes}))


@pytest.mark.parametrize("key", ["failures", "retry_at"])
@pytest.mark.parametrize("value", NONSENSE)
def test_ledger_whose_numbers_make_no_sense_is_empty(key: str, value: Any) -> None:
    """A count or a time that is no whole number from 0 on makes no ledger."""
    assert ledger_with(**{key: value}) == Ledger()


@pytest.mark.parametrize("value", NONSENSE)
def test_lock_that_makes_no_sense_is_absent(value: Any) -> None:
    """A lock that is no lock keeps nobody out, and the rest of the ledger stands."""
    assert ledger_with(lock=value) == replace(LEDGER, lock=None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("run_id", value) for value in NO_TEXTS],
        *[("client_id", value) for value in NO_TEXTS if value is not None],
        *[(key, value) for key in ("claimed_at", "until") for value in NO_TIMES],
    ],
)
def test_lock_with_nonsense_in_a_field_is_absent(key: str, value: Any) -> None:
    """One field of another type, and the lock keeps nobody out."""
    assert ledger_with(lock=asdict(make_lock()) | {key: value}).lock is None


def test_lock_without_a_client_is_a_lock() -> None:
    """A claim to publish a token at hand asks no client, and locks all the same."""
    assert ledger_with(lock=asdict(make_lock(client=None))).lock == make_lock(client=None)


@pytest.mark.parametrize("value", NONSENSE)
def test_slots_that_make_no_sense_are_absent(value: Any) -> None:
    """Slots that are no object of objects are none, and the rest of the ledger stands."""
    assert ledger_with(slots=value) == replace(LEDGER, slots={})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in ("not_before", "suspicions") for value in NO_TIMES],
        *[(key, value) for key in ("reason", "credentials_version") for value in NO_TEXTS if value is not None],
    ],
)
def test_slot_with_nonsense_in_a_field_is_absent(key: str, value: Any) -> None:
    """One field of another type, and that slot is unknown; the slot of another client stands."""
    good, bad = Slot(NOW + 5, "rate_limited", 1), asdict(Slot(NOW + 9)) | {key: value}
    assert ledger_with(slots={"bad": bad, "good": asdict(good)}).slots == {"good": good}


def test_unknown_client_has_an_open_slot() -> None:
    """A client that the ledger does not know may ask at once."""
    assert LEDGER.slot(FORMER.client_id) == Slot(0, None, 0, None)


counts = st.integers(0, 10**12)
locks = st.builds(Lock, st.text(), st.none() | st.text(), counts, counts)
slots = st.builds(Slot, counts, st.none() | st.text(), counts, st.none() | st.text())
ledgers = st.builds(Ledger, st.none() | locks, counts, counts, st.dictionaries(st.text(), slots, max_size=3))


@BOUNDED
@given(ledgers)
def test_any_ledger_reads_back(ledger: Ledger) -> None:
    """What was written is what the next run reads, in a claim and beside a token."""
    assert Ledger.parse(ledger.to_json()) == ledger
    assert Ledger.parse(make_token().to_json(ledger)) == ledger


@BOUNDED
@given(ledgers, st.lists(st.text(max_size=3)), json_values)
def test_any_slip_in_a_ledger_reads_as_one_that_can_be_written(ledger: Ledger, path: list[str], value: Any) -> None:
    """Any value at any place of the ledger raises nothing, and what is read can be written again."""
    document: dict[str, Any] = {"ledger": asdict(ledger)}
    place, key = document, "ledger"
    for step in path:
        if not isinstance(place[key], dict) or not place[key]:
            break
        place, key = place[key], sorted(place[key])[len(step) % len(place[key])]
    place[key] = value
    found = Ledger.parse(json.dumps(document))
    assert Ledger.parse(found.to_json()) == found


# Times in words


def test_time_in_words_is_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time in a result or an error does not depend on the machine's time zone."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        said = utc(NOW)
    time.tzset()
    assert said == "2027-01-15T08:00:00Z"
