"""What the test server reads: requests as they were sent.

The reader is strict on purpose: a client under test gets no mercy. It knows bytes only, no socket and nothing of aioreq's own parser,
so that one mistake can't hide in both.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["BadRequest", "Bell", "Request", "RequestReader"]

# A head, a chunk-size line or a trailer section longer than this is refused with 431, so that a runaway client is noticed.
HEAD_LIMIT = 1 << 20

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%s) ([\x21-\x7e]+) (HTTP/\d\.\d)" % _TOKEN)  # RFC 9112 section 3
_FIELD = re.compile(rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)  # RFC 9112 section 5
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})([ \t]*;[\t\x20-\x7e\x80-\xff]*)?")  # RFC 9112 section 7.1
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_INSPECTED = {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade"}

Fields = list[tuple[bytes, bytes]]


class BadRequest(Exception):
    """The client broke RFC 9112; `status` is what it is told."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Bell:
    """Wakes whoever waits for something to change."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class Request:
    """One request as the server received it: bytes as sent, nothing normalised.

    `target` and `head` are the exact bytes, `headers` and `trailers` pairs of bytes in order and case. `connection` is the number of
    the connection it came on (from 1), `chunks` the sizes of its chunks. A request is recorded when its head is in: `complete` turns
    True, and `body` stops growing, when its last byte is.
    """

    def __init__(self, method: str, target: bytes, version: bytes, headers: Fields, head: bytes) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.head = head
        self.trailers: Fields = []
        self.chunks: list[int] = []
        self.complete = False
        self.keep_alive = True
        self.switches = False  # CONNECT or Upgrade: what follows may not be HTTP
        self.params: dict[str, str] = {}  # what the route's {placeholders} matched
        self.connection = 0
        self.peer: Any = None
        self.scheme = "http"
        self.received = 0  # body bytes, also those taken by pieces()
        self.bell = Bell()
        self._body = bytearray()

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target.decode('latin-1')}>"

    @property
    def body(self) -> bytes:
        """What has arrived of the body, without its chunk framing."""
        return bytes(self._body)

    @property
    def text(self) -> str:
        return self._body.decode()

    def json(self) -> Any:
        return json.loads(self._body)

    def header(self, name: str) -> str | None:
        """The first value of a field, whatever the case of its name."""
        values = self.header_values(name)
        return values[0] if values else None

    def header_values(self, name: str) -> list[str]:
        """All values of a field, in order."""
        wanted = name.lower().encode()
        return [v.decode("utf-8", "surrogateescape") for n, v in self.headers if n.lower() == wanted]

    @property
    def path(self) -> str:
        """The target without its query, nothing decoded; of an absolute-form target (a proxy request) only the path."""
        target = self.target.partition(b"?")[0].decode("latin-1")
        if target.startswith("/") or "://" not in target:
            return target
        return "/" + target.partition("://")[2].partition("/")[2]

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded pairs of the query."""
        return parse_qsl(self.target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True)

    @property
    def url(self) -> str:
        target = self.target.decode("latin-1")
        return target if "://" in target.partition("?")[0] else f"{self.scheme}://{self.header('host') or ''}{target}"

    async def finished(self) -> Request:
        """Waits for the last byte of the body (for handlers of a route that is `early`)."""
        await self.bell.until(lambda: self.complete)
        return self

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives, not kept in `body` (for handlers of a route that is `early`)."""
        while self._body or not self.complete:
            if self._body:
                piece = bytes(self._body)
                self._body.clear()
                yield piece
            else:
                await self.bell.until(lambda: bool(self._body) or self.complete)

    def add(self, data: bytes | bytearray) -> None:
        self._body += data
        self.received += len(data)


class RequestReader:
    """Bytes in, requests out: `on_head(request)`, `on_body(request)` when some has arrived, `on_end(request)`; BadRequest is raised.

    After a request that may switch protocols it holds what follows until `resume()` or `rest()`.
    """

    def __init__(self, receiver: Any) -> None:
        self._receiver = receiver
        self._buffer = bytearray()
        self._step: Callable[[], bool] = self._head
        self._request: Request
        self._left = 0
        self._held = False

    @property
    def between_requests(self) -> bool:
        return self._step == self._head and not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data
        self._run()

    def resume(self) -> None:
        self._held = False
        self._run()

    def rest(self) -> bytes:
        """Takes what has arrived behind the last request."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _run(self) -> None:
        # A step is True when it got on, False when it needs more bytes.
        while self._buffer and not self._held and self._step():
            pass

    def _until(self, mark: bytes, what: str) -> bytes | None:
        end = self._buffer.find(mark)
        if end < 0 or end > HEAD_LIMIT:
            if len(self._buffer) > HEAD_LIMIT:
                raise BadRequest(f"{what} is longer than {HEAD_LIMIT} bytes", 431)
            if _BARE_LINE_END.search(self._buffer):
                raise BadRequest(f"bare CR or LF in {what}")
            return None
        end += len(mark)
        taken = bytes(self._buffer[:end])
        del self._buffer[:end]
        return taken

    def _head(self) -> bool:
        head = self._until(b"\r\n\r\n", "the head")
        if head is None:
            return False
        line, *lines = head[:-4].split(b"\r\n")
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise BadRequest(f"not a request line: {line!r}")
        method, target, version = match.groups()
        if version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise BadRequest(f"unknown version {version!r}", 505)
        request = Request(method.decode(), target, version, [], head)
        inspected = _fields(lines, request.headers)
        self._left = _body_length(inspected, version)
        hosts = inspected.get(b"host", ())
        if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):  # RFC 9112 section 3.2
            raise BadRequest(f"exactly one Host is needed, not {len(hosts)}")
        options = b",".join(inspected.get(b"connection", ())).lower().replace(b" ", b"").split(b",")
        request.keep_alive = b"close" not in options and (version == b"HTTP/1.1" or b"keep-alive" in options)
        request.switches = method == b"CONNECT" or (b"upgrade" in inspected and b"upgrade" in options)
        self._request = request
        self._receiver.on_head(request)
        if self._left == 0:
            self._end()
        else:
            self._step = self._fixed if self._left > 0 else self._chunk_size
        return True

    def _end(self) -> None:
        self._request.complete = True
        self._step = self._head
        self._held = self._request.switches
        self._receiver.on_end(self._request)
        self._request.bell.ring()

    def _take(self) -> bool:
        taken = self._buffer[: self._left]
        del self._buffer[: len(taken)]
        self._left -= len(taken)
        self._request.add(taken)
        self._receiver.on_body(self._request)
        self._request.bell.ring()
        return self._left == 0

    def _fixed(self) -> bool:
        if self._take():
            self._end()
            return True
        return False

    def _chunk_size(self) -> bool:
        line = self._until(b"\r\n", "a chunk-size line")
        if line is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line[:-2])
        if match is None:
            raise BadRequest(f"not a chunk size: {line!r}")
        self._left = int(match[1], 16)
        if self._left:
            self._request.chunks.append(self._left)
        self._step = self._chunk_data if self._left else self._trailers
        return True

    def _chunk_data(self) -> bool:
        if self._take():
            self._step = self._chunk_end
            return True
        return False

    def _chunk_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise BadRequest(f"CRLF must follow chunk data, not {bytes(self._buffer[:2])!r}")
        del self._buffer[:2]
        self._step = self._chunk_size
        return True

    def _trailers(self) -> bool:
        if self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
        else:
            section = self._until(b"\r\n\r\n", "the trailers")
            if section is None:
                return False
            _fields(section[:-4].split(b"\r\n"), self._request.trailers)
        self._end()
        return True


def _fields(lines: list[bytes], into: Fields) -> dict[bytes, list[bytes]]:
    """Adds the fields to `into`; returns the values of those that rule framing, by lower-case name."""
    inspected: dict[bytes, list[bytes]] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise BadRequest(f"not a field: {line!r}")
        name, value = match[1], match[2].rstrip(b" \t")
        into.append((name, value))
        if (lower := name.lower()) in _INSPECTED:
            inspected.setdefault(lower, []).append(value)
    return inspected


def _body_length(inspected: dict[bytes, list[bytes]], version: bytes) -> int:
    """RFC 9112 section 6.3 without its leniencies; -1 is chunked."""
    lengths = inspected.get(b"content-length", ())
    codings = inspected.get(b"transfer-encoding", ())
    if codings:
        if lengths:
            raise BadRequest("both Content-Length and Transfer-Encoding")
        if version != b"HTTP/1.1" or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise BadRequest(f"Transfer-Encoding {b', '.join(codings)!r} with {version.decode()}", 501)
        return -1
    if not lengths:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
        raise BadRequest(f"Content-Length {b', '.join(lengths)!r}")
    return int(lengths[0])
