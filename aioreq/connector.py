"""How a connection is opened: name, TCP, TLS. Knows no pool, no request and no limit but those of the parser that it hands on.

The caller bounds the time: `open` may be cancelled at any point and then leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from .config import TLS, Limits
from .connection import Connection
from .dns import Address, resolve
from .errors import CertificateError, ConnectError, TLSError
from .faces import BufferedFace, PlainFace
from .tls import context_for
from .urls import Origin

__all__ = ["Connector"]

READ_BUFFER = 256 * 1024
# What OpenSSL says of bytes that are no TLS record; newer versions say the second.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


class Connector:
    """Opens connections on one loop; they share its read buffer where the loop allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._shared_buffer = memoryview(bytearray(READ_BUFFER)) if _reads_without_break(loop) else None

    async def open(self, origin: Origin, tls: TLS | None, begins: Callable[[str], object]) -> Connection:
        """A connection to the origin, ready for its first exchange; `begins` is told each step, for whoever runs out of time.

        Errors: DNSError, ConnectError, TLSError, CertificateError.
        """
        begins("the loading of certificates")
        context = None if tls is None else await context_for(tls)
        begins("the name lookup")
        addresses = await resolve(origin.host, origin.port)
        failures: list[OSError] = []
        for address in addresses:
            try:
                return await self._open_at(address, origin, context, begins)
            except ConnectError:
                raise
            except OSError as error:
                failures.append(error)
        tried = "; ".join(f"{address.sockaddr[0]}: {_reason(error)}" for address, error in zip(addresses, failures, strict=True))
        raise ConnectError(f"no connection to {origin.host}:{origin.port} ({tried})") from failures[-1]

    async def _open_at(
        self, address: Address, origin: Origin, context: ssl.SSLContext | None, begins: Callable[[str], object]
    ) -> Connection:
        begins(f"the TCP handshake with {address.sockaddr[0]}")
        # Named in full: asyncio sets TCP_NODELAY only where the protocol is, and without it every streamed upload waits for an ACK.
        sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            sock.setblocking(False)
            await self._loop.sock_connect(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        peer = f"{origin.host}:{origin.port}"
        connection = Connection(self._loop, self._limits, peer, secure=context is not None)
        try:
            if context is None:
                await self._loop.create_connection(lambda: self._face(connection), sock=sock)
            else:
                begins(f"the TLS handshake with {address.sockaddr[0]}")
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
            if isinstance(error, ssl.SSLCertVerificationError):
                raise CertificateError(f"the certificate of {peer} is not valid for {origin.host!r}: {error.verify_message}") from error
            if isinstance(error, ssl.SSLError) or (context is not None and isinstance(error, OSError)):
                raise TLSError(f"the TLS handshake with {peer} failed: {_reason(error)}") from error
            raise
        return connection

    def _face(self, connection: Connection) -> asyncio.BaseProtocol:
        buffer = self._shared_buffer
        return BufferedFace(connection, memoryview(bytearray(READ_BUFFER // 4)) if buffer is None else buffer)


def _reads_without_break(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `get_buffer` and `buffer_updated` follow each other at once, so that one buffer serves every connection of the loop."""
    return isinstance(loop, asyncio.SelectorEventLoop) or (os.name == "posix" and type(loop).__module__.split(".")[0] == "uvloop")


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        return f"{reason} (does it speak TLS on this port?)" if reason in _NOT_TLS else reason
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own text repeats the address in place of the reason
    return str(error) or type(error).__name__
