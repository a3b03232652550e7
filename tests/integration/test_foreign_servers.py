"""The real handler asks token endpoints that others wrote. `make vendors` plays all cases; here is one for each."""

from __future__ import annotations

import pytest

from local.vendors.cases import cases_of, play
from local.vendors.differences import DIFFERENCES
from local.vendors.foreign_server import PROGRAMS, ForeignServer, Program
from local.vendors.registration import POST


@pytest.mark.parametrize("program", PROGRAMS, ids=[program.package for program in PROGRAMS])
def test_foreign_server_is_asked_once_and_its_token_is_kept(program: Program) -> None:
    """The first run refreshes with a token of the foreign server, and the second one keeps it."""
    if not program.is_installed:
        pytest.skip(f"{program.package} is not installed: `make vendors` installs it, and needs Node with npm")
    [case] = [case for case in cases_of(program) if case.name == POST]
    with ForeignServer(program) as server:
        assert play(case, server).outcome == "refreshed, kept"


def test_each_known_difference_is_of_a_case_that_is_played() -> None:
    """A renamed case can't leave an explanation behind that nobody sees."""
    played = {(program.package, case.name) for program in PROGRAMS for case in cases_of(program)}
    for difference in DIFFERENCES:
        explained = {(difference.package, case) for case in difference.outcomes}
        assert explained <= played
