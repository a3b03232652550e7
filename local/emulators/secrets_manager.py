"""Secrets Manager on loopback: moto's server, with the operations that this product leans on as AWS documents them.

`SecretsManager` starts and stops it, records calls and scripts failures. `Documented` is all that is corrected:
its operations work on moto's own storage, every other one is moto's. Nothing of moto is patched. Times are Unix
seconds by the emulator's clock. Moto's storage belongs to the process, hence one running instance at a time.
"""

from __future__ import annotations

import io
import json
import socket
import threading
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
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

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
MOST_BYTES = 65_536
MOST_VERSIONS = 100  # AWS says "about"
KEPT_SECONDS = 86_400.0  # no younger version is ever removed
REGION = "us-east-1"
_TARGET = "secretsmanager."  # how a request names its operation: X-Amz-Target: secretsmanager.GetSecretValue
_CONTENT_TYPE = "application/x-amz-json-1.1"
# moto's names and AWS's.
_VALUES = {"secret_string": "SecretString", "secret_binary": "SecretBinary"}
_Json = dict[str, Any]
_only_instance = threading.Lock()


@dataclass(frozen=True, slots=True)
class AwsFault:
    """What one call meets instead of its answer: an AWS error, or without a `code` a connection that is cut.

    `processed`: the call takes effect all the same, and its client does not hear of it.
    """

    code: str = ""
    status: int = 400
    processed: bool = False
    message: str = "scripted"


