"""WebSockets under pressure: whoever is slow, on either side, is waited for, and however much comes, little of it is held.

AIOREQ_WEBSOCKET_MB says how much goes through the tests that look at the memory; 1000 is a gigabyte.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from websocket_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Deflating,
    Peer,
    WebSocketServer,
    closing,
    fragments,
    frame,
    saying,
)
from websocket_wires import deflated

import aioreq
from aioreq import Client, WebSocketClosed
from aioreq.websocket.inbox import HIGH_WATER, PIECE

pytestmark = pytest.mark.usefixtures("no_hanging")

MIB = 1 << 20
AMOUNT = int(os.environ.get("AIOREQ_WEBSOCKET_MB", "48")) * MIB
READ = 256 * 1024  # bytes that come at once at most, and more than what is held already
GROWTH = 12 * MIB  # what a process may take more than before, whatever went through


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(timeout=10, retry=0) as client:
        yield client
        assert client.pool().open == 0


def stop_reading(peer: Peer) -> None:
    cast(asyncio.Transport, peer.writer.transport).pause_reading()


def go_on_reading(peer: Peer) -> None:
    cast(asyncio.Transport, peer.writer.transport).resume_reading()


SMALL = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)]


def narrow(peer: Peer) -> None:
    """Have the system keep little of what is on its way; the client's side of it are its `SMALL` options."""
    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)


@pytest.fixture
async def narrow_client() -> AsyncIterator[Client]:
    async with Client(timeout=10, retry=0, socket_options=SMALL) as client:
        yield client


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def at_rest(count: Callable[[], int]) -> int:
    """What is counted, once it stands still: buffers on the way may take a little more, a while later."""
    async with asyncio.timeout(20):
        before = -1
        while before != (before := count()):  # noqa: ASYNC110
            await asyncio.sleep(0.25)
    return before


