"""The way through a proxy: what it is sent, what it may answer, and that neither side learns what is the other's."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from relay import ESTABLISHED, GRANTED, Relay

import aioreq
from aioreq import TLS, Client, Limits, Proxy, PublicOnly, Timeout
from aioreq.request_head import connect_head
from aioreq.testing import Authority, Close, Pause, ReadBytes, Reply, Reset, Server, Stall, Step, httpbin
from aioreq.tls import context_for
from aioreq.transfer import Opening
from aioreq.tunnel import Tunnel
from aioreq.urls import Origin, parse

pytestmark = pytest.mark.usefixtures("no_hanging")

AUTHORITY = Authority()
KINDS = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"]
# What must never be seen at an origin.
SECRETS = (b"proxy-authorization", b"chjvehk6c2vjcmv0", b"x-for-proxy", b"for-the-proxy")


@pytest.fixture
def authority() -> Authority:
    return AUTHORITY


@asynccontextmanager
async def relay_and_proxy(kind: str, ca: Path) -> AsyncIterator[tuple[Relay, Proxy]]:
    """A proxy of a kind, and its value with credentials (and fields) that no origin may see."""
    async with Relay(AUTHORITY.server_context() if kind == "https" else None, socks=kind.startswith("socks")) as relay:
        url = f"{kind}://{relay.address}"
        if kind.startswith("socks"):
            yield relay, Proxy(url, auth=("proxy", "" if kind.startswith("socks4") else "secret"))
        else:
            tls = TLS(ca=ca) if kind == "https" else None
            yield relay, Proxy(url, auth=("proxy", "secret"), headers={"X-For-Proxy": "for-the-proxy"}, tls=tls)


@pytest.fixture(params=["plain", "tls"])
async def origin(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with Server(routes=httpbin, tls=AUTHORITY if request.param == "tls" else False) as server:
        yield server


def assert_kept(origin: Server) -> None:
    """No origin has seen what is the proxy's."""
    assert origin.requests
    for request in origin.requests:
        assert not [secret for secret in SECRETS if secret in request.head.lower()]


# -- what is sent to whom


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_proxy(kind: str, origin: Server, ca: Path) -> None:
    async with relay_and_proxy(kind, ca) as (relay, proxy), Client(proxy=proxy, verify=ca, retry=0) as client:
        assert [(await client.get(f"{origin.url}/id/{i}")).text for i in range(3)] == ["0", "1", "2"]
        assert (await client.post(origin.url + "/anything", content=b"body")).json()["body"] == "body"
        # One connection, also to the proxy.
        assert (relay.accepted, origin.accepted) == (1, 1)
        assert client.pool().open == 1
    if kind.startswith("socks") or origin.url.startswith("https"):
        assert_kept(origin)


async def test_the_connect_request_to_the_byte(ca: Path) -> None:
    async with Server(routes=httpbin, tls=AUTHORITY) as origin, Relay() as relay:
        proxy = Proxy(f"http://proxy:secret@{relay.address}", headers={"X-For-Proxy": "for-the-proxy", "User-Agent": "mine"})
        headers = {"Authorization": "Bearer origin's", "Cookie": "a=b", "X-Own": "1"}
        async with Client(proxy=proxy, verify=ca, headers=headers, auth=("user", "origin's")) as client:
            await client.get(origin.url + "/id/1")
    expected = (
        f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\n"
        "Proxy-Authorization: Basic cHJveHk6c2VjcmV0\r\nX-For-Proxy: for-the-proxy\r\nUser-Agent: mine\r\n\r\n"
    )
    assert relay.heads == [expected.encode()]
    assert origin.requests[0].target == b"/id/1"
    assert_kept(origin)


async def test_the_port_always_stands_in_connect_and_ipv6_in_brackets() -> None:
    proxy = Proxy("http://proxy")
    assert connect_head("example.com", 443, proxy) == b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
    assert connect_head("::1", 8443, proxy) == b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"


async def test_the_absolute_form_to_the_byte() -> None:
    async with Server() as proxy:
        proxy.route("*", "ok")
        own = Proxy(f"http://proxy:secret@127.0.0.1:{proxy.port}", headers={"X-For-Proxy": "for-the-proxy"})
        async with Client(proxy=own, headers={"Accept": None, "Accept-Encoding": None, "User-Agent": None}) as client:
            await client.get("http://user:pw@origin.example?q=%7e")
            await client.get("http://[::1]:8080/a", headers={"Host": "other", "X": "y"})
            await client.post("http://origin.example:80/a/../b", content=b"12")
    fields = b"Proxy-Authorization: Basic cHJveHk6c2VjcmV0\r\nX-For-Proxy: for-the-proxy\r\nConnection: X-For-Proxy\r\n"
    assert [request.head for request in proxy.requests] == [
        b"GET http://origin.example/?q=%7e HTTP/1.1\r\nHost: origin.example\r\n" + fields + b"Authorization: Basic dXNlcjpwdw==\r\n\r\n",
        b"GET http://[::1]:8080/a HTTP/1.1\r\n" + fields + b"Host: other\r\nX: y\r\n\r\n",
        b"POST http://origin.example/a/../b HTTP/1.1\r\nHost: origin.example\r\n" + fields + b"Content-Length: 2\r\n\r\n",
    ]


