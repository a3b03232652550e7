"""`make deploy ENV=... CONFIRM=...`: the section that it takes, and what it says if something is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.samconfig import file_with
from tests.deployment.stack import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TRACKED = ROOT / "samconfig.toml"
OWN_SECTION = """
[acme-production.deploy.parameters]
stack_name = "tokens-acme"

[sandbox.deploy.parameters]
stack_name = "tokens-sandbox"
"""


def own_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "samconfig.local.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fault_of(own: Path, environment: str = "sandbox") -> str:
    """Return what is said if this file has a fault."""
    with pytest.raises(ValueError, match=r"^samconfig") as caught:
        file_with(environment, (own, TRACKED))
    return str(caught.value)


def test_own_sections_come_first_and_a_missing_one_is_named(tmp_path: Path) -> None:
    """`make deploy ENV=...` looks into samconfig.local.toml, then into samconfig.toml, and says what there is."""
    own = tmp_path / "samconfig.local.toml"
    files = (own, TRACKED)
    assert file_with("sandbox", files) == TRACKED
    own_file(tmp_path, OWN_SECTION)
    assert file_with("acme-production", files) == own
    assert file_with("sandbox", files) == own
    assert file_with("production", files) == TRACKED
    with pytest.raises(ValueError, match=r"no \[staging.deploy.parameters\].*acme-production, production, sandbox"):
        file_with("staging", files)


def test_stack_name_for_all_commands_is_one_for_deploy(tmp_path: Path) -> None:
    """SAM takes what [NAME.global.parameters] says for each of its commands."""
    own = own_file(tmp_path, '[sandbox.global.parameters]\nstack_name = "tokens-sandbox"\n')
    assert file_with("sandbox", (own, TRACKED)) == own


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('[sandbox.deploy.parameters]\nregion = "eu-west-1"\n', "[sandbox.deploy.parameters] has no stack_name"),
        ('[sandbox.deploy.parameters]\nstack_name = ""\n', "[sandbox.deploy.parameters] has no stack_name"),
        ('[sandbox.deploy.parameters]\nstack_name = " "\n', "[sandbox.deploy.parameters] has no stack_name"),
        ("[sandbox.deploy.parameters]\nstack_name = 1\n", "stack_name in [sandbox.deploy.parameters] is not a text"),
        ("[sandbox]\n", "[sandbox.deploy.parameters] has no stack_name"),
        ('[sandbox]\ndeploy = "x"\n', "deploy in [sandbox] is not a section"),
        ('[sandbox.deploy]\nparameters = "x"\n', "parameters in [sandbox.deploy] is not a section"),
        ("sandbox = 1\n", "sandbox is not a section: write [sandbox.deploy.parameters]"),
    ],
    ids=["no name", "empty name", "blank name", "number", "empty", "deploy", "parameters", "no section"],
)
def test_own_section_that_can_not_be_deployed_is_an_error(tmp_path: Path, content: str, fault: str) -> None:
    """The tracked section of the same name, another stack, is not deployed in its place."""
    own = own_file(tmp_path, content)
    assert fault_of(own).startswith(f"samconfig.local.toml: {fault}")
    assert file_with("production", (own, TRACKED)) == TRACKED


def test_section_of_the_guided_deployment_says_what_it_lacks(tmp_path: Path) -> None:
    """The tracked [default] has no stack's name: `sam deploy --guided` asks for it."""
    assert "samconfig.toml: [default.deploy.parameters] has no stack_name" in fault_of(tmp_path / "none", "default")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[sandbox.deploy.parameters\n", " is not TOML: "),
        (b"\xef\xbb\xbf" + OWN_SECTION.encode(), " begins with a byte order mark: save it as UTF-8 without one"),
        (OWN_SECTION.encode("utf-16"), " is not UTF-8 text: save it as UTF-8"),
    ],
    ids=["broken", "byte order mark", "UTF-16"],
)
def test_own_file_that_can_not_be_read_is_named(tmp_path: Path, content: str | bytes, fault: str) -> None:
    """Also for a section of the tracked file: the own file may have a section of that name."""
    own = own_file(tmp_path, content)
    for environment in ("sandbox", "production"):
        assert fault_of(own, environment).startswith(f"samconfig.local.toml{fault}")


def test_folder_or_dangling_link_in_place_of_the_own_file_is_named(tmp_path: Path) -> None:
    """A private repository may keep the file, and a link to it may lead nowhere."""
    own = tmp_path / "samconfig.local.toml"
    own.mkdir()
    assert fault_of(own) == "samconfig.local.toml can't be read: Is a directory"
    own.rmdir()
    own.symlink_to(tmp_path / "gone.toml")
    assert fault_of(own) == "samconfig.local.toml can't be read: No such file or directory"


def test_make_deploy_without_its_section_says_so_before_it_builds() -> None:
    """The shell shows one sentence."""
    command = [sys.executable, "-m", "scripts.samconfig", "staging"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("there is no [staging.deploy.parameters] in ")
    assert done.stderr.count("\n") == 1


def deploy(confirm: str) -> subprocess.CompletedProcess[str]:
    """Have make say what it would do."""
    make = shutil.which("make")
    assert make
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = [make, "--dry-run", "deploy", f"CONFIRM={confirm}"]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("confirm", "asks"),
    [
        ("yes", True),
        ("Yes", True),
        ("true", True),
        ("1", True),
        ("no", False),
        ("NO", False),
        ("False", False),
        ("0", False),
    ],
)
def test_confirm_takes_each_way_to_say_yes_or_no(confirm: str, asks: bool) -> None:
    """A pipeline that says NO, and is asked, ends with `Aborted!`."""
    done = deploy(confirm)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if " sam deploy " in line]
    assert ("--no-confirm-changeset" in line) == (not asks)


@pytest.mark.parametrize("confirm", ["", "maybe", "no way", "'"])
def test_confirm_of_another_word_is_refused_before_anything_is_built(confirm: str) -> None:
    """It is not guessed what it means."""
    done = deploy(confirm)
    assert done.returncode == 2
    assert f'CONFIRM must be yes or no, and it is "{confirm}"' in done.stderr
    assert "sam build" not in done.stdout
