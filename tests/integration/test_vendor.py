"""The vendor's emulator keeps the vendor's rules, and fails in each way that a test scripts."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote_plus, urlencode, urlsplit

import pytest
import requests

from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.token_endpoint import OMITTED, Vendor

NOW = 1_700_000_000
INTERVAL = 72_000
LIFETIME = 86_400
FOREVER = 80_000.0
CLIENTS = {"client-a": "secret-a-canary", "client-b": "secret-b-canary"}
LIMIT_MESSAGE = "Client tango-client client-a has exceeded the daily rate limit"


@pytest.fixture
def clock() -> Clock:
    return Clock(start=NOW)


@pytest.fixture
def vendor(clock: Clock) -> Iterator[Vendor]:
    with Vendor(clock, CLIENTS) as running:
        yield running


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # requests to loopback must not use the machine's proxy
        yield session


def form_of(client_id: str = "client-a") -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": CLIENTS.get(client_id, "?"),
        "audience": "https://api.tangocard.com/",
        "scope": "raas.all",
    }


def ask(http: requests.Session, vendor: Vendor, client_id: str = "client-a", **changes: str) -> requests.Response:
    form = form_of(client_id) | changes
    return http.post(vendor.token_url, data=form, allow_redirects=False, timeout=10)


def call(http: requests.Session, vendor: Vendor, token: str) -> requests.Response:
    return http.get(vendor.api_url, headers={"Authorization": f"Bearer {token}"}, timeout=10)


def steer(http: requests.Session, vendor: Vendor, document: object) -> requests.Response:
    return http.post(f"{vendor.url}/_emulator", json=document, timeout=10)


def connect(vendor: Vendor) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(vendor.url).port or 0), timeout=10)


# The token endpoint


def test_issues_a_token_and_records_it(vendor: Vendor, http: requests.Session) -> None:
    """A good request gets a bearer token; the records have it with its times."""
    answer = ask(http, vendor)
    token = answer.json()["access_token"]
    assert answer.status_code == 200
    assert answer.json() == {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": LIFETIME,
        "scope": "raas.all",
    }
    [issued] = vendor.issued
    [request] = vendor.requests
    assert issued.client_id == "client-a"
    assert issued.token == token
    assert issued.at == NOW
    assert issued.expires_at == NOW + LIFETIME
    assert request.at == NOW
    assert request.client_id == "client-a"
    assert request.status == 200
    assert request.issued is True
    assert request.error is None
    assert request.fault is None


def test_a_jwt_says_whose_it_is_and_when_it_ends(vendor: Vendor, http: requests.Session) -> None:
    """A token has the shape of a JWT whose claims are the client and the emulator's times."""
    header, payload, signature = ask(http, vendor).json()["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"]
    assert claims["sub"] == "client-a"
    assert claims["iat"] == NOW
    assert claims["exp"] == NOW + LIFETIME
    assert len(signature) > 40


def test_opaque_tokens_have_no_parts(clock: Clock, http: requests.Session) -> None:
    """With `token_format` opaque a token is only random text, and works in the same way."""
    with Vendor(clock, CLIENTS, token_format="opaque") as vendor:
        token = ask(http, vendor).json()["access_token"]
        assert "." not in token
        assert len(token) > 40
        assert call(http, vendor, token).status_code == 200


def test_accepts_basic_credentials(clock: Clock, http: requests.Session) -> None:
    """HTTP Basic works as in RFC 6749 section 2.3.1, its two parts form-encoded."""
    client_id = "id:with/odd chars"
    secret = "se+cret:%&ü"
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    basic = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    with Vendor(clock, {client_id: secret}) as vendor:
        form = {"grant_type": "client_credentials"}
        assert http.post(vendor.token_url, data=form, headers=basic, timeout=10).status_code == 200
        assert vendor.requests[0].client_id == client_id


@pytest.mark.parametrize("value", ["Basic !!!", "Basic " + base64.b64encode(b"secret-a-canary").decode()])
def test_a_malformed_basic_header_is_an_unknown_client(vendor: Vendor, http: requests.Session, value: str) -> None:
    """Credentials that can't be read are refused, and no part of them is recorded as a client id."""
    form = {"grant_type": "client_credentials"}
    answer = http.post(vendor.token_url, data=form, headers={"Authorization": value}, timeout=10)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert vendor.requests[0].client_id is None


