"""`response.content` and the readers that are fed by hand: what aiohttp's give, read for read; a cancelled read loses nothing."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from peers import needed_module

import aioreq.compat.aiohttp as ours
from aioreq.compat.aiohttp.http_exceptions import LineTooLong
from aioreq.testing import Server
from aioreq.testing.reply import Reply

theirs = needed_module("aiohttp", "aiohttp")

BODY = b"first line\nsecond\n\nfourth, long" + b"g" * 5000 + b"\r\nlast"
BOTH = pytest.mark.parametrize("module", [ours, theirs], ids=["ours", "theirs"])


class Taps:
    """A body that goes on when it is told to: each string a piece, in a chunk of its own."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def chunks(self) -> AsyncIterator[bytes]:
        while (piece := await self.pieces.get()) is not None:
            yield piece

    def give(self, *pieces: bytes | None) -> None:
        for piece in pieces:
            self.pieces.put_nowait(piece)


@pytest.fixture
def taps(server: Server) -> Taps:
    taps = Taps()
    server.route("/taps", lambda request: taps.chunks())
    server.route("/body", Reply(body=BODY))
    server.route("/zipped", Reply(body=gzip.compress(BODY * 100), headers={"Content-Encoding": "gzip"}))
    server.route("/none", Reply(body=b""))
    return taps


async def lines(content: Any) -> list[bytes]:
    return [line async for line in content]


async def until_the_end(content: Any) -> list[bytes]:
    found = []
    while not content.at_eof():
        found.append(await content.readline())
    return found


async def exactly(content: Any) -> Any:
    found: list[Any] = [await content.readexactly(7), await content.readexactly(0)]
    try:
        await content.readexactly(10_000)
    except asyncio.IncompleteReadError as error:
        found += [error.partial, error.expected]
    return found


async def separated(content: Any) -> list[bytes]:
    found = []
    while piece := await content.readuntil(b"ne"):
        found.append(piece)
    return found


async def joined(pieces: Any) -> tuple[bytes, bool]:
    found = [piece async for piece in pieces]
    return b"".join(found), all(found)


async def put_back(content: Any) -> Any:
    found = await content.readexactly(5)
    with pytest.warns(DeprecationWarning, match="unread_data"):
        content.unread_data(b"again")
    return found, await content.readexactly(8), await content.read(0), content.total_bytes >= 5


async def at_the_end(content: Any) -> Any:
    await content.read()
    return [
        await content.read(),
        await content.read(5),
        await content.readany(),
        await content.readline(),
        await content.readuntil(b"x"),
        await content.readchunk(),
        content.read_nowait(),
        content.at_eof(),
        content.is_eof(),
        content.total_bytes,
        content.exception(),
        await content.wait_eof(),
    ]


async def nowait(content: Any) -> Any:
    first = await content.read(1)
    await content.wait_eof()
    return first, content.read_nowait(9), content.read_nowait(0), content.read_nowait(), content.at_eof()


async def too_long(content: Any) -> Any:
    try:
        await content.readline(max_line_length=5)
    except Exception as error:
        return type(error).__name__, error.args
    raise AssertionError("no error")


READS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "read": lambda content: content.read(),
    "read, some": lambda content: content.read(4),
    "lines": lines,
    "until the end": until_the_end,
    "exactly": exactly,
    "separated": separated,
    "iter_any": lambda content: joined(content.iter_any()),
    "iter_chunked": lambda content: joined(content.iter_chunked(1000)),
    "readline, too long": too_long,
    "put back": put_back,
    "at the end": at_the_end,
    "no waiting": nowait,
}


NEEDING_SOME = {"readline, too long", "put back", "no waiting", "exactly"}


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in READS for path in ("/body", "/zipped", "/none") if path != "/none" or name not in NEEDING_SOME],
)
async def test_reads_give_the_same(server: Server, taps: Taps, name: str, path: str) -> None:
    told: list[Any] = []
    for module in (ours, theirs):
        async with module.ClientSession() as session, session.get(server.url + path) as response:
            told.append(await READS[name](response.content))
    assert told[0] == told[1] or (path == "/none" and name == "at the end")  # theirs is one for everybody, with quirks of its own


