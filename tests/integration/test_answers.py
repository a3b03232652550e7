"""What each answer of the vendor means: the error, whether a retry can help, and what the ledger says afterwards."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from handler import http_exchange
from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    RequestRefused,
    VendorError,
    VendorUnreachable,
)
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.token_endpoint import OMITTED
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    DAY,
    DOWN,
    HOUR,
    INTERVAL,
    LIMIT_MESSAGE,
    LIMITED,
    MINUTE,
    REFUSED,
    acquire_token,
    asked_slot,
    asked_with,
    ledger,
    now,
    slot,
    slot_of,
    world_with_vendor,
    write_ledger,
)
from tests.integration.traffic import metrics, record_traffic

# Sockets wait in real seconds, so the tests of a silent vendor wait for one second.
IMPATIENT = {"ACQUIRE_TIMEOUT_SECONDS": "1", "WRITE_RESERVE_SECONDS": "5"}
GZIP = {"Content-Encoding": "gzip"}
HTML = {"Content-Type": "text/html"}


def assert_run_fails(
    world: World, error: type[RefreshError], *faults: Fault, retryable: bool = False, settings: Mapping[str, str] = {}
) -> None:
    """Run with these faults; the run must fail with this error."""
    world.vendor.script(*faults)
    with pytest.raises(RefreshError) as caught:
        world.invoke(process=world.process(**settings))
    assert caught.type == error
    assert caught.value.retryable == retryable


def assert_failed(world: World, error: str, *, pause: int = 0, reason: str | None = None, **slot: Any) -> None:
    """Assert that the ledger has no lock, and one slot, of client-blue, which says that its last acquire failed."""
    not_before = now(world) + pause if reason else 0
    failed: dict[str, Any] = {"failures": 1, "error": error} | slot
    expected = asked_slot(not_before, reason, **failed)
    assert ledger(world)["lock"] is None
    assert ledger(world)["slots"] == {BLUE: expected}


def answer(status: int, body: object = b"", **headers: str | None) -> Fault:
    """Return this answer of the vendor; `Retry_After` stands for the header Retry-After, and so on."""
    named_headers = {name.replace("_", "-"): text for name, text in headers.items()}
    return Fault.answer(status, body, headers=named_headers)


# The rate limit

LIMIT_BODIES: list[object] = [
    {"error": "access_denied", "error_description": LIMIT_MESSAGE},
    {"message": LIMIT_MESSAGE},
    {"errors": [{"detail": LIMIT_MESSAGE.upper()}]},
    [LIMIT_MESSAGE],
    LIMIT_MESSAGE,
    f"<html><body>{LIMIT_MESSAGE}.</body></html>",
    LIMIT_MESSAGE.encode() + b"\xff",
]


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize("body", LIMIT_BODIES, ids=repr)
def test_rate_limit_is_recognised_in_any_body(world: World, status: int, body: object) -> None:
    """The vendor's message means the rate limit in any form. It is a failure of this client."""
    write_ledger(world, slots={BLUE: slot(failures=1)})
    assert_run_fails(world, RateLimited, Fault.answer(status, body))
    assert_failed(world, "RateLimited", pause=15 * MINUTE, reason="rate_limited", suspicions=1, failures=2)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "RateLimited": 1}


def test_rate_limit_of_the_vendor_itself_is_recognised(world: World) -> None:
    """The emulated vendor refuses a second token with the words of the real vendor's guide."""
    acquire_token(world)
    with record_traffic(world) as traffic:
        world.invoke({"action": "refresh", "force": True, "override_limit": True})
    assert [request.error for request in traffic.vendor] == ["rate_limited"]
    assert metrics(world)["RateLimited"] == 1


def test_rate_limit_after_a_suspicion_closes_the_slot_for_the_whole_interval(world: World) -> None:
    """The refusal is explained if a token may have been granted in a lost answer."""
    write_ledger(world, slots={BLUE: slot(suspicions=1)})
    assert_run_fails(world, RateLimited, LIMITED)
    assert_failed(world, "RateLimited", pause=INTERVAL, reason="rate_limited", suspicions=2)


