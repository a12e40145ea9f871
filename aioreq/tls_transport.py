"""TLS upon a transport: a protocol for what is below, a transport for what is above, one record after another in between.

OpenSSL works on memory (`ssl.MemoryBIO`); here bytes are only carried to it and from it. It stands in place of the loops' own layers, which
cost a request more than its encryption does and can't be stacked in peace. Knows no HTTP, no certificates and no time: who opens it bounds
the handshake, and checks whom it was made with.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TLSTransport"]

RECORD = 16 * 1024  # bytes of plaintext that one record has at most (RFC 8446 section 5.1), and so one read
UNREAD = 1024 * 1024  # bytes: far more than an upload leaves unwritten. Who asks for answers beyond it, and reads none, wants our memory


class TLSTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """Encrypts what is written to it, gives its protocol what it decrypts.

    `buffer` is what the transport below reads into, and may be shared as `BufferedFace`'s is. The protocol is a `BufferedProtocol`; until
    `start` names it, what has arrived waits.
    """

    __slots__ = (
        "_arriving",
        "_below",
        "_buffer",
        "_closed",
        "_ended",
        "_error",
        "_full",
        "_leaving",
        "_loop",
        "_paused",
        "_protocol",
        "_shaken",
        "_tls",
        "_unwritten",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext, server_hostname: str, buffer: memoryview) -> None:
        super().__init__()
        self._loop = loop
        self._buffer = buffer
        self._arriving, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arriving, self._leaving, server_side=False, server_hostname=server_hostname)
        # A result in both cases: an exception that nobody comes to fetch would be complained about.
        self._shaken: asyncio.Future[Exception | None] = loop.create_future()
        self._below: asyncio.Transport | None = None
        self._protocol: asyncio.BufferedProtocol | None = None
        self._unwritten: list[bytes] = []  # while the peer negotiates anew (RFC 5246 section 7.4.1.1)
        self._error: Exception | None = None
        self._full = False  # the transport below is
        self._paused = False
        self._ended = False
        self._closed = False

    # -- the handshake

    async def handshake(self) -> None:
        """Wait until it is over. Errors: ssl.SSLError, OSError."""
        error = await self._shaken
        if error is not None:
            raise error

    def start(self, protocol: asyncio.BufferedProtocol) -> None:
        """Give it what arrives from now on. Errors: ConnectionResetError where the peer has gone since the handshake."""
        if self._ended or self.is_closing():
            raise _reset()
        self._protocol = protocol
        protocol.connection_made(self)
        if self._arriving.pending:
            self.feed(b"")

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
        except Exception as error:
            self._send()  # an alert says why
            self._fail(error)
        else:
            self._send()
            self._shaken.set_result(None)

    # -- what is below: BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast(asyncio.Transport, transport)
        if self._closed:
            self._below.abort()
        else:
            self._shake()

    def get_buffer(self, sizehint: int) -> Buffer:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(self._buffer[:nbytes])

    def feed(self, data: Buffer) -> None:
        """Decrypt this; it is copied first."""
        if self._closed or self._ended:
            return
        self._arriving.write(data)
        if not self._shaken.done():
            self._shake()
        elif self._protocol is not None and not self._paused:
            self._read()

    def rescue(self, data: bytes) -> None:
        """Decrypt what the socket still held when the connection broke; may be called by the protocol's `connection_lost`."""
        below = self._below
        if isinstance(below, TLSTransport):
            below.rescue(data)
        else:
            self.feed(data)

    def eof_received(self) -> None:
        if not self._shaken.done():
            self._fail(_reset())
        elif not self._ended:
            self._ended = True
            if self._protocol is not None:
                self._protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        error = self._error or error
        if not self._shaken.done():
            self._shaken.set_result(error or _reset())
        elif self._protocol is not None:
            self._protocol.connection_lost(error)  # which may `feed` what it has rescued
        self._closed = True
        self._below = self._protocol = self._error = None  # each of them leads back here

    def pause_writing(self) -> None:
        self._full = True
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        if self._protocol is not None and not self._unwritten:
            self._protocol.resume_writing()

    # -- between

    def _read(self) -> None:
        """Give the protocol what has arrived, record by record."""
        tls, arriving = self._tls, self._arriving
        read: Any = tls.read  # typed for a bytearray alone
        try:
            while (protocol := self._protocol) is not None:
                size = read(RECORD, protocol.get_buffer(RECORD))
                if not size:
                    self._ended = True
                    protocol.eof_received()
                    break
                protocol.buffer_updated(size)
                # Neither is asked for more than it has: that would cost an exception each time.
                if self._paused or self._closed or not (arriving.pending or tls.pending()):
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._send()
            self._fail(error)
            return
        if self._leaving.pending:  # a key update's answer, or a handshake's: whoever asks for these decides how many there are
            self._send()
            if self.get_write_buffer_size() > UNREAD:
                self._fail(ConnectionAbortedError(errno.ECONNABORTED, "it asks for one TLS message after another, and reads none"))
                return
        if self._unwritten:
            self._write_again()

    def _send(self) -> None:
        if self._below is not None and self._leaving.pending:
            self._below.write(self._leaving.read())

    def _write_again(self) -> None:
        waiting, self._unwritten = self._unwritten, []
        for data in waiting:
            self.write(data)
        if self._protocol is not None and not (self._unwritten or self._full):
            self._protocol.resume_writing()

    def _fail(self, error: Exception) -> None:
        """The connection is no use any more; the protocol is told by `connection_lost`."""
        if self._shaken.done():
            self._error = error
        else:
            self._shaken.set_result(error)
        self.abort()

    # -- what is above: Transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.BufferedProtocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def write(self, data: Buffer) -> None:
        if self._closed:
            return
        if self._unwritten:
            self._unwritten.append(bytes(data))
            return
        try:
            self._tls.write(data)
        except ssl.SSLWantReadError:
            self._unwritten.append(bytes(data))
            if self._protocol is not None:  # the peer decides how long this takes: nothing may pile up meanwhile
                self._protocol.pause_writing()
        except ssl.SSLError as error:
            self._fail(error)
            return
        below = self._below
        if below is not None:
            below.write(self._leaving.read())

    def pause_reading(self) -> None:
        self._paused = True
        if self._below is not None:
            self._below.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self._below is not None and not self._closed:
            self._below.resume_reading()
            if self._arriving.pending or self._tls.pending():
                self._loop.call_soon(self.feed, b"")

    def is_reading(self) -> bool:
        return not self._paused and not self._closed

    def is_closing(self) -> bool:
        return self._closed or self._below is None or self._below.is_closing()

    def get_write_buffer_size(self) -> int:
        return (0 if self._below is None else self._below.get_write_buffer_size()) + sum(map(len, self._unwritten))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return default if self._below is None else self._below.get_extra_info(name, default)

    def close(self) -> None:
        """Say close_notify (RFC 8446 section 6.1), and close once it is sent: the peer's isn't waited for."""
        if self._closed:
            return
        self._closed = True
        if self._below is not None:
            if self._shaken.done():
                try:
                    self._tls.unwrap()
                except ssl.SSLError:  # that it wants the peer's
                    pass
                self._send()
            self._below.close()

    def abort(self) -> None:
        self._closed = True
        if self._below is not None:
            self._below.abort()


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
