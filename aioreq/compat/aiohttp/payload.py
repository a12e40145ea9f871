"""What a request's body is made of, under aiohttp's names: a payload knows its bytes, its size and the header fields that tell of it.

`body_of` is where bodies go over to the core: what a user gives as `data=` -> the core's content, and the fields that belong to it. A
payload whose `write` is a user's own is asked to write, and what it writes is sent as it comes. Knows no request.
"""

from __future__ import annotations

import builtins
import codecs
import contextlib
import io
import json
import mimetypes
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import IO, Any, TextIO

from multidict import CIMultiDict

from ...request_body import StreamedBody, encode_content
from ...request_head import field_line
from . import hdrs
from ._registry import PAYLOAD_REGISTRY, LookupError, Order, PayloadRegistry, get_payload, payload_type, register_payload
from ._writing import Written, pieces_of, text_body
from .abc import AbstractStreamWriter
from .helpers import content_disposition_header, guess_filename, parse_mimetype, sentinel
from .streams import StreamReader
from .typedefs import JSONBytesEncoder, JSONEncoder

__all__ = [
    "PAYLOAD_REGISTRY",
    "AsyncIterablePayload",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "IOBasePayload",
    "JsonBytesPayload",
    "JsonPayload",
    "LookupError",
    "Order",
    "Payload",
    "PayloadRegistry",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "body_of",
    "content_of",
    "get_payload",
    "payload_of",
    "payload_type",
    "register_payload",
]


