"""A connection taken over behind a 101: what came with it and after it, its slot, and its end. The other protocol echoes in capitals."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from peers import Proxy

import aioreq
from aioreq.detached import Detached
from aioreq.testing import Server, Stall

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: capitals\r\nConnection: Upgrade\r\n\r\n"
ASKING = {"Upgrade": "capitals", "Connection": "Upgrade"}


class Heard:
    """Notes down what it is told; wakes whoever waits for so many bytes or for the end."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.error: Exception | None = None
        self.paused: list[bool] = []
        self.gone = asyncio.Event()
        self._more = asyncio.Event()

    def received(self, data: Any, size: int) -> None:
        self.data += bytes(memoryview(data)[:size])
        self._more.set()

    def eof(self) -> None:
        self.ended = True
        self._more.set()

    def leaving(self) -> None:
        pass

    def lost(self, error: Exception | None) -> None:
        self.error = error
        self.gone.set()

    def write_paused(self, paused: bool) -> None:
        self.paused.append(paused)

    async def until(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            while len(self.data) < size and not self.ended:
                self._more.clear()
                await self._more.wait()
        return self.data


class Capitals:
    """A server of its own: behind the 101 it sends back what it reads, in capitals."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.closed = 0

    async def __aenter__(self) -> Capitals:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Upgrade: capitals" in head
            writer.write(SWITCHING + self.greeting)
            while data := await reader.read(65536):
                if data == b"bye":
                    break
                writer.write(data.upper())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed += 1
            writer.close()


@pytest.fixture
async def capitals() -> AsyncIterator[Capitals]:
    async with Capitals(b"hello") as server:
        yield server


async def switched(client: aioreq.Client, url: str, **options: Any) -> aioreq.StreamResponse:
    return await client.stream("GET", url, headers=ASKING, **options).__aenter__()


async def detached(client: aioreq.Client, url: str, **options: Any) -> Detached:
    return (await switched(client, url, **options)).detach()


async def test_what_comes_with_the_101_comes_first_and_the_slot_stays_taken(capitals: Capitals, client: aioreq.Client) -> None:
    connection = await detached(client, capitals.url)
    heard = Heard()
    assert (client.stats().open, client.stats().idle) == (1, 0)
    connection.start(heard)
    connection.transport.write(b"one ")
    connection.transport.write(b"two")
    assert await heard.until(12) == b"helloONE TWO"
    assert (client.stats().open, client.stats().idle) == (1, 0)
    connection.transport.close()
    await heard.gone.wait()
    assert (client.stats().open, heard.error) == (0, None)


async def test_nothing_is_read_until_somebody_takes_what_comes(client: aioreq.Client) -> None:
    async with Capitals(b"x" * 3_000_000) as server:
        connection = await detached(client, server.url)
        await asyncio.sleep(0.05)
        heard = Heard()
        connection.start(heard)
        assert len(heard.data) < 1_000_000
        assert await heard.until(3_000_000) == b"x" * 3_000_000
        connection.close()
        await heard.gone.wait()


async def test_over_tls_too(tls_server: Server) -> None:
    tls_server.script(SWITCHING + b"hello", Stall(), path="/")
    async with aioreq.Client(verify=tls_server.ca or True) as client:
        connection = await detached(client, tls_server.url)
        heard = Heard()
        connection.start(heard)
        assert await heard.until(5) == b"hello"
        connection.transport.close()
        await heard.gone.wait()
        assert client.stats().open == 0


async def test_through_a_proxy_that_is_asked_for_a_tunnel(squid: Proxy, capitals: Capitals) -> None:
    async with aioreq.Client(proxy=aioreq.Proxy(squid.url, tunnel=True)) as client:
        connection = await detached(client, capitals.url)
        heard = Heard()
        connection.start(heard)
        connection.transport.write(b"tunnel")
        assert await heard.until(11) == b"helloTUNNEL"
        assert connection.transport.get_extra_info("peername")[1] == squid.port
        connection.close()
        await heard.gone.wait()


async def test_the_peers_end_is_told_and_gives_the_slot_back(capitals: Capitals, client: aioreq.Client) -> None:
    connection = await detached(client, capitals.url)
    heard = Heard()
    connection.start(heard)
    connection.transport.write(b"bye")
    await heard.gone.wait()
    assert (heard.data, heard.ended, client.stats().open) == (b"hello", True, 0)


async def test_a_transport_that_is_full_says_so(capitals: Capitals, client: aioreq.Client) -> None:
    connection = await detached(client, capitals.url)
    heard = Heard()
    connection.start(heard)
    size = 20_000_000
    connection.transport.write(b"x" * size)
    assert heard.paused == [True]
    assert len(await heard.until(size + 5)) == size + 5
    assert heard.paused == [True, False]
    connection.close()
    await heard.gone.wait()


@pytest.mark.parametrize("how", ["close", "abort", "drop", "forgotten", "leave"])
async def test_a_101_that_nobody_takes_up_closes_its_connection(capitals: Capitals, client: aioreq.Client, how: str) -> None:
    if how == "leave":
        async with client.stream("GET", capitals.url, headers=ASKING) as left:
            assert (left.status, client.stats().open) == (101, 1)
    else:
        response = await switched(client, capitals.url)
        assert client.stats().open == 1
        if how == "forgotten":
            del response
            gc.collect()
        else:
            gone = getattr(response, how)()
            if gone is not None:
                await gone
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert client.stats().open == 0
    if how in ("close", "abort", "drop"):
        with pytest.raises(aioreq.LocalProtocolError, match=r"closed already \(status 101\)"):
            response.detach()


async def test_only_a_101_can_be_taken_over_and_that_once(capitals: Capitals, client: aioreq.Client, server: Server) -> None:
    async with client.stream("GET", server.url) as response:
        with pytest.raises(aioreq.LocalProtocolError, match="goes on with HTTP"):
            response.detach()
    response = await switched(client, capitals.url)
    connection = response.detach()
    with pytest.raises(aioreq.LocalProtocolError, match="taken over or closed already"):
        response.detach()
    connection.close()


async def test_one_that_was_lost_before_it_was_started_says_so(capitals: Capitals, client: aioreq.Client) -> None:
    connection = await detached(client, capitals.url)
    connection.transport.abort()
    await asyncio.sleep(0.01)
    assert client.stats().open == 0
    with pytest.raises(aioreq.ConnectionLost, match="was lost behind its 101"):
        connection.start(Heard())


async def test_closing_the_client_ends_it(capitals: Capitals) -> None:
    client = aioreq.Client()
    connection = await detached(client, capitals.url)
    heard = Heard()
    connection.start(heard)
    await client.close()
    await heard.gone.wait()
    assert client.stats().open == 0


async def test_a_client_that_waits_for_it_closes_once_it_has_ended(capitals: Capitals) -> None:
    client = aioreq.Client()
    connection = await detached(client, capitals.url)
    heard = Heard()
    connection.start(heard)
    closing = asyncio.ensure_future(client.close(wait=10))
    await asyncio.sleep(0.01)
    assert not closing.done()
    connection.transport.write(b"still here")
    await heard.until(15)
    connection.transport.close()
    async with asyncio.timeout(5):
        await closing


async def test_who_waits_for_its_slot_is_told_what_holds_it(capitals: Capitals) -> None:
    async with aioreq.Client(limits=aioreq.Limits(connections=1)) as client:
        connection = await detached(client, capitals.url)
        with pytest.raises(aioreq.PoolTimeout, match="another protocol than HTTP is spoken"):
            await client.get(capitals.url, timeout=aioreq.Timeout(pool=0.05))
        connection.close()
