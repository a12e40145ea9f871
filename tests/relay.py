"""A proxy in the test's own loop, that does as it is told: HTTP, also behind TLS, or SOCKS. Knows nothing of aioreq."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nX-Relay: yes\r\n\r\n"
GRANTED = b"\x00"
GONE = (OSError, EOFError, RuntimeError)  # the last is uvloop's, of a transport that is closed already


class Relay:
    """`heads` is what it was sent as HTTP, `greetings` as SOCKS; `answer` and `reply` (of the host asked for) say what it says."""

    def __init__(self, context: ssl.SSLContext | None = None, socks: bool = False) -> None:
        self.answer = ESTABLISHED
        self.reply: Callable[[str], bytes] = lambda host: GRANTED
        self.dribble = False  # one byte at a time
        self.heads: list[bytes] = []
        self.greetings: list[bytes] = []
        self.accepted = 0
        self._context = context
        self._target = self._socks_target if socks else self._http_target
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """An HTTP proxy's."""
        return f"{'https' if self._context else 'http'}://{self.address}"

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for _ in range(5):  # what the loop has accepted already becomes a connection within these turns
            await asyncio.sleep(0)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)  # in which they are forgotten: of tasks that are all done CPython 3.12 waits for none
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upward = None
        try:
            target = await self._target(reader, writer)
            if target is None:
                return
            host, port, first = target
            back, upstream = await asyncio.open_connection(host, port)
            upstream.write(first)
            upward = asyncio.create_task(pump(reader, upstream))
            await pump(back, writer)
        except GONE:
            pass
        finally:
            if upward is not None:
                upward.cancel()
            writer.close()

    async def _http_target(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes] | None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        if method != "CONNECT":
            # Forwarded as it came, but for the form of the target: whoever adds nothing of its own shows what it was given.
            authority, _, path = target.removeprefix("http://").partition("/")
            host, _, port = authority.rpartition(":")
            return host.strip("[]"), int(port), head.replace(target.encode(), b"/" + path.encode(), 1)
        for piece in [bytes([byte]) for byte in self.answer] if self.dribble else [self.answer]:
            writer.write(piece)
            await asyncio.sleep(0.001 if self.dribble else 0)
        host, _, port = target.rpartition(":")
        return (host.strip("[]"), int(port), b"") if b" 200" in self.answer else None

    async def _socks_target(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int, bytes] | None:
        version = await reader.readexactly(1)
        if version == b"\x04":
            request = await reader.readexactly(7)
            user = await reader.readuntil(b"\0")
            name = await reader.readuntil(b"\0") if request[3:6] == b"\0\0\0" else b""  # SOCKS4a
            self.greetings.append(version + request + user + name)
            host, port = name[:-1].decode() or socket.inet_ntoa(request[3:7]), int.from_bytes(request[1:3], "big")
            reply = self.reply(host)
            writer.write(b"\x00" + (b"\x5a" if reply == GRANTED else reply) + request[1:7])
        else:
            methods = await reader.readexactly((await reader.readexactly(1))[0])
            greeting = version + methods
            if b"\x02" in methods:  # RFC 1929
                writer.write(b"\x05\x02")
                user = await reader.readexactly((await reader.readexactly(2))[1])
                greeting += user + b":" + await reader.readexactly((await reader.readexactly(1))[0])
                writer.write(b"\x01\x00")
            else:
                writer.write(b"\x05\x00")
            kind = (await reader.readexactly(4))[3]
            if kind == 3:
                host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            else:
                host = socket.inet_ntop(socket.AF_INET6 if kind == 4 else socket.AF_INET, await reader.readexactly(16 if kind == 4 else 4))
            port = int.from_bytes(await reader.readexactly(2), "big")
            self.greetings.append(greeting + bytes([kind]) + host.encode())
            reply = self.reply(host)
            writer.write(b"\x05" + reply + b"\x00\x01\x7f\x00\x00\x01\x00\x50")
        return (host, port, b"") if reply == GRANTED else None


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes on what comes, and the end of it."""
    try:
        with contextlib.suppress(*GONE):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
