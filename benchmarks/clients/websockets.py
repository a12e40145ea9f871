"""websockets: its asyncio client, compiled where the platform has its extension."""

from __future__ import annotations

from websockets.asyncio.client import connect

from .adapter import Adapter, WebSocket


class Client(Adapter):
    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def websocket(self, url: str) -> WebSocket:
        ws = await connect(url, compression=None, proxy=None, max_size=None)  # it bounds all pieces together
        return WebSocket(ws.send, ws.send, ws.recv, ws.close, ws.recv_streaming)
