"""Imports point one way, and each outside thing is known to one file only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HANDLER = Path(__file__).parents[2] / "handler"
FILES = sorted(HANDLER.glob("*.py"))
# A file imports from the lines below its own, never from its own or from above.
LEVELS = [
    {"__main__"},
    {"app"},
    {"refresh"},
    {"policy", "oauth2", "secrets_manager"},
    {"settings", "model"},
    {"errors", "__init__"},
]
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
ONLY_IN = {
    "aws_lambda_powertools": {"app"},
    "boto3": {"secrets_manager"},
    "botocore": {"secrets_manager"},
    "requests": {"oauth2"},
    "os": {"settings"},
}
PURE = {"collections", "dataclasses", "enum", "handler"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of every module that is imported anywhere in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" if module == "handler" else module for alias in node.names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path.name)


def test_every_file_has_a_level() -> None:
    """A file that is added finds its place in the order."""
    assert {path.stem for path in FILES} == {*LEVEL_OF}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_point_one_way(path: Path) -> None:
    """A file knows those below it, and none beside or above it."""
    inside = {name.split(".")[1] for name in imported(parsed(path)) if name.startswith("handler.")}
    assert all(LEVEL_OF[name] > LEVEL_OF[path.stem] for name in inside), inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_outside_is_known_to_one_file(path: Path) -> None:
    """Powertools, boto3, requests and the environment each have one door; nothing that ships knows the rest."""
    outside = {name.partition(".")[0] for name in imported(parsed(path))}
    assert {name for name in outside & {*ONLY_IN} if path.stem not in ONLY_IN[name]} == set()
    assert outside & {"local", "tests", "consumers", "bench", "moto", "hypothesis", "pytest"} == set()


def test_requests_is_imported_in_functions_only() -> None:
    """A tick that finds a fresh token does not pay for the import."""
    tree = parsed(HANDLER / "oauth2.py")
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = [name for node in functions for name in imported(node) if name.startswith("requests")]
    assert len(inside) == sum(name.startswith("requests") for name in imported(tree)) > 0


def test_policy_is_pure() -> None:
    """What decides has no clock, no randomness and no way to the outside."""
    assert {name.partition(".")[0] for name in imported(parsed(HANDLER / "policy.py"))} <= PURE
