"""The examples, and a copied reader, each in a process of its own against the local world.

Examples that can't run here are checked for their form.
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

from local.emulators.clock import Clock
from local.emulators.loopback import Loopback, LoopbackServer
from local.emulators.world import World
from tests.conftest import secrets_in
from tests.integration.test_local_commands import served

CONSUMERS = Path(__file__).parents[2] / "consumers"
EXAMPLES = CONSUMERS / "examples"
SHELL = ["sh", str(EXAMPLES / "shell.sh")]
# They do not name a version, so they get AWSCURRENT, which the stack's consumer policy allows.
WITHIN_THE_POLICY = ["powertools", "authlib_session", "requests_oauthlib_session"]
READ_AS_IT_COMES = [("GetSecretValue", {"SecretId"})]
READ_BY_STAGE = [("GetSecretValue", {"SecretId", "VersionStage"})]
SESSION_TOKEN = "the function's own"
SEED = {"access_token": None, "expires_at": 0, "schema": 1}
NO_TOKEN = "no token has been issued yet"
# A copy of the reader inside another package calls the API once with each client that the reader supports.
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


@pytest.fixture(scope="module")
def shared_world() -> Iterator[World]:
    """A world with a token that all tests of this file share; it uses the machine's clock."""
    with World(Clock()) as world:
        world.invoke()
        yield world


