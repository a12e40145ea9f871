"""`response.extensions["network_stream"]`: facts of the connection, and the connection itself behind a 101 (Switching Protocols).

Its errors are httpcore's, as who speaks WebSocket by it expects. Knows no protocol.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import finalize, ref

from ...detached import Detached
from ...errors import AioreqError
from ...models import StreamResponse
from ...sync import background
from ...transfer import ConnectionInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BlockingNetworkStream", "NetworkStream"]

_HIGH_WATER = 256 * 1024  # bytes that nobody has read: above, reading pauses


class NetworkStream:
    """Facts by `get_extra_info`; behind a 101 `read`, `write` and `aclose`, too. It closes with its response."""

    __slots__ = ("__weakref__", "_core", "_response", "_wire")

    def __init__(self, response: StreamResponse, core: str) -> None:
        self._response = response
        self._core = core  # the module that has the errors
        self._wire: _Wire | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to that many bytes, as soon as there are any; b"" at the end. Errors: httpcore's ReadTimeout, ReadError."""
        wire = self._taken("ReadError")
        try:
            async with asyncio.timeout(timeout):
                return await wire.read(max_bytes)
        except TimeoutError as error:
            if wire.broken is not error:
                self._fail("ReadTimeout", f"no byte came for {timeout:g} s", error)
            self._fail("ReadError", str(error), error)
        except OSError as error:
            self._fail("ReadError", str(error), error)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it. Errors: httpcore's WriteTimeout, WriteError."""
        wire = self._taken("WriteError")
        try:
            async with asyncio.timeout(timeout):
                await wire.write(buffer)
        except TimeoutError as error:
            if wire.broken is not error:
                self._fail("WriteTimeout", f"the peer took no byte for {timeout:g} s", error)
            self._fail("WriteError", str(error), error)
        except OSError as error:
            self._fail("WriteError", str(error), error)

    async def aclose(self) -> None:
        """Close the connection, if it was taken over; else its response does."""
        self.close()

    def close(self) -> None:
        """The same, without a wait; on the loop alone."""
        if self._wire is not None:
            self._wire.close()

    async def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> NoReturn:
        """Not here: TLS upon a proxy's tunnel is the transport's own business."""
        raise NotImplementedError("start_tls: give the transport proxy=..., and the tunnel and TLS upon it are made for you")

    def get_extra_info(self, info: str) -> Any:
        """ "client_addr", "server_addr", "ssl_object" (before a 101: what it told of itself), "socket"; else None."""
        known = self._response.connection
        if info == "client_addr":
            return known.local_address
        if info == "server_addr":
            return known.peer_address
        if self._wire is not None and info in ("ssl_object", "socket"):
            return self._wire.detached.transport.get_extra_info(info)
        if info == "ssl_object" and known.tls_version is not None:
            return _TLSFacts(known)
        return None

    def _taken(self, kind: str) -> _Wire:
        if self._wire is None:
            try:
                self._wire = _Wire(self._response.detach())
            except AioreqError as error:
                self._fail(kind, str(error), error)
            finalize(self, _abandon, ref(self._wire)).atexit = False  # not by `__del__`: one is made for each response, and few are taken
        return self._wire

    def _fail(self, kind: str, message: str, cause: BaseException) -> NoReturn:
        raise getattr(import_module(self._core), kind)(message) from cause


class BlockingNetworkStream:
    """The same for synchronous calls, waited for."""

    __slots__ = ("_stream",)

    def __init__(self, response: StreamResponse, core: str) -> None:
        self._stream = NetworkStream(response, core)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """See `NetworkStream.read`."""
        return background().wait(self._stream.read(max_bytes, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See `NetworkStream.write`."""
        background().wait(self._stream.write(buffer, timeout))

    def close(self) -> None:
        """See `NetworkStream.aclose`."""
        if self._stream._wire is None:
            return
        with suppress(RuntimeError):  # the loop has gone, and the connection with it
            background().loop.call_soon_threadsafe(self._stream.close)

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> NoReturn:
        """See `NetworkStream.start_tls`."""
        raise NotImplementedError("start_tls: give the transport proxy=..., and the tunnel and TLS upon it are made for you")

    def get_extra_info(self, info: str) -> Any:
        """See `NetworkStream.get_extra_info`."""
        return self._stream.get_extra_info(info)


class _Wire:
    """Takes what comes behind a 101. The loop holds it, so it doesn't hold the stream that is read by."""

    def __init__(self, detached: Detached) -> None:
        self.detached = detached
        self.broken: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._over = False
        self._full = False
        self._arrival: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = False
        detached.start(self)

    async def read(self, most: int) -> bytes:
        while not self._held and not self._over:
            if self._arrival is not None:
                raise RuntimeError("two tasks read the same network stream at once")
            self._arrival = self._loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        if not self._held and self.broken is not None:
            raise self.broken
        data = bytes(self._held[:most])
        del self._held[:most]
        if self._paused and len(self._held) <= _HIGH_WATER // 4 and not self._over:
            self._paused = False
            self.detached.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._over or self.detached.transport.is_closing():
            raise self.broken or ConnectionError("the connection is closed")
        self.detached.transport.write(data)
        while self._full and not self._over:
            if self._room is None or self._room.done():
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)  # others may wait for it, too
        if self.broken is not None:
            raise self.broken

    def close(self) -> None:
        if not self._over:
            if self.detached.transport.get_write_buffer_size():
                self.detached.transport.close()
            else:
                self.detached.close()

    def abandon(self) -> None:
        if not self._over:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.detached.close)

    # -- detached.Taker

    def received(self, data: Buffer, size: int) -> None:
        self._held += memoryview(data)[:size]
        if len(self._held) > _HIGH_WATER and not self._paused:
            self._paused = True
            self.detached.transport.pause_reading()
        _wake(self._arrival)

    def leaving(self) -> None:
        pass  # what this protocol says in the end is its speaker's business

    def eof(self) -> None:
        self._over = True
        _wake(self._arrival)
        _wake(self._room)

    def lost(self, error: Exception | None) -> None:
        self._over = True
        self.broken = error
        _wake(self._arrival)
        _wake(self._room)

    def write_paused(self, paused: bool) -> None:
        self._full = paused
        if not paused:
            _wake(self._room)


class _TLSFacts:
    """What a connection told of its TLS when it was opened, asked as an `ssl.SSLObject` is."""

    def __init__(self, known: ConnectionInfo) -> None:
        self._known = known

    def version(self) -> str | None:
        return self._known.tls_version

    def cipher(self) -> tuple[str | None, str | None, None]:
        return self._known.cipher, self._known.tls_version, None

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        if not binary_form:
            raise NotImplementedError("getpeercert(binary_form=True) gives the certificate, for a library that reads one")
        return self._known.certificate


def _abandon(wire: ref[_Wire]) -> None:
    # Weakly: in a loop that was closed amid a read, the wire leads to its reader, and so to the stream whose end is waited for.
    if (left := wire()) is not None:
        left.abandon()


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
