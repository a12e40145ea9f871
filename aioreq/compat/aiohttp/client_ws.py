"""ClientWebSocketResponse: the core's WebSocket under aiohttp's names. What ends one is a message here, or the end of the iteration.

Receives and sends by the core; the states and the order in which aiohttp's users meet them are here. How it is opened: `_websockets.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, overload

from ...errors import AioreqError, ProtocolError, ReadTimeout, WebSocketClosed
from ._timeouts import AttrsFields
from .client_exceptions import ClientConnectionResetError, ServerTimeoutError, WSMessageTypeError
from .http_websocket import (
    WS_CLOSED_MESSAGE,
    WS_CLOSING_MESSAGE,
    WebSocketError,
    WSCloseCode,
    WSMessage,
    WSMessageNoDecodeText,
    WSMessageTextBytes,
    WSMsgType,
)
from .streams import EofStream

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ...websocket import WebSocket
    from ._response import ClientResponse
    from .typedefs import JSONBytesEncoder, JSONDecoder, JSONEncoder

    _DecodeText = TypeVar("_DecodeText", bound=bool, covariant=True, default=Literal[True])
else:
    from typing import TypeVar

    _DecodeText = TypeVar("_DecodeText", bound=bool, covariant=True)

__all__ = ["DEFAULT_WS_CLIENT_TIMEOUT", "ClientWSTimeout", "ClientWebSocketResponse"]

_TEXT, _BINARY = WSMsgType.TEXT, WSMsgType.BINARY
_NO_CODE = 1005  # RFC 6455 section 7.1.5
_MAX_REASON = 123  # bytes (section 5.5)
_new = tuple.__new__  # a named tuple's own costs twice as much


@dataclass(frozen=True, slots=True)
class ClientWSTimeout:
    """Seconds; None is no limit. `ws_receive`: that `receive` waits; `ws_close`: that `close` waits for the server's answer."""

    ws_receive: float | None = None
    ws_close: float | None = None

    __attrs_attrs__ = AttrsFields()


DEFAULT_WS_CLIENT_TIMEOUT = ClientWSTimeout(ws_receive=None, ws_close=10.0)


