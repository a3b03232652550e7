"""A client with a service account: its parts in the credentials, its principal, its token and its slot."""

import json
from dataclasses import replace
from typing import Any

import pytest

from handler.errors import CredentialsError
from handler.ledger import Ledger, Slot
from handler.model import Client, Credentials, Token, principal_of
from handler.policy import CLIENT_CHANGED, EXPIRING, Acquire, Keep, Wait
from handler.secrets_manager import SecretDescription
from handler.status import safe_to_deactivate
from handler.token_response import HttpResponse, error_of, parse_token

from .builders import (
    DAY,
    DEFAULT,
    FORCE,
    HOUR,
    INTERVAL,
    LATER,
    MARGIN,
    NOW,
    PRIMARY,
    STANDBY,
    decision_on,
    make_closed_ledger,
    make_credentials,
    make_settings,
    make_state,
    make_terms,
    make_token,
)

PAIR = {"client_id": "client-primary", "client_secret": "canary-primary-secret"}
ACCOUNT = {"username": "store-17", "password": "canary-password"}
OTHER_ACCOUNT = {"username": "store-18", "password": "canary-other-password"}
STORE = Client(**PAIR, **ACCOUNT)
OTHER_STORE = Client(**PAIR, **OTHER_ACCOUNT)
STORES = Credentials(STORE, OTHER_STORE, "version-1")


def parse(document: dict[str, Any]) -> Credentials:
    return Credentials.parse(json.dumps(document), "version-1")


def fault_of(document: dict[str, Any]) -> str:
    with pytest.raises(CredentialsError) as caught:
        parse(document)
    message = str(caught.value)
    assert "canary" not in message
    return message.removeprefix("the credentials secret: ")


# The credentials secret


def test_client_has_a_service_account_or_none() -> None:
    """Username and password stand next to the client."""
    assert parse(PAIR).primary == PRIMARY
    assert parse(PAIR | ACCOUNT).primary == STORE
    assert parse(PAIR | ACCOUNT).warnings == ()


def test_repr_shows_the_username_and_no_password() -> None:
    """The name of an account is shown, as a client id is."""
    shown = repr([STORES, STORE])
    assert "canary" not in shown
    assert "store-17" in shown


@pytest.mark.parametrize("prefix", ["", "standby."])
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"username": "canary"}, "password is missing, empty or not a text"),
        ({"password": "canary"}, "username is missing, empty or not a text"),
        ({"username": "", "password": "canary"}, "username is missing, empty or not a text"),
        ({"username": "canary", "password": ""}, "password is missing, empty or not a text"),
        ({"username": " ", "password": "canary"}, "username is missing, empty or not a text"),
        ({"username": "canary", "password": None}, "password is missing, empty or not a text"),
        ({"username": 5, "password": "canary"}, "username is missing, empty or not a text"),
        ({"username": ["canary"], "password": "canary"}, "username is missing, empty or not a text"),
        ({"username": "canary\n", "password": "canary"}, "username has white space at an end: remove it"),
        ({"username": "canary", "password": " canary"}, "password has white space at an end: remove it"),
        ({"username": "can\x00ary", "password": "canary"}, "username has a character that can't be printed: remove it"),
        ({"username": "canary", "password": "c\ud800"}, "password has a character that can't be printed: remove it"),
        ({"client_id": "client#canary"}, "client_id has a #, which is not supported"),
        ({"client_id": "#"}, "client_id has a #, which is not supported"),
        (ACCOUNT | {"client_id": "client#canary"}, "client_id has a #, which is not supported"),
    ],
)
def test_fault_of_a_service_account_is_named(prefix: str, changes: dict[str, Any], fault: str) -> None:
    """Both or neither, each a plain text; a client id has no `#`, so that a principal is one client's."""
    document: dict[str, Any] = PAIR | changes
    if prefix:
        document = {"client_id": "other", "client_secret": "canary", "standby": PAIR | changes}
    assert fault_of(document) == prefix + fault


