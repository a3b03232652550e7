"""The states that a search begins with."""

from __future__ import annotations

import json
from dataclasses import dataclass

from handler.ledger import BACKING_OFF, LIMIT_INTERVAL, Ledger, Lock, Slot
from handler.model import Token
from handler.settings import Settings
from local.explore.replay import TOKEN_LIFE_SECONDS, Invocation, Node, Unsaved
from local.explore.secrets import CURRENT, LEDGER, PREVIOUS, Secrets, Version
from local.explore.world import INTERVAL_SECONDS, SLOT_SECONDS, Proc, World, lock_holder

NOW = 1_800_000_000
HOUR = 3_600
TOKEN_URL = "https://vendor.example/oauth/token"
SETTINGS = Settings(
    credentials_secret_id="credentials",
    token_secret_id="token",
    token_url=TOKEN_URL,
)
PRIMARY = "primary"
STANDBY = "standby"


@dataclass(frozen=True)
class Start:
    """A state of the token secret. Ages are in seconds before now."""

    name: str
    versions: tuple[Version, ...] = ()
    granted: tuple[tuple[str, int], ...] = ()
    unsaved: Unsaved = ()
    labels_first: bool = True

    def world(
        self,
        *,
        runs: int,
        faults: int,
        faulty_runs: int,
        switches: int | None,
        acts: tuple[str, ...],
        standby: bool,
        refusals_extend: bool,
    ) -> World:
        secrets = Secrets(credentials(standby=standby), self.versions)
        current = secrets.at(CURRENT)
        currents = frozenset({current.version_id} if current else ())
        # A run that died under its lock may have asked.
        _, suspected, _ = lock_holder(secrets)
        procs = []
        for number in range(runs):
            # The first run has the warm process that could not save its token.
            unsaved = self.unsaved if number == 0 else ()
            invocation = Invocation(f"run{number + 1}", NOW, SETTINGS, unsaved)
            procs.append(Proc(node=root(invocation), ready_at=NOW, currents=currents))
        return World(
            now=NOW,
            secrets=secrets,
            procs=tuple(procs),
            granted=self.granted,
            suspected=frozenset({suspected} if suspected else ()),
            issued=10,
            faults=faults,
            faulty_runs=faulty_runs,
            switches=switches,
            acts=acts,
            refusals_extend=refusals_extend,
            labels_first=self.labels_first,
        )


_ROOTS: dict[tuple[str, int, Unsaved], Node] = {}


def root(invocation: Invocation) -> Node:
    """Return the run before its first call. Searches that begin alike share what was played."""
    key = (invocation.name, invocation.started_at, invocation.unsaved)
    if key not in _ROOTS:
        _ROOTS[key] = Node(invocation, ())
    return _ROOTS[key]


def forget_runs() -> None:
    """Forget what was played. The handler may have been changed since."""
    _ROOTS.clear()


def credentials(*, standby: bool) -> Version:
    document: dict[str, object] = {"client_id": PRIMARY, "client_secret": "s"}
    if standby:
        document["standby"] = {"client_id": STANDBY, "client_secret": "s"}
    return Version(f"credentials-{standby}", json.dumps(document), (CURRENT,))


def token(name: str, *, age: int, principal: str = PRIMARY, life: int = TOKEN_LIFE_SECONDS) -> Token:
    acquired_at = NOW - age
    return Token(
        access_token=name,
        token_type="Bearer",
        scope=SETTINGS.scope,
        expires_at=acquired_at + life,
        acquired_at=acquired_at,
        client_id=principal,
        username=None,
        audience=SETTINGS.audience,
        requested_scope=SETTINGS.scope,
        requested_parameters="",
        token_url=TOKEN_URL,
    )


def _spent_by(one: Token) -> Slot:
    """Return the token's slot as the contract has it, whatever the handler would write."""
    return Slot(not_before=one.acquired_at + SLOT_SECONDS, reason=LIMIT_INTERVAL)


def published(one: Token, *stages: str) -> Version:
    ledger = Ledger(slots={one.principal: _spent_by(one)})
    return Version(f"v-{one.access_token}", ledger.to_json(one), tuple(sorted(stages)))


