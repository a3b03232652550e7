"""Secrets Manager in this process, with AWS's rates: a call above them is throttled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from local.emulators.access import Access
from local.emulators.aws_rates import AwsRates
from local.emulators.documented import Documented
from local.fleet.records import Span
from local.simulate.aws_secrets import WRITES, AwsError, SimulatedSecretsManager

if TYPE_CHECKING:
    from local.emulators.clock import Clock
    from local.simulate.aws_secrets import Caller

# Kinds of calls in the report. A survey's page and the read of a run are the same operation of AWS.
PAGE = "pages of surveys"
LEDGER = "ledgers read by sweeps"  # those of the connections with the least life
READ = "reads of runs"
WRITE = "writes"
_Json = dict[str, Any]


class RatedSecretsManager(SimulatedSecretsManager):
    """Throttles what is above AWS's rates, and counts the calls by kind."""

    def __init__(self, clock: Clock, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rates = AwsRates(clock)
        self.calls_by_kind: Counter[str] = Counter()
        self.throttled = 0
        self.bursts: list[Span] = []  # the times in which all calls failed
        self._access = Access()

    def attempt(self, caller: Caller, operation: str, params: _Json) -> _Json:
        self.calls_by_kind[self._kind_of(operation, params)] += 1
        return super().attempt(caller, operation, params)

    def delete(self, name: str) -> None:
        """Mark a secret for deletion."""
        secret: Any = self._backend.secrets[name]
        secret.delete(self._engine.now)

    def deny_key(self, name: str) -> None:
        """Let nobody use the key of this secret, as if somebody had edited the key's policy."""
        self._access.denied_keys.add(name)

    def allow_key(self, name: str) -> None:
        self._access.denied_keys.discard(name)

    def _documented(self) -> Documented:
        return Documented(self._backend, self._engine.now, access=self._access)

    def _draw_fault(self) -> str:
        ended_at = self._burst_ends_at
        fault = super()._draw_fault()
        if self._burst_ends_at != ended_at:
            self.bursts.append(Span(self._engine.now, self._burst_ends_at))
        return fault

    def _fail_before_it_takes_effect(self, caller: Caller, operation: str, fault: str) -> None:
        aws_name = operation.title().replace("_", "")
        if not self._rates.allow(aws_name):
            self.throttled += 1
            raise AwsError("ThrottlingException", "Rate exceeded")
        super()._fail_before_it_takes_effect(caller, operation, fault)

    def _kind_of(self, operation: str, params: _Json) -> str:
        if operation in WRITES:
            return WRITE
        if "Filters" in params:
            return PAGE
        if not self._engine.current_worker.connection:
            return LEDGER
        return READ
