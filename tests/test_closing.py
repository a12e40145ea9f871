"""The end of a client: at once, or when what is under way has ended. Over real sockets."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import threading
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gate import Gate, together, turns

import aioreq
from aioreq.testing import Close, Reply, Request, Script, Server, Stall, httpbin

LONG = 30.0  # nobody waits for so long
SOON = 5.0  # well before that


async def soon(awaitable: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(awaitable, SOON)


# -- gracefully


async def test_what_is_under_way_ends_and_nothing_begins(server: Server, gate: Gate) -> None:
    client = aioreq.Client(limits=aioreq.Limits(connections=2), retry=0)
    running, another, waiting, last = together(*[client.get(f"{server.url}/held") for _ in range(4)])
    await gate.until(inside=2)
    await turns()
    assert client.stats().waiting == 2
    (closing,) = together(client.close(wait=LONG))
    await turns()
    for begin in (lambda: client.get(f"{server.url}/get"), lambda: client.stream("GET", f"{server.url}/get").__aenter__()):
        with pytest.raises(aioreq.ClientClosed) as caught:
            await begin()
        assert caught.value.request is not None
    assert not closing.done()
    gate.opened.set()
    assert [response.text for response in await asyncio.gather(running, another, waiting, last)] == ["held"] * 4
    await soon(closing)
    assert client.stats() == aioreq.Stats()
    assert [request.path for request in server.requests] == ["/held"] * 4
    await server.until(lambda: not server.connections)


async def test_idle_connections_are_closed_at_once(server: Server, gate: Gate) -> None:
    client = aioreq.Client()
    await asyncio.gather(*[client.get(f"{server.url}/get") for _ in range(3)])
    (running,) = together(client.get(f"{server.url}/held"))
    await gate.until(inside=1)
    assert len(server.connections) == 3
    (closing,) = together(client.close(wait=LONG))
    await server.until(lambda: len(server.connections) == 1)
    assert not closing.done()
    gate.opened.set()
    assert (await running).text == "held"
    await soon(closing)


async def test_with_nothing_under_way_it_is_over_at_once(server: Server) -> None:
    for wait in (LONG, None, math.inf):
        client = aioreq.Client()
        await client.get(f"{server.url}/get")
        await soon(client.close(wait=wait))
        await soon(aioreq.Client().close(wait=wait))  # never used
        await soon(client.close(wait=wait))  # twice


async def test_hops_and_retries_and_challenges_belong_to_the_call(server: Server, gate: Gate) -> None:
    """Each needs a connection again, and gets one."""
    gates = asyncio.Event()
    mortal = iter([Script((Close(),)), Script((Close(),)), "alive"])

    @server.route("/slow-redirect")
    async def slow(request: Request) -> Reply:
        await gates.wait()
        return Reply(302, [("Location", "/redirect/2")])

    @server.route("/mortal")
    async def dies(request: Request) -> Any:
        await gates.wait()
        return next(mortal)

    @server.route("/missing")
    async def missing(request: Request) -> Reply:
        await gates.wait()
        return Reply(404, [], b"no" * 100_000)

    client = aioreq.Client(retry=aioreq.Retry(attempts=2, backoff=0.05))
    redirected, retried, missed = together(*[client.get(server.url + path) for path in ("/slow-redirect", "/mortal", "/missing")])
    await server.until(lambda: len(server.requests) == 3)
    (closing,) = together(client.close(wait=LONG))
    await turns()
    gates.set()
    response = await redirected
    assert (response.status, len(response.redirects)) == (200, 3)
    with pytest.raises(aioreq.ClientClosed):
        await client.get(f"{server.url}/get")  # what a hop may, a new call may not
    assert (await retried).text == "alive"
    assert (await missed).content == b"no" * 100_000
    await soon(closing)
    assert client.stats() == aioreq.Stats()


async def test_a_stream_may_be_read_to_its_end(server: Server) -> None:
    go_on = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"last"

    server.route("/pieces", lambda request: Reply(body=pieces()))
    client = aioreq.Client()
    async with client.stream("GET", f"{server.url}/pieces") as response:
        (closing,) = together(client.close(wait=LONG))
        content = response.content
        assert await anext(content) == b"first"
        await turns()
        assert not closing.done()
        go_on.set()
        assert [piece async for piece in content] == [b"last"]
        await soon(closing)


async def test_a_stream_that_is_closed_is_waited_for_no_longer(server: Server) -> None:
    server.route("/long", Reply(200, body=b"x" * 10_000_000))
    client = aioreq.Client()
    async with client.stream("GET", f"{server.url}/long"):
        (closing,) = together(client.close(wait=LONG))
        await turns()
        assert not closing.done()
    await soon(closing)


async def test_an_upload_may_be_sent_to_its_end(server: Server) -> None:
    go_on = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"last"

    client = aioreq.Client()
    (sending,) = together(client.post(f"{server.url}/anything", content=pieces()))
    await server.until(lambda: bool(server.connections))
    (closing,) = together(client.close(wait=LONG))
    await turns()
    go_on.set()
    assert (await sending).status == 200
    await soon(closing)
    assert server.requests[0].body == b"firstlast"


async def test_what_lasts_too_long_fails(server: Server, gate: Gate) -> None:
    client = aioreq.Client(limits=aioreq.Limits(connections=2), retry=aioreq.Retry(attempts=5, backoff=0))
    running, waiting = together(client.get(f"{server.url}/held"), client.get(f"{server.url}/held"))
    server.route("/stall", Script((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", Stall())))
    async with client.stream("GET", f"{server.url}/stall") as response:
        assert await anext(response.content) == b"some"
        (another,) = together(client.get(f"{server.url}/held"))
        await gate.until(inside=1)
        began = time.perf_counter()
        await client.close(wait=0.05)
        assert 0.04 <= time.perf_counter() - began < SOON
        with pytest.raises(aioreq.ClientClosed):
            await anext(response.content)
    for request in (running, waiting, another):
        with pytest.raises(aioreq.ClientClosed):
            await soon(request)
    assert client.stats() == aioreq.Stats()
    await server.until(lambda: not server.connections)
    gate.opened.set()


async def test_closing_at_once_ends_a_graceful_close(server: Server, gate: Gate) -> None:
    client = aioreq.Client()
    (running,) = together(client.get(f"{server.url}/held"))
    await gate.until(inside=1)
    graceful, another = together(client.close(wait=None), client.close(wait=LONG))
    await turns()
    assert not graceful.done()
    await client.close()
    with pytest.raises(aioreq.ClientClosed):
        await soon(running)
    await soon(graceful)
    await soon(another)
    gate.opened.set()


async def test_a_graceful_close_that_is_cancelled_closes_at_once(server: Server, gate: Gate) -> None:
    client = aioreq.Client()
    (running,) = together(client.get(f"{server.url}/held"))
    await gate.until(inside=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await client.close(wait=None)
    with pytest.raises(aioreq.ClientClosed):
        await soon(running)
    await server.until(lambda: not server.connections)
    gate.opened.set()


async def test_a_call_that_never_comes_to_the_pool_is_waited_for_too(server: Server) -> None:
    asleep = asyncio.Event()

    class Sleeps(aioreq.middlewares.MiddleWare):
        async def process(self, request: aioreq.Request, client: aioreq.Client) -> Any:
            await asleep.wait()
            return await self.next_middleware.process(request, client)

    client = aioreq.Client(middlewares=(Sleeps,))
    for closes in (False, True):
        (asked,) = together(client.get(f"{server.url}/get"))
        await turns()
        (closing,) = together(client.close(wait=None))
        await turns()
        assert not closing.done()
        if closes:
            await client.close()
            await soon(closing)  # whatever becomes of the call
        asleep.set()
        if closes:
            with pytest.raises(aioreq.ClientClosed):
                await asked
        else:
            assert (await asked).status == 200
            await soon(closing)
        asleep.clear()
        client = aioreq.Client(middlewares=(Sleeps,))


@pytest.mark.parametrize(
    ("wait", "error", "text"),
    [
        (-1, ValueError, r"Client\.close\(wait=-1\): seconds can't be negative or NaN"),
        (math.nan, ValueError, "NaN"),
        (True, TypeError, "takes seconds or None, not bool"),
        ("1", TypeError, "takes seconds or None, not str"),
    ],
)
async def test_what_isnt_a_time_closes_nothing(server: Server, client: aioreq.Client, wait: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        await client.close(wait=wait)
    assert (await client.get(f"{server.url}/get")).status == 200


async def test_a_call_that_fails_or_is_cancelled_is_counted_out(server: Server, gate: Gate) -> None:
    client = aioreq.Client(retry=0)
    with pytest.raises(aioreq.ConnectError):
        await client.get("http://127.0.0.1:1/")
    with pytest.raises(aioreq.InvalidURL):
        await client.get("http://")
    refused, cancelled = together(client.get(f"{server.url}/held"), client.get(f"{server.url}/held"))
    await gate.until(inside=2)
    (closing,) = together(client.close(wait=LONG))
    await turns()
    cancelled.cancel()
    await turns()
    assert not closing.done()
    refused.cancel()
    await soon(closing)
    gate.opened.set()


# -- at once


@pytest.mark.parametrize("graceful", [False, True], ids=["at once", "too late"])
async def test_a_call_asleep_before_its_next_attempt_fails_promptly(server: Server, graceful: bool) -> None:
    server.route("/mortal", Script((Close(),)))
    client = aioreq.Client(retry=aioreq.Retry(attempts=5, backoff=1000, max_wait=1000))
    asked = together(*[client.get(f"{server.url}/mortal") for _ in range(3)])
    await server.until(lambda: len(server.requests) == 3 and not server.connections)
    await turns(20)
    await client.close(wait=0.02 if graceful else 0)
    for one in asked:
        with pytest.raises(aioreq.ClientClosed, match="during the pause before another attempt") as caught:
            await soon(one)
        assert caught.value.request is not None
    loop: Any = asyncio.get_running_loop()
    if hasattr(loop, "_scheduled"):
        assert not [timer for timer in loop._scheduled if not timer.cancelled() and timer.when() > loop.time() + 100], "a timer is left"


async def test_a_pause_can_be_cancelled(server: Server) -> None:
    server.route("/mortal", Script((Close(),)))
    async with aioreq.Client(retry=aioreq.Retry(attempts=5, backoff=1000, max_wait=1000)) as client:
        (asked,) = together(client.get(f"{server.url}/mortal"))
        await server.until(lambda: len(server.requests) == 1 and not server.connections)
        await turns(20)
        pool = client.pool()
        assert len(pool._asleep) == 1
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert not pool._asleep


# -- other threads' loops


def test_each_loop_ends_what_is_under_way_on_it() -> None:
    threads = 3
    ready = threading.Barrier(threads + 1, timeout=30)
    answers: list[str] = []
    refused: list[BaseException] = []
    complaints: list[Any] = []
    with Server(routes=httpbin) as server:
        client = aioreq.Client(retry=0)

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
            await asyncio.gather(client.get(f"{server.url}/get"), client.get(f"{server.url}/get"))
            (slow,) = together(client.get(f"{server.url}/delay/0.3"))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(ready.wait)
            answers.append(str((await slow).status))
            try:
                await client.get(f"{server.url}/get")
            except aioreq.ClientClosed as error:
                refused.append(error)

        running = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(threads)]
        for thread in running:
            thread.start()
        ready.wait()
        began = time.perf_counter()
        asyncio.run(client.close(wait=LONG))
        assert time.perf_counter() - began < LONG / 2
        for thread in running:
            thread.join(30)
        assert answers == ["200"] * threads
        assert len(refused) == threads
        assert client.stats() == aioreq.Stats()
        assert client.connector._pools == {}
        assert complaints == []
        server.wait(lambda: not server.connections)


def test_a_loop_that_ends_meanwhile_is_not_waited_for() -> None:
    """Its runner cancels what it finds, and with the last of it the loop is gone."""
    ready = threading.Barrier(2, timeout=30)
    with Server(routes=httpbin) as server:
        client = aioreq.Client(retry=0)

        async def main() -> None:
            together(client.get(f"{server.url}/delay/30"))
            await server.until(lambda: len(server.requests) == 1)
            await asyncio.to_thread(ready.wait)
            await asyncio.sleep(0.05)

        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        ready.wait()
        asyncio.run(asyncio.wait_for(client.close(wait=None), LONG))
        thread.join(30)
        server.wait(lambda: not server.connections)


def test_a_loop_that_stops_meanwhile_is_not_waited_for() -> None:
    """Without a runner: nobody cancels what is under way on it."""
    loop = asyncio.new_event_loop()
    ready = threading.Barrier(2, timeout=30)
    with Server(routes=httpbin) as server, ThreadPoolExecutor(1) as executor:
        client = aioreq.Client(retry=0)

        async def main() -> asyncio.Task[Any]:
            (task,) = together(client.get(f"{server.url}/delay/30"))
            await server.until(lambda: len(server.requests) == 1)
            ready.wait()
            await asyncio.sleep(0.1)  # long enough for the other thread to have begun to wait
            return task

        living = executor.submit(loop.run_until_complete, main())
        ready.wait()
        asyncio.run(asyncio.wait_for(client.close(wait=None), SOON))
        assert not loop.is_running()
        with pytest.raises(aioreq.ClientClosed):
            loop.run_until_complete(living.result())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        gc.collect()
        server.wait(lambda: not server.connections)


def test_a_loop_that_stands_still_is_not_waited_for() -> None:
    with Server(routes=httpbin) as server:
        client = aioreq.Client(retry=0)
        loop = asyncio.new_event_loop()

        async def leave() -> asyncio.Task[Any]:
            (task,) = together(client.get(f"{server.url}/delay/30"))
            await server.until(lambda: len(server.requests) == 1)
            return task

        task = loop.run_until_complete(leave())
        asyncio.run(asyncio.wait_for(client.close(wait=None), SOON))
        with pytest.raises(aioreq.ClientClosed):
            loop.run_until_complete(task)  # it was told, and hears of it when it goes on
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        gc.collect()
        server.wait(lambda: not server.connections)


async def test_a_closed_client_leaves_nothing_to_its_loop(server: Server) -> None:
    """The loop may live for years: nothing of the client is left to be collected, and no task is made for it."""
    loop: Any = asyncio.get_running_loop()
    made: list[Any] = []

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(make_task)
    try:
        for wait in (0, 1):
            client = aioreq.Client()
            await client.get(f"{server.url}/get")
            pool = client.pool()
            made.clear()
            await client.close(wait=wait)
            assert pool.loop_end is None
            assert client.connector._pools == {}
            del client, pool
            gc.collect()
            await turns()
            assert made == []
    finally:
        loop.set_task_factory(None)


async def test_clients_that_nobody_closed_leave_nothing_to_a_loop_that_lives_on(server: Server, no_hanging: None) -> None:
    pools: list[weakref.ref[Any]] = []
    for _ in range(20):
        client = aioreq.Client(limits=aioreq.Limits(idle_timeout=0.05))
        await asyncio.gather(client.get(f"{server.url}/get"), client.get(f"{server.url}/get"))
        pools.append(weakref.ref(client.pool()))
        del client
    await server.until(lambda: not server.connections)
    for _ in range(3):  # what the collector finds, the loop ends
        gc.collect()
        await turns()
    assert [pool for pool in pools if pool() is not None] == []


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_loops_come_and_go_in_several_threads() -> None:
    threads, loops = 6, 15
    with Server(routes=httpbin, record=False) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        client = aioreq.Client(retry=0)

        async def main() -> int:
            responses = await asyncio.gather(*[client.get(f"{server.url}/get") for _ in range(3)])
            return sum(response.status == 200 for response in responses)

        def live() -> int:
            return sum(asyncio.run(main()) for _ in range(loops))

        with ThreadPoolExecutor(threads) as executor:
            answered = [executor.submit(live) for _ in range(threads)]
            assert [one.result(60) for one in answered] == [3 * loops] * threads
        assert client.connector._pools == {}
        gc.collect()
        server.wait(lambda: not server.connections)


def test_a_loop_that_was_closed_without_a_runner() -> None:
    """Nothing tells us of it: asyncio warns, rightly, of what it left open. The next use lets go of it."""
    with Server(routes=httpbin) as server:
        client = aioreq.Client(retry=0)

        async def main() -> int:
            return (await client.get(f"{server.url}/get")).status

        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(main()) == 200
        loop.close()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert asyncio.run(main()) == 200
            gc.collect()
        assert any("unclosed transport" in str(warning.message) for warning in warned)
        server.wait(lambda: not server.connections)
        assert client.connector._pools == {}
