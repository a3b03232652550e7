"""What a claim, a token, and an answer without a token each leave in the ledger."""

from dataclasses import replace

import pytest

from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    RequestRefused,
    VendorError,
    VendorUnreachable,
)
from handler.ledger import Ledger, Lock, Pace, Slot
from handler.model import Client

from .builders import (
    ASKED_WITH,
    BOTH,
    DAY,
    FRESH,
    HOUR,
    INTERVAL,
    LATER,
    LIMIT_TEXT,
    MARGIN,
    NOW,
    PRIMARY,
    STANDBY,
    make_closed_ledger,
    make_error,
    make_lock,
    make_settings,
    make_slot,
    make_success_error,
    make_terms,
    make_token,
)

# A claim


@pytest.mark.parametrize(
    ("principal", "is_token_at_hand"),
    [
        pytest.param(PRIMARY.principal, False, id="acquire"),
        pytest.param(None, True, id="publish"),
    ],
)
def test_claim_locks_for_the_acquire_and_the_write(principal: str | None, is_token_at_hand: bool) -> None:
    """The lock covers the time to acquire, the reserve for the write, and 30 s between clocks."""
    before = Ledger(slots={STANDBY.principal: make_slot(suspicions=1, failures=2, asked_at=NOW - DAY)})
    terms = make_terms(acquire_timeout_seconds=100, write_reserve_seconds=20)
    ledger = before
    if is_token_at_hand:
        ledger = before.with_spent_slot(FRESH, terms.settings, NOW)
    claim = ledger.with_claim(
        run_id="this-run",
        principal=principal,
        claimed_at=NOW,
        terms=terms,
    )
    assert claim.lock == Lock(
        run_id="this-run",
        principal=principal,
        claimed_at=NOW,
        until=NOW + 150,
    )
    assert claim.slot(STANDBY.principal) == before.slots["client-standby"]


def test_claim_notes_when_and_with_what_is_asked() -> None:
    """All else in the slot stays: the claim itself says nothing about the limit."""
    slot = make_slot(ahead=-60, suspicions=2, failures=2, error="VendorError", asked_with="of before")
    claim = Ledger(slots={PRIMARY.principal: slot}).with_claim(
        run_id="this-run",
        principal=PRIMARY.principal,
        claimed_at=NOW + 0.9,
        terms=make_terms(),
    )
    assert claim.slot(PRIMARY.principal) == replace(slot, asked_at=NOW, asked_with=ASKED_WITH)


@pytest.mark.parametrize("principal", [PRIMARY.principal, None])
def test_each_claim_takes_one_of_the_pace(principal: str | None) -> None:
    """A claim to publish a token at hand costs versions like any other."""
    before = Ledger(pace=Pace(level=3, at=NOW - 2_400))
    claim = before.with_claim(run_id="this-run", principal=principal, claimed_at=NOW, terms=make_terms())
    assert claim.pace == Pace(level=3, at=NOW)


def test_claim_for_a_token_at_hand_closes_its_slot() -> None:
    """If the token is lost in the end, nobody asks for another one before the limit allows it."""
    claim = Ledger().with_spent_slot(FRESH, make_settings(), NOW)
    assert claim.slot(PRIMARY.principal) == Slot(
        not_before=NOW - HOUR + INTERVAL,
        reason="limit_interval",
    )


# A token


def test_publishing_releases_the_lock_and_closes_the_slot() -> None:
    """The write that puts the token out also ends the claim, and clears what spoke against asking."""
    others = make_slot(reason="credentials_refused", suspicions=1, failures=2)
    pace = Pace(level=3, at=NOW)
    asked = Slot(
        suspicions=3,
        failures=2,
        error="VendorError",
        asked_at=NOW - 2,
        asked_with=ASKED_WITH,
    )
    claim = Ledger(
        lock=make_lock(),
        slots={PRIMARY.principal: asked, STANDBY.principal: others},
        pace=pace,
    )
    spent = Slot(
        not_before=NOW - 2 + INTERVAL,
        reason="limit_interval",
        asked_at=NOW - 2,
        asked_with=ASKED_WITH,
    )
    assert claim.after_publish(make_token(age=2), make_settings(), NOW) == Ledger(
        slots={PRIMARY.principal: spent, STANDBY.principal: others},
        pace=pace,
    )


