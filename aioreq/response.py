"""Response and StreamResponse: what came back, its body in memory or still arriving. Data and grammar; no sockets, no policy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from . import threads
from .encodings import Decoder, WholeBody, decoder_for
from .errors import AioreqError, LocalProtocolError, StatusError
from .headers import Fields
from .pieces import HeldBody, Pieces
from .response_body import ResponseBody
from .response_head import ResponseHead
from .response_headers import ResponseHeaders
from .transfer import Transfer

if TYPE_CHECKING:
    from os import PathLike

    from .detached import Detached
    from .event_stream import EventStream
    from .models import Progress, Request
    from .multipart_reader import MultipartReader
    from .saving import Download

__all__ = ["Response", "ResponseHead", "StreamResponse"]

_STEPS_ON_LOOP = 16  # of decoding, 1 MiB at most: more would hold up the loop for milliseconds
_STATUS_ERROR_BODY = 64 * 1024
MAX_LINE = 16 * 1024 * 1024  # longer than what anybody reads by lines, and no harm to hold
MAX_PARTS = 10_000

T = TypeVar("T")


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
            with _ErrorsCarry(self.request):
                encoded = self._encoded(self.coding)
                self._keep(None if encoded is None else encoded.run())
        return self._content or b""

    def _encoded(self, coding: bytes) -> WholeBody | None:
        """What is still to be decoded; None where the bytes stay as they are."""
        decoder = decoder_for(coding, self.request.terms.limits) if self._raw else None
        return None if decoder is None else WholeBody(decoder, self._raw, self.request.max_body)

    def _keep(self, content: bytes | None) -> None:
        self._content = self._raw if content is None else content
        self._raw = b""

    async def finish(self) -> None:
        """Decode now, what takes long in a thread. Whoever reads `content` without it waits for the whole decoding."""
        if self.coding is None or self._content is not None:
            return
        with _ErrorsCarry(self.request):
            encoded = self._encoded(self.coding)
            content = None
            if encoded is not None and (content := encoded.run(_STEPS_ON_LOOP)) is None:
                try:
                    content = await threads.run(encoded.run)
                finally:
                    encoded.stop()  # matters where this task was cancelled
            self._keep(content)

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

    def parts(self, max_parts: int = MAX_PARTS) -> MultipartReader:
        """The parts of a multipart body, one after another: `async for part in response.parts()`. Errors: DecodeError, LimitExceeded."""
        return self._parts_of(Pieces(HeldBody(self.content), request=self.request), max_parts)

    def raise_for_status(self) -> Self:
        """This response, or StatusError (with `.response`) for a 4xx or 5xx."""
        if self.status >= 400:
            raise StatusError(self._status_message(), request=self.request, response=self)
        return self


class StreamResponse(ResponseHead):
    """A response whose body is still arriving: read it once, by chunks or whole, then the connection is free for others.

    `async for chunk in response.content` gives decoded bytes as they come. `await response.close()` drops the rest; leaving
    `async with client.stream(...)` does too.
    """

    __slots__ = ("_body", "_pieces", "_raw_pieces", "_readers", "_whole")

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
        self._readers: dict[str, Any] | None = None  # of text, lines, parts: each goes on where it stood
        self._whole: Response | None = None  # once it was read

    def _decoder(self) -> Decoder | None:
        if self.coding is None or (self._body.ended and not self._body.received):
            return None
        with _ErrorsCarry(self.request):
            return decoder_for(self.coding, self.request.terms.limits)

    @property
    def content(self) -> AsyncIterator[bytes]:
        """The decoded body as it arrives, in pieces of any size; each time the same iterator, which goes on where it stood."""
        return self.iter_bytes()

    def iter_bytes(self, size: int | None = None) -> AsyncIterator[bytes]:
        """The decoded body in pieces of exactly `size` bytes (the last may be shorter); without a size, as they come."""
        return self._pieces_of(size)

    def _pieces_of(self, size: int | None = None) -> Pieces:
        if self._pieces is None:
            if self._whole is not None:  # read whole before: from what was kept
                self._pieces = Pieces(HeldBody(self._whole.content), request=self.request)
            else:
                self._pieces = Pieces(self._body, self._decoder(), request=self.request)
        return self._pieces.of_size(size)

    def _reader(self, kind: str, make: Callable[[], T]) -> T:
        readers = self._readers
        if readers is None:
            readers = self._readers = {}
        if kind not in readers:
            readers[kind] = make()
        reader: T = readers[kind]
        return reader

    def iter_text(self) -> AsyncIterator[str]:
        """The body as it arrives, as text: the pieces together are what `text()` gives, however the bytes were cut."""
        from .text_stream import Texts

        return self._reader("text", lambda: Texts(self._pieces_of(), self._declared_charset()))

    def iter_lines(self, max_line: int | None = MAX_LINE) -> AsyncIterator[str]:
        r"""The lines of the text as they arrive, without their ends: \n, \r\n or \r, nothing else.

        Errors: LimitExceeded for a line of more than `max_line` characters (None: no limit), behind the lines before it.
        """
        from .text_stream import Texts, text_lines

        return self._reader("lines", lambda: text_lines(Texts(self._pieces_of(), self._declared_charset()))).up_to(max_line)

    def json_lines(self, loads: Callable[[bytes], Any] | None = None, max_line: int | None = MAX_LINE) -> AsyncIterator[Any]:
        """The values of a body of newline-delimited JSON (NDJSON, JSON Lines) as they arrive; empty lines are skipped.

        Errors: DecodeError that names the line and what is wrong with it (`.partial` is the line); LimitExceeded for a line of more than
        `max_line` bytes (None: no limit).
        """
        from .text_stream import JSONLines, byte_lines

        values = self._reader("json", lambda: JSONLines(byte_lines(self._pieces_of()), self._body_described(), self.request))
        return values.reading(loads or self.json_loads, max_line)

    def events(self, max_event: int | None = MAX_LINE, last_event_id: str = "") -> EventStream:
        """The server-sent events of the body as they arrive (WHATWG HTML section 9.2.6), whatever its Content-Type.

        `last_event_id` is the `id` of events before the server gives one. Errors: LimitExceeded for an event of more than `max_event`
        characters (None: no limit), behind the events before it.
        """
        from .event_stream import EventStream

        make = partial(EventStream, self._pieces_of(), self._body_described(), self.json_loads, last_event_id)
        return self._reader("events", make).up_to(max_event)

    def parts(self, max_parts: int = MAX_PARTS) -> MultipartReader:
        """The parts of a multipart body as they arrive, one after another: `async for part in response.parts()`.

        What of a part wasn't read is skipped when the next one is asked for. Errors: DecodeError where the body is no multipart, breaks its
        grammar or ends too early; LimitExceeded for more than `max_parts`, and for the header fields of a part as for those of a response.
        """
        return self._reader("parts", lambda: self._parts_of(self._pieces_of(), max_parts))

    def iter_raw(self) -> AsyncIterator[bytes]:
        """The body as it arrives, still encoded; each time the same iterator, as `content` is."""
        if self._raw_pieces is None:
            self._raw_pieces = Pieces(self._body, request=self.request)
        return self._raw_pieces

    async def read(self) -> bytes:
        """The whole decoded body, at most `max_body` bytes. It is kept: a second call gives the same."""
        return (await self.buffer()).content

    async def read_once(self) -> bytes:
        """As `read`, for who keeps the body: nobody else can read it then."""
        if self.coding is not None or self._whole is not None:
            return await self.read()
        try:
            return await self._body.read_raw(self.request.terms.max_body)
        except AioreqError as error:
            error.request = error.request or self.request
            raise

    async def buffer(self) -> Response:
        """The same response with its whole body in memory."""
        if self._whole is None:
            with _ErrorsCarry(self.request):
                raw = await self._body.read_raw(self.request.max_body)
            trailers = self._body.trailers
            head = (self.http_version, self.status, self._reason, self.fields)
            self._whole = Response(self.request, *head, raw, trailers, self._transfer)
        response = self._whole
        response.coding, response.redirects, response.json_loads = self.coding, self.redirects, self.json_loads
        response.attempts = self.attempts
        await response.finish()
        return response

    def save(
        self, path: str | PathLike[str], *, resume: bool = False, sha256: str | None = None, progress: Progress | None = None
    ) -> Coroutine[Any, Any, Download]:
        """The decoded body in a file, which is there once it is whole: as `Client.download`, but by this response alone, of any status."""
        from .saving import save

        return save(self, path, resume=resume, sha256=sha256, progress=progress)

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

    async def raise_for_status(self) -> Self:
        """This response, or StatusError for a 4xx or 5xx; up to 64 KiB of the body are read into the error's response."""
        if self.status >= 400:
            raise StatusError(self._status_message(), request=self.request, response=await self.start_of_body())
        return self

    async def start_of_body(self) -> Response:
        """The same response with the first 64 KiB of its body, for an error to carry; the rest is dropped. A body that fails ends there."""
        try:
            start = self._whole.content if self._whole is not None else await anext(self.iter_bytes(_STATUS_ERROR_BODY), b"")
        except AioreqError as error:  # the status is the news; what arrived of its body is a bonus
            start = getattr(error, "partial", b"")
        self._body.close()
        head = (self.http_version, self.status, self._reason, self.fields)
        response = Response(self.request, *head, start[:_STATUS_ERROR_BODY], transfer=self._transfer)
        response.redirects, response.json_loads, response.elapsed = self.redirects, self.json_loads, self.elapsed
        response.attempts = self.attempts
        return response

    def detach(self) -> Detached:
        """The connection behind a 101 (Switching Protocols), for who speaks the other protocol: its `start` says who takes what comes.

        It is no longer this response's. Errors: LocalProtocolError for any other status, a 101 that was closed, and the second time.
        """
        behind, self._body.behind = self._body.behind, None
        if behind is None:
            what = "was taken over or closed already" if self.status == 101 else "goes on with HTTP"
            raise LocalProtocolError(f"the connection of {self.request!r} {what} (status {self.status})", request=self.request)
        return behind

    @property
    def ended(self) -> bool:
        """Whether the whole body has arrived, though perhaps not been read yet, or never will."""
        return self._body.ended

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


class _ErrorsCarry:
    """`with _ErrorsCarry(request):` an error from within carries its request."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, AioreqError):
            error.request = error.request or self._request
