"""Secrets Manager on loopback: moto's server, with the operations that this product leans on as AWS documents them.

`SecretsManager` starts and stops the server, records calls and scripts failures. `Documented` has all corrections:
its operations work on moto's own storage, and every other operation is moto's. Nothing of moto is patched. Times are
Unix seconds by the emulator's clock. Moto has one storage per process, so only one instance can run at a time.
"""

from __future__ import annotations

import io
import json
import socket
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Self

import boto3
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.core.exceptions import JsonRESTError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.secretsmanager.exceptions import SecretsManagerClientError
from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend, secretsmanager_backends
from werkzeug import Response
from werkzeug.serving import make_server

from local.emulators.clock import Clock
from local.emulators.loopback import POLL_SECONDS

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_BYTES = 65_536
MAX_VERSIONS = 100  # AWS says "about"
MIN_REMOVABLE_AGE_SECONDS = 86_400.0  # AWS removes no younger version
REGION = "us-east-1"
READS = {"GetSecretValue", "BatchGetSecretValue", "DescribeSecret", "ListSecretVersionIds"}
_MAX_STATES = 64  # of the past that lagging reads can show
_TARGET = "secretsmanager."  # how a request names its operation: X-Amz-Target: secretsmanager.GetSecretValue
_CONTENT_TYPE = "application/x-amz-json-1.1"
# moto's names of a version's value, and AWS's.
_VALUES = {"secret_string": "SecretString", "secret_binary": "SecretBinary"}
_Json = dict[str, Any]
_Versions = dict[str, dict[str, _Json]]  # by the secret's name and the version's id
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
    """A call that arrived, even if it was cut or refused. Its parameters may hold a secret, so repr omits them."""

    op: str
    params: Mapping[str, Any] = field(repr=False)
    at: float


class Stored(NamedTuple):
    """A stored version. `document` is empty if the version holds bytes."""

    labels: frozenset[str]
    document: str


