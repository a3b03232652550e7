"""`python -m bench.consumer_reads` times cached reads of the token, with our reader and with others, taking turns.

One of the others is how our reader was written at first. It computed at each call what the present one computes when
it reads the token. It is kept here, because only readers that take turns in one run can be compared.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import statistics
import time
from typing import TYPE_CHECKING

import boto3
from aws_lambda_powertools.utilities.parameters import get_secret
from aws_secretsmanager_caching import SecretCache

from local.commands.soak import token_reader
from local.emulators.clock import Clock
from local.emulators.world import TOKEN_SECRET, World, environment
from local.markdown import table

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
READS = 2_000
DICT = "a dict look-up"
OURS = "TokenReader.token()"
EARLIER = "TokenReader.token(), an earlier version"
TTL_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _CachedToken:
    text: str = dataclasses.field(repr=False)
    fresh_until: float
    ends_at: float


class EarlierReader:
    """Has one token in its cache, from now on for five minutes. It can't read a secret."""

    def __init__(self, token: str, ends_at: float) -> None:
        self._ttl = TTL_SECONDS
        self._now = time.time
        self._cached = _CachedToken(text=token, fresh_until=time.time() + TTL_SECONDS, ends_at=ends_at)

    def token(self, min_remaining: float = 0.0) -> str:
        fresh = self._fresh_token(min_remaining)
        if fresh:
            return fresh
        raise RuntimeError("the token in this baseline is five minutes old")

    def _fresh_token(self, min_remaining: float) -> str:
        cached = self._cached
        now = self._now()
        is_fresh = now < cached.fresh_until <= now + self._ttl
        is_long_enough = now + min_remaining < cached.ends_at
        if is_fresh and is_long_enough:
            return cached.text
        return ""


def measure(read: Callable[[], object]) -> float:
    """Return nanoseconds per read."""
    started_at = time.perf_counter_ns()
    for _ in range(READS):
        read()
    return (time.perf_counter_ns() - started_at) / READS


def measure_all() -> dict[str, float]:
    """Return the median of nanoseconds per read, for each way to read."""
    with World(Clock()) as world, environment(world.environment()):
        world.invoke()
        reader = token_reader()(TOKEN_SECRET)
        cache = SecretCache(client=boto3.client("secretsmanager"))
        token = {"access_token": reader.token()}
        earlier = EarlierReader(reader.token(), world.token()["expires_at"])
        ways: dict[str, Callable[[], object]] = {
            DICT: lambda: token["access_token"],
            OURS: reader.token,
            EARLIER: earlier.token,
            "aws-secretsmanager-caching, parsed at each read": lambda: json.loads(
                cache.get_secret_string(TOKEN_SECRET)
            ),
            "Powertools get_secret, which caches the parsed value": lambda: get_secret(
                TOKEN_SECRET, transform="json", max_age=300
            ),
        }
        for read in ways.values():  # fills the caches
            measure(read)
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, read in ways.items():
                figures[name].append(measure(read))
    return {name: statistics.median(values) for name, values in figures.items()}


def main() -> None:
    medians = measure_all()
    ours = medians[OURS]
    rows = []
    for name, nanoseconds in medians.items():
        reads_a_second = 1e9 / nanoseconds
        ratio = nanoseconds / ours
        rows.append([name, f"{nanoseconds:,.0f}", f"{reads_a_second:,.0f}", f"{ratio:.1f}"])
    print(table(["cached read", "ns", "reads a second", "times ours"], rows, rule="---:"))
    print(f"\n{summary(medians)}")


def summary(medians: dict[str, float]) -> str:
    further = medians[OURS] - medians[DICT]
    to_earlier = medians[OURS] / medians[EARLIER]
    return (
        f"`TokenReader` takes {further:,.0f} ns more than a dict look-up, and {to_earlier:.2f} of the time of its own "
        f"earlier version, which the bench keeps as a baseline. All ran on Python {platform.python_version()}."
    )


if __name__ == "__main__":
    main()