async def test_a_field_of_the_proxy_s_and_of_the_request_is_the_request_s() -> None:
    """Named in Connection it would not reach the origin."""
    async with Server() as proxy:
        proxy.route("*", "ok")
        fields = [("user-agent", "proxy's"), ("Cookie", "proxy=1"), ("Authorization", "proxy's"), ("X", "1"), ("x", "2"), ("Y", "3")]
        own = Proxy(f"http://127.0.0.1:{proxy.port}", headers=fields)
        async with Client(proxy=own, headers={"Accept": None, "Accept-Encoding": None, "User-Agent": "own"}) as client:
            await client.get("http://u:p@origin.example/", cookies={"own": "1"}, headers={"Connection": "close"})
    assert proxy.requests[0].head == (
        b"GET http://origin.example/ HTTP/1.1\r\nHost: origin.example\r\nX: 1\r\nx: 2\r\nY: 3\r\nConnection: X, x, Y\r\n"
        b"User-Agent: own\r\nConnection: close\r\nCookie: own=1\r\nAuthorization: Basic dTpw\r\n\r\n"
    )


@pytest.mark.parametrize("host", ["a\r\nX-Evil: 1", "a b", "a\x00", "é", "a\nb", "a\tb"])
async def test_nothing_is_smuggled_into_connect(host: str) -> None:
    """Not by a URL (aioreq/urls.py), nor by who makes an origin by hand."""
    async with Relay() as relay, Client(proxy=relay.url, retry=0) as client:
        request = aioreq.Request("GET", "https://a/")
        request.parsed = parse("https://a/")._replace(origin=Origin("https", host, 443))
        with pytest.raises(aioreq.InvalidURL, match="not allowed there"):
            await client.send(request)
    assert relay.accepted == 0


@pytest.mark.parametrize("where", ["client", "request"])
@pytest.mark.parametrize("url", ["http://origin.example/", "https://origin.example/"])
async def test_a_proxy_s_credentials_given_as_a_field_are_refused(where: str, url: str) -> None:
    """Through a tunnel the origin would have got them."""
    fields = {"proxy-Authorization": "Basic cHJveHk6c2VjcmV0"}
    async with Relay() as relay, Client(proxy=relay.url, headers=fields if where == "client" else None, retry=0) as client:
        with pytest.raises(aioreq.InvalidHeader, match=r"give it to the proxy alone, by Proxy\(auth=") as caught:
            await client.get(url, headers=fields if where == "request" else {})
        assert "cHJveHk6" not in str(caught.value)
    assert relay.accepted == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", ["plain", "tls"])
@pytest.mark.parametrize("then", ["plain", "tls", "direct"])
async def test_redirects_take_nothing_of_the_proxy_s_along(kind: str, first: str, then: str, ca: Path) -> None:
    async with (
        Server(routes=httpbin, tls=AUTHORITY if first == "tls" else False) as start,
        Server(routes=httpbin, tls=AUTHORITY if then == "tls" else False) as end,
        relay_and_proxy(kind, ca) as (relay, proxy),
    ):
        start.route("/start", Reply(307, [("Location", end.url + "/anything")]))
        choice: Any = {"all": proxy, f"all://127.0.0.1:{end.port}": None} if then == "direct" else proxy
        async with Client(proxy=choice, verify=ca, retry=0, redirect_policy=lambda response, request: "follow") as client:
            response = await client.put(start.url + "/start", content=b"body")
        assert response.json()["body"] == "body"
        assert relay.accepted == (1 if then == "direct" else 2)
        # A forwarding relay passes on what it is given, as no real one would.
        forwards = kind in ("http", "https")
        for server, tunnelled in ((start, first == "tls"), (end, then != "plain")):
            if tunnelled or not forwards:
                assert_kept(server)
            else:
                assert b"x-for-proxy" in server.requests[0].head.lower()


async def test_connections_through_other_proxies_or_none_are_never_shared(origin: Server, ca: Path) -> None:
    async with Relay() as one, Relay() as other, Client(verify=ca) as client:
        for proxy in (None, one.url, other.url, Proxy(one.url, auth=("u", "p")), Proxy(one.url, headers={"X": "1"})):
            for _ in range(2):
                assert (await client.get(origin.url + "/id/1", proxy=proxy)).text == "1"
        assert (origin.accepted, one.accepted, other.accepted) == (5, 3, 1)
        assert client.pool().open == 5


