"""From a host's name to a connected socket. Knows no HTTP, no TLS, no proxy and no request.

Several addresses are tried side by side (RFC 8305, "happy eyeballs"): families in turn, the next one when 250 ms have passed or an attempt
has failed, and the first to connect wins; or one after the other, where that was asked for. The caller bounds the time: `dial` may be
cancelled at any point and then leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from .config import UNSET, Limits, Unset, check_count, check_seconds
from .dial_options import (
    LocalAddress,
    SocketFactory,
    SocketOption,
    UnixSocket,
    checked_family,
    checked_local,
    checked_options,
    checked_path,
)
from .dns import Address, Names
from .errors import ConnectError, GuardError
from .resolvers import ThreadedResolver
from .transfer import Opening, Trace

if TYPE_CHECKING:
    from .guard import Guard

__all__ = ["Dialer", "reason"]

ATTEMPT_DELAY = 0.25  # seconds; RFC 8305 section 5 recommends them
# A peer that is gone without a word is noticed within two minutes: a probe after one of silence, three more 15 s apart. Also often enough
# for the routers between, which forget a silent connection after some minutes. A system that lacks a name has a default.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # TCP_KEEPALIVE: KEEPIDLE on macOS
_PROBES = tuple((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _KEEPALIVE.items() if hasattr(socket, name))
_STREAM = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)  # where the system can make it so at once
_UNDER_WAY = (errno.EINPROGRESS, errno.EALREADY)
_BIND_ADDRESS_NO_PORT = 24 if sys.platform == "linux" else None  # in `socket` from Python 3.12 on


class Dialer:
    """How one client reaches hosts. A connection made by one dialer is never used where another was asked for."""

    def __init__(
        self,
        names: Names | None = None,
        *,
        guard: Guard | None = None,
        local_address: LocalAddress | None = None,
        unix_socket: UnixSocket | None = None,
        socket_options: Iterable[SocketOption] | None = None,
        family: int = socket.AF_UNSPEC,
        happy_eyeballs_delay: float | Unset | None = UNSET,
        interleave: int | None = None,
        socket_factory: SocketFactory | None = None,
    ) -> None:
        if unix_socket is not None:
            if local_address is not None:
                raise ValueError("give unix_socket= or local_address=, not both: a Unix socket has no IP address to come from")
            if guard is not None:
                raise ValueError("give unix_socket= or guard=, not both: a guard judges IP addresses, and a Unix socket has none")
        if happy_eyeballs_delay is not UNSET:
            check_seconds("Connector", "happy_eyeballs_delay", happy_eyeballs_delay)
        if interleave is not None:
            check_count("Connector", "interleave", interleave)
        if socket_factory is not None and not callable(socket_factory):
            raise TypeError(f"Connector(socket_factory=...) takes a function of a family and an address, not {socket_factory!r}")
        self.guard = guard
        self.names = Names(ThreadedResolver(), Limits()) if names is None else names
        self._local = None if local_address is None else checked_local(local_address)
        self._family = checked_family(family, self._local)
        self.unix_socket = None if unix_socket is None else checked_path(unix_socket)
        self._options = () if socket_options is None else checked_options(socket_options)
        self._attempt_delay = happy_eyeballs_delay
        # How many of the first family come first, before the families take turns; 0: in the resolver's order.
        self._interleave = (0 if happy_eyeballs_delay is None else 1) if interleave is None else interleave
        self._new_socket = socket_factory

    async def dial(self, loop: asyncio.AbstractEventLoop, host: str, port: int, opening: Opening) -> socket.socket:
        """A connected stream socket.

        Errors: DNSError, GuardError, ConnectError that lists every address and why it failed.
        """
        if self.unix_socket is not None:
            return await self._dial_unix(self.unix_socket, host, port, opening)
        opening.begin("dns", "the name lookup")
        addresses = self.names.known(host, port)
        if addresses is None or self.guard is not None or opening.trace is not None:
            addresses = await self.addresses(host, port, opening.trace)
        if self._family is not None:
            addresses = self._of_family(host, port, addresses, self._family)
        failures: dict[Address, Exception] = {}
        sock = None
        try:
            if len(addresses) == 1:
                opening.begin("connect", "the TCP handshake with", addresses[0].text)
                sock = await self._attempt(loop, addresses[0], failures)
            else:
                sock = await self._race(loop, _interleaved(addresses, self._interleave), failures, opening)
        finally:
            if sock is None:  # none answered, or none before the caller's time was up: the name may have moved
                self.names.forget(host, port)
        if sock is None:
            raise _no_connection(host, port, failures)
        if self.guard is not None:
            self._check_peer(self.guard, host, port, sock)
        return sock

    # -- which addresses

    async def addresses(self, host: str, port: int, trace: Trace | None = None) -> list[Address]:
        """Those of a host that the guard admits. Errors: DNSError, GuardError."""
        addresses = await self.names.lookup(host, port, trace)
        if self.guard is None:
            return addresses
        admitted = [address for address in addresses if self.guard.admits(host, address.sockaddr[1], address.text)]
        if not admitted:
            raise _refusal(self.guard, host, port, [address.text for address in addresses])
        return admitted

    def _check_peer(self, guard: Guard, host: str, port: int, sock: socket.socket) -> None:
        # Once more, and of the system: where a connection ends need not be what was dialled (0.0.0.0 is this very machine).
        try:
            peer, port = sock.getpeername()[:2]
            if not guard.admits(host, port, peer):
                raise _refusal(guard, host, port, [peer])
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError) and not isinstance(error, GuardError):
                raise ConnectError(f"{host}:{port} broke the connection before its address could be checked: {reason(error)}") from error
            raise

    def _of_family(self, host: str, port: int, addresses: list[Address], family: int) -> list[Address]:
        reachable = [address for address in addresses if address.family == family]
        if not reachable:
            name = "IPv4" if family == socket.AF_INET else "IPv6"
            found = ", ".join(address.text for address in addresses)
            whose = f"family={name}" if self._local is None else f"local_address={self._local.sockaddr[0]!r}"
            raise ConnectError(f"no connection to {host}:{port}: it has no {name} address ({found}), and {whose} reaches no others")
        return reachable

    # -- TCP

    async def _race(
        self, loop: asyncio.AbstractEventLoop, addresses: list[Address], failures: dict[Address, Exception], opening: Opening
    ) -> socket.socket | None:
        """The first socket to connect, or None once all have failed; RFC 8305 section 5."""
        waiting = deque(addresses)
        connected: list[socket.socket] = []
        running: set[asyncio.Task[None]] = set()
        winner = None

        async def attempt(address: Address) -> None:
            sock = await self._attempt(loop, address, failures)
            if sock is not None:
                connected.append(sock)

        try:
            while not connected and (waiting or running):
                if waiting:
                    running.add(loop.create_task(attempt(waiting.popleft())))
                opening.begin("connect", _handshakes([a for a in addresses if a not in failures and a not in waiting], failures))
                delay = ATTEMPT_DELAY if self._attempt_delay is UNSET else self._attempt_delay
                _, running = await asyncio.wait(running, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            winner = connected[0] if connected else None
            return winner
        finally:
            # Nothing is waited for, so that no cancellation can come in between: who loses closes its own socket a turn later, and one that
            # has connected in the same turn as the winner has it closed here.
            for task in running:
                task.cancel()
            for sock in connected:
                if sock is not winner:
                    sock.close()

    async def _attempt(self, loop: asyncio.AbstractEventLoop, address: Address, failures: dict[Address, Exception]) -> socket.socket | None:
        sock = None
        try:
            sock = _new_socket(address.family) if self._new_socket is None else _made_by(self._new_socket, address)
            if self._options:
                self._set_options(sock)
            if self._local is not None:
                _bind(sock, self._local)
            if self._new_socket is not None or not _connected_at_once(sock, address):
                await loop.sock_connect(sock, _with_scope(address, loop))
            return sock
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, Exception):
                raise
            failures[address] = error  # a RuntimeError perhaps: both loops raise it for a descriptor closed behind a transport's back
            return None
        finally:
            del failures  # it holds the error, whose traceback holds this frame

    # -- Unix sockets

    async def _dial_unix(self, path: str | bytes, host: str, port: int, opening: Opening) -> socket.socket:
        opening.begin("connect", f"the connecting to the Unix socket {path!r}")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            self._set_options(sock)
            pause = 0.001
            while True:
                try:
                    sock.connect(path)
                    return sock
                except BlockingIOError:
                    # The listener's queue is full, and nothing tells when it has room; a loop's sock_connect takes this for success.
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 0.1)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise ConnectError(f"no connection to {host}:{port} by the Unix socket {path!r} ({reason(error)})") from error
            raise

    def _set_options(self, sock: socket.socket) -> None:
        for option in self._options:
            try:
                sock.setsockopt(*option)
            except OSError as error:
                raise ConnectError(f"the socket option {option} can't be set: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Why a system call failed, in the system's words."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own text repeats the address in place of the reason
    return str(error) or type(error).__name__


def _interleaved(addresses: list[Address], first: int) -> list[Address]:
    """The families in turn, behind the first addresses of the preferred one: RFC 8305 section 4, its "First Address Family Count"."""
    if not first:
        return addresses
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    preferred = families[addresses[0].family]
    ahead, preferred[:] = preferred[: first - 1], preferred[first - 1 :]
    return ahead + [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


def _handshakes(addresses: Collection[Address], failures: dict[Address, Exception]) -> str:
    under_way = ", ".join(address.text for address in addresses)
    return f"the TCP handshake with {under_way}" + (f" ({_listed(failures)})" if failures else "")


def _no_connection(host: str, port: int, failures: dict[Address, Exception]) -> ConnectError:
    error = ConnectError(f"no connection to {host}:{port} ({_listed(failures)})")
    error.__cause__ = next(reversed(failures.values()), None)
    failures.clear()  # the frames of their tracebacks hold it: nothing that failed would go before the collector comes
    return error


def _listed(failures: dict[Address, Exception]) -> str:
    return "; ".join(f"{address.text}: {reason(error)}" for address, error in failures.items())


class _IPv4Socket(socket.socket):
    """Says at once what `socket` makes a new member of an enumeration for: the loops ask four times a connection."""

    __slots__ = ()
    family = socket.AF_INET
    type = socket.SOCK_STREAM


class _IPv6Socket(socket.socket):
    __slots__ = ()
    family = socket.AF_INET6
    type = socket.SOCK_STREAM


def _new_socket(family: int) -> socket.socket:
    # Named in full: asyncio, which sets TCP_NODELAY as well, does so only where the protocol is.
    kind = _IPv4Socket if family == socket.AF_INET else _IPv6Socket
    sock = kind(family, _STREAM, socket.IPPROTO_TCP)
    try:
        if _STREAM == socket.SOCK_STREAM:
            sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or every streamed upload waits for an ACK
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in _PROBES:
            try:
                sock.setsockopt(*option)
            except OSError:  # known to Python, but not to this system
                pass
    except BaseException:
        sock.close()
        raise
    return sock


def _made_by(factory: SocketFactory, address: Address) -> socket.socket:
    """A user's own socket, as the loops want it."""
    sock: Any = factory(address.family, address.sockaddr)
    if not isinstance(sock, socket.socket):
        raise TypeError(f"socket_factory gave {type(sock).__name__}, not a socket")
    try:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, local: Address) -> None:
    host, port = local.sockaddr[:2]
    if port == 0 and _BIND_ADDRESS_NO_PORT is not None:
        with suppress(OSError):
            # A port is chosen when the peer is known, so that one may serve connections to several.
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    elif port and os.name == "posix":
        # Or a port that was given is taken until its last connection is forgotten. Elsewhere this would share it with strangers.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(local.sockaddr)
    except OSError as error:
        raise ConnectError(f"local_address {host}{f', port {port},' if port else ''} can't be used: {reason(error)}") from error


