"""Settings in the credentials secret take the place of the environment's, with the same checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from handler.errors import CredentialsError
from handler.settings import Settings
from local.emulators.world import CREDENTIALS_SECRET, World
from tests.integration.account_endpoint import (
    NEW_STORE,
    STORE,
    WRONG_PASSWORD,
    AccountEndpoint,
    account_of,
    client_of,
    form_of,
    pair_of,
    put_credentials,
)
from tests.integration.helpers import (
    BLUE,
    DAY,
    DRY_RUN,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    MINUTE,
    STATUS,
    Json,
    now,
    outcome_and_reason,
    public,
    run,
    slot_of,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import metrics, record_traffic

OURS = f"{BLUE}#{STORE}"
PARAMETERS = {"resource": "https://api.example/", "organization": "org 1"}


@pytest.fixture
def endpoint(world: World) -> Iterator[AccountEndpoint]:
    """The vendor's endpoint, which the environment's TOKEN_URL names in `invoke`."""
    with AccountEndpoint(world.clock, world.client_secrets) as made:
        yield made
    assert "canary" not in world.output


def configure(world: World, *, standby: Any = None, **settings: Any) -> None:
    """Write the credentials of a service account with these settings."""
    document = client_of(world) | account_of(STORE) | {"settings": settings}
    if standby:
        document["standby"] = standby
    put_credentials(world, document)


def invoke(world: World, endpoint: AccountEndpoint, event: object = None, **overrides: str) -> Json:
    return world.invoke(event, world.process(TOKEN_URL=endpoint.token_url, **overrides))


# Each setting takes effect


def test_token_url(world: World, endpoint: AccountEndpoint) -> None:
    """The request goes to the connection's URL, and to no other."""
    configure(world, token_url=endpoint.token_url + "?tenant=1")
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    assert world.vendor.requests == []
    assert [received.target for received in endpoint.received] == ["/oauth/token?tenant=1"]
    assert world.token()["token_url"] == endpoint.token_url + "?tenant=1"
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")


@pytest.mark.parametrize(("name", "key"), [("audience", "audience"), ("scope", "requested_scope")])
@pytest.mark.parametrize("text", ["other + text", ""])
def test_audience_and_scope(world: World, endpoint: AccountEndpoint, name: str, key: str, text: str) -> None:
    """They are sent, and noted in the token's document. An empty one is left out of the request."""
    configure(world, **{name: text})
    invoke(world, endpoint)
    assert form_of(endpoint.received[0]).get(name, "") == text
    assert (name in form_of(endpoint.received[0])) == bool(text)
    assert world.token()[key] == text
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")


def test_parameters(world: World, endpoint: AccountEndpoint) -> None:
    """They are sent next to the function's own fields, and the document has their hash."""
    configure(world, parameters=PARAMETERS)
    invoke(world, endpoint)
    form = form_of(endpoint.received[0])
    assert {name: form[name] for name in PARAMETERS} == PARAMETERS
    assert form["grant_type"] == "password"
    hashed = world.token()["requested_parameters"]
    assert len(hashed) == 16
    assert int(hashed, 16) >= 0
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")


def test_parameters_of_the_environment_are_replaced_as_a_whole(world: World, endpoint: AccountEndpoint) -> None:
    """A connection's parameters are not added to the environment's. None at all is possible, too."""
    configure(world, parameters={"resource": "mine"})
    invoke(world, endpoint, PARAMETERS=json.dumps(PARAMETERS))
    form = form_of(endpoint.received[0])
    assert form["resource"] == "mine"
    assert "organization" not in form
    configure(world, parameters={})
    world.clock.advance(HOUR)
    invoke(world, endpoint, PARAMETERS=json.dumps(PARAMETERS))
    assert not PARAMETERS.keys() & form_of(endpoint.received[1]).keys()
    assert world.token()["requested_parameters"] == ""


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_parameters_of_the_environment(world: World, endpoint: AccountEndpoint, grant: str) -> None:
    """They are sent with both grants."""
    document = client_of(world)
    if grant == "password":
        document |= account_of(STORE)
    put_credentials(world, document)
    invoke(world, endpoint, PARAMETERS=json.dumps(PARAMETERS))
    form = form_of(endpoint.received[0])
    assert form["grant_type"] == grant
    assert {name: form[name] for name in PARAMETERS} == PARAMETERS


