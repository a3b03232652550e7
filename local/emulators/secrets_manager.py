"""Secrets Manager on loopback: a server that records calls and scripts failures, around `Documented` and moto.

Times are Unix seconds by the emulator's clock. Moto has one storage per process, so only one instance can run at a
time.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from email.message import Message
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple, Self

import boto3
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.core.exceptions import JsonRESTError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import SecretsManagerBackend, secretsmanager_backends
from werkzeug import Response
from werkzeug.test import EnvironBuilder

from local.emulators.access import Access
from local.emulators.aws_rates import AwsRates
from local.emulators.caller import REFUSAL, is_of_this_machine
from local.emulators.clock import Clock
from local.emulators.documented import CORRECTED, Documented
from local.emulators.faults import HttpAnswer, encode
from local.emulators.loopback import Loopback, LoopbackHandler, LoopbackServer
from local.emulators.read_lag import READS, History, Present
from local.emulators.request_checks import check_request, with_token
from local.emulators.secret_list import find
from local.emulators.secret_versions import Json, Versions
from local.emulators.secrets_control import CONTROL_PATH, control

REGION = "us-east-1"
_TARGET = "secretsmanager."  # how a request names its operation: X-Amz-Target: secretsmanager.GetSecretValue
_CONTENT_TYPE = "application/x-amz-json-1.1"
_only_instance = threading.Lock()


@dataclass(frozen=True, slots=True)
class AwsFault:
    """What one call meets instead of its answer: an AWS error or, without a `code`, a connection that is cut.

    `processed`: the call takes effect all the same, but its client does not learn that.
    """

    code: str = ""
    status: int = 400
    processed: bool = False
    message: str = "scripted"


CUT = AwsFault()
LOST_ANSWER = AwsFault(processed=True)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that arrived, even if it was cut or refused. Its parameters may hold a secret, so repr omits them.

    `invocation`: AWS's SDKs send the same id again if they repeat a call. It is empty if the client sent none.
    """

    op: str
    params: Mapping[str, Any] = field(repr=False)
    at: float
    invocation: str = ""


Headers = Mapping[str, str] | Message


class HttpRequest(NamedTuple):
    """What has arrived by HTTP. The names of headers may be written in any case."""

    method: str
    path: str
    headers: Headers
    body: bytes


class Stored(NamedTuple):
    """A stored version. `document` is empty if the version holds bytes."""

    labels: frozenset[str]
    document: str


