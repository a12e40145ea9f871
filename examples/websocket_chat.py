"""A chat over WebSocket: `python examples/websocket_chat.py ws://HOST/ROOM NAME`. Lines of stdin go out, what is said there is printed."""

from __future__ import annotations

import asyncio
import sys
from collections import deque

import aioreq


class Lines:
    """Those of stdin, each until it is sent: a connection may be lost in between."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.ended = False
        self.changed = asyncio.Event()

    async def read(self) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            self.waiting.append(line.strip())
            self.changed.set()
        self.ended = True
        self.changed.set()

    async def say(self, ws: aioreq.WebSocket, name: str) -> None:
        while self.waiting or not self.ended:
            if self.waiting:
                await ws.send_json({"name": name, "text": self.waiting[0]})
                self.waiting.popleft()
            else:
                self.changed.clear()
                await self.changed.wait()
        await ws.ping()  # what the server answered to the last line is here before the pong
        await ws.close()


async def show(ws: aioreq.WebSocket) -> None:
    """Ends when the WebSocket is closed, and raises WebSocketClosed when it is lost."""
    async for message in ws:
        print(message)


async def main(url: str, name: str) -> None:
    lines = Lines()
    async with aioreq.Client() as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(lines.read())
        async for ws in client.websocket_forever(url):  # another one each time the last was lost
            print("connected to", ws.response.url)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(show(ws))
                    both.create_task(lines.say(ws, name))
            except* aioreq.WebSocketClosed as lost:  # or gone silent
                print("lost:", *lost.exceptions)
            if lines.ended and not lines.waiting:
                break


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