@BOTH
async def test_lines_come_as_they_are_sent(server: Server, taps: Taps, module: Any) -> None:
    taps.give(b"one\ntw")
    async with module.ClientSession() as session, session.get(server.url + "/taps") as response:
        content = response.content
        assert await content.readline() == b"one\n"
        assert not content.at_eof()
        taps.give(b"o\n\nli", b"ne", None)
        assert [await content.readline() for _ in range(4)] == [b"two\n", b"\n", b"line", b""]
        assert content.at_eof()


@BOTH
async def test_a_separator_may_be_cut(server: Server, taps: Taps, module: Any) -> None:
    async with module.ClientSession() as session:
        taps.give(b"")
        task = asyncio.ensure_future(session.get(server.url + "/taps"))
        taps.give(b"a")
        response = await task
        reading = asyncio.ensure_future(response.content.readuntil(b"\r\n\r\n"))
        for piece in (b"bc\r", b"\n", b"\r\nx\r\n\r", None):
            taps.give(piece)
            await asyncio.sleep(0.01)
        assert await reading == b"abc\r\n\r\n"
        assert await response.content.readuntil(b"\r\n\r\n") == b"x\r\n\r"
        response.close()


@BOTH
async def test_what_has_come_is_read_together(server: Server, taps: Taps, module: Any) -> None:
    taps.give(b"a")
    async with module.ClientSession() as session, session.get(server.url + "/taps") as response:
        assert await response.content.readany() == b"a"
        for piece in (b"b", b"c", b"d"):
            taps.give(piece)
            await asyncio.sleep(0.02)
        assert await response.content.readany() == b"bcd"
        taps.give(None)
        assert await response.content.readany() == b""


@BOTH
async def test_a_cancelled_read_loses_nothing(server: Server, taps: Taps, module: Any) -> None:
    taps.give(b"half a li")
    async with module.ClientSession() as session, session.get(server.url + "/taps") as response:
        content = response.content
        assert await content.readexactly(5) == b"half "
        assert await content.read(4) == b"a li"
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(content.readany(), 0.02)
        taps.give(b"ne\n", None)
        assert await content.readline() == b"ne\n"
        assert await content.read() == b""


@BOTH
async def test_two_readers_at_once_are_refused(server: Server, taps: Taps, module: Any) -> None:
    taps.give(b"x")
    async with module.ClientSession() as session, session.get(server.url + "/taps") as response:
        await response.content.readany()
        first = asyncio.ensure_future(response.content.readany())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already waiting"):
            await response.content.readany()
        with pytest.raises(RuntimeError, match="waiting"):
            response.content.read_nowait()
        taps.give(b"y", None)
        assert await first == b"y"


async def test_a_body_that_is_cut_gives_what_came_then_the_error(server: Server, taps: Taps) -> None:
    async def cut(request: Any) -> AsyncIterator[bytes]:
        yield b"some"
        await asyncio.sleep(0.02)
        raise ConnectionError("cut")

    server.route("/cut", cut)
    async with ours.ClientSession() as session, session.get(server.url + "/cut") as response:
        content = response.content
        assert await content.read(4) == b"some"
        with pytest.raises(ours.ClientPayloadError) as caught:
            await content.read(4)
        assert isinstance(caught.value.__cause__, Exception)
        assert content.exception() is caught.value
        assert not content.at_eof()
        with pytest.raises(ours.ClientPayloadError):
            await content.readline()
        with pytest.raises(ours.ClientPayloadError):
            content.read_nowait()
        with pytest.raises(ours.ClientPayloadError):
            await content.wait_eof()


async def test_what_came_before_an_error_is_read_however_late(server: Server) -> None:
    server.route("/cut", lambda request: Reply(headers={"Content-Length": "10"}, body=b"some\nmore", close=True))
    async with ours.ClientSession() as session, session.get(server.url + "/cut") as response:
        content = response.content
        await asyncio.sleep(0.05)
        assert await content.readline() == b"some\n"
        assert isinstance(content.exception(), ours.ClientPayloadError)
        assert await content.read(2) == b"mo"
        assert content.read_nowait() == b"re"
        with pytest.raises(ours.ClientPayloadError):
            await content.read(1)


