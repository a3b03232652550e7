"""The handler with a fault put back in, to see that the explorer finds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from handler.ledger import Ledger
from handler.reader import Reader
from handler.refresh import Claim, Refresh
from handler.secrets_manager import CURRENT, LEDGER, PREVIOUS, SecretStore, Version
from local.simulate.stand_in import Change, stand_in

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from handler.model import Token
    from handler.reader import Snapshot


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


_as_of = Ledger.as_of
_plan_claim = Refresh._plan_claim
_publish_at_hand = Refresh._publish_at_hand
_with_ledger = Reader._with_ledger

FAULTS_OF_OURS: dict[str, tuple[Change, ...]] = {
    "recovery by a moved label": ((Refresh, "_publish_at_hand", _move_back),),
    "no compare": ((SecretStore, "compare_and_set_ledger", _without_compare),),
    "a claim is known by its run alone": ((Refresh, "_is_won", _is_claimed_by_its_run),),
    "no lock": ((Ledger, "as_of", _without_lock),),
    "claims carry no token": ((Refresh, "_plan_claim", _without_carried),),
    "no displaced token": ((Reader, "_with_ledger", _without_displaced),),
}


def put_back(name: str) -> AbstractContextManager[None]:
    """Have the fault in the handler, for the time of the block. An empty name is no fault."""
    return stand_in(*FAULTS_OF_OURS.get(name, ()))
