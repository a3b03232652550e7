"""The shape of handler/: imports point one way, and each outside thing is known to few files."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from handler.policy import Decision

ROOT = Path(__file__).parents[2]
HANDLER = ROOT / "handler"
FILES = sorted(HANDLER.glob("*.py"))
# A file imports from the lines below its own, never from its own line or from above.
LEVELS = [
    {"__main__"},
    {"app"},
    {"telemetry"},
    {"sweep"},
    {"status"},
    {"refresh"},
    {"survey"},
    {"reader"},
    {"policy"},
    {"ledger"},
    {"connections"},
    {"oauth2"},
    {"http_exchange"},
    {"token_response"},
    {"secrets_manager"},
    {"aws"},
    {"model"},
    {"settings"},
    {"errors", "__init__"},
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
ONLY_IN = {
    "aws_lambda_powertools": {"telemetry"},
    "boto3": {"telemetry"},
    "botocore": {"aws", "telemetry"},
    "requests": {"http_exchange"},
    "os": {"settings"},
}
NEVER_IN_HANDLER = {"local", "tests", "consumers", "bench", "moto", "hypothesis", "pytest"}
# The pure files, and all that each may import.
PURE = {
    "policy": {
        "collections.abc",
        "dataclasses",
        "handler.ledger",
        "handler.model",
        "handler.settings",
        "typing",
    },
    "ledger": {
        "collections.abc",
        "dataclasses",
        "handler.errors",
        "handler.model",
        "handler.settings",
        "hashlib",
        "json",
        "math",
        "typing",
    },
    "token_response": {
        "base64",
        "collections.abc",
        "dataclasses",
        "email.utils",
        "handler.errors",
        "handler.model",
        "handler.settings",
        "json",
        "math",
        "re",
        "typing",
    },
    "model": {
        "collections.abc",
        "dataclasses",
        "datetime",
        "handler.errors",
        "handler.settings",
        "json",
        "math",
        "typing",
    },
}
# `datetime` and `email.utils` convert times, but each also has a clock.
CLOCKS = {"formatdate", "localtime", "now", "today", "utcnow"}
STORE_WRITES = {"compare_and_set_ledger", "move_stage", "put_seed", "put_version"}
STORE_READS = {"describe", "read_both", "get_version", "seed_id"}
# The store itself moves a label, as the second step of its compare-and-set.
USED_BY_THE_STORE = {"move_stage"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every module that is imported anywhere in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = node.module or ""
            if module != "handler":
                yield module
                continue
            for alias in node.names:
                is_file = (HANDLER / f"{alias.name}.py").exists()
                yield f"handler.{alias.name}" if is_file else "handler.__init__"


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield every name in the code: variables, attributes, and what is imported by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


def functions_called_in(tree: ast.AST) -> Iterator[str]:
    """Yield the last part of the name of each function that is called."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute):
            yield node.func.attr
        elif isinstance(node.func, ast.Name):
            yield node.func.id


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path.name)


def parsed_file(name: str) -> ast.Module:
    return parsed(HANDLER / f"{name}.py")


# Imports


def test_every_file_has_a_level() -> None:
    """A file that is added finds its place in the order."""
    assert {path.stem for path in FILES} == {*LEVEL_OF}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_point_one_way(path: Path) -> None:
    """A file knows those below it, and none next to it or above it."""
    modules = [name for name in imported(parsed(path)) if name.startswith("handler.")]
    inside = {name.split(".")[1] for name in modules}
    assert all(LEVEL_OF[name] > LEVEL_OF[path.stem] for name in inside), inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_outside_is_known_to_few_files(path: Path) -> None:
    """Powertools, boto3, requests and the environment each have one door.

    Nothing that ships knows the tests, the local world or the tools.
    """
    outside = {name.partition(".")[0] for name in imported(parsed(path))}
    misplaced = {name for name in outside & {*ONLY_IN} if path.stem not in ONLY_IN[name]}
    assert misplaced == set()
    assert outside & NEVER_IN_HANDLER == set()


@pytest.mark.parametrize(("name", "package"), [("http_exchange", "requests"), ("telemetry", "boto3")])
def test_slow_package_is_imported_in_functions_only(name: str, package: str) -> None:
    """A run that finds a fresh token does not pay for the import."""
    tree = parsed_file(name)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    in_functions = [module for node in functions for module in imported(node)]
    count = sum(module.startswith(package) for module in in_functions)
    assert count == sum(module.startswith(package) for module in imported(tree))
    assert count > 0


# Pure files, and files that only read


@pytest.mark.parametrize("name", PURE)
def test_pure_file_imports_only_pure_modules(name: str) -> None:
    """A pure file has no clock, no randomness and no way to the outside."""
    assert {*imported(parsed_file(name))} <= PURE[name]


@pytest.mark.parametrize("name", PURE)
def test_pure_file_calls_no_clock(name: str) -> None:
    """The time comes in as an argument."""
    assert {*functions_called_in(parsed_file(name))} & CLOCKS == set()


def test_every_method_of_the_store_reads_or_writes() -> None:
    """A method that is added finds its place in one of the two lists above."""
    classes = [node for node in parsed_file("secrets_manager").body if isinstance(node, ast.ClassDef)]
    [store] = [node for node in classes if node.name == "SecretStore"]
    methods = {node.name for node in store.body if isinstance(node, ast.FunctionDef)}
    assert {name for name in methods if not name.startswith("_")} == STORE_READS | STORE_WRITES


@pytest.mark.parametrize("name", ["reader", "status"])
def test_file_that_only_reads_names_no_write(name: str) -> None:
    """`status` and a dry run can't write: no method of the store that writes is named in them."""
    assert {*names_in(parsed_file(name))} & STORE_WRITES == set()


def test_refresh_names_every_write() -> None:
    """The names in the list are those that are in use, so the test above finds them.

    A label is moved by the store alone: AWSCURRENT moves by a publish, and in no other way.
    """
    assert {*names_in(parsed_file("refresh"))} & STORE_WRITES == STORE_WRITES - USED_BY_THE_STORE
    assert {*names_in(parsed_file("secrets_manager"))} >= USED_BY_THE_STORE


# Decisions

MATCH = """\
from typing import assert_never
from handler.policy import Decision, {names}

def act(decision: Decision) -> None:
    match decision:
{cases}
        case _:
            assert_never(decision)
"""


def match_of(names: list[str]) -> str:
    """Return a module that matches these decisions alone."""
    cases = [f"        case {name}():\n            pass" for name in names]
    return MATCH.format(names=", ".join(names), cases="\n".join(cases))


def test_forgotten_decision_is_a_type_error(tmp_path: Path) -> None:
    """If a match on a decision lacks one case, mypy names that case."""
    decisions = [decision.__name__ for decision in get_args(Decision)]
    (tmp_path / "whole.py").write_text(match_of(decisions))
    for forgotten in decisions:
        others = [name for name in decisions if name != forgotten]
        (tmp_path / f"without_{forgotten}.py").write_text(match_of(others))
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict"]
    options = ["--ignore-missing-imports", "--cache-dir", os.devnull, "--hide-error-context"]
    checked = subprocess.run(
        [*command, *options, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in checked.stdout.splitlines() if " error: " in line]
    assert len(errors) == len(decisions), checked.stdout + checked.stderr
    for forgotten in decisions:
        [error] = [line for line in errors if f"without_{forgotten}.py" in line]
        assert f'has incompatible type "{forgotten}"' in error
