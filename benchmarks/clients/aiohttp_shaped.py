"""What is spoken to as aiohttp is: itself, and the face of aioreq that stands in for it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any, ClassVar, Self

from .adapter import Adapter, Answer, WebSocket


class Shaped(Adapter):
    library: ClassVar[ModuleType]

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=self.ca) if self.ca else True
        connector = self.library.TCPConnector(limit=self.connections, ssl=context, force_close=not self.keep)
        self.session = self.library.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def get(self, url: str) -> Answer:
        async with self.session.get(url) as response:
            return response.status, await response.read()

    async def post(self, url: str, document: Any) -> Answer:
        async with self.session.post(url, json=document) as response:
            return response.status, await response.read()

    async def download(self, url: str) -> tuple[int, int]:
        size = 0
        async with self.session.get(url) as response:
            async for piece in response.content.iter_any():
                size += len(piece)
        return response.status, size

    async def events(self, url: str) -> AsyncIterator[str]:
        """By the lines, as programs do that know their server: it has no reader of events."""
        async with self.session.get(url) as response:
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield line[6:-1].decode()

    async def websocket(self, url: str) -> WebSocket:
        ws = await self.session.ws_connect(url)
        return WebSocket(ws.send_bytes, ws.send_str, ws.receive, ws.close, wrapped=True)

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        async with self.session.post(url, data=pieces) as response:
            return response.status, await response.read()
