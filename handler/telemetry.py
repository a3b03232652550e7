"""Log, metrics and the event bus. The only file that knows Powertools."""

import json
import traceback
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from handler import __version__
from handler.errors import RefreshError
from handler.reader import Reader
from handler.settings import service_name
from handler.survey import Survey

# Lambda's log levels are read from entries whose time has the form of RFC 3339.
logger = Logger(service=service_name(), use_rfc3339=True)
metrics = Metrics(namespace="TokenRefresh", service=service_name())

COUNTED_OUTCOMES = {"Kept", "Refreshed", "Recovered", "Waiting", "Failed"}
COUNTED_HAPPENINGS = {
    "RateLimited",
    "CredentialsRefused",
    "BackingOff",
    "OutcomeUnknown",
    "StandbyUsed",
    "OddLifetime",
}
COUNTED = COUNTED_OUTCOMES | COUNTED_HAPPENINGS
# What a person should look at, in the log.
WARNED = COUNTED | {"ProbeRefused", "SavingFailed"}
EVENT_SOURCE = "token.refresh"
# A line of Lambda's log holds 256 KB. The metric Problems counts all of them.
MAX_LOGGED_PROBLEMS = 100

Facts = dict[str, Any]


class RunTelemetry:
    """The log, the metrics and the event of one run.

    What happens on the way and is counted is logged as a warning. `event_bus_name` is empty if the bus
    is told nothing of this run. `reader` knows how long the consumers' token lives; it is None if nothing
    was read. `tells_of_life` says whether this run tells how long tokens live: in a deployment of many
    only a survey does, for all connections.
    """

    def __init__(self) -> None:
        self.event_bus_name = ""
        self.reader: Reader | None = None
        self._connection = ""
        self.tells_of_life = True
        self._life_of_all: int | None = None
        self._counts: dict[str, int] = {}
        self._happened: set[str] = set()
        self._event_type = ""
        self._event_detail: Facts = {}
        self.begin("")

    def begin(self, connection: str) -> None:
        """Name the connection of this run in every line of the log. It is empty if the event names none."""
        self._connection = connection
        logger.append_keys(connection=connection, version=__version__)

    def observe(self, happening: str, **facts: object) -> None:
        """Log something that happens in the run, and count it if it has a metric."""
        self._happened.add(happening)
        if happening in WARNED:
            logger.warning(happening, extra=facts)
        else:
            logger.info(happening, extra=facts)

    def refreshed(self, result: Facts) -> None:
        """Count how a refresh ended, and prepare the event if there is a new token."""
        self._happened.add(result["outcome"].capitalize())
        if result["outcome"] in {"refreshed", "recovered"}:
            self._event_type = "Token Refreshed"
            self._event_detail = result

    def surveyed(self, survey: Survey, *, handed_over: int = 0) -> None:
        """Count what a survey found, and how many connections were handed over. It may have ended early."""
        self.tells_of_life = survey.seconds_remaining is not None
        self._life_of_all = survey.seconds_remaining
        self._counts = {"Connections": survey.number_of_connections}
        if handed_over:
            self._counts["HandedOver"] = handed_over
        if survey.problems:
            self._counts["Problems"] = len(survey.problems)

    def answered(self, result: Facts, options: Facts) -> None:
        """Log the result of the run, and what the event asked for, under the keys `result` and `asked`."""
        logger.info(result["outcome"], extra={"result": _as_logged(result), "asked": options})

    def failed(self, error: Exception) -> None:
        """Log how the run failed, and count it.

        What the vendor refused was observed when it happened: a run that waits for the interval of our own
        token blames nobody. Of an error that is not ours only its class and the places in the code are
        logged: its text may hold a secret.
        """
        name = type(error).__name__
        facts: Facts = {"error": name, "retryable": getattr(error, "retryable", False)}
        self._happened.add("Failed")
        if isinstance(error, RefreshError):
            message = str(error)
            logger.error(message, exc_info=error, extra=facts)
        else:
            message = "unexpected error"
            logger.error(message, extra=facts | {"frames": _frames(error)})
        self._event_type = "Token Refresh Failed"
        self._event_detail = facts | {"connection": self._connection or None, "message": message}

    def flush(self) -> None:
        """Write the metrics, then tell the event bus."""
        # First the metrics: a hanging event bus must not delay them.
        self._write_metrics()
        if not self.event_bus_name or not self._event_type:
            return
        failure = put_event(self.event_bus_name, self._event_type, json.dumps(self._event_detail))
        if failure:
            logger.warning("event not put", extra={"error": failure})

    def _write_metrics(self) -> None:
        counts = dict.fromkeys(self._happened & COUNTED, 1) | self._counts
        for name, number in sorted(counts.items()):
            metrics.add_metric(name, MetricUnit.Count, number)
        if self.tells_of_life:
            metrics.add_metric("TokenSecondsRemaining", MetricUnit.Seconds, self._seconds_remaining())
        if self.tells_of_life or counts:
            metrics.flush_metrics()

    def _seconds_remaining(self) -> int:
        if self._life_of_all is not None:
            return self._life_of_all
        if self.reader is not None:
            return self.reader.seconds_remaining
        return 0


def _as_logged(result: Facts) -> Facts:
    """Return the result without the tail of a long list of problems: a line of the log has an end."""
    problems = result.get("problems", [])
    if len(problems) <= MAX_LOGGED_PROBLEMS:
        return result
    return result | {"problems": problems[:MAX_LOGGED_PROBLEMS]}


def _frames(error: Exception) -> list[str]:
    """Return where the error comes from, the innermost place last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]


def put_event(bus: str, detail_type: str, detail: str) -> str:
    """Put one event on the bus. Returns why it failed, or an empty text: it never fails a refresh."""
    import boto3
    from botocore.config import Config

    entry = {
        "Source": EVENT_SOURCE,
        "DetailType": detail_type,
        "Detail": detail,
        "EventBusName": bus,
    }
    once = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})
    try:
        client = boto3.client("events", config=once)
        answer = client.put_events(Entries=[entry])
        return str(answer["Entries"][0].get("ErrorCode", ""))
    except Exception as error:  # noqa: BLE001 - whatever the bus does, the token is out already
        return type(error).__name__
