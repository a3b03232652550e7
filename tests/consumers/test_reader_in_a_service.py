"""What a service does with the Python reader: its own AWS access, its log, its tests, its types, its processes."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import pickle
import subprocess
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import requests
import tango_token
from botocore.exceptions import ClientError
from tango_token import (
    NoToken,
    SecretUnreadable,
    TokenError,
    TokenReader,
    TokenTooShort,
    WrongEnvironment,
    for_httpx,
    for_requests,
)
from tango_token.testing import FixedToken, TokenSource

from local.emulators.secrets_manager import CUT
from local.emulators.world import TOKEN_SECRET, World, environment
from tests.consumers.conftest import START
from tests.documents import ROOT

HOUR = 3_600
ELSEWHERE = "eu-west-1"
PATIENCE = 60  # real seconds; everything here ends much earlier
PACKAGE = ROOT / "consumers" / "python"
LOGGER = "tango_token"
READS = "GetSecretValue"
# A service's module, as mypy sees it. The last line is wrong on purpose.
SAMPLE = """
import requests
from tango_token import TokenReader
from tango_token.for_httpx import TangoAuth as HttpxAuth
from tango_token.for_requests import TangoAuth
from tango_token.testing import FixedToken, TokenSource

def customers(source: TokenSource) -> int:
    session = requests.Session()
    session.auth = TangoAuth(source, refused_statuses={401, 403})
    return session.get("https://api.example/customers", timeout=5).status_code

customers(TokenReader("token", ttl=60, session=None))
customers(FixedToken("made up"))
HttpxAuth(FixedToken("made up"), refused_statuses=[401])
other: str | None = FixedToken("made up").replace("made up")
customers("a token")
"""


def put_elsewhere(world: World, name: str, document: dict[str, Any]) -> str:
    """Store the document in the other region, and return its ARN."""
    client = boto3.client("secretsmanager", region_name=ELSEWHERE, endpoint_url=world.secrets.url)
    arn: str = client.create_secret(Name=name, SecretString=json.dumps(document))["ARN"]
    return arn


def made_up(token: str) -> dict[str, Any]:
    return {"access_token": token, "expires_at": START + 24 * HOUR}


def test_a_reader_uses_the_session_of_another_account(reader_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's credentials and region are used, and none of the process's own; an ARN still has its region."""
    arn = put_elsewhere(reader_world, "there", made_up("from there"))
    put_elsewhere(reader_world, TOKEN_SECRET, made_up("of the other account"))
    session = boto3.Session("their-key", "their-secret", region_name=ELSEWHERE)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    now = reader_world.clock.now
    assert TokenReader(TOKEN_SECRET, session=session, now=now).token() == "of the other account"
    assert TokenReader(arn, session=session, now=now).token() == "from there"
    here = arn.replace(ELSEWHERE, "us-east-1")
    assert TokenReader(here, arn, session=session, now=now).token() == "from there"


def test_a_reader_uses_the_client_that_it_is_given(reader_world: World) -> None:
    """The client reads every secret id, with its own region and settings."""
    put_elsewhere(reader_world, TOKEN_SECRET, made_up("of the client"))
    client = boto3.client("secretsmanager", region_name=ELSEWHERE)
    reader = TokenReader("tango/missing", TOKEN_SECRET, client=client, now=reader_world.clock.now)
    assert reader.token() == "of the client"


def test_a_session_and_a_client_are_one_too_many() -> None:
    """It would not be clear which one reads the secret."""
    with pytest.raises(ValueError, match="a session or a client, not both"):
        TokenReader(TOKEN_SECRET, client=object(), session=object())


@pytest.mark.parametrize(
    ("seconds", "error"), [(-1, ValueError), (float("nan"), ValueError), ("60", TypeError), (None, TypeError)]
)
@pytest.mark.parametrize("is_double", [False, True], ids=["reader", "double"])
def test_a_minimum_of_life_is_a_number_of_seconds(
    reader: TokenReader, seconds: Any, error: type[Exception], *, is_double: bool
) -> None:
    """A negative one would let an expired token pass."""
    reader.token()  # a cached token makes no difference
    source: TokenSource = FixedToken("made up") if is_double else reader
    with pytest.raises(error, match="min_remaining"):
        source.token(min_remaining=seconds)
    with pytest.raises(error, match="min_remaining"):
        asyncio.run(source.token_async(min_remaining=seconds))


