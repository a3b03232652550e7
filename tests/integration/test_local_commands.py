"""`make run` and `python -m local serve`, as a newcomer uses them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from local.commands.two_days import START, Played, play_two_days
from local.durations import HOUR
from local.emulators.clock import Clock
from local.emulators.world import CREDENTIALS_SECRET, SERVICE_ACCOUNTS, SERVICE_CLIENT, World, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.commands.two_days import Tick
    from local.emulators.world import Accounts

ROOT = Path(__file__).parents[2]
STANDBY = pytest.mark.parametrize("standby", [True, False], ids=["standby", "no standby"])
ACCOUNTS = pytest.mark.parametrize("accounts", ["none", "service"])
OLD, SPARE = SERVICE_ACCOUNTS
NEW = "client-violet#keeper-3"
PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}  # nobody listens there
PATIENCE = 60  # real seconds; every process here ends much earlier


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@cache
def played(standby: bool, accounts: Accounts) -> Played:
    """Play the two days once for all tests of this process, since nothing in them is left to chance."""
    return Played(list(play_two_days(standby=standby, accounts=accounts)))


def test_with_a_standby_no_call_of_the_played_consumer_fails() -> None:
    """After the first token every hourly call succeeds, though one token is lost and the vendor is down."""
    days = played(standby=True, accounts="none")
    assert all(days.calls)
    assert len(days.calls) == 49
    assert days.lost == 1
    outcomes = {tick.outcome for tick in days.ticks}
    assert {"refreshed", "kept", "waiting", "OutcomeUnknown", "VendorError"} <= outcomes
    assert "client-red" in {request.client_id for tick in days.ticks for request in tick.requests if request.issued}


def test_without_a_standby_the_same_days_show_what_a_lost_token_costs() -> None:
    """The consumer has no token until the vendor's interval is over and the vendor is up again."""
    days = played(standby=False, accounts="none")
    down = [tick.at for tick in days.ticks if tick.consumer != 200 and not tick.is_retry]
    assert len(down) == 20
    assert days.calls[-1]


@ACCOUNTS
def test_every_vendor_request_of_the_played_days_has_its_reason(accounts: Accounts) -> None:
    """The summary can say of each request why it was made."""
    for tick in played(standby=True, accounts=accounts).ticks:
        assert len(tick.why) == len(tick.requests)


@STANDBY
def test_with_service_accounts_no_call_of_the_played_consumer_fails(standby: bool) -> None:
    """After the first token every hourly call succeeds, with and without a standby, though one token is lost."""
    days = played(standby=standby, accounts="service")
    assert len(days.calls) == 49
    assert all(days.calls)
    assert days.hours_without_token == 0
    assert days.lost == 1
    answered = {tick.outcome for tick in days.ticks}
    assert {"refreshed", "kept", "waiting", "CredentialsRefused", "OutcomeUnknown", "VendorError"} == answered


@STANDBY
def test_a_mistyped_password_costs_one_request(standby: bool) -> None:
    """The vendor sees it once, since it blocks an account after ten; put right, it brings a token at once."""
    ticks = played(standby=standby, accounts="service").ticks
    assert requests_in_hour(ticks, 3) == [(NEW, "client_changed", 403)]
    assert requests_in_hour(ticks, 4) == [(NEW, "client_changed", 200)]


def test_a_lost_answer_without_a_limit_costs_a_minute() -> None:
    """Lambda's first retry asks again, with the same service account, and gets a token."""
    ticks = played(standby=True, accounts="service").ticks
    [lost, granted] = [tick for tick in ticks if 24 * HOUR <= tick.at - START < 25 * HOUR]
    assert [request.status for request in lost.requests] == [0]
    assert [request.status for request in granted.requests] == [200]
    assert granted.requests[0].principal == NEW
    assert granted.at - lost.at == 60


@pytest.mark.parametrize(("standby", "principals"), [(True, {NEW, SPARE}), (False, {NEW})])
def test_the_old_service_account_goes_when_status_says_so(standby: bool, principals: set[str]) -> None:
    """Status names it once no consumer can have its token any more; it is never asked with after the rotation."""
    ticks = played(standby=standby, accounts="service").ticks
    notes = [tick.note for tick in ticks if "status" in tick.note]
    assert notes == [
        "status: consumers may still have the old token",
        "status says it is safe: operator deactivates the old one",
    ]
    assert {request.principal for tick in ticks[1:] for request in tick.requests} == principals


