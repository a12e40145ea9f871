"""What a request carries: user values -> bytes that can be sent at once, or a stream of chunks. Knows no head and no connection."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Mapping
from io import BufferedReader, BytesIO, FileIO
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from . import threads
from .config import UNSET, Unset
from .errors import LocalProtocolError

if TYPE_CHECKING:
    from .forms import FilesTypes, FormTypes

__all__ = ["Content", "StreamedBody", "encode_body", "encode_content", "encode_json"]

Content: TypeAlias = bytes | bytearray | memoryview | str | AsyncIterable[bytes] | Iterable[bytes] | IO[bytes] | None

FILE_CHUNK = 256 * 1024  # a read costs a hop to a thread and back: large enough to hide it, small enough for a slow peer


class StreamedBody:
    """Chunks made while they are sent. `length` is None where it isn't known: then the body goes out chunked (RFC 9112 section 7.1).

    `file` is the file of the system's that they come from, and the place in it, where they are nothing else.
    """

    __slots__ = ("_chunks", "file", "length", "replayable", "started")

    def __init__(
        self, chunks: Callable[[], AsyncIterator[bytes]], length: int | None, replayable: bool, file: tuple[Any, int] | None = None
    ) -> None:
        self._chunks = chunks
        self.length = length
        self.replayable = replayable
        self.file = file
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


def encode_content(content: Content, what: str = "content") -> bytes | StreamedBody | None:
    """Bytes, a stream, or None for no body; errors call it `what`."""
    given: Any = content
    if given is None or isinstance(given, bytes | StreamedBody):
        return given
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    if isinstance(given, AsyncIterable):  # asynchronous files are read this way, too
        return StreamedBody(lambda: _checked(aiter(given), what), None, not hasattr(given, "__anext__"))
    if hasattr(given, "read"):
        return _file_body(given, what)
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        return StreamedBody(lambda: _checked(_from_iterable(given), what), None, not hasattr(given, "__next__"))
    raise TypeError(
        f"{what}: give bytes, str, a binary file or an iterable of bytes, not {type(given).__name__}; mappings go to data= or json="
    )


async def _from_iterable(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(content)
    try:
        for chunk in iterator:
            yield chunk
    finally:
        if isinstance(iterator, Generator):
            iterator.close()


async def _checked(chunks: AsyncIterator[Any], what: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            if isinstance(chunk, bytes):
                yield chunk
            elif isinstance(chunk, bytearray | memoryview):
                yield bytes(chunk)
            else:
                raise TypeError(f"{what}: the iterable gave {type(chunk).__name__}, not bytes")
    finally:
        if hasattr(chunks, "aclose"):
            await chunks.aclose()


def _file_body(file: Any, what: str) -> StreamedBody:
    """A file object from where it stands to its end, read in a thread of ours; sent again from the same place where it can seek."""
    if hasattr(file, "encoding"):  # also of the wrappers of temporary files, which are no io.TextIOBase
        raise TypeError(f"{what}: the file is open in text mode; open it with 'rb'")
    shared = _SharedFile.of(file)
    start = length = None
    try:
        if file.seekable():
            start, length = shared.stretch()
    except (AttributeError, OSError):  # no file of the system's; or one without an end, such as those in /proc
        start = length = None

    # Of a pipe, what there is now: `read` would wait until all that it was asked for has come.
    take = file.read1 if start is None and type(file) is BufferedReader else file.read
    plain = start is not None and _is_plain(file)
    in_memory = type(file) is BytesIO  # a copy: less than the hop to a thread

    def read(at: int | None, most: int) -> bytes:
        # Each sending from its own place: an earlier one may still go on, to where a redirect came from before it had the whole file.
        if getattr(file, "closed", False):
            raise LocalProtocolError("the file that is the request body was closed before all of it was sent (again)")
        if plain and at is not None:
            return os.pread(file.fileno(), most, at)
        return shared.read(at, most, take)

    async def chunks() -> AsyncIterator[bytes]:
        at, left = start, length
        shared.senders += 1
        try:
            while left is None or left > 0:  # what is appended meanwhile isn't meant
                most = FILE_CHUNK if left is None else min(FILE_CHUNK, left)
                data = read(at, most) if in_memory else await threads.run(read, at, most)
                if not data:
                    return
                yield data
                if at is not None and left is not None:
                    at, left = at + len(data), left - len(data)
        finally:
            shared.senders -= 1
            shared.put_back()

    source = (file, start) if plain and start is not None else None
    return StreamedBody(lambda: _checked(chunks(), what), length, start is not None, source)


class _SharedFile:
    """A file object, for all the bodies that are it: each reads from its own place, and the last one puts it back where it stood."""

    __slots__ = ("__weakref__", "_at", "_file", "_home", "_lock", "senders")

    def __init__(self, file: Any) -> None:
        self._file = file  # held, so that nothing else has its id
        self._at: int | None = None  # where the last piece that was read ended, until it is put back
        self._home = 0
        self._lock = threading.Lock()
        self.senders = 0

    @classmethod
    def of(cls, file: Any) -> _SharedFile:
        with _shared_lock:
            if (shared := _shared.get(id(file))) is None:
                shared = _shared[id(file)] = cls(file)
            return shared

    def stretch(self) -> tuple[int, int]:
        """From where the file stands by the user's will, and how many bytes there are to its end. Errors: AttributeError, OSError."""
        with self._lock:
            place = self._file.tell()
            start = self._home if place == self._at else place
            length = max(0, self._file.seek(0, os.SEEK_END) - start)
            self._file.seek(place)
            return start, length

    def read(self, at: int | None, most: int, take: Callable[[int], bytes]) -> bytes:
        """What `take` gives from there on, or where the file can't seek."""
        try:
            with self._lock:
                if at is None:
                    return take(most)
                place = self._file.tell()
                if place != self._at:
                    self._home = place
                self._file.seek(at)
                self._at = at
                data = take(most)
                self._at = at + len(data)
                return data
        finally:
            self.put_back()

    def put_back(self) -> None:
        """Where nobody sends it any more, as if nobody had read it: the same call sends the same again. Waits for no thread that reads
        on: that one calls this, too."""
        if not self.senders and self._at is not None and self._lock.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError, ValueError):  # closed, for one
                    if self._file.tell() == self._at:
                        self._file.seek(self._home)
                self._at = None
            finally:
                self._lock.release()


