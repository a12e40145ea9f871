"""Writes request heads (RFC 9112 section 3): the one place where a head becomes bytes, and so the one that refuses control bytes.

Knows no connection. Field order, case and repeats go out as given; Content-Length and Transfer-Encoding are ours, and a user's own
must agree with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InvalidHeader
from .headers import checked_name, checked_value
from .request_body import StreamedBody

if TYPE_CHECKING:
    from .models import Request

__all__ = ["HeaderBlock", "serialize"]

# Methods whose meaning anticipates content: these say Content-Length: 0 when they carry none (RFC 9110 section 8.6).
_EXPECTING_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_METHODS = {name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")}


class HeaderBlock:
    """A client's default fields, checked and written once."""

    __slots__ = ("close", "data", "pairs")

    def __init__(self, pairs: list[tuple[str, str | None]]) -> None:
        self.pairs = [(name, value) for name, value in pairs if value is not None]
        self.data = b"".join([_line(name, value) for name, value in self.pairs])
        self.close = _asks_to_close(self.pairs)
        for name, _ in self.pairs:
            if name.lower() in ("content-length", "transfer-encoding", "host"):
                raise InvalidHeader(f"{name!r} belongs to one request, not to a client's default headers")

    def merged(self, own: list[tuple[str, str | None]]) -> list[tuple[str, str]]:
        """These fields but for the names that `own` sets (or removes, by None), then own."""
        names = {name.lower() for name, _ in own}
        kept = [pair for pair in self.pairs if pair[0].lower() not in names]
        return kept + [(name, value) for name, value in own if value is not None]


def serialize(request: Request) -> tuple[bytes, bool]:
    """The head as it goes on the wire, and whether it asks for the connection to be closed. Errors: InvalidHeader, InvalidURL."""
    if not isinstance(request.method, str):
        raise TypeError(f"method: give str, not {type(request.method).__name__}")
    method = _METHODS.get(request.method) or checked_name(request.method, "method").encode()
    parsed = request.parsed
    body = request.body
    if body is None:
        framing = b"Content-Length: 0\r\n" if request.method in _EXPECTING_CONTENT else b""
    elif isinstance(body, bytes):
        framing = b"Content-Length: %d\r\n" % len(body)
    elif body.length is not None:
        framing = b"Content-Length: %d\r\n" % body.length
    else:
        framing = b"Transfer-Encoding: chunked\r\n"

    defaults = request.defaults
    if not request.has_own_fields:
        return b"".join((method, parsed.head, defaults.data, framing, b"\r\n")), defaults.close
    lines = [method, parsed.head]
    pairs = request.pairs()
    for name, value in pairs:
        lowered = name.lower()
        if lowered == "host":
            if lines[1] is not parsed.head:
                raise InvalidHeader("Host: a request has one, not several (RFC 9112 section 3.2)")
            lines[1] = b" %b HTTP/1.1\r\n" % parsed.target
        elif lowered == "content-length":
            framing = _declared_length(value, body, framing)
            continue
        elif lowered == "transfer-encoding":
            if value.lower().strip(" \t") != "chunked" or not framing.startswith(b"Transfer"):
                raise InvalidHeader(f"Transfer-Encoding: {value!r} can't be set by hand: this body goes out as {_plainly(framing)}")
            continue
        lines.append(_line(name, value))
    lines += (framing, b"\r\n")
    return b"".join(lines), _asks_to_close(pairs)


def _line(name: str, value: str) -> bytes:
    return b"%b: %b\r\n" % (checked_name(name).encode(), checked_value(name, value))


def _asks_to_close(pairs: list[tuple[str, str]]) -> bool:
    return any(name.lower() == "connection" and "close" in {token.strip() for token in value.lower().split(",")} for name, value in pairs)


def _declared_length(value: str, body: bytes | StreamedBody | None, framing: bytes) -> bytes:
    """The user's Content-Length where it agrees with the body; it makes a stream of unknown length one of known length."""
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise InvalidHeader(f"Content-Length: {value!r} is not a number of bytes")
    if isinstance(body, StreamedBody) and body.length is None:
        body.length = int(value)
    elif framing != b"Content-Length: %d\r\n" % int(value) and not (body is None and int(value) == 0):
        raise InvalidHeader(f"Content-Length: {value} disagrees with the body, which goes out as {_plainly(framing)}")
    return b"Content-Length: %d\r\n" % int(value)


def _plainly(framing: bytes) -> str:
    return repr(framing.decode("ascii").strip()) if framing else "no content"


EMPTY = HeaderBlock([])
