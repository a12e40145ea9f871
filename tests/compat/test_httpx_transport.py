"""httpx's and httpx2's own clients on our transport: what goes out, what comes back, limits, proxies, upgrades, cancellation."""

from __future__ import annotations

import asyncio
import gc
import importlib
import ssl
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from gate import Gate
from peers import Proxy

import aioreq
from aioreq.testing import Request, Server, Stall

from .httpx_libraries import lib, ours

__all__ = ["lib", "ours"]

pytestmark = pytest.mark.usefixtures("no_hanging")

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: capitals\r\nConnection: Upgrade\r\n\r\n"


@pytest.fixture
async def transport(ours: Any) -> AsyncIterator[Any]:
    async with ours.AsyncTransport() as transport:
        yield transport


@pytest.fixture
async def client(lib: Any, transport: Any) -> AsyncIterator[Any]:
    async with lib.AsyncClient(transport=transport) as client:
        yield client


# -- what goes out


async def test_the_head_goes_out_as_the_library_gives_it(lib: Any, client: Any, server: Server) -> None:
    headers = [(b"X-One", b"1"), (b"hOST", b"elsewhere.example"), (b"x-one", b"2"), (b"X-Last", b"\xe9")]
    request = lib.Request("GET", f"{server.url}/get?a=%7E&b=c%20d", headers=headers)
    await client.send(request)
    written = b"".join(b"%b: %b\r\n" % field for field in sorted(request.headers.raw, key=lambda field: field[0].lower() != b"host"))
    assert server.requests[0].head == b"GET /get?a=%7E&b=c%20d HTTP/1.1\r\n" + written + b"\r\n"


async def test_the_framing_stands_where_the_library_puts_it(client: Any, server: Server) -> None:
    await client.post(f"{server.url}/anything", json={"a": 1})
    sent = server.requests[0]
    names = [name.lower() for name, _ in sent.headers]
    assert names.index(b"content-length") < names.index(b"content-type")
    assert sent.body == client.build_request("POST", server.url, json={"a": 1}).content


async def test_a_generator_goes_out_in_chunks(client: Any, server: Server) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"cde"

    await client.post(f"{server.url}/anything", content=pieces())
    sent = server.requests[0]
    assert (sent.chunks, sent.body) == ([2, 3], b"abcde")
    assert dict(sent.headers)[b"Transfer-Encoding"] == b"chunked"
    assert all(name.lower() != b"content-length" for name, _ in sent.headers)


async def test_a_form_with_a_file_has_its_length(client: Any, server: Server) -> None:
    await client.post(f"{server.url}/anything", files={"file": ("name.txt", b"content")})
    sent = server.requests[0]
    assert b"content" in sent.body
    assert int(dict(sent.headers)[b"Content-Length"]) == len(sent.body)


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Content-Length": "2"}, b"abc"),
        ({"Content-Length": "4"}, b"abc"),
        ({"Content-Length": "x"}, b"abc"),
        ({"Content-Length": "3", "Transfer-Encoding": "chunked"}, b"abc"),
        ({"Transfer-Encoding": "gzip, chunked"}, b"abc"),
        ({"X-Evil": "a\r\nX-Injected: b"}, b""),
        ({"Content-Length": "4"}, b""),
    ],
)
async def test_what_breaks_the_framing_is_refused(lib: Any, client: Any, server: Server, headers: Any, content: bytes) -> None:
    request = lib.Request("POST", server.url, content=content, headers=headers)
    with pytest.raises(lib.LocalProtocolError):
        await client.send(request)
    assert server.requests == []


async def test_bytes_may_go_out_chunked(lib: Any, client: Any, server: Server) -> None:
    request = lib.Request("POST", f"{server.url}/anything", content=b"abc", headers={"Transfer-Encoding": "chunked"})
    request.headers.pop("Content-Length", None)
    await client.send(request)
    assert (server.requests[0].chunks, server.requests[0].body) == ([3], b"abc")


