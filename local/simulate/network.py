"""The vendor in this process: the emulator's rules, and a line to it that fails as lines do."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from handler import oauth2
from handler.model import json_object
from handler.oauth2 import CONNECT_TIMEOUT_SECONDS
from local.emulators.faults import refusal
from local.emulators.token_endpoint import Vendor
from local.simulate.rates import Dice
from local.simulate.stand_in import Change, stand_in

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from handler.oauth2 import Answer, _Form
    from local.simulate.engine import Engine
    from local.simulate.rates import Rates
    from local.simulate.runtime import Process

AUDIENCE = "https://api.tangocard.com/"
TOKEN_URL, WRONG_URL = "https://vendor.example/oauth/token", "https://vendro.example/oauth/token"
API_URL = "https://vendor.example/raas/v2/customers"
RETRY_AFTER_SECONDS = ("", "60", "1800", "7200")  # what a 429 may say, or not say
# While the vendor is down, every request meets one of these; "vendor_silent" is no answer at all.
OUTAGES = ("vendor_connect", "vendor_5xx", "vendor_html", "vendor_silent")
A_STALLED_MACHINE_SECONDS = 3_600.0  # real ones
FAILED_PROBES = (0, 404, 429, 500, 503)  # 0: no answer
SLOW_SECONDS = {"vendor_slow": (5.0, 60.0), "vendor_very_slow": (100.0, 300.0)}
# What costs a token that was issued.
LOSING = {"vendor_reset_after", "vendor_truncated", "vendor_very_slow", "vendor_5xx_spent"}
_UNSENT = {"vendor_dns", "vendor_connect", "vendor_tls"}
_UNSEEN = {  # by the vendor itself, whose state stays as it is: status, headers, body
    "vendor_html": (200, {}, b"<html>maintenance</html>"),
    "vendor_5xx": (503, {}, b"{}"),
    "vendor_429": (429, {}, b"{}"),
    "vendor_redirect": (302, {"Location": "https://elsewhere.example/"}, b""),
}
_FORM = Message()
_FORM["Content-Type"] = "application/x-www-form-urlencoded"


def _form(client_id: str, client_secret: str) -> bytes:
    fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    return urlencode(fields).encode()


class LineFailure(Exception):
    """The connection failed, before or after the request was sent."""


class Skewed:
    """The vendor's clock, which differs from ours."""

    def __init__(self, engine: Engine, by: float) -> None:
        self._engine, self._by = engine, by

    def now(self) -> float:
        return self._engine.now + self._by


