"""The environment is checked as a whole. One message names each bad variable, without values."""

import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import ConfigurationError
from handler.settings import Settings, allows_colour, function_name, service_name

from .builders import BOUNDED, make_settings

REQUIRED = {
    "CREDENTIALS_SECRET_ID": "the-credentials",
    "TOKEN_SECRET_ID": "the-token",
    "TOKEN_URL": "https://auth.tangocard.com/oauth/token",
}
MANY: dict[str, str | None] = {
    "CREDENTIALS_SECRET_ID": None,
    "TOKEN_SECRET_ID": None,
    "CONNECTIONS_PREFIX": "tango/",
}
DEFAULTS = {
    "AUDIENCE": "https://api.tangocard.com/",
    "SCOPE": "raas.all",
    "PARAMETERS": "",
    "CLIENT_AUTH": "client_secret_post",
    "REFRESH_WINDOW_SECONDS": 14_400,
    "LIMIT_INTERVAL_SECONDS": None,
    "LIMIT_MARGIN_SECONDS": 300,
    "MAX_LIFETIME_SECONDS": 86_400,
    "STANDBY_BELOW_SECONDS": 9_000,
    "CONSUMER_CACHE_SECONDS": 3_600,
    "ACQUIRE_TIMEOUT_SECONDS": 120,
    "WRITE_RESERVE_SECONDS": 30,
    "PROBE_URL": "",
    "EVENT_BUS_NAME": "",
}
HTTPS = "must be an https URL (http is for a loopback host only)"
SECONDS = sorted(name for name in DEFAULTS if name.endswith("_SECONDS"))
URLS_REFUSED = [
    "canary",
    "canary.example/oauth/token",
    "https:",
    "https://",
    "https:///oauth/canary",
    "https://:443/canary",
    "ftp://canary.example/oauth/token",
    "file:///canary",
    "http://canary.example/oauth/token",
    "http://10.0.0.1/canary",
    "http://0.0.0.0/canary",
    "http://localhost.canary.example/oauth/token",
    "http://127.0.0.1.canary.example/oauth/token",
    "http://localhost@canary.example/oauth/token",
    "https://user:canary@auth.example/oauth/token",
    "https://canary@auth.example/oauth/token",
    "http://user:canary@localhost/oauth/token",
    "https://auth.example:canary/oauth/token",
    "https://auth.example:99999/canary",
    "https://[canary/oauth/token",
    "https://auth.example/canary\x7f",
    "https://canary host.example/oauth/token",
    "https://auth.example\\.canary.example/oauth/token",
    "https://*.canary.example/oauth/token",
]


def read(**changes: str | None) -> Settings:
    """Return the settings of a minimal environment with these changes. None removes a variable."""
    env = {name: value for name, value in (REQUIRED | changes).items() if value is not None}
    return Settings.from_env(env)


def problems_of(**changes: str | None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(**changes)
    assert caught.value.retryable is False
    return str(caught.value)


def variables_in(message: str) -> set[str]:
    return {*DEFAULTS, *REQUIRED} & set(re.findall(r"[A-Z_]+", message))


@pytest.mark.parametrize("name", [*REQUIRED, *DEFAULTS])
def test_default_of_each_variable(name: str) -> None:
    """Each variable that is not set has the documented default, and each required one is read."""
    value = getattr(read(), name.lower())
    assert value == (REQUIRED | DEFAULTS)[name]
    assert isinstance(value, type((REQUIRED | DEFAULTS)[name]))


@pytest.mark.parametrize("name", sorted({*DEFAULTS} - {"AUDIENCE", "SCOPE"}))
@pytest.mark.parametrize("text", ["", "  "])
def test_empty_variable_is_its_default(name: str, text: str) -> None:
    """An empty parameter of the template means the default."""
    assert read(**{name: text}) == read()


@pytest.mark.parametrize("name", ["AUDIENCE", "SCOPE"])
@pytest.mark.parametrize("text", ["", " "])
def test_empty_audience_and_scope_stay_empty(name: str, text: str) -> None:
    """Empty is a choice here: the field is left out of the request."""
    assert getattr(read(**{name: text}), name.lower()) == ""


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_are_read(name: str) -> None:
    """Each number of seconds can be set, with spaces around it."""
    assert getattr(read(**{name: " 77 "}), name.lower()) == 77


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUDIENCE", "https://other.example/"),
        ("SCOPE", "raas.read raas.write"),
        ("CLIENT_AUTH", "client_secret_basic"),
        ("PROBE_URL", "https://integration-api.tangocard.com/raas/v2/customers?limit=1"),
        ("EVENT_BUS_NAME", "the-bus"),
        (
            "TOKEN_SECRET_ID",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:the-token-AbCdEf",
        ),
    ],
)
def test_texts_are_read(name: str, value: str) -> None:
    """Each text can be set, and arrives as it is."""
    assert getattr(read(**{name: value}), name.lower()) == value


