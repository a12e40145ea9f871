"""A connection that speaks another protocol since a 101 (RFC 9110 section 15.2.2). Knows neither HTTP nor that protocol.

It stands in the connection's place in front of the face: nothing is read until `start` says who takes what comes. The slot stays with the
connection, and comes back when the transport is lost.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from .errors import ConnectionLost

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .connection import Connection

__all__ = ["Detached", "HasRoom", "Taker"]


class Taker(Protocol):
    """Who speaks the other protocol. It must not be kept alive by what it serves: the loop holds it as long as the transport lives."""

    def received(self, data: Buffer, size: int, /) -> None:
        """The first `size` bytes of `data` have come. Valid during the call alone: what is kept is copied."""

    def eof(self) -> None:
        """The peer sends no more. The transport closes once what was written is sent."""

    def leaving(self) -> None:
        """This side closes the connection, the client for example: what is written in this very call may still get out."""

    def lost(self, error: Exception | None, /) -> None:
        """The transport is gone; the last call."""

    def write_paused(self, paused: bool, /) -> None:
        """The transport holds more than it should, or no longer."""


class HasRoom(Protocol):
    """Who wants what comes next in its own place."""

    def room(self) -> Buffer:
        """Where it may be put: the taker is given this very object with the bytes in it, before anything else happens here."""


class Detached:
    """What `StreamResponse.detach` gives: a transport, and what came behind the 101 with it. The taker may set who `gathers`."""

    __slots__ = ("_connection", "_lost", "_rest", "_taker", "gathers", "transport")

    def __init__(self, connection: Connection, transport: asyncio.Transport, rest: bytes) -> None:
        self.transport = transport
        self.gathers: HasRoom | None = None
        self._connection = connection
        self._rest = rest
        self._taker: Taker | None = None
        self._lost: ConnectionLost | None = None
        transport.pause_reading()
        face: Any = transport.get_protocol()
        face.connection = self

    def start(self, taker: Taker) -> None:
        """Give `taker` what came behind the 101, in this very call, and then what comes. Errors: ConnectionLost, it has gone meanwhile."""
        if self._lost is not None:
            raise self._lost
        self._taker = taker
        rest, self._rest = self._rest, b""
        if rest:
            taker.received(rest, len(rest))
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def close(self) -> None:
        """Close now, whatever is still unsent. `transport.close()` sends it first."""
        self._connection.close()

    def leave(self) -> None:
        """The connection is being closed."""
        transport = self.transport
        if self._lost is not None:
            return
        if self._taker is not None and not transport.is_closing():
            self._taker.leaving()
        transport.close()
        self._connection.loop.call_soon(_abort_unsent, transport)  # uvloop writes at the end of a turn

    # -- the face's side

    def room(self) -> Buffer:
        assert self.gathers is not None
        return self.gathers.room()

    def received(self, data: Buffer, size: int) -> None:
        if self._taker is None:  # it read on for a moment, as some transports may
            self._rest += memoryview(data)[:size]
        else:
            self._taker.received(data, size)

    def eof(self) -> None:
        if self._taker is not None:
            self._taker.eof()
        self.transport.close()

    def lost(self, error: Exception | None) -> None:
        taker, self._taker = self._taker, None
        connection = self._connection
        self._lost = ConnectionLost(f"{connection.peer} was lost behind its 101 (Switching Protocols)", response_started=True)
        self._lost.__cause__ = error
        connection.transport = None  # one that was closed with bytes to send makes this call again where it is aborted now
        connection.lost(None)
        if taker is not None:
            taker.lost(error)

    def write_paused(self, paused: bool) -> None:
        if self._taker is not None:
            self._taker.write_paused(paused)


def _abort_unsent(transport: asyncio.Transport) -> None:
    if transport.get_write_buffer_size():
        transport.abort()
