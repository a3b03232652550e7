"""What `make package` publishes: a template that CloudFormation takes without SAM, and a zip that belongs to it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from handler import __version__
from scripts import ROOT
from tests.deployment.published import NEEDS_THE_TRANSLATOR, TOOLS, translate
from tests.deployment.stack import TEMPLATE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.stack import Json

pytestmark = NEEDS_THE_TRANSLATOR
MAX_BYTES = 51_200  # of a template that is not in a bucket


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("published") / "template.json"
    translate(target)
    return target


@pytest.fixture(scope="module")
def published(path: Path) -> Json:
    template: Json = json.loads(path.read_text())
    return template


def test_the_template_needs_no_sam(published: Json) -> None:
    """It has no transform, so neither the SAM CLI nor CAPABILITY_AUTO_EXPAND is needed, and CDK can include it."""
    assert "Transform" not in published
    types = {resource["Type"] for resource in published["Resources"].values()}
    assert types >= {"AWS::Lambda::Function", "AWS::Lambda::EventInvokeConfig", "AWS::Scheduler::Schedule"}
    assert not [kind for kind in types if kind.startswith("AWS::Serverless::")]
    # Two templates with the same key here don't fit into one CDK stack.
    assert "Metadata" not in published


def test_the_template_has_all_parameters_and_takes_its_code_from_a_bucket(published: Json) -> None:
    """The key's default has the version: another version is another key, and so Lambda gets the new code."""
    added = published["Parameters"].keys() - TEMPLATE["Parameters"].keys()
    assert added == {"CodeBucket", "CodeKey"}
    assert published["Parameters"].keys() >= TEMPLATE["Parameters"].keys()
    assert "Default" not in published["Parameters"]["CodeBucket"]
    assert published["Parameters"]["CodeKey"]["Default"] == f"tango-token-keeper-{__version__}.zip"
    code = published["Resources"]["RefreshFunction"]["Properties"]["Code"]
    assert code == {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}}


def test_what_people_rely_on_is_in_the_template(published: Json) -> None:
    """The secrets stay, the rules and the outputs are there, and the boundary is also on the role that SAM adds."""
    for name in ("CredentialsSecret", "TokenSecret"):
        assert published["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert published["Rules"].keys() == TEMPLATE["Rules"].keys()
    assert published["Outputs"].keys() == TEMPLATE["Outputs"].keys()
    roles = [one["Properties"] for one in published["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    assert len(roles) == 2
    assert all("PermissionsBoundary" in role for role in roles)


def test_cloudformation_s_linter_finds_nothing_and_no_bucket_is_needed(path: Path) -> None:
    """The only check that is left out is about the empty default of the subnets, as in template.yaml."""
    command = [str(TOOLS / "cfn-lint"), str(path), "--ignore-checks", "W1033"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert path.stat().st_size <= MAX_BYTES
