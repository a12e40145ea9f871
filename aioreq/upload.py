"""The part of a request's body that doesn't go out with its head: written piece by piece, no faster than the peer takes it.

Knows a transport and a body; whose request it is, and what its end means, the connection knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator

from .errors import LocalProtocolError
from .request_body import StreamedBody

__all__ = ["Upload"]

CHUNK = 64 * 1024  # up to here a chunk is copied into its framing, and one write; over TLS the most that is encrypted in one turn
PIECE = 256 * 1024  # the most that one write to a plaintext transport takes
BURST = 1024 * 1024  # what a plaintext transport takes without a turn of the loop: fractions of a millisecond
CONTINUE_SECONDS = 1.0  # how long a body waits for a 100 that may never come (RFC 9110 section 10.1.1); curl's, too
INFINITE = float("inf")


class Upload:
    """One body on its way. `ended` is called once, with the error that stopped it or None, unless `stop` came first.

    `watch` is told when the write limit will pass; whoever then looks at the clock calls `look`, which knows whether it has moved on.
    """

    __slots__ = (
        "_allowed",
        "_at_once",
        "_blocked_until",
        "_burst",
        "_ended",
        "_limit",
        "_loop",
        "_paused",
        "_piece",
        "_rescue_fd",
        "_task",
        "_transport",
        "_unsent",
        "_watch",
        "_writable",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        limit: float | None,
        ended: Callable[[Exception | None], None],
        watch: Callable[[float], None],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._limit = INFINITE if limit is None else limit
        self._ended = ended
        self._watch = watch
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._allowed: asyncio.Future[None] | None = None  # while the body waits for a 100
        self._rescue_fd = -1
        self._blocked_until = INFINITE
        self._unsent = 0
        self._piece = self._burst = CHUNK
        self._at_once = 0  # bytes written since the loop last had its turn

    def start(self, body: bytes | StreamedBody, paused: bool, secure: bool, expects: bool) -> None:
        """Begin; where a 100 is expected, once `go_on` is called or CONTINUE_SECONDS have passed."""
        self._paused = paused
        if not secure:
            self._piece, self._burst = PIECE, BURST
        # A peer that answers early and closes makes our next write fail, and the loops then drop what it had answered.
        with contextlib.suppress(OSError, AttributeError, ValueError):
            self._rescue_fd = os.dup(self._transport.get_extra_info("socket").fileno())  # from here it is read, by `arrived`
        if expects:
            self._allowed = self._loop.create_future()
        self._task = self._loop.create_task(self._run(body))

    @property
    def waits(self) -> bool:
        """Whether nothing of the body was sent yet, for want of a 100."""
        return self._allowed is not None and not self._allowed.done()

    def go_on(self) -> None:
        """The 100 is here, or was waited for long enough."""
        if self._allowed is not None and not self._allowed.done():
            self._allowed.set_result(None)

    def cease(self) -> None:
        """Write no more; what arrives can still be rescued, and `ended` is not called any more."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task(self._loop):
            task.cancel()

    def stop(self) -> None:
        """Let go of everything."""
        self._close_rescue()
        self.cease()

    def write_paused(self, paused: bool) -> None:
        """The transport's buffer is full, or has room again."""
        self._paused = paused
        if not paused and self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def look(self) -> float:
        """When the write limit passes if the peer takes nothing until then."""
        if self._writable is not None and self._transport.get_write_buffer_size() < self._unsent:
            self._block()
        return self._blocked_until

    def _block(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self._blocked_until = self._loop.time() + self._limit

    def arrived(self) -> Iterator[bytes]:
        """What the socket held when the connection broke, as it came: an early 413 or 401 is an answer, not a broken pipe."""
        with contextlib.suppress(OSError):
            while self._rescue_fd >= 0 and (data := os.read(self._rescue_fd, CHUNK)):
                yield data

    def _close_rescue(self) -> None:
        if self._rescue_fd >= 0:
            os.close(self._rescue_fd)
            self._rescue_fd = -1

    async def _run(self, body: bytes | StreamedBody) -> None:
        failure: Exception | None = None
        try:
            if self._allowed is not None:
                await self._until_allowed(self._allowed)
            if isinstance(body, bytes):
                await self._write(body)
            else:
                await self._stream(body)
        except asyncio.CancelledError:
            if self._task is None:
                raise
            failure = LocalProtocolError("the iterable that gives the request body was cancelled")
        except Exception as error:
            failure = error
        if self._task is not None:
            self._task = None
            self._close_rescue()
            self._ended(failure)

    async def _stream(self, body: StreamedBody) -> None:
        left = body.length
        async with contextlib.aclosing(body.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                if not chunk:
                    continue  # an empty chunk would end a chunked body
                if left is None:
                    await self._write(chunk, framed=True)
                    continue
                left -= len(chunk)
                if left < 0:
                    raise LocalProtocolError(f"the request body is longer than its Content-Length of {body.length} bytes")
                await self._write(chunk)
        if left is None:
            await self._write(b"0\r\n\r\n")
        elif left:
            raise LocalProtocolError(f"the request body ended {left} bytes short of its Content-Length of {body.length}")

    async def _write(self, data: bytes, framed: bool = False) -> None:
        for piece in _pieces(data, self._piece, framed):
            await self._write_piece(piece)

    async def _write_piece(self, piece: bytes | memoryview) -> None:
        if self._at_once >= self._burst:  # a fast peer never pauses us: the loop must get its turn
            self._at_once = 0
            await asyncio.sleep(0)
        self._at_once += len(piece)
        if not self._transport.is_closing():
            self._transport.write(piece)
        # One that is closing tells the connection next, which looks for an answer that came before, and stops us.
        if self._paused or self._transport.is_closing():
            await self._until_writable()

    async def _until_allowed(self, allowed: asyncio.Future[None]) -> None:
        timer = self._loop.call_later(CONTINUE_SECONDS, self.go_on)
        try:
            await allowed
        finally:
            timer.cancel()

    async def _until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._at_once = 0
        self._block()
        self._watch(self._blocked_until)
        try:
            await self._writable
        finally:
            self._blocked_until = INFINITE
            self._writable = None


def _pieces(data: bytes, most: int, framed: bool) -> Iterator[bytes | memoryview]:
    """The writes that `data` goes out in; `framed` as a chunk (RFC 9112 section 7.1), a small one in a single write."""
    if framed:
        size = b"%x\r\n" % len(data)
        if len(data) <= CHUNK:
            yield b"".join((size, data, b"\r\n"))
            return
        yield size
    if len(data) <= most:
        yield data
    else:
        view = memoryview(data)
        for start in range(0, len(data), most):
            yield view[start : start + most]
    if framed:
        yield b"\r\n"
