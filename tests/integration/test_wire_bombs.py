"""Answers that cost memory, time or the token: bombs, redirects, encodings, endless heads."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from bench import bombs
from handler import oauth2
from handler.errors import CredentialsRefused, OutcomeUnknown, RefreshError, RequestRefused, VendorError
from local.emulators.faults import Fault
from local.emulators.raw_server import Answer, RawServer, always
from local.emulators.world import World
from tests.integration.helpers import DAY, HOUR, acquire_token, run, slot_of
from tests.integration.recorder import Recorder

# Sockets wait in real seconds, so a run that gives up does so after one second.
IMPATIENT = {"ACQUIRE_TIMEOUT_SECONDS": "1", "WRITE_RESERVE_SECONDS": "5"}
SECONDS_UNTIL_THREADS_END = 1.0
# More than the buffers of both ends of a connection hold on loopback.
MAX_SENT_BYTES = 16_000_000
ZEROS = bytes(65_536)
# Of a bomb whose packed bytes are all read, since they are fewer than an answer may have.
UNPACKED_BYTES = 50_000_000
GZIP = {"Content-Encoding": "gzip"}
CHUNKED = b"Transfer-Encoding: chunked"
CHUNK = b"10000\r\n" + ZEROS + b"\r\n"
TRAILERS = b"A: b\r\n" * 1_000
TOKEN = "token-of-the-test"
TOKEN_JSON = json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": DAY}).encode()
PACKED = gzip.compress(TOKEN_JSON)


def head(status: int, *lines: bytes) -> bytes:
    """Return a status line and headers, with the empty line that ends them."""
    return b"\r\n".join([f"HTTP/1.1 {status} Whatever".encode(), *lines, b"", b""])


def endless(start: bytes, piece: bytes = ZEROS) -> Answer:
    return lambda _: chain([start], repeat(piece))


def threads_of_runs() -> set[threading.Thread]:
    """Return the threads that are not of a server."""
    alive = threading.enumerate()
    return {thread for thread in alive if "process_request_thread" not in thread.name}


def assert_ends_soon(threads: Callable[[], set[threading.Thread]]) -> None:
    """Wait until these threads have ended; fail if that takes longer than allowed."""
    ends_at = time.monotonic() + SECONDS_UNTIL_THREADS_END
    while threads():
        assert time.monotonic() < ends_at, f"still running: {threads()}"
        time.sleep(0.01)


# Redirects


SHORT_REDIRECTS: dict[str, bytes] = {
    "no IPv6 address": head(302, b"Location: http://[::1", b"Content-Length: 0"),
    "bytes that are not UTF-8": head(302, b"Location: http://\xff\xfe/", b"Content-Length: 0"),
    "a port that is not a number": head(302, b"Location: http://127.0.0.1:port/", b"Content-Length: 0"),
    "a control character": head(302, b"Location: http://127.0.0.1/\x01\x7f", b"Content-Length: 0"),
    "an empty one": head(302, b"Location: ", b"Content-Length: 0"),
    "a long one": head(302, b"Location: /" + b"x" * 60_000, b"Content-Length: 0"),
    "two": head(302, b"Location: /a", b"Location: http://[", b"Content-Length: 0"),
    "another scheme": head(302, b"Location: file:///etc/passwd", b"Content-Length: 0"),
    "a body that does not come": head(302, b"Location: /", b"Content-Length: 10"),
    "a body that is not gzip": head(302, b"Location: /", b"Content-Encoding: gzip") + b"abcd",
    "a chunk without a size": head(302, b"Location: /", CHUNKED) + b"no size\r\n",
    "a length that is not a number": head(302, b"Location: /", b"Content-Length: ten"),
    "several choices, and the name of an error": head(300) + b'{"error": "invalid_client"}',
}


@pytest.mark.parametrize("answer", SHORT_REDIRECTS.values(), ids=SHORT_REDIRECTS)
def test_redirect_is_a_refused_request_whatever_it_says(world: World, answer: bytes) -> None:
    """Neither its `Location` nor its body is parsed: TOKEN_URL is wrong, and no token was issued."""
    with RawServer(always(answer)) as vendor, pytest.raises(RequestRefused, match=r"answered HTTP 3\d\d: "):
        world.invoke(process=world.process(TOKEN_URL=vendor.url))
    assert slot_of(world)["suspicions"] == 0
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("answer", SHORT_REDIRECTS.values(), ids=SHORT_REDIRECTS)
def test_redirect_of_the_probe_means_nothing_whatever_it_says(world: World, answer: bytes) -> None:
    """The API has not refused the token, so it is kept."""
    acquire_token(world, 2 * HOUR)
    with RawServer(always(answer)) as api:
        assert run(world, process=world.process(PROBE_URL=api.url)) == "kept"
    assert len(api.requests) == 1


LOCATION = b"Location: /elsewhere"
ENDLESS_REDIRECTS: dict[str, Answer] = {
    "plain": endless(head(302, LOCATION)),
    "with a length": endless(head(307, LOCATION, b"Content-Length: 9000000000")),
    "in chunks": endless(head(308, LOCATION, CHUNKED), CHUNK),
    "a chunk's size": endless(head(302, LOCATION, CHUNKED), b"1" * 65_536),
    "trailers": endless(head(302, LOCATION, CHUNKED) + b"0\r\n", TRAILERS),
}


@pytest.mark.parametrize("answer", ENDLESS_REDIRECTS.values(), ids=ENDLESS_REDIRECTS)
def test_body_of_a_redirect_is_not_read(world: World, answer: Answer) -> None:
    """The head says all: the run leaves at once, whatever follows."""
    with RawServer(answer) as vendor:
        before = threads_of_runs()
        outcome = run(world, process=world.process(TOKEN_URL=vendor.url, **IMPATIENT))
        assert_ends_soon(lambda: threads_of_runs() - before)
        assert vendor.bytes_sent < MAX_SENT_BYTES
    assert outcome == "RequestRefused"


@pytest.mark.parametrize("answer", ENDLESS_REDIRECTS.values(), ids=ENDLESS_REDIRECTS)
def test_body_of_a_redirect_of_the_probe_is_not_read(world: World, answer: Answer) -> None:
    """A probe has five seconds, and a redirect takes none of them."""
    acquire_token(world, 2 * HOUR)
    with RawServer(answer, max_seconds=1) as api:
        before = threads_of_runs()
        assert run(world, process=world.process(PROBE_URL=api.url)) == "kept"
        assert_ends_soon(lambda: threads_of_runs() - before)
        assert api.bytes_sent < MAX_SENT_BYTES


# Memory


@pytest.fixture(scope="module")
def ordinary() -> bombs.Measured:
    """The memory of an ordinary refresh in a process of its own."""
    return bombs.measure_ordinary()


def redirect_of_little_bytes() -> Answer:
    """Return a redirect whose body of some hundred bytes would unpack to 100 MB."""
    packer = zlib.compressobj(wbits=bombs.GZIP_WINDOW_BITS)
    once = packer.compress(bytes(100_000_000)) + packer.flush()
    return bombs.whole(bombs.REDIRECT + bombs.TWICE_GZIP, gzip.compress(once))


def test_small_bomb_in_a_redirect_takes_no_memory(ordinary: bombs.Measured) -> None:
    """The process takes as much as for an ordinary refresh, and nothing of the run goes on."""
    measured = bombs.measure_bomb(redirect_of_little_bytes())
    assert measured.outcome == "RequestRefused"
    assert bombs.extra_megabytes(measured, ordinary) < bombs.MAX_EXTRA_MEGABYTES
    assert bombs.is_within_limits(measured, ordinary)


def test_small_bomb_in_a_token_answer_takes_no_memory(world: World) -> None:
    """A gzip body is unpacked no further than an answer may be long."""
    world.vendor.script(Fault.gzip_bomb(UNPACKED_BYTES))
    tracemalloc.start()
    try:
        assert run(world) == "VendorError"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < UNPACKED_BYTES / 2


def test_bench_sees_a_run_that_takes_too_much() -> None:
    """The limits can be exceeded, by memory and by a thread."""
    small = bombs.Measured("refreshed", 50_000, 0, 0.1)
    assert bombs.is_within_limits(small, small)
    assert not bombs.is_within_limits(small._replace(kilobytes=50_000 + 41 * 1_024), small)
    assert not bombs.is_within_limits(small._replace(threads=1), small)


# Encodings


@pytest.mark.parametrize("auth", ["client_secret_post", "client_secret_basic"])
def test_no_encoding_is_asked_for(world: World, auth: str) -> None:
    """A small answer gains nothing from it, and each encoding is a way to send a bomb."""
    with Recorder(body=json.loads(TOKEN_JSON)) as vendor:
        world.invoke(process=world.process(TOKEN_URL=vendor.url, CLIENT_AUTH=auth))
    [request] = vendor.received
    assert request.headers["Accept-Encoding"] == "identity"


def test_no_encoding_is_asked_for_by_the_probe(world: World) -> None:
    """The probe's answer is its status alone."""
    acquire_token(world, 2 * HOUR)
    with Recorder() as api:
        world.invoke(process=world.process(PROBE_URL=api.url))
    [request] = api.received
    assert request.headers["Accept-Encoding"] == "identity"


