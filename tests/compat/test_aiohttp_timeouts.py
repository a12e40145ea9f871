"""ClientTimeout: which limit passes in which phase, and what is raised for it. On the face and on aiohttp."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from aioreq.testing import ReadHead, Server, Stall

SHORT = 0.2  # seconds: what the server does never comes to an end


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose handshakes nobody answers any more."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        try:
            yield port
        finally:
            for sock in waiting:
                sock.close()


def test_values(lib: Any) -> None:
    assert [getattr(lib.ClientTimeout(), name) for name in ("total", "connect", "sock_read", "sock_connect")] == [None] * 4
    assert lib.ClientTimeout(total=5) == lib.ClientTimeout(5)
    assert lib.ClientTimeout(ceil_threshold=1).ceil_threshold == 1
    assert hash(lib.ClientTimeout(1)) == hash(lib.ClientTimeout(1))
    with pytest.raises(AttributeError):
        lib.ClientTimeout().total = 1


async def test_of_a_session(lib: Any) -> None:
    async with lib.ClientSession() as session:
        assert session.timeout == lib.ClientTimeout(total=300, sock_connect=30)
    async with lib.ClientSession(timeout=lib.ClientTimeout(total=1)) as session:
        assert session.timeout == lib.ClientTimeout(total=1)
    with pytest.raises(ValueError, match="ClientTimeout"):
        lib.ClientSession(timeout=5)
    with pytest.raises(ValueError, match="conflict"):
        lib.ClientSession(timeout=lib.ClientTimeout(), read_timeout=5)
    with pytest.warns(DeprecationWarning, match="timeout is deprecated"):
        session = lib.ClientSession(read_timeout=5, conn_timeout=6)
    async with session:
        assert session.timeout == lib.ClientTimeout(total=5, connect=6, sock_connect=30)


@pytest.mark.parametrize("seconds", [SHORT, None])
async def test_total_before_the_response(lib: Any, seconds: float | None) -> None:
    """A number is the total, and so is a ClientTimeout's; of the session where a request has none."""
    limit = lib.ClientTimeout(total=SHORT)
    async with Server() as server:
        server.script(Stall(), times=3)
        async with lib.ClientSession(timeout=limit) as session:
            with pytest.raises(asyncio.TimeoutError) as caught:
                await (session.get(server.url) if seconds is None else session.get(server.url, timeout=seconds))
            assert type(caught.value) is TimeoutError
            assert not isinstance(caught.value, lib.ClientError)


@pytest.mark.parametrize("read", ["read", "content.read", "content.readline", "content.iter_any"])
async def test_total_within_the_body(lib: Any, read: str) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", Stall())
        async with lib.ClientSession(timeout=lib.ClientTimeout(total=SHORT)) as session, session.get(server.url) as response:
            with pytest.raises(asyncio.TimeoutError) as caught:
                if read == "content.iter_any":
                    async for _ in response.content.iter_any():
                        pass
                else:
                    await getattr(response.content if "." in read else response, read.rpartition(".")[2])()
            assert type(caught.value) is TimeoutError


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"], ids=["head", "body"])
async def test_sock_read(lib: Any, wire: bytes) -> None:
    async with Server() as server:
        server.script(*([wire] if wire else []), Stall())
        async with lib.ClientSession() as session:
            with pytest.raises(lib.SocketTimeoutError, match="Timeout on reading data from socket") as caught:
                async with session.get(server.url, timeout=lib.ClientTimeout(sock_read=SHORT)) as response:
                    await response.read()
            assert isinstance(caught.value, lib.ServerTimeoutError | asyncio.TimeoutError)


@pytest.mark.parametrize("which", ["connect", "sock_connect"])
async def test_connecting(lib: Any, which: str) -> None:
    with full_backlog() as port:
        async with lib.ClientSession(timeout=lib.ClientTimeout(**{which: SHORT})) as session:
            with pytest.raises(lib.ConnectionTimeoutError, match=f"Connection timeout to host http://127.0.0.1:{port}"):
                await session.get(f"http://127.0.0.1:{port}/")


async def test_total_while_connecting(lib: Any) -> None:
    with full_backlog() as port:
        async with lib.ClientSession() as session:
            with pytest.raises(asyncio.TimeoutError) as caught:
                await session.get(f"http://127.0.0.1:{port}/", timeout=lib.ClientTimeout(total=SHORT))
            assert type(caught.value) is TimeoutError


async def test_a_handshake_that_never_ends(lib: Any) -> None:
    async with Server(tls=True) as server:
        server.script(Stall(), below_tls=True)
        async with lib.ClientSession(timeout=lib.ClientTimeout(sock_connect=SHORT)) as session:
            with pytest.raises(lib.ConnectionTimeoutError):
                await session.get(server.url, ssl=False)


@pytest.mark.parametrize(("limits", "name"), [({"connect": SHORT}, "ConnectionTimeoutError"), ({"total": SHORT}, "TimeoutError")])
async def test_waiting_for_a_connection(lib: Any, limits: dict[str, float], name: str) -> None:
    async with Server() as server:
        server.script(Stall())
        async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
            holder = asyncio.ensure_future(session.get(server.url))
            await server.until(lambda: bool(server.requests))
            with pytest.raises(asyncio.TimeoutError) as caught:
                await session.get(server.url, timeout=lib.ClientTimeout(**limits))
            assert type(caught.value).__name__ == name
            holder.cancel()
            await asyncio.wait([holder])


async def test_zero_is_no_limit(lib: Any, web: Any) -> None:
    for limits in ({"total": 0}, {"connect": 0}, {"sock_read": 0}, {"sock_connect": 0}, {"total": None}):
        async with lib.ClientSession(timeout=lib.ClientTimeout(**limits)) as session, session.get(web.url) as response:
            assert (await response.json())["method"] == "GET"
    async with lib.ClientSession(timeout=lib.ClientTimeout(total=SHORT)) as session, session.get(web.url, timeout=None) as response:
        assert response.status == 200


async def test_total_through_redirects(lib: Any) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.1 302 Found\r\nLocation: /stall\r\nContent-Length: 0\r\n\r\n", path="/")
        server.script(Stall(), path="/stall")
        async with lib.ClientSession() as session:
            with pytest.raises(asyncio.TimeoutError) as caught:
                await session.get(server.url, timeout=lib.ClientTimeout(total=SHORT))
            assert type(caught.value) is TimeoutError


async def test_a_body_that_never_comes(lib: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    async with Server() as server:
        server.script(ReadHead(), Stall(), on="accept")
        async with lib.ClientSession() as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.post(server.url, data=pieces(), timeout=lib.ClientTimeout(total=SHORT))


async def test_asyncio_timeout(lib: Any) -> None:
    async with Server() as server:
        server.script(Stall())
        async with lib.ClientSession() as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SHORT):
                    await session.get(server.url)


async def test_what_is_read_stays_read(lib: Any, web: Any) -> None:
    """What the user does with a response isn't limited."""
    async with lib.ClientSession(timeout=lib.ClientTimeout(total=SHORT)) as session, session.get(web.url) as response:
        await response.read()
        await asyncio.sleep(SHORT * 1.5)
        assert (await response.json())["method"] == "GET"
