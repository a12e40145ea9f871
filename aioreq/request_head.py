"""Writes request heads (RFC 9112 section 3): the one place where a head becomes bytes, and so the one that refuses control bytes.

Knows no connection. Field order, case and repeats go out as given; Content-Length and Transfer-Encoding are ours, and a user's own
must agree with them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from .errors import InvalidHeader, InvalidURL, LocalProtocolError
from .headers import checked_name, checked_value, field_pairs
from .request_body import StreamedBody
from .urls import authority

if TYPE_CHECKING:
    from .models import Request
    from .proxies import Proxy

__all__ = ["HeaderBlock", "MessageBlock", "checked_host", "connect_head", "field_line", "is_continue", "serialize"]

# Methods whose meaning anticipates content: these say Content-Length: 0 when they carry none (RFC 9110 section 8.6).
_EXPECTING_CONTENT = frozenset({"POST", "PUT", "PATCH"})
_NOT_IN_TARGET = re.compile(r"[^!-~]")
# Fields that the head has a say in; any other goes out as it is.
_RULED = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})
_METHODS = {name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")}


class HeaderBlock:
    """A client's default fields, checked and written once."""

    __slots__ = ("close", "data", "expects", "last", "names", "pairs")
    whole = False  # whether they are all the fields of a message

    def __init__(self, pairs: list[tuple[str, str | None]]) -> None:
        self.pairs = [(name, value) for name, value in pairs if value is not None]
        self.data = b"".join([field_line(name, value) for name, value in self.pairs if not _is_expectation(name, value)])
        self.last = self.data + b"\r\n"  # where the head ends with them
        self.names = frozenset(name.lower() for name, _ in self.pairs)
        self.close = any(name.lower() == "connection" and _asks_to_close(value) for name, value in self.pairs)
        self.expects = any(_is_expectation(name, value) for name, value in self.pairs)  # with a body, that is: not in `data`
        for name, _ in self.pairs:
            if name.lower() in ("content-length", "transfer-encoding", "host"):
                raise InvalidHeader(f"{name!r} belongs to one request, not to a client's default headers")

    def merged(self, own: list[tuple[str, str | None]]) -> list[tuple[str, str]]:
        """These fields but for the names that `own` sets (or removes, by None), then own."""
        names = {name.lower() for name, _ in own}
        kept = [pair for pair in self.pairs if pair[0].lower() not in names]
        return kept + [(name, value) for name, value in own if value is not None]


class MessageBlock(HeaderBlock):
    """All the fields of one message, Host and framing among them: they go out as they are, in their order.

    `length` and `chunked` are what they declare, which the body has to agree with: whoever sends it sees to that. Errors: InvalidHeader.
    """

    __slots__ = ("chunked", "length")
    whole = True

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self.data = b"".join([field_line(name, value) for name, value in pairs])
        self.last = self.data + b"\r\n"
        self.names = frozenset(name.lower() for name, _ in pairs)
        self.close = any(name.lower() == "connection" and _asks_to_close(value) for name, value in pairs)
        self.expects = False  # what there is of it stands in `data`
        declared = [(name.lower(), value) for name, value in pairs]
        lengths = {value for name, value in declared if name == "content-length"}
        codings = [value.strip(" \t").lower() for name, value in declared if name == "transfer-encoding"]
        if codings not in ([], ["chunked"]) or (codings and lengths):
            raise InvalidHeader("the body's framing is one Content-Length, or Transfer-Encoding: chunked alone (RFC 9112 section 6)")
        if len(lengths) > 1 or not all(value.isascii() and value.isdigit() and len(value) <= 18 for value in lengths):
            raise InvalidHeader(f"Content-Length: {', '.join(sorted(lengths))!r} is not one number of bytes")
        if sum(name == "host" for name, _ in declared) > 1:
            raise InvalidHeader("Host: a request has one, not several (RFC 9112 section 3.2)")
        self.chunked = bool(codings)
        self.length = int(lengths.pop()) if lengths else None


