"""Side by side: what goes out, and the flows that httpx makes of requests: bodies, fields, redirects, cookies, authentication, hooks."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest

from aioreq.testing import Close, Reply, Request, Server

from .httpx_casts import Cast
from .httpx_stage import OK, Stage, same


def everything(server: Server) -> None:
    server.route("*", "ok")


BODIES: dict[str, dict[str, Any]] = {
    "none": {},
    "bytes": {"content": b"\x00body"},
    "text": {"content": "k\u00f6rper"},
    "empty": {"content": b""},
    "form": {"data": {"a": "1", "b": ["2", "\u00e4 &"]}},
    "JSON": {"json": {"a": [1, None, "\u00e4"]}},
    "JSON false": {"json": False},
    "large": {"content": b"x" * 3_000_000},
    "its own length": {"content": b"body", "headers": {"Content-Length": "4"}},
}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("body", ["none", "bytes", "empty"])
async def test_methods(cast: Cast, method: str, body: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, method, **BODIES[body])

    await same(cast, play, routes=everything)


@pytest.mark.parametrize("body", BODIES)
async def test_bodies(cast: Cast, body: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, "POST", "/upload?x=1", **BODIES[body])
            await stage.ask(client, "PUT", "/again", **BODIES[body])

    await same(cast, play, routes=everything)


async def test_a_multipart_form(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            files = {"one": ("a.txt", b"text", "text/plain"), "two": io.BytesIO(b"bytes" * 50_000)}
            boundary = {"Content-Type": "multipart/form-data; boundary=frontier"}
            await stage.ask(client, "POST", data={"field": "value"}, files=files, headers=boundary)

    await same(cast, play, routes=everything)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "9"}, {"Transfer-Encoding": "chunked"}], ids=str)
async def test_a_body_from_a_generator(cast: Cast, headers: dict[str, str]) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, "POST", content=stage.pieces(b"one", b"", b"two", b"six"), headers=headers)

    await same(cast, play, routes=everything)


@pytest.mark.parametrize("declared", ["3", "8", "100", "x"])
async def test_a_body_of_another_length(cast: Cast, declared: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, "POST", content=stage.pieces(b"one", b"two"), headers={"Content-Length": declared})
            await stage.ask(client, path="/next")

    different = None if declared == "x" else "errors of other packages"
    await same(cast, play, routes=everything, wire=False, different=different)


async def test_a_body_that_raises(async_cast: Cast) -> None:
    class OwnError(Exception):
        pass

    async def play(stage: Stage) -> None:
        async def pieces() -> Any:
            yield b"one"
            raise OwnError

        async with stage.client({"limits": stage.lib.Limits(max_connections=1)}) as client:
            for _ in range(3):
                await stage.ask(client, "POST", content=pieces())
            await stage.ask(client, path="/next")

    await same(async_cast, play, routes=everything, wire=False)


FIELDS: dict[str, list[tuple[bytes, bytes]]] = {
    "case and order": [(b"x-lower", b"1"), (b"X-UPPER", b"2"), (b"X-Mixed", b"3"), (b"aCCEPT", b"*/*")],
    "duplicates": [(b"X-A", b"1"), (b"x-b", b"2"), (b"x-a", b"3")],
    "its own Host": [(b"Host", b"other.example"), (b"X-A", b"1")],
    "host in small letters": [(b"X-A", b"1"), (b"host", b"other.example")],
    "latin-1": [(b"X-A", b"\xe4")],
    "UTF-8": [(b"X-A", b"\xc3\xa4")],
    "empty": [(b"X-A", b"")],
    "close": [(b"Connection", b"close")],
    "line feed": [(b"X-A", b"a\r\nX-B: b")],
    "null": [(b"X-A", b"a\0b")],
    "a name of two words": [(b"X A", b"1")],
    "no name": [(b"", b"1")],
    "spaces around": [(b"X-A", b" 1 ")],
    "expecting": [(b"Expect", b"100-continue")],
}


@pytest.mark.parametrize("name", FIELDS)
async def test_fields(cast: Cast, name: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, headers=FIELDS[name])
            await stage.ask(client, "POST", content=b"x", headers=FIELDS[name])

    await same(cast, play, routes=everything, different="fields as they are" if name == "spaces around" else None)


@pytest.mark.parametrize("method", ["get", "G ET", "", "G\r\nX: y"])
async def test_odd_methods(async_cast: Cast, method: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, method)

    await same(async_cast, play, routes=everything)


PATHS = [
    "",
    "/",
    "/a b",
    "/%7Ea/%2F?x=%20&y=a+b",
    "/\u00e4?\u00e4=\u00f6#frag",
    "/a/../b/./c",
    "//double",
    "/?",
    "/a?b?c",
    "/[x]|{y}",
    "/a;b=c",
]


@pytest.mark.parametrize("path", PATHS)
async def test_targets(cast: Cast, path: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, path=path)
            await stage.ask(client, path=path, params={"q": "1 2"})

    await same(cast, play, routes=everything)


@pytest.mark.parametrize("target", [b"*", b"/other?x", b"http://other.example/x", "/as-text"])
async def test_a_target_of_its_own(async_cast: Cast, target: Any) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, "OPTIONS", extensions={"target": target})

    await same(async_cast, play, routes=everything)


@pytest.mark.parametrize("url", ["ftp://host.example/", "unknown://x", "http://", "https:///path", "http://127.0.0.1:0/", "/relative"])
async def test_urls_that_cannot_be_asked(cast: Cast, url: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            with stage.trying(url):
                await stage.do(client.get, url)

    await same(cast, play)


# -- flows, which httpx drives


def flows(server: Server) -> None:
    @server.route("/moved/{status}")
    def moved(request: Request) -> Reply:
        return Reply(int(request.params["status"]), {"Location": "/there?x=1"}, "moved")

    server.route("/round", Reply(302, {"Location": "/round"}))
    server.route("/nowhere", Reply(302, {"Location": "http://[::1"}))
    server.route("/elsewhere", Reply(302, {"Location": "ftp://host.example/"}))
    server.route("/there", "arrived")
    server.route("/set", Reply(200, [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/sub"), ("Set-Cookie", "c=3; Max-Age=0")]))
    server.route("/sub/page", "page")

    @server.route("/basic")
    def basic(request: Request) -> Reply:
        wanted = "Basic " + base64.b64encode(b"ann:secret").decode()
        return Reply(200 if request.header("authorization") == wanted else 401, {"WWW-Authenticate": 'Basic realm="x"'}, "basic")

    @server.route("/digest")
    def digest(request: Request) -> Reply:
        challenge = {"WWW-Authenticate": 'Digest realm="x", nonce="abc", algorithm=MD5'}
        return Reply(200, {}, "digest") if request.header("authorization") else Reply(401, challenge, "wanted")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects(cast: Cast, method: str, status: int) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client(headers={"Authorization": "Bearer x"}) as client:
            options = {"content": b"body"} if method == "POST" else {}
            await stage.ask(client, method, f"/moved/{status}", follow_redirects=True, **options)
            await stage.ask(client, method, f"/moved/{status}", **options)

    await same(cast, play, routes=flows)


@pytest.mark.parametrize("path", ["/round", "/nowhere", "/elsewhere"])
async def test_redirects_that_lead_nowhere(cast: Cast, path: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client({"limits": stage.lib.Limits(max_connections=1)}, max_redirects=3, follow_redirects=True) as client:
            await stage.ask(client, path=path)
            await stage.ask(client, path="/there")

    await same(cast, play, routes=flows, different="when a connection is free" if path == "/nowhere" else None)


async def test_a_redirect_with_a_body_that_cannot_be_sent_again(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, "POST", "/moved/307", follow_redirects=True, content=stage.pieces(b"one"))

    await same(cast, play, routes=flows)


async def test_cookies(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client(cookies={"own": "0"}) as client:
            for path in ("/set", "/there", "/sub/page"):
                await stage.ask(client, path=path)
            stage.say("jar", sorted((cookie.name, cookie.value, cookie.path) for cookie in client.cookies.jar))

    await same(cast, play, routes=flows)


@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_basic_authentication(cast: Cast, password: str) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client(auth=("ann", password)) as client:
            await stage.ask(client, path="/basic")
            await stage.ask(client, path="/basic", auth=None)

    await same(cast, play, routes=flows)


async def test_digest_authentication(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client(auth=stage.lib.DigestAuth("ann", "secret")) as client:
            await stage.ask(client, path="/digest")
            await stage.ask(client, "POST", "/digest", content=b"body")

    await same(cast, play, routes=flows)


async def test_hooks_see_the_same(async_cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async def asked(request: Any) -> None:
            stage.say("asked", request.method, request.url, request.headers.raw, sorted(request.extensions))

        async def answered(response: Any) -> None:
            stage.say("answered", response.status_code, response.is_closed, response.is_stream_consumed)

        async with stage.client(event_hooks={"request": [asked], "response": [answered]}, follow_redirects=True) as client:
            await stage.ask(client, path="/moved/302")

    await same(async_cast, play, routes=flows)


async def test_an_answer_before_the_body_is_sent(async_cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            await stage.ask(client, "POST", "/refused", content=b"x" * 5_000_000)

    def routes(server: Server) -> None:
        server.script(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", path="/refused", on="head")

    await same(async_cast, play, routes=routes, wire=False)


async def test_raise_for_status(cast: Cast) -> None:
    async def play(stage: Stage) -> None:
        async with stage.client() as client:
            response = await stage.do(client.get, stage.url + "/nothing-here")
            with stage.trying("status"):
                response.raise_for_status()
            stage.say(response.text, response.elapsed.total_seconds() > 0)

    await same(cast, play, [(OK.replace(b"200 OK", b"404 Not Found"), Close())])