# -- what comes


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000])
async def test_messages_that_nobody_reads_hold_the_server_up(narrow_client: Client, size: int) -> None:
    count, written = max(20_000_000 // (size + 100) // 100 * 100, 200), 0

    async def script(peer: Peer) -> None:
        nonlocal written
        narrow(peer)
        wire = frame(BINARY, bytes(size))
        for _ in range(0, count, 100):
            await peer.write(wire * 100)
            written += 100
        await peer.finish()

    async with WebSocketServer(script) as server, narrow_client.websocket(server.url) as ws:
        inbox = ws._inbox
        await until(lambda: inbox.paused)
        assert await at_rest(lambda: written) < count
        assert HIGH_WATER < inbox.held <= HIGH_WATER + READ // (size + 2) * (size + PIECE) + size + PIECE
        got = 0
        async for message in ws:
            assert message == bytes(size)
            got += 1
            assert inbox.held <= HIGH_WATER + READ // (size + 2) * (size + PIECE) + size + PIECE
        assert got == count


async def test_fragments_that_nobody_reads_hold_the_server_up(narrow_client: Client) -> None:
    """Of one byte, one of which is nothing beside what it costs to keep it."""
    count, written = 300_000, 0

    async def script(peer: Peer) -> None:
        nonlocal written
        narrow(peer)
        await peer.write(frame(TEXT, b"x", fin=False))
        for _ in range(0, count, 1000):
            await peer.write(frame(CONTINUATION, b"x", fin=False) * 1000)
            written += 1000
        await peer.write(frame(CONTINUATION))
        await peer.finish()

    async with WebSocketServer(script) as server, narrow_client.websocket(server.url) as ws:
        await until(lambda: ws._inbox.paused)
        assert await at_rest(lambda: written) < count
        assert await ws.receive() == "x" * (count + 1)


async def test_empty_fragments_take_no_room(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(frame(TEXT, b"a", fin=False))
        for _ in range(100):
            await peer.write(frame(CONTINUATION, fin=False) * 1000)
        await peer.write(frame(CONTINUATION, b"b"))
        await peer.finish()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        await until(lambda: len(ws._inbox.pieces) == 2)
        assert not ws._inbox.paused
        assert await ws.receive() == "ab"


async def test_pings_while_our_answers_are_not_read(client: Client) -> None:
    """One pong at most waits, and it answers the last ping that came (section 5.5.3)."""
    count = 100_000
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        stop_reading(peer)
        for start in range(0, count, 500):
            await peer.write(b"".join([frame(PING, b"%0100d" % number) for number in range(start, start + 500)]))
        await peer.write(frame(TEXT, b"behind them"))
        await arrived.wait()
        go_on_reading(peer)
        await peer.until_close()
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        assert await ws.receive() == "behind them"
        assert ws._link.unsent() < 2 * READ
        arrived.set()
        await until(lambda: not ws._link.unsent())
        await ws.send("more")
        await ws.close()
        (peer,) = await server.ended()
        pongs = [int(one.payload) for one in peer.frames if one.opcode == PONG]
        assert pongs == sorted(set(pongs))
        assert pongs[-1] == count - 1
        assert len(pongs) < count
        assert [one.payload for one in peer.frames if one.opcode == TEXT] == [b"more"]


async def test_pings_and_pongs_while_nobody_reads_messages(client: Client) -> None:
    """They aren't messages: they are answered all the same, and take no room."""
    server = WebSocketServer(saying(*[frame(PING, b"%d" % n) + frame(PONG, b"unasked") for n in range(5000)]))
    async with server, client.websocket(server.url, close_timeout=0.1) as ws:
        await until(lambda: len(server.peers[0].frames) == 5000)
        assert ws._inbox.held == 0
        assert [one.payload for one in server.peers[0].frames] == [b"%d" % n for n in range(5000)]


async def test_a_flood_of_pings_that_ends_in_a_reset_is_answered_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is written to a connection that is known to be broken: asyncio would log each time."""

    async def script(peer: Peer) -> None:
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
        peer.writer.write(frame(PING) * 100_000)  # each is answered by three times as much
        peer.reset()

    async with Client(retry=0, socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)]) as client, WebSocketServer(script) as server:
        ws = await client.websocket(server.url)
        with pytest.raises(WebSocketClosed):
            await ws.receive()
    assert not caplog.records


# -- what goes out


async def test_messages_that_the_server_does_not_read_hold_the_sender_up(client: Client) -> None:
    reads = asyncio.Event()
    total = 0

    async def script(peer: Peer) -> None:
        nonlocal total
        stop_reading(peer)
        await reads.wait()
        go_on_reading(peer)
        while (message := await peer.message()) is not None:
            total += len(message)
            peer.frames.clear()
        await peer.write(closing())
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(200):
                await ws.send(bytes(100_000))
                sent += 1

        sending = asyncio.ensure_future(send())
        assert await at_rest(lambda: sent) < 200
        assert ws._link.unsent() < 300_000
        # Control frames wait for nobody, and neither loses what is on its way.
        with pytest.raises(aioreq.ReadTimeout):
            await ws.ping(timeout=0.01)
        reads.set()
        await sending
        await ws.close()
        assert total == 20_000_000


async def test_a_sender_that_is_cancelled_while_it_waits_sent_nothing(client: Client) -> None:
    reads = asyncio.Event()
    got: list[Any] = []

    async def script(peer: Peer) -> None:
        stop_reading(peer)
        await reads.wait()
        go_on_reading(peer)
        while (message := await peer.message()) is not None:
            got.append(message)
        await peer.write(closing())
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        count = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    await ws.send(b"%07d" % count + bytes(99_993))
                    count += 1
        reads.set()
        await ws.send("last")
        await ws.close()
        assert [message[:7] for message in got] == [*[b"%07d" % number for number in range(count)], "last"]


# -- who lives


async def test_a_server_that_is_silent_is_given_up(client: Client) -> None:

    async def deaf(peer: Peer) -> None:
        while (await peer.message(pong=False)) is not None:
            pass
        peer.hang_up()

    async with WebSocketServer(deaf) as server:
        async with client.websocket(server.url, ping_interval=0.05, ping_timeout=0.05) as ws:
            with pytest.raises(WebSocketClosed, match="no ping"):
                await ws.receive()
            with pytest.raises(WebSocketClosed, match="no ping"):
                await ws.send("x")
        peer = await server.last()
        assert [one.opcode for one in peer.frames] == [PING, CLOSE]
        assert peer.close is not None
        assert peer.close[0] == 1011


async def test_a_message_that_comes_slowly_shows_life(client: Client) -> None:
    """No pong can come between: it is one frame."""

    async def script(peer: Peer) -> None:
        wire = frame(BINARY, bytes(30))
        for at in range(len(wire)):
            await peer.write(wire[at : at + 1])
            await asyncio.sleep(0.02)
        await peer.until_close()
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url, ping_interval=0.1, ping_timeout=0.2) as ws:
        assert await ws.receive() == bytes(30)


async def test_a_reader_who_takes_a_break_does_not_blame_the_server(client: Client) -> None:
    """While reading stands still no pong can be seen."""

    async def script(peer: Peer) -> None:
        for _ in range(30):
            await peer.write(frame(BINARY, bytes(100_000)))
        while await peer.message() is not None:
            pass
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url, ping_interval=0.05, ping_timeout=0.05) as ws:
        await until(lambda: ws._inbox.paused)
        await asyncio.sleep(0.4)
        for _ in range(30):
            assert await ws.receive() == bytes(100_000)
        assert await ws.ping() > 0


# -- the memory


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Memory:
    """How much more there is than at first."""

    def __init__(self) -> None:
        self.first = resident()
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, resident() - self.first)


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")


@contextlib.contextmanager
def flat() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    memory.look()
    assert memory.most < GROWTH, f"{memory.most >> 20} MiB more for {AMOUNT >> 20} MiB that went through"


@needs_proc
@pytest.mark.slow
async def test_a_stream_of_messages_takes_no_memory(client: Client) -> None:
    size = 64 * 1024

    async def script(peer: Peer) -> None:
        wire = frame(BINARY, bytes(size)) * 4
        for _ in range(AMOUNT // size // 4):
            await peer.write(wire)
        await peer.finish()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        await ws.receive()
        with flat() as memory:
            got = size
            async for message in ws:
                got += len(message)
                if got % (MIB * 4) == 0:
                    memory.look()
        assert got == AMOUNT // size // 4 * 4 * size


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one frame", "fragments", "text", "compressed"])
async def test_one_large_message_by_pieces_takes_no_memory(client: Client, kind: str) -> None:
    size = MIB
    count = AMOUNT // size

    async def script(peer: Peer) -> None:
        piece = b"a" * size
        if kind == "one frame":
            await peer.write(frame(BINARY, b"", declared=count * size, bits=64))
            for _ in range(count):
                await peer.write(piece)
        elif kind == "compressed":
            await peer.write(frame(BINARY, fin=False, rsv=4))
            for _ in range(count):
                await peer.write(frame(CONTINUATION, deflated(piece) + b"\x00\x00\xff\xff", fin=False))
            await peer.write(frame(CONTINUATION, b"\x00"))
        else:
            await peer.write(frame(TEXT if kind == "text" else BINARY, fin=False))
            for _ in range(count):
                await peer.write(frame(CONTINUATION, piece, fin=False))
            await peer.write(frame(CONTINUATION))
        await peer.until_close()
        peer.hang_up()

    server = WebSocketServer(script, deflate=Deflating())
    async with server, client.websocket(server.url, max_message=None, compression=kind == "compressed") as ws:
        got = looked = 0
        with flat() as memory:
            async for piece in ws.receive_pieces():
                got += len(piece)
                if got - looked > 4 * MIB:
                    looked = got
                    memory.look()
        assert got == count * size


@needs_proc
@pytest.mark.slow
async def test_a_bomb_by_pieces_takes_no_memory_and_lets_others_run(client: Client) -> None:
    """A thousandth of it comes, at once."""
    bomb = frame(BINARY, deflated(bytes(AMOUNT)), rsv=4)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    server = WebSocketServer(saying(bomb), deflate=Deflating())
    async with server, client.websocket(server.url, max_message=None, compression=True, close_timeout=0.1) as ws:
        await until(lambda: ws._inbox.held >= min(len(bomb) // 2, HIGH_WATER))
        running = asyncio.ensure_future(others())
        got = turns = 0
        with flat() as memory:
            async for piece in ws.receive_pieces():
                got += len(piece)
                memory.look()
        running.cancel()
        assert got == AMOUNT
        assert turns > AMOUNT // (64 * 1024 * 40)  # some steps of 64 KiB each


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("pieces", [True, False], ids=["one message of pieces", "messages"])
async def test_sending_takes_no_memory(client: Client, pieces: bool) -> None:
    size, total = MIB, 0

    async def script(peer: Peer) -> None:
        nonlocal total
        while (one := await peer.read_frame()).opcode != CLOSE:
            if one.opcode == PING:
                await peer.write(frame(PONG, one.payload))
            else:
                total += len(one.payload)
            peer.frames.clear()
        await peer.write(closing())
        peer.hang_up()

    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        data = bytes(size)
        for _ in range(4):
            await ws.send(data)
        with flat() as memory:

            async def given() -> AsyncIterator[bytes]:
                for _ in range(AMOUNT // size):
                    memory.look()
                    yield data

            if pieces:
                await ws.send(given())
            else:
                async for piece in given():
                    await ws.send(piece)
        await ws.close()
        assert total == 4 * size + AMOUNT // size * size


async def test_fragments_of_all_sizes_are_put_together(client: Client) -> None:
    pieces = [bytes([n % 251]) * (n * n % 5000) for n in range(300)]
    async with WebSocketServer(saying(fragments(BINARY, pieces))) as server, client.websocket(server.url, close_timeout=0.1) as ws:
        assert await ws.receive() == b"".join(pieces)
