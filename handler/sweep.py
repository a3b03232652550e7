"""The sweep of many connections: survey, hand over, tell. docs/PROTOCOL.md explains it."""

import heapq
from collections.abc import Callable
from functools import partial
from typing import Any

from handler import aws
from handler.connections import WarmProcess
from handler.errors import RefreshError, StoreError
from handler.model import utc
from handler.policy import Request
from handler.reader import Observe
from handler.refresh import Refresh
from handler.result import Result, empty_result
from handler.summary import span_of
from handler.survey import Survey, Surveyed, names_of

# So many connections with the least life are told of.
WORST = 10
# So many problems are in the result: Lambda's answer holds 6 MB. The metric Problems counts all.
MAX_PROBLEMS = 1_000
# What a process could not save is saved within this time more than a claim needs, or later: other connections
# wait meanwhile.
SAVING_SECONDS = 20

HandOver = Callable[[str], None]


class Sweep:
    """One sweep.

    `remaining` gives the seconds until Lambda kills the run. `observe(happening, **facts)` is told what
    happens. `hand_over(name)` has a run of its own refresh the connection; it raises StoreError.
    """

    def __init__(
        self,
        process: WarmProcess,
        *,
        remaining: Callable[[], float],
        observe: Observe,
        hand_over: HandOver,
    ) -> None:
        self.survey = Survey(process, remaining=remaining)
        self.handed_over = 0
        self._process = process
        self._remaining = remaining
        self._observe = observe
        self._hand_over = hand_over

    def run(self) -> Result:
        """Survey all connections, and hand over those that need a run.

        Raises StoreError if not all could be read. Those that were read are handed over then.
        """
        failures = save_unsaved_tokens(self._process, remaining=self._remaining, observe=self._observe)
        for name, error in failures.items():
            self.survey.add_problem(name, error)
        to_probe = []
        for surveyed in self.survey.connections():
            if surveyed.needs_run:
                self._try_to_hand_over(surveyed.name)
            elif surveyed.needs_probe:
                to_probe.append(surveyed.name)
        # After all that are due: if no time is left, these can wait.
        for name in to_probe:
            self._try_to_hand_over(name)
        return result_of_survey(self.survey) | {"handed_over": self.handed_over}

    def _try_to_hand_over(self, name: str) -> None:
        self.survey.check_time()
        try:
            self._hand_over(name)
        except StoreError as error:
            self.survey.add_problem(name, error)
        else:
            self.handed_over += 1


def save_unsaved_tokens(
    process: WarmProcess,
    *,
    remaining: Callable[[], float],
    observe: Observe,
) -> dict[str, StoreError]:
    """Refresh the connections whose token only this process has, as far as a little time allows.

    Returns why a token could not be saved, by connection. What is wrong with a connection itself is told by its
    own run, and by the survey.
    """
    failures: dict[str, StoreError] = {}
    needed = process.settings.seconds_needed_to_claim
    budget = min(remaining(), needed + SAVING_SECONDS)
    deadline = process.now() + budget
    for name in process.connections_with_unsaved_tokens():
        seconds_left = deadline - process.now()
        if seconds_left < needed:
            break
        error = _save_unsaved_token(process, name, seconds_left, observe)
        if isinstance(error, StoreError):
            failures[name] = error
    return failures


def _save_unsaved_token(process: WarmProcess, name: str, seconds_left: float, observe: Observe) -> RefreshError | None:
    """Refresh the connection. Returns the error that the run ended with."""
    observe_connection = partial(observe, connection=name)
    deadline = process.now() + seconds_left
    refresh = Refresh(
        process.connection(name),
        Request(),
        remaining=lambda: deadline - process.now(),
        observe=observe_connection,
    )
    try:
        outcome = refresh.run()
    except RefreshError as error:
        observe_connection("SavingFailed", error=str(error))
        return error
    except Exception as error:  # noqa: BLE001 - other connections must not pay for it
        # Its text may hold a secret.
        observe_connection("SavingFailed", error=type(error).__name__)
        return None
    observe_connection(outcome.name.capitalize())
    return None


def result_of_survey(survey: Survey) -> Result:
    """*Tell*: return the result, with the keys that docs/REFERENCE.md lists.

    It reads why the worst connections have no token, from their ledgers.
    """
    due = [one for one in survey.found if one.reason is not None]
    fresh = [one for one in survey.found if one.expires_at is not None and one.reason is None]
    worst = heapq.nsmallest(WORST, survey.found, key=lambda one: one.seconds_remaining)
    return empty_result("swept") | {
        "summary": _summary_of(survey, number_due=len(due), worst=worst),
        "seconds_remaining": survey.seconds_remaining,
        "connections": survey.number_of_connections,
        "fresh": len(fresh),
        "due": len(due),
        "handed_over": 0,
        "empty": survey.empty,
        "problems": [problem._asdict() for problem in survey.problems[:MAX_PROBLEMS]],
        "worst": [_shown(one, survey) for one in worst],
    }


def _summary_of(survey: Survey, *, number_due: int, worst: list[Surveyed]) -> str:
    """Say how many connections there are, which ones have no token, and which token ends next."""
    sentences = [f"Connections: {survey.number_of_connections}, of which {number_due} are due for a refresh."]
    short = [one for one in survey.found if not one.seconds_remaining]
    without = [one.name for one in short if one.is_known and not one.is_new]
    unknown = [one.name for one in short if not one.is_known]
    new = [one.name for one in short if one.is_new]
    if without:
        sentences.append(f"CONSUMERS HAVE NO TOKEN OF {names_of(without)}.")
    if unknown:
        sentences.append(f"It is not known what token consumers have of {names_of(unknown)}.")
    if new:
        sentences.append(f"Without a token yet: {names_of(new)}.")
    with_token = [one for one in worst if one.seconds_remaining]
    if with_token and not without:
        first = with_token[0]
        sentences.append(f"The next token to end is that of {first.name}, in {span_of(first.seconds_remaining)}.")
    if survey.problems:
        names = sorted({problem.name for problem in survey.problems})
        sentences.append(f"Problems: {names_of(names)}.")
    return " ".join(sentences)


def _shown(surveyed: Surveyed, survey: Survey) -> dict[str, Any]:
    error = surveyed.error
    if not surveyed.seconds_remaining:
        error = survey.last_error_of(surveyed)
    expires_at_utc = None
    if surveyed.expires_at is not None:
        expires_at_utc = utc(surveyed.expires_at)
    return {
        "name": surveyed.name,
        "seconds_remaining": surveyed.seconds_remaining if surveyed.is_known else None,
        "expires_at": surveyed.expires_at,
        "expires_at_utc": expires_at_utc,
        "reason": surveyed.reason,
        "error": error,
    }


class AsynchronousInvocation:
    """Invokes the function for one connection, and does not wait for its run. It raises StoreError.

    Lambda's own queue does the rest: it repeats a run that fails, limits how many run at once, and puts aside
    what fails for good.
    """

    def __init__(self, function: str) -> None:
        self._function = function
        self._client: Any = None  # made for the first one: mostly a sweep needs none

    def __call__(self, name: str) -> None:
        if self._client is None:
            self._client = aws.make_client("lambda")
        event = {"action": "refresh", "connection": name}
        answer = aws.invoke(self._client, self._function, event, invocation_type="Event")
        if answer.get("StatusCode") != 202:  # something between us and AWS has answered
            raise aws.store_error("invoke", "OtherAnswer")
