"""Remove from the installed wheels what the Lambda never reads: a smaller package starts sooner.

When botocore makes a client, it reads a description of that AWS service from its data. Nearly all of this data is about
services that nobody calls here. If a service is not in SERVICES, botocore refuses to make its client and names it
(UnknownServiceError).
"""

import json
import shutil
from pathlib import Path

# Every service of which handler/ makes a client. In Lambda the credentials come from the environment, so neither STS
# nor SSO is called. `python -m handler` in a shell uses the complete boto3 of its virtual environment.
SERVICES = ("events", "lambda", "secretsmanager")
# What the imports that start at the handler never reach. A test makes sure that nothing left in the package needs it.
UNREACHABLE = (
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/middleware_factory",
    "aws_lambda_powertools/utilities/[!_j]*",  # all but __init__ and jmespath_utils, which the Logger imports
    "boto3/crt.py",
    "boto3/data",  # for boto3.resource()
    "boto3/dynamodb",
    "boto3/ec2",
    "boto3/s3",
    "botocore/cacert.pem",  # certifi ships with requests, and botocore reads its file instead
    "urllib3/contrib/emscripten",
)
# The part of a wheel's metadata that vulnerability scanners read and that licences require. The rest describes the
# installation, and would differ from one machine to the next.
KEPT_METADATA = ("METADATA", "LICEN", "licen", "NOTICE", "COPYING", "AUTHORS")
NEVER_SHIPPED = ("bin", "examples", "tests", "__pycache__")


def prune(folder: Path) -> None:
    for name in NEVER_SHIPPED:
        remove_matches(folder, name)
        remove_matches(folder, f"*/{name}")
    for pattern in UNREACHABLE:
        remove_matches(folder, pattern)
    for file in sorted(folder.glob("*.dist-info/*")):
        if not file.name.startswith(KEPT_METADATA):
            remove(file)
    prune_data(folder / "botocore" / "data")


def prune_data(data: Path) -> None:
    """Keep only SERVICES, and of each only the newest version of its API, which a client uses."""
    for folder in sorted(data.glob("*/")):
        if folder.is_dir() and folder.name not in SERVICES:
            remove(folder)
    for service in SERVICES:
        versions = sorted((data / service).glob("*/"))  # their names are dates
        for older_version in versions[:-1]:
            remove(older_version)
    for examples in sorted(data.rglob("examples-1.json*")):  # only for documentation
        remove(examples)
    file = data / "endpoints.json"
    if file.exists():
        endpoints = prune_endpoints(json.loads(file.read_text()))
        file.write_text(json.dumps(endpoints, separators=(",", ":")))


def prune_endpoints(endpoints: dict[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    """Keep every partition with its regions, defaults and variants (FIPS, dual-stack), but only SERVICES."""
    for partition in endpoints["partitions"]:
        services = partition["services"]
        if isinstance(services, dict):
            partition["services"] = {name: value for name, value in services.items() if name in SERVICES}
    return endpoints


def remove_matches(folder: Path, pattern: str) -> None:
    for path in sorted(folder.glob(pattern)):
        remove(path)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