def requests_in_hour(ticks: list[Tick], hour: int) -> list[tuple[str, str, int]]:
    """Return who asked the vendor in this hour, why, and what came back."""
    found = []
    for tick in ticks:
        if int((tick.at - START) // HOUR) != hour:
            continue
        for request, why in zip(tick.requests, tick.why, strict=True):
            found.append((request.principal, why, request.status))
    return found


def test_make_run_is_plain_text_outside_a_terminal_and_writes_the_plot(tmp_path: Path) -> None:
    """The output has no terminal codes and tells the availability; both pictures are written. All behind a proxy."""
    done = run("local", "--out", str(tmp_path), env=PROXY)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "100.0 % (49 of 49 hourly calls); vendor requests: 8; tokens lost: 1" in done.stdout
    assert (tmp_path / "remaining-life.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "remaining-life.svg").read_text()


def test_make_run_with_service_accounts_names_them_and_shows_no_secret(tmp_path: Path) -> None:
    """The summary has each request with its service account and reason, and ends with the figures."""
    done = run("local", "--accounts", "service", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"Mon 03:00  {NEW}, client_changed: HTTP 403" in done.stdout
    assert (
        "100.0 % (49 of 49 hourly calls); vendor requests: 12; tokens lost: 1; hours without a token: 0" in done.stdout
    )
    assert "password-of-the-emulator" not in done.stdout
    assert "secret-of-the-emulator" not in done.stdout
    assert (tmp_path / "remaining-life.png").exists()


def credentials(world: World) -> dict[str, object]:
    answer = world.secrets.client().get_secret_value(SecretId=CREDENTIALS_SECRET)
    document: dict[str, object] = json.loads(answer["SecretString"])
    return document


def test_a_world_with_service_accounts_has_them_in_its_credentials_secret() -> None:
    """The primary and the standby are two service accounts of one client, so the standby leaves the client out."""
    with World(Clock(START), accounts="service") as world:
        assert credentials(world) == {
            "client_id": "client-violet",
            "client_secret": SERVICE_CLIENT["client-violet"],
            "username": "keeper-1",
            "password": SERVICE_ACCOUNTS[OLD],
            "standby": {"username": "keeper-2", "password": SERVICE_ACCOUNTS[SPARE]},
        }
        assert world.invoke()["client_id"] == "client-violet"
        assert world.vendor.issued[0].principal == world.primary == OLD


def test_a_standby_of_another_client_is_written_whole() -> None:
    """A client alone can stand by for a service account."""
    with World(Clock(START), accounts="service", standby=False) as world:
        world.put_credentials(OLD, "client-blue")
        assert credentials(world)["standby"] == {
            "client_id": "client-blue",
            "client_secret": world.client_secrets["client-blue"],
        }


@contextmanager
def served(accounts: Accounts = "none", connections: int = 0) -> Iterator[dict[str, str]]:
    """Run `python -m local serve` and yield its exported variables; it must stop cleanly on Ctrl-C."""
    command = [sys.executable, "-m", "local", "--accounts", accounts, "serve", "--connections", str(connections)]
    command += ["--vendor-port", "0", "--secrets-port", "0", "--functions-port", "0"]  # any ports that are free
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        exported: dict[str, str] = {}
        while "TANGO_EMULATOR" not in exported:
            line = process.stdout.readline()
            assert line.startswith("export "), line
            name, _, value = shlex.split(line)[1].partition("=")
            exported[name] = value
        try:
            yield exported
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
        assert process.returncode == 0


def test_served_world_takes_the_function_from_a_shell() -> None:
    """With the exported variables `python -m handler` refreshes, then keeps, also in a shell with a proxy.

    After Ctrl-C the process ends, and with it all servers: `served` looks at its exit code.
    """
    with served() as environment:
        variables = PROXY | environment
        results = [json.loads(run("handler", "events/scheduled.json", env=variables).stdout) for _ in range(2)]
        assert [result["outcome"] for result in results] == ["refreshed", "kept"]


def test_served_service_account_takes_the_function_from_a_shell() -> None:
    """With ACCOUNTS=service the credentials secret has a service account from the start."""
    with served(accounts="service") as variables:
        result = json.loads(run("handler", "events/scheduled.json", env=variables).stdout)
    assert result["outcome"] == "refreshed"
    assert result["username"] == "keeper-1"


def test_served_stores_get_their_tokens_through_the_emulated_lambda() -> None:
    """With CONNECTIONS=2 a sweep from a shell hands both stores over, and Lambda's queue refreshes them by itself."""
    with served(connections=2) as variables:
        assert "CREDENTIALS_SECRET_ID" not in variables
        swept = json.loads(run("handler", "events/scheduled.json", env=variables).stdout)
        assert swept["handed_over"] == 2
        assert wait_for_fresh(variables, 2)
        with environment(variables):
            client = boto3.client("secretsmanager")
            token = client.get_secret_value(SecretId=f"{variables['CONNECTIONS_PREFIX']}stores/002/token")
        assert json.loads(token["SecretString"])["username"] == "stores/002"


def wait_for_fresh(variables: dict[str, str], count: int) -> bool:
    """Invoke the function with `status` until so many connections are fresh. Returns False if that takes too long."""
    ends_at = time.monotonic() + PATIENCE
    with environment(variables):
        client = boto3.client("lambda")
    while time.monotonic() < ends_at:
        answer = client.invoke(FunctionName=variables["AWS_LAMBDA_FUNCTION_NAME"], Payload=b'{"action": "status"}')
        if json.loads(answer["Payload"].read())["fresh"] == count:
            return True
    return False


@pytest.mark.parametrize("document", ["README.md", "docs/LOCAL.md"])
def test_the_documented_service_account_brings_a_token(world: World, document: str) -> None:
    """The credentials in the document are good: the vendor of each world has that account."""
    command = re.search(r"--secret-string \\\n *'([^']*keeper-1[^']*)'", (ROOT / document).read_text())
    assert command
    world.secrets.do("PutSecretValue", SecretId=CREDENTIALS_SECRET, SecretString=command.group(1))
    result = world.invoke()
    assert result["outcome"] == "refreshed"
    assert result["username"] == "keeper-1"


def test_a_taken_port_is_one_clear_line() -> None:
    """If a port is taken, `serve` names it and its option in one line, and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("local", "serve", "--vendor-port", "0", "--secrets-port", "0", "--functions-port", port)
    assert done.returncode == 1
    assert port in done.stderr
    for option in ("--vendor-port", "--secrets-port", "--functions-port"):
        assert option in done.stderr
    assert len(done.stderr.splitlines()) == 1
