"""The Python reader on the local world: cached, through token changes, refusals and outages, never in a loop."""

import asyncio
import io
import json
import os
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import pytest
import requests
from tango_token import (
    NoToken,
    SecretUnreadable,
    TokenError,
    TokenExpired,
    TokenReader,
    TokenTooShort,
    WrongEnvironment,
    for_httpx,
    for_requests,
)

from local.emulators.clock import Clock
from local.emulators.secrets_manager import CUT, AwsFault
from local.emulators.world import TOKEN_SECRET, World, environment

START = 1_772_409_600.0
DAY = 86_400
HOUR = 3_600
BROKEN = '{"access_token": "x\\n", "expires_at": 1}'  # an HTTP client would quote it as it refuses it
NOWHERE = {
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PRODUCTION = "https://auth.tangocard.com/oauth/token"
SEED = {"access_token": None, "expires_at": 0, "schema": 1}
NAN = '{"access_token": "x", "expires_at": NaN}'
READS = "GetSecretValue"


@pytest.fixture
def reader_world() -> Iterator[World]:
    """A world with a standby credential, whose AWS settings are in this process's environment for the reader."""
    with World(Clock(START)) as world, environment(world.environment()):
        yield world


@pytest.fixture
def reader(reader_world: World) -> TokenReader:
    reader_world.invoke()
    return TokenReader(TOKEN_SECRET, now=reader_world.clock.now)


def reads_over_http(world: World) -> int:
    """Return how often the secret was read over HTTP."""
    return world.secrets.calls.count(READS)


def put(world: World, document: object) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    world.secrets.do("PutSecretValue", SecretId=TOKEN_SECRET, SecretString=text)


def change(world: World) -> None:
    """Let the keeper publish another token, by a rotation of the credentials."""
    world.put_credentials(world.standby, world.primary)
    old_primary = world.primary
    world.primary = world.standby
    world.standby = old_primary
    assert world.invoke()["outcome"] == "refreshed"


def test_the_token_is_cached_until_its_time_is_over(reader_world: World, reader: TokenReader) -> None:
    """One read serves for five minutes; then the secret is read again."""
    before = reads_over_http(reader_world)
    assert {reader.token() for _ in range(50)} == {reader_world.token()["access_token"]}
    assert reads_over_http(reader_world) == before + 1
    reader_world.clock.advance(301)
    reader.token()
    assert reader.reads == 2


def test_a_crowd_of_threads_reads_once(reader_world: World, reader: TokenReader) -> None:
    """If many threads find an empty cache at the same moment, they wait for one read."""
    barrier = threading.Barrier(20)

    def read(_: int) -> str:
        barrier.wait(10)
        return reader.token()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(read, range(20))) == {reader_world.token()["access_token"]}
    assert reader.reads == 1


def test_nobody_waits_for_a_read_while_the_cached_token_is_alive(reader_world: World, reader: TokenReader) -> None:
    """One thread reads, which can take long; the others get the cached token at once."""
    token = reader.token()
    reading = threading.Event()
    may_answer = threading.Event()

    def answer_late(_operation: str, moment: str, _params: object) -> None:
        if moment == "before":
            reading.set()
            assert may_answer.wait(10)

    reader_world.secrets.on_call = answer_late
    reader_world.clock.advance(301)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(reader.token)
        assert reading.wait(10)
        assert {reader.token() for _ in range(20)} == {token}
        assert not first.done()
        may_answer.set()
        assert first.result(10) == token
    assert reader.reads == 2


def test_a_token_that_lives_is_served_through_an_outage(reader_world: World, reader: TokenReader) -> None:
    """While Secrets Manager is down the cached token goes on, without a read at each call; then an error says why."""
    token = reader.token()
    reader_world.secrets.outage = CUT
    reader_world.clock.advance(HOUR)
    assert {reader.token() for _ in range(10)} == {token}
    assert reader.reads == 2
    reader_world.clock.advance(DAY)
    with pytest.raises(TokenExpired, match=rf"ended at 2026-03-03T.*{TOKEN_SECRET} can't be read"):
        reader.token()
    reader_world.secrets.outage = None
    reader_world.clock.advance(2)
    with pytest.raises(TokenExpired, match="ended at 2026-03-03T"):
        reader.token()


def test_before_the_first_token_the_error_says_so(reader_world: World) -> None:
    """A secret without a value and the seed are not a token, and each call says so."""
    reader = TokenReader(TOKEN_SECRET, now=reader_world.clock.now)
    with pytest.raises(NoToken, match="no value yet"):
        reader.token()
    with pytest.raises(NoToken):
        reader.token()
    assert reader.reads == 1
    put(reader_world, SEED)
    reader_world.clock.advance(2)
    with pytest.raises(NoToken, match="no token has been issued"):
        reader.token()