def test_same_parameters_in_another_order_or_place_are_no_other_request(
    world: World, endpoint: AccountEndpoint
) -> None:
    """A token that was asked for with the environment's parameters fits the same ones in the secret."""
    configure(world)
    invoke(world, endpoint, PARAMETERS=json.dumps(PARAMETERS))
    backwards = dict(reversed(PARAMETERS.items()))
    assert outcome_and_reason(invoke(world, endpoint, PARAMETERS=json.dumps(backwards, indent=2))) == ("kept", "fresh")
    configure(world, parameters=backwards)
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")
    assert len(endpoint.received) == 1


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_client_auth(world: World, endpoint: AccountEndpoint, method: str) -> None:
    """The connection's method counts, whatever the environment's is."""
    other = {"client_secret_basic": "client_secret_post", "client_secret_post": "client_secret_basic"}[method]
    configure(world, client_auth=method)
    invoke(world, endpoint, CLIENT_AUTH=other)
    [received] = endpoint.received
    assert ("Authorization" in received.headers) == (method == "client_secret_basic")
    assert ("client_secret" in form_of(received)) == (method == "client_secret_post")
    if method == "client_secret_basic":
        assert pair_of(received) == (BLUE, world.client_secrets[BLUE])


def test_refresh_window_seconds(world: World, endpoint: AccountEndpoint) -> None:
    """A window of one hour: the token is fresh until an hour before its end."""
    configure(world, refresh_window_seconds=HOUR)
    invoke(world, endpoint)
    world.clock.advance(DAY - HOUR - 1)
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")
    world.clock.advance(1)
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "expiring")


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"limit_interval_seconds": HOUR}, HOUR + 300),
        ({"limit_interval_seconds": 0}, 300),
        ({"limit_margin_seconds": 7}, 7_200 + 7),
        ({"limit_interval_seconds": HOUR, "limit_margin_seconds": 0}, HOUR),
    ],
)
def test_limit_interval_and_margin(
    world: World, endpoint: AccountEndpoint, settings: dict[str, int], seconds: int
) -> None:
    """The slot closes for the connection's interval and margin."""
    configure(world, **settings)
    limit = {"LIMIT_INTERVAL_SECONDS": "7200"}
    assert invoke(world, endpoint, **limit)["not_before"] == now(world) + seconds
    assert slot_of(world, OURS)["not_before"] == now(world) + seconds
    world.clock.advance(max(seconds, 10 * MINUTE) - 1)
    assert invoke(world, endpoint, FORCE, **limit)["outcome"] != "refreshed"
    world.clock.advance(1)
    assert outcome_and_reason(invoke(world, endpoint, FORCE, **limit)) == ("refreshed", "forced")


def test_interval_of_a_client_alone(world: World, endpoint: AccountEndpoint) -> None:
    """A connection can say that its vendor has no limit for a client."""
    put_credentials(world, client_of(world) | {"settings": {"limit_interval_seconds": 0}})
    assert invoke(world, endpoint)["not_before"] == now(world) + 300


def test_max_lifetime_seconds(world: World, endpoint: AccountEndpoint) -> None:
    """A token ends after the connection's maximum, when it is stored and when it is read."""
    configure(world)
    invoke(world, endpoint)
    configure(world, max_lifetime_seconds=2 * HOUR)
    assert invoke(world, endpoint, STATUS)["expires_at"] == now(world) + 2 * HOUR
    world.clock.advance(2 * HOUR)
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "expired")
    assert world.token()["expires_at"] == now(world) + 2 * HOUR


def test_max_lifetime_seconds_above_the_environments(world: World, endpoint: AccountEndpoint) -> None:
    """A vendor's tokens may live longer than the environment's maximum says, and are not odd then."""
    configure(world, max_lifetime_seconds=2 * DAY)
    endpoint.lifetime = 2 * DAY
    invoke(world, endpoint)
    assert world.token()["expires_at"] == now(world) + 2 * DAY
    assert "OddLifetime" not in metrics(world)
    assert invoke(world, endpoint)["seconds_remaining"] == 2 * DAY


