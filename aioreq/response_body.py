"""A response body on its way from the connection to whoever reads it: a bounded buffer of raw bytes, taken out by chunks.

Knows neither sockets nor heads. The connection puts bytes in (`feed`, `end`, `fail`); one reader takes them out (`read_chunk`). The
connection behind is asked to pause above the high-water mark, and to stop when the reader gives up (`close`).
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left, bisect_right
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from .errors import AioreqError, IncompleteBody, LimitExceeded, LocalProtocolError
from .headers import Fields

if TYPE_CHECKING:
    from array import array

    from .detached import Detached
    from .models import Progress, Request

__all__ = ["BodySource", "ResponseBody", "body_cut", "body_too_large"]

HIGH_WATER = 256 * 1024  # reading pauses above, and goes on below a quarter of it
LOW_WATER = HIGH_WATER // 4
DRAIN = 64 * 1024  # what is dropped may be this long, then closing costs less than reading on
STEPS = 16  # of decoding without a pause: they may take milliseconds


class BodySource(Protocol):
    """What a body asks of the connection that feeds it; nothing once the body has ended."""

    def pause_body(self) -> None: ...
    def resume_body(self) -> None: ...
    def wait_body(self, waiting: bool) -> None: ...
    def drain_body(self) -> None: ...
    def abort_body(self) -> None: ...


class ResponseBody:
    """`expected` is the declared length, None without one; `received` counts raw bytes so far; `progress` is told both as they come."""

    __slots__ = (
        "_budget",
        "_chunks",
        "_discarding",
        "_ended",
        "_error",
        "_loop",
        "_paused",
        "_progress",
        "_size",
        "_source",
        "_taken",
        "_waiter",
        "behind",
        "chunk_ends",
        "expected",
        "received",
        "trailers",
    )

    def __init__(self, source: BodySource, loop: asyncio.AbstractEventLoop, expected: int | None, progress: Progress | None = None) -> None:
        self._source: BodySource | None = source
        self._loop = loop
        self.expected = expected
        self.received = 0
        self._progress = progress
        self.trailers: Fields = []
        self.chunk_ends: array[int] | None = None  # raw bytes before the end of each chunk; who looks at them takes them out
        self.behind: Detached | None = None  # the connection that another protocol is spoken on, until somebody takes it over
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._paused = False
        self._discarding = False
        self._taken = False
        self._budget = DRAIN

    # -- the connection's side

    def feed(self, data: bytes) -> None:
        """Raw bytes of the body."""
        self.received += len(data)
        if self._discarding:
            self._budget -= len(data)
            if self._budget < 0 and self._source is not None:
                self._source.abort_body()
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._progress is not None:
            self._progress(self.received, self.expected)
        if self._size > HIGH_WATER and not self._paused and self._source is not None:
            self._paused = True
            self._source.pause_body()
        self._wake()

    def end(self, trailers: Fields) -> None:
        """The body is whole."""
        self.trailers = trailers
        self._finish(None)

    def fail(self, error: BaseException) -> None:
        """The body will never be whole; what had arrived can still be read, then the error is raised."""
        self._finish(error)

    def _finish(self, error: BaseException | None) -> None:
        self._ended = True
        self._error = error
        self._source = None
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- the reader's side

    @property
    def ended(self) -> bool:
        """Whether everything has arrived (it may not have been read yet), or never will."""
        return self._ended

    async def read_chunk(self) -> bytes:
        """The next raw bytes, as they arrived; b"" at the end."""
        while (data := self.take_chunk()) is None:
            try:
                await self.arrival()
            except asyncio.CancelledError:
                # Whoever waited is gone, and the next chunk may never be asked for: nothing half-read goes back.
                self.close(drain=False)
                raise
        return data

    def take_chunk(self) -> bytes | None:
        """The next raw bytes without waiting: None where none are here, b"" at the end."""
        self._taken = True
        if not self._chunks:
            if self._discarding:
                raise LocalProtocolError("the response was closed before its body was read")
            if not self._ended:
                return None
            if self._error is not None:
                raise self._told(self._error)
            return b""
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._paused and self._size <= LOW_WATER:
            self._paused = False
            if self._source is not None:
                self._source.resume_body()
        return data

    def take_to_chunk_end(self) -> bytes | None:
        """As `take_chunk`, but at most up to the next of the `chunk_ends`."""
        data, ends = self.take_chunk(), self.chunk_ends
        if data and ends and ends[0] < self.taken:
            start = self.taken - len(data)
            cuts = [end - start for end in ends[bisect_right(ends, start) : bisect_left(ends, self.taken)]]
            pieces = [data[at:end] for at, end in pairwise([0, *cuts, len(data)])]
            self._chunks.extendleft(reversed(pieces[1:]))
            self._size += len(data) - len(pieces[0])
            data = pieces[0]
        return data

    @property
    def taken(self) -> int:
        """Raw bytes that were taken out."""
        return self.received - self._size

    async def arrival(self) -> None:
        """Wait for something to take. Cancelled, it leaves the body as it is: whoever still holds the response reads on or closes it."""
        if self._chunks or self._ended or self._discarding:
            return
        if self._waiter is not None:
            raise RuntimeError("two tasks read the same response body at once")
        assert self._source is not None  # in no local: an error's traceback would hold the closed connection
        self._waiter = self._loop.create_future()
        self._source.wait_body(True)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if self._source is not None:  # else the body has ended, and its connection may serve somebody else by now
                self._source.wait_body(False)

    def _told(self, error: BaseException) -> BaseException:
        if not isinstance(error, AioreqError):  # of a callback: its frames refer to the connection, and to this body
            self._error = LocalProtocolError(f"the response body was given up earlier: {error!r}")
        return error

    async def read_raw(self, most: int) -> bytes:
        """All of it, raw; LimitExceeded past `most` bytes, LocalProtocolError where an iterator took some already."""
        if self._taken and self._error is None and not self._discarding:
            raise LocalProtocolError("the response body was already read, at least in part: read it whole or iterate over it, not both")
        pieces: list[bytes] = []
        size = 0
        try:
            if self.expected is not None and self.expected > most and not self._ended:
                raise body_too_large(most)
            while True:
                data = self.take_chunk()
                if data is None:
                    data = await self.read_chunk()
                if not data:
                    break
                size += len(data)
                if size > most:
                    raise body_too_large(most)
                pieces.append(data)
        except AioreqError as error:
            if pieces and hasattr(error, "partial"):
                error.partial = b"".join(pieces)
            self.close(drain=False)
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def abandon(self) -> None:
        """Nobody holds the response any more; may be called from any thread, and after the loop has ended."""
        if (not self._ended and not self._discarding) or self.behind is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.close, False)

    def close(self, drain: bool = True) -> None:
        """Drop what is left: drained in the background where it is short, else the connection is closed. May be called at any time."""
        source, behind = self._source, self.behind
        if behind is not None:
            self.behind = None
            behind.close()
        if self._discarding:
            if not drain and source is not None:
                source.abort_body()
            return
        if self._chunks or not self._ended:
            # Also of a body that is all here: what a closed response gives must not depend on how fast it arrived.
            self._discarding = True
            self._chunks.clear()
            self._size = 0
            self._wake()
        if source is None:
            return
        if drain and (self.expected is None or self.expected - self.received <= DRAIN):
            if self._paused:
                self._paused = False
                source.resume_body()
            source.drain_body()
        else:
            source.abort_body()


def body_cut(what: str, request: Request | None, partial: bytes, received: int, expected: int | None) -> IncompleteBody:
    of = f" of {expected}" if expected is not None else ""
    return IncompleteBody(
        f"{what}: {received}{of} bytes of the body had arrived",
        request=request,
        response_started=True,
        partial=partial,
        received=received,
        expected=expected,
    )


def body_too_large(most: int) -> LimitExceeded:
    return LimitExceeded(
        f"the response body is longer than {most} bytes: raise it with max_body= or Limits(body=...), or stream it (a guard's max_body "
        "caps both)",
        limit="body",
    )
