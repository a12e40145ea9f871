r"""A multipart body that is still arriving, part by part (RFC 2046 section 5.1.1). Knows pieces of bytes, no response.

    [preamble CRLF] --boundary *(SP / HTAB) CRLF  fields CRLF  content  CRLF --boundary ...  CRLF --boundary-- [epilogue]

However the bytes were cut, the parts are the same, and so is the verdict. What is held is a delimiter's length of content, or the header
section of one part. Lines end with CRLF; a line that only begins as the delimiter does is content.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .config import check_count
from .errors import AioreqError, DecodeError, LimitExceeded, LocalProtocolError
from .headers import Fields, text
from .media_type import parse_media_type
from .pieces import PieceSource
from .response_body import body_too_large
from .response_headers import ResponseHeaders

if TYPE_CHECKING:
    from .models import Request

__all__ = ["MultipartReader", "Part", "PartContent"]

_LONGEST_BOUNDARY = 70  # RFC 2046 section 5.1.1
# What makes a delimiter of a line that begins as one: its end, or "--". The padding is bounded, since it has to be held.
_LINE_END = re.compile(rb"--|[ \t]{0,100}\r\n")
_PERHAPS_LINE_END = re.compile(rb"-?|[ \t]{0,100}\r?")
_FOLD = re.compile(rb"\r\n[ \t]+")  # mail's software writes such lines, and this grammar is mail's (RFC 5322 section 2.2.3)
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")


class MultipartReader(AsyncIterator["Part"]):
    """The parts of a multipart body, one after another; what of a part wasn't read is skipped when the next one is asked for.

    `what` is what the body is called in errors. Errors: DecodeError where the body breaks the grammar or ends before its last delimiter;
    LimitExceeded for more than `max_parts`, or the fields of a part (`Limits.head` bytes, `Limits.headers` of them); the pieces' own.
    """

    # In no state is there a reference to a part: it refers to the reader.
    __slots__ = ("_delimiter", "_ended", "_from", "_held", "_in_part", "_max_parts", "_skip", "_source", "number", "request", "what")

    def __init__(self, source: PieceSource, boundary: bytes, request: Request, what: str, max_parts: int) -> None:
        check_count("parts", "max_parts", max_parts)
        self._source = source
        self._delimiter = b"\r\n--" + boundary
        self._max_parts = max_parts
        self.request = request
        self.what = what
        self.number = 0  # of the part that is being read; 0 is the preamble
        self._in_part = True
        self._ended = False
        # A delimiter begins with the CRLF before it, which at the beginning of the body or of a part's content is somebody else's.
        self._held = bytearray(b"\r\n")
        self._skip = 2
        self._from = 0  # where in `_held` the next delimiter may begin

    @classmethod
    def of(cls, content_type: bytes | None, source: PieceSource, request: Request, what: str, max_parts: int) -> MultipartReader:
        """A reader for a body with this Content-Type field; DecodeError where it is no multipart."""
        name, params = parse_media_type(content_type)
        boundary = params.get("boundary", "").rstrip(" \t").encode("utf-8", "surrogateescape")
        if name.startswith("multipart/") and 1 <= len(boundary) <= _LONGEST_BOUNDARY:
            return cls(source, boundary, request, what, max_parts)
        kind = (content_type or b"no Content-Type").decode("utf-8", "backslashreplace")
        why = (
            f"a boundary has 1 to {_LONGEST_BOUNDARY} characters"
            if name.startswith("multipart/")
            else "its Content-Type names another kind"
        )
        raise DecodeError(f"{what} is no multipart ({kind}): {why}", request=request)

    async def __anext__(self) -> Part:
        while await self._piece():
            pass
        if self._ended:
            raise StopAsyncIteration
        self.number += 1
        if self.number > self._max_parts:
            message = f"{self.what} has more than {self._max_parts} parts: raise it with parts(max_parts=...)"
            raise self.fail(LimitExceeded(message, limit="max_parts"))
        headers = ResponseHeaders(await self._fields())
        self._in_part = True
        return Part(self, headers)

    def fail(self, error: AioreqError) -> AioreqError:
        """The same error, once the rest of the body was given up."""
        return self._source.fail(error)

    async def piece_of(self, number: int) -> bytes:
        """The next piece of that part's content; b"" at its end. Errors: LocalProtocolError where the next part was asked for already."""
        if number != self.number:
            raise LocalProtocolError(f"part {number} of {self.what} is gone: the next one was asked for before it was read")
        return await self._piece()

    async def _piece(self) -> bytes:
        held, delimiter = self._held, self._delimiter
        while self._in_part:
            at = held.find(delimiter, self._from)
            if at == 0 and (line_end := _LINE_END.match(held, len(delimiter))):
                self._in_part = False
                self._ended = line_end[0] == b"--"
                del held[: line_end.end() - 2]  # a CRLF stays: before the fields, or before the empty line where there are none
                break
            if at == 0 and _PERHAPS_LINE_END.fullmatch(held, len(delimiter)):
                await self._read()
                continue
            if at == 0:
                self._from = 1
                continue
            if at < 0:
                # The delimiter has one CR, at its beginning: what may become one begins with the last CR there is.
                at = held.rfind(b"\r", max(self._from, len(held) - len(delimiter) + 1))
                if at < 0 or not delimiter.startswith(held[at:]):
                    at = len(held)
            if at == 0:
                await self._read()
                continue
            with memoryview(held) as view:
                piece = bytes(view[self._skip : at])
            del held[:at]
            self._skip = self._from = 0
            if piece:
                return piece
        return b""

    async def _fields(self) -> Fields:
        """The header section of a part, between the delimiter's CRLF and an empty line."""
        held, limits = self._held, self.request.terms.limits
        searched = 0
        while (end := held.find(b"\r\n\r\n", searched)) < 0 and len(held) - 3 <= limits.head:
            searched = max(0, len(held) - 3)
            await self._read()
        if end < 0 or end > limits.head:
            message = f"the header section of part {self.number} of {self.what} is longer than {limits.head} bytes: raise Limits(head=...)"
            raise self.fail(LimitExceeded(message, limit="head"))
        lines = _FOLD.sub(b" ", bytes(held[2:end])).split(b"\r\n") if end > 2 else []
        del held[: end + 2]
        self._skip = 2
        if len(lines) > limits.headers:
            message = f"part {self.number} of {self.what} has more than {limits.headers} header fields: raise Limits(headers=...)"
            raise self.fail(LimitExceeded(message, limit="headers"))
        fields = []
        for number, line in enumerate(lines, 1):
            field = _FIELD.fullmatch(line)
            if field is None:
                shown = line[:40].decode("utf-8", "backslashreplace")
                raise self._broken(
                    f"line {number} of the header section of part {self.number} is no field ({shown!r}; lines end with CRLF)"
                )
            fields.append((field[1], field[2].rstrip(b" \t")))
        return fields

    async def _read(self) -> None:
        try:
            self._held += await self._source.__anext__()
        except StopAsyncIteration:
            where = (
                f"in part {self.number}" if self.number else f"and holds no line {self._delimiter[2:].decode('utf-8', 'backslashreplace')}"
            )
            raise self._broken(f"it ends without its closing delimiter, {where}") from None

    def _broken(self, why: str) -> AioreqError:
        return self.fail(DecodeError(f"{self.what} is broken as a multipart: {why}", request=self.request))


