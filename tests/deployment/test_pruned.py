"""Nothing needs what the build removes from the libraries: neither the rest of the package nor a run of any kind."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session

from bench.meter import Meter
from handler import settings
from local.emulators.clock import Clock
from local.emulators.world import World
from scripts.prune import SERVICES, UNREACHABLE, prune_endpoints
from tests.conftest import secrets_in

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PATIENCE = 60.0  # real seconds; everything here ends much earlier
REFRESH = '{"action": "refresh"}'
STATUS = '{"action": "status"}'
NONSENSE = '{"action": "dance"}'
# What a run that finds a fresh token must not load, and why it does not need it. A package includes its modules.
NOT_FOR_A_NO_OP = {
    "aws_lambda_powertools.event_handler": "of Powertools only the Logger and the Metrics",
    "aws_xray_sdk": "no Tracer",
    "boto3": "only for the bus",
    "charset_normalizer": "requests'",
    "idna": "requests'",
    "multiprocessing": "s3transfer's",
    "requests": "only to acquire, or to probe",
    "s3transfer": "boto3's",
}
# Imports of removed modules in the rest of the package, and why no run reaches them.
NOT_FOLLOWED = {
    "aws_lambda_powertools/shared/functions.py: aws_lambda_powertools.event_handler.openapi.compat": "for Pydantic",
    "urllib3/__init__.py: urllib3.contrib.emscripten": "for browsers",
}
# What makes a client of the service that comes first, and the file that makes a client of any service.
MAKERS = {"client", "create_client", "make_client", "resource"}
MAKES_ALL_CLIENTS = "aws.py"
KMS_CLIENT = """
import boto3, botocore.exceptions
try:
    print(boto3.client("kms", region_name="us-gov-west-1").meta.endpoint_url)
except botocore.exceptions.UnknownServiceError:
    print("unknown")
