"""Request bodies: what goes over the wire, who closes what when it breaks, and answers that come before the end."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq import Timeout
from aioreq.testing import (
    Close,
    Connection,
    HalfClose,
    Pause,
    ReadBody,
    ReadRequest,
    Reply,
    Request,
    Reset,
    Server,
    Stall,
    StopReading,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


pytestmark = pytest.mark.usefixtures("no_hanging")


async def asynchronous(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


def synchronous(*chunks: bytes) -> Iterator[bytes]:
    yield from chunks


class Endless:
    """Chunks without an end; remembers whether it was closed."""

    def __init__(self, chunk: bytes = b"x" * 65536) -> None:
        self.chunk = chunk
        self.closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield self.chunk
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)  # cleaning up may take a turn of the loop
            self.closed.set()


# What goes over the wire


PATTERN = bytes(range(256))


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000, 10 << 20])
async def test_bytes_arrive_intact(served: tuple[Server, aioreq.Client], size: int) -> None:
    server, client = served
    body = (PATTERN * (size // 256 + 1))[:size]
    answer = (await client.post(server.url + "/upload", content=body)).json()
    assert answer == {"length": size, "sha256": hashlib.sha256(body).hexdigest()}
    [request] = server.requests
    assert request.header_values("content-length") == [str(size)]
    assert request.header("transfer-encoding") is None
    # And the connection goes on.
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous", "list", "tuple of memoryviews"])
async def test_iterables_go_out_chunked(served: tuple[Server, aioreq.Client], kind: str) -> None:
    server, client = served
    chunks = [b"one", b"", b"two" * 1000, b"x" * 70_000, b"y" * 300_000, b"3"]
    content: Any = {
        "asynchronous": asynchronous(*chunks),
        "synchronous": synchronous(*chunks),
        "list": chunks,
        "tuple of memoryviews": tuple(memoryview(bytearray(chunk)) for chunk in chunks),
    }[kind]
    response = await client.post(server.url + "/anything", content=content)
    [request] = server.requests
    assert response.ok
    assert request.body == b"".join(chunks)
    assert request.header_values("transfer-encoding") == ["chunked"]
    assert request.header("content-length") is None
    assert request.chunks == [3, 3000, 70_000, 300_000, 1]
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


async def test_the_chunked_framing_is_exact(server: Server, client: aioreq.Client) -> None:
    wire = bytearray()

    async def keep(connection: Connection) -> None:
        while not wire.endswith(b"0\r\n\r\n"):
            wire.extend(await connection.read_bytes(1))
        await connection.write(OK)

    server.script(keep, on="accept")
    assert (await client.post(server.url, content=asynchronous(b"hello", b"", b"0123456789abcdef" * 2))).text == "ok"
    head, _, body = bytes(wire).partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"5\r\nhello\r\n20\r\n0123456789abcdef0123456789abcdef\r\n0\r\n\r\n"


async def test_an_iterable_without_a_chunk_is_an_empty_chunked_body(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    assert (await client.post(server.url + "/upload", content=asynchronous())).json()["length"] == 0
    assert server.requests[0].header("transfer-encoding") == "chunked"


async def test_large_iterables_arrive_intact(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    chunks = [bytes([n]) * (n * 1000) for n in range(100)]
    whole = b"".join(chunks)
    for content in (asynchronous(*chunks), synchronous(*chunks), [whole, whole[:5]][:1]):
        answer = (await client.put(server.url + "/upload", content=content)).json()
        assert answer == {"length": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}


async def test_files_are_sent_from_where_they_stand(served: tuple[Server, aioreq.Client], tmp_path: Path) -> None:
    server, client = served
    path = tmp_path / "file"
    path.write_bytes(PATTERN * 4000)
    with path.open("rb") as file:
        file.seek(100)
        answer = (await client.post(server.url + "/upload", content=file)).json()
    assert answer == {"length": 1_023_900, "sha256": hashlib.sha256((PATTERN * 4000)[100:]).hexdigest()}
    assert server.requests[0].header("content-length") == "1023900"
    assert (await client.post(server.url + "/upload", content=io.BytesIO(b"in memory"))).json()["length"] == 9


async def test_a_file_that_cannot_seek_goes_out_chunked(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.left = [b"from ", b"a pipe"]

        def read(self, size: int = -1) -> bytes:
            return self.left.pop(0) if self.left else b""

    await client.post(server.url + "/anything", content=Pipe())
    [request] = server.requests
    assert (request.header("transfer-encoding"), request.body) == ("chunked", b"from a pipe")


async def test_a_file_is_read_off_the_loops_thread(served: tuple[Server, aioreq.Client]) -> None:
    import threading

    server, client = served
    readers = set()

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            readers.add(threading.current_thread())
            return super().read(size)

    await client.post(server.url + "/upload", content=File(bytes(1 << 20)))
    assert threading.main_thread() not in readers
    assert readers


async def test_a_declared_length_makes_a_stream_one_of_that_length(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.post(server.url + "/anything", content=asynchronous(b"ab", b"", b"cde"), headers={"Content-Length": "5"})
    [request] = server.requests
    assert (request.header_values("content-length"), request.header("transfer-encoding"), request.body) == (["5"], None, b"abcde")


# What is wrong with the body


@pytest.mark.parametrize(
    ("declared", "chunks", "message"),
    [
        (5, [b"abc"], "ended 2 bytes short of its Content-Length of 5"),
        (5, [], "ended 5 bytes short of its Content-Length of 5"),
        (5, [b"abc", b"def"], "longer than its Content-Length of 5"),
        (0, [b"a"], "longer than its Content-Length of 0"),
        (100_000, [b"a" * 65536] * 2, "longer than its Content-Length of 100000"),
    ],
)
async def test_a_body_that_is_not_as_long_as_declared(
    served: tuple[Server, aioreq.Client], declared: int, chunks: list[bytes], message: str
) -> None:
    server, client = served
    server.script(Stall(), path="/", on="head")
    with pytest.raises(aioreq.LocalProtocolError, match=message) as caught:
        await client.post(server.url, content=asynchronous(*chunks), headers={"Content-Length": str(declared)})
    assert caught.value.request is not None
    await server.until(lambda: not server.connections)
    assert all(len(request.body) <= declared for request in server.requests)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_a_file_that_shrinks_meanwhile(served: tuple[Server, aioreq.Client], tmp_path: Path) -> None:
    server, client = served
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    with path.open("r+b") as file:
        request = aioreq.Request("POST", server.url + "/upload", content=file)
        file.truncate(600)
        with pytest.raises(aioreq.LocalProtocolError, match="400 bytes short"):
            await client.send(request)


@pytest.mark.parametrize("chunk", ["text", 5, None, [b"x"]])
async def test_chunks_that_are_no_bytes(served: tuple[Server, aioreq.Client], chunk: Any) -> None:
    server, client = served
    with pytest.raises(TypeError, match=f"gave {type(chunk).__name__}, not bytes"):
        await client.post(server.url + "/upload", content=iter([b"x", chunk]))
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


class OwnError(Exception):
    pass


@pytest.mark.parametrize("first", [b"", b"x", b"x" * 200_000], ids=["at once", "after some", "after much"])
@pytest.mark.parametrize("kind", ["asynchronous", "synchronous"])
async def test_errors_of_the_iterable_come_out_unchanged(served: tuple[Server, aioreq.Client], kind: str, first: bytes) -> None:
    server, client = served
    error = OwnError("mine")

    async def failing() -> AsyncIterator[bytes]:
        yield first
        raise error

    def also_failing() -> Iterator[bytes]:
        yield first
        raise error

    with pytest.raises(OwnError) as caught:
        await client.post(server.url + "/upload", content=failing() if kind == "asynchronous" else also_failing())
    assert caught.value is error
    await server.until(lambda: not server.connections)
    assert [request.complete for request in server.requests] == [False] * len(server.requests)
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_an_iterable_whose_own_awaits_are_cancelled(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served

    async def cancelled() -> AsyncIterator[bytes]:
        yield b"x"
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    with pytest.raises((aioreq.AioreqError, asyncio.CancelledError)):
        await client.post(server.url + "/upload", content=cancelled())
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"


# Cancelled, timed out, broken: the iterable is closed


async def test_the_iterable_is_closed_when_the_request_is_cancelled(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    endless = Endless()
    server.script(StopReading(), Stall(), path="/", on="head")
    task = asyncio.create_task(client.post(server.url, content=endless))
    await server.until(lambda: len(server.requests) == 1)
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await endless.closed.wait()


async def test_the_iterable_is_closed_when_it_waits_itself(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    closed = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    under_way = asyncio.Event()

    async def tell(connection: Connection) -> None:
        under_way.set()

    server.script(ReadBody(1), tell, Stall(), path="/", on="head")
    task = asyncio.create_task(client.post(server.url, content=waiting()))
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await closed.wait()


@pytest.mark.parametrize("option", ["write", "total"])
async def test_the_iterable_is_closed_on_a_timeout(served: tuple[Server, aioreq.Client], option: str) -> None:
    server, client = served
    endless = Endless()
    server.script(StopReading(), Stall(), path="/", on="head")
    with pytest.raises(aioreq.RequestTimeout):
        await client.post(server.url, content=endless, timeout=Timeout(**{option: 0.1}))
    await endless.closed.wait()


@pytest.mark.parametrize("step", [Close(), Reset()], ids=["close", "reset"])
async def test_the_iterable_is_closed_when_the_peer_goes_away(served: tuple[Server, aioreq.Client], step: Any) -> None:
    server, client = served
    endless = Endless()
    server.script(ReadBody(200_000), step, path="/", on="head")
    with pytest.raises(aioreq.ConnectionLost, match="during the upload") as caught:
        await client.post(server.url, content=endless)
    assert not caught.value.response_started
    await endless.closed.wait()
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_a_synchronous_generator_is_closed_too(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    closed = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.append(True)

    body = endless()
    server.script(ReadBody(200_000), Reset(), path="/", on="head")
    with pytest.raises(aioreq.ConnectionLost):
        await client.post(server.url, content=body)
    await asyncio.sleep(0.01)
    assert closed == [True]


# Answers that come before the end


TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
EARLY_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nenough!"
CHUNKED_413 = b"HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\ntoo large\r\n0\r\n\r\n"


@pytest.mark.parametrize("wire", [TOO_LARGE, UNAUTHORIZED, EARLY_OK, CHUNKED_413], ids=["413", "401", "200", "413 chunked"])
@pytest.mark.parametrize("read", [0, 200_000])
@pytest.mark.parametrize("kind", ["bytes", "iterable"])
async def test_an_early_answer_is_delivered(served: tuple[Server, aioreq.Client], kind: str, read: int, wire: bytes) -> None:
    server, client = served
    endless = Endless()
    server.script(ReadBody(read), wire, Stall(), path="/", on="head")
    response = await client.post(server.url, content=bytes(16 << 20) if kind == "bytes" else endless)
    assert response.status == int(wire[9:12])
    assert response.content == wire.partition(b"\r\n\r\n")[2][-9:] if b"chunked" not in wire else b"too large"
    if kind == "iterable":
        await endless.closed.wait()
    # What is left of the upload must never be taken for a request.
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert len(server.requests) == 2


async def answered_early(client: aioreq.Client, server: Server, kind: str, *steps: Any) -> None:
    server.script(*steps, path="/", on="head")
    [wire] = [step for step in steps if isinstance(step, bytes)]
    endless = Endless()
    response = await client.post(server.url, content=bytes(16 << 20) if kind == "bytes" else endless)
    assert response.status == int(wire[9:12])
    assert b"too large" in response.content or response.content == b"no"
    if kind == "iterable":
        await endless.closed.wait()


@pytest.mark.parametrize("wire", [TOO_LARGE, UNAUTHORIZED, CHUNKED_413], ids=["413", "401", "413 chunked"])
@pytest.mark.parametrize("end", [(Close(),), (Reset(),), (HalfClose(), Pause(0.01), Reset()), (Pause(0.02), Reset())], ids=str)
@pytest.mark.parametrize("kind", ["bytes", "iterable"])
async def test_an_early_answer_before_the_connection_breaks(server: Server, kind: str, end: tuple[Any, ...], wire: bytes) -> None:
    """What the socket had received is read, whatever our own writes ran into."""
    async with aioreq.Client(retry=0) as client:
        for n in range(5):
            await answered_early(client, server, kind, ReadBody(n * 100_000), StopReading(), wire, *end)


@pytest.mark.parametrize("size", [1, 1000, 65536])
async def test_an_early_answer_is_read_though_our_write_failed_first(server: Server, size: int) -> None:
    """The answer and the reset come in one moment, in which the next chunk goes out."""

    async def answer_and_reset(connection: Connection) -> None:
        connection.transport.write(TOO_LARGE)
        connection.reset()

    async with aioreq.Client(retry=0) as client:
        for _ in range(10):
            server.script(ReadBody(size), answer_and_reset, path="/", on="head")
            endless = Endless(b"x" * size)
            response = await client.post(server.url, content=endless)
            assert (response.status, response.content) == (413, b"too large")
            await endless.closed.wait()


async def test_an_early_answer_over_tls_is_read_before_the_next_write() -> None:
    """Only the transport can read what is encrypted: a write that fails would destroy it."""

    async def answer_and_reset(connection: Connection) -> None:
        connection.transport.write(TOO_LARGE)
        connection.reset()

    async def blocking() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(0.05)
        yield b"x"
        time.sleep(0.2)  # noqa: ASYNC251 - the answer and the reset arrive, and the loop has no turn to see them
        yield b"x" * 1000
        await asyncio.Event().wait()

    with Server(tls=True) as server:  # on a thread of its own
        async with aioreq.Client(retry=0, verify=server.ca or True) as client:
            server.script(ReadBody(2), answer_and_reset, path="/", on="head")
            response = await client.post(server.url, content=blocking())
    assert (response.status, response.content) == (413, b"too large")


@pytest.mark.parametrize("wire", [TOO_LARGE, UNAUTHORIZED, CHUNKED_413], ids=["413", "401", "413 chunked"])
@pytest.mark.parametrize("end", [(Pause(0.02), Close()), (Pause(0.02), Reset()), (HalfClose(), Pause(0.02), Reset())], ids=str)
@pytest.mark.parametrize("kind", ["bytes", "iterable"])
async def test_an_early_answer_before_the_connection_ends(
    served: tuple[Server, aioreq.Client], kind: str, end: tuple[Any, ...], wire: bytes
) -> None:
    server, client = served
    for n in range(3):
        await answered_early(client, server, kind, ReadBody(n * 100_000), StopReading(), wire, *end)


class Counting:
    """A step that remembers how much of the body has come by now."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    async def __call__(self, connection: Connection) -> None:
        self.counts.append((await connection.read_body(0)).received)