@pytest.mark.parametrize(("id_length", "name_length"), [(1, 998), (998, 1), (500, 499)])
def test_principal_has_at_most_1000_characters(id_length: int, name_length: int) -> None:
    """It is a key of the ledger: both names and the `#` count."""
    document = PAIR | ACCOUNT | {"client_id": "x" * id_length, "username": "y" * name_length}
    assert len(parse(document).primary.principal) == 1_000
    document["username"] += "y"
    assert fault_of(document) == "client_id and username are longer than 1000 characters"


def test_username_may_have_any_printable_character() -> None:
    """A `#` in it does no harm, because a client id has none."""
    assert parse(PAIR | {"username": "a#b c@ä", "password": "p"}).primary.principal == "client-primary#a#b c@ä"


@pytest.mark.parametrize(
    ("standby", "expected"),
    [
        (OTHER_ACCOUNT, OTHER_STORE),
        (PAIR | OTHER_ACCOUNT, OTHER_STORE),
        (PAIR, PRIMARY),
        ({"client_id": "other", "client_secret": "s"} | ACCOUNT, Client("other", "s", **ACCOUNT)),
        ({"client_id": "other", "client_secret": "s"}, Client("other", "s")),
    ],
)
def test_standby_of_a_service_account(standby: dict[str, str], expected: Client) -> None:
    """Without client id and secret it has the primary's. It never has the primary's service account."""
    credentials = parse(PAIR | ACCOUNT | {"standby": standby})
    assert credentials.standby == expected
    assert credentials.principals == {STORE.principal, expected.principal}
    assert credentials.warnings == ()


def test_standby_of_a_client_alone_can_be_its_service_account() -> None:
    """The primary's client id and secret count, whatever the primary is."""
    assert parse(PAIR | {"standby": ACCOUNT}).standby == STORE


@pytest.mark.parametrize("given", ["client_id", "client_secret"])
def test_standby_gives_client_id_and_secret_or_neither(given: str) -> None:
    """A client id with another client's secret would be refused."""
    missing = {"client_id": "client_secret", "client_secret": "client_id"}[given]
    standby = OTHER_ACCOUNT | {given: "canary"}
    fault = fault_of(PAIR | ACCOUNT | {"standby": standby})
    assert fault == f"standby.{missing} is missing, empty or not a text"


@pytest.mark.parametrize("given", ["username", "password"])
def test_standby_with_half_an_account_is_of_the_primary_s_client(given: str) -> None:
    """What is missing is the other half, and not a client id."""
    missing = {"username": "password", "password": "username"}[given]
    fault = fault_of(PAIR | ACCOUNT | {"standby": {given: "canary"}})
    assert fault == f"standby.{missing} is missing, empty or not a text"


@pytest.mark.parametrize(
    "standby",
    [
        ACCOUNT,
        PAIR | ACCOUNT,
        ACCOUNT | {"password": "canary-another"},
        PAIR | ACCOUNT | {"client_secret": "canary-another"},
    ],
)
def test_standby_that_is_the_primary_is_refused(standby: dict[str, str]) -> None:
    """The principal says who it is, whatever the secrets are."""
    fault = fault_of(PAIR | ACCOUNT | {"standby": standby})
    assert fault == "standby is the primary: its client_id, or its username, must differ"


def test_keys_of_a_service_account_are_known_in_both_places() -> None:
    """Those of other places are named: settings in the standby have no effect."""
    standby = OTHER_ACCOUNT | {"settings": {}, "Username": "canary"}
    assert parse(PAIR | ACCOUNT | {"settings": {}, "standby": standby}).warnings == (
        "the credentials secret has an unknown key 'standby.settings': it is ignored",
        "the credentials secret has an unknown key 'standby.Username': it is ignored",
    )


@pytest.mark.parametrize("value", [None, True, 0, 5, "canary", [], ["canary"]])
def test_settings_that_are_not_an_object_are_named(value: Any) -> None:
    """An empty list is a mistake, too."""
    assert fault_of(PAIR | {"settings": value}) == "settings is not an object"


