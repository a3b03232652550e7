"""The real handler with one of its mechanisms taken out, to see what that mechanism is for."""

from __future__ import annotations

import uuid
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from handler import ledger, oauth2, refresh, result
from handler.errors import Busy, CredentialsRefused, StoreError
from handler.ledger import PACE_MAX_LEVEL, Ledger, Pace, Slot, Terms
from handler.model import Token
from handler.policy import EXPIRING, State
from handler.policy import PREVIOUS as FROM_PREVIOUS
from handler.reader import Reader
from handler.refresh import Outcome, Refresh
from handler.secrets_manager import CURRENT, LEDGER, NO_VERSION, PENDING, PREVIOUS, Both, SecretStore, Version
from local.durations import DAY, HOUR
from local.simulate import runtime
from local.simulate.naive import ServicesYear, every_run, nothing, when_expiring
from local.simulate.stand_in import Change, stand_in
from local.simulate.year import Year

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from handler.policy import Request
    from handler.reader import Snapshot
    from handler.result import Result
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


def _no_wait(_: Any) -> None:
    raise Busy("another run holds the lock")


def _no_previous(self: SecretStore, stage: str) -> Version:
    if stage == PREVIOUS:
        return NO_VERSION
    return _get_version(self, stage)


def _always_won(*_: Any, **__: Any) -> bool:
    """Write no ledger, and say that it was written."""
    return True


def _without_compare(self: SecretStore, document: str, *, version_id: str, **_: Any) -> bool:
    """Write the ledger wherever its label is: no compare, only set."""
    # An id of its own, or the version of another run would stand in the way.
    own_id = str(uuid.uuid5(uuid.UUID(version_id), document))
    self.put_version(own_id, document, stages=[LEDGER])
    return True


def _as_current(self: SecretStore, document: str, *, version_id: str, **options: Any) -> bool:
    with suppress(StoreError):
        self.put_version(version_id, document, stages=[CURRENT, PENDING])
    return _compare_and_set(self, document, version_id=version_id, **options)


def _with_heartbeat(self: SecretStore) -> Both:
    self.put_version(str(uuid.uuid4()), "{}", stages=[PENDING])
    return _read_both(self)


def _with_token(outcome: Outcome) -> Result:
    current = outcome.snapshot.state.current
    shown = current.access_token if current else None
    return _result_of(outcome) | {"access_token": shown}


def _move_label(self: Refresh, reason: str, token: Token, snapshot: Snapshot) -> Any:
    """Bring AWSPREVIOUS back by its label alone: no claim."""
    if reason != FROM_PREVIOUS:
        return _publish_at_hand(self, reason, token, snapshot)
    previous = self._store.get_version(PREVIOUS)
    self._store.move_stage(
        CURRENT,
        to_version_id=previous.version_id,
        expected_version_id=snapshot.token_version_id,
    )
    state = replace(snapshot.state, current=token)
    moved = replace(snapshot, state=state, token_version_id=previous.version_id)
    return Outcome("recovered", reason, moved)


def _not_displaced(self: Reader, *versions: Any) -> State:
    return replace(_with_ledger(self, *versions), displaced=None)


def _any_token(self: State, token: Token) -> bool:
    """Take any token that has not expired for a better one."""
    is_current = self.current is not None and self.current.access_token == token.access_token
    return token.expires_at > self.now and not is_current


def _without_pause(self: Ledger, principal: str, *_: Any) -> Ledger:
    return self.with_failure(CredentialsRefused.__name__, principal)


def _own_claim_id(self: Refresh, *_: Any) -> str:
    return self._connection.new_id()


def _always_due(self: State, token: Token | None, request: Request) -> str:
    return _due_reason(self, token, request) or EXPIRING


def _unlimited(self: Ledger, *_: Any, **__: Any) -> Ledger:
    return self


def _with_later_end(self: Token) -> dict[str, Any]:
    document = _document(self)
    return document | {"expires_at": document["expires_at"] + int(2 * HOUR)}


def _forgotten(*_: Any) -> Ledger:
    return Ledger()


def _unlocked(self: Ledger, *rest: Any) -> Ledger:
    return replace(_as_of(self, *rest), lock=None)


def _locked_for_ever(self: Ledger, now: float, own_runs: Any, *rest: Any) -> Ledger:
    """Keep every lock for ever, except those of its own run."""
    counted = _as_of(self, now, own_runs, *rest)
    if self.lock and self.lock.run_id not in own_runs:
        return replace(counted, lock=self.lock)
    return counted


# What the handler itself does, before anything is taken out.
_as_of = Ledger.as_of
_document = Token.document
_due_reason = State.due_reason
_compare_and_set = SecretStore.compare_and_set_ledger
_read_both = SecretStore.read_both
_get_version = SecretStore.get_version
_publish_at_hand = Refresh._publish_at_hand
_result_of = result.result_of
_with_ledger = Reader._with_ledger

