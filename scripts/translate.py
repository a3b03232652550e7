"""Turn template.yaml into the CloudFormation that AWS makes of it: cfn-lint does not look into SAM's resources.

Run `python -m scripts.translate build/template.json` in the virtual environment of aws-sam-cli, which contains AWS's
own translator.
"""

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]  # only .venv-deploy has it
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]  # the same

from scripts import ROOT


class NoManagedPolicies:
    """The translator looks AWS's managed policies up by name. The template names none, so AWS is not asked."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    # When AWS translates a template, its code is in a bucket.
    template["Resources"]["RefreshFunction"]["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    translated = transform(template, {}, NoManagedPolicies(), passthrough_metadata=True)
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(translated, indent=2))


if __name__ == "__main__":
    main()
