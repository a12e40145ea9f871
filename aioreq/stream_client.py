"""One streamed request with a client of its own."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from .client import Client
from .models import Request, StreamResponse
from .stream_context import StreamContext

__all__ = ["StreamClient"]


class StreamClient:
    """One streamed request with a client of its own: `async with aioreq.StreamClient(request=request) as response:`."""

    def __init__(self, request: Request, **options: Any) -> None:
        self._client = Client(**options)
        self._context = StreamContext(self._client, self._client.settings.settled_copy(request))

    async def __aenter__(self) -> StreamResponse:
        try:
            return await self._context.__aenter__()
        except BaseException:
            await self._client.close()
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._context.__aexit__(kind, error, trace)
        await self._client.close()
