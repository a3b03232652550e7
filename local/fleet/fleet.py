"""A fleet in virtual time: `Fleet(setup).play()`."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from handler.errors import StoreError
from handler.secrets_manager import CURRENT
from handler.settings import Settings
from local.durations import HOUR, MINUTE
from local.fleet.function import Function, Process, World
from local.fleet.luck import RandomOfWorker, Steady
from local.fleet.plan import PlannedStore, plan_outages, plan_stores, plan_sweeps
from local.fleet.rated_secrets import RatedSecretsManager
from local.fleet.records import Span, StoreRecord, SweepRecord
from local.fleet.stores import PREFIX, Stores, token_secret
from local.fleet.vendor import FleetNetwork, Teams
from local.simulate.aws_secrets import RetryingClient
from local.simulate.engine import Engine
from local.simulate.host import KILLED
from local.simulate.network import TOKEN_URL, VendorClock, replace_exchange
from local.simulate.plan import START

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from handler.model import Client
    from local.fleet.function import Event
    from local.fleet.plan import FleetSetup, PlannedOutage
    from local.simulate.host import RunEnd
    from local.simulate.network import Grant

# The ledger pauses after faults for so long at most: our own pause, and what a 429 asks for.
MAX_OWN_PAUSE_SECONDS = 45 * MINUTE
MAX_ASKED_PAUSE_SECONDS = 2 * HOUR
# A client that has lost a token can get another one when the vendor's interval, counted from its next refused request,
# and our margin are over.
MISLAID_SECONDS = {"client": 20 * HOUR + 15 * MINUTE, "account": 15 * MINUTE}
DENIED_SECONDS = (MINUTE, 5 * MINUTE)
SAVING_SECONDS = 3 * MINUTE  # from a token's issue until its run gives up saving it
LAST_RUNS_SECONDS = 30 * MINUTE  # after the end, in which no sweep begins any more


class Fleet:
    """The world of one seed. `records` are the stores by name, also those that have left."""

    def __init__(self, setup: FleetSetup, stores: Iterable[PlannedStore] | None = None) -> None:
        """`stores`: those that are played, if not all of the plan."""
        self.setup = setup
        self.records: dict[str, StoreRecord] = {}
        self.sweeps: list[SweepRecord] = []
        self.runs: Counter[str] = Counter()  # of connections, by how they ended
        self.pages_needed = 0  # that the surveys had to read, if nothing failed
        self.published: set[str] = set()
        self._planned = list(plan_stores(setup) if stores is None else stores)
        self._by_principal: dict[str, StoreRecord] = {}
        self._faulty: set[str] = set()  # tokens whose process was killed, or that could not be saved
        self._rngs: dict[str, random.Random] = {}
        self.engine = Engine(START)
        self._build_services()

    def _build_services(self) -> None:
        setup = self.setup
        engine = self.engine
        rng = RandomOfWorker(engine)
        clock: Any = VendorClock(engine, offset=0.0)
        self.teams = Teams(clock)
        self.network = FleetNetwork(engine, rng, setup.rates, self.teams, on_fault=self._on_fault)
        self.network.on_request = self._on_request
        self.network.on_issue = self._on_issue
        self.network.on_limited = self._on_limited
        self.secrets_manager = RatedSecretsManager(clock, engine, rng, setup.rates, self._on_write, _ignore_lag)
        self.stores = Stores(engine, self.secrets_manager, self.teams, self._on_join, self._on_leave)
        world = World(
            make_client=lambda process: RetryingClient(self.secrets_manager, process, rng),
            random_of=self._random_of,
            kill_chance=lambda: setup.rates.run_killed,
            hand_over=self._hand_over,
            hand_over_seconds=setup.hand_over_seconds,
        )
        settings = Settings(connections_prefix=PREFIX, token_url=TOKEN_URL)
        self.function = Function(
            engine,
            random.Random(f"{setup.seed} queue"),
            setup.concurrency,
            new_process=lambda: Process(engine, settings, world),
            on_end=self._on_end,
        )

    def play(self) -> Iterator[float]:
        """Play it. Yields the time after each hour."""
        for store in self._planned:
            self.stores.arrange(store)
        for outage in plan_outages(self.setup):
            self.engine.at(outage.begin, partial(self._begin_outage, outage))
            self.engine.at(outage.end, self._end_outage)
        for at in plan_sweeps(self.setup):
            self.engine.at(at, self.function.invoke)
        with replace_exchange(self.engine, self.network, random.Random()):
            while self.engine.now < self.setup.end:
                self.engine.run_until(min(self.engine.now + HOUR, self.setup.end))
                yield self.engine.now
            self.engine.run_until(self.setup.end + LAST_RUNS_SECONDS)
        self._note_mislaid_tokens()

    @property
    def present(self) -> list[StoreRecord]:
        """The stores that are there now."""
        return [record for record in self.records.values() if record.left_at is None]

    @property
    def common_troubles(self) -> list[Span]:
        """The times in which no store could get a token, and the ledgers' pauses after them."""
        troubles = [Span(outage.begin, outage.end) for outage in plan_outages(self.setup)]
        troubles += self.secrets_manager.bursts
        return [Span(trouble.begin, trouble.end + MAX_OWN_PAUSE_SECONDS) for trouble in troubles]

    @property
    def lost(self) -> list[Grant]:
        """The tokens that were issued and that nobody has."""
        known = self.published.union(*[process.unsaved() for process in self.function.processes])
        return [grant for grant in self.network.grants.values() if grant.token not in known]

    def is_explained(self, grant: Grant) -> bool:
        """Say whether a token was lost because of a fault."""
        if grant.fault or grant.token in self._faulty:
            return True
        saving = Span(grant.at, grant.at + SAVING_SECONDS)
        return any(saving.overlaps(burst) for burst in self.secrets_manager.bursts)

    def _random_of(self, connection: str) -> random.Random:
        if connection not in self._rngs:
            seed = f"{self.setup.seed} runs of {connection or 'the sweeps'}"
            is_steady = self.setup.is_sweep_steady and not connection
            self._rngs[connection] = Steady() if is_steady else random.Random(seed)
        return self._rngs[connection]

    # What happens to the stores

    def _on_join(self, store: PlannedStore, client: Client) -> None:
        record = StoreRecord(name=store.name, generation=store.generation, joined_at=self.engine.now)
        self.records[store.name] = record
        self._by_principal[client.principal] = record
        record.troubles += [Span(mistake.begin, mistake.end) for mistake in store.mistakes]

    def _on_leave(self, store: PlannedStore) -> None:
        self.records[store.name].left_at = self.engine.now

    def _begin_outage(self, outage: PlannedOutage) -> None:
        self.network.outage = outage.fault

    def _end_outage(self) -> None:
        ongoing = [outage for outage in plan_outages(self.setup) if outage.begin <= self.engine.now < outage.end]
        if not ongoing:
            self.network.outage = ""

    # What the runs do

    def _hand_over(self, name: str) -> None:
        self.records[name].note_due(self.engine.now)
        if self._random_of(name).random() < self.setup.hand_over_failures:
            self._note_trouble(name, 0.0)
            raise StoreError("Lambda, invoke: TooManyRequestsException", code="TooManyRequestsException")
        self._note(name, "is handed over")
        self.function.invoke(name)

    def _on_fault(self) -> None:
        self._note_trouble(self.engine.current_worker.connection, MAX_ASKED_PAUSE_SECONDS)

    def _on_request(self, _: Any, principal: str) -> None:
        self._note(self._by_principal[principal].name, "asks")

    def _on_issue(self, grant: Grant) -> None:
        name = self._by_principal[grant.principal].name
        self._note(name, f"is issued a token {grant.fault}")
        if self._random_of(name).random() < self.setup.unsaved_tokens:
            self._deny_writes(name)
            self._faulty.add(grant.token)

    def _deny_writes(self, name: str) -> None:
        """Let nobody write the token for some minutes: the process that has acquired it has to keep it."""
        secret = token_secret(name)
        seconds = self._random_of(name).uniform(*DENIED_SECONDS)
        self.secrets_manager.deny_key(secret)
        self.engine.at(self.engine.now + seconds, partial(self.secrets_manager.allow_key, secret))
        self._note_trouble(name, seconds)
        self.records[name].mislaid_tokens += 1

    def _on_limited(self, principal: str) -> None:
        self._by_principal[principal].refused_for_limit += 1

    def _on_write(self, operation: str, params: dict[str, Any]) -> None:
        name = params["SecretId"].removeprefix(PREFIX).rpartition("/")[0]
        record = self.records[name]
        self._note(name, f"{operation} {params.get('VersionStages') or params.get('VersionStage')}")
        if operation != "put_secret_value":
            return
        record.note_put(params["ClientRequestToken"], self.engine.now)
        if CURRENT not in params["VersionStages"]:
            return
        token = json.loads(params["SecretString"])["access_token"]
        if token in self.published:
            return
        self.published.add(token)
        grant = self.network.grants[token]
        record.note_published(self.engine.now, grant.expires_at)
        if self._by_principal[grant.principal] is not record:
            record.foreign_tokens += 1

    def _on_end(self, process: Process, event: Event, end: RunEnd) -> None:
        if end.outcome == KILLED:
            self._faulty |= {*process.delivered, *process.issued, *process.unsaved()}
        process.delivered = []
        if not event.connection:
            self._note_sweep(process, end)
            return
        self.runs[end.outcome] += 1
        version_id = end.result.get("version_id")
        self._note(event.connection, f"{process.began_at:.3f} {end.outcome} {end.reason} {version_id}")
        if end.outcome == KILLED:
            self._note_trouble(event.connection, MAX_OWN_PAUSE_SECONDS)
        if end.outcome == "waiting":  # for the vendor's interval, or for a pause: nobody may ask yet
            self.records[event.connection].due_since = None

    def _note_sweep(self, process: Process, end: RunEnd) -> None:
        now = self.engine.now
        present = self.present
        self.pages_needed += 1 + len(present) // 10  # of 20 secrets
        self.sweeps.append(
            SweepRecord(
                at=process.began_at,
                seconds=now - process.began_at,
                outcome=end.outcome,
                connections=len(present),
                handed_over=end.result.get("handed_over", 0),
                problems=len(end.result.get("problems", [])),
                lives=sorted(record.seconds_remaining(now) for record in present if record.covered),
            )
        )

    def _note_trouble(self, name: str, seconds: float) -> None:
        now = self.engine.now
        if name:
            self.records[name].troubles.append(Span(now, now + seconds))

    def _note_mislaid_tokens(self) -> None:
        for grant in self.network.grants.values():
            if grant.token in self.published:
                continue
            record = self._by_principal[grant.principal]
            record.mislaid_tokens += 1
            record.troubles.append(Span(grant.at, grant.at + MISLAID_SECONDS[record.generation]))

    def _note(self, name: str, text: str) -> None:
        self.records[name].lines.append(f"{self.engine.now:.3f} {text}")


def _ignore_lag() -> None:
    """A read that lags shows nothing new."""
