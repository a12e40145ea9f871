"""What has come of a WebSocket's messages and wasn't read yet: a bounded queue, from which one reader takes them whole or by pieces.

Pieces are queued as they come; they are put together, inflated and decoded when somebody reads, a bounded step at a time. What was taken of
a message that isn't whole stays here: a reader that is cancelled loses nothing. Knows no transport, no frames, no close handshake.
"""

from __future__ import annotations

import asyncio
import codecs
import io
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from ..deadlines import CLOCK_SLACK
from ..errors import AioreqError, ProtocolError, ReadTimeout, RemoteProtocolError
from ..response_body import LOW_WATER, STEPS
from .frames import BINARY, INVALID_DATA

if TYPE_CHECKING:
    from .link import Ending
    from .permessage_deflate import Decompressor

__all__ = ["HIGH_WATER", "PIECE", "Inbox", "InboxSource", "MessagePieces"]

# Reading pauses above: twice what a loop reads at once, for each read of large messages would pause it otherwise.
HIGH_WATER = 512 * 1024
PIECE = 128  # what a piece weighs beside its bytes: a peer may send empty ones


class InboxSource(Protocol):
    """What an inbox asks of the connection that fills it; nothing once that is gone."""

    @property
    def gathers(self) -> bool:
        """Whether something of a message is kept there, to be put here when it is whole."""

    def hand_on(self) -> None:
        """Put it here now."""

    def go_on(self) -> None:
        """There is room again."""

    def fail(self, error: AioreqError) -> None:
        """What came breaks the rules: nothing more is wanted."""