def test_publishing_closes_the_slot_of_the_tokens_principal() -> None:
    """The standby's token spends the standby's slot."""
    claim = Ledger(lock=make_lock())
    ledger = claim.after_publish(make_token(STANDBY, age=0), make_settings(), NOW)
    spent = Slot(not_before=NOW + INTERVAL, reason="limit_interval")
    assert ledger.slots == {STANDBY.principal: spent}


def test_token_from_before_the_last_request_opens_no_slot_earlier() -> None:
    """If the principal was refused while the process kept its token, all that is known of the refusal stays."""
    claim = make_closed_ledger(ahead=INTERVAL, suspicions=1, failures=2, asked_at=FRESH.acquired_at + 1)
    slot = claim.after_publish(FRESH, make_settings(), NOW).slot(PRIMARY.principal)
    assert slot.not_before == NOW + INTERVAL
    assert (slot.suspicions, slot.failures) == (1, 2)


@pytest.mark.parametrize("asked_at", [FRESH.acquired_at, FRESH.acquired_at - 60])
def test_token_of_the_last_request_decides_alone_when_the_next_one_may_come(asked_at: int) -> None:
    """A pause from before is over, whoever passed over it: the vendor grants."""
    claim = make_closed_ledger(ahead=DAY, suspicions=1, failures=2, asked_at=asked_at)
    slot = claim.after_publish(FRESH, make_settings(limit_interval_seconds=0), NOW).slot(PRIMARY.principal)
    assert slot == Slot(
        not_before=FRESH.acquired_at + MARGIN,
        asked_at=asked_at,
        reason="limit_interval",
    )


REFUSED_FOR_4_HOURS = Slot(
    not_before=NOW - 60 + 4 * HOUR,
    failures=3,
    asked_at=NOW - 60,
    error="CredentialsRefused",
    reason="credentials_refused",
)


@pytest.mark.parametrize("status", [404, 500, 503])
def test_other_failure_does_not_start_the_pauses_of_refused_credentials_again(status: int) -> None:
    """A vendor may block an account after ten wrong passwords, whatever else it answers in between."""
    later = NOW + 5 * HOUR
    terms = make_terms()
    claim = replace(
        Ledger(slots={PRIMARY.principal: REFUSED_FOR_4_HOURS}),
        lock=None,
    ).with_claim(run_id="this-run", principal=PRIMARY.principal, claimed_at=later, terms=terms)
    failed = claim.after_error(
        make_error(status, now=later),
        principal=PRIMARY.principal,
        slot_before=REFUSED_FOR_4_HOURS,
        is_override=False,
        now=later,
        terms=terms,
    )
    slot = failed.slot(PRIMARY.principal)
    assert (slot.not_before, slot.reason) == (later + 4 * HOUR, "credentials_refused")
    much_later = later + 5 * HOUR
    refused = failed.with_claim(
        run_id="next-run", principal=PRIMARY.principal, claimed_at=much_later, terms=terms
    ).after_error(
        make_error(401, now=much_later),
        principal=PRIMARY.principal,
        slot_before=slot,
        is_override=False,
        now=much_later,
        terms=terms,
    )
    assert refused.slot(PRIMARY.principal).not_before == much_later + 8 * HOUR


# An answer without a token

LIMIT = make_error(400, LIMIT_TEXT)
OPEN = Slot()
SUSPECT = Slot(suspicions=1)


def answered(status: int, body: bytes = b"", retry_after: str = "") -> RefreshError:
    return make_error(status, body, retry_after, now=LATER)


def failed(times: int, **changes: object) -> Slot:
    """Return a slot with so many failures in a row before this one."""
    return replace(Slot(failures=times, error="VendorError"), **changes)  # type: ignore[arg-type]


def refused(pause: int = HOUR, *, failures: int = 1, suspicions: int = 0) -> Slot:
    return Slot(
        not_before=LATER + pause,
        reason="credentials_refused",
        failures=failures,
        suspicions=suspicions,
        error="CredentialsRefused",
    )


