"""One adapter a client: opens it, and gives a function that makes one request and reads the whole body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

Fetch = Callable[[str], Awaitable[int]]
CONNECTIONS = 256


@asynccontextmanager
async def aioreq_client(ca: str | None) -> AsyncIterator[Fetch]:
    import aioreq

    async with aioreq.Client(verify=ca or True, limits=aioreq.Limits(connections=CONNECTIONS, idle=CONNECTIONS)) as client:

        async def fetch(url: str) -> int:
            return len((await client.get(url)).content)

        yield fetch


@asynccontextmanager
async def aiohttp_client(ca: str | None) -> AsyncIterator[Fetch]:
    import ssl

    import aiohttp

    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=ssl.create_default_context(cafile=ca) if ca else True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def fetch(url: str) -> int:
            async with session.get(url) as response:
                return len(await response.read())

        yield fetch


@asynccontextmanager
async def httpx_client(ca: str | None) -> AsyncIterator[Fetch]:
    import ssl

    import httpx

    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca) if ca else True, limits=limits) as client:

        async def fetch(url: str) -> int:
            return len((await client.get(url)).content)

        yield fetch


CLIENTS: dict[str, Callable[[str | None], AbstractAsyncContextManager[Fetch]]] = {
    "aioreq": aioreq_client,
    "aioreq (pure)": aioreq_client,
    "aiohttp": aiohttp_client,
    "httpx": httpx_client,
}
