"""One accepted connection: reads requests, answers them in turn, or follows a script. Decides no answer: it asks its server."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import ssl
import struct
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from .reply import Reply, chunk
from .request import BadRequest, Bell, Request, RequestReader
from .script import HalfClose, Script, Step

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Answering", "Connection"]


@dataclass(frozen=True)
class Answering:
    """How one request is answered; `early` as soon as its head is in."""

    handler: Callable[[Request], Any]
    early: bool = False


class Connection(asyncio.Protocol):
    """A connection that the server accepted; what the steps of a script act on.

    `number` counts from 1, `requests` is what came over it, `idle` whether it stands between two requests.
    """

    transport: asyncio.Transport
    _bare: asyncio.Transport  # below TLS; the same where there is none

    def __init__(self, server: Server) -> None:
        self.server = server
        self.number = 0
        self.requests: list[Request] = []
        self.closed = False
        self.bell = Bell()
        self.peer: Any = None
        self._script: Script | None = None
        self._reader: RequestReader | None = RequestReader(self)
        self._raw = bytearray()
        self._unanswered: deque[tuple[Request, Answering]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._scripted: Request | None = None
        self._ending = False
        self._writable = True
        self._securing = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self._bare = cast(asyncio.Transport, transport)
        self.peer = transport.get_extra_info("peername")
        self._script, context = self.server.connection_opened(self)
        if self._script is not None and self._script.below_tls:
            self._reader = None  # a TLS client speaks first, perhaps before the first step runs: its bytes are no HTTP
        if context is None:
            self._ready()
        else:
            # The server sees a connection from its first moment, also one that never finishes its handshake.
            self._securing = True
            self._bare.pause_reading()
            self._begin(self._secure(context))
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._hand_over)  # when the TLS layer stands between us and the transport

    def data_received(self, data: bytes) -> None:
        if self._securing:
            self._raw += data  # before the TLS layer took over, or with the last message of the handshake
        elif self._reader is None:
            self._raw += data
        else:
            try:
                self._reader.feed(data)
            except BadRequest as error:
                self._refuse(error)
        self.bell.ring()

    def eof_received(self) -> None:
        # The peer sends no more: for a client that means it has gone. Returning None closes our side too.
        return None

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.bell.ring()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            if self._task is not None:
                self._task.cancel()
            self.server.connection_closed(self)

    async def _secure(self, context: ssl.SSLContext) -> None:
        try:
            secure = await asyncio.get_running_loop().start_tls(self._bare, self, context, server_side=True)
            if secure is None or self.closed:
                raise ConnectionResetError("the peer went away during the TLS handshake")
        except BaseException as error:
            self._task = None
            self._bare.abort()
            if isinstance(error, OSError):
                self.server.errors.append(f"connection {self.number}: no TLS handshake: {error!r}")
            self.connection_lost(None)  # asyncio tells it only to those whose handshake succeeded
            if isinstance(error, OSError):
                return
            raise
        self.transport = secure
        self._task = None
        self._ready()

    def _hand_over(self) -> None:
        # uvloop reads on from the first moment, paused or not: what came before the TLS layer took over belongs to it.
        layer: Any = self._bare.get_protocol()
        while self._raw and layer is not self:
            buffer = memoryview(layer.get_buffer(len(self._raw)))
            count = min(len(buffer), len(self._raw))
            buffer[:count] = self._raw[:count]
            del self._raw[:count]
            layer.buffer_updated(count)

    def _ready(self) -> None:
        self._securing = False
        if self._script is not None:
            self.start(self._script)
        early, self._raw = bytes(self._raw), bytearray()
        if early:
            self.data_received(early)

    # What the reader calls.

    def on_head(self, request: Request) -> None:
        request.connection = self.number
        request.peer = self.peer
        request.scheme = "http" if self.transport is self._bare else "https"
        request.bell = self.bell
        self._unanswered.append((request, self.server.request_arrived(self, request)))
        self._answer_next()

    def on_body(self, request: Request) -> None:
        pass  # data_received rings

    def on_end(self, request: Request) -> None:
        self._answer_next()
        self.server.bell.ring()

    # Answers.

    @property
    def idle(self) -> bool:
        between = self._reader is not None and self._reader.between_requests
        return between and self._task is None and not self._unanswered and not self._ending

    def _answer_next(self) -> None:
        while self._unanswered and self._task is None and not self._ending:
            request, answering = self._unanswered[0]
            if not (request.complete or answering.early):
                return
            self._unanswered.popleft()
            try:
                answer = answering.handler(request)
            except Exception:
                answer = self._failed(request)
            if isinstance(answer, Script):
                self.start(answer, request)
            elif inspect.isawaitable(answer):
                self._begin(self._answer_later(request, answer))
            else:
                self._answer(request, answer)

    def _answer(self, request: Request, answer: Any) -> None:
        try:
            reply = Reply.of(answer)
            wire, ends = reply.encode(request)
        except Exception:
            reply = self._failed(request)
            wire, ends = reply.encode(request)
        self.transport.write(wire)
        if isinstance(reply.body, bytes) or request.method == "HEAD":
            self._answered(request, ends)
        else:
            self._begin(self._stream(request, reply, ends))

    async def _answer_later(self, request: Request, answer: Awaitable[Any]) -> None:
        try:
            value = await answer
        except Exception:
            value = self._failed(request)
        self._task = None
        if isinstance(value, Script):
            self.start(value, request)
        else:
            self._answer(request, value)

    async def _stream(self, request: Request, reply: Reply, ends: bool) -> None:
        assert not isinstance(reply.body, bytes)
        chunked = reply.chosen_framing(request.version) == "chunked"
        try:
            async for piece in reply.body:
                if piece:  # an empty chunk would end the body
                    await self.write(chunk(piece) if chunked else piece)
        except Exception:
            # The head is out: a cut body is the only honest way to tell.
            self._failed(request)
            self.abort()
            return
        finally:
            # A generator that stands at a `yield` while the peer goes away isn't told by itself.
            if (aclose := getattr(reply.body, "aclose", None)) is not None:
                await aclose()
        self.transport.write((reply.last_chunk() if chunked else b"") + reply.extra)
        self._answered(request, ends)

    def _answered(self, request: Request, ends: bool) -> None:
        if ends:
            self._ending = True
            if request.complete:
                self.transport.close()
            else:
                # The rest of the upload is read and dropped: closing now would reset the connection and could destroy the reply
                # on its way (RFC 9112 section 9.6).
                self.start(Script((HalfClose(),)))
        elif request.switches and self._reader is not None:
            self._reader.resume()

    def _failed(self, request: Request) -> Reply:
        message = f"{request!r}: the handler failed\n{traceback.format_exc()}"
        self.server.errors.append(message)
        return Reply(500, [("Content-Type", "text/plain; charset=utf-8")], message)

    def _refuse(self, error: BadRequest) -> None:
        self.server.errors.append(f"connection {self.number}: {error}")
        self.server.bell.ring()
        self._reader = None
        self._ending = True
        if self._task is not None:
            self._task.cancel()
        reply = Reply(error.status, [("Content-Type", "text/plain")], str(error), close=True)
        wire, _ = reply.encode(Request("GET", b"/", b"HTTP/1.1", [], b""))
        self.start(Script((wire, HalfClose())))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._done)
        self.server.tasks.add(self._task)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.server.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.server.errors.append(f"connection {self.number}: {''.join(traceback.format_exception(error))}")
            self.abort()
        if self._task is task:
            self._task = None
        if not self.closed:
            self._answer_next()

    # Scripts, and what their steps use.

    def start(self, script: Script, request: Request | None = None) -> None:
        """Runs a script; bytes that it begins with are written before this returns."""
        self._scripted = request
        steps = deque(script.steps)
        while steps and isinstance(steps[0], bytes):
            self.transport.write(cast(bytes, steps.popleft()))
        if steps:
            self._begin(self._follow(steps))

    async def _follow(self, steps: deque[Step]) -> None:
        for step in steps:
            if isinstance(step, bytes):
                await self.write(step)
            else:
                await step(self)
        self._scripted = None

    async def write(self, data: bytes) -> None:
        """Writes, then waits while the peer takes less than we send."""
        self.transport.write(data)
        await self.bell.until(lambda: self._writable)

    async def flush(self) -> None:
        """Waits until the system has taken all that was written."""
        # Polled: what the loops count and when they tell differs between them and between plain and TLS transports.
        await asyncio.sleep(0)
        while self.transport.get_write_buffer_size() or self._bare.get_write_buffer_size():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def read_head(self) -> Request:
        """The next request, its body perhaps still on the way."""
        await self.bell.until(lambda: bool(self._unanswered))
        self._scripted = self._unanswered.popleft()[0]
        return self._scripted

    async def read_request(self) -> Request:
        """The request being read, or else the next one, once it is complete."""
        request = self._scripted
        if request is None or request.complete:
            request = await self.read_head()
        return await request.finished()

    async def read_body(self, count: int) -> Request:
        """The request being read, or else the next one, once so many bytes of its body (or all of it) have arrived."""
        request = self._scripted or await self.read_head()
        await self.bell.until(lambda: request.received >= count or request.complete)
        return request

    async def read_bytes(self, count: int) -> bytes:
        """Waits for `count` bytes and takes all that came: from here on the peer may send anything, HTTP or not."""
        if self._reader is not None:
            self._raw += self._reader.rest()
            self._reader = None
        await self.bell.until(lambda: len(self._raw) >= count)
        data = bytes(self._raw)
        self._raw.clear()
        return data

    def half_close(self) -> None:
        """Sends FIN and goes on reading. Under TLS no close_notify is sent, as when a server crashes."""
        if self.transport is self._bare:
            self._bare.write_eof()
            return
        # Behind the transport's back: after its write_eof(), asyncio would complain of whatever TLS still has to say.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._bare.get_extra_info("socket").fileno())) as same:
            same.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Sends RST: with a linger time of 0, close() drops what is unsent and resets."""
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self._bare.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._bare.abort()

    def abort(self) -> None:
        """Closes at once, whatever is unsent."""
        self._bare.abort()
