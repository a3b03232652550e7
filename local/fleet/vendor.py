"""The vendor of a fleet. Most stores are service accounts of one client; some are clients of the first generation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from handler.model import Client
from local.emulators.token_endpoint import PRINCIPAL_SEPARATOR, Vendor
from local.emulators.token_request import ParsedRequest
from local.simulate.network import Network, principal_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

    from local.emulators.clock import Clock
    from local.emulators.faults import Fault, HttpAnswer
    from local.emulators.token_endpoint import Issued
    from local.simulate.network import Reply
    from local.simulate.rates import FaultSampler
    from local.simulate.runtime import Process

SHARED_CLIENT = "fleet"
SHARED_SECRET = "secret-of-the-fleet"

# How a request can end.
GRANTED = "brought a token"
FAULTY = "met a fault of the network or the vendor"
WRONG_CREDENTIALS = "had wrong credentials"
LIMITED = "were refused for the limit"
OTHERWISE_REFUSED = "were refused otherwise"
_ENDINGS = {
    "invalid_grant": WRONG_CREDENTIALS,
    "invalid_client": WRONG_CREDENTIALS,
    "rate_limited": LIMITED,
}


class Teams:
    """All teams at the vendor: one with all service accounts, and one for each client of the first generation.

    A team can have only two clients, so each of these stores has a team of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shared = Vendor(clock, {})
        self._shared.add_client(SHARED_CLIENT, SHARED_SECRET, with_accounts=True)
        self._own: dict[str, Vendor] = {}  # by client id
        self.last_error = ""  # of the last request; empty if it brought a token
        self._asked = self._shared

    def add_account(self, username: str, password: str) -> Client:
        self._shared.add_account(SHARED_CLIENT, username, password)
        return Client(SHARED_CLIENT, SHARED_SECRET, username, password)

    def add_client(self, client_id: str, client_secret: str) -> Client:
        self._own[client_id] = Vendor(self._clock, {client_id: client_secret})
        return Client(client_id, client_secret)

    @property
    def issued(self) -> list[Issued]:
        """The tokens of the team that was asked last."""
        return self._asked.issued

    def token_request(self, headers: Message, body: bytes) -> tuple[HttpAnswer, Fault]:
        client_id = ParsedRequest.parse(headers, body).client_id or ""
        self._asked = self._team_of(client_id)
        answer, fault = self._asked.token_request(headers, body)
        self.last_error = answer.error or ""
        return answer, fault

    def is_active(self, principal: str) -> bool:
        return self._team_of(principal).is_active(principal)

    def deactivate(self, principal: str) -> None:
        self._team_of(principal).deactivate(principal)

    def describe(self) -> dict[str, object]:
        """Describe the clients alone, which is what the network reads."""
        return self._asked.describe()

    def _team_of(self, principal: str) -> Vendor:
        client_id, _, _ = principal.partition(PRINCIPAL_SEPARATOR)
        return self._own.get(client_id, self._shared)


class FleetNetwork(Network):
    """Counts how the requests end. It calls `on_fault` for each request that meets a fault of its own."""

    def __init__(self, *arguments: Any, on_fault: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._faults = _Noticed(self._faults, on_fault)  # type: ignore[assignment]
        self.on_limited: Callable[[str], None] = lambda _principal: None
        self.endings: Counter[str] = Counter()

    def _answer(self, process: Process, body: bytes, fault: str, deadline: float) -> Reply:
        if fault:
            self.endings[FAULTY] += 1
        return super()._answer(process, body, fault, deadline)

    def _ask_vendor(self, process: Process, body: bytes, fault: str) -> Reply:
        reply = super()._ask_vendor(process, body, fault)
        ending = self._ending(reply)
        if ending == LIMITED:
            self.on_limited(principal_in(body))
        if not fault:
            self.endings[ending] += 1
        return reply

    def _ending(self, reply: Reply) -> str:
        if reply.status == 200:
            return GRANTED
        teams: Any = self.vendor
        return _ENDINGS.get(teams.last_error, OTHERWISE_REFUSED)


class _Noticed:
    """A sampler that tells of each fault it draws."""

    def __init__(self, sampler: FaultSampler, on_fault: Callable[[], None]) -> None:
        self._sampler = sampler
        self._on_fault = on_fault

    def draw(self) -> str:
        fault = self._sampler.draw()
        if fault:
            self._on_fault()
        return fault

    def stop(self) -> None:
        self._sampler.stop()
