"""One connection: one exchange at a time, flow control, deadlines. Never sees a redirect, a cookie, a pool's queue or how it was opened.

The transport's callbacks end in the parser, the parser's callbacks end here, and one future joins them to the coroutine that waits. An
exchange ends in exactly one place: `_settle` (the whole response arrived) or `_fail`. A connection is given back by `_settle` alone, and
only if nothing about it is in doubt; everything else closes it.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, cast

from .certificates import late_refusal
from .config import Limits
from .deadlines import INFINITE, Deadlines
from .detached import Detached
from .errors import AioreqError, ConnectionLost, RemoteProtocolError, RequestTimeout, without_our_frames
from .faces import facts_of
from .headers import Fields
from .keep_alive import kept_for
from .models import Request, Response, StreamResponse
from .parser import ResponseParser
from .response_body import ResponseBody, body_cut, body_too_large
from .tls_transport import TLSTransport
from .transfer import ConnectionInfo, Opening, Transfer
from .upload import Upload

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Connection", "Owner"]

# What stands where there is nothing; nobody reads what may be noted in it.
_NO_TRAILERS: Fields = []
_NOT_KNOWN, _NOT_OPENED, _NO_TRANSFER = ConnectionInfo(), Opening(), Transfer()
_NO_PARSER = ResponseParser(cast("Connection", None), Limits())  # shared: it is fed nothing
JOINED_BODY = 64 * 1024  # up to here a body is copied behind its head: one write, one segment more
DRAIN_SECONDS = 1.0  # a dropped body that takes longer than this isn't worth its connection, and the slot that it holds meanwhile


class Owner(Protocol):
    """Who is told what becomes of a connection: exactly one of the two after each exchange, and `lost` exactly once."""

    def freed(self, connection: Connection) -> None: ...
    def lost(self, connection: Connection) -> None: ...


class Connection(Deadlines):
    """Reused from one exchange to the next. `peer` names it in errors, by its str(): host:port."""

    __slots__ = (
        *("__weakref__", "_began", "_body", "_chunks", "_close_asked", "_ended", "_future", "_head", "_interim", "_limits"),
        *("_most", "_parser", "_raw", "_reading_paused", "_trailers", "_transfer", "_write_paused", "closed", "detached"),
        *("expires", "fresh_until", "gathers", "idle_since", "info", "keep_for", "opening", "owner", "queued", "secure"),
        *("served", "transport"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, peer: object, secure: bool) -> None:
        super().__init__(loop, peer)
        self.secure = secure
        self.owner: Owner | None = None
        self.transport: asyncio.Transport | None = None
        self.served = 0  # exchanges that ended well
        self.closed = False
        self.detached: Detached | None = None  # since a 101: HTTP is over here
        self.idle_since = 0.0
        self.fresh_until = 0.0  # loop time until which it begins an exchange unseen
        self.expires = INFINITE  # loop time from which on it begins no exchange
        self.keep_for = INFINITE  # seconds that it may idle and be used again, by the server's word
        self.info = _NOT_KNOWN
        self.opening = _NOT_OPENED  # how it went; until the first exchange has it
        self.queued = 0.0  # seconds that the next request waited for it
        self.gathers = False  # the parser gathers the body: `room` is where its next bytes may be put
        self._limits = limits
        self._parser = _NO_PARSER  # until the first exchange
        # The exchange under way; all None or empty between exchanges.
        self._future: asyncio.Future[Response | StreamResponse] | None = None
        self._head: tuple[str, int, bytes, Fields] | None = None
        self._raw = b""  # what has come of a body that is wanted whole,
        self._chunks: list[bytes] | None = None  # or all the pieces, where it comes in several
        self._most = 0  # bytes that may still come of a body that is wanted whole
        self._body: ResponseBody | None = None
        self._trailers = _NO_TRAILERS
        self._transfer = _NO_TRANSFER
        self._interim = 0  # the status of a 1xx that came before the final response
        self._ended = False
        self._began = 0.0
        self._close_asked = False
        self._write_paused = self._reading_paused = False

    # -- the exchange

    def begin(self, request: Request, head: bytes, close_asked: bool) -> asyncio.Future[Response | StreamResponse]:
        """Send `request`, whose head is already written out. Whoever awaits the response calls `abandon` where that was broken off.

        The response is whole for a buffered 2xx, else it comes as soon as its head is in. Errors: ConnectionLost, RequestTimeout,
        ProtocolError, and whatever the request's own body raises.
        """
        transport = self.transport
        assert transport is not None
        assert self._request is None
        now = self.loop.time()
        future = self._future = self.loop.create_future()
        self._request = request
        self._began = now
        self._close_asked = close_asked
        transfer = self._transfer = Transfer(self.info, perf_counter())
        terms = request.terms
        if terms.limits is not self._limits and terms.dialer is not None:  # what no client settled leaves them as they are
            self._limits = terms.limits
            self._parser = ResponseParser(self, self._limits)
        if not self.served:
            self._parser = ResponseParser(self, self._limits)
            transfer.opening, self.opening = self.opening, _NOT_OPENED
        if self.queued:
            transfer.queued, self.queued = self.queued, 0.0
        self._parser.expect(request.method)
        timeout = terms.timeout
        if timeout is not self._timeout:
            self._timeout = timeout
            self._read_limit = INFINITE if timeout.read is None else timeout.read
        deadline = self._deadline = INFINITE if request.deadline is None else request.deadline.start(now)
        body = request.body
        if body is None:
            transport.write(head)
        elif isinstance(body, bytes) and len(body) <= JOINED_BODY and request.progress is None and not request.expects_continue:
            transport.write(head + body)
        else:
            transport.write(head)
            transfer.sent = INFINITE
            self._upload = Upload(self.loop, transport, timeout.write, self._uploaded, self.lost, self.watch)
            self._upload.start(request, self._write_paused, self.secure)
            self.watch(deadline)
            return future
        self._wanted_since = now
        if now + self._read_limit < self._armed or deadline < self._armed:
            self.watch(min(deadline, now + self._read_limit))
        return future

    def abandon(self, future: asyncio.Future[Response | StreamResponse]) -> None:
        """Whoever waited for `future` is gone; the connection may by now serve somebody else, who must not notice."""
        if self._future is future:
            self.close()
        elif future.done() and not future.cancelled() and future.exception() is None:
            response = future.result()
            if isinstance(response, StreamResponse):
                response.abort()

    def _settle(self) -> None:
        """The response is whole: resolve it and give the connection back, or close it where anything is in doubt."""
        request, head, body, transport, parser = self._request, self._head, self._body, self.transport, self._parser
        assert request is not None
        assert transport is not None
        reusable = parser.keep_alive and not (self._close_asked or self._upload or parser.rest() or self.closed)
        if body is None:
            assert head is not None
            version, status, reason, fields = head
            future = self._future
            raw = self._raw if self._chunks is None else b"".join(self._chunks)
            response = Response(request, version, status, reason, fields, raw, self._trailers, self._transfer)
            self._clear()
            if future is not None and not future.done():
                future.set_result(response)
        else:
            trailers = self._trailers
            self._clear()
            body.end(trailers)
        if reusable and not transport.is_closing():
            self.served += 1
            self.idle_since = self.loop.time()
            if self._reading_paused:
                self._reading_paused = False
                transport.resume_reading()
            if self.owner is not None:
                self.owner.freed(self)
        elif parser.upgraded and body is not None and not (self.closed or transport.is_closing()):
            self.detached = body.behind = Detached(self, transport, parser.rest())
        else:
            self.close()

    def _fail(self, error: BaseException) -> None:
        """The exchange can't go on: whoever waits gets the error, the connection is closed."""
        future, body, request = self._future, self._body, self._request
        if isinstance(error, AioreqError) and error.request is None:
            error.request = request
        self._clear()
        if body is not None:
            body.fail(error)
        elif future is not None and not future.done():
            future.set_exception(error)
        self.close(clean=False)

    def _clear(self) -> None:
        self._transfer.ended = perf_counter()
        self._transfer = _NO_TRANSFER
        self._request = self._future = self._head = self._body = None
        self._ended = False
        self._raw, self._chunks = b"", None
        self._trailers = _NO_TRAILERS
        self.gathers = False
        self._wanted_since = INFINITE
        if self._upload is not None:
            self._upload.stop()
            self._upload = None

    def close(self, error: AioreqError | None = None, clean: bool = True) -> None:
        """Close now. An exchange under way fails with `error`; its slot is given back here, once. May be called at any time."""
        if self.closed:
            return
        self.closed = True
        self.watch_no_more()
        if self.detached is not None:
            self.detached.leave()
        elif self.transport is not None:
            if clean and self.secure and self._request is None and not self.transport.is_closing():
                self.transport.close()  # writes a close_notify (RFC 9112 section 9.8), but would go on to wait for the peer's
            self.transport.abort()
        if self._request is not None:
            self._fail(error or ConnectionLost(f"the connection to {self.peer} was closed by this side {self.phase()}"))
        if self.owner is not None:
            self.owner.lost(self)

    # -- the transport's side

    def opened(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.info = facts_of(transport)
        if self.closed:
            transport.abort()

    def received(self, data: Buffer, size: int = -1) -> None:
        if self._request is None:
            # Nobody asked: whatever it is, it must never answer the next request.
            self.close()
            return
        try:
            self._parser.feed(data, size)
        except Exception as error:  # theirs, or that of a callback
            self._fail(without_our_frames(error))
            return
        if self._ended:
            self._settle()
            return
        if self._future is None and self._body is None:
            return  # given up in this very feed
        self.gathers = self._parser.gathering
        if not self._transfer.started:
            self._transfer.started = perf_counter()
        if self._wanted_since != INFINITE:
            self._wanted_since = self.loop.time()

    def room(self) -> Buffer:
        """While `gathers`: where the next bytes of the body may be put, to be `received` before anything else happens here."""
        return self._parser.room()

    def eof(self) -> None:
        if self._request is not None:
            if self._parser.feed_eof():
                self._settle()
            else:
                self._fail(self._cut("closed the connection"))
        self.close()

    def lost(self, error: Exception | None) -> None:
        if error is not None and self._upload is not None:
            rescue = self.transport.rescue if isinstance(self.transport, TLSTransport) else self.received
            for data in self._upload.arrived():
                rescue(data)
            # A broken pipe, and no reset: the peer had ended its side in order, and with it a body without a length. (Over TLS nobody
            # knows what was still unread.)
            broken = isinstance(error, BrokenPipeError) and not self.secure
            if self._request is not None and broken and self._parser.feed_eof():
                self._settle()
        if self._request is not None and error is None:
            self.eof()
        if self._request is not None:
            refusal = None if self.served or self._parser.started else late_refusal(error, str(self.peer))
            lost = refusal or self._cut(f"broke the connection ({error})")
            lost.__cause__ = error
            self._fail(lost)
        self.close()
        # The transport's last call. The parser calls back here: together they, and all that TLS has buffered, would wait for the collector.
        self._parser = _NO_PARSER

    def write_paused(self, paused: bool) -> None:
        self._write_paused = paused
        if self._upload is not None:
            self._upload.write_paused(paused)

    def _cut(self, what: str) -> ConnectionLost:
        head = f"{self.peer} {what} {self.phase()}"
        if self._head is not None:
            partial = self._parser.gathered or (self._raw if self._chunks is None else b"".join(self._chunks))
            received, expected = len(partial), self._parser.content_length
        elif self._body is not None:
            partial, received, expected = b"", self._body.received, self._body.expected
        else:
            return ConnectionLost(head, request=self._request, response_started=self._parser.started)
        return body_cut(head, self._request, partial, received, expected)

    @property
    def busy_since(self) -> float:
        """Loop time at which the exchange under way began; infinite between exchanges."""
        return INFINITE if self._request is None is self.detached else self._began

    def progress(self) -> str:
        """Where the exchange under way stands, since when, and whose it is."""
        if self.detached is not None:
            return f"another protocol than HTTP is spoken, {self.loop.time() - self._began:.3f} s since it was asked for"
        unread = self._body is not None and self._wanted_since == INFINITE
        return self.phase() + (", and nobody is reading it" if unread else "")

    def phase(self) -> str:
        seconds = f"{self.loop.time() - self._began:.3f} s into {self._request!r}"
        if self._head is not None or self._body is not None:
            return f"during the response's body, {seconds}"
        if self._upload is not None:
            return f"while the body waited for a 100 (Continue), {seconds}" if self._upload.waits else f"during the upload, {seconds}"
        if self._interim:
            return f"after a {self._interim}, before the final response, {seconds}"
        return f"during the response's head, {seconds}" if self._parser.started else f"before any byte of the response, {seconds}"

    # -- the parser's side

    def on_head(self, version: str, status: int, reason: bytes, fields: Fields) -> bool:
        request = self._request
        if request is None:
            return False  # given up earlier in this very feed
        if status < 200 and status != 101:
            self._interim = status
            if status == 100 and self._upload is not None:
                self._upload.go_on()
            request.inform(status, fields)
            return False
        if not self.served:
            self.keep_for = kept_for(fields)
        if self._interim:
            self._interim, self._transfer.started = 0, perf_counter()
        if self._upload is not None and (self._upload.waits or (status >= 300 and not self._parser.keep_alive)):
            # Nobody wants the body (RFC 9110 section 10.1.1, RFC 9112 section 9.5). What isn't sent is still owed: see _settle.
            self._upload.cease()
            self.want(self.loop.time())
        expected = self._parser.content_length
        if expected is None and self._parser.close_delimited:
            self._transfer.close_delimited = True
        progress = request.progress
        if not request.stream and 200 <= status < 300 and (progress is None or request.body is not None):
            self._head = (version, status, reason, fields)
            most = self._most = request.terms.max_body
            if expected is not None and expected > most and request.method != "HEAD" and status != 204:
                raise body_too_large(most)
            return True
        if status == 101 and request.field("upgrade") is None:
            raise RemoteProtocolError(f"{self.peer} switches protocols (101), but nobody asked it to: the request has no Upgrade field")
        future, self._future = self._future, None
        assert future is not None
        self._wanted_since = INFINITE
        told = progress if request.body is None and 200 <= status < 300 else None
        body = self._body = ResponseBody(self, self.loop, expected, told)
        if request.terms.chunk_ends and expected is None:
            from array import array  # few ask

            self._parser.chunk_ends = body.chunk_ends = array("q")
        if future.done():
            # Cancelled in this very tick: the waiter's own clean-up can't tell any more, so the rest is dropped here.
            body.close(drain=False)
        else:
            future.set_result(StreamResponse(request, version, status, reason, fields, body, self._transfer))
        return False

    def on_body(self, data: bytes) -> None:
        if self._request is None:
            return  # given up earlier in this very feed
        if self._body is not None:
            self._body.feed(data)
            return
        self._most -= len(data)
        if self._most < 0:
            raise body_too_large(self._request.terms.max_body)
        if not self._raw:
            self._raw = data
        elif self._chunks is None:
            self._chunks = [self._raw, data]
        else:
            self._chunks.append(data)

    def on_end(self, trailers: Fields) -> None:
        # Whether bytes stand behind the message is known only when the parser is done with the feed: see _settle.
        if self._request is not None:
            self._ended = True
            self._trailers = trailers

    # -- the body's side (response_body.BodySource)

    def pause_body(self) -> None:
        if self.transport is not None and not self._reading_paused and not self.closed:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_body(self) -> None:
        if self.transport is not None and self._reading_paused and not self.closed:
            self._reading_paused = False
            self.transport.resume_reading()

    def wait_body(self, waiting: bool) -> None:
        if waiting:
            self.want(self.loop.time())
        else:
            self._wanted_since = INFINITE

    def drain_body(self) -> None:
        self._deadline = min(self._deadline, self.loop.time() + DRAIN_SECONDS)
        self.watch(self._deadline)

    def abort_body(self) -> None:
        self.close()

    # -- deadlines.Deadlines

    def overdue(self, error: RequestTimeout) -> None:
        self._fail(error)

    def _uploaded(self, failure: Exception | None) -> None:
        """The upload is over (upload.Upload)."""
        self._upload = None
        self._transfer.sent = perf_counter()
        if failure is not None:
            self._fail(failure)
        elif self._body is None:
            self.want(self.loop.time())