async def test_another_target(client: Any, server: Server) -> None:
    server.route("*", "all of it")
    await client.request("OPTIONS", server.url, extensions={"target": b"*"})
    assert server.requests[0].target == b"*"
    with pytest.raises(importlib.import_module(type(client).__module__.split(".")[0]).LocalProtocolError, match="position 1"):
        await client.request("OPTIONS", server.url, extensions={"target": b"/ /"})


# -- what comes back


async def test_the_response(client: Any, server: Server) -> None:
    server.script(b"HTTP/1.0 203 As You Like\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nok")
    response = await client.get(server.url)
    assert (response.status_code, response.text) == (203, "ok")
    assert response.extensions["reason_phrase"] == b"As You Like"
    assert response.http_version == "HTTP/1.0"
    assert response.headers.raw == [(b"X-A", b"1"), (b"x-a", b"2"), (b"Content-Length", b"2")]
    assert response.elapsed.total_seconds() > 0
    address = response.extensions["network_stream"].get_extra_info("server_addr")
    assert address == ("127.0.0.1", server.port)


async def test_redirects_cookies_auth_and_decoding_are_the_librarys(client: Any, server: Server) -> None:
    response = await client.get(f"{server.url}/redirect/2", follow_redirects=True)
    assert [seen.status_code for seen in response.history] == [302, 302]
    assert (await client.get(f"{server.url}/gzip")).headers["content-encoding"] == "gzip"
    assert (await client.get(f"{server.url}/basic-auth/user/secret", auth=("user", "secret"))).status_code == 200
    assert [request.target for request in server.requests[:3]] == [b"/redirect/2", b"/redirect/1", b"/get"]
    assert (await client.get(f"{server.url}/digest-auth/auth/user/secret", auth=_digest(client))).status_code == 200


def _digest(client: Any) -> Any:
    return importlib.import_module(type(client).__module__.split(".")[0]).DigestAuth("user", "secret")


async def test_a_stream_arrives_piece_by_piece_and_its_rest_is_dropped(client: Any, transport: Any, server: Server) -> None:
    async with client.stream("GET", f"{server.url}/bytes/3000000") as response:
        sizes = [len(piece) async for piece in response.aiter_raw()]
        assert sum(sizes) == 3_000_000
        assert len(sizes) > 1
    async with client.stream("GET", f"{server.url}/bytes/3000000") as response:
        await anext(response.aiter_raw())
    assert transport.connector.stats().open == 0  # too long to be drained


# -- connections


async def test_connections_are_kept_and_shared(lib: Any, ours: Any, server: Server) -> None:
    async with aioreq.Connector() as connector:
        for _ in range(2):
            async with lib.AsyncClient(transport=ours.AsyncTransport(connector=connector)) as client:
                await client.get(f"{server.url}/get")
        assert not connector.closed
        assert server.accepted == 1
    with pytest.raises(ValueError, match="connector"):
        ours.AsyncTransport(connector=aioreq.Connector(), limits=lib.Limits())


async def test_limits(lib: Any, ours: Any, gate: Gate) -> None:
    transport = ours.AsyncTransport(limits=lib.Limits(max_connections=1))
    async with lib.AsyncClient(transport=transport, timeout=lib.Timeout(10, pool=0.05)) as client:
        held = asyncio.create_task(client.get(f"{gate.server.url}/held"))
        await gate.until(inside=1)
        with pytest.raises(lib.PoolTimeout, match="no connection slot"):
            await client.get(gate.server.url)
        gate.opened.set()
        assert (await held).text == "held"


async def test_32_at_a_time_keep_their_connections(lib: Any, ours: Any, gate: Gate) -> None:
    async with lib.AsyncClient(transport=ours.AsyncTransport()) as client:
        held = [asyncio.create_task(client.get(f"{gate.server.url}/held")) for _ in range(32)]
        await gate.until(inside=32)
        gate.opened.set()
        await asyncio.gather(*held)
        assert client._transport.connector.stats().idle == 32


