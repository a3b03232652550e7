"""What the build makes: pinned by hash, the same bytes each time, and nothing that has no business in the Lambda."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from handler import settings
from scripts import LOCK, ROOT, TARGET, package
from scripts.bundle import bundle
from scripts.package import settle
from scripts.prune import prune
from tests.deployment.stack import TEMPLATE

SHIPPED = {"boto3/session.py", "boto3-1.0.dist-info/METADATA", "boto3-1.0.dist-info/licenses/LICENSE"}
NOT_SHIPPED = {
    "bin/normalizer",
    "certifi/tests/test_core.py",
    "boto3/examples/s3.rst",
    "boto3-1.0.dist-info/RECORD",
    "boto3-1.0.dist-info/INSTALLER",
}


def fill(folder: Path, names: set[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_the_lock_pins_what_ships_by_its_hash() -> None:
    """Each line of requirements.txt is in it with the same version, and it names no place to fetch from."""
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    wanted = {line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"}
    assert wanted <= {line.split(" ")[0] for line in lines}
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_the_wheels_are_those_of_the_functions_own_platform() -> None:
    """A change of the runtime or of the architecture in the template has to come with other wheels."""
    function = TEMPLATE["Resources"]["RefreshFunction"]["Properties"]
    assert f"--python-version={function['Runtime'].removeprefix('python')}" in TARGET
    assert function["Architectures"] == ["arm64"]
    assert "--platform=manylinux2014_aarch64" in TARGET


def test_only_what_runs_ships(tmp_path: Path) -> None:
    """No commands, tests or examples, and of the metadata what licences and scanners need."""
    prune(fill(tmp_path, SHIPPED | NOT_SHIPPED))
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == SHIPPED


@pytest.mark.parametrize("has", [{"precious.txt"}, {"handler/app.py", "template.yaml"}])
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path, has: set[str]) -> None:
    """Neither a folder of somebody's own nor the repository itself is emptied for a package."""
    folder = fill(tmp_path, has)
    with pytest.raises(ValueError, match="nothing is deleted"):
        package.fill(folder)
    assert all((folder / name).read_text() == name for name in has)


def test_the_target_that_sam_runs_does_nothing_by_hand() -> None:
    """Without SAM's folder it says what to run instead."""
    command = ["make", "build-RefreshFunction"]
    by_hand = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert by_hand.returncode
    assert "make build" in by_hand.stderr


@pytest.mark.parametrize("umask", [0o644, 0o600])
def test_two_builds_are_the_same_bytes(tmp_path: Path, umask: int) -> None:
    """Whatever the order of the folder, the times of its files and the umask."""
    zips = []
    for name, order in (("one", sorted(SHIPPED)), ("other", sorted(SHIPPED, reverse=True))):
        for file in order:
            fill(tmp_path / name, {file})
            (tmp_path / name / file).chmod(umask)
        settle(tmp_path / name)
        bundle(tmp_path / name, tmp_path / f"{name}.zip")
        zips.append((tmp_path / f"{name}.zip").read_bytes())
    assert zips[0] == zips[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as made:
        assert made.namelist() == sorted(SHIPPED)
        assert {entry.external_attr >> 16 for entry in made.infolist()} == {0o644}


def test_the_handler_is_a_package_of_plain_files() -> None:
    """The build copies its .py files and nothing else, so there must be nothing else that it needs."""
    folder = Path(settings.__file__).parent
    others = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert others == []
