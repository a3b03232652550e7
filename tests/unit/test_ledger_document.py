"""The ledger in a version's document. Parts that make no sense are left out."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.errors import ERROR_CLASSES
from handler.ledger import REASONS, Ledger, Lock, Pace, Slot
from handler.model import SEED

from .builders import (
    BOUNDED,
    FORMER,
    FULL_LEDGER,
    NESTED_TOO_DEEPLY,
    NOW,
    TOO_MANY_DIGITS,
    make_lock,
    make_slot,
    make_token,
    shortened,
)
from .strategies import json_values

NOT_TEXTS: list[Any] = [None, True, 5, [], {}]
NOT_TIMES: list[Any] = [None, True, -1, 1.5, "5", [], {}, math.nan]
NOT_LEVELS: list[Any] = [None, True, "5", [], {}, math.nan, math.inf, -math.inf, -2.1, 8.1, -(10**12), 10**12]
NOT_PRINTABLE = ["\ud800", "line\nbreak", "\x00"]
NONSENSE: list[Any] = [
    None,
    True,
    False,
    -1,
    1.5,
    math.nan,
    math.inf,
    "",
    "text",
    [],
    {},
    [1],
    {"a": 1},
]


def test_ledger_document_without_a_token() -> None:
    """If no good token is known, a claim holds `schema` and `ledger` alone, with the documented keys."""
    assert json.loads(FULL_LEDGER.to_json()) == {
        "schema": 1,
        "ledger": {
            "lock": {
                "run_id": "another-run",
                "principal": "client-primary",
                "claimed_at": NOW - 60,
                "until": NOW + 60,
            },
            "slots": {
                "client-primary": {
                    "not_before": NOW + 5,
                    "suspicions": 1,
                    "failures": 2,
                    "asked_at": NOW - 60,
                    "asked_with": "0123456789abcdef",
                    "error": "VendorError",
                    "reason": "rate_limited",
                }
            },
            "pace": {"level": 3.5, "at": NOW - 60},
        },
    }


def test_ledger_document_carries_a_token() -> None:
    """A claim, a release and a publish hold the ledger next to the public keys of a token."""
    token = make_token()
    carried = json.loads(FULL_LEDGER.to_json(token))
    assert carried.pop("ledger") == json.loads(FULL_LEDGER.to_json())["ledger"]
    assert carried == token.document()


def test_empty_ledger_reads_back() -> None:
    """An empty ledger is written with all its keys."""
    assert json.loads(Ledger().to_json())["ledger"] == {
        "lock": None,
        "slots": {},
        "pace": {"level": 8, "at": 0},
    }
    assert Ledger.parse(Ledger().to_json()) == Ledger()


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "null",
        "[]",
        "{",
        "text",
        NESTED_TOO_DEEPLY,
        TOO_MANY_DIGITS,
        "{}",
        SEED,
        '{"ledger": null}',
        '{"ledger": []}',
    ],
    ids=shortened,
)
def test_document_without_a_ledger_is_an_empty_ledger(text: str | None) -> None:
    """A document without a ledger knows no locks and no slots."""
    assert Ledger.parse(text) == Ledger()


def ledger_with(**changes: Any) -> Ledger:
    return Ledger.parse(json.dumps({"schema": 1, "ledger": asdict(FULL_LEDGER) | changes}))


@pytest.mark.parametrize("value", NONSENSE)
def test_pace_that_makes_no_sense_is_a_new_one(value: Any) -> None:
    """A pace that makes no sense keeps nobody out, and the rest of the ledger counts."""
    assert ledger_with(pace=value) == replace(FULL_LEDGER, pace=Pace())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("level", value) for value in NOT_LEVELS],
        *[("at", value) for value in NOT_TIMES],
    ],
)
def test_pace_with_nonsense_in_a_field_is_a_new_one(key: str, value: Any) -> None:
    """A level that can't be true is not believed either."""
    document = asdict(FULL_LEDGER.pace) | {key: value}
    assert ledger_with(pace=document).pace == Pace()


@pytest.mark.parametrize("level", [-2, -1.5, 0, 1, 8])
def test_any_level_that_can_be_true_is_believed(level: float) -> None:
    """A level need not be whole, and may be below 0."""
    assert ledger_with(pace={"level": level, "at": NOW}).pace == Pace(level, NOW)


@pytest.mark.parametrize("value", NONSENSE)
def test_lock_that_makes_no_sense_is_absent(value: Any) -> None:
    """A lock that makes no sense locks nobody out, and the rest of the ledger counts."""
    assert ledger_with(lock=value) == replace(FULL_LEDGER, lock=None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("run_id", value) for value in NOT_TEXTS],
        *[("principal", value) for value in NOT_TEXTS if value is not None],
        *[(key, value) for key in ("run_id", "principal") for value in NOT_PRINTABLE],
        ("run_id", "x" * 101),
        ("principal", "x" * 1_001),
        *[(key, value) for key in ("claimed_at", "until") for value in NOT_TIMES],
    ],
)
def test_lock_with_nonsense_in_a_field_is_absent(key: str, value: Any) -> None:
    """If one field has another type, the lock locks nobody out."""
    assert ledger_with(lock=asdict(make_lock()) | {key: value}).lock is None


