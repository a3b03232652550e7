"""Turn template.yaml into the CloudFormation that AWS makes of it, for cfn-lint: it does not look into SAM's resources.

`python -m scripts.translate build/template.json`, in the venv of aws-sam-cli, which brings AWS's own translator.
"""

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]  # in its own venv
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]  # in its own venv

from scripts import ROOT


class NoManagedPolicies:
    """The translator asks for AWS's managed policies by name; the template names none, so nobody asks AWS."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text())
    # Code comes from a bucket by the time AWS translates.
    template["Resources"]["RefreshFunction"]["Properties"]["CodeUri"] = "s3://bucket/code.zip"
    translated = transform(template, {}, NoManagedPolicies(), passthrough_metadata=True)
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(translated, indent=2))


if __name__ == "__main__":
    main()
