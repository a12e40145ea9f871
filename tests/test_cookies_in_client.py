"""Cookies on their way: set by servers, kept in the client's jar, sent where they belong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import aioreq
from aioreq import Client, CookieJar
from aioreq.testing import Reply, Server


def setting(server: Server, path: str, *cookies: str) -> str:
    """The URL of a route that sets these cookies."""
    server.route(path, Reply(200, [("Set-Cookie", cookie) for cookie in cookies]))
    return server.url + path


def cookies_sent(server: Server) -> list[str | None]:
    """The Cookie field of each request; there is never more than one."""
    sent = [request.header_values("cookie") for request in server.requests]
    assert all(len(values) < 2 for values in sent)
    return [values[0] if values else None for values in sent]


async def test_what_is_set_is_sent(server: Server, client: Client) -> None:
    response = await client.get(setting(server, "/set", "a=1; Path=/", 'b="2 3"; Path=/; HttpOnly', "c=; Path=/"))
    assert response.cookies == {"a": "1", "b": '"2 3"', "c": ""}
    await client.get(server.url + "/get")
    assert cookies_sent(server) == [None, 'a=1; b="2 3"; c=']
    assert {cookie.name: cookie.value for cookie in client.cookies} == response.cookies
    assert (client.cookies.get("a"), len(client.cookies)) == ("1", 3)


async def test_every_status_may_set_cookies(server: Server, client: Client) -> None:
    for status in (204, 304, 404, 500):
        server.route(f"/{status}", Reply(status, [("Set-Cookie", f"c{status}=1; Path=/")]))
        await client.get(f"{server.url}/{status}")
    assert sorted(cookie.name for cookie in client.cookies) == ["c204", "c304", "c404", "c500"]


async def test_paths(server: Server, client: Client) -> None:
    await client.get(setting(server, "/a/set", "deep=1", "root=2; Path=/", "b=3; Path=/b"))
    for path in ("/get", "/a/x", "/ab", "/b", "/b/c"):
        await client.get(server.url + path)
    assert cookies_sent(server)[1:] == ["root=2", "deep=1; root=2", "root=2", "b=3; root=2", "b=3; root=2"]


async def test_hosts(server: Server, client: Client) -> None:
    await client.get(setting(server, "/set", "a=1; Path=/", "b=2; Path=/; Domain=localhost", "c=3; Path=/; Domain=example.org"))
    other = f"http://localhost:{server.port}"
    await client.get(other + "/get")
    await client.get(server.url + "/get")
    assert cookies_sent(server) == [None, None, "a=1"]


SHOP = {name: ["127.0.0.1"] for name in ("shop.test", "www.shop.test", "api.shop.test", "www.other.test", "shop.test.other.test")}


async def test_a_cookie_of_a_domain_goes_to_all_below_it(server: Server) -> None:
    fields = (
        "all=1; Path=/; Domain=shop.test",
        "own=2; Path=/",
        "evil=3; Domain=test",
        "evil=4; Domain=other.test",
        "evil=5; Domain=api.shop.test",
    )
    path = setting(server, "/set", *fields).removeprefix(server.url)
    async with Client(resolver=SHOP) as client:
        await client.get(f"http://www.shop.test:{server.port}{path}")
        for host in SHOP:
            await client.get(f"http://{host}:{server.port}/get")
    assert cookies_sent(server)[1:] == ["all=1", "all=1; own=2", "all=1", None, None]


async def test_redirects_take_from_the_jar_what_belongs_to_the_next_host(server: Server) -> None:
    api, other = (f"http://{host}:{server.port}" for host in ("api.shop.test", "www.other.test"))
    fields = [("Set-Cookie", field) for field in ("all=1; Path=/; Domain=shop.test", "own=2; Path=/")]
    server.route("/login", Reply(302, [("Location", f"{api}/token"), *fields]))
    server.route(
        "/token", Reply(307, [("Location", f"{other}/track"), ("Set-Cookie", "token=3"), ("Set-Cookie", "all=4; Path=/; Domain=shop.test")])
    )
    server.route("/track", Reply(303, [("Location", f"http://www.shop.test:{server.port}/get"), ("Set-Cookie", "track=5; Path=/")]))
    async with Client(resolver=SHOP) as client:
        client.cookies.set("known", "0", url=other)
        await client.get(f"http://www.shop.test:{server.port}/login", cookies={"once": "6"})
        await client.get(other + "/get")
    assert cookies_sent(server) == ["once=6", "all=1", "known=0", "all=4; own=2", "known=0; track=5"]


async def test_values_come_back_byte_for_byte(server: Server, client: Client) -> None:
    values = [b'"a, b"', b"\xff\xfe", "é€".encode(), b"a\tb", b"x==", b"%7E%2f", b'unbalanced"', b"a,b", b"\\\x80"]
    fields = [b"c%d=%b; Path=/" % pair for pair in enumerate(values)]
    server.route("/set", Reply(200, [("Set-Cookie", field.decode("utf-8", "surrogateescape")) for field in fields]))
    await client.get(server.url + "/set")
    await client.get(server.url + "/get")
    sent = server.requests[-1].header_values("cookie")[0]
    assert sent.encode("utf-8", "surrogateescape") == b"; ".join(b"c%d=%b" % pair for pair in enumerate(values))


async def test_a_jar_from_a_file(server: Server, tmp_path: Path) -> None:
    async with Client() as client:
        await client.get(setting(server, "/set", "a=1; Path=/", "b=2; Path=/; Max-Age=60"))
        client.cookies.save(tmp_path / "jar")
    async with Client(cookies=CookieJar.load(tmp_path / "jar")) as client:
        await client.get(server.url + "/get")
    assert cookies_sent(server) == [None, "a=1; b=2"]


async def test_secure_cookies_stay_secure(tls_server: Server, server: Server) -> None:
    async with Client(verify=tls_server.client_context()) as client:
        await client.get(setting(tls_server, "/set", "s=1; Secure; Path=/", "p=2; Path=/"))
        await client.get(tls_server.url + "/get")
        await client.get(server.url + "/get")  # the same host, in plaintext
        await client.get(setting(server, "/set", "s=stolen; Path=/", "t=3; Secure; Path=/"))
        await client.get(tls_server.url + "/get")
    assert cookies_sent(tls_server) == [None, "s=1; p=2", "s=1; p=2"]
    assert cookies_sent(server) == ["p=2", "p=2"]


async def test_cookies_expire(server: Server, client: Client) -> None:
    await client.get(setting(server, "/set", "a=1; Path=/", "b=2; Path=/; Max-Age=1000"))
    await client.get(setting(server, "/unset", "a=; Path=/; Max-Age=0", "b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"))
    await client.get(server.url + "/get")
    assert cookies_sent(server) == [None, "a=1; b=2", None]
    assert len(client.cookies) == 0


async def test_redirects_carry_what_they_set(server: Server, client: Client) -> None:
    response = await client.get(server.url + "/cookies/set?a=1&b=2")
    assert response.json() == {"cookies": {"a": "1", "b": "2"}}
    assert response.redirects[0].headers.getall("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    async with Client() as fresh, fresh.stream("GET", server.url + "/cookies/set?c=3") as streamed:
        assert await streamed.json() == {"cookies": {"c": "3"}}


async def test_cookies_of_one_request_stay_out_of_the_jar_and_win(server: Server, client: Client) -> None:
    await client.get(setting(server, "/set", "a=jar; Path=/", "b=jar; Path=/"))
    await client.get(server.url + "/redirect/1", cookies={"a": "own", "c": "own"})
    await client.get(server.url + "/get")
    assert cookies_sent(server) == [None, "b=jar; a=own; c=own", "b=jar; a=own; c=own", "a=jar; b=jar"]
    assert len(client.cookies) == 2


async def test_a_cookie_field_of_ones_own_is_all_that_is_sent(server: Server, client: Client) -> None:
    client.cookies.set("a", "jar", url=server.url)
    await client.get(server.url + "/get", headers={"cookie": "x=1"})
    await client.get(server.url + "/get", headers={"Cookie": "x=1"}, cookies={"b": "own"})
    assert cookies_sent(server) == ["x=1", "x=1"]


@pytest.mark.parametrize("cookies", [{"a": "1;b=2"}, {"a": "1\r\nX: y"}, {"a;": "1"}, {"": "1"}])
async def test_a_cookie_that_cant_be_sent(server: Server, client: Client, cookies: dict[str, str]) -> None:
    with pytest.raises(aioreq.InvalidHeader):
        await client.get(server.url + "/get", cookies=cookies)
    assert server.requests == []


async def test_cookies_of_a_client(server: Server) -> None:
    async with Client(base_url=server.url, cookies={"a": "1"}) as client:
        await client.get("/get")
        await client.get(f"http://localhost:{server.port}/get")
    assert cookies_sent(server) == ["a=1", None]
    with pytest.raises(ValueError, match="base_url"):
        Client(cookies={"a": "1"})


async def test_a_jar_may_be_shared(server: Server) -> None:
    jar = CookieJar()
    jar.set("mine", "0", url=server.url)
    async with Client(cookies=jar) as one, Client(cookies=jar) as two, Client() as other:
        assert one.cookies is two.cookies is jar
        await one.get(setting(server, "/set", "a=1; Path=/"))
        await two.get(server.url + "/get")
        await other.get(server.url + "/get")
        jar.clear()
        await one.get(server.url + "/get")
    assert cookies_sent(server) == ["mine=0", "mine=0; a=1", None, None]


async def test_clients_have_jars_of_their_own(server: Server) -> None:
    async with Client() as one, Client() as two:
        await one.get(setting(server, "/set", "a=1; Path=/"))
        await two.get(server.url + "/get")
        assert (len(one.cookies), len(two.cookies)) == (1, 0)
    assert cookies_sent(server) == [None, None]


async def test_requests_at_once_keep_their_cookies_apart(server: Server, client: Client) -> None:
    responses = await asyncio.gather(*(client.get(server.url + "/cookies", cookies={"n": str(n)}) for n in range(50)))
    assert [response.json()["cookies"] for response in responses] == [{"n": str(n)} for n in range(50)]


async def test_a_refused_cookie_is_no_error(server: Server, client: Client) -> None:
    url = setting(server, "/set", "=", "=a=1", "; Path=/", "a=1; Domain=co.uk", "a=" + "x" * 5000, "__Host-a=1", "ok=1; Path=/")
    assert (await client.get(url)).status == 200
    assert [cookie.name for cookie in client.cookies] == ["ok"]
