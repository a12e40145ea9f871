"""The response parser in plain Python: the grammar of RFC 9112, paragraph by paragraph, and the reference for the compiled twin.

The contract is in `parser.py`, the decisions in `framing.py`. Each step takes the bytes from `at` to `end`, goes on where the last
feed stopped, and says how far it came; a token that a feed cuts is kept, every byte is looked at once. Knows no socket, loop or URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import framing

if TYPE_CHECKING:
    from .config import Limits
    from .parser import Receiver

__all__ = ["ChunkedDecoder", "ResponseParser", "find"]

CR, LF, HTAB, SP, COLON, SEMICOLON = b"\r\n\t :;"
PREFIX = b"HTTP/1."


def _first_not_in(allowed: frozenset[int]) -> re.Pattern[bytes]:
    return re.compile(b"[^" + b"".join(rb"\x%02x" % byte for byte in sorted(allowed)) + b"]", re.DOTALL)


_NOT_TOKEN = _first_not_in(framing.TOKEN)
_NOT_TEXT = _first_not_in(framing.TEXT)
_NOT_SPACE = _first_not_in(frozenset(b" \t"))
_NOT_HEX = _first_not_in(frozenset(b"0123456789abcdefABCDEF"))


def _skip(stop: re.Pattern[bytes], data: memoryview, at: int, end: int) -> int:
    found = stop.search(data, at, end)
    return found.start() if found else end


def find(fields: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of the first field called `name`, which is given in lower case; None where there is none."""
    for key, value in fields:
        if len(key) == len(name) and key.lower() == name:
            return value
    return None


class _Section:
    """A header or trailer section: field lines, then an empty one (RFC 9112 section 5)."""

    LINE, NAME, BEFORE_VALUE, VALUE, VALUE_LF, LAST_LF, COMPLETE = range(7)

    def __init__(self, limits: Limits, kind: str) -> None:
        self.cap = limits.headers
        self.kind = kind
        self.kept = bytearray()
        self.reset()

    def reset(self) -> None:
        self.state = self.LINE
        self.fields: list[tuple[bytes, bytes]] = []
        self.number = 0
        self.name = self.value = b""
        self.kept.clear()

    def line(self) -> str:
        return f"{self.kind} line {self.number}"

    def take(self, data: memoryview, start: int, at: int) -> bytes:
        if not self.kept:
            return bytes(data[start:at])
        self.kept += data[start:at]
        token = bytes(self.kept)
        self.kept.clear()
        return token

    def scan(self, data: memoryview, at: int, end: int) -> int:
        while at < end:
            # *( field-line CRLF ) CRLF; what begins with a space would be obs-fold (section 5.2): refused
            if self.state == self.LINE:
                if data[at] == CR:
                    at += 1
                    self.state = self.LAST_LF
                else:
                    self.number += 1
                    if data[at] not in framing.TOKEN:
                        raise framing.bad_line_start(self.line(), data[at])
                    if self.number > self.cap:
                        raise framing.limit_exceeded("headers", self.cap)
                    self.state = self.NAME

            # field-name = token, the colon right behind it (section 5.1)
            if self.state == self.NAME:
                start, at = at, _skip(_NOT_TOKEN, data, at, end)
                if at == end:
                    self.kept += data[start:at]
                    return at
                if data[at] != COLON:
                    raise framing.bad_name(self.line(), data[at])
                self.name = self.take(data, start, at)
                at += 1
                self.state = self.BEFORE_VALUE

            # OWS
            if self.state == self.BEFORE_VALUE:
                at = _skip(_NOT_SPACE, data, at, end)
                if at == end:
                    return at
                self.state = self.VALUE

            # field-value, OWS behind it cut off
            if self.state == self.VALUE:
                start, at = at, _skip(_NOT_TEXT, data, at, end)
                if at == end:
                    self.kept += data[start:at]
                    return at
                if data[at] != CR:
                    raise framing.bad_value(self.line(), self.name, data[at])
                self.value = self.take(data, start, at).rstrip(b" \t")
                at += 1
                self.state = self.VALUE_LF

            # CRLF
            if self.state == self.VALUE_LF:
                if at == end:
                    return at
                if data[at] != LF:
                    raise framing.bad_line_end(self.line(), data[at])
                at += 1
                self.fields.append((self.name, self.value))
                self.state = self.LINE

            elif self.state == self.LAST_LF:
                if at == end:
                    return at
                if data[at] != LF:
                    raise framing.bad_line_end("the empty line", data[at])
                self.state = self.COMPLETE
                return at + 1
        return at


