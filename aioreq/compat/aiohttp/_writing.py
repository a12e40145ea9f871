"""Payloads that write themselves, and files of text: as streams of bytes that the core can send. Knows no payload's kind."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from multidict import CIMultiDict

from ... import threads
from ...errors import LocalProtocolError
from ...request_body import FILE_CHUNK, StreamedBody
from .abc import AbstractStreamWriter

__all__ = ["Written", "pieces_of", "text_body"]


class Written:
    """A payload that writes itself: what it writes is given one piece at a time, as it is asked for."""

    def __init__(self, payload: Any) -> None:
        self._payload = payload

    def body(self) -> StreamedBody:
        """What the core can send."""
        return StreamedBody(self._chunks, self._payload.size, True)

    async def _chunks(self) -> AsyncIterator[bytes]:
        payload = self._payload
        if payload.consumed:
            raise LocalProtocolError(f"the request body ({type(payload).__name__}) was consumed and can't be sent again")
        writer = _PieceWriter()
        task = asyncio.ensure_future(payload.write_with_length(writer, payload.size))
        task.add_done_callback(writer.end)
        try:
            while (piece := await writer.piece()) is not None:
                yield piece
            await task
        finally:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()  # told above, or nobody's any more


class _PieceWriter(AbstractStreamWriter):
    """Hands over what is written, piece by piece: writing waits until somebody has taken the last one."""

    length: int | None = None

    def __init__(self) -> None:
        self._piece: bytes | None = None
        self._ended = False
        self._changed: asyncio.Future[None] | None = None

    async def piece(self) -> bytes | None:
        """The next piece, None at the end."""
        while self._piece is None and not self._ended:
            await self._change()
        piece, self._piece = self._piece, None
        self._tell()
        return piece

    def end(self, task: asyncio.Future[Any]) -> None:
        """Nothing more will come."""
        self._ended = True
        self._tell()

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """One piece more."""
        if not chunk:
            return
        while self._piece is not None:
            await self._change()
        self._piece = bytes(chunk)
        self.output_size += len(self._piece)
        self._tell()

    async def write_eof(self, chunk: bytes = b"") -> None:
        """The last piece."""
        await self.write(chunk)

    async def drain(self) -> None:
        """Wait until the last piece was taken."""
        while self._piece is not None:
            await self._change()

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Not here: the request's `compress` does it."""
        raise RuntimeError("a payload can't compress what it writes: give compress= to the request")

    def enable_chunking(self) -> None:
        """Nothing to do: what has no size goes out in chunks."""

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Not here: the head was sent."""
        raise RuntimeError("a payload writes no head")

    async def _change(self) -> None:
        # Two may wait, the writer and the taker, never for the same: one future serves both.
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)


async def pieces_of(content: bytes | StreamedBody) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        for start in range(0, len(content), FILE_CHUNK):
            yield content[start : start + FILE_CHUNK]
        return
    async with contextlib.aclosing(content.chunks()) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            yield chunk


def text_body(file: Any, charset: str) -> StreamedBody:
    """What is left of a file of text, in this charset."""
    try:
        start = file.tell() if file.seekable() else None
    except (AttributeError, OSError):
        start = None
    read: Callable[[], str] = lambda: file.read(FILE_CHUNK)  # noqa: E731

    async def chunks() -> AsyncIterator[bytes]:
        if start is not None:
            await threads.run(file.seek, start)
        encoder = codecs.getincrementalencoder(charset)()
        while text := await threads.run(read):
            yield encoder.encode(text)

    return StreamedBody(chunks, None, start is not None)
