"""The Python reader while a read hangs: other threads, tasks and forked children do not hang with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from tango_token import TokenReader, for_httpx

from local.emulators.world import TOKEN_SECRET, World
from tests.documents import ROOT

HOUR = 3_600
PATIENCE = 10  # real seconds; everything here ends much earlier
CROWD = 64  # more than asyncio's default executor has threads
# A process whose main thread forks while another one makes the first read.
FORKS_EARLY = """
import os, signal, sys, threading
import tango_token

assert "boto3" not in sys.modules, "an import of the package must not take long"
reader = tango_token.TokenReader(sys.argv[1])
importing = threading.Event()
forked = threading.Event()

class SlowDisk:
    def find_spec(self, name, path, target=None):
        importing.set()
        forked.wait(10)

sys.meta_path.insert(0, SlowDisk())
thread = threading.Thread(target=reader.token)
thread.start()
while thread.is_alive() and not importing.wait(0.01):
    pass
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if reader.token() else 1)
forked.set()
thread.join()
print(os.waitpid(child, 0)[1])
"""
# A process that has read with asyncio, so with a thread of the reader's own, and forks.
FORKS_LATE = """
import asyncio, os, signal, sys
from tango_token import TokenReader

reader = TokenReader(sys.argv[1])
assert asyncio.run(reader.token_async())
child = os.fork()
if child == 0:
    signal.alarm(20)
    print(asyncio.run(reader.replace_async(reader.token())), reader.reads, flush=True)
    sys.exit()
print(os.waitpid(child, 0)[1])
"""


@contextmanager
def hanging(world: World) -> Iterator[threading.Event]:
    """Let each read of the secret hang until the block ends. The event is set as soon as one hangs."""
    has_begun = threading.Event()
    may_answer = threading.Event()

    def hang(_operation: str, moment: str, _params: object) -> None:
        if moment == "before":
            has_begun.set()
            assert may_answer.wait(PATIENCE)

    world.secrets.on_call = hang
    try:
        yield has_begun
    finally:
        may_answer.set()
        world.secrets.on_call = None


def test_a_token_that_was_replaced_already_is_replaced_without_waiting(
    reader_world: World, reader: TokenReader
) -> None:
    """The cached token is another one than the refused, so nobody needs the read that hangs."""
    token = reader.token()
    with ThreadPoolExecutor(2) as pool, hanging(reader_world) as has_begun:
        reading = pool.submit(reader.replace, token)
        assert has_begun.wait(PATIENCE)
        assert pool.submit(reader.replace, "an old token").result(PATIENCE / 2) == token
        assert not reading.done()


def test_tasks_that_wait_leave_the_default_executor_to_others(reader_world: World, reader: TokenReader) -> None:
    """A service has other work for it, such as resolving names. One thread of the reader's own waits for all tasks."""

    async def wait_with_others() -> set[str]:
        with hanging(reader_world):
            tasks = [asyncio.create_task(reader.token_async()) for _ in range(CROWD)]
            await asyncio.sleep(0)
            assert await asyncio.wait_for(asyncio.to_thread(str, "free"), PATIENCE / 2) == "free"
            assert not any(task.done() for task in tasks)
        return set(await asyncio.gather(*tasks))

    assert asyncio.run(wait_with_others()) == {reader_world.token()["access_token"]}
    assert reader.reads == 1


def test_tasks_that_are_refused_leave_the_default_executor_to_others(reader_world: World, reader: TokenReader) -> None:
    """It is the same while they wait for another token. httpx itself needs the executor to resolve names."""
    reader_world.vendor.deactivate(reader_world.primary)
    reader.token()

    async def call_with_others() -> set[int]:
        auth = for_httpx.TangoAuth(reader)
        async with httpx.AsyncClient(auth=auth, timeout=PATIENCE) as http:
            with hanging(reader_world):
                calls = [asyncio.create_task(http.get(reader_world.vendor.api_url)) for _ in range(CROWD)]
                while len(reader_world.vendor.api_calls) < CROWD:  # noqa: ASYNC110 - the API has no event to wait for
                    await asyncio.sleep(0.01)
                assert await asyncio.wait_for(asyncio.to_thread(str, "free"), PATIENCE / 2) == "free"
            return {answer.status_code for answer in await asyncio.gather(*calls)}

    assert asyncio.run(asyncio.wait_for(call_with_others(), 3 * PATIENCE)) == {401}
    assert reader.reads == 2


