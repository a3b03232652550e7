"""Run mutmut, which changes the handler bit by bit and looks whether mypy or a test notices.

`make mutation` runs this in mutmut's virtual environment, then once more with `--survivors`, and then
`scripts.mutation`, which prints what was found. Arguments are mutmut's names of mutants, with wildcards, if only some
are to be run. With `--survivors` those of them are run again that have survived without a known reason, by all tests
that execute the changed statement.

By itself mutmut starts pytest for each mutant, pytest collects thousands of tests, and all those run that call the
changed function, in any order. Here each mutant costs much less, and just as many are found:

- pytest starts once and collects all tests. Each mutant is a fork of that process, and only runs tests.
- Only those tests run that execute the changed statement.
- Those that found the most changes of the function run first. Then those that speak of what is changed take turns with
  those of the rarest cases.
"""

import argparse
import ast
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from functools import cache, partial
from itertools import chain, zip_longest
from pathlib import Path
from textwrap import dedent
from zlib import crc32

import pytest
from coverage import Coverage, CoverageData
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.data import MutantLineSpans
from mutmut.mutation.diff_apply import generated_function_names
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd
from mutmut.workers.isolation import ForkServerRunner

from scripts.mutation import RESULTS, Change, function_of, read_known, read_mutants, reason_for

# How many integration tests run for a change, at most. A change that only another test would find counts as a survivor.
# At most half of them are those that found the most changes nearby.
MAX_INTEGRATION_TESTS = 120
# For a change that has survived that, all run that execute the statement. There are fewer than this.
MAX_INTEGRATION_TESTS_OF_SURVIVOR = 10_000
# How many run for a change that is known to survive, with a reason.
MAX_INTEGRATION_TESTS_OF_KNOWN_SURVIVOR = 40
# So much time of the processor the first cases of all tests have in a fork without a change, and half as much on the
# clock. They take about 80 seconds.
CLEAN_TEST_SECONDS = 600
NO_MUTANT = "handler.none.x_none__mutmut_0"
# Coverage's data: which tests execute a line.
LINES = RESULTS / "lines.coverage"
# A line for each mutant that a test killed: the file, the function and the test.
KILLS = RESULTS / "kills.txt"
# More than there are mutants in a file.
KILLS_OF_FUNCTION = 1_000


class CollectedTests(PytestRunner):  # type: ignore[misc]  # mutmut has no types
    """Runs tests that pytest has already collected in this process."""

    session: pytest.Session | None = None

    def warm_up(self) -> None:
        """Do no more than keep mutmut's output: tests fail if a file that is not closed is dropped."""
        self._output = sys.stdout

    def run_stats(self, *, tests: Iterable[str]) -> int:
        """Run the tests without a change, and note the lines that each executes. Returns pytest's exit code.

        `tests/mutation/plugin.py` tells coverage which test it is.
        """
        coverage = Coverage(data_file=str(LINES), include=[f"{RESULTS}/handler/*"], config_file=False)
        if LINES.exists():
            coverage.load()
        with coverage.collect():
            exit_code = int(super().run_stats(tests=tests))
        coverage.save()
        return exit_code

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Run the tests in this order, up to the first that fails. Returns pytest's exit code."""
        if mutant_name is None or self.session is None:
            return int(super().run_tests(mutant_name=mutant_name, tests=tests))
        collected = {item.nodeid: item for item in self.session.items}
        # One that is gone was there when a run began that this one goes on with.
        items = [collected[test] for test in tests if test in collected]
        for item, following in zip_longest(items, items[1:]):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.session.testsfailed:
                _note_kill(mutant_name, item.nodeid)
                return int(pytest.ExitCode.TESTS_FAILED)
        return int(pytest.ExitCode.OK)


