"""Each case of consumers/contract.json, played by the Python reader over real HTTP, with threads and with tasks."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import requests
from tango_token import (
    NoToken,
    SecretUnreadable,
    TokenError,
    TokenExpired,
    TokenReader,
    TokenTooShort,
    WrongEnvironment,
    for_httpx,
    for_requests,
)

from local.emulators.clock import Clock
from local.emulators.world import AWS, environment
from tests.documents import ROOT

Json = dict[str, Any]

CONTRACT: Json = json.loads((ROOT / "consumers" / "contract.json").read_text())
CASES: list[Json] = CONTRACT["cases"]
KINDS: dict[type[TokenError], str] = {
    NoToken: "no_token",
    TokenExpired: "expired",
    TokenTooShort: "too_short",
    WrongEnvironment: "wrong_environment",
    SecretUnreadable: "unreadable",
}
COUNTS = {"reads", "calls", "received"}  # what the stand-in says
PATIENCE = 30  # real seconds; everything here ends much earlier
# Nothing here speaks TLS, and httpx takes longer to load the machine's certificates than a case takes.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def served(end: Callable[[subprocess.Popen[str]], None]) -> Iterator[dict[str, str]]:
    """Run `python -m local contract`, as the tests of every language do, and yield the addresses of its servers."""
    command = [sys.executable, "-m", "local", "contract"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            end(process)
            assert process.wait(PATIENCE) == 0


def close_input(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()


def terminate(process: subprocess.Popen[str]) -> None:
    process.terminate()


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with served(close_input) as urls:
        yield urls


@pytest.fixture
def world(urls: dict[str, str]) -> Iterator[dict[str, str]]:
    """Begin a case: no secret exists, and the counts are zero. The reader's AWS settings are in the environment."""
    requests.post(urls["control"] + "reset", timeout=PATIENCE).raise_for_status()
    variables = AWS | {"AWS_ENDPOINT_URL_SECRETS_MANAGER": urls["secrets_manager"]}
    with environment(variables):
        yield urls


class Player:
    """Plays one case. What a way to call needs is in the subclasses."""

    def __init__(self, case: Json, urls: dict[str, str]) -> None:
        settings = dict(case["reader"])
        self.clock = Clock(CONTRACT["start"])
        self.refused_statuses = settings.pop("refused_statuses", [401])
        self.reader = TokenReader(
            *settings.pop("secret_ids"),
            token_url=settings.pop("token_url", None),
            ttl=settings.pop("ttl_seconds", 300),
            now=self.clock.now,
        )
        assert not settings, "a setting that this test does not know"
        self.urls = urls
        self.steps = case["steps"]
        self.shown: list[str] = []  # what a log could show of the reader and its errors

    def play(self) -> None:
        for number, step in enumerate(self.steps, start=1):
            expected = dict(step).pop("expect", {})
            [kind] = set(step) - {"expect"}
            results = self.play_step(kind, step[kind])
            outcome = {name: value for name, value in expected.items() if name not in COUNTS}
            assert all(result == outcome for result in results), f"step {number}: {results} instead of {outcome}"
            counts = {name: value for name, value in expected.items() if name in COUNTS}
            counted = self.counts()
            assert counted | counts == counted, f"step {number}: {counted} instead of {counts}"
        self.shown.append(repr(self.reader))

    def play_step(self, kind: str, arguments: Any) -> list[Json]:
        """Return what each caller got."""
        if kind == "advance_seconds":
            self.clock.advance(arguments)
            return []
        if kind == "world":
            requests.post(self.urls["control"], json=arguments, timeout=PATIENCE).raise_for_status()
            return []
        options = dict(arguments)
        callers = options.pop("callers", 1)
        actions: dict[str, Callable[..., Json]] = {"token": self.token, "replace": self.replace, "call": self.call}
        return self.at_once(callers, partial(actions[kind], **options))

    def counts(self) -> Json:
        counts: Json = requests.get(self.urls["control"], timeout=PATIENCE).json()
        return counts

    def at_once(self, callers: int, act: Callable[[], Json]) -> list[Json]:
        barrier = threading.Barrier(callers)

        def act_with_the_others(_: int) -> Json:
            barrier.wait(PATIENCE)
            try:
                return act()
            except TokenError as error:
                return self.told(error)

        with ThreadPoolExecutor(callers) as pool:
            return list(pool.map(act_with_the_others, range(callers)))

    def told(self, error: TokenError) -> Json:
        self.shown += traceback.TracebackException.from_exception(error, capture_locals=True).format()
        self.shown.append(repr(error))
        result: Json = {"error": KINDS[type(error)]}
        if isinstance(error, TokenTooShort):
            result["remaining"] = error.remaining
        return result

    def token(self, min_remaining: float = 0) -> Json:
        return {"token": self.reader.token(min_remaining)}

    def replace(self, refused: str) -> Json:
        return {"token": self.reader.replace(refused)}

    def call(self, method: str = "GET", body: str | None = None) -> Json:
        raise NotImplementedError


class WithRequests(Player):
    def call(self, method: str = "GET", body: str | None = None) -> Json:
        auth = for_requests.TangoAuth(self.reader, refused_statuses=self.refused_statuses)
        answer = requests.request(method, self.urls["api"], data=body, auth=auth, timeout=PATIENCE)
        return {"status": answer.status_code}


class WithHttpx(Player):
    def play(self) -> None:
        auth = for_httpx.TangoAuth(self.reader, refused_statuses=self.refused_statuses)
        with httpx.Client(auth=auth, timeout=PATIENCE, verify=NO_CERTIFICATES) as self.http:
            super().play()

    def call(self, method: str = "GET", body: str | None = None) -> Json:
        return {"status": self.http.request(method, self.urls["api"], content=body).status_code}