def test_second_unexplained_rate_limit_counts_as_explained(world: World) -> None:
    """The first refusal is itself a suspicion: the second one closes the slot for the whole interval."""
    assert_run_fails(world, RateLimited, LIMITED)
    world.clock.advance(15 * MINUTE)
    assert_run_fails(world, RateLimited, LIMITED)
    assert_failed(world, "RateLimited", pause=INTERVAL, reason="rate_limited", suspicions=2, failures=2)


@pytest.mark.parametrize("body", [b"rate limit", {"error": "access_denied", "error_description": "daily rate limit"}])
def test_other_words_of_limits_are_no_rate_limit(world: World, body: object) -> None:
    """A slot is closed as rate limited only if the message says that the daily limit is exceeded."""
    world.vendor.script(Fault.answer(400, body))
    with pytest.raises((RequestRefused, CredentialsRefused)):
        world.invoke()


@pytest.mark.parametrize("status", [401, 404, 422, 429, 500, 503])
def test_rate_limit_is_said_with_any_4xx_or_5xx(world: World, status: int) -> None:
    """The same words mean the same with each of them."""
    assert_run_fails(world, RateLimited, Fault.answer(status, LIMIT_MESSAGE))
    assert_failed(world, "RateLimited", pause=15 * MINUTE, reason="rate_limited", suspicions=1)


def test_rate_limit_is_not_said_with_a_redirect(world: World) -> None:
    """A redirect is a mistake in TOKEN_URL, whatever it says."""
    assert_run_fails(world, RequestRefused, Fault.answer(302, LIMIT_MESSAGE))


# 401, and 400 and 403 with the codes of RFC 6749


@pytest.mark.parametrize(
    "refusal",
    [
        answer(401),
        answer(401, {"error": "something"}),
        answer(401, "<html>", Content_Type="text/html"),
        *(
            answer(status, {"error": error})
            for status in (400, 403)
            for error in (
                "invalid_client",
                "invalid_client_id",
                "unauthorized_client",
                "access_denied",
                "invalid_grant",
            )
        ),
    ],
)
def test_refused_credentials_close_the_slot_for_an_hour(world: World, refusal: Fault) -> None:
    """The ledger notes with what was asked. This is a failure, but nobody backs off for it."""
    write_ledger(world, slots={BLUE: slot(failures=2)})
    assert_run_fails(world, CredentialsRefused, refusal)
    asked = {"asked_at": now(world), "asked_with": asked_with(world)}
    assert_failed(world, "CredentialsRefused", pause=HOUR, reason="credentials_refused", failures=3, **asked)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "CredentialsRefused": 1}


@pytest.mark.parametrize("change", ["secret", "client"])
def test_wrong_credentials_are_refused_by_the_vendor_itself(world: World, change: str) -> None:
    """The emulated vendor refuses a mistyped secret and a deactivated client with 401."""
    if change == "secret":
        world.client_secrets[BLUE] = "mistyped-secret"
        world.put_credentials(BLUE)
    else:
        world.vendor.deactivate(BLUE)
    assert_run_fails(world, CredentialsRefused)
    assert slot_of(world)["reason"] == "credentials_refused"


# 429


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 15 * MINUTE),
        ("", 15 * MINUTE),
        ("soon", 15 * MINUTE),
        ("-5", 15 * MINUTE),
        ("120", 120),
        ("0", 0),
        ("3600", HOUR),
        ("7200", 2 * HOUR),
        ("86400", DAY),
        ("86401", DAY),
        ("9" * 99, DAY),
    ],
)
def test_too_many_requests_waits_as_long_as_the_vendor_says(
    world: World, retry_after: str | None, seconds: int
) -> None:
    """Retry-After counts up to a day; without a readable one the run waits for a quarter of an hour."""
    assert_run_fails(world, RateLimited, answer(429, Retry_After=retry_after))
    assert_failed(world, "RateLimited", pause=seconds, reason="rate_limited")


