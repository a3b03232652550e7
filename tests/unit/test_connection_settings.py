"""A connection's settings in place of the environment's, PARAMETERS, and what shapes a request."""

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import ConfigurationError, CredentialsError
from handler.ledger import Terms
from handler.settings import Settings

from .builders import BOUNDED, make_credentials, make_settings, make_terms, shortened
from .strategies import json_values

# Each setting of a connection, with a value that is not the default.
OF_A_CONNECTION: dict[str, Any] = {
    "token_url": "https://other.example/token?tenant=1",
    "audience": "https://other.example/",
    "scope": "other",
    "parameters": {"b": "2", "a": "1"},
    "client_auth": "client_secret_basic",
    "refresh_window_seconds": 7_200,
    "limit_interval_seconds": 60,
    "limit_margin_seconds": 7,
    "max_lifetime_seconds": 3_600,
    "standby_below_seconds": 70,
    "consumer_cache_seconds": 80,
    "probe_url": "https://api.example/me",
}
NOT_OF_A_CONNECTION = sorted({field.name for field in fields(Settings)} - OF_A_CONNECTION.keys())
SHAPING = ["token_url", "audience", "scope", "parameters", "client_auth"]
OWN_FIELDS = ["grant_type", "client_id", "client_secret", "username", "password", "audience", "scope"]
MINIMAL = {
    "CREDENTIALS_SECRET_ID": "the-credentials",
    "TOKEN_SECRET_ID": "the-token",
    "TOKEN_URL": "https://auth.example/oauth/token",
}


def stored(value: Any) -> Any:
    """Return a setting's value as a field of Settings has it."""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value


def read(parameters: str) -> Settings:
    return Settings.from_env(MINIMAL | {"PARAMETERS": parameters})


def fault_of(settings: dict[str, Any]) -> str:
    with pytest.raises(CredentialsError) as caught:
        make_settings().for_connection(settings)
    assert not caught.value.retryable
    return str(caught.value)


# The settings of a connection


@pytest.mark.parametrize("name", OF_A_CONNECTION)
def test_setting_replaces_that_of_the_environment_alone(name: str) -> None:
    """Every other setting stays as it is in the environment."""
    value = OF_A_CONNECTION[name]
    before = make_settings()
    assert getattr(before, name) != stored(value)
    assert before.for_connection({name: value}) == replace(before, **{name: stored(value)})


def test_all_settings_together() -> None:
    """They do not depend on each other."""
    after = make_settings().for_connection(OF_A_CONNECTION)
    assert asdict(after) == asdict(make_settings()) | {name: stored(value) for name, value in OF_A_CONNECTION.items()}


def test_no_settings_are_those_of_the_environment() -> None:
    """Most connections have none."""
    settings = make_settings()
    assert settings.for_connection({}) == settings


def test_settings_of_the_environment_stay_as_they_are() -> None:
    """One process serves many connections."""
    settings = make_settings()
    settings.for_connection(OF_A_CONNECTION)
    assert settings == make_settings()


@pytest.mark.parametrize("name", NOT_OF_A_CONNECTION)
@pytest.mark.parametrize("value", ["canary", 5])
def test_setting_of_the_function_is_not_one_of_a_connection(name: str, value: Any) -> None:
    """Who writes one connection's credentials does not change the function's own settings."""
    assert fault_of({name: value}) == f"the credentials secret: settings.{name!r} is not a setting of a connection"


@pytest.mark.parametrize("name", OF_A_CONNECTION)
@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, [], ["canary"], {"canary": 1}, "canary", -987, 10**400],
    ids=shortened,
)
def test_value_of_another_type_is_named_by_its_key(name: str, value: Any) -> None:
    """JSON's types: a whole number is not a text, and true is neither."""
    is_text = isinstance(OF_A_CONNECTION[name], str)
    if is_text and name in {"audience", "scope"} and isinstance(value, str):
        return  # any text is one
    message = fault_of({name: value})
    assert message.startswith(f"the credentials secret: settings.{name} must ")
    assert "987" not in message
    if name != "parameters" or not isinstance(value, dict):
        assert "canary" not in message


@pytest.mark.parametrize("name", [name for name, value in OF_A_CONNECTION.items() if isinstance(value, int)])
@pytest.mark.parametrize("value", ["60", 60.0])
def test_number_is_a_whole_json_number(name: str, value: Any) -> None:
    """A text of digits is for the environment."""
    assert fault_of({name: value}) == f"the credentials secret: settings.{name} must be a whole number"


MAY_BE_ZERO = {
    "limit_interval_seconds",
    "limit_margin_seconds",
    "standby_below_seconds",
    "consumer_cache_seconds",
}