def _published_before_failures(one: Token, *stages: str) -> Version:
    """Return a version whose ledger tells of a vendor that was out of reach for long, until just now."""
    slot = Slot(
        not_before=NOW - 60,
        failures=9,
        asked_at=NOW - HOUR,
        error="VendorUnreachable",
        reason=BACKING_OFF,
    )
    ledger = Ledger(slots={one.principal: slot})
    return Version(f"v-{one.access_token}", ledger.to_json(one), tuple(sorted(stages)))


def _claimed(lock: Lock, carried: Token | None, asked_at: int) -> Version:
    slot = Slot(asked_at=asked_at)
    if carried is not None:
        slot = _spent_by(carried)
    ledger = Ledger(lock=lock, slots={PRIMARY: slot})
    return Version("v-claim", ledger.to_json(carried), (LEDGER,))


def _ledger_of(one: Token) -> Version:
    """Return a ledger that knows of the token's slot, and does not carry the token."""
    ledger = Ledger(slots={one.principal: _spent_by(one)})
    return Version("v-ledger", ledger.to_json(), (LEDGER,))


def _lock(*, age: int) -> Lock:
    claimed_at = NOW - age
    return Lock(
        run_id="dead",
        principal=PRIMARY,
        claimed_at=claimed_at,
        until=claimed_at + SETTINGS.lock_seconds,
    )


def starts() -> list[Start]:
    window_age = 20 * HOUR + 600
    fresh = token("fresh", age=HOUR)
    expiring = token("expiring", age=window_age)
    expired = token("expired", age=30 * HOUR)
    foreign = token("foreign", age=HOUR, principal="former")
    previous = token("previous", age=2 * HOUR)
    by_hand = Version("v-hand", '{"access_token": "CHANGE_ME"}', (CURRENT,))
    older = Version("v-older", published(expired).text, (CURRENT,))
    spent = ((PRIMARY, NOW - HOUR),)
    free = ((PRIMARY, NOW - window_age),)
    unsaved = token("unsaved", age=600)
    return [
        Start("no value"),
        Start("no value, and the seed gets no AWSCURRENT", labels_first=False),
        Start("fresh", (published(fresh, CURRENT, LEDGER),), spent),
        Start("expiring", (published(expiring, CURRENT, LEDGER),), free),
        Start("expiring, after nine failures", (_published_before_failures(expiring, CURRENT, LEDGER),), free),
        Start("expired", (published(expired, CURRENT, LEDGER),)),
        Start("expired, and the slot is spent", (published(expired, CURRENT, LEDGER),), spent),
        Start(
            "foreign, with a good previous one",
            (published(previous, PREVIOUS, LEDGER), published(foreign, CURRENT)),
            ((PRIMARY, previous.acquired_at),),
        ),
        Start(
            "foreign, with a good previous one, and the ledger elsewhere",
            (published(previous, PREVIOUS), published(foreign, CURRENT), _ledger_of(previous)),
            ((PRIMARY, previous.acquired_at),),
        ),
        Start("displaced by hand", (published(fresh, LEDGER, PREVIOUS), by_hand), spent),
        Start("displaced by an older one", (older, published(fresh, LEDGER)), spent),
        Start(
            "lapsed lock",
            (published(expiring, CURRENT), _claimed(_lock(age=HOUR), expiring, NOW - HOUR)),
            free,
        ),
        Start(
            "a dead run's live lock",
            (published(expiring, CURRENT), _claimed(_lock(age=60), expiring, NOW - 60)),
            ((PRIMARY, NOW - 50),),
        ),
        Start("garbage", (Version("v-garbage", '{"ledger": 5', (CURRENT, LEDGER)),)),
        Start(
            "an unsaved token in a warm process",
            (published(expiring, CURRENT), _claimed(_lock(age=600), expiring, NOW - 600)),
            ((PRIMARY, NOW - 600),),
            ((PRIMARY, unsaved, "dead"),),
        ),
    ]


def interval_is_over(granted_at: int, now: int) -> bool:
    return now - granted_at >= INTERVAL_SECONDS
