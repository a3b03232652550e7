"""The ledger in a version's document. Parts that make no sense are left out."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.ledger import Ledger, Lock, Slot
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


def test_ledger_document_of_a_claim_holds_no_token() -> None:
    """A claim holds `schema` and `ledger` alone, with the documented keys of the ledger."""
    assert json.loads(FULL_LEDGER.to_json()) == {
        "schema": 1,
        "ledger": {
            "lock": {
                "run_id": "another-run",
                "client_id": "client-primary",
                "claimed_at": NOW - 60,
                "until": NOW + 60,
            },
            "failures": 2,
            "retry_at": NOW + 60,
            "slots": {
                "client-primary": {
                    "not_before": NOW + 5,
                    "reason": "rate_limited",
                    "suspicions": 1,
                    "credentials_version": "version-1",
                }
            },
        },
    }


def test_empty_ledger_reads_back() -> None:
    """An empty ledger is written with all its keys."""
    assert json.loads(Ledger().to_json())["ledger"] == {
        "lock": None,
        "failures": 0,
        "retry_at": 0,
        "slots": {},
    }
    assert Ledger.parse(Ledger().to_json()) == Ledger()


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


@pytest.mark.parametrize("key", ["failures", "retry_at"])
@pytest.mark.parametrize("value", NONSENSE)
def test_ledger_whose_numbers_make_no_sense_is_empty(key: str, value: Any) -> None:
    """If a count or a time is not a whole number from 0 on, the whole ledger counts as empty."""
    assert ledger_with(**{key: value}) == Ledger()


@pytest.mark.parametrize("value", NONSENSE)
def test_lock_that_makes_no_sense_is_absent(value: Any) -> None:
    """A lock that makes no sense locks nobody out, and the rest of the ledger counts."""
    assert ledger_with(lock=value) == replace(FULL_LEDGER, lock=None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("run_id", value) for value in NOT_TEXTS],
        *[("client_id", value) for value in NOT_TEXTS if value is not None],
        *[(key, value) for key in ("claimed_at", "until") for value in NOT_TIMES],
    ],
)
def test_lock_with_nonsense_in_a_field_is_absent(key: str, value: Any) -> None:
    """If one field has another type, the lock locks nobody out."""
    assert ledger_with(lock=asdict(make_lock()) | {key: value}).lock is None


def test_lock_without_a_client_is_a_lock() -> None:
    """A claim to publish a token at hand asks with no client, and locks all the same."""
    assert ledger_with(lock=asdict(make_lock(client=None))).lock == make_lock(client=None)


@pytest.mark.parametrize("value", NONSENSE)
def test_slots_that_make_no_sense_are_absent(value: Any) -> None:
    """Slots that are not an object of objects are left out, and the rest of the ledger counts."""
    assert ledger_with(slots=value) == replace(FULL_LEDGER, slots={})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in ("not_before", "suspicions") for value in NOT_TIMES],
        *[(key, value) for key in ("reason", "credentials_version") for value in NOT_TEXTS if value is not None],
    ],
)
def test_slot_with_nonsense_in_a_field_is_absent(key: str, value: Any) -> None:
    """If one field has another type, that slot is left out. Another client's slot still counts."""
    good = make_slot(ahead=5, suspicions=1)
    bad = asdict(Slot(not_before=NOW + 9)) | {key: value}
    assert ledger_with(slots={"bad": bad, "good": asdict(good)}).slots == {"good": good}


def test_unknown_client_has_an_open_slot() -> None:
    """A client that the ledger does not know may ask at once."""
    assert FULL_LEDGER.slot(FORMER.client_id) == Slot(
        not_before=0,
        reason=None,
        suspicions=0,
        credentials_version=None,
    )


counts = st.integers(0, 10**12)
locks = st.builds(
    Lock,
    run_id=st.text(),
    client_id=st.none() | st.text(),
    claimed_at=counts,
    until=counts,
)
slots = st.builds(
    Slot,
    not_before=counts,
    reason=st.none() | st.text(),
    suspicions=counts,
    credentials_version=st.none() | st.text(),
)
ledgers = st.builds(
    Ledger,
    lock=st.none() | locks,
    failures=counts,
    retry_at=counts,
    slots=st.dictionaries(st.text(), slots, max_size=3),
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
