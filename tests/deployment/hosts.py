"""Print the URL, partition and signing scope of one call to each service, for every region and kind of endpoint.

Usage: `python hosts.py SERVICE.operation... <REGIONS`, a JSON list. Nothing is sent. The test runs it with the whole
botocore and with the one that ships.
"""

import json
import sys
from itertools import product
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError

# Read from the whole botocore, so that both runs ask for the same regions. AWS does not have the last two.
REGIONS = (*json.load(sys.stdin), "us-east-99", "xx-nowhere-1")
PARAMETERS: dict[str, dict[str, object]] = {
    "secretsmanager": {"SecretIdList": ["one"]},
    "lambda": {"FunctionName": "one"},
    "events": {"Entries": [{"Source": "one", "DetailType": "two", "Detail": "{}"}]},
}


def host(session: Any, service: str, operation: str, region: str, config: Config) -> object:
    url_and_scope: list[str] = []

    def stop(request: Any, **_: object) -> AWSResponse:
        scope = request.headers["Authorization"].decode().split("/")[2:4]
        url_and_scope.extend([request.url, *scope])
        return AWSResponse(request.url, 200, {}, Empty())

    try:
        client = session.create_client(service, region_name=region, config=config)
        client.meta.events.register("before-send", stop)
        getattr(client, operation)(**PARAMETERS[service])
    except BotoCoreError as error:
        return f"{type(error).__name__}: {error}"
    return [client.meta.partition, client.meta.endpoint_url, *url_and_scope]


class Empty:
    """An answer's body: an empty JSON object."""

    def stream(self, **_: object) -> list[bytes]:
        return [b"{}"]


def main() -> None:
    session = botocore.session.get_session()
    session.set_credentials("id", "secret")
    calls = [argument.split(".") for argument in sys.argv[1:]]
    hosts = {}
    for (service, operation), region, fips, dualstack in product(calls, REGIONS, (False, True), (False, True)):
        config = Config(use_fips_endpoint=fips, use_dualstack_endpoint=dualstack)
        hosts[f"{service} {region} {fips=} {dualstack=}"] = host(session, service, operation, region, config)
    regions = {
        f"regions of {service} in {partition}": session.get_available_regions(
            service, partition, allow_non_regional=True
        )
        for service, _ in calls
        for partition in session.get_available_partitions()
    }
    json.dump(hosts | regions, sys.stdout)


if __name__ == "__main__":
    main()