def test_nobody_asks_before_retry_after_is_over(world: World) -> None:
    """Until then a run fails without a request. After that a run refreshes."""
    assert_run_fails(world, RateLimited, answer(429, Retry_After="120"))
    world.clock.advance(119)
    with record_traffic(world) as traffic:
        assert_run_fails(world, RateLimited)
    assert traffic.vendor == []
    world.clock.advance(1)
    assert world.invoke()["outcome"] == "refreshed"


# Other answers without a token


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "refusal",
    [
        answer(400),
        *(
            answer(400, {"error": error})
            for error in ("invalid_request", "invalid_scope", "unsupported_grant_type", "?", 5, None)
        ),
        answer(400, "[" * 100_000),
        answer(403, "<html>Forbidden", Content_Type="text/html"),
        *(answer(status, {"error": "invalid_client"}) for status in (404, 405, 410, 422, 451)),
        *(answer(status, Location="https://elsewhere.example/") for status in (301, 302, 303, 307, 308)),
        answer(304),
    ],
)
def test_other_refusals_are_failures_that_a_retry_does_not_mend(world: World, refusal: Fault) -> None:
    """Any other 4xx and a redirect mean a wrong configuration, and that no token was issued."""
    assert_run_fails(world, RequestRefused, refusal)
    assert_failed(world, "RequestRefused")
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_server_errors_are_failures_and_suspicions(world: World, status: int) -> None:
    """A gateway may fail after the vendor behind it has issued a token."""
    assert_run_fails(world, VendorError, answer(status, "<html>", **HTML), retryable=True)
    assert_failed(world, "VendorError", suspicions=1)


@pytest.mark.parametrize(("retry_after", "seconds"), [("120", 120), ("3600", HOUR), ("3601", HOUR), ("9" * 99, HOUR)])
@pytest.mark.parametrize("status", [500, 503])
def test_server_error_may_say_when_to_come_back(world: World, status: int, retry_after: str, seconds: int) -> None:
    """Retry-After of a server error counts up to an hour (RFC 9110 section 10.2.3)."""
    assert_run_fails(world, VendorError, answer(status, Retry_After=retry_after), retryable=True)
    assert_failed(world, "VendorError", pause=seconds, reason="backing_off", suspicions=1)


def token_json(access_token: object, **more: object) -> str:
    return json.dumps({"access_token": access_token, "token_type": "Bearer", "expires_in": DAY} | more)


JUNK = ("null", '""', '" "', "5", "true", "[]", "{}")
NO_TOKEN = {
    "HTML": answer(200, "<html>Maintenance</html>", Content_Type="text/html"),
    "empty": answer(200),
    "204": answer(204),
    "201 without a token": answer(201, {}),
    "no object": answer(200, ["token"]),
    "no access_token": answer(200, {"token_type": "Bearer", "expires_in": DAY}),
    **{f"access_token {text}": answer(200, token_json(json.loads(text))) for text in JUNK},
    **{
        f"control character {character!r}": answer(200, token_json(f"ab{character}cd"))
        for character in ("\n", "\r\n", "\t", "\0", "\x7f", "\x1b", "ä")
    },
    "line break at the end": answer(200, token_json("abcd\n")),
    "nested": answer(200, "[" * 60_000),
    "nested in an object": answer(200, '{"a":' * 10_000),
    "huge": answer(200, token_json("abcd", padding="x" * 70_000)),
    "huge token": answer(200, token_json("x" * 64_000)),
    "gzip bomb": Fault.gzip_bomb(20_000_000),
    "garbage encoding": answer(200, b"no gzip at all", **GZIP),
    "broken gzip": answer(200, gzip.compress(b'{"access_token": "abcd"}')[:-15], **GZIP),
    "no UTF-8": answer(200, b'{"access_token": "\xff\xfe"}'),
}


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize("success", NO_TOKEN.values(), ids=NO_TOKEN)
def test_success_without_a_usable_token_is_a_failure_and_a_suspicion(world: World, success: Fault) -> None:
    """The vendor believes that it issued a token. A retry would meet the same, so the error is not retryable."""
    assert_run_fails(world, VendorError, success)
    assert_failed(world, "VendorError", suspicions=1)