@pytest.mark.parametrize(("below", "username"), [(HOUR + 1, NEW_STORE), (HOUR, STORE)])
def test_standby_below_seconds(world: World, endpoint: AccountEndpoint, below: int, username: str) -> None:
    """The standby is asked if less than the connection's figure is left."""
    configure(world)
    invoke(world, endpoint)
    world.clock.advance(DAY - HOUR)
    wrong = client_of(world) | {"username": STORE, "password": WRONG_PASSWORD}
    put_credentials(world, wrong | {"standby": account_of(NEW_STORE), "settings": {"standby_below_seconds": below}})
    run(world, process=world.process(TOKEN_URL=endpoint.token_url))
    assert world.token()["username"] == username


def test_consumer_cache_seconds(world: World, endpoint: AccountEndpoint) -> None:
    """`status` waits for as long as this connection's consumers may cache."""
    put_credentials(world, client_of(world) | account_of(NEW_STORE))
    invoke(world, endpoint)
    configure(world, consumer_cache_seconds=60, standby=account_of(NEW_STORE))
    invoke(world, endpoint)
    world.clock.advance(60)
    assert invoke(world, endpoint, STATUS)["safe_to_deactivate"] is None
    world.clock.advance(1)
    assert invoke(world, endpoint, STATUS)["safe_to_deactivate"] == f"{BLUE}#{NEW_STORE}"


def test_probe_url(world: World, endpoint: AccountEndpoint) -> None:
    """The connection's API is asked with the current token, and a refusal revokes the token."""
    configure(world)
    invoke(world, endpoint)
    world.clock.advance(HOUR)
    with Recorder(403) as api, Recorder(200) as other_api:
        configure(world, probe_url=f"{api.url}/me?limit=1")
        result = invoke(world, endpoint, PROBE_URL=other_api.url)
    assert outcome_and_reason(result) == ("refreshed", "revoked")
    assert [(received.method, received.target) for received in api.received] == [("GET", "/me?limit=1")]
    assert other_api.received == []


def test_probe_can_be_switched_off(world: World, endpoint: AccountEndpoint) -> None:
    """An empty URL switches the environment's probe off for this connection."""
    configure(world, probe_url="")
    invoke(world, endpoint)
    world.clock.advance(HOUR)
    with Recorder(403) as api:
        assert outcome_and_reason(invoke(world, endpoint, PROBE_URL=api.url)) == ("kept", "fresh")
    assert api.received == []


def test_settings_are_read_with_a_client_alone_and_a_standby(world: World) -> None:
    """The settings are the connection's: both principals are asked with them."""
    with AccountEndpoint(world.clock, {GREEN: world.client_secrets[GREEN]}) as endpoint:
        document = client_of(world) | {"standby": client_of(world, GREEN)}
        settings = {"token_url": endpoint.token_url, "scope": "other", "client_auth": "client_secret_basic"}
        put_credentials(world, document | {"settings": settings})
        assert world.invoke()["client_id"] == GREEN
    assert [pair_of(received)[0] for received in endpoint.received] == [BLUE, GREEN]
    assert [form_of(received)["scope"] for received in endpoint.received] == ["other", "other"]


@pytest.mark.parametrize("settings", [{}, None])
def test_secret_without_settings_has_those_of_the_environment(
    world: World, endpoint: AccountEndpoint, settings: Json | None
) -> None:
    """An empty object changes nothing."""
    document = client_of(world) | account_of(STORE)
    if settings is not None:
        document["settings"] = settings
    put_credentials(world, document)
    result = invoke(world, endpoint, SCOPE="of the environment")
    assert form_of(endpoint.received[0])["scope"] == "of the environment"
    assert result["warnings"] == []


# A change


CHANGES: list[Json] = [
    {"token_url": "?other"},
    {"audience": "https://other.example/"},
    {"scope": "other"},
    {"parameters": {"resource": "other"}},
    {"parameters": {}},
]
BEFORE: Json = {"parameters": {"resource": "one"}}


