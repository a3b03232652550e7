"""HTTP answers of the emulated vendor, and the ways in which one request of its token endpoint can fail."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

LONGEST_WAIT = 86_400.0  # seconds: a typing error must not hold a connection for ever


def require(fact: bool, message: str) -> None:
    if not fact:
        raise ValueError(message)


def is_number(value: object, highest: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= highest


def encode(body: object) -> bytes:
    """Bytes as they are, text as UTF-8, anything else as JSON."""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode(errors="replace")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `error` is a short word for the records."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


def json_answer(
    status: int, value: object, headers: Mapping[str, str] | None = None, error: str | None = None
) -> Answer:
    usual = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(status, encode(value), usual | dict(headers or {}), error)


def refusal(status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> Answer:
    return json_answer(status, {"error": error, "error_description": description}, headers, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What one token request meets; a constructor below makes it, `dataclasses.replace(…, delay=…)` makes it late.

    `issues`: the vendor handles the request by its rules, so that a token may be issued (or refused), before the
    fault strikes. Otherwise something in front of the vendor fails, and the vendor's state stays as it is.
    """

    name: str
    issues: bool = True
    delay: float = 0.0
    ending: Literal["reset", "close"] | None = None
    instead: Answer | None = None
    keep: float = 1.0
    pause: float = 0.0
    slow_headers: bool = False
    changes: Mapping[str, object] | Callable[[dict[str, Any]], object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(isinstance(self.issues, bool), "issues: true or false")
        waits = is_number(self.delay, LONGEST_WAIT) and is_number(self.pause, LONGEST_WAIT)
        require(waits, f"delay, seconds: a number from 0 to {LONGEST_WAIT:.0f}")
        require(is_number(self.keep, 1), "keep: a part of the body, from 0 to 1")
        require(callable(self.changes) or isinstance(self.changes, Mapping), "changes: an object")

    @classmethod
    def late(cls, seconds: float) -> Fault:
        """Answer as ever, but late. The token is issued, and on record, before the wait."""
        return cls(name="late", delay=seconds)

    @classmethod
    def cut(cls, *, issues: bool, reset: bool = True) -> Fault:
        """End the connection without an answer, by a TCP reset or by closing it."""
        return cls(name="cut", issues=issues, ending="reset" if reset else "close")

    @classmethod
    def answer(
        cls, status: int, body: object = b"", *, issues: bool = False, headers: Mapping[str, object] | None = None
    ) -> Fault:
        """Answer with exactly this, as JSON unless `headers` say otherwise (None leaves one out)."""
        require(is_number(status, 599) and status >= 200, "status: from 200 to 599")
        require(isinstance(headers or {}, Mapping), "headers: an object")
        sent = {"Content-Type": "application/json"} | {name.title(): text for name, text in (headers or {}).items()}
        texts = {name: str(text) for name, text in sent.items() if text is not None}
        return cls(name="answer", issues=issues, instead=Answer(int(status), encode(body), texts))

    @classmethod
    def gzip_bomb(cls, size: int = 100_000_000, *, issues: bool = False) -> Fault:
        """Answer 200 with a small body that unpacks to `size` bytes."""
        require(is_number(size, 2**30), "size: bytes, from 0 to 2**30")
        body = gzip.compress(bytes(int(size)))
        return replace(cls.answer(200, body, issues=issues, headers={"Content-Encoding": "gzip"}), name="gzip_bomb")

    @classmethod
    def truncated(cls, keep: float = 0.5) -> Fault:
        """Announce the whole normal answer, send this part of its body and close."""
        return cls(name="truncated", keep=keep)

    @classmethod
    def drip(cls, seconds: float, *, headers: bool = False) -> Fault:
        """Send the normal body (with `headers` the head too) a byte at a time, `seconds` apart."""
        return cls(name="drip", pause=seconds, slow_headers=headers)

    @classmethod
    def edited(cls, changes: Mapping[str, object] | Callable[[dict[str, Any]], object]) -> Fault:
        """Merge these over the success JSON, or answer what the function makes of it; refuse as ever."""
        return cls(name="edited", changes=changes)

    @classmethod
    def parse(cls, document: object) -> Fault:
        """Read `{"name": a constructor's, …its arguments, "delay": seconds}`; raise ValueError on anything else."""
        names = ("late", "cut", "answer", "gzip_bomb", "truncated", "drip", "edited")
        arguments = dict(document) if isinstance(document, dict) else {}
        name, delay = arguments.pop("name", None), arguments.pop("delay", None)
        require(name in names, f"a fault is an object whose name is one of {', '.join(names)}")
        try:
            fault: Fault = getattr(cls, name)(**arguments)
        except TypeError as error:  # an argument is missing, or unknown
            raise ValueError(str(error)) from error
        return fault if delay is None else replace(fault, delay=delay)


NO_FAULT = Fault(name="")
