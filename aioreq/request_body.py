"""What a request carries: user values -> bytes that can be sent at once, or a stream of chunks. Knows no head and no connection."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Mapping
from typing import IO, Any, TypeAlias

from . import threads
from .config import UNSET, Unset
from .errors import LocalProtocolError
from .urls import QueryScalar, encode_pairs

__all__ = ["Content", "FormData", "StreamedBody", "encode_content", "encode_form", "encode_json"]

Content: TypeAlias = bytes | bytearray | memoryview | str | AsyncIterable[bytes] | Iterable[bytes] | IO[bytes] | None
FormData: TypeAlias = Mapping[str, QueryScalar | Iterable[QueryScalar]] | Iterable[tuple[str, QueryScalar]]

FILE_CHUNK = 256 * 1024  # a read costs a hop to a thread and back: large enough to hide it, small enough for a slow peer


class StreamedBody:
    """Chunks made while they are sent. `length` is None where it isn't known: then the body goes out chunked (RFC 9112 section 7.1)."""

    __slots__ = ("_chunks", "length", "replayable", "started")

    def __init__(self, chunks: Callable[[], AsyncIterator[bytes]], length: int | None, replayable: bool) -> None:
        self._chunks = chunks
        self.length = length
        self.replayable = replayable
        self.started = False

    @property
    def sendable(self) -> bool:
        """Whether the whole body can (still, or once more) be sent."""
        return self.replayable or not self.started

    def chunks(self) -> AsyncIterator[bytes]:
        """The chunks from the first one on; LocalProtocolError where they are gone."""
        if not self.sendable:
            raise LocalProtocolError(
                "the request body was already read and can't be sent again: give bytes, a list or a file instead of a generator"
            )
        self.started = True
        return self._chunks()


def encode_content(content: Content) -> bytes | StreamedBody | None:
    """Bytes, a stream, or None for no body."""
    given: Any = content
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if isinstance(given, AsyncIterable):  # asynchronous files are read this way, too
        return StreamedBody(lambda: _checked(aiter(given)), None, not hasattr(given, "__anext__"))
    if hasattr(given, "read"):
        return _file_body(given)
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return StreamedBody(lambda: _checked(_from_iterable(given)), None, not hasattr(given, "__next__"))
    raise TypeError(
        f"content: give bytes, str, a binary file or an iterable of bytes, not {type(given).__name__}; mappings go to data= or json="
    )


async def _from_iterable(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(content)
    try:
        for chunk in iterator:
            yield chunk
    finally:
        if isinstance(iterator, Generator):
            iterator.close()


async def _checked(chunks: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            if isinstance(chunk, bytes):
                yield chunk
            elif isinstance(chunk, bytearray | memoryview):
                yield bytes(chunk)
            else:
                raise TypeError(f"content: the iterable gave {type(chunk).__name__}, not bytes")
    finally:
        if hasattr(chunks, "aclose"):
            await chunks.aclose()


def _file_body(file: Any) -> StreamedBody:
    """A file object from where it stands to its end, read in a thread of ours; sent again from the same place where it can seek."""
    if hasattr(file, "encoding"):  # also of the wrappers of temporary files, which are no io.TextIOBase
        raise TypeError("content: the file is open in text mode; open it with 'rb'")
    start = length = None
    try:
        if file.seekable():
            start = file.tell()
            length = max(0, file.seek(0, os.SEEK_END) - start)
            file.seek(start)
    except (AttributeError, OSError):  # no file of the system's; or one without an end, such as those in /proc
        start = length = None

    async def chunks() -> AsyncIterator[bytes]:
        if start is not None:
            await threads.run(file.seek, start)
        while data := await threads.run(file.read, FILE_CHUNK):
            yield data

    return StreamedBody(lambda: _checked(chunks()), length, start is not None)


def default_json_dumps(value: Any) -> str:
    """Compact JSON text; NaN and infinities, which JSON lacks (RFC 8259 section 6), are a ValueError."""
    import json  # not at the start of a program that sends none

    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode_json(value: Any, dumps: Callable[[Any], str | bytes] | None = None) -> bytes:
    """UTF-8 JSON."""
    encoded = (dumps or default_json_dumps)(value)
    return encoded.encode() if isinstance(encoded, str) else encoded


def encode_form(data: FormData) -> bytes:
    """`application/x-www-form-urlencoded` bytes; lists repeat the name, None drops the pair."""
    if isinstance(data, bytes | bytearray | memoryview | str | AsyncIterable) or hasattr(data, "read"):
        raise TypeError(f"data= takes form fields (a mapping or pairs); send {type(data).__name__} as content=")
    return encode_pairs(data, "data").replace("%20", "+").encode("ascii")


def encode_body(
    content: Content, data: FormData | None, value: Any | Unset, dumps: Callable[[Any], str | bytes] | None
) -> tuple[Content, str | None]:
    """The content and its Content-Type, from whichever of `content`, `data` and `json` was given."""
    given = [
        name for name, is_given in (("content", content is not None), ("data", data is not None), ("json", value is not UNSET)) if is_given
    ]
    if len(given) > 1:
        raise TypeError(f"a request has one body: give one of {' and '.join(given)}")
    if value is not UNSET:
        return encode_json(value, dumps), "application/json"
    if data is not None:
        return encode_form(data), "application/x-www-form-urlencoded"
    return content, None
