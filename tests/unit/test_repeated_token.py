"""Whether the vendor has answered with the very token that consumers have."""

from dataclasses import replace
from typing import Any

import pytest

from handler.model import Token

from .builders import BOTH, FRESH, OTHER_URL, STANDBY, make_state, make_token

LONGER = replace(FRESH, expires_at=FRESH.expires_at + 61)


@pytest.mark.parametrize(
    ("token", "changes"),
    [
        pytest.param(FRESH, {}, id="the same"),
        pytest.param(replace(FRESH, expires_at=FRESH.expires_at + 60), {}, id="a minute more"),
        pytest.param(LONGER, {"revoked": (FRESH,)}, id="one that the API refuses"),
    ],
)
def test_token_that_brings_nothing_new_is_a_repeated_one(token: Token, changes: dict[str, Any]) -> None:
    """It is not published again."""
    assert make_state(**changes).repeats_current(token)


@pytest.mark.parametrize(
    ("token", "changes"),
    [
        pytest.param(FRESH, {"current": None}, id="the first one"),
        pytest.param(replace(FRESH, access_token="canary-another-token"), {}, id="another token"),
        pytest.param(LONGER, {}, id="more life"),
        pytest.param(LONGER, {"revoked": (make_token(age=7),)}, id="more life, and another one was refused"),
        pytest.param(
            replace(FRESH, client_id=STANDBY.client_id),
            {"credentials": BOTH},
            id="another principal's",
        ),
        pytest.param(FRESH, {"current": replace(FRESH, token_url=OTHER_URL)}, id="granted for another request"),
    ],
)
def test_token_that_brings_something_new_is_not_a_repeated_one(token: Token, changes: dict[str, Any]) -> None:
    """Consumers need what is new about it."""
    assert not make_state(**changes).repeats_current(token)
