"""The documents say what the code, the template and the repository really have."""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from handler import policy
from handler.app import parse_event
from handler.connections import CREDENTIALS_SUFFIX, TOKEN_SUFFIX, WarmProcess
from handler.errors import ConfigurationError, CredentialsError, RefreshError
from handler.ledger import REASONS
from handler.result import UNREADABLE, empty_result
from handler.settings import Settings, service_name
from handler.survey import Survey
from handler.sweep import result_of_survey
from handler.telemetry import COUNTED, RunTelemetry
from local.emulators.faults import FAULT_NAMES, Fault
from local.emulators.token_endpoint import STEERING
from local.explore.invariants import SENTENCES
from tests.deployment.stack import TEMPLATE
from tests.documents import ROOT, Row, first_table, section

MADE = {"build", "mutants", "node_modules", "out"}  # folders that commands make
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
# A name of the code that links to its file, and a Python file that is only named.
NAME_IN_A_FILE = re.compile(r"\[`([^`]+)`\]\(([^)\s]+\.py)\)")
NAMED_FILE = re.compile(r"`([\w./]+\.py)`")

# The libraries read these themselves, or Lambda sets them; `Settings` does not have them.
READ_BY_LIBRARIES = {
    "POWERTOOLS_SERVICE_NAME": "token-refresh",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": "boto3's own",
    "AWS_ENDPOINT_URL_LAMBDA": "boto3's own",
    "AWS_LAMBDA_FUNCTION_NAME": "Lambda's own",
}
# Settings that have no parameter on purpose, and why.
WITHOUT_PARAMETER = {
    "token_secret_id": "the stack always makes this secret, so that its consumer policy and its alarms fit it",
    "consumer_cache_seconds": "only `safe_to_deactivate` waits for it, and the readers of consumers/ fit its default",
    "acquire_timeout_seconds": "the template's Timeout and event age follow from it, and a short one loses tokens",
    "write_reserve_seconds": "the template's Timeout and event age follow from it",
}
# If its parameter ServiceName is empty.
SET_TO_THE_STACK_S_NAME = "POWERTOOLS_SERVICE_NAME"
# A parameter has its variable's name in CamelCase, except for this one: it must be the secret's ARN, for the policy.
OTHER_PARAMETER_NAMES = {"credentials_secret_id": "ExistingCredentialsSecretArn"}


def markdown_files() -> list[Path]:
    """Return every document of the repository, relative to its root."""
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in paths if not any(is_made(part) for part in path.parts))


def is_made(part: str) -> bool:
    """Say whether a folder of this name is a tool's own or a command's output."""
    return part in MADE or part.startswith(".")


def assert_same(documented: dict[str, str], actual: dict[str, str]) -> None:
    """Fail with each name whose two values differ, or that only one side has."""
    differing = []
    for name in sorted(documented.keys() | actual.keys()):
        in_document = documented.get(name, "nothing")
        in_code = actual.get(name, "nothing")
        if in_document != in_code:
            differing.append(f"{name} is documented as {in_document}, but is {in_code}")
    assert not differing, "; ".join(differing)


def shown(default: object) -> str:
    """Return a default as the documents write it."""
    if default is None:
        return "empty"
    return str(default) or "empty"


def configuration() -> list[Row]:
    """Return rows of variable, its default, parameter, its default, and what it is."""
    return first_table((ROOT / "docs/CONFIGURATION.md").read_text())


def required_variables() -> set[str]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({})
    return set(re.findall(r"(\w+) is not set", str(caught.value)))


def parameters_in(value: object) -> set[str]:
    """Return the template's parameters that this value refers to, however deep."""
    references = set(re.findall(r'"Ref": "(\w+)"', json.dumps(value)))
    return references & set(TEMPLATE["Parameters"])


def parameter_name(setting: str) -> str:
    """Return the name that the parameter of a setting has."""
    in_camel_case = "".join(word.capitalize() for word in setting.split("_"))
    return OTHER_PARAMETER_NAMES.get(setting, in_camel_case)


def missing_parts(
    settings: AbstractSet[str],
    rows: AbstractSet[str],
    parameters: AbstractSet[str],
    without_parameter: AbstractSet[str] = WITHOUT_PARAMETER.keys(),
) -> list[str]:
    """Name each of the three places that lacks a setting: the settings, the table of variables, the parameters.

    Settings are named as their fields, rows as their variables, and parameters as in the template.
    """
    fields_of_rows = {variable.lower() for variable in rows}
    missing = [f"{name.upper()} has no field in handler/settings.py" for name in sorted(fields_of_rows - settings)]
    for setting in sorted(settings):
        variable = setting.upper()
        parameter = parameter_name(setting)
        if variable not in rows:
            missing.append(f"{variable} has no row in docs/CONFIGURATION.md")
        if parameter not in parameters and setting not in without_parameter:
            missing.append(f"{variable} has no parameter {parameter} in template.yaml")
        if parameter in parameters and setting in without_parameter:
            missing.append(f"{variable} has a parameter, and is listed as one without")
    return missing