@pytest.mark.parametrize("status", [200, 201])
def test_compressed_success_is_read(world: World, status: int) -> None:
    """A token in a gzip body is read, with any 2xx status."""
    world.vendor.script(answer(status, gzip.compress(token_json("compressed").encode()), **GZIP))
    world.invoke()
    assert world.token()["access_token"] == "compressed"


def test_answer_of_64_kibibytes_is_read_whole(world: World) -> None:
    """The limit counts decoded bytes, and an answer of exactly this size is within it."""
    body = token_json("abcd", padding="")
    world.vendor.script(answer(200, token_json("abcd", padding="x" * (65_536 - len(body)))))
    assert world.invoke()["outcome"] == "refreshed"


# The request was sent, and its answer is incomplete

UNKNOWN = {
    "reset": Fault.cut(issues=True),
    "closed": Fault.cut(issues=True, reset=False),
    "reset before anything was issued": Fault.cut(issues=False),
    "truncated": Fault.truncated(),
    "truncated before the body": Fault.truncated(keep=0),
    "truncated error of the vendor": replace(Fault.answer(500, "the vendor is down"), keep=0.5),
}
SLOW = {
    "late": Fault.late(60),
    "dripping body": Fault.drip(0.3),
    "dripping head": Fault.drip(0.3, headers=True),
    "late and cut": replace(Fault.cut(issues=True), delay=60),
    "late refusal": replace(LIMITED, delay=60),
}


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_cut_answer_is_an_unknown_outcome(world: World, fault: Fault) -> None:
    """The request was sent, so a token may have been issued: this is a suspicion, and the run does not ask again."""
    with record_traffic(world) as traffic:
        assert_run_fails(world, OutcomeUnknown, fault, retryable=True)
    assert len(traffic.vendor) == 1
    assert_failed(world, "OutcomeUnknown", suspicions=1)
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1, "OutcomeUnknown": 1}


@pytest.mark.parametrize("fault", SLOW.values(), ids=SLOW)
def test_slow_answer_is_an_unknown_outcome_when_the_time_is_over(world: World, fault: Fault) -> None:
    """However the vendor spreads its bytes, the run waits for ACQUIRE_TIMEOUT_SECONDS and no longer."""
    began = time.monotonic()
    assert_run_fails(world, OutcomeUnknown, fault, retryable=True, settings=IMPATIENT)
    assert 0.9 < time.monotonic() - began < 3
    assert_failed(world, "OutcomeUnknown", suspicions=1)


def test_late_answer_within_the_time_is_a_token(world: World) -> None:
    """A run waits for the answer until its time is over, since a short read timeout loses tokens."""
    world.vendor.script(Fault.late(0.6))
    assert world.invoke(process=world.process(**IMPATIENT))["outcome"] == "refreshed"


# Never sent


def nowhere(world: World) -> str:
    world.vendor.stop()
    return world.vendor.token_url


UNREACHABLE: dict[str, Callable[[World], str]] = {
    "connection refused": nowhere,
    "connection refused by name": lambda world: nowhere(world).replace("127.0.0.1", "localhost"),
    "connection refused, IPv6": lambda world: nowhere(world).replace("127.0.0.1", "[::1]"),
    "TLS failure": lambda world: world.vendor.token_url.replace("http:", "https:"),
    "no such host": lambda _: "https://no-such-host.invalid/oauth/token",
}


@pytest.mark.parametrize("url_of", UNREACHABLE.values(), ids=UNREACHABLE)
def test_request_that_was_never_sent_spends_no_slot(world: World, url_of: Callable[[World], str]) -> None:
    """After four attempts with pauses of 1, 2 and 4 s it is a failure, not a suspicion, and the slot stays open."""
    began = now(world)
    assert_run_fails(world, VendorUnreachable, retryable=True, settings={"TOKEN_URL": url_of(world)})
    assert now(world) - began == 1 + 2 + 4
    assert_failed(world, "VendorUnreachable")
    assert world.vendor.requests == []
    world.vendor.start()
    assert world.invoke()["outcome"] == "refreshed"


