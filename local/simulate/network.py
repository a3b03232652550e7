"""The network between us and the vendor, which fails as networks do, and at its end the emulated vendor itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode

from handler import http_exchange, oauth2
from handler.http_exchange import CONNECT_TIMEOUT_SECONDS
from handler.model import json_object, principal_of
from handler.settings import PRINCIPAL_SEPARATOR
from handler.token_response import HttpResponse
from local.emulators.faults import refusal
from local.emulators.service_accounts import MAX_WRONG_PASSWORDS
from local.simulate.host import Killed, SimulatorFailed
from local.simulate.rates import FaultSampler
from local.simulate.stand_in import Change, stand_in

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from handler.http_exchange import RequestBody
    from handler.model import Client
    from local.emulators.token_endpoint import Vendor
    from local.simulate.engine import Engine
    from local.simulate.rates import Rates
    from local.simulate.runtime import Process

AUDIENCE = "https://api.tangocard.com/"
TOKEN_URL = "https://vendor.example/oauth/token"
WRONG_TOKEN_URL = "https://vendro.example/oauth/token"
API_URL = "https://vendor.example/raas/v2/customers"
RETRY_AFTER_SECONDS = ("", "60", "1800", "7200")  # what a 429 may say; empty: it has no such header
# While the vendor is down, every request meets one of these; "vendor_silent" means that no answer comes at all.
OUTAGE_FAULTS = ("vendor_connect", "vendor_5xx", "vendor_html", "vendor_silent")
FAILED_PROBE_STATUSES = (0, 404, 429, 500, 503)  # 0: no answer
USUAL_DELAY_SECONDS = (0.1, 1.0)
SLOW_DELAY_SECONDS = {"vendor_slow": (5.0, 60.0), "vendor_very_slow": (100.0, 300.0)}
# A token that was issued is lost if its answer meets one of these.
TOKEN_LOSING_FAULTS = {"vendor_reset_after", "vendor_truncated", "vendor_very_slow", "vendor_5xx_spent"}
_NEVER_SENT = {"vendor_dns", "vendor_connect", "vendor_tls"}
# Something in front of the vendor answers these, so the vendor's state stays as it is: status, headers, body.
_ANSWERED_IN_FRONT = {
    "vendor_html": (200, {}, b"<html>maintenance</html>"),
    "vendor_5xx": (503, {}, b"{}"),
    "vendor_429": (429, {}, b"{}"),
    "vendor_redirect": (302, {"Location": "https://elsewhere.example/"}, b""),
}
_FORM_HEADERS = Message()
_FORM_HEADERS["Content-Type"] = "application/x-www-form-urlencoded"


def _form(client: Client) -> bytes:
    """Return the token request that somebody else makes with our client, or with its service account."""
    fields = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "audience": AUDIENCE,
    }
    if client.username is not None and client.password is not None:
        fields["grant_type"] = "password"
        fields["username"] = client.username
        fields["password"] = client.password
    return urlencode(fields).encode()


def principal_in(body: bytes) -> str:
    """Return who asks with this form."""
    form = dict(parse_qsl(body.decode()))
    return principal_of(form["client_id"], form.get("username"))


class ConnectionFailed(Exception):
    """The connection failed, before or after the request was sent."""


class VendorClock:
    """The vendor's clock, which differs from ours by a constant number of seconds."""

    def __init__(self, engine: Engine, offset: float) -> None:
        self._engine = engine
        self._offset = offset

    def now(self) -> float:
        return self._engine.now + self._offset


@dataclass(slots=True)
class Reply:
    """An HTTP answer as it arrives. `is_cut`: the connection ends before the body does.

    `limited`: the principal that it refuses for the limit; empty for another answer.
    """

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    is_cut: bool = False
    limited: str = ""


@dataclass(slots=True, kw_only=True)
class Grant:
    """A token that the vendor issued to us. Times by the engine's clock."""

    principal: str
    token: str = field(repr=False)
    at: float
    expires_at: float
    fault: str  # that the answer with the token met; empty for none