def test_a_minimum_of_life_reads_again_and_says_what_is_left(reader_world: World, reader: TokenReader) -> None:
    """If the token is too short the secret is read again; if that does not help, the error has the seconds left."""
    reader.token()
    reader_world.clock.advance(20 * HOUR + 400)
    with pytest.raises(TokenTooShort) as short:
        reader.token(min_remaining=4 * HOUR)
    assert short.value.remaining == pytest.approx(4 * HOUR - 400, abs=5)
    assert reader.token() == reader_world.token()["access_token"]
    assert reader_world.invoke()["outcome"] == "refreshed"
    reader_world.clock.advance(2)
    assert reader.token(min_remaining=4 * HOUR) == reader_world.token()["access_token"]


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "text", ["no JSON", "[]", "{}", '{"access_token": 1}', '{"access_token": "x"}', "[" * 9_000, NAN, BROKEN]
)
def test_a_foreign_document_is_a_clear_error(reader_world: World, text: str) -> None:
    """A document that is not a token document is reported as such, and not shown."""
    put(reader_world, text)
    with pytest.raises(SecretUnreadable, match="is not a token document"):
        TokenReader(TOKEN_SECRET, now=reader_world.clock.now).token()


def test_a_token_of_another_environment_is_refused(reader_world: World, reader: TokenReader) -> None:
    """A sandbox's token is not sent to production."""
    right = TokenReader(TOKEN_SECRET, token_url=reader_world.vendor.token_url, now=reader_world.clock.now)
    assert right.token() == reader.token()
    with pytest.raises(WrongEnvironment, match=r"auth\.tangocard\.com"):
        TokenReader(TOKEN_SECRET, token_url=PRODUCTION, now=reader_world.clock.now).token()


def test_a_replica_is_read_if_the_primary_can_not_be_read(reader_world: World, reader: TokenReader) -> None:
    """A secret is read in its ARN's region. If it can't be read, the next one is read."""
    replica = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=reader_world.secrets.url)
    arn = replica.create_secret(Name=TOKEN_SECRET, SecretString=json.dumps(reader_world.token()))["ARN"]
    assert ":eu-west-1:" in arn
    elsewhere = TokenReader("tango/missing", arn, now=reader_world.clock.now)
    assert elsewhere.token() == reader.token()
    assert TokenReader(arn, now=reader_world.clock.now).token() == reader.token()


def test_nothing_shows_the_token(reader_world: World, reader: TokenReader) -> None:
    """No repr and no error shows it."""
    wrong = TokenReader(TOKEN_SECRET, token_url="https://elsewhere.example/", now=reader_world.clock.now)
    shown = [repr(reader), str(vars(for_requests.TangoAuth(reader)))]
    reader_world.clock.advance(2 * DAY)
    for read, name in ((reader.token, TokenExpired), (wrong.token, WrongEnvironment)):
        with pytest.raises(TokenError) as error:
            read()
        assert isinstance(error.value, name)
        shown += traceback.TracebackException.from_exception(error.value, capture_locals=True).format()
    assert reader_world.token()["access_token"] not in "".join(shown)


def clients(reader: TokenReader) -> dict[str, Any]:
    session = requests.Session()
    session.auth = for_requests.TangoAuth(reader)
    return {"requests": session, "httpx": httpx.Client(auth=for_httpx.TangoAuth(reader))}


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_a_call_survives_a_rotation_and_a_deactivation(reader_world: World, reader: TokenReader, client: str) -> None:
    """After a 401 the secret is read once, and the call succeeds with the new token."""
    with clients(reader)[client] as http:
        assert http.get(reader_world.vendor.api_url).status_code == 200
        old = reader_world.primary
        change(reader_world)
        reader_world.vendor.deactivate(old)
        answer = http.get(reader_world.vendor.api_url)
        assert answer.status_code == 200
        assert (len(answer.history) <= 1) is True
        assert reader.reads == 2
        assert http.get(reader_world.vendor.api_url).status_code == 200
        assert reader.reads == 2


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_a_refusal_that_stays_is_no_loop(reader_world: World, reader: TokenReader, client: str) -> None:
    """If the secret has no other token, each call is made once, and the secret is not read for each of them."""
    with clients(reader)[client] as http:
        http.get(reader_world.vendor.api_url)
        reader_world.vendor.deactivate(reader_world.primary)
        before = len(reader_world.vendor.api_calls)
        assert [http.get(reader_world.vendor.api_url).status_code for _ in range(10)] == [401] * 10
        assert len(reader_world.vendor.api_calls) == before + 10
        assert reader.reads == 2


