"""Each recipe of docs/VENDORS.md works: the template accepts it, and the real handler reads the documented answers."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from handler import errors
from handler.errors import RefreshError
from handler.settings import Settings
from local.emulators.raw_server import RawServer, always
from local.emulators.world import CREDENTIALS_SECRET, World
from tests.deployment.recipes import Recipe, Refusal, recipe, recipes
from tests.deployment.stack import TEMPLATE, Stack, is_allowed

if TYPE_CHECKING:
    from handler.connections import WarmProcess
    from tests.deployment.stack import Json

RECIPES = {one.name: one for one in recipes()}
EACH_RECIPE = pytest.mark.parametrize("name", RECIPES)
SERVICE_ACCOUNT = "Tango: a client with a service account"
CLIENT = {"client_id": "client-blue", "client_secret": "blue-secret-of-the-emulator"}
ACCOUNT = {"username": "store-017", "password": "password-of-store-017"}
LIMIT_TEXT = "Client tango-client client-blue has exceeded the daily rate limit"

# The fields of the form without the credentials, as the vendors' pages have them.
FORMS = {
    "Tango: a client alone": {"audience": "https://api.tangocard.com/", "scope": "raas.all"},
    SERVICE_ACCOUNT: {"audience": "https://api.tangocard.com/", "scope": "raas.all"},
    "Auth0": {"audience": "https://api.example.com/"},
    "Okta": {"scope": "customScope"},
    "Microsoft Entra ID": {"scope": "https://graph.microsoft.com/.default"},
    "Salesforce": {},
    "commercetools": {"scope": "manage_orders:my-project"},
    "PayPal": {},
    "A vendor whose tokens live for one hour": {"scope": "orders:read orders:write"},
}
WITH_HEADER = {"Okta", "commercetools", "PayPal"}
SALESFORCE_LIFE = 7_200  # seconds; its answer does not have the life
EXTRA = {
    "Salesforce": {"instance_url", "id", "issued_at", "signature", "token_format"},
    "PayPal": {"app_id", "nonce"},
}


def variables_of(found: Recipe) -> dict[str, str]:
    """Return the function's environment in a stack with the parameters of the recipe."""
    variables: dict[str, str] = Stack(**found.parameters).properties("RefreshFunction")["Environment"]["Variables"]
    return variables


def process_for(found: Recipe, world: World, url: str) -> WarmProcess:
    """Return a process with the settings of the recipe, whose token endpoint has the vendor's path on loopback."""
    settings = variables_of(found)
    path = urlsplit(settings["TOKEN_URL"]).path
    return world.process(
        **settings
        | {
            "TOKEN_URL": url + path,
            "CREDENTIALS_SECRET_ID": world.environment()["CREDENTIALS_SECRET_ID"],
            "TOKEN_SECRET_ID": world.environment()["TOKEN_SECRET_ID"],
        }
    )


def put_credentials(found: Recipe, world: World) -> None:
    document = dict(CLIENT)
    if found.name == SERVICE_ACCOUNT:
        document |= ACCOUNT
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString=json.dumps(document))


def http_answer(status: int, body: object) -> bytes:
    """Return an HTTP response: JSON, or a text as it is."""
    if isinstance(body, str):
        return with_head(status, "text/plain", body.encode())
    return with_head(status, "application/json", json.dumps(body).encode())


