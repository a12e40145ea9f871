"""Who may use which connection now: idle stacks, limits, queues of waiters. Never opens a connection itself, never reads one.

Slot ownership is a linear token. A slot is the right to have one connection open; it is taken in `_take_slot`, travels with the
connection, and comes back in `_release_slot`, once: when opening failed, or when the connection closed. A connection is held by exactly one
exchange, or stands in one idle stack, or is in the hands of one woken waiter.

Every step is O(1): a stack of idle connections and a FIFO of waiters per route; all idle connections in one order of age; and a queue of
the routes that wait only because the total is used up.
"""

from __future__ import annotations

import asyncio
import select
from collections import OrderedDict
from collections.abc import AsyncGenerator

from .config import IDEMPOTENT, Limits
from .connection import Connection
from .connector import Connector, Route
from .dialer import Dialer
from .errors import AioreqError, ClientClosed, ConnectionLost, ConnectTimeout, PoolTimeout, RequestTimeout, TotalTimeout
from .models import Request, Response, StreamResponse
from .request_head import serialize
from .transfer import Opening

__all__ = ["Pool"]

POLL_AFTER = 1.0  # seconds of idling after which a plaintext connection is looked at before it is used again
HANDOVERS = 32  # waiters of one key served in a row by its own connections while other keys wait for a slot


class _Slot:
    """What a waiter is granted in place of a connection: it may open one."""


_SLOT = _Slot()
_DIALER = Dialer()  # for a request that no client settled


_Waiter = asyncio.Future[Connection | _Slot]


class _Queue:
    """The connections and waiters of one key."""

    __slots__ = ("idle", "open", "route", "streak", "waiters")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.open = 0  # slots taken: connections open or being opened
        self.idle: dict[Connection, None] = {}  # a stack: the last one in is the warmest
        self.waiters: OrderedDict[_Waiter, None] = OrderedDict()  # in order of arrival; one that gives up leaves at once
        self.streak = 0  # waiters served in a row while other keys waited

    def someone_waits(self) -> bool:
        """Whether there is a waiter to serve. One that was cancelled in this very tick still stands in line, and is sent off."""
        while self.waiters:
            if not next(iter(self.waiters)).done():
                return True
            self.waiters.popitem(last=False)
        return False

    def next_waiter(self) -> _Waiter:
        waiter, _ = self.waiters.popitem(last=False)
        return waiter


