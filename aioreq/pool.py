"""The way of one attempt: an idle connection, or a wait for a slot and a connection to be opened; and the end of them all.

Never opens a connection itself, never reads one; who may have which is kept account of in slots.py.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

from .config import IDEMPOTENT, TLS, Limits
from .connection import Connection
from .deadlines import CLOCK_SLACK, INFINITE
from .dialer import Dialer
from .errors import (
    AioreqError,
    ClientClosed,
    ConnectionLost,
    ConnectTimeout,
    LimitExceeded,
    PoolTimeout,
    RequestTimeout,
    TotalTimeout,
)
from .loop_end import LoopEnd
from .models import Request, Response, StreamResponse
from .opener import Opener, Route
from .request_head import serialize
from .slots import Queue, Slot, Slots, Waiter
from .terms import Terms
from .transfer import Opening, Trace
from .urls import Origin

__all__ = ["Pool"]

_TLS = TLS()  # never in the clear, even where a link took the settings away

_ROUTES = 1024  # origins whose routes terms remember

_DIALER = Dialer()


class Pool:
    """The connections of one client on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, dialer: Dialer = _DIALER) -> None:
        self.loop = loop
        self.limits = limits
        self.dialer = dialer  # for a request that no client settled
        self.opener = Opener(loop, limits)
        self.slots = Slots(loop, limits)
        self.closed = False
        self.draining = False
        self.calls = 0  # calls of the client under way on this loop: it counts them here, and calls `call_ended` while `draining`
        self.waiting = 0
        self.loop_end: LoopEnd | None = None  # closes the pool with its loop
        # The time limits of the connections being opened, and the one timer for all of them: few are ever reached.
        self._opening: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed = INFINITE
        self._asleep: set[asyncio.Future[None]] = set()  # calls that pause between two attempts
        self._quiet: list[Callable[[], None]] = []  # called once nothing is under way any more

    @property
    def open(self) -> int:
        """Slots in use: connections open, or being opened."""
        return self.slots.open

    # -- the way of one request

    async def send(self, request: Request) -> Response | StreamResponse:
        """The response to one attempt; once more, in silence, where a reused connection died before it could have been answered."""
        try:
            parsed, terms = request._parsed or request.parsed, request.terms  # the attribute: each request goes this way
            route = terms.routes.get(parsed.origin) or self._route(parsed.origin, terms)
            head, close_asked = serialize(request, route.proxy)
            if route.dialer.guard is not None:
                route.dialer.guard.check_origin(parsed.origin)
            # What can't be resent is worth a look each time: a dead connection would be the caller's trouble.
            resendable = request.method in IDEMPOTENT and (request.body is None or request.replayable)
            connection = self.slots.take_idle(route, resendable) or await self._acquire(route, request)
            resent = False
            while True:
                if request._extensions and "trace" in request._extensions:
                    connection = await self._tell_of_sending(request, connection, route, head)
                reused = connection.served
                future = connection.begin(request, head, close_asked)
                try:
                    return await future
                except BaseException as error:
                    connection.abandon(future)
                    if not isinstance(error, ConnectionLost):
                        raise
                    error.resent = resent
                    if not reused or error.response_started or not resendable:
                        raise
                    if not request.replayable or self.closed:
                        raise
                finally:
                    del future  # it would hold the error, whose traceback holds this frame
                resent = True
                connection = await self._acquire(route, request, fresh=True)
        except AioreqError as error:
            if error.request is None:
                error.request = request  # the one that failed: behind redirects another than the client's
            raise

    async def _tell_of_sending(self, request: Request, connection: Connection, route: Route, head: bytes) -> Connection:
        """The connection, or a new one where it ended while whoever traces the request was told of it."""
        trace = request.trace
        while trace is not None:
            try:
                if connection.served:
                    await trace("reuse", {})
                await trace("send", {"request": request, "head": head})
            except BaseException:
                connection.close()
                raise
            if not connection.closed:
                break
            if not connection.served:
                raise ConnectionLost(f"{connection.peer} closed the new connection before the request went out ({request!r})")
            connection = await self._acquire(route, request, fresh=True)
        return connection

    def _route(self, origin: Origin, terms: Terms) -> Route:
        """Where a request of these terms goes, remembered there."""
        proxy = None if terms.proxies is None else terms.proxies.choose(origin)
        tls = terms.tls or _TLS  # type: ignore[truthy-bool]
        route = Route(origin, tls if origin.scheme == "https" else None, terms.dialer or self.dialer, proxy)
        if terms.dialer is not None:  # else they are nobody's, and the way is this pool's alone: another one's has its own guard
            if len(terms.routes) >= _ROUTES:
                terms.routes.clear()
            terms.routes[origin] = route
        return route

    def _acquire(self, route: Route, request: Request, fresh: bool = False) -> Coroutine[Any, Any, Connection]:
        """A connection, once the limits allow one. Awaited at once: it may have a slot already.

        Errors: PoolTimeout, LimitExceeded, ConnectError and its children, TotalTimeout, ClientClosed.
        """
        self._refuse_if_closed(request)
        queue = self.slots.queue(route)
        if not queue.someone_waits() and self.slots.take(queue):
            return self._open(queue, request)
        return self._acquire_later(queue, request, fresh)

    async def _acquire_later(self, queue: Queue, request: Request, fresh: bool) -> Connection:
        slots = self.slots
        queued = 0.0
        since = self.loop.time()
        while True:
            began = perf_counter()
            granted = await self._wait(queue, request, since)
            queued += perf_counter() - began
            if not isinstance(granted, Connection):
                break
            if not granted.closed and not fresh:
                granted.queued = queued
                return granted
            if not granted.closed:
                slots.keep_slot_of(granted)
                break
            # It ended in the tick in which it was handed over, and its slot went on.
            self._refuse_if_closed(request)
            queue = slots.queue(queue.route)
            if not queue.someone_waits() and slots.take(queue):
                break
        connection = await self._open(queue, request, since)
        connection.queued = queued
        return connection

    def _refuse_if_closed(self, request: Request) -> None:
        if self.closed:
            raise ClientClosed("the client was closed before this request had a connection", request=request)

    async def _open(self, queue: Queue, request: Request, since: float | None = None) -> Connection:
        """A new connection in the slot that was taken for it, which comes back where that fails; `since` then the request waited."""
        opening = Opening()
        opening.trace = trace = request.trace
        limit = asyncio.timeout(None)
        began = self.loop.time()
        if since is None:
            since = began
        try:
            self._refuse_if_closed(request)
            due, _ = _due(request, began, since)
            self._opening[limit] = due
            if due < self._armed:
                self._watch(due)
            async with limit:
                if trace is None:
                    connection = await self.opener.open(queue.route, opening)
                else:
                    connection = await _traced(trace, self.opener, queue.route, opening)
            if self.closed:
                connection.close()
                raise ClientClosed("the client was closed while a connection was being made", request=request)
            if connection.closed:
                what = "closed the new connection, or sent bytes that nobody had asked for, before the request went out"
                raise ConnectionLost(f"{connection.peer} {what} ({request!r})", request=request)
        except BaseException as error:
            self.slots.release(queue)
            if limit.expired() and isinstance(error, TimeoutError) and not isinstance(error, AioreqError):
                raise self._not_opened(queue.route, request, opening, began, since) from error
            raise
        finally:
            self._opening.pop(limit, None)
        self.slots.add(connection, queue)
        connection.opening = opening
        return connection

    def _not_opened(self, route: Route, request: Request, opening: Opening, began: float, since: float) -> AioreqError:
        if self.closed:
            return ClientClosed("the client was closed while a connection was being made", request=request)
        timeout = request.terms.timeout
        at = f"during {opening.step}, {self.loop.time() - began:.3f} s into connecting ({request!r})"
        limit = _due(request, began, since)[1]
        if limit == "total":
            return TotalTimeout(f"the total limit of {timeout.total:g} s passed: no connection to {route} yet, {at}")
        within = f"{timeout.connect:g} s" if limit == "connect" else f"{timeout.acquire:g} s (Timeout.acquire)"
        return ConnectTimeout(f"no connection to {route} within {within}: {at}")

    def _watch(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = due
        self._timer = self.loop.call_at(due, _look, weakref.ref(self))  # it stays when all is opened: it must not keep the pool

    def expire(self) -> None:
        """Give up openings whose time has come, and come back for the next one."""
        self._timer, self._armed = None, INFINITE
        now = self.loop.time()
        following = INFINITE
        for limit, due in self._opening.items():
            if limit.expired():
                continue
            if due <= now + CLOCK_SLACK:
                limit.reschedule(now)
            elif due < following:
                following = due
        if following < INFINITE:
            self._watch(following)

    async def _wait(self, queue: Queue, request: Request, since: float) -> Connection | Slot:
        slots, limits = self.slots, self.limits
        if self.waiting >= limits.waiters:
            slots.forget_if_unused(queue)
            raise LimitExceeded(
                f"{self.waiting} requests wait for a connection slot already: send fewer at once, or raise Limits(waiters=...)",
                request=request,
                limit="waiters",
            )
        timeout, trace = request.terms.timeout, request.trace
        began = self.loop.time()
        due = None if timeout.pool is None else began + timeout.pool
        if timeout.acquire is not None and (due is None or since + timeout.acquire < due):
            due = since + timeout.acquire
        total = None if request.deadline is None else request.deadline.at
        total_first = total is not None and (due is None or total < due)
        if total_first:
            due = total
        waiter = slots.join(queue)
        timer = None if due is None else self.loop.call_at(due, _expire, waiter)
        self.waiting += 1
        try:
            if trace is not None:
                await trace("queue.start", {})
            granted = await waiter
            if trace is not None:
                await trace("queue.end", {})
            return granted
        except BaseException as error:
            late = waiter.done() and not waiter.cancelled() and waiter.exception() is error
            # Told before it gives up its place: with the last one of a queue that goes too.
            full = _holders(slots, queue) if late else ""
            slots.leave(queue, waiter)
            if not late or not isinstance(error, TimeoutError):
                raise
            kind: type[RequestTimeout] = TotalTimeout if total_first else PoolTimeout
            raise kind(
                f"no connection slot for {queue.route} became free within {self.loop.time() - began:.3f} s: {full}", request=request
            ) from error
        finally:
            if timer is not None:
                timer.cancel()
            self.waiting -= 1

    async def pause(self, seconds: float) -> None:
        """Sleep, between two attempts of a call. Errors: ClientClosed, as soon as the pool is closed."""
        asleep: asyncio.Future[None] = self.loop.create_future()
        timer = self.loop.call_later(seconds, _wake, asleep)
        self._asleep.add(asleep)
        try:
            await asleep
        finally:
            timer.cancel()
            self._asleep.discard(asleep)

    # -- the end

    def drain(self, quiet: Callable[[], None]) -> None:
        """Let calls and exchanges under way end, and close what idles. `quiet` is called then, or when the pool is closed before."""
        self._quiet.append(quiet)
        self.draining = True
        self.slots.drain(self.call_ended)
        self.call_ended()

    def call_ended(self) -> None:
        """Look whether anything is still under way."""
        if self.closed or not (self.calls or self.slots.open):
            ended, self._quiet = self._quiet, []
            for quiet in ended:
                quiet()

    def close(self) -> None:
        """Close every connection now; exchanges under way and waiters fail. May be called at any time, and twice."""
        self.closed = True
        for asleep in self._asleep:
            if not asleep.done():
                asleep.set_exception(ClientClosed("the client was closed during the pause before another attempt"))
        for limit in self._opening:
            if not limit.expired():
                limit.reschedule(self.loop.time())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.slots.close(self.call_ended)
        self.call_ended()
        loop_end, self.loop_end = self.loop_end, None
        if loop_end is not None:
            loop_end.now()  # and not by a task of the loop's when it is collected


def _due(request: Request, began: float, since: float) -> tuple[float, str]:
    """When the opening of a connection has taken too long, and by which limit."""
    timeout = request.terms.timeout
    due = INFINITE if timeout.connect is None else began + timeout.connect, "connect"
    if timeout.acquire is not None:
        due = min(due, (since + timeout.acquire, "acquire"))
    return due if request.deadline is None else min(due, (request.deadline.start(began), "total"))


async def _traced(trace: Trace, opener: Opener, route: Route, opening: Opening) -> Connection:
    """A new connection; whoever traces the request is told, before and after."""
    await trace("open.start", {"origin": route.origin, "proxy": None if route.proxy is None else str(route.proxy)})
    connection = await opener.open(route, opening)
    opening.trace = None
    try:
        await trace("open.end", {})
    except BaseException:
        connection.close()
        raise
    return connection


def _wake(asleep: asyncio.Future[None]) -> None:
    if not asleep.done():
        asleep.set_result(None)


def _look(pool: weakref.ref[Pool]) -> None:
    alive = pool()
    if alive is not None:
        alive.expire()


def _expire(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
        waiter.exception()  # known, should the request be cancelled in this very turn


def _holders(slots: Slots, queue: Queue) -> str:
    from .stats import holders  # few programs ever see it

    return holders(slots, queue)
