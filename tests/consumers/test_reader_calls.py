"""What an API receives from requests and httpx: after refusals and redirects, and with bodies of each kind."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import boto3
import httpx
import pytest
import requests
from tango_token import TokenReader, for_httpx, for_requests
from tango_token.testing import FixedToken

from local.emulators.clock import Clock
from local.emulators.loopback import Loopback, LoopbackServer
from local.emulators.world import TOKEN_SECRET, World, environment

START = 1_772_409_600.0
PATIENCE = 30  # real seconds; everything here ends much earlier
BODY = b"one order"


class Sent(NamedTuple):
    """A request as the API received it."""

    method: str
    path: str
    token: str
    body: bytes


class Api(LoopbackServer):
    """Answers each path as a test says, for one token or, with the token "", for all others."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.received: list[Sent] = []
        self.redirects: dict[tuple[str, str], str] = {}
        self.accepted: set[tuple[str, str]] = set()

    def tokens(self) -> list[tuple[str, str]]:
        """Return path and token of each request."""
        return [(sent.path, sent.token) for sent in self.received]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.server.received.append(Sent(self.command, self.path, token, body))
        asked = (self.path, token)
        location = self.server.redirects.get(asked)
        if location:
            self.send_response(307)
            self.send_header("Location", location)
        elif asked in self.server.accepted:
            self.send_response(200)
        else:
            self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    with Loopback(api):
        yield api


@pytest.fixture
def other_api() -> Iterator[Api]:
    api = Api()
    with Loopback(api):
        yield api


def post_with_requests(source: Any, url: str) -> int:
    with requests.Session() as session:
        session.auth = for_requests.TangoAuth(source)
        return session.post(url, data=BODY, timeout=PATIENCE).status_code


def post_with_httpx(source: Any, url: str) -> int:
    with httpx.Client(auth=for_httpx.TangoAuth(source), follow_redirects=True) as http:
        return http.post(url, content=BODY).status_code


def post_with_tasks(source: Any, url: str) -> int:
    async def post() -> int:
        async with httpx.AsyncClient(auth=for_httpx.TangoAuth(source), follow_redirects=True) as http:
            return (await http.post(url, content=BODY)).status_code

    return asyncio.run(post())


Post = Callable[[Any, str], int]
WITH_HTTPX = [post_with_httpx, post_with_tasks]
ALL = [post_with_requests, *WITH_HTTPX]


@pytest.mark.parametrize("post", WITH_HTTPX)
def test_with_httpx_a_refusal_after_a_redirect_replaces_the_token(api: Api, post: Post) -> None:
    """The refused request carried the token, so the next call has another one. But this call is not repeated."""
    source = FixedToken("first", "second")
    api.redirects["/orders", "first"] = "/moved"
    api.accepted = {("/orders", "second")}
    assert post(source, api.url + "/orders") == 401
    assert api.tokens() == [("/orders", "first"), ("/moved", "first")]
    assert source.refused == ["first"]
    assert post(source, api.url + "/orders") == 200


@pytest.mark.parametrize("post", ALL)
def test_a_refusal_by_another_host_replaces_no_token(api: Api, other_api: Api, post: Post) -> None:
    """The request after the redirect did not carry the token, so the token was not refused."""
    source = FixedToken("first", "second")
    api.redirects["/orders", "first"] = other_api.url + "/moved"
    assert post(source, api.url + "/orders") == 401
    assert api.tokens() == [("/orders", "first")]
    assert other_api.tokens() == [("/moved", "")]
    assert source.refused == []


def test_with_requests_the_redirected_request_is_repeated(api: Api) -> None:
    """It went to the same host with the token, and only its last part was refused."""
    source = FixedToken("first", "second")
    api.redirects["/orders", "first"] = "/moved"
    api.accepted = {("/moved", "second")}
    assert post_with_requests(source, api.url + "/orders") == 200
    assert api.tokens() == [("/orders", "first"), ("/moved", "first"), ("/moved", "second")]
    assert {sent.body for sent in api.received} == {BODY}


@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted", "refused"])
@pytest.mark.parametrize("post", ALL)
def test_after_a_repeat_a_redirect_is_followed_with_the_other_token(api: Api, post: Post, *, is_accepted: bool) -> None:
    """The token that was refused is not sent again, and no call is repeated twice."""
    source = FixedToken("first", "second", "third")
    api.redirects["/orders", "second"] = "/moved"
    api.accepted = {("/moved", "second")} if is_accepted else set()
    assert post(source, api.url + "/orders") == (200 if is_accepted else 401)
    assert api.tokens() == [("/orders", "first"), ("/orders", "second"), ("/moved", "second")]
    assert {(sent.method, sent.body) for sent in api.received} == {("POST", BODY)}


