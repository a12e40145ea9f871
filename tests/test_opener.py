"""How connections are opened: addresses in turn, errors that list them, and nothing left behind whenever one gives up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

import aioreq
from aioreq import Limits, Timeout
from aioreq.connection import Connection
from aioreq.faces import BufferedFace
from aioreq.opener import Opener
from aioreq.testing import Server, httpbin

pytestmark = pytest.mark.usefixtures("no_hanging")


class Names:
    """A resolver: whatever name is looked up has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        return self.addresses


@pytest.fixture
def names() -> Names:
    return Names("127.0.0.1")


@pytest.fixture(params=["plain", "tls"])
async def served(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[tuple[Server, aioreq.Client]]:
    """The embedded server, plain and over TLS, and a client that trusts it, tries once, one connection at a time."""
    async with Server(routes=httpbin, tls=request.param == "tls") as server:
        limits = Limits(connections=1)
        verify = server.ca or True
        async with aioreq.Client(retry=0, verify=verify, limits=limits, timeout=Timeout(pool=5), resolver=names) as client:
            yield server, client


# Addresses


async def test_a_refused_connection(closed_port: int) -> None:
    async with aioreq.Client(retry=0, limits=Limits(connections=1)) as client:
        for _ in range(2):
            with pytest.raises(aioreq.ConnectError) as caught:
                await client.get(f"http://127.0.0.1:{closed_port}/", timeout=Timeout(pool=5))
            assert type(caught.value) is aioreq.ConnectError
            assert f"no connection to 127.0.0.1:{closed_port} (127.0.0.1: Connection refused)" in str(caught.value)
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert caught.value.request is not None


async def test_a_connection_refused_where_tls_was_wanted(closed_port: int) -> None:
    async with aioreq.Client(retry=0) as client:
        with pytest.raises(aioreq.ConnectError, match="Connection refused") as caught:
            await client.get(f"https://127.0.0.1:{closed_port}/")
    assert not isinstance(caught.value, aioreq.TLSError)


async def test_addresses_are_tried_in_turn(served: tuple[Server, aioreq.Client], names: Names) -> None:
    server, client = served
    names.addresses = ("127.0.0.2", "::1", "127.0.0.1", "127.0.0.3")
    assert (await client.get(server.url.replace("127.0.0.1", "localhost") + "/id/1")).text == "1"
    assert server.accepted == 1


async def test_the_error_lists_every_address(closed_port: int) -> None:
    async with aioreq.Client(retry=0, resolver={"many.test": ["127.0.0.2", "127.0.0.1", "127.0.0.3"]}) as client:
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(f"http://many.test:{closed_port}/")
    message = str(caught.value)
    assert f"no connection to many.test:{closed_port}" in message
    assert message.index("127.0.0.2: ") < message.index("127.0.0.1: Connection refused") < message.index("127.0.0.3: ")


async def test_a_family_that_is_missing_is_one_more_failure(
    served: tuple[Server, aioreq.Client], names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, client = served

    class NoIPv6(socket.socket):
        def __init__(self, *args: Any) -> None:
            raise OSError(97, "Address family not supported by protocol")

    names.addresses = ("::1", "127.0.0.1")
    monkeypatch.setattr("aioreq.dialer._IPv6Socket", NoIPv6)
    assert (await client.get(server.url.replace("127.0.0.1", "localhost") + "/id/1")).text == "1"


async def test_a_failed_handshake_is_final() -> None:
    """The next address is for those that don't answer, not for those that answer wrongly."""
    async with Server(tls=True, host="0.0.0.0") as server:
        async with aioreq.Client(retry=0, resolver={"localhost": ["127.0.0.1", "127.0.0.2"]}) as client:
            with pytest.raises(aioreq.CertificateError):
                await client.get(f"https://localhost:{server.port}/")
        assert server.accepted == 1


async def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this system has no IPv6")
    try:
        server = await Server(host="::1", routes=httpbin).__aenter__()
    except OSError:
        pytest.skip("this system has no IPv6 loopback")
    try:
        async with aioreq.Client(retry=0) as client:
            assert (await client.get(server.url + "/id/1")).text == "1"
        assert server.requests[0].header("host") == f"[::1]:{server.port}"
    finally:
        await server.__aexit__(None, None, None)


# What is handed over


def only_connection(client: aioreq.Client) -> Connection:
    [connection] = client.pool().slots.idle
    return connection


async def test_small_writes_are_not_held_back(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.get(server.url + "/id/1")
    transport = only_connection(client).transport
    assert transport is not None
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_the_face_fits_the_transport(served: tuple[Server, aioreq.Client]) -> None:
    server, client = served
    await client.get(server.url + "/id/1")
    connection = only_connection(client)
    assert connection.transport is not None
    secure = server.url.startswith("https")
    assert connection.secure == secure
    assert isinstance(connection.transport.get_protocol(), BufferedFace)


async def test_one_read_buffer_serves_a_loop() -> None:
    opener = Opener(asyncio.get_running_loop(), Limits())
    one, other = (opener._face(Connection(asyncio.get_running_loop(), Limits(), "x:1", secure=False)) for _ in range(2))
    assert isinstance(one, BufferedFace)
    assert isinstance(other, BufferedFace)
    assert one.get_buffer(-1) is other.get_buffer(1000)


async def test_a_loop_that_reads_ahead_gets_private_buffers() -> None:
    """One that holds the buffer while it waits, as the proactor does: sharing would mix up what two peers say."""

    proactor: Any = object()
    opener = Opener(proactor, Limits())
    one, other = (opener._face(Connection(asyncio.get_running_loop(), Limits(), "x:1", secure=False)) for _ in range(2))
    assert isinstance(one, BufferedFace)
    assert isinstance(other, BufferedFace)
    assert one.get_buffer(-1) is not other.get_buffer(-1)


# Given up


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_giving_up_at_any_moment_leaves_nothing(served: tuple[Server, aioreq.Client], turns: int) -> None:
    server, client = served
    task = asyncio.create_task(client.get(server.url + "/id/given-up", headers={"Connection": "close"}))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        assert (await task).text == "given-up"
    except asyncio.CancelledError:
        pass
    assert (await client.get(server.url + "/id/next", headers={"Connection": "close"})).text == "next"
    # No socket stays open, neither here nor there.
    await server.until(lambda: not server.connections)
    assert client.pool().open == 0


@pytest.mark.parametrize("turns", range(0, 40, 5))
async def test_closing_the_client_at_any_moment_leaves_nothing(served: tuple[Server, aioreq.Client], turns: int) -> None:
    server, client = served
    task = asyncio.create_task(client.get(server.url + "/id/closed"))
    for _ in range(turns):
        await asyncio.sleep(0)
    await client.close()
    try:
        assert (await task).text == "closed"
    except aioreq.ClientClosed:
        pass
    await server.until(lambda: not server.connections)


async def test_a_hundred_at_once_that_all_fail(closed_port: int) -> None:
    async with aioreq.Client(retry=0, limits=Limits(connections=10)) as client:
        calls = [client.get(f"http://127.0.0.1:{closed_port}/") for _ in range(100)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {aioreq.ConnectError}
        assert client.pool().open == 0
