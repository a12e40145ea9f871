"""Text, lines and JSON lines from a body that is still arriving. Whatever way the bytes were cut, what comes out is the same.

Plain iterators, so that leaving a loop early leaves nothing to finalise. Knows pieces of bytes and a charset, no response.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, AnyStr, Generic, Protocol, TypeVar

from .config import check_count
from .errors import AioreqError, DecodeError, LimitExceeded
from .pieces import PieceSource

if TYPE_CHECKING:
    from .models import Request

__all__ = ["JSONLines", "Lines", "TextDecoder", "Texts", "byte_lines", "text_lines"]

_T_co = TypeVar("_T_co", covariant=True)

_NATIVE = "le" if sys.byteorder == "little" else "be"
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# The charsets whose text may begin with a mark that isn't text, and what follows it; None stands for no declared charset. Python's own
# incremental decoders refuse UTF-16 without a mark, and lose two bytes of a mark cut short.
_MARKS: dict[str | None, tuple[dict[bytes, str], str]] = {
    None: ({codecs.BOM_UTF8: "utf-8", **_UTF_16}, "utf-8"),
    "utf-8-sig": ({codecs.BOM_UTF8: "utf-8"}, "utf-8"),
    "utf-16": (_UTF_16, f"utf-16-{_NATIVE}"),
    "utf-32": ({codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"}, f"utf-32-{_NATIVE}"),
}
# How many pieces in a row, and bytes of them, may be held for an escape sequence that isn't finished: 15 bytes decide about any one.
_MOST_OVERFLOWS, _MOST_OVERFLOWING = 16, 256


class TextDecoder:
    """Decodes text piece by piece to exactly what `bytes.decode` makes of the whole; bytes that don't fit become U+FFFD.

    `charset` is the declared one, by Python's name; None looks for a byte order mark, then takes UTF-8. Where ISO 2022 is nothing but
    false escape sequences, there may be a U+FFFD more or less: else all of it would have to be held.
    """

    __slots__ = ("_charset", "_decoder", "_held", "_may_overflow", "_overflows")

    def __init__(self, charset: str | None) -> None:
        self._charset = charset
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""
        # Python's decoders of ISO 2022 hold 8 bytes of an escape sequence, and fail where a false one is longer (16 at most).
        self._may_overflow = (charset or "").startswith("iso2022")
        self._overflows = 0  # in a row

    def decode(self, data: bytes, final: bool = False) -> str:
        """The text of these bytes, as far as it is certain; all of it where they are the final ones."""
        if self._held:
            data, self._held = self._held + data, b""
        if self._decoder is None:
            data = self._begin(data, final)
            if self._decoder is None:
                return ""
        if not self._may_overflow:
            return self._decoder.decode(data, final)
        state = self._decoder.getstate()
        try:
            decoded = self._decoder.decode(data, final)
        except UnicodeError:
            self._decoder.setstate(state)
            self._overflows += 1
            if self._overflows < _MOST_OVERFLOWS or len(data) < _MOST_OVERFLOWING:
                self._held = data
                return ""
            decoded = self._decoder.decode(data, final=True)
        self._overflows = 0
        return decoded

    def _begin(self, data: bytes, final: bool) -> bytes:
        marks, charset = _MARKS.get(self._charset, ({}, self._charset or ""))
        if not final and any(len(data) < len(mark) and mark.startswith(data) for mark in marks):
            self._held = data
            return b""
        for mark, of_mark in marks.items():
            if data.startswith(mark):
                data, charset = data[len(mark) :], of_mark
                break
        self._decoder = codecs.getincrementaldecoder(charset)("replace")
        return data


class _Source(Protocol[_T_co]):
    async def __anext__(self) -> _T_co: ...
    def fail(self, error: AioreqError) -> AioreqError: ...


class _Buffer(Protocol[AnyStr]):
    def write(self, data: AnyStr, /) -> int: ...
    def getvalue(self) -> AnyStr: ...


class Texts(AsyncIterator[str]):
    """The text of a body, in pieces of any length, none of them empty. Errors: those of the pieces of bytes."""

    __slots__ = ("_decoder", "_ended", "_pieces")

    def __init__(self, pieces: PieceSource, charset: str | None) -> None:
        self._pieces = pieces
        self._decoder = TextDecoder(charset)
        self._ended = False

    async def __anext__(self) -> str:
        while not self._ended:
            try:
                piece = await self._pieces.__anext__()
            except StopAsyncIteration:
                self._ended = True
                piece = b""
            if text := self._decoder.decode(piece, self._ended):
                return text
        raise StopAsyncIteration

    def fail(self, error: AioreqError) -> AioreqError:
        """The same error, once the rest of the body was given up."""
        return self._pieces.fail(error)


class Lines(AsyncIterator[AnyStr], Generic[AnyStr]):
    r"""The lines of a body, without their ends; also the last one where it has none.

    Lines of text end with \n, \r\n or \r, lines of bytes with \n. `max_line` is the longest that may come, without its end, None for no
    limit: LimitExceeded behind the lines before it.
    """

    __slots__ = ("_after_cr", "_buffer", "_ended", "_held", "_ready", "_seen", "_size", "_source", "_too_long", "_unit", "max_line")

    def __init__(self, source: _Source[AnyStr], buffer: Callable[[], _Buffer[AnyStr]], unit: str) -> None:
        self._source: _Source[AnyStr] = source
        self._buffer: Callable[[], _Buffer[AnyStr]] = buffer
        self._held: _Buffer[AnyStr] = buffer()  # the beginning of a line; not a list: a piece may be a single byte
        self._unit = unit
        self._size = 0
        self._ready: deque[AnyStr] = deque()
        self._seen = 0
        self._after_cr = False
        self._ended = False
        self._too_long: str | None = None  # what is wrong; no error, for its traceback would refer back to here
        self.max_line: int | None = None

    def up_to(self, max_line: int | None) -> Lines[AnyStr]:
        """This iterator, from now on with that limit."""
        if max_line is not None:
            check_count("lines", "max_line", max_line, 1)
        self.max_line = max_line
        return self

    async def __anext__(self) -> AnyStr:
        while not self._ready:
            if self._too_long is not None:
                raise self._source.fail(LimitExceeded(self._too_long, limit="max_line"))
            if self._ended:
                raise StopAsyncIteration
            await self._read()
        return self._ready.popleft()

    async def _read(self) -> None:
        try:
            piece = await self._source.__anext__()
        except StopAsyncIteration:
            self._ended = True
            if self._size:
                self._ready.append(self._whole())
            return
        most = self.max_line
        perhaps_too_long = most is not None and self._size + len(piece) > most
        lines = self._split(piece)
        rest = lines.pop()
        if lines and self._size:
            self._held.write(lines[0])
            lines[0] = self._whole()
        if rest:
            self._held.write(rest)
            self._size += len(rest)
        if perhaps_too_long and most is not None:
            self._check(lines, most)
        self._seen += len(lines)
        self._ready.extend(lines)

    def _split(self, piece: AnyStr) -> list[AnyStr]:
        if isinstance(piece, bytes):
            return piece.split(b"\n")
        if self._after_cr and piece.startswith("\n"):
            piece = piece[1:]
        self._after_cr = piece.endswith("\r")
        if "\r" in piece:
            piece = piece.replace("\r\n", "\n").replace("\r", "\n")
        return piece.split("\n")

    def _whole(self) -> AnyStr:
        line = self._held.getvalue()
        self._held = self._buffer()
        self._size = 0
        return line

    def _check(self, lines: list[AnyStr], most: int) -> None:
        """Cut off what comes behind the last line before one that is too long."""
        fitting = next((number for number, line in enumerate(lines) if len(line) > most), len(lines))
        if fitting == len(lines) and self._size <= most:
            return
        del lines[fitting:]
        self._whole()
        number = self._seen + fitting + 1
        self._too_long = f"line {number} of the body is longer than {most} {self._unit}: raise it with max_line=..., or read it in pieces"


def text_lines(texts: Texts) -> Lines[str]:
    return Lines(texts, io.StringIO, "characters")


def byte_lines(pieces: PieceSource) -> Lines[bytes]:
    return Lines(pieces, io.BytesIO, "bytes")


class JSONLines(AsyncIterator[Any]):
    """The values of newline-delimited JSON, one a line; lines of nothing but whitespace are skipped.

    Errors: DecodeError that names the line (`.partial` is the line); the next line can be asked for all the same. `what` is what the body
    is called in it.
    """

    __slots__ = ("_lines", "_loads", "_number", "_request", "_what")

    def __init__(self, lines: Lines[bytes], what: str, request: Request) -> None:
        self._lines = lines
        self._request = request
        self._number = 0
        self._what = what
        self._loads: Callable[[bytes], Any] | None = None

    def reading(self, loads: Callable[[bytes], Any] | None, max_line: int | None) -> JSONLines:
        """This iterator, from now on with that reader of a line (None: `json.loads`) and that limit."""
        if loads is None:
            import json

            loads = json.loads
        self._loads = loads
        self._lines.up_to(max_line)
        return self

    async def __anext__(self) -> Any:
        while True:
            line = await self._lines.__anext__()
            self._number += 1
            if line and not line.isspace():
                return self._value(line)

    def _value(self, line: bytes) -> Any:
        assert self._loads is not None
        try:
            return self._loads(line)
        except (ValueError, RecursionError) as error:
            message = f"line {self._number} of {self._what} is no JSON ({len(line)} bytes): {error}"
            raise DecodeError(message, request=self._request, partial=line) from error
