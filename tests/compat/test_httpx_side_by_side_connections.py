"""Side by side: connections: refused, TLS, time limits of each phase, pools, Unix sockets, upgrades, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from strict_tls import StrictServer

from aioreq.testing import Authority, Close, HalfClose, Pause, ReadHead, ReadRequest, Reset, Server, Stall, StopReading

from .httpx_casts import Cast
from .httpx_plays import asking, small
from .httpx_stage import OK, Stage, same

SOON = 0.15  # seconds that a time limit under test takes
LONG = 30  # one that must not come into it


# -- nobody there


async def test_nobody_listens(cast: Cast, closed_port: int) -> None:
    await same(cast, asking(f"http://127.0.0.1:{closed_port}/"))


async def test_a_name_without_an_address(cast: Cast) -> None:
    await same(cast, asking("http://no-such-host.invalid/"))


async def test_retries_of_connecting(async_cast: Cast, closed_port: int) -> None:
    await same(async_cast, asking(f"http://127.0.0.1:{closed_port}/", transport={"retries": 1}))


# -- TLS


async def test_tls(cast: Cast, authority: Authority) -> None:
    await same(cast, asking(transport={"verify": authority.client_context()}, times=2), routes=small, tls=authority)


async def test_tls_without_verification(cast: Cast, authority: Authority) -> None:
    await same(cast, asking(transport={"verify": False}), routes=small, tls=authority)


async def test_an_unknown_authority(cast: Cast, authority: Authority) -> None:
    await same(cast, asking(), routes=small, tls=authority)


@pytest.mark.parametrize("names", [("other.example",), ("localhost",)], ids=str)
async def test_a_certificate_for_another_name(cast: Cast, authority: Authority, names: tuple[str, ...]) -> None:
    tls = authority.server_context(*names)
    await same(cast, asking(transport={"verify": authority.client_context()}), routes=small, tls=tls)


async def test_an_expired_certificate(cast: Cast, authority: Authority) -> None:
    tls = authority.server_context("127.0.0.1", days=-1)
    await same(cast, asking(transport={"verify": authority.client_context()}), routes=small, tls=tls)


async def test_a_server_without_tls(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, path=stage.url.replace("http:", "https:") + "/")

    await same(cast, play, [(b"HTTP/1.1 400 Bad Request\r\n\r\n", Close())] * 2, wire=False)


async def test_a_client_certificate_that_is_missing(cast: Cast, authority: Authority) -> None:
    with StrictServer(authority.server_context("127.0.0.1", client_certificate=True)) as server:
        play = asking(server.url, transport={"verify": authority.client_context()})
        await same(cast, play, different="errors of other packages")


async def test_a_client_certificate(cast: Cast, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_bytes(authority.issue("client"))
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tls = authority.server_context("127.0.0.1", client_certificate=True)
    context = authority.client_context()
    context.load_cert_chain(tmp_path / "client.pem")
    await same(cast, asking(transport={"verify": context}), routes=small, tls=tls)


async def test_sni_hostname(async_cast: Cast, authority: Authority) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"verify": authority.client_context()}) as client:
            await stage.ask(client, extensions={"sni_hostname": "other.example"})
            await stage.ask(client, path="/second")

    await same(async_cast, play, routes=small, tls=authority.server_context("other.example"), different="who shares a connection")


@pytest.mark.parametrize("fault", [Close(), Reset(), HalfClose()], ids=["close", "reset", "half-close"])
async def test_a_handshake_that_breaks(async_cast: Cast, authority: Authority, fault: Any) -> None:
    def routes(server: Server) -> None:
        server.script(b"\x16\x03\x03\x00\x7a\x02\x00", fault, on="accept", below_tls=True, times=2)

    await same(async_cast, asking(transport={"verify": authority.client_context()}), routes=routes, tls=authority)


@pytest.mark.parametrize("fault", [Close(), Reset(), HalfClose()], ids=["close", "reset", "half-close"])
async def test_a_body_over_tls_that_breaks(async_cast: Cast, authority: Authority, fault: Any) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"
    play = asking(transport={"verify": authority.client_context()})
    await same(async_cast, play, [(wire, fault)] * 2, tls=authority)


# -- time limits


async def test_connecting_takes_too_long(cast: Cast, authority: Authority) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client(timeout=stage.lib.Timeout(LONG, connect=SOON)) as client:
            await stage.ask(client)

    await same(cast, play, routes=lambda server: server.script(Stall(), on="accept", below_tls=True, times=2), tls=authority)


@pytest.mark.parametrize("sent", [0, 10, 25, 38, 40])
async def test_reading_takes_too_long(cast: Cast, sent: int) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"

    async def play(stage: Stage) -> None:
        async with stage.client({"limits": stage.lib.Limits(max_connections=1)}, timeout=stage.lib.Timeout(LONG, read=SOON)) as client:
            await stage.ask(client)
            await stage.ask(client, path="/next")

    await same(cast, play, [(wire[:sent], Stall()) if sent else (Stall(),)], routes=small)


async def test_writing_takes_too_long(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"limits": stage.lib.Limits(max_connections=1)}, timeout=stage.lib.Timeout(LONG, write=SOON)) as client:
            await stage.ask(client, "POST", content=b"x" * 20_000_000)
            await stage.ask(client, path="/next")

    def routes(server: Server) -> None:
        server.script(ReadHead(), StopReading(), Stall(), on="accept")
        small(server)

    await same(cast, play, routes=routes, wire=False)


async def test_a_time_limit_of_one_request(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client(timeout=None) as client:
            await stage.ask(client, timeout=SOON)
            await stage.ask(client, path="/next", timeout=LONG)

    await same(cast, play, [(Stall(),)], routes=small)


async def test_slow_but_never_too_slow(async_cast: Cast) -> None:
    """`read` is from one byte to the next: no limit on the whole."""

    async def play(stage: Stage) -> None:
        async with stage.client(timeout=stage.lib.Timeout(LONG, read=0.4)) as client:
            await stage.ask(client)

    await same(async_cast, play, [(*[step for n in range(len(OK) // 8 + 1) for step in (OK[n * 8 : n * 8 + 8], Pause(0.1))],)])


@pytest.mark.parametrize(("size", "different"), [(5_000_000, None), (1000, "when a connection is free")])
async def test_the_pool_is_full_for_too_long(async_cast: Cast, size: int, different: str | None) -> None:
    async def play(stage: Stage) -> None:
        limits = stage.lib.Limits(max_connections=1)
        async with stage.client({"limits": limits}, timeout=stage.lib.Timeout(LONG, pool=SOON)) as client:
            async with client.stream("GET", stage.url + "/held") as response:
                await stage.ask(client, path="/second")
                stage.say("read", len(await response.aread()))
            stage.say((await client.get(stage.url + "/third")).status_code)

    await same(async_cast, play, routes=lambda server: server.route("*", b"x" * size), different=different)


# -- the pool


async def test_a_connection_is_used_again(cast: Cast) -> None:
    await same(cast, asking(times=4), routes=small)


@pytest.mark.parametrize("keepalive", [0, 1])
async def test_how_many_are_kept(async_cast: Cast, keepalive: int) -> None:
    async def play(stage: Stage) -> None:
        limits = stage.lib.Limits(max_connections=4, max_keepalive_connections=keepalive)
        async with stage.client({"limits": limits}) as client:
            for _ in range(3):
                await stage.ask(client)

    await same(async_cast, play, routes=small)


async def test_how_long_one_is_kept(async_cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"limits": stage.lib.Limits(keepalive_expiry=0.05)}) as client:
            await stage.ask(client)
            await asyncio.sleep(0.2)
            await stage.ask(client)

    await same(async_cast, play, routes=small)


async def test_an_idle_connection_that_the_server_closed(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client)
            stage.server.push(Close())
            await stage.server.until(lambda: not stage.server.connections)
            await stage.ask(client)

    await same(cast, play, routes=small)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_ends_with_its_next_request(async_cast: Cast, method: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client)
            await stage.ask(client, method, "/second")

    different = "a connection that ends with its next request" if method == "GET" else None
    await same(async_cast, play, [(OK, ReadRequest(), Close())], routes=small, different=different)


async def test_a_closed_client(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client)
        with stage.trying("closed"):
            await stage.do(client.get, stage.url)

    await same(cast, play, routes=small)


async def test_a_unix_socket(cast: Cast, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    await same(cast, asking("http://localhost/x", transport={"uds": path}, times=2), routes=small, unix=path)


async def test_a_unix_socket_that_is_not_there(async_cast: Cast, tmp_path: Path) -> None:
    await same(async_cast, asking("http://localhost/x", transport={"uds": str(tmp_path / "socket")}))


async def test_a_local_address(cast: Cast) -> None:
    await same(cast, asking(transport={"local_address": "127.0.0.1"}), routes=small)
    await same(cast, asking(transport={"local_address": "192.0.2.1"}), routes=small)


async def test_http2(async_cast: Cast, authority: Authority) -> None:
    """What the ClientHello offers; the server ends there."""
    hellos: list[bytes] = []

    async def heard(connection: Any) -> None:
        hellos.append(bytes(await connection.read_bytes(200)))

    async def play(stage: Stage) -> None:
        async with stage.client({"http2": True, "verify": False}) as client:
            await stage.ask(client)
        stage.say("HTTP/2 is offered", b"\x02h2" in hellos.pop())

    def routes(server: Server) -> None:
        server.script(heard, Close(), on="accept", below_tls=True)

    await same(async_cast, play, routes=routes, tls=authority, different="HTTP/2")


# -- upgrades


async def test_an_upgrade(async_cast: Cast) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello "

    async def echoed(connection: Any) -> None:
        connection.transport.write(b"you said ")
        await connection.read_bytes(4)
        connection.transport.write(b"ping")

    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            headers = {"Connection": "upgrade", "Upgrade": "echo"}
            async with client.stream("GET", stage.url, headers=headers) as response:
                stage.say_response(response)
                stream = response.extensions["network_stream"]
                await stream.write(b"ping")
                read = b""
                while piece := await stream.read(100):
                    read += piece
                stage.say("read", read, stream.get_extra_info("server_addr")[1] == stage.server.port)
                await stream.aclose()

    await same(async_cast, play, [(switching, echoed, Close())])


# -- cancellation


@pytest.mark.parametrize("where", ["head", "body", "upload", "pool"])
async def test_cancelled(async_cast: Cast, authority: Authority, where: str) -> None:
    """The next request has its slot, wherever the one before was cancelled."""

    async def play(stage: Stage) -> None:
        transport = {"limits": stage.lib.Limits(max_connections=1), "verify": authority.client_context()}
        async with stage.client(transport, timeout=5) as client:
            held = asyncio.create_task(client.get(stage.url + "/first")) if where == "pool" else None
            if held is not None:
                await stage.server.until(lambda: len(stage.server.requests) == 1)
            content = b"x" * 20_000_000 if where == "upload" else None
            task = asyncio.create_task(client.request("POST", stage.url + "/first", content=content))
            await asyncio.sleep(0.1)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
                stage.say("it wasn't cancelled")
            if held is not None:
                held.cancel()
                await asyncio.wait([held])
            await stage.ask(client, path="/next")

    steps: tuple[Any, ...] = {
        "head": (ReadHead(), Stall()),
        "body": (ReadRequest(), b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", Stall()),
        "upload": (ReadHead(), StopReading(), Stall()),
        "pool": (ReadRequest(), Stall()),
    }[where]

    def routes(server: Server) -> None:
        server.script(*steps, on="accept")
        small(server)

    await same(async_cast, play, routes=routes, tls=authority, wire=False)


async def test_cancelled_in_the_handshake(async_cast: Cast, authority: Authority) -> None:
    """Ours alone: there the libraries leave a socket behind."""
    transport = async_cast.face.AsyncTransport(verify=authority.client_context(), limits=async_cast.lib.Limits(max_connections=1))
    async with Server(tls=authority, routes=small) as server, async_cast.lib.AsyncClient(transport=transport, timeout=5) as client:
        server.script(Stall(), on="accept", below_tls=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON):
                await client.get(server.url)
        stats = transport.connector.stats()
        assert (stats.open, stats.opening, stats.waiting) == (0, 0, 0)
        assert (await client.get(server.url)).text == "ok"
