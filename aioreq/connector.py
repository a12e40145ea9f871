"""The connections of a client, or of several that share them: one pool a loop, what all of them have in common, and their end.

Sees no request and opens nothing itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import Self

from .config import UNSET, Limits, Unset, check_seconds
from .dial_options import LocalAddress, SocketFactory, SocketOption, UnixSocket
from .dialer import Dialer
from .dns import Names
from .errors import ClientClosed
from .guard import Guard, guard_of
from .loop_end import LoopEnd
from .pool import Pool
from .resolvers import Resolver, resolver_of
from .stats import Stats, count

__all__ = ["Connector"]

_LIMITS = Limits()
_LOOK_AGAIN = 0.5  # seconds after which a closing connector looks whether the loops that it waits for still run


class Connector:
    """Connections that several clients share, and the limits on them: `Client(connector=connector)`, each with its own cookies and options.

    It belongs to whoever made it: closing such a client leaves it open, `await connector.close()` or `async with` closes it. A client
    that is given none makes one of its own. The options are those of `Client`, and how its sockets are made: `family` is socket.AF_INET
    or AF_INET6 where only one will do. Of several addresses the next is tried `happy_eyeballs_delay` seconds after the one before (0.25,
    RFC 8305), or, if that is None, when it has failed; the first `interleave` are of the preferred family, then the families take turns
    (0: in the resolver's order). `socket_factory`, a plain function of a family and the address to connect to, gives a new stream socket.
    """

    def __init__(
        self,
        *,
        limits: Limits = _LIMITS,
        resolver: Resolver | Mapping[str, str | Sequence[str]] | None = None,
        guard: Guard | None = None,
        local_address: LocalAddress | None = None,
        unix_socket: UnixSocket | None = None,
        socket_options: Iterable[SocketOption] | None = None,
        family: int = socket.AF_UNSPEC,
        happy_eyeballs_delay: float | Unset | None = UNSET,
        interleave: int | None = None,
        socket_factory: SocketFactory | None = None,
    ) -> None:
        self.limits = limits
        self.dialer = Dialer(
            names=Names(resolver_of(resolver), limits),
            guard=guard_of(guard),
            local_address=local_address,
            unix_socket=unix_socket,
            socket_options=socket_options,
            family=family,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            socket_factory=socket_factory,
        )
        self._closed = False
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def pool(self) -> Pool:
        """The pool of the running loop. Errors: ClientClosed, unless `close` waits for calls under way there."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if self._closed and (pool is None or pool.closed):
            raise ClientClosed("the connector is closed")
        if pool is None:
            for gone in [other for other in list(self._pools) if other.is_closed()]:  # one that was closed without a runner
                self._pools.pop(gone, None)
            pool = self._pools[loop] = Pool(loop, self.limits, self.dialer)
            pool.loop_end = LoopEnd(partial(_end_with_loop, self._pools, pool))
            if self._closed:  # by another thread, which didn't see this pool
                pool.close()
                raise ClientClosed("the connector is closed")
        return pool

    def stats(self) -> Stats:
        """How many connections are open, idle and being opened, and how many requests wait for one: in all, and for each origin.

        Summed over the loops; may be called outside a loop, from any thread, and after `close`.
        """
        return count([pool.slots for pool in list(self._pools.values())])

    async def close(self, wait: float | None = 0) -> None:
        """Close every connection: calls under way have `wait` seconds to end, then fail. See `Client.close`."""
        check_seconds("Connector.close", "wait", wait)
        self._closed = True
        try:
            if wait != 0:
                await self._drained(inf if wait is None else wait)
        finally:
            await self._close_now()

    async def _drained(self, wait: float) -> None:
        """Return when nothing is under way any more, or after `wait` seconds."""
        ends: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}
        running = asyncio.get_running_loop()
        due = running.time() + wait
        for loop, pool in list(self._pools.items()):
            end: asyncio.Future[None] = running.create_future()
            if loop is running:
                pool.drain(partial(_tell, end))
            elif loop.is_running():
                try:
                    loop.call_soon_threadsafe(pool.drain, partial(_tell, end))
                except RuntimeError:  # it was closed in this very moment
                    continue
            else:
                continue
            ends[end] = loop
        while ends and (left := due - running.time()) > 0:
            await asyncio.wait(ends, timeout=min(left, _LOOK_AGAIN))
            # A loop that is stopped, and not by a runner, tells nobody.
            ends = {end: loop for end, loop in ends.items() if not end.done() and loop.is_running()}

    def forget_addresses(self, host: str | None = None, port: int | None = None) -> None:
        """Ask the resolver anew about this host and port, or about every name: its answers are remembered for `Limits.dns_ttl` seconds.

        Errors: ValueError where only one of the two is given.
        """
        if host is None is port:
            self.dialer.names.clear()
        elif host is None or port is None:
            raise ValueError("Connector.forget_addresses(): give a host and its port, or neither")
        else:
            self.dialer.names.forget(host, port)

    def abort(self) -> None:
        """Close every connection, as `close` does at its end, without a wait for anything: for where nothing can be awaited."""
        self._closed = True
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        for loop, pool in list(self._pools.items()):
            if loop is running:
                pool.close()
            else:
                try:
                    loop.call_soon_threadsafe(pool.close)
                except RuntimeError:  # that loop is closed, perhaps in this very moment by its own thread
                    self._pools.pop(loop, None)
        if running is not None:
            self._pools.pop(running, None)

    async def _close_now(self) -> None:
        self.abort()
        # Two turns of the loop, and the transports have let go of their sockets.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClientClosed("the connector is closed: make a new one")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' closed' if self._closed else ''}>"


def _end_with_loop(pools: dict[asyncio.AbstractEventLoop, Pool], pool: Pool) -> None:
    pools.pop(pool.loop, None)
    pool.close()


def _tell(end: asyncio.Future[None]) -> None:
    """Resolve a future of any thread's loop, which may be closed by now."""
    with suppress(RuntimeError):
        end.get_loop().call_soon_threadsafe(_resolve, end)


def _resolve(end: asyncio.Future[None]) -> None:
    if not end.done():
        end.set_result(None)
