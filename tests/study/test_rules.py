"""Each rule of the table can still be taken out, and docs/RULES.md tells of today's rules."""

import re
from dataclasses import replace
from functools import cache

import pytest

from handler import policy, refresh
from handler.ledger import Ledger, Slot
from handler.policy import State
from local.explore.plan import Search
from local.rules import page
from local.rules.measures import Played, explore, play
from local.rules.registry import RULES
from local.rules.watch import watching
from local.simulate.study import TORTURED
from scripts import ROOT
from tests.documents import Row, first_table

PAGE = ROOT / "docs" / "RULES.md"
# Rules that the explorer needs, each with a search and what breaks or nothing, for other states.
EXPLORED = {
    "slot: closed": (Search("expired, and the slot is spent", runs=1, faults=1), "early"),
    "at hand: displaced": (Search("displaced by an older one"), "reachable"),
    "spent slot": (Search("no value", runs=1), "publish"),
    "due: in the window": (Search("expiring", runs=1, faults=1), "heals"),
    "better: good": (Search("expired", runs=1, acts=("overwrite",)), ""),
}
# Rules that change what happens in some days of torture.
PLAYED = ["lapsed lock: counts", "pace: regained", "rate limit: with a suspicion"]
SEED = 0
DAYS_OF_TORTURE = replace(TORTURED, days=6)


@cache
def whole() -> Played:
    """Return what happens with all rules."""
    return play(SEED, DAYS_OF_TORTURE)


def rows_of_the_page() -> list[Row]:
    text = PAGE.read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return [row for section in sections for row in first_table(section)]


@pytest.mark.parametrize("name", RULES)
def test_each_rule_can_be_taken_out(name: str) -> None:
    """Whoever changes the code of a rule is told that the table has to follow."""
    with RULES[name].taken_out():
        pass


def test_a_rule_is_out_for_the_time_of_the_block_wherever_its_function_is_known() -> None:
    """A module that has imported the function has the other one too, and both have the right one again afterwards."""
    decide = policy.decide
    with RULES["locked"].taken_out():
        assert vars(policy)["decide"] is vars(refresh)["decide"] is not decide
    assert vars(policy)["decide"] is vars(refresh)["decide"] is decide
    before = vars(Slot)["as_of"], vars(State)["slot"], vars(Ledger)["as_of"]
    with RULES["slot: believed limits"].taken_out(), RULES["slot: the later time"].taken_out():
        assert vars(Slot)["as_of"] is not before[0]
        assert vars(State)["slot"] is not before[1]
    assert (vars(Slot)["as_of"], vars(State)["slot"], vars(Ledger)["as_of"]) == before


def test_code_that_is_not_there_any_more_is_told() -> None:
    """Otherwise a row of the table would be the product's own."""
    moved = replace(RULES["due: revoked"], code="if self.is_gone(token):")
    with pytest.raises(ValueError, match=r"State\.due_reason must have 'if self.is_gone\(token\):' once, and has it 0"):
        moved.taken_out()


@pytest.mark.parametrize("name", EXPLORED)
def test_the_explorer_sees_that_a_rule_is_missing(name: str) -> None:
    """It breaks what the table names, or reaches other states."""
    search, invariant = EXPLORED[name]
    with_all = explore(search)
    with RULES[name].taken_out():
        without = explore(search)
    assert not with_all.broken
    assert without.broken == invariant
    assert without.size != with_all.size


@pytest.mark.parametrize("name", PLAYED)
def test_the_simulator_sees_that_a_rule_is_missing(name: str) -> None:
    """Something else happens in the same days."""
    with_all = whole()
    with RULES[name].taken_out():
        without = play(SEED, DAYS_OF_TORTURE)
    assert without.trace != with_all.trace


def test_a_rule_that_matters_is_found_without_being_taken_out() -> None:
    """All rules are compared at each call of the same days; what nobody needs is not played again for it."""
    with_all = whole()
    with watching(RULES.values()) as matters:
        watched = play(SEED, DAYS_OF_TORTURE)
    assert watched == with_all
    assert "rate limit: with a suspicion" in matters
    unneeded = "window: a third of a life"
    assert unneeded not in matters
    with RULES[unneeded].taken_out():
        assert play(SEED, DAYS_OF_TORTURE) == with_all


def test_the_page_has_the_rules_of_the_registry() -> None:
    """`make rules` takes a quarter of an hour, so whoever changes a sentence changes it on the page by hand."""
    told = [(row[0], row[-1]) for row in rows_of_the_page()]
    expected = [(page.title_of(rule), page.reason_of(rule)) for rule in RULES.values()]
    assert told == [(title.replace("`", ""), reason.replace("`", "")) for title, reason in expected]


def test_each_rule_says_what_would_happen_without_it() -> None:
    """In a whole sentence, so that nobody has to guess whether it tells of the rule or of its absence."""
    said = {name: rule.without_it for name, rule in RULES.items()}
    whole = {name: text for name, text in said.items() if text.startswith("Without it ") and text.endswith(".")}
    assert said == whole


def test_each_test_that_a_rule_names_exists() -> None:
    """Exactly once, so that a reader finds it by its name."""
    tests = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
    named = {rule.test for rule in RULES.values() if rule.test}
    assert named
    assert [name for name in sorted(named) if tests.count(f"def {name}(") != 1] == []


def test_each_rule_that_nothing_else_finds_names_a_test() -> None:
    """If neither the explorer nor the simulator sees a difference, something else must."""
    unseen = [row[0] for row in rows_of_the_page() if row[1] == row[2] == page.SAME]
    names = [name for name in RULES if any(title.startswith(f"**{name}**: ") for title in unseen)]
    assert len(names) == len(unseen) > 0
    assert [name for name in names if not RULES[name].test] == []


def test_the_summary_counts_what_breaks_and_what_only_changes() -> None:
    """Other states and another trace are changes in which nothing breaks."""
    cells = [
        ("`heals`", page.ANOTHER_TRACE),
        (page.SAME, "`early`, `flight`"),
        (page.OTHER_STATES, page.SAME),
        (page.SAME, page.ANOTHER_TRACE),
        (page.OTHER_STATES, page.ANOTHER_TRACE),
        (page.SAME, page.SAME),
    ]
    assert page.summary(("title", *pair, "figure", "reason") for pair in cells) == (
        "6 rules. Without 2 of them something breaks. Without 3 others only a trace "
        "or the number of states changes. The difference is seen by: both 2, the simulator alone 2, "
        "the explorer alone 1, neither 1."
    )
