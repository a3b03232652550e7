"""The package's bytecode: made by the function's own Python, the same each time, not compared with the source."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bytecode, package
from scripts.bundle import bundle
from scripts.bytecode import TASK_ROOT, VARIABLE, VERSION, compile_all, target_python

UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552
SOURCE = 'def fail():\n    """Raise."""\n    return {"one", "other", "third"} and 1 / 0\n'


def compiled(folder: Path) -> Path:
    """Compile a module in the folder with the tests' own Python; return the path of its bytecode."""
    (folder / "inner").mkdir(parents=True)
    source = folder / "inner" / "module.py"
    source.write_text(SOURCE)
    compile_all(folder, sys.executable)
    return folder / importlib.util.cache_from_source(f"inner/{source.name}")


def test_it_is_the_same_wherever_and_whenever_it_is_made(tmp_path: Path) -> None:
    """The bytecode does not depend on the folder, the process or the order of a set."""
    one = compiled(tmp_path / "one").read_bytes()
    other = compiled(tmp_path / "another-name").read_bytes()
    assert one == other
    assert one[4:8] == UNCHECKED_HASH
    assert f"{TASK_ROOT}/inner/module.py".encode() in one
    assert b"another-name" not in other


def test_python_runs_it_without_looking_at_the_source(tmp_path: Path) -> None:
    """Files in the package never change, so Python does not compare the bytecode with its source."""
    compiled(tmp_path)
    (tmp_path / "inner" / "module.py").write_text("fail = print\n")
    command = [sys.executable, "-S", "-c", "import inner.module; inner.module.fail()"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert "ZeroDivisionError" in done.stderr


def test_what_does_not_compile_ends_the_build(tmp_path: Path) -> None:
    """A package with only some of its bytecode would be slow, and nobody would know why."""
    (tmp_path / "module.py").write_text("def\n")
    with pytest.raises(subprocess.CalledProcessError):
        compile_all(tmp_path, sys.executable)


def test_the_python_that_the_variable_names_is_taken_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the named Python is not of the function's version, or does not run, no other one is used instead."""
    for name in ("/nowhere/python", "false"):
        monkeypatch.setenv(VARIABLE, name)
        assert target_python() is None
    monkeypatch.setenv(VARIABLE, sys.executable)
    version_of_the_tests = f"{sys.version_info.major}.{sys.version_info.minor}"
    expected = sys.executable if version_of_the_tests == VERSION else None
    assert target_python() == expected


def test_without_that_python_the_build_says_what_it_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The package is still made, without bytecode."""
    monkeypatch.setattr(package, "target_python", lambda: None)
    monkeypatch.setattr(package, "install", lambda _: None)
    package.fill(tmp_path / "package")
    assert f"this machine has no Python {VERSION}" in capsys.readouterr().err
    assert (tmp_path / "package" / "handler" / "app.py").exists()
    assert not list(tmp_path.rglob("*.pyc"))


def test_two_builds_of_the_whole_package_are_the_same_bytes(tmp_path: Path, shipped_package: Path) -> None:
    """Wheels and bytecode are the same. With the function's Python every source has bytecode, and nothing else has."""
    package.fill(tmp_path / "again")
    bundle(shipped_package, tmp_path / "one.zip")
    bundle(tmp_path / "again", tmp_path / "other.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()
    compiled_sources = {source_of(path) for path in shipped_package.rglob("*.pyc")}
    if bytecode.target_python():
        assert compiled_sources == set(shipped_package.rglob("*.py"))
    else:
        assert compiled_sources == set()


def source_of(compiled_file: Path) -> Path:
    """Return the path of a module, given the path of its bytecode in __pycache__."""
    tag = f".cpython-{VERSION.replace('.', '')}.pyc"
    return compiled_file.parents[1] / compiled_file.name.replace(tag, ".py")
