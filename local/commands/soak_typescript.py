"""The consumers in TypeScript that take part in the soak: consumers/typescript/soak.mjs, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.emulators.secrets_manager import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = Path(__file__).parents[2] / "consumers" / "typescript"
PLAYER = PACKAGE / "soak.mjs"
COMPILED = PACKAGE / "dist" / "index.js"
READY = "ready"
WAIT = "wait"
CALLED = "called"
END_SECONDS = 60.0  # real ones, for the last calls


def missing() -> str:
    """Return what is missing to play them, or an empty text."""
    if not shutil.which("node"):
        return "node is not installed"
    if not COMPILED.exists():
        return "the TypeScript reader is not compiled: run `make typescript`"
    return ""


class TypeScriptConsumers:
    """Many loops that call the API, by the clock that `tell` shows them. `played` has their counts at the end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.played: dict[str, Any] = {}
        self._process = process

    def tell(self, now: float) -> None:
        """Let the emulated clock show this Unix time."""
        print(now, file=self._process.stdin, flush=True)

    def wait_until_all_have_called(self) -> None:
        """Return as soon as each loop has made a whole call since. Raises RuntimeError if one has not after a while."""
        print(WAIT, file=self._process.stdin, flush=True)
        _expect(CALLED, self._process)

    def stop(self) -> None:
        output, _ = self._process.communicate(timeout=END_SECONDS)
        self.played = json.loads(output)


@contextmanager
def typescript_consumers(
    environment: Mapping[str, str], api_url: str, loops: int, pause_seconds: float
) -> Iterator[TypeScriptConsumers]:
    """Start the loops, which wait for the first time that they are told, and stop them at the end of the block."""
    variables = os.environ | environment | {"API_URL": api_url, "AWS_REGION": REGION}
    command = ["node", str(PLAYER), "--loops", str(loops), "--pause-ms", str(round(pause_seconds * 1_000))]
    with subprocess.Popen(  # noqa: S603 - the command is this product's own
        command,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _expect(READY, process)
            consumers = TypeScriptConsumers(process)
            yield consumers
            consumers.stop()
        finally:
            process.kill()


def _expect(word: str, process: subprocess.Popen[str]) -> None:
    line = process.stdout.readline() if process.stdout else ""
    if line.strip() != word:
        raise RuntimeError(f"{PLAYER.name} said {line.strip()!r} in place of {word!r}")
