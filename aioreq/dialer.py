"""From a host's name to a connected socket. Knows no HTTP, no TLS, no proxy and no request.

The caller bounds the time: `dial` may be cancelled at any point and then leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
import socket

from .dns import Address, resolve
from .errors import ConnectError
from .transfer import Opening

__all__ = ["Dialer", "reason"]


class Dialer:
    """How one client reaches hosts. A connection made by one dialer is never used where another was asked for."""

    async def dial(self, loop: asyncio.AbstractEventLoop, host: str, port: int, opening: Opening) -> socket.socket:
        """A connected stream socket. Errors: DNSError, ConnectError that lists every address and why it failed."""
        opening.begin("dns", "the name lookup")
        addresses = await resolve(host, port)
        failures: list[OSError] = []
        for address in addresses:
            opening.begin("connect", f"the TCP handshake with {address.sockaddr[0]}")
            try:
                return await _connect(loop, address)
            except OSError as error:
                failures.append(error)
        tried = "; ".join(f"{address.sockaddr[0]}: {reason(error)}" for address, error in zip(addresses, failures, strict=True))
        raise ConnectError(f"no connection to {host}:{port} ({tried})") from failures[-1]


async def _connect(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    # Named in full: asyncio sets TCP_NODELAY only where the protocol is, and without it every streamed upload waits for an ACK.
    sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def reason(error: OSError) -> str:
    """Why a system call failed, in the system's words."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own text repeats the address in place of the reason
    return str(error) or type(error).__name__