def with_head(status: int, content_type: str, content: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Answer\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def parsed(request: bytes) -> tuple[str, dict[str, str], dict[str, str]]:
    """Return the path of a request, its headers with names in lower case, and its form."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return first.split(" ")[1], headers, dict(parse_qsl(body.decode()))


def test_each_vendor_of_the_page_is_tested() -> None:
    """A new recipe needs its expected form here."""
    assert RECIPES.keys() == FORMS.keys()


@EACH_RECIPE
def test_the_template_accepts_the_parameters(name: str) -> None:
    """Each value is allowed, and the rules find nothing; the settings that come out of it are valid."""
    found = RECIPES[name]
    for parameter, value in found.parameters.items():
        assert is_allowed(parameter, value), parameter
        assert value != TEMPLATE["Parameters"][parameter]["Default"], f"{parameter} has its default"
    assert Stack(**found.parameters).broken_rules() == []
    settings = Settings.from_env(variables_of(found))
    longest_life = found.answer.get("expires_in", SALESFORCE_LIFE)
    assert settings.max_lifetime_seconds >= longest_life
    stack = Stack(**found.parameters)
    threshold = int(stack.properties("TokenExpiresAlarm")["Threshold"])
    assert threshold < min(settings.refresh_window_seconds, longest_life // 3)


@EACH_RECIPE
def test_the_documented_answer_is_published_and_kept(name: str, world: World) -> None:
    """The request is the documented one, and consumers get the token with its life and all that comes with it."""
    found = RECIPES[name]
    put_credentials(found, world)
    with RawServer(always(http_answer(200, found.answer))) as vendor:
        process = process_for(found, world, vendor.url)
        assert world.invoke(process=process)["outcome"] == "refreshed"
        assert world.invoke(process=process)["outcome"] == "kept"
    assert_documented_request(found, vendor.requests)
    token = world.token()
    assert token["access_token"] == found.answer["access_token"]
    life = found.answer.get("expires_in", SALESFORCE_LIFE)
    assert token["expires_at"] == int(world.clock.now()) + life
    assert token["extra"].keys() == EXTRA.get(name, set())
    for key in token["extra"]:
        assert token["extra"][key] == found.answer[key]


def assert_documented_request(found: Recipe, requests: list[bytes]) -> None:
    """Assert that one request was sent, with the vendor's path, its fields and its way to authenticate."""
    [request] = requests
    path, headers, form = parsed(request)
    assert path == urlsplit(variables_of(found)["TOKEN_URL"]).path
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    expected = {"grant_type": "client_credentials", **FORMS[found.name]}
    if found.name == SERVICE_ACCOUNT:
        expected |= {"grant_type": "password", **ACCOUNT}
    if found.name not in WITH_HEADER:
        assert form == expected | CLIENT
        return
    assert form == expected
    scheme, _, pair = headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert b64decode(pair).decode() == f"{CLIENT['client_id']}:{CLIENT['client_secret']}"


def documented_refusals() -> list[Any]:
    """Return a case for each row of each vendor, and each status of the row."""
    return [
        pytest.param(found.name, refusal, status, id=f"{found.name}-{status}-{refusal.error or 'none'}-{number}")
        for found in RECIPES.values()
        for number, refusal in enumerate(found.refusals)
        for status in refusal.statuses
    ]


@pytest.mark.parametrize(("name", "refusal", "status"), documented_refusals())
def test_a_documented_refusal_is_read_as_the_page_says(name: str, refusal: Refusal, status: int, world: World) -> None:
    """The run fails with the error of the row, after one request."""
    found = RECIPES[name]
    put_credentials(found, world)
    with RawServer(always(http_answer(status, body_of(refusal)))) as vendor:
        with pytest.raises(RefreshError) as caught:
            world.invoke(process=process_for(found, world, vendor.url))
        assert len(vendor.requests) == 1
    assert caught.type is getattr(errors, refusal.read_as)


def body_of(refusal: Refusal) -> Json | str:
    """Return the body that the row describes."""
    if refusal.read_as == "RateLimited" and "daily rate limit" in refusal.meaning:
        return LIMIT_TEXT
    if not refusal.error:
        return ""
    return {"error": refusal.error, "error_description": "words of the vendor"}


@EACH_RECIPE
def test_each_recipe_has_refusals(name: str) -> None:
    """Each row has a status, and its error is one of ours."""
    refusals = RECIPES[name].refusals
    assert refusals
    assert all(refusal.statuses for refusal in refusals)
    assert all(hasattr(errors, refusal.read_as) for refusal in refusals)


def test_a_token_that_salesforce_repeats_is_published_with_its_new_end(world: World) -> None:
    """Its answer has no `expires_in`, so the same token lives as long as a new one."""
    found = recipe("Salesforce")
    put_credentials(found, world)
    with RawServer(always(http_answer(200, found.answer))) as vendor:
        process = process_for(found, world, vendor.url)
        world.invoke(process=process)
        world.clock.advance(5_000)
        assert world.invoke(process=process)["outcome"] == "refreshed"
    assert world.token()["expires_at"] == int(world.clock.now()) + SALESFORCE_LIFE


def test_a_token_that_paypal_repeats_is_kept_until_half_of_its_life_has_passed(world: World) -> None:
    """The repeated token has no more life, so the run says `waiting` and `same_token`."""
    found = recipe("PayPal")
    put_credentials(found, world)
    begin = world.clock.now()

    def repeat(_: bytes) -> list[bytes]:
        passed = int(world.clock.now() - begin)
        return [http_answer(200, found.answer | {"expires_in": found.answer["expires_in"] - passed})]

    with RawServer(repeat) as vendor:
        process = process_for(found, world, vendor.url)
        world.invoke(process=process)
        world.clock.advance(found.answer["expires_in"] - 10_000)
        result = world.invoke(process=process)
    assert (result["outcome"], result["reason"]) == ("waiting", "same_token")
    assert result["not_before"] == int(world.clock.now()) + 5_000


def test_a_token_of_an_hour_less_a_second_is_an_hour(world: World) -> None:
    """This is the example of Entra ID's page: it is stored without a warning."""
    found = recipe("Microsoft Entra ID")
    put_credentials(found, world)
    with RawServer(always(http_answer(200, found.answer))) as vendor:
        assert world.invoke(process=process_for(found, world, vendor.url))["outcome"] == "refreshed"
    assert not [line for line in world.lines if line.get("message") == "OddLifetime"]