def with_wrong_trailer(packed: bytes, *, at: int) -> bytes:
    """Return gzip bytes with one bit of their last eight, the checksum and the size, turned."""
    position = len(packed) - 8 + at
    return packed[:position] + bytes([packed[position] ^ 1]) + packed[position + 1 :]


ENCODED: dict[str, tuple[bytes, str]] = {
    "gzip": (PACKED, "gzip"),
    "GZIP": (PACKED, "GZIP"),
    "x-gzip": (PACKED, "x-gzip"),
    "plain": (TOKEN_JSON, "gzip"),
    "a wrong checksum": (with_wrong_trailer(PACKED, at=0), "gzip"),
    "a wrong size": (with_wrong_trailer(PACKED, at=4), "gzip"),
    "no trailer": (PACKED[:-8], "gzip"),
    "half a trailer": (PACKED[:-3], "gzip"),
    "something behind it": (PACKED + b"\0\0 more", "gzip"),
    "plain, called identity": (TOKEN_JSON, "identity"),
    "plain, called by an unknown name": (TOKEN_JSON, "made-up"),
}


@pytest.mark.parametrize(("body", "encoding"), ENCODED.values(), ids=ENCODED)
def test_wrong_encoding_does_not_cost_the_token(world: World, body: bytes, encoding: str) -> None:
    """A gateway may pack, unpack or damage an answer: a token that can be read is published."""
    world.vendor.script(Fault.answer(200, body, headers={"Content-Encoding": encoding}))
    assert run(world) == "refreshed"
    assert world.token()["access_token"] == TOKEN


