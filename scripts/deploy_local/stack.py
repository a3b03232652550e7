"""The stack of the raw template: packaged, created, updated and deleted as `sam deploy` does it."""

import re
import tempfile
from pathlib import Path
from typing import Any

from scripts.bundle import bundle
from scripts.deploy_local.emulator import Aws
from scripts.deploy_local.polling import wait_for
from scripts.package import fill

NAME = "token-refresh-local"
BUCKET = "code"
KEY = "token-refresh.zip"
STACK_SECONDS = 60
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


class Stack:
    """A stack with these parameters. `outputs` are the template's."""

    def __init__(self, aws: Aws, **parameters: str) -> None:
        self._aws = aws
        self._cloudformation = aws.client("cloudformation")
        self._parameters = parameters
        self.outputs: dict[str, str] = {}

    def upload(self) -> None:
        """Put the package of `make build` into the bucket: with other bytes the checks would prove less."""
        s3 = self._aws.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory) / "package"
            package = Path(directory) / KEY
            fill(folder)
            bundle(folder, package)
            s3.put_object(Bucket=BUCKET, Key=KEY, Body=package.read_bytes())

    def create(self, template: Path) -> str:
        """Return the final status."""
        self._cloudformation.create_stack(**self._request(template))
        return self._final_status()

    def update(self, template: Path, **parameters: str) -> str:
        self._parameters |= parameters
        self._cloudformation.update_stack(**self._request(template))
        return self._final_status()

    def delete(self) -> str:
        # CloudFormation finds a deleted stack only by its id.
        stack_id = self._describe(NAME)["StackId"]
        self._cloudformation.delete_stack(StackName=NAME)
        return self._final_status(stack_id)

    def resource_types(self) -> list[str]:
        answer = self._cloudformation.describe_stack_resources(StackName=NAME)
        return [resource["ResourceType"] for resource in answer["StackResources"]]

    def failures(self) -> str:
        """Return what failed and why, or an empty string."""
        events = self._cloudformation.describe_stack_events(StackName=NAME)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        reasons = (f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)
        return "; ".join(reasons)

    def _request(self, template: Path) -> dict[str, Any]:
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in self._parameters.items()]
        return {
            "StackName": NAME,
            "TemplateBody": _with_code_from_bucket(template.read_text()),
            "Parameters": parameters,
            "Capabilities": CAPABILITIES,
        }

    def _describe(self, stack: str) -> dict[str, Any]:
        description: dict[str, Any] = self._cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return description

    def _final_status(self, stack: str = NAME) -> str:
        def is_over() -> bool:
            return not self._describe(stack)["StackStatus"].endswith("IN_PROGRESS")

        wait_for("the stack has its final status", STACK_SECONDS, is_over)
        description = self._describe(stack)
        outputs = description.get("Outputs", [])
        if outputs:
            self.outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
        return str(description["StackStatus"])


def _with_code_from_bucket(template: str) -> str:
    """Do as `sam package` does, and change nothing else: code in a folder becomes code in a bucket."""
    packaged, count = re.subn(r"(?m)^( +CodeUri:).*$", rf"\1 s3://{BUCKET}/{KEY}", template)
    if count != 1:
        raise ValueError(f"the template has {count} lines with CodeUri, but must have one")
    return packaged
