"""ClientSession: what its arguments send, what holds for all of its requests, how it ends. Each test runs on the face and on aiohttp."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

import aioreq.compat.aiohttp as aiohttp
from aioreq.compat import aiohttp as face
from aioreq.testing import Server


def header(echoed: Any, name: str) -> str | None:
    values = [value for own, value in echoed["headers"] if own.lower() == name.lower()]
    assert len(values) <= 1, values
    return values[0] if values else None


async def test_get(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session, session.get(web.url + "/a?b=c") as response:
        assert response.status == 200
        echoed = await response.json()
    assert (echoed["method"], echoed["path"], echoed["version"]) == ("GET", "/a?b=c", "1.1")
    assert header(echoed, "Accept") == "*/*"
    assert header(echoed, "Content-Type") is None
    assert header(echoed, "Content-Length") is None
    assert {"gzip", "deflate"} <= {coding.strip() for coding in (header(echoed, "Accept-Encoding") or "").split(",")}
    assert (header(echoed, "User-Agent") or "").startswith("Python/3.")


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
async def test_verbs(lib: Any, web: Any, method: str) -> None:
    async with lib.ClientSession() as session, getattr(session, method)(web.url) as response:
        echoed = await response.json()
    assert echoed["method"] == method.upper()
    with_content = method in ("post", "put", "patch")
    assert header(echoed, "Content-Type") == ("application/octet-stream" if with_content else None)
    assert header(echoed, "Content-Length") == ("0" if with_content or method == "delete" else None)


async def test_a_verb_is_awaited_or_entered(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session:
        response = await session.request("get", web.url)
        assert (await response.json())["method"] == "GET"
        response = await session.head(web.url)
        assert await response.read() == b""
        made = session.get(web.url)
        assert asyncio.iscoroutine(made)
        await asyncio.wait_for(asyncio.ensure_future(made), 10)
        never = session.get(web.url)
        never.close()


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": "1", "b": "x y"}, "a=1&b=x+y"),
        ([("a", "1"), ("a", "2")], "a=1&a=2"),
        ({"a": 1, "b": 1.5}, "a=1&b=1.5"),
        ({"a": ["1", "2"]}, "a=1&a=2"),
        ("a=b&c=%2F", "a=b&c=%252F"),
        ({"a": "&=+"}, "a=%26%3D%2B"),
        ({"ü": "ñ"}, "%C3%BC=%C3%B1"),
        ({}, ""),
        (None, ""),
    ],
)
async def test_params(lib: Any, web: Any, params: Any, query: str) -> None:
    async with lib.ClientSession() as session:
        async with session.get(web.url + "/p", params=params) as response:
            assert (await response.json())["path"] == "/p" + ("?" + query if query else "")
            assert str(response.url) == web.url + "/p" + ("?" + query if query else "")
        async with session.get(web.url + "/p?z=0#f", params=params) as response:
            assert (await response.json())["path"] == "/p?z=0" + ("&" + query if query else "")
            assert response.url.fragment == ""
            assert response.real_url.fragment == "f"


@pytest.mark.parametrize("given", ["/a b", "/a%20b", "/%7Eme", "/ü?q=ü", "/x/../y/./z", "/a?b=%2F%3F", "", "/#frag"])
async def test_urls_are_quoted_as_yarl_does(lib: Any, web: Any, given: str) -> None:
    async with lib.ClientSession() as session, session.get(web.url + given) as response:
        echoed = await response.json()
        assert echoed["path"] == URL(web.url + given).raw_path_qs
        assert response.real_url == URL(web.url + given)
        assert response.url == URL(web.url + given).with_fragment(None)


async def test_urls_that_are_encoded_stay(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session, session.get(URL(web.url + "/%7Eme?a=%2F", encoded=True)) as response:
        assert (await response.json())["path"] == "/%7Eme?a=%2F"


async def test_base_url(lib: Any, web: Any) -> None:
    async with lib.ClientSession(web.url + "/api/") as session:
        for given, path in (("x", "/api/x"), ("/y", "/y"), ("../z", "/z"), ("x?q=1", "/api/x?q=1"), (web.url + "/full", "/full")):
            async with session.get(given) as response:
                assert (await response.json())["path"] == path
    with pytest.raises(ValueError, match="trailing '/'"):
        lib.ClientSession(web.url + "/api")


async def test_headers(lib: Any, web: Any) -> None:
    async with lib.ClientSession(headers={"X-A": "1", "X-B": "2"}) as session:
        assert session.headers["x-a"] == "1"
        async with session.get(web.url, headers={"x-b": "3", "X-C": "4"}) as response:
            echoed = await response.json()
        assert [header(echoed, name) for name in ("X-A", "X-B", "X-C")] == ["1", "3", "4"]
        session.headers["X-A"] = "5"
        session.headers.update({"X-D": "6"})
        async with session.get(web.url) as response:
            echoed = await response.json()
        assert [header(echoed, name) for name in ("X-A", "X-B", "X-D")] == ["5", "2", "6"]
        async with session.get(web.url, headers=[("X-A", "7"), ("X-A", "8")]) as response:
            pairs = (await response.json())["headers"]
        assert [value for name, value in pairs if name == "X-A"] == ["7", "8"]
        async with session.get(web.url, headers=CIMultiDict([("User-Agent", "me"), ("accept", "text/html")])) as response:
            echoed = await response.json()
        assert (header(echoed, "User-Agent"), header(echoed, "Accept")) == ("me", "text/html")
        async with session.get(web.url, headers={"Host": "elsewhere.example"}) as response:
            assert header(await response.json(), "Host") == "elsewhere.example"


async def test_skip_auto_headers(lib: Any, web: Any) -> None:
    async with lib.ClientSession(skip_auto_headers=["user-agent"]) as session:
        assert session.skip_auto_headers == frozenset({"user-agent"})
        async with session.post(web.url, data=b"x", skip_auto_headers=["Content-Type", "Accept"]) as response:
            echoed = await response.json()
        assert [header(echoed, name) for name in ("User-Agent", "Content-Type", "Accept")] == [None] * 3
        async with session.get(web.url, headers={"User-Agent": "me"}) as response:
            assert header(await response.json(), "User-Agent") == "me"


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\0b"])
async def test_headers_of_two_lines_are_refused(lib: Any, web: Any, value: str) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(ValueError):
            await session.get(web.url, headers={"X-A": value})


async def test_json(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session:
        values: tuple[Any, ...] = ({"a": [1, "ü", None]}, {}, [], 0, "", False)
        for value in values:
            async with session.post(web.url, json=value) as response:
                echoed = await response.json()
            assert echoed["body"] == json.dumps(value)
            assert header(echoed, "Content-Type") == "application/json"
        with pytest.raises(ValueError, match="data and json"):
            await session.post(web.url, data=b"", json={})
        async with session.post(web.url, json=None) as response:
            assert (await response.json())["body"] == ""
        async with session.post(web.url, json=[1], headers={"Content-Type": "application/vnd.own+json"}) as response:
            assert header(await response.json(), "Content-Type") == "application/vnd.own+json"
    async with (
        lib.ClientSession(json_serialize=lambda value: "text " + json.dumps(value)) as session,
        session.post(web.url, json=[1]) as response,
    ):
        assert (await response.json())["body"] == "text [1]"
        assert session.json_serialize([1]) == "text [1]"
    async with (
        lib.ClientSession(json_serialize_bytes=lambda value: b"bytes") as session,
        session.post(web.url, json=[1]) as response,
    ):
        assert (await response.json())["body"] == "bytes"


@pytest.mark.parametrize(
    ("data", "body", "content_type"),
    [
        (b"bytes", "bytes", "application/octet-stream"),
        (bytearray(b"array"), "array", "application/octet-stream"),
        ("text", "text", "text/plain; charset=utf-8"),
        ({"a": "1", "b": "x y"}, "a=1&b=x+y", "application/x-www-form-urlencoded"),
        ([("a", "1"), ("a", "2")], "a=1&a=2", "application/x-www-form-urlencoded"),
        (b"", "", "application/octet-stream"),
    ],
)
async def test_data(lib: Any, web: Any, data: Any, body: str, content_type: str) -> None:
    async with lib.ClientSession() as session, session.post(web.url, data=data) as response:
        echoed = await response.json()
    assert (echoed["body"], header(echoed, "Content-Type"), header(echoed, "Content-Length")) == (body, content_type, str(len(body)))


async def test_a_body_by_pieces(lib: Any, web: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    async with lib.ClientSession() as session, session.post(web.url, data=pieces()) as response:
        echoed = await response.json()
    assert (echoed["body"], header(echoed, "Transfer-Encoding"), header(echoed, "Content-Length")) == ("one two", "chunked", None)


async def test_a_response_is_the_body_of_another_request(lib: Any, web: Any) -> None:
    async def large(request: Any) -> Any:
        return web.lib.Response(body=b"x" * 300_000)

    web.on("/large", large)
    async with (
        lib.ClientSession() as session,
        session.get(web.url + "/large") as source,
        session.post(web.url, data=source.content) as response,
    ):
        assert len((await response.json())["body"]) == 300_000


@pytest.mark.parametrize(("compress", "coding"), [(True, "deflate"), ("gzip", "gzip"), ("deflate", "deflate")])
async def test_compress(lib: Any, web: Any, compress: Any, coding: str) -> None:
    async with lib.ClientSession() as session:
        async with session.post(web.url, data=b"x" * 1000, compress=compress) as response:
            echoed = await response.json()
        assert (echoed["body"], header(echoed, "Content-Encoding")) == ("x" * 1000, coding)
        with pytest.raises(ValueError, match="Content-Encoding"):
            await session.post(web.url, data=b"x", compress=compress, headers={"Content-Encoding": "br"})
        async with session.post(web.url, data=b"", compress=compress) as response:
            assert header(await response.json(), "Content-Encoding") is None


async def test_chunked(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session:
        async with session.post(web.url, data=b"whole", chunked=True) as response:
            echoed = await response.json()
        assert (echoed["body"], header(echoed, "Transfer-Encoding"), header(echoed, "Content-Length")) == ("whole", "chunked", None)
        with pytest.raises(ValueError, match="chunked can not be set"):
            await session.post(web.url, data=b"x", chunked=True, headers={"Content-Length": "1"})
        with pytest.raises(ValueError, match="chunked can not be set"):
            await session.post(web.url, data=b"x", chunked=True, headers={"Transfer-Encoding": "chunked"})


async def test_expect100(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session, session.post(web.url, data=b"body", expect100=True) as response:
        echoed = await response.json()
    assert (echoed["body"], header(echoed, "Expect")) == ("body", "100-continue")


async def test_http_1_0(lib: Any, web: Any) -> None:
    async with lib.ClientSession(version=lib.HttpVersion10) as session:
        assert session.version == (1, 0)
        for _ in range(2):
            async with session.get(web.url) as response:
                echoed = await response.json()
            assert (echoed["version"], header(echoed, "Connection")) == ("1.0", "keep-alive")


async def test_cookies(lib: Any, web: Any) -> None:
    host = web.url.replace("127.0.0.1", "localhost")
    async with lib.ClientSession(cookies={"mine": "0"}) as session:
        async with session.get(host + "/?set=a=1&set=b=2") as response:
            assert header(await response.json(), "Cookie") == "mine=0"
            assert {name: morsel.value for name, morsel in response.cookies.items()} == {"a": "1", "b": "2"}
        async with session.get(host, cookies={"b": "3", "c": "4"}) as response:
            assert set((header(await response.json(), "Cookie") or "").split("; ")) == {"mine=0", "a=1", "b=3", "c=4"}
        async with session.get(host) as response:
            assert set((header(await response.json(), "Cookie") or "").split("; ")) == {"mine=0", "a=1", "b=2"}
        assert {morsel.key: morsel.value for morsel in session.cookie_jar} == {"mine": "0", "a": "1", "b": "2"}


async def test_a_cookie_field_goes_out_beside_the_cookies(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session, session.get(web.url, headers={"Cookie": "a=1; b=2"}, cookies={"c": "3"}) as response:
        assert set((header(await response.json(), "Cookie") or "").split("; ")) == {"a=1", "b=2", "c=3"}


async def test_a_jar_that_keeps_nothing(lib: Any, web: Any) -> None:
    async with lib.ClientSession(cookie_jar=lib.DummyCookieJar()) as session:
        for _ in range(2):
            async with session.get(web.url.replace("127.0.0.1", "localhost") + "/?set=a=1", cookies={"b": "2"}) as response:
                assert header(await response.json(), "Cookie") == "b=2"


async def test_auth(lib: Any, web: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        auth = lib.BasicAuth("me", "secret")
        async with lib.ClientSession() as session:
            async with session.get(web.url, auth=auth) as response:
                assert header(await response.json(), "Authorization") == auth.encode()
            async with session.get(web.url.replace("//", "//me:s%40cret@")) as response:
                assert header(await response.json(), "Authorization") == lib.BasicAuth("me", "s@cret").encode()
                assert response.url == URL(web.url + "/")
            with pytest.raises(ValueError, match="AUTHORIZATION header"):
                await session.get(web.url, auth=auth, headers={"Authorization": "Bearer x"})
            with pytest.raises(ValueError, match="credentials encoded in URL"):
                await session.get(web.url.replace("//", "//me:secret@"), auth=auth)
            with pytest.raises(TypeError):
                await session.get(web.url, auth=("me", "secret"))
        async with lib.ClientSession(auth=auth) as session, session.get(web.url) as response:
            assert header(await response.json(), "Authorization") == auth.encode()
            assert session.auth == auth


async def test_auth_is_deprecated(lib: Any, web: Any) -> None:
    with pytest.warns(DeprecationWarning, match="BasicAuth"):
        auth = lib.BasicAuth("me", "secret")
    with pytest.warns(DeprecationWarning, match="'auth' parameter"):
        session = lib.ClientSession(auth=auth)
    async with session:
        with pytest.warns(DeprecationWarning, match="'auth' parameter"):
            await (await session.get(web.url, auth=auth)).read()


async def test_raise_for_status(lib: Any, web: Any) -> None:
    async def missing(request: Any) -> Any:
        return web.lib.Response(status=404, reason="Gone Fishing", text="no")

    seen = []

    async def own(response: Any) -> None:
        seen.append(response.status)
        if response.status == 404:
            raise RuntimeError(await response.text())

    web.on("/missing", missing)
    async with lib.ClientSession(raise_for_status=True) as session:
        assert session.raise_for_status is True
        with pytest.raises(lib.ClientResponseError) as caught:
            await session.get(web.url + "/missing")
        assert (caught.value.status, caught.value.message) == (404, "Gone Fishing")
        async with session.get(web.url + "/missing", raise_for_status=False) as response:
            assert response.status == 404
            with pytest.raises(lib.ClientResponseError):
                response.raise_for_status()
        with pytest.raises(RuntimeError, match="no"):
            await session.get(web.url + "/missing", raise_for_status=own)
    async with lib.ClientSession(raise_for_status=own) as session, session.get(web.url) as response:
        assert (response.status, seen) == (200, [404, 200])


async def test_auto_decompress(lib: Any, web: Any) -> None:
    async def compressed(request: Any) -> Any:
        response = web.lib.Response(body=b"x" * 1000)
        response.enable_compression(web.lib.ContentCoding.gzip)
        return response

    web.on("/gzip", compressed)
    async with lib.ClientSession() as session:
        async with session.get(web.url + "/gzip") as response:
            assert (await response.read(), response.headers["Content-Encoding"]) == (b"x" * 1000, "gzip")
        async with session.get(web.url + "/gzip", auto_decompress=False) as response:
            assert (await response.read())[:2] == b"\x1f\x8b"
    async with lib.ClientSession(auto_decompress=False) as session, session.get(web.url + "/gzip") as response:
        assert (await response.content.read())[:2] == b"\x1f\x8b"


async def test_limits_of_the_head(lib: Any, web: Any) -> None:
    async def long(request: Any) -> Any:
        return web.lib.Response(headers={"X-Long": "x" * 500, **{f"X-{i}": "1" for i in range(20)}})

    web.on("/long", long)
    async with lib.ClientSession() as session:
        for limit in ({"max_headers": 10}, {"max_field_size": 200}):
            with pytest.raises(lib.ClientResponseError) as caught:
                await session.get(web.url + "/long", **limit)
            assert caught.value.status == 400
        async with session.get(web.url + "/long", max_headers=50, max_field_size=600, max_line_size=600) as response:
            assert len(response.headers["X-Long"]) == 500


async def test_request(lib: Any, web: Any) -> None:
    async with lib.request("post", web.url, data=b"x", headers={"X-A": "1"}) as response:
        echoed = await response.json()
    assert (echoed["method"], echoed["body"], header(echoed, "X-A")) == ("POST", "x", "1")
    with pytest.raises(lib.ClientConnectorError):
        async with lib.request("GET", "http://127.0.0.1:1/"):
            pass


async def test_closing(lib: Any, web: Any) -> None:
    session = lib.ClientSession()
    connector = session.connector
    assert (session.closed, connector.closed, session.connector_owner) == (False, False, True)
    await session.close()
    await session.close()
    assert (session.closed, connector.closed, session.connector) == (True, True, None)
    with pytest.raises(RuntimeError, match="Session is closed"):
        await session.get(web.url)


async def test_a_shared_connector(lib: Any, web: Any) -> None:
    async with lib.TCPConnector() as connector:
        async with lib.ClientSession(connector=connector, connector_owner=False) as session:
            await (await session.get(web.url)).read()
        assert session.closed
        assert not connector.closed
        session = lib.ClientSession(connector=connector)
        session.detach()
        assert session.closed
        assert not connector.closed
        session = lib.ClientSession(connector=connector)
    assert session.closed


async def test_one_that_nobody_closed(lib: Any, web: Any) -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    session = lib.ClientSession()
    connector = session.connector
    with pytest.warns(ResourceWarning, match="Unclosed client session"):
        del session
    assert told == ["Unclosed client session"]
    await connector.close()


async def test_subclasses_are_discouraged(lib: Any) -> None:
    with pytest.warns(DeprecationWarning, match="Inheritance class Own from ClientSession is discouraged"):
        type("Own", (lib.ClientSession,), {})


async def test_sessions_want_async_with(lib: Any) -> None:
    async with lib.ClientSession() as session:
        with pytest.raises(TypeError, match="async with"), session:
            pass


@pytest.mark.no_loop
def test_a_session_wants_a_running_loop(lib: Any) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        lib.ClientSession()


async def test_connections_are_reused(lib: Any, server: Server) -> None:
    async with lib.ClientSession() as session:
        for _ in range(3):
            async with session.get(server.url + "/get") as response:
                await response.read()
    assert server.accepted == 1


async def test_fields_that_belong_to_a_request(lib: Any, web: Any) -> None:
    async with lib.ClientSession(headers={"Host": "elsewhere.example"}) as session, session.get(web.url) as response:
        assert header(await response.json(), "Host") == "elsewhere.example"


async def test_http_1_0_has_no_chunks() -> None:
    """Which aiohttp sends all the same (RFC 9112 section 6.1)."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    async with Server() as server, face.ClientSession(version=face.HttpVersion10) as session:
        with pytest.raises(face.ClientConnectionError, match="no chunks"):
            await session.post(server.url, data=pieces())
        assert server.requests == []


@pytest.mark.parametrize("url", ["http://2130706433/", "http://127.1/", "http://a b/", "http://host:0/"])
async def test_hosts_that_everybody_reads_differently(url: str) -> None:
    """By aiohttp they are looked up."""
    async with face.ClientSession() as session:
        with pytest.raises(face.InvalidUrlClientError):
            await session.get(url)


async def test_a_session_of_a_user_with_types(web: Any) -> None:
    session: aiohttp.ClientSession
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        response: aiohttp.ClientResponse
        async with session.post(web.url, json={"a": 1}, allow_redirects=False, headers={"X": "1"}) as response:
            status: int = response.status
            text: str = await response.text()
        response = await session.get(web.url, params={"a": "b"}, timeout=aiohttp.ClientTimeout(sock_read=5))
        body: bytes = await response.read()
    assert (status, bool(text), bool(body)) == (200, True, True)
