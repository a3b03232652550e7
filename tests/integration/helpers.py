"""What the tests of the refresh arrange and read over and over, in the product's words."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from handler.errors import StoreError
from handler.refresh import Keeper
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.loopback import Loopback, LoopbackServer
from local.emulators.secrets_manager import AwsFault, Call
from local.emulators.token_endpoint import TokenRequest
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.conftest import secrets_in

MINUTE, HOUR, DAY = 60, 3_600, 86_400
INTERVAL = 72_000 + 300  # from one token of a client to its next: the limit and the margin
CURRENT, PREVIOUS, LEDGER, PENDING = "AWSCURRENT", "AWSPREVIOUS", "REFRESH_LEDGER", "REFRESH_PENDING"
SEED = {"access_token": None, "expires_at": 0, "schema": 1}
LIMIT_MESSAGE = "Client tango-client client-blue has exceeded the daily rate limit"
NOT_SAVED = AwsFault("EncryptionFailure")  # nothing that boto3 repeats by itself, which would wait in real seconds

REFUSED = Fault.answer(401, {"error": "invalid_client"})
LIMITED = Fault.answer(400, {"error": "access_denied", "error_description": LIMIT_MESSAGE})
DOWN = Fault.answer(503, {"error": "temporarily_unavailable"})

Json = dict[str, Any]


def now(world: World) -> int:
    return int(world.clock.now())


def fresh(world: World, seconds: float = HOUR, **overrides: str) -> Json:
    """Have a first token, and let time pass; return the token's document."""
    world.invoke(keeper=world.keeper(**overrides))
    document = world.token()
    world.clock.advance(seconds)
    return document


# What is stored


def labels(world: World) -> dict[str, str]:
    """Return which version of the token secret has each label."""
    versions = world.secrets.versions(TOKEN_SECRET)
    return {label: version_id for version_id, version in versions.items() for label in version.labels}


def document(world: World, label: str = CURRENT) -> Json:
    parsed: Json = json.loads(world.secrets.versions(TOKEN_SECRET)[labels(world)[label]].document)
    return parsed


def ledger(world: World) -> Json:
    found: Json = document(world, LEDGER)["ledger"]
    return found


def slot_of(world: World, client_id: str = "client-blue") -> Json:
    found: Json = ledger(world)["slots"][client_id]
    return found


def credentials_version(world: World) -> str:
    versions = world.secrets.versions(CREDENTIALS_SECRET)
    return next(version_id for version_id, version in versions.items() if CURRENT in version.labels)


def write(world: World, text: object, *stages: str) -> str:
    """Write a version of the token secret as somebody else would, text as it is; return its id."""
    body = text if isinstance(text, str) else json.dumps(text)
    client = world.secrets.client()
    answer = client.put_secret_value(SecretId=TOKEN_SECRET, SecretString=body, VersionStages=[*stages])
    version_id: str = answer["VersionId"]
    return version_id


def write_ledger(world: World, **changes: object) -> str:
    """Write a ledger as another run would; on an empty secret the seed comes first."""
    if not world.secrets.versions(TOKEN_SECRET):
        write(world, SEED, CURRENT)
    content = {"lock": None, "failures": 0, "retry_at": 0, "slots": {}} | changes
    return write(world, {"schema": 1, "ledger": content}, LEDGER)


def slot(
    not_before: int = 0, reason: str | None = None, suspicions: int = 0, credentials_version: str | None = None
) -> Json:
    return {
        "not_before": not_before,
        "reason": reason,
        "suspicions": suspicions,
        "credentials_version": credentials_version,
    }


def lock(world: World, *, age: int = 60, left: int = 60, client_id: str | None = "client-blue") -> Json:
    """Return another run's claim, `age` seconds old, that holds for `left` more."""
    at = now(world)
    return {"run_id": "another-run", "client_id": client_id, "claimed_at": at - age, "until": at + left}


def token_of(world: World, client_id: str = "client-blue", **changes: object) -> Json:
    """Return the document of a token that another run has just acquired."""
    at = now(world)
    return {
        "access_token": f"token-of-another-run-{client_id}",
        "token_type": "Bearer",
        "scope": "raas.all",
        "expires_at": at + DAY,
        "acquired_at": at,
        "client_id": client_id,
        "audience": "https://api.tangocard.com/",
        "token_url": world.vendor.token_url,
        "expires_at_utc": "",
        "schema": 1,
        "ledger": {"lock": None, "failures": 0, "retry_at": 0, "slots": {client_id: slot(at + INTERVAL)}},
    } | changes


# What a run did