async def test_a_line_may_not_be_endless(server: Server, taps: Taps) -> None:
    for piece in (b"x" * 100_000,) * 12:
        taps.give(piece)
    taps.give(None)
    async with ours.ClientSession() as session, session.get(server.url + "/taps") as response:
        with pytest.raises(LineTooLong) as caught:
            await response.content.readline()
        assert caught.value.args[1] == 2 * 2**18


async def test_large_pieces_are_read_as_asked(server: Server, taps: Taps) -> None:
    whole = bytes(range(256)) * 8000
    server.route("/large", Reply(body=whole))
    for module in (ours, theirs):
        async with module.ClientSession() as session, session.get(server.url + "/large") as response:
            sizes = [len(piece) async for piece in response.content.iter_chunked(1000)]
            assert (sum(sizes), max(sizes)) == (len(whole), 1000)
        async with module.ClientSession() as session, session.get(server.url + "/large") as response:
            assert await response.content.read() == whole


async def test_a_responses_content_is_sent_on(server: Server, taps: Taps) -> None:
    async with (
        ours.ClientSession() as session,
        session.get(server.url + "/body") as response,
        session.post(server.url + "/anything", data=response.content) as echo,
    ):
        assert (await echo.json())["body"].encode() == BODY


async def test_reading_whole_and_by_pieces_meet(server: Server, taps: Taps) -> None:
    told: list[Any] = []
    for module in (ours, theirs):
        async with module.ClientSession() as session, session.get(server.url + "/body") as response:
            first = await response.content.read(6)
            rest = await response.read()
            told.append((first, rest, await response.read(), response.content.at_eof(), await response.content.read()))
        async with module.ClientSession() as session, session.get(server.url + "/body") as response:
            told.append((await response.read(), response.content.at_eof(), await response.content.read(), response.content.total_bytes))
    assert told[:2] == told[2:]


@BOTH
async def test_longer_lines_need_a_larger_buffer(server: Server, module: Any) -> None:
    server.route("/line", Reply(body=b"x" * 700_000 + b"\n"))
    async with module.ClientSession() as session:
        async with session.get(server.url + "/line") as response:
            with pytest.raises(Exception, match="Got more than 524288 bytes"):
                await response.content.readline()
        async with session.get(server.url + "/line", read_bufsize=2**20) as response:
            assert len(await response.content.readline()) == 700_001
    async with module.ClientSession(read_bufsize=2**20) as session, session.get(server.url + "/line") as response:
        assert len(await response.content.readline()) == 700_001


# --- fed by hand ---


class Protocol:
    """Where a reader says how fast it can take more."""

    connected = True

    def __init__(self) -> None:
        self._reading_paused = False
        self.paused = 0

    def pause_reading(self) -> None:
        self._reading_paused = True
        self.paused += 1

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._reading_paused = False


