"""Service accounts: the password grant, its principal, its pauses, and rotation without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from handler.errors import CredentialsError, CredentialsRefused, OutcomeUnknown, RateLimited
from local.emulators.world import World
from tests.integration.account_endpoint import (
    NEW_STORE,
    PASSWORDS,
    STORE,
    WRONG_PASSWORD,
    AccountEndpoint,
    account_of,
    client_of,
    form_of,
    pair_of,
    put_credentials,
)
from tests.integration.helpers import (
    BLUE,
    CURRENT,
    DAY,
    FORCE,
    GREEN,
    HOUR,
    INTERVAL,
    MINUTE,
    STATUS,
    Json,
    ledger,
    now,
    outcome_and_reason,
    public,
    run,
    slot_of,
    write,
)
from tests.integration.recorder import Recorder
from tests.integration.traffic import fail_publishes, logged, metrics, record_traffic

MARGIN = 300
OURS = f"{BLUE}#{STORE}"
NEW = f"{BLUE}#{NEW_STORE}"
METHODS = pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
SUCCESS = {"access_token": "canary-token", "token_type": "Bearer", "expires_in": DAY}


@pytest.fixture
def endpoint(world: World) -> Iterator[AccountEndpoint]:
    """The vendor's endpoint. The primary is a service account of the blue client."""
    put_credentials(world, client_of(world) | account_of(STORE))
    with AccountEndpoint(world.clock, world.client_secrets) as made:
        yield made
    assert "canary" not in world.output


def invoke(world: World, endpoint: AccountEndpoint, event: object = None, **overrides: str) -> Json:
    return world.invoke(event, world.process(TOKEN_URL=endpoint.token_url, **overrides))


def outcome(world: World, endpoint: AccountEndpoint, event: object = None) -> str:
    """Invoke the function; return the outcome, or the name of the error."""
    return run(world, event, process=world.process(TOKEN_URL=endpoint.token_url))


# The request as it is sent


def test_password_grant_sends_the_fields_of_its_section(world: World) -> None:
    """RFC 6749 section 4.3.2, with client and secret in the form."""
    put_credentials(world, {"client_id": "a b", "client_secret": "c&d", "username": "e+f", "password": "g=h%"})
    with Recorder(body=SUCCESS) as recorder:
        world.invoke(process=world.process(TOKEN_URL=recorder.url))
    [received] = recorder.received
    assert received.body == (
        "grant_type=password&audience=https%3A%2F%2Fapi.tangocard.com%2F&scope=raas.all"
        "&username=e%2Bf&password=g%3Dh%25&client_id=a+b&client_secret=c%26d"
    )
    assert "Authorization" not in received.headers
    assert received.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_password_grant_with_a_basic_header_has_no_client_in_its_form(world: World) -> None:
    """The service account stays in the form, whichever way the client authenticates."""
    put_credentials(world, {"client_id": "a b", "client_secret": "c:d", "username": "e+f", "password": "g=h%"})
    process = {"CLIENT_AUTH": "client_secret_basic", "AUDIENCE": "", "SCOPE": ""}
    with Recorder(body=SUCCESS) as recorder:
        world.invoke(process=world.process(TOKEN_URL=recorder.url, **process))
    [received] = recorder.received
    assert received.body == "grant_type=password&username=e%2Bf&password=g%3Dh%25"
    assert received.headers["Authorization"] == "Basic YSUyMGI6YyUzQWQ="  # a%20b:c%3Ad


@METHODS
@pytest.mark.parametrize(
    "text",
    ["a:b", "a%b", "a+b", "a&b=c", "a/b?c", 'a"b$', "a b", "a@b.example", "ä-ö-€-😀", "%2B%25", "a;b,c", "a\\b'c"],
)
def test_reserved_characters_arrive_as_they_are(world: World, client_auth: str, text: str) -> None:
    """A client, its secret, a username and a password can each hold any printable character."""
    document = {"client_id": text, "client_secret": f"s{text}", "username": f"u{text}#", "password": f"p{text}"}
    put_credentials(world, document)
    with Recorder(body=SUCCESS) as recorder:
        result = world.invoke(process=world.process(TOKEN_URL=recorder.url, CLIENT_AUTH=client_auth))
    [received] = recorder.received
    form = form_of(received)
    assert (form["username"], form["password"]) == (f"u{text}#", f"p{text}")
    if client_auth == "client_secret_basic":
        assert pair_of(received) == (text, f"s{text}")
        assert not {"client_id", "client_secret"} & set(form)
    else:
        assert (form["client_id"], form["client_secret"]) == (text, f"s{text}")
    assert (result["client_id"], result["username"]) == (text, f"u{text}#")
    assert list(ledger(world)["slots"]) == [f"{text}#u{text}#"]