async def test_tls_and_the_servers_name(lib: Any, ours: Any) -> None:
    async with Server(tls=True) as server:
        server.route("*", "ok")
        context = ssl.create_default_context(cafile=server.ca)
        async with lib.AsyncClient(transport=ours.AsyncTransport(verify=context)) as client:
            response = await client.get(server.url)
            assert response.text == "ok"
            facts = response.extensions["network_stream"].get_extra_info("ssl_object")
            assert facts.version() == "TLSv1.3"
            assert facts.getpeercert(binary_form=True)
            with pytest.raises(lib.ConnectError, match=r"elsewhere\.example"):
                await client.get(server.url, extensions={"sni_hostname": "elsewhere.example"})
        async with lib.AsyncClient(transport=ours.AsyncTransport(verify=False)) as client:
            assert (await client.get(server.url)).text == "ok"
        async with lib.AsyncClient(transport=ours.AsyncTransport()) as client:
            with pytest.raises(lib.ConnectError, match="certificate"):
                await client.get(server.url)


async def test_a_unix_socket(lib: Any, ours: Any, tmp_path: Path) -> None:
    async with Server(unix=tmp_path / "s") as server:
        server.route("*", "ok")
        async with lib.AsyncClient(transport=ours.AsyncTransport(uds=str(tmp_path / "s"))) as client:
            assert (await client.get("http://anything.example/")).text == "ok"


async def test_a_proxy(lib: Any, ours: Any, tinyproxy_auth: Proxy, server: Server) -> None:
    async with lib.AsyncClient(transport=ours.AsyncTransport(proxy=tinyproxy_auth.url_with_credentials)) as client:
        assert (await client.get(f"{server.url}/get")).status_code == 200
    proxy = lib.Proxy(tinyproxy_auth.url, auth=("user", "wrong"))
    async with Server(tls=True) as far, lib.AsyncClient(transport=ours.AsyncTransport(proxy=proxy, verify=False)) as client:
        with pytest.raises(lib.ProxyError, match="40[17]"):
            await client.get(far.url)


async def test_a_guard(lib: Any, ours: Any, server: Server) -> None:
    connector = aioreq.Connector(guard=aioreq.PublicOnly())
    async with connector, lib.AsyncClient(transport=ours.AsyncTransport(connector=connector)) as client:
        with pytest.raises(lib.ConnectError) as caught:
            await client.get(server.url)
    assert isinstance(caught.value.__cause__, aioreq.GuardError)
    assert server.accepted == 0


async def test_retries_are_for_connecting_alone(lib: Any, ours: Any) -> None:
    asked = []

    class Names:
        async def resolve(self, host: str, port: int) -> list[str]:
            asked.append(host)
            raise OSError("not now")

    connector = aioreq.Connector(resolver=Names())
    async with connector, lib.AsyncClient(transport=ours.AsyncTransport(connector=connector, retries=1)) as client:
        with pytest.raises(lib.ConnectError):
            await client.get("http://somewhere.example/")
    assert len(asked) == 2


async def test_limits_of_one_request_that_leave_some_out(lib: Any, client: Any, server: Server) -> None:
    server.script(Stall(), path="/stalls")
    server.script(Stall(), path="/stalls")
    with pytest.raises(lib.ReadTimeout):
        await client.get(f"{server.url}/stalls", extensions={"timeout": {"read": 0.05}})
    waiting = asyncio.ensure_future(client.get(f"{server.url}/stalls", extensions={"timeout": {"pool": 0.05}}))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    waiting.cancel()


# -- upgrades


async def test_behind_a_101(lib: Any, client: Any, transport: Any, server: Server) -> None:
    server.script(SWITCHING + b"first", Stall())
    headers = {"Connection": "Upgrade", "Upgrade": "capitals"}
    core = importlib.import_module(lib.__name__.replace("httpx", "httpcore"))
    async with client.stream("GET", server.url, headers=headers) as response:
        assert response.status_code == 101
        stream = response.extensions["network_stream"]
        assert await stream.read(2) == b"fi"
        assert await stream.read(100) == b"rst"
        await stream.write(b"said")
        with pytest.raises(core.ReadTimeout, match=r"0\.05 s"):
            await stream.read(1, timeout=0.05)
    assert transport.connector.stats().open == 0