def rate_limited(pause: int, *, suspicions: int = 0, failures: int = 1) -> Slot:
    return Slot(
        not_before=LATER + pause,
        reason="rate_limited",
        suspicions=suspicions,
        failures=failures,
        error="RateLimited",
    )


def backing_off(pause: int, error: str, *, failures: int, suspicions: int = 0) -> Slot:
    return Slot(
        not_before=LATER + pause,
        reason="backing_off",
        suspicions=suspicions,
        failures=failures,
        error=error,
    )


def noted(error: str, *, failures: int = 1, suspicions: int = 0) -> Slot:
    """Return a slot that is open although the last acquire failed."""
    return Slot(failures=failures, suspicions=suspicions, error=error)


def ledger_after(
    error: RefreshError,
    claim: Ledger,
    *,
    client: Client = PRIMARY,
    is_override: bool = False,
    slot_before: Slot | None = None,
    token_life: int = DAY,
    **settings: object,
) -> Ledger:
    return claim.after_error(
        error,
        principal=client.principal,
        slot_before=slot_before or claim.slot(client.principal),
        is_override=is_override,
        now=LATER,
        terms=make_terms(BOTH, token_life=token_life, **settings),
    )


@pytest.mark.parametrize(
    ("error", "slot", "expected"),
    [
        pytest.param(LIMIT, SUSPECT, rate_limited(INTERVAL, suspicions=2), id="rate limited, with a suspicion"),
        pytest.param(LIMIT, OPEN, rate_limited(900, suspicions=1), id="rate limited, without a suspicion"),
        pytest.param(answered(403, LIMIT_TEXT), OPEN, rate_limited(900, suspicions=1), id="rate limited, as 403"),
        pytest.param(answered(503, LIMIT_TEXT), OPEN, rate_limited(900, suspicions=1), id="rate limited, as 503"),
        pytest.param(answered(429, LIMIT_TEXT), OPEN, rate_limited(900, suspicions=1), id="rate limited, as 429"),
        pytest.param(answered(401, LIMIT_TEXT), OPEN, rate_limited(900, suspicions=1), id="rate limited, as 401"),
        pytest.param(
            LIMIT,
            make_slot(ahead=0, suspicions=5, failures=2),
            rate_limited(INTERVAL, suspicions=6, failures=3),
            id="rate limited once more",
        ),
        pytest.param(
            answered(429),
            SUSPECT,
            rate_limited(900, suspicions=1),
            id="429 without Retry-After",
        ),
        pytest.param(answered(429, b"", "soon"), OPEN, rate_limited(900), id="429, Retry-After unreadable"),
        pytest.param(answered(429, b"", "60"), failed(1), rate_limited(60, failures=2), id="429, a minute"),
        pytest.param(answered(429, b"", "0"), OPEN, rate_limited(0), id="429, no time at all"),
        pytest.param(answered(429, b"", "3601"), OPEN, rate_limited(3_601), id="429, more than an hour"),
        pytest.param(answered(429, b"", "86400"), OPEN, rate_limited(DAY), id="429, a day"),
        pytest.param(answered(429, b"", "86401"), OPEN, rate_limited(DAY), id="429, at most a day"),
        pytest.param(answered(429, b"", "9" * 30), OPEN, rate_limited(DAY), id="429, for ages"),
        pytest.param(
            answered(429, b"", "60"),
            failed(2),
            rate_limited(2_700, failures=3),
            id="429, the third failure",
        ),
        pytest.param(
            answered(429, b"", "3600"),
            failed(2),
            rate_limited(3_600, failures=3),
            id="429, an hour, the third failure",
        ),
        pytest.param(answered(401), OPEN, refused(), id="401"),
        pytest.param(
            answered(401),
            failed(2, suspicions=1),
            refused(failures=3, suspicions=1),
            id="401 is a failure without backing off",
        ),
        *[
            pytest.param(answered(status, b'{"error": "%s"}' % code), OPEN, refused(), id=f"{status} {code.decode()}")
            for status in (400, 403)
            for code in (
                b"invalid_client",
                b"invalid_client_id",
                b"unauthorized_client",
                b"access_denied",
                b"invalid_grant",
            )
        ],
        pytest.param(answered(404), SUSPECT, noted("RequestRefused", suspicions=1), id="404"),
        pytest.param(answered(403), OPEN, noted("RequestRefused"), id="403 without a code"),
        pytest.param(
            answered(400, b'{"error": "invalid_scope"}'),
            failed(1),
            noted("RequestRefused", failures=2),
            id="another 400",
        ),
        pytest.param(
            answered(302),
            failed(2),
            backing_off(2_700, "RequestRefused", failures=3),
            id="a redirect, the third failure",
        ),
        pytest.param(answered(500), OPEN, noted("VendorError", suspicions=1), id="500"),
        pytest.param(
            answered(503),
            failed(2, suspicions=1),
            backing_off(2_700, "VendorError", failures=3, suspicions=2),
            id="503, the third failure",
        ),
        pytest.param(
            answered(503, b"", "60"),
            OPEN,
            backing_off(60, "VendorError", failures=1, suspicions=1),
            id="503, a minute",
        ),
        pytest.param(
            answered(500, b"", "3601"),
            OPEN,
            backing_off(3_600, "VendorError", failures=1, suspicions=1),
            id="500, at most an hour",
        ),
        pytest.param(
            answered(503, b"", "60"),
            failed(2),
            backing_off(2_700, "VendorError", failures=3, suspicions=1),
            id="503, a minute, the third failure",
        ),
        pytest.param(
            make_success_error(b"{}"),
            OPEN,
            noted("VendorError", suspicions=1),
            id="2xx without a token",
        ),
        pytest.param(
            make_success_error(b"<p>"),
            failed(3),
            backing_off(2_700, "VendorError", failures=4, suspicions=1),
            id="2xx without JSON, the fourth failure",
        ),
        pytest.param(OutcomeUnknown("cut"), OPEN, noted("OutcomeUnknown", suspicions=1), id="no whole answer"),
        pytest.param(
            OutcomeUnknown("cut"),
            failed(2),
            backing_off(2_700, "OutcomeUnknown", failures=3, suspicions=1),
            id="no whole answer, the third failure",
        ),
        pytest.param(VendorUnreachable("dns"), OPEN, noted("VendorUnreachable"), id="never sent"),
        pytest.param(
            VendorUnreachable("dns"),
            failed(2),
            backing_off(2_700, "VendorUnreachable", failures=3),
            id="never sent, the third failure",
        ),
    ],
)
def test_answer_without_a_token(error: RefreshError, slot: Slot, expected: Slot) -> None:
    """Each answer without a token leaves its mark on the principal's slot alone, and no lock."""
    others = make_slot(suspicions=1, failures=2)
    pace = Pace(level=3, at=NOW)
    claim = Ledger(
        lock=make_lock(),
        slots={PRIMARY.principal: slot, STANDBY.principal: others},
        pace=pace,
    )
    assert ledger_after(error, claim) == Ledger(
        slots={PRIMARY.principal: expected, STANDBY.principal: others},
        pace=pace,
    )


