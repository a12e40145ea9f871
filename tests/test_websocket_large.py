"""Large messages that come in one frame each, over real sockets: gathered for who waits for them, given by pieces to who asks for these."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from relay import GONE, pump
from websocket_server import BINARY, PING, PONG, TEXT, Peer, WebSocketServer, closing, frame

import aioreq
from aioreq import Client, ReadTimeout, WebSocketClosed
from aioreq.testing import Authority
from aioreq.websocket.inbox import HIGH_WATER
from aioreq.websocket.link import IN_PLACE

pytestmark = pytest.mark.usefixtures("no_hanging")

MIB = 1 << 20
READ = 256 * 1024  # bytes that come at once at most, and more than what is held already


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(timeout=10, retry=0) as client:
        yield client
        assert client.pool().open == 0


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.001)


def numbered(size: int) -> bytes:
    """Bytes of which none can be missing or in another's place."""
    return random.Random(size).randbytes(size)


WIRE = frame(BINARY, numbered(4 * MIB))
HALF = 2 * MIB


class Halves:
    """A server that sends 2 MiB of a message, and the rest once it is told to; with `asked`, the first of it when a frame has come."""

    def __init__(self, wire: bytes = WIRE, behind: bytes = frame(TEXT, b"behind"), asked: bool = False) -> None:
        self.go_on = asyncio.Event()
        self.wire, self.behind, self.asked = wire, behind, asked

    async def __call__(self, peer: Peer) -> None:
        if self.asked:
            await peer.read_frame()
        await peer.write(self.wire[:HALF])
        await self.go_on.wait()
        await peer.write(self.wire[HALF:], self.behind)
        await peer.until_close()
        await peer.write(closing())
        peer.hang_up()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_messages_of_all_sizes(secure: bool, authority: Authority) -> None:
    sizes = [0, 65535, 65536, READ - 10, READ, READ + 1, IN_PLACE * 2, 5, MIB, MIB + 1, 3 * MIB + 7, 1, 8 * MIB, 100_000, 2]
    wanted = [numbered(size) for size in sizes] + ["\u20ac" * size for size in (10, 100_000, MIB // 3, MIB)]

    async def script(peer: Peer) -> None:
        wire = b"".join([frame(TEXT, one.encode()) if isinstance(one, str) else frame(BINARY, one) for one in wanted])
        chance = random.Random(3)
        while wire:
            size = chance.choice((1, 10, 5000, 70_000, 300_000, 2 * MIB))
            await peer.write(wire[:size])
            wire = wire[size:]
            if chance.random() < 0.1:
                await asyncio.sleep(0.001)
        await peer.finish()

    context = authority.server_context("127.0.0.1") if secure else None
    async with Client(timeout=10, retry=0, verify=authority.client_context()) as client:
        for by_pieces in (False, True):
            async with WebSocketServer(script, context=context) as server, client.websocket(server.url) as ws:
                got: list[str | bytes] = []
                if by_pieces:
                    for one in wanted:
                        parts = [piece async for piece in ws.receive_pieces()]
                        got.append("".join(map(str, parts)) if isinstance(one, str) else b"".join(map(bytes, parts)))  # type: ignore[arg-type]
                else:
                    got += [message async for message in ws]
                assert got == wanted


async def test_a_message_that_is_waited_for_is_gathered_and_not_queued(client: Client) -> None:
    script = Halves(asked=True)
    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        await ws.pong()
        await until(lambda: ws._link._parser and ws._link._parser.gathered == HALF - 10)
        assert (ws._inbox.held, ws.received) == (0, True)
        assert ws._link._detached.gathers is not None  # what comes next is read into its own place
        script.go_on.set()
        assert await waiting == numbered(4 * MIB)
        assert await ws.receive() == "behind"
        assert not ws._link.gathers


async def test_reading_pauses_for_what_nobody_waits_for(client: Client) -> None:
    """A large message that somebody is about to take would have it pause each time."""
    async with WebSocketServer() as server, client.websocket(server.url) as ws:
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        ws._link.on_piece(BINARY, bytes(MIB), True, False)
        assert not ws._inbox.full()
        ws._link.on_piece(BINARY, bytes(MIB), True, False)
        assert ws._inbox.full()
        assert await waiting == bytes(MIB)
        assert ws._inbox.full()
        assert await ws.receive() == bytes(MIB)
        assert not ws._inbox.full()


async def test_a_reader_that_is_cancelled_or_late_loses_nothing(client: Client) -> None:
    script = Halves()
    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        for _ in range(3):
            with pytest.raises(ReadTimeout, match="nothing more of a message that it had begun"):
                await ws.receive(timeout=0.05)
            waiting = asyncio.ensure_future(ws.receive())
            await asyncio.sleep(0.01)
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        script.go_on.set()
        assert await ws.receive() == numbered(4 * MIB)
        assert await ws.receive() == "behind"


async def test_a_message_that_nobody_waits_for_holds_the_server_up(client: Client) -> None:
    """Whatever it declares, and however much of it somebody had waited for."""
    message = numbered(15 * MIB)
    script = Halves(frame(BINARY, message), asked=True)
    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        waiting = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        await ws.pong()
        await until(lambda: ws._link._parser and ws._link._parser.gathered == HALF - 10)
        waiting.cancel()
        await asyncio.sleep(0)
        script.go_on.set()
        await until(lambda: ws._inbox.paused)
        assert HIGH_WATER < ws._inbox.held < HALF + MIB + READ  # one more read, into the room that was there
        assert not ws._link.gathers
        assert await ws.receive() == message
        assert await ws.receive() == "behind"


async def test_pieces_come_as_they_arrive(client: Client) -> None:
    """From the first byte of the message on, be it that somebody had waited for the whole before."""
    for waited in (False, True):
        script = Halves()
        async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
            if waited:
                with pytest.raises(ReadTimeout):
                    await ws.receive(timeout=0.05)
            pieces = ws.receive_pieces()
            got = b""
            while len(got) < HALF - 10:
                got += bytes(await anext(pieces))  # type: ignore[arg-type]
            assert got == numbered(4 * MIB)[: HALF - 10]
            script.go_on.set()
            async for piece in pieces:
                got += bytes(piece)  # type: ignore[arg-type]
            assert got == numbered(4 * MIB)
            assert await ws.receive() == "behind"


class Sluice:
    """A way to a server that lets so many bytes back, and the rest once it is opened."""

    def __init__(self, port: int, most: int) -> None:
        self.opened = asyncio.Event()
        self._upstream, self._most = port, most

    async def __aenter__(self) -> Sluice:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        upward = asyncio.create_task(pump(reader, upstream))
        with contextlib.suppress(*GONE):
            left = self._most
            while left and (data := await back.read(min(left, READ))):
                left -= len(data)
                writer.write(data)
            await self.opened.wait()
            await pump(back, writer)
        writer.close()
        await upward


async def test_a_record_that_comes_in_two_halves_is_read_where_it_belongs_then(authority: Authority) -> None:
    """For its first half there was a room, and nothing came into it: once pieces are asked for, the whole must not be sought there."""
    script = Halves()
    script.go_on.set()
    async with (
        WebSocketServer(script, context=authority.server_context("127.0.0.1")) as server,
        Sluice(server.port, MIB + 7777) as sluice,
        Client(timeout=10, retry=0, verify=authority.client_context()) as client,
        client.websocket(f"wss://127.0.0.1:{sluice.port}") as ws,
    ):
        waiting = asyncio.ensure_future(ws.receive())
        face: Any = ws._link.transport.get_protocol()
        await until(lambda: face._room is not None and ws._link._parser and ws._link._parser.gathered > MIB - 20_000)
        waiting.cancel()
        await asyncio.sleep(0)
        pieces = ws.receive_pieces()
        got = bytes(await anext(pieces))  # type: ignore[arg-type]
        assert MIB - 20_000 < len(got) < MIB + 7777
        sluice.opened.set()
        async for piece in pieces:
            got += bytes(piece)  # type: ignore[arg-type]
        assert got == numbered(4 * MIB)
        assert await ws.receive() == "behind"


async def test_a_message_that_the_end_of_the_connection_cuts_off(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(WIRE[:HALF])
        peer.hang_up()

    async with WebSocketServer(script) as server:
        async with client.websocket(server.url) as ws:
            with pytest.raises(WebSocketClosed, match="lost without a close frame"):
                await ws.receive()
            assert ws.received
        async with client.websocket(server.url) as ws:
            got = b""
            with pytest.raises(WebSocketClosed):
                async for piece in ws.receive_pieces():
                    got += bytes(piece)  # type: ignore[arg-type]
            assert got == numbered(4 * MIB)[: HALF - 10]


async def test_closing_amid_a_message_drops_the_rest_of_it(client: Client) -> None:
    script = Halves()
    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        reading = asyncio.ensure_future(anext(ws, "the end"))
        await until(lambda: ws._link.gathers)
        closes = asyncio.ensure_future(ws.close())
        await asyncio.sleep(0)
        script.go_on.set()
        while not closes.done():
            assert not ws._link.gathers or ws._link._parser is None or ws._link._parser.gathered < READ
            await asyncio.sleep(0)
        assert await reading == "the end"
        assert (await server.last()).close == (1000, "")


async def test_a_ping_behind_a_large_message_is_answered(client: Client) -> None:
    script = Halves(behind=frame(PING, b"here?") + frame(TEXT, b"behind"))
    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        script.go_on.set()
        assert await ws.receive() == numbered(4 * MIB)
        assert await ws.receive() == "behind"
        await ws.close()
        answer = (await server.last()).frames[0]
        assert (answer.opcode, answer.payload) == (PONG, b"here?")


async def test_text_that_is_none_is_refused_where_it_is_gathered(client: Client) -> None:
    wire = frame(TEXT, b"a" * 700_000 + b"\xff" + b"b" * 1000)
    script = Halves(wire[:HALF])
    async with WebSocketServer(script) as server, client.websocket(server.url) as ws:
        with pytest.raises(aioreq.RemoteProtocolError, match="no UTF-8"):
            await ws.receive()
        script.go_on.set()
        with pytest.raises(WebSocketClosed):
            await ws.receive()
        assert (await server.last()).close == (1007, "")
