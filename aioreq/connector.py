"""The connections of a client, or of several that share them: one pool a loop, what all of them have in common, and their end.

Sees no request and opens nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import Self

from .config import Limits, check_seconds
from .dialer import Dialer, LocalAddress, SocketOption, UnixSocket
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

    The options are those of `Client`. It belongs to whoever made it: closing such a client leaves it open, `await connector.close()`
    or `async with` closes it. A client that is given none makes one of its own.
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
    ) -> None:
        self.limits = limits
        self.dialer = Dialer(
            names=Names(resolver_of(resolver), limits),
            guard=guard_of(guard),
            local_address=local_address,
            unix_socket=unix_socket,
            socket_options=socket_options,
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

    async def _close_now(self) -> None:
        running = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is running:
                pool.close()
            else:
                try:
                    loop.call_soon_threadsafe(pool.close)
                except RuntimeError:  # that loop is closed, perhaps in this very moment by its own thread
                    self._pools.pop(loop, None)
        self._pools.pop(running, None)
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
