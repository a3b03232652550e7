"""The vendor's emulator keeps the rules of the second generation: service accounts ask together with their client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
import requests

from local.emulators.clock import Clock
from local.emulators.faults import Fault
from local.emulators.token_endpoint import Vendor

NOW = 1_700_000_000
LIFETIME = 86_400
CLIENT = "client-s"
CLIENT_SECRET = "secret-s-canary"
ONE = "client-s#store-1"
TWO = "client-s#store-2"
PASSWORDS = {"store-1": "password-1-canary", "store-2": "password-2-canary"}
ALONE = "client-a"
ALONE_SECRET = "secret-a-canary"
AUDIENCE = "https://api.tangocard.com/"


@pytest.fixture
def clock() -> Clock:
    return Clock(start=NOW)


@pytest.fixture
def vendor(clock: Clock) -> Iterator[Vendor]:
    """A vendor with a client of each generation; the one of the second has two service accounts."""
    with Vendor(clock, {ALONE: ALONE_SECRET}) as running:
        running.add_client(CLIENT, CLIENT_SECRET, with_accounts=True)
        for username, password in PASSWORDS.items():
            running.add_account(CLIENT, username, password)
        yield running


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # requests to loopback must not use the machine's proxy
        yield session


def form_of(username: str) -> dict[str, str]:
    return {
        "grant_type": "password",
        "username": username,
        "password": PASSWORDS.get(username, "?"),
        "client_id": CLIENT,
        "client_secret": CLIENT_SECRET,
        "audience": AUDIENCE,
        "scope": "raas.all",
    }


def ask(
    http: requests.Session, vendor: Vendor, username: str = "store-1", without: str = "", **changes: str
) -> requests.Response:
    form = form_of(username) | changes
    form.pop(without, None)
    return http.post(vendor.token_url, data=form, timeout=10)


def ask_alone(http: requests.Session, vendor: Vendor, **changes: str) -> requests.Response:
    form = {"grant_type": "client_credentials", "client_id": ALONE, "client_secret": ALONE_SECRET}
    return http.post(vendor.token_url, data=form | changes, timeout=10)


def call(http: requests.Session, vendor: Vendor, token: str) -> int:
    return http.get(vendor.api_url, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code


def steer(http: requests.Session, vendor: Vendor, document: object) -> requests.Response:
    return http.post(f"{vendor.url}/_emulator", json=document, timeout=10)


def guess(http: requests.Session, vendor: Vendor, times: int) -> list[int]:
    return [ask(http, vendor, password="wrong").status_code for _ in range(times)]


# The token


def test_a_service_account_gets_a_token(vendor: Vendor, http: requests.Session) -> None:
    """A good request gets a bearer token of 24 hours; the records have the client and the service account."""
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
    assert issued.client_id == request.client_id == CLIENT
    assert issued.username == request.username == "store-1"
    assert issued.principal == request.principal == ONE
    assert issued.expires_at == NOW + LIFETIME
    assert request.issued is True
    assert call(http, vendor, token) == 200


def test_a_jwt_says_which_service_account_it_is_of(vendor: Vendor, http: requests.Session) -> None:
    """The subject of the token is the service account."""
    _, payload, _ = ask(http, vendor).json()["access_token"].split(".")
    assert json.loads(base64.urlsafe_b64decode(payload + "=="))["sub"] == "store-1"


def test_accepts_basic_credentials_of_the_client(vendor: Vendor, http: requests.Session) -> None:
    """The client may authenticate with HTTP Basic; the service account is in the form in any case."""
    form = form_of("store-1")
    del form["client_id"], form["client_secret"]
    answer = http.post(vendor.token_url, data=form, auth=(CLIENT, CLIENT_SECRET), timeout=10)
    assert answer.status_code == 200
    assert vendor.issued[0].principal == ONE


def test_there_is_no_limit_but_the_one_per_second(vendor: Vendor, http: requests.Session) -> None:
    """A service account gets one token after the other, and all of them work."""
    tokens = [ask(http, vendor).json()["access_token"] for _ in range(3)]
    assert len(set(tokens)) == 3
    assert [call(http, vendor, token) for token in tokens] == [200] * 3


def test_the_generations_live_side_by_side(vendor: Vendor, http: requests.Session) -> None:
    """The client that asks alone has its limit, and the service accounts of the other one have none."""
    assert [ask_alone(http, vendor).status_code for _ in range(2)] == [200, 400]
    assert [ask(http, vendor).status_code for _ in range(2)] == [200, 200]
    assert vendor.issued[0].username is None
    assert vendor.issued[0].principal == ALONE


def test_a_client_of_the_first_generation_has_no_password_grant(vendor: Vendor, http: requests.Session) -> None:
    """Such a client is refused as before, with JSON."""
    answer = ask_alone(http, vendor, grant_type="password", username="store-1", password=PASSWORDS["store-1"])
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


def test_a_client_that_asks_alone_may_send_a_username(vendor: Vendor, http: requests.Session) -> None:
    """With another grant type a username means nothing, and its token is the client's own."""
    token = ask_alone(http, vendor, username="store-1").json()["access_token"]
    assert vendor.requests[0].username is None
    assert call(http, vendor, token) == 200