@pytest.mark.no_loop
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_behind_a_101_in_a_loop_that_was_closed_amid_a_read(lib: Any, ours: Any) -> None:
    """Nothing holds the connection then: not for as long as the stream lives, that leads back to it."""

    async def taken() -> Any:
        request = lib.Request("GET", server.url, headers={"Connection": "Upgrade", "Upgrade": "capitals"})
        response = await ours.AsyncTransport().handle_async_request(request)
        stream = response.extensions["network_stream"]
        assert await stream.read(5) == b"first"
        asyncio.ensure_future(stream.read(1))  # noqa: RUF006 (nobody waits for it)
        await asyncio.sleep(0)
        return weakref.ref(stream)

    with Server() as server:
        server.script(SWITCHING + b"first", Stall())
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(taken())
        loop.close()
        del loop
        gc.collect()
        assert stream() is None


# -- cancellation


async def test_a_thousand_cancelled_streams_leave_every_slot_free(lib: Any, ours: Any, server: Server) -> None:
    async with lib.AsyncClient(transport=ours.AsyncTransport(limits=lib.Limits(max_connections=10))) as client:

        async def read() -> None:
            async with client.stream("GET", f"{server.url}/drip?numbytes=1000&duration=100") as response:
                async for _ in response.aiter_bytes():
                    pass

        for turn in range(20):
            tasks = [asyncio.create_task(read()) for _ in range(50)]
            for _ in range(turn * 3):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        stats = client._transport.connector.stats()
        assert (stats.open - stats.idle, stats.waiting) == (0, 0)
        assert (await client.get(f"{server.url}/get")).status_code == 200


# -- synchronous


@pytest.mark.no_loop
def test_synchronous(lib: Any, ours: Any) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"ab"
        yield b"cd"

    with Server() as server, lib.Client(transport=ours.Transport()) as client:
        server.route("/echo", _echo)
        server.route("/long", b"x" * 3_000_000)
        assert client.post(f"{server.url}/echo", content=pieces()).text == "abcd"
        with client.stream("GET", f"{server.url}/long") as response:
            assert sum(map(len, response.iter_raw())) == 3_000_000
        with client.stream("GET", f"{server.url}/long") as response:
            next(response.iter_raw())
        with pytest.raises(lib.ConnectError):
            client.get("http://127.0.0.1:1/")
        assert server.requests[0].chunks == [2, 2]
        assert client.get(f"{server.url}/echo").status_code == 200


async def _echo(request: Request) -> bytes:
    return request.body


# -- trace


async def test_trace_tells_httpcores_names_in_its_order(lib: Any, ours: Any, server: Server) -> None:
    async def told(**options: Any) -> list[str]:
        seen: list[str] = []

        async def trace(event: str, facts: dict[str, Any]) -> None:
            seen.append(event)

        async with lib.AsyncClient(**options) as client:
            for _ in range(2):
                await client.post(f"{server.url}/anything", content=b"x", extensions={"trace": trace})
            with pytest.raises(lib.ConnectError):
                await client.get("http://127.0.0.1:1/", extensions={"trace": trace})
        return seen

    assert await told(transport=ours.AsyncTransport()) == await told()


@pytest.mark.no_loop
def test_trace_of_a_synchronous_client(lib: Any, ours: Any) -> None:
    seen: list[str] = []
    with Server() as server, lib.Client(transport=ours.Transport()) as client:
        server.route("*", "ok")
        client.get(server.url, extensions={"trace": lambda event, facts: seen.append(event)})
    assert seen[0] == "connection.connect_tcp.started"
    assert seen[-1] == "http11.response_closed.complete"
