"""Secrets Manager in this process: the emulator's rules and AWS's faults, behind a stand-in for boto3's client.

The stand-in repeats calls as botocore does (its "standard" retries with their quota). `real_clients` runs botocore
itself instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.retries.quota import RetryQuota
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.secretsmanager.exceptions import SecretsManagerClientError
from moto.secretsmanager.models import SecretsManagerBackend

from local.emulators.secrets_manager import REGION, Documented
from local.simulate.rates import FaultSampler

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from local.simulate.engine import Engine
    from local.simulate.rates import Rates

CREDENTIALS_SECRET = "credentials"
TOKEN_SECRET = "token"
URL = "https://secretsmanager.us-east-1.amazonaws.com"
MAX_STALE_SECONDS = 5.0  # a read does not see a write that is younger than this, if it meets the fault
READ_TIMEOUT_SECONDS = 4.0
MIN_BURST_SECONDS = 20.0
MAX_BURST_SECONDS = 300.0
# botocore's own: its attempts, what a repetition takes from its quota, and what a success gives back to it.
MAX_ATTEMPTS = 3
RETRY_COST = 14
THROTTLING_COST = 5
SUCCESS_RETURNS = 1
THROTTLING_CODES = {"ThrottlingException", "LimitExceededException"}
READS = {"get_secret_value", "batch_get_secret_value"}
WRITES = {"put_secret_value", "update_secret_version_stage"}
USES_KMS_KEY = READS | {"put_secret_value"}
_Json = dict[str, Any]


class Caller(Protocol):
    """Who makes a call, and for whom time passes meanwhile."""

    def wait(self, seconds: float) -> None: ...


class AwsError(Exception):
    """An error that AWS answers, with its code and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


class SimulatedSecretsManager:
    """Has both secrets. It calls `on_write` when a call that may have changed the token secret takes effect."""

    def __init__(
        self, engine: Engine, rng: random.Random, rates: Rates, on_write: Callable[[str, _Json], None]
    ) -> None:
        self._engine = engine
        self._rng = rng
        self._on_write = on_write
        self._faults = FaultSampler(rng, rates, "aws_", "call")
        self._backend = SecretsManagerBackend(REGION, DEFAULT_ACCOUNT_ID)
        self.is_down = False
        self.is_key_denied = False
        self.is_read_only = False
        self._labels_before: dict[str, list[str]] = {}  # by version, as they were before the last write
        self._written_at = 0.0
        self._burst_ends_at = 0.0
        self.calls = 0

    def end_faults(self) -> None:
        self.is_down = False
        self.is_key_denied = False
        self.is_read_only = False
        self._burst_ends_at = 0.0
        self._faults.stop()

    def call(self, operation: str, **params: Any) -> _Json:
        """Do it at once and without faults, for people and for checks. Raises AwsError."""
        try:
            answer: _Json = getattr(Documented(self._backend, self._engine.now), operation)(params)
        except SecretsManagerClientError as error:
            raise AwsError(error.error_type, error.message) from None
        return answer

    def versions(self, name: str) -> dict[str, _Json]:
        versions: dict[str, _Json] = self._backend.secrets[name].versions
        return versions

    def attempt(self, caller: Caller, operation: str, params: _Json) -> _Json:
        """Handle one HTTP request. Raises AwsError, ReadTimeoutError or ConnectionClosedError."""
        self.calls += 1
        self._travel(caller)
        fault = self._draw_fault()
        self._fail_before_it_takes_effect(caller, operation, fault)
        answer = self._process(operation, params, is_stale=fault == "aws_stale")
        self._travel(caller)
        if fault == "aws_lost_answer":
            raise ConnectionClosedError(endpoint_url=URL)
        return answer

    def _travel(self, caller: Caller) -> None:
        caller.wait(self._rng.uniform(0.005, 0.03))

    def _draw_fault(self) -> str:
        fault = self._faults.draw()
        if fault == "aws_burst":
            self._burst_ends_at = self._engine.now + self._rng.uniform(MIN_BURST_SECONDS, MAX_BURST_SECONDS)
        if self.is_down or self._engine.now < self._burst_ends_at:
            return self._rng.choice(["aws_5xx", "aws_silent"])
        return fault

    def _fail_before_it_takes_effect(self, caller: Caller, operation: str, fault: str) -> None:
        if fault == "aws_silent":
            caller.wait(READ_TIMEOUT_SECONDS)
            raise ReadTimeoutError(endpoint_url=URL)
        if fault == "aws_cut":
            raise ConnectionClosedError(endpoint_url=URL)
        if fault == "aws_5xx":
            raise AwsError("InternalServiceError", "An error occurred on the server side.", 500)
        if fault == "aws_throttled":
            raise AwsError("ThrottlingException", "Rate exceeded")
        if self.is_key_denied and operation in USES_KMS_KEY:
            raise AwsError("AccessDeniedException", "Access to KMS is not allowed")
        if self.is_read_only and operation in WRITES:
            raise AwsError("AccessDeniedException", "User is not authorized to perform this action")

    def _process(self, operation: str, params: _Json, *, is_stale: bool) -> _Json:
        if operation not in WRITES:
            is_written_lately = self._engine.now - self._written_at <= MAX_STALE_SECONDS
            if is_stale and is_written_lately and operation in READS and self._labels_before:
                return self._read_stale(operation, params)
            return self.call(operation, **params)
        versions = self.versions(params["SecretId"])
        labels = {version_id: list(version["version_stages"]) for version_id, version in versions.items()}
        answer = self.call(operation, **params)
        self._labels_before = labels
        self._written_at = self._engine.now
        self._on_write(operation, params)
        return answer

    def _read_stale(self, operation: str, params: _Json) -> _Json:
        """Answer a read as if the last write had not happened yet."""
        versions = self.versions(TOKEN_SECRET)
        labels_now = {version_id: version["version_stages"] for version_id, version in versions.items()}
        for version_id, version in versions.items():
            version["version_stages"] = self._labels_before.get(version_id, [])
        try:
            return self.call(operation, **params)
        finally:
            for version_id, labels in labels_now.items():
                versions[version_id]["version_stages"] = labels


