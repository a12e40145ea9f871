"""A response whose body is still arriving, for the length of an `async with`. Knows of the client how it starts a stream."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from .models import Request, StreamResponse

if TYPE_CHECKING:
    from .client import Client

__all__ = ["StreamContext"]


class StreamContext:
    """What `client.stream` gives: enter it for the response, leave it to let go of the connection."""

    def __init__(self, client: Client, request: Request) -> None:
        self._client = client
        self._request = request
        self._response: StreamResponse | None = None

    async def __aenter__(self) -> StreamResponse:
        self._response = await self._client.start_stream(self._request)
        return self._response

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        if error is None:
            await response.close()
        else:
            response.abort()
