"""Side by side: transports shared, closed and used again, on several loops; and what is seen there of a request and a response."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from aioreq.testing import Authority, Reply, Server, Stall

from .httpx_casts import Cast
from .httpx_plays import asking, small
from .httpx_stage import Stage, same


async def test_a_transport_that_one_of_its_clients_closed(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        transport = stage.transport()
        for path in ("/first", "/second"):
            client = await stage.do(client_of(stage), transport=transport)
            await stage.ask(client, path=path)
            await stage.ask(client, path=path)
            await stage.do(client.close if stage.sync else client.aclose)

    await same(cast, play, routes=small)


def client_of(stage: Stage) -> Any:
    async def made(**options: Any) -> Any:
        return stage.lib.AsyncClient(**options)

    return stage.lib.Client if stage.sync else made


async def test_two_clients_share_a_transport(async_cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        transport = stage.transport()
        first, second = (stage.lib.AsyncClient(transport=transport) for _ in range(2))
        await stage.ask(first)
        await stage.ask(second)
        await first.aclose()
        await stage.ask(second)
        await second.aclose()

    await same(async_cast, play, routes=small)


async def test_one_transport_on_several_loops_at_once(async_cast: Cast) -> None:
    """Ours alone: httpcore's connections belong to one loop."""
    lib = async_cast.lib
    async with Server() as server:
        server.route("*", "ok")
        transport = async_cast.face.AsyncTransport()
        await lib.AsyncClient(transport=transport).aclose()  # what opens again does so on each loop

        async def ask() -> list[str]:
            client = lib.AsyncClient(transport=transport)
            texts = [(await client.get(server.url)).text for _ in range(20)]
            await asyncio.sleep(0)
            return texts

        told = await asyncio.gather(*[asyncio.to_thread(asyncio.run, ask()) for _ in range(4)], ask())
        assert told == [["ok"] * 20] * 5
        stats = transport.connector.stats()
        assert (stats.open, stats.idle) == (1, 1)  # the others' ended with their loops
        await transport.aclose()
        assert transport.connector.stats().open == 0


async def test_a_connection_taken_over_that_nobody_holds_any_more(async_cast: Cast) -> None:
    """Ours alone: httpcore's stays open until its pool is closed."""
    lib = async_cast.lib
    async with Server() as server, async_cast.face.AsyncTransport() as transport:
        server.script(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", Stall())
        headers = {"Connection": "upgrade", "Upgrade": "echo"}
        response = await transport.handle_async_request(lib.Request("GET", server.url, headers=headers))
        await response.extensions["network_stream"].write(b"hello")
        assert transport.connector.stats().open == 1
        del response
        gc.collect()
        await server.until(lambda: not server.connections)
        assert transport.connector.stats().open == 0


@pytest.mark.parametrize("trust_env", [True, False])
@pytest.mark.parametrize("verify", [True, False])
async def test_whom_the_environment_trusts(
    cast: Cast, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust_env: bool, verify: bool
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    await same(cast, asking(transport={"verify": verify, "trust_env": trust_env}), routes=small, tls=authority)


VALUES = {"ASCII": b"plain", "UTF-8": b"sch\xc3\xb6n", "latin-1": b"sch\xf6n", "empty": b""}


@pytest.mark.parametrize("fills", [True, False])
@pytest.mark.parametrize("name", VALUES)
async def test_fields_of_a_response(cast: Cast, name: str, fills: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cast.face._library._fills  # a library that keeps its fields in another way gets them as a list
    monkeypatch.setattr(cast.face._library, "_fills", fills)

    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            response = await stage.do(client.get, stage.url)
            headers = response.headers
            stage.say(headers.encoding, headers.raw, headers.multi_items(), headers["x-two"], headers.get_list("X-Two"), "x-one" in headers)
            stage.say(headers == stage.lib.Headers(headers.raw), headers.copy() == headers, repr(headers), len(headers))
            headers["X-Two"] = "new"
            del headers["x-one"]
            stage.say(headers.raw)

    def routes(server: Server) -> None:
        server.route("*", Reply(200, [("X-One", "1"), ("x-two", VALUES[name].decode("latin-1")), ("X-TWO", "2")], "ok"))

    await same(cast, play, routes=routes)


@pytest.mark.parametrize("name", ["", None, b""], ids=repr)
async def test_no_sni_hostname(async_cast: Cast, name: Any) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, extensions={"sni_hostname": name})

    await same(async_cast, play, routes=small)


async def test_a_trace_names_the_request(async_cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async def told(event: str, facts: dict[str, Any]) -> None:
            stage.say(event, "request" in facts)

        async with stage.client() as client:
            await stage.ask(client, extensions={"trace": told})

    await same(async_cast, play, routes=small)
