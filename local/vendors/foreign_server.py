"""One foreign server as a process on loopback: started, stopped, killed, and started again on the same ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local.vendors.certificate import write_certificate
from local.vendors.registration import registration

ROOT = Path(__file__).parents[2]
SERVERS = Path(__file__).parent / "servers"
# What `make vendors` installs.
NODE_FOLDER = ROOT / "build" / "vendors"
PYTHON = ROOT / ".venv-vendors" / "bin" / "python"
START_SECONDS = 40
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Program:
    """A program of local/vendors/servers/. `package` is the package that has its token endpoint."""

    package: str
    file_name: str
    has_password_grant: bool
    has_jwt: bool
    checks_auth_method: bool
    has_resources: bool  # RFC 8707

    @property
    def is_javascript(self) -> bool:
        return self.file_name.endswith(".mjs")

    @property
    def is_installed(self) -> bool:
        """Say whether `make vendors` has installed what the program needs."""
        if self.is_javascript:
            return shutil.which("node") is not None and (NODE_FOLDER / ".ready").exists()
        return (PYTHON.parents[1] / ".ready").exists()

    def command(self) -> list[str]:
        if not self.is_javascript:
            return [str(PYTHON), str(SERVERS / self.file_name)]
        # Node looks for packages next to the program's own file.
        for path in SERVERS.glob("*.mjs"):
            shutil.copy(path, NODE_FOLDER)
        return ["node", str(NODE_FOLDER / self.file_name)]


OIDC_PROVIDER = Program(
    package="oidc-provider",
    file_name="oidc_provider.mjs",
    has_password_grant=False,
    has_jwt=True,
    checks_auth_method=False,
    has_resources=True,
)
NODE_OAUTH = Program(
    package="@node-oauth/oauth2-server",
    file_name="node_oauth.mjs",
    has_password_grant=True,
    has_jwt=False,
    checks_auth_method=False,
    has_resources=False,
)
AUTHLIB = Program(
    package="Authlib",
    file_name="authlib_flask.py",
    has_password_grant=True,
    has_jwt=True,
    checks_auth_method=True,
    has_resources=False,
)
PROGRAMS = (OIDC_PROVIDER, NODE_OAUTH, AUTHLIB)


class ForeignServer:
    """Runs the program for the length of a block. Ends only the processes that it started itself."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._port, self._tls_port = _free_ports()
        self.url = f"http://127.0.0.1:{self._port}"
        self.tls_url = f"https://127.0.0.1:{self._tls_port}"
        self.certificate = Path()
        self._configuration = Path()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foreign-server-")))
            self._write_configuration(folder)
            stack.callback(self.kill)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _write_configuration(self, folder: Path) -> None:
        self.certificate, key = write_certificate(folder)
        configuration = registration() | {
            "port": self._port,
            "tls_port": self._tls_port,
            "certificate": str(self.certificate),
            "key": str(key),
        }
        self._configuration = folder / "configuration.json"
        self._configuration.write_text(json.dumps(configuration))

    @property
    def log(self) -> Path:
        """The file with what the program prints, of all servers."""
        return NODE_FOLDER / f"{Path(self.program.file_name).stem}.log"

    def start(self) -> None:
        """Start the program and wait until both ports answer. Raises RuntimeError if that takes too long."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*self.program.command(), str(self._configuration)],
                # Not the machine's environment, which can change how Node and Python run.
                env={"PATH": os.environ.get("PATH", os.defpath)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ends_at = time.monotonic() + START_SECONDS
        while not (_answers(self._port) and _answers(self._tls_port)):
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise RuntimeError(f"{self.program.package} did not start, see {self.log}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End the process at once, as a crash does. Does nothing if it has ended."""
        process = self._process
        self._process = None
        if process:
            process.kill()
            process.wait()

    def suspend(self) -> None:
        """Stop the process without ending it: the system still accepts connections, and nobody answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, signum: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(signum)


def _free_ports() -> tuple[int, int]:
    """Return two ports that nobody uses. They stay the same when the server is started again."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
