"""What the test server answers: a Reply, and how it becomes bytes. Knows the request it answers, no socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from .request import Request

__all__ = ["Reply", "chunk"]

Body = bytes | AsyncIterable[bytes]
Framing = Literal["length", "chunked", "close"]


class Reply:
    """What a handler answers; the framing is chosen unless it is said.

    `body` is bytes, str or an async iterable of bytes (sent chunked, with back-pressure). `framing` forces "length", "chunked" or
    "close" (until the connection ends); own Content-Length or Transfer-Encoding headers leave the framing to you, and the body goes
    out as it is. `close` ends the connection afterwards and says so. `extra` are bytes put behind the reply, where none belong.
    Nothing is checked: broken replies are what tests need. No Date and no Server field is added.
    """

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | str | AsyncIterable[bytes] = b"",
        *,
        reason: str | None = None,
        version: str = "HTTP/1.1",
        trailers: Iterable[tuple[str, str]] = (),
        framing: Framing | None = None,
        close: bool = False,
        extra: bytes = b"",
    ) -> None:
        self.status = status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        self.body: Body = body.encode() if isinstance(body, str) else body
        self.reason = _REASONS.get(status, "") if reason is None else reason
        self.version = version
        self.trailers = list(trailers)
        self.framing = framing
        self.close = close
        self.extra = extra
        self._encoded: dict[tuple[bool, bool, bytes], tuple[bytes, bool]] = {}

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        return cls(status, [("Content-Type", "application/json"), *headers], json.dumps(value))

    @classmethod
    def of(cls, value: Any) -> Reply:
        """A reply from what a handler may return: Reply, bytes, str, dict or list (JSON), int (status), (status[, headers], body)."""
        match value:
            case Reply():
                return value
            case bytes() | bytearray():
                return cls(200, [("Content-Type", "application/octet-stream")], bytes(value))
            case str():
                return cls(200, [("Content-Type", "text/plain; charset=utf-8")], value)
            case dict() | list():
                return cls.json(value)
            case int() if not isinstance(value, bool):
                return cls(value)
            case (int() as status, body):
                reply = cls.of(body)
                return cls(status, reply.headers, reply.body)
            case (int() as status, headers, body):
                return cls(status, headers, cls.of(body).body)
            case _ if hasattr(value, "__aiter__"):
                return cls(200, [("Content-Type", "application/octet-stream")], value)
        raise TypeError(f"a handler can't answer with {type(value).__name__}: return a Reply, bytes, str, dict, list, status or tuple")

    def encode(self, request: Request) -> tuple[bytes, bool]:
        """The whole wire when `body` is bytes, else the head; and whether the connection ends with this reply."""
        bodiless = request.method == "HEAD" or (request.method == "CONNECT" and 200 <= self.status < 300)
        key = (bodiless, request.keep_alive, request.version)
        encoded = self._encoded.get(key)  # a Reply that a route gives each time is encoded once
        if encoded is None:
            encoded = self._encoded[key] = self._encode(bodiless, request.keep_alive, request.version)
        return encoded

    def chosen_framing(self, version: bytes) -> Framing | None:
        """None: the headers speak for themselves, or there is no body."""
        names = {name.lower() for name, _ in self.headers}
        if self.status < 200 or self.status in (204, 304) or names & {"content-length", "transfer-encoding"}:
            return None
        if self.framing is not None:
            return self.framing
        if isinstance(self.body, bytes) and not self.trailers:
            return "length"
        return "chunked" if version == b"HTTP/1.1" and self.version == "HTTP/1.1" else "close"

    def _encode(self, bodiless: bool, keep_alive: bool, version: bytes) -> tuple[bytes, bool]:
        framing = self.chosen_framing(version)
        body = self.body if isinstance(self.body, bytes) else b""
        if self.status < 200 or self.status in (204, 304):
            body = b""
        headers = list(self.headers)
        if framing == "length":
            headers.append(("Content-Length", str(len(body))))
        elif framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            if isinstance(self.body, bytes):
                body = chunk(body) + self.last_chunk() if body else self.last_chunk()
        options = {v.lower() for n, v in headers if n.lower() == "connection"}
        ends = self.close or framing == "close" or not keep_alive or "close" in options
        if not options and self.status >= 200:
            if ends:
                headers.append(("Connection", "close"))
            elif version == b"HTTP/1.0" or self.version == "HTTP/1.0":
                headers.append(("Connection", "keep-alive"))
        lines = [f"{self.version} {self.status} {self.reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        wire = head if bodiless else head + body
        return (wire + self.extra if bodiless or isinstance(self.body, bytes) else wire), ends

    def last_chunk(self) -> bytes:
        """The end of a chunked body: RFC 9112 section 7.1."""
        return b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in self.trailers) + b"\r\n"


_REASONS = {status.value: status.phrase for status in HTTPStatus}


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
