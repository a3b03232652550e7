"""What must hold in every state, and what must be true again when the faults are over."""

from __future__ import annotations

from handler.ledger import Ledger, Slot
from handler.model import Token, json_object
from local.explore.replay import Invocation, Node, Step, Unsaved
from local.explore.secrets import CURRENT, LEDGER, Version
from local.explore.starts import HOUR, NOW, SETTINGS, interval_is_over
from local.explore.world import SLOT_SECONDS, Move, Proc, World, late_effects, lock_holder, moves

# The refresh window as the contract has it, whatever the handler makes of it.
WINDOW_SECONDS = 4 * HOUR
WINDOW_PART_OF_LIFE = 3
# How many ticks are played after the faults. The contract's pauses for failures last two hours at most
# within these bounds, so by the last tick they are over.
TICKS = 3
SENTENCES = {
    "claim": "a request is sent only under a durable claim of its own run, for its principal",
    "flight": "two requests are never in flight at once",
    "early": "no request is sent while the ledger closes the slot, nor within the interval of a published token, "
    "nor within the pause after a refusal for the limit that was written down",
    "needed": "nobody is asked, nor waited for, while a token of the primary is current and outside its window, unless "
    "a person wrote by hand during the run",
    "standby": "no standby is asked while a token at hand would do",
    "publish": "a token goes out under its run's own lock, in one version that releases it and closes the slot",
    "closed": "a ledger that a run writes closes each slot for as long as published tokens and refusals say",
    "older": "AWSCURRENT never goes back to an older token of the same principal",
    "reachable": "no write of a run makes a good token unreachable, unless a better one is out",
    "held": "a token that arrived is out, or superseded, or held by its process",
    "result": "a result says what was current at some moment of the run",
    "heals": "with faults over, three ticks bring a good token, and one of the primary that is outside its window. "
    "This is not expected of a principal that the vendor has no slot for, or refused at most an interval ago",
    "next_due_at": "next_due_at of status comes true",
}


class Violation(Exception):
    """`name` is the invariant's."""

    def __init__(self, name: str, details: str) -> None:
        super().__init__(f"{name}: {SENTENCES[name]} ({details})")
        self.name = name


def check(before: World, move: Move) -> None:
    """Raise Violation if this step breaks something."""
    if move.proc is None:
        return
    proc = before.procs[move.proc]
    if move.step is not None:
        if move.step.operation == "ask":
            _check_request(before, proc, move.step)
        elif before.secrets != move.world.secrets:
            _check_write(before, move.world, proc, move.step)
    after = move.world.procs[move.proc]
    if after.is_over and not after.is_killed and not proc.is_over:
        _check_end(move.world, after)


def _check_request(world: World, proc: Proc, step: Step) -> None:
    principal = step.parameters[0]
    run_id, claimed_for, until = lock_holder(world.secrets)
    is_own = run_id == _run_id(proc) and claimed_for == principal and until > world.now
    _expect("claim", f"the lock is {run_id}'s, for {claimed_for}", fact=is_own)
    others = [one for one in world.procs if one is not proc and one.pending]
    _expect("flight", f"{len(others) + 1} requests", fact=not others)
    slot = _ledger_of(world).slot(principal)
    closed_until = max(slot.not_before, _closed_until(world, principal))
    _expect("early", f"closed until {closed_until}", fact=closed_until <= world.now)
    if principal != _primary(world) and not proc.is_disturbed:
        at_hand = [one for one in _tokens_at_hand(world, proc) if not _is_short(one, world.now)]
        _expect("standby", f"{len(at_hand)} tokens at hand", fact=not at_hand)
    if not proc.is_disturbed:
        current = _current_token(world)
        is_needed = current is None or not _is_fresh(current, world)
        _expect("needed", f"{principal} is asked", fact=is_needed)


def _check_write(before: World, after: World, proc: Proc, step: Step) -> None:
    if step.operation == "put_secret_value" and CURRENT in step.parameters[2]:
        _check_publish(before, proc, step)
    if before.secrets.at(LEDGER) != after.secrets.at(LEDGER):
        _check_slots(after)
    reachable = [one for one in map(_token_of, after.secrets.reachable()) if one is not None]
    for version in before.secrets.reachable():
        token = _token_of(version)
        if token is None or not _is_good(token, before):
            continue
        has_better = any(_replaces(one, token, before) for one in reachable)
        _expect("reachable", token.access_token, fact=has_better)


def _replaces(one: Token, token: Token, world: World) -> bool:
    """Say whether nothing is lost if this one is reachable and the token is not."""
    if token.is_superseded_by(one):
        return True
    return _is_good(one, world) and one.expires_at >= token.expires_at