class Inbox:
    """`straight`: a message that is one piece may be taken from `pieces` as it is; `held` is what they weigh. `busy`: somebody reads.

    `kind` is that of what `whole` gave last: TEXT or BINARY; above them what was put here as one piece and is no message.
    """

    __slots__ = (
        *("_inflater", "_message", "_plain", "_source", "_steps", "busy", "by_pieces", "decodes", "ended", "ending", "held", "kind"),
        *("loop", "paused", "pieces", "shut", "straight", "waiter"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: InboxSource,
        ending: Ending,
        inflater: Decompressor | None,
        manual: bool = False,
        decodes: bool = True,
    ) -> None:
        self.loop = loop
        self._source: InboxSource | None = source
        self.ending = ending
        self._inflater = inflater
        self.pieces: deque[tuple[int, bytes, bool, bool]] = deque()
        self.held = 0
        self.paused = False  # the source is
        self.shut = False  # what comes is dropped
        self.ended = False  # nothing will come
        self.busy = False
        self.by_pieces = False  # and wants what there is of a message
        self.waiter: asyncio.Future[None] | None = None
        self.kind = BINARY
        self.straight = self._plain = inflater is None and decodes and not manual
        self.decodes = decodes  # text
        self._message: _Message | None = None  # the one under way
        self._steps = STEPS

    # -- the source's side

    def put(self, kind: int, data: bytes, last: bool, compressed: bool) -> None:
        """A piece, as frames.FrameReceiver has it."""
        if not self.shut:
            self.pieces.append((kind, data, last, compressed))
            self.held += len(data) + PIECE
            waiter = self.waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def full(self, more: int = 0) -> bool:
        """Whether no more of a message that nobody waits for should come, where `more` bytes of one are elsewhere."""
        return self.held + more > HIGH_WATER and not self.shut and not (self.busy and len(self.pieces) < 2)

    def shut_out(self) -> bool:
        """Drop what comes from now on; what is here can still be read. Gives whether the source was paused, which it needn't be now."""
        self.shut = True
        paused, self.paused = self.paused, False
        return paused

    def end(self) -> bool:
        """Nothing comes any more: who has read what is here is told why. Gives what `shut_out` does."""
        self.ended = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        return self.shut_out()

    def leave(self) -> None:
        """The source is gone."""
        self._source = None

    # -- the reader's side

    def relieve(self) -> None:
        """Something was taken from `pieces`, while the source is paused: perhaps it needn't be any more."""
        if self.held <= LOW_WATER and self._source is not None:
            self.paused = False
            self._source.go_on()

    async def whole(self, timeout: float | None = None) -> str | bytes:
        """The next message, or what else was put: see `kind`. Errors: ReadTimeout, and what ended the connection."""
        self._begin()
        try:
            due = None if timeout is None else self.loop.time() + timeout
            if self._message is not None and self._message.reader is not None:
                await self._skip(self._message, due)
            while True:
                part = await self._part(due)
                if self.kind > BINARY:
                    return part
                message = self._message
                assert message is not None
                if message.last:
                    self._message_ended()
                    return message.whole(part)
                message.keep(part)
        finally:
            self.busy = False

    async def piece(self, reader: MessagePieces) -> str | bytes:
        """What comes next of the message that `reader` reads, or of the next one; the last may be empty."""
        self._begin()
        self.by_pieces = True
        try:
            if self._source is not None:
                self._source.hand_on()
            message = self._message
            if reader.message is None:
                if message is not None and message.reader is not None:
                    await self._skip(message, None)
                elif message is not None:
                    reader.message, message.reader = message, reader
                    if kept := message.take():
                        return kept
            elif reader.message is not message or message.reader is not reader:
                raise RuntimeError("this message was dropped when the next one was asked for")
            while True:
                part = await self._part(None)
                message = self._message
                assert message is not None
                reader.message, message.reader = message, reader
                if message.last:
                    self._message_ended()
                if part or message.last:
                    return part
        finally:
            self.busy = self.by_pieces = False

    def fault(self, error: ProtocolError | UnicodeDecodeError) -> ProtocolError:
        """The error to raise for a message that breaks the rules; the connection is given up."""
        if isinstance(error, UnicodeDecodeError):
            what = f"WebSocket: a text message is no UTF-8: {error.reason} (RFC 6455 section 8.1)"
            error = RemoteProtocolError(what, close_code=INVALID_DATA)
        if self._source is not None:
            self._source.fail(error)
        self.pieces.clear()
        self.held = 0
        if self._message is not None:
            self._message.inflating = False
        self.ending.fail(error)
        self.ending.for_reader()  # whoever reads on is told of the closing
        return error

    def _begin(self) -> None:
        if self.busy:
            raise RuntimeError("two tasks receive from the same WebSocket at once")
        self.busy = True

    def _message_ended(self) -> None:
        self._message = None
        self.straight = self._plain

    async def _skip(self, message: _Message, due: float | None) -> None:
        """Drop the rest of a message that was read by pieces, and not to its end."""
        message.reader = _NOBODY
        while not message.last:
            await self._part(due)
        self._message_ended()

    async def _part(self, due: float | None) -> str | bytes:
        """What comes next of the message under way, perhaps nothing. Nothing is taken before it is given."""
        while True:
            self._steps -= 1
            if self._steps < 0:
                self._steps = STEPS
                await asyncio.sleep(0)
            try:
                part = self._step()
            except (ProtocolError, UnicodeDecodeError) as error:
                raise self.fault(error) from None
            if part is not None:
                return part
            if self.ended:
                raise self.ending.for_reader()
            await self._arrival(due)

    async def _arrival(self, due: float | None) -> None:
        waiter = self.waiter = self.loop.create_future()
        began = self.loop.time()
        timer = None if due is None else self.loop.call_at(due, _expire, waiter)
        try:
            await waiter
        finally:
            self.waiter = None
            if timer is not None:
                timer.cancel()
        if due is not None and not self.pieces and not self.ended and self.loop.time() >= due - CLOCK_SLACK:
            begun = self._message is not None or (self._source is not None and self._source.gathers)
            what = "nothing more of a message that it had begun" if begun else "no message"
            raise ReadTimeout(f"{self.ending.peer} sent {what} within {self.loop.time() - began:.3f} s", request=self.ending.request)

    def _step(self) -> str | bytes | None:
        """A bounded step on; None where more has to come first."""
        message, inflater = self._message, self._inflater
        if message is None or not message.inflating:
            if not self.pieces:
                return None
            kind, data, last, compressed = self.pieces.popleft()
            self.held -= len(data) + PIECE
            if self.paused:
                self.relieve()
            self.kind = kind
            if kind > BINARY:
                return data
            if message is None:
                message = self._message = _Message(kind, self.decodes)
                self.straight = False
            if not compressed:
                message.last = last
                return message.decoded(data)
            assert inflater is not None
            inflater.feed(data, last)
            message.inflating, message.closing = True, last
        assert inflater is not None
        inflated = inflater.step()
        if inflated is None:
            message.inflating, message.last = False, message.closing
        return message.decoded(inflated or b"")


class MessagePieces(AsyncIterator[str | bytes]):
    """The next message as it arrives: pieces of any size, all str or all bytes; one that is empty is one empty piece.

    A plain iterator, so that leaving a loop early leaves nothing to finalise: the rest is dropped when the next message is asked for.
    """

    __slots__ = ("_any", "_inbox", "message")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._any = False
        self.message: _Message | None = None  # that it reads

    async def __anext__(self) -> str | bytes:
        message = self.message
        if message is not None and message.last and message.reader is self:
            raise StopAsyncIteration
        piece = await self._inbox.piece(self)
        if not piece and self._any:
            raise StopAsyncIteration
        self._any = True
        return piece


class _Message:
    """One that comes in more than one piece: what was decoded of it, and where it stands."""

    __slots__ = ("_bytes", "_decode", "_kind", "_text", "closing", "inflating", "last", "reader")

    def __init__(self, kind: int, decodes: bool) -> None:
        self._kind = kind
        self._decode = codecs.getincrementaldecoder("utf-8")().decode if kind != BINARY and decodes else None
        # Not lists: a message may come in as many pieces as it has bytes.
        self._bytes: io.BytesIO | None = None
        self._text: io.StringIO | None = None
        self.inflating = False  # the piece that came last is,
        self.closing = False  # and is the last one
        self.last = False  # nothing is behind what was decoded
        self.reader: MessagePieces | None = None

    def decoded(self, data: bytes) -> str | bytes:
        """More of it. Errors: UnicodeDecodeError."""
        return data if self._decode is None else self._decode(data, self.last)

    def keep(self, part: str | bytes) -> None:
        if isinstance(part, bytes):
            if self._bytes is None:
                self._bytes = io.BytesIO()
            self._bytes.write(part)
        else:
            if self._text is None:
                self._text = io.StringIO(newline="")
            self._text.write(part)

    def take(self) -> str | bytes:
        """What was kept."""
        if self._decode is None:
            data, self._bytes = self._bytes, None
            return b"" if data is None else data.getvalue()
        text, self._text = self._text, None
        return "" if text is None else text.getvalue()

    def whole(self, part: str | bytes) -> str | bytes:
        """All of it, `part` being the last."""
        if isinstance(part, bytes):
            if self._bytes is None:
                return part
            self._bytes.write(part)
            return self._bytes.getvalue()  # not copied once more
        if self._text is None:
            return part
        self._text.write(part)
        return self._text.getvalue()


_NOBODY = MessagePieces.__new__(MessagePieces)  # the reader of a message that is being dropped


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