class ForksOfOneSession(ForkServerRunner):  # type: ignore[misc]  # mutmut has no types
    """Has pytest collect the tests once, and runs each mutant in a fork of the process that has them."""

    def __init__(self, max_workers: int = 1, *, max_integration_tests: int = MAX_INTEGRATION_TESTS) -> None:
        super().__init__(
            max_workers=max_workers,
            test_runner_class=CollectedTests,
            test_runner_args={},
            max_restarts=0,
        )
        self._max_integration_tests = max_integration_tests
        self._known = read_known()

    def run_clean_tests(self, tests: Iterable[str]) -> int:  # noqa: ARG002 - mutmut calls it so
        """Run nothing: all tests have just run without a change, and `startup` runs the first cases in a fork."""
        return int(pytest.ExitCode.OK)

    def startup(self) -> None:
        """Raise SystemExit if tests fail in a fork without a change, because then each mutant would count as killed."""
        super().startup()
        tests = _first_cases(state().duration_by_test)
        super().submit(NO_MUTANT, tests, CLEAN_TEST_SECONDS, CLEAN_TEST_SECONDS)
        if self.wait_for_result().exit_code != pytest.ExitCode.OK:
            raise SystemExit("tests that pass by themselves fail in a fork")

    def _forkserver_main(self, work_fd: int, result_fd: int) -> None:
        """Be the process that is forked. It serves at the point at which pytest would run the tests."""
        serve = super()._forkserver_main

        class ServeInsteadOfRunning:
            @pytest.hookimpl(tryfirst=True)
            def pytest_runtestloop(self, session: pytest.Session) -> bool:
                CollectedTests.session = session
                serve(work_fd, result_fd)
                return True

        arguments = ["--rootdir=.", "--tb=no", "-x", "-q"]
        arguments += config().pytest_add_cli_args_test_selection
        arguments += config().pytest_add_cli_args
        with Path(os.devnull).open("w") as nowhere, change_cwd(RESULTS):
            # What pytest prints would write over mutmut's line of progress.
            sys.stdout = sys.stderr = nowhere
            pytest.main(arguments, plugins=[ServeInsteadOfRunning()])

    def submit(self, mutant_name: str, tests: list[str], cpu_time_limit: int, estimated_time: float) -> None:
        chosen = self._chosen(mutant_name, tests)
        super().submit(mutant_name, chosen, cpu_time_limit, estimated_time)

    def _chosen(self, mutant_name: str, tests: list[str]) -> list[str]:
        """Return the tests in the order in which they run.

        A change that survives runs all that are chosen, so it takes the longest. These are all unit tests, and a
        number of the others.
        """
        executing = _tests_that_execute(mutant_name)
        if executing is not None:
            tests = [test for test in tests if test in executing]
        unit_tests = sorted(test for test in tests if _is_unit_test(test))
        most = self._max_integration_tests
        if self._is_known(mutant_name):
            most = MAX_INTEGRATION_TESTS_OF_KNOWN_SURVIVOR
        kills = _kills_near(mutant_name)
        mixed = _mixed(test for test in tests if not _is_unit_test(test))
        killers = sorted(filter(kills.get, mixed), key=lambda test: -kills[test])[: most // 2]
        others = [test for test in mixed if test not in killers]
        rareness = _rareness_near(mutant_name)
        rarest = sorted(others, key=lambda test: rareness[test])
        closeness = _closeness(mutant_name, others)
        case_numbers = _case_numbers(others)
        closest = sorted(others, key=lambda test: (case_numbers[test], -closeness[test]))
        in_turn = list(dict.fromkeys(chain.from_iterable(zip(closest, rarest, strict=True))))
        chosen = [*unit_tests, *killers, *in_turn[: most - len(killers)]]
        return sorted(chosen, key=lambda test: -kills[test])

    def _is_known(self, mutant_name: str) -> bool:
        change = Change.of(file=_file_of(mutant_name), name=mutant_name)
        return bool(reason_for(change, self._known))


def _tests_that_execute(mutant_name: str) -> set[str] | None:
    """Return the tests that execute the changed statement of the unchanged function.

    Returns None if that can't be told, because the head of the function is changed.
    """
    file = _file_of(mutant_name)
    original_name, changed_name = generated_function_names(mutant_name)
    spans = MutantLineSpans.load(file)
    original, changed = spans.read_function_sources([original_name, changed_name])
    changed = changed.replace(changed_name, original_name)
    statements = _statements_of(original)
    executed = _tests_by_line(file)
    first_line = spans.span_by_function_name[original_name].start
    tests: set[str] = set()
    for changed_line in _changed_lines(original.splitlines(), changed.splitlines()):
        lines = _lines_of_statement_at(changed_line, statements)
        if lines is None:
            return None
        for line in lines:
            tests.update(executed.get(first_line + line, ()))
    return tests


def _closeness(mutant_name: str, tests: list[str]) -> dict[str, float]:
    """Return how much each test speaks of what is changed: the words that it shares with the changed lines.

    A word counts more if few tests have it.
    """
    change = Change.of(file=_file_of(mutant_name), name=mutant_name)
    changed_words = _words_of(f"{change.before} {change.after}")
    words_by_function = _words_by_test_function()
    number_with = Counter(chain.from_iterable(words_by_function.values()))
    closeness = {}
    for test in tests:
        shared = changed_words & words_by_function.get(_function_of_test(test), set())
        closeness[test] = sum(1 / number_with[word] for word in shared)
    return closeness


@cache
def _words_by_test_function() -> dict[str, set[str]]:
    """Return the words of each test by its name in pytest: those of its code, its docstring and its file's name."""
    words = {}
    for path in (RESULTS / "tests").rglob("test_*.py"):
        file = path.relative_to(RESULTS).as_posix()
        lines = path.read_text().splitlines()
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                first_line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                source = "\n".join(lines[first_line - 1 : node.end_lineno])
                words[f"{file}::{node.name}"] = _words_of(f"{file} {source}")
    return words


def _words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{4,}", text.lower()))


def _rareness_near(mutant_name: str) -> dict[str, tuple[int, int]]:
    """Return how many tests execute the rarest line that each test executes: of the function, and of the file.

    A test of a special case executes lines that few others do, and finds what the many others do not.
    """
    file = _file_of(mutant_name)
    original_name, _ = generated_function_names(mutant_name)
    span = MutantLineSpans.load(file).span_by_function_name[original_name]
    in_file = _rareness(file)
    in_function = _rareness(file, range(span.start, span.end + 1))
    never = len(in_file)
    return {test: (in_function.get(test, never), in_file[test]) for test in in_file}


@cache
def _rareness(file: str, lines: range | None = None) -> dict[str, int]:
    rareness: dict[str, int] = {}
    for line, tests in _tests_by_line(file).items():
        if lines is None or line in lines:
            for test in tests:
                rareness[test] = min(rareness.get(test, len(tests)), len(tests))
    return rareness


@cache
def _tests_by_line(file: str) -> dict[int, list[str]]:
    data = CoverageData(str(LINES))
    data.read()
    return dict(data.contexts_by_lineno(str(RESULTS / file)))


def _changed_lines(original: list[str], changed: list[str]) -> Iterator[int]:
    """Yield the numbers of the original lines that are changed, from 0 on."""
    for operation, start, end, *_ in SequenceMatcher(None, original, changed, autojunk=False).get_opcodes():
        if operation != "equal":
            yield from range(start, max(end, start + 1))


@cache
def _statements_of(function: str) -> list[tuple[ast.stmt, range]]:
    """Return each statement of a function with the numbers of its lines, from 0 on.

    What a statement has inside of it, such as the block of an `if`, is not among its lines.
    """
    statements: list[tuple[ast.stmt, range]] = []
    for node in ast.walk(ast.parse(dedent(function))):
        if isinstance(node, ast.stmt):
            inside = getattr(node, "body", None)
            last_line = inside[0].lineno - 1 if inside else node.end_lineno or node.lineno
            lines = range(node.lineno - 1, max(last_line, node.lineno))
            statements.append((node, lines))
    return statements


def _lines_of_statement_at(line: int, statements: list[tuple[ast.stmt, range]]) -> Iterable[int] | None:
    """Return the lines of the statement that has this line, or None if it is the function's own head."""
    for statement, lines in statements:
        if line in lines and not isinstance(statement, ast.Match):
            is_head = isinstance(statement, ast.FunctionDef) and statement is statements[0][0]
            return None if is_head else lines
    # Such as `except …:` and `case …:`.
    return [line]


def _is_unit_test(test: str) -> bool:
    return test.startswith("tests/unit/")


def _mixed(tests: Iterable[str]) -> list[str]:
    """Return the first case of each test, then the second case of each, and so on, from all files in turn."""
    case_numbers = _case_numbers(tests)
    # The checksum mixes the files, and always in the same way.
    return sorted(case_numbers, key=lambda test: (case_numbers[test], crc32(_function_of_test(test).encode())))


def _case_numbers(tests: Iterable[str]) -> dict[str, int]:
    """Return which case of its function each test is, from 0 on."""
    numbers: dict[str, int] = {}
    cases = Counter[str]()
    for test in sorted(tests):
        function = _function_of_test(test)
        numbers[test] = cases[function]
        cases[function] += 1
    return numbers


def _function_of_test(test: str) -> str:
    return test.partition("[")[0]


def _first_cases(tests: Iterable[str]) -> list[str]:
    """Return the first case of each test, from all files in turn."""
    mixed = _mixed(tests)
    functions = {_function_of_test(test) for test in mixed}
    return mixed[: len(functions)]


def _file_of(mutant_name: str) -> str:
    module = mutant_name.rpartition(".")[0]
    return module.replace(".", "/") + ".py"


def _note_kill(mutant_name: str, test: str) -> None:
    with KILLS.open("a") as file:
        file.write(f"{_file_of(mutant_name)} {function_of(mutant_name)} {test}\n")


def _kills_near(mutant_name: str) -> Counter[str]:
    """Return how many mutants of the same file each test has killed so far. Those of the same function count more."""
    kills = Counter[str]()
    if not KILLS.exists():
        return kills
    for line in KILLS.read_text().splitlines():
        file, function, test = line.split(" ", maxsplit=2)
        if file == _file_of(mutant_name):
            kills[test] += KILLS_OF_FUNCTION if function == function_of(mutant_name) else 1
    return kills


def _unknown_survivors(patterns: list[str]) -> list[str]:
    known = read_known()
    names = []
    for mutant in read_mutants(patterns):
        change = Change.of(file=mutant.file, name=mutant.name)
        if mutant.survived and not reason_for(change, known):
            names.append(mutant.name)
    return names


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutate")
    parser.add_argument(
        "--survivors", action="store_true", help="run the survivors again, by all tests that execute the change"
    )
    parser.add_argument("names", nargs="*", help="of mutants, with wildcards")
    options = parser.parse_args(arguments)
    # What the package `scripts` has loaded is not the changed copy, which the tests must load.
    del sys.modules["handler"]
    names = options.names
    mutmut.get_mutant_runner = ForksOfOneSession
    if options.survivors:
        names = _unknown_survivors(names)
        if not names:
            return
        mutmut.get_mutant_runner = partial(
            ForksOfOneSession,
            max_integration_tests=MAX_INTEGRATION_TESTS_OF_SURVIVOR,
        )
    mutmut._run(names, None)  # noqa: SLF001 - its command line's function, which knows no other runner


if __name__ == "__main__":
    main(sys.argv[1:])