# -- what it may answer


async def failing(client: Client, url: str = "https://origin.example/", **options: Any) -> aioreq.ProxyError:
    with pytest.raises(aioreq.ProxyError) as caught:
        await client.get(url, **options)
    assert "secret" not in str(caught.value)
    assert caught.value.request is not None
    return caught.value


REFUSALS = {
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n": (
        407,
        "refused with status 407 'Proxy Authentication Required' (it doesn't take the given user and password)",
    ),
    b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate, NTLM\r\n\r\n": (407, "it asks for negotiate, ntlm, and only basic is known here"),
    b"HTTP/1.0 403 Forbidden\r\nContent-Type: text/html\r\n\r\n<html>": (403, "refused with status 403 'Forbidden'"),
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\nhost is not allowed\n": (
        403,
        "'host is not allowed'",
    ),
    b"HTTP/1.1 502 \r\nProxy-Status: r34; error=dns_error\r\nContent-Length: 0\r\n\r\n": (502, "'r34; error=dns_error'"),
    b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere\r\nContent-Length: 0\r\n\r\n": (302, "302"),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n": (101, "101"),
    b"HTTP/1.1 403 \x1b[31m\xff\r\n\r\n": (None, "broke HTTP's rules"),
    b"HTTP/1.1 403 \xff\xfe\r\nContent-Length: 0\r\n\r\n": (403, r"'\udcff\udcfe'"),
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n": (400, "'Bad'"),
}


@pytest.mark.parametrize("dribble", [False, True])
@pytest.mark.parametrize("answer", REFUSALS)
async def test_a_proxy_that_refuses(answer: bytes, dribble: bool) -> None:
    status, words = REFUSALS[answer]
    async with Relay() as relay, Client(proxy=f"http://u:secret@{relay.address}", retry=0) as client:
        relay.answer, relay.dribble = answer, dribble
        error = await failing(client)
        assert error.status == status
        assert f"no tunnel to origin.example:443: proxy {relay.address} " in str(error)
        assert words in str(error) or (dribble and "not allowed" in words)
        assert client.pool().open == 0


async def test_a_407_to_who_gave_no_credentials() -> None:
    async with Relay() as relay, Client(proxy=relay.url, retry=0) as client:
        relay.answer = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
        error = await failing(client)
        assert "give Proxy(auth=(user, password))" in str(error)
        assert (error.status, error.reason, error.fields) == (407, "No", [(b"Proxy-Authenticate", b"Basic realm=x")])


@pytest.mark.parametrize(("status", "attempts"), [(407, 1), (403, 1), (400, 1), (502, 3), (504, 3), (302, 1)])
async def test_what_is_tried_again(status: int, attempts: int) -> None:
    async with Relay() as relay, Client(proxy=relay.url, retry=aioreq.Retry(attempts=2, backoff=0.001)) as client:
        relay.answer = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
        assert (await failing(client)).status == status
        assert relay.accepted == attempts


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",  # RFC 9110 section 9.3.6: to be ignored
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("dribble", [False, True])
async def test_a_proxy_that_agrees(answer: bytes, dribble: bool, ca: Path) -> None:
    async with Server(routes=httpbin, tls=AUTHORITY) as origin, Relay() as relay, Client(proxy=relay.url, verify=ca, retry=0) as client:
        relay.answer, relay.dribble = answer, dribble
        assert [(await client.get(f"{origin.url}/id/{i}")).text for i in range(2)] == ["0", "1"]
        assert relay.accepted == 1


