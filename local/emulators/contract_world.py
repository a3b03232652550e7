"""What a reader of the token meets in one case of consumers/contract.json: Secrets Manager and an API, on loopback.

A third server, `control`, is for the test that plays the case, in whatever language that is written: it sets the world
up, and says how often the reader asked.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.emulators.caller import REFUSAL, is_of_this_machine
from local.emulators.clock import Clock
from local.emulators.loopback import Loopback, LoopbackHandler, LoopbackServer
from local.emulators.secrets_manager import CUT, REGION, AwsFault, SecretsManager

if TYPE_CHECKING:
    from local.emulators.secret_versions import Json

READ = "GetSecretValue"
SERVER_ERRORS = {"InternalServiceError": 500}  # every other error of Secrets Manager has the status 400
FORMS = (
    '{"secret": ID, "document": any JSON}',
    '{"secret": ID, "text": "…"}',
    '{"secret": ID, "binary": true}',
    '{"secret": ID, "error": "AWS error code"}',
    '{"secret": ID, "unreachable": true}',
    '{"accepts": ["token", …], "refusal": 401}',
)
_ARN = re.compile(r"arn:aws:secretsmanager:([a-z0-9-]+):\d{12}:secret:(.+)")


class ContractWorld:
    """Runs the three servers for the length of a block. `urls` has their addresses.

    Only one can run in a process, since it has a `SecretsManager`. At first no secret exists, and the API accepts no
    token.
    """

    def __init__(self) -> None:
        self.secrets = SecretsManager(Clock())
        self.api = Api()
        self.urls: dict[str, str] = {}
        self._lock = threading.Lock()  # one change at a time
        self._clients: dict[str, Any] = {}  # by region
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.secrets)
            api = _ApiServer(self.api)
            control = _ControlServer(self)
            stack.enter_context(Loopback(api))
            stack.enter_context(Loopback(control))
            self.urls = {"secrets_manager": self.secrets.url, "api": api.url, "control": control.url}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reset(self) -> None:
        """Forget the case before: its secrets, what the API accepted, and all counts."""
        with self._lock:
            self.secrets.unreadable.clear()
            self.secrets.forget()
            self.api.reset()

    def change(self, world: object) -> None:
        """Do what a `world` step of a case says. Raises ValueError for anything else than the FORMS."""
        _check_texts(world)
        with self._lock:
            try:
                self._change(world)
            except (BotoCoreError, ClientError) as error:
                raise ValueError(f"Secrets Manager does not store this: {error}") from None

    def _change(self, world: object) -> None:
        match world:
            case {"secret": str(secret_id), "document": document, **rest} if secret_id and not rest:
                self._put(secret_id, SecretString=json.dumps(document))
            case {"secret": str(secret_id), "text": str(text), **rest} if secret_id and text and not rest:
                self._put(secret_id, SecretString=text)
            case {"secret": str(secret_id), "binary": True, **rest} if secret_id and not rest:
                self._put(secret_id, SecretBinary=b"not text")
            case {"secret": str(secret_id), "error": str(code), **rest} if secret_id and code and not rest:
                fault = AwsFault(code, status=SERVER_ERRORS.get(code, 400))
                self.secrets.unreadable[secret_id] = fault
            case {"secret": str(secret_id), "unreachable": True, **rest} if secret_id and not rest:
                self.secrets.unreadable[secret_id] = CUT
            case {"accepts": [*tokens], "refusal": int(status), **rest} if 400 <= status <= 599 and not rest:
                self.api.accept(tokens, status)
            case _:
                raise ValueError(f"the world's change must be one of: {'; '.join(FORMS)}")

    def counts(self) -> Json:
        """Return how often the secret was read and the API called since the reset, and what the API received last.

        A read that AWS's SDK repeats counts once: the SDK sends the id of the first attempt again.
        """
        reads = 0
        invocations = set()
        for call in tuple(self.secrets.requests):
            if call.op != READ or call.invocation in invocations:
                continue
            reads += 1
            if call.invocation:
                invocations.add(call.invocation)
        return {"reads": reads, "calls": self.api.calls, "received": self.api.received}

    def _put(self, secret_id: str, **value: object) -> None:
        """Store a new value, and let the secret be read again."""
        arn = _ARN.fullmatch(secret_id)
        region = arn[1] if arn else REGION
        name = arn[2] if arn else secret_id
        client = self._client(region)
        with contextlib.suppress(client.exceptions.ResourceExistsException):
            client.create_secret(Name=name)
        client.put_secret_value(SecretId=name, **value)
        self.secrets.unreadable.pop(secret_id, None)

    def _client(self, region: str) -> Any:
        if region not in self._clients:
            no_proxies: dict[str, str] = {}  # this is loopback, where the machine's proxy must not be used
            self._clients[region] = boto3.Session("local", "local").client(
                "secretsmanager",
                region_name=region,
                endpoint_url=self.secrets.url,
                config=Config(proxies=no_proxies),
            )
        return self._clients[region]


def _check_texts(world: object) -> None:
    """Raise ValueError if a text is not Unicode. JSON can hold half of a surrogate pair, but no secret can."""
    if not isinstance(world, dict):
        return
    for name, text in world.items():
        if not isinstance(text, str):
            continue
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} has half of a surrogate pair, which is not a character") from None


class Api:
    """An API that accepts some bearer tokens, and refuses all others with one status."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.calls = 0
        self.received: dict[str, str] | None = None  # method and body of the latest call
        self.accept([], 401)

    def accept(self, tokens: list[str], refusal: int) -> None:
        self._accepted = {f"Bearer {token}" for token in tokens}
        self._refusal = refusal

    def status_of_call(self, method: str, body: str, authorization: str | None) -> int:
        """Count a call, keep what it was, and return the status that it is answered with."""
        with self._lock:
            self.calls += 1
            self.received = {"method": method, "body": body}
        if authorization in self._accepted:
            return 200
        return self._refusal


