"""Who holds which slot, which connections idle, who stands in line and whose turn it is. Awaits nothing, opens nothing, sees no request.

Slot ownership is a linear token. A slot is the right to have one connection open; it is taken in `take`, travels with the connection, and
comes back in `release`, once: when opening failed, or when the connection closed. A connection is held by exactly one exchange, or stands
in one idle stack, or is in the hands of one woken waiter.

Every step is O(1): a stack of idle connections and a FIFO of waiters per route; all idle connections in one order of age; and a queue of
the routes that wait only because the total is used up.
"""

from __future__ import annotations

import asyncio
import select
from collections import OrderedDict
from collections.abc import Callable

from .config import Limits
from .connection import Connection
from .errors import ClientClosed
from .opener import Route

__all__ = ["HANDOVERS", "Queue", "Slot", "Slots", "Waiter"]

POLL_AFTER = 1.0  # seconds of idling after which a connection is looked at before it is used again
HANDOVERS = 32  # waiters of one route served in a row by its own connections while other routes wait for a slot


class Slot:
    """What a waiter is granted in place of a connection: it may open one."""


_SLOT = Slot()

Waiter = asyncio.Future[Connection | Slot]


class Queue:
    """The connections and waiters of one route."""

    __slots__ = ("connected", "idle", "open", "route", "streak", "waiters")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.open = 0  # slots taken: connections open or being opened
        self.connected = 0  # the former alone
        self.idle: dict[Connection, None] = {}  # a stack: the last one in is the warmest
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()  # in order of arrival; one that gives up leaves at once
        self.streak = 0  # waiters served in a row while other routes waited

    def someone_waits(self) -> bool:
        """Whether there is a waiter to serve. One that was cancelled in this very tick still stands in line, and is sent off."""
        while self.waiters:
            if not next(iter(self.waiters)).done():
                return True
            self.waiters.popitem(last=False)
        return False

    def next_waiter(self) -> Waiter:
        waiter, _ = self.waiters.popitem(last=False)
        return waiter