def changed(endpoint: AccountEndpoint, change: Json) -> Json:
    if "token_url" in change:
        return BEFORE | {"token_url": endpoint.token_url + change["token_url"]}
    return BEFORE | change


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_changed_setting_of_the_request_renews_the_token(world: World, endpoint: AccountEndpoint, change: Json) -> None:
    """The token that consumers have was asked for with something else: `config_changed`."""
    configure(world, **BEFORE)
    invoke(world, endpoint)
    world.clock.advance(HOUR)
    configure(world, **changed(endpoint, change))
    assert outcome_and_reason(invoke(world, endpoint, DRY_RUN)) == ("due", "config_changed")
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "config_changed")
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")
    assert len(endpoint.received) == 2


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_changed_setting_of_the_environment_does_not_reach_what_the_secret_sets(
    world: World, endpoint: AccountEndpoint, change: Json
) -> None:
    """The secret's setting counts, so a new value in the environment renews nothing."""
    fixed = changed(endpoint, change)
    configure(world, **fixed)
    invoke(world, endpoint)
    texts = {"AUDIENCE": "x", "SCOPE": "x", "PARAMETERS": '{"a": "x"}', "TOKEN_URL": "https://auth.example/token"}
    [name] = change
    environment = {"TOKEN_URL": endpoint.token_url} | {name.upper(): texts[name.upper()]}
    world.clock.advance(HOUR)
    assert outcome_and_reason(world.invoke(process=world.process(**environment))) == ("kept", "fresh")
    assert len(endpoint.received) == 1


@pytest.mark.parametrize("name", ["refresh_window_seconds", "limit_interval_seconds", "consumer_cache_seconds"])
def test_changed_duration_renews_nothing(world: World, endpoint: AccountEndpoint, name: str) -> None:
    """The token is as good as before."""
    configure(world)
    invoke(world, endpoint)
    token = public(world.token())
    configure(world, client_auth="client_secret_basic", **{name: 60})
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")
    assert public(world.token()) == token


@pytest.mark.parametrize(
    "change",
    [*CHANGES, {"client_auth": "client_secret_basic"}],
    ids=str,
)
def test_changed_setting_opens_a_slot_that_backs_off(world: World, endpoint: AccountEndpoint, change: Json) -> None:
    """Put right, it is asked at the next run, and its first failure would be the first."""
    configure(world, **BEFORE)
    process = {"TOKEN_URL": endpoint.token_url}
    endpoint.is_down = True
    for _ in range(3):
        assert run(world, process=world.process(**process)) == "VendorError"
    before = slot_of(world, OURS)
    assert before["reason"] == "backing_off"
    assert run(world, process=world.process(**process)) == "VendorError"
    assert len(endpoint.received) == 3
    configure(world, **changed(endpoint, change))
    assert run(world, process=world.process(**process)) == "VendorError"
    assert len(endpoint.received) == 4
    after = slot_of(world, OURS)
    assert after["failures"] == 1
    assert after["asked_with"] != before["asked_with"]
    endpoint.is_down = False
    assert run(world, process=world.process(**process)) == "refreshed"


def test_slot_that_backs_off_opens_for_changed_parameters_of_the_environment(
    world: World, endpoint: AccountEndpoint
) -> None:
    """Without a new version of the secret it is the parameters that make another request, not their order."""
    configure(world)
    process = {"TOKEN_URL": endpoint.token_url}
    endpoint.is_down = True
    for _ in range(3):
        run(world, process=world.process(**process, PARAMETERS='{"a": "1", "b": "2"}'))
    assert run(world, process=world.process(**process, PARAMETERS='{"b": "2", "a": "1"}')) == "VendorError"
    assert len(endpoint.received) == 3
    endpoint.is_down = False
    assert run(world, process=world.process(**process, PARAMETERS='{"a": "1", "b": "3"}')) == "refreshed"


def test_limit_stays_whatever_the_settings(world: World, endpoint: AccountEndpoint) -> None:
    """A client's limit is the vendor's: a changed scope is due, and waits for the slot."""
    put_credentials(world, client_of(world))
    invoke(world, endpoint)
    put_credentials(world, client_of(world) | {"settings": {"scope": "other"}})
    assert run(world, process=world.process(TOKEN_URL=endpoint.token_url)) == "RateLimited"
    assert len(endpoint.received) == 1
    world.clock.advance(INTERVAL)
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "config_changed")


# Faults

