"""`import aioreq.compat.httpx as httpx`: every name, the clients and functions on our transports, the environment's proxies, mounts."""

from __future__ import annotations

import http.cookiejar
import importlib
import subprocess
import sys
from typing import Any

import pytest
from peers import Proxy

from aioreq.testing import Server, httpbin

from .httpx_libraries import lib, ours

__all__ = ["lib", "ours"]

pytestmark = pytest.mark.usefixtures("no_hanging")

OURS = {"AsyncClient", "Client", "get", "options", "head", "post", "put", "patch", "delete", "query", "request", "stream", "websocket"}


@pytest.mark.no_loop
def test_every_name_is_there(lib: Any, ours: Any) -> None:
    assert set(ours.__all__) == {*lib.__all__, "AsyncTransport", "Transport"}
    assert dir(ours) == sorted(ours.__all__)
    theirs = {name for name in lib.__all__ if getattr(ours, name) is getattr(lib, name)}
    assert set(lib.__all__) - theirs == OURS & set(lib.__all__)
    starred: dict[str, Any] = {}
    exec(f"from {ours.__name__} import *", starred)
    assert set(ours.__all__) <= starred.keys()
    with pytest.raises(AttributeError, match=rf"{ours.__name__}.* 'nonsense'"):
        _ = ours.nonsense


@pytest.mark.no_loop
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_without_the_library_the_import_names_the_extra(name: str) -> None:
    program = f"import sys; sys.modules['{name}'] = None; import aioreq.compat.{name}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"pip install 'aioreq[{name}]'" in ended.stderr.splitlines()[-1]


async def test_the_clients_are_theirs_on_our_transports(lib: Any, ours: Any, server: Server) -> None:
    async with ours.AsyncClient(base_url=server.url) as client:
        assert isinstance(client, lib.AsyncClient)
        assert isinstance(client._transport, ours.AsyncTransport)
        assert (await client.get("/get")).status_code == 200
    given = lib.MockTransport(lambda request: lib.Response(418))
    async with ours.AsyncClient(transport=given) as client:
        assert (await client.get("http://anything.example/")).status_code == 418
    with ours.Client() as blocking:
        assert isinstance(blocking, lib.Client)
        assert isinstance(blocking._transport, ours.Transport)


async def test_cookies_are_kept_sent_and_assigned(ours: Any, server: Server) -> None:
    async with ours.AsyncClient(cookies={"mine": "1"}) as client:
        await client.get(f"{server.url}/cookies/set?theirs=2", follow_redirects=True)
        assert dict(client.cookies) == {"mine": "1", "theirs": "2"}
        await client.get(f"{server.url}/get")
        assert dict(server.requests[-1].headers)[b"Cookie"] == b"mine=1; theirs=2"
        client.cookies = {"other": "3"}
        await client.get(f"{server.url}/get")
        assert dict(server.requests[-1].headers)[b"Cookie"] == b"other=3"


async def test_a_jar_of_the_users_own_is_filled(lib: Any, ours: Any, server: Server) -> None:
    class OwnJar(http.cookiejar.CookieJar):
        pass

    for face in (lib, ours):
        jar = OwnJar()
        async with face.AsyncClient(cookies=jar) as client:
            await client.get(f"{server.url}/cookies/set?theirs=2")
            assert client.cookies.jar is jar
            assert [(cookie.name, cookie.value) for cookie in jar] == [("theirs", "2")]
        given = lib.Cookies({"mine": "1"})
        async with face.AsyncClient(cookies=given) as client:
            await client.get(f"{server.url}/cookies/set?theirs=2")
            assert dict(given) == {"mine": "1"}  # copied


async def test_proxies_of_the_environment(ours: Any, tinyproxy: Proxy, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", tinyproxy.url)
    async with ours.AsyncClient() as client:
        assert [type(mount) for mount in client._mounts.values()] == [ours.AsyncTransport]
        await client.get(f"{server.url}/get")
    assert b"Via" in dict(server.requests[-1].headers)
    for client in (ours.AsyncClient(trust_env=False), ours.AsyncClient(mounts={"http://": ours.AsyncTransport()})):
        async with client:
            await client.get(f"{server.url}/get")
        assert b"Via" not in dict(server.requests[-1].headers)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with ours.AsyncClient() as client:
        await client.get(f"{server.url}/get")
    assert b"Via" not in dict(server.requests[-1].headers)


async def test_a_proxy_that_is_given(ours: Any, tinyproxy: Proxy, server: Server) -> None:
    async with ours.AsyncClient(proxy=tinyproxy.url) as client:
        await client.get(f"{server.url}/get")
    assert b"Via" in dict(server.requests[-1].headers)


@pytest.mark.no_loop
def test_the_functions(lib: Any, ours: Any) -> None:
    with Server(routes=httpbin) as server:
        for name in ("get", "options", "head", "post", "put", "patch", "delete"):
            response = getattr(ours, name)(f"{server.url}/anything", headers={"X-Name": name}, params={"a": "b"}, timeout=10, verify=False)
            assert type(response) is lib.Response
            assert (server.requests[-1].method, server.requests[-1].target) == (name.upper(), b"/anything?a=b")
        assert ours.request("POST", f"{server.url}/anything", json=[1], cookies={"a": "b"}).status_code == 200
        assert dict(server.requests[-1].headers)[b"Cookie"] == b"a=b"
        with ours.stream("GET", f"{server.url}/bytes/10") as streamed:
            assert len(b"".join(streamed.iter_bytes())) == 10
        with pytest.raises(TypeError, match="nonsense"):
            ours.get(server.url, nonsense=1)


async def test_httpx2s_own_websockets(server: Server) -> None:
    importlib.import_module("peers").needed_module("wsproto", "wsproto")
    serve = importlib.import_module("peers").needed_module("websockets.asyncio.server", "websockets").serve
    face = importlib.import_module("aioreq.compat.httpx2")

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as peer:
        url = f"ws://127.0.0.1:{peer.sockets[0].getsockname()[1]}/"
        async with face.AsyncClient() as client, client.websocket(url) as session:
            await session.send_text("hello")
            assert await session.receive_text() == "hello"
            await session.send_bytes(b"x" * 50_000)
            assert await session.receive_bytes() == b"x" * 50_000