class Slots:
    """The slots of one pool. It owns the connections (connection.Owner) once `add` gave them to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.loop = loop
        self.limits = limits
        self.open = 0
        self.queues: dict[Route, Queue] = {}
        self.queue_of: dict[Connection, Queue] = {}
        self.idle: OrderedDict[Connection, Queue] = OrderedDict()  # the longest idle first
        self.blocked: OrderedDict[Queue, None] = OrderedDict()  # routes that wait for the total alone, in turn
        self._most = limits.idle
        # What idled for a lifetime is past its own.
        idle_for = limits.idle_timeout if limits.lifetime is None else min(limits.idle_timeout, limits.lifetime)
        self._idle_for = idle_for if limits.idle else 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: Callable[[], None] | None = None  # set: nothing idles any more

    # -- slots

    def queue(self, route: Route) -> Queue:
        """The queue of a route: a new one belongs to whoever takes a slot or joins next, or else to `forget_if_unused`."""
        queue = self.queues.get(route)
        if queue is None:
            queue = self.queues[route] = Queue(route)
        return queue

    def take(self, queue: Queue) -> bool:
        """Take a slot for this route if the limits allow, closing the longest idle connection that stands in its way."""
        limits = self.limits
        if limits.per_host and queue.open >= limits.per_host:
            if not queue.idle:
                return False
            next(iter(queue.idle)).close()  # a fresh one is wanted
        if self.open >= limits.connections:
            if not self.idle:
                return False
            next(iter(self.idle)).close()
        queue.open += 1
        self.open += 1
        self.queues[queue.route] = queue  # making room may just have closed its last idle connection
        return True

    def release(self, queue: Queue) -> None:
        """The one place where a slot comes back: it goes to one waiter, or is free."""
        queue.open -= 1
        self.open -= 1
        self._block(queue)
        self._grant()
        self.forget_if_unused(queue)
        if self._emptied is not None and not self.open:
            self._emptied()

    def _grant(self) -> None:
        """Let one waiter open a connection: the first of the route whose turn it is."""
        while self.blocked:
            queue, _ = self.blocked.popitem(last=False)
            if queue.someone_waits() and self.take(queue):
                queue.next_waiter().set_result(_SLOT)
                self._block(queue)
                return
            self.forget_if_unused(queue)

    def _block(self, queue: Queue) -> None:
        """Queue a route whose waiters need only the total to have room (one at its own limit waits for its own slots)."""
        if queue.waiters and not (self.limits.per_host and queue.open >= self.limits.per_host):
            self.blocked.setdefault(queue)

    def forget_if_unused(self, queue: Queue) -> None:
        """Drop what nobody stands in line at any more."""
        if not queue.waiters:
            self.blocked.pop(queue, None)
            if not queue.open:
                self.queues.pop(queue.route, None)

    # -- waiters

    def join(self, queue: Queue) -> Waiter:
        """A new place at the end of the line."""
        waiter: Waiter = self.loop.create_future()
        queue.waiters[waiter] = None
        self._block(queue)
        return waiter

    def leave(self, queue: Queue, waiter: Waiter) -> None:
        """A waiter gave up: its place is taken away, or what it was given in this very tick goes on to the next."""
        if queue.waiters.pop(waiter, _SLOT) is None:
            self.forget_if_unused(queue)
            return
        if waiter.cancelled() or waiter.exception() is not None:
            return
        granted = waiter.result()
        if not isinstance(granted, Connection):
            self.release(queue)
        elif not granted.closed:
            self.freed(granted)

    # -- connections

    def add(self, connection: Connection, queue: Queue) -> None:
        """From now on the connection, just opened, holds the slot that was taken for it."""
        self.queue_of[connection] = queue
        queue.connected += 1
        connection.owner = self
        if self.limits.lifetime is not None:
            connection.expires = self.loop.time() + self.limits.lifetime

    def keep_slot_of(self, connection: Connection) -> None:
        """Close a connection whose slot stays with the caller, for a new one."""
        self.queue_of.pop(connection).connected -= 1
        connection.close()

    def take_idle(self, route: Route, resendable: bool) -> Connection | None:
        """The warmest idle connection that is still good; one that has idled for long is looked at first, and any one for a request that
        can't be resent."""
        queue = self.queues.get(route)
        while queue is not None and queue.idle:
            connection, _ = queue.idle.popitem()
            del self.idle[connection]
            transport = connection.transport
            if transport is None or connection.closed or transport.is_closing():
                connection.close()
            elif (resendable and self.loop.time() < connection.fresh_until) or _usable(connection, transport, self.loop.time()):
                return connection
            else:
                connection.close()
        return None

    def freed(self, connection: Connection) -> None:
        """Its exchange ended well: it goes to a waiter of its route, or makes room for another route's, or idles."""
        queue = self.queue_of[connection]
        now = connection.idle_since
        fresh_until = now + POLL_AFTER
        if connection.expires < fresh_until or connection.keep_for < POLL_AFTER:
            if connection.expires <= now or connection.keep_for <= 0:
                connection.close()
                return
            fresh_until = min(now + connection.keep_for, connection.expires)
        if (self.blocked or queue.waiters) and self._hand_over(connection, queue):
            return
        if self._idle_for <= 0 or self._emptied is not None:
            connection.close()
            return
        connection.fresh_until = fresh_until
        queue.streak = 0
        queue.idle[connection] = None
        self.idle[connection] = queue
        if len(self.idle) > self._most:
            next(iter(self.idle)).close()
        if self._sweeper is None:
            self._sweeper = self.loop.call_at(now + self._idle_for, self._sweep)

    def _hand_over(self, connection: Connection, queue: Queue) -> bool:
        """Give it to whoever waits, or close it to make room for another route; False where it may idle."""
        if not queue.someone_waits():
            self.blocked.pop(queue, None)
        others = len(self.blocked) > (queue in self.blocked)
        if queue.waiters and (not others or queue.streak < HANDOVERS):
            queue.streak = queue.streak + 1 if others else 0
            queue.next_waiter().set_result(connection)
            self.forget_if_unused(queue)
            return True
        queue.streak = 0
        if queue in self.blocked:
            self.blocked.move_to_end(queue)  # it had its turn
        if others:
            connection.close()
        return others

    def lost(self, connection: Connection) -> None:
        """It is closed, and its slot free."""
        queue = self.queue_of.pop(connection, None)
        if queue is None:
            return
        queue.connected -= 1
        if self.idle.pop(connection, None) is not None:
            queue.idle.pop(connection, None)
        self.release(queue)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.loop.time()
        while self.idle:
            oldest = next(iter(self.idle))
            due = oldest.idle_since + self._idle_for
            if due > now:
                self._sweeper = self.loop.call_at(due, self._sweep)
                return
            oldest.close()

    # -- the end

    def drain(self, emptied: Callable[[], None]) -> None:
        """Close what idles, now and from now on; `emptied` is called whenever the last slot has come back."""
        self._emptied = emptied
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self.idle):
            connection.close()

    def close(self, emptied: Callable[[], None]) -> None:
        """Fail every waiter and every exchange, and close every connection; else as `drain`."""
        for queue in list(self.queues.values()):
            for waiter in queue.waiters:
                if not waiter.done():
                    waiter.set_exception(ClientClosed("the client was closed while this request waited for a connection slot"))
            queue.waiters.clear()
            self.forget_if_unused(queue)
        self.drain(emptied)
        for connection in list(self.queue_of):
            connection.close(ClientClosed("the client was closed during this request"))


def _usable(connection: Connection, transport: asyncio.Transport, now: float) -> bool:
    if now >= connection.expires or now - connection.idle_since >= connection.keep_for:
        return False
    socket = transport.get_extra_info("socket")
    if socket is None or not hasattr(select, "poll"):
        return True
    # Readable while idle means closed by the peer, or bytes that nobody asked for; over TLS these may be a session ticket, and only the end
    # tells.
    poll = select.poll()
    poll.register(socket.fileno(), getattr(select, "POLLRDHUP", 0) if connection.secure else select.POLLIN)
    return not poll.poll(0)