@METHODS
def test_client_alone_sends_no_service_account(world: World, client_auth: str) -> None:
    """The other grant is as it was."""
    with Recorder(body=SUCCESS) as recorder:
        world.invoke(process=world.process(TOKEN_URL=recorder.url, CLIENT_AUTH=client_auth))
    [received] = recorder.received
    form = form_of(received)
    assert form["grant_type"] == "client_credentials"
    assert not {"username", "password"} & set(form)


# Who asks


def test_principal_names_the_slot_the_claim_and_the_token(world: World, endpoint: AccountEndpoint) -> None:
    """Ledger, document, result and `status` name the service account, and nothing shows its password."""
    with record_traffic(world) as traffic:
        result = invoke(world, endpoint)
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert (result["client_id"], result["username"]) == (BLUE, STORE)
    assert [claim["lock"]["principal"] for claim in traffic.claims] == [OURS]
    token = world.token()
    assert (token["client_id"], token["username"]) == (BLUE, STORE)
    assert list(token["ledger"]["slots"]) == [OURS]
    status = invoke(world, endpoint, STATUS)
    assert outcome_and_reason(status) == ("kept", "fresh")
    assert (status["client_id"], status["username"]) == (BLUE, STORE)
    assert list(status["ledger"]["slots"]) == [OURS]
    assert outcome_and_reason(invoke(world, endpoint)) == ("kept", "fresh")
    assert endpoint.principals_asked() == [OURS]
    everything = [version.document for version in world.secrets.versions("tango/token").values()]
    assert not any(PASSWORDS[STORE] in text for text in everything)


@pytest.mark.parametrize("becomes", ["a service account", "a client alone"])
def test_move_between_a_client_and_its_service_account_is_another_principal(
    world: World, endpoint: AccountEndpoint, becomes: str
) -> None:
    """The token of the one is not the other's, and neither is its slot: the next run asks."""
    alone = client_of(world)
    account = alone | account_of(STORE)
    before, after, asked = alone, account, [BLUE, OURS]
    if becomes == "a client alone":
        before, after, asked = account, alone, [OURS, BLUE]
    put_credentials(world, before)
    invoke(world, endpoint)
    put_credentials(world, after)
    result = invoke(world, endpoint)
    assert outcome_and_reason(result) == ("refreshed", "client_changed")
    assert result["username"] == after.get("username")
    assert endpoint.principals_asked() == asked


@pytest.mark.parametrize("given", [False, True], ids=["without client", "with client"])
def test_standby_can_be_another_service_account_of_the_same_client(
    world: World, endpoint: AccountEndpoint, given: bool
) -> None:
    """A standby that gives no client id and secret has the primary's. It is asked in the run of the refusal."""
    standby = account_of(NEW_STORE)
    if given:
        standby |= client_of(world)
    primary = client_of(world) | {"username": STORE, "password": WRONG_PASSWORD}
    put_credentials(world, primary | {"standby": standby})
    result = invoke(world, endpoint)
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert (result["client_id"], result["username"]) == (BLUE, NEW_STORE)
    assert endpoint.principals_asked() == [OURS, NEW]
    asked = form_of(endpoint.received[-1])
    assert (asked["client_id"], asked["password"]) == (BLUE, PASSWORDS[NEW_STORE])
    assert asked["client_secret"] == world.client_secrets[BLUE]
    assert set(ledger(world)["slots"]) == {OURS, NEW}
    assert slot_of(world, OURS)["reason"] == "credentials_refused"
    assert metrics(world)["StandbyUsed"] == 1
    assert len(logged(world, "StandbyUsed")) == 1


