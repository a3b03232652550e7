"""What the handler works out again at each run, worked out once: a year then takes about half of the time.

A year has 9,000 runs, which read the same few documents and mostly find a fresh token. A year over the real clients
does without any of this, and leaves the same trace.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from handler import model, result
from handler.model import Credentials, Token
from handler.summary import summary_of as write_summary
from local.simulate.aws_secrets import BATCH, WRITES, SimulatedSecretsManager
from local.simulate.stand_in import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handler.policy import State

_Json = dict[str, Any]
REMEMBERED = 256  # results of a function; the runs of a day need less than ten

# What these return depends on their arguments alone.
_parse_json = lru_cache(REMEMBERED)(model.json_object)
_parse_credentials = lru_cache(REMEMBERED)(Credentials.parse)
_parse_token = lru_cache(REMEMBERED)(Token.parse)
_fits_into_a_version = lru_cache(REMEMBERED)(vars(Token)["fits_into_a_version"].fget)


class RememberingSecretsManager(SimulatedSecretsManager):
    """Has the two secrets of a year. A batch without a write since the last one is answered like that one."""

    _batch: _Json | None = None

    def call(self, operation: str, **params: Any) -> _Json:
        if operation in WRITES:
            self._batch = None
        if operation != BATCH:
            return super().call(operation, **params)
        if self._batch is None:
            self._batch = super().call(operation, **params)
        return self._batch

    def _read_as_of(self, moment: float, operation: str, params: _Json) -> _Json:
        self._batch = None
        answer = super()._read_as_of(moment, operation, params)
        self._batch = None
        return answer


def json_object(text: str | bytes | None, *, allow_nan: bool = True) -> _Json:
    """Return a copy, because the caller may change its keys."""
    return dict(_parse_json(text, allow_nan=allow_nan))


def parse_token(
    text: str | None,
    *,
    now: float,
    max_lifetime_seconds: int,
    clock_margin_seconds: int,
) -> Token | None:
    """Do what `Token.parse` does. The time decides only whether the token was acquired ahead of it."""
    token = _parse_token(
        text,
        now=math.inf,
        max_lifetime_seconds=max_lifetime_seconds,
        clock_margin_seconds=clock_margin_seconds,
    )
    if token is None or token.acquired_at > now + clock_margin_seconds:
        return None
    return token


@contextmanager
def remember_results() -> Iterator[None]:
    """Have the handler use remembered results for the length of a block."""
    with stand_in(
        (model, "json_object", json_object),
        (Credentials, "parse", _parse_credentials),
        (Token, "parse", parse_token),
        (Token, "fits_into_a_version", property(_fits_into_a_version)),
        (result, "summary_of", _remembering_summary()),
    ):
        yield


def _remembering_summary() -> Callable[..., str]:
    """Return the handler's `summary_of`, which repeats the last summary while nothing but the time has changed.

    From run to run a summary of a fresh token differs only in how many hours are left, and the checks look only for
    secrets in it.
    """
    last_facts: object = None
    last_summary = ""

    def summary_of(*, outcome: str, reason: str, state: State, not_before: int) -> str:
        nonlocal last_facts, last_summary
        facts = (outcome, reason, not_before, *_facts_of(state))
        if outcome == "kept" and facts == last_facts:
            return last_summary
        last_summary = write_summary(outcome=outcome, reason=reason, state=state, not_before=not_before)
        last_facts = facts
        return last_summary

    return summary_of


def _facts_of(state: State) -> tuple[object, ...]:
    """Return all that is in a state but the time."""
    return (
        state.current,
        state.previous,
        state.displaced,
        state.unsaved,
        state.revoked,
        state.ledger,
        state.credentials,
        state.settings,
    )