class Pool:
    """The connections of one client on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.loop = loop
        self.limits = limits
        self.connector = Connector(loop, limits)
        self.closed = False
        self.open = 0
        self.waiting = 0
        self.keeper: AsyncGenerator[None, None] | None = None  # ends the pool with its loop
        self._queues: dict[Route, _Queue] = {}
        self._queue_of: dict[Connection, _Queue] = {}
        self._idle: OrderedDict[Connection, _Queue] = OrderedDict()  # the longest idle first
        self._blocked: OrderedDict[_Queue, None] = OrderedDict()  # keys that wait for the total alone, in turn
        self._opening: set[asyncio.Timeout] = set()  # the time limits of the connections being opened
        self._sweeper: asyncio.TimerHandle | None = None

    # -- the way of one request

    async def send(self, request: Request) -> Response | StreamResponse:
        """The response to one attempt; once more, in silence, where a reused connection died before it could have been answered."""
        head, close_asked = serialize(request)
        origin = request.parsed.origin
        route = Route(origin, request.tls if origin.scheme == "https" else None, request.dialer or _DIALER)
        connection = self._take_idle(route, request) or await self._acquire(route, request)
        if request.deadline is not None:
            request.deadline.start(self.loop.time())
        reused = connection.served
        try:
            return await connection.exchange(request, head, close_asked)
        except ConnectionLost as error:
            if not reused or error.response_started or not _resendable(request) or self.closed:
                raise
        connection = await self._acquire(route, request, fresh=True)
        return await connection.exchange(request, head, close_asked)

    def _take_idle(self, route: Route, request: Request) -> Connection | None:
        queue = self._queues.get(route)
        while queue is not None and queue.idle:
            connection, _ = queue.idle.popitem()
            del self._idle[connection]
            # What can't be resent is worth a look each time: a dead connection would be the caller's trouble.
            if _usable(connection, self.loop, POLL_AFTER if _resendable(request) else 0.0):
                return connection
            connection.close()
        return None

    async def _acquire(self, route: Route, request: Request, fresh: bool = False) -> Connection:
        """A connection, once the limits allow one. Errors: PoolTimeout, ConnectError and its children, TotalTimeout, ClientClosed."""
        while True:
            self._refuse_if_closed(request)
            queue = self._queues.get(route)
            if queue is None:
                queue = self._queues[route] = _Queue(route)
            if not queue.someone_waits() and self._take_slot(queue):
                break
            granted = await self._wait(queue, request)
            if not isinstance(granted, Connection):
                break
            if granted.closed:
                continue  # it ended in the tick in which it was handed over, and its slot went on
            if not fresh:
                return granted
            del self._queue_of[granted]  # its slot stays here, for a new one
            granted.close()
            break
        try:
            return await self._open(queue, request)
        except BaseException:
            self._release_slot(queue)
            raise

    def _refuse_if_closed(self, request: Request) -> None:
        if self.closed:
            raise ClientClosed("the client was closed before this request had a connection", request=request)

    async def _open(self, queue: _Queue, request: Request) -> Connection:
        self._refuse_if_closed(request)
        connect = request.timeout.connect
        began = self.loop.time()
        due = None if connect is None else began + connect
        total = None if request.deadline is None else request.deadline.start(began)
        total_first = total is not None and (due is None or total < due)
        limit = asyncio.timeout_at(total if total_first else due)
        self._opening.add(limit)
        opening = Opening(self.loop.time)
        try:
            async with limit:
                connection = await self.connector.open(queue.route, opening)
        except TimeoutError as error:
            if isinstance(error, AioreqError):
                raise
            if self.closed:
                raise ClientClosed("the client was closed while a connection was being made", request=request) from error
            at = f"during {opening.step}, {self.loop.time() - began:.3f} s into connecting ({request!r})"
            if total_first:
                total_limit = f"the total limit of {request.timeout.total:g} s passed"
                raise TotalTimeout(f"{total_limit}: no connection to {queue.route} yet, {at}") from error
            raise ConnectTimeout(f"no connection to {queue.route} within {connect:g} s: {at}") from error
        finally:
            self._opening.discard(limit)
        if self.closed:
            connection.close()
            raise ClientClosed("the client was closed while a connection was being made", request=request)
        if connection.closed:
            what = "closed the new connection, or sent bytes that nobody had asked for, before the request went out"
            raise ConnectionLost(f"{connection.peer} {what} ({request!r})", request=request)
        self._queue_of[connection] = queue
        connection.owner = self
        return connection

    # -- slots

    def _take_slot(self, queue: _Queue) -> bool:
        """Take a slot for this key if the limits allow, closing the longest idle connection that stands in its way."""
        limits = self.limits
        if limits.per_host and queue.open >= limits.per_host:
            if not queue.idle:
                return False
            next(iter(queue.idle)).close()  # a fresh one is wanted
        if self.open >= limits.connections:
            if not self._idle:
                return False
            next(iter(self._idle)).close()
        queue.open += 1
        self.open += 1
        self._queues[queue.route] = queue  # making room may just have closed its last idle connection
        return True

    def _release_slot(self, queue: _Queue) -> None:
        """The one place where a slot comes back: it goes to one waiter, or is free."""
        queue.open -= 1
        self.open -= 1
        self._block(queue)
        self._grant()
        self._forget_if_unused(queue)

    def _grant(self) -> None:
        """Let one waiter open a connection: the first of the key whose turn it is."""
        while self._blocked:
            queue, _ = self._blocked.popitem(last=False)
            if queue.someone_waits() and self._take_slot(queue):
                queue.next_waiter().set_result(_SLOT)
                self._block(queue)
                return
            self._forget_if_unused(queue)

    def _block(self, queue: _Queue) -> None:
        """Queue a key whose waiters need only the total to have room (one at its own limit waits for its own slots)."""
        if queue.waiters and not (self.limits.per_host and queue.open >= self.limits.per_host):
            self._blocked.setdefault(queue)

    def _forget_if_unused(self, queue: _Queue) -> None:
        if not queue.waiters:
            self._blocked.pop(queue, None)
            if not queue.open:
                self._queues.pop(queue.route, None)

    async def _wait(self, queue: _Queue, request: Request) -> Connection | _Slot:
        limit = request.timeout.pool
        began = self.loop.time()
        due = None if limit is None else began + limit
        total = None if request.deadline is None else request.deadline.at
        total_first = total is not None and (due is None or total < due)
        waiter: _Waiter = self.loop.create_future()
        queue.waiters[waiter] = None
        self._block(queue)
        self.waiting += 1
        try:
            async with asyncio.timeout_at(total if total_first else due):
                return await waiter
        except BaseException as error:
            if queue.waiters.pop(waiter, _SLOT) is None:
                self._forget_if_unused(queue)
            else:
                self._pass_on(queue, waiter)
            if not isinstance(error, TimeoutError):
                raise
            kind: type[RequestTimeout] = TotalTimeout if total_first else PoolTimeout
            raise kind(
                f"no connection slot for {queue.route} became free within {self.loop.time() - began:.3f} s: {self.open} of "
                f"{self.limits.connections} are open, {queue.open} of them to this origin; raise Limits(connections=..., per_host=...)",
                request=request,
            ) from error
        finally:
            self.waiting -= 1

    def _pass_on(self, queue: _Queue, waiter: _Waiter) -> None:
        """A waiter gave up in the tick in which it was woken: what it was given goes on to the next."""
        if waiter.cancelled() or waiter.exception() is not None:
            return
        granted = waiter.result()
        if isinstance(granted, Connection):
            if not granted.closed:
                self.freed(granted)
        else:
            self._release_slot(queue)

    # -- what becomes of a connection (connection.Owner)

    def freed(self, connection: Connection) -> None:
        """Its exchange ended well: it goes to a waiter of its key, or makes room for another key's, or idles."""
        queue = self._queue_of[connection]
        if connection.closed or self.closed:
            connection.close()
            return
        if not queue.someone_waits():
            self._blocked.pop(queue, None)
        others = len(self._blocked) > (queue in self._blocked)
        if queue.waiters and (not others or queue.streak < HANDOVERS):
            queue.streak = queue.streak + 1 if others else 0
            queue.next_waiter().set_result(connection)
            self._forget_if_unused(queue)
            return
        queue.streak = 0
        if queue in self._blocked:
            self._blocked.move_to_end(queue)  # it had its turn
        if others or not self.limits.idle or not self.limits.idle_timeout:
            connection.close()
            return
        queue.idle[connection] = None
        self._idle[connection] = queue
        if len(self._idle) > self.limits.idle:
            next(iter(self._idle)).close()
        if self._sweeper is None:
            self._sweeper = self.loop.call_at(connection.idle_since + self.limits.idle_timeout, self._sweep)

    def lost(self, connection: Connection) -> None:
        """It is closed, and its slot free."""
        queue = self._queue_of.pop(connection, None)
        if queue is None:
            return
        if self._idle.pop(connection, None) is not None:
            queue.idle.pop(connection, None)
        self._release_slot(queue)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.loop.time()
        while self._idle:
            oldest = next(iter(self._idle))
            due = oldest.idle_since + self.limits.idle_timeout
            if due > now:
                self._sweeper = self.loop.call_at(due, self._sweep)
                return
            oldest.close()

    def close(self) -> None:
        """Close every connection now; exchanges under way and waiters fail. May be called at any time, and twice."""
        self.closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for queue in list(self._queues.values()):
            for waiter in queue.waiters:
                if not waiter.done():
                    waiter.set_exception(ClientClosed("the client was closed while this request waited for a connection slot"))
            queue.waiters.clear()
            self._forget_if_unused(queue)
        for limit in self._opening:
            if not limit.expired():
                limit.reschedule(self.loop.time())
        for connection in list(self._queue_of):
            connection.close(ClientClosed("the client was closed during this request"))


def _usable(connection: Connection, loop: asyncio.AbstractEventLoop, poll_after: float) -> bool:
    if connection.closed or connection.transport is None or connection.transport.is_closing():
        return False
    if connection.secure or loop.time() - connection.idle_since < poll_after:
        return True
    # Readable while idle means closed by the peer, or bytes that nobody asked for.
    socket = connection.transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return not poll.poll(0)


def _resendable(request: Request) -> bool:
    return request.method in IDEMPOTENT and request.replayable