@dataclass(slots=True)
class Reply:
    """An answer as it arrives; `is_cut`: the connection ends before the body does."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    is_cut: bool = False


@dataclass(slots=True)
class Grant:
    """A token that the vendor issued to us, and what became of the answer."""

    client_id: str
    token: str = field(repr=False)
    at: float
    expires_at: float  # by the engine's clock
    fault: str  # what its answer met, empty for nothing


class Line:
    """The way to the vendor. `on_request` is told of each request that is sent, `on_issue` of each token."""

    def __init__(self, engine: Engine, rng: random.Random, rates: Rates, vendor: Vendor) -> None:
        self._engine, self._rng = engine, rng
        self.on_request: Callable[[Process, str], None] = lambda _process, _client_id: None
        self.on_issue: Callable[[Grant], None] = lambda _grant: None
        self.dice, self.probe_dice = Dice(rng, rates, "vendor_", "request"), Dice(rng, rates, "probe_", "probe")
        self.vendor, self.outage = vendor, ""
        self.grants: dict[str, Grant] = {}
        self.requests = self.refusals = self.in_flight = 0

    def calm(self) -> None:
        """End all faults."""
        self.outage = ""
        self.dice.calm()
        self.probe_dice.calm()

    def exchange(self, method: str, url: str, headers: dict[str, str], form: _Form, timeout: float) -> Answer:
        """Stand in for the handler's own exchange by `requests`; `wire` has that one."""
        process: Process = self._engine.current
        if method == "GET":
            return self.probe(process, headers["Authorization"]), b"", ""
        reply = self.post(process, url, form.read, timeout)
        answer = reply.status, reply.body, reply.headers.get("Retry-After", "")
        form.answer = answer
        if reply.is_cut:
            raise LineFailure
        self.deliver(process, reply.body)
        return answer

    def deliver(self, process: Process, body: bytes) -> None:
        """Note what token the process got to see."""
        token = json_object(body).get("access_token")
        if token in self.grants:
            process.delivered.append(token)

    def probe(self, process: Process, authorization: str) -> int:
        process.wait(self._rng.uniform(0.05, 0.3))
        if self.probe_dice.throw() or self.outage:
            status = self._rng.choice(FAILED_PROBES)
            if not status:
                raise LineFailure
            return status
        return 200 if self.is_accepted(authorization.removeprefix("Bearer ")) else 401

    def post(self, process: Process, url: str, send: Callable[[], bytes], timeout: float) -> Reply:
        """Carry one token request there and back, over in `timeout` seconds. Raises LineFailure."""
        ends = self._engine.now + timeout
        fault = self.outage or self.dice.throw()
        is_unsent = fault in _UNSENT or url == WRONG_URL
        self._wait(process, self._rng.choice([0.05, CONNECT_TIMEOUT_SECONDS]) if is_unsent else 0.05, ends)
        if is_unsent:
            raise LineFailure
        body = send()
        self.requests += 1
        self.on_request(process, parse_qs(body.decode())["client_id"][0])
        self.in_flight += 1
        try:
            return self._answer(process, body, fault, ends)
        finally:
            self.in_flight -= 1

    def _answer(self, process: Process, body: bytes, fault: str, ends: float) -> Reply:
        delay = self._rng.uniform(*SLOW_SECONDS.get(fault, (0.1, 1.0)))
        if fault == "vendor_silent":
            self._wait(process, ends - self._engine.now, ends)
        if fault == "vendor_reset_before":
            raise LineFailure
        if fault in _UNSEEN:
            self._wait(process, delay, ends)
            status, headers, said = _UNSEEN[fault]
            pause = self._rng.choice(RETRY_AFTER_SECONDS) if status == 429 else ""
            return Reply(status, headers | ({"Retry-After": pause} if pause else {}), said)
        self._wait(process, 0.05, ends)
        reply = self._receive(process, body, fault)
        self._wait(process, delay, ends)
        if fault == "vendor_reset_after":
            raise LineFailure
        if fault == "vendor_truncated":
            return Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2], is_cut=True)
        if fault == "vendor_5xx_spent":
            return Reply(504, {}, b"{}")
        return reply

    def _wait(self, process: Process, seconds: float, ends: float) -> None:
        process.wait(min(seconds, ends - self._engine.now))
        if self._engine.now >= ends:
            raise LineFailure

    def _receive(self, process: Process, body: bytes, fault: str) -> Reply:
        if parse_qs(body.decode())["audience"] != [AUDIENCE]:
            answer = refusal(403, "access_denied", "service not enabled within domain")
        else:
            answer, _ = self.vendor.token_request(_FORM, body)
        if answer.status == 200:
            process.issued.append(self._grant(fault))
            self.on_issue(self.grants[process.issued[-1]])
        self.refusals += answer.error == "rate_limited"
        return Reply(answer.status, dict(answer.headers), answer.body)

    def _grant(self, fault: str) -> str:
        issued, now = self.vendor.issued[-1], self._engine.now
        grant = Grant(issued.client_id, issued.token, now, now + issued.expires_at - issued.at, fault)
        self.grants[issued.token] = grant
        return issued.token

    def use(self, client_id: str, client_secret: str) -> None:
        """Be the second party that uses our client, and keeps what it gets; a refusal may cost us the slot as well."""
        self.vendor.token_request(_FORM, _form(client_id, client_secret))

    def ask(self, client_id: str, client_secret: str) -> str:
        """Ask as one that has no keeper; return the token, empty where none arrives."""
        fault = self.outage or self.dice.throw()
        self.requests += fault not in _UNSENT
        if fault in {*_UNSENT, *_UNSEEN, "vendor_silent", "vendor_reset_before"}:
            return ""
        answer, _ = self.vendor.token_request(_FORM, _form(client_id, client_secret))
        token = self._grant(fault) if answer.status == 200 else ""
        self.refusals += answer.error == "rate_limited"
        return "" if fault in LOSING else token

    def good_until(self, token: str) -> float:
        """Return when the API ceases to take this token; 0 for one that it does not take."""
        grant = self.grants.get(token)
        is_active = grant and self.vendor.is_active(grant.client_id)
        return grant.expires_at if grant and is_active else 0.0

    def is_accepted(self, token: str) -> bool:
        return self.good_until(token) > self._engine.now


@contextmanager
def carry(engine: Engine, line: Line, _rng: random.Random) -> Iterator[None]:
    """Have the handler's requests carried by the line, in virtual time."""
    with stand_in((oauth2, "exchange", line.exchange), *in_virtual_time(engine)):
        yield


def in_virtual_time(engine: Engine) -> list[Change]:
    """Return what has the handler go by that alone: it withholds what would come too late, and the line gives up."""
    bounded = oauth2._bounded  # noqa: SLF001
    clock = SimpleNamespace(monotonic=lambda: engine.now)
    return [(oauth2, "time", clock), (oauth2, "_bounded", lambda work, _: bounded(work, A_STALLED_MACHINE_SECONDS))]