HTTPS = "must be an https URL (http is for a loopback host only)"
SECONDS_FROM_0 = "must be a whole number of seconds from 0 to 315360000"
SECONDS_FROM_1 = "must be a whole number of seconds from 1 to 315360000"
FAULTS: list[tuple[Any, str]] = [
    ({"token_url": ""}, "settings.token_url is not set"),
    ({"audience": "\ud800"}, "settings.audience has a character that can't be printed"),
    ({"scope": "x\ud800"}, "settings.scope has a character that can't be printed"),
    ({"audience": "https://canary.example/ "}, "settings.audience has white space at an end"),
    ("canary", "settings is not an object"),
    (["canary"], "settings is not an object"),
    (None, "settings is not an object"),
    ({"tokn_url": "https://canary.example/"}, "settings.'tokn_url' is not a setting of a connection"),
    ({"TOKEN_URL": "https://canary.example/"}, "settings.'TOKEN_URL' is not a setting of a connection"),
    ({"acquire_timeout_seconds": 60}, "settings.'acquire_timeout_seconds' is not a setting of a connection"),
    ({"write_reserve_seconds": 60}, "settings.'write_reserve_seconds' is not a setting of a connection"),
    ({"event_bus_name": "canary"}, "settings.'event_bus_name' is not a setting of a connection"),
    ({"token_secret_id": "canary"}, "settings.'token_secret_id' is not a setting of a connection"),
    ({"credentials_secret_id": "canary"}, "settings.'credentials_secret_id' is not a setting of a connection"),
    ({"x" * 50: "canary"}, f"settings.'{'x' * 40}' is not a setting of a connection"),
    ({"a\ud800\n": "canary"}, r"settings.'a\ud800\n' is not a setting of a connection"),
    ({"token_url": "http://canary.example/"}, f"settings.token_url {HTTPS}"),
    ({"token_url": "canary"}, f"settings.token_url {HTTPS}"),
    ({"token_url": "https://me:canary@auth.example/"}, "settings.token_url must not carry user info"),
    ({"token_url": "https://auth.example/#canary"}, "settings.token_url must not carry a fragment"),
    ({"token_url": None}, "settings.token_url must be a text"),
    ({"token_url": ["canary"]}, "settings.token_url must be a text"),
    ({"probe_url": "http://canary.example/"}, f"settings.probe_url {HTTPS}"),
    ({"audience": 5}, "settings.audience must be a text"),
    ({"audience": "canary" * 400}, "settings.audience may be 2000 bytes at most"),
    ({"scope": ["canary"]}, "settings.scope must be a text"),
    ({"client_auth": "canary"}, "settings.client_auth must be client_secret_post or client_secret_basic"),
    ({"client_auth": ""}, "settings.client_auth must be client_secret_post or client_secret_basic"),
    ({"refresh_window_seconds": 0}, f"settings.refresh_window_seconds {SECONDS_FROM_1}"),
    ({"max_lifetime_seconds": 0}, f"settings.max_lifetime_seconds {SECONDS_FROM_1}"),
    ({"limit_interval_seconds": -1}, f"settings.limit_interval_seconds {SECONDS_FROM_0}"),
    ({"limit_margin_seconds": 315_360_001}, f"settings.limit_margin_seconds {SECONDS_FROM_0}"),
    ({"standby_below_seconds": 10**30}, f"settings.standby_below_seconds {SECONDS_FROM_0}"),
    ({"consumer_cache_seconds": "987654"}, "settings.consumer_cache_seconds must be a whole number"),
    ({"refresh_window_seconds": 987.5}, "settings.refresh_window_seconds must be a whole number"),
    ({"refresh_window_seconds": True}, "settings.refresh_window_seconds must be a whole number"),
    ({"limit_interval_seconds": None}, "settings.limit_interval_seconds must be a whole number"),
    ({"parameters": '{"a": "canary"}'}, "settings.parameters must be an object"),
    ({"parameters": ["canary"]}, "settings.parameters must be an object"),
    ({"parameters": None}, "settings.parameters must be an object"),
    ({"parameters": {"a": 5}}, "settings.parameters must have a printable text for 'a'"),
    ({"parameters": {"a": None}}, "settings.parameters must have a printable text for 'a'"),
    ({"parameters": {"a": {"b": "canary"}}}, "settings.parameters must have a printable text for 'a'"),
    ({"parameters": {"a": "canary\n"}}, "settings.parameters must have a printable text for 'a'"),
    ({"parameters": {"a": "x", "b": "\ud800"}}, "settings.parameters must have a printable text for 'b'"),
    ({"parameters": {"a": "canary" * 400}}, "settings.parameters may be 2000 bytes at most"),
    *(
        ({"parameters": {name: "canary"}}, f"settings.parameters must not have '{name}', which is sent already")
        for name in ("grant_type", "client_id", "client_secret", "username", "password", "audience", "scope")
    ),
]


