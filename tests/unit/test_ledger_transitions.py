"""What a claim, a token, and an answer without a token each leave in the ledger."""

from dataclasses import replace

import pytest

from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    VendorUnreachable,
)
from handler.ledger import Ledger, Lock, Slot
from handler.model import Client

from .builders import (
    FRESH,
    HOUR,
    INTERVAL,
    LATER,
    LIMIT_TEXT,
    NOW,
    PRIMARY,
    STANDBY,
    make_closed_ledger,
    make_error,
    make_lock,
    make_settings,
    make_slot,
    make_success_error,
    make_token,
)

# A claim


@pytest.mark.parametrize(
    ("client_id", "is_token_at_hand"),
    [
        pytest.param(PRIMARY.client_id, False, id="acquire"),
        pytest.param(None, True, id="publish"),
    ],
)
def test_claim_locks_for_the_acquire_and_the_write(client_id: str | None, is_token_at_hand: bool) -> None:
    """The lock covers the time to acquire, the reserve for the write, and 30 s between clocks."""
    before = Ledger(
        failures=2,
        retry_at=NOW - 5,
        slots={STANDBY.client_id: make_slot(suspicions=1)},
    )
    settings = make_settings(acquire_timeout_seconds=100, write_reserve_seconds=20)
    ledger = before
    if is_token_at_hand:
        ledger = before.with_spent_slot(FRESH, settings)
    claim = ledger.with_lock(
        run_id="this-run",
        client_id=client_id,
        claimed_at=NOW,
        settings=settings,
    )
    assert claim.lock == Lock(
        run_id="this-run",
        client_id=client_id,
        claimed_at=NOW,
        until=NOW + 150,
    )
    assert claim.failures == 2
    assert claim.retry_at == NOW - 5
    assert claim.slot(STANDBY.client_id) == before.slots["client-standby"]


def test_claim_for_a_token_at_hand_closes_its_slot() -> None:
    """If the token is lost in the end, nobody asks for another one before the limit allows it."""
    claim = Ledger().with_spent_slot(FRESH, make_settings())
    assert claim.slot(PRIMARY.client_id) == Slot(
        not_before=NOW - HOUR + INTERVAL,
        reason="limit_interval",
    )


# A token


def test_publishing_releases_the_lock_and_closes_the_slot() -> None:
    """The write that puts the token out also ends the claim, and clears what spoke against asking."""
    others = make_slot(
        reason="credentials_refused",
        suspicions=1,
        credentials_version="version-1",
    )
    claim = Ledger(
        lock=make_lock(),
        failures=2,
        retry_at=NOW + 60,
        slots={PRIMARY.client_id: Slot(suspicions=3), STANDBY.client_id: others},
    )
    spent = Slot(not_before=NOW - 2 + INTERVAL, reason="limit_interval", suspicions=0)
    assert claim.after_publish(make_token(age=2), make_settings()) == Ledger(
        slots={PRIMARY.client_id: spent, STANDBY.client_id: others}
    )


def test_publishing_closes_the_slot_of_the_tokens_client() -> None:
    """The standby's token spends the standby's slot."""
    claim = Ledger(lock=make_lock())
    ledger = claim.after_publish(make_token(STANDBY, age=0), make_settings())
    spent = Slot(not_before=NOW + INTERVAL, reason="limit_interval")
    assert ledger.slots == {STANDBY.client_id: spent}


def test_publishing_opens_no_slot_earlier() -> None:
    """If the client was refused while the process kept its token, the later time stays."""
    claim = make_closed_ledger(ahead=INTERVAL, suspicions=1)
    slot = claim.after_publish(FRESH, make_settings()).slot(PRIMARY.client_id)
    assert slot.not_before == NOW + INTERVAL
    assert slot.suspicions == 0


# An answer without a token

LIMIT = make_error(400, LIMIT_TEXT)
OPEN = Slot()
SUSPECT = Slot(suspicions=1)
REFUSED = Slot(
    not_before=LATER + HOUR,
    reason="credentials_refused",
    credentials_version="version-1",
)


def answered(status: int, body: bytes = b"", retry_after: str = "") -> RefreshError:
    return make_error(status, body, retry_after, now=LATER)


def rate_limited(pause: int, *, suspicions: int) -> Slot:
    return Slot(not_before=LATER + pause, reason="rate_limited", suspicions=suspicions)


def ledger_after(
    error: RefreshError,
    claim: Ledger,
    *,
    client: Client = PRIMARY,
    is_override: bool = False,
    credentials_version: str = "version-1",
) -> Ledger:
    return claim.after_error(
        error,
        client_id=client.client_id,
        now=LATER,
        is_override=is_override,
        credentials_version=credentials_version,
        settings=make_settings(),
    )


