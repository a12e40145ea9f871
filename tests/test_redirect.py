"""Redirects (RFC 9110 section 15.4): what is asked next, with which body, how chains end, and what errors tell about them."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import io
import pickle
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import aioreq
from aioreq import Client
from aioreq.request_options import RequestOptions
from aioreq.testing import Pause, ReadRequest, Reply, Server
from aioreq.testing import Request as Received

REDIRECTS = (301, 302, 303, 307, 308)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def redirect(server: Server, location: str, status: int = 302, path: str = "/start") -> str:
    """The URL of a redirect to `location`."""
    server.route(path, Reply(status, [("Location", location)]))
    return server.url + path


# -- what is asked next


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", REDIRECTS)
async def test_method_and_body(server: Server, client: Client, status: int, method: str) -> None:
    keeps_method = status in (307, 308) or method == "HEAD" or (status in (301, 302) and method != "POST")
    fields = {"Content-Type": "text/x", "Content-Language": "en", "Repr-Digest": "sha-256=:d:", "X-Other": "stays"}
    response = await client.request(method, redirect(server, "/anything", status), content=b"body", headers=fields)
    first, second = server.requests
    assert (first.method, first.body) == (method, b"body")
    assert second.method == response.request.method == (method if keeps_method else "GET")
    assert second.body == (b"body" if keeps_method else b"")
    described = [second.header(name) for name in ("content-type", "content-language", "repr-digest", "content-length")]
    assert described == (["text/x", "en", "sha-256=:d:", "4"] if keeps_method else [None] * 4)
    assert second.header("transfer-encoding") is None
    assert second.header("x-other") == "stays"
    assert [earlier.status for earlier in response.redirects] == [status]


@pytest.mark.parametrize("status", [300, 304, 305, 306, 200, 201, 404])
async def test_what_isnt_followed(server: Server, client: Client, status: int) -> None:
    response = await client.get(redirect(server, "/get", status))
    assert (response.status, response.redirects, len(server.requests)) == (status, (), 1)


@pytest.mark.parametrize("fields", [[], [("Location", "")], [("Location", ""), ("Location", "  ")]], ids=["none", "empty", "two empty"])
async def test_a_redirect_without_a_location_is_the_answer(server: Server, client: Client, fields: list[tuple[str, str]]) -> None:
    server.route("/start", Reply(302, fields, body="look around"))
    response = await client.get(server.url + "/start")
    assert (response.status, response.text, response.redirects) == (302, "look around", ())


async def test_several_locations(server: Server, client: Client) -> None:
    server.route("/same", Reply(302, [("Location", "/get"), ("location", "/get"), ("Location", "")]))
    assert (await client.get(server.url + "/same")).url.path == "/get"
    server.route("/start", Reply(302, [("Location", "/get"), ("LOCATION", "/id/secret")]))
    with pytest.raises(aioreq.RemoteProtocolError, match=r"/start redirects \(302\) to 2 places at once") as caught:
        await client.get(server.url + "/start")
    assert [earlier.status for earlier in caught.value.redirects] == [302]
    assert [sent.path for sent in server.requests] == ["/same", "/get", "/start"]


async def test_following_may_be_left_to_the_caller(server: Server, client: Client) -> None:
    server.route("/start", Reply(302, [("Location", "/get")], "look there"))
    response = await client.get(server.url + "/start", follow_redirects=False)
    assert (response.status, response.headers["location"], response.text) == (302, "/get", "look there")
    async with client.stream("GET", server.url + "/start", follow_redirects=False) as streamed:
        assert await streamed.read() == b"look there"
    assert server.accepted == 1


@pytest.mark.parametrize(
    ("start", "location", "target"),
    [
        ("/a/b", "/c", "/c"),
        ("/a/b", "c", "/a/c"),
        ("/a/b/", "c", "/a/b/c"),
        ("/a/b", "../c", "/c"),
        ("/a/b", "../../../c", "/c"),
        ("/a/b", "./c/./d/../e", "/a/c/e"),
        ("/a/b", "/c/..", "/"),
        ("/a/b", "?q=1", "/a/b?q=1"),
        ("/a/b?q=0", "#top", "/a/b?q=0"),
        ("/a/b?q=0", "?", "/a/b?"),
        ("/a/b?q=0", "c", "/a/c"),
        ("/a/b", "/c%2Fd/%7e?x=%20", "/c%2Fd/%7e?x=%20"),
        ("/a/b", "/ü b", "/%C3%BC%20b"),
        ("/a/b", "/c\u3000", "/c%E3%80%80"),
        ("/a/b", "http://AUTHORITY/%7E/c\u00a0", "/%7E/c%C2%A0"),
        ("/a/b", "/\udcfc\udcff", "/%FC%FF"),
        ("/a/b", "/100%", "/100%25"),
        ("/a/b", "/c\\d", "/c%5Cd"),
        ("/a/b", "\\\\evil.example/c", "/a/%5C%5Cevil.example/c"),
        ("/a/b", "/c|d^e`f{g}", "/c%7Cd%5Ee%60f%7Bg%7D"),
        ("/a/b", "/c?u=http://x/../y", "/c?u=http://x/../y"),
        ("/a/b", "http://AUTHORITY/c/../d", "/c/../d"),
        ("/a/b", "//AUTHORITY/c", "/c"),
        ("/a/b", "c:d/e", None),
        ("/a/b", "./c:d/e", "/a/c:d/e"),
    ],
)
async def test_locations_are_resolved(server: Server, client: Client, start: str, location: str, target: str | None) -> None:
    location = location.replace("AUTHORITY", f"127.0.0.1:{server.port}")
    server.route("*", 204)
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server.script(head.encode("utf-8", "surrogateescape"), path=start.partition("?")[0])
    if target is None:
        with pytest.raises(aioreq.RemoteProtocolError):
            await client.get(server.url + start)
        return
    response = await client.get(server.url + start)
    assert len(server.requests) == 2
    assert server.requests[-1].target.decode() == target
    assert response.url.raw_path == target.partition("?")[0]


@pytest.mark.parametrize(
    ("start", "location", "fragment"),
    [
        *(("/start#one", "/get", "one"), ("/start#one", "/get#two", "two"), ("/start", "/get#two", "two"), ("/start", "/get", "")),
        *(("/start#one", "http://AUTHORITY/get", "one"), ("/start#one", "//AUTHORITY/get#two", "two"), ("/start#one", "/get#", "")),
    ],
)
async def test_fragments(server: Server, client: Client, start: str, location: str, fragment: str) -> None:
    redirect(server, location.replace("AUTHORITY", f"127.0.0.1:{server.port}"))
    response = await client.get(server.url + start)
    assert response.url.fragment == fragment
    assert [sent.target for sent in server.requests] == [b"/start", b"/get"]


async def test_a_fragment_is_inherited_along_the_chain(server: Server, client: Client) -> None:
    redirect(server, "/redirect/2")
    assert (await client.get(server.url + "/start#one")).url.fragment == "one"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://", "has no host"),
        ("http:///get", "has no host"),
        ("http:/get", "'//' must follow the scheme"),
        ("ftp://h/", "scheme 'ftp' can't be requested, only http and https"),
        ("mailto:a@b", "scheme 'mailto' can't be requested"),
        ("tel:123", "scheme 'tel' can't be requested"),
        ("myapp://callback?code=1", "scheme 'myapp' can't be requested"),
        ("file:///etc/passwd", "scheme 'file' can't be requested"),
        ("javascript:alert(1)", "scheme 'javascript' can't be requested"),
        ("http://[::1/", "no IPv6 address"),
        ("http://h:99999/", "port is not a number"),
        ("http://h\udcff/", "no domain name"),
        ("http://\udcff.example/", "no domain name"),
        ("http://a b/", "no host name"),
        ("http://2130706433/", "no dotted quad"),
        ("http://user:p@ss@h/", "quote them in the userinfo"),
        ("http://h/\x00", "in the value of 'Location'"),
        ("/\x01", "in the value of 'Location'"),
        ("/\x7f", "in the value of 'Location'"),
    ],
)
async def test_a_location_that_leads_nowhere(server: Server, client: Client, location: str, message: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server.script(head.encode("utf-8", "surrogateescape"))
    with pytest.raises(aioreq.RemoteProtocolError, match=message) as caught:
        await client.get(server.url + "/start", retry=0)
    assert "p@ss" not in str(caught.value)
    assert caught.value.request is not None
    assert str(caught.value.request.url) == server.url + "/start"
    assert len(server.requests) == 1


async def test_where_a_redirect_led_that_cant_be_followed(server: Server, client: Client) -> None:
    redirect(server, "/login", path="/start")
    redirect(server, "myapp://callback?code=1", path="/login")
    with pytest.raises(aioreq.RemoteProtocolError) as caught:
        await client.get(server.url + "/start")
    assert [earlier.url.path for earlier in caught.value.redirects] == ["/start", "/login"]
    assert caught.value.redirects[-1].headers["location"] == "myapp://callback?code=1"


# -- how chains end


@pytest.mark.parametrize("most", [0, 1, 3, 20])
async def test_loops_end(server: Server, client: Client, most: int) -> None:
    url = redirect(server, "/start")
    with pytest.raises(aioreq.TooManyRedirects, match=f"more than {most} redirects") as caught:
        await client.get(url, max_redirects=most)
    response = caught.value.response
    assert response is not None
    assert (response.status, len(response.redirects), len(server.requests)) == (302, most, most + 1)
    assert caught.value.redirects == (*response.redirects, response)
    assert caught.value.request is not None
    loop = f"in a loop: {url} -> {url}" if most else f"the last one is the redirect (302) from {url} to {url}"
    assert str(caught.value) == f"more than {most} redirects, {loop}"
    assert (await client.get(server.url + "/redirect/20")).status == 200
    assert server.accepted == 1


async def test_the_error_tells_which_urls_are_in_the_loop(server: Server, client: Client) -> None:
    redirect(server, "/a?token=secret", 307)
    redirect(server, "/b#top", 307, "/a")
    redirect(server, "/c", 308, "/b")
    redirect(server, "/a?token=secret", 307, "/c")
    with pytest.raises(aioreq.TooManyRedirects) as caught:
        await client.post(server.url + "/start", content=b"x")
    way = " -> ".join(server.url + path for path in ("/a?...", "/b", "/c", "/a?..."))
    assert str(caught.value) == f"more than 20 redirects, in a loop: {way}"


async def test_a_long_way_is_no_loop(server: Server, client: Client) -> None:
    with pytest.raises(aioreq.TooManyRedirects) as caught:
        await client.get(server.url + "/redirect/30")
    hop = f"from {server.url}/redirect/10 to {server.url}/redirect/9"
    assert str(caught.value) == f"more than 20 redirects, the last one is the redirect (302) {hop}"


async def test_a_redirect_to_itself_that_sets_a_cookie_is_followed(server: Server, client: Client) -> None:
    @server.route("/start")
    def count(request: Received) -> Reply:
        visits = int((request.header("cookie") or "visits=0").partition("=")[2]) + 1
        return Reply(302 if visits < 5 else 200, [("Location", "/start"), ("Set-Cookie", f"visits={visits}")])

    response = await client.get(server.url + "/start")
    assert (response.status, len(response.redirects)) == (200, 4)
    client.cookies.clear()
    with pytest.raises(aioreq.TooManyRedirects, match="more than 3 redirects, the last one is"):  # each time something had changed
        await client.get(server.url + "/start", max_redirects=3)


async def test_a_loop_is_one_although_each_answer_to_a_challenge_differs(server: Server) -> None:
    @server.route("/start")
    def challenge(request: Received) -> Reply:
        if request.header("authorization") is None:
            return Reply(401, [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')])
        return Reply(302, [("Location", "/start")])

    async with Client(auth=("user", "secret")) as client:
        with pytest.raises(aioreq.TooManyRedirects, match="in a loop"):
            await client.get(server.url + "/start", max_redirects=2)


# -- what is told about the way


async def test_the_heads_of_a_chain(server: Server, client: Client) -> None:
    server.route("/start", Reply(301, [("Location", "/a"), ("X-N", "1")], b"a body"))
    server.route("/a", Reply(308, [("Location", "/status/404"), ("X-N", "2")], b"another"))
    response = await client.get(server.url + "/start")
    assert [(head.status, head.url.path, head.headers["x-n"]) for head in response.redirects] == [(301, "/start", "1"), (308, "/a", "2")]
    assert [head.redirects for head in response.redirects] == [(), response.redirects[:1]]
    with pytest.raises(aioreq.StatusError) as caught:
        response.raise_for_status()
    assert caught.value.response is not None
    assert caught.value.response.redirects == response.redirects
    async with client.stream("GET", server.url + "/start") as streamed:
        assert [head.status for head in streamed.redirects] == [301, 308]
        assert [head.status for head in (await streamed.buffer()).redirects] == [301, 308]
        for head in streamed.redirects:
            assert isinstance(head, aioreq.StreamResponse)
            with pytest.raises(aioreq.LocalProtocolError, match="closed before its body was read"):
                await head.read()


@pytest.mark.parametrize("raises", [False, True])
async def test_an_error_behind_redirects_tells_the_way(server: Server, client: Client, raises: bool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        url = redirect(server, "/second?code=secret")
        redirect(server, dead + "?t=secret", path="/second")
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(url, retry=0, raise_for_status=raises)
    error = caught.value
    assert error.request is not None
    assert str(error.request.url) == dead + "?t=secret"
    assert [head.url.path for head in error.redirects] == ["/start", "/second"]
    assert error.__notes__ == [f"redirected: {url} -> {server.url}/second?... -> {dead}?..."]
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.redirects) == (str(error), ())


async def test_an_error_without_redirects_tells_of_none(client: Client) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(aioreq.ConnectError) as caught:
            await client.get(f"http://127.0.0.1:{unused.getsockname()[1]}/", retry=0)
    assert caught.value.redirects == ()
    assert "redirected" not in str(getattr(caught.value, "__notes__", ""))


async def test_streams_follow(server: Server, client: Client) -> None:
    async with client.stream("GET", server.url + "/redirect/3") as response:
        assert (response.status, len(response.redirects)) == (200, 3)
        assert (await response.json())["method"] == "GET"


# -- bodies, once more


@dataclass
class Parts:
    parts: list[bytes] = field(default_factory=lambda: [b"ab", b"c"])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


async def _generated() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"c"


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "make",
    [lambda: b"abc", lambda: "abc", lambda: [b"ab", b"c"], lambda: io.BytesIO(b"abc"), Parts],
    ids=["bytes", "str", "list", "file", "async iterable"],
)
async def test_a_body_is_sent_again(server: Server, client: Client, make: Callable[[], Any], status: int) -> None:
    response = await client.post(redirect(server, "/anything", status), content=make())
    assert response.json()["body"] == "abc"
    assert [sent.body for sent in server.requests] == [b"abc", b"abc"]


async def test_a_file_is_sent_again_from_where_it_stood(server: Server, client: Client) -> None:
    file = io.BytesIO(b"skipped" + b"x" * 300_000)
    file.seek(7)
    response = await client.put(redirect(server, "/upload", 307), content=file)
    assert response.json()["length"] == 300_000


async def test_a_file_is_sent_whole_while_its_first_sending_still_goes_on(server: Server, client: Client) -> None:
    """The redirect comes before the body, and its own body doesn't end: the first request goes on to be sent."""
    content = b"".join(b"%07d\n" % n for n in range(1 << 19))
    head = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /to\r\nContent-Length: 5\r\n\r\nab"
    server.script(head, ReadRequest(), b"cde", path="/start", on="head")
    server.route("/to", "got it")
    response = await client.put(server.url + "/start", content=io.BytesIO(content))
    assert response.text == "got it"
    assert server.requests[1].body == content


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("make", [lambda: iter([b"ab", b"c"]), _generated], ids=["iterator", "async generator"])
async def test_a_body_that_is_gone(server: Server, client: Client, make: Callable[[], Any], status: int) -> None:
    url = redirect(server, "/anything", status)
    if status in (307, 308):
        with pytest.raises(
            aioreq.LocalProtocolError, match=r"/start redirects .*/anything, but .*can't be sent again: give bytes, a list"
        ) as caught:
            await client.post(url, content=make())
        assert caught.value.request is not None
        assert len(server.requests) == 1
    else:
        assert (await client.post(url, content=make())).json()["method"] == "GET"