def test_errors_of_the_table_are_of_their_class() -> None:
    """The rows above rest on these classes."""
    assert isinstance(LIMIT, RateLimited)
    assert isinstance(answered(429), RateLimited)
    assert isinstance(answered(401), CredentialsRefused)
    assert isinstance(answered(404), RequestRefused)
    assert isinstance(answered(500), VendorError)


@pytest.mark.parametrize(
    ("interval", "pause"),
    [(72_000, INTERVAL), (600, 900), (0, 900)],
)
def test_refusal_for_the_limit_closes_the_slot_for_at_least_15_minutes(interval: int, pause: int) -> None:
    """With a suspicion the interval and the margin count, also if there is no interval to speak of."""
    claim = Ledger(lock=make_lock(), slots={PRIMARY.principal: SUSPECT})
    slot = ledger_after(LIMIT, claim, limit_interval_seconds=interval).slot(PRIMARY.principal)
    assert slot == rate_limited(pause, suspicions=2)


@pytest.mark.parametrize(
    ("token_life", "pauses"),
    [
        pytest.param(DAY, [0, 0, 2_700, 2_700, 2_700], id="a day"),
        pytest.param(21_600, [0, 0, 2_700, 2_700, 2_700], id="six hours"),
        pytest.param(14_400, [0, 0, 1_800, 2_700, 2_700], id="four hours"),
        pytest.param(3_600, [0, 0, 450, 900, 1_800, 2_700, 2_700], id="an hour"),
        pytest.param(900, [0, 0, 300, 600, 1_200, 2_400, 2_700], id="15 min"),
        pytest.param(0, [0, 0, 300, 600, 1_200, 2_400, 2_700], id="no life at all"),
    ],
)
@pytest.mark.parametrize(("client", "factor"), [(PRIMARY, 1), (STANDBY, 2)])
def test_pauses_after_failures_in_a_row(token_life: int, pauses: list[int], client: Client, factor: int) -> None:
    """The third failure is followed by an eighth of a token's life. It doubles, up to 45 min.

    The standby's pauses are twice as long: it is kept for when it helps.
    """
    found = []
    for failures in range(len(pauses)):
        claim = Ledger(lock=make_lock(), slots={client.principal: failed(failures)})
        ledger = ledger_after(VendorUnreachable("dns"), claim, client=client, token_life=token_life)
        slot = ledger.slot(client.principal)
        assert slot.failures == failures + 1
        found.append(max(0, slot.not_before - LATER))
    assert found == [factor * pause for pause in pauses]


