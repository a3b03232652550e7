"""HTTP answers of the emulated vendor, and the ways in which one request of its token endpoint can fail."""

from __future__ import annotations

import gzip
import http.client
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

MAX_WAIT_SECONDS = 86_400.0  # so that a typing error does not hold a connection for ever
FAULT_NAMES = ("late", "cut", "answer", "gzip_bomb", "truncated", "drip", "edited")


def require(fact: bool, message: str) -> None:
    if not fact:
        raise ValueError(message)


def is_number(value: object, highest: float) -> bool:
    """Say whether this is a number from 0 to `highest`. A boolean is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= highest


def encode(body: object) -> bytes:
    """Encode text as UTF-8 and anything else as JSON. Bytes stay as they are."""
    if isinstance(body, bytes):
        return body
    text = body if isinstance(body, str) else json.dumps(body)
    return text.encode(errors="replace")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answers. `error` is a short word for the vendor's records."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    def head(self, *, closes: bool) -> bytes:
        """Return what HTTP/1.1 sends before the body. `closes`: the connection takes no other request."""
        phrase = http.client.responses.get(self.status, "Unknown")
        headers = {
            "Content-Length": str(len(self.body)),
            "Connection": "close" if closes else "keep-alive",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode(errors="replace")


def json_answer(
    status: int, value: object, headers: Mapping[str, str] | None = None, error: str | None = None
) -> HttpAnswer:
    usual_headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return HttpAnswer(
        status=status,
        body=encode(value),
        headers=usual_headers | dict(headers or {}),
        error=error,
    )


def refusal(status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return json_answer(status, {"error": error, "error_description": description}, headers, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one token request.

    A constructor below makes a fault, and `dataclasses.replace(…, delay=…)` makes it late. `issues`: the vendor
    handles the request by its rules before the fault strikes, so it may issue a token or refuse one. Otherwise
    something in front of the vendor fails, and the vendor's state stays as it is.
    """

    name: str
    issues: bool = True
    delay: float = 0.0  # seconds before the answer
    ending: Literal["reset", "close"] | None = None  # of the connection, in place of an answer
    instead: HttpAnswer | None = None
    keep: float = 1.0  # which part of the body is sent
    pause: float = 0.0  # seconds between two bytes
    slow_headers: bool = False  # the pauses are in the head too
    changes: Mapping[str, object] | Callable[[dict[str, Any]], object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(isinstance(self.issues, bool), "issues: true or false")
        are_waits_valid = is_number(self.delay, MAX_WAIT_SECONDS) and is_number(self.pause, MAX_WAIT_SECONDS)
        require(are_waits_valid, f"delay, seconds: a number from 0 to {MAX_WAIT_SECONDS:.0f}")
        require(is_number(self.keep, 1), "keep: a part of the body, from 0 to 1")
        require(callable(self.changes) or isinstance(self.changes, Mapping), "changes: an object")

    @classmethod
    def late(cls, seconds: float) -> Fault:
        """Answer as usual, but late. The token is issued and recorded before the wait."""
        return cls(name="late", delay=seconds)

    @classmethod
    def cut(cls, *, issues: bool, reset: bool = True) -> Fault:
        """End the connection without an answer, with a TCP reset or by closing it."""
        return cls(name="cut", issues=issues, ending="reset" if reset else "close")

    @classmethod
    def answer(
        cls,
        status: int,
        body: object = b"",
        *,
        issues: bool = False,
        headers: Mapping[str, object] | None = None,
    ) -> Fault:
        """Answer with exactly this, as JSON unless `headers` say otherwise. A header that is None is left out."""
        require(is_number(status, 599) and status >= 200, "status: from 200 to 599")
        require(isinstance(headers or {}, Mapping), "headers: an object")
        sent: dict[str, object] = {"Content-Type": "application/json"}
        for name, value in (headers or {}).items():
            sent[name.title()] = value
        texts = {name: str(value) for name, value in sent.items() if value is not None}
        answer = HttpAnswer(status=int(status), body=encode(body), headers=texts)
        return cls(name="answer", issues=issues, instead=answer)

    @classmethod
    def gzip_bomb(cls, size: int = 100_000_000, *, issues: bool = False) -> Fault:
        """Answer 200 with a small body that unpacks to `size` bytes."""
        require(is_number(size, 2**30), "size: bytes, from 0 to 2**30")
        body = gzip.compress(bytes(int(size)))
        fault = cls.answer(200, body, issues=issues, headers={"Content-Encoding": "gzip"})
        return replace(fault, name="gzip_bomb")

    @classmethod
    def truncated(cls, keep: float = 0.5) -> Fault:
        """Announce the whole normal answer, send this part of its body, and close the connection."""
        return cls(name="truncated", keep=keep)

    @classmethod
    def drip(cls, seconds: float, *, headers: bool = False) -> Fault:
        """Send the normal body (with `headers` the head too) byte by byte, `seconds` apart."""
        return cls(name="drip", pause=seconds, slow_headers=headers)

    @classmethod
    def edited(cls, changes: Mapping[str, object] | Callable[[dict[str, Any]], object]) -> Fault:
        """Merge the changes into the JSON of a success, or answer what the function makes of it. Refuse as usual."""
        return cls(name="edited", changes=changes)

    @classmethod
    def parse(cls, document: object) -> Fault:
        """Read `{"name": a constructor's, …its arguments, "delay": seconds}`. Raises ValueError for anything else."""
        arguments = dict(document) if isinstance(document, dict) else {}
        name = arguments.pop("name", None)
        delay = arguments.pop("delay", None)
        require(name in FAULT_NAMES, f"a fault is an object whose name is one of {', '.join(FAULT_NAMES)}")
        constructor = getattr(cls, name)
        _require_arguments(name, constructor, arguments)
        fault: Fault = constructor(**arguments)
        if delay is None:
            return fault
        return replace(fault, delay=delay)


def _require_arguments(name: str, constructor: Callable[..., Fault], arguments: Mapping[str, object]) -> None:
    """Raise ValueError if an argument is missing or unknown, with the names of all that the fault has."""
    parameters = inspect.signature(constructor).parameters
    needed = [key for key, parameter in parameters.items() if parameter.default is parameter.empty]
    optional = [key for key in parameters if key not in needed]
    needed_text = ", ".join(needed) or "nothing"
    optional_text = ", ".join([*optional, "delay"])
    usage = f"{name} needs {needed_text}, and may have {optional_text}"
    for key in arguments:
        require(key in parameters, f"unknown argument {key!r}: {usage}")
    for key in needed:
        require(key in arguments, f"{key} is missing: {usage}")


NO_FAULT = Fault(name="")
