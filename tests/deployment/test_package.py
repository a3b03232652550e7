"""The package that the build makes: pinned by hash, the same bytes each time, and nothing that the Lambda can't use."""

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
    """The lock has each line of requirements.txt with the same version and a hash, and names no index."""
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    wanted = {line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"}
    assert wanted <= {line.split(" ")[0] for line in lines}
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_the_wheels_are_those_of_the_functions_own_platform() -> None:
    """If the template changes its runtime or its default architecture, the wheels must change too."""
    function = TEMPLATE["Resources"]["RefreshFunction"]["Properties"]
    assert f"--python-version={function['Runtime'].removeprefix('python')}" in TARGET
    assert TEMPLATE["Parameters"]["Architecture"]["Default"] == "arm64"
    assert "--platform=manylinux2014_aarch64" in TARGET


def test_the_compiled_modules_are_those_of_the_document_and_have_sources(shipped_package: Path) -> None:
    """On x86_64 Python takes the sources in their place, so a module without one would be missing there."""
    compiled = sorted(shipped_package.rglob("*.so"))
    stems = [path.with_name(path.name.partition(".")[0]) for path in compiled]
    assert all(stem.with_suffix(".py").exists() for stem in stems)
    text = (ROOT / "docs" / "DEPLOY.md").read_text()
    documented = re.findall(r"`(\w+/\w+)`", text.partition("its only compiled modules, ")[2].partition(" are for")[0])
    assert documented == [stem.relative_to(shipped_package).as_posix() for stem in stems]


def test_only_what_runs_ships(tmp_path: Path) -> None:
    """Commands, tests and examples are removed; of the metadata stays what licences and scanners need."""
    prune(fill(tmp_path, SHIPPED | NOT_SHIPPED))
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == SHIPPED


@pytest.mark.parametrize(
    "has", [{"precious.txt"}, {"handler/app.py", "template.yaml"}, {"handler/app.py", "precious.txt"}]
)
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path, has: set[str]) -> None:
    """A folder with other files, or the repository itself, is not emptied for a package."""
    folder = fill(tmp_path, has)
    with pytest.raises(ValueError, match="nothing is deleted"):
        package.fill(folder)
    assert all((folder / name).read_text() == name for name in has)


@pytest.mark.parametrize("name", ["precious.txt", "handler/app.py", "precious-link"])
def test_an_earlier_package_goes_but_not_one_in_which_something_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An earlier package is replaced, except if somebody has added or changed a file in it."""
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
    """The next build finds the folder free, and does not have to delete anything."""
    monkeypatch.setattr(package, "LOCK", fill(tmp_path, {"requirements.lock"}) / "requirements.lock")
    with pytest.raises(subprocess.CalledProcessError):
        package.fill(tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_a_target_that_is_not_a_folder_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    """The target is left as it is, and the shell shows one sentence instead of a traceback."""
    target = tmp_path / "target"
    if kind == "file":
        target.write_text("precious")
    elif kind == "link":
        target.symlink_to(fill(tmp_path / "real", {"precious.txt"}))
    else:
        target.symlink_to(tmp_path / "nowhere")
    command = [sys.executable, "-m", "scripts.package", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{target} is not a folder: name the folder itself\n"
    if kind == "file":
        assert target.read_text() == "precious"
    else:
        assert target.is_symlink()
    if kind == "link":
        assert (target / "precious.txt").read_text() == "precious.txt"


def test_of_the_handler_only_what_python_can_import_ships(tmp_path: Path) -> None:
    """An editor's lock files and backups are left out."""
    ours = {"app.py", "__init__.py", "inner/deep.py"}
    others = {"app (copy).py", ".ipynb_checkpoints/app-checkpoint.py", ".ipynb_checkpoints/app.py", "app.py~", "a.txt"}
    fill(tmp_path, ours | others)
    (tmp_path / ".#app.py").symlink_to("somebody@some-machine.1234")
    assert {path.relative_to(tmp_path).as_posix() for path in package.modules(tmp_path)} == ours


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_a_module_that_is_not_a_regular_file_ends_the_build(tmp_path: Path, kind: str) -> None:
    """Such a module is not left out silently, because the handler may import it."""
    fill(tmp_path, {"app.py"})
    odd_module = tmp_path / "odd.py"
    if kind == "folder":
        odd_module.mkdir()
    elif kind == "link":
        odd_module.symlink_to("app.py")
    else:
        odd_module.symlink_to("nowhere.py")
    with pytest.raises(ValueError, match=r"odd\.py is not a regular file"):
        package.modules(tmp_path)


def test_the_target_that_sam_runs_does_nothing_by_hand() -> None:
    """Without SAM's variables the target says which one to run instead."""
    command = ["make", "build-RefreshFunction"]
    by_hand = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert by_hand.returncode
    assert "make build" in by_hand.stderr


@pytest.mark.parametrize("umask", [0o644, 0o600])
def test_two_builds_are_the_same_bytes(tmp_path: Path, umask: int) -> None:
    """The bytes do not depend on the order of the files, their times or the umask."""
    one_zip = build(tmp_path / "one", sorted(SHIPPED), umask)
    other_zip = build(tmp_path / "other", sorted(SHIPPED, reverse=True), umask)
    assert one_zip.read_bytes() == other_zip.read_bytes()
    with zipfile.ZipFile(one_zip) as made:
        assert made.namelist() == sorted(SHIPPED)
        assert {entry.external_attr >> 16 for entry in made.infolist()} == {0o644}


def build(folder: Path, files: list[str], mode: int) -> Path:
    """Create these files one after another with this mode, and return the zip that the build makes of them."""
    for file in files:
        fill(folder, {file})
        (folder / file).chmod(mode)
    settle(folder)
    zip_file = folder.with_suffix(".zip")
    bundle(folder, zip_file)
    return zip_file


def test_the_handler_is_a_package_of_plain_files() -> None:
    """The build copies only .py files, so the handler may not need any other file."""
    folder = Path(settings.__file__).parent
    others = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert others == []