# Refusals


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"without": "client_id"}, 401, "invalid_client"),
        ({"username": ""}, 400, "invalid_request"),
        ({"without": "username"}, 400, "invalid_request"),
        ({"password": ""}, 400, "invalid_request"),
        ({"without": "password"}, 400, "invalid_request"),
        ({"grant_type": "nonsense"}, 400, "unsupported_grant_type"),
        ({"without": "grant_type"}, 400, "unsupported_grant_type"),
    ],
)
def test_some_refusals_are_an_empty_text(
    vendor: Vendor, http: requests.Session, changes: dict[str, str], status: int, error: str
) -> None:
    """401 and 400 say nothing to who asks. The records have a word for them."""
    form = form_of("store-1") | changes
    form.pop(form.pop("without", ""), None)
    answer = http.post(vendor.token_url, data=form, timeout=10)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.content == b""
    [request] = vendor.requests
    assert request.status == status
    assert request.error == error
    assert request.issued is False


def test_a_repeated_parameter_is_an_empty_text(vendor: Vendor, http: requests.Session) -> None:
    """A form with two passwords is refused."""
    form = [*form_of("store-1").items(), ("password", "another")]
    answer = http.post(vendor.token_url, data=form, timeout=10)
    assert answer.status_code == 400
    assert answer.content == b""
    assert vendor.requests[0].error == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"password": "wrong"}, "invalid_grant"),
        ({"username": "nobody"}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
        ({"grant_type": "refresh_token"}, "unauthorized_client"),
        ({"audience": "https://other.example/"}, "access_denied"),
        ({"without": "audience"}, "access_denied"),
    ],
)
def test_the_other_refusals_are_json(
    vendor: Vendor, http: requests.Session, changes: dict[str, str], error: str
) -> None:
    """403 says in JSON what was wrong, and repeats no secret."""
    answer = ask(http, vendor, **changes)
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["error"] == error
    assert "canary" not in answer.text
    assert vendor.requests[0].error == error
    assert vendor.issued == []


def test_a_wrong_username_looks_like_a_wrong_password(vendor: Vendor, http: requests.Session) -> None:
    """The answer does not say whether a service account exists."""
    assert ask(http, vendor, username="nobody").content == ask(http, vendor, password="wrong").content


# Wrong passwords


def test_ten_wrong_passwords_block_the_account(vendor: Vendor, clock: Clock, http: requests.Session) -> None:
    """From then on the right password is refused too, however late. The other account goes on."""
    assert guess(http, vendor, 10) == [403] * 10
    clock.advance(30 * 86_400)
    answer = ask(http, vendor)
    assert answer.status_code == 429
    assert answer.json()["error"] == "too_many_attempts"
    assert "Retry-After" not in answer.headers
    assert ask(http, vendor, "store-2").status_code == 200


def test_a_right_password_starts_the_count_again(vendor: Vendor, http: requests.Session) -> None:
    """Only wrong passwords in a row count."""
    for _ in range(2):
        guess(http, vendor, 9)
        assert ask(http, vendor).status_code == 200


def test_only_a_wrong_password_counts(vendor: Vendor, http: requests.Session) -> None:
    """A wrong client secret or audience does not bring an account nearer to its block."""
    guess(http, vendor, 9)
    ask(http, vendor, password="wrong", client_secret="wrong")
    ask(http, vendor, password="wrong", audience="https://other.example/")
    assert ask(http, vendor).status_code == 200


