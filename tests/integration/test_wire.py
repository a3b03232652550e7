"""The token request as the vendor receives it, and how the machine's environment can change it."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import os
import ssl
import subprocess
import sys
from email.utils import format_datetime, formatdate
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handler.errors import OutcomeUnknown, RateLimited, RequestRefused, VendorError, VendorUnreachable
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.world import World
from tests.integration.helpers import BLUE, DAY, HOUR, MINUTE, asked_slot, now, slot_of, world_with_vendor
from tests.integration.recorder import Received, Recorder
from tests.integration.traffic import record_traffic

ROOT = Path(__file__).parents[2]
ODD_ID = "id:with/odd chars"
ODD_SECRET = "se+cret:/%&=ü €\"'"
FAR_AWAY = "https://vendor.example/oauth/token"
TOKEN = {"access_token": "recorded", "token_type": "Bearer", "expires_in": DAY}


def received(world: World, **settings: str) -> Received:
    """Return the one token request of a run whose vendor only records."""
    with Recorder(body=TOKEN) as vendor:
        process = world.process(TOKEN_URL=vendor.url + "/oauth/token", **settings)
        assert world.invoke(process=process)["outcome"] == "refreshed"
        [request] = vendor.received
    return request


def form(request: Received) -> list[tuple[str, str]]:
    return sorted(parse_qsl(request.body, keep_blank_values=True, strict_parsing=True))


def odd_credentials(world: World) -> None:
    world.client_secrets[ODD_ID] = ODD_SECRET
    world.put_credentials(ODD_ID)


# The form


def test_request_has_exactly_the_vendors_fields(world: World) -> None:
    """A form with five fields, no parameter in the URL, and no other credentials."""
    request = received(world)
    assert request.method == "POST"
    assert request.target == "/oauth/token"
    assert form(request) == [
        ("audience", "https://api.tangocard.com/"),
        ("client_id", BLUE),
        ("client_secret", world.client_secrets[BLUE]),
        ("grant_type", "client_credentials"),
        ("scope", "raas.all"),
    ]
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["accept"] == "application/json"
    assert int(headers["content-length"]) == len(request.body)
    assert not {"authorization", "cookie", "transfer-encoding"} & set(headers)


@pytest.mark.parametrize("name", ["AUDIENCE", "SCOPE"])
def test_empty_setting_leaves_its_field_out(world: World, name: str) -> None:
    """If the audience or the scope is empty, its field is not sent at all."""
    names = {field for field, _ in form(received(world, **{name: ""}))}
    assert names == {"audience", "client_id", "client_secret", "grant_type", "scope"} - {name.lower()}


def test_settings_are_sent_as_they_are(world: World) -> None:
    """Audience and scope arrive unchanged, whatever characters they have."""
    fields = dict(form(received(world, AUDIENCE="https://other.example/?a=b&c", SCOPE="read:all write+some")))
    assert fields["audience"] == "https://other.example/?a=b&c"
    assert fields["scope"] == "read:all write+some"


def test_odd_credentials_survive_the_form(world: World) -> None:
    """A secret can be any text: characters that mean something in a form are encoded."""
    odd_credentials(world)
    fields = dict(form(received(world)))
    assert fields["client_id"] == ODD_ID
    assert fields["client_secret"] == ODD_SECRET


def test_basic_authentication_is_as_in_the_rfc(world: World) -> None:
    """With `client_secret_basic` both parts are percent-encoded in the header, and neither is in the form."""
    odd_credentials(world)
    request = received(world, CLIENT_AUTH="client_secret_basic")
    scheme, _, value = request.headers["Authorization"].partition(" ")
    user, _, password = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    assert scheme == "Basic"
    assert not set(user + password) & set(":/+&= ")
    assert unquote(user) == ODD_ID
    assert unquote(password) == ODD_SECRET
    assert form(request) == [
        ("audience", "https://api.tangocard.com/"),
        ("grant_type", "client_credentials"),
        ("scope", "raas.all"),
    ]


def test_basic_authentication_gets_a_token_of_the_emulated_vendor(world: World) -> None:
    """The emulator reads the header with code of its own, and grants the token."""
    process = world.process(CLIENT_AUTH="client_secret_basic")
    assert world.invoke(process=process)["outcome"] == "refreshed"
    assert world.consume() == 200


# The environment: .netrc and proxies


@pytest.mark.parametrize("auth", ["client_secret_post", "client_secret_basic"])
def test_no_netrc_is_used(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auth: str) -> None:
    """A password in .netrc for the vendor's host is not sent, and does not replace the credentials."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login intruder password intruder\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    authorization = received(world, CLIENT_AUTH=auth).headers.get("Authorization", "")
    assert (authorization == "") == (auth == "client_secret_post")
    assert b"intruder" not in base64.b64decode(authorization.removeprefix("Basic "))