class _Server(LoopbackServer):
    def __init__(self, handler: type[_Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"


class _Handler(LoopbackHandler):
    def handle_one_request(self) -> None:
        self.body = b""
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Read the body too, so that each answer leaves the connection ready for the next request."""
        if not super().parse_request():
            return False
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,6}", length):
            self.close_connection = True
            self.answer(400, "a Content-Length below 1,000,000 is expected")
            return False
        self.body = self.rfile.read(int(length))
        if not is_of_this_machine(self.headers):
            self.answer(403, REFUSAL)
            return False
        return True

    def answer(self, status: int, text: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _ApiServer(_Server):
    def __init__(self, api: Api) -> None:
        self.api = api
        super().__init__(_ApiHandler)


class _ApiHandler(_Handler):
    server: _ApiServer

    def _call(self) -> None:
        body = self.body.decode(errors="replace")
        status = self.server.api.status_of_call(self.command, body, self.headers.get("Authorization"))
        self.answer(status)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _call  # noqa: N815 - the library's names


class _ControlServer(_Server):
    def __init__(self, world: ContractWorld) -> None:
        self.world = world
        super().__init__(_ControlHandler)


class _ControlHandler(_Handler):
    server: _ControlServer

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        if self.path != "/":
            self.answer(404, "no such path: GET / tells the counts")
            return
        self.answer(200, json.dumps(self.server.world.counts()))

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        if self.path == "/reset":
            self.server.world.reset()
            self.answer(204)
        elif self.path == "/":
            self._change()
        else:
            self.answer(404, "no such path: POST / changes the world, POST /reset begins a case")

    def _change(self) -> None:
        try:
            world: Json = json.loads(self.body)
        except (ValueError, RecursionError):
            self.answer(400, "the body is not JSON")
            return
        try:
            self.server.world.change(world)
        except ValueError as error:
            self.answer(400, str(error))
            return
        self.answer(204)
