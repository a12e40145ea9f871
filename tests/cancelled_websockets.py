"""The WebSockets among the requests that test_cancellation.py cancels, and what their server does: a kind for each way there is."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest
from websocket_server import TEXT, Deflating, Peer, WebSocketServer, closing, echo, frame, refusal

import aioreq
from aioreq.testing import Server

LARGE = 30_000  # bytes: some of these are more than a transport takes at once
STEP = 4096  # bytes that are compressed at once here


async def speak(peer: Peer) -> None:
    """What the path says, and then an echo."""
    what, number = peer.path[1:].split("/")
    match what:
        case "late":
            transport = cast(asyncio.Transport, peer.writer.transport)
            transport.pause_reading()
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            await asyncio.sleep(0.01)
            transport.resume_reading()
        case "pieces":
            for opcode, fin in ((TEXT, False), (0, False), (0, False), (0, True)) * 3:
                data = number.encode() + b","
                if peer.deflate is not None:
                    data = peer.deflated(data) + (b"" if fin else b"\x00\x00\xff\xff")
                await peer.write(frame(opcode, data, fin=fin, rsv=4 if opcode and peer.deflate else 0))
                await asyncio.sleep(0)
        case "ticks":
            await peer.write(frame(TEXT, number.encode()))
            await asyncio.sleep(0)
            peer.reset()
        case "closing":
            await peer.write(frame(TEXT, number.encode()), closing(1001))
    await echo(peer)


class WebSockets(WebSocketServer):
    """Plain or over TLS. The first time that it is asked for /busy/{n} it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(speak, upgrade=self.answer, deflate=Deflating(), **options)
        self.asked: set[str] = set()

    def answer(self, peer: Peer) -> bytes:
        if peer.path.startswith("/busy/") and peer.path not in self.asked:
            self.asked.add(peer.path)
            return refusal("503 Service Unavailable", b"later")
        return self.right(peer)


class Words(str):
    """A str that isn't exactly one."""

    __slots__ = ()


def same(got: object, expected: object) -> None:
    assert got == expected, f"{got!r:.60} instead of {expected!r:.60}"