# -- bodies of redirects


async def test_a_short_body_is_drained(server: Server, client: Client) -> None:
    server.route("/start", Reply(302, [("Location", "/get")], b"x" * 60_000))
    server.route("/chunked", Reply(302, [("Location", "/start")], b"x" * 60_000, framing="chunked"))
    async with Client(limits=aioreq.Limits(connections=1)) as single:
        assert len((await single.get(server.url + "/chunked")).redirects) == 2
    assert server.accepted == 1


@pytest.mark.parametrize("declared", [True, False])
async def test_a_long_body_ends_its_connection(server: Server, client: Client, declared: bool) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    length = [("Content-Length", "1000000000000")] if declared else []
    server.route("/start", lambda request: Reply(302, [("Location", "/get"), *length], endless()))
    assert (await client.get(server.url + "/start")).status == 200
    assert [sent.connection for sent in server.requests] == [1, 2]
    await server.until(lambda: len(server.connections) == 1)


async def test_a_body_that_stalls_holds_nobody_up(server: Server, client: Client) -> None:
    server.script(b"HTTP/1.1 302 Found\r\nLocation: /get\r\nContent-Length: 1000\r\n\r\n", Pause(60), path="/start")
    assert (await client.get(server.url + "/start")).status == 200


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "br": lambda data: bytes(importlib.import_module("brotli").compress(data, quality=1)),
    "zstd": lambda data: bytes(importlib.import_module("backports.zstd").compress(data)),
}


