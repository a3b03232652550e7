"""How somebody at a shell tells the emulated Secrets Manager that its reads lag: `GET` and `POST /_emulator`."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

from local.emulators.faults import HttpAnswer, encode, is_number, require
from local.emulators.read_lag import MAX_LAG_SECONDS, READS

CONTROL_PATH = "/_emulator"
_REGION = re.compile("[a-z]{2}(-[a-z]+)+-[0-9]+")
_KEYS = ("read_lag_seconds", "read_lags")
_LAG = f"a number of seconds from 0 to {MAX_LAG_SECONDS:.0f}"


class Lagging(Protocol):
    read_lag_seconds: float
    read_lags: dict[str, float]


def control(secrets: Lagging, method: str, body: bytes) -> HttpAnswer:
    """Do what a request of this path asks for, and answer with the lags, or with 400 and what is wrong."""
    if method not in {"GET", "POST"}:
        return _answer({"error": "use GET or POST"}, status=405)
    if method == "POST":
        try:
            _steer(secrets, json.loads(body))
        except (ValueError, RecursionError) as error:
            return _answer({"error": str(error)}, status=400)
    return _answer({key: getattr(secrets, key) for key in _KEYS}, status=200)


def _steer(secrets: Lagging, document: Any) -> None:
    """Set what the document has. Raises ValueError for what it may not have, and then sets nothing."""
    require(isinstance(document, dict), f"an object with {' or '.join(_KEYS)} is expected")
    for key in document:
        require(key in _KEYS, f"unknown key {key!r}: there are {' and '.join(_KEYS)}")
    lag = document.get("read_lag_seconds", secrets.read_lag_seconds)
    lags = document.get("read_lags", secrets.read_lags)
    require(is_number(lag, MAX_LAG_SECONDS), f"read_lag_seconds: {_LAG}")
    require(isinstance(lags, dict), "read_lags: an object")
    for place, seconds in lags.items():
        is_known = place in READS or _REGION.fullmatch(place) is not None
        require(is_known, f"read_lags: {place!r} is not a region and not one of {', '.join(sorted(READS))}")
        require(is_number(seconds, MAX_LAG_SECONDS), f"read_lags, {place}: {_LAG}")
    secrets.read_lag_seconds = lag
    secrets.read_lags = dict(lags)


def _answer(document: dict[str, Any], *, status: int) -> HttpAnswer:
    return HttpAnswer(status, encode(json.dumps(document) + "\n"), {"Content-Type": "application/json"})