def test_attempt_to_connect_ends_before_the_time_of_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that says nothing, here of TLS, leaves time for other attempts."""
    monkeypatch.setattr(http_exchange, "CONNECT_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _, port = silent.getsockname()
        process = world.process(TOKEN_URL=f"https://127.0.0.1:{port}/oauth/token", **IMPATIENT)
        with pytest.raises(VendorUnreachable, match="ReadTimeout"):
            world.invoke(process=process)


def test_vendor_that_comes_back_between_two_attempts_is_asked_once() -> None:
    """The second attempt of the same run gets the token; its expiry counts from that attempt."""

    class Mending(Clock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            world.vendor.start()

    with World(Mending(1_790_000_000), standby=False) as world:
        world.vendor.stop()
        began = now(world)
        assert world.invoke()["outcome"] == "refreshed"
        assert world.token()["expires_at"] == began + 1 + DAY
        assert len(world.vendor.requests) == 1


# One failure after another


def test_third_failure_backs_off_for_three_quarters_of_an_hour(world: World) -> None:
    """After two failures the vendor is asked as usual; from the third on it is asked every 45 minutes."""
    assert_run_fails(world, VendorError, DOWN, retryable=True)
    assert_failed(world, "VendorError", suspicions=1)
    assert_run_fails(world, VendorError, DOWN, retryable=True)
    assert_failed(world, "VendorError", suspicions=2, failures=2)
    assert_run_fails(world, VendorError, DOWN, retryable=True)
    paused: dict[str, Any] = {"pause": 45 * MINUTE, "reason": "backing_off"}
    assert_failed(world, "VendorError", suspicions=3, failures=3, **paused)
    world.clock.advance(45 * MINUTE - 1)
    with record_traffic(world) as traffic:
        assert_run_fails(world, VendorError, retryable=True)
    assert traffic.writes == []
    assert traffic.vendor == []
    world.clock.advance(1)
    assert_run_fails(world, OutcomeUnknown, Fault.cut(issues=False), retryable=True)
    assert_failed(world, "OutcomeUnknown", suspicions=4, failures=4, **paused)
    world.clock.advance(45 * MINUTE)
    assert world.invoke()["outcome"] == "refreshed"
    assert slot_of(world) == asked_slot(now(world) + INTERVAL, "limit_interval")


@pytest.mark.parametrize(("retry_after", "seconds"), [("60", 45 * MINUTE), ("3000", 3_000)])
def test_third_failure_with_retry_after_waits_for_the_longer(world: World, retry_after: str, seconds: int) -> None:
    """The later of the two moments counts: the end of the back-off, or of the vendor's Retry-After."""
    write_ledger(world, slots={BLUE: slot(failures=2)})
    assert_run_fails(world, RateLimited, answer(429, Retry_After=retry_after))
    assert_failed(world, "RateLimited", pause=seconds, reason="rate_limited", failures=3)


def test_unreachable_vendor_backs_off_too(world: World) -> None:
    """The third failure starts the back-off, whatever kind of failure it is."""
    write_ledger(world, slots={BLUE: slot(failures=2)})
    assert_run_fails(world, VendorUnreachable, retryable=True, settings={"TOKEN_URL": nowhere(world)})
    assert_failed(world, "VendorUnreachable", pause=45 * MINUTE, reason="backing_off", failures=3)


def test_day_of_failures_stays_within_the_versions_that_aws_keeps(world: World) -> None:
    """All runs and retries of more than a day fail, and stay within Secrets Manager's quota of versions."""
    world.vendor.outage = DOWN
    for _ in range(30):
        for pause in (MINUTE, 2 * MINUTE, HOUR - 3 * MINUTE):
            with pytest.raises(VendorError):
                world.invoke()
            world.clock.advance(pause)
    world.vendor.outage = None
    world.clock.advance(HOUR)
    assert world.invoke()["outcome"] == "refreshed"


# While the current token is good