@dataclass
class Traffic:
    """What arrived at both servers; filled when the block of `traffic` ends."""

    aws: list[Call] = field(default_factory=list)
    vendor: list[TokenRequest] = field(default_factory=list)

    @property
    def operations(self) -> list[str]:
        return [call.op for call in self.aws]

    @property
    def writes(self) -> list[Call]:
        return [call for call in self.aws if call.op in {"PutSecretValue", "UpdateSecretVersionStage"}]

    @property
    def publishes(self) -> list[Call]:
        return [call for call in self.aws if is_publish(call.op, call.params)]

    @property
    def claims(self) -> list[Json]:
        """The ledgers that were put, not those that came with a token."""
        puts = [call.params for call in self.aws if call.op == "PutSecretValue"]
        documents = [json.loads(params["SecretString"]) for params in puts if params["VersionStages"] == [PENDING]]
        return [one["ledger"] for one in documents if "ledger" in one]


@contextmanager
def traffic(world: World) -> Iterator[Traffic]:
    seen, calls, requests = Traffic(), len(world.secrets.requests), len(world.vendor.requests)
    try:
        yield seen
    finally:
        seen.aws += world.secrets.requests[calls:]
        seen.vendor += world.vendor.requests[requests:]


def metrics(world: World) -> dict[str, float]:
    """Return what the last run's one EMF line says."""
    [line] = [line for line in world.lines if "_aws" in line]
    names = [metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    return {name: line[name][0] for name in names}


def logged(world: World, message: str) -> list[Json]:
    """Return the last run's log lines with this message."""
    return [line for line in world.lines if line.get("message") == message]


# What goes wrong, or in between


def is_publish(operation: str, params: Mapping[str, Any]) -> bool:
    return operation == "PutSecretValue" and CURRENT in params.get("VersionStages", [])


def is_claim(operation: str, params: Mapping[str, Any]) -> bool:
    """Say whether this is the move that makes a ledger the ledger."""
    return operation == "UpdateSecretVersionStage" and params["VersionStage"] == LEDGER


def on(
    world: World, matches: Callable[[str, Json], bool], act: Callable[[], object], *, moment: str = "before"
) -> None:
    """Do `act` at this moment of every call that matches; what `act` itself calls does not count."""
    acting = threading.Lock()

    def hook(operation: str, when: str, params: Json) -> None:
        if when == moment and matches(operation, params) and acting.acquire(blocking=False):
            try:
                act()
            finally:
                acting.release()

    world.secrets.on_call = hook


def fail_publishes(world: World, times: int = 1_000, fault: AwsFault = NOT_SAVED) -> None:
    """Let the next writes that would put a token out meet this, until `on_call` is reset."""
    left = iter(range(times))

    def act() -> None:
        if next(left, None) is not None:
            world.secrets.fail("PutSecretValue", fault)

    on(world, is_publish, act)


def unsaved(world: World, keeper: Keeper) -> str:
    """Have a run whose publication fails for its whole time; return the token that it holds from then on."""
    fail_publishes(world)
    with pytest.raises(StoreError) as caught:
        world.invoke(keeper=keeper)
    assert caught.value.retryable
    world.secrets.on_call = None
    return world.vendor.issued[-1].token


def once(act: Callable[[], object], *, at: int = 1) -> Callable[[], None]:
    """Return a function that does `act` at its call of this number, and nothing at the others."""
    calls = iter(range(1, 1_000))

    def maybe() -> None:
        if next(calls) == at:
            act()

    return maybe


@contextmanager
def world_of(clock: Clock, *, standby: bool = False, **vendor: object) -> Iterator[World]:
    """Have a world with other rules at the vendor; as for the fixtures, it must not let a secret out."""
    with World(clock, standby=standby, vendor=vendor) as made:
        yield made
        assert not secrets_in(made.output, made)


# A server that records what arrives


@dataclass(frozen=True)
class Received:
    method: str
    target: str  # as in the request line: a whole URL where the server is taken for a proxy
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)


class Recorder(Loopback):
    """An HTTP server on loopback that answers everything in the same way, and keeps what it received."""

    def __init__(
        self,
        status: int = 200,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.status, self.text, self.received = status, json.dumps({} if body is None else body), list[Received]()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
                recorder.received.append(Received(self.command, self.path, dict(self.headers), body))
                self.send_response(recorder.status)
                for name, text in {"Content-Length": str(len(recorder.text)), **(headers or {})}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(recorder.text.encode())

            do_GET = do_CONNECT = do_POST  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                """Log nothing: requests carry secrets."""

        server = LoopbackServer(("127.0.0.1", 0), Handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.address = f"127.0.0.1:{server.server_port}"
        self.url = f"http{'s' if tls else ''}://{self.address}"
        super().__init__(server)