def serialize(request: Request, proxy: Proxy | None = None) -> tuple[bytes, bool]:
    """The head as it goes on the wire, and whether it asks for the connection to be closed. Errors: InvalidHeader, InvalidURL.

    `proxy` is the one that the request goes through, or to.
    """
    body, defaults = request.body, request.defaults
    plain = request._headers is None and not request._fields and request.cookie is None and request.authorization is None
    if not isinstance(request.method, str):
        raise TypeError(f"method: give str, not {type(request.method).__name__}")
    method = _METHODS.get(request.method) or _other_method(request.method)
    parsed = request._parsed or request.parsed
    start = parsed.head if proxy is None else _start_for(proxy, request)
    if body is None:
        if plain and request.method not in _EXPECTING_CONTENT:
            return b"".join((method, start, defaults.last)), defaults.close
        if defaults.whole:
            return b"".join((method, start, defaults.last)), defaults.close
        framing = b"Content-Length: 0\r\n" if request.method in _EXPECTING_CONTENT else b""
    elif defaults.whole:
        return b"".join((method, start, defaults.last)), defaults.close
    elif isinstance(body, bytes):
        framing = b"Content-Length: %d\r\n" % len(body)
    elif body.length is not None:
        framing = b"Content-Length: %d\r\n" % body.length
    else:
        framing = b"Transfer-Encoding: chunked\r\n"

    if plain and (body is None or not defaults.expects):
        if body is not None and request._extensions is not None:
            framing = _announced(request, framing)
        return b"".join((method, start, defaults.data, framing, b"\r\n")), defaults.close
    written, close = defaults.data, defaults.close
    pairs = None if defaults.expects else request.added_pairs()
    if pairs is None:
        written, close, pairs = b"", False, request.pairs()
    lines = [method, start, written]
    for name, value in pairs:
        lowered = name.lower()
        if lowered not in _RULED:
            pass
        elif lowered == "host":
            if lines[1] is not start:
                raise InvalidHeader("Host: a request has one, not several (RFC 9112 section 3.2)")
            lines[1] = start.replace(b"Host: %b\r\n" % parsed.authority, b"", 1)
        elif lowered == "content-length":
            framing = _declared_length(value, body, framing)
            continue
        elif lowered == "transfer-encoding":
            if value.lower().strip(" \t") != "chunked" or not framing.startswith(b"Transfer"):
                raise InvalidHeader(f"Transfer-Encoding: {value!r} can't be set by hand: this body goes out as {_plainly(framing)}")
            continue
        elif lowered == "connection":
            close = close or _asks_to_close(value)
        elif is_continue(value) and not request.expects_continue:
            continue  # RFC 9110 section 10.1.1: never without content
        lines.append(field_line(name, value))
    if body is not None and request._extensions is not None:
        framing = _announced(request, framing)
    lines += (framing, b"\r\n")
    return b"".join(lines), close


def _start_for(proxy: Proxy, request: Request) -> bytes:
    """What stands behind the method where the request takes this proxy: all of it goes to one that forwards, its target in absolute form
    (RFC 9112 section 3.2.2) and the proxy's own fields with it; through a tunnel goes what goes to every origin."""
    parsed = request.parsed
    if request.field("proxy-authorization") is not None:
        # Through a tunnel the origin would get it.
        raise InvalidHeader("Proxy-Authorization: give it to the proxy alone, by Proxy(auth=...) or Proxy(headers=...)")
    if not proxy.forwards(parsed.origin):
        return parsed.head
    return b" http://%b%b%b" % (parsed.authority, parsed.head[1:], _forwarded_fields(proxy, request) if proxy.headers else proxy.fields)


def _forwarded_fields(proxy: Proxy, request: Request) -> bytes:
    """The proxy's fields in front of a request's own. Named in Connection none goes on to the origin (RFC 9110 section 7.6.1), for which a
    field of both would be lost then: that is the request's."""
    taken = {name.lower() for name, _ in request.pairs()}
    own = [(name, value) for name, value in field_pairs(proxy.headers) if value is not None and name.lower() not in taken]
    names = ", ".join(dict.fromkeys(name for name, _ in own if name.lower() != "proxy-authorization"))
    lines = [field_line(name, value) for name, value in (*own, *([("Connection", names)] if names else []))]
    return proxy.authorization + b"".join(lines)


def connect_head(host: str, port: int, proxy: Proxy) -> bytes:
    """The head that asks a proxy for a tunnel (RFC 9112 section 3.2.3). Errors: InvalidURL."""
    target = authority(checked_host(host), port).encode()
    return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, target, proxy.fields)


def _announced(request: Request, framing: bytes) -> bytes:
    """The framing of a body, and the names of the trailers behind it."""
    if request._extensions is None or "trailers" not in request._extensions:
        return framing
    from .request_trailers import announced

    return announced(request, framing)


def _other_method(method: str) -> bytes:
    if method == "CONNECT":
        raise LocalProtocolError("CONNECT asks a proxy for a tunnel (RFC 9110 section 9.3.6): give proxy=, and the tunnel is made for you")
    return checked_name(method, "method").encode()


def is_continue(value: str) -> bool:
    """Whether the value of an Expect field is the expectation that RFC 9110 section 10.1.1 knows."""
    return value.strip(" \t").lower() == "100-continue"


def _is_expectation(name: str, value: str) -> bool:
    return name.lower() == "expect" and is_continue(value)


def checked_host(host: str) -> str:
    """The same host, as a proxy may be asked for it: where somebody made it by hand it may hold anything. Errors: InvalidURL."""
    if bad := _NOT_IN_TARGET.search(host):
        raise InvalidURL(f"host {host!r}: {bad[0]!r} at position {bad.start()} is not allowed there")
    return host


def field_line(name: str, value: str) -> bytes:
    """One field as it goes on the wire. Errors: InvalidHeader."""
    return b"%b: %b\r\n" % (_written_name(name), checked_value(name, value))


@lru_cache(maxsize=512)
def _written_name(name: str) -> bytes:
    return checked_name(name).encode()


def _asks_to_close(value: str) -> bool:
    """Whether a Connection field says so."""
    return "close" in {token.strip() for token in value.lower().split(",")}


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
