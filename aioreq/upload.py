"""The part of a request's body that doesn't go out with its head: written piece by piece, no faster than the peer takes it.

Knows a transport and a body; whose request it is, and what its end means, the connection knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .errors import LocalProtocolError
from .request_body import StreamedBody

if TYPE_CHECKING:
    from .models import Request
    from .request_trailers import Trailers

__all__ = ["Upload"]

CHUNK = 64 * 1024  # up to here a chunk is copied into its framing, and one write; over TLS the most that is encrypted in one turn
PIECE = 256 * 1024  # the most that one write to a plaintext transport takes
BURST = 1024 * 1024  # what a plaintext transport takes without a turn of the loop: fractions of a millisecond
WRITE = 8 * 1024  # what a write costs beside its bytes, in bytes of that burst: tiny chunks must not hold up the loop
CONTINUE_SECONDS = 1.0  # how long a body waits for a 100 that may never come (RFC 9110 section 10.1.1); curl's, too
INFINITE = float("inf")


class _Broken(Exception):
    """The socket is, and the transport doesn't know it yet."""


class Upload:
    """One body on its way. `ended` is called once, with the error that stopped it or None, unless `stop` came first.

    `broken` is called in its place where the connection broke and nobody but the upload has seen it. `watch` is told when the write limit
    will pass; whoever then looks at the clock calls `look`, which knows whether it has moved on.
    """

    __slots__ = (
        "_allowed",
        "_at_once",
        "_blocked_until",
        "_broken",
        "_burst",
        "_done",
        "_ended",
        "_limit",
        "_loop",
        "_paused",
        "_piece",
        "_progress",
        "_rescue_fd",
        "_task",
        "_total",
        "_transport",
        "_unsent",
        "_waits_for_socket",
        "_watch",
        "_writable",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        limit: float | None,
        ended: Callable[[Exception | None], None],
        broken: Callable[[OSError], None],
        watch: Callable[[float], None],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._limit = INFINITE if limit is None else limit
        self._ended = ended
        self._broken = broken
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
        self._waits_for_socket = False  # it is watched by the loop, by its other descriptor
        self._progress: Callable[[int, int | None], object] | None = None
        self._done = 0  # bytes of the body, without their framing
        self._total: int | None = None

    def start(self, request: Request, paused: bool, secure: bool) -> None:
        """Begin; where a 100 is expected, once `go_on` is called or CONTINUE_SECONDS have passed."""
        body = request.body
        assert body is not None
        self._paused = paused
        self._progress = request.progress
        self._total = len(body) if isinstance(body, bytes) else body.length
        if not secure:
            self._piece, self._burst = PIECE, BURST
        # A peer that answers early and closes makes our next write fail, and the loops then drop what it had answered.
        with contextlib.suppress(OSError, AttributeError, ValueError):
            self._rescue_fd = os.dup(self._transport.get_extra_info("socket").fileno())  # from here it is read, by `arrived`
        if request.expects_continue:
            self._allowed = self._loop.create_future()
        self._task = self._loop.create_task(self._run(body, request.trailers, not secure))

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
            self._watch_no_more()
            os.close(self._rescue_fd)
            self._rescue_fd = -1

    async def _run(self, body: bytes | StreamedBody, trailers: Trailers | None, plaintext: bool) -> None:
        failure: Exception | None = None
        broken: BaseException | None = None
        try:
            await self._send(body, trailers, plaintext)
        except asyncio.CancelledError:
            if self._task is None:
                raise
            failure = LocalProtocolError("the iterable that gives the request body was cancelled")
        except _Broken as error:
            broken = error.__cause__
        except Exception as error:
            failure = error
        try:
            if self._task is None:
                return
            self._task = None
            if isinstance(broken, OSError):
                self._broken(broken)  # which still asks for what has `arrived`, and stops us
                return
            self._close_rescue()
            self._ended(failure)
        finally:
            del failure, broken  # their tracebacks hold this frame, and all that it knows

    async def _send(self, body: bytes | StreamedBody, trailers: Trailers | None, plaintext: bool) -> None:
        if self._allowed is not None:
            await self._until_allowed(self._allowed)
        if isinstance(body, bytes):
            await self._write(body)
        elif not (plaintext and body.file is not None and await self._send_file(body)):
            await self._stream(body, trailers)
        if self._progress is not None and not self._done:
            self._report(0, self._progress)

    async def _stream(self, body: StreamedBody, trailers: Trailers | None) -> None:
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
            await self._write_piece(b"0\r\n\r\n" if trailers is None else b"0\r\n%b\r\n" % trailers.written())
        elif left:
            raise _short(left, body)

    async def _send_file(self, body: StreamedBody) -> bool:
        """Have the system send a file; False where it can't, and nothing was sent."""
        from .sendfile import FileSource, is_of_socket

        assert body.file is not None
        (file, start), length = body.file, body.length
        if not length or file.closed:
            return False
        await asyncio.sleep(0)  # uvloop writes the head at the end of a turn
        if self._rescue_fd < 0 or self._transport.get_write_buffer_size():
            return False  # what the transport holds goes first
        source = FileSource.of(file, start, length)
        if source is None:
            return False
        while source.left:
            if not source.in_memory():
                await source.read_ahead()
            await self._take_turns()
            try:
                # One that is closing tells the connection next, as in `_write_piece`.
                size = None if self._transport.is_closing() else source.send(self._rescue_fd)
            except BlockingIOError:
                size = None
            except OSError as error:
                if is_of_socket(error):
                    raise _Broken from error
                if source.left == length:
                    return False
                raise
            if size is None:
                await self._until_socket_writable()
                continue
            if not size:
                raise _short(source.left, body)
            self._at_once += size
            if self._progress is not None:
                self._report(size, self._progress)
        return True

    async def _write(self, data: bytes, framed: bool = False) -> None:
        for piece, size in _pieces(data, self._piece, framed):
            await self._write_piece(piece)
            if size and self._progress is not None:
                self._report(size, self._progress)

    def _report(self, size: int, progress: Callable[[int, int | None], object]) -> None:
        self._done += size
        progress(self._done, self._total)

    async def _write_piece(self, piece: bytes | memoryview) -> None:
        await self._take_turns()
        self._at_once += len(piece) + WRITE
        if not self._transport.is_closing():
            self._transport.write(piece)
        # One that is closing tells the connection next, which looks for an answer that came before, and stops us.
        if self._paused or self._transport.is_closing():
            await self._until_writable()

    async def _take_turns(self) -> None:
        if self._at_once >= self._burst:  # a fast peer never pauses us: the loop must get its turn
            self._at_once = 0
            await asyncio.sleep(0)
        if self._task is None:  # stopped, by what this very task called: an iterable that closed the client, say
            raise asyncio.CancelledError

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

    async def _until_socket_writable(self) -> None:
        # By a descriptor of its own: the loops let nobody watch that of a transport.
        self._waits_for_socket = True
        self._loop.add_writer(self._rescue_fd, self.write_paused, False)
        try:
            await self._until_writable()
        finally:
            self._watch_no_more()

    def _watch_no_more(self) -> None:
        if self._waits_for_socket:
            self._waits_for_socket = False
            self._loop.remove_writer(self._rescue_fd)


def _short(left: int, body: StreamedBody) -> LocalProtocolError:
    return LocalProtocolError(f"the request body ended {left} bytes short of its Content-Length of {body.length}")


def _pieces(data: bytes, most: int, framed: bool) -> Iterator[tuple[bytes | memoryview, int]]:
    """The writes that `data` goes out in, and how much of it is in each; `framed` as a chunk (RFC 9112 section 7.1), a small one in one."""
    if framed:
        size = b"%x\r\n" % len(data)
        if len(data) <= CHUNK:
            yield b"".join((size, data, b"\r\n")), len(data)
            return
        yield size, 0
    if len(data) <= most:
        yield data, len(data)
    else:
        view = memoryview(data)
        for start in range(0, len(data), most):
            piece = view[start : start + most]
            yield piece, len(piece)
    if framed:
        yield b"\r\n", 0
