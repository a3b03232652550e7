"""The bench compares what it says that it compares, and its arithmetic has no figure of the template wrong."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from tango_token import TTL_SECONDS

from bench import cost, report
from bench.artifacts import COMPILED, HERE, NAIVE, NOTHING, OURS, Artifact
from bench.cost import DEPLOYED, MEMORIES, Book, Tick, billed, cheapest, consumer, month, needed
from bench.growth import costs, limits
from bench.meter import Counts
from bench.processes import Sample, bare
from bench.rounds import BARE, Spread, ratio
from bench.situations import DUE, FRESH, SITUATIONS, situation
from tests.deployment.stack import ROOT, TEMPLATE
from tests.deployment.test_runtime import python_path  # noqa: F401 - the fixture that makes the package, once

BOOK = Book.read()
NO_OP = Tick(0.2, 0.02, 0.015, 1, 0, 900)
REFRESH = Tick(0.2, 0.05, 0.015, 6, 1, 1_200)
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
    assert TEMPLATE["Resources"]["RefreshFunction"]["Properties"]["MemorySize"] == DEPLOYED
    assert DEPLOYED in MEMORIES


@pytest.mark.parametrize("where", SITUATIONS)
def test_a_run_sends_as_many_metrics_as_a_month_is_counted_with(where: str) -> None:
    """How much is left, and one outcome: a refresh sends no more of them than a no-op."""
    with situation(where) as world:
        outcome = world.invoke()["outcome"]
        sent = [line["_aws"]["CloudWatchMetrics"] for line in world.lines if "_aws" in line]
    names = [metric["Name"] for directives in sent for one in directives for metric in one["Metrics"]]
    assert sorted(names) == sorted(["TokenSecondsRemaining", outcome.capitalize()])
    assert len(names) == cost.METRICS_EACH_HOUR
    assert month(NO_OP, REFRESH, 256, BOOK)["custom metrics"] == len(names) * BOOK.price("metric_month")


def test_what_a_consumers_reads_cost_is_by_how_often_ours_reads() -> None:
    """Twelve times an hour."""
    assert BOOK.assumed("consumer_reads_each_seconds") == TTL_SECONDS
    assert consumer(BOOK) == pytest.approx((8_760, 0.0438))


def test_every_price_and_assumption_says_where_it_is_from() -> None:
    """With the region, and when each price was read, so that a reader can tell when they are out of date."""
    assert {"region", "currency"} <= BOOK.document.keys()
    prices = BOOK.document["prices"].values()
    assert all(one["source"] and one["unit"] and one["price"] > 0 for one in prices)
    assert all(re.fullmatch(r"20\d\d(-(0[1-9]|1[0-2]))?", one["read"]) for one in prices)
    assert BOOK.read_between() == (min(one["read"] for one in prices), max(one["read"] for one in prices))
    assert all(one["why"] for one in BOOK.document["assumptions"].values())
    quotas = [*BOOK.document["quotas"].values(), *BOOK.document["rates"].values()]
    assert all(one["source"] and one["what"] for one in quotas)


def test_more_memory_is_billed_for_fewer_seconds_and_costs_more() -> None:
    """What waits for the processor gets shorter in proportion, what waits for the network does not."""
    seconds = [billed(NO_OP, memory, BOOK) for memory in MEMORIES]
    assert [one.all for one in seconds] == sorted((one.all for one in seconds), reverse=True)
    assert len({(one.init, one.network) for one in seconds}) == 1
    lambdas = [month(NO_OP, REFRESH, memory, BOOK)["Lambda GB-seconds"] for memory in MEMORIES]
    assert lambdas == sorted(lambdas)
    assert billed(REFRESH, 256, BOOK).all > billed(NO_OP, 256, BOOK).all


def test_work_that_moves_into_the_start_is_billed_for_less() -> None:
    """A start has a whole processor, a run at 256 MB about a seventh of one."""
    early = Tick(0.3, 0.0, 0.0, 1, 0, 900)
    late = Tick(0.2, 0.1, 0.0, 1, 0, 900)
    saved = billed(late, 256, BOOK).all - billed(early, 256, BOOK).all
    assert saved == pytest.approx(0.1 * (1_769 / 256 - 1))


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
def figures() -> report.Report:
    """Two rounds, in which ours starts in a fifth of the naive function's time, and runs twice as long."""
    names = {OURS: (50.0, 20.0), NAIVE: (250.0, 10.0), COMPILED: (100.0, 10.0), NOTHING: (0.0, 0.0)}
    samples = {
        (BARE, where, name): [Sample(start + run + noise, 40_960, "", [], start, run, 900) for noise in (10, 20)]
        for name, (start, run) in names.items()
        for where in SITUATIONS
    }
    calls = {(name, where): (Counts(1, 1, 1, 1), Counts()) for name in (OURS, NAIVE) for where in SITUATIONS}
    artifacts = {name: Artifact(name, HERE, "app.lambda_handler", 100, 200, "5ba1d0") for name in names}
    return report.Report(artifacts, samples, calls, (0.0, 2.0))


def cells(text: str, first: str) -> list[str]:
    """Return what the one row of a table that begins so has after that."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip(" *") for cell in row.split("|")[2:-1]]


def test_the_ratio_of_billed_seconds_is_at_the_deployed_memory(figures: report.Report) -> None:
    """Ours, far ahead in the start, falls back by what it does in the run: Lambda gives it less processor then."""
    text = figures.seconds(BOOK)
    share = DEPLOYED / BOOK.assumed("vcpu_memory_mb")
    for where in SITUATIONS:
        init, processor, network, whole, same = map(float, cells(text, f"{where}, {OURS}"))
        theirs = [float(one) for one in cells(text, f"{where}, {NAIVE}")]
        handshake = BOOK.assumed("handshake_cpu_seconds_per_host")
        assert same == 1.0
        assert processor == pytest.approx((0.02 + handshake) / share, abs=0.006)
        assert whole == pytest.approx(init + processor + network, abs=0.02)
        assert theirs[4] == pytest.approx(whole / theirs[3], abs=0.02)
        assert 0.2 < theirs[4] < float(cells(text, f"{where}, {COMPILED}")[4])


def test_a_months_sums_are_those_of_many_clients(figures: report.Report) -> None:
    """Without the dashboard, which is free for the first three of an account, and with it."""
    text = figures.month(BOOK)
    free, paid = (
        [float(one) for one in cells(text, first)]
        for first in ("**all**, the dashboard one of three free ones", "**all**, with three others in the account")
    )
    assert len(free) == len(MEMORIES) + len((NAIVE, COMPILED))
    assert [b - a for a, b in zip(free, paid, strict=True)] == pytest.approx([BOOK.price("dashboard_month")] * 5)
    assert cells(figures.growth(BOOK), "1")[0] == f"{free[MEMORIES.index(DEPLOYED)]:.2f}"


def test_the_page_says_which_package_and_when_its_prices_were_read(figures: report.Report) -> None:
    """So that a reader can build the same, and look the prices up again."""
    package = Artifact(OURS, HERE, "app.lambda_handler", sha256="5ba1d0")
    text = figures.text(report.facts("3.13.0", 2, package), "| read |")
    assert "2 rounds on" in text
    assert "sha256 is `5ba1d0`" in text
    assert "between {} and {}".format(*BOOK.read_between()) in text
    assert "8,760 calls a month, 0.0438 USD" in text
    assert "```" not in text


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