@pytest.mark.parametrize("name", sorted(REQUIRED))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_required_variable_is_named(name: str, value: str | None) -> None:
    """A variable without a default must be set, and not to an empty text."""
    assert variables_in(problems_of(**{name: value})) == {name}


def test_both_secrets_must_differ() -> None:
    """People write one secret and the function writes the other, so they can't be the same."""
    message = problems_of(TOKEN_SECRET_ID="canary", CREDENTIALS_SECRET_ID="canary")
    assert variables_in(message) == {"TOKEN_SECRET_ID", "CREDENTIALS_SECRET_ID"}
    assert "canary" not in message


@pytest.mark.parametrize(
    "url",
    [
        "https://auth.tangocard.com/oauth/token",
        "https://sandbox-auth.tangocard.com:8443/oauth/token",
        "HTTPS://AUTH.EXAMPLE/token",
        "https://localhost/token",
        "http://localhost:8080/oauth/token",
        "http://127.0.0.1:8080/oauth/token",
        "http://127.8.8.8/oauth/token",
        "http://[::1]:8080/oauth/token",
    ],
)
@pytest.mark.parametrize("name", ["TOKEN_URL", "PROBE_URL"])
def test_url_is_https_or_loopback(name: str, url: str) -> None:
    """Plain http is for a loopback host only."""
    assert getattr(read(**{name: url}), name.lower()) == url


@pytest.mark.parametrize("name", ["TOKEN_URL", "PROBE_URL"])
@pytest.mark.parametrize("url", URLS_REFUSED)
def test_bad_url_is_named_and_not_repeated(name: str, url: str) -> None:
    """Credentials and tokens are never sent in clear, and no message shows a password in a URL."""
    message = problems_of(**{name: url})
    assert variables_in(message) == {name}
    assert "canary" not in message


@pytest.mark.parametrize("name", ["TOKEN_URL", "PROBE_URL"])
@pytest.mark.parametrize("url", ["https://auth.example/token?tenant=1", "http://localhost/token?tenant"])
def test_url_may_have_a_query(name: str, url: str) -> None:
    """RFC 6749 section 3.2 allows a query in a token endpoint."""
    assert getattr(read(**{name: url}), name.lower()) == url


@pytest.mark.parametrize("name", ["TOKEN_URL", "PROBE_URL"])
@pytest.mark.parametrize("url", ["https://auth.example/token#canary", "http://localhost/token?a=b#canary"])
def test_url_has_no_fragment(name: str, url: str) -> None:
    """A fragment is never sent (RFC 6749 section 3.2), so it is a mistake."""
    message = problems_of(**{name: url})
    assert variables_in(message) == {name}
    assert "canary" not in message


