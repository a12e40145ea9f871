"""picows, the limit of WebSocket: compiled, it calls back with each frame; here with the least that makes `await receive()` of it."""

from __future__ import annotations

import asyncio
from collections import deque

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .adapter import Adapter, WebSocket


class Listener(WSListener):  # type: ignore[misc] # its types aren't looked at
    waiter: asyncio.Future[bytes | str] | None = None

    def __init__(self) -> None:
        self.messages: deque[bytes | str] = deque()
        self.loop = asyncio.get_running_loop()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            message: bytes | str = frame.get_payload_as_bytes()
        elif frame.msg_type is WSMsgType.TEXT:
            message = frame.get_payload_as_utf8_text()
        else:
            transport.send_close()
            transport.disconnect()
            return
        if self.waiter is None:
            self.messages.append(message)
        else:
            self.waiter.set_result(message)
            self.waiter = None

    async def send(self, message: bytes) -> None:
        self.transport.send(WSMsgType.BINARY, message)

    async def send_text(self, message: str) -> None:
        self.transport.send(WSMsgType.TEXT, message)

    async def receive(self) -> bytes | str:
        if self.messages:
            return self.messages.popleft()
        self.waiter = self.loop.create_future()
        return await self.waiter

    async def close(self) -> None:
        self.transport.disconnect()
        await self.transport.wait_disconnected()


class Client(Adapter):
    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def websocket(self, url: str) -> WebSocket:
        _, listener = await ws_connect(Listener, url)
        return WebSocket(listener.send, listener.send_text, listener.receive, listener.close)