@pytest.mark.parametrize("coding", [*CODERS, "nonsense"])
async def test_a_body_is_never_decoded(server: Server, client: Client, coding: str) -> None:
    if coding == "nonsense":
        coding, body = "gzip", b"no gzip at all"
    else:
        try:
            body = CODERS[coding](bytes(64 << 20))
        except ImportError as error:
            pytest.skip(str(error))
    server.route("/start", Reply(302, [("Location", "/get"), ("Content-Encoding", coding)], body))
    await client.get(server.url + "/get")
    tracemalloc.start()
    try:
        assert (await client.get(server.url + "/start")).status == 200
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# -- calls that end in the middle of a chain


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelled_at_any_turn_nothing_is_left(server: Server, streamed: bool) -> None:
    server.route("/start", Reply(307, [("Location", "/redirect/3")], b"x" * 5000))
    ended = 0
    async with Client(limits=aioreq.Limits(connections=1), timeout=aioreq.Timeout(pool=5)) as client:

        async def call() -> None:
            if streamed:
                async with client.stream("GET", server.url + "/start") as response:
                    await response.read()
            else:
                await client.get(server.url + "/start")

        for turns in range(200):
            task = asyncio.ensure_future(call())
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                ended += 1
            task.cancel()
            await asyncio.wait([task])
            assert (await client.get(f"{server.url}/id/{turns}")).text == str(turns)
            if ended > 3:
                break
    assert ended


async def test_the_total_limit_covers_every_hop(server: Server, client: Client) -> None:
    @server.route("/slow/{n}")
    async def slow(request: Received) -> Reply:
        await asyncio.sleep(0.05)
        return Reply(302, [("Location", f"/slow/{int(request.params['n']) + 1}")])

    with pytest.raises(aioreq.TotalTimeout) as caught:
        await client.get(server.url + "/slow/0", timeout=0.2)
    assert 1 <= len(caught.value.redirects) < 5
    assert len(caught.value.redirects) == len(server.requests) - 1


# -- options


async def test_options_hold_on_every_hop(tls_server: Server, server: Server) -> None:
    options = RequestOptions(
        verify=tls_server.client_context(), headers={"X-A": "1"}, extensions={"a": 1}, raise_for_status=True, max_body=5
    )
    async with Client() as client:
        response = await client.get(redirect(server, tls_server.url + "/id/x"), **options)
        assert (response.text, tls_server.requests[0].header("x-a"), response.request.extensions) == ("x", "1", {"a": 1})
        for location, error in (("/status/404", aioreq.StatusError), ("/bytes/6", aioreq.LimitExceeded)):
            with pytest.raises(error):
                await client.get(redirect(server, location, path="/to" + location), **options)
