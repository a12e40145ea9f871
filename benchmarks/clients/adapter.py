"""What a client has to be able to do here. An adapter adds a call and nothing else; the worker checks what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar, NamedTuple

Answer = tuple[int, Any]  # status, and the body: bytes, or what the client has in their place


class WebSocket(NamedTuple):
    """A client's own calls on an open connection, as they are; `wrapped`: a message that it received stands in the attribute `data`."""

    send: Callable[[bytes], Awaitable[object]]
    send_text: Callable[[str], Awaitable[object]]
    receive: Callable[[], Awaitable[Any]]
    close: Callable[[], Awaitable[object]]
    pieces: Callable[[], AsyncIterator[Any]] | None = None  # the next message as it arrives
    wrapped: bool = False


class Adapter(ABC):
    """Opened by `async with`. What of the rest it can't do is told in its `Entrant`.

    `ca` is the file of the authority to trust; `keep=False` makes a connection for each request; `connections` are open at most.
    Redirects, cookies, decoding and Accept headers stay as the client has them by default; proxies of the environment are ignored.
    """

    TIMEOUT: ClassVar = 60.0  # seconds, for clients whose own is so short that a busy machine would fail them

    def __init__(self, ca: str | None, keep: bool, connections: int) -> None:
        self.ca = ca
        self.keep = keep
        self.connections = connections

    @abstractmethod
    async def __aenter__(self) -> Adapter: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    async def get(self, url: str) -> Answer:
        """The whole body in memory."""
        raise NotImplementedError

    async def post(self, url: str, document: Any) -> Answer:
        """`document` goes out as JSON, serialised by the client."""
        raise NotImplementedError

    async def download(self, url: str) -> tuple[int, int]:
        """The body piece by piece, none kept; status and size."""
        raise NotImplementedError

    async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> Answer:
        """The pieces go out as they come."""
        raise NotImplementedError

    def events(self, url: str) -> AsyncIterator[str]:
        """The data of each server-sent event, until the stream ends."""
        raise NotImplementedError

    async def websocket(self, url: str) -> WebSocket:
        """An open one, without compression: what that costs is zlib's."""
        raise NotImplementedError
