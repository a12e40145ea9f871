"""How a connection is opened along its route: a socket, a tunnel through a proxy, TLS on top. Knows no pool, no request and no limit but
those of the parser that it hands on.

The caller bounds the time: `open` may be cancelled at any point and then leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from functools import partial
from typing import NamedTuple

from .certificates import check_pins, handshake_error
from .config import TLS, Limits
from .connection import Connection
from .dialer import Dialer
from .faces import BufferedFace, PlainFace
from .proxies import Proxy
from .tls import context_for
from .transfer import Opening
from .tunnel import Tunnel, dial_proxy, through_socks
from .urls import Origin, authority

__all__ = ["Connector", "Route"]

READ_BUFFER = 256 * 1024


class Route(NamedTuple):
    """A connection's full identity: where to, and all that makes a difference on the way. Differing routes never share a connection."""

    origin: Origin
    tls: TLS | None  # None for plaintext
    dialer: Dialer
    proxy: Proxy | None = None

    def __str__(self) -> str:
        origin = authority(self.origin.host, self.origin.port)
        return origin if self.proxy is None else f"{origin} via proxy {self.proxy}"


class Connector:
    """Opens connections on one loop; they share its read buffer where the loop allows."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._shared_buffer = bytearray(READ_BUFFER) if _reads_without_break(loop) else None

    async def open(self, route: Route, opening: Opening) -> Connection:
        """A connection along the route, ready for its first exchange; `opening` is told each step.

        Errors: DNSError, ConnectError, TLSError, CertificateError.
        """
        origin, tls, proxy = route.origin, route.tls, route.proxy
        named = str(route)
        host, peer = origin.host, named
        for settings in (tls, None if proxy is None else proxy.tls):
            if settings is not None:
                opening.begin("tls", "the loading of certificates")
                await context_for(settings)  # what is wrong with them is told before anyone is bothered
        carrier: socket.socket | asyncio.Transport
        if proxy is None:
            carrier = await route.dialer.dial(self._loop, host, origin.port, opening)
        elif proxy.is_socks:
            carrier = await through_socks(self._loop, proxy, origin, route.dialer, opening)
        elif tls is not None:
            carrier = await self._tunnel(route, proxy, opening)
        else:
            carrier = await dial_proxy(self._loop, proxy, origin, route.dialer, opening)
            tls, host, peer = proxy.tls, proxy.host, f"proxy {proxy}"
        connection = Connection(self._loop, self._limits, named, secure=tls is not None)
        try:
            if tls is not None:
                whom = _peer_of(carrier) if proxy is None and isinstance(carrier, socket.socket) else peer
                opening.begin("tls", f"the TLS handshake with {whom}")
                # Over TLS a BufferedProtocol is slower, and stock asyncio's delivers wrong bytes.
                await self._secure(carrier, PlainFace(connection), tls, host, peer)
            else:
                assert isinstance(carrier, socket.socket)
                await self._loop.create_connection(partial(self._face, connection), sock=carrier)
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

    async def _secure(self, carrier: socket.socket | asyncio.Transport, face: asyncio.Protocol, tls: TLS, host: str, peer: str) -> None:
        """TLS on top of a socket or of a tunnel, and the face connected to it; `peer` names the other end in errors."""
        context = await context_for(tls)
        name = tls.server_hostname or host.rstrip(".")  # RFC 6066 section 3: without the dot of a name that is absolute
        below = carrier
        # The caller bounds the handshake; the loop's own limit only has to stand behind it.
        try:
            if isinstance(carrier, socket.socket) and _is_uvloop(self._loop):
                # A handshake that is cancelled in its first turn uvloop keeps for good, unless the transport below it is ours to abort.
                below, bare = await self._loop.create_connection(_Bare, sock=carrier)
                if bare.spoken:
                    raise _not_tls()
            if isinstance(below, socket.socket):
                transport, _ = await self._loop.create_connection(
                    lambda: face, sock=below, ssl=context, server_hostname=name, ssl_handshake_timeout=3600
                )
            else:
                started = await self._loop.start_tls(below, face, context, server_hostname=name, ssl_handshake_timeout=3600)
                if started is None or started.is_closing():  # the tunnel ended in order: neither loop takes that for an error
                    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                transport = started
                face.connection_made(transport)
        except BaseException as error:
            if isinstance(below, asyncio.Transport) and below is not carrier:
                below.abort() if isinstance(error, asyncio.CancelledError) else below.close()  # an alert may be on its way out
            if isinstance(error, OSError):
                raise handshake_error(error, tls, peer, tls.server_hostname or host) from error
            raise
        check_pins(tls, transport.get_extra_info("ssl_object"), peer)
        await asyncio.sleep(0)  # uvloop hands over what came with the handshake one turn later; nobody has asked for it yet

    def _face(self, connection: Connection) -> asyncio.BaseProtocol:
        buffer = self._shared_buffer
        return BufferedFace(connection, bytearray(READ_BUFFER // 4) if buffer is None else buffer, buffer is not None)


def _reads_without_break(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `get_buffer` and `buffer_updated` follow each other at once, so that one buffer serves every connection of the loop."""
    return isinstance(loop, asyncio.SelectorEventLoop) or (os.name == "posix" and _is_uvloop(loop))


class _Bare(asyncio.Protocol):
    """What is below TLS before it begins; a server that speaks then doesn't speak TLS."""

    spoken = False

    def data_received(self, data: bytes) -> None:
        self.spoken = True


def _not_tls() -> ssl.SSLError:
    """What OpenSSL says of bytes that are no TLS."""
    error = ssl.SSLError(1, "wrong version number")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


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
