"""The plain template of `make package`, for the tests that deploy or read it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ROOT / ".venv-deploy" / "bin"
NEEDS_THE_TRANSLATOR = pytest.mark.skipif(
    not (TOOLS.parent / ".ready").exists(),
    reason="AWS's translator is not installed: `make validate` does that",
)


def translate(target: Path) -> None:
    """Write the plain template, as `make package` does."""
    command = [str(TOOLS / "python"), "-m", "scripts.translate", str(target)]
    subprocess.run(command, cwd=ROOT, check=True)
