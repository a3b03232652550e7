"""What AWS refuses before it looks for a secret: what its service model does not allow, and bad names.

The model is the one that botocore has: which members a request needs, and how long and how many they are.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import create_loader
from botocore.model import OperationModel, ServiceModel, Shape

from local.emulators.secret_versions import Json, refused

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+")
_BAD_NAME = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
_NO_TOKEN = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
_TYPES = {
    "blob": str,
    "boolean": bool,
    "integer": int,
    "list": list,
    "long": int,
    "string": str,
    "structure": dict,
}


def check_request(operation: str, params: Json) -> None:
    """Raise the error with which AWS refuses these parameters. Its message never repeats a value.

    An operation that the model does not have is not checked.
    """
    model = _model_of(operation)
    if model is None:
        return
    faults = list(_faults("", model.input_shape, params))
    if faults:
        plural = "s" if len(faults) > 1 else ""
        raise refused("ValidationException", f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}")
    _check_name(params.get("Name") or params.get("SecretId"))
    for member in model.idempotent_members:
        if member not in params:
            raise refused("InvalidRequestException", _NO_TOKEN)


def with_token(operation: str, params: Json) -> Json:
    """Add a ClientRequestToken if the operation needs one and there is none, as AWS's SDKs do."""
    model = _model_of(operation)
    if model is None:
        return params
    tokens = {member: str(uuid.uuid4()) for member in model.idempotent_members}
    return tokens | params


@cache
def _model() -> ServiceModel:
    return ServiceModel(create_loader().load_service_model("secretsmanager", "service-2"))


@cache
def _model_of(operation: str) -> OperationModel | None:
    model = _model()
    if operation not in model.operation_names:
        return None
    return model.operation_model(operation)


def _check_name(secret_id: str | None) -> None:
    if secret_id is None or secret_id.startswith("arn:"):
        return
    if not _NAME.fullmatch(secret_id):
        raise refused("ValidationException", _BAD_NAME)


def _faults(path: str, shape: Shape, value: Any) -> Iterator[str]:
    """Yield what is wrong with a value. `path` is where it stands, such as `filters.1.member.key`."""
    _check_type(shape, value)
    if shape.type_name == "structure":
        yield from _faults_of_members(path, shape, value)
        return
    for constraint in _broken_constraints(shape, value):
        yield f"Value at '{path}' failed to satisfy constraint: Member must {constraint}"
    if shape.type_name == "list":
        for number, entry in enumerate(value, start=1):
            yield from _faults(f"{path}.{number}.member", shape.member, entry)


def _faults_of_members(path: str, shape: Shape, value: Json) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            yield f"Value at '{prefix}{_lower(name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if name in value:
            yield from _faults(f"{prefix}{_lower(name)}", member, value[name])


def _check_type(shape: Shape, value: Any) -> None:
    expected = _TYPES.get(shape.type_name, object)
    is_boolean_for_number = expected is int and isinstance(value, bool)
    if is_boolean_for_number or not isinstance(value, expected):
        raise refused("SerializationException", f"A value can not be converted to a {shape.type_name}")


def _broken_constraints(shape: Shape, value: Any) -> Iterator[str]:
    limits = shape.metadata
    what, size = _size(shape, value)
    if size < limits.get("min", size):
        yield f"have {what} greater than or equal to {limits['min']}"
    if size > limits.get("max", size):
        yield f"have {what} less than or equal to {limits['max']}"
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        yield f"satisfy regular expression pattern: {limits['pattern']}"
    if "enum" in limits and value not in limits["enum"]:
        yield f"satisfy enum value set: [{', '.join(limits['enum'])}]"


def _size(shape: Shape, value: Any) -> tuple[str, int]:
    """Return what the model limits in a value of this type, and how much of it there is."""
    if shape.type_name == "blob":
        return "length", len(value.rstrip("=")) * 3 // 4  # bytes, in base64
    if shape.type_name in {"string", "list"}:
        return "length", len(value)
    return "value", int(value)


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