@pytest.mark.parametrize(
    ("error", "failures", "slot", "expected"),
    [
        pytest.param(
            LIMIT,
            0,
            SUSPECT,
            (0, 0, rate_limited(INTERVAL, suspicions=2)),
            id="rate limited, with a suspicion",
        ),
        pytest.param(
            LIMIT,
            0,
            OPEN,
            (0, 0, rate_limited(900, suspicions=1)),
            id="rate limited, without a suspicion",
        ),
        pytest.param(
            answered(403, LIMIT_TEXT),
            9,
            OPEN,
            (0, 0, rate_limited(900, suspicions=1)),
            id="rate limited, as 403",
        ),
        pytest.param(
            LIMIT,
            2,
            make_slot(ahead=0, suspicions=5),
            (0, 0, rate_limited(INTERVAL, suspicions=6)),
            id="rate limited once more",
        ),
        pytest.param(answered(401), 0, OPEN, (0, 0, REFUSED), id="401"),
        pytest.param(
            answered(401),
            2,
            SUSPECT,
            (2, 0, replace(REFUSED, suspicions=1)),
            id="401 is not a failure",
        ),
        pytest.param(
            answered(400, b'{"error": "invalid_client"}'),
            0,
            OPEN,
            (0, 0, REFUSED),
            id="invalid_client",
        ),
        pytest.param(
            answered(403, b'{"error": "access_denied"}'),
            0,
            OPEN,
            (0, 0, REFUSED),
            id="access_denied",
        ),
        pytest.param(
            answered(429),
            0,
            SUSPECT,
            (1, LATER + 900, SUSPECT),
            id="429 without Retry-After",
        ),
        pytest.param(
            answered(429, b"", "soon"),
            0,
            OPEN,
            (1, LATER + 900, OPEN),
            id="429, Retry-After unreadable",
        ),
        pytest.param(
            answered(429, b"", "60"),
            1,
            OPEN,
            (2, LATER + 60, OPEN),
            id="429, a minute",
        ),
        pytest.param(
            answered(429, b"", "3600"),
            0,
            OPEN,
            (1, LATER + 3_600, OPEN),
            id="429, an hour",
        ),
        pytest.param(
            answered(429, b"", "3601"),
            0,
            OPEN,
            (1, LATER + 3_600, OPEN),
            id="429, at most an hour",
        ),
        pytest.param(
            answered(429, b"", "9" * 30),
            0,
            OPEN,
            (1, LATER + 3_600, OPEN),
            id="429, for ages",
        ),
        pytest.param(
            answered(429, b"", "60"),
            2,
            OPEN,
            (3, LATER + 2_700, OPEN),
            id="429, the third failure",
        ),
        pytest.param(
            answered(429, b"", "3600"),
            2,
            OPEN,
            (3, LATER + 3_600, OPEN),
            id="429, an hour, the third failure",
        ),
        pytest.param(answered(404), 0, SUSPECT, (1, 0, SUSPECT), id="404"),
        pytest.param(
            answered(400, b'{"error": "invalid_scope"}'),
            1,
            OPEN,
            (2, 0, OPEN),
            id="another 400",
        ),
        pytest.param(
            answered(302),
            2,
            OPEN,
            (3, LATER + 2_700, OPEN),
            id="a redirect, the third failure",
        ),
        pytest.param(answered(500), 0, OPEN, (1, 0, SUSPECT), id="500"),
        pytest.param(
            answered(503),
            2,
            SUSPECT,
            (3, LATER + 2_700, Slot(suspicions=2)),
            id="503, the third failure",
        ),
        pytest.param(
            make_success_error(b"{}"),
            0,
            OPEN,
            (1, 0, SUSPECT),
            id="2xx without a token",
        ),
        pytest.param(
            make_success_error(b"<p>"),
            3,
            OPEN,
            (4, LATER + 2_700, SUSPECT),
            id="2xx without JSON, the fourth failure",
        ),
        pytest.param(OutcomeUnknown("cut"), 0, OPEN, (1, 0, SUSPECT), id="no whole answer"),
        pytest.param(
            OutcomeUnknown("cut"),
            2,
            OPEN,
            (3, LATER + 2_700, SUSPECT),
            id="no whole answer, the third failure",
        ),
        pytest.param(VendorUnreachable("dns"), 0, OPEN, (1, 0, OPEN), id="never sent"),
        pytest.param(
            VendorUnreachable("dns"),
            2,
            OPEN,
            (3, LATER + 2_700, OPEN),
            id="never sent, the third failure",
        ),
    ],
)
def test_answer_without_a_token(
    error: RefreshError, failures: int, slot: Slot, expected: tuple[int, int, Slot]
) -> None:
    """Each answer without a token leaves failures, `retry_at` and the client's slot, but no lock."""
    others = make_slot(suspicions=1)
    claim = Ledger(
        lock=make_lock(),
        failures=failures,
        slots={PRIMARY.client_id: slot, STANDBY.client_id: others},
    )
    ledger = ledger_after(error, claim)
    assert (ledger.failures, ledger.retry_at, ledger.slot(PRIMARY.client_id)) == expected
    assert ledger.lock is None
    assert ledger.slot(STANDBY.client_id) == others