@BOTH
async def test_a_reader_that_is_fed(module: Any) -> None:
    protocol = Protocol()
    reader = module.StreamReader(protocol, 4, loop=asyncio.get_running_loop())
    assert (reader.get_read_buffer_limits(), reader.is_eof(), reader.at_eof()) == ((4, 8), False, False)
    reading = asyncio.ensure_future(reader.readline())
    await asyncio.sleep(0)
    assert not reader.feed_data(b"ab")
    reader.feed_data(b"")
    await asyncio.sleep(0)
    reader.feed_data(b"c\ndefghijkl")
    assert protocol.paused == 1
    assert await reading == b"abc\n"
    assert reader.total_bytes == reader.total_raw_bytes == 13
    assert "9 bytes" in repr(reader)
    assert "low=4 high=8" in repr(reader)
    assert await reader.read(3) == b"def"
    assert reader.read_nowait(3) == b"ghi"
    assert not protocol._reading_paused
    ended: list[int] = []
    reader.on_eof(lambda: ended.append(1))
    reader.on_eof(lambda: ended.append(1 // 0))  # whose error is logged
    waiting = asyncio.ensure_future(reader.wait_eof())
    await asyncio.sleep(0)
    reader.feed_eof()
    await waiting
    reader.on_eof(lambda: ended.append(2))
    assert ended == [1, 2]
    assert (reader.is_eof(), reader.at_eof(), await reader.read(), reader.at_eof()) == (True, False, b"jkl", True)
    with pytest.raises(AssertionError):
        reader.feed_data(b"x")


@BOTH
async def test_a_fed_reader_tells_of_chunks(module: Any) -> None:
    reader = module.StreamReader(Protocol(), 100, loop=asyncio.get_running_loop())
    with pytest.raises(RuntimeError, match="begin"):
        reader.end_http_chunk_receiving()
    reader.begin_http_chunk_receiving()
    reader.feed_data(b"one")
    reader.end_http_chunk_receiving()
    reader.end_http_chunk_receiving()  # nothing has come in between
    reader.begin_http_chunk_receiving()
    reader.feed_data(b"tw")
    assert await reader.readchunk() == (b"one", True)
    assert await reader.readchunk() == (b"tw", False)
    reading = asyncio.ensure_future(reader.readchunk())
    await asyncio.sleep(0)
    reader.feed_data(b"o")
    reader.end_http_chunk_receiving()
    assert await reading == (b"o", True)
    reader.feed_data(b"end")
    reader.end_http_chunk_receiving()
    assert await reader.read(2) == b"en"
    assert await reader.readchunk() == (b"d", True)
    reader.feed_eof()
    assert [pair async for pair in reader.iter_chunks()] == []
    late = module.StreamReader(Protocol(), 100, loop=asyncio.get_running_loop())
    late.feed_data(b"x")
    with pytest.raises(RuntimeError, match="already fed"):
        late.begin_http_chunk_receiving()


@BOTH
async def test_a_fed_reader_tells_of_an_error(module: Any) -> None:
    reader = module.StreamReader(Protocol(), 100, loop=asyncio.get_running_loop())
    reading = asyncio.ensure_future(reader.read(5))
    await asyncio.sleep(0)
    cause = OSError("cause")
    reader.set_exception(ValueError("broken"), cause)
    with pytest.raises(ValueError, match="broken") as caught:
        await reading
    assert caught.value.__cause__ is cause
    assert reader.exception() is caught.value
    for read in (reader.read, reader.readany, reader.readline, reader.readchunk, reader.readexactly):
        with pytest.raises(ValueError, match="broken"):
            await (read(3) if read == reader.readexactly else read())
    with pytest.raises(ValueError, match="broken"):
        reader.read_nowait()


@BOTH
async def test_no_body_at_all(module: Any) -> None:
    empty = module.EMPTY_PAYLOAD
    assert (await empty.read(), await empty.readany(), await empty.readline(), empty.read_nowait()) == (b"", b"", b"", b"")
    assert (empty.at_eof(), empty.is_eof(), empty.exception(), empty.total_bytes) == (True, True, None, 0)
    with pytest.raises(asyncio.IncompleteReadError):
        await empty.readexactly(3)
    await empty.wait_eof()
    empty.feed_eof()
    empty.feed_data(b"x")
    empty.set_exception(ValueError())
    empty.set_read_chunk_size(5)
    assert (await empty.read(), empty.exception(), repr(empty)) == (b"", None, "<EmptyStreamReader>")
    called: list[int] = []
    empty.on_eof(lambda: called.append(1))
    assert called == [1]


@BOTH
async def test_a_queue(module: Any) -> None:
    queue = module.DataQueue(asyncio.get_running_loop())
    reading = asyncio.ensure_future(queue.read())
    await asyncio.sleep(0)
    queue.feed_data("one")
    assert await reading == "one"
    queue.feed_data("two", 3)
    queue.feed_eof()
    assert (len(queue), queue.is_eof(), queue.at_eof()) == (1, True, False)
    assert [item async for item in queue] == ["two"]
    assert queue.at_eof()
    with pytest.raises(module.EofStream):
        await queue.read()
    broken = module.DataQueue(asyncio.get_running_loop())
    reading = asyncio.ensure_future(broken.read())
    await asyncio.sleep(0)
    broken.set_exception(ValueError("broken"))
    for read in (reading, broken.read()):
        with pytest.raises(ValueError, match="broken"):
            await read
    assert isinstance(broken.exception(), ValueError)


@BOTH
async def test_a_queue_with_limits(module: Any) -> None:
    protocol = Protocol()
    queue = module.FlowControlDataQueue(protocol, 2, loop=asyncio.get_running_loop())
    queue.feed_data("x", 5)
    assert protocol._reading_paused
    assert await queue.read() == "x"
    assert not protocol._reading_paused


# --- where chunks end ---


async def chunked(request: Any) -> AsyncIterator[bytes]:
    for piece in (b"one", b"two, longer", b"3" * 70_000, b"x", b"end"):
        yield piece
        await asyncio.sleep(0.01 if piece == b"x" else 0)


async def zipped_chunks(request: Any) -> AsyncIterator[bytes]:
    encoder = zlib.compressobj(wbits=31)
    for piece in (b"one", b"two, longer" * 50, b"3" * 70_000):
        yield encoder.compress(piece) + encoder.flush(zlib.Z_SYNC_FLUSH)
        await asyncio.sleep(0.01)
    yield encoder.compress(b"end") + encoder.flush()


async def whole_chunks(content: Any) -> list[bytes]:
    """As aiohttp's documentation does it."""
    found, buffer = [], b""
    async for data, end_of_http_chunk in content.iter_chunks():
        buffer += data
        if end_of_http_chunk and buffer:  # theirs may tell of the end a second time
            found.append(buffer)
            buffer = b""
    return [*found, buffer]


@BOTH
@pytest.mark.parametrize("wait", [0, 0.1])
async def test_chunks_are_told_apart(server: Server, module: Any, wait: float) -> None:
    server.route("/chunks", chunked)
    async with module.ClientSession() as session, session.get(server.url + "/chunks") as response:
        await asyncio.sleep(wait)
        assert await whole_chunks(response.content) == [b"one", b"two, longer", b"3" * 70_000, b"x", b"end", b""]
        assert response.content.at_eof()


@BOTH
@pytest.mark.parametrize("wait", [0, 0.1])
async def test_encoded_chunks_are_told_apart(server: Server, module: Any, wait: float) -> None:
    server.route("/chunks", lambda request: Reply(headers={"Content-Encoding": "gzip"}, body=zipped_chunks(request)))
    async with module.ClientSession() as session, session.get(server.url + "/chunks") as response:
        await asyncio.sleep(wait)
        assert await whole_chunks(response.content) == [b"one", b"two, longer" * 50, b"3" * 70_000, b"end", b""]


@BOTH
async def test_chunks_after_other_reads(server: Server, module: Any) -> None:
    server.route("/chunks", chunked)
    async with module.ClientSession() as session, session.get(server.url + "/chunks") as response:
        content = response.content
        assert await content.readexactly(5) == b"onetw"
        await asyncio.sleep(0.05)
        assert await content.readchunk() == (b"o, longer", True)


@BOTH
async def test_a_body_that_isnt_chunked_has_no_ends_of_chunks(server: Server, taps: Taps, module: Any) -> None:
    async with module.ClientSession() as session, session.get(server.url + "/body") as response:
        pairs = [pair async for pair in response.content.iter_chunks()]
        assert {end for _, end in pairs} == {False}
        assert b"".join([data for data, _ in pairs]) == BODY


async def test_a_flood_of_chunks_is_taken_in_portions(server: Server) -> None:
    script = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(script)
        await writer.drain()
        writer.close()

    flood = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = flood.sockets[0].getsockname()
    async with flood, ours.ClientSession() as session:
        async with session.get(f"http://{host}:{port}/") as response:
            assert await response.content.readchunk() == (b"x", True)
            assert len(response.content._http_chunk_splits or ()) < 40_000
            assert len(await response.content.read()) == 99_999
        async with session.get(f"http://{host}:{port}/") as response:
            await response.content.wait_eof()
            assert len(response.content.read_nowait()) == 100_000