ABLATIONS = {
    "no claim": _handler(
        "the ledger is not written before the request, nor after a failure",
        (SecretStore, "compare_and_set_ledger", _always_won),
    ),
    "no compare": _handler(
        "the claim is written without compare and set", (SecretStore, "compare_and_set_ledger", _without_compare)
    ),
    "no ledger": _handler("nothing is remembered of locks and slots", (Ledger, "as_of", _forgotten)),
    "no lock": _handler("another run's lock is ignored", (Ledger, "as_of", _unlocked)),
    "no waiting": _handler("a run that finds a lock fails at once", (Refresh, "_wait_for_other_run", _no_wait)),
    "no slots": _handler("a client is asked whatever its slot says", (State, "may_ask", lambda *_: True)),
    "no suspicions": _handler(
        "a lost answer is not remembered, so each refusal is asked again soon",
        (Ledger, "with_suspicion", lambda self, _: self),
    ),
    "no pause after refused credentials": _handler(
        "refused credentials are tried at every run",
        (Ledger, "after_refused_credentials", _without_pause),
    ),
    "no backing off": _handler(
        "no pause after failures",
        (Terms, "back_off_seconds", lambda *_: 0),
        (ledger, "MAX_VENDOR_DOWN_SECONDS", 0),
    ),
    "no own slot": _handler(
        "a token that was acquired does not close its client's slot",
        (Slot, "spent_by", lambda *_: Slot()),
    ),
    "no AWSPREVIOUS": _handler("the token before is never brought back", (SecretStore, "get_version", _no_previous)),
    "no displaced token": _handler(
        "the version under REFRESH_LEDGER is not looked at for a token",
        (Reader, "_with_ledger", _not_displaced),
    ),
    "claims carry no token": _handler(
        "a claim's version and a release's hold the ledger alone",
        (State, "token_to_carry", lambda _: None),
    ),
    "no pace": _handler(
        "as many claims as anybody asks for",
        (Pace, "level_at", lambda *_: float(PACE_MAX_LEVEL)),
    ),
    "claim ids of their own": _handler(
        "of many racers each leaves a version behind",
        (Refresh, "_claim_id", _own_claim_id),
    ),
    "no asked_with": _handler(
        "a pause holds although the credentials or the settings were corrected",
        (Terms, "asked_with", None),
    ),
    "forgets": Ablation(
        "the warm process forgets what it could not save", setup=lambda setup: replace(setup, forgets=True)
    ),
    "no repeated publish": _handler(
        "a write that fails is not repeated",
        (refresh, "FIRST_PUBLISH_PAUSE_SECONDS", 1_000),
        (refresh, "MAX_PUBLISH_PAUSE_SECONDS", 1_000),
    ),
    "no repeated request": _handler(
        "a request that was never sent is not repeated", (oauth2, "RESEND_PAUSES_SECONDS", ())
    ),
    "claims are current": _handler(
        "a claim is put as AWSCURRENT, as a plain put would",
        (SecretStore, "compare_and_set_ledger", _as_current),
        is_studied=False,
    ),
    "recovery by a moved label": _handler(
        "AWSCURRENT is moved back to AWSPREVIOUS, without a claim",
        (Refresh, "_publish_at_hand", _move_label),
        is_studied=False,
    ),
    "any token at hand": _handler(
        "a token at hand is published whosever it is and however old",
        (State, "_is_better_than_current", _any_token),
        is_studied=False,
    ),
    "heartbeat": _handler(
        "each run writes that it was here", (SecretStore, "read_both", _with_heartbeat), is_studied=False
    ),
    # With service accounts: a client's slot stays closed for about as long as its token is fresh.
    "asks at every look": Ablation(
        "a refresh is due although the token is fresh, with service accounts",
        setup=lambda setup: replace(setup, accounts="service"),
        handler=lambda: stand_in((State, "due_reason", _always_due)),
        is_studied=False,
    ),
    "forgets refusals": _handler(
        "a refusal for the limit is not remembered", (Ledger, "after_rate_limit", _unlimited), is_studied=False
    ),
    "pauses for a day": _handler(
        "the pause after failures lasts a day", (Terms, "back_off_seconds", lambda *_: int(DAY)), is_studied=False
    ),
    "a later end": _handler(
        "what is stored says that the token lives two hours longer",
        (Token, "document", _with_later_end),
        is_studied=False,
    ),
    "token in the result": _handler(
        "the result shows the token", (runtime, "result_of", _with_token), is_studied=False
    ),
    "locks do not lapse": _handler(
        "a lock holds until its own run releases it", (Ledger, "as_of", _locked_for_ever), is_studied=False
    ),
    "refreshes at every run": Ablation(
        "each run asks and puts: no check, no claim, no ledger, no standby",
        setup=lambda setup: replace(setup, job=every_run),
    ),
    "refreshes when expiring": Ablation(
        "checks the token, asks and puts: no claim, no ledger, no standby",
        setup=lambda setup: replace(setup, job=when_expiring),
    ),
    "each service its own": Ablation(
        "no keeper: three services use one client, each with a token of its own in memory. Each restarts about once a "
        "week, and then asks again; after a refusal or a failure it asks again every hour. A token that a restart "
        "discards does not count as lost",
        setup=lambda setup: replace(setup, job=nothing),
        year=ServicesYear,
    ),
    "no standby": Ablation("one credential only", setup=lambda setup: replace(setup, standby=False)),
}