class SecretsManager:
    """An emulator on 127.0.0.1; with `plain`, moto without corrections. One at a time: `start` raises RuntimeError.

    `outage`: while it is set, every call meets it, and no script is used up. `unreadable`: what each GetSecretValue of
    a secret meets, by the id that the call names it with.

    `read_lag_seconds`: reads show every secret as it was so long ago, which may be 300 s. `read_lags`: the same for the
    reads of one operation, such as `GetSecretValue`, or of one region, such as that of a replica; the longest lag that
    fits a read counts. `stale_reads`: so many next reads show every secret as it was before the last change.

    `is_first_version_current`: AWS gives the label AWSCURRENT to any first version, as far as its documentation says;
    if False, it does not. `keeps_labels`: a version that loses AWSCURRENT by a put keeps its other labels, which AWS
    does not say; if False, it loses them. `scanned_per_page`: a page of a list is chosen from so many secrets at most,
    so it can have none although there is a next one.

    `access`: which secrets and keys can't be used. `rates`: how many calls a second are taken, None for any number.

    `on_call(operation, "before" | "after", params)` runs in the server's thread. "before" comes before a fault and
    before the processing; "after" comes between the processing and the answer, if the call was processed. The hook may
    use `client()`: no lock is held then, and the hook is called for that call too.
    """

    def __init__(self, clock: Clock, *, port: int = 0, plain: bool = False) -> None:
        self.clock = clock
        self.plain = plain
        self.url = ""
        self.calls: list[str] = []
        self.requests: list[Call] = []
        self.outage: AwsFault | None = None
        self.unreadable: dict[str, AwsFault] = {}
        self.read_lag_seconds = 0.0
        self.read_lags: dict[str, float] = {}
        self.stale_reads = 0
        self.is_first_version_current = True
        self.keeps_labels = True
        self.scanned_per_page: int | None = None
        self.access = Access()
        self.rates: AwsRates | None = None
        self.on_call: Callable[[str, str, Json], None] | None = None
        self._port = port
        self._scripts: defaultdict[str, deque[AwsFault | None]] = defaultdict(deque)
        self._history = History()
        self._lock = threading.Lock()  # AWS serialises the changes of a secret, moto does not
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._stack = ExitStack()
        self._client: Any = None
        self._connecting = threading.Lock()

    def start(self) -> Self:
        if not _only_instance.acquire(blocking=False):
            raise RuntimeError("another SecretsManager runs in this process, and moto has one storage for both")
        with ExitStack() as stack:
            stack.callback(_only_instance.release)
            BackendDict.reset()
            self._history.clear()
            server = _Server(self, self._port)
            stack.enter_context(Loopback(server))
            self.url = f"http://127.0.0.1:{server.server_port}"
            self._stack = stack.pop_all()
        return self

    def stop(self) -> None:
        self._stack.close()
        self._client = None

    def forget(self) -> None:
        """Drop all secrets and recorded calls, as if the emulator had just started. What was set stays set."""
        with self._lock:
            BackendDict.reset()
            self._history.clear()
            self.calls.clear()
            self.requests.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def client(self) -> Any:
        """Return a boto3 client, always the same one. Several threads may use it, and it never retries."""
        with self._connecting:
            if self._client is None:
                self._client = self._stack.enter_context(closing(_connect(self.url)))
            return self._client

    def fail(self, operation: str, *faults: AwsFault | None) -> None:
        """Let the next calls of the operation meet these in turn, after what is scripted already. None: no fault."""
        self._scripts[operation].extend(faults)

    def call(self, operation: str, params: Json) -> tuple[int, Json]:
        """Process a call without HTTP, hooks and faults, which is faster; return the status and the answer.

        A ClientRequestToken is added if it is missing, as AWS's SDKs do.
        """
        complete = with_token(operation, params)
        headers = {"X-Amz-Target": f"{_TARGET}{operation}"}
        request = HttpRequest("POST", "/", headers, encode(complete))
        answer = self._process(operation, complete, request)
        document: Json = json.loads(answer.body)
        return answer.status, document

    def do(self, operation: str, **params: Any) -> Json:
        """Do what somebody does by hand, without HTTP, hooks and faults. Returns the answer.

        Raises RuntimeError with AWS's code if the call is refused.
        """
        status, document = self.call(operation, params)
        if status != HTTPStatus.OK:
            raise RuntimeError(f"{operation}: {document['__type']}")
        return document

    def versions(self, secret_id: str) -> dict[str, Stored]:
        """Return the stored versions by id, oldest first, without a call. Raises KeyError for an unknown secret."""
        with self._lock:
            store = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION]
            secret = find(store, secret_id)
            if secret is None:
                raise KeyError(secret_id)
            versions: Versions = secret.versions
            return {version_id: _stored(version) for version_id, version in versions.items()}

    def answer(self, request: HttpRequest) -> HttpAnswer | None:
        """Answer what has arrived by HTTP. Returns None if the connection is to be cut."""
        headers = request.headers
        if not is_of_this_machine(headers):
            return _error("AccessDeniedException", REFUSAL, 403)
        if request.path.partition("?")[0] == CONTROL_PATH:
            return control(self, request.method, request.body)
        target = headers.get("X-Amz-Target", "")
        if not target.startswith(_TARGET):
            return self._of_moto(request)
        operation = target.removeprefix(_TARGET)
        params = _without_nulls(json.loads(request.body))
        self.calls.append(operation)
        invocation = headers.get("Amz-Sdk-Invocation-Id", "")
        self.requests.append(Call(operation, params, self.clock.now(), invocation))

        self._tell(operation, "before", params)
        fault = self._next_fault(operation, params)
        answer = None
        if fault is None or fault.processed:
            answer = self._process(operation, params, request)
            self._tell(operation, "after", params)
        if fault is None:
            return answer
        if fault.code:
            return _error(fault.code, fault.message, fault.status)
        return None

    def _tell(self, operation: str, moment: str, params: Json) -> None:
        hook = self.on_call  # a test may remove it while calls come in
        if hook:
            hook(operation, moment, params)

    def _next_fault(self, operation: str, params: Json) -> AwsFault | None:
        outage = self.outage
        if operation == "GetSecretValue":
            outage = outage or self.unreadable.get(params["SecretId"])
        with suppress(IndexError):
            return outage or self._scripts[operation].popleft()
        return None

    def _process(self, operation: str, params: Json, request: HttpRequest) -> HttpAnswer:
        if self.plain:
            return self._of_moto(request)
        with self._lock:
            if self.rates and not self.rates.allow(operation):
                return _error("ThrottlingException", "Rate exceeded", HTTPStatus.BAD_REQUEST)
            try:
                check_request(operation, params)
                corrected = CORRECTED.get(operation)
                if corrected is None:
                    return _as_from_aws(self._of_moto(request))
                return self._corrected(corrected, operation, params, _signed_region(request.headers))
            except JsonRESTError as error:
                return _error(error.error_type, error.message, error.code)

    def _of_moto(self, request: HttpRequest) -> HttpAnswer:
        builder = EnvironBuilder(
            path=request.path,
            method=request.method,
            headers=list(request.headers.items()),
            data=request.body,
        )
        answer = Response.from_app(self._moto, builder.get_environ(), buffered=True)
        return HttpAnswer(answer.status_code, answer.get_data(), dict(answer.headers))

    def _corrected(
        self,
        corrected: Callable[[Documented, Json], Json],
        operation: str,
        params: Json,
        region: str,
    ) -> HttpAnswer:
        store = secretsmanager_backends[DEFAULT_ACCOUNT_ID][region]
        documented = Documented(
            store,
            self.clock.now(),
            is_first_version_current=self.is_first_version_current,
            keeps_labels=self.keeps_labels,
            access=self.access,
            view=self._view(operation, region),
            scanned_per_page=self.scanned_per_page,
        )
        document = corrected(documented, params)
        if operation not in READS:
            self._note_change(store, params)
        return _answer(200, document)

    def _view(self, operation: str, region: str) -> Present:
        """Let a read that lags see an earlier state of all secrets. A write always sees the present one."""
        if operation not in READS:
            return Present()
        if self.stale_reads > 0:
            self.stale_reads -= 1
            return self._history.before_the_last_change()
        lags = [self.read_lag_seconds, self.read_lags.get(operation, 0.0), self.read_lags.get(region, 0.0)]
        if any(lags):
            return self._history.as_of(self.clock.now() - max(lags))
        return Present()

    def _note_change(self, store: SecretsManagerBackend, params: Json) -> None:
        secret = find(store, params.get("SecretId") or params["Name"])
        self._history.note(secret, self.clock.now())