def test_a_body_that_can_not_be_sent_twice_is_sent_once(reader_world: World, reader: TokenReader) -> None:
    """A stream is at its end after the first call, so the refusal is returned. The next call has the new token."""
    with clients(reader)["requests"] as http:
        http.get(reader_world.vendor.api_url)
        old = reader_world.primary
        change(reader_world)
        reader_world.vendor.deactivate(old)
        before = len(reader_world.vendor.api_calls)
        assert http.get(reader_world.vendor.api_url, data=io.BytesIO(b"x")).status_code == 401
        assert len(reader_world.vendor.api_calls) == before + 1
        assert http.get(reader_world.vendor.api_url, data=io.BytesIO(b"x")).status_code == 200
        assert len(reader_world.vendor.api_calls) == before + 2


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_the_token_is_not_sent_in_clear(reader: TokenReader, client: str) -> None:
    """A plain http address of another host is refused before anything is sent."""
    with clients(reader)[client] as http, pytest.raises(ValueError, match="https only"):
        http.get("http://api.example/raas/v2/customers")


def test_the_asynchronous_client_does_the_same(reader_world: World, reader: TokenReader) -> None:
    """An AsyncClient sends the token and survives a rotation, without blocking the event loop."""

    async def calls() -> list[int]:
        async with httpx.AsyncClient(auth=for_httpx.TangoAuth(reader)) as http:
            first = (await http.get(reader_world.vendor.api_url)).status_code
            old = reader_world.primary
            await asyncio.to_thread(change, reader_world)
            reader_world.vendor.deactivate(old)
            second = (await http.get(reader_world.vendor.api_url)).status_code
            third = (await http.get(reader_world.vendor.api_url)).status_code
            return [first, second, third]

    assert asyncio.run(calls()) == [200, 200, 200]
    assert reader.reads == 2


def test_a_slow_refusal_is_read_for_once(reader_world: World, reader: TokenReader) -> None:
    """Threads that are refused together wait for one read, however long it takes."""
    token = reader.token()

    def take_five_seconds(_operation: str, moment: str, _params: object) -> None:
        if moment == "before":
            reader_world.clock.advance(5)

    reader_world.secrets.on_call = take_five_seconds
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(reader.replace, [token] * 8)) == {None}
    assert reader.reads == 2


def test_during_an_outage_a_live_token_costs_one_read_in_half_a_minute(
    reader_world: World, reader: TokenReader
) -> None:
    """With a good token in the cache, a call does not wait for Secrets Manager each time."""
    reader.token()
    reader_world.secrets.outage = CUT
    reader_world.clock.advance(301)
    for _ in range(60):
        reader.token()
        reader_world.clock.advance(1)
    assert reader.reads <= 4


def test_a_clock_that_is_set_back_stops_no_read(reader_world: World) -> None:
    """If the clock is set back, a failed read is not remembered for that much longer."""
    reader = TokenReader(TOKEN_SECRET, now=reader_world.clock.now)
    with pytest.raises(NoToken):
        reader.token()
    reader_world.clock.advance(-HOUR)
    reader_world.invoke()
    assert reader.token() == reader_world.token()["access_token"]


def test_the_same_failure_has_the_same_traceback_each_time(reader_world: World) -> None:
    """The traceback of an error that many callers get does not grow with each of them."""
    reader = TokenReader(TOKEN_SECRET, now=reader_world.clock.now)
    depths = set()
    for _ in range(5):
        with pytest.raises(NoToken) as error:
            reader.token()
        depths.add(len(error.traceback))
    assert len(depths) == 1


def test_a_child_process_does_not_inherit_a_lock(reader: TokenReader) -> None:
    """If a process forks while another thread reads, the child can still read."""
    reading = threading.Event()
    forked = threading.Event()

    def now() -> float:
        reading.set()
        assert forked.wait(10)
        return START

    reader._now = now  # noqa: SLF001 - holds the reader inside its lock
    thread = threading.Thread(target=reader.replace, args=("",))
    thread.start()
    assert reading.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if reader._lock.acquire(blocking=False) else 1)  # noqa: SLF001
    forked.set()
    thread.join(10)
    assert os.waitpid(child, 0)[1] == 0