def test_standby_can_be_a_service_account_of_another_client(world: World, endpoint: AccountEndpoint) -> None:
    """Two clients may have accounts of the same name: they are two principals."""
    wrong = client_of(world) | {"username": STORE, "password": WRONG_PASSWORD}
    put_credentials(world, wrong | {"standby": client_of(world, GREEN) | account_of(STORE)})
    assert invoke(world, endpoint)["client_id"] == GREEN
    assert endpoint.principals_asked() == [OURS, f"{GREEN}#{STORE}"]


def test_service_account_is_the_standby_of_its_client_alone(world: World, endpoint: AccountEndpoint) -> None:
    """The limit is the client's alone, so its service account steps in when the client is over it."""
    put_credentials(world, client_of(world))
    endpoint.lost_answers = 1
    assert outcome(world, endpoint) == "OutcomeUnknown"
    put_credentials(world, client_of(world) | {"standby": account_of(STORE)})
    result = invoke(world, endpoint)
    assert outcome_and_reason(result) == ("refreshed", "missing")
    assert (result["client_id"], result["username"]) == (BLUE, STORE)
    assert endpoint.principals_asked() == [BLUE, BLUE, OURS]
    assert slot_of(world)["reason"] == "rate_limited"
    assert slot_of(world, OURS)["not_before"] == now(world) + MARGIN
    world.clock.advance(INTERVAL)
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "client_changed")
    assert endpoint.principals_asked()[-1] == BLUE


def test_client_alone_is_the_standby_of_its_service_account(world: World, endpoint: AccountEndpoint) -> None:
    """A standby with the primary's client and no account asks as the client alone, with the client's interval."""
    wrong = client_of(world) | {"username": STORE, "password": WRONG_PASSWORD}
    put_credentials(world, wrong | {"standby": client_of(world)})
    result = invoke(world, endpoint)
    assert (result["client_id"], result["username"]) == (BLUE, None)
    assert endpoint.principals_asked() == [OURS, BLUE]
    assert slot_of(world)["not_before"] == now(world) + INTERVAL
    put_credentials(world, client_of(world) | account_of(STORE) | {"standby": client_of(world)})
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "client_changed")
    world.clock.advance(HOUR + 1)
    # Whoever deactivates the client ends the tokens of its service accounts, too.
    assert invoke(world, endpoint, STATUS)["safe_to_deactivate"] is None


# The limit


def test_service_account_has_no_interval_by_default(world: World, endpoint: AccountEndpoint) -> None:
    """The vendor grants a service account as many tokens as it likes. Only our margin remains."""
    result = invoke(world, endpoint)
    assert result["not_before"] == now(world) + MARGIN
    world.clock.advance(10 * MINUTE)
    assert outcome_and_reason(invoke(world, endpoint, FORCE)) == ("refreshed", "forced")
    assert len(endpoint.owners) == 2


def test_interval_that_is_set_holds_for_a_service_account_too(world: World, endpoint: AccountEndpoint) -> None:
    """Another vendor's limit may be per account."""
    limit = {"LIMIT_INTERVAL_SECONDS": "7200"}
    result = invoke(world, endpoint, **limit)
    assert result["not_before"] == now(world) + 7_200 + MARGIN
    world.clock.advance(7_200 + MARGIN - 1)
    assert outcome_and_reason(invoke(world, endpoint, FORCE, **limit)) == ("waiting", "limit_interval")
    world.clock.advance(1)
    assert outcome_and_reason(invoke(world, endpoint, FORCE, **limit)) == ("refreshed", "forced")


@pytest.mark.parametrize(("limit", "seconds"), [({}, INTERVAL), ({"LIMIT_INTERVAL_SECONDS": "0"}, MARGIN)])
def test_client_alone_has_the_interval_of_twenty_hours_by_default(
    world: World, endpoint: AccountEndpoint, limit: dict[str, str], seconds: int
) -> None:
    """Empty means the vendor's limit, and 0 means that there is none."""
    put_credentials(world, client_of(world))
    assert invoke(world, endpoint, **limit)["not_before"] == now(world) + seconds


def test_lost_answer_costs_a_service_account_nothing(world: World, endpoint: AccountEndpoint) -> None:
    """Without a limit, the request of the next minute is granted."""
    endpoint.lost_answers = 1
    with pytest.raises(OutcomeUnknown):
        invoke(world, endpoint)
    assert list(endpoint.owners.values()) == [OURS]
    assert slot_of(world, OURS)["suspicions"] == 1
    world.clock.advance(MINUTE)
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "missing")
    assert slot_of(world, OURS)["suspicions"] == 0
    assert list(endpoint.owners.values()) == [OURS, OURS]


