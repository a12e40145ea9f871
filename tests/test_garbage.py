"""What a request leaves behind goes at once, by its count of references: nothing of it waits for the collector.

A closed connection has buffers, over TLS a quarter of a megabyte of them, and an error has what had arrived: in cycles they would pile up.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

from aioreq import AioreqError, Client, DecodeError, IncompleteBody, InvalidHeader, LimitExceeded, ReadTimeout, RemoteProtocolError, Timeout
from aioreq.connection import Connection
from aioreq.testing import Close, Reset, Server, Stall, httpbin

pytestmark = pytest.mark.usefixtures("no_hanging")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture
def left_to_the_collector() -> Iterator[Callable[[], Counter[str]]]:
    """Our own objects, not the test server's, that stand in cycles nobody refers to."""

    def look() -> Counter[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        # asyncio's transports stand in a cycle of their own, with their sockets, closed by then.
        types = [type(item) for item in gc.garbage if not isinstance(item, socket.socket)]
        return Counter(cls.__name__ for cls in types if f"{cls.__module__}.".startswith("aioreq.") and ".testing." not in cls.__module__)

    gc.collect()
    gc.disable()
    yield look
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def answered(client: Client, server: Server) -> None:
    assert (await client.get(server.url + "/get")).status == 200


async def closed_after_the_answer(client: Client, server: Server) -> None:
    assert (await client.get(server.url + "/get", headers={"Connection": "close"})).status == 200


async def refused(client: Client, server: Server) -> None:
    assert (await client.get(server.url + "/status/404")).status == 404


async def cut(client: Client, server: Server) -> None:
    server.script(HEAD, b"hello", Close())
    with pytest.raises(IncompleteBody):
        await client.get(server.url)


async def reset(client: Client, server: Server) -> None:
    server.script(HEAD, b"hello", Reset())
    with pytest.raises(IncompleteBody):
        await client.get(server.url)


async def broken(client: Client, server: Server) -> None:
    server.script(b"HTTP/1.1 200 OK\nContent-Length: 10\n\n", Stall())
    with pytest.raises(RemoteProtocolError):
        await client.get(server.url)


async def timed_out(client: Client, server: Server) -> None:
    server.script(HEAD, b"hello", Stall())
    with pytest.raises(ReadTimeout):
        await client.get(server.url, timeout=Timeout(read=0.05))


async def cancelled(client: Client, server: Server) -> None:
    server.script(HEAD, b"hello", Stall())
    asked = asyncio.ensure_future(client.get(server.url))
    await server.until(lambda: bool(server.requests))
    asked.cancel()
    await asyncio.wait([asked])


async def streamed(client: Client, server: Server) -> None:
    async with client.stream("GET", server.url + "/bytes/200000") as response:
        assert len(b"".join([chunk async for chunk in response.content])) == 200_000


async def left_early(client: Client, server: Server) -> None:
    server.script(HEAD, b"hello", Stall())
    async with client.stream("GET", server.url) as response:
        async for chunk in response.content:
            assert chunk == b"hello"
            break


async def cut_while_streamed(client: Client, server: Server) -> None:
    server.script(HEAD, b"hello", Close())
    with pytest.raises(IncompleteBody):
        async with client.stream("GET", server.url) as response:
            async for _ in response.content:
                pass


async def broken_while_streamed(client: Client, server: Server) -> None:
    server.script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"no size\r\n")
    async with client.stream("GET", server.url) as response:
        with pytest.raises(RemoteProtocolError):
            await response.read()


def raising(done: int, total: int | None) -> None:
    raise ValueError("no progress")


async def refused_by_progress(client: Client, server: Server) -> None:
    with pytest.raises(ValueError, match="no progress"):
        await client.get(server.url + "/bytes/1000", progress=raising)


async def refused_by_progress_of_an_upload(client: Client, server: Server) -> None:
    with pytest.raises(ValueError, match="no progress"):
        await client.put(server.url + "/upload", content=[b"a"], progress=raising)


async def trailers_not_made(client: Client, server: Server) -> None:
    with pytest.raises(InvalidHeader):
        await client.put(server.url + "/upload", content=[b"a"], extensions={"trailers": {"X": lambda: "a\r\nb"}})