def test_audience_and_scope_may_be_missing(vendor: Vendor, http: requests.Session) -> None:
    """A request without audience and with an empty scope gets a token of the default scope."""
    form = form_of() | {"scope": ""}
    del form["audience"]
    answer = http.post(vendor.token_url, data=form, timeout=10)
    assert answer.status_code == 200
    assert answer.json()["scope"] == "raas.all"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
    ],
)
def test_refuses_what_is_wrong(
    vendor: Vendor, http: requests.Session, changes: dict[str, str], status: int, error: str
) -> None:
    """Wrong credentials get 401, a wrong grant 400, and neither spends the slot."""
    answer = ask(http, vendor, **changes)
    assert answer.status_code == status
    assert answer.json()["error"] == error
    [request] = vendor.requests
    assert request.status == status
    assert request.issued is False
    assert request.error == error
    assert ask(http, vendor).status_code == 200


def test_wants_a_form(vendor: Vendor, http: requests.Session) -> None:
    """A body that is not a form gets 415 with a JSON error."""
    answer = http.post(vendor.token_url, json={"grant_type": "client_credentials"}, timeout=10)
    assert answer.status_code == 415
    assert answer.json()["error"] == "unsupported_media_type"


def test_refuses_a_repeated_parameter(vendor: Vendor, http: requests.Session) -> None:
    """Two values of a parameter, or a secret in the form next to HTTP Basic, are an invalid request (RFC 6749)."""
    form = [("grant_type", "client_credentials")] * 2
    twice = http.post(vendor.token_url, data=form, timeout=10)
    both = http.post(vendor.token_url, data={"client_secret": "x"}, auth=("client-a", CLIENTS["client-a"]), timeout=10)
    assert [answer.json()["error"] for answer in (twice, both)] == ["invalid_request"] * 2


@pytest.mark.parametrize("value", [0, 2_592_000, "86400", None, True, -1, 86_400.5, [1]])
def test_reports_any_expires_in(vendor: Vendor, http: requests.Session, value: object) -> None:
    """`report_expires_in` is sent unchanged, and does not change the token's life."""
    vendor.report_expires_in = value
    assert ask(http, vendor).json()["expires_in"] == value
    assert vendor.issued[0].expires_at == NOW + LIFETIME


def test_leaves_expires_in_out(vendor: Vendor, http: requests.Session) -> None:
    """OMITTED leaves the key out of the answer."""
    vendor.report_expires_in = OMITTED
    assert "expires_in" not in ask(http, vendor).json()


# The rate limit


def test_one_token_per_interval(vendor: Vendor, clock: Clock, http: requests.Session) -> None:
    """The limit refuses with the vendor's words until the interval is over, to the second."""
    assert ask(http, vendor).status_code == 200
    clock.advance(INTERVAL - 1)
    answer = ask(http, vendor)
    assert answer.status_code == 400
    assert answer.json() == {"error": "access_denied", "error_description": LIMIT_MESSAGE}
    assert vendor.requests[-1].error == "rate_limited"
    clock.advance(1)
    assert ask(http, vendor).status_code == 200


def test_each_client_has_its_own_limit(vendor: Vendor, http: requests.Session) -> None:
    """A client's limit does not affect the other client."""
    assert [ask(http, vendor, client).status_code for client in CLIENTS] == [200, 200]


@pytest.mark.parametrize(("extends", "status"), [(False, 200), (True, 400)])
def test_two_readings_of_the_limit(clock: Clock, http: requests.Session, extends: bool, status: int) -> None:
    """A refused request changes nothing under one reading, and restarts the interval under the other."""
    with Vendor(clock, CLIENTS, refusals_extend=extends) as vendor:
        ask(http, vendor)
        clock.advance(INTERVAL - 1)
        assert ask(http, vendor).status_code == 400
        clock.advance(1)
        assert ask(http, vendor).status_code == status
        clock.advance(INTERVAL)
        assert ask(http, vendor).status_code == 200


def test_a_wrong_secret_does_not_extend_the_interval(clock: Clock, http: requests.Session) -> None:
    """Only a refusal for the limit itself restarts the interval."""
    with Vendor(clock, CLIENTS, refusals_extend=True) as vendor:
        ask(http, vendor)
        clock.advance(INTERVAL - 1)
        assert ask(http, vendor, client_secret="wrong").status_code == 401
        clock.advance(1)
        assert ask(http, vendor).status_code == 200


