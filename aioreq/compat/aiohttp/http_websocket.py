"""WebSocket messages by aiohttp's names: their types, close codes and errors. Frames are the core's."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

from .client_exceptions import like_aiohttp

__all__ = [
    "WS_CLOSED_MESSAGE",
    "WS_CLOSING_MESSAGE",
    "WS_KEY",
    "WSCloseCode",
    "WSHandshakeError",
    "WSMessage",
    "WSMessageDecodeText",
    "WSMessageNoDecodeText",
    "WSMessageTextBytes",
    "WSMsgType",
    "WebSocketError",
]

WS_KEY: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class WSCloseCode(IntEnum):
    """Why a WebSocket was closed (RFC 6455 section 7.4.1, and IANA's registry)."""

    OK = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    ABNORMAL_CLOSURE = 1006
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


class WSMsgType(IntEnum):
    """What a message is: a frame's opcode (RFC 6455 section 5.2), or how the WebSocket ended."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    PING = 0x9
    PONG = 0xA
    CLOSE = 0x8

    CLOSING = 0x100  # this side closes
    CLOSED = 0x101
    ERROR = 0x102

    text = TEXT
    binary = BINARY
    ping = PING
    pong = PONG
    close = CLOSE
    closing = CLOSING
    closed = CLOSED
    error = ERROR


class WSMessage(NamedTuple):
    """A message: text as str, anything else as bytes; of a CLOSE the code and, in `extra`, the reason; of an ERROR the exception."""

    type: WSMsgType
    data: Any
    extra: str | None

    def json(self, *, loads: Callable[[Any], Any] = json.loads) -> Any:
        """The JSON value in it. Errors: those of `loads`."""
        return loads(self.data)


class WSMessageTextBytes(NamedTuple):
    """A text message as the bytes that came, which nobody has decoded."""

    type: WSMsgType
    data: Any
    extra: str | None

    def json(self, *, loads: Callable[[Any], Any] = json.loads) -> Any:
        """The JSON value in it. Errors: those of `loads`."""
        return loads(self.data)


WSMessageDecodeText = WSMessage
WSMessageNoDecodeText = WSMessage | WSMessageTextBytes

WS_CLOSED_MESSAGE: Final = WSMessage(WSMsgType.CLOSED, None, None)
WS_CLOSING_MESSAGE: Final = WSMessage(WSMsgType.CLOSING, None, None)


class WebSocketError(Exception, metaclass=like_aiohttp):
    """The server broke the rules; `code` is the close code that it was told."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.args = (code, message)

    def __str__(self) -> str:
        return str(self.args[1])


class WSHandshakeError(Exception, metaclass=like_aiohttp):
    """An answer to the handshake that can't be read."""