class RetryingClient:
    """What `boto3.client("secretsmanager")` is to the handler, with botocore's retries."""

    def __init__(self, secrets_manager: SimulatedSecretsManager, caller: Caller, rng: random.Random) -> None:
        self._secrets_manager = secrets_manager
        self._caller = caller
        self._rng = rng
        self._quota = RetryQuota()

    def __getattr__(self, operation: str) -> Callable[..., _Json]:
        return partial(self._call, operation)

    def _call(self, operation: str, **params: Any) -> _Json:
        quota_to_release = SUCCESS_RETURNS
        for attempt in range(MAX_ATTEMPTS):
            try:
                answer = self._secrets_manager.attempt(self._caller, operation, params)
            except AwsError as error:
                failure: Exception = _client_error(error, operation)
                is_throttled = error.code in THROTTLING_CODES
                is_repeatable = is_throttled or error.status == 500
            except (ReadTimeoutError, ConnectionClosedError) as error:
                failure = error
                is_throttled = False
                is_repeatable = True
            else:
                self._quota.release(quota_to_release)
                return _with_parsed_date(answer)
            is_last = attempt + 1 == MAX_ATTEMPTS
            cost = THROTTLING_COST if is_throttled else RETRY_COST
            if is_last or not is_repeatable or not self._quota.acquire(cost):
                raise failure
            quota_to_release = cost
            longest_pause = 1.0 if is_throttled else 0.05
            self._caller.wait(self._rng.random() * longest_pause * 2**attempt)
        raise AssertionError  # the last attempt returns or raises


def _client_error(error: AwsError, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": error.code, "Message": error.message}}, operation)


def _with_parsed_date(answer: _Json) -> _Json:
    if "LastChangedDate" in answer:
        answer["LastChangedDate"] = datetime.fromtimestamp(answer["LastChangedDate"], UTC)
    return answer
