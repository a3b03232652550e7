"""Lambda's queue of asynchronous invocations: repeats what fails, and keeps what never succeeded as dead letters."""

from __future__ import annotations

import heapq
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from local.aws_lambda import RETRY_PAUSES_SECONDS
from local.emulators.clock import Clock
from local.emulators.lambda_runtime import FUNCTION_ARN, Run

RETRIES_EXHAUSTED = "RetriesExhausted"
EVENT_AGE_EXCEEDED = "EventAgeExceeded"
_MAX_WAIT_SECONDS = 0.5  # real ones, after which a waiting thread looks whether the clock has been moved


@dataclass(order=True, slots=True)
class QueuedEvent:
    """An event that waits for its next run. The order is that of the queue. `runs`: how many have failed."""

    due_at: float
    number: int
    event: Any = field(compare=False)
    request_id: str = field(compare=False)
    arrived_at: float = field(compare=False)
    runs: int = field(default=0, compare=False)
    last: Run | None = field(default=None, compare=False)

    def describe(self) -> dict[str, Any]:
        return {
            "requestId": self.request_id,
            "event": self.event,
            "runs": self.runs,
            "due_at": self.due_at,
        }


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that Lambda gave up. `condition`: why. `last`: its last run; None if it never ran."""

    at: float
    event: Any
    request_id: str
    condition: str
    runs: int
    last: Run | None

    def describe(self) -> dict[str, Any]:
        """Return the record that Lambda sends to a destination."""
        record = {
            "version": "1.0",
            "timestamp": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "requestContext": {
                "requestId": self.request_id,
                "functionArn": f"{FUNCTION_ARN}:$LATEST",
                "condition": self.condition,
                "approximateInvokeCount": self.runs,
            },
            "requestPayload": self.event,
        }
        if self.last is None:
            return record
        context = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        return {**record, "responseContext": context, "responsePayload": self.last.payload}


class LambdaQueue:
    """Runs one event at a time, in the order in which they are due. `run` runs the function once."""

    def __init__(self, clock: Clock, run: Callable[[Any, str], Run], max_event_age_seconds: float) -> None:
        self.clock = clock
        self.max_event_age_seconds = max_event_age_seconds
        self.dead_letters: list[DeadLetter] = []
        self._run = run
        self._events: list[QueuedEvent] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._is_stopping = False

    def put(self, event: Any) -> str:
        """Let the event run as soon as possible. Returns the id of the request, which all of its runs have."""
        request_id = str(uuid.uuid4())
        now = self.clock.now()
        queued = QueuedEvent(now, next(self._numbers), event, request_id, arrived_at=now)
        with self._changed:
            heapq.heappush(self._events, queued)
            self._changed.notify()
        return request_id

    def waiting(self) -> list[QueuedEvent]:
        with self._changed:
            return sorted(self._events)

    def run_due(self, *, move_clock: bool = False) -> list[Run]:
        """Run every event that is due, also those that come in meanwhile, until none is left.

        `move_clock`: move the clock to the time of each later event, so that the queue ends empty.
        """
        runs: list[Run] = []
        while True:
            queued = self._take(move_clock=move_clock)
            if queued is None:
                return runs
            ended = self._process(queued)
            if ended:
                runs.append(ended)

    def work(self) -> None:
        """Run events when they are due, until `stop`. For a thread of its own and a clock that does not stand still."""
        while not self._is_stopping:
            self.run_due()
            with self._changed:
                self._changed.wait_for(self._has_due_event, timeout=_MAX_WAIT_SECONDS)

    def stop(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def _has_due_event(self) -> bool:
        is_due = bool(self._events) and self._events[0].due_at <= self.clock.now()
        return is_due or self._is_stopping

    def _take(self, *, move_clock: bool) -> QueuedEvent | None:
        with self._changed:
            if not self._events or self._is_stopping:
                return None
            pause = self._events[0].due_at - self.clock.now()
            if pause > 0 and not move_clock:
                return None
            if pause > 0:
                self.clock.advance(pause)
            return heapq.heappop(self._events)

    def _process(self, queued: QueuedEvent) -> Run | None:
        """Run the event unless it is too old. Returns the run."""
        if self.clock.now() - queued.arrived_at > self.max_event_age_seconds:
            self._give_up(queued, EVENT_AGE_EXCEEDED)
            return None
        ended = self._run(queued.event, queued.request_id)
        if ended.error is None:
            return ended
        queued.last = ended
        queued.runs += 1
        if queued.runs > len(RETRY_PAUSES_SECONDS):
            self._give_up(queued, RETRIES_EXHAUSTED)
            return ended
        queued.due_at = self.clock.now() + RETRY_PAUSES_SECONDS[queued.runs - 1]
        with self._changed:
            heapq.heappush(self._events, queued)
        return ended

    def _give_up(self, queued: QueuedEvent, condition: str) -> None:
        letter = DeadLetter(
            at=self.clock.now(),
            event=queued.event,
            request_id=queued.request_id,
            condition=condition,
            runs=queued.runs,
            last=queued.last,
        )
        self.dead_letters.append(letter)
