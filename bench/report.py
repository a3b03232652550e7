"""The tables, as Markdown: for the shell, and for docs/PERFORMANCE.md between its two marks."""

from __future__ import annotations

import datetime as dt
import os
import platform
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.artifacts import COMPILED, NAIVE, NOTHING, OURS
from bench.cost import DEPLOYED, MEMORIES, STACKS, Billed, Book, Tick, billed, cheapest, consumer, month, needed
from bench.growth import costs, limits, rates
from bench.rounds import BARE, EMULATED, Samples, Spread, ratio
from bench.situations import DUE, FRESH, SITUATIONS
from local import markdown
from scripts import ROOT

if TYPE_CHECKING:
    from bench.artifacts import Artifact
    from bench.meter import Counts

PAGE = ROOT / "docs" / "PERFORMANCE.md"
BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"
KILOBYTE = 1_024
COLD, NET, ZIP = "cold no-op", "cold no-op, net of nothing", "zip"
# Measure, package, most: what the package is held to, as ratios of ours to it.
TARGETS = (
    (COLD, NAIVE, 0.35),
    (NET, NAIVE, 0.35),
    (COLD, COMPILED, 0.70),
    (NET, COMPILED, 0.70),
    (ZIP, NAIVE, 0.40),
    ("peak memory of a no-op", NAIVE, 0.85),
)
Calls = dict[tuple[str, str], tuple["Counts", "Counts"]]


table = partial(markdown.table, rule="---:")