@pytest.mark.parametrize("name", [name for name, value in OF_A_CONNECTION.items() if isinstance(value, int)])
def test_number_has_the_range_of_the_environment(name: str) -> None:
    """From 0 or 1 to ten years."""
    smallest = 0 if name in MAY_BE_ZERO else 1
    largest = 315_360_000
    for value in (smallest, largest):
        assert getattr(make_settings().for_connection({name: value}), name) == value
    expected = f"settings.{name} must be a whole number of seconds from {smallest} to {largest}"
    for value in (smallest - 1, largest + 1):
        assert fault_of({name: value}) == f"the credentials secret: {expected}"


def test_unknown_key_is_shown_shortened_and_in_ascii() -> None:
    """A key can hold anything, and goes to the log."""
    message = fault_of({"\ud800\n" + "k" * 50: "canary"})
    assert message == "the credentials secret: settings.'\\ud800\\n" + "k" * 38 + "' is not a setting of a connection"


def test_all_faults_are_in_one_message() -> None:
    """The message shows everything that is wrong at once."""
    message = fault_of({"Scope": "canary", "audience": 5, "parameters": "canary"})
    assert message == (
        "the credentials secret: settings.'Scope' is not a setting of a connection; "
        "settings.audience must be a text; settings.parameters must be an object"
    )
    message = fault_of({"token_url": "canary", "limit_margin_seconds": -1, "client_auth": "canary"})
    assert message == (
        "the credentials secret: settings.token_url must be an https URL (http is for a loopback host only); "
        "settings.client_auth must be client_secret_post or client_secret_basic; "
        "settings.limit_margin_seconds must be a whole number of seconds from 0 to 315360000"
    )


@BOUNDED
@given(st.dictionaries(st.sampled_from(sorted(OF_A_CONNECTION)), json_values))
def test_any_values_are_settings_or_a_credentials_error(settings: dict[str, Any]) -> None:
    """Whatever a person writes there, nothing else is raised, and no settings of another type come of it."""
    try:
        after = make_settings().for_connection(settings)
    except CredentialsError:
        return
    for name, value in settings.items():
        assert getattr(after, name) == stored(value) or value == {}


@BOUNDED
@given(st.dictionaries(st.text(), json_values, min_size=1))
def test_any_other_keys_are_a_credentials_error(settings: dict[str, Any]) -> None:
    """A mistyped key is never ignored here."""
    if settings.keys() <= OF_A_CONNECTION.keys():
        return
    message = fault_of(settings)
    assert message.isprintable()


# PARAMETERS


@pytest.mark.parametrize("text", ["", "  ", "{}", " { } "])
def test_no_parameters(text: str) -> None:
    """No further fields are sent, and the token's document says so."""
    settings = read(text)
    assert settings.parameters == ""
    assert settings.parameter_fields == {}
    assert settings.parameters_hash == ""
    assert settings == make_settings(**{name.lower(): value for name, value in MINIMAL.items()})


def test_parameters_are_read() -> None:
    """Each is a further form field, its text as it is."""
    text = '{"resource": "https://api.example/?a=b&c", "organization": "örg 1 \\u20ac", "empty": ""}'
    assert read(text).parameter_fields == {
        "resource": "https://api.example/?a=b&c",
        "organization": "örg 1 €",
        "empty": "",
    }


def test_order_of_parameters_is_no_other_request() -> None:
    """Nor is white space, the way a character is written, or the place where they stand."""
    one = read('{"a": "ä", "b": "2"}')
    assert read('{"b":"2",   "a":"\\u00e4"}') == one
    connection = make_settings(token_url=MINIMAL["TOKEN_URL"]).for_connection({"parameters": {"b": "2", "a": "ä"}})
    assert connection == one
    assert connection.parameters_hash == one.parameters_hash


def test_hash_of_parameters_is_short_and_shows_nothing() -> None:
    """It goes into the token's document, which consumers read."""
    texts = ['{"a": "1"}', '{"a": "2"}', '{"b": "1"}', '{"a": "1", "b": "1"}', '{"a": ""}', '{"a1": ""}']
    hashes = [read(text).parameters_hash for text in texts]
    assert len({*hashes}) == len(texts)
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in hashes)


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("canary", "must be a JSON object of texts"),
        ('{"a": "canary"', "must be a JSON object of texts"),
        ('{"a": "canary"} x', "must be a JSON object of texts"),
        ("resource=canary", "must be a JSON object of texts"),
        ('["canary"]', "must be a JSON object of texts"),
        ('"canary"', "must be a JSON object of texts"),
        ("987", "must be a JSON object of texts"),
        ("null", "must be a JSON object of texts"),
        ("NaN", "must be a JSON object of texts"),
        ("[" * 1_500, "must be a JSON object of texts"),
        ('{"a": 987}', "must have a printable text for 'a'"),
        ('{"a": true}', "must have a printable text for 'a'"),
        ('{"a": null}', "must have a printable text for 'a'"),
        ('{"a": ["canary"]}', "must have a printable text for 'a'"),
        ('{"a": {"canary": "b"}}', "must have a printable text for 'a'"),
        ('{"a": "canary\\n"}', "must have a printable text for 'a'"),
        ('{"a": "canary\\ud800"}', "must have a printable text for 'a'"),
        ('{"a\\n": "canary"}', r"must have a printable text for 'a\n'"),
        *((f'{{"{name}": "canary"}}', f"must not have '{name}', which is sent already") for name in OWN_FIELDS),
    ],
    ids=shortened,
)
def test_bad_parameters_are_named_and_not_repeated(text: str, fault: str) -> None:
    """In the environment and in the secret alike, as far as JSON there can hold them."""
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert str(caught.value) == f"environment: PARAMETERS {fault}"
    if text.startswith("{") and fault != "must be a JSON object of texts":
        assert fault_of({"parameters": json.loads(text)}) == f"the credentials secret: settings.parameters {fault}"


