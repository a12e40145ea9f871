"""What goes out over a WebSocket: one message after another, no faster than the peer takes them, compressed where that was agreed.

A whole message is one write. One that is sent in fragments holds the turn until its end: other messages wait, control frames don't. Knows
no reader and no deadline; what ends the sending is told to it (`shut`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .frames import BINARY, CLOSE, CONTINUATION, PONG, TEXT, frame

if TYPE_CHECKING:
    from .link import Ending
    from .permessage_deflate import Compressor

__all__ = ["Outbox"]

BURST = 1024 * 1024  # what goes out without a turn of the loop, which a fast peer would never have us wait for: a millisecond or so
MESSAGE = 1024  # what one costs beside its bytes, in bytes of that burst
GATHERED = 64 * 1024  # bytes
STEP = 1024 * 1024  # more is compressed by steps of this size, each a fragment: some 20 ms


class Outbox:
    """`straight`: a whole message may be written at once, as it is. `broken_off` is called where one was begun that can't be ended."""

    __slots__ = (
        *("_begun", "_broken_off", "_changes", "_compressor", "_ending", "_is_closing", "_least", "_loop", "_pong", "_size", "_turn"),
        *("burst", "closed", "gathered", "paused", "straight", "transmit", "wrote"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.WriteTransport,
        broken_off: Callable[[], object],
        ending: Ending,
        compressor: Compressor | None,
        least: int,
    ) -> None:
        self._loop = loop
        self.transmit: Callable[[bytes], object] = transport.write
        self._is_closing: Callable[[], object] = transport.is_closing
        self._broken_off = broken_off
        self._ending = ending
        self._compressor = compressor
        self._least = least  # bytes of a message that is compressed
        self.paused = False
        self._turn = False  # somebody sends fragments
        self._pong: bytes | None = None  # waits for room
        self._changes: dict[asyncio.Future[None], None] = {}  # who waits for one, in order
        self._begun = False  # fragments of a message went out, and not the last one
        self.closed = False
        self.straight = compressor is None
        self.burst = BURST
        # What is sent first goes out at once, and what follows before anything arrives at the turn's end: it would cost a system call each.
        self.wrote = False
        self.gathered: list[bytes] = []
        self._size = 0  # bytes of them

    # -- control frames, and the transport's side

    def write_paused(self, paused: bool) -> None:
        """The transport holds enough, or has room again."""
        self.paused = paused
        if not paused and self._pong is not None:
            pong, self._pong = self._pong, None
            self.control(PONG, pong)
        self._changed()

    def control(self, opcode: int, payload: bytes) -> None:
        """A control frame, which waits for nobody; nothing behind the close frame."""
        if not self.closed:
            self.write(frame(opcode, payload))

    async def send_control(self, opcode: int, payload: bytes) -> None:
        """A ping or pong of the user's, once there is room for it."""
        data = frame(opcode, payload)
        while self.paused or self.closed:
            await self._change()
        self.write(data)
        if self.burst < 0:
            await self.pause()

    def pong(self, payload: bytes) -> None:
        """Answer a ping; where the peer takes nothing, the latest one alone (RFC 6455 section 5.5.3)."""
        if self.paused:
            self._pong = payload
        else:
            self.control(PONG, payload)

    def close(self, payload: bytes) -> None:
        """The close frame, unless it was sent: nothing goes out behind it."""
        self.control(CLOSE, payload)
        self._flush()
        self.shut()

    def shut(self) -> None:
        """Nothing goes out any more."""
        self.closed = True
        self._pong = None
        self._changed()

    def leave(self) -> None:
        """The transport is gone."""
        self.shut()
        self.transmit = self._is_closing = self._broken_off = _nothing  # they lead back here

    # -- what is written

    def write(self, data: bytes) -> None:
        """Have a frame sent, behind those before."""
        if self.wrote:
            self.gather(data)
        else:
            self.wrote = True
            self.transmit(data)

    def gather(self, data: bytes) -> None:
        """Have it sent at the turn's end."""
        if not self.gathered:
            self._loop.call_soon(self._flush)
        self.gathered.append(data)
        size = len(data)
        self._size += size
        self.burst -= size + MESSAGE
        if self._size > GATHERED:
            self._write_gathered()

    def _flush(self) -> None:
        self.wrote = False
        self._write_gathered()

    def _write_gathered(self) -> None:
        if self.gathered:
            data = b"".join(self.gathered)
            self.gathered.clear()
            self._size = 0
            if not self._is_closing():  # asyncio complains of each further write to a broken one
                self.transmit(data)  # which may call back

    def _changed(self) -> None:
        self.straight = self._compressor is None and not (self.paused or self.closed or self._turn)
        for change in self._changes:
            if not change.done():
                change.set_result(None)

    # -- messages

    async def send(self, opcode: int, payload: bytes) -> None:
        """One whole message, once there is room for it. Cancelled before that, nothing was sent."""
        while self.paused or self._turn or self.closed:
            await self._change()
        compressor = self._compressor
        if compressor is None or len(payload) < self._least:
            self.write(frame(opcode, payload))
        elif len(payload) <= STEP:
            self.write(frame(opcode, compressor.compress(payload, True), True, True))
        else:
            await self._send_steps(opcode, payload, compressor)
            return
        if self.burst < 0:
            await self.pause()

    async def _send_steps(self, opcode: int, payload: bytes, compressor: Compressor) -> None:
        view = memoryview(payload)
        async with _Turn(self):
            first = opcode
            self._begun = True  # what the compressor has seen the peer must get
            for at in range(0, len(payload), STEP):
                last = at + STEP >= len(payload)
                data = compressor.compress(view[at : at + STEP], last)
                if data or last:
                    await self.fragment(opcode, data, last, opcode == first)
                    opcode = CONTINUATION
                else:
                    await asyncio.sleep(0)

    async def send_pieces(self, pieces: AsyncIterable[str | bytes] | Iterable[str | bytes]) -> None:
        """One message, each piece a fragment as soon as it is there; none is compressed, which would hold it back.

        Errors: TypeError for pieces that are not all str or all bytes, ValueError for none at all. Once a fragment was sent, whatever keeps
        the last one from being sent fails the connection.
        """
        message = _Fragments(self)
        async with _Turn(self):
            if isinstance(pieces, AsyncIterable):
                iterator = aiter(pieces)
                try:
                    async for piece in iterator:
                        await message.send(piece)
                finally:
                    if hasattr(iterator, "aclose"):
                        await iterator.aclose()
            else:
                for piece in pieces:
                    await message.send(piece)
            await message.end()

    async def fragment(self, opcode: int, payload: bytes, last: bool, compressed: bool = False) -> None:
        """One of the message that has the turn."""
        while self.paused or self.closed:
            await self._change()
        self.write(frame(opcode, payload, last, compressed))
        self._begun = not last
        if self.burst < 0:
            await self.pause()

    async def take_turn(self) -> None:
        """Wait until no message is under way; from then on one is."""
        while self._turn or self.closed:
            await self._change()
        self._turn = True
        self._changed()

    def end_turn(self) -> None:
        """The message is sent, or never will be; then the connection is of no use."""
        self._turn = False
        if self._begun and not self.closed:
            self._broken_off()
        self._changed()

    async def pause(self) -> None:
        """Let others run."""
        self.burst = BURST
        await asyncio.sleep(0)

    async def _change(self) -> None:
        if self.closed:
            raise self._ending.closed()
        change = self._loop.create_future()
        self._changes[change] = None
        try:
            await change
        finally:
            del self._changes[change]


class _Turn:
    """`async with _Turn(outbox):` no other message goes out meanwhile."""

    __slots__ = ("_outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def __aenter__(self) -> None:
        await self._outbox.take_turn()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._outbox.end_turn()


class _Fragments:
    """A message of pieces that somebody else gives."""

    __slots__ = ("_kind", "_outbox", "_sent")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._kind: type | None = None
        self._sent = False

    async def send(self, piece: Any) -> None:
        kind = str if isinstance(piece, str) else bytes
        if not isinstance(piece, str | bytes | bytearray | memoryview):
            raise TypeError(f"WebSocket.send: the pieces of a message are str or bytes, not {type(piece).__name__}")
        if self._kind is not kind:
            if self._kind is not None:
                raise TypeError("WebSocket.send: the pieces of one message are all str or all bytes")
            self._kind = kind
        data = piece.encode() if isinstance(piece, str) else bytes(piece)
        if data:
            await self._outbox.fragment(self._opcode(), data, False)
            self._sent = True

    async def end(self) -> None:
        if self._kind is None:
            raise ValueError("WebSocket.send: no pieces, so nothing says whether the message is text; give '' or b''")
        await self._outbox.fragment(self._opcode(), b"", True)

    def _opcode(self) -> int:
        if self._sent:
            return CONTINUATION
        return TEXT if self._kind is str else BINARY


def _nothing(*args: object) -> None:
    pass
