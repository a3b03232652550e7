"""The real handler with one of its mechanisms taken out, to see what that mechanism is for."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handler import oauth2, policy, refresh
from handler.errors import Busy
from handler.model import Ledger, Slot
from handler.policy import Action, Decision, Situation
from handler.secrets_manager import CURRENT, LEDGER, PENDING, PREVIOUS, SecretStore, Version
from local.simulate.naive import ServicesYear, every_run, nothing, when_expiring
from local.simulate.stand_in import Change, stand_in
from local.simulate.year import Year

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from local.simulate.figures import Figures
    from local.simulate.plan import Setup


@dataclass(frozen=True, slots=True)
class Ablation:
    """What is taken out, in words, and how: by the year's setup, or by what the handler does."""

    words: str
    setup: Callable[[Setup], Setup] = lambda setup: setup
    handler: Callable[[], AbstractContextManager[Any]] = nullcontext
    year: type[Year] = Year
    is_studied: bool = True  # else it only shows which invariant it breaks

    def play_year(self, seed: int, setup: Setup) -> Figures:
        with self.handler():
            return self.year(seed, self.setup(setup)).play()


def _handler(words: str, *changes: Change, is_studied: bool = True) -> Ablation:
    return Ablation(words, handler=lambda: stand_in(*changes), is_studied=is_studied)


def _settings(words: str, **settings: Any) -> Ablation:
    return Ablation(words, setup=lambda setup: replace(setup, settings=setup.settings | settings))


def _no_wait(_: Any) -> None:
    raise Busy("another run holds the lock")


def _no_previous(self: SecretStore, stage: str) -> Version:
    return Version() if stage == PREVIOUS else _read_stage(self, stage)


def _unconditional(self: SecretStore, document: str, version_id: str, _: str) -> bool:
    """Write the ledger wherever its label is: no compare, only set."""
    self.put(version_id, document, LEDGER)
    return True


def _as_current(self: SecretStore, document: str, version_id: str, replaces: str) -> bool:
    self.put(version_id, document, CURRENT, PENDING)
    return self.move(LEDGER, version_id, replaces)


def _with_heartbeat(self: SecretStore) -> tuple[Version, Version]:
    self.put(str(uuid.uuid4()), "{}", PENDING)
    return _read(self)


def _with_token(self: refresh.Run, outcome: str, reason: str, seen: Situation) -> refresh.Result:
    return _result(self, outcome, reason, seen) | {"access_token": seen.current and seen.current.access_token}


def _with_previous(self: refresh.Run, **how: Any) -> Situation:
    previous = self._store.read_stage(PREVIOUS)
    found = replace(_see(self, **how), previous_version_id=previous.version_id)
    return replace(found, previous=self._token(previous, found.now))


def _any_previous(self: Situation) -> Decision:
    decision, is_dead = _decide(self), self.previous and not self.seconds_left(self.current)
    return Decision(Action.RESTORE, "previous") if is_dead and decision.action is Action.WAIT else decision


def _everlasting(ledger: Ledger, *rest: Any) -> Ledger:
    """Keep every lock for ever, except those of its own run."""
    lock, own_runs = ledger.lock, rest[1]
    settled = _settle(ledger, *rest)
    return replace(settled, lock=lock) if lock and lock.run_id not in own_runs else settled


_settle, _read, _read_stage = policy.settle, SecretStore.read, SecretStore.read_stage
_see, _result, _decide = refresh.Run._read, refresh.Run._result, Situation.decide

ABLATIONS = {
    "no claim": _handler(
        "the ledger is not written before the request, nor after a failure",
        (SecretStore, "write_ledger", lambda *_: True),
    ),
    "no compare": _handler(
        "the claim is written without compare and set", (SecretStore, "write_ledger", _unconditional)
    ),
    "no ledger": _handler("nothing is remembered of locks and slots", (refresh, "settle", lambda *_: Ledger())),
    "no lock": _handler(
        "another run's lock is ignored", (refresh, "settle", lambda *a: replace(_settle(*a), lock=None))
    ),
    "no waiting": _handler("a run that finds a lock fails at once", (refresh.Run, "_wait_for_the_other_run", _no_wait)),
    "no slots": _handler("a client is asked whatever its slot says", (Situation, "is_open", lambda *_: True)),
    "no suspicions": _handler(
        "a lost answer is not remembered, so each refusal is asked again soon",
        (Ledger, "suspected", lambda self, _: self),
    ),
    "no pause after refused credentials": _handler(
        "refused credentials are tried at every run", (policy, "CREDENTIALS_REFUSED_SECONDS", 0)
    ),
    "no backing off": _handler(
        "no pause after failures", (policy, "BACK_OFF_SECONDS", 0), (policy, "LONGEST_RETRY_SECONDS", 0)
    ),
    "no own slot": _handler(
        "a token that was acquired does not close its client's slot",
        (Situation, "spent_slot", lambda *_: Slot()),
    ),
    "no AWSPREVIOUS": _handler("the token before is never brought back", (SecretStore, "read_stage", _no_previous)),
    "forgets": Ablation(
        "the warm process forgets what it could not save", setup=lambda setup: replace(setup, forgets=True)
    ),
    "no repeated publish": _handler(
        "a write that fails is not repeated",
        (refresh, "FIRST_PAUSE_SECONDS", 1_000),
        (refresh, "LONGEST_PAUSE_SECONDS", 1_000),
    ),
    "no repeated request": _handler(
        "a request that was never sent is not repeated", (oauth2, "RESEND_PAUSES_SECONDS", ())
    ),
    "short read timeout": _settings("an answer is awaited for 10 s in place of 120", acquire_timeout_seconds=10),
    "claims are current": _handler(
        "a claim is put as AWSCURRENT, as a plain put would",
        (SecretStore, "write_ledger", _as_current),
        is_studied=False,
    ),
    "any AWSPREVIOUS": _handler(
        "AWSPREVIOUS is brought back, whatever it is, if there is no slot",
        (refresh.Run, "_read", _with_previous),
        (Situation, "decide", _any_previous),
        is_studied=False,
    ),
    "heartbeat": _handler("each run writes that it was here", (SecretStore, "read", _with_heartbeat), is_studied=False),
    "token in the result": _handler(
        "the result shows the token", (refresh.Run, "_result", _with_token), is_studied=False
    ),
    "locks do not lapse": _handler(
        "a lock holds until its own run releases it", (refresh, "settle", _everlasting), is_studied=False
    ),
    "refreshes at every run": Ablation(
        "each run asks and puts: no check, no claim, no ledger", setup=lambda setup: replace(setup, job=every_run)
    ),
    "refreshes when expiring": Ablation(
        "checks the token, asks and puts: no claim, no ledger, no standby",
        setup=lambda setup: replace(setup, job=when_expiring),
    ),
    "each service its own": Ablation(
        "no keeper: three services, each with a token of its own; after a refusal they ask again every hour",
        setup=lambda setup: replace(setup, job=nothing),
        year=ServicesYear,
    ),
    "no standby": Ablation("one credential only", setup=lambda setup: replace(setup, standby=False)),
}
