"""Run every package once in each round, in another order each time. Only results of the same round are compared.

So whatever slows the machine down for a while slows all packages down.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.artifacts import NOTHING
from bench.meter import Counts, Meter
from bench.processes import Sample, bare, emulated
from bench.worlds import DUE, FRESH, SITUATIONS, acquire_token_for, situation
from local.emulators.clock import Clock
from local.emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.artifacts import Artifact

# The two ways to run a package.
BARE = "bare process"
EMULATED = "RIE"
Samples = dict[tuple[str, str, str], list[Sample]]  # by way, kind of tick and package; in the order of the rounds
Tools = tuple["Path", "Path"] | None
OUTCOMES = {FRESH: "kept", DUE: "refreshed"}


@dataclass(frozen=True, slots=True)
class Spread:
    """The median and both quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return cls(median=values[0], low=values[0], high=values[0])
        low, median, high = statistics.quantiles(values, n=4)
        return cls(median=median, low=low, high=high)


def play(
    python: str,
    tools: Tools,
    artifacts: dict[str, Artifact],
    rounds: int,
    show_progress: Callable[[str], None],
) -> Samples:
    """Run everything that is compared, `rounds` times. Raises RuntimeError if a package does not do its job."""
    samples: Samples = defaultdict(list)
    # The first round only fills the machine's cache of files, and does not count.
    for number in range(rounds + 1):
        show_progress(f"round {number} of {rounds}")
        for package in rotated(list(artifacts), number):
            for kind in SITUATIONS:
                if package == NOTHING and kind == DUE:
                    continue
                for way, sample in run_once(python, tools, artifacts[package], kind).items():
                    if number > 0:
                        samples[way, kind, package].append(sample)
    return dict(samples)


def rotated(names: list[str], number: int) -> list[str]:
    first = number % len(names)
    return names[first:] + names[:first]


def run_once(python: str, tools: Tools, artifact: Artifact, kind: str) -> dict[str, Sample]:
    """Return one sample for each way to run the package."""
    samples = {}
    with situation(kind) as world:
        samples[BARE] = bare(python, artifact, world)
    if tools:
        with situation(kind) as world:
            samples[EMULATED] = emulated(python, tools, artifact, world)
    expected = "nothing" if artifact.name == NOTHING else OUTCOMES[kind]
    for sample in samples.values():
        if sample.outcome != expected:
            raise RuntimeError(f"{artifact.name}: {sample.outcome} in place of {expected}")
    return samples


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


def ratio(ours: Sequence[float], theirs: Sequence[float], floor: Sequence[float] = ()) -> Spread:
    """Divide ours by theirs, round by round. A floor is subtracted from both first."""
    floors = floor or [0.0] * len(ours)
    ratios = [
        (our_value - floor_value) / (their_value - floor_value)
        for our_value, their_value, floor_value in zip(ours, theirs, floors, strict=True)
    ]
    return Spread.of(ratios)
