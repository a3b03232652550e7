"""Everything that a run may meet, for the tests of what always holds."""

from hypothesis import strategies as st

from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    VendorUnreachable,
)
from handler.ledger import Ledger, Lock, Slot
from handler.model import Credentials, Token
from handler.policy import Request, State
from handler.token_response import HttpResponse, error_of

from .builders import (
    AUDIENCE,
    DAY,
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
clients = st.sampled_from([PRIMARY, STANDBY, FORMER])
client_ids = clients.map(lambda client: client.client_id)
seconds_ahead = st.sampled_from(NEAR_TIMES) | st.integers(-100_000, 100_000)
times = seconds_ahead.map(lambda ahead: NOW + ahead)
tokens = st.builds(
    Token,
    access_token=st.sampled_from(["one", "two"]),
    token_type=st.just("Bearer"),
    scope=st.just("raas.all"),
    expires_at=times,
    acquired_at=times,
    client_id=client_ids,
    audience=st.sampled_from([AUDIENCE, AUDIENCE, OTHER_AUDIENCE]),
    token_url=st.sampled_from([URL, URL, OTHER_URL]),
)
reasons = st.sampled_from([None, "limit_interval", "rate_limited", "credentials_refused"])
slots = st.builds(
    Slot,
    not_before=times,
    reason=reasons,
    suspicions=st.integers(0, 3),
    credentials_version=st.sampled_from([None, "version-1", "version-2"]),
)
locks = st.builds(
    Lock,
    run_id=st.sampled_from(["another-run", "this-run"]),
    client_id=st.none() | client_ids,
    claimed_at=times,
    until=times,
)
ledgers = st.builds(
    Ledger,
    lock=st.none() | locks,
    failures=st.integers(0, 5),
    retry_at=st.just(0) | times,
    slots=st.dictionaries(client_ids, slots, max_size=3),
)
credentials = st.builds(
    Credentials,
    primary=st.just(PRIMARY),
    standby=st.none() | st.just(STANDBY),
    version_id=st.sampled_from(["version-1", "version-2"]),
)
settings = st.sampled_from([make_settings(), make_settings(limit_interval_seconds=60, standby_below_seconds=0)])
requests = st.builds(Request, force=st.booleans()) | st.just(OVERRIDE)
# The ids of the clients that were asked in the run.
tried_ids = st.frozensets(client_ids, max_size=2)
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
    """Draw a state as a run reads it: the ledger as of now, and one unsaved token per client."""
    now = NOW + draw(st.just(0.0) | st.floats(0, 1))
    known = draw(credentials)
    chosen = draw(settings)
    ledger = draw(ledgers).as_of(now, {"this-run"}, known, chosen)
    unsaved = draw(st.lists(tokens, max_size=2, unique_by=lambda token: token.client_id))
    return State(
        now=now,
        current=draw(st.none() | tokens),
        previous=draw(st.none() | tokens),
        unsaved=tuple(unsaved),
        ledger=ledger,
        credentials=known,
        settings=chosen,
        is_revoked=draw(st.booleans()),
    )
