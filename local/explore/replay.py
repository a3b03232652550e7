"""The real refresh, run up to its next call to the outside.

A run is a pure function of what it was answered. So it is run from its beginning with the answers that
it got before, and stops where the next one is missing. No threads are needed, and each run can be
continued in as many ways as the search likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ReadTimeoutError

from handler import oauth2
from handler.connections import Connection, UnsavedKey, UnsavedToken
from handler.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    RateLimited,
    RefreshError,
    VendorError,
    VendorUnreachable,
)
from handler.ledger import Ledger
from handler.model import Client, Credentials, Token
from handler.policy import Request
from handler.refresh import Refresh
from handler.secrets_manager import SecretStore
from handler.settings import MIN_ACQUIRE_SECONDS, Settings
from handler.status import Inspection
from handler.token_response import TokenResponse
from local.explore.secrets import Version
from local.simulate.stand_in import stand_in

CREDENTIALS_ID = "credentials"
TOKEN_ID = "token"
TIMEOUT_SECONDS = 420
TOKEN_LIFE_SECONDS = 86_400

Unsaved = tuple[tuple[str, Token, str], ...]  # principal, token, run id


class Step(NamedTuple):
    """What a run does next: an operation of AWS, `ask` or `sleep`, and its parameters."""

    operation: str
    parameters: tuple[Any, ...] = ()


class Answer(NamedTuple):
    """What a step gets back: its payload, or an error's code. `at` is the time when it arrives."""

    at: int
    payload: Any = None
    error: str = ""


class Ending(NamedTuple):
    """How a run ended, and the tokens that its process keeps."""

    outcome: str
    reason: str
    version_id: str
    seconds_remaining: int
    unsaved: Unsaved
    result: Any = None


@dataclass(frozen=True)
class Invocation:
    """One invocation of the function, in a process that may hold unsaved tokens."""

    name: str
    started_at: int
    settings: Settings
    unsaved: Unsaved = ()
    request: Request = field(default_factory=Request)
    is_status: bool = False


class Node:
    """A run after certain answers: what it does next, or how it ended."""

    __slots__ = ("answers", "children", "ending", "invocation", "number", "step")
    count = 0

    def __init__(self, invocation: Invocation, answers: tuple[Answer, ...]) -> None:
        Node.count += 1
        self.number = Node.count
        self.invocation = invocation
        self.answers = answers
        self.children: dict[Answer, Node] = {}
        self.step: Step | None = None
        self.ending: Ending | None = None
        player = _Player(invocation, answers)
        _PLAYING[:] = [player]
        outcome = player.play()
        if isinstance(outcome, Step):
            self.step = outcome
        else:
            self.ending = outcome

    def after(self, answer: Answer) -> Node:
        child = self.children.get(answer)
        if child is None:
            child = Node(self.invocation, (*self.answers, answer))
            self.children[answer] = child
        return child


@contextmanager
def replaying() -> Iterator[None]:
    """Have the handler's acquire played, for the time of the block.

    Parsing is pure and takes most of the time, so what it returns for one text is kept.
    """

    def acquire(*arguments: Any, **options: Any) -> TokenResponse:
        return _PLAYING[0].acquire(*arguments, **options)

    with stand_in(
        (oauth2, "acquire", acquire),
        (Ledger, "parse", cache(Ledger.parse)),
        (Token, "parse", cache(Token.parse)),
        (Credentials, "parse", cache(Credentials.parse)),
    ):
        yield


