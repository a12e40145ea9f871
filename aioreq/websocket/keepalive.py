"""Whether the peer of a WebSocket is still there: pings, how long their pongs take, and one timer, which re-arms itself.

Whatever arrives shows life, for a pong waits behind a long message; while nothing is read on this side, no pong can be seen. Knows no
transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from ..deadlines import CLOCK_SLACK

__all__ = ["Keepalive", "KeepaliveOwner"]


class KeepaliveOwner(Protocol):
    """The connection that is kept alive."""

    def send_ping(self, payload: bytes) -> None:
        """Send one."""

    def unsent(self) -> int:
        """Bytes that the peer hasn't taken yet."""

    def holds(self) -> bool:
        """Whether nothing is read on this side for now."""

    def unanswered(self, seconds: float) -> None:
        """A ping was, for so long, and nothing else came."""


class Keepalive:
    """`heard`: something arrived since the timer last looked. `latency`: seconds that the last pong took, None before the first one."""

    __slots__ = (
        *("_interval", "_loop", "_owner", "_pings", "_sent", "_serial", "_since", "_timeout", "_timer", "_unsent", "_waited", "heard"),
        "latency",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: KeepaliveOwner, interval: float | None, timeout: float | None) -> None:
        self._loop = loop
        self._owner: KeepaliveOwner | None = owner
        self._interval = interval
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._serial = 0
        # Those that wait for a pong, in order: when they went out, and who waits. A pong answers all before it, too.
        self._pings: dict[bytes, tuple[float, asyncio.Future[float] | None]] = {}
        self._waited: bytes | None = None  # the timer's own, unanswered so far
        self._sent = loop.time()  # when it went out, by the loop's clock,
        self._since = 0.0  # and since when nothing was heard
        self._unsent = 0
        self.heard = False
        self.latency: float | None = None
        if interval is not None:
            self._watch(self._sent + interval)

    def stop(self, why: Callable[[], Exception]) -> None:
        """No pings from now on; who waits for a pong is told why."""
        self._owner = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pings, self._pings = self._pings, {}
        for _, waiter in pings.values():
            if waiter is not None and not waiter.done():
                waiter.set_exception(why())

    async def ping(self) -> float:
        """Seconds until the pong of a ping sent now."""
        waiter: asyncio.Future[float] = self._loop.create_future()
        payload = self._ping(waiter)
        try:
            return await waiter
        finally:
            self._pings.pop(payload, None)

    def _ping(self, waiter: asyncio.Future[float] | None) -> bytes:
        self._serial += 1
        payload = b"%d" % self._serial
        self._pings[payload] = (perf_counter(), waiter)  # uvloop's clock counts in milliseconds
        if self._owner is not None:
            self._owner.send_ping(payload)
        return payload

    def pong(self, payload: bytes) -> None:
        """A pong has come; one that nobody asked for is nothing (RFC 6455 section 5.5.3)."""
        if payload not in self._pings:
            return
        now = perf_counter()
        for answered in list(self._pings):
            sent, waiter = self._pings.pop(answered)
            if waiter is None:
                self._waited = None
            elif not waiter.done():
                waiter.set_result(now - sent)
            if answered == payload:
                self.latency = now - sent
                break

    def _watch(self, due: float) -> None:
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        owner, interval, limit = self._owner, self._interval, self._timeout
        if owner is None or interval is None:
            return
        now = self._loop.time()
        past = now + CLOCK_SLACK
        if self._waited is not None and limit is not None:
            unsent = owner.unsent()
            if self.heard or unsent < self._unsent or owner.holds():
                self._since = now
            elif self._since + limit <= past:
                owner.unanswered(limit)
                return
            self.heard, self._unsent = False, unsent
            self._watch(self._since + limit)
        elif self._sent + interval <= past:
            if self._waited is not None:  # for as long as it takes
                self._pings.pop(self._waited, None)
            self._sent = self._since = now
            self._waited = self._ping(None)
            self.heard, self._unsent = False, owner.unsent()
            self._watch(now + (interval if limit is None else min(interval, limit)))
        else:
            self._watch(self._sent + interval)
