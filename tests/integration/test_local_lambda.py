"""The emulated Lambda does what AWS documents of Invoke: three kinds of invocation, retries, dead letters, refusals."""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.session
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from local.durations import HOUR
from local.emulators.clock import Clock
from local.emulators.lambda_runtime import FUNCTION_ARN, FUNCTION_NAME
from local.emulators.lambda_service import LambdaService
from local.emulators.secrets_manager import CUT, LOST_ANSWER, AwsFault

NOW = 1_790_000_000.0
PATIENCE = 30  # real seconds; everything here ends much earlier


@dataclass
class Function:
    """A function that does what its event says, and notes when it ran and under which request."""

    clock: Clock
    runs: list[tuple[float, Any, str]] = field(default_factory=list)
    has_run: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: Any, context: Any) -> Any:
        self.runs.append((self.clock.now() - NOW, event, context.aws_request_id))
        self.has_run.set()
        sys.stdout.write("the log\n")
        if isinstance(event, dict) and event.get("fails"):
            self.clock.advance(event.get("takes", 0))
            raise ValueError("as the event says")
        return {"event": event, "left": context.get_remaining_time_in_millis()}


@dataclass
class Aws:
    """The service with a client of botocore."""

    service: LambdaService
    function: Function
    client: Any

    def invoke(self, event: Any = None, name: str = FUNCTION_NAME, **params: Any) -> dict[str, Any]:
        if event is not None:
            params["Payload"] = json.dumps(event).encode()
        answer: dict[str, Any] = self.client.invoke(FunctionName=name, **params)
        return answer

    def queue(self, event: Any) -> None:
        assert self.invoke(event, InvocationType="Event")["StatusCode"] == 202

    def refusal(self, name: str = FUNCTION_NAME, **params: Any) -> tuple[str, int]:
        """Return the code and the HTTP status of the refusal."""
        with pytest.raises(ClientError) as raised:
            self.client.invoke(FunctionName=name, **params)
        answer = raised.value.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture
def aws(clock: Clock) -> Iterator[Aws]:
    function = Function(clock)
    with LambdaService(clock, function) as service, closing(connect(service)) as client:
        yield Aws(service, function, client)


@cache
def session() -> Any:
    """Return one session for all tests: a session reads AWS's service models, which takes long."""
    made = botocore.session.Session()
    made.set_credentials("key", "secret")
    return made


def connect(service: LambdaService) -> Any:
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    return session().create_client("lambda", "us-east-1", endpoint_url=service.url, config=config)


def payload_of(answer: dict[str, Any]) -> Any:
    return json.loads(answer["Payload"].read())


# Invocations that wait for the result


def test_a_synchronous_invocation_answers_with_the_result(aws: Aws) -> None:
    """The function gets the event and 420 s; the answer has status 200, the version and the result."""
    answer = aws.invoke({"action": "status"})
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert payload_of(answer) == {"event": {"action": "status"}, "left": 420_000}


def test_an_invocation_without_a_payload_has_an_empty_event(aws: Aws) -> None:
    """As AWS has it: the event is an empty object."""
    assert payload_of(aws.invoke())["event"] == {}


@pytest.mark.parametrize(
    "name",
    [
        FUNCTION_NAME,
        f"{FUNCTION_NAME}:$LATEST",
        f"123456789012:function:{FUNCTION_NAME}",
        FUNCTION_ARN,
        f"{FUNCTION_ARN}:$LATEST",
    ],
)
def test_the_function_is_named_in_every_way_of_aws(aws: Aws, name: str) -> None:
    """A name, a partial ARN or a whole one, each with or without the version."""
    assert aws.invoke({}, name)["StatusCode"] == 200
    assert aws.invoke({}, FUNCTION_NAME, Qualifier="$LATEST")["StatusCode"] == 200


def test_an_error_of_the_function_is_an_answer(aws: Aws) -> None:
    """The status is 200, FunctionError is set, and the payload has the error's type, message and trace."""
    answer = aws.invoke({"fails": True})
    error = payload_of(answer)
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "as the event says")
    assert error["stackTrace"]


def test_the_end_of_the_log_is_answered_on_request(aws: Aws) -> None:
    """With LogType Tail the answer has the log, in base64; otherwise it has none."""
    answer = aws.invoke({}, LogType="Tail")
    assert base64.b64decode(answer["LogResult"]) == b"the log\n"
    assert "LogResult" not in aws.invoke({})


def test_a_dry_run_runs_nothing(aws: Aws) -> None:
    """DryRun answers 204, and the function does not run."""
    assert aws.invoke({}, InvocationType="DryRun")["StatusCode"] == 204
    assert aws.function.runs == []


# The queue


def test_an_event_runs_later_and_once(aws: Aws) -> None:
    """An asynchronous invocation is answered with 202 before it runs; the queue then runs it once."""
    aws.queue({"number": 1})
    aws.queue({"number": 2})
    assert aws.function.runs == []
    assert [run.event for run in aws.service.run_queue()] == [{"number": 1}, {"number": 2}]
    assert aws.service.run_queue() == []
    assert aws.service.dead_letters == []


