"""How a connection is opened along its route: a socket, TLS on top. Knows no pool, no request and no limit but those of the parser that
it hands on.

The caller bounds the time: `open` may be cancelled at any point and then leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import NamedTuple

from .config import TLS, Limits
from .connection import Connection
from .dialer import Dialer, reason
from .errors import CertificateError, TLSError
from .faces import BufferedFace, PlainFace
from .tls import context_for
from .transfer import Opening
from .urls import Origin

__all__ = ["Connector", "Route"]

READ_BUFFER = 256 * 1024
# What OpenSSL says of bytes that are no TLS record; newer versions say the second.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


class Route(NamedTuple):
    """A connection's full identity: where to, and all that makes a difference on the way. Differing routes never share a connection."""

    origin: Origin
    tls: TLS | None  # None for plaintext
    dialer: Dialer

    def __str__(self) -> str:
        return f"{self.origin.host}:{self.origin.port}"


class Connector:
    """Opens connections on one loop; they share its read buffer where the loop allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._shared_buffer = memoryview(bytearray(READ_BUFFER)) if _reads_without_break(loop) else None

    async def open(self, route: Route, opening: Opening) -> Connection:
        """A connection along the route, ready for its first exchange; `opening` is told each step.

        Errors: DNSError, ConnectError, TLSError, CertificateError.
        """
        opening.begin("tls", "the loading of certificates")
        context = None if route.tls is None else await context_for(route.tls)
        origin = route.origin
        sock = await route.dialer.dial(self._loop, origin.host, origin.port, opening)
        connection = Connection(self._loop, self._limits, str(route), secure=context is not None)
        try:
            if context is None:
                await self._loop.create_connection(lambda: self._face(connection), sock=sock)
            else:
                opening.begin("tls", f"the TLS handshake with {_peer_of(sock)}")
                # Over TLS a BufferedProtocol is slower, and stock asyncio's delivers wrong bytes.
                # The caller bounds the handshake; the loop's own limit only has to stand behind it.
                await self._loop.create_connection(
                    lambda: PlainFace(connection),
                    sock=sock,
                    ssl=context,
                    server_hostname=origin.host.rstrip("."),  # RFC 6066 section 3: without the dot of a name that is absolute
                    ssl_handshake_timeout=3600,
                )
        except BaseException as error:
            connection.close()
            sock.close()
            if context is not None and isinstance(error, OSError):
                raise _tls_error(error, route) from error
            raise
        opening.end()
        return connection

    def _face(self, connection: Connection) -> asyncio.BaseProtocol:
        buffer = self._shared_buffer
        return BufferedFace(connection, memoryview(bytearray(READ_BUFFER // 4)) if buffer is None else buffer)


def _reads_without_break(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `get_buffer` and `buffer_updated` follow each other at once, so that one buffer serves every connection of the loop."""
    return isinstance(loop, asyncio.SelectorEventLoop) or (os.name == "posix" and type(loop).__module__.split(".")[0] == "uvloop")


def _peer_of(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return "the peer"  # it has gone already


def _tls_error(error: OSError, route: Route) -> TLSError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateError(f"the certificate of {route} is not valid for {route.origin.host!r}: {error.verify_message}")
    why = error.reason or str(error) if isinstance(error, ssl.SSLError) else reason(error)
    return TLSError(f"the TLS handshake with {route} failed: {why}" + (" (does it speak TLS on this port?)" if why in _NOT_TLS else ""))
