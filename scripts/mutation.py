# ruff: noqa: T201 - a command line program prints
"""Say what `mutmut run` has found, and hold it to the survivors that are known, each with its reason.

`make mutation` runs this in mutmut's venv; arguments are mutmut's names of mutants, with wildcards, where only some
were run. A survivor is known by its function and what is changed in it, so the list outlives lines that move; with
`after = "wording"` an entry stands for every change of a line that only writes a text in capitals, small, or in XX.
"""

import ast
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mutmut.mutation.diff_apply import get_diff_for_mutant

from scripts import ROOT

RESULTS, KNOWN = ROOT / "mutants", ROOT / "tests" / "mutation" / "survivors.toml"
LEAST_SHARE, WORDING = 0.9, "wording"
KILLED, BY_TYPES, SURVIVED, NEVER_CALLED = (1, 3), 37, 0, 33  # pytest's and mutmut's codes; others: a test was ended


@dataclass(frozen=True, slots=True)
class Change:
    file: str
    function: str
    before: str
    after: str

    @classmethod
    def of(cls, file: str, mutant: str) -> "Change":
        """Read what a mutant of the file, by mutmut's name, changes."""
        name = mutant.rpartition(".")[2].rpartition("__mutmut_")[0]
        function = name.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in name else name.removeprefix("x_")
        lines = get_diff_for_mutant(mutant, path=file).splitlines()
        before, after = ([line[1:].strip() for line in lines if line[:1] == sign != line[1:2]] for sign in "-+")
        return cls(file, function, "\n".join(before), "\n".join(after))

    def line(self) -> int:
        """Return where it is now: the first line of the function that reads like it, else the function's own."""
        text = (ROOT / self.file).read_text()
        start, end = next((span for name, *span in _functions(ast.parse(text)) if name == self.function), (1, 0))
        first = self.before.partition("\n")[0]
        found = (at for at, line in enumerate(text.splitlines()[start - 1 : end], start) if line.strip() == first)
        return next(found, start)

    def known_as(self) -> "Change":
        """Return the entry that stands for it where only the letters of a text differ, else itself."""
        before, after = (text.lower().replace("xx", "") for text in (self.before, self.after))
        return replace(self, after=WORDING) if before == after else self

    def __str__(self) -> str:
        """Write it as an entry of the list, but for the reason."""
        names = ("file", "function", "before", "after")
        # What JSON writes is TOML too.
        values = (f"{name} = {json.dumps(getattr(self, name), ensure_ascii=False)}" for name in names)
        return "\n".join(("[[survivor]]", *values))


def _functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, int, int]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield inside + node.name, node.lineno, node.end_lineno or node.lineno


def results(patterns: list[str]) -> Iterator[tuple[str, str, int | None]]:
    """Yield file, mutant and exit code of each mutant that is asked for; None where it was not run."""
    for path in sorted(RESULTS.rglob("*.py.meta")):
        file = path.relative_to(RESULTS).as_posix().removesuffix(".meta")
        for mutant, code in json.loads(path.read_text())["exit_code_by_key"].items():
            if not patterns or any(fnmatchcase(mutant, pattern) for pattern in patterns):
                yield file, mutant, code


def main(*patterns: str) -> int:
    known: dict[Change, str] = {}
    for entry in tomllib.loads(KNOWN.read_text()).get("survivor", []):
        reason = entry.pop("reason")
        known[Change(**entry)] = reason
    found = list(results([*patterns]))
    by_types = sum(code == BY_TYPES for _, _, code in found)
    killed = sum(code in KILLED for _, _, code in found) + by_types
    survivors = [Change.of(file, mutant) for file, mutant, code in found if code in {SURVIVED, NEVER_CALLED}]
    missing = sum(code is None for _, _, code in found)
    share = killed / max(1, len(found))
    reasons = {change: known.get(change) or known.get(change.known_as(), "") for change in survivors}
    for change in sorted(reasons, key=lambda one: (one.file, one.line())):
        print(f"# {change.file}:{change.line()}\n{change}\nreason = {json.dumps(reasons[change])}\n")
    if not patterns:
        for change in {*known} - {*survivors} - {change.known_as() for change in survivors}:
            print(f"# In {KNOWN.name}, but survives no more\n{change}\n")
    unknown = sum(not reasons[change] for change in survivors)
    timed_out = len(found) - killed - len(survivors) - missing
    print(f"{len(found)} mutants: {killed} killed ({by_types} of them by mypy), {len(survivors)} survived", end=" ")
    print(f"({unknown} of them without a reason in {KNOWN.name}), {timed_out} timed out, {missing} not run")
    print(f"{share:.1%} killed, of at least {LEAST_SHARE:.0%}")
    return int(share < LEAST_SHARE or unknown + missing > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
