"""Where ministack 1.5.33 differs from AWS, each found by a trial: what this deployment can't show."""

import json
from typing import Any

CURRENT = "AWSCURRENT"
LEDGER = "REFRESH_LEDGER"

NOT_SHOWN = (
    (
        "the first document of the token secret: ministack gives a new secret an empty version, which this command "
        "removes before the first run, and does not give AWSCURRENT to a first version with another label; "
        "`make test` shows it"
    ),
    (
        "a publish that moves AWSCURRENT and REFRESH_LEDGER in one step: ministack moves only the first, and this "
        "command moves the second right after each new token; `make test` shows it"
    ),
    "a ClientRequestToken that is used again with another body: ministack overwrites, AWS refuses",
    (
        "pages of secrets, and names that begin with the prefix: ministack returns all secrets at once whose names "
        "contain it; `make test` shows it"
    ),
    (
        "the tag in the consumer policy of many connections: ministack does not know variables in a policy's "
        "resources, so this command puts the tag of each role in; `make test` shows which tokens AWS lets it read"
    ),
    "the reserved concurrency, a VPC and a permissions boundary: ministack's CloudFormation leaves them out",
    "what a first deployment that fails leaves behind: ministack also takes a zip that is not there",
    "KMS: ministack stores which key a secret has, and lets everybody decrypt with it",
    (
        "the consumer policy's conditions: ministack does not know secretsmanager:VersionStage and VersionId, so it "
        "lets consumers read the ledger's version too, and AWS does not (a helper of AWS may read it there, too)"
    ),
    (
        "the schedule's role, and the function's permissions to write its log and to put failed runs into the queue: "
        "ministack does these itself, without a role"
    ),
    (
        "that only Lambda may assume the function's role: ministack lets the account do it, "
        "and this command uses that to try the role"
    ),
    "the schedule's own retries and dead letters, and the pauses of one and two minutes between Lambda's retries",
    "alarms and the dashboard at work: ministack makes no metrics of the log's EMF lines",
    (
        "python3.13 on arm64: the same package runs on this machine's Python; the class of an error, which "
        "ministack calls Runtime.HandlerError (tests/deployment/test_runtime.py shows it)"
    ),
    "the upload and the change set of `sam deploy`: here the code's folder is replaced by an object in a bucket",
)


def remove_empty_version(secrets_manager: Any, secret_id: str) -> None:
    """Leave the secret without a value, as AWS creates it if the template gives none."""
    secret = secrets_manager.describe_secret(SecretId=secret_id)
    for version_id in secret["VersionIdsToStages"]:
        secrets_manager.update_secret_version_stage(
            SecretId=secret_id,
            VersionStage=CURRENT,
            RemoveFromVersionId=version_id,
        )


def move_ledger_label(secrets_manager: Any, secret_id: str) -> None:
    """Move the label to the token that was just published, as AWS has already done at this point."""
    secret = secrets_manager.describe_secret(SecretId=secret_id)
    version_of: dict[str, str] = {}
    for version_id, labels in secret["VersionIdsToStages"].items():
        version_of |= dict.fromkeys(labels, version_id)
    secrets_manager.update_secret_version_stage(
        SecretId=secret_id,
        VersionStage=LEDGER,
        MoveToVersionId=version_of[CURRENT],
        RemoveFromVersionId=version_of[LEDGER],
    )


def attach_policy_for_tags(iam: Any, policy_arn: str, role_name: str) -> None:
    """Give the role what the policy means for it: AWS itself puts the role's tags in for the policy's variables."""
    policy = iam.get_policy(PolicyArn=policy_arn)["Policy"]
    version = iam.get_policy_version(PolicyArn=policy_arn, VersionId=policy["DefaultVersionId"])
    document = json.dumps(version["PolicyVersion"]["Document"])
    for tag in iam.list_role_tags(RoleName=role_name)["Tags"]:
        variable = f"${{aws:PrincipalTag/{tag['Key']}}}"
        document = document.replace(variable, tag["Value"])
    iam.put_role_policy(RoleName=role_name, PolicyName="for-its-tags", PolicyDocument=document)