def test_interval_zero_is_no_limit(clock: Clock, http: requests.Session) -> None:
    """An interval of zero seconds means that the vendor has no limit."""
    with Vendor(clock, CLIENTS, interval=0) as vendor:
        assert [ask(http, vendor).status_code for _ in range(3)] == [200] * 3


def test_support_resets_the_limit(vendor: Vendor, http: requests.Session) -> None:
    """After `reset_limit` the client gets another token at once."""
    ask(http, vendor)
    vendor.reset_limit("client-a")
    assert ask(http, vendor).status_code == 200


def test_a_crowd_gets_one_token(vendor: Vendor) -> None:
    """Of many requests at the same moment exactly one gets a token; the records show how many came together."""
    together = threading.Barrier(16)

    def meet(moment: str) -> None:
        if moment == "received":
            together.wait(10)

    vendor.on_request = meet

    def one(_: int) -> int:
        with requests.Session() as session:
            session.trust_env = False
            return ask(session, vendor).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(one, range(16)))
    assert statuses == [200] + [400] * 15
    assert vendor.most_in_flight == 16


def test_requests_in_turn_do_not_meet(vendor: Vendor, http: requests.Session) -> None:
    """`most_in_flight` stays 1 if a client waits for each answer, however soon it asks again."""
    http.headers["Connection"] = "close"  # each request in a server thread of its own, or none could meet
    for _ in range(200):
        ask(http, vendor)
    assert vendor.most_in_flight == 1


# Clients, and the API


def test_the_api_accepts_a_token_until_it_expires(vendor: Vendor, clock: Clock, http: requests.Session) -> None:
    """A token works to the last second of its lifetime, and no longer."""
    token = ask(http, vendor).json()["access_token"]
    clock.advance(LIFETIME - 1)
    good = call(http, vendor, token)
    assert good.status_code == 200
    assert isinstance(good.json(), list)
    clock.advance(1)
    late = call(http, vendor, token)
    assert late.status_code == 401
    assert late.headers["WWW-Authenticate"].startswith("Bearer")
    assert vendor.api_calls == [(NOW + LIFETIME - 1, 200), (NOW + LIFETIME, 401)]


