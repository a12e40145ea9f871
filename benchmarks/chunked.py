"""A server of prebuilt chunked responses, each in one write, as nginx can't be told how to chunk: `python -m benchmarks.chunked`.

`/together/N` waits for N requests before it answers any, so that as many connections are open. `/events/N` streams N server-sent events, a
chunk each. Prints its URL, serves until terminated.
"""

from __future__ import annotations

import asyncio

from .workloads import event, small

FIELDS = b"Server: chunked\r\nDate: Tue, 15 Nov 2025 08:12:31 GMT\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n"


def framed(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def response(*chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Transfer-Encoding: chunked\r\n\r\n" + framed(*chunks) + b"0\r\n\r\n"


RESPONSES = {
    b"/small": response(*[b"z" * 64] * 128),
    b"/large": response(*[b"z" * 16384] * 4),
    b"/tiny": response(small()[:100], small()[100:]),
}
TOGETHER = b"HTTP/1.1 200 OK\r\n" + FIELDS + b"Content-Length: %d\r\n\r\n%b" % (len(small()), small())


EVENTS = b"HTTP/1.1 200 OK\r\n" + FIELDS.replace(b"application/json", b"text/event-stream") + b"Transfer-Encoding: chunked\r\n\r\n"
EVENT = framed(b"data: %b\n\n" % event())
AT_ONCE = 64  # events in a write


class Serving(asyncio.Protocol):
    waiting: list[asyncio.Transport]
    left = 0  # events
    full = False

    def __init__(self, waiting: list[asyncio.Transport]) -> None:
        self.waiting = waiting
        self.begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self.begun = (self.begun + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1]
            what, _, count = path.rpartition(b"/")
            if path in RESPONSES:
                self.transport.write(RESPONSES[path])
            elif what == b"/events":
                self.left = int(count)
                self.transport.write(EVENTS)
                self.resume_writing()
            else:
                self.gather(int(count))

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        while self.left and not self.full:
            count = min(self.left, AT_ONCE)
            self.left -= count
            self.transport.write(EVENT * count + (b"" if self.left else b"0\r\n\r\n"))

    def gather(self, count: int) -> None:
        self.waiting.append(self.transport)
        if len(self.waiting) == count:
            for transport in self.waiting:
                transport.write(TOGETHER)
            self.waiting.clear()


async def main() -> None:
    waiting: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(lambda: Serving(waiting), "127.0.0.1", 0, backlog=4096)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
