"""What the build makes: pinned by hash, the same bytes each time, and nothing that has no business in the Lambda."""

from __future__ import annotations

import re
import subprocess
import sys
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


@pytest.mark.parametrize(
    "has", [{"precious.txt"}, {"handler/app.py", "template.yaml"}, {"handler/app.py", "precious.txt"}]
)
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path, has: set[str]) -> None:
    """Neither a folder of somebody's own nor the repository itself is emptied for a package."""
    folder = fill(tmp_path, has)
    with pytest.raises(ValueError, match="nothing is deleted"):
        package.fill(folder)
    assert all((folder / name).read_text() == name for name in has)


@pytest.mark.parametrize("name", ["precious.txt", "handler/app.py", "precious-link"])
def test_an_earlier_package_goes_but_not_one_in_which_something_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What somebody added to a package, or changed in it, is theirs."""
    monkeypatch.setattr(package, "install", lambda _: None)
    folder = tmp_path / "package"
    elsewhere = fill(tmp_path / "elsewhere", {"precious.txt"})
    settle(fill(folder, {"handler/app.py", "old.py"}))
    package.fill(folder)
    assert not (folder / "old.py").exists()
    if name.endswith("link"):
        (folder / name).symlink_to(elsewhere)
    else:
        (folder / name).write_text("precious")
    with pytest.raises(ValueError, match="nothing is deleted"):
        package.fill(folder)
    assert (folder / name).exists()


def test_a_build_that_fails_leaves_no_half_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one finds the folder free, and need not be told to delete anything."""
    monkeypatch.setattr(package, "LOCK", fill(tmp_path, {"requirements.lock"}) / "requirements.lock")
    with pytest.raises(subprocess.CalledProcessError):
        package.fill(tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_target_that_is_no_folder_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    """And is left as it is; the shell shows the sentence, not a traceback."""
    target = tmp_path / "target"
    if kind == "file":
        target.write_text("precious")
    else:
        target.symlink_to(fill(tmp_path / "real", {"precious.txt"}) if kind == "link" else tmp_path / "nowhere")
    command = [sys.executable, "-m", "scripts.package", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{target} is no folder: name the folder itself\n"
    assert target.is_symlink() or target.read_text() == "precious"
    assert kind != "link" or (target / "precious.txt").read_text() == "precious.txt"


def test_of_the_handler_only_what_python_can_import_ships(tmp_path: Path) -> None:
    """An editor's lock and backups stay out."""
    ours = {"app.py", "__init__.py", "inner/deep.py"}
    others = {"app (copy).py", ".ipynb_checkpoints/app-checkpoint.py", ".ipynb_checkpoints/app.py", "app.py~", "a.txt"}
    fill(tmp_path, ours | others)
    (tmp_path / ".#app.py").symlink_to("somebody@some-machine.1234")
    assert {path.relative_to(tmp_path).as_posix() for path in package.modules(tmp_path)} == ours


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_a_module_that_is_no_regular_file_ends_the_build(tmp_path: Path, kind: str) -> None:
    """It is not left out in silence: the handler may import it."""
    fill(tmp_path, {"app.py"})
    if kind == "folder":
        (tmp_path / "odd.py").mkdir()
    else:
        (tmp_path / "odd.py").symlink_to("app.py" if kind == "link" else "nowhere.py")
    with pytest.raises(ValueError, match=r"odd\.py is no regular file"):
        package.modules(tmp_path)


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