class SecretsManager:
    """An emulator on 127.0.0.1; with `plain`, moto without corrections. One at a time: `start` raises RuntimeError.

    `outage`: while it is set, every call meets it, and no script is used up.

    `read_lag_seconds`: reads show every secret as it was so long ago. `stale_reads`: so many next reads show every
    secret as it was before the last change. `is_first_version_current`: AWS gives the label AWSCURRENT to any first
    version, as far as its documentation says; if False, it does not.

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
        self.read_lag_seconds = 0.0
        self.stale_reads = 0
        self.is_first_version_current = True
        self.on_call: Callable[[str, str, _Json], None] | None = None
        self._port = port
        self._scripts: defaultdict[str, deque[AwsFault | None]] = defaultdict(deque)
        self._states: deque[tuple[float, _Versions]] = deque(maxlen=_MAX_STATES)  # after each change, with its time
        self._lock = threading.Lock()  # AWS serialises the changes of a secret, moto does not
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._stack = ExitStack()
        self._client: Any = None

    def start(self) -> Self:
        if not _only_instance.acquire(blocking=False):
            raise RuntimeError("another SecretsManager runs in this process, and moto has one storage for both")
        with ExitStack() as stack:
            stack.callback(_only_instance.release)
            BackendDict.reset()
            # The port is bound here, since werkzeug ends the process if a port is taken.
            with socket.create_server(("127.0.0.1", self._port), backlog=128) as listener:
                server = make_server(
                    "127.0.0.1",
                    self._port,
                    self._serve,
                    threaded=True,
                    request_handler=_Quiet,
                    fd=listener.fileno(),
                )
            thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            self.url = f"http://127.0.0.1:{server.port}"
            self._client = stack.enter_context(closing(_connect(self.url)))
            self._stack = stack.pop_all()
        return self

    def stop(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def client(self) -> Any:
        """Return a boto3 client, always the same one. Several threads may use it, and it never retries."""
        return self._client

    def fail(self, operation: str, *faults: AwsFault | None) -> None:
        """Let the next calls of the operation meet these in turn, after what is scripted already. None: no fault."""
        self._scripts[operation].extend(faults)

    def call(self, operation: str, params: _Json) -> tuple[int, _Json]:
        """Process a call without HTTP, hooks and faults, which is faster; return the status and the answer."""
        answer = self._process(operation, params, {})
        document: _Json = json.loads(answer.get_data())
        return answer.status_code, document

    def versions(self, secret_id: str) -> dict[str, Stored]:
        """Return the stored versions by id, oldest first, without a call. Raises KeyError for an unknown secret."""
        with self._lock:
            backend = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION]
            versions = backend.secrets[secret_id].versions
            return {version_id: _stored(version) for version_id, version in versions.items()}

    def _serve(self, environ: _Json, start_response: Any) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target.startswith(_TARGET):
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = target.removeprefix(_TARGET)
        params = json.loads(body)
        self.calls.append(operation)
        self.requests.append(Call(operation, params, self.clock.now()))

        self._tell(operation, "before", params)
        fault = self._next_fault(operation)
        answer = None
        if fault is None or fault.processed:
            answer = self._process(operation, params, environ)
            self._tell(operation, "after", params)
        if fault and fault.code:
            answer = _error(fault.code, fault.message, fault.status)
        elif fault or answer is None:
            with suppress(OSError):  # the client may be gone already
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("scripted")
        return answer(environ, start_response)

    def _tell(self, operation: str, moment: str, params: _Json) -> None:
        hook = self.on_call  # a test may remove it while calls come in
        if hook:
            hook(operation, moment, params)

    def _next_fault(self, operation: str) -> AwsFault | None:
        outage = self.outage
        with suppress(IndexError):
            return outage or self._scripts[operation].popleft()
        return None

    def _process(self, operation: str, params: _Json, environ: _Json) -> Response:
        if self.plain:
            return Response.from_app(self._moto, environ, buffered=True)
        with self._lock:
            corrected = _CORRECTED.get(operation)
            if corrected is None:
                return Response.from_app(self._moto, environ, buffered=True)
            store = secretsmanager_backends[DEFAULT_ACCOUNT_ID][_signed_region(environ)]
            documented = Documented(
                store,
                self.clock.now(),
                is_first_version_current=self.is_first_version_current,
            )
            try:
                with self._as_reads_show_it(operation, store):
                    answer = corrected(documented, params)
                    text = json.dumps(answer)
            except JsonRESTError as error:
                return _error(error.error_type, error.message, error.code)
            if operation not in READS:
                self._states.append((self.clock.now(), _copy_of_versions(store)))
            return Response(text, content_type=_CONTENT_TYPE)

    @contextmanager
    def _as_reads_show_it(self, operation: str, store: SecretsManagerBackend) -> Iterator[None]:
        """Let a read that lags find an earlier state of all secrets. A write always finds the present one."""
        past = self._state_of_the_past() if operation in READS else None
        if past is None:
            yield
            return
        present = {name: secret.versions for name, secret in _secrets_of(store).items()}
        for name, secret in _secrets_of(store).items():
            secret.versions = past.get(name, {})
        try:
            yield
        finally:
            for name, secret in _secrets_of(store).items():
                secret.versions = present[name]

    def _state_of_the_past(self) -> _Versions | None:
        if self.stale_reads > 0:
            self.stale_reads -= 1
            states = list(self._states)[:-1]
        elif self.read_lag_seconds:
            latest = self.clock.now() - self.read_lag_seconds
            states = [(at, state) for at, state in self._states if at <= latest]
        else:
            return None
        return states[-1][1] if states else {}


class Documented:
    """The corrected operations on moto's storage. Each takes and returns the JSON of AWS's operation of that name."""

    def __init__(self, store: SecretsManagerBackend, now: float, *, is_first_version_current: bool = True) -> None:
        self._store = store
        self._now = now
        self._is_first_version_current = is_first_version_current

    def create_secret(self, params: _Json) -> _Json:
        name = params["Name"]
        value = _value(params)
        secret: Any = self._store.secrets.get(name)
        if secret is None:
            secret = self._new_secret(params)
        elif secret.is_deleted():
            scheduled = "because a secret with this name is already scheduled for deletion."
            raise _refused("InvalidRequestException", f"You can't create this secret {scheduled}")
        elif params.get("ClientRequestToken") not in secret.versions:
            exists = f"The operation failed because the secret {name} already exists."
            raise _refused("ResourceExistsException", exists)
        answer = _identity(secret)
        if value:
            answer["VersionId"] = self.put_secret_value({**params, "SecretId": name})["VersionId"]
        return answer

    def _new_secret(self, params: _Json) -> Any:
        secret: Any = FakeSecret(
            account_id=self._store.account_id,
            region_name=self._store.region_name,
            secret_id=params["Name"],
            secret_version={},
            version_id="",
            tags=params.get("Tags"),
        )
        secret.description = params.get("Description")
        secret.kms_key_id = params.get("KmsKeyId")
        secret.created_date = self._now
        secret.last_changed_date = self._now
        self._store.secrets[params["Name"]] = secret
        return secret

    def update_secret(self, params: _Json) -> _Json:
        secret = self._usable(params)
        answer = _identity(secret)
        if _value(params):
            answer["VersionId"] = self.put_secret_value(params)["VersionId"]
        secret.description = params.get("Description", secret.description)
        secret.kms_key_id = params.get("KmsKeyId", secret.kms_key_id)
        secret.last_changed_date = self._now
        return answer

    def describe_secret(self, params: _Json) -> _Json:
        secret = self._find(params["SecretId"])
        labels = {
            version_id: version["version_stages"]
            for version_id, version in secret.versions.items()
            if version["version_stages"]
        }
        answer = {**secret.to_dict(), "VersionIdsToStages": labels}
        return {key: value for key, value in answer.items() if value not in (None, {})}

    def list_secret_version_ids(self, params: _Json) -> _Json:
        secret = self._usable(params)
        versions = [
            _about(version)
            for version in secret.versions.values()
            if version["version_stages"] or params.get("IncludeDeprecated")
        ]
        return {**_identity(secret), "Versions": versions}

    def get_secret_value(self, params: _Json) -> _Json:
        secret = self._usable(params)
        version_id = params.get("VersionId")
        label = params.get("VersionStage")
        version = secret.versions.get(version_id or _holder(secret, label or CURRENT))
        if version is None:
            key = f"VersionId: {version_id}" if version_id else f"staging label: {label or CURRENT}"
            not_found = "Secrets Manager can't find the specified secret value for"
            raise _refused("ResourceNotFoundException", f"{not_found} {key}")
        if label and label not in version["version_stages"]:
            mismatch = "You provided a VersionStage that is not associated to the provided VersionId."
            raise _refused("InvalidRequestException", mismatch)
        value = {aws_name: version[name] for name, aws_name in _VALUES.items() if name in version}
        return {**_identity(secret), **_about(version), **value}

    def batch_get_secret_value(self, params: _Json) -> _Json:
        if "SecretIdList" not in params:
            raise _refused("InvalidParameterException", "This emulator knows no Filters, only a SecretIdList.")
        values = []
        errors = []
        for secret_id in params["SecretIdList"]:
            try:
                values.append(self.get_secret_value({"SecretId": secret_id}))
            except SecretsManagerClientError as error:
                errors.append(
                    {
                        "SecretId": secret_id,
                        "ErrorCode": error.error_type,
                        "Message": error.message,
                    }
                )
        return {"SecretValues": values, "Errors": errors}

    def put_secret_value(self, params: _Json) -> _Json:
        secret = self._usable(params)
        value = _value(params)
        if not value:
            raise _refused("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
        version_id = params.get("ClientRequestToken") or str(uuid.uuid4())
        version = secret.versions.get(version_id)
        if version is None:
            self._make_room(secret)
            labels = [*params.get("VersionStages", [CURRENT])]
            if not secret.versions and self._is_first_version_current:
                labels.append(CURRENT)
            version = {
                "version_id": version_id,
                "createdate": self._now,
                "version_stages": [],
                **value,
            }
            secret.versions[version_id] = version
            for label in labels:
                _attach(secret, label, version_id)
            secret.last_changed_date = self._now
        elif value != {name: version[name] for name in _VALUES if name in version}:
            used = f"because that value is already in use for a version of secret {secret.arn}."
            raise _refused("ResourceExistsException", f"You can't use ClientRequestToken {version_id} {used}")
        return {
            **_identity(secret),
            "VersionId": version_id,
            "VersionStages": version["version_stages"],
        }

    def update_secret_version_stage(self, params: _Json) -> _Json:
        secret = self._usable(params)
        label = params["VersionStage"]
        source = params.get("RemoveFromVersionId")
        target = params.get("MoveToVersionId")
        if any(version_id and version_id not in secret.versions for version_id in (source, target)):
            raise _refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret version.")
        holder = _holder(secret, label)
        _check_move(label, holder, source, target)
        if target:
            _attach(secret, label, target)
        else:
            _detach(secret, label)
        if holder != target:  # else nothing moved
            secret.last_changed_date = self._now
        return _identity(secret)

    def _find(self, secret_id: str) -> Any:
        secret = self._store.secrets.get(secret_id)
        if secret is None:
            raise _refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        return secret

    def _usable(self, params: _Json) -> Any:
        secret = self._find(params["SecretId"])
        if secret.is_deleted():
            deleted = "You can't perform this operation on the secret because it was marked for deletion."
            raise _refused("InvalidRequestException", deleted)
        return secret

    def _make_room(self, secret: Any) -> None:
        removable_until = self._now - MIN_REMOVABLE_AGE_SECONDS
        while len(secret.versions) >= MAX_VERSIONS:
            removable = [
                version
                for version in secret.versions.values()
                if not version["version_stages"] and version["createdate"] <= removable_until
            ]
            if not removable:
                all_needed = f"All of {MAX_VERSIONS} versions have a label or are younger than"
                raise _refused("LimitExceededException", f"{all_needed} {MIN_REMOVABLE_AGE_SECONDS:.0f} s.")
            oldest = min(removable, key=lambda version: version["createdate"])
            del secret.versions[oldest["version_id"]]


# By AWS's names: `put_secret_value` is PutSecretValue.
_CORRECTED: dict[str, Callable[[Documented, _Json], _Json]] = {
    name.title().replace("_", ""): method for name, method in vars(Documented).items() if not name.startswith("_")
}


def _secrets_of(store: SecretsManagerBackend) -> dict[str, Any]:
    """Return the secrets by name: moto's storage finds one by its ARN, too."""
    return {secret.name: secret for secret in store.secrets.values()}