class Network:
    """Carries requests to the vendor.

    It calls `on_request` for each one that is sent, `on_issue` for each token, and `on_limit` for each refusal for the
    limit that has arrived.
    """

    def __init__(self, engine: Engine, rng: random.Random, rates: Rates, vendor: Vendor) -> None:
        self._engine = engine
        self._rng = rng
        self._faults = FaultSampler(rng, rates, "vendor_", "request")
        self._probe_faults = FaultSampler(rng, rates, "probe_", "probe")
        self.on_request: Callable[[Process, str], None] = lambda _process, _principal: None
        self.on_issue: Callable[[Grant], None] = lambda _grant: None
        self.on_limit: Callable[[Process, str], None] = lambda _process, _principal: None
        self.vendor = vendor
        self.outage = ""  # the fault that every request meets, empty for none
        self.grants: dict[str, Grant] = {}  # by token
        self.requests = 0
        self.refusals = 0
        self.max_wrong_passwords = 0  # in a row, with one service account
        self.in_flight = 0

    def end_faults(self) -> None:
        self.outage = ""
        self._faults.stop()
        self._probe_faults.stop()

    def exchange(
        self, method: str, url: str, headers: dict[str, str], body: RequestBody, timeout: float
    ) -> HttpResponse:
        """Take the place of the handler's own exchange by `requests`; `real_clients` keeps that one."""
        process: Process = self._engine.current_worker
        if method == "GET":
            return HttpResponse(self.probe(process, headers["Authorization"]), b"")
        reply = self.post(process, url, body.read, timeout)
        answer = HttpResponse(reply.status, reply.body, reply.headers.get("Retry-After", ""))
        body.partial = answer
        if reply.is_cut:
            raise ConnectionFailed
        self.note_arrival(process, reply)
        return answer

    def note_arrival(self, process: Process, reply: Reply) -> None:
        """Note that the process received the whole answer, and so the token or the refusal in it."""
        token = json_object(reply.body).get("access_token")
        if token in self.grants:
            process.delivered.append(token)
        if reply.limited:
            self.on_limit(process, reply.limited)

    def probe(self, process: Process, authorization: str) -> int:
        """Call the vendor's API with a token; return the HTTP status. Raises ConnectionFailed."""
        process.wait(self._rng.uniform(0.05, 0.3))
        if self._probe_faults.draw() or self.outage:
            status = self._rng.choice(FAILED_PROBE_STATUSES)
            if not status:
                raise ConnectionFailed
            return status
        is_accepted = self.is_accepted(authorization.removeprefix("Bearer "))
        return 200 if is_accepted else 401

    def post(self, process: Process, url: str, read_body: Callable[[], bytes], timeout: float) -> Reply:
        """Carry one token request to the vendor and its answer back, within `timeout` seconds.

        Raises ConnectionFailed.
        """
        deadline = self._engine.now + timeout
        fault = self.outage or self._faults.draw()
        if fault in _NEVER_SENT or url == WRONG_TOKEN_URL:
            self._wait(process, self._rng.choice([0.05, CONNECT_TIMEOUT_SECONDS]), deadline)
            raise ConnectionFailed
        self._wait(process, 0.05, deadline)
        body = read_body()
        self.requests += 1
        self.on_request(process, principal_in(body))
        self.in_flight += 1
        try:
            return self._answer(process, body, fault, deadline)
        finally:
            self.in_flight -= 1

    def _answer(self, process: Process, body: bytes, fault: str, deadline: float) -> Reply:
        shortest, longest = SLOW_DELAY_SECONDS.get(fault, USUAL_DELAY_SECONDS)
        delay = self._rng.uniform(shortest, longest)
        if fault == "vendor_silent":
            self._wait(process, deadline - self._engine.now, deadline)
        if fault == "vendor_reset_before":
            raise ConnectionFailed
        if fault in _ANSWERED_IN_FRONT:
            self._wait(process, delay, deadline)
            return self._answer_in_front(fault)
        self._wait(process, 0.05, deadline)
        reply = self._ask_vendor(process, body, fault)
        self._wait(process, delay, deadline)
        if fault == "vendor_reset_after":
            raise ConnectionFailed
        if fault == "vendor_truncated":
            return Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2], is_cut=True)
        if fault == "vendor_5xx_spent":
            return Reply(504, {}, b"{}")
        return reply

    def _answer_in_front(self, fault: str) -> Reply:
        status, headers, body = _ANSWERED_IN_FRONT[fault]
        if status == 429:
            retry_after = self._rng.choice(RETRY_AFTER_SECONDS)
            headers = {"Retry-After": retry_after} if retry_after else {}
        return Reply(status, dict(headers), body)

    def _wait(self, process: Process, seconds: float, deadline: float) -> None:
        process.wait(min(seconds, deadline - self._engine.now))
        if self._engine.now >= deadline:
            raise ConnectionFailed

    def _ask_vendor(self, process: Process, body: bytes, fault: str) -> Reply:
        if parse_qs(body.decode())["audience"] != [AUDIENCE]:
            answer = refusal(403, "access_denied", "service not enabled within domain")
        else:
            answer, _ = self.vendor.token_request(_FORM_HEADERS, body)
        if answer.status == 200:
            grant = self._note_grant(fault)
            process.issued.append(grant.token)
            self.on_issue(grant)
        limited = ""
        if answer.error == "rate_limited":
            self.refusals += 1
            limited = principal_in(body)
        if answer.error == "invalid_grant":
            wrong_passwords = self.wrong_passwords(principal_in(body))
            self.max_wrong_passwords = max(self.max_wrong_passwords, wrong_passwords)
        return Reply(answer.status, dict(answer.headers), answer.body, limited=limited)

    def _note_grant(self, fault: str) -> Grant:
        issued = self.vendor.issued[-1]
        now = self._engine.now
        grant = Grant(
            principal=issued.principal,
            token=issued.token,
            at=now,
            expires_at=now + issued.expires_at - issued.at,
            fault=fault,
        )
        self.grants[issued.token] = grant
        return grant

    def wrong_passwords(self, principal: str) -> int:
        """Return how many wrong passwords in a row the vendor got with a service account."""
        client_id, _, username = principal.partition(PRINCIPAL_SEPARATOR)
        clients: Any = self.vendor.describe()["clients"]
        wrong_passwords: int = clients[client_id]["service_accounts"][username]["wrong_passwords"]
        return wrong_passwords

    def is_blocked(self, principal: str) -> bool:
        """Say whether the vendor has blocked a service account."""
        return self.wrong_passwords(principal) >= MAX_WRONG_PASSWORDS

    def is_limited(self, principal: str) -> bool:
        """Say whether the vendor's limit would refuse the principal now. Service accounts have no limit."""
        client_id, _, _ = principal.partition(PRINCIPAL_SEPARATOR)
        return self.vendor.is_limited(client_id)

    def use_as_second_party(self, client: Client) -> None:
        """Let somebody else ask with our client and keep the token. A refusal may cost us the slot as well."""
        self.vendor.token_request(_FORM_HEADERS, _form(client))

    def ask_without_ledger(self, client: Client) -> str:
        """Let a service ask for a token of its own; return the token, or an empty text if none arrives."""
        fault = self.outage or self._faults.draw()
        if fault not in _NEVER_SENT:
            self.requests += 1
        if fault in {*_NEVER_SENT, *_ANSWERED_IN_FRONT, "vendor_silent", "vendor_reset_before"}:
            return ""
        answer, _ = self.vendor.token_request(_FORM_HEADERS, _form(client))
        if answer.error == "rate_limited":
            self.refusals += 1
        if answer.status != 200:
            return ""
        grant = self._note_grant(fault)
        return "" if fault in TOKEN_LOSING_FAULTS else grant.token

    def ends_at(self, token: str) -> float:
        """Return when the life ends that the vendor gave to this token; 0 if it issued none like it."""
        grant = self.grants.get(token)
        return grant.expires_at if grant else 0.0

    def good_until(self, token: str) -> float:
        """Return until when the API takes this token; 0 for a token that it does not take."""
        grant = self.grants.get(token)
        if grant is None or not self.vendor.is_active(grant.principal):
            return 0.0
        return grant.expires_at

    def is_accepted(self, token: str) -> bool:
        return self.good_until(token) > self._engine.now


