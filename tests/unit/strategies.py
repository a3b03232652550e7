"""Everything that a run may meet, for the tests of what always holds."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    VendorUnreachable,
)
from handler.ledger import PACE_MAX_LEVEL, PACE_MIN_LEVEL, Ledger, Lock, Pace, Slot, Terms
from handler.model import Client, Credentials, Token
from handler.policy import State
from handler.token_response import HttpResponse, error_of

from .builders import (
    ACCOUNT,
    ASKED_WITH,
    ASKED_WITH_BEFORE,
    AUDIENCE,
    DAY,
    DEFAULT,
    FORCE,
    FORMER,
    INTERVAL,
    LIMIT_TEXT,
    NOW,
    OTHER_AUDIENCE,
    OTHER_URL,
    OVERRIDE,
    PRIMARY,
    STANDBY,
    URL,
    WINDOW,
    make_error,
    make_settings,
    make_success_error,
)

NEAR_TIMES = [
    -DAY,
    -INTERVAL,
    -600,
    -60,
    -1,
    0,
    1,
    60,
    600,
    900,
    3_600,
    7_200,
    WINDOW,
    INTERVAL,
    DAY,
]

# Any value that a JSON document can hold.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
clients = st.sampled_from([PRIMARY, STANDBY, FORMER, ACCOUNT])
principals = clients.map(lambda client: client.principal)
seconds_ahead = st.sampled_from(NEAR_TIMES) | st.integers(-100_000, 100_000)
times = seconds_ahead.map(lambda ahead: NOW + ahead)


def _token_of(owner: Client, **changes: Any) -> Token:
    return Token(client_id=owner.client_id, username=owner.username, **changes)


tokens = st.builds(
    _token_of,
    owner=clients,
    access_token=st.sampled_from(["one", "two"]),
    token_type=st.just("Bearer"),
    scope=st.just("raas.all"),
    expires_at=times,
    acquired_at=times,
    audience=st.sampled_from([AUDIENCE, AUDIENCE, OTHER_AUDIENCE]),
    requested_scope=st.sampled_from(["raas.all", "raas.all", "raas.none"]),
    requested_parameters=st.sampled_from(["", "", "", "0123456789abcdef"]),
    token_url=st.sampled_from([URL, URL, OTHER_URL]),
)
reasons = st.sampled_from([None, "limit_interval", "rate_limited", "credentials_refused", "backing_off", "same_token"])
errors_of_slots = st.sampled_from([None, "RateLimited", "CredentialsRefused", "VendorError", "OutcomeUnknown"])
slots = st.builds(
    Slot,
    not_before=times,
    reason=reasons,
    suspicions=st.integers(0, 3),
    failures=st.integers(0, 5),
    asked_at=st.just(0) | times,
    asked_with=st.sampled_from([None, ASKED_WITH, ASKED_WITH_BEFORE]),
    error=errors_of_slots,
)
paces = st.builds(
    Pace,
    level=st.sampled_from([PACE_MIN_LEVEL, -1, 0, 0.9, 1, 3.9, 4, PACE_MAX_LEVEL]),
    at=st.just(0) | times,
)
locks = st.builds(
    Lock,
    run_id=st.sampled_from(["another-run", "this-run"]),
    principal=st.none() | principals,
    claimed_at=times,
    until=times,
)
ledgers = st.builds(
    Ledger,
    lock=st.none() | locks,
    slots=st.dictionaries(principals, slots, max_size=4),
    pace=st.just(Pace()) | paces,
)
credentials = st.builds(
    Credentials,
    primary=st.just(PRIMARY),
    standby=st.sampled_from([None, STANDBY, ACCOUNT]),
    version_id=st.sampled_from(["version-1", "version-2"]),
)
settings = st.sampled_from([make_settings(), make_settings(limit_interval_seconds=60, standby_below_seconds=0)])
requests = st.sampled_from([DEFAULT, FORCE, OVERRIDE])
all_terms = st.builds(
    Terms,
    credentials=credentials,
    settings=settings,
    token_life_seconds=st.sampled_from([0, 900, 3_600, DAY]),
)
# The principals that were asked in the run.
tried_principals = st.frozensets(principals, max_size=2)
responses = st.builds(
    HttpResponse,
    status=st.sampled_from([302, 400, 401, 403, 404, 429, 500]),
    body=st.just(b""),
    retry_after=st.just("60"),
)
errors = st.builds(error_of, responses, times) | st.sampled_from(
    [
        make_error(400, LIMIT_TEXT),
        CredentialsRefused("no"),
        OutcomeUnknown("cut"),
        VendorUnreachable("dns"),
        make_success_error(b""),
    ]
)


@st.composite
def states(draw: st.DrawFn, ledgers: st.SearchStrategy[Ledger] = ledgers) -> State:
    """Draw a state as a run reads it: the ledger as of now, and one unsaved token per principal."""
    now = NOW + draw(st.just(0.0) | st.floats(0, 1))
    known = draw(credentials)
    chosen = draw(settings)
    unsaved = draw(st.lists(tokens, max_size=2, unique_by=lambda token: token.principal))
    state = State(
        now=now,
        current=draw(st.none() | tokens),
        previous=draw(st.none() | tokens),
        displaced=draw(st.none() | tokens),
        unsaved=tuple(unsaved),
        revoked=tuple(draw(st.lists(tokens, max_size=1))),
        ledger=Ledger(),
        credentials=known,
        settings=chosen,
    )
    ledger = draw(ledgers).as_of(now, {"this-run"}, state.terms)
    return replace(state, ledger=ledger)
