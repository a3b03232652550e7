"""The Lambda's entry: event in, outcome out, and who is told. The only file that knows Powertools."""

import gc

gc.disable()  # until all is imported: to collect meanwhile finds nothing, and costs 10 ms of a cold start

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from handler.errors import EventError, RefreshError
from handler.policy import Request
from handler.refresh import Keeper, Run
from handler.secrets_manager import SecretStore, put_event
from handler.settings import Settings, service_name

logger = Logger(service=service_name(), use_rfc3339=True)  # the form of time that Lambda's log levels read
metrics = Metrics(namespace="TokenRefresh", service=service_name())

EVENT = {"action": "refresh", "force": False, "override_limit": False, "dry_run": False, "reason": ""}  # the defaults
OUTCOMES = {"Kept", "Refreshed", "Recovered", "Waiting", "Failed"}
COUNTED = OUTCOMES | {"RateLimited", "CredentialsRefused", "OutcomeUnknown", "StandbyUsed", "OddLifetime"}


@logger.inject_lambda_context
def lambda_handler(event: Any, context: Any) -> dict[str, Any]:
    return handle(event, context, this_process)


@cache
def this_process() -> Keeper:
    """Return the Keeper of a warm process; raises ConfigurationError, and then tries again at the next call."""
    settings = Settings.from_env()
    return Keeper(settings, SecretStore.connect(settings.credentials_secret_id, settings.token_secret_id))


def handle(event: Any, context: Any, keeper: Callable[[], Keeper]) -> dict[str, Any]:
    """Do what the event asks for, and tell of it. Raises any RefreshError, EventError before anything is read."""
    happened: set[str] = set()
    run, bus, news = None, "", ""

    def observe(happening: str, **facts: object) -> None:
        happened.add(happening)
        (logger.warning if happening in COUNTED else logger.info)(happening, extra=facts)

    try:
        asked = parse_event(event)
        kept = keeper()
        request = Request(force=asked["force"], override_limit=asked["override_limit"])
        run = Run(kept, request, lambda: context.get_remaining_time_in_millis() / 1_000, observe)
        if asked["action"] == "status" or asked["dry_run"]:
            result = run.inspect(status=not asked["dry_run"])
        else:
            bus = kept.settings.event_bus_name
            result = run.refresh()
            news = "Token Refreshed" if result["outcome"] in {"refreshed", "recovered"} else ""
            happened.add(result["outcome"].capitalize())
        logger.info(result["outcome"], extra={"result": result, "asked": asked})
    except Exception as error:
        happened |= {"Failed", type(error).__name__}
        message = str(error) if isinstance(error, RefreshError) else "unexpected error"
        facts = {"error": type(error).__name__, "retryable": getattr(error, "retryable", False)}
        logger.exception(message, extra=facts)
        news, result = "Token Refresh Failed", facts | {"message": message}
        raise
    finally:
        metrics.add_metric("TokenSecondsRemaining", MetricUnit.Seconds, run.seconds_remaining if run else 0)
        for name in sorted(happened & COUNTED):
            metrics.add_metric(name, MetricUnit.Count, 1)
        metrics.flush_metrics()  # before the bus, whose hanging must not cost them
        if bus and news and (failure := put_event(bus, news, json.dumps(result))):
            logger.warning("event not put", extra={"error": failure})
    return result


def parse_event(event: Any) -> dict[str, Any]:
    """Return what is asked for, defaults included. Raises EventError that says what is wrong."""
    if not isinstance(event, dict):
        raise EventError("the event must be a JSON object")
    asked = EVENT | ({} if "source" in event and "detail-type" in event else event)
    for key, value in asked.items():
        if key not in EVENT:
            raise EventError(f"the event has an unknown key {key!r}; known are {', '.join(EVENT)}")
        if type(value) is not type(EVENT[key]):
            kind = "a text" if isinstance(EVENT[key], str) else "true or false"
            raise EventError(f"the event's {key} must be {kind}")
    if asked["action"] not in {"refresh", "status"}:
        raise EventError("the event's action must be refresh or status")
    if asked["action"] == "status" and len(event) > 1:
        raise EventError("the event's action status goes with no other key")
    if asked["override_limit"] and not asked["force"]:
        raise EventError("the event's override_limit goes with force")
    return asked


with suppress(Exception):  # now, since Lambda gives a whole processor only while it starts; a run tells what is wrong
    this_process()
gc.freeze()  # what was imported stays: no collection looks at it
gc.enable()
