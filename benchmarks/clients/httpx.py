"""httpx; httpx2 has the same face."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any, ClassVar

from .adapter import Adapter, Answer


class Client(Adapter):
    PACKAGE: ClassVar = "httpx"

    async def __aenter__(self) -> Client:
        httpx = import_module(self.PACKAGE)
        limits = httpx.Limits(max_connections=self.connections, max_keepalive_connections=self.connections if self.keep else 0)
        context = ssl.create_default_context(cafile=self.ca) if self.ca else True
        self.client = self.made(httpx, context, limits)
        return self

    def made(self, library: Any, verify: ssl.SSLContext | bool, limits: Any) -> Any:
        """The client to measure."""
        return library.AsyncClient(verify=verify, limits=limits, trust_env=False, timeout=self.TIMEOUT)

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def get(self, url: str) -> Answer:
        response = await self.client.get(url)
        return response.status_code, response.content

    async def post(self, url: str, document: Any) -> Answer:
        response = await self.client.post(url, json=document)
        return response.status_code, response.content

    async def download(self, url: str) -> tuple[int, int]:
        size = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.aiter_bytes():
                size += len(piece)
        return response.status_code, size

    async def events(self, url: str) -> AsyncIterator[str]:
        from httpx_sse import aconnect_sse

        async with aconnect_sse(self.client, "GET", url) as source:
            async for event in source.aiter_sse():
                yield event.data

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        response = await self.client.post(url, content=pieces)
        return response.status_code, response.content
