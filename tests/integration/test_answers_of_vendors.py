"""Answers of vendors that differ from ours: what they mean, what the ledger notes, and what people are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    RequestRefused,
    VendorError,
)
from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.raw_server import RawServer, always
from local.emulators.world import World
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    FORCE,
    GREEN,
    HOUR,
    LIMIT_MESSAGE,
    LIMITED,
    MINUTE,
    NO_LIMIT,
    STATUS,
    Json,
    acquire_token,
    another_runs_token,
    has_good_token,
    ledger,
    now,
    outcome_and_reason,
    run,
    slot,
    slot_of,
    world_with_vendor,
    write,
    write_ledger,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import do_at_vendor, logged, metrics, record_traffic

# Sockets wait in real seconds, so the tests of a slow vendor wait for one second.
IMPATIENT = {"ACQUIRE_TIMEOUT_SECONDS": "1", "WRITE_RESERVE_SECONDS": "5"}
INTERVAL = 72_000


def refusal_of(world: World, error: type[RefreshError], fault: Fault, **settings: str) -> Json:
    """Run with this fault; the run must fail with this error. Returns the slot after it."""
    world.vendor.script(fault)
    with pytest.raises(RefreshError) as caught:
        world.invoke(process=world.process(**settings))
    assert caught.type is error
    assert ledger(world)["lock"] is None
    return slot_of(world)


def cut(status: int, body: object = b"", **headers: str) -> Fault:
    """Return an answer that announces more bytes than come."""
    named_headers = {name.replace("_", "-"): text for name, text in headers.items()}
    return Fault.answer(status, body, headers={"Content-Length": "4096"} | named_headers)


# What vendors document

LIMIT_ERROR = {"error": "access_denied", "error_description": LIMIT_MESSAGE}
DOCUMENTED: dict[str, tuple[int, object, type[RefreshError]]] = {
    "Amazon Cognito, client": (400, {"error": "invalid_client"}, CredentialsRefused),
    "Amazon Cognito, grant": (400, {"error": "unauthorized_client"}, CredentialsRefused),
    "Amazon Cognito, scope": (400, {"error": "invalid_scope"}, RequestRefused),
    "Auth0, client": (401, {"error": "access_denied", "error_description": "Unauthorized"}, CredentialsRefused),
    "Auth0, audience": (403, {"error": "access_denied", "error_description": "no access"}, CredentialsRefused),
    "Auth0, rate": (429, {"error": "too_many_requests", "error_description": "Global limit"}, RateLimited),
    "Entra ID, secret": (401, {"error": "invalid_client", "error_codes": [7000215]}, CredentialsRefused),
    "Entra ID, scope": (400, {"error": "invalid_scope", "error_codes": [70011]}, RequestRefused),
    "Google, grant": (400, {"error": "invalid_grant"}, CredentialsRefused),
    "Keycloak": (401, {"error": "unauthorized_client"}, CredentialsRefused),
    "Okta": (401, {"errorCode": "invalid_client", "errorSummary": "Invalid value"}, CredentialsRefused),
    "PayPal": (401, {"error": "invalid_client"}, CredentialsRefused),
    "Salesforce": (400, {"error": "invalid_client_id"}, CredentialsRefused),
    "Slack, client": (200, {"ok": False, "error": "invalid_client_id"}, CredentialsRefused),
    "Slack, request": (200, {"ok": False, "error": "invalid_arguments"}, RequestRefused),
    "a CDN": (403, "<html><title>Attention Required!</title>Access denied</html>", RequestRefused),
    "a proxy": (407, "<html>Proxy Authentication Required</html>", RequestRefused),
    "a 200 for each error": (200, {"error": "invalid_client"}, CredentialsRefused),
    "a 200 for the limit": (200, LIMIT_ERROR, RateLimited),
    "a limit in a 503": (503, LIMIT_ERROR, RateLimited),
}


@pytest.mark.parametrize(("status", "body", "error"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_documented_refusal_means_that_nothing_was_issued(
    world: World, status: int, body: object, error: type[RefreshError]
) -> None:
    """A refusal is no suspicion, except for that of the limit, and it is not repeated by Lambda."""
    noted = refusal_of(world, error, Fault.answer(status, body))
    is_limit = LIMIT_MESSAGE in json.dumps(body)
    assert noted["suspicions"] == int(is_limit)
    assert noted["error"] == error.__name__


def test_success_with_an_error_lets_the_standby_help(standby_world: World) -> None:
    """The primary's credentials are refused, whatever the status is, so the standby is asked."""
    standby_world.vendor.script(Fault.answer(200, {"error": "invalid_client"}))
    assert standby_world.invoke()["client_id"] == GREEN
    assert slot_of(standby_world, BLUE)["reason"] == "credentials_refused"