@pytest.mark.parametrize(
    ("ttl", "error"),
    [
        (float("inf"), ValueError),
        (float("nan"), ValueError),
        (-1, ValueError),
        ("300", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_a_ttl_is_a_finite_number_of_seconds(ttl: Any, error: type[Exception]) -> None:
    """The constructor says so, before there is a token that would be cached for ever or not at all."""
    with pytest.raises(error, match="ttl"):
        TokenReader(TOKEN_SECRET, ttl=ttl)


class PoorClient:
    """Stands for a client for Secrets Manager that a service has wrapped: it has no `meta`."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_secret_value(self, **_: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


MISSING = ClientError({"Error": {"Code": "ResourceNotFoundException"}}, READS)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"SecretString": None}, SecretUnreadable, "is not a token document"),
        ({"SecretString": 1}, SecretUnreadable, "is not a token document"),
        ({}, SecretUnreadable, "is not a token document"),
        (None, SecretUnreadable, "can't be read: AttributeError"),
        (MISSING, NoToken, "is missing in the client's region"),
    ],
)
def test_a_client_that_is_not_boto3s_is_a_clear_error(answer: Any, error: type[TokenError], message: str) -> None:
    """What it answers in another way than boto3 is reported as each other failed read."""
    reader = TokenReader(TOKEN_SECRET, client=PoorClient(answer))
    with pytest.raises(error, match=f"{TOKEN_SECRET} .*{message}"):
        reader.token()


def test_another_environment_forges_no_line_of_the_log(reader_world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The address in the document is shown with its line breaks escaped; anything else than a text is not shown."""
    expected = "https://auth.tangocard.com/oauth/token"
    reader = TokenReader(TOKEN_SECRET, token_url=expected, now=reader_world.clock.now)
    for url, shown in (
        ("https://x/\r\nERROR forged \x1b[31m\u2028", r"'https://x/\r\nERROR forged \x1b[31m\u2028'"),
        ({"access_token": "made up"}, "a dict"),
        (None, "None"),
    ):
        document = made_up("made up") | {"token_url": url}
        reader_world.secrets.do("PutSecretValue", SecretId=TOKEN_SECRET, SecretString=json.dumps(document))
        reader_world.clock.advance(2)
        with pytest.raises(WrongEnvironment) as error:
            reader.token()
        [(_, text)] = logged(caplog)
        for line in (str(error.value), text):
            assert f"its token comes from {shown}, expected is '{expected}'" in line
            assert "made up" not in line
            assert line.isprintable()


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return the level and text of each line that the reader logged since the last look."""
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == LOGGER]
    caplog.clear()
    return lines


def test_the_log_says_once_that_a_token_is_used_on(
    reader_world: World, reader: TokenReader, caplog: pytest.LogCaptureFixture
) -> None:
    """In an outage there is one warning for each failed read, not for each call; an error once the token has ended."""
    reader.token()
    assert logged(caplog) == []
    reader_world.secrets.outage = CUT
    reader_world.clock.advance(301)
    for _ in range(20):
        reader.token()
    [(level, text)] = logged(caplog)
    assert level == "WARNING"
    assert f"used on, until 2026-03-03T00:00:00Z at the latest: {TOKEN_SECRET} can't be read" in text
    reader_world.clock.advance(24 * HOUR)
    for _ in range(20):
        with pytest.raises(TokenError):
            reader.token()
    [(level, text)] = logged(caplog)
    assert level == "ERROR"
    assert text.startswith(f"the token in {TOKEN_SECRET} ended at")


def test_the_log_says_what_came_of_a_refusal(
    reader_world: World, reader: TokenReader, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each read that a refusal led to, without a token in it."""
    caplog.set_level(logging.INFO, LOGGER)
    old = reader.token()
    for _ in range(10):
        assert reader.replace(old) is None
    [(level, text)] = logged(caplog)
    assert level == "WARNING"
    assert "has no other" in text
    secret = reader_world.token() | {"access_token": "made up"}
    reader_world.secrets.do("PutSecretValue", SecretId=TOKEN_SECRET, SecretString=json.dumps(secret))
    reader_world.clock.advance(2)
    for _ in range(10):
        assert reader.replace(old) == "made up"
    [(level, text)] = logged(caplog)
    assert level == "INFO"
    assert "has another" in text
    assert old not in text
    assert "made up" not in text


def test_the_log_says_that_there_is_no_token(reader_world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An error for each failed read, and a warning if a replica is read instead."""
    now = reader_world.clock.now
    missing = TokenReader("tango/missing", now=now)
    for _ in range(10):
        with pytest.raises(NoToken):
            missing.token()
    [(level, text)] = logged(caplog)
    assert level == "ERROR"
    assert text.startswith("there is no token: tango/missing is missing")
    TokenReader("tango/missing", TOKEN_SECRET, now=now).token()
    [(level, text)] = logged(caplog)
    assert level == "WARNING"
    assert text.startswith(f"{TOKEN_SECRET} is read instead: tango/missing is missing")


def count_reads(reader: TokenReader) -> tuple[str, int]:
    """Return the token and the number of reads of another process."""
    return reader.token(), reader.reads


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_reader_goes_to_a_process_that_is_new(live_world: World, start: str) -> None:
    """Its settings go there, but not its token: the other process reads the secret itself."""
    with environment(live_world.environment()):
        live_world.invoke()
        reader = TokenReader(TOKEN_SECRET, token_url=live_world.vendor.token_url)
        token = reader.token()
        reader.token(min_remaining=1)
        assert token.encode() not in pickle.dumps(reader)
        context = multiprocessing.get_context(start)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert pool.submit(count_reads, reader).result(PATIENCE) == (token, 1)


@pytest.mark.parametrize("access", [{"client": object()}, {"session": object()}], ids=["client", "session"])
def test_a_reader_with_access_of_its_own_stays_in_its_process(access: dict[str, Any]) -> None:
    """Sockets and credentials can't be sent to another process, and the error says what to do."""
    reader = TokenReader(TOKEN_SECRET, **access)
    with pytest.raises(TypeError, match="make the reader, with its session, in the process that uses it"):
        pickle.dumps(reader)


def test_an_error_goes_to_another_process(reader: TokenReader) -> None:
    """What a pool's worker raises arrives as it was, also with the seconds that are left."""
    with pytest.raises(TokenTooShort) as short:
        reader.token(min_remaining=48 * HOUR)
    arrived = pickle.loads(pickle.dumps(short.value))  # noqa: S301 - it was made here
    assert str(arrived) == str(short.value)
    assert arrived.remaining == short.value.remaining


@pytest.mark.parametrize("client", ["requests", "httpx"])
def test_a_double_stands_in_for_the_reader(reader_world: World, client: str) -> None:
    """A service's test gives FixedToken to what sends the token; it lists the tokens that the API refused."""
    good = reader_world.token()["access_token"]
    source = FixedToken("dead", good)
    if client == "requests":
        with requests.Session() as session:
            session.auth = for_requests.TangoAuth(source)
            assert session.get(reader_world.vendor.api_url, timeout=PATIENCE).status_code == 200
    else:
        with httpx.Client(auth=for_httpx.TangoAuth(source)) as http:
            assert http.get(reader_world.vendor.api_url).status_code == 200
    assert source.refused == ["dead"]
    assert source.token() == good


def test_a_double_fails_as_the_reader_does() -> None:
    """It has no token, one that is too short, or the error that the test gives it; it shows no token."""
    with pytest.raises(NoToken):
        FixedToken().token()
    with pytest.raises(TokenTooShort) as short:
        FixedToken("a", remaining=60).token(min_remaining=60)
    assert short.value.remaining == 60
    with pytest.raises(SecretUnreadable, match="down"):
        FixedToken("a", error=SecretUnreadable("down")).token()
    assert FixedToken("the only one").replace("the only one") is None
    assert FixedToken("another").replace("an old one") == "another"
    assert asyncio.run(FixedToken("first", "second").replace_async("first")) == "second"
    assert "a secret" not in repr(FixedToken("a secret"))


def test_a_type_checker_accepts_the_reader_and_its_double(tmp_path: Path) -> None:
    """Mypy, strict, takes both for a TokenSource, and finds the one line that is wrong."""
    (tmp_path / "service.py").write_text(SAMPLE)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "service.py"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache" / "of_a_service")]
    env = {"MYPYPATH": str(PACKAGE), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    wrong_line = SAMPLE.count("\n")
    errors = [line for line in done.stdout.splitlines() if ": error: " in line and "import-untyped" not in line]
    assert [line.partition(": error: ")[0] for line in errors] == [f"service.py:{wrong_line}"], done.stdout


def test_the_package_says_what_it_has() -> None:
    """Each public name is there, and its version is the one that is installed."""
    for name in tango_token.__all__:
        assert hasattr(tango_token, name)
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tango_token.__version__"}
    assert tango_token.__version__.count(".") == 2
    assert TokenSource is tango_token.TokenSource