class WithTasks(Player):
    """Each caller is a task of one event loop."""

    def at_once(self, callers: int, act: Callable[[], Any]) -> list[Json]:
        async def act_or_tell() -> Json:
            try:
                result: Json = await act()
            except TokenError as error:
                return self.told(error)
            return result

        async def act_all() -> list[Json]:
            auth = for_httpx.TangoAuth(self.reader, refused_statuses=self.refused_statuses)
            async with httpx.AsyncClient(auth=auth, timeout=PATIENCE, verify=NO_CERTIFICATES) as self.http:
                return await asyncio.gather(*[act_or_tell() for _ in range(callers)])

        return asyncio.run(act_all())

    async def token(self, min_remaining: float = 0) -> Json:  # type: ignore[override]
        return {"token": await self.reader.token_async(min_remaining)}

    async def replace(self, refused: str) -> Json:  # type: ignore[override]
        return {"token": await self.reader.replace_async(refused)}

    async def call(self, method: str = "GET", body: str | None = None) -> Json:  # type: ignore[override]
        answer = await self.http.request(method, self.urls["api"], content=body)
        return {"status": answer.status_code}


def tokens_of(case: Json) -> list[str]:
    """Return every token of the case that a text could show."""
    documents = [step["world"].get("document") for step in case["steps"] if "world" in step]
    tokens = [document.get("access_token") for document in documents if isinstance(document, dict)]
    return [token for token in tokens if isinstance(token, str) and token.strip()]


def has_step(case: Json, kind: str) -> bool:
    return any(kind in step for step in case["steps"])


def has_crowd(case: Json) -> bool:
    return '"callers"' in json.dumps(case)


def plays() -> Iterator[Any]:
    """Play every case with requests, and those that a way to call can change with the other ways too."""
    for case in CASES:
        players: list[type[Player]] = [WithRequests]
        if has_step(case, "call"):
            players.append(WithHttpx)
        if has_step(case, "call") or has_crowd(case):
            players.append(WithTasks)
        for player in players:
            yield pytest.param(case, player, id=f"{case['name']}, {player.__name__}")


@pytest.mark.parametrize(("case", "player"), list(plays()))
def test_the_reader_keeps_the_contract(case: Json, player: type[Player], world: dict[str, str]) -> None:
    """Each step ends as the case says, with as many reads and calls, and nothing shows a token."""
    playing = player(case, world)
    playing.play()
    assert not [token for token in tokens_of(case) if token in "".join(playing.shown)]


def test_each_case_is_of_the_form_that_every_language_reads() -> None:
    """Names are unique, a step does one thing, and no key is mistyped."""
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names)
    actions = {
        "world": None,
        "advance_seconds": None,
        "token": {"callers", "min_remaining"},
        "replace": {"callers", "refused"},
        "call": {"callers", "method", "body"},
    }
    for case in CASES:
        assert set(case) == {"name", "reader", "steps"}
        assert set(case["reader"]) <= {"secret_ids", "token_url", "ttl_seconds", "refused_statuses"}
        for step in case["steps"]:
            [kind] = set(step) - {"expect"}
            options = actions[kind]
            assert (options is None) == ("expect" not in step)
            assert options is None or set(step[kind]) <= options
            expected = step.get("expect", {})
            assert set(expected) <= {"token", "error", "remaining", "status"} | COUNTS
            assert expected.get("error", "no_token") in KINDS.values()
            assert ("remaining" in expected) == (expected.get("error") == "too_short")


@pytest.mark.parametrize(
    "world",
    [
        {},
        [],
        {"secret": "token"},
        {"secret": "", "document": {}},
        {"secret": "token", "error": 1},
        {"secret": "token", "unreachable": False},
        {"secret": "token", "document": {}, "text": "both"},
        {"secret": "token", "text": "x" * 70_000},
        {"accepts": ["token"]},
        {"accepts": ["token"], "refusal": 200},
        {"accepts": "token", "refusal": 401},
    ],
)
def test_a_world_that_is_mistyped_is_refused(urls: dict[str, str], world: object) -> None:
    """The answer says which forms there are, so that a new test finds its mistake."""
    answer = requests.post(urls["control"], json=world, timeout=PATIENCE)
    assert answer.status_code == 400
    assert "must be one of" in answer.text or "does not store" in answer.text


@pytest.mark.parametrize("name", ["secret", "text", "error"])
def test_half_a_character_is_refused(urls: dict[str, str], name: str) -> None:
    """A text with half of a surrogate pair is not Unicode, and the answer says which text that is."""
    world = {"secret": "token", "text": "a text"}
    if name == "error":
        del world["text"]
    world[name] = "half \ud800"
    answer = requests.post(urls["control"], json=world, timeout=PATIENCE)
    assert answer.status_code == 400
    assert answer.text == f"{name} has half of a surrogate pair, which is not a character"


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Host": "attacker.example"}, {"Origin": "https://attacker.example"}]
)
@pytest.mark.parametrize("server", ["control", "api", "secrets_manager"])
def test_no_page_of_another_site_reaches_the_servers(
    urls: dict[str, str], server: str, headers: dict[str, str]
) -> None:
    """A browser may send such requests to this machine; they are refused."""
    assert requests.post(urls[server], headers=headers, timeout=PATIENCE).status_code == 403


def test_the_servers_end_when_they_are_told_to() -> None:
    """SIGTERM ends them with the exit code 0, as the end of the standard input does for all other tests here."""
    with served(terminate) as urls:
        assert requests.get(urls["control"], timeout=PATIENCE).json() == {"reads": 0, "calls": 0, "received": None}
    with pytest.raises(requests.ConnectionError):
        requests.get(urls["control"], timeout=PATIENCE)
