"""The stack of the raw template, or of the one without SAM: created, updated and deleted."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from scripts.bundle import bundle
from scripts.deploy_local.emulator import Aws
from scripts.deploy_local.polling import wait_for
from scripts.package import fill

BUCKET = "code"
KEY = "token-refresh.zip"
STACK_SECONDS = 60
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


Json = dict[str, Any]


def upload_package(aws: Aws, package: Path | None = None) -> None:
    """Put this zip into the bucket, or without one what `make build` makes: other bytes would prove less."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    if package:
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=package.read_bytes())
        return
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "package"
        package = Path(directory) / KEY
        fill(folder)
        bundle(folder, package)
        s3.put_object(Bucket=BUCKET, Key=KEY, Body=package.read_bytes())


class Stack:
    """A stack with these parameters. `outputs` are the template's."""

    def __init__(self, aws: Aws, name: str, **parameters: str) -> None:
        self.name = name
        self._aws = aws
        self._cloudformation = aws.client("cloudformation")
        self._parameters = parameters
        self.outputs: dict[str, str] = {}

    def create(self, template: Path) -> str:
        """Return the final status."""
        self._cloudformation.create_stack(**self._request(template))
        return self._final_status(self.name)

    def update(self, template: Path, **parameters: str) -> str:
        self._parameters |= parameters
        self._cloudformation.update_stack(**self._request(template))
        return self._final_status(self.name)

    def delete(self) -> str:
        # CloudFormation finds a deleted stack only by its id.
        stack_id = self._describe(self.name)["StackId"]
        self._cloudformation.delete_stack(StackName=self.name)
        return self._final_status(stack_id)

    def resource_types(self) -> list[str]:
        answer = self._cloudformation.describe_stack_resources(StackName=self.name)
        return [resource["ResourceType"] for resource in answer["StackResources"]]

    def failures(self) -> str:
        """Return what failed and why, or an empty string."""
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        reasons = (f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)
        return "; ".join(reasons)

    def invoke(self, event: object) -> Json:
        """Return the function's result, or the error in place of it."""
        answer = self._aws.client("lambda").invoke(
            FunctionName=self.outputs["FunctionName"],
            Payload=json.dumps(event).encode(),
        )
        result: Json = json.loads(answer["Payload"].read())
        return result

    def function_role(self) -> str:
        """Return the ARN of the function's role."""
        function = self._aws.client("lambda").get_function_configuration(FunctionName=self.outputs["FunctionName"])
        return str(function["Role"])

    def log_lines(self) -> list[str]:
        paginator = self._aws.client("logs").get_paginator("filter_log_events")
        pages = paginator.paginate(logGroupName=self.outputs["LogGroupName"])
        return [event["message"] for page in pages for event in page["events"]]

    def alarm_dimensions(self) -> set[str]:
        """Return the services whose metrics the stack's alarms watch."""
        alarms = self._aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{self.name}-")["MetricAlarms"]
        ours = [alarm for alarm in alarms if alarm["Namespace"] == "TokenRefresh"]
        return {dimension["Value"] for alarm in ours for dimension in alarm["Dimensions"]}

    def _request(self, template: Path) -> Json:
        values = dict(self._parameters)
        body = template.read_text()
        if "CodeBucket" in body:
            values |= {"CodeBucket": BUCKET, "CodeKey": KEY}
        else:
            body = _with_code_from_bucket(body)
        return {
            "StackName": self.name,
            "TemplateBody": body,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
            "Capabilities": CAPABILITIES,
        }

    def _describe(self, stack: str) -> Json:
        description: Json = self._cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return description

    def _final_status(self, stack: str) -> str:
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
