"""Lambda's entry: event in, result out."""

import gc

gc.disable()  # until all is imported: a collection would find nothing, and costs 10 ms of a cold start

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from handler import __version__, aws
from handler.connections import WarmProcess
from handler.errors import ConfigurationError, EventError
from handler.policy import Request
from handler.refresh import Refresh
from handler.result import Result, result_of
from handler.settings import MAX_KEY_CHARACTERS, Settings, is_connection_name
from handler.status import Inspection
from handler.survey import Survey
from handler.sweep import AsynchronousInvocation, Sweep, result_of_survey, save_unsaved_tokens
from handler.telemetry import RunTelemetry, logger

Options = dict[str, Any]

MAX_REASON_CHARACTERS = 200  # it goes to the log

EVENT_DEFAULTS: Options = {
    "action": "refresh",
    "force": False,
    "override_limit": False,
    "dry_run": False,
    "reason": "",
    "connection": "",
}


@logger.inject_lambda_context
def lambda_handler(event: Any, context: Any) -> Result:
    return handle(event, context, this_process)


@cache
def this_process() -> WarmProcess:
    """Return what this warm process keeps. Raises ConfigurationError; the next call then tries again."""
    return WarmProcess(
        settings=Settings.from_env(),
        client=aws.make_client("secretsmanager"),
    )


def handle(event: Any, context: Any, get_process: Callable[[], WarmProcess]) -> Result:
    """Do what the event asks for, and tell of it.

    Raises any RefreshError. An EventError comes before anything is read.
    """
    telemetry = RunTelemetry()
    try:
        options = parse_event(event)
        telemetry.begin(options["connection"])
        process = get_process()
        telemetry.tells_of_life = not process.settings.keeps_many
        _check_connection(options, process.settings)
        result = _answer(options, process, context, telemetry)
        telemetry.answered(result, options)
    except Exception as error:
        telemetry.failed(error)
        raise
    else:
        return result
    finally:
        telemetry.flush()


def _answer(options: Options, process: WarmProcess, context: Any, telemetry: RunTelemetry) -> Result:
    is_of_all = process.settings.keeps_many and not options["connection"]
    if options["action"] == "status" and is_of_all:
        return _survey(process, context, telemetry)
    if is_of_all:
        return _sweep(process, context, telemetry)
    if options["action"] == "status" or options["dry_run"]:
        return _inspect(options, process, telemetry)
    return _refresh(options, process, context, telemetry)


def _inspect(options: Options, process: WarmProcess, telemetry: RunTelemetry) -> Result:
    connection = process.connection(options["connection"])
    inspection = Inspection(connection, _request(options), telemetry.observe)
    telemetry.reader = inspection.reader
    if options["dry_run"]:
        return inspection.dry_run()
    return inspection.status()


def _refresh(options: Options, process: WarmProcess, context: Any, telemetry: RunTelemetry) -> Result:
    refresh = Refresh(
        process.connection(options["connection"]),
        _request(options),
        remaining=_remaining(context),
        observe=telemetry.observe,
    )
    telemetry.reader = refresh.reader
    telemetry.event_bus_name = process.settings.event_bus_name
    result = result_of(refresh.run(), options["connection"])
    telemetry.refreshed(result)
    if process.settings.keeps_many:
        # The next sweep may run in another process, which does not have what this one could not save.
        save_unsaved_tokens(process, remaining=_remaining(context), observe=telemetry.observe)
    return result


def _survey(process: WarmProcess, context: Any, telemetry: RunTelemetry) -> Result:
    survey = Survey(process, remaining=_remaining(context))
    try:
        for _ in survey.connections():
            pass
    finally:
        telemetry.surveyed(survey)
    return result_of_survey(survey) | {"version": __version__}


def _sweep(process: WarmProcess, context: Any, telemetry: RunTelemetry) -> Result:
    if not context.function_name:
        raise ConfigurationError(
            "a sweep invokes the deployed function for each connection: set AWS_LAMBDA_FUNCTION_NAME to its name, "
            "or name one connection"
        )
    sweep = Sweep(
        process,
        remaining=_remaining(context),
        observe=telemetry.observe,
        hand_over=AsynchronousInvocation(context.function_name),
    )
    try:
        return sweep.run()
    finally:
        telemetry.surveyed(sweep.survey, handed_over=sweep.handed_over)


def _request(options: Options) -> Request:
    return Request(force=options["force"], override_limit=options["override_limit"])


def _remaining(context: Any) -> Callable[[], float]:
    """Return what tells the seconds until Lambda kills the run."""
    return lambda: context.get_remaining_time_in_millis() / 1_000


def parse_event(event: Any) -> Options:
    """Return what the event asks for, defaults included. Raises EventError, which says what is wrong."""
    if not isinstance(event, dict):
        raise EventError("the event must be a JSON object")
    is_from_schedule = "source" in event and "detail-type" in event
    options = EVENT_DEFAULTS.copy()
    if not is_from_schedule:
        options |= event
    for key, value in options.items():
        _check_type(key, value)
    if options["action"] not in {"refresh", "status"}:
        raise EventError("the event's action must be refresh or status")
    if options["action"] == "status" and event.keys() - {"action", "connection"}:
        raise EventError("the event's action status goes with no other key than connection")
    if "connection" in event and not is_from_schedule and not is_connection_name(options["connection"]):
        raise EventError("the event's connection can't be the name of one: it may have letters, digits and /_+=.@-")
    if options["override_limit"] and not options["force"]:
        raise EventError("the event's override_limit goes with force")
    if not options["reason"].isprintable() or len(options["reason"]) > MAX_REASON_CHARACTERS:
        raise EventError(f"the event's reason must be printable, and {MAX_REASON_CHARACTERS} characters at most")
    return options


def _check_connection(options: Options, settings: Settings) -> None:
    """Raise EventError if the event must name a connection and does not, or the other way round."""
    if not settings.keeps_many:
        if options["connection"]:
            raise EventError("the event names a connection, and this deployment keeps a single one without a name")
        return
    acts_on_one = options["force"] or options["override_limit"] or options["dry_run"]
    if acts_on_one and not options["connection"]:
        raise EventError("the event's force, override_limit and dry_run need a connection: this deployment keeps many")


def _check_type(key: str, value: Any) -> None:
    if key not in EVENT_DEFAULTS:
        known = ", ".join(EVENT_DEFAULTS)
        shown = ascii(key[:MAX_KEY_CHARACTERS])
        raise EventError(f"the event has an unknown key {shown}; known are {known}")
    expected = type(EVENT_DEFAULTS[key])
    if type(value) is expected:
        return
    kind = "true or false"
    if expected is str:
        kind = "a text"
    raise EventError(f"the event's {key} must be {kind}")


# Now, because Lambda gives a whole processor only while a process starts. If this fails, the first run
# tries again and raises.
with suppress(Exception):
    this_process()
gc.freeze()  # what was imported stays, so no collection needs to look at it
gc.enable()