def test_tokens_of_a_blocked_account_work_on(vendor: Vendor, http: requests.Session) -> None:
    """The block is about new tokens."""
    token = ask(http, vendor).json()["access_token"]
    guess(http, vendor, 10)
    assert call(http, vendor, token) == 200


def test_somebody_unblocks_the_account(vendor: Vendor, http: requests.Session) -> None:
    """After `unblock` the account has all of its attempts again."""
    guess(http, vendor, 10)
    vendor.unblock(ONE)
    guess(http, vendor, 9)
    assert ask(http, vendor).status_code == 200


# The limit of the token endpoint


def test_more_than_a_hundred_requests_a_second_are_refused(
    vendor: Vendor, clock: Clock, http: requests.Session
) -> None:
    """The refusal says when to come back, and a second later a request is granted."""
    assert {ask(http, vendor).status_code for _ in range(100)} == {200}
    answer = ask(http, vendor)
    assert answer.status_code == 429
    assert answer.json()["error"] == "too_many_requests"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["X-RateLimit-Limit"] == "100"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert answer.headers["X-RateLimit-Reset"] == str(NOW + 1)
    clock.advance(1)
    assert ask(http, vendor).status_code == 200


def test_the_limit_per_second_is_of_all_accounts_and_not_of_the_first_generation(
    vendor: Vendor, http: requests.Session
) -> None:
    """All service accounts share the hundred requests; a client that asks alone has no part in it."""
    for _ in range(50):
        ask(http, vendor, "store-1")
        ask(http, vendor, "store-2", password="wrong")
    assert ask(http, vendor, "store-1").status_code == 429
    assert ask_alone(http, vendor).status_code == 200


def test_a_request_that_does_not_reach_the_vendor_is_not_counted(vendor: Vendor, http: requests.Session) -> None:
    """What fails in front of the vendor counts neither as a request nor as a wrong password."""
    vendor.outage = Fault.answer(503)
    assert set(guess(http, vendor, 110)) == {503}
    vendor.outage = None
    assert ask(http, vendor).status_code == 200


# Accounts come and go


def test_deactivating_an_account_ends_its_tokens_alone(vendor: Vendor, http: requests.Session) -> None:
    """The account gets no token any more, and its tokens stop working at once. The other account's go on."""
    tokens = [ask(http, vendor, username).json()["access_token"] for username in PASSWORDS]
    vendor.deactivate(ONE)
    assert [call(http, vendor, token) for token in tokens] == [401, 200]
    assert ask(http, vendor, "store-1").json()["error"] == "invalid_grant"
    assert ask(http, vendor, "store-2").status_code == 200
    assert [vendor.is_active(principal) for principal in (ONE, TWO, CLIENT)] == [False, True, True]


def test_deactivating_the_client_ends_all_of_its_accounts(vendor: Vendor, http: requests.Session) -> None:
    """The tokens of every service account of the client stop working."""
    tokens = [ask(http, vendor, username).json()["access_token"] for username in PASSWORDS]
    vendor.deactivate(CLIENT)
    assert [call(http, vendor, token) for token in tokens] == [401, 401]
    assert ask(http, vendor).status_code == 401
    assert [vendor.is_active(principal) for principal in (ONE, TWO, CLIENT)] == [False, False, False]


def test_a_client_has_any_number_of_accounts(vendor: Vendor, http: requests.Session) -> None:
    """Hundreds of stores can have one each."""
    for number in range(10, 310):
        vendor.add_account(CLIENT, f"store-{number}", "a password")
    assert ask(http, vendor, "store-309", password="a password").status_code == 200


def test_an_account_is_made_once(vendor: Vendor) -> None:
    """A username can't be used a second time, also not after its end."""
    vendor.deactivate(ONE)
    with pytest.raises(ValueError, match="'store-1' exists, or did"):
        vendor.add_account(CLIENT, "store-1", "another password")


def test_a_client_that_asks_alone_has_no_accounts(vendor: Vendor) -> None:
    """A client is of one generation."""
    with pytest.raises(ValueError, match="asks alone"):
        vendor.add_account(ALONE, "store-1", "a password")


def test_each_generation_has_room_for_two_clients(vendor: Vendor) -> None:
    """The limit of two active clients is of each generation."""
    vendor.add_client("client-b", "secret-b")
    vendor.add_client("client-t", "secret-t", with_accounts=True)
    for with_accounts in (False, True):
        with pytest.raises(ValueError, match="at most 2"):
            vendor.add_client("client-u", "secret-u", with_accounts=with_accounts)


