"""The body that `data=` is, for the core: its content, the fields that describe it, and how it is framed. Sends nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

from ...errors import AioreqError
from ...models import Request
from ...request_body import StreamedBody
from .client_exceptions import ClientConnectionError, ClientOSError

__all__ = ["chunked_body", "compress_body", "encoded", "guarded"]


def encoded(data: Any) -> tuple[bytes | StreamedBody, Iterable[tuple[str, str]]]:
    """The content and its fields. Errors: TypeError, ValueError."""
    if isinstance(data, bytes):
        return data, (("Content-Type", "application/octet-stream"),)
    if isinstance(data, str):
        return data.encode(), (("Content-Type", "text/plain; charset=utf-8"),)
    from .payload import body_of

    content, headers = body_of(data)
    return content, headers.items()


def guarded(request: Request) -> None:
    """Have what a user's own body raises told as aiohttp tells it. A file that the system sends needs no guard."""
    body = request.body
    if isinstance(body, StreamedBody) and body.file is None:
        request.content = StreamedBody(partial(_pieces, body, request), body.length, body.replayable)  # type: ignore[assignment]


async def _pieces(body: StreamedBody, request: Request) -> AsyncIterator[bytes]:
    try:
        async with contextlib.aclosing(body.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk
    except AioreqError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ClientOSError(error.errno, f"Can not write request body for {request.url}") from error
        raise ClientConnectionError(f"Failed to send bytes into the underlying connection: {error!r}") from error


def chunked_body(request: Request) -> None:
    """The same body without a length, so that it goes out in chunks (RFC 9112 section 7.1). Errors: ValueError."""
    if request.field("content-length") is not None:
        raise ValueError("chunked can not be set if Content-Length header is set")
    body = request.body
    if isinstance(body, bytes):
        body = StreamedBody(partial(_whole, body), None, True)
    elif body is not None:
        body = StreamedBody(body.chunks, None, body.replayable)
    request.content = body  # type: ignore[assignment]


def compress_body(request: Request, compress: str | bool) -> None:
    """The body in a content coding; "deflate" for True. Errors: ValueError."""
    from ...compression import compress as compressed

    if request.body and request.field("content-encoding") is not None:
        raise ValueError("compress can not be set if Content-Encoding header is set")
    compressed(request, compress if isinstance(compress, str) else "deflate", request.defaults.names)


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body