def test_settings_are_kept_for_their_check() -> None:
    """The document is read first, and the settings are checked next to the environment's."""
    assert parse(PAIR | {"settings": {"scope": 5}}).settings == {"scope": 5}
    assert parse(PAIR).settings == {}


# The principal


def test_principal_is_the_client_or_the_client_with_its_account() -> None:
    """The ledger, `status` and the log name them so."""
    assert PRIMARY.principal == "client-primary"
    assert STORE.principal == "client-primary#store-17"
    assert make_token().principal == PRIMARY.principal
    assert make_token(STORE).principal == STORE.principal
    assert principal_of("a", None) == "a"
    assert principal_of("a", "b") == "a#b"


@pytest.mark.parametrize("client", [PRIMARY, STORE])
def test_token_document_reads_back_with_its_username(client: Client) -> None:
    """A text, or null for a client alone."""
    token = make_token(client)
    document = Ledger().to_json(token)
    assert json.loads(document)["username"] == client.username
    assert read(document) == token


def read(document: str) -> Token | None:
    return Token.parse(document, now=NOW, max_lifetime_seconds=DAY, clock_margin_seconds=MARGIN)


@pytest.mark.parametrize("value", [True, 5, 1.5, [], {}, "line\nbreak", "half a pair: \ud800"])
def test_document_with_another_username_is_not_a_token(value: Any) -> None:
    """It is shown in results, and is a part of the ledger's key."""
    document = make_token(STORE).document() | {"username": value}
    assert read(json.dumps(document)) is None


def test_document_that_leaves_no_room_for_its_username_is_not_a_token() -> None:
    """The username counts with the rest of the document."""
    room = 61_000 - len(json.dumps(make_token(STORE).document() | {"username": ""}))
    token = make_token(STORE, username="x" * room)
    assert read(json.dumps(token.document())) == token
    assert read(json.dumps(token.document() | {"username": "x" * (room + 1)})) is None


@pytest.mark.parametrize(
    ("other", "is_superseded"),
    [(STORE, True), (OTHER_STORE, False), (PRIMARY, False), (replace(STORE, client_id="other"), False)],
)
def test_token_is_superseded_by_its_own_principal_alone(other: Client, is_superseded: bool) -> None:
    """Two accounts of one client are two principals."""
    assert make_token(STORE, age=HOUR).is_superseded_by(make_token(other, age=60)) is is_superseded


def test_token_of_an_answer_has_the_account_that_asked() -> None:
    """And the hash of the parameters that it was asked with."""
    settings = make_settings().for_connection({"parameters": {"resource": "r"}})
    body = b'{"access_token": "a", "expires_in": 86400}'
    token = parse_token(body, STORE, settings, sent_at=NOW, arrived_at=LATER).token
    assert (token.client_id, token.username) == ("client-primary", "store-17")
    assert token.requested_parameters == settings.parameters_hash != ""


@pytest.mark.parametrize(("client", "count"), [(STORE, 0), (PRIMARY, 1)])
def test_token_of_an_hour_is_odd_for_a_client_with_an_interval_alone(client: Client, count: int) -> None:
    """A service account can have the next one at once."""
    body = b'{"access_token": "a", "expires_in": 3600}'
    assert len(parse_token(body, client, make_settings(), sent_at=NOW, arrived_at=LATER).oddities) == count


# The slot and the decision


@pytest.mark.parametrize(("client", "seconds"), [(PRIMARY, INTERVAL), (STORE, MARGIN)])
def test_token_spends_the_slot_of_its_own_principal(client: Client, seconds: int) -> None:
    """A service account's for the margin alone."""
    token = make_token(client, age=0)
    spent = Slot(not_before=NOW + seconds, reason="limit_interval")
    assert Ledger().after_publish(token, make_settings(), NOW).slots == {client.principal: spent}


def test_slot_of_the_client_is_not_that_of_its_account() -> None:
    """The client is over its limit, and its service account may ask."""
    credentials = Credentials(PRIMARY, STORE, "version-1")
    ledger = make_closed_ledger(PRIMARY)
    assert decision_on(current=None, credentials=credentials, ledger=ledger) == Acquire("missing", STORE)
    ledger = make_closed_ledger(STORE)
    credentials = Credentials(STORE, PRIMARY, "version-1")
    assert decision_on(current=None, credentials=credentials, ledger=ledger) == Acquire("missing", PRIMARY)


