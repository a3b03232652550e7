"""The rounds: every package once in each, and what is compared is always of one round.

They take turns, in another order each time, so that what slows the machine for a while slows all of them.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.artifacts import NOTHING
from bench.meter import Counts, Meter
from bench.processes import Sample, bare, emulated
from bench.situations import DUE, SITUATIONS, age, situation
from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.artifacts import Artifact

BARE, EMULATED = "bare process", "RIE"
Samples = dict[tuple[str, str, str], list[Sample]]  # by how it ran, the situation and the package, in rounds' order
Tools = tuple["Path", "Path"] | None


@dataclass(frozen=True, slots=True)
class Spread:
    """The median and both quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else [*values] * 3
        return cls(median, low, high)


def play(
    python: str, tools: Tools, artifacts: dict[str, Artifact], rounds: int, tell: Callable[[str], None]
) -> Samples:
    """Run all that is compared, `rounds` times; raises RuntimeError where a package does not do its job."""
    samples: Samples = defaultdict(list)
    names = list(artifacts)
    for number in range(rounds + 1):  # the first one warms the machine's cache of files, and is not counted
        tell(f"round {number} of {rounds}")
        order = names[number % len(names) :] + names[: number % len(names)]
        for name in order:
            for where in SITUATIONS:
                if name == NOTHING and where == DUE:
                    continue
                for how, sample in once(python, tools, artifacts[name], where).items():
                    if number:
                        samples[how, where, name].append(sample)
    return dict(samples)


def once(python: str, tools: Tools, artifact: Artifact, where: str) -> dict[str, Sample]:
    """Return how each way of running it went."""
    expected = {True: "refreshed", False: "kept"}[where == DUE] if artifact.name != NOTHING else "nothing"
    taken = {}
    with situation(where) as world:
        taken[BARE] = bare(python, artifact, world)
    if tools:
        with situation(where) as world:
            taken[EMULATED] = emulated(python, tools, artifact, world)
    for sample in taken.values():
        if sample.outcome != expected:
            raise RuntimeError(f"{artifact.name}: {sample.outcome} in place of {expected}")
    return taken


def count(python: str, artifact: Artifact, where: str) -> tuple[Counts, Counts]:
    """Return what one run sends to Secrets Manager and to the vendor."""
    with World(Clock()) as world, Meter(world.secrets.url) as secrets, Meter(world.vendor.url) as vendor:
        token_url = world.vendor.token_url.replace(world.vendor.url, vendor.url)
        age(world, where, TOKEN_URL=token_url)
        vendor.counts = Counts()
        bare(python, artifact, world, AWS_ENDPOINT_URL_SECRETS_MANAGER=secrets.url, TOKEN_URL=token_url)
        return secrets.counts, vendor.counts


def ratio(ours: Sequence[float], theirs: Sequence[float], floor: Sequence[float] = ()) -> Spread:
    """Compare round by round; with a floor, what both have above it."""
    below = floor or [0.0] * len(ours)
    return Spread.of([(one - base) / (other - base) for one, other, base in zip(ours, theirs, below, strict=True)])
