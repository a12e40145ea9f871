"""How a connection is opened along its route: a socket, a tunnel through a proxy, TLS on top. Knows no pool, no request and no limit but
those of the parser that it hands on.

The caller bounds the time: `open` may be cancelled at any point and then leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import NamedTuple

from .certificates import check_pins, handshake_error
from .config import TLS, Limits
from .connection import Connection
from .dialer import Dialer
from .errors import TLSError
from .faces import BufferedFace
from .proxies import Proxy
from .tls import context_for
from .tls_transport import TLSTransport
from .transfer import Opening
from .tunnel import Tunnel, dial_proxy, through_socks
from .urls import Origin, authority

__all__ = ["Opener", "Route"]

READ_BUFFER = 256 * 1024
_OFF_THE_PAGE = 48


class Route(NamedTuple):
    """A connection's full identity: where to, and all that makes a difference on the way. Differing routes never share a connection."""

    origin: Origin
    tls: TLS | None  # None for plaintext
    dialer: Dialer
    proxy: Proxy | None = None

    def __str__(self) -> str:
        origin = authority(self.origin.host, self.origin.port)
        return origin if self.proxy is None else f"{origin} via proxy {self.proxy}"


class Opener:
    """Opens connections on one loop; they share its read buffer where the loop allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._shared_buffer = _read_buffer() if _reads_without_break(loop) else None

    async def open(self, route: Route, opening: Opening) -> Connection:
        """A connection along the route, ready for its first exchange; `opening` is told each step.

        Errors: DNSError, ConnectError, TLSError, CertificateError.
        """
        origin, tls, proxy = route.origin, route.tls, route.proxy
        host, peer = origin.host, ""
        for settings in (tls, None if proxy is None else proxy.tls):
            if settings is not None:
                opening.begin("tls", "the loading of certificates")
                await context_for(settings)  # what is wrong with them is told before anyone is bothered
        carrier: socket.socket | asyncio.Transport
        if proxy is None:
            carrier = await route.dialer.dial(self._loop, host, origin.port, opening)
        elif proxy.is_socks:
            carrier = await through_socks(self._loop, proxy, origin, route.dialer, opening)
        elif not proxy.forwards(origin):
            carrier = await self._tunnel(route, proxy, opening)
        else:
            carrier = await dial_proxy(self._loop, proxy, origin, route.dialer, opening)
            tls, host, peer = proxy.tls, proxy.host, f"proxy {proxy}"
        connection = Connection(self._loop, self._limits, route, secure=tls is not None or isinstance(carrier, TLSTransport))
        try:
            if tls is not None:
                peer = peer or str(route)
                whom = _peer_of(carrier) if proxy is None and isinstance(carrier, socket.socket) else peer
                opening.begin("tls", f"the TLS handshake with {whom}")
                await self._secure(carrier, self._face(connection), tls, host, peer)
            elif not isinstance(carrier, socket.socket):
                face = self._face(connection)
                carrier.set_protocol(face)
                face.connection_made(carrier)
                carrier.resume_reading()
            else:
                # The small half of create_connection: whose idea the connection was makes no difference to the transport.
                await self._loop.connect_accepted_socket(self._face(connection), carrier)
        except BaseException:
            connection.close()
            _drop(carrier)
            raise
        opening.end()
        return connection

    async def _tunnel(self, route: Route, proxy: Proxy, opening: Opening) -> asyncio.Transport:
        """A transport that leads through an HTTP proxy to the origin (RFC 9110 section 9.3.6), its reading paused."""
        tunnel = Tunnel(self._loop, self._limits, proxy, route.origin)
        sock = await dial_proxy(self._loop, proxy, route.origin, route.dialer, opening)
        try:
            if proxy.tls is None:
                await self._loop.create_connection(lambda: tunnel, sock=sock)
            else:
                opening.begin("tls", f"the TLS handshake with proxy {proxy}")
                await self._secure(sock, tunnel, proxy.tls, proxy.host, f"proxy {proxy}")
            return await tunnel.open(opening)
        except BaseException:
            tunnel.abort()
            sock.close()
            raise

    async def _secure(
        self, carrier: socket.socket | asyncio.Transport, protocol: asyncio.BufferedProtocol, tls: TLS, host: str, peer: str
    ) -> None:
        """TLS upon a socket or a tunnel, and the protocol upon it; `peer` names the other end in errors."""
        context = await context_for(tls)
        name = tls.server_hostname or host.rstrip(".")  # RFC 6066 section 3: without the dot of a name that is absolute
        buffer = bytearray(READ_BUFFER // 4) if self._shared_buffer is None else self._shared_buffer
        transport = TLSTransport(self._loop, context, name, memoryview(buffer))
        try:
            if isinstance(carrier, socket.socket):
                await self._loop.create_connection(lambda: transport, sock=carrier)
            else:
                carrier.set_protocol(transport)
                transport.connection_made(carrier)
                carrier.resume_reading()
            await transport.handshake()
            check_pins(tls, transport.get_extra_info("ssl_object"), peer)
            transport.start(protocol)
        except BaseException as error:
            transport.abort()
            if isinstance(error, OSError) and not isinstance(error, TLSError):
                raise handshake_error(error, tls, peer, tls.server_hostname or host) from error
            raise

    def _face(self, connection: Connection) -> BufferedFace:
        buffer = self._shared_buffer
        return BufferedFace(connection, bytearray(READ_BUFFER // 4) if buffer is None else buffer, buffer is not None or connection.secure)


def _read_buffer() -> bytearray:
    # What is allocated alone begins 16 bytes into a page, where the copy out of the kernel takes AMD's Zen 3 twice as long.
    buffer = bytearray(READ_BUFFER + _OFF_THE_PAGE)
    del buffer[:_OFF_THE_PAGE]  # moves its beginning, and no byte
    return buffer


def _reads_without_break(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `get_buffer` and `buffer_updated` follow each other at once, so that one buffer serves every connection of the loop."""
    return isinstance(loop, asyncio.SelectorEventLoop) or (os.name == "posix" and _is_uvloop(loop))


def _is_uvloop(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.split(".")[0] == "uvloop"


def _peer_of(sock: socket.socket) -> str:
    try:
        peer = sock.getpeername()
        return str(peer[0]) if isinstance(peer, tuple) else f"the Unix socket {peer!r}"
    except OSError:
        return "the peer"  # it has gone already


def _drop(carrier: socket.socket | asyncio.Transport) -> None:
    if isinstance(carrier, socket.socket):
        carrier.close()
    else:
        carrier.abort()