@pytest.mark.parametrize("length", [len(PACKED), len(PACKED) + 100])
def test_token_in_a_gzip_body_that_is_cut_is_published(world: World, length: int) -> None:
    """What was unpacked until then is a whole token."""
    headers = GZIP | {"Content-Length": str(length)}
    world.vendor.script(Fault.answer(200, PACKED[:-8], headers=headers))
    assert run(world) == "refreshed"
    assert world.token()["access_token"] == TOKEN


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "invalid_client"}',
        gzip.compress(b'{"error": "invalid_client"}'),
        with_wrong_trailer(gzip.compress(b'{"error": "invalid_client"}'), at=0),
    ],
    ids=["plain", "gzip", "a wrong checksum"],
)
def test_wrong_encoding_does_not_hide_a_refusal(world: World, body: bytes) -> None:
    """A refusal that can be read is one."""
    world.vendor.script(Fault.answer(400, body, headers=GZIP))
    with pytest.raises(CredentialsRefused):
        world.invoke()
    assert slot_of(world)["suspicions"] == 0


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
def test_gzip_in_gzip_is_not_a_token(world: World, encoding: str) -> None:
    """Only one level is unpacked: no vendor does that, and a bomb does."""
    headers = {"Content-Encoding": encoding}
    world.vendor.script(Fault.answer(200, gzip.compress(PACKED), headers=headers))
    with pytest.raises(VendorError):
        world.invoke()
    assert slot_of(world)["suspicions"] == 1