LIES: dict[str, tuple[tuple[Step, ...], str]] = {
    "garbage": ((b"SSH-2.0-OpenSSH_9.6\r\n",), "broke HTTP's rules: "),
    "tls": ((b"\x15\x03\x01\x00\x02\x02\x50",), "broke HTTP's rules: "),
    "HTTP/2": ((b"HTTP/2 200\r\n\r\n",), "broke HTTP's rules: "),
    "a bare line feed": ((b"HTTP/1.1 200 OK\n\n",), "broke HTTP's rules: "),
    "a folded field": ((b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",), "broke HTTP's rules: "),
    "bytes behind": ((ESTABLISHED + b"x",), "sent bytes behind its answer"),
    "a response behind": ((ESTABLISHED + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",), "sent bytes behind its answer"),
    "two answers": ((ESTABLISHED * 2,), "sent bytes behind its answer"),
    "an endless head": ((b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 100_000,), "broke HTTP's rules: "),
    "an endless line": ((b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000_000,), "broke HTTP's rules: "),
    "endless 1xx": ((b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,), "broke HTTP's rules: "),
    "a length that is none": ((b"HTTP/1.1 403 No\r\nContent-Length: -1\r\n\r\n",), "broke HTTP's rules: "),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_that_lies(lie: str, tls: bool, ca: Path) -> None:
    steps, words = LIES[lie]
    async with Server(tls=AUTHORITY if tls else False) as server:
        server.script(*steps, Stall(), on="head", times=2)
        proxy = Proxy(server.url, auth=("u", "secret"), tls=TLS(ca=ca) if tls else None)
        async with Client(proxy=proxy, retry=aioreq.Retry(attempts=1, backoff=0.001)) as client:
            error = await failing(client)
            assert error.status is None
            assert words in str(error)
            assert f"proxy 127.0.0.1:{server.port}" in str(error)
            assert client.pool().open == 0
        await server.until(lambda: not server.connections)


@pytest.mark.parametrize("words", [ESTABLISHED, b"220 smtp.example ESMTP\r\n", b"x"])
async def test_a_proxy_that_speaks_first(words: bytes) -> None:
    loop = asyncio.get_running_loop()
    async with Server() as server:
        server.script(words, Stall(), on="accept")
        tunnel = Tunnel(loop, Limits(), Proxy(server.url), Origin("https", "origin.example", 443))
        await loop.create_connection(lambda: tunnel, "127.0.0.1", server.port)
        await asyncio.sleep(0.05)
        try:
            with pytest.raises(aioreq.ProxyError, match="sent bytes before it was asked for anything"):
                await tunnel.open(Opening(loop.time))
        finally:
            tunnel.abort()


@pytest.mark.parametrize("tls", [False, True])
async def test_what_comes_between_the_answer_and_the_handshake_is_left_to_it(tls: bool, ca: Path) -> None:
    async with Server(tls=AUTHORITY if tls else False) as server:
        server.script(ESTABLISHED, Pause(0.05), b"is no TLS, and nothing that may be dropped\r\n", Stall(), on="head")
        proxy = Proxy(server.url, tls=TLS(ca=ca) if tls else None)
        async with Client(proxy=proxy, tls=TLS(ca=ca), retry=0) as client:
            with pytest.raises(aioreq.TLSError, match="(?i)wrong.version.number|record.layer.failure"):
                await client.get("https://origin.example/")


# -- dying and slow ones

ENDS: dict[str, tuple[Step, ...]] = {"closes": (Close(),), "resets": (Reset(),)}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_that_dies_at_every_byte(end: str, tls: bool, ca: Path) -> None:
    async with Server(tls=AUTHORITY if tls else False) as server:
        proxy = Proxy(server.url, tls=TLS(ca=ca) if tls else None)
        async with Client(proxy=proxy, retry=0, verify=ca) as client:
            for count in range(len(ESTABLISHED)):
                server.script(ESTABLISHED[:count], *ENDS[end], on="head")
                message = str(await failing(client))
                # What was sent before a reset may be lost to it.
                phases = ("before it answered",) if not count else ("in the middle of its answer",)
                assert any(phase in message for phase in (*phases, *(("before it answered",) if end == "resets" else ())))
                assert " s into the CONNECT handshake" in message
            assert client.pool().open == 0
        await server.until(lambda: not server.connections)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_that_dies_after_its_answer(end: str, tls: bool, ca: Path) -> None:
    async with Server(tls=AUTHORITY if tls else False) as server:
        proxy = Proxy(server.url, tls=TLS(ca=ca) if tls else None)
        async with Client(proxy=proxy, retry=0, verify=ca) as client:
            for step in ((), (ReadBytes(1),), (ReadBytes(1), b"\x16\x03"), (ReadBytes(1), b"no TLS at all\r\n\r\n")):
                server.script(ESTABLISHED, *step, *ENDS[end], on="head")
                with pytest.raises((aioreq.TLSError, aioreq.ProxyError), match=f"origin.example:443 via proxy {proxy}|proxy {proxy} broke"):
                    await client.get("https://origin.example/")
            assert client.pool().open == 0
        await server.until(lambda: not server.connections)


@pytest.mark.parametrize("end", ENDS)
async def test_a_tunnel_that_dies_under_a_request(end: str, ca: Path) -> None:
    async with Server(routes=httpbin, tls=AUTHORITY) as origin, Relay() as relay, Client(proxy=relay.url, verify=ca, retry=0) as client:
        origin.script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", *ENDS[end], path="/dies")
        with pytest.raises(aioreq.IncompleteBody) as caught:
            await client.get(origin.url + "/dies")
        assert f"via proxy {relay.address}" in str(caught.value)
        assert caught.value.partial in (b"half", b"")
        assert (await client.get(origin.url + "/id/1")).text == "1"


@pytest.mark.parametrize("steps", [(Stall(),), (b"HTTP/1.1 100 Continue\r\n\r\n", Stall()), (b"HTTP/1.1 200", Stall())])
@pytest.mark.parametrize("timeout", [Timeout(connect=0.2), Timeout(connect=None, total=0.2), 0.2])
async def test_a_proxy_that_is_silent(steps: tuple[Step, ...], timeout: Any) -> None:
    await context_for(TLS())  # before the clock runs: certificates may take longer than the limit
    async with Server() as server, Client(proxy=server.url, retry=0, timeout=timeout) as client:
        server.script(*steps, on="head")
        began = time.perf_counter()
        with pytest.raises(aioreq.RequestTimeout) as caught:
            await client.get("https://origin.example/")
        assert 0.15 < time.perf_counter() - began < 2
        assert f"during the CONNECT handshake with proxy 127.0.0.1:{server.port}" in str(caught.value)
        assert f"origin.example:443 via proxy 127.0.0.1:{server.port}" in str(caught.value)
        await server.until(lambda: not server.connections)


async def test_an_origin_that_is_silent_behind_its_proxy() -> None:
    await context_for(TLS())  # before the clock runs: certificates may take longer than the limit
    async with Server() as server, Client(proxy=server.url, retry=0, timeout=Timeout(connect=0.2)) as client:
        server.script(ESTABLISHED, Stall(), on="head")
        with pytest.raises(aioreq.ConnectTimeout, match="during the TLS handshake with origin.example:443 via proxy"):
            await client.get("https://origin.example/")


@pytest.mark.parametrize("url", ["http://origin.example/", "https://origin.example/"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
async def test_a_proxy_that_isn_t_there(url: str, scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with Client(proxy=f"{scheme}://u:secret@127.0.0.1:{port}", retry=0) as client:
            error = await failing(client, url)
            assert f"origin.example:{443 if 's:' in url else 80} can't be reached, for its proxy 127.0.0.1:{port} can't be: " in str(error)
            assert "Connection refused" in str(error)


async def test_a_proxy_without_an_address() -> None:
    async with Client(proxy="http://nowhere.invalid", retry=0) as client:
        error = await failing(client)
        assert "its proxy nowhere.invalid:80 can't be: " in str(error)
        assert isinstance(error.__cause__, aioreq.DNSError)


# -- TLS to the proxy


@pytest.mark.parametrize("url", ["http://origin.example/", "https://origin.example/"])
async def test_the_proxy_s_certificate_is_checked_whatever_the_request_says(url: str) -> None:
    async with Relay(AUTHORITY.server_context()) as relay, Client(proxy=relay.url, verify=False) as client:
        with pytest.raises(aioreq.CertificateError, match=f"the certificate of proxy {relay.address} is not valid for '127.0.0.1'"):
            await client.get(url, verify=False)
        assert relay.heads == []


async def test_the_proxy_s_name_is_checked(ca: Path) -> None:
    async with Relay(AUTHORITY.server_context("proxy.example")) as relay:
        table = {"proxy.example": "127.0.0.1", "other.example": "127.0.0.1"}
        for name in table:
            proxy = Proxy(f"https://{name}:{relay.port}", tls=TLS(ca=ca))
            async with Server(routes=httpbin) as origin, Client(proxy=proxy, resolver=table, retry=0) as client:
                if name == "proxy.example":
                    assert (await client.get(origin.url + "/id/1")).text == "1"
                else:
                    with pytest.raises(
                        aioreq.CertificateError, match=f"of proxy other.example:{relay.port} is not valid for 'other.example'"
                    ):
                        await client.get(origin.url + "/id/1")


async def test_the_origin_s_certificate_is_checked_inside(ca: Path) -> None:
    async with (
        Server(routes=httpbin, tls=AUTHORITY) as origin,
        relay_and_proxy("https", ca) as (relay, proxy),
        Client(proxy=proxy) as client,
    ):
        with pytest.raises(aioreq.CertificateError, match=f"the certificate of 127.0.0.1:{origin.port} via proxy {relay.address}"):
            await client.get(origin.url + "/id/1")
        assert (await client.get(origin.url + "/id/1", verify=False)).text == "1"


async def test_a_proxy_that_speaks_no_tls() -> None:
    async with Server() as server, Client(proxy=f"https://127.0.0.1:{server.port}", retry=0) as client:
        for url in ("http://origin.example/", "https://origin.example/"):
            with pytest.raises(aioreq.TLSError, match=f"the TLS handshake with proxy 127.0.0.1:{server.port} failed"):
                await client.get(url)


@pytest.mark.parametrize("kind", KINDS)
async def test_large_bodies_both_ways_and_bodies_that_end_with_the_connection(kind: str, origin: Server, ca: Path) -> None:
    large = bytes(range(251)) * 40_000  # 10 MB

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 70_001):
            yield large[start : start + 70_001]

    origin.route("/mirror", lambda request: request.body)
    origin.script(b"HTTP/1.1 200 OK\r\n\r\n", large, Close(), path="/until-close")
    async with relay_and_proxy(kind, ca) as (_, proxy), Client(proxy=proxy, verify=ca, retry=0) as client:
        for content in (large, pieces()):
            assert (await client.post(origin.url + "/mirror", content=content)).content == large
        assert (await client.get(origin.url + "/until-close")).content == large
        async with client.stream("POST", origin.url + "/mirror", content=large) as response:
            await asyncio.sleep(0.05)  # meanwhile it backs up
            assert b"".join([chunk async for chunk in response.content]) == large


# -- given up


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turns", range(0, 120, 3))
async def test_giving_up_at_any_moment_leaves_nothing(kind: str, turns: int, ca: Path) -> None:
    async with Server(routes=httpbin, tls=AUTHORITY) as origin, relay_and_proxy(kind, ca) as (_, proxy):
        async with Client(proxy=proxy, verify=ca, retry=0, limits=Limits(connections=1)) as client:
            task = asyncio.create_task(client.get(origin.url + "/id/given-up"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                assert (await task).text == "given-up"
            except asyncio.CancelledError:
                pass
            # The one slot is free, whatever was cancelled.
            assert (await client.get(origin.url + "/id/next")).text == "next"
        await origin.until(lambda: not origin.connections)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turns", range(0, 120, 11))
async def test_closing_the_client_at_any_moment_leaves_nothing(kind: str, turns: int, ca: Path) -> None:
    async with Server(routes=httpbin, tls=AUTHORITY) as origin, relay_and_proxy(kind, ca) as (_, proxy):
        client = Client(proxy=proxy, verify=ca, retry=0)
        task = asyncio.create_task(client.get(origin.url + "/id/closed"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        try:
            assert (await task).text == "closed"
        except aioreq.ClientClosed:
            pass
        await origin.until(lambda: not origin.connections)


@pytest.mark.parametrize("kind", ["http", "https"])
async def test_tunnels_don_t_wait_for_the_collector(kind: str, ca: Path) -> None:
    """Each would keep what its transport has buffered, and on uvloop all of its TLS."""
    async with (
        Server(routes=httpbin, tls=AUTHORITY) as origin,
        relay_and_proxy(kind, ca) as (_, proxy),
        Client(proxy=proxy, verify=ca, retry=0) as client,
    ):
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await client.get(origin.url + "/id/1", headers={"Connection": "close"})).text == "1"
            await origin.until(lambda: not origin.connections)
            await asyncio.sleep(0.05)
            assert not [each for each in gc.get_objects() if type(each) is Tunnel]
        finally:
            gc.enable()


# -- SOCKS


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("socks4", "localhost", b"\x04\x01%b\x7f\x00\x00\x01user\x00"),
        ("socks4", "127.0.0.1", b"\x04\x01%b\x7f\x00\x00\x01user\x00"),
        ("socks4a", "localhost", b"\x04\x01%b\x00\x00\x00\x01user\x00localhost\x00"),
        ("socks4a", "127.0.0.1", b"\x04\x01%b\x7f\x00\x00\x01user\x00"),
        ("socks5", "localhost", b"\x05\x00\x02user:pass\x01127.0.0.1"),
        ("socks5h", "localhost", b"\x05\x00\x02user:pass\x03localhost"),
        ("socks5h", "127.0.0.1", b"\x05\x00\x02user:pass\x01127.0.0.1"),
    ],
)
async def test_who_looks_names_up(scheme: str, host: str, expected: bytes) -> None:
    password = "pass" if scheme.startswith("socks5") else ""
    async with Server(routes=httpbin) as origin, Relay(socks=True) as relay:
        proxy = Proxy(f"{scheme}://{relay.address}", auth=("user", password))
        async with Client(proxy=proxy, resolver={"localhost": ["127.0.0.1"]}) as client:
            assert (await client.get(f"http://{host}:{origin.port}/id/1")).text == "1"
        port = origin.port.to_bytes(2, "big")
        assert relay.greetings == [expected.replace(b"%b", port)]
        assert origin.requests[0].header("host") == f"{host}:{origin.port}"


async def test_the_addresses_of_a_name_in_turn() -> None:
    async with Server(routes=httpbin) as origin, Relay(socks=True) as relay:
        relay.reply = lambda host: GRANTED if host == "127.0.0.1" else b"\x05"
        resolver = {"many.example": ["127.0.0.2", "::1", "127.0.0.1"], "none.example": ["127.0.0.2", "127.0.0.3"], "six.example": ["::1"]}
        async with Client(proxy=f"socks5://{relay.address}", resolver=resolver, retry=0) as client:
            assert (await client.get(f"http://many.example:{origin.port}/id/1")).text == "1"
            assert [greeting[3:] for greeting in relay.greetings] == [b"127.0.0.2", b"::1", b"127.0.0.1"]
            error = await failing(client, "http://none.example/")
            for words in ("none.example:80", f"proxy {relay.address}", "127.0.0.2: Connection refused", "127.0.0.3: Connection refused"):
                assert words in str(error)
            error = await failing(client, "http://six.example/", proxy=f"socks4://{relay.address}")
            assert "it has no IPv4 address, and SOCKS4 knows no other" in str(error)
            error = await failing(client, "http://[::1]/", proxy=f"socks4a://{relay.address}")
            assert "[::1]:80 can't be reached" in str(error)
            assert "SOCKS4 knows no IPv6" in str(error)


REPLIES = {
    "socks5h": {
        b"\x01": "General SOCKS server failure",
        b"\x02": "Connection not allowed by ruleset",
        b"\x03": "Network unreachable",
        b"\x04": "Host unreachable",
        b"\x05": "Connection refused by destination host",
        b"\x06": "TTL expired",
        b"\x07": "Command not supported",
        b"\x08": "Address type not supported",
        b"\x2a": "Invalid reply code",
    },
    "socks4a": {b"\x5b": "Request rejected or failed", b"\x5c": "identd", b"\x5d": "user-ids", b"\x00": "Invalid reply code"},
}


@pytest.mark.parametrize(("scheme", "reply"), [(scheme, reply) for scheme, replies in REPLIES.items() for reply in replies])
async def test_a_socks_proxy_that_refuses(scheme: str, reply: bytes) -> None:
    async with Relay(socks=True) as relay, Client(proxy=f"{scheme}://{relay.address}", retry=0) as client:
        if reply == GRANTED:
            relay.reply = lambda host: b"\x00\x00"[:1] + b"\x99"
        else:
            relay.reply = lambda host: reply
        error = await failing(client)
        assert REPLIES[scheme][reply] in str(error)
        assert f"origin.example:443 can't be reached through proxy {relay.address}" in str(error)
        assert f" s into the {scheme[:6].upper()} handshake" in str(error)
        assert client.pool().open == 0


SOCKS5_REPLY = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("scheme", ["socks5h", "socks4a"])
async def test_a_socks_proxy_that_dies_at_every_byte(scheme: str, end: str) -> None:
    reply = b"\x05\x00" + SOCKS5_REPLY if scheme == "socks5h" else b"\x00\x5a\x00\x50\x7f\x00\x00\x01"
    async with Server() as server, Client(proxy=f"{scheme}://127.0.0.1:{server.port}", retry=0) as client:
        for count in range(len(reply)):
            # In one go: a proxy needn't wait for what it will ignore.
            server.script(ReadBytes(1), reply[:count], *ENDS[end], on="accept", below_tls=True)
            error = await failing(client)
            assert f"proxy 127.0.0.1:{server.port}" in str(error)
            assert any(words in str(error) for words in ("Connection closed unexpectedly", "Connection reset by peer", "Broken pipe"))
        await server.until(lambda: not server.connections)


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 20,
        b"\xff" * 20,
        b"\x05\xff",
        b"\x05\x02",
        b"\x05\x01",
        b"\x05\x00\x05\x00\x00\x03\x02\xff\xff\x00\x50",
    ],
)
@pytest.mark.parametrize("scheme", ["socks5h", "socks4a"])
async def test_a_socks_proxy_that_lies(scheme: str, words: bytes) -> None:
    async with Server() as server, Client(proxy=f"{scheme}://127.0.0.1:{server.port}", retry=0, timeout=Timeout(connect=5)) as client:
        server.script(ReadBytes(1), words, Close(), on="accept", below_tls=True)
        assert f"proxy 127.0.0.1:{server.port}" in str(await failing(client))
        await server.until(lambda: not server.connections)


async def test_only_another_address_is_worth_another_try() -> None:
    resolver = {"many.example": ["127.0.0.2", "127.0.0.3"]}
    async with Server() as server, Client(proxy=f"socks5://127.0.0.1:{server.port}", resolver=resolver, retry=0) as client:
        server.script(ReadBytes(1), b"\x05\xff", Close(), on="accept", below_tls=True, times=2)
        assert "No acceptable authentication methods" in str(await failing(client, "http://many.example/"))
        assert server.accepted == 1


async def test_bytes_behind_a_socks_reply_answer_nobody() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with Server() as server, Client(proxy=f"socks5h://127.0.0.1:{server.port}", retry=0) as client:
        server.script(ReadBytes(1), b"\x05\x00" + SOCKS5_REPLY + response, Stall(), on="accept", below_tls=True)
        assert "it sent bytes behind its reply" in str(await failing(client, "http://origin.example/"))


async def test_a_socks_proxy_that_ends_behind_its_reply_sent_nothing() -> None:
    async with Server() as server, Client(proxy=f"socks5h://127.0.0.1:{server.port}", retry=0) as client:
        server.script(ReadBytes(1), b"\x05\x00" + SOCKS5_REPLY, Close(), on="accept", below_tls=True)
        with pytest.raises((aioreq.ConnectionLost, aioreq.ProxyError)) as caught:
            await client.get("http://origin.example/")
        assert "sent bytes behind" not in str(caught.value)


async def test_an_origin_that_is_silent_behind_its_socks_proxy() -> None:
    await context_for(TLS())  # before the clock runs: certificates may take longer than the limit
    async with Server() as server, Client(proxy=f"socks5h://127.0.0.1:{server.port}", retry=0, timeout=Timeout(connect=0.2)) as client:
        server.script(ReadBytes(1), b"\x05\x00" + SOCKS5_REPLY, Stall(), on="accept", below_tls=True)
        with pytest.raises(aioreq.ConnectTimeout, match="during the TLS handshake with origin.example:443 via proxy"):
            await client.get("https://origin.example/")


async def test_a_proxy_that_is_silent_in_its_own_handshake() -> None:
    await context_for(TLS())  # before the clock runs: certificates may take longer than the limit
    async with Server() as server, Client(proxy=f"https://127.0.0.1:{server.port}", retry=0, timeout=Timeout(connect=0.2)) as client:
        for url in ("http://origin.example/", "https://origin.example/"):
            server.script(Stall(), on="accept", below_tls=True)
            with pytest.raises(aioreq.ConnectTimeout, match=f"during the TLS handshake with proxy 127.0.0.1:{server.port}"):
                await client.get(url)


async def test_a_socks_proxy_that_is_silent() -> None:
    async with Server() as server, Client(proxy=f"socks5h://127.0.0.1:{server.port}", retry=0, timeout=Timeout(connect=0.2)) as client:
        server.script(Stall(), on="accept", below_tls=True)
        with pytest.raises(aioreq.ConnectTimeout, match=f"during the SOCKS5 handshake with proxy 127.0.0.1:{server.port}"):
            await client.get("http://origin.example/")
        await server.until(lambda: not server.connections)


@pytest.mark.parametrize("host", ["a\x00b", "a\r\nb", "a b", "é"])
@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
async def test_nothing_is_smuggled_into_socks(scheme: str, host: str) -> None:
    async with Relay(socks=True) as relay, Client(proxy=f"{scheme}://{relay.address}", retry=0) as client:
        request = aioreq.Request("GET", "http://a/")
        request.parsed = parse("http://a/")._replace(origin=Origin("http", host, 80))
        with pytest.raises(aioreq.InvalidURL, match="not allowed there"):
            await client.send(request)
    assert relay.accepted == 0


async def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    async with Client(proxy="socks5://127.0.0.1:1", retry=0) as client:
        assert "pip install 'aioreq[socks]'" in str(await failing(client))


# -- a guard


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_a_guard_refuses_a_proxy_that_it_doesn_t_name(scheme: str) -> None:
    async with Relay(socks=scheme != "http") as relay:
        for guard in (PublicOnly(), PublicOnly(allow=["127.0.0.0/8"]), PublicOnly(allow=["127.0.0.1:1"])):
            async with Client(proxy=f"{scheme}://{relay.address}", guard=guard) as client:
                for url in ("http://origin.example/", "https://origin.example/"):
                    with pytest.raises(aioreq.GuardError, match=rf"PublicOnly\(allow=\['{relay.address}'\]\)"):
                        await client.get(url)
        assert relay.accepted == 0


async def test_a_guard_judges_origins_behind_a_proxy_that_it_names() -> None:
    async with Server(routes=httpbin) as origin, Relay(socks=True) as relay:
        resolver = {"inside.example": "127.0.0.1", "friend.example": "127.0.0.1"}
        guard = PublicOnly(allow=[relay.address, f"friend.example:{origin.port}"])
        async with Client(proxy=f"socks5://{relay.address}", guard=guard, resolver=resolver) as client:
            assert (await client.get(f"http://friend.example:{origin.port}/id/1")).text == "1"
            for host in ("inside.example", "127.0.0.1"):  # a name whose addresses are ours to look up, and an address
                with pytest.raises(aioreq.GuardError):
                    await client.get(f"http://{host}:{origin.port}/id/1")
        assert relay.accepted == 1
