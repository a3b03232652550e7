"""Secrets Manager in this process, with AWS's rates: a call above them is throttled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from local.emulators.aws_rates import AwsRates
from local.simulate.aws_secrets import WRITES, AwsError, SimulatedSecretsManager

if TYPE_CHECKING:
    from local.emulators.clock import Clock
    from local.simulate.aws_secrets import Caller

# Kinds of calls in the report. A survey's page and the read of a run are the same operation of AWS.
PAGE = "pages of surveys"
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

    def attempt(self, caller: Caller, operation: str, params: _Json) -> _Json:
        self.calls_by_kind[_kind_of(operation, params)] += 1
        return super().attempt(caller, operation, params)

    def delete(self, name: str) -> None:
        """Mark a secret for deletion."""
        secret: Any = self._backend.secrets[name]
        secret.delete(self._engine.now)

    def _fail_before_it_takes_effect(self, caller: Caller, operation: str, fault: str) -> None:
        aws_name = operation.title().replace("_", "")
        if not self._rates.allow(aws_name):
            self.throttled += 1
            raise AwsError("ThrottlingException", "Rate exceeded")
        super()._fail_before_it_takes_effect(caller, operation, fault)


def _kind_of(operation: str, params: _Json) -> str:
    if operation in WRITES:
        return WRITE
    if "Filters" in params:
        return PAGE
    return READ
