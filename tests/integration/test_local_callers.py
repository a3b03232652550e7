"""Each server on loopback answers the programs of this machine, and refuses what a web page may have sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests

from local.emulators.clock import Clock
from local.emulators.lambda_runtime import FUNCTION_NAME
from local.emulators.world import ANY_PORTS, CREDENTIALS_SECRET, World
from tests.conftest import START

PATIENCE = 30  # real seconds; everything here ends much earlier


class Call(NamedTuple):
    """A call that a page would like to make. `server` is one of the three."""

    server: str
    method: str
    path: str
    body: str = ""
    operation: str = ""  # of Secrets Manager


MOVE_CLOCK = Call("vendor", "POST", "/_emulator", '{"advance": 3600}')
ASK_FOR_TOKEN = Call("vendor", "POST", "/oauth/token", "grant_type=client_credentials")
READ_VENDOR = Call("vendor", "GET", "/_emulator")
READ_SECRET = Call("secrets", "POST", "/", f'{{"SecretId": "{CREDENTIALS_SECRET}"}}', "secretsmanager.GetSecretValue")
READ_MOTO = Call("secrets", "GET", "/moto-api/data.json")
INVOKE = Call("functions", "POST", f"/2015-03-31/functions/{FUNCTION_NAME}/invocations", '{"action": "status"}')
READ_QUEUE = Call("functions", "GET", "/_emulator")
CALLS = {
    "move the clock": MOVE_CLOCK,
    "ask for a token": ASK_FOR_TOKEN,
    "read the vendor": READ_VENDOR,
    "read a secret": READ_SECRET,
    "read moto": READ_MOTO,
    "invoke": INVOKE,
    "read the queue": READ_QUEUE,
}
OF_A_PAGE = {
    "DNS rebinding": {"Host": "attacker.example:8702"},
    "DNS rebinding of a name like ours": {"Host": "127.0.0.1.attacker.example"},
    "a page of another site": {"Origin": "https://attacker.example"},
    "a page of a site like ours": {"Origin": "http://localhost.attacker.example"},
    "a page without a site": {"Origin": "null"},
    "a link or an image of another site": {"Sec-Fetch-Site": "cross-site"},
    "an image of another port": {"Sec-Fetch-Site": "same-site"},
}
OF_A_PROGRAM = {
    "by address": {},
    "by name": {"Host": "localhost:8702"},
    "by the address of IPv6": {"Host": "[::1]:8702"},
    "without a port": {"Host": "LOCALHOST"},
    "a page of this machine": {"Origin": "http://localhost:3000"},
    "a page of the server itself": {"Origin": "http://localhost:8702", "Sec-Fetch-Site": "same-origin"},
    "somebody who typed the address": {"Sec-Fetch-Site": "none"},
}


@pytest.fixture(scope="module")
def served() -> Iterator[World]:
    """A world with all three servers. No test here changes it."""
    with World(Clock(START), standby=False, ports=ANY_PORTS) as made:
        yield made


def send(world: World, call: Call, headers: dict[str, str]) -> requests.Response:
    urls = {"vendor": world.vendor.url, "secrets": world.secrets.url, "functions": world.functions.url}
    if call.operation:
        headers = headers | {"X-Amz-Target": call.operation}
    return requests.request(
        call.method, urls[call.server] + call.path, headers=headers, data=call.body, timeout=PATIENCE
    )


def traces(world: World) -> tuple[float, int, int, int]:
    """Return what every call that is answered would change."""
    return world.clock.now(), len(world.vendor.requests), len(world.secrets.calls), len(world.functions.invocations)


@pytest.mark.parametrize("headers", OF_A_PAGE.values(), ids=OF_A_PAGE)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_of_a_foreign_page_is_refused(served: World, call: Call, headers: dict[str, str]) -> None:
    """It gets 403, without a leave for the page to read that, and changes nothing."""
    before = traces(served)
    answer = send(served, call, headers)
    assert answer.status_code == 403
    assert "127.0.0.1, localhost or [::1]" in answer.text
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert traces(served) == before


@pytest.mark.parametrize("headers", OF_A_PROGRAM.values(), ids=OF_A_PROGRAM)
@pytest.mark.parametrize("call", [READ_VENDOR, READ_SECRET, READ_QUEUE], ids=["vendor", "secrets", "functions"])
def test_a_call_of_this_machine_is_answered(served: World, call: Call, headers: dict[str, str]) -> None:
    """Whatever name the caller has for this machine, with a port or without."""
    assert send(served, call, headers).status_code == 200
