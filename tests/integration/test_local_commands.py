"""`make run` and `python -m local serve`, as a newcomer uses them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from local.commands.two_days import Played, play_two_days

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def test_with_a_standby_no_call_of_the_played_consumer_fails() -> None:
    """After the first token every hourly call succeeds, though one token is lost and the vendor is down."""
    played = Played(list(play_two_days(standby=True)))
    assert all(played.calls)
    assert len(played.calls) == 49
    assert played.lost == 1
    outcomes = {tick.outcome for tick in played.ticks}
    assert {"refreshed", "kept", "waiting", "OutcomeUnknown", "VendorError"} <= outcomes
    assert "client-red" in {request.client_id for tick in played.ticks for request in tick.requests if request.issued}


def test_without_a_standby_the_same_days_show_what_a_lost_token_costs() -> None:
    """The consumer has no token until the vendor's interval is over and the vendor is up again."""
    played = Played(list(play_two_days(standby=False)))
    down = [tick.at for tick in played.ticks if tick.consumer != 200 and not tick.is_retry]
    assert len(down) == 20
    assert played.calls[-1]


def test_every_vendor_request_of_the_played_days_has_its_reason() -> None:
    """The summary can say of each request why it was made."""
    for tick in play_two_days(standby=True):
        assert len(tick.why) == len(tick.requests)


def test_make_run_is_plain_text_outside_a_terminal_and_writes_the_plot(tmp_path: Path) -> None:
    """The output has no terminal codes and tells the availability; both pictures are written."""
    done = run("local", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "100.0 % (49 of 49 hourly calls); vendor requests: 8; tokens lost: 1" in done.stdout
    assert (tmp_path / "remaining-life.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "remaining-life.svg").read_text()


def free_ports() -> tuple[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return str(one.getsockname()[1]), str(other.getsockname()[1])


@contextmanager
def served(vendor_port: str, secrets_port: str) -> Iterator[dict[str, str]]:
    """Run `python -m local serve` and yield its exported variables; it must stop cleanly on Ctrl-C."""
    command = [sys.executable, "-m", "local", "serve", "--vendor-port", vendor_port, "--secrets-port", secrets_port]
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
    """With the exported variables `python -m handler` refreshes, then keeps. After Ctrl-C the servers are gone."""
    ports = free_ports()
    with served(*ports) as environment:
        results = [json.loads(run("handler", "events/scheduled.json", env=environment).stdout) for _ in range(2)]
        assert [result["outcome"] for result in results] == ["refreshed", "kept"]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), timeout=5)


def test_a_taken_port_is_one_clear_line() -> None:
    """If a port is taken, `serve` names it and its option in one line, and exits with 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("local", "serve", "--vendor-port", port, "--secrets-port", "0")
    assert done.returncode == 1
    assert port in done.stderr
    assert "--vendor-port" in done.stderr
    assert "--secrets-port" in done.stderr
    assert len(done.stderr.splitlines()) == 1