def test_the_api_refuses_anything_but_a_token(vendor: Vendor, http: requests.Session) -> None:
    """No token, an unknown one or another scheme gets 401."""
    token = ask(http, vendor).json()["access_token"]
    headers = [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": f"Basic {token}"}]
    assert [http.get(vendor.api_url, headers=sent, timeout=10).status_code for sent in headers] == [401] * 3


def test_deactivation_kills_tokens_at_once(vendor: Vendor, http: requests.Session) -> None:
    """A deactivated client gets no token and its tokens stop working; the other client's go on."""
    tokens = [ask(http, vendor, client).json()["access_token"] for client in CLIENTS]
    vendor.deactivate("client-a")
    vendor.reset_limit("client-a")
    assert [call(http, vendor, token).status_code for token in tokens] == [401, 200]
    assert ask(http, vendor).json()["error"] == "invalid_client"


def test_deactivation_cannot_be_undone(vendor: Vendor) -> None:
    """A deactivated client's id can't be added again."""
    vendor.deactivate("client-a")
    with pytest.raises(ValueError, match="client-a"):
        vendor.add_client("client-a", "another secret")


def test_at_most_two_clients_are_active(vendor: Vendor, http: requests.Session) -> None:
    """A third client can be added only after one of the two is deactivated."""
    with pytest.raises(ValueError, match="at most 2"):
        vendor.add_client("client-c", "secret-c")
    vendor.deactivate("client-a")
    vendor.add_client("client-c", "secret-c")
    assert ask(http, vendor, "client-c", client_secret="secret-c").status_code == 200


def test_unknown_clients_are_an_error(vendor: Vendor) -> None:
    """A mistyped id is reported, not ignored."""
    for change in (vendor.deactivate, vendor.reset_limit):
        with pytest.raises(ValueError, match="nobody"):
            change("nobody")


# HTTP


def test_unknown_paths_and_methods(vendor: Vendor, http: requests.Session) -> None:
    """Any other path is 404, another method of a known path 405 with Allow."""
    assert http.get(f"{vendor.url}/oauth", timeout=10).status_code == 404
    assert http.delete(f"{vendor.url}/", timeout=10).status_code == 404
    for method, url in (("GET", vendor.token_url), ("POST", vendor.api_url), ("HEAD", vendor.api_url)):
        answer = http.request(method, url, timeout=10)
        assert answer.status_code == 405
        assert answer.headers["Allow"] == ("POST" if url == vendor.token_url else "GET")
    assert http.put(f"{vendor.url}/_emulator", timeout=10).headers["Allow"] == "GET, POST"
    assert vendor.requests == []


def test_an_answer_to_head_has_no_body(vendor: Vendor) -> None:
    """A 405 for HEAD has only headers, since a client would take a body for the next answer."""
    with connect(vendor) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"HEAD /raas/v2/customers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.read().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("header", ["Transfer-Encoding: chunked", "Content-Length: 9999999", "Content-Length: x"])
def test_a_body_of_unknown_length_is_refused(vendor: Vendor, header: str) -> None:
    """A body that can't be read as a whole gets 400, and the connection ends."""
    with connect(vendor) as connection:
        connection.sendall(f"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            assert b" 400 " in answer.read().splitlines()[0]


def test_a_request_cut_short_is_no_request(vendor: Vendor) -> None:
    """A request that never arrives whole is neither handled nor recorded."""
    with connect(vendor) as connection:
        connection.sendall(b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ngrant_type")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1000) == b""
    assert vendor.requests == []


def test_a_connection_is_kept_alive(vendor: Vendor) -> None:
    """HTTP/1.1: the connection serves the next request, unless a fault ends it."""
    with connect(vendor) as connection, connection.makefile("rb") as answers:
        for _ in range(2):
            connection.sendall(b"GET /raas/v2/customers HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = list(iter(lambda: answers.readline().strip(), b""))
            [length] = [int(line.split()[1]) for line in head if line.startswith(b"Content-Length")]
            assert answers.read(length).startswith(b"{")


def test_writes_no_log(vendor: Vendor, http: requests.Session, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing of a request is printed, even if the request is broken or its client has left."""
    vendor.script(Fault.cut(issues=True))
    with pytest.raises(requests.ConnectionError):
        ask(http, vendor)
    ask(http, vendor)
    with connect(vendor) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"nonsense\r\n\r\n")
        answer.read()
    vendor.stop()
    assert capfd.readouterr() == ("", "")


def test_nothing_shows_a_secret(vendor: Vendor, http: requests.Session) -> None:
    """Neither records nor the emulator's state repeat a secret or a token."""
    token = ask(http, vendor).json()["access_token"]
    shown = [repr(vendor), repr(vars(vendor)), http.get(f"{vendor.url}/_emulator", timeout=10).text]
    for text in shown:
        assert "canary" not in text
        assert token not in text


# Faults


def test_late_issues_first_and_answers_later(vendor: Vendor, http: requests.Session) -> None:
    """A late answer is the normal one, and takes at least as long as it was told to."""
    vendor.script(Fault.late(0.05))
    answer = ask(http, vendor)
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.05
    assert vendor.requests[0].fault == "late"


def test_a_client_may_leave_before_a_late_answer(vendor: Vendor, http: requests.Session) -> None:
    """The token is issued even if the client's timeout ends first."""
    vendor.script(Fault.late(FOREVER))
    with pytest.raises(requests.ReadTimeout):
        http.post(vendor.token_url, data=form_of(), timeout=0.2)
    assert len(vendor.issued) == 1


def test_any_fault_can_be_late(vendor: Vendor, http: requests.Session) -> None:
    """Every fault can have a delay, also a cut without a reset."""
    vendor.script(replace(Fault.answer(503), delay=0.03), replace(Fault.cut(issues=False, reset=False), delay=0.03))
    assert ask(http, vendor).elapsed.total_seconds() >= 0.03
    with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
        ask(http, vendor)


@pytest.mark.parametrize("issues", [False, True])
@pytest.mark.parametrize(("reset", "error"), [(True, "ConnectionResetError"), (False, "RemoteDisconnected")])
def test_a_cut_connection(vendor: Vendor, http: requests.Session, issues: bool, reset: bool, error: str) -> None:
    """A reset or a close without an answer spends the slot only if the token was issued before it."""
    vendor.script(Fault.cut(issues=issues, reset=reset))
    with pytest.raises(requests.ConnectionError, match=error):
        ask(http, vendor)
    [request] = vendor.requests
    assert request.status == 0
    assert request.issued == issues
    assert request.fault == "cut"
    assert ask(http, vendor).status_code == (400 if issues else 200)


@pytest.mark.parametrize("issues", [False, True])
def test_a_server_error_may_spend_the_slot(vendor: Vendor, http: requests.Session, issues: bool) -> None:
    """A 5xx with an HTML page and Retry-After comes from a gateway, before or after a token was issued."""
    headers = {"content-type": "text/html", "retry-after": 30}
    vendor.script(Fault.answer(503, "<h1>down</h1>", issues=issues, headers=headers))
    answer = ask(http, vendor)
    assert answer.status_code == 503
    assert answer.text == "<h1>down</h1>"
    assert answer.headers["Retry-After"] == "30"
    assert answer.headers["Content-Type"] == "text/html"
    assert vendor.requests[0].status == 503
    assert vendor.requests[0].issued == issues
    assert ask(http, vendor).status_code == (400 if issues else 200)


@pytest.mark.parametrize(("headers", "expected"), [({"Retry-After": 60}, "60"), (None, None)])
def test_429(vendor: Vendor, http: requests.Session, headers: dict[str, object] | None, expected: str | None) -> None:
    """A 429 comes with or without Retry-After."""
    vendor.script(Fault.answer(429, {"error": "slow_down"}, headers=headers))
    answer = ask(http, vendor)
    assert answer.status_code == 429
    assert answer.json() == {"error": "slow_down"}
    assert answer.headers.get("Retry-After") == expected


@pytest.mark.parametrize("status", [302, 307])
def test_redirects(vendor: Vendor, http: requests.Session, status: int) -> None:
    """A redirect has its Location and no body."""
    vendor.script(Fault.answer(status, headers={"Location": "http://127.0.0.1:9/elsewhere"}))
    answer = ask(http, vendor)
    assert answer.status_code == status
    assert answer.headers["Location"] == "http://127.0.0.1:9/elsewhere"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<html>200</html>", b"<html>200</html>"),
        ("", b""),
        ("{not json", b"{not json"),
        (b"\xff\x00", b"\xff\x00"),
        ("x" * 2_000_000, b"x" * 2_000_000),
        ([1, 2], b"[1, 2]"),
    ],
    ids=["html", "empty", "invalid JSON", "bytes", "huge", "JSON"],
)
def test_raw_bodies(vendor: Vendor, http: requests.Session, body: object, expected: bytes) -> None:
    """A 200 can have any body, also without a content type."""
    vendor.script(Fault.answer(200, body, headers={"Content-Type": None}))
    answer = ask(http, vendor)
    assert answer.status_code == 200
    assert answer.content == expected
    assert "Content-Type" not in answer.headers


def test_a_gzip_bomb(vendor: Vendor, http: requests.Session) -> None:
    """A few kilobytes unpack to the size that the fault was given."""
    vendor.script(Fault.gzip_bomb(5_000_000))
    answer = http.post(vendor.token_url, data=form_of(), stream=True, timeout=10)
    packed = answer.raw.read(decode_content=False)
    assert len(packed) < 10_000
    assert len(gzip.decompress(packed)) == 5_000_000
    assert vendor.requests[0].fault == "gzip_bomb"


def test_a_body_that_is_not_the_gzip_it_claims(vendor: Vendor, http: requests.Session) -> None:
    """The Content-Encoding may be wrong."""
    vendor.script(Fault.answer(200, b"garbage", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(requests.exceptions.ContentDecodingError):
        ask(http, vendor)


@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_truncated_answer(vendor: Vendor, http: requests.Session, keep: float) -> None:
    """The token is issued, and less of the answer arrives than its Content-Length says."""
    vendor.script(Fault.truncated(keep))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        ask(http, vendor)
    assert vendor.requests[0].issued
    assert ask(http, vendor).status_code == 400


@pytest.mark.parametrize("headers", [False, True])
def test_a_slow_drip_arrives_whole(vendor: Vendor, http: requests.Session, headers: bool) -> None:
    """An answer that is sent byte by byte is complete in the end."""
    vendor.script(Fault.drip(0.0001, headers=headers))
    assert ask(http, vendor).json()["access_token"] == vendor.issued[0].token


@pytest.mark.parametrize(("headers", "expected"), [(False, b"\r\n\r\n"), (True, b"H")])
def test_a_drip_sends_a_byte_at_a_time(vendor: Vendor, headers: bool, expected: bytes) -> None:
    """The body alone drips, or the head too. No byte arrives before its time."""
    vendor.script(Fault.drip(FOREVER, headers=headers))
    form = urlencode(form_of())
    head = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}"
    with connect(vendor) as connection:
        connection.sendall(f"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n{form}".encode())
        assert connection.recv(65536).endswith(expected)
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(65536)
    assert vendor.requests[0].issued


def test_the_success_json_can_be_edited(vendor: Vendor, http: requests.Session) -> None:
    """An edit merges values over the normal answer, drops them, or is a function of the answer."""
    vendor.interval = 0
    vendor.script(
        Fault.edited({"token_type": "mac", "scope": OMITTED}),
        Fault.edited(lambda answer: answer | {"access_token": answer["access_token"] + "\n\0"}),
        Fault.edited(lambda _: ["no object"]),
    )
    merged, made, other = (ask(http, vendor).json() for _ in range(3))
    assert merged["token_type"] == "mac"
    assert "scope" not in merged
    assert made["access_token"] == vendor.issued[1].token + "\n\0"
    assert other == ["no object"]
    assert all(request.issued for request in vendor.requests)


def test_refusals_go_before_edits(vendor: Vendor, http: requests.Session) -> None:
    """A fault that edits the success leaves a refusal as it is."""
    vendor.script(Fault.edited({"token_type": "mac"}))
    assert ask(http, vendor, client_secret="wrong").json()["error"] == "invalid_client"


def test_a_refusal_can_be_covered(vendor: Vendor, http: requests.Session) -> None:
    """A fault behind the vendor hides a refusal from the client; the records show it, and nothing is issued."""
    ask(http, vendor)
    vendor.script(Fault.answer(502, issues=True))
    assert ask(http, vendor).status_code == 502
    assert vendor.requests[1].issued is False
    assert vendor.requests[1].error == "rate_limited"


def test_scripted_faults_go_before_an_outage(vendor: Vendor, http: requests.Session) -> None:
    """Scripted faults come first, once each and in order; then the outage, until it ends."""
    vendor.outage = Fault.answer(503)
    vendor.script(Fault.answer(500), Fault.answer(501))
    assert [ask(http, vendor).status_code for _ in range(4)] == [500, 501, 503, 503]
    vendor.outage = None
    assert ask(http, vendor).status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault.late(-1),
        lambda: Fault.late(1e9),
        lambda: Fault.truncated(1.5),
        lambda: Fault.answer(99),
        lambda: Fault.gzip_bomb(2**40),
    ],
)
def test_impossible_faults_are_refused(make: Callable[[], Fault]) -> None:
    """A fault with a value out of range fails when it is made, not later in the server."""
    with pytest.raises(ValueError, match="from"):
        make()


# Hooks, and the end


def test_hooks_see_each_moment(vendor: Vendor, http: requests.Session) -> None:
    """A request is `received` before the vendor acts, and a token `issued` before its answer leaves."""
    moments: list[tuple[str, int]] = []
    vendor.on_request = lambda moment: moments.append((moment, len(vendor.issued)))
    ask(http, vendor)
    ask(http, vendor)
    assert moments == [("received", 0), ("issued", 1), ("received", 1)]


@pytest.mark.parametrize("fault", [Fault.late(FOREVER), Fault.drip(FOREVER), Fault.drip(FOREVER, headers=True)])
def test_stop_ends_a_wait(clock: Clock, fault: Fault) -> None:
    """`stop` returns at once in the middle of a fault; its client gets an error, and no thread remains."""
    before = set(threading.enumerate())
    issued = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        vendor = Vendor(clock, CLIENTS).start()
        vendor.script(fault)
        vendor.on_request = lambda moment: issued.set() if moment == "issued" else None
        with requests.Session() as session:
            session.trust_env = False
            answer = pool.submit(ask, session, vendor)
            assert issued.wait(10)
            vendor.stop()
            with pytest.raises(requests.RequestException):
                answer.result(10)
    assert set(threading.enumerate()) == before


def test_stop_ends_idle_connections(vendor: Vendor) -> None:
    """`stop` does not wait for an idle connection or for the rest of a request."""
    with connect(vendor) as half, connect(vendor) as idle:  # in this order: an answered one shows both accepted
        half.sendall(b"POST /oauth/token HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        idle.sendall(b"GET /raas/v2/customers HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(65536)
        vendor.stop()
        assert [idle.recv(1000), half.recv(1000)] == [b"", b""]


def test_stop_and_start_keep_the_state(vendor: Vendor, http: requests.Session) -> None:
    """A stopped vendor refuses connections. After a new start it has the same address, tokens and limits."""
    token = ask(http, vendor).json()["access_token"]
    url = vendor.url
    vendor.stop()
    vendor.stop()
    with pytest.raises(requests.ConnectionError, match="refused"):
        ask(http, vendor)
    vendor.start().start()
    assert vendor.url == url
    assert call(http, vendor, token).status_code == 200
    assert ask(http, vendor).status_code == 400


def test_a_hook_may_stop_the_vendor(vendor: Vendor, http: requests.Session) -> None:
    """The vendor can go down between issuing a token and answering."""
    vendor.on_request = lambda moment: vendor.stop() if moment == "issued" else None
    with pytest.raises(requests.ConnectionError):
        ask(http, vendor)
    assert len(vendor.issued) == 1


# The control plane


def test_shows_the_state(vendor: Vendor, http: requests.Session) -> None:
    """`GET /_emulator` shows what the emulator knows."""
    ask(http, vendor)
    vendor.deactivate("client-b")
    vendor.script(Fault.late(1))
    assert http.get(f"{vendor.url}/_emulator", timeout=10).json() == {
        "clock": NOW,
        "clients": {
            "client-a": {"active": True, "limit_clears_at": NOW + INTERVAL},
            "client-b": {"active": False, "limit_clears_at": None},
        },
        "requests": 1,
        "issued": 1,
        "most_in_flight": 1,
        "script": ["late"],
        "outage": None,
    }


def test_steers_the_clock_and_the_clients(vendor: Vendor, clock: Clock, http: requests.Session) -> None:
    """`POST /_emulator` moves the clock, resets a limit and deactivates, and answers with the new state."""
    ask(http, vendor)
    state = steer(http, vendor, {"advance": 60, "reset_limit": "client-a", "deactivate": "client-b"}).json()
    assert clock.now() == state["clock"] == NOW + 60
    assert state["clients"]["client-b"]["active"] is False
    assert ask(http, vendor).status_code == 200


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"name": "answer", "status": 503, "issues": True, "headers": {"Retry-After": 5}}, 503),
        ({"name": "answer", "status": 500, "body": {"error": "x"}, "delay": 0.01}, 500),
        ({"name": "late", "seconds": 0.01}, 200),
        ({"name": "gzip_bomb", "size": 1000}, 200),
        ({"name": "drip", "seconds": 0.0001, "headers": True}, 200),
        ({"name": "edited", "changes": {"expires_in": 0}}, 200),
    ],
)
def test_steers_faults(vendor: Vendor, http: requests.Session, document: dict[str, object], status: int) -> None:
    """A fault in JSON has the name and the arguments of a constructor."""
    assert steer(http, vendor, {"fault": document}).json()["script"] == [document["name"]]
    assert ask(http, vendor).status_code == status


