"""Secrets Manager in this process: the emulator's rules, with AWS's faults, under a stand-in for boto3's client.

The stand-in repeats calls as botocore does (its "standard" retries, quota included); `wire` has botocore itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.retries.quota import RetryQuota
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.secretsmanager.exceptions import SecretsManagerClientError
from moto.secretsmanager.models import SecretsManagerBackend

from local.emulators.secrets_manager import REGION, Documented
from local.simulate.rates import Dice

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from local.simulate.engine import Engine
    from local.simulate.rates import Rates
    from local.simulate.runtime import Process

STALE_SECONDS, READ_TIMEOUT_SECONDS, MOST_ATTEMPTS, BURST_SECONDS = 5.0, 4.0, 3, (20.0, 300.0)
# botocore's own: what a repetition takes from its quota, what a success gives back, and which codes are throttling.
RETRY_COST, THROTTLING_COST, SUCCESS_RETURNS = 14, 5, 1
THROTTLING = {"ThrottlingException", "LimitExceededException"}
CREDENTIALS, TOKEN = "credentials", "token"  # the names of the two
URL = "https://secretsmanager.us-east-1.amazonaws.com"
READS = {"get_secret_value", "batch_get_secret_value"}
WRITES = {"put_secret_value", "update_secret_version_stage"}
WITH_KEY = READS | {"put_secret_value"}  # what needs the KMS key
_Json = dict[str, Any]


class Refused(Exception):
    """An error of AWS, with its code and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


class Store:
    """Both secrets. `on_write` is told of each call that may have changed the token secret, as it takes effect."""

    def __init__(
        self, engine: Engine, rng: random.Random, rates: Rates, on_write: Callable[[str, _Json], None]
    ) -> None:
        self._engine, self._rng, self._on_write = engine, rng, on_write
        self.dice = Dice(rng, rates, "aws_", "call")
        self._backend = SecretsManagerBackend(REGION, DEFAULT_ACCOUNT_ID)
        self.is_down = self.is_denied = self.is_read_only = False
        self._labels: dict[str, list[str]] = {}  # as they were before the last write
        self._written_at = self._burst_ends = 0.0
        self.calls = 0

    def calm(self) -> None:
        """End all faults."""
        self.is_down = self.is_denied = self.is_read_only = False
        self._burst_ends = 0.0
        self.dice.calm()

    def call(self, operation: str, **params: Any) -> _Json:
        """Do it at once and for sure, as people and checks do. Raises Refused."""
        try:
            answer: _Json = getattr(Documented(self._backend, self._engine.now), operation)(params)
        except SecretsManagerClientError as error:
            raise Refused(error.error_type, error.message) from None
        return answer

    def versions(self, name: str) -> dict[str, _Json]:
        versions: dict[str, _Json] = self._backend.secrets[name].versions
        return versions

    def attempt(self, process: Process, operation: str, params: _Json) -> _Json:
        """Process one HTTP request. Raises Refused, ReadTimeoutError or ConnectionClosedError."""
        self.calls += 1
        process.wait(self._rng.uniform(0.005, 0.03))
        fault = self.dice.throw()
        if fault == "aws_burst":
            self._burst_ends = self._engine.now + self._rng.uniform(*BURST_SECONDS)
        if self.is_down or self._engine.now < self._burst_ends:
            fault = self._rng.choice(["aws_5xx", "aws_silent"])
        if fault == "aws_silent":
            process.wait(READ_TIMEOUT_SECONDS)
            raise ReadTimeoutError(endpoint_url=URL)
        if fault == "aws_cut":
            raise ConnectionClosedError(endpoint_url=URL)
        if fault == "aws_5xx":
            raise Refused("InternalServiceError", "An error occurred on the server side.", 500)
        if fault == "aws_throttled":
            raise Refused("ThrottlingException", "Rate exceeded")
        if self.is_denied and operation in WITH_KEY:
            raise Refused("AccessDeniedException", "Access to KMS is not allowed")
        if self.is_read_only and operation in WRITES:
            raise Refused("AccessDeniedException", "User is not authorized to perform this action")
        answer = self._stale(operation, params) if fault == "aws_stale" else self._process(operation, params)
        process.wait(self._rng.uniform(0.005, 0.03))
        if fault == "aws_lost_answer":
            raise ConnectionClosedError(endpoint_url=URL)
        return answer

    def _process(self, operation: str, params: _Json) -> _Json:
        if operation not in WRITES:
            return self.call(operation, **params)
        before = {key: list(one["version_stages"]) for key, one in self.versions(params["SecretId"]).items()}
        answer = self.call(operation, **params)
        self._labels, self._written_at = before, self._engine.now
        self._on_write(operation, params)
        return answer

    def _stale(self, operation: str, params: _Json) -> _Json:
        """Answer as if the last write had not been yet."""
        if operation not in READS or self._engine.now - self._written_at > STALE_SECONDS or not self._labels:
            return self._process(operation, params)
        versions = self.versions(TOKEN)
        now = {key: one["version_stages"] for key, one in versions.items()}
        for key, one in versions.items():
            one["version_stages"] = self._labels.get(key, [])
        try:
            return self.call(operation, **params)
        finally:
            for key, labels in now.items():
                versions[key]["version_stages"] = labels


class Client:
    """What boto3.client("secretsmanager") is to the handler."""

    def __init__(self, store: Store, process: Process, rng: random.Random) -> None:
        self._store, self._process, self._rng, self._quota = store, process, rng, RetryQuota()

    def __getattr__(self, operation: str) -> Callable[..., _Json]:
        return partial(self._call, operation)

    def _call(self, operation: str, **params: Any) -> _Json:
        cost = SUCCESS_RETURNS
        for attempt in range(MOST_ATTEMPTS):
            try:
                answer = self._store.attempt(self._process, operation, params)
            except Refused as error:
                is_throttled = error.code in THROTTLING
                failure: Exception = _client_error(error, operation)
                is_over = attempt + 1 == MOST_ATTEMPTS or not (is_throttled or error.status == 500)
            except (ReadTimeoutError, ConnectionClosedError) as error:
                is_throttled, failure, is_over = False, error, attempt + 1 == MOST_ATTEMPTS
            else:
                self._quota.release(cost)
                if "LastChangedDate" in answer:
                    answer["LastChangedDate"] = datetime.fromtimestamp(answer["LastChangedDate"], UTC)
                return answer
            cost = THROTTLING_COST if is_throttled else RETRY_COST
            if is_over or not self._quota.acquire(cost):
                raise failure
            self._process.wait(self._rng.random() * (1.0 if is_throttled else 0.05) * 2**attempt)
        raise AssertionError  # the last attempt returns or raises


def _client_error(error: Refused, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": error.code, "Message": error.message}}, operation)
