"""`progress=`: how much of a body has gone out; where there is none, how much of the response's has come in."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq.testing import Close, ReadBody, ReadRequest, Reply, Server, Stall, StopReading

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

pytestmark = pytest.mark.usefixtures("no_hanging")


class Seen(list[tuple[int, int | None]]):
    """The calls of a callback."""

    def __call__(self, done: int, total: int | None) -> None:
        self.append((done, total))

    def check(self, size: int, total: int | None) -> None:
        """It grew from call to call, up to the whole size."""
        done = [each for each, _ in self]
        assert done == sorted(set(done))
        assert self[-1] == (size, total)
        assert {each for _, each in self} == {total}


async def asynchronous(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


# Out


@pytest.mark.parametrize("content", [b"", [], [b"a"], bytes(100_000)], ids=["no bytes", "no chunks", "a chunk", "bytes"])
async def test_a_callback_that_raises_stop_iteration(served: tuple[Server, aioreq.Client], content: Any) -> None:
    server, client = served
    none: Any = iter(())
    with pytest.raises(RuntimeError, match="StopIteration"):  # which no future takes
        await client.put(server.url + "/upload", content=content, progress=lambda done, total: next(none))


@pytest.mark.parametrize("size", [1, 60_000, 70_000, 5_000_000])
@pytest.mark.parametrize("kind", ["bytes", "file", "file in memory", "declared", "chunked"])
async def test_a_body_that_goes_out(served: tuple[Server, aioreq.Client], tmp_path: Path, kind: str, size: int) -> None:
    server, client = served
    data, seen = bytes(size), Seen()
    (tmp_path / "file").write_bytes(data)
    headers = {"Content-Length": str(size)} if kind == "declared" else None
    with (tmp_path / "file").open("rb") as file:
        content: Any = {
            "bytes": data,
            "file": file,
            "file in memory": io.BytesIO(data),
            "declared": asynchronous(data[:1], data[1:]),
            "chunked": asynchronous(data[: size // 2], b"", data[size // 2 :]),
        }[kind]
        response = await client.put(server.url + "/upload", content=content, headers=headers, progress=seen)
    assert response.json()["length"] == size
    seen.check(size, None if kind == "chunked" else size)
    assert len(seen) <= 3 + size // 1000
    assert (size < 1_000_000) or len(seen) > 3


@pytest.mark.parametrize(("content", "total"), [(b"", 0), ([], None), (io.BytesIO(), 0)], ids=["bytes", "list", "file"])
async def test_an_empty_body_is_done_at_once(served: tuple[Server, aioreq.Client], content: Any, total: int | None) -> None:
    server, client = served
    seen = Seen()
    assert (await client.put(server.url + "/upload", content=content, progress=seen)).json()["length"] == 0
    assert seen == [(0, total)]


async def test_forms_and_json_too(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for options in ({"json": [1, 2, 3]}, {"data": {"a": "b" * 100}}):
        seen = Seen()
        await client.post(server.url + "/anything", progress=seen, **options)
        seen.check(server.requests[-1].received, server.requests[-1].received)


async def test_it_tells_what_was_taken_and_not_what_is_there(server: Server) -> None:
    """A peer that takes nothing stops it far from the end."""
    seen = Seen()
    async with aioreq.Client(retry=0) as client:
        server.script(StopReading(), Stall(), path="/", on="head")
        with pytest.raises(aioreq.WriteTimeout):
            await client.put(server.url, content=bytes(64 << 20), progress=seen, timeout=aioreq.Timeout(write=0.2))
    assert 0 < seen[-1][0] < 32 << 20


async def test_each_sending_begins_anew(server: Server) -> None:
    server.route("/from", lambda request: Reply(307, [("Location", "/upload")]))
    seen, size = Seen(), 300_000
    async with aioreq.Client(retry=aioreq.Retry(attempts=1, backoff=0)) as client:
        server.script(ReadBody(1000), Close(), path="/from", on="head")
        assert (await client.put(server.url + "/from", content=bytes(size), progress=seen)).ok
    starts = [place for place, (done, _) in enumerate(seen) if place == 0 or done <= seen[place - 1][0]]
    assert len(starts) == 3
    assert seen[-1] == (size, size)


async def test_a_303_has_no_body_any_more_and_no_progress(server: Server, client: aioreq.Client) -> None:
    server.route("/from", lambda request: Reply(303, [("Location", "/bytes/100000")]))
    seen = Seen()
    assert len((await client.post(server.url + "/from", content=b"12345", progress=seen)).content) == 100_000
    assert seen == [(5, 5)]


async def test_a_request_of_ones_own(server: Server, client: aioreq.Client) -> None:
    request, seen = aioreq.Request("PUT", server.url + "/upload", content=b"12345"), Seen()
    request.progress = seen
    assert request.replace().progress is seen
    await client.send(request)
    assert seen == [(5, 5)]


# In


@pytest.mark.parametrize("how", ["buffered", "streamed"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_that_comes_in(served: tuple[Server, aioreq.Client], how: str, framing: str) -> None:
    server, client = served
    size, seen = 1_000_000, Seen()
    server.route("/down", lambda request: Reply(200, body=bytes(size) if framing == "length" else asynchronous(b"x", bytes(size - 1))))
    if how == "buffered":
        response = await client.get(server.url + "/down", progress=seen)
        assert (type(response), len(response.content)) == (aioreq.Response, size)
    else:
        async with client.stream("GET", server.url + "/down", progress=seen) as streamed:
            assert len(await streamed.read()) == size
    seen.check(size, size if framing == "length" else None)
    assert len(seen) > 1
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


async def test_what_is_dropped_or_is_none_is_not_told(server: Server, client: aioreq.Client) -> None:
    server.route("/from", lambda request: Reply(302, [("Location", "/bytes/10")], bytes(1000)))
    seen = Seen()
    assert len((await client.get(server.url + "/from", progress=seen)).content) == 10
    assert seen == [(10, 10)]
    await client.head(server.url + "/bytes/10", progress=seen)
    assert seen == [(10, 10)]


async def test_what_is_encoded_counts_as_it_came(server: Server, client: aioreq.Client) -> None:
    seen = Seen()
    response = await client.get(server.url + "/gzip", progress=seen)
    length = int(response.headers["Content-Length"])
    assert seen[-1] == (length, length) != (len(response.content), length)


# What is wrong with it


class OwnError(Exception):
    pass


@pytest.mark.parametrize(
    "error", [OwnError("mine"), StopIteration(), aioreq.LocalProtocolError("mine")], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("kind", ["bytes", "large bytes", "file", "chunked", "in", "in, streamed"])
async def test_what_it_raises_fails_the_request(served: tuple[Server, aioreq.Client], tmp_path: Path, kind: str, error: Exception) -> None:
    server, client = served
    (tmp_path / "file").write_bytes(bytes(1_000_000))

    def failing(done: int, total: int | None) -> None:
        raise error

    with (tmp_path / "file").open("rb") as file:
        content: Any = {"bytes": b"x", "large bytes": bytes(1_000_000), "file": file, "chunked": asynchronous(b"x")}.get(kind)
        with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)) as caught:
            if content is not None:
                server.script(ReadRequest(), Stall(), path="/", on="head")
                await client.put(server.url, content=content, progress=failing)
            elif kind == "in":
                await client.get(server.url + "/bytes/1000", progress=failing)
            else:
                async with client.stream("GET", server.url + "/bytes/1000", progress=failing) as response:
                    await response.read()
    assert isinstance(error, StopIteration) or caught.value is error
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def asynchronous_callback(done: int, total: int | None) -> None:
    pass


@pytest.mark.parametrize("given", [5, "bar", asynchronous_callback], ids=["number", "text", "asynchronous"])
async def test_it_takes_a_plain_function(server: Server, client: aioreq.Client, given: Any) -> None:
    with pytest.raises(TypeError, match="progress= takes a plain function"):
        await client.put(server.url, content=b"x", progress=given)
    assert not server.accepted