def test_token_next_to_an_error_is_published(world: World) -> None:
    """An issued token is never thrown away for what stands next to it."""
    world.vendor.script(Fault.edited({"error": "invalid_client"}))
    assert world.invoke()["outcome"] == "refreshed"


# A refusal that is cut

CUT_REFUSALS: dict[str, tuple[Fault, type[RefreshError]]] = {
    "400, the client": (cut(400, {"error": "invalid_client"}), CredentialsRefused),
    "400, the scope": (cut(400, {"error": "invalid_scope"}), RequestRefused),
    "400, half of it": (cut(400, '{"error": "inva'), RequestRefused),
    "400, nothing of it": (cut(400), RequestRefused),
    "400, the limit": (cut(400, f'{{"error_description": "{LIMIT_MESSAGE}'), RateLimited),
    "401, half of it": (cut(401, '{"err'), CredentialsRefused),
    "401, nothing of it": (cut(401), CredentialsRefused),
    "403, the client": (cut(403, {"error": "invalid_client"}), CredentialsRefused),
    "403, a page": (cut(403, "<html><title>Attention"), RequestRefused),
    "404": (cut(404, "<html>"), RequestRefused),
    "429": (cut(429, "<html>", Retry_After="120"), RateLimited),
    "302": (cut(302, "<html>", Location="/elsewhere"), RequestRefused),
    "a length that is too short": (
        Fault.answer(400, {"error": "invalid_client"}, headers={"Content-Length": "5"}),
        RequestRefused,
    ),
}


@pytest.mark.parametrize(("fault", "error"), CUT_REFUSALS.values(), ids=CUT_REFUSALS)
def test_cut_refusal_means_what_the_whole_one_would_mean(world: World, fault: Fault, error: type[RefreshError]) -> None:
    """The status has arrived, so no token was issued: no suspicion that later costs an interval."""
    noted = refusal_of(world, error, fault)
    is_limit = error is RateLimited and noted["not_before"] == now(world) + 15 * MINUTE
    assert noted["suspicions"] == int(is_limit)
    assert noted["failures"] == 1
    assert "OutcomeUnknown" not in metrics(world)


def test_cut_429_keeps_its_retry_after(world: World) -> None:
    """The head has arrived whole."""
    noted = refusal_of(world, RateLimited, cut(429, "<html>", Retry_After="120"))
    assert noted["not_before"] == now(world) + 120
    assert noted["reason"] == "rate_limited"


CUT_IN_CHUNKS = (
    b'HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{"error": "invalid_client"}\r\nff\r\n'
)


def test_refusal_that_is_cut_between_two_chunks_is_read(world: World) -> None:
    """A body may come in chunks, and the connection may end between two of them."""
    with RawServer(always(CUT_IN_CHUNKS)) as vendor, pytest.raises(CredentialsRefused):
        world.invoke(process=world.process(TOKEN_URL=vendor.url))
    assert slot_of(world)["suspicions"] == 0


def test_refusal_whose_body_never_ends_is_read_when_the_time_is_over(world: World) -> None:
    """The status and what has arrived by then say that nothing was issued."""
    with RawServer(slow_refusal, pause_seconds=0.1) as vendor, pytest.raises(CredentialsRefused):
        world.invoke(process=world.process(TOKEN_URL=vendor.url, **IMPATIENT))
    assert slot_of(world)["suspicions"] == 0


def slow_refusal(_: bytes) -> list[bytes]:
    start = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 4096\r\n\r\n{"error": "invalid_client"}'
    return [start, *[b" "] * 4_000]


@pytest.mark.parametrize("status", [200, 201, 500, 502, 503])
def test_cut_answer_that_may_hide_a_token_stays_unknown(world: World, status: int) -> None:
    """A success, and an error of a gateway in front of the vendor, may have issued a token."""
    noted = refusal_of(world, OutcomeUnknown, cut(status, '{"error": "inva'))
    assert noted["suspicions"] == 1


def test_limit_after_a_cut_refusal_costs_a_quarter_of_an_hour(world: World) -> None:
    """A cut refusal explains nothing: the refusal for the limit that follows it is the first suspicion."""
    refusal_of(world, RequestRefused, cut(400))
    noted = refusal_of(world, RateLimited, LIMITED)
    assert noted["not_before"] == now(world) + 15 * MINUTE


# The very token that consumers already have

NOT_GOOD_ANY_MORE = r"^the vendor answered with the token that consumers have, which is not good any more$"


