"""Measure sweeps of many connections, and the runs that they hand over, by the packaged function in a bare process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from bench.meter import Meter
from bench.processes import REFRESH, Sample, bare
from bench.worlds import due_stores, fleet, refresh_of, store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.artifacts import Artifact
    from bench.meter import Counts

SIZES = (1, 10, 100, 1_000, 10_000)
# A survey of the most connections takes 20 s at least, since it keeps below AWS's rate. So a few rounds have to do.
MAX_ROUNDS = 3
# Of so many connections all are due, to learn what a hand-over takes.
ALL_DUE = 1_000
HANDED_OVER_RUNS = 11


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, each sample by a new process. The counts are of one of them."""

    connections: int
    due: int
    samples: list[Sample]
    secrets: Counts
    functions: Counts


class HandedOver(NamedTuple):
    """Runs of connections that are due, all by one process. The counts are of one run, the writes too."""

    sample: Sample
    secrets: float
    vendor: float
    writes: float


class Scale(NamedTuple):
    """All that is measured of many connections."""

    usual: list[Sweep]
    all_due: Sweep
    handed_over: HandedOver

    def usual_sweep_of(self, connections: int) -> Sweep:
        return next(sweep for sweep in self.usual if sweep.connections == connections)


def measure(
    python: str,
    artifact: Artifact,
    due_share: float,
    rounds: int,
    show_progress: Callable[[str], None],
) -> Scale:
    """Sweep each number of connections, of which this share is due, in so many rounds, but not in more than three.

    Raises RuntimeError if a sweep or a run does not do its job.
    """
    usual = []
    all_due = []
    rounds = min(rounds, MAX_ROUNDS)
    for number in range(1, rounds + 1):
        show_progress(f"sweeps, round {number} of {rounds}")
        usual.append([sweep(python, artifact, size, round(size * due_share)) for size in SIZES])
        all_due.append(sweep(python, artifact, ALL_DUE, ALL_DUE))
    return Scale(
        usual=[joined(sweeps_of_a_size) for sweeps_of_a_size in zip(*usual, strict=True)],
        all_due=joined(all_due),
        handed_over=handed_over_runs(python, artifact, HANDED_OVER_RUNS),
    )


def joined(sweeps: Sequence[Sweep]) -> Sweep:
    """Return the sweeps of one size as one, with the samples of all."""
    samples = [sample for sweep in sweeps for sample in sweep.samples]
    return replace(sweeps[0], samples=samples)


def sweep(python: str, artifact: Artifact, connections: int, due: int) -> Sweep:
    """Measure one sweep. Raises RuntimeError if it does not hand over those that are due."""
    with (
        fleet(connections, due) as world,
        Meter(world.secrets.url) as secrets,
        Meter(world.functions.url) as functions,
    ):
        overrides = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
            "AWS_ENDPOINT_URL_LAMBDA": functions.url,
        }
        sample = bare(python, artifact, world, [REFRESH], **overrides)
        if functions.counts.requests != due:
            raise RuntimeError(f"{functions.counts.requests} of {due} connections were handed over")
        return Sweep(connections, due, [sample], secrets.counts, functions.counts)


def handed_over_runs(python: str, artifact: Artifact, number: int) -> HandedOver:
    """Measure runs of connections that are due. Raises RuntimeError if they do not ask the vendor once each."""
    events = [refresh_of(store(one)) for one in range(number)]
    with due_stores(number) as world:
        sample = bare(python, artifact, world, events)
        requests = len(world.vendor.requests)
        if requests != number:
            raise RuntimeError(f"{requests} of {number} connections asked the vendor")
        calls = world.secrets.calls
        writes = [call for call in calls if call in {"PutSecretValue", "UpdateSecretVersionStage"}]
        return HandedOver(
            sample,
            secrets=len(calls) / number,
            vendor=requests / number,
            writes=len(writes) / number,
        )
