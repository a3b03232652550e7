"""Take out of the installed wheels what the Lambda never reads: a smaller package starts sooner, anywhere on AWS.

What a service of AWS looks like, botocore reads from its data when a client is made, and of that data nearly all is of
services that nobody calls here. A client of one that is missing in SERVICES is refused by name (UnknownServiceError).
"""

import json
import shutil
from pathlib import Path

# Every service that handler/ makes a client of. In Lambda the credentials come from the environment, so neither STS nor
# SSO is asked for any; `python -m handler` from a shell runs on the whole boto3 of its venv.
SERVICES = ("events", "secretsmanager")
# What the libraries' own imports never reach from the handler; a test holds what stays to that.
UNREACHABLE = (
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/middleware_factory",
    "aws_lambda_powertools/utilities/[!_j]*",  # all but __init__ and jmespath_utils, which the Logger imports
    "boto3/crt.py",
    "boto3/data",  # what boto3.resource() is made from
    "boto3/dynamodb",
    "boto3/ec2",
    "boto3/s3",
    "botocore/cacert.pem",  # certifi ships, for requests, and botocore then reads its file
    "urllib3/contrib/emscripten",
)
# Of a wheel's metadata: what a vulnerability scanner reads, and what licences ask for. The rest tells of the
# installation, and would differ from one machine to the next.
KEPT_METADATA = ("METADATA", "LICEN", "licen", "NOTICE", "COPYING", "AUTHORS")
NEVER_SHIPPED = ("bin", "examples", "tests", "__pycache__")


def prune(folder: Path) -> None:
    for pattern in (*NEVER_SHIPPED, *(f"*/{name}" for name in NEVER_SHIPPED), *UNREACHABLE):
        for found in folder.glob(pattern):
            remove(found)
    for file in folder.glob("*.dist-info/*"):
        if not file.name.startswith(KEPT_METADATA):
            remove(file)
    prune_data(folder / "botocore" / "data")


def prune_data(data: Path) -> None:
    """Leave of each service of ours the newest version of its API, which a client takes, and nothing of the others."""
    for found in data.glob("*/"):
        if found.is_dir() and found.name not in SERVICES:
            remove(found)
    for service in SERVICES:
        for found in sorted((data / service).glob("*/"))[:-1]:  # their names are dates
            remove(found)
    for file in data.rglob("examples-1.json*"):  # for the documentation of a client's methods
        remove(file)
    if (endpoints := data / "endpoints.json").exists():
        endpoints.write_text(json.dumps(prune_endpoints(json.loads(endpoints.read_text())), separators=(",", ":")))


def prune_endpoints(endpoints: dict[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    """Leave every partition with its regions, defaults and variants (FIPS, dual-stack), and of the services ours."""
    for partition in endpoints["partitions"]:
        services = partition["services"]
        if isinstance(services, dict):
            partition["services"] = {name: about for name, about in services.items() if name in SERVICES}
    return endpoints


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