@pytest.mark.parametrize(("settings", "fault"), FAULTS, ids=lambda value: ascii(value)[:60].replace("canary", ""))
def test_fault_is_named_by_its_key_before_anything_is_asked(
    world: World, endpoint: AccountEndpoint, settings: object, fault: str
) -> None:
    """No value is repeated, nothing is written, and the metric still tells what consumers have."""
    configure(world)
    invoke(world, endpoint)
    world.clock.advance(HOUR)
    put_credentials(world, client_of(world) | account_of(STORE) | {"settings": settings})
    with record_traffic(world) as traffic, pytest.raises(CredentialsError) as caught:
        invoke(world, endpoint)
    assert str(caught.value) == f"the credentials secret: {fault}"
    assert not caught.value.retryable
    assert traffic.operations == ["BatchGetSecretValue"]
    assert len(endpoint.received) == 1
    assert metrics(world) == {"TokenSecondsRemaining": DAY - HOUR, "Failed": 1}
    assert "98765" not in world.output


def test_every_fault_is_named_in_one_message(world: World, endpoint: AccountEndpoint) -> None:
    """A person corrects them all at once."""
    configure(world, token_url="canary", client_auth="canary", max_lifetime_seconds=0)
    with pytest.raises(CredentialsError) as caught:
        invoke(world, endpoint)
    message = str(caught.value)
    for name in ("token_url", "client_auth", "max_lifetime_seconds"):
        assert f"settings.{name} must be " in message
    configure(world, tokn_url="canary", scope=5, Scope="canary")
    with pytest.raises(CredentialsError) as caught:
        invoke(world, endpoint)
    for name in ("'tokn_url' is", "scope must", "'Scope' is"):
        assert f"settings.{name}" in str(caught.value)


def test_fault_that_is_put_right_is_forgotten(world: World, endpoint: AccountEndpoint) -> None:
    """Nothing of it stays in a warm process, or in the ledger."""
    process = world.process(TOKEN_URL=endpoint.token_url)
    configure(world, scope=5)
    assert run(world, process=process) == "CredentialsError"
    configure(world, scope="other")
    assert run(world, process=process) == "refreshed"
    configure(world)
    world.clock.advance(HOUR)
    assert run(world, process=process) == "refreshed"
    assert [form_of(received)["scope"] for received in endpoint.received] == ["other", "raas.all"]


def test_fault_of_the_settings_is_told_without_a_token_too(world: World) -> None:
    """Before the first token there is nothing that consumers have."""
    put_credentials(world, client_of(world) | {"settings": {"scope": 5}})
    assert run(world) == "CredentialsError"
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
    assert world.vendor.requests == []


def test_every_setting_of_a_connection_can_be_given_as_it_is_in_the_environment(world: World) -> None:
    """All of them at once, with the very values of the environment, change nothing."""
    names = {
        "token_url": str,
        "audience": str,
        "scope": str,
        "client_auth": str,
        "refresh_window_seconds": int,
        "limit_margin_seconds": int,
        "max_lifetime_seconds": int,
        "standby_below_seconds": int,
        "consumer_cache_seconds": int,
        "probe_url": str,
    }
    before = world.process().settings
    given: Json = {name: getattr(before, name) for name in names}
    assert {name: type(value) for name, value in given.items()} == names
    put_credentials(world, client_of(world) | {"settings": given | {"parameters": {}}})
    text = world.secrets.client().get_secret_value(SecretId=CREDENTIALS_SECRET)["SecretString"]
    settings: Settings = before.for_connection(json.loads(text)["settings"])
    assert settings == before
    assert outcome_and_reason(world.invoke()) == ("refreshed", "missing")
    put_credentials(world, client_of(world))
    assert outcome_and_reason(world.invoke()) == ("kept", "fresh")
