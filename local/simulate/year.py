"""One simulated year of the real handler, from one seed: `Year(seed, setup).play()`."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from handler.policy import CLOCK_DIFFERENCE_SECONDS, CREDENTIALS_REFUSED, RATE_LIMITED, Request
from handler.settings import Settings
from local.aws_lambda import TIMEOUT_SECONDS
from local.durations import DAY, HOUR, MINUTE
from local.emulators.token_endpoint import Vendor
from local.simulate.aws_secrets import CREDENTIALS, TOKEN, Client, Store
from local.simulate.consumers import Consumers, Outage
from local.simulate.engine import Engine
from local.simulate.invariants import Invariants
from local.simulate.network import API_URL, AUDIENCE, LOSING, OUTAGES, TOKEN_URL, WRONG_URL, Grant, Line, Skewed, carry
from local.simulate.people import Operator
from local.simulate.rates import REALISTIC, Rates, arrivals
from local.simulate.runtime import Act, Lambda, Outcome, Process, refresh

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z
PAUSES, LONGEST_PAUSE = {CREDENTIALS_REFUSED, RATE_LIMITED}, 2 * HOUR  # of the ledger, after which it asks again
# Why consumers have no token: the first of these that befell since the last one was acquired.
CAUSES = (
    "client deactivated at once",
    "settings mistyped",
    "second party",
    "limit overridden",
    "token lost",
    "vendor down",
    "Secrets Manager down",
    "KMS key denied",
    "writes denied",
    "schedule down",
    "credentials mistyped",
)
OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a year is played with."""

    rates: Rates = REALISTIC
    period: float = HOUR  # seconds from tick to tick
    standby: bool = True
    probe: bool = False
    clocks_apart: float = 5.0  # seconds, at most, between ours and the vendor's
    skew: float = 0.5  # seconds, at most, between the true time and one process's
    days: int = 365
    settings: dict[str, Any] = field(default_factory=dict)
    act: Act = refresh  # what an invocation does
    forgets: bool = False  # the warm process forgets what it could not save


@dataclass(slots=True)
class Figures:
    """What came of a year; times in seconds."""

    seed: int
    days: int
    trace: str = ""
    careful: float = 0.0
    plain: float = 0.0
    outages: list[Outage] = field(default_factory=list)
    published: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    requests: int = 0
    calls: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    most_versions: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


class Wiring(NamedTuple):
    """How the handler reaches both services: what makes its AWS client, and what carries its token requests."""

    connect: Callable[[Store, Process, random.Random], Any]
    carry: Callable[[Engine, Line, random.Random], AbstractContextManager[None]]


DIRECT = Wiring(Client, carry)