@pytest.mark.parametrize("current", [PRIMARY, OTHER_STORE])
def test_token_of_another_account_is_due_as_client_changed(current: Client) -> None:
    """Also with the same client id."""
    decision = decision_on(current=make_token(current), credentials=STORES)
    assert decision == Acquire(CLIENT_CHANGED, STORE)


def test_token_asked_with_other_parameters_is_due_as_config_changed() -> None:
    """Its audience and scope are the same, and it is not what the connection asks for."""
    parameters = '{"resource": "r"}'
    state = make_state(settings=make_settings(parameters=parameters, limit_interval_seconds=0))
    assert state.due_reason(state.current, DEFAULT) == "config_changed"
    assert state.seconds_remaining(state.current) == 0
    hashed = state.settings.parameters_hash
    fitting = make_token(requested_parameters=hashed)
    assert state.due_reason(fitting, DEFAULT) is None
    assert make_state().due_reason(fitting, DEFAULT) == "config_changed"


def test_service_account_may_be_forced_without_an_interval() -> None:
    """A token of an hour's age has not spent a slot any more."""
    store = make_token(STORE)
    assert decision_on(current=store, credentials=STORES, request=FORCE) == Acquire("forced", STORE)
    assert isinstance(decision_on(request=FORCE), Wait)
    assert decision_on(current=store, credentials=STORES) == Keep()
    expiring = make_token(STORE, age=20 * HOUR, remaining=4 * HOUR)
    assert decision_on(current=expiring, credentials=STORES) == Acquire(EXPIRING, STORE)


def test_account_is_asked_once_in_a_run() -> None:
    """The run remembers principals, not clients."""
    asked = frozenset({STORE.principal})
    assert decision_on(current=None, credentials=STORES, tried=asked) == Acquire("missing", OTHER_STORE)
    both = asked | {OTHER_STORE.principal}
    assert isinstance(decision_on(current=None, credentials=STORES, tried=both), Wait)


def test_limit_refusal_of_an_account_closes_it_for_its_own_interval() -> None:
    """With a suspicion: the interval and the margin, at least 15 min. A service account has no interval."""
    refusal = error_of(HttpResponse(400, b"has exceeded the daily rate limit"), NOW)
    for client, seconds in ((STORE, 900), (PRIMARY, INTERVAL)):
        terms = make_terms(make_credentials())
        before = Ledger(slots={client.principal: Slot(suspicions=1)})
        after = before.after_error(
            refusal,
            principal=client.principal,
            slot_before=before.slot(client.principal),
            is_override=False,
            now=NOW,
            terms=terms,
        )
        assert after.slot(client.principal).not_before == NOW + seconds


# Which one may be deactivated


@pytest.mark.parametrize(
    ("primary", "left_behind", "expected"),
    [
        (STORE, OTHER_STORE, OTHER_STORE.principal),
        (STORE, PRIMARY, None),
        (PRIMARY, STORE, STORE.principal),
        (STORE, STANDBY, STANDBY.principal),
        (STORE, replace(STORE, client_id="other"), "other#store-17"),
    ],
)
@pytest.mark.parametrize("is_standby", [True, False])
def test_client_alone_is_not_named_while_its_account_is_the_primary(
    primary: Client, left_behind: Client, expected: str | None, is_standby: bool
) -> None:
    """Deactivating a client ends the tokens of its service accounts, too."""
    credentials = Credentials(primary, None, "version-1")
    if is_standby:
        credentials = replace(credentials, standby=left_behind)
    state = make_state(current=make_token(primary, age=2 * HOUR), credentials=credentials)
    found = safe_to_deactivate(
        state,
        make_token(left_behind, age=3 * HOUR),
        previous_created_at=NOW - 3 * HOUR,
        description=SecretDescription(changed_at=NOW - 2 * HOUR, is_in_sync=True),
    )
    assert found == expected
