"""What a client was told about its sockets, checked where it was told. Connects nothing."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, TypeAlias

from .dns import Address

__all__ = [
    "LocalAddress",
    "SocketFactory",
    "SocketOption",
    "UnixSocket",
    "checked_family",
    "checked_local",
    "checked_options",
    "checked_path",
]

LocalAddress: TypeAlias = str | tuple[str, int]
SocketOption: TypeAlias = tuple[int, int, int | bytes]
UnixSocket: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
# Called with a family and the address to connect to; gives a stream socket of that family, connected to nothing yet.
SocketFactory: TypeAlias = Callable[[int, tuple[Any, ...]], socket.socket]

# Bytes that a Unix socket's path may have. Linux takes 108 with the closing NUL, which abstract names don't have; BSD and macOS take 104.
_LONGEST_PATH = 107 if sys.platform == "linux" else 103


def checked_local(given: Any) -> Address:
    """The address that connections come from. Errors: TypeError, ValueError."""
    host, port = given if isinstance(given, tuple) and len(given) == 2 else (given, 0)
    if not isinstance(host, str) or isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"Client(local_address=...) takes an IP address or (IP address, port), not {given!r}")
    if not 0 <= port <= 65535:
        raise ValueError(f"Client(local_address={given!r}): ports go from 0, which is any, to 65535")
    try:
        ip_address(host)
        # Numeric, so nobody is asked; it knows the interface of a link-local address.
        family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    except (ValueError, OSError):
        raise ValueError(f"Client(local_address={given!r}): {host!r} is no IP address that this machine can have") from None
    return Address(family, sockaddr)


def checked_path(given: Any) -> str | bytes:
    """The path of a Unix socket, as the system takes it. Errors: TypeError, ValueError."""
    if not hasattr(socket, "AF_UNIX"):
        raise ValueError("Client(unix_socket=...): this Python has no Unix sockets")
    try:
        path: str | bytes = os.fspath(given)
    except TypeError:
        raise TypeError(f"Client(unix_socket=...) takes a path, not {type(given).__name__}") from None
    encoded = os.fsencode(path)
    abstract = encoded.startswith(b"\0")
    most = _LONGEST_PATH + abstract
    if not encoded:
        raise ValueError(f"Client(unix_socket={path!r}): the path is empty")
    if abstract and sys.platform != "linux":
        raise ValueError(f"Client(unix_socket={path!r}): abstract sockets, whose name begins with NUL, exist on Linux alone")
    if not abstract and b"\0" in encoded:
        raise ValueError(f"Client(unix_socket={path!r}): a path has no NUL in it")
    if len(encoded) > most:
        raise ValueError(f"Client(unix_socket={path!r}): {len(encoded)} bytes are too long a path, this system takes {most}")
    return path


def checked_options(given: Any) -> tuple[SocketOption, ...]:
    """What `setsockopt` is called with. Errors: TypeError, ValueError."""
    wanted = "Client(socket_options=...) takes a list of (level, name, value), numbers all or the value bytes"
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"{wanted}; not {type(given).__name__}")
    options = []
    for option in given:
        match option:
            case int(), int(), int() | bytes():
                options.append(tuple(option))
            case _:
                raise TypeError(f"{wanted}; not {option!r}")
        if any(isinstance(number, int) and not -(2**31) <= number < 2**31 for number in option):
            raise ValueError(f"Client(socket_options=...): {option!r} has a number beyond 32 bits")
    return tuple(options)


def checked_family(given: Any, local: Address | None) -> int | None:
    """The one family that may be connected to, the local address' own where there is one; None for all. Errors: ValueError."""
    if given not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"Connector(family={given!r}): IPv4 is socket.AF_INET, IPv6 socket.AF_INET6, both socket.AF_UNSPEC")
    family = int(given) or None
    if local is None:
        return family
    if family not in (None, local.family):
        raise ValueError(f"Connector(family={given!r}): local_address={local.sockaddr[0]!r} is of another family")
    return local.family