def test_after_a_redirect_nothing_is_sent_again(reader_world: World, reader: TokenReader) -> None:
    """The call that was redirected has had its effect, so a 401 of the redirect's target is returned as it is."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        if request.method == "POST":
            return httpx.Response(303, headers={"Location": "https://other.example/"})
        return httpx.Response(401)

    reader.token()
    change(reader_world)  # so that the secret has another token to repeat with
    auth = for_httpx.TangoAuth(reader)
    transport = httpx.MockTransport(answer)
    with httpx.Client(auth=auth, transport=transport, follow_redirects=True) as http:
        assert http.post("https://api.example/orders", content=b"x").status_code == 401
    assert sent == ["POST", "GET"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ((), "name the token secret"),
        (("",), "name the token secret"),
        ((TOKEN_SECRET, None), "name the token secret"),
        (
            ("arn:aws:secretsmanager:us-east-1",),
            "arn:aws:secretsmanager:us-east-1 is not of the form arn:aws:secretsmanager:REGION",
        ),
        (("arn:aws:sqs:us-east-1:123456789012:queue",), "queue is not of the form arn:aws:secretsmanager:REGION"),
    ],
)
def test_a_reader_needs_a_secret(ids: tuple[Any, ...], message: str) -> None:
    """Without a name, or with an ARN that is not a secret's, the constructor fails at once."""
    with pytest.raises(ValueError, match=message):
        TokenReader(*ids)


@pytest.mark.parametrize(
    ("variables", "error", "message"),
    [
        ({"AWS_DEFAULT_REGION": ""}, SecretUnreadable, "give the secret's ARN, or set AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": "no region"}, SecretUnreadable, "check AWS_DEFAULT_REGION"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, SecretUnreadable, "give the process AWS credentials"),
        ({"AWS_PROFILE": "none"}, SecretUnreadable, "this machine has no such profile: check AWS_PROFILE"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, NoToken, "is missing in eu-west-1, or .* check the id, the region"),
    ],
)
def test_a_process_that_is_set_up_wrong_is_told_what_to_do(
    reader_world: World, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], error: type, message: str
) -> None:
    """The error names the setting of AWS that is missing or wrong, and the secret."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers what it found before
    with environment(NOWHERE | variables):
        for name in [name for name, value in variables.items() if not value]:
            del os.environ[name]
        with pytest.raises(error, match=rf"^{TOKEN_SECRET} .*{message}"):
            TokenReader(TOKEN_SECRET, now=reader_world.clock.now).token()


@pytest.mark.parametrize(
    ("document", "code", "error", "message"),
    [
        (SEED, "", NoToken, f"no token has been issued yet: {TOKEN_SECRET} holds the seed; ask the keeper's operators"),
        ({}, "", SecretUnreadable, f"{TOKEN_SECRET} is not a token document"),
        ({"access_token": "x", "expires_at": 1}, "", WrongEnvironment, f"{TOKEN_SECRET}: its token comes from None"),
        (SEED, "AccessDeniedException", SecretUnreadable, f"{TOKEN_SECRET} .*: attach .* ConsumerPolicyArn"),
        (SEED, "ExpiredTokenException", SecretUnreadable, f"{TOKEN_SECRET} .*: renew them"),
        (SEED, "InternalServiceError", SecretUnreadable, f"{TOKEN_SECRET} can't be read: InternalServiceError$"),
    ],
)
def test_a_secret_that_gives_no_token_is_named(
    reader_world: World, document: object, code: str, error: type, message: str
) -> None:
    """The error names the secret, and says what to do."""
    put(reader_world, document)
    reader_world.secrets.fail(READS, *[AwsFault(code)] * bool(code))
    with pytest.raises(error, match=message):
        TokenReader(TOKEN_SECRET, token_url=PRODUCTION, now=reader_world.clock.now).token()


def test_if_no_secret_can_be_read_each_is_named(reader_world: World) -> None:
    """The error names each secret with its reason, not only the first one."""
    put(reader_world, {})
    with pytest.raises(
        NoToken, match=f"tango/missing is missing in us-east-1, .*; {TOKEN_SECRET} is not a token document"
    ):
        TokenReader("tango/missing", TOKEN_SECRET, now=reader_world.clock.now).token()


def test_an_expired_token_is_named_by_its_secret(reader_world: World, reader: TokenReader) -> None:
    """The error says which secret it is about, when the token ended, and whom to ask."""
    reader_world.clock.advance(2 * DAY)
    with pytest.raises(TokenExpired, match=f"the token in {TOKEN_SECRET} ended at 2026-.*; ask the keeper's operators"):
        reader.token()


def test_the_clock_is_the_machines_unless_said_otherwise(reader_world: World, reader: TokenReader) -> None:
    """Without a clock as an argument the reader uses the machine's clock, as in production."""
    put(reader_world, {"access_token": "made up", "expires_at": time.time() + 60})
    assert TokenReader(TOKEN_SECRET).token() == "made up"
    assert reader