CUT, LOST_ANSWER = AwsFault(), AwsFault(processed=True)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that arrived, also one that was cut or refused; its parameters may hold a secret, so repr has none."""

    op: str
    params: Mapping[str, Any] = field(repr=False)
    at: float


class Stored(NamedTuple):
    """A stored version; `document` is empty where it holds bytes."""

    labels: frozenset[str]
    document: str


class SecretsManager:
    """An emulator on 127.0.0.1; with `plain`, moto as it is. Start raises RuntimeError while another one runs.

    `outage`: while set, every call meets it, and no script is used up. `on_call(operation, "before" | "after",
    params)` runs in the server's thread, before a fault or the processing, and between the processing and the answer;
    "after" only where the call was processed. It may use `client()`: no lock is held, and such a call reaches it too.
    """

    def __init__(self, clock: Clock, *, port: int = 0, plain: bool = False) -> None:
        self.clock, self.plain, self.url = clock, plain, ""
        self.calls: list[str] = []
        self.requests: list[Call] = []
        self.outage: AwsFault | None = None
        self.on_call: Callable[[str, str, _Json], None] | None = None
        self._port = port
        self._scripts: defaultdict[str, deque[AwsFault | None]] = defaultdict(deque)
        self._lock = threading.Lock()  # AWS serialises what changes a secret, moto does not
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._stack, self._client = ExitStack(), None

    def start(self) -> Self:
        if not _only_instance.acquire(blocking=False):
            raise RuntimeError("another SecretsManager runs in this process, and moto has one storage for both")
        with ExitStack() as stack:
            stack.callback(_only_instance.release)
            BackendDict.reset()
            # Bound here, since werkzeug ends the process where a port is taken.
            with socket.create_server(("127.0.0.1", self._port), backlog=128) as listener:
                options: _Json = {"threaded": True, "request_handler": _Quiet, "fd": listener.fileno()}
                server = make_server("127.0.0.1", self._port, self._serve, **options)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
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
        """Return a boto3 client, always the same one; it may be used by several threads, and it never retries."""
        return self._client

    def fail(self, operation: str, *faults: AwsFault | None) -> None:
        """Let the next calls of the operation meet these in turn, after what is scripted already; None: no fault."""
        self._scripts[operation].extend(faults)

    def versions(self, secret_id: str) -> dict[str, Stored]:
        """Return the stored versions by id, oldest first, without a call. Raises KeyError for an unknown secret."""
        with self._lock:
            versions = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION].secrets[secret_id].versions
            return {
                version_id: Stored(frozenset(version["version_stages"]), version.get("secret_string") or "")
                for version_id, version in versions.items()
            }

    def _serve(self, environ: _Json, start_response: Any) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target.startswith(_TARGET):
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation, params = target.removeprefix(_TARGET), json.loads(body)
        self.calls.append(operation)
        self.requests.append(Call(operation, params, self.clock.now()))

        self._tell(operation, "before", params)
        fault, answer = self._fault(operation), None
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
        hook = self.on_call  # a test may take it off while calls come in
        if hook:
            hook(operation, moment, params)

    def _fault(self, operation: str) -> AwsFault | None:
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
            try:
                answer = corrected(Documented(store, self.clock.now()), params)
            except JsonRESTError as error:
                return _error(error.error_type, error.message, error.code)
            return Response(json.dumps(answer), content_type=_CONTENT_TYPE)


class Documented:
    """The corrected operations on moto's storage; each takes and returns the JSON of the operation of its name."""

    def __init__(self, store: SecretsManagerBackend, now: float) -> None:
        self._store, self._now = store, now

    def create_secret(self, params: _Json) -> _Json:
        name, value = params["Name"], _value(params)
        secret: Any = self._store.secrets.get(name)
        if secret is None:
            secret = FakeSecret(self._store.account_id, self._store.region_name, name, {}, "", tags=params.get("Tags"))
            secret.description, secret.kms_key_id = params.get("Description"), params.get("KmsKeyId")
            secret.created_date = secret.last_changed_date = self._now
            self._store.secrets[name] = secret
        elif secret.is_deleted():
            scheduled = "because a secret with this name is already scheduled for deletion."
            raise _refused("InvalidRequestException", f"You can't create this secret {scheduled}")
        elif params.get("ClientRequestToken") not in secret.versions:
            raise _refused("ResourceExistsException", f"The operation failed because the secret {name} already exists.")
        answer = _identity(secret)
        if value:
            answer["VersionId"] = self.put_secret_value({**params, "SecretId": name})["VersionId"]
        return answer

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
        labels = {version_id: version["version_stages"] for version_id, version in secret.versions.items()}
        answer = {**secret.to_dict(), "VersionIdsToStages": {key: some for key, some in labels.items() if some}}
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
        version_id, label = params.get("VersionId"), params.get("VersionStage")
        version = secret.versions.get(version_id or _holder(secret, label or CURRENT))
        if version is None:
            which = f"VersionId: {version_id}" if version_id else f"staging label: {label or CURRENT}"
            cannot = "Secrets Manager can't find the specified secret value for"
            raise _refused("ResourceNotFoundException", f"{cannot} {which}")
        if label and label not in version["version_stages"]:
            mismatch = "You provided a VersionStage that is not associated to the provided VersionId."
            raise _refused("InvalidRequestException", mismatch)
        value = {aws: version[ours] for ours, aws in _VALUES.items() if ours in version}
        return {**_identity(secret), **_about(version), **value}

    def batch_get_secret_value(self, params: _Json) -> _Json:
        if "SecretIdList" not in params:
            raise _refused("InvalidParameterException", "This emulator knows no Filters, only a SecretIdList.")
        values, errors = [], []
        for secret_id in params["SecretIdList"]:
            try:
                values.append(self.get_secret_value({"SecretId": secret_id}))
            except SecretsManagerClientError as error:
                errors.append({"SecretId": secret_id, "ErrorCode": error.error_type, "Message": error.message})
        return {"SecretValues": values, "Errors": errors}

    def put_secret_value(self, params: _Json) -> _Json:
        secret, value = self._usable(params), _value(params)
        if not value:
            raise _refused("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
        version_id = params.get("ClientRequestToken") or str(uuid.uuid4())
        version = secret.versions.get(version_id)
        if version is None:
            self._make_room(secret)
            labels = [*params.get("VersionStages", [CURRENT]), *([] if secret.versions else [CURRENT])]
            version = {"version_id": version_id, "createdate": self._now, "version_stages": [], **value}
            secret.versions[version_id] = version
            for label in labels:
                _attach(secret, label, version_id)
            secret.last_changed_date = self._now
        elif value != {ours: version[ours] for ours in _VALUES if ours in version}:
            used = f"because that value is already in use for a version of secret {secret.arn}."
            raise _refused("ResourceExistsException", f"You can't use ClientRequestToken {version_id} {used}")
        return {**_identity(secret), "VersionId": version_id, "VersionStages": version["version_stages"]}

    def update_secret_version_stage(self, params: _Json) -> _Json:
        secret, label = self._usable(params), params["VersionStage"]
        source, target = params.get("RemoveFromVersionId"), params.get("MoveToVersionId")
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
        while len(secret.versions) >= MOST_VERSIONS:
            removable = [
                version
                for version in secret.versions.values()
                if not version["version_stages"] and version["createdate"] <= self._now - KEPT_SECONDS
            ]
            if not removable:
                full = f"All of {MOST_VERSIONS} versions have a label or are younger than {KEPT_SECONDS:.0f} s."
                raise _refused("LimitExceededException", full)
            del secret.versions[min(removable, key=lambda version: version["createdate"])["version_id"]]


_CORRECTED: dict[str, Callable[[Documented, _Json], _Json]] = {
    name.title().replace("_", ""): method for name, method in vars(Documented).items() if not name.startswith("_")
}


def _check_move(label: str, holder: str | None, source: str | None, target: str | None) -> None:
    """Refuse what AWS refuses; a move to the version that has the label already is none, and passes."""
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
    holders = (key for key, version in secret.versions.items() if label in version["version_stages"])
    return next(holders, None)


def _detach(secret: Any, label: str) -> None:
    for version in secret.versions.values():
        version["version_stages"] = [one for one in version["version_stages"] if one != label]


def _attach(secret: Any, label: str, version_id: str) -> None:
    """Move the label from wherever it is; AWSCURRENT leaves AWSPREVIOUS behind."""
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
    if len(params.get("SecretString", "").encode()) > MOST_BYTES:
        constraint = f"failed to satisfy constraint: Member must have length less than or equal to {MOST_BYTES}"
        raise _refused("ValidationException", f"1 validation error detected: Value at 'secretString' {constraint}")
    return {ours: params[aws] for ours, aws in _VALUES.items() if aws in params}


def _identity(secret: Any) -> _Json:
    return {"ARN": secret.arn, "Name": secret.name}


def _about(version: _Json) -> _Json:
    names = {"VersionId": "version_id", "VersionStages": "version_stages", "CreatedDate": "createdate"}
    return {aws: version[ours] for aws, ours in names.items()}


def _refused(code: str, message: str) -> SecretsManagerClientError:
    """Return the error for AWS's status, 400; the ready ones of moto have 404 where AWS has not."""
    return SecretsManagerClientError(code, message)


def _error(code: str, message: str, status: int) -> Response:
    return Response(json.dumps({"__type": code, "message": message}), status, content_type=_CONTENT_TYPE)


def _signed_region(environ: _Json) -> str:
    """Return the region out of `AWS4-HMAC-SHA256 Credential=key/date/region/service/aws4_request, …`."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
    return scope[2] if len(scope) > 2 else REGION


def _connect(url: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, proxies={})  # no proxy of the machine: this is loopback
    session = boto3.Session("local", "local", region_name=REGION)
    return session.client("secretsmanager", endpoint_url=url, config=config)


class _Quiet(MotoRequestHandler):
    def log_request(self, *_: object) -> None:
        """Leave the access log out; what goes wrong in the server is still said on stderr."""
