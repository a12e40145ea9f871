"""Response and StreamResponse: what came back, its body in memory or still arriving. Data and grammar; no sockets, no policy."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import TYPE_CHECKING, Any, Self

from yarl import URL

from . import threads
from .encodings import Decoder, decode_all, decoder_for
from .errors import AioreqError, DecodeError, StatusError
from .headers import Fields, text
from .parser import find
from .response_body import Pieces, ResponseBody
from .response_headers import ResponseHeaders
from .transfer import ConnectionInfo, Timings, Transfer

if TYPE_CHECKING:
    from .models import Request

__all__ = ["Response", "ResponseHead", "StreamResponse"]

_THREAD_ABOVE = 1024 * 1024  # decoding more than this would hold up the loop for milliseconds
_STATUS_ERROR_BODY = 64 * 1024
# The charsets that Python knows by a name that servers may send. Looking up any other would cost memory for good: Python remembers
# each name that it failed to find. Its codecs that are no charset (hex, zlib, idna ...) are left out.
_CHARSETS = {
    name for pair in aliases.items() if not pair[1].endswith("_codec") and pair[1] not in ("mbcs", "oem", "rot_13") for name in pair
}
_CHARSETS |= {"cp720", "cp737", "cp874", "koi8_u", "utf_8_sig"}


class ResponseHead:
    """What both kinds of response have: the head, and where it came from."""

    __slots__ = (
        "_headers",
        "_reason",
        "_transfer",
        "coding",
        "elapsed",
        "fields",
        "http_version",
        "json_loads",
        "redirects",
        "request",
        "status",
    )

    def __init__(
        self,
        request: Request,
        version: str,
        status: int,
        reason: bytes,
        fields: Fields,
        transfer: Transfer | None = None,
    ) -> None:
        self.request = request
        self.http_version = version
        self.status = status
        self.coding: bytes | None = None
        self.redirects: tuple[ResponseHead, ...] = ()
        self.elapsed = 0.0
        self.json_loads: Callable[[bytes], Any] | None = None
        self._reason = reason
        self.fields = fields
        self._headers: ResponseHeaders | None = None
        self._transfer = transfer  # None where somebody made the response by hand

    @property
    def status_message(self) -> str:
        """The reason phrase as sent; may be empty."""
        return text(self._reason)

    @property
    def headers(self) -> ResponseHeaders:
        """The received fields: case-insensitive, repeats kept."""
        if self._headers is None:
            self._headers = ResponseHeaders(self.fields)
        return self._headers

    @property
    def url(self) -> URL:
        """The URL that answered: after redirects, the last one."""
        return self.request.url

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def connection(self) -> ConnectionInfo:
        """What it came over: addresses, TLS, whether the connection had served before."""
        return ConnectionInfo() if self._transfer is None else self._transfer.connection

    @property
    def timings(self) -> Timings:
        """Where the time went, in seconds: waiting for a slot, connecting, sending, waiting, receiving."""
        return Timings() if self._transfer is None else self._transfer.timings

    def field(self, name: bytes) -> bytes | None:
        """The first raw value of a field; `name` in lower case."""
        return find(self.fields, name)

    def field_values(self, name: bytes) -> list[bytes]:
        """All raw values of a field; `name` in lower case."""
        return [value for own, value in self.fields if own.lower() == name]

    def _declared_charset(self) -> str | None:
        for parameter in text(self.field(b"content-type") or b"").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = normalize_encoding(value.strip().strip("\"'")).lower()
                return codecs.lookup(charset).name if charset in _CHARSETS else None
        return None

    def _encoding_of(self, content: bytes) -> str:
        """The declared charset, a byte order mark, then UTF-8."""
        if declared := self._declared_charset():
            return declared
        for mark, name in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
            if content.startswith(mark):
                return name
        return "utf-8"

    def _text_of(self, content: bytes) -> str:
        return content.decode(self._encoding_of(content), "replace")

    def _json_of(self, content: bytes, loads: Callable[[bytes], Any] | None) -> Any:
        loads = loads or self.json_loads
        if loads is None:
            import json  # not at the start of a program that reads none

            loads = json.loads
        try:
            # RFC 8259 section 8.1: UTF-8; json.loads also detects UTF-16 and UTF-32.
            return loads(content)
        except (ValueError, RecursionError) as error:
            kind = _printable(self.field(b"content-type") or b"no Content-Type")
            message = f"the body of {self._described()} is no JSON ({kind}, {len(content)} bytes): {error}"
            raise DecodeError(message, request=self.request, partial=content) from error

    def _described(self) -> str:
        where = f"{self.request.parsed.origin.host}{self.url.raw_path}"
        return f"{self.request.method} {where}: {self.status} {_printable(self._reason)}".rstrip()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {_printable(self._reason)}".rstrip() + ">"


class Response(ResponseHead):
    """A response with its whole body in memory.

    `status`, `headers`, `url` and `request` tell what came back; `content` is the decoded body, `text` and `json()` what it says.
    `redirects` are the earlier heads, `elapsed` the seconds from the call to here, `timings` where they went, `connection` what it came
    over, `trailers` the fields behind a chunked body.
    """

    __slots__ = ("_content", "_raw", "_trailers")

    def __init__(
        self,
        request: Request,
        version: str,
        status: int,
        reason: bytes,
        fields: Fields,
        raw: bytes = b"",
        trailers: Fields | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        # What ResponseHead.__init__ does, without another call: one is made for each exchange.
        self.request = request
        self.http_version = version
        self.status = status
        self.coding = None
        self.redirects = ()
        self.elapsed = 0.0
        self.json_loads = None
        self._reason = reason
        self.fields = fields
        self._headers = None
        self._transfer = transfer
        self._raw = raw
        self._content: bytes | None = None
        self._trailers = trailers

    @property
    def content(self) -> bytes:
        """The body, decoded."""
        if self.coding is None:
            return self._raw  # not kept as decoded: who reads it may be a middleware behind the one that says how
        if self._content is None:
            self._content = self._decode(self.coding)
            self._raw = b""
        return self._content

    def _decode(self, coding: bytes) -> bytes:
        with _errors_carry(self.request):
            decoder = decoder_for(coding, self.request.terms.limits)
            return self._raw if decoder is None else decode_all(decoder, self._raw, self.request.max_body)

    async def finish(self) -> None:
        """Decode now: a large body in a thread."""
        if self.coding is not None and self._content is None:
            if len(self._raw) > _THREAD_ABOVE:
                self._content = await threads.run(self._decode, self.coding)
                self._raw = b""
            else:
                _ = self.content

    async def read(self) -> bytes:
        """The body, decoded: `await response.read()` works on both kinds of response."""
        await self.finish()
        return self.content

    def drop(self) -> None:
        """Nothing to do: the whole body is here. Both kinds of response can be dropped."""

    async def close(self) -> None:
        """Nothing to do: the whole body is here. Both kinds of response can be closed."""

    @property
    def trailers(self) -> ResponseHeaders:
        """The trailer fields of a chunked body (RFC 9110 section 6.5)."""
        return ResponseHeaders(self._trailers or [])

    @property
    def encoding(self) -> str:
        """The charset of `text`: the declared one, a byte order mark's, or UTF-8."""
        return self._encoding_of(self.content)

    @property
    def text(self) -> str:
        """The body as text; bytes that don't fit the charset become U+FFFD."""
        return self._text_of(self.content)

    def json(self, loads: Callable[[bytes], Any] | None = None) -> Any:
        """The body as JSON. Errors: DecodeError (`.partial` is the body)."""
        return self._json_of(self.content, loads)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response set: name to value."""
        return _set_cookies(self)

    def raise_for_status(self) -> Self:
        """This response, or StatusError (with `.response`) for a 4xx or 5xx."""
        if self.status >= 400:
            raise StatusError(_status_message(self), request=self.request, response=self)
        return self


class StreamResponse(ResponseHead):
    """A response whose body is still arriving: read it once, by chunks or whole, then the connection is free for others.

    `async for chunk in response.content` gives decoded bytes as they come. `await response.close()` drops the rest; leaving
    `async with client.stream(...)` does too.
    """

    __slots__ = ("_body", "_pieces", "_raw_pieces", "_whole")

    def __init__(
        self,
        request: Request,
        version: str,
        status: int,
        reason: bytes,
        fields: Fields,
        body: ResponseBody,
        transfer: Transfer | None = None,
    ) -> None:
        super().__init__(request, version, status, reason, fields, transfer)
        self._body = body
        self._pieces: Pieces | None = None
        self._raw_pieces: Pieces | None = None
        self._whole: Response | None = None  # once it was read

    def _decoder(self) -> Decoder | None:
        if self.coding is None:
            return None
        with _errors_carry(self.request):
            return decoder_for(self.coding, self.request.terms.limits)

    @property
    def content(self) -> AsyncIterator[bytes]:
        """The decoded body as it arrives, in pieces of any size; each time the same iterator, which goes on where it stood."""
        return self.iter_bytes()

    def iter_bytes(self, size: int | None = None) -> AsyncIterator[bytes]:
        """The decoded body in pieces of exactly `size` bytes (the last may be shorter); without a size, as they come."""
        if self._pieces is None:
            self._pieces = Pieces(self._body, self._decoder(), request=self.request)
        return self._pieces.of_size(size)

    def iter_raw(self) -> AsyncIterator[bytes]:
        """The body as it arrives, still encoded; each time the same iterator, as `content` is."""
        if self._raw_pieces is None:
            self._raw_pieces = Pieces(self._body, request=self.request)
        return self._raw_pieces

    async def read(self) -> bytes:
        """The whole decoded body, at most `max_body` bytes. It is kept: a second call gives the same."""
        return (await self.buffer()).content

    async def buffer(self) -> Response:
        """The same response with its whole body in memory."""
        if self._whole is None:
            with _errors_carry(self.request):
                raw = await self._body.read_raw(self.request.max_body)
            trailers = self._body.trailers
            head = (self.http_version, self.status, self._reason, self.fields)
            self._whole = Response(self.request, *head, raw, trailers, self._transfer)
        response = self._whole
        response.coding, response.redirects, response.json_loads = self.coding, self.redirects, self.json_loads
        await response.finish()
        return response

    async def text(self) -> str:
        """The whole body as text."""
        return self._text_of(await self.read())

    async def json(self, loads: Callable[[bytes], Any] | None = None) -> Any:
        """The whole body as JSON. Errors: DecodeError."""
        return self._json_of(await self.read(), loads)

    @property
    def trailers(self) -> ResponseHeaders:
        """The trailer fields (RFC 9110 section 6.5); empty until the body has been read."""
        return ResponseHeaders(self._body.trailers)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response set: name to value."""
        return _set_cookies(self)

    async def raise_for_status(self) -> Self:
        """This response, or StatusError for a 4xx or 5xx; up to 64 KiB of the body are read into the error's response."""
        if self.status >= 400:
            raise StatusError(_status_message(self), request=self.request, response=await self._start_of_body())
        return self

    async def _start_of_body(self) -> Response:
        try:
            start = self._whole.content if self._whole is not None else await anext(self.iter_bytes(_STATUS_ERROR_BODY), b"")
        except AioreqError as error:  # the status is the news; what arrived of its body is a bonus
            start = getattr(error, "partial", b"")
        self._body.close()
        head = (self.http_version, self.status, self._reason, self.fields)
        response = Response(self.request, *head, start[:_STATUS_ERROR_BODY], transfer=self._transfer)
        response.redirects, response.json_loads, response.elapsed = self.redirects, self.json_loads, self.elapsed
        return response

    def drop(self) -> None:
        """Let go of a body that nobody will read, without waiting: a short rest is drained, a long one closes the connection."""
        self._body.close()

    def __del__(self) -> None:
        # A middleware raised, or the caller walked away: whoever held the response held the connection, and now nobody does.
        self._body.abandon()

    def abort(self) -> None:
        """Let go of the body and close its connection."""
        self._body.close(drain=False)

    async def close(self) -> None:
        """Drop what is left of the body. May be called at any time, and twice."""
        self._body.close()


@contextmanager
def _errors_carry(request: Request) -> Iterator[None]:
    try:
        yield
    except AioreqError as error:
        error.request = error.request or request
        raise


def _printable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _set_cookies(response: ResponseHead) -> dict[str, str]:
    cookies = {}
    for value in response.field_values(b"set-cookie"):
        name, equals, rest = text(value).partition(";")[0].partition("=")
        if equals:
            cookies[name.strip()] = rest.strip()
    return cookies


def _status_message(response: ResponseHead) -> str:
    side = "client" if response.status < 500 else "server"
    return f"{response._described()} ({side} error)"
