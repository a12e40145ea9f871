"""1xx responses told by `extensions={"informational": callback}` (RFC 9110 section 15.2, RFC 8297)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import aioreq
from aioreq import ResponseHeaders
from aioreq.testing import Close, Pause, ReadBody, ReadRequest, Reply, Server, Stall

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])

pytestmark = pytest.mark.usefixtures("no_hanging")


class Told:
    """A callback that writes down what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[tuple[str, str]]]] = []

    def __call__(self, status: int, headers: ResponseHeaders) -> None:
        assert type(headers) is ResponseHeaders
        self.calls.append((status, list(headers.items())))


async def fetch(client: aioreq.Client, url: str, stream: bool, **options: Any) -> bytes:
    if not stream:
        return (await client.request("POST", url, **options)).content
    async with client.stream("POST", url, **options) as response:
        return await response.read()


@both_ways
@pytest.mark.parametrize("pieces", [1, 3, 1000], ids=["byte by byte", "by three", "whole"])
async def test_each_1xx_is_told_once_in_order(served: tuple[Server, aioreq.Client], pieces: int, stream: bool) -> None:
    server, client = served
    wire = HINTS + PROCESSING + HINTS + OK
    steps: list[Any] = []
    for at in range(0, len(wire), pieces):
        steps += [wire[at : at + pieces], Pause(0)]
    server.script(*steps, path="/")
    told = Told()
    assert await fetch(client, server.url, stream, extensions={"informational": told}) == b"ok"
    hints = (103, [("Link", "</a.css>; rel=preload"), ("link", "</b.js>")])
    assert told.calls == [hints, (102, []), hints]
    # It belonged to that request alone, and the connection goes on.
    server.script(HINTS + OK, path="/")
    assert await fetch(client, server.url, stream) == b"ok"
    assert (len(told.calls), server.accepted) == (3, 1)


async def test_it_is_told_before_the_response_is_there(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    told = asyncio.Event()
    server.script(HINTS, Stall(), path="/")
    task = asyncio.create_task(client.get(server.url, extensions={"informational": lambda status, headers: told.set()}))
    await told.wait()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_100_of_an_upload_is_told_too(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    told = Told()
    server.script(CONTINUE, ReadRequest(), HINTS + OK, path="/", on="head")
    await client.post(server.url, content=b"x", headers={"Expect": "100-continue"}, extensions={"informational": told})
    assert [status for status, _ in told.calls] == [100, 103]


async def test_each_hop_and_each_attempt_is_told(server: Server) -> None:
    told = Told()
    server.script(HINTS + b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", path="/")
    server.script(Close(), path="/there")
    server.script(PROCESSING + OK, path="/there")
    async with aioreq.Client(retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        assert (await client.get(server.url, extensions={"informational": told})).text == "ok"
    assert [status for status, _ in told.calls] == [103, 102]


async def test_neither_the_final_response_nor_a_101_is_informational(server: Server, client: aioreq.Client) -> None:
    told = Told()
    server.route("/", Reply(404))
    await client.get(server.url, extensions={"informational": told})
    server.script(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", path="/up")
    await client.get(server.url + "/up", headers={"Upgrade": "x"}, extensions={"informational": told})
    assert told.calls == []


class OwnError(Exception):
    pass


@both_ways
@pytest.mark.parametrize("behind", [b"", OK, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"], ids=["nothing", "200", "404"])
async def test_what_the_callback_raises_fails_the_request(served: tuple[Server, aioreq.Client], behind: bytes, stream: bool) -> None:
    server, client = served
    error = OwnError("mine")

    def failing(status: int, headers: ResponseHeaders) -> None:
        raise error

    server.script(HINTS + behind, Stall(), path="/")
    with pytest.raises(OwnError) as caught:
        await fetch(client, server.url, stream, extensions={"informational": failing})
    assert caught.value is error
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_an_upload_ends_with_what_the_callback_raises(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
                await asyncio.sleep(0)
        finally:
            closed.set()

    def failing(status: int, headers: ResponseHeaders) -> None:
        raise OwnError

    server.script(ReadBody(5000), HINTS, Stall(), path="/", on="head")
    with pytest.raises(OwnError):
        await client.post(server.url, content=endless(), extensions={"informational": failing})
    await closed.wait()
    await server.until(lambda: not server.connections)


async def test_a_callback_that_raises_stop_iteration(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(HINTS + OK, path="/")
    nothing: Any = iter(())
    with pytest.raises(RuntimeError, match="StopIteration"):
        await client.get(server.url, extensions={"informational": lambda status, headers: next(nothing)})
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_a_callback_that_cancels_its_request(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(HINTS + OK, path="/")
    task: asyncio.Task[Any] = asyncio.create_task(
        client.get(server.url, extensions={"informational": lambda status, headers: task.cancel()})
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.get(server.url + "/id/2")).text == "2"


async def some_coroutine(status: int, headers: ResponseHeaders) -> None:
    pass


class SomeCoroutine:
    __call__ = staticmethod(some_coroutine)

    def __str__(self) -> str:
        return "an object that is called as one"


@pytest.mark.parametrize("callback", [5, "print", [], some_coroutine, SomeCoroutine()], ids=lambda it: getattr(it, "__name__", str(it)))
async def test_the_callback_is_checked_where_the_request_is_made(server: Server, client: aioreq.Client, callback: Any) -> None:
    with pytest.raises(TypeError, match="'informational' takes a plain function"):
        aioreq.Request("GET", server.url, extensions={"informational": callback})
    with pytest.raises(TypeError, match="'informational' takes a plain function"):
        await client.get(server.url, extensions={"informational": callback})
    assert not server.accepted
    server.script(HINTS + OK, path="/")
    assert (await client.get(server.url, extensions={"informational": None})).text == "ok"
