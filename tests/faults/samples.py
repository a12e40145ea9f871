"""Responses as RFC 9110 and 9112 shape them, with what a client should make of each. Knows no server."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

__all__ = ["RESPONSES", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One response: `wire` is what is sent, `body` what a client gives its user after decoding."""

    name: str
    wire: bytes
    body: bytes = b""
    status: int = 200
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    until_close: bool = False
    interim: bytes = b""  # what of the wire comes before the final response

    @property
    def head(self) -> bytes:
        """The status line and the header section of the final response, with the empty line."""
        start = len(self.interim)
        return self.wire[start : self.wire.index(b"\r\n\r\n", start) + 4]

    @property
    def raw_body(self) -> bytes:
        """What follows the head: chunk framing and content coding as sent."""
        return self.wire[len(self.interim) + len(self.head) :]

    def __str__(self) -> str:
        return self.name


_TEXT = b"It was the best of times, it was the worst of times."
_GZIP = gzip.compress(_TEXT, mtime=0)
_ZLIB = zlib.compress(_TEXT)
_OK = b"HTTP/1.1 200 OK\r\n"
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def _chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


_SAMPLES = (
    Sample("fixed", _OK + _length(_TEXT) + b"\r\n" + _TEXT, _TEXT),
    Sample("empty", _OK + b"Content-Length: 0\r\n\r\n"),
    Sample("chunked", _OK + b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(_TEXT[:20], _TEXT[20:]) + b"\r\n", _TEXT),
    Sample(
        "trailers",
        _OK + b"Trailer: Digest\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunked(_TEXT[:20], _TEXT[20:]) + b"Digest: abc\r\n\r\n",
        _TEXT,
        trailers=((b"Digest", b"abc"),),
    ),
    Sample(
        "chunk-extensions",
        _OK + b'Transfer-Encoding: chunked\r\n\r\n014;a=b;c="d"\r\n' + _TEXT[:20] + b"\r\n20;x\r\n" + _TEXT[20:] + b"\r\n0;last\r\n\r\n",
        _TEXT,
    ),
    Sample("until-close", _OK + b"Content-Type: text/plain\r\n\r\n" + _TEXT, _TEXT, until_close=True),
    Sample("http-1.0", b"HTTP/1.0 200 OK\r\n\r\n" + _TEXT, _TEXT, until_close=True),
    Sample("no-content", b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    Sample("not-modified", b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n' + _length(_TEXT) + b"\r\n", status=304),
    Sample("after-103", _HINTS + _OK + _length(_TEXT) + b"\r\n" + _TEXT, _TEXT, interim=_HINTS),
    Sample("gzip", _OK + b"Content-Encoding: gzip\r\n" + _length(_GZIP) + b"\r\n" + _GZIP, _TEXT),
    Sample("deflate", _OK + b"Content-Encoding: deflate\r\n" + _length(_ZLIB) + b"\r\n" + _ZLIB, _TEXT),
    Sample(
        "chunked-gzip",
        _OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunked(_GZIP[:7], _GZIP[7:]) + b"\r\n",
        _TEXT,
    ),
    Sample("server-error", b"HTTP/1.1 500 Internal Server Error\r\n" + _length(b"oops") + b"\r\noops", b"oops", status=500),
)

RESPONSES: dict[str, Sample] = {sample.name: sample for sample in _SAMPLES}
