"""Redirects: what is followed, by which method, with which body, fields and credentials. On the face and on aiohttp but where it says."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from yarl import URL

from aioreq.compat import aiohttp as face
from aioreq.testing import Reply, Server


def to(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} There\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_history(lib: Any) -> None:
    async with Server() as server:
        server.script(to("/b?x=1"), path="/a")
        server.script(to("c/d", 307), path="/b")
        server.script(OK, path="/c/d")
        async with lib.ClientSession() as session, session.get(server.url + "/a", params={"q": "1"}) as response:
            assert (response.status, response.url) == (200, URL(server.url + "/c/d"))
            history = response.history
        assert isinstance(history, tuple)
        assert [(old.status, str(old.url)) for old in history] == [(302, server.url + "/a?q=1"), (307, server.url + "/b?x=1")]
        assert history[0].headers["Location"] == "/b?x=1"
        assert history[0].request_info.url == URL(server.url + "/a?q=1")
        assert server.accepted == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
async def test_methods_and_bodies(lib: Any, status: int, method: str) -> None:
    async with Server() as server:
        server.script(to("/b", status), path="/a")
        async with lib.ClientSession() as session:
            data = b"body" if method in ("POST", "PUT") else None
            async with session.request(method, server.url + "/a", data=data, headers={"X-A": "1"}) as response:
                assert response.status == 404
        asked = server.requests[1]
        to_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
        assert asked.method == ("GET" if to_get else method)
        assert asked.body == (b"body" if data and not to_get else b"")
        assert asked.header("x-a") == "1"


async def test_not_followed(lib: Any) -> None:
    async with Server() as server:
        server.script(to("/b"), path="/a", times=5)
        async with lib.ClientSession() as session:
            for method, options in (("get", {"allow_redirects": False}), ("head", {}), ("post", {"allow_redirects": False})):
                async with getattr(session, method)(server.url + "/a", **options) as response:
                    assert (response.status, response.headers["Location"], response.history) == (302, "/b", ())
            async with session.head(server.url + "/a", allow_redirects=True) as response:
                assert response.status == 404
        server.script(b"HTTP/1.1 302 Nowhere\r\nContent-Length: 2\r\n\r\nhi", path="/")
        async with lib.ClientSession() as session, session.get(server.url) as response:
            assert (response.status, await response.text()) == (302, "hi")
        server.script(b"HTTP/1.1 300 Choose\r\nLocation: /b\r\nContent-Length: 2\r\n\r\nhi", path="/")
        async with lib.ClientSession() as session, session.get(server.url) as response:
            assert response.status == 300


@pytest.mark.parametrize(
    "relative", ["other?x=1", "./other?x=1", "../p/other?x=1", "/p/other?x=1", "//HOST/p/other?x=1", "http://HOST/p/other?x=1"]
)
async def test_where_they_lead(lib: Any, relative: str) -> None:
    async with Server() as server:
        server.script(to(relative.replace("HOST", f"127.0.0.1:{server.port}")), path="/p/a")
        async with lib.ClientSession() as session, session.get(server.url + "/p/a") as response:
            assert response.url == URL(server.url + "/p/other?x=1")


async def test_cookies_on_the_way(lib: Any) -> None:
    async with Server() as server:
        url = server.url.replace("127.0.0.1", "localhost")
        server.script(b"HTTP/1.1 302 There\r\nLocation: /b\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n", path="/a")
        server.script(OK, path="/b")
        async with lib.ClientSession() as session, session.get(url + "/a", cookies={"b": "2"}) as response:
            assert response.cookies == {}
            assert response.history[0].cookies["a"].value == "1"
        assert [set((request.header("cookie") or "").split("; ")) for request in server.requests] == [{"b=2"}, {"a=1", "b=2"}]


async def test_credentials_stay_with_their_origin(lib: Any) -> None:
    async with Server() as server, Server() as other:
        for target in (server.url + "/same", other.url + "/other"):
            server.script(to(target), path="/a")
            async with lib.ClientSession() as session:
                headers = {"Authorization": "Bearer x", "Cookie": "h=1", "Proxy-Authorization": "Basic eA=="}
                if lib is face:
                    del headers["Proxy-Authorization"]  # refused: to the proxy alone
                await (await session.get(server.url + "/a", headers=headers, cookies={"c": "2"})).read()
        same, [asked] = server.requests[1], other.requests
        assert same.path == "/same"
        assert (same.header("authorization"), set((same.header("cookie") or "").split("; "))) == ("Bearer x", {"h=1", "c=2"})
        assert [asked.header(name) for name in ("authorization", "cookie", "proxy-authorization")] == [None] * 3


async def test_a_sessions_auth_stays_with_the_first_origin() -> None:
    """Where there is no base URL aiohttp sends it to whatever a redirect names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        auth = face.BasicAuth("me", "secret")
        session = face.ClientSession(auth=auth)
    async with session, Server() as server, Server() as other:
        server.script(to(other.url + "/"), path="/a")
        await (await session.get(server.url + "/a")).read()
        assert server.requests[0].header("authorization") == auth.encode()
        assert other.requests[0].header("authorization") is None


async def test_a_redirects_own_credentials(lib: Any) -> None:
    async with Server() as server:
        host = server.url.removeprefix("http://")
        server.script(to(f"http://me:secret@{host}/b"), path="/a")
        async with lib.ClientSession() as session, session.get(server.url + "/a") as response:
            assert response.url == URL(server.url + "/b")
        assert server.requests[1].header("authorization") == lib.encode_basic_auth("me", "secret")


async def test_none_at_all_is_zero() -> None:
    """To aiohttp it means any number."""
    async with Server() as server:
        server.script(to("/a"), path="/a", times=2)
        async with face.ClientSession() as session:
            with pytest.raises(face.TooManyRedirects):
                await session.get(server.url + "/a", max_redirects=0)
        assert len(server.requests) == 1


async def test_a_body_meant_for_tls_stays_there() -> None:
    """Which aiohttp sends on to whoever listens on the way."""
    async with Server(tls=True) as server, Server() as other:
        server.script(to(other.url + "/", 307), path="/a")
        async with face.ClientSession(connector=face.TCPConnector(ssl=False)) as session:
            with pytest.raises(face.RedirectClientError):
                await session.post(server.url + "/a", data=b"secret")
        assert other.requests == []


async def test_secrets_in_other_fields_stay_with_their_origin() -> None:
    """Not with aiohttp, which knows three fields."""
    async with Server() as server, Server() as other:
        server.route("/a")(lambda request: Reply(302, headers=[("Location", other.url + "/")]))
        async with face.ClientSession(headers={"X-Api-Key": "secret"}) as session:
            await (await session.get(server.url + "/a")).read()
        assert (server.requests[0].header("x-api-key"), other.requests[0].header("x-api-key")) == ("secret", None)
