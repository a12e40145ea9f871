"""aioreq, compiled or pure: the environment says which."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aioreq

from .adapter import Adapter, Answer, WebSocket


class Client(Adapter):
    async def __aenter__(self) -> Client:
        limits = aioreq.Limits(connections=self.connections, idle=self.connections)
        self.client = aioreq.Client(verify=self.ca or True, limits=limits, persistent_connections=self.keep, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def get(self, url: str) -> Answer:
        response = await self.client.get(url)
        return response.status, response.content

    async def post(self, url: str, document: Any) -> Answer:
        response = await self.client.post(url, json=document)
        return response.status, response.content

    async def download(self, url: str) -> tuple[int, int]:
        size = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.content:
                size += len(piece)
        return response.status, size

    async def events(self, url: str) -> AsyncIterator[str]:
        async for event in self.client.sse(url, reconnect=False):
            yield event.data

    async def websocket(self, url: str) -> WebSocket:
        ws = await self.client.websocket(url, max_message=None)  # as a piece of one, a gigabyte is none too many
        return WebSocket(ws.send, ws.send, ws.receive, ws.close, ws.receive_pieces)

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        response = await self.client.post(url, content=pieces)
        return response.status, response.content
