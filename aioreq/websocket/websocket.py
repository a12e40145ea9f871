"""WebSocket: what the user holds of an open one (RFC 6455). Messages and their types; knows no frame's layout and no handshake.

How it was opened stands in handshake.py, the connection behind it in link.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from ..config import check_seconds
from ..errors import DecodeError, ReadTimeout, WebSocketClosed
from ..request_body import encode_json
from .frames import ABNORMAL, BINARY, NORMAL, PONG, TEXT, close_payload, framed
from .inbox import PIECE, MessagePieces

if TYPE_CHECKING:
    from ..models import Request, StreamResponse
    from .link import Link

__all__ = ["WebSocket"]

FIN = 0x80


class WebSocket:
    """An open WebSocket, as `client.websocket(url)` gives it.

    `async for message in ws:` gives messages, str or bytes, until the server closes; `await ws.send(message)` sends one. Both may run at
    once, in tasks of their own; one task receives at a time. `await ws.close()` in the end, or `async with`.
    `response` is the server's 101, `subprotocol` what it chose of those that were offered, `compressed` whether messages may be.
    """

    __slots__ = ("__weakref__", "_dumps", "_inbox", "_link", "_loads", "_outbox", "compressed", "response", "subprotocol")

    def __init__(
        self,
        link: Link,
        response: StreamResponse,
        subprotocol: str | None,
        compressed: bool,
        loads: Callable[[bytes], Any] | None,
        dumps: Callable[[Any], str | bytes] | None,
    ) -> None:
        self._link = link
        self._inbox = link.inbox
        self._outbox = link.outbox
        self._loads = loads
        self._dumps = dumps
        self.response = response
        self.subprotocol = subprotocol
        self.compressed = compressed

    # -- messages

    async def send(self, message: str | bytes | bytearray | memoryview | Iterable[str | bytes] | AsyncIterable[str | bytes]) -> None:
        """Send a message: str as text, bytes as binary; an iterable of either as one message, each piece as soon as it is there.

        It waits while the server doesn't take what was sent before. Cancelled while it waits, nothing was sent; but a message of pieces
        that is broken off, by that or by its iterable's own error, ends the connection. Other messages wait until its last piece is sent.
        Errors: WebSocketClosed, TypeError.
        """
        outbox = self._outbox
        if type(message) is str:
            opcode, payload = TEXT, message.encode()
        elif type(message) is bytes:
            opcode, payload = BINARY, message
        else:
            await self._send_other(message)
            return
        if not outbox.straight:
            await outbox.send(opcode, payload)
        elif outbox.wrote:
            outbox.gather(framed(FIN | opcode, payload))
            if outbox.burst < 0:
                await outbox.pause()
        else:
            outbox.wrote = True
            outbox.transmit(framed(FIN | opcode, payload))

    async def _send_other(self, message: Any) -> None:
        if isinstance(message, str):
            await self._outbox.send(TEXT, message.encode())
        elif isinstance(message, bytes | bytearray | memoryview):
            await self._outbox.send(BINARY, bytes(message))
        elif isinstance(message, Iterable | AsyncIterable) and not isinstance(message, Mapping):
            await self._outbox.send_pieces(message)
        else:
            other = "; send_json(...) sends other values"
            raise TypeError(f"WebSocket.send takes str, bytes or an iterable of them, not {type(message).__name__}{other}")

    async def send_json(self, value: Any) -> None:
        """Send a value as a text message of compact JSON. Errors: those of `send`, ValueError for NaN, TypeError for what isn't JSON."""
        await self._outbox.send(TEXT, encode_json(value, self._dumps))

    async def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message: str where it is text, else bytes.

        With a `timeout`, in seconds, ReadTimeout after that; neither it nor a cancellation loses any of a message. Errors: WebSocketClosed
        once all that came was received; RemoteProtocolError and LimitExceeded (`max_message`), for which the connection was closed.
        """
        inbox = self._inbox
        if timeout is None and inbox.straight and not inbox.busy:
            pieces = inbox.pieces
            if not pieces and not inbox.ended:
                waiter = inbox.waiter = inbox.loop.create_future()
                inbox.busy = True
                try:
                    await waiter
                finally:
                    inbox.busy = False
                    inbox.waiter = None
            if pieces:
                kind, data, last, _ = pieces[0]
                if last and kind <= BINARY:
                    pieces.popleft()
                    inbox.held -= len(data) + PIECE
                    if inbox.paused:
                        inbox.relieve()
                    if kind == BINARY:
                        return data
                    try:
                        return data.decode()
                    except UnicodeDecodeError as error:
                        raise inbox.fault(error) from None
        check_seconds("WebSocket.receive", "timeout", timeout)
        return await inbox.whole(timeout)

    async def receive_json(self, timeout: float | None = None) -> Any:
        """The next message's JSON value. Errors: DecodeError (`.partial` is the message), and those of `receive`."""
        message = await self.receive(timeout)
        loads: Callable[[Any], Any] | None = self._loads
        if loads is None:
            import json

            loads = json.loads
        elif isinstance(message, str):
            message = message.encode()
        try:
            return loads(message)
        except (ValueError, RecursionError) as error:
            data = message.encode() if isinstance(message, str) else message
            what = f"a WebSocket message of {len(data)} bytes is no JSON: {error}"
            raise DecodeError(what, request=self.request, partial=data) from error

    def receive_pieces(self) -> AsyncIterator[str | bytes]:
        """The next message as it arrives: `async for piece in ws.receive_pieces()`, pieces of any size, all str or all bytes.

        However long it is, little of it is held. What isn't read of it is dropped when the next message is asked for.
        """
        return MessagePieces(self._inbox)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed:
            if not self._link.ending.orderly:
                raise
        raise StopAsyncIteration

    # -- the connection

    async def ping(self, timeout: float | None = None) -> float:
        """The seconds that a ping and its pong take. Errors: ReadTimeout after `timeout` seconds, WebSocketClosed."""
        check_seconds("WebSocket.ping", "timeout", timeout)
        if self.closed:
            raise self._link.ending.closed()
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._link.keepalive.ping()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ReadTimeout(f"{self._link.ending.peer} answered no ping within {timeout:g} s", request=self.request) from error

    async def pong(self, payload: bytes = b"") -> None:
        """Send a pong that nobody asked for: a sign of life that wants no answer (RFC 6455 section 5.5.3).

        Pings are answered without it. Errors: WebSocketClosed, ValueError for more than 125 bytes.
        """
        await self._outbox.send_control(PONG, payload)

    @property
    def latency(self) -> float | None:
        """The seconds that the last pong took, None before the first one; with `ping_interval`, pings go out by themselves."""
        return self._link.keepalive.latency

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close in order: say so, wait for the server's answer and for the end of the connection, `close_timeout` seconds at most.

        Messages that came before can still be received; what comes from now on is dropped. Closed already, it does nothing but wait for
        the end. Errors: ValueError for a code that can't be sent, or a reason of more than 123 bytes.
        """
        link = self._link
        link.close(close_payload(code, reason))
        try:
            await link.wait_gone()
        except BaseException:
            link.abort()
            raise

    def abandon(self) -> None:
        """Say that we go (1001), and close without waiting for anything. May be called at any time."""
        self._link.abandon()

    @property
    def received(self) -> bool:
        """Whether anything of a message has ever come."""
        return self._link.any or self._link.gathers

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more: either side has begun to close, or the connection was lost."""
        return self._outbox.closed

    @property
    def close_code(self) -> int | None:
        """The code of the server's close frame: 1005 where it had none, 1006 where the connection ended without one; None before."""
        code = self._link.ending.code
        return ABNORMAL if code is None and self._inbox.ended else code

    @property
    def close_reason(self) -> str:
        """The reason that stood there."""
        return self._link.ending.reason

    @property
    def request(self) -> Request:
        """The request of the handshake, as it was sent: after redirects, the last one."""
        return self.response.request

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            await self.close()
        else:
            self.abandon()

    def __del__(self) -> None:
        # Nobody can receive or send any more; this may be any thread, and after the loop has ended.
        link = getattr(self, "_link", None)
        if link is not None and not link.gone:
            with suppress(RuntimeError):
                link.loop.call_soon_threadsafe(link.abandon)

    def __repr__(self) -> str:
        return f"<WebSocket {self.request.host}{' closed' if self.closed else ''}>"
