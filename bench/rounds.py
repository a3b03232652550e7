"""Run every package once in each round, in a shuffled order. Only results of the same round are compared.

So whatever slows the machine down for a while slows all that is compared down.
"""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

from bench.artifacts import NOTHING
from bench.meter import Counts, Meter
from bench.processes import Sample, bare, emulated
from bench.worlds import DUE, FRESH, SITUATIONS, acquire_token_for, situation
from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.artifacts import Artifact

# The two ways to run a package.
BARE = "bare process"
EMULATED = "RIE"
Samples = dict[tuple[str, str, str], list[Sample]]  # by way, kind of tick and package; in the order of the rounds
Tools = tuple["Path", "Path"] | None
OUTCOMES = {FRESH: "kept", DUE: "refreshed"}


def play(
    python: str,
    tools: Tools,
    artifacts: dict[str, Artifact],
    rounds: int,
    show_progress: Callable[[str], None],
) -> Samples:
    """Run everything that is compared, `rounds` times. Raises RuntimeError if a package does not do its job."""
    samples: Samples = defaultdict(list)
    ways = [EMULATED, BARE] if tools else [BARE]
    # The first round only fills the machine's cache of files, and does not count.
    for number in range(rounds + 1):
        show_progress(f"round {number} of {rounds}")
        # Samples that are compared are made within seconds of each other.
        for way, kind in product(ways, SITUATIONS):
            for package in shuffled(list(artifacts), number):
                if package == NOTHING and kind == DUE:
                    continue
                sample = run_once(python, tools, artifacts[package], way, kind)
                if number > 0:
                    samples[way, kind, package].append(sample)
    return dict(samples)


def shuffled(names: list[str], number: int) -> list[str]:
    """Return the order of a round, which is the same in each run of the bench.

    So no package always runs after the same other one, which leaves the machine's caches as it needs them.
    """
    order = list(names)
    random.Random(number).shuffle(order)  # noqa: S311 - it must be repeatable, not secret
    return order


def run_once(python: str, tools: Tools, artifact: Artifact, way: str, kind: str) -> Sample:
    with situation(kind) as world:
        if way == EMULATED and tools:
            sample = emulated(python, tools, artifact, world)
        else:
            sample = bare(python, artifact, world)
    expected = "nothing" if artifact.name == NOTHING else OUTCOMES[kind]
    if sample.outcome != expected:
        raise RuntimeError(f"{artifact.name}: {sample.outcome} in place of {expected}")
    return sample


def count(python: str, artifact: Artifact, kind: str) -> tuple[Counts, Counts]:
    """Return what one run exchanges with Secrets Manager and with the vendor."""
    with (
        World(Clock()) as world,
        Meter(world.secrets.url) as secrets,
        Meter(world.vendor.url) as vendor,
    ):
        token_url = world.vendor.token_url.replace(world.vendor.url, vendor.url)
        acquire_token_for(kind, world, TOKEN_URL=token_url)
        vendor.counts = Counts()
        overrides = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url, "TOKEN_URL": token_url}
        bare(python, artifact, world, **overrides)
        return secrets.counts, vendor.counts
