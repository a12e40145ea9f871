"""The limit: the least that a client of asyncio's protocols has to do to get status and body. No timeout, no check, no feature.

Heads are read as far as the body's length needs it. Bytes come by a BufferedProtocol, into one buffer of the loop or straight into a large
body's own; over TLS by a plain Protocol, as asyncio's TLS corrupts what it reads into a buffer of ours.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import zlib
from collections.abc import AsyncIterator
from typing import Any, cast

from .adapter import Adapter, Answer

BUFFER = 256 * 1024  # what asyncio's own loop reads at once
WAITING = 4  # reads of a stream that wait for their reader before the connection is read no further


class Exchange:
    """One connection, and the response that it is reading."""

    transport: asyncio.Transport
    future: asyncio.Future[Any] | None = None
    writable: asyncio.Future[None] | None = None
    left = -1  # bytes of the body still to come; -1: no head yet; -2: chunked
    rest = b""  # an unfinished head, or an unfinished chunk
    status = 0
    packed = False
    streaming = False
    body: bytearray | None = None  # a large one, received where it stays

    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list[Exchange]) -> None:
        self.loop = loop
        self.idle = idle
        self.pieces: list[bytes | bytearray] = []

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.idle:
            self.idle.remove(self)
        for future in (self.future, self.writable):
            if future is not None and not future.done():
                future.set_exception(ConnectionResetError("the server closed the connection"))

    def pause_writing(self) -> None:
        self.writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None

    # -- one exchange

    def send(self, message: bytes) -> asyncio.Future[Any]:
        """The future of the answer, (status, body); of a stream, of its first piece."""
        future = self.future = self.loop.create_future()
        self.transport.write(message)
        return future

    def received(self, data: bytes | bytearray, size: int) -> None:
        """The first `size` bytes of `data`, which is used again afterwards where it is the loop's buffer."""
        if self.left == -1:
            if self.rest:
                data = self.rest + data[:size]
                size = len(data)
            end = data.find(b"\r\n\r\n", 0, size)
            if end < 0:
                self.rest = bytes(data[:size])
                return
            self.rest = b""
            self.read_head(data[:end].lower(), end)
            if self.left > BUFFER and not self.streaming and type(data) is bytearray:
                self.body = bytearray(self.left)
                self.body[: size - end - 4] = memoryview(data)[end + 4 : size]
                self.left -= size - end - 4
                return
            data = data[end + 4 : size]
        else:
            data = data[:size]
        if self.streaming:
            self.stream(data)
        elif self.left >= 0:
            self.left -= len(data)
            if self.left:
                self.pieces.append(data)
            else:
                self.finish(b"".join([*self.pieces, data]) if self.pieces else data)
        else:
            self.read_chunks(data)

    def read_head(self, head: bytes | bytearray, end: int) -> None:
        self.status = int(head[9:12])
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            stop = head.find(b"\r\n", at + 17)
            self.left = int(head[at + 17 : stop if stop >= 0 else end])
        else:
            assert b"\r\ntransfer-encoding: chunked" in head
            self.left = -2
        self.packed = b"\r\ncontent-encoding: gzip" in head

    def read_chunks(self, data: bytes | bytearray) -> None:
        if self.rest:
            data = self.rest + data
        at, pieces = 0, self.pieces
        while True:
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            size = int(data[at:end], 16)
            stop = end + 2 + size
            if len(data) < stop + 2:
                break
            if not size:
                self.rest = b""
                self.finish(b"".join(pieces))
                return
            pieces.append(data[end + 2 : stop])
            at = stop + 2
        self.rest = bytes(data[at:])

    def finish(self, body: bytes | bytearray) -> None:
        self.left = -1
        self.body = None
        if self.pieces:
            self.pieces = []
        if self.future is not None:
            self.future.set_result((self.status, zlib.decompress(body, 31) if self.packed else body))

    # -- a body in pieces: those that its reader hasn't taken yet

    def stream(self, data: bytes | bytearray) -> None:
        self.left -= len(data)
        self.pieces.append(data)
        if len(self.pieces) > WAITING:
            self.transport.pause_reading()
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    async def read_stream(self) -> AsyncIterator[bytes | bytearray]:
        while True:
            pieces, self.pieces = self.pieces, []
            for piece in pieces:
                yield piece
            if self.pieces:
                continue
            if not self.left:
                break
            if not self.transport.is_reading():
                self.transport.resume_reading()
            self.future = self.loop.create_future()
            await self.future
        self.left = -1
        self.streaming = False


