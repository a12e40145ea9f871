"""The raw body of a response for httpx's client, asynchronous or not. Knows no request, and decodes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import AioreqError
from ...models import StreamResponse
from ...sync import background

if TYPE_CHECKING:
    from .library import Library
    from .network import BlockingNetworkStream, NetworkStream
    from .tracing import Tracing

__all__ = ["ArrivingBody", "BlockingBody", "TracedBody"]


def give_up(response: StreamResponse) -> None:
    if response._body.expected is None:
        response.abort()  # who leaves a stream of events leaves it for good: its slot shouldn't wait for what it may still say
    else:
        response.drop()


class ArrivingBody:
    """The raw body as it arrives. A plain iterator: left early, it leaves nothing to finalise."""

    _library: ClassVar[Library]

    def __init__(self, response: StreamResponse, stream: NetworkStream) -> None:
        self._response = response
        self._stream = stream
        body = response._body
        self._take: Callable[[], bytes | None] = body.take_chunk
        self._wait: Callable[[], Coroutine[Any, Any, bytes]] = body.read_chunk
        if response.request.terms.max_stream is not None:
            pieces: Any = response.iter_raw()  # they count
            self._take, self._wait = pieces.take, partial(anext, pieces, b"")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = self._take()
            if piece is None:
                piece = await self._wait()
        except AioreqError as error:
            raise self._library.error(error) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Drop what is left: a short rest is read in the background; a long one, or one without a known end, costs the connection."""
        give_up(self._response)
        self._stream.close()


class TracedBody(ArrivingBody):
    """The same, told to whoever traces the request."""

    def __init__(self, response: StreamResponse, stream: NetworkStream, tracing: Tracing) -> None:
        super().__init__(response, stream)
        self._tracing = tracing
        self._begun = self._closed = False

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            await self._tracing.body()
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            await self._tracing.complete()
            raise
        except Exception as error:
            await self._tracing.fail(error)
            raise

    async def aclose(self) -> None:
        """See `ArrivingBody.aclose`."""
        await super().aclose()
        if not self._closed:
            self._closed = True
            await self._tracing.close()


class BlockingBody:
    """The raw body as it arrives on the background loop. `ended`: all of it is here, and the loop doesn't touch it any more."""

    _library: ClassVar[Library]

    def __init__(self, response: StreamResponse, stream: BlockingNetworkStream, ended: bool, tracing: Tracing | None) -> None:
        self._tracing = tracing
        self._response = response
        self._stream = stream
        self._pieces: Any = response.iter_raw()
        self._ended = ended

    def __iter__(self) -> Iterator[bytes]:
        tracing = self._tracing
        if tracing is None:
            yield from self._received()
            return
        background().wait(tracing.body())
        try:
            yield from self._received()
        except Exception as error:
            background().wait(tracing.fail(error))
            raise
        background().wait(tracing.complete())

    def _received(self) -> Iterator[bytes]:
        try:
            while True:
                if self._ended:
                    pieces = [self._pieces.take()]
                else:
                    pieces, self._ended = background().wait(self._arrived())
                for piece in pieces:
                    if not piece:
                        return
                    yield piece
        except AioreqError as error:
            raise self._library.error(error) from error

    async def _arrived(self) -> tuple[list[bytes], bool]:
        """What is here, at least one piece; and whether the body has ended. The end itself and its error are left for the next call."""
        pieces: list[bytes] = []
        response = self._response
        while not response.ended or not pieces:
            piece = self._pieces.take()
            if piece is None:
                if pieces:
                    break
                piece = await self._first()
            pieces.append(piece)
            if not piece:
                break
        return pieces, response.ended

    async def _first(self) -> bytes:
        piece: bytes = await anext(self._pieces, b"")
        return piece

    def close(self) -> None:
        """See `ArrivingBody.aclose`."""
        if not self._ended:
            with suppress(RuntimeError):  # the loop has gone, and the connection with it
                background().loop.call_soon_threadsafe(give_up, self._response)
        self._stream.close()
        tracing, self._tracing = self._tracing, None
        if tracing is not None:
            background().wait(tracing.close())