@pytest.mark.parametrize("value", ["canary", "none", "CLIENT_SECRET_POST", "client_secret_jwt", "post"])
def test_unknown_client_authentication_is_named(value: str) -> None:
    """There are exactly two ways to authenticate."""
    message = problems_of(CLIENT_AUTH=value)
    assert variables_in(message) == {"CLIENT_AUTH"}
    assert "canary" not in message


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize(
    "value",
    [
        "canary",
        "-987",
        "+987",
        "987.5",
        "987s",
        "9_87",
        "0x987",
        "9 87",
        "\u0669\u0668",
        "\u00b2",
        "9" * 5_000,
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_bad_seconds_are_named_and_not_repeated(name: str, value: str) -> None:
    """A number of seconds is whole, not below zero, and written in digits alone."""
    message = problems_of(**{name: value})
    assert variables_in(message) == {name}
    assert value not in message


def test_longest_time_is_ten_years() -> None:
    """A larger number is a mistake, such as milliseconds."""
    assert read(CONSUMER_CACHE_SECONDS="315360000").consumer_cache_seconds == 10 * 365 * 86_400
    assert variables_in(problems_of(CONSUMER_CACHE_SECONDS="315360001")) == {"CONSUMER_CACHE_SECONDS"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"TOKEN_URL": None, "TOKEN_SECRET_ID": ""},
            "TOKEN_SECRET_ID is not set; TOKEN_URL is not set",
        ),
        (
            {"TOKEN_SECRET_ID": None, "CREDENTIALS_SECRET_ID": None},
            "CREDENTIALS_SECRET_ID is not set; TOKEN_SECRET_ID is not set",
        ),
        (
            {"TOKEN_SECRET_ID": "the-credentials"},
            "TOKEN_SECRET_ID must name another secret than CREDENTIALS_SECRET_ID",
        ),
        ({"TOKEN_URL": "ftp://auth.example/"}, f"TOKEN_URL {HTTPS}"),
        ({"TOKEN_URL": "https://[auth"}, f"TOKEN_URL {HTTPS}"),
        ({"PROBE_URL": "http://api.example/"}, f"PROBE_URL {HTTPS}"),
        ({"PROBE_URL": "https://me@api.example/"}, "PROBE_URL must not carry user info"),
        (
            {"TOKEN_URL": "https://auth.example/?a#b"},
            "TOKEN_URL must not carry a fragment",
        ),
        ({"PROBE_URL": "https://api.example/#a"}, "PROBE_URL must not carry a fragment"),
        ({"CLIENT_AUTH": "post"}, "CLIENT_AUTH must be client_secret_post or client_secret_basic"),
        (
            {"MAX_LIFETIME_SECONDS": "0"},
            "MAX_LIFETIME_SECONDS must be a whole number of seconds from 1 to 315360000",
        ),
        (
            {"LIMIT_MARGIN_SECONDS": "x"},
            "LIMIT_MARGIN_SECONDS must be a whole number of seconds from 0 to 315360000",
        ),
        (
            {"ACQUIRE_TIMEOUT_SECONDS": "900"},
            "ACQUIRE_TIMEOUT_SECONDS and WRITE_RESERVE_SECONDS may be 840 together at most",
        ),
    ],
)
def test_problem_says_what_would_be_right(changes: dict[str, str | None], message: str) -> None:
    """The message is enough to correct the environment."""
    assert problems_of(**changes) == f"environment: {message}"


@pytest.mark.parametrize("prefix", ["tango/", "a.B_c+d=e@f-g/stores/", f"{'x' * 199}/"])
def test_prefix_stands_in_for_the_two_secrets(prefix: str) -> None:
    """A deployment of many connections. Each connection may have a TOKEN_URL of its own."""
    settings = read(**MANY | {"CONNECTIONS_PREFIX": prefix, "TOKEN_URL": None})
    assert settings.connections_prefix == prefix
    assert settings.keeps_many
    assert not read().keeps_many


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[
            ({name: "the-secret"}, "does not go with CREDENTIALS_SECRET_ID or TOKEN_SECRET_ID: set one or the other")
            for name in ("CREDENTIALS_SECRET_ID", "TOKEN_SECRET_ID")
        ],
        ({"CONNECTIONS_PREFIX": "tango"}, "must end with a slash, such as tango/"),
        ({"CONNECTIONS_PREFIX": "tango!/"}, "may have 200 letters, digits and /_+=.@- at most"),
        ({"CONNECTIONS_PREFIX": f"{'x' * 200}/"}, "may have 200 letters, digits and /_+=.@- at most"),
    ],
    ids=["with one secret", "with the other", "no slash", "a character that AWS does not allow", "201 characters"],
)
def test_prefix_that_can_not_be_one_is_told(changes: dict[str, str | None], message: str) -> None:
    """The message says what would be right."""
    assert problems_of(**MANY | changes) == f"environment: CONNECTIONS_PREFIX {message}"