def template_variables() -> dict[str, object]:
    properties = TEMPLATE["Resources"]["RefreshFunction"]["Properties"]
    variables: dict[str, object] = properties["Environment"]["Variables"]
    return variables


def test_each_setting_has_its_field_its_row_and_its_parameter() -> None:
    """Whoever adds a setting is told which of the three places lacks it."""
    settings = {field.name for field in fields(Settings)}
    rows = {variable for variable, *_ in configuration() if variable} - READ_BY_LIBRARIES.keys()
    assert missing_parts(settings, rows, set(TEMPLATE["Parameters"])) == []
    assert settings >= WITHOUT_PARAMETER.keys()


def test_a_missing_part_of_a_setting_is_named() -> None:
    """The check itself can fail: for the field, the row and the parameter, and for a list that is out of date."""
    assert missing_parts({"scope"}, {"SCOPE"}, {"Scope"}) == []
    assert missing_parts(set(), {"NEW_URL"}, {"NewUrl"}) == ["NEW_URL has no field in handler/settings.py"]
    assert missing_parts({"new_url"}, set(), {"NewUrl"}) == ["NEW_URL has no row in docs/CONFIGURATION.md"]
    lacking = ["NEW_URL has no parameter NewUrl in template.yaml"]
    assert missing_parts({"new_url"}, {"NEW_URL"}, set()) == lacking
    assert missing_parts({"new_url"}, {"NEW_URL"}, set(), without_parameter={"new_url"}) == []
    listed = ["NEW_URL has a parameter, and is listed as one without"]
    assert missing_parts({"new_url"}, {"NEW_URL"}, {"NewUrl"}, without_parameter={"new_url"}) == listed


def test_the_settings_of_a_connection_are_those_that_the_code_takes() -> None:
    """The list of docs/CONFIGURATION.md names the settings that the credentials secret may hold, and no others."""
    text = section("docs/CONFIGURATION.md", "## Settings in the credentials secret")
    names = {field.name for field in fields(Settings)}
    documented = names & set(re.findall(r"`(\w+)`", text))
    assert documented == {name for name in names if is_of_a_connection(name)}


def is_of_a_connection(name: str) -> bool:
    """Say whether the credentials secret may hold a setting of this name."""
    with pytest.raises(CredentialsError) as caught:
        Settings().for_connection({name: None})
    return "is not a setting of a connection" not in str(caught.value)


def test_each_variable_of_the_table_is_a_setting_with_its_default() -> None:
    """A new setting, or another default, shows in docs/CONFIGURATION.md."""
    documented = {variable: default for variable, default, *_ in configuration() if variable}
    required = required_variables()
    actual = dict(READ_BY_LIBRARIES)
    for field in fields(Settings):
        actual[field.name.upper()] = shown(field.default)
    actual |= dict.fromkeys(required, "required")
    assert_same(documented, actual)


