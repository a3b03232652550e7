"""How tests run for `make mutation`: what found a change before goes first, and each ends in bounded time."""

import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

LONGEST_TEST_SECONDS = 30  # of real time; the slowest takes about two

FAILURES = Path("failures.txt")  # in mutmut's folder: a line for each test that failed there

# A counterexample is all that is asked for, not the smallest one.
PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("mutation", phases=PHASES, max_examples=20)
hypothesis.settings.load_profile("mutation")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """End the whole process, which is one mutant's, where a test hangs: whatever it hangs in, this signal ends it."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST_TEST_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what failed most often, then the unit tests: mutmut has no order, and ends with the first failure."""
    failed = Counter(FAILURES.read_text().splitlines() if FAILURES.exists() else ())
    items.sort(key=lambda item: (-failed[item.nodeid], item.path.parent.name != "unit"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        with FAILURES.open("a") as file:
            file.write(f"{report.nodeid}\n")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a test's name be the same at each collection of one process: pytest keeps it, and escapes what it kept."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        kept_by = getattr(mark, "_param_ids_from", None)
        if kept_by:
            object.__setattr__(kept_by, "_param_ids_generated", None)