def test_five_days_of_hourly_runs_have_a_good_token_at_every_hour(world: World, endpoint: AccountEndpoint) -> None:
    """A service account's token is renewed in its window, as a client's is: every twenty hours."""
    for _ in range(5 * 24 + 1):
        invoke(world, endpoint)
        assert endpoint.accepts(world.token())
        world.clock.advance(HOUR)
    assert len(endpoint.received) == len(endpoint.owners) == 7


# A token that was issued is not lost


def test_token_that_could_not_be_saved_is_published_by_the_next_run(world: World, endpoint: AccountEndpoint) -> None:
    """The warm process keeps it under its principal, and nobody is asked again."""
    process = world.process(TOKEN_URL=endpoint.token_url)
    fail_publishes(world)
    assert run(world, process=process) == "StoreError"
    world.secrets.on_call = None
    assert [key.principal for key in process.unsaved] == [OURS]
    world.clock.advance(MINUTE)
    assert outcome_and_reason(world.invoke(process=process)) == ("recovered", "unsaved")
    assert process.unsaved == {}
    assert (world.token()["username"], len(endpoint.received)) == (STORE, 1)


def test_unsaved_token_of_another_account_is_not_published(world: World, endpoint: AccountEndpoint) -> None:
    """Between the two runs a person has put another account of the same client in."""
    process = world.process(TOKEN_URL=endpoint.token_url)
    fail_publishes(world)
    assert run(world, process=process) == "StoreError"
    world.secrets.on_call = None
    put_credentials(world, client_of(world) | account_of(NEW_STORE))
    world.clock.advance(4 * MINUTE)
    assert outcome_and_reason(world.invoke(process=process)) == ("refreshed", "missing")
    assert world.token()["username"] == NEW_STORE


@pytest.mark.parametrize(("times", "reason"), [(1, "previous"), (2, "displaced")])
def test_token_that_was_written_over_comes_back(
    world: World, endpoint: AccountEndpoint, times: int, reason: str
) -> None:
    """The token of the configured account is found by its principal."""
    invoke(world, endpoint)
    token = public(world.token())
    for number in range(times):
        write(world, f"oops {number}", CURRENT)
    assert outcome_and_reason(invoke(world, endpoint)) == ("recovered", reason)
    assert public(world.token()) == token
    assert len(endpoint.received) == 1


# Refused passwords


def test_wrong_password_is_refused_credentials_with_pauses_that_grow(world: World, endpoint: AccountEndpoint) -> None:
    """403 `invalid_grant`. Each refusal doubles the pause, up to a day."""
    put_credentials(world, client_of(world) | {"username": STORE, "password": WRONG_PASSWORD})
    pauses = []
    for _ in range(7):
        with pytest.raises(CredentialsRefused, match="HTTP 403, invalid_grant"):
            invoke(world, endpoint)
        closed = slot_of(world, OURS)
        assert closed["reason"] == "credentials_refused"
        pauses.append(closed["not_before"] - now(world))
        world.clock.advance(pauses[-1] - 1)
        with record_traffic(world) as traffic, pytest.raises(CredentialsRefused):
            invoke(world, endpoint)
        assert traffic.writes == []
        world.clock.advance(1)
    assert [pause / HOUR for pause in pauses] == [1, 2, 4, 8, 16, 24, 24]
    assert len(endpoint.received) == 7


@pytest.mark.parametrize(("has_token", "hours"), [(False, 24), (True, 48)])
def test_days_of_a_wrong_password_do_not_block_the_account(
    world: World, endpoint: AccountEndpoint, has_token: bool, hours: int
) -> None:
    """The vendor blocks an account after ten. Runs come every hour, with Lambda's two retries of each failure."""
    if has_token:
        invoke(world, endpoint)
        world.clock.advance(20 * HOUR)
    asked_before = len(endpoint.received)
    put_credentials(world, client_of(world) | {"username": STORE, "password": WRONG_PASSWORD})
    for _ in range(hours):
        for wait in (0, MINUTE, 2 * MINUTE):
            world.clock.advance(wait)
            assert outcome(world, endpoint) in {"CredentialsRefused", "waiting"}
        world.clock.advance(HOUR - 3 * MINUTE)
    assert 5 <= len(endpoint.received) - asked_before <= 9
    assert endpoint.wrong_passwords == len(endpoint.received) - asked_before
    put_credentials(world, client_of(world) | account_of(STORE))
    assert outcome(world, endpoint) == "refreshed"


