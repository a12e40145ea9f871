"""Names to addresses: whatever resolver is asked, each name is asked for once at a time, remembered for a while, and its answer checked.

Knows the resolver only by its one method, and nothing of what the addresses are for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from .config import Limits
from .errors import DNSError
from .resolvers import Resolver
from .transfer import Trace

__all__ = ["Address", "Names"]

# Addresses taken of one answer: nobody tries more, and a name server may send thousands.
_MOST = 64
_lock = threading.Lock()  # of every memory: held for a few steps of a dictionary, never across an await


class Address(NamedTuple):
    """Where to connect to: a family of `socket`, and the address as `socket.connect` takes it."""

    family: int
    sockaddr: tuple[Any, ...]

    @property
    def text(self) -> str:
        """The address as text, with the number of its interface where it is bound to one."""
        host, _, *rest = self.sockaddr
        return f"{host}%{rest[1]}" if rest and rest[1] else str(host)


_Key: TypeAlias = tuple[str, int]


class _Literal(NamedTuple):
    family: int
    text: str
    scope: str | None  # an interface's name, or its number


class _Failure(NamedTuple):
    message: str
    cause: BaseException | None


class _Flight:
    """One question to the resolver, on one loop. It lives as long as somebody waits for it."""

    __slots__ = ("__weakref__", "task", "waiters")

    def __init__(self, task: asyncio.Task[list[Address] | _Failure]) -> None:
        self.task = task
        self.waiters = 0


class Names:
    """What one client knows of names: a bounded memory in front of its resolver, shared by all loops and threads it is used on.

    Answers are remembered for `limits.dns_ttl` seconds, at most `limits.dns` of them, the least recently used forgotten first.
    Failures are never remembered.
    """

    def __init__(self, resolver: Resolver, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver
        self._most = limits.dns if limits.dns_ttl else 0
        self._ttl = limits.dns_ttl
        self._clock = clock
        self._known: OrderedDict[_Key, tuple[float, list[Address]]] = OrderedDict()  # the least recently used first
        # A future belongs to its loop, so each loop asks for itself. Weak: a loop that was stopped for good takes its flights along.
        self._flights: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, _Key], _Flight] = WeakValueDictionary()

    async def lookup(self, host: str, port: int, trace: Trace | None = None) -> list[Address]:
        """The addresses of a host in the resolver's order, at least one; a literal address is its own. Errors: DNSError."""
        known = self.known(host, port)
        if known is not None:
            if trace is not None and _literal(host) is None:
                await trace("dns.hit", {"host": host})
            return known
        key = (host, port)
        loop = asyncio.get_running_loop()
        flight = self._flights.get((loop, key))
        asked = flight is None or not self._most  # what isn't remembered is everyone's own question, to whoever is told
        if flight is None:
            flight = self._flights[loop, key] = _Flight(loop.create_task(self._ask(key)))
        flight.waiters += 1
        try:
            if trace is not None:
                await trace("dns.start" if asked else "dns.hit", {"host": host})
            # One who gives up takes nobody along.
            outcome = await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                # The last one gave up, or all have the answer. Who comes now asks anew.
                self._flights.pop((loop, key), None)
                flight.task.cancel()
        if isinstance(outcome, _Failure):
            # One for each waiter: errors carry their request and their traceback.
            raise DNSError(outcome.message) from outcome.cause
        if trace is not None and asked:
            await trace("dns.end", {"host": host})
        return outcome.copy()

    def known(self, host: str, port: int) -> list[Address] | None:
        """The addresses of a literal or of a remembered name; None where the resolver has to be asked. Errors: DNSError."""
        literal = _literal(host)
        if literal is None:
            return self._recall((host, port))
        try:
            return [_address(literal, port)]
        except OSError as error:
            raise DNSError(f"host {host!r:.100}: {error}") from error

    def clear(self) -> None:
        """Forget every name."""
        with _lock:
            self._known.clear()

    def forget(self, host: str, port: int) -> None:
        """Nobody answers at these addresses: the next lookup asks the resolver again."""
        with _lock:
            self._known.pop((host, port), None)

    def _recall(self, key: _Key) -> list[Address] | None:
        with _lock:
            known = self._known.get(key)
            if known is None:
                return None
            until, addresses = known
            if self._clock() >= until:
                del self._known[key]
                return None
            self._known.move_to_end(key)
            return addresses.copy()

    def _remember(self, key: _Key, addresses: list[Address]) -> None:
        with _lock:
            self._known[key] = (self._clock() + self._ttl, addresses)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    async def _ask(self, key: _Key) -> list[Address] | _Failure:
        host, port = key
        try:
            outcome = self._checked(host, port, await self._resolver.resolve(host, port))
        except DNSError as error:
            return _Failure(str(error), error.__cause__ or error)
        except socket.gaierror as error:
            return _Failure(f"host {host!r} has no address: {error.strerror or error}", error)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".removesuffix(": ")
            return _Failure(f"host {host!r} has no address: {self._resolver_name()} raised {what}", error)
        if isinstance(outcome, list):
            self._remember(key, outcome)
        return outcome

    def _checked(self, host: str, port: int, found: Any) -> list[Address] | _Failure:
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            return _Failure(f"{self._resolver_name()} answered {found!r:.100} for host {host!r}: it must give a list of IP addresses", None)
        addresses: list[Address] = []
        for each in islice(found, _MOST):  # of a generator perhaps, that knows no end
            try:
                text, own_port = each if isinstance(each, tuple) else (each, port)
                if not isinstance(text, str) or type(own_port) is not int or not 0 <= own_port < 65536:
                    raise TypeError("not text")  # numbers and bytes are addresses to `ip_address`
                address = _address(_parts(ip_address(text)), own_port)
            except (TypeError, ValueError):
                return _Failure(f"{self._resolver_name()} answered {each!r:.100} for host {host!r}: that is no IP address as text", None)
            except OSError as error:
                return _Failure(f"{self._resolver_name()} answered {each!r:.100} for host {host!r}: {error}", error)
            if address not in addresses:
                addresses.append(address)
        return addresses or _Failure(f"host {host!r} has no address: {self._resolver_name()} found none that can be connected to", None)

    def _resolver_name(self) -> str:
        return type(self._resolver).__qualname__


@lru_cache(maxsize=256)
def _literal(host: str) -> _Literal | None:
    try:
        return _parts(ip_address(host))
    except ValueError:
        return None


def _parts(ip: IPv4Address | IPv6Address) -> _Literal:
    if isinstance(ip, IPv4Address):
        return _Literal(socket.AF_INET, str(ip), None)
    return _Literal(socket.AF_INET6, str(ip).partition("%")[0], ip.scope_id)


def _address(literal: _Literal, port: int) -> Address:
    if literal.family == socket.AF_INET:
        return Address(literal.family, (literal.text, port))
    # The interface goes as a number: asyncio would look up an address that names it, in its executor.
    return Address(literal.family, (literal.text, port, 0, _interface(literal.scope)))


def _interface(scope: str | None) -> int:
    """The number of a scoped address' interface (RFC 4007 section 11.2). Errors: DNSError where there is no such one."""
    if scope is None:
        return 0
    if scope.isascii() and scope.isdecimal() and len(scope) < 10:
        return int(scope)
    try:
        return socket.if_nametoindex(scope)
    except (OSError, ValueError):
        raise DNSError(f"this machine has no network interface {scope!r:.50}") from None


def _forget_lock() -> None:
    # A forked child may have it from a thread that it doesn't have.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
