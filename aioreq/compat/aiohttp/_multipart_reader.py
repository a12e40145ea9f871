"""Multipart bodies that come in, under aiohttp's names: the core's reader finds the parts, these say what is in them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy

from ...config import Limits
from ...encodings import decoder_for
from ...errors import AioreqError, DecodeError, LimitExceeded
from ...models import Request
from ...multipart_reader import MultipartReader as CoreReader
from ._arriving import PullingReader
from ._dispositions import content_disposition_filename, parse_content_disposition
from .hdrs import CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TRANSFER_ENCODING, CONTENT_TYPE
from .helpers import DEFAULT_CHUNK_SIZE, parse_mimetype
from .http_exceptions import BadHttpMessage, LineTooLong
from .streams import StreamReader

if TYPE_CHECKING:
    from ._response import ClientResponse

__all__ = ["BodyPartReader", "MultipartReader", "MultipartResponseWrapper"]

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]")


class MultipartResponseWrapper:
    """A reader of a response's parts that lets go of the response behind the last one."""

    def __init__(self, resp: ClientResponse, stream: MultipartReader) -> None:
        self.resp = resp
        self.stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MultipartReader | BodyPartReader:
        if (part := await self.next()) is None:
            raise StopAsyncIteration
        return part

    def at_eof(self) -> bool:
        """Whether all of the response was read."""
        return self.resp.content.at_eof()

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """The next part, None behind the last one."""
        part = await self.stream.next()
        if self.stream.at_eof():
            await self.release()
        return part

    async def release(self) -> None:
        """Let go of the response."""
        await self.resp.release()


class _Content:
    """The pieces of a stream, for the core's reader; and of one part, for whoever reads that."""

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream

    async def __anext__(self) -> bytes:
        if piece := await self._stream.readany():
            return piece
        raise StopAsyncIteration

    def fail(self, error: AioreqError) -> AioreqError:
        return error


class _PartSource:
    """One part's bytes, as they come out of the core's reader."""

    def __init__(self, reader: CoreReader) -> None:
        self._reader = reader
        self._number = reader.number
        self._piece: bytes | None = None

    def take(self) -> bytes | None:
        piece, self._piece = self._piece, None
        return piece

    async def arrival(self) -> None:
        if self._piece is None:
            try:
                self._piece = await self._reader.piece_of(self._number)
            except (DecodeError, LimitExceeded) as error:
                raise _told(error) from error


class _PartReader(PullingReader):
    """The bytes of one part, up to its delimiter."""

    __slots__ = ()


def _told(error: AioreqError) -> Exception:
    return BadHttpMessage(str(error)) if isinstance(error, LimitExceeded) else ValueError(str(error))


def _reader_of(content: StreamReader, boundary: bytes, max_field_size: int = 8190, max_headers: int = 128) -> CoreReader:
    request = Request()
    limits = Limits(head=max(Limits().head, max_field_size), headers=max_headers)
    request.terms = replace(request.terms, limits=limits)
    return CoreReader(_Content(content), boundary, request, "the multipart body", sys.maxsize)