class Year:
    """Everything of one seed; `lines` has the trace, for whoever wants to look into the year."""

    def __init__(self, seed: int, setup: Setup, wiring: Wiring = DIRECT, *, keeps_lines: bool = False) -> None:
        self.setup, self._wiring = setup, wiring
        # What happens when is the same whatever the handler does, so that ablations are played in the same year.
        self._plan, self._rng = random.Random(f"plan {seed}"), random.Random(f"line {seed}")
        self.engine = Engine(START)
        self._hash, self.lines, self._keeps_lines = hashlib.sha256(), list[str](), keeps_lines
        apart = self._plan.uniform(-1, 1) * setup.clocks_apart
        vendor = Vendor(
            Skewed(self.engine, apart),  # type: ignore[arg-type]
            {},
            refusals_extend=self._plan.random() < 0.5,
            token_format=self._plan.choice(["jwt", "opaque"]),
        )
        vendor.report_expires_in = self._plan.choice([86_400, 86_400, 2_592_000, 0])
        self.line = Line(self.engine, self._rng, setup.rates, vendor)
        self.line.on_request, self.line.on_issue = self._asked, self._issued
        self.store = Store(self.engine, self._rng, setup.rates, self._written)
        for name in (CREDENTIALS, TOKEN):
            self.store.call("create_secret", Name=name)
        self.function = Lambda(self.engine, self._new_process, self._ended)
        self.operator = Operator(
            self.engine,
            random.Random(f"people {seed}"),
            self.store,
            self.line,
            self.function,
            with_standby=setup.standby,
        )
        self.consumers = Consumers(self.engine, self.line.good_until, self._cause)
        self.operator.on_change = self.consumers.change
        self.invariants = Invariants(self.store)
        self.figures = Figures(seed, setup.days)
        self._settings = Settings(
            CREDENTIALS, TOKEN, token_url=TOKEN_URL, **{"probe_url": API_URL if setup.probe else "", **setup.settings}
        )
        self._right_settings = self._settings
        self._kill_chance = setup.rates.run_killed
        self._befell: dict[str, float] = {}
        self._over_at: dict[str, float] = {}  # when the last outage of a kind that has begun ends
        self._is_scheduled = True
        self._acquired_at = START
        self._published: set[str] = set()
        self._killed: set[str] = set()  # tokens that were in a run when it was killed
        self._tokens = deque[str](maxlen=3)  # the last ones

    def play(self) -> Figures:
        """Play it, then end all faults and see whether it heals."""
        end = START + self.setup.days * DAY
        self.operator.begin()
        self._arrange(end)
        with self._wiring.carry(self.engine, self.line, self._rng):
            self._begin(end)
            self.engine.play(end)
            self._heal(end)
        self.consumers.change()
        return self._figures()

    def _begin(self, end: float) -> None:
        self._tick(0, end)

    def _arrange(self, end: float) -> None:
        """Put what befalls into time: outages, people, the second party."""
        rates, plan, engine = self.setup.rates, self._plan, self.engine
        for kind, begin, seconds in (
            ("vendor", rates.vendor_down_minutes, (5 * MINUTE, 30 * MINUTE)),
            ("vendor", rates.vendor_down_hours, (HOUR, 6 * HOUR)),
            ("vendor", rates.vendor_down_day, (20 * HOUR, 28 * HOUR)),
            ("aws", rates.aws_down_minutes, (5 * MINUTE, 30 * MINUTE)),
            ("aws", rates.aws_down_hours, (2 * HOUR, 8 * HOUR)),
            ("kms", rates.kms_denied, (HOUR, 2 * HOUR)),
            ("writes", rates.writes_denied, (HOUR, 2 * HOUR)),
            ("schedule", rates.schedule_down, (HOUR, 6 * HOUR)),
            ("settings", rates.settings_mistyped, (10 * MINUTE, 4 * HOUR)),
        ):
            for at in [*arrivals(plan, begin, START, end)]:
                self._outage(kind, at, at + plan.uniform(*seconds))
        for at in arrivals(plan, rates.second_party, START, end):
            engine.at(at, self._second_party)
        for at in arrivals(plan, rates.leaked, START, end):
            engine.at(at, self._leak)
        for at in arrivals(plan, rates.rotations, START, end):
            wrong, back = plan.random() < rates.mistyped, plan.random() < rates.rolled_back
            engine.at(at, partial(self._rotate, is_mistyped=wrong, is_rolled_back=back))
        for at in arrivals(plan, rates.forced, START, end):
            engine.at(at, self.operator.force)
        for at in arrivals(plan, rates.overridden, START, end):
            engine.at(at, partial(self._override, is_reset=plan.random() < 0.5))

    def _outage(self, kind: str, begin: float, end: float) -> None:
        how, wrong_url = self._plan.choice(OUTAGES), self._plan.random() < 0.5

        def turn(*, is_on: bool) -> None:
            if kind == "vendor":
                self._befall("vendor down")
                self.line.outage = how if is_on else ""
            elif kind == "settings":
                self._befall("settings mistyped")
                right = self._right_settings
                wrong_audience = replace(right, audience=AUDIENCE + "v2")
                wrong = replace(right, token_url=WRONG_URL) if wrong_url else wrong_audience
                self._settings = wrong if is_on else right
                self.function.deploy()
            elif kind == "schedule":
                self._befall("schedule down")
                self._is_scheduled = not is_on
            elif kind == "writes":
                self._befall("writes denied")
                self.store.is_read_only = is_on
            else:
                self._befall("Secrets Manager down" if kind == "aws" else "KMS key denied")
                if kind == "aws":
                    self.store.is_down = is_on
                else:
                    self.store.is_denied = is_on
                self.consumers.set_readable(is_readable=not (self.store.is_down or self.store.is_denied))

        def start() -> None:
            self._over_at[kind] = max(end, self._over_at.get(kind, 0.0))
            turn(is_on=True)

        def over() -> None:
            if self.engine.now >= self._over_at[kind]:  # of several at once the last to end
                turn(is_on=False)

        self.engine.at(begin, start)
        self.engine.at(end, over)

    def _tick(self, number: int, end: float) -> None:
        """Plan one tick of the schedule, with what may befall it."""
        rates, plan, at = self.setup.rates, self._plan, START + number * self.setup.period
        chances = plan.random(), plan.random(), plan.random()
        late = plan.uniform(0, 20 * MINUTE) if chances[1] < rates.tick_late else plan.uniform(0, MINUTE)
        if at >= end:
            return
        if chances[0] >= rates.tick_missing:
            self.engine.at(at + late, self._invoke)
        if chances[2] < rates.run_doubled:
            again = at + late + plan.choice([0.0, plan.uniform(0, 0.05), plan.uniform(0, 20)])
            self.engine.at(again, self._invoke)
        self.engine.at(at + self.setup.period - 1, lambda: self._tick(number + 1, end))

    def _invoke(self) -> None:
        if self._is_scheduled:
            self.function.invoke(Request())

    def _heal(self, end: float) -> None:
        self._kill_chance = 0.0
        self._settings = self._right_settings
        self.function.deploy()
        self.line.calm()
        self.store.calm()
        self.operator.put_right()
        self.consumers.set_readable(is_readable=True)
        ledger = self.invariants.ledger()
        slots = ledger.get("slots", {}).values()
        pauses = [ledger.get("retry_at", 0), *(one["not_before"] for one in slots if one["reason"] in PAUSES)]
        pause = max(0.0, min(max(pauses) - end, LONGEST_PAUSE))
        at, until = end + pause, end + pause + self.setup.period + self._lock_seconds()
        closed: list[bool] = []  # at each tick: whether the vendor had no slot for any client
        while at < until:
            self.engine.at(at, lambda: closed.append(all(map(self._has_no_slot, self.operator.clients))))
            self.engine.at(at, lambda: self.function.invoke(Request()))
            at += self.setup.period
        self.engine.play(until)
        is_good = self.line.is_accepted(self.invariants.current_token) or closed[-1]
        self.invariants.expect("heals", self.engine.now, fact=is_good, example=str(ledger))

    def _lock_seconds(self) -> int:
        settings = self._right_settings
        return settings.acquire_timeout_seconds + settings.write_reserve_seconds + CLOCK_DIFFERENCE_SECONDS

    def _has_no_slot(self, client_id: str) -> bool:
        """Say whether the vendor has none for it, or refused it one: that refusal may have begun another interval."""
        ledger = self.invariants.ledger()
        slot = ledger.get("slots", {}).get(client_id) or {}
        was_refused = slot.get("reason") == RATE_LIMITED and slot["not_before"] > self.engine.now
        return was_refused or bool(self.line.vendor.describe()["clients"][client_id]["limit_clears_at"])  # type: ignore[index]

    def _befall(self, cause: str) -> None:
        self._befell[cause] = self.engine.now
        self._note(cause)

    def _second_party(self) -> None:
        self._befall("second party")
        self.operator.use_elsewhere()

    def _override(self, *, is_reset: bool) -> None:
        self._befall("limit overridden")
        self.operator.override_limit(is_reset=is_reset)

    def _leak(self) -> None:
        if self.operator.leak():
            self._befall("client deactivated at once")

    def _rotate(self, *, is_mistyped: bool, is_rolled_back: bool) -> None:
        self._note("rotation")
        if self.operator.rotate(is_mistyped=is_mistyped, is_rolled_back=is_rolled_back) and is_mistyped:
            self._befall("credentials mistyped")

    def _new_process(self) -> Process:
        return Process(
            self.engine,
            self._rng,
            self._settings,
            connect=lambda process: self._wiring.connect(self.store, process, self._rng),
            kill_chance=lambda: self._kill_chance,
            act=self.setup.act,
            skew=self.setup.skew,
        )

    def _asked(self, process: Process, client_id: str) -> None:
        now, operator = self.engine.now, self.operator
        is_told = process.may_override and client_id in {clients[0] for clients in self._clients_of_a_run()}
        process.may_override = False
        self.invariants.asked(now, process, client_id, self.line.in_flight, operator.version_id, is_told=is_told)
        self._note(f"asks as {client_id}")

    def _written(self, operation: str, params: dict[str, Any]) -> None:
        process: Process = self.engine.current
        process.writes += 1
        clients = {one for clients in self._clients_of_a_run() for one in clients}
        document = self.invariants.written(self.engine.now, operation, process, clients)
        self._note(f"{operation} {params.get('VersionStages') or params.get('VersionStage')}")
        token = document and document.get("access_token")
        if document and token:
            self._published.add(token)
            self.consumers.publish(token)
            self._acquired_at = max(self._acquired_at, self.line.grants[token].at)

    def _clients_of_a_run(self) -> list[list[str]]:
        """Return what any run that goes on now may have read, primary first."""
        return self.operator.clients_since(self.engine.now - TIMEOUT_SECONDS)

    def _ended(self, process: Process, outcome: Outcome, began: float) -> None:
        if self.setup.forgets:
            process.keeper.unsaved.clear()
        process.delivered = [token for token in process.delivered if self._is_owed(token)]
        had = filter(self._is_owed, (*process.delivered, *process.issued))
        if outcome.word == "Killed" and (lost := {*had}):
            self._befall("token lost")
            self._killed |= lost
        tokens = {*self._tokens, self.invariants.current_token} - {""}
        secrets = self.operator.secrets | tokens | process.unsaved
        self.invariants.ended(self.engine.now, process, outcome, {*process.delivered}, secrets)
        self.figures.runs[outcome.word] += 1
        self._note(f"{began:.3f} {outcome.word} {outcome.reason} {outcome.result.get('version_id')}")

    def _is_owed(self, token: str) -> bool:
        """Say whether consumers could still make use of a token that is not out, and of no newer one of its client."""
        grant = self.line.grants[token]
        is_superseded = self.invariants.newest(grant.client_id) >= grant.at - 2 - 2 * self.setup.skew
        # A JWT says when it ends by the vendor's clock.
        is_over = grant.expires_at <= self.engine.now + self.setup.clocks_apart + 10
        return not (token in self._published or is_superseded or is_over)

    def _issued(self, grant: Grant) -> None:
        self._tokens.append(grant.token)
        if grant.fault in LOSING:
            self._befall("token lost")

    def _cause(self) -> str:
        """Return why consumers have no good token, as far as the year knows."""
        if self.line.outage:
            self._befell["vendor down"] = self.engine.now
        since = [cause for cause in CAUSES if self._befell.get(cause, 0.0) >= self._acquired_at]
        return next(iter(since), OTHERWISE)

    def _note(self, text: str) -> None:
        line = f"{self.engine.now:.3f} {text}"
        self._hash.update(line.encode())
        if self._keeps_lines:
            self.lines.append(line)

    def _loss(self, grant: Grant) -> str:
        if grant.fault in LOSING:
            return grant.fault
        return "process killed" if grant.token in self._killed else "could not be saved"

    def _figures(self) -> Figures:
        figures, careful, plain = self.figures, self.consumers.careful, self.consumers.plain
        figures.trace = self._hash.hexdigest()[:16]
        figures.careful, figures.plain = careful.availability, plain.availability
        figures.outages = careful.outages
        grants = self.line.grants.values()
        held = {token for one in self.function.processes for token in one.unsaved}
        missing = [grant for grant in grants if grant.token not in self._published | held]
        figures.lost = Counter(map(self._loss, missing))
        figures.published = len(self._published)
        figures.refusals, figures.requests, figures.calls = self.line.refusals, self.line.requests, self.store.calls
        figures.most_versions, figures.broken = self.invariants.most_versions, self.invariants.broken
        figures.examples = self.invariants.examples
        return figures