def test_no_netrc_is_used_for_the_probe(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe sends the token, even if .netrc has a password for the API's host."""
    world.invoke()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login intruder password intruder\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert world.invoke(process=world.process(PROBE_URL=world.vendor.api_url))["outcome"] == "kept"
    assert [status for _, status in world.vendor.api_calls] == [200]


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's own proxies out of the environment."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment_is_used(world: World, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A function in a closed network asks the proxy that the environment names for a tunnel to the vendor.

    A proxy that refuses has not received anything of the form, so no slot is spent.
    """
    process = world.process(TOKEN_URL=FAR_AWAY)  # its AWS client is made before the proxy is there
    with Recorder(403) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        with pytest.raises(VendorUnreachable):
            world.invoke(process=process)
    attempts = len(proxy.received)
    assert attempts == 4
    assert [(one.method, one.target) for one in proxy.received] == [("CONNECT", "vendor.example:443")] * attempts
    assert {one.body for one in proxy.received} == {""}
    assert not any(world.client_secrets[BLUE] in repr(dict(one.headers)) for one in proxy.received)
    assert slot_of(world) == asked_slot(failures=1, error="VendorUnreachable")


@pytest.mark.usefixtures("no_proxies")
def test_no_proxy_is_honoured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that NO_PROXY names is asked directly. This one does not exist."""
    process = world.process(TOKEN_URL="https://no-such-host.invalid/oauth/token")
    with Recorder(403) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "no-such-host.invalid")
        with pytest.raises(VendorUnreachable):
            world.invoke(process=process)
    assert proxy.received == []
    assert slot_of(world) == asked_slot(failures=1, error="VendorUnreachable")


@pytest.mark.usefixtures("no_proxies")
def test_proxy_that_is_down_is_an_unreachable_vendor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, so no slot is spent."""
    process = world.process(TOKEN_URL=FAR_AWAY)
    with Recorder() as gone:
        pass
    monkeypatch.setenv("HTTPS_PROXY", gone.url)
    with pytest.raises(VendorUnreachable):
        world.invoke(process=process)
    assert slot_of(world) == asked_slot(failures=1, error="VendorUnreachable")


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for 127.0.0.1 that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vendor")])
    today = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(secret + signed.public_bytes(pem))
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_certificate_that_nobody_signed_is_refused_before_anything_is_sent(world: World, certificate: Path) -> None:
    """TLS is verified: an impostor does not receive the form, and no slot is spent."""
    with Recorder(body=TOKEN, tls=tls(certificate)) as impostor:
        with pytest.raises(VendorUnreachable):
            world.invoke(process=world.process(TOKEN_URL=impostor.url))
        assert impostor.received == []
    assert slot_of(world) == asked_slot(failures=1, error="VendorUnreachable")


def test_certificate_that_the_machine_trusts_is_accepted(
    world: World, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's own authority is trusted if the environment names it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with Recorder(body=TOKEN, tls=tls(certificate)) as vendor:
        process = world.process(TOKEN_URL=vendor.url)
        assert world.invoke(process=process)["outcome"] == "refreshed"
        assert len(vendor.received) == 1


# Redirects and retries


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(world: World, status: int) -> None:
    """The client's secret goes only to the configured host."""
    with Recorder(body=TOKEN) as elsewhere:
        world.vendor.script(Fault.answer(status, headers={"Location": elsewhere.url}))
        with pytest.raises(RequestRefused) as caught:
            world.invoke()
        assert elsewhere.received == []
    assert not caught.value.retryable
    assert len(world.vendor.requests) == 1


