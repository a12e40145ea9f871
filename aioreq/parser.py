"""The response parser: its contract, and the switch between the compiled twin and the pure one.

Knows bytes and nothing else: no URL, no loop, no stream, no header mapping.

    parser = ResponseParser(receiver, limits)
    parser.expect("GET")        before each response; HEAD and CONNECT change what follows a head
    parser.feed(data)           any bytes-like object; read during the call only, what is kept is copied out, once
    parser.feed(data, size)     the same with its first `size` bytes
    parser.room()               while `gathering`: a buffer to write into what comes next, which is then fed: feed(room, size)
    parser.feed_eof()           the connection ended: True when the response is whole, False when it was cut
    parser.rest()               bytes that came behind the end of the message, or before expect(); taking them empties them

`Receiver` says what is called meanwhile. The attributes: `started` (a byte of the response was seen), `done` (all of it was), and
from the final `on_head` on `keep_alive` (the connection may carry another exchange), `upgraded` (101, or 2xx to CONNECT: the message
ends behind its head, the rest is another protocol's), `content_length` (as declared, or None) and `close_delimited` (the body ends
with the connection). `gathering` tells that a body is being gathered, `gathered` what has arrived of it. `chunk_ends`, where the
receiver puts a list there in the final `on_head`, gets how many bytes of the body lie before the end of each chunk.

What RFC 9112 forbids raises `RemoteProtocolError`, what passes a cap of `Limits` raises `LimitExceeded`, both from `feed` and at the
first byte that is surely wrong. After an error, be it a callback's own, the parser is broken: it raises whatever is fed or expected.
The verdict never depends on how the bytes were split. Behind `on_end` nothing is parsed until `expect`, and feeding from inside a
callback is an error. The rules, without a lenient switch: lines end with CRLF; no empty line before the status line; the space
behind the status code may be missing; no folded lines, no space before a colon, no control bytes (a tab in a value excepted);
one Content-Length of digits; no Transfer-Encoding but one `chunked`, and that not in HTTP/1.0; HTTP/1.0 and 1.1, status 100 to 599;
whitespace behind a chunk size only before ";". Fields of a trailer section are handed on, never merged, and never change the framing.

AIOREQ_EXTENSIONS in the environment chooses: `auto` takes the compiled twin where it was built, `required` fails where it was not,
`off` takes the pure one. `IMPLEMENTATION` tells which runs.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Protocol

from .headers import Fields

__all__ = ["IMPLEMENTATION", "ChunkedDecoder", "Receiver", "ResponseParser", "find"]


class Receiver(Protocol):
    """What a parser calls. An exception raised here comes out of `feed`, and the parser is broken."""

    def on_head(self, version: str, status: int, reason: bytes, fields: Fields, /) -> bool | None:
        """A head is complete: of the final response, or of a 1xx before it. `version` is "1.1" or "1.0".

        True: a body of declared length is wanted whole. The parser then gathers it where it isn't in one feed with its head.
        """

    def on_body(self, data: bytes, /) -> None:
        """A piece of the body, never empty: one a feed, however many chunks it came in; the whole of one that was gathered."""

    def on_end(self, trailers: Fields, /) -> None:
        """The response is whole."""


def _choose() -> str:
    choice = os.environ.get("AIOREQ_EXTENSIONS", "") or "auto"
    if choice not in ("auto", "off", "required"):
        raise ImportError(f"AIOREQ_EXTENSIONS={choice!r} in the environment: must be auto, off or required")
    if choice == "off":
        return "pure"
    try:
        from . import _parser  # noqa: F401
    except ImportError as error:
        if choice == "required":
            raise ImportError(
                "AIOREQ_EXTENSIONS=required in the environment, but the compiled parser can't be imported "
                f"({error}): install a wheel that was built with it, or unset the variable"
            ) from error
        return "pure"
    return "compiled"


IMPLEMENTATION = _choose()

if TYPE_CHECKING or IMPLEMENTATION == "compiled":
    from ._parser import ChunkedDecoder, ResponseParser, find
else:
    from ._parser_py import ChunkedDecoder, ResponseParser, find

logging.getLogger("aioreq").info("the %s parser runs", IMPLEMENTATION)
