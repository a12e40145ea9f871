"""The response parser in plain Python: the grammar of RFC 9112, paragraph by paragraph, and the reference for the compiled twin.

The contract is in `parser.py`, the decisions in `framing.py`; field lines are read in `_fields_py.py`, chunks in `_chunked_py.py`.
Knows no socket, loop or URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import framing
from ._chunked_py import ChunkedDecoder
from ._fields_py import CR, LF, NOT_TEXT, SP, Section, find, skip
from ._gathered_py import Gathered
from .headers import Fields

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from typing_extensions import Buffer

    from .config import Limits
    from .parser import Receiver

__all__ = ["ChunkedDecoder", "ResponseParser", "find"]

PREFIX = b"HTTP/1."


class ResponseParser:
    """One response after another (RFC 9112); see `parser.py` for the contract."""

    IDLE, STATUS, AFTER_STATUS, REASON, STATUS_LF, FIELDS, SIZED, CHUNKED, UNTIL_CLOSE, DONE, BROKEN = range(11)

    def __init__(self, receiver: Receiver, limits: Limits) -> None:
        self._receiver = receiver
        self._limits = limits
        self._section = Section(limits, "field")
        self._chunks: ChunkedDecoder | None = None  # with the first body that has chunks
        self._rest = bytearray()
        self._busy = False
        self._method = ""
        self._reset()
        self._state = self.IDLE

    def _reset(self) -> None:
        self.started = self.done = self.keep_alive = self.upgraded = self.close_delimited = False
        self.content_length: int | None = None
        self.chunk_ends: MutableSequence[int] | None = None
        self._gathered: Gathered | None = None
        self._room: memoryview | None = None
        self._in_one = False
        self._left = self._informational = 0
        self._next_head()

    def _next_head(self) -> None:
        self._state = self.STATUS
        self._position = self._minor = self._status = 0
        self._reason = b""
        self._head_left = self._limits.head

    def expect(self, method: str) -> None:
        if self._state == self.BROKEN:
            raise framing.refused()
        if self.started and not self.done:
            raise RuntimeError("expect() in the middle of a response")
        self._method = method
        self._reset()

    def rest(self) -> bytes:
        if not self._rest:
            return b""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def feed_eof(self) -> bool:
        if self._busy:
            raise RuntimeError("feed_eof() inside a callback of the same parser")
        if self._state == self.UNTIL_CLOSE:
            try:
                self._finish([])
            except BaseException:
                self._state = self.BROKEN
                raise
        elif not self.done:
            self._state = self.BROKEN
        return self.done

    def feed(self, data: Buffer, size: int = -1) -> None:
        if self._busy:
            raise RuntimeError("feed() inside a callback of the same parser")
        if self._state == self.BROKEN:
            raise framing.refused()
        if self._room is not None and data is self._room:
            self._room = None
            self._landed(size)
            return
        with memoryview(data) as whole, whole.cast("B") as view:
            self._busy = True
            try:
                self._message(view, 0, len(view) if size < 0 else min(size, len(view)))
            except BaseException:
                self._state = self.BROKEN
                raise
            finally:
                self._busy = False

    @property
    def gathering(self) -> bool:
        return self._gathered is not None

    @property
    def gathered(self) -> bytes:
        return b"" if self._gathered is None else self._gathered.copy()

    def room(self) -> memoryview:
        if self._gathered is None:
            raise RuntimeError("room() outside a body that is being gathered")
        self._room = None
        self._room = self._gathered.room()
        return self._room

    def _landed(self, size: int) -> None:
        gathered = self._gathered
        assert gathered is not None
        if not 0 <= size <= len(gathered.room()):
            raise ValueError(f"feed(room, {size}): that isn't the size of what came")
        self._busy = True
        try:
            if size > self._left:
                self._rest.append(gathered.room()[self._left])
                size = self._left
            self._gather(gathered, size)
        except BaseException:
            self._state = self.BROKEN
            raise
        finally:
            self._busy = False

    def _message(self, data: memoryview, at: int, end: int) -> None:
        while at < end:
            # what stands behind the message, or comes unasked, is for rest()
            if self._state == self.IDLE or self._state == self.DONE:
                self._rest += data[at:end]
                return

            # HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ] (section 2.1)
            if self._state <= self.FIELDS:
                self.started = True
                at = self._head(data, at, end)

            # message-body (section 6): so many bytes,
            elif self._state == self.SIZED:
                count = min(end - at, self._left)
                if self._in_one and (count < self._left or self._gathered is not None):
                    if self._gathered is None:
                        self._gathered = Gathered(self._left)
                    self._gathered.room(count)[:count] = data[at : at + count]
                    self._gather(self._gathered, count)
                else:
                    self._left -= count
                    self._receiver.on_body(bytes(data[at : at + count]))
                    if self._left == 0:
                        self._finish([])
                at += count

            # chunks, those of one feed in one piece, also before an error,
            elif self._state == self.CHUNKED:
                assert self._chunks is not None
                try:
                    at = self._chunks._scan(data, at, end)
                finally:
                    body = self._chunks._take()
                    if body:
                        self._receiver.on_body(body)
                if self._chunks.done:
                    self._finish(self._chunks.trailers)

            # or all there is
            else:
                self._receiver.on_body(bytes(data[at:end]))
                at = end

    def _gather(self, gathered: Gathered, count: int) -> None:
        self._left -= count
        gathered.filled += count
        if self._left == 0:
            self._gathered = None
            self._receiver.on_body(gathered.copy())
            self._finish([])

    def _head(self, data: memoryview, at: int, end: int) -> int:
        stop = min(end, at + self._head_left)
        start, at = at, self._status_line(data, at, stop)
        if self._state == self.FIELDS:
            at = self._section.scan(data, at, stop)
        self._head_left -= at - start
        if self._section.state == Section.COMPLETE:
            self._complete_head()
        elif stop < end:
            raise framing.limit_exceeded("head", self._limits.head)
        return at

    def _status_line(self, data: memoryview, at: int, end: int) -> int:
        # HTTP-version SP status-code (section 4): position 0 to 11
        while self._state == self.STATUS and at < end:
            byte = data[at]
            if self._position < 7:
                good = byte == PREFIX[self._position]
            elif self._position == 7:
                good = 0x30 <= byte <= 0x31
                self._minor = byte - 0x30
            elif self._position == 8:
                good = byte == SP
            else:
                good = 0x30 <= byte <= 0x39 if self._position > 9 else 0x31 <= byte <= 0x35
                self._status = self._status * 10 + byte - 0x30
            if not good:
                raise framing.bad_status_line(self._position, byte)
            at += 1
            self._position += 1
            if self._position == 12:
                self._state = self.AFTER_STATUS

        # SP; without a reason it may be missing
        if self._state == self.AFTER_STATUS:
            if at == end:
                return at
            if data[at] == SP:
                self._state = self.REASON
            elif data[at] == CR:
                self._state = self.STATUS_LF
            else:
                raise framing.bad_status_line(12, data[at])
            at += 1

        # reason-phrase
        if self._state == self.REASON:
            start, at = at, skip(NOT_TEXT, data, at, end)
            if at == end:
                self._section.kept += data[start:at]
                return at
            if data[at] != CR:
                raise framing.bad_reason(data[at])
            self._reason = self._section.take(data, start, at)
            at += 1
            self._state = self.STATUS_LF

        # CRLF
        if self._state == self.STATUS_LF:
            if at == end:
                return at
            if data[at] != LF:
                raise framing.bad_line_end("status line", data[at])
            at += 1
            self._state = self.FIELDS
        return at

    def _complete_head(self) -> None:
        fields = self._section.fields
        self._section.reset()
        if self._limits.field is not None and self._limits.head - self._head_left > self._limits.field:
            framing.check_lengths(fields, self._limits.field)
        framers: dict[bytes, list[bytes]] = {b"content-length": [], b"transfer-encoding": [], b"connection": []}
        for name, value in fields:
            values = framers.get(name.lower())
            if values is not None:
                values.append(value)
        version, status, reason = framing.VERSIONS[self._minor], self._status, self._reason
        kind, length, keep_alive = framing.decide(self._method, status, self._minor, *framers.values())

        if kind == framing.INFORMATIONAL:
            self._informational += 1
            if self._informational > self._limits.informational:
                raise framing.limit_exceeded("informational", self._limits.informational)
            self._next_head()
            self._receiver.on_head(version, status, reason, fields)
            return

        self.content_length = length
        self.keep_alive = keep_alive
        self.upgraded = kind == framing.UPGRADED
        self.close_delimited = kind == framing.UNTIL_CLOSE
        self._in_one = self._receiver.on_head(version, status, reason, fields) is True
        if kind == framing.CHUNKED:
            if self._chunks is None:
                self._chunks = ChunkedDecoder(self._limits)
            self._chunks._reset()
            self._chunks.ends = self.chunk_ends
            self._state = self.CHUNKED
        elif kind == framing.UNTIL_CLOSE:
            self._state = self.UNTIL_CLOSE
        elif kind == framing.SIZED and length:
            self._left = length
            self._state = self.SIZED
        else:
            self._finish([])

    def _finish(self, trailers: Fields) -> None:
        self._state = self.DONE
        self.done = True
        self._receiver.on_end(trailers)