@pytest.mark.parametrize(
    ("head", "goes_on"),
    [
        (b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 307 Temporary Redirect\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 500 Oops\r\n", False),
        (b"HTTP/1.1 413 Content Too Large\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
async def test_an_error_of_a_server_that_closes_ends_the_upload(
    served: tuple[Server, aioreq.Client], head: bytes, goes_on: bool, stream: bool
) -> None:
    """RFC 9112 section 9.5: whoever goes on writing may lose the rest of the answer."""
    server, client = served
    counting = Counting()
    endless = Endless(bytes(1000))
    steps: list[Any] = [
        ReadBody(5000),
        head + b"Content-Length: 9\r\n\r\ntoo",
        Pause(0.05),
        counting,
        Pause(0.05),
        counting,
        b" large",
        Stall(),
    ]
    server.script(*steps, path="/", on="head")
    if stream:
        async with client.stream("POST", server.url, content=endless) as streamed:
            assert await streamed.read() == b"too large"
    else:
        assert (await client.post(server.url, content=endless)).content == b"too large"
    first, second = counting.counts
    assert (second > first) is goes_on
    await endless.closed.wait()
    await server.until(lambda: not server.connections)


async def test_an_early_answer_of_a_server_that_closes_at_once(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.route("/", lambda request: Reply(413, [], "too large", close=True), early=True)
    response = await client.post(server.url, content=bytes(16 << 20))
    assert (response.status, response.content) == (413, b"too large")


async def test_an_early_answer_cut_by_a_reset_is_no_whole_one(server: Server) -> None:
    async with aioreq.Client(retry=0) as client:
        server.script(StopReading(), TOO_LARGE[:-4], Reset(), path="/", on="head")
        with pytest.raises(aioreq.IncompleteBody) as caught:
            await client.post(server.url, content=bytes(16 << 20))
        assert (caught.value.partial, caught.value.received, caught.value.expected) == (b"too l", 5, 9)
        # Without a declared length, a reset says nothing about where the body would have ended.
        server.script(StopReading(), b"HTTP/1.1 413 Content Too Large\r\n\r\ntoo l", Reset(), path="/", on="head")
        with pytest.raises(aioreq.IncompleteBody) as caught:
            await client.post(server.url, content=bytes(16 << 20))
        assert (caught.value.partial, caught.value.received, caught.value.expected) == (b"too l", 5, None)


async def test_an_early_answer_may_end_with_the_connection(server: Server) -> None:
    async with aioreq.Client(retry=0) as client:
        wire = b"HTTP/1.1 413 Content Too Large\r\n\r\ntoo large"
        ends: list[tuple[Any, ...]] = [(HalfClose(), Stall()), (HalfClose(), Reset()), (HalfClose(), Pause(0.01), Reset())]
        for end in ends:
            server.script(ReadBody(1), StopReading(), wire, *end, path="/", on="head")
            response = await client.post(server.url, content=bytes(16 << 20))
            assert (response.status, response.content) == (413, b"too large")


async def test_the_rest_of_the_upload_goes_on_while_an_early_answer_streams(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served

    @server.route("/echo", early=True)
    def echo(request: Request) -> Reply:
        return Reply(200, [], request.pieces())

    turn = asyncio.Event()

    async def taking_turns() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two", b"three"):
            yield piece
            await turn.wait()
            turn.clear()

    got = []
    async with client.stream("POST", server.url + "/echo", content=taking_turns()) as response:
        async for piece in response.content:
            got.append(piece)
            turn.set()
    assert got == [b"one", b"two", b"three"]
    assert (await client.get(server.url + "/id/2")).text == "2"


async def test_an_error_of_the_iterable_while_the_answer_streams(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    error = OwnError("mine")
    fail = asyncio.Event()

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        await fail.wait()
        raise error

    server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Stall(), path="/", on="head")
    async with client.stream("POST", server.url, content=failing()) as response:
        pieces = response.content
        assert await anext(pieces) == b"abc"
        fail.set()
        with pytest.raises(OwnError) as caught:
            await anext(pieces)
    assert caught.value is error


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
async def test_interim_responses_during_the_upload_are_skipped(served: tuple[Server, aioreq.Client], interim: bytes) -> None:
    server, client = served
    body = bytes(1 << 20)
    server.script(interim, ReadBody(1000), interim, ReadRequest(), interim + OK, path="/", on="head")
    assert (await client.post(server.url, content=body)).content == b"ok"
    assert server.requests[0].body == body
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 1


async def test_a_whole_answer_to_half_a_request_is_not_a_reason_to_reuse(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    go_on = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"half"
        await go_on.wait()
        yield b"rest"

    server.script(ReadBody(4), EARLY_OK, path="/", on="head")
    assert (await client.post(server.url, content=waiting())).content == b"enough!"
    go_on.set()
    await server.until(lambda: not server.connections)
    assert (await client.get(server.url + "/id/2")).text == "2"
    assert server.accepted == 2


# Sent again


async def test_a_body_is_sent_again_on_a_307(served: tuple[Server, aioreq.Client], tmp_path: Path) -> None:
    server, client = served
    server.route("/from", lambda request: Reply(307, [("Location", "/upload")]))
    path = tmp_path / "file"
    path.write_bytes(PATTERN * 1000)
    with path.open("rb") as file:
        for content in (PATTERN * 1000, [PATTERN] * 1000, file):
            answer = (await client.post(server.url + "/from", content=content)).json()
            assert answer == {"length": 256_000, "sha256": hashlib.sha256(PATTERN * 1000).hexdigest()}


async def test_a_generator_cannot_be_sent_again(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    server.route("/from", lambda request: Reply(307, [("Location", "/upload")]))
    with pytest.raises(aioreq.LocalProtocolError, match="can't be sent again"):
        await client.post(server.url + "/from", content=asynchronous(b"x"))
    assert len(server.requests) == 1


async def test_a_dead_idle_connection_costs_no_upload(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    for content in (b"x" * 100, bytes(200_000), [b"y"] * 10):
        await client.get(server.url + "/id/1")
        server.push(Close())
        response = await client.put(server.url + "/upload", content=content)
        assert response.json()["length"] == sum(map(len, content)) if isinstance(content, list) else len(content)


async def test_json_and_forms_are_uploads_like_any_other(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    big = {"text": "x" * 100_000}
    await client.post(server.url + "/anything", json=big)
    await client.post(server.url + "/anything", data=big)
    assert json.loads(server.requests[0].body) == big
    assert server.requests[1].body == b"text=" + b"x" * 100_000