def test_steers_cuts(vendor: Vendor, http: requests.Session) -> None:
    """Cut and truncated answers can be asked for in JSON too."""
    for document in ({"name": "cut", "issues": False}, {"name": "truncated", "keep": 0.1}):
        steer(http, vendor, {"fault": document})
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            ask(http, vendor)
    assert [request.issued for request in vendor.requests] == [False, True]


def test_steers_an_outage(vendor: Vendor, http: requests.Session) -> None:
    """An outage lasts until null ends it."""
    assert steer(http, vendor, {"outage": {"name": "answer", "status": 502}}).json()["outage"] == "answer"
    assert [ask(http, vendor).status_code for _ in range(2)] == [502, 502]
    assert steer(http, vendor, {"outage": None}).json()["outage"] is None
    assert ask(http, vendor).status_code == 200


def test_clears_the_faults_that_wait(vendor: Vendor, http: requests.Session) -> None:
    """Several faults wait in a queue. `clear_faults` empties it, and does not end an outage."""
    for name in ("late", "drip"):
        steer(http, vendor, {"fault": {"name": name, "seconds": 1}})
    state = steer(http, vendor, {"outage": {"name": "answer", "status": 502}}).json()
    assert state["script"] == ["late", "drip"]
    state = steer(http, vendor, {"clear_faults": True}).json()
    assert state["script"] == []
    assert state["outage"] == "answer"
    assert ask(http, vendor).status_code == 502


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"name": "late"}, "seconds is missing: late needs seconds, and may have delay"),
        ({"name": "cut"}, "issues is missing: cut needs issues, and may have reset, delay"),
        ({"name": "gzip_bomb", "bytes": 5}, "unknown argument 'bytes': gzip_bomb needs nothing, and may have size, "),
        (
            {"name": "answer", "status": 500, "cls": 1},
            "unknown argument 'cls': answer needs status, and may have body, issues, headers, delay",
        ),
    ],
)
def test_names_the_arguments_of_a_fault(
    vendor: Vendor, http: requests.Session, fault: dict[str, object], message: str
) -> None:
    """If an argument is missing or unknown, the message says which ones the fault has."""
    description = steer(http, vendor, {"fault": fault}).json()["error_description"]
    assert description.startswith(message)


