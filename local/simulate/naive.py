"""What others would do with the same vendor in the same years: a function without a ledger, or no function at all."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from handler import oauth2
from handler.ledger import Ledger
from handler.model import Credentials, Token
from handler.secrets_manager import CURRENT
from local.durations import DAY, HOUR, MINUTE
from local.simulate.consumers import Account
from local.simulate.network import TOKEN_LOSING_FAULTS
from local.simulate.year import Year

if TYPE_CHECKING:
    from handler.connections import Connection
    from handler.refresh import Refresh
    from handler.status import Result
    from local.simulate.figures import Figures

SERVICES = 3
AHEAD_SECONDS = 5 * MINUTE  # so long before its token ends a service asks for the next one
MIN_PAUSE_SECONDS = HOUR  # between two requests of a service
MEAN_SECONDS_BETWEEN_RESTARTS = 7 * DAY


def nothing(*_: object) -> Result:
    """Leave it to the services."""
    return {"outcome": "nothing", "reason": ""}


def every_run(process: Connection, _: Refresh) -> Result:
    """Ask for a token and put it, at each invocation."""
    return _ask(process, below=float("inf"))


def when_expiring(process: Connection, _: Refresh) -> Result:
    """Do that only in the token's last four hours: what most people would write first."""
    return _ask(process, below=process.settings.refresh_window_seconds)


def _ask(process: Connection, below: float) -> Result:
    settings = process.settings
    now = process.now
    secret, version = process.store.read_both().or_raise()
    token = Token.parse(
        version.text,
        now=now(),
        max_lifetime_seconds=settings.max_lifetime_seconds,
        clock_margin_seconds=settings.limit_margin_seconds,
    )
    if token and token.expires_at - now() > below:
        return {"outcome": "kept", "reason": ""}
    client = Credentials.parse(secret.text, secret.version_id).primary
    answer = oauth2.acquire(
        client,
        settings,
        budget_seconds=settings.acquire_timeout_seconds,
        now=now,
        sleep=process.sleep,
    )
    document = Ledger().to_json(answer.token)
    process.store.put_version(process.new_id(), document, stages=[CURRENT])
    return {"outcome": "refreshed", "reason": "expiring"}


class ServicesYear(Year):
    """Some services, each with a token of its own in memory. Each asks after a restart, and before its token ends."""

    def _start(self) -> None:
        self._accounts = [Account() for _ in range(SERVICES)]
        self._accounted_until = [self.engine.now] * SERVICES
        self._plan_numbers = [0] * SERVICES  # a request that was planned under an older number is void
        self.operator.on_deactivate = self._account_for_all
        for number in range(SERVICES):
            self.engine.at(self.engine.now + self._rng.uniform(0, DAY), partial(self._restart, number))

    def _heal(self) -> None:
        """Nothing heals here."""

    def _collect_figures(self) -> Figures:
        self._account_for_all()
        figures = super()._collect_figures()
        grants = self.network.grants.values()
        # A service saves nothing, so only the faults of an answer lose a token.
        figures.lost = Counter(grant.fault for grant in grants if grant.fault in TOKEN_LOSING_FAULTS)
        mean = sum(account.availability for account in self._accounts) / SERVICES
        figures.careful = mean
        figures.plain = mean
        figures.outages = [outage for account in self._accounts for outage in account.outages]
        return figures

    def _account_for_all(self) -> None:
        for number in range(SERVICES):
            self._account_for(number)

    def _account_for(self, number: int) -> None:
        account = self._accounts[number]
        begin = self._accounted_until[number]
        self._accounted_until[number] = self.engine.now
        if account.token or account.good_seconds:
            account.add(begin, self.engine.now, self.network.good_until(account.token), lambda: "refused")

    def _restart(self, number: int) -> None:
        self._account_for(number)
        self._accounts[number].token = ""
        self._ask(number, self._plan_numbers[number])
        pause = self._rng.expovariate(1 / MEAN_SECONDS_BETWEEN_RESTARTS)
        self.engine.at(self.engine.now + pause, partial(self._restart, number))

    def _ask(self, number: int, plan_number: int) -> None:
        if plan_number != self._plan_numbers[number]:
            return
        self._account_for(number)
        token = self.network.ask_without_ledger(self.operator.primary)
        if token:
            self._accounts[number].token = token
        good_seconds = self.network.good_until(token) - self.engine.now
        pause = max(good_seconds - AHEAD_SECONDS, MIN_PAUSE_SECONDS)
        self._plan_numbers[number] += 1
        self.engine.at(self.engine.now + pause, partial(self._ask, number, self._plan_numbers[number]))