def answer_with(token: Json, *, expires_in: int) -> Fault:
    body = {"access_token": token["access_token"], "token_type": "Bearer", "expires_in": expires_in}
    return Fault.answer(200, body)


def remaining(world: World, token: Json) -> int:
    return int(token["expires_at"]) - now(world)


@pytest.mark.parametrize(
    ("age", "less_by", "pause"),
    [
        (20.5 * HOUR, 0, 1.75 * HOUR),
        (20.5 * HOUR, HOUR, 1.75 * HOUR),
        (20.5 * HOUR, -MINUTE, 1.75 * HOUR),
        (DAY - 20 * MINUTE, 0, 10 * MINUTE),
        (DAY - 6 * MINUTE, 0, 5 * MINUTE),
    ],
    ids=["the same life", "less life", "a minute more", "nearly over", "five minutes at least"],
)
def test_same_token_is_waited_out(world: World, age: float, less_by: int, pause: float) -> None:
    """A vendor that gives the same token again has refused nothing: ask again after half of its life."""
    token = acquire_token(world, age)
    slot_before = slot_of(world)
    world.vendor.script(answer_with(token, expires_in=remaining(world, token) - less_by))
    result = world.invoke()
    assert outcome_and_reason(result) == ("waiting", "same_token")
    assert result["not_before"] == now(world) + pause
    assert world.token() == token
    noted = slot_of(world)
    assert noted["reason"] == "same_token"
    assert noted["not_before"] == now(world) + pause
    for counted in ("failures", "suspicions", "error"):
        assert noted[counted] == slot_before[counted]
    assert ledger(world)["lock"] is None
    # The answer's lifetime may be odd, but nothing has failed and nobody was refused.
    assert metrics(world).keys() - {"OddLifetime"} == {"TokenSecondsRemaining", "Waiting"}
    [line] = logged(world, "SameToken")
    assert line["principal"] == BLUE


def test_pause_after_the_same_token_counts_from_its_answer(world: World) -> None:
    """A vendor that takes a minute to answer shortens the life of which half is waited for."""
    token = acquire_token(world, 20.5 * HOUR)
    world.vendor.script(answer_with(token, expires_in=remaining(world, token)))
    do_at_vendor(world, "received", lambda: world.clock.advance(MINUTE))
    result = world.invoke()
    assert outcome_and_reason(result) == ("waiting", "same_token")
    assert result["seconds_remaining"] == remaining(world, token)
    assert result["not_before"] == now(world) + remaining(world, token) / 2


def test_same_token_of_the_standby_says_when_the_standby_may_ask_again(standby_world: World) -> None:
    """The primary may not ask, so what its slot says is of no use."""
    world = standby_world
    write_ledger(world, slots={BLUE: slot(now(world) + DAY, "rate_limited")})
    token = another_runs_token(world, GREEN, acquired_at=now(world) - 22 * HOUR, expires_at=now(world) + 2 * HOUR)
    write(world, token, CURRENT)
    world.vendor.script(answer_with(token, expires_in=2 * HOUR))
    result = world.invoke()
    assert outcome_and_reason(result) == ("waiting", "same_token")
    assert result["client_id"] == GREEN
    assert result["not_before"] == now(world) + HOUR


def test_same_token_is_not_asked_for_again_before_its_pause_is_over(world: World) -> None:
    """Nobody asks during the pause, and the first run after it does."""
    token = acquire_token(world, 20.5 * HOUR)
    world.vendor.script(answer_with(token, expires_in=remaining(world, token)))
    world.invoke()
    world.clock.advance(1.75 * HOUR - 1)
    with record_traffic(world) as traffic:
        assert outcome_and_reason(world.invoke()) == ("waiting", "same_token")
    assert traffic.vendor == []
    world.clock.advance(1)
    assert world.invoke()["outcome"] == "refreshed"
    assert world.token()["access_token"] != token["access_token"]


def test_same_token_with_more_life_is_published(clock: Clock) -> None:
    """Some vendors prolong a token: its new end is what consumers need."""
    with world_with_vendor(clock, token_format="opaque") as world:
        token = acquire_token(world, 20.5 * HOUR)
        world.vendor.script(answer_with(token, expires_in=DAY))
        assert world.invoke()["outcome"] == "refreshed"
        assert world.token()["access_token"] == token["access_token"]
        assert world.token()["expires_at"] == now(world) + DAY