def _connected_at_once(sock: socket.socket, address: Address) -> bool:
    """Begin to connect; True where that is all: a peer on this very machine has answered by then, and the loop needn't watch for it."""
    if sys.platform != "linux":  # elsewhere a connect under way isn't begun anew in peace
        return False
    failed = sock.connect_ex(address.sockaddr)
    if failed in _UNDER_WAY:
        failed = sock.connect_ex(address.sockaddr)  # asked again, the system tells how it stands
        if failed in _UNDER_WAY:
            return False
    if failed:
        raise _system_error(failed)
    return True


def _system_error(number: int) -> OSError:
    """What the system says by a number; told as a ConnectError by whoever dials."""
    return OSError(number, os.strerror(number))


def _with_scope(address: Address, loop: asyncio.AbstractEventLoop) -> tuple[Any, ...]:
    sockaddr = address.sockaddr
    if len(sockaddr) == 4 and sockaddr[3] and type(loop).__module__.split(".")[0] == "uvloop":
        # uvloop forgets the interface of a link-local address (RFC 4007) unless the text has it; asyncio would look that text up.
        return (f"{sockaddr[0]}%{sockaddr[3]}", *sockaddr[1:])
    return sockaddr


def _refusal(guard: Guard, host: str, port: int, addresses: Collection[str]) -> GuardError:
    from .guard import refusal  # whoever has a guard has paid for its tables

    return refusal(guard, host, port, addresses)