def facts(python: str, rounds: int, package: Artifact) -> str:
    """Return what the figures depend on, and nothing that names the machine."""
    model = platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        lines = [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    today = dt.datetime.now(dt.UTC).date().isoformat()
    system = f"{platform.system()} {platform.release()}"
    measured = f"{model}, {os.cpu_count()} cores, {system}, CPython {python}; {rounds} rounds on {today}."
    return f"{measured} The package's sha256 is `{package.sha256}`."


class Report:
    """All tables of one run of the bench."""

    def __init__(
        self, artifacts: dict[str, Artifact], samples: Samples, calls: Calls, trust: tuple[float, float]
    ) -> None:
        self._artifacts, self._samples, self._calls, self._trust = artifacts, samples, calls, trust
        self._ways = [way for way in (EMULATED, BARE) if (way, FRESH, OURS) in samples]

    def text(self, facts: str, reads: str) -> str:
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
            "### Many clients",
            self.growth(book),
            "### What a consumer's read costs",
            reads,
        ]
        return "\n\n".join(parts)

    def cold_of(self, way: str, where: str, name: str) -> list[float]:
        return [sample.cold for sample in self._samples[way, where, name]]

    def peaks(self, way: str, where: str, name: str) -> list[float]:
        return [sample.peak / KILOBYTE for sample in self._samples[way, where, name]]

    def ratio_to(self, measure: str, name: str, way: str) -> Spread:
        if measure == ZIP:
            whole = self._artifacts[OURS].zip_bytes / self._artifacts[name].zip_bytes
            return Spread(whole, whole, whole)
        of = self.cold_of if measure in {COLD, NET} else self.peaks
        floor = of(way, FRESH, NOTHING) if measure == NET else ()
        return ratio(of(way, FRESH, OURS), of(way, FRESH, name), floor)

    def targets(self) -> str:
        rows = []
        for measure, name, most in TARGETS:
            for way in self._ways[:1] if measure == ZIP else self._ways:
                found = self.ratio_to(measure, name, way)
                where = "" if measure == ZIP else way
                verdict = "met" if found.median <= most else "missed"
                rows.append([measure, name, where, f"{found.median:.3f}", spread(found, 3), f"{most:.2f}", verdict])
        return table(["ours to theirs", "theirs", "run as", "ratio", "quartiles", "at most", ""], rows)

    def cold(self) -> str:
        rows = []
        for way in self._ways:
            floor = self.cold_of(way, FRESH, NOTHING)
            rows.append([f"nothing, {way}", f"{Spread.of(floor).median:.0f}", spread(Spread.of(floor)), "", "", ""])
            for where in SITUATIONS:
                theirs = self.cold_of(way, where, NAIVE)
                for name in (NAIVE, COMPILED, OURS):
                    times = self.cold_of(way, where, name)
                    found, whole = Spread.of(times), ratio(times, theirs)
                    net = ratio(times, theirs, floor).median
                    cells = [
                        f"{found.median:.0f}",
                        spread(found),
                        f"{whole.median:.2f}",
                        spread(whole, 2),
                        f"{net:.2f}",
                    ]
                    rows.append([f"{where}, {name}, {way}", *cells])
        head = ["", "median", "quartiles", "ratio to naive", "quartiles", "net of nothing"]
        return table(head, rows)

    def warm_and_memory(self) -> str:
        rows = []
        for name in (NOTHING, NAIVE, COMPILED, OURS):
            row = [name]
            for way in self._ways:
                row += [f"{Spread.of(self.peaks(way, FRESH, name)).median:.1f}"]
                row += [f"{Spread.of(self.peaks(way, DUE, name)).median:.1f}" if name != NOTHING else ""]
            if EMULATED in self._ways:
                warm = [one for sample in self._samples[EMULATED, FRESH, name] for one in sample.warm]
                row += [f"{Spread.of(warm).median:.1f}", spread(Spread.of(warm), 1)]
            rows.append(row)
        head = ["", *[f"{where} peak, {way} (MB)" for way in self._ways for where in SITUATIONS]]
        return table([*head, *(["warm no-op (ms)", "quartiles"] if EMULATED in self._ways else [])], rows)

    def sizes(self) -> str:
        naive = self._artifacts[NAIVE].zip_bytes
        rows = [
            [name, f"{one.zip_bytes:,}", f"{one.zip_bytes / naive:.2f}", f"{one.unpacked_bytes:,}"]
            for name, one in self._artifacts.items()
            if name != NOTHING
        ]
        return table(["package", "zip, bytes", "ratio to naive", "unpacked, bytes"], rows)

    def traffic(self) -> str:
        rows = []
        for (name, where), (secrets, vendor) in self._calls.items():
            both = [secrets.requests, secrets.connections, secrets.bytes_out, secrets.bytes_in]
            both += [vendor.requests, vendor.bytes_out, vendor.bytes_in]
            rows.append([f"{where}, {name}", *(f"{one:,}" for one in both)])
        head = ["", "AWS calls", "connections", "bytes out", "bytes in", "vendor calls", "bytes out", "bytes in"]
        return table(head, rows)

    def tick(self, name: str, where: str) -> Tick:
        taken = self._samples[BARE, where, name]
        start, run, log = (
            Spread.of(values).median
            for values in (
                [one.imports / 1_000 for one in taken],
                [one.first / 1_000 for one in taken],
                [one.log_bytes for one in taken],
            )
        )
        # Compiled or not, the naive function makes the same calls.
        secrets, vendor = self._calls[NAIVE if name == COMPILED else name, where]
        # Python's own start, from the package that does nothing.
        start += Spread.of(self.cold_of(BARE, FRESH, NOTHING)).median / 1_000
        return Tick(start, run, self._trust[0], secrets.requests, vendor.requests, int(log))

    def peak(self) -> float:
        """Return megabytes: the most that a refresh took, and the certificates, which it had no need of here."""
        return max(Spread.of(self.peaks(way, DUE, OURS)).high for way in self._ways) + self._trust[1]

    def billed(self, name: str, where: str, memory: int, book: Book) -> Billed:
        return billed(self.tick(name, where), memory, book)

    def seconds(self, book: Book) -> str:
        rows = []
        for where in SITUATIONS:
            ours = self.billed(OURS, where, DEPLOYED, book).all
            for name in (NAIVE, COMPILED, OURS):
                one = self.billed(name, where, DEPLOYED, book)
                cells = (one.init, one.processor, one.network, one.all, ours / one.all)
                rows.append([f"{where}, {name}", *(f"{cell:.2f}" for cell in cells)])
        about = (
            "Of a cold tick, by calculation from the medians: what starts has a whole processor, what runs has "
            f"{DEPLOYED}/{book.assumed('vcpu_memory_mb'):,.0f} of one. The RIE and bare processes, and so the ratios "
            "above, give a whole one to both; expect these here of Lambda. Ours imports `requests` while it runs, at a "
            f"refresh alone: {book.assumed('refreshes_per_month'):.0f} times a month."
        )
        head = ["", "init", "run: processor", "run: network", "billed", "ours to it"]
        return f"{about}\n\n{table(head, rows)}"

    def month(self, book: Book) -> str:
        plans = [(OURS, memory) for memory in MEMORIES] + [(NAIVE, DEPLOYED), (COMPILED, DEPLOYED)]
        columns = [month(self.tick(name, FRESH), self.tick(name, DUE), memory, book) for name, memory in plans]
        rows = [[line, *(f"{column[line]:.6f}" for column in columns)] for line in columns[0]]
        sums = [(sum(column.values()) - column["dashboard"], column["dashboard"]) for column in columns]
        rows.append(["**all**, the dashboard one of three free ones", *(f"**{one:.4f}**" for one, _ in sums)])
        rows.append(["**all**, with three others in the account", *(f"**{sum(both):.4f}**" for both in sums)])
        for where in SITUATIONS:
            seconds = [self.billed(name, where, memory, book).all for name, memory in plans]
            rows.append([f"a cold {where}, billed seconds", *(f"{one:.2f}" for one in seconds)])
        least = needed(self.peak(), book)
        sound = ("yes" if memory >= least else "no" for memory in MEMORIES)
        rows.append([f"at least {least:.0f} MB", *sound, *[""] * (len(plans) - len(MEMORIES))])
        best = cheapest(self.tick(OURS, FRESH), self.tick(OURS, DUE), self.peak(), book)
        head = ["", *(f"{memory} MB" for memory in MEMORIES)]
        head += [f"{what} in our template, {DEPLOYED} MB" for what in ("naive's code", COMPILED)]
        cpu, memory = self._trust
        trust = (
            f"Trusted certificates: {1_000 * cpu:.0f} ms of CPU for each of two libraries, {memory:.1f} MB for both."
        )
        about = (
            f"{book.document['region']}, prices as read between {' and '.join(book.read_between())} (a year alone: as "
            "public guides of that year cite them): `bench/prices.json`, sources included."
        )
        return "\n\n".join(
            [about, table(head, rows), extras(book), f"{trust} The cheapest sound memory of these: {best} MB."]
        )

    def growth(self, book: Book) -> str:
        no_op, refresh = self.tick(OURS, FRESH), self.tick(OURS, DUE)
        memory = cheapest(no_op, refresh, self.peak(), book) or MEMORIES[-1]
        head = [
            "clients, one stack each",
            f"{book.document['currency']} a month without dashboards",
            "with them, three free",
            "AWS calls a second, spread over the hour",
        ]
        quotas = ["quota", "default", "a stack takes", "stacks", "source"]
        at_once = ["rate", "default", f"{STACKS[-1]:,} stacks in one second", "times the default", "source"]
        tables = (head, costs(no_op, refresh, memory, book)), (quotas, limits(book)), (at_once, rates(book))
        return "\n\n".join(table(*one) for one in tables)


def extras(book: Book) -> str:
    """Return what comes on top of a month, by what one has of it."""
    calls, cost = consumer(book)
    currency, each = book.document["currency"], book.assumed("consumer_reads_each_seconds")
    return (
        f"On top: each consumer process that reads every {each:.0f} s makes {calls:,.0f} calls a month, {cost:.4f} "
        f"{currency}; a replica is {book.price('secret_month'):.2f} {currency} for each secret and region; a KMS key "
        f"of one's own is {book.price('kms_key_month'):.2f} {currency}, and {10_000 * book.price('kms_call'):.2f} "
        f"{currency} for each 10,000 calls, the consumers' among them."
    )


def spread(found: Spread, digits: int = 0) -> str:
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def write(text: str) -> None:
    """Put the text between the page's marks; raises ValueError where it has none."""
    page = PAGE.read_text()
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:before]}\n\n{text}\n\n{page[after:]}")