@pytest.mark.parametrize(
    ("last_hours", "hours"),
    [(1, 2), (2, 4), (4, 8), (8, 16), (16, 24), (24, 24)],
)
def test_same_request_refused_again_closes_the_slot_for_twice_as_long(last_hours: int, hours: int) -> None:
    """An account is blocked after ten wrong passwords. So each refusal doubles the pause, up to a day.

    The last refusal came some seconds after its claim, and they don't add up.
    """
    last_claim = NOW - last_hours * HOUR - 500
    before = replace(
        refused(failures=3),
        asked_at=last_claim,
        asked_with=ASKED_WITH,
        not_before=last_claim + 100 + last_hours * HOUR,
    )
    claim = Ledger(
        lock=make_lock(),
        slots={PRIMARY.principal: replace(before, asked_at=NOW)},
    )
    slot = ledger_after(answered(401), claim, slot_before=before).slot(PRIMARY.principal)
    assert slot == replace(
        before,
        asked_at=NOW,
        not_before=LATER + hours * HOUR,
        failures=4,
    )


def test_first_refusal_after_other_failures_closes_the_slot_for_the_usual_time() -> None:
    """A pause after failures of the vendor is not a refusal of this request."""
    before = backing_off(0, "VendorError", failures=5)
    claim = Ledger(lock=make_lock(), slots={PRIMARY.principal: before})
    slot = ledger_after(answered(401), claim).slot(PRIMARY.principal)
    assert slot == refused(failures=6)


def test_refusal_closes_the_slot_of_the_principal_that_asked() -> None:
    """A refusal of the standby closes the standby's slot."""
    ledger = ledger_after(LIMIT, Ledger(lock=make_lock()), client=STANDBY)
    assert ledger.slots == {STANDBY.principal: rate_limited(900, suspicions=1)}


@pytest.mark.parametrize("reason", ["limit_interval", "rate_limited"])
@pytest.mark.parametrize(
    "error",
    [LIMIT, answered(401)],
    ids=["rate limited", "credentials refused"],
)
def test_refused_override_against_a_closed_slot_changes_nothing(reason: str, error: RefreshError) -> None:
    """The vendor had not reset the limit after all, so what was known before still counts."""
    closed = make_closed_ledger(reason=reason, suspicions=1, failures=2)
    claim = replace(closed, lock=make_lock())
    assert ledger_after(error, claim, is_override=True) == replace(claim, lock=None)


@pytest.mark.parametrize(
    ("error", "name", "suspicions"),
    [
        (answered(429, b"", "60"), "RateLimited", 1),
        (answered(500), "VendorError", 2),
        (answered(404), "RequestRefused", 1),
        (OutcomeUnknown("cut"), "OutcomeUnknown", 2),
        (VendorUnreachable("dns"), "VendorUnreachable", 1),
    ],
)
def test_override_that_fails_otherwise_counts(error: RefreshError, name: str, suspicions: int) -> None:
    """Only a refusal tells nothing new. Any other failure of an override is a failure like any other."""
    closed = make_closed_ledger(reason="limit_interval", suspicions=1, failures=1)
    claim = replace(closed, lock=make_lock())
    slot = ledger_after(error, claim, is_override=True).slot(PRIMARY.principal)
    assert (slot.failures, slot.error, slot.suspicions) == (2, name, suspicions)