def _copy_of_versions(store: SecretsManagerBackend) -> _Versions:
    return {
        name: {
            version_id: {**version, "version_stages": [*version["version_stages"]]}
            for version_id, version in secret.versions.items()
        }
        for name, secret in _secrets_of(store).items()
    }


def _stored(version: _Json) -> Stored:
    return Stored(labels=frozenset(version["version_stages"]), document=version.get("secret_string") or "")


def _check_move(label: str, holder: str | None, source: str | None, target: str | None) -> None:
    """Refuse what AWS refuses. A move to the version that has the label already moves nothing, and is accepted."""
    if holder and not source:
        attached = f"Staging label {label} is currently attached to version {holder}"
        message = (
            f"The parameter RemoveFromVersionId can't be empty. {attached}, "
            "so you must explicitly reference that version in RemoveFromVersionId."
        )
    elif source != holder:
        message = (
            f"When you move staging label {label}, if you specify RemoveFromVersionId, "
            f"it must be set to the version that currently has the staging label {label}."
        )
    elif not source and not target:
        message = "You must provide RemoveFromVersionId, MoveToVersionId or both."
    elif not target and label == CURRENT:
        message = "You can only move staging label AWSCURRENT to a different secret version. It can't be removed."
    else:
        return
    raise _refused("InvalidParameterException", message)


