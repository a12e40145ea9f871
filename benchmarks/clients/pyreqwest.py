"""pyreqwest: reqwest, in Rust, on threads of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pyreqwest.client import ClientBuilder

from .adapter import Adapter, Answer


class Client(Adapter):
    async def __aenter__(self) -> Client:
        builder = ClientBuilder().max_connections(self.connections).pool_max_idle_per_host(self.connections if self.keep else 0).no_proxy()
        if self.ca:
            builder = builder.add_root_certificate_pem(Path(self.ca).read_bytes())  # noqa: ASYNC240
        self.client = builder.build()
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def get(self, url: str) -> Answer:
        response = await self.client.get(url).build().send()
        return response.status, await response.bytes()

    async def post(self, url: str, document: Any) -> Answer:
        response = await self.client.post(url).body_json(document).build().send()
        return response.status, await response.bytes()

    async def download(self, url: str) -> tuple[int, int]:
        size = 0
        async with self.client.get(url).build_streamed() as response:
            while piece := await response.body_reader.read_chunk():
                size += len(piece)
            return response.status, size

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        response = await self.client.post(url).body_stream(pieces).build().send()
        return response.status, await response.bytes()