@pytest.mark.parametrize("padding", [65_536 - len(TOKEN_JSON), 65_537 - len(TOKEN_JSON)])
def test_cap_counts_unpacked_bytes(world: World, padding: int) -> None:
    """64 KiB are read to their last byte; a token before a longer rest is a token too."""
    body = gzip.compress(TOKEN_JSON + b" " * padding)
    world.vendor.script(Fault.answer(200, body, headers=GZIP))
    assert run(world) == "refreshed"


# What goes on after a run


def slow(start: bytes) -> Answer:
    """Return an answer whose bytes come one by one after this start."""
    return lambda _: chain([start], repeat(b" "))


def slow_lines(_: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from repeat(b"A: b\r\n", 90)
    yield from repeat(b"c")


SLOW: dict[str, Answer] = {
    "endless 100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "slow 100 Continue": lambda _: repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "slow status line": slow(b"HTTP/1.1 200"),
    "slow header line": slow(b"HTTP/1.1 200 OK\r\nA: b"),
    "slow header lines": slow_lines,
    "slow body": slow(head(200, b"Content-Length: 9000")),
    "slow body without a length": slow(head(200)),
    "slow gzip body": slow(head(200, b"Content-Encoding: gzip") + PACKED[:12]),
    "slow chunk size": slow(head(200, CHUNKED) + b"1"),
    "slow chunk": slow(head(200, CHUNKED) + b"ffff\r\n"),
    "slow trailers": lambda _: chain([head(200, CHUNKED) + b"0\r\n"], repeat(b"A: b\r\n")),
    "endless trailers": endless(head(200, CHUNKED) + b"0\r\n", TRAILERS),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_nothing_of_a_run_goes_on_after_it(world: World, answer: Answer) -> None:
    """When a run gives up on an answer, its thread and its connection end too."""
    with RawServer(answer, pause_seconds=0.02) as vendor:
        before = threads_of_runs()
        process = world.process(TOKEN_URL=vendor.url, **IMPATIENT)
        with pytest.raises((OutcomeUnknown, VendorError)):
            world.invoke(process=process)
        assert_ends_soon(lambda: threads_of_runs() - before)


@pytest.mark.parametrize("name", ["endless 100 Continue", "slow header line", "slow body", "endless trailers"])
def test_nothing_of_a_probe_goes_on_after_it(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A probe that gets no whole answer in its time means nothing, and ends."""
    monkeypatch.setattr(oauth2, "PROBE_TIMEOUT_SECONDS", 0.5)
    acquire_token(world, 2 * HOUR)
    with RawServer(SLOW[name], pause_seconds=0.02) as api:
        before = threads_of_runs()
        assert run(world, process=world.process(PROBE_URL=api.url)) == "kept"
        assert_ends_soon(lambda: threads_of_runs() - before)


def test_refusal_after_the_time_of_a_probe_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request ends after its time, however short: an API that answers byte by byte can't hold up the run."""
    monkeypatch.setattr(oauth2, "PROBE_TIMEOUT_SECONDS", 0.1)
    acquire_token(world, 2 * HOUR)
    half_a_second = [b"HTTP/1.1 401 ", *[b"x"] * 25, b"\r\nContent-Length: 0\r\n\r\n"]
    with RawServer(lambda _: half_a_second, pause_seconds=0.02) as api:
        assert run(world, process=world.process(PROBE_URL=api.url)) == "kept"


def test_process_can_end_while_a_name_server_is_silent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can end the look-up of a name, so the end of the process does not wait for its thread."""
    monkeypatch.setattr(oauth2, "PROBE_TIMEOUT_SECONDS", 0.1)
    acquire_token(world, 2 * HOUR)
    look_up = socket.getaddrinfo
    answered = threading.Event()

    def silent(host: str, *rest: Any, **options: Any) -> Any:
        if host != "localhost":
            return look_up(host, *rest, **options)
        answered.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    before = threads_of_runs()
    try:
        assert run(world, process=world.process(PROBE_URL="http://localhost/")) == "kept"
        [waiting] = threads_of_runs() - before
        assert waiting.daemon
    finally:
        answered.set()
    assert_ends_soon(lambda: threads_of_runs() - before)


FAST: dict[str, tuple[Answer, type[RefreshError]]] = {
    "endless body": (endless(head(200)), VendorError),
    "endless chunks": (
        endless(head(200, CHUNKED), CHUNK),
        VendorError,
    ),
    "endless chunk size": (endless(head(200, CHUNKED), b"1" * 65_536), OutcomeUnknown),
    "endless status line": (endless(b"HTTP/1.1 200 ", b"K" * 65_536), OutcomeUnknown),
    "endless header line": (endless(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 65_536), OutcomeUnknown),
    "endless header lines": (endless(b"HTTP/1.1 200 OK\r\n", TRAILERS), OutcomeUnknown),
    "endless body of a refusal": (endless(head(401)), CredentialsRefused),
}


@pytest.mark.parametrize(("answer", "error"), FAST.values(), ids=FAST)
def test_answer_without_an_end_is_given_up_at_its_bound(
    world: World, answer: Answer, error: type[RefreshError]
) -> None:
    """A body has its cap, and so has a line of a head: the run does not wait for its end."""
    with RawServer(answer) as vendor:
        before = threads_of_runs()
        process = world.process(TOKEN_URL=vendor.url, **IMPATIENT)
        assert run(world, process=process) == error.__name__
        assert_ends_soon(lambda: threads_of_runs() - before)
        assert vendor.bytes_sent < MAX_SENT_BYTES


def test_token_before_trailers_without_an_end_is_published(world: World) -> None:
    """The body is whole: what follows it must not cost the token."""
    size = f"{len(TOKEN_JSON):x}\r\n".encode()
    start = head(200, CHUNKED) + size + TOKEN_JSON + b"\r\n0\r\n"
    with RawServer(endless(start, TRAILERS)) as vendor:
        assert run(world, process=world.process(TOKEN_URL=vendor.url, **IMPATIENT)) == "refreshed"
    assert world.token()["access_token"] == TOKEN


INTERIM = {
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
    "two": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
}


@pytest.mark.parametrize("interim", INTERIM.values(), ids=INTERIM)
def test_interim_answer_is_passed_over(world: World, interim: bytes) -> None:
    """What comes after it counts, a token or a refusal (RFC 9110 section 15.2)."""
    body = b'{"access_token": "abcde"}'
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    with RawServer(always(interim + refusal)) as vendor:
        assert run(world, process=world.process(TOKEN_URL=f"{vendor.url}/token")) == "CredentialsRefused"
    world.clock.advance(2 * HOUR)
    with RawServer(always(interim + head + body)) as vendor:
        assert run(world, process=world.process(TOKEN_URL=f"{vendor.url}/token")) == "refreshed"
        assert len(vendor.requests) == 1


def test_token_after_a_change_of_the_protocol_is_not_read(world: World) -> None:
    """101 is no interim answer: what follows it is not HTTP any more, and nobody asked for another protocol."""
    answer = head(101, b"Upgrade: made-up", b"Connection: Upgrade") + head(200) + TOKEN_JSON
    with RawServer(always(answer)) as vendor:
        assert run(world, process=world.process(TOKEN_URL=vendor.url)) == "VendorError"


def test_nothing_goes_on_if_a_proxy_never_ends_its_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run gives up on the tunnel, and the thread that waits for it ends, too."""
    process = world.process(TOKEN_URL="https://vendor.example/token", **IMPATIENT)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RawServer(endless(b"HTTP/1.1 502 Ba", b"d"), pause_seconds=0.02) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        before = threads_of_runs()
        assert run(world, process=process) == "VendorUnreachable"
        assert_ends_soon(lambda: threads_of_runs() - before)