class Plain(Exchange, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self.received(data, len(data))


class Buffered(Exchange, asyncio.BufferedProtocol):
    def __init__(self, loop: asyncio.AbstractEventLoop, idle: list[Exchange], buffer: bytearray) -> None:
        super().__init__(loop, idle)
        self.buffer = buffer

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        return self.buffer if self.body is None else memoryview(self.body)[len(self.body) - self.left :]

    def buffer_updated(self, nbytes: int) -> None:
        if self.body is None:
            self.received(self.buffer, nbytes)
        else:
            self.left -= nbytes
            if not self.left:
                self.finish(self.body)


class Client(Adapter):
    BUFFERED = True

    async def __aenter__(self) -> Client:
        self.loop = asyncio.get_running_loop()
        self.context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        self.buffer = bytearray(BUFFER)
        self.idle: list[Exchange] = []
        self.heads: dict[tuple[str, str], tuple[str, int, bytes]] = {}
        return self

    async def __aexit__(self, *_: object) -> None:
        for exchange in list(self.idle):
            exchange.transport.close()

    def protocol(self) -> Exchange:
        if self.BUFFERED and self.context is None:
            return Buffered(self.loop, self.idle, self.buffer)
        return Plain(self.loop, self.idle)

    def head(self, method: str, url: str) -> tuple[str, int, bytes]:
        """Host, port and a head but for its last lines."""
        authority, _, path = url.partition("://")[2].partition("/")
        host, _, port = authority.partition(":")
        close = "" if self.keep else "Connection: close\r\n"
        text = f"{method} /{path} HTTP/1.1\r\nHost: {authority}\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: bare\r\n{close}"
        made = self.heads[method, url] = (host, int(port), text.encode())
        return made

    async def take(self, host: str, port: int) -> Exchange:
        if self.idle:
            return self.idle.pop()
        _, exchange = await self.loop.create_connection(cast("Any", self.protocol), host, port, ssl=self.context)
        return cast(Exchange, exchange)

    def give_back(self, exchange: Exchange) -> None:
        if self.keep:
            self.idle.append(exchange)
        else:
            exchange.transport.close()

    async def get(self, url: str) -> Answer:
        host, port, head = self.heads.get(("GET", url)) or self.head("GET", url)
        return await self.exchange(host, port, head + b"\r\n")

    async def post(self, url: str, document: Any) -> Answer:
        host, port, head = self.heads.get(("POST", url)) or self.head("POST", url)
        body = json.dumps(document).encode()
        fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        return await self.exchange(host, port, head + fields + body)

    async def exchange(self, host: str, port: int, message: bytes) -> Answer:
        exchange = self.idle.pop() if self.idle else await self.take(host, port)
        answer: Answer = await exchange.send(message)
        self.give_back(exchange)
        return answer

    async def download(self, url: str) -> tuple[int, int]:
        host, port, head = self.head("GET", url)
        exchange = await self.take(host, port)
        exchange.streaming = True
        await exchange.send(head + b"\r\n")
        status, size = exchange.status, 0
        async for piece in exchange.read_stream():
            size += len(piece)
        self.give_back(exchange)
        return status, size

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        host, port, head = self.head("POST", url)
        exchange = await self.take(host, port)
        answered = exchange.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        async for piece in pieces:
            exchange.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if exchange.writable is not None:
                await exchange.writable
        exchange.transport.write(b"0\r\n\r\n")
        answer: Answer = await answered
        self.give_back(exchange)
        return answer