def _stored(version: Json) -> Stored:
    return Stored(labels=frozenset(version["version_stages"]), document=version.get("secret_string") or "")


def _answer(status: int, document: Json) -> HttpAnswer:
    return HttpAnswer(status, encode(document), {"Content-Type": _CONTENT_TYPE})


def _error(code: str, message: str, status: int) -> HttpAnswer:
    return _answer(status, {"__type": code, "Message": message})


def _as_from_aws(answer: HttpAnswer) -> HttpAnswer:
    """Return moto's answer; if it is a refusal, with the status and the names that AWS's refusals have."""
    if not HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer
    error = json.loads(answer.body)
    return _error(error["__type"], error["message"], HTTPStatus.BAD_REQUEST)


def _without_nulls(params: Json) -> Json:
    """Leave out members that are null: for AWS they are not there."""
    return {name: value for name, value in params.items() if value is not None}


def _signed_region(headers: Headers) -> str:
    """Find the region in `AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …`."""
    scope: list[str] = headers.get("Authorization", "").partition("Credential=")[2].split("/")
    if len(scope) <= 2:
        return REGION
    return scope[2]


@cache
def _session() -> boto3.Session:
    """Return one session for all emulators of this process: a session reads AWS's service models, which takes long."""
    return boto3.Session("local", "local", region_name=REGION)


def _connect(url: str) -> Any:
    no_proxies: dict[str, str] = {}  # this is loopback, where the machine's proxy must not be used
    config = Config(retries={"total_max_attempts": 1}, proxies=no_proxies)
    return _session().client("secretsmanager", endpoint_url=url, config=config)


class _Server(LoopbackServer):
    def __init__(self, secrets: SecretsManager, port: int) -> None:
        self.secrets = secrets
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(LoopbackHandler):
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self.server.secrets.answer(HttpRequest(self.command, self.path, self.headers, body))
        except Exception:  # noqa: BLE001 - what moto has not foreseen, or what a hook raises
            traceback.print_exc()
            answer = _error("InternalServiceError", "the emulator failed", 500)
        if answer is None:
            self.close_connection = True
            return
        content = b"" if self.command == "HEAD" else answer.body
        self.wfile.write(answer.head(closes=self.close_connection) + content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - the library's names
