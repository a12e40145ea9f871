"""A body by pieces, under aiohttp's names: `StreamReader` holds what has come and not been read, and cuts it as it is asked to.

What a response's reader takes comes from the core's pieces, as far as they are there; a reader made by hand is fed by its maker. Knows no
connection.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ._queues import AsyncStreamIterator, ChunkTupleAsyncStreamIterator, DataQueue, EofStream, FlowControlDataQueue
from .helpers import DEFAULT_CHUNK_SIZE
from .http_exceptions import LineTooLong

if TYPE_CHECKING:
    from ._response import ClientResponse

__all__ = ["EMPTY_PAYLOAD", "DataQueue", "EofStream", "FlowControlDataQueue", "StreamReader"]

_log = logging.getLogger("aiohttp.internal")
_READS = 16  # in a row that found something there: then others get their turn


class StreamReader:
    """The body of a response as it arrives: whole, by lines, by pieces. Each byte is given once.

    `total_bytes` counts what has come, decoded. Errors while it comes: ClientPayloadError and the connection's, behind what came before.
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_cursor",
        "_eof",
        "_eof_callbacks",
        "_eof_waiter",
        "_exception",
        "_high_water",
        "_http_chunk_splits",
        "_loop",
        "_low_water",
        "_offset",
        "_protocol",
        "_reads",
        "_size",
        "_timer",
        "_waiter",
        "total_bytes",
        "total_compressed_bytes",
    )

    def __init__(self, protocol: Any, limit: int, *, timer: Any = None, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._protocol = protocol
        self._timer = timer
        self._loop = loop
        self._low_water = limit
        self._high_water = 2 * limit
        self._buffer: deque[bytes] = deque()
        self._offset = 0  # how much of the first piece was read
        self._size = 0
        self._cursor = 0  # bytes read in all
        self._http_chunk_splits: deque[int] | None = None  # where chunks of a chunked body end
        self._eof = False
        self._exception: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._eof_waiter: asyncio.Future[None] | None = None
        self._eof_callbacks: list[Callable[[], None]] = []
        self._reads = 0
        self.total_bytes = 0
        self.total_compressed_bytes: int | None = None

    @classmethod
    def _of(cls, response: ClientResponse) -> StreamReader:
        """The reader of a response's body; one that has ended, where that was read whole."""
        if response._body is None:
            from ._arriving import ResponseReader

            return ResponseReader(response)
        reader = StreamReader(None, DEFAULT_CHUNK_SIZE)
        reader.total_bytes = len(response._body)
        reader._eof = True
        return reader

    def __repr__(self) -> str:
        told = [type(self).__name__]
        if self._size:
            told.append(f"{self._size} bytes")
        if self._eof:
            told.append("eof")
        if self._low_water != DEFAULT_CHUNK_SIZE:
            told.append(f"low={self._low_water} high={self._high_water}")
        if self._waiter is not None:
            told.append(f"w={self._waiter!r}")
        if self._exception is not None:
            told.append(f"e={self._exception!r}")
        return f"<{' '.join(told)}>"

    # -- the reader's side

    def __aiter__(self) -> AsyncStreamIterator[bytes]:
        return AsyncStreamIterator(self.readline)

    def iter_chunked(self, n: int) -> AsyncStreamIterator[bytes]:
        """Pieces of at most `n` bytes."""
        self.set_read_chunk_size(n)
        return AsyncStreamIterator(lambda: self.read(n))

    def iter_any(self) -> AsyncStreamIterator[bytes]:
        """Pieces as they come."""
        return AsyncStreamIterator(self.readany)

    def iter_chunks(self) -> ChunkTupleAsyncStreamIterator:
        """Pairs as `readchunk` gives them."""
        return ChunkTupleAsyncStreamIterator(self)

    async def read(self, n: int = -1) -> bytes:
        """At most `n` bytes, as soon as there are some; all that is left for -1. b"" at the end."""
        self._check()
        if not n:
            return b""
        if n > 0:
            if self._size < n:
                self.set_read_chunk_size(n)
                await self._ready("read")
            return self._take(n)
        pieces: list[bytes] = []
        while piece := await self.readany():
            pieces.append(piece)
        return b"".join(pieces)

    async def readany(self) -> bytes:
        """What has come, as soon as there is something. b"" at the end."""
        self._check()
        await self._ready("readany")
        return self._take(-1)

    async def readexactly(self, n: int) -> bytes:
        """Exactly `n` bytes. Errors: asyncio.IncompleteReadError, with what there was."""
        self._check()
        pieces: list[bytes] = []
        left = n
        while left > 0:
            piece = await self.read(left)
            if not piece:
                partial = b"".join(pieces)
                raise asyncio.IncompleteReadError(partial, len(partial) + left)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        r"""Up to and with the next \n. Errors: as `readuntil`."""
        return await self.readuntil(max_size=max_line_length)

    async def readuntil(self, separator: bytes = b"\n", *, max_size: int | None = None) -> bytes:
        """Up to and with the next separator, or what is left where none comes. Errors: LineTooLong past `max_size` bytes."""
        if not separator:
            raise ValueError("Separator should be at least one-byte string")
        self._check()
        most = max_size or self._high_water
        line = bytearray()
        if self._buffer and 0 <= (size := self._up_to(separator, line)) <= most:
            return self._take_first(size)
        while True:
            await self._ready("readuntil")
            if not self._buffer:
                return bytes(line)
            while self._buffer:
                size = self._up_to(separator, line)
                line += self._take_first(-1 if size < 0 else size)
                if len(line) > most:
                    raise LineTooLong(bytes(line[:100]) + b"...", most)
                if size >= 0:
                    return bytes(line)

    def _up_to(self, separator: bytes, line: bytearray) -> int:
        """How much of the first piece belongs to a line that began with `line`; -1 for all of it, and more."""
        first, offset, length = self._buffer[0], self._offset, len(separator)
        if line and length > 1:
            tail = bytes(line[1 - length :])
            at = (tail + first[offset : offset + length - 1]).find(separator)
            if at >= 0:
                return at + length - len(tail)
        at = first.find(separator, offset)
        return -1 if at < 0 else at + length - offset

    async def readchunk(self) -> tuple[bytes, bool]:
        """What has come, and whether it ends where a chunk of a chunked body did. (b"", False) at the end."""
        while True:
            self._check()
            self._gather()
            splits = self._http_chunk_splits
            while splits:
                end = splits.popleft()
                if end == self._cursor:
                    return b"", True
                if end > self._cursor:
                    return self._take(end - self._cursor), True
                _log.warning("Skipping the end of an HTTP chunk: what was read already goes beyond it")
            if self._buffer:
                return self._take_first(-1), False
            if self._eof:
                return b"", False
            self._check()
            await self._wait("readchunk")

    def read_nowait(self, n: int = -1) -> bytes:
        """At most `n` bytes of what has come; b"" where that is nothing. Errors: RuntimeError while somebody waits for more."""
        self._check()
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("Called while some coroutine is waiting for incoming data.")
        self._gather()
        if not self._buffer:
            self._check()
        return self._take(n)

    def unread_data(self, data: bytes) -> None:
        """Put bytes back, in front of the others; deprecated by aiohttp."""
        warnings.warn("unread_data() is deprecated in aiohttp", DeprecationWarning, stacklevel=2)
        if data:
            self._put_back(data)

    def exception(self) -> BaseException | None:
        """What ended the body too early."""
        return self._exception

    def is_eof(self) -> bool:
        """Whether everything has come."""
        return self._eof

    def at_eof(self) -> bool:
        """Whether everything has come, and been read."""
        return self._eof and not self._buffer

    async def wait_eof(self) -> None:
        """Wait until everything has come."""
        if not self._eof:
            self._eof_waiter = self._future()
            try:
                await self._eof_waiter
            finally:
                self._eof_waiter = None

    def on_eof(self, callback: Callable[[], None]) -> None:
        """Have a function called once everything has come."""
        if self._eof:
            _call(callback)
        else:
            self._eof_callbacks.append(callback)

    def get_read_buffer_limits(self) -> tuple[int, int]:
        """Below how many bytes more is taken, and above how many no more."""
        return self._low_water, self._high_water

    def set_read_chunk_size(self, n: int) -> None:
        """Have the limits fit pieces of that size."""
        if n > self._low_water:
            self._low_water, self._high_water = n, 2 * n

    @property
    def total_raw_bytes(self) -> int:
        """The bytes that have come, as they came."""
        return self.total_bytes if self.total_compressed_bytes is None else self.total_compressed_bytes

    # -- the side of who feeds it

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Bytes of the body."""
        assert not self._eof, "feed_data after feed_eof"
        if data:
            self._append(data)
            self._wake()
            if self._size > self._high_water and self._protocol is not None:
                self._protocol.pause_reading()
        return False

    def feed_eof(self) -> None:
        """Everything has come."""
        self._eof = True
        self._wake()
        if self._eof_waiter is not None and not self._eof_waiter.done():
            self._eof_waiter.set_result(None)
        callbacks, self._eof_callbacks = self._eof_callbacks, []
        for callback in callbacks:
            _call(callback)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """No more will come, because of this."""
        if exc_cause is not None and exc_cause is not exc:
            exc.__cause__ = exc_cause
        self._exception = exc
        self._eof_callbacks.clear()
        for waiter in (self._waiter, self._eof_waiter):
            if waiter is not None and not waiter.done():
                waiter.set_exception(exc)

    def begin_http_chunk_receiving(self) -> None:
        """A chunk of a chunked body begins."""
        if self._http_chunk_splits is None:
            if self.total_bytes:
                raise RuntimeError("Called begin_http_chunk_receiving when some data was already fed")
            self._http_chunk_splits = deque()

    def end_http_chunk_receiving(self) -> None:
        """A chunk of a chunked body ends."""
        splits = self._http_chunk_splits
        if splits is None:
            raise RuntimeError("Called end_chunk_receiving without calling begin_chunk_receiving first")
        if self.total_bytes != (splits[-1] if splits else 0):
            splits.append(self.total_bytes)
            self._wake()

    # -- what both have

    def _append(self, data: bytes) -> None:
        self._buffer.append(data)
        self._size += len(data)
        self.total_bytes += len(data)

    def _put_back(self, data: bytes) -> None:
        if self._offset:
            self._buffer[0] = self._buffer[0][self._offset :]
            self._offset = 0
        self._buffer.appendleft(data)
        self._size += len(data)
        self._cursor -= len(data)

    def _take(self, n: int) -> bytes:
        """At most `n` bytes, all there are for -1."""
        if n < 0:
            n = self._size
        if not n or not self._buffer:
            return b""
        if len(self._buffer) == 1 or len(self._buffer[0]) - self._offset >= n:
            return self._take_first(n)
        pieces: list[bytes] = []
        while n and self._buffer:
            pieces.append(self._take_first(n))
            n -= len(pieces[-1])
        return b"".join(pieces)

    def _take_first(self, n: int) -> bytes:
        """At most `n` bytes of the first piece, all of it for -1."""
        first, offset = self._buffer[0], self._offset
        if 0 <= n < len(first) - offset:
            data = first[offset : offset + n]
            self._offset += n
        else:
            del self._buffer[0]
            self._offset = 0
            data = first[offset:] if offset else first
        self._size -= len(data)
        self._cursor += len(data)
        splits = self._http_chunk_splits
        while splits and splits[0] < self._cursor:
            splits.popleft()
        self._has_room()
        return data

    def _has_room(self) -> None:
        if self._protocol is not None and self._size < self._low_water and not self._eof:
            self._protocol.resume_reading()

    def _check(self) -> None:
        """Raise what ended the body too early."""
        if self._exception is not None:
            raise self._exception

    def _gather(self) -> None:
        """Take in what is there; here somebody feeds it."""

    async def _ready(self, what: str) -> None:
        """Return once there is something to read, or nothing will come."""
        self._gather()
        if self._buffer or self._eof:
            self._reads += 1
            if self._reads >= _READS and not self._eof:
                self._reads = 0
                await asyncio.sleep(0)
            return
        self._reads = 0
        while not self._buffer and not self._eof:
            self._check()
            await self._wait(what)
            self._gather()

    async def _wait(self, what: str) -> None:
        if self._waiter is not None:
            raise RuntimeError(f"{what}() called while another coroutine is already waiting for incoming data")
        self._waiter = self._future()
        try:
            if self._timer is None:
                await self._waiter
            else:
                with self._timer:
                    await self._waiter
        finally:
            self._waiter = None

    def _future(self) -> asyncio.Future[None]:
        return (self._loop or asyncio.get_running_loop()).create_future()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _EmptyReader(StreamReader):
    """No body; one for everybody, so that nobody can put anything in."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, DEFAULT_CHUNK_SIZE)
        self._eof = True

    def __repr__(self) -> str:
        return "<EmptyStreamReader>"

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        pass

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        return False

    def feed_eof(self) -> None:
        pass

    def set_read_chunk_size(self, n: int) -> None:
        pass

    def _put_back(self, data: bytes) -> None:
        pass


EMPTY_PAYLOAD: Final[StreamReader] = _EmptyReader()


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        _log.exception("Exception in eof callback")