def test_lock_without_a_principal_is_a_lock() -> None:
    """A claim to publish a token at hand asks as nobody, and locks all the same."""
    assert ledger_with(lock=asdict(make_lock(client=None))).lock == make_lock(client=None)


@pytest.mark.parametrize("value", NONSENSE)
def test_slots_that_make_no_sense_are_absent(value: Any) -> None:
    """Slots that are not an object of objects are left out, and the rest of the ledger counts."""
    assert ledger_with(slots=value) == replace(FULL_LEDGER, slots={})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in ("not_before", "suspicions", "failures", "asked_at") for value in NOT_TIMES],
        *[(key, value) for key in ("reason", "asked_with", "error") for value in NOT_TEXTS if value is not None],
        *[(key, value) for key in ("reason", "asked_with", "error") for value in NOT_PRINTABLE],
        *[("reason", value) for value in ("", "other_reason", "Rate_Limited")],
        *[("error", value) for value in ("", "OtherError", "vendorerror", "RefreshError")],
        ("asked_with", "x" * 101),
        *[(key, value) for key in ("suspicions", "failures") for value in (1_001, 10**30)],
    ],
)
def test_slot_with_nonsense_in_a_field_is_absent(key: str, value: Any) -> None:
    """If a keeper can't have written one field, that slot is left out. Others still count."""
    good = make_slot(ahead=5, suspicions=1)
    bad = asdict(Slot(not_before=NOW + 9)) | {key: value}
    assert ledger_with(slots={"bad": bad, "good": asdict(good)}).slots == {"good": good}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("asked_with", "x" * 100),
        ("suspicions", 1_000),
        ("failures", 1_000),
        *[("error", name) for name in sorted(ERROR_CLASSES)],
        *[("reason", reason) for reason in sorted(REASONS)],
    ],
)
def test_longest_and_largest_that_a_keeper_can_write_count(key: str, value: Any) -> None:
    """What is just within the bounds is believed."""
    slot = asdict(Slot(not_before=NOW + 9)) | {key: value}
    assert ledger_with(slots={"x" * 1_000: slot}).slots == {"x" * 1_000: Slot(**slot)}


def test_lock_with_the_longest_ids_counts() -> None:
    """What is just within the bounds is believed."""
    lock = replace(make_lock(), run_id="x" * 100, principal="x" * 1_000)
    assert ledger_with(lock=asdict(lock)).lock == lock


@pytest.mark.parametrize("principal", [*NOT_PRINTABLE, "x" * 1_001], ids=shortened)
def test_slot_of_a_principal_that_can_t_be_one_is_absent(principal: str) -> None:
    """A result that shows half a surrogate pair would end Lambda's runtime, and a long one fills the secret."""
    good = make_slot(ahead=5)
    slots = {principal: asdict(good), "good": asdict(good)}
    assert ledger_with(slots=slots).slots == {"good": good}


def test_unknown_principal_has_an_open_slot() -> None:
    """A principal that the ledger does not know may ask at once."""
    assert FULL_LEDGER.slot(FORMER.principal) == Slot(
        not_before=0,
        suspicions=0,
        failures=0,
        asked_at=0,
        asked_with=None,
        error=None,
        reason=None,
    )


# What a keeper can write.
times = st.integers(0, 10**12)
counts = st.integers(0, 1_000)
ids = st.text(max_size=100).filter(str.isprintable)
principals = ids | st.just("x" * 1_000)
locks = st.builds(
    Lock,
    run_id=ids,
    principal=st.none() | principals,
    claimed_at=times,
    until=times,
)
slots = st.builds(
    Slot,
    not_before=times,
    suspicions=counts,
    failures=counts,
    asked_at=times,
    asked_with=st.none() | ids,
    error=st.none() | st.sampled_from(sorted(ERROR_CLASSES)),
    reason=st.none() | st.sampled_from(sorted(REASONS)),
)
paces = st.builds(Pace, level=st.floats(-2, 8) | st.integers(-2, 8), at=times)
ledgers = st.builds(
    Ledger,
    lock=st.none() | locks,
    slots=st.dictionaries(principals, slots, max_size=3),
    pace=paces,
)


@BOUNDED
@given(ledgers)
def test_any_ledger_reads_back(ledger: Ledger) -> None:
    """The next run reads what was written, in a claim and next to a token."""
    assert Ledger.parse(ledger.to_json()) == ledger
    assert Ledger.parse(ledger.to_json(make_token())) == ledger


@BOUNDED
@given(ledgers, st.lists(st.text(max_size=3)), json_values)
def test_ledger_with_any_value_at_any_place_reads_back(ledger: Ledger, path: list[str], value: Any) -> None:
    """No value at any place of the ledger raises. What is read can be written again."""
    document: dict[str, Any] = {"ledger": asdict(ledger)}
    place = document
    key = "ledger"
    for step in path:
        inner = place[key]
        if not isinstance(inner, dict) or not inner:
            break
        place = inner
        key = sorted(inner)[len(step) % len(inner)]
    place[key] = value
    found = Ledger.parse(json.dumps(document))
    assert Ledger.parse(found.to_json()) == found
