"""What others would do with the same vendor in the same years: no ledger at all, or no keeper at all."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from handler import oauth2
from handler.model import Credentials, Ledger, Token
from handler.secrets_manager import CURRENT
from local.durations import DAY, HOUR, MINUTE
from local.simulate.consumers import Account
from local.simulate.network import LOSING
from local.simulate.year import Figures, Year

if TYPE_CHECKING:
    from handler.refresh import Keeper, Result, Run

SERVICES, AHEAD_SECONDS, ASKS_AGAIN_SECONDS, RESTARTS_EVERY = 3, 5 * MINUTE, HOUR, 7 * DAY


def nothing(*_: object) -> Result:
    """Leave it to the services."""
    return {"outcome": "nothing", "reason": ""}


def every_run(keeper: Keeper, _: Run) -> Result:
    """Ask for a token and put it, at each invocation."""
    return _ask(keeper, below=float("inf"))


def when_expiring(keeper: Keeper, _: Run) -> Result:
    """Do that only in the token's last four hours: what one would write first."""
    return _ask(keeper, below=keeper.settings.refresh_window_seconds)


def _ask(keeper: Keeper, below: float) -> Result:
    settings, now = keeper.settings, keeper.now
    secret, version = keeper.store.read()
    token = Token.parse(version.text, now(), settings.max_lifetime_seconds, settings.limit_margin_seconds)
    if token and token.expires_at - now() > below:
        return {"outcome": "kept", "reason": ""}
    client = Credentials.parse(secret.text, secret.version_id).primary
    new, _ = oauth2.acquire(client, settings, settings.acquire_timeout_seconds, now, keeper.sleep)
    keeper.store.put(keeper.new_id(), new.to_json(Ledger()), CURRENT)
    return {"outcome": "refreshed", "reason": "expiring"}


class ServicesYear(Year):
    """Some services, each with a token of its own in memory: it asks when that is about to end, or after a restart."""

    def _begin(self, _end: float) -> None:
        self._accounts = [Account() for _ in range(SERVICES)]
        self._since = [self.engine.now] * SERVICES  # until then it is accounted for
        self.operator.on_change = self._settle_all
        self._turns = [0] * SERVICES  # a newer plan makes an older one void
        for number in range(SERVICES):
            self.engine.at(self.engine.now + self._rng.uniform(0, DAY), partial(self._restart, number))

    def _heal(self, _end: float) -> None:
        """Nothing heals here."""

    def _figures(self) -> Figures:
        self._settle_all()
        figures = super()._figures()
        grants = self.line.grants.values()
        figures.lost = Counter(grant.fault for grant in grants if grant.fault in LOSING)  # a service saves nothing
        figures.careful = figures.plain = sum(one.availability for one in self._accounts) / SERVICES
        figures.outages = [outage for one in self._accounts for outage in one.outages]
        return figures

    def _settle_all(self) -> None:
        for number in range(SERVICES):
            self._settle(number)

    def _settle(self, number: int) -> None:
        account, begin, now = self._accounts[number], self._since[number], self.engine.now
        if account.held or account.good:
            account.settle(begin, now, self.line.good_until(account.held), lambda: "refused")
        self._since[number] = now

    def _restart(self, number: int) -> None:
        self._settle(number)
        self._accounts[number].held = ""
        self._ask(number, self._turns[number])
        self.engine.at(self.engine.now + self._rng.expovariate(1 / RESTARTS_EVERY), partial(self._restart, number))

    def _ask(self, number: int, turn: int) -> None:
        if turn != self._turns[number]:
            return
        self._settle(number)
        token = self.line.ask(*self.operator.pair())
        self._accounts[number].held = token or self._accounts[number].held
        lasts = self.line.good_until(token) - self.engine.now - AHEAD_SECONDS
        self._turns[number] = turn = turn + 1
        self.engine.at(self.engine.now + max(lasts, ASKS_AGAIN_SECONDS), partial(self._ask, number, turn))
