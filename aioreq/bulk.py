"""Many servers at once over bare protocols: no client, no pool, no parser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from .config import Limits
from .dns import Names
from .errors import ConnectError, ConnectionLost, LimitExceeded
from .resolvers import ThreadedResolver
from .urls import parse

__all__ = ["get_requests"]

MAX_RESPONSE = 64 * 1024 * 1024  # bytes kept of one raw response


async def get_requests(addresses: Iterable[tuple[str, int]]) -> list[bytes]:
    """One `GET / HTTP/1.0` to each (host, port), all at once: the raw responses as received, heads included, in the same order.

    The first failure closes the other connections and is raised: ConnectError, ConnectionLost, or LimitExceeded past 64 MiB.
    """
    targets = [(host, port, parse(f"http://{f'[{host}]' if ':' in host else host}:{port}/").authority) for host, port in addresses]
    names = Names(ThreadedResolver(), Limits())
    exchanges = [asyncio.ensure_future(_exchange(names, host, port, authority)) for host, port, authority in targets]
    try:
        return list(await asyncio.gather(*exchanges))
    finally:
        for exchange in exchanges:
            exchange.cancel()
        await asyncio.gather(*exchanges, return_exceptions=True)


async def _exchange(names: Names, host: str, port: int, authority: bytes) -> bytes:
    transport, protocol = await _open(names, host, port)
    try:
        transport.write(b"GET / HTTP/1.0\r\nHost: %b\r\n\r\n" % authority)
        return await protocol.received
    finally:
        transport.abort()


async def _open(names: Names, host: str, port: int) -> tuple[asyncio.Transport, _Collector]:
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for address in await names.lookup(host, port):
        try:
            return await loop.create_connection(lambda: _Collector(loop, f"{host}:{port}"), *address.sockaddr[:2])
        except OSError as error:
            failure = error
    assert failure is not None
    raise ConnectError(f"no connection to {host}:{port}: {os.strerror(failure.errno) if failure.errno else failure}") from failure


class _Collector(asyncio.Protocol):
    """Keeps what arrives until the connection ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        self.received: asyncio.Future[bytes] = loop.create_future()
        self._peer = peer
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > MAX_RESPONSE and not self.received.done():
            self.received.set_exception(LimitExceeded(f"{self._peer} sent more than {MAX_RESPONSE} bytes: use aioreq.Client and stream"))

    def connection_lost(self, error: Exception | None) -> None:
        if self.received.done():
            return
        if error is None and self._data:
            self.received.set_result(bytes(self._data))
        else:
            what = "closed the connection without a byte" if error is None else f"broke the connection ({error})"
            self.received.set_exception(ConnectionLost(f"{self._peer} {what}", response_started=bool(self._data)))
            self.received.exception()  # seen: a call cancelled while it connects leaves nobody to ask, and nothing to log