def _check_publish(before: World, proc: Proc, step: Step) -> None:
    run_id, claimed_for, until = lock_holder(before.secrets)
    ledger = json_object(step.parameters[1]).get("ledger") or {}
    is_own = run_id == _run_id(proc) and until > before.now and ledger.get("lock") is None
    _expect("publish", f"the lock is {run_id}'s until {until}", fact=is_own)
    token = _parsed(step.parameters[1])
    if token is None:
        return
    slot = Ledger.parse(step.parameters[1]).slot(token.principal)
    fact = _is_spent(slot, token, claimed_for)
    _expect("publish", f"{token.access_token}, claimed for {claimed_for}: {slot}", fact=fact)
    newer = [one for one in _known_tokens(before, token.principal) if one.acquired_at > token.acquired_at]
    _expect("older", token.access_token, fact=not newer)


def _is_spent(slot: Slot, token: Token, claimed_for: str | None) -> bool:
    """Say whether the slot is as a publish of the token under this claim must leave it."""
    spent_until = token.acquired_at + SLOT_SECONDS
    if claimed_for is None:
        # The token was at hand. A later request may have closed the slot for longer.
        return slot.not_before >= spent_until
    if claimed_for != token.principal:
        return False
    return slot.not_before == spent_until and not slot.suspicions and not slot.failures


def _check_slots(world: World) -> None:
    """Check the ledger that a run has just written."""
    ledger = _ledger_of(world)
    for principal in _principals(world):
        not_before = ledger.slot(principal).not_before
        closed_until = _closed_until(world, principal)
        is_closed = not_before >= closed_until or closed_until <= world.now
        _expect("closed", f"{principal}: {not_before}, not {closed_until}", fact=is_closed)


def _ledger_of(world: World) -> Ledger:
    version = world.secrets.at(LEDGER)
    return Ledger.parse(version.text if version else None)


def _closed_until(world: World, principal: str) -> int:
    """Return until when the slot must be closed, whatever the ledger says. No explored run overrides the limit."""
    spent_until = [token.acquired_at + SLOT_SECONDS for token in _known_tokens(world, principal)]
    return max([*spent_until, dict(world.closed).get(principal, 0)])


def _known_tokens(world: World, principal: str) -> list[Token]:
    """Return the principal's tokens that the token secret has ever told other runs of."""
    # What a claim carries whose label was never moved is not known to any other run.
    known = [version for version in world.secrets.versions if not _is_lost_claim(version)]
    return [one for one in map(_token_of, known) if one is not None and one.principal == principal]


def _is_lost_claim(version: Version) -> bool:
    return LEDGER not in version.stages and Ledger.parse(version.text).lock is not None


def _check_end(world: World, proc: Proc) -> None:
    ending = proc.node.ending
    assert ending is not None  # noqa: S101 - the run is over
    held = {token.access_token for _, token, _ in ending.unsaved}
    known = [_token_of(version) for version in world.secrets.versions]
    newest: dict[str, int] = {}
    saved = set()
    for token in known:
        if token is not None:
            saved.add(token.access_token)
            newest[token.principal] = max(newest.get(token.principal, 0), token.acquired_at)
    for access_token in proc.delivered - held - saved:
        _expect("held", access_token, fact=False)
    if ending.outcome in {"kept", "refreshed", "recovered", "waiting"} and ending.version_id:
        fact = ending.version_id in proc.currents
        _expect("result", f"{ending.outcome} {ending.version_id}", fact=fact)
    if ending.outcome == "waiting" and not proc.is_disturbed:
        seen = [_token_of(version) for version in world.secrets.versions if version.version_id == ending.version_id]
        fresh = [one for one in seen if one is not None and _is_fresh(one, world)]
        _expect("needed", f"waiting: {ending.reason}", fact=not fresh)


