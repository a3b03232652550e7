"""The handler with a fault put back in, to see that the explorer finds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from handler.ledger import Ledger, Slot, Terms
from handler.policy import State
from handler.reader import Reader
from handler.refresh import Claim, Refresh
from handler.secrets_manager import CURRENT, LEDGER, PREVIOUS, SecretStore, Version
from local.durations import HOUR
from local.simulate.stand_in import Change, stand_in

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from handler.model import Token
    from handler.reader import Snapshot
    from handler.settings import Settings


def _move_back(self: Refresh, reason: str, token: Token, snapshot: Snapshot) -> Any:
    """Bring AWSPREVIOUS back by moving the label, without a claim."""
    previous = self._store.get_version(PREVIOUS)
    is_previous = reason == "previous" and previous.version_id
    if not is_previous:
        return _publish_at_hand(self, reason, token, snapshot)
    self._store.move_stage(
        CURRENT,
        to_version_id=previous.version_id,
        expected_version_id=snapshot.token_version_id,
    )
    return self._read()


def _without_compare(self: SecretStore, document: str, *, version_id: str, **_: Any) -> bool:
    """Write the ledger wherever its label is, under an id of the run's own."""
    lock = Ledger.parse(document).lock
    run_id = lock.run_id if lock else "released"
    self.put_version(f"{version_id}-{run_id}", document, stages=[LEDGER])
    return True


def _without_lock(self: Ledger, *rest: Any) -> Ledger:
    return replace(_as_of(self, *rest), lock=None)


def _without_carried(self: Refresh, *rest: Any) -> Any:
    return _plan_claim(self, *rest)._replace(carried=None)


def _without_displaced(self: Reader, *rest: Any) -> Any:
    return replace(_with_ledger(self, *rest), displaced=None)


def _is_claimed_by_its_run(self: Refresh, version: Version, claim: Claim) -> bool:
    """Know the claim by its run alone: the run may have made another one before."""
    del claim
    lock = Ledger.parse(version.text).lock
    return lock is not None and lock.run_id == self._run_id


def _left_open(*_: Any) -> Slot:
    return Slot()


def _closed_too_long(token: Token, settings: Settings) -> Slot:
    spent = _spent_by(token, settings)
    return replace(spent, not_before=spent.not_before + 8 * HOUR)


def _without_standbys_slot(self: Ledger, now: float, terms: Terms) -> dict[str, Slot]:
    slots = _slots_as_of(self, now, terms)
    primary = terms.credentials.primary.principal
    return {principal: slot for principal, slot in slots.items() if principal == primary}


def _without_refusal(self: Ledger, *_: Any) -> Ledger:
    """Forget a refusal for the limit: the caller has released the lock."""
    return self


def _back_off_for_long(self: Terms, principal: str, failures: int) -> int:
    return 30 * _back_off_seconds(self, principal, failures)


def _whole_life(_: State, token: Token) -> float:
    return token.life_seconds


_as_of = Ledger.as_of
_back_off_seconds = Terms.back_off_seconds
_plan_claim = Refresh._plan_claim
_publish_at_hand = Refresh._publish_at_hand
_slots_as_of = Ledger._slots_as_of
_spent_by = Slot.spent_by
_with_ledger = Reader._with_ledger

FAULTS_OF_OURS: dict[str, tuple[Change, ...]] = {
    "recovery by a moved label": ((Refresh, "_publish_at_hand", _move_back),),
    "no compare": ((SecretStore, "compare_and_set_ledger", _without_compare),),
    "a claim is known by its run alone": ((Refresh, "_is_won", _is_claimed_by_its_run),),
    "no lock": ((Ledger, "as_of", _without_lock),),
    "claims carry no token": ((Refresh, "_plan_claim", _without_carried),),
    "no displaced token": ((Reader, "_with_ledger", _without_displaced),),
    "a publish leaves the slot open": ((Slot, "spent_by", _left_open),),
    "a slot is closed for eight hours too long": ((Slot, "spent_by", _closed_too_long),),
    "the standby's slot is dropped": ((Ledger, "_slots_as_of", _without_standbys_slot),),
    "a refusal for the limit is forgotten": ((Ledger, "after_rate_limit", _without_refusal),),
    "the vendor is not asked for a day after failures": ((Terms, "back_off_seconds", _back_off_for_long),),
    "the window is the whole life": ((State, "window_seconds", _whole_life),),
}


def put_back(name: str) -> AbstractContextManager[None]:
    """Have the fault in the handler, for the time of the block. An empty name is no fault."""
    return stand_in(*FAULTS_OF_OURS.get(name, ()))
