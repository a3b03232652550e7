"""What a month costs, calculated: the measured seconds, calls and bytes, times the prices and assumptions of a file.

Nothing here was measured on Lambda. While a function runs, its share of a processor is its memory divided by 1,769 MB.
While it starts, its share is the file's `init_vcpu`. The calculation assumes that a run computes whenever it does not
wait for the network, and that a second of this machine's processor is worth a second of Lambda's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.artifacts import HERE

PRICES = HERE / "prices.json"
MEMORIES = (128, 256, 512)  # megabytes
DEPLOYED = 256  # the one in the template; a test compares both
STACKS = (1, 10, 100, 1_000)
SECONDS_AN_HOUR = 3_600
HOURS_A_MONTH = 730
# What one stack has. A test counts them in template.yaml.
SECRETS = 2
ALARMS = 8
DASHBOARDS = 1
# A run without trouble sends TokenSecondsRemaining and one of Kept, Refreshed, Recovered and Waiting. AWS bills a
# metric for the hours in which it is sent: in an hour with a refresh, Refreshed takes the place of Kept.
METRICS_EACH_HOUR = 2


@dataclass(frozen=True, slots=True)
class Tick:
    """One cold tick. Times are seconds of a whole processor."""

    start: float
    run: float
    trust: float  # to read the trusted certificates, once for each host
    aws_calls: int
    vendor_calls: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Billed:
    """What Lambda bills for one cold tick, in seconds: the start, then computing, then waiting for the network."""

    init: float
    processor: float
    network: float

    @property
    def all(self) -> float:
        return self.init + self.processor + self.network


@dataclass(frozen=True, slots=True)
class Book:
    """The file with prices, assumptions and quotas."""

    document: dict[str, Any]

    @classmethod
    def read(cls) -> Book:
        return cls(json.loads(PRICES.read_text()))

    def price(self, name: str) -> float:
        return float(self.document["prices"][name]["price"])

    def months_of_reading(self) -> list[str]:
        """Return the months in which prices were read on AWS's pages, such as 2026-09."""
        return [date for date in self._read_dates() if "-" in date]

    def years_of_guides(self) -> list[str]:
        """Return the years of the public guides that cite the other prices."""
        return [date for date in self._read_dates() if "-" not in date]

    def _read_dates(self) -> list[str]:
        return sorted({price["read"] for price in self.document["prices"].values()})

    def assumed(self, name: str) -> float:
        return float(self.document["assumptions"][name]["value"])


def billed(tick: Tick, memory: int, book: Book) -> Billed:
    """Return what Lambda would bill for one cold tick with this memory (megabytes)."""
    share = min(1.0, memory / book.assumed("vcpu_memory_mb"))
    hosts = 2 if tick.vendor_calls else 1
    tls_per_host = tick.trust + book.assumed("handshake_cpu_seconds_per_host")
    aws_wait = tick.aws_calls * book.assumed("network_seconds_per_aws_call")
    vendor_wait = tick.vendor_calls * book.assumed("network_seconds_per_token_request")
    return Billed(
        init=tick.start / book.assumed("init_vcpu") * book.assumed("init_is_billed"),
        processor=(tick.run + hosts * tls_per_host) / share,
        network=aws_wait + vendor_wait,
    )


def month(no_op: Tick, refresh: Tick, memory: int, book: Book) -> dict[str, float]:
    """Return what one stack costs in a month, line by line."""
    ticks = book.assumed("ticks_per_month")
    refreshes = book.assumed("refreshes_per_month")
    seconds = 0.0
    calls = 0.0
    log_bytes = 0.0
    for tick, number in ((no_op, ticks - refreshes), (refresh, refreshes)):
        seconds += number * billed(tick, memory, book).all
        calls += number * tick.aws_calls
        log_bytes += number * (tick.log_bytes + book.assumed("platform_log_bytes"))
    log_price = book.price("log_gb") + book.assumed("log_months") * book.price("log_gb_month")
    return {
        "secrets": SECRETS * book.price("secret_month"),
        "alarms": ALARMS * book.price("alarm_month"),
        "custom metrics": METRICS_EACH_HOUR * book.price("metric_month"),
        "API calls": calls * book.price("secret_call"),
        "Lambda GB-seconds": seconds * memory / 1_024 * book.price("lambda_gb_second_arm64"),
        "Lambda requests": ticks * book.price("lambda_request"),
        "schedule": ticks * book.price("schedule_invocation"),
        "log": log_bytes / 1e9 * log_price,
        "dashboard": DASHBOARDS * book.price("dashboard_month"),
    }


def consumer(book: Book) -> tuple[float, float]:
    """Return how many calls a consumer process makes in a month, and what they cost."""
    calls = HOURS_A_MONTH * SECONDS_AN_HOUR / book.assumed("consumer_reads_each_seconds")
    return calls, calls * book.price("secret_call")


def needed(peak_megabytes: float, book: Book) -> float:
    """Return how many megabytes are enough, if the process with its certificates has this peak."""
    return (peak_megabytes + book.assumed("lambda_own_mb")) / book.assumed("most_of_memory_used")


def cheapest(no_op: Tick, refresh: Tick, peak_megabytes: float, book: Book) -> int | None:
    """Return the cheapest memory that is large enough, in megabytes, or None if none is."""

    def cost(memory: int) -> float:
        return sum(month(no_op, refresh, memory, book).values())

    large_enough = [memory for memory in MEMORIES if memory >= needed(peak_megabytes, book)]
    return min(large_enough, key=cost, default=None)
