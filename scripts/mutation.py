# ruff: noqa: T201 - a command line program prints
"""Print what `mutmut run` has found, and compare the survivors with the known ones, each of which has a reason.

`make mutation` runs this in mutmut's virtual environment. Arguments are mutmut's names of mutants, with wildcards, if
only some were run. A survivor is known by its function and its change, so the list stays right when lines move. An
entry with `after = "wording"` stands for every change of a line that only turns a text into capitals or small letters,
or puts XX around it.
"""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase

from mutmut.mutation.diff_apply import get_diff_for_mutant

from scripts import ROOT

RESULTS = ROOT / "mutants"
KNOWN = ROOT / "tests" / "mutation" / "survivors.toml"
MIN_KILLED_SHARE = 0.95
WORDING = "wording"
# The exit codes of pytest and mutmut. Any other code means that a test was ended because it hung.
KILLED_BY_TESTS = (1, 3)
KILLED_BY_TYPES = 37
SURVIVED = 0
NEVER_CALLED = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a mutant changes: the lines before and after."""

    file: str
    function: str
    before: str
    after: str

    @classmethod
    def of(cls, *, file: str, name: str) -> "Change":
        """Read the change from mutmut's folder. `name` is mutmut's name of the mutant."""
        diff = get_diff_for_mutant(name, path=file).splitlines()
        return cls(
            file=file,
            function=function_of(name),
            before=_lines_with("-", diff),
            after=_lines_with("+", diff),
        )

    def line(self) -> int:
        """Return where today's file has the first line of the change, or else where its function begins."""
        text = (ROOT / self.file).read_text()
        span = _spans(ast.parse(text)).get(self.function, Span(start=1, end=0))
        first_line = self.before.partition("\n")[0]
        for number, line in enumerate(text.splitlines(), start=1):
            if span.start <= number <= span.end and line.strip() == first_line:
                return number
        return span.start

    def known_as(self) -> "Change":
        """Return the entry that stands for this change if only the letters of a text differ, otherwise the change."""
        if _ignoring_wording(self.before) == _ignoring_wording(self.after):
            return replace(self, after=WORDING)
        return self

    def __str__(self) -> str:
        """Return the change as an entry of the list, without the reason."""
        lines = ["[[survivor]]"]
        for field in fields(self):
            # What JSON writes is TOML too.
            value = json.dumps(getattr(self, field.name), ensure_ascii=False)
            lines.append(f"{field.name} = {value}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    file: str
    name: str
    exit_code: int | None  # None: it was not run

    @property
    def was_killed(self) -> bool:
        return self.exit_code in {*KILLED_BY_TESTS, KILLED_BY_TYPES}

    @property
    def survived(self) -> bool:
        return self.exit_code in {SURVIVED, NEVER_CALLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The lines of a function, the first and the last included."""

    start: int
    end: int


def function_of(mutant: str) -> str:
    """Read `function` or `Class.method` from mutmut's name of a mutant."""
    name = mutant.rpartition(".")[2].rpartition("__mutmut_")[0]
    if "ǁ" in name:
        return name.removeprefix("xǁ").replace("ǁ", ".")
    return name.removeprefix("x_")


def _lines_with(sign: str, diff: list[str]) -> str:
    """Return the removed (-) or added (+) lines, but not the diff's head, where the sign is repeated."""
    lines = (line for line in diff if line.startswith(sign) and not line.startswith(sign * 2))
    return "\n".join(line[1:].strip() for line in lines)


def _ignoring_wording(text: str) -> str:
    return text.lower().replace("xx", "")


def _spans(tree: ast.AST, inside: str = "") -> dict[str, Span]:
    """Return the spans of all functions and methods; nested functions belong to the outer one."""
    spans: dict[str, Span] = {}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            spans = _spans(node, f"{node.name}.") | spans
        elif isinstance(node, ast.FunctionDef):
            spans.setdefault(inside + node.name, Span(start=node.lineno, end=node.end_lineno or node.lineno))
    return spans


def read_mutants(patterns: list[str]) -> Iterator[Mutant]:
    """Yield each mutant that matches a pattern, or all of them if there is no pattern."""
    for path in sorted(RESULTS.rglob("*.py.meta")):
        file = path.relative_to(RESULTS).as_posix().removesuffix(".meta")
        exit_codes = json.loads(path.read_text())["exit_code_by_key"]
        for name, exit_code in exit_codes.items():
            if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns):
                yield Mutant(file=file, name=name, exit_code=exit_code)


def read_known() -> dict[Change, str]:
    """Return the reason for each known survivor."""
    known: dict[Change, str] = {}
    for entry in tomllib.loads(KNOWN.read_text()).get("survivor", []):
        reason = entry.pop("reason")
        known[Change(**entry)] = reason
    return known


def reason_for(change: Change, known: dict[Change, str]) -> str:
    """Return why the change may survive; empty if it is not known."""
    return known.get(change) or known.get(change.known_as(), "")


def print_survivors(reasons: dict[Change, str]) -> None:
    for change in sorted(reasons, key=lambda change: (change.file, change.line())):
        reason = json.dumps(reasons[change])
        print(f"# {change.file}:{change.line()}\n{change}\nreason = {reason}\n")


def print_outdated(known: dict[Change, str], survivors: list[Change]) -> None:
    current = {*survivors, *(change.known_as() for change in survivors)}
    for change in known:
        if change not in current:
            print(f"# {KNOWN.name} has this change, but it no longer survives\n{change}\n")


def main(*patterns: str) -> int:
    """Return the exit code: 1 if too few mutants were killed, or if a survivor is unknown, or if one was not run."""
    known = read_known()
    mutants = list(read_mutants([*patterns]))
    survivors = [Change.of(file=mutant.file, name=mutant.name) for mutant in mutants if mutant.survived]
    reasons = {change: reason_for(change, known) for change in survivors}
    print_survivors(reasons)
    if not patterns:
        print_outdated(known, survivors)
    killed = sum(mutant.was_killed for mutant in mutants)
    by_types = sum(mutant.exit_code == KILLED_BY_TYPES for mutant in mutants)
    not_run = sum(mutant.exit_code is None for mutant in mutants)
    timed_out = len(mutants) - killed - len(survivors) - not_run
    unknown = sum(not reasons[change] for change in survivors)
    share = killed / max(1, len(mutants))
    counts = [
        f"{killed} killed ({by_types} of them by mypy)",
        f"{len(survivors)} survived ({unknown} of them without a reason in {KNOWN.name})",
        f"{timed_out} timed out",
        f"{not_run} not run",
    ]
    print(f"{len(mutants)} mutants: {', '.join(counts)}")
    print(f"{share:.1%} killed, of at least {MIN_KILLED_SHARE:.0%}")
    by_tests = killed - by_types
    share_of_tests = by_tests / max(1, len(mutants) - by_types)
    print(f"{share_of_tests:.1%} killed by a test, of those that mypy lets pass")
    is_good = share >= MIN_KILLED_SHARE and not unknown and not not_run
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
