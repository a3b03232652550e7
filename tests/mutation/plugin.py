"""How tests run for `make mutation`: each ends in bounded time, and is the same each time."""

import signal
from collections.abc import Generator

import hypothesis
import pytest
from coverage import Coverage

LONGEST_TEST_SECONDS = 20  # of real time; the slowest takes about two

# A counterexample is all that is asked for, not the smallest one.
PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("mutation", phases=PHASES, max_examples=20, derandomize=True)
hypothesis.settings.load_profile("mutation")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the whole process, which is one mutant's, where a test hangs: whatever it hangs in, this signal ends it.

    While lines are noted, they are noted for this test.
    """
    noting = Coverage.current()
    if noting:
        noting.switch_context(item.nodeid)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_TEST_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a test's name be the same at each collection of one process: pytest keeps it, and escapes what it kept."""
    for mark in metafunc.definition.iter_markers("parametrize"):
        kept_by = getattr(mark, "_param_ids_from", None)
        if kept_by:
            object.__setattr__(kept_by, "_param_ids_generated", None)
