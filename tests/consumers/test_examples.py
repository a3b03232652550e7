"""Every example that can run here, as its own process against the local world; the others are at least well-formed."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from local.clock import Clock
from local.world import TOKEN_SECRET, World

EXAMPLES = Path(__file__).parents[2] / "consumers" / "examples"
PYTHON = ["secretsmanager_caching", "powertools", "authlib_session", "requests_oauthlib_session"]
SESSION_TOKEN = "the function's own"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(Clock()) as world:
        world.invoke()
        yield world


def run(world: World, *command: str, **more: str) -> str:
    """Return what the example prints; it must end well, and show no token."""
    loopback = {"API_URL": world.vendor.api_url, "OAUTHLIB_INSECURE_TRANSPORT": "1"}  # it insists on https
    variables = world.environment() | loopback | more
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=False)
    assert world.token()["access_token"] not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.strip()


@pytest.mark.parametrize("name", PYTHON)
def test_a_python_example_calls_the_api(world: World, name: str) -> None:
    """Each reads the secret with its library, and the API takes the token."""
    assert run(world, sys.executable, str(EXAMPLES / f"{name}.py")) == "200"


@pytest.mark.skipif(not shutil.which("aws") or not shutil.which("curl"), reason="needs the AWS CLI and curl")
def test_the_shell_example_calls_the_api(world: World) -> None:
    """The AWS CLI reads the secret, and curl has the token from its standard input."""
    works = subprocess.run(["aws", "--version"], capture_output=True, check=False).returncode == 0
    if not works:
        pytest.skip("the aws on the PATH does not run")
    assert "customerIdentifier" in run(world, "sh", str(EXAMPLES / "shell.sh"))


def test_the_lambda_extension_example_calls_the_api(world: World) -> None:
    """Against a stand-in for the extension, which answers as AWS documents it."""

    class Extension(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            is_known = self.headers["X-Aws-Parameters-Secrets-Token"] == SESSION_TOKEN
            is_right = is_known and asked == {"secretId": [TOKEN_SECRET], "versionStage": ["AWSCURRENT"]}
            self.send_response(200 if is_right else 400)
            self.end_headers()
            self.wfile.write(json.dumps({"SecretString": json.dumps(world.token())}).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Extension) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        port = {"PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": str(server.server_port), "AWS_SESSION_TOKEN": SESSION_TOKEN}
        said = run(world, sys.executable, str(EXAMPLES / "lambda_extension.py"), **port)
        server.shutdown()
    assert said == "200"


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_the_node_example_is_well_formed() -> None:
    """Its syntax is checked; to run it would take the AWS SDK for JavaScript."""
    assert subprocess.run(["node", "--check", str(EXAMPLES / "node.mjs")], check=False).returncode == 0


def test_the_manifests_are_well_formed() -> None:
    """They parse, and name the secret's key; no cluster is here to try them on."""
    manifest = yaml.safe_load((EXAMPLES / "external-secrets.yaml").read_text())
    assert manifest["spec"]["data"][0]["remoteRef"]["property"] == "access_token"
    task = json.loads((EXAMPLES / "ecs-task-definition.json").read_text())
    assert task["containerDefinitions"][0]["environment"][0]["name"] == "TOKEN_SECRET_ID"
