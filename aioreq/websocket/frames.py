"""WebSocket frames (RFC 6455 section 5), a client's side: bytes in, pieces of messages out, and the bytes of a frame that is sent.

Knows no socket, no handshake and no text: payloads are handed on as they came, compressed ones included. See permessage_deflate.py.

    parser = FrameParser(receiver, max_message=16 * 1024 * 1024, compressed=False)
    parser.feed(data)           bytes, a bytearray or a view of bytes; read during the call only, what is handed on is copied out
    parser.feed(data, size)     the same with its first `size` bytes
    parser.room()               while `missing`: a buffer to write into what comes next, which is then fed: feed(room, size)
    parser.hand_on()            gather no longer what is being gathered: what is here of it is handed on, the rest as it comes

What section 5 forbids a server raises `RemoteProtocolError`, a message beyond `max_message` raises `LimitExceeded`, both from `feed`, at
the header of the frame, with the code to close with in `close_code`. After an error, be it a callback's own, the parser is broken: it
raises whatever is fed. The verdict never depends on how the bytes were split. Behind a close frame nothing is read (section 1.4), and
feeding from inside a callback is an error. The rules, without a lenient switch: no masked frame; no reserved opcode; no reserved bit but
RSV1, and that only on the first frame of a message, where compression was agreed; control frames whole and of 125 bytes at most; lengths
in their shortest form; no frame of another message before one is whole.

A message in one frame that a feed's end cuts is gathered in its final place, and handed on when it is whole. `gathered` tells how much of
one is here, `missing` how much isn't yet. Memory is taken as it arrives, whatever the header says.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import LimitExceeded, RemoteProtocolError
from ..parser import IMPLEMENTATION

if TYPE_CHECKING:
    from typing_extensions import Buffer

if TYPE_CHECKING or IMPLEMENTATION == "compiled":
    from .._parser import Payload, forget_keys, hand_on_whole
    from .._parser import framed as framed
else:
    from .._frames_py import Payload, forget_keys, framed, hand_on_whole

__all__ = [
    *("BINARY", "CLOSE", "CONTINUATION", "PING", "PONG", "TEXT"),
    *("ABNORMAL", "GOING_AWAY", "INVALID_DATA", "NORMAL", "NO_CODE", "PROTOCOL_ERROR", "TOO_BIG"),
    *("MAX_CONTROL", "FrameParser", "FrameReceiver", "close_payload", "frame", "framed", "parse_close", "too_long"),
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
# Close codes (section 7.4.1).
NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_CODE, ABNORMAL, INVALID_DATA, TOO_BIG = 1000, 1001, 1002, 1005, 1006, 1007, 1009
MAX_CONTROL = 125  # bytes of a control frame's payload (section 5.5)

_FIN, _RSV1, _RSV2, _RSV3, _MASK = 0x80, 0x40, 0x20, 0x10, 0x80
_NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
_LONGEST_HEADER = 10  # bytes, of a frame without a key
_LONGEST_TEXT = 1024 * 1024  # bytes that are gathered: it is decoded at once, where longer ones are as they come
_NO_LIMIT = 1 << 63  # no length comes up to it
# What is in a compressed message may be shorter than it: each frame and each block costs some bytes.
_OVERHEAD, _OVERHEAD_SHARE = 1024, 16

_CODE = struct.Struct("!H")

_READY, _BUSY, _CLOSED, _BROKEN = range(4)


class FrameReceiver(Protocol):
    """What a parser calls. An exception raised here comes out of `feed`, and the parser is broken."""

    def on_piece(self, kind: int, data: bytes, last: bool, compressed: bool, /) -> None:
        """A message, what was gathered of one, or what one feed held of one of its frames.

        `kind` is the message's, TEXT or BINARY; `last`: the message is whole.

        Only the last piece may be empty. `compressed`: by permessage-deflate; all of a message is, or nothing.
        """

    def on_control(self, opcode: int, payload: bytes, /) -> None:
        """A CLOSE, PING or PONG, whole. It may come between the pieces of a message."""


class FrameParser:
    """One frame after another; see above. `max_message` is in bytes, None for no limit; `compressed`: permessage-deflate was agreed.

    A compressed message may have a sixteenth more, since nobody has seen yet what is in it.
    """

    __slots__ = (
        *("_compressed", "_control", "_fin", "_held", "_kind", "_left", "_max", "_may_compress", "_opcode", "_place", "_receiver", "_room"),
        *("_state", "payload"),
    )

    def __init__(self, receiver: FrameReceiver, max_message: int | None, compressed: bool) -> None:
        self._receiver = receiver
        self._max = _NO_LIMIT if max_message is None else min(max_message, _NO_LIMIT)
        self._may_compress = compressed
        self._state = _READY
        self._held = b""  # the beginning of a header
        # The frame whose payload is arriving,
        self._left = 0
        self._opcode = 0
        self._fin = False
        self._control = bytearray()
        self.payload: Payload | None = None  # that is gathered,
        self._place: Buffer | None = None  # and the room that was given for it
        # and the message that it may be a part of; kind 0: none.
        self._kind = 0
        self._compressed = False
        self._room = 0

    def feed(self, data: Buffer, size: int = -1) -> None:
        octets: Any = data  # any buffer that is one of bytes
        if self._state:
            if self._state == _CLOSED:
                return
            raise _refused() if self._state == _BROKEN else RuntimeError("feed() inside a callback of the same parser")
        self._state = _BUSY
        at, end = 0, len(octets) if size < 0 else size
        view = None
        try:
            if data is self._place:
                at = self._landed(end)
            while at < end:
                # nearly always: messages in one frame each, all of which is here
                if not (self._left or self._kind or self._held):
                    at = hand_on_whole(octets, at, end, self._max, self._receiver.on_piece)
                    if at == end:
                        break
                if view is None:
                    view = memoryview(octets)
                at = self._payload(view, at, end) if self._left else self._header(view, at, end)
        except BaseException:
            self._state = _BROKEN
            raise
        finally:
            if view is not None:
                view.release()
        if self._state == _BUSY:
            self._state = _READY

    def _header(self, view: memoryview, at: int, end: int) -> int:
        """Behind the header that begins at `at`, or that goes on there: the place of the payload."""
        held = len(self._held)
        head = self._held + view[at : min(end, at + _LONGEST_HEADER - held)]

        # FIN, RSV1-3, opcode
        first = head[0]
        opcode = first & 0x0F
        fin = first >= _FIN
        if opcode not in _NAMES:
            raise _broken(f"the opcode {opcode:#x} is reserved", "5.2")
        name = _NAMES[opcode]
        if first & (_RSV2 | _RSV3):
            raise _broken(f"a {name} frame with a reserved bit (RSV{'2' if first & _RSV2 else '3'}) set", "5.2")
        if first & _RSV1:
            if not self._may_compress:
                raise _broken(f"a {name} frame with RSV1 set, but no compression was agreed", "5.2")
            if opcode not in (TEXT, BINARY):
                raise _broken(f"a {name} frame with RSV1 set, which only a message's first frame may have", "6", 7692)
        if opcode >= CLOSE and not fin:
            raise _broken(f"a {name} frame in fragments", "5.5")
        if opcode == CONTINUATION and not self._kind:
            raise _broken("a continuation frame, but no message to go on with", "5.4")
        if opcode in (TEXT, BINARY) and self._kind:
            raise _broken(f"a {name} frame in the middle of a fragmented message", "5.4")

        # MASK, payload length: 7 bits, 7 + 16 or 7 + 64
        if len(head) < 2:
            return self._hold(head, end)
        length = head[1]
        if length & _MASK:
            raise _broken(f"a masked {name} frame from a server", "5.1")
        if opcode >= CLOSE and length > MAX_CONTROL:
            raise _broken(f"a {name} frame of more than {MAX_CONTROL} bytes", "5.5")
        size = 2
        if length > 125:
            size = 4 if length == 126 else 10
            if len(head) < size:
                return self._hold(head, end)
            length = int.from_bytes(head[2:size], "big")
            if length >> 63:
                raise _broken(f"a {name} frame whose length has its most significant bit set", "5.2")
            if length < (126 if size == 4 else 65536):
                raise _broken(f"a {name} frame whose length, {length}, isn't in its shortest form", "5.2")
        self._held = b""
        at += size - held

        if opcode < CLOSE:
            if opcode:
                self._kind = opcode
                self._compressed = first & _RSV1 != 0
                self._room = self._max + (self._max // _OVERHEAD_SHARE + _OVERHEAD if self._compressed else 0)
            self._room -= length
            if self._room < 0:
                raise too_long(self._max)
        self._left, self._opcode, self._fin = length, opcode, fin
        if fin and length > end - at and not self._compressed and (opcode == BINARY or (opcode == TEXT and length <= _LONGEST_TEXT)):
            self.payload = Payload(length)
        # Without a payload there is nothing to wait for.
        return at if length else self._payload(view, at, end)

    def _hold(self, head: bytes, end: int) -> int:
        self._held = head
        return end

    def _payload(self, view: memoryview, at: int, end: int) -> int:
        """Behind what is here of the payload that begins at `at`, or goes on there."""
        stop = min(end, at + self._left)
        if self.payload is not None:
            self.payload.add(view, at, stop)
            self._arrived(self.payload, stop - at)
            return stop
        piece = bytes(view[at:stop])
        self._left -= stop - at
        if self._opcode < CLOSE:
            kind, last = self._kind, self._fin and not self._left
            if last:
                self._kind = 0
            if piece or last:
                self._receiver.on_piece(kind, piece, last, self._compressed)
            return stop

        self._control += piece
        if self._left:
            return stop
        payload = bytes(self._control)
        self._control.clear()
        if self._opcode == CLOSE:
            self._state = _CLOSED
            stop = end  # what is behind it is nobody's
        self._receiver.on_control(self._opcode, payload)
        return stop

    @property
    def amid(self) -> bool:
        """Whether a message has begun, and its last frame has not."""
        return self._kind != 0

    # -- a message that is gathered

    @property
    def gathered(self) -> int:
        """Bytes of it that are here; `missing`: those that aren't yet."""
        return 0 if self.payload is None else self.payload.filled

    @property
    def missing(self) -> int:
        return 0 if self.payload is None else self._left

    def room(self) -> Buffer:
        if self.payload is None:
            raise RuntimeError("room() outside a message that is being gathered")
        self._place = None
        self._place = self.payload.room()
        return self._place

    def hand_on(self) -> None:
        payload = self.payload
        self.payload = self._place = None
        if payload is not None and payload.filled:
            self._receiver.on_piece(self._kind, payload.take(), False, False)

    def _landed(self, size: int) -> int:
        assert self.payload is not None
        self.payload.landed(size)
        self._arrived(self.payload, size)
        return size

    def _arrived(self, payload: Payload, size: int) -> None:
        self._left -= size
        if not self._left:
            kind, self._kind = self._kind, 0
            self.payload = self._place = None
            self._receiver.on_piece(kind, payload.take(), True, False)