@pytest.mark.parametrize(
    ("fault", "error", "counted"),
    [
        (REFUSED, CredentialsRefused, {"CredentialsRefused": 1}),
        (answer(404), RequestRefused, {}),
        (DOWN, VendorError, {}),
        (answer(200), VendorError, {}),
        (Fault.cut(issues=True), OutcomeUnknown, {"OutcomeUnknown": 1}),
    ],
)
def test_failed_acquire_raises_also_with_a_good_token(
    world: World, fault: Fault, error: type[RefreshError], counted: dict[str, float]
) -> None:
    """A failure inside the window is an error, for retries and alarms; consumers keep the current token."""
    before = acquire_token(world, INTERVAL)
    world.vendor.script(fault)
    with pytest.raises(error):
        world.invoke()
    assert world.token() == before
    assert metrics(world) == {"TokenSecondsRemaining": DAY - INTERVAL, "Failed": 1} | counted


def test_rate_limit_with_a_good_token_is_waiting(world: World) -> None:
    """A refusal while the current token is good is the outcome `waiting`, not an error."""
    before = acquire_token(world, INTERVAL)
    world.vendor.script(LIMITED)
    result = world.invoke()
    assert result["outcome"] == "waiting"
    assert result["reason"] == "rate_limited"
    assert result["not_before"] == now(world) + 15 * MINUTE
    assert world.token() == before
    assert metrics(world) == {"TokenSecondsRemaining": DAY - INTERVAL, "Waiting": 1, "RateLimited": 1}


# What the vendor says of a token that it has issued


