"""The client's own work in one warm GET, in CPU instructions: `python -m benchmarks.instructions` (needs valgrind).

A transport that answers inside `write()` takes the kernel and the event loop out of the picture. The bare client on the same transport is
the floor: what stands above it is ours. Instructions don't depend on the machine's mood, so that a test can hold a line here.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .callgrind import of_one

BODY = b'{"id":12345,"name":"small document","tags":["a","b","c"]}'.ljust(200)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Tue, 15 Nov 2025 08:12:31 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 200\r\nConnection: keep-alive\r\nCache-Control: private, max-age=0, must-revalidate\r\n"
    b'ETag: W/"5e15153d-120f"\r\nVary: Accept-Encoding, Accept, Origin\r\nX-Request-Id: 0b9a6f2e-6a44-4c3a-8bd3-0f7a8d3c55aa\r\n'
    b"Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\nX-Content-Type-Options: nosniff\r\n"
    b"X-Frame-Options: DENY\r\n\r\n" + BODY
)
URL = "http://127.0.0.1:8080/json"
SHORT, LONG = 100, 400

Fetch = Callable[[], Awaitable[object]]


class PlayedTransport(asyncio.Transport):
    """Answers each write at once, by way of the protocol's own buffer."""

    def __init__(self, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 8080), "sockname": ("127.0.0.1", 40000)})
        self._protocol = protocol
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._protocol.get_buffer(-1)[: len(ANSWER)] = ANSWER  # type: ignore[index]
        self._protocol.buffer_updated(len(ANSWER))

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


class Bare(asyncio.BufferedProtocol):
    """As little as gets at the body: finds the end of the head and the length, keeps nothing else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.buffer = bytearray(65536)
        self.future: asyncio.Future[tuple[int, bytes]] | None = None
        self.filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self.buffer[:nbytes])
        end = data.index(b"\r\n\r\n") + 4
        at = data.index(b"Content-Length: ") + 16
        length = int(data[at : data.index(b"\r", at)])
        if len(data) == end + length and self.future is not None:
            self.future.set_result((int(data[9:12]), data[end:]))

    def get(self, head: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self.future = self.loop.create_future()
        self.transport.write(head)
        return self.future


def bare_client(loop: asyncio.AbstractEventLoop) -> Fetch:
    protocol = Bare(loop)
    PlayedTransport(protocol)
    idle = [protocol]
    head = b"GET /json HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bare\r\nAccept: */*\r\n\r\n"

    async def fetch() -> object:
        connection = idle.pop()
        try:
            return await connection.get(head)
        finally:
            idle.append(connection)

    return fetch


def aioreq_client(loop: asyncio.AbstractEventLoop) -> Fetch:
    import aioreq
    from aioreq.connection import Connection
    from aioreq.faces import BufferedFace
    from aioreq.opener import Opener

    buffer = memoryview(bytearray(65536))

    class Played(Opener):
        async def open(self, route: Any, opening: Any) -> Connection:
            connection = Connection(loop, aioreq.Limits(), str(route), secure=False)
            PlayedTransport(BufferedFace(connection, buffer))
            return connection

    client = aioreq.Client(trust_env=False)
    client.pool().opener = Played(loop, aioreq.Limits())
    return lambda: client.get(URL)


CLIENTS = {"bare": bare_client, "aioreq": aioreq_client}


async def work(name: str, times: int) -> float:
    """Microseconds a request."""
    fetch = CLIENTS[name](asyncio.get_running_loop())
    for _ in range(50):
        await fetch()
    began = time.perf_counter()
    for _ in range(times):
        await fetch()
    return (time.perf_counter() - began) / times * 1e6


def a_request(name: str) -> float:
    """Instructions of one request."""
    return of_one(lambda times: ["-m", "benchmarks.instructions", name, str(times)], SHORT, LONG)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("client", nargs="?", choices=CLIENTS, help="only run this one, and print its time")
    parser.add_argument("times", nargs="?", type=int, default=20_000)
    arguments = parser.parse_args()
    if arguments.client:
        print(f"{asyncio.run(work(arguments.client, arguments.times)):.2f} us a request")
        return
    counts = {name: a_request(name) for name in CLIENTS}
    for name, count in counts.items():
        print(f"{name:<10} {count:>10,.0f} instructions a request, {count - counts['bare']:>+10,.0f}")


if __name__ == "__main__":
    main()