class Payload(ABC):
    """One body, or one part of a body. A kind of its own needs `decode` and `write`, and a `size` where it is known."""

    _default_content_type: str = "application/octet-stream"
    _size: int | None = None
    _consumed = False
    _autoclose = False

    def __init__(
        self,
        value: Any,
        headers: CIMultiDict[str] | dict[str, str] | Iterable[tuple[str, str]] | None = None,
        content_type: Any = sentinel,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._value = value
        self._filename = filename
        self._encoding = encoding
        if content_type is sentinel or content_type is None:
            content_type = self._default_content_type
            if filename is not None:
                content_type = mimetypes.guess_type(filename)[0] or content_type
        self._headers: CIMultiDict[str] = CIMultiDict({hdrs.CONTENT_TYPE: content_type})
        if headers:
            self._headers.update(headers)

    @property
    def size(self) -> int | None:
        """Bytes that will be sent, None where nobody knows."""
        return self._size

    @property
    def filename(self) -> str | None:
        """The file's name."""
        return self._filename

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields that go with it; changeable."""
        return self._headers

    @property
    def _binary_headers(self) -> bytes:
        """These fields as they stand in front of a part. Errors: InvalidHeader."""
        return b"".join([field_line(name, value) for name, value in self.headers.items()]) + b"\r\n"

    @property
    def encoding(self) -> str | None:
        """The charset of its text."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """Its media type."""
        return self._headers[hdrs.CONTENT_TYPE]

    @property
    def consumed(self) -> bool:
        """Whether it was sent, and can't be sent again."""
        return self._consumed

    @property
    def autoclose(self) -> bool:
        """Whether it holds nothing that has to be closed."""
        return self._autoclose

    def set_content_disposition(self, disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: Any) -> None:
        """Set the field Content-Disposition. Errors: ValueError."""
        self._headers[hdrs.CONTENT_DISPOSITION] = content_disposition_header(disptype, quote_fields, _charset, **params)

    @abstractmethod
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """It as text."""

    @abstractmethod
    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most so many bytes of it; all for None."""
        await self.write(writer)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All of it."""
        charset = self._encoding or encoding
        return self.decode(charset, errors).encode(charset)

    def _close(self) -> None:  # noqa: B027  (kinds of a user's own may have one)
        """Let go of what it holds, at once."""

    async def close(self) -> None:
        """Let go of what it holds."""
        self._close()


class CorePayload(Payload):
    """A payload that the core can send: `_content` says what that is."""

    @abstractmethod
    def _content(self) -> bytes | StreamedBody:
        """Bytes, or a stream."""

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most so many bytes of it; all for None."""
        left = content_length
        async with contextlib.aclosing(pieces_of(self._content())) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                await writer.write(chunk if left is None else chunk[:left])
                if left is not None:
                    left -= len(chunk)
                    if left <= 0:
                        return

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All of it."""
        return b"".join([chunk async for chunk in pieces_of(self._content())])


class BytesPayload(CorePayload):
    """Bytes."""

    _autoclose = True

    def __init__(self, value: bytes | bytearray | memoryview, *args: Any, **kwargs: Any) -> None:
        given: Any = value
        if not isinstance(given, bytes | bytearray | memoryview):
            raise TypeError(f"value argument must be byte-ish, not {type(given)!r}")
        super().__init__(value, *args, **kwargs)
        self._size = value.nbytes if isinstance(value, memoryview) else len(value)

    def _content(self) -> bytes:
        return bytes(self._value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The text that they are."""
        return bytes(self._value).decode(encoding, errors)


class StringPayload(BytesPayload):
    """Text; its charset stands in its Content-Type."""

    def __init__(self, value: str, *args: Any, encoding: str | None = None, content_type: str | None = None, **kwargs: Any) -> None:
        encoding, content_type = _text_type(encoding, content_type)
        super().__init__(value.encode(encoding), *args, encoding=encoding, content_type=content_type, **kwargs)


class StringIOPayload(StringPayload):
    """The text that a `StringIO` still holds."""

    def __init__(self, value: IO[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


class JsonPayload(BytesPayload):
    """A value as JSON."""

    def __init__(
        self,
        value: Any,
        encoding: str = "utf-8",
        content_type: str = "application/json",
        dumps: JSONEncoder = json.dumps,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(dumps(value).encode(encoding), *args, content_type=content_type, encoding=encoding, **kwargs)


class JsonBytesPayload(BytesPayload):
    """A value as JSON, by an encoder that makes bytes."""

    def __init__(self, value: Any, dumps: JSONBytesEncoder, content_type: str = "application/json", *args: Any, **kwargs: Any) -> None:
        super().__init__(dumps(value), *args, content_type=content_type, **kwargs)


class IOBasePayload(CorePayload):
    """A file, from where it stands to its end; it is read in a thread, and closed once it was sent."""

    def __init__(self, value: IO[Any], disposition: str | None = "attachment", *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("filename", guess_filename(value))
        super().__init__(value, *args, **kwargs)
        self._body: StreamedBody | None = None
        if self._filename is not None and disposition is not None and hdrs.CONTENT_DISPOSITION not in self._headers:
            self.set_content_disposition(disposition, filename=self._filename)

    def _content(self) -> bytes | StreamedBody:
        if self._body is None:
            body = encode_content(self._value, "data")
            assert isinstance(body, StreamedBody)
            self._body = body
        return self._body

    @property
    def size(self) -> int | None:
        """Bytes that will be sent, None where nobody knows: of a pipe, say."""
        try:
            content = self._content()
        except (OSError, ValueError):
            return None
        return len(content) if isinstance(content, bytes) else content.length

    @property
    def consumed(self) -> bool:
        """Whether it was sent, and can't be sent again."""
        return self._consumed or (self._body is not None and not self._body.sendable)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """What the file holds, as text; blocks while it is read."""
        return self._read_all().decode(encoding, errors)

    def _read_all(self) -> bytes:
        place = self._value.tell() if self._value.seekable() else None
        data: bytes = self._value.read()
        if place is not None:
            self._value.seek(place)
        return data

    def _close(self) -> None:
        if not self._consumed:
            self._consumed = True
            self._value.close()

    async def close(self) -> None:
        """Close the file."""
        self._close()


class TextIOPayload(IOBasePayload):
    """A file of text, sent in the charset of its Content-Type."""

    def __init__(self, value: TextIO, *args: Any, encoding: str | None = None, content_type: str | None = None, **kwargs: Any) -> None:
        encoding, content_type = _text_type(encoding, content_type)
        super().__init__(value, *args, content_type=content_type, encoding=encoding, **kwargs)

    def _content(self) -> bytes | StreamedBody:
        if self._body is None:
            binary = self._as_it_lies()
            body = text_body(self._value, self._encoding or "utf-8") if binary is None else encode_content(binary, "data")
            assert isinstance(body, StreamedBody)
            self._body = body
        return self._body

    def _as_it_lies(self) -> IO[bytes] | None:
        """The file behind the text, where nobody has read of it and its bytes are what is to be sent."""
        file, charset = self._value, self._encoding or "utf-8"
        with contextlib.suppress(AttributeError, builtins.LookupError, OSError, ValueError):
            if type(file) is io.TextIOWrapper and file.tell() == 0 and codecs.lookup(file.encoding) == codecs.lookup(charset):
                binary: IO[bytes] = file.buffer
                return binary
        return None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The text; blocks while it is read."""
        return self._read_all().decode(self._encoding or "utf-8")

    def _read_all(self) -> bytes:
        place = self._value.tell() if self._value.seekable() else None
        text: str = self._value.read()
        if place is not None:
            self._value.seek(place)
        return text.encode(self._encoding or "utf-8")


class BytesIOPayload(IOBasePayload):
    """What a `BytesIO` still holds."""

    _autoclose = True

    def _close(self) -> None:
        """It is memory: it stays open for whoever made it."""


class BufferedReaderPayload(IOBasePayload):
    """A binary file, from where it stands to its end."""


class AsyncIterablePayload(CorePayload):
    """What an asynchronous iterable gives, while it is sent."""

    _autoclose = True

    def __init__(self, value: AsyncIterable[bytes], *args: Any, **kwargs: Any) -> None:
        given: Any = value
        if not isinstance(given, AsyncIterable):
            raise TypeError(f"value argument must support collections.abc.AsyncIterable interface, got {type(given)!r}")
        super().__init__(value, *args, **kwargs)
        self._cached: bytes | None = None
        self._body: StreamedBody | None = None

    def _content(self) -> bytes | StreamedBody:
        if self._cached is not None:
            return self._cached
        if self._body is None:
            body = encode_content(self._value, "data")
            assert isinstance(body, StreamedBody)
            self._body = body
        return self._body

    @property
    def consumed(self) -> bool:
        """Whether it was sent, and can't be sent again."""
        return self._consumed or (self._cached is None and self._body is not None and not self._body.sendable)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """It as text, once `as_bytes` has read it. Errors: TypeError before."""
        if self._cached is None:
            raise TypeError("Unable to decode - content not cached. Call as_bytes() first.")
        return self._cached.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All of it, which is kept."""
        if self._cached is None:
            self._cached = await super().as_bytes(encoding, errors)
        return self._cached


class StreamReaderPayload(AsyncIterablePayload):
    """What a response's `content` gives, while it is sent."""

    def __init__(self, value: StreamReader, *args: Any, **kwargs: Any) -> None:
        super().__init__(value.iter_any(), *args, **kwargs)


PAYLOAD_REGISTRY.register(BytesPayload, (bytes, bytearray, memoryview))
PAYLOAD_REGISTRY.register(StringPayload, str)
PAYLOAD_REGISTRY.register(StringIOPayload, io.StringIO)
PAYLOAD_REGISTRY.register(TextIOPayload, io.TextIOBase)
PAYLOAD_REGISTRY.register(BytesIOPayload, io.BytesIO)
PAYLOAD_REGISTRY.register(BufferedReaderPayload, (io.BufferedReader, io.BufferedRandom))
PAYLOAD_REGISTRY.register(IOBasePayload, io.IOBase)
PAYLOAD_REGISTRY.register(StreamReaderPayload, StreamReader)
PAYLOAD_REGISTRY.register(AsyncIterablePayload, AsyncIterable, order=Order.try_last)


# --- to the core ---


def body_of(data: Any) -> tuple[bytes | StreamedBody, CIMultiDict[str]]:
    """What `data=` says: the core's content, and the fields that belong to it.

    Errors: TypeError for what can't be sent, ValueError, InvalidHeader, OSError.
    """
    payload = payload_of(data)
    return content_of(payload), payload.headers


def payload_of(data: Any) -> Payload:
    """What `data=` says, as a payload: a form's, a registered type's, else a form of it. Errors: TypeError."""
    if hasattr(data, "add_field"):  # a FormData, aiohttp's own too
        return data()  # type: ignore[no-any-return]
    try:
        return PAYLOAD_REGISTRY.get(data, disposition=None)
    except LookupError:
        from .formdata import FormData

        return FormData(data)()


def content_of(payload: Payload) -> bytes | StreamedBody:
    """A payload as the core's content. Errors: OSError, ValueError, InvalidHeader."""
    kind = type(payload)
    if isinstance(payload, CorePayload) and (kind.write, kind.write_with_length) in CORE_WRITES:
        return payload._content()
    return Written(payload).body()


# How payloads write themselves that the core can send; any other was made by a user.
CORE_WRITES: set[tuple[Any, Any]] = {(CorePayload.write, CorePayload.write_with_length)}


def _text_type(encoding: str | None, content_type: str | None) -> tuple[str, str]:
    """The charset and the Content-Type of text, each from the other where only one is given."""
    if content_type is None:
        encoding = encoding or "utf-8"
        return encoding, f"text/plain; charset={encoding}"
    return encoding or parse_mimetype(content_type).parameters.get("charset") or "utf-8", content_type