_shared: WeakValueDictionary[int, _SharedFile] = WeakValueDictionary()
_shared_lock = threading.Lock()


def _is_plain(file: Any) -> bool:
    """Whether what a file reads is what stands on the disk: exactly what `open` gives, for a class of its own may read anything."""
    return hasattr(os, "pread") and (type(file) is FileIO or (type(file) is BufferedReader and type(file.raw) is FileIO))


@functools.cache
def default_json_dumps() -> Callable[[Any], str]:
    """What gives compact JSON text; NaN and infinities, which JSON lacks (RFC 8259 section 6), are a ValueError."""
    import json  # not at the start of a program that sends none

    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode  # `json.dumps` makes one each time


def encode_json(value: Any, dumps: Callable[[Any], str | bytes] | None = None) -> bytes:
    """UTF-8 JSON."""
    encoded = (dumps or default_json_dumps())(value)
    return encoded.encode() if isinstance(encoded, str) else encoded


def encode_body(
    content: Content,
    data: FormTypes | None,
    value: Any | Unset,
    dumps: Callable[[Any], str | bytes] | None,
    files: FilesTypes | None = None,
    own_type: str | None = None,
) -> tuple[Any, str | None]:
    """The content and its Content-Type, from whichever of `content`, `data` (with `files`) and `json` was given.

    `own_type` is the user's Content-Type: a form's may name the boundary.
    """
    form = data is not None or files is not None
    if form + (content is not None) + (value is not UNSET) > 1:
        parts = {"content": content is not None, "data": data is not None, "files": files is not None, "json": value is not UNSET}
        raise TypeError(f"a request has one body: give one of {' and '.join([name for name, given in parts.items() if given])}")
    if value is not UNSET:
        return encode_json(value, dumps), "application/json"
    if form:
        from .forms import encode_form  # not at the start of a program that sends none

        return encode_form(data, files, own_type)
    return content, None