"""
Json = dict[str, Any]


def python(package: Path, *arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with only the package: -S hides the venv's own packages."""
    done = subprocess.run(
        [sys.executable, "-S", *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **variables},
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def invoke(package: Path, world: World, *events: str, **overrides: str) -> tuple[list[Json], list[Json]]:
    """Return what tick.py says of each event, run in one process, and the lines that the handler wrote."""
    variables = {"EVENT_BUS_NAME": "default", "AWS_ENDPOINT_URL_EVENTBRIDGE": world.secrets.url, **overrides}
    done = python(package, str(HERE / "tick.py"), *events, **world.environment(**variables))
    assert not secrets_in(done.stdout + done.stderr, world)
    reports = [json.loads(line) for line in done.stderr.splitlines()]
    handler_lines = [json.loads(line) for line in done.stdout.splitlines()]
    return reports, handler_lines


def test_every_kind_of_run_finds_what_it_needs(shipped_package: Path, live_world: World) -> None:
    """A refresh with an event on the bus, a kept token, a question and an error all work in one process."""
    reports, lines = invoke(shipped_package, live_world, REFRESH, REFRESH, STATUS, NONSENSE)
    *runs, failed_run = reports
    assert [run["result"]["outcome"] for run in runs] == ["refreshed", "kept", "kept"]
    assert failed_run["error"] == "EventError"
    [problem] = [line for line in lines if line.get("level") in {"WARNING", "ERROR"}]
    assert problem["level"] == "ERROR"
    assert problem["message"] == "the event's action must be refresh or status"
    assert "EventError" in problem["exception"]
    assert live_world.consume() == 200


def test_a_tick_that_finds_a_fresh_token_loads_no_more_than_it_needs(shipped_package: Path, live_world: World) -> None:
    """It loads nothing for the vendor or for the bus, and makes its one call over one connection."""
    live_world.invoke()
    live_world.secrets.calls.clear()
    [run], _ = invoke(shipped_package, live_world, REFRESH)
    assert run["result"]["outcome"] == "kept"
    for name in NOT_FOR_A_NO_OP:
        assert [module for module in run["modules"] if f"{module}.".startswith(f"{name}.")] == []
    services = ("/data/events/", "/data/lambda/", "/data/sts/")
    assert [path for path in run["opened"] if any(service in path for service in services)] == []
    assert live_world.secrets.calls == ["BatchGetSecretValue"]
    assert len(run["connected"]) == 1


def test_a_sweep_can_hand_over(shipped_package: Path) -> None:
    """What ships is enough to invoke the function, which a sweep does for each connection that is due."""
    with World(Clock(), prefix="tango/") as world:
        world.add_store("017")
        [run], _ = invoke(shipped_package, world, REFRESH)
        events = [invocation.event for invocation in world.functions.invocations]
    assert run["result"]["handed_over"] == 1
    assert run["result"]["problems"] == []
    assert events == [{"action": "refresh", "connection": "017"}]


def test_a_refresh_reuses_its_connections(shipped_package: Path, live_world: World) -> None:
    """All calls to Secrets Manager take one connection, also those of the next run; so do the vendor and the bus."""
    live_world.secrets.calls.clear()
    with (
        Meter(live_world.secrets.url) as secrets,
        Meter(live_world.vendor.url) as vendor,
        Meter(live_world.secrets.url) as bus,
    ):
        variables = {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
            "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url,
            "TOKEN_URL": live_world.vendor.token_url.replace(live_world.vendor.url, vendor.url),
        }
        runs, _ = invoke(shipped_package, live_world, STATUS, REFRESH, REFRESH, **variables)
    assert [run["result"]["outcome"] for run in runs] == ["due", "refreshed", "kept"]
    assert [meter.counts.connections for meter in (secrets, vendor, bus)] == [1, 1, 1]
    assert [meter.counts.requests for meter in (secrets, vendor, bus)] == [len(live_world.secrets.calls), 1, 1]


def test_every_host_is_the_one_that_the_whole_botocore_finds(shipped_package: Path) -> None:
    """Host, scope and errors are the same, with FIPS and dual-stack, in every partition and in unknown regions."""
    whole = botocore.session.get_session().get_data("endpoints")
    regions = {"us-east-1", "eu-central-1"}
    for partition in whole["partitions"]:
        regions |= {min(partition["regions"]), max(partition["regions"])}
    assert {"us-gov-west-1", "cn-north-1", "us-iso-east-1"} < regions
    arguments = [str(HERE / "hosts.py"), "events.put_events", "lambda.invoke", "secretsmanager.batch_get_secret_value"]
    given = json.dumps(sorted(regions))
    pruned = python(shipped_package, *arguments, given=given)
    command = [sys.executable, *arguments]
    whole_run = subprocess.run(command, check=True, capture_output=True, text=True, input=given, timeout=PATIENCE)
    hosts = json.loads(whole_run.stdout)
    assert len(hosts) > 4 * len(SERVICES) * len(regions)
    assert json.loads(pruned.stdout) == hosts
    assert "secretsmanager.cn-north-1.amazonaws.com.cn" in whole_run.stdout


def test_of_the_endpoints_only_other_services_go() -> None:
    """Partitions, regions, defaults and variants stay unchanged."""
    whole = botocore.session.get_session().get_data("endpoints")
    pruned = prune_endpoints(json.loads(json.dumps(whole)))
    assert pruned["version"] == whole["version"]
    for before, after in zip(whole["partitions"], pruned["partitions"], strict=True):
        assert {**after, "services": None} == {**before, "services": None}
        expected = {name: service for name, service in before["services"].items() if name in SERVICES}
        assert after["services"] == expected


def test_the_services_that_ship_are_those_that_the_handler_makes_clients_of() -> None:
    """The handler's sources create clients only of services that ship, and name each in a plain text."""
    services = set()
    for file in Path(settings.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and called_name(call) in MAKERS and file.name != MAKES_ALL_CLIENTS:
                place = f"{file.name}:{call.lineno}"
                assert call.args, f"{place}: the service comes first"
                service = call.args[0]
                assert isinstance(service, ast.Constant), f"{place}: the service is a plain text"
                services.add(service.value)
    assert services == set(SERVICES)


def called_name(call: ast.Call) -> str:
    """Return the name of the called function or method, without what stands before its dot."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    if isinstance(call.func, ast.Name):
        return call.func.id
    return ""


def test_the_data_that_ships_is_of_these_services_alone(shipped_package: Path) -> None:
    """Each service has its latest version, with its model and endpoint rules, and without the examples."""
    data = shipped_package / "botocore" / "data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == set(SERVICES)
    whole = botocore.session.get_session().get_component("data_loader")
    for service in SERVICES:
        versions = [path.name for path in (data / service).iterdir()]
        assert versions == [whole.determine_latest_version(service, "service-2")]
        names = {path.name.partition(".")[0] for path in (data / service).rglob("*.json*")}
        assert {"service-2", "endpoint-rule-set-1"} <= names
        assert "examples-1" not in names


def test_a_client_of_another_service_needs_the_whole_data_as_the_runbook_says(shipped_package: Path) -> None:
    """Botocore refuses such a client, for example a layer's, until AWS_DATA_PATH names the whole data."""
    whole_data = str(Path(botocore.session.__file__).parent / "data")
    assert python(shipped_package, "-c", KMS_CLIENT).stdout == "unknown\n"
    with_whole_data = python(shipped_package, "-c", KMS_CLIENT, AWS_DATA_PATH=whole_data)
    assert with_whole_data.stdout == "https://kms.us-gov-west-1.amazonaws.com\n"


def test_every_pattern_of_what_goes_has_gone_and_once_was_there(shipped_package: Path) -> None:
    """A pattern that no longer matches anything in the libraries should be deleted."""
    libraries = Path(botocore.session.__file__).parents[1]
    for pattern in UNREACHABLE:
        assert not list(shipped_package.glob(pattern)), pattern
        assert list(libraries.glob(pattern)), pattern


def test_nothing_that_stays_imports_what_went(shipped_package: Path) -> None:
    """Every import in the package, anywhere in a file, finds its module, unless no library ever had it."""
    libraries = Path(botocore.session.__file__).parents[1]
    missing = set()
    for file in sorted(shipped_package.rglob("*.py")):
        for name in imports(file, shipped_package):
            top_package = name.split(".", maxsplit=1)[0]
            was_removed = has_module(libraries, name) and not has_module(shipped_package, name)
            if was_removed and (shipped_package / top_package).exists():
                missing.add(f"{file.relative_to(shipped_package)}: {name}")
    assert missing == NOT_FOLLOWED.keys()


def has_module(root: Path, name: str) -> bool:
    path = name.replace(".", "/")
    return (root / f"{path}.py").exists() or (root / path / "__init__.py").exists()


def imports(file: Path, package: Path) -> Iterator[str]:
    """Yield each module that the file imports anywhere, except for imports that only a type checker reads."""
    inside = file.relative_to(package).with_suffix("").parts[:-1]
    for node in statements(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts: list[str] = []
            if node.level:
                parts += inside[: len(inside) - node.level + 1]
            if node.module:
                parts.append(node.module)
            base = ".".join(parts)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield each statement in the tree, except for those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue  # no statement is inside an expression
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(ast.Module(node.orelse, []))
        else:
            yield from statements(node)
