"""Reads template.yaml as AWS does: with short tags, conditions and functions, for any choice of parameters."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
ACCOUNT = "123456789012"
NAME = "token-refresh-test"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::NoValue": None,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": NAME,
}

# What SAM's translator adds: a resource for each event of the function, named after both.
MADE_BY_SAM = {"RefreshFunctionSchedule"}

Json = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Reads `!Ref x` as the long form `{"Ref": "x"}`, and so on."""


def _long_form(loader: _Loader, tag: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.SequenceNode):
        value: Any = loader.construct_sequence(node, deep=True)
    else:  # no function of ours takes a mapping
        assert isinstance(node, yaml.ScalarNode)
        value = loader.construct_scalar(node)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _long_form)

TEMPLATE: Json = yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # noqa: S506 - a SafeLoader with tags


def arn(logical_id: str) -> str:
    """Return the value of a reference to this secret."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{logical_id}-AbCdEf"


def is_allowed(parameter: str, value: str) -> bool:
    """Say whether CloudFormation takes this value for a parameter of the template."""
    definition = TEMPLATE["Parameters"][parameter]
    if value not in definition.get("AllowedValues", [value]):
        return False
    if len(value) > definition.get("MaxLength", len(value)):
        return False
    return bool(re.fullmatch(definition.get("AllowedPattern", ".*"), value))


class Stack:
    """The template with these parameters: `resources` and `outputs` contain only resolved values.

    `names` are what AWS would call resources, by their logical ids; others are called by their logical ids.
    """

    def __init__(self, names: Mapping[str, str] = MappingProxyType({}), /, **parameters: str) -> None:
        unknown = parameters.keys() - TEMPLATE["Parameters"].keys()
        if unknown:
            raise ValueError(f"the template has no parameter {unknown}")
        defaults = {name: about["Default"] for name, about in TEMPLATE["Parameters"].items()}
        self._values = PSEUDO | defaults | dict(names) | parameters
        self._made = self._existing(TEMPLATE["Resources"])
        self.resources: dict[str, Json] = {
            name: {"Properties": {}} | self._resolve(resource) for name, resource in self._made.items()
        }
        self.outputs: Json = self._resolve(self._existing(TEMPLATE["Outputs"]))

    def properties(self, logical_id: str) -> Json:
        properties: Json = self.resources[logical_id]["Properties"]
        return properties

    def of_type(self, kind: str) -> dict[str, Json]:
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == kind}

    def broken_rules(self) -> list[str]:
        """Return what CloudFormation would say of the parameters before it deploys anything."""
        assertions = [one for rule in TEMPLATE["Rules"].values() for one in rule["Assertions"]]
        return [one["AssertDescription"] for one in assertions if not self._holds(one["Assert"])]

    def _existing(self, definitions: Json) -> Json:
        """Return those of the resources or outputs whose condition holds."""
        return {
            name: definition
            for name, definition in definitions.items()
            if "Condition" not in definition or self._holds({"Condition": definition["Condition"]})
        }

    def _holds(self, condition: Json) -> bool:
        ((function, value),) = condition.items()
        if function == "Fn::Equals":
            one, other = (self._resolve(side) for side in value)
            return bool(one == other)
        if function == "Fn::Contains":
            texts, text = self._resolve(value)
            return text in texts
        if function == "Condition":
            return self._holds(TEMPLATE["Conditions"][value])
        inner = [self._holds(one) for one in value]
        return {"Fn::Not": not inner[0], "Fn::And": all(inner), "Fn::Or": any(inner)}[function]

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self._resolve, value) if one is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = {key: self._resolve(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not None}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Ref":
            return self._reference(argument)
        if function == "Fn::GetAtt":
            return self._reference(".".join(argument))
        if function == "Fn::If":
            name, then, otherwise = argument
            if self._holds(TEMPLATE["Conditions"][name]):
                return self._resolve(then)
            return self._resolve(otherwise)
        if function == "Fn::Sub":
            return self._substitute(argument)
        first, *rest = self._resolve(argument)
        if function == "Fn::FindInMap":
            return TEMPLATE["Mappings"][first][rest[0]][rest[1]]
        if function == "Fn::Select":
            return rest[0][int(first)]
        if function == "Fn::Split":
            return rest[0].split(first)
        raise NotImplementedError(function)

    def _substitute(self, argument: Any) -> str:
        """Resolve the function Sub, whose argument is a text, or a text and a mapping of further names."""
        text = argument
        names: Json = {}
        if isinstance(argument, list):
            text = argument[0]
            names = self._resolve(argument[1])

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):  # a variable of IAM, which CloudFormation leaves as it is
                return f"${{{name[1:]}}}"
            if name in names:
                return str(names[name])
            return str(self._reference(name))

        return re.sub(r"\$\{([^}]+)}", value_of, text)

    def _reference(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        logical_id = name.partition(".")[0]
        if logical_id in MADE_BY_SAM:
            return name
        kind = self._made[logical_id]["Type"]  # a KeyError: the template refers to what this stack does not have
        return arn(logical_id) if kind == "AWS::SecretsManager::Secret" else name