def test_redirect_of_the_probe_is_not_followed(world: World) -> None:
    """The token goes only to the configured API."""
    world.invoke()
    with Recorder(401) as elsewhere, Recorder(302, headers={"Location": elsewhere.url}) as api:
        assert world.invoke(process=world.process(PROBE_URL=api.url))["outcome"] == "kept"
        assert len(api.received) == 1
        assert elsewhere.received == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault.cut(issues=True),
        Fault.cut(issues=True, reset=False),
        Fault.truncated(),
        Fault.truncated(keep=0),
        *(Fault.answer(status, headers={"Retry-After": "0"}) for status in (429, 500, 502, 503, 504)),
    ],
)
def test_post_is_never_repeated(world: World, fault: Fault) -> None:
    """Neither a library nor the function sends the request twice in a run: the first may have spent the slot."""
    world.vendor.script(fault)
    with record_traffic(world) as traffic, pytest.raises((OutcomeUnknown, RateLimited, VendorError)):
        world.invoke()
    assert len(traffic.vendor) == 1


# Answers' headers


@pytest.mark.parametrize(("ahead", "seconds"), [(120, 120), (0, 0), (-HOUR, 0), (HOUR, HOUR), (25 * HOUR, 24 * HOUR)])
@pytest.mark.parametrize("zone", ["GMT", "+0200"])
def test_retry_after_may_be_a_date(world: World, ahead: int, seconds: int, zone: str) -> None:
    """Both forms of RFC 9110 are read. A date is compared with the function's clock, and counts up to a day."""
    at = now(world) + ahead
    there = dt.datetime.fromtimestamp(at, dt.timezone(dt.timedelta(hours=2)))
    text = formatdate(at, usegmt=True) if zone == "GMT" else format_datetime(there)
    world.vendor.script(Fault.answer(429, headers={"Retry-After": text}))
    with pytest.raises(RateLimited):
        world.invoke()
    assert slot_of(world)["not_before"] == now(world) + seconds


@pytest.mark.parametrize("text", ["Sun, 99 Sep 2026 14:13:20 GMT", "Wed, 21 Oct 99999999999 07:28:00 GMT", "tomorrow"])
def test_retry_after_that_is_no_date_counts_as_none(world: World, text: str) -> None:
    """An unreadable Retry-After means a quarter of an hour."""
    world.vendor.script(Fault.answer(429, headers={"Retry-After": text}))
    with pytest.raises(RateLimited):
        world.invoke()
    assert slot_of(world)["not_before"] == now(world) + 15 * MINUTE


def test_opaque_token_is_published(clock: Clock) -> None:
    """Nothing depends on what the token looks like."""
    with world_with_vendor(clock, token_format="opaque") as world:
        assert world.invoke()["outcome"] == "refreshed"
        assert world.consume() == 200


# What a tick loads

TICK = """
import json, sys
from types import SimpleNamespace
from handler.app import lambda_handler
context = SimpleNamespace(
    function_name="f", memory_limit_in_mb=1, invoked_function_arn="", aws_request_id="r",
    get_remaining_time_in_millis=lambda: 420_000,
)
print(json.dumps([lambda_handler({}, context)["outcome"], "requests" in sys.modules]))
"""


def test_fresh_tick_does_not_load_requests() -> None:
    """A run that finds a fresh token does not load `requests`, which would cost time; one that acquires does."""
    outcomes = []
    with World(Clock(), standby=False) as world:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | world.environment()
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", TICK], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True
            )
            outcomes.append(done.stdout.splitlines()[-1])
    assert outcomes == ['["refreshed", true]', '["kept", false]']