@pytest.mark.parametrize(
    "error",
    [
        answered(401),
        answered(403, b'{"error": "invalid_client"}'),
        answered(500),
        answered(503, b"", "60"),
        answered(429),
        LIMIT,
    ],
)
@pytest.mark.parametrize("is_override", [True, False])
def test_no_answer_opens_a_slot_earlier(error: RefreshError, is_override: bool) -> None:
    """A slot that is closed for longer stays closed for as long, and for the same reason."""
    closed = make_closed_ledger(ahead=INTERVAL + 200, reason="limit_interval", failures=4)
    claim = replace(closed, lock=make_lock())
    slot = ledger_after(error, claim, is_override=is_override).slot(PRIMARY.principal)
    assert slot.not_before == NOW + INTERVAL + 200
    assert slot.reason == "limit_interval"


@pytest.mark.parametrize(("ahead", "reason"), [(1, "limit_interval"), (0, "backing_off")])
def test_limit_stays_the_reason_only_while_it_stands(ahead: int, reason: str) -> None:
    """A pause of our own that ends later takes the place of a limit that is over, to the second."""
    limit = Slot(not_before=NOW + ahead, reason="limit_interval")
    closed = limit.closed_until(NOW + HOUR, "backing_off", NOW)
    assert closed == Slot(not_before=NOW + HOUR, reason=reason)


@pytest.mark.parametrize(
    "error",
    [answered(503, b"", "60"), answered(500), OutcomeUnknown("cut")],
    ids=["503", "500", "no whole answer"],
)
def test_override_does_not_shorten_the_backing_off(error: RefreshError) -> None:
    """A `not_before` that is already later stays if the override fails."""
    claim = replace(
        make_closed_ledger(ahead=100 + HOUR, reason="backing_off", failures=3),
        lock=make_lock(),
    )
    slot = ledger_after(error, claim, is_override=True).slot(PRIMARY.principal)
    assert slot.not_before == LATER + HOUR


@pytest.mark.parametrize("limit", ["limit_interval", "rate_limited"])
def test_limit_that_still_stands_stays_the_reason(limit: str) -> None:
    """`force` passes over a pause of our own, and must not pass over the limit behind it."""
    claim = replace(make_closed_ledger(ahead=600, reason=limit, failures=2), lock=make_lock())
    slot = ledger_after(answered(500), claim, is_override=True).slot(PRIMARY.principal)
    assert (slot.not_before, slot.reason) == (LATER + 2_700, limit)


def test_limit_that_is_past_gives_way_to_a_pause() -> None:
    """Once the limit is over, the pause is our own."""
    claim = replace(make_closed_ledger(ahead=0, reason="limit_interval", failures=2), lock=make_lock())
    slot = ledger_after(answered(500), claim).slot(PRIMARY.principal)
    assert (slot.not_before, slot.reason) == (LATER + 2_700, "backing_off")


def test_slot_is_closed_for_the_newer_reason() -> None:
    """Of two reasons that close a slot until the same moment, the newer one is told."""
    ledger = Ledger()
    for reason in ("limit_interval", "rate_limited"):
        ledger = ledger.with_closed_slot(PRIMARY.principal, NOW + 5, reason, NOW)
    assert ledger.slot(PRIMARY.principal).reason == "rate_limited"


def test_months_of_failures_leave_a_slot_that_is_still_believed() -> None:
    """A ledger with a larger count than any keeper writes is not believed, and a pause would be lost with it."""
    full = make_slot(failures=1_000, suspicions=1_000, error="VendorError")
    ledger = Ledger(slots={PRIMARY.principal: full})
    for failed in (ledger.with_failure("VendorError", PRIMARY.principal), ledger.with_suspicion(PRIMARY.principal)):
        assert Ledger.parse(failed.to_json()).slot(PRIMARY.principal) == full