def test_blocked_account_waits_as_the_vendor_says(world: World, endpoint: AccountEndpoint) -> None:
    """429 `too_many_attempts` is a limit: a pause of a quarter of an hour, and no further attempt before."""
    endpoint.wrong_passwords = 10
    with pytest.raises(RateLimited, match="HTTP 429, too_many_attempts"):
        invoke(world, endpoint)
    assert slot_of(world, OURS)["not_before"] == now(world) + 15 * MINUTE
    assert outcome(world, endpoint) == "RateLimited"
    assert len(endpoint.received) == 1


def test_refused_client_of_a_service_account_is_refused_credentials(world: World, endpoint: AccountEndpoint) -> None:
    """401 with an empty `text/plain` body, as the second generation has it."""
    put_credentials(world, client_of(world) | {"client_secret": "canary-mistyped"} | account_of(STORE))
    with pytest.raises(CredentialsRefused, match="HTTP 401"):
        invoke(world, endpoint)
    assert slot_of(world, OURS)["reason"] == "credentials_refused"
    assert endpoint.wrong_passwords == 0


def test_password_that_is_put_right_is_asked_at_the_next_run(world: World, endpoint: AccountEndpoint) -> None:
    """A new version of the secret is another request, whatever pause the old one had."""
    wrong = client_of(world) | {"username": STORE, "password": WRONG_PASSWORD}
    put_credentials(world, wrong)
    for _ in range(4):
        assert outcome(world, endpoint) == "CredentialsRefused"
        world.clock.advance(max(0, slot_of(world, OURS)["not_before"] - now(world)))
    put_credentials(world, wrong | account_of(STORE))
    assert outcome(world, endpoint) == "refreshed"
    assert slot_of(world, OURS)["failures"] == 0


# Rotation


def safe_to_deactivate(world: World, endpoint: AccountEndpoint) -> Any:
    return invoke(world, endpoint, STATUS)["safe_to_deactivate"]


@pytest.mark.parametrize("old_as_standby", [True, False])
def test_rotation_of_a_service_account_has_no_gap(
    world: World, endpoint: AccountEndpoint, old_as_standby: bool
) -> None:
    """The new account's token is out before the old account goes, and `status` says when it may go."""
    invoke(world, endpoint)
    world.clock.advance(HOUR)
    document = client_of(world) | account_of(NEW_STORE)
    if old_as_standby:
        document |= {"standby": account_of(STORE)}
    put_credentials(world, document)
    assert endpoint.accepts(world.token())
    assert safe_to_deactivate(world, endpoint) is None
    result = invoke(world, endpoint)
    assert outcome_and_reason(result) == ("refreshed", "client_changed")
    assert (result["client_id"], result["username"]) == (BLUE, NEW_STORE)
    assert endpoint.accepts(world.token())
    world.clock.advance(HOUR)
    assert safe_to_deactivate(world, endpoint) is None
    world.clock.advance(1)
    assert safe_to_deactivate(world, endpoint) == OURS
    endpoint.deactivate(OURS)
    assert endpoint.accepts(world.token())
    put_credentials(world, client_of(world) | account_of(NEW_STORE))
    for _ in range(48):
        assert outcome(world, endpoint) in {"kept", "refreshed"}
        assert endpoint.accepts(world.token())
        world.clock.advance(HOUR)
    assert set(endpoint.principals_asked()[1:]) == {NEW}


