"""Lambda's entry: event in, result out."""

import gc

gc.disable()  # until all is imported: a collection would find nothing, and costs 10 ms of a cold start

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from handler.errors import EventError
from handler.policy import Request
from handler.reader import WarmProcess
from handler.refresh import Refresh
from handler.secrets_manager import SecretStore
from handler.settings import MAX_KEY_CHARACTERS, Settings
from handler.status import Inspection, Result, result_of
from handler.telemetry import RunTelemetry, logger

Options = dict[str, Any]

MAX_REASON_CHARACTERS = 200  # it goes to the log

EVENT_DEFAULTS: Options = {
    "action": "refresh",
    "force": False,
    "override_limit": False,
    "dry_run": False,
    "reason": "",
}


@logger.inject_lambda_context
def lambda_handler(event: Any, context: Any) -> Result:
    return handle(event, context, this_process)


@cache
def this_process() -> WarmProcess:
    """Return what this warm process keeps. Raises ConfigurationError; the next call then tries again."""
    settings = Settings.from_env()
    store = SecretStore.connect(settings.credentials_secret_id, settings.token_secret_id)
    return WarmProcess(settings=settings, store=store)


def handle(event: Any, context: Any, get_process: Callable[[], WarmProcess]) -> Result:
    """Do what the event asks for, and tell of it.

    Raises any RefreshError. An EventError comes before anything is read.
    """
    telemetry = RunTelemetry()
    try:
        options = parse_event(event)
        process = get_process()
        if options["action"] == "status" or options["dry_run"]:
            result = _inspect(options, process, telemetry)
        else:
            result = _refresh(options, process, context, telemetry)
        telemetry.answered(result, options)
    except Exception as error:
        telemetry.failed(error)
        raise
    else:
        return result
    finally:
        telemetry.flush()


def _inspect(options: Options, process: WarmProcess, telemetry: RunTelemetry) -> Result:
    inspection = Inspection(process, _request(options), telemetry.observe)
    telemetry.reader = inspection.reader
    if options["dry_run"]:
        return inspection.dry_run()
    return inspection.status()


def _refresh(options: Options, process: WarmProcess, context: Any, telemetry: RunTelemetry) -> Result:
    refresh = Refresh(
        process,
        _request(options),
        remaining=lambda: context.get_remaining_time_in_millis() / 1_000,
        observe=telemetry.observe,
    )
    telemetry.reader = refresh.reader
    telemetry.event_bus_name = process.settings.event_bus_name
    result = result_of(refresh.run())
    telemetry.refreshed(result)
    return result


def _request(options: Options) -> Request:
    return Request(force=options["force"], override_limit=options["override_limit"])


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
    if options["action"] == "status" and len(event) > 1:
        raise EventError("the event's action status goes with no other key")
    if options["override_limit"] and not options["force"]:
        raise EventError("the event's override_limit goes with force")
    if not options["reason"].isprintable() or len(options["reason"]) > MAX_REASON_CHARACTERS:
        raise EventError(f"the event's reason must be printable, and {MAX_REASON_CHARACTERS} characters at most")
    return options


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
