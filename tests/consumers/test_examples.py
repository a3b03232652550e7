"""Every example that can run here, and a copied reader, as its own process against the local world.

The others are at least well-formed.
"""

import http.server
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

from local.clock import Clock
from local.loopback import Loopback, LoopbackServer
from local.world import World
from tests.conftest import secrets_in
from tests.integration.test_local_commands import free_ports, served

CONSUMERS = Path(__file__).parents[2] / "consumers"
EXAMPLES = CONSUMERS / "examples"
SHELL = ["sh", str(EXAMPLES / "shell.sh")]
# They name no version, so they get AWSCURRENT: all that the stack's consumer policy allows.
WITHIN_THE_POLICY = ["powertools", "authlib_session", "requests_oauthlib_session"]
READ_AS_IT_COMES = [("GetSecretValue", {"SecretId"})]
SESSION_TOKEN = "the function's own"
SEED = {"access_token": None, "expires_at": 0, "schema": 1}
NO_TOKEN = "no token has been issued yet"
# A call by each way of sending the token that the reader comes with, by a copy of it inside a package.
CALLS = """
import asyncio, httpx, logging, os, requests
from service.lib.tango_token import TokenReader, for_httpx, for_requests

async def call():
    async with httpx.AsyncClient(auth=for_httpx.TangoAuth(reader)) as client:
        return (await client.get(url)).status_code

reader, url = TokenReader(os.environ["TOKEN_SECRET_ID"]), os.environ["API_URL"]
{}
reader.replace(reader.token())  # reads once more
print(asyncio.run(call()), httpx.get(url, auth=for_httpx.TangoAuth(reader)).status_code)
print(requests.get(url, auth=for_requests.TangoAuth(reader)).status_code)
"""
DEBUG = "logging.basicConfig(level=logging.DEBUG)"
SDK = "@aws-sdk/client-secrets-manager"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(Clock()) as world:
        world.invoke()
        yield world


def run(
    world: World, command: list[str], more: dict[str, str] | None = None, *, fails: bool = False, says: str = ""
) -> str:
    """Return what the example prints; it must end as it should, say that on standard error, and show no token."""
    loopback = {"API_URL": world.vendor.api_url, "OAUTHLIB_INSECURE_TRANSPORT": "1"}  # it insists on https
    variables = os.environ | world.environment() | loopback | (more or {})
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert not secrets_in(done.stdout + done.stderr, world)
    assert bool(done.returncode) is fails, done.stderr[-2_000:]
    assert says in done.stderr, done.stderr[-2_000:]
    return done.stdout.strip()


