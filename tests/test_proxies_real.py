"""Proxies as they are installed in the world: squid, tinyproxy, dante and microsocks, in front of nginx."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from peers import FILES, HOST, USER, WebServer, content
from peers import Proxy as ProxyServer

import aioreq
from aioreq import TLS, Client, Proxy
from aioreq.testing import Server, httpbin

pytestmark = pytest.mark.usefixtures("no_hanging")

HTTP_PROXIES = ["squid", "squid_auth", "squid_tls", "tinyproxy", "tinyproxy_auth"]
SOCKS_PROXIES = ["socks4", "socks5", "socks5h", "socks5 with a password", "socks5h with a password"]


def proxy_named(name: str, fixture: Callable[[str], Any]) -> Proxy:
    scheme, _, password = name.partition(" ")
    if not scheme.startswith("socks"):
        peer: ProxyServer = fixture(name)
        return Proxy(peer.url_with_credentials, tls=TLS(ca=peer.ca) if peer.scheme == "https" else None)
    peer = fixture("socks_auth" if password else "socks")
    return Proxy(f"{scheme}://{peer.address}", auth=(USER, peer.password) if peer.password else None)


@pytest.fixture(params=[*HTTP_PROXIES, *SOCKS_PROXIES])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    return proxy_named(request.param, request.getfixturevalue)


@pytest.fixture(params=["plain", "tls"])
def origin(request: pytest.FixtureRequest, nginx: WebServer) -> str:
    return nginx.url if request.param == "plain" else nginx.tls_url


@pytest.fixture
async def client(nginx: WebServer, proxy: Proxy) -> AsyncIterator[Client]:
    async with Client(proxy=proxy, tls=TLS(ca=nginx.ca), timeout=10, retry=0) as client:
        yield client


def through_a_tunnel(proxy: Proxy, origin: str) -> bool:
    return proxy.is_socks or origin.startswith("https")


async def test_requests_one_after_another(client: Client, origin: str, proxy: Proxy) -> None:
    answers = [(await client.get(f"{origin}/connection?id={i}")).text.split() for i in range(10)]
    assert [asked for *_, asked in answers] == [str(i) for i in range(10)]
    if through_a_tunnel(proxy, origin):
        assert [int(served) for _, served, _ in answers] == list(range(1, 11))
        assert client.pool().open == 1


async def test_many_at_once(client: Client, origin: str) -> None:
    responses = await asyncio.gather(*(client.get(f"{origin}/echo?id=a{i}") for i in range(100)))
    assert [response.text for response in responses] == [f"a{i}" for i in range(100)]


async def test_large_bodies_both_ways(client: Client, origin: str) -> None:
    once = {"Connection": "close"}  # tinyproxy closes behind each plain response without a word, and a POST isn't sent twice

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield bytes(100_000)

    for folder in ("files", "chunked"):
        response = await client.get(f"{origin}/{folder}/large", headers=once)
        assert response.content == content(FILES["large"])
    assert (await client.post(f"{origin}/length", content=bytes(3_000_000), headers=once)).text == "3000000"
    assert (await client.post(f"{origin}/length", content=pieces(), headers=once | {"Content-Length": "3000000"})).text == "3000000"
    async with client.stream("GET", f"{origin}/files/large") as streamed:
        assert b"".join([chunk async for chunk in streamed.content]) == content(FILES["large"])


async def test_a_name(client: Client, origin: str) -> None:
    """For dante and the others to look up, or for us."""
    assert (await client.get(f"{origin.replace(HOST, 'localhost')}/echo?id=x")).text == "x"


async def test_a_redirect_from_the_one_scheme_to_the_other(client: Client, nginx: WebServer) -> None:
    response = await client.get(f"{nginx.url}/moved?id=7")
    assert response.text == "7"
    assert response.redirects[0].status == 302


async def test_an_origin_that_refuses_connections(client: Client, proxy: Proxy) -> None:
    with pytest.raises(aioreq.ProxyError) as caught:
        await client.get("https://127.0.0.1:1/")
    assert str(proxy) in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)
    assert client.pool().open == 0


@pytest.mark.parametrize("part", range(12))
async def test_giving_up_at_any_moment_leaves_nothing(client: Client, origin: str, part: int) -> None:
    """Not at a turn of the loop (test_tunnel.py does that), but at a time: real proxies take their own."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.get(f"{origin}/echo?id=timed", headers={"Connection": "close"})
    task = asyncio.create_task(client.get(f"{origin}/echo?id=given-up", headers={"Connection": "close"}))
    await asyncio.sleep((loop.time() - began) * part / 11)
    task.cancel()
    try:
        assert (await task).text == "given-up"
    except asyncio.CancelledError:
        pass
    assert (await client.get(f"{origin}/echo?id=next")).text == "next"
    assert client.pool().open <= 1


# -- credentials


@pytest.mark.parametrize("name", HTTP_PROXIES)
async def test_the_proxy_s_own_fields_end_at_the_proxy(request: pytest.FixtureRequest, name: str) -> None:
    """Also those of an http:// request, all of which it reads and forwards."""
    fields = [("X-For-Proxy", "for-the-proxy"), ("X-Too", "for-the-proxy"), ("User-Agent", "for-the-proxy")]
    given = proxy_named(name, request.getfixturevalue)
    proxy = dataclasses.replace(given, headers=fields)
    async with Server(routes=httpbin) as origin, Client(proxy=proxy, user_agent="for-the-origin", retry=0) as client:
        for headers in ({}, {"Connection": "close"}):
            assert (await client.get(origin.url + "/anything", headers=headers)).status == 200
    for seen in origin.requests:
        assert b"for-the-proxy" not in seen.head
        assert b"proxy-authorization" not in seen.head.lower()
        assert seen.head.count(b"User-Agent: for-the-origin\r\n") == 1


@pytest.mark.parametrize("name", ["squid_auth", "tinyproxy_auth"])
@pytest.mark.parametrize("auth", [None, (USER, "wrong")])
async def test_http_proxies_that_want_other_credentials(
    request: pytest.FixtureRequest, nginx: WebServer, name: str, auth: tuple[str, str] | None
) -> None:
    peer: ProxyServer = request.getfixturevalue(name)
    async with Client(proxy=Proxy(peer.url, auth=auth), tls=TLS(ca=nginx.ca)) as client:
        with pytest.raises(aioreq.ProxyError) as caught:
            await client.get(f"{nginx.tls_url}/echo?id=x")
        # tinyproxy says 401 to those that it doesn't know.
        assert caught.value.status in (401, 407)
        assert "wrong" not in str(caught.value)
        response = await client.get(f"{nginx.url}/echo?id=x")
        assert response.status == caught.value.status


@pytest.mark.parametrize("auth", [None, (USER, "wrong")])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_socks_proxies_that_want_other_credentials(
    socks_auth: ProxyServer, nginx: WebServer, scheme: str, auth: tuple[str, str] | None
) -> None:
    async with Client(proxy=Proxy(f"{scheme}://{socks_auth.address}", auth=auth), retry=0) as client:
        with pytest.raises(aioreq.ProxyError, match="uthentication") as caught:
            await client.get(f"{nginx.url}/echo?id=x")
        assert "wrong" not in str(caught.value)