def test_service_name_has_the_default_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one default that the handler reads next to its settings."""
    monkeypatch.delenv("POWERTOOLS_SERVICE_NAME", raising=False)
    assert service_name() == READ_BY_LIBRARIES["POWERTOOLS_SERVICE_NAME"]


def test_each_parameter_of_the_table_is_the_template_s_with_its_default() -> None:
    """A new parameter, or another default, shows in docs/CONFIGURATION.md."""
    documented = {parameter: default for _, _, parameter, default, _ in configuration() if parameter}
    actual = {name: shown(about["Default"]) for name, about in TEMPLATE["Parameters"].items()}
    assert_same(documented, actual)


def test_each_parameter_sets_the_variable_of_its_row() -> None:
    """A variable and a parameter share a row if the template passes one to the other, and only then."""
    variables = template_variables()
    rows = {variable: parameter for variable, _, parameter, _, _ in configuration() if variable}
    assert variables.keys() - rows.keys() == set()
    passed = {name: parameters_in(variables.get(name)) - {"Environment"} for name in rows}
    assert_same(rows, {name: ", ".join(sorted(parameters)) for name, parameters in passed.items()})


def test_template_and_code_have_the_same_default() -> None:
    """A variable does not change its value because a template passes it."""
    rows = [row for row in configuration() if row[0] and row[2] and row[1] != "required"]
    rows = [row for row in rows if row[0] != SET_TO_THE_STACK_S_NAME]
    assert rows
    assert_same({row[0]: row[1] for row in rows}, {row[0]: row[3] for row in rows})


def test_tables_of_faults_are_what_the_emulated_vendor_takes() -> None:
    """A new key or fault of the emulated vendor, or another argument, shows in docs/LOCAL.md."""
    steering = section("docs/LOCAL.md", "## Make something fail")
    keys, faults = re.split(r"^A fault has ", steering, flags=re.MULTILINE)
    assert {key for key, _ in first_table(keys)} == set(STEERING)
    actual = {}
    for name in FAULT_NAMES:
        parameters = inspect.signature(getattr(Fault, name)).parameters.values()
        needs = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
        may_have = [parameter.name for parameter in parameters if parameter.name not in needs]
        actual[name] = f"{', '.join(needs)}; {', '.join(may_have)}"
    documented = {name: f"{needs}; {may_have}" for name, needs, may_have, _ in first_table(faults)}
    assert_same(documented, actual)


def test_each_error_of_the_table_is_one_of_the_code_s() -> None:
    """A new error, or another `retryable`, shows in docs/REFERENCE.md."""
    table = first_table(section("docs/REFERENCE.md", "## Errors"))
    documented = {error: re.split(r"\W", retryable)[0] for error, retryable, *_ in table}
    yes_or_no = {True: "yes", False: "no"}
    classes = RefreshError.__subclasses__()
    actual = {one.__name__: yes_or_no[one("x").retryable] for one in classes}
    assert_same(documented, actual)


def test_the_table_of_errors_stands_once() -> None:
    """The other documents link to it."""
    row = re.compile(r"^\| `OutcomeUnknown` \|", re.MULTILINE)
    holders = [str(path) for path in markdown_files() if row.search((ROOT / path).read_text())]
    assert holders == ["docs/REFERENCE.md"]


def test_each_metric_of_the_table_is_one_that_the_code_counts() -> None:
    """A new metric shows in docs/REFERENCE.md."""
    table = first_table(section("docs/REFERENCE.md", "## Metrics"))
    counts = {name for name, unit, _ in table if unit == "count"}
    of_a_sweep = set(re.findall(r'"([A-Z]\w+)"', inspect.getsource(RunTelemetry.surveyed)))
    assert of_a_sweep
    assert counts ^ (COUNTED | of_a_sweep) == set()


def test_each_key_of_a_result_is_in_the_reference() -> None:
    """A new key of a result shows in docs/REFERENCE.md; those of many connections have a table of their own."""
    keys_of_one = empty_result("kept").keys()
    text = section("docs/REFERENCE.md", "## Results")
    assert [key for key in keys_of_one if f"`{key}`" not in text] == []
    process = WarmProcess(settings=Settings(connections_prefix="tango/"), client=None)
    result = result_of_survey(Survey(process, remaining=lambda: 0))
    table = first_table(section("docs/REFERENCE.md", "## Results for many connections"))
    assert {key for key, _ in table} == result.keys() - keys_of_one


def reasons_of_the_code() -> set[str]:
    """Return every word that a result can have as its reason."""
    of_decisions = {value for name, value in vars(policy).items() if name.isupper() and isinstance(value, str)}
    return of_decisions | REASONS | {"fresh", "locked", UNREADABLE}


def test_each_reason_of_the_table_is_one_of_the_code_s() -> None:
    """A new reason shows in docs/REFERENCE.md."""
    table = first_table(section("docs/REFERENCE.md", "## Reasons"))
    documented = {reason for cell, *_ in table for reason in cell.split(", ")}
    assert documented == reasons_of_the_code()


def test_each_reason_that_status_can_have_has_a_row_in_the_runbook() -> None:
    """Whoever asks status at night finds its answer there. It does not probe, and no event of it forces anything."""
    table = first_table(section("docs/RUNBOOK.md", "## What status says, and what to do"))
    documented = {reason for _, reason, *_ in table} - {"null"}
    assert documented == reasons_of_the_code() - {policy.REVOKED, policy.FORCED}


def test_each_row_of_the_runbook_says_which_standby_it_is_about() -> None:
    """For one answer of status there is one row for every standby, or one without and one with a standby."""
    table = first_table(section("docs/RUNBOOK.md", "## What status says, and what to do"))
    standbys: dict[tuple[str, str], list[str]] = {}
    for outcome, reason, standby, *_ in table:
        standbys.setdefault((outcome, reason), []).append(standby)
    assert [answer for answer, rows in standbys.items() if rows not in (["any"], ["none", "yes"])] == []


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_each_run_of_a_document_is_one_that_the_shell_function_knows(path: Path) -> None:
    """What the runbook and the other documents tell people to type exists."""
    runbook = (ROOT / "docs/RUNBOOK.md").read_text()
    known = set(re.findall(r"^ +([a-z-]+)\) event=", runbook, re.MULTILINE))
    assert known
    text = (ROOT / path).read_text()
    named = set(re.findall(r"`run ([a-z-]+)`", text))
    for block in blocks(str(path), "sh"):
        named |= set(re.findall(r"^ *run ([a-z-]+)", block, re.MULTILINE))
    assert named - known == set()


def test_each_event_of_the_shell_function_is_one_that_the_function_takes() -> None:
    """The runbook's `run` sends an event that the code reads, for each of its words."""
    runbook = (ROOT / "docs/RUNBOOK.md").read_text()
    events = re.findall(r"^ +[a-z-]+\) event='(.*)' ;;$", runbook, re.MULTILINE)
    parsed = [parse_event(json.loads(f"{{{event}}}")) for event in events]
    assert [options["action"] for options in parsed] == ["status", *["refresh"] * 4]