class BodyPartReader:
    """One part: read it whole (`read`, `text`, `json`, `form`), by chunks or lines, before the next one is asked for."""

    chunk_size = 8192

    def __init__(
        self,
        boundary: bytes,
        headers: CIMultiDictProxy[str],
        content: StreamReader,
        *,
        subtype: str = "mixed",
        default_charset: str | None = None,
        max_decompress_size: int = DEFAULT_CHUNK_SIZE,
        client_max_size: int = sys.maxsize,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        self.headers = headers
        # A stream that goes on behind the part is read up to the delimiter: what comes before the first one is the preamble.
        self._content = content if isinstance(content, _PartReader) else _PartReader(_PartSource(_reader_of(content, boundary[2:])))
        self._default_charset = default_charset
        self._is_form_data = subtype == "form-data"
        length = None if self._is_form_data else headers.get(CONTENT_LENGTH)  # RFC 7578 section 4.8
        if length is not None and not (length.isascii() and length.isdigit()):
            raise ValueError(f"invalid Content-Length: {length!r}")
        self._length = None if length is None else int(length)
        self._read_bytes = 0
        self._at_eof = False
        self._max_size = client_max_size
        self._max_size_error = max_size_error_cls

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if (data := await self.next()) is None:
            raise StopAsyncIteration
        return data

    async def next(self) -> bytes | None:
        """What is left, None where nothing is."""
        return await self.read() or None

    async def read(self, *, decode: bool = False) -> bytes:
        """What is left; with `decode`, without its Content-Transfer-Encoding and Content-Encoding. Errors: ValueError."""
        data = bytearray()
        while not self._at_eof:
            data += await self.read_chunk(DEFAULT_CHUNK_SIZE)
            self._check_size(data)
        if not decode:
            return bytes(data)
        decoded = bytearray()
        async for piece in self.decode_iter(bytes(data)):
            decoded += piece
            self._check_size(decoded)
        return bytes(decoded)

    def _check_size(self, data: bytearray) -> None:
        if len(data) > self._max_size:
            raise self._max_size_error(self._max_size)

    async def read_chunk(self, size: int = chunk_size) -> bytes:
        """The next `size` bytes, fewer at the end; of base64, whole groups of four."""
        if self._at_eof:
            return b""
        want = size if self._length is None else min(size, self._length - self._read_bytes)
        chunk = await self._exactly(want)
        self._read_bytes += len(chunk)
        self._at_eof = self._read_bytes == self._length or await self._ended()
        if self._at_eof and self._length is not None and self._read_bytes < self._length:
            raise ValueError(f"the part ends after {self._read_bytes} bytes, and declares {self._length}")
        if self.headers.get(CONTENT_TRANSFER_ENCODING, "").lower() == "base64" and not self._at_eof:
            chunk = self._aligned(chunk)
        return chunk

    async def _exactly(self, size: int) -> bytes:
        pieces = []
        while size and (piece := await self._content.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    async def _ended(self) -> bool:
        await self._content._ready("read_chunk")
        return self._content.at_eof()

    def _aligned(self, chunk: bytes) -> bytes:
        over = len(_NOT_BASE64.sub(b"", chunk)) % 4
        cut = len(chunk)
        while over and cut:
            cut -= 1
            over -= not _NOT_BASE64.match(chunk[cut : cut + 1])
        if cut in (0, len(chunk)):
            return chunk
        self._content._put_back(chunk[cut:])
        self._read_bytes -= len(chunk) - cut
        return chunk[:cut]

    async def readline(self) -> bytes:
        r"""The next line, with its \n."""
        if self._at_eof:
            return b""
        line = await self._content.readline()
        self._read_bytes += len(line)
        self._at_eof = self._read_bytes == self._length or await self._ended()
        return line

    async def release(self) -> None:
        """Skip what is left."""
        while not self._at_eof:
            await self.read_chunk(DEFAULT_CHUNK_SIZE)

    async def skip(self) -> None:
        """Go on to the delimiter. Errors: ValueError where it isn't where the part's Content-Length says."""
        if self._at_eof and self._length is not None and await self._content.read(1):
            raise ValueError("Reader did not read all the data or it is malformed")
        await self.release()

    async def text(self, *, encoding: str | None = None) -> str:
        """What is left as text: in `encoding`, the declared charset, or UTF-8."""
        return (await self.read(decode=True)).decode(encoding or self.get_charset(default="utf-8"))

    async def json(self, *, encoding: str | None = None) -> Any:
        """What is left as JSON, None where nothing is."""
        data = await self.read(decode=True)
        return json.loads(data.decode(encoding or self.get_charset(default="utf-8"))) if data else None

    async def form(self, *, encoding: str | None = None) -> list[tuple[str, str]]:
        """What is left as the fields of an urlencoded form. Errors: ValueError."""
        data = await self.read(decode=True)
        charset = encoding or self.get_charset(default="utf-8")
        try:
            text = data.rstrip().decode(charset)
        except UnicodeDecodeError:
            raise ValueError(f"data cannot be decoded with {charset} encoding") from None
        return parse_qsl(text, keep_blank_values=True, encoding=charset)

    def at_eof(self) -> bool:
        """Whether all of it was read."""
        return self._at_eof

    def decode(self, data: Any) -> bytes:
        """Bytes without the part's Content-Transfer-Encoding and Content-Encoding. Errors: RuntimeError, ValueError."""
        return b"".join(self._decoded(data))

    async def decode_iter(self, data: Any) -> AsyncIterator[bytes]:
        """The same, piece by piece."""
        for piece in self._decoded(data):
            yield piece

    def _decoded(self, data: Any) -> Iterator[bytes]:
        encoded = self._from_transfer(bytes(data))
        coding = "" if self._is_form_data else self.headers.get(CONTENT_ENCODING, "").lower()
        if coding in ("", "identity"):
            yield encoded
            return
        decoder = decoder_for(coding, Limits()) if coding in ("deflate", "gzip") else None
        if decoder is None:
            raise RuntimeError(f"unknown content encoding: {coding}")
        try:
            yield decoder.decode(encoded)
            while not decoder.needs_input:
                yield decoder.decode(b"")
            decoder.finish()
        except (DecodeError, LimitExceeded) as error:
            raise _told(error) from error

    def _from_transfer(self, data: bytes) -> bytes:
        encoding = self.headers.get(CONTENT_TRANSFER_ENCODING, "").lower()
        if encoding == "base64":
            return base64.b64decode(data)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(data)
        if encoding in ("", "binary", "8bit", "7bit"):
            return data
        raise RuntimeError(f"unknown content transfer encoding: {encoding}")

    def get_charset(self, default: str) -> str:
        """The declared charset, the form's, or the default."""
        return parse_mimetype(self.headers.get(CONTENT_TYPE, "")).parameters.get("charset", self._default_charset or default)

    @cached_property
    def name(self) -> str | None:
        """The name of the form's field."""
        return self._of_disposition("name")

    @cached_property
    def filename(self) -> str | None:
        """The name of the file."""
        return self._of_disposition("filename")

    def _of_disposition(self, name: str) -> str | None:
        return content_disposition_filename(parse_content_disposition(self.headers.get(CONTENT_DISPOSITION))[1], name)


class MultipartReader:
    """The parts of a multipart body, one after another; what of a part wasn't read is skipped when the next one is asked for.

    Errors: ValueError where the body breaks the grammar, BadHttpMessage for a part's head that is too long.
    """

    response_wrapper_cls = MultipartResponseWrapper
    multipart_reader_cls: type[MultipartReader] | None = None  # of parts that are multipart themselves; None for this class
    part_reader_cls = BodyPartReader

    def __init__(
        self,
        headers: Mapping[str, str],
        content: StreamReader,
        *,
        client_max_size: int = sys.maxsize,
        max_field_size: int = 8190,
        max_headers: int = 128,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        content_type = headers[CONTENT_TYPE]
        self._mimetype = parse_mimetype(content_type)
        assert self._mimetype.type == "multipart", "multipart/* content type expected"
        boundary = self._mimetype.parameters.get("boundary")
        if boundary is None:
            raise ValueError(f"boundary missed for Content-Type: {content_type}")
        if len(boundary) > 70:
            raise ValueError(f"boundary {boundary!r} is too long (70 chars max)")
        self.headers = headers
        self._boundary = b"--" + boundary.encode()
        self._content = content
        self._limits: dict[str, Any] = {
            "client_max_size": client_max_size,
            "max_field_size": max_field_size,
            "max_headers": max_headers,
            "max_size_error_cls": max_size_error_cls,
        }
        self._parts = _reader_of(content, boundary.encode(), max_field_size, max_headers)
        self._last_part: MultipartReader | BodyPartReader | None = None
        self._default_charset: str | None = None
        self._at_eof = False

    @classmethod
    def from_response(cls, response: ClientResponse) -> MultipartResponseWrapper:
        """A reader of a response's parts, which lets go of the response behind the last one."""
        return cls.response_wrapper_cls(response, cls(response.headers, response.content))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MultipartReader | BodyPartReader:
        if (part := await self.next()) is None:
            raise StopAsyncIteration
        return part

    def at_eof(self) -> bool:
        """Whether the last part lies behind."""
        return self._at_eof

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """The next part, None behind the last one."""
        if self._at_eof:
            return None
        last, self._last_part = self._last_part, None
        if isinstance(last, BodyPartReader):
            await last.skip()
        first = self._parts.number == 0
        part = await self._fetch()
        if first and self._mimetype.subtype == "form-data" and isinstance(part, BodyPartReader) and part.name == "_charset_":
            charset = await part.read_chunk(32)  # RFC 7578 section 4.6
            if len(charset) > 31:
                raise RuntimeError("Invalid default charset")
            self._default_charset = charset.strip().decode()
            part = await self._fetch()
        self._last_part = part
        return part

    async def release(self) -> None:
        """Skip what is left."""
        while await self.next() is not None:
            pass

    async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
        """The next part, which there must be."""
        if (part := await self._fetch()) is None:
            raise ValueError("there is no next part")
        return part

    async def _fetch(self) -> MultipartReader | BodyPartReader | None:
        try:
            part = await self._parts.__anext__()
        except StopAsyncIteration:
            self._at_eof = True
            return None
        except (DecodeError, LimitExceeded) as error:
            raise _told(error) from error
        longest = self._limits["max_field_size"]
        for name, value in part.headers.raw:
            if len(name) + len(value) + 2 > longest:
                raise LineTooLong((name + b": " + value)[:100] + b"...", longest)
        return self._get_part_reader(part.headers.mapping, _PartReader(_PartSource(self._parts)))

    def _get_part_reader(self, headers: CIMultiDictProxy[str], content: StreamReader) -> MultipartReader | BodyPartReader:
        if parse_mimetype(headers.get(CONTENT_TYPE, "")).type == "multipart":
            return (self.multipart_reader_cls or type(self))(headers, content, **self._limits)
        return self.part_reader_cls(
            self._boundary,
            headers,
            content,
            subtype=self._mimetype.subtype,
            default_charset=self._default_charset,
            client_max_size=self._limits["client_max_size"],
            max_size_error_cls=self._limits["max_size_error_cls"],
        )
