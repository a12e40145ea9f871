"""Streamed responses on real sockets: back-pressure, leaving early, ways to read, and what bounds a body."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

import aioreq
import aioreq.connection
from aioreq import Limits
from aioreq.testing import Close, Pause, Reply, Request, Server, Stall, Wait

MEGABYTE = 1 << 20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


pytestmark = pytest.mark.usefixtures("no_hanging")


def length(n: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n


async def next_is_reused(served: tuple[Server, aioreq.Client]) -> bool:
    """Whether the next request goes over the same connection; it must be answered right in any case."""
    server, client = served
    assert (await client.get(server.url + "/id/next")).text == "next"
    return server.accepted == 1


# Back-pressure


def resident() -> int:
    """Bytes of memory that this process uses; 0 where the system doesn't tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_reader_that_pauses_holds_the_server_back(served: tuple[Server, aioreq.Client], framing: str) -> None:
    server, client = served
    size, sent = 50 * MEGABYTE, 0
    piece = bytes(range(256)) * 256

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < size:
            sent += len(piece)
            yield piece

    headers = [("Content-Length", str(size))] if framing == "length" else []
    server.route("/", lambda request: Reply(200, headers, body()))
    before = resident()
    async with client.stream("GET", server.url) as response:
        seen = -1
        while seen < sent:  # until the server stands still
            seen = sent
            await asyncio.sleep(0.05)
        # The rest is in the system's socket buffers, and a little in ours.
        assert sent < size
        assert response._body.received <= MEGABYTE
        assert resident() - before < 32 * MEGABYTE
        digest, got = hashlib.sha256(), 0
        async for chunk in response.content:
            digest.update(chunk)
            got += len(chunk)
    assert got == size
    assert digest.digest() == hashlib.sha256(piece * (size // len(piece))).digest()
    assert await next_is_reused(served)


async def test_a_slow_reader_gets_every_byte(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    whole = os.urandom(6 * MEGABYTE)
    server.route("/", Reply(200, [], whole))
    got = bytearray()
    async with client.stream("GET", server.url) as response:
        async for chunk in response.iter_bytes(100_000):
            got += chunk
            if len(got) % 700_000 == 0:
                await asyncio.sleep(0.005)
    assert got == whole
    assert await next_is_reused(served)


async def test_a_paused_stream_is_no_hindrance_to_others(server: Server) -> None:
    server.route("/big", lambda request: Reply(200, [], bytes(8 * MEGABYTE)))
    async with aioreq.Client(retry=0) as client, client.stream("GET", server.url + "/big") as held:
        await asyncio.sleep(0.02)
        for number in range(20):
            assert (await client.get(f"{server.url}/id/{number}")).text == str(number)
        assert len(await held.read()) == 8 * MEGABYTE


async def test_streams_side_by_side_keep_their_bytes(server: Server) -> None:
    def answer(request: Request) -> Reply:
        letter = request.params["letter"].encode()

        async def body() -> AsyncIterator[bytes]:
            for n in range(60):
                yield letter * (n * 100 + 1)
                await asyncio.sleep(0)

        return Reply(200, [], body())

    server.route("/{letter}", answer)

    async def read(client: aioreq.Client, letter: str) -> bytes:
        async with client.stream("GET", f"{server.url}/{letter}") as response:
            return b"".join([chunk async for chunk in response.content])

    async with aioreq.Client(retry=0) as client:
        bodies = await asyncio.gather(*[read(client, letter) for letter in "abcdefghijklmnop"])
    for letter, body in zip("abcdefghijklmnop", bodies, strict=True):
        assert body == letter.encode() * sum(n * 100 + 1 for n in range(60))


# Leaving early


async def peek(client: aioreq.Client, url: str, read: bool) -> None:
    """Opens a stream, reads a little or nothing, and lets go of everything."""
    async with client.stream("GET", url) as response:
        if read:
            assert await anext(response.content)


READ = pytest.mark.parametrize("read", [False, True], ids=["unread", "begun"])


@READ
@pytest.mark.parametrize("rest", [0, 10, 60_000])
async def test_a_short_rest_is_drained_and_the_connection_used_again(served: tuple[Server, aioreq.Client], rest: int, read: bool) -> None:
    server, client = served
    server.script(length(3 + rest) + b"abc", Pause(0.02), bytes(rest), path="/")
    await peek(client, server.url, read)
    assert await next_is_reused(served)


@READ
async def test_a_short_chunked_rest_is_drained_too(served: tuple[Server, aioreq.Client], read: bool) -> None:
    server, client = served
    server.script(CHUNKED + b"3\r\nabc\r\n", Pause(0.02), b"3\r\ndef\r\n", Pause(0.02), b"0\r\n\r\n", path="/")
    await peek(client, server.url, read)
    assert await next_is_reused(served)


@READ
async def test_a_long_rest_closes_the_connection(served: tuple[Server, aioreq.Client], read: bool) -> None:
    server, client = served
    server.script(length(10 * MEGABYTE) + b"abc", Stall(), path="/")
    await peek(client, server.url, read)
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


@READ
async def test_an_endless_rest_closes_the_connection(served: tuple[Server, aioreq.Client], read: bool) -> None:
    server, client = served
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000
            await asyncio.sleep(0)

    server.route("/", lambda request: Reply(200, [], body()))
    await peek(client, server.url, read)
    await server.until(lambda: not server.connections)
    assert sent < MEGABYTE  # not only when the time for draining was over
    assert not await next_is_reused(served)


async def test_a_rest_that_never_comes_is_given_up(served: tuple[Server, aioreq.Client], monkeypatch: pytest.MonkeyPatch) -> None:
    server, client = served
    monkeypatch.setattr(aioreq.connection, "DRAIN_SECONDS", 0.05)
    server.script(length(100) + b"abc", Stall(), path="/")
    await peek(client, server.url, read=True)
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


async def test_a_rest_that_breaks_off_is_nobodys_error(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(100) + b"abc", Pause(0.02), Close(), path="/")
    await peek(client, server.url, read=True)
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


@pytest.mark.parametrize("rest", [3, 10 * MEGABYTE])
async def test_leaving_by_an_exception_closes_the_connection(served: tuple[Server, aioreq.Client], rest: int) -> None:
    server, client = served
    server.script(length(3 + rest) + b"abc", Stall(), path="/")
    with pytest.raises(ZeroDivisionError):
        async with client.stream("GET", server.url):
            raise ZeroDivisionError
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


@pytest.mark.parametrize("reading", [True, False])
async def test_leaving_by_a_cancel_closes_the_connection(served: tuple[Server, aioreq.Client], reading: bool) -> None:
    server, client = served
    server.script(length(6) + b"abc", Stall(), path="/")
    begun = asyncio.Event()

    async def work() -> None:
        async with client.stream("GET", server.url) as response:
            begun.set()
            await (response.read() if reading else asyncio.Event().wait())

    task = asyncio.create_task(work())
    await begun.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


async def test_a_read_that_is_given_up_closes_the_connection(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(6) + b"abc", Stall(), path="/")
    async with client.stream("GET", server.url) as response:
        pieces = response.content
        assert await anext(pieces) == b"abc"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(pieces)
        # At once: whoever gave up may never come back.
        await server.until(lambda: not server.connections)
        assert not await next_is_reused(served)


async def test_leaving_after_the_last_byte_leaves_the_connection(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(3) + b"abc", path="/")
    with pytest.raises(ZeroDivisionError):
        async with client.stream("GET", server.url) as response:
            assert await response.read() == b"abc"
            raise ZeroDivisionError
    assert await next_is_reused(served)


async def test_a_stream_that_nobody_closes_gives_its_slot_back(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(10 * MEGABYTE) + b"abc", Stall(), path="/")
    response = await client.start_stream(client.settings.settled_copy(aioreq.Request("GET", server.url)))
    assert response.status == 200
    del response
    gc.collect()
    assert not await next_is_reused(served)


# Reading after the end, and twice at once


async def test_reading_after_leaving_is_an_error(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for size in (3, 100_000):  # arrived by then, or not
        server.script(length(size) + bytes(size), path="/")
        async with client.stream("GET", server.url) as response:
            pass
        for read in (response.read, response.text, response.json, lambda: anext(response.content), lambda: anext(response.iter_raw())):
            with pytest.raises(aioreq.LocalProtocolError, match="closed before its body was read") as caught:
                await read()
            assert caught.value.request is not None


async def test_what_was_read_stays(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(7) + b'{"a":1}', path="/")
    async with client.stream("GET", server.url) as response:
        assert await response.read() == b'{"a":1}'
    assert await response.read() == b'{"a":1}'
    assert await response.text() == '{"a":1}'
    assert await response.json() == {"a": 1}


async def test_closing_twice_and_at_any_time(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(3) + b"abc", path="/")
    async with client.stream("GET", server.url) as response:
        await response.close()
        await response.close()
    await response.close()
    assert await next_is_reused(served)


async def test_two_readers_at_once_are_refused(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    go_on = asyncio.Event()
    server.script(length(6) + b"abc", Wait(go_on), b"def", path="/")
    async with client.stream("GET", server.url) as response:
        pieces = response.content
        assert await anext(pieces) == b"abc"

        async def read_on() -> bytes:
            return await anext(pieces)

        first = asyncio.create_task(read_on())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await read_on()
        go_on.set()
        assert await first == b"def"  # whom it doesn't disturb


# Ways to read


TEXT = "Jarní déšť, 春雨. " * 5000
ZIPPED = gzip.compress(TEXT.encode())


@pytest.fixture
def zipped(served: tuple[Server, aioreq.Client]) -> tuple[str, aioreq.Client]:
    server, client = served
    server.route("/", Reply(200, [("Content-Encoding", "gzip"), ("Content-Type", "text/plain")], ZIPPED, framing="chunked"))
    return server.url, client


@pytest.mark.parametrize("size", [1, 7, 1000, 65536, 10 * MEGABYTE])
async def test_pieces_of_a_size(zipped: tuple[str, aioreq.Client], size: int) -> None:
    url, client = zipped
    async with client.stream("GET", url) as response:
        pieces = [piece async for piece in response.iter_bytes(size)]
    assert b"".join(pieces) == TEXT.encode()
    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert 0 < len(pieces[-1]) <= size


async def test_raw_pieces_are_the_bytes_sent(zipped: tuple[str, aioreq.Client]) -> None:
    url, client = zipped
    async with client.stream("GET", url) as response:
        assert b"".join([piece async for piece in response.iter_raw()]) == ZIPPED


async def test_whole_and_as_text(zipped: tuple[str, aioreq.Client]) -> None:
    url, client = zipped
    async with client.stream("GET", url) as response:
        assert await response.read() == TEXT.encode()
        assert await response.text() == TEXT


async def test_json(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    async with client.stream("GET", server.url + "/json") as response:
        assert await response.json() == {"message": "hello", "numbers": [1, 2, 3]}


async def test_trailers_are_there_after_the_body(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(CHUNKED + b"3\r\nabc\r\n0\r\nDigest: x\r\ndigest: y\r\n\r\n", path="/")
    async with client.stream("GET", server.url) as response:
        assert await response.read() == b"abc"
        assert response.trailers.getall("DIGEST") == ["x", "y"]


@pytest.mark.parametrize("status", [200, 204, 304, 404, 500])
async def test_streams_of_any_status(served: tuple[Server, aioreq.Client], status: int) -> None:
    server, client = served
    server.route("/", Reply(status, [], b"body"))
    async with client.stream("GET", server.url) as response:
        assert response.status == status
        assert await response.read() == (b"" if status in (204, 304) else b"body")
    assert await next_is_reused(served)


async def test_a_streamed_head_request(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    async with client.stream("HEAD", server.url + "/bytes/1000") as response:
        assert response.headers["content-length"] == "1000"
        assert [piece async for piece in response.content] == []
    assert await next_is_reused(served)


async def test_the_head_comes_before_the_body(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    go_on = asyncio.Event()
    server.script(length(3), Wait(go_on), b"abc", path="/")
    async with client.stream("GET", server.url) as response:
        assert response.status == 200
        go_on.set()
        assert await response.read() == b"abc"


async def test_a_client_for_one_stream(served: tuple[Server, aioreq.Client]) -> None:
    server, _ = served
    request = aioreq.Request(url=server.url + "/bytes/100000", method="GET")
    async with aioreq.StreamClient(request=request, verify=server.ca or True) as response:
        assert sum([len(piece) async for piece in response.content]) == 100_000
    await server.until(lambda: not server.connections)


# What bounds a body


LARGE = 1 << 40


@pytest.mark.parametrize("status", [b"200 OK", b"500 Oops"])
async def test_a_declared_length_beyond_the_limit(served: tuple[Server, aioreq.Client], status: bytes) -> None:
    server, client = served
    server.script(b"HTTP/1.1 %b\r\nContent-Length: 1001\r\n\r\n" % status, bytes(500), Stall(), path="/")
    with pytest.raises(aioreq.LimitExceeded, match=r"longer than 1000 bytes.*max_body=.*Limits\(body=\.\.\.\)") as caught:
        await client.get(server.url, max_body=1000)
    assert caught.value.limit == "body"
    assert caught.value.request is not None
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


@pytest.mark.parametrize("status", [b"200 OK", b"500 Oops"])
async def test_the_limit_that_nobody_set(served: tuple[Server, aioreq.Client], status: bytes) -> None:
    server, client = served
    server.script(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, LARGE), Stall(), path="/")
    with pytest.raises(aioreq.LimitExceeded, match=str(512 * MEGABYTE)):
        await client.get(server.url)


async def test_a_body_that_is_too_long_but_all_here(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for status in (b"200 OK", b"404 Not Found"):
        server.script(b"HTTP/1.1 %b\r\nContent-Length: 1001\r\n\r\n" % status, bytes(1001), path="/")
        with pytest.raises(aioreq.LimitExceeded, match="longer than 1000 bytes"):
            await client.get(server.url, max_body=1000)


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
@pytest.mark.parametrize("until_close", [False, True], ids=["chunked", "close-delimited"])
async def test_an_undeclared_length_beyond_the_limit(served: tuple[Server, aioreq.Client], status: bytes, until_close: bool) -> None:
    server, client = served
    framing = b"" if until_close else b"Transfer-Encoding: chunked\r\n"
    piece = b"x" * 16 if until_close else b"10\r\n" + b"x" * 16 + b"\r\n"

    async def flood(connection: Any) -> None:
        await connection.write(b"HTTP/1.1 %b\r\n%b\r\n" % (status, framing))
        while True:
            await connection.write(piece * 10)
            await asyncio.sleep(0)

    server.script(flood, path="/")
    with pytest.raises(aioreq.LimitExceeded, match="longer than 1000 bytes") as caught:
        await client.get(server.url, max_body=1000)
    assert caught.value.limit == "body"
    await server.until(lambda: not server.connections)
    assert not await next_is_reused(served)


async def test_the_limit_itself_is_allowed(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for framing in (length(1000), CHUNKED + b"3e8\r\n"):
        server.script(framing + bytes(1000) + (b"" if framing == length(1000) else b"\r\n0\r\n\r\n"), path="/", times=2)
        assert len((await client.get(server.url, max_body=1000)).content) == 1000
        with pytest.raises(aioreq.LimitExceeded):
            await client.get(server.url, max_body=999)


async def test_no_limit_holds_for_what_is_streamed(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.script(length(100_000) + bytes(100_000), path="/", times=2)
    async with client.stream("GET", server.url, max_body=1000) as response:
        assert sum([len(piece) async for piece in response.content]) == 100_000
    async with client.stream("GET", server.url, max_body=1000) as response:
        with pytest.raises(aioreq.LimitExceeded, match="longer than 1000 bytes"):
            await response.read()


async def test_the_client_wide_limit(served: tuple[Server, aioreq.Client]) -> None:
    server, _ = served
    server.script(length(100) + bytes(100), path="/", times=2)
    async with aioreq.Client(retry=0, verify=server.ca or True, limits=Limits(body=50)) as client:
        with pytest.raises(aioreq.LimitExceeded):
            await client.get(server.url)
        assert len((await client.get(server.url, max_body=100)).content) == 100


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
async def test_nothing_is_reserved_for_what_is_only_announced(served: tuple[Server, aioreq.Client], stream: bool) -> None:
    server, client = served
    before = resident()
    for wire in (length(LARGE), CHUNKED + b"%x\r\n" % LARGE):
        server.script(wire + b"abc", Pause(0.01), Close(), path="/")
        with pytest.raises(aioreq.IncompleteBody) as caught:
            if stream:
                async with client.stream("GET", server.url) as response:
                    async for piece in response.content:
                        assert piece == b"abc"
            else:
                await client.get(server.url, max_body=2 * LARGE)
        assert caught.value.received == 3
        assert stream or caught.value.partial == b"abc"
    assert resident() - before < 16 * MEGABYTE


async def test_an_encoded_body_is_bounded_as_it_is_and_decoded(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    bomb = gzip.compress(bytes(MEGABYTE))
    assert len(bomb) < 2000
    server.route("/", Reply(200, [("Content-Encoding", "gzip")], bomb))
    with pytest.raises(aioreq.LimitExceeded) as caught:
        await client.get(server.url, max_body=2000)
    assert caught.value.limit == "body"
    assert len((await client.get(server.url, max_body=MEGABYTE)).content) == MEGABYTE
