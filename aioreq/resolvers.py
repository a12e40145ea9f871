"""Who knows the addresses of a name: the system, a DNS server by aiodns, a table, or a resolver of the user's own.

Each answers one question and forgets it; what is remembered, shared and checked is `dns.Names`' business. Knows no connection.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import weakref
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from . import threads
from .errors import DNSError
from .loop_end import LoopEnd
from .urls import host_and_port

__all__ = ["AiodnsResolver", "Resolver", "StaticResolver", "ThreadedResolver", "resolver_of"]


@runtime_checkable
class Resolver(Protocol):
    """Whatever has `async def resolve(host, port)`: give it as `Client(resolver=...)`.

    It is asked for names only, never for literal addresses, and once for all requests that wait for the same name; the client
    remembers its answers for `Limits.dns_ttl` seconds. It may be asked from several loops, and may be cancelled.

    >>> import aioreq
    >>> class Local:
    ...     async def resolve(self, host, port):
    ...         return ["127.0.0.1"] if host.endswith(".internal") else await aioreq.ThreadedResolver().resolve(host, port)
    >>> isinstance(Local(), aioreq.Resolver)
    True
    """

    async def resolve(self, host: str, port: int) -> Sequence[str | tuple[str, int]]:
        """IP addresses as text, the preferred one first; a link-local one names its interface (`fe80::1%eth0`). In place of one, a pair
        of an address and another port than was asked about sends connections there.

        Errors: OSError or DNSError where there are none.
        """
        ...


class ThreadedResolver:
    """The system's own resolver, which knows /etc/hosts, mDNS and the local network. The default.

    `getaddrinfo` runs in threads of ours, so that a slow name server holds up neither the loop nor its default executor; the order is
    that of RFC 6724, by the system.
    """

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Errors: OSError (socket.gaierror), DNSError for what can be no host name."""
        try:
            found = await threads.run(socket.getaddrinfo, host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
        except UnicodeError as error:
            raise DNSError(f"host {host!r} is no host name: {error}") from error
        # Python built without IPv6 reports IPv6 addresses as (int, bytes): of no use.
        return [_text(*sockaddr) for _, _, _, _, sockaddr in found if isinstance(sockaddr[0], str)]


class AiodnsResolver:
    """DNS by c-ares, without threads of Python's: for thousands of lookups at once. Needs `pip install aioreq[speedups]`.

    It reads /etc/hosts and asks the servers of /etc/resolv.conf, or `nameservers` (`"192.0.2.53"`, `"192.0.2.53:5353"`); it knows no
    mDNS and no other source of nsswitch.conf. `timeout` is how long the first of `tries` waits for a server, in seconds; later ones
    wait longer (both c-ares' own if None). What else `options` holds goes to aiodns.DNSResolver as it is (`rotate=True`). One may serve
    several clients and loops; it ends with each loop by itself, or by `close`.
    """

    def __init__(
        self, nameservers: Sequence[str] | None = None, *, timeout: float | None = None, tries: int | None = None, **options: Any
    ) -> None:
        try:
            self._aiodns: Any = importlib.import_module("aiodns")
        except ImportError as error:
            raise ImportError("AiodnsResolver needs aiodns: pip install 'aioreq[speedups]'") from error
        if isinstance(nameservers, str):
            raise TypeError(f"AiodnsResolver(nameservers={nameservers!r}): give a list of addresses")
        self._options = {"nameservers": nameservers, "timeout": timeout, "tries": tries, **options}
        # Each loop's own, and what ends it with the loop.
        self._channels: dict[asyncio.AbstractEventLoop, tuple[Any, LoopEnd]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, in the order of RFC 6724. Errors: DNSError."""
        try:
            found = await self._channel().getaddrinfo(host, port=port, type=socket.SOCK_STREAM)
        except self._aiodns.error.DNSError as error:
            raise DNSError(f"host {host!r} has no address: {error.args[-1]}") from error
        except UnicodeError as error:
            raise DNSError(f"host {host!r} is no host name: {error}") from error
        return [_text(node.addr[0].decode("ascii"), *node.addr[1:]) for node in found.nodes]

    async def close(self) -> None:
        """End it on the running loop, where lookups under way fail; it may be used again."""
        held = self._channels.get(asyncio.get_running_loop())
        if held is not None:
            await held[1].reached()

    def _channel(self) -> Any:
        loop = asyncio.get_running_loop()
        held = self._channels.get(loop)
        if held is None:
            for gone in [other for other in list(self._channels) if other.is_closed()]:  # one that was closed without a runner
                self._channels.pop(gone, None)
            channel = self._aiodns.DNSResolver(loop=loop, **self._options)
            held = self._channels[loop] = (channel, LoopEnd(partial(_end_with_loop, weakref.ref(self), loop, channel)))
        return held[0]


class StaticResolver:
    """A table of names, as curl's `--resolve`: a key is `"host"` or `"host:port"`, a value an IP address or a list of them.

    What isn't in it goes to `fallback` (default: the system's resolver). The request is the same in all else: Host field, TLS server
    name and certificate are those of the name.

    >>> StaticResolver({"example.com": ["192.0.2.1", "2001:db8::1"], "example.com:8443": "127.0.0.1"})
    <StaticResolver example.com, example.com:8443>
    """

    def __init__(self, mapping: Mapping[str, str | Sequence[str]], fallback: Resolver | None = None) -> None:
        self._table = {_table_key(name): _table_value(name, addresses) for name, addresses in mapping.items()}
        self._fallback = resolver_of(fallback)

    async def resolve(self, host: str, port: int) -> Sequence[str | tuple[str, int]]:
        """The addresses in the table, or whatever the fallback answers or raises."""
        name = host.rstrip(".")
        found = self._table.get((name, port)) or self._table.get((name, None))
        return await self._fallback.resolve(host, port) if found is None else found

    def __repr__(self) -> str:
        shown = [host if port is None else f"{host}:{port}" for host, port in islice(self._table, 8)]
        return f"<StaticResolver {', '.join(shown)}{', ...' if len(self._table) > len(shown) else ''}>"


def resolver_of(value: Resolver | Mapping[str, str | Sequence[str]] | None) -> Resolver:
    """The resolver that a user's `resolver=` means: a mapping is a StaticResolver, None the system."""
    given: Any = value
    if given is None:
        return ThreadedResolver()
    if isinstance(given, Mapping):
        return StaticResolver(given)
    if isinstance(given, type) or not isinstance(given, Resolver):
        what = f"the class {given.__name__}: give an object of it" if isinstance(given, type) else type(given).__name__
        raise TypeError(f"resolver= takes an object with `async def resolve(host, port)`, or a mapping of names, not {what}")
    return given


def _text(host: str, port: int, flow: int = 0, scope: int = 0) -> str:
    return f"{host}%{scope}" if scope else host


def _table_key(name: str) -> tuple[str, int | None]:
    given: Any = name
    if not isinstance(given, str):
        raise TypeError(f"StaticResolver: a key is 'host' or 'host:port', not {type(given).__name__}")
    try:
        host, port = host_and_port(name, 0, name)
    except ValueError as error:
        raise ValueError(f"StaticResolver: {name!r} is neither 'host' nor 'host:port': {error}") from error
    if _is_address(host):
        raise ValueError(f"StaticResolver: {name!r} is a literal address, which is never looked up")
    return host.rstrip("."), port or None


def _table_value(name: str, addresses: str | Sequence[str]) -> tuple[str, ...]:
    given: Any = addresses
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise TypeError(f"StaticResolver: {name!r} stands for IP addresses as text, not {type(given).__name__}")
    found: tuple[Any, ...] = (given,) if isinstance(given, str) else tuple(given)
    if not found:
        raise ValueError(f"StaticResolver: {name!r} has no address")
    for each in found:
        if not isinstance(each, str) or not _is_address(each):
            raise ValueError(f"StaticResolver: {name!r} stands for IP addresses as text, not {each!r}")
    return found


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


async def _end_with_loop(owner: weakref.ref[AiodnsResolver], loop: asyncio.AbstractEventLoop, channel: Any) -> None:
    if (resolver := owner()) is not None:
        resolver._channels.pop(loop, None)
    await channel.close()  # on the loop, since c-ares reports what is under way to it