class _Paused(BaseException):
    """The run has used up its answers. Not an Exception: the handler must not catch it."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step


class _Player:
    """Plays one invocation with the answers that it got."""

    def __init__(self, invocation: Invocation, answers: tuple[Answer, ...]) -> None:
        self._invocation = invocation
        self._answers = answers
        self._next = 0
        self._now = invocation.started_at
        self._ids = 0

    def play(self) -> Step | Ending:
        invocation = self._invocation
        process = Connection(
            settings=invocation.settings,
            store=SecretStore(_StubClient(self.answer, lambda: self._now), CREDENTIALS_ID, TOKEN_ID),
            now=lambda: self._now,
            sleep=self._sleep,
            new_id=self._new_id,
            unsaved={
                UnsavedKey("", principal): UnsavedToken(token, run_id)
                for principal, token, run_id in invocation.unsaved
            },
        )
        try:
            return self._run(process)
        except _Paused as paused:
            return paused.step

    def answer(self, step: Step) -> Any:
        """Return the step's payload, or raise its error."""
        if self._next == len(self._answers):
            raise _Paused(step)
        answer = self._answers[self._next]
        self._next += 1
        self._now = answer.at
        if answer.error == "no answer":
            raise ReadTimeoutError(endpoint_url="https://secretsmanager")
        if answer.error and step.operation != "ask":
            raise ClientError(
                {
                    "Error": {"Code": answer.error, "Message": ""},
                    "ResponseMetadata": {"HTTPStatusCode": _status(answer.error)},
                },
                step.operation,
            )
        return answer

    def _run(self, process: Connection) -> Ending:
        invocation = self._invocation
        if invocation.is_status:
            result = Inspection(process, invocation.request, _ignore).status()
            return Ending(result["outcome"], result["reason"], "", 0, (), result["next_due_at"])
        refresh = Refresh(
            process,
            invocation.request,
            remaining=lambda: invocation.started_at + TIMEOUT_SECONDS - self._now,
            observe=_ignore,
        )
        try:
            outcome = refresh.run()
        except RefreshError as error:
            unsaved = _unsaved_of(process)
            return Ending(type(error).__name__, error.code, "", 0, unsaved)
        return Ending(
            outcome.name,
            outcome.reason,
            outcome.snapshot.token_version_id,
            refresh.reader.seconds_remaining,
            _unsaved_of(process),
        )

    def _sleep(self, seconds: float) -> None:
        if seconds:
            self.answer(Step("sleep", (seconds,)))

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._invocation.name}-{self._ids}"

    def acquire(
        self,
        client: Client,
        settings: Settings,
        *,
        budget_seconds: float,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> TokenResponse:
        del sleep
        sent_at = now()
        deadline = sent_at + budget_seconds
        send_before = deadline - min(MIN_ACQUIRE_SECONDS, budget_seconds / 4)
        answer = self.answer(Step("ask", (client.principal, send_before, deadline)))
        if answer.error:
            make_error = _ERRORS[answer.error]
            raise make_error()
        token = Token(
            access_token=answer.payload,
            token_type="Bearer",
            scope=settings.scope,
            expires_at=int(sent_at) + TOKEN_LIFE_SECONDS,
            acquired_at=int(now()),
            client_id=client.client_id,
            username=client.username,
            audience=settings.audience,
            requested_scope=settings.scope,
            requested_parameters=settings.parameters_hash,
            token_url=settings.token_url,
        )
        return TokenResponse(token, [])


_PLAYING: list[_Player] = []  # the one that plays

# The vendor's answers without a token, by the names that the world gives them.
_ERRORS: dict[str, Callable[[], RefreshError]] = {
    "limit": lambda: RateLimited("the vendor's limit"),
    "429": lambda: RateLimited("429", retry_after=900),
    "refused": lambda: CredentialsRefused("refused"),
    "5xx": lambda: VendorError("5xx", retryable=True, possibly_granted=True),
    "lost": lambda: OutcomeUnknown("no answer"),
    "unsent": lambda: VendorUnreachable("never sent"),
}


class _StubClient:
    """What boto3's client is to SecretStore: each call is a step."""

    def __init__(self, answer: Callable[[Step], Answer], now: Callable[[], float]) -> None:
        self._answer = answer
        self.now = now

    def batch_get_secret_value(self, SecretIdList: list[str]) -> dict[str, Any]:  # noqa: N803
        del SecretIdList
        credentials, token = self._answer(Step("batch_get_secret_value")).payload
        values = [{"Name": CREDENTIALS_ID, **_value(credentials)}]
        errors = []
        if token is None:
            errors.append({"SecretId": TOKEN_ID, "ErrorCode": "ResourceNotFoundException"})
        else:
            values.append({"Name": TOKEN_ID, **_value(token)})
        return {"SecretValues": values, "Errors": errors}

    def get_secret_value(self, SecretId: str, VersionStage: str) -> dict[str, Any]:  # noqa: N803
        del SecretId
        return _value(self._answer(Step("get_secret_value", (VersionStage,))).payload)

    def put_secret_value(self, **parameters: Any) -> dict[str, Any]:
        version_id = parameters["ClientRequestToken"]
        stages = tuple(parameters["VersionStages"])
        text = parameters["SecretString"]
        self._answer(Step("put_secret_value", (version_id, text, stages)))
        return {"VersionId": version_id}

    def update_secret_version_stage(self, **parameters: Any) -> dict[str, Any]:
        move = (
            parameters["VersionStage"],
            parameters["MoveToVersionId"],
            parameters.get("RemoveFromVersionId", ""),
        )
        self._answer(Step("update_secret_version_stage", move))
        return {"Name": TOKEN_ID}

    def describe_secret(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        del SecretId
        self._answer(Step("describe_secret"))
        return {"LastChangedDate": datetime.fromtimestamp(self.now(), UTC)}


def _value(version: Version) -> dict[str, Any]:
    return {
        "VersionId": version.version_id,
        "SecretString": version.text,
        "VersionStages": list(version.stages),
    }


def _status(code: str) -> int:
    if code == "InternalServiceError":
        return 500
    return 400


def _unsaved_of(process: Connection) -> Unsaved:
    return tuple((key.principal, held.token, held.run_id) for key, held in process.unsaved.items())


def _ignore(happening: str, **facts: object) -> None:
    """Nobody is told of what happens in an explored run."""