def python(name: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py")]


def reads(world: World, since: int) -> list[tuple[str, set[str]]]:
    """Return what was asked of Secrets Manager: the operations, and the names of their parameters."""
    return [(call.op, set(call.params)) for call in world.secrets.requests[since:]]


def put(world: World, name: str, document: dict[str, Any]) -> str:
    """Return the id of another token secret, with this document."""
    world.secrets.client().create_secret(Name=name, SecretString=json.dumps(document))
    return name


@pytest.mark.parametrize("name", WITHIN_THE_POLICY)
def test_a_python_example_calls_the_api(world: World, name: str) -> None:
    """Each reads the secret once with its library, as the consumer policy allows, and the API takes the token."""
    before = len(world.secrets.requests)
    assert run(world, python(name)) == "200"
    assert reads(world, before) == READ_AS_IT_COMES


def test_the_caching_library_asks_for_more_than_the_policy_allows(world: World) -> None:
    """It works, but by DescribeSecret and a version's id, as its example says."""
    before = len(world.secrets.requests)
    assert run(world, python("secretsmanager_caching")) == "200"
    assert reads(world, before) == [("DescribeSecret", {"SecretId"}), ("GetSecretValue", {"SecretId", "VersionId"})]


@pytest.mark.parametrize("name", ["authlib_session", "requests_oauthlib_session"])
def test_an_oauth_session_sends_no_token_that_is_none(world: World, name: str) -> None:
    """An expired token and the seed are refused by the library, and the API is not called."""
    expired = world.token() | {"expires_at": int(world.clock.now()) - 1}
    calls = len(world.vendor.api_calls)
    for document in (expired, SEED):
        secret_id = put(world, f"{name}/{document['expires_at']}", document)
        assert run(world, python(name), {"TOKEN_SECRET_ID": secret_id}, fails=True) == ""
    assert len(world.vendor.api_calls) == calls


def test_an_example_runs_with_what_make_serve_exports() -> None:
    """The export lines and one run of the handler are all that it takes, as the README says."""
    with served(*free_ports()) as exported:
        for command in ([sys.executable, "-m", "handler", "events/scheduled.json"], python("powertools")):
            said = subprocess.check_output(command, env=os.environ | exported, text=True, timeout=60)
    assert said == "200\n"


@pytest.fixture
def copied(tmp_path: Path) -> dict[str, str]:
    """Copy the reader's folder into another package, as a service would that installs nothing."""
    shutil.copytree(CONSUMERS / "python" / "tango_token", tmp_path / "service" / "lib" / "tango_token")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("setting", [DEBUG, f"reader.token(); {DEBUG}"], ids=["from the start", "after a read"])
def test_a_copied_reader_logs_no_token(world: World, copied: dict[str, str], setting: str) -> None:
    """The folder works wherever it lies, and with everything logged, whenever that is asked for, no token is."""
    command = [sys.executable, "-c", CALLS.format(setting)]
    assert run(world, command, copied, says="DEBUG:").split() == ["200"] * 3


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """Have the shell's programs say first, in a file, what a process list could show of them."""
    for program in ("aws", "curl", "python3"):
        found = shutil.which(program)
        if not found or subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
            pytest.skip(f"no {program} that runs is on the PATH")
        shim = tmp_path / program
        shim.write_text(f'#!/bin/sh\n{{ echo "$0 $*"; env; }} >>"$SHOWN"\nexec {found} "$@"\n')
        shim.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SHOWN": str(tmp_path / "shown")}


def test_the_shell_example_calls_the_api(world: World, shell: dict[str, str]) -> None:
    """The AWS CLI reads the secret, curl calls the API, and neither's arguments nor environment show the token."""
    before = len(world.secrets.requests)
    assert run(world, SHELL, shell) == "200"
    assert reads(world, before) == READ_AS_IT_COMES
    shown = Path(shell["SHOWN"]).read_text()
    assert "--header @-" in shown
    assert not secrets_in(shown, world)


def test_the_shell_example_stops_where_there_is_no_token(world: World, shell: dict[str, str]) -> None:
    """Before the first token it fails, and does not call the API with nothing."""
    secret_id = put(world, "shell/seed", SEED)
    assert run(world, SHELL, shell | {"TOKEN_SECRET_ID": secret_id}, fails=True, says=NO_TOKEN) == ""
    assert "curl" not in [Path(line.split()[0]).name for line in Path(shell["SHOWN"]).read_text().splitlines() if line]


@pytest.fixture
def extension(world: World) -> Iterator[dict[str, str]]:
    """Stand in for the Lambda extension, which answers as AWS documents it; the variables say where it is."""

    class Extension(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = parse_qs(url.query)
            is_known = self.headers["X-Aws-Parameters-Secrets-Token"] == SESSION_TOKEN
            is_right = url.path == "/secretsmanager/get" and asked.pop("versionStage") == ["AWSCURRENT"]
            self.send_response(200 if is_known and is_right else 400)
            self.end_headers()
            value = world.secrets.client().get_secret_value(SecretId=asked["secretId"][0])["SecretString"]
            self.wfile.write(json.dumps({"SecretString": value}).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = LoopbackServer(("127.0.0.1", 0), Extension)
    with Loopback(server):
        port = str(server.server_port)
        yield {"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": port, "AWS_SESSION_TOKEN": SESSION_TOKEN}


def test_the_lambda_extension_example_calls_the_api(world: World, extension: dict[str, str]) -> None:
    """It asks as the extension wants to be asked, and the API takes the token."""
    assert run(world, python("lambda_extension"), extension) == "200"
    assert run(world, python("lambda_extension"), extension | {"AWS_SESSION_TOKEN": "another's"}, fails=True) == ""


@pytest.mark.parametrize("name", ["powertools", "secretsmanager_caching", "lambda_extension"])
def test_an_example_stops_where_there_is_no_token(world: World, extension: dict[str, str], name: str) -> None:
    """With the seed it says so, and does not call the API with a token that is none."""
    seed = extension | {"TOKEN_SECRET_ID": put(world, f"{name}/seed", SEED)}
    calls = len(world.vendor.api_calls)
    assert run(world, python(name), seed, fails=True, says=NO_TOKEN) == ""
    assert len(world.vendor.api_calls) == calls


def test_the_caching_example_stops_where_there_is_no_value(world: World) -> None:
    """Its library answers None for a secret that has no value yet."""
    world.secrets.client().create_secret(Name="caching/empty")
    command = python("secretsmanager_caching")
    assert run(world, command, {"TOKEN_SECRET_ID": "caching/empty"}, fails=True, says=NO_TOKEN) == ""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_the_node_example_is_well_formed() -> None:
    """Its syntax is right, also where there is no SDK to run it with."""
    assert subprocess.run(["node", "--check", str(EXAMPLES / "node.mjs")], check=False).returncode == 0


@pytest.fixture
def node(tmp_path: Path) -> list[str]:
    """Put the example beside the SDK: modules find theirs by their own place alone, and NODE_PATH is not asked."""
    if not shutil.which("node"):
        pytest.skip("needs Node")
    resolve = ["node", "-p", f"require.resolve('{SDK}/package.json')"]
    found = subprocess.run(resolve, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"needs {SDK}: npm install it anywhere, and set NODE_PATH to its node_modules")
    (tmp_path / "node_modules").symlink_to(Path(found.stdout.strip()).parents[2])
    return ["node", shutil.copy(str(EXAMPLES / "node.mjs"), str(tmp_path))]


def test_the_node_example_calls_the_api(world: World, node: list[str]) -> None:
    """The SDK reads the secret once, and the API takes the token."""
    before = len(world.secrets.requests)
    assert run(world, node) == "200"
    assert reads(world, before) == READ_AS_IT_COMES


def test_the_node_example_reads_once_more_on_a_401(world: World, node: list[str]) -> None:
    """A dead token that is still the secret's is sent once: no loop."""
    secret_id = put(world, "node/dead", world.token() | {"access_token": "dead"})
    before = len(world.secrets.requests)
    calls = len(world.vendor.api_calls)
    assert run(world, node, {"TOKEN_SECRET_ID": secret_id}) == "401"
    assert reads(world, before) == READ_AS_IT_COMES * 2
    assert len(world.vendor.api_calls) == calls + 1


def test_the_node_example_stops_where_there_is_no_token(world: World, node: list[str]) -> None:
    """With the seed it says so, and does not call the API."""
    calls = len(world.vendor.api_calls)
    secret_id = put(world, "node/seed", SEED)
    assert run(world, node, {"TOKEN_SECRET_ID": secret_id}, fails=True, says=NO_TOKEN) == ""
    assert len(world.vendor.api_calls) == calls


def test_the_task_definition_is_one_that_ecs_accepts() -> None:
    """It has the keys of ECS's own model, gives the secret's id, and injects no secret that would grow old."""
    task = json.loads((EXAMPLES / "ecs-task-definition.json").read_text())
    model = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition")
    report = ParamValidator().validate(task, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    [container] = task["containerDefinitions"]
    # The validator lets keys pass that the model does not have.
    assert set(task) <= set(model.input_shape.members)
    assert set(container) <= set(model.input_shape.members["containerDefinitions"].member.members)
    assert {one["name"] for one in container["environment"]} == {"TOKEN_SECRET_ID", "API_URL"}
    assert "secrets" not in container


def test_the_external_secret_is_well_formed() -> None:
    """It parses, and names the token's key and the interval; no cluster is here to try it on."""
    manifest = yaml.safe_load((EXAMPLES / "external-secrets.yaml").read_text())
    assert manifest["kind"] == "ExternalSecret"
    assert manifest["spec"]["refreshInterval"] == "5m"
    assert manifest["spec"]["data"][0]["remoteRef"]["property"] == "access_token"


def test_the_package_carries_the_licence() -> None:
    """A wheel is built from its folder alone, so the licence lies there too, the same one."""
    assert (CONSUMERS / "python" / "LICENSE").read_text() == (CONSUMERS.parent / "LICENSE").read_text()