class ClientWebSocketResponse(Generic[_DecodeText]):
    """An open WebSocket: `async for message in ws:`, or `await ws.receive()`; `await ws.send_str(...)`; `await ws.close()`.

    One task receives at a time. `reader` and `writer` are both the core's WebSocket.
    """

    _conn: Any = None  # ccxt looks behind it for messages that wait, and does without

    def __init__(
        self,
        reader: WebSocket,
        writer: WebSocket,
        protocol: str | None,
        response: ClientResponse,
        timeout: ClientWSTimeout,
        autoclose: bool,
        autoping: bool,
        loop: asyncio.AbstractEventLoop,
        *,
        heartbeat: float | None = None,
        compress: int = 0,
        client_notakeover: bool = False,
    ) -> None:
        self._core = reader
        self._link = reader._link
        self._inbox = reader._inbox
        self._response = response
        self._protocol = protocol
        self._timeout = timeout
        self._receive_timeout = timeout.ws_receive or None
        self._autoclose = autoclose
        self._autoping = autoping
        self._heartbeat = heartbeat
        self._loop = loop
        self._compress = compress
        self._client_notakeover = client_notakeover
        self._waiting = False  # somebody receives
        self._closing = False
        self._closed = False
        self._close_wait: asyncio.Future[None] | None = None  # for the one that receives to stop
        self._close_code: int | None = None
        self._exception: BaseException | None = None

    # -- what there is to know

    @property
    def closed(self) -> bool:
        """Whether it is closed: by `close`, or by what `receive` gave."""
        return self._closed or self._silent()

    @property
    def close_code(self) -> int | None:
        """The server's close code, or why this side gave up; None while it is open."""
        self._silent()
        return self._close_code

    @property
    def protocol(self) -> str | None:
        """What the server chose of `protocols`."""
        return self._protocol

    @property
    def compress(self) -> int:
        """The window's bits, where messages are compressed; else 0."""
        return self._compress

    @property
    def client_notakeover(self) -> bool:
        """Whether each message is compressed for itself."""
        return self._client_notakeover

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows under this name; `default` once it is closed."""
        return default if self._closed or self._link.gone else self._link.transport.get_extra_info(name, default)

    def exception(self) -> BaseException | None:
        """What ended it, where that was an error of the connection."""
        self._silent()
        return self._exception

    # -- sending

    async def ping(self, message: bytes = b"") -> None:
        """Send a ping. Errors: ClientConnectionResetError once it is closed, ValueError for more than 125 bytes."""
        await self._control(WSMsgType.PING, message)

    async def pong(self, message: bytes = b"") -> None:
        """Send a pong; pings are answered without it, unless `autoping` is off. Errors: those of `ping`."""
        await self._control(WSMsgType.PONG, message)

    async def send_frame(self, message: bytes, opcode: WSMsgType, compress: int | None = None) -> None:
        """Send a message, or a ping or pong, by its opcode. Errors: ValueError for any other, and those of `ping`."""
        if opcode == _BINARY:
            await self.send_bytes(message)
        elif opcode == _TEXT:
            await self.send_str(bytes(message).decode())
        elif opcode in (WSMsgType.PING, WSMsgType.PONG):
            await self._control(opcode, message)
        else:
            raise ValueError(f"send_frame sends TEXT, BINARY, PING and PONG, not the opcode {opcode:d}; close() closes")

    async def send_str(self, data: str, compress: int | None = None) -> None:
        """Send a text message. It is compressed where that was agreed, whatever `compress`. Errors: TypeError, and those of `ping`."""
        if not isinstance(data, str):
            raise TypeError(f"data argument must be str ({type(data)!r})")
        try:
            await self._core.send(data)
        except WebSocketClosed as error:
            raise _closing_transport() from error

    async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
        """Send a binary message: see `send_str`."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")
        try:
            await self._core.send(data)
        except WebSocketClosed as error:
            raise _closing_transport() from error

    async def send_json(self, data: Any, compress: int | None = None, *, dumps: JSONEncoder = json.dumps) -> None:
        """Send a value as a text message. Errors: those of `dumps` and `send_str`."""
        await self.send_str(dumps(data), compress)

    async def send_json_bytes(self, data: Any, compress: int | None = None, *, dumps: JSONBytesEncoder) -> None:
        """Send a value as a binary message, by a `dumps` that gives bytes. Errors: its own and those of `send_bytes`."""
        await self.send_bytes(dumps(data), compress)

    async def _control(self, opcode: int, message: bytes | str) -> None:
        payload = message.encode() if isinstance(message, str) else bytes(message)
        try:
            await self._link.outbox.send_control(opcode, payload)
        except WebSocketClosed as error:
            raise _closing_transport() from error

    # -- receiving

    @overload
    async def receive(self: ClientWebSocketResponse[Literal[True]], timeout: float | None = None) -> WSMessage: ...
    @overload
    async def receive(self: ClientWebSocketResponse[Literal[False]], timeout: float | None = None) -> WSMessageNoDecodeText: ...
    @overload
    async def receive(self, timeout: float | None = None) -> WSMessageNoDecodeText: ...

    async def receive(self, timeout: float | None = None) -> WSMessageNoDecodeText:
        """The next message; what ends the WebSocket is one, too: CLOSE from the server, CLOSING and CLOSED from this side, ERROR.

        Errors: TimeoutError after `timeout` seconds; RuntimeError where another task receives.
        """
        inbox = self._inbox
        while True:
            if self._waiting:
                raise RuntimeError("Concurrent call to receive() is not allowed")
            if self._closed or self._closing or (inbox.ended and self._silent()):
                if not self._closed:
                    await self.close()
                return WS_CLOSED_MESSAGE
            self._waiting = True
            try:
                data = await self._core.receive(timeout or self._receive_timeout)
            except BaseException as error:
                return self._ended_by(error)
            finally:
                self._waiting = False
                if self._close_wait is not None and not self._close_wait.done():
                    self._close_wait.set_result(None)
            if type(data) is str:
                return _new(WSMessage, (_TEXT, data, ""))
            kind = inbox.kind
            if kind <= _BINARY:
                if kind == _TEXT and not inbox.decodes:
                    return _new(WSMessageTextBytes, (_TEXT, data, ""))
                return _new(WSMessage, (_BINARY, data, ""))
            message = await self._control_message(kind, data)  # type: ignore[arg-type]
            if message is not None:
                return message

    async def _control_message(self, kind: int, payload: bytes) -> WSMessage | None:
        """What stands among the messages, for who wants to see it."""
        if kind == WSMsgType.CLOSING:
            self._closing = True
            return WS_CLOSING_MESSAGE
        if kind == WSMsgType.CLOSE:
            ending = self._link.ending
            self._closing = True
            self._close_code = _said(ending.code)
            if self._autoclose:
                await self.close()
            return WSMessage(WSMsgType.CLOSE, _said(ending.code), ending.reason)
        if self._autoping:
            if kind == WSMsgType.PING:
                await self.pong(payload)
            return None
        return WSMessage(WSMsgType(kind), payload, "")

    def _ended_by(self, error: BaseException) -> WSMessage:
        """The message that stands for what ended it. Errors: what didn't end it."""
        ending = self._link.ending
        if isinstance(error, WebSocketClosed):
            if isinstance(silence := ending.cause, ReadTimeout):
                self._no_pong(silence)
                return WSMessage(WSMsgType.ERROR, self._exception, None)
            if ending.code is None:
                self._end(WSCloseCode.ABNORMAL_CLOSURE, _closing_transport(error))
                return WS_CLOSED_MESSAGE
            if ending.code == _NO_CODE:
                self._end(WSCloseCode.ABNORMAL_CLOSURE, EofStream())
            else:
                self._end(ending.code)
            return WSMessage(WSMsgType.CLOSE, _said(ending.code), ending.reason)
        if isinstance(error, ProtocolError) and self._inbox.ended:
            code = error.close_code or WSCloseCode.PROTOCOL_ERROR
            self._closed = True  # the core tells the server why, and closes
            self._close_code = code
            told = WebSocketError(code, str(error))
            told.__cause__ = error
            return WSMessage(WSMsgType.ERROR, told, None)
        if isinstance(error, asyncio.CancelledError | ReadTimeout):
            self._close_code = WSCloseCode.ABNORMAL_CLOSURE
        if isinstance(error, ReadTimeout):
            raise TimeoutError(str(error)) from error
        raise error

    @overload
    async def receive_str(self: ClientWebSocketResponse[Literal[True]], *, timeout: float | None = None) -> str: ...
    @overload
    async def receive_str(self: ClientWebSocketResponse[Literal[False]], *, timeout: float | None = None) -> bytes: ...
    @overload
    async def receive_str(self, *, timeout: float | None = None) -> str | bytes: ...

    async def receive_str(self, *, timeout: float | None = None) -> str | bytes:
        """The next text message: str, or bytes with `decode_text=False`. Errors: WSMessageTypeError, and those of `receive`."""
        message = await self.receive(timeout)
        if message.type is not _TEXT:
            raise WSMessageTypeError(f"Received message {message.type}:{message.data!r} is not WSMsgType.TEXT")
        return message.data  # type: ignore[no-any-return]

    async def receive_bytes(self, *, timeout: float | None = None) -> bytes:
        """The next binary message. Errors: WSMessageTypeError, and those of `receive`."""
        message = await self.receive(timeout)
        if message.type is not _BINARY:
            raise WSMessageTypeError(f"Received message {message.type}:{message.data!r} is not WSMsgType.BINARY")
        return message.data  # type: ignore[no-any-return]

    async def receive_json(self, *, loads: JSONDecoder | Callable[[bytes], Any] = json.loads, timeout: float | None = None) -> Any:
        """The JSON value of the next text message. Errors: those of `loads` and `receive_str`."""
        data: Any = await self.receive_str(timeout=timeout)
        return loads(data)

    def __aiter__(self) -> Self:
        return self

    @overload
    async def __anext__(self: ClientWebSocketResponse[Literal[True]]) -> WSMessage: ...
    @overload
    async def __anext__(self: ClientWebSocketResponse[Literal[False]]) -> WSMessageNoDecodeText: ...
    @overload
    async def __anext__(self) -> WSMessageNoDecodeText: ...

    async def __anext__(self) -> WSMessageNoDecodeText:
        message = await self.receive()
        if message.type in _ENDS:
            raise StopAsyncIteration
        return message

    # -- the end

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"") -> bool:
        """Close it, and wait for the server's answer, `ws_close` seconds at most; False where it was closed already.

        A task that receives meanwhile gets CLOSING. A code that can't be sent isn't; a reason ends where its 123 bytes do.
        """
        if self._waiting:
            if not self._closing:
                self._closing = True
                self._close_wait = self._loop.create_future()
                self._inbox.put(WSMsgType.CLOSING, b"", True, False)
            if self._close_wait is not None:
                await asyncio.shield(self._close_wait)
        if self.closed:
            return False
        self._closed = True
        link = self._link
        began = self._loop.time()
        link.close(_close_payload(code, message))
        try:
            while not self._close_code:
                await self._inbox.whole()
        except AioreqError as error:
            limit = self._timeout.ws_close
            if link.ending.code is not None:
                self._close_code = _said(link.ending.code)
            elif limit is not None and self._loop.time() - began >= limit * 0.9:
                self._end(WSCloseCode.ABNORMAL_CLOSURE, TimeoutError(f"no answer to the closing within {limit:g} s"))
            else:
                self._end(WSCloseCode.ABNORMAL_CLOSURE, _closing_transport(error))
        except asyncio.CancelledError:
            self._close_code = WSCloseCode.ABNORMAL_CLOSURE
            raise
        finally:
            link.abandon()
        return True

    def _end(self, code: int, error: BaseException | None = None) -> None:
        self._closed = True
        self._close_code = code
        self._exception = error
        self._link.abandon()

    def _silent(self) -> bool:
        """Whether the server left a heartbeat unanswered: what was closed then nobody has to receive."""
        if self._inbox.ended and not self._closed and isinstance(silence := self._link.ending.cause, ReadTimeout):
            self._no_pong(silence)
        return self._closed

    def _no_pong(self, silence: ReadTimeout) -> None:
        error = ServerTimeoutError(f"No PONG received after {(self._heartbeat or 0) / 2} seconds: {silence}")
        error.__cause__ = silence
        self._end(WSCloseCode.ABNORMAL_CLOSURE, error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        await self.close()


_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED})


def _closing_transport(cause: BaseException | None = None) -> ClientConnectionResetError:
    error = ClientConnectionResetError("Cannot write to closing transport")
    error.__cause__ = cause
    return error


def _said(code: int | None) -> int:
    """A close frame's code as aiohttp has it: 0 where there was none."""
    return 0 if code is None or code == _NO_CODE else code


def _close_payload(code: int, message: bytes | str) -> bytes:
    from ...websocket.frames import close_payload

    reason = message.encode() if isinstance(message, str) else bytes(message)
    try:
        return close_payload(code, reason[:_MAX_REASON].decode(errors="ignore"))
    except ValueError:
        return b""
