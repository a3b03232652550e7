"""The tables of many connections in one deployment, in Markdown."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING

from bench.cost import needed
from bench.scale import (
    CONNECTIONS_OF_MAX_COST,
    DEPLOYED,
    LONGEST_RUN_SECONDS,
    MAX_COST,
    MAX_RATIO_TO_SMALLER_SWEEPS,
    MAX_SWEEP_SECONDS,
    MEMORIES,
    RESERVED_CONCURRENCY,
    concurrency_for,
    due_share,
    processor_seconds,
    sized_for,
)
from bench.spread import Spread, verdict
from bench.sweeps import SIZES
from handler.survey import MIN_SECONDS_BETWEEN_PAGES, RESERVE_SECONDS
from local import markdown
from local.aws_lambda import MAX_EVENT_AGE_OF_MANY_SECONDS, TIMEOUT_SECONDS
from local.durations import HOUR

if TYPE_CHECKING:
    from bench.cost import Billed, Book
    from bench.scale import Deployment
    from bench.sweeps import Sweep

MILLISECOND = 1_000

table = partial(markdown.table, rule="---:")


class ScalePage:
    """The part of the page. `cost_of_a_stack` is that of one connection in its own stack, without a dashboard.

    `calls_of_one` is how many AWS calls such a stack makes for a fresh token.
    """

    def __init__(self, deployment: Deployment, *, cost_of_a_stack: float, calls_of_one: int) -> None:
        self._deployment = deployment
        self._usual = deployment.measured.usual
        self._book: Book = deployment.book
        self._cost_of_a_stack = cost_of_a_stack
        self._calls_of_one = calls_of_one

    def text(self) -> str:
        parts = [
            "### Scale: many connections in one deployment",
            self.about(),
            "#### Against the targets",
            self.targets(),
            "#### One sweep",
            self.sweeps(),
            "#### Memory",
            self.memory(),
            "#### All due at once",
            self.all_due(),
            f"#### A month, in {self._book.document['currency']}",
            self.month(),
            "#### What ends first",
            self.limits(),
        ]
        return "\n\n".join(parts)

    def about(self) -> str:
        due = due_share(self._book)
        rounds = len(self._usual[-1].samples)
        call = MILLISECOND * self._book.assumed("network_seconds_per_aws_call")
        return (
            "A *sweep* is a run that looks at all connections and hands over those that are due, each to a run of its "
            f"own. Sweeps of each size were measured in {rounds} rounds: the packaged function ran in a bare process, "
            "against the emulated Secrets Manager and Lambda, over real HTTP. What Lambda takes is calculated as in "
            "the other tables, with the share of a processor that the memory gives, and with the assumed "
            f"{call:.0f} ms of network for each AWS call. In an hour, one connection in {1 / due:.0f} is due, and in a "
            "*usual* sweep it is this share. All token secrets were listed before all credentials secrets, which takes "
            "the most memory."
        )

    # One table each

    def targets(self) -> str:
        largest = self._usual[-1]
        thousand = self._deployment.measured.usual_sweep_of(CONNECTIONS_OF_MAX_COST)
        cost = self._cost(thousand)
        found = self._deployment.ratio_to_smaller_sweeps()
        limit = MAX_RATIO_TO_SMALLER_SWEEPS
        currency = self._book.document["currency"]
        as_many = largest.connections // thousand.connections
        sizes = f"CPU time of one usual sweep of {largest.connections:,}, divided by that of {as_many} usual sweeps of "
        sizes += f"{thousand.connections:,}, each with the start of its process"
        rows = [
            [sizes, f"{found.median:.3f}", found.quartiles(3), f"{limit:.2f}", verdict(found, limit)],
            [
                f"{thousand.connections:,} connections, {currency} a month, if AWS bills a page as one call",
                f"{cost:,.2f}",
                "",
                f"{MAX_COST:,}",
                verdict(Spread.of([cost]), MAX_COST),
            ],
            [
                "one connection without a prefix, AWS calls for a fresh token",
                f"{self._calls_of_one:,}",
                "",
                "1",
                verdict(Spread.of([self._calls_of_one]), 1),
            ],
        ]
        longest_page = self._deployment.longest_page(largest, DEPLOYED)
        assumed = self._book.assumed("network_seconds_per_aws_call")
        about = (
            "How long a sweep takes on Lambda is no target, because the network's part of it is assumed. With "
            f"{DEPLOYED:,} MB, {largest.connections:,} connections take {self._seconds(largest).all:.0f} s if the "
            f"network takes {MILLISECOND * assumed:.0f} ms for a page, and {MAX_SWEEP_SECONDS} s if it takes "
            f"{MILLISECOND * longest_page:.0f} ms. The `REPORT` line of a deployed sweep says how long it really takes."
        )
        head = ["measure", "found", "quartiles", "at most", "verdict"]
        return "\n\n".join([table(head, rows), self._about_billed_pages(), about])

    def _about_billed_pages(self) -> str:
        """Return what becomes of the target of the cost if AWS bills a page otherwise."""
        thousand = self._deployment.measured.usual_sweep_of(CONNECTIONS_OF_MAX_COST)
        in_all = self._cost(thousand) + self._deployment.cost_if_each_secret_is_a_call(thousand)
        return (
            "We have not seen how AWS bills a page. If it bills each secret of a page as one call, "
            f"{thousand.connections:,} connections cost {in_all:,.2f} {self._book.document['currency']} a month, and "
            f"the target of {MAX_COST:,} is {verdict(Spread.of([in_all]), MAX_COST)}."
        )

    def sweeps(self) -> str:
        head = [
            "connections",
            "due, handed over",
            "AWS calls",
            "TCP connections",
            "bytes in",
            "processor here (s)",
            "run here (s)",
            "peak (MB)",
            "on Lambda: start (s)",
            "processor (s)",
            "network (s)",
            "all (s)",
        ]
        rows = [self._sweep_row(sweep) for sweep in self._usual]
        about = (
            f"The columns of Lambda are calculated, with {DEPLOYED:,} MB, and with a TLS handshake for each TCP "
            "connection. Here the run waits for the emulator, which shares this machine's processor. The time of the "
            "processor is that of the function's process alone. A sweep reads at most "
            f"{1 / MIN_SECONDS_BETWEEN_PAGES:.0f} pages a second, and AWS allows {self._rate('batch_get'):.0f}."
        )
        return f"{table(head, rows)}\n\n{about}"

    def _sweep_row(self, sweep: Sweep) -> list[str]:
        wall = statistics.median(sample.first_answer for sample in sweep.samples) / MILLISECOND
        peak = max(sample.peak for sample in sweep.samples) / 1_024
        found = self._seconds(sweep)
        return [
            f"{sweep.connections:,}",
            f"{sweep.due:,}",
            f"{sweep.secrets.requests + sweep.functions.requests:,}",
            f"{sweep.secrets.connections + sweep.functions.connections:,}",
            f"{sweep.secrets.bytes_in + sweep.functions.bytes_in:,}",
            f"{processor_seconds(sweep):.2f}",
            f"{wall:.2f}",
            f"{peak:.1f}",
            f"{found.init:.2f}",
            f"{found.processor:.2f}",
            f"{found.network:.2f}",
            f"{found.all:.2f}",
        ]

    def memory(self) -> str:
        largest = self._usual[-1]
        least = needed(self._deployment.peak_megabytes(largest), self._book)
        head = [f"a deployment of {largest.connections:,}", *(f"{memory:,} MB" for memory in MEMORIES)]
        sweeps = [self._deployment.seconds_of(largest, memory).all for memory in MEMORIES]
        all_due = [
            self._deployment.seconds(largest.connections, largest.connections, memory).all for memory in MEMORIES
        ]
        costs = [self._cost(largest, memory) for memory in MEMORIES]
        rows = [
            ["a usual sweep (s)", *(f"{seconds:.1f}" for seconds in sweeps)],
            [
                f"it takes at most {MAX_SWEEP_SECONDS} s",
                *(yes_or_no(seconds <= MAX_SWEEP_SECONDS) for seconds in sweeps),
            ],
            ["a sweep if all are due (s)", *(f"{seconds:.0f}" for seconds in all_due)],
            [f"has at least {least:.0f} MB", *(yes_or_no(memory >= least) for memory in MEMORIES)],
            [f"{self._book.document['currency']} a month", *(f"{cost:,.2f}" for cost in costs)],
        ]
        about = (
            f"The {MAX_SWEEP_SECONDS} s are our choice. The function's timeout is {TIMEOUT_SECONDS:.0f} s, and the "
            "rest is left for pages that take longer than assumed, and for hours in which more connections are due. "
            f"The {least:.0f} MB are for the measured peak, the certificates and Lambda's own part, as for one stack."
        )
        return "\n\n".join([table(head, rows), about, self._about_best_memory()])

    def _about_best_memory(self) -> str:
        largest = self._usual[-1]
        best = self._deployment.best_memory()
        template = f"The template has {DEPLOYED:,} MB with `ConnectionsPrefix`"
        if best is None:
            return f"None of these memories is enough. {template}."
        enough = f"The least that is enough is {best:,} MB."
        if best == DEPLOYED:
            return f"{enough} {template}."
        shorter = self._deployment.seconds_of(largest, best).all - self._seconds(largest).all
        further = self._cost(largest) - self._cost(largest, best)
        return (
            f"{enough} {template} all the same: a usual sweep takes {shorter:.0f} s less, so there is more room for "
            f"slow pages, and a month costs only {further:.2f} {self._book.document['currency']} more."
        )

    def all_due(self) -> str:
        head = [
            "connections, all due",
            "the sweep (s)",
            "all refreshed after (s)",
            "concurrency for the slowest vendor",
        ]
        rows = []
        for connections in SIZES:
            sweep = self._deployment.seconds(connections, connections, DEPLOYED).all
            refreshed = self._deployment.seconds_until_all_are_refreshed(connections, DEPLOYED)
            row = [f"{connections:,}", f"{sweep:,.0f}", f"{refreshed:,.0f}", f"{concurrency_for(connections):,}"]
            rows.append(row)
        usable = TIMEOUT_SECONDS - RESERVE_SECONDS
        about = (
            f"A sweep that would take more than {usable:.0f} s ends then, before the function's timeout of "
            f"{TIMEOUT_SECONDS:.0f} s. Lambda repeats it, and the repetition hands over the others."
        )
        return "\n\n".join([table(head, rows), about, self._about_runs(), self._about_sizing()])

    def _about_runs(self) -> str:
        deployment = self._deployment
        run = deployment.measured.handed_over
        warm = statistics.median(run.sample.runs[1:])
        vendor = self._book.assumed("network_seconds_per_token_request")
        return (
            f"A run that was handed over makes {run.secrets:.0f} AWS calls, {run.writes:.0f} of which are writes. In a "
            f"warm process it took {warm:.0f} ms of the processor here. On Lambda it takes "
            f"{deployment.warm_run_seconds(DEPLOYED):.2f} s by this calculation, of which the vendor takes "
            f"{vendor} s by assumption. The {RESERVED_CONCURRENCY} runs of the reserved concurrency could then make "
            f"{deployment.writes_a_second(DEPLOYED):.0f} writes a second. AWS allows {self._rate('writes'):.0f}, and "
            f"up to {deployment.concurrency_below_the_rate(DEPLOYED)} runs at once stay below that. AWS throttles "
            "further writes: botocore repeats them, and Lambda repeats a run that fails. So AWS's rate decides how "
            "soon all are refreshed, and the table is calculated with it."
        )

    def _about_sizing(self) -> str:
        hours = MAX_EVENT_AGE_OF_MANY_SECONDS / HOUR
        return (
            f"The last column is for a vendor that takes the longest time with each request, {LONGEST_RUN_SECONDS} s. "
            f"It is the connections that are due at once, times this time, divided by the {hours:.0f} h for which "
            f"Lambda keeps an event. A concurrency of {RESERVED_CONCURRENCY}, the template's, is enough for "
            f"{sized_for(RESERVED_CONCURRENCY):,} connections that are due at once."
        )

    def month(self) -> str:
        months = [self._deployment.month(sweep, DEPLOYED) for sweep in self._usual]
        head = ["", *(f"{sweep.connections:,}" for sweep in self._usual)]
        rows = [[line, *(f"{month[line]:,.4f}" for month in months)] for line in months[0]]
        rows.append(["**all, without the dashboard**", *(f"**{self._cost(sweep):,.2f}**" for sweep in self._usual)])
        stacks = [sweep.connections * self._cost_of_a_stack for sweep in self._usual]
        rows.append(["one stack each", *(f"{cost:,.2f}" for cost in stacks)])
        return f"{table(head, rows)}\n\n{self._about_month()}"

    def _about_month(self) -> str:
        thousand = self._deployment.measured.usual_sweep_of(CONNECTIONS_OF_MAX_COST)
        currency = self._book.document["currency"]
        further = self._deployment.cost_if_each_secret_is_a_call(thousand)
        key_calls = self._deployment.cost_of_a_key(thousand)
        return (
            "All runs are counted as cold, which is the most that they can cost. A page of 20 secrets counts as one "
            f"call. If AWS billed each of its secrets as one, {thousand.connections:,} connections would cost "
            f"{further:.2f} {currency} more. With a KMS key of your own they cost {key_calls:.2f} {currency} more for "
            "its calls, since each sweep decrypts all secrets."
        )

    def limits(self) -> str:
        head = ["what holds", "up to so many connections", "with more"]
        rows = [[limit.what, f"{limit.connections:,}", limit.beyond] for limit in self._deployment.limits(DEPLOYED)]
        pages = 1 / MIN_SECONDS_BETWEEN_PAGES
        together = pages + self._deployment.runs_a_second(DEPLOYED)
        about = (
            "One account can't reach what would come after the quota of secrets, so it is not listed. A deployment of "
            "any size takes one stack, two IAM roles and one set of alarms, so it does not come near the quotas of "
            f"stacks, roles and policies above. A sweep and the runs together read at most {together:.0f} batches a "
            f"second, and AWS allows {self._rate('batch_get'):.0f}. The vendor may have limits of its own."
        )
        return f"{table(head, rows)}\n\n{about}"

    # The figures in them

    def _seconds(self, sweep: Sweep) -> Billed:
        return self._deployment.seconds_of(sweep, DEPLOYED)

    def _cost(self, sweep: Sweep, memory: int = DEPLOYED) -> float:
        """Return what a month costs, without the dashboard."""
        month = self._deployment.month(sweep, memory)
        return sum(month.values()) - month["dashboard"]

    def _rate(self, name: str) -> float:
        return float(self._book.document["rates"][name]["value"])


def yes_or_no(answer: bool) -> str:
    return "yes" if answer else "no"
