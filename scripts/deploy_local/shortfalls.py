"""Where ministack 1.5.33 does not do as AWS does, each found by trying it: what this deployment can't show."""

from typing import Any

CURRENT, LEDGER = "AWSCURRENT", "REFRESH_LEDGER"

NOT_SHOWN = (
    (
        "the seed: ministack gives a new secret an empty version, which is taken off before the first run, and "
        "does not give AWSCURRENT to a first version that is put under another label; `make test` shows it"
    ),
    (
        "a publish that moves AWSCURRENT and REFRESH_LEDGER in one step: ministack moves the first alone, and the "
        "second is moved here, right after each new token; `make test` shows it"
    ),
    "a ClientRequestToken that is used again with another body: ministack overwrites, AWS refuses",
    "KMS: ministack stores which key a secret has, and lets everybody decrypt with it",
    (
        "the consumer policy's conditions: ministack knows no secretsmanager:VersionStage nor VersionId, so it lets "
        "consumers read the ledger's version too, and AWS does not"
    ),
    (
        "the schedule's role, and the function's permissions to write its log and to put failed runs into the queue: "
        "ministack does these itself, as nobody"
    ),
    "that Lambda alone may assume the function's role: ministack lets the account do it, which is how it is tried here",
    "the schedule's own retries and dead letters, and the pauses of one and two minutes between Lambda's retries",
    "alarms and the dashboard at work: ministack makes no metrics of the log's EMF lines",
    (
        "python3.13 on arm64: the same package runs on this machine's Python; the class of an error, which ministack "
        "calls Runtime.HandlerError (tests/deployment/test_runtime.py shows it)"
    ),
    "the upload and the change set of `sam deploy`: the code's folder is replaced by a bucket's object here",
)


def take_off_the_empty_version(secrets_manager: Any, secret_id: str) -> None:
    """Leave the secret without a value, as AWS makes it of a template that gives it none."""
    secret = secrets_manager.describe_secret(SecretId=secret_id)
    for version_id in secret["VersionIdsToStages"]:
        secrets_manager.update_secret_version_stage(
            SecretId=secret_id, VersionStage=CURRENT, RemoveFromVersionId=version_id
        )


def move_the_ledger_label(secrets_manager: Any, secret_id: str) -> None:
    """Move it to the token that was just published, as AWS has done by then."""
    secret = secrets_manager.describe_secret(SecretId=secret_id)
    holder = {label: version_id for version_id, labels in secret["VersionIdsToStages"].items() for label in labels}
    secrets_manager.update_secret_version_stage(
        SecretId=secret_id, VersionStage=LEDGER, MoveToVersionId=holder[CURRENT], RemoveFromVersionId=holder[LEDGER]
    )
