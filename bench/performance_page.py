"""The tables in Markdown: for the shell, and for docs/PERFORMANCE.md between its two marks."""

from __future__ import annotations

import datetime as dt
import os
import platform
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import cost, growth
from bench.artifacts import COMPILED, LAYERED, NAIVE, NOTHING, OURS, RUNTIME_BOTO3
from bench.cost import DEPLOYED, MEMORIES, STACKS, Billed, Book, Tick
from bench.rounds import BARE, EMULATED, Samples
from bench.scale import Deployment
from bench.scale_page import ScalePage
from bench.spread import Spread, ratio, verdict
from bench.worlds import DUE, FRESH, SITUATIONS
from local import markdown
from scripts import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.artifacts import Artifact
    from bench.meter import Counts
    from bench.sweeps import Scale

PAGE = ROOT / "docs" / "PERFORMANCE.md"
BEGIN = "<!-- make bench writes from here -->"
END = "<!-- to here -->"
KILOBYTE = 1_024
MEGABYTE = 1_000_000  # of a zip
MILLISECOND = 1_000
# The measures of the targets.
COLD = "CPU time of a cold no-op"
ZIP = "bytes of the zip"
PEAK = "peak memory of a no-op"
# A measure, the package to compare with, and the highest ratio of ours to it. No target is a number of seconds, and
# none is a time on the clock: both say more about the machine and its load than about a package.
TARGETS = (
    (COLD, NAIVE, 0.35),
    (COLD, COMPILED, 0.70),
    (COLD, RUNTIME_BOTO3, 0.70),
    (COLD, LAYERED, 0.70),
    (ZIP, NAIVE, 0.40),
    (PEAK, NAIVE, 0.85),
    (PEAK, LAYERED, 0.85),
)
ABOUT_TICKS = (
    "A *no-op* is a tick that finds a fresh token and changes nothing. A *refresh* is a tick that gets a new token and "
    "stores it."
)
THEIRS = (NAIVE, COMPILED, RUNTIME_BOTO3, LAYERED)
COMPARED = (*THEIRS, OURS)
Calls = dict[tuple[str, str], tuple["Counts", "Counts"]]  # by package and kind of tick: to AWS, to the vendor


table = partial(markdown.table, rule="---:")


