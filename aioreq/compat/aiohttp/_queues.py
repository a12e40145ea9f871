"""Queues with one reader, and the iterators that readers give. Know nothing of what is in them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from .streams import StreamReader

__all__ = ["AsyncStreamIterator", "ChunkTupleAsyncStreamIterator", "DataQueue", "EofStream", "FlowControlDataQueue"]

_T = TypeVar("_T")


class EofStream(Exception):
    """A queue has ended."""


class AsyncStreamIterator(Generic[_T]):
    """What a function gives, until that is b""."""

    __slots__ = ("read_func",)

    def __init__(self, read_func: Callable[[], Awaitable[_T]]) -> None:
        self.read_func: Callable[[], Awaitable[_T]] = read_func

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        try:
            read = await self.read_func()
        except EofStream:
            raise StopAsyncIteration from None
        if read == b"":
            raise StopAsyncIteration
        return read


class ChunkTupleAsyncStreamIterator:
    """What `readchunk` gives, until the end."""

    __slots__ = ("_stream",)

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[bytes, bool]:
        if (read := await self._stream.readchunk()) == (b"", False):
            raise StopAsyncIteration
        return read


class DataQueue(Generic[_T]):
    """A queue with one reader; its end is EofStream."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._eof = False
        self._waiter: asyncio.Future[None] | None = None
        self._exception: BaseException | None = None
        self._buffer: deque[tuple[_T, int]] = deque()

    def __len__(self) -> int:
        return len(self._buffer)

    def is_eof(self) -> bool:
        """Whether everything has come."""
        return self._eof

    def at_eof(self) -> bool:
        """Whether everything has come, and been read."""
        return self._eof and not self._buffer

    def exception(self) -> BaseException | None:
        """What ended it too early."""
        return self._exception

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """No more will come, because of this."""
        if exc_cause is not None and exc_cause is not exc:
            exc.__cause__ = exc_cause
        self._eof = True
        self._exception = exc
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc)

    def feed_data(self, data: _T, size: int = 0) -> None:
        """One more."""
        self._buffer.append((data, size))
        self._wake()

    def feed_eof(self) -> None:
        """Everything has come."""
        self._eof = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> _T:
        """The next one. Errors: EofStream at the end."""
        return (await self._next())[0]

    async def _next(self) -> tuple[_T, int]:
        if not self._buffer and not self._eof:
            assert self._waiter is None, "two tasks read the same queue"
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._buffer:
            return self._buffer.popleft()
        raise EofStream if self._exception is None else self._exception

    def __aiter__(self) -> AsyncStreamIterator[_T]:
        return AsyncStreamIterator(self.read)


class FlowControlDataQueue(DataQueue[_T]):
    """A queue that has its feeder pause while too much waits in it; deprecated by aiohttp."""

    def __init__(self, protocol: Any, limit: int, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._protocol = protocol
        self._limit = 2 * limit
        self._size = 0

    def feed_data(self, data: _T, size: int = 0) -> None:
        """One more, of that size."""
        super().feed_data(data, size)
        self._size += size
        if self._size > self._limit and not self._protocol._reading_paused:
            self._protocol.pause_reading()

    async def read(self) -> _T:
        """The next one. Errors: EofStream at the end."""
        data, size = await self._next()
        self._size -= size
        if self._size < self._limit and self._protocol._reading_paused:
            self._protocol.resume_reading()
        return data
