"""A WebSocket server in a thread, for scripts that run in a process of their own: what it does stands in the path. Knows nothing of aioreq.

`/echo` gives back what comes, in the first subprotocol that is offered; `/ticks` says `tick 1`, `tick 2`, ... and drops the connection
after every second one; `/news` sends three documents of JSON and closes; `/large` sends one message of a megabyte in sixteen fragments;
`/busy` answers 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator

from websocket_server import BINARY, Peer, WebSocketServer, echo, fragments, refusal, switching

__all__ = ["rooms"]


class _Rooms:
    def __init__(self) -> None:
        self.ticks = 0

    def upgrade(self, peer: Peer) -> bytes:
        if peer.path == "/busy":
            return refusal("503 Service Unavailable", b"come back later")
        offered = peer.fields.get("sec-websocket-protocol", [""])[0].split(",")[0].strip()
        return switching(peer, [("Sec-WebSocket-Protocol", offered)] if offered else [])

    async def serve(self, peer: Peer) -> None:
        if peer.path == "/ticks":
            for _ in range(2):
                self.ticks += 1
                await peer.send(f"tick {self.ticks}")
            peer.reset()
        elif peer.path == "/news":
            for number in range(3):
                await peer.send(json.dumps({"number": number}))
            await peer.finish(1000, "that is all")
        elif peer.path == "/large":
            await peer.write(fragments(BINARY, [bytes(65536)] * 16))
        await echo(peer)


@contextlib.contextmanager
def rooms() -> Iterator[str]:
    """Its URL, without a path."""
    started = threading.Event()
    end: Callable[[], object]
    url = ""

    async def serve() -> None:
        nonlocal end, url
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        own = _Rooms()
        async with WebSocketServer(own.serve, upgrade=own.upgrade) as server:
            url, end = server.url, lambda: loop.call_soon_threadsafe(ended.set)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    started.wait()
    try:
        yield url
    finally:
        end()
        thread.join()
