"""A WebSocket server that gives each message back: `python -m benchmarks.echo`. What one read brought goes out in one write.

`/echo` echoes. `/messages/COUNT/SIZE` sends so many messages of SIZE bytes, `/message/COUNT/SIZE` one message in so many fragments; both
end with a close frame. Frames are made by hand here, so that none of those measured serves the others. Prints its URL, serves until
terminated.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import cast

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
CONTINUATION, BINARY, CLOSE = 0, 2, 8
FIN = 0x80


def head(first: int, size: int) -> bytes:
    """A frame's head as servers send it: unmasked (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes((first, size))
    return bytes((first, 126)) + size.to_bytes(2, "big") if size < 65536 else bytes((first, 127)) + size.to_bytes(8, "big")


def echoed(data: bytes) -> tuple[list[bytes], int]:
    """The answers to the whole frames in `data`, and where the first unfinished one begins."""
    answers: list[bytes] = []
    at, end = 0, len(data)
    while end - at >= 6:
        first, size, start = data[at], data[at + 1] & 127, at + 6
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 8
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 14
        stop = start + size
        if stop > end or start > end:
            break
        key = (data[start - 4 : start] * (size // 4 + 1))[:size]
        payload = (int.from_bytes(data[start:stop], "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
        at = stop
        if first & 15 <= CLOSE:  # pings and pongs aren't answered: nobody pings within a slice
            answers += (head(first, size), payload)
    return answers, at


class Serving(asyncio.Protocol):
    begun = b""  # a head or a frame that isn't all here
    open = False
    sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        if self.sending is not None:
            self.sending.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        data = self.begun + data if self.begun else data
        if not self.open:
            request, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.begun = request
                return
            self.shake_hands(request)
        answers, at = echoed(data)
        self.begun = data[at:]
        if answers and self.sending is None:
            self.transport.write(b"".join(answers))
        if answers and answers[-2][0] == FIN | CLOSE:
            self.transport.close()

    def shake_hands(self, request: bytes) -> None:
        key = re.search(rb"^sec-websocket-key: *(\S+)", request, re.MULTILINE | re.IGNORECASE)
        assert key is not None, request
        accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
        fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n" + fields)
        self.open = True
        what, *numbers = request.split(b" ", 2)[1].strip(b"/").split(b"/")
        if what != b"echo":
            count, size = map(int, numbers)
            self.sending = asyncio.get_running_loop().create_task(self.send(count, size, whole=what == b"messages"))

    async def send(self, count: int, size: int, *, whole: bool) -> None:
        payload = bytes(size)
        for number in range(count):
            opcode = BINARY if whole or not number else CONTINUATION
            self.transport.write(head(opcode | (FIN if whole or number == count - 1 else 0), size) + payload)
            if not self.writable.is_set():
                await self.writable.wait()
        self.transport.write(head(FIN | CLOSE, 2) + (1000).to_bytes(2, "big"))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Serving, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"ws://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
