"""The same year over the real clients: botocore and requests run as they are, and only their sockets are replaced.

It takes some twenty times as long. It leaves the same trace, which shows that the stand-ins behave as the real clients.
"""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import botocore.endpoint
import requests
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.retries.standard import ExponentialBackoff
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from handler import http_exchange
from handler.aws import CLIENT_CONFIG
from local.emulators.secrets_manager import REGION
from local.simulate.aws_secrets import URL, AwsError
from local.simulate.network import ConnectionFailed, in_virtual_time
from local.simulate.stand_in import stand_in
from local.simulate.year import Wiring

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from local.simulate.aws_secrets import Caller, SimulatedSecretsManager
    from local.simulate.engine import Engine
    from local.simulate.network import Network, Reply
    from local.simulate.runtime import Process

MAX_REAL_SECONDS = 3_600.0  # of the machine's clock: bounds the handler's wait for its thread, and is never reached


class _AwsSession:
    """What botocore sends its requests through, in place of a pool of connections."""

    def __init__(self, secrets_manager: SimulatedSecretsManager, caller: Caller) -> None:
        self._secrets_manager = secrets_manager
        self._caller = caller

    def send(self, request: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"].decode()
        _, _, operation = target.partition(".")
        params = json.loads(request.body)
        try:
            answer = self._secrets_manager.attempt(self._caller, xform_name(operation), params)
            status = 200
        except AwsError as error:
            answer = {"__type": error.code, "message": error.message}
            status = error.status
        raw = HTTPResponse(io.BytesIO(json.dumps(answer).encode()), preload_content=False)
        return AWSResponse(URL, status, {"Content-Type": "application/x-amz-json-1.1"}, raw)


@cache
def _session() -> Any:
    return boto3.Session("simulated", "simulated", region_name=REGION)


def make_boto3_client(secrets_manager: SimulatedSecretsManager, caller: Caller, _rng: random.Random) -> Any:
    """Return a real client of boto3, as the handler makes it, with its socket replaced."""
    client = _session().client("secretsmanager", config=Config(**CLIENT_CONFIG))
    session = _AwsSession(secrets_manager, caller)
    client._endpoint.http_session = session  # noqa: SLF001 - botocore has no public place for it
    return client


@contextmanager
def replace_sockets(engine: Engine, network: Network, rng: random.Random) -> Iterator[None]:
    """Have the network carry what `requests` sends, for the length of a block.

    botocore's pauses take virtual time meanwhile, and their random part comes from the year's own numbers.
    """

    def send(adapter: HTTPAdapter, request: Any, timeout: Any = None, **_: Any) -> requests.Response:
        process: Process = engine.current_worker
        try:
            if request.method == "GET":
                status = network.probe(process, request.headers["Authorization"])
                raw = HTTPResponse(io.BytesIO(), status=status)
            else:
                _, read_timeout = timeout
                reply = network.post(process, request.url, request.body.read, read_timeout)
                raw = _response(reply)
                if not reply.is_cut:
                    network.note_arrival(process, reply)
        except ConnectionFailed as failure:
            raise requests.ConnectionError from failure
        return adapter.build_response(request, raw)

    bounded = http_exchange._bounded  # noqa: SLF001
    init_backoff = ExponentialBackoff.__init__

    def init_backoff_with_rng(self: ExponentialBackoff, **options: Any) -> None:
        init_backoff(self, random=rng.random, **options)

    def pause(seconds: float) -> None:
        engine.current_worker.wait(seconds)

    with stand_in(
        (HTTPAdapter, "send", send),
        (botocore.endpoint, "time", SimpleNamespace(sleep=pause)),
        (ExponentialBackoff, "__init__", init_backoff_with_rng),
        (http_exchange, "_bounded", lambda work, _: bounded(work, MAX_REAL_SECONDS)),
        *in_virtual_time(engine),
    ):
        yield


def _response(reply: Reply) -> HTTPResponse:
    length = len(reply.body)
    if reply.is_cut:
        length += 1  # more is announced than comes
    return HTTPResponse(
        io.BytesIO(reply.body),
        headers=reply.headers | {"Content-Length": str(length)},
        status=reply.status,
        preload_content=False,
        enforce_content_length=True,
    )


REAL_CLIENTS = Wiring(make_client=make_boto3_client, reroute=replace_sockets)
