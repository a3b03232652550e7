"""The same year over real clients: botocore and requests run in whole, and only their sockets are stood in for.

It is some twenty times slower; that it leaves the same trace shows that the direct way is true to them.
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

from handler.secrets_manager import CLIENT_CONFIG
from local.emulators.secrets_manager import REGION
from local.simulate.aws_secrets import URL, Refused
from local.simulate.network import LineFailure, in_virtual_time
from local.simulate.stand_in import stand_in
from local.simulate.year import Wiring

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from local.simulate.aws_secrets import Store
    from local.simulate.engine import Engine
    from local.simulate.network import Line
    from local.simulate.runtime import Process


class _Session:
    """What botocore sends its requests through, in place of a pool of connections."""

    def __init__(self, store: Store, process: Process) -> None:
        self._store, self._process = store, process

    def send(self, request: Any) -> AWSResponse:
        operation = xform_name(request.headers["X-Amz-Target"].decode().partition(".")[2])
        try:
            status, answer = 200, self._store.attempt(self._process, operation, json.loads(request.body))
        except Refused as error:
            status, answer = error.status, {"__type": error.code, "message": error.message}
        raw = HTTPResponse(io.BytesIO(json.dumps(answer).encode()), preload_content=False)
        return AWSResponse(URL, status, {"Content-Type": "application/x-amz-json-1.1"}, raw)


@cache
def _session() -> Any:
    return boto3.Session("simulated", "simulated", region_name=REGION)


def connect(store: Store, process: Process, _rng: random.Random) -> Any:
    """Return a real client of boto3, as the handler makes it, with its socket stood in for."""
    client = _session().client("secretsmanager", config=Config(**CLIENT_CONFIG))
    client._endpoint.http_session = _Session(store, process)  # noqa: SLF001 - botocore has no public place for it
    return client


@contextmanager
def carry(engine: Engine, line: Line, rng: random.Random) -> Iterator[None]:
    """Have what `requests` sends carried by the line, and botocore pause by virtual time and by the year's dice."""

    def send(adapter: HTTPAdapter, request: Any, timeout: Any = None, **_: Any) -> requests.Response:
        process: Process = engine.current
        try:
            if request.method == "GET":
                raw = HTTPResponse(io.BytesIO(), status=line.probe(process, request.headers["Authorization"]))
            else:
                reply = line.post(process, request.url, request.body.read, timeout[1])
                length = {"Content-Length": str(len(reply.body) + reply.is_cut)}
                headers, body = reply.headers | length, io.BytesIO(reply.body)
                raw = HTTPResponse(body, headers, reply.status, preload_content=False, enforce_content_length=True)
                line.deliver(process, b"" if reply.is_cut else reply.body)
        except LineFailure as failure:
            raise requests.ConnectionError from failure
        return adapter.build_response(request, raw)

    def backoff(self: ExponentialBackoff, **options: Any) -> None:
        init(self, random=rng.random, **options)

    init = ExponentialBackoff.__init__

    def pause(seconds: float) -> None:
        engine.current.wait(seconds)

    with stand_in(
        (HTTPAdapter, "send", send),
        (botocore.endpoint, "time", SimpleNamespace(sleep=pause)),
        (ExponentialBackoff, "__init__", backoff),
        *in_virtual_time(engine),
    ):
        yield


WIRE = Wiring(connect, carry)
