"""The two faces of one connection: what a transport talks to. The loops decide by type how they read, so one class can't be both."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Any, Self, cast

from .transfer import ConnectionInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .connection import Connection

__all__ = ["BufferedFace", "facts_of"]


class _Face:
    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __call__(self) -> Self:
        """Itself: the loops ask for what makes a protocol."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connection.opened(cast(asyncio.Transport, transport))

    def eof_received(self) -> None:
        self.connection.eof()

    def connection_lost(self, error: Exception | None) -> None:
        self.connection.lost(error)

    def pause_writing(self) -> None:
        self.connection.write_paused(True)

    def resume_writing(self) -> None:
        self.connection.write_paused(False)


class BufferedFace(_Face, asyncio.BufferedProtocol):
    """What a plaintext transport talks to: it reads into `buffer`, which every connection of a loop may share.

    On selector loops and on uvloop under Unix, `get_buffer` and `buffer_updated` follow each other without a break; what is kept is copied
    out before `buffer_updated` returns. There alone a body that is being gathered is read into its own place.
    """

    __slots__ = ("_room", "_without_break", "buffer")

    def __init__(self, connection: Connection, buffer: bytearray | memoryview, without_break: bool = True) -> None:
        super().__init__(connection)
        self.buffer = buffer
        self._without_break = without_break
        self._room: Buffer | None = None

    def get_buffer(self, sizehint: int) -> Buffer:
        if self.connection.gathers and self._without_break:
            self._room = self.connection.room()
            return self._room
        self._room = None  # into the last one nothing came, if it is still here: TLS asks for a record's whose rest isn't
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._room is None:
            self.connection.received(self.buffer, nbytes)
        else:
            room, self._room = self._room, None
            self.connection.received(room, nbytes)


def facts_of(transport: asyncio.BaseTransport) -> ConnectionInfo:
    """What there is to know of a connection that has just been opened; nothing of it leads back to the transport."""
    local, peer = _address(transport, "sockname"), _address(transport, "peername")
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return ConnectionInfo(local, peer)
    cipher = tls.cipher()
    return ConnectionInfo(local, peer, tls.version(), cipher and cipher[0], tls.getpeercert(binary_form=True))


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | str | None:
    try:
        address: Any = transport.get_extra_info(which)
    except OSError:
        return None  # the peer has gone already
    if isinstance(address, bytes):
        return os.fsdecode(address)  # of Linux's own namespace for Unix sockets
    return tuple(address[:2]) if isinstance(address, tuple) else address
