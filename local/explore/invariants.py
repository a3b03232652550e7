"""What must hold in every state, and what must be true again when the faults are over."""

from __future__ import annotations

from handler.ledger import Ledger
from handler.model import Token, json_object
from local.explore.replay import Invocation, Node, Step, Unsaved
from local.explore.secrets import CURRENT, LEDGER, Version
from local.explore.starts import HOUR, NOW, SETTINGS, interval_is_over
from local.explore.world import Move, Proc, World, late_effects, lock_holder, moves

SENTENCES = {
    "claim": "a request is sent only under a durable claim of its own run, for its principal",
    "flight": "two requests are never in flight at once",
    "early": "no request is sent while the ledger's slot is closed",
    "standby": "no standby is asked while a token at hand would do",
    "publish": "a token goes out under its run's own lock, in one version that releases it",
    "older": "AWSCURRENT never goes back to an older token of the same principal",
    "reachable": "no write of a run makes a good token unreachable, unless a better one is out",
    "held": "a token that arrived is out, or superseded, or held by its process",
    "result": "a result says what was current at some moment of the run",
    "heals": "with faults over, three ticks bring a good token whenever a slot is free",
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
    version = world.secrets.at(LEDGER)
    slot = Ledger.parse(version.text if version else None).slot(principal)
    _expect("early", f"closed until {slot.not_before}", fact=slot.not_before <= world.now)
    if principal != _primary(world) and not proc.is_disturbed:
        at_hand = [one for one in _tokens_at_hand(world, proc) if not _is_short(one, world.now)]
        _expect("standby", f"{len(at_hand)} tokens at hand", fact=not at_hand)


def _check_write(before: World, after: World, proc: Proc, step: Step) -> None:
    if step.operation == "put_secret_value" and CURRENT in step.parameters[2]:
        _check_publish(before, proc, step)
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
    run_id, _, until = lock_holder(before.secrets)
    ledger = json_object(step.parameters[1]).get("ledger") or {}
    is_own = run_id == _run_id(proc) and until > before.now and ledger.get("lock") is None
    _expect("publish", f"the lock is {run_id}'s until {until}", fact=is_own)
    token = _parsed(step.parameters[1])
    if token is None:
        return
    # What a claim carries whose label was never moved is not known to any other run.
    known = [version for version in before.secrets.versions if not _is_lost_claim(version)]
    newer = [
        one
        for one in map(_token_of, known)
        if one is not None and one.principal == token.principal and one.acquired_at > token.acquired_at
    ]
    _expect("older", token.access_token, fact=not newer)


def _is_lost_claim(version: Version) -> bool:
    ledger = json_object(version.text).get("ledger") or {}
    return ledger.get("lock") is not None and LEDGER not in version.stages


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
        was_refused = False
        for number in range(3):
            world = world._replace(now=world.now + HOUR)
            invocation = Invocation(f"tick{number + 1}", world.now, SETTINGS, unsaved)
            world, node = _play(world, invocation)
            assert node.ending is not None  # noqa: S101 - played to its end
            unsaved = node.ending.unsaved
            was_refused = was_refused or node.ending.outcome == "RateLimited"
        if not self._has_good_token(world) and not was_refused:
            free = [one for one in _principals(world) if _is_free(world, one)]
            is_paused = any(_slot_is_closed(world, one) for one in free)
            _expect("heals", f"free: {free}", fact=not free or is_paused)
        self._check_next_due_at(world, unsaved)

    def _has_good_token(self, world: World) -> bool:
        current = world.secrets.at(CURRENT)
        token = _token_of(current) if current else None
        return token is not None and _is_good(token, world)

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


def _slot_is_closed(world: World, principal: str) -> bool:
    version = world.secrets.at(LEDGER)
    slot = Ledger.parse(version.text if version else None).slot(principal)
    return slot.not_before > world.now


def _run_id(proc: Proc) -> str:
    return f"{proc.node.invocation.name}-1"


def _expect(name: str, details: str, *, fact: bool) -> None:
    if not fact:
        raise Violation(name, details)
