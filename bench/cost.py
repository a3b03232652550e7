"""What a month costs, by calculation: measured seconds, calls and bytes times the prices and assumptions of a file.

Nothing here was measured on Lambda. A function's share of a processor is its memory's share of 1,769 MB while it runs;
while it starts, it is the file's `init_vcpu`. What a run does between the network's answers is taken as bound by the
processor, and a second of this machine's processor as one of Lambda's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.artifacts import HERE

PRICES = HERE / "prices.json"
MEMORIES = (128, 256, 512)  # megabytes
DEPLOYED = 256  # of them, what the template has; a test looks there
STACKS = (1, 10, 100, 1_000)
SECONDS_AN_HOUR = 3_600
# What one stack has, as in template.yaml; a test counts them there.
SECRETS, ALARMS, DASHBOARDS = 2, 7, 1
# What a run without trouble sends: TokenSecondsRemaining, and one of Kept, Refreshed, Recovered and Waiting.
# AWS bills a metric by the hours in which it is sent, so in an hour with a refresh Refreshed takes the place of Kept.
METRICS_EACH_HOUR, HOURS_A_MONTH = 2, 730


@dataclass(frozen=True, slots=True)
class Tick:
    """One cold tick: seconds of processor for its start, its run and the certificates of a host; calls and bytes."""

    start: float
    run: float
    trust: float
    aws_calls: int
    vendor_calls: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Billed:
    """What Lambda bills for one cold tick, in seconds: until it is started, then its processor, then the network."""

    init: float
    processor: float
    network: float

    @property
    def all(self) -> float:
        return self.init + self.processor + self.network


@dataclass(frozen=True, slots=True)
class Book:
    """The file of prices, assumptions and quotas."""

    document: dict[str, Any]

    @classmethod
    def read(cls) -> Book:
        return cls(json.loads(PRICES.read_text()))

    def price(self, name: str) -> float:
        return float(self.document["prices"][name]["price"])

    def read_between(self) -> tuple[str, str]:
        """Return when the first and the last of the prices were read; a year alone where no month is known."""
        moments = [one["read"] for one in self.document["prices"].values()]
        return min(moments), max(moments)

    def assumed(self, name: str) -> float:
        return float(self.document["assumptions"][name]["value"])


def billed(tick: Tick, memory: int, book: Book) -> Billed:
    """Return what Lambda would bill for one cold tick with this memory (megabytes)."""
    share = min(1.0, memory / book.assumed("vcpu_memory_mb"))
    hosts = 1 + bool(tick.vendor_calls)
    run = (tick.run + hosts * (tick.trust + book.assumed("handshake_cpu_seconds_per_host"))) / share
    waits = tick.aws_calls * book.assumed("network_seconds_per_aws_call")
    waits += tick.vendor_calls * book.assumed("network_seconds_per_token_request")
    return Billed(tick.start / book.assumed("init_vcpu") * book.assumed("init_is_billed"), run, waits)


def month(no_op: Tick, refresh: Tick, memory: int, book: Book) -> dict[str, float]:
    """Return what one stack costs in a month, line by line."""
    ticks, refreshes = book.assumed("ticks_per_month"), book.assumed("refreshes_per_month")
    kinds = ((no_op, ticks - refreshes), (refresh, refreshes))
    seconds = sum(number * billed(tick, memory, book).all for tick, number in kinds)
    calls = sum(number * tick.aws_calls for tick, number in kinds)
    log = sum(number * (tick.log_bytes + book.assumed("platform_log_bytes")) for tick, number in kinds) / 1e9
    return {
        "secrets": SECRETS * book.price("secret_month"),
        "alarms": ALARMS * book.price("alarm_month"),
        "custom metrics": METRICS_EACH_HOUR * book.price("metric_month"),
        "API calls": calls * book.price("secret_call"),
        "Lambda GB-seconds": seconds * memory / 1_024 * book.price("lambda_gb_second_arm64"),
        "Lambda requests": ticks * book.price("lambda_request"),
        "schedule": ticks * book.price("schedule_invocation"),
        "log": log * (book.price("log_gb") + book.assumed("log_months") * book.price("log_gb_month")),
        "dashboard": DASHBOARDS * book.price("dashboard_month"),
    }


def consumer(book: Book) -> tuple[float, float]:
    """Return the calls that one process which reads the token makes in a month, and what they cost."""
    calls = HOURS_A_MONTH * SECONDS_AN_HOUR / book.assumed("consumer_reads_each_seconds")
    return calls, calls * book.price("secret_call")


def needed(peak_megabytes: float, book: Book) -> float:
    """Return the megabytes that a sound memory has at least, for this peak of the process with its certificates."""
    return (peak_megabytes + book.assumed("lambda_own_mb")) / book.assumed("most_of_memory_used")


def cheapest(no_op: Tick, refresh: Tick, peak_megabytes: float, book: Book) -> int | None:
    """Return the cheapest memory that is sound, in megabytes."""
    fits = [memory for memory in MEMORIES if memory >= needed(peak_megabytes, book)]
    return min(fits, key=lambda memory: sum(month(no_op, refresh, memory, book).values()), default=None)