class WebSocketKinds:
    """Each kind opens a WebSocket, and knows an answer that is its own from another's."""

    random: random.Random
    client: aioreq.Client
    web_socket_url: Callable[[Server], str]
    slow_pieces: Callable[[list[Any]], AsyncIterator[Any]]

    async def ask_web_socket(self, server: Server, number: int) -> None:
        async with self.client.websocket(f"{self.web_socket_url(server)}/echo/{number}") as ws:
            await ws.send(str(number))
            same(await ws.receive(), str(number))
            await ws.send_json([number])
            same(await ws.receive_json(), [number])
            assert await ws.ping() > 0

    async def ask_web_socket_by_hand(self, server: Server, number: int) -> None:
        ws = await self.client.websocket(f"{self.web_socket_url(server)}/closing/{number}")
        try:
            same([message async for message in ws], [str(number)])
            await ws.close()
        finally:
            ws.abandon()

    async def ask_web_socket_with_a_limit(self, server: Server, number: int) -> None:
        """Neither a limit that passes nor a ping that isn't waited for loses anything."""
        async with self.client.websocket(f"{self.web_socket_url(server)}/echo/{number}") as ws:
            with pytest.raises(aioreq.ReadTimeout):
                await ws.receive(timeout=0.002)
            await ws.send(str(number))
            with contextlib.suppress(aioreq.ReadTimeout):
                await ws.ping(timeout=0)
            same(await ws.receive(timeout=20), str(number))

    async def ask_web_socket_for_pieces(self, server: Server, number: int) -> None:
        """One message is left where it stands, for the next one whole or by pieces."""
        by_pieces, compressed = self.random.random() < 0.5, self.random.random() < 0.5
        expected = f"{number}," * 4
        async with self.client.websocket(f"{self.web_socket_url(server)}/pieces/{number}", compression=compressed) as ws:
            async for piece in ws.receive_pieces():
                same(piece, expected[: len(piece)])
                break
            if by_pieces:
                same("".join([str(piece) async for piece in ws.receive_pieces()]), expected)
            else:
                same(await ws.receive(), expected)
            same(await ws.receive(), expected)

    async def ask_web_socket_in_pieces(self, server: Server, number: int) -> None:
        pieces = [f"{number},"] * 4
        for given in (pieces, self.slow_pieces(pieces)):
            async with self.client.websocket(f"{self.web_socket_url(server)}/echo/{number}") as ws:
                await ws.send(given)
                same(await ws.receive(), "".join(pieces))

    async def ask_web_socket_that_reads_late(self, server: Server, number: int) -> None:
        """Who sends waits, whatever it is."""
        data = b"%08d" % number * (LARGE // 8)
        messages: list[Any] = [data, bytearray(data), Words(data.decode()), data.decode(), [data[:9000], data[9000:]]]
        self.random.shuffle(messages)
        async with self.client.websocket(f"{self.web_socket_url(server)}/late/{number}") as ws:
            receiving = asyncio.ensure_future(self.received(ws, len(messages) + 1))
            try:
                for message in messages:
                    await ws.send(message)
                    for _ in range(6):
                        await ws.pong(b"late")
                await ws.send_json(data.decode())
                for message in await receiving:
                    assert data in (message if isinstance(message, bytes) else message.encode())
            finally:
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    async def received(self, ws: aioreq.WebSocket, count: int) -> list[str | bytes]:
        return [await ws.receive() for _ in range(count)]

    async def ask_web_socket_that_reads_pieces_late(self, server: Server, number: int) -> None:
        data = b"%08d" % number * (LARGE // 8)

        def pieces() -> Iterator[bytes]:
            for _ in range(15):
                yield data

        async with self.client.websocket(f"{self.web_socket_url(server)}/late/{number}") as ws:
            given: Any = self.random.choice([pieces(), self.slow_pieces([data] * 15)])
            await ws.send(given)
            same(await ws.receive(), data * 15)

    async def ask_web_socket_compressed(self, server: Server, number: int) -> None:
        """What is large is compressed by steps, some of which give nothing yet."""
        messages = [b"%08d" % number * 100, bytes(4 * STEP), self.random.randbytes(3 * STEP)]
        async with self.client.websocket(f"{self.web_socket_url(server)}/echo/{number}", compression=True) as ws:
            for message in messages:
                await ws.send(message)
                same(await ws.receive(), message)

    async def ask_web_socket_compressed_that_reads_late(self, server: Server, number: int) -> None:
        data = self.random.randbytes(10 * LARGE)
        async with self.client.websocket(f"{self.web_socket_url(server)}/late/{number}", compression=True) as ws:
            await ws.send(data)
            same(await ws.receive(), data)

    async def ask_web_socket_while_another_sends_pieces(self, server: Server, number: int) -> None:
        async with self.client.websocket(f"{self.web_socket_url(server)}/echo/{number}") as ws:
            others = self.slow_pieces([f"{number}, "] * 5)
            sending = asyncio.ensure_future(ws.send(others))
            try:
                await asyncio.sleep(0)
                given: Any = self.random.choice([str(number), [str(number)]])
                await ws.send(given)
                await sending
                same([await ws.receive(), await ws.receive()], [f"{number}, " * 5, str(number)])
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def ask_web_socket_of_what_is_none(self, server: Server, number: int) -> None:
        with pytest.raises(aioreq.WebSocketRefused) as caught:
            await self.client.websocket(f"{server.url.replace('http', 'ws', 1)}/missing/{number}")
        response = caught.value.response
        assert isinstance(response, aioreq.Response)
        assert response.content.startswith(b"%d," % number)

    async def ask_web_sockets_forever(self, server: Server, number: int) -> None:
        """The server is busy at first, or drops each connection; the last one is closed by this side."""
        what, count = self.random.choice([("busy", 1), ("ticks", 3)]), 0
        web_sockets = self.client.websocket_forever(f"{self.web_socket_url(server)}/{what[0]}/{number}", backoff=0.002, max_wait=0.004)
        try:
            async for ws in web_sockets:
                if what[0] == "busy":
                    await ws.send(str(number))
                same(await ws.receive(), str(number))
                count += 1
                if count == what[1]:
                    break
        finally:
            await web_sockets.close()


__all__ = ["STEP", "WebSocketKinds", "WebSockets"]
