"""The chunked transfer coding in plain Python: chunk sizes, extensions, data and trailer section. Knows no message around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import framing
from ._fields_py import CR, LF, NOT_HEX, NOT_SPACE, NOT_TEXT, SEMICOLON, Section, skip
from .headers import Fields

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from .config import Limits


class ChunkedDecoder:
    """The chunked transfer coding (RFC 9112 section 7.1), without a message around it.

    `feed(data)` returns what `data` held of the body, in one piece; `done` says that the last chunk and the trailer section were
    read, `trailers` what stood there, `rest()` the bytes behind. Raises `RemoteProtocolError` or `LimitExceeded`, then takes no more.
    `ends`, where somebody has put a list there, gets how many bytes of the body lie before the end of each chunk.
    """

    SIZE, BEFORE_EXTENSION, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILERS, DONE, BROKEN = range(10)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._section = Section(limits, "trailer")
        self._rest = bytearray()
        self._parts: list[memoryview] = []
        self.ends: MutableSequence[int] | None = None
        self._reset()

    def _reset(self) -> None:
        self._state = self.SIZE
        self._size = self._digits = self._total = 0
        self._spaced = False
        self._extension_left = self._limits.chunk_extensions
        self._trailers_left = self._limits.trailers + 2  # the empty line is no trailer
        self._section.reset()

    @property
    def done(self) -> bool:
        return self._state == self.DONE

    @property
    def trailers(self) -> Fields:
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
                start, at = at, skip(NOT_HEX, data, at, end)
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
                start, at = at, skip(NOT_SPACE, data, at, end)
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
                start, at = at, skip(NOT_TEXT, data, at, end)
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
                self._total += count
                if self._size:
                    return at
                if self.ends is not None:
                    self.ends.append(self._total)
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
                if self._section.state == Section.COMPLETE:
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
