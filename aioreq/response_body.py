"""A response body on its way from the connection to whoever reads it: a bounded buffer, read by chunks, decoded when asked for.

Knows neither sockets nor heads. The connection puts bytes in (`feed`, `end`, `fail`); one reader takes them out (`read_chunk`). The
connection behind is asked to pause above the high-water mark, and to stop when the reader gives up (`close`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol, Self

from .encodings import Decoder
from .errors import AioreqError, IncompleteBody, LimitExceeded, LocalProtocolError
from .headers import Fields

if TYPE_CHECKING:
    from .detached import Detached
    from .models import Progress, Request

__all__ = ["BodySource", "HeldBody", "PieceSource", "Pieces", "ResponseBody", "body_cut", "body_too_large"]

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
        self._taken = True
        while not self._chunks:
            if self._discarding:
                raise LocalProtocolError("the response was closed before its body was read")
            if self._ended:
                if self._error is not None:
                    raise self._told(self._error)
                return b""
            if self._waiter is not None:
                raise RuntimeError("two tasks read the same response body at once")
            assert self._source is not None  # in no local: an error's traceback would hold the closed connection
            self._waiter = self._loop.create_future()
            self._source.wait_body(True)
            try:
                await self._waiter
            except asyncio.CancelledError:
                # Whoever waited is gone, and the next chunk may never be asked for: nothing half-read goes back.
                self.close(drain=False)
                raise
            finally:
                self._waiter = None
                if self._source is not None:  # else the body has ended, and its connection may serve somebody else by now
                    self._source.wait_body(False)
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._paused and self._size <= LOW_WATER:
            self._paused = False
            if self._source is not None:
                self._source.resume_body()
        return data

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
            while data := await self.read_chunk():
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


class HeldBody:
    """A body that is here as a whole, for who reads it by pieces."""

    __slots__ = ("_at", "_content")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    async def read_chunk(self) -> bytes:
        """The next 64 KiB; b"" at the end."""
        start, self._at = self._at, self._at + LOW_WATER
        return self._content[start : self._at]

    def close(self, drain: bool = True) -> None:
        """Give no more of it."""
        self._content = b""


class PieceSource(Protocol):
    """Pieces of bytes for who makes more of them: text, lines, parts."""

    async def __anext__(self) -> bytes: ...
    def fail(self, error: AioreqError) -> AioreqError: ...


class Pieces(AsyncIterator[bytes]):
    """The body piece by piece: decoded in bounded steps where there is a decoder, cut to `size` bytes where one is given.

    Errors: DecodeError, LimitExceeded, and the connection's. A plain iterator, so that leaving a loop early leaves nothing to finalise.
    `request` is what the errors carry; it may cap what comes.
    """

    __slots__ = ("_body", "_decoder", "_held", "_left", "_request", "_size", "_steps")

    def __init__(
        self,
        body: ResponseBody | HeldBody,
        decoder: Decoder | None = None,
        size: int | None = None,
        request: Request | None = None,
    ) -> None:
        self._body = body
        self._decoder = decoder
        self._request = request
        self._left = None if request is None else request.terms.max_stream
        self._held = bytearray()
        self._steps = STEPS
        self.of_size(size)

    def of_size(self, size: int | None) -> Self:
        """This iterator, from now on with pieces of that size."""
        if size is not None and size < 1:
            raise ValueError(f"pieces of {size} bytes: give at least 1")
        self._size = size
        return self

    def fail(self, error: AioreqError) -> AioreqError:
        """The same error, once the rest of the body was given up: what came makes no sense to who reads it."""
        error.request = error.request or self._request
        self._body.close(drain=False)
        return error

    async def __anext__(self) -> bytes:
        try:
            piece = await (self._next() if self._size is None else self._next_of_size(self._size))
            if self._left is not None:
                self._left -= len(piece)
                if self._left < 0:
                    raise LimitExceeded("the streamed body is longer than the client's guard admits: see its max_body", limit="body")
        except AioreqError as error:
            if self._held and hasattr(error, "partial"):
                error.partial = bytes(self._held)
            self.fail(error)
            raise
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _next(self) -> bytes:
        if self._held:
            piece = bytes(self._held)
            self._held.clear()
            return piece
        return await self._decoded()

    async def _decoded(self) -> bytes:
        decoder = self._decoder
        if decoder is None:
            return await self._body.read_chunk()
        if self._steps < 0:  # in a pause: what it goes on with then would come out of order
            raise RuntimeError("two tasks read the same response body at once")
        data = b""
        while True:
            if decoder.needs_input:
                data = await self._body.read_chunk()
                if not data:
                    decoder.finish()
                    return b""
            self._steps -= 1
            if self._steps < 0:
                await self._pause()
            piece = decoder.decode(data)
            if piece:
                return piece
            data = b""

    async def _pause(self) -> None:
        # Neither a body that is here already nor a reader that only counts would let anything else run.
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._body.close(drain=False)
            raise
        finally:
            self._steps = STEPS

    async def _next_of_size(self, size: int) -> bytes:
        held = self._held
        while len(held) < size:
            piece = await self._decoded()
            if not piece:
                break
            held += piece
        piece = bytes(held[:size])
        del held[:size]
        return piece


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