# --- what is sent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_keys)  # no two processes use the same ones


def frame(opcode: int, payload: bytes | bytearray | memoryview, fin: bool = True, compressed: bool = False) -> bytes:
    """A frame to send, masked by a key of its own (sections 5.2 and 5.3). A view must be one of bytes.

    `compressed` is said on the first frame of a message only (RFC 7692 section 6). Errors: ValueError for a control frame that is too long.
    """
    first = (opcode | _FIN if fin else opcode) | (_RSV1 if compressed else 0)
    if opcode >= CLOSE and len(payload) > MAX_CONTROL:
        raise ValueError(f"a {_NAMES[opcode]} frame takes {MAX_CONTROL} bytes at most, not {len(payload)} (RFC 6455 section 5.5)")
    return framed(first, payload)


# --- the close frame


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame carries (section 5.5.1); nothing for 1005, which is how "no code" is told.

    Errors: ValueError for a code that can't be sent, a reason without a code, or one of more than 123 bytes of UTF-8.
    """
    if code == NO_CODE and not reason:
        return b""
    if not _may_be_sent(code):
        raise ValueError(f"{code} can't be sent as a close code: 1000 to 1003, 1007 to 1014 and 3000 to 4999 can (RFC 6455 section 7.4)")
    told = reason.encode()
    if len(told) > MAX_CONTROL - 2:
        raise ValueError(f"the reason of a close has {MAX_CONTROL - 2} bytes of UTF-8 at most, not {len(told)} (RFC 6455 section 5.5)")
    return _CODE.pack(code) + told


def parse_close(payload: bytes) -> tuple[int, str]:
    """The code and the reason of a close frame; 1005 where it has none (section 7.1.5).

    Errors: RemoteProtocolError for a single byte, a code that can't be sent, a reason that is no UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        raise _broken("a close frame of one byte, where a code has two", "5.5.1")
    [code] = _CODE.unpack_from(payload)
    if not _may_be_sent(code):
        raise _broken(f"the close code {code}, which can't be sent", "7.4")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        message = f"WebSocket: the reason of a close ({code}) is no UTF-8, byte {error.start} (RFC 6455 section 5.5.1)"
        raise RemoteProtocolError(message, close_code=INVALID_DATA) from None


def _may_be_sent(code: int) -> bool:
    # Sections 7.4.1 and 7.4.2, and IANA's registry: 1012 to 1014 came later. 1004 to 1006 and 1015 are never on the wire.
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


# --- faults


def _broken(what: str, section: str, rfc: int = 6455) -> RemoteProtocolError:
    return RemoteProtocolError(f"WebSocket: {what} (RFC {rfc} section {section})", close_code=PROTOCOL_ERROR)


def too_long(max_message: int) -> LimitExceeded:
    """The error of a message that passes `max_message`, whoever finds it out."""
    message = f"WebSocket: a message of more than {max_message} bytes; raise it with max_message=..."
    return LimitExceeded(message, limit="max_message", close_code=TOO_BIG)


def _refused() -> RemoteProtocolError:
    return RemoteProtocolError("WebSocket: nothing more is read from this connection: an earlier error was already met")