@contextmanager
def replace_exchange(engine: Engine, network: Network, _rng: random.Random) -> Iterator[None]:
    """Have the network carry the handler's requests, in virtual time, for the length of a block.

    The network gives up in time, so a request needs no thread that the handler could leave behind.
    """
    with stand_in(
        (http_exchange, "exchange", network.exchange),
        (http_exchange, "_bounded", _answer_or_error),
        *in_virtual_time(engine),
    ):
        yield


def _answer_or_error(work: Callable[[], HttpResponse], _: float) -> HttpResponse | Exception:
    """Do the work. Returns how the connection failed, for the caller to decide what that means.

    As with a thread, a run that is killed notices that when it next looks at the clock. Raises SimulatorFailed if the
    vendor or an invariant fails: the handler would take that for a failure of the connection.
    """
    try:
        return work()
    except (ConnectionFailed, TimeoutError) as error:
        return error
    except Killed:
        return ConnectionFailed()
    except Exception as error:
        raise SimulatorFailed from error


def in_virtual_time(engine: Engine) -> list[Change]:
    """Return the changes that make the handler's HTTP exchange go by the virtual clock.

    The handler then withholds what would come too late by that clock.
    """
    clock = SimpleNamespace(monotonic=lambda: engine.now)
    return [(oauth2, "time", clock), (http_exchange, "time", clock)]