class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 section 7.1), without a message around it.

    `feed(data)` returns what `data` held of the body, in one piece; `done` says that the last chunk and the trailer section were
    read, `trailers` what stood there, `rest()` the bytes behind. Raises `RemoteProtocolError` or `LimitExceeded`, then takes no more.
    """

    SIZE, BEFORE_EXTENSION, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, DONE, BROKEN = range(10)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._section = _Section(limits, "trailer")
        self._rest = bytearray()
        self._parts: list[memoryview] = []
        self._reset()

    def _reset(self) -> None:
        self._state = self.SIZE
        self._size = self._digits = 0
        self._spaced = False
        self._extension_left = self._limits.chunk_extensions
        self._trailers_left = self._limits.trailers + 2  # the empty line is no trailer
        self._section.reset()

    @property
    def done(self) -> bool:
        return self._state == self.DONE

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        return self._section.fields if self.done else []

    def rest(self) -> bytes:
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        if self._state == self.BROKEN:
            raise framing.refused()
        with memoryview(data) as whole, whole.cast("B") as view:
            try:
                at = self._scan(view, 0, len(view))
                self._rest += view[at:]
                return self._take()
            except BaseException:
                self._state = self.BROKEN
                raise
            finally:
                self._parts.clear()

    def _take(self) -> bytes:
        body = b"".join(self._parts)
        self._parts.clear()
        return body

    def _scan(self, data: memoryview, at: int, end: int) -> int:
        while at < end:
            # chunk-size = 1*HEXDIG
            if self._state == self.SIZE:
                start, at = at, _skip(_NOT_HEX, data, at, end)
                for byte in bytes(data[start : min(at, start + framing.MAX_SIZE_DIGITS + 1)]):
                    if self._digits == framing.MAX_SIZE_DIGITS:
                        raise framing.chunk_size_overflow()
                    self._size = self._size << 4 | int(chr(byte), 16)
                    self._digits += 1
                if at == end:
                    return at
                if self._digits == 0:
                    raise framing.bad_chunk_size(data[at])
                self._spaced = False
                self._state = self.BEFORE_EXTENSION

            # BWS only before ";" (section 7.1.1); all up to the CR counts as extension
            if self._state == self.BEFORE_EXTENSION:
                start, at = at, _skip(_NOT_SPACE, data, at, end)
                self._spend(at - start)
                self._spaced = self._spaced or at > start
                if at == end:
                    return at
                if data[at] == SEMICOLON:
                    self._state = self.EXTENSION
                elif data[at] == CR and not self._spaced:
                    at += 1
                    self._state = self.SIZE_LF
                else:
                    raise framing.bad_chunk_size(data[at])

            # chunk-ext: tolerated unread
            if self._state == self.EXTENSION:
                start, at = at, _skip(_NOT_TEXT, data, at, end)
                self._spend(at - start)
                if at == end:
                    return at
                if data[at] != CR:
                    raise framing.bad_chunk_extension(data[at])
                at += 1
                self._state = self.SIZE_LF

            # CRLF; the last chunk has the size 0
            if self._state == self.SIZE_LF:
                if at == end:
                    return at
                if data[at] != LF:
                    raise framing.bad_line_end("chunk size", data[at])
                at += 1
                self._digits = 0
                self._state = self.DATA if self._size else self.TRAILERS

            # chunk-data
            if self._state == self.DATA:
                count = min(end - at, self._size)
                if count:
                    self._parts.append(data[at : at + count])
                at += count
                self._size -= count
                if self._size:
                    return at
                self._state = self.DATA_CR

            # CRLF
            if self._state == self.DATA_CR:
                if at == end:
                    return at
                if data[at] != CR:
                    raise framing.bad_chunk_end(data[at])
                at += 1
                self._state = self.DATA_LF

            if self._state == self.DATA_LF:
                if at == end:
                    return at
                if data[at] != LF:
                    raise framing.bad_line_end("chunk data", data[at])
                at += 1
                self._state = self.SIZE

            # trailer-section CRLF (section 7.1.2)
            elif self._state == self.TRAILERS:
                stop = min(end, at + self._trailers_left)
                start, at = at, self._section.scan(data, at, stop)
                self._trailers_left -= at - start
                if self._section.state == _Section.COMPLETE:
                    self._state = self.DONE
                elif stop < end:
                    raise framing.limit_exceeded("trailers", self._limits.trailers)

            elif self._state == self.DONE:
                return at
        return at

    def _spend(self, count: int) -> None:
        self._extension_left -= count
        if self._extension_left < 0:
            raise framing.limit_exceeded("chunk_extensions", self._limits.chunk_extensions)


class ResponseParser:
    """One response after another (RFC 9112); see `parser.py` for the contract."""

    IDLE, STATUS, AFTER_STATUS, REASON, STATUS_LF, FIELDS, SIZED, CHUNKED, UNTIL_CLOSE, DONE, BROKEN = range(11)

    def __init__(self, receiver: Receiver, limits: Limits) -> None:
        self._receiver = receiver
        self._limits = limits
        self._section = _Section(limits, "field")
        self._chunks = ChunkedDecoder(limits)
        self._rest = bytearray()
        self._busy = False
        self._method = ""
        self._reset()
        self._state = self.IDLE

    def _reset(self) -> None:
        self.started = self.done = self.keep_alive = self.upgraded = self.close_delimited = False
        self.content_length: int | None = None
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

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        if self._busy:
            raise RuntimeError("feed() inside a callback of the same parser")
        if self._state == self.BROKEN:
            raise framing.refused()
        with memoryview(data) as whole, whole.cast("B") as view:
            self._busy = True
            try:
                self._message(view, 0, len(view))
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
                self._left -= count
                self._receiver.on_body(bytes(data[at : at + count]))
                at += count
                if self._left == 0:
                    self._finish([])

            # chunks, those of one feed in one piece, also before an error,
            elif self._state == self.CHUNKED:
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

    def _head(self, data: memoryview, at: int, end: int) -> int:
        stop = min(end, at + self._head_left)
        start, at = at, self._status_line(data, at, stop)
        if self._state == self.FIELDS:
            at = self._section.scan(data, at, stop)
        self._head_left -= at - start
        if self._section.state == _Section.COMPLETE:
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
            start, at = at, _skip(_NOT_TEXT, data, at, end)
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
        self._receiver.on_head(version, status, reason, fields)
        if kind == framing.CHUNKED:
            self._chunks._reset()
            self._state = self.CHUNKED
        elif kind == framing.UNTIL_CLOSE:
            self._state = self.UNTIL_CLOSE
        elif kind == framing.SIZED and length:
            self._left = length
            self._state = self.SIZED
        else:
            self._finish([])

    def _finish(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._state = self.DONE
        self.done = True
        self._receiver.on_end(trailers)
