"""What a run answers: the keys that docs/REFERENCE.md lists. It never shows a secret."""

from typing import Any

from handler.model import Token, utc
from handler.refresh import Outcome
from handler.summary import summary_of

# The reason of a status or a dry run if a secret can't be read: a refresh would fail.
UNREADABLE = "unreadable"

Result = dict[str, Any]


def empty_result(outcome: str) -> Result:
    """Return a result that has every key, and says nothing but the outcome."""
    return {
        "outcome": outcome,
        "reason": None,
        "connection": None,
        "expires_at": None,
        "expires_at_utc": None,
        "seconds_remaining": None,
        "client_id": None,
        "username": None,
        "not_before": None,
        "not_before_utc": None,
        "version_id": None,
        "dry_run": False,
        "warnings": [],
        "summary": "",
    }


def result_of(outcome: Outcome, connection_name: str = "") -> Result:
    """Return the result, with the keys that docs/REFERENCE.md lists. It never shows a secret.

    The name is empty in a deployment that keeps one connection.
    """
    state = outcome.snapshot.state
    not_before = outcome.not_before
    if not_before is None:
        not_before = state.primary_may_ask_at(state.current)
    result = empty_result(outcome.name) | {
        "reason": outcome.reason,
        "connection": connection_name or None,
        "seconds_remaining": state.seconds_remaining(state.current),
        "not_before": not_before or None,
        "not_before_utc": utc_or_none(not_before),
        "version_id": outcome.snapshot.token_version_id or None,
        "warnings": list(state.credentials.warnings),
        "summary": summary_of(
            outcome=outcome.name,
            reason=outcome.reason,
            state=state,
            not_before=not_before,
        ),
    }
    return result | facts_of(state.current)


def facts_of(token: Token | None) -> Result:
    """Return the keys of a result that tell of the token that consumers have."""
    if token is None:
        return {}
    return {
        "expires_at": token.expires_at,
        "expires_at_utc": utc(token.expires_at),
        "client_id": token.client_id,
        "username": token.username,
    }


def utc_or_none(unix_seconds: int | None) -> str | None:
    if not unix_seconds:
        return None
    return utc(unix_seconds)