def jwt(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("stated", "lifetime", "odd_count"),
    [
        (DAY, DAY, None),
        (75_000, 75_000, None),
        ("75000", 75_000, None),
        (75_000.5, 75_000, None),
        (3_600, 3_600, 1),
        ("3600", 3_600, 1),
        (3_600.5, 3_600, 1),
        (60, 60, 1),
        (86_400.0, DAY, None),
        (OMITTED, DAY, None),
        (2_592_000, DAY, 1),
        ("2592000", DAY, 1),
        (0, DAY, 1),
        ("0", DAY, 1),
        (-1, DAY, 1),
        (None, DAY, 1),
        ("", DAY, 1),
        ("a day", DAY, 1),
        (True, DAY, 1),
        ([], DAY, 1),
        ({}, DAY, 1),
        (float("nan"), DAY, 1),
        (float("inf"), DAY, 1),
        (10**400, DAY, 1),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_token_is_stored_whatever_its_expires_in(
    clock: Clock, stated: object, lifetime: int, odd_count: int | None
) -> None:
    """An issued token is never thrown away for its metadata; an odd value is counted and logged as a warning."""
    with world_with_vendor(clock, token_format="opaque") as world:
        world.vendor.script(Fault.edited({"expires_in": stated}))
        assert world.invoke()["outcome"] == "refreshed"
        assert world.token()["expires_at"] == now(world) + lifetime
        assert type(world.token()["expires_at"]) is int
        assert metrics(world).get("OddLifetime") == odd_count


@pytest.mark.parametrize(
    ("ahead", "lifetime", "odd_count"),
    [
        (75_000, 75_000, None),
        (3_600, 3_600, 1),
        (DAY, DAY, None),
        (30 * DAY, DAY, 1),
        (0, DAY, 1),
        (-3_600, DAY, 1),
        (None, DAY, 1),
        ("tomorrow", DAY, 1),
    ],
)
def test_token_is_stored_whatever_its_exp(world: World, ahead: object, lifetime: int, odd_count: int | None) -> None:
    """The `exp` of a JWT can shorten the lifetime, and does nothing else."""
    exp = now(world) + ahead if isinstance(ahead, int) else ahead
    world.vendor.script(Fault.edited({"access_token": jwt(exp=exp)}))
    assert world.invoke()["outcome"] == "refreshed"
    assert world.token()["expires_at"] == now(world) + lifetime
    assert metrics(world).get("OddLifetime") == odd_count


@pytest.mark.parametrize(
    "access_token", ["a.b.c", "..", "a..c", "e30.W10.x", "e30.!!!.x", f"e30.{'A' * 9}.x", "one.two", "x" * 32_000]
)
def test_token_is_stored_whatever_it_looks_like(world: World, access_token: str) -> None:
    """A token that only resembles a JWT is stored like any other token."""
    world.vendor.script(Fault.edited({"access_token": access_token}))
    assert world.invoke()["outcome"] == "refreshed"
    assert world.token()["access_token"] == access_token
    assert world.token()["expires_at"] == now(world) + DAY


def test_odd_lifetime_is_a_warning_that_names_what_was_odd(world: World) -> None:
    """The run succeeds, but the warning tells somebody to look at it."""
    world.vendor.script(Fault.edited({"expires_in": 2_592_000}))
    world.invoke()
    [line] = [line for line in world.lines if line.get("level") == "WARNING"]
    assert "expires_in" in json.dumps(line)


def test_smallest_lifetime_wins(world: World) -> None:
    """The smallest of `expires_in`, the JWT's `exp` and MAX_LIFETIME_SECONDS counts."""
    world.vendor.script(Fault.edited({"access_token": jwt(exp=now(world) + 5_000), "expires_in": 6_000}))
    world.invoke(process=world.process(MAX_LIFETIME_SECONDS="7000"))
    assert world.token()["expires_at"] == now(world) + 5_000


def test_longest_lifetime_is_a_setting(world: World) -> None:
    """MAX_LIFETIME_SECONDS can shorten the vendor's lifetime; that counts as odd."""
    world.invoke(process=world.process(MAX_LIFETIME_SECONDS="7000"))
    assert world.token()["expires_at"] == now(world) + 7_000
    assert metrics(world)["OddLifetime"] == 1


def test_short_lived_token_does_not_open_the_slot(world: World) -> None:
    """A token of five minutes is due in the last third of its life. Its client still waits for its interval."""
    world.vendor.script(Fault.edited({"expires_in": 300}))
    world.invoke()
    assert world.invoke()["outcome"] == "kept"
    world.clock.advance(200)
    result = world.invoke()
    assert result["outcome"] == "waiting"
    assert result["reason"] == "limit_interval"


@pytest.mark.parametrize(
    ("changes", "token_type", "scope"),
    [
        ({}, "Bearer", "raas.all"),
        ({"token_type": "bearer"}, "Bearer", "raas.all"),
        ({"token_type": "DPoP"}, "DPoP", "raas.all"),
        ({"token_type": OMITTED, "scope": OMITTED}, "Bearer", "raas.all"),
        ({"token_type": None, "scope": None}, "Bearer", "raas.all"),
        ({"scope": "raas.read"}, "Bearer", "raas.read"),
        ({"scope": ["raas.read"]}, "Bearer", "raas.all"),
    ],
)
def test_type_and_scope_are_stored_as_granted(
    world: World, changes: dict[str, object], token_type: str, scope: str
) -> None:
    """The stored scope is the granted one, or the requested one if the vendor does not name any."""
    world.vendor.script(Fault.edited(changes))
    world.invoke()
    assert world.token()["token_type"] == token_type
    assert world.token()["scope"] == scope


# What the function repeats of an answer


def test_answer_that_repeats_the_request_lets_no_secret_out(world: World) -> None:
    """A vendor may repeat the form in its body, error code and headers; the function does not repeat them."""
    secret = world.client_secrets[BLUE]
    quoting = {"error": secret, "error_description": f"client_secret={secret} is wrong"}
    for status in (400, 401, 403, 404, 500):
        world.vendor.script(Fault.answer(status, quoting, headers={"Location": f"/?{secret}", "Retry-After": secret}))
        with pytest.raises(RefreshError):
            world.invoke()
        world.put_credentials(BLUE)  # a new version opens the slot at once
        write_ledger(world)
    world.vendor.script(Fault.answer(429, quoting, headers={"Retry-After": secret}))
    with pytest.raises(RefreshError):
        world.invoke()
    assert secret not in world.output
    assert "is wrong" not in world.output


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_client"), (400, "invalid_scope")])
def test_vendors_code_and_status_are_told(world: World, status: int, code: str) -> None:
    """The error has the HTTP status and a known error code: they help a person, and contain no secret."""
    world.vendor.script(answer(status, {"error": code}))
    with pytest.raises(RefreshError, match=f"{status}.*{code}"):
        world.invoke()
