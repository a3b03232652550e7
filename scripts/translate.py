"""Turn template.yaml into plain CloudFormation, as AWS does when SAM deploys it. The code's bucket becomes a parameter.

Run `python -m scripts.translate build/template.json` in the virtual environment of aws-sam-cli, which contains AWS's
own translator. cfn-lint and checkov read the result, because they do not look into SAM's resources.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]  # only .venv-deploy has it
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]  # the same

from scripts import ROOT, VERSIONED_NAME

Json = dict[str, Any]

CODE_PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "Description": "The S3 bucket that has the zip, in the region of the stack.",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "ConstraintDescription": "the name of a bucket",
    },
    "CodeKey": {
        "Type": "String",
        "Description": "The zip's key in this bucket. Its name has the version: another version is another key.",
        "Default": f"{VERSIONED_NAME}.zip",
        "MinLength": 1,
        "MaxLength": 1024,
    },
}
CODE_FROM_PARAMETERS = {"Bucket": {"Ref": "CodeBucket"}, "Key": {"Ref": "CodeKey"}}
# Only `sam build` reads these.
METADATA_OF_THE_BUILD = ("BuildMethod", "ContextPath", "WorkingDirectory")
# The translator reads the partition from the region. No resource of ours depends on it, since each ARN has
# ${AWS::Partition} instead.
ANY_REGION = "us-east-1"


class NoManagedPolicies:
    """The translator looks AWS's managed policies up by name. The template names none, so AWS is not asked."""

    def load(self) -> dict[str, str]:
        return {}


def translate() -> Json:
    """Return the template without SAM."""
    os.environ.setdefault("AWS_DEFAULT_REGION", ANY_REGION)
    template = yaml_parse((ROOT / "template.yaml").read_text())
    template["Resources"]["RefreshFunction"]["Properties"]["CodeUri"] = CODE_FROM_PARAMETERS
    template["Parameters"] = CODE_PARAMETERS | template["Parameters"]
    translated: Json = transform(template, {}, NoManagedPolicies(), passthrough_metadata=True)
    del translated["Metadata"]  # CDK refuses two templates with the same key here in one stack
    for resource in translated["Resources"].values():
        remove_metadata_of_the_build(resource)
    return translated


def remove_metadata_of_the_build(resource: Json) -> None:
    metadata = resource.get("Metadata", {})
    for name in METADATA_OF_THE_BUILD:
        metadata.pop(name, None)


def to_json(template: Json) -> str:
    """Return the template with one line for each parameter, resource and so on.

    So it stays below what CloudFormation takes without a bucket, and two versions can be compared.
    """
    sections = []
    for name, section in template.items():
        if not isinstance(section, dict):
            sections.append(f"{json.dumps(name)}: {json.dumps(section)}")
            continue
        lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in section.items()]
        sections.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def main() -> None:
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(to_json(translate()))


if __name__ == "__main__":
    main()
