"""The stack of the raw template: packaged, created, updated and deleted as `sam deploy` does it."""

import re
import tempfile
from pathlib import Path
from typing import Any

from scripts.bundle import bundle
from scripts.deploy_local.emulator import Aws
from scripts.deploy_local.report import wait_for
from scripts.package import fill

NAME, BUCKET, KEY = "token-refresh-local", "code", "token-refresh.zip"
STACK_SECONDS = 60
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


class Stack:
    """A stack with these parameters; `outputs` are the template's."""

    def __init__(self, aws: Aws, **parameters: str) -> None:
        self._aws, self._cloudformation, self._parameters = aws, aws.client("cloudformation"), parameters
        self.outputs: dict[str, str] = {}

    def upload(self) -> None:
        """Put the very package into the bucket that `make build` makes: other bytes would prove something else."""
        s3 = self._aws.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        with tempfile.TemporaryDirectory() as made:
            folder, package = Path(made) / "package", Path(made) / KEY
            fill(folder)
            bundle(folder, package)
            s3.put_object(Bucket=BUCKET, Key=KEY, Body=package.read_bytes())

    def create(self, template: Path) -> str:
        """Return the status at which it ends."""
        self._cloudformation.create_stack(**self._request(template))
        return self._settled()

    def update(self, template: Path, **parameters: str) -> str:
        self._parameters |= parameters
        self._cloudformation.update_stack(**self._request(template))
        return self._settled()

    def delete(self) -> str:
        # By its id: a deleted stack has no name any more.
        stack_id = self._describe(NAME)["StackId"]
        self._cloudformation.delete_stack(StackName=NAME)
        return self._settled(stack_id)

    def resources(self) -> dict[str, str]:
        """Return the type of each resource by its physical id."""
        answer = self._cloudformation.describe_stack_resources(StackName=NAME)
        return {one["PhysicalResourceId"]: one["ResourceType"] for one in answer["StackResources"]}

    def failures(self) -> str:
        """Say what failed and why, where the stack is not as it should be."""
        events = self._cloudformation.describe_stack_events(StackName=NAME)["StackEvents"]
        failed = [one for one in events if one["ResourceStatus"].endswith("FAILED")]
        return "; ".join(f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason')}" for one in failed)

    def _request(self, template: Path) -> dict[str, Any]:
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in self._parameters.items()]
        body = _packaged(template.read_text())
        return {"StackName": NAME, "TemplateBody": body, "Parameters": parameters, "Capabilities": CAPABILITIES}

    def _describe(self, stack: str) -> dict[str, Any]:
        found: dict[str, Any] = self._cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return found

    def _settled(self, stack: str = NAME) -> str:
        def is_over() -> bool:
            return not self._describe(stack)["StackStatus"].endswith("IN_PROGRESS")

        wait_for("the stack is settled", STACK_SECONDS, is_over)
        found = self._describe(stack)
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])} or self.outputs
        return str(found["StackStatus"])


def _packaged(template: str) -> str:
    """Do as `sam package` does, and touch nothing else: code that is a folder becomes code in a bucket."""
    packaged, count = re.subn(r"(?m)^( +CodeUri:).*$", rf"\1 s3://{BUCKET}/{KEY}", template)
    if count != 1:
        raise ValueError(f"the template has {count} lines with CodeUri, where one is expected")
    return packaged