@pytest.mark.parametrize(("more", "outcome"), [(60, "waiting"), (61, "refreshed")])
def test_same_token_must_live_more_than_a_minute_longer(clock: Clock, more: int, outcome: str) -> None:
    """Without that the clocks of two machines would decide."""
    with world_with_vendor(clock, token_format="opaque") as world:
        token = acquire_token(world, 20.5 * HOUR)
        world.vendor.script(answer_with(token, expires_in=remaining(world, token) + more))
        assert world.invoke()["outcome"] == outcome


@pytest.mark.parametrize("expires_in", [1, DAY])
def test_same_token_that_the_probe_has_refused_is_an_error(clock: Clock, expires_in: int) -> None:
    """The vendor gives again what its API refuses: nothing is published, and a person must know."""
    with world_with_vendor(clock, token_format="opaque") as world, Recorder(401) as api:
        token = acquire_token(world, 20.5 * HOUR)
        world.vendor.script(answer_with(token, expires_in=expires_in))
        with pytest.raises(VendorError):
            world.invoke(process=world.process(PROBE_URL=api.url))
        assert world.token() == token
        assert (slot_of(world)["failures"], slot_of(world)["suspicions"]) == (1, 1)
        assert ledger(world)["lock"] is None


def test_same_token_that_has_expired_is_an_error(clock: Clock) -> None:
    """It ends no later than consumers know already, and that is past."""
    with world_with_vendor(clock, token_format="opaque") as world:
        token = acquire_token(world, DAY)
        world.vendor.script(answer_with(token, expires_in=30))
        with pytest.raises(VendorError, match=NOT_GOOD_ANY_MORE):
            world.invoke()
        assert world.token() == token


def test_same_token_that_expires_during_the_request_is_an_error(clock: Clock) -> None:
    """Consumers have no good token when the answer arrives."""
    with world_with_vendor(clock, token_format="opaque") as world:
        token = acquire_token(world, DAY - 10)
        world.vendor.script(answer_with(token, expires_in=30))
        do_at_vendor(world, "received", lambda: world.clock.advance(10))
        with pytest.raises(VendorError, match=NOT_GOOD_ANY_MORE):
            world.invoke()
        assert world.token() == token


def test_same_token_under_force_is_waiting(world: World) -> None:
    """A forced refresh that brings nothing new leaves the fresh token where it is."""
    token = acquire_token(world, HOUR, **NO_LIMIT)
    world.vendor.script(answer_with(token, expires_in=remaining(world, token)))
    result = world.invoke(FORCE, process=world.process(**NO_LIMIT))
    assert outcome_and_reason(result) == ("waiting", "same_token")
    assert world.token() == token


def test_vendor_that_keeps_one_token_until_its_end_leaves_no_gap(clock: Clock) -> None:
    """Hourly runs of three days: consumers have a good token after each."""
    with world_with_vendor(clock, token_format="opaque", interval=0) as world:
        acquire_token(world, 0)
        for _ in range(72):
            clock.advance(HOUR)
            token = world.token()
            left = remaining(world, token)
            world.vendor.clear_faults()
            if left > 0:
                world.vendor.script(answer_with(token, expires_in=left))
            assert run(world) in {"kept", "waiting", "refreshed"}
            assert has_good_token(world)


# Further members of the answer


def test_further_members_of_the_answer_are_stored(world: World) -> None:
    """Consumers find the API's address next to the token; a second secret is not stored."""
    members = {
        "instance_url": "https://eu1.example/",
        "issued_at": 1_790_000_000,
        "refresh_token": "canary",
        "id_token": "canary",
    }
    world.vendor.script(Fault.edited(members))
    assert world.invoke()["outcome"] == "refreshed"
    extra = {"instance_url": "https://eu1.example/", "issued_at": 1_790_000_000}
    assert world.token()["extra"] == extra
    assert "canary" not in json.dumps(world.token())


def test_usual_answer_has_no_further_members(world: World) -> None:
    """The key is always there, so that consumers need not ask for it."""
    world.invoke()
    assert world.token()["extra"] == {}


def test_further_members_are_not_in_the_result(world: World) -> None:
    """Nobody knows what a vendor puts there."""
    world.vendor.script(Fault.edited({"instance_url": "canary"}))
    world.invoke()
    world.invoke(STATUS)
    assert "canary" not in world.output


def test_further_members_survive_a_recovery(world: World) -> None:
    """A token that is brought back has all that it had."""
    world.vendor.script(Fault.edited({"instance_url": "https://eu1.example/"}))
    world.invoke()
    client = world.secrets.client()
    client.put_secret_value(SecretId="tango/token", SecretString="oops")
    assert world.invoke()["outcome"] == "recovered"
    assert world.token()["extra"] == {"instance_url": "https://eu1.example/"}


# What people are told