def run(
    world: World, command: list[str], variables: dict[str, str] | None = None, *, fails: bool = False, says: str = ""
) -> str:
    """Return what the example prints. It must end as it should, write `says` to standard error, and show no token."""
    environment = os.environ | world.environment()
    environment["API_URL"] = world.vendor.api_url
    environment["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # oauthlib refuses http otherwise
    environment |= variables or {}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert not secrets_in(done.stdout + done.stderr, world)
    assert bool(done.returncode) is fails, done.stderr[-2_000:]
    assert says in done.stderr, done.stderr[-2_000:]
    return done.stdout.strip()


def python(name: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py")]


def reads(world: World, since: int) -> list[tuple[str, set[str]]]:
    """Return the calls to Secrets Manager since then: the operations, and the names of their parameters."""
    return [(call.op, set(call.params)) for call in world.secrets.requests[since:]]


def put(world: World, name: str, document: dict[str, Any]) -> str:
    """Create another token secret with this document; return its id."""
    world.secrets.do("CreateSecret", Name=name, SecretString=json.dumps(document))
    return name


@pytest.mark.parametrize("name", WITHIN_THE_POLICY)
def test_a_python_example_calls_the_api(shared_world: World, name: str) -> None:
    """Each example reads the secret once, as the consumer policy allows, and the API accepts its token."""
    before = len(shared_world.secrets.requests)
    assert run(shared_world, python(name)) == "200"
    assert reads(shared_world, before) == READ_AS_IT_COMES


def test_the_caching_library_asks_for_more_than_the_policy_allows(shared_world: World) -> None:
    """It works, but with DescribeSecret and a version's id, as the example's comment says."""
    before = len(shared_world.secrets.requests)
    assert run(shared_world, python("secretsmanager_caching")) == "200"
    assert reads(shared_world, before) == [
        ("DescribeSecret", {"SecretId"}),
        ("GetSecretValue", {"SecretId", "VersionId"}),
    ]


@pytest.mark.parametrize("name", ["authlib_session", "requests_oauthlib_session"])
def test_an_oauth_session_sends_neither_an_expired_token_nor_the_seed(shared_world: World, name: str) -> None:
    """The library refuses an expired token and the seed, and the API is not called."""
    expired = shared_world.token() | {"expires_at": int(shared_world.clock.now()) - 1}
    calls = len(shared_world.vendor.api_calls)
    for document in (expired, SEED):
        secret_id = put(shared_world, f"{name}/{document['expires_at']}", document)
        assert run(shared_world, python(name), {"TOKEN_SECRET_ID": secret_id}, fails=True) == ""
    assert len(shared_world.vendor.api_calls) == calls


def test_an_example_runs_with_what_make_serve_exports() -> None:
    """An example needs only the export lines and one run of the handler, as the README says."""
    handler = [sys.executable, "-m", "handler", "events/scheduled.json"]
    with served() as exported:
        environment = os.environ | exported
        subprocess.check_output(handler, env=environment, text=True, timeout=60)
        printed = subprocess.check_output(python("powertools"), env=environment, text=True, timeout=60)
    assert printed == "200\n"


@pytest.fixture
def copied(tmp_path: Path) -> dict[str, str]:
    """Copy the reader's folder into another package, as a service does that does not want to install it."""
    shutil.copytree(CONSUMERS / "python" / "tango_token", tmp_path / "service" / "lib" / "tango_token")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize("setting", [DEBUG, f"reader.token(); {DEBUG}"], ids=["from the start", "after a read"])
def test_a_copied_reader_logs_no_token(shared_world: World, copied: dict[str, str], setting: str) -> None:
    """The folder works in any package. It logs no token at the level DEBUG, whenever that level is set."""
    command = [sys.executable, "-c", CALLS.format(setting)]
    assert run(shared_world, command, copied, says="DEBUG:").split() == ["200"] * 3


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """Put wrappers on the PATH that first write to a file what a process list could show of the shell's programs."""
    for program in ("aws", "curl", "python3"):
        path = shutil.which(program)
        if not path or subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
            pytest.skip(f"no {program} that runs is on the PATH")
        wrapper = tmp_path / program
        wrapper.write_text(f'#!/bin/sh\n{{ echo "$0 $*"; env; }} >>"$SHOWN"\nexec {path} "$@"\n')
        wrapper.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SHOWN": str(tmp_path / "shown")}


def test_the_shell_example_calls_the_api(shared_world: World, shell: dict[str, str]) -> None:
    """The AWS CLI reads the secret, curl calls the API, and no argument or variable of theirs shows the token."""
    before = len(shared_world.secrets.requests)
    assert run(shared_world, SHELL, shell) == "200"
    assert reads(shared_world, before) == READ_AS_IT_COMES
    shown = Path(shell["SHOWN"]).read_text()
    assert "--header @-" in shown
    assert not secrets_in(shown, shared_world)


def test_the_shell_example_stops_if_there_is_no_token(shared_world: World, shell: dict[str, str]) -> None:
    """Before the first token the example fails, and does not call the API."""
    secret_id = put(shared_world, "shell/seed", SEED)
    assert run(shared_world, SHELL, shell | {"TOKEN_SECRET_ID": secret_id}, fails=True, says=NO_TOKEN) == ""
    first_words = [line.split()[0] for line in Path(shell["SHOWN"]).read_text().splitlines() if line]
    assert "curl" not in [Path(word).name for word in first_words]


@pytest.fixture
def extension(shared_world: World) -> Iterator[dict[str, str]]:
    """Run a server that answers as AWS documents the Lambda extension; yield the variables that name its port."""

    class Extension(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            is_known = self.headers["X-Aws-Parameters-Secrets-Token"] == SESSION_TOKEN
            is_right = url.path == "/secretsmanager/get" and query.pop("versionStage") == ["AWSCURRENT"]
            self.send_response(200 if is_known and is_right else 400)
            self.end_headers()
            [secret_id] = query["secretId"]
            value = shared_world.secrets.client().get_secret_value(SecretId=secret_id)["SecretString"]
            self.wfile.write(json.dumps({"SecretString": value}).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = LoopbackServer(("127.0.0.1", 0), Extension)
    with Loopback(server):
        port = str(server.server_port)
        yield {"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": port, "AWS_SESSION_TOKEN": SESSION_TOKEN}


def test_the_lambda_extension_example_calls_the_api(shared_world: World, extension: dict[str, str]) -> None:
    """The example sends what the extension requires, and the API accepts the token."""
    assert run(shared_world, python("lambda_extension"), extension) == "200"
    wrong_token = extension | {"AWS_SESSION_TOKEN": "another's"}
    assert run(shared_world, python("lambda_extension"), wrong_token, fails=True) == ""


@pytest.mark.parametrize("name", ["powertools", "secretsmanager_caching", "lambda_extension"])
def test_an_example_stops_if_there_is_no_token(shared_world: World, extension: dict[str, str], name: str) -> None:
    """With the seed the example says that there is no token, and does not call the API."""
    seed = extension | {"TOKEN_SECRET_ID": put(shared_world, f"{name}/seed", SEED)}
    calls = len(shared_world.vendor.api_calls)
    assert run(shared_world, python(name), seed, fails=True, says=NO_TOKEN) == ""
    assert len(shared_world.vendor.api_calls) == calls


def test_the_caching_example_stops_if_there_is_no_value(shared_world: World) -> None:
    """The library answers None if the secret has no value yet."""
    shared_world.secrets.do("CreateSecret", Name="caching/empty")
    command = python("secretsmanager_caching")
    assert run(shared_world, command, {"TOKEN_SECRET_ID": "caching/empty"}, fails=True, says=NO_TOKEN) == ""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_the_node_example_is_well_formed() -> None:
    """Its syntax is correct, which can be checked without its package."""
    assert subprocess.run(["node", "--check", str(EXAMPLES / "node.mjs")], check=False).returncode == 0


@pytest.fixture
def node(tmp_path: Path) -> list[str]:
    """Put the example next to its package: a module finds others only by its own place, and ignores NODE_PATH."""
    package = CONSUMERS / "typescript"
    if not shutil.which("node"):
        pytest.skip("needs Node")
    if not (package / "dist").is_dir():
        pytest.skip("needs the TypeScript package: make typescript")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "tango-token").symlink_to(package)
    example = shutil.copy(str(EXAMPLES / "node.mjs"), str(tmp_path))
    return ["node", example]


def test_the_node_example_calls_the_api(shared_world: World, node: list[str]) -> None:
    """The example reads the secret once, and the API accepts the token."""
    before = len(shared_world.secrets.requests)
    assert run(shared_world, node) == "200"
    assert reads(shared_world, before) == READ_BY_STAGE


def test_the_node_example_reads_once_more_on_a_401(shared_world: World, node: list[str]) -> None:
    """If the secret still has the refused token, it is not sent again."""
    secret_id = put(shared_world, "node/dead", shared_world.token() | {"access_token": "dead"})
    before = len(shared_world.secrets.requests)
    calls = len(shared_world.vendor.api_calls)
    assert run(shared_world, node, {"TOKEN_SECRET_ID": secret_id}) == "401"
    assert reads(shared_world, before) == READ_BY_STAGE * 2
    assert len(shared_world.vendor.api_calls) == calls + 1


def test_the_node_example_stops_if_there_is_no_token(shared_world: World, node: list[str]) -> None:
    """With the seed the example says that there is no token, and does not call the API."""
    calls = len(shared_world.vendor.api_calls)
    secret_id = put(shared_world, "node/seed", SEED)
    assert run(shared_world, node, {"TOKEN_SECRET_ID": secret_id}, fails=True, says=NO_TOKEN) == ""
    assert len(shared_world.vendor.api_calls) == calls


def test_the_task_definition_is_one_that_ecs_accepts() -> None:
    """It has the keys of ECS's own model, and passes the secret's id, not its value, which would grow old."""
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
    """It can be parsed, and names the token's key and the interval. There is no cluster here to try it on."""
    manifest = yaml.safe_load((EXAMPLES / "external-secrets.yaml").read_text())
    assert manifest["kind"] == "ExternalSecret"
    assert manifest["spec"]["refreshInterval"] == "5m"
    assert manifest["spec"]["data"][0]["remoteRef"]["property"] == "access_token"


def test_the_package_carries_the_licence() -> None:
    """A wheel is built from the package's folder alone, so the same licence is there too."""
    assert (CONSUMERS / "python" / "LICENSE").read_text() == (CONSUMERS.parent / "LICENSE").read_text()
