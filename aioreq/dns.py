"""Names to addresses. Resolves in threads of our own, so that a slow resolver holds up neither the loop nor its default executor."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

from . import threads
from .errors import DNSError

__all__ = ["Address", "resolve"]


class Address(NamedTuple):
    """Where to connect to: a family of `socket`, and the address as `socket.connect` takes it."""

    family: int
    sockaddr: tuple[Any, ...]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host in the resolver's order (RFC 6724). Errors: DNSError."""
    try:
        literal = ip_address(host)
    except ValueError:
        pass
    else:
        if isinstance(literal, IPv6Address):
            return [Address(socket.AF_INET6, (host, port, 0, 0))]
        return [Address(socket.AF_INET, (host, port))]
    try:
        found = await threads.run(socket.getaddrinfo, host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except OSError as error:
        raise DNSError(f"host {host!r} has no address: {error.strerror or error}") from error
    except UnicodeError as error:
        raise DNSError(f"host {host!r} is no host name: {error}") from error
    # Python built without IPv6 reports IPv6 addresses as (int, bytes): of no use.
    addresses = [Address(family, sockaddr) for family, _, _, _, sockaddr in found if isinstance(sockaddr[0], str)]
    if not addresses:
        raise DNSError(f"host {host!r} has no address that this Python can connect to")
    return addresses
