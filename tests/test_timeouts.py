"""Who keeps whom waiting: each phase stalls, and the error says which one, whom and how long. Timers cost nothing while nothing stalls."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from faults import drip

import aioreq
from aioreq import Timeout
from aioreq.testing import Pause, ReadBytes, ReadRequest, Reply, Request, Server, Stall, StopReading, httpbin

SHORT = 0.06
LONG = 5
# Too long to be drained: whoever leaves such a stream closes its connection.
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])


pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture(params=["plain", "tls"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, aioreq.Client]]:
    """The embedded server, plain and over TLS, and a client that trusts it, tries once, one connection at a time."""
    async with Server(routes=httpbin, tls=request.param == "tls") as server:
        limits = aioreq.Limits(connections=1)
        async with aioreq.Client(retry=0, verify=server.ca or True, limits=limits) as client:
            yield server, client


@pytest.fixture
async def plain(server: Server) -> AsyncIterator[tuple[Server, aioreq.Client]]:
    """The same without TLS, where that makes no difference."""
    async with aioreq.Client(retry=0, limits=aioreq.Limits(connections=1)) as client:
        yield server, client


async def fetch(client: aioreq.Client, url: str, stream: bool, **options: Any) -> bytes:
    if not stream:
        return (await client.get(url, **options)).content
    async with client.stream("GET", url, **options) as response:
        return b"".join([piece async for piece in response.content])


def says(error: BaseException, *parts: str) -> bool:
    return all(part in str(error) for part in parts)


# Connect


@pytest.fixture
def hole() -> Iterator[str]:
    """The URL of a listener whose queue is full."""
    with full_backlog() as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a listener whose queue is full: what connects from now on gets no answer."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.05)
            try:
                filler.connect(("127.0.0.1", port))
            except TimeoutError:
                yield port
                return
        pytest.skip("this system's queue of pending connections doesn't fill")


async def test_tcp_gets_no_answer() -> None:
    with full_backlog() as port:
        async with aioreq.Client(retry=0, timeout=Timeout(connect=SHORT)) as client:
            with pytest.raises(aioreq.ConnectTimeout) as caught:
                await client.get(f"http://127.0.0.1:{port}/")
    assert says(caught.value, "during the TCP handshake with 127.0.0.1", f"127.0.0.1:{port}", f"{SHORT} s")
    assert isinstance(caught.value, aioreq.ConnectError)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.request is not None


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x03\x00\x7a\x02\x00"], ids=["nothing", "half a record"])
async def test_the_tls_handshake_gets_no_answer(said: bytes) -> None:
    async with Server(tls=True) as server, aioreq.Client(retry=0, verify=server.ca or True) as client:
        server.script(ReadBytes(1), said, Stall(), below_tls=True)
        with pytest.raises(aioreq.ConnectTimeout) as caught:
            await client.get(server.url, timeout=Timeout(connect=SHORT))
        assert says(caught.value, "during the TLS handshake with 127.0.0.1", f"127.0.0.1:{server.port}", f"{SHORT} s")
        await server.until(lambda: not server.connections)


async def test_a_connection_that_was_not_made_in_time_leaves_its_slot() -> None:
    async with Server(tls=True) as server:
        limits = aioreq.Limits(connections=1)
        async with aioreq.Client(retry=0, verify=server.ca or True, limits=limits, timeout=Timeout(connect=SHORT, pool=LONG)) as client:
            server.route("/", Reply(200, [], "ok"))
            server.script(ReadBytes(1), Stall(), below_tls=True)
            with pytest.raises(aioreq.ConnectTimeout):
                await client.get(server.url)
            assert (await client.get(server.url)).text == "ok"


async def test_connections_being_made_keep_their_own_limits() -> None:
    """One timer stands for all of them: a later limit must not wait for it, nor an earlier one go by with it."""
    limits: list[float | None] = [60, 0.3, None, 0.1, 0.5]

    async def ask(client: aioreq.Client, url: str, limit: float | None) -> float:
        began = time.monotonic()
        with pytest.raises(aioreq.ConnectTimeout) as caught:
            await client.get(url, timeout=Timeout(connect=limit))
        assert says(caught.value, f"within {limit} s")
        return time.monotonic() - began

    with full_backlog() as port:
        async with aioreq.Client(retry=0) as client:
            url = f"http://127.0.0.1:{port}/"
            asked = [asyncio.create_task(ask(client, url, limit)) for limit in limits]
            waiting, ended = [asked[0], asked[2]], [asked[1], asked[3], asked[4]]
            took = await asyncio.wait_for(asyncio.gather(*ended), 30)
            assert all(seconds > limit - 0.01 for seconds, limit in zip(took, (0.3, 0.1, 0.5), strict=True))
            assert not any(each.done() for each in waiting)
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)


async def test_the_total_limit_holds_for_connecting_too() -> None:
    with full_backlog() as port:
        async with aioreq.Client(retry=0) as client:
            with pytest.raises(aioreq.TotalTimeout) as caught:
                await client.get(f"http://127.0.0.1:{port}/", timeout=Timeout(total=SHORT))
            assert says(caught.value, f"total limit of {SHORT} s", "during the TCP handshake", f"127.0.0.1:{port}")
            assert not isinstance(caught.value, aioreq.ConnectTimeout)
            with pytest.raises(aioreq.RequestTimeout):
                await client.get(f"http://127.0.0.1:{port}/", timeout=SHORT)


# Read


STALLS = {
    "before-head": (b"", "before any byte of the response"),
    "in-status-line": (b"HTTP/1.", "during the response's head"),
    "in-head": (b"HTTP/1.1 200 OK\r\nContent-", "during the response's head"),
    "behind-interim": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "after a 103, before the final response"),
    "behind-head": (HEAD, "during the response's body"),
    "in-body": (HEAD + b"12345", "during the response's body"),
    "in-chunked-body": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "during the response's body"),
    "in-error-body": (b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\noo", "during the response's body"),
}


@both_ways
@pytest.mark.parametrize("name", STALLS)
async def test_the_response_stalls(served: tuple[Server, aioreq.Client], name: str, stream: bool) -> None:
    server, client = served
    wire, phase = STALLS[name]
    server.script(wire, Stall(), path="/")
    with pytest.raises(aioreq.ReadTimeout) as caught:
        await fetch(client, server.url, stream, timeout=Timeout(read=SHORT))
    assert says(caught.value, phase, f"127.0.0.1:{server.port}", f"sent nothing for {SHORT} s")
    assert caught.value.request is not None
    # The connection is gone, and its slot free.
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_each_byte_starts_the_read_limit_anew(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    server.script(*drip(OK, 10, SHORT), path="/")
    assert (await client.get(server.url, timeout=Timeout(read=3 * SHORT))).content == b"ok"


async def test_read_does_not_count_during_the_upload(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x"
            await asyncio.sleep(SHORT)

    response = await client.post(server.url + "/upload", content=slow(), timeout=Timeout(read=2 * SHORT))
    assert response.json()["length"] == 4


async def test_read_counts_from_the_end_of_the_upload(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain

    async def some() -> AsyncIterator[bytes]:
        yield b"x"

    server.script(ReadRequest(), Stall(), path="/", on="head")
    with pytest.raises(aioreq.ReadTimeout, match="before any byte of the response"):
        await client.post(server.url, content=some(), timeout=Timeout(read=SHORT))


@pytest.mark.parametrize("size", [3, 4 << 20], ids=["small", "with back-pressure"])
async def test_read_does_not_count_while_the_user_pauses(served: tuple[Server, aioreq.Client], size: int) -> None:
    server, client = served
    whole = b"abc" * (size // 3)
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole), whole, path="/")
    async with client.stream("GET", server.url, timeout=Timeout(read=SHORT)) as response:
        pieces = response.content
        await asyncio.sleep(2 * SHORT)
        got = await anext(pieces)
        await asyncio.sleep(2 * SHORT)
        got += b"".join([piece async for piece in pieces])
    assert got == whole


async def test_read_counts_again_when_the_user_goes_on(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    server.script(HEAD + b"12345", Stall(), path="/")
    async with client.stream("GET", server.url, timeout=Timeout(read=SHORT)) as response:
        assert await anext(response.content) == b"12345"
        await asyncio.sleep(3 * SHORT)
        for _ in range(2):  # it stays failed
            with pytest.raises(aioreq.ReadTimeout):
                await anext(response.content)


async def test_the_read_limit_of_one_request_is_not_the_next_ones(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    assert (await client.get(server.url + "/id/1", timeout=Timeout(read=SHORT))).text == "1"
    assert (await client.get(f"{server.url}/delay/{3 * SHORT}", timeout=Timeout(read=LONG))).ok
    with pytest.raises(aioreq.ReadTimeout):
        await client.get(f"{server.url}/delay/{LONG}", timeout=Timeout(read=SHORT))
    assert server.accepted == 1


async def test_a_reader_that_ends_leaves_the_next_requests_limit_alone(server: Server) -> None:
    """The last chunk of a stream, and the next request on its connection, meet in one turn of the loop."""
    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", Pause(0.02), b"llo", path="/first")
    server.script(Stall(), path="/second")
    async with aioreq.Client(retry=0) as client:

        async def next_in_line() -> None:
            while not client.pool().slots.idle:  # noqa: ASYNC110 -- steps in before the reader of the first body is woken
                await asyncio.sleep(0)
            await client.get(server.url + "/second", timeout=Timeout(read=SHORT))

        async with client.stream("GET", server.url + "/first") as response:
            following = asyncio.create_task(next_in_line())
            assert await response.read() == b"hello"
            with pytest.raises(aioreq.ReadTimeout):
                await following
    assert server.accepted == 1


# Write


@pytest.mark.parametrize("kind", ["bytes", "one chunk", "chunks"])
async def test_a_peer_that_takes_nothing(served: tuple[Server, aioreq.Client], kind: str) -> None:
    server, client = served
    body = bytes(16 << 20)
    content: Any = {"bytes": body, "one chunk": [body], "chunks": [body[:65536]] * 256}[kind]
    server.script(StopReading(), Stall(), path="/", on="head")
    with pytest.raises(aioreq.WriteTimeout) as caught:
        await client.post(server.url, content=content, timeout=Timeout(write=SHORT, read=LONG))
    assert says(caught.value, "during the upload", f"127.0.0.1:{server.port}", f"took nothing for {SHORT} s")
    assert caught.value.request is not None


@pytest.mark.parametrize("kind", ["bytes", "one chunk"])
async def test_a_peer_that_takes_some_now_and_then(server: Server, kind: str) -> None:
    """It is the silence that is limited, not how long a chunk of the user's takes."""
    body = bytes(16 << 20)
    content: Any = {"bytes": body, "one chunk": [body]}[kind]

    async def now_and_then(connection: Any) -> None:
        request = connection.requests[0]
        while not request.complete:
            connection.transport.pause_reading()
            await asyncio.sleep(SHORT)
            connection.transport.resume_reading()
            await connection.read_body(request.received + (3 << 20))
        await connection.write(OK)

    server.script(now_and_then, path="/", on="head")
    async with aioreq.Client(retry=0) as client:
        assert (await client.post(server.url, content=content, timeout=Timeout(write=3 * SHORT))).content == b"ok"