class PartContent(AsyncIterator[bytes]):
    """The bytes of one part as they arrive, in pieces of any size."""

    __slots__ = ("_ended", "_number", "_reader")

    def __init__(self, reader: MultipartReader) -> None:
        self._reader = reader
        self._number = reader.number
        self._ended = False

    async def __anext__(self) -> bytes:
        if not self._ended:
            if piece := await self._reader.piece_of(self._number):
                return piece
            self._ended = True
        raise StopAsyncIteration

    def fail(self, error: AioreqError) -> AioreqError:
        """The same error, once the rest of the body was given up."""
        return self._reader.fail(error)


class Part:
    """One part of a multipart body: `headers`, and the `content` while it is the part that was asked for last.

    Content-Transfer-Encoding, which HTTP doesn't know, is left as it is.
    """

    __slots__ = ("_reader", "content", "headers", "number")

    def __init__(self, reader: MultipartReader, headers: ResponseHeaders) -> None:
        self._reader = reader
        self.headers = headers
        self.number = reader.number
        self.content = PartContent(reader)

    async def read(self, max_body: int | None = None) -> bytes:
        """The content, or what is left of it. Errors: LimitExceeded past `max_body` bytes (by default the request's)."""
        most = self._reader.request.max_body if max_body is None else max_body
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in self.content:
                size += len(piece)
                if size > most:
                    raise self._reader.fail(body_too_large(most))
                pieces.append(piece)
        except AioreqError as error:
            if hasattr(error, "partial"):
                error.partial = b"".join(pieces)
            raise
        return b"".join(pieces)

    def parts(self, max_parts: int = 10_000) -> MultipartReader:
        """The parts of this part, where it is a multipart itself. Errors: DecodeError where it isn't."""
        what = f"part {self.number} of {self._reader.what}"
        return MultipartReader.of(self._content_type, self.content, self._reader.request, what, max_parts)

    @property
    def _content_type(self) -> bytes | None:
        return next((value for name, value in self.headers.raw if name.lower() == b"content-type"), None)

    def __repr__(self) -> str:
        return f"<Part {self.number}{''.join(f' {text(value)}' for value in [self._content_type] if value)}>"
