"""What a response arrives over, for who wants to look at it: `response.connection.transport`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._response import ClientResponse

__all__ = ["Connection"]


class Connection:
    """The connection of a response whose body is still arriving. It is the core's; here it can be looked at and given up."""

    __slots__ = ("_response",)

    def __init__(self, response: ClientResponse) -> None:
        self._response = response

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport; None once the connection is no longer the response's."""
        source: Any = None if self._response._stream is None else self._response._stream._body._source
        return None if source is None else source.transport

    @property
    def closed(self) -> bool:
        """Whether it is no longer the response's."""
        return self.transport is None

    def close(self) -> None:
        """Close it, and the response."""
        self._response.close()

    def release(self) -> None:
        """Let go of it."""
        self._response.release()