def test_answers_of_the_control_end_with_a_newline(vendor: Vendor, http: requests.Session) -> None:
    """In a terminal the prompt comes on a line of its own."""
    assert http.get(f"{vendor.url}/_emulator", timeout=10).text.endswith("}\n")
    assert steer(http, vendor, {"advance": 0}).text.endswith("}\n")
    assert steer(http, vendor, {"advanse": 0}).text.endswith("}\n")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "object"),
        ({"advanse": 1}, "advanse"),
        ({"advance": "1"}, "advance"),
        ({"advance": True}, "advance"),
        ({"advance": -1}, "advance"),
        ({"advance": float("inf")}, "advance"),
        ({"deactivate": "nobody"}, "nobody"),
        ({"reset_limit": ["client-a"]}, "client-a"),
        ({"clear_faults": False}, "clear_faults"),
        ({"fault": None}, "name is one of"),
        ({"fault": {"name": "parse"}}, "name is one of"),
        ({"fault": {"name": ["late"]}}, "name is one of"),
        ({"fault": {"name": "late"}}, "seconds"),
        ({"fault": {"name": "late", "seconds": "1"}}, "seconds"),
        ({"fault": {"name": "late", "seconds": 1, "delay": -1}}, "delay"),
        ({"fault": {"name": "cut", "issues": "yes"}}, "issues"),
        ({"fault": {"name": "answer", "status": "200"}}, "status"),
        ({"fault": {"name": "answer", "status": 200, "headers": ["x"]}}, "headers"),
        ({"fault": {"name": "answer", "status": 200, "colour": "red"}}, "colour"),
        ({"fault": {"name": "gzip_bomb", "size": "big"}}, "size"),
        ({"fault": {"name": "truncated", "keep": 2}}, "keep"),
        ({"fault": {"name": "edited", "changes": "x"}}, "changes"),
        ({"outage": "answer"}, "name is one of"),
    ],
)
def test_refuses_to_be_steered_wrongly(
    vendor: Vendor, clock: Clock, http: requests.Session, document: object, message: str
) -> None:
    """Bad input gets 400 with a message that names the mistake, and nothing of it is done."""
    if isinstance(document, dict):
        document = {"advance": 5, "outage": {"name": "answer", "status": 500}} | document
    answer = http.post(f"{vendor.url}/_emulator", data=json.dumps(document), timeout=10)
    assert answer.status_code == 400
    assert message in answer.json()["error_description"]
    assert clock.now() == NOW
    assert vendor.outage is None
    assert vendor.describe()["script"] == []


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_refuses_what_is_not_json(vendor: Vendor, http: requests.Session, body: bytes) -> None:
    """A body that is not JSON gets 400 too, and the message says so."""
    answer = http.post(f"{vendor.url}/_emulator", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error_description"] == "the body is not JSON"
