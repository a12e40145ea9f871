"""niquests, by its asynchronous session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import niquests

from .adapter import Adapter, Answer


class Client(Adapter):
    async def __aenter__(self) -> Client:
        self.session = niquests.AsyncSession(pool_connections=self.connections, pool_maxsize=self.connections)
        self.session.trust_env = False
        if self.ca:
            self.session.verify = self.ca
        if not self.keep:  # it has no switch of its own
            self.session.headers["Connection"] = "close"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def get(self, url: str) -> Answer:
        response = await self.session.get(url)
        return response.status_code, response.content

    async def post(self, url: str, document: Any) -> Answer:
        response = await self.session.post(url, json=document)
        return response.status_code, response.content

    async def download(self, url: str) -> tuple[int, int]:
        size = 0
        response = await self.session.get(url, stream=True)
        async for piece in await response.iter_content(-1):  # as they arrive
            size += len(piece)
        return response.status_code, size

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        response = await self.session.post(url, data=pieces)
        return response.status_code, response.content
