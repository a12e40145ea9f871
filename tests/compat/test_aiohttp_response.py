"""ClientResponse: what it tells of the head, how its body is read, when it lets go. Each test runs on the face and on aiohttp."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from yarl import URL

from aioreq.compat import aiohttp as face
from aioreq.testing import Close, Server, Stall


def answer(body: bytes = b"", *fields: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A response as it stands on the wire."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_the_head(lib: Any) -> None:
    async with Server() as server:
        server.script(answer(b"{}", "Content-Type: application/json; charset=UTF-8", "X-A: 1", "x-a: 2", status="201 Made It"), path="/x")
        url = server.url + "/x?a=b#frag"
        async with lib.ClientSession() as session, session.get(url, headers={"X-Q": "1"}) as response:
            assert isinstance(response, lib.ClientResponse)
            assert (response.status, response.reason, response.ok, response.method) == (201, "Made It", True, "GET")
            assert response.version == lib.HttpVersion11
            assert (response.url, response.real_url) == (URL(server.url + "/x?a=b"), URL(url))
            assert response.host == "127.0.0.1"
            assert response.headers.getall("X-A") == ["1", "2"]
            assert (b"x-a", b"2") in response.raw_headers
            assert isinstance(response.raw_headers, tuple)
            assert (response.content_type, response.charset, response.content_length) == ("application/json", "UTF-8", 2)
            assert response.history == ()
            info = response.request_info
            assert (info.url, info.real_url, info.method) == (response.url, response.real_url, "GET")
            assert (info.headers["X-Q"], info.headers["Host"]) == ("1", server.url.removeprefix("http://"))
            assert repr(response).splitlines()[0] == f"<ClientResponse({server.url}/x?a=b) [201 Made It]>"
            assert await response.read() == b"{}"


async def test_fields_that_are_not_there(lib: Any) -> None:
    async with Server() as server:
        server.script(b"HTTP/1.0 404\r\n\r\n", Close(), path="/")
        async with lib.ClientSession() as session, session.get(server.url) as response:
            assert (response.status, response.reason, response.ok) == (404, "", False)
            assert response.version == lib.HttpVersion10
            assert (response.content_type, response.charset, response.content_length) == ("application/octet-stream", None, None)
            assert response.content_disposition is None
            assert (len(response.links), len(response.cookies)) == (0, 0)


async def test_cookies_links_and_disposition(lib: Any) -> None:
    async with Server() as server:
        server.script(
            answer(
                b"",
                "Set-Cookie: a=1; Path=/; HttpOnly",
                'Set-Cookie: b="x y"; Domain=example.com',
                'Link: </next>; rel="next"; title=two, <http://other.example/>; rel=prev',
                "Link: <third>",
                "Content-Disposition: attachment; filename=\"naïve.txt\"; filename*=utf-8''na%C3%AFve.txt",
            ),
            path="/a/b",
        )
        async with lib.ClientSession() as session, session.get(server.url + "/a/b") as response:
            assert {name: (morsel.value, morsel["path"]) for name, morsel in response.cookies.items()} == {
                "a": ("1", "/"),
                "b": ("x y", ""),
            }
            assert response.cookies["a"]["httponly"] is True
            links = response.links
            assert links["next"]["url"] == URL(server.url + "/next")
            assert links["next"]["title"] == "two"
            assert links["prev"]["url"] == URL("http://other.example/")
            assert links["third"]["url"] == URL(server.url + "/a/third")
            disposition = response.content_disposition
            assert (disposition.type, disposition.filename) == ("attachment", "naïve.txt")
            assert "filename*" in disposition.parameters


@pytest.mark.parametrize(
    ("content_type", "body", "text", "encoding"),
    [
        ("text/plain", "ü".encode(), "ü", "utf-8"),
        ("text/plain; charset=latin-1", "ü".encode("latin-1"), "ü", "iso8859-1"),
        ('text/plain; charset="utf-16"', "ü".encode("utf-16"), "ü", "utf-16"),
        ("text/plain; charset=nonsense", "ü".encode(), "ü", "utf-8"),
        ("application/json", b"[1]", "[1]", "utf-8"),
        ("application/rdap+json", b"[1]", "[1]", "utf-8"),
        ("", b"", "", "utf-8"),
    ],
)
async def test_text(lib: Any, content_type: str, body: bytes, text: str, encoding: str) -> None:
    async with Server() as server:
        server.script(answer(body, *[f"Content-Type: {content_type}"] * bool(content_type)), path="/")
        async with lib.ClientSession() as session, session.get(server.url) as response:
            assert await response.text() == text
            assert response.get_encoding() == encoding


async def test_text_asked_for(lib: Any) -> None:
    async with Server() as server:
        server.script(answer(b"\xff", "Content-Type: text/plain"), times=20, path="/")
        async with (
            lib.ClientSession(fallback_charset_resolver=lambda response, body: "latin-1") as session,
            session.get(server.url) as response,
        ):
            with pytest.raises(RuntimeError, match="not yet read body"):
                response.get_encoding()
            assert await response.text() == "ÿ"
            assert await response.text(encoding="cp1251") == "я"
            with pytest.raises(UnicodeDecodeError):
                await response.text("utf-8")
            assert await response.text("utf-8", errors="replace") == "\ufffd"


async def test_json(lib: Any) -> None:
    async with Server() as server:
        server.script(answer(b' {"a": 1} ', "Content-Type: application/json"), path="/json")
        server.script(answer(b"[]", "Content-Type: application/vnd.api+json; charset=utf-8"), path="/vendor")
        server.script(answer(b"[1]", "Content-Type: text/html"), path="/html")
        server.script(answer(b" ", "Content-Type: application/json"), path="/empty")
        server.script(answer(b"{", "Content-Type: application/json"), path="/bad")
        async with lib.ClientSession() as session:
            for path, value in (("/json", {"a": 1}), ("/vendor", []), ("/empty", None)):
                async with session.get(server.url + path) as response:
                    assert await response.json() == value
                    assert await response.json() == value
            async with session.get(server.url + "/html") as response:
                with pytest.raises(lib.ContentTypeError) as caught:
                    await response.json()
                assert (caught.value.status, caught.value.message) == (200, "Attempt to decode JSON with unexpected mimetype: text/html")
                assert caught.value.request_info.url == response.url
                assert caught.value.headers["Content-Type"] == "text/html"
                assert await response.json(content_type=None) == [1]
                assert await response.json(content_type="text/html") == [1]
                assert await response.json(content_type=None, loads=len, encoding="ascii") == 3
            async with session.get(server.url + "/bad") as response:
                with pytest.raises(json.JSONDecodeError):
                    await response.json()


async def test_a_body_is_kept(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session:
        response = await session.get(web.url)
        body = await response.read()
        assert (await response.read(), await response.text(), response.closed) == (body, body.decode(), True)
        assert response.connection is None
        assert await response.content.read() == b""
        response.release()
        with pytest.raises(lib.ClientConnectionError, match="Connection closed"):
            await response.read()
        assert await response.text() == body.decode()


async def test_one_that_was_let_go_of_is_not_read(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session:
        async with session.get(web.url) as response:
            pass
        for read in (response.read, response.text, response.json, response.content.read, response.content.readany):
            with pytest.raises(lib.ClientConnectionError, match="Connection closed"):
                await read()
        for let_go in ("release", "close"):
            response = await session.get(web.url)
            getattr(response, let_go)()
            getattr(response, let_go)()
            assert response.closed
            with pytest.raises(lib.ClientConnectionError, match="Connection closed"):
                await response.read()
        response = await session.get(web.url)
        assert await response.release() is None


async def test_a_body_that_is_still_coming(lib: Any) -> None:
    async with Server() as server:
        server.script(answer(b"part", length=1000), Stall(), path="/")
        async with lib.ClientSession() as session:
            async with session.get(server.url) as response:
                assert not response.closed
                assert response.connection is not None
                assert response.connection.transport.get_extra_info("peername")[1] == server.port
                assert await response.content.readany() == b"part"
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(response.content.readany(), 0.01)
            assert response.closed
            assert response.connection is None


@pytest.mark.parametrize("body", [b"x" * 100, b"x" * 1_000_000])
async def test_what_is_not_read_holds_no_connection(lib: Any, body: bytes) -> None:
    async with Server() as server:
        server.script(answer(body), times=20, path="/")
        async with lib.ClientSession(connector=lib.TCPConnector(limit=1)) as session:
            for _ in range(3):
                async with session.get(server.url):
                    pass
                response = await session.get(server.url)
                response.close()


async def test_one_that_nobody_holds_holds_no_connection() -> None:
    """Not so with aiohttp, whose response hangs together with its reader."""
    async with Server() as server:
        server.script(answer(b"x" * 1_000_000), times=3, path="/")
        async with face.ClientSession(connector=face.TCPConnector(limit=1)) as session:
            for _ in range(3):
                response = await session.get(server.url)
                del response


async def test_raise_for_status(lib: Any) -> None:
    async with Server() as server:
        server.script(answer(b"why", "X-A: 1", status="503 Down"), times=20, path="/")
        async with lib.ClientSession() as session:
            async with session.get(server.url) as response:
                with pytest.raises(lib.ClientResponseError) as caught:
                    response.raise_for_status()
                error = caught.value
                assert (error.status, error.message, error.headers["X-A"], error.history) == (503, "Down", "1", ())
                assert error.request_info == response.request_info
                assert str(error) == f"503, message='Down', url='{server.url}'"
                assert await response.read() == b"why"
            response = await session.get(server.url)
            with pytest.raises(lib.ClientResponseError):
                response.raise_for_status()
            assert response.closed


async def test_attributes_may_be_set(lib: Any, web: Any) -> None:
    async with lib.ClientSession() as session, session.get(web.url) as response:
        response.status = 418
        assert not response.ok
        response._body = b"other"
        assert await response.text() == "other"


async def test_a_response_class_of_ones_own(lib: Any, web: Any) -> None:
    class Own(lib.ClientResponse):  # type: ignore[misc]
        async def json(self, **kwargs: Any) -> Any:
            return {"own": (await super().json(**kwargs))["method"]}

    async with lib.ClientSession(response_class=Own) as session, session.get(web.url) as response:
        assert type(response) is Own
        assert await response.json() == {"own": "GET"}
        assert response.request_info.method == "GET"


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["undeclared", "undeclared, 1.0", "a length", "chunked", "none"],
)
async def test_not_read_until_the_end_of_the_connection(lib: Any, wire: bytes, body: bytes) -> None:
    async with Server() as server, lib.ClientSession(connector=lib.TCPConnector(force_close=True)) as session:
        server.script(wire, Stall(), path="/", times=2)
        async with session.get(server.url, read_until_eof=False) as response:
            assert await response.read() == body
        async with session.get(server.url, read_until_eof=False) as response:
            assert (await response.content.read(), response.content.at_eof()) == (body, True)


async def test_what_comes_where_no_body_is_wanted_is_no_other_response() -> None:
    async with Server() as server, face.ClientSession() as session:
        server.script(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Never\r\n\r\n", Stall(), path="/")
        for expected in (200, 404):
            async with session.get(server.url, read_until_eof=False) as response:
                assert (response.status, await response.read() == b"") == (expected, expected == 200)


@pytest.mark.parametrize("middlewares", [False, True], ids=["plain", "middlewares"])
async def test_a_class_of_ones_own_is_started(lib: Any, server: Server, middlewares: bool) -> None:
    """Before anybody else sees the response, once."""

    class Own(lib.ClientResponse):  # type: ignore[misc, name-defined, unused-ignore]
        starts = 0

        async def start(self, connection: Any) -> Any:
            started = await super().start(connection)
            self.starts += 1
            return started

    async def seeing(request: Any, handler: Any) -> Any:
        response = await handler(request)
        assert response.starts == 1
        return response

    links = (seeing,) if middlewares else ()
    async with lib.ClientSession(response_class=Own, middlewares=links) as session, session.get(server.url) as response:
        assert (type(response), response.starts) == (Own, 1)
