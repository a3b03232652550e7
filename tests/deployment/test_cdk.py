"""examples/cdk: two keepers in one stack. `make cdk` installs what this needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from scripts import ROOT
from tests.deployment.published import NEEDS_THE_TRANSLATOR, translate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.stack import Json

EXAMPLE = ROOT / "examples" / "cdk"
IS_INSTALLED = shutil.which("node") is not None and (EXAMPLE / "node_modules").is_dir()
pytestmark = [
    NEEDS_THE_TRANSLATOR,
    pytest.mark.skipif(not IS_INSTALLED, reason="CDK's library is not installed: `make cdk` does that, with Node 20"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """The CloudFormation that CDK makes of the example."""
    folder = tmp_path_factory.mktemp("cdk")
    synthesise(folder)
    template: Json = json.loads((folder / "out" / "Tokens.template.json").read_text())
    return template


def synthesise(folder: Path) -> None:
    files = folder / "keeper"
    translate(files.with_suffix(".template.json"))
    files.with_suffix(".zip").write_bytes(b"the code")
    variables = os.environ | {"KEEPER_FILES": str(files), "CDK_OUTDIR": str(folder / "out")}
    command = ["node", "app.js"]
    subprocess.run(command, cwd=EXAMPLE, env=variables, check=True, capture_output=True)


def texts_in(value: Any) -> set[str]:
    """Return every text in a value, however deep."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, dict) else value
    return set().union(*map(texts_in, parts))


def of_type(stack: Json, kind: str) -> dict[str, Json]:
    return {name: one["Properties"] for name, one in stack["Resources"].items() if one["Type"] == kind}


def test_two_keepers_in_one_stack_share_no_alarm(stack: Json) -> None:
    """The function and the alarms of each keeper have its own name as the dimension `service`."""
    for name, other in (("Shop", "Trial"), ("Trial", "Shop")):
        alarms = [one for key, one in of_type(stack, "AWS::CloudWatch::Alarm").items() if key.startswith(name)]
        watching = [alarm["Dimensions"] for alarm in alarms if alarm["Namespace"] == "TokenRefresh"]
        assert len(watching) == 8
        functions = [one for key, one in of_type(stack, "AWS::Lambda::Function").items() if key.startswith(name)]
        [variables] = [one["Environment"]["Variables"] for one in functions]
        for value in [*watching, variables["POWERTOOLS_SERVICE_NAME"]]:
            assert f"Tokens-{name}" in texts_in(value)
            assert f"Tokens-{other}" not in texts_in(value)


def test_the_code_comes_from_the_bucket_of_cdk(stack: Json) -> None:
    """CDK uploads the zip itself, so nobody names a bucket."""
    functions = of_type(stack, "AWS::Lambda::Function").values()
    assert len(functions) == 2
    assert all(function["Code"].keys() == {"S3Bucket", "S3Key"} for function in functions)
    assert not [name for name in stack["Parameters"] if "Code" in name]


def test_a_role_of_the_stack_reads_the_token_of_one_keeper(stack: Json) -> None:
    """It has the consumer policy of the shop's keeper."""
    [role] = [one for name, one in of_type(stack, "AWS::IAM::Role").items() if name.startswith("Orders")]
    policies = of_type(stack, "AWS::IAM::ManagedPolicy")
    [policy] = [name for name in policies if name.startswith("Shop") and "Caching" not in name]
    assert role["ManagedPolicyArns"] == [{"Ref": policy}]