def test_rotation_with_a_wrong_new_password_keeps_the_old_account_at_work(
    world: World, endpoint: AccountEndpoint
) -> None:
    """The old account, as standby, keeps consumers supplied until a person has put the new password right."""
    invoke(world, endpoint)
    wrong = client_of(world) | {"username": NEW_STORE, "password": WRONG_PASSWORD}
    put_credentials(world, wrong | {"standby": account_of(STORE)})
    for _ in range(48):
        outcome(world, endpoint)
        assert endpoint.accepts(world.token())
        world.clock.advance(HOUR)
    assert world.token()["username"] == STORE
    assert safe_to_deactivate(world, endpoint) is None
    assert endpoint.wrong_passwords <= 9
    put_credentials(world, client_of(world) | account_of(NEW_STORE) | {"standby": account_of(STORE)})
    assert outcome(world, endpoint) == "refreshed"
    assert world.token()["username"] == NEW_STORE


@pytest.mark.parametrize("old_as_standby", [True, False])
def test_client_alone_is_never_safe_to_deactivate_while_its_account_is_the_primary(
    world: World, endpoint: AccountEndpoint, old_as_standby: bool
) -> None:
    """Deactivating the client would end the tokens of its service accounts, too."""
    put_credentials(world, client_of(world))
    invoke(world, endpoint)
    document = client_of(world) | account_of(STORE)
    if old_as_standby:
        document |= {"standby": client_of(world)}
    put_credentials(world, document)
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "client_changed")
    for _ in range(4):
        world.clock.advance(HOUR)
        assert safe_to_deactivate(world, endpoint) is None


def test_account_that_a_client_alone_left_behind_is_named(world: World, endpoint: AccountEndpoint) -> None:
    """The other way round the account may go: deactivating it ends no token but its own."""
    invoke(world, endpoint)
    put_credentials(world, client_of(world))
    assert invoke(world, endpoint)["username"] is None
    world.clock.advance(HOUR + 1)
    assert safe_to_deactivate(world, endpoint) == OURS


def test_account_of_another_client_is_named_with_its_client(world: World, endpoint: AccountEndpoint) -> None:
    """A principal is both names."""
    put_credentials(world, client_of(world, GREEN) | account_of(STORE))
    invoke(world, endpoint)
    put_credentials(world, client_of(world) | account_of(STORE))
    assert outcome_and_reason(invoke(world, endpoint)) == ("refreshed", "client_changed")
    world.clock.advance(HOUR + 1)
    assert safe_to_deactivate(world, endpoint) == f"{GREEN}#{STORE}"


# Bad input


BAD_ACCOUNTS: list[tuple[Json, str]] = [
    ({"username": STORE}, "password"),
    ({"password": "canary"}, "username"),
    ({"username": "", "password": "canary"}, "username"),
    ({"username": STORE, "password": ""}, "password"),
    ({"username": STORE, "password": "canary\n"}, "password"),
    ({"username": 5, "password": "canary"}, "username"),
    ({"client_id": "client#canary"}, "client_id"),
    ({"client_id": "client#canary", "username": STORE, "password": "canary"}, "client_id"),
]


@pytest.mark.parametrize("place", ["primary", "standby"])
@pytest.mark.parametrize(("changes", "name"), BAD_ACCOUNTS)
def test_bad_service_account_is_named_before_anything_is_asked(
    world: World, endpoint: AccountEndpoint, place: str, changes: Json, name: str
) -> None:
    """The field is named, its value is not repeated, and the metric still tells what consumers have."""
    invoke(world, endpoint)
    document = client_of(world) | changes
    named = f"credentials secret: {name} "
    if place == "standby":
        document = client_of(world, GREEN) | {"standby": client_of(world) | changes}
        named = f"credentials secret: standby.{name} "
    put_credentials(world, document)
    with record_traffic(world) as traffic, pytest.raises(CredentialsError) as caught:
        invoke(world, endpoint)
    assert named in str(caught.value)
    assert traffic.operations == ["BatchGetSecretValue"]
    assert len(endpoint.received) == 1
    assert metrics(world) == {"TokenSecondsRemaining": DAY, "Failed": 1}


@pytest.mark.parametrize("given", [False, True], ids=["without client", "with client"])
def test_standby_that_is_the_primary_is_refused(world: World, endpoint: AccountEndpoint, given: bool) -> None:
    """Two passwords for one account are a mistake: both would share one slot."""
    standby = {"username": STORE, "password": "canary"}
    if given:
        standby |= client_of(world)
    put_credentials(world, client_of(world) | account_of(STORE) | {"standby": standby})
    with pytest.raises(CredentialsError, match="standby is the primary"):
        invoke(world, endpoint)
    assert endpoint.received == []
