"""How TLS connections end: with a close_notify where nothing is under way (RFC 8446 section 6.1, RFC 9112 section 9.8), without waiting
for the peer's, and without one where something broke."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strict_tls import PATIENCE, StrictServer

import aioreq
from aioreq import TLS, Limits, Proxy, Timeout
from aioreq.testing import Authority

pytestmark = pytest.mark.usefixtures("no_hanging")


@pytest.fixture
def tls(ca: Path) -> TLS:
    return TLS(ca=ca)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def strict(authority: Authority, request: pytest.FixtureRequest) -> Iterator[StrictServer]:
    context = authority.server_context()
    context.maximum_version = request.param
    with StrictServer(context) as server:
        yield server


def sockets_to(port: int) -> int:
    """How many sockets this process has that are connected to a port."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    found += copy.family == socket.AF_INET and copy.getpeername()[1] == port
    return found


# With a close_notify


async def test_a_client_that_is_closed(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls) as client:
        await asyncio.gather(*[client.get(strict.url) for _ in range(3)])
    await strict.ended("close_notify", "close_notify", "close_notify")


@pytest.mark.parametrize("path", ["/last", "/bye"])
async def test_a_server_that_asks_for_the_end_or_closes_first(strict: StrictServer, tls: TLS, path: str) -> None:
    async with aioreq.Client(tls=tls) as client:
        assert (await client.get(strict.url + path)).text == "ok"
        await strict.ended("close_notify")


async def test_a_client_that_keeps_no_connection(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls, persistent_connections=False) as client:
        for _ in range(2):
            assert (await client.get(strict.url)).text == "ok"
        await strict.ended("close_notify", "close_notify")


async def test_a_connection_that_idled_for_too_long(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls, limits=Limits(idle_timeout=0.05)) as client:
        await client.get(strict.url)
        await strict.ended("close_notify")


async def test_a_connection_that_makes_room(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls, limits=Limits(connections=1)) as client:
        await client.get(strict.url)
        await client.get(strict.url.replace("127.0.0.1", "localhost"))
        await strict.ended("close_notify")


async def test_a_stream_that_was_read_to_its_end(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls) as client, client.stream("GET", strict.url + "/last") as response:
        assert await response.read() == b"ok"
        await strict.ended("close_notify")


def test_a_loop_that_ends_before_its_client(authority: Authority, tls: TLS, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--loop") == "uvloop":
        import uvloop

        factory: Any = uvloop.new_event_loop
    else:
        factory = asyncio.new_event_loop
    with StrictServer(authority.server_context()) as strict:
        client = aioreq.Client(tls=tls)
        with asyncio.Runner(loop_factory=factory) as runner:
            assert runner.run(client.get(strict.url)).text == "ok"
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(strict.ended("close_notify"))
            runner.run(client.close())


@pytest.mark.parametrize("proxy", ["squid", "squid_tls"])
async def test_the_origin_behind_a_tunnel(authority: Authority, tls: TLS, proxy: str, request: pytest.FixtureRequest) -> None:
    peer = request.getfixturevalue(proxy)
    way = Proxy(peer.url, tls=TLS(ca=peer.ca) if proxy == "squid_tls" else None)
    with StrictServer(authority.server_context()) as strict:
        async with aioreq.Client(tls=tls, proxy=way) as client:
            assert (await client.get(strict.url)).text == "ok"
        await strict.ended("close_notify")


# At once


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system doesn't list a process's sockets")
async def test_nobody_waits_for_the_peers_close_notify(authority: Authority, tls: TLS) -> None:
    """The server answers once and then never looks at its connection again."""
    context = authority.server_context()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        served: list[ssl.SSLSocket] = []

        def serve() -> None:
            connection = context.wrap_socket(listener.accept()[0], server_side=True, suppress_ragged_eofs=False)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            served.append(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = aioreq.Client(tls=tls)
        assert (await client.get(f"https://127.0.0.1:{port}/")).text == "ok"
        thread.join(PATIENCE)
        assert sockets_to(port) == 1
        began = time.perf_counter()
        await client.close()
        for _ in range(2):
            await asyncio.sleep(0)
        assert sockets_to(port) == 0
        assert time.perf_counter() - began < 1
        # What it left behind is a close_notify and a FIN, no reset.
        [connection] = served
        with connection:
            connection.settimeout(PATIENCE)
            assert connection.recv(1) == b""


async def test_a_full_socket_holds_nobody_up(authority: Authority, tls: TLS) -> None:
    """The answer comes early, the body of the request doesn't fit into the peer's buffers, and no close_notify does."""
    context = authority.server_context()
    answered = threading.Event()
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                connection.recv(100)
                select.select([connection], [], [], PATIENCE)
                connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
                answered.set()
                done.wait(PATIENCE)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        async with aioreq.Client(tls=tls, retry=0) as client:
            async with asyncio.timeout(PATIENCE):
                response = await client.post(f"https://127.0.0.1:{listener.getsockname()[1]}/", content=bytes(64 * 1024 * 1024))
            assert (response.status, response.text) == (413, "no")
            began = time.perf_counter()
        assert time.perf_counter() - began < 1
        done.set()
        thread.join(PATIENCE)


# Without one


async def test_a_request_that_was_cancelled(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls) as client:
        request = asyncio.create_task(client.get(strict.url + "/hold"))
        await strict.until(lambda: b"/hold" in strict.received)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        strict.held.set()
        await strict.ended("aborted")


async def test_a_request_that_timed_out(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls, retry=0) as client:
        with pytest.raises(aioreq.ReadTimeout):
            await client.get(strict.url + "/hold", timeout=Timeout(read=0.1))
        strict.held.set()
        await strict.ended("aborted")


async def test_a_stream_that_was_dropped(strict: StrictServer, tls: TLS) -> None:
    async with aioreq.Client(tls=tls) as client:
        async with client.stream("GET", strict.url + "/hold") as response:
            await response.close()
        await client.close()
        strict.held.set()
        await strict.ended("aborted")


async def test_a_client_closed_during_a_request(strict: StrictServer, tls: TLS) -> None:
    client = aioreq.Client(tls=tls)
    request = asyncio.create_task(client.get(strict.url + "/hold"))
    await strict.until(lambda: b"/hold" in strict.received)
    await client.close()
    with pytest.raises(aioreq.ClientClosed):
        await request
    strict.held.set()
    await strict.ended("aborted")
