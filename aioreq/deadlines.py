"""When an exchange has taken too long: its deadline and limits in loop time, and one timer, which only ever looks whether they have moved
on. Knows no transport and no parser; what becomes of an exchange that is overdue is its connection's business.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .config import Timeout
from .errors import ReadTimeout, RequestTimeout, TotalTimeout, WriteTimeout

if TYPE_CHECKING:
    from .models import Request
    from .upload import Upload

__all__ = ["CLOCK_SLACK", "INFINITE", "Deadlines"]

INFINITE = float("inf")
# Two timers of the loops may fire this much early: asyncio rounds to its clock's resolution, uvloop to milliseconds.
CLOCK_SLACK = 0.002


class Deadlines:
    """The part of a connection that watches the time of the exchange under way."""

    __slots__ = ("_armed", "_deadline", "_read_limit", "_request", "_timeout", "_timer", "_upload", "_wanted_since", "loop", "peer")

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: object) -> None:
        self.loop = loop
        self.peer = peer
        self._request: Request | None = None  # None between exchanges
        self._upload: Upload | None = None  # until the whole request is sent; None at once for a small one
        self._timeout: Timeout | None = None  # whose limit `_read_limit` is
        self._deadline = INFINITE
        self._read_limit = INFINITE
        self._wanted_since = INFINITE
        self._timer: asyncio.TimerHandle | None = None
        self._armed = INFINITE

    def overdue(self, error: RequestTimeout) -> None:
        """The exchange under way has taken too long."""
        raise NotImplementedError

    def phase(self) -> str:
        """Where it stands."""
        raise NotImplementedError

    def want(self, now: float) -> None:
        """From now on bytes are wanted: the read limit counts, and the timer stands no later than what is due first."""
        self._wanted_since = now
        self.watch(min(self._deadline, now + self._read_limit))

    def watch(self, due: float) -> None:
        """Have the timer look by then, if it doesn't anyway."""
        if due >= self._armed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed = due
        self._timer = self.loop.call_at(due, self._look)

    def watch_no_more(self) -> None:
        """No timer from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        self._armed = INFINITE
        request = self._request
        if request is None:
            return
        past = self.loop.time() + CLOCK_SLACK
        read_due = self._wanted_since + self._read_limit
        write_due = INFINITE if self._upload is None else self._upload.look()
        if self._deadline <= past:
            total = request.timeout.total
            self._time_out(TotalTimeout, "the drain limit passed" if total is None else f"the total limit of {total:g} s passed")
        elif read_due <= past:
            self._time_out(ReadTimeout, f"{self.peer} sent nothing for {self._read_limit:g} s")
        elif write_due <= past:
            self._time_out(WriteTimeout, f"{self.peer} took nothing for {request.timeout.write:g} s")
        else:
            self.watch(min(self._deadline, read_due, write_due))

    def _time_out(self, kind: type[RequestTimeout], what: str) -> None:
        self.overdue(kind(f"{what} {self.phase()} ({self.peer})", request=self._request))