@pytest.mark.parametrize("body", [BODY.decode(), BODY, bytearray(BODY)], ids=["str", "bytes", "bytearray"])
def test_a_body_in_memory_is_sent_again(api: Api, body: Any) -> None:
    """Requests sends all of them whole, so they can be sent twice. The history keeps what was sent first."""
    api.accepted = {("/orders", "second")}
    auth = for_requests.TangoAuth(FixedToken("first", "second"))
    answer = requests.post(api.url + "/orders", data=body, auth=auth, timeout=PATIENCE)
    assert answer.status_code == 200
    assert [sent.body for sent in api.received] == [BODY, BODY]
    [refused] = answer.history
    assert refused.status_code == 401
    assert refused.request.headers["Authorization"] == "Bearer first"
    assert answer.request.headers["Authorization"] == "Bearer second"


def test_an_answer_can_be_pickled(api: Api) -> None:
    """A cache or a pool of processes stores answers. The reader stays here, also one that can't be pickled."""
    with World(Clock(START)) as world, environment(world.environment()):
        world.invoke()
        reader = TokenReader(TOKEN_SECRET, session=boto3.Session(), now=world.clock.now)
        api.accepted = {("/orders", reader.token())}
        auth = for_requests.TangoAuth(reader)
        answer = requests.post(api.url + "/orders", data=BODY, auth=auth, timeout=PATIENCE)
    arrived = pickle.loads(pickle.dumps(answer))  # noqa: S301 - it was made here
    assert arrived.status_code == 200
    assert arrived.request.body == BODY
    with requests.Session() as session:  # its request can still be sent, but is not repeated
        arrived.request.headers["Authorization"] = "Bearer dead"
        assert session.send(arrived.request, timeout=PATIENCE).status_code == 401
    assert len(api.received) == 2


@pytest.mark.parametrize("auth", [for_requests.TangoAuth, for_httpx.TangoAuth], ids=["requests", "httpx"])
@pytest.mark.parametrize("statuses", ["401", b"401", 401, ["401"], [401, None], [401.0], [True]], ids=repr)
def test_refused_statuses_are_numbers(auth: Any, statuses: Any) -> None:
    """A text would be taken for its characters, and no refusal would ever be seen."""
    with pytest.raises(TypeError, match="refused_statuses"):
        auth(FixedToken("first"), refused_statuses=statuses)


@pytest.mark.parametrize("post", ALL)
def test_blanks_around_a_token_are_not_sent(api: Api, post: Post) -> None:
    """HTTP does not count them to the header, and httpx would show the token as it refuses such a header."""
    api.accepted = {("/orders", "made up")}
    with World(Clock(START)) as world, environment(world.environment()):
        document = {"access_token": "  made up ", "expires_at": START + 3600}
        world.secrets.do("PutSecretValue", SecretId=TOKEN_SECRET, SecretString=json.dumps(document))
        reader = TokenReader(TOKEN_SECRET, now=world.clock.now)
        assert post(reader, api.url + "/orders") == 200


def test_files_are_sent_again_by_requests_only(api: Api) -> None:
    """Requests makes a multipart body in memory. httpx makes it a stream, so the call with httpx is not repeated."""
    api.accepted = {("/orders", "second")}
    files = {"file": ("orders.csv", BODY)}
    url = api.url + "/orders"
    of_requests = for_requests.TangoAuth(FixedToken("first", "second"))
    assert requests.post(url, files=files, auth=of_requests, timeout=PATIENCE).status_code == 200
    assert api.tokens() == [("/orders", "first"), ("/orders", "second")]
    assert api.received[0].body == api.received[1].body
    of_httpx = for_httpx.TangoAuth(FixedToken("first", "second"))
    assert httpx.post(url, files=files, auth=of_httpx).status_code == 401
    assert len(api.received) == 3
    assert httpx.post(url, files=files, auth=of_httpx).status_code == 200


@pytest.mark.parametrize("post", [post_with_requests, post_with_httpx])
def test_a_proxy_gets_calls_to_this_machine_unless_it_is_told(
    api: Api, other_api: Api, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both libraries do so, as the README warns: plain http to this machine may leave it."""
    monkeypatch.setenv("HTTP_PROXY", other_api.url)
    monkeypatch.setenv("http_proxy", other_api.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    post(FixedToken("first"), api.url + "/orders")
    assert [sent.token for sent in other_api.received] == ["first"]
    assert api.received == []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    post(FixedToken("first"), api.url + "/orders")
    assert api.tokens() == [("/orders", "first")]
