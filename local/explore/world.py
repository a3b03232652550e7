"""What the runs share, as one immutable value, and every way in which it can move on by one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from handler.ledger import Ledger
from handler.model import json_object
from local.explore.replay import Answer, Node, Step
from local.explore.secrets import CURRENT, LEDGER, Refusal, Secrets

# How long a read may lag behind a write.
LAG_SECONDS = 10
MAX_LAGGING_WRITES = 6
# How long a run may stand still between two of its steps. The longest call of AWS takes 20 s, and a write
# ends 30 s before its lock.
STALL_SECONDS = 20
INTERVAL_SECONDS = 72_000
# How long a slot is closed after a token, and after a refusal that a suspicion explains: the interval,
# and the margin of the settings.
SLOT_SECONDS = INTERVAL_SECONDS + 300
# After a refusal that nothing explains, and after a 429: it asks for so long a pause.
SHORT_PAUSE_SECONDS = 900
# The answers after which a token may have been issued unheard, or was issued before.
SUSPICIOUS = {"limit", "lost", "5xx"}

# How long after its call a write can take effect whose caller got no answer. The last write of a run
# starts 30 s before its lock ends.
LATE_SECONDS = 20

READS = {"batch_get_secret_value", "get_secret_value", "describe_secret"}


class Proc(NamedTuple):
    """One run, and what only it knows.

    `ready_at` is when it can take its next step: now, or when its sleep ends. `pending` is the vendor's
    answer while it is on its way, and `deadline` when the run gives up on it.
    `currents` are the versions that were AWSCURRENT at some moment of the run, as far as it could see.
    `delivered` are the tokens that arrived. `is_disturbed`: somebody wrote by hand since it began.
    `refusal` is the principal for which it was refused, and until when the contract then closes the slot;
    None once that is written.
    """

    node: Node
    ready_at: int = 0
    pending: str = ""
    deadline: int = 0
    currents: frozenset[str] = frozenset()
    delivered: frozenset[str] = frozenset()
    is_disturbed: bool = False
    is_killed: bool = False
    refusal: tuple[str, int] | None = None

    @property
    def is_over(self) -> bool:
        return self.is_killed or self.node.ending is not None


class World(NamedTuple):
    """Everything. `lagging` are the secrets before each of the last writes, with the writes' times.

    `granted` is when each principal got its last token (or was refused, if refusals extend the
    limit). Three facts do not depend on what the ledger says: `refused` is when each was last refused for
    the limit, `closed` until when a refusal that was written down closes its slot, and `suspected` are
    those of whom the contract has a suspicion (at least: a claim whose run died before it asked is left
    out).

    `late` are writes whose callers gave up, and until when they may yet take effect. `faults` and `acts`
    are how many may still happen; an act is a person's. Only the first `faulty_runs` of the runs meet
    faults. `switches` is how often a run that could go on may still be interrupted by another one (None:
    always), and `last` is the run that moved last; both are None if nobody counts.
    """

    now: int
    secrets: Secrets
    procs: tuple[Proc, ...]
    lagging: tuple[tuple[int, Secrets], ...] = ()
    granted: tuple[tuple[str, int], ...] = ()
    refused: tuple[tuple[str, int], ...] = ()
    closed: tuple[tuple[str, int], ...] = ()
    suspected: frozenset[str] = frozenset()
    issued: int = 0
    late: tuple[tuple[int, Step], ...] = ()
    faults: int = 0
    faulty_runs: int = 0
    acts: tuple[str, ...] = ()
    refusals_extend: bool = False
    labels_first: bool = True
    switches: int | None = None
    last: int | None = None

    def key(self) -> int:
        """A hash of the state. Runs that were answered alike are one node, so its number says it all."""
        procs = tuple(
            (proc.node.number, proc.ready_at, proc.pending, proc.deadline, proc.currents, proc.delivered,
             proc.is_disturbed, proc.is_killed, proc.refusal)
            for proc in self.procs
        )  # fmt: skip
        without_procs = self._replace(procs=())
        if not any(self.can_fail(index) for index in range(len(self.procs))):
            without_procs = without_procs._replace(lagging=(), faults=0)  # no read lags any more
        return hash((without_procs, procs))

    def can_fail(self, index: int) -> bool:
        """Say whether the run may still meet a fault."""
        return self.faults > 0 and index < self.faulty_runs and not self.procs[index].is_over


class Move(NamedTuple):
    """One step: what happens in words, the world after it, and who moved (None: nobody's run)."""

    words: str
    world: World
    proc: int | None
    step: Step | None = None


def moves(world: World) -> Iterator[Move]:
    """Yield every way in which the world can move on."""
    for index, proc in enumerate(world.procs):
        if proc.is_over or proc.ready_at > _latest(world, index):
            continue
        before = world
        if world.switches is not None:
            cost = int(_interrupts(world, index))
            if cost > world.switches:
                continue
            before = world._replace(switches=world.switches - cost, last=index)
        if proc.pending:
            yield from _answers(before, index)
        else:
            yield from _steps(before, index)
    if all(proc.is_over for proc in world.procs):
        return
    for index, (until, step) in enumerate(world.late):
        remaining = world.late[:index] + world.late[index + 1 :]
        after = _written(world._replace(late=remaining), step)
        if after is not None and world.now <= until:
            yield Move(f"a write takes effect late: {_words(step)}", after, None, step)
    for act in sorted(set(world.acts)):
        yield from _act(world, act)


def _interrupts(world: World, index: int) -> bool:
    """Say whether this run would interrupt another one that could go on at once."""
    if world.last is None or world.last == index:
        return False
    other = world.procs[world.last]
    return not other.is_over and not other.pending and other.ready_at <= world.now


def late_effects(world: World) -> Iterator[World]:
    """Yield the world after each late write that may come when all runs are over."""
    for until, step in world.late:
        after = _written(world._replace(late=()), step)
        if after is not None and world.now <= until:
            yield after


def _latest(world: World, index: int) -> int:
    """Return how far time may go on if this run moves: the others wait for it only so long."""
    latest = [10**12]
    for other, proc in enumerate(world.procs):
        if other == index or proc.is_over:
            continue
        latest.append(proc.deadline if proc.pending else proc.ready_at + STALL_SECONDS)
    return min(latest)


def _steps(world: World, index: int) -> Iterator[Move]:
    proc = world.procs[index]
    step = proc.node.step
    assert step is not None  # noqa: S101 - the run is not over
    world = world._replace(now=max(world.now, proc.ready_at))
    if step.operation == "sleep":
        # It falls asleep at once, so that this is not a step of the search: it wakes in due time.
        raise AssertionError("a run that sleeps was advanced already")
    if step.operation == "ask":
        yield from _asks(world, index, step)
        return
    if step.operation in READS:
        yield from _reads(world, index, step)
    else:
        yield from _writes(world, index, step)
    if world.can_fail(index):
        name = _name(proc)
        yield Move(f"{name} is killed before {_words(step)}", _kill(world, index), index, step)


def _reads(world: World, index: int, step: Step) -> Iterator[Move]:
    name = _name(world.procs[index])
    words = f"{name}: {_words(step)}"
    yield Move(words, _answer(world, index, *_read(world.secrets, step)), index, step)
    if not world.can_fail(index):
        return
    spent = world._replace(faults=world.faults - 1)
    told = {_read(world.secrets, step)}
    for written_at, secrets in world.lagging:
        answer = _read(secrets, step)
        if world.now - written_at > LAG_SECONDS or answer in told:
            continue
        told.add(answer)
        stale = _answer(_saw(spent, index, secrets), index, *answer)
        yield Move(f"{words}, which lags", stale, index, step)
    yield Move(f"{words} fails", _answer(spent, index, None, "InternalServiceError"), index, step)


def _writes(world: World, index: int, step: Step) -> Iterator[Move]:
    name = _name(world.procs[index])
    words = f"{name}: {_words(step)}"
    try:
        after = _apply(world, step)
    except Refusal as refusal:
        refused = _answer(world, index, None, refusal.code)
        yield Move(f"{words} is refused ({refusal.code})", refused, index, step)
        return
    if step.operation == "update_secret_version_stage":
        after = _with_refusal_written(after, index)
    yield Move(words, _answer(after, index), index, step)
    if not world.can_fail(index):
        return
    spent = world._replace(faults=world.faults - 1)
    lost = _answer(after._replace(faults=spent.faults), index, None, "no answer")
    yield Move(f"{words}, and its answer is lost", lost, index, step)
    yield Move(f"{words} fails", _answer(spent, index, None, "InternalServiceError"), index, step)
    late = _answer(spent._replace(late=(*spent.late, (world.now + LATE_SECONDS, step))), index, None, "no answer")
    yield Move(f"{words} has no effect yet, and no answer", late, index, step)
    killed = _kill(after._replace(faults=world.faults), index)
    yield Move(f"{words}, and {name} is killed", killed, index, step)


def _asks(world: World, index: int, step: Step) -> Iterator[Move]:
    """Send the request. The answer is on its way then, and others may act meanwhile."""
    principal, send_before, deadline = step.parameters
    name = _name(world.procs[index])
    words = f"{name} asks as {principal}"
    if world.now > send_before:
        yield Move(f"{words}: too late", _answer(world, index, None, "unsent"), index, None)
        return
    granted_at = dict(world.granted).get(principal)
    is_free = granted_at is None or world.now - granted_at >= INTERVAL_SECONDS
    sent = world
    if is_free or world.refusals_extend:
        sent = sent._replace(granted=_noted(world.granted, principal, world.now))
    if is_free:
        sent = sent._replace(issued=world.issued + 1)
        yield Move(words, _pend(sent, index, f"token-{sent.issued}", deadline), index, step)
    else:
        yield Move(f"{words}: refused", _pend(sent, index, "limit", deadline), index, step)
    if not world.can_fail(index):
        return
    spent = world._replace(faults=world.faults - 1)
    for error in ("unsent", "5xx", "429", "refused"):
        yield Move(f"{words}: {error}", _pend(spent, index, error, deadline), index, step)
    if is_free:
        lost = sent._replace(faults=spent.faults)
        yield Move(f"{words}: issued, and lost", _pend(lost, index, "lost", deadline), index, step)
        unheard = sent._replace(suspected=sent.suspected | {principal})
        yield Move(f"{words}, and is killed", _kill(unheard, index), index, step)


def _answers(world: World, index: int) -> Iterator[Move]:
    """Deliver the vendor's answer."""
    proc = world.procs[index]
    name = _name(proc)
    yield Move(f"{name} gets {proc.pending}", _deliver(world, index), index, None)
    if world.can_fail(index) and proc.deadline <= _latest(world, index):
        late = world._replace(now=max(world.now, proc.deadline), faults=world.faults - 1)
        heard = _heard(_pend(late, index, ""), index, "lost")
        after = _answer(heard, index, None, "lost")
        yield Move(f"{name} gets no answer in time", after, index, None)


def _deliver(world: World, index: int) -> World:
    proc = world.procs[index]
    answer = proc.pending
    world = _heard(_pend(world, index, ""), index, answer)
    if not answer.startswith("token-"):
        return _answer(world, index, None, answer)
    delivered = world.procs[index].delivered | {answer}
    world = _with(world, index, world.procs[index]._replace(delivered=delivered))
    return _answer(world, index, answer)


def _heard(world: World, index: int, answer: str) -> World:
    """Note what the answer means for the principal's slot, whatever the run makes of it."""
    proc = world.procs[index]
    assert proc.node.step is not None  # noqa: S101 - it waits for this answer
    principal = proc.node.step.parameters[0]
    if answer in {"limit", "429"}:
        pause = SHORT_PAUSE_SECONDS
        if answer == "limit" and principal in world.suspected:
            pause = SLOT_SECONDS
        world = _with(world, index, proc._replace(refusal=(principal, world.now + pause)))
    if answer == "limit":
        world = world._replace(refused=_noted(world.refused, principal, world.now))
    if answer in SUSPICIOUS:
        world = world._replace(suspected=world.suspected | {principal})
    return world


def _with_refusal_written(world: World, index: int) -> World:
    """Note that the run has moved the ledger's label. Its first move after a refusal is the release."""
    proc = world.procs[index]
    if proc.refusal is None:
        return world
    principal, until = proc.refusal
    latest = max(until, dict(world.closed).get(principal, 0))
    after = _with(world, index, proc._replace(refusal=None))
    return after._replace(closed=_noted(world.closed, principal, latest))


def _noted(times: tuple[tuple[str, int], ...], principal: str, at: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((dict(times) | {principal: at}).items()))


def _act(world: World, act: str) -> Iterator[Move]:
    """A person does something by hand."""
    left = list(world.acts)
    left.remove(act)
    procs = tuple(proc._replace(is_disturbed=True) for proc in world.procs)
    spent = world._replace(acts=tuple(left), procs=procs)
    current = world.secrets.at(CURRENT)
    if act == "overwrite":
        text = f'{{"access_token": "CHANGE_ME", "note": {len(left)}}}'
        step = Step("put_secret_value", (f"hand-{len(left)}", text, (CURRENT,)))
        after = _written(spent, step)
    elif act == "restore":
        # The oldest token's document is put back, as from a backup.
        texts = [one.text for one in world.secrets.versions if json_object(one.text).get("access_token")]
        if not texts:
            return
        step = Step("put_secret_value", (f"backup-{len(left)}", texts[0], (CURRENT,)))
        after = _written(spent, step)
    elif act == "move":
        first = world.secrets.versions[0].version_id if world.secrets.versions else ""
        if current is None or first == current.version_id:
            return
        step = Step("update_secret_version_stage", (CURRENT, first, current.version_id))
        after = _written(spent, step)
    else:
        after = spent._replace(secrets=_rotated(world.secrets, f"rotated-{len(left)}"))
    if after is not None:
        yield Move(f"somebody does by hand: {act}", after, None)


def _rotated(secrets: Secrets, version_id: str) -> Secrets:
    """Return the secrets with the standby as the primary, and the old primary as the standby."""
    text = json_object(secrets.credentials.text)
    standby = text.get("standby", {"client_id": "new", "client_secret": "s"})
    primary = {"client_id": text["client_id"], "client_secret": text["client_secret"]}
    document = str({**standby, "standby": primary}).replace("'", '"')
    credentials = secrets.credentials._replace(version_id=version_id, text=document)
    return secrets._replace(credentials=credentials)


def _read(secrets: Secrets, step: Step) -> tuple[Any, str]:
    """Return what the read answers, and AWS's error code."""
    if step.operation == "batch_get_secret_value":
        return (secrets.credentials, secrets.at(CURRENT)), ""
    if step.operation == "describe_secret":
        return None, ""
    version = secrets.at(step.parameters[0])
    if version is None:
        return None, "ResourceNotFoundException"
    return version, ""


def _apply(world: World, step: Step) -> World:
    """Return the world after a write. Raises Refusal."""
    if step.operation == "put_secret_value":
        version_id, text, stages = step.parameters
        secrets = world.secrets.put(version_id, text, stages, labels_first=world.labels_first)
        if CURRENT in stages:
            # A token that is out has spent the slot, so nothing else has to be suspected.
            world = world._replace(suspected=world.suspected - {json_object(text).get("client_id", "")})
    else:
        secrets = world.secrets.move(*step.parameters)
    lagging = ((world.now, world.secrets), *world.lagging)[:MAX_LAGGING_WRITES]
    after = world._replace(secrets=secrets, lagging=lagging)
    current = secrets.at(CURRENT)
    if current is None or current == world.secrets.at(CURRENT):
        return after
    procs = tuple(proc._replace(currents=proc.currents | {current.version_id}) for proc in after.procs)
    return after._replace(procs=procs)


def _written(world: World, step: Step) -> World | None:
    try:
        return _apply(world, step)
    except Refusal:
        return None


def _answer(world: World, index: int, payload: Any = None, error: str = "") -> World:
    """Give a run its answer, and let it fall asleep if that is what it does next."""
    proc = world.procs[index]
    node = proc.node.after(Answer(world.now, payload, error))
    ready_at = world.now
    while node.step is not None and node.step.operation == "sleep":
        ready_at += int(node.step.parameters[0] + 0.999)
        node = node.after(Answer(ready_at))
    return _with(world, index, proc._replace(node=node, ready_at=ready_at, deadline=0))


def _pend(world: World, index: int, answer: str, deadline: float = 0) -> World:
    proc = world.procs[index]._replace(pending=answer, deadline=int(deadline))
    return _with(world, index, proc)


def _kill(world: World, index: int) -> World:
    killed = _with(world, index, world.procs[index]._replace(is_killed=True, pending=""))
    return killed._replace(faults=world.faults - 1)


def _saw(world: World, index: int, secrets: Secrets) -> World:
    """Note that the run may take a version for the current one that a stale read shows."""
    current = secrets.at(CURRENT)
    if current is None:
        return world
    proc = world.procs[index]
    return _with(world, index, proc._replace(currents=proc.currents | {current.version_id}))


def _with(world: World, index: int, proc: Proc) -> World:
    procs = list(world.procs)
    procs[index] = proc
    return world._replace(procs=tuple(procs))


def lock_holder(secrets: Secrets) -> tuple[str, str | None, int]:
    """Return whose lock is in the ledger, for which principal, and until when."""
    version = secrets.at(LEDGER)
    lock = Ledger.parse(version.text).lock if version else None
    if lock is None:
        return "", None, 0
    return lock.run_id, lock.principal, lock.until


def _name(proc: Proc) -> str:
    return proc.node.invocation.name


def _words(step: Step) -> str:
    if step.operation == "put_secret_value":
        version_id, _, stages = step.parameters
        return f"put {version_id[:8]} as {', '.join(stages)}"
    if step.operation == "update_secret_version_stage":
        stage, to, expected = step.parameters
        return f"move {stage} to {to[:8]} from {expected[:8] or 'nowhere'}"
    if step.operation == "get_secret_value":
        return f"get {step.parameters[0]}"
    return step.operation.replace("_", " ")