ODD: dict[str, Mapping[str, object]] = {
    "an hour under an interval of 20 h": {"expires_in": HOUR},
    "as long as the interval": {"expires_in": INTERVAL},
    "MAC": {"token_type": "mac"},
    "DPoP": {"token_type": "DPoP"},
}


@pytest.mark.parametrize("members", ODD.values(), ids=ODD)
def test_token_that_will_not_serve_as_usual_is_warned_of_on_its_arrival(
    clock: Clock, members: Mapping[str, object]
) -> None:
    """The token is stored all the same, and the warning comes before anybody lacks a token."""
    with world_with_vendor(clock, token_format="opaque") as world:
        world.vendor.script(Fault.edited(members))
        assert world.invoke()["outcome"] == "refreshed"
        assert metrics(world)["OddLifetime"] == 1
        assert {line["level"] for line in logged(world, "OddLifetime")} == {"WARNING"}


def test_lifetime_below_an_hour_is_warned_of_without_a_limit(clock: Clock) -> None:
    """AWS keeps too few versions for it; an hour is enough."""
    with world_with_vendor(clock, token_format="opaque", interval=0) as world:
        counts = []
        for expires_in in (HOUR, HOUR - 31):
            world.vendor.script(Fault.edited({"expires_in": expires_in}))
            world.invoke(process=world.process(**NO_LIMIT))
            counts.append(metrics(world).get("OddLifetime"))
            world.clock.advance(HOUR)
        assert counts == [None, 1]


def test_waiting_for_our_own_interval_does_not_blame_the_vendor(clock: Clock) -> None:
    """A token of an hour under an interval of 20 h: the run fails, and no alarm says that the vendor refused."""
    with world_with_vendor(clock, token_format="opaque") as world:
        world.vendor.script(Fault.edited({"expires_in": HOUR}))
        world.invoke()
        world.clock.advance(2 * HOUR)
        with record_traffic(world) as traffic, pytest.raises(RefreshError):
            world.invoke()
        assert traffic.vendor == []
        assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}
        assert logged(world, "RateLimited") == []


def test_waiting_for_a_slot_of_the_ledger_does_not_blame_the_vendor_either(world: World) -> None:
    """The reason `limit_interval` in the ledger is our own token's, also if the token is gone."""
    write_ledger(world, slots={BLUE: slot(now(world) + HOUR, "limit_interval")})
    with pytest.raises(RateLimited):
        world.invoke()
    assert metrics(world) == {"TokenSecondsRemaining": 0, "Failed": 1}


def test_refusal_for_the_limit_is_counted_in_its_run_and_while_it_lasts(world: World) -> None:
    """The alarm stays on for as long as the vendor's refusal closes the slot."""
    world.vendor.script(LIMITED)
    for _ in range(3):
        with pytest.raises(RateLimited):
            world.invoke()
        assert metrics(world)["RateLimited"] == 1
        world.clock.advance(4 * MINUTE)


def test_pause_of_a_failing_vendor_is_counted_at_every_run(world: World) -> None:
    """Between two requests, too, the alarm knows that the trouble lasts."""
    world.vendor.outage = Fault.answer(503)
    for _ in range(3):
        run(world)
    counts: list[Any] = []
    for _ in range(8):
        world.clock.advance(5 * MINUTE)
        run(world)
        counts.append(metrics(world).get("BackingOff"))
    assert counts == [1] * 8


def test_same_token_for_another_request_is_a_new_one(world: World) -> None:
    """A vendor that repeats its token while it lives has granted it for the new audience, too."""
    token = acquire_token(world, 20.5 * HOUR)
    repeated = {"access_token": token["access_token"], "token_type": "Bearer", "expires_in": 3.5 * HOUR}
    world.vendor.outage = Fault.answer(200, repeated)
    changed = world.process(AUDIENCE="https://other.example/")
    assert run(world, process=changed) == "refreshed"
    assert world.token()["access_token"] == token["access_token"]
    assert world.token()["audience"] == "https://other.example/"


@pytest.mark.parametrize("name", ["client_secret", "clientSecret", "Refresh_Token", "refreshToken", "echo", "password"])
def test_secrets_that_the_vendor_repeats_are_not_stored(world: World, name: str) -> None:
    """Every consumer reads the document."""
    secret = world.client_secrets[BLUE]
    body = {"access_token": "abcd", "expires_in": DAY, name: f"<{secret}>", "instance_url": "https://one.example"}
    world.vendor.script(Fault.answer(200, body))
    assert run(world) == "refreshed"
    assert world.token()["extra"] == {"instance_url": "https://one.example"}
