"""Where a request goes: through no proxy if the host is this machine. And how a header names a secret."""

from __future__ import annotations

import base64
from urllib.parse import unquote

import pytest

from handler.errors import VendorUnreachable
from local.emulators.world import World
from tests.integration.helpers import BLUE, DAY, HOUR, acquire_token, slot_of
from tests.integration.recorder import Recorder

TOKEN = {"access_token": "recorded", "token_type": "Bearer", "expires_in": DAY}
OF_HTTP = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
OF_HTTPS = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "LOCALHOST"]
ELSEWHERE = "https://vendor.example/oauth/token"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies must not count."""
    for name in (*OF_HTTP, *OF_HTTPS, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", OF_HTTP)
@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_token_request_to_this_machine_goes_through_no_proxy(
    world: World, monkeypatch: pytest.MonkeyPatch, host: str, variable: str
) -> None:
    """It is in clear, so a proxy would read the secret."""
    with Recorder(body=TOKEN) as vendor, Recorder(body=TOKEN) as proxy:
        process = world.process(TOKEN_URL=vendor.url.replace("127.0.0.1", host))
        monkeypatch.setenv(variable, proxy.url)
        assert world.invoke(process=process)["outcome"] == "refreshed"
        assert proxy.received == []
        assert len(vendor.received) == 1


@pytest.mark.parametrize("variable", OF_HTTP)
@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_probe_of_this_machine_goes_through_no_proxy(
    world: World, monkeypatch: pytest.MonkeyPatch, host: str, variable: str
) -> None:
    """The probe's header has the token."""
    acquire_token(world, 2 * HOUR)
    with Recorder() as api, Recorder() as proxy:
        process = world.process(PROBE_URL=api.url.replace("127.0.0.1", host))
        monkeypatch.setenv(variable, proxy.url)
        assert world.invoke(process=process)["outcome"] == "kept"
        assert proxy.received == []
        assert len(api.received) == 1


@pytest.mark.parametrize("variable", OF_HTTPS)
def test_token_request_to_another_host_goes_through_the_proxy(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A function in a closed network needs a tunnel through the proxy, which sees no secret."""
    process = world.process(TOKEN_URL=ELSEWHERE)
    with Recorder(502) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        with pytest.raises(VendorUnreachable):
            world.invoke(process=process)
    sent = {(one.method, one.target) for one in proxy.received}
    assert sent == {("CONNECT", "vendor.example:443")}
    assert not any(one.body for one in proxy.received)
    assert slot_of(world)["suspicions"] == 0


def test_probe_of_another_host_goes_through_the_proxy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is as far away as the vendor."""
    acquire_token(world, 2 * HOUR)
    process = world.process(PROBE_URL="https://api.example/")
    with Recorder(502) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert world.invoke(process=process)["outcome"] == "kept"
    assert [(one.method, one.target) for one in proxy.received] == [("CONNECT", "api.example:443")]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_is_honoured_for_another_host(world: World, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A host that NO_PROXY names is looked up and reached directly."""
    process = world.process(TOKEN_URL="https://no-such-host.invalid/oauth/token")
    with Recorder(502) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv(variable, "no-such-host.invalid")
        with pytest.raises(VendorUnreachable):
            world.invoke(process=process)
    assert proxy.received == []


def test_proxy_that_is_down_is_an_unreachable_vendor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so no slot is spent, and the next run asks again."""
    process = world.process(TOKEN_URL=ELSEWHERE)
    with Recorder() as gone:
        pass
    monkeypatch.setenv("HTTPS_PROXY", gone.url)
    with pytest.raises(VendorUnreachable):
        world.invoke(process=process)
    assert slot_of(world)["suspicions"] == 0


# How a secret is written


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        (BLUE, "a secret with spaces"),
        ("a client with spaces", "secret-of-the-test"),
        (BLUE, "plus+and space%20and+%2B"),
    ],
    ids=["secret", "client id", "next to a plus sign"],
)
def test_space_in_basic_credentials_is_percent_encoded(world: World, client_id: str, secret: str) -> None:
    """Servers that decode only percent signs exist, and no server takes `%20` for anything else."""
    world.client_secrets[client_id] = secret
    world.put_credentials(client_id)
    with Recorder(body=TOKEN) as vendor:
        world.invoke(process=world.process(TOKEN_URL=vendor.url, CLIENT_AUTH="client_secret_basic"))
    [request] = vendor.received
    encoded = request.headers["Authorization"].removeprefix("Basic ")
    text = base64.b64decode(encoded, validate=True).decode()
    assert "+" not in text
    assert "%20" in text
    sent_id, _, sent_secret = text.partition(":")
    assert (unquote(sent_id), unquote(sent_secret)) == (client_id, secret)
