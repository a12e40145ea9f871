"""Scripts: what a connection does in place of a handler's answer, step by step. Decides nothing; acts on a Connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .connection import Connection

__all__ = [
    "Close",
    "HalfClose",
    "Pause",
    "ReadBody",
    "ReadBytes",
    "ReadHead",
    "ReadRequest",
    "Reset",
    "Script",
    "Stall",
    "Step",
    "StopReading",
    "Wait",
]

Step = bytes | Callable[["Connection"], Awaitable[Any]]
"""What a script is made of: bytes to write, or an async callable of the connection."""


@dataclass(frozen=True)
class Script:
    """Steps to follow in place of an answer; also a handler may return one."""

    steps: tuple[Step, ...]
    below_tls: bool = False

    @classmethod
    def of(cls, steps: tuple[Step, ...], on: Literal["accept", "head", "request"]) -> Script:
        first: dict[str, tuple[Step, ...]] = {"accept": (), "head": (ReadHead(),), "request": (ReadRequest(),)}
        return cls(first[on] + steps)


@dataclass(frozen=True)
class ReadHead:
    """Waits for the head of the next request."""

    async def __call__(self, connection: Connection) -> None:
        await connection.read_head()


@dataclass(frozen=True)
class ReadRequest:
    """Waits for the end of the request being read, or else for the next whole one."""

    async def __call__(self, connection: Connection) -> None:
        await connection.read_request()


@dataclass(frozen=True)
class ReadBody:
    """Waits until this many bytes of the body have arrived (after ReadHead)."""

    count: int

    async def __call__(self, connection: Connection) -> None:
        await connection.read_body(self.count)


@dataclass(frozen=True)
class ReadBytes:
    """Waits for this many bytes, HTTP or not, and drops what came; no request is read from this connection any more."""

    count: int = 1

    async def __call__(self, connection: Connection) -> None:
        await connection.read_bytes(self.count)


@dataclass(frozen=True)
class StopReading:
    """Takes nothing more from the peer, so that its writes stop getting through (also its FIN goes unseen)."""

    async def __call__(self, connection: Connection) -> None:
        connection.transport.pause_reading()


@dataclass(frozen=True)
class Pause:
    """Waits for some seconds."""

    seconds: float

    async def __call__(self, connection: Connection) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Wait:
    """Waits for an event that the test sets."""

    event: asyncio.Event

    async def __call__(self, connection: Connection) -> None:
        await self.event.wait()


@dataclass(frozen=True)
class Stall:
    """Does nothing more until the peer, or the server, closes."""

    async def __call__(self, connection: Connection) -> None:
        await connection.bell.until(lambda: False)


@dataclass(frozen=True)
class HalfClose:
    """Sends FIN after what was written and goes on reading; under TLS without close_notify."""

    async def __call__(self, connection: Connection) -> None:
        await connection.flush()
        connection.half_close()


@dataclass(frozen=True)
class Reset:
    """Sends RST, after the system has taken what was written."""

    async def __call__(self, connection: Connection) -> None:
        await connection.flush()
        connection.reset()


@dataclass(frozen=True)
class Close:
    """Closes in an orderly way; under TLS with close_notify."""

    async def __call__(self, connection: Connection) -> None:
        if not connection.transport.is_closing():
            connection.transport.resume_reading()  # asyncio's TLS would never end after StopReading, once the peer has gone
        connection.transport.close()
