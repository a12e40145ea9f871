"""One WebSocket connection behind its handshake: frames in, the close handshake and its deadlines (RFC 6455 section 7).

It stands between the connection that was taken over, which calls `received` and `lost`, and what a message is to its reader (the inbox) and
its writer (the outbox). Knows no HTTP. It never refers to the `WebSocket` that the user holds: one that nobody holds any more ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import check_count, check_seconds
from ..deadlines import INFINITE
from ..errors import AioreqError, ConnectionLost, ProtocolError, ReadTimeout, WebSocketClosed
from .frames import ABNORMAL, CLOSE, GOING_AWAY, NO_CODE, NORMAL, PING, PONG, PROTOCOL_ERROR, FrameParser, close_payload, parse_close
from .inbox import HIGH_WATER, Inbox
from .keepalive import Keepalive
from .outbox import Outbox

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..detached import Detached
    from ..models import Request
    from .permessage_deflate import Deflate

__all__ = ["Link", "WebSocketOptions"]

IN_PLACE = 256 * 1024  # bytes that a message lacks and that are read into its own place: of fewer, one read may bring what follows too
LINGER = 1.0  # seconds that a peer which broke the rules has to read what we say to it: closed at once, the system might drop that
INTERNAL_ERROR = 1011
_ORDERLY = frozenset({NORMAL, GOING_AWAY, NO_CODE})


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """What `Client.websocket` takes besides the request's options, checked."""

    ping_interval: float | None
    ping_timeout: float | None
    max_message: int | None
    close_timeout: float | None
    manual: bool = False  # control frames come among the messages, and are answered by who reads them
    decoded: bool = True  # text is

    def __post_init__(self) -> None:
        for name in ("ping_interval", "ping_timeout", "close_timeout"):
            check_seconds("websocket", name, getattr(self, name))
        if self.ping_interval == 0:
            raise ValueError("websocket(ping_interval=0) would do nothing but ping: give seconds, or None for no pings")
        if self.max_message is not None:
            check_count("websocket", "max_message", self.max_message, 1)


class Ending:
    """How a WebSocket ends: what there is to say of it from the first sign on, without anything that the connection needs."""

    __slots__ = ("_began", "_clock", "_failure", "asked", "cause", "code", "cut", "peer", "reason", "request", "why")

    def __init__(self, clock: Callable[[], float], request: Request, peer: object) -> None:
        self._clock = clock
        self._began = clock()
        self.request = request
        self.peer = peer
        self._failure: AioreqError | None = None  # until somebody was told
        self.asked = False  # this side began it
        self.code: int | None = None  # of the peer's close frame, as soon as it is here
        self.reason = ""
        self.cut = False  # it came in the middle of a message, whose rest nobody can send any more (section 5.5.1)
        self.why = ""  # this side gave the connection up
        self.cause: Exception | None = None  # the transport's, or the time that passed

    def fail(self, error: AioreqError) -> None:
        """This is what the reader is told, once."""
        error.request = self.request
        self._failure, self.why = error.with_traceback(None), str(error)

    @property
    def orderly(self) -> bool:
        """Whether both sides said that they go, and nothing is wrong or missing."""
        return self.code is not None and (self.asked or (self.code in _ORDERLY and not self.cut))

    @property
    def failure(self) -> AioreqError | None:
        """What was told to `fail`, until the reader is told."""
        return self._failure

    def for_reader(self) -> AioreqError:
        """The error for who waits for a message."""
        failure, self._failure = self._failure, None
        return failure or self.closed()

    def closed(self) -> WebSocketClosed:
        """The error for everybody else."""
        error = WebSocketClosed(self._words(), request=self.request, code=self.code or ABNORMAL, reason=self.reason)
        error.__cause__ = self.cause
        return error

    def _words(self) -> str:
        after = f"{self._clock() - self._began:.3f} s after the handshake"
        if self.code is not None:
            said = f"{self.code}{self.reason and f', {self.reason!r}'}"
            if self.asked:
                return f"the WebSocket to {self.peer} was closed by this side; the server answered with {said}"
            amid = ", in the middle of a message" if self.cut else ""
            return f"{self.peer} closed the WebSocket ({said}){amid}, {after}"
        if self.why:
            return f"the WebSocket to {self.peer} was given up by this side, {after}: {self.why}"
        if self.asked:
            return f"the WebSocket to {self.peer} was closed by this side, {after}; no close frame came back"
        cause = self.cause and f": {self.cause}"
        return f"the WebSocket to {self.peer} was lost without a close frame, {after}{cause or ''}"