def test_each_event_key_of_the_table_is_one_that_the_code_reads() -> None:
    """A new key of an event, or another default, shows in docs/REFERENCE.md."""
    table = first_table(section("docs/REFERENCE.md", "## Events"))
    documented = {key: default for key, default, _ in table}
    actual = {key: json.dumps(default) for key, default in parse_event({}).items()}
    assert_same(documented, actual)


def constant_in(node: ast.stmt) -> str:
    """Return the public constant to which a statement gives its value; empty if it is something else."""
    if not isinstance(node, ast.Assign):
        return ""
    name = ast.unparse(node.targets[0])
    if not re.fullmatch("[A-Z][A-Z0-9_]*", name):
        return ""
    return name


def figures_in(path: Path) -> dict[str, str]:
    """Return the public constants of a file that are numbers, or several numbers, as documents write them."""
    module = importlib.import_module(f"handler.{path.stem}")
    found = {}
    for name in filter(None, map(constant_in, ast.parse(path.read_text()).body)):
        value = getattr(module, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if all(isinstance(number, int | float) for number in numbers):
            found[name] = ", ".join(map(str, numbers))
    return found


def test_each_constant_of_the_table_is_the_code_s_with_its_value() -> None:
    """A new figure in the code, or another value, shows in docs/PROTOCOL.md."""
    table = first_table(section("docs/PROTOCOL.md", "## Constants"))
    documented = {f"{file} {name}": value for name, value, file, *_ in table}
    actual = {}
    for path in (ROOT / "handler").glob("*.py"):
        for name, value in figures_in(path).items():
            actual[f"handler/{path.name} {name}"] = value
    assert len(table) == len(documented)
    assert_same(documented, actual)


def names_in(path: Path) -> set[str]:
    """Return the classes, functions and constants of a file, and the keys of its dictionaries."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        found |= names_of(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                found |= {f"{node.name}.{name}" for name in names_of(member)}
    return found


def names_of(node: ast.stmt) -> set[str]:
    """Return what a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign):
        return {ast.unparse(node.target)}
    if not isinstance(node, ast.Assign):
        return set()
    found = {ast.unparse(target) for target in node.targets}
    if isinstance(node.value, ast.Dict):
        found |= {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
    return found


def unknown_names(path: Path) -> list[str]:
    """Return the names that a document links to a Python file which does not define them."""
    unknown = []
    for name, link in NAME_IN_A_FILE.findall(path.read_text()):
        file = (path.parent / link).resolve()
        if name.endswith(".py"):
            continue
        if not file.exists() or name not in names_in(file):
            unknown.append(f"{name} in {link}")
    return unknown


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_each_name_that_links_to_a_file_is_defined_there(path: Path) -> None:
    """What a document says of a function or a class can be looked up."""
    assert unknown_names(ROOT / path) == []


def test_a_name_that_no_file_defines_is_found(tmp_path: Path) -> None:
    """The check itself can fail: for a function, a method, a key, and a file."""
    (tmp_path / "code.py").write_text('A = {"key": 1}\nclass B:\n    c: int\n    def d(self): pass\ndef e(): pass\n')
    document = tmp_path / "page.md"
    document.write_text(
        "[`A`](code.py) [`key`](code.py) [`B`](code.py) [`B.c`](code.py) [`B.d`](code.py) [`e`](code.py)\n"
        "[`f`](code.py) [`B.f`](code.py) [`d`](code.py) [`other`](code.py) [`e`](no.py)\n"
    )
    unknown = ["f in code.py", "B.f in code.py", "d in code.py", "other in code.py", "e in no.py"]
    assert unknown_names(document) == unknown


def test_each_file_that_the_protocol_names_exists() -> None:
    """A file is named by its path, or by its name in handler/."""
    named = set(NAMED_FILE.findall((ROOT / "docs/PROTOCOL.md").read_text()))
    assert named
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "handler" / name).exists()]
    assert missing == []