async def test_a_peer_that_takes_little_at_a_time(server: Server) -> None:
    """Less within the limit than one piece of ours, but never nothing."""

    async def little(connection: Any) -> None:
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        await connection.read_request()
        await connection.write(OK)
        request = await connection.read_head()
        while not request.complete:
            connection.transport.pause_reading()
            await asyncio.sleep(SHORT / 2)
            connection.transport.resume_reading()
            await connection.read_body(request.received + 1)
        await connection.write(OK)

    server.script(little, on="accept")
    async with aioreq.Client(retry=0) as client:
        await client.get(server.url)
        # No system buffer that hides what the peer does.
        [connection] = client.pool().slots.idle
        assert connection.transport is not None
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        response = await client.post(server.url, content=bytes(120_000), timeout=Timeout(write=3 * SHORT))
    assert response.content == b"ok"
    assert len(server.requests[-1].body) == 120_000


async def test_write_does_not_count_while_the_user_makes_the_next_chunk(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(3 * SHORT)
        yield b"y"

    response = await client.post(server.url + "/upload", content=slow(), timeout=Timeout(write=SHORT))
    assert response.json()["length"] == 2


# Pool


async def test_no_slot_becomes_free(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(HEAD, Stall(), path="/")
    async with client.stream("GET", server.url):
        with pytest.raises(aioreq.PoolTimeout) as caught:
            await client.get(server.url + "/id/2", timeout=Timeout(pool=SHORT))
        assert says(caught.value, "no connection slot", f"127.0.0.1:{server.port}", f"{SHORT}", "1 of 1")
        assert caught.value.request is not None
        with pytest.raises(aioreq.PoolTimeout):
            await client.get(server.url + "/id/2", timeout=SHORT)
    assert (await client.get(server.url + "/id/3", timeout=Timeout(pool=LONG))).text == "3"


async def test_the_way_to_a_connection_has_one_limit(plain: tuple[Server, aioreq.Client], hole: str) -> None:
    """`acquire`: the wait for a slot and the opening together, on each attempt."""
    server, client = plain
    server.script(HEAD, Stall(), path="/")
    async with client.stream("GET", server.url):
        with pytest.raises(aioreq.PoolTimeout) as queued:
            await client.get(server.url + "/id/2", timeout=Timeout(acquire=SHORT))
        assert says(queued.value, "no connection slot", f"127.0.0.1:{server.port}", "1 of 1")
    with pytest.raises(aioreq.ConnectTimeout) as opened:
        await client.get(hole, timeout=Timeout(acquire=SHORT))
    assert says(opened.value, f"within {SHORT:g} s (Timeout.acquire)", "during the TCP handshake")
    with pytest.raises(aioreq.ConnectTimeout, match=r"within 0\.03 s: during"):
        await client.get(hole, timeout=Timeout(acquire=LONG, connect=0.03))
    assert (await client.get(server.url + "/id/3", timeout=Timeout(acquire=LONG))).text == "3"


async def test_what_the_queue_took_is_missing_for_the_opening(plain: tuple[Server, aioreq.Client], hole: str) -> None:
    server, client = plain
    server.script(HEAD, Stall(), path="/")
    async with client.stream("GET", server.url) as response:
        began = time.perf_counter()
        task = asyncio.create_task(client.get(hole, timeout=Timeout(acquire=5 * SHORT, connect=LONG)))
        await asyncio.sleep(4 * SHORT)
        await response.close()
        with pytest.raises(aioreq.ConnectTimeout):
            await task
    assert 4.5 * SHORT < time.perf_counter() - began < 9 * SHORT


async def test_a_deadline_that_runs_since_the_call(plain: tuple[Server, aioreq.Client]) -> None:
    """Whoever starts the clock before the first slot is granted has the queue counted, too."""
    server, client = plain
    server.script(HEAD, Stall(), path="/")
    async with client.stream("GET", server.url):
        request = client.settings.settle(aioreq.Request("GET", server.url + "/id/2", timeout=Timeout(total=SHORT)))
        assert request.deadline is not None
        request.deadline.start(asyncio.get_running_loop().time())
        with pytest.raises(aioreq.TotalTimeout, match="no connection slot"):
            await client.start_stream(request)


async def test_the_total_limit_starts_with_the_slot(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    held = asyncio.Event()

    async def hold() -> None:
        async with client.stream("GET", server.url + "/bytes/10"):
            held.set()
            await asyncio.sleep(6 * SHORT)

    holder = asyncio.create_task(hold())
    await held.wait()
    assert (await client.get(server.url + "/id/2", timeout=Timeout(total=5 * SHORT))).text == "2"
    await holder


# Total


@both_ways
async def test_a_response_that_drips_too_slowly(served: tuple[Server, aioreq.Client], stream: bool) -> None:
    server, client = served
    server.script(HEAD, *drip(bytes(100), 1, SHORT / 2), Stall(), path="/")
    with pytest.raises(aioreq.TotalTimeout) as caught:
        await fetch(client, server.url, stream, timeout=Timeout(total=3 * SHORT, read=LONG))
    assert says(caught.value, f"total limit of {3 * SHORT:g} s", "during the response's body", f"127.0.0.1:{server.port}")
    assert caught.value.request is not None


@pytest.mark.parametrize("what", ["head", "upload"])
async def test_the_total_limit_in_other_phases(plain: tuple[Server, aioreq.Client], what: str) -> None:
    server, client = plain

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    server.script(Stall(), path="/", on="head")
    content = endless() if what == "upload" else None
    with pytest.raises(aioreq.TotalTimeout) as caught:
        await client.post(server.url, content=content, timeout=Timeout(total=SHORT))
    phase = "during the upload" if what == "upload" else "before any byte of the response"
    assert says(caught.value, f"total limit of {SHORT} s", phase, f"127.0.0.1:{server.port}")


async def test_the_total_limit_runs_across_redirects(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain

    @server.route("/hop/{n}")
    async def hop(request: Request) -> Reply:
        await asyncio.sleep(SHORT)
        return Reply(302, [("Location", f"/hop/{int(request.params['n']) + 1}")])

    with pytest.raises(aioreq.TotalTimeout, match=f"total limit of {3.5 * SHORT:g} s"):
        await client.get(server.url + "/hop/0", timeout=Timeout(total=3.5 * SHORT))
    assert 1 < len(server.requests) < 5


async def test_the_total_limit_runs_across_retries(server: Server) -> None:
    async def drop(connection: Any) -> None:
        await asyncio.sleep(SHORT)
        connection.abort()

    server.script(drop, path="/", times=10)
    retry = aioreq.Retry(attempts=9, backoff=0)
    async with aioreq.Client(retry=retry) as client:
        with pytest.raises(aioreq.TotalTimeout):
            await client.get(server.url, timeout=Timeout(total=3.5 * SHORT))
    assert 1 < len(server.requests) < 5


async def test_the_total_limit_runs_while_the_user_holds_a_stream_back(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    server.script(HEAD + b"12345", Stall(), path="/")
    async with client.stream("GET", server.url, timeout=Timeout(total=2 * SHORT)) as response:
        await asyncio.sleep(3 * SHORT)
        # What had arrived isn't lost.
        pieces = response.content
        assert await anext(pieces) == b"12345"
        with pytest.raises(aioreq.TotalTimeout, match="during the response's body"):
            await anext(pieces)


async def test_the_total_limit_ends_with_the_last_byte(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    async with client.stream("GET", server.url + "/id/whole", timeout=Timeout(total=4 * SHORT)) as response:
        await asyncio.sleep(5 * SHORT)
        assert await response.text() == "whole"
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


async def test_no_limit_at_all(plain: tuple[Server, aioreq.Client]) -> None:
    server, client = plain
    assert (await client.get(f"{server.url}/delay/{SHORT}", timeout=None)).ok


# What timers cost


def armed(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """Timers of ours that will fire."""
    handles: list[Any] = loop._scheduled  # type: ignore[attr-defined]
    ours = ("aioreq.connection", "aioreq.pool", "aioreq.slots")
    return [timer for timer in handles if not timer.cancelled() and type(getattr(timer._callback, "__self__", None)).__module__ in ours]


async def count_timers(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> int:
    loop = asyncio.get_running_loop()
    calls: list[Any] = []
    original = loop.call_at

    def spy(when: float, callback: Callable[..., Any], *args: Any, **options: Any) -> asyncio.TimerHandle:
        calls.append(callback)
        return original(when, callback, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_at", spy)
        await work()
    return len(calls)


@pytest.mark.parametrize("timeout", [Timeout(), Timeout(total=LONG), Timeout(total=LONG, read=LONG), None], ids=str)
async def test_the_warm_path_arms_no_timer(served: tuple[Server, aioreq.Client], monkeypatch: pytest.MonkeyPatch, timeout: Any) -> None:
    server, client = served
    await client.get(server.url + "/id/warm", timeout=timeout)

    async def work() -> None:
        for number in range(100):
            response = await client.get(f"{server.url}/id/{number}", timeout=timeout)
            assert response.text == str(number)

    assert await count_timers(monkeypatch, work) <= 2
    assert server.accepted == 1


async def test_streams_arm_no_timers_either(server: Server, client: aioreq.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.get(server.url + "/id/warm")

    async def work() -> None:
        for _ in range(50):
            async with client.stream("GET", server.url + "/stream/3") as response:
                assert await response.read()

    assert await count_timers(monkeypatch, work) <= 2


async def test_no_timer_outlives_the_client(served: tuple[Server, aioreq.Client]) -> None:
    loop = asyncio.get_running_loop()
    if not hasattr(loop, "_scheduled"):
        pytest.skip("this loop doesn't show its timers")
    server, client = served
    server.script(HEAD, Stall(), path="/stalls")
    await client.get(server.url + "/id/1", timeout=Timeout(total=LONG))
    await client.post(server.url + "/upload", content=[b"x"] * 10, timeout=Timeout(total=LONG, write=LONG))
    with pytest.raises(aioreq.ReadTimeout):
        await client.get(server.url + "/stalls", timeout=Timeout(read=SHORT))
    async with client.stream("GET", server.url + "/id/3"):
        assert armed(loop) != []
        await client.close()
    assert armed(loop) == []