class Rest:
    """Plays what comes after the faults: three ticks, an hour apart, and what status says of them."""

    def __init__(self) -> None:
        self._checked: set[int] = set()

    def check(self, world: World) -> None:
        """Raise Violation if the world does not heal. `world`: all runs are over."""
        unsaved: Unsaved = ()
        for proc in world.procs:
            if proc.node.ending is not None:
                unsaved += proc.node.ending.unsaved
        for settled in [world, *late_effects(world)]:
            alone = settled._replace(procs=(), lagging=(), late=(), faults=0, acts=())
            calm = alone._replace(switches=None, last=None)
            key = hash((calm.key(), unsaved))
            if key not in self._checked:
                self._checked.add(key)
                self._check_calm(calm, unsaved)

    def _check_calm(self, world: World, unsaved: Unsaved) -> None:
        able: list[str] = []  # those who may be asked at the last tick
        for number in range(TICKS):
            world = world._replace(now=world.now + HOUR)
            able = [one for one in _principals(world) if _may_be_granted(world, one)]
            invocation = Invocation(f"tick{number + 1}", world.now, SETTINGS, unsaved)
            world, node = _play(world, invocation)
            assert node.ending is not None  # noqa: S101 - played to its end
            unsaved = node.ending.unsaved
        token = _current_token(world)
        is_good = token is not None and _is_good(token, world)
        _expect("heals", f"no good token, and a slot for {able}", fact=is_good or not able)
        is_fresh = token is not None and _is_fresh(token, world)
        _expect("heals", "no fresh token of the primary", fact=is_fresh or _primary(world) not in able)
        self._check_next_due_at(world, unsaved)

    def _check_next_due_at(self, world: World, unsaved: Unsaved) -> None:
        invocation = Invocation("status", world.now, SETTINGS, is_status=True)
        _, node = _play(world, invocation)
        assert node.ending is not None  # noqa: S101 - played to its end
        due_at = node.ending.result
        if due_at <= world.now:
            return
        early = world._replace(now=due_at - 1)
        after, _ = _play(early, Invocation("early", due_at - 1, SETTINGS, unsaved))
        _expect("next_due_at", f"asked before {due_at}", fact=after.granted == world.granted)
        late = world._replace(now=due_at)
        after, _ = _play(late, Invocation("on time", due_at, SETTINGS, unsaved))
        is_asked = due_at in dict(after.granted).values()
        if all(_is_free(late, principal) for principal in _principals(late)):
            _expect("next_due_at", f"not asked at {due_at}", fact=is_asked)


def _play(world: World, invocation: Invocation) -> tuple[World, Node]:
    """Play one run alone, without faults."""
    current = world.secrets.at(CURRENT)
    currents = frozenset({current.version_id} if current else ())
    world = world._replace(procs=(Proc(Node(invocation, ()), ready_at=world.now, currents=currents),))
    while not world.procs[0].is_over:
        move = next(moves(world))
        check(world, move)
        world = move.world
    return world._replace(procs=()), world.procs[0].node


def _tokens_at_hand(world: World, proc: Proc) -> list[Token]:
    """Return the good tokens in labelled versions, and those that the process holds."""
    found = [_token_of(version) for version in world.secrets.reachable()]
    found += [token for _, token, _ in proc.node.invocation.unsaved]
    return [one for one in found if one is not None and _is_good(one, world)]


def _current_token(world: World) -> Token | None:
    return _token_of(world.secrets.at(CURRENT))


def _token_of(version: object) -> Token | None:
    text: str | None = getattr(version, "text", None)
    return _parsed(text)


_PARSED: dict[str, Token | None] = {}


def _parsed(text: str | None) -> Token | None:
    if text is None:
        return None
    if text not in _PARSED:
        _PARSED[text] = Token.parse(
            text,
            now=NOW + 10**7,
            max_lifetime_seconds=SETTINGS.max_lifetime_seconds,
            clock_margin_seconds=SETTINGS.clock_margin_seconds,
        )
    return _PARSED[text]


def _is_good(token: Token, world: World) -> bool:
    return token.principal in _principals(world) and token.expires_at > world.now


def _is_fresh(token: Token, world: World) -> bool:
    """Say whether it is a token of the primary that is good and outside its refresh window."""
    window = min(WINDOW_SECONDS, token.life_seconds / WINDOW_PART_OF_LIFE)
    return token.principal == _primary(world) and token.expires_at - world.now > window


def _is_short(token: Token, now: int) -> bool:
    return token.expires_at - now < SETTINGS.standby_below_seconds


def _primary(world: World) -> str:
    return str(json_object(world.secrets.credentials.text)["client_id"])


def _principals(world: World) -> list[str]:
    document = json_object(world.secrets.credentials.text)
    standby = document.get("standby")
    return [document["client_id"]] + ([standby["client_id"]] if standby else [])


def _is_free(world: World, principal: str) -> bool:
    granted_at = dict(world.granted).get(principal)
    return granted_at is None or interval_is_over(granted_at, world.now)


def _may_be_granted(world: World, principal: str) -> bool:
    """Say whether the vendor has a slot for the principal, and did not refuse it within an interval."""
    granted_at = dict(world.granted).get(principal, 0)
    refused_at = dict(world.refused).get(principal, 0)
    # The slot counts from the arrival of the token.
    spent_until = granted_at + SETTINGS.acquire_timeout_seconds + SLOT_SECONDS
    return max(spent_until, refused_at + SLOT_SECONDS) <= world.now


def _run_id(proc: Proc) -> str:
    return f"{proc.node.invocation.name}-1"


def _expect(name: str, details: str, *, fact: bool) -> None:
    if not fact:
        raise Violation(name, details)