def test_no_task_waits_for_a_read_while_the_cached_token_is_alive(reader_world: World, reader: TokenReader) -> None:
    """One task reads. The others, in the same turn of the event loop or later, get the cached token at once."""
    token = reader.token()
    reader_world.clock.advance(301)

    async def read_together() -> None:
        with hanging(reader_world) as has_begun:
            tasks = [asyncio.create_task(reader.token_async()) for _ in range(CROWD)]
            done, [reading] = await asyncio.wait(tasks, timeout=PATIENCE / 2)
            assert {task.result() for task in done} == {token}
            assert await asyncio.to_thread(has_begun.wait, PATIENCE)
            assert await asyncio.wait_for(reader.token_async(), PATIENCE / 2) == token
            assert await asyncio.wait_for(reader.token_async(min_remaining=HOUR), PATIENCE / 2) == token
            assert await asyncio.wait_for(reader.replace_async("an old token"), PATIENCE / 2) == token
            assert not reading.done()
        assert await reading == token

    asyncio.run(read_together())
    assert reader.reads == 2


def test_no_task_waits_for_a_read_of_another_thread(reader_world: World, reader: TokenReader) -> None:
    """A task that needs this read waits in the reader's thread, and those with a good token pass it by."""
    token = reader.token()
    reader_world.clock.advance(301)

    async def read_beside(has_begun: threading.Event) -> None:
        assert has_begun.wait(PATIENCE)
        needs_it = asyncio.create_task(reader.token_async(min_remaining=48 * HOUR))
        await asyncio.sleep(0)
        assert await asyncio.wait_for(reader.token_async(), PATIENCE / 2) == token
        gives_up = asyncio.create_task(reader.token_async(min_remaining=48 * HOUR))
        await asyncio.sleep(0)
        gives_up.cancel()
        await asyncio.sleep(0)
        assert await asyncio.wait_for(reader.token_async(), PATIENCE / 2) == token
        assert not needs_it.done()
        needs_it.cancel()

    with ThreadPoolExecutor(1) as pool, hanging(reader_world) as has_begun:
        pool.submit(reader.token)
        asyncio.run(read_beside(has_begun))


def test_no_task_waits_for_a_read_that_is_about_to_begin(reader_world: World) -> None:
    """The reader's thread has its first job, but has not looked at the cache yet. The next task passes it by."""
    may_look = threading.Event()
    clock = reader_world.clock

    def now() -> float:
        if threading.current_thread() is not threading.main_thread():
            assert may_look.wait(PATIENCE)
        return clock.now()

    reader = TokenReader(TOKEN_SECRET, now=now)
    token = reader.token()
    clock.advance(301)

    async def read_together() -> None:
        reading = asyncio.create_task(reader.token_async())
        await asyncio.sleep(0)
        assert await asyncio.wait_for(reader.token_async(), PATIENCE / 2) == token
        assert not reading.done()
        may_look.set()
        assert await reading == token

    asyncio.run(read_together())
    assert reader.reads == 2
    assert reader_world.token()["access_token"] == token


def run(script: str, world: World) -> str:
    """Run a process with the package, and return what it printed."""
    command = [sys.executable, "-c", script, TOKEN_SECRET]
    env = world.environment() | {"PYTHONPATH": str(ROOT / "consumers" / "python")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=6 * PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fork_during_the_first_read_leaves_the_child_able_to_read(live_world: World) -> None:
    """The child would wait for ever for a module that the other thread of its parent was importing."""
    live_world.invoke()
    assert run(FORKS_EARLY, live_world) == "0\n"


def test_a_fork_leaves_the_child_able_to_read_with_asyncio(live_world: World) -> None:
    """The thread that waits for the parent's tasks is not in the child, which needs its own."""
    live_world.invoke()
    assert run(FORKS_LATE, live_world) == "None 2\n0\n"