def test_the_invariants_of_the_protocol_are_those_that_are_checked() -> None:
    """Each sentence that the explorer checks is in the table of docs/PROTOCOL.md."""
    text = section("docs/PROTOCOL.md", "## What always holds")
    documented = set(re.findall(r"explorer \[`(\w+)`\]", text))
    assert documented == set(SENTENCES)


def test_each_sample_event_is_in_the_reference() -> None:
    """An event that is added to events/ is told of."""
    text = section("docs/REFERENCE.md", "## Events")
    names = [path.name for path in (ROOT / "events").iterdir()]
    assert [name for name in names if f"../events/{name}" not in text] == []


def blocks(document: str, language: str) -> list[str]:
    """Return the code blocks of a document that are in this language."""
    fenced = re.compile(rf"^ *```{language}\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    return fenced.findall((ROOT / document).read_text())


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_each_json_block_is_json(path: Path) -> None:
    """Readers copy the blocks, and fill in what is left out as `…`."""
    for block in blocks(str(path), "json"):
        json.loads(block)


def test_the_template_of_a_connection_makes_what_the_function_reads() -> None:
    """Both secrets have the names of one connection and no value, and the tag of the role has its name."""
    [block] = blocks("docs/CONNECTIONS.md", "yaml")
    resources = yaml.safe_load(block)["Resources"].values()
    secrets = [one["Properties"] for one in resources if one["Type"] == "AWS::SecretsManager::Secret"]
    [role] = [one["Properties"] for one in resources if one["Type"] == "AWS::IAM::Role"]
    tags = {tag["Key"]: tag["Value"] for tag in role["Tags"]}
    name = f"tango/{tags['token-connection']}"
    assert {secret["Name"] for secret in secrets} == {name + CREDENTIALS_SUFFIX, name + TOKEN_SUFFIX}
    for secret in secrets:
        assert secret.keys() == {"Name", "Description"}


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", path.read_text())):
        text = LINK.sub(lambda link: link.group(0).partition("]")[0], heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repetition = 0
        anchor = slug
        while anchor in found:
            repetition += 1
            anchor = f"{slug}-{repetition}"
        found.add(anchor)
    return found


def broken_links(path: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    text = CODE_SPAN.sub("", FENCE.sub("", path.read_text()))
    relative = [link for link in LINK.findall(text) if not re.match("[a-z]+:", link)]
    return [link for link in relative if not leads_somewhere(link, path)]


def leads_somewhere(link: str, path: Path) -> bool:
    name, _, anchor = link.partition("#")
    target = path
    if name:
        target = (path.parent / name).resolve()
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    if not anchor:
        return True
    return target.suffix == ".md" and anchor in anchors(target)


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_each_link_leads_somewhere(path: Path) -> None:
    """A file that is moved or a heading that is renamed takes its links along."""
    assert broken_links(ROOT / path) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself can fail: for a file, for an anchor, and for what lies outside."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    document = tmp_path / "page.md"
    document.write_text(
        "# Due?\n## `a_b`: twice\n## `a_b`: twice\n"
        "[1](#due) [2](#a_b-twice-1) [3](page.md#due) [4](https://example.com/x) `[5](no.md)`\n"
        "[6](no.md) [7](#no) [8](page.md#no) [9](../..)\n"
        "```\n[10](no.md)\n```\n"
    )
    assert broken_links(document) == ["no.md", "#no", "page.md#no", "../.."]


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_each_make_command_is_a_target(path: Path) -> None:
    """What a document tells people to type exists."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([A-Za-z][\w-]*):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z][\w-]*)", (ROOT / path).read_text(), re.MULTILINE))
    assert named - targets == set()


@pytest.mark.parametrize("path", markdown_files(), ids=str)
def test_region_is_never_set_by_the_variable_alone_that_boto3_does_not_read(path: Path) -> None:
    """SAM, this product and its Python package would find no region, or another one."""
    named = set(re.findall(r"AWS_(?:DEFAULT_)?REGION", (ROOT / path).read_text()))
    assert named in (set(), {"AWS_DEFAULT_REGION"}, {"AWS_DEFAULT_REGION", "AWS_REGION"})