def test_errors_of_the_table_are_of_their_class() -> None:
    """The rows above rest on a refusal for the limit, and on a refusal of the credentials."""
    assert isinstance(LIMIT, RateLimited)
    assert isinstance(answered(401), CredentialsRefused)


def test_same_credentials_refused_again_close_the_slot_for_twice_as_long() -> None:
    """Each refusal costs versions of the secret, and a day allows about 100 of them."""
    claim = Ledger(
        lock=make_lock(),
        slots={PRIMARY.client_id: replace(REFUSED, not_before=NOW)},
    )
    slot = ledger_after(answered(401), claim).slot(PRIMARY.client_id)
    assert slot == replace(REFUSED, not_before=LATER + 2 * HOUR)


def test_other_credentials_refused_close_the_slot_for_the_usual_time() -> None:
    """A new version of the credentials secret has not been refused before."""
    claim = Ledger(
        lock=make_lock(),
        slots={PRIMARY.client_id: replace(REFUSED, not_before=NOW)},
    )
    ledger = ledger_after(answered(401), claim, credentials_version="version-2")
    slot = ledger.slot(PRIMARY.client_id)
    assert slot == replace(REFUSED, credentials_version="version-2")


def test_refusal_closes_the_slot_of_the_client_that_asked() -> None:
    """A refusal of the standby closes the standby's slot."""
    ledger = ledger_after(LIMIT, Ledger(lock=make_lock()), client=STANDBY)
    assert ledger.slots == {STANDBY.client_id: rate_limited(900, suspicions=1)}


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited"])
@pytest.mark.parametrize(
    "error",
    [LIMIT, answered(401)],
    ids=["rate limited", "credentials refused"],
)
def test_refused_override_against_a_closed_slot_changes_nothing(reason: str, error: RefreshError) -> None:
    """The vendor had not reset the limit after all, so what was known before still counts."""
    closed = make_closed_ledger(reason=reason, suspicions=1)
    claim = replace(closed, lock=make_lock(), failures=2, retry_at=NOW + 60)
    assert ledger_after(error, claim, is_override=True) == replace(claim, lock=None)


@pytest.mark.parametrize(
    "error",
    [
        answered(401),
        answered(403, b'{"error": "invalid_client"}'),
        answered(500),
        answered(429),
        LIMIT,
    ],
)
@pytest.mark.parametrize("is_override", [True, False])
def test_no_answer_opens_a_slot_earlier(error: RefreshError, is_override: bool) -> None:
    """A slot that is closed for longer stays closed for as long, and for the same reason."""
    closed = make_closed_ledger(ahead=INTERVAL + 200, reason="limit_interval")
    claim = replace(closed, lock=make_lock())
    slot = ledger_after(error, claim, is_override=is_override).slot(PRIMARY.client_id)
    assert slot.not_before == NOW + INTERVAL + 200
    assert slot.reason == "limit_interval"


@pytest.mark.parametrize(
    "error",
    [answered(429, b"", "60"), answered(500), OutcomeUnknown("cut")],
    ids=["429", "500", "no whole answer"],
)
def test_override_does_not_shorten_the_backing_off(error: RefreshError) -> None:
    """A `retry_at` that is already later stays if the override fails."""
    claim = Ledger(lock=make_lock(), failures=3, retry_at=LATER + 3_600)
    assert ledger_after(error, claim, is_override=True).retry_at == LATER + 3_600


def test_slot_is_closed_for_the_newer_reason() -> None:
    """Of two reasons that close a slot until the same moment, the newer one is told."""
    limited = make_slot(ahead=5, reason="limit_interval")
    refused = make_slot(ahead=5, reason="rate_limited")
    ledger = Ledger()
    for slot in (limited, refused):
        ledger = ledger.with_closed_slot(PRIMARY.client_id, slot)
    assert ledger.slot(PRIMARY.client_id).reason == "rate_limited"