async def line_too_long(client: Client, server: Server) -> None:
    server.script(HEAD, b"a\nhello", Stall())
    async with client.stream("GET", server.url) as response:
        lines = response.iter_lines(max_line=3)
        assert await anext(lines) == "a"
        for _ in range(2):
            with pytest.raises(LimitExceeded):
                await anext(lines)


FEED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n"


async def feed_lost(client: Client, server: Server) -> None:
    server.script(FEED, Close())
    server.script(FEED, b"9\r\nda", Reset())
    server.script(FEED, Stall())
    events = client.sse(server.url, max_wait=0.001, timeout=Timeout(read=0.05))
    for _ in range(3):
        assert (await anext(events)).data == "a"
    server.script(b"HTTP/1.1 204 No Content\r\n\r\n", Close())
    assert [event async for event in events] == []


async def feed_left_early(client: Client, server: Server) -> None:
    server.script(FEED, Stall())
    async for event in client.sse(server.url):
        assert event.data == "a"
        break


async def feed_cancelled(client: Client, server: Server) -> None:
    server.script(FEED, Stall())
    events = client.sse(server.url)
    assert (await anext(events)).data == "a"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 0.01)


async def event_too_long(client: Client, server: Server) -> None:
    server.script(FEED, b"9\r\ndata: bcd\r\n", Stall())
    events = client.sse(server.url, max_event=7)
    assert (await anext(events)).data == "a"
    with pytest.raises(LimitExceeded):
        await anext(events)


async def no_feed(client: Client, server: Server) -> None:
    with pytest.raises(DecodeError):
        await anext(client.sse(server.url + "/bytes/200000"))


async def not_connected(client: Client, server: Server) -> None:
    with pytest.raises(AioreqError):
        await client.get("http://127.0.0.1:9/", retry=0)


ENDS = (
    answered,
    closed_after_the_answer,
    refused,
    cut,
    reset,
    broken,
    timed_out,
    cancelled,
    streamed,
    left_early,
    cut_while_streamed,
    broken_while_streamed,
    refused_by_progress,
    refused_by_progress_of_an_upload,
    trailers_not_made,
    line_too_long,
    feed_lost,
    feed_left_early,
    feed_cancelled,
    event_too_long,
    no_feed,
    not_connected,
)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_nothing_waits_for_the_collector(
    server: Server,
    tls_server: Server,
    tls: bool,
    end: Callable[[Client, Server], Awaitable[None]],
    left_to_the_collector: Callable[[], Counter[str]],
) -> None:
    origin = tls_server if tls else server
    async with Client(verify=tls_server.client_context(), retry=0) as client:
        await end(client, origin)
        pool = client.pool()  # held: a client's own parts, one of each, may wait for the collector
    await origin.until(lambda: not origin.connections)
    await asyncio.sleep(0.01)  # until the transports have told
    assert [item for item in gc.get_objects() if isinstance(item, Connection)] == []
    assert pool.open == 0
    left = left_to_the_collector()
    if end in (cut_while_streamed, broken_while_streamed, refused_by_progress):
        # A body tells its error as often as it is asked, so the two hold each other; the connection isn't held by them.
        left = Counter({name: count for name, count in left.items() if name in ("Connection", "ResponseParser")})
    assert left == {}


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_connecting_cancelled_at_any_moment(tls: bool) -> None:
    # On uvloop, which keeps a handshake of its own that is cancelled in its first turn.
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with Server(routes=httpbin, tls=tls) as server, Client(verify=server.client_context() if tls else True, retry=0) as client:
            loop = asyncio.get_running_loop()
            for turns in range(300):
                asked = asyncio.ensure_future(client.get(server.url + "/get", headers={"Connection": "close"}))
                until = loop.time() + turns / 50_000
                while loop.time() < until and not asked.done():  # noqa: ASYNC110
                    await asyncio.sleep(0)
                asked.cancel()
                await asyncio.wait([asked])
            await server.until(lambda: not server.connections)
        del asked  # its cancellation has a traceback
        for _ in range(20):
            await asyncio.sleep(0.05)
            gc.collect()
            alive = [item for item in gc.get_objects() if isinstance(item, Connection)]
            if not alive:
                break
        assert alive == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
