"""One simulated year of the real handler, from one seed: `Year(seed, setup).play()`."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from handler.ledger import (
    BACKING_OFF,
    CREDENTIALS_REFUSED,
    PACE_MAX_LEVEL,
    PACE_SECONDS_PER_CLAIM,
    RATE_LIMITED,
)
from handler.policy import Request
from handler.settings import Settings
from local.aws_lambda import TIMEOUT_SECONDS
from local.durations import HOUR
from local.emulators.token_endpoint import Vendor
from local.simulate import causes
from local.simulate.aws_secrets import (
    CREDENTIALS_SECRET,
    MAX_LAG_SECONDS,
    TOKEN_SECRET,
    RetryingClient,
    SimulatedSecretsManager,
)
from local.simulate.consumers import Consumers
from local.simulate.engine import Engine
from local.simulate.figures import Figures, TokenRecords, Trace
from local.simulate.host import KILLED, RunEnd
from local.simulate.invariants import Invariants
from local.simulate.network import (
    API_URL,
    AUDIENCE,
    TOKEN_LOSING_FAULTS,
    TOKEN_URL,
    WRONG_TOKEN_URL,
    Grant,
    Network,
    VendorClock,
    replace_exchange,
)
from local.simulate.once import RememberingSecretsManager, remember_results
from local.simulate.people import Operator, TokenWriter
from local.simulate.plan import (
    START,
    Plan,
    PlannedHandWrite,
    PlannedOutage,
    PlannedOverride,
    PlannedRotation,
    PlannedStorm,
    Setup,
)
from local.simulate.runtime import Lambda, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

# For these reasons the ledger pauses a client. The pauses that count end after at most so long.
PAUSING_REASONS = {BACKING_OFF, CREDENTIALS_REFUSED, RATE_LIMITED}
MAX_PAUSE_SECONDS = 2 * HOUR
NO_TOKEN = "null"  # what consumers take from a document whose token is null


class Wiring(NamedTuple):
    """How the handler reaches both services.

    `make_client` makes a process's AWS client. `reroute` has the network carry the token requests for the length of a
    block. `secrets_manager` is the kind of Secrets Manager.
    """

    make_client: Callable[[SimulatedSecretsManager, Process, random.Random], Any]
    reroute: Callable[[Engine, Network, random.Random], AbstractContextManager[None]]
    secrets_manager: type[SimulatedSecretsManager] = SimulatedSecretsManager


@contextmanager
def _reroute_in_this_process(engine: Engine, network: Network, rng: random.Random) -> Iterator[None]:
    with replace_exchange(engine, network, rng), remember_results():
        yield


DIRECT = Wiring(
    make_client=RetryingClient,
    reroute=_reroute_in_this_process,
    secrets_manager=RememberingSecretsManager,
)


class _OutageSwitch(Protocol):
    def __call__(self, outage: PlannedOutage, /, *, is_on: bool) -> None: ...


class Year:
    """The whole world of one seed. `trace.lines` tells all that happened, if `keeps_lines`."""

    def __init__(self, seed: int, setup: Setup, wiring: Wiring = DIRECT, *, keeps_lines: bool = False) -> None:
        self.setup = setup
        self._seed = seed
        self._wiring = wiring
        self._plan = Plan(seed, setup)
        self._rng = random.Random(f"line {seed}")
        self.engine = Engine(START)
        self.trace = Trace(keeps_lines=keeps_lines)
        self._build_services()
        self._build_people()
        self._right_settings = Settings(
            credentials_secret_id=CREDENTIALS_SECRET,
            token_secret_id=TOKEN_SECRET,
            token_url=TOKEN_URL,
            **{"probe_url": API_URL if setup.probe else "", **setup.settings},
        )
        self._settings = self._right_settings
        self._kill_chance = setup.rates.run_killed
        self._is_scheduled = True
        self._causes = causes.Causes()
        self._outage_ends_at: dict[str, float] = {}  # by kind, of the outages that have begun
        self._tokens = TokenRecords()
        self._is_written_by_hand = False  # what is current
        self._acquired_at = START  # when the newest published token was acquired
        self._figures = Figures(seed=seed, days=setup.days)

    def _build_services(self) -> None:
        plan = self._plan
        vendor = Vendor(
            VendorClock(self.engine, plan.vendor_clock_offset),  # type: ignore[arg-type]
            {},
            refusals_extend=plan.refusals_extend,
            token_format=plan.token_format,
        )
        vendor.report_expires_in = plan.reported_expires_in
        self.network = Network(self.engine, self._rng, self.setup.rates, vendor)
        self.network.on_request = self._on_request
        self.network.on_issue = self._on_issue
        self.network.on_limit = self._on_limit
        self.secrets_manager = self._wiring.secrets_manager(
            self.engine,
            self._rng,
            self.setup.rates,
            self._on_write,
            self._on_lag,
            labels_first_version=plan.labels_first_version,
        )
        self.secrets_manager.call("create_secret", Name=CREDENTIALS_SECRET)
        self.secrets_manager.call("create_secret", Name=TOKEN_SECRET)
        self.invariants = Invariants(self.secrets_manager, self.network.is_accepted, self.network.ends_at)
        self.function = Lambda(self.engine, self._new_process, self._on_end)

    def _build_people(self) -> None:
        self.operator = Operator(
            self.engine,
            random.Random(f"people {self._seed}"),
            self.secrets_manager,
            self.network,
            self.function,
            with_standby=self.setup.standby,
            with_accounts=self.setup.accounts == "service",
        )
        self.token_writer = TokenWriter(self.secrets_manager, self._on_hand_write)
        self.consumers = Consumers(self.engine, self.network.good_until, self._cause)
        self.operator.on_deactivate = self.consumers.update
        self.operator.on_unblock = self._on_unblock

    def play(self) -> Figures:
        """Play it, then end all faults and see whether it heals."""
        self.operator.begin()
        self._arrange()
        with self._wiring.reroute(self.engine, self.network, self._rng):
            self._start()
            self.engine.run_until(self._plan.end)
            self._heal()
        self.consumers.update()
        return self._collect_figures()

    # The plan is put into effect

    def _arrange(self) -> None:
        plan = self._plan
        for outage in plan.outages:
            self._arrange_outage(outage)
        for at in plan.second_party_at:
            self.engine.at(at, self._let_second_party_ask)
        for at in plan.leaked_at:
            self.engine.at(at, self._leak)
        for rotation in plan.rotations:
            self.engine.at(rotation.at, partial(self._rotate, rotation))
        for at in plan.forced_at:
            self.engine.at(at, self.operator.force)
        for override in plan.overrides:
            self.engine.at(override.at, partial(self._override, override))
        for storm in plan.storms:
            self.engine.at(storm.at, partial(self._storm, storm))
        for write in plan.hand_writes:
            self.engine.at(write.at, partial(self._write_by_hand, write))
            if write.repeated_after:
                self.engine.at(write.at + write.repeated_after, partial(self._write_by_hand, write))

    def _start(self) -> None:
        self._tick(0)

    def _tick(self, number: int) -> None:
        """Arrange one tick of the schedule, and that the next one is arranged right before it."""
        at = self._plan.tick_at(number)
        if at >= self._plan.end:
            return
        for invoked_at in self._plan.tick(number):
            self.engine.at(invoked_at, self._invoke)
        self.engine.at(at + self.setup.period - 1, lambda: self._tick(number + 1))

    def _invoke(self) -> None:
        if self._is_scheduled:
            self.function.invoke(Request())

    def _let_second_party_ask(self) -> None:
        self._note_cause(causes.SECOND_PARTY)
        self.operator.use_elsewhere()

    def _leak(self) -> None:
        if self.operator.deactivate_leaked():
            self._note_cause(causes.CLIENT_DEACTIVATED)

    def _rotate(self, rotation: PlannedRotation) -> None:
        self._note("rotation")
        is_begun = self.operator.rotate(is_mistyped=rotation.is_mistyped, is_rolled_back=rotation.is_rolled_back)
        if is_begun and rotation.is_mistyped:
            self._note_cause(causes.CREDENTIALS_MISTYPED)

    def _override(self, override: PlannedOverride) -> None:
        self._note_cause(causes.LIMIT_OVERRIDDEN)
        self.operator.override_limit(is_reset=override.is_reset)

    def _storm(self, storm: PlannedStorm) -> None:
        self._note("storm")
        if storm.overrides_limit:
            self._note_cause(causes.LIMIT_OVERRIDDEN)
        request = Request(force=storm.is_forced, override_limit=storm.overrides_limit)
        for delay in storm.delays:
            at = self.engine.now + delay
            if at < self._plan.end:
                self.engine.at(at, partial(self.function.invoke_by_hand, request))

    def _write_by_hand(self, write: PlannedHandWrite) -> None:
        has_written = False
        if self.engine.now >= self._plan.end or not self._tokens.published:
            return
        if write.kind == "placeholder":
            has_written = self.token_writer.put_placeholder()
        elif write.kind == "backup":
            has_written = self.token_writer.restore(write.choice)
        else:
            has_written = self.token_writer.move_label_back()
        if has_written:
            self._note(f"{write.kind} by hand")

    # Outages

    def _arrange_outage(self, outage: PlannedOutage) -> None:
        switches: dict[str, _OutageSwitch] = {
            "vendor": self._switch_vendor,
            "aws": self._switch_secrets_manager,
            "kms": self._switch_key,
            "writes": self._switch_writes,
            "schedule": self._switch_schedule,
            "settings": self._switch_settings,
        }
        kind = outage.kind
        switch = switches[kind]

        def begin() -> None:
            self._outage_ends_at[kind] = max(outage.end, self._outage_ends_at.get(kind, 0.0))
            switch(outage, is_on=True)

        def end() -> None:
            if self.engine.now >= self._outage_ends_at[kind]:  # else another one of this kind goes on
                switch(outage, is_on=False)

        self.engine.at(outage.begin, begin)
        self.engine.at(outage.end, end)

    def _switch_vendor(self, outage: PlannedOutage, *, is_on: bool) -> None:
        self._note_cause(causes.VENDOR_DOWN)
        self.network.outage = outage.vendor_fault if is_on else ""

    def _switch_secrets_manager(self, _: PlannedOutage, *, is_on: bool) -> None:
        self._note_cause(causes.AWS_DOWN)
        self.secrets_manager.is_down = is_on
        self._update_readable()

    def _switch_key(self, _: PlannedOutage, *, is_on: bool) -> None:
        self._note_cause(causes.KMS_DENIED)
        self.secrets_manager.is_key_denied = is_on
        self._update_readable()

    def _update_readable(self) -> None:
        is_unreadable = self.secrets_manager.is_down or self.secrets_manager.is_key_denied
        self.consumers.set_readable(is_readable=not is_unreadable)

    def _switch_writes(self, _: PlannedOutage, *, is_on: bool) -> None:
        self._note_cause(causes.WRITES_DENIED)
        self.secrets_manager.is_read_only = is_on

    def _switch_schedule(self, _: PlannedOutage, *, is_on: bool) -> None:
        self._note_cause(causes.SCHEDULE_DOWN)
        self._is_scheduled = not is_on

    def _switch_settings(self, outage: PlannedOutage, *, is_on: bool) -> None:
        self._note_cause(causes.SETTINGS_MISTYPED)
        if not is_on:
            self._settings = self._right_settings
        elif outage.is_url_wrong:
            self._settings = replace(self._right_settings, token_url=WRONG_TOKEN_URL)
        else:
            self._settings = replace(self._right_settings, audience=AUDIENCE + "v2")
        self.function.retire_processes()

    # What the year is told of

    def _new_process(self) -> Process:
        return Process(
            self.engine,
            self._rng,
            self._settings,
            make_client=lambda process: self._wiring.make_client(self.secrets_manager, process, self._rng),
            kill_chance=lambda: self._kill_chance,
            job=self.setup.job,
            max_skew=self.setup.max_skew,
        )

    def _on_request(self, process: Process, principal: str) -> None:
        may_override = process.may_override and self._may_be_primary(principal)
        process.may_override = False
        process.is_overriding = may_override
        self.invariants.check_request(
            self.engine.now,
            process,
            principal,
            in_flight=self.network.in_flight,
            may_override=may_override,
        )
        self._note(f"asks as {principal}")

    def _on_limit(self, process: Process, principal: str) -> None:
        # A refused override leaves the slot as it was.
        if not process.is_overriding:
            process.limited[principal] = self.engine.now

    def _on_issue(self, grant: Grant) -> None:
        self._tokens.last_issued.append(grant.token)
        if grant.fault in TOKEN_LOSING_FAULTS:
            self._note_cause(causes.TOKEN_LOST)

    def _on_write(self, operation: str, params: dict[str, Any]) -> None:
        process: Process = self.engine.current_worker
        process.writes += 1
        document = self.invariants.check_write(
            self.engine.now,
            operation,
            process,
            self._principal_lists_of_runs(),
        )
        self._note(f"{operation} {params.get('VersionStages') or params.get('VersionStage')}")
        if not document:
            return
        token = document.get("access_token")
        if not token:
            return
        self._tokens.published.add(token)
        self.consumers.publish(token)
        self._is_written_by_hand = False
        if operation == "put_secret_value":
            self.token_writer.back_up(params["SecretString"])
        self._acquired_at = max(self._acquired_at, self.network.grants[token].at)

    def _on_hand_write(self) -> None:
        document = self.invariants.note_hand_write(self.engine.now)
        self.consumers.publish(document.get("access_token") or NO_TOKEN)
        self._is_written_by_hand = True

    def _on_unblock(self, principal: str) -> None:
        self._figures.unblocked += 1
        self._note(f"unblocked {principal}")

    def _on_lag(self) -> None:
        self.engine.current_worker.has_lagged = True

    def _may_be_primary(self, principal: str) -> bool:
        """Say whether any run that is under way now may have read that this principal is the primary."""
        return any(principals[:1] == [principal] for principals in self._principal_lists_of_runs())

    def _principal_lists_of_runs(self) -> list[list[str]]:
        """Return the principals, the primary first, as any run that is under way now may have read them."""
        return self.operator.principal_lists_since(self.engine.now - TIMEOUT_SECONDS - MAX_LAG_SECONDS)

    def _on_end(self, process: Process, end: RunEnd, began_at: float) -> None:
        if self.setup.forgets:
            process.forget_unsaved()
        process.delivered = [token for token in process.delivered if self._is_of_use(token)]
        if end.outcome == KILLED:
            self._note_killed_tokens(process)
        self.invariants.check_end(
            self.engine.now,
            process,
            end,
            owed=set(process.delivered),
            secrets=self._secrets_to_hide(process),
        )
        self._figures.runs[end.outcome] += 1
        self._note(f"{began_at:.3f} {end.outcome} {end.reason} {end.result.get('version_id')}")

    def _note_killed_tokens(self, process: Process) -> None:
        lost = {token for token in (*process.delivered, *process.issued) if self._is_of_use(token)}
        if lost:
            self._note_cause(causes.TOKEN_LOST)
            self._tokens.killed |= lost

    def _secrets_to_hide(self, process: Process) -> set[str]:
        tokens = {*self._tokens.last_issued, self.invariants.current_token} - {""}
        return self.operator.secrets | tokens | process.unsaved

    def _is_of_use(self, token: str) -> bool:
        """Say whether consumers could still use this token: not published, not over, and no newer one is published."""
        if token in self._tokens.published:
            return False
        grant = self.network.grants[token]
        newest = self.invariants.newest(grant.principal)
        # The ledger has whole seconds, of clocks that differ by up to two skews.
        is_superseded = newest >= grant.at - 2 - 2 * self.setup.max_skew
        # A JWT says when it ends by the vendor's clock.
        is_over = grant.expires_at <= self.engine.now + self.setup.max_clock_offset + 10
        return not is_superseded and not is_over

    def _cause(self) -> str:
        """Return why consumers have no good token, as far as the year knows."""
        if self._is_written_by_hand:
            return causes.WRITTEN_BY_HAND
        if self.network.outage:
            self._causes.note(causes.VENDOR_DOWN, self.engine.now)
        return self._causes.first_since(self._acquired_at)

    def _note_cause(self, cause: str) -> None:
        self._causes.note(cause, self.engine.now)
        self._note(cause)

    def _note(self, text: str) -> None:
        self.trace.note(self.engine.now, text)

    # The end of the year

    def _heal(self) -> None:
        """End all faults, and expect that the function gets a token within a period of the schedule and a lock."""
        self._end_faults()
        ledger = self.invariants.ledger()
        first_tick_at = self._plan.end + self._remaining_pause(ledger)
        until = first_tick_at + self.setup.period + self._right_settings.lock_seconds
        has_no_slot: list[bool] = []  # at each tick: whether the vendor had no slot for anybody

        def tick() -> None:
            self.function.invoke(Request())

        def look() -> None:
            has_no_slot.append(all(self._has_no_slot(principal) for principal in self.operator.principals))

        at = first_tick_at
        while at < until:
            self.engine.at(at, look)
            self.engine.at(at, tick)
            at += self.setup.period
        self.engine.run_until(until)
        is_good = self.network.is_accepted(self.invariants.current_token)
        self.invariants.expect("heals", self.engine.now, holds=is_good or has_no_slot[-1], example=str(ledger))

    def _end_faults(self) -> None:
        self._kill_chance = 0.0
        self._settings = self._right_settings
        self.function.retire_processes()
        self.network.end_faults()
        self.secrets_manager.end_faults()
        self.operator.correct_now()
        self.consumers.set_readable(is_readable=True)

    def _remaining_pause(self, ledger: dict[str, Any]) -> float:
        """Return for how many seconds after the end the ledger lets nobody ask because of the faults."""
        slots = ledger.get("slots", {}).values()
        paused_until = [slot["not_before"] for slot in slots if slot["reason"] in PAUSING_REASONS]
        pace = ledger.get("pace") or {"level": PACE_MAX_LEVEL, "at": 0}
        missing = 1 - pace["level"]
        last: float = max([pace["at"] + missing * PACE_SECONDS_PER_CLAIM, *paused_until])
        return max(0.0, min(last - self._plan.end, MAX_PAUSE_SECONDS))

    def _has_no_slot(self, principal: str) -> bool:
        """Say whether the vendor has no slot for the principal.

        That is also so if the vendor refused it one: the refusal may have begun another interval.
        """
        slot = self.invariants.ledger().get("slots", {}).get(principal) or {}
        was_refused = slot.get("reason") == RATE_LIMITED and slot["not_before"] > self.engine.now
        return was_refused or self.network.is_limited(principal)

    def _collect_figures(self) -> Figures:
        figures = self._figures
        careful = self.consumers.careful
        unsaved = {token for process in self.function.processes for token in process.unsaved}
        figures.trace = self.trace.digest
        figures.careful = careful.availability
        figures.plain = self.consumers.plain.availability
        figures.outages = careful.outages
        figures.lost = self._tokens.lost(self.network.grants, unsaved)
        figures.published = len(self._tokens.published)
        figures.refusals = self.network.refusals
        figures.requests = self.network.requests
        figures.max_wrong_passwords = self.network.max_wrong_passwords
        figures.calls = self.secrets_manager.calls
        figures.max_versions_per_day = self.invariants.max_versions_per_day
        figures.broken = self.invariants.broken
        figures.examples = self.invariants.examples
        return figures
