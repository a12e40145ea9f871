"""wreq: a fork of reqwest, in Rust, on threads of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import wreq

from .adapter import Adapter, Answer


class Client(Adapter):
    async def __aenter__(self) -> Client:
        options: dict[str, Any] = {"tls_verify": Path(self.ca)} if self.ca else {}
        idle = self.connections if self.keep else 0
        # By default it decodes nothing.
        options |= dict.fromkeys(("gzip", "brotli", "deflate", "zstd"), True)
        self.client = wreq.Client(no_proxy=True, http1_only=True, pool_max_idle_per_host=idle, **options)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.close()

    async def get(self, url: str) -> Answer:
        response = await self.client.get(url)
        return response.status.as_int(), await response.bytes()

    async def post(self, url: str, document: Any) -> Answer:
        response = await self.client.post(url, json=document)
        return response.status.as_int(), await response.bytes()

    async def download(self, url: str) -> tuple[int, int]:
        size = 0
        response = await self.client.get(url)
        async with response.stream() as pieces:
            async for piece in pieces:
                size += len(piece)
        return response.status.as_int(), size

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        response = await self.client.post(url, body=pieces)
        return response.status.as_int(), await response.bytes()
