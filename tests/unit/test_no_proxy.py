"""Which hosts a local world asks directly."""

from __future__ import annotations

import pytest

from local.no_proxy import no_proxy_for_loopback


@pytest.mark.parametrize(
    ("environment", "value"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": ""}, "127.0.0.1,localhost"),
        ({"NO_PROXY": ".corp.example, 10.0.0.1"}, ".corp.example,10.0.0.1,127.0.0.1,localhost"),
        ({"NO_PROXY": "upper.example", "no_proxy": "lower.example"}, "lower.example,127.0.0.1,localhost"),
        ({"NO_PROXY": "localhost,127.0.0.1"}, "localhost,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
    ids=["none", "empty", "of a company", "lower case first", "there already", "all hosts"],
)
def test_this_machine_is_added_to_the_hosts_without_proxy(environment: dict[str, str], value: str) -> None:
    """The environment's own hosts stay, and both spellings say the same."""
    assert no_proxy_for_loopback(environment) == {"NO_PROXY": value, "no_proxy": value}