class Link:
    """Opened by `start`. `gone`: the transport is; `closing`: no message goes out any more."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, detached: Detached, request: Request, options: WebSocketOptions, deflate: Deflate | None
    ) -> None:
        compressor = inflater = None
        if deflate is not None:
            from .permessage_deflate import Compressor, Decompressor

            compressor, inflater = Compressor(deflate), Decompressor(deflate, options.max_message)
        self.loop = loop
        self.deflate = deflate
        self.gone = False
        self.ending = Ending(loop.time, request, request.url.authority)
        self._detached = detached
        self.transport = detached.transport
        self._manual = options.manual
        self._close_timeout = options.close_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: set[asyncio.Future[None]] = set()  # for the end
        self.inbox = Inbox(loop, self, self.ending, inflater, options.manual, options.decoded)
        least = 0 if deflate is None else deflate.min_size
        self.outbox = Outbox(loop, self.transport, self.broken_off, self.ending, compressor, least)
        self.keepalive = Keepalive(loop, self, options.ping_interval, options.ping_timeout)
        self.any = False  # of a message has come
        self.on_piece: Callable[[int, bytes, bool, bool], None] = self._first_piece
        self._parser: FrameParser | None = FrameParser(self, options.max_message, deflate is not None)  # until the end

    def start(self) -> None:
        """From now on messages come. Errors: ConnectionLost."""
        try:
            self._detached.start(self)
        except ConnectionLost as error:
            error.request = self.ending.request
            self.lost(None)
            raise

    @property
    def closing(self) -> bool:
        return self.outbox.closed

    # -- detached.Taker

    def received(self, data: Buffer, size: int = -1) -> None:
        parser = self._parser
        if parser is None:
            return
        self.keepalive.heard = True
        try:
            parser.feed(data, size)
        except ProtocolError as error:
            self.fail(error)
        if parser.payload is not None or self._detached.gathers is not None:
            self._gather(parser)
        outbox = self.outbox
        if not outbox.gathered:
            outbox.wrote = False
        inbox = self.inbox
        if inbox.held > HIGH_WATER and inbox.full():
            inbox.paused = True
            self.transport.pause_reading()

    def _gather(self, parser: FrameParser) -> None:
        """A message is gathered as long as somebody waits for the whole of it, or it is so short that it would be kept anyway."""
        inbox = self.inbox
        if parser.payload is not None and (inbox.shut or inbox.by_pieces or inbox.full(parser.gathered)):
            parser.hand_on()
        self._detached.gathers = parser if parser.missing >= IN_PLACE and inbox.busy else None

    def eof(self) -> None:
        # The transport closes once what was written is out, which it may never be.
        self._end()

    def leaving(self) -> None:
        ending = self.ending
        if not (self.closing or ending.asked or ending.why):
            ending.why = "its client was closed"
        self.outbox.close(close_payload(GOING_AWAY))
        self._end()

    def lost(self, error: Exception | None) -> None:
        self.gone = True
        if not self.inbox.ended:
            self.ending.cause = error
        self._end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.outbox.leave()
        self.inbox.leave()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def write_paused(self, paused: bool) -> None:
        self.outbox.write_paused(paused)

    # -- frames.FrameReceiver, besides `on_piece`

    def _first_piece(self, kind: int, data: bytes, last: bool, compressed: bool) -> None:
        self.any = True
        self.on_piece = self.inbox.put
        self.on_piece(kind, data, last, compressed)

    def on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PONG:
            self.keepalive.pong(payload)
        elif opcode == CLOSE:
            self.ending.code, self.ending.reason = parse_close(payload)
            self.ending.cut = self._parser is not None and self._parser.amid
        if self._manual and not self.closing:
            if opcode == CLOSE:
                self.keepalive.stop(self.ending.closed)
            self.inbox.put(opcode, payload, True, False)
        elif opcode == PING:
            self.outbox.pong(payload)
        elif opcode == CLOSE:
            self.outbox.close(payload[:2])  # unless that was said
            self._end()  # it is the server that closes the connection (section 7.1.1)

    # -- the end

    def close(self, payload: bytes) -> None:
        """Begin the close handshake, unless it has begun. What comes from now on is dropped, but for the peer's close frame."""
        if self.closing or self.gone:
            return
        self.outbox.close(payload)
        if self.ending.code is not None:
            self._end()  # the peer's was there, and waited for this answer
            return
        self.ending.asked = True
        self.hand_on()
        if self.inbox.shut_out():
            self.transport.resume_reading()
        self._give_up_after(self._close_timeout)

    def fail(self, error: AioreqError) -> None:
        """Tell the peer what it did, the reader too, and read no more (section 7.1.7)."""
        if self.inbox.ended:
            return
        self.ending.fail(error)
        self.outbox.close(close_payload(getattr(error, "close_code", None) or PROTOCOL_ERROR))
        self._end(LINGER)

    def abandon(self, code: int = GOING_AWAY) -> None:
        """Say that we go, and wait for nothing. Where the peer takes nothing any more, it isn't said."""
        if self.gone:
            return
        self.ending.asked = True
        if self.outbox.paused:
            self.abort()
            return
        self.outbox.close(close_payload(code))
        self._end(LINGER)
        self.transport.close()

    def abort(self) -> None:
        """Close the connection now."""
        self._detached.close()

    async def wait_gone(self) -> None:
        """Wait until the transport is."""
        if self.gone:
            return
        waiter = self.loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _end(self, limit: float = INFINITE) -> None:
        """Nothing that comes is of interest any more; the connection ends within the closing's limit."""
        self.hand_on()
        self._parser, self.on_piece = None, _nothing
        self.outbox.shut()
        self.keepalive.stop(self.ending.closed)
        paused = self.inbox.end()
        if not self.gone:
            if paused:
                self.transport.resume_reading()  # what it doesn't read it can't see the end of
            self._give_up_after(limit if self._close_timeout is None else min(self._close_timeout, limit))

    def _give_up_after(self, seconds: float | None) -> None:
        if self._timer is None and seconds is not None and seconds < INFINITE:
            self._timer = self.loop.call_later(seconds, self.abort)

    # -- the inbox's, the outbox's and the keepalive's side

    @property
    def gathers(self) -> bool:
        return self._parser is not None and self._parser.payload is not None

    def hand_on(self) -> None:
        if self._parser is not None:
            self._parser.hand_on()
        self._detached.gathers = None

    def go_on(self) -> None:
        self.keepalive.heard = True  # nothing could be while reading stood still
        self.transport.resume_reading()

    def broken_off(self) -> None:
        self.ending.why = "a message was begun, and its end never sent"
        self.abandon()

    def send_ping(self, payload: bytes) -> None:
        self.outbox.control(PING, payload)

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def holds(self) -> bool:
        return self.inbox.paused

    def unanswered(self, seconds: float) -> None:
        ending = self.ending
        ending.why = f"{ending.peer} answered no ping, and sent nothing else, for {seconds:g} s"
        ending.cause = ReadTimeout(ending.why, request=ending.request)
        self.outbox.close(close_payload(INTERNAL_ERROR))
        self._end(LINGER)


def _nothing(*args: object) -> None:
    pass
