"""What many connections in one deployment take, calculated for Lambda from what was measured here.

`bench.cost` says how: the measured time of the processor is divided by the memory's share of one, and each AWS call
takes the time that bench/prices.json assumes.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bench.cost import DASHBOARDS, SECONDS_AN_HOUR, SECRETS, Billed, Tick, billed, needed
from bench.spread import ratio
from handler.secrets_manager import PAGE_SIZE
from handler.survey import MIN_SECONDS_BETWEEN_PAGES, RESERVE_SECONDS
from local.aws_lambda import MAX_EVENT_AGE_OF_MANY_SECONDS, TIMEOUT_SECONDS

if TYPE_CHECKING:
    from bench.cost import Book
    from bench.spread import Spread
    from bench.sweeps import Scale, Sweep

MEMORIES = (256, 512, 1_024)  # megabytes
# What the template has with ConnectionsPrefix. A test compares them.
DEPLOYED = 1_024
RESERVED_CONCURRENCY = 15
ALARMS = 9
# TokenSecondsRemaining and Connections of each sweep, HandedOver if it hands over, and Refreshed of the runs.
METRICS_EACH_HOUR = 4
# The least memory is the one with which the largest sweep that is measured takes no longer than this by the
# calculation. It is a seventh of the function's timeout, since nobody has measured what AWS takes for a page.
MAX_SWEEP_SECONDS = 60
# The targets.
MAX_COST = 810
CONNECTIONS_OF_MAX_COST = 1_000
MAX_RATIO_TO_SMALLER_SWEEPS = 1.0
# The longest that a run waits for the vendor's answer (ACQUIRE_TIMEOUT_SECONDS), by which the concurrency is sized.
LONGEST_RUN_SECONDS = 120
MILLISECOND = 1_000
KILOBYTE = 1_024


class Limit(NamedTuple):
    """Up to how many connections something holds, and what happens with more."""

    what: str
    connections: int
    beyond: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of many connections. `start` is the cold start of the package, in seconds.

    `trust_seconds` and `trust_megabytes` are what reading the trusted certificates takes.
    """

    measured: Scale
    start: float
    trust_seconds: float
    trust_megabytes: float
    book: Book

    # One sweep

    def seconds_of(self, sweep: Sweep, memory: int) -> Billed:
        """Return what Lambda would bill for a sweep that was measured."""
        handshakes = sweep.secrets.connections + sweep.functions.connections
        return self._sweep_seconds(
            processor=processor_seconds(sweep),
            handshakes=handshakes,
            pages=sweep.secrets.requests,
            due=sweep.due,
            memory=memory,
        )

    def seconds(self, connections: int, due: int, memory: int) -> Billed:
        """Return what Lambda would bill for a sweep of any size, in proportion to the largest that was measured."""
        return self._sweep_seconds(
            processor=connections * self._survey_processor() + due * self._hand_over_processor(),
            handshakes=1 + due * self._handshakes_per_hand_over(),
            pages=pages_of(connections),
            due=due,
            memory=memory,
        )

    def _sweep_seconds(self, *, processor: float, handshakes: float, pages: int, due: int, memory: int) -> Billed:
        call = self.book.assumed("network_seconds_per_aws_call")
        hosts = 2 if due else 1
        tls = hosts * self.trust_seconds + handshakes * self.book.assumed("handshake_cpu_seconds_per_host")
        return Billed(
            init=self.start / self.book.assumed("init_vcpu") * self.book.assumed("init_is_billed"),
            processor=(processor + tls) / self._share(memory),
            # The survey keeps pages apart by itself.
            network=pages * max(call, MIN_SECONDS_BETWEEN_PAGES) + due * call,
        )

    def longest_page(self, sweep: Sweep, memory: int) -> float:
        """Return how many seconds of network a page may take, if the sweep is to end within MAX_SWEEP_SECONDS."""
        found = self.seconds_of(sweep, memory)
        hand_overs = sweep.due * self.book.assumed("network_seconds_per_aws_call")
        left = MAX_SWEEP_SECONDS - found.init - found.processor - hand_overs
        return left / sweep.secrets.requests

    def ratio_to_smaller_sweeps(self) -> Spread:
        """Divide the CPU time of the largest sweep by that of as many sweeps of 1,000 as make up its size."""
        largest = self.measured.usual[-1]
        smaller = self.measured.usual_sweep_of(CONNECTIONS_OF_MAX_COST)
        as_many = largest.connections / smaller.connections
        return ratio(
            [sample.cpu for sample in largest.samples],
            [as_many * sample.cpu for sample in smaller.samples],
        )

    def peak_megabytes(self, sweep: Sweep) -> float:
        """Return the peak of the process with the certificates, which are not read on loopback."""
        return max(sample.peak for sample in sweep.samples) / KILOBYTE + self.trust_megabytes

    def best_memory(self) -> int | None:
        """Return the least memory in which the largest sweep is quick enough and fits; None if there is none."""
        largest = self.measured.usual[-1]
        for memory in MEMORIES:
            is_quick = self.seconds_of(largest, memory).all <= MAX_SWEEP_SECONDS
            if is_quick and memory >= needed(self.peak_megabytes(largest), self.book):
                return memory
        return None

    # The runs that it hands over

    def cold_run(self) -> Tick:
        run = self.measured.handed_over
        return Tick(
            start=self.start,
            run=run.sample.runs[0] / MILLISECOND,
            trust=self.trust_seconds,
            aws_calls=round(run.secrets),
            vendor_calls=round(run.vendor),
            log_bytes=run.sample.log_bytes // len(run.sample.runs),
        )

    def warm_run_seconds(self, memory: int) -> float:
        """Return how long a run takes in a process that has run before. It connects to the vendor anew."""
        run = self.measured.handed_over
        tls = self.trust_seconds + self.book.assumed("handshake_cpu_seconds_per_host")
        processor = statistics.median(run.sample.runs[1:]) / MILLISECOND + tls
        aws = run.secrets * self.book.assumed("network_seconds_per_aws_call")
        vendor = run.vendor * self.book.assumed("network_seconds_per_token_request")
        return processor / self._share(memory) + aws + vendor

    def writes_a_second(self, memory: int) -> float:
        """Return how many writes the reserved concurrency makes, if all its runs are warm and none has to wait."""
        return RESERVED_CONCURRENCY * self.measured.handed_over.writes / self.warm_run_seconds(memory)

    def runs_a_second(self, memory: int) -> float:
        """Return how many runs end in a second. AWS's rate of writes makes further ones wait."""
        allowed = self._writes_allowed() / self.measured.handed_over.writes
        return min(allowed, RESERVED_CONCURRENCY / self.warm_run_seconds(memory))

    def concurrency_below_the_rate(self, memory: int) -> int:
        """Return the highest concurrency whose runs, all warm, stay within AWS's rate of writes."""
        return int(self._writes_allowed() * self.warm_run_seconds(memory) / self.measured.handed_over.writes)

    def seconds_until_all_are_refreshed(self, connections: int, memory: int) -> float:
        """Return when the queue is empty, if all connections are due. The runs begin while the sweep hands over."""
        handed_over = self.seconds(connections, connections, memory).all
        return max(handed_over, connections / self.runs_a_second(memory))

    # A month

    def month(self, sweep: Sweep, memory: int) -> dict[str, float]:
        """Return what this many connections cost in a month, line by line. All runs are counted as cold."""
        book = self.book
        sweeps = book.assumed("ticks_per_month")
        runs = book.assumed("refreshes_per_month") * sweep.connections
        cold_run = self.cold_run()
        calls = sweeps * sweep.secrets.requests + runs * cold_run.aws_calls
        seconds = sweeps * self.seconds_of(sweep, memory).all + runs * billed(cold_run, memory, book).all
        sweep_log = statistics.median(sample.log_bytes for sample in sweep.samples)
        platform_log = book.assumed("platform_log_bytes")
        log_bytes = sweeps * (sweep_log + platform_log) + runs * (cold_run.log_bytes + platform_log)
        log_price = book.price("log_gb") + book.assumed("log_months") * book.price("log_gb_month")
        return {
            "secrets": SECRETS * sweep.connections * book.price("secret_month"),
            "alarms": ALARMS * book.price("alarm_month"),
            "custom metrics": METRICS_EACH_HOUR * book.price("metric_month"),
            "API calls": calls * book.price("secret_call"),
            "Lambda GB-seconds": seconds * memory / 1_024 * book.price("lambda_gb_second_arm64"),
            "Lambda requests": (sweeps + runs) * book.price("lambda_request"),
            "schedule": sweeps * book.price("schedule_invocation"),
            "log": log_bytes / 1e9 * log_price,
            "dashboard": DASHBOARDS * book.price("dashboard_month"),
        }

    def cost_if_each_secret_is_a_call(self, sweep: Sweep) -> float:
        """Return what a month would cost in addition if AWS billed a page as so many calls as it has secrets."""
        further_calls = SECRETS * sweep.connections - sweep.secrets.requests
        return self.book.assumed("ticks_per_month") * further_calls * self.book.price("secret_call")

    def cost_of_a_key(self, sweep: Sweep) -> float:
        """Return what the calls of a KMS key of one's own cost in a month.

        A sweep decrypts all secrets. Each call of a run counts as one with the key, and its batch as two.
        """
        sweeps = self.book.assumed("ticks_per_month")
        runs = self.book.assumed("refreshes_per_month") * sweep.connections
        calls = sweeps * SECRETS * sweep.connections + runs * (self.measured.handed_over.secrets + 1)
        return calls * self.book.price("kms_call")

    # What ends first

    def limits(self, memory: int) -> list[Limit]:
        """Return what holds up to how many connections, the lowest number first.

        What would hold for more connections than the quota of secrets allows is left out.
        """
        runs_a_second = self.runs_a_second(memory)
        share_due = due_share(self.book)
        usable = TIMEOUT_SECONDS - RESERVE_SECONDS
        quota = self.book.document["quotas"]["secrets"]
        allowed = quota["value"] // SECRETS
        quick = f"the vendor answers in {self.book.assumed('network_seconds_per_token_request')} s"
        hours = MAX_EVENT_AGE_OF_MANY_SECONDS / SECONDS_AN_HOUR
        found = [
            Limit(
                f"If all are due at once, and the vendor takes {LONGEST_RUN_SECONDS} s with each, each gets its run "
                f"before Lambda gives its event up, after {hours:.0f} h",
                sized_for(RESERVED_CONCURRENCY),
                "The next sweep hands those over again that Lambda gave up. Raise `ReservedConcurrency`.",
            ),
            Limit(
                "If all are due at once, one sweep hands them all over",
                self._connections_within(usable, memory, share_due=1.0),
                "The sweep fails when its time ends, and its retry hands over the others.",
            ),
            Limit(
                f"A usual sweep takes at most {MAX_SWEEP_SECONDS} s",
                self._connections_within(MAX_SWEEP_SECONDS, memory, share_due=share_due),
                "The sweep takes longer, in proportion.",
            ),
            Limit(
                "A usual sweep ends before the function's timeout",
                self._connections_within(usable, memory, share_due=share_due),
                "No sweep sees all, and `TokenExpiresAlarm` goes off. Use two prefixes, with a deployment for each.",
            ),
            Limit(
                f"If all are due at once, and {quick}, each gets its run before Lambda gives its event up",
                int(runs_a_second * MAX_EVENT_AGE_OF_MANY_SECONDS),
                "The next sweep hands those over again that Lambda gave up.",
            ),
            Limit(
                f"If {quick}, the runs that are due in an hour end within an hour",
                int(runs_a_second * SECONDS_AN_HOUR / share_due),
                "The queue grows. Use two accounts, since each has a rate of writes.",
            ),
            Limit(
                f"The quota of {quota['value']:,} secrets is enough",
                allowed,
                "Use two accounts.",
            ),
        ]
        reachable = [limit for limit in found if limit.connections <= allowed]
        return sorted(reachable, key=lambda limit: limit.connections)

    def _connections_within(self, seconds: float, memory: int, *, share_due: float) -> int:
        """Return how many connections a sweep of so many seconds has. Its time grows in proportion to them."""
        many = self.measured.usual[-1].connections
        takes = self.seconds(many, round(many * share_due), memory)
        per_connection = (takes.processor + takes.network) / many
        return int((seconds - takes.init) / per_connection)

    # What one connection takes, of the measured processor

    def _hand_over_processor(self) -> float:
        all_due = self.measured.all_due
        usual = self.measured.usual_sweep_of(all_due.connections)
        further = processor_seconds(all_due) - processor_seconds(usual)
        return further / (all_due.due - usual.due)

    def _survey_processor(self) -> float:
        largest = self.measured.usual[-1]
        survey = processor_seconds(largest) - largest.due * self._hand_over_processor()
        return survey / largest.connections

    def _handshakes_per_hand_over(self) -> float:
        counts = self.measured.all_due.functions
        return counts.connections / counts.requests

    def _share(self, memory: int) -> float:
        return min(1.0, memory / self.book.assumed("vcpu_memory_mb"))

    def _writes_allowed(self) -> float:
        return float(self.book.document["rates"]["writes"]["value"])


def processor_seconds(sweep: Sweep) -> float:
    """Return seconds of the processor for one sweep in a new process, without the imports."""
    return statistics.median(sample.runs[0] for sample in sweep.samples) / MILLISECOND


def due_share(book: Book) -> float:
    """Return which share of the connections is due in an hour."""
    return book.assumed("refreshes_per_month") / book.assumed("ticks_per_month")


def pages_of(connections: int) -> int:
    return math.ceil(SECRETS * connections / PAGE_SIZE)


def sized_for(concurrency: int) -> int:
    """Return how many connections may be due at once with this concurrency, however long the vendor takes."""
    return int(concurrency * MAX_EVENT_AGE_OF_MANY_SECONDS / LONGEST_RUN_SECONDS)


def concurrency_for(due: int) -> int:
    """Return the least concurrency for so many connections that are due at once, however long the vendor takes."""
    return math.ceil(due * LONGEST_RUN_SECONDS / MAX_EVENT_AGE_OF_MANY_SECONDS)
