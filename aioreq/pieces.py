"""A body in pieces: decoded in bounded steps, of a size or as they come, waited for or as far as they are there.

Plain iterators, for one reader. Knows bodies and decoders, no response.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol, Self

from .encodings import Decoder
from .errors import AioreqError, LimitExceeded
from .response_body import LOW_WATER, STEPS, ResponseBody

if TYPE_CHECKING:
    from .models import Request

__all__ = ["HeldBody", "PieceSource", "Pieces"]


class HeldBody:
    """A body that is here as a whole, for who reads it by pieces."""

    __slots__ = ("_at", "_content")
    chunk_ends = None

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    async def read_chunk(self) -> bytes:
        """The next 64 KiB; b"" at the end."""
        return self.take_chunk()

    def take_chunk(self) -> bytes:
        """The next 64 KiB; b"" at the end."""
        start, self._at = self._at, self._at + LOW_WATER
        return self._content[start : self._at]

    async def arrival(self) -> None:
        """Everything is here."""

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
                self._count(piece)
        except AioreqError as error:
            if self._held and hasattr(error, "partial"):
                error.partial = bytes(self._held)
            self.fail(error)
            raise
        if not piece:
            raise StopAsyncIteration
        return piece

    def take(self) -> bytes | None:
        """The next piece, of any size, as far as one is there without waiting: None where there is none, b"" at the end. Errors: the same.

        For who waits by `arrival`, which may be cancelled without giving up the body.
        """
        try:
            piece = self._take()
            if piece and self._left is not None:
                self._count(piece)
        except AioreqError as error:
            self.fail(error)
            raise
        return piece

    def take_chunk_ends(self, total: int) -> list[int]:
        """Where chunks of the chunked coding ended in what was taken since the last call: in bytes given, `total` of them so far.

        Empty unless the request's terms ask for it.
        """
        body, ends = self._body, self._body.chunk_ends
        if not ends or isinstance(body, HeldBody) or not (self._decoder is None or self._decoder.needs_input):
            return []
        taken = body.taken
        passed = ends[: bisect_right(ends, taken)]
        del ends[: len(passed)]
        if self._decoder is None:
            return [end + total - taken for end in passed]
        return [total] if passed and passed[-1] == taken else []

    async def arrival(self) -> None:
        """Wait until there may be something to `take`."""
        await self._body.arrival()

    def _take(self) -> bytes | None:
        if self._held:
            piece = bytes(self._held)
            self._held.clear()
            return piece
        decoder = self._decoder
        if decoder is None:
            return self._body.take_chunk()
        data: bytes | None = b""
        while True:
            if decoder.needs_input:
                body = self._body
                data = body.take_to_chunk_end() if body.chunk_ends else body.take_chunk()
                if data is None:
                    return None
                if not data:
                    decoder.finish()
                    return b""
            if piece := decoder.decode(data or b""):
                return piece
            data = b""

    def _count(self, piece: bytes) -> None:
        assert self._left is not None
        self._left -= len(piece)
        if self._left < 0:
            raise LimitExceeded("the streamed body is longer than the client's guard admits: see its max_body", limit="body")

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
