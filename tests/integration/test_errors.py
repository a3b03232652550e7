"""Each failure is one of the documented errors, and says whether a retry can help."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from handler.errors import (
    Busy,
    ConfigurationError,
    CredentialsError,
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    RequestRefused,
    StoreError,
    VendorError,
    VendorUnreachable,
)
from local.emulators.faults import Fault
from local.emulators.secrets_manager import CUT, AwsFault
from local.emulators.world import CREDENTIALS_SECRET, TOKEN_SECRET, World
from tests.integration.arrangements import limited, refused
from tests.integration.helpers import DOWN, LIMITED, REFUSED, another_runs_lock, write_ledger
from tests.integration.traffic import metrics


def denied(operation: str) -> Callable[[World], None]:
    return lambda world: world.secrets.fail(operation, AwsFault("AccessDeniedException"))


def vendor_meets(fault: Fault) -> Callable[[World], None]:
    return lambda world: world.vendor.script(fault)


def without_credentials(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=CREDENTIALS_SECRET, ForceDeleteWithoutRecovery=True)


def without_token_secret(world: World) -> None:
    world.secrets.client().delete_secret(SecretId=TOKEN_SECRET, ForceDeleteWithoutRecovery=True)


def failing(operation: str, *faults: AwsFault) -> Callable[[World], None]:
    return lambda world: world.secrets.fail(operation, *faults)


def locked_for_longer_than_a_run(world: World) -> None:
    write_ledger(world, lock=another_runs_lock(world, remaining=900))


SERVER_ERROR = AwsFault("InternalServiceError", status=500)


@pytest.mark.parametrize(
    ("arrange", "error", "retryable"),
    [
        (without_credentials, CredentialsError, False),
        (vendor_meets(REFUSED), CredentialsRefused, False),
        (vendor_meets(LIMITED), RateLimited, False),
        (limited, RateLimited, False),
        (refused, CredentialsRefused, False),
        (vendor_meets(DOWN), VendorError, True),
        (vendor_meets(Fault.answer(429)), RateLimited, False),
        (vendor_meets(Fault.answer(404)), RequestRefused, False),
        (vendor_meets(Fault.answer(200)), VendorError, False),
        (lambda world: world.vendor.stop(), VendorUnreachable, True),
        (vendor_meets(Fault.cut(issues=True)), OutcomeUnknown, True),
        (denied("BatchGetSecretValue"), StoreError, False),
        (denied("PutSecretValue"), StoreError, False),
        (denied("UpdateSecretVersionStage"), StoreError, False),
        (without_token_secret, StoreError, False),
        (failing("BatchGetSecretValue", SERVER_ERROR), None, None),  # boto3 repeats the call
        (failing("BatchGetSecretValue", SERVER_ERROR, SERVER_ERROR, SERVER_ERROR), StoreError, True),
        (failing("PutSecretValue", AwsFault("EncryptionFailure")), StoreError, True),
        (failing("BatchGetSecretValue", CUT, CUT, CUT), StoreError, True),
        (locked_for_longer_than_a_run, Busy, True),
    ],
)
def test_errors_say_whether_a_retry_can_help(
    world: World, arrange: Callable[[World], None], error: type[RefreshError] | None, retryable: bool | None
) -> None:
    """Every failure is a RefreshError of the README's table, and says whether it is `retryable`."""
    arrange(world)
    if error is None:
        assert world.invoke()["outcome"] == "refreshed"
        return
    with pytest.raises(RefreshError) as caught:
        world.invoke()
    assert caught.type == error
    assert caught.value.retryable == retryable
    assert metrics(world)["Failed"] == 1
    [line] = [line for line in world.lines if line.get("level") == "ERROR"]
    assert line["error"] == error.__name__
    assert line["retryable"] == retryable


@pytest.mark.parametrize(
    "bad",
    [
        {"TOKEN_SECRET_ID": CREDENTIALS_SECRET},
        {"TOKEN_URL": ""},
        {"TOKEN_URL": "http://vendor.example/oauth/token"},
        {"TOKEN_URL": "https://vendor.example/oauth/token#fragment"},
        {"TOKEN_URL": "https://user@vendor.example/oauth/token"},
        {"CLIENT_AUTH": "private_key_jwt"},
        {"MAX_LIFETIME_SECONDS": "0"},
        {"ACQUIRE_TIMEOUT_SECONDS": "811"},
    ],
    ids=str,
)
def test_bad_variable_is_a_configuration_error(world: World, bad: dict[str, str]) -> None:
    """The error names the variable, and is not retryable."""
    with pytest.raises(ConfigurationError, match=next(iter(bad))) as caught:
        world.process(**bad)
    assert not caught.value.retryable