def test_a_client_id_has_no_separator(vendor: Vendor) -> None:
    """Otherwise a client could be written like a service account."""
    with pytest.raises(ValueError, match="no #"):
        vendor.add_client("client#b", "secret-b")


def test_unknown_accounts_are_an_error(vendor: Vendor) -> None:
    """A mistyped principal is reported, not ignored."""
    for principal in ("client-s#nobody", "client-a#store-1", "nobody#store-1"):
        for change in (vendor.deactivate, vendor.unblock, vendor.is_active):
            with pytest.raises(ValueError, match="no "):
                change(principal)
    with pytest.raises(ValueError, match="no service account 'client-s'"):
        vendor.unblock(CLIENT)


@pytest.mark.parametrize(("key", "statuses"), [(ONE, [503, 200]), (CLIENT, [503, 503])])
def test_an_outage_can_be_of_one_account(vendor: Vendor, http: requests.Session, key: str, statuses: list[int]) -> None:
    """What requests meet can be set for a service account, or for all of a client."""
    vendor.client_outages[key] = Fault.answer(503)
    assert [ask(http, vendor, username).status_code for username in PASSWORDS] == statuses


# The control plane


def test_shows_the_accounts(vendor: Vendor, http: requests.Session) -> None:
    """`GET /_emulator` shows the service accounts of a client, and no secret."""
    ask(http, vendor, password="wrong")
    guess(http, vendor, 1)
    vendor.deactivate(TWO)
    answer = http.get(f"{vendor.url}/_emulator", timeout=10)
    assert answer.json()["clients"][CLIENT] == {
        "active": True,
        "service_accounts": {
            "store-1": {"active": True, "blocked": False, "wrong_passwords": 2},
            "store-2": {"active": False, "blocked": False, "wrong_passwords": 0},
        },
    }
    assert "canary" not in answer.text


def test_steers_the_accounts(vendor: Vendor, http: requests.Session) -> None:
    """A person can make a service account, end one, and unblock one."""
    guess(http, vendor, 10)
    new = {"client_id": CLIENT, "username": "store-3", "password": "password-3"}
    answer = steer(http, vendor, {"add_service_account": new, "deactivate": TWO, "unblock": ONE})
    accounts = answer.json()["clients"][CLIENT]["service_accounts"]
    assert {username: account["active"] for username, account in accounts.items()} == {
        "store-1": True,
        "store-2": False,
        "store-3": True,
    }
    assert ask(http, vendor, "store-1").status_code == 200
    assert ask(http, vendor, "store-3", password="password-3").status_code == 200


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"unblock": CLIENT}, CLIENT),
        ({"unblock": "client-s#nobody"}, "nobody"),
        ({"unblock": [ONE]}, "no service account"),
        ({"unblock": None}, "no service account"),
        ({"deactivate": "client-s#nobody"}, "nobody"),
        ({"add_service_account": "store-3"}, "client_id, username, password"),
        ({"add_service_account": {"client_id": CLIENT, "username": "store-3"}}, "client_id, username, password"),
        (
            {"add_service_account": {"client_id": CLIENT, "username": "store-3", "password": 3}},
            "client_id, username, password",
        ),
        (
            {"add_service_account": {"client_id": CLIENT, "username": "", "password": "x"}},
            "client_id, username, password",
        ),
        ({"add_service_account": {"client_id": CLIENT, "username": "store-1", "password": "x"}}, "exists, or did"),
        ({"add_service_account": {"client_id": ALONE, "username": "store-1", "password": "x"}}, "asks alone"),
        ({"add_service_account": {"client_id": "nobody", "username": "store-1", "password": "x"}}, "nobody"),
    ],
)
def test_refuses_to_be_steered_wrongly(
    vendor: Vendor, clock: Clock, http: requests.Session, document: dict[str, object], message: str
) -> None:
    """Bad input gets 400 with a message that names the mistake, and nothing of it is done."""
    before = vendor.describe()
    answer = steer(http, vendor, {"advance": 5} | document)
    assert answer.status_code == 400
    assert message in answer.json()["error_description"]
    assert clock.now() == NOW
    assert vendor.describe() == before