@pytest.mark.parametrize("name", ["MAX_LIFETIME_SECONDS", "ACQUIRE_TIMEOUT_SECONDS"])
def test_no_time_at_all_is_refused(name: str) -> None:
    """A token that never lives, or a request that never lasts, is a mistake."""
    assert variables_in(problems_of(**{name: "0"})) == {name}


@pytest.mark.parametrize("name", ["LIMIT_INTERVAL_SECONDS", "LIMIT_MARGIN_SECONDS"])
def test_vendor_without_a_limit_is_possible(name: str) -> None:
    """A vendor without a limit has an interval and a margin of zero."""
    assert getattr(read(**{name: "0"}), name.lower()) == 0


@pytest.mark.parametrize(("acquire", "write", "fits"), [(810, 30, True), (120, 720, True), (811, 30, False)])
def test_acquire_and_write_fit_in_a_run(acquire: int, write: int, fits: bool) -> None:
    """Together they take 840 s at most, so that a lock is always short enough to be believed."""
    changes: dict[str, str | None] = {
        "ACQUIRE_TIMEOUT_SECONDS": str(acquire),
        "WRITE_RESERVE_SECONDS": str(write),
    }
    if fits:
        settings = read(**changes)
        assert settings.acquire_timeout_seconds == acquire
        assert settings.write_reserve_seconds == write
    else:
        assert variables_in(problems_of(**changes)) == {*changes}


def test_all_problems_are_in_one_message() -> None:
    """The message shows everything that is wrong at once."""
    bad: dict[str, str | None] = dict.fromkeys(SECONDS, "canary")
    bad |= dict.fromkeys(REQUIRED) | {"PROBE_URL": "canary", "CLIENT_AUTH": "canary"}
    message = problems_of(**bad)
    assert variables_in(message) == {*bad}
    assert "canary" not in message


def test_every_fault_of_a_url_is_told() -> None:
    """One variable can be wrong in two ways."""
    message = problems_of(TOKEN_URL="https://user:canary@auth.example/token#canary")
    assert "user info" in message
    assert "fragment" in message


def test_environment_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the process's own environment is read, as it is at that moment."""
    for name, value in (REQUIRED | {"SCOPE": "raas.read"}).items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env().scope == "raas.read"
    monkeypatch.delenv("TOKEN_URL")
    with pytest.raises(ConfigurationError, match="TOKEN_URL"):
        Settings.from_env()


# Durations that follow from the settings


@pytest.mark.parametrize(
    ("interval", "margin", "seconds"),
    [(72_000, 300, 72_300), (60, 5, 65), (60, 0, 60), (0, 0, 0)],
)
def test_slot_lasts_for_the_interval_and_the_margin(interval: int, margin: int, seconds: int) -> None:
    """From one token of a client to its next the vendor wants its interval, and we add a margin."""
    settings = make_settings(limit_interval_seconds=interval, limit_margin_seconds=margin)
    assert settings.slot_seconds("a-client") == seconds
    assert settings.slot_seconds("a-client#store-17") == seconds