def test_parameters_have_at_most_2000_bytes() -> None:
    """Lambda's whole environment holds 4 KB."""
    assert len(read(json.dumps({"a": "x" * 1_991})).parameters) == 2_000
    with pytest.raises(ConfigurationError, match="PARAMETERS may be 2000 bytes at most"):
        read(json.dumps({"a": "x" * 1_992}))
    assert make_settings().for_connection({"parameters": {"a": "x" * 1_991}}).parameter_fields
    message = fault_of({"parameters": {"a": "x" * 1_992}})
    assert message == "the credentials secret: settings.parameters may be 2000 bytes at most"


def test_all_faults_of_parameters_are_told() -> None:
    """Each field at fault is named."""
    with pytest.raises(ConfigurationError) as caught:
        read('{"scope": 5, "password": "canary", "ok": "canary"}')
    assert str(caught.value) == (
        "environment: PARAMETERS must not have 'scope', which is sent already; "
        "PARAMETERS must have a printable text for 'scope'; "
        "PARAMETERS must not have 'password', which is sent already"
    )


# The interval


@pytest.mark.parametrize(
    ("interval", "alone", "account"),
    [(None, 72_000, 0), (0, 0, 0), (60, 60, 60), (72_000, 72_000, 72_000)],
)
@pytest.mark.parametrize("margin", [300, 0])
def test_interval_is_the_principals_own_unless_it_is_set(
    interval: int | None, alone: int, account: int, margin: int
) -> None:
    """72,000 s for a client alone and none for a service account, as the vendor has it."""
    settings = make_settings(limit_interval_seconds=interval, limit_margin_seconds=margin)
    assert settings.interval_of("a-client") == alone
    assert settings.interval_of("a-client#a store") == account
    assert settings.interval_of("a-client#a#b") == account
    assert settings.slot_seconds("a-client") == alone + margin
    assert settings.slot_seconds("a-client#a store") == account + margin


@pytest.mark.parametrize(("interval", "seconds"), [(None, 86_400), (0, 86_400), (86_000, 86_600)])
def test_end_of_a_slot_is_believed_for_the_longest_interval(interval: int | None, seconds: int) -> None:
    """Empty counts as that of a client alone."""
    assert make_settings(limit_interval_seconds=interval).max_believed_closed_seconds == seconds


def test_empty_interval_is_believed_with_its_margins() -> None:
    """72,000 s and two margins can be more than a day."""
    settings = make_settings(limit_margin_seconds=7_201)
    assert settings.max_believed_closed_seconds == 72_000 + 2 * 7_201


# What was asked with


@pytest.mark.parametrize("name", sorted(OF_A_CONNECTION))
def test_what_shapes_the_request_is_what_was_asked_with(name: str) -> None:
    """Another URL, audience, scope, parameters or method is another request. A duration is not."""
    settings = make_settings().for_connection({name: OF_A_CONNECTION[name]})
    terms = Terms(credentials=make_credentials(), settings=settings, token_life_seconds=86_400)
    assert (terms.asked_with != make_terms().asked_with) is (name in SHAPING)


def test_each_request_has_its_own_hash() -> None:
    """Texts that change places, and fields that run into each other, are told apart."""
    changes: list[dict[str, Any]] = [
        {},
        {"audience": "a", "scope": "b"},
        {"audience": "b", "scope": "a"},
        {"audience": "ab", "scope": ""},
        {"audience": "", "scope": "ab"},
        {"parameters": '{"a": "b"}'},
        {"scope": '{"a": "b"}'},
    ]
    hashes = {make_terms(**change).asked_with for change in changes}
    hashes.add(make_terms(make_credentials(version_id="version-2")).asked_with)
    assert len(hashes) == len(changes) + 1


def test_order_of_parameters_is_not_asked_with() -> None:
    """A slot that backs off stays closed for it."""
    one = make_terms(parameters=read('{"a": "1", "b": "2"}').parameters)
    other = make_terms(parameters=read('{"b": "2", "a": "1"}').parameters)
    assert one.asked_with == other.asked_with
