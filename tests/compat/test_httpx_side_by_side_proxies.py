"""Side by side: proxies: of plain requests, tunnels, refusals, a real one, and those that break."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from peers import Proxy, WebServer
from relay import Relay

from aioreq.testing import Authority, Close, ReadHead

from .httpx_casts import Cast
from .httpx_plays import asking, small
from .httpx_stage import Stage, same


@contextlib.asynccontextmanager
async def relayed(stage: Stage, relay: Relay, **options: Any) -> AsyncIterator[Any]:
    stage.names[f":{relay.port}"] = ":PROXY"
    transport = {"proxy": stage.lib.Proxy(relay.url, **options.pop("proxy", {})), **options}
    async with stage.client(transport) as client:
        yield client


async def test_a_proxy_of_plain_requests(cast: Cast) -> None:
    """The proxy is the server itself: what it gets is seen whole."""

    async def play(stage: Stage) -> None:
        proxy = stage.lib.Proxy(stage.url, auth=("ann", "secret"), headers={"X-Proxy": "1"})
        async with stage.client({"proxy": proxy}) as client:
            await stage.ask(client, path="http://host.example/path?x=1")
            await stage.ask(client, "POST", "http://other.example:81/", content=b"body")

    await same(cast, play, routes=small, different="fields for a proxy")


async def test_a_proxy_without_fields_of_its_own(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"proxy": stage.url}) as client:
            await stage.ask(client, path="http://host.example/path?x=1")
            await stage.ask(client, "POST", "http://other.example:81/", content=b"body")

    await same(cast, play, routes=small)


async def test_a_tunnel(cast: Cast, authority: Authority) -> None:
    async def play(stage: Stage) -> None:
        async with Relay() as relay:
            options = {"auth": ("ann", "secret"), "headers": {"X-Proxy": "1"}}
            async with relayed(stage, relay, proxy=options, verify=authority.client_context()) as client:
                await stage.ask(client)
                await stage.ask(client, path="/second")
            credentials = b"Proxy-Authorization: Basic YW5uOnNlY3JldA=="
            stage.say("proxy", relay.accepted, [head.split(b"\r\n")[0] for head in relay.heads])
            stage.say("fields", [(credentials in head, b"X-Proxy: 1" in head) for head in relay.heads])

    await same(cast, play, routes=small, tls=authority)


@pytest.mark.parametrize("status", [b"403 Forbidden", b"407 Proxy Authentication Required", b"502 Bad Gateway", b"302 Found"])
async def test_a_tunnel_that_is_refused(cast: Cast, authority: Authority, status: bytes) -> None:
    async def play(stage: Stage) -> None:
        async with Relay() as relay:
            relay.answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"
            async with relayed(stage, relay, verify=authority.client_context()) as client:
                await stage.ask(client)

    await same(cast, play, routes=small, tls=authority)


async def test_no_proxy_there(cast: Cast, closed_port: int) -> None:
    await same(cast, asking("http://host.example/", transport={"proxy": f"http://127.0.0.1:{closed_port}"}))
    await same(cast, asking("https://host.example/", transport={"proxy": f"http://127.0.0.1:{closed_port}"}))


async def test_a_proxy_that_goes_away(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"proxy": stage.url}) as client:
            await stage.ask(client, path="https://host.example/")

    routes = lambda server: server.script(ReadHead(), Close(), on="accept", times=2)  # noqa: E731
    await same(cast, play, routes=routes, wire=False, different="a proxy that breaks")


async def test_a_real_proxy(cast: Cast, nginx: WebServer, squid_auth: Proxy) -> None:
    async def play(stage: Stage) -> None:
        stage.names |= {nginx.address: "NGINX", squid_auth.address: "SQUID"}
        context = ssl.create_default_context(cafile=nginx.ca)
        for proxy in (squid_auth.url_with_credentials, squid_auth.url):
            async with stage.client({"proxy": proxy, "verify": context}) as client:
                for url in (nginx.url, nginx.tls_url):
                    with stage.trying(url):
                        response = await stage.do(client.get, url + "/echo?id=a")
                        stage.say(response.status_code, response.text if response.is_success else "")

    await same(cast, play)


@pytest.mark.parametrize("url", ["socks4://127.0.0.1:1", "ftp://127.0.0.1:1", "127.0.0.1:1"])
async def test_proxies_of_other_schemes(async_cast: Cast, url: str) -> None:
    await same(async_cast, asking("http://host.example/", transport={"proxy": url}))
