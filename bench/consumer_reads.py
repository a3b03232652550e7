"""`python -m bench.consumer_reads`: cached reads of the token, ours beside what others use, in turns in one run."""

from __future__ import annotations

import json
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

ROUNDS, READS = 15, 2_000


def measure(read: Callable[[], object]) -> float:
    """Return nanoseconds a read."""
    begin = time.perf_counter_ns()
    for _ in range(READS):
        read()
    return (time.perf_counter_ns() - begin) / READS


def main() -> None:
    with World(Clock()) as world, environment(world.environment()):
        world.invoke()
        reader, cache = token_reader()(TOKEN_SECRET), SecretCache(client=boto3.client("secretsmanager"))
        token = {"access_token": reader.token()}
        ways: dict[str, Callable[[], object]] = {
            "a dict look-up": lambda: token["access_token"],
            "TokenReader.token()": reader.token,
            "aws-secretsmanager-caching, parsed": lambda: json.loads(cache.get_secret_string(TOKEN_SECRET)),
            "Powertools get_secret, parsed by it": lambda: get_secret(TOKEN_SECRET, transform="json", max_age=300),
        }
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS + 1):  # the first one fills the caches
            for name, read in ways.items():
                figures[name].append(measure(read))
    medians = {name: statistics.median(some[1:]) for name, some in figures.items()}
    ours = medians["TokenReader.token()"]
    rows = [[name, f"{one:,.0f}", f"{1e9 / one:,.0f}", f"{one / ours:.1f}"] for name, one in medians.items()]
    print(table(["cached read", "ns", "reads a second", "against ours"], rows, rule="---:"))
    print(f"\nOurs takes {ours - medians['a dict look-up']:,.0f} ns more than the look-up.")


if __name__ == "__main__":
    main()
