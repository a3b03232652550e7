"""The bench compares what it says that it compares, and its arithmetic has no figure of the template wrong."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import cost, report
from bench.artifacts import HERE, NAIVE, Artifact
from bench.cost import MEMORIES, Book, Tick, billed_seconds, cheapest, month, needed
from bench.growth import costs, limits
from bench.processes import bare
from bench.rounds import Spread, ratio
from bench.situations import DUE, FRESH, SITUATIONS, situation
from tests.deployment.stack import ROOT, TEMPLATE
from tests.deployment.test_runtime import python_path  # noqa: F401 - the fixture that makes the package, once

BOOK = Book.read()
NO_OP, REFRESH = Tick(0.2, 0.02, 0.015, 1, 0, 900), Tick(0.2, 0.05, 0.015, 6, 1, 1_200)
TYPES = Counter(resource["Type"] for resource in TEMPLATE["Resources"].values())


@pytest.mark.parametrize("where", SITUATIONS)
def test_the_naive_function_does_the_job_that_it_is_compared_in(python_path: str, where: str) -> None:  # noqa: F811
    """With a fresh token it asks nobody; with one that is due it gets another and puts it where consumers read it."""
    libraries = python_path.split(":", maxsplit=1)[0]
    artifact = Artifact(NAIVE, Path(f"{HERE / 'naive'}:{libraries}"), "app.lambda_handler")
    with situation(where) as world:
        before = world.token()["access_token"]
        sample = bare(sys.executable, artifact, world)
        assert sample.outcome == {FRESH: "kept", DUE: "refreshed"}[where]
        assert len(world.vendor.requests) == (where == DUE)
        assert (world.token()["access_token"] != before) == (where == DUE)
        assert world.consume() == 200


def test_ratios_are_of_one_round() -> None:
    """A round in which the machine was slow is slow for both, and leaves the ratio as it is."""
    assert ratio([1.0, 10.0, 2.0], [2.0, 20.0, 4.0]) == Spread(0.5, 0.5, 0.5)
    assert ratio([2.0, 3.0], [3.0, 5.0], floor=[1.0, 1.0]).median == pytest.approx(0.5)
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_a_stack_has_as_many_of_everything_as_the_template() -> None:
    """What one month costs and which quota bites first are counted from these."""
    assert TYPES["AWS::SecretsManager::Secret"] == cost.SECRETS
    assert TYPES["AWS::CloudWatch::Alarm"] == cost.ALARMS
    assert TYPES["AWS::CloudWatch::Dashboard"] == cost.DASHBOARDS
    quotas = BOOK.document["quotas"]
    assert quotas["alarms"]["per_stack"] == cost.ALARMS
    assert quotas["secrets"]["per_stack"] == cost.SECRETS
    assert quotas["iam_policies"]["per_stack"] == TYPES["AWS::IAM::ManagedPolicy"]
    assert quotas["iam_roles"]["per_stack"] == TYPES["AWS::IAM::Role"] + 1  # SAM makes the schedule's
    assert TEMPLATE["Resources"]["RefreshFunction"]["Properties"]["MemorySize"] in MEMORIES


def test_every_price_and_assumption_says_where_it_is_from() -> None:
    """With the region and the month of the prices, so that a reader can tell when they are out of date."""
    assert {"region", "as_of", "currency"} <= BOOK.document.keys()
    assert all(one["source"] and one["unit"] and one["price"] > 0 for one in BOOK.document["prices"].values())
    assert all(one["why"] for one in BOOK.document["assumptions"].values())
    quotas = [*BOOK.document["quotas"].values(), *BOOK.document["rates"].values()]
    assert all(one["source"] and one["what"] for one in quotas)


def test_more_memory_is_billed_for_fewer_seconds_and_costs_more() -> None:
    """What waits for the processor gets shorter in proportion, what waits for the network does not."""
    seconds = [billed_seconds(NO_OP, memory, BOOK) for memory in MEMORIES]
    assert seconds == sorted(seconds, reverse=True)
    lambdas = [month(NO_OP, REFRESH, memory, BOOK)["Lambda GB-seconds"] for memory in MEMORIES]
    assert lambdas == sorted(lambdas)
    assert billed_seconds(REFRESH, 256, BOOK) > billed_seconds(NO_OP, 256, BOOK)


def test_the_cheapest_memory_is_one_that_is_at_most_half_full() -> None:
    """The peak, and Lambda's own part, twice; none where even the largest of them is too small."""
    assert [cheapest(NO_OP, REFRESH, peak, BOOK) for peak in (30, 45, 200, 300)] == [128, 256, 512, None]
    assert needed(45, BOOK) == 2 * (45 + 30)


def test_costs_grow_with_the_clients_and_the_first_quota_comes_first() -> None:
    """Nothing is shared between stacks, so a thousand cost a thousand times as much as one."""
    rows = costs(NO_OP, REFRESH, 256, BOOK)
    one, thousand = (float(row[1].replace(",", "")) for row in (rows[0], rows[-1]))
    assert thousand == pytest.approx(1_000 * one, rel=0.01)
    stacks = [int(row[3].replace(",", "")) for row in limits(BOOK)]
    assert stacks == sorted(stacks)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"# Before\n\n{report.BEGIN}\nold\n{report.END}\n\nAfter\n")
    monkeypatch.setattr(report, "PAGE", path)
    return path


def test_the_page_keeps_all_but_the_figures(page: Path) -> None:
    """What people wrote around the marks stays, and a second run replaces what the first one wrote."""
    report.write("one")
    report.write("other")
    assert page.read_text() == f"# Before\n\n{report.BEGIN}\n\nother\n\n{report.END}\n\nAfter\n"


def test_the_page_has_its_marks() -> None:
    """The command writes there, and refuses where it would have to guess."""
    text = report.PAGE.read_text()
    assert 0 < text.index(report.BEGIN) < text.index(report.END)
    assert str(ROOT) not in text