def facts(python: str, rounds: int, package: Artifact) -> str:
    """Return what was run and what the figures depend on, but nothing that names the machine."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    system = f"{platform.system()} {platform.release()}"
    return (
        f"`python -m bench --rounds {rounds}` wrote all of this on {today}. The packages ran on CPython {python}, the "
        f"bench itself and the consumer's reads on CPython {platform.python_version()}. The machine has "
        f"{os.cpu_count()} cores ({processor_model()}) and runs {system}. Our zip's sha256 is `{package.sha256}`."
    )


def processor_model() -> str:
    about_cpus = Path("/proc/cpuinfo")
    if about_cpus.exists():
        for line in about_cpus.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


class Judged(NamedTuple):
    """A ratio of ours to another package, and whether it meets its target. `way` is empty for a zip."""

    measure: str
    package: str
    way: str
    found: Spread
    limit: float

    @property
    def verdict(self) -> str:
        return verdict(self.found, self.limit)

    @property
    def is_missed(self) -> bool:
        return self.verdict.startswith("missed")


class Tables:
    """All tables of one run of the bench. `kind` is a kind of tick, `way` a way to run a package."""

    def __init__(
        self,
        artifacts: dict[str, Artifact],
        samples: Samples,
        calls: Calls,
        trust: tuple[float, float],
    ) -> None:
        self._artifacts = artifacts
        self._samples = samples
        self._calls = calls
        self._trust_seconds, self._trust_megabytes = trust
        self._ways = [way for way in (EMULATED, BARE) if (way, FRESH, OURS) in samples]

    def text(self, facts: str, consumer_reads: str, scale: Scale) -> str:
        book = Book.read()
        parts = [
            facts,
            "### Against the targets",
            self.targets(),
            "### Cold starts, in milliseconds",
            self.cold(),
            "### Warm, and memory",
            self.warm_and_memory(),
            "### Size, calls and bytes",
            self.sizes(),
            self.traffic(),
            f"### Billed seconds at {DEPLOYED} MB",
            self.seconds(book),
            f"### A month of one stack, in {book.document['currency']}",
            self.month(book),
            "### Many clients, one stack each",
            self.growth(book),
            self.scale(scale, book),
            "### What a consumer's read costs",
            consumer_reads,
        ]
        return "\n\n".join(parts)

    # The measured tables

    def targets(self) -> str:
        judged = self._judged()
        rows = []
        for one in judged:
            row = [
                one.measure,
                one.package,
                one.way,
                f"{one.found.median:.3f}",
                one.found.quartiles(3),
                f"{one.limit:.2f}",
                one.verdict,
            ]
            rows.append(row)
        head = ["measure", "ours divided by that of", "run as", "ratio", "quartiles", "at most", "verdict"]
        parts = [
            ABOUT_TICKS,
            table(head, rows),
            self._about_missed(judged),
            self._about_bytecode_in_other_zips(),
            self._about_zips(),
        ]
        return "\n\n".join(parts)

    def _judged(self) -> list[Judged]:
        judged = []
        for measure, package, limit in TARGETS:
            ways = [""] if measure == ZIP else self._ways
            for way in ways:
                found = self._ratio_of_ours(measure, package, way)
                judged.append(Judged(measure, package, way, found, limit))
        return judged

    def _about_missed(self, judged: list[Judged]) -> str:
        missed = [one for one in judged if one.is_missed]
        if not missed:
            return f"Ours misses none of these {len(judged)} targets."
        packages = dict.fromkeys(one.package for one in missed)
        names = " and ".join(f"*{package}*" for package in packages)
        text = f"Ours misses {len(missed)} of these {len(judged)} targets, against {names}."
        if COMPILED in packages:
            text += f" {self._about_bytecode()}"
        return text

    def _about_bytecode(self) -> str:
        """Return why the package with bytecode is the hardest to beat."""
        way = self._ways[0]
        naive, compiled, ours = (median(self._cold_starts(way, FRESH, name)) for name in (NAIVE, COMPILED, OURS))
        return (
            f"The reason is that bytecode alone brings the cold no-op of *{NAIVE}* from {naive:.0f} ms of CPU time to "
            f"{compiled:.0f} ms ({way}). Ours takes {ours:.0f} ms: what it leaves out of the libraries saves too "
            "little beyond that."
        )

    def _about_bytecode_in_other_zips(self) -> str:
        """Return what was not measured, and what it may be."""
        way = self._ways[0]
        found = self._cold_ratio(way, FRESH, COMPILED)
        limit = next(limit for measure, package, limit in TARGETS if (measure, package) == (COLD, LAYERED))
        return (
            f"The zips of *{RUNTIME_BOTO3}* and *{LAYERED}* have no bytecode, because `sam build` makes none. We did "
            f"not measure them with bytecode. They may then start as soon as *{COMPILED}*: ours would take "
            f"{found.median:.2f} of their CPU time ({way}), and their target of {limit:.2f} would be "
            f"{verdict(found, limit)}."
        )

    def _about_zips(self) -> str:
        megabytes = {name: artifact.zip_bytes / MEGABYTE for name, artifact in self._artifacts.items()}
        return (
            f"No target compares our zip with those that leave boto3 to the runtime. Ours has {megabytes[OURS]:.1f} "
            f"MB. Theirs have {megabytes[RUNTIME_BOTO3]:.1f} MB, and {megabytes[LAYERED]:.1f} MB if Powertools comes "
            "from its layer. Ours is larger, because it contains both libraries in pinned versions, and bytecode."
        )

    def cold(self) -> str:
        rows = []
        for way in self._ways:
            rows.append(self._cold_row(way, FRESH, NOTHING))
            for kind in SITUATIONS:
                rows += [self._cold_row(way, kind, package) for package in COMPARED]
        head = ["", "CPU time, median", "quartiles", "ours divided by it", "quartiles", "time on the clock"]
        return f"{table(head, rows)}\n\nNo target judges the time on the clock. It is here only for information."

    def _cold_row(self, way: str, kind: str, package: str) -> list[str]:
        spread = Spread.of(self._cold_starts(way, kind, package))
        wall = median([sample.wall for sample in self._samples[way, kind, package]])
        ratio_of_ours = self._cold_ratio(way, kind, package)
        return [
            f"{kind}, {package}, {way}",
            f"{spread.median:.0f}",
            spread.quartiles(),
            f"{ratio_of_ours.median:.2f}",
            ratio_of_ours.quartiles(2),
            f"{wall:.0f}",
        ]

    def warm_and_memory(self) -> str:
        head = [""]
        for way in self._ways:
            head += [f"{kind} peak, {way} (MB)" for kind in SITUATIONS]
        if EMULATED in self._ways:
            head += ["warm no-op, CPU (ms)", "quartiles"]
        rows = []
        for package in (NOTHING, *COMPARED):
            row = [package]
            for way in self._ways:
                row += [self._peak_cell(way, kind, package) for kind in SITUATIONS]
            if EMULATED in self._ways:
                warm = Spread.of([sample.warm for sample in self._samples[EMULATED, FRESH, package]])
                row += [f"{warm.median:.1f}", warm.quartiles(1)]
            rows.append(row)
        parts = [table(head, rows)]
        if EMULATED in self._ways:
            parts.append(self._about_warm())
        return "\n\n".join(parts)

    def _about_warm(self) -> str:
        ours = self._warm(OURS)
        theirs = [self._warm(package) for package in THEIRS]
        text = (
            f"In a warm process, which has run before, a no-op of ours takes {ours:.1f} ms of CPU time. The naive "
            f"functions take {min(theirs):.1f} to {max(theirs):.1f} ms each."
        )
        if ours > max(theirs):
            text += " So ours is slower there. Its one call reads both secrets, and theirs reads only the token."
        return text

    def _warm(self, package: str) -> float:
        """Return milliseconds of CPU."""
        return median([sample.warm for sample in self._samples[EMULATED, FRESH, package]])

    def _peak_cell(self, way: str, kind: str, package: str) -> str:
        if package == NOTHING and kind == DUE:
            return ""  # it is not run: it never refreshes
        return f"{Spread.of(self._peaks(way, kind, package)).median:.1f}"

    def sizes(self) -> str:
        ours = self._artifacts[OURS].zip_bytes
        rows = []
        for name, artifact in self._artifacts.items():
            if name == NOTHING:
                continue
            row = [
                name,
                f"{artifact.zip_bytes:,}",
                f"{ours / artifact.zip_bytes:.2f}",
                f"{artifact.unpacked_bytes:,}",
            ]
            rows.append(row)
        return table(["package", "zip, bytes", "ours divided by it", "unpacked, bytes"], rows)

    def traffic(self) -> str:
        rows = []
        for (package, kind), (aws, vendor) in self._calls.items():
            counts = [
                aws.requests,
                aws.connections,
                aws.bytes_out,
                aws.bytes_in,
                vendor.requests,
                vendor.bytes_out,
                vendor.bytes_in,
            ]
            rows.append([f"{kind}, {package}", *(f"{number:,}" for number in counts)])
        head = [
            "",
            "AWS calls",
            "TCP connections to AWS",
            "bytes to AWS",
            "bytes from AWS",
            "vendor calls",
            "bytes to the vendor",
            "bytes from the vendor",
        ]
        return table(head, rows)

    # The calculated tables

    def seconds(self, book: Book) -> str:
        rows = []
        for kind in SITUATIONS:
            ours = self._billed(OURS, kind, DEPLOYED, book).all
            for package in COMPARED:
                billed = self._billed(package, kind, DEPLOYED, book)
                cells = (billed.init, billed.processor, billed.network, billed.all, ours / billed.all)
                rows.append([f"{kind}, {package}", *(f"{cell:.2f}" for cell in cells)])
        head = ["", "init", "run: processor", "run: network", "billed", "ours divided by it"]
        parts = [
            self._about_seconds(book),
            about_assumptions(book),
            table(head, rows),
            self._about_longer(book),
        ]
        return "\n\n".join(parts)

    def _about_seconds(self, book: Book) -> str:
        share = f"{DEPLOYED}/{book.assumed('vcpu_memory_mb'):,.0f}"
        ours, naive = (self._tick(package, DUE).aws_calls for package in (OURS, NAIVE))
        return (
            "This is one cold tick, calculated from the medians. While a function starts, it has a whole processor. "
            f"While it runs, it has {share} of one. In the RIE and in bare processes, and so in the ratios above, it "
            "always has a whole one: on Lambda, expect the ratios of this table. A refresh of ours imports `requests` "
            f"while it runs, and makes {ours} AWS calls; the others import it while they start, and make {naive}. A "
            f"function refreshes {book.assumed('refreshes_per_month'):.0f} times a month."
        )

    def _about_longer(self, book: Book) -> str:
        """Return in which rows ours is billed for more seconds than another package."""
        longer = []
        for kind in SITUATIONS:
            ours = self._billed(OURS, kind, DEPLOYED, book).all
            for package in THEIRS:
                times = ours / self._billed(package, kind, DEPLOYED, book).all
                if round(times, 2) > 1:
                    longer.append(f"*{package}* for a {kind} ({times:.2f} times as many)")
        if not longer:
            return "No other package is billed for fewer seconds than ours."
        return f"Ours is billed for more seconds than {', and than '.join(longer)}."

    def month(self, book: Book) -> str:
        plans = [(OURS, memory) for memory in MEMORIES]
        plans += [(package, DEPLOYED) for package in THEIRS]
        head = ["", *(f"{package}, {memory} MB" for package, memory in plans)]
        best = cost.cheapest(
            self._tick(OURS, FRESH),
            self._tick(OURS, DUE),
            self._peak_megabytes(),
            book,
        )
        parts = [
            f"{about_prices(book)} Each column has all resources of our template, with this package and memory.",
            table(head, self._month_rows(plans, book)),
            extras(book),
            f"{self._about_trust()} {self._about_needed(book)} {about_best_memory(best)}",
        ]
        return "\n\n".join(parts)

    def _month_rows(self, plans: list[tuple[str, int]], book: Book) -> list[list[str]]:
        months = []
        for package, memory in plans:
            no_op = self._tick(package, FRESH)
            refresh = self._tick(package, DUE)
            months.append(cost.month(no_op, refresh, memory, book))
        rows = [[line, *(f"{month[line]:.6f}" for month in months)] for line in months[0]]
        free = [sum(month.values()) - month["dashboard"] for month in months]
        paid = [sum(month.values()) for month in months]
        rows.append(["**all**, if the dashboard is one of three free ones", *bold(free)])
        rows.append(["**all**, if the account has three others", *bold(paid)])
        for kind in SITUATIONS:
            seconds = [self._billed(package, kind, memory, book).all for package, memory in plans]
            rows.append([f"a cold {kind}, billed seconds", *(f"{value:.2f}" for value in seconds)])
        rows.append(self._is_large_enough_row(plans, book))
        return rows

    def _is_large_enough_row(self, plans: list[tuple[str, int]], book: Book) -> list[str]:
        least = cost.needed(self._peak_megabytes(), book)
        row = [f"has at least {least:.0f} MB"]
        for package, memory in plans:
            if package != OURS:
                row.append("")
            elif memory >= least:
                row.append("yes")
            else:
                row.append("no")
        return row

    def growth(self, book: Book) -> str:
        no_op = self._tick(OURS, FRESH)
        refresh = self._tick(OURS, DUE)
        memory = cost.cheapest(no_op, refresh, self._peak_megabytes(), book) or MEMORIES[-1]
        costs_head = [
            "clients, one stack each",
            f"{book.document['currency']} a month without dashboards",
            "with dashboards, three of them free",
            "AWS calls a second, spread over the hour",
        ]
        quotas_head = ["quota", "default", "one stack takes", "stacks at most", "source"]
        at_once = f"{STACKS[-1]:,} stacks in one second"
        rates_head = ["rate", "default", at_once, "times the default", "source"]
        parts = [
            table(costs_head, growth.costs(no_op, refresh, memory, book)),
            "AWS's default quotas limit how many stacks an account can have. The lowest limit comes first.",
            table(quotas_head, growth.limits(book)),
            "AWS's rates matter if all stacks run in the same second, as they do with one `cron(...)` for all.",
            table(rates_head, growth.rates(book)),
        ]
        return "\n\n".join(parts)

    def scale(self, measured: Scale, book: Book) -> str:
        """Return the part about many connections in one deployment."""
        no_op = self._tick(OURS, FRESH)
        deployment = Deployment(
            measured=measured,
            start=no_op.start,
            trust_seconds=self._trust_seconds,
            trust_megabytes=self._trust_megabytes,
            book=book,
        )
        month = cost.month(no_op, self._tick(OURS, DUE), DEPLOYED, book)
        page = ScalePage(
            deployment,
            cost_of_a_stack=sum(month.values()) - month["dashboard"],
            calls_of_one=no_op.aws_calls,
        )
        return page.text()

    # The figures in them

    def _ratio_of_ours(self, measure: str, package: str, way: str) -> Spread:
        if measure == ZIP:
            value = self._artifacts[OURS].zip_bytes / self._artifacts[package].zip_bytes
            return Spread(median=value, low=value, high=value)
        if measure == PEAK:
            return ratio(self._peaks(way, FRESH, OURS), self._peaks(way, FRESH, package))
        return self._cold_ratio(way, FRESH, package)

    def _cold_ratio(self, way: str, kind: str, package: str) -> Spread:
        ours = self._cold_starts(way, kind, OURS)
        theirs = self._cold_starts(way, kind, package)
        return ratio(ours, theirs)

    def _cold_starts(self, way: str, kind: str, package: str) -> list[float]:
        """Return milliseconds of CPU, one value per round."""
        return [sample.cpu for sample in self._samples[way, kind, package]]

    def _peaks(self, way: str, kind: str, package: str) -> list[float]:
        """Return megabytes, one value per round."""
        return [sample.peak / KILOBYTE for sample in self._samples[way, kind, package]]

    def _peak_megabytes(self) -> float:
        """Return the peak of a refresh of ours, plus the certificates, which are not read on loopback."""
        peaks = [Spread.of(self._peaks(way, DUE, OURS)).high for way in self._ways]
        return max(peaks) + self._trust_megabytes

    def _tick(self, package: str, kind: str) -> Tick:
        samples = self._samples[BARE, kind, package]
        python_start = median(self._cold_starts(BARE, FRESH, NOTHING))
        imports = median([sample.imports for sample in samples])
        first_run = median([sample.runs[0] for sample in samples])
        # However it is packed, the naive function makes the same calls.
        counted = NAIVE if package in THEIRS else package
        aws, vendor = self._calls[counted, kind]
        return Tick(
            start=(python_start + imports) / MILLISECOND,
            run=first_run / MILLISECOND,
            trust=self._trust_seconds,
            aws_calls=aws.requests,
            vendor_calls=vendor.requests,
            log_bytes=int(median([sample.log_bytes for sample in samples])),
        )

    def _billed(self, package: str, kind: str, memory: int, book: Book) -> Billed:
        return cost.billed(self._tick(package, kind), memory, book)

    def _about_needed(self, book: Book) -> str:
        least = cost.needed(self._peak_megabytes(), book)
        return (
            f"With them, a refresh of ours takes {self._peak_megabytes():.0f} MB at most. Lambda's own part is assumed "
            f"to be {book.assumed('lambda_own_mb'):.0f} MB, from memory. A function should use at most "
            f"{100 * book.assumed('most_of_memory_used'):.0f} % of its memory, so it needs at least {least:.0f} MB."
        )

    def _about_trust(self) -> str:
        return (
            f"Reading the trusted certificates takes {1_000 * self._trust_seconds:.0f} ms of CPU for each of two "
            f"libraries, and {self._trust_megabytes:.1f} MB for both."
        )


def about_prices(book: Book) -> str:
    months = " and ".join(book.months_of_reading())
    years = " and ".join(book.years_of_guides())
    return (
        f"Prices of {book.document['region']}: some were read on AWS's pages in {months}, the others are as public "
        f"guides of {years} cite them. `bench/prices.json` has the source of each."
    )


def about_assumptions(book: Book) -> str:
    """Return which of the figures behind the billed seconds were not measured."""
    call = 1_000 * book.assumed("network_seconds_per_aws_call")
    token_request = book.assumed("network_seconds_per_token_request")
    handshake = 1_000 * book.assumed("handshake_cpu_seconds_per_host")
    return (
        f"These figures are assumed, not measured: the network takes {call:.0f} ms for each AWS call and "
        f"{token_request} s for each token request, a TLS handshake takes {handshake:.0f} ms of the processor, and a "
        "second of this machine's processor does as much as a second of Lambda's. That a function has a whole "
        "processor while it starts is not in AWS's documentation. All seconds in the table depend on these "
        "assumptions, and the network's are nothing else. `bench/prices.json` says where each assumption is from."
    )


def about_best_memory(best: int | None) -> str:
    if best is None:
        return "None of these memories is large enough."
    return f"The cheapest of these memories that is large enough is {best} MB."


def extras(book: Book) -> str:
    """Return what else may cost something, besides the stack."""
    calls, calls_cost = cost.consumer(book)
    currency = book.document["currency"]
    seconds = book.assumed("consumer_reads_each_seconds")
    replica = book.price("secret_month")
    key = book.price("kms_key_month")
    key_calls = 10_000 * book.price("kms_call")
    return (
        f"In addition, each consumer process that reads every {seconds:.0f} s makes {calls:,.0f} calls a month, "
        f"{calls_cost:.4f} {currency}. A replica costs {replica:.2f} {currency} for each secret and region. A KMS key "
        f"of your own costs {key:.2f} {currency}, and {key_calls:.2f} {currency} for each 10,000 calls, including the "
        "consumers' calls."
    )


def median(values: Sequence[float]) -> float:
    return Spread.of(values).median


def bold(values: list[float]) -> list[str]:
    return [f"**{value:.4f}**" for value in values]


def write(text: str) -> None:
    """Put the text between the page's marks. Raises ValueError if a mark is missing."""
    page = PAGE.read_text()
    begin = page.index(BEGIN) + len(BEGIN)
    end = page.index(END)
    PAGE.write_text(f"{page[:begin]}\n\n{text}\n\n{page[end:]}")
