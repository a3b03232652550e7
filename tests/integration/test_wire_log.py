"""No secret is in any log, whatever its level is, and whatever the vendor repeats of the request."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

import pytest

from local.emulators.raw_server import RawServer
from local.emulators.world import World
from tests.integration.helpers import BLUE, FORCE, HOUR, INTERVAL, STATUS, acquire_token, run

LOGGERS = ("", "urllib3", "requests", "botocore", "token-refresh")  # the first one is the root
ODD_SECRET = "se+cret of:%&=ü the test"
FORMATTER = logging.Formatter("%(levelname)s %(name)s %(message)s %(args)r")

Echo = Callable[[bytes], bytes]


class Log(logging.Handler):
    """Keeps every record as text, with the traceback that it may have."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(FORMATTER)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@contextmanager
def debugging() -> Iterator[Log]:
    """Log all at the level DEBUG during the block. The handler was imported long before.

    What the test itself does with AWS is outside of the block: its own calls may be logged.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    log = Log()
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(log)
    try:
        yield log
    finally:
        loggers[0].removeHandler(log)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def spellings(secret: str) -> set[str]:
    """Return the secret as it may stand in a form, in a header, in JSON or in a repr."""
    as_json = secret.encode("unicode_escape").decode()
    return {secret, quote(secret), quote_plus(secret), quote(secret, safe=""), as_json}


def secrets_of(world: World) -> dict[str, str]:
    """Return each text that must not be shown, with a name that may be."""
    shown: dict[str, str] = {}
    for client_id, secret in world.client_secrets.items():
        for spelling in spellings(secret):
            shown[spelling] = f"the secret of {client_id}"
            for basic_id in (quote_plus(client_id), quote(client_id, safe="")):
                pair = base64.b64encode(f"{basic_id}:{spelling}".encode()).decode()
                shown[pair] = f"the Basic credentials of {client_id}"
    for issued in world.vendor.issued:
        shown[issued.token] = "a token"
    return shown


def assert_shows_no_secret(text: str, world: World) -> None:
    """Fail with the names of the secrets that are shown, and without the text."""
    names = {name for secret, name in secrets_of(world).items() if secret in text}
    assert not names


def all_output(log: Log, capfd: pytest.CaptureFixture[str], world: World) -> str:
    """Return what was logged, printed and answered."""
    captured = capfd.readouterr()
    parts = [captured.out, captured.err, world.output]
    return "\n".join(log.texts + parts)


def secret_part(request: bytes) -> bytes:
    """Return what a request has of secrets: the form, and the line with the credentials or the token."""
    head, _, form = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:")]
    return b" ".join([*lines, form])


def with_head(*lines: str, body: str = "") -> Echo:
    """Return an answer of these lines, in which ECHO stands for what the request has of secrets."""

    def answer(echo: bytes) -> bytes:
        parts = [line.encode().replace(b"ECHO", echo) for line in (*lines, "", "")]
        return b"\r\n".join(parts) + body.encode().replace(b"ECHO", echo)

    return answer


OK = "HTTP/1.1 200 OK"
NO_BODY = "Content-Length: 0"
CHUNKED = "Transfer-Encoding: chunked"
REFUSED = "HTTP/1.1 400 No"
DENIED = "HTTP/1.1 401 No"
FAILED = "HTTP/1.1 500 No"
FOUND = "HTTP/1.1 302 Found"
TOKEN = "token-of-the-echo"
TOKEN_BODY = f'{{"access_token": "{TOKEN}", "expires_in": 86400}}'
ODD_TYPE = f'{{"access_token": "{TOKEN}", "token_type": "ECHO"}}'
ODD_LIFETIME = f'{{"access_token": "{TOKEN}", "expires_in": "ECHO"}}'
ERROR = '{"error": "ECHO", "error_description": "ECHO"}'
ECHOES: dict[str, Echo] = {
    "status line of a refusal": with_head("HTTP/1.1 400 ECHO", NO_BODY),
    "status line of a success": with_head("HTTP/1.1 200 ECHO", body=TOKEN_BODY),
    "status line that is not one": with_head("ECHO"),
    "status that is not a number": with_head("HTTP/1.1 ECHO", NO_BODY),
    "header": with_head(DENIED, "X-Echo: ECHO", NO_BODY),
    "cookie": with_head(DENIED, "Set-Cookie: a=ECHO", NO_BODY),
    "line without a colon": with_head(DENIED, "ECHO", NO_BODY),
    "line after a malformed one": with_head(DENIED, "malformed", "X-Echo: ECHO", NO_BODY),
    "line without a colon, of a success": with_head(OK, "ECHO", "X-Echo: ECHO", body=TOKEN_BODY),
    "line that begins with a space": with_head(FAILED, " ECHO", "X-Echo: ECHO", NO_BODY),
    "line that begins with a colon": with_head(FAILED, ": ECHO", "X-Echo: ECHO", NO_BODY),
    "location": with_head(FOUND, "Location: https://elsewhere.example/?ECHO", NO_BODY),
    "location that is not one": with_head(FOUND, "Location: http://[ECHO", NO_BODY),
    "retry-after": with_head("HTTP/1.1 429 Later", "Retry-After: ECHO", NO_BODY),
    "content length": with_head(REFUSED, "Content-Length: ECHO", body="{}"),
    "two content lengths": with_head(REFUSED, "Content-Length: 2", "Content-Length: ECHO", body="{}"),
    "content type": with_head(REFUSED, "Content-Type: text/ECHO; charset=ECHO", NO_BODY),
    "content encoding": with_head(REFUSED, "Content-Encoding: ECHO", "Content-Length: 2", body="{}"),
    "transfer encoding": with_head(REFUSED, "Transfer-Encoding: ECHO", body="{}"),
    "size of a chunk": with_head(REFUSED, CHUNKED, body="ECHO\r\nx\r\n0\r\n\r\n"),
    "trailer": with_head(OK, CHUNKED, body="2\r\n{}\r\n0\r\nECHO\r\nX-Echo: ECHO\r\n\r\n"),
    "text": with_head(DENIED, "Content-Type: text/plain", body="ECHO"),
    "error code": with_head(REFUSED, body=ERROR),
    "success without a token": with_head(OK, body='{"error": "ECHO", "token": "ECHO"}'),
    "type of a token": with_head(OK, body=ODD_TYPE),
    "lifetime of a token": with_head(OK, body=ODD_LIFETIME),
    "body that is cut": with_head(REFUSED, "Content-Length: 9000", body="ECHO"),
}


@pytest.mark.parametrize("auth", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_vendor_that_repeats_the_request_puts_no_secret_into_a_log(
    world: World, capfd: pytest.CaptureFixture[str], echo: Echo, auth: str
) -> None:
    """Wherever the form or the header comes back, no record, output or error has it."""
    world.client_secrets[BLUE] = ODD_SECRET
    world.put_credentials(BLUE)
    with RawServer(lambda request: [echo(secret_part(request))]) as vendor:
        process = world.process(TOKEN_URL=vendor.url, CLIENT_AUTH=auth)
        with debugging() as log:
            run(world, process=process)
    assert len(vendor.requests) == 1
    output = all_output(log, capfd, world)
    assert_shows_no_secret(output, world)
    assert TOKEN not in output


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_api_that_repeats_the_token_puts_it_into_no_log(
    world: World, capfd: pytest.CaptureFixture[str], echo: Echo
) -> None:
    """The probe sends the token, which must not come back into a log."""
    acquire_token(world, 2 * HOUR)
    with RawServer(lambda request: [echo(secret_part(request))]) as api:
        process = world.process(PROBE_URL=api.url)
        with debugging() as log:
            run(world, process=process)
    assert len(api.requests) == 1
    assert_shows_no_secret(all_output(log, capfd, world), world)


def test_what_is_read_and_written_is_in_no_log(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """AWS's library would log the secrets' values, which the store reads and writes."""
    acquire_token(world, 2 * HOUR)
    world.clock.advance(INTERVAL)
    with debugging() as log:
        for event in ({}, FORCE, STATUS):
            run(world, event)
    assert_shows_no_secret(all_output(log, capfd, world), world)


def test_log_sees_what_is_logged() -> None:
    """The tests above see each record, with its arguments and its traceback."""
    error = ValueError("canary in a traceback")
    with debugging() as log:
        logging.getLogger("urllib3.connectionpool").warning("said %s", "canary", exc_info=error)
    [text] = log.texts
    assert "said canary" in text
    assert "canary in a traceback" in text
