"""Request bodies compressed on demand: a body -> the same in a content coding (RFC 9110 section 8.4). Knows of a request but its fields.

Never decodes; for what arrives, see encodings.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from . import encodings, threads
from .errors import LocalProtocolError
from .request_body import StreamedBody

if TYPE_CHECKING:
    from .models import Request

__all__ = ["compress"]

AT_ONCE = 64 * 1024  # bytes that are compressed in a millisecond or two, on the loop's thread
STEP = 256 * 1024  # bytes for one turn of a thread


def compress(request: Request, coding: str, defaults: Collection[str]) -> None:
    """Has the request send its body in this coding, and say so; without a body it stays as it is. `defaults` names the client's fields.

    A small body is compressed here, and its length known; any other while it is sent, chunked, in a thread of ours and in bounded memory.
    Errors: ValueError, ImportError.
    """
    make = _compressor(coding)
    body = request.body
    if not body or (isinstance(body, StreamedBody) and body.length == 0):
        return
    if request.field("content-encoding") is not None or ("content-encoding" in defaults and not request.sets("content-encoding")):
        raise ValueError(f"compress={coding!r} and a Content-Encoding of your own: a body that is encoded already needs the field alone")
    if request.field("content-length") is not None:
        raise ValueError(f"compress={coding!r} and a Content-Length of your own: the length is that of the compressed body")
    content: Any = compressed(body, make)
    request.content = content
    request.add_field("Content-Encoding", coding)


def compressed(body: bytes | StreamedBody, make: Callable[[], Any]) -> bytes | StreamedBody:
    """The body behind a compressor, which `make` makes anew each time it is sent."""
    if isinstance(body, bytes):
        if len(body) <= AT_ONCE:
            return _step(make(), [body], True)
        return StreamedBody(partial(_chunks, body, make), None, True)
    return StreamedBody(partial(_chunks, body, make), None, body.replayable)


async def _chunks(body: bytes | StreamedBody, make: Callable[[], Any]) -> AsyncIterator[bytes]:
    compressor = make()
    pieces: list[bytes | memoryview] = []
    size = 0
    async with contextlib.aclosing(_pieces(body)) as given:  # type: ignore[type-var]
        async for piece in given:
            pieces.append(piece)
            size += len(piece)
            if size >= STEP:
                data = await threads.run(_step, compressor, pieces, False)
                pieces, size = [], 0
                if data:
                    yield data
    yield await threads.run(_step, compressor, pieces, True)


async def _pieces(body: bytes | StreamedBody) -> AsyncIterator[bytes | memoryview]:
    if isinstance(body, bytes):
        for piece in _cut(body):
            yield piece
        return
    given = 0
    async with contextlib.aclosing(body.chunks()) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            given += len(chunk)
            for piece in _cut(chunk):
                yield piece
    if body.length not in (None, given):  # nobody else can tell: what is compressed goes out chunked
        raise LocalProtocolError(f"the request body gave {given} bytes, not the {body.length} that it had: has its file changed?")


def _cut(data: bytes) -> list[bytes] | list[memoryview]:
    if len(data) <= STEP:
        return [data]
    view = memoryview(data)
    return [view[start : start + STEP] for start in range(0, len(data), STEP)]


def _step(compressor: Any, pieces: list[bytes | memoryview] | list[bytes], last: bool) -> bytes:
    out = [compressor.compress(piece) for piece in pieces]
    if last:
        out.append(compressor.flush())
    return b"".join(out)


def _compressor(coding: str) -> Callable[[], Any]:
    if coding in ("gzip", "deflate"):
        zlib = encodings._zlib()
        # The window, 2 ** 15 bytes, and 16 for gzip's frame (RFC 1952), which without a time is the same at each sending.
        return partial(zlib.compressobj, -1, zlib.DEFLATED, 31 if coding == "gzip" else 15)
    if coding == "zstd":
        zstd = encodings._zstd()
        if zstd is None:
            raise ImportError("compress='zstd' needs Python 3.14 or a package: pip install 'aioreq[speedups]'")
        compressor: Callable[[], Any] = zstd.ZstdCompressor
        return compressor
    raise ValueError(f"compress={coding!r}: what bodies are compressed with is 'gzip', 'deflate' or 'zstd'")
