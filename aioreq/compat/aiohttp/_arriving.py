"""Readers that take what they give from the core, as it is asked for: of a response's body, of a part of one. Cut nothing themselves."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import AioreqError
from ._translation import translated
from .helpers import DEFAULT_CHUNK_SIZE
from .streams import StreamReader

if TYPE_CHECKING:
    from ...pieces import Pieces
    from ._response import ClientResponse

__all__ = ["PullingReader", "ResponseReader", "Source"]


_MOST_SPLITS = 16 * 1024  # ends of chunks that are remembered, before more is taken: a chunk may be a single byte


class Source(Protocol):
    """Where a reader finds its pieces."""

    def take(self) -> bytes | None: ...
    async def arrival(self) -> None: ...


class PullingReader(StreamReader):
    """A reader that takes its pieces from a source, when they are asked for.

    A read that is cancelled while it waits loses nothing: the next one goes on.
    """

    __slots__ = ("_most_splits", "_source", "_waiting")

    def __init__(self, source: Source, limit: int = DEFAULT_CHUNK_SIZE) -> None:
        super().__init__(None, limit)
        self._source = source
        self._waiting = False
        self._most_splits = _MOST_SPLITS

    def _told(self, error: AioreqError) -> BaseException:
        return error

    def _check(self) -> None:
        if self._exception is not None and not self._buffer:  # what came before comes first, whenever somebody reads
            raise self._exception

    def _gather(self) -> None:
        if self._eof or self._exception is not None:
            return
        try:
            while self._size < self._high_water and len(self._http_chunk_splits or ()) < self._most_splits:
                piece = self._source.take()
                if piece is None:
                    return
                if not piece:
                    self.feed_eof()
                    return
                self._append(piece)
        except AioreqError as error:
            self._exception = self._told(error)
            if self._exception is not error:
                self._exception.__cause__ = error

    async def _wait(self, what: str) -> None:
        if self._waiting:
            raise RuntimeError(f"{what}() called while another coroutine is already waiting for incoming data")
        self._waiting = True
        try:
            await self._source.arrival()
        finally:
            self._waiting = False

    def read_nowait(self, n: int = -1) -> bytes:
        if self._waiting:
            raise RuntimeError("Called while some coroutine is waiting for incoming data.")
        return super().read_nowait(n)

    def exception(self) -> BaseException | None:
        self._gather()
        return self._exception

    def is_eof(self) -> bool:
        self._gather()
        return self._eof

    def at_eof(self) -> bool:
        if not self._buffer:
            self._gather()
        return self._eof and not self._buffer

    async def wait_eof(self) -> None:
        self._most_splits = sys.maxsize
        while not self.is_eof():
            if self._exception is not None:
                raise self._exception
            self.set_read_chunk_size(self._size + 1)
            await self._wait("wait_eof")


class ResponseReader(PullingReader):
    """The reader of a response's body. It holds no response, which holds it."""

    __slots__ = ("_pieces", "_session", "_stream")

    def __init__(self, response: ClientResponse) -> None:
        stream: Any = response._stream
        self._pieces: Pieces = stream.content
        self._session = response._session
        limit = response._read_bufsize
        if limit is None:
            limit = DEFAULT_CHUNK_SIZE if self._session is None else self._session._read_bufsize
        super().__init__(self._pieces, limit)
        self._stream = stream  # which gives up its connection when nobody holds it any more

    def _append(self, data: bytes) -> None:
        super()._append(data)
        if ends := self._pieces.take_chunk_ends(self.total_bytes):
            if self._http_chunk_splits is None:
                self._http_chunk_splits = deque()
            self._http_chunk_splits.extend(ends)

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, "StreamReader", 1)

    def _told(self, error: AioreqError) -> BaseException:
        return translated(error, self._session, reading=True)