@pytest.mark.parametrize(("acquire", "write", "seconds"), [(120, 30, 180), (100, 20, 150)])
def test_lock_lasts_for_the_acquire_and_the_write(acquire: int, write: int, seconds: int) -> None:
    """A lock also covers the 30 s by which the clocks of two machines may differ."""
    settings = make_settings(acquire_timeout_seconds=acquire, write_reserve_seconds=write)
    assert settings.lock_seconds == seconds


@pytest.mark.parametrize(("margin", "seconds"), [(300, 300), (31, 31), (30, 30), (29, 30), (0, 30)])
def test_clock_margin_is_at_least_half_a_minute(margin: int, seconds: int) -> None:
    """Without a margin for the limit, clocks may still differ."""
    assert make_settings(limit_margin_seconds=margin).clock_margin_seconds == seconds


@pytest.mark.parametrize(
    ("acquire", "write", "seconds"),
    [(120, 30, 40), (10, 30, 40), (9, 30, 39), (1, 20, 21)],
)
def test_claim_needs_time_for_a_short_acquire_and_the_write(acquire: int, write: int, seconds: int) -> None:
    """Ten seconds are enough for an acquire, or less if less is set."""
    settings = make_settings(acquire_timeout_seconds=acquire, write_reserve_seconds=write)
    assert settings.seconds_needed_to_claim == seconds


@pytest.mark.parametrize(("acquire", "write", "seconds"), [(120, 30, 150), (5, 20, 25)])
def test_waiting_needs_time_for_a_whole_acquire_and_the_write(acquire: int, write: int, seconds: int) -> None:
    """A run waits for another run's lock only if it could still do all of it afterwards."""
    settings = make_settings(acquire_timeout_seconds=acquire, write_reserve_seconds=write)
    assert settings.seconds_needed_to_wait == seconds


@pytest.mark.parametrize(
    ("interval", "margin", "seconds"),
    [
        (72_000, 300, 86_400),
        (85_801, 300, 86_401),
        (85_800, 300, 86_400),
        (85_799, 300, 86_400),
        (86_400, 0, 86_460),
        (0, 0, 86_400),
    ],
)
def test_slot_is_believed_to_be_closed_for_a_day_or_the_interval(interval: int, margin: int, seconds: int) -> None:
    """The end of a closed slot is at most 24 h ahead, or the interval and two clock margins."""
    settings = make_settings(limit_interval_seconds=interval, limit_margin_seconds=margin)
    assert settings.max_believed_closed_seconds == seconds


# The rest


def test_settings_are_frozen() -> None:
    """Nothing changes them during a run."""
    with pytest.raises(FrozenInstanceError):
        read().scope = "other"  # type: ignore[misc]


def test_service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics' dimension is `token-refresh`, unless Powertools' own variable says otherwise."""
    monkeypatch.delenv("POWERTOOLS_SERVICE_NAME", raising=False)
    assert service_name() == "token-refresh"
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "")
    assert service_name() == "token-refresh"
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "my-service")
    assert service_name() == "my-service"


def test_function_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda sets it. Elsewhere it is empty."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "token-refresh-prod")
    assert function_name() == "token-refresh-prod"
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    assert function_name() == ""


@pytest.mark.parametrize(
    ("env", "is_allowed"),
    [
        ({}, True),
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "0"}, False),
    ],
)
def test_colours_are_for_those_who_take_them(env: dict[str, str], is_allowed: bool) -> None:
    """NO_COLOR counts if it is set and not empty, and a dumb terminal shows codes as text."""
    assert allows_colour(env) == is_allowed


@BOUNDED
@given(st.dictionaries(st.sampled_from([*REQUIRED, *DEFAULTS]), st.text()))
def test_any_environment_is_settings_or_a_configuration_error(changes: dict[str, str]) -> None:
    """No text in any variable raises anything else."""
    canaries: dict[str, str | None] = {name: f"{text}canary" for name, text in changes.items()}
    for env in (changes, canaries):
        try:
            read(**env)
        except ConfigurationError as error:
            message = str(error)
            assert "canary" not in message