def test_an_event_that_fails_runs_again_after_one_minute_and_two(aws: Aws) -> None:
    """All three runs have the id of one request. Others do not wait for it. Then it is a dead letter."""
    aws.queue({"fails": True})
    aws.queue({"number": 2})
    assert len(aws.service.run_queue()) == 2
    assert len(aws.service.run_queue(move_clock=True)) == 2
    failed = [(at, request_id) for at, event, request_id in aws.function.runs if "fails" in event]
    assert [at for at, _ in failed] == [0, 60, 180]
    assert len({request_id for _, request_id in failed}) == 1
    [letter] = aws.service.dead_letters
    assert (letter.condition, letter.runs, letter.event) == ("RetriesExhausted", 3, {"fails": True})
    assert letter.request_id == failed[0][1]


def test_an_event_that_is_too_old_does_not_run(aws: Aws) -> None:
    """After the event age, 30 minutes here, an event is a dead letter, whether it has run or not."""
    aws.queue({"fails": True, "takes": 1_750})
    aws.queue({"number": 2})
    aws.service.run_queue(move_clock=True)
    assert len(aws.function.runs) == 2
    [letter] = aws.service.dead_letters
    assert (letter.condition, letter.runs) == ("EventAgeExceeded", 1)
    aws.queue({"number": 3})
    aws.service.clock.advance(HOUR)
    assert aws.service.run_queue() == []
    assert [letter.runs for letter in aws.service.dead_letters] == [1, 0]


def test_people_see_queue_and_dead_letters(aws: Aws) -> None:
    """A dead letter is shown as the record that Lambda sends to a destination: event, condition, error."""
    aws.queue({"fails": True})
    aws.queue({"number": 2})
    shown = requests.get(f"{aws.service.url}/_emulator", timeout=PATIENCE).json()
    assert [queued["event"] for queued in shown["queue"]] == [{"fails": True}, {"number": 2}]
    aws.service.run_queue(move_clock=True)
    [letter] = requests.get(f"{aws.service.url}/_emulator/dead-letters", timeout=PATIENCE).json()
    assert letter["requestPayload"] == {"fails": True}
    assert letter["requestContext"]["condition"] == "RetriesExhausted"
    assert letter["requestContext"]["approximateInvokeCount"] == 3
    assert letter["responsePayload"]["errorType"] == "ValueError"


def test_a_thread_runs_the_queue_of_a_served_world() -> None:
    """With the machine's clock an event runs at once, without anybody asking."""
    clock = Clock()
    function = Function(clock)
    with LambdaService(clock, function) as service, closing(connect(service)) as client:
        service.start_queue()
        client.invoke(FunctionName=FUNCTION_NAME, InvocationType="Event", Payload=b'{"number": 1}')
        assert function.has_run.wait(PATIENCE)


# Refusals and faults


@pytest.mark.usefixtures("no_garbage_collection")
def test_each_wrong_call_is_refused_as_by_aws(aws: Aws) -> None:
    """Each has AWS's code and HTTP status, and the function does not run."""
    assert aws.refusal("another-function") == ("ResourceNotFoundException", 404)
    assert aws.refusal(f"{FUNCTION_NAME}:live") == ("ResourceNotFoundException", 404)
    assert aws.refusal(Qualifier="live") == ("ResourceNotFoundException", 404)
    for body in (b"not JSON", b"\xff", b'{"seconds": NaN}', b"[" * 100_000):
        assert aws.refusal(Payload=body) == ("InvalidRequestContentException", 400)
        assert aws.refusal(Payload=body, InvocationType="Event") == ("InvalidRequestContentException", 400)
    long = json.dumps("x" * 1_048_576).encode()
    assert aws.refusal(Payload=long, InvocationType="Event") == ("RequestTooLargeException", 413)
    assert aws.refusal(InvocationType="Later") == ("InvalidParameterValueException", 400)
    assert aws.function.runs == []
    assert aws.service.queue.waiting() == []


def test_scripted_faults_are_met_in_turn(aws: Aws) -> None:
    """A throttled, a denied and a cut call do not reach the queue. A call with a lost answer does."""
    throttled = AwsFault("TooManyRequestsException", 429, message="Rate Exceeded.")
    denied = AwsFault("AccessDeniedException", 403, message="not authorized")
    aws.service.fail(throttled, denied, CUT, LOST_ANSWER)
    event: dict[str, Any] = {"InvocationType": "Event", "Payload": b'{"number": 1}'}
    assert aws.refusal(**event) == ("TooManyRequestsException", 429)
    assert aws.refusal(**event) == ("AccessDeniedException", 403)
    for waiting in (0, 1):
        with pytest.raises(ConnectionClosedError):
            aws.queue({"number": 2})
        assert len(aws.service.queue.waiting()) == waiting
    aws.queue({"number": 3})
    assert [run.event for run in aws.service.run_queue()] == [{"number": 2}, {"number": 3}]
    assert len(aws.service.invocations) == 5


def test_an_outage_meets_every_call_of_invoke(aws: Aws) -> None:
    """All calls meet it until it ends."""
    aws.service.outage = AwsFault("ServiceException", 500)
    assert aws.refusal() == ("ServiceException", 500)
    assert aws.refusal() == ("ServiceException", 500)
    aws.service.outage = None
    assert aws.invoke({})["StatusCode"] == 200
