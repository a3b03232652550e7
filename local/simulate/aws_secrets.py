"""Secrets Manager in this process: the emulator's rules and AWS's faults, behind a stand-in for boto3's client.

The stand-in repeats calls as botocore does (its "standard" retries with their quota). `real_clients` runs botocore
itself instead.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.retries.quota import RetryQuota
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.secretsmanager.exceptions import SecretsManagerClientError
from moto.secretsmanager.models import SecretsManagerBackend

from local.emulators.documented import Documented
from local.emulators.secrets_manager import REGION
from local.simulate.host import SimulatorFailed
from local.simulate.rates import FaultSampler

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from local.simulate.engine import Engine
    from local.simulate.rates import Rates

CREDENTIALS_SECRET = "credentials"
TOKEN_SECRET = "token"
URL = "https://secretsmanager.us-east-1.amazonaws.com"
# A read that lags shows the secrets as they were some seconds ago, and rarely as they were longer ago.
MIN_LAG_SECONDS = 0.5
USUAL_LAG_SECONDS = 5.0
MAX_LAG_SECONDS = 15.0
LONG_LAG_CHANCE = 0.1
READ_TIMEOUT_SECONDS = 4.0
MIN_BURST_SECONDS = 20.0
MAX_BURST_SECONDS = 300.0
# botocore's own: its attempts, what a repetition takes from its quota, and what a success gives back to it.
MAX_ATTEMPTS = 3
RETRY_COST = 14
THROTTLING_COST = 5
SUCCESS_RETURNS = 1
THROTTLING_CODES = {"ThrottlingException", "LimitExceededException"}
BATCH = "batch_get_secret_value"
VALUE_READS = {"get_secret_value", BATCH}
WRITES = {"put_secret_value", "update_secret_version_stage"}
USES_KMS_KEY = VALUE_READS | {"put_secret_value"}
_Json = dict[str, Any]


class Caller(Protocol):
    """Who makes a call, and for whom time passes meanwhile."""

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class _Labels:
    """A secret's labels by version, and its date, as they were until a write at this time."""

    until: float
    stages: dict[str, list[str]]
    changed_at: float


class AwsError(Exception):
    """An error that AWS answers, with its code and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


class SimulatedSecretsManager:
    """Has both secrets.

    It calls `on_write` when a call that may have changed the token secret takes effect, and `on_lag`
    when a read shows something else than what is stored.
    """

    def __init__(
        self,
        engine: Engine,
        rng: random.Random,
        rates: Rates,
        on_write: Callable[[str, _Json], None],
        on_lag: Callable[[], None],
        *,
        labels_first_version: bool = True,
    ) -> None:
        """`labels_first_version`: the first version of a secret gets AWSCURRENT, as AWS documents it."""
        self._engine = engine
        self._rng = rng
        self._on_write = on_write
        self._on_lag = on_lag
        self._labels_first_version = labels_first_version
        self._faults = FaultSampler(rng, rates, "aws_", "call")
        self._backend = SecretsManagerBackend(REGION, DEFAULT_ACCOUNT_ID)
        self.is_down = False
        self.is_key_denied = False
        self.is_read_only = False
        # By secret, what it was like before each of its latest writes, oldest first.
        self._history: dict[str, deque[_Labels]] = {}
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
        if operation in WRITES:
            labels = self._labels_until_now(params["SecretId"])
        try:
            answer: _Json = getattr(self._documented(), operation)(params)
        except SecretsManagerClientError as error:
            raise AwsError(error.error_type, error.message) from None
        if operation in WRITES:
            self._note_write(params, labels)
        return answer

    def _documented(self) -> Documented:
        return Documented(self._backend, self._engine.now)

    def versions(self, name: str) -> dict[str, _Json]:
        versions: dict[str, _Json] = self._backend.secrets[name].versions
        return versions

    def _labels_until_now(self, name: str) -> _Labels:
        secret: Any = self._backend.secrets[name]
        stages = {version_id: list(version["version_stages"]) for version_id, version in secret.versions.items()}
        return _Labels(self._engine.now, stages, secret.last_changed_date)

    def _note_write(self, params: _Json, labels: _Labels) -> None:
        name = params["SecretId"]
        wanted = params.get("VersionStages")
        if wanted is not None and not labels.stages and not self._labels_first_version:
            [version] = self.versions(name).values()
            version["version_stages"] = list(wanted)
        history = self._history.setdefault(name, deque())
        history.append(labels)
        while history[0].until < self._engine.now - MAX_LAG_SECONDS:
            history.popleft()

    def attempt(self, caller: Caller, operation: str, params: _Json) -> _Json:
        """Handle one HTTP request. Raises AwsError, ReadTimeoutError or ConnectionClosedError."""
        self.calls += 1
        self._travel(caller)
        fault = self._draw_fault()
        self._fail_before_it_takes_effect(caller, operation, fault)
        answer = self._process(operation, params, is_lagging=fault == "aws_lag")
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

    def _process(self, operation: str, params: _Json, *, is_lagging: bool) -> _Json:
        if operation in WRITES:
            answer = self.call(operation, **params)
            self._tell_of_write(operation, params)
            return answer
        if is_lagging:
            return self._read_as_of(self._engine.now - self._draw_lag(), operation, params)
        return self.call(operation, **params)

    def _tell_of_write(self, operation: str, params: _Json) -> None:
        try:
            self._on_write(operation, params)
        except Exception as error:
            raise SimulatorFailed from error

    def _draw_lag(self) -> float:
        """Return by how many seconds a read lags. Each read has its own time."""
        is_long = self._rng.random() < LONG_LAG_CHANCE
        longest = MAX_LAG_SECONDS if is_long else USUAL_LAG_SECONDS
        return self._rng.uniform(MIN_LAG_SECONDS, longest)

    def _read_as_of(self, moment: float, operation: str, params: _Json) -> _Json:
        """Answer a read as if no write after that moment had happened yet."""
        with ExitStack() as stack:
            for name, history in self._history.items():
                labels = next((one for one in history if one.until > moment), None)
                if labels is None:
                    continue
                stack.enter_context(self._with_labels(name, labels))
                self._on_lag()
            return self.call(operation, **params)

    @contextmanager
    def _with_labels(self, name: str, labels: _Labels) -> Iterator[None]:
        secret = self._backend.secrets[name]
        now = self._labels_until_now(name)
        self._set_labels(secret, labels)
        try:
            yield
        finally:
            self._set_labels(secret, now)

    def _set_labels(self, secret: Any, labels: _Labels) -> None:
        for version_id, version in secret.versions.items():
            version["version_stages"] = labels.stages.get(version_id, [])
        secret.last_changed_date = labels.changed_at


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
    details = {"Code": error.code, "Message": error.message}
    metadata = {"HTTPStatusCode": error.status}
    return ClientError({"Error": details, "ResponseMetadata": metadata}, operation)


def _with_parsed_date(answer: _Json) -> _Json:
    if "LastChangedDate" in answer:
        answer["LastChangedDate"] = datetime.fromtimestamp(answer["LastChangedDate"], UTC)
    return answer