def _holder(secret: Any, label: str) -> str | None:
    for version_id, version in secret.versions.items():
        if label in version["version_stages"]:
            return str(version_id)
    return None


def _detach(secret: Any, label: str) -> None:
    for version in secret.versions.values():
        version["version_stages"] = [one for one in version["version_stages"] if one != label]


def _attach(secret: Any, label: str, version_id: str) -> None:
    """Move the label from wherever it is. The version that loses AWSCURRENT gets AWSPREVIOUS."""
    holder = _holder(secret, label)
    if holder == version_id:
        return
    _detach(secret, label)
    secret.versions[version_id]["version_stages"].append(label)
    if label == CURRENT:
        secret.default_version_id = version_id  # where moto's own operations look
        if holder:
            _attach(secret, PREVIOUS, holder)


def _value(params: _Json) -> dict[str, str]:
    if len(params.get("SecretString", "").encode()) > MAX_BYTES:
        constraint = f"failed to satisfy constraint: Member must have length less than or equal to {MAX_BYTES}"
        raise _refused("ValidationException", f"1 validation error detected: Value at 'secretString' {constraint}")
    return {name: params[aws_name] for name, aws_name in _VALUES.items() if aws_name in params}


def _identity(secret: Any) -> _Json:
    return {"ARN": secret.arn, "Name": secret.name}


def _about(version: _Json) -> _Json:
    return {
        "VersionId": version["version_id"],
        "VersionStages": version["version_stages"],
        "CreatedDate": version["createdate"],
    }


def _refused(code: str, message: str) -> SecretsManagerClientError:
    """Return the error with status 400, as AWS has it. Some of moto's own error classes have 404 instead."""
    return SecretsManagerClientError(code, message)


def _error(code: str, message: str, status: int) -> Response:
    body = json.dumps({"__type": code, "message": message})
    return Response(body, status, content_type=_CONTENT_TYPE)


def _signed_region(environ: _Json) -> str:
    """Find the region in `AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …`."""
    scope: list[str] = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
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


class _Quiet(MotoRequestHandler):
    def log_request(self, *_: object) -> None:
        """Write no access log. The server's errors still go to stderr."""
