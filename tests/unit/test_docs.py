"""The documents say what the code, the template and the repository really have."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from handler.app import parse_event
from handler.errors import ConfigurationError, RefreshError
from handler.settings import Settings, service_name
from handler.telemetry import COUNTED
from tests.deployment.stack import ROOT, TEMPLATE

Row = list[str]

MADE = {"build", "mutants", "node_modules", "out"}  # folders that commands make
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)

# The libraries read these two themselves; `Settings` does not have them.
READ_BY_LIBRARIES = {
    "POWERTOOLS_SERVICE_NAME": "token-refresh",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": "boto3's own",
}


def markdown_files() -> list[Path]:
    """Return every document of the repository, relative to its root."""
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in paths if not any(is_made(part) for part in path.parts))


def is_made(part: str) -> bool:
    """Say whether a folder of this name is a tool's own or a command's output."""
    return part in MADE or part.startswith(".")


def section(document: str, heading: str) -> str:
    """Return the text from this heading to the next one of any level."""
    text = (ROOT / document).read_text()
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"{document} has no heading {heading!r}"
    return re.split(r"^#{1,6} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_table(text: str) -> list[Row]:
    """Return the cells of the first table, without its head and without backquotes."""
    lines = re.split(r"^\| ?-", text, maxsplit=1, flags=re.MULTILINE)[1].splitlines()[1:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = line.strip().strip("|").split("|")
        rows.append([cell.strip().replace("`", "") for cell in cells])
    return rows


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


def template_variables() -> dict[str, object]:
    properties = TEMPLATE["Resources"]["RefreshFunction"]["Properties"]
    variables: dict[str, object] = properties["Environment"]["Variables"]
    return variables


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
    assert rows
    assert_same({row[0]: row[1] for row in rows}, {row[0]: row[3] for row in rows})


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
    assert counts ^ COUNTED == set()


def test_each_event_key_of_the_table_is_one_that_the_code_reads() -> None:
    """A new key of an event, or another default, shows in docs/REFERENCE.md."""
    table = first_table(section("docs/REFERENCE.md", "## Events"))
    documented = {key: default for key, default, _ in table}
    actual = {key: json.dumps(default) for key, default in parse_event({}).items()}
    assert_same(documented, actual)


def test_each_sample_event_is_in_the_reference() -> None:
    """An event that is added to events/ is told of."""
    text = section("docs/REFERENCE.md", "## Events")
    names = [path.name for path in (ROOT / "events").iterdir()]
    assert [name for name in names if f"../events/{name}" not in text] == []


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
